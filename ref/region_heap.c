/* region_heap.c: the strategy heap: a block of the allocator, grown by its resize. */
/* SPDX-License-Identifier: MIT */
#include "strategy.h"

#include <string.h>

/* The allocator's block; a capacity of 0 still gets an address. */
static enum pb_status heap_create(const struct pb_region_config *config, struct pb_region *region) {
    const struct pb_allocator *allocator = region->allocator;
    uint64_t bytes = config->capacity_bytes > 0 ? config->capacity_bytes : 1;
    if (bytes > SIZE_MAX) {
        return PB_NO_MEMORY;
    }
    region->base = allocator->allocate_zeroed(allocator->context, (size_t)bytes);
    if (region->base == NULL) {
        return PB_NO_MEMORY;
    }
    region->total_bytes = region->capacity_bytes;
    return PB_OK;
}

/* The block was zeroed up to its capacity, and nothing above the length has been written since. */
static enum pb_status heap_grow(struct pb_region *region, uint64_t bytes) {
    (void)region;
    (void)bytes;
    return PB_OK;
}

/* The block again, larger, zero behind what it held; NULL: the old one is as it was. Where more is
 * added than there was, a new block is cheaper: an allocator knows which of its pages are zero. */
static uint8_t *enlarge(const struct pb_allocator *allocator, uint8_t *block, size_t old_bytes,
                        size_t bytes) {
    uint8_t *made;
    if (bytes - old_bytes <= old_bytes) {
        made = allocator->resize(allocator->context, block, bytes);
        if (made != NULL) {
            memset(made + old_bytes, 0, bytes - old_bytes);
        }
        return made;
    }
    made = allocator->allocate_zeroed(allocator->context, bytes);
    if (made != NULL) {
        memcpy(made, block, old_bytes);
        allocator->release(allocator->context, block);
    }
    return made;
}

static enum pb_status heap_move(struct pb_region *region, uint64_t bytes) {
    if (bytes > SIZE_MAX) {
        return PB_NO_MEMORY;
    }
    uint8_t *base =
        enlarge(region->allocator, region->base, (size_t)region->capacity_bytes, (size_t)bytes);
    if (base == NULL) {
        return PB_NO_MEMORY;
    }
    region->base = base;
    region->capacity_bytes = region->total_bytes = bytes;
    return PB_OK;
}

static enum pb_status heap_reset(struct pb_region *region, uint64_t bytes) {
    (void)bytes;
    memset(region->base, 0, (size_t)region->accessible_bytes);
    return PB_OK;
}

static void heap_destroy(struct pb_region *region) {
    region->allocator->release(region->allocator->context, region->base);
}

const struct strategy pb_strategy_heap = {
    .info = {.name = "heap",
             .traps = false,
             .stable_base = false,
             .shareable = false,
             .copy = PB_COPY_ALL,
             .copy_note = "reads and writes every accessible byte",
             .note = "many small memories, or no address space to spare; generated code must check "
                     "bounds"},
    .create = heap_create,
    .grow = heap_grow,
    .move = heap_move,
    .copy = pb_mapped_copy,
    .reset = heap_reset,
    .destroy = heap_destroy,
};
