/* upstream_memory.h: upstream's linear memory, its algorithm in C: which system calls it makes, in
 * which order, and nothing else (no limits, no locks, no waiters). A peer of the rows of memories.
 *
 * One mapping that reserves: static for a bound given at creation, dynamic for the size itself,
 * with a guard after it. Growth within the reservation makes pages accessible; past it, everything
 * is copied to a new mapping, and the old one is unmapped. A copy is a new mapping and a copy of
 * the bytes. */
#ifndef BENCH_UPSTREAM_MEMORY_H
#define BENCH_UPSTREAM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct upstream_memory {
    uint8_t *base;
    size_t total_bytes, length_bytes, guard_bytes;
};

/* reserved_bytes >= length_bytes; guard_bytes is added to it. False: the system refuses. */
bool upstream_create(struct upstream_memory *memory, size_t length_bytes, size_t reserved_bytes,
                     size_t guard_bytes);
bool upstream_grow(struct upstream_memory *memory, size_t delta_bytes);
bool upstream_copy(const struct upstream_memory *memory, struct upstream_memory *copy);
void upstream_destroy(struct upstream_memory *memory);

#endif
