/* handle.h: what a memory's handle is made of; internal to memory.c, access.c, bulk.c and
 * mailbox.c. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_HANDLE_H
#define PB_HANDLE_H

#include "memory.h"
#include "waiters.h"

struct pb_memory {
    const struct pb_memory_operations *operations;
    void *self;
    struct pb_memory_definition *definition; /* operations->definition(self), asked once */
    const struct pb_allocator *allocator;
    bool shared; /* others may write to the bytes at any time */
    bool custom;
};

/* The size: what has been published by now (R11). */
static inline uint64_t pb_handle_length(const struct pb_memory *memory) {
    return atomic_load_explicit(&memory->definition->length_bytes, memory_order_acquire);
}

/* The byte at an offset that has been checked against pb_handle_length before. */
static inline uint8_t *pb_handle_at(const struct pb_memory *memory, uint64_t offset) {
    return atomic_load_explicit(&memory->definition->base, memory_order_relaxed) + offset;
}

/* Of a shared memory: a doorbell in its wait table, see waiters.h. Without one, custom memories are
 * notified, which is as their table does it. */
void pb_memory_hang(struct pb_memory *memory, struct pb_doorbell *doorbell);
void pb_memory_unhang(struct pb_memory *memory, struct pb_doorbell *doorbell);
void pb_memory_ring(struct pb_memory *memory, struct pb_doorbell *doorbell);

#endif
