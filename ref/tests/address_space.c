/* address_space.c: tests of R43: what still works where the usual reservation cannot be had. */
#include "fixture.h"
#include "memory.h"
#include "os.h"
#include "test.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* From now on the process may have so much address space more than it has. */
static void limit_address_space(uint64_t bytes) {
#if TEST_SANITIZED
    (void)bytes;
    test_skip("sanitizers need address space without end");
#else
    struct rlimit limit = {bytes, bytes};
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
#endif
}

static const enum pb_strategy strategies[] = {
    PB_STRATEGY_RESERVE, PB_STRATEGY_RESERVE_RW, PB_STRATEGY_REMAP, PB_STRATEGY_MOVE,
    PB_STRATEGY_HEAP,    PB_STRATEGY_IMAGE,      PB_STRATEGY_GUARD,
};
enum { STRATEGIES = sizeof strategies / sizeof *strategies };

TEST(R43_address_space_of_3_gib_is_enough_for_every_strategy) {
    limit_address_space(UINT64_C(3) << 30);
    for (unsigned i = 0; i < STRATEGIES; i++) {
        const struct pb_strategy_info *info = pb_strategy_info(strategies[i]);
        struct pb_memory_config config = {.type = {1, PB_NO_MAXIMUM, false},
                                          .strategy = strategies[i]};
        struct pb_memory *memory = NULL;
        uint32_t old;
        test_note("%s", info->name);
        if (pb_strategy_available(strategies[i], NULL) != PB_OK) {
            continue;
        }
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_NO_MEMORY); /* 6 GiB, and no step */
        config.fall_back = PB_RUNG_SHORT;
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        CHECK(pb_memory_rung(memory) >= PB_RUNG_DYNAMIC);
        CHECK_EQ(pb_memory_style(memory).kind, PB_STYLE_DYNAMIC);
        CHECK_EQ(pb_memory_style(memory).guard_bytes, 65536);
        check_zero(memory, 0, PB_PAGE_BYTES);
        CHECK_STATUS(pb_memory_grow(memory, 100, &old), PB_OK);
        CHECK_EQ(old, 1);
        base_of(memory)[101 * PB_PAGE_BYTES - 1] = 1;
        if (info->traps) {
            check_guarded(memory);
        }
        struct pb_memory *copy = NULL;
        if (info->stable_base) { /* a copy asks for as much again, which there may not be */
            (void)pb_memory_copy(memory, &copy);
            pb_memory_release(copy);
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            pb_memory_release(memory);
            continue;
        }
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK_EQ(pb_memory_rung(copy), pb_memory_rung(memory));
        CHECK_EQ(base_of(copy)[101 * PB_PAGE_BYTES - 1], 1);
        pb_memory_release(copy);
        CHECK_STATUS(pb_memory_reset(memory), PB_OK);
        pb_memory_release(memory);
    }
}

TEST(R43_address_space_of_a_shared_memory_may_be_short_of_its_maximum) {
    limit_address_space(UINT64_C(3) << 30);
    struct pb_memory_config config = {.type = {1, 65536, true}, .fall_back = PB_RUNG_DYNAMIC};
    struct pb_memory *memory = NULL;
    uint32_t old;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_NO_MEMORY);
    config.fall_back = PB_RUNG_SHORT;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_EQ(pb_memory_rung(memory), PB_RUNG_SHORT);
    CHECK_EQ(pb_memory_type(memory).max_pages, 65536);
    const uint8_t *base = base_of(memory);
    CHECK_STATUS(pb_memory_grow(memory, 1000, &old), PB_OK);
    CHECK(base_of(memory) == base);
    CHECK_STATUS(pb_memory_grow(memory, 60000, &old), PB_NO_MEMORY); /* not there, and no move */
    CHECK_EQ(pb_memory_size_pages(memory), 1001);
    pb_memory_release(memory);
}

/* How far down it goes where so much is left beside what the process has; the style asks for 4 GiB
 * and 8 GiB of guard, the maximum is 64 MiB. */
static enum pb_rung rung_within(uint64_t bytes, enum pb_rung fall_back) {
    static const struct pb_memory_style style = {PB_STYLE_STATIC, 65536, UINT64_C(8) << 30};
    const struct pb_memory_config config = {
        .type = {2, 1024, false}, .style = &style, .fall_back = fall_back};
    struct pb_memory *memory = NULL;
    struct rlimit limit;
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    CHECK(statm != NULL && fscanf(statm, "%lu", &pages) == 1 && fclose(statm) == 0);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = pages * (unsigned long)getpagesize() + bytes;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    enum pb_status status = pb_memory_create(&config, &memory);
    enum pb_rung rung = status == PB_OK ? pb_memory_rung(memory) : PB_RUNG_COUNT;
    CHECK(status == PB_OK || status == PB_NO_MEMORY);
    if (status == PB_OK) {
        CHECK_EQ(pb_memory_style(memory).kind,
                 rung >= PB_RUNG_DYNAMIC ? PB_STYLE_DYNAMIC : PB_STYLE_STATIC);
        CHECK_EQ(pb_memory_style(memory).guard_bytes,
                 rung == PB_RUNG_AS_ASKED ? UINT64_C(8) << 30 : 65536);
        check_guarded(memory);
        pb_memory_release(memory);
    }
    return rung;
}

TEST(R43_address_space_goes_down_step_by_step_and_no_further) {
    static const uint64_t left[] = {UINT64_C(13) << 30, UINT64_C(5) << 30, UINT64_C(1) << 30,
                                    UINT64_C(40) << 20};
#if TEST_SANITIZED
    test_skip("sanitizers need address space without end");
#endif
    for (unsigned i = 0; i < PB_RUNG_COUNT; i++) {
        for (unsigned rung = 0; rung < PB_RUNG_COUNT; rung++) {
            test_note("%llu MiB left, down to %u", (unsigned long long)left[i] >> 20, rung);
            CHECK_EQ(rung_within(left[i], (enum pb_rung)rung), rung >= i ? i : PB_RUNG_COUNT);
        }
    }
}

TEST(R43_address_space_asks_for_a_step_that_there_is) {
    const struct pb_memory_config config = {.type = {1, 1, false}, .fall_back = PB_RUNG_COUNT};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_INVALID);
    CHECK(memory == NULL);
}

TEST(R43_address_space_steps_have_notes) {
    for (unsigned i = 0; i < PB_RUNG_COUNT; i++) {
        CHECK(strlen(pb_rung_note((enum pb_rung)i)) > 10);
    }
    CHECK(pb_rung_note(PB_RUNG_COUNT) == NULL);
}
