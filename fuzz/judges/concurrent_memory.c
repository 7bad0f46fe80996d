/* concurrent_memory.c: the judge of concurrent calls, for a memory: growth, copies, ranges, wait
 * and notify. See concurrent.h. */
#include "concurrent.h"

#include <stdarg.h>
#include <stddef.h>
#include <string.h>

enum { CELL_BYTES = 8 };

/* ---- Findings ---------------------------------------------------------------------------------
 */

static char why[512];

void concurrent_clear(struct concurrent *o) {
    memset(o, 0, offsetof(struct concurrent, event));
}

const char *concurrent_why(void) {
    return why;
}

const char *concurrent_found(const char *rule, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    return rule;
}

uint32_t concurrent_moment(struct concurrent *o) {
    return ++o->now;
}

static const char *name_of(const struct call *c) {
    return call_status_name(c->status);
}

/* ---- The end ----------------------------------------------------------------------------------
 */

const char *concurrent_chain(const struct concurrent *o, uint64_t bytes) {
    uint32_t pages = o->min_pages;
    bool used[GROWS_MAX] = {false};
    for (unsigned i = 0; i < o->growths; i++) {
        unsigned next = 0;
        while (next < o->growths && (used[next] || o->grown[next].old_pages != pages)) {
            next++;
        }
        if (next == o->growths) {
            return concurrent_found("R11-shared-grow",
                                    "no growth began at %u pages, of %u that succeeded", pages,
                                    o->growths);
        }
        used[next] = true;
        pages += o->grown[next].delta;
    }
    return bytes == pages * SUBJECT_PAGE_BYTES
               ? NULL
               : concurrent_found("R11-shared-grow",
                                  "%llu bytes where the growths add up to %u pages",
                                  (unsigned long long)bytes, pages);
}

/* At quiescence the sum of notify results is the number of waits that returned 0 (R22). */
static const char *check_sums(const struct event *event, unsigned events) {
    for (unsigned i = 0; i < events; i++) {
        uint64_t address = event[i].address, counted = 0, notified = 0;
        if (event[i].kind != EVENT_WAIT && event[i].kind != EVENT_NOTIFY) {
            continue;
        }
        for (unsigned j = 0; j < events; j++) {
            const struct event *e = &event[j];
            if (e->address == address && e->kind == EVENT_NOTIFY) {
                counted += e->woken;
            }
            notified +=
                e->address == address && e->kind == EVENT_WAIT && e->outcome == WAIT_NOTIFIED;
        }
        if (counted != notified) {
            return "R22-no-spurious";
        }
    }
    return NULL;
}

/* Threads that wait at the notify's address while it runs. */
static uint32_t waiting_threads(const struct event *event, unsigned events,
                                const struct event *notify, bool searched) {
    enum { THREADS = 128 }; /* of the program and of its crowds */
    bool waits[THREADS] = {false};
    uint32_t threads = 0;
    for (unsigned i = 0; i < events; i++) {
        const struct event *e = &event[i];
        const bool beside = e->start < notify->end && e->end > notify->start;
        if (e->kind == EVENT_WAIT && e->address == notify->address && (beside || searched)) {
            threads += !waits[e->thread % THREADS];
            waits[e->thread % THREADS] = true;
        }
    }
    return threads;
}

/* A waiter that joined its queue before the notify began and is still there. */
static const struct event *passed_over(const struct event *event, unsigned events,
                                       const struct event *notify) {
    for (unsigned i = 0; i < events; i++) {
        const struct event *e = &event[i];
        if (e->kind == EVENT_WAIT && e->address == notify->address && e->outcome == WAIT_PENDING &&
            e->joined != 0 && e->joined < notify->start) {
            return e;
        }
    }
    return NULL;
}

/* For any number of waits: a notify is one step, so it counts no thread twice, and it takes all
 * waiters up to its count. */
static const char *check_counts(const struct event *event, unsigned events, bool searched) {
    for (unsigned i = 0; i < events; i++) {
        const struct event *e = &event[i];
        if (e->kind != EVENT_NOTIFY) {
            continue;
        }
        if (e->woken > waiting_threads(event, events, e, searched)) {
            return "R24-count";
        }
        if (!searched && e->end != HISTORY_PENDING && e->woken < e->count &&
            passed_over(event, events, e) != NULL) {
            return e->woken == 0 && e->count <= INT32_MAX ? "R21-atomic-enqueue" : "R24-count";
        }
    }
    return NULL;
}

/* True if guest memory [at, at + bytes) overlaps the region that begins at `offset`. */
static bool lies_in(uint32_t offset, uint64_t at, uint64_t bytes) {
    enum { REGION_BYTES = 16 + 4 * RING_MAX };
    return at < (uint64_t)offset + REGION_BYTES && at + bytes > offset;
}

/* The same for the mailbox's own region. */
static bool is_mailbox(const struct concurrent *o, uint64_t at, uint64_t bytes) {
    return o->has_region && lies_in(o->offset, at, bytes);
}

/* The mailbox writes its own words and notifies its flag; the history does not show that. */
/* The event as if it lasted from the beginning to the end. */
static struct event any_time(const struct event *e) {
    struct event moved = *e;
    moved.start = moved.joined = 0;
    moved.end = e->end == HISTORY_PENDING ? HISTORY_PENDING : HISTORY_PENDING - 1;
    return moved;
}

const char *concurrent_history(const struct concurrent *o) {
    static struct event known[HISTORY_EVENTS_MAX];
    unsigned count = 0;
    if (o->events_lost) {
        return NULL;
    }
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        uint64_t cell = e->address / CELL_BYTES * CELL_BYTES;
        if (e->kind == EVENT_DISABLE || !is_mailbox(o, cell, CELL_BYTES)) {
            known[count++] = o->searched ? any_time(e) : *e;
        }
    }
    const char *rule = check_counts(known, count, o->searched);
    rule = rule != NULL ? rule : check_sums(known, count);
    const char *order = rule == NULL ? concurrent_stores_seen(o) : NULL;
    if (order != NULL) {
        return order;
    }
    rule = rule != NULL ? rule : history_check(known, count, !o->values_lost);
    if (rule == NULL && o->waiters_max != 0 && !o->has_mailbox) { /* whose guests wait, too */
        rule = history_limit(known, count, o->waiters_max);
    }
    return rule == NULL ? NULL
                        : concurrent_found(
                              rule, "no order of these waits and notifies explains their results");
}

/* Waits that never returned: they must be in their queues, and nobody may have disabled them. */
const char *concurrent_memory_at_rest(const struct concurrent *o) {
    unsigned blocked = 0;
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        if (e->kind == EVENT_WAIT && e->outcome == WAIT_PENDING) {
            blocked++;
            if (e->cancellable && o->cancel_end[e->canceller] != NEVER) {
                return "R41-cancel";
            }
            if (o->disable_end != NEVER) {
                return "R29-disable";
            }
        }
    }
    if (o->waiters_max != 0 && blocked > o->waiters_max) {
        return "R28-waiter-limit";
    }
    return concurrent_history(o);
}

/* The only write to these bytes in the whole run, if it changes 0 to another value. NULL if there
 * is none, or more than one. */
static const struct event *only_write(const struct concurrent *o, uint64_t address,
                                      unsigned width) {
    const struct event *found = NULL;
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        if (e->kind != EVENT_WRITE || e->look || e->address >= address + width ||
            address >= e->address + e->width) {
            continue;
        }
        if (found != NULL || e->address != address || e->width != width || e->value == 0 ||
            e->write == WRITE_AND || /* of the initial 0 it makes 0 */
            e->write == WRITE_CMPXCHG) {
            return NULL;
        }
        found = e;
    }
    return found;
}

/* The load came before the only store to its word: it saw the initial 0. */
static bool missed_it(const struct seen *load, const struct event *store) {
    return store != NULL && load->value == 0 && store->thread != load->thread;
}

const char *concurrent_stores_seen(const struct concurrent *o) {
    if (o->events_lost || o->values_lost || o->wild) {
        return NULL;
    }
    for (unsigned i = 0; i < o->sights; i++) {
        const struct seen *first = &o->seen[i];
        const struct event *theirs = only_write(o, first->address, first->width);
        for (unsigned j = 0; missed_it(first, theirs) && j < o->sights; j++) {
            const struct seen *second = &o->seen[j];
            const struct event *ours = only_write(o, second->address, second->width);
            if (second->thread == theirs->thread && missed_it(second, ours) &&
                ours->thread == first->thread && ours->end < first->start &&
                theirs->end < second->start) {
                const bool waits = first->waits || second->waits;
                return concurrent_found(waits ? "R20-order" : "R18-order",
                                        "T%u stored and did not see T%u's store, and the other way "
                                        "round",
                                        first->thread, second->thread);
            }
        }
    }
    return NULL;
}

const char *concurrent_waiters_left(uint32_t waiters) {
    return waiters == 0 ? NULL
                        : concurrent_found("R28-waiters-left", "%u waiters are left", waiters);
}

const char *concurrent_stays(const uint8_t *base, const uint8_t *now) {
    return base == now ? NULL : concurrent_found("R10-base", "the base of a shared memory moved");
}

/* ---- One budget for all -----------------------------------------------------------------------
 */

static uint32_t claims_change(struct claims *claims, uint64_t bytes) {
    claims->now_bytes = bytes;
    claims->now++;
    if (claims->now < CLAIMS_MAX) {
        claims->bytes[claims->now] = bytes;
    }
    return claims->now;
}

uint32_t concurrent_claims(struct claims *claims, uint64_t bytes) {
    if (claims == NULL) {
        return 0;
    }
    const uint32_t moment = claims_change(claims, claims->now_bytes + bytes);
    claims->most_bytes =
        claims->now_bytes > claims->most_bytes ? claims->now_bytes : claims->most_bytes;
    return moment;
}

void concurrent_unclaims(struct claims *claims, uint64_t bytes) {
    if (claims != NULL) {
        (void)claims_change(claims, claims->now_bytes - bytes);
    }
}

void concurrent_refuses(struct claims *claims, uint32_t from, uint64_t bytes) {
    if (claims == NULL) {
        return;
    }
    if (claims->refusals < REFUSALS_MAX) {
        claims->refusal[claims->refusals] =
            (struct refusal){.bytes = bytes, .from = from, .to = claims->now + 1};
    }
    claims->refusals++;
    concurrent_unclaims(claims, bytes);
}

/* What can have been granted at that moment. */
static uint64_t granted_at(const struct claims *claims, uint32_t moment) {
    uint64_t bytes = claims->bytes[moment];
    for (unsigned i = 0; i < claims->refusals; i++) {
        const struct refusal *r = &claims->refusal[i];
        bytes -= r->from <= moment && moment < r->to ? r->bytes : 0;
    }
    return bytes;
}

const char *concurrent_refusals(const struct claims *claims) {
    if (claims->now >= CLAIMS_MAX || claims->refusals > REFUSALS_MAX) {
        return NULL;
    }
    for (unsigned i = 0; i < claims->refusals; i++) {
        const struct refusal *r = &claims->refusal[i];
        uint64_t most_bytes = 0;
        for (uint32_t moment = 0; moment < r->to; moment++) {
            const uint64_t bytes = granted_at(claims, moment);
            most_bytes = bytes > most_bytes ? bytes : most_bytes;
        }
        if (most_bytes + r->bytes <= claims->budget_bytes) {
            return concurrent_found("R40-refused",
                                    "%llu bytes were refused: at most %llu of %llu were granted",
                                    (unsigned long long)r->bytes, (unsigned long long)most_bytes,
                                    (unsigned long long)claims->budget_bytes);
        }
    }
    return NULL;
}

/* Whoever asks may see what was in use at any time before: a budget is a number that orders
 * nothing.
 */
bool concurrent_may_refuse(const struct concurrent *o, uint64_t bytes) {
    return o->claims != NULL && o->claims->most_bytes + bytes > o->claims->budget_bytes;
}

const char *concurrent_budget(uint64_t used_bytes, uint64_t memories_bytes) {
    return used_bytes == memories_bytes
               ? NULL
               : concurrent_found("R40-budget", "memories of %llu bytes, and %llu are in use",
                                  (unsigned long long)memories_bytes,
                                  (unsigned long long)used_bytes);
}

/* ---- Growth and copies ------------------------------------------------------------------------
 */

const char *concurrent_grew(struct concurrent *o, uint32_t old_pages, uint32_t delta) {
    if ((uint64_t)old_pages + delta > o->max_pages) {
        return concurrent_found("R5-grow-limit", "grow by %u from %u pages, of at most %u", delta,
                                old_pages, o->max_pages);
    }
    if (delta != 0 && o->growths < GROWS_MAX) {
        o->grown[o->growths++] = (struct grown){old_pages, delta};
    }
    return NULL;
}

static const char *grow_ended(struct concurrent *o, const struct call *c) {
    const uint32_t old_pages = (uint32_t)c->answer;
    uint32_t claimed = 0;
    for (unsigned i = 0; i < o->asks; i++) {
        if (o->asked[i].moment == c->start) {
            o->asked[i].ended = true;
            o->asked[i].old_pages = c->status == SUBJECT_OK ? old_pages : 0;
            o->asked[i].top_pages = c->status == SUBJECT_OK ? old_pages + c->pages : 0;
            claimed = o->asked[i].claimed;
        }
    }
    if (c->status == SUBJECT_REFUSED) {
        concurrent_refuses(o->claims, claimed, c->pages * SUBJECT_PAGE_BYTES);
    } else if (c->status != SUBJECT_OK) {
        concurrent_unclaims(o->claims, c->pages * SUBJECT_PAGE_BYTES);
    }
    if (c->status == SUBJECT_REFUSED && concurrent_may_refuse(o, c->pages * SUBJECT_PAGE_BYTES)) {
        return NULL;
    }
    if (c->status != SUBJECT_OK) {
        bool limit = c->status == SUBJECT_LIMIT;
        const bool is_short = o->reserve_pages != 0 && c->status == SUBJECT_NO_MEMORY &&
                              c->pages_after + c->pages > o->reserve_pages;
        if (limit ? c->pages_after + c->pages > o->max_pages : o->faulty || is_short) {
            return NULL;
        }
        return concurrent_found(limit ? "R5-grow-limit" : "R6-grow-atomic",
                                "grow by %u at %u pages says %s", c->pages,
                                (unsigned)c->pages_after, name_of(c));
    }
    const char *rule = concurrent_grew(o, old_pages, c->pages);
    if (rule == NULL && old_pages < c->pages_before) {
        rule = concurrent_found("R5-grow-limit", "grow by %u from %u pages, where there were %u",
                                c->pages, old_pages, (unsigned)c->pages_before);
    }
    if (rule == NULL &&
        (c->pages_after < (uint64_t)old_pages + c->pages || c->last_byte != SUBJECT_OK)) {
        rule = concurrent_found("R11-shared-grow",
                                "the last byte of a growth to %u pages is out of bounds",
                                old_pages + c->pages);
    }
    return rule;
}

const char *concurrent_copied(const struct concurrent *o, const struct call *c,
                              const struct subject_type *type, uint32_t pages,
                              enum subject_status last_byte) {
    if (c->status != SUBJECT_OK) {
        return o->faulty || (o->scarce && c->status == SUBJECT_NO_MEMORY) ||
                       (c->status == SUBJECT_REFUSED &&
                        concurrent_may_refuse(o, o->max_pages * SUBJECT_PAGE_BYTES))
                   ? NULL
                   : concurrent_found("R13-copy", "a copy was refused: %s", name_of(c));
    }
    if (pages < c->pages_before || pages > c->pages_after ||
        (type != NULL && (!type->shared || type->max_pages != o->max_pages))) {
        return concurrent_found("R13-copy", "a copy of %u to %u pages has %u",
                                (unsigned)c->pages_before, (unsigned)c->pages_after, pages);
    }
    return last_byte == SUBJECT_OK
               ? NULL
               : concurrent_found("R13-copy", "the last byte of a copy is out of bounds");
}

const char *concurrent_copied_bytes(const struct concurrent *o, const struct put *where,
                                    uint64_t value) {
    const unsigned all = (1u << where->bytes) - 1;
    unsigned explained = 0; /* bit n: byte n is the initial 0, or a store's */
    bool known = !o->puts_unknown && !o->has_region;
    for (unsigned byte = 0; byte < where->bytes; byte++) {
        explained |= (value >> 8 * byte & 0xFF) == 0 ? 1u << byte : 0;
    }
    for (unsigned i = 0; i < o->puts; i++) {
        const struct put *p = &o->put[i];
        if (p->address < where->address + where->bytes && where->address < p->address + p->bytes) {
            known &= p->one && p->address == where->address && p->bytes == where->bytes;
            for (unsigned byte = 0; byte < where->bytes; byte++) {
                explained |= ((value ^ p->value) >> 8 * byte & 0xFF) == 0 ? 1u << byte : 0;
            }
        }
    }
    return !known || explained == all
               ? NULL
               : concurrent_found("R13-copy", "a copy has %llx at %llu, which nobody wrote",
                                  (unsigned long long)value, (unsigned long long)where->address);
}

/* ---- Events -----------------------------------------------------------------------------------
 */

static struct event *event_new(struct concurrent *o, enum event_kind kind, uint64_t address) {
    if (o->events == HISTORY_EVENTS_MAX) {
        o->events_lost = true;
        return NULL;
    }
    struct event *e = &o->event[o->events++];
    *e = (struct event){
        .kind = kind, .start = concurrent_moment(o), .end = HISTORY_PENDING, .address = address};
    return e;
}

/* Other events may have been added since, so it is kept as one that did nothing. */
static void event_cancel(struct concurrent *o, struct event *e) {
    if (e != NULL) {
        e->kind = EVENT_NOTIFY;
        e->count = e->woken = 0;
        e->end = concurrent_moment(o);
    }
}

struct event *concurrent_disable_begins(struct concurrent *o) {
    struct event *e = event_new(o, EVENT_DISABLE, 0);
    o->disable_start = o->disable_start == NEVER ? concurrent_moment(o) : o->disable_start;
    return e;
}

void concurrent_disable_ended(struct concurrent *o, struct event *e) {
    o->disable_end = o->disable_end == NEVER ? concurrent_moment(o) : o->disable_end;
    if (e != NULL) {
        e->end = concurrent_moment(o);
    }
}

void concurrent_cancels(struct concurrent *o, unsigned thread) {
    o->cancels[thread]++;
    o->cancel_start[thread] =
        o->cancel_start[thread] == NEVER ? concurrent_moment(o) : o->cancel_start[thread];
}

void concurrent_cancelled(struct concurrent *o, unsigned thread) {
    o->cancel_end[thread] =
        o->cancel_end[thread] == NEVER ? concurrent_moment(o) : o->cancel_end[thread];
}

/* ---- Before a call ----------------------------------------------------------------------------
 */

/* A guest whose capacity word was overwritten would read anywhere. A real guest's sandbox would
 * trap; here the guest just stops. No other thread may overwrite the word while the guest reads it.
 */
static bool scribbles(struct concurrent *o, int thread, uint64_t at) {
    bool capacity = at < (uint64_t)o->offset + offsetof(struct subject_words, flag);
    if (capacity && thread != o->guest && o->guest >= 0) {
        return false;
    }
    o->wild = o->scribbled = true;
    o->guest_trapped |= capacity;
    return true;
}

bool concurrent_scribbles(struct concurrent *o, int thread, uint64_t at, uint64_t bytes) {
    if (o->has_second && lies_in(o->second_offset, at, bytes)) {
        return false; /* its guest is not hostile */
    }
    if (!is_mailbox(o, at, bytes)) {
        return true;
    }
    o->heads_unknown = true;
    return scribbles(o, thread, at);
}

/* A drain makes the tail that it has read its head. */
bool concurrent_guest_writes(struct concurrent *o, int thread, uint64_t word_offset,
                             uint32_t value) {
    bool is_head = word_offset == offsetof(struct subject_words, head) ||
                   word_offset == offsetof(struct subject_words, tail);
    if (is_head && o->heads == HEADS_MAX) {
        o->heads_unknown = true;
    } else if (is_head) {
        o->head[o->heads++] = value;
    }
    return scribbles(o, thread, o->offset + word_offset);
}

/* Keeps a write for the loads that may meet it. */
static void put(struct concurrent *o, const struct put *made) {
    if (o->puts == HISTORY_EVENTS_MAX) {
        o->puts_unknown = true;
    } else {
        o->put[o->puts++] = *made;
    }
}

static uint64_t cut_to(uint64_t value, unsigned width) {
    return width < CELL_BYTES ? value & ((UINT64_C(1) << 8 * width) - 1) : value;
}

static bool is_aligned(const struct call *c) {
    return c->width != 3 && c->at % c->width == 0;
}

/* The history does not record these writes, so the values that waits compare are no longer checked.
 */
static bool may_write(struct concurrent *o, const struct call *c, uint64_t count) {
    const bool one = c->code == OP_memory_store && is_aligned(c);
    o->values_lost = true;
    put(o, &(struct put){.address = c->at,
                         .bytes = count,
                         .value = one ? cut_to(c->value, c->width) : 0,
                         .one = one,
                         .plain = true});
    return concurrent_scribbles(o, c->thread, c->at, count);
}

bool concurrent_looks(struct concurrent *o, const struct event *write, struct event **look) {
    for (const struct event *e = o->event; e < write; e++) {
        if (e->kind == EVENT_WRITE && e->address == write->address && e->width == write->width) {
            return false;
        }
    }
    *look = o->values_lost || o->events == HISTORY_EVENTS_MAX ||
                    is_mailbox(o, write->address, write->width)
                ? NULL
                : event_new(o, EVENT_WRITE, write->address);
    if (*look != NULL) { /* as an atomic or with nothing */
        (*look)->width = write->width;
        (*look)->write = WRITE_OR;
        (*look)->look = true;
    }
    return *look != NULL;
}

void concurrent_looked(struct concurrent *o, struct event *look, const struct call *c) {
    if (c->status == SUBJECT_OK) {
        look->old = c->answer;
        look->end = concurrent_moment(o);
    } else {
        event_cancel(o, look);
    }
}

static enum event_write write_kind(const struct call *c) {
    static const enum event_write kinds[] = {
        [SUBJECT_ADD] = WRITE_ADD, [SUBJECT_SUB] = WRITE_SUB, [SUBJECT_AND] = WRITE_AND,
        [SUBJECT_OR] = WRITE_OR,   [SUBJECT_XOR] = WRITE_XOR, [SUBJECT_XCHG] = WRITE_XCHG};
    return c->code == OP_memory_atomic_store     ? WRITE_STORE
           : c->code == OP_memory_atomic_cmpxchg ? WRITE_CMPXCHG
                                                 : kinds[c->rmw];
}

static bool write_begins(struct concurrent *o, const struct call *c, struct event **event) {
    if (!concurrent_scribbles(o, c->thread, c->at, c->width)) {
        return false;
    }
    struct event *e = event_new(o, EVENT_WRITE, c->at);
    const enum event_write how = write_kind(c);
    /* a compare-exchange writes its value or nothing */
    const bool one = how == WRITE_STORE || how == WRITE_XCHG || how == WRITE_CMPXCHG;
    put(o, &(struct put){.address = c->at,
                         .bytes = c->width,
                         .value = cut_to(c->value, c->width),
                         .one = one && is_aligned(c),
                         .changes = !one && is_aligned(c),
                         .how = how});
    if (e != NULL) {
        e->width = c->width;
        e->thread = c->thread;
        e->write = how;
        e->value = cut_to(c->value, c->width);
        e->expected = cut_to(c->expected, c->width);
    }
    *event = e;
    return true;
}

static bool wait_begins(struct concurrent *o, const struct call *c, struct event **event) {
    *event = concurrent_scribbles(o, c->thread, c->at, c->width) ? event_new(o, EVENT_WAIT, c->at)
                                                                 : NULL;
    if (*event != NULL) {
        (*event)->width = c->width;
        (*event)->value = c->expected;
        (*event)->thread = c->thread;
        (*event)->cancellable =
            c->code == OP_memory_wait_cancellable || c->code == OP_memory_wait_by;
        (*event)->canceller = c->canceller_of;
        (*event)->outcome = WAIT_PENDING;
    }
    return *event != NULL;
}

static bool notify_begins(struct concurrent *o, const struct call *c, struct event **event) {
    *event = concurrent_scribbles(o, c->thread, c->at, c->width) ? event_new(o, EVENT_NOTIFY, c->at)
                                                                 : NULL;
    if (*event != NULL) {
        (*event)->count = (uint32_t)c->count;
        (*event)->thread = c->thread;
        (*event)->number = ++o->notifies[c->thread];
    }
    return *event != NULL;
}

static bool grow_begins(struct concurrent *o, const struct call *c) {
    if (o->growths == GROWS_MAX || o->asks == GROWS_MAX) {
        return false;
    }
    const uint32_t claimed = concurrent_claims(o->claims, c->pages * SUBJECT_PAGE_BYTES);
    if (c->pages > 0) {
        o->asked[o->asks++] = (struct asked){.moment = c->start, .claimed = claimed};
    }
    return true;
}

/* Notes an access of so many bytes. Of places that are accessed at two widths, or by runs of bytes,
 * the engine does not know who has seen whom. */
static void note_width(struct concurrent *o, const struct call *c) {
    const struct place place = {c->at, c->width};
    bool known = false;
    for (unsigned i = 0; i < o->places; i++) {
        const struct place *p = &o->place[i];
        const bool same = p->address == place.address && p->width == place.width;
        known |= same;
        o->mixed |= !same && p->address < place.address + place.width &&
                    place.address < p->address + p->width;
    }
    if (!known && o->places == PLACES_MAX) {
        o->mixed = true;
    } else if (!known) {
        o->place[o->places++] = place;
    }
}

bool concurrent_has_width(uint8_t code) {
    switch (code) {
    case OP_memory_load:
    case OP_memory_store:
    case OP_memory_atomic_load:
    case OP_memory_atomic_store:
    case OP_memory_atomic_rmw:
    case OP_memory_atomic_cmpxchg:
    case OP_memory_wait32:
    case OP_memory_wait64:
    case OP_memory_wait_cancellable:
    case OP_memory_wait_by:
        return true;
    default:
        return false;
    }
}

static void note_places(struct concurrent *o, const struct call *c) {
    const bool none = c->code == OP_memory_notify || c->code == OP_memory_grow ||
                      c->code == OP_memory_disable_atomics || c->code == OP_memory_owner_of;
    if (concurrent_has_width(c->code)) {
        note_width(o, c);
    } else if (!none) {
        o->mixed = true;
    }
}

bool concurrent_begins(struct concurrent *o, const struct call *c, struct event **event) {
    *event = NULL;
    note_places(o, c);
    switch (c->code) {
    case OP_memory_atomic_load:
        return concurrent_scribbles(o, c->thread, c->at, c->width);
    case OP_memory_grow:
        return grow_begins(o, c);
    case OP_memory_store:
        return may_write(o, c, c->width);
    case OP_memory_bulk_copy:
    case OP_memory_bulk_fill:
    case OP_memory_initialise:
        return may_write(o, c, c->count);
    case OP_memory_atomic_store:
    case OP_memory_atomic_rmw:
    case OP_memory_atomic_cmpxchg:
        return write_begins(o, c, event);
    case OP_memory_wait32:
    case OP_memory_wait64:
    case OP_memory_wait_cancellable:
    case OP_memory_wait_by:
        return wait_begins(o, c, event);
    case OP_memory_notify:
        return notify_begins(o, c, event);
    case OP_memory_disable_atomics:
        *event = concurrent_disable_begins(o);
        return true;
    default:
        return true;
    }
}

/* ---- After a call -----------------------------------------------------------------------------
 */

/* A range that ends within the size is fine, one that does not is a trap (R16 to R18); what the
 * memory grew by meanwhile may be either. */
static const char *range_ended(const struct call *c, uint64_t at, uint64_t count, const char *rule,
                               uint64_t after) {
    const uint64_t before = c->size_bytes;
    bool within = at <= before && count <= before - at;
    bool beyond = at > after || count > after - at;
    if ((within && c->status != SUBJECT_OK) || (beyond && c->status == SUBJECT_OK)) {
        return concurrent_found(rule, "%llu bytes at %llu of %llu: %s", (unsigned long long)count,
                                (unsigned long long)at, (unsigned long long)after, name_of(c));
    }
    return NULL;
}

/* ---- Whole accesses ---------------------------------------------------------------------------
 *
 * An aligned access is whole (R18): what it finds, one write has left there, or none. Where writes
 * are narrower than the access, that holds for each part of the narrowest one's width. Plain
 * accesses of more than 4 bytes may be torn into bytes, unless the subject promises otherwise. */

enum { CHANGES_MAX = 4, WHOLE_BYTES = 4 };

/* What is known of the writes that an access may meet. */
struct met {
    const struct concurrent *o;
    uint64_t at;
    unsigned width, grain;                   /* of the access; of the narrowest write */
    const struct put *changing[CHANGES_MAX]; /* those made of what was there */
    unsigned changes;
};

static bool meets(const struct put *p, uint64_t at, uint64_t bytes) {
    return p->address < at + bytes && at < p->address + p->bytes;
}

/* False: nothing is known, as runs of bytes were written, or changed in parts. */
static bool meet(const struct concurrent *o, uint64_t at, unsigned width, bool plain,
                 struct met *met) {
    bool tears = plain && width > WHOLE_BYTES;
    *met = (struct met){.o = o, .at = at, .width = width, .grain = width};
    if (o->puts_unknown || o->has_mailbox) {
        return false;
    }
    for (unsigned i = 0; i < o->puts; i++) {
        const struct put *p = &o->put[i];
        if (!meets(p, at, width)) {
            continue;
        }
        if (p->changes && p->address == at && p->bytes == width && met->changes < CHANGES_MAX) {
            met->changing[met->changes++] = p;
        } else if (!p->one) {
            return false;
        }
        met->grain = p->bytes < met->grain ? (unsigned)p->bytes : met->grain;
        tears |= p->plain && p->bytes > WHOLE_BYTES;
    }
    if (tears && !o->whole_words) {
        met->grain = 1;
    }
    return met->changes == 0 || met->grain == width;
}

static uint64_t changed(const struct put *p, uint64_t old) {
    switch (p->how) {
    case WRITE_ADD:
        return cut_to(old + p->value, (unsigned)p->bytes);
    case WRITE_SUB:
        return cut_to(old - p->value, (unsigned)p->bytes);
    case WRITE_AND:
        return old & p->value;
    case WRITE_OR:
        return old | p->value;
    default:
        return old ^ p->value;
    }
}

/* Whether some of the changes, each at most once, make `to` of `from`. done: bit n, the nth. */
static bool leads_to(const struct met *met, uint64_t from, uint64_t to, unsigned done) {
    bool leads = from == to;
    for (unsigned i = 0; !leads && i < met->changes; i++) {
        leads =
            !(done >> i & 1) && leads_to(met, changed(met->changing[i], from), to, done | 1u << i);
    }
    return leads;
}

/* Whether a part as wide as the grain can hold this. */
static bool part_is_whole(const struct met *met, uint64_t at, uint64_t part) {
    bool seen = leads_to(met, 0, part, 0);
    for (unsigned i = 0; !seen && i < met->o->puts; i++) {
        const struct put *p = &met->o->put[i];
        seen = p->one && meets(p, at, met->grain) &&
               leads_to(met, cut_to(p->value >> 8 * (at - p->address), met->grain), part, 0);
    }
    return seen;
}

/* The rule, if what was found there, by a plain access or not, is no whole number. */
static const char *torn(const struct concurrent *o, const char *rule, uint64_t at, unsigned width,
                        bool plain, uint64_t value) {
    struct met met;
    bool seen = true;
    if (!meet(o, at, width, plain, &met)) {
        return NULL;
    }
    for (unsigned from = 0; from < width; from += met.grain) {
        seen = seen && part_is_whole(&met, at + from, cut_to(value >> 8 * from, met.grain));
    }
    return seen ? NULL
                : concurrent_found(rule, "%llx at %llu: no write of %u bytes left it there",
                                   (unsigned long long)value, (unsigned long long)at, met.grain);
}

/* What a load, a read-modify-write or a compare-exchange has found. */
static const char *found_torn(const struct concurrent *o, const struct call *c) {
    return c->status == SUBJECT_OK && is_aligned(c)
               ? torn(o, "R18-torn", c->at, c->width, c->code == OP_memory_load, c->answer)
               : NULL;
}

const char *concurrent_left(const struct concurrent *o, const struct put *where, uint64_t value) {
    return torn(o, "R18-torn", where->address, (unsigned)where->bytes, false, value);
}

static const char *write_ended(struct concurrent *o, const struct call *c, struct event *e) {
    bool aligned = c->width != 3 && c->at % c->width == 0;
    if (c->status == SUBJECT_OK ? !aligned : aligned && c->at + c->width <= c->size_bytes) {
        return concurrent_found("R18-access", "an access of %u bytes at %llu of %llu says %s",
                                c->width, (unsigned long long)c->at,
                                (unsigned long long)c->size_bytes, name_of(c));
    }
    if (c->status != SUBJECT_OK) {
        event_cancel(o, e);
    } else if (e != NULL) {
        e->old = c->code == OP_memory_atomic_store ? 0 : c->answer;
        e->end = concurrent_moment(o);
    }
    return c->code == OP_memory_atomic_store ? NULL : found_torn(o, c);
}

const char *concurrent_pinned(const struct concurrent *o, const struct call *c, uint64_t size_after,
                              int64_t place) {
    if (c->status == SUBJECT_NO_MEMORY && o->faulty) {
        return NULL;
    }
    if (c->status == SUBJECT_OK && place != (int64_t)c->at) {
        return concurrent_found("R42-pin", "byte %llu is pinned at byte %lld of the memory",
                                (unsigned long long)c->at, (long long)place);
    }
    return range_ended(c, c->at, c->count, "R42-pin", size_after);
}

/* The checks that come before anything else (R19); *settled: they decide the status. */
static const char *word_checked(const struct call *c, uint64_t after, bool *settled) {
    const uint64_t before = c->size_bytes;
    enum subject_status expected = SUBJECT_OK;
    *settled = c->status == SUBJECT_MISALIGNED || c->status == SUBJECT_OUT_OF_BOUNDS;
    if (c->at % c->width != 0) {
        expected = SUBJECT_MISALIGNED;
    } else if (c->at > after || after - c->at < c->width) {
        expected = SUBJECT_OUT_OF_BOUNDS;
    } else if (c->at > before || before - c->at < c->width) {
        *settled = c->status == SUBJECT_OUT_OF_BOUNDS; /* it grew meanwhile: either is right */
        return NULL;
    }
    if (expected != SUBJECT_OK ? c->status != expected : *settled) {
        return concurrent_found("R19-checks", "%s at %llu of %llu bytes says %s",
                                c->code == OP_memory_notify ? "notify" : "wait",
                                (unsigned long long)c->at, (unsigned long long)after, name_of(c));
    }
    return NULL;
}

/* Other waits that may have been blocked at some moment since start. */
static unsigned others_blocked(const struct concurrent *o, const struct event *self) {
    unsigned count = 0;
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        count += e != self && e->kind == EVENT_WAIT && (o->searched || e->end > self->start) &&
                 e->outcome != WAIT_NOT_EQUAL && e->outcome != WAIT_AT_ONCE &&
                 e->outcome != WAIT_REFUSED;
    }
    return count + (o->guest >= 0) + o->second_parks + o->onlookers; /* who parks waits, too */
}

static const char *timed_out(const struct concurrent *o, const struct call *c) {
    bool early = c->timeout_ns < 0 || c->took_ns < (uint64_t)c->timeout_ns;
    if (early && o->disable_start != NEVER) {
        return concurrent_found("R29-disable", "timed out too early where atomics were disabled");
    }
    return early ? concurrent_found("R23-timeout", "timed out after %llu ns of %lld",
                                    (unsigned long long)c->took_ns, (long long)c->timeout_ns)
                 : NULL;
}

static const char *wait_outcome(const struct concurrent *o, const struct call *c, struct event *e) {
    if (c->status == SUBJECT_DISABLED) {
        e->outcome = WAIT_DISABLED;
        return o->disable_start != NEVER
                   ? NULL
                   : concurrent_found("R29-disable", "a wait says disabled, and nobody did");
    }
    if (c->status == SUBJECT_CANCELLED) {
        e->outcome = WAIT_CANCELLED;
        return e->cancellable && o->cancel_start[e->canceller] != NEVER
                   ? NULL
                   : concurrent_found("R41-cancel",
                                      "a wait answers cancelled, and nobody cancelled it");
    }
    if (c->status == SUBJECT_TOO_MANY_WAITERS) {
        e->outcome = WAIT_REFUSED;
        unsigned others = others_blocked(o, e);
        return o->waiters_max != 0 && others >= o->waiters_max && c->timeout_ns != 0
                   ? NULL
                   : concurrent_found("R28-waiter-limit",
                                      "too many waiters: %u others, the limit is %u", others,
                                      o->waiters_max);
    }
    if (c->status != SUBJECT_OK || c->answer > 2) {
        return concurrent_found(c->status == SUBJECT_OK ? "R20-value" : "R19-checks",
                                "a wait says %s, %llu", name_of(c), (unsigned long long)c->answer);
    }
    if (c->answer == 2) {
        e->outcome = c->timeout_ns == 0 ? WAIT_AT_ONCE : WAIT_TIMED_OUT;
        if (e->cancellable && c->timeout_ns != 0 && o->cancel_end[e->canceller] != NEVER &&
            o->cancel_end[e->canceller] < e->start && !o->searched) {
            return concurrent_found("R41-cancel", "a wait that was cancelled before timed out");
        }
        return timed_out(o, c);
    }
    e->outcome = c->answer == 0 ? WAIT_NOTIFIED : WAIT_NOT_EQUAL;
    return NULL;
}

/* Keeps what a sequentially consistent load has read. */
static void saw(struct concurrent *o, const struct call *c, bool waits, uint64_t value) {
    if (o->sights < HISTORY_EVENTS_MAX) {
        o->seen[o->sights++] = (struct seen){.waits = waits,
                                             .thread = c->thread,
                                             .address = c->at,
                                             .value = value,
                                             .width = c->width,
                                             .start = c->start,
                                             .end = concurrent_moment(o)};
    }
}

static const char *wait_ended(struct concurrent *o, const struct call *c, struct event *e,
                              uint64_t after) {
    bool settled;
    const char *rule = word_checked(c, after, &settled);
    if (rule != NULL || settled) {
        event_cancel(o, e);
        return rule;
    }
    if (c->status == SUBJECT_INVALID && e->cancellable) { /* one wait at a time by a canceller */
        event_cancel(o, e);
        return c->contended
                   ? NULL
                   : concurrent_found("R41-cancel", "nobody else waits by the canceller: invalid");
    }
    rule = wait_outcome(o, c, e);
    if (c->status == SUBJECT_OK && e->outcome != WAIT_NOT_EQUAL) {
        saw(o, c, true, c->expected);
    }
    if (rule == NULL && c->status == SUBJECT_OK && e->outcome != WAIT_NOT_EQUAL) {
        rule = torn(o, "R20-torn", c->at, c->width, false, cut_to(c->expected, c->width));
    }
    if (rule == NULL && !o->searched && o->disable_end != NEVER && e->start > o->disable_end &&
        c->status != SUBJECT_DISABLED) {
        rule = concurrent_found("R29-disable", "a wait after disable says %s", name_of(c));
    }
    e->end = concurrent_moment(o);
    return rule;
}

static const char *notify_ended(struct concurrent *o, const struct call *c, struct event *e,
                                uint64_t after) {
    bool settled;
    const char *rule = word_checked(c, after, &settled);
    if (rule != NULL || settled) {
        event_cancel(o, e);
        return rule;
    }
    if (c->status != SUBJECT_OK || c->answer > c->count) {
        return concurrent_found("R24-count", "notify says %s and woke %llu of at most %llu",
                                name_of(c), (unsigned long long)c->answer,
                                (unsigned long long)c->count);
    }
    e->woken = (uint32_t)c->answer;
    e->end = concurrent_moment(o);
    return NULL;
}

bool concurrent_is_flag(const struct concurrent *o, uint64_t address) {
    return o->has_region && address == o->offset + offsetof(struct subject_words, flag);
}

const struct event *concurrent_notifier(const struct concurrent *o, const struct event *wait) {
    const struct event *notify = NULL;
    if (wait == NULL || wait->kind != EVENT_WAIT || wait->outcome != WAIT_NOTIFIED ||
        concurrent_is_flag(o, wait->address)) {
        return NULL;
    }
    for (unsigned i = 0; i < o->events; i++) {
        const struct event *e = &o->event[i];
        if (e->kind == EVENT_NOTIFY && e->address == wait->address &&
            (o->searched || e->end > wait->start) && (e->woken > 0 || e->end == HISTORY_PENDING)) {
            if (notify != NULL) {
                return NULL;
            }
            notify = e;
        }
    }
    return notify;
}

static const char *load_ended(struct concurrent *o, const struct call *c, uint64_t size_after) {
    const char *rule = found_torn(o, c);
    if (rule != NULL) {
        return rule;
    }
    bool aligned = c->width != 3 && c->at % c->width == 0;
    if (c->width == 3 || !aligned) {
        return c->status != SUBJECT_OK
                   ? NULL
                   : concurrent_found("R18-access", "a misaligned atomic load says %s", name_of(c));
    }
    if (c->status == SUBJECT_OK) {
        saw(o, c, false, c->answer);
    }
    return range_ended(c, c->at, c->width, "R18-access", size_after);
}

static const char *plain_load_ended(const struct concurrent *o, const struct call *c,
                                    uint64_t size_after) {
    const char *rule = found_torn(o, c);
    if (rule == NULL && c->width != 3) {
        rule = range_ended(c, c->at, c->width, "R18-access", size_after);
    }
    return rule;
}

/* The shared memory exists and does not move. Its length is at least what the caller had seen; a
 * growth in progress may show there first. */
static const char *owner_ended(const struct concurrent *o, const struct call *c) {
    if (c->at >= c->size_bytes) {
        return NULL; /* its guard's, or somebody else's */
    }
    const uint64_t length = c->owner.length_bytes;
    bool right = c->yes && c->owner.offset_bytes == c->at && length >= c->size_bytes &&
                 length <= o->max_pages * (uint64_t)SUBJECT_PAGE_BYTES &&
                 length % SUBJECT_PAGE_BYTES == 0;
    return right ? NULL
                 : concurrent_found("R39-owner", "byte %llu of a living memory of %llu is %s",
                                    (unsigned long long)c->at, (unsigned long long)c->size_bytes,
                                    c->yes ? "said to be of another length or memory" : "nobody's");
}

const char *concurrent_ended(struct concurrent *o, const struct call *c, struct event *event,
                             uint64_t size_after) {
    switch (c->code) {
    case OP_memory_atomic_load:
        return load_ended(o, c, size_after);
    case OP_memory_owner_of:
        return owner_ended(o, c);
    case OP_memory_grow:
        return grow_ended(o, c);
    case OP_memory_clone:
        return c->status == SUBJECT_OK || o->faulty
                   ? NULL
                   : concurrent_found("R14-clone", "a shared memory refused to be cloned");
    case OP_memory_load:
        return plain_load_ended(o, c, size_after);
    case OP_memory_store:
        return c->width == 3 ? NULL : range_ended(c, c->at, c->width, "R18-access", size_after);
    case OP_memory_bulk_copy:
        return range_ended(c, c->at > c->from ? c->at : c->from, c->count, "R16-bulk", size_after);
    case OP_memory_bulk_fill:
        return range_ended(c, c->at, c->count, "R16-bulk", size_after);
    case OP_memory_initialise:
        return range_ended(c, c->at, c->count, "R17-init", size_after);
    case OP_memory_read:
        return range_ended(c, c->at, c->count, "R17-read", size_after);
    case OP_memory_atomic_store:
    case OP_memory_atomic_rmw:
    case OP_memory_atomic_cmpxchg:
        return write_ended(o, c, event);
    case OP_memory_wait32:
    case OP_memory_wait64:
    case OP_memory_wait_cancellable:
    case OP_memory_wait_by:
        return wait_ended(o, c, event, size_after);
    case OP_memory_notify:
        return notify_ended(o, c, event, size_after);
    case OP_memory_disable_atomics:
        concurrent_disable_ended(o, event);
        return NULL;
    default:
        return NULL;
    }
}
