/* sweep.c: tests of R15 on resets by hand: how much a tenant must write for its pages to be kept.
 */
#include "fixture.h"
#include "memory.h"
#include "os.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL_PAGES = 16, LARGE_PAGES = 144 }; /* in the caches, and past what counts as cached */

/* In a pool that scans, or on an image of all bytes; all of it may be kept. */
static struct pb_memory *tenant(bool on_image, uint32_t pages, unsigned advice) {
    const uint64_t bytes = pb_pages_to_bytes(pages);
    const struct pb_memory_style style = {PB_STYLE_STATIC, pages, PB_PAGE_BYTES};
    const struct pb_pool_config pool_config = {.slots = 1,
                                               .slot_bytes = bytes,
                                               .guard_bytes = PB_PAGE_BYTES,
                                               .reset = PB_POOL_SCAN,
                                               .keep_resident_bytes = bytes};
    struct pb_memory_config config = {.type = {pages, pages, false},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_IMAGE,
                                      .advice = advice,
                                      .keep_resident_bytes = on_image ? bytes : 0};
    struct pb_memory *memory = NULL;
    if (pb_pool_reset_available(PB_POOL_SCAN, NULL) != PB_OK) {
        test_skip("this kernel has no PAGEMAP_SCAN");
    }
    if (on_image) {
        uint8_t *first_bytes = malloc(bytes);
        CHECK(first_bytes != NULL);
        memset(first_bytes, 0x5a, bytes);
        CHECK_STATUS(pb_image_create(first_bytes, bytes, NULL, &config.image), PB_OK);
        free(first_bytes);
    } else {
        config.strategy = PB_STRATEGY_POOL;
        CHECK_STATUS(pb_pool_create(&pool_config, &config.pool), PB_OK);
    }
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    pb_image_release(config.image);
    pb_pool_release(config.pool);
    return memory;
}

/* The next tenant, after a reset: finds the first bytes and writes to every step-th host page. */
static void next_tenant(struct pb_memory *memory, uint8_t first_byte, uint64_t first,
                        uint64_t step) {
    const uint64_t host = pb_os_page_bytes();
    uint8_t *base = base_of(memory);
    for (uint64_t at = 0; at < pb_memory_size_bytes(memory); at += host) {
        CHECK_EQ(base[at + 9], first_byte);
    }
    for (uint64_t page = first; page < pb_memory_size_bytes(memory) / host; page += step) {
        base[page * host + 9] = 0x11;
    }
}

/* Each tenant writes other pages: a quarter of them on an image, a fifth without. */
static void check_limits(bool on_image) {
    const uint64_t step = on_image ? 4 : 5;
    const uint8_t first_byte = on_image ? 0x5a : 0;
    struct pb_memory *small = tenant(on_image, SMALL_PAGES, PB_ADVICE_NONE);
    struct pb_memory *large = tenant(on_image, LARGE_PAGES, PB_ADVICE_NONE);
    for (unsigned round = 0; round < 2; round++) {
        next_tenant(small, first_byte, round, step);
        next_tenant(large, first_byte, round, step);
        CHECK_STATUS(pb_memory_reset(small), PB_OK);
        CHECK_STATUS(pb_memory_reset(large), PB_OK);
        CHECK(own_bytes(small) > 0);
        CHECK(own_bytes(large) <= 32 * pb_os_page_bytes()); /* what a trial keeps */
    }
    CHECK_EQ(own_bytes(large), 0);
    next_tenant(small, first_byte, 0, 1);
    next_tenant(large, first_byte, 0, 1);
    pb_memory_release(small);
    pb_memory_release(large);
}

TEST(R15_scan_keeps_less_readily_what_the_caches_do_not_hold) {
    check_limits(false);
}

TEST(R15_image_reset_keeps_less_readily_what_the_caches_do_not_hold) {
    check_limits(true);
}

/* The same pages each time, few of many: after one trial all of them stay. */
TEST(R15_pages_that_each_tenant_writes_stay) {
    for (unsigned on_image = 0; on_image < 2; on_image++) {
        struct pb_memory *memory = tenant(on_image, LARGE_PAGES, PB_ADVICE_NONE);
        uint64_t kept[4];
        for (unsigned round = 0; round < 4; round++) {
            next_tenant(memory, on_image ? 0x5a : 0, 2, 12);
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            kept[round] = own_bytes(memory);
        }
        CHECK(kept[0] > 0 && kept[0] <= 32 * pb_os_page_bytes());
        CHECK(kept[1] >= kept[0]);
        CHECK_EQ(kept[2], kept[1]);
        CHECK_EQ(kept[3], kept[1]);
        pb_memory_release(memory);
    }
}

/* Pages that come in many at a time: all of them stay, however little is written. */
TEST(R15_populated_pages_stay) {
    struct pb_memory *memory = tenant(false, SMALL_PAGES, PB_ADVICE_POPULATE);
    for (unsigned round = 0; round < 3; round++) {
        next_tenant(memory, 0, round, 50);
        CHECK_STATUS(pb_memory_reset(memory), PB_OK);
        CHECK_EQ(own_bytes(memory), pb_memory_size_bytes(memory));
    }
    next_tenant(memory, 0, 0, 1);
    pb_memory_release(memory);
}
