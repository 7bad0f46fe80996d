/* corners.c: tests of paths that a user meets rarely:
 * arguments out of every range, failures on the way out of a failure, kernels that lack something.
 */
#include "fixture.h"
#include "mailbox.h"
#include "memory.h"
#include "region.h"
#include "seam.h"
#include "test.h"

#include <string.h>

/* ---- Arguments ------------------------------------------------------------------------------- */

TEST(R1_create_refuses_what_no_enumeration_has) {
    struct pb_memory_style style = {99, 1, 0};
    struct pb_memory_config config = {.type = {1, 1, false}, .style = &style};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_INVALID);
    config.style = NULL;
    config.strategy = (enum pb_strategy)99;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_INVALID);
    CHECK(memory == NULL);
    const char *reason = NULL;
    CHECK_STATUS(pb_strategy_available((enum pb_strategy)99, &reason), PB_UNSUPPORTED);
    CHECK(reason != NULL && *reason != '\0');
    CHECK_STATUS(pb_strategy_available((enum pb_strategy)99, NULL), PB_UNSUPPORTED);
}

TEST(R3_region_refuses_a_capacity_of_broken_pages) {
    struct pb_region_config config = {.strategy = PB_STRATEGY_RESERVE,
                                      .accessible_bytes = PB_PAGE_BYTES,
                                      .capacity_bytes = PB_PAGE_BYTES + 1};
    struct pb_region region;
    CHECK_STATUS(pb_region_create(&config, &region), PB_INVALID);
}

/* What is added for the alignment of huge pages must not wrap. */
TEST(R9_region_as_wide_as_the_address_space_is_no_memory) {
    struct pb_region_config config = {.strategy = PB_STRATEGY_RESERVE,
                                      .capacity_bytes = UINT64_MAX - PB_PAGE_BYTES + 1,
                                      .advice = PB_ADVICE_HUGE_PAGES};
    struct pb_region region;
    CHECK_STATUS(pb_region_create(&config, &region), PB_NO_MEMORY);
    config.advice = PB_ADVICE_NONE;
    CHECK_STATUS(pb_region_create(&config, &region), PB_NO_MEMORY);
}

TEST(R9_pool_and_image_refuse_lengths_that_would_wrap) {
    struct pb_pool_config config = {
        .slots = 1, .slot_bytes = PB_PAGE_BYTES, .guard_bytes = UINT64_MAX - PB_PAGE_BYTES + 1};
    struct pb_pool *pool = NULL;
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_INVALID);
    config.slots = UINT32_MAX;
    config.guard_bytes = UINT64_C(1) << 40;
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_INVALID);
    CHECK(pool == NULL);
    struct pb_image *image = NULL;
    uint64_t most = pb_pages_to_bytes(PB_PAGES_MAX);
    CHECK_STATUS(pb_image_create("x", most + 1, NULL, &image), PB_INVALID);
    CHECK_STATUS(pb_image_create("x", 0, NULL, &image), PB_INVALID);
    CHECK(image == NULL);
}

TEST(R1_pool_without_memory_leaves_nothing) {
    struct pb_pool_config config = {
        .slots = 2, .slot_bytes = PB_PAGE_BYTES, .allocator = &seam_allocator};
    struct pb_pool *pool = NULL;
    seam_allocator_fail(1);
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_NO_MEMORY);
    seam_allocator_fail(0);
    seam_fail(SEAM_RESERVE, 1, false);
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_NO_MEMORY);
    seam_fail(0, 0, false);
    CHECK(pool == NULL);
    CHECK_EQ(seam_allocator_alive(), 0);
    CHECK_EQ(seam_address_space(), 0);
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_OK);
    pb_pool_release(pool);
    CHECK_EQ(seam_allocator_alive(), 0);
}

/* ---- Dynamic memories of a pool -------------------------------------------------------------- */

static enum pb_status pool_memory(struct pb_pool *pool, uint32_t min, uint32_t max,
                                  struct pb_memory **memory) {
    static const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    struct pb_memory_config config = {
        .type = {min, max, false}, .style = &style, .strategy = PB_STRATEGY_POOL, .pool = pool};
    return pb_memory_create(&config, memory);
}

/* A Dynamic memory promises no more than what a slot holds; growth past it is no memory. */
TEST(R3_dynamic_memory_of_a_pool_is_bounded_by_its_slot) {
    struct pb_pool_config config = {.slots = 1, .slot_bytes = 2 * PB_PAGE_BYTES};
    struct pb_pool *pool = NULL;
    struct pb_memory *memory = NULL;
    uint32_t old = 99;
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_OK);
    CHECK_STATUS(pool_memory(pool, 1, 10, &memory), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_NO_MEMORY);
    CHECK_EQ(old, 99);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    check_zero(memory, 0, 2 * PB_PAGE_BYTES);
    pb_memory_release(memory);
    memory = NULL;
    CHECK(pool_memory(pool, 3, 10, &memory) != PB_OK);
    CHECK_STATUS(pool_memory(NULL, 1, 10, &memory), PB_INVALID);
    CHECK(memory == NULL);
    CHECK_EQ(pb_pool_stats(pool).free, 1);
    pb_pool_release(pool);
}

/* ---- Handles --------------------------------------------------------------------------------- */

TEST(R38_attach_without_memory_for_a_handle_leaves_nothing) {
    struct pb_memory_config config = {.type = {1, 1, true}, .allocator = &seam_allocator};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    unsigned alive = seam_allocator_alive();
    struct pb_mailbox_config box = {.memory = memory, .offset = 0};
    struct pb_mailbox *mailbox = NULL;
    seam_allocator_fail(1); /* the mailbox's own is another allocator */
    CHECK_STATUS(pb_mailbox_create(&box, &mailbox), PB_NO_MEMORY);
    CHECK_EQ(seam_allocator_failed(), 1);
    seam_allocator_fail(0);
    CHECK(mailbox == NULL);
    CHECK_EQ(seam_allocator_alive(), alive);
    CHECK_STATUS(pb_mailbox_create(&box, &mailbox), PB_OK);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
    CHECK_EQ(seam_allocator_alive(), 0);
}

/* ---- Images ---------------------------------------------------------------------------------- */

static struct pb_memory *image_memory(struct pb_image *image, uint32_t min, uint32_t max) {
    struct pb_memory_style style = {PB_STYLE_STATIC, max, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {min, max, false},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_IMAGE,
                                      .image = image,
                                      .allocator = &seam_allocator};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    return memory;
}

static struct pb_image *image_of_a_page(void) {
    static uint8_t data[PB_PAGE_BYTES];
    struct pb_image *image = NULL;
    memset(data, 7, sizeof data);
    CHECK_STATUS(pb_image_create(data, sizeof data, NULL, &image), PB_OK);
    return image;
}

/* Its pages are views of another image since it was copied: reset has to go all the way back. */
static bool reset_after_copy(struct pb_image *image, uint32_t min, unsigned nth) {
    struct pb_memory *memory = image_memory(image, min, 4), *copy = NULL;
    uint32_t old;
    unsigned alive;
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
    fill_pattern(memory, 0, (min + 2) * PB_PAGE_BYTES, 1);
    alive = seam_allocator_alive();
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    CHECK(seam_allocator_alive() > alive);
    seam_fail(SEAM_ALL, nth, false);
    enum pb_status status = pb_memory_reset(memory);
    bool failed = seam_failed() > 0;
    seam_fail(0, 0, false);
    check_pattern(copy, 0, (min + 2) * PB_PAGE_BYTES, 1); /* whatever becomes of the source */
    if (status == PB_OK) {
        CHECK_EQ(pb_memory_size_pages(memory), min);
        for (uint64_t i = 0; i < min * PB_PAGE_BYTES; i++) {
            CHECK_EQ(base_of(memory)[i], image != NULL ? 7 : 0);
        }
        check_guarded(memory);
        CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        check_zero(memory, min * PB_PAGE_BYTES, 2 * PB_PAGE_BYTES);
    } else {
        CHECK(failed); /* told: it may only be destroyed */
    }
    pb_memory_release(memory);
    check_pattern(copy, 0, (min + 2) * PB_PAGE_BYTES, 1);
    pb_memory_release(copy);
    CHECK_EQ(seam_allocator_alive(), 0);
    return failed;
}

TEST(R15_image_reset_after_a_copy_goes_back_or_tells_so) {
    struct pb_image *image = image_of_a_page();
    struct pb_image *images[] = {image, NULL, NULL};
    const uint32_t min[] = {1, 1, 0};
    for (unsigned i = 0; i < 3; i++) {
        unsigned nth = 0;
        do {
            test_note("%s, min %u, call %u fails", images[i] ? "an image" : "no image", min[i],
                      ++nth);
        } while (reset_after_copy(images[i], min[i], nth));
        CHECK(nth > 1);
    }
    pb_image_release(image);
}

TEST(R13_image_copy_failing_at_each_allocation_changes_nothing) {
    struct pb_image *image = image_of_a_page();
    unsigned nth = 0;
    bool failed;
    do {
        struct pb_memory *memory = image_memory(image, 2, 4), *copy = NULL;
        fill_pattern(memory, 0, 10, 1);
        struct snapshot before = snapshot_take(memory);
        seam_allocator_fail(++nth);
        enum pb_status status = pb_memory_copy(memory, &copy);
        failed = seam_allocator_failed() > 0;
        seam_allocator_fail(0);
        CHECK_EQ(copy != NULL, status == PB_OK);
        CHECK(status == PB_OK || failed);
        snapshot_check(memory, &before);
        pb_memory_release(copy);
        pb_memory_release(memory);
        CHECK_EQ(seam_allocator_alive(), 0);
    } while (failed);
    CHECK(nth > 1);
    pb_image_release(image);
}

/* ---- Failures on the way out of a failure ---------------------------------------------------- */

static struct pb_memory *memory_with(enum pb_strategy strategy, unsigned advice) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 8, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 8, false}, .style = &style, .strategy = strategy, .advice = advice};
    struct pb_memory *memory = NULL;
    const char *reason = "";
    if (pb_strategy_available(strategy, &reason) != PB_OK) {
        test_skip("%s", reason);
    }
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    return memory;
}

/* mask: all calls of these kinds fail. */
static void check_failed_growth(struct pb_memory *memory, unsigned mask) {
    struct snapshot before = snapshot_take(memory);
    uint32_t old = 99;
    seam_fail(mask, 1, true);
    enum pb_status status = pb_memory_grow(memory, 2, &old);
    CHECK(seam_failed() > 0);
    seam_fail(0, 0, false);
    CHECK_STATUS(status, PB_NO_MEMORY);
    CHECK_EQ(old, 99);
    snapshot_check(memory, &before);
    check_guarded(memory);
}

static void check_growth(struct pb_memory *memory) {
    uint32_t old = 99;
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
    CHECK_EQ(old, 1);
    check_pattern(memory, 0, PB_PAGE_BYTES, 1);
    check_zero(memory, PB_PAGE_BYTES, 2 * PB_PAGE_BYTES);
    check_guarded(memory);
    pb_memory_release(memory);
}

/* The pages cannot be populated, and then not even closed again: they are mapped anew. */
TEST(R6_growth_that_cannot_be_undone_by_protection_is_undone_by_a_new_mapping) {
    struct pb_memory *memory = memory_with(PB_STRATEGY_RESERVE, PB_ADVICE_POPULATE);
    check_failed_growth(memory, SEAM_ADVISE | SEAM_DECOMMIT);
    check_growth(memory);
}

/* Where that fails, and they cannot be opened for good either, what is left of the promise: the
 * size, the bytes and a retry. */
TEST(R6_growth_that_nothing_undoes_leaves_size_and_bytes) {
    struct pb_memory *memory = memory_with(PB_STRATEGY_RESERVE, PB_ADVICE_POPULATE);
    uint32_t old = 99;
    seam_fail(SEAM_COMMIT | SEAM_ADVISE | SEAM_DECOMMIT | SEAM_RENEW, 2, true);
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_NO_MEMORY);
    CHECK_EQ(seam_calls(), 5);
    seam_fail(0, 0, false);
    CHECK_EQ(old, 99);
    CHECK_EQ(pb_memory_size_pages(memory), 1);
    check_growth(memory);
}

/* Markers cannot be put back: the range is closed by protection, which the next growth undoes, and
 * may fail to. */
TEST(R6_growth_after_markers_were_replaced_by_protection_can_fail_and_be_retried) {
    struct pb_memory *memory = memory_with(PB_STRATEGY_GUARD, PB_ADVICE_NONE);
    check_failed_growth(memory, SEAM_ADVISE);
    check_failed_growth(memory, SEAM_COMMIT);
    check_growth(memory);
}

static void work_again(enum seam_call call) {
    (void)call;
    if (seam_failed() == 4) {
        seam_fail(0, 0, false);
    }
}

/* Pages that were never protected lie open once their markers are off: where protection then cannot
 * be asked for, and nothing closes them, opening is tried once more. */
TEST(R6_growth_whose_markers_are_gone_and_that_nothing_undoes_has_succeeded) {
    struct pb_memory *memory = memory_with(PB_STRATEGY_GUARD, PB_ADVICE_NONE);
    uint32_t old = 99;
    check_failed_growth(memory, SEAM_ADVISE); /* from here on it asks for protection, too */
    seam_before(SEAM_ADVISE, work_again);
    seam_fail(SEAM_ADVISE | SEAM_COMMIT | SEAM_DECOMMIT | SEAM_RENEW, 2, true);
    CHECK_STATUS(pb_memory_grow(memory, 5, &old), PB_OK);
    seam_before(0, NULL);
    CHECK_EQ(seam_calls(), 0); /* it got as far as to work again */
    CHECK_EQ(old, 1);
    check_pattern(memory, 0, PB_PAGE_BYTES, 1);
    check_zero(memory, PB_PAGE_BYTES, 5 * PB_PAGE_BYTES);
    check_guarded(memory);
    pb_memory_release(memory);
}

/* A guest of a shared memory that stores to the new pages of a growth for as long as they are open,
 * though it fails: what it stored must not show in a later one. All calls of the mask fail from the
 * nth on. */
static struct pb_memory *stored_to;

static void store_past_the_end(enum seam_call call) {
    (void)call;
    uint8_t *at = base_of(stored_to) + PB_PAGE_BYTES;
    if (!write_faults(at)) {
        *(volatile uint8_t *)at = 7;
    }
}

static void check_stored_meanwhile(enum pb_strategy strategy, unsigned mask, unsigned nth) {
    const struct pb_memory_style style = {PB_STYLE_STATIC, 4, PB_PAGE_BYTES};
    const struct pb_memory_config config = {
        .type = {1, 4, true}, .style = &style, .strategy = strategy, .advice = PB_ADVICE_POPULATE};
    uint32_t old;
    CHECK_STATUS(pb_memory_create(&config, &stored_to), PB_OK);
    seam_before(SEAM_ALL, store_past_the_end);
    seam_fail(mask, nth, true);
    CHECK_STATUS(pb_memory_grow(stored_to, 2, &old), PB_NO_MEMORY);
    seam_before(0, NULL);
    seam_fail(0, 0, false);
    check_guarded(stored_to);
    CHECK_STATUS(pb_memory_grow(stored_to, 2, &old), PB_OK);
    check_zero(stored_to, PB_PAGE_BYTES, 2 * PB_PAGE_BYTES);
    pb_memory_release(stored_to);
}

TEST(R8_bytes_stored_during_a_growth_that_failed_do_not_show_later) {
    check_stored_meanwhile(PB_STRATEGY_RESERVE, SEAM_ADVISE, 1);
    check_stored_meanwhile(PB_STRATEGY_RESERVE, SEAM_ADVISE | SEAM_DISCARD, 1);
    if (pb_strategy_available(PB_STRATEGY_GUARD, NULL) == PB_OK) {
        check_stored_meanwhile(PB_STRATEGY_GUARD, SEAM_ADVISE, 2); /* markers go, then none come */
    }
}

TEST(R15_reset_of_what_is_empty_or_has_not_grown) {
    for (uint32_t min = 0; min < 2; min++) {
        for (struct each e = each_kind(min, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC);
             each_next(&e);) {
            struct pb_memory *memory = each_create(&e);
            uint32_t old;
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            CHECK_EQ(pb_memory_size_pages(memory), min);
            check_zero(memory, 0, min * PB_PAGE_BYTES);
            if (e.info->traps) {
                check_guarded(memory);
            }
            CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
            check_zero(memory, 0, (min + 1) * PB_PAGE_BYTES);
            pb_memory_release(memory);
        }
    }
}

/* ---- Kernels that lack something ------------------------------------------------------------- */

TEST(R4_guard_strategy_without_memory_to_ask_is_asked_again_later) {
    static const unsigned masks[] = {SEAM_RESERVE_ACCESSIBLE, SEAM_ADVISE};
    const char *reason = "";
    for (unsigned i = 0; i < 2; i++) {
        reason = "";
        seam_fail(masks[i], 1, false);
        CHECK_STATUS(pb_strategy_available(PB_STRATEGY_GUARD, &reason), PB_UNSUPPORTED);
        CHECK(strstr(reason, "no memory") != NULL);
        seam_fail(0, 0, false);
    }
    if (pb_strategy_available(PB_STRATEGY_GUARD, &reason) != PB_OK) {
        CHECK(strstr(reason, "MADV_GUARD_INSTALL") != NULL);
    }
}
