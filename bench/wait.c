/* wait.c: the cost of wait and notify: the round trip between two threads, one wake-up, a notify
 * that wakes no thread, one or a crowd, until the last of the crowd runs, a timeout, a wait whose
 * value differs; beside a bare futex, a condition variable, spinning, and spinning before parking.
 * Run: build/bench/bench --filter='^wait/|round_trip|wake|notify|storm|timeout'. */
#include "memory.h"
#include "shim.h"
#include "threads.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    BATCH = 1024,
    LANE_BYTES = 64,
    SETTLE_US = 50, /* after this long, a thread that has gone to sleep is certainly asleep */
    CROWD_MAX = 8,
    SPINS = 400 /* before parking: some 10 us, about the cost of parking and waking */
};

/* One direction between two threads: a number that only grows. */
struct lane {
    _Alignas(64) _Atomic uint32_t word;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct pb_memory *memory; /* with via:pagebox, the word is in there, at address */
    uint64_t address;
};

/* A way to pass a number on: send stores it and wakes one thread, or all; await returns when it has
 * arrived; time_out waits for nothing for that long, and is NULL if that makes no sense. */
struct via {
    const char *name;
    void (*send)(struct lane *lane, uint32_t number, bool all);
    void (*await)(struct lane *lane, uint32_t number);
    void (*time_out)(struct lane *lane, int64_t timeout_ns);
};

/* Spins for a while; true if the number arrived meanwhile. */
static bool spin_for(struct lane *lane, uint32_t number) {
    unsigned spins = 0;
    while (atomic_load(&lane->word) != number && spins < SPINS) {
        bench_relax(&spins);
    }
    return spins < SPINS;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value) {
    return syscall(SYS_futex, (void *)word, operation, value, NULL, NULL, 0);
}

static void futex_send(struct lane *lane, uint32_t number, bool all) {
    atomic_store(&lane->word, number);
    futex(&lane->word, FUTEX_WAKE_PRIVATE, all ? INT_MAX : 1);
}

static void futex_await(struct lane *lane, uint32_t number) {
    while (atomic_load(&lane->word) != number) {
        futex(&lane->word, FUTEX_WAIT_PRIVATE, number - 1);
    }
}

static void futex_spin_await(struct lane *lane, uint32_t number) {
    if (!spin_for(lane, number)) {
        futex_await(lane, number);
    }
}

static void futex_time_out(struct lane *lane, int64_t timeout_ns) {
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(SYS_futex, (void *)&lane->word, FUTEX_WAIT_PRIVATE, 0, &timeout, NULL, 0);
}

static void condvar_send(struct lane *lane, uint32_t number, bool all) {
    pthread_mutex_lock(&lane->mutex);
    atomic_store(&lane->word, number);
    if (all) {
        pthread_cond_broadcast(&lane->changed);
    } else {
        pthread_cond_signal(&lane->changed);
    }
    pthread_mutex_unlock(&lane->mutex);
}

static void condvar_await(struct lane *lane, uint32_t number) {
    pthread_mutex_lock(&lane->mutex);
    while (atomic_load(&lane->word) != number) {
        pthread_cond_wait(&lane->changed, &lane->mutex);
    }
    pthread_mutex_unlock(&lane->mutex);
}

static void condvar_time_out(struct lane *lane, int64_t timeout_ns) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t until_ns = until.tv_sec * 1000000000 + until.tv_nsec + timeout_ns;
    until = (struct timespec){until_ns / 1000000000, until_ns % 1000000000};
    pthread_mutex_lock(&lane->mutex);
    while (pthread_cond_clockwait(&lane->changed, &lane->mutex, CLOCK_MONOTONIC, &until) == 0) {
    }
    pthread_mutex_unlock(&lane->mutex);
}

static void spin_send(struct lane *lane, uint32_t number, bool all) {
    (void)all;
    atomic_store(&lane->word, number);
}

static void spin_await(struct lane *lane, uint32_t number) {
    unsigned spins = 0;
    while (atomic_load(&lane->word) != number) {
        bench_relax(&spins);
    }
}

static void pagebox_send(struct lane *lane, uint32_t number, bool all) {
    uint32_t woken;
    pb_memory_atomic_store(lane->memory, (uint32_t)lane->address, 0, 4, number);
    pb_memory_notify(lane->memory, lane->address, all ? UINT32_MAX : 1, &woken);
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

static void pagebox_spin_await(struct lane *lane, uint32_t number) {
    uint64_t seen = 0;
    for (unsigned spins = 0; spins < SPINS; bench_relax(&spins)) {
        pb_memory_atomic_load(lane->memory, (uint32_t)lane->address, 0, 4, &seen);
        if (seen == number) {
            return;
        }
    }
    pagebox_await(lane, number);
}

static void pagebox_time_out(struct lane *lane, int64_t timeout_ns) {
    enum pb_wait result;
    pb_memory_wait32(lane->memory, lane->address, 0, timeout_ns, &result);
}

static const struct via via_futex = {"futex", futex_send, futex_await, futex_time_out};
static const struct via via_futex_spin = {"futex_spin", futex_send, futex_spin_await, NULL};
static const struct via via_condvar = {"condvar", condvar_send, condvar_await, condvar_time_out};
static const struct via via_spin = {"spin", spin_send, spin_await, NULL};
static const struct via via_pagebox = {"pagebox", pagebox_send, pagebox_await, pagebox_time_out};
static const struct via via_pagebox_spin = {"pagebox_spin", pagebox_send, pagebox_spin_await, NULL};

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
    double arrived_ns; /* on the partner's side: written before the answer */
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
        pair->via->send(&pair->back, number, false);
    }
}

/* Starts the partner on this core or another, as the row says; false: skipped. */
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
        pb_memory_release(pair->memory);
        return false;
    }
    bench_pin(0, &pair->before);
    return true;
}

static void close_pair(struct pair *pair, uint32_t last) {
    atomic_store(&pair->stop, true);
    pair->via->send(&pair->there, last + 1, false);
    pthread_join(pair->partner, NULL);
    bench_unpin(&pair->before);
    pb_memory_release(pair->memory);
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
        pair.via->send(&pair.there, ++number, false);
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
        pair.via->send(&pair.there, ++number, false);
        pair.via->await(&pair.back, number);
        bench_end(state);
        bench_sample(state, pair.arrived_ns - sent_ns);
    }
    close_pair(&pair, number);
}

/* ---- A crowd --------------------------------------------------------------------------------- */

/* Threads that all wait for the same number, distributed over the cores from the second on. */
struct crowd {
    const struct via *via;
    struct pb_memory *memory;
    struct lane lane;
    uint32_t size;
    _Atomic uint32_t asleep;  /* or about to be */
    _Atomic uint32_t awake;   /* how many have woken since the last number */
    _Atomic uint64_t last_ns; /* when the latest of them ran */
    _Atomic bool stop;
    pthread_t threads[CROWD_MAX];
};

static void *crowd_main(void *argument) {
    struct crowd *crowd = argument;
    for (uint32_t number = 1;; number++) {
        atomic_fetch_add(&crowd->asleep, 1);
        crowd->via->await(&crowd->lane, number);
        atomic_store(&crowd->last_ns, (uint64_t)bench_now_ns());
        if (atomic_load(&crowd->stop)) {
            return NULL;
        }
        atomic_fetch_add(&crowd->awake, 1);
    }
}

static bool open_crowd(struct bench_state *state, struct crowd *crowd) {
    int cores = bench_cores();
    memset(crowd, 0, sizeof *crowd);
    crowd->via = bench_argument(state);
    enum pb_status status = make_memory(&crowd->memory);
    if (status != PB_OK) {
        bench_skip(state, pb_status_message(status));
        return false;
    }
    make_lane(&crowd->lane, crowd->memory, 0);
    for (int64_t i = 0; i < bench_number(state, "waiters"); i++) {
        int core = (int)(i + 1) % cores;
        if (bench_start(&crowd->threads[crowd->size], core, crowd_main, crowd)) {
            crowd->size++;
        }
    }
    return true;
}

/* Waits until all of them are certainly asleep. */
static void settle_crowd(struct crowd *crowd) {
    while (atomic_load(&crowd->asleep) < crowd->size) {
        sched_yield();
    }
    usleep(SETTLE_US * (1 + crowd->size));
    atomic_store(&crowd->asleep, 0);
    atomic_store(&crowd->awake, 0);
}

static void close_crowd(struct crowd *crowd, uint32_t last) {
    atomic_store(&crowd->stop, true);
    crowd->via->send(&crowd->lane, last + 1, true);
    for (uint32_t i = 0; i < crowd->size; i++) {
        pthread_join(crowd->threads[i], NULL);
    }
    pb_memory_release(crowd->memory);
}

/* Wakes the whole crowd repeatedly. A sample is the time of the call that wakes or, with
 * until_all_run, the time from before the call until the last of them has run. */
static void run_crowd(struct bench_state *state, bool until_all_run) {
    static struct crowd crowd;
    uint32_t number = 0;
    cpu_set_t before;
    if (!open_crowd(state, &crowd)) {
        return;
    }
    bench_pin(0, &before);
    while (bench_next(state, 1)) {
        settle_crowd(&crowd);
        bench_begin(state);
        double sent_ns = bench_now_ns();
        crowd.via->send(&crowd.lane, ++number, true);
        double called_ns = bench_now_ns();
        while (atomic_load(&crowd.awake) < crowd.size) {
            sched_yield();
        }
        bench_end(state);
        double end_ns = until_all_run ? (double)atomic_load(&crowd.last_ns) : called_ns;
        bench_sample(state, end_ns - sent_ns);
    }
    bench_unpin(&before);
    close_crowd(&crowd, number);
}

static void run_notify(struct bench_state *state) {
    run_crowd(state, false);
}

static void run_storm(struct bench_state *state) {
    run_crowd(state, true);
}

/* ---- One thread ------------------------------------------------------------------------------ */

/* How late a wait ends that times out. */
static void run_timeout(struct bench_state *state) {
    const struct via *via = bench_argument(state);
    double asked_ns = (double)bench_number(state, "timeout_us") * 1000;
    struct pb_memory *memory = NULL;
    struct lane lane;
    bool early = false;
    if (make_memory(&memory) != PB_OK) {
        bench_skip(state, "no memory");
        return;
    }
    make_lane(&lane, memory, 0);
    while (bench_next(state, 1)) {
        bench_begin(state);
        double began_ns = bench_now_ns();
        via->time_out(&lane, (int64_t)asked_ns);
        double later_ns = bench_now_ns() - began_ns - asked_ns;
        bench_end(state);
        early |= later_ns < 0;
        bench_sample(state, later_ns);
    }
    if (early) {
        bench_skip(state, "a wait timed out too early");
    }
    pb_memory_release(memory);
}

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
        bench_skip(state, "it woke a waiter");
    }
    pb_memory_release(memory);
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
    pb_memory_release(memory);
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
                             .parties = true,
                             .bounds = bounds});
}

/* bound/NAME/via:futex/KEY:VALUE and condvar, with our rows. */
static void add_crowd(const char *ours, const char *bound, void (*run)(struct bench_state *),
                      const char *key, int64_t value, const char *bounds) {
    static const struct via *const all[] = {&via_pagebox, &via_futex, &via_condvar};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        bench_register(
            &(struct bench_case){.name = i == 0 ? ours : bound,
                                 .run = run,
                                 .argument = all[i],
                                 .clock = BENCH_CLOCK_SAMPLES,
                                 .parameters = {{"via", all[i]->name, 0}, {key, NULL, value}},
                                 .parties = strcmp(key, "waiters") == 0,
                                 .bounds = i == 0 ? bounds : NULL});
    }
}

BENCH_SUBJECT {
    add_crowd("wait/notify", "bound/notify", run_notify, "waiters", 0,
              "bound/notify/via:futex/waiters:0,bound/notify/via:condvar/waiters:0");
    add_crowd("wait/notify", "bound/notify", run_notify, "waiters", 1,
              "bound/notify/via:futex/waiters:1,bound/notify/via:condvar/waiters:1");
    add_crowd("wait/notify", "bound/notify", run_notify, "waiters", CROWD_MAX,
              "bound/notify/via:futex/waiters:8,bound/notify/via:condvar/waiters:8");
    add_crowd("wait/storm", "bound/storm", run_storm, "waiters", CROWD_MAX,
              "bound/storm/via:futex/waiters:8,bound/storm/via:condvar/waiters:8");
    add_crowd("wait/timeout", "bound/timeout", run_timeout, "timeout_us", 0,
              "bound/timeout/via:futex/timeout_us:0,bound/timeout/via:condvar/timeout_us:0");
    add_crowd("wait/timeout", "bound/timeout", run_timeout, "timeout_us", 100,
              "bound/timeout/via:futex/timeout_us:100,bound/timeout/via:condvar/timeout_us:100");
    add_pair("wait/round_trip", run_round_trip, &via_pagebox, 1,
             "bound/round_trip/via:futex/cores:1,bound/round_trip/via:condvar/cores:1");
    add_pair("wait/round_trip", run_round_trip, &via_pagebox, 2,
             "bound/round_trip/via:futex/cores:2,bound/round_trip/via:condvar/cores:2,"
             "bound/round_trip/via:spin/cores:2,peer/round_trip/of:v8");
    add_pair("wait/round_trip", run_round_trip, &via_pagebox_spin, 2,
             "bound/round_trip/via:futex_spin/cores:2,bound/round_trip/via:spin/cores:2");
    add_pair("bound/round_trip", run_round_trip, &via_futex_spin, 2, NULL);
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
                                        .bounds = "bound/fetch_add/threads:1,bound/futex_wake,"
                                                  "peer/notify_none/of:v8"});
    bench_register(&(struct bench_case){.name = "wait/not_equal",
                                        .run = run_not_equal,
                                        .bounds = "bound/lock/threads:1,bound/futex_differs,"
                                                  "peer/not_equal/of:v8"});
    bench_register(&(struct bench_case){.name = "bound/futex_wake", .run = run_futex_wake});
    bench_register(&(struct bench_case){.name = "bound/futex_differs", .run = run_futex_differs});
}

/* ---- What the report says -------------------------------------------------------------------- */

#define WAITS "Wait and notify"

BENCH_SUBJECT {
    static const char *const words[][2] = {{"via:pagebox", "wait and notify"},
                                           {"via:pagebox_spin", "spin, then wait and notify"},
                                           {"via:futex", "bare futex"},
                                           {"via:futex_spin", "spin, then bare futex"},
                                           {"via:condvar", "condition variable"},
                                           {"via:spin", "spinning"},
                                           {"/notify", "the call"},
                                           {"/storm", "until the last one runs"},
                                           {"waiters", ", %s waiting"},
                                           {"timeout_us", "timeout of %s µs"},
                                           {"/notify_none", "notify without a waiter"},
                                           {"/not_equal", "wait, the value differs"},
                                           {"bound/fetch_add", "bare fetch_add"},
                                           {"bound/lock", "bare lock"},
                                           {"bound/futex_wake", "bare futex wake"},
                                           {"bound/futex_differs", "bare futex, the value differs"},
                                           {"bound/ring_walk", "walk over the slots"},
                                           {NULL, NULL}};
    static const struct bench_section sections[] = {
        {.inside = WAITS,
         .title = "Round trip on two cores",
         .text =
             "There and back between two threads; each sleeps while it is the other's turn. `spin, "
             "then` spins for some 10 µs before it sleeps. V8's threads are not pinned, so the "
             "scheduler may put both on one core: compare V8 with care.",
         .rows = "^((wait|bound)/round_trip/via:[a-z_]+/cores:2|peer/round_trip/of:v8)$",
         .lines = "via of"},
        {.inside = WAITS,
         .title = "Round trip on one core",
         .text = "There and back between two threads; each sleeps while it is the other's turn.",
         .rows = "^(wait|bound)/round_trip/via:[a-z_]+/cores:1$",
         .lines = "via"},
        {.inside = WAITS,
         .title = "One wake-up of a sleeping thread",
         .text =
             "From before the send to the first instruction of the woken thread, on another core.",
         .rows = "^((wait|bound)/wake/via:[a-z]+|mailbox/(wake|signal)/orders:chosen)/cores:2$",
         .lines = "via row"},
        {.inside = WAITS,
         .title = "Waking a crowd",
         .text =
             "One notify of all waiters at a word, on all cores: the time of the call, and until "
             "the last waiter runs; 5 % / half / 95 %. Waiters must wake in the order in which "
             "they came, which costs a system call for each; a bare futex wakes all by one.",
         .rows = "^(wait|bound)/(notify|storm)/via:[a-z]+/waiters:[0-9]+$",
         .lines = "operation waiters",
         .columns = "via",
         .spread = true},
        {.inside = WAITS,
         .title = "Timeouts",
         .text =
             "How late a wait ends that nobody wakes: 5 % / half / 95 %. The kernel adds some "
             "50 µs of slack to every sleep, even if its time has already passed; a timeout of 0 "
             "does not sleep here. A row whose wait ends early is left out, with that reason.",
         .rows = "^(wait|bound)/timeout/via:[a-z]+/timeout_us:[0-9]+$",
         .lines = "timeout_us",
         .columns = "via",
         .spread = true},
        {.inside = WAITS,
         .title = "Without a wake-up",
         .rows = "^wait/(notify_none|not_equal)$",
         .lines = "operation"},
        {.title = NULL}};
    bench_words_add(words);
    bench_sections_add(sections);
    bench_answer("**Wait and notify**, there and back between two threads, at the 5th / 50th "
                 "/ 95th percentile:[ on two cores {spread "
                 "wait/round_trip/via:pagebox/cores:2}, a bare futex {spread "
                 "bound/round_trip/via:futex/cores:2}, a condition variable {spread "
                 "bound/round_trip/via:condvar/cores:2};][ on one core {spread "
                 "wait/round_trip/via:pagebox/cores:1}, a bare futex {spread "
                 "bound/round_trip/via:futex/cores:1}, a condition variable {spread "
                 "bound/round_trip/via:condvar/cores:1}].");
    bench_answer("**Spin before parking?** Half of the round trips take {q50 "
                 "wait/round_trip/via:pagebox_spin/cores:2} instead of {q50 "
                 "wait/round_trip/via:pagebox/cores:2}, 95 % of them {q95 "
                 "wait/round_trip/via:pagebox_spin/cores:2} instead of {q95 "
                 "wait/round_trip/via:pagebox/cores:2}: {faster "
                 "wait/round_trip/via:pagebox_spin/cores:2 "
                 "wait/round_trip/via:pagebox/cores:2 | spin before you park if the answer "
                 "comes within about 10 µs from another core | it does not pay here: park at "
                 "once}.");
    bench_answer("**Notify without a waiter** takes {time wait/notify_none}; the bare futex "
                 "wake that it replaces takes {time bound/futex_wake}.");
    bench_answer("**Waking eight at once**, until the last one runs, 5 / 50 / 95 %: {spread "
                 "wait/storm/via:pagebox/waiters:8}; one futex call {spread "
                 "bound/storm/via:futex/waiters:8}; a condition variable {spread "
                 "bound/storm/via:condvar/waiters:8}. Ours wakes them one by one, in the "
                 "order in which they came.");
    bench_answer("**A timeout of 0** takes {time wait/timeout/via:pagebox/timeout_us:0}; the "
                 "futex call with a timeout of 0 takes {time "
                 "bound/timeout/via:futex/timeout_us:0}, as the kernel sleeps for its timer "
                 "slack.");
}
