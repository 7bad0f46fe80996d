/* region_mapped.c: the strategies reserve, reserve_rw, remap, move and guard: address space that is
 * reserved first and opened as it is needed. */
/* SPDX-License-Identifier: MIT */
#include "os.h"
#include "pages.h"
#include "strategy.h"

enum { HUGE_PAGE_BYTES = 2 << 20 }; /* on x86-64, and on arm64 with 4 KiB pages */

/* ---- What they share ------------------------------------------------------------------------ */

void pb_region_release(void *base, uint64_t bytes) {
    if (bytes > 0 && pb_os_release(base, bytes) != PB_OK) {
        (void)pb_os_discard(base, bytes);
        (void)pb_os_decommit(base, bytes);
    }
}

enum pb_status pb_region_follow_advice(struct pb_region *region, uint64_t from, uint64_t to) {
    if (from == to || !(region->advice & PB_ADVICE_POPULATE)) {
        return PB_OK;
    }
    enum pb_status status = pb_os_advise(region->base + from, to - from, PB_OS_POPULATE);
    return status == PB_UNSUPPORTED ? PB_OK : status;
}

/* Closes [from, to) and empties it, in this order: guests that race may store to what is open.
 * Where that fails, by a fresh mapping; where that fails, too, some of it may be open. */
static enum pb_status take_back(struct pb_region *region, uint64_t from, uint64_t to) {
    uint8_t *at = region->base + from;
    enum pb_status closed = pb_os_decommit(at, to - from);
    if (closed == PB_OK && pb_os_discard(at, to - from) == PB_OK) {
        return PB_OK;
    }
    enum pb_status renewed = pb_os_renew(at, to - from);
    return closed == PB_OK ? PB_OK : renewed;
}

/* Reserves total_bytes, all of them accessible or none. at_place: the base is at that place in a
 * huge page; a little more is reserved, and the ends are given back. */
static enum pb_status reserve(uint64_t total_bytes, bool accessible, bool at_place, uintptr_t place,
                              void **base) {
    uint64_t slack = at_place ? HUGE_PAGE_BYTES : 0, bytes;
    void *start;
    if (!pb_bytes_add(total_bytes, slack, &bytes)) {
        return PB_NO_MEMORY;
    }
    enum pb_status status =
        accessible ? pb_os_reserve_accessible(bytes, &start) : pb_os_reserve(bytes, &start);
    if (status != PB_OK) {
        return status;
    }
    uint64_t before = at_place ? (place - (uintptr_t)start) % HUGE_PAGE_BYTES : 0;
    uint8_t *aligned = (uint8_t *)start + before;
    pb_region_release(start, before);
    pb_region_release(aligned + total_bytes, slack - before);
    *base = aligned;
    return PB_OK;
}

/* Reserves total_bytes and opens the first open_bytes of them; advises huge pages on the whole, so
 * that it stays one mapping. */
static enum pb_status map(struct pb_region *region, uint64_t total_bytes, uint64_t open_bytes,
                          const uint8_t *like) {
    bool huge_pages = (region->advice & PB_ADVICE_HUGE_PAGES) != 0;
    if (total_bytes == 0) {
        return PB_OK;
    }
    void *base;
    uintptr_t place = huge_pages ? 0 : (uintptr_t)like % HUGE_PAGE_BYTES;
    enum pb_status status =
        reserve(total_bytes, open_bytes == total_bytes, huge_pages || like != NULL, place, &base);
    if (status != PB_OK) {
        return status;
    }
    if (huge_pages) {
        (void)pb_os_advise(base, total_bytes, PB_OS_HUGE_PAGES);
    }
    if (open_bytes > 0 && open_bytes < total_bytes) {
        status = pb_os_commit(base, open_bytes);
    }
    if (status != PB_OK) {
        pb_region_release(base, total_bytes);
        return status;
    }
    region->base = base;
    region->total_bytes = total_bytes;
    return PB_OK;
}

static enum pb_status map_and_advise(struct pb_region *region, uint64_t guard_bytes,
                                     uint64_t open_bytes, uint64_t accessible_bytes,
                                     const uint8_t *like) {
    enum pb_status status = map(region, region->capacity_bytes + guard_bytes, open_bytes, like);
    if (status != PB_OK) {
        return status;
    }
    status = pb_region_follow_advice(region, 0, accessible_bytes);
    if (status != PB_OK) {
        pb_mapped_destroy(region);
    }
    return status;
}

enum pb_status pb_mapped_create(const struct pb_region_config *config, struct pb_region *region) {
    return map_and_advise(region, config->guard_bytes, config->accessible_bytes,
                          config->accessible_bytes, config->like);
}

enum pb_status pb_mapped_grow(struct pb_region *region, uint64_t bytes) {
    uint64_t old = region->accessible_bytes;
    enum pb_status status = pb_os_commit(region->base + old, bytes - old);
    if (status == PB_OK) {
        status = pb_region_follow_advice(region, old, bytes);
    }
    /* A commit that fails may have opened a part. */
    if (status != PB_OK && take_back(region, old, bytes) != PB_OK &&
        pb_os_commit(region->base + old, bytes - old) == PB_OK) {
        return PB_OK; /* nothing closes the pages again: then they have grown, unpopulated */
    }
    return status;
}

enum pb_status pb_mapped_copy(struct pb_region *source, bool racing, struct pb_region *copy) {
    struct pb_region_config config = pb_region_config_of(source);
    enum pb_status status = pb_region_create(&config, copy);
    if (status == PB_OK) {
        pb_region_copy_bytes(copy->base, source->base, source->accessible_bytes, racing);
    }
    return status;
}

enum pb_status pb_region_empty(struct pb_region *region, uint64_t bytes, bool *renewed) {
    uint64_t old = region->accessible_bytes;
    *renewed = false;
    if (old == 0) {
        return PB_OK;
    }
    enum pb_status status = pb_os_discard(region->base, old);
    if (status != PB_UNSUPPORTED) {
        return status;
    }
    *renewed = true;
    status = pb_os_renew(region->base, old);
    return status == PB_OK && bytes > 0 ? pb_os_commit(region->base, bytes) : status;
}

enum pb_status pb_mapped_reset(struct pb_region *region, uint64_t bytes) {
    uint64_t old = region->accessible_bytes;
    bool renewed;
    enum pb_status status = pb_region_empty(region, bytes, &renewed);
    if (status == PB_OK && !renewed && old > bytes) {
        status = pb_os_decommit(region->base + bytes, old - bytes);
    }
    return status == PB_OK ? pb_region_follow_advice(region, 0, bytes) : status;
}

void pb_mapped_destroy(struct pb_region *region) {
    pb_region_release(region->base, region->total_bytes);
}

/* ---- Past the capacity: a new reservation --------------------------------------------------- */

/* A region like this one with room for twice the bytes, so that a memory that grows step by step
 * moves seldom; for just bytes where so much address space is not available. The first open_bytes
 * are accessible and zero. like: as in pb_region_config. */
static enum pb_status make_larger(const struct pb_region *region, uint64_t bytes,
                                  uint64_t open_bytes, const uint8_t *like,
                                  struct pb_region *made) {
    struct pb_region_config config = pb_region_config_of(region);
    config.accessible_bytes = open_bytes;
    config.capacity_bytes = 2 * bytes; /* bytes <= 4 GiB */
    config.like = like;
    if (pb_region_create(&config, made) == PB_OK) {
        return PB_OK;
    }
    config.capacity_bytes = bytes;
    config.like = NULL;
    return pb_region_create(&config, made);
}

static enum pb_status move_by_copy(struct pb_region *region, uint64_t bytes) {
    struct pb_region made;
    enum pb_status status = make_larger(region, bytes, bytes, NULL, &made);
    if (status != PB_OK) {
        return status;
    }
    pb_region_copy_bytes(made.base, region->base, region->accessible_bytes, false);
    pb_mapped_destroy(region);
    *region = made;
    return PB_OK;
}

/* The move opens the new pages with the old ones. Only where they are to be populated, which may
 * fail, is that done before. From two huge pages on there is a whole page table to move as it is.
 */
static enum pb_status move_by_remap(struct pb_region *region, uint64_t bytes) {
    uint64_t old = region->accessible_bytes;
    bool populate = (region->advice & PB_ADVICE_POPULATE) != 0;
    struct pb_region made;
    if (old == 0) {
        return move_by_copy(region, bytes);
    }
    const uint8_t *like = old >= (uint64_t)2 * HUGE_PAGE_BYTES ? region->base : NULL;
    enum pb_status status = make_larger(region, bytes, 0, like, &made);
    if (status != PB_OK) {
        return status;
    }
    made.accessible_bytes = old;
    if (populate) {
        status = pb_mapped_grow(&made, bytes);
    }
    uint64_t target_bytes = populate ? old : bytes;
    bool kept = true;
    if (status == PB_OK && pb_os_move(region->base, old, made.base, target_bytes, &kept) == PB_OK) {
        pb_region_release(region->base + old, region->total_bytes - old);
        *region = made;
        return PB_OK;
    }
    /* The kernel would not move the pages; their bytes can be copied all the same. */
    if (!kept) {
        pb_region_release(made.base + target_bytes, made.total_bytes - target_bytes);
        return move_by_copy(region, bytes);
    }
    if (status == PB_OK) {
        status = pb_os_commit(made.base, bytes);
    }
    if (status != PB_OK) {
        pb_mapped_destroy(&made);
        return status;
    }
    pb_region_copy_bytes(made.base, region->base, old, false);
    pb_mapped_destroy(region);
    *region = made;
    return PB_OK;
}

/* ---- reserve_rw: the length alone grows ----------------------------------------------------- */

/* Without a guard: bounds must be checked anyway, and a guard would take a call. Only a memory
 * without capacity has one, to have an address. */
static enum pb_status open_create(const struct pb_region_config *config, struct pb_region *region) {
    uint64_t guard_bytes = config->capacity_bytes == 0 ? config->guard_bytes : 0;
    return map_and_advise(region, guard_bytes, config->capacity_bytes, config->accessible_bytes,
                          NULL);
}

static enum pb_status open_grow(struct pb_region *region, uint64_t bytes) {
    uint64_t old = region->accessible_bytes;
    enum pb_status status = pb_region_follow_advice(region, old, bytes);
    if (status != PB_OK) {
        (void)pb_os_discard(region->base + old, bytes - old); /* what was populated */
    }
    return status;
}

static enum pb_status open_reset(struct pb_region *region, uint64_t bytes) {
    bool renewed;
    enum pb_status status = pb_region_empty(region, region->accessible_bytes, &renewed);
    return status == PB_OK ? pb_region_follow_advice(region, 0, bytes) : status;
}

/* ---- guard: all accessible, closed by markers ----------------------------------------------- */

/* Tries on a page whether the kernel has markers. It sets none in locked memory: then *locked. */
static enum pb_status guard_try(bool *locked) {
    uint64_t bytes = pb_os_page_bytes();
    void *page;
    *locked = false;
    enum pb_status status = pb_os_reserve_accessible(bytes, &page);
    if (status == PB_OK) {
        status = pb_os_advise(page, bytes, PB_OS_GUARD_INSTALL);
        *locked = status == PB_UNSUPPORTED && pb_os_unlock(page, bytes) == PB_OK &&
                  pb_os_advise(page, bytes, PB_OS_GUARD_INSTALL) == PB_OK;
        if (status == PB_OK && !pb_os_is_closed(page)) {
            status = PB_UNSUPPORTED;
        }
        pb_region_release(page, bytes);
    }
    return status;
}

static const char *guard_refusal(void) {
    static _Atomic int known; /* 0 not yet, 1 yes, 2 no */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        bool locked;
        enum pb_status status = guard_try(&locked);
        /* May be had another time. */
        if (locked) {
            return "memory is locked (mlockall), where the kernel sets no guard markers";
        }
        if (status != PB_OK && status != PB_UNSUPPORTED) {
            return "no memory to find out whether the kernel has guard markers";
        }
        answer = status == PB_OK ? 1 : 2;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 1 ? NULL
                       : "the kernel, or the emulator, has no MADV_GUARD_INSTALL that closes pages "
                         "(Linux 6.13 has)";
}

/* Closes [from, to) again; where markers cannot be had, by protection, which growth then undoes. */
static enum pb_status guard_close(struct pb_region *region, uint64_t from, uint64_t to) {
    if (from == to || pb_os_advise(region->base + from, to - from, PB_OS_GUARD_INSTALL) == PB_OK) {
        return PB_OK;
    }
    region->closed_by_protection = true; /* all of it, or a part where this fails */
    return take_back(region, from, to);
}

/* Protection goes last: what is closed by it stays so where the markers cannot be taken off. */
static enum pb_status guard_open(struct pb_region *region, uint64_t from, uint64_t to) {
    enum pb_status status = pb_os_advise(region->base + from, to - from, PB_OS_GUARD_REMOVE);
    if (status == PB_OK && region->closed_by_protection) {
        status = pb_os_commit(region->base + from, to - from);
    }
    return status;
}

static enum pb_status guard_create(const struct pb_region_config *config,
                                   struct pb_region *region) {
    enum pb_status status = map_and_advise(region, config->guard_bytes, config->capacity_bytes,
                                           config->accessible_bytes, NULL);
    uint64_t closed = config->capacity_bytes - config->accessible_bytes;
    if (status != PB_OK || closed == 0) {
        return status;
    }
    status = pb_os_advise(region->base + config->accessible_bytes, closed, PB_OS_GUARD_INSTALL);
    if (status != PB_OK) {
        pb_mapped_destroy(region);
    }
    return status;
}

static enum pb_status guard_grow(struct pb_region *region, uint64_t bytes) {
    uint64_t old = region->accessible_bytes;
    enum pb_status status = guard_open(region, old, bytes);
    bool open = status == PB_OK;
    if (open) {
        status = pb_region_follow_advice(region, old, bytes);
    }
    /* As in pb_mapped_grow; opened again, since some of the markers may have gone or come back. */
    if (status != PB_OK && guard_close(region, old, bytes) != PB_OK &&
        (guard_open(region, old, bytes) == PB_OK || open)) {
        return PB_OK;
    }
    return status;
}

static enum pb_status guard_reset(struct pb_region *region, uint64_t bytes) {
    bool renewed;
    enum pb_status status = pb_region_empty(region, bytes, &renewed);
    if (renewed) {
        region->closed_by_protection = true;
    } else if (status == PB_OK) {
        status = guard_close(region, bytes, region->accessible_bytes);
    }
    return status == PB_OK ? pb_region_follow_advice(region, 0, bytes) : status;
}

/* ---- The table ------------------------------------------------------------------------------ */

#define ALL_BYTES .copy = PB_COPY_ALL, .copy_note = "reads and writes every accessible byte"

const struct strategy pb_strategy_reserve = {
    .info = {.name = "reserve",
             .traps = true,
             .stable_base = true,
             .shareable = true,
             ALL_BYTES,
             .note = "the default: bounds checks by guard pages, one system call a growth"},
    .create = pb_mapped_create,
    .grow = pb_mapped_grow,
    .copy = pb_mapped_copy,
    .reset = pb_mapped_reset,
    .destroy = pb_mapped_destroy,
};

const struct strategy pb_strategy_reserve_rw = {
    .info = {.name = "reserve_rw",
             .traps = false,
             .stable_base = true,
             .shareable = true,
             ALL_BYTES,
             .note = "growth without a system call, no guard; generated code must check bounds"},
    .create = open_create,
    .grow = open_grow,
    .copy = pb_mapped_copy,
    .reset = open_reset,
    .destroy = pb_mapped_destroy,
};

const struct strategy pb_strategy_remap = {
    .info = {.name = "remap",
             .traps = true,
             .stable_base = false,
             .shareable = false,
             ALL_BYTES,
             .note = "at most twice the address space in use; growth past it moves page tables, "
                     "not bytes"},
    .create = pb_mapped_create,
    .grow = pb_mapped_grow,
    .move = move_by_remap,
    .copy = pb_mapped_copy,
    .reset = pb_mapped_reset,
    .destroy = pb_mapped_destroy,
};

const struct strategy pb_strategy_move = {
    .info = {.name = "move",
             .traps = true,
             .stable_base = false,
             .shareable = false,
             ALL_BYTES,
             .note = "at most twice the address space in use, portable; growth past it copies "
                     "every byte"},
    .create = pb_mapped_create,
    .grow = pb_mapped_grow,
    .move = move_by_copy,
    .copy = pb_mapped_copy,
    .reset = pb_mapped_reset,
    .destroy = pb_mapped_destroy,
};

const struct strategy pb_strategy_guard = {
    .info = {.name = "guard",
             .traps = true,
             .stable_base = true,
             .shareable = true,
             ALL_BYTES,
             .note = "one mapping for ever, so growth does not split it; creation marks every page "
                     "of the capacity"},
    .refusal = guard_refusal,
    .create = guard_create,
    .grow = guard_grow,
    .copy = pb_mapped_copy,
    .reset = guard_reset,
    .destroy = pb_mapped_destroy,
};
