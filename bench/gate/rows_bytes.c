/* rows_bytes.c: the gate's rows on a memory's bytes: loads, stores, atomics, bulk operations, and
 * wait and notify that do not block. On an owned and on a shared memory if they differ. */
#include "gate.h"

enum { OPERATIONS = 4096, BULKS = 64, BULK_BYTES = 16384 };

static struct pb_memory *memory;
static uint8_t data[BULK_BYTES];

static void open_owned(const struct gate_row *row) {
    (void)row;
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 2, false);
    gate_touch(memory, 2 * PB_PAGE_BYTES);
}

static void open_shared(const struct gate_row *row) {
    (void)row;
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 2, true);
    gate_touch(memory, 2 * PB_PAGE_BYTES);
}

static void close_memory(void) {
    pb_memory_release(memory);
}

static void access_plain(void) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        (void)pb_memory_store(memory, i * 8, 0, 8, value + i);
        (void)pb_memory_load(memory, i * 8, 0, 4, &value);
    }
    gate_need(value == (uint64_t)(OPERATIONS - 1) * OPERATIONS / 2, "a load or store went wrong");
}

static void access_atomic(void) {
    uint64_t old = 0;
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        (void)pb_memory_atomic_rmw(memory, PB_RMW_ADD, i * 8, 0, 4, 1, &old);
        (void)pb_memory_atomic_load(memory, i * 8, 0, 4, &old);
        (void)pb_memory_atomic_store(memory, i * 8, 0, 4, old);
    }
}

static void bulk(void) {
    struct pb_segment segment = {data, BULK_BYTES};
    for (uint32_t i = 0; i < BULKS; i++) {
        enum pb_status status = pb_memory_bulk_fill(memory, 0, (uint8_t)i, BULK_BYTES);
        status |= pb_memory_bulk_copy(memory, BULK_BYTES, 0, BULK_BYTES);
        status |= pb_memory_bulk_init(memory, &segment, 2 * BULK_BYTES, 0, BULK_BYTES);
        status |= pb_memory_initialise(memory, 3UL * BULK_BYTES, data, BULK_BYTES);
        status |= pb_memory_read(memory, 0, data, BULK_BYTES);
        gate_need(status == PB_OK, "a bulk operation was refused");
    }
}

static void notify_none(void) {
    uint32_t woken, sum = 0;
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        (void)pb_memory_notify(memory, i % 64 * 4UL, 1, &woken);
        sum += woken;
    }
    gate_need(sum == 0, "a notify woke a waiter");
}

/* A wait whose value differs, and one with a timeout of zero. */
static void wait_not(void) {
    enum pb_wait result = PB_WAIT_NOTIFIED;
    for (uint32_t i = 0; i < OPERATIONS; i++) {
        (void)pb_memory_wait32(memory, i % 64 * 4UL, UINT32_MAX, -1, &result);
        gate_need(result == PB_WAIT_NOT_EQUAL, "a wait did not see that the value differs");
        (void)pb_memory_wait64(memory, PB_PAGE_BYTES + 8, 0, 0, &result);
        gate_need(result == PB_WAIT_TIMED_OUT, "a wait without time did not time out");
    }
}

const struct gate_row gate_rows_bytes[] = {
    {"access/owned", OPERATIONS, 0, 1, GATE_ALONE, 0, open_owned, access_plain, close_memory},
    {"access/shared", OPERATIONS, 0, 1, GATE_ALONE, 0, open_shared, access_atomic, close_memory},
    {"bulk/owned", BULKS, 0, 1, GATE_ALONE, 0, open_owned, bulk, close_memory},
    {"bulk/shared", BULKS, 0, 1, GATE_ALONE, 0, open_shared, bulk, close_memory},
    {"notify_none", OPERATIONS, 0, 1, GATE_ALONE, 0, open_shared, notify_none, close_memory},
    {"wait_not", OPERATIONS, 0, 1, GATE_ALONE, 0, open_shared, wait_not, close_memory},
    {0},
};
