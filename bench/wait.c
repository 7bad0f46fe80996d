/* wait.c: what wait and notify cost: the round trip between two threads, one wake-up, a notify with
 * nobody there, a wait whose value differs; beside a bare futex, a condition variable, and
 * spinning. Run: build/bench/bench --filter='^wait/|round_trip|wake'. */
#include "memory.h"
#include "shim.h"
#include "threads.h"

#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    BATCH = 1024,
    LANE_BYTES = 64,
    SETTLE_US = 50 /* a thread that goes to sleep sleeps for sure after so long */
};

/* One direction between two threads: a number that only grows. */
struct lane {
    _Alignas(64) _Atomic uint32_t word;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct pb_memory *memory; /* where via is pagebox: the word is in there, at address */
    uint64_t address;
};

/* A way to hand a number over: send stores it and wakes, await returns when it is there. */
struct via {
    const char *name;
    void (*send)(struct lane *lane, uint32_t number);
    void (*await)(struct lane *lane, uint32_t number);
};

static long futex(_Atomic uint32_t *word, int operation, uint32_t value) {
    return syscall(SYS_futex, (void *)word, operation, value, NULL, NULL, 0);
}

static void futex_send(struct lane *lane, uint32_t number) {
    atomic_store(&lane->word, number);
    futex(&lane->word, FUTEX_WAKE_PRIVATE, 1);
}

static void futex_await(struct lane *lane, uint32_t number) {
    while (atomic_load(&lane->word) != number) {
        futex(&lane->word, FUTEX_WAIT_PRIVATE, number - 1);
    }
}

static void condvar_send(struct lane *lane, uint32_t number) {
    pthread_mutex_lock(&lane->mutex);
    atomic_store(&lane->word, number);
    pthread_cond_signal(&lane->changed);
    pthread_mutex_unlock(&lane->mutex);
}

static void condvar_await(struct lane *lane, uint32_t number) {
    pthread_mutex_lock(&lane->mutex);
    while (atomic_load(&lane->word) != number) {
        pthread_cond_wait(&lane->changed, &lane->mutex);
    }
    pthread_mutex_unlock(&lane->mutex);
}

static void spin_send(struct lane *lane, uint32_t number) {
    atomic_store(&lane->word, number);
}

static void spin_await(struct lane *lane, uint32_t number) {
    unsigned spins = 0;
    while (atomic_load(&lane->word) != number) {
        bench_relax(&spins);
    }
}

static void pagebox_send(struct lane *lane, uint32_t number) {
    uint32_t woken;
    pb_memory_atomic_store(lane->memory, (uint32_t)lane->address, 0, 4, number);
    pb_memory_notify(lane->memory, lane->address, 1, &woken);
}

static void pagebox_await(struct lane *lane, uint32_t number) {
    uint64_t seen = 0;
    enum pb_wait result;
    for (;;) {
        pb_memory_atomic_load(lane->memory, (uint32_t)lane->address, 0, 4, &seen);
        if (seen == number) {
            return;
        }
        pb_memory_wait32(lane->memory, lane->address, number - 1, -1, &result);
    }
}

static const struct via via_futex = {"futex", futex_send, futex_await};
static const struct via via_condvar = {"condvar", condvar_send, condvar_await};
static const struct via via_spin = {"spin", spin_send, spin_await};
static const struct via via_pagebox = {"pagebox", pagebox_send, pagebox_await};

static enum pb_status make_memory(struct pb_memory **memory) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 16, 65536};
    struct pb_memory_config config = {.type = {1, 16, true}, .style = &style};
    return pb_memory_create(&config, memory);
}

/* ---- Two threads ----------------------------------------------------------------------------- */

struct pair {
    const struct via *via;
    struct pb_memory *memory;
    struct lane there, back;
    _Atomic bool stop;
    double arrived_ns; /* at the partner: written before the answer */
    pthread_t partner;
    cpu_set_t before;
};

static void make_lane(struct lane *lane, struct pb_memory *memory, uint64_t address) {
    memset(lane, 0, sizeof *lane);
    pthread_mutex_init(&lane->mutex, NULL);
    pthread_cond_init(&lane->changed, NULL);
    lane->memory = memory;
    lane->address = address;
}

static void *partner_main(void *argument) {
    struct pair *pair = argument;
    for (uint32_t number = 1;; number++) {
        pair->via->await(&pair->there, number);
        pair->arrived_ns = bench_now_ns();
        if (atomic_load(&pair->stop)) {
            return NULL;
        }
        pair->via->send(&pair->back, number);
    }
}

/* Starts the partner, on this core or another as the row says; false: skipped. */
static bool open_pair(struct bench_state *state, struct pair *pair) {
    memset(pair, 0, sizeof *pair);
    pair->via = bench_argument(state);
    enum pb_status status = make_memory(&pair->memory);
    if (status != PB_OK) {
        bench_skip(state, pb_status_message(status));
        return false;
    }
    make_lane(&pair->there, pair->memory, 0);
    make_lane(&pair->back, pair->memory, LANE_BYTES);
    int core = (int)bench_number(state, "cores") - 1;
    if (!bench_start(&pair->partner, core, partner_main, pair)) {
        bench_skip(state, "there is only one core");
        pb_memory_destroy(pair->memory);
        return false;
    }
    bench_pin(0, &pair->before);
    return true;
}

static void close_pair(struct pair *pair, uint32_t last) {
    atomic_store(&pair->stop, true);
    pair->via->send(&pair->there, last + 1);
    pthread_join(pair->partner, NULL);
    bench_unpin(&pair->before);
    pb_memory_destroy(pair->memory);
}

/* There and back, both threads asleep while it is the other's turn. */
static void run_round_trip(struct bench_state *state) {
    struct pair pair;
    uint32_t number = 0;
    if (!open_pair(state, &pair)) {
        return;
    }
    while (bench_next(state, 1)) {
        bench_begin(state);
        double sent_ns = bench_now_ns();
        pair.via->send(&pair.there, ++number);
        pair.via->await(&pair.back, number);
        double back_ns = bench_now_ns();
        bench_end(state);
        bench_sample(state, back_ns - sent_ns);
    }
    close_pair(&pair, number);
}

/* One way: from before the send to the first instruction of the thread that slept. */
static void run_wake(struct bench_state *state) {
    struct pair pair;
    uint32_t number = 0;
    if (!open_pair(state, &pair)) {
        return;
    }
    while (bench_next(state, 1)) {
        usleep(SETTLE_US);
        bench_begin(state);
        double sent_ns = bench_now_ns();
        pair.via->send(&pair.there, ++number);
        pair.via->await(&pair.back, number);
        bench_end(state);
        bench_sample(state, pair.arrived_ns - sent_ns);
    }
    close_pair(&pair, number);
}

/* ---- One thread ------------------------------------------------------------------------------ */

static void run_notify_none(struct bench_state *state) {
    struct pb_memory *memory = NULL;
    uint32_t woken, sum = 0;
    if (make_memory(&memory) != PB_OK) {
        bench_skip(state, "no memory");
        return;
    }
    while (bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            pb_memory_notify(memory, 0, 1, &woken);
            sum += woken;
        }
    }
    if (sum != 0) {
        bench_skip(state, "it woke somebody");
    }
    pb_memory_destroy(memory);
}

static void run_not_equal(struct bench_state *state) {
    struct pb_memory *memory = NULL;
    enum pb_wait result = PB_WAIT_NOT_EQUAL;
    if (make_memory(&memory) != PB_OK) {
        bench_skip(state, "no memory");
        return;
    }
    while (result == PB_WAIT_NOT_EQUAL && bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            pb_memory_wait32(memory, 0, 1, -1, &result);
        }
    }
    if (result != PB_WAIT_NOT_EQUAL) {
        bench_skip(state, "the value did not differ");
    }
    pb_memory_destroy(memory);
}

static void run_futex_wake(struct bench_state *state) {
    static _Atomic uint32_t word;
    while (bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            futex(&word, FUTEX_WAKE_PRIVATE, 1);
        }
    }
}

static void run_futex_differs(struct bench_state *state) {
    static _Atomic uint32_t word;
    while (bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            futex(&word, FUTEX_WAIT_PRIVATE, 1);
        }
    }
}

/* ---- Registration ---------------------------------------------------------------------------- */

static void add_pair(const char *name, void (*run)(struct bench_state *), const struct via *via,
                     int cores, const char *bounds) {
    bench_register(
        &(struct bench_case){.name = name,
                             .run = run,
                             .argument = via,
                             .clock = BENCH_CLOCK_SAMPLES,
                             .parameters = {{"via", via->name, 0}, {"cores", NULL, cores}},
                             .bounds = bounds});
}

BENCH_SUBJECT {
    add_pair("wait/round_trip", run_round_trip, &via_pagebox, 1,
             "bound/round_trip/via:futex/cores:1,bound/round_trip/via:condvar/cores:1");
    add_pair("wait/round_trip", run_round_trip, &via_pagebox, 2,
             "bound/round_trip/via:futex/cores:2,bound/round_trip/via:condvar/cores:2,"
             "bound/round_trip/via:spin/cores:2");
    add_pair("wait/wake", run_wake, &via_pagebox, 2,
             "bound/wake/via:futex/cores:2,bound/wake/via:condvar/cores:2");
    for (int cores = 1; cores <= 2; cores++) {
        add_pair("bound/round_trip", run_round_trip, &via_futex, cores, NULL);
        add_pair("bound/round_trip", run_round_trip, &via_condvar, cores, NULL);
    }
    add_pair("bound/round_trip", run_round_trip, &via_spin, 2, NULL);
    add_pair("bound/wake", run_wake, &via_futex, 2, NULL);
    add_pair("bound/wake", run_wake, &via_condvar, 2, NULL);
    bench_register(&(struct bench_case){.name = "wait/notify_none",
                                        .run = run_notify_none,
                                        .bounds = "bound/fetch_add/threads:1,bound/futex_wake"});
    bench_register(&(struct bench_case){.name = "wait/not_equal",
                                        .run = run_not_equal,
                                        .bounds = "bound/lock/threads:1,bound/futex_differs"});
    bench_register(&(struct bench_case){.name = "bound/futex_wake", .run = run_futex_wake});
    bench_register(&(struct bench_case){.name = "bound/futex_differs", .run = run_futex_differs});
}
