/* region.h: the address range behind a memory, and the strategies that provide one.
 *
 * A region is a base, an accessible length, a capacity up to which it grows in place, and a guard
 * behind the capacity. What happens at growth, copy and reset is the strategy's business; all of
 * them stand in one table, so that a user can try each without changing a line.
 *
 * Rules: R4 guard, R6 grow-atomic, R8 grow-bytes, R9 wide-lengths, R10 base, R13 copy, R15 reuse.
 * A region is not thread-safe: its owner (memory.c) excludes concurrent calls. */
#ifndef PB_REGION_H
#define PB_REGION_H

#include "allocator.h"
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

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
    PB_POOL_RENEW    /* map the slot anew */
};

struct pb_pool_config {
    uint32_t slots;       /* >= 1 */
    uint64_t slot_bytes;  /* what a slot can hold, without its guard; whole host pages, > 0 */
    uint64_t guard_bytes; /* inaccessible behind each slot; whole host pages */
    enum pb_pool_reset reset;
    /* Up to so many bytes of a slot are zeroed and stay resident, so that the next tenant touches
     * them without a page fault. Whole host pages; 0: all are given back. 0 with PB_POOL_RENEW. */
    uint64_t keep_resident_bytes;
    const struct pb_allocator *allocator; /* NULL: pb_allocator_libc */
};

/* Reserves all slots at once. PB_INVALID, PB_NO_MEMORY. The caller owns *pool. */
enum pb_status pb_pool_create(const struct pb_pool_config *config, struct pb_pool **pool);

/* Drops the caller's hold; the slots go when the last region in them is gone. NULL is fine. */
void pb_pool_destroy(struct pb_pool *pool);

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

struct pb_region_config {
    enum pb_strategy strategy;
    uint64_t accessible_bytes; /* at first; whole WebAssembly pages, may be 0 */
    uint64_t capacity_bytes;   /* grows in place up to here; >= accessible_bytes */
    uint64_t guard_bytes;      /* inaccessible behind the capacity; whole host pages, may be 0 */
    unsigned advice;           /* enum pb_advice, or-ed; a hint that cannot be had is ignored,
                                  but POPULATE's want of memory is an error */
    struct pb_pool *pool;      /* PB_STRATEGY_POOL needs one */
    struct pb_image *image;    /* PB_STRATEGY_IMAGE: first contents, or NULL for zeros */
    const struct pb_allocator *allocator; /* NULL: pb_allocator_libc */
};

struct pb_region {
    uint8_t *base;             /* NULL only where nothing is mapped at all */
    uint64_t accessible_bytes; /* zero-filled or written by the guest; the rest is closed */
    uint64_t capacity_bytes;
    uint64_t guard_bytes;
    uint64_t total_bytes; /* of address space from base, guard included */
    enum pb_strategy strategy;
    unsigned advice;
    const struct pb_allocator *allocator;
    /* The strategies' own: */
    struct pb_pool *pool;
    uint32_t slot;
    struct pb_image *image;       /* what the pages not written since are views of */
    struct pb_image *first_image; /* what reset goes back to */
    bool closed_by_protection;    /* guard: markers could not be put back once */
    bool reset_failed;            /* some of the accessible bytes may be closed */
};

/* Makes a region; *region is valid only on PB_OK and then owned by the caller, who may move the
 * struct but not copy it. Bytes are zero, or the image's (R2).
 * PB_INVALID, PB_NO_MEMORY, PB_UNSUPPORTED (see pb_strategy_available), PB_INTERRUPTED, PB_SYSTEM.
 */
enum pb_status pb_region_create(const struct pb_region_config *config, struct pb_region *region);

/* Makes the first bytes accessible, new ones zero; bytes >= accessible_bytes, whole WebAssembly
 * pages. Past the capacity a strategy without a stable base may move the region: base and
 * capacity change; the others answer PB_NO_MEMORY. PB_UNSUPPORTED, PB_INTERRUPTED, PB_SYSTEM: the
 * system refused. On failure nothing has changed (R6). */
enum pb_status pb_region_grow(struct pb_region *region, uint64_t bytes);

/* Like pb_region_grow, but never moves: past the capacity PB_NO_MEMORY for every strategy. */
enum pb_status pb_region_grow_in_place(struct pb_region *region, uint64_t bytes);

/* A new region with equal bytes, capacity, guard and strategy (R13). racing: other threads may
 * write to the source meanwhile; each byte is then read once, atomically. The source's bytes and
 * base do not change. *copy is valid only on PB_OK. Errors as of pb_region_create, and
 * PB_NO_DESCRIPTORS. */
enum pb_status pb_region_copy(struct pb_region *source, bool racing, struct pb_region *copy);

/* Brings the region back to its first state: bytes zero (or the image's), accessible_bytes long,
 * the rest closed (R15). PB_NO_MEMORY, PB_UNSUPPORTED, PB_INTERRUPTED, PB_SYSTEM; the region may
 * only be destroyed then. */
enum pb_status pb_region_reset(struct pb_region *region, uint64_t accessible_bytes);

/* Gives everything back. A pool's slot whose reset fails is retired, never handed out (R15). */
void pb_region_destroy(struct pb_region *region);

#endif
