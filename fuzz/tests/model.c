/* model.c: tests of the naive model against examples worked out by hand from the rules. */
#include "model.h"
#include "test.h"

#include <string.h>

static struct model_memory memory, copy;
static struct model_mailbox mailbox;

static bool takes(uint64_t first, uint64_t second, uint64_t third) {
    return model_take(&mailbox) == first && model_take(&mailbox) == second &&
           model_take(&mailbox) == third;
}

static void make(uint32_t min, uint32_t max) {
    const struct subject_type type = {min, max, false};
    const struct subject_style style = {false, 0, 65536};
    model_begin(false);
    model_create(&memory, &type, &style, 0);
}

static enum subject_status check(uint32_t min, uint32_t max, bool shared) {
    const struct subject_type type = {min, max, shared};
    return model_type_check(&type);
}

TEST(model_types) {
    test_note("model_R1_whole_range");
    CHECK(check(65536, 65536, false) == SUBJECT_OK &&
          check(0, SUBJECT_NO_MAXIMUM, false) == SUBJECT_OK);
    test_note("model_R1_errors");
    CHECK(check(65537, SUBJECT_NO_MAXIMUM, false) == SUBJECT_LIMIT &&
          check(0, 65537, false) == SUBJECT_LIMIT && check(2, 1, false) == SUBJECT_INVALID &&
          check(1, SUBJECT_NO_MAXIMUM, true) == SUBJECT_INVALID);
    const struct subject_type none = {1, SUBJECT_NO_MAXIMUM, false}, nine = {1, 9, false};
    test_note("model_R3_style");
    CHECK(model_style(&nine, 9, 1, 2).is_static && !model_style(&nine, 8, 1, 2).is_static &&
          !model_style(&none, 65535, 1, 2).is_static && model_style(&none, 65536, 1, 2).is_static);
}

TEST(model_growth) {
    make(1, SUBJECT_NO_MAXIMUM);
    test_note("model_R5_exactly_65536");
    CHECK(!model_grow_passes(&memory, 65535));
    test_note("model_R5_one_more");
    CHECK(model_grow_passes(&memory, 65536));
    test_note("model_R5_no_wrap");
    CHECK(model_grow_passes(&memory, UINT32_MAX));
    make(2, 3);
    test_note("model_R5_maximum");
    CHECK(!model_grow_passes(&memory, 1) && model_grow_passes(&memory, 2));
    make(65536, 65536);
    test_note("model_R7_zero_at_maximum");
    CHECK(!model_grow_passes(&memory, 0));
    test_note("model_R9_four_gib");
    CHECK(model_bytes(&memory) == UINT64_C(4) << 30);
}

TEST(model_ranges) {
    make(1, 1);
    test_note("model_R16_end");
    CHECK(model_within(&memory, 65536, 0) && !model_within(&memory, 65537, 0));
    test_note("model_R16_edge");
    CHECK(model_within(&memory, 65535, 1) && !model_within(&memory, 65535, 2));
    test_note("model_R17_no_wrap");
    CHECK(!model_within(&memory, UINT64_MAX, 2) && !model_within(&memory, 2, UINT64_MAX));
}

TEST(model_bytes_and_copies) {
    uint8_t data[10];
    make(1, 1);
    model_store(&memory, 4094, 4, 0x11223344); /* across two blocks */
    test_note("model_R18_little_endian");
    CHECK(model_load(&memory, 4094, 2) == 0x3344 && model_load(&memory, 4096, 2) == 0x1122);
    test_note("model_R2_rest_is_zero");
    CHECK(model_load(&memory, 4098, 8) == 0);
    model_write(&memory, 100, "abcdef", 6);
    model_move(&memory, 102, 100, 4);
    model_read(&memory, 100, data, 6);
    test_note("model_R16_overlap_up");
    CHECK(memcmp(data, "ababcd", 6) == 0);
    model_write(&memory, 100, "abcdef", 6);
    model_move(&memory, 100, 102, 4);
    model_read(&memory, 100, data, 6);
    test_note("model_R16_overlap_down");
    CHECK(memcmp(data, "cdefef", 6) == 0);
    test_note("model_R13_copy");
    CHECK(model_copy(&memory, &copy));
    model_store(&copy, 100, 1, 'X');
    model_store(&memory, 101, 1, 'Y');
    test_note("model_R13_independent");
    CHECK(model_load(&memory, 100, 1) == 'c' && model_load(&copy, 101, 1) == 'd');
    model_reset(&memory);
    test_note("model_R15_reset");
    CHECK(model_load(&memory, 100, 8) == 0 && model_load(&copy, 102, 1) == 'e');
    model_begin(false);
    const uint64_t all = (uint64_t)MODEL_ARENA_BLOCKS * MODEL_BLOCK_BYTES;
    test_note("model_fresh_room");
    CHECK(model_has_fresh_room(all) && !model_has_fresh_room(all + 1));
    test_note("model_rmw");
    CHECK(model_rmw(SUBJECT_SUB, 1, 2) == UINT64_MAX && model_rmw(SUBJECT_XCHG, 1, 2) == 2 &&
          model_rmw(SUBJECT_AND, 6, 3) == 2);
}

TEST(model_mailbox) {
    model_mailbox_attach(&mailbox, 2, false, 0);
    test_note("model_R33_reject");
    CHECK(model_enqueue(&mailbox, 1) == SUBJECT_OK && model_enqueue(&mailbox, 2) == SUBJECT_OK &&
          model_enqueue(&mailbox, 3) == SUBJECT_FULL);
    test_note("model_R32_order");
    CHECK(takes(1, 2, 0));
    model_mailbox_attach(&mailbox, 1, true, 2);
    test_note("model_R33_spill");
    CHECK(model_enqueue(&mailbox, 1) == SUBJECT_OK && model_enqueue(&mailbox, 2) == SUBJECT_OK &&
          model_enqueue(&mailbox, 3) == SUBJECT_OK && model_enqueue(&mailbox, 4) == SUBJECT_FULL);
    test_note("model_R33_ring_and_spill");
    CHECK(takes(1, 0, 0) && model_flush(&mailbox) == 1 && takes(2, 0, 0));
    test_note("model_R36_close_drops_spilled");
    CHECK(model_close(&mailbox) == 1 && model_enqueue(&mailbox, 5) == SUBJECT_CLOSED &&
          model_take(&mailbox) == 0);
}
