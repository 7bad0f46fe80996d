/* operations.c: one executor per operation: its arguments, and the call of the subject. See call.h.
 *
 * It checks nothing and leaves nothing out; runners and judges do. */
#include "call.h"

#include "model.h"
#include "note.h"

#include <string.h>

const char *call_status_name(enum subject_status status) {
    static const char *const names[SUBJECT_STATUS_COUNT] = {
        "ok",         "invalid",       "limit",      "no memory",        "unsupported",
        "not shared", "out of bounds", "misaligned", "too many waiters", "disabled",
        "full",       "closed",        "timed out",  "system error",     "refused",
        "cancelled",  "pinned",        "in use"};
    return (unsigned)status < SUBJECT_STATUS_COUNT ? names[status] : "no status at all";
}

/* ---- Arguments --------------------------------------------------------------------------------
 */

static uint64_t address(const struct call *c, uint64_t argument) {
    return op_address(argument, c->size_bytes);
}

/* Splits an address into index + offset, as the instructions take it. */
static void access_arguments(struct call *c, uint64_t at, uint64_t offset, uint64_t width) {
    static const unsigned widths[WORD_width_count] = {1, 2, 4, 8, 3};
    uint64_t to = address(c, at);
    bool beyond = to > UINT32_MAX && to <= UINT64_C(2) * UINT32_MAX;
    c->index = beyond ? UINT32_MAX : (uint32_t)to;
    uint64_t rest = offset + (c->index == UINT32_MAX ? to - UINT32_MAX : 0);
    c->offset = rest > UINT32_MAX ? UINT32_MAX : (uint32_t)rest;
    c->width = widths[width];
    c->at = (uint64_t)c->index + c->offset;
}

/* Compiled code has no width that does not exist. */
static void guest_arguments(struct call *c, uint64_t at, uint64_t width) {
    access_arguments(c, at, 0, width);
    c->at = address(c, at);
    c->width = c->width == 3 ? 1 : c->width;
}

static void segments_arguments(struct call *c, const struct op *op) {
    for (size_t n = 0; n < CALL_SEGMENTS; n++) {
        c->active[n].start = address(c, op->arg.raw[1 + 2 * n]);
        c->active[n].segment.data = model_pattern() + 100 * n;
        c->active[n].segment.length_bytes = op->arg.raw[2 + 2 * n];
    }
}

static void wait_arguments(struct call *c, uint64_t at, unsigned width, uint64_t expected,
                           uint64_t timeout_ns) {
    c->at = address(c, at);
    c->width = width;
    c->expected = expected;
    c->timeout_ns = (int64_t)timeout_ns;
}

static void bulk_arguments(struct call *c, uint64_t at, uint64_t from, uint64_t count) {
    c->at = (uint32_t)address(c, at);
    c->from = (uint32_t)from;
    c->count = (uint32_t)count;
}

void operation_arguments(struct call *c, const struct op *op, uint64_t size_bytes,
                         struct subject_segment *segment) {
    uint8_t *room = c->room;
    const struct call given = *c;
    *c = (struct call){.code = op->code, .thread = op->thread, .size_bytes = size_bytes};
    c->room = room;
    c->canceller = given.canceller;
    c->canceller_of = given.canceller_of;
    switch (op->code) {
    case OP_memory_grow:
        c->pages = (uint32_t)op->arg.memory_grow.pages;
        break;
    case OP_memory_load:
        access_arguments(c, op->arg.memory_load.at, op->arg.memory_load.offset,
                         op->arg.memory_load.width);
        break;
    case OP_memory_store:
        access_arguments(c, op->arg.memory_store.at, op->arg.memory_store.offset,
                         op->arg.memory_store.width);
        c->value = op->arg.memory_store.value;
        break;
    case OP_memory_atomic_load:
        access_arguments(c, op->arg.memory_atomic_load.at, op->arg.memory_atomic_load.offset,
                         op->arg.memory_atomic_load.width);
        break;
    case OP_memory_atomic_store:
        access_arguments(c, op->arg.memory_atomic_store.at, op->arg.memory_atomic_store.offset,
                         op->arg.memory_atomic_store.width);
        c->value = op->arg.memory_atomic_store.value;
        break;
    case OP_memory_atomic_rmw:
        access_arguments(c, op->arg.memory_atomic_rmw.at, op->arg.memory_atomic_rmw.offset,
                         op->arg.memory_atomic_rmw.width);
        c->value = op->arg.memory_atomic_rmw.value;
        c->rmw = (enum subject_rmw)op->arg.memory_atomic_rmw.kind;
        break;
    case OP_memory_atomic_cmpxchg:
        access_arguments(c, op->arg.memory_atomic_cmpxchg.at, op->arg.memory_atomic_cmpxchg.offset,
                         op->arg.memory_atomic_cmpxchg.width);
        c->value = op->arg.memory_atomic_cmpxchg.value;
        c->expected = op->arg.memory_atomic_cmpxchg.expected;
        break;
    case OP_guest_load:
        guest_arguments(c, op->arg.guest_load.at, op->arg.guest_load.width);
        break;
    case OP_guest_store:
        guest_arguments(c, op->arg.guest_store.at, op->arg.guest_store.width);
        c->value = op->arg.guest_store.value;
        break;
    case OP_memory_bulk_copy:
        bulk_arguments(c, op->arg.memory_bulk_copy.to, address(c, op->arg.memory_bulk_copy.from),
                       op->arg.memory_bulk_copy.count);
        break;
    case OP_memory_bulk_fill:
        bulk_arguments(c, op->arg.memory_bulk_fill.at, 0, op->arg.memory_bulk_fill.count);
        c->value = (uint8_t)op->arg.memory_bulk_fill.value;
        break;
    case OP_memory_bulk_init:
        bulk_arguments(c, op->arg.memory_bulk_init.at, op->arg.memory_bulk_init.from,
                       op->arg.memory_bulk_init.count);
        c->segment = &segment[op->arg.memory_bulk_init.s];
        break;
    case OP_memory_initialise:
        c->at = address(c, op->arg.memory_initialise.at);
        c->count = op->arg.memory_initialise.count;
        c->data = model_pattern();
        break;
    case OP_memory_segments:
        segments_arguments(c, op);
        break;
    case OP_memory_read:
        c->at = address(c, op->arg.memory_read.at);
        c->count = op->arg.memory_read.count;
        break;
    case OP_memory_wait32:
        wait_arguments(c, op->arg.memory_wait32.at, 4, (uint32_t)op->arg.memory_wait32.expected,
                       op->arg.memory_wait32.timeout_ns);
        break;
    case OP_memory_wait64:
        wait_arguments(c, op->arg.memory_wait64.at, 8, op->arg.memory_wait64.expected,
                       op->arg.memory_wait64.timeout_ns);
        break;
    case OP_memory_wait_cancellable:
    case OP_memory_wait_by: /* the first arguments are the same */
        wait_arguments(c, op->arg.memory_wait_cancellable.at, 4,
                       (uint32_t)op->arg.memory_wait_cancellable.expected,
                       op->arg.memory_wait_cancellable.timeout_ns);
        break;
    case OP_memory_notify:
        wait_arguments(c, op->arg.memory_notify.at, 4, 0, 0);
        c->count = (uint32_t)op->arg.memory_notify.count;
        break;
    case OP_memory_owner_of:
        c->at = address(c, op->arg.memory_owner_of.at);
        break;
    case OP_memory_probe:
        c->at = address(c, op->arg.memory_probe.at) & ~UINT64_C(7);
        break;
    case OP_mailbox_enqueue:
        c->count = op->arg.mailbox_enqueue.count;
        break;
    case OP_mailbox_enqueue_id:
        c->id = op->arg.mailbox_enqueue_id.id;
        break;
    case OP_mailbox_wait_for_signal:
        c->timeout_ns = (int64_t)op->arg.mailbox_wait_for_signal.timeout_ns;
        break;
    case OP_mailbox_move:
        c->pages = (uint32_t)op->arg.mailbox_move.pages;
        break;
    case OP_mailbox_grow:
        c->pages = (uint32_t)op->arg.mailbox_grow.pages;
        break;
    case OP_waker_create:
        c->id = op->arg.waker_create.id;
        break;
    case OP_guest_park:
        c->timeout_ns = (int64_t)op->arg.guest_park.timeout_ns;
        break;
    default:
        break;
    }
}

struct subject_mailbox_config operation_attach(const struct subject_mailbox *b,
                                               const struct op *op) {
    enum { FRONT = 128, ODD = FRONT + 2, WORD_BYTES = 4 };
    struct subject_mailbox_config config = {
        .ground = (enum subject_ground)op->arg.mailbox_attach.ground,
        .pages = (uint32_t)op->arg.mailbox_attach.pages,
        .capacity = (uint32_t)op->arg.mailbox_attach.capacity,
        .first_cursor = (uint32_t)op->arg.mailbox_attach.cursor,
        .spill = op->arg.mailbox_attach.full == WORD_full_spill,
        .spill_max = (uint32_t)op->arg.mailbox_attach.spill,
    };
    uint32_t slots = config.capacity == 0 ? b->capacity : config.capacity;
    uint64_t size = config.pages * SUBJECT_PAGE_BYTES, bytes = operation_region_bytes(slots);
    uint32_t back = size > bytes ? (uint32_t)(size - bytes) : 0;
    switch (op->arg.mailbox_attach.region) {
    case WORD_region_front:
        config.offset = FRONT;
        break;
    case WORD_region_back:
        config.offset = back;
        break;
    case WORD_region_odd:
        config.offset = ODD;
        break;
    case WORD_region_past:
        config.offset = back + WORD_BYTES;
        break;
    case WORD_region_top: /* its end is past 4 GiB */
        config.offset = UINT32_MAX - WORD_BYTES + 1;
        break;
    default:
        break;
    }
    return config;
}

struct subject_mailbox_config operation_attach_beside(const struct subject_mailbox *b,
                                                      const struct op *op,
                                                      const struct subject_mailbox_config *first) {
    enum { WORD_BYTES = 4, FAR_BYTES = 932 };
    struct subject_mailbox_config config = {
        .ground = first->ground,
        .pages = first->pages,
        .offset = first->offset,
        .capacity = (uint32_t)op->arg.mailbox_attach_beside.capacity,
        .spill =
            op->arg.mailbox_attach_beside.full == WORD_full_spill && (b->promises & SUBJECT_SPILLS),
        .spill_max = (uint32_t)op->arg.mailbox_attach_beside.spill,
    };
    uint32_t slots = config.capacity == 0 ? b->capacity : config.capacity;
    uint32_t bytes = (uint32_t)operation_region_bytes(slots);
    uint32_t first_slots = first->capacity == 0 ? b->capacity : first->capacity;
    uint32_t first_bytes = (uint32_t)operation_region_bytes(first_slots);
    const uint32_t by[WORD_place_count] = {
        [WORD_place_next] = first_bytes,
        [WORD_place_before] = 0 - bytes,
        [WORD_place_over] = first_bytes - WORD_BYTES,
        [WORD_place_under] = WORD_BYTES - bytes,
        [WORD_place_inside] = WORD_BYTES,
        [WORD_place_far] = first_bytes < FAR_BYTES ? FAR_BYTES : first_bytes,
    };
    config.offset += by[op->arg.mailbox_attach_beside.place];
    return config;
}

uint64_t operation_region_bytes(uint32_t capacity) {
    return sizeof(struct subject_words) + sizeof(uint32_t) * (uint64_t)capacity;
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

typedef void memory_call(const struct subject_memory *m, void *memory, struct call *c);

static void grow(const struct subject_memory *m, void *memory, struct call *c) {
    uint32_t old = (uint32_t)CALL_UNSET;
    c->pages_before = m->size_pages(memory);
    c->status = m->grow(memory, c->pages, &old);
    c->pages_after = m->size_pages(memory);
    c->answer = old;
    uint64_t pages = (uint64_t)old + c->pages, last = pages * SUBJECT_PAGE_BYTES - 1, value;
    c->last_byte = SUBJECT_OK;
    if (c->tries_last_byte && c->status == SUBJECT_OK && pages > 0 && pages <= SUBJECT_PAGES_MAX &&
        m->load != NULL) {
        c->last_byte = m->load(memory, (uint32_t)last, 0, 1, &value);
    }
}

static void copy(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->copy(memory, &c->made);
}

static void clone(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->clone(memory, &c->made);
}

static void to_shared(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->to_shared(memory);
}

static void reset(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->reset(memory);
}

static void load(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->load(memory, c->index, c->offset, c->width, &c->answer);
}

static void store(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->store(memory, c->index, c->offset, c->width, c->value);
}

static void atomic_load_(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = (m->atomic_load)(memory, c->index, c->offset, c->width, &c->answer);
}

static void atomic_store_(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = (m->atomic_store)(memory, c->index, c->offset, c->width, c->value);
}

static void atomic_rmw(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->atomic_rmw(memory, c->rmw, c->index, c->offset, c->width, c->value, &c->answer);
}

static void atomic_cmpxchg(const struct subject_memory *m, void *memory, struct call *c) {
    c->status =
        m->atomic_cmpxchg(memory, c->index, c->offset, c->width, c->expected, c->value, &c->answer);
}

/* Compiled code reads base and length from the record each time, and traps past the length. */
static uint8_t *guest_at(const struct subject_memory *m, void *memory, const struct call *c) {
    return atomic_load_explicit(&m->record(memory)->base, memory_order_relaxed) + c->at;
}

static void guest_load(const struct subject_memory *m, void *memory, struct call *c) {
    const uint8_t *at = guest_at(m, memory, c);
    c->answer = 0;
    note((struct note){.kind = NOTE_PEEK, .memory = memory, .at = c->at, .count = c->width});
    for (unsigned i = 0; i < c->width; i++) {
        c->answer |= (uint64_t)at[i] << 8 * i;
    }
}

static void guest_store(const struct subject_memory *m, void *memory, struct call *c) {
    uint8_t *at = guest_at(m, memory, c);
    note((struct note){
        .kind = NOTE_POKE, .memory = memory, .at = c->at, .count = c->width, .must = c->value});
    for (unsigned i = 0; i < c->width; i++) {
        at[i] = (uint8_t)(c->value >> 8 * i);
    }
}

static void bulk_copy(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->bulk_copy(memory, (uint32_t)c->at, (uint32_t)c->from, (uint32_t)c->count);
}

static void bulk_fill(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->bulk_fill(memory, (uint32_t)c->at, (uint8_t)c->value, (uint32_t)c->count);
}

static void bulk_init(const struct subject_memory *m, void *memory, struct call *c) {
    c->status =
        m->bulk_init(memory, c->segment, (uint32_t)c->at, (uint32_t)c->from, (uint32_t)c->count);
}

static void initialise(const struct subject_memory *m, void *memory, struct call *c) {
    c->status = m->initialise(memory, c->at, c->data, c->count);
}

static void segments(const struct subject_memory *m, void *memory, struct call *c) {
    c->applied = CALL_SEGMENTS + 1;
    c->status = m->initialise_segments(memory, c->active, CALL_SEGMENTS, &c->applied);
}

static void read_bytes(const struct subject_memory *m, void *memory, struct call *c) {
    memset(c->room, 0xA5, c->count < CALL_ROOM_BYTES ? (size_t)c->count : CALL_ROOM_BYTES);
    c->status = m->read(memory, c->at, c->room, c->count);
}

static void wait32(const struct subject_memory *m, void *memory, struct call *c) {
    unsigned result = (unsigned)CALL_UNSET;
    c->status = m->wait32(memory, c->at, (uint32_t)c->expected, c->timeout_ns, &result);
    c->answer = result;
}

static void wait64(const struct subject_memory *m, void *memory, struct call *c) {
    unsigned result = (unsigned)CALL_UNSET;
    c->status = m->wait64(memory, c->at, c->expected, c->timeout_ns, &result);
    c->answer = result;
}

static void wait_cancellable(const struct subject_memory *m, void *memory, struct call *c) {
    unsigned result = (unsigned)CALL_UNSET;
    c->status = m->cancellable_wait32(memory, c->at, (uint32_t)c->expected, c->timeout_ns,
                                      c->canceller, &result);
    c->answer = result;
}

static void notify(const struct subject_memory *m, void *memory, struct call *c) {
    uint32_t woken = (uint32_t)CALL_UNSET;
    c->status = m->notify(memory, c->at, (uint32_t)c->count, &woken);
    c->answer = woken;
}

static void disable(const struct subject_memory *m, void *memory, struct call *c) {
    m->disable_atomics(memory);
    c->status = SUBJECT_OK;
}

static void owner_of(const struct subject_memory *m, void *memory, struct call *c) {
    const struct subject_record *record = m->record == NULL ? NULL : m->record(memory);
    const uint8_t *base =
        record == NULL ? NULL : atomic_load_explicit(&record->base, memory_order_relaxed);
    c->yes = base != NULL && m->owner_of((const void *)((uintptr_t)base + c->at), &c->owner);
}

static void nothing(const struct subject_memory *m, void *memory, struct call *c) {
    (void)m;
    (void)memory;
    (void)c;
}

/* True if the subject has the function that an operation on a memory's handle needs. */
#define NEEDS(function) offsetof(struct subject_memory, function)
static const struct {
    memory_call *make;
    size_t needs;
} memory_operations[256] = {
    [OP_memory_grow] = {grow, NEEDS(grow)},
    [OP_memory_copy] = {copy, NEEDS(copy)},
    [OP_memory_clone] = {clone, NEEDS(clone)},
    [OP_memory_to_shared] = {to_shared, NEEDS(to_shared)},
    [OP_memory_reset] = {reset, NEEDS(reset)},
    [OP_memory_load] = {load, NEEDS(load)},
    [OP_memory_store] = {store, NEEDS(store)},
    [OP_memory_atomic_load] = {atomic_load_, NEEDS(atomic_load)},
    [OP_memory_atomic_store] = {atomic_store_, NEEDS(atomic_store)},
    [OP_memory_atomic_rmw] = {atomic_rmw, NEEDS(atomic_rmw)},
    [OP_memory_atomic_cmpxchg] = {atomic_cmpxchg, NEEDS(atomic_cmpxchg)},
    [OP_guest_load] = {guest_load, NEEDS(record)},
    [OP_guest_store] = {guest_store, NEEDS(record)},
    [OP_memory_bulk_copy] = {bulk_copy, NEEDS(bulk_copy)},
    [OP_memory_bulk_fill] = {bulk_fill, NEEDS(bulk_fill)},
    [OP_memory_bulk_init] = {bulk_init, NEEDS(bulk_init)},
    [OP_memory_initialise] = {initialise, NEEDS(initialise)},
    [OP_memory_segments] = {segments, NEEDS(initialise_segments)},
    [OP_memory_read] = {read_bytes, NEEDS(read)},
    [OP_memory_wait32] = {wait32, NEEDS(wait32)},
    [OP_memory_wait64] = {wait64, NEEDS(wait64)},
    [OP_memory_notify] = {notify, NEEDS(notify)},
    [OP_memory_wait_cancellable] = {wait_cancellable, NEEDS(cancellable_wait32)},
    [OP_memory_wait_by] = {wait_cancellable, NEEDS(cancellable_wait32)},
    [OP_memory_disable_atomics] = {disable, NEEDS(disable_atomics)},
    [OP_memory_owner_of] = {owner_of, NEEDS(owner_of)},
    [OP_memory_probe] = {nothing, NEEDS(record)},
};

static bool is_there(const void *table, size_t at) {
    void (*function)(void);
    memcpy(&function, (const char *)table + at, sizeof function);
    return function != NULL;
}

bool operation_of_memory(const struct subject_memory *m, uint8_t code) {
    return m != NULL && memory_operations[code].make != NULL &&
           is_there(m, memory_operations[code].needs);
}

bool operation_is_idle(const struct subject_memory *m, uint8_t code) {
    const bool is_fault = code == OP_fault || code == OP_fault_at;
    if (is_fault) { /* they reach neither another process nor a library's own calls */
        return (m->promises & SUBJECT_OPAQUE) != 0;
    }
    return memory_operations[code].make != NULL && !operation_of_memory(m, code);
}

void operation_make(const struct subject_memory *m, void *memory, struct call *c) {
    c->answer = CALL_UNSET;
    c->made = NULL;
    memory_operations[c->code].make(m, memory, c);
}

/* ---- Mailbox ----------------------------------------------------------------------------------
 */

typedef void mailbox_call(const struct subject_mailbox *b, void *handle, struct call *c,
                          const struct call_guest *guest);

static void release(const struct subject_mailbox *b, void *handle, struct call *c,
                    const struct call_guest *guest) {
    (void)c;
    (void)guest;
    b->release(handle);
}

static void enqueue(const struct subject_mailbox *b, void *handle, struct call *c,
                    const struct call_guest *guest) {
    (void)guest;
    c->status = b->enqueue(handle, c->id);
}

static void flush(const struct subject_mailbox *b, void *handle, struct call *c,
                  const struct call_guest *guest) {
    uint32_t left = (uint32_t)CALL_UNSET;
    (void)guest;
    c->status = b->flush(handle, &left);
    c->answer = left;
}

static void is_signalled(const struct subject_mailbox *b, void *handle, struct call *c,
                         const struct call_guest *guest) {
    (void)guest;
    c->yes = b->is_signalled(handle);
}

static void wait_for_signal(const struct subject_mailbox *b, void *handle, struct call *c,
                            const struct call_guest *guest) {
    (void)guest;
    c->status = b->wait_for_signal(handle, c->timeout_ns);
}

static void hold(const struct subject_mailbox *b, void *handle, struct call *c,
                 const struct call_guest *guest) {
    (void)c;
    (void)guest;
    b->hold(handle);
}

static void move(const struct subject_mailbox *b, void *handle, struct call *c,
                 const struct call_guest *guest) {
    uint32_t old = (uint32_t)CALL_UNSET;
    (void)guest;
    c->status = b->move(handle, c->pages, &old);
    c->answer = old;
}

static void unhold(const struct subject_mailbox *b, void *handle, struct call *c,
                   const struct call_guest *guest) {
    (void)guest;
    c->status = b->unhold(handle);
}

static void grow_under(const struct subject_mailbox *b, void *handle, struct call *c,
                       const struct call_guest *guest) {
    uint32_t old = (uint32_t)CALL_UNSET;
    (void)guest;
    c->status = b->grow(handle, c->pages, &old);
    c->answer = old;
}

static void close_box(const struct subject_mailbox *b, void *handle, struct call *c,
                      const struct call_guest *guest) {
    uint32_t dropped = (uint32_t)CALL_UNSET;
    (void)guest;
    b->close(handle, &dropped);
    c->answer = dropped;
}

static void create_waker(const struct subject_mailbox *b, void *handle, struct call *c,
                         const struct call_guest *guest) {
    (void)guest;
    c->status = b->waker_create(handle, c->id, &c->made);
}

static void clone_waker(const struct subject_mailbox *b, void *handle, struct call *c,
                        const struct call_guest *guest) {
    (void)guest;
    c->made = b->waker_clone(handle);
}

static void lose(const struct subject_mailbox *b, void *handle, struct call *c,
                 const struct call_guest *guest) {
    (void)guest;
    c->status = b->lose(handle);
}

static void wake(const struct subject_mailbox *b, void *handle, struct call *c,
                 const struct call_guest *guest) {
    (void)guest;
    c->status = b->waker_wake(handle);
}

static void drop_waker(const struct subject_mailbox *b, void *handle, struct call *c,
                       const struct call_guest *guest) {
    (void)c;
    (void)guest;
    b->waker_drop(handle);
}

static void drain(const struct subject_mailbox *b, void *handle, struct call *c,
                  const struct call_guest *guest) {
    c->answer = b->drain(handle, guest->take, guest->host.context);
}

static void park(const struct subject_mailbox *b, void *handle, struct call *c,
                 const struct call_guest *guest) {
    c->answer = b->park(handle, &guest->host, c->timeout_ns);
}

#undef NEEDS
#define NEEDS(function) offsetof(struct subject_mailbox, function)
static const struct {
    mailbox_call *make;
    size_t needs;
} mailbox_operations[256] = {
    [OP_mailbox_release] = {release, NEEDS(release)},
    [OP_mailbox_enqueue] = {enqueue, NEEDS(enqueue)},
    [OP_mailbox_enqueue_id] = {enqueue, NEEDS(enqueue)},
    [OP_mailbox_flush] = {flush, NEEDS(flush)},
    [OP_mailbox_is_signalled] = {is_signalled, NEEDS(is_signalled)},
    [OP_mailbox_wait_for_signal] = {wait_for_signal, NEEDS(wait_for_signal)},
    [OP_mailbox_hold] = {hold, NEEDS(hold)},
    [OP_mailbox_move] = {move, NEEDS(move)},
    [OP_mailbox_unhold] = {unhold, NEEDS(unhold)},
    [OP_mailbox_lose] = {lose, NEEDS(lose)},
    [OP_mailbox_grow] = {grow_under, NEEDS(grow)},
    [OP_mailbox_close] = {close_box, NEEDS(close)},
    [OP_waker_create] = {create_waker, NEEDS(waker_create)},
    [OP_waker_clone] = {clone_waker, NEEDS(waker_clone)},
    [OP_waker_wake] = {wake, NEEDS(waker_wake)},
    [OP_waker_drop] = {drop_waker, NEEDS(waker_drop)},
    [OP_guest_drain] = {drain, NEEDS(drain)},
    [OP_guest_park] = {park, NEEDS(park)},
};

bool operation_of_mailbox(const struct subject_mailbox *b, uint8_t code) {
    return b != NULL && mailbox_operations[code].make != NULL &&
           is_there(b, mailbox_operations[code].needs);
}

void operation_make_mailbox(const struct subject_mailbox *b, void *handle, struct call *c,
                            const struct call_guest *guest) {
    c->answer = CALL_UNSET;
    c->made = NULL;
    mailbox_operations[c->code].make(b, handle, c, guest);
}
