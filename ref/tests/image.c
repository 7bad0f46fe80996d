/* image.c: tests of R15 on images: a reset that copies written pages back and keeps them resident.
 */
#include "fixture.h"
#include "memory.h"
#include "os.h"
#include "seam.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

/* The image ends within the second page of WebAssembly, and within a host page. */
enum { PAGES = 3, MAX_PAGES = 4, IMAGE_BYTES = 70000, ALL_BYTES = PAGES * PB_PAGE_BYTES };

static uint8_t first_byte(uint64_t at) {
    return at < IMAGE_BYTES ? (uint8_t)(at % 251 + 1) : 0;
}

static struct pb_image *image_made(void) {
    static uint8_t bytes[IMAGE_BYTES];
    struct pb_image *image = NULL;
    for (uint64_t at = 0; at < sizeof bytes; at++) {
        bytes[at] = first_byte(at);
    }
    CHECK_STATUS(pb_image_create(bytes, sizeof bytes, &seam_allocator, &image), PB_OK);
    return image;
}

static enum pb_status try_instance(struct pb_image *image, uint64_t keep_resident_bytes,
                                   struct pb_memory **memory) {
    static const struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    const struct pb_memory_config config = {.type = {PAGES, MAX_PAGES, false},
                                            .style = &style,
                                            .strategy = PB_STRATEGY_IMAGE,
                                            .image = image,
                                            .keep_resident_bytes = keep_resident_bytes,
                                            .allocator = &seam_allocator};
    *memory = NULL;
    return pb_memory_create(&config, memory);
}

/* Skips the test where the kernel, or an emulator, does not tell what was written. */
static struct pb_memory *instance(struct pb_image *image, uint64_t keep_resident_bytes) {
    struct pb_memory *memory;
    if (pb_pool_reset_available(PB_POOL_SCAN, NULL) != PB_OK) {
        test_skip("this kernel has no PAGEMAP_SCAN");
    }
    CHECK_STATUS(try_instance(image, keep_resident_bytes, &memory), PB_OK);
    return memory;
}

static void check_first_bytes(struct pb_memory *memory) {
    const uint8_t *base = base_of(memory);
    CHECK_EQ(pb_memory_size_pages(memory), PAGES);
    for (uint64_t at = 0; at < ALL_BYTES; at++) {
        if (base[at] != first_byte(at)) {
            test_note("byte %llu", (unsigned long long)at);
            CHECK_EQ(base[at], first_byte(at));
        }
    }
    check_guarded(memory);
}

/* Changes one byte in each of count host pages, from the first on. */
static void write_pages(struct pb_memory *memory, uint64_t first, uint64_t count, uint64_t step) {
    for (uint64_t i = 0; i < count; i++) {
        base_of(memory)[(first + i * step) * pb_os_page_bytes() + 5] ^= 0xff;
    }
}

static uint64_t all_pages(void) {
    return ALL_BYTES / pb_os_page_bytes();
}

static void reset(struct pb_memory *memory) {
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
}

TEST(R15_image_reset_copies_back_what_was_written) {
    struct pb_image *image = image_made();
    struct pb_memory *memory = instance(image, ALL_BYTES);
    pb_image_release(image);
    for (unsigned round = 0; round < 4; round++) {
        uint32_t old;
        test_note("round %u", round);
        check_first_bytes(memory);
        CHECK_STATUS(pb_memory_grow(memory, round % 2, &old), PB_OK);
        memset(base_of(memory), 0xa5, pb_memory_size_pages(memory) * PB_PAGE_BYTES);
        reset(memory);
        CHECK_EQ(own_bytes(memory), ALL_BYTES);
    }
    uint32_t old;
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    check_zero(memory, ALL_BYTES, PB_PAGE_BYTES);
    pb_memory_release(memory);
    CHECK_EQ(seam_address_space(), 0);
    CHECK_EQ(seam_allocator_alive(), 0);
}

TEST(R15_image_reset_keeps_no_more_than_it_may) {
    const uint64_t budget = all_pages() / 2 * pb_os_page_bytes();
    struct pb_image *image = image_made();
    struct pb_memory *memory = instance(image, budget), *other = instance(image, ALL_BYTES);
    for (unsigned round = 0; round < 3; round++) {
        memset(base_of(memory), 0xa5, ALL_BYTES);
        reset(memory);
        CHECK_EQ(own_bytes(memory), budget);
        check_first_bytes(memory);
        check_first_bytes(other);
    }
    pb_memory_release(memory);
    memset(base_of(other), 0xa5, ALL_BYTES);
    reset(other);
    check_first_bytes(other);
    pb_memory_release(other);
    pb_image_release(image);
}

/* Tenants that write little, each to another page: nothing is kept for long. */
TEST(R15_image_reset_gives_back_where_little_is_written) {
    if (all_pages() < 24) {
        test_skip("host pages are too few");
    }
    struct pb_image *image = image_made();
    struct pb_memory *memory = instance(image, ALL_BYTES);
    write_pages(memory, 3, 2, 10);
    reset(memory);
    CHECK_EQ(own_bytes(memory), 2 * pb_os_page_bytes()); /* as they may be written again */
    write_pages(memory, 5, 2, 10);
    reset(memory);
    CHECK_EQ(own_bytes(memory), 0);
    check_first_bytes(memory);
    pb_memory_release(memory);
    pb_image_release(image);
}

TEST(R13_copy_is_reset_by_hand_as_its_source) {
    struct pb_image *image = image_made();
    struct pb_memory *memory = instance(image, ALL_BYTES), *copy;
    write_pages(memory, 0, all_pages() / 4, 4);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    pb_memory_release(memory);
    pb_image_release(image);
    for (unsigned round = 0; round < 3; round++) {
        memset(base_of(copy), 0x77, ALL_BYTES);
        reset(copy);
        check_first_bytes(copy);
    }
    CHECK_EQ(own_bytes(copy), ALL_BYTES);
    pb_memory_release(copy);
    CHECK_EQ(seam_address_space(), 0);
}

/* Where the kernel does not answer any more, all is given back. */
TEST(R15_image_reset_without_an_answer_gives_back) {
    struct pb_image *image = image_made();
    struct pb_memory *memory = instance(image, ALL_BYTES);
    memset(base_of(memory), 0xa5, ALL_BYTES);
    seam_fail(SEAM_ACCOUNT_ASK, 1, true);
    reset(memory);
    CHECK_EQ(seam_failed(), 1);
    seam_fail(0, 0, false);
    CHECK_EQ(own_bytes(memory), 0);
    check_first_bytes(memory);
    pb_memory_release(memory);
    pb_image_release(image);
}

/* A reset that fails leaves a memory that may be released. */
TEST(R15_image_reset_tells_that_it_failed) {
    struct pb_image *image = image_made();
    struct pb_memory *memory = instance(image, pb_os_page_bytes());
    memset(base_of(memory), 0xa5, ALL_BYTES);
    seam_fail(SEAM_DISCARD, 1, true);
    CHECK_STATUS(pb_memory_reset(memory), PB_NO_MEMORY);
    seam_fail(0, 0, false);
    pb_memory_release(memory);
    pb_image_release(image);
    CHECK_EQ(seam_address_space(), 0);
    CHECK_EQ(seam_allocator_alive(), 0);
}

TEST(R1_image_reset_by_hand_is_refused_at_creation) {
    static const unsigned calls[] = {SEAM_ACCOUNT_TRY, SEAM_RESERVE, SEAM_FILE_MAP};
    struct pb_image *image = image_made();
    struct pb_memory *memory;
    pb_memory_release(instance(image, 0));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        test_note("call %#x", calls[i]);
        seam_fail(calls[i], 1, false);
        CHECK_STATUS(try_instance(image, ALL_BYTES, &memory), PB_NO_MEMORY);
        seam_fail(0, 0, false);
        CHECK(memory == NULL);
        CHECK_EQ(seam_address_space(), 0);
    }
    CHECK_STATUS(try_instance(image, pb_os_page_bytes() + 1, &memory), PB_INVALID);
    CHECK(memory == NULL);
    CHECK_STATUS(try_instance(NULL, ALL_BYTES, &memory), PB_OK); /* no image: nothing to keep */
    write_pages(memory, 0, all_pages(), 1);
    reset(memory);
    check_zero(memory, 0, ALL_BYTES);
    pb_memory_release(memory);
    pb_image_release(image);
    CHECK_EQ(seam_allocator_alive(), 0);
}
