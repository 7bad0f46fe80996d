/* region_pool.c: pools of recycled slots, and the strategy pool. */
/* SPDX-License-Identifier: MIT */
#include "lock.h"
#include "orders.h"
#include "os.h"
#include "strategy.h"

#include <stddef.h>
#include <string.h>

/* One reservation, cut into slots of slot + guard bytes. A free slot is inaccessible and reads 0
 * once opened, like fresh address space: a slot that cannot be brought back to that is retired. */
struct pb_pool {
    _Atomic uint32_t references; /* the owner's, and one for each region in a slot */
    struct pb_pool_config config;
    const struct pb_allocator *allocator;
    uint8_t *base;
    uint64_t stride_bytes;
    struct pb_os_account account; /* PB_POOL_SCAN: which pages were written */
    struct pb_habit *habits;      /* PB_POOL_SCAN: one a slot, its tenants' */
    struct pb_lock lock;          /* guards what follows */
    uint32_t free;
    uint32_t retired;
    uint32_t stack[]; /* the free slots' numbers; the last one is taken next */
};

static bool config_is_sound(const struct pb_pool_config *config) {
    uint64_t host = pb_os_page_bytes();
    uint64_t bytes = config->slot_bytes;
    return config->slots > 0 && bytes > 0 && bytes % host == 0 && config->guard_bytes % host == 0 &&
           config->keep_resident_bytes % host == 0 && (unsigned)config->reset <= PB_POOL_SCAN &&
           (config->reset != PB_POOL_RENEW || config->keep_resident_bytes == 0) &&
           config->guard_bytes <= UINT64_MAX - bytes &&
           bytes + config->guard_bytes <= UINT64_MAX / config->slots;
}

enum pb_status pb_pool_reset_available(enum pb_pool_reset reset, const char **reason) {
    struct pb_os_account account = {0};
    const char *refusal = NULL;
    if ((unsigned)reset > PB_POOL_SCAN) {
        refusal = "there is no such reset";
    } else if (reset == PB_POOL_SCAN) {
        enum pb_status status = pb_os_account_try(&account);
        pb_os_account_close(&account);
        if (status != PB_OK) {
            refusal = status == PB_NO_DESCRIPTORS
                          ? "no descriptor to find out whether the kernel has PAGEMAP_SCAN"
                          : "the kernel, or the sandbox, has no PAGEMAP_SCAN (Linux 6.7 has)";
        }
    }
    if (refusal != NULL && reason != NULL) {
        *reason = refusal;
    }
    return refusal == NULL ? PB_OK : PB_UNSUPPORTED;
}

/* What PB_POOL_SCAN needs beside. */
static enum pb_status scan_begin(struct pb_pool *pool) {
    const struct pb_allocator *allocator = pool->allocator;
    pool->habits =
        allocator->allocate_zeroed(allocator->context, pool->config.slots * sizeof pool->habits[0]);
    enum pb_status status = pool->habits == NULL ? PB_NO_MEMORY : pb_os_account_try(&pool->account);
    if (status != PB_OK) {
        pb_os_account_close(&pool->account);
        allocator->release(allocator->context, pool->habits);
        pool->habits = NULL;
    }
    return status;
}

static void scan_end(struct pb_pool *pool) {
    if (pool->habits != NULL) {
        pb_os_account_close(&pool->account);
        pool->allocator->release(pool->allocator->context, pool->habits);
    }
}

enum pb_status pb_pool_create(const struct pb_pool_config *config, struct pb_pool **pool) {
    const struct pb_allocator *allocator =
        config->allocator != NULL ? config->allocator : &pb_allocator_libc;
    if (!config_is_sound(config)) {
        return PB_INVALID;
    }
    struct pb_pool *made =
        allocator->allocate_zeroed(allocator->context, offsetof(struct pb_pool, stack) +
                                                           config->slots * sizeof made->stack[0]);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->config = *config;
    made->allocator = allocator;
    made->stride_bytes = config->slot_bytes + config->guard_bytes;
    bool scans = config->reset == PB_POOL_SCAN;
    void *base;
    enum pb_status status = scans ? scan_begin(made) : PB_OK;
    if (status == PB_OK) {
        status = pb_os_reserve(made->stride_bytes * config->slots, &base);
        if (status != PB_OK) {
            scan_end(made);
        }
    }
    if (status != PB_OK) {
        allocator->release(allocator->context, made);
        return status;
    }
    made->base = base;
    atomic_init(&made->references, 1);
    made->free = config->slots;
    for (uint32_t i = 0; i < config->slots; i++) {
        made->stack[i] = config->slots - 1 - i;
    }
    *pool = made;
    return PB_OK;
}

void pb_pool_release(struct pb_pool *pool) {
    if (pool != NULL &&
        atomic_fetch_sub_explicit(&pool->references, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        pb_region_release(pool->base, pool->stride_bytes * pool->config.slots);
        scan_end(pool);
        pool->allocator->release(pool->allocator->context, pool);
    }
}

uint64_t pb_pool_slot_bytes(const struct pb_pool *pool) {
    return pool->config.slot_bytes;
}

struct pb_pool_stats pb_pool_stats(struct pb_pool *pool) {
    pb_lock_acquire(&pool->lock);
    struct pb_pool_stats stats = {
        .free = pool->free,
        .used = pool->config.slots - pool->free - pool->retired,
        .retired = pool->retired,
    };
    pb_lock_release(&pool->lock);
    return stats;
}

static bool slot_take(struct pb_pool *pool, uint32_t *slot) {
    pb_lock_acquire(&pool->lock);
    bool any = pool->free > 0;
    if (any) {
        *slot = pool->stack[--pool->free];
    }
    pb_lock_release(&pool->lock);
    return any;
}

static void slot_give(struct pb_pool *pool, uint32_t slot, bool clean) {
    pb_lock_acquire(&pool->lock);
    if (clean) {
        pool->stack[pool->free++] = slot;
    } else {
        pool->retired++;
    }
    pb_lock_release(&pool->lock);
}

/* Zeroes the first bytes of a slot, all accessible: some by hand, the others by giving them back.
 */
static enum pb_status slot_zero(struct pb_pool *pool, uint8_t *base, uint64_t bytes,
                                unsigned advice) {
    if (pool->config.reset == PB_POOL_SCAN) {
        const struct pb_sweep sweep = {
            .account = &pool->account,
            .habit = &pool->habits[(uint64_t)(base - pool->base) / pool->stride_bytes],
            .budget_bytes = pool->config.keep_resident_bytes,
            .together = advice != PB_ADVICE_NONE,
        };
        return pb_region_sweep(&sweep, base, bytes);
    }
    uint64_t keep = pool->config.keep_resident_bytes;
    uint64_t kept = keep < bytes ? keep : bytes;
    memset(base, 0, (size_t)kept);
    return kept == bytes ? PB_OK : pb_os_discard(base + kept, bytes - kept);
}

/* Makes the first bytes of a slot inaccessible and zero again, in the pool's way; where that fails,
 * by mapping it anew. open: all of them are accessible. */
static enum pb_status slot_clean(struct pb_pool *pool, uint8_t *base, uint64_t bytes, bool open,
                                 unsigned advice) {
    if (bytes == 0) {
        return PB_OK;
    }
    if (pool->config.reset != PB_POOL_RENEW) {
        enum pb_status zeroed =
            open ? slot_zero(pool, base, bytes, advice) : pb_os_discard(base, bytes);
        if (zeroed == PB_OK && pb_os_decommit(base, bytes) == PB_OK) {
            return PB_OK;
        }
    }
    return pb_os_renew(base, bytes);
}

/* Opens the first bytes of a clean slot; on failure it is clean again or *dirty. */
static enum pb_status slot_open(struct pb_region *region, uint64_t bytes, bool *dirty) {
    *dirty = false;
    if (bytes == 0) {
        return PB_OK;
    }
    if (region->advice & PB_ADVICE_HUGE_PAGES) {
        (void)pb_os_advise(region->base, region->capacity_bytes, PB_OS_HUGE_PAGES);
    }
    enum pb_status status = pb_os_commit(region->base, bytes);
    if (status == PB_OK) {
        status = pb_region_follow_advice(region, 0, bytes);
    }
    if (status != PB_OK) {
        *dirty = slot_clean(region->pool, region->base, bytes, false, region->advice) != PB_OK;
    }
    return status;
}

static enum pb_status pool_create(const struct pb_region_config *config, struct pb_region *region) {
    struct pb_pool *pool = config->pool;
    if (config->guard_bytes > pool->config.guard_bytes) {
        return PB_INVALID;
    }
    if (config->capacity_bytes > pool->config.slot_bytes || !slot_take(pool, &region->slot)) {
        return PB_NO_MEMORY;
    }
    region->pool = pool;
    region->base = pool->base + pool->stride_bytes * region->slot;
    region->total_bytes = pool->stride_bytes;
    bool dirty;
    enum pb_status status = slot_open(region, config->accessible_bytes, &dirty);
    if (status != PB_OK) {
        slot_give(pool, region->slot, !dirty);
        return status;
    }
    atomic_fetch_add_explicit(&pool->references, 1, PB_ORDER_REFERENCE_TAKE);
    return PB_OK;
}

static enum pb_status pool_reset(struct pb_region *region, uint64_t bytes) {
    uint64_t old = region->accessible_bytes;
    bool renewed = false;
    enum pb_status status = slot_zero(region->pool, region->base, old, region->advice);
    if (status == PB_UNSUPPORTED) {
        status = pb_region_empty(region, bytes, &renewed);
    }
    if (status == PB_OK && !renewed && old > bytes) {
        status = pb_os_decommit(region->base + bytes, old - bytes);
    }
    return status == PB_OK ? pb_region_follow_advice(region, 0, bytes) : status;
}

static void pool_give_back(struct pb_region *region) {
    struct pb_pool *pool = region->pool;
    enum pb_status status = slot_clean(pool, region->base, region->accessible_bytes,
                                       !region->reset_failed, region->advice);
    slot_give(pool, region->slot, status == PB_OK);
    pb_pool_release(pool);
}

const struct strategy pb_strategy_pool = {
    .info = {.name = "pool",
             .traps = true,
             .stable_base = true,
             .shareable = true,
             .copy = PB_COPY_ALL,
             .copy_note = "takes another slot, reads and writes every accessible byte",
             .note = "many short-lived instances: no mapping call a life, bounded address space"},
    .create = pool_create,
    .grow = pb_mapped_grow,
    .copy = pb_mapped_copy,
    .reset = pool_reset,
    .destroy = pool_give_back,
};
