/* region_pool.c: pools of recycled slots, and the strategy pool. */
/* SPDX-License-Identifier: MIT */
#include "lock.h"
#include "orders.h"
#include "os.h"
#include "strategy.h"

#include <stddef.h>
#include <string.h>

/* Whether it pays to keep a slot's pages: only if the tenants write enough of them. */
struct habit {
    uint64_t kept_bytes; /* by the last reset; 0: it gave all back */
    uint32_t misses;     /* how many times in a row it did not pay, at most MISSES_MAX */
    uint32_t skips;      /* how many coming resets give all back */
};

/* One reservation, cut into slots of slot + guard bytes. A free slot is inaccessible and reads 0
 * once opened, like fresh address space: a slot that cannot be brought back to that is retired. */
struct pb_pool {
    _Atomic uint32_t references; /* the owner's, and one for each region in a slot */
    struct pb_pool_config config;
    const struct pb_allocator *allocator;
    uint8_t *base;
    uint64_t stride_bytes;
    struct pb_os_account account; /* PB_POOL_SCAN: which pages were written */
    struct habit *habits;         /* PB_POOL_SCAN: one a slot, its tenant's */
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

/* A reset by hand that is under way. */
struct sweep {
    uint64_t budget_bytes;  /* that may still be kept */
    uint64_t kept_bytes;    /* of resident pages that stay, */
    uint64_t written_bytes; /* and of those of them that were not zero */
    uint64_t kept_to_bytes; /* what lies behind is given back */
};

static bool is_zero(const uint8_t *bytes, size_t count) {
    static const uint8_t first[16];
    return memcmp(bytes, first, sizeof first) == 0 &&
           memcmp(bytes, bytes + sizeof first, count - sizeof first) == 0;
}

/* Zeroes the pages of a run at offset until the budget is used up. */
static void run_zero(struct sweep *sweep, uint8_t *base, uint64_t offset, uint64_t length_bytes) {
    const size_t host = (size_t)pb_os_page_bytes();
    for (uint64_t at = offset; at < offset + length_bytes; at += host) {
        if (sweep->budget_bytes == 0) {
            sweep->kept_to_bytes = at;
            return;
        }
        sweep->budget_bytes -= host;
        sweep->kept_bytes += host;
        if (!is_zero(base + at, host)) {
            memset(base + at, 0, host);
            sweep->written_bytes += host;
        }
    }
}

/* Zeroes the resident pages of a slot's first bytes by hand until the budget is used up. The rest,
 * and pages that are swapped out, are given back. */
static enum pb_status runs_zero(struct pb_pool *pool, struct sweep *sweep, uint8_t *base,
                                uint64_t bytes) {
    enum { RUNS = 64 };
    struct pb_os_run runs[RUNS];
    uint64_t looked_bytes;
    size_t count;
    sweep->kept_to_bytes = bytes;
    for (uint64_t done = 0; done < sweep->kept_to_bytes; done += looked_bytes) {
        if (pb_os_account_ask(&pool->account, base + done, bytes - done, runs, RUNS, &count,
                              &looked_bytes) != PB_OK) { /* no descriptor, say */
            sweep->kept_to_bytes = done;
            break;
        }
        for (size_t i = 0; i < count && sweep->kept_to_bytes == bytes; i++) {
            uint64_t at = done + runs[i].offset_bytes;
            if (!runs[i].swapped) {
                run_zero(sweep, base, at, runs[i].length_bytes);
                continue;
            }
            enum pb_status status = pb_os_discard(base + at, runs[i].length_bytes);
            if (status != PB_OK) {
                return status;
            }
        }
    }
    uint64_t kept_to = sweep->kept_to_bytes;
    return kept_to == bytes ? PB_OK : pb_os_discard(base + kept_to, bytes - kept_to);
}

/* True if keeping pages pays: looking at one costs a seventh of giving it back and faulting it in
 * again. So the tenant must have written a seventh of the pages that were kept for it (others it
 * has faulted in itself), or a seventh of all, since then all pages are soon kept. */
static bool pays(const struct sweep *sweep, uint64_t kept_before_bytes) {
    enum { LOOKS_A_FAULT = 7 };
    uint64_t own_bytes =
        sweep->kept_bytes > kept_before_bytes ? sweep->kept_bytes - kept_before_bytes : 0;
    return sweep->written_bytes >= own_bytes + kept_before_bytes / LOOKS_A_FAULT ||
           sweep->written_bytes >= sweep->kept_to_bytes / LOOKS_A_FAULT;
}

/* Keeps pages as long as that pays. Then it gives all back, and tries again after 1, 3, 7 and at
 * most 63 resets. together: pages come in many at a time, so it always pays. */
static enum pb_status slot_zero_present(struct pb_pool *pool, uint8_t *base, uint64_t bytes,
                                        bool together) {
    enum { MISSES_MAX = 6 };
    struct habit *habit = &pool->habits[(uint64_t)(base - pool->base) / pool->stride_bytes];
    struct sweep sweep = {.budget_bytes = pool->config.keep_resident_bytes};
    uint64_t kept_before_bytes = habit->kept_bytes;
    habit->kept_bytes = 0;
    if (habit->skips > 0 || sweep.budget_bytes == 0) {
        habit->skips -= habit->skips > 0;
        return pb_os_discard(base, bytes);
    }
    enum pb_status status = runs_zero(pool, &sweep, base, bytes);
    if (status != PB_OK) {
        return status;
    }
    bool tried = kept_before_bytes > 0;
    if (tried && !together && !pays(&sweep, kept_before_bytes)) {
        habit->misses += habit->misses < MISSES_MAX;
        habit->skips = (UINT32_C(1) << habit->misses) - 1;
        return pb_os_discard(base, bytes);
    }
    habit->kept_bytes = sweep.kept_bytes;
    habit->misses = tried ? 0 : habit->misses;
    return PB_OK;
}

/* Zeroes the first bytes of a slot, all accessible: some by hand, the others by giving them back.
 */
static enum pb_status slot_zero(struct pb_pool *pool, uint8_t *base, uint64_t bytes,
                                unsigned advice) {
    if (pool->config.reset == PB_POOL_SCAN) {
        return slot_zero_present(pool, base, bytes, advice != PB_ADVICE_NONE);
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
