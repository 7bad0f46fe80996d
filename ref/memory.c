/* memory.c: handles of memories: types and styles, the checks, and the way to each
 * implementation.*/
/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include "handle.h"
#include "linear.h"
#include "os.h"

/* ---- Types and styles ----------------------------------------------------------------------- */

#if UINTPTR_MAX > UINT32_MAX
const struct pb_tunables pb_tunables_default = {
    .static_bound_pages = PB_PAGES_MAX,
    .static_guard_bytes = UINT64_C(2) << 30,
    .dynamic_guard_bytes = UINT64_C(64) << 10,
};
#else
const struct pb_tunables pb_tunables_default = {
    .static_bound_pages = 16384,
    .static_guard_bytes = UINT64_C(64) << 10,
    .dynamic_guard_bytes = UINT64_C(64) << 10,
};
#endif

struct pb_memory_style pb_style_choose(const struct pb_memory_type *type,
                                       const struct pb_tunables *tunables) {
    uint32_t max = type->max_pages == PB_NO_MAXIMUM ? PB_PAGES_MAX : type->max_pages;
    if (max <= tunables->static_bound_pages) {
        return (struct pb_memory_style){.kind = PB_STYLE_STATIC,
                                        .bound_pages = tunables->static_bound_pages,
                                        .guard_bytes = tunables->static_guard_bytes};
    }
    return (struct pb_memory_style){.kind = PB_STYLE_DYNAMIC,
                                    .guard_bytes = tunables->dynamic_guard_bytes};
}

enum pb_status pb_memory_type_check(const struct pb_memory_type *type) {
    bool has_max = type->max_pages != PB_NO_MAXIMUM;
    if (type->min_pages > PB_PAGES_MAX || (has_max && type->max_pages > PB_PAGES_MAX)) {
        return PB_LIMIT;
    }
    if ((has_max && type->max_pages < type->min_pages) || (type->shared && !has_max)) {
        return PB_INVALID;
    }
    return PB_OK;
}

static bool style_is_sound(const struct pb_memory_style *style, const struct pb_memory_type *type) {
    if (style->guard_bytes % pb_os_page_bytes() != 0) {
        return false;
    }
    switch (style->kind) {
    case PB_STYLE_STATIC:
        return style->bound_pages >= type->min_pages && style->bound_pages <= PB_PAGES_MAX;
    case PB_STYLE_DYNAMIC:
        return true;
    default:
        return false;
    }
}

/* ---- Create, retain, release ---------------------------------------------------------------- */

/* A handle for self; takes it over only on PB_OK. */
static enum pb_status handle_create(const struct pb_memory_operations *operations, void *self,
                                    bool custom, const struct pb_allocator *allocator,
                                    struct pb_memory **memory) {
    struct pb_memory *made = allocator->allocate_zeroed(allocator->context, sizeof *made);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    *made = (struct pb_memory){
        .operations = operations,
        .self = self,
        .definition = operations->definition(self),
        .allocator = allocator,
        .shared = operations->type(self).shared,
        .custom = custom,
    };
    *memory = made;
    return PB_OK;
}

enum pb_status pb_memory_create(const struct pb_memory_config *config, struct pb_memory **memory) {
    const struct pb_tunables *tunables =
        config->tunables != NULL ? config->tunables : &pb_tunables_default;
    const struct pb_strategy_info *info = pb_strategy_info(config->strategy);
    enum pb_status status = pb_memory_type_check(&config->type);
    if (status != PB_OK) {
        return status;
    }
    struct pb_memory_style style =
        config->style != NULL ? *config->style : pb_style_choose(&config->type, tunables);
    if (info == NULL || !style_is_sound(&style, &config->type) ||
        (unsigned)config->fall_back >= PB_RUNG_COUNT) {
        return PB_INVALID;
    }
    if (config->type.shared && !info->shareable) {
        return PB_UNSUPPORTED;
    }
    struct linear *linear;
    status = pb_linear_create(config, &style, tunables->dynamic_guard_bytes, &linear);
    if (status != PB_OK) {
        return status;
    }
    const bool shared = config->type.shared;
    status = shared ? pb_linear_share(linear) : PB_OK;
    if (status == PB_OK) {
        status = handle_create(shared ? &pb_linear_shared : &pb_linear_owned, linear, false,
                               pb_linear_allocator(linear), memory);
    }
    if (status != PB_OK) {
        pb_linear_abandon(linear, status);
    }
    return status;
}

enum pb_status pb_memory_create_custom(const struct pb_memory_operations *operations, void *self,
                                       const struct pb_allocator *allocator,
                                       struct pb_memory **memory) {
    if (operations->type == NULL || operations->style == NULL || operations->grow == NULL ||
        operations->definition == NULL || operations->release == NULL) {
        return PB_INVALID;
    }
    return handle_create(operations, self, true, allocator != NULL ? allocator : &pb_allocator_libc,
                         memory);
}

void pb_memory_release(struct pb_memory *memory) {
    if (memory != NULL) {
        const struct pb_allocator *allocator = memory->allocator;
        memory->operations->release(memory->self);
        allocator->release(allocator->context, memory);
    }
}

enum pb_status pb_memory_to_shared(struct pb_memory *memory) {
    if (memory->shared) {
        return PB_OK;
    }
    if (memory->custom) {
        return PB_UNSUPPORTED;
    }
    enum pb_status status = pb_linear_share(memory->self);
    if (status == PB_OK) {
        memory->operations = &pb_linear_shared;
        memory->shared = true;
    }
    return status;
}

enum pb_status pb_memory_retain(struct pb_memory *memory, struct pb_memory **handle) {
    if (!memory->shared) {
        return PB_NOT_SHARED;
    }
    if (memory->operations->retain == NULL) {
        return PB_UNSUPPORTED;
    }
    void *self;
    enum pb_status status = memory->operations->retain(memory->self, &self);
    if (status != PB_OK) {
        return status;
    }
    status = handle_create(memory->operations, self, memory->custom, memory->allocator, handle);
    if (status != PB_OK) {
        memory->operations->release(self);
    }
    return status;
}

enum pb_status pb_memory_copy(struct pb_memory *memory, struct pb_memory **copy) {
    if (memory->operations->copy == NULL) {
        return PB_UNSUPPORTED;
    }
    void *self;
    enum pb_status status = memory->operations->copy(memory->self, &self);
    if (status != PB_OK) {
        return status;
    }
    status = handle_create(memory->operations, self, memory->custom, memory->allocator, copy);
    if (status != PB_OK && memory->custom) {
        memory->operations->release(self);
    } else if (status != PB_OK) {
        pb_linear_abandon(self, status);
    }
    return status;
}

enum pb_status pb_memory_pin(struct pb_memory *memory, uint64_t start, uint64_t count,
                             struct pb_pin *pin) {
    if (!pb_range_within(start, count, pb_handle_length(memory))) {
        return PB_OUT_OF_BOUNDS;
    }
    if (memory->custom) {
        return PB_UNSUPPORTED;
    }
    pb_linear_pin(memory->self);
    uint8_t *base = atomic_load_explicit(&memory->definition->base, memory_order_relaxed);
    /* a memory without pages and guard has no base, and NULL + 0 is undefined */
    *pin = (struct pb_pin){start == 0 ? base : base + start, count, memory->self};
    return PB_OK;
}

void pb_pin_release(struct pb_pin *pin) {
    if (pin->held != NULL) {
        pb_linear_unpin(pin->held);
        *pin = (struct pb_pin){NULL, 0, NULL};
    }
}

enum pb_status pb_memory_reset(struct pb_memory *memory) {
    return memory->custom || memory->shared ? PB_UNSUPPORTED : pb_linear_reset(memory->self);
}

/* ---- Size and growth ------------------------------------------------------------------------ */

uint64_t pb_memory_size_bytes(struct pb_memory *memory) {
    return pb_handle_length(memory);
}

uint32_t pb_memory_size_pages(struct pb_memory *memory) {
    return (uint32_t)(pb_handle_length(memory) / PB_PAGE_BYTES);
}

struct pb_memory_type pb_memory_type(struct pb_memory *memory) {
    return memory->operations->type(memory->self);
}

struct pb_memory_style pb_memory_style(struct pb_memory *memory) {
    return memory->operations->style(memory->self);
}

enum pb_strategy pb_memory_strategy(struct pb_memory *memory) {
    return memory->custom ? PB_STRATEGY_COUNT : pb_linear_strategy(memory->self);
}

enum pb_rung pb_memory_rung(struct pb_memory *memory) {
    return memory->custom ? PB_RUNG_AS_ASKED : pb_linear_rung(memory->self);
}

const char *pb_rung_note(enum pb_rung rung) {
    static const char *const notes[PB_RUNG_COUNT] = {
        [PB_RUNG_AS_ASKED] = "what was asked for",
        [PB_RUNG_SHORT_GUARD] =
            "offsets beyond the shorter guard need a bounds check in generated code",
        [PB_RUNG_DYNAMIC] = "every access needs a bounds check, and the base may move at growth",
        [PB_RUNG_SHORT] = "growth ends before the maximum where the base may not move",
    };
    return (unsigned)rung < PB_RUNG_COUNT ? notes[rung] : NULL;
}

enum pb_status pb_memory_grow(struct pb_memory *memory, uint32_t delta_pages, uint32_t *old_pages) {
    return memory->operations->grow(memory->self, delta_pages, old_pages);
}

struct pb_memory_definition *pb_memory_definition(struct pb_memory *memory) {
    return memory->definition;
}

/* ---- Wait and notify ------------------------------------------------------------------------ */

/* What wait and notify check first (R19). */
static enum pb_status check_word(struct pb_memory *memory, uint64_t address, unsigned width) {
    if (address % width != 0) {
        return PB_MISALIGNED;
    }
    return pb_range_within(address, width, pb_handle_length(memory)) ? PB_OK : PB_OUT_OF_BOUNDS;
}

static enum pb_status wait(struct pb_memory *memory, uint64_t address, unsigned width,
                           uint64_t expected, int64_t timeout_ns, struct pb_canceller *canceller,
                           enum pb_wait *result) {
    enum pb_status status = check_word(memory, address, width);
    if (status != PB_OK) {
        return status;
    }
    if (!memory->shared) {
        return PB_NOT_SHARED;
    }
    if (canceller != NULL) {
        return memory->custom ? PB_UNSUPPORTED
                              : pb_linear_wait(memory->self, address, width, expected, timeout_ns,
                                               canceller, result);
    }
    if (memory->operations->wait == NULL) {
        return PB_UNSUPPORTED;
    }
    /* The handle may be gone when this returns: nothing of it is touched afterwards. */
    return memory->operations->wait(memory->self, address, width, expected, timeout_ns, result);
}

enum pb_status pb_memory_wait32(struct pb_memory *memory, uint64_t address, uint32_t expected,
                                int64_t timeout_ns, enum pb_wait *result) {
    return wait(memory, address, 4, expected, timeout_ns, NULL, result);
}

enum pb_status pb_memory_wait64(struct pb_memory *memory, uint64_t address, uint64_t expected,
                                int64_t timeout_ns, enum pb_wait *result) {
    return wait(memory, address, 8, expected, timeout_ns, NULL, result);
}

enum pb_status pb_memory_cancellable_wait32(struct pb_memory *memory, uint64_t address,
                                            uint32_t expected, int64_t timeout_ns,
                                            struct pb_canceller *canceller, enum pb_wait *result) {
    return wait(memory, address, 4, expected, timeout_ns, canceller, result);
}

enum pb_status pb_memory_cancellable_wait64(struct pb_memory *memory, uint64_t address,
                                            uint64_t expected, int64_t timeout_ns,
                                            struct pb_canceller *canceller, enum pb_wait *result) {
    return wait(memory, address, 8, expected, timeout_ns, canceller, result);
}

enum pb_status pb_memory_notify(struct pb_memory *memory, uint64_t address, uint32_t count,
                                uint32_t *woken) {
    enum pb_status status = check_word(memory, address, 4);
    if (status == PB_OK) {
        bool can_wait = memory->shared && memory->operations->notify != NULL;
        *woken = can_wait ? memory->operations->notify(memory->self, address, count) : 0;
    }
    return status;
}

void pb_memory_disable_atomics(struct pb_memory *memory) {
    if (memory->shared && memory->operations->disable_atomics != NULL) {
        memory->operations->disable_atomics(memory->self);
    }
}

uint32_t pb_memory_waiters(struct pb_memory *memory) {
    return memory->custom ? 0 : pb_linear_waiters(memory->self);
}

void pb_memory_hang(struct pb_memory *memory, struct pb_doorbell *doorbell) {
    if (!memory->custom) {
        pb_waiters_hang(pb_linear_wait_table(memory->self), doorbell);
    }
}

void pb_memory_unhang(struct pb_memory *memory, struct pb_doorbell *doorbell) {
    if (!memory->custom) {
        pb_waiters_unhang(pb_linear_wait_table(memory->self), doorbell);
    }
}

void pb_memory_ring(struct pb_memory *memory, struct pb_doorbell *doorbell) {
    uint32_t woken;
    if (memory->custom) {
        (void)pb_memory_notify(memory, doorbell->address, 1, &woken);
    } else {
        pb_waiters_ring(pb_linear_wait_table(memory->self), doorbell);
    }
}
