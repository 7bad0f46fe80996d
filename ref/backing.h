/* backing.h: what a memory can be backed by: the strategies, and the pools and images that two of
 * them take.
 *
 * What happens at growth, copy and reset is the strategy's business; all of them stand in one
 * table, so that a user can try each without changing a line. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_BACKING_H
#define PB_BACKING_H

#include "allocator.h"
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* a function with the name of the struct it returns */
extern "C" {
#endif

enum pb_strategy {
    PB_STRATEGY_RESERVE,    /* inaccessible reservation; growth makes pages accessible */
    PB_STRATEGY_RESERVE_RW, /* all of the capacity accessible; the length alone grows */
    PB_STRATEGY_REMAP,      /* as reserve; past the capacity the pages move to a new reservation */
    PB_STRATEGY_MOVE,       /* as reserve; past the capacity a new mapping and a copy */
    PB_STRATEGY_HEAP,       /* the allocator's resize */
    PB_STRATEGY_IMAGE,      /* as reserve; copies are copy-on-write views of a frozen file */
    PB_STRATEGY_POOL,       /* a recycled slot of a pool, reset when given back */
    PB_STRATEGY_GUARD,      /* all accessible, the rest closed by the kernel's guard markers */
    PB_STRATEGY_COUNT
};

enum pb_copy_cost {
    PB_COPY_ALL,     /* every accessible byte is read and written */
    PB_COPY_ON_WRITE /* one full copy into an image, then only what was written since. A source that
                        guests write to cannot become a view of that image: unless it is one of
                        another image already, each of its copies is a full one */
};

struct pb_strategy_info {
    const char *name; /* "reserve": as pb_strategy_by_name takes it */
    bool traps;       /* every byte past the length faults (R4) */
    bool stable_base; /* the base never moves; growth past the capacity is refused (R10) */
    bool shareable;   /* can back a shared memory */
    enum pb_copy_cost copy;
    const char *copy_note; /* one line: what a copy costs */
    const char *note;      /* one line: when to choose it */
};

/* What is known of a strategy; NULL for a value that is none. Static. */
const struct pb_strategy_info *pb_strategy_info(enum pb_strategy strategy);

/* The strategy of that name; false when there is none. */
bool pb_strategy_by_name(const char *name, enum pb_strategy *strategy);

/* PB_OK when this kernel can do the strategy, else PB_UNSUPPORTED with *reason set to one line
 * (static). reason may be NULL. */
enum pb_status pb_strategy_available(enum pb_strategy strategy, const char **reason);

/* What to ask of the kernel for a region's accessible pages; any or of these. */
enum pb_advice { PB_ADVICE_NONE = 0, PB_ADVICE_HUGE_PAGES = 1, PB_ADVICE_POPULATE = 2 };

/* A set of equal slots of address space for PB_STRATEGY_POOL. Thread-safe. */
struct pb_pool;

enum pb_pool_reset {
    PB_POOL_DISCARD, /* give the pages back, keep the mapping: at most two system calls */
    PB_POOL_RENEW,   /* map the slot again */
    PB_POOL_SCAN     /* where tenants write little, each other pages, as DISCARD; where they write
                        the same pages again, or a seventh of the slot or more (a quarter above
                        8 MiB), resident pages are kept, up to keep_resident_bytes, and zeroed if
                        they are not zero; the kernel says which pages are resident */
};

/* PB_OK when this kernel, or sandbox, can reset so, else PB_UNSUPPORTED with *reason set to one
 * line (static). reason may be NULL. */
enum pb_status pb_pool_reset_available(enum pb_pool_reset reset, const char **reason);

struct pb_pool_config {
    uint32_t slots;       /* >= 1 */
    uint64_t slot_bytes;  /* what a slot can hold, without its guard; whole host pages, > 0 */
    uint64_t guard_bytes; /* inaccessible behind each slot; whole host pages */
    enum pb_pool_reset reset;
    /* Up to so many bytes of a slot are zeroed and stay resident, so that the next tenant touches
     * them without a page fault: the first bytes, or with PB_POOL_SCAN the resident ones (the
     * slot's whole length is a good choice then). Whole host pages; 0: all are given back. 0 with
     * PB_POOL_RENEW. */
    uint64_t keep_resident_bytes;
    const struct pb_allocator *allocator; /* NULL: pb_allocator_libc */
};

/* Reserves all slots at once. PB_INVALID, PB_NO_MEMORY; with PB_POOL_SCAN, which keeps a descriptor
 * open, PB_UNSUPPORTED (see pb_pool_reset_available), PB_NO_DESCRIPTORS, PB_INTERRUPTED (another
 * try may succeed), PB_SYSTEM. The caller owns *pool. */
enum pb_status pb_pool_create(const struct pb_pool_config *config, struct pb_pool **pool);

/* Gives up the caller's reference; the slots go when the last memory in them has gone. NULL is
 * fine. */
void pb_pool_release(struct pb_pool *pool);

/* What a slot of the pool can hold. */
uint64_t pb_pool_slot_bytes(const struct pb_pool *pool);

/* How many slots are free, in use, and retired because their reset failed (R15). */
struct pb_pool_stats {
    uint32_t free, used, retired;
};
struct pb_pool_stats pb_pool_stats(struct pb_pool *pool);

/* A frozen file with the first bytes of a memory, to start copies and instances from.
 * Reference-counted, immutable, thread-safe. */
struct pb_image;

/* Freezes a copy of count bytes, 1 to 4 GiB; the rest up to a whole host page is zero.
 * PB_INVALID: count. PB_NO_MEMORY, PB_NO_DESCRIPTORS, PB_UNSUPPORTED, PB_INTERRUPTED, PB_SYSTEM.
 * The caller owns one reference. */
enum pb_status pb_image_create(const void *data, uint64_t count,
                               const struct pb_allocator *allocator, struct pb_image **image);
/* One more reference; returns its argument. */
struct pb_image *pb_image_retain(struct pb_image *image);
/* One reference less; NULL is fine. Views of the image outlive it. */
void pb_image_release(struct pb_image *image);
/* Bytes in the image, whole host pages. */
uint64_t pb_image_bytes(const struct pb_image *image);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif
