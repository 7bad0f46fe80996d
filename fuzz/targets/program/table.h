/* table.h: the calls of finding.c by the table of fuzz/subject.h, for a subject without a mapping
 * of its own: the program loads the subject's object, named by SUBJECT. */
#include "subject.h"

#include <dlfcn.h>

typedef void *memory, *waker, *mailbox;
typedef struct subject_record record;

static const struct subject *the;

static struct subject_environment surroundings = {allocate_zeroed, resize, release, 4096};

__attribute__((unused)) static void library_begin(void) {
#ifdef EXPLORE /* its sources are compiled in */
    const struct subject *pagebox_subject(void);
    the = pagebox_subject();
#else
    const struct subject *(*entry)(void);
    const char *path = getenv("SUBJECT");
    void *object = dlopen(path != NULL ? path : SUBJECT_PATH, RTLD_NOW);
    *(void **)&entry = object != NULL ? dlsym(object, "pagebox_subject") : NULL;
    if (entry == NULL) {
        fprintf(stderr, "%s: SUBJECT=object.so says where the subject is\n", dlerror());
        exit(2);
    }
    the = entry();
#endif
    if (the->begin != NULL) {
        the->begin(&surroundings);
    }
}

__attribute__((unused)) static void library_end(void) {
    if (the->end != NULL) {
        the->end();
    }
    const char *complaint = the->complaint != NULL ? the->complaint() : NULL;
    if (complaint != NULL) {
        broken(complaint, "the subject itself says so");
    }
}

static inline unsigned memory_create(memory *m, const struct wish *w) {
    struct subject_memory_config config = {
        .type = {w->min_pages, w->max_pages, w->shared},
        .style = (enum subject_style_choice)w->style,
        .bound_pages = w->bound_pages,
        .static_guard_bytes = w->static_guard_bytes,
        .dynamic_guard_bytes = w->dynamic_guard_bytes,
        .record = w->record,
        .image = w->image,
        .image_bytes = w->image_bytes,
        .huge_pages = w->huge_pages,
        .populate = w->populate,
        .waiters_max = w->waiters_max,
        .reserve_pages_max = w->reserve_pages_max,
        .budgeted = w->budgeted,
        .fall_back = w->fall_back,
    };
    while (config.strategy + 1 < the->memory->strategies &&
           strcmp(the->memory->strategy[config.strategy].name, w->strategy) != 0) {
        config.strategy++;
    }
    return 1u << the->memory->create(&config, m);
}

static inline unsigned memory_pin(void **pin, memory m, uint64_t start, uint64_t count) {
    const uint8_t *bytes;
    return 1u << the->memory->pin(m, start, count, pin, &bytes);
}

static inline void memory_unpin(void *pin) {
    the->memory->unpin(pin);
}

static inline void memory_budget(uint64_t max_bytes) {
    the->memory->budget(max_bytes);
}

static inline uint64_t memory_budget_used(void) {
    return the->memory->budget_used();
}

static inline unsigned memory_segments(memory m, const struct active *a, size_t n,
                                       uint64_t *applied) {
    struct subject_active_segment s[8];
    size_t done = 99;
    for (size_t i = 0; i < n; i++) {
        s[i] = (struct subject_active_segment){a[i].start, {pattern() + a[i].from, a[i].count}};
    }
    unsigned status = 1u << the->memory->initialise_segments(m, s, n, &done);
    *applied = done;
    return status;
}

/* Answers of other widths than the program's. */
#define WITH(type, call)                  \
    __extension__({                       \
        type value = (type)0xDEADBEEF;    \
        unsigned answered = 1u << (call); \
        answer = value;                   \
        answered;                         \
    })
#define memory_destroy(m) the->memory->destroy(m)
#define memory_grow(m, pages, old) WITH(uint32_t, the->memory->grow(m, pages, &value))
#define memory_to_shared(m) (1u << the->memory->to_shared(m))
#define memory_clone(m, to) (1u << the->memory->clone(m, to))
#define memory_copy(m, to) (1u << the->memory->copy(m, to))
#define memory_reset(m) (1u << the->memory->reset(m))
#define memory_load(m, i, o, w, v) (1u << the->memory->load(m, i, o, w, v))
#define memory_store(m, i, o, w, v) (1u << the->memory->store(m, i, o, w, v))
#define memory_atomic_load(m, i, o, w, v) (1u << (the->memory->atomic_load)(m, i, o, w, v))
#define memory_atomic_store(m, i, o, w, v) (1u << (the->memory->atomic_store)(m, i, o, w, v))
#define memory_atomic_rmw(m, k, i, o, w, v, old) \
    (1u << the->memory->atomic_rmw(m, (enum subject_rmw)(k), i, o, w, v, old))
#define memory_atomic_cmpxchg(m, i, o, w, e, v, old) \
    (1u << the->memory->atomic_cmpxchg(m, i, o, w, e, v, old))
#define memory_bulk_copy(m, to, from, n) (1u << the->memory->bulk_copy(m, to, from, n))
#define memory_bulk_fill(m, at, v, n) (1u << the->memory->bulk_fill(m, at, v, n))
#define memory_bulk_init(m, data, length, at, from, n) \
    (1u << the->memory->bulk_init(m, &(struct subject_segment){data, length}, at, from, n))
#define memory_initialise(m, at, data, n) (1u << the->memory->initialise(m, at, data, n))
#define memory_read(m, at, to, n) (1u << the->memory->read(m, at, to, n))
#define memory_wait32(m, at, e, t, r) WITH(unsigned, the->memory->wait32(m, at, e, t, &value))
#define memory_wait64(m, at, e, t, r) WITH(unsigned, the->memory->wait64(m, at, e, t, &value))
#define memory_notify(m, at, n, r) WITH(uint32_t, the->memory->notify(m, at, n, &value))
#define memory_disable_atomics(m) the->memory->disable_atomics(m)
#define memory_size_pages(m) the->memory->size_pages(m)
#define memory_size_bytes(m) the->memory->size_bytes(m)
#define memory_length(m) atomic_load(&the->memory->record(m)->length_bytes)
#define memory_waiters(m) the->memory->waiters(m)
#define same_type(t, pages, max, is_shared, rule)      \
    do {                                               \
        struct subject_type is = the->memory->type(t); \
        same(is.min_pages, pages, rule);               \
        same(is.max_pages, max, rule);                 \
        same(is.shared, is_shared, rule);              \
    } while (0)
#define memory_type(m) m

/* Where bytes are, or a copy of them where the subject has no address to give. */
static inline const void *memory_at(memory m, uint64_t at, uint64_t count) {
    if (the->memory->promises & SUBJECT_OPAQUE) {
        return count > 0 && the->memory->read(m, at, room, count) == SUBJECT_OK ? room : NULL;
    }
    return atomic_load(&the->memory->record(m)->base) + at;
}

static inline unsigned mailbox_attach(mailbox *b, int ground, uint32_t pages, uint32_t offset,
                                      uint32_t capacity, uint32_t cursor, bool spill,
                                      uint32_t spill_max) {
    const struct subject_mailbox_config config = {.ground = (enum subject_ground)ground,
                                                  .pages = pages,
                                                  .offset = offset,
                                                  .capacity = capacity,
                                                  .first_cursor = cursor,
                                                  .spill = spill,
                                                  .spill_max = spill_max};
    return 1u << the->mailbox->attach(&config, b);
}

static inline unsigned mailbox_attach_beside(mailbox first, mailbox *b, uint32_t offset,
                                             uint32_t capacity, bool spill, uint32_t spill_max) {
    const struct subject_mailbox_config config = {.beside = first,
                                                  .offset = offset,
                                                  .capacity = capacity,
                                                  .spill = spill,
                                                  .spill_max = spill_max};
    return 1u << the->mailbox->attach(&config, b);
}

static inline void guest_flush(void *box) {
    uint32_t left;
    if (the->mailbox->flush != NULL) {
        (void)the->mailbox->flush(box, &left);
    }
}

#define LIBRARY_SLEEPS
static inline int library_guest_sleep(void *box, _Atomic uint32_t *flag, uint32_t expected,
                                      int64_t timeout_ns) {
    (void)flag;
    return the->mailbox->guest_wait != NULL ? the->mailbox->guest_wait(box, expected, timeout_ns)
                                            : 0;
}

static inline uint64_t mailbox_park(mailbox b, void (*meanwhile)(void), int64_t timeout_ns) {
    const struct subject_guest_host host = {guest_wait, guest_flush, b};
    meanwhile_now = meanwhile;
    looks = 0;
    return the->mailbox->park(b, &host, timeout_ns);
}

static inline uint64_t mailbox_close(mailbox b) {
    uint32_t dropped = 0;
    the->mailbox->close(b, &dropped);
    return dropped;
}

static inline struct subject_words *words(mailbox b, uint8_t **at, uint64_t *bytes) {
    return the->mailbox->words(b, at, bytes);
}

static inline uint8_t *mailbox_memory(mailbox b) {
    uint8_t *at;
    uint64_t bytes;
    (void)words(b, &at, &bytes);
    return at;
}

static inline struct subject_words *mailbox_region(mailbox b) {
    uint8_t *at;
    uint64_t bytes;
    return words(b, &at, &bytes);
}

#define mailbox_release(b) the->mailbox->release(b)
#define mailbox_enqueue(b, id) (1u << the->mailbox->enqueue(b, id))
#define mailbox_drain(b, take) (ids_begin(), the->mailbox->drain(b, take, NULL))
#define mailbox_flush(b, left) WITH(uint32_t, the->mailbox->flush(b, &value))
#define mailbox_is_signalled(b) the->mailbox->is_signalled(b)
#define mailbox_wait_for_signal(b, t) (1u << the->mailbox->wait_for_signal(b, t))
#define mailbox_hold(b) the->mailbox->hold(b)
#define mailbox_move(b, pages, old) WITH(uint32_t, the->mailbox->move(b, pages, &value))
#define mailbox_unhold(b) (1u << the->mailbox->unhold(b))
#define mailbox_lose(b) (1u << the->mailbox->lose(b))
#define mailbox_grow(b, pages, old) WITH(uint32_t, the->mailbox->grow(b, pages, &value))
#define mailbox_is_closed(b) the->mailbox->is_closed(b)
#define mailbox_in_ring(b) (uint32_t)(mailbox_region(b)->tail - mailbox_region(b)->head)
#define mailbox_region_bytes(b) (16 + 4 * (size_t)kept_capacity(b))
#define kept_capacity(b) mailbox_region(b)->capacity
#define waker_create(b, id, w) (1u << the->mailbox->waker_create(b, id, w))
#define waker_clone(w) the->mailbox->waker_clone(w)
#define waker_wake(w) (1u << the->mailbox->waker_wake(w))
#define waker_drop(w) the->mailbox->waker_drop(w)
