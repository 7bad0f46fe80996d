/* subject_ref.c: ref/ as a subject: its memories under each strategy, a custom memory, its mailbox.
 *
 * Mostly a change of names. What is more than that: pools and images are made on demand, a custom
 * memory exercises pb_memory_create_custom, and guest memory for mailboxes is kept between programs
 * (cleaned, and only where it did not grow), because making it costs more than a whole program. */
#include "fault.h"
#include "one_page.h"
#include "os_wrap.h"
#include "reference.h"

#include "guest.h"
#include "mailbox.h"
#include "memory.h"
#include "os.h"

#include <stdlib.h>
#include <string.h>

static const struct subject_environment *environment;

/* ---- Statuses and the allocator ---------------------------------------------------------------
 */

static enum subject_status status_of(enum pb_status status) {
    static const enum subject_status table[PB_STATUS_COUNT] = {
        [PB_OK] = SUBJECT_OK,
        [PB_INVALID] = SUBJECT_INVALID,
        [PB_LIMIT] = SUBJECT_LIMIT,
        [PB_NO_MEMORY] = SUBJECT_NO_MEMORY,
        [PB_NO_DESCRIPTORS] = SUBJECT_NO_MEMORY,
        [PB_UNSUPPORTED] = SUBJECT_UNSUPPORTED,
        [PB_NOT_SHARED] = SUBJECT_NOT_SHARED,
        [PB_OUT_OF_BOUNDS] = SUBJECT_OUT_OF_BOUNDS,
        [PB_MISALIGNED] = SUBJECT_MISALIGNED,
        [PB_TOO_MANY_WAITERS] = SUBJECT_TOO_MANY_WAITERS,
        [PB_DISABLED] = SUBJECT_DISABLED,
        [PB_FULL] = SUBJECT_FULL,
        [PB_CLOSED] = SUBJECT_CLOSED,
        [PB_TIMED_OUT] = SUBJECT_TIMED_OUT,
        [PB_INTERRUPTED] = SUBJECT_SYSTEM,
        [PB_SYSTEM] = SUBJECT_SYSTEM,
        [PB_REFUSED] = SUBJECT_REFUSED,
        [PB_CANCELLED] = SUBJECT_CANCELLED,
        [PB_PINNED] = SUBJECT_PINNED,
        [PB_IN_USE] = SUBJECT_IN_USE,
    };
    return (unsigned)status < PB_STATUS_COUNT ? table[status] : SUBJECT_STATUS_COUNT;
}

/* What an out-parameter holds before a call, which must set it only on success. */
static const char *complaint;
static char mark;
#define MARK ((void *)&mark)

/* An allocator's functions get its context. A block that goes, or may move, is no memory's any
 * more: a trap handler that asks at this moment must not be told so (R39). */
static void look_at_allocation(const void *context, const void *at) {
    if (context != MARK) {
        complaint = "R1-allocator";
    }
    if (at != NULL && os_wrap_keeps() && os_wrap_is_owned(at)) {
        complaint = "R39-owner-gone";
    }
}

static void *allocate(void *context, size_t bytes) {
    look_at_allocation(context, NULL);
    return environment->allocate_zeroed(bytes);
}

static void *resize(void *context, void *at, size_t bytes) {
    look_at_allocation(context, at);
    return environment->resize(at, bytes);
}

static void release(void *context, void *at) {
    look_at_allocation(context, at);
    environment->release(at);
}

static const struct pb_allocator allocator = {allocate, resize, release, MARK};

static void expect_told(enum pb_status status, const void *out, const char *rule) {
    if ((status == PB_OK) != (out != MARK)) {
        complaint = rule;
    }
}

/* ---- Strategies -------------------------------------------------------------------------------
 */

enum {
    POOL_SCAN_KEEPS = 68,
    POOL_SLOTS = 4,
    POOL_SLOT_PAGES = 9,
    POOL_GUARD_BYTES = 128 << 10,
    CUSTOM_PAGES_MAX = 8
};
enum { POOL_RENEW = PB_STRATEGY_COUNT, CUSTOM, CUSTOM_SPARE, POOL_SCAN, STRATEGIES };

static struct subject_strategy strategies[STRATEGIES];
static struct pb_pool *pools[PB_POOL_SCAN + 1]; /* by enum pb_pool_reset */

static void strategies_fill(void) {
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        const struct pb_strategy_info *info = pb_strategy_info((enum pb_strategy)i);
        const char *reason = NULL;
        if (os_wrap_keeps()) { /* all of them work under the engine */
            (void)pb_strategy_available((enum pb_strategy)i, &reason);
        }
        strategies[i] = (struct subject_strategy){
            .name = info->name,
            .missing = reason,
            .traps = info->traps,
            .stable_base = info->stable_base,
            .shareable = info->shareable,
            .first_image = i == PB_STRATEGY_IMAGE,
            .costly_capacity = i == PB_STRATEGY_GUARD,
        };
    }
    strategies[PB_STRATEGY_POOL].slot_pages = POOL_SLOT_PAGES;
    strategies[PB_STRATEGY_POOL].guard_bytes_max = POOL_GUARD_BYTES;
    strategies[POOL_RENEW] = strategies[PB_STRATEGY_POOL];
    strategies[POOL_RENEW].name = "pool_renew";
    strategies[POOL_SCAN] = strategies[PB_STRATEGY_POOL];
    strategies[POOL_SCAN].name = "pool_scan";
    if (os_wrap_keeps() && strategies[POOL_SCAN].missing == NULL) {
        (void)pb_pool_reset_available(PB_POOL_SCAN, &strategies[POOL_SCAN].missing);
    }
    strategies[CUSTOM] = (struct subject_strategy){
        .name = "custom", .partial = true, .slot_pages = CUSTOM_PAGES_MAX};
    strategies[CUSTOM_SPARE] = strategies[CUSTOM];
    strategies[CUSTOM_SPARE].name = "custom_spare";
}

static enum pb_status pool_get(enum pb_pool_reset reset, struct pb_pool **pool) {
    if (pools[reset] == NULL) {
        struct pb_pool_config config = {
            .slots = POOL_SLOTS,
            .slot_bytes = POOL_SLOT_PAGES * SUBJECT_PAGE_BYTES,
            .guard_bytes = POOL_GUARD_BYTES,
            .reset = reset,
            /* less than a tenant can have, so that both ways to zero are walked; of a scan more
             * pages than one answer of the kernel has runs */
            .keep_resident_bytes = reset == PB_POOL_DISCARD ? pb_os_page_bytes()
                                   : reset == PB_POOL_SCAN  ? POOL_SCAN_KEEPS * pb_os_page_bytes()
                                                            : 0,
            .allocator = &allocator,
        };
        enum pb_status status = pb_pool_create(&config, &pools[reset]);
        if (status != PB_OK) { /* without the kernel's scan: its ioctl was made to fail */
            return status == PB_UNSUPPORTED ? PB_SYSTEM : status;
        }
    }
    *pool = pools[reset];
    return PB_OK;
}

/* Beside other threads' creations: the figures are those of one moment, in which this slot is used.
 */
static void look_at_pool(struct pb_pool *pool) {
    const struct pb_pool_stats stats = pb_pool_stats(pool);
    if (stats.used == 0 || stats.free + stats.used + stats.retired != POOL_SLOTS) {
        complaint = "R15-stats";
    }
}

/* From here on only its memories hold the pool. The next memory gets another one. */
static void pool_let_go(struct pb_pool *pool) {
    for (unsigned i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        pools[i] = pools[i] == pool ? NULL : pools[i];
    }
    pb_pool_release(pool);
}

/* Under the engine the first memories that begin as an image share one. Once so many were made they
 * are all that holds it; whatever comes later has an image of its own. */
enum { SHARE_THE_IMAGE = 3 };
static struct pb_image *image_shared;
static uint64_t image_bytes;
static unsigned images_given, images_used;

static enum pb_status image_get(const struct subject_memory_config *config,
                                struct pb_image **image) {
    enum pb_status status = PB_OK;
    if (os_wrap_keeps() || images_given == SHARE_THE_IMAGE ||
        (images_given > 0 && image_bytes != config->image_bytes)) {
        return pb_image_create(config->image, config->image_bytes, &allocator, image);
    }
    if (images_given == 0) { /* there is one thread still */
        status = pb_image_create(config->image, config->image_bytes, &allocator, &image_shared);
        image_bytes = config->image_bytes;
    }
    if (status == PB_OK) {
        images_given++; /* before others run */
        *image = pb_image_retain(image_shared);
    }
    return status;
}

static void image_let_go(void) {
    struct pb_image *image = image_shared;
    image_shared = NULL;
    pb_image_release(image);
}

/* The memory was made, or was not. */
static void image_used(struct pb_image *image) {
    if (image != NULL && image == image_shared && ++images_used == SHARE_THE_IMAGE) {
        image_let_go();
    }
    pb_image_release(image);
}

/* ---- A custom memory --------------------------------------------------------------------------
 */

/* One block of the allocator, large enough from the start, so that it never moves. */
struct custom {
    struct pb_memory_definition definition;
    bool is_kept; /* kept between programs, so not from the environment's allocator */
    struct pb_memory_type type;
    struct pb_memory_style style;
    uint8_t bytes[];
};

static struct pb_memory_type custom_type(void *self) {
    struct custom *custom = self;
    struct pb_memory_type type = custom->type;
    type.min_pages = (uint32_t)(atomic_load(&custom->definition.length_bytes) / PB_PAGE_BYTES);
    return type;
}

static struct pb_memory_style custom_style(void *self) {
    return ((struct custom *)self)->style;
}

static enum pb_status custom_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    struct custom *custom = self;
    uint32_t old = custom_type(self).min_pages, pages;
    uint32_t max = custom->type.max_pages < PB_PAGES_MAX ? custom->type.max_pages : PB_PAGES_MAX;
    if (!pb_pages_add(old, delta_pages, max, &pages)) {
        return PB_LIMIT;
    }
    if (pages > CUSTOM_PAGES_MAX) {
        return PB_NO_MEMORY;
    }
    atomic_store(&custom->definition.length_bytes, pb_pages_to_bytes(pages));
    *old_pages = old;
    return PB_OK;
}

static struct pb_memory_definition *custom_definition(void *self) {
    return &((struct custom *)self)->definition;
}

static void custom_release(void *self) {
    if (((struct custom *)self)->is_kept) {
        free(self);
    } else {
        environment->release(self);
    }
}

static enum pb_status custom_make(const struct pb_memory_type *type,
                                  const struct pb_memory_style *style, bool keep,
                                  struct custom **made) {
    const size_t bytes = sizeof(struct custom) + CUSTOM_PAGES_MAX * PB_PAGE_BYTES;
    struct custom *custom = NULL;
    if (type->min_pages <= CUSTOM_PAGES_MAX) {
        custom = keep ? calloc(1, bytes) : environment->allocate_zeroed(bytes);
    }
    if (custom == NULL) {
        return PB_NO_MEMORY;
    }
    custom->is_kept = keep;
    custom->type = *type;
    custom->style = *style;
    atomic_init(&custom->definition.base, custom->bytes);
    atomic_init(&custom->definition.length_bytes, pb_pages_to_bytes(type->min_pages));
    *made = custom;
    return PB_OK;
}

static enum pb_status custom_copy(void *self, void **copy) {
    struct custom *custom = self, *made;
    struct pb_memory_type type = custom_type(self);
    enum pb_status status = custom_make(&type, &custom->style, false, &made);
    if (status == PB_OK) {
        memcpy(made->bytes, custom->bytes, pb_pages_to_bytes(type.min_pages));
        *copy = made;
    }
    return status;
}

static enum pb_status custom_initialise(void *self, uint64_t start, const void *data,
                                        uint64_t count) {
    struct custom *custom = self;
    if (count > 0) {
        memcpy(custom->bytes + start, data, count);
    }
    return PB_OK;
}

static const struct pb_memory_operations custom_operations = {
    .type = custom_type,
    .style = custom_style,
    .grow = custom_grow,
    .definition = custom_definition,
    .release = custom_release,
    .copy = custom_copy,
    .initialise = custom_initialise,
};
static const struct pb_memory_operations spare_operations = {
    .type = custom_type,
    .style = custom_style,
    .grow = custom_grow,
    .definition = custom_definition,
    .release = custom_release,
};

static enum pb_status custom_create(const struct pb_memory_type *type,
                                    const struct pb_memory_style *style, bool spare, bool keep,
                                    struct pb_memory **memory) {
    struct custom *custom;
    enum pb_status status = pb_memory_type_check(type);
    if (status == PB_OK && type->shared) {
        status = PB_UNSUPPORTED;
    }
    if (status == PB_OK) {
        status = custom_make(type, style, keep, &custom);
    }
    if (status != PB_OK) {
        return status;
    }
    status = pb_memory_create_custom(spare ? &spare_operations : &custom_operations, custom,
                                     keep ? NULL : &allocator, memory);
    if (status != PB_OK) {
        custom_release(custom);
    }
    return status;
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

_Static_assert(sizeof(struct subject_record) == sizeof(struct pb_memory_definition) &&
                   offsetof(struct subject_record, length_bytes) ==
                       offsetof(struct pb_memory_definition, length_bytes),
               "a record is a definition");

static struct pb_budget shared_budget;
static struct pb_limiter of_budget;

/* The limiter of one memory, with an eye on what it is told. Copies tell the same one, so from the
 * first copy on only the numbers are looked at. */
enum { WATCHED_MAX = 64 };
struct watched {
    struct pb_limiter limiter;
    uint64_t size_bytes, asked_bytes; /* asked_bytes: what was granted last, or size_bytes */
    uint64_t max_bytes;               /* that it must be told; 0: not known */
    const struct pb_memory_definition *definition; /* the memory's; NULL: it is being made */
    bool copied;
};
static struct watched watched[WATCHED_MAX];
static unsigned watched_count;

/* A memory's growth is excluded while its limiter is asked: the next call is about the size that
 * was granted, or tells that nothing came of it. */
static void watch_growing(struct watched *w, uint64_t from_bytes, uint64_t to_bytes) {
    w->copied |= from_bytes == 0 && (w->size_bytes != 0 || w->asked_bytes != 0);
    if (!w->copied && from_bytes != w->asked_bytes) {
        complaint = "R40-told";
    }
    w->size_bytes = from_bytes;
    w->asked_bytes = to_bytes;
}

static void watch_failed(struct watched *w, uint64_t from_bytes, uint64_t to_bytes) {
    if (!w->copied && (from_bytes != w->size_bytes || to_bytes != w->asked_bytes)) {
        complaint = "R40-told";
    }
    w->asked_bytes = from_bytes;
}

/* The call that runs: whether it was granted what it asked for, and what it told to have failed of,
 * which is what it returns. */
static struct {
    bool granted, failed;
    enum pb_status why;
    unsigned faults, retired, renewals_failed, from_libc;
    uint64_t fired;
} running;

/* Slots of all pools. */
static unsigned slots_retired(void) {
    unsigned sum = 0;
    for (unsigned i = 0; os_wrap_keeps() && i < sizeof pools / sizeof pools[0]; i++) {
        sum += pools[i] == NULL ? 0 : pb_pool_stats(pools[i]).retired;
    }
    return sum;
}

static void call_begins(void) {
    running.granted = running.failed = false;
    running.faults = fault_count();
    running.fired = fault_fired();
    running.retired = slots_retired();
    running.renewals_failed = os_wrap_renewals_failed();
    running.from_libc = libc_wrap_allocations();
    os_wrap_forget_huge();
}

/* A slot is given up only where mapping it anew, the last resort, has failed. */
static bool retires_rightly(void) {
    const bool renewal = os_wrap_renewals_failed() != running.renewals_failed;
    return renewal || slots_retired() <= running.retired;
}

/* One call below failed, and this one with it: why, is what that one said. */
static bool says_why(enum pb_status status) {
    const enum pb_status injected = (enum pb_status)os_wrap_injected();
    return fault_count() != running.faults + 1 || fault_fired() != running.fired + 1 ||
           status == PB_OK || injected == PB_OK || status == injected;
}

/* A growth that fails after it was granted is told, under the status that it returns. */
static enum pb_status call_ends(enum pb_status status, const char *rule) {
    const bool must = running.granted && status != PB_OK;
    if (!os_wrap_keeps()) {
        return status; /* other threads make calls meanwhile */
    }
    if (running.failed != must || (must && running.why != status)) {
        complaint = "R40-told";
    } else if (!says_why(status)) {
        complaint = rule;
    } else if (!retires_rightly()) {
        complaint = "R15-retired";
    } else if (libc_wrap_allocations() != running.from_libc) {
        complaint = "R1-allocator"; /* the caller gave another one */
    }
    return status;
}

/* What limiter.h says that a limiter is asked: pages, no more than the type's maximum, which is 4
 * GiB at most. */
static bool told_growing(void *context, uint64_t from_bytes, uint64_t to_bytes,
                         uint64_t max_bytes) {
    const uint64_t odd = (from_bytes | to_bytes | max_bytes) % PB_PAGE_BYTES;
    if (odd != 0 || from_bytes >= to_bytes || to_bytes > max_bytes ||
        max_bytes > pb_pages_to_bytes(PB_PAGES_MAX)) {
        complaint = "R40-told";
    }
    struct watched *w = context;
    if (w->max_bytes != 0 && max_bytes != w->max_bytes) {
        complaint = "R40-told";
    }
    watch_growing(w, from_bytes, to_bytes);
    const bool granted = of_budget.growing(&shared_budget, from_bytes, to_bytes, max_bytes);
    running.granted = granted;
    if (!granted) {
        w->asked_bytes = from_bytes;
    }
    return granted;
}

static void told_failed(void *context, uint64_t from_bytes, uint64_t to_bytes, enum pb_status why) {
    of_budget.failed(&shared_budget, from_bytes, to_bytes, why); /* others may run before it has */
    watch_failed(context, from_bytes, to_bytes);
    running.failed = true;
    running.why = why;
}

static uint64_t length_of(const struct pb_memory_definition *definition) {
    return atomic_load_explicit(&definition->length_bytes, memory_order_relaxed);
}

/* Told after its size has become smaller. */
static void told_shrunk(void *context, uint64_t from_bytes, uint64_t to_bytes) {
    struct watched *w = context;
    const bool early = !w->copied && w->definition != NULL && length_of(w->definition) != to_bytes;
    if (from_bytes <= to_bytes || early || (!w->copied && from_bytes != w->asked_bytes)) {
        complaint = "R40-told";
    }
    w->size_bytes = w->asked_bytes = to_bytes;
    of_budget.shrunk(&shared_budget, from_bytes, to_bytes);
}

/* One for a memory that is to be made. Past the most that are watched they share the last one. */
static const struct pb_limiter *watch(const struct subject_type *type) {
    const bool full = watched_count == WATCHED_MAX;
    struct watched *w = &watched[full ? WATCHED_MAX - 1 : watched_count++];
    *w = (struct watched){
        .limiter = {.growing = told_growing,
                    .failed = told_failed,
                    .shrunk = told_shrunk,
                    .context = w},
        .max_bytes = full ? 0
                          : pb_pages_to_bytes(type->max_pages < PB_PAGES_MAX ? type->max_pages
                                                                             : PB_PAGES_MAX),
        .copied = full,
    };
    return &w->limiter;
}

/* Nothing has failed, and there is a slot that is long enough. */
static bool has_slot(struct pb_pool *pool, const struct pb_memory_config *config) {
    const struct pb_memory_style style =
        config->style != NULL
            ? *config->style
            : pb_style_choose(&config->type,
                              config->tunables != NULL ? config->tunables : &pb_tunables_default);
    const uint32_t pages = style.kind == PB_STYLE_STATIC ? style.bound_pages
                           : config->type.shared         ? config->type.max_pages
                                                         : config->type.min_pages;
    return os_wrap_keeps() && fault_count() == 0 && pages <= POOL_SLOT_PAGES &&
           pb_pool_stats(pool).free > 0;
}

static enum pb_status create_linear(const struct subject_memory_config *config,
                                    struct pb_memory_config *made, struct pb_memory **memory) {
    enum pb_status status = PB_OK;
    bool sure = false;
    if (config->strategy == PB_STRATEGY_POOL || config->strategy == POOL_RENEW ||
        config->strategy == POOL_SCAN) {
        made->strategy = PB_STRATEGY_POOL;
        status = pool_get(config->strategy == POOL_RENEW  ? PB_POOL_RENEW
                          : config->strategy == POOL_SCAN ? PB_POOL_SCAN
                                                          : PB_POOL_DISCARD,
                          &made->pool);
    }
    if (status == PB_OK && config->image != NULL && config->strategy == PB_STRATEGY_IMAGE) {
        status = image_get(config, &made->image);
        made->keep_resident_bytes = images_given > 1 ? pb_os_page_bytes() : 0;
    }
    if (status == PB_OK) {
        sure = made->pool != NULL && has_slot(made->pool, made);
        call_begins();
        status = call_ends(pb_memory_create(made, memory), "R1-why");
    }
    if (sure && status == PB_NO_MEMORY && fault_count() == 0) {
        complaint = "R15-slot-refused";
    }
    if (status == PB_OK && made->limiter != NULL) {
        struct watched *w = made->limiter->context;
        w->definition = w->max_bytes != 0 ? pb_memory_definition(*memory) : NULL;
    }
    if (status == PB_OK && made->pool != NULL && !os_wrap_keeps()) {
        look_at_pool(made->pool);
    }
    image_used(made->image);
    if (made->pool != NULL && made->reserve_pages_max != 0) {
        pool_let_go(made->pool);
    }
    return status;
}

static const void *base_of(struct pb_memory *memory) {
    return atomic_load(&pb_memory_definition(memory)->base);
}

/* A hint for the whole reservation, wherever it is by now, and for that of a copy; not given
 * unasked. */
static void expect_huge_pages(struct pb_memory *memory, bool asked) {
    const enum pb_strategy strategy = pb_memory_strategy(memory);
    if (os_wrap_keeps() && strategy < PB_STRATEGY_COUNT && strategy != PB_STRATEGY_HEAP &&
        pb_memory_size_bytes(memory) > 0 && os_wrap_is_huge(base_of(memory)) != asked) {
        complaint = "R2-huge-pages";
    }
}

static void expect_strategy(struct pb_memory *memory, enum pb_strategy strategy) {
    if (pb_memory_strategy(memory) != strategy) {
        complaint = "R3-strategy";
    }
}

static enum subject_status memory_create(const struct subject_memory_config *config,
                                         void **memory) {
    const struct pb_tunables tunables = {
        .static_bound_pages = config->bound_pages,
        .static_guard_bytes = config->static_guard_bytes,
        .dynamic_guard_bytes = config->dynamic_guard_bytes,
    };
    bool is_static = config->style == SUBJECT_STYLE_STATIC;
    bool is_given = is_static || config->style == SUBJECT_STYLE_DYNAMIC;
    const struct pb_memory_style style = {
        .kind = is_static ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
        .bound_pages = is_static ? config->bound_pages : 0,
        .guard_bytes = is_static ? config->static_guard_bytes : config->dynamic_guard_bytes,
    };
    struct pb_memory_config made = {
        .type = {.min_pages = config->type.min_pages,
                 .max_pages = config->type.max_pages,
                 .shared = config->type.shared},
        .style = is_given ? &style : NULL,
        .tunables = config->style == SUBJECT_STYLE_USUAL ? NULL : &tunables,
        .strategy = (enum pb_strategy)config->strategy,
        .advice = (config->huge_pages ? (unsigned)PB_ADVICE_HUGE_PAGES : 0) |
                  (config->populate ? (unsigned)PB_ADVICE_POPULATE : 0),
        .definition = (struct pb_memory_definition *)(void *)config->record,
        .waiters_max = config->waiters_max,
        .reserve_pages_max = config->reserve_pages_max,
        .limiter = config->budgeted ? watch(&config->type) : NULL,
        .fall_back = (enum pb_rung)config->fall_back,
        .allocator = &allocator,
    };
    struct pb_memory *result = MARK;
    enum pb_status status;
    if (config->strategy == CUSTOM || config->strategy == CUSTOM_SPARE) {
        struct pb_memory_style chosen =
            is_given ? style
                     : pb_style_choose(&made.type, made.tunables == NULL ? &pb_tunables_default
                                                                         : made.tunables);
        status =
            custom_create(&made.type, &chosen, config->strategy == CUSTOM_SPARE, false, &result);
    } else {
        status = create_linear(config, &made, &result);
    }
    expect_told(status, result, "R1-told");
    if (status != PB_OK && config->record != NULL &&
        (atomic_load(&config->record->base) != NULL ||
         atomic_load(&config->record->length_bytes) != 0)) {
        complaint = "R14-record"; /* of pages that are not there */
    }
    if (status == PB_OK) {
        const bool custom = config->strategy == CUSTOM || config->strategy == CUSTOM_SPARE;
        expect_strategy(result, custom ? PB_STRATEGY_COUNT : made.strategy);
        expect_huge_pages(result, config->huge_pages);
        *memory = result;
    }
    return status_of(status);
}

/* It may be gone: what is told of its copies, or when its last pin goes, is not compared with it.
 */
static void memory_destroy(void *memory) {
    const struct pb_memory_definition *definition = pb_memory_definition(memory);
    call_begins();
    pb_memory_release(memory);
    (void)call_ends(PB_OK, "R14-why");
    for (unsigned i = 0; i < watched_count; i++) {
        watched[i].definition = watched[i].definition == definition ? NULL : watched[i].definition;
    }
}

static uint64_t memory_size_pages(void *memory) {
    return pb_memory_size_pages(memory);
}

static uint64_t memory_size_bytes(void *memory) {
    return pb_memory_size_bytes(memory);
}

static enum subject_status memory_grow(void *memory, uint32_t delta_pages, uint32_t *old_pages) {
    const bool told = pb_memory_strategy(memory) != PB_STRATEGY_POOL && base_of(memory) != NULL;
    const bool huge = os_wrap_is_huge(base_of(memory));
    call_begins();
    const enum pb_status status =
        call_ends(pb_memory_grow(memory, delta_pages, old_pages), "R6-why");
    if (told) {
        expect_huge_pages(memory, huge);
    }
    return status_of(status);
}

static const struct subject_record *memory_record(void *memory) {
    return (const struct subject_record *)(const void *)pb_memory_definition(memory);
}

static struct subject_type memory_type(void *memory) {
    struct pb_memory_type type = pb_memory_type(memory);
    return (struct subject_type){type.min_pages, type.max_pages, type.shared};
}

static struct subject_style memory_style(void *memory) {
    struct pb_memory_style style = pb_memory_style(memory);
    return (struct subject_style){style.kind == PB_STYLE_STATIC, style.bound_pages,
                                  style.guard_bytes};
}

/* A pool reserves for all of its slots at once: each memory's part is cut out by hand. */
static bool memory_reservation(void *memory, const uint8_t **at, uint64_t *bytes) {
    const uint8_t *base = atomic_load(&pb_memory_definition(memory)->base);
    enum pb_strategy strategy = pb_memory_strategy(memory);
    if (strategy == PB_STRATEGY_COUNT || strategy == PB_STRATEGY_HEAP || base == NULL) {
        return false;
    }
    if (strategy == PB_STRATEGY_POOL) {
        *at = base;
        *bytes = POOL_SLOT_PAGES * SUBJECT_PAGE_BYTES + POOL_GUARD_BYTES;
        return true;
    }
    return os_wrap_reservation(base, at, bytes);
}

static enum subject_status memory_to_shared(void *memory) {
    call_begins();
    return status_of(call_ends(pb_memory_to_shared(memory), "R12-why"));
}

static enum subject_status memory_clone(void *memory, void **clone) {
    struct pb_memory *made = MARK;
    call_begins();
    enum pb_status status = call_ends(pb_memory_retain(memory, &made), "R14-why");
    expect_told(status, made, "R14-told");
    if (status == PB_OK) {
        expect_strategy(made, pb_memory_strategy(memory));
        *clone = made;
    }
    return status_of(status);
}

static enum subject_status memory_copy(void *memory, void **copy) {
    struct pb_memory *made = MARK;
    call_begins();
    enum pb_status status = call_ends(pb_memory_copy(memory, &made), "R13-why");
    expect_told(status, made, "R13-told");
    if (status == PB_OK) {
        expect_strategy(made, pb_memory_strategy(memory));
        if (pb_memory_strategy(memory) != PB_STRATEGY_POOL && base_of(memory) != NULL) {
            expect_huge_pages(made, os_wrap_is_huge(base_of(memory)));
        }
        *copy = made;
    }
    return status_of(status);
}

static enum subject_status memory_reset(void *memory) {
    call_begins();
    return status_of(call_ends(pb_memory_reset(memory), "R15-why"));
}

/* The question of a trap handler, which other threads must not disturb. */
static void look_at_fault(const void *address) {
    struct pb_address_owner owner = {.definition = MARK};
    const enum pb_fault fault = pb_memory_fault_at(address, &owner);
    if (fault == PB_FAULT_ELSEWHERE
            ? owner.definition != MARK
            : (fault == PB_FAULT_INSIDE) != (owner.offset_bytes < owner.length_bytes)) {
        complaint = "R39-fault";
    }
}

static bool memory_owner_of(const void *address, struct subject_owner *owner) {
    struct pb_address_owner found = {.definition = MARK};
    bool any = pb_memory_owner_of(address, &found);
    expect_told(any ? PB_OK : PB_INVALID, found.definition, "R39-told");
    if (any) {
        owner->offset_bytes = found.offset_bytes;
        owner->length_bytes = found.length_bytes;
        owner->record = (const struct subject_record *)(const void *)found.definition;
    }
    if (!os_wrap_keeps()) {
        look_at_fault(address);
    }
    return any;
}

static enum subject_status memory_load(void *memory, uint32_t index, uint32_t offset,
                                       unsigned width, uint64_t *value) {
    return status_of(pb_memory_load(memory, index, offset, width, value));
}

static enum subject_status memory_store(void *memory, uint32_t index, uint32_t offset,
                                        unsigned width, uint64_t value) {
    return status_of(pb_memory_store(memory, index, offset, width, value));
}

static enum subject_status memory_atomic_load(void *memory, uint32_t index, uint32_t offset,
                                              unsigned width, uint64_t *value) {
    return status_of(pb_memory_atomic_load(memory, index, offset, width, value));
}

static enum subject_status memory_atomic_store(void *memory, uint32_t index, uint32_t offset,
                                               unsigned width, uint64_t value) {
    return status_of(pb_memory_atomic_store(memory, index, offset, width, value));
}

static enum subject_status memory_atomic_rmw(void *memory, enum subject_rmw kind, uint32_t index,
                                             uint32_t offset, unsigned width, uint64_t operand,
                                             uint64_t *old) {
    static const enum pb_rmw kinds[] = {
        [SUBJECT_ADD] = PB_RMW_ADD, [SUBJECT_SUB] = PB_RMW_SUB, [SUBJECT_AND] = PB_RMW_AND,
        [SUBJECT_OR] = PB_RMW_OR,   [SUBJECT_XOR] = PB_RMW_XOR, [SUBJECT_XCHG] = PB_RMW_XCHG,
    };
    return status_of(pb_memory_atomic_rmw(memory, kinds[kind], index, offset, width, operand, old));
}

static enum subject_status memory_atomic_cmpxchg(void *memory, uint32_t index, uint32_t offset,
                                                 unsigned width, uint64_t expected,
                                                 uint64_t replacement, uint64_t *old) {
    return status_of(
        pb_memory_atomic_cmpxchg(memory, index, offset, width, expected, replacement, old));
}

static enum subject_status memory_bulk_copy(void *memory, uint32_t to, uint32_t from,
                                            uint32_t count) {
    return status_of(pb_memory_bulk_copy(memory, to, from, count));
}

static enum subject_status memory_bulk_fill(void *memory, uint32_t at, uint8_t value,
                                            uint32_t count) {
    return status_of(pb_memory_bulk_fill(memory, at, value, count));
}

static struct pb_segment segment_of(const struct subject_segment *segment) {
    return (struct pb_segment){segment->data, segment->length_bytes};
}

static enum subject_status memory_bulk_init(void *memory, const struct subject_segment *segment,
                                            uint32_t at, uint32_t from, uint32_t count) {
    struct pb_segment made = segment_of(segment);
    return status_of(pb_memory_bulk_init(memory, &made, at, from, count));
}

static void segment_drop(struct subject_segment *segment) {
    struct pb_segment made = segment_of(segment);
    pb_segment_drop(&made);
    segment->data = made.data;
    segment->length_bytes = made.length_bytes;
}

static enum subject_status memory_initialise(void *memory, uint64_t start, const void *data,
                                             uint64_t count) {
    return status_of(pb_memory_initialise(memory, start, data, count));
}

static enum subject_status memory_segments(void *memory,
                                           const struct subject_active_segment *segment,
                                           size_t count, size_t *applied) {
    struct pb_active_segment made[8];
    if (count > sizeof made / sizeof made[0]) {
        return SUBJECT_UNSUPPORTED;
    }
    for (size_t i = 0; i < count; i++) {
        made[i] = (struct pb_active_segment){segment[i].start, segment_of(&segment[i].segment)};
    }
    return status_of(pb_memory_initialise_segments(memory, made, count, applied));
}

static enum subject_status memory_read(void *memory, uint64_t start, void *data, uint64_t count) {
    return status_of(pb_memory_read(memory, start, data, count));
}

static enum subject_status memory_wait32(void *memory, uint64_t address, uint32_t expected,
                                         int64_t timeout_ns, unsigned *result) {
    enum pb_wait waited;
    enum pb_status status = pb_memory_wait32(memory, address, expected, timeout_ns, &waited);
    if (status == PB_OK) {
        *result = (unsigned)waited;
    }
    return status_of(status);
}

static enum subject_status memory_wait64(void *memory, uint64_t address, uint64_t expected,
                                         int64_t timeout_ns, unsigned *result) {
    enum pb_wait waited;
    enum pb_status status = pb_memory_wait64(memory, address, expected, timeout_ns, &waited);
    if (status == PB_OK) {
        *result = (unsigned)waited;
    }
    return status_of(status);
}

static enum subject_status memory_notify(void *memory, uint64_t address, uint32_t count,
                                         uint32_t *woken) {
    return status_of(pb_memory_notify(memory, address, count, woken));
}

static void memory_disable_atomics(void *memory) {
    pb_memory_disable_atomics(memory);
}

static uint32_t memory_waiters(void *memory) {
    return pb_memory_waiters(memory);
}

static void memory_budget(uint64_t max_bytes) {
    shared_budget.max_bytes = max_bytes;
    of_budget = pb_budget_limiter(&shared_budget);
}

static uint64_t memory_budget_used(void) {
    return atomic_load(&shared_budget.used_bytes);
}

static enum subject_status memory_pin(void *memory, uint64_t start, uint64_t count, void **pin,
                                      const uint8_t **bytes) {
    struct pb_pin *made = environment->allocate_zeroed(sizeof *made);
    if (made == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    made->held = MARK;
    enum pb_status status = pb_memory_pin(memory, start, count, made);
    expect_told(status, made->held, "R42-told");
    if (status != PB_OK) {
        environment->release(made);
        return status_of(status);
    }
    *bytes = made->bytes;
    *pin = made;
    os_wrap_pin(made->bytes, count, true);
    return SUBJECT_OK;
}

static void memory_unpin(void *pin) {
    const struct pb_pin *made = pin;
    os_wrap_pin(made->bytes, made->count, false);
    call_begins();
    pb_pin_release(pin);
    pb_pin_release(pin); /* twice is harmless */
    (void)call_ends(PB_OK, "R42-why");
    environment->release(pin);
}

static unsigned memory_rung(void *memory) {
    return (unsigned)pb_memory_rung(memory);
}

static enum subject_status canceller_create(void **canceller) {
    struct pb_canceller *made = MARK;
    enum pb_status status = pb_canceller_create(&allocator, &made);
    expect_told(status, made, "R41-told");
    if (status == PB_OK) {
        *canceller = made;
    }
    return status_of(status);
}

static void canceller_cancel(void *canceller) {
    pb_canceller_cancel(canceller);
}

static void canceller_destroy(void *canceller) {
    pb_canceller_release(canceller);
}

static enum subject_status memory_cancellable_wait32(void *memory, uint64_t address,
                                                     uint32_t expected, int64_t timeout_ns,
                                                     void *canceller, unsigned *result) {
    enum pb_wait waited;
    enum pb_status status =
        pb_memory_cancellable_wait32(memory, address, expected, timeout_ns, canceller, &waited);
    if (status == PB_OK) {
        *result = (unsigned)waited;
    }
    return status_of(status);
}

static const struct subject_memory memory_table = {
    .promises = SUBJECT_TELLS_LIMIT | SUBJECT_NAMES_ERRORS | SUBJECT_GROWS_WITHIN |
                SUBJECT_ZEROES_RECORD | SUBJECT_ALIGNED_FIRST | SUBJECT_POPULATES |
                SUBJECT_WHOLE_WORDS,
    .strategies = STRATEGIES,
    .strategy = strategies,
    .create = memory_create,
    .destroy = memory_destroy,
    .size_pages = memory_size_pages,
    .size_bytes = memory_size_bytes,
    .grow = memory_grow,
    .record = memory_record,
    .type = memory_type,
    .style = memory_style,
    .reservation = memory_reservation,
    .to_shared = memory_to_shared,
    .clone = memory_clone,
    .copy = memory_copy,
    .reset = memory_reset,
    .owner_of = memory_owner_of,
    .load = memory_load,
    .store = memory_store,
    .atomic_load = memory_atomic_load,
    .atomic_store = memory_atomic_store,
    .atomic_rmw = memory_atomic_rmw,
    .atomic_cmpxchg = memory_atomic_cmpxchg,
    .bulk_copy = memory_bulk_copy,
    .bulk_fill = memory_bulk_fill,
    .bulk_init = memory_bulk_init,
    .segment_drop = segment_drop,
    .initialise = memory_initialise,
    .initialise_segments = memory_segments,
    .read = memory_read,
    .wait32 = memory_wait32,
    .wait64 = memory_wait64,
    .notify = memory_notify,
    .disable_atomics = memory_disable_atomics,
    .waiters = memory_waiters,
    .budget = memory_budget,
    .budget_used = memory_budget_used,
    .pin = memory_pin,
    .unpin = memory_unpin,
    .rung = memory_rung,
    .canceller_create = canceller_create,
    .canceller_cancel = canceller_cancel,
    .canceller_destroy = canceller_destroy,
    .cancellable_wait32 = memory_cancellable_wait32,
};

/* ---- Mailbox ----------------------------------------------------------------------------------
 */

_Static_assert(offsetof(struct subject_words, ring) == PB_MAILBOX_RING_OFFSET &&
                   offsetof(struct subject_words, flag) == PB_MAILBOX_FLAG_OFFSET &&
                   offsetof(struct subject_words, head) == PB_MAILBOX_HEAD_OFFSET &&
                   offsetof(struct subject_words, tail) == PB_MAILBOX_TAIL_OFFSET,
               "the words are the layout");

enum { GROUND_PAGES_SPARE = 4, APRON_BYTES = 64 };

/* A mailbox and the guest memory under it. References: the mailbox's handle and each waker, since
 * the memory must outlive them all. */
struct ground_mailbox {
    struct ground_mailbox *next_gone;
    bool is_lent;                 /* the memory is the caller's, or the first one's */
    struct ground_mailbox *first; /* the mailbox in whose memory it lies; NULL: it has its own */
    struct pb_mailbox *mailbox;
    struct pb_memory *memory;
    enum subject_ground ground;
    uint32_t pages, offset;
    uint64_t bytes;              /* of the region */
    uint64_t used_from, used_to; /* of the memory, by this one and by those that lie beside it */
    unsigned references;
};

struct ground_waker {
    struct pb_waker *waker;
    struct ground_mailbox *box;
    unsigned references;
};

/* One clean memory of one page for each ground, kept between programs. */
static struct pb_memory *kept[SUBJECT_GROUNDS];

/* ---- A custom memory under the engine: one shared page, wait and notify are os.h's own ---------
 */

static struct one_page paged = {.shared = true};
static bool paged_closed; /* its mailbox is: it cannot be cloned, so it might be gone */

static uint32_t paged_notify(void *self, uint64_t address, uint32_t count) {
    (void)self;
    if (paged_closed) {
        complaint = "R36-notify-after-close";
    }
    pb_os_wake((_Atomic uint32_t *)(void *)(paged.definition.base + address), count);
    return 0;
}

static enum pb_status paged_create(struct pb_memory **memory) {
    static const struct pb_memory_operations operations = {
        .type = one_page_type,
        .style = one_page_style,
        .grow = one_page_grow,
        .definition = one_page_definition,
        .release = one_page_release,
        .notify = paged_notify,
    };
    void *page;
    enum pb_status status = pb_os_reserve_accessible(PB_PAGE_BYTES, &page);
    if (status != PB_OK) {
        return status;
    }
    paged_closed = false;
    atomic_init(&paged.definition.base, page);
    atomic_init(&paged.definition.length_bytes, PB_PAGE_BYTES);
    return pb_memory_create_custom(&operations, &paged, &allocator, memory);
}

/* ---- Grounds ----------------------------------------------------------------------------------
 */

/* What a ground can be kept for. A custom memory's size is a number of ours, to be put back. */
static bool is_keepable(enum subject_ground ground, uint32_t pages) {
    if (!os_wrap_keeps()) {
        return false;
    }
    return pages == 1 || (ground == SUBJECT_CUSTOM && pages <= CUSTOM_PAGES_MAX);
}

static void custom_resize(struct pb_memory *memory, uint32_t pages) {
    struct custom *custom = (struct custom *)(void *)pb_memory_definition(memory);
    custom->type.min_pages = pages;
    custom->type.max_pages = pages + GROUND_PAGES_SPARE;
    atomic_store(&custom->definition.length_bytes, pb_pages_to_bytes(pages));
}

static enum pb_status ground_create(enum subject_ground ground, uint32_t pages, bool keep,
                                    struct pb_memory **memory) {
    const enum pb_strategy strategy[SUBJECT_GROUNDS] = {
        /* where growth costs no system call, or where the engine sees one */
        [SUBJECT_SHARED] = os_wrap_keeps() ? PB_STRATEGY_RESERVE_RW : PB_STRATEGY_RESERVE,
        [SUBJECT_OWNED] = PB_STRATEGY_REMAP, /* growth moves the base, cheaply */
        [SUBJECT_HEAP] = PB_STRATEGY_HEAP,
    };
    const bool can_lose = ground == SUBJECT_OWNED && !os_wrap_keeps();
    const struct pb_memory_type type = {
        .min_pages = can_lose ? 0 : pages,
        .max_pages = ground == SUBJECT_HEAP ? pages : pages + GROUND_PAGES_SPARE,
        .shared = ground == SUBJECT_SHARED,
    };
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC,
                                          .guard_bytes =
                                              os_wrap_keeps() ? environment->host_page_bytes : 0};
    const struct pb_memory_config config = {
        .type = type,
        .style = &style,
        .strategy = strategy[ground],
        .allocator = keep ? NULL : &allocator, /* what is kept is not counted */
    };
    if (ground == SUBJECT_CUSTOM && !os_wrap_keeps()) {
        return paged_create(memory);
    }
    if (ground == SUBJECT_CUSTOM) {
        return custom_create(&type, &style, false, keep, memory);
    }
    os_wrap_exempt(keep);
    enum pb_status status = pb_memory_create(&config, memory);
    os_wrap_exempt(false);
    uint32_t none;
    if (status == PB_OK && can_lose) {
        status = pb_memory_grow(*memory, pages, &none);
        if (status != PB_OK) {
            pb_memory_release(*memory);
        }
    }
    return status;
}

static enum pb_status ground_keep(enum subject_ground ground, uint32_t pages,
                                  struct pb_memory **memory) {
    if (kept[ground] == NULL) {
        return ground_create(ground, pages, true, memory);
    }
    *memory = kept[ground];
    kept[ground] = NULL;
    return PB_OK;
}

static enum pb_status ground_take(enum subject_ground ground, uint32_t pages,
                                  struct pb_memory **memory) {
    if (!is_keepable(ground, pages)) {
        return ground_create(ground, pages, false, memory);
    }
    interleave_unseen(true);
    enum pb_status status = ground_keep(ground, pages, memory);
    interleave_unseen(false);
    if (status == PB_OK && ground == SUBJECT_CUSTOM) {
        custom_resize(*memory, pages);
    }
    return status;
}

static void box_unreference(struct ground_mailbox *box);

/* Clears what a program wrote, before the memory is kept. */
static void wipe(const struct ground_mailbox *box) {
    uint64_t size = pb_memory_size_bytes(box->memory);
    uint64_t from = box->used_from < APRON_BYTES ? 0 : box->used_from - APRON_BYTES;
    uint64_t to = box->used_to + APRON_BYTES;
    uint8_t *base = atomic_load(&pb_memory_definition(box->memory)->base);
    if (from < size) {
        memset(base + from, 0, (to < size ? to : size) - from);
    }
}

/* The first one keeps the memory, and must know what others have used of it. */
static void lie_beside(struct ground_mailbox *box) {
    for (struct ground_mailbox *first = box->first; first != NULL; first = first->first) {
        first->used_from = box->used_from < first->used_from ? box->used_from : first->used_from;
        first->used_to = box->used_to > first->used_to ? box->used_to : first->used_to;
    }
}

static void ground_give(struct ground_mailbox *box) {
    struct pb_memory *memory = box->memory;
    if (box->first != NULL) {
        box_unreference(box->first);
    }
    if (box->is_lent) {
        return;
    }
    if (!os_wrap_keeps()) {
        if (pb_memory_waiters(memory) != 0) {
            complaint = "R27-queue-life";
        }
        pb_memory_release(memory);
        return;
    }
    uint64_t size = pb_memory_size_bytes(memory);
    bool grew = size != pb_pages_to_bytes(box->pages) && box->ground != SUBJECT_CUSTOM;
    if (grew || !is_keepable(box->ground, box->pages) || kept[box->ground] != NULL) {
        pb_memory_release(memory);
        return;
    }
    wipe(box);
    kept[box->ground] = memory;
}

/* Under the engine they stay until the end of the run, because the count does not order the
 * threads. */
static struct ground_mailbox *boxes_gone;

static void box_free(struct ground_mailbox *box) {
    ground_give(box);
    environment->release(box);
}

static void box_unreference(struct ground_mailbox *box) {
    if (--box->references > 0) {
        return;
    }
    if (os_wrap_keeps()) {
        box_free(box);
    } else {
        box->next_gone = boxes_gone;
        boxes_gone = box;
    }
}

static void boxes_end(void) {
    while (boxes_gone != NULL) {
        struct ground_mailbox *box = boxes_gone;
        boxes_gone = box->next_gone;
        box_free(box);
    }
}

/* A mailbox of a shared memory has a handle of its own, so the one that it was given goes. */
static enum pb_status mailbox_in_shared(struct pb_mailbox_config *config,
                                        struct pb_mailbox **mailbox) {
    struct pb_memory *given;
    if (pb_memory_retain(config->memory, &given) != PB_OK) {
        return pb_mailbox_create(config, mailbox);
    }
    config->memory = given;
    enum pb_status status = pb_mailbox_create(config, mailbox);
    pb_memory_release(given);
    return status;
}

static enum pb_status box_fill(struct ground_mailbox *box,
                               const struct subject_mailbox_config *config) {
    enum pb_status status = PB_OK;
    struct ground_mailbox *beside = config->beside;
    box->first = beside;
    box->memory = beside != NULL ? beside->memory : config->memory;
    box->is_lent = box->memory != NULL;
    if (beside != NULL) {
        beside->references++;
    }
    if (!box->is_lent) {
        status = ground_take(config->ground, config->pages, &box->memory);
    }
    if (status != PB_OK) {
        return status;
    }
    uint32_t capacity = config->capacity == 0 ? PB_MAILBOX_CAPACITY : config->capacity;
    box->ground = config->ground;
    box->pages = config->pages;
    box->offset = config->offset;
    box->bytes = PB_MAILBOX_BYTES((uint64_t)capacity);
    box->used_from = config->offset;
    box->used_to = config->offset + box->bytes;
    struct pb_mailbox_config made = {
        .memory = box->memory,
        .offset = config->offset,
        .capacity = config->capacity,
        .first_cursor = config->first_cursor,
        .full = config->spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
        .spill_max = config->spill_max,
        .allocator = &allocator,
    };
    box->mailbox = MARK;
    status = config->ground == SUBJECT_SHARED ? mailbox_in_shared(&made, &box->mailbox)
                                              : pb_mailbox_create(&made, &box->mailbox);
    expect_told(status, box->mailbox, "R38-told");
    if (status == PB_OK) {
        lie_beside(box);
    } else {
        ground_give(box);
    }
    return status;
}

static enum subject_status mailbox_attach(const struct subject_mailbox_config *config,
                                          void **mailbox) {
    struct ground_mailbox *box = environment->allocate_zeroed(sizeof *box);
    if (box == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    enum pb_status status = box_fill(box, config);
    if (status != PB_OK) {
        environment->release(box);
        return status_of(status);
    }
    box->references = 1;
    *mailbox = box;
    return SUBJECT_OK;
}

static struct pb_mailbox *mailbox_of(void *mailbox) {
    return ((struct ground_mailbox *)mailbox)->mailbox;
}

static void mailbox_release(void *mailbox) {
    pb_mailbox_release(mailbox_of(mailbox));
    box_unreference(mailbox);
}

static enum subject_status mailbox_enqueue(void *mailbox, uint64_t id) {
    return status_of(pb_mailbox_enqueue(mailbox_of(mailbox), id));
}

static struct pb_mailbox_words *words_of(const struct ground_mailbox *box) {
    uint8_t *base = atomic_load(&pb_memory_definition(box->memory)->base);
    return (struct pb_mailbox_words *)(void *)(base + box->offset);
}

static uint32_t mailbox_drain(void *mailbox, void (*take)(void *context, uint32_t id),
                              void *context) {
    return pb_guest_drain(words_of(mailbox), take, context);
}

static enum subject_park mailbox_park(void *mailbox, const struct subject_guest_host *host,
                                      int64_t timeout_ns) {
    const struct pb_guest_host made = {host->wait, host->flush, host->context};
    switch (pb_guest_park(words_of(mailbox), &made, timeout_ns)) {
    case PB_PARK_READY:
        return SUBJECT_PARK_READY;
    case PB_PARK_CLOSED:
        return SUBJECT_PARK_CLOSED;
    default:
        return SUBJECT_PARK_TIMED_OUT;
    }
}

/* By the instruction, by a call into the host, or on the word itself, as its memory lets it. */
static int mailbox_guest_wait(void *mailbox, uint32_t expected, int64_t timeout_ns) {
    struct ground_mailbox *box = mailbox;
    enum pb_wait result = PB_WAIT_NOTIFIED;
    enum pb_status status = PB_OK;
    if (box->is_lent || box->ground == SUBJECT_SHARED) {
        status = pb_memory_wait32(box->memory, box->offset + PB_MAILBOX_FLAG_OFFSET, expected,
                                  timeout_ns, &result);
    } else if (box->ground == SUBJECT_CUSTOM) {
        (void)pb_os_wait(&words_of(box)->flag, expected, UINT64_MAX);
    } else {
        status = pb_mailbox_wait_for_signal(box->mailbox, timeout_ns);
    }
    bool late = status == PB_TIMED_OUT || (status == PB_OK && result == PB_WAIT_TIMED_OUT);
    return late ? 2 : status == PB_OK ? (int)result : -1;
}

static enum subject_status mailbox_flush(void *mailbox, uint32_t *left) {
    return status_of(pb_mailbox_flush(mailbox_of(mailbox), left));
}

static bool mailbox_is_signalled(void *mailbox) {
    return pb_mailbox_is_signalled(mailbox_of(mailbox));
}

static enum subject_status mailbox_wait_for_signal(void *mailbox, int64_t timeout_ns) {
    return status_of(pb_mailbox_wait_for_signal(mailbox_of(mailbox), timeout_ns));
}

static void mailbox_hold(void *mailbox) {
    pb_mailbox_hold(mailbox_of(mailbox));
}

static enum subject_status mailbox_move(void *mailbox, uint32_t pages, uint32_t *old_pages) {
    return status_of(pb_memory_grow(((struct ground_mailbox *)mailbox)->memory, pages, old_pages));
}

static enum subject_status mailbox_lose(void *mailbox) {
    struct ground_mailbox *box = mailbox;
    return box->ground != SUBJECT_OWNED || box->is_lent ? SUBJECT_UNSUPPORTED
                                                        : status_of(pb_memory_reset(box->memory));
}

static enum subject_status mailbox_unhold(void *mailbox) {
    return status_of(pb_mailbox_unhold(mailbox_of(mailbox)));
}

static enum subject_status mailbox_grow(void *mailbox, uint32_t pages, uint32_t *old_pages) {
    return status_of(pb_mailbox_grow(mailbox_of(mailbox), pages, old_pages));
}

static void mailbox_close(void *mailbox, uint32_t *dropped) {
    pb_mailbox_close(mailbox_of(mailbox), dropped);
    paged_closed = true;
}

static bool mailbox_is_closed(void *mailbox) {
    const bool closed = pb_mailbox_is_closed(mailbox_of(mailbox));
    paged_closed |= closed;
    return closed;
}

static struct subject_words *mailbox_words(void *mailbox, uint8_t **memory,
                                           uint64_t *memory_bytes) {
    struct ground_mailbox *box = mailbox;
    struct pb_memory_definition *record = pb_memory_definition(box->memory);
    *memory = atomic_load(&record->base);
    *memory_bytes = atomic_load(&record->length_bytes); /* read as it is, by the harness */
    return (struct subject_words *)(void *)words_of(box);
}

static enum subject_status waker_create(void *mailbox, uint64_t id, void **waker) {
    struct ground_mailbox *box = mailbox;
    struct ground_waker *made = environment->allocate_zeroed(sizeof *made);
    if (made == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    made->waker = MARK;
    enum pb_status status = pb_waker_create(box->mailbox, id, &made->waker);
    expect_told(status, made->waker, "R30-told");
    if (status != PB_OK) {
        environment->release(made);
        return status_of(status);
    }
    made->box = box;
    made->references = 1;
    box->references++;
    *waker = made;
    return SUBJECT_OK;
}

static void *waker_clone(void *waker) {
    struct ground_waker *w = waker;
    w->waker = pb_waker_retain(w->waker);
    w->references++;
    return w;
}

static enum subject_status waker_wake(void *waker) {
    return status_of(pb_waker_wake(((struct ground_waker *)waker)->waker));
}

static void waker_drop(void *waker) {
    struct ground_waker *w = waker;
    pb_waker_release(w->waker);
    if (--w->references == 0) {
        box_unreference(w->box);
        environment->release(w);
    }
}

static const struct subject_mailbox mailbox_table = {
    .promises = SUBJECT_TELLS_FULL | SUBJECT_SPILLS | SUBJECT_WIDE_IDS | SUBJECT_KEPT_BY_WAKERS |
                SUBJECT_LIES_IN_MEMORY | SUBJECT_EVERY_GROUND | SUBJECT_SHARES_MEMORY |
                SUBJECT_LOCK_FREE | SUBJECT_EXACT_WORDS,
    .capacity = PB_MAILBOX_CAPACITY,
    .attach = mailbox_attach,
    .release = mailbox_release,
    .enqueue = mailbox_enqueue,
    .drain = mailbox_drain,
    .park = mailbox_park,
    .guest_wait = mailbox_guest_wait,
    .flush = mailbox_flush,
    .is_signalled = mailbox_is_signalled,
    .wait_for_signal = mailbox_wait_for_signal,
    .hold = mailbox_hold,
    .move = mailbox_move,
    .unhold = mailbox_unhold,
    .lose = mailbox_lose,
    .grow = mailbox_grow,
    .close = mailbox_close,
    .is_closed = mailbox_is_closed,
    .words = mailbox_words,
    .waker_create = waker_create,
    .waker_clone = waker_clone,
    .waker_wake = waker_wake,
    .waker_drop = waker_drop,
};

/* ---- The subject ------------------------------------------------------------------------------
 */

/* The register of memories' owners keeps entries for later ones: as many as any program needs are
 * made before the first, so that the same input takes the same way through it at any time. */
static void register_fill(void) {
    enum { ALIVE_MAX = 32 };
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    const struct pb_memory_config config = {.style = &style, .strategy = PB_STRATEGY_RESERVE};
    struct pb_memory *made[ALIVE_MAX] = {NULL};
    for (unsigned i = 0; i < ALIVE_MAX; i++) {
        if (pb_memory_create(&config, &made[i]) != PB_OK) {
            made[i] = NULL;
        }
    }
    for (unsigned i = 0; i < ALIVE_MAX; i++) {
        pb_memory_release(made[i]);
    }
}

static bool register_filled;

static void begin(const struct subject_environment *given) {
    environment = given;
    interleave_unseen(true);
    complaint = NULL;
    shared_budget = (struct pb_budget){0};
    watched_count = 0;
    if (strategies[0].name == NULL) {
        strategies_fill();
    }
    if (!register_filled && os_wrap_keeps()) {
        register_filled = true;
        os_wrap_exempt(true);
        register_fill();
        os_wrap_exempt(false);
        os_wrap_ask();
    }
    if (!os_wrap_keeps()) { /* left by a run that was cut */
        memset(pools, 0, sizeof pools);
        boxes_gone = NULL;
        image_shared = NULL;
        images_given = images_used = 0;
    }
    interleave_unseen(false);
}

/* All memories are gone: a slot still in use was lost by a call that failed half-way (R6). */
static void pools_end(void) {
    for (unsigned i = 0; i < sizeof pools / sizeof pools[0]; i++) {
        if (pools[i] != NULL) {
            const struct pb_pool_stats stats = pb_pool_stats(pools[i]);
            if (stats.used != 0 || stats.free + stats.retired != POOL_SLOTS) {
                complaint = "R6-slot-lost";
            }
        }
        pb_pool_release(pools[i]);
        pools[i] = NULL;
    }
}

static void end(void) {
    boxes_end();
    pools_end();
    image_let_go();
    const char *account = os_wrap_account();
    complaint = complaint != NULL ? complaint : account;
}

static const char *complain(void) {
    return complaint;
}

const struct subject *subject_ref(void) {
    static const struct subject reference = {
        .abi = SUBJECT_ABI,
        .name = "pagebox",
        .memory = &memory_table,
        .mailbox = &mailbox_table,
        .begin = begin,
        .end = end,
        .complaint = complain,
    };
    return &reference;
}
