/* control.c: the control row, whose counts are known: a count that differs means that a counter is
 * broken. */
#include "gate.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile uint8_t *control_pages;
static _Atomic uint32_t control_word;

static void control_open(const struct gate_row *row) {
    void *pages = mmap(NULL, 512UL * GATE_HOST_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)row;
    gate_need(pages != MAP_FAILED, "no memory for the control row");
    control_pages = pages;
}

/* 3 getppid, 2 mmap that make a mapping each, 512 page faults and as many resident pages, 7 locked
 * instructions, 1 sleep that is long enough to give up the core. */
static void control(void) {
    const struct timespec nap = {.tv_nsec = 1000000};
    for (int i = 0; i < 3; i++) {
        syscall(SYS_getppid);
    }
    for (int i = 0; i < 2; i++) {
        (void)!mmap(NULL, GATE_HOST_PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    }
    for (int i = 0; i < 512; i++) {
        control_pages[(size_t)i * GATE_HOST_PAGE] = 1;
    }
    for (int i = 0; i < 7; i++) {
        atomic_fetch_add(&control_word, 1);
    }
    clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
}

static void control_close(void) {
    munmap((void *)control_pages,
           512UL * GATE_HOST_PAGE); /* the process's exit unmaps the two pages */
}

const struct gate_row gate_row_control = {
    "control", 1, 0, 0, GATE_ALONE, 0, control_open, control, control_close};
