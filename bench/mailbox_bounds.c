/* mailbox_bounds.c: the bare atomics and the bare lock that the mailbox's rows are compared with.
 * Run: build/bench/bench --filter='^bound/(fetch_add|lock|store|ring_walk)'. */
#include "shim.h"
#include "threads.h"

#include <pthread.h>

enum { BATCH = 8192, RING = 4096, THREADS_MAX = 8 };

/* On a cache line of its own. */
static _Alignas(64) _Atomic uint32_t counter;
static _Alignas(64) pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Alignas(64) _Atomic uint32_t ring[RING];

/* glibc's lock skips its atomics until a process has had a second thread, so start one. */
static void *nothing(void *argument) {
    return argument;
}

static void have_had_a_thread(void) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, nothing, NULL) == 0) {
        pthread_join(thread, NULL);
    }
}

static void add_many(void) {
    for (int i = 0; i < BATCH; i++) {
        atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed);
    }
}

static void lock_many(void) {
    for (int i = 0; i < BATCH; i++) {
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
    }
}

/* The same in one or several threads, distributed over the cores; the clock runs from when all
 * start until all are done. */
static void run_many(struct bench_state *state, void (*many)(void)) {
    static struct bench_barrier barrier;
    uint32_t threads = (uint32_t)bench_threads(state);
    cpu_set_t before;
    int cores = bench_cores();
    bool one_core = threads == 2 && cores == 1;
    bench_pin(bench_thread(state) % cores, &before);
    barrier.crowded = (int)threads > cores;
    have_had_a_thread();
    while (bench_next(state, BATCH)) {
        bench_meet(&barrier, threads);
        bench_begin(state);
        many();
        bench_meet(&barrier, threads);
        double spent_ns = bench_end(state);
        if (bench_thread(state) == 0) {
            bench_sample(state, spent_ns / (BATCH * threads));
        }
    }
    if (one_core) {
        bench_skip(state, "there is only one core");
    }
    bench_unpin(&before);
}

static void run_fetch_add(struct bench_state *state) {
    run_many(state, add_many);
}

static void run_lock(struct bench_state *state) {
    run_many(state, lock_many);
}

static void run_store_relaxed(struct bench_state *state) {
    while (bench_next(state, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            atomic_store_explicit(&counter, i, memory_order_relaxed);
        }
    }
}

static void run_store_release(struct bench_state *state) {
    while (bench_next(state, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            atomic_store_explicit(&counter, i, memory_order_release);
        }
    }
}

static void run_store_seq_cst(struct bench_state *state) {
    while (bench_next(state, BATCH)) {
        for (uint32_t i = 0; i < BATCH; i++) {
            atomic_store_explicit(&counter, i, memory_order_seq_cst);
        }
    }
}

static void take(void *context, uint32_t id) {
    *(volatile uint32_t *)context = id;
}

/* Reads each slot and calls a function with it: what every drain must do. */
static void run_ring_walk(struct bench_state *state) {
    void (*volatile called)(void *context, uint32_t id) = take;
    uint32_t last = 0;
    while (bench_next(state, RING)) {
        for (uint32_t i = 0; i < RING; i++) {
            called(&last, atomic_load_explicit(&ring[i], memory_order_relaxed));
        }
    }
}

static void add(const char *name, void (*run)(struct bench_state *), const char *order,
                int threads) {
    struct bench_case bench = {.name = name,
                               .run = run,
                               .threads = threads,
                               .clock = threads != 0 ? BENCH_CLOCK_SECTIONS : BENCH_CLOCK_LOOP};
    if (order != NULL) {
        bench.parameters[0] = (struct bench_parameter){"order", order, 0};
    }
    bench_register(&bench);
}

BENCH_SUBJECT {
    for (int threads = 1; threads <= THREADS_MAX; threads *= 2) {
        add("bound/fetch_add", run_fetch_add, NULL, threads);
        add("bound/lock", run_lock, NULL, threads);
    }
    add("bound/store", run_store_relaxed, "relaxed", 0);
    add("bound/store", run_store_release, "release", 0);
    add("bound/store", run_store_seq_cst, "seq_cst", 0);
    add("bound/ring_walk", run_ring_walk, NULL, 0);
}
