/* concurrent_answers.c: what an answer proves to the thread that got it: that another thread's call
 * came before, so that what that thread had done until then may be relied on. See concurrent.h. */
#include "concurrent.h"

#include <stddef.h>

/* ---- Which call has which number --------------------------------------------------------------
 */

enum { EVENTS = 0, GROWTHS = HISTORY_EVENTS_MAX, CANCELS = GROWTHS + GROWS_MAX };

unsigned concurrent_deed(const struct concurrent *o, const struct call *c,
                         const struct event *event) {
    if (event != NULL) {
        return EVENTS + (unsigned)(event - o->event);
    }
    for (unsigned i = 0; c != NULL && i < o->asks; i++) {
        if (c->code == OP_memory_grow && o->asked[i].moment == c->start) {
            return GROWTHS + i;
        }
    }
    return DEEDS_MAX;
}

unsigned concurrent_cancel_deed(const struct concurrent *o, unsigned thread) {
    return o->cancels[thread] == 1 ? CANCELS + thread : DEEDS_MAX;
}

static unsigned deed_of(const struct concurrent *o, const struct event *e) {
    return EVENTS + (unsigned)(e - o->event);
}

/* ---- What an answer proves: the numbers of the calls; returns how many --------------------------
 */

static bool is_notified(const struct event *e) {
    return e != NULL && e->kind == EVENT_WAIT && e->outcome == WAIT_NOTIFIED;
}

static unsigned notifiers(const struct concurrent *o, const struct call *c,
                          const struct event *self, uint16_t *deed) {
    const struct event *notify = is_notified(self) ? concurrent_notifier(o, self) : NULL;
    (void)c;
    if (notify != NULL) {
        deed[0] = (uint16_t)deed_of(o, notify);
    }
    return notify != NULL;
}

/* A notify that counted as many as can have waited there counted each of them. */
static unsigned waiters(const struct concurrent *o, const struct call *c, const struct event *self,
                        uint16_t *deed) {
    unsigned count = 0;
    (void)c;
    if (self == NULL || self->kind != EVENT_NOTIFY || self->woken == 0 ||
        concurrent_is_flag(o, self->address)) {
        return 0;
    }
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        if (e->kind == EVENT_WAIT && e->address == self->address &&
            (e->outcome == WAIT_PENDING || e->outcome == WAIT_NOTIFIED) &&
            (o->searched || e->end > self->start)) {
            deed[count++] = (uint16_t)deed_of(o, e);
        }
    }
    return count == self->woken ? count : 0;
}

static unsigned disablers(const struct concurrent *o, const struct call *c,
                          const struct event *self, uint16_t *deed) {
    unsigned count = 0;
    (void)c;
    if (self == NULL || self->kind != EVENT_WAIT || self->outcome != WAIT_DISABLED) {
        return 0;
    }
    for (unsigned i = 0; i < o->events; i++) {
        if (o->event[i].kind == EVENT_DISABLE) {
            deed[0] = (uint16_t)deed_of(o, &o->event[i]);
            count++;
        }
    }
    return count == 1;
}

static unsigned cancellers(const struct concurrent *o, const struct call *c,
                           const struct event *self, uint16_t *deed) {
    (void)c;
    if (self == NULL || self->kind != EVENT_WAIT || self->outcome != WAIT_CANCELLED) {
        return 0;
    }
    const unsigned cancel = concurrent_cancel_deed(o, self->canceller);
    deed[0] = (uint16_t)cancel;
    return cancel != DEEDS_MAX;
}

/* The only write to these bytes, but for self: whoever finds anything but the initial 0 there has
 * seen it. */
static unsigned sole_writer(const struct concurrent *o, uint64_t address, unsigned width,
                            const struct event *self, uint16_t *deed) {
    const struct event *found = NULL;
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        if (e == self || e->kind != EVENT_WRITE || e->address >= address + width ||
            address >= e->address + e->width) {
            continue;
        }
        if (found != NULL || e->address != address || e->width != width) {
            return 0;
        }
        found = e;
    }
    if (found != NULL) {
        deed[0] = (uint16_t)deed_of(o, found);
    }
    return found != NULL;
}

static bool values_count(const struct concurrent *o) {
    return !o->values_lost && !o->puts_unknown && !o->wild && !o->has_region && !o->mixed;
}

static unsigned compared(const struct concurrent *o, const struct call *c, const struct event *self,
                         uint16_t *deed) {
    const bool differs = self != NULL && self->kind == EVENT_WAIT &&
                         self->outcome == WAIT_NOT_EQUAL && self->value == 0;
    return differs && values_count(o) ? sole_writer(o, c->at, c->width, self, deed) : 0;
}

static unsigned loaded(const struct concurrent *o, const struct call *c, const struct event *self,
                       uint16_t *deed) {
    const bool loads = c->code == OP_memory_atomic_load || c->code == OP_memory_atomic_rmw ||
                       c->code == OP_memory_atomic_cmpxchg;
    return loads && c->status == SUBJECT_OK && c->answer != 0 && values_count(o)
               ? sole_writer(o, c->at, c->width, self, deed)
               : 0;
}

/* How far the memory reached, as the caller knows by this answer. */
static uint64_t reached(const struct call *c) {
    if (c->status != SUBJECT_OK) {
        return 0;
    }
    switch (c->code) {
    case OP_memory_grow:
        return c->answer * SUBJECT_PAGE_BYTES;
    case OP_memory_copy:
        return c->copied_pages * (uint64_t)SUBJECT_PAGE_BYTES;
    case OP_memory_bulk_fill:
    case OP_memory_initialise:
    case OP_memory_read:
    case OP_memory_pin:
        return c->count > 0 ? c->at + c->count : 0;
    default:
        return concurrent_has_width(c->code) ? c->at + c->width : 0;
    }
}

/* All growths that began below. One that has not returned is one of them if no other reaches as
 * far.
 */
static unsigned growers_up_to(const struct concurrent *o, uint64_t bytes, uint16_t *deed) {
    const uint64_t pages = (bytes + SUBJECT_PAGE_BYTES - 1) / SUBJECT_PAGE_BYTES;
    uint64_t explained = o->min_pages;
    unsigned count = 0, running = 0, last = 0;
    for (unsigned i = 0; i < o->asks; i++) {
        const struct asked *g = &o->asked[i];
        if (g->ended && g->top_pages != 0 && g->old_pages < pages) {
            deed[count++] = (uint16_t)(GROWTHS + i);
        }
        explained = g->top_pages > explained ? g->top_pages : explained;
        if (!g->ended) {
            running++;
            last = GROWTHS + i;
        }
    }
    if (explained < pages && running == 1 && !o->grows_otherwise) {
        deed[count++] = (uint16_t)last;
    }
    return count;
}

static unsigned growers(const struct concurrent *o, const struct call *c, const struct event *self,
                        uint16_t *deed) {
    const uint64_t bytes = reached(c);
    (void)self;
    return bytes <= o->min_pages * SUBJECT_PAGE_BYTES || c->code == OP_memory_copy
               ? 0
               : growers_up_to(o, bytes, deed);
}

static unsigned copied(const struct concurrent *o, const struct call *c, const struct event *self,
                       uint16_t *deed) {
    (void)self;
    return c->code == OP_memory_copy ? growers_up_to(o, reached(c), deed) : 0;
}

static unsigned owned(const struct concurrent *o, const struct call *c, const struct event *self,
                      uint16_t *deed) {
    (void)self;
    return c->code == OP_memory_owner_of && c->yes && c->at < c->size_bytes
               ? growers_up_to(o, c->owner.length_bytes, deed)
               : 0;
}

/* Who answers what, and whose call came before then. */
static const struct answer {
    const char *rule; /* if what was done before that call is not seen */
    unsigned (*proves)(const struct concurrent *o, const struct call *c, const struct event *self,
                       uint16_t *deed);
} answers[] = {
    {"R22-notifier-unseen", notifiers},   /* a wait: notified */
    {"R24-waiter-unseen", waiters},       /* a notify: so many */
    {"R29-disabler-unseen", disablers},   /* a wait: disabled */
    {"R41-canceller-unseen", cancellers}, /* a wait: cancelled */
    {"R20-writer-unseen", compared},      /* a wait: another value than 0 */
    {"R18-writer-unseen", loaded},        /* an atomic load or exchange: not 0 */
    {"R11-grower-unseen", growers},       /* any access, and growth: so many bytes are there */
    {"R13-grower-unseen", copied},        /* a copy: it has so many pages */
    {"R39-grower-unseen", owned},         /* the owner look-up: of so many bytes */
};

const char *concurrent_proof(const struct concurrent *o, const struct call *c,
                             const struct event *self, unsigned *nth, uint16_t *deed,
                             unsigned *deeds) {
    *deeds = 0;
    while (o->has_memory && !o->events_lost && *nth < sizeof answers / sizeof answers[0]) {
        const struct answer *answer = &answers[(*nth)++];
        *deeds = answer->proves(o, c, self, deed);
        if (*deeds > 0) {
            return answer->rule;
        }
    }
    return NULL;
}
