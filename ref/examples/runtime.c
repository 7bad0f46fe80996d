/* runtime.c: what a WebAssembly runtime does with Pagebox, in one page. Run: make run-examples
 *
 * Creates a memory, runs a pretend guest that grows it and then traps, tells whose fault it was,
 * and lets a host thread wake a guest task through the mailbox. */
#include <pagebox/pagebox.h>

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static sigjmp_buf trap; /* one per thread in a real runtime */

static void on_fault(int number, siginfo_t *information, void *context) {
    struct pb_address_owner owner;
    (void)context;
    if (pb_memory_owner_of(information->si_addr, &owner)) {
        siglongjmp(trap, 1); /* a guest's access past its memory: a trap, not a crash */
    }
    signal(number, SIG_DFL); /* ours: crash as usual */
}

static void must(enum pb_status status, const char *what) {
    if (status != PB_OK) {
        fprintf(stderr, "runtime: %s: %s\n", what, pb_status_message(status));
        exit(1);
    }
}

/* What generated code does: base and length from the record, no bounds check. */
static void guest_store(struct pb_memory_definition *memory, uint32_t address, uint8_t value) {
    *(volatile uint8_t *)(atomic_load(&memory->base) + address) = value;
}

static void *io_is_done(void *waker) {
    must(pb_waker_wake(waker), "wake");
    pb_waker_drop(waker);
    return NULL;
}

static void run_task(void *context, uint32_t id) {
    (void)context;
    printf("guest: task %u is awake\n", id);
}

int main(void) {
    struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 4}};
    struct pb_memory *memory;
    must(pb_memory_create(&config, &memory), "create");
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);

    uint32_t old_pages;
    must(pb_memory_grow(memory, 1, &old_pages), "grow");
    printf("guest: grew from %u pages to %u\n", old_pages, pb_memory_size_pages(memory));
    if (sigsetjmp(trap, 1) == 0) {
        guest_store(pb_memory_definition(memory), 131071, 42);
        guest_store(pb_memory_definition(memory), 131072, 42);
    } else {
        printf("guest: trapped: out of bounds memory access\n");
    }

    struct pb_mailbox_config at = {.memory = memory, .offset = 1024};
    struct pb_mailbox *mailbox;
    struct pb_waker *waker;
    pthread_t io;
    must(pb_mailbox_attach(&at, &mailbox), "attach");
    must(pb_waker_create(mailbox, 7, &waker), "waker");
    if (pthread_create(&io, NULL, io_is_done, waker) != 0) {
        return 1;
    }
    must(pb_mailbox_wait_for_signal(mailbox, -1), "wait");
    uint8_t *base = atomic_load(&pb_memory_definition(memory)->base);
    pb_guest_drain((struct pb_mailbox_words *)(void *)(base + at.offset), run_task, NULL);

    pthread_join(io, NULL);
    pb_mailbox_close(mailbox, NULL);
    pb_mailbox_release(mailbox);
    pb_memory_destroy(memory);
    return 0;
}
