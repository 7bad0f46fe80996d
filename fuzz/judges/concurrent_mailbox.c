/* concurrent_mailbox.c: the judge of concurrent calls, for a mailbox: producers, a guest, moves and
 * close. See concurrent.h. */
#include "concurrent.h"

#include <string.h>

enum { SIGNALLED = 1 }; /* of the flag */

static const char *name_of(const struct call *c) {
    return call_status_name(c->status);
}

/* ---- Ids --------------------------------------------------------------------------------------
 */

static bool is_sound(uint64_t id) {
    return id != 0 && id <= UINT32_MAX;
}

struct sent *concurrent_sends(struct concurrent *o, int thread, uint64_t id) {
    if (o->sends == SENT_MAX) {
        return NULL;
    }
    struct sent *s = &o->sent[o->sends++];
    *s = (struct sent){.id = (uint32_t)id,
                       .thread = (uint8_t)thread,
                       .start = concurrent_moment(o),
                       .end = HISTORY_PENDING};
    for (struct sent *other = o->sent; other < s; other++) {
        s->twin |= other->id == s->id;
        other->twin |= other->id == s->id;
    }
    return s;
}

/* From now on every call of that thread must say that the mailbox is closed. */
static void tell(struct concurrent *o, unsigned thread) {
    o->told |= UINT32_C(1) << thread;
}

/* No id may be accepted after close. A thread that has not been told of the close may still answer
 * full, or flushed. */
static const char *closed_check(struct concurrent *o, uint32_t start, const struct call *c,
                                const char *what) {
    const bool enqueues = c->code == OP_mailbox_enqueue || c->code == OP_mailbox_enqueue_id ||
                          c->code == OP_waker_wake || c->code == OP_mailbox_grow;
    const bool late = o->close_end != NEVER && start > o->close_end && !o->searched;
    if (c->status != SUBJECT_CLOSED && o->told >> c->thread & 1) {
        return concurrent_found("R36-enqueue-closed", "%s by a thread that was told of close: %s",
                                what, name_of(c));
    }
    if (late && enqueues && c->status == SUBJECT_OK) {
        return concurrent_found("R36-enqueue-closed", "%s after close says %s", what, name_of(c));
    }
    if (o->close_start == NEVER && c->status == SUBJECT_CLOSED) {
        return concurrent_found("R36-closed", "%s says closed, and nobody closed", what);
    }
    if (c->status == SUBJECT_CLOSED) {
        tell(o, c->thread);
    }
    return NULL;
}

/* If two threads send the same id at once, either may be the one that the guest took. */
static bool delivered_other(struct concurrent *o, struct sent *self) {
    for (unsigned i = 0; i < o->sends; i++) {
        struct sent *s = &o->sent[i];
        if (s != self && s->id == self->id && !s->taken &&
            (s->accepted || s->end == HISTORY_PENDING)) {
            s->taken = true;
            self->taken = false;
            return true;
        }
    }
    return false;
}

/* The reverse: an id that the guest took may belong to this enqueue, although it was counted for
 * one that never returned. */
static void claim_from_twin(struct concurrent *o, struct sent *self) {
    for (unsigned i = 0; i < o->sends && self->accepted && !self->taken; i++) {
        struct sent *s = &o->sent[i];
        if (s != self && s->id == self->id && s->taken && s->end == HISTORY_PENDING) {
            s->taken = false;
            self->taken = true;
        }
    }
}

/* R33: no more ids than fit. */
static const char *room_check(const struct concurrent *o, const struct sent *s,
                              enum subject_status status) {
    uint32_t waiting = 0, taken = 0, accepted = 0, room = o->capacity + o->spill_max;
    if (o->searched) {
        return NULL;
    }
    for (unsigned i = 0; i < o->sends; i++) {
        const struct sent *other = &o->sent[i];
        waiting += other->accepted;
        taken += other->taken;
        /* Beside a close, a refused id may have held a place for a while. */
        accepted += other != s &&
                    (other->accepted || other->end == HISTORY_PENDING || o->close_start != NEVER);
    }
    if (status == SUBJECT_FULL && accepted < room && o->tells_full && !o->wild) {
        return concurrent_found("R33-full", "full, and only %u ids were ever accepted", accepted);
    }
    if (status == SUBJECT_OK && waiting > taken + room && !o->wild) {
        return concurrent_found("R33-capacity", "%u ids are waiting, %u fit", waiting - taken,
                                room);
    }
    return NULL;
}

/* R38: how many ids the guest can have taken, whatever it wrote as its head: as many as a drain
 * took, or as its heads say that lay between the one before and the tail. */
static uint32_t believable(const struct concurrent *o) {
    uint32_t far = o->drains ? o->sends : o->drained, last;
    do {
        last = far;
        for (uint32_t i = 0; i < o->heads; i++) {
            uint32_t ahead = o->head[i] - o->first_cursor - last;
            far = ahead <= o->sends - last && last + ahead > far ? last + ahead : far;
        }
    } while (far != last);
    return far;
}

static const char *lying_head_check(const struct concurrent *o) {
    uint32_t accepted = 0, room = o->capacity + o->spill_max;
    if (!o->wild || o->heads_unknown || !o->has_region || o->searched) {
        return NULL;
    }
    for (unsigned i = 0; i < o->sends; i++) {
        accepted += o->sent[i].accepted;
    }
    return accepted <= believable(o) + room
               ? NULL
               : concurrent_found("R38-lying-head",
                                  "%u ids were accepted, the guest can have taken %u, %u fit",
                                  accepted, believable(o), room);
}

const char *concurrent_sent(struct concurrent *o, struct sent *s, const struct call *c) {
    s->end = concurrent_moment(o);
    if (!is_sound(c->id)) {
        return c->status == SUBJECT_INVALID
                   ? NULL
                   : concurrent_found("R30-id", "enqueue of id %llu says %s",
                                      (unsigned long long)c->id, name_of(c));
    }
    s->accepted = c->status == SUBJECT_OK || s->taken;
    const char *rule = closed_check(o, s->start, c, "enqueue");
    rule = rule != NULL ? rule : room_check(o, s, c->status);
    if (rule == NULL && s->taken && c->status != SUBJECT_OK && !o->wild && !delivered_other(o, s)) {
        rule = concurrent_found("R30-exactly-once", "id %u was delivered, and its enqueue says %s",
                                s->id, name_of(c));
    }
    s->accepted = c->status == SUBJECT_OK;
    claim_from_twin(o, s);
    if (rule == NULL && c->status != SUBJECT_OK && c->status != SUBJECT_FULL &&
        c->status != SUBJECT_CLOSED && !o->faulty) {
        rule = concurrent_found("R30-enqueue", "enqueue says %s", name_of(c));
    }
    return rule != NULL ? rule : lying_head_check(o);
}

/* The first accepted id of that value that nobody took, else one that is still being sent. */
static struct sent *find(struct concurrent *o, uint32_t id, bool *known) {
    struct sent *found = NULL;
    for (unsigned i = 0; i < o->sends && (found == NULL || !found->accepted); i++) {
        struct sent *s = &o->sent[i];
        bool present = s->accepted || s->end == HISTORY_PENDING;
        *known |= s->id == id;
        if (s->id == id && !s->taken && present && (found == NULL || s->accepted)) {
            found = s;
        }
    }
    return found;
}

/* True if that value was enqueued once only, and was not accepted. */
static bool was_refused(const struct concurrent *o, uint32_t id) {
    unsigned enqueued = 0, refused = 0;
    for (unsigned i = 0; i < o->sends; i++) {
        const struct sent *s = &o->sent[i];
        enqueued += s->id == id;
        refused += s->id == id && !s->accepted && !s->taken && s->end != HISTORY_PENDING;
    }
    return enqueued == 1 && refused == 1;
}

const char *concurrent_took(struct concurrent *o, uint32_t id) {
    bool known = false;
    struct sent *found = find(o, id, &known);
    o->took = found == NULL || found->twin || o->wild ? NULL : found;
    if (o->wild) {
        if (found != NULL) {
            found->taken = true;
        }
        return NULL;
    }
    if (found == NULL && was_refused(o, id)) {
        return concurrent_found("R30-refused", "the guest took id %u, which was refused", id);
    }
    if (found == NULL) {
        return concurrent_found(known || id == 0 ? "R31-publish" : "R30-invented",
                                "the guest took id %u, which %s", id,
                                known     ? "it had before"
                                : id == 0 ? "is a slot that nobody wrote"
                                          : "nobody sent");
    }
    for (unsigned i = 0; i < o->sends; i++) {
        const struct sent *s = &o->sent[i];
        const bool before = s->end < found->start && (!o->searched || s->thread == found->thread);
        if (s->accepted && !s->taken && before && !s->twin && !found->twin) {
            return concurrent_found(s->thread == found->thread ? "R32-producer-order" : "R32-order",
                                    "id %u came before id %u, which was enqueued before it began",
                                    id, s->id);
        }
    }
    found->taken = true;
    return NULL;
}

static uint32_t undelivered(const struct concurrent *o) {
    uint32_t count = 0;
    for (unsigned i = 0; i < o->sends; i++) {
        count += o->sent[i].accepted && !o->sent[i].taken;
    }
    return count;
}

uint32_t concurrent_hidden(const struct concurrent *o) {
    return o->spills || o->released || o->close_start != NEVER ? 0 : undelivered(o);
}

const char *concurrent_shown_late(uint32_t hidden) {
    return hidden == 0
               ? NULL
               : concurrent_found("R34-not-shown",
                                  "%u ids were accepted, and the guest is not told", hidden);
}

/* Ids of producers that stopped in the middle of a call: each may have been handed over, or not. */
static uint32_t unanswered(const struct concurrent *o) {
    uint32_t count = 0;
    for (unsigned i = 0; i < o->sends; i++) {
        count += o->sent[i].end == HISTORY_PENDING && !o->sent[i].taken;
    }
    return count;
}

const char *concurrent_lost(const struct concurrent *o) {
    uint32_t lost = undelivered(o);
    if (!o->released && lost + unanswered(o) < o->dropped) {
        return concurrent_found("R36-dropped", "close told of %u ids, and %u are gone", o->dropped,
                                lost);
    }
    return lost <= (o->released ? o->spill_max : o->dropped)
               ? NULL
               : concurrent_found("R30-lost", "%u ids that were accepted are gone", lost);
}

/* ---- Close ------------------------------------------------------------------------------------
 */

void concurrent_close_begins(struct concurrent *o) {
    o->close_start = o->close_start == NEVER ? concurrent_moment(o) : o->close_start;
}

void concurrent_close_ended(struct concurrent *o, const struct subject_words *words) {
    if (o->close_end == NEVER) {
        o->close_end = concurrent_moment(o);
        if (words != NULL) {
            memcpy(o->closed_words, words, sizeof(uint32_t) * (4 + o->slots));
            o->kept_closed = true;
        }
    }
}

void concurrent_says_closed(struct concurrent *o, unsigned thread) {
    tell(o, thread);
}

void concurrent_told_closed(struct concurrent *o, const struct subject_words *words) {
    if (!o->told_closed) {
        o->told_closed = true;
        memcpy(&o->closed_tail, &words->tail, sizeof o->closed_tail);
    }
}

/* A guest that has been told of close has been shown all ids. */
static bool shown_late(const struct concurrent *o, const struct subject_words *words) {
    uint32_t tail;
    memcpy(&tail, &words->tail, sizeof tail);
    return o->told_closed && tail != o->closed_tail;
}

/* All words but the guest's head are as they were, and of the flag only the signal may have gone.
 */
const char *concurrent_silence(const struct concurrent *o, const struct subject_words *words) {
    uint32_t now[RING_MAX + 4];
    if (words != NULL && !o->wild && shown_late(o, words)) {
        return concurrent_found("R36-shown-late",
                                "ids were shown after the guest was told of close");
    }
    if (!o->kept_closed || o->wild || words == NULL) {
        return NULL;
    }
    memcpy(now, words, sizeof(uint32_t) * (4 + o->slots));
    bool same = (now[1] & ~o->closed_words[1]) == 0;
    for (uint32_t i = 0; i < 4 + o->slots; i++) {
        same &= i == 1 || i == 2 || now[i] == o->closed_words[i];
    }
    return same ? NULL
                : concurrent_found("R36-write-after-close",
                                   "the region changed after close had returned");
}

/* ---- Another one in the same memory, and producers that stop (R44, R45) ------------------------
 */

void concurrent_beside_begins(struct concurrent *o, bool overlaps) {
    o->wild |= overlaps;
    o->besides += overlaps;
    if (overlaps && o->released) {
        concurrent_close_begins(o);
    }
}

void concurrent_beside_met(struct concurrent *o, bool overlaps) {
    o->besides -= overlaps;
    o->wild = o->scribbled || o->besides > 0;
}

const char *concurrent_beside_ended(struct concurrent *o, uint32_t start, bool overlaps,
                                    enum subject_status status) {
    const bool closed = o->close_end != NEVER && o->close_end < start;
    const bool may_be_in_use = overlaps && (!closed || o->searched);
    const bool may_succeed = !overlaps || o->close_start != NEVER;
    if (status == SUBJECT_OK ? !may_succeed : status == SUBJECT_IN_USE && !may_be_in_use) {
        return concurrent_found("R44-overlap", "an attach that %s an open mailbox says %s",
                                overlaps ? "overlaps" : "does not overlap",
                                call_status_name(status));
    }
    if (status != SUBJECT_OK && status != SUBJECT_IN_USE && !o->faulty) {
        return concurrent_found("R44-attach", "an attach beside a mailbox says %s",
                                call_status_name(status));
    }
    if (status == SUBJECT_OK && overlaps) { /* the region's contents are lost */
        concurrent_close_ended(o, NULL);
        o->kept_closed = false;
        o->heads_unknown = true;
    } else {
        concurrent_beside_met(o, overlaps);
    }
    return NULL;
}

const char *concurrent_beside_stays(bool is_closed, uint32_t flag, enum subject_status enqueued) {
    enum { CLOSED = 2 };
    if (is_closed || (flag & CLOSED) || (enqueued != SUBJECT_OK && enqueued != SUBJECT_FULL)) {
        return concurrent_found("R44-closed",
                                "a mailbox that nobody closed: closed %s, flag %u, "
                                "an enqueue says %s",
                                is_closed ? "yes" : "no", flag, call_status_name(enqueued));
    }
    return NULL;
}

void concurrent_second_begins(struct concurrent *o) {
    o->second_begun++;
}

const char *concurrent_second_sent(struct concurrent *o, enum subject_status status) {
    o->second_accepted += status == SUBJECT_OK;
    return status == SUBJECT_OK || status == SUBJECT_FULL
               ? NULL
               : concurrent_found("R44-closed", "an enqueue into the second mailbox says %s",
                                  call_status_name(status));
}

const char *concurrent_second_took(struct concurrent *o) {
    o->second_taken++;
    return o->second_taken <= o->second_begun
               ? NULL
               : concurrent_found("R30-exactly-once",
                                  "the second mailbox's guest took %u ids, %u were enqueued",
                                  o->second_taken, o->second_begun);
}

const char *concurrent_second_at_rest(const struct concurrent *o) {
    return o->second_accepted > o->second_taken ? "R34-no-lost-wakeup" : NULL;
}

const char *concurrent_second_lost(const struct concurrent *o) {
    return o->second_accepted <= o->second_taken
               ? NULL
               : concurrent_found("R30-lost", "%u ids of the second mailbox are gone",
                                  o->second_accepted - o->second_taken);
}

const char *concurrent_sleeps(const struct concurrent *o, uint8_t code) {
    const bool enqueues =
        code == OP_mailbox_enqueue || code == OP_mailbox_enqueue_id || code == OP_waker_wake;
    return (enqueues && !o->spills) || code == OP_mailbox_is_signalled
               ? concurrent_found("R45-blocked", "an enqueue, or a question, waits for others")
               : NULL;
}

const char *concurrent_blocked_by_stopped(const struct concurrent *o, uint8_t code) {
    const bool enqueues =
        code == OP_mailbox_enqueue || code == OP_mailbox_enqueue_id || code == OP_waker_wake;
    const bool asks =
        code == OP_mailbox_is_signalled || code == OP_waker_create || code == OP_waker_clone;
    return asks || (enqueues && !o->spills) ? "R45-blocked" : NULL;
}

/* ---- Other calls ------------------------------------------------------------------------------
 */

static const char *flush_ended(struct concurrent *o, const struct call *c) {
    const char *rule = closed_check(o, c->start, c, "flush");
    if (rule == NULL && c->status == SUBJECT_OK && c->answer > o->spill_max) {
        rule = concurrent_found("R33-flush", "%llu ids are left on the host's side, %u can be",
                                (unsigned long long)c->answer, o->spill_max);
    }
    return rule;
}

static const char *signal_ended(struct concurrent *o, const struct call *c) {
    const char *rule = closed_check(o, c->start, c, "wait_for_signal");
    if (rule == NULL && c->status == SUBJECT_OK && o->sends == 0 && !o->wild) {
        rule = concurrent_found("R34-wait-for-signal", "woken, and nobody ever enqueued");
    }
    if (rule == NULL && c->status == SUBJECT_TIMED_OUT &&
        (c->timeout_ns < 0 || c->took_ns < (uint64_t)c->timeout_ns)) {
        rule = concurrent_found("R34-wait-for-signal", "timed out after %llu ns of %lld",
                                (unsigned long long)c->took_ns, (long long)c->timeout_ns);
    }
    return rule;
}

static const char *moved(struct concurrent *o, const struct call *c) {
    const char *rule = c->code == OP_mailbox_grow ? closed_check(o, c->start, c, "grow") : NULL;
    if (rule == NULL && c->status == SUBJECT_OK) {
        return concurrent_grew(o, (uint32_t)c->answer, c->pages);
    }
    if (rule == NULL && c->status == SUBJECT_REFUSED &&
        concurrent_may_refuse(o, c->pages * SUBJECT_PAGE_BYTES)) {
        return NULL;
    }
    if (rule == NULL && c->status == SUBJECT_NO_MEMORY && o->reserve_pages != 0) {
        return NULL;
    }
    if (rule == NULL && c->status != SUBJECT_LIMIT && c->status != SUBJECT_CLOSED && !o->faulty) {
        rule = concurrent_found("R37-grow", "a growth behind the mailbox says %s", name_of(c));
    }
    return rule;
}

static const char *waker_made(const struct concurrent *o, const struct call *c) {
    bool ok = c->status == SUBJECT_OK;
    return ok == is_sound(c->id) || (!ok && o->faulty)
               ? NULL
               : concurrent_found(c->status == SUBJECT_INVALID || ok ? "R30-id" : "R36-waker",
                                  "a waker of id %llu: %s", (unsigned long long)c->id, name_of(c));
}

static const char *parked(struct concurrent *o, const struct call *c) {
    if (c->answer == SUBJECT_PARK_CLOSED && o->close_start == NEVER && !o->wild) {
        return concurrent_found("R36-park", "the guest saw closed, and nobody closed");
    }
    if (c->answer == SUBJECT_PARK_CLOSED && !o->wild) {
        tell(o, c->thread);
    }
    return c->answer == SUBJECT_PARK_TIMED_OUT && c->timeout_ns < 0
               ? concurrent_found("R34-park", "a park without a timeout timed out")
               : NULL;
}

/* Its pages are gone: the mailbox is closed by unhold, unless somebody closed it before. */
static const char *region_lost(struct concurrent *o, const struct call *c) {
    const bool closed_before = o->closed_first;
    concurrent_close_ended(o, NULL);
    o->closed_first = true;
    return c->status == SUBJECT_OUT_OF_BOUNDS || (c->status == SUBJECT_OK && closed_before)
               ? NULL
               : concurrent_found("R37-unhold", "the region is gone, and unhold says %s",
                                  name_of(c));
}

const char *concurrent_box_ended(struct concurrent *o, const struct call *c) {
    switch (c->code) {
    case OP_mailbox_flush:
        return flush_ended(o, c);
    case OP_mailbox_is_signalled:
        /* Another thread may not know of the close yet, so it may read an old value. */
        return c->yes && o->told >> c->thread & 1
                   ? concurrent_found("R36-closed", "signalled after close")
                   : NULL;
    case OP_mailbox_wait_for_signal:
        return signal_ended(o, c);
    case OP_mailbox_move:
    case OP_mailbox_grow:
        return moved(o, c);
    case OP_mailbox_lose:
        if (c->status == SUBJECT_OK) {
            o->closed_first |= o->close_start != NEVER;
            o->lost = o->wild = o->guest_trapped = true;
            concurrent_close_begins(o);
        } else if (c->status != SUBJECT_UNSUPPORTED && c->status != SUBJECT_PINNED) {
            o->half_lost = o->heads_unknown = o->wild = o->guest_trapped = true;
            concurrent_close_begins(o);
        }
        return NULL;
    case OP_mailbox_unhold:
        if (o->lost) {
            return region_lost(o, c);
        }
        return c->status == SUBJECT_OK || o->half_lost
                   ? NULL
                   : concurrent_found("R37-unhold",
                                      "the region was lost in a memory that only grew");
    case OP_mailbox_close:
        tell(o, c->thread);
        o->dropped += (uint32_t)c->answer;
        return NULL;
    case OP_waker_create:
        return waker_made(o, c);
    case OP_guest_drain:
        o->drained = o->sends;
        o->drains = false;
        return o->has_region && c->answer > o->slots && !o->wild
                   ? concurrent_found("R33-count", "a drain of %llu from %u slots",
                                      (unsigned long long)c->answer, o->slots)
                   : NULL;
    case OP_guest_park:
        return parked(o, c);
    default:
        return NULL;
    }
}

/* Nobody may sleep on a signal while there is one, or after close (R34, R36). */
const char *concurrent_mailbox_at_rest(const struct concurrent *o, bool sleeps, bool guest_parks,
                                       bool by_wait, const struct subject_words *words) {
    if (by_wait && o->disable_end != NEVER) {
        return "R29-disable";
    }
    if (!sleeps || (o->wild && !o->lost)) {
        return NULL;
    }
    if (o->close_end != NEVER) {
        return "R36-close-unseen";
    }
    if (o->onlookers > 0) {
        return NULL;
    }
    uint32_t flag = 0;
    if (words != NULL) {
        memcpy(&flag, &words->flag, sizeof flag);
    }
    if (flag & SIGNALLED) {
        return "R34-no-lost-wakeup";
    }
    return guest_parks && undelivered(o) > 0 ? "R34-no-lost-wakeup" : NULL;
}
