/* region.h: the address range behind a memory (internal).
 *
 * A region is a base, an accessible length, a capacity up to which it grows in place, and a guard
 * behind the capacity; a strategy provides it.
 *
 * Rules: R4 guard, R6 grow-atomic, R8 grow-bytes, R9 wide-lengths, R10 base, R13 copy, R15 reuse.
 * A region is not thread-safe: its owner (memory.c) excludes concurrent calls. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_REGION_H
#define PB_REGION_H

#include "backing.h"

#include <stdbool.h>
#include <stdint.h>

struct pb_region_config {
    enum pb_strategy strategy;
    uint64_t accessible_bytes; /* at first; whole WebAssembly pages, may be 0 */
    uint64_t capacity_bytes;   /* grows in place up to here; >= accessible_bytes */
    uint64_t guard_bytes;      /* inaccessible behind the capacity; whole host pages, may be 0 */
    unsigned advice;           /* enum pb_advice, or-ed; a hint that cannot be had is ignored,
                                  but POPULATE's want of memory is an error */
    const uint8_t *like;    /* mapped strategies: a base at whose place in a huge page the new one
                               shall be, so that page tables can move as they are; NULL: any */
    struct pb_pool *pool;   /* PB_STRATEGY_POOL needs one */
    struct pb_image *image; /* PB_STRATEGY_IMAGE: first contents, or NULL for zeros */
    uint64_t keep_resident_bytes;         /* image: of pb_memory_config */
    const struct pb_allocator *allocator; /* NULL: pb_allocator_libc */
};

/* Whether it pays to keep pages resident from one tenant to the next: only if they write enough of
 * them. All zero at first. */
struct pb_habit {
    uint32_t kept_pages;    /* host pages, by the last reset; 0: it gave all back */
    uint32_t kept_to_pages; /* it kept none from there on */
    uint32_t misses;        /* how many times in a row it did not pay, up to a limit */
    uint32_t skips;         /* how many coming resets give all back */
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
    uint64_t keep_resident_bytes; /* by hand, up to so many bytes */
    struct pb_habit habit;
    bool closed_by_protection; /* guard: markers could not be put back once */
    bool reset_failed;         /* some of the accessible bytes may be closed */
};

/* Makes a region; *region is valid only on PB_OK and then owned by the caller, who may move the
 * struct but not copy it. Bytes are zero, or the image's (R2).
 * PB_INVALID, PB_NO_MEMORY, PB_NO_DESCRIPTORS, PB_UNSUPPORTED (see pb_strategy_available),
 * PB_INTERRUPTED, PB_SYSTEM. */
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
 * base do not change. *copy is valid only on PB_OK. Errors as of pb_region_create. */
enum pb_status pb_region_copy(struct pb_region *source, bool racing, struct pb_region *copy);

/* Brings the region back to its first state: bytes zero (or the image's), accessible_bytes long,
 * the rest closed (R15). PB_NO_MEMORY, PB_UNSUPPORTED, PB_INTERRUPTED, PB_SYSTEM; the region may
 * only be destroyed then. */
enum pb_status pb_region_reset(struct pb_region *region, uint64_t accessible_bytes);

/* Gives everything back. A pool's slot whose reset fails is retired, never handed out (R15). */
void pb_region_destroy(struct pb_region *region);

#endif
