/* objects.c: the small objects of waiters and wakers, by allocator: the table of waiters of a
 * shared memory, the handle of a clone, and the boxes of a guest's wakers, which are allocated on
 * one side of the mailbox and freed on the other. Run: build/bench/bench --filter='^objects/'.
 *
 * A waiter itself needs no memory: its record is on the stack of the waiting thread. */
#include "allocators.h"
#include "memory.h"
#include "shim.h"
#include "threads.h"
#include "waiters.h"

#include <stddef.h>

enum { WAKER_BYTES = 32, BATCH = 256, TURN = 8192, THREADS = 2 };

/* The row's allocator; NULL: the row is skipped. */
static const struct pb_allocator *allocator_of(struct bench_state *state) {
    const struct pb_allocator *allocator =
        &bench_allocator(bench_text(state, "allocator"))->allocator;
    const char *refusal = bench_allocator_refusal(allocator);
    if (refusal != NULL) {
        bench_skip(state, refusal);
    }
    return refusal == NULL ? allocator : NULL;
}

static bool check(struct bench_state *state, enum pb_status status) {
    if (status != PB_OK) {
        bench_skip(state, pb_status_message(status));
    }
    return status == PB_OK;
}

/* A table of waiters, allocated and freed. */
static void run_waiters(struct bench_state *state) {
    const struct pb_allocator *allocator = allocator_of(state);
    enum pb_status status = PB_OK;
    while (allocator != NULL && check(state, status) && bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH && status == PB_OK; i++) {
            struct pb_waiters *waiters = NULL;
            status = pb_waiters_create(0, allocator, &waiters);
            pb_waiters_destroy(waiters);
        }
    }
}

/* Another handle to a shared memory, allocated and freed. */
static void run_clone(struct bench_state *state) {
    const struct pb_allocator *allocator = allocator_of(state);
    struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 1, .shared = true},
                                      .strategy = PB_STRATEGY_RESERVE,
                                      .allocator = allocator};
    struct pb_memory *memory = NULL;
    enum pb_status status = allocator != NULL ? pb_memory_create(&config, &memory) : PB_OK;
    while (allocator != NULL && check(state, status) && bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH && status == PB_OK; i++) {
            struct pb_memory *clone = NULL;
            status = pb_memory_retain(memory, &clone);
            pb_memory_release(clone);
        }
    }
    pb_memory_release(memory);
}

/* ---- Wakers: boxes that one side allocates and the other frees ------------------------------- */

struct boxes {
    void *at[TURN];
    int count;
};

/* False: out of memory; the remaining boxes are NULL. */
static bool take(const struct pb_allocator *allocator, struct boxes *boxes) {
    bool good = true;
    for (int i = 0; i < boxes->count; i++) {
        boxes->at[i] = allocator->allocate_zeroed(allocator->context, WAKER_BYTES);
        good &= boxes->at[i] != NULL;
    }
    return good;
}

static void give_back(const struct pb_allocator *allocator, struct boxes *boxes) {
    for (int i = 0; i < boxes->count; i++) {
        allocator->release(allocator->context, boxes->at[i]);
        boxes->at[i] = NULL;
    }
}

static void run_wakers(struct bench_state *state) {
    const struct pb_allocator *allocator = allocator_of(state);
    static struct boxes boxes = {.count = BATCH};
    bool good = allocator != NULL;
    while (good && bench_next(state, BATCH)) {
        good = take(allocator, &boxes);
        give_back(allocator, &boxes);
    }
}

/* One thread allocates boxes while the other frees earlier ones, so no thread frees its own. Each
 * has a core of its own. */
static void run_wakers_threads(struct bench_state *state) {
    static struct bench_barrier barrier;
    static struct boxes boxes[2] = {{.count = TURN}, {.count = TURN}};
    const struct pb_allocator *allocator = allocator_of(state);
    bool host = bench_thread(state) == 0;
    cpu_set_t before;
    bool pinned = bench_pin(bench_thread(state), &before);
    int turn = 0;
    while (bench_next(state, TURN / THREADS) && allocator != NULL) {
        bench_meet(&barrier, THREADS);
        bench_begin(state);
        if (host) {
            take(allocator, &boxes[turn]);
        } else {
            give_back(allocator, &boxes[1 - turn]);
        }
        bench_meet(&barrier, THREADS);
        double spent_ns = bench_end(state);
        if (host) {
            bench_sample(state, spent_ns / (double)TURN);
        }
        turn = 1 - turn;
    }
    if (host && allocator != NULL) { /* of the last round, which the other thread has left */
        give_back(allocator, &boxes[1 - turn]);
    }
    if (!pinned) {
        bench_skip(state, "there is only one core");
    }
    bench_unpin(&before);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static void add(const char *name, void (*run)(struct bench_state *), int allocator, int threads) {
    bench_register(&(struct bench_case){
        .name = name,
        .run = run,
        .parameters = {{"allocator", bench_allocators[allocator].name, 0}},
        .clock = threads > 0 ? BENCH_CLOCK_SECTIONS : BENCH_CLOCK_LOOP,
        .threads = threads,
        .full_only = threads > 0 || bench_allocators[allocator].settings != NULL,
    });
}

BENCH_SUBJECT {
    for (int allocator = 0; allocator < BENCH_ALLOCATORS; allocator++) {
        add("objects/waiters", run_waiters, allocator, 0);
        add("objects/clone", run_clone, allocator, 0);
        add("objects/wakers", run_wakers, allocator, 0);
        add("objects/wakers", run_wakers_threads, allocator, THREADS);
    }
}

BENCH_SUBJECT {
    static const char *const words[][2] = {{"/waiters", "table of waiters"},
                                           {"/clone", "a clone's handle"},
                                           {"/wakers", "a waker's box"},
                                           {NULL, NULL}};
    bench_words_add(words);
    bench_section_add(&(struct bench_section){
        .inside = "Allocators",
        .title = "Small objects of waiters and wakers",
        .text = "Allocated and freed; with two threads, one allocates what the other frees. In "
                "brackets: the ratio to the fastest. A waiter itself needs no allocation: its "
                "record is "
                "on its thread's stack.",
        .rows = "^objects/",
        .lines = "allocator",
        .columns = "operation threads"});
}
