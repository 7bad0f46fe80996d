/* strategy.h: what a region's strategy is made of; internal to region*.c. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_STRATEGY_H
#define PB_STRATEGY_H

#include "os.h"
#include "region.h"

/* One strategy. Sizes come checked: whole pages, growing, within the capacity where it says so.
 * On failure each leaves the region as it was, but for reset, after which only destroy is legal. */
struct strategy {
    struct pb_strategy_info info;
    /* NULL: always available. Else NULL or the reason why not. */
    const char *(*refusal)(void);
    enum pb_status (*create)(const struct pb_region_config *config, struct pb_region *region);
    /* Opens [accessible, bytes), bytes <= capacity. */
    enum pb_status (*grow)(struct pb_region *region, uint64_t bytes);
    /* Past the capacity; NULL for a stable base. */
    enum pb_status (*move)(struct pb_region *region, uint64_t bytes);
    enum pb_status (*copy)(struct pb_region *source, bool racing, struct pb_region *copy);
    enum pb_status (*reset)(struct pb_region *region, uint64_t bytes);
    void (*destroy)(struct pb_region *region);
};

extern const struct strategy pb_strategy_reserve, pb_strategy_reserve_rw, pb_strategy_remap,
    pb_strategy_move, pb_strategy_heap, pb_strategy_image, pb_strategy_pool, pb_strategy_guard;

/* ---- Shared by the strategies on reserved address space (region_mapped.c) ------------------- */

/* Reserves capacity + guard, opens the first accessible bytes. Nothing at all is mapped where both
 * are 0. */
enum pb_status pb_mapped_create(const struct pb_region_config *config, struct pb_region *region);
enum pb_status pb_mapped_grow(struct pb_region *region, uint64_t bytes);
enum pb_status pb_mapped_copy(struct pb_region *source, bool racing, struct pb_region *copy);
enum pb_status pb_mapped_reset(struct pb_region *region, uint64_t bytes);
void pb_mapped_destroy(struct pb_region *region);

/* Follows the region's advice for [from, to) that has just been opened: populates it where asked
 * for. On failure some of it may be populated. */
enum pb_status pb_region_follow_advice(struct pb_region *region, uint64_t from, uint64_t to);

/* Makes the accessible bytes of anonymous memory zero, by giving them back. Where the system does
 * not do that (pb_os_discard), they are mapped anew: *renewed, and only the first bytes of them are
 * open then. PB_NO_MEMORY, PB_UNSUPPORTED, PB_INTERRUPTED, PB_SYSTEM: only destroy is legal. */
enum pb_status pb_region_empty(struct pb_region *region, uint64_t bytes, bool *renewed);

/* ---- Resets by hand (region_sweep.c) -------------------------------------------------------- */

/* What a range goes back to: bytes of an image, then zeros; and what may stay resident. */
struct pb_sweep {
    struct pb_os_account *account; /* tells which pages are resident */
    struct pb_habit *habit;        /* of the range */
    uint64_t budget_bytes;         /* kept at most */
    bool together;                 /* pages come in many at a time: keeping them always pays */
    const uint8_t *image;          /* whole host pages; NULL: all are zeros */
    uint64_t image_bytes;
};
/* Brings [base, base + bytes), all accessible, back to that. Resident pages are restored by hand
 * where that pays; the others are given back. Errors as of pb_os_discard: some of it may be back.
 */
enum pb_status pb_region_sweep(const struct pb_sweep *asked, uint8_t *base, uint64_t bytes);

/* ---- Shared by all -------------------------------------------------------------------------- */

/* The configuration that a copy of the region is created from. */
struct pb_region_config pb_region_config_of(const struct pb_region *region);

/* memcpy, or relaxed atomic reads where guests race. */
void pb_region_copy_bytes(void *to, const void *from, uint64_t bytes, bool racing);

/* munmap that does not fail: what cannot be given back is at least emptied and closed. */
void pb_region_release(void *base, uint64_t bytes);

#endif
