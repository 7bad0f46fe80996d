/* region.c: the table of strategies, and the checks and bookkeeping that all of them share. */
/* SPDX-License-Identifier: MIT */
#include "region.h"

#include "guest_bytes.h"
#include "os.h"
#include "pages.h"
#include "strategy.h"

#include <assert.h>
#include <string.h>

static const struct strategy *const strategies[PB_STRATEGY_COUNT] = {
    [PB_STRATEGY_RESERVE] = &pb_strategy_reserve,
    [PB_STRATEGY_RESERVE_RW] = &pb_strategy_reserve_rw,
    [PB_STRATEGY_REMAP] = &pb_strategy_remap,
    [PB_STRATEGY_MOVE] = &pb_strategy_move,
    [PB_STRATEGY_HEAP] = &pb_strategy_heap,
    [PB_STRATEGY_IMAGE] = &pb_strategy_image,
    [PB_STRATEGY_POOL] = &pb_strategy_pool,
    [PB_STRATEGY_GUARD] = &pb_strategy_guard,
};

static const struct strategy *strategy_of(const struct pb_region *region) {
    return strategies[region->strategy];
}

const struct pb_strategy_info *pb_strategy_info(enum pb_strategy strategy) {
    return (unsigned)strategy < PB_STRATEGY_COUNT ? &strategies[strategy]->info : NULL;
}

bool pb_strategy_by_name(const char *name, enum pb_strategy *strategy) {
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        if (strcmp(strategies[i]->info.name, name) == 0) {
            *strategy = (enum pb_strategy)i;
            return true;
        }
    }
    return false;
}

enum pb_status pb_strategy_available(enum pb_strategy strategy, const char **reason) {
    const char *refusal = "there is no such strategy";
    if ((unsigned)strategy < PB_STRATEGY_COUNT) {
        refusal = strategies[strategy]->refusal == NULL ? NULL : strategies[strategy]->refusal();
    }
    if (refusal != NULL && reason != NULL) {
        *reason = refusal;
    }
    return refusal == NULL ? PB_OK : PB_UNSUPPORTED;
}

static bool config_is_sound(const struct pb_region_config *config) {
    uint64_t host = pb_os_page_bytes();
    return config->accessible_bytes % PB_PAGE_BYTES == 0 &&
           config->accessible_bytes <= config->capacity_bytes &&
           config->capacity_bytes % host == 0 && config->guard_bytes % host == 0 &&
           config->guard_bytes <= UINT64_MAX - config->capacity_bytes &&
           config->keep_resident_bytes % host == 0 &&
           (config->strategy != PB_STRATEGY_POOL || config->pool != NULL);
}

enum pb_status pb_region_create(const struct pb_region_config *config, struct pb_region *region) {
    if ((unsigned)config->strategy >= PB_STRATEGY_COUNT || !config_is_sound(config)) {
        return PB_INVALID;
    }
    enum pb_status status = pb_strategy_available(config->strategy, NULL);
    if (status != PB_OK) {
        return status;
    }
    *region = (struct pb_region){
        .capacity_bytes = config->capacity_bytes,
        .guard_bytes = config->guard_bytes,
        .strategy = config->strategy,
        .advice = config->advice,
        .keep_resident_bytes = config->keep_resident_bytes,
        .allocator = config->allocator != NULL ? config->allocator : &pb_allocator_libc,
    };
    status = strategies[config->strategy]->create(config, region);
    if (status == PB_OK) {
        region->accessible_bytes = config->accessible_bytes;
    }
    return status;
}

enum pb_status pb_region_grow_in_place(struct pb_region *region, uint64_t bytes) {
    assert(bytes >= region->accessible_bytes && bytes % PB_PAGE_BYTES == 0);
    if (bytes > region->capacity_bytes) {
        return PB_NO_MEMORY;
    }
    if (bytes == region->accessible_bytes) {
        return PB_OK;
    }
    enum pb_status status = strategy_of(region)->grow(region, bytes);
    if (status == PB_OK) {
        region->accessible_bytes = bytes;
    }
    return status;
}

enum pb_status pb_region_grow(struct pb_region *region, uint64_t bytes) {
    const struct strategy *strategy = strategy_of(region);
    if (bytes <= region->capacity_bytes || strategy->move == NULL) {
        return pb_region_grow_in_place(region, bytes);
    }
    enum pb_status status = strategy->move(region, bytes);
    if (status == PB_OK) {
        region->accessible_bytes = bytes;
    }
    return status;
}

enum pb_status pb_region_copy(struct pb_region *source, bool racing, struct pb_region *copy) {
    return strategy_of(source)->copy(source, racing, copy);
}

enum pb_status pb_region_reset(struct pb_region *region, uint64_t accessible_bytes) {
    assert(accessible_bytes <= region->accessible_bytes);
    enum pb_status status = strategy_of(region)->reset(region, accessible_bytes);
    if (status == PB_OK) {
        region->accessible_bytes = accessible_bytes;
    }
    region->reset_failed = status != PB_OK;
    return status;
}

void pb_region_destroy(struct pb_region *region) {
    strategy_of(region)->destroy(region);
    region->base = NULL;
    region->accessible_bytes = region->capacity_bytes = region->total_bytes = 0;
}

struct pb_region_config pb_region_config_of(const struct pb_region *region) {
    return (struct pb_region_config){
        .strategy = region->strategy,
        .accessible_bytes = region->accessible_bytes,
        .capacity_bytes = region->capacity_bytes,
        .guard_bytes = region->guard_bytes,
        .advice = region->advice,
        .pool = region->pool,
        .keep_resident_bytes = region->keep_resident_bytes,
        .allocator = region->allocator,
    };
}

void pb_region_copy_bytes(void *to, const void *from, uint64_t bytes, bool racing) {
    if (racing) {
        pb_bytes_from_guest(to, from, (size_t)bytes);
    } else if (bytes > 0) {
        memcpy(to, from, (size_t)bytes);
    }
}
