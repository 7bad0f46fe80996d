/* search_schedule.c: picks the next thread of a search, and makes threads wait. */
#include "search.h"

/* ---- Locations ------------------------------------------------------------------------------- */

/* Atoms of locations that are not memory, by the object they belong to. */
static struct {
    uintptr_t at;
    uint32_t tag, run, atom;
} objects[4096];

uint32_t search_object_atom(uintptr_t at, unsigned tag) {
    uint32_t i = (uint32_t)((at >> 2) * 2654435761u + tag * 40503ul) % 4096;
    for (uint32_t tries = 0; tries < 4096; tries++, i = (i + 1) % 4096) {
        if (objects[i].run == S.generation && objects[i].at == at && objects[i].tag == tag) {
            return objects[i].atom;
        }
        if (objects[i].run != S.generation) {
            objects[i].at = at;
            objects[i].tag = tag;
            objects[i].run = S.generation;
            return objects[i].atom = atom_of_object();
        }
    }
    search_note_cut(SIM_BOUND_MEMORY, 0);
    search_end_run(CUT_SHORT);
}

/* The running event accesses this atom, and the graph says this location: they must agree. */
void search_bind(uint32_t atom, uint32_t location) {
    if (location >= X.atoms_room) {
        uint32_t room = location * 2 + 64;
        X.atom_of = search_more(X.atom_of, room, sizeof *X.atom_of);
        memset(X.atom_of + X.atoms_room, 0, (room - X.atoms_room) * sizeof *X.atom_of);
        X.atoms_room = room;
    }
    struct atom *a = &S.atoms[atom];
    if (!a->location) {
        if (X.atom_of[location]) {
            search_fickle();
        }
        a->location = location + 1;
        X.atom_of[location] = atom;
    } else if (a->location != location + 1) {
        search_fickle();
    }
}

uint32_t search_location_of(uint32_t atom) {
    if (!S.atoms[atom].location) {
        search_bind(atom, graph_new_location(G));
    }
    return S.atoms[atom].location - 1;
}

/* ---- Replaying ------------------------------------------------------------------------------- */

/* Can t do its next event of the graph: has what it reads been executed? */
static bool can_replay(const struct thread *t) {
    const struct side *s = side_of(t);
    if (!s->want || !s->want->kind || !s->next) {
        return false;
    }
    const struct event *e = &G->events[s->next];
    return (!is_read(e) || is_executed(e->rf)) && !search_alike_waits(t);
}

static bool is_ready(const struct thread *t) {
    const struct want *w = side_of(t)->want;
    return (!w->ready || w->ready(t)) && (!w->kind || !search_alike_waits(t));
}

bool search_may_time_out(const struct thread *t, bool forced) {
    return t->deadline != SIM_NEVER &&
           (t->timeouts < S.o.timeouts_max || (forced && S.o.timeouts_max));
}

bool search_may_return(const struct thread *t) {
    return side_of(t)->woken_by || search_may_time_out(t, false) ||
           t->spurious < S.o.spurious_max || t->time_is_up;
}

static struct thread *pick_forward(void) {
    unsigned c = next_choice();
    struct thread *first = NULL;
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct thread *t = &S.threads[i];
        if (is_out(t) || !is_ready(t)) {
            continue;
        }
        if (side_of(t)->want->exchange) {
            first = t;
            break;
        }
        if (i == c) {
            first = t;
            break;
        }
        if (!first) {
            first = t;
        }
    }
    if (first) {
        record_choice(first->id);
    }
    return first;
}

/* ---- Waiting ------------------------------------------------------------------------------------
 *
 * A read whose only purpose is to wait (for a held lock, or in a loop that would read what it has
 * read) is put off until the newest write has another value. If no thread can run, it is done after
 * all. So a waiting thread adds no graphs before the end of its wait (after Awamoche:
 * Kokologiannakis, Marmanis, Vafeiadis, CAV 2023). If a revisit gives a read such a value, the read
 * stays behind as a ghost, and the next read takes its place. */

static bool is_bound(uint32_t atom) {
    return S.atoms[atom].location != 0;
}

/* Does the newest write end t's wait? The `ready` function of a waiting thread. */
bool search_wait_is_over(const struct thread *t) {
    const struct side *s = side_of(t);
    if (s->forced) {
        return true;
    }
    if (!is_bound(s->wait_atom)) {
        const struct atom *a = &S.atoms[s->wait_atom];
        return a->size && memory_read(a->at, a->size) != s->seen;
    }
    uint32_t l = search_location_of(s->wait_atom);
    event_id newest = G->locations[l].newest;
    event_id last = G->last[t->id];
    if (value_of(newest, l) == s->seen) {
        return false;
    }
    return graph_ghosts_allow(G, last, newest);
}

/* No thread can run: the first waiting thread reads what is there. */
static struct thread *force_waiting(void) {
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct thread *t = &S.threads[i];
        struct side *s = side_of(t);
        if (!is_out(t) && s->waits && !s->next) {
            s->forced = true;
            return t;
        }
    }
    return NULL;
}

static struct thread *pick_new(void) {
    if (X.forward) {
        return pick_forward();
    }
    if (X.forced.kind != ENTRY_NONE) {
        struct thread *t = &S.threads[X.forced.thread];
        return is_out(t) ? NULL : t;
    }
    struct thread *first = NULL;
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct thread *t = &S.threads[i];
        if (is_out(t) || !is_ready(t)) {
            continue;
        }
        const struct want *w = side_of(t)->want;
        if (w->exchange || w->read == READ_ENQUEUE) {
            return t; /* the second half of a read-modify-write or of a wait: nothing may come in
                         between */
        }
        if (!first) {
            first = t;
        }
    }
    return first;
}

/* Picks the next thread, possibly t; ends the run when no thread can run. */
struct thread *search_pick_next(struct thread *t) {
    for (;;) {
        bool replaying = X.replayed < X.replay_n;
        if (replaying && !is_out(t) && can_replay(t)) {
            return t;
        }
        for (uint32_t i = 0; i < S.threads_n;
             i++) { /* threads that are not about to make an event */
            struct thread *u = &S.threads[i];
            const struct want *w = side_of(u)->want;
            if (!is_out(u) && (!w || (!w->kind && is_ready(u)))) {
                return u;
            }
        }
        if (replaying) {
            for (uint32_t i = 0; i < S.threads_n; i++) {
                if (!is_out(&S.threads[i]) && can_replay(&S.threads[i])) {
                    return &S.threads[i];
                }
            }
            search_fickle();
        }
        struct thread *next = pick_new();
        next = next ? next : force_waiting();
        if (next) {
            return next;
        }
        struct thread *sleeper = NULL; /* time passes only when nothing else can happen */
        for (uint32_t i = 0; i < S.threads_n; i++) {
            struct thread *u = &S.threads[i];
            if (!is_out(u) && u->state == T_WAIT && search_may_time_out(u, true) &&
                (!sleeper || u->deadline < sleeper->deadline)) {
                sleeper = u;
            }
        }
        if (!sleeper) {
            search_finish();
        }
        sleeper->time_is_up = true;
    }
}

static void count_step(const struct thread *t, uintptr_t pc) {
    (void)t;
    if (++S.steps >= S.o.steps_max) {
        search_note_cut(SIM_BOUND_STEPS, pc);
        search_end_run(CUT_SHORT);
    }
}

/* Records what t has written since it was last here, before another thread runs. */
void search_see_written(struct side *s) {
    for (uint32_t i = 0; i < s->undone_n; i++) {
        if (s->undone[i].written) {
            s->undone[i].written = false;
            s->undone[i].now = read_plain(s->undone[i].at);
        }
    }
}

/* Returns when t is to do what it wants: the next event of the graph, or a new one. */
void search_arrive(struct thread *t, const struct want *w) {
    search_see_written(side_of(t));
    if (w->kind && (X.reduce & SIM_REDUCE_LOCKS)) {
        search_reduce_look(t, w);
    }
    if (w->kind && (X.reduce & SIM_REDUCE_SYMMETRIC)) {
        search_alike_look(t, w);
    }
    side_of(t)->want = w;
    count_step(t, w->pc);
    struct thread *next = search_pick_next(t);
    if (next != t) {
        run_switch(t, next);
    }
    side_of(t)->want = NULL;
    if (w->kind && (X.reduce & SIM_REDUCE_SYMMETRIC)) {
        search_alike_learn(t);
    }
}

_Noreturn void search_halt(struct thread *t, enum halt how) {
    static const struct want nothing = {.kind = 0};
    side_of(t)->halt = how;
    side_of(t)->want = &nothing;
    run_switch(t, search_pick_next(t));
    abort();
}
