/* history.c: linearisability of waits: depth-first over orders, with a memory of states seen. */
#include "history.h"

#include <stddef.h>
#include <string.h>

/* Most searches end before it pays to remember states. */
enum { EVENTS = 20, NODES_MAX = 4000, FORGETFUL = 64, SEEN = 1024, BYTES = 8 };

/* What the search may assume of the subject. */
struct promises {
    bool fifo, value, disable, count;
    bool apart;     /* a wait may compare first and join later (R21) */
    uint32_t limit; /* of waits that are queued; 0: there is none */
};

/* A place in the search. Phases: 0 not begun, 1 joined or disabling, 2 over, COMPARED: a wait that
 * has compared and not yet joined. */
enum { COMPARED = 3 };
struct state {
    uint8_t phase[EVENTS];
    uint8_t queue[EVENTS]; /* waits that have joined, the oldest first */
    uint8_t queued;
    bool disabled;
    uint64_t value; /* of the aligned 8 bytes */
};

struct search {
    const struct event *event[EVENTS];
    unsigned events;
    struct promises promises;
    unsigned nodes;
    uint64_t seen[SEEN]; /* hashes of states that lead nowhere; 0: free */
};

static unsigned shift_of(const struct event *e) {
    return (unsigned)(e->address % BYTES) * 8;
}

static uint64_t mask_of(const struct event *e) {
    return e->width >= BYTES ? UINT64_MAX : ((UINT64_C(1) << (8 * e->width)) - 1) << shift_of(e);
}

static uint64_t part(const struct event *e, uint64_t value) {
    return (value & mask_of(e)) >> shift_of(e);
}

static bool equal(const struct search *s, const struct state *at, const struct event *e) {
    return !s->promises.value || part(e, at->value) == e->value;
}

static bool over(const struct event *e, uint8_t phase) {
    return phase == 2 || (e->kind == EVENT_WAIT && e->outcome == WAIT_PENDING && phase == 1);
}

/* The moment by which the event's next step must have happened. */
static uint32_t due(const struct event *e, uint8_t phase) {
    return e->kind == EVENT_WAIT && phase != 1 && e->joined != 0 ? e->joined : e->end;
}

/* ---- One step of one event; false when it cannot happen here ----------------------------------
 */

static void join(struct state *at, unsigned i) {
    at->queue[at->queued++] = (uint8_t)i;
    at->phase[i] = 1;
}

static void leave(struct state *at, unsigned i) {
    unsigned place = 0;
    while (at->queue[place] != i) {
        place++;
    }
    at->queued--;
    memmove(at->queue + place, at->queue + place + 1, at->queued - place);
    at->phase[i] = 2;
}

static bool step_wait(const struct search *s, struct state *at, unsigned i) {
    const struct event *e = s->event[i];
    if (at->phase[i] == 1) {
        bool may_end = at->disabled || !s->promises.disable;
        if (e->outcome == WAIT_TIMED_OUT || e->outcome == WAIT_CANCELLED ||
            (e->outcome == WAIT_DISABLED && may_end)) {
            leave(at, i);
            return true;
        }
        return false; /* only a notify ends it */
    }
    const bool full = s->promises.limit != 0 && at->queued >= s->promises.limit;
    if (at->phase[i] == COMPARED) {
        join(at, i);
        return true;
    }
    const bool never_joined =
        e->outcome == WAIT_DISABLED && !s->promises.disable && (s->promises.limit == 0 || full);
    if (at->disabled || never_joined) {
        at->phase[i] = 2;
        return e->outcome == WAIT_DISABLED;
    }
    if (e->outcome == WAIT_NOT_EQUAL) {
        at->phase[i] = 2;
        return !s->promises.value || part(e, at->value) != e->value;
    }
    if (!equal(s, at, e)) {
        return false;
    }
    if (e->outcome == WAIT_AT_ONCE || e->outcome == WAIT_REFUSED) {
        at->phase[i] = 2;
        return e->outcome == WAIT_AT_ONCE || s->promises.limit == 0 || full;
    }
    if (full) {
        return false;
    }
    if (s->promises.apart) {
        at->phase[i] = COMPARED;
    } else {
        join(at, i);
    }
    return true;
}

/* Takes the oldest waiters of the address, or any of them if the subject does not promise an order.
 */
static bool step_notify(const struct search *s, struct state *at, unsigned i) {
    const struct event *e = s->event[i];
    uint32_t taken = 0, left = 0;
    unsigned place = 0;
    const uint32_t most = s->promises.count ? e->count : e->woken;
    while (place < at->queued && taken < most) {
        unsigned w = at->queue[place];
        bool mine = s->event[w]->address == e->address;
        bool notified = s->event[w]->outcome == WAIT_NOTIFIED;
        if (mine && notified) {
            leave(at, w);
            taken++;
        } else if (mine && s->promises.fifo) {
            return false;
        } else {
            left += mine;
            place++;
        }
    }
    at->phase[i] = 2;
    return taken == e->woken && (left == 0 || taken == most);
}

static bool step_write(const struct search *s, struct state *at, unsigned i) {
    const struct event *e = s->event[i];
    uint64_t old = part(e, at->value), value = e->value;
    switch (e->write) {
    case WRITE_ADD:
        value = old + e->value;
        break;
    case WRITE_SUB:
        value = old - e->value;
        break;
    case WRITE_AND:
        value = old & e->value;
        break;
    case WRITE_OR:
        value = old | e->value;
        break;
    case WRITE_XOR:
        value = old ^ e->value;
        break;
    case WRITE_CMPXCHG:
        value = old == e->expected ? e->value : old;
        break;
    default:
        break;
    }
    at->value = (at->value & ~mask_of(e)) | (value << shift_of(e) & mask_of(e));
    at->phase[i] = 2;
    return e->write == WRITE_STORE || !s->promises.value || old == e->old;
}

/* Disabling takes two steps: from the first one on, no wait can join; after the second, no waiter
 * is left. */
static bool step_disable(const struct search *s, struct state *at, unsigned i) {
    if (at->phase[i] == 0) {
        at->disabled = s->promises.disable;
        at->phase[i] = 1;
        return true;
    }
    at->phase[i] = 2;
    return at->queued == 0 || !s->promises.disable;
}

static bool step(const struct search *s, struct state *at, unsigned i) {
    switch (s->event[i]->kind) {
    case EVENT_WAIT:
        return step_wait(s, at, i);
    case EVENT_NOTIFY:
        return step_notify(s, at, i);
    case EVENT_WRITE:
        return step_write(s, at, i);
    default:
        return step_disable(s, at, i);
    }
}

/* ---- The search -------------------------------------------------------------------------------
 */

/* True when the state was met before; remembers it. */
static bool met(struct search *s, const struct state *at) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    const uint8_t *parts[] = {at->phase, at->queue, (const uint8_t *)&at->value};
    const size_t bytes[] = {s->events, at->queued, sizeof at->value};
    for (unsigned p = 0; p < 3; p++) {
        for (size_t i = 0; i < bytes[p]; i++) {
            hash = (hash ^ parts[p][i]) * UINT64_C(0x100000001B3);
        }
    }
    hash |= 1;
    uint64_t *slot = &s->seen[hash >> 32 & (SEEN - 1)];
    bool known = *slot == hash;
    *slot = hash;
    return known;
}

/* True if some order explains the rest, or if the work limit is reached. */
static bool explain(struct search *s, const struct state *at) {
    uint32_t first_end = HISTORY_PENDING;
    bool done = true;
    for (unsigned i = 0; i < s->events; i++) {
        if (!over(s->event[i], at->phase[i])) {
            done = false;
            const uint32_t end = due(s->event[i], at->phase[i]);
            first_end = end < first_end ? end : first_end;
        }
    }
    if (done || ++s->nodes > NODES_MAX) {
        return true;
    }
    if (s->nodes == FORGETFUL) {
        memset(s->seen, 0, sizeof s->seen);
    }
    if (s->nodes >= FORGETFUL && met(s, at)) {
        return false;
    }
    for (unsigned i = 0; i < s->events; i++) {
        if (over(s->event[i], at->phase[i]) || s->event[i]->start > first_end) {
            continue;
        }
        struct state next = *at;
        if (step(s, &next, i) && explain(s, &next)) {
            return true;
        }
    }
    return false;
}

static bool explained(struct search *s, struct promises promises) {
    struct state start = {.queued = 0};
    s->promises = promises;
    s->nodes = 0;
    return explain(s, &start);
}

/* A notify that woke some waiters, but fewer than it was allowed to. */
static bool some_of_many(const struct search *s) {
    bool any = false;
    for (unsigned i = 0; i < s->events; i++) {
        const struct event *e = s->event[i];
        any |= e->kind == EVENT_NOTIFY && e->woken > 0 && e->woken < e->count;
    }
    return any;
}

/* Events of one aligned 8 bytes, and every disable; the bytes are 0 at first. */
static const char *cell_check(const struct event *events, unsigned count, uint64_t cell,
                              bool values) {
    static struct search s;
    s.events = 0;
    bool waits = false;
    for (unsigned i = 0; i < count; i++) {
        const struct event *e = &events[i];
        if (e->kind == EVENT_DISABLE || e->address / BYTES == cell) {
            if (s.events == EVENTS) {
                return NULL;
            }
            waits |= e->kind == EVENT_WAIT;
            s.event[s.events++] = e;
        }
    }
    const struct promises all = {.fifo = true, .value = values, .disable = true, .count = true};
    struct promises but = all;
    if (explained(&s, all)) {
        return NULL;
    }
    if (!waits) {
        return "R18-atomic";
    }
    but.disable = false;
    if (explained(&s, but)) {
        return "R29-disable";
    }
    but = all;
    but.fifo = false;
    if (explained(&s, but)) {
        return "R25-fifo";
    }
    but = all;
    but.count = false;
    const bool counted = explained(&s, but);
    if (counted && some_of_many(&s)) {
        return "R24-count";
    }
    but = all;
    but.apart = true;
    if (values && explained(&s, but)) {
        return "R21-atomic-enqueue";
    }
    but.value = false;
    return explained(&s, but) ? "R20-value" : counted ? "R24-count" : "R22-no-spurious";
}

/* A notify that found nobody says nothing of the limit: a waiter whose time is over leaves its
 * queue first, and the number of all afterwards. Nor does a disable: a wait looks at the mark
 * first, and may count itself when others have been woken by the disable that set it. */
const char *history_limit(const struct event *events, unsigned count, uint32_t limit) {
    static struct search s;
    const struct promises free = {.fifo = true, .count = true};
    struct promises limited = free;
    limited.limit = limit;
    s.events = 0;
    for (unsigned i = 0; i < count; i++) {
        const bool found_nobody = events[i].kind == EVENT_NOTIFY && events[i].woken == 0;
        if (events[i].kind != EVENT_WRITE && !found_nobody) {
            if (s.events == EVENTS) {
                return NULL;
            }
            s.event[s.events++] = &events[i];
        }
    }
    return explained(&s, limited) || !explained(&s, free) ? NULL : "R28-waiter-limit";
}

/* Only such events can be wrong: waits, and what tells the value that it found. */
static bool tells(const struct event *e, bool values) {
    return e->kind == EVENT_WAIT || (values && e->kind == EVENT_WRITE && e->write != WRITE_STORE);
}

const char *history_check(const struct event *events, unsigned count, bool values) {
    for (unsigned i = 0; i < count; i++) {
        if (!tells(&events[i], values)) {
            continue;
        }
        uint64_t cell = events[i].address / BYTES;
        bool checked = false;
        for (unsigned j = 0; j < i && !checked; j++) {
            checked = tells(&events[j], values) && events[j].address / BYTES == cell;
        }
        const char *broken = checked ? NULL : cell_check(events, count, cell, values);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}
