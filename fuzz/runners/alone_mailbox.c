/* alone_mailbox.c: the operations of a mailbox, one after another, several producers and one
 * consumer, under the judge's eyes. */
#include "exec.h"

#include "fault.h"
#include "note.h"

#include <stdlib.h>
#include <string.h>

enum {
    PAGES_MAX = 3, /* the largest ring needs 131,088 bytes */
    ROUNDS_MAX = 300,
    SPILL_MAX = 512,
    WORK_ATTACH = 24,
    WORK_GROW = 60,
    WORK_PAGES = 60, /* a first size other than one page: memory that is not reused */
    SLOTS_A_WORK = 512,
    SLOTS_MOST = 32768, /* larger capacities are refused, which costs nothing */
    IDS_A_WORK = 4      /* enqueues that cost as much as touching a page */
};

static const struct subject_mailbox *table(const struct exec *e) {
    return e->subject->mailbox;
}

/* A handle that may be used now: not released, not held. */
static bool is_open(const struct exec *e) {
    return e->box->handle != NULL && !e->box->judged.held;
}

static void look(struct exec *e) {
    struct mailbox_view *view = &e->box->judged.view;
    bool there = e->box->handle != NULL;
    view->words = there && table(e)->words != NULL
                      ? table(e)->words(e->box->handle, &view->memory, &view->memory_bytes)
                      : NULL;
}

static struct box *other_box(struct exec *e) {
    return e->box == &e->boxes[0] ? &e->boxes[1] : &e->boxes[0];
}

/* Calls on one mailbox must not change the other one in its memory (R44). */
static const char *look_at_other(struct exec *e) {
    struct box *box = e->box, *other = other_box(e);
    if (!other->used) {
        return NULL;
    }
    other->judged.pages = box->judged.pages;
    e->box = other;
    look(e);
    e->box = box;
    note((struct note){.kind = NOTE_BOX, .memory = other->place});
    const char *broken = sequence_region(&other->judged);
    note((struct note){.kind = NOTE_BOX, .memory = box->place});
    return broken;
}

/* After each of the host's calls. They may wait for the thread that holds the mailbox; the guest's
 * never do. */
static const char *look_after(struct exec *e, const char *broken) {
    struct mailbox_view *view = &e->box->judged.view;
    broken = broken != NULL ? broken : look_at_other(e);
    look(e);
    view->has_closed = e->box->handle != NULL && table(e)->is_closed != NULL;
    view->is_closed = view->has_closed && table(e)->is_closed(e->box->handle);
    broken = broken != NULL ? broken : sequence_region(&e->box->judged);
    return broken != NULL ? broken : sequence_closed(&e->box->judged);
}

/* One call on a handle, judged. */
static const char *make_call(struct exec *e, void *handle, struct call *c) {
    unsigned faults = fault_count();
    operation_make_mailbox(table(e), handle, c, NULL);
    c->failed = fault_count() != faults;
    exec_weigh_faults(e);
    return sequence_box_answered(&e->judge, &e->box->judged, c);
}

/* ---- Attach and its end -----------------------------------------------------------------------
 */

/* Gives all of the mailbox up. */
static const char *box_empty(struct exec *e) {
    struct box *box = e->box;
    const char *broken = NULL;
    if (!box->used) {
        return NULL;
    }
    if (box->judged.held && box->handle != NULL) {
        (void)table(e)->unhold(box->handle);
        box->judged.held = false;
    }
    if (e->broken == NULL) {
        look(e);
        broken = sequence_box_gone(&box->judged);
    }
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        if (box->waker[i] != NULL) {
            table(e)->waker_drop(box->waker[i]);
            box->waker[i] = NULL;
        }
    }
    if (box->handle != NULL) {
        table(e)->release(box->handle);
        box->handle = NULL;
    }
    free(box->judged.closed);
    box->judged.closed = NULL;
    box->used = false;
    e->judge.crash_rule = NULL;
    return broken;
}

static const char *boxes_empty(struct exec *e) {
    const char *broken = NULL;
    for (unsigned i = 2; i-- > 0;) {
        e->box = &e->boxes[i];
        const char *more = box_empty(e);
        broken = broken != NULL ? broken : more;
    }
    return broken;
}

static const char *attach(struct exec *e, const struct op *op) {
    struct subject_mailbox_config config = operation_attach(table(e), op);
    if (config.pages > PAGES_MAX || config.spill_max > SPILL_MAX ||
        (config.spill && !(table(e)->promises & SUBJECT_SPILLS)) ||
        !exec_afford(e, WORK_ATTACH + (config.pages != 1 ? (uint64_t)WORK_PAGES : 0) +
                            (config.capacity <= SLOTS_MOST ? config.capacity / SLOTS_A_WORK : 0))) {
        return NULL;
    }
    const char *broken = boxes_empty(e);
    if (broken != NULL) {
        return broken;
    }
    struct box *box = e->box;
    void *handle = NULL;
    unsigned faults = fault_count();
    enum subject_status got = table(e)->attach(&config, &handle);
    exec_weigh_faults(e);
    broken = sequence_attached(&e->judge, &config, got, fault_count() != faults);
    if (got != SUBJECT_OK) {
        return broken;
    }
    box->handle = box->place = handle;
    box->used = true;
    sequence_new_box(&e->judge, &box->judged, &config);
    if (broken != NULL) {
        return broken; /* it accepted a place that cannot hold a region, so there is nothing to
                          check */
    }
    look(e);
    sequence_lay_apron(&box->judged);
    return sequence_region(&box->judged);
}

/* True if its owner or a waker keeps it. */
static bool is_kept(const struct box *box) {
    bool kept = box->handle != NULL;
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        kept |= box->waker[i] != NULL;
    }
    return box->used && kept;
}

/* Another mailbox in the memory of the one that operations work on now; a third one takes the
 * place of the second. */
static const char *attach_beside(struct exec *e, const struct op *op) {
    struct box *first = e->box, *made = other_box(e);
    if (!(table(e)->promises & SUBJECT_SHARES_MEMORY) || !is_kept(first) || first->judged.held) {
        return NULL;
    }
    struct subject_mailbox_config config =
        operation_attach_beside(table(e), op, &first->judged.config);
    if (config.spill_max > SPILL_MAX || !exec_afford(e, WORK_ATTACH)) {
        return NULL;
    }
    config.beside = first->place;
    e->box = made;
    const char *broken = box_empty(e);
    void *handle = NULL;
    unsigned faults = fault_count();
    if (broken != NULL) {
        return broken;
    }
    e->box = first;
    enum subject_status got = table(e)->attach(&config, &handle);
    exec_weigh_faults(e);
    broken = sequence_attached_beside(&e->judge, &first->judged, first->handle != NULL, &config,
                                      got, fault_count() != faults);
    if (got != SUBJECT_OK) {
        return look_after(e, broken);
    }
    made->handle = made->place = handle;
    made->used = true;
    e->box = made;
    sequence_new_box(&e->judge, &made->judged, &config);
    sequence_lie_beside(&first->judged, &made->judged);
    return look_after(e, broken);
}

static const char *enqueue(struct exec *e, struct call *c);

/* From the lower one's first words to those of the upper one. */
static struct subject_mailbox_config over_both(const struct exec *e, uint64_t skip) {
    enum { WORD_BYTES = 4, SKIPS = 4, WORDS_BEFORE = 4 };
    const struct judged_box *a = &e->boxes[0].judged, *b = &e->boxes[1].judged;
    const struct judged_box *low = a->config.offset < b->config.offset ? a : b;
    const struct judged_box *high = low == a ? b : a;
    struct subject_mailbox_config config = {
        .ground = e->box->judged.config.ground,
        .pages = e->box->judged.pages,
        .offset = low->config.offset + WORD_BYTES * (uint32_t)(skip % SKIPS),
        .capacity = 1,
        .beside = e->box->place,
    };
    while (config.offset + WORD_BYTES * (uint64_t)(WORDS_BEFORE + config.capacity) <=
           high->config.offset) {
        config.capacity *= 2;
    }
    return config;
}

/* What the third one did to the two. */
static const char *two_are_covered(struct exec *e, struct box *third,
                                   const struct subject_mailbox_config *config) {
    struct box *box = e->box;
    struct call c = {.code = OP_mailbox_enqueue};
    sequence_new_box(&e->judge, &third->judged, config);
    for (unsigned i = 0; i < 2; i++) {
        sequence_lie_beside(&e->boxes[i].judged, &third->judged);
    }
    e->box = third;
    third->used = true;
    look(e);
    const char *broken = sequence_region(&third->judged);
    broken = broken != NULL ? broken : enqueue(e, &c);
    look(e);
    broken = broken != NULL ? broken : sequence_region(&third->judged);
    table(e)->release(third->handle);
    e->box = box;
    return broken;
}

/* R44: each of those that lie there is looked at, in whatever order they came. */
static const char *attach_over(struct exec *e, uint64_t skip) {
    static struct box third;
    struct box *a = &e->boxes[0], *b = &e->boxes[1];
    if (!(table(e)->promises & SUBJECT_SHARES_MEMORY) || !is_kept(a) || !is_kept(b) ||
        a->judged.held || b->judged.held || !exec_afford(e, WORK_ATTACH)) {
        return NULL;
    }
    struct subject_mailbox_config config = over_both(e, skip);
    const bool over[2] = {sequence_overlaps(&a->judged, &config),
                          sequence_overlaps(&b->judged, &config)};
    const bool in_use = (over[0] && a->handle != NULL) || (over[1] && b->handle != NULL);
    const unsigned faults = fault_count();
    memset(&third, 0, sizeof third);
    enum subject_status got = table(e)->attach(&config, &third.handle);
    exec_weigh_faults(e);
    const char *broken =
        sequence_attached_over(&e->judge, &config, in_use, got, fault_count() != faults);
    if (got == SUBJECT_OK) {
        const char *more = two_are_covered(e, &third, &config);
        return broken != NULL ? broken : more;
    }
    for (unsigned i = 0; i < 2 && broken == NULL; i++) {
        struct box *box = e->box;
        if (over[i] && e->boxes[i].handle == NULL) { /* closed, or not: nobody says */
            e->box = &e->boxes[i];
            e->box->judged.replaced = true;
            broken = box_empty(e);
            e->box = box == e->box ? &e->boxes[1 - i] : box;
        }
    }
    return broken;
}

/* ---- The host ---------------------------------------------------------------------------------
 */

/* Each thread has its own, increasing ids, so that a lost, repeated or stale one is noticed. */
static uint64_t next_id(struct exec *e, unsigned thread) {
    return ((uint64_t)thread + 1) << 24 | ++e->thread[thread].ids;
}

static const char *enqueue(struct exec *e, struct call *c) {
    c->id = next_id(e, c->thread);
    return make_call(e, e->box->handle, c);
}

static const char *enqueue_many(struct exec *e, struct call *c) {
    const char *broken = NULL;
    if (e->box->judged.model.queued + c->count > MODEL_QUEUE_MAX) {
        e->left_out[LEFT_OUT_ROOM]++;
        return NULL;
    }
    if (!exec_afford(e, c->count / IDS_A_WORK)) {
        return NULL;
    }
    for (uint64_t i = 0; i < c->count && broken == NULL; i++) {
        broken = enqueue(e, c);
    }
    return look_after(e, broken);
}

static const char *close_box(struct exec *e, struct call *c) {
    bool was_closed = e->box->judged.model.closed;
    const char *broken = look_after(e, make_call(e, e->box->handle, c));
    if (!was_closed) { /* closing once more writes nothing either */
        sequence_keep_closed(&e->box->judged);
    }
    return broken;
}

static const char *grow(struct exec *e, struct call *c) {
    return exec_afford(e, WORK_GROW) ? look_after(e, make_call(e, e->box->handle, c)) : NULL;
}

/* ---- The guest --------------------------------------------------------------------------------
 */

static void take(void *context, uint32_t id) {
    struct exec *e = context;
    sequence_took(&e->box->judged, id);
}

static const char *drain(struct exec *e, struct call *c) {
    struct judged_box *b = &e->box->judged;
    const struct call_guest guest = {take, {NULL, NULL, e}};
    uint32_t in_ring = b->model.in_ring;
    sequence_drain_begins(b);
    operation_make_mailbox(table(e), e->box->handle, c, &guest);
    look(e);
    sequence_keep_closed(b);
    const char *broken = sequence_drained(b, in_ring, (uint32_t)c->answer);
    return broken != NULL ? broken : sequence_region(b);
}

/* What the host does while the guest is parked, once. */
struct parking {
    struct exec *e;
    uint64_t meanwhile;
    unsigned thread;
    unsigned looks;
    bool flushed;
    int64_t timeout_ns; /* that the guest was given */
    bool late;          /* the last wait said that its time was up */
};

static const char *act_meanwhile(struct parking *p) {
    struct exec *e = p->e;
    uint64_t meanwhile = p->meanwhile;
    struct call c = {.thread = (uint8_t)p->thread};
    p->meanwhile = WORD_meanwhile_nothing;
    if (e->box->judged.held) {
        return NULL;
    }
    switch (meanwhile) {
    case WORD_meanwhile_enqueue:
        c.code = OP_mailbox_enqueue;
        return enqueue(e, &c);
    case WORD_meanwhile_close:
        c.code = OP_mailbox_close;
        return table(e)->close != NULL ? close_box(e, &c) : NULL;
    case WORD_meanwhile_grow: /* of a memory that stays: a parked guest's flag must not move */
        c.code = OP_mailbox_grow;
        c.pages = 1;
        return table(e)->grow != NULL && e->box->judged.config.ground == SUBJECT_SHARED
                   ? grow(e, &c)
                   : NULL;
    default:
        return NULL;
    }
}

/* Takes the place of wait32 on the flag: looks, lets the host act, looks again, and is then woken
 * or times out. The host may have acted just before a wait without an end: then that was not equal.
 */
static int park_wait(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    enum { LOOKS_MAX = 16 };
    struct parking *p = context;
    struct judged_box *b = &p->e->box->judged;
    const bool differs = timeout_ns < 0 || atomic_load(flag) != expected;
    const char *broken = NULL;
    if (b->exact) {
        look(p->e); /* it may have moved while it was held */
        broken = sequence_asks(b, flag, expected, timeout_ns == p->timeout_ns);
    }
    if (atomic_load(flag) == expected && broken == NULL) {
        broken = sequence_sleeps(b, false);
    }
    bool acts = p->meanwhile != WORD_meanwhile_nothing;
    broken = broken != NULL ? broken : act_meanwhile(p);
    if (broken == NULL && acts && atomic_load(flag) == expected) {
        broken = sequence_sleeps(b, true);
    }
    if (b->broken == NULL) {
        b->broken = broken;
    }
    bool woken = atomic_load(flag) != expected;
    p->late = !woken || timeout_ns == 0 || ++p->looks > LOOKS_MAX;
    return p->late ? 2 : differs ? 1 : 0;
}

static void park_flush(void *context) {
    struct parking *p = context;
    struct judged_box *b = &p->e->box->judged;
    struct call c = {.code = OP_mailbox_flush, .thread = (uint8_t)p->thread};
    p->flushed = true;
    if (b->held || table(p->e)->flush == NULL) {
        return; /* a host thread is in the middle of a move; a real guest's call would wait for it
                 */
    }
    const char *broken = make_call(p->e, p->e->box->handle, &c);
    b->broken = b->broken != NULL ? b->broken : broken;
}

static const char *park(struct exec *e, struct call *c, uint64_t meanwhile) {
    struct judged_box *b = &e->box->judged;
    struct parking p = {e, meanwhile, (c->thread + 1u) % OP_THREADS, 0, false, c->timeout_ns, true};
    const bool idle = b->model.in_ring == 0 && !b->model.signalled && !b->model.closed;
    const bool spilled = b->model.queued > b->model.in_ring;
    const struct call_guest guest = {take, {park_wait, park_flush, &p}};
    b->broken = NULL;
    operation_make_mailbox(table(e), e->box->handle, c, &guest);
    look(e);
    sequence_keep_closed(b);
    bool looked = p.late && (p.looks != 0 || meanwhile != WORD_meanwhile_nothing);
    if (b->broken == NULL && c->answer == SUBJECT_PARK_READY && idle && p.looks == 0 &&
        !(p.flushed && spilled) && p.meanwhile == meanwhile) {
        b->broken = sequence_ready_for_nothing(b);
    }
    const char *broken =
        b->broken != NULL ? b->broken : sequence_parked(b, (enum subject_park)c->answer, looked);
    return broken != NULL ? broken : sequence_region(b);
}

static const char *scribble(struct exec *e, const struct op *op) {
    struct judged_box *b = &e->box->judged;
    look(e);
    struct subject_words *words = b->view.words;
    if (words == NULL || b->replaced) {
        return NULL;
    }
    _Atomic uint32_t *at[WORD_word_count] = {
        [WORD_word_capacity] = &words->capacity,
        [WORD_word_flag] = &words->flag,
        [WORD_word_head] = &words->head,
        [WORD_word_tail] = &words->tail,
        [WORD_word_slot] = &words->ring[op->arg.guest_scribble.slot % b->capacity],
    };
    _Atomic uint32_t *word = at[op->arg.guest_scribble.word];
    note((struct note){.kind = NOTE_POKE,
                       .at = (uint64_t)((const char *)word - (const char *)words),
                       .count = sizeof *word,
                       .must = op->arg.guest_scribble.value});
    sequence_scribbles(b);
    atomic_store(word, (uint32_t)op->arg.guest_scribble.value);
    sequence_scribbled(b);
    e->judge.crash_rule = "R38";
    sequence_keep_closed(b);
    return NULL;
}

/* ---- Which operation --------------------------------------------------------------------------
 */

static const char *with_waker(struct exec *e, const struct op *op, struct call *c) {
    struct box *box = e->box;
    void **waker = &box->waker[op->arg.waker_wake.w];
    if (!box->used || box->judged.held || *waker == NULL) {
        return NULL;
    }
    c->id = box->waker_id[op->arg.waker_wake.w];
    if (op->code == OP_waker_clone) {
        void **to = &box->waker[op->arg.waker_clone.to];
        if (*to == NULL) {
            (void)make_call(e, *waker, c);
            *to = c->made;
            box->waker_id[op->arg.waker_clone.to] = c->id;
        }
        return NULL;
    }
    const char *broken = make_call(e, *waker, c);
    *waker = op->code == OP_waker_drop ? NULL : *waker;
    return look_after(e, broken);
}

static const char *create_waker(struct exec *e, const struct op *op, struct call *c) {
    void **waker = &e->box->waker[op->arg.waker_create.w];
    if (*waker != NULL) {
        return NULL;
    }
    const char *broken = make_call(e, e->box->handle, c);
    if (c->status == SUBJECT_OK) {
        *waker = c->made;
        e->box->waker_id[op->arg.waker_create.w] = c->id;
    }
    return look_after(e, broken);
}

/* Whoever moves a memory holds all of its mailboxes. */
static const char *hold(struct exec *e, struct call *c) {
    struct box *other = other_box(e);
    e->box->judged.held = true;
    if (other->handle != NULL) {
        other->judged.held = true;
        (void)make_call(e, other->handle, c);
    }
    return make_call(e, e->box->handle, c);
}

static const char *unhold(struct exec *e, struct call *c) {
    struct box *box = e->box, *other = other_box(e);
    box->judged.held = false;
    const char *broken = make_call(e, box->handle, c);
    if (other->handle != NULL && other->judged.held) {
        other->judged.held = false;
        e->box = other;
        const char *more = make_call(e, other->handle, c);
        e->box = box;
        broken = broken != NULL ? broken : more;
    }
    return look_after(e, broken);
}

/* Operations of an open mailbox. */
static const char *on_open(struct exec *e, const struct op *op, struct call *c) {
    struct box *box = e->box;
    switch (op->code) {
    case OP_mailbox_release:
        (void)make_call(e, box->handle, c);
        box->handle = NULL;
        return NULL;
    case OP_mailbox_enqueue:
        return enqueue_many(e, c);
    case OP_mailbox_enqueue_id:
        if (!(table(e)->promises & SUBJECT_WIDE_IDS) && (c->id == 0 || c->id > UINT32_MAX)) {
            return NULL;
        }
        break;
    case OP_mailbox_wait_for_signal:
        c->timeout_ns = sequence_signal_timeout(&box->judged, c->timeout_ns);
        break;
    case OP_mailbox_hold:
        return hold(e, c);
    case OP_mailbox_grow:
        return grow(e, c);
    case OP_mailbox_close:
        return close_box(e, c);
    case OP_waker_create:
        return create_waker(e, op, c);
    default:
        break;
    }
    return look_after(e, make_call(e, box->handle, c));
}

/* Operations of a held one. The memory moves only where the other mailbox in it is held as well:
 * one that only wakers keep cannot be. */
static const char *on_held(struct exec *e, struct call *c) {
    struct box *other = other_box(e);
    if (c->code != OP_mailbox_move) {
        return unhold(e, c);
    }
    if ((other->used && other->handle == NULL) || !exec_afford(e, WORK_GROW)) {
        return NULL;
    }
    const char *broken = make_call(e, e->box->handle, c);
    other->judged.pages = e->box->judged.pages; /* of one memory; it is only checked later */
    return broken;
}

static const char *rounds(struct exec *e, uint64_t count) {
    const char *broken = NULL;
    if (!exec_afford(e, count / IDS_A_WORK)) {
        return NULL;
    }
    for (uint64_t i = 0; i < count && broken == NULL; i++) {
        struct call drains = {.code = OP_guest_drain}, enqueues = {.code = OP_mailbox_enqueue};
        broken = drain(e, &drains);
        broken = broken != NULL ? broken : enqueue(e, &enqueues);
    }
    return look_after(e, broken);
}

/* A guest that overwrote its own words is not run any further, nor one whose region now belongs to
 * another mailbox. */
static const char *on_guest(struct exec *e, const struct op *op, struct call *c) {
    if (e->box->handle == NULL || e->box->judged.wild || e->box->judged.replaced) {
        return NULL;
    }
    return op->code == OP_guest_drain ? drain(e, c) : park(e, c, op->arg.guest_park.meanwhile);
}

const char *exec_mailbox(struct exec *e, const struct op *op) {
    struct call c = {.room = NULL};
    if (op->code == OP_mailbox_attach || op->code == OP_guest_scribble) {
        return table(e) == NULL                ? NULL
               : op->code == OP_mailbox_attach ? attach(e, op)
                                               : scribble(e, op);
    }
    if (op->code == OP_mailbox_attach_over) {
        return table(e) == NULL ? NULL : attach_over(e, op->arg.mailbox_attach_over.skip);
    }
    if (op->code == OP_mailbox_attach_beside || op->code == OP_mailbox_other) {
        if (op->code == OP_mailbox_other && other_box(e)->used) {
            e->box = other_box(e);
        }
        return table(e) == NULL || op->code == OP_mailbox_other ? NULL : attach_beside(e, op);
    }
    if (op->code == OP_mailbox_rounds) {
        return table(e) == NULL || !is_open(e) || e->box->judged.wild || e->box->judged.replaced
                   ? NULL
                   : rounds(e, op->arg.mailbox_rounds.count % (ROUNDS_MAX + 1));
    }
    if (op->code == OP_mailbox_lose || !operation_of_mailbox(table(e), op->code)) {
        return NULL; /* to lose the region is for threads */
    }
    operation_arguments(&c, op, 0, e->segment);
    switch (op->code) {
    case OP_guest_drain:
    case OP_guest_park:
        return on_guest(e, op, &c);
    case OP_waker_clone:
    case OP_waker_wake:
    case OP_waker_drop:
        return with_waker(e, op, &c);
    case OP_mailbox_move:
    case OP_mailbox_unhold:
        return e->box->judged.held ? on_held(e, &c) : NULL;
    default:
        return is_open(e) ? on_open(e, op, &c) : NULL;
    }
}

const char *exec_mailbox_end(struct exec *e) {
    return table(e) == NULL ? NULL : boxes_empty(e);
}
