/* access.c: tests of R18 and R9: checked loads and stores, plain and atomic. */
#include "fixture.h"
#include "memory.h"
#include "test.h"

#include <string.h>

static const unsigned widths[] = {1, 2, 4, 8};

/* The functions of one kind of access, so that plain and atomic ones share the tests. */
struct access {
    const char *name;
    enum pb_status (*load)(struct pb_memory *, uint32_t, uint32_t, unsigned, uint64_t *);
    enum pb_status (*store)(struct pb_memory *, uint32_t, uint32_t, unsigned, uint64_t);
};
static const struct access accesses[] = {
    {"plain", pb_memory_load, pb_memory_store},
    {"atomic", pb_memory_atomic_load, pb_memory_atomic_store},
};

static const uint64_t value_of_all = UINT64_C(0xF1E2D3C4B5A69788);

static uint64_t low_bytes(uint64_t value, unsigned width) {
    return width == 8 ? value : value & ((UINT64_C(1) << (8 * width)) - 1);
}

TEST(R18_access_ends_exactly_at_size) {
    for (struct each e = each_kind(1, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t size = (uint32_t)pb_memory_size_bytes(memory);
        for (unsigned i = 0; i < 8; i++) {
            const struct access *access = &accesses[i / 4];
            unsigned width = widths[i % 4];
            uint64_t value = 0;
            CHECK_STATUS(access->store(memory, size - width, 0, width, value_of_all), PB_OK);
            CHECK_STATUS(access->load(memory, size - width, 0, width, &value), PB_OK);
            CHECK_EQ(value, low_bytes(value_of_all, width));
            CHECK_STATUS(access->store(memory, 0, size - width, width, 0), PB_OK);
            CHECK_STATUS(access->load(memory, 100, size - width - 100, width, &value), PB_OK);
            CHECK_EQ(value, 0);
        }
        pb_memory_release(memory);
    }
}

TEST(R18_access_one_byte_past_size_traps) {
    for (struct each e = each_kind(1, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t size = (uint32_t)pb_memory_size_bytes(memory);
        memset(base_of(memory), 0x11, size);
        for (unsigned i = 0; i < 4; i++) {
            uint64_t value = 99;
            for (uint32_t over = 1; over <= widths[i]; over++) {
                uint32_t at = size - widths[i] + over;
                CHECK_STATUS(pb_memory_load(memory, at, 0, widths[i], &value), PB_OUT_OF_BOUNDS);
                CHECK_STATUS(pb_memory_load(memory, 0, at, widths[i], &value), PB_OUT_OF_BOUNDS);
                CHECK_STATUS(pb_memory_store(memory, at, 0, widths[i], 0), PB_OUT_OF_BOUNDS);
            }
            CHECK_STATUS(pb_memory_atomic_load(memory, size, 0, widths[i], &value),
                         PB_OUT_OF_BOUNDS);
            CHECK_STATUS(pb_memory_atomic_store(memory, size, 0, widths[i], 0), PB_OUT_OF_BOUNDS);
            CHECK_EQ(value, 99);
        }
        for (uint32_t at = size - 8; at < size; at++) {
            CHECK_EQ(base_of(memory)[at], 0x11); /* nothing half-written */
        }
        pb_memory_release(memory);
    }
}

TEST(R18_access_effective_address_does_not_wrap) {
    struct pb_memory *memory = owned_memory(1, 1);
    static const uint32_t pairs[][2] = {{UINT32_MAX, 1},          {1, UINT32_MAX},
                                        {UINT32_MAX, UINT32_MAX}, {0x80000000, 0x80000000},
                                        {UINT32_MAX - 7, 8},      {UINT32_MAX, 0}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        for (unsigned w = 0; w < 4; w++) {
            uint64_t value = 99;
            CHECK_STATUS(pb_memory_load(memory, pairs[i][0], pairs[i][1], widths[w], &value),
                         PB_OUT_OF_BOUNDS);
            CHECK_STATUS(pb_memory_store(memory, pairs[i][0], pairs[i][1], widths[w], 1),
                         PB_OUT_OF_BOUNDS);
            CHECK_EQ(value, 99);
        }
        uint64_t old;
        CHECK_STATUS(pb_memory_atomic_rmw(memory, PB_RMW_ADD, pairs[i][0], pairs[i][1], 1, 1, &old),
                     PB_OUT_OF_BOUNDS);
    }
    check_zero(memory, 0, PB_PAGE_BYTES);
    pb_memory_release(memory);
}

TEST(R18_access_to_an_empty_memory_traps) {
    for (struct each e = each_kind(0, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint64_t value;
        CHECK_STATUS(pb_memory_load(memory, 0, 0, 1, &value), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_store(memory, 0, 0, 1, 1), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_atomic_load(memory, 0, 0, 8, &value), PB_OUT_OF_BOUNDS);
        pb_memory_release(memory);
    }
}

TEST(R18_access_is_little_endian_and_zero_extended_at_any_alignment) {
    struct pb_memory *memory = owned_memory(1, 1);
    for (uint32_t at = 64; at < 80; at++) {
        for (unsigned w = 0; w < 4; w++) {
            uint64_t value = 0;
            memset(base_of(memory), 0xEE, 128);
            CHECK_STATUS(pb_memory_store(memory, at, 0, widths[w], value_of_all), PB_OK);
            for (unsigned byte = 0; byte < widths[w]; byte++) {
                CHECK_EQ(base_of(memory)[at + byte], (uint8_t)(value_of_all >> (8 * byte)));
            }
            CHECK_EQ(base_of(memory)[at - 1], 0xEE);
            CHECK_EQ(base_of(memory)[at + widths[w]], 0xEE);
            CHECK_STATUS(pb_memory_load(memory, 60, at - 60, widths[w], &value), PB_OK);
            CHECK_EQ(value, low_bytes(value_of_all, widths[w]));
        }
    }
    pb_memory_release(memory);
}

TEST(R18_access_of_no_known_width_is_invalid) {
    struct pb_memory *memory = owned_memory(1, 1);
    static const unsigned bad[] = {0, 3, 5, 6, 7, 9, 16, UINT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint64_t value;
        CHECK_STATUS(pb_memory_load(memory, 0, 0, bad[i], &value), PB_INVALID);
        CHECK_STATUS(pb_memory_store(memory, 0, 0, bad[i], 1), PB_INVALID);
        CHECK_STATUS(pb_memory_atomic_load(memory, 0, 0, bad[i], &value), PB_INVALID);
        CHECK_STATUS(pb_memory_atomic_store(memory, 0, 0, bad[i], 1), PB_INVALID);
        CHECK_STATUS(pb_memory_atomic_rmw(memory, PB_RMW_ADD, 0, 0, bad[i], 1, &value), PB_INVALID);
        CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, 0, 0, bad[i], 0, 1, &value), PB_INVALID);
    }
    uint64_t value;
    CHECK_STATUS(pb_memory_atomic_rmw(memory, PB_RMW_COUNT, 0, 0, 4, 1, &value), PB_INVALID);
    check_zero(memory, 0, 64);
    pb_memory_release(memory);
}

TEST(R18_access_atomic_misaligned_traps_before_bounds) {
    struct pb_memory *memory = shared_memory(1, 1);
    for (unsigned w = 1; w < 4; w++) {
        for (uint32_t off = 1; off < widths[w]; off++) {
            uint64_t value;
            uint32_t ends[] = {64 + off, 0xFFFF0000 + off};
            for (unsigned i = 0; i < 2; i++) {
                CHECK_STATUS(pb_memory_atomic_load(memory, ends[i], 0, widths[w], &value),
                             PB_MISALIGNED);
                CHECK_STATUS(pb_memory_atomic_store(memory, ends[i] - off, off, widths[w], 1),
                             PB_MISALIGNED);
                CHECK_STATUS(
                    pb_memory_atomic_rmw(memory, PB_RMW_OR, ends[i], 0, widths[w], 1, &value),
                    PB_MISALIGNED);
                CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, ends[i], 0, widths[w], 0, 1, &value),
                             PB_MISALIGNED);
            }
        }
    }
    check_zero(memory, 0, PB_PAGE_BYTES);
    pb_memory_release(memory);
}

static uint64_t rmw_model(enum pb_rmw operation, uint64_t a, uint64_t b) {
    switch (operation) {
    case PB_RMW_ADD:
        return a + b;
    case PB_RMW_SUB:
        return a - b;
    case PB_RMW_AND:
        return a & b;
    case PB_RMW_OR:
        return a | b;
    case PB_RMW_XOR:
        return a ^ b;
    default:
        return b;
    }
}

TEST(R18_access_rmw_wraps_at_its_width) {
    static const uint64_t operands[] = {0, 1, 0x7F, 0x80, 0xFF, UINT64_MAX, 0x123456789ABCDEF0};
    for (unsigned shared = 0; shared < 2; shared++) {
        struct pb_memory *memory = shared ? shared_memory(1, 1) : owned_memory(1, 1);
        for (unsigned i = 0; i < PB_RMW_COUNT * 4 * 7; i++) {
            enum pb_rmw operation = (enum pb_rmw)(i % PB_RMW_COUNT);
            unsigned width = widths[i / PB_RMW_COUNT % 4];
            uint64_t operand = operands[i / PB_RMW_COUNT / 4], old = 0, now = 0;
            CHECK_STATUS(pb_memory_store(memory, 64, 0, 8, value_of_all), PB_OK);
            CHECK_STATUS(pb_memory_store(memory, 72, 0, 8, value_of_all), PB_OK);
            CHECK_STATUS(pb_memory_atomic_rmw(memory, operation, 60, 4, width, operand, &old),
                         PB_OK);
            CHECK_EQ(old, low_bytes(value_of_all, width));
            CHECK_STATUS(pb_memory_load(memory, 64, 0, width, &now), PB_OK);
            CHECK_EQ(now, low_bytes(rmw_model(operation, value_of_all, operand), width));
            CHECK_EQ(base_of(memory)[64 + width], (uint8_t)(value_of_all >> (8 * (width % 8))));
        }
        pb_memory_release(memory);
    }
}

/* The expected value wraps at the width before it is compared (threads proposal, issue 195). */
TEST(R18_access_narrow_cmpxchg_wraps_what_it_expects) {
    struct pb_memory *memory = shared_memory(1, 1);
    for (unsigned w = 0; w < 3; w++) {
        for (unsigned bit = 8 * widths[w]; bit < 64; bit += 8) {
            uint64_t old = 0, now = 0, stored = low_bytes(value_of_all, widths[w]);
            uint64_t above = value_of_all ^ stored;
            CHECK_STATUS(pb_memory_store(memory, 64, 0, 8, value_of_all), PB_OK);
            CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, 64, 0, widths[w],
                                                  stored | UINT64_C(1) << bit, 5, &old),
                         PB_OK);
            CHECK_EQ(old, stored);
            CHECK_STATUS(pb_memory_load(memory, 64, 0, 8, &now), PB_OK);
            CHECK_EQ(now, above | 5);
            CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, 64, 0, widths[w],
                                                  (UINT64_C(1) << bit) | 6, 7, &old),
                         PB_OK);
            CHECK_EQ(old, 5);
            CHECK_STATUS(pb_memory_load(memory, 64, 0, 8, &now), PB_OK);
            CHECK_EQ(now, above | 5);
        }
    }
    pb_memory_release(memory);
}

TEST(R18_access_cmpxchg_stores_only_on_a_match) {
    struct pb_memory *memory = shared_memory(1, 1);
    for (unsigned w = 0; w < 4; w++) {
        uint64_t old = 0, now = 0, stored = low_bytes(value_of_all, widths[w]);
        CHECK_STATUS(pb_memory_store(memory, 64, 0, 8, value_of_all), PB_OK);
        CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, 64, 0, widths[w], stored ^ 1, 5, &old),
                     PB_OK);
        CHECK_EQ(old, stored);
        CHECK_STATUS(pb_memory_load(memory, 64, 0, 8, &now), PB_OK);
        CHECK_EQ(now, value_of_all);
        CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, 64, 0, widths[w], stored, 5, &old), PB_OK);
        CHECK_EQ(old, stored);
        CHECK_STATUS(pb_memory_load(memory, 64, 0, widths[w], &now), PB_OK);
        CHECK_EQ(now, 5);
    }
    pb_memory_release(memory);
}

TEST(R9_access_to_the_last_bytes_of_4_gib) {
    unsigned made = 0;
    for (struct each e = each_kind(65536, 65536, EACH_OWNED | EACH_SHARED | EACH_STATIC);
         each_next(&e);) {
        struct pb_memory *memory = NULL;
        uint64_t value = 0;
        if (e.strategy == PB_STRATEGY_HEAP || pb_memory_create(&e.config, &memory) != PB_OK) {
            continue;
        }
        made++;
        for (unsigned w = 0; w < 4; w++) {
            uint32_t last = (uint32_t)((UINT64_C(1) << 32) - widths[w]);
            CHECK_STATUS(pb_memory_store(memory, last, 0, widths[w], value_of_all), PB_OK);
            CHECK_STATUS(pb_memory_atomic_load(memory, 8, last - 8, widths[w], &value), PB_OK);
            CHECK_EQ(value, low_bytes(value_of_all, widths[w]));
            CHECK_STATUS(pb_memory_load(memory, last, 1, widths[w], &value), PB_OUT_OF_BOUNDS);
            CHECK_STATUS(pb_memory_store(memory, last, UINT32_MAX, widths[w], 1), PB_OUT_OF_BOUNDS);
        }
        CHECK_STATUS(pb_memory_load(memory, 0, 0, 8, &value), PB_OK);
        CHECK_EQ(value, 0);
        pb_memory_release(memory);
    }
    CHECK(made > 0);
}
