/* sequence_mailbox.c: the judge of calls one after another, for mailboxes. See sequence.h.
 *
 * Ids are delivered exactly in the model's order, so R30, R32 and R33 are one comparison. The
 * region is surrounded by an apron of known bytes that the host must not touch (R38). Once a guest
 * has scribbled, deliveries are no longer checked, only the host's own safety. */
#include "note.h"
#include "oracle.h"
#include "rule.h"
#include "sequence.h"

#include <stdlib.h>
#include <string.h>

#define BIT STATUS_BIT
#define WANT (q->want)

enum {
    APRON_BYTES = 64,
    APRON_BYTE = 0xA5,
    PAGES_SPARE = 4, /* how far the guest memory of a mailbox grows */
    CAPACITY_MAX = 32768
};

/* ---- Around the region ------------------------------------------------------------------------
 */

/* The apron's two ends, clipped to the memory as it was at first. */
static void aprons(const struct judged_box *b, uint64_t from[2], uint64_t to[2]) {
    uint64_t memory_bytes = b->config.pages * SUBJECT_PAGE_BYTES;
    uint64_t start = b->config.offset, end = start + operation_region_bytes(b->capacity);
    from[0] = start < APRON_BYTES ? 0 : start - APRON_BYTES;
    to[0] = start;
    from[1] = end;
    to[1] = end + APRON_BYTES < memory_bytes ? end + APRON_BYTES : memory_bytes;
}

void sequence_lay_apron(struct judged_box *b) {
    uint64_t from[2], to[2];
    if (b->view.words != NULL) {
        b->has_apron = true;
        aprons(b, from, to);
        for (unsigned n = 0; n < 2; n++) {
            memset(b->view.memory + from[n], APRON_BYTE, to[n] - from[n]);
            note((struct note){
                .kind = NOTE_FILL, .at = from[n], .count = to[n] - from[n], .must = APRON_BYTE});
        }
    }
}

static bool apron_is_whole(const struct judged_box *b) {
    uint8_t apron[APRON_BYTES];
    uint64_t from[2], to[2];
    memset(apron, APRON_BYTE, sizeof apron);
    aprons(b, from, to);
    for (unsigned n = 0; n < 2; n++) {
        if (memcmp(b->view.memory + from[n], apron, to[n] - from[n]) != 0) {
            note((struct note){.kind = NOTE_FILLED,
                               .rule = "R38-outside",
                               .at = from[n],
                               .count = to[n] - from[n],
                               .must = APRON_BYTE});
            return false;
        }
    }
    return true;
}

const char *sequence_box_gone(const struct judged_box *b) {
    static const uint8_t zeros[SUBJECT_PAGE_BYTES];
    const uint8_t *memory = b->view.memory;
    uint64_t from[2], to[2], page = b->view.memory_bytes;
    if (!b->wild || b->view.words == NULL || !b->has_apron) {
        return NULL;
    }
    page = page < SUBJECT_PAGE_BYTES ? page : SUBJECT_PAGE_BYTES;
    aprons(b, from, to);
    bool zero = memcmp(memory, zeros, from[0] < page ? from[0] : page) == 0 &&
                (to[1] >= page || memcmp(memory + to[1], zeros, page - to[1]) == 0);
    if (!zero) {
        note((struct note){.kind = NOTE_OTHER, .rule = "R38-outside"});
    }
    return zero ? NULL : "R38-outside";
}

void sequence_keep_closed(struct judged_box *b) {
    if (b->view.words != NULL && b->model.closed) {
        const size_t bytes = operation_region_bytes(b->capacity);
        /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): a region is never empty */
        uint32_t *copy = realloc(b->closed, bytes);
        if (copy != NULL) {
            memcpy(copy, b->view.words, bytes);
            b->closed = copy;
            note((struct note){.kind = NOTE_KEEP});
        }
    }
}

/* What a guest sees of the close: neither before it, nor when another mailbox was closed (R44). */
static const char *closed_bit(const struct judged_box *b) {
    enum { CLOSED = 2 };
    uint32_t flag = atomic_load_explicit(&b->view.words->flag, memory_order_relaxed);
    if ((flag & CLOSED) == 0 || b->model.closed) {
        return NULL;
    }
    note((struct note){.kind = NOTE_OPEN, .rule = "R44-closed"});
    return rule_differs("R44-closed", "expected an open mailbox, and its guest sees it closed");
}

/* The flag as a whole: what is signalled, whether there are spilled ids to ask for; and the
 * capacity, which nobody changes. */
static const char *exact_words(const struct judged_box *b) {
    enum { SIGNALLED = 1, CLOSED = 2, SPILLED = 4 };
    const struct model_mailbox *m = &b->model;
    const uint32_t must = (m->signalled ? SIGNALLED : 0u) | (m->closed ? CLOSED : 0u) |
                          (m->queued > m->in_ring ? SPILLED : 0u);
    const uint32_t flag = atomic_load_explicit(&b->view.words->flag, memory_order_relaxed);
    const uint32_t capacity = atomic_load_explicit(&b->view.words->capacity, memory_order_relaxed);
    if (!b->exact || (flag == must && capacity == b->capacity)) {
        return NULL;
    }
    const char *rule = capacity != b->capacity     ? "R35-words"
                       : (flag ^ must) & SPILLED   ? "R33-spilled"
                       : must & ~flag & SIGNALLED  ? "R34-no-lost-wakeup"
                       : (flag ^ must) & SIGNALLED ? "R34-signal"
                                                   : "R36-close-unseen";
    note((struct note){.kind = NOTE_OTHER, .rule = rule});
    return rule_differs(rule, "expected the flag to be %u, got %u", must, flag);
}

const char *sequence_region(const struct judged_box *b) {
    const struct subject_words *words = b->view.words;
    if (words == NULL || b->replaced) {
        return NULL;
    }
    if (b->has_apron && !apron_is_whole(b)) {
        return "R38-outside";
    }
    if (b->model.closed && b->closed != NULL &&
        memcmp(b->closed, words, operation_region_bytes(b->capacity)) != 0) {
        note((struct note){.kind = NOTE_KEPT, .rule = "R36-write-after-close"});
        return "R36-write-after-close";
    }
    if (b->wild) {
        return NULL;
    }
    uint32_t tail = atomic_load_explicit(&words->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&words->head, memory_order_relaxed);
    if (tail - head == b->model.in_ring) {
        const char *broken = closed_bit(b);
        return broken != NULL ? broken : exact_words(b);
    }
    const char *rule = tail - head > b->capacity ? "R33-capacity" : "R33-count";
    note((struct note){.kind = NOTE_RING, .rule = rule, .must = b->model.in_ring});
    return rule_differs(rule, "expected %u ids in the ring of %u, got tail - head = %u",
                        b->model.in_ring, b->capacity, tail - head);
}

const char *sequence_closed(const struct judged_box *b) {
    if (!b->view.has_closed || b->view.is_closed == b->model.closed) {
        return NULL;
    }
    note((struct note){.kind = NOTE_IS_CLOSED, .rule = "R36-closed", .must = b->model.closed});
    return "R36-closed";
}

/* ---- Attach -----------------------------------------------------------------------------------
 */

/* A subject that shows no region cannot have it in the wrong place. */
const char *sequence_attached(const struct sequence *q, const struct subject_mailbox_config *config,
                              enum subject_status got, bool failed) {
    uint32_t capacity = config->capacity == 0 ? q->mailbox->capacity : config->capacity;
    bool power = capacity != 0 && (capacity & (capacity - 1)) == 0 && capacity <= CAPACITY_MAX;
    uint64_t end = config->offset + operation_region_bytes(capacity);
    unsigned errors = power ? 0 : BIT(INVALID);
    if (q->mailbox->words != NULL) {
        errors |= config->offset % sizeof(uint32_t) == 0 ? 0 : BIT(MISALIGNED);
        errors |= end <= config->pages * SUBJECT_PAGE_BYTES ? 0 : BIT(OUT_OF_BOUNDS);
    }
    if (errors == 0) {
        const bool every = q->mailbox->promises & SUBJECT_EVERY_GROUND;
        errors = BIT(OK) | (every ? 0 : BIT(UNSUPPORTED));
    }
    return oracle_status_in(q, got, errors | (failed ? WANT : 0), "R38-attach");
}

/* True if the region overlaps the other mailbox's. */
static bool overlap(const struct judged_box *b, uint64_t offset, uint32_t capacity) {
    return b->config.offset < offset + operation_region_bytes(capacity) &&
           offset < b->config.offset + operation_region_bytes(b->capacity);
}

bool sequence_overlaps(const struct judged_box *b, const struct subject_mailbox_config *config) {
    return !b->model.closed && !b->replaced && overlap(b, config->offset, config->capacity);
}

const char *sequence_attached_over(const struct sequence *q,
                                   const struct subject_mailbox_config *config, bool in_use,
                                   enum subject_status got, bool failed) {
    if (in_use && got == SUBJECT_IN_USE) {
        return NULL;
    }
    const char *broken = sequence_attached(q, config, got, failed);
    if (broken == NULL ? in_use && got == SUBJECT_OK : got == SUBJECT_IN_USE) {
        return oracle_status(q, got, in_use ? SUBJECT_IN_USE : SUBJECT_OK, "R44-overlap");
    }
    return broken;
}

const char *sequence_attached_beside(const struct sequence *q, const struct judged_box *first,
                                     bool has_owner, const struct subject_mailbox_config *config,
                                     enum subject_status got, bool failed) {
    struct subject_mailbox_config now = *config;
    now.capacity = config->capacity == 0 ? q->mailbox->capacity : config->capacity;
    now.pages = first->pages;
    const bool in_use =
        has_owner && !first->model.closed && overlap(first, now.offset, now.capacity);
    return sequence_attached_over(q, &now, in_use, got, failed);
}

void sequence_lie_beside(struct judged_box *first, struct judged_box *made) {
    first->has_apron = false;
    made->pages = first->pages;
    if (overlap(first, made->config.offset, made->capacity)) {
        (void)model_close(&first->model);
        first->replaced = true;
    }
}

void sequence_new_box(const struct sequence *q, struct judged_box *b,
                      const struct subject_mailbox_config *config) {
    uint32_t unusable = q->mailbox->slots_unusable;
    b->config = *config;
    b->capacity = config->capacity == 0 ? q->mailbox->capacity : config->capacity;
    b->pages = config->pages;
    b->held = b->wild = b->has_apron = b->replaced = false;
    b->exact = (q->mailbox->promises & SUBJECT_EXACT_WORDS) != 0;
    b->broken = NULL;
    model_mailbox_attach(&b->model, b->capacity > unusable ? b->capacity - unusable : 0,
                         config->spill, config->spill_max);
}

/* ---- The host's calls -------------------------------------------------------------------------
 */

/* R30: a value that is not an id is refused before anything is written. */
bool sequence_sound_id(const struct sequence *q, uint64_t id) {
    return id != 0 && (id <= UINT32_MAX || !(q->mailbox->promises & SUBJECT_WIDE_IDS));
}

/* ---- A hostile guest's head ---------------------------------------------------------------------
 */

/* A head is good if it lies between the last good one and the tail. Any other makes no room. */
static void believe(struct judged_box *b) {
    const uint32_t head = atomic_load_explicit(&b->view.words->head, memory_order_relaxed);
    if (b->accepted - head < b->accepted - b->believed) {
        b->believed = head;
    }
}

void sequence_scribbles(struct judged_box *b) {
    if (!b->wild) {
        b->believed = atomic_load_explicit(&b->view.words->head, memory_order_relaxed);
        b->accepted = b->believed + b->model.queued;
    }
}

void sequence_scribbled(struct judged_box *b) {
    b->wild = true;
    believe(b);
}

/* R38: whatever the guest writes as its head, no more is accepted than fits. */
static const char *accepted_wild(const struct sequence *q, struct judged_box *b,
                                 const struct call *c) {
    const char *broken =
        oracle_status_in(q, c->status, BIT(OK) | BIT(FULL) | BIT(CLOSED), "R38-status");
    const uint32_t room = b->model.capacity + (b->model.spill ? b->model.spill_max : 0);
    if (broken != NULL || c->status != SUBJECT_OK || b->view.words == NULL) {
        return broken;
    }
    believe(b);
    if (b->accepted - b->believed >= room) {
        note((struct note){.kind = NOTE_OTHER, .rule = "R38-lying-head"});
        return rule_differs("R38-lying-head", "expected no room behind a false head, got one "
                                              "more id accepted");
    }
    b->accepted++;
    return NULL;
}

/* An enqueue, by mailbox or waker; the model follows. */
static const char *enqueue_answered(const struct sequence *q, struct judged_box *b,
                                    const struct call *c) {
    bool tells = q->mailbox->promises & SUBJECT_TELLS_FULL;
    if (!sequence_sound_id(q, c->id)) {
        return oracle_status_in(q, c->status,
                                BIT(INVALID) | (b->model.closed && !b->exact ? BIT(CLOSED) : 0),
                                "R30-id");
    }
    if (b->wild) {
        return accepted_wild(q, b, c);
    }
    if (!b->model.closed && c->status != SUBJECT_OK &&
        (c->failed || (!tells && c->status == SUBJECT_FULL))) {
        return NULL;
    }
    enum subject_status expected = model_enqueue(&b->model, c->id);
    return oracle_status(q, c->status, expected,
                         b->replaced                  ? "R44-enqueue"
                         : expected == SUBJECT_CLOSED ? "R36-enqueue-closed"
                                                      : "R33-full");
}

static const char *flush_answered(const struct sequence *q, struct judged_box *b,
                                  const struct call *c) {
    if (b->wild) {
        return oracle_status_in(q, c->status, BIT(OK) | BIT(CLOSED), "R38-status");
    }
    const char *broken = oracle_status(q, c->status, b->model.closed ? SUBJECT_CLOSED : SUBJECT_OK,
                                       "R36-flush-closed");
    return broken == NULL && c->status == SUBJECT_OK
               ? oracle_answer(c->answer, model_flush(&b->model), "R33-flush")
               : broken;
}

/* A wait that would block gets a timeout that has passed; spilled ids are flushed all the same. */
static enum subject_status signal_expected(struct judged_box *b) {
    return b->model.closed ? SUBJECT_CLOSED : b->model.signalled ? SUBJECT_OK : SUBJECT_TIMED_OUT;
}

int64_t sequence_signal_timeout(struct judged_box *b, int64_t timeout_ns) {
    if (b->wild) { /* whether it would block is unknown */
        return 0;
    }
    if (!b->model.closed) {
        model_flush(&b->model);
    }
    return signal_expected(b) == SUBJECT_TIMED_OUT ? 0 : timeout_ns;
}

static const char *signal_answered(const struct sequence *q, struct judged_box *b,
                                   const struct call *c) {
    if (b->wild) {
        return oracle_status_in(q, c->status, BIT(OK) | BIT(CLOSED) | BIT(TIMED_OUT), "R38-status");
    }
    return oracle_status(q, c->status, signal_expected(b), "R34-wait-for-signal");
}

/* Checks the answer of a growth of the guest memory; the model's pages follow. */
static const char *grow_answered(const struct sequence *q, struct judged_box *b,
                                 const struct call *c) {
    uint64_t spare = b->config.ground == SUBJECT_HEAP ? 0 : PAGES_SPARE;
    uint64_t room = b->config.pages + spare - b->pages;
    uint32_t before = b->pages;
    unsigned expected = c->pages > room ? BIT(LIMIT) | BIT(NO_MEMORY) : BIT(OK);
    if (b->model.closed) { /* the memory may be gone, so that nothing may be done to it */
        const bool refuses = b->exact && c->code == OP_mailbox_grow;
        expected = BIT(CLOSED) | (refuses ? 0 : expected);
    }
    if (c->status == SUBJECT_OK && c->pages <= room) {
        b->pages += c->pages;
    }
    const char *broken =
        oracle_status_in(q, c->status, expected | (c->failed ? WANT : 0), "R37-grow");
    return broken == NULL && c->status == SUBJECT_OK
               ? oracle_answer(c->answer, before, "R5-grow-result")
               : broken;
}

static const char *close_answered(struct judged_box *b, const struct call *c) {
    uint32_t dropped = model_close(&b->model);
    return b->wild ? NULL : oracle_answer(c->answer, dropped, "R36-dropped");
}

const char *sequence_box_answered(const struct sequence *q, struct judged_box *b,
                                  const struct call *c) {
    switch (c->code) {
    case OP_mailbox_enqueue:
    case OP_mailbox_enqueue_id:
    case OP_waker_wake:
        return enqueue_answered(q, b, c);
    case OP_mailbox_flush:
        return flush_answered(q, b, c);
    case OP_mailbox_is_signalled:
        return b->wild
                   ? NULL
                   : oracle_answer(c->yes, b->model.signalled && !b->model.closed, "R34-signal");
    case OP_mailbox_wait_for_signal:
        return signal_answered(q, b, c);
    case OP_mailbox_move:
    case OP_mailbox_grow:
        return grow_answered(q, b, c);
    case OP_mailbox_unhold:
        return oracle_status(q, c->status, SUBJECT_OK, "R37-unhold");
    case OP_mailbox_close:
        return close_answered(b, c);
    case OP_waker_create:
        return oracle_status_in(q, c->status,
                                (sequence_sound_id(q, c->id) ? BIT(OK) : BIT(INVALID)) |
                                    (c->failed ? WANT : 0),
                                "R30-id");
    default:
        return NULL;
    }
}

/* ---- The guest --------------------------------------------------------------------------------
 */

void sequence_drain_begins(struct judged_box *b) {
    b->broken = NULL;
    b->model.signalled = false;
}

void sequence_took(struct judged_box *b, uint32_t id) {
    const char *rule = id == 0 ? "R31-publish" : "R30-exactly-once";
    uint64_t must = model_take(&b->model);
    note((struct note){.kind = NOTE_TAKEN, .rule = rule, .must = must});
    if (id != must && b->broken == NULL) {
        b->broken = rule_differs(rule, "expected the drain to take id %llu, got %u",
                                 (unsigned long long)must, id);
    }
}

const char *sequence_drained(struct judged_box *b, uint32_t in_ring, uint32_t taken) {
    const char *rule = taken < in_ring ? "R30-lost" : "R30-invented";
    return b->broken != NULL ? b->broken : oracle_answer(taken, in_ring, rule);
}

/* True if a guest that went to sleep now would never be told of what is there. */
static bool has_news(const struct model_mailbox *m) {
    return m->in_ring > 0 || m->closed || (m->queued > m->in_ring && m->in_ring == 0);
}

const char *sequence_sleeps(const struct judged_box *b, bool acted) {
    if (!has_news(&b->model)) {
        return NULL;
    }
    bool closed = b->model.closed && (acted || b->model.in_ring == 0);
    const char *rule = closed ? "R36-close-unseen" : "R34-no-lost-wakeup";
    note((struct note){.kind = NOTE_AWAKE, .rule = rule});
    return rule_differs(rule,
                        "expected the guest to be told before it sleeps: %u ids are in the ring%s",
                        b->model.in_ring, b->model.closed ? ", the mailbox is closed" : "");
}

const char *sequence_asks(const struct judged_box *b, const _Atomic uint32_t *flag,
                          uint32_t expected, bool same_time) {
    if (flag == &b->view.words->flag && same_time &&
        atomic_load_explicit(flag, memory_order_relaxed) == expected) {
        return NULL;
    }
    note((struct note){.kind = NOTE_OTHER, .rule = "R34-park"});
    return rule_differs("R34-park",
                        "expected a sleep on the flag as it is, for the time that was told");
}

const char *sequence_ready_for_nothing(const struct judged_box *b) {
    note((struct note){.kind = NOTE_PARKED, .rule = "R34-park", .must = SUBJECT_PARK_READY});
    return rule_differs("R34-park",
                        "expected the guest to sleep, or to ask the host for %u spilled "
                        "ids where there are any",
                        b->model.queued - b->model.in_ring);
}

const char *sequence_parked(const struct judged_box *b, enum subject_park got, bool looked) {
    const struct model_mailbox *m = &b->model;
    if (got == SUBJECT_PARK_CLOSED && (!m->closed || (m->in_ring > 0 && m->signalled))) {
        note((struct note){.kind = NOTE_PARKED, .rule = "R36-park", .must = got});
        return "R36-park";
    }
    if (got == SUBJECT_PARK_TIMED_OUT && has_news(m) && !looked) {
        note((struct note){.kind = NOTE_PARKED, .rule = "R34-park", .must = got});
        return "R34-park";
    }
    return NULL;
}
