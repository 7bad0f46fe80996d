/* ref.h: the calls of finding.c as those of pagebox.h. */
#include "pagebox.h"

#include "os.h"

typedef struct pb_memory *memory;
typedef struct pb_memory_definition record;
/* A mailbox and the guest memory that it lies in. */
typedef struct box {
    struct pb_mailbox *mailbox;
    struct pb_memory *ground;
    uint32_t offset, capacity;
    unsigned references;
    struct box *first; /* whose memory it is; NULL: its own */
} * mailbox;
typedef struct share {
    struct pb_waker *waker;
    mailbox box;
    unsigned references;
} * waker;

static void *allocate_for(void *context, size_t bytes) {
    (void)context;
    return allocate_zeroed(bytes);
}

static void *resize_for(void *context, void *old, size_t bytes) {
    (void)context;
    return resize(old, bytes);
}

static void release_for(void *context, void *at) {
    (void)context;
    release(at);
}

static const struct pb_allocator allocator = {allocate_for, resize_for, release_for, NULL};
static struct pb_pool *pools[PB_POOL_SCAN + 1];

__attribute__((unused)) static void library_begin(void) {
    (void)pb_strategy_available(PB_STRATEGY_GUARD, NULL); /* is tried at its first use */
}

__attribute__((unused)) static void library_end(void) {
    for (unsigned i = 0; i < 2; i++) {
        if (pools[i] != NULL && pb_pool_stats(pools[i]).used != 0) {
            broken("R6-slot-lost", "a slot of the pool is still in use");
        }
        pb_pool_release(pools[i]);
    }
}

static unsigned of(enum pb_status status) {
    static const unsigned sets[PB_STATUS_COUNT] = {
        [PB_OK] = OK,
        [PB_INVALID] = INVALID,
        [PB_LIMIT] = LIMIT,
        [PB_NO_MEMORY] = NO_MEMORY,
        [PB_NO_DESCRIPTORS] = NO_MEMORY,
        [PB_UNSUPPORTED] = UNSUPPORTED,
        [PB_NOT_SHARED] = NOT_SHARED,
        [PB_OUT_OF_BOUNDS] = OUT_OF_BOUNDS,
        [PB_MISALIGNED] = MISALIGNED,
        [PB_TOO_MANY_WAITERS] = TOO_MANY_WAITERS,
        [PB_DISABLED] = DISABLED,
        [PB_FULL] = FULL,
        [PB_CLOSED] = CLOSED,
        [PB_TIMED_OUT] = TIMED_OUT,
        [PB_INTERRUPTED] = SYSTEM,
        [PB_SYSTEM] = SYSTEM,
        [PB_REFUSED] = REFUSED,
        [PB_CANCELLED] = CANCELLED,
        [PB_PINNED] = PINNED,
        [PB_IN_USE] = IN_USE,
    };
    return (unsigned)status < PB_STATUS_COUNT ? sets[status] : 0;
}

static enum pb_pool_reset pool_reset(const char *name) {
    return strcmp(name, "pool_renew") == 0  ? PB_POOL_RENEW
           : strcmp(name, "pool_scan") == 0 ? PB_POOL_SCAN
                                            : PB_POOL_DISCARD;
}

static enum pb_status pool_get(enum pb_pool_reset reset, struct pb_pool **pool) {
    const struct pb_pool_config config = {
        .slots = 4,
        .slot_bytes = 8 * 65536,
        .guard_bytes = 128 << 10,
        .reset = reset,
        .keep_resident_bytes = reset == PB_POOL_DISCARD ? pb_os_page_bytes()
                               : reset == PB_POOL_SCAN  ? 65536
                                                        : 0,
        .allocator = &allocator,
    };
    enum pb_status status = pools[reset] == NULL ? pb_pool_create(&config, &pools[reset]) : PB_OK;
    *pool = pools[reset];
    return status;
}

/* The strategy of that name; false for a memory that is made by hand. */
static bool strategy_find(const char *name, enum pb_strategy *strategy) {
    name = strncmp(name, "pool", 4) == 0 ? "pool" : name;
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        if (strcmp(pb_strategy_info((enum pb_strategy)i)->name, name) == 0) {
            *strategy = (enum pb_strategy)i;
            return true;
        }
    }
    return false;
}

/* ---- A memory that is made by hand: one block, large enough from the start ---------------------
 */

enum { HAND_PAGES_MAX = 8 };

struct hand {
    struct pb_memory_definition definition;
    struct pb_memory_type type;
    struct pb_memory_style style;
    uint8_t bytes[HAND_PAGES_MAX * 65536];
};

static struct pb_memory_type hand_type(void *self) {
    struct hand *hand = self;
    struct pb_memory_type type = hand->type;
    type.min_pages = (uint32_t)(atomic_load(&hand->definition.length_bytes) / 65536);
    return type;
}

static struct pb_memory_style hand_style(void *self) {
    return ((struct hand *)self)->style;
}

static enum pb_status hand_grow(void *self, uint32_t delta, uint32_t *old) {
    struct hand *hand = self;
    const uint32_t max = hand->type.max_pages < 65536 ? hand->type.max_pages : 65536;
    const uint32_t pages = hand_type(self).min_pages;
    if ((uint64_t)pages + delta > max) {
        return PB_LIMIT;
    }
    if (pages + delta > HAND_PAGES_MAX) {
        return PB_NO_MEMORY;
    }
    atomic_store(&hand->definition.length_bytes, (uint64_t)(pages + delta) * 65536);
    *old = pages;
    return PB_OK;
}

static struct pb_memory_definition *hand_definition(void *self) {
    return &((struct hand *)self)->definition;
}

static void hand_release(void *self) {
    release(self);
}

static struct hand *hand_make(const struct pb_memory_type *type,
                              const struct pb_memory_style *style) {
    struct hand *hand = type->min_pages <= HAND_PAGES_MAX ? allocate_zeroed(sizeof *hand) : NULL;
    if (hand != NULL) {
        hand->type = *type;
        hand->style = *style;
        atomic_store(&hand->definition.base, hand->bytes);
        atomic_store(&hand->definition.length_bytes, (uint64_t)type->min_pages * 65536);
    }
    return hand;
}

static enum pb_status hand_copy(void *self, void **copy) {
    struct hand *hand = self;
    struct pb_memory_type type = hand_type(self);
    struct hand *made = hand_make(&type, &hand->style);
    if (made != NULL) {
        memcpy(made->bytes, hand->bytes, (size_t)type.min_pages * 65536);
        *copy = made;
    }
    return made != NULL ? PB_OK : PB_NO_MEMORY;
}

static enum pb_status hand_initialise(void *self, uint64_t start, const void *data,
                                      uint64_t count) {
    if (count > 0) {
        memcpy(((struct hand *)self)->bytes + start, data, count);
    }
    return PB_OK;
}

static enum pb_status hand_create(struct pb_memory_type type, const struct pb_memory_style *style,
                                  bool spare, struct pb_memory **made) {
    static const struct pb_memory_operations spare_operations = {.type = hand_type,
                                                                 .style = hand_style,
                                                                 .grow = hand_grow,
                                                                 .definition = hand_definition,
                                                                 .release = hand_release};
    static struct pb_memory_operations whole;
    enum pb_status status = pb_memory_type_check(&type);
    if (status != PB_OK || type.shared) {
        return status != PB_OK ? status : PB_UNSUPPORTED;
    }
    struct hand *hand = hand_make(&type, style);
    if (hand == NULL) {
        return PB_NO_MEMORY;
    }
    whole = spare_operations;
    whole.copy = hand_copy;
    whole.initialise = hand_initialise;
    status = pb_memory_create_custom(spare ? &spare_operations : &whole, hand, &allocator, made);
    if (status != PB_OK) {
        hand_release(hand);
    }
    return status;
}

static struct pb_budget budget;
static struct pb_limiter limiter;

__attribute__((unused)) static void memory_budget(uint64_t max_bytes) {
    budget.max_bytes = max_bytes;
    limiter = pb_budget_limiter(&budget);
}

__attribute__((unused)) static uint64_t memory_budget_used(void) {
    return atomic_load(&budget.used_bytes);
}

__attribute__((unused)) static unsigned memory_pin(void **pin, memory m, uint64_t start,
                                                   uint64_t count) {
    struct pb_pin *made = calloc(1, sizeof *made);
    *pin = made;
    return made == NULL ? NO_MEMORY : of(pb_memory_pin(m, start, count, made));
}

__attribute__((unused)) static void memory_unpin(void *pin) {
    pb_pin_release(pin);
    pb_pin_release(pin);
    free(pin);
}

__attribute__((unused)) static unsigned memory_create(memory *m, const struct wish *w) {
    const struct pb_tunables tunables = {.static_bound_pages = w->bound_pages,
                                         .static_guard_bytes = w->static_guard_bytes,
                                         .dynamic_guard_bytes = w->dynamic_guard_bytes};
    const struct pb_memory_style style = {
        .kind = w->style == STATIC ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
        .bound_pages = w->style == STATIC ? w->bound_pages : 0,
        .guard_bytes = w->style == STATIC ? w->static_guard_bytes : w->dynamic_guard_bytes};
    struct pb_memory_config config = {
        .type = {.min_pages = w->min_pages, .max_pages = w->max_pages, .shared = w->shared},
        .style = w->style == STATIC || w->style == DYNAMIC ? &style : NULL,
        .tunables = w->style == USUAL ? NULL : &tunables,
        .advice = (w->huge_pages ? (unsigned)PB_ADVICE_HUGE_PAGES : 0) |
                  (w->populate ? (unsigned)PB_ADVICE_POPULATE : 0),
        .definition = w->record,
        .waiters_max = w->waiters_max,
        .reserve_pages_max = w->reserve_pages_max,
        .limiter = w->budgeted ? &limiter : NULL,
        .fall_back = (enum pb_rung)w->fall_back,
        .allocator = &allocator,
    };
    enum pb_status status = PB_OK;
    if (!strategy_find(w->strategy, &config.strategy)) {
        const struct pb_memory_style chosen =
            config.style != NULL
                ? style
                : pb_style_choose(&config.type,
                                  config.tunables != NULL ? &tunables : &pb_tunables_default);
        return of(hand_create(config.type, &chosen, strcmp(w->strategy, "custom_spare") == 0, m));
    }
    if (config.strategy == PB_STRATEGY_POOL) {
        status = pool_get(pool_reset(w->strategy), &config.pool);
    }
    if (status == PB_OK && w->image != NULL) {
        status = pb_image_create(w->image, w->image_bytes, &allocator, &config.image);
    }
    if (status == PB_OK) {
        status = pb_memory_create(&config, m);
    }
    pb_image_release(config.image);
    return of(status);
}

__attribute__((unused)) static unsigned memory_segments(memory m, const struct active *a, size_t n,
                                                        uint64_t *applied) {
    struct pb_active_segment s[8];
    size_t done = 99;
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct pb_active_segment){a[i].start, {pattern() + a[i].from, a[i].count}};
    }
    unsigned status = of(pb_memory_initialise_segments(m, s, n, &done));
    *applied = done;
    return status;
}

/* Answers of other widths than the program's. */
#define WITH(type, call)              \
    __extension__({                   \
        type value = (type)0xDEAD;    \
        unsigned answered = of(call); \
        answer = (uint64_t)value;     \
        answered;                     \
    })
#define KIND(k)                \
    ((k) == ADD   ? PB_RMW_ADD \
     : (k) == SUB ? PB_RMW_SUB \
     : (k) == AND ? PB_RMW_AND \
     : (k) == OR  ? PB_RMW_OR  \
     : (k) == XOR ? PB_RMW_XOR \
                  : PB_RMW_XCHG)
#define memory_destroy(m) pb_memory_release(m)
#define memory_grow(m, pages, old) WITH(uint32_t, pb_memory_grow(m, pages, &value))
#define memory_to_shared(m) of(pb_memory_to_shared(m))
#define memory_clone(m, to) of(pb_memory_retain(m, to))
#define memory_copy(m, to) of(pb_memory_copy(m, to))
#define memory_reset(m) of(pb_memory_reset(m))
#define memory_load(m, i, o, w, v) of(pb_memory_load(m, i, o, w, v))
#define memory_store(m, i, o, w, v) of(pb_memory_store(m, i, o, w, v))
#define memory_atomic_load(m, i, o, w, v) of(pb_memory_atomic_load(m, i, o, w, v))
#define memory_atomic_store(m, i, o, w, v) of(pb_memory_atomic_store(m, i, o, w, v))
#define memory_atomic_rmw(m, k, i, o, w, v, old) \
    of(pb_memory_atomic_rmw(m, KIND(k), i, o, w, v, old))
#define memory_atomic_cmpxchg(m, i, o, w, e, v, old) \
    of(pb_memory_atomic_cmpxchg(m, i, o, w, e, v, old))
#define memory_bulk_copy(m, to, from, n) of(pb_memory_bulk_copy(m, to, from, n))
#define memory_bulk_fill(m, at, v, n) of(pb_memory_bulk_fill(m, at, v, n))
#define memory_bulk_init(m, data, length, at, from, n) \
    of(pb_memory_bulk_init(m, &(struct pb_segment){data, length}, at, from, n))
#define memory_initialise(m, at, data, n) of(pb_memory_initialise(m, at, data, n))
#define memory_read(m, at, to, n) of(pb_memory_read(m, at, to, n))
#define memory_wait32(m, at, e, t, r) WITH(enum pb_wait, pb_memory_wait32(m, at, e, t, &value))
#define memory_wait64(m, at, e, t, r) WITH(enum pb_wait, pb_memory_wait64(m, at, e, t, &value))
#define memory_notify(m, at, n, r) WITH(uint32_t, pb_memory_notify(m, at, n, &value))
#define memory_disable_atomics(m) pb_memory_disable_atomics(m)
#define memory_size_pages(m) pb_memory_size_pages(m)
#define memory_size_bytes(m) pb_memory_size_bytes(m)
#define memory_length(m) atomic_load(&pb_memory_definition(m)->length_bytes)
#define memory_waiters(m) pb_memory_waiters(m)
#define memory_at(m, at, count) (atomic_load(&pb_memory_definition(m)->base) + (at))
#define memory_type(m) pb_memory_type(m)

__attribute__((unused)) static void same_type(struct pb_memory_type is, uint64_t pages,
                                              uint64_t max, bool shared, const char *rule) {
    same(is.min_pages, pages, rule);
    same(is.max_pages, max, rule);
    same(is.shared, shared, rule);
}

/* ---- The mailbox ------------------------------------------------------------------------------
 */

static enum pb_status ground_create(int ground, uint32_t pages, struct pb_memory **made) {
    static const enum pb_strategy strategies[] = {PB_STRATEGY_RESERVE_RW, PB_STRATEGY_REMAP,
                                                  PB_STRATEGY_HEAP, PB_STRATEGY_HEAP};
    const bool can_lose = ground == OWNED; /* mailbox_lose */
    uint32_t none;
    const struct pb_memory_type type = {.min_pages = can_lose ? 0 : pages,
                                        .max_pages = ground == HEAP ? pages : pages + 4,
                                        .shared = ground == SHARED};
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC,
                                          .guard_bytes = pb_os_page_bytes()};
    const struct pb_memory_config config = {.type = type,
                                            .style = &style,
                                            .strategy = strategies[ground],
                                            .allocator = pages == 1 ? NULL : &allocator};
    enum pb_status status =
        ground == CUSTOM ? hand_create(type, &style, false, made) : pb_memory_create(&config, made);
    return status == PB_OK && can_lose ? pb_memory_grow(*made, pages, &none) : status;
}

static void box_leave(mailbox b) {
    if (--b->references == 0) {
        if (b->first != NULL) {
            box_leave(b->first);
        } else {
            pb_memory_release(b->ground);
        }
        release(b);
    }
}

__attribute__((unused)) static unsigned mailbox_attach(mailbox *made, int ground, uint32_t pages,
                                                       uint32_t offset, uint32_t capacity,
                                                       uint32_t cursor, bool spill,
                                                       uint32_t spill_max) {
    mailbox b = allocate_zeroed(sizeof *b);
    if (b == NULL) {
        return NO_MEMORY;
    }
    *b = (struct box){NULL, NULL, offset, capacity != 0 ? capacity : PB_MAILBOX_CAPACITY, 1, NULL};
    enum pb_status status = ground_create(ground, pages, &b->ground);
    if (status == PB_OK) {
        const struct pb_mailbox_config config = {.memory = b->ground,
                                                 .offset = offset,
                                                 .capacity = capacity,
                                                 .first_cursor = cursor,
                                                 .full =
                                                     spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
                                                 .spill_max = spill_max,
                                                 .allocator = &allocator};
        status = pb_mailbox_create(&config, &b->mailbox);
    }
    if (status == PB_OK) {
        *made = b;
    } else {
        box_leave(b);
    }
    return of(status);
}

/* In the memory of another one. */
__attribute__((unused)) static unsigned mailbox_attach_beside(mailbox first, mailbox *made,
                                                              uint32_t offset, uint32_t capacity,
                                                              bool spill, uint32_t spill_max) {
    mailbox b = allocate_zeroed(sizeof *b);
    if (b == NULL) {
        return NO_MEMORY;
    }
    *b = (struct box){NULL, first->ground, offset, capacity != 0 ? capacity : PB_MAILBOX_CAPACITY,
                      1,    first};
    const struct pb_mailbox_config config = {.memory = b->ground,
                                             .offset = offset,
                                             .capacity = capacity,
                                             .full = spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
                                             .spill_max = spill_max,
                                             .allocator = &allocator};
    enum pb_status status = pb_mailbox_create(&config, &b->mailbox);
    if (status == PB_OK) {
        *made = b;
        first->references++;
    } else {
        release(b);
    }
    return of(status);
}

__attribute__((unused)) static uint8_t *mailbox_memory(mailbox b) {
    return atomic_load(&pb_memory_definition(b->ground)->base);
}

__attribute__((unused)) static struct pb_mailbox_words *mailbox_region(mailbox b) {
    return (struct pb_mailbox_words *)(void *)(mailbox_memory(b) + b->offset);
}

__attribute__((unused)) static void mailbox_release(mailbox b) {
    pb_mailbox_release(b->mailbox);
    box_leave(b);
}

__attribute__((unused)) static uint32_t mailbox_drain(mailbox b, void (*to)(void *, uint32_t)) {
    ids_begin();
    return pb_guest_drain(mailbox_region(b), to, NULL);
}

__attribute__((unused)) static void guest_flush(void *context) {
    uint32_t left;
    (void)pb_mailbox_flush(((mailbox)context)->mailbox, &left);
}

#define LIBRARY_SLEEPS
__attribute__((unused)) static int library_guest_sleep(void *context, _Atomic uint32_t *flag,
                                                       uint32_t expected, int64_t timeout_ns) {
    const mailbox b = context;
    enum pb_wait result = PB_WAIT_TIMED_OUT;
    (void)flag;
    if (pb_memory_type(b->ground).shared) {
        (void)pb_memory_wait32(b->ground, b->offset + PB_MAILBOX_FLAG_OFFSET, expected, timeout_ns,
                               &result);
    } else if (pb_mailbox_wait_for_signal(b->mailbox, timeout_ns) != PB_TIMED_OUT) {
        result = PB_WAIT_NOTIFIED;
    }
    return (int)result;
}

__attribute__((unused)) static uint64_t mailbox_park(mailbox b, void (*meanwhile)(void),
                                                     int64_t timeout_ns) {
    const struct pb_guest_host host = {guest_wait, guest_flush, b};
    meanwhile_now = meanwhile;
    looks = 0;
    switch (pb_guest_park(mailbox_region(b), &host, timeout_ns)) {
    case PB_PARK_READY:
        return 0;
    case PB_PARK_CLOSED:
        return 1;
    default:
        return 2;
    }
}

__attribute__((unused)) static uint64_t mailbox_close(mailbox b) {
    uint32_t dropped = 0;
    pb_mailbox_close(b->mailbox, &dropped);
    return dropped;
}

__attribute__((unused)) static unsigned waker_create(mailbox b, uint64_t id, waker *made) {
    waker w = allocate_zeroed(sizeof *w);
    enum pb_status status = w == NULL ? PB_NO_MEMORY : pb_waker_create(b->mailbox, id, &w->waker);
    if (status != PB_OK) {
        release(w);
        return of(status);
    }
    w->box = b;
    w->references = 1;
    b->references++; /* the memory outlives them */
    *made = w;
    return OK;
}

__attribute__((unused)) static waker waker_clone(waker w) {
    w->waker = pb_waker_retain(w->waker);
    w->references++;
    return w;
}

__attribute__((unused)) static void waker_drop(waker w) {
    pb_waker_release(w->waker);
    if (--w->references == 0) {
        box_leave(w->box);
        release(w);
    }
}

#define mailbox_enqueue(b, id) of(pb_mailbox_enqueue((b)->mailbox, id))
#define mailbox_flush(b, left) WITH(uint32_t, pb_mailbox_flush((b)->mailbox, &value))
#define mailbox_is_signalled(b) pb_mailbox_is_signalled((b)->mailbox)
#define mailbox_wait_for_signal(b, t) of(pb_mailbox_wait_for_signal((b)->mailbox, t))
#define mailbox_hold(b) pb_mailbox_hold((b)->mailbox)
#define mailbox_move(b, pages, old) WITH(uint32_t, pb_memory_grow((b)->ground, pages, &value))
#define mailbox_unhold(b) of(pb_mailbox_unhold((b)->mailbox))
#define mailbox_lose(b) of(pb_memory_reset((b)->ground))
#define mailbox_grow(b, pages, old) WITH(uint32_t, pb_mailbox_grow((b)->mailbox, pages, &value))
#define mailbox_is_closed(b) pb_mailbox_is_closed((b)->mailbox)
#define mailbox_in_ring(b) (uint32_t)(mailbox_region(b)->tail - mailbox_region(b)->head)
#define mailbox_region_bytes(b) PB_MAILBOX_BYTES((size_t)(b)->capacity)
#define waker_wake(w) of(pb_waker_wake((w)->waker))
