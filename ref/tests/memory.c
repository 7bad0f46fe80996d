/* memory.c: tests of R1 to R12: creating, styles, growing, types; over every strategy. */
#include "memory.h"

#include "fixture.h"
#include "seam.h"
#include "test.h"

#include <string.h>

/* ---- R1 create ------------------------------------------------------------------------------ */

static enum pb_status create_status(struct pb_memory_type type) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = type, .style = &style, .reserve_pages_max = 65536};
    struct pb_memory *memory = NULL;
    enum pb_status status = pb_memory_create(&config, &memory);
    CHECK_EQ(memory != NULL, status == PB_OK);
    pb_memory_release(memory);
    return status;
}

TEST(R1_create_refuses_bad_types_with_a_value) {
    static const struct {
        struct pb_memory_type type;
        enum pb_status status;
    } rows[] = {
        {{0, 0, false}, PB_OK},
        {{0, PB_NO_MAXIMUM, false}, PB_OK},
        {{1, 1, true}, PB_OK},
        {{0, 65536, false}, PB_OK},
        {{65537, PB_NO_MAXIMUM, false}, PB_LIMIT},
        {{65537, 65537, false}, PB_LIMIT},
        {{1, 65537, false}, PB_LIMIT},
        {{1, UINT32_MAX - 1, false}, PB_LIMIT},
        {{UINT32_MAX, PB_NO_MAXIMUM, false}, PB_LIMIT},
        {{2, 1, false}, PB_INVALID},
        {{65536, 65535, false}, PB_INVALID},
        {{1, PB_NO_MAXIMUM, true}, PB_INVALID},
        {{2, 1, true}, PB_INVALID},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_note("min %u, max %u", rows[i].type.min_pages, rows[i].type.max_pages);
        CHECK_STATUS(pb_memory_type_check(&rows[i].type), rows[i].status);
        CHECK_STATUS(create_status(rows[i].type), rows[i].status);
    }
}

/* One strategy at least must really give 65,536 pages; others may lack memory. */
TEST(R1_create_min_of_65536_pages_is_legal) {
    unsigned made = 0;
    for (struct each e = each_kind(65536, 65536, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        if (e.strategy == PB_STRATEGY_HEAP) {
            continue; /* asks for 4 GiB at once of whatever allocator there is */
        }
        struct pb_memory *memory = NULL;
        enum pb_status status = pb_memory_create(&e.config, &memory);
        if (status != PB_OK) {
            CHECK_STATUS(status, PB_NO_MEMORY);
            continue;
        }
        made++;
        CHECK_EQ(pb_memory_size_pages(memory), 65536);
        CHECK_EQ(pb_memory_size_bytes(memory), UINT64_C(1) << 32);
        CHECK_STATUS(pb_memory_store(memory, UINT32_MAX, 0, 1, 77), PB_OK);
        CHECK_EQ(base_of(memory)[UINT32_MAX], 77);
        pb_memory_release(memory);
    }
    CHECK(made > 0);
}

TEST(R3_S4_bound_below_min_is_an_error_value) {
    for (struct each e = each_kind(5, 10, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        struct pb_memory *memory = NULL;
        e.style.bound_pages = 4;
        e.config.style = &e.style;
        CHECK_STATUS(pb_memory_create(&e.config, &memory), PB_INVALID);
        CHECK(memory == NULL);
        e.style.bound_pages = 65537;
        CHECK_STATUS(pb_memory_create(&e.config, &memory), PB_INVALID);
        CHECK(memory == NULL);
    }
}

TEST(R1_create_refuses_a_guard_of_no_whole_pages) {
    struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC);
    while (each_next(&e)) {
        struct pb_memory *memory = NULL;
        e.style.guard_bytes = 100;
        e.config.style = &e.style;
        CHECK_STATUS(pb_memory_create(&e.config, &memory), PB_INVALID);
        CHECK(memory == NULL);
    }
}

/* ---- R2 fresh ------------------------------------------------------------------------------- */

TEST(R2_fresh_memory_has_min_pages_of_zeros) {
    static const uint32_t sizes[] = {0, 1, 3};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (struct each e = each_kind(sizes[i], 4, EACH_KIND); each_next(&e);) {
            struct pb_memory *memory = each_create(&e);
            CHECK_EQ(pb_memory_size_pages(memory), sizes[i]);
            CHECK_EQ(pb_memory_size_bytes(memory), sizes[i] * PB_PAGE_BYTES);
            CHECK_EQ(pb_memory_definition(memory)->length_bytes, sizes[i] * PB_PAGE_BYTES);
            CHECK_EQ(pb_memory_strategy(memory), e.strategy);
            check_zero(memory, 0, sizes[i] * PB_PAGE_BYTES);
            pb_memory_release(memory);
        }
    }
}

/* A heap hands out what was freed before: it must not be seen. */
TEST(R2_fresh_after_a_dirty_life_is_zero) {
    for (struct each e = each_kind(2, 4, EACH_KIND); each_next(&e);) {
        for (unsigned round = 0; round < 3; round++) {
            struct pb_memory *memory = each_create(&e);
            check_zero(memory, 0, 2 * PB_PAGE_BYTES);
            uint32_t old;
            CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
            check_zero(memory, 0, 4 * PB_PAGE_BYTES);
            memset(base_of(memory), 0xAA, 4 * PB_PAGE_BYTES);
            pb_memory_release(memory);
        }
    }
}

/* ---- R3 style ------------------------------------------------------------------------------- */

TEST(R3_style_is_static_when_the_maximum_fits_the_bound) {
    const struct pb_tunables tunables = {100, 8 * PB_PAGE_BYTES, PB_PAGE_BYTES};
    static const struct {
        uint32_t max_pages;
        bool is_static;
    } rows[] = {{0, true},    {99, true},     {100, true},
                {101, false}, {65536, false}, {PB_NO_MAXIMUM, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_memory_type type = {0, rows[i].max_pages, false};
        struct pb_memory_style style = pb_style_choose(&type, &tunables);
        test_note("max %u", rows[i].max_pages);
        CHECK_EQ(style.kind, rows[i].is_static ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC);
        CHECK_EQ(style.guard_bytes, rows[i].is_static ? 8 * PB_PAGE_BYTES : PB_PAGE_BYTES);
        if (rows[i].is_static) {
            CHECK_EQ(style.bound_pages, 100);
        }
    }
}

TEST(R3_style_no_maximum_counts_as_65536_pages) {
    const struct pb_tunables tunables = {65536, 0, 0};
    struct pb_memory_type type = {0, PB_NO_MAXIMUM, false};
    CHECK_EQ(pb_style_choose(&type, &tunables).kind, PB_STYLE_STATIC);
}

TEST(R3_style_usual_values) {
    bool wide = sizeof(void *) >= 8;
    CHECK_EQ(pb_tunables_default.static_bound_pages, wide ? 65536 : 16384);
    CHECK_EQ(pb_tunables_default.static_guard_bytes, wide ? UINT64_C(2) << 30 : PB_PAGE_BYTES);
    CHECK_EQ(pb_tunables_default.dynamic_guard_bytes, PB_PAGE_BYTES);
}

TEST(R3_style_static_reserves_bound_and_guard_once) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_SHARED | EACH_STATIC | EACH_TRAPPING);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        CHECK_EQ(pb_memory_style(memory).kind, PB_STYLE_STATIC);
        CHECK_EQ(pb_memory_style(memory).bound_pages, e.style.bound_pages);
        uint64_t end = reservation_end(memory);
        CHECK(end >= pb_pages_to_bytes(e.style.bound_pages) + e.style.guard_bytes);
        uint32_t old;
        seam_fail(SEAM_RESERVE | SEAM_RESERVE_ACCESSIBLE, 0, false);
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        CHECK_EQ(seam_calls(), 0);
        CHECK_EQ(reservation_end(memory), end);
        pb_memory_release(memory);
    }
}

TEST(R3_style_dynamic_holds_size_and_guard) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_SHARED | EACH_DYNAMIC | EACH_TRAPPING);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t old;
        for (uint64_t pages = 1; pages <= 4; pages++) {
            CHECK(reservation_end(memory) >= pages * PB_PAGE_BYTES + e.style.guard_bytes);
            CHECK_STATUS(pb_memory_grow(memory, pages < 4, &old), PB_OK);
        }
        pb_memory_release(memory);
    }
}

TEST(R3_style_shared_dynamic_reserves_its_maximum) {
    for (struct each e = each_kind(1, 6, EACH_SHARED | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        CHECK(reservation_end(memory) >= 6 * PB_PAGE_BYTES + (e.info->traps ? e.guard_bytes : 0));
        pb_memory_release(memory);
    }
}

TEST(R3_style_default_creation_covers_every_32_bit_address) {
    struct pb_memory_config config = {.type = {1, PB_NO_MAXIMUM, false}};
    struct pb_memory *memory = NULL;
    enum pb_status status = pb_memory_create(&config, &memory);
    if (status == PB_NO_MEMORY) {
        test_skip("no address space for 6 GiB");
    }
    CHECK_STATUS(status, PB_OK);
    CHECK_EQ(pb_memory_style(memory).kind, PB_STYLE_STATIC);
    CHECK(reservation_end(memory) >= UINT64_C(6) << 30);
    CHECK(read_faults(base_of(memory) + PB_PAGE_BYTES));
    CHECK(read_faults(base_of(memory) + (UINT64_C(6) << 30) - 1));
    pb_memory_release(memory);
}

TEST(R3_style_sizes_are_configurable_by_tunables) {
    const struct pb_tunables tunables = {3, 0, 2 * PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {1, 3, false}, .tunables = &tunables};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_EQ(pb_memory_style(memory).kind, PB_STYLE_STATIC);
    CHECK_EQ(pb_memory_style(memory).guard_bytes, 0);
    CHECK(reservation_end(memory) < 16 * PB_PAGE_BYTES);
    pb_memory_release(memory);
    config.type.max_pages = 4;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_EQ(pb_memory_style(memory).kind, PB_STYLE_DYNAMIC);
    CHECK_EQ(pb_memory_style(memory).guard_bytes, 2 * PB_PAGE_BYTES);
    check_guarded(memory);
    pb_memory_release(memory);
}

/* ---- R4 guard ------------------------------------------------------------------------------- */

TEST(R4_guard_after_create) {
    for (uint32_t pages = 0; pages < 3; pages++) {
        for (struct each e = each_kind(pages, 4, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
            struct pb_memory *memory = each_create(&e);
            check_guarded(memory);
            pb_memory_release(memory);
        }
    }
}

TEST(R4_guard_after_every_grow) {
    for (struct each e = each_kind(0, 5, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        static const uint32_t deltas[] = {0, 1, 2, 0, 2};
        for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++) {
            uint32_t old;
            CHECK_STATUS(pb_memory_grow(memory, deltas[i], &old), PB_OK);
            check_guarded(memory);
        }
        pb_memory_release(memory);
    }
}

TEST(R4_guard_after_a_grow_past_the_limit) {
    for (struct each e = each_kind(2, 4, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t old = 99;
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_LIMIT);
        CHECK_EQ(old, 99);
        check_guarded(memory);
        pb_memory_release(memory);
    }
}

TEST(R4_guard_of_many_pages_and_of_none) {
    const uint64_t host = pb_os_page_bytes();
    const uint64_t guards[] = {0, host, 3 * host, 16 * PB_PAGE_BYTES};
    for (size_t i = 0; i < sizeof guards / sizeof *guards; i++) {
        struct each e = each_kind(1, 3, EACH_KIND | EACH_TRAPPING);
        e.guard_bytes = guards[i];
        while (each_next(&e)) {
            struct pb_memory *memory = each_create(&e);
            uint32_t old;
            CHECK_EQ(pb_memory_style(memory).guard_bytes, guards[i]);
            if (e.is_static || guards[i] > 0) {
                check_guarded(memory);
            }
            CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
            CHECK(reservation_end(memory) >= 3 * PB_PAGE_BYTES + guards[i]);
            check_pattern(memory, 0, 0, 0);
            pb_memory_release(memory);
        }
    }
}

TEST(R4_guard_strategies_say_what_they_can) {
    static const struct {
        const char *name;
        bool traps, shareable;
    } rows[] = {{"reserve", true, true}, {"reserve_rw", false, true}, {"heap", false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum pb_strategy strategy;
        CHECK(pb_strategy_by_name(rows[i].name, &strategy));
        CHECK_EQ(pb_strategy_info(strategy)->traps, rows[i].traps);
        CHECK_EQ(pb_strategy_info(strategy)->shareable, rows[i].shareable);
    }
}

/* ---- R5 grow-limit -------------------------------------------------------------------------- */

TEST(R5_grow_returns_the_old_size_up_to_the_maximum) {
    for (struct each e = each_kind(1, 5, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t old = 99;
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        CHECK_EQ(old, 1);
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        CHECK_EQ(old, 2);
        CHECK_EQ(pb_memory_size_pages(memory), 5);
        old = 99;
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_LIMIT);
        CHECK_EQ(old, 99);
        CHECK_EQ(pb_memory_size_pages(memory), 5);
        pb_memory_release(memory);
    }
}

TEST(R5_grow_limit_is_computed_without_wrap) {
    static const uint32_t deltas[] = {
        4, 65535, 65536, 65537, UINT32_MAX, UINT32_MAX - 1, UINT32_C(1) << 31};
    for (struct each e = each_kind(2, 5, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++) {
            uint32_t old = 99;
            CHECK_STATUS(pb_memory_grow(memory, deltas[i], &old), PB_LIMIT);
            CHECK_EQ(old, 99);
            CHECK_EQ(pb_memory_size_pages(memory), 2);
        }
        pb_memory_release(memory);
    }
}

TEST(R5_grow_past_65536_pages_is_refused_without_a_maximum) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {2, PB_NO_MAXIMUM, false}, .style = &style, .reserve_pages_max = 8};
    struct pb_memory *memory = NULL;
    uint32_t old;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 65535, &old), PB_LIMIT);
    CHECK_STATUS(pb_memory_grow(memory, UINT32_MAX, &old), PB_LIMIT);
    CHECK_STATUS(pb_memory_grow(memory, UINT32_MAX - 1, &old), PB_LIMIT);
    /* the limit allows it, the reservation does not */
    CHECK_STATUS(pb_memory_grow(memory, 65534, &old), PB_NO_MEMORY);
    CHECK_EQ(pb_memory_size_pages(memory), 2);
    CHECK_STATUS(pb_memory_grow(memory, 6, &old), PB_OK);
    check_guarded(memory);
    pb_memory_release(memory);
}

/* Really grows to 4 GiB, sparsely; PB_NO_MEMORY is allowed, but not for all strategies, and
 * PB_LIMIT is not. */
TEST(R5_S1_grow_to_exactly_65536_pages) {
    unsigned grown = 0;
    for (unsigned with_max = 0; with_max < 2; with_max++) {
        for (struct each e = each_kind(1, 65536, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC);
             each_next(&e);) {
            struct pb_memory *memory = NULL;
            uint32_t old = 99;
            if (e.strategy == PB_STRATEGY_HEAP) {
                continue;
            }
            e.config.type.max_pages = with_max ? 65536 : PB_NO_MAXIMUM;
            enum pb_status status = pb_memory_create(&e.config, &memory);
            if (status == PB_OK) {
                status = pb_memory_grow(memory, 65535, &old);
            }
            if (status == PB_OK) {
                grown++;
                CHECK_EQ(old, 1);
                CHECK_EQ(pb_memory_size_pages(memory), 65536);
                CHECK_EQ(pb_memory_size_bytes(memory), UINT64_C(1) << 32);
                CHECK(!write_faults(base_of(memory) + UINT32_MAX));
                CHECK_EQ(base_of(memory)[UINT32_MAX], 0);
                CHECK_STATUS(pb_memory_grow(memory, 0, &old), PB_OK);
                CHECK_EQ(old, 65536);
                CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_LIMIT);
                if (e.info->traps) {
                    CHECK(write_faults(base_of(memory) + (UINT64_C(1) << 32)));
                }
            } else {
                CHECK_STATUS(status, PB_NO_MEMORY);
            }
            pb_memory_release(memory);
        }
    }
    CHECK(grown > 0);
}

/* ---- R6 grow-atomic (injected failures: faults.c; limits of the process: limits.c) ---------- */

TEST(R6_grow_past_the_maximum_changes_nothing) {
    for (struct each e = each_kind(2, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        struct snapshot before = snapshot_take(memory);
        uint32_t old;
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_LIMIT);
        snapshot_check(memory, &before);
        CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        CHECK_EQ(old, 2);
        check_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        pb_memory_release(memory);
    }
}

/* {min 1, max 10}, Static bound 4: the reservation ends before the maximum. */
TEST(R6_S3_static_bound_below_maximum_refuses_to_pass_it) {
    for (struct each e = each_kind(1, 10, EACH_OWNED | EACH_STATIC); each_next(&e);) {
        uint32_t old;
        e.style.bound_pages = 4;
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 3);
        struct snapshot before = snapshot_take(memory);
        CHECK_STATUS(pb_memory_grow(memory, 4, &old), PB_NO_MEMORY);
        snapshot_check(memory, &before);
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        CHECK_EQ(old, 1);
        CHECK(base_of(memory) == before.base);
        check_pattern(memory, 0, PB_PAGE_BYTES, 3);
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_NO_MEMORY);
        pb_memory_release(memory);
    }
}

TEST(R6_S9_grow_to_the_bound_without_a_guard) {
    struct each e = each_kind(1, 4, EACH_OWNED | EACH_SHARED | EACH_STATIC);
    e.guard_bytes = 0;
    while (each_next(&e)) {
        e.style.bound_pages = 4;
        struct pb_memory *memory = each_create(&e);
        uint32_t old;
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        CHECK_EQ(pb_memory_size_pages(memory), 4);
        CHECK(!write_faults(base_of(memory) + 4 * PB_PAGE_BYTES - 1));
        pb_memory_release(memory);
    }
}

/* ---- R7 grow-zero --------------------------------------------------------------------------- */

TEST(R7_grow_zero_at_maximum) {
    for (uint32_t pages = 0; pages < 3; pages++) {
        for (struct each e = each_kind(pages, pages, EACH_KIND); each_next(&e);) {
            struct pb_memory *memory = each_create(&e);
            uint32_t old = 99;
            struct snapshot before = snapshot_take(memory);
            CHECK_STATUS(pb_memory_grow(memory, 0, &old), PB_OK);
            CHECK_EQ(old, pages);
            snapshot_check(memory, &before);
            pb_memory_release(memory);
        }
    }
}

TEST(R7_grow_zero_asks_the_system_for_nothing_that_could_fail) {
    for (struct each e = each_kind(1, 3, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t old = 99;
        seam_fail(SEAM_ALL, 1, true);
        CHECK_STATUS(pb_memory_grow(memory, 0, &old), PB_OK);
        CHECK_EQ(old, 1);
        seam_fail(0, 0, false);
        pb_memory_release(memory);
    }
}

/* ---- R8 grow-bytes -------------------------------------------------------------------------- */

TEST(R8_grow_keeps_old_bytes_and_zeroes_new_ones) {
    for (struct each e = each_kind(1, 8, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint64_t length = PB_PAGE_BYTES;
        fill_pattern(memory, 0, length, 5);
        static const uint32_t deltas[] = {1, 0, 2, 4};
        for (size_t i = 0; i < sizeof deltas / sizeof *deltas; i++) {
            uint32_t old;
            CHECK_STATUS(pb_memory_grow(memory, deltas[i], &old), PB_OK);
            check_pattern(memory, 0, length, 5);
            check_zero(memory, length, deltas[i] * PB_PAGE_BYTES);
            fill_pattern(memory, length, deltas[i] * PB_PAGE_BYTES, 5);
            length += deltas[i] * PB_PAGE_BYTES;
        }
        pb_memory_release(memory);
    }
}

/* ---- R9 wide-lengths ------------------------------------------------------------------------ */

TEST(R9_bytes_of_65536_pages_are_4_gib) {
    uint32_t pages = 7;
    CHECK_EQ(pb_pages_to_bytes(65536), UINT64_C(4294967296));
    CHECK_EQ(pb_pages_to_bytes(0), 0);
    CHECK(pb_bytes_to_pages(UINT64_C(4294967296), &pages));
    CHECK_EQ(pages, 65536);
    CHECK(!pb_bytes_to_pages(UINT64_C(4294967296) + 65536, &pages));
    CHECK(!pb_bytes_to_pages(65535, &pages));
    CHECK_EQ(pages, 65536);
}

TEST(R9_sums_and_ranges_do_not_wrap) {
    uint32_t sum = 7;
    uint64_t wide = 7;
    CHECK(pb_pages_add(65535, 1, 65536, &sum));
    CHECK_EQ(sum, 65536);
    CHECK(!pb_pages_add(65536, 1, 65536, &sum));
    CHECK(!pb_pages_add(1, UINT32_MAX, 65536, &sum));
    CHECK_EQ(sum, 65536);
    CHECK(pb_bytes_add(UINT64_MAX - 1, 1, &wide));
    CHECK(!pb_bytes_add(UINT64_MAX, 1, &wide));
    CHECK_EQ(wide, UINT64_MAX);
    CHECK(pb_range_within(8, 0, 8));
    CHECK(!pb_range_within(9, 0, 8));
    CHECK(pb_range_within(0, 8, 8));
    CHECK(!pb_range_within(1, 8, 8));
    CHECK(!pb_range_within(UINT64_MAX, 2, 8));
    CHECK(!pb_range_within(2, UINT64_MAX, 8));
}

/* ---- R10 base ------------------------------------------------------------------------------- */

TEST(R10_S2_base_stays_for_static_and_shared) {
    for (struct each e = each_kind(1, 9, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        const uint8_t *base = base_of(memory);
        CHECK(base != NULL);
        for (unsigned i = 0; i < 8; i++) {
            uint32_t old;
            CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
            if (e.is_static || e.shared || e.info->stable_base) {
                CHECK(base_of(memory) == base);
            }
        }
        pb_memory_release(memory);
    }
}

TEST(R10_stable_strategy_refuses_growth_past_its_reservation) {
    for (struct each e = each_kind(1, 9, EACH_OWNED | EACH_DYNAMIC); each_next(&e);) {
        uint32_t old;
        e.config.reserve_pages_max = 3;
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        struct snapshot before = snapshot_take(memory);
        enum pb_status status = pb_memory_grow(memory, 8, &old);
        if (e.info->stable_base) {
            CHECK_STATUS(status, PB_NO_MEMORY);
            snapshot_check(memory, &before);
            CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        } else {
            CHECK_STATUS(status, PB_OK);
            CHECK_EQ(pb_memory_size_pages(memory), 9);
        }
        check_pattern(memory, 0, PB_PAGE_BYTES, 1);
        pb_memory_release(memory);
    }
}

TEST(R10_definition_follows_a_move) {
    struct pb_memory_definition mine;
    for (struct each e = each_kind(1, 64, EACH_KIND); each_next(&e);) {
        e.config.definition = &mine;
        struct pb_memory *memory = each_create(&e);
        CHECK(pb_memory_definition(memory) == &mine);
        for (unsigned i = 0; i < 6; i++) {
            uint32_t old;
            CHECK_STATUS(pb_memory_grow(memory, 10, &old), PB_OK);
            CHECK_EQ(atomic_load(&mine.length_bytes), pb_memory_size_bytes(memory));
            uint64_t last = atomic_load(&mine.length_bytes) - 1;
            atomic_load(&mine.base)[last] = 0x5A;
            uint64_t value = 0;
            CHECK_STATUS(pb_memory_load(memory, (uint32_t)last, 0, 1, &value), PB_OK);
            CHECK_EQ(value, 0x5A);
        }
        pb_memory_release(memory);
        CHECK(atomic_load(&mine.base) == NULL);
        CHECK_EQ(atomic_load(&mine.length_bytes), 0);
    }
}

/* ---- R11 shared-grow (threads: stress.c) ---------------------------------------------------- */

static struct pb_memory_definition *published;
static uint64_t published_old_bytes;

static void check_not_published(enum seam_call call) {
    (void)call;
    CHECK_EQ(atomic_load(&published->length_bytes), published_old_bytes);
}

TEST(R11_length_is_published_after_the_pages_are_usable) {
    const unsigned mask = SEAM_ALL & ~(unsigned)SEAM_RELEASE;
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        published = pb_memory_definition(memory);
        for (unsigned i = 0; i < 3; i++) {
            uint32_t old;
            published_old_bytes = atomic_load(&published->length_bytes);
            seam_before(mask, check_not_published);
            CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
            seam_before(0, NULL);
            CHECK_EQ(atomic_load(&published->length_bytes), (i + 2) * PB_PAGE_BYTES);
        }
        pb_memory_release(memory);
    }
}

TEST(R11_growth_is_seen_through_every_clone) {
    for (struct each e = each_kind(1, 4, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_memory *clone = clone_of(memory);
        uint32_t old;
        CHECK_STATUS(pb_memory_grow(clone, 1, &old), PB_OK);
        CHECK_EQ(old, 1);
        CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        CHECK_EQ(old, 2);
        CHECK_EQ(pb_memory_size_pages(clone), 4);
        CHECK_STATUS(pb_memory_grow(clone, 1, &old), PB_LIMIT);
        pb_memory_release(memory);
        pb_memory_release(clone);
    }
}

/* ---- R12 type ------------------------------------------------------------------------------- */

TEST(R12_type_min_is_the_size_and_the_rest_stays) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        for (uint32_t pages = 1; pages <= 4; pages++) {
            struct pb_memory_type type = pb_memory_type(memory);
            CHECK_EQ(type.min_pages, pages);
            CHECK_EQ(type.min_pages, pb_memory_size_pages(memory));
            CHECK_EQ(type.max_pages, 4);
            CHECK_EQ(type.shared, e.shared);
            uint32_t old;
            CHECK_STATUS(pb_memory_grow(memory, pages < 4, &old), PB_OK);
        }
        pb_memory_release(memory);
    }
}

TEST(R12_type_without_maximum_keeps_none) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, PB_NO_MAXIMUM, false}, .style = &style, .reserve_pages_max = 4};
    struct pb_memory *memory = NULL, *copy = NULL;
    uint32_t old;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    CHECK_EQ(pb_memory_type(memory).max_pages, PB_NO_MAXIMUM);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    CHECK_EQ(pb_memory_type(copy).max_pages, PB_NO_MAXIMUM);
    CHECK_STATUS(pb_memory_to_shared(memory), PB_INVALID);
    CHECK(!pb_memory_type(memory).shared);
    pb_memory_release(copy);
    pb_memory_release(memory);
}

static void check_is_shared(struct pb_memory *memory, const uint8_t *base) {
    enum pb_wait result;
    uint32_t old;
    CHECK(pb_memory_type(memory).shared);
    CHECK_EQ(pb_memory_type(memory).max_pages, 4);
    check_pattern(memory, 0, PB_PAGE_BYTES, 9);
    CHECK_STATUS(pb_memory_wait32(memory, PB_PAGE_BYTES, 1, 0, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
    base = base_of(memory);
    struct pb_memory *clone = clone_of(memory);
    CHECK(pb_memory_type(clone).shared);
    CHECK_STATUS(pb_memory_grow(clone, 2, &old), PB_OK);
    CHECK(base_of(memory) == base);
    CHECK_EQ(pb_memory_size_pages(memory), 4);
    CHECK_STATUS(pb_memory_to_shared(memory), PB_OK);
    pb_memory_release(clone);
}

TEST(R12_S5_converting_to_shared_reports_shared) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        uint32_t old;
        struct pb_memory *memory = each_create(&e);
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 9);
        struct snapshot before = snapshot_take(memory);
        enum pb_status status = pb_memory_to_shared(memory);
        if (!e.info->shareable) {
            CHECK_STATUS(status, PB_UNSUPPORTED);
            snapshot_check(memory, &before);
        } else if (status == PB_OK) {
            check_is_shared(memory, before.base);
        } else {
            CHECK(!e.info->stable_base); /* else the maximum is reserved */
            CHECK_STATUS(status, PB_NO_MEMORY);
            snapshot_check(memory, &before);
        }
        pb_memory_release(memory);
    }
}

TEST(R12_to_shared_needs_a_reservation_up_to_the_maximum) {
    for (struct each e = each_kind(1, 9, EACH_OWNED | EACH_DYNAMIC); each_next(&e);) {
        if (!e.info->shareable || !e.info->stable_base) {
            continue;
        }
        e.config.reserve_pages_max = 3;
        struct pb_memory *memory = each_create(&e);
        struct snapshot before = snapshot_take(memory);
        CHECK_STATUS(pb_memory_to_shared(memory), PB_NO_MEMORY);
        snapshot_check(memory, &before);
        pb_memory_release(memory);
    }
}

TEST(R4_shared_is_refused_by_strategies_that_cannot) {
    unsigned refused = 0;
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = NULL;
        e.config.type.shared = true;
        if (!e.info->shareable) {
            refused++;
            CHECK_STATUS(pb_memory_create(&e.config, &memory), PB_UNSUPPORTED);
            CHECK(memory == NULL);
        }
    }
    CHECK(refused > 0);
}
