/* limiter.c: tests of R40: who is asked before a memory is made or grows, and one budget over many.
 */
#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

static struct {
    uint64_t from, to, max;
    unsigned asked, failed, shrunk;
    enum pb_status why;
    bool refuses;
} seen;

static bool growing(void *context, uint64_t from_bytes, uint64_t to_bytes, uint64_t max_bytes) {
    CHECK(context == &seen);
    seen.from = from_bytes, seen.to = to_bytes, seen.max = max_bytes;
    seen.asked++;
    return !seen.refuses;
}

static void failed(void *context, uint64_t from_bytes, uint64_t to_bytes, enum pb_status why) {
    CHECK(context == &seen);
    CHECK(from_bytes == seen.from && to_bytes == seen.to);
    seen.failed++;
    seen.why = why;
}

static void shrunk(void *context, uint64_t from_bytes, uint64_t to_bytes) {
    CHECK(context == &seen);
    seen.from = from_bytes, seen.to = to_bytes;
    seen.shrunk++;
}

static const struct pb_limiter limiter = {growing, failed, shrunk, &seen};
static const struct pb_limiter asker = {growing, NULL, NULL, &seen};

#define CHECK_SEEN(asked_, failed_, shrunk_, from_, to_) \
    do {                                                 \
        CHECK_EQ(seen.asked, asked_);                    \
        CHECK_EQ(seen.failed, failed_);                  \
        CHECK_EQ(seen.shrunk, shrunk_);                  \
        CHECK_EQ(seen.from, (from_)*PB_PAGE_BYTES);      \
        CHECK_EQ(seen.to, (to_)*PB_PAGE_BYTES);          \
        seen.asked = seen.failed = seen.shrunk = 0;      \
    } while (0)

TEST(R40_limits_are_asked_of_every_size) {
    for (struct each e = each_kind(1, 8, EACH_KIND); each_next(&e);) {
        struct pb_memory *copy, *memory;
        uint32_t old;
        e.config.limiter = &limiter;
        memory = each_create(&e);
        CHECK_SEEN(1, 0, 0, 0u, 1u);
        CHECK_EQ(seen.max, 8 * PB_PAGE_BYTES);
        CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        CHECK_SEEN(1, 0, 0, 1u, 3u);
        CHECK_STATUS(pb_memory_grow(memory, 0, &old), PB_OK);
        CHECK_STATUS(pb_memory_grow(memory, 6, &old), PB_LIMIT);
        CHECK_SEEN(0, 0, 0, 1u, 3u);
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK_SEEN(1, 0, 0, 0u, 3u);
        CHECK_STATUS(pb_memory_grow(copy, 1, &old), PB_OK);
        CHECK_SEEN(1, 0, 0, 3u, 4u);
        pb_memory_release(copy);
        CHECK_SEEN(0, 0, 1, 4u, 0u);
        if (!e.shared) {
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            CHECK_SEEN(0, 0, 1, 3u, 1u);
        }
        pb_memory_release(memory);
        CHECK_SEEN(0, 0, 1, e.shared ? 3u : 1u, 0u);
    }
}

TEST(R40_limits_refuse_and_nothing_has_changed) {
    for (struct each e = each_kind(1, 8, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory, *none = NULL;
        uint32_t old = 77;
        e.config.limiter = &asker;
        seen.refuses = true;
        struct pb_memory_config config = e.config;
        CHECK_STATUS(pb_memory_create(&config, &none), PB_REFUSED);
        seen.refuses = false;
        memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 3);
        struct snapshot before = snapshot_take(memory);
        seen.refuses = true;
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_REFUSED);
        CHECK_EQ(old, 77);
        CHECK_STATUS(pb_memory_copy(memory, &none), PB_REFUSED);
        CHECK(none == NULL);
        CHECK_STATUS(pb_memory_grow(memory, 0, &old), PB_OK); /* not asked about */
        snapshot_check(memory, &before);
        seen.refuses = false;
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        CHECK_EQ(old, 1);
        pb_memory_release(memory);
    }
}

TEST(R40_limits_are_told_when_growth_has_failed) {
    for (struct each e = each_kind(1, 8, EACH_KIND); each_next(&e);) {
        uint32_t old;
        e.config.limiter = &limiter;
        struct pb_memory *memory = each_create(&e), *copy = NULL;
        seen.asked = seen.failed = seen.shrunk = 0;
        seam_fail(SEAM_ALL, 1, true);
        enum pb_status status = pb_memory_grow(memory, 2, &old);
        bool asks_the_system = seam_failed() > 0;
        seam_fail(0, 0, false);
        if (status != PB_OK) {
            CHECK_SEEN(1, 1, 0, 1u, 3u);
            CHECK_EQ(seen.why, status);
        } else {
            CHECK(!asks_the_system || e.strategy == PB_STRATEGY_RESERVE_RW);
            CHECK_SEEN(1, 0, 0, 1u, 3u);
        }
        uint32_t pages = pb_memory_size_pages(memory);
        seam_allocator_fail(0);
        seam_fail(SEAM_RESERVE | SEAM_RESERVE_ACCESSIBLE | SEAM_COMMIT | SEAM_FILE_CREATE, 1, true);
        status = pb_memory_copy(memory, &copy);
        seam_fail(0, 0, false);
        CHECK_SEEN(1, status != PB_OK, 0, 0u, pages);
        pb_memory_release(copy);
        pb_memory_release(memory);
        seen.asked = seen.failed = seen.shrunk = 0;
    }
}

TEST(R40_limits_are_told_when_creation_has_failed) {
    const struct pb_memory_config config = {
        .type = {2, 4, false}, .limiter = &limiter, .allocator = &seam_allocator};
    struct pb_memory *memory;
    for (unsigned nth = 1;; nth++) {
        seen.asked = seen.failed = seen.shrunk = 0;
        seam_allocator_fail(nth);
        enum pb_status status = pb_memory_create(&config, &memory);
        seam_allocator_fail(0);
        if (status == PB_OK) {
            CHECK(nth > 1);
            break;
        }
        CHECK_EQ(seen.asked, 1);
        CHECK_EQ(seen.failed, 1);
        CHECK_EQ(seen.shrunk, 0);
    }
    pb_memory_release(memory);
}

/* ---- A budget ------------------------------------------------------------------------------- */

TEST(R40_limits_of_one_budget_over_many_memories) {
    struct pb_budget budget = {.max_bytes = 5 * PB_PAGE_BYTES};
    struct pb_limiter of_budget = pb_budget_limiter(&budget);
    const struct pb_memory_config config = {.type = {2, 8, false}, .limiter = &of_budget};
    struct pb_memory *first, *second, *third = NULL;
    uint32_t old;
    CHECK_STATUS(pb_memory_create(&config, &first), PB_OK);
    CHECK_STATUS(pb_memory_create(&config, &second), PB_OK);
    CHECK_STATUS(pb_memory_create(&config, &third), PB_REFUSED);
    CHECK_STATUS(pb_memory_grow(first, 2, &old), PB_REFUSED);
    CHECK_STATUS(pb_memory_grow(first, 1, &old), PB_OK);
    CHECK_STATUS(pb_memory_grow(second, 1, &old), PB_REFUSED);
    CHECK_STATUS(pb_memory_copy(second, &third), PB_REFUSED);
    CHECK_EQ(budget.used_bytes, 5 * PB_PAGE_BYTES);
    CHECK_STATUS(pb_memory_reset(first), PB_OK);
    CHECK_STATUS(pb_memory_grow(second, 1, &old), PB_OK);
    pb_memory_release(first);
    CHECK_STATUS(pb_memory_grow(second, 3, &old), PB_REFUSED);
    seam_fail(SEAM_ALL, 1, true);
    CHECK_STATUS(pb_memory_grow(second, 2, &old), PB_NO_MEMORY);
    seam_fail(0, 0, false);
    CHECK_EQ(budget.used_bytes, 3 * PB_PAGE_BYTES);
    CHECK_STATUS(pb_memory_grow(second, 2, &old), PB_OK);
    pb_memory_release(second);
    CHECK_EQ(budget.used_bytes, 0);
}

static struct pb_budget shared_budget = {.max_bytes = 40 * PB_PAGE_BYTES};

/* A small reservation: emulators take 0.2 s for one of 6 GiB. */
static void *make_and_grow(void *argument) {
    static const struct pb_memory_style small = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    const struct pb_limiter *of_budget = argument;
    const struct pb_memory_config config = {
        .type = {1, 64, false}, .style = &small, .limiter = of_budget};
    for (unsigned i = 0; i < TEST_ROUNDS(300); i++) {
        struct pb_memory *memory;
        uint32_t old;
        if (pb_memory_create(&config, &memory) == PB_OK) {
            while (pb_memory_grow(memory, 3, &old) == PB_OK) {
                CHECK(shared_budget.used_bytes <= shared_budget.max_bytes);
            }
            pb_memory_release(memory);
        }
    }
    return NULL;
}

TEST(R40_limits_of_a_budget_hold_among_threads) {
    struct pb_limiter of_budget = pb_budget_limiter(&shared_budget);
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++) {
        threads[i] = test_thread(make_and_grow, &of_budget);
    }
    for (unsigned i = 0; i < 3; i++) {
        test_join(threads[i]);
    }
    CHECK_EQ(shared_budget.used_bytes, 0);
}
