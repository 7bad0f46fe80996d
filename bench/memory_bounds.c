/* memory_bounds.c: the bare system calls (and the bare allocator, the bare memcpy) that bound the
 * rows of memory.c, at the same sizes. Run: build/bench/bench --filter='^bound/'.
 *
 * Nothing of ref/ is in here. A bound is the least that the operating system lets anybody do for
 * the same result; it checks nothing and keeps no books. */
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
#define TOTAL_BYTES (CAPACITY_BYTES + BENCH_GUARD_BYTES)

/* A batch of ranges: before() makes them ready, act() is measured, after() gives them back. Each
 * returns false when the system refuses. */
struct batch {
    struct bench_state *state;
    size_t bytes; /* of a memory of the row's size */
    uint8_t *ranges[RANGES_MAX];
    uint8_t *source; /* to copy from: bytes long, written */
    const struct pb_allocator *allocator;
    int file;
};

struct bound {
    const char *name;
    bool (*before)(struct batch *batch, int i);
    bool (*act)(struct batch *batch, int i);
    void (*after)(struct batch *batch, int i);
    bool heap;
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
    return map(&batch->ranges[i], TOTAL_BYTES, PROT_NONE);
}

static bool commit(struct batch *batch, int i) {
    return mprotect(batch->ranges[i], batch->bytes, READ_WRITE) == 0;
}

static bool reserve_commit(struct batch *batch, int i) {
    return reserve(batch, i) && commit(batch, i);
}

static bool map_capacity(struct batch *batch, int i) {
    return map(&batch->ranges[i], TOTAL_BYTES, READ_WRITE);
}

static bool guard_install(struct batch *batch, int i) {
    return map_capacity(batch, i) && madvise(batch->ranges[i] + batch->bytes,
                                             TOTAL_BYTES - batch->bytes, MADV_GUARD_INSTALL) == 0;
}

static bool guard_remove(struct batch *batch, int i) {
    return madvise(batch->ranges[i] + batch->bytes, PAGE_BYTES, MADV_GUARD_REMOVE) == 0;
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
    return mprotect(batch->ranges[i] + batch->bytes, PAGE_BYTES, READ_WRITE) == 0;
}

static bool release(struct batch *batch, int i) {
    return munmap(batch->ranges[i], TOTAL_BYTES) == 0;
}

static bool discard(struct batch *batch, int i) {
    return madvise(batch->ranges[i], batch->bytes, MADV_DONTNEED) == 0 &&
           mprotect(batch->ranges[i], batch->bytes, PROT_NONE) == 0;
}

static bool renew(struct batch *batch, int i) {
    return mmap(batch->ranges[i], TOTAL_BYTES, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == batch->ranges[i];
}

static bool map_exact(struct batch *batch, int i) {
    return map(&batch->ranges[i], batch->bytes, READ_WRITE);
}

static bool map_exact_touched(struct batch *batch, int i) {
    return map_exact(batch, i) && touch(batch, i);
}

static bool grow_by_mremap(struct batch *batch, int i) {
    void *moved = mremap(batch->ranges[i], batch->bytes, batch->bytes + PAGE_BYTES, MREMAP_MAYMOVE);
    batch->ranges[i] = moved == MAP_FAILED ? NULL : moved;
    return moved != MAP_FAILED;
}

static bool grow_by_move(struct batch *batch, int i) {
    uint8_t *old = batch->ranges[i];
    if (!map(&batch->ranges[i], batch->bytes + PAGE_BYTES, READ_WRITE)) {
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

/* What a memory that is written at once costs at least: the mapping and the pages. */
static bool map_populated(struct batch *batch, int i) {
    return map_exact(batch, i) && madvise(batch->ranges[i], batch->bytes, MADV_POPULATE_WRITE) == 0;
}

/* From a multiple of a huge page: else the first ones could not be huge. */
static bool map_huge(struct batch *batch, int i) {
    if (!map_capacity(batch, i) || madvise(batch->ranges[i], TOTAL_BYTES, MADV_HUGEPAGE) != 0) {
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
    bench_touch(batch->ranges[i], BENCH_TOUCHED_HOST_PAGES * BENCH_HOST_PAGE);
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
    uint8_t *at =
        allocator->resize(allocator->context, batch->ranges[i], batch->bytes + PAGE_BYTES);
    if (at == NULL) {
        return false;
    }
    memset(at + batch->bytes, 0, PAGE_BYTES); /* new bytes of a memory are zero */
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
    munmap(batch->ranges[i], TOTAL_BYTES);
}

static void unmap_exact(struct batch *batch, int i) {
    munmap(batch->ranges[i], batch->bytes);
}

static void unmap_grown(struct batch *batch, int i) {
    munmap(batch->ranges[i], batch->bytes + PAGE_BYTES);
}

static void heap_return(struct batch *batch, int i) {
    heap_release(batch, i);
}

static const struct bound bounds[] = {
    {"bound/reserve", none, reserve_commit, unmap_total, false},
    {"bound/mmap", none, map_capacity, unmap_total, false},
    {"bound/guard_install", none, guard_install, unmap_total, false},
    {"bound/commit", reserve, commit, unmap_total, false},
    {"bound/mprotect", committed_touched, grow_in_place, unmap_total, false},
    {"bound/mremap", map_exact_touched, grow_by_mremap, unmap_grown, false},
    {"bound/move", map_exact_touched, grow_by_move, unmap_grown, false},
    {"bound/guard_remove", guarded_touched, guard_remove, unmap_total, false},
    {"bound/munmap", committed_touched, release, nothing, false},
    {"bound/discard", committed_touched, discard, unmap_total, false},
    {"bound/renew", committed_touched, renew, unmap_total, false},
    {"bound/touch", map_exact, touch, unmap_exact, false},
    {"bound/populate", none, map_populated, unmap_exact, false},
    {"bound/touch_huge", none, map_huge, unmap_total, false},
    {"bound/copy", none, copy, unmap_exact, false},
    {"bound/map_file", none, map_file, unmap_exact, false},
    {"bound/map_file_touch", none, map_file_touch, unmap_exact, false},
};
static const struct bound heap_bounds[] = {
    {"bound/calloc", none, heap_allocate, heap_return, true},
    {"bound/realloc", heap_allocate_touched, heap_resize, heap_return, true},
    {"bound/free", heap_allocate_touched, heap_release, nothing, true},
};
static const struct bound life_bound = {"bound/life", none, life, nothing, false};

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
    struct batch batch = {.state = state, .bytes = (size_t)pages * PAGE_BYTES};
    if (bound->heap) {
        bool glibc = strcmp(bench_text(state, "allocator"), "glibc") == 0;
        batch.allocator = glibc ? &pb_allocator_libc : &bench_jemalloc;
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

/* ---- memcpy alone ---------------------------------------------------------------------------- */

/* Both sides warm. offset is (destination - source) modulo 4,096: some memcpy are many times slower
 * at small ones, which a copy into malloc's memory meets by chance and one into fresh pages never.
 */
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

static const char *const allocators[] = {"glibc", "jemalloc"};

static void add(const struct bound *bound, const char *allocator, uint32_t pages) {
    struct bench_case bench = {
        .name = bound->name, .run = run_bound, .argument = bound, .clock = BENCH_CLOCK_SECTIONS};
    int next = 0;
    if (allocator != NULL) {
        bench.parameters[next++] = (struct bench_parameter){"allocator", allocator, 0};
    }
    bench.parameters[next] = (struct bench_parameter){"pages", NULL, pages};
    bench_register(&bench);
}

static void add_size(uint32_t pages) {
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        add(&bounds[i], NULL, pages);
    }
    for (size_t i = 0; i < sizeof heap_bounds / sizeof heap_bounds[0]; i++) {
        for (size_t allocator = 0; allocator < 2; allocator++) {
            add(&heap_bounds[i], allocators[allocator], pages);
        }
    }
}

BENCH_SUBJECT {
    for (int size = 0; size < BENCH_SIZES; size++) {
        add_size(bench_sizes[size]);
    }
    add(&life_bound, NULL, 1);
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
