/* search_events.c: turns what a thread does into an event of the graph, either a recorded one or a
 * new one. The alternatives of a new event (another write to read, another place, reads that it
 * could change) are left for later runs. */
#include "search.h"

void search_clock_start(const struct thread *t, struct graph *g, event_id id) {
    struct event *e = &g->events[id];
    e->when = t->H[t->id];
    e->fenced = side_of(t)->fenced;
    epoch *before = clock_of(g, id, BEFORE);
    memcpy(before, t->H, X.width * sizeof *before);
    before[t->id] = e->when - 1;
    memcpy(clock_of(g, id, CAUSES_BEFORE), side_of(t)->causes, X.width * sizeof(epoch));
}

/* Sets AFTER and CAUSES of a read, from the clocks before it and the write that it reads. */
void search_clock_read(struct graph *g, event_id id) {
    const struct event *e = &g->events[id];
    epoch *after = clock_of(g, id, AFTER), *causes = clock_of(g, id, CAUSES);
    memcpy(after, clock_of(g, id, BEFORE), X.width * sizeof *after);
    memcpy(causes, clock_of(g, id, CAUSES_BEFORE), X.width * sizeof *causes);
    if (e->rf) {
        join_clock(causes, clock_of(g, e->rf, CAUSES));
        if (is_acquire(e->order)) {
            join_clock(after, clock_of(g, e->rf, MESSAGE));
        }
    }
    after[e->thread] = e->when;
    causes[e->thread] = e->index + 1;
}

/* Sets MESSAGE of a write: what a release makes visible, and for an exchange also the message that
 * it read. */
static void clock_message(struct graph *g, event_id id, const struct snap *fence) {
    const struct event *e = &g->events[id];
    epoch *message = clock_of(g, id, MESSAGE);
    memset(message, 0, X.width * sizeof *message);
    if (e->queued) {
        return;
    }
    if (is_release(e->order)) {
        memcpy(message, clock_of(g, id, AFTER), X.width * sizeof *message);
    } else if (fence) {
        for (uint32_t i = 0; i < fence->clock_n && i < X.width; i++) {
            message[i] = fence->data[i];
        }
    }
    if (e->ex) {
        event_id from = g->events[e->po_before].rf;
        if (from) {
            join_clock(message, clock_of(g, from, MESSAGE));
        }
    }
    if (S.o.c11_release_sequence) { /* RC11: any later store of the thread continues the release
                                       sequence */
        for (event_id i = e->po_before; i; i = g->events[i].po_before) {
            const struct event *p = &g->events[i];
            if (p->kind == EVENT_WRITE && p->location == e->location && is_release(p->order)) {
                join_clock(message, clock_of(g, i, AFTER));
            }
        }
    }
}

void search_clock_write(struct graph *g, event_id id, const struct snap *fence) {
    const struct event *e = &g->events[id];
    epoch *after = clock_of(g, id, AFTER), *causes = clock_of(g, id, CAUSES);
    memcpy(after, clock_of(g, id, BEFORE), X.width * sizeof *after);
    memcpy(causes, clock_of(g, id, CAUSES_BEFORE), X.width * sizeof *causes);
    after[e->thread] = e->when;
    causes[e->thread] = e->index + 1;
    if (e->kind == EVENT_WRITE) {
        clock_message(g, id, fence);
    }
}

void search_executed(struct thread *t, event_id id) {
    struct side *s = side_of(t);
    G->events[id].step = S.steps;
    if (X.log_n == X.log_room) {
        X.log_room = X.log_room * 2 + 256;
        X.log = search_more(X.log, X.log_room, sizeof *X.log);
    }
    X.log[X.log_n++] = id;
    if (s->next) {
        X.replayed++;
        s->next = G->events[id].po_after;
    }
    s->done++;
    s->latest = id;
    s->fenced = 0;
    memcpy(s->causes, clock_of(G, id, CAUSES), X.width * sizeof(epoch));
    t->H[t->id]++;
}

void search_run_read(struct thread *t, event_id id) {
    struct event *e = &G->events[id];
    bool replay = side_of(t)->next != 0;
    uint64_t v = value_of(e->rf, e->location);
    if (e->redo) {
        e->redo = false;
        side_of(t)->redone = id;
        if (e->read != READ_RETURN) {
            graph_settle(e, v);
        }
        e->value = v;
    } else if (replay && v != e->value) {
        search_fickle();
    }
    struct side *s = side_of(t);
    memcpy(s->before.aH, t->aH, X.width * sizeof(epoch));
    s->before.rel = t->rel;
    search_clock_start(t, G, id);
    search_clock_read(G, id);
    if (e->rf && e->kind != EVENT_GHOST) {
        const epoch *message = clock_of(G, e->rf, MESSAGE);
        join_clock(is_acquire(e->order) ? t->H : t->aH, message);
    }
    search_executed(t, id);
}

void search_run_write(struct thread *t, event_id id) {
    struct event *e = &G->events[id];
    search_clock_start(t, G, id);
    search_clock_write(G, id, t->rel);
    struct atom *a = &S.atoms[X.atom_of[e->location]];
    if (place_of(G, a->owner) < e->co_place) {
        a->owner = id;
        if (a->size) {
            memory_write(a->at, a->size, e->value);
        }
    }
    side_of(t)->last_write = id;
    search_executed(t, id);
}

/* ---- Runs left for later --------------------------------------------------------------------- */

void search_push(struct entry e) {
    if (X.stack_n == X.stack_room) {
        X.stack_room = X.stack_room * 2 + 256;
        X.stack = search_more(X.stack, X.stack_room, sizeof *X.stack);
    }
    e.frame = X.frames_n - 1;
    e.thread = G->events[e.k].thread;
    X.stack[X.stack_n++] = e;
}

/* Drops what was left for later from event `id` on. */
void search_drop_left(event_id id) {
    while (X.stack_n > X.floor && X.stack[X.stack_n - 1].frame == X.frames_n - 1 &&
           X.stack[X.stack_n - 1].k >= id) {
        X.stack_n--;
    }
}

/* Removes the new events from `id` on, all of one thread. */
void search_take_back(event_id id) {
    uint32_t locations = G->locations_n;
    for (event_id i = id; i < G->n; i++) {
        struct atom *a = &S.atoms[X.atom_of[G->events[i].location]];
        if (G->events[i].kind == EVENT_WRITE && a->owner == i) {
            a->owner = G->events[i].co_before;
        }
    }
    graph_truncate(G, id);
    search_alike_forget(id);
    for (uint32_t l = G->locations_n; l < locations; l++) {
        S.atoms[X.atom_of[l]].location = 0;
        X.atom_of[l] = 0;
    }
}

/* Is the outcome of this first new event given? It must be of this kind then. */
bool search_take_forced(enum entry_kind kind, event_id id) {
    if (X.forced.kind == ENTRY_NONE) {
        return false;
    }
    if (X.forced.kind != kind || X.forced.k != id) {
        search_fickle();
    }
    return true;
}

static uint64_t written_by(const struct want *w, uint64_t old) {
    switch (w->read) {
    case READ_RMW:
        return rmw_result(w->rmw, old, w->operand, S.atoms[w->atom].size);
    case READ_CAS:
    case READ_LOCK:
        return w->operand;
    default:
        return old;
    }
}

/* True if the axiom of sequential consistency holds with e in place. */
static bool allowed(const struct graph *g, event_id e) {
    return !graph_order_matters(g, e) || graph_is_consistent(g);
}

event_id search_add_exchange(const struct thread *t, struct graph *g, event_id read,
                             uint64_t value) {
    event_id id = graph_add(g, g->events[read].thread, EVENT_WRITE, g->events[read].location);
    struct event *w = &g->events[id];
    const struct event *r = &g->events[read];
    w->value = value;
    w->order = r->order_success;
    w->ex = true;
    w->queued = r->queued;
    w->when = r->when + 1;
    memcpy(clock_of(g, id, BEFORE), clock_of(g, read, AFTER), X.width * sizeof(epoch));
    memcpy(clock_of(g, id, CAUSES_BEFORE), clock_of(g, read, CAUSES), X.width * sizeof(epoch));
    search_clock_write(g, id, t ? t->rel : NULL);
    if (w->order == __ATOMIC_SEQ_CST) {
        g->accesses_sc++;
    }
    return id;
}

/* Would graph_revisit() with these arguments give a graph that the axioms allow? */
static bool revisit_allowed(event_id r, event_id w, event_id after, bool newest) {
    if (newest || G->fences_sc + G->accesses_sc < 2) {
        return true;
    }
    struct graph *g = &X.scratch;
    graph_revisit(g, G, r, w, after);
    event_id w_new = g->n - 1;
    search_clock_read(g, r); /* events up to r keep their numbers */
    if (g->events[r].ex) {
        event_id x = search_add_exchange(NULL, g, r, 0);
        graph_place(g, x, w_new);
    }
    if (g->fences_sc + g->accesses_sc < 2) {
        return true;
    }
    return graph_is_consistent(g);
}

/* Can r be made to read a write w that will stand right after `after`? */
static bool can_be_revisited(event_id r, event_id w, event_id after) {
    const struct event *e = &G->events[r];
    if (!graph_ghosts_allow(G, e->po_before, w) || !search_alike_allows(r, after) ||
        !search_alike_allows(w, after)) {
        return false;
    }
    if (e->read == READ_SPURIOUS && G->events[w].value != e->expected) {
        return false;
    }
    if (e->read == READ_ENQUEUE) {
        event_id compared = e->po_before;
        const struct event *c = &G->events[compared];
        if (!graph_may_enqueue(G, compared, after) ||
            place_of(G, graph_known(G, c->location, clock_of(G, w, AFTER))) > place_of(G, c->rf)) {
            return false;
        }
    }
    return true;
}

static bool is_kept(event_id i, event_id r, const epoch *causes) {
    return i <= r || is_cause(G, causes, i);
}

/* Leaves for later every place in modification order that w can have if r reads it. */
static void revisit_places(event_id r, event_id w, const epoch *causes) {
    const struct event *e = &G->events[w];
    event_id known_r = graph_known(G, e->location, clock_of(G, r, BEFORE));
    if (e->ex) {
        event_id after = G->events[e->po_before].rf;
        if (place_of(G, known_r) > place_of(G, after) || !can_be_revisited(r, w, after)) {
            return;
        }
        bool newest = true;
        for (event_id i = after ? G->events[after].co_after : G->locations[e->location].oldest; i;
             i = G->events[i].co_after) {
            newest = newest && (i == w || !is_kept(i, r, causes));
        }
        if (revisit_allowed(r, w, after, newest)) {
            search_push((struct entry){.kind = ENTRY_REVISIT, .k = w, .r = r, .ref = after});
        }
        return;
    }
    event_id low = graph_known(G, e->location, clock_of(G, w, BEFORE));
    if (place_of(G, known_r) > place_of(G, low)) {
        low = known_r;
    }
    bool newest = true;
    for (event_id p = G->locations[e->location].newest;; p = G->events[p].co_before) {
        if (p != w && (!p || is_kept(p, r, causes))) {
            event_id x = graph_exchange_of(G, e->location, p);
            if ((!x || x == r || !is_kept(x, r, causes)) && can_be_revisited(r, w, p) &&
                revisit_allowed(r, w, p, newest)) {
                search_push((struct entry){.kind = ENTRY_REVISIT, .k = w, .r = r, .ref = p});
            }
            newest = false;
        }
        if (p == low || !p) {
            break;
        }
    }
}

static bool is_revisitable(const struct event *e, uint32_t location) {
    return e->kind == EVENT_READ && e->location == location && e->read != READ_WOKEN;
}

/* w is new and in its place: which earlier reads could have read it? */
static void find_revisits(event_id w) {
    const epoch *causes = clock_of(G, w, CAUSES);
    for (event_id i = w - 1; i; i--) {
        if (is_cause(G, causes, i)) {
            continue;
        }
        if (!graph_is_maximal(G, i, w)) {
            break;
        }
        if (is_revisitable(&G->events[i], G->events[w].location)) {
            revisit_places(i, w, causes);
        }
    }
}

/* The read `id` would exchange p, but another exchange has already read p: explore the runs in
 * which the other comes after this one. */
static void find_exchange_revisits(const struct thread *t, event_id id, event_id p,
                                   uint64_t value) {
    struct event *e = &G->events[id];
    event_id other = graph_exchange_of(G, e->location, p);
    e->rf = p;
    graph_settle(e, value_of(p, e->location));
    e->ex = true;
    search_clock_read(G, id);
    event_id w = search_add_exchange(t, G, id, value);
    e = &G->events[id];
    const epoch *causes = clock_of(G, w, CAUSES);
    if (!is_cause(G, causes, other)) {
        for (event_id i = id - 1; i; i--) {
            if (is_cause(G, causes, i)) {
                continue;
            }
            if (!graph_is_maximal(G, i, w)) {
                break;
            }
            if (i > other || !is_revisitable(&G->events[i], e->location)) {
                continue;
            }
            event_id known = graph_known(G, e->location, clock_of(G, i, BEFORE));
            if (place_of(G, known) > place_of(G, p) || !can_be_revisited(i, w, p)) {
                continue;
            }
            bool newest = true;
            for (event_id k = p ? G->events[p].co_after : G->locations[e->location].oldest; k;
                 k = G->events[k].co_after) {
                newest = newest && !is_kept(k, i, causes);
            }
            if (revisit_allowed(i, w, p, newest)) {
                search_push((struct entry){.kind = ENTRY_EXCHANGE,
                                           .k = id,
                                           .r = i,
                                           .ref = p,
                                           .value = value,
                                           .old = value_of(p, e->location)});
            }
        }
    }
    graph_truncate(G, w);
}

/* ---- New events ------------------------------------------------------------------------------ */

static bool reads_this(const struct event *e, uint64_t v) {
    return (e->read != READ_SPURIOUS && e->read != READ_LOCK) || v == e->expected;
}

static void settle(event_id id, event_id rf) {
    struct event *e = &G->events[id];
    e->rf = rf;
    uint64_t v = value_of(rf, e->location);
    graph_settle(e, v);
    if (e->read == READ_RETURN) {
        e->ex = true;
    }
    search_clock_read(G, id);
}

/* Leaves for later every other write that the new read could read. */
static void leave_reads(const struct thread *t, const struct want *w, event_id id) {
    const struct side *s = side_of(t);
    uint32_t l = G->events[id].location;
    event_id newest = G->locations[l].newest, known = graph_known(G, l, clock_of(G, id, BEFORE));
    if (newest == known) {
        return;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (event_id p = G->events[newest].co_before;; p = G->events[p].co_before) {
            struct event *e = &G->events[id];
            e->ex = false;
            event_id other = graph_exchange_of(G, l, p);
            uint64_t v = value_of(p, l);
            bool can = reads_this(e, v) && !(s->waits && v == s->seen) &&
                       graph_ghosts_allow(G, e->po_before, p) && search_alike_allows(id, p) &&
                       (e->read != READ_ENQUEUE || graph_may_enqueue(G, e->po_before, p));
            settle(id, p);
            bool ex = G->events[id].ex;
            if (can && ex && other) {
                if (pass == 1) {
                    G->events[id].ex = false;
                    find_exchange_revisits(t, id, p, written_by(w, v));
                }
            } else if (can && pass == 0) {
                bool fine = true;
                if (graph_order_matters(G, id)) {
                    event_id x = 0;
                    if (ex) {
                        x = search_add_exchange(t, G, id, 0);
                        graph_place(G, x, p);
                    }
                    fine = graph_is_consistent(G);
                    if (x) {
                        graph_truncate(G, x);
                    }
                }
                if (fine) {
                    search_push((struct entry){.kind = ENTRY_READ, .k = id, .ref = p});
                }
            }
            if (p == known || !p) {
                break;
            }
        }
    }
    G->events[id].ex = false;
}

/* A sleeper that was woken could have left the queue by itself at any earlier point. */
static void leave_timeouts(const struct thread *t, event_id id, event_id waker) {
    uint32_t l = G->events[id].location;
    event_id joined = graph_known(G, l, clock_of(G, id, BEFORE)), p = waker;
    if (G->events[waker].location != l) {
        return; /* it was woken by a call on another object, which took it out of the queue */
    }
    G->events[id].read = READ_RETURN;
    do {
        p = G->events[p].co_before;
        find_exchange_revisits(t, id, p, value_of(p, l));
        G->events[id].ex = false;
    } while (p != joined && p);
    G->events[id].read = READ_WOKEN;
}

/* When replaying choices: the c-th newest write that the event may read. */
static event_id read_forward(const struct want *w, event_id id, bool *left_out) {
    const struct event *e = &G->events[id];
    event_id known = graph_known(G, e->location, clock_of(G, id, BEFORE));
    event_id newest = G->locations[e->location].newest, p = newest;
    unsigned c = next_choice(), i = 0;
    for (; i < c && p && p != known; i++) {
        p = G->events[p].co_before;
    }
    bool fine = true;
    if (p != newest) {
        event_id other = graph_exchange_of(G, e->location, p);
        uint64_t v = value_of(p, e->location);
        fine =
            reads_this(e, v) && (e->read != READ_ENQUEUE || graph_may_enqueue(G, e->po_before, p));
        settle(id, p);
        fine = fine && !(other && G->events[id].ex) && allowed(G, id);
        G->events[id].ex = false;
    }
    record_choice(fine ? i : 0);
    p = fine ? p : newest;
    if (w->read == READ_RMW) { /* the run may have left out a round of a waiting loop:
                                  search_take_back_exchange() */
        uint64_t v = value_of(p, G->events[id].location);
        *left_out = next_choice() == 1 && written_by(w, v) == v;
        record_choice(*left_out);
    }
    return p;
}

event_id search_add_read(struct thread *t, const struct want *w) {
    if (G->n >= EVENTS_MAX) {
        search_note_cut(SIM_BOUND_STEPS, w->pc);
        search_end_run(CUT_SHORT);
    }
    event_id id = graph_add(G, t->id, EVENT_READ, search_location_of(w->atom));
    struct event *e = &G->events[id];
    e->read = w->read;
    e->queued = S.atoms[w->atom].queue;
    e->expected = w->expected;
    e->order = e->order_success = w->order;
    e->order_failure = w->failure;
    search_clock_start(t, G, id);
    if (is_sc_event(e)) {
        G->accesses_sc++;
    }
    event_id newest = G->locations[e->location].newest, rf = newest;
    bool left_out = false;
    if (e->read == READ_WOKEN) {
        rf = side_of(t)->woken_by;
        if (!X.forward && (search_may_time_out(t, false) || t->spurious < S.o.spurious_max)) {
            leave_timeouts(t, id, rf);
        }
    } else if (X.forward) {
        rf = read_forward(w, id, &left_out);
    } else if (search_take_forced(ENTRY_READ, id)) {
        rf = X.forced.ref;
        X.forced.kind = ENTRY_NONE;
    } else {
        leave_reads(t, w, id);
    }
    if (!graph_ghosts_allow(G, G->events[id].po_before, rf)) {
        left_out = true; /* as in the search: do_read() halts the thread */
    }
    if (w->read == READ_ENQUEUE && !graph_may_enqueue(G, G->events[id].po_before, rf)) {
        /* A thread that compared an old value cannot join the queue behind events that know a newer
         * one: its read does not write, and the thread goes no further. */
        left_out = true;
    }
    settle(id, rf);
    G->events[id].ex = G->events[id].ex && !left_out;
    return id;
}

static event_id place_forward(event_id id) {
    const struct event *e = &G->events[id];
    event_id newest = G->locations[e->location].newest, p = newest;
    event_id known = graph_known(G, e->location, clock_of(G, id, BEFORE));
    unsigned c = next_choice(), i = 0;
    for (; i < c && p && p != known; i++) {
        p = G->events[p].co_before;
    }
    bool fine = p == newest || !graph_exchange_of(G, e->location, p);
    record_choice(fine ? i : 0);
    return fine ? p : newest;
}

event_id search_add_write(struct thread *t, const struct want *w, uint64_t value) {
    if (G->n >= EVENTS_MAX) {
        search_note_cut(SIM_BOUND_STEPS, w->pc);
        search_end_run(CUT_SHORT);
    }
    event_id id = graph_add(G, t->id, EVENT_WRITE, search_location_of(w->atom));
    struct event *e = &G->events[id];
    uint32_t l = e->location;
    e->value = value;
    e->order = w->order;
    e->ex = w->exchange;
    e->queued = S.atoms[w->atom].queue;
    search_clock_start(t, G, id);
    search_clock_write(G, id, t->rel);
    if (is_sc_event(e)) {
        G->accesses_sc++;
    }
    event_id newest = G->locations[l].newest, after = newest;
    bool forced = false;
    if (e->ex) {
        after = G->events[e->po_before].rf;
    } else if (X.forward) {
        after = place_forward(id);
    } else if (search_take_forced(ENTRY_PLACE, id)) {
        after = X.forced.ref;
        X.forced.kind = ENTRY_NONE;
        forced = true;
    } else {
        event_id known = graph_known(G, l, clock_of(G, id, BEFORE));
        for (event_id p = newest; p != known;) {
            p = G->events[p].co_before;
            if (graph_exchange_of(G, l, p) || !search_alike_allows(id, p)) {
                continue;
            }
            bool fine = true;
            if (graph_order_matters(G, id)) {
                graph_place(G, id, p);
                fine = graph_is_consistent(G);
                graph_unplace(G, id);
            }
            if (fine) {
                search_push((struct entry){.kind = ENTRY_PLACE, .k = id, .ref = p});
            }
        }
    }
    graph_place(G, id, after);
    if (!forced && !X.forward) {
        find_revisits(id);
    }
    return id;
}
