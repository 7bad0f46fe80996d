/* rows_threads.c: the gate's rows with two threads, each on a core of its own. In two rows the
 * first thread acts only when the other is known to sleep, so its work is always the same and its
 * counts are exact, though times vary. In the other two both threads spin, and only times are
 * taken. */
#include "../threads.h"
#include "gate.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { WAKES = 8, NOTIFIES = 100000, BOUND_WORD = 0, HELD_PAGES = 64, HELD_US = 20 };

static struct pb_memory *memory;
static struct pb_mailbox *mailbox;
static struct pb_mailbox_words *words;
static struct pb_pool *pool;
static pthread_t partner;
static cpu_set_t before;
static struct bench_barrier barrier;
static _Atomic pid_t partner_thread;

static void start(void *(*run)(void *)) {
    memset(&barrier, 0, sizeof barrier);
    atomic_store(&partner_thread, 0);
    gate_need(bench_start(&partner, 1, run, NULL) && bench_pin(0, &before),
              "rows with two threads want two cores");
}

static void finish(void) {
    pthread_join(partner, NULL);
    bench_unpin(&before);
}

/* Waits until the partner sleeps in the kernel, according to its state in /proc. */
static void until_it_sleeps(void) {
    char name[64], text[256] = "";
    snprintf(name, sizeof name, "/proc/self/task/%d/stat", (int)atomic_load(&partner_thread));
    for (unsigned spins = 0;;) {
        int file = open(name, O_RDONLY | O_CLOEXEC);
        ssize_t got = file < 0 ? -1 : read(file, text, sizeof text - 1);
        gate_need(got > 0, "the partner's state cannot be read");
        close(file);
        text[got] = '\0';
        const char *state = strrchr(text, ')');
        if (state != NULL && state[2] == 'S') {
            return;
        }
        bench_relax(&spins);
    }
}

/* ---- A sleeper is notified ------------------------------------------------------------------- */

static void *sleeper_main(void *argument) {
    enum pb_wait result;
    (void)argument;
    atomic_store(&partner_thread, (pid_t)syscall(SYS_gettid));
    pb_memory_wait32(memory, BOUND_WORD, 0, -1, &result);
    return NULL;
}

static void sleeper_open(const struct gate_row *row) {
    (void)row;
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 1, true);
    start(sleeper_main);
    for (unsigned spins = 0; pb_memory_waiters(memory) == 0;) {
        bench_relax(&spins);
    }
    until_it_sleeps();
}

static void notify_one(void) {
    uint32_t woken = 0;
    (void)pb_memory_notify(memory, BOUND_WORD, 1, &woken);
    gate_need(woken == 1, "the sleeper was not woken");
}

static void sleeper_close(void) {
    finish();
    pb_memory_release(memory);
}

/* ---- A parked guest gets an id --------------------------------------------------------------- */

static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    enum pb_wait result = PB_WAIT_NOT_EQUAL;
    (void)context;
    uint64_t address = (uint64_t)((char *)flag - (char *)words);
    pb_memory_wait32(memory, address, expected, timeout_ns, &result);
    return (int)result;
}

static void *guest_main(void *argument) {
    struct pb_guest_host host = {.wait = guest_wait};
    (void)argument;
    atomic_store(&partner_thread, (pid_t)syscall(SYS_gettid));
    pb_guest_park(words, &host, -1);
    return NULL;
}

static void guest_open(const struct gate_row *row) {
    (void)row;
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 1, true);
    words = (void *)atomic_load(&pb_memory_definition(memory)->base);
    struct pb_mailbox_config config = {.memory = memory};
    gate_need(pb_mailbox_create(&config, &mailbox) == PB_OK, "a mailbox was refused");
    start(guest_main);
    for (unsigned spins = 0; pb_memory_waiters(memory) == 0;) {
        bench_relax(&spins);
    }
    until_it_sleeps();
}

/* The first one wakes the guest, the others find the signal set. */
static void wake_guest(void) {
    for (uint32_t id = 1; id <= WAKES; id++) {
        gate_need(pb_mailbox_enqueue(mailbox, id) == PB_OK, "an id was refused");
    }
}

static void guest_close(void) {
    finish();
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* ---- Two threads with words of their own ----------------------------------------------------- */

/* Each thread has 16 words. Adjacent words are spread over the table of waiters. */
static void notify_many(uint64_t first) {
    uint32_t woken;
    for (uint32_t i = 0; i < NOTIFIES; i++) {
        (void)pb_memory_notify(memory, first + i % 16 * 8UL, 1, &woken);
    }
}

static void *neighbour_main(void *argument) {
    (void)argument;
    bench_meet(&barrier, 2);
    notify_many(4);
    bench_meet(&barrier, 2);
    return NULL;
}

static void neighbour_open(const struct gate_row *row) {
    (void)row;
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 1, true);
    start(neighbour_main);
}

static void notify_apart(void) {
    bench_meet(&barrier, 2);
    notify_many(0);
    bench_meet(&barrier, 2);
}

/* ---- A pool's lock while another thread cleans a slot ---------------------------------------- */

static void *cleaner_main(void *argument) {
    (void)argument;
    bench_meet(&barrier, 2);
    pb_memory_release(memory);
    return NULL;
}

static void cleaner_open(const struct gate_row *row) {
    struct pb_pool_config config = {.slots = 2,
                                    .slot_bytes = pb_pages_to_bytes(GATE_BOUND_PAGES),
                                    .guard_bytes = GATE_GUARD_BYTES};
    (void)row;
    gate_need(pb_pool_create(&config, &pool) == PB_OK, "a pool was refused");
    memory = gate_memory(PB_STRATEGY_POOL, pool, HELD_PAGES, false);
    gate_touch(memory, HELD_PAGES * PB_PAGE_BYTES);
    start(cleaner_main);
}

/* Uses the pool while the other thread is busy giving a slot back. */
static void ask_pool(void) {
    bench_meet(&barrier, 2);
    double until_ns = bench_now_ns() + (double)HELD_US * 1e3;
    while (bench_now_ns() < until_ns) {
    }
    gate_need(pb_pool_stats(pool).retired == 0, "a slot was retired");
}

static void cleaner_close(void) {
    finish();
    pb_pool_release(pool);
}

const struct gate_row gate_rows_threads[] = {
    {"threads/notify_sleeper", 1, 0, 1, GATE_SLEEPER, 0, sleeper_open, notify_one, sleeper_close},
    {"threads/wake_guest", WAKES, 0, 1, GATE_SLEEPER, 0, guest_open, wake_guest, guest_close},
    {"threads/notify_apart", NOTIFIES, 0, 1, GATE_SPINNERS, 0, neighbour_open, notify_apart,
     sleeper_close},
    {"threads/pool_while_cleaning", 1, 0, 1, GATE_SPINNERS, 0, cleaner_open, ask_pool,
     cleaner_close},
    {0},
};
