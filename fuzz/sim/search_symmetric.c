/* search_symmetric.c: interchangeable threads. If executions differ only in which of these threads
 * did what, one of them is explored (after Spore: Kokologiannakis, Marmanis, Vafeiadis, PLDI 2024).
 *
 * Threads are interchangeable ("alike") if one thread starts them in a row, with the same function
 * and argument and nothing else in between. If they are joined, that must be in a row too, with
 * equal results. Then their numbers can be exchanged in any execution. One execution of each such
 * set is explored: where two neighbours first differ, the thread with the lower number reads the
 * older write, or writes first. The other executions are images of it and are left out. For this, a
 * thread does an event only after its predecessor has done the corresponding one, reads no older
 * write than that, and writes after the predecessor's write. The earlier event counts as a cause of
 * the later one, so a revisit that keeps one keeps the other.
 *
 * The rule is sound if that order never puts an event before its own cause. With sequentially
 * consistent accesses it cannot: all reads and writes have one order, in which the rule agrees with
 * the causes. With weaker orders it can, and some executions would have no image that is explored.
 * So the reduction needs programs whose accesses are all sequentially consistent and whose only
 * calls lock, unlock, start and join; a lock's calls have one order, which is part of
 * happens-before. Addresses and numbers that differ by thread (its stack, what it allocates) may be
 * stored and compared for equality, but nothing may depend on their order. */
#include "search.h"

static bool is_on(void) {
    return S.exploring && (X.reduce & SIM_REDUCE_SYMMETRIC);
}

static _Noreturn void not_alike(void) {
    search_reduce_not(SIM_REDUCE_SYMMETRIC, 0);
}

/* ---- Which threads are alike ----------------------------------------------------------------- */

void explore_alike(struct thread *parent, const struct thread *u, uintptr_t start, uintptr_t arg,
                   bool detached, uintptr_t handle) {
    if (!is_on()) {
        return;
    }
    struct side *p = side_of(parent), *c = side_of(u);
    c->alike.handle = handle;
    bool same = p->made.thread && p->made.start == start && p->made.arg == arg &&
                p->made.detached == detached && p->made.done == p->done && !p->made.wrote;
    c->alike.first = same ? p->made.first : u->id;
    c->alike.before = same ? p->made.thread : 0;
    c->alike.tied = same;
    X.sides[c->alike.first].alike.members++;
    p->made.start = start;
    p->made.arg = arg;
    p->made.done = p->done;
    p->made.thread = u->id;
    p->made.first = c->alike.first;
    p->made.detached = detached;
    p->made.wrote = false;
}

void explore_identity(void) {
    if (is_on()) {
        not_alike();
    }
}

void explore_result_to(uintptr_t at) {
    if (is_on()) {
        side_of(S.now)->result_to = at;
    }
}

void explore_result(const struct thread *u, uintptr_t result) {
    if (!is_on()) {
        return;
    }
    struct alike *first = &X.sides[side_of(u)->alike.first].alike;
    if (first->has_result && first->result != result) {
        not_alike();
    }
    first->has_result = true;
    first->result = result;
}

void search_alike_join(struct thread *t, const struct thread *child) {
    if (!is_on()) {
        return;
    }
    struct side *s = side_of(t);
    uint8_t id = side_of(child)->alike.first;
    if (s->joining && s->joining != id) {
        not_alike();
    }
    s->made.thread = 0;
    struct alike *first = &X.sides[id].alike;
    s->joining = id && ++first->joined < first->members ? id : 0;
}

/* t ends before it has joined the whole group. */
void search_alike_ends(const struct thread *t) {
    if (is_on() && side_of(t)->joining) {
        not_alike();
    }
}

static bool is_a_handle(uint8_t first, uintptr_t at) {
    for (uint32_t i = 1; i < S.threads_n; i++) {
        if (X.sides[i].alike.first == first && X.sides[i].alike.handle == at) {
            return true;
        }
    }
    return false;
}

/* Checks a plain access between two starts or two joins. */
void search_alike_access(struct thread *t, uintptr_t at, size_t n, bool write) {
    struct side *s = side_of(t);
    bool of_join =
        n == sizeof at && (at == s->result_to || (!write && is_a_handle(s->joining, at)));
    if (s->joining && !of_join) {
        not_alike();
    }
    if (write && s->made.thread && X.sides[s->made.thread].alike.handle != at) {
        s->made.wrote = true;
    }
}

/* May the event occur in a program for which the reduction holds? */
static bool is_ordered(const struct want *w) {
    switch (w->kind) {
    case EVENT_WRITE:
        return w->exchange || (w->size && w->order == __ATOMIC_SEQ_CST);
    case EVENT_READ:
        if (w->size) {
            return w->order == __ATOMIC_SEQ_CST && w->read != READ_ENQUEUE &&
                   (w->read == READ_PLAIN || w->failure == __ATOMIC_SEQ_CST);
        }
        return w->read == READ_LOCK ||
               (w->read == READ_RMW && w->rmw == SIM_AND && w->order == __ATOMIC_RELEASE);
    default:
        return true;
    }
}

void search_alike_look(const struct thread *t, const struct want *w) {
    if (side_of(t)->joining || !is_ordered(w)) {
        not_alike();
    }
}

/* ---- The order of threads that are alike ----------------------------------------------------- */

static event_id solid(event_id e) {
    while (e && G->events[e].kind == EVENT_GHOST) {
        e = G->events[e].po_after;
    }
    return e;
}

/* Do both threads continue in the same way after these two events? */
static bool is_same(event_id mine, event_id its) {
    const struct event *a = &G->events[mine], *b = &G->events[its];
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case EVENT_READ:
        return a->rf == b->rf && !a->ex && !b->ex;
    case EVENT_CHOICE:
        return a->value == b->value;
    default:
        return a->kind == EVENT_FENCE;
    }
}

static event_id after(event_id e, uint8_t thread) {
    return solid(e ? G->events[e].po_after : G->first[thread]);
}

/* The predecessor's event that corresponds to t's next one; 0: there is none yet, or the two
 * already differ. */
static event_id counterpart_now(const struct thread *t) {
    struct alike *a = &side_of(t)->alike;
    while (a->tied) {
        event_id mine = after(a->mine, t->id), its = after(a->its, a->before);
        if (!mine || !is_executed(mine)) {
            return its;
        }
        a->tied = its && is_same(mine, its);
        a->mine = mine;
        a->its = its;
    }
    return 0;
}

/* The last event of a read-modify-write, or e itself. */
static event_id end_of(event_id e) {
    return G->events[e].ex && G->events[e].kind == EVENT_READ ? G->events[e].po_after : e;
}

/* Must t wait for its predecessor? */
bool search_alike_waits(const struct thread *t) {
    if (X.forward || !is_on() || !side_of(t)->alike.tied) {
        return false;
    }
    event_id its = counterpart_now(t);
    if (!side_of(t)->alike.tied) {
        return false;
    }
    return its ? !end_of(its) || !is_executed(end_of(its))
               : !side_of(t)->next && !is_out(&S.threads[side_of(t)->alike.before]);
}

/* t is about to do its next event. */
void search_alike_learn(struct thread *t) {
    event_id its = X.forward || !side_of(t)->alike.tied ? 0 : counterpart_now(t);
    if (its) {
        join_clock(side_of(t)->causes, clock_of(G, end_of(its), CAUSES));
    }
}

/* The events from `id` on have been removed. */
void search_alike_forget(event_id id) {
    for (uint32_t i = 1; i < S.threads_n && is_on(); i++) {
        struct alike *a = &X.sides[i].alike;
        if (a->before && (a->mine >= id || a->its >= id)) {
            a->mine = a->its = 0;
            a->tied = true;
        }
    }
}

static event_id counterpart_of(event_id e) {
    uint8_t thread = G->events[e].thread, before = X.sides[thread].alike.before;
    if (!before || G->events[e].kind == EVENT_GHOST) {
        return 0;
    }
    event_id mine = after(0, thread), its = after(0, before);
    while (mine && its && mine != e && is_same(mine, its)) {
        mine = after(mine, thread);
        its = after(its, before);
    }
    return mine == e ? its : 0;
}

/* May e read the write w, or read or be a write right after w? */
bool search_alike_allows(event_id e, event_id w) {
    if (X.forward || !is_on()) {
        return true;
    }
    event_id its = counterpart_of(e);
    if (!its || G->events[its].kind != G->events[e].kind || !is_access(&G->events[e]) ||
        G->events[its].location != G->events[e].location) {
        return true;
    }
    return place_of(G, w) >= place_of(G, is_read(&G->events[its]) ? G->events[its].rf : its);
}
