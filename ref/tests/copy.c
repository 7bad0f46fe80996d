/* copy.c: tests of R13 to R15 on memories: copies, clones, images, reset. */
#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

#include <string.h>

static struct pb_memory *copy_of(struct pb_memory *memory) {
    struct pb_memory *copy = NULL;
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    CHECK(copy != NULL);
    return copy;
}

static void grow(struct pb_memory *memory, uint32_t delta) {
    uint32_t old;
    CHECK_STATUS(pb_memory_grow(memory, delta, &old), PB_OK);
}

/* ---- R13 copy ------------------------------------------------------------------------------- */

TEST(R13_copy_has_equal_bytes_type_style_and_guard) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        grow(memory, 1);
        fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 3);
        struct pb_memory *copy = copy_of(memory);
        CHECK(base_of(copy) != base_of(memory));
        CHECK(pb_memory_definition(copy) != pb_memory_definition(memory));
        CHECK_EQ(pb_memory_strategy(copy), e.strategy);
        CHECK_EQ(pb_memory_size_pages(copy), 2);
        struct pb_memory_type type = pb_memory_type(copy);
        CHECK_EQ(type.min_pages, 2);
        CHECK_EQ(type.max_pages, 4);
        CHECK_EQ(type.shared, e.shared);
        struct pb_memory_style style = pb_memory_style(copy);
        CHECK_EQ(style.kind, e.style.kind);
        CHECK_EQ(style.guard_bytes, e.style.guard_bytes);
        if (e.is_static) {
            CHECK_EQ(style.bound_pages, e.style.bound_pages);
        }
        check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 3);
        check_pattern(memory, 0, 2 * PB_PAGE_BYTES, 3);
        pb_memory_release(copy);
        pb_memory_release(memory);
    }
}

TEST(R13_copy_and_source_are_independent_both_ways) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        struct pb_memory *copy = copy_of(memory);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 2);
        check_pattern(copy, 0, PB_PAGE_BYTES, 1);
        fill_pattern(copy, 0, PB_PAGE_BYTES, 3);
        check_pattern(memory, 0, PB_PAGE_BYTES, 2);
        grow(memory, 3);
        CHECK_EQ(pb_memory_size_pages(copy), 1);
        fill_pattern(memory, PB_PAGE_BYTES, 3 * PB_PAGE_BYTES, 2);
        grow(copy, 2);
        check_zero(copy, PB_PAGE_BYTES, 2 * PB_PAGE_BYTES);
        fill_pattern(copy, 0, 3 * PB_PAGE_BYTES, 4);
        CHECK_EQ(pb_memory_size_pages(memory), 4);
        check_pattern(memory, 0, 4 * PB_PAGE_BYTES, 2);
        check_pattern(copy, 0, 3 * PB_PAGE_BYTES, 4);
        pb_memory_release(copy);
        pb_memory_release(memory);
    }
}

/* A copy-on-write copy of a copy-on-write source must not lose what the source wrote since. */
TEST(R13_copy_made_after_the_first_was_written_to) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        struct pb_memory *first = copy_of(memory);
        fill_pattern(first, 100, 5000, 2);
        fill_pattern(memory, 60000, 100, 3);
        struct pb_memory *second = copy_of(first), *third = copy_of(memory);
        check_pattern(second, 0, 100, 1);
        check_pattern(second, 100, 5000, 2);
        check_pattern(second, 5100, PB_PAGE_BYTES - 5100, 1);
        check_pattern(third, 0, 60000, 1);
        check_pattern(third, 60000, 100, 3);
        fill_pattern(first, 0, PB_PAGE_BYTES, 4);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 5);
        check_pattern(second, 100, 5000, 2);
        check_pattern(third, 60000, 100, 3);
        grow(second, 2);
        struct pb_memory *last[] = {second, third, first, memory};
        for (unsigned i = 0; i < 4; i++) {
            pb_memory_release(last[i]);
        }
    }
}

/* Little is written and the memory has grown a little: copies share most pages with an image. */
TEST(R13_copy_after_growth_and_few_writes) {
    for (struct each e = each_kind(8, 10, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, 8 * PB_PAGE_BYTES, 1);
        struct pb_memory *first = copy_of(memory);
        grow(first, 2);
        fill_pattern(first, 8 * PB_PAGE_BYTES, 2 * PB_PAGE_BYTES, 2);
        fill_pattern(first, PB_PAGE_BYTES + 4000, 200, 3);
        struct pb_memory *second = copy_of(first);
        check_pattern(second, 0, PB_PAGE_BYTES + 4000, 1);
        check_pattern(second, PB_PAGE_BYTES + 4000, 200, 3);
        check_pattern(second, PB_PAGE_BYTES + 4200, 7 * PB_PAGE_BYTES - 4200, 1);
        check_pattern(second, 8 * PB_PAGE_BYTES, 2 * PB_PAGE_BYTES, 2);
        pb_memory_release(memory);
        pb_memory_release(first);
        pb_memory_release(second);
    }
}

TEST(R13_copy_of_a_copy_keeps_zero_pages_that_hid_others) {
    for (struct each e = each_kind(2, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        struct pb_memory *first = copy_of(memory);
        memset(base_of(first), 0, PB_PAGE_BYTES + 10);
        struct pb_memory *second = copy_of(first);
        check_zero(second, 0, PB_PAGE_BYTES + 10);
        check_pattern(second, PB_PAGE_BYTES + 10, 1000, 1);
        pb_memory_release(memory);
        pb_memory_release(first);
        check_zero(second, 0, PB_PAGE_BYTES + 10);
        pb_memory_release(second);
    }
}

/* A guest that stores whenever the copy is in a system call: its stores must stay. */
static struct pb_memory *raced;
static uint64_t stores;

static void store_meanwhile(enum seam_call call) {
    (void)call;
    CHECK_STATUS(pb_memory_store(raced, 5000, 0, 8, ++stores), PB_OK);
}

TEST(R13_S8_copy_loses_no_store_of_a_racing_guest) {
    for (struct each e = each_kind(1, 2, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *copies[3];
        raced = each_create(&e);
        for (unsigned i = 0; i < 3; i++) {
            uint64_t value = 0;
            CHECK_STATUS(pb_memory_store(raced, 5000, 0, 8, stores), PB_OK);
            seam_before(SEAM_ALL, store_meanwhile);
            copies[i] = copy_of(raced);
            seam_before(0, NULL);
            CHECK_STATUS(pb_memory_load(raced, 5000, 0, 8, &value), PB_OK);
            CHECK_EQ(value, stores);
        }
        for (unsigned i = 0; i < 3; i++) {
            pb_memory_release(copies[i]);
        }
        pb_memory_release(raced);
    }
    CHECK(stores > 0);
}

TEST(R13_copy_survives_its_source) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        struct pb_memory *copy = copy_of(memory);
        pb_memory_release(memory);
        check_pattern(copy, 0, PB_PAGE_BYTES, 1);
        grow(copy, 3);
        fill_pattern(copy, 0, 4 * PB_PAGE_BYTES, 2);
        struct pb_memory *second = copy_of(copy);
        pb_memory_release(copy);
        check_pattern(second, 0, 4 * PB_PAGE_BYTES, 2);
        pb_memory_release(second);
    }
}

TEST(R4_guard_of_a_copy) {
    for (struct each e = each_kind(0, 4, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        for (unsigned i = 0; i < 4; i++) {
            struct pb_memory *copy = copy_of(memory);
            check_guarded(copy);
            check_guarded(memory);
            if (i < 3) {
                grow(copy, 1);
                check_guarded(copy);
                grow(memory, 1);
            }
            pb_memory_release(copy);
        }
        check_guarded(memory);
        pb_memory_release(memory);
    }
}

/* The copied file mapping ended where the source did: growth past it was a bus error. */
TEST(R8_S11_copy_can_be_written_up_to_its_maximum) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_memory *copy = copy_of(memory);
        grow(copy, 3);
        for (uint64_t at = 0; at < 4 * PB_PAGE_BYTES; at += 4096) {
            CHECK(!write_faults(base_of(copy) + at));
        }
        check_zero(copy, 0, 4 * PB_PAGE_BYTES);
        pb_memory_release(copy);
        pb_memory_release(memory);
    }
}

/* Many copies: descriptors must neither run out nor be mixed up. */
TEST(R13_S10_copies_of_copies_stay_apart) {
    enum { COPIES = 3 };
    for (struct each e = each_kind(1, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memories[COPIES + 1] = {each_create(&e)};
        for (unsigned i = 0; i < COPIES; i++) {
            fill_pattern(memories[i], 0, PB_PAGE_BYTES, i);
            memories[i + 1] = copy_of(memories[i]);
            fill_pattern(memories[i], 0, 10, 100 + i);
        }
        for (unsigned i = 0; i < COPIES; i++) {
            check_pattern(memories[i], 0, 10, 100 + i);
            check_pattern(memories[i], 10, PB_PAGE_BYTES - 10, i);
        }
        for (unsigned i = 0; i <= COPIES; i++) {
            pb_memory_release(memories[i]);
        }
    }
}

TEST(R13_copy_has_its_own_waiters) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct pb_memory *copy = copy_of(memory);
    enum pb_wait result;
    uint32_t woken = 9;
    pb_memory_disable_atomics(memory);
    CHECK_STATUS(pb_memory_wait32(memory, 0, 0, 0, &result), PB_DISABLED);
    CHECK_STATUS(pb_memory_wait32(copy, 0, 0, 0, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_TIMED_OUT);
    CHECK_STATUS(pb_memory_notify(copy, 0, 1, &woken), PB_OK);
    CHECK_EQ(woken, 0);
    pb_memory_release(memory);
    pb_memory_release(copy);
}

/* ---- R14 clone ------------------------------------------------------------------------------ */

TEST(R14_clone_aliases_bytes_and_size) {
    for (struct each e = each_kind(1, 4, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_memory *clone = clone_of(memory), *second = clone_of(clone);
        uint64_t value = 0;
        CHECK(base_of(clone) == base_of(memory));
        CHECK_STATUS(pb_memory_store(memory, 77, 0, 4, 0x12345678), PB_OK);
        CHECK_STATUS(pb_memory_load(second, 77, 0, 4, &value), PB_OK);
        CHECK_EQ(value, 0x12345678);
        grow(second, 2);
        CHECK_EQ(pb_memory_size_pages(memory), 3);
        CHECK_EQ(pb_memory_type(clone).min_pages, 3);
        pb_memory_release(memory);
        CHECK_STATUS(pb_memory_load(clone, 77, 0, 4, &value), PB_OK);
        CHECK_EQ(value, 0x12345678);
        pb_memory_release(second);
        grow(clone, 1);
        fill_pattern(clone, 0, 4 * PB_PAGE_BYTES, 1);
        pb_memory_release(clone);
    }
}

TEST(R14_clone_of_an_unshared_memory_is_refused) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e), *clone = NULL;
        CHECK_STATUS(pb_memory_retain(memory, &clone), PB_NOT_SHARED);
        CHECK(clone == NULL);
        pb_memory_release(memory);
    }
}

TEST(R14_pages_are_released_exactly_once) {
    for (struct each e = each_kind(1, 4, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
        if (e.strategy == PB_STRATEGY_POOL) {
            continue; /* the pool keeps its pages: see pool.c */
        }
        struct pb_memory *memory = each_create(&e), *clones[3] = {NULL, NULL, NULL};
        seam_watch(base_of(memory));
        for (unsigned i = 0; i < 3 && e.shared; i++) {
            clones[i] = clone_of(memory);
        }
        for (unsigned i = 0; i < 3; i++) {
            pb_memory_release(clones[i]);
            CHECK_EQ(seam_releases(), 0);
        }
        pb_memory_release(memory);
        CHECK_EQ(seam_releases(), 1);
    }
}

TEST(R14_address_space_is_given_back) {
    for (struct each e = each_kind(1, 30, EACH_KIND); each_next(&e);) {
        uint64_t before = seam_address_space();
        for (unsigned advice = 0; advice < 4; advice++) {
            e.config.advice = advice;
            struct pb_memory *memory = each_create(&e);
            struct pb_memory *copy = copy_of(memory), *second = copy_of(memory);
            grow(memory, 3);
            grow(memory, 20);
            grow(copy, 9);
            pb_memory_release(memory);
            pb_memory_release(copy);
            pb_memory_release(second);
        }
        CHECK_EQ(seam_address_space(), before);
    }
}

TEST(R14_nothing_of_the_library_is_left) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        e.config.allocator = &seam_allocator;
        unsigned alive = seam_allocator_alive();
        for (unsigned round = 0; round < 3; round++) {
            struct pb_memory *memory = each_create(&e);
            struct pb_memory *copy = copy_of(memory);
            struct pb_memory *clone = e.shared ? clone_of(memory) : NULL;
            grow(memory, 3);
            grow(copy, 1);
            pb_memory_release(memory);
            pb_memory_release(clone);
            pb_memory_release(copy);
        }
        CHECK_EQ(seam_allocator_alive(), alive);
    }
}

/* ---- R15 reuse (pool slots: pool.c) --------------------------------------------------------- */

TEST(R15_reset_leaves_no_byte_of_the_last_tenant) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        for (unsigned tenant = 0; tenant < 3; tenant++) {
            CHECK_EQ(pb_memory_size_pages(memory), 1);
            CHECK_EQ(pb_memory_type(memory).min_pages, 1);
            CHECK_EQ(atomic_load(&pb_memory_definition(memory)->length_bytes), PB_PAGE_BYTES);
            check_zero(memory, 0, PB_PAGE_BYTES);
            if (e.info->traps) {
                check_guarded(memory);
            }
            grow(memory, 3);
            check_zero(memory, PB_PAGE_BYTES, 3 * PB_PAGE_BYTES);
            fill_pattern(memory, 0, 4 * PB_PAGE_BYTES, tenant);
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
        }
        pb_memory_release(memory);
    }
}

TEST(R15_reset_of_a_copy) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        grow(memory, 1);
        fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        struct pb_memory *copy = copy_of(memory);
        fill_pattern(copy, 0, 100, 2);
        CHECK_STATUS(pb_memory_reset(copy), PB_OK);
        CHECK_EQ(pb_memory_size_pages(copy), 1);
        check_zero(copy, 0, PB_PAGE_BYTES);
        grow(copy, 3);
        check_zero(copy, 0, 4 * PB_PAGE_BYTES);
        check_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        CHECK_STATUS(pb_memory_reset(memory), PB_OK);
        check_zero(memory, 0, PB_PAGE_BYTES);
        if (e.info->traps) {
            check_guarded(memory);
            check_guarded(copy);
        }
        pb_memory_release(copy);
        pb_memory_release(memory);
    }
}

TEST(R15_reset_is_refused_for_shared_memories) {
    struct pb_memory *memory = shared_memory(1, 2);
    grow(memory, 1);
    fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
    CHECK_STATUS(pb_memory_reset(memory), PB_UNSUPPORTED);
    check_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
    pb_memory_release(memory);
}

/* ---- Images --------------------------------------------------------------------------------- */

static struct pb_memory *from_image(struct pb_image *image, uint32_t pages, uint32_t max) {
    struct pb_memory_style style = {PB_STYLE_STATIC, max, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {pages, max, false},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_IMAGE,
                                      .image = image};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    return memory;
}

static struct pb_image *some_image(uint64_t count) {
    static uint8_t data[2 * 65536];
    struct pb_image *image = NULL;
    for (unsigned i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i % 251 + 1);
    }
    const char *reason = "";
    if (pb_strategy_available(PB_STRATEGY_IMAGE, &reason) != PB_OK) {
        test_skip("%s", reason);
    }
    CHECK_STATUS(pb_image_create(data, count, NULL, &image), PB_OK);
    memset(data, 0, sizeof data); /* the image is a copy */
    return image;
}

static void check_image(struct pb_memory *memory, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        CHECK_EQ(base_of(memory)[i], i % 251 + 1);
    }
    check_zero(memory, count, pb_memory_size_bytes(memory) - count);
}

TEST(R2_fresh_from_an_image_has_its_bytes_and_zeros_behind) {
    static const uint64_t counts[] = {1, 5000, 65536, 65537, 100000};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct pb_image *image = some_image(counts[i]);
        CHECK_EQ(pb_image_bytes(image),
                 (counts[i] + pb_os_page_bytes() - 1) / pb_os_page_bytes() * pb_os_page_bytes());
        struct pb_memory *memory = from_image(image, 2, 4);
        pb_image_release(image);
        check_image(memory, counts[i]);
        check_guarded(memory);
        grow(memory, 2);
        check_image(memory, counts[i]);
        check_guarded(memory);
        pb_memory_release(memory);
    }
}

TEST(R15_reset_brings_back_the_image) {
    struct pb_image *image = some_image(70000);
    struct pb_memory *memory = from_image(image, 2, 4), *other = from_image(image, 2, 4);
    grow(memory, 2);
    memset(base_of(memory), 0xEE, 4 * PB_PAGE_BYTES);
    check_image(other, 70000);
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
    CHECK_EQ(pb_memory_size_pages(memory), 2);
    check_image(memory, 70000);
    check_guarded(memory);
    struct pb_memory *copy = copy_of(memory);
    memset(base_of(copy), 0xDD, 1000);
    CHECK_STATUS(pb_memory_reset(copy), PB_OK);
    CHECK_EQ(pb_memory_size_pages(copy), 2);
    check_image(copy, 70000);
    pb_image_release(image);
    pb_memory_release(memory);
    pb_memory_release(other);
    check_image(copy, 70000);
    pb_memory_release(copy);
}

TEST(R13_image_is_immutable_and_counted) {
    struct pb_image *image = some_image(4096);
    CHECK(pb_image_retain(image) == image);
    struct pb_memory *memory = from_image(image, 1, 1);
    memset(base_of(memory), 0, 4096);
    pb_image_release(image);
    struct pb_memory *second = from_image(image, 1, 1);
    check_image(second, 4096);
    pb_image_release(image);
    pb_image_release(NULL);
    check_image(second, 4096);
    pb_memory_release(memory);
    pb_memory_release(second);
}

/* 2801: an initial range without bounds. */
TEST(R17_image_larger_than_the_memory_is_refused) {
    struct pb_image *image = some_image(70000);
    struct pb_memory_style style = {PB_STYLE_STATIC, 4, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 4, false}, .style = &style, .strategy = PB_STRATEGY_IMAGE, .image = image};
    struct pb_memory *memory = NULL;
    enum pb_status status = pb_memory_create(&config, &memory);
    CHECK(status == PB_INVALID || status == PB_OUT_OF_BOUNDS);
    CHECK(memory == NULL);
    pb_image_release(image);
}

TEST(R13_image_of_nothing_is_invalid) {
    struct pb_image *image = NULL;
    CHECK_STATUS(pb_image_create("", 0, NULL, &image), PB_INVALID);
    CHECK(image == NULL);
}

TEST(R13_copy_of_a_large_sparse_memory_keeps_the_ends) {
    enum { PAGES = 256 };
    for (struct each e = each_kind(PAGES, PAGES, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint64_t last = PAGES * PB_PAGE_BYTES - 1;
        base_of(memory)[last] = 42;
        base_of(memory)[5 * PB_PAGE_BYTES] = 43;
        struct pb_memory *copy = copy_of(memory), *second = copy_of(copy);
        CHECK_EQ(base_of(second)[last], 42);
        CHECK_EQ(base_of(second)[5 * PB_PAGE_BYTES], 43);
        CHECK_EQ(base_of(second)[0], 0);
        CHECK_EQ(base_of(second)[last / 2], 0);
        pb_memory_release(memory);
        pb_memory_release(copy);
        pb_memory_release(second);
    }
}

/* ---- Threads that are cancelled ---------------------------------------------------------------
 */

enum { STEPS = 7 };

/* All calls below that use files; steps counts those that returned. */
static void *call_while_cancelled(void *argument) {
    unsigned *steps = argument;
    struct pb_image *image = NULL;
    struct pb_memory *copy = NULL;
    struct pb_pool *pool = NULL;
    struct pb_pool_config in_slots = {.slots = 1, .slot_bytes = PB_PAGE_BYTES};
    if (pb_pool_reset_available(PB_POOL_SCAN, NULL) == PB_OK) {
        in_slots.reset = PB_POOL_SCAN;
        in_slots.keep_resident_bytes = PB_PAGE_BYTES;
    }
    CHECK_EQ(pthread_cancel(pthread_self()), 0);
    image = some_image(4096);
    *steps = 1;
    struct pb_memory *memory = from_image(image, 1, 1);
    *steps = 2;
    memset(base_of(memory), 5, PB_PAGE_BYTES);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    *steps = 3;
    pb_memory_release(copy);
    pb_memory_release(memory);
    pb_image_release(image);
    *steps = 4;
    CHECK_STATUS(pb_pool_create(&in_slots, &pool), PB_OK);
    *steps = 5;
    struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    struct pb_memory_config config = {
        .type = {1, 1, false}, .style = &style, .strategy = PB_STRATEGY_POOL, .pool = pool};
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
    *steps = 6;
    pb_memory_release(memory);
    pb_pool_release(pool);
    *steps = STEPS;
    pthread_testcancel();
    return NULL;
}

/* A thread that ended within a call would leave its locks taken and its files open. */
TEST(R13_no_call_is_a_cancellation_point) {
    unsigned steps = 0;
    void *ended = NULL;
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, call_while_cancelled, &steps), 0);
    CHECK_EQ(pthread_join(thread, &ended), 0);
    CHECK(ended == PTHREAD_CANCELED);
    CHECK_EQ(steps, STEPS);
}
