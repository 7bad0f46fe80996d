/* region.c: tests of the table of strategies and of regions used directly. */
#include "region.h"

#include "fixture.h"
#include "pages.h"
#include "seam.h"
#include "test.h"

#include <string.h>

TEST(R4_strategy_table_is_complete_and_named_once) {
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        const struct pb_strategy_info *info = pb_strategy_info((enum pb_strategy)i);
        enum pb_strategy found = PB_STRATEGY_COUNT;
        const char *reason = NULL;
        CHECK(info != NULL && info->name[0] && info->note[0] && info->copy_note[0]);
        CHECK(pb_strategy_by_name(info->name, &found));
        CHECK_EQ(found, i);
        enum pb_status status = pb_strategy_available((enum pb_strategy)i, &reason);
        CHECK(status == PB_OK || (status == PB_UNSUPPORTED && reason && reason[0]));
        CHECK_EQ(pb_strategy_available((enum pb_strategy)i, NULL), status);
        CHECK(!info->shareable || info->stable_base || info->traps); /* R10 */
    }
    enum pb_strategy none = PB_STRATEGY_COUNT;
    CHECK(pb_strategy_info(PB_STRATEGY_COUNT) == NULL);
    CHECK(pb_strategy_info((enum pb_strategy)1000) == NULL);
    CHECK(!pb_strategy_by_name("", &none));
    CHECK(!pb_strategy_by_name("reserv", &none));
    CHECK_EQ(none, PB_STRATEGY_COUNT);
    CHECK_STATUS(pb_strategy_available(PB_STRATEGY_COUNT, NULL), PB_UNSUPPORTED);
}

TEST(R1_statuses_have_names_and_messages) {
    for (unsigned i = 0; i < PB_STATUS_COUNT; i++) {
        const char *name = pb_status_name((enum pb_status)i);
        const char *message = pb_status_message((enum pb_status)i);
        CHECK(strncmp(name, "PB_", 3) == 0 && strcmp(name, "PB_?") != 0);
        CHECK(message[0] && message[strlen(message) - 1] != '.' && !strchr(message, '\n'));
        for (unsigned j = 0; j < i; j++) {
            CHECK(strcmp(name, pb_status_name((enum pb_status)j)) != 0);
            CHECK(strcmp(message, pb_status_message((enum pb_status)j)) != 0);
        }
    }
    CHECK(strcmp(pb_status_name(PB_LIMIT), "PB_LIMIT") == 0);
    CHECK(strcmp(pb_status_name(PB_STATUS_COUNT), "PB_?") == 0);
    CHECK(pb_status_message((enum pb_status)12345)[0]);
}

/* A region of this strategy, and its pool if it needs one. */
static enum pb_status create(enum pb_strategy strategy, uint64_t accessible, uint64_t capacity,
                             struct pb_pool **pool, struct pb_region *region) {
    struct pb_pool_config slots = {
        .slots = 2, .slot_bytes = 8 * PB_PAGE_BYTES, .guard_bytes = PB_PAGE_BYTES};
    *pool = NULL;
    test_note("strategy %s", pb_strategy_info(strategy)->name);
    if (strategy == PB_STRATEGY_POOL) {
        CHECK_STATUS(pb_pool_create(&slots, pool), PB_OK);
    }
    struct pb_region_config config = {.strategy = strategy,
                                      .accessible_bytes = accessible,
                                      .capacity_bytes = capacity,
                                      .guard_bytes = PB_PAGE_BYTES,
                                      .pool = *pool};
    return pb_region_create(&config, region);
}

TEST(R10_region_grow_in_place_never_moves) {
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        struct pb_region region;
        struct pb_pool *pool;
        if (pb_strategy_available((enum pb_strategy)i, NULL) != PB_OK) {
            continue;
        }
        CHECK_STATUS(create((enum pb_strategy)i, PB_PAGE_BYTES, 4 * PB_PAGE_BYTES, &pool, &region),
                     PB_OK);
        uint8_t *base = region.base;
        memset(base, 7, PB_PAGE_BYTES);
        CHECK_STATUS(pb_region_grow_in_place(&region, 4 * PB_PAGE_BYTES), PB_OK);
        CHECK(region.base == base);
        CHECK_EQ(region.accessible_bytes, 4 * PB_PAGE_BYTES);
        CHECK_STATUS(pb_region_grow_in_place(&region, 5 * PB_PAGE_BYTES), PB_NO_MEMORY);
        CHECK(region.base == base);
        CHECK_EQ(region.accessible_bytes, 4 * PB_PAGE_BYTES);
        CHECK_EQ(region.capacity_bytes, 4 * PB_PAGE_BYTES);
        CHECK_EQ(base[PB_PAGE_BYTES - 1], 7);
        CHECK_EQ(base[PB_PAGE_BYTES], 0);
        CHECK_EQ(base[4 * PB_PAGE_BYTES - 1], 0);
        pb_region_destroy(&region);
        pb_pool_release(pool);
    }
}

TEST(R10_region_growth_past_the_capacity_moves_or_is_refused) {
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        struct pb_region region;
        struct pb_pool *pool;
        const struct pb_strategy_info *info = pb_strategy_info((enum pb_strategy)i);
        if (pb_strategy_available((enum pb_strategy)i, NULL) != PB_OK) {
            continue;
        }
        CHECK_STATUS(create((enum pb_strategy)i, PB_PAGE_BYTES, 2 * PB_PAGE_BYTES, &pool, &region),
                     PB_OK);
        memset(region.base, 7, PB_PAGE_BYTES);
        enum pb_status status = pb_region_grow(&region, 3 * PB_PAGE_BYTES);
        CHECK_STATUS(status, info->stable_base ? PB_NO_MEMORY : PB_OK);
        CHECK_EQ(region.accessible_bytes, info->stable_base ? PB_PAGE_BYTES : 3 * PB_PAGE_BYTES);
        CHECK(region.capacity_bytes >= region.accessible_bytes);
        CHECK(region.total_bytes >= region.accessible_bytes + (info->traps ? PB_PAGE_BYTES : 0));
        CHECK_EQ(region.base[PB_PAGE_BYTES - 1], 7);
        if (info->traps) {
            CHECK(write_faults(region.base + region.accessible_bytes));
            CHECK(write_faults(region.base + region.total_bytes - 1));
        }
        pb_region_destroy(&region);
        pb_pool_release(pool);
    }
}

/* Calls of pb_os_* for growth to so many pages. */
static unsigned calls_to_grow(struct pb_region *region, uint64_t pages) {
    seam_fail(SEAM_ALL, 0, false);
    CHECK_STATUS(pb_region_grow(region, pages * PB_PAGE_BYTES), PB_OK);
    return seam_calls();
}

TEST(R10_region_that_moves_reserves_ahead) {
    static const struct {
        enum pb_strategy strategy;
        unsigned calls; /* to move: reserve, open, move or copy, release */
    } rows[] = {{PB_STRATEGY_REMAP, 3}, {PB_STRATEGY_MOVE, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_region region;
        struct pb_pool *pool;
        CHECK_STATUS(create(rows[i].strategy, PB_PAGE_BYTES, PB_PAGE_BYTES, &pool, &region), PB_OK);
        CHECK_EQ(calls_to_grow(&region, 2), rows[i].calls);
        CHECK_EQ(region.capacity_bytes, 4 * PB_PAGE_BYTES);
        const uint8_t *base = region.base;
        CHECK_EQ(calls_to_grow(&region, 4), 1);
        CHECK(region.base == base);
        CHECK_EQ(calls_to_grow(&region, 5), rows[i].calls);
        pb_region_destroy(&region);
    }
}

/* From two huge pages on the new base lies in its huge page as the old one did, so that the kernel
 * can move page tables whole. */
TEST(R8_region_that_moves_keeps_its_place_in_a_huge_page) {
    enum { PAGES = 64, HUGE_PAGE_BYTES = 2 << 20 };
    struct pb_region region;
    struct pb_pool *pool;
    CHECK_STATUS(
        create(PB_STRATEGY_REMAP, PAGES * PB_PAGE_BYTES, PAGES * PB_PAGE_BYTES, &pool, &region),
        PB_OK);
    const uint8_t *base = region.base;
    memset(region.base, 7, PAGES * PB_PAGE_BYTES);
    CHECK_STATUS(pb_region_grow(&region, (PAGES + 1) * PB_PAGE_BYTES), PB_OK);
    CHECK(region.base != base);
    CHECK_EQ(((uintptr_t)region.base - (uintptr_t)base) % HUGE_PAGE_BYTES, 0);
    for (uint64_t at = 0; at < (PAGES + 1) * PB_PAGE_BYTES; at += PB_PAGE_BYTES / 2) {
        CHECK_EQ(region.base[at], at < PAGES * PB_PAGE_BYTES ? 7 : 0);
    }
    CHECK(write_faults(region.base + (PAGES + 1) * PB_PAGE_BYTES));
    CHECK(write_faults(region.base + region.total_bytes - 1));
    pb_region_destroy(&region);
}

TEST(R13_copy_of_an_unwritten_image_takes_three_calls) {
    struct pb_region source, first, second;
    struct pb_pool *pool;
    CHECK_STATUS(create(PB_STRATEGY_IMAGE, PB_PAGE_BYTES, PB_PAGE_BYTES, &pool, &source), PB_OK);
    memset(source.base, 7, PB_PAGE_BYTES);
    CHECK_STATUS(pb_region_copy(&source, false, &first), PB_OK); /* freezes the image */
    seam_fail(SEAM_ALL, 0, false);
    CHECK_STATUS(pb_region_copy(&source, false, &second), PB_OK);
    CHECK_EQ(seam_calls(), 3); /* what was written, reserve, map */
    CHECK_EQ(second.base[PB_PAGE_BYTES - 1], 7);
    CHECK(write_faults(second.base + PB_PAGE_BYTES));
    pb_region_destroy(&second);
    pb_region_destroy(&first);
    pb_region_destroy(&source);
}

/* Populating fails, and so does whatever would close the pages again: a growth that says it failed
 * would leave them open. */
TEST(R6_growth_that_cannot_be_undone_has_succeeded) {
    static const struct {
        enum pb_strategy strategy;
        unsigned nth; /* call that fails, and all behind it */
        enum pb_status status;
    } rows[] = {
        {PB_STRATEGY_RESERVE, 1, PB_OK},
        {PB_STRATEGY_GUARD, 1, PB_NO_MEMORY}, /* it opens by advice: nothing to undo */
        {PB_STRATEGY_GUARD, 2, PB_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_region region;
        struct pb_region_config config = {.strategy = rows[i].strategy,
                                          .capacity_bytes = PB_PAGE_BYTES,
                                          .advice = PB_ADVICE_POPULATE};
        if (pb_strategy_available(config.strategy, NULL) != PB_OK) {
            continue;
        }
        test_note("row %zu", i);
        CHECK_STATUS(pb_region_create(&config, &region), PB_OK);
        seam_fail(SEAM_ADVISE | SEAM_DECOMMIT | SEAM_RENEW, rows[i].nth, true);
        CHECK_STATUS(pb_region_grow(&region, PB_PAGE_BYTES), rows[i].status);
        CHECK(seam_failed() >= 3);
        seam_fail(SEAM_ALL, 0, false);
        CHECK_EQ(region.accessible_bytes, rows[i].status == PB_OK ? PB_PAGE_BYTES : 0);
        CHECK_EQ(write_faults(region.base + PB_PAGE_BYTES - 1), rows[i].status != PB_OK);
        pb_region_destroy(&region);
    }
}

TEST(R6_region_that_moves_makes_do_with_less_address_space) {
    struct pb_region region;
    struct pb_pool *pool;
    CHECK_STATUS(create(PB_STRATEGY_REMAP, PB_PAGE_BYTES, PB_PAGE_BYTES, &pool, &region), PB_OK);
    seam_fail(SEAM_RESERVE, 1, false);
    CHECK_STATUS(pb_region_grow(&region, 2 * PB_PAGE_BYTES), PB_OK);
    seam_fail(SEAM_ALL, 0, false);
    CHECK_EQ(region.capacity_bytes, 2 * PB_PAGE_BYTES);
    pb_region_destroy(&region);
}

TEST(R1_region_refuses_a_bad_configuration) {
    static const struct pb_region_config rows[] = {
        {.accessible_bytes = 100, .capacity_bytes = PB_PAGE_BYTES},
        {.accessible_bytes = 4096, .capacity_bytes = PB_PAGE_BYTES},
        {.accessible_bytes = 2 * PB_PAGE_BYTES, .capacity_bytes = PB_PAGE_BYTES},
        {.capacity_bytes = PB_PAGE_BYTES, .guard_bytes = 100},
        {.capacity_bytes = PB_PAGE_BYTES, .guard_bytes = 0 - PB_PAGE_BYTES},
        {.strategy = PB_STRATEGY_COUNT, .capacity_bytes = PB_PAGE_BYTES},
        {.strategy = PB_STRATEGY_POOL, .capacity_bytes = PB_PAGE_BYTES},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_region region;
        test_note("row %zu", i);
        CHECK_STATUS(pb_region_create(&rows[i], &region), PB_INVALID);
    }
}

/* ---- Advice: a hint that cannot be had is ignored, want of memory is an error ---------------- */

TEST(R8_advice_changes_no_byte) {
    for (struct each e = each_kind(1, 9, EACH_KIND); each_next(&e);) {
        for (unsigned advice = 0; advice < 4; advice++) {
            e.config.advice = advice;
            struct pb_memory *memory = each_create(&e), *copy = NULL;
            uint32_t old;
            check_zero(memory, 0, PB_PAGE_BYTES);
            fill_pattern(memory, 0, PB_PAGE_BYTES, advice);
            CHECK_STATUS(pb_memory_grow(memory, 8, &old), PB_OK);
            check_pattern(memory, 0, PB_PAGE_BYTES, advice);
            check_zero(memory, PB_PAGE_BYTES, 8 * PB_PAGE_BYTES);
            CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
            check_pattern(copy, 0, PB_PAGE_BYTES, advice);
            if (e.info->traps) {
                check_guarded(memory);
                check_guarded(copy);
            }
            pb_memory_release(copy);
            if (!e.shared) {
                CHECK_STATUS(pb_memory_reset(memory), PB_OK);
                check_zero(memory, 0, PB_PAGE_BYTES);
            }
            pb_memory_release(memory);
        }
    }
}

/* Populating fails half-way: the growth must be undone, guard included. */
TEST(R6_grow_that_cannot_be_populated_changes_nothing) {
    for (struct each e = each_kind(1, 40, EACH_KIND); each_next(&e);) {
        e.config.advice = PB_ADVICE_POPULATE;
        bool failed = true;
        for (unsigned nth = 1; failed; nth++) {
            struct pb_memory *memory = each_create(&e);
            uint32_t old = 99;
            fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
            struct snapshot before = snapshot_take(memory);
            CHECK(nth < 50);
            seam_fail(SEAM_ALL, nth, false);
            enum pb_status status = pb_memory_grow(memory, 5, &old);
            failed = seam_failed() > 0;
            seam_fail(0, 0, false);
            if (status != PB_OK) {
                CHECK_EQ(old, 99);
                snapshot_check(memory, &before);
                CHECK_STATUS(pb_memory_grow(memory, 5, &old), PB_OK);
            }
            check_pattern(memory, 0, PB_PAGE_BYTES, 1);
            check_zero(memory, PB_PAGE_BYTES, 5 * PB_PAGE_BYTES);
            pb_memory_release(memory);
        }
    }
}

/* ---- heap: through any allocator ------------------------------------------------------------- */

TEST(R8_heap_grows_through_the_callers_allocator) {
    struct pb_region_config config = {.strategy = PB_STRATEGY_HEAP,
                                      .accessible_bytes = PB_PAGE_BYTES,
                                      .capacity_bytes = PB_PAGE_BYTES,
                                      .allocator = &seam_allocator};
    struct pb_region region;
    unsigned alive = seam_allocator_alive();
    CHECK_STATUS(pb_region_create(&config, &region), PB_OK);
    CHECK(seam_allocator_alive() > alive);
    for (uint64_t pages = 1; pages < 40; pages += 3) {
        memset(region.base, 0xAB, region.accessible_bytes);
        seam_allocator_fail(1);
        uint8_t *base = region.base;
        if (pb_region_grow(&region, pages * PB_PAGE_BYTES + 3 * PB_PAGE_BYTES) != PB_OK) {
            CHECK(region.base == base);
            CHECK_EQ(region.accessible_bytes, pages * PB_PAGE_BYTES);
            seam_allocator_fail(0);
            CHECK_STATUS(pb_region_grow(&region, pages * PB_PAGE_BYTES + 3 * PB_PAGE_BYTES), PB_OK);
        }
        seam_allocator_fail(0);
        CHECK_EQ(region.base[pages * PB_PAGE_BYTES - 1], 0xAB);
        for (uint64_t at = pages * PB_PAGE_BYTES; at < region.accessible_bytes; at++) {
            CHECK_EQ(region.base[at], 0);
        }
    }
    pb_region_destroy(&region);
    CHECK_EQ(seam_allocator_alive(), alive);
}
