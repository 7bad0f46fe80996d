/* handle.h: what a memory's handle is made of; internal to memory.c, access.c and bulk.c. */
#ifndef PB_HANDLE_H
#define PB_HANDLE_H

#include "memory.h"

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

#endif
