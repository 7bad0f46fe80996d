/* exec_mailbox.c: the operations of a mailbox: several producers and one consumer, one at a time.
 *
 * Ids are delivered exactly in the model's order, so R30, R32 and R33 are one comparison. Around
 * the region lies an apron of known bytes that the host must not touch (R38). Once a guest has
 * scribbled, what it is owed is suspended, and only the host's own safety is checked. */
#include "exec.h"

#include "fault.h"
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

#define BIT(status) (1u << SUBJECT_##status)
#define WANT (BIT(NO_MEMORY) | BIT(SYSTEM))

enum {
    APRON_BYTES = 64,
    APRON_BYTE = 0xA5,
    REGION_FRONT = 128, /* where word `front` puts the region */
    PAGES_MAX = 2,
    PAGES_SPARE = 4, /* how far the guest memory of a mailbox grows */
    SPILL_MAX = 512,
    WORK_ATTACH = 24,
    WORK_GROW = 60,
    WORK_PAGES = 60, /* not one page at first: memory that is not kept */
    IDS_A_WORK = 4,  /* enqueues that cost as much as touching a page */
    REGION_HEADER = 16,
    SLOT_BYTES = 4,
    CAPACITY_MAX = 32768
};

static const struct subject_mailbox *table(const struct exec *e) {
    return e->subject->mailbox;
}

/* A handle that may be used now: not released, not held. */
static bool is_open(const struct exec *e) {
    return table(e) != NULL && e->box.handle != NULL && !e->box.held;
}

static uint64_t region_bytes(uint32_t capacity) {
    return REGION_HEADER + (uint64_t)SLOT_BYTES * capacity;
}

static struct subject_words *words_of(struct exec *e, uint8_t **memory, uint64_t *bytes) {
    return table(e)->words == NULL || e->box.handle == NULL
               ? NULL
               : table(e)->words(e->box.handle, memory, bytes);
}

/* ---- Around the region ------------------------------------------------------------------------
 */

/* The apron's two ends, clipped to the memory as it was at first. */
static void aprons(const struct exec *e, uint64_t from[2], uint64_t to[2]) {
    uint64_t memory_bytes = e->box.config.pages * SUBJECT_PAGE_BYTES;
    uint64_t start = e->box.config.offset, end = start + region_bytes(e->box.capacity);
    from[0] = start < APRON_BYTES ? 0 : start - APRON_BYTES;
    to[0] = start;
    from[1] = end;
    to[1] = end + APRON_BYTES < memory_bytes ? end + APRON_BYTES : memory_bytes;
}

static void apron_lay(struct exec *e) {
    uint64_t from[2], to[2], bytes;
    uint8_t *memory;
    if (words_of(e, &memory, &bytes) != NULL) {
        aprons(e, from, to);
        memset(memory + from[0], APRON_BYTE, to[0] - from[0]);
        memset(memory + from[1], APRON_BYTE, to[1] - from[1]);
    }
}

static bool apron_is_whole(const struct exec *e, const uint8_t *memory) {
    uint8_t apron[APRON_BYTES];
    uint64_t from[2], to[2];
    memset(apron, APRON_BYTE, sizeof apron);
    aprons(e, from, to);
    return memcmp(memory + from[0], apron, to[0] - from[0]) == 0 &&
           memcmp(memory + from[1], apron, to[1] - from[1]) == 0;
}

/* All else of the first page is as zero as it was made: looked at where a guest was hostile. */
static bool rest_is_zero(const struct exec *e, const uint8_t *memory, uint64_t bytes) {
    static const uint8_t zeros[SUBJECT_PAGE_BYTES];
    uint64_t from[2], to[2];
    uint64_t page = bytes < SUBJECT_PAGE_BYTES ? bytes : SUBJECT_PAGE_BYTES;
    aprons(e, from, to);
    return memcmp(memory, zeros, from[0] < page ? from[0] : page) == 0 &&
           (to[1] >= page || memcmp(memory + to[1], zeros, page - to[1]) == 0);
}

/* The region as close left it: the host writes nothing more (R36). */
static void closed_keep(struct exec *e) {
    uint64_t bytes;
    uint8_t *memory;
    struct subject_words *words = words_of(e, &memory, &bytes);
    if (words != NULL && e->box.model.closed) {
        /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): a region is never empty */
        uint32_t *copy = realloc(e->box.closed, region_bytes(e->box.capacity));
        if (copy != NULL) {
            memcpy(copy, words, region_bytes(e->box.capacity));
            e->box.closed = copy;
        }
    }
}

/* After each of the host's operations. */
static const char *region_check(struct exec *e) {
    uint64_t bytes;
    uint8_t *memory;
    struct subject_words *words = words_of(e, &memory, &bytes);
    if (words == NULL) {
        return NULL;
    }
    if (!apron_is_whole(e, memory)) {
        return "R38-outside";
    }
    if (e->box.model.closed && e->box.closed != NULL &&
        memcmp(e->box.closed, words, region_bytes(e->box.capacity)) != 0) {
        return "R36-write-after-close";
    }
    if (e->box.wild) {
        return NULL;
    }
    uint32_t tail = atomic_load_explicit(&words->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&words->head, memory_order_relaxed);
    if (tail - head > e->box.capacity) {
        return "R33-capacity";
    }
    return tail - head == e->box.model.in_ring ? NULL : "R33-count";
}

static const char *closed_check(struct exec *e) {
    if (table(e)->is_closed != NULL && e->box.handle != NULL &&
        table(e)->is_closed(e->box.handle) != e->box.model.closed) {
        return "R36-closed";
    }
    return NULL;
}

static const char *both_checks(struct exec *e, const char *broken) {
    broken = broken != NULL ? broken : region_check(e);
    return broken != NULL ? broken : closed_check(e);
}

/* ---- Attach and release -----------------------------------------------------------------------
 */

static void wakers_drop(struct exec *e) {
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        if (e->box.waker[i] != NULL) {
            table(e)->waker_drop(e->box.waker[i]);
            e->box.waker[i] = NULL;
        }
    }
}

/* Gives all of the mailbox up. */
static const char *box_empty(struct exec *e) {
    struct box *box = &e->box;
    const char *broken = NULL;
    uint64_t bytes;
    uint8_t *memory;
    if (!box->used) {
        return NULL;
    }
    if (box->held && box->handle != NULL) {
        (void)table(e)->unhold(box->handle);
        box->held = false;
    }
    if (box->wild && e->broken == NULL && words_of(e, &memory, &bytes) != NULL &&
        !rest_is_zero(e, memory, bytes)) {
        broken = "R38-outside";
    }
    wakers_drop(e);
    if (box->handle != NULL) {
        table(e)->release(box->handle);
        box->handle = NULL;
    }
    free(box->closed);
    box->closed = NULL;
    box->used = false;
    e->crash_rule = NULL;
    return broken;
}

/* False when the region's place makes no sense to try. */
static bool place(struct subject_mailbox_config *config, uint64_t word, uint32_t capacity) {
    uint64_t size = config->pages * SUBJECT_PAGE_BYTES, bytes = region_bytes(capacity);
    uint64_t back = size > bytes ? size - bytes : 0;
    switch (word) {
    case WORD_region_front:
        config->offset = REGION_FRONT;
        break;
    case WORD_region_back:
        config->offset = (uint32_t)back;
        break;
    case WORD_region_odd:
        config->offset = REGION_FRONT + 2;
        break;
    case WORD_region_past:
        config->offset = (uint32_t)back + SLOT_BYTES;
        break;
    default:
        config->offset = 0;
    }
    return true;
}

/* A subject without a region has no place that could be wrong. */
static unsigned attach_statuses(const struct subject_mailbox_config *config, uint32_t capacity,
                                bool has_region, bool failed) {
    bool power = capacity != 0 && (capacity & (capacity - 1)) == 0 && capacity <= CAPACITY_MAX;
    uint64_t end = config->offset + region_bytes(capacity);
    unsigned errors = power ? 0 : BIT(INVALID);
    if (has_region) {
        errors |= config->offset % SLOT_BYTES == 0 ? 0 : BIT(MISALIGNED);
        errors |= end <= config->pages * SUBJECT_PAGE_BYTES ? 0 : BIT(OUT_OF_BOUNDS);
    }
    if (errors == 0) {
        errors = BIT(OK) | BIT(UNSUPPORTED); /* a ground that the subject does not have */
    }
    return errors | (failed ? WANT : 0);
}

const char *exec_mailbox_attach(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    uint64_t capacity = op->arg.mailbox_attach.capacity;
    struct subject_mailbox_config config = {
        .ground = (enum subject_ground)op->arg.mailbox_attach.ground,
        .pages = (uint32_t)op->arg.mailbox_attach.pages,
        .capacity = (uint32_t)capacity,
        .first_cursor = (uint32_t)op->arg.mailbox_attach.cursor,
        .spill = op->arg.mailbox_attach.full == WORD_full_spill,
        .spill_max = (uint32_t)op->arg.mailbox_attach.spill,
    };
    if (table(e) == NULL || config.pages > PAGES_MAX || config.spill_max > SPILL_MAX ||
        (config.spill && !(table(e)->promises & SUBJECT_SPILLS)) ||
        !exec_afford(e, WORK_ATTACH + (config.pages != 1 ? WORK_PAGES : 0))) {
        return NULL;
    }
    const char *broken = box_empty(e);
    uint32_t slots = capacity == 0 ? table(e)->capacity : (uint32_t)capacity;
    if (broken != NULL || !place(&config, op->arg.mailbox_attach.region, slots)) {
        return broken;
    }
    void *handle = NULL;
    unsigned faults = fault_count();
    enum subject_status got = table(e)->attach(&config, &handle);
    broken = oracle_status_in(
        e, got, attach_statuses(&config, slots, table(e)->words != NULL, fault_count() != faults),
        "R38-attach");
    if (got != SUBJECT_OK) {
        return broken;
    }
    box->handle = handle;
    box->used = true;
    box->held = box->wild = false;
    box->config = config;
    box->capacity = slots;
    box->pages = config.pages;
    box->broken = NULL;
    uint32_t unusable = table(e)->slots_unusable;
    model_mailbox_attach(&box->model, slots > unusable ? slots - unusable : 0, config.spill,
                         config.spill_max);
    if (broken != NULL) {
        return broken; /* accepted what is no place for a region: nothing to look at there */
    }
    apron_lay(e);
    return region_check(e);
}

const char *exec_mailbox_release(struct exec *e, const struct op *op) {
    (void)op;
    if (is_open(e)) {
        table(e)->release(e->box.handle);
        e->box.handle = NULL;
    }
    return NULL;
}

/* ---- Enqueue ----------------------------------------------------------------------------------
 */

/* What an enqueue of a sound id answered, by mailbox or waker; the model follows. */
static const char *enqueue_check(struct exec *e, uint64_t id, enum subject_status got,
                                 bool failed) {
    struct box *box = &e->box;
    bool tells = table(e)->promises & SUBJECT_TELLS_FULL;
    if (box->wild) {
        return oracle_status_in(e, got, BIT(OK) | BIT(FULL) | BIT(CLOSED), "R38-status");
    }
    if (!box->model.closed && got != SUBJECT_OK && (failed || (!tells && got == SUBJECT_FULL))) {
        return NULL;
    }
    enum subject_status expected = model_enqueue(&box->model, id);
    return oracle_status(e, got, expected,
                         expected == SUBJECT_CLOSED ? "R36-enqueue-closed" : "R33-full");
}

static const char *enqueue(struct exec *e, uint64_t id) {
    unsigned faults = fault_count();
    enum subject_status got = table(e)->enqueue(e->box.handle, id);
    return enqueue_check(e, id, got, fault_count() != faults);
}

/* Each thread's ids are its own and grow, so that a lost, doubled or old one shows. */
static uint64_t next_id(struct exec *e, unsigned thread) {
    return ((uint64_t)thread + 1) << 24 | ++e->thread[thread].ids;
}

const char *exec_mailbox_enqueue(struct exec *e, const struct op *op) {
    const char *broken = NULL;
    uint64_t count = op->arg.mailbox_enqueue.count;
    if (!is_open(e) || !exec_afford(e, count / IDS_A_WORK)) {
        return NULL;
    }
    for (uint64_t i = 0; i < count && broken == NULL; i++) {
        broken = enqueue(e, next_id(e, op->thread));
    }
    return both_checks(e, broken);
}

/* R30: what is no id is refused before anything is written. */
static bool is_sound(const struct exec *e, uint64_t id) {
    return id != 0 && (id <= UINT32_MAX || !(table(e)->promises & SUBJECT_WIDE_IDS));
}

const char *exec_mailbox_enqueue_id(struct exec *e, const struct op *op) {
    uint64_t id = op->arg.mailbox_enqueue_id.id;
    if (!is_open(e) || (!(table(e)->promises & SUBJECT_WIDE_IDS) && (id == 0 || id > UINT32_MAX))) {
        return NULL;
    }
    if (!is_sound(e, id)) {
        enum subject_status got = table(e)->enqueue(e->box.handle, id);
        return both_checks(
            e, oracle_status_in(e, got, BIT(INVALID) | (e->box.model.closed ? BIT(CLOSED) : 0),
                                "R30-id"));
    }
    return both_checks(e, enqueue(e, id));
}

/* ---- The host's other operations --------------------------------------------------------------
 */

static const char *flush(struct exec *e) {
    struct box *box = &e->box;
    uint32_t left = UINT32_MAX;
    enum subject_status got = table(e)->flush(box->handle, &left);
    if (box->wild) {
        return oracle_status_in(e, got, BIT(OK) | BIT(CLOSED), "R38-status");
    }
    const char *broken =
        oracle_status(e, got, box->model.closed ? SUBJECT_CLOSED : SUBJECT_OK, "R36-flush-closed");
    if (broken == NULL && got == SUBJECT_OK && left != model_flush(&box->model)) {
        broken = "R33-flush";
    }
    return broken;
}

const char *exec_mailbox_flush(struct exec *e, const struct op *op) {
    (void)op;
    if (!is_open(e) || table(e)->flush == NULL) {
        return NULL;
    }
    return both_checks(e, flush(e));
}

const char *exec_mailbox_is_signalled(struct exec *e, const struct op *op) {
    (void)op;
    struct box *box = &e->box;
    if (!is_open(e) || table(e)->is_signalled == NULL) {
        return NULL;
    }
    bool signalled = table(e)->is_signalled(box->handle);
    if (box->wild) {
        return region_check(e);
    }
    bool expected = box->model.signalled && !box->model.closed;
    return signalled == expected ? region_check(e) : "R34-signal";
}

const char *exec_mailbox_wait_for_signal(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    int64_t timeout_ns = (int64_t)op->arg.mailbox_wait_for_signal.timeout_ns;
    if (!is_open(e) || table(e)->wait_for_signal == NULL) {
        return NULL;
    }
    if (box->wild) { /* nobody knows whether it would block */
        enum subject_status got = table(e)->wait_for_signal(box->handle, 0);
        return both_checks(
            e, oracle_status_in(e, got, BIT(OK) | BIT(CLOSED) | BIT(TIMED_OUT), "R38-status"));
    }
    if (!box->model.closed) {
        model_flush(&box->model);
    }
    enum subject_status expected = box->model.closed      ? SUBJECT_CLOSED
                                   : box->model.signalled ? SUBJECT_OK
                                                          : SUBJECT_TIMED_OUT;
    /* What would block is asked with a timeout that is over; the flush above happens all the same.
     */
    enum subject_status got =
        table(e)->wait_for_signal(box->handle, expected == SUBJECT_TIMED_OUT ? 0 : timeout_ns);
    return both_checks(e, oracle_status(e, got, expected, "R34-wait-for-signal"));
}

const char *exec_mailbox_hold(struct exec *e, const struct op *op) {
    (void)op;
    if (is_open(e) && table(e)->hold != NULL && table(e)->unhold != NULL) {
        table(e)->hold(e->box.handle);
        e->box.held = true;
    }
    return NULL;
}

/* What growth of the guest memory answers; the model's pages follow. */
static const char *grow_check(struct exec *e, uint32_t pages, enum subject_status got,
                              bool failed) {
    uint64_t spare = e->box.config.ground == SUBJECT_HEAP ? 0 : PAGES_SPARE;
    uint64_t room = e->box.config.pages + spare - e->box.pages;
    unsigned expected = pages > room ? BIT(LIMIT) | BIT(NO_MEMORY) : BIT(OK);
    expected |= e->box.model.closed ? BIT(CLOSED) : 0;
    if (got == SUBJECT_OK && pages <= room) {
        e->box.pages += pages;
    }
    return oracle_status_in(e, got, expected | (failed ? WANT : 0), "R37-grow");
}

const char *exec_mailbox_move(struct exec *e, const struct op *op) {
    uint32_t pages = (uint32_t)op->arg.mailbox_move.pages;
    if (table(e) == NULL || !e->box.held || table(e)->move == NULL || !exec_afford(e, WORK_GROW)) {
        return NULL;
    }
    unsigned faults = fault_count();
    enum subject_status got = table(e)->move(e->box.handle, pages);
    return grow_check(e, pages, got, fault_count() != faults);
}

const char *exec_mailbox_unhold(struct exec *e, const struct op *op) {
    (void)op;
    if (table(e) == NULL || !e->box.held) {
        return NULL;
    }
    e->box.held = false;
    enum subject_status got = table(e)->unhold(e->box.handle);
    return both_checks(e, oracle_status(e, got, SUBJECT_OK, "R37-unhold"));
}

static const char *grow(struct exec *e, uint32_t pages) {
    uint32_t before = e->box.pages, old = 99999;
    if (table(e)->grow == NULL || !exec_afford(e, WORK_GROW)) {
        return NULL;
    }
    unsigned faults = fault_count();
    enum subject_status got = table(e)->grow(e->box.handle, pages, &old);
    const char *broken = grow_check(e, pages, got, fault_count() != faults);
    if (broken == NULL && got == SUBJECT_OK && old != before) {
        broken = "R5-grow-result";
    }
    return both_checks(e, broken);
}

const char *exec_mailbox_grow(struct exec *e, const struct op *op) {
    return is_open(e) ? grow(e, (uint32_t)op->arg.mailbox_grow.pages) : NULL;
}

static const char *close_box(struct exec *e) {
    struct box *box = &e->box;
    uint32_t dropped = UINT32_MAX;
    bool was_closed = box->model.closed;
    table(e)->close(box->handle, &dropped);
    uint32_t expected = model_close(&box->model);
    const char *broken = !box->wild && dropped != expected ? "R36-dropped" : NULL;
    broken = both_checks(e, broken); /* closing once more writes nothing either */
    if (!was_closed) {
        closed_keep(e);
    }
    return broken;
}

const char *exec_mailbox_close(struct exec *e, const struct op *op) {
    (void)op;
    return is_open(e) && table(e)->close != NULL ? close_box(e) : NULL;
}

/* ---- Wakers -----------------------------------------------------------------------------------
 */

const char *exec_waker_create(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    uint64_t id = op->arg.waker_create.id, slot = op->arg.waker_create.w;
    if (!is_open(e) || table(e)->waker_create == NULL || box->waker[slot] != NULL) {
        return NULL;
    }
    void *waker = NULL;
    unsigned faults = fault_count();
    enum subject_status got = table(e)->waker_create(box->handle, id, &waker);
    if (got == SUBJECT_OK) {
        box->waker[slot] = waker;
        box->waker_id[slot] = id;
    }
    unsigned expected = is_sound(e, id) ? BIT(OK) : BIT(INVALID);
    return both_checks(
        e, oracle_status_in(e, got, expected | (fault_count() != faults ? WANT : 0), "R30-id"));
}

const char *exec_waker_clone(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    uint64_t from = op->arg.waker_clone.w, to = op->arg.waker_clone.to;
    if (table(e) != NULL && table(e)->waker_clone != NULL && box->used && !box->held &&
        box->waker[from] != NULL && box->waker[to] == NULL) {
        box->waker[to] = table(e)->waker_clone(box->waker[from]);
        box->waker_id[to] = box->waker_id[from];
    }
    return NULL;
}

const char *exec_waker_wake(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    uint64_t slot = op->arg.waker_wake.w;
    if (table(e) == NULL || !box->used || box->held || box->waker[slot] == NULL) {
        return NULL;
    }
    unsigned faults = fault_count();
    enum subject_status got = table(e)->waker_wake(box->waker[slot]);
    return both_checks(e, enqueue_check(e, box->waker_id[slot], got, fault_count() != faults));
}

const char *exec_waker_drop(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    uint64_t slot = op->arg.waker_drop.w;
    if (table(e) == NULL || !box->used || box->held || box->waker[slot] == NULL) {
        return NULL;
    }
    table(e)->waker_drop(box->waker[slot]);
    box->waker[slot] = NULL;
    return both_checks(e, NULL);
}

/* ---- The guest --------------------------------------------------------------------------------
 */

static void take(void *context, uint32_t id) {
    struct exec *e = context;
    uint64_t expected = model_take(&e->box.model);
    if (id != expected && e->box.broken == NULL) {
        e->box.broken = id == 0 ? "R31-publish" : "R30-exactly-once";
    }
}

static const char *drain(struct exec *e) {
    struct box *box = &e->box;
    uint32_t expected = box->model.in_ring;
    box->broken = NULL;
    box->model.signalled = false;
    uint32_t taken = table(e)->drain(box->handle, take, e);
    closed_keep(e);
    if (box->broken == NULL && taken != expected) {
        box->broken = taken < expected ? "R30-lost" : "R30-invented";
    }
    return box->broken;
}

/* A guest that broke its own words is not run any further. */
const char *exec_guest_drain(struct exec *e, const struct op *op) {
    (void)op;
    if (table(e) == NULL || e->box.handle == NULL || e->box.wild) {
        return NULL;
    }
    const char *broken = drain(e);
    return broken != NULL ? broken : region_check(e);
}

/* What the host does while the guest is parked, once. */
struct parking {
    struct exec *e;
    uint64_t meanwhile;
    unsigned thread;
    unsigned looks;
};

static const char *act_meanwhile(struct parking *p) {
    struct exec *e = p->e;
    uint64_t meanwhile = p->meanwhile;
    p->meanwhile = WORD_meanwhile_nothing;
    if (e->box.held) {
        return NULL;
    }
    switch (meanwhile) {
    case WORD_meanwhile_enqueue:
        return enqueue(e, next_id(e, p->thread));
    case WORD_meanwhile_close:
        return table(e)->close != NULL ? close_box(e) : NULL;
    case WORD_meanwhile_grow: /* of a memory that stays: a parked guest's flag must not move */
        return e->box.config.ground == SUBJECT_SHARED ? grow(e, 1) : NULL;
    default:
        return NULL;
    }
}

/* True when a guest that goes to sleep now must not: there is news it would never be told of. */
static bool has_news(const struct model_mailbox *m) {
    return m->in_ring > 0 || m->closed || (m->queued > m->in_ring && m->in_ring == 0);
}

/* Stands for wait32 on the flag: looks, lets the host act, looks again, and is then woken or late.
 */
static int park_wait(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    enum { LOOKS_MAX = 16 };
    struct parking *p = context;
    struct box *box = &p->e->box;
    const char *broken = NULL;
    bool sleeps = atomic_load(flag) == expected;
    if (sleeps && has_news(&box->model)) {
        broken = box->model.closed && box->model.in_ring == 0 ? "R36-close-unseen"
                                                              : "R34-no-lost-wakeup";
    }
    bool acts = p->meanwhile != WORD_meanwhile_nothing;
    broken = broken != NULL ? broken : act_meanwhile(p);
    if (broken == NULL && acts && has_news(&box->model) && atomic_load(flag) == expected) {
        broken = box->model.closed ? "R36-close-unseen" : "R34-no-lost-wakeup";
    }
    if (box->broken == NULL) {
        box->broken = broken;
    }
    bool woken = atomic_load(flag) != expected;
    return !woken || timeout_ns == 0 || ++p->looks > LOOKS_MAX ? 2 : 0;
}

static void park_flush(void *context) {
    struct parking *p = context;
    struct box *box = &p->e->box;
    if (box->held || table(p->e)->flush == NULL) {
        return; /* the holder is in the middle of a move: a real guest's call would wait for it */
    }
    const char *broken = flush(p->e);
    box->broken = box->broken != NULL ? box->broken : broken;
}

const char *exec_guest_park(struct exec *e, const struct op *op) {
    struct box *box = &e->box;
    struct parking p = {e, op->arg.guest_park.meanwhile, (op->thread + 1u) % OP_THREADS, 0};
    if (table(e) == NULL || table(e)->park == NULL || box->handle == NULL || box->wild) {
        return NULL;
    }
    const struct subject_guest_host host = {park_wait, park_flush, &p};
    box->broken = NULL;
    enum subject_park got =
        table(e)->park(box->handle, &host, (int64_t)op->arg.guest_park.timeout_ns);
    closed_keep(e);
    const char *broken = box->broken;
    if (broken == NULL && got == SUBJECT_PARK_CLOSED &&
        (!box->model.closed || (box->model.in_ring > 0 && box->model.signalled))) {
        broken = "R36-park";
    }
    if (broken == NULL && got == SUBJECT_PARK_TIMED_OUT && has_news(&box->model) && p.looks == 0 &&
        op->arg.guest_park.meanwhile == WORD_meanwhile_nothing) {
        broken = "R34-park";
    }
    return broken != NULL ? broken : region_check(e);
}

const char *exec_guest_scribble(struct exec *e, const struct op *op) {
    uint64_t bytes;
    uint8_t *memory;
    struct subject_words *words = table(e) == NULL ? NULL : words_of(e, &memory, &bytes);
    if (words == NULL) {
        return NULL;
    }
    _Atomic uint32_t *at[WORD_word_count] = {
        [WORD_word_capacity] = &words->capacity,
        [WORD_word_flag] = &words->flag,
        [WORD_word_head] = &words->head,
        [WORD_word_tail] = &words->tail,
        [WORD_word_slot] = &words->ring[op->arg.guest_scribble.slot % e->box.capacity],
    };
    atomic_store(at[op->arg.guest_scribble.word], (uint32_t)op->arg.guest_scribble.value);
    e->box.wild = true;
    e->crash_rule = "R38";
    closed_keep(e);
    return NULL;
}

const char *exec_mailbox_end(struct exec *e) {
    return table(e) == NULL ? NULL : box_empty(e);
}
