/* linear.c: owned and shared memories on a region: growth, copies, references (R2 to R15). */
/* SPDX-License-Identifier: MIT */
#include "linear.h"

#include "lock.h"
#include "orders.h"
#include "os.h"
#include "owner.h"
#include "region.h"
#include "waiters.h"

#include <assert.h>

struct linear {
    const struct pb_allocator *allocator;
    struct pb_memory_type type; /* min_pages as created: what reset goes back to */
    bool may_move;              /* growth past the region's capacity is by a move */
    struct pb_memory_style style;
    uint32_t waiters_max;
    enum pb_rung rung;
    const struct pb_limiter *limiter; /* NULL: nobody is asked */
    struct pb_region region;
    struct pb_memory_definition *definition; /* own_definition or the caller's */
    struct pb_memory_definition own_definition;
    struct pb_owner_entry *owner;
    _Atomic uint32_t pins;  /* parts that the host holds: the base must stay (R42) */
    _Atomic uint32_t holds; /* all handles together, each pin, and each blocked wait */
    /* Of a shared memory: */
    struct pb_lock growth;      /* growers and copiers, one at a time (R11, R13) */
    _Atomic uint32_t handles;   /* the last one disables atomics */
    struct pb_waiters *waiters; /* NULL: owned */
};

static uint64_t length_of(struct linear *linear) {
    return atomic_load_explicit(&linear->definition->length_bytes, memory_order_acquire);
}

/* For an owned memory, whose thread nobody races: base and length as they are now. */
static void publish(struct linear *linear) {
    atomic_store_explicit(&linear->definition->base, linear->region.base, memory_order_relaxed);
    atomic_store_explicit(&linear->definition->length_bytes, linear->region.accessible_bytes,
                          memory_order_release);
}

/* ---- Limits (R40) --------------------------------------------------------------------------- */

/* The size in pages that no growth passes (R5). */
static uint32_t limit_pages(const struct pb_memory_type *type) {
    return type->max_pages < PB_PAGES_MAX ? type->max_pages : PB_PAGES_MAX;
}

static bool may_become(const struct pb_limiter *limiter, const struct pb_memory_type *type,
                       uint64_t from_bytes, uint64_t to_bytes) {
    if (limiter == NULL || to_bytes == from_bytes) {
        return true;
    }
    return limiter->growing(limiter->context, from_bytes, to_bytes,
                            pb_pages_to_bytes(limit_pages(type)));
}

/* Told of what was granted only. */
static void has_failed(const struct pb_limiter *limiter, uint64_t from_bytes, uint64_t to_bytes,
                       enum pb_status why) {
    if (limiter == NULL || limiter->failed == NULL) {
        return;
    }
    bool granted = why != PB_LIMIT && why != PB_PINNED && why != PB_REFUSED;
    if (granted && to_bytes != from_bytes) {
        limiter->failed(limiter->context, from_bytes, to_bytes, why);
    }
}

static void has_shrunk(const struct linear *linear, uint64_t from_bytes, uint64_t to_bytes) {
    const struct pb_limiter *limiter = linear->limiter;
    if (limiter != NULL && limiter->shrunk != NULL && to_bytes != from_bytes) {
        limiter->shrunk(limiter->context, from_bytes, to_bytes);
    }
}

/* ---- Create, retain, release ---------------------------------------------------------------- */

/* How far the memory grows in place. Static: its bound. Dynamic: where it may not move, its
 * maximum, but no more than most_pages; where it may, what it has now. */
static uint64_t capacity_bytes(const struct pb_memory_config *config,
                               const struct pb_memory_style *style, uint32_t most_pages) {
    const struct pb_memory_type *type = &config->type;
    const struct pb_strategy_info *info = pb_strategy_info(config->strategy);
    uint32_t max = type->max_pages == PB_NO_MAXIMUM ? PB_PAGES_MAX : type->max_pages;
    uint32_t pages = type->min_pages;
    if (style->kind == PB_STYLE_STATIC) {
        pages = style->bound_pages;
    } else if (type->shared) {
        pages = max;
    } else if (info->stable_base) {
        pages = max;
        if (config->reserve_pages_max != 0 && config->reserve_pages_max < pages) {
            pages = config->reserve_pages_max;
        }
    }
    if (style->kind == PB_STYLE_DYNAMIC && most_pages < pages) {
        pages = most_pages;
    }
    uint64_t bytes = pb_pages_to_bytes(pages);
    if (config->strategy == PB_STRATEGY_POOL && style->kind == PB_STYLE_DYNAMIC && !type->shared &&
        config->pool != NULL && pb_pool_slot_bytes(config->pool) < bytes) {
        bytes = pb_pool_slot_bytes(config->pool);
    }
    uint64_t least = pb_pages_to_bytes(type->min_pages);
    return bytes < least ? least : bytes;
}

/* An empty struct, or NULL. */
static struct linear *make(const struct pb_allocator *allocator) {
    struct linear *made = allocator->allocate_zeroed(allocator->context, sizeof *made);
    if (made != NULL) {
        made->allocator = allocator;
    }
    return made;
}

static void unmake(struct linear *linear) {
    linear->allocator->release(linear->allocator->context, linear);
}

/* The last step of creation, after its region was made or not. On PB_OK the owner look-up finds it
 * and its record tells its size; otherwise the struct and what it has are given back. */
static enum pb_status finish_making(struct linear *made, enum pb_status region_status,
                                    struct pb_memory_definition *definition,
                                    struct linear **linear) {
    struct pb_region *region = &made->region;
    enum pb_status status = region_status;
    if (status == PB_OK) {
        made->definition = definition != NULL ? definition : &made->own_definition;
        status =
            pb_owner_register(region->base, region->total_bytes, made->definition, &made->owner);
        if (status != PB_OK) {
            pb_region_destroy(region);
        }
    }
    if (status != PB_OK) {
        unmake(made);
        return status;
    }
    made->may_move =
        made->style.kind == PB_STYLE_DYNAMIC && !pb_strategy_info(region->strategy)->stable_base;
    atomic_init(&made->handles, 1);
    atomic_init(&made->holds, 1);
    publish(made);
    pb_owner_resize(made->owner, region->accessible_bytes);
    *linear = made;
    return PB_OK;
}

/* A region as the config asks for it in that style. */
static enum pb_status region_create(const struct pb_memory_config *config,
                                    const struct pb_memory_style *style, uint32_t most_pages,
                                    struct pb_region *region) {
    struct pb_region_config region_config = {
        .strategy = config->strategy,
        .accessible_bytes = pb_pages_to_bytes(config->type.min_pages),
        .capacity_bytes = capacity_bytes(config, style, most_pages),
        .guard_bytes = style->guard_bytes,
        .advice = config->advice,
        .pool = config->pool,
        .image = config->image,
        .keep_resident_bytes = config->keep_resident_bytes,
        .allocator = config->allocator,
    };
    return pb_region_create(&region_config, region);
}

/* The same with less and less address space, as far as the config lets it (R43). *style and *rung
 * become what it was made with. */
static enum pb_status region_create_or_less(const struct pb_memory_config *config,
                                            uint64_t short_guard_bytes,
                                            struct pb_memory_style *style, enum pb_rung *rung,
                                            struct pb_region *region) {
    uint32_t most_pages = PB_PAGES_MAX;
    enum pb_status status = region_create(config, style, most_pages, region);
    while (status == PB_NO_MEMORY && *rung < config->fall_back) {
        (*rung)++;
        if (style->guard_bytes > short_guard_bytes) {
            style->guard_bytes = short_guard_bytes;
        }
        if (*rung >= PB_RUNG_DYNAMIC) {
            style->kind = PB_STYLE_DYNAMIC;
            style->bound_pages = 0;
        }
        status = region_create(config, style, most_pages, region);
        while (status == PB_NO_MEMORY && *rung == PB_RUNG_SHORT &&
               most_pages > config->type.min_pages) {
            most_pages /= 2;
            status = region_create(config, style, most_pages, region);
        }
    }
    return status;
}

static enum pb_status create_granted(const struct pb_memory_config *config,
                                     const struct pb_memory_style *style,
                                     uint64_t short_guard_bytes, struct linear **linear) {
    struct linear *made = make(config->allocator != NULL ? config->allocator : &pb_allocator_libc);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->type = config->type;
    made->type.shared = false;
    made->style = *style;
    made->waiters_max = config->waiters_max;
    made->limiter = config->limiter;
    enum pb_status status =
        region_create_or_less(config, short_guard_bytes, &made->style, &made->rung, &made->region);
    return finish_making(made, status, config->definition, linear);
}

enum pb_status pb_linear_create(const struct pb_memory_config *config,
                                const struct pb_memory_style *style, uint64_t short_guard_bytes,
                                struct linear **linear) {
    uint64_t bytes = pb_pages_to_bytes(config->type.min_pages);
    if (!may_become(config->limiter, &config->type, 0, bytes)) {
        return PB_REFUSED;
    }
    enum pb_status status = create_granted(config, style, short_guard_bytes, linear);
    if (status != PB_OK) {
        has_failed(config->limiter, 0, bytes, status);
    }
    return status;
}

/* Its pages go. Returns how many bytes they were. */
static uint64_t give_back(struct linear *linear) {
    uint64_t bytes = linear->region.accessible_bytes;
    pb_owner_unregister(linear->owner);
    pb_region_destroy(&linear->region);
    pb_waiters_destroy(linear->waiters);
    publish(linear);
    return bytes;
}

static void finish(struct linear *linear) {
    has_shrunk(linear, give_back(linear), 0);
    unmake(linear);
}

void pb_linear_abandon(struct linear *linear, enum pb_status why) {
    has_failed(linear->limiter, 0, give_back(linear), why);
    unmake(linear);
}

static void hold(struct linear *linear) {
    atomic_fetch_add_explicit(&linear->holds, 1, PB_ORDER_REFERENCE_TAKE);
}

static void let_go(struct linear *linear) {
    if (atomic_fetch_sub_explicit(&linear->holds, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        finish(linear);
    }
}

static void shared_release(void *self) {
    struct linear *linear = self;
    if (atomic_fetch_sub_explicit(&linear->handles, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        pb_waiters_disable(linear->waiters);
        let_go(linear);
    }
}

static void owned_release(void *self) {
    let_go(self);
}

void pb_linear_pin(struct linear *linear) {
    atomic_fetch_add_explicit(&linear->pins, 1, PB_ORDER_REFERENCE_TAKE);
    hold(linear);
}

void pb_linear_unpin(struct linear *linear) {
    atomic_fetch_sub_explicit(&linear->pins, 1, PB_ORDER_REFERENCE_DROP);
    let_go(linear);
}

/* Only the memory's own thread pins it, so that a 0 stays one; what the host wrote is seen then. */
static bool is_pinned(struct linear *linear) {
    return atomic_load_explicit(&linear->pins, memory_order_acquire) > 0;
}

enum pb_status pb_linear_share(struct linear *linear) {
    uint32_t max = linear->type.max_pages;
    if (max == PB_NO_MAXIMUM) {
        return PB_INVALID;
    }
    if (!pb_strategy_info(linear->region.strategy)->shareable) {
        return PB_UNSUPPORTED;
    }
    if (linear->style.kind == PB_STYLE_DYNAMIC && linear->rung != PB_RUNG_SHORT &&
        linear->region.capacity_bytes < pb_pages_to_bytes(max)) {
        return PB_NO_MEMORY;
    }
    enum pb_status status =
        pb_waiters_create(linear->waiters_max, linear->allocator, &linear->waiters);
    if (status == PB_OK) {
        linear->type.shared = true;
    }
    return status;
}

/* ---- What both can do ----------------------------------------------------------------------- */

static struct pb_memory_type linear_type(void *self) {
    struct linear *linear = self;
    struct pb_memory_type type = linear->type;
    type.min_pages = (uint32_t)(length_of(linear) / PB_PAGE_BYTES);
    return type;
}

static struct pb_memory_style linear_style(void *self) {
    return ((struct linear *)self)->style;
}

static struct pb_memory_definition *linear_definition(void *self) {
    return ((struct linear *)self)->definition;
}

/* True where the host holds a part and growth to so many bytes would be by a move. */
static bool would_move_a_pin(struct linear *linear, uint64_t bytes) {
    return bytes > linear->region.capacity_bytes && linear->may_move && is_pinned(linear);
}

/* What growth by delta comes to. PB_LIMIT past min(max, 65,536) (R5); PB_PINNED, PB_REFUSED: not
 * now. On PB_OK it has been granted. */
static enum pb_status new_size(struct linear *linear, uint32_t delta_pages, uint32_t *old_pages,
                               uint64_t *bytes) {
    uint32_t pages;
    *old_pages = (uint32_t)(length_of(linear) / PB_PAGE_BYTES);
    *bytes = 0;
    if (!pb_pages_add(*old_pages, delta_pages, limit_pages(&linear->type), &pages)) {
        return PB_LIMIT;
    }
    *bytes = pb_pages_to_bytes(pages);
    if (would_move_a_pin(linear, *bytes)) {
        return PB_PINNED;
    }
    return may_become(linear->limiter, &linear->type, pb_pages_to_bytes(*old_pages), *bytes)
               ? PB_OK
               : PB_REFUSED;
}

static enum pb_status copy_granted(struct linear *source, bool racing, struct linear **copy) {
    struct linear *made = make(source->allocator);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->type = source->type;
    made->style = source->style;
    made->waiters_max = source->waiters_max;
    made->rung = source->rung;
    made->limiter = source->limiter;
    enum pb_status status = pb_region_copy(&source->region, racing, &made->region);
    return finish_making(made, status, NULL, copy);
}

/* Where the host holds a part its writes race, as those of guests do in a shared memory. */
static enum pb_status copy_as(struct linear *source, bool shared, void **copy) {
    uint64_t bytes = source->region.accessible_bytes;
    struct linear *made;
    if (!may_become(source->limiter, &source->type, 0, bytes)) {
        return PB_REFUSED;
    }
    enum pb_status status = copy_granted(source, shared || is_pinned(source), &made);
    if (status != PB_OK) {
        has_failed(source->limiter, 0, bytes, status);
        return status;
    }
    status = shared ? pb_linear_share(made) : PB_OK;
    if (status != PB_OK) {
        pb_linear_abandon(made, status);
        return status;
    }
    *copy = made;
    return PB_OK;
}

/* ---- Owned ---------------------------------------------------------------------------------- */

static enum pb_status owned_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    struct linear *linear = self;
    struct pb_region *region = &linear->region;
    uint32_t old;
    uint64_t bytes;
    enum pb_status status = new_size(linear, delta_pages, &old, &bytes);
    if (status != PB_OK) {
        return status;
    }
    if (bytes <= region->capacity_bytes || !linear->may_move) {
        status = pb_region_grow_in_place(region, bytes);
    } else {
        /* A range that is given back may be another memory's before this returns. */
        pb_owner_update(linear->owner, NULL, 0);
        status = pb_region_grow(region, bytes);
        pb_owner_update(linear->owner, region->base, region->total_bytes);
    }
    if (status != PB_OK) {
        has_failed(linear->limiter, pb_pages_to_bytes(old), bytes, status);
        return status;
    }
    pb_owner_resize(linear->owner, bytes); /* first: whoever has seen the size finds it there */
    publish(linear);
    *old_pages = old;
    return PB_OK;
}

static enum pb_status owned_copy(void *self, void **copy) {
    return copy_as(self, false, copy);
}

enum pb_status pb_linear_reset(struct linear *linear) {
    uint64_t before = linear->region.accessible_bytes;
    if (is_pinned(linear)) {
        return PB_PINNED;
    }
    enum pb_status status =
        pb_region_reset(&linear->region, pb_pages_to_bytes(linear->type.min_pages));
    if (status == PB_OK) {
        publish(linear);
        pb_owner_resize(linear->owner, linear->region.accessible_bytes);
        has_shrunk(linear, before, linear->region.accessible_bytes);
    }
    return status;
}

const struct pb_memory_operations pb_linear_owned = {
    .type = linear_type,
    .style = linear_style,
    .grow = owned_grow,
    .definition = linear_definition,
    .release = owned_release,
    .copy = owned_copy,
};

/* ---- Shared --------------------------------------------------------------------------------- */

static enum pb_status shared_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    struct linear *linear = self;
    uint32_t old;
    uint64_t bytes;
    pb_lock_acquire(&linear->growth);
    enum pb_status status = new_size(linear, delta_pages, &old, &bytes);
    if (status == PB_OK) {
        status = pb_region_grow_in_place(&linear->region, bytes);
    }
    if (status == PB_OK) {
        /* The pages are open: publish them (R11). Sequentially consistent by definition. The owner
         * first: whoever has seen the size finds it there (R39). */
        pb_owner_resize(linear->owner, bytes);
        uint64_t before =
            atomic_fetch_add_explicit(&linear->definition->length_bytes,
                                      pb_pages_to_bytes(delta_pages), memory_order_seq_cst);
        *old_pages = (uint32_t)(before / PB_PAGE_BYTES);
    } else {
        has_failed(linear->limiter, pb_pages_to_bytes(old), bytes, status);
    }
    pb_lock_release(&linear->growth);
    return status;
}

static enum pb_status shared_retain(void *self, void **handle) {
    struct linear *linear = self;
    atomic_fetch_add_explicit(&linear->handles, 1, PB_ORDER_REFERENCE_TAKE);
    *handle = linear;
    return PB_OK;
}

static enum pb_status shared_copy(void *self, void **copy) {
    struct linear *linear = self;
    pb_lock_acquire(&linear->growth);
    enum pb_status status = copy_as(linear, true, copy);
    pb_lock_release(&linear->growth);
    return status;
}

enum pb_status pb_linear_wait(struct linear *linear, uint64_t address, unsigned width,
                              uint64_t expected, int64_t timeout_ns, struct pb_canceller *canceller,
                              enum pb_wait *result) {
    const uint8_t *base = atomic_load_explicit(&linear->definition->base, memory_order_relaxed);
    hold(linear); /* the last handle may go while this thread is blocked */
    enum pb_status status = pb_waiters_wait(linear->waiters, address, base + address, width,
                                            expected, timeout_ns, canceller, result);
    let_go(linear);
    return status;
}

static enum pb_status shared_wait(void *self, uint64_t address, unsigned width, uint64_t expected,
                                  int64_t timeout_ns, enum pb_wait *result) {
    return pb_linear_wait(self, address, width, expected, timeout_ns, NULL, result);
}

static uint32_t shared_notify(void *self, uint64_t address, uint32_t count) {
    return pb_waiters_notify(((struct linear *)self)->waiters, address, count);
}

static void shared_disable_atomics(void *self) {
    pb_waiters_disable(((struct linear *)self)->waiters);
}

const struct pb_memory_operations pb_linear_shared = {
    .type = linear_type,
    .style = linear_style,
    .grow = shared_grow,
    .definition = linear_definition,
    .release = shared_release,
    .retain = shared_retain,
    .copy = shared_copy,
    .wait = shared_wait,
    .notify = shared_notify,
    .disable_atomics = shared_disable_atomics,
};

enum pb_strategy pb_linear_strategy(const struct linear *linear) {
    return linear->region.strategy;
}

enum pb_rung pb_linear_rung(const struct linear *linear) {
    return linear->rung;
}

const struct pb_allocator *pb_linear_allocator(const struct linear *linear) {
    return linear->allocator;
}

uint32_t pb_linear_waiters(struct linear *linear) {
    return linear->waiters == NULL ? 0 : pb_waiters_blocked(linear->waiters);
}

struct pb_waiters *pb_linear_wait_table(const struct linear *linear) {
    return linear->waiters;
}
