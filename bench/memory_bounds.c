/* memory_bounds.c: the bare system calls (and the bare allocator and memcpy) that bound the rows of
 * memory.c, at the same sizes. Run: build/bench/bench --filter='^bound/'.
 *
 * Contains nothing of ref/. A bound is the least that the operating system allows for the same
 * result; it checks nothing and keeps no state. */
#include "allocators.h"
#include "shim.h"
#include "strategies.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

enum {
    RANGES_MAX = 16,
    PAGE_BYTES = 65536,
    HUGE_BYTES = 2 << 20,
    READ_WRITE = PROT_READ | PROT_WRITE
};
#define CAPACITY_BYTES ((size_t)BENCH_CAPACITY_PAGES * PAGE_BYTES)

/* A batch of ranges: before() prepares them, act() is measured, after() releases them. Each returns
 * false if the system refuses. */
struct batch {
    struct bench_state *state;
    size_t bytes; /* of a memory of the row's size */
    size_t by;    /* bytes added by a growth */
    size_t total; /* reserved, including the guard */
    uint8_t *ranges[RANGES_MAX];
    uint8_t *fences[RANGES_MAX]; /* of mremap: the inaccessible page behind the old range */
    uint8_t *source;             /* source of copies: `bytes` long, written */
    const struct pb_allocator *allocator;
    int file;
};

struct bound {
    const char *name;
    bool (*before)(struct batch *batch, int i);
    bool (*act)(struct batch *batch, int i);
    void (*after)(struct batch *batch, int i);
    bool heap;
    const char *words; /* its name in the report; NULL: the row's own */
};

/* ---- Steps ----------------------------------------------------------------------------------- */

static bool map(uint8_t **at, size_t bytes, int protection) {
    void *made = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *at = made == MAP_FAILED ? NULL : made;
    return *at != NULL;
}

static bool none(struct batch *batch, int i) {
    (void)batch;
    (void)i;
    return true;
}

static bool reserve(struct batch *batch, int i) {
    return map(&batch->ranges[i], batch->total, PROT_NONE);
}

static bool commit(struct batch *batch, int i) {
    return mprotect(batch->ranges[i], batch->bytes, READ_WRITE) == 0;
}

static bool reserve_commit(struct batch *batch, int i) {
    return reserve(batch, i) && commit(batch, i);
}

static bool map_capacity(struct batch *batch, int i) {
    return map(&batch->ranges[i], batch->total, READ_WRITE);
}

static bool guard_install(struct batch *batch, int i) {
    return map_capacity(batch, i) && madvise(batch->ranges[i] + batch->bytes,
                                             batch->total - batch->bytes, MADV_GUARD_INSTALL) == 0;
}

static bool guard_remove(struct batch *batch, int i) {
    return madvise(batch->ranges[i] + batch->bytes, batch->by, MADV_GUARD_REMOVE) == 0;
}

static bool touch(struct batch *batch, int i) {
    bench_touch(batch->ranges[i], batch->bytes);
    return true;
}

static bool guarded_touched(struct batch *batch, int i) {
    return guard_install(batch, i) && touch(batch, i);
}

static bool committed_touched(struct batch *batch, int i) {
    return reserve_commit(batch, i) && touch(batch, i);
}

static bool grow_in_place(struct batch *batch, int i) {
    return mprotect(batch->ranges[i] + batch->bytes, batch->by, READ_WRITE) == 0;
}

static bool release(struct batch *batch, int i) {
    return munmap(batch->ranges[i], batch->total) == 0;
}

static bool discard(struct batch *batch, int i) {
    return madvise(batch->ranges[i], batch->bytes, MADV_DONTNEED) == 0 &&
           mprotect(batch->ranges[i], batch->bytes, PROT_NONE) == 0;
}

static bool discard_only(struct batch *batch, int i) {
    return madvise(batch->ranges[i], batch->bytes, MADV_DONTNEED) == 0;
}

static bool discard_touch(struct batch *batch, int i) {
    return discard_only(batch, i) && touch(batch, i);
}

/* The cost of resetting memory that cannot be discarded. */
static bool zero(struct batch *batch, int i) {
    memset(batch->ranges[i], 0, batch->bytes);
    return true;
}

/* Growth on demand within a reservation, one call per growth: `to` and `by` of the row as in
 * memory.c. */
static bool steps(struct batch *batch, int i) {
    size_t to = (size_t)bench_number(batch->state, "to") * PAGE_BYTES, bytes = batch->bytes;
    size_t by = (size_t)bench_number(batch->state, "by") * PAGE_BYTES;
    bool good = true;
    while (good && bytes < to) {
        size_t step = by > 0 ? by : bytes;
        step = step < to - bytes ? step : to - bytes;
        good = mprotect(batch->ranges[i] + bytes, step, READ_WRITE) == 0;
        bytes += step;
    }
    return good;
}

static bool renew(struct batch *batch, int i) {
    return mmap(batch->ranges[i], batch->total, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == batch->ranges[i];
}

static bool map_exact(struct batch *batch, int i) {
    return map(&batch->ranges[i], batch->bytes, READ_WRITE);
}

static bool map_exact_touched(struct batch *batch, int i) {
    return map_exact(batch, i) && touch(batch, i);
}

/* With an inaccessible page behind it, so that growth always moves. */
static bool map_fenced_touched(struct batch *batch, int i) {
    return map(&batch->ranges[i], batch->bytes + BENCH_HOST_PAGE, PROT_NONE) && commit(batch, i) &&
           touch(batch, i);
}

static bool grow_by_mremap(struct batch *batch, int i) {
    batch->fences[i] = batch->ranges[i] + batch->bytes;
    void *moved = mremap(batch->ranges[i], batch->bytes, batch->bytes + batch->by, MREMAP_MAYMOVE);
    batch->ranges[i] = moved == MAP_FAILED ? NULL : moved;
    return moved != MAP_FAILED;
}

static bool grow_by_move(struct batch *batch, int i) {
    uint8_t *old = batch->ranges[i];
    if (!map(&batch->ranges[i], batch->bytes + batch->by, READ_WRITE)) {
        return false;
    }
    memcpy(batch->ranges[i], old, batch->bytes);
    return munmap(old, batch->bytes) == 0;
}

static bool copy(struct batch *batch, int i) {
    if (!map_exact(batch, i)) {
        return false;
    }
    memcpy(batch->ranges[i], batch->source, batch->bytes);
    return true;
}

static bool map_file(struct batch *batch, int i) {
    void *made = mmap(NULL, batch->bytes, READ_WRITE, MAP_PRIVATE, batch->file, 0);
    batch->ranges[i] = made == MAP_FAILED ? NULL : made;
    return made != MAP_FAILED;
}

static bool map_file_touch(struct batch *batch, int i) {
    return map_file(batch, i) && touch(batch, i);
}

/* Touches one byte of each host page; a fault in a view of a file brings in several pages. */
static bool map_file_read(struct batch *batch, int i) {
    if (!map_file(batch, i)) {
        return false;
    }
    for (size_t at = 0; at < batch->bytes; at += BENCH_HOST_PAGE) {
        (void)*(volatile uint8_t *)(batch->ranges[i] + at);
    }
    return true;
}

/* The least for a memory that is written at once: the mapping and the pages. */
static bool map_populated(struct batch *batch, int i) {
    return map_exact(batch, i) && madvise(batch->ranges[i], batch->bytes, MADV_POPULATE_WRITE) == 0;
}

/* Aligned to a huge page, since otherwise the first pages could not be huge. */
static bool map_huge(struct batch *batch, int i) {
    if (!map_capacity(batch, i) || madvise(batch->ranges[i], batch->total, MADV_HUGEPAGE) != 0) {
        return false;
    }
    uintptr_t past = (uintptr_t)batch->ranges[i] % HUGE_BYTES;
    bench_touch(batch->ranges[i] + (past == 0 ? 0 : HUGE_BYTES - past), batch->bytes);
    return true;
}

static bool life(struct batch *batch, int i) {
    if (!reserve_commit(batch, i)) {
        return false;
    }
    bench_touch(batch->ranges[i], (uint64_t)BENCH_TOUCHED_HOST_PAGES * BENCH_HOST_PAGE);
    return release(batch, i);
}

static bool heap_allocate(struct batch *batch, int i) {
    const struct pb_allocator *allocator = batch->allocator;
    batch->ranges[i] = allocator->allocate_zeroed(allocator->context, batch->bytes);
    return batch->ranges[i] != NULL;
}

static bool heap_allocate_touched(struct batch *batch, int i) {
    return heap_allocate(batch, i) && touch(batch, i);
}

static bool heap_resize(struct batch *batch, int i) {
    const struct pb_allocator *allocator = batch->allocator;
    uint8_t *at = allocator->resize(allocator->context, batch->ranges[i], batch->bytes + batch->by);
    if (at == NULL) {
        return false;
    }
    memset(at + batch->bytes, 0, batch->by); /* new bytes of a memory are zero */
    batch->ranges[i] = at;
    return true;
}

static bool heap_release(struct batch *batch, int i) {
    batch->allocator->release(batch->allocator->context, batch->ranges[i]);
    return true;
}

/* ---- Afterwards ------------------------------------------------------------------------------ */

static void nothing(struct batch *batch, int i) {
    (void)batch;
    (void)i;
}

static void unmap_total(struct batch *batch, int i) {
    munmap(batch->ranges[i], batch->total);
}

static void unmap_exact(struct batch *batch, int i) {
    munmap(batch->ranges[i], batch->bytes);
}

static void unmap_grown(struct batch *batch, int i) {
    munmap(batch->ranges[i], batch->bytes + batch->by);
}

static void unmap_moved(struct batch *batch, int i) {
    unmap_grown(batch, i);
    munmap(batch->fences[i], BENCH_HOST_PAGE);
}

static void heap_return(struct batch *batch, int i) {
    heap_release(batch, i);
}

static const struct bound bounds[] = {
    {"bound/reserve", none, reserve_commit, unmap_total, false, "mmap + mprotect"},
    {"bound/mmap", none, map_capacity, unmap_total, false, NULL},
    {"bound/guard_install", none, guard_install, unmap_total, false,
     "mmap + madvise (install guards)"},
    {"bound/commit", reserve, commit, unmap_total, false, "mprotect"},
    {"bound/mprotect", committed_touched, grow_in_place, unmap_total, false, NULL},
    {"bound/mremap", map_fenced_touched, grow_by_mremap, unmap_moved, false, "mremap that moves"},
    {"bound/move", map_exact_touched, grow_by_move, unmap_grown, false, "mmap + memcpy + munmap"},
    {"bound/guard_remove", guarded_touched, guard_remove, unmap_total, false,
     "madvise (remove guards)"},
    {"bound/munmap", committed_touched, release, nothing, false, NULL},
    {"bound/discard", committed_touched, discard, unmap_total, false,
     "madvise (discard) + mprotect"},
    {"bound/discard_only", committed_touched, discard_only, unmap_total, false,
     "madvise (discard)"},
    {"bound/discard_touch", committed_touched, discard_touch, unmap_total, false,
     "madvise (discard) + page faults"},
    {"bound/memset", committed_touched, zero, unmap_total, false, NULL},
    {"bound/renew", committed_touched, renew, unmap_total, false, "mmap in its place"},
    {"bound/touch", map_exact, touch, unmap_exact, false, "page faults"},
    {"bound/populate", none, map_populated, unmap_exact, false, "mmap + madvise (populate)"},
    {"bound/touch_huge", none, map_huge, unmap_total, false, "mmap, aligned + huge-page faults"},
    {"bound/copy", none, copy, unmap_exact, false, "mmap + memcpy"},
    {"bound/map_file", none, map_file, unmap_exact, false, "mmap of a file"},
    {"bound/map_file_read", none, map_file_read, unmap_exact, false,
     "mmap of a file + read faults"},
    {"bound/map_file_touch", none, map_file_touch, unmap_exact, false,
     "mmap of a file + page faults"},
};
static const struct bound heap_bounds[] = {
    {"bound/calloc", none, heap_allocate, heap_return, true, NULL},
    {"bound/realloc", heap_allocate_touched, heap_resize, heap_return, true, NULL},
    {"bound/free", heap_allocate_touched, heap_release, nothing, true, NULL},
};
/* Growths by more than a page, and on demand. */
static const struct bound growth_bounds[] = {
    {"bound/mprotect", committed_touched, grow_in_place, unmap_total, false, NULL},
    {"bound/mremap", map_fenced_touched, grow_by_mremap, unmap_moved, false, "mremap that moves"},
    {"bound/move", map_exact_touched, grow_by_move, unmap_grown, false, "mmap + memcpy + munmap"},
    {"bound/guard_remove", guarded_touched, guard_remove, unmap_total, false,
     "madvise (remove guards)"},
};
static const struct bound growth_heap_bound = {
    "bound/realloc", heap_allocate_touched, heap_resize, heap_return, true, NULL};
static const struct bound steps_bound = {"bound/steps", reserve_commit, steps,
                                         unmap_total,   false,          "one mprotect a growth"};
static const struct bound life_bound = {"bound/life", none,  life,
                                        nothing,      false, "mmap + mprotect + 4 faults + munmap"};

/* ---- Running --------------------------------------------------------------------------------- */

static bool make_source(struct batch *batch) {
    batch->file = memfd_create("bound", MFD_CLOEXEC);
    if (!map(&batch->source, batch->bytes, READ_WRITE)) {
        return false;
    }
    bench_touch(batch->source, batch->bytes);
    return batch->file >= 0 &&
           pwrite(batch->file, batch->source, batch->bytes, 0) == (ssize_t)batch->bytes;
}

static bool run_batch(struct batch *batch, const struct bound *bound, int count) {
    bool good = true;
    int ready = 0, done = 0;
    while (ready < count && good) {
        good = bound->before(batch, ready);
        ready += good;
    }
    bench_begin(batch->state);
    while (done < count && good) {
        good = bound->act(batch, done);
        done += good;
    }
    bench_end(batch->state);
    for (int i = 0; i < done; i++) {
        bound->after(batch, i);
    }
    return good;
}

static void run_bound(struct bench_state *state) {
    const struct bound *bound = bench_argument(state);
    uint32_t pages = (uint32_t)bench_number(state, "pages");
    struct batch batch = {.state = state,
                          .bytes = (size_t)pages * PAGE_BYTES,
                          .by = PAGE_BYTES,
                          .total = CAPACITY_BYTES + BENCH_GUARD_BYTES};
    if (bench_has(state, "by")) {
        batch.by = (size_t)bench_number(state, "by") * PAGE_BYTES;
        size_t grown = bench_has(state, "to") ? (size_t)bench_number(state, "to") * PAGE_BYTES
                                              : batch.bytes + batch.by;
        batch.total = grown > CAPACITY_BYTES ? grown + BENCH_GUARD_BYTES : batch.total;
    }
    if (bound->heap) {
        batch.allocator = &bench_allocator(bench_text(state, "allocator"))->allocator;
        const char *refusal = bench_allocator_refusal(batch.allocator);
        if (refusal != NULL) {
            bench_skip(state, refusal);
            return;
        }
    }
    bool good = make_source(&batch);
    int count = bench_batch(pages);
    while (good && bench_next(state, count)) {
        good = run_batch(&batch, bound, count);
    }
    if (!good) {
        bench_skip(state, "the system refuses it");
    }
    munmap(batch.source, batch.bytes);
    close(batch.file);
}

/* ---- memcpy ---------------------------------------------------------------------------------- */

/* Both sides are warm. offset is (destination - source) modulo 4,096. Some memcpy are many times
 * slower at small offsets, which copies into malloc's memory have by chance and copies into fresh
 * pages never have. */
static void run_memcpy(struct bench_state *state) {
    size_t bytes = (size_t)bench_number(state, "pages") * PAGE_BYTES;
    size_t offset = (size_t)bench_number(state, "offset");
    uint8_t *from = NULL, *to = NULL;
    if (!map(&from, bytes, READ_WRITE) || !map(&to, bytes + BENCH_HOST_PAGE, READ_WRITE)) {
        bench_skip(state, "no memory");
        return;
    }
    memset(from, 1, bytes);
    memset(to, 1, bytes + BENCH_HOST_PAGE);
    while (bench_next(state, 1)) {
        memcpy(to + offset, from, bytes);
        __asm__ volatile("" ::: "memory");
    }
    munmap(from, bytes);
    munmap(to, bytes + BENCH_HOST_PAGE);
}

/* ---- Registration ---------------------------------------------------------------------------- */

/* option2 only together with option. */
static void add(const struct bound *bound, const char *allocator, uint32_t pages,
                struct bench_parameter option, struct bench_parameter option2) {
    struct bench_case bench = {
        .name = bound->name, .run = run_bound, .argument = bound, .clock = BENCH_CLOCK_SECTIONS};
    int next = 0;
    if (allocator != NULL) {
        bench.parameters[next++] = (struct bench_parameter){"allocator", allocator, 0};
    }
    bench.parameters[next++] = (struct bench_parameter){"pages", NULL, pages};
    bench.parameters[next++] = option;
    bench.parameters[next] = option2;
    bench.full_only = pages != 16;
    bench_register(&bench);
    if (bound->words != NULL) {
        bench_words(bound->name, bound->words);
    }
}

static const struct bench_parameter no_option = {NULL, NULL, 0};

static void add_size(uint32_t pages) {
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        add(&bounds[i], NULL, pages, no_option, no_option);
    }
    for (size_t i = 0; i < sizeof heap_bounds / sizeof heap_bounds[0]; i++) {
        for (int allocator = 0; allocator < BENCH_ALLOCATORS; allocator++) {
            if (allocator < 2 || pages == 1 || pages == 16 || pages == 256) {
                add(&heap_bounds[i], bench_allocators[allocator].name, pages, no_option, no_option);
            }
        }
    }
}

static void add_growths(int64_t by) {
    struct bench_parameter option = {"by", NULL, by};
    for (size_t i = 0; i < sizeof growth_bounds / sizeof growth_bounds[0]; i++) {
        add(&growth_bounds[i], NULL, 16, option, no_option);
    }
    for (int allocator = 0; allocator < 2; allocator++) {
        add(&growth_heap_bound, bench_allocators[allocator].name, 16, option, no_option);
    }
}

BENCH_SUBJECT {
    for (int size = 0; size < BENCH_SIZES; size++) {
        add_size(bench_sizes[size]);
    }
    add(&life_bound, NULL, 1, no_option, no_option);
    add_growths(16);
    add_growths(1024);
    static const int64_t climbs[][2] = {{1024, 16}, {16384, 0}};
    for (int i = 0; i < 2; i++) {
        add(&steps_bound, NULL, 1, (struct bench_parameter){"to", NULL, climbs[i][0]},
            (struct bench_parameter){"by", NULL, climbs[i][1]});
    }
}

BENCH_SUBJECT {
    static const int offsets[] = {0, 16, 64, 256, 1024, 2048};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        bench_register(
            &(struct bench_case){.name = "bound/memcpy",
                                 .run = run_memcpy,
                                 .clock = BENCH_CLOCK_LOOP,
                                 .parameters = {{"pages", NULL, 4}, {"offset", NULL, offsets[i]}}});
    }
}

BENCH_SUBJECT {
    bench_words("offset", "offset %s");
    bench_section_add(&(struct bench_section){
        .title = "A trap: memcpy and alignment",
        .text =
            "256 KiB, both sides warm, by (destination - source) modulo 4,096. Memory from malloc "
            "starts 16 bytes past a page, mapped memory at a page, so a copy between the two has "
            "offset 16. All copies above are between places of equal alignment.",
        .rows = "^bound/memcpy/",
        .lines = "offset"});
    bench_answer("**memcpy** of 256 KiB takes {time bound/memcpy/pages:4/offset:0} between "
                 "page-aligned places and longest with {most ^bound/memcpy/}, by (destination - "
                 "source) modulo 4,096: compare copies at equal alignment only.");
}
