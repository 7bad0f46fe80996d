/* access.c: checked loads and stores of 1 to 8 bytes, plain and atomic (R18). */
/* SPDX-License-Identifier: MIT */
#include "guest_bytes.h"
#include "handle.h"

/* Checks an access and finds its bytes. */
static enum pb_status locate(struct pb_memory *memory, uint32_t index, uint32_t offset,
                             unsigned width, bool aligned, uint8_t **at) {
    if (width != 1 && width != 2 && width != 4 && width != 8) {
        return PB_INVALID;
    }
    uint64_t address = (uint64_t)index + offset;
    if (aligned && address % width != 0) {
        return PB_MISALIGNED;
    }
    if (!pb_range_within(address, width, pb_handle_length(memory))) {
        return PB_OUT_OF_BOUNDS;
    }
    *at = pb_handle_at(memory, address);
    return PB_OK;
}

/* ---- Plain: relaxed where aligned, bytes where not ------------------------------------------ */

#define AS(type, at) ((_Atomic(type) *)(void *)(at))

static uint64_t load_relaxed(const uint8_t *at, unsigned width) {
    uint64_t value = 0;
    if ((uintptr_t)at % width != 0) {
        pb_bytes_from_guest(&value, at, width);
        return value;
    }
    switch (width) {
    case 1:
        return pb_byte_load(at);
    case 2:
        return atomic_load_explicit((const _Atomic uint16_t *)(const void *)at,
                                    memory_order_relaxed);
    case 4:
        return atomic_load_explicit((const _Atomic uint32_t *)(const void *)at,
                                    memory_order_relaxed);
    default:
        return pb_word_load(at);
    }
}

static void store_relaxed(uint8_t *at, unsigned width, uint64_t value) {
    if ((uintptr_t)at % width != 0) {
        pb_bytes_to_guest(at, &value, width);
        return;
    }
    switch (width) {
    case 1:
        pb_byte_store(at, (uint8_t)value);
        break;
    case 2:
        atomic_store_explicit(AS(uint16_t, at), (uint16_t)value, memory_order_relaxed);
        break;
    case 4:
        atomic_store_explicit(AS(uint32_t, at), (uint32_t)value, memory_order_relaxed);
        break;
    default:
        pb_word_store(at, value);
    }
}

enum pb_status pb_memory_load(struct pb_memory *memory, uint32_t index, uint32_t offset,
                              unsigned width, uint64_t *value) {
    uint8_t *at;
    enum pb_status status = locate(memory, index, offset, width, false, &at);
    if (status == PB_OK) {
        *value = load_relaxed(at, width);
    }
    return status;
}

enum pb_status pb_memory_store(struct pb_memory *memory, uint32_t index, uint32_t offset,
                               unsigned width, uint64_t value) {
    uint8_t *at;
    enum pb_status status = locate(memory, index, offset, width, false, &at);
    if (status == PB_OK) {
        store_relaxed(at, width, value);
    }
    return status;
}

/* ---- Atomic: sequentially consistent -------------------------------------------------------- */

/* gcc 12 for RISC-V compares whole registers in a 32-bit compare-exchange, also where the expected
 * value was cut from 64 bits. A value that was in memory is extended as the one that it meets. */
#if defined(__riscv)
#define IN_MEMORY volatile
#else
#define IN_MEMORY
#endif

/* The operations at one width; the values wrap at the width by conversion. */
#define ATOMICS_OF_WIDTH(bits)                                                                    \
    static uint64_t atomic_rmw_##bits(uint8_t *at, enum pb_rmw operation, uint64_t wide) {        \
        uint##bits##_t operand = (uint##bits##_t)wide;                                            \
        switch (operation) {                                                                      \
        case PB_RMW_ADD:                                                                          \
            return atomic_fetch_add(AS(uint##bits##_t, at), operand);                             \
        case PB_RMW_SUB:                                                                          \
            return atomic_fetch_sub(AS(uint##bits##_t, at), operand);                             \
        case PB_RMW_AND:                                                                          \
            return atomic_fetch_and(AS(uint##bits##_t, at), operand);                             \
        case PB_RMW_OR:                                                                           \
            return atomic_fetch_or(AS(uint##bits##_t, at), operand);                              \
        case PB_RMW_XOR:                                                                          \
            return atomic_fetch_xor(AS(uint##bits##_t, at), operand);                             \
        default:                                                                                  \
            return atomic_exchange(AS(uint##bits##_t, at), operand);                              \
        }                                                                                         \
    }                                                                                             \
    static uint64_t atomic_cmpxchg_##bits(uint8_t *at, uint64_t expected, uint64_t replacement) { \
        IN_MEMORY uint##bits##_t narrow = (uint##bits##_t)expected;                               \
        uint##bits##_t seen = narrow;                                                             \
        (void)atomic_compare_exchange_strong(AS(uint##bits##_t, at), &seen,                       \
                                             (uint##bits##_t)replacement);                        \
        return seen;                                                                              \
    }                                                                                             \
    static uint64_t atomic_load_##bits(const uint8_t *at) {                                       \
        return atomic_load((const _Atomic uint##bits##_t *)(const void *)at);                     \
    }                                                                                             \
    static void atomic_store_##bits(uint8_t *at, uint64_t value) {                                \
        atomic_store(AS(uint##bits##_t, at), (uint##bits##_t)value);                              \
    }

ATOMICS_OF_WIDTH(8)
ATOMICS_OF_WIDTH(16)
ATOMICS_OF_WIDTH(32)
ATOMICS_OF_WIDTH(64)

static const struct {
    uint64_t (*load)(const uint8_t *at);
    void (*store)(uint8_t *at, uint64_t value);
    uint64_t (*rmw)(uint8_t *at, enum pb_rmw operation, uint64_t operand);
    uint64_t (*cmpxchg)(uint8_t *at, uint64_t expected, uint64_t replacement);
} atomics[] = {
    [1] = {atomic_load_8, atomic_store_8, atomic_rmw_8, atomic_cmpxchg_8},
    [2] = {atomic_load_16, atomic_store_16, atomic_rmw_16, atomic_cmpxchg_16},
    [4] = {atomic_load_32, atomic_store_32, atomic_rmw_32, atomic_cmpxchg_32},
    [8] = {atomic_load_64, atomic_store_64, atomic_rmw_64, atomic_cmpxchg_64},
};

enum pb_status pb_memory_atomic_load(struct pb_memory *memory, uint32_t index, uint32_t offset,
                                     unsigned width, uint64_t *value) {
    uint8_t *at;
    enum pb_status status = locate(memory, index, offset, width, true, &at);
    if (status == PB_OK) {
        *value = atomics[width].load(at);
    }
    return status;
}

enum pb_status pb_memory_atomic_store(struct pb_memory *memory, uint32_t index, uint32_t offset,
                                      unsigned width, uint64_t value) {
    uint8_t *at;
    enum pb_status status = locate(memory, index, offset, width, true, &at);
    if (status == PB_OK) {
        atomics[width].store(at, value);
    }
    return status;
}

enum pb_status pb_memory_atomic_rmw(struct pb_memory *memory, enum pb_rmw operation, uint32_t index,
                                    uint32_t offset, unsigned width, uint64_t operand,
                                    uint64_t *old) {
    uint8_t *at;
    if ((unsigned)operation >= PB_RMW_COUNT) {
        return PB_INVALID;
    }
    enum pb_status status = locate(memory, index, offset, width, true, &at);
    if (status == PB_OK) {
        *old = atomics[width].rmw(at, operation, operand);
    }
    return status;
}

enum pb_status pb_memory_atomic_cmpxchg(struct pb_memory *memory, uint32_t index, uint32_t offset,
                                        unsigned width, uint64_t expected, uint64_t replacement,
                                        uint64_t *old) {
    uint8_t *at;
    enum pb_status status = locate(memory, index, offset, width, true, &at);
    if (status == PB_OK) {
        *old = atomics[width].cmpxchg(at, expected, replacement);
    }
    return status;
}
