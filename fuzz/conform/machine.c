/* machine.c: explores every order of a program's steps and collects the outcomes. See machine.h. */
#include "machine.h"

#include <stdlib.h>
#include <string.h>

enum phase { READY, QUEUED, RELEASING, DONE };

/* Compared as bytes, so padding must be zero: every state is a copy of one that was zeroed. */
struct state {
    uint64_t result[CONFORM_THREADS * CONFORM_OPERATIONS];
    uint8_t bytes[CONFORM_WINDOWS][CONFORM_WINDOW_BYTES];
    uint8_t next[CONFORM_THREADS];  /* operation */
    uint8_t phase[CONFORM_THREADS]; /* enum phase */
    uint8_t queue[CONFORM_THREADS]; /* waiting threads in order of arrival, for all addresses */
    uint8_t queued;
    uint8_t pages;
    uint8_t disabled;
    uint8_t unused[5];
};

struct walk {
    const struct conform_program *program;
    struct conform_set *set;
    uint64_t (*seen)[2]; /* open addressing; {0, 0}: empty */
    size_t room;         /* a power of two */
    size_t states_max, outcomes_max, outcomes_room;
    bool failed;
};

/* ---- Visited states -------------------------------------------------------------------------- */

/* A state is represented by two independent 64-bit hashes. Among a few million states, the chance
 * of a collision is below 2^-80. */
static void hash_of(const struct state *s, uint64_t hash[2]) {
    uint64_t word[sizeof *s / 8], a = 0x243F6A8885A308D3u, b = 0x13198A2E03707344u;
    _Static_assert(sizeof(struct state) % 8 == 0, "whole words");
    memcpy(word, s, sizeof word);
    for (unsigned i = 0; i < sizeof word / sizeof word[0]; i++) {
        a = (a ^ word[i]) * 0x9E3779B97F4A7C15u;
        a ^= a >> 32;
        b = (b + word[i]) * 0xD6E8FEB86659FD93u;
        b ^= b >> 29;
    }
    hash[0] = a | 1;
    hash[1] = b;
}

static bool grow_seen(struct walk *w) {
    size_t room = w->room == 0 ? 1024 : w->room * 2;
    uint64_t(*seen)[2] = calloc(room, sizeof *seen);
    if (seen == NULL) {
        return false;
    }
    for (size_t i = 0; i < w->room; i++) {
        if (w->seen[i][0] != 0) {
            size_t at = w->seen[i][1] & (room - 1);
            while (seen[at][0] != 0) {
                at = (at + 1) & (room - 1);
            }
            memcpy(seen[at], w->seen[i], sizeof *seen);
        }
    }
    free(w->seen);
    w->seen = seen;
    w->room = room;
    return true;
}

/* True if the state is new. */
static bool is_new(struct walk *w, const struct state *s) {
    uint64_t hash[2];
    hash_of(s, hash);
    if (w->set->states * 2 >= w->room && !grow_seen(w)) {
        w->failed = true;
        return false;
    }
    size_t at = hash[1] & (w->room - 1);
    for (; w->seen[at][0] != 0; at = (at + 1) & (w->room - 1)) {
        if (w->seen[at][0] == hash[0] && w->seen[at][1] == hash[1]) {
            return false;
        }
    }
    memcpy(w->seen[at], hash, sizeof hash);
    w->set->states++;
    return true;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static uint8_t *byte_at(struct state *s, uint32_t at) {
    return &s->bytes[at & CONFORM_GROWN ? 1 : 0][at & ~CONFORM_GROWN];
}

static uint64_t get(struct state *s, uint32_t at, uint32_t width) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < width; i++) {
        value |= (uint64_t)*byte_at(s, at + i) << 8 * i;
    }
    return value;
}

static void put(struct state *s, uint32_t at, uint32_t width, uint64_t value) {
    for (uint32_t i = 0; i < width; i++) {
        *byte_at(s, at + i) = (uint8_t)(value >> 8 * i);
    }
}

static uint64_t wrap(uint64_t value, uint32_t width) {
    return width == 8 ? value : value & ((UINT64_C(1) << 8 * width) - 1);
}

static uint64_t computed(enum conform_rmw kind, uint64_t old, uint64_t operand) {
    switch (kind) {
    case CONFORM_ADD:
        return old + operand;
    case CONFORM_SUB:
        return old - operand;
    case CONFORM_AND:
        return old & operand;
    case CONFORM_OR:
        return old | operand;
    case CONFORM_XOR:
        return old ^ operand;
    default:
        return operand;
    }
}

/* ---- Threads --------------------------------------------------------------------------------- */

static const struct conform_operation *operation_of(const struct walk *w, const struct state *s,
                                                    unsigned t) {
    return &w->program->operation[t][s->next[t]];
}

/* Skips operations whose condition does not hold. That affects only this thread, so it is not a
 * step. */
static void settle(const struct walk *w, struct state *s, unsigned t) {
    const struct conform_program *p = w->program;
    while (s->phase[t] == READY) {
        if (s->next[t] == p->operations[t]) {
            s->phase[t] = DONE;
            return;
        }
        const struct conform_operation *o = operation_of(w, s, t);
        if (o->test == CONFORM_ALWAYS) {
            return;
        }
        bool equal = s->result[p->operation[t][o->tested].slot] == o->tested_value;
        if (equal == (o->test == CONFORM_EQUAL)) {
            return;
        }
        if (o->slot >= 0) {
            s->result[o->slot] = CONFORM_SKIPPED;
        }
        s->next[t]++;
    }
}

/* The operation has completed with that result. */
static void finish(const struct walk *w, struct state *s, unsigned t, uint64_t result) {
    int slot = operation_of(w, s, t)->slot;
    if (slot >= 0) {
        s->result[slot] = result;
    }
    s->next[t]++;
    s->phase[t] = READY;
    settle(w, s, t);
}

static void trap(const struct walk *w, struct state *s, unsigned t) {
    s->result[operation_of(w, s, t)->slot] = CONFORM_TRAP;
    s->phase[t] = DONE;
}

static void leave_queue(struct state *s, unsigned position) {
    s->queued--;
    memmove(s->queue + position, s->queue + position + 1, s->queued - position);
    s->queue[s->queued] = 0;
}

/* ---- Steps ----------------------------------------------------------------------------------- */

static void explore(struct walk *w, const struct state *from);

/* Continues the exploration from the state. */
static void go(struct walk *w, const struct state *s) {
    if (!w->failed && w->set->is_complete && is_new(w, s)) {
        if (w->set->states > w->states_max) {
            w->set->is_complete = false;
            return;
        }
        explore(w, s);
    }
}

/* Wakes up to `count` of the first waiters at the address, with that result; returns how many. */
static uint32_t wake(const struct walk *w, struct state *s, uint32_t at, uint32_t count,
                     uint64_t result) {
    uint32_t woken = 0;
    for (unsigned i = 0; i < s->queued && woken < count;) {
        unsigned t = s->queue[i];
        if (operation_of(w, s, t)->at != at) {
            i++;
            continue;
        }
        leave_queue(s, i);
        finish(w, s, t, result);
        woken++;
    }
    return woken;
}

static bool is_past_size(const struct walk *w, const struct state *s,
                         const struct conform_operation *o) {
    struct conform_range range[2];
    unsigned ranges = conform_ranges(o, range);
    bool far = o->code == CONFORM_memory_notify && (o->at & CONFORM_GROWN);
    for (unsigned i = 0; i < ranges; i++) {
        /* An empty range at the very end is in bounds. */
        far = far || ((range[i].at & CONFORM_GROWN) &&
                      (range[i].count > 0 || (range[i].at & ~CONFORM_GROWN) > 0));
    }
    return far && s->pages == w->program->min_pages;
}

static void step_wait(struct walk *w, const struct state *from, unsigned t) {
    struct state s = *from;
    const struct conform_operation *o = operation_of(w, &s, t);
    if (s.disabled) {
        finish(w, &s, t, CONFORM_DISABLED);
    } else if (get(&s, o->at, o->width) != wrap(o->expected, o->width)) {
        finish(w, &s, t, 1);
    } else { /* even if it does not wait: until its time is up, a notify may count it */
        s.phase[t] = QUEUED;
        s.queue[s.queued++] = (uint8_t)t;
    }
    go(w, &s);
}

/* A growth may succeed within the limits, and may always fail. */
static void step_grow(struct walk *w, const struct state *from, unsigned t) {
    struct state s = *from;
    const struct conform_operation *o = operation_of(w, &s, t);
    if (o->pages <= w->program->max_pages - s.pages) {
        uint64_t old = s.pages;
        s.pages = (uint8_t)(s.pages + o->pages);
        finish(w, &s, t, old);
        go(w, &s);
        s = *from;
    }
    finish(w, &s, t, UINT32_MAX);
    go(w, &s);
}

/* The i-th byte that a bulk operation writes. */
static uint8_t bulk_byte(struct state *s, const struct conform_operation *o, uint32_t i) {
    switch (o->code) {
    case CONFORM_memory_bulk_fill:
        return (uint8_t)o->value;
    case CONFORM_memory_bulk_init:
        return (uint8_t)(o->value + i + 1);
    default:
        return *byte_at(s, o->from + i);
    }
}

static void step_bulk(struct state *s, const struct conform_operation *o) {
    const uint32_t to = o->code == CONFORM_memory_bulk_copy ? o->to : o->at;
    uint8_t written[CONFORM_WINDOW_BYTES];
    for (uint32_t i = 0; i < o->count; i++) {
        written[i] = bulk_byte(s, o, i);
    }
    for (uint32_t i = 0; i < o->count; i++) {
        *byte_at(s, to + i) = written[i];
    }
}

/* Does one operation of a ready thread, in every possible way. */
static void step(struct walk *w, const struct state *from, unsigned t) {
    struct state s = *from;
    const struct conform_operation *o = operation_of(w, &s, t);
    uint64_t result = CONFORM_OK, old;
    if (is_past_size(w, &s, o)) {
        trap(w, &s, t);
        go(w, &s);
        return;
    }
    switch (o->code) {
    case CONFORM_memory_load:
    case CONFORM_memory_atomic_load:
        result = get(&s, o->at, o->width);
        break;
    case CONFORM_memory_store:
    case CONFORM_memory_atomic_store:
        put(&s, o->at, o->width, o->value);
        break;
    case CONFORM_memory_atomic_rmw:
        result = get(&s, o->at, o->width);
        put(&s, o->at, o->width, computed((enum conform_rmw)o->kind, result, o->value));
        break;
    case CONFORM_memory_atomic_cmpxchg:
        old = get(&s, o->at, o->width);
        if (old == wrap(o->expected, o->width)) {
            put(&s, o->at, o->width, o->value);
        }
        result = old;
        break;
    case CONFORM_memory_wait32:
    case CONFORM_memory_wait64:
        step_wait(w, from, t);
        return;
    case CONFORM_memory_notify:
        result = wake(w, &s, o->at, o->count, 0);
        break;
    case CONFORM_memory_grow:
        step_grow(w, from, t);
        return;
    case CONFORM_memory_size:
        result = s.pages;
        break;
    case CONFORM_memory_bulk_fill:
    case CONFORM_memory_bulk_copy:
    case CONFORM_memory_bulk_init:
        step_bulk(&s, o);
        break;
    case CONFORM_memory_disable_atomics:
        s.disabled = 1;
        s.phase[t] = RELEASING;
        go(w, &s);
        return;
    default: /* a fence has no effect, because all steps are totally ordered anyway */
        break;
    }
    finish(w, &s, t, result);
    go(w, &s);
}

/* After a disable, the queues of the addresses are emptied in any order. */
static void step_release(struct walk *w, const struct state *from, unsigned t) {
    if (from->queued == 0) {
        struct state s = *from;
        finish(w, &s, t, CONFORM_OK);
        go(w, &s);
    }
    for (unsigned i = 0; i < from->queued; i++) {
        struct state s = *from;
        (void)wake(w, &s, operation_of(w, &s, s.queue[i])->at, UINT32_MAX, CONFORM_DISABLED);
        go(w, &s);
    }
}

static void step_timeout(struct walk *w, const struct state *from, unsigned position) {
    struct state s = *from;
    unsigned t = s.queue[position];
    leave_queue(&s, position);
    finish(w, &s, t, 2);
    go(w, &s);
}

/* ---- Races ----------------------------------------------------------------------------------- */

/* A data race as in the specification: overlapping accesses, at least one of them a write, and not
 * both atomic on the same bytes. An access past the initial size reads the length for its bounds
 * check, which orders nothing: so it races with the growth that makes it valid, but not with later
 * ones. */
static bool conflict(const struct conform_operation *a, const struct conform_operation *b,
                     bool has_grown) {
    struct conform_range x[2], y[2];
    unsigned xs = conform_ranges(a, x), ys = conform_ranges(b, y);
    for (unsigned i = 0; i < xs; i++) {
        for (unsigned j = 0; j < ys; j++) {
            bool same = x[i].at == y[j].at && x[i].count == y[j].count;
            if (x[i].at < y[j].at + y[j].count && y[j].at < x[i].at + x[i].count &&
                (x[i].is_write || y[j].is_write) && !(same && x[i].is_atomic && y[j].is_atomic)) {
                return true;
            }
        }
    }
    return !has_grown && ((conform_is_far(a) && b->code == CONFORM_memory_grow && b->pages > 0) ||
                          (conform_is_far(b) && a->code == CONFORM_memory_grow && a->pages > 0));
}

/* A program races exactly if, in some state, two conflicting operations of two threads can both be
 * next, because then nothing orders them. README.md has the argument. */
static void look_for_race(struct walk *w, const struct state *s) {
    for (unsigned t = 0; t < w->program->threads && !w->set->is_racy; t++) {
        for (unsigned u = t + 1; u < w->program->threads && s->phase[t] == READY; u++) {
            if (s->phase[u] == READY && conflict(operation_of(w, s, t), operation_of(w, s, u),
                                                 s->pages > w->program->min_pages)) {
                w->set->is_racy = true;
                w->set->racy[0][0] = t;
                w->set->racy[0][1] = s->next[t];
                w->set->racy[1][0] = u;
                w->set->racy[1][1] = s->next[u];
                return;
            }
        }
    }
}

/* ---- Outcomes -------------------------------------------------------------------------------- */

static void outcome_add(struct walk *w, const uint64_t *outcome) {
    struct conform_set *set = w->set;
    for (size_t i = 0; i < set->count; i++) {
        if (memcmp(set->outcome + i * set->words, outcome, set->words * sizeof *outcome) == 0) {
            return;
        }
    }
    if (set->count == w->outcomes_max) {
        set->is_complete = false;
        return;
    }
    if (set->count == w->outcomes_room) {
        size_t room = w->outcomes_room == 0 ? 16 : w->outcomes_room * 2;
        uint64_t *grown = realloc(set->outcome, room * set->words * sizeof *grown);
        if (grown == NULL) {
            w->failed = true;
            return;
        }
        set->outcome = grown;
        w->outcomes_room = room;
    }
    memcpy(set->outcome + set->count++ * set->words, outcome, set->words * sizeof *outcome);
}

/* No thread can take a step: each has ended or waits for ever. */
static void rest(struct walk *w, const struct state *from) {
    const struct conform_program *p = w->program;
    struct state s = *from;
    uint64_t outcome[CONFORM_OUTCOME_MAX] = {0};
    for (unsigned i = 0; i < s.queued; i++) {
        s.result[operation_of(w, &s, s.queue[i])->slot] = CONFORM_BLOCKED;
        w->set->may_block = true;
    }
    memcpy(outcome, s.result, p->slots * sizeof outcome[0]);
    for (unsigned i = 0; i < p->words; i++) {
        bool is_there = !(p->word[i] & CONFORM_GROWN) || s.pages > p->min_pages;
        outcome[p->slots + i] = is_there ? get(&s, p->word[i], 8) : CONFORM_NONE;
    }
    outcome[p->slots + p->words] = s.pages;
    outcome_add(w, outcome);
}

static void explore(struct walk *w, const struct state *from) {
    bool at_rest = true;
    if (!w->set->is_racy) {
        look_for_race(w, from);
    }
    for (unsigned t = 0; t < w->program->threads; t++) {
        if (from->phase[t] == READY) {
            at_rest = false;
            step(w, from, t);
        } else if (from->phase[t] == RELEASING) {
            at_rest = false;
            step_release(w, from, t);
        }
    }
    for (unsigned i = 0; i < from->queued; i++) {
        if (!conform_waits_forever(operation_of(w, from, from->queue[i]))) {
            at_rest = false;
            step_timeout(w, from, i);
        }
    }
    if (at_rest) {
        rest(w, from);
    }
}

/* ---- The set --------------------------------------------------------------------------------- */

static unsigned sorted_words; /* global, because qsort has no context argument; the machine runs on
                                 one thread */

static int compare(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    for (unsigned i = 0; i < sorted_words; i++) {
        if (x[i] != y[i]) {
            return x[i] < y[i] ? -1 : 1;
        }
    }
    return 0;
}

bool conform_outcomes(const struct conform_program *program, size_t states_max, size_t outcomes_max,
                      struct conform_set *set) {
    struct walk w = {
        .program = program, .set = set, .states_max = states_max, .outcomes_max = outcomes_max};
    struct state first;
    memset(&first, 0, sizeof first);
    *set = (struct conform_set){.words = program->outcome, .is_complete = true};
    memcpy(first.bytes[0], program->first, sizeof first.bytes[0]);
    first.pages = (uint8_t)program->min_pages;
    for (unsigned i = 0; i < CONFORM_THREADS * CONFORM_OPERATIONS; i++) {
        first.result[i] = CONFORM_NONE;
    }
    for (unsigned t = 0; t < CONFORM_THREADS; t++) {
        first.phase[t] = t < program->threads ? READY : DONE;
        settle(&w, &first, t);
    }
    go(&w, &first);
    free(w.seen);
    sorted_words = set->words;
    if (set->count > 1 && set->words > 0) {
        qsort(set->outcome, set->count, set->words * sizeof *set->outcome, compare);
    }
    if (w.failed) {
        conform_set_free(set);
    }
    return !w.failed;
}

void conform_set_free(struct conform_set *set) {
    free(set->outcome);
    set->outcome = NULL;
    set->count = 0;
}
