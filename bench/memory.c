/* memory.c: what a linear memory costs, by strategy and size: create, grow, copy, first touch,
 * destroy, and a short life. Run: build/bench/bench --filter='^memory/'.
 *
 * pages: the memory's size. Strategies that never move reserve 1,024 pages, the others what they
 * hold, so that each growth of remap, move and heap is one past the capacity, their dear case. */
#include "memory.h"
#include "allocators.h"
#include "shim.h"
#include "strategies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 16, POOL_SLOTS = 32 };

/* One strategy with its variant, and the rows of memory_bounds.c that bound it: each is followed by
 * "/pages:N". Empty: nothing that the system does bounds it. */
struct subject {
    enum pb_strategy strategy;
    struct bench_parameter variant;
    const struct pb_allocator *allocator;
    enum pb_pool_reset reset;
    const char *create, *grow, *destroy;
};

/* Ways to have memory that is already there when it is first written. */
struct advised {
    const char *name;
    unsigned advice;
    const char *bound;
};

static const struct advised advices[] = {
    {"none", PB_ADVICE_NONE, "touch"},
    {"populate", PB_ADVICE_POPULATE, "populate"},
    {"huge", PB_ADVICE_HUGE_PAGES, "touch_huge"},
};
enum { ADVICES = sizeof advices / sizeof advices[0] };

static const struct subject subjects[] = {
    {PB_STRATEGY_RESERVE, {0}, NULL, 0, "reserve", "mprotect", "munmap"},
    {PB_STRATEGY_RESERVE_RW, {0}, NULL, 0, "mmap", NULL, "munmap"},
    {PB_STRATEGY_REMAP, {0}, NULL, 0, "reserve", "mremap", "munmap"},
    {PB_STRATEGY_MOVE, {0}, NULL, 0, "reserve", "move", "munmap"},
    {PB_STRATEGY_HEAP,
     {"allocator", "glibc", 0},
     &pb_allocator_libc,
     0,
     "calloc/allocator:glibc",
     "realloc/allocator:glibc",
     "free/allocator:glibc"},
    {PB_STRATEGY_HEAP,
     {"allocator", "jemalloc", 0},
     &bench_jemalloc,
     0,
     "calloc/allocator:jemalloc",
     "realloc/allocator:jemalloc",
     "free/allocator:jemalloc"},
    {PB_STRATEGY_IMAGE, {0}, NULL, 0, "reserve", "mprotect", "munmap"},
    {PB_STRATEGY_POOL,
     {"reset", "discard", 0},
     NULL,
     PB_POOL_DISCARD,
     "commit",
     "mprotect",
     "discard"},
    {PB_STRATEGY_POOL, {"reset", "renew", 0}, NULL, PB_POOL_RENEW, "commit", "mprotect", "renew"},
    {PB_STRATEGY_GUARD, {0}, NULL, 0, "guard_install", "guard_remove", "munmap"},
};
enum { SUBJECTS = sizeof subjects / sizeof subjects[0] };

/* ---- One memory ------------------------------------------------------------------------------ */

/* What a run works on: made from the row's parameters. */
struct bench {
    struct bench_state *state;
    const struct subject *subject;
    uint32_t pages;
    struct pb_memory_style style;
    struct pb_memory_config config;
    struct pb_memory *memories[BATCH_MAX];
    int count;
};

/* False: the row is skipped, with the reason. */
static bool check(struct bench *bench, const char *what, enum pb_status status) {
    if (status != PB_OK) {
        char reason[160];
        snprintf(reason, sizeof reason, "%s: %s", what, pb_status_message(status));
        bench_skip(bench->state, reason);
    }
    return status == PB_OK;
}

static bool setup(struct bench *bench, struct bench_state *state) {
    const struct subject *subject = bench_argument(state);
    memset(bench, 0, sizeof *bench);
    bench->state = state;
    bench->subject = subject;
    bench->pages = (uint32_t)bench_number(state, "pages");
    bool stays = pb_strategy_info(subject->strategy)->stable_base;
    bench->style.kind = stays ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC;
    bench->style.bound_pages = stays ? BENCH_CAPACITY_PAGES : 0;
    bench->style.guard_bytes = BENCH_GUARD_BYTES;
    bench->config.type.min_pages = bench->pages;
    bench->config.type.max_pages = BENCH_CAPACITY_PAGES;
    bench->config.style = &bench->style;
    bench->config.strategy = subject->strategy;
    bench->config.allocator = subject->allocator;
    if (subject->strategy != PB_STRATEGY_POOL) {
        return true;
    }
    struct pb_pool_config pool = {.slots = POOL_SLOTS,
                                  .slot_bytes = pb_pages_to_bytes(BENCH_CAPACITY_PAGES),
                                  .guard_bytes = BENCH_GUARD_BYTES,
                                  .reset = subject->reset};
    return check(bench, "pool", pb_pool_create(&pool, &bench->config.pool));
}

static void teardown(struct bench *bench) {
    pb_pool_destroy(bench->config.pool);
}

static void touch(struct pb_memory *memory) {
    struct pb_memory_definition *definition = pb_memory_definition(memory);
    bench_touch(atomic_load_explicit(&definition->base, memory_order_relaxed),
                atomic_load_explicit(&definition->length_bytes, memory_order_relaxed));
}

static enum pb_status create_all(struct bench *bench, int count) {
    enum pb_status status = PB_OK;
    for (bench->count = 0; bench->count < count && status == PB_OK;) {
        status = pb_memory_create(&bench->config, &bench->memories[bench->count]);
        bench->count += status == PB_OK;
    }
    return status;
}

static void touch_all(struct bench *bench) {
    for (int i = 0; i < bench->count; i++) {
        touch(bench->memories[i]);
    }
}

static void destroy_all(struct bench *bench) {
    for (int i = 0; i < bench->count; i++) {
        pb_memory_destroy(bench->memories[i]);
    }
    bench->count = 0;
}

/* ---- The rows -------------------------------------------------------------------------------- */

static void run_create(struct bench_state *state) {
    struct bench bench;
    bool good = setup(&bench, state);
    int batch = bench_batch(bench.pages);
    while (good && bench_next(state, batch)) {
        bench_begin(state);
        enum pb_status status = create_all(&bench, batch);
        bench_end(state);
        good = check(&bench, "create", status);
        destroy_all(&bench);
    }
    teardown(&bench);
}

/* One page more, of a memory whose every host page has been written. */
static void run_grow(struct bench_state *state) {
    struct bench bench;
    bool good = setup(&bench, state);
    int batch = bench_batch(bench.pages);
    while (good && bench_next(state, batch)) {
        enum pb_status status = create_all(&bench, batch);
        touch_all(&bench);
        bench_begin(state);
        for (int i = 0; i < bench.count && status == PB_OK; i++) {
            uint32_t old_pages;
            status = pb_memory_grow(bench.memories[i], 1, &old_pages);
        }
        bench_end(state);
        good = check(&bench, "grow", status);
        destroy_all(&bench);
    }
    teardown(&bench);
}

static void run_touch(struct bench_state *state) {
    struct bench bench;
    bool good = setup(&bench, state);
    int batch = bench_batch(bench.pages);
    while (good && bench_next(state, batch)) {
        enum pb_status status = create_all(&bench, batch);
        bench_begin(state);
        touch_all(&bench);
        bench_end(state);
        good = check(&bench, "create", status);
        destroy_all(&bench);
    }
    teardown(&bench);
}

static void run_destroy(struct bench_state *state) {
    struct bench bench;
    bool good = setup(&bench, state);
    int batch = bench_batch(bench.pages);
    while (good && bench_next(state, batch)) {
        enum pb_status status = create_all(&bench, batch);
        touch_all(&bench);
        bench_begin(state);
        destroy_all(&bench);
        bench_end(state);
        good = check(&bench, "create", status);
    }
    teardown(&bench);
}

/* Create and write to every host page, with the kernel advised on how to provide them. */
static void run_create_touch(struct bench_state *state) {
    struct bench bench;
    bool good = setup(&bench, state);
    int batch = bench_batch(bench.pages);
    bench.config.advice = (unsigned)bench_number(state, "advice");
    while (good && bench_next(state, batch)) {
        bench_begin(state);
        enum pb_status status = create_all(&bench, batch);
        touch_all(&bench);
        bench_end(state);
        good = check(&bench, "create", status);
        destroy_all(&bench);
    }
    teardown(&bench);
}

/* Copies a memory of which `written` per cent of the host pages were written since the last copy;
 * with touched, every host page of the copy is written as well. */
static void run_copies(struct bench_state *state, bool touched) {
    struct bench bench;
    bool good = setup(&bench, state);
    struct pb_memory *source = NULL, *copy = NULL;
    good = good && check(&bench, "create", pb_memory_create(&bench.config, &source));
    if (good) {
        touch(source);
        good = check(&bench, "copy", pb_memory_copy(source, &copy));
        pb_memory_destroy(copy);
    }
    bool rewrite = bench_number(state, "written") != 0;
    while (good && bench_next(state, 1)) {
        if (rewrite) {
            touch(source);
        }
        copy = NULL;
        bench_begin(state);
        enum pb_status status = pb_memory_copy(source, &copy);
        if (touched && status == PB_OK) {
            touch(copy);
        }
        bench_end(state);
        good = check(&bench, "copy", status);
        pb_memory_destroy(copy);
    }
    pb_memory_destroy(source);
    teardown(&bench);
}

static void run_copy(struct bench_state *state) {
    run_copies(state, false);
}

static void run_copy_touch(struct bench_state *state) {
    run_copies(state, true);
}

/* A short-lived instance: create, write to four host pages, destroy. */
static void run_life(struct bench_state *state) {
    struct bench bench;
    bool good = setup(&bench, state);
    while (good && bench_next(state, 1)) {
        enum pb_status status = create_all(&bench, 1);
        good = check(&bench, "create", status);
        if (good) {
            struct pb_memory_definition *definition = pb_memory_definition(bench.memories[0]);
            bench_touch(atomic_load_explicit(&definition->base, memory_order_relaxed),
                        BENCH_TOUCHED_HOST_PAGES * BENCH_HOST_PAGE);
        }
        destroy_all(&bench);
    }
    teardown(&bench);
}

/* ---- Registration ---------------------------------------------------------------------------- */

/* "bound/mprotect/pages:16"; lives as long as the program. */
static const char *bound_name(const char *bound, uint32_t pages) {
    char name[96];
    if (bound == NULL) {
        return NULL;
    }
    snprintf(name, sizeof name, "bound/%s/pages:%u", bound, pages);
    return strdup(name);
}

/* option: one more parameter at the end of the name, where it has a name. */
static void add(const char *name, void (*run)(struct bench_state *), const struct subject *subject,
                uint32_t pages, const char *bound, struct bench_parameter option) {
    struct bench_case bench = {
        .name = name,
        .run = run,
        .argument = subject,
        .clock = run == run_life ? BENCH_CLOCK_LOOP : BENCH_CLOCK_SECTIONS,
        .parameters = {{"strategy", .text = pb_strategy_info(subject->strategy)->name}},
        .bounds = bound_name(bound, pages),
    };
    int next = 1;
    if (subject->variant.name != NULL) {
        bench.parameters[next++] = subject->variant;
    }
    bench.parameters[next++] = (struct bench_parameter){"pages", NULL, pages};
    bench.parameters[next] = option;
    const char *reason = "this kernel cannot do it";
    if (pb_strategy_available(subject->strategy, &reason) != PB_OK) {
        bench.skip = reason;
    }
    bench_register(&bench);
}

static const struct bench_parameter no_option = {NULL, NULL, 0};

static void add_copies(const struct subject *subject, uint32_t pages, int written) {
    struct bench_parameter option = {"written", NULL, written};
    bool view = pb_strategy_info(subject->strategy)->copy == PB_COPY_ON_WRITE && written == 0;
    add("memory/copy", run_copy, subject, pages, view ? "map_file" : "copy", option);
    add("memory/copy_touch", run_copy_touch, subject, pages, view ? "map_file_touch" : "copy",
        option);
}

static void add_size(const struct subject *subject, uint32_t pages) {
    add("memory/create", run_create, subject, pages, subject->create, no_option);
    add("memory/grow", run_grow, subject, pages, subject->grow, no_option);
    add("memory/touch", run_touch, subject, pages, "touch", no_option);
    add("memory/destroy", run_destroy, subject, pages, subject->destroy, no_option);
    add_copies(subject, pages, 100);
    if (pb_strategy_info(subject->strategy)->copy == PB_COPY_ON_WRITE) {
        add_copies(subject, pages, 0);
    }
}

static void add_advised(uint32_t pages) {
    for (int i = 0; i < ADVICES; i++) {
        struct bench_parameter option = {"advice", advices[i].name, advices[i].advice};
        add("memory/create_touch", run_create_touch, &subjects[0], pages, advices[i].bound, option);
    }
}

BENCH_SUBJECT {
    for (int size = 0; size < BENCH_SIZES; size++) {
        add_advised(bench_sizes[size]);
    }
    for (int i = 0; i < SUBJECTS; i++) {
        for (int size = 0; size < BENCH_SIZES; size++) {
            add_size(&subjects[i], bench_sizes[size]);
        }
        add("memory/life", run_life, &subjects[i], 1, "life", no_option);
    }
}
