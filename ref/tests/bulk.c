/* bulk.c: tests of R16 and R17: copy, fill, init, segments, initialise and read. */
#include "fixture.h"
#include "memory.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { SIZE = 65536 };

static const uint8_t text[] = "0123456789abcdef";

/* A memory of one page with a known pattern, and its bytes as they must be. */
struct bulk {
    struct pb_memory *memory;
    uint8_t model[SIZE];
};

static void bulk_start(struct bulk *bulk, struct pb_memory *memory) {
    bulk->memory = memory;
    fill_pattern(memory, 0, SIZE, 7);
    memcpy(bulk->model, base_of(memory), SIZE);
}

static void bulk_check(const struct bulk *bulk) {
    CHECK(memcmp(base_of(bulk->memory), bulk->model, SIZE) == 0);
}

TEST(R16_copy_overlapping_behaves_as_memmove) {
    static const uint32_t rows[][3] = {
        {100, 90, 50},   {90, 100, 50}, {100, 100, 50},    {1, 0, 65535},
        {0, 1, 65535},   {0, 0, 65536}, {33, 64, 4096},    {64, 33, 4096},
        {4099, 3, 8193}, {0, 65535, 1}, {65535, 0, 1},     {5, 5, 0},
        {8, 0, 40000},   {0, 8, 40000}, {30000, 2, 30000}, {1, 1, 3}};
    struct bulk bulk;
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        bulk_start(&bulk, each_create(&e));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const uint32_t *row = rows[i];
            CHECK_STATUS(pb_memory_bulk_copy(bulk.memory, row[0], row[1], row[2]), PB_OK);
            memmove(bulk.model + row[0], bulk.model + row[1], row[2]);
            bulk_check(&bulk);
        }
        pb_memory_release(bulk.memory);
    }
}

TEST(R16_copy_checks_both_ranges_before_the_first_write) {
    static const uint32_t rows[][3] = {{65535, 0, 2},
                                       {0, 65535, 2},
                                       {65536, 0, 1},
                                       {0, 65536, 1},
                                       {1, 0, 65536},
                                       {0, 1, 65536},
                                       {65537, 0, 0},
                                       {0, 65537, 0},
                                       {UINT32_MAX, 0, 1},
                                       {0, UINT32_MAX, 1},
                                       {16, 0, UINT32_MAX},
                                       {0, 16, UINT32_MAX},
                                       {UINT32_MAX, UINT32_MAX, UINT32_MAX}};
    struct bulk bulk;
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        bulk_start(&bulk, each_create(&e));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            const uint32_t *row = rows[i];
            CHECK_STATUS(pb_memory_bulk_copy(bulk.memory, row[0], row[1], row[2]),
                         PB_OUT_OF_BOUNDS);
            bulk_check(&bulk);
        }
        CHECK_STATUS(pb_memory_bulk_copy(bulk.memory, 65536, 65536, 0), PB_OK);
        pb_memory_release(bulk.memory);
    }
}

TEST(R16_fill_writes_exactly_its_range) {
    static const uint32_t rows[][2] = {{0, 1},      {65535, 1}, {65536, 0}, {3, 17},
                                       {100, 4096}, {1, 65535}, {0, 65536}};
    struct bulk bulk;
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        bulk_start(&bulk, each_create(&e));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            uint8_t value = (uint8_t)(0xF0 + i);
            CHECK_STATUS(pb_memory_bulk_fill(bulk.memory, rows[i][0], value, rows[i][1]), PB_OK);
            memset(bulk.model + rows[i][0], value, rows[i][1]);
            bulk_check(&bulk);
        }
        pb_memory_release(bulk.memory);
    }
}

TEST(R16_fill_out_of_bounds_writes_nothing) {
    static const uint32_t rows[][2] = {{65535, 2},      {65536, 1},      {65537, 0},
                                       {0, 65537},      {1, 65536},      {1, UINT32_MAX},
                                       {UINT32_MAX, 1}, {UINT32_MAX, 0}, {UINT32_MAX, UINT32_MAX}};
    struct bulk bulk;
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        bulk_start(&bulk, each_create(&e));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            CHECK_STATUS(pb_memory_bulk_fill(bulk.memory, rows[i][0], 0xEE, rows[i][1]),
                         PB_OUT_OF_BOUNDS);
            bulk_check(&bulk);
        }
        pb_memory_release(bulk.memory);
    }
}

TEST(R16_S13_fill_the_last_byte_of_4_gib) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 65536, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {65536, 65536, false}, .style = &style};
    struct pb_memory *memory = NULL;
    if (pb_memory_create(&config, &memory) == PB_NO_MEMORY) {
        test_skip("no memory for 4 GiB");
    }
    const struct pb_segment segment = {text, 16};
    CHECK_STATUS(pb_memory_bulk_fill(memory, UINT32_MAX, 5, 1), PB_OK);
    CHECK_EQ(base_of(memory)[UINT32_MAX], 5);
    CHECK_STATUS(pb_memory_bulk_fill(memory, UINT32_MAX, 6, 2), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_bulk_copy(memory, 9, UINT32_MAX, 1), PB_OK);
    CHECK_EQ(base_of(memory)[9], 5);
    CHECK_STATUS(pb_memory_bulk_copy(memory, UINT32_MAX - 2, 8, 3), PB_OK);
    CHECK_STATUS(pb_memory_bulk_copy(memory, UINT32_MAX - 2, 8, 4), PB_OUT_OF_BOUNDS);
    CHECK_EQ(base_of(memory)[UINT32_MAX - 1], 5);
    CHECK_STATUS(pb_memory_bulk_init(memory, &segment, UINT32_MAX - 15, 0, 16), PB_OK);
    CHECK_EQ(base_of(memory)[UINT32_MAX], 'f');
    CHECK_STATUS(pb_memory_initialise(memory, UINT64_C(1) << 32, text, 0), PB_OK);
    CHECK_STATUS(pb_memory_initialise(memory, UINT64_C(1) << 32, text, 1), PB_OUT_OF_BOUNDS);
    pb_memory_release(memory);
}

TEST(R16_init_checks_both_ranges_before_the_first_write) {
    static const struct {
        uint32_t destination, source, count;
        enum pb_status status;
    } rows[] = {
        {10, 0, 16, PB_OK},
        {65520, 0, 16, PB_OK},
        {0, 16, 0, PB_OK},
        {65536, 0, 0, PB_OK},
        {65536, 16, 0, PB_OK},
        {100, 3, 13, PB_OK},
        {0, 17, 0, PB_OUT_OF_BOUNDS},
        {65537, 0, 0, PB_OUT_OF_BOUNDS},
        {0, 0, 17, PB_OUT_OF_BOUNDS},
        {0, 1, 16, PB_OUT_OF_BOUNDS},
        {65521, 0, 16, PB_OUT_OF_BOUNDS},
        {0, UINT32_MAX, 1, PB_OUT_OF_BOUNDS},
        {UINT32_MAX, 0, 1, PB_OUT_OF_BOUNDS},
        {0, 8, UINT32_MAX, PB_OUT_OF_BOUNDS},
        {0, UINT32_MAX, UINT32_MAX, PB_OUT_OF_BOUNDS},
    };
    const struct pb_segment segment = {text, 16};
    struct bulk bulk;
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        bulk_start(&bulk, each_create(&e));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            CHECK_STATUS(pb_memory_bulk_init(bulk.memory, &segment, rows[i].destination,
                                             rows[i].source, rows[i].count),
                         rows[i].status);
            if (rows[i].status == PB_OK && rows[i].count > 0) {
                memcpy(bulk.model + rows[i].destination, text + rows[i].source, rows[i].count);
            }
            bulk_check(&bulk);
        }
        pb_memory_release(bulk.memory);
    }
}

TEST(R16_init_a_dropped_segment_has_length_0) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_segment segment = {text, 16};
    CHECK_STATUS(pb_memory_bulk_init(memory, &segment, 0, 0, 1), PB_OK);
    pb_segment_drop(&segment);
    CHECK_EQ(segment.length_bytes, 0);
    CHECK_STATUS(pb_memory_bulk_init(memory, &segment, 8, 0, 1), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_bulk_init(memory, &segment, 8, 1, 0), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_bulk_init(memory, &segment, 8, 0, 0), PB_OK);
    CHECK_STATUS(pb_memory_bulk_init(memory, &segment, 65537, 0, 0), PB_OUT_OF_BOUNDS);
    pb_segment_drop(&segment);
    CHECK_EQ(base_of(memory)[0], '0');
    check_zero(memory, 1, 100);
    pb_memory_release(memory);
}

TEST(R16_bulk_of_nothing_in_an_empty_memory) {
    for (struct each e = each_kind(0, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        const struct pb_segment segment = {text, 16};
        uint8_t byte = 9;
        CHECK_STATUS(pb_memory_bulk_copy(memory, 0, 0, 0), PB_OK);
        CHECK_STATUS(pb_memory_bulk_fill(memory, 0, 1, 0), PB_OK);
        CHECK_STATUS(pb_memory_bulk_init(memory, &segment, 0, 16, 0), PB_OK);
        CHECK_STATUS(pb_memory_initialise(memory, 0, NULL, 0), PB_OK);
        CHECK_STATUS(pb_memory_read(memory, 0, &byte, 0), PB_OK);
        CHECK_STATUS(pb_memory_bulk_copy(memory, 1, 0, 0), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_bulk_fill(memory, 0, 1, 1), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_initialise(memory, 0, text, 1), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_read(memory, 0, &byte, 1), PB_OUT_OF_BOUNDS);
        CHECK_EQ(byte, 9);
        pb_memory_release(memory);
    }
}

TEST(R16_copy_random_ranges_agree_with_memmove) {
    struct bulk bulk;
    uint64_t state = 1;
    bulk_start(&bulk, owned_memory(1, 1));
    CHECK_STATUS(pb_memory_to_shared(bulk.memory), PB_OK);
    for (unsigned i = 0; i < 2000; i++) {
        uint32_t to = test_random(&state) % 300, from = test_random(&state) % 300;
        uint32_t count = test_random(&state) % 300;
        CHECK_STATUS(pb_memory_bulk_copy(bulk.memory, to, from, count), PB_OK);
        memmove(bulk.model + to, bulk.model + from, count);
        CHECK(memcmp(base_of(bulk.memory), bulk.model, 700) == 0);
    }
    bulk_check(&bulk);
    pb_memory_release(bulk.memory);
}

TEST(R17_S6_initialise_out_of_bounds_is_an_error_value) {
    static const uint64_t rows[][2] = {{65536, 1},
                                       {65521, 16},
                                       {0, 65537},
                                       {65537, 0},
                                       {UINT64_MAX, 1},
                                       {UINT64_MAX - 7, 16},
                                       {16, UINT64_MAX - 8},
                                       {UINT64_C(1) << 32, 16},
                                       {(UINT64_C(1) << 32) + 8, 16}};
    struct bulk bulk;
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_SHARED | EACH_STATIC); each_next(&e);) {
        bulk_start(&bulk, each_create(&e));
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            CHECK_STATUS(pb_memory_initialise(bulk.memory, rows[i][0], text, rows[i][1]),
                         PB_OUT_OF_BOUNDS);
            uint8_t byte = 9;
            CHECK_STATUS(pb_memory_read(bulk.memory, rows[i][0], &byte, rows[i][1]),
                         PB_OUT_OF_BOUNDS);
            CHECK_EQ(byte, 9);
            bulk_check(&bulk);
        }
        CHECK_STATUS(pb_memory_initialise(bulk.memory, 65520, text, 16), PB_OK);
        memcpy(bulk.model + 65520, text, 16);
        bulk_check(&bulk);
        pb_memory_release(bulk.memory);
    }
}

TEST(R17_read_gives_back_what_initialise_wrote) {
    for (struct each e = each_kind(2, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint8_t *in = malloc(70000), *out = calloc(1, 70000);
        CHECK(in != NULL && out != NULL);
        for (unsigned i = 0; i < 70000; i++) {
            in[i] = (uint8_t)(i * 7 + i / 256);
        }
        CHECK_STATUS(pb_memory_initialise(memory, 2 * PB_PAGE_BYTES - 70000, in, 70000), PB_OK);
        CHECK_STATUS(pb_memory_read(memory, 2 * PB_PAGE_BYTES - 70000, out, 70000), PB_OK);
        CHECK(memcmp(in, out, 70000) == 0);
        CHECK_EQ(base_of(memory)[2 * PB_PAGE_BYTES - 70001], 0);
        free(in);
        free(out);
        pb_memory_release(memory);
    }
}

TEST(R17_active_segments_apply_in_order_until_one_does_not_fit) {
    const struct pb_active_segment segments[] = {{10, {"aaaa", 4}},
                                                 {12, {"bbbb", 4}},
                                                 {65536, {NULL, 0}},
                                                 {65534, {"cccc", 4}},
                                                 {20, {"dddd", 4}}};
    for (struct each e = each_kind(1, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        size_t applied = 99;
        CHECK_STATUS(pb_memory_initialise_segments(memory, segments, 5, &applied),
                     PB_OUT_OF_BOUNDS);
        CHECK_EQ(applied, 3);
        CHECK(memcmp(base_of(memory) + 10, "aabbbb\0\0\0\0\0\0", 12) == 0);
        check_zero(memory, 20, PB_PAGE_BYTES - 20);
        CHECK_STATUS(pb_memory_initialise_segments(memory, segments, 3, NULL), PB_OK);
        CHECK_STATUS(pb_memory_initialise_segments(memory, NULL, 0, &applied), PB_OK);
        CHECK_EQ(applied, 0);
        pb_memory_release(memory);
    }
}
