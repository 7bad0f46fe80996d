/* explore.c: the exhaustive search: every execution graph that the axioms allow, each once.
 *
 * The method is TruSt (Kokologiannakis, Marmanis, Gladstein, Vafeiadis, POPL 2022). A run replays a
 * graph: each thread is given the values that the graph says, and runs on beyond it event by event,
 * the thread with the lowest number first. A new read reads the newest write, a new write becomes
 * the newest; every other write that it could read and every other place is left for later runs. A
 * new write may also be read by a read that came before it (a revisit): then what was added after
 * that read and does not cause the write is taken back, but only if it stood there as if it had
 * been added last (graph_is_maximal()), so that one graph alone leads to each revisit. The runs
 * left for later are entries of a stack; a revisit goes on in a graph of its own (a frame). Memory
 * is bounded by the length of an execution.
 *
 * What is no access of memory is one all the same: a lock, a condition variable, a queue of
 * sleepers and the like are locations, and each call a read-modify-write, so their calls are
 * totally ordered. A lock that is held reads the newest state and blocks; a revisit by the unlock
 * lets it go on. Sleepers are no events until they return.
 *
 * Loops. A thread that comes back to a read in the same state (registers that a call preserves,
 * live stack, what it wrote), without a lasting effect in between, would do the same for ever: it
 * blocks until a revisit changes what it read. Where one of these reads was not the newest, no fair
 * execution stays there: a dead end. */
#include "graph.h"
#include "internal.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESSES_MAX 64
#define CLAIMS_MAX (1u << 16)
#define HISTORY 64
#define VISITS 512
#define UNDONE 16
#define EVENTS_MAX (1u << 20)

/* What a thread is about to do. */
struct want {
    uint8_t kind; /* enum event_kind; 0: no event, it only waits until it is ready */
    uint8_t read;
    uint8_t order, failure;
    bool exchange; /* a write that belongs to the read before it */
    uint16_t choices;
    uint32_t atom; /* of memory it is looked up when the event runs */
    uintptr_t at;
    uint8_t size; /* of memory; 0: no memory */
    enum sim_rmw rmw;
    uint64_t expected, operand; /* the value written, or the operand of a read-modify-write */
    uintptr_t pc;
    bool (*ready)(const struct thread *); /* NULL: always */
};

enum halt { GOING, SPINS, LOCKED, ASSUMED, CUT };

/* The search's side of a thread, in one run. */
struct side {
    const struct want *want; /* it stands before this; NULL: it runs, or has yet to */
    event_id next;           /* its next event in the graph; 0: it has done all of them */
    uint32_t done, spawned;
    uint64_t time; /* the latest that it knows */
    enum halt halt;
    uint32_t halt_index;  /* SPINS: its first event that repeats */
    uint32_t round_index; /* CUT: the first event of its last round */
    event_id locked;      /* LOCKED: the read */
    event_id woken_by;
    event_id last_write; /* the write by which it last changed something, for wakes */
    uint32_t history_n, undone_n;
    bool overflow;
    struct {
        uint64_t state;
        uint32_t index;
    } history[HISTORY];
    struct {
        uintptr_t at;
        uint64_t was, now;
        bool written;
    } undone[UNDONE];
    struct {
        uint64_t state;
        uint32_t times, index;
    } visits[VISITS];
    epoch causes[SEARCH_THREADS];
};

enum entry_kind {
    ENTRY_NONE,
    ENTRY_READ,
    ENTRY_PLACE,
    ENTRY_CHOICE,
    ENTRY_REVISIT,
    ENTRY_EXCHANGE
};

/* A run left for later: event k of the frame's graph, but otherwise. */
struct entry {
    uint64_t value; /* of the choice, of the exchange's write */
    uint64_t old;   /* what the exchange reads */
    event_id k, r;  /* r: the read that is revisited */
    event_id ref;   /* the write to be read, or to stand behind */
    uint32_t frame;
    uint8_t kind;
};

/* Where a search stands: the entries and the graphs of their frames. */
struct place {
    struct graph *frames;
    struct entry *entries;
    uint32_t frames_n, entries_n, first; /* entries below `first` are done */
};

struct shared { /* between the processes of one search */
    unsigned char claim[CLAIMS_MAX];
    int stop;
    uint32_t learnt_n; /* cells of stacks that a process found to be shared */
    uintptr_t learnt[256];
};

enum outcome { ENDED, STUCK, DEAD_END, CUT_SHORT };

static struct {
    struct graph *frames; /* the one in work is the last */
    uint32_t frames_n, frames_room, width;
    struct entry *stack;
    uint32_t stack_n, stack_room, floor;
    struct entry forced; /* what the run is to do first beyond the graph */
    struct graph scratch;
    struct side *sides; /* by thread */
    uint32_t replay_n, replayed;
    event_id *log; /* events in the order of execution */
    uint32_t log_n, log_room;
    uint32_t *atom_of; /* by location */
    uint32_t atoms_room;
    enum outcome outcome;
    bool forward; /* a replay of recorded choices: no graph is given, nothing is left for later */
    bool too_wide, begin_anew; /* the search learnt something and starts again */
    bool clock_used;
    size_t header_n;
    struct {
        uintptr_t *cells; /* ascending */
        uint32_t n;
    } shared_stack[SEARCH_THREADS]; /* cells of a thread's stack that do not only it writes, or
                                       atomics */
    uintptr_t *mixed;               /* cells whose atomics overlap */
    uint32_t mixed_n;
    const char *error;
    struct shared *shared;
    struct place *places;
    uint32_t places_n, place_now;
    const struct sim_explore_options *o;
    struct sim_explored *out;
} X;

#define G (&X.frames[X.frames_n - 1])

static const char fickle[] = "the program does not behave the same when it is run again";

static void *more(void *p, size_t n, size_t size) {
    p = realloc(p, (n ? n : 1) * size);
    if (!p) {
        fprintf(stderr, "sim: out of memory\n");
        exit(2);
    }
    return p;
}

static _Noreturn void end_run(enum outcome outcome) {
    X.outcome = outcome;
    stop_run();
}

static _Noreturn void give_up(const char *why) {
    X.error = why;
    end_run(DEAD_END);
}

static struct side *side_of(const struct thread *t) {
    return &X.sides[t->id];
}

/* ---- What was cut -------------------------------------------------------------------------------
 */

static void note_cut(unsigned bound, uintptr_t pc) {
    S.bounds |= bound;
    struct sim_explored *e = X.out;
    if (!e) {
        return;
    }
    for (unsigned i = 0; i < e->cuts_n; i++) {
        if (e->cuts[i].bound == bound && e->cuts[i].pc == pc) {
            e->cuts[i].times++;
            return;
        }
    }
    if (e->cuts_n < SIM_CUTS_MAX) {
        e->cuts[e->cuts_n++] = (struct sim_cut){.bound = bound, .pc = pc, .times = 1};
    }
}

/* ---- Locations ----------------------------------------------------------------------------------
 */

/* Locations that are no memory, by what they belong to. */
static struct {
    uintptr_t at;
    uint32_t tag, run, atom;
} objects[4096];

static uint32_t object_atom(uintptr_t at, unsigned tag) {
    uint32_t i = (uint32_t)((at >> 2) * 2654435761u + tag * 40503u) % 4096;
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
    note_cut(SIM_BOUND_MEMORY, 0);
    end_run(CUT_SHORT);
}

/* The event that runs is of this atom, the graph says of this location. */
static void bind(uint32_t atom, uint32_t location) {
    if (location >= X.atoms_room) {
        uint32_t room = location * 2 + 64;
        X.atom_of = more(X.atom_of, room, sizeof *X.atom_of);
        memset(X.atom_of + X.atoms_room, 0, (room - X.atoms_room) * sizeof *X.atom_of);
        X.atoms_room = room;
    }
    struct atom *a = &S.atoms[atom];
    if (!a->location) {
        if (X.atom_of[location]) {
            give_up(fickle);
        }
        a->location = location + 1;
        X.atom_of[location] = atom;
    } else if (a->location != location + 1) {
        give_up(fickle);
    }
}

static uint32_t location_of(uint32_t atom) {
    if (!S.atoms[atom].location) {
        bind(atom, graph_new_location(G));
    }
    return S.atoms[atom].location - 1;
}

static uint64_t value_of(event_id w, uint32_t location) {
    return w ? G->events[w].value : S.atoms[X.atom_of[location]].initial;
}

/* ---- Who goes on --------------------------------------------------------------------------------
 */

static bool is_executed(event_id e) {
    return e == 0 || X.sides[G->events[e].thread].done > G->events[e].index;
}

/* Can its next event of the graph be done, is what it reads there? */
static bool can_replay(const struct thread *t) {
    const struct side *s = side_of(t);
    if (!s->want || !s->want->kind || !s->next) {
        return false;
    }
    const struct event *e = &G->events[s->next];
    return e->kind != EVENT_READ || is_executed(e->rf);
}

static bool is_out(const struct thread *t) {
    return t->state == T_DONE || side_of(t)->halt;
}

static bool is_ready(const struct thread *t) {
    const struct want *w = side_of(t)->want;
    return !w->ready || w->ready(t);
}

static bool may_time_out(const struct thread *t, bool forced) {
    return t->deadline != SIM_NEVER &&
           (t->timeouts < S.o.timeouts_max || (forced && S.o.timeouts_max));
}

static bool may_return(const struct thread *t) {
    return side_of(t)->woken_by || may_time_out(t, false) || t->spurious < S.o.spurious_max ||
           t->time_is_up;
}

static _Noreturn void finish(void);

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

static struct thread *pick_new(void) {
    if (X.forward) {
        return pick_forward();
    }
    struct thread *first = NULL;
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct thread *t = &S.threads[i];
        if (is_out(t) || !is_ready(t)) {
            continue;
        }
        if (side_of(t)->want->exchange) {
            return t; /* the second half of a read-modify-write */
        }
        if (!first) {
            first = t;
        }
    }
    return first;
}

/* Who is next, t among others; ends the run when nobody can go on. */
static struct thread *pick_next(struct thread *t) {
    for (;;) {
        bool replaying = X.replayed < X.replay_n;
        if (replaying && !is_out(t) && can_replay(t)) {
            return t;
        }
        for (uint32_t i = 0; i < S.threads_n; i++) { /* who is before no event */
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
            give_up(fickle);
        }
        struct thread *next = pick_new();
        if (next) {
            return next;
        }
        struct thread *sleeper = NULL; /* time passes only when nothing else can happen */
        for (uint32_t i = 0; i < S.threads_n; i++) {
            struct thread *u = &S.threads[i];
            if (!is_out(u) && u->state == T_WAIT && may_time_out(u, true) &&
                (!sleeper || u->deadline < sleeper->deadline)) {
                sleeper = u;
            }
        }
        if (!sleeper) {
            finish();
        }
        sleeper->time_is_up = true;
    }
}

static void count_step(const struct thread *t, uintptr_t pc) {
    (void)t;
    if (++S.steps >= S.o.steps_max) {
        note_cut(SIM_BOUND_STEPS, pc);
        end_run(CUT_SHORT);
    }
}

static uint64_t read_plain(uintptr_t cell) {
    uint64_t v;
    memcpy(&v, (const void *)cell, sizeof v);
    return v;
}

/* What t has written since it was last here, before anybody else runs. */
static void see_written(struct side *s) {
    for (uint32_t i = 0; i < s->undone_n; i++) {
        if (s->undone[i].written) {
            s->undone[i].written = false;
            s->undone[i].now = read_plain(s->undone[i].at);
        }
    }
}

/* Returns when t is to do what it wants: the next event of the graph, or a new one. */
static void arrive(struct thread *t, const struct want *w) {
    see_written(side_of(t));
    side_of(t)->want = w;
    count_step(t, w->pc);
    struct thread *next = pick_next(t);
    if (next != t) {
        run_switch(t, next);
    }
    side_of(t)->want = NULL;
}

static _Noreturn void halt(struct thread *t, enum halt how) {
    static const struct want nothing = {.kind = 0};
    side_of(t)->halt = how;
    side_of(t)->want = &nothing;
    run_switch(t, pick_next(t));
    abort();
}

/* ---- Events that run ----------------------------------------------------------------------------
 */

static void join_clock(epoch *to, const epoch *from) {
    for (uint32_t i = 0; i < X.width; i++) {
        if (from[i] > to[i]) {
            to[i] = from[i];
        }
    }
}

static bool is_acquire(unsigned o) {
    return o == __ATOMIC_ACQUIRE || o == __ATOMIC_CONSUME || o >= __ATOMIC_ACQ_REL;
}
static bool is_release(unsigned o) {
    return o >= __ATOMIC_RELEASE;
}

static void clock_start(const struct thread *t, struct graph *g, event_id id) {
    struct event *e = &g->events[id];
    e->when = t->H[t->id];
    epoch *before = clock_of(g, id, BEFORE);
    memcpy(before, t->H, X.width * sizeof *before);
    before[t->id] = e->when - 1;
    memcpy(clock_of(g, id, CAUSES_BEFORE), side_of(t)->causes, X.width * sizeof(epoch));
}

/* AFTER and CAUSES of a read, from those before and the write that it reads. */
static void clock_read(struct graph *g, event_id id) {
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

/* MESSAGE of a write: what a release before it has, and of an exchange what it read from. */
static void clock_message(struct graph *g, event_id id, const struct snap *fence) {
    const struct event *e = &g->events[id];
    epoch *message = clock_of(g, id, MESSAGE);
    memset(message, 0, X.width * sizeof *message);
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
    if (S.o.c11_release_sequence) { /* RC11's: whatever lies between, the thread's stores continue
                                       it */
        for (event_id i = e->po_before; i; i = g->events[i].po_before) {
            const struct event *p = &g->events[i];
            if (p->kind == EVENT_WRITE && p->location == e->location && is_release(p->order)) {
                join_clock(message, clock_of(g, i, AFTER));
            }
        }
    }
}

static void clock_write(struct graph *g, event_id id, const struct snap *fence) {
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

static void executed(struct thread *t, event_id id) {
    struct side *s = side_of(t);
    G->events[id].step = S.steps;
    if (X.log_n == X.log_room) {
        X.log_room = X.log_room * 2 + 256;
        X.log = more(X.log, X.log_room, sizeof *X.log);
    }
    X.log[X.log_n++] = id;
    if (s->next) {
        X.replayed++;
        s->next = G->events[id].po_after;
    }
    s->done++;
    memcpy(s->causes, clock_of(G, id, CAUSES), X.width * sizeof(epoch));
    t->H[t->id]++;
}

static void run_read(struct thread *t, event_id id) {
    struct event *e = &G->events[id];
    bool replay = side_of(t)->next != 0;
    uint64_t v = value_of(e->rf, e->location);
    if (e->redo) {
        e->redo = false;
        if (e->read != READ_RETURN) {
            graph_settle(e, v);
        }
        e->value = v;
    } else if (replay && v != e->value) {
        give_up(fickle);
    }
    clock_start(t, G, id);
    clock_read(G, id);
    if (e->rf) {
        const epoch *message = clock_of(G, e->rf, MESSAGE);
        join_clock(is_acquire(e->order) ? t->H : t->aH, message);
    }
    executed(t, id);
}

static void run_write(struct thread *t, event_id id) {
    struct event *e = &G->events[id];
    clock_start(t, G, id);
    clock_write(G, id, t->rel);
    struct atom *a = &S.atoms[X.atom_of[e->location]];
    if (place_of(G, a->owner) < e->co_place) {
        a->owner = id;
        if (a->size) {
            memory_write(a->at, a->size, e->value);
        }
    }
    side_of(t)->last_write = id;
    executed(t, id);
}

/* ---- Runs for later -----------------------------------------------------------------------------
 */

static void push(struct entry e) {
    if (X.stack_n == X.stack_room) {
        X.stack_room = X.stack_room * 2 + 256;
        X.stack = more(X.stack, X.stack_room, sizeof *X.stack);
    }
    e.frame = X.frames_n - 1;
    X.stack[X.stack_n++] = e;
}

/* The order of threads or a choice given beforehand for the first new event. */
static bool take_forced(enum entry_kind kind, event_id id) {
    if (X.forced.kind == ENTRY_NONE) {
        return false;
    }
    if (X.forced.kind != kind || X.forced.k != id) {
        give_up(fickle);
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

/* Does it matter for the axiom of sequential consistency, and is it broken? */
static bool allowed(const struct graph *g, event_id e) {
    return !graph_order_matters(g, e) || graph_is_consistent(g);
}

static event_id add_exchange(const struct thread *t, struct graph *g, event_id read,
                             uint64_t value) {
    event_id id = graph_add(g, g->events[read].thread, EVENT_WRITE, g->events[read].location);
    struct event *w = &g->events[id];
    const struct event *r = &g->events[read];
    w->value = value;
    w->order = r->order_success;
    w->ex = true;
    w->when = r->when + 1;
    memcpy(clock_of(g, id, BEFORE), clock_of(g, read, AFTER), X.width * sizeof(epoch));
    memcpy(clock_of(g, id, CAUSES_BEFORE), clock_of(g, read, CAUSES), X.width * sizeof(epoch));
    clock_write(g, id, t ? t->rel : NULL);
    if (w->order == __ATOMIC_SEQ_CST) {
        g->accesses_sc++;
    }
    return id;
}

/* Would graph_revisit() with these give a graph that the axioms allow? */
static bool revisit_allowed(event_id r, event_id w, event_id after, bool newest) {
    if (newest || G->fences_sc + G->accesses_sc < 2) {
        return true;
    }
    struct graph *g = &X.scratch;
    graph_revisit(g, G, r, w, after);
    event_id w_new = g->n - 1;
    clock_read(g, r); /* up to r nothing has another number */
    if (g->events[r].ex) {
        event_id x = add_exchange(NULL, g, r, 0);
        graph_place(g, x, w_new);
    }
    if (g->fences_sc + g->accesses_sc < 2) {
        return true;
    }
    return graph_is_consistent(g);
}

/* Can r be made to read a write w that will stand right behind `after`? */
static bool can_be_revisited(event_id r, event_id w, event_id after) {
    const struct event *e = &G->events[r];
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

/* Every place in modification order that w can have when r reads it. */
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
            push((struct entry){.kind = ENTRY_REVISIT, .k = w, .r = r, .ref = after});
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
                push((struct entry){.kind = ENTRY_REVISIT, .k = w, .r = r, .ref = p});
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

/* w is new and stands in the graph: which reads could have read it? */
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

/* The read `id` would exchange p, which another exchange has: that one may come after it. */
static void find_exchange_revisits(const struct thread *t, event_id id, event_id p,
                                   uint64_t value) {
    struct event *e = &G->events[id];
    event_id other = graph_exchange_of(G, e->location, p);
    e->rf = p;
    graph_settle(e, value_of(p, e->location));
    e->ex = true;
    clock_read(G, id);
    event_id w = add_exchange(t, G, id, value);
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
                push((struct entry){.kind = ENTRY_EXCHANGE,
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

/* ---- New events ---------------------------------------------------------------------------------
 */

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
    clock_read(G, id);
}

/* Every other write that the new read could read is left for a later run. */
static void leave_reads(const struct thread *t, const struct want *w, event_id id) {
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
            bool can = reads_this(e, v) &&
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
                        x = add_exchange(t, G, id, 0);
                        graph_place(G, x, p);
                    }
                    fine = graph_is_consistent(G);
                    if (x) {
                        graph_truncate(G, x);
                    }
                }
                if (fine) {
                    push((struct entry){.kind = ENTRY_READ, .k = id, .ref = p});
                }
            }
            if (p == known || !p) {
                break;
            }
        }
    }
    G->events[id].ex = false;
}

/* A sleeper that was woken could have left the queue by itself, anywhere before that. */
static void leave_timeouts(const struct thread *t, event_id id, event_id waker) {
    uint32_t l = G->events[id].location;
    event_id joined = graph_known(G, l, clock_of(G, id, BEFORE)), p = waker;
    if (G->events[waker].location != l) {
        return; /* woken by a call on something else: it left the queue there */
    }
    G->events[id].read = READ_RETURN;
    do {
        p = G->events[p].co_before;
        find_exchange_revisits(t, id, p, value_of(p, l));
        G->events[id].ex = false;
    } while (p != joined && p);
    G->events[id].read = READ_WOKEN;
}

/* In a replay of choices: the c-th newest that it may read. */
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
    if (w->read == READ_RMW) { /* a round of a waiting loop may be left out: take_back_exchange() */
        uint64_t v = value_of(p, G->events[id].location);
        *left_out = next_choice() == 1 && written_by(w, v) == v;
        record_choice(*left_out);
    }
    return p;
}

static event_id add_read(struct thread *t, const struct want *w) {
    if (G->n >= EVENTS_MAX) {
        note_cut(SIM_BOUND_STEPS, w->pc);
        end_run(CUT_SHORT);
    }
    event_id id = graph_add(G, t->id, EVENT_READ, location_of(w->atom));
    struct event *e = &G->events[id];
    e->read = w->read;
    e->expected = w->expected;
    e->order = e->order_success = w->order;
    e->order_failure = w->failure;
    clock_start(t, G, id);
    if (is_sc_event(e)) {
        G->accesses_sc++;
    }
    event_id newest = G->locations[e->location].newest, rf = newest;
    bool left_out = false;
    if (e->read == READ_WOKEN) {
        rf = side_of(t)->woken_by;
        if (!X.forward && (may_time_out(t, false) || t->spurious < S.o.spurious_max)) {
            leave_timeouts(t, id, rf);
        }
    } else if (X.forward) {
        rf = read_forward(w, id, &left_out);
    } else if (take_forced(ENTRY_READ, id)) {
        rf = X.forced.ref;
        X.forced.kind = ENTRY_NONE;
    } else {
        leave_reads(t, w, id);
    }
    if (w->read == READ_ENQUEUE && !graph_may_enqueue(G, G->events[id].po_before, rf)) {
        /* Who compared an old value cannot join behind those who know of a newer one: the read
         * stands alone, and its thread goes no further. */
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

static event_id add_write(struct thread *t, const struct want *w, uint64_t value) {
    if (G->n >= EVENTS_MAX) {
        note_cut(SIM_BOUND_STEPS, w->pc);
        end_run(CUT_SHORT);
    }
    event_id id = graph_add(G, t->id, EVENT_WRITE, location_of(w->atom));
    struct event *e = &G->events[id];
    uint32_t l = e->location;
    e->value = value;
    e->order = w->order;
    e->ex = w->exchange;
    clock_start(t, G, id);
    clock_write(G, id, t->rel);
    if (is_sc_event(e)) {
        G->accesses_sc++;
    }
    event_id newest = G->locations[l].newest, after = newest;
    bool forced = false;
    if (e->ex) {
        after = G->events[e->po_before].rf;
    } else if (X.forward) {
        after = place_forward(id);
    } else if (take_forced(ENTRY_PLACE, id)) {
        after = X.forced.ref;
        X.forced.kind = ENTRY_NONE;
        forced = true;
    } else {
        event_id known = graph_known(G, l, clock_of(G, id, BEFORE));
        for (event_id p = newest; p != known;) {
            p = G->events[p].co_before;
            if (graph_exchange_of(G, l, p)) {
                continue;
            }
            bool fine = true;
            if (graph_order_matters(G, id)) {
                graph_place(G, id, p);
                fine = graph_is_consistent(G);
                graph_unplace(G, id);
            }
            if (fine) {
                push((struct entry){.kind = ENTRY_PLACE, .k = id, .ref = p});
            }
        }
    }
    graph_place(G, id, after);
    if (!forced && !X.forward) {
        find_revisits(id);
    }
    return id;
}

/* ---- Operations ---------------------------------------------------------------------------------
 */

static void expect(const struct event *e, const struct want *w) {
    if (e->kind != w->kind) {
        give_up(fickle);
    }
    if (e->kind == EVENT_READ || e->kind == EVENT_WRITE) {
        bind(w->atom, e->location);
    }
}

static event_id do_read(struct thread *t, struct want *w) {
    arrive(t, w);
    if (w->size) {
        w->atom = atom_of_memory(w->at, w->size, w->read != READ_PLAIN, w->pc);
        explore_stack_shared(w->at, w->size, NULL);
    }
    event_id id = side_of(t)->next;
    if (w->read == READ_RETURN && side_of(t)->woken_by) {
        w->read = READ_WOKEN;
    }
    if (id) {
        struct event *e = &G->events[id];
        expect(e, w);
        if (w->read == READ_WOKEN && e->read != READ_WOKEN) { /* it timed out, until a revisit */
            e->read = READ_WOKEN;
            e->ex = false;
            e->redo = false;
            e->value = value_of(e->rf, e->location);
            if (e->rf != side_of(t)->woken_by) {
                give_up(fickle);
            }
        } else if (w->read == READ_RETURN && e->redo) {
            e->ex = true;
        }
    } else {
        id = add_read(t, w);
    }
    run_read(t, id);
    return id;
}

static event_id do_write(struct thread *t, struct want *w, uint64_t value) {
    arrive(t, w);
    if (w->size) {
        w->atom = atom_of_memory(w->at, w->size, true, w->pc);
        explore_stack_shared(w->at, w->size, NULL);
    }
    event_id id = side_of(t)->next;
    if (id) {
        expect(&G->events[id], w);
        if (G->events[id].value != value) {
            give_up(fickle);
        }
    } else {
        id = add_write(t, w, value);
    }
    run_write(t, id);
    return id;
}

/* The second half. */
static event_id do_exchange(struct thread *t, const struct want *w, uint64_t value) {
    struct want second = {
        .kind = EVENT_WRITE, .order = w->order, .exchange = true, .atom = w->atom, .pc = w->pc};
    return do_write(t, &second, value);
}

/* A call on something that is no memory: a read-modify-write that changes nothing here. */
static event_id do_call(struct thread *t, uint32_t atom, int order, uintptr_t pc) {
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RMW,
                     .rmw = SIM_ADD,
                     .order = (uint8_t)order,
                     .atom = atom,
                     .pc = pc};
    event_id r = do_read(t, &w);
    return do_exchange(t, &w, G->events[r].value);
}

unsigned explore_choose(unsigned n) {
    struct thread *t = S.now;
    struct want w = {.kind = EVENT_CHOICE, .choices = (uint16_t)n};
    arrive(t, &w);
    event_id id = side_of(t)->next;
    if (id) {
        expect(&G->events[id], &w);
        if (G->events[id].choices != n) {
            give_up(fickle);
        }
    } else {
        id = graph_add(G, t->id, EVENT_CHOICE, 0);
        struct event *e = &G->events[id];
        e->choices = (uint16_t)n;
        if (X.forward) {
            unsigned c = next_choice();
            e->value = c < n ? c : 0;
            record_choice((unsigned)e->value);
        } else if (take_forced(ENTRY_CHOICE, id)) {
            e->value = X.forced.value;
            X.forced.kind = ENTRY_NONE;
        } else {
            for (unsigned v = n; --v > 0;) {
                push((struct entry){.kind = ENTRY_CHOICE, .k = id, .value = v});
            }
        }
    }
    clock_start(t, G, id);
    clock_write(G, id, NULL);
    unsigned c = (unsigned)G->events[id].value;
    executed(t, id);
    return c;
}

/* Only sequentially consistent fences are events. */
void explore_fence(struct thread *t, int order, uintptr_t pc) {
    event_id id = 0;
    if (order == __ATOMIC_SEQ_CST) {
        struct want w = {.kind = EVENT_FENCE, .order = __ATOMIC_SEQ_CST, .pc = pc};
        arrive(t, &w);
        id = side_of(t)->next;
        if (id) {
            expect(&G->events[id], &w);
        } else {
            id = graph_add(G, t->id, EVENT_FENCE, 0);
            G->events[id].order = __ATOMIC_SEQ_CST;
            G->fences_sc++;
        }
    }
    if (is_acquire((unsigned)order)) {
        join_clock(t->H, t->aH);
    }
    if (id) {
        clock_start(t, G, id);
        clock_write(G, id, NULL);
    }
    if (is_release((unsigned)order)) {
        t->rel = snapshot(t);
    }
    if (S.tracing) {
        trace_add(
            (struct line){.kind = LINE_FENCE, .order = (uint8_t)order, .pc = pc, .thread = t->id});
    }
    if (id) {
        executed(t, id);
    } else {
        t->H[t->id]++;
    }
}

/* ---- Loops
 * ---------------------------------------------------------------------------------------
 */

static uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

/* A cell of somebody's stack that is an atomic, or that another thread writes, is no part of its
 * state: when it changes depends on the order in which a run executes what is unordered. */
static size_t stack_of(uintptr_t at) {
    return (at - (uintptr_t)S.stacks) / (S.stack_size + 4096);
}

/* True: it was not known. */
static bool learn_cell(uintptr_t cell) {
    size_t owner = stack_of(cell);
    uintptr_t *cells = X.shared_stack[owner].cells;
    uint32_t count = X.shared_stack[owner].n, i = 0;
    while (i < count && cells[i] < cell) {
        i++;
    }
    if (i < count && cells[i] == cell) {
        return false;
    }
    cells = X.shared_stack[owner].cells = more(cells, count + 1, sizeof *cells);
    memmove(cells + i + 1, cells + i, (count - i) * sizeof *cells);
    cells[i] = cell;
    X.shared_stack[owner].n++;
    return true;
}

void explore_stack_shared(uintptr_t at, size_t n, const struct thread *writer) {
    size_t owner = stack_of(at);
    if (owner >= SEARCH_THREADS || (writer && writer->id == owner)) {
        return;
    }
    for (uintptr_t cell = at & ~(uintptr_t)7; cell < at + n; cell += 8) {
        if (learn_cell(cell)) {
            X.begin_anew = true;
            uint32_t i = __atomic_fetch_add(&X.shared->learnt_n, 1, __ATOMIC_RELAXED);
            if (i < sizeof X.shared->learnt / sizeof X.shared->learnt[0]) {
                X.shared->learnt[i] = cell;
            }
        }
    }
}

/* The thread's own state at a call: preserved registers, return address, everything behind it. */
static uint64_t state_now(const struct thread *t, uintptr_t sp) {
    uint64_t h = sp;
    for (unsigned i = 0; i < SIM_ENTRY_REGISTERS; i++) {
        h = mix(h, sim_entry.registers[i]);
    }
    const uintptr_t *cells = X.shared_stack[t->id].cells;
    uint32_t count = X.shared_stack[t->id].n, k = 0;
    while (k < count && cells[k] < sp) {
        k++;
    }
    const uint64_t *top = (const uint64_t *)(uintptr_t)(t->stack + S.stack_size);
    for (const uint64_t *p = (const uint64_t *)sp; p < top; p++) {
        if (k < count && cells[k] == (uintptr_t)p) {
            k++;
            continue;
        }
        h = mix(h, *p);
    }
    return h;
}

static void forget_history(struct side *s) {
    s->history_n = s->undone_n = 0;
    s->overflow = false;
}

/* t has done something that lasts. */
void explore_effect(struct thread *t) {
    forget_history(side_of(t));
}

/* t is about to write to plain memory that is not its own stack: that it puts the same there shows
 * when it comes round again. */
void explore_plain_write(struct thread *t, uintptr_t at, size_t n) {
    struct side *s = side_of(t);
    explore_stack_shared(at, n, t);
    if (!s->history_n || at - (uintptr_t)t->stack < S.stack_size) {
        return;
    }
    for (uintptr_t cell = at & ~(uintptr_t)7; cell < at + n; cell += 8) {
        uint32_t i = 0;
        while (i < s->undone_n && s->undone[i].at != cell) {
            i++;
        }
        if (i == UNDONE) {
            forget_history(s);
            return;
        }
        if (i == s->undone_n) {
            s->undone[i].at = cell;
            s->undone[i].was = read_plain(cell);
            s->undone_n++;
        }
        s->undone[i].written = true;
    }
}

static bool is_undone(const struct side *s) {
    for (uint32_t i = 0; i < s->undone_n; i++) {
        if (s->undone[i].was != s->undone[i].now) {
            return false;
        }
    }
    return true;
}

/* Does the read have the newest value, its own exchange apart? */
static bool reads_newest(event_id id) {
    const struct event *e = &G->events[id];
    event_id newest = G->locations[e->location].newest;
    return e->rf == newest || (e->ex && newest == e->po_after);
}

/* Had it the newest when it was added (or made to read what it reads)? If not, no revisit will ever
 * take it back or go through it, so what it waits for is never decided here. */
static bool read_newest_then(event_id id) {
    const struct event *e = &G->events[id];
    for (event_id i = e->rf ? G->events[e->rf].co_after : G->locations[e->location].oldest; i;
         i = G->events[i].co_after) {
        if (i < id || (e->rf && is_cause(G, clock_of(G, e->rf, CAUSES), i))) {
            return false;
        }
    }
    return true;
}

/* Is a round of a loop, the events of t from this index on, such that t waits in it? then: when the
 * reads were added; else now. *only: the only event, a read. */
static bool waits(const struct thread *t, uint32_t from, bool then, event_id *only) {
    uint32_t reads = 0, others = 0;
    bool newest = true;
    *only = 0;
    for (event_id i = G->last[t->id]; i && G->events[i].index >= from; i = G->events[i].po_before) {
        const struct event *e = &G->events[i];
        if (e->kind == EVENT_READ) {
            reads++;
            *only = i;
            newest = newest && (then ? read_newest_then(i) : reads_newest(i));
        } else if (e->kind == EVENT_CHOICE) {
            newest = false;
        } else {
            others++;
        }
    }
    if (reads != 1 || others) {
        *only = 0;
    }
    return newest;
}

/* Runs left for later in which the read gets the same value would spin as well. */
static void drop_same(event_id read) {
    const struct event *e = &G->events[read];
    for (uint32_t i = X.stack_n; i-- > X.floor && X.stack[i].frame == X.frames_n - 1;) {
        struct entry *x = &X.stack[i];
        if (x->k == read && (x->kind == ENTRY_READ || x->kind == ENTRY_EXCHANGE) &&
            value_of(x->ref, e->location) == e->value) {
            x->kind = ENTRY_NONE;
        }
    }
}

/* In a loop that waits, rounds may be left out in which an exchange put back what it had read: the
 * write is taken away, and the read stands for the round. */
static void take_back_exchange(struct thread *t, uint32_t from) {
    event_id w = G->last[t->id], r = w ? G->events[w].po_before : 0;
    struct side *s = side_of(t);
    if (X.forward || !w || G->events[w].kind != EVENT_WRITE || !G->events[w].ex ||
        G->events[r].index != from || G->events[w].value != G->events[r].value) {
        return;
    }
    if (w <= X.replay_n || w != G->n - 1) { /* a revisit wants it; without it that is another's */
        end_run(DEAD_END);
    }
    while (X.stack_n > X.floor && X.stack[X.stack_n - 1].frame == X.frames_n - 1 &&
           X.stack[X.stack_n - 1].k == w) {
        X.stack_n--;
    }
    struct atom *a = &S.atoms[X.atom_of[G->events[w].location]];
    if (a->owner == w) {
        a->owner = G->events[r].rf;
    }
    graph_truncate(G, w);
    G->events[r].ex = false;
    s->done--;
    s->causes[t->id]--;
    X.log_n--;
}

static _Noreturn void spin(struct thread *t, uint32_t from, uintptr_t at, uintptr_t pc) {
    struct side *s = side_of(t);
    take_back_exchange(t, from);
    event_id only;
    bool waiting = waits(t, from, true, &only);
    if (only && !X.forward) {
        drop_same(only);
    }
    if (!waiting && !X.forward) {
        end_run(DEAD_END);
    }
    s->halt_index = from;
    t->state = T_SPIN;
    t->wait_word = at;
    t->pending.pc = pc;
    halt(t, SPINS);
}

static void count_visit(struct thread *t, uint64_t state, unsigned max, uintptr_t at,
                        uintptr_t pc) {
    struct side *s = side_of(t);
    uint32_t i = (uint32_t)(state >> 20) % VISITS;
    for (uint32_t tries = 0; tries < VISITS; tries++, i = (i + 1) % VISITS) {
        if (s->visits[i].state == state || !s->visits[i].times) {
            break;
        }
    }
    if (s->visits[i].state != state && s->visits[i].times) {
        return;
    }
    s->visits[i].state = state;
    uint32_t before = s->visits[i].index;
    s->visits[i].index = s->done;
    if (s->visits[i].times++ < max) {
        return;
    }
    note_cut(SIM_BOUND_LOOP, pc);
    s->round_index = before;
    t->state = T_SPIN;
    t->wait_word = at;
    t->pending.pc = pc;
    s->halt_index = s->done;
    halt(t, CUT);
}

/* t comes to a read. */
static void look_for_loop(struct thread *t, uintptr_t at, uintptr_t pc) {
    uintptr_t sp = sim_entry.sp;
    sim_entry.sp = 0;
    if (sp - (uintptr_t)t->stack >= S.stack_size) {
        return;
    }
    struct side *s = side_of(t);
    see_written(s);
    uint64_t state = state_now(t, sp);
    for (uint32_t i = s->history_n; i-- > 0;) {
        if (s->history[i].state == state && is_undone(s)) {
            spin(t, s->history[i].index, at, pc);
        }
    }
    if (s->history_n == HISTORY) {
        memmove(s->history, s->history + 1, (HISTORY - 1) * sizeof s->history[0]);
        s->history_n--;
    }
    s->history[s->history_n].state = state;
    s->history[s->history_n++].index = s->done;
    count_visit(t, state, X.o && X.o->repeats_max ? X.o->repeats_max : 50, at, pc);
    if (X.o && X.o->loop_max) {
        count_visit(t, mix(mix(1, sp), pc), X.o->loop_max, at, pc);
    }
}

/* ---- Memory -------------------------------------------------------------------------------------
 */

static bool is_mixed(uintptr_t at) {
    for (uint32_t i = 0; i < X.mixed_n; i++) {
        if (X.mixed[i] == (at & ~(uintptr_t)7)) {
            return true;
        }
    }
    return false;
}

/* The search begins anew, knowing that. */
_Noreturn void explore_mixed(uintptr_t at) {
    X.mixed = more(X.mixed, X.mixed_n + 1, sizeof *X.mixed);
    X.mixed[X.mixed_n++] = at & ~(uintptr_t)7;
    X.begin_anew = true;
    end_run(DEAD_END);
}

enum tag { TAG_OBJECT, TAG_QUEUE, TAG_CLOCK, TAG_PAGES, TAG_MIXED };

/* Atomics of different sizes that overlap: one after the other, each reads the newest. */
static bool mixed_turn(struct thread *t, uintptr_t at, unsigned size, bool write, int order,
                       uintptr_t pc) {
    if (!X.mixed_n || !is_mixed(at)) {
        return false;
    }
    note_cut(SIM_BOUND_MIXED, pc);
    S.mixed++;
    if (S.o.refuse_mixed) {
        found("mixed-size-atomic",
              "an atomic access of %u bytes at %p overlaps one of another size\n  @%lx", size,
              (void *)at, (unsigned long)pc);
    }
    do_call(t, object_atom(at & ~(uintptr_t)7, TAG_MIXED),
            order == __ATOMIC_SEQ_CST ? __ATOMIC_ACQ_REL : order, pc);
    access_atomic(at, size, write, pc);
    explore_effect(t);
    return true;
}

static void trace_read(event_id id, struct line *l) {
    const struct event *e = &G->events[id];
    event_id newest = G->locations[e->location].newest;
    if (newest == e->po_after && e->ex) {
        newest = e->rf;
    }
    l->value = e->value;
    l->from = e->rf ? G->events[e->rf].thread : 0;
    l->from_step = e->rf ? G->events[e->rf].step : 0;
    if (newest != e->rf) {
        l->stale = true;
        l->skipped = G->events[newest].value;
        l->skipped_by = G->events[newest].thread;
        l->skipped_step = G->events[newest].step;
    }
}

uint64_t explore_load(struct thread *t, uintptr_t at, unsigned size, int order, uintptr_t pc) {
    look_for_loop(t, at, pc);
    if (mixed_turn(t, at, size, false, order, pc)) {
        return memory_read(at, size);
    }
    struct want w = {.kind = EVENT_READ,
                     .read = READ_PLAIN,
                     .order = (uint8_t)order,
                     .at = at,
                     .size = (uint8_t)size,
                     .pc = pc};
    event_id id = do_read(t, &w);
    if (S.tracing) {
        struct line l = {.kind = LINE_LOAD,
                         .at = at,
                         .size = (uint8_t)size,
                         .order = (uint8_t)order,
                         .pc = pc,
                         .thread = t->id};
        trace_read(id, &l);
        trace_add(l);
    }
    return G->events[id].value;
}

void explore_store(struct thread *t, uintptr_t at, unsigned size, uint64_t value, int order,
                   uintptr_t pc) {
    sim_entry.sp = 0;
    if (mixed_turn(t, at, size, true, order, pc)) {
        memory_write(at, size, value);
        return;
    }
    struct want w = {
        .kind = EVENT_WRITE, .order = (uint8_t)order, .at = at, .size = (uint8_t)size, .pc = pc};
    event_id id = do_write(t, &w, value);
    explore_effect(t);
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_STORE,
                                .at = at,
                                .size = (uint8_t)size,
                                .order = (uint8_t)order,
                                .pc = pc,
                                .thread = t->id,
                                .wrote = value,
                                .inserted = G->events[id].co_after != 0});
    }
}

uint64_t explore_rmw(struct thread *t, uintptr_t at, unsigned size, enum sim_rmw rmw,
                     uint64_t operand, int order, uintptr_t pc) {
    look_for_loop(t, at, pc);
    uint64_t old;
    struct line l = {.kind = LINE_RMW,
                     .at = at,
                     .size = (uint8_t)size,
                     .order = (uint8_t)order,
                     .pc = pc,
                     .thread = t->id};
    if (mixed_turn(t, at, size, true, order, pc)) {
        old = memory_read(at, size);
        memory_write(at, size, rmw_result(rmw, old, operand, size));
        return old;
    }
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RMW,
                     .order = (uint8_t)order,
                     .failure = (uint8_t)order,
                     .at = at,
                     .size = (uint8_t)size,
                     .rmw = rmw,
                     .operand = operand,
                     .pc = pc};
    event_id id = do_read(t, &w);
    old = G->events[id].value;
    uint64_t new = rmw_result(rmw, old, operand, size);
    if (S.tracing) {
        trace_read(id, &l);
        l.wrote = new;
        trace_add(l);
    }
    if (G->events[id].ex) {
        do_exchange(t, &w, new);
        if (new != old) {
            explore_effect(t);
        }
    }
    return old;
}

uint64_t explore_cas(struct thread *t, uintptr_t at, unsigned size, uint64_t expected,
                     uint64_t desired, bool weak, int order, int failure_order, bool *failed,
                     uintptr_t pc) {
    look_for_loop(t, at, pc);
    if (mixed_turn(t, at, size, true, order, pc)) {
        uint64_t old = memory_read(at, size);
        *failed = old != expected;
        if (!*failed) {
            memory_write(at, size, desired);
        }
        return old;
    }
    struct want w = {.kind = EVENT_READ,
                     .read = READ_CAS,
                     .order = (uint8_t)order,
                     .failure = (uint8_t)failure_order,
                     .at = at,
                     .size = (uint8_t)size,
                     .expected = expected,
                     .operand = desired,
                     .pc = pc};
    if (weak && t->spurious < S.o.spurious_max && explore_choose(2)) {
        t->spurious++;
        w.read = READ_SPURIOUS;
    }
    event_id id = do_read(t, &w);
    uint64_t old = G->events[id].value;
    if (w.read == READ_SPURIOUS && old != expected) {
        halt(t, ASSUMED);
    }
    bool ex = G->events[id].ex;
    *failed = !ex;
    if (S.tracing) {
        struct line l = {.kind = LINE_CAS,
                         .at = at,
                         .size = (uint8_t)size,
                         .order = (uint8_t)order,
                         .pc = pc,
                         .thread = t->id,
                         .failed = !ex,
                         .wrote = desired};
        trace_read(id, &l);
        trace_add(l);
    }
    if (ex) {
        do_exchange(t, &w, desired);
        if (desired != old) {
            explore_effect(t);
        }
    }
    return old;
}

/* ---- Calls on locks, queues, pages, the clock ---------------------------------------------------
 */

void explore_step(uintptr_t object, uintptr_t pc) {
    explore_effect(S.now);
    do_call(S.now, object_atom(object, TAG_OBJECT), __ATOMIC_RELAXED, pc);
}

void explore_pages(uintptr_t base, uintptr_t pc) {
    explore_effect(S.now);
    do_call(S.now, object_atom(base, TAG_PAGES), __ATOMIC_RELAXED, pc);
}

void explore_lock(struct thread *t, uintptr_t object, uintptr_t pc) {
    explore_effect(t);
    struct want w = {.kind = EVENT_READ,
                     .read = READ_LOCK,
                     .order = __ATOMIC_ACQUIRE,
                     .failure = __ATOMIC_RELAXED,
                     .operand = 1,
                     .atom = object_atom(object, TAG_OBJECT),
                     .pc = pc};
    event_id id = do_read(t, &w);
    if (!G->events[id].ex) {
        t->state = T_LOCK;
        side_of(t)->locked = id;
        halt(t, LOCKED);
    }
    do_exchange(t, &w, 1);
}

/* ordered: failing is a call like the others, as for those who queue then. */
bool explore_try_lock(struct thread *t, uintptr_t object, bool ordered, uintptr_t pc) {
    struct want w = {.kind = EVENT_READ,
                     .read = ordered ? READ_RMW : READ_CAS,
                     .order = __ATOMIC_ACQUIRE,
                     .failure = __ATOMIC_RELAXED,
                     .operand = 1,
                     .rmw = SIM_OR,
                     .atom = object_atom(object, TAG_OBJECT),
                     .pc = pc};
    if (ordered) {
        explore_effect(t);
    } else {
        look_for_loop(t, object, pc);
    }
    event_id id = do_read(t, &w);
    bool free_before = G->events[id].value == 0;
    if (G->events[id].ex) {
        do_exchange(t, &w, 1);
        explore_effect(t);
    }
    return free_before;
}

void explore_unlock(struct thread *t, uintptr_t object, uintptr_t pc) {
    explore_effect(t);
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RMW,
                     .rmw = SIM_AND,
                     .order = __ATOMIC_RELEASE,
                     .atom = object_atom(object, TAG_OBJECT),
                     .pc = pc};
    do_read(t, &w);
    do_exchange(t, &w, 0);
}

/* The clock is a location that holds the time; who never looks at it need not order its moves. */
static uint64_t turn_clock(struct thread *t, enum sim_rmw how, uint64_t by, uintptr_t pc) {
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RMW,
                     .rmw = how,
                     .operand = by,
                     .order = __ATOMIC_RELAXED,
                     .atom = object_atom(1, TAG_CLOCK),
                     .pc = pc};
    uint64_t was = G->events[do_read(t, &w)].value;
    side_of(t)->time = rmw_result(how, was, by, 8);
    do_exchange(t, &w, side_of(t)->time);
    return was;
}

/* The time, which the look moves on by so much. */
uint64_t explore_clock(struct thread *t, uint64_t by, uintptr_t pc) {
    explore_effect(t);
    if (!X.clock_used) {
        X.clock_used = X.begin_anew = true;
        end_run(DEAD_END);
    }
    if (by) {
        return turn_clock(t, SIM_ADD, by, pc);
    }
    struct want w = {
        .kind = EVENT_READ, .read = READ_PLAIN, .atom = object_atom(1, TAG_CLOCK), .pc = pc};
    return side_of(t)->time = G->events[do_read(t, &w)].value;
}

/* The latest time that t knows: to count a deadline from. */
uint64_t explore_time(const struct thread *t) {
    return side_of(t)->time;
}

void explore_sleep(struct thread *t, uint64_t until, uintptr_t pc) {
    if (X.clock_used) {
        turn_clock(t, SIM_MAX, until, pc);
    } else if (side_of(t)->time < until) {
        side_of(t)->time = until;
    }
}

static void unqueue(struct thread *t) {
    S.waiting &= ~ONE(t->id);
    t->state = T_READY;
}

/* t sleeps in a queue that it has joined, until somebody takes it out or, if it may, by itself. */
static enum sim_wait_result sleep_in(struct thread *t, uint32_t atom, thread_set *queue,
                                     uintptr_t pc) {
    t->state = T_WAIT;
    t->time_is_up = false;
    S.waiting |= ONE(t->id);
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RETURN,
                     .order = __ATOMIC_RELAXED,
                     .atom = atom,
                     .ready = may_return,
                     .pc = pc};
    event_id id = do_read(t, &w);
    if (w.read == READ_WOKEN) {
        side_of(t)->woken_by = 0;
        unqueue(t);
        return SIM_WOKEN;
    }
    do_exchange(t, &w, G->events[id].value);
    bool time = may_time_out(t, t->time_is_up);
    bool nothing = !t->time_is_up && t->spurious < S.o.spurious_max;
    unqueue(t);
    if (queue) {
        *queue &= ~ONE(t->id);
    }
    if (time && nothing ? explore_choose(2) : nothing) {
        t->spurious++;
        return SIM_SPURIOUS;
    }
    t->timeouts++;
    explore_sleep(t, t->deadline, pc);
    return SIM_TIMED_OUT;
}

void explore_wake_thread(struct thread *sleeper) {
    side_of(sleeper)->woken_by = side_of(S.now)->last_write;
    if (sleeper->state == T_WAIT) {
        unqueue(sleeper);
    }
}

enum sim_wait_result explore_park(struct thread *t, uintptr_t object, thread_set *queue,
                                  uint64_t deadline, uintptr_t pc) {
    explore_effect(t);
    t->deadline = deadline;
    return sleep_in(t, object_atom(object, TAG_OBJECT), queue, pc);
}

enum sim_wait_result explore_wait(struct thread *t, uintptr_t at, uint32_t expected,
                                  uint64_t deadline, uintptr_t pc) {
    struct want look = {.kind = EVENT_READ, .read = READ_PLAIN, .at = at, .size = 4, .pc = pc};
    event_id id = do_read(t, &look);
    uint32_t value = (uint32_t)G->events[id].value;
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_WAIT,
                                .at = at,
                                .size = 4,
                                .pc = pc,
                                .thread = t->id,
                                .value = value,
                                .wrote = expected,
                                .failed = value != expected});
    }
    if (value != expected) {
        return SIM_NOT_EQUAL;
    }
    explore_effect(t);
    struct want w = {.kind = EVENT_READ,
                     .read = READ_ENQUEUE,
                     .order = __ATOMIC_RELAXED,
                     .atom = object_atom(at, TAG_QUEUE),
                     .pc = pc};
    id = do_read(t, &w);
    if (!G->events[id].ex) {
        halt(t, ASSUMED);
    }
    do_exchange(t, &w, G->events[id].value);
    t->wait_word = at;
    t->expected = expected;
    t->deadline = deadline;
    t->queue = S.queue++;
    return sleep_in(t, w.atom, NULL, pc);
}

void explore_queue_turn(struct thread *t, uintptr_t at, uintptr_t pc) {
    explore_effect(t);
    do_call(t, object_atom(at, TAG_QUEUE), __ATOMIC_RELAXED, pc);
}

void explore_assume(struct thread *t, bool holds) {
    if (!holds) {
        halt(t, ASSUMED);
    }
}

static bool joinable(const struct thread *t) {
    return S.threads[t->wait_word].state == T_DONE;
}

void explore_join(struct thread *t, struct thread *child) {
    const struct want w = {.kind = 0, .ready = joinable};
    if (child->state != T_DONE) {
        t->state = T_JOIN;
        arrive(t, &w);
        t->state = T_READY;
    }
    join_clock(side_of(t)->causes, side_of(child)->causes);
    explore_effect(t);
}

/* The number of the thread that `parent` starts now: the same whenever it starts its n-th. */
uint32_t explore_spawn(struct thread *parent) {
    uint32_t nth = side_of(parent)->spawned++;
    explore_effect(parent);
    for (uint32_t i = 1; i < G->threads_n; i++) {
        if (G->parent[i] == parent->id && G->nth[i] == nth) {
            return i;
        }
    }
    if (G->threads_n == X.width) {
        if (X.width == SEARCH_THREADS) {
            note_cut(SIM_BOUND_THREADS, parent->pending.pc);
            end_run(CUT_SHORT);
        }
        X.too_wide = X.begin_anew = true;
        end_run(DEAD_END);
    }
    uint32_t id = G->threads_n++;
    G->parent[id] = parent->id;
    G->nth[id] = nth;
    G->first[id] = G->last[id] = 0;
    return id;
}

void explore_started(struct thread *t, const struct thread *parent) {
    struct side *s = side_of(t);
    memset(s, 0, offsetof(struct side, history));
    memset(s->visits, 0, sizeof s->visits);
    memset(s->causes, 0, sizeof s->causes);
    if (parent) {
        memcpy(s->causes, side_of(parent)->causes, sizeof s->causes);
    }
    s->next = G->first[t->id];
}

static bool never(const struct thread *t) {
    (void)t;
    return false;
}

/* t has ended the process; what the others could have done before that is still seen. */
_Noreturn void explore_last(struct thread *t) {
    const struct want w = {.kind = 0, .ready = never};
    t->state = T_JOIN;
    arrive(t, &w);
    abort();
}

_Noreturn void explore_exit(struct thread *t) {
    if (side_of(t)->next) {
        give_up(fickle);
    }
    run_switch(t, pick_next(t));
    abort();
}

/* ---- The end of a run
 * ----------------------------------------------------------------------------
 */

/* A loop that was cut goes on for ever whatever happens if its last round read the newest values
 * and wrote what was there. */
static bool is_frozen(const struct thread *t) {
    const struct side *s = side_of(t);
    for (event_id i = G->last[t->id]; i && G->events[i].index >= s->round_index;
         i = G->events[i].po_before) {
        const struct event *e = &G->events[i];
        event_id newest =
            e->kind == EVENT_READ || e->kind == EVENT_WRITE ? G->locations[e->location].newest : 0;
        if (e->kind == EVENT_CHOICE ||
            (e->kind == EVENT_READ && e->value != value_of(newest, e->location)) ||
            (e->kind == EVENT_WRITE && (e->value != value_of(e->co_before, e->location) ||
                                        e->value != value_of(newest, e->location)))) {
            return false;
        }
    }
    return true;
}

static _Noreturn void finish(void) {
    bool all = true, dead = false, cut = false, frozen = true;
    for (uint32_t i = 0; i < S.threads_n; i++) {
        const struct thread *t = &S.threads[i];
        const struct side *s = side_of(t);
        event_id only;
        if (t->state == T_DONE) {
            continue;
        }
        all = false;
        switch (s->halt) {
        case ASSUMED:
            dead = true;
            break;
        case SPINS:
            dead = dead || !waits(t, s->halt_index, false, &only);
            break;
        case LOCKED:
            dead = dead ||
                   G->events[s->locked].rf != G->locations[G->events[s->locked].location].newest;
            break;
        case CUT:
            cut = true;
            frozen = frozen && is_frozen(t);
            break;
        default:
            break;
        }
    }
    if (all) {
        run_leaks();
        end_run(ENDED);
    }
    if (dead) {
        end_run(DEAD_END);
    }
    if (cut && (!frozen || S.last)) {
        end_run(CUT_SHORT);
    }
    if (S.last) {
        end_run(ENDED); /* who still waits does so beyond the end of the process */
    }
    if (X.o && X.o->count_blocked) {
        end_run(STUCK);
    }
    X.outcome = STUCK;
    run_stuck();
}

/* ---- From one run to the next
 * ---------------------------------------------------------------------
 */

static struct graph *frame_push(void) {
    if (X.frames_n == X.frames_room) {
        X.frames = more(X.frames, X.frames_room + 8, sizeof *X.frames);
        memset(X.frames + X.frames_room, 0, 8 * sizeof *X.frames);
        X.frames_room += 8;
    }
    struct graph *g = &X.frames[X.frames_n++];
    if (!g->width) {
        graph_init(g, X.width);
    }
    return g;
}

static void frames_drop(void) {
    for (uint32_t i = 0; i < X.frames_room; i++) {
        if (X.frames[i].width) {
            graph_free(&X.frames[i]);
        }
    }
    if (X.scratch.width) {
        graph_free(&X.scratch);
    }
    X.frames_n = X.stack_n = X.floor = 0;
}

static void root(void) {
    frames_drop();
    graph_init(&X.scratch, X.width);
    struct graph *g = frame_push();
    g->n = 1;
    g->threads_n = 1;
    g->first[0] = g->last[0] = g->parent[0] = g->nth[0] = 0;
}

/* The graph that the next run replays. False: nothing is left above the floor. */
static bool advance(void) {
    X.forced.kind = ENTRY_NONE;
    while (X.stack_n > X.floor) {
        struct entry e = X.stack[--X.stack_n];
        X.frames_n = e.frame + 1;
        struct graph *g = G;
        event_id w = e.k;
        switch ((enum entry_kind)e.kind) {
        case ENTRY_NONE:
            continue;
        case ENTRY_READ:
        case ENTRY_PLACE:
        case ENTRY_CHOICE:
            graph_truncate(g, e.k);
            X.forced = e;
            return true;
        case ENTRY_EXCHANGE:
            graph_truncate(g, e.k + 1);
            g->events[e.k].rf = e.ref;
            if (g->events[e.k].read == READ_WOKEN) {
                g->events[e.k].read = READ_RETURN;
            }
            graph_settle(&g->events[e.k], e.old);
            g->events[e.k].ex = true;
            clock_read(g, e.k);
            w = add_exchange(NULL, g, e.k, e.value);
            break;
        case ENTRY_REVISIT:
            graph_truncate(g, e.k + 1);
            break;
        }
        struct graph *to = frame_push();
        graph_revisit(to, G - 1, e.r, w, e.ref);
        return true;
    }
    return false;
}

static void begin_run(void) {
    X.log_n = 0;
    X.replay_n = G->n - 1;
    X.replayed = 0;
    X.outcome = ENDED;
    memset(X.atom_of, 0, X.atoms_room * sizeof *X.atom_of);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct job { /* one call of sim_explore */
    const struct sim_explore_options *o;
    void (*program)(void *);
    void *arg;
    struct sim_explored *out;
    double started, next_look;
};

static void progress_line(const struct job *j) {
    const struct sim_explored *e = j->out;
    fprintf(stderr,
            "\rexplore: %llu executions, %llu graphs, %llu blocked, %u left for later, %.0f s   ",
            (unsigned long long)e->executions, (unsigned long long)e->graphs,
            (unsigned long long)(e->blocked + e->dead_ends), X.stack_n, now_s() - j->started);
    fflush(stderr);
}

/* The last run as choices by which a replay makes the same graph, event by event. */
static size_t choices_of_run(uint16_t *out, size_t room) {
    size_t n = 0;
#define PUT(c)                      \
    do {                            \
        if (n < room)               \
            out[n] = (uint16_t)(c); \
        n++;                        \
    } while (0)
    PUT(FROM_SEARCH);
    PUT(G->threads_n);
    for (uint32_t i = 1; i < G->threads_n; i++) {
        PUT(G->parent[i]);
        PUT(G->nth[i]);
    }
    uint8_t *there = more(NULL, G->n, 1);
    memset(there, 0, G->n);
    for (uint32_t i = 0; i < X.log_n; i++) {
        event_id id = X.log[i];
        const struct event *e = &G->events[id];
        PUT(e->thread);
        there[id] = 1;
        if (e->kind == EVENT_CHOICE) {
            PUT(e->value);
        } else if ((e->kind == EVENT_READ && e->read != READ_WOKEN) ||
                   (e->kind == EVENT_WRITE && !e->ex)) {
            event_id at = e->kind == EVENT_READ ? e->rf : id;
            unsigned newer = 0;
            for (event_id k = at ? G->events[at].co_after : G->locations[e->location].oldest; k;
                 k = G->events[k].co_after) {
                newer += there[k];
            }
            PUT(newer);
            if (e->kind == EVENT_READ && e->read == READ_RMW) {
                PUT(!e->ex);
            }
        }
    }
    free(there);
#undef PUT
    return n <= room ? n : 0;
}

/* Enter what the run that just ended means. False: the search is over. */
static bool account(const struct job *j) {
    struct sim_explored *out = j->out;
    if (X.begin_anew) {
        return false;
    }
    if (X.error) {
        snprintf(out->error, sizeof out->error, "%s", X.error);
        return false;
    }
    out->executions++;
    out->steps += S.steps;
    out->mixed += S.mixed;
    out->bounds |= S.bounds;
    if (S.finding) {
        out->finding = S.finding;
        memcpy(out->detail, S.detail, sizeof out->detail);
        out->choices_n = choices_of_run(out->choices, sizeof out->choices / sizeof out->choices[0]);
        return false;
    }
    switch (X.outcome) {
    case ENDED:
        out->graphs++;
        if (j->o->each) {
            j->o->each(j->o->context);
        }
        break;
    case STUCK:
        out->blocked++;
        break;
    case DEAD_END:
        out->dead_ends++;
        break;
    case CUT_SHORT:
        out->cut++;
        break;
    }
    return true;
}

static bool time_to_stop(struct job *j) {
    if (X.shared->stop || (j->o->stop && *j->o->stop)) {
        return true;
    }
    if (j->o->executions_max && j->out->executions >= j->o->executions_max) {
        return true;
    }
    if ((j->out->executions & 63) != 0) {
        return false;
    }
    double now = now_s();
    if (j->o->seconds_max > 0 && now - j->started >= j->o->seconds_max) {
        return true;
    }
    if (j->o->progress && now >= j->next_look) {
        progress_line(j);
        j->next_look = now + 1;
    }
    return false;
}

enum search_end { DONE_ALL, SPLIT, STOPPED };

/* Run after run from where X stands, down to the floor, or until `split` entries are left. */
static enum search_end search(struct job *j, bool first_run, uint32_t split) {
    bool more_runs = first_run || advance();
    while (more_runs) {
        begin_run();
        run_once(j->program, j->arg);
        if (!account(j)) {
            X.shared->stop = 1;
            return STOPPED;
        }
        if (time_to_stop(j)) {
            X.shared->stop = 1;
            return STOPPED;
        }
        if (split && X.stack_n >= split) {
            return SPLIT;
        }
        more_runs = advance();
    }
    return DONE_ALL;
}

/* ---- Places: where a search stands
 * --------------------------------------------------------------- */

static void place_free(struct place *p) {
    for (uint32_t i = 0; i < p->frames_n; i++) {
        graph_free(&p->frames[i]);
    }
    free(p->frames);
    free(p->entries);
    memset(p, 0, sizeof *p);
}

static void places_drop(void) {
    for (uint32_t i = 0; i < X.places_n; i++) {
        place_free(&X.places[i]);
    }
    X.places_n = 0;
}

static struct place *place_new(void) {
    X.places = more(X.places, X.places_n + 1, sizeof *X.places);
    X.places[X.places_n] = (struct place){.frames_n = 0};
    return &X.places[X.places_n++];
}

/* What is left of X as a place of its own. */
static void place_keep(void) {
    if (X.stack_n <= X.floor) {
        return;
    }
    struct place *p = place_new();
    p->frames_n = X.stack[X.stack_n - 1].frame + 1;
    p->frames = more(NULL, p->frames_n, sizeof *p->frames);
    for (uint32_t i = 0; i < p->frames_n; i++) {
        graph_init(&p->frames[i], X.width);
        graph_copy(&p->frames[i], &X.frames[i]);
    }
    p->entries_n = X.stack_n - X.floor;
    p->entries = more(NULL, p->entries_n, sizeof *p->entries);
    memcpy(p->entries, X.stack + X.floor, p->entries_n * sizeof *p->entries);
}

/* X stands at entry i of p, and at no other. */
static void place_take(const struct place *p, uint32_t i) {
    X.frames_n = X.stack_n = X.floor = 0;
    for (uint32_t k = 0; k <= p->entries[i].frame; k++) {
        graph_copy(frame_push(), &p->frames[k]);
    }
    push(p->entries[i]);
    X.stack[0].frame = p->entries[i].frame;
}

/* ---- Checkpoints
 * --------------------------------------------------------------------------------- */

struct header {
    char magic[8];
    uint64_t identity;
    uint64_t graphs, blocked, dead_ends, cut, executions, steps, mixed;
    double seconds;
    uint32_t bounds, width, places, mixed_n, clock_used, cells;
};
static const char magic[8] = "simckp3";

/* The options, as far as they change what is explored. */
static uint64_t identity(const struct job *j) {
    const struct sim_options *r = &j->o->run;
    uint64_t parts[] = {r->c11_release_sequence, r->cas_weak,  r->timeouts_max, r->spurious_max,
                        r->faults_max,           r->steps_max, r->threads_max,  j->o->loop_max,
                        j->o->repeats_max,       r->page_size, r->pages_bytes,  r->heap_bytes,
                        sizeof(struct event)};
    uint64_t h = 1;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        h = mix(h, parts[i] + i);
    }
    return h;
}

static void forget_stacks(void) {
    for (unsigned i = 0; i < SEARCH_THREADS; i++) {
        X.shared_stack[i].n = 0;
    }
}

static bool put(FILE *f, const void *p, size_t n, size_t size) {
    return fwrite(p, size, n, f) == n;
}

static bool get(FILE *f, void *p, size_t n, size_t size) {
    return fread(p, size, n, f) == n;
}

static bool graph_write(FILE *f, const struct graph *g) {
    uint32_t head[] = {g->n, g->threads_n, g->locations_n, g->fences_sc, g->accesses_sc};
    return put(f, head, 5, sizeof head[0]) && put(f, g->events, g->n, sizeof *g->events) &&
           put(f, g->clocks, (size_t)g->n * CLOCKS * g->width, sizeof *g->clocks) &&
           put(f, g->locations, g->locations_n, sizeof *g->locations) &&
           put(f, g->first, g->threads_n, sizeof *g->first) &&
           put(f, g->last, g->threads_n, sizeof *g->last) &&
           put(f, g->parent, g->threads_n, sizeof *g->parent) &&
           put(f, g->nth, g->threads_n, sizeof *g->nth);
}

static bool graph_read(FILE *f, struct graph *g) {
    uint32_t head[5];
    if (!get(f, head, 5, sizeof head[0]) || head[0] > EVENTS_MAX || head[1] > g->width ||
        head[2] > ATOMS_MAX || !head[0]) {
        return false;
    }
    graph_reserve(g, head[0], head[2]);
    g->n = head[0];
    g->threads_n = head[1];
    g->locations_n = head[2];
    g->fences_sc = head[3];
    g->accesses_sc = head[4];
    return get(f, g->events, g->n, sizeof *g->events) &&
           get(f, g->clocks, (size_t)g->n * CLOCKS * g->width, sizeof *g->clocks) &&
           get(f, g->locations, g->locations_n, sizeof *g->locations) &&
           get(f, g->first, g->threads_n, sizeof *g->first) &&
           get(f, g->last, g->threads_n, sizeof *g->last) &&
           get(f, g->parent, g->threads_n, sizeof *g->parent) &&
           get(f, g->nth, g->threads_n, sizeof *g->nth) && graph_is_sound(g);
}

static bool place_write(FILE *f, const struct place *p) {
    uint32_t head[] = {p->frames_n, p->entries_n};
    bool ok = put(f, head, 2, sizeof head[0]);
    for (uint32_t i = 0; i < p->frames_n && ok; i++) {
        ok = graph_write(f, &p->frames[i]);
    }
    return ok && put(f, p->entries, p->entries_n, sizeof *p->entries);
}

static bool place_read(FILE *f) {
    uint32_t head[2];
    if (!get(f, head, 2, sizeof head[0]) || head[0] > 1u << 20 || head[1] > 1u << 26 || !head[0]) {
        return false;
    }
    struct place *p = place_new();
    p->frames = more(NULL, head[0], sizeof *p->frames);
    for (uint32_t i = 0; i < head[0]; i++) {
        graph_init(&p->frames[i], X.width);
        p->frames_n++;
        if (!graph_read(f, &p->frames[i])) {
            return false;
        }
    }
    p->entries = more(NULL, head[1], sizeof *p->entries);
    p->entries_n = head[1];
    bool ok = get(f, p->entries, p->entries_n, sizeof *p->entries);
    for (uint32_t i = 0; i < p->entries_n && ok; i++) {
        const struct entry *e = &p->entries[i];
        ok = e->frame < p->frames_n && e->k <= p->frames[e->frame].n && e->k &&
             e->r < p->frames[e->frame].n && e->ref < p->frames[e->frame].n &&
             e->kind <= ENTRY_EXCHANGE;
    }
    return ok;
}

static void checkpoint_save(const struct job *j) {
    struct sim_explored *e = j->out;
    char name[4096];
    snprintf(name, sizeof name, "%s.new", j->o->checkpoint);
    FILE *f = fopen(name, "wb");
    if (!f) {
        snprintf(e->error, sizeof e->error, "cannot write %.150s: %s", name, strerror(errno));
        return;
    }
    struct header h = {.identity = identity(j),
                       .graphs = e->graphs,
                       .blocked = e->blocked,
                       .dead_ends = e->dead_ends,
                       .cut = e->cut,
                       .executions = e->executions,
                       .steps = e->steps,
                       .mixed = e->mixed,
                       .seconds = e->seconds,
                       .bounds = e->bounds,
                       .width = X.width,
                       .places = X.places_n,
                       .mixed_n = X.mixed_n,
                       .clock_used = X.clock_used};
    for (unsigned i = 0; i < SEARCH_THREADS; i++) {
        h.cells += X.shared_stack[i].n;
    }
    memcpy(h.magic, magic, sizeof h.magic);
    bool ok = put(f, &h, 1, sizeof h);
    for (unsigned i = 0; i < SEARCH_THREADS; i++) {
        for (uint32_t k = 0; k < X.shared_stack[i].n && ok; k++) {
            uintptr_t offset = X.shared_stack[i].cells[k] - (uintptr_t)S.stacks;
            ok = put(f, &offset, 1, sizeof offset);
        }
    }
    for (uint32_t i = 0; i < X.places_n && ok; i++) {
        ok = place_write(f, &X.places[i]);
    }
    ok &= fclose(f) == 0;
    if (!ok || rename(name, j->o->checkpoint)) {
        snprintf(e->error, sizeof e->error, "cannot write %.150s: %s", name, strerror(errno));
    }
}

/* Take up where a checkpoint left off; absent is fine. False: it does not fit (error says why). */
static bool checkpoint_load(const struct job *j) {
    struct sim_explored *e = j->out;
    FILE *f = fopen(j->o->checkpoint, "rb");
    if (!f) {
        return true;
    }
    struct header h;
    bool ok = get(f, &h, 1, sizeof h) && memcmp(h.magic, magic, sizeof magic) == 0;
    if (!ok || h.identity != identity(j) || h.width > SEARCH_THREADS || !h.width) {
        snprintf(e->error, sizeof e->error, "%s is %s: remove it to start anew", j->o->checkpoint,
                 ok ? "of another program or of other options" : "not a checkpoint");
        fclose(f);
        return false;
    }
    X.width = h.width;
    X.clock_used = h.clock_used;
    for (uint32_t i = 0; i < h.cells && ok; i++) {
        uintptr_t offset;
        ok = get(f, &offset, 1, sizeof offset) &&
             offset < (S.stack_size + 4096) * (uintptr_t)SEARCH_THREADS;
        if (ok) {
            learn_cell((uintptr_t)S.stacks + offset);
        }
    }
    for (uint32_t i = 0; i < h.places && ok; i++) {
        ok = place_read(f);
    }
    fclose(f);
    if (!ok || h.mixed_n) {
        snprintf(e->error, sizeof e->error, "%s is cut short: remove it to start anew",
                 j->o->checkpoint);
        return false;
    }
    e->graphs = h.graphs;
    e->blocked = h.blocked;
    e->dead_ends = h.dead_ends;
    e->cut = h.cut;
    e->executions = h.executions;
    e->steps = h.steps;
    e->mixed = h.mixed;
    e->seconds = h.seconds;
    e->bounds = h.bounds;
    e->resumed = true;
    return true;
}

/* ---- Processes
 * ------------------------------------------------------------------------------------
 */

static uint32_t entries_in_all(void) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < X.places_n; i++) {
        n += X.places[i].entries_n;
    }
    return n;
}

/* Entry after entry that nobody has, the last first. True: nothing is left. */
static bool search_claimed(struct job *j) {
    uint32_t number = entries_in_all();
    for (uint32_t p = X.places_n; p-- > 0;) {
        for (uint32_t i = X.places[p].entries_n; i-- > 0;) {
            number--;
            if (X.shared->stop) {
                return false;
            }
            if (__atomic_exchange_n(&X.shared->claim[number], 1, __ATOMIC_ACQ_REL)) {
                continue;
            }
            place_take(&X.places[p], i);
            if (search(j, false, 0) == STOPPED) {
                return false;
            }
            __atomic_store_n(&X.shared->claim[number], 2, __ATOMIC_RELEASE);
        }
    }
    return true;
}

/* A child searches and leaves its counts, and what it was in the middle of, in a file. The finding
 * is stored as text, since the string may live in memory of the child only. */
struct part {
    struct sim_explored e;
    char finding[64];
    bool through, begin_anew, too_wide, clock_used, in_middle;
    uintptr_t mixed;
    uint32_t mixed_n;
};

static _Noreturn void child_main(struct job *j, FILE *f) {
    uint32_t mixed_before = X.mixed_n;
    struct part p = {.through = search_claimed(j)};
    p.e = *j->out;
    if (p.e.finding) {
        snprintf(p.finding, sizeof p.finding, "%s", p.e.finding);
    }
    p.begin_anew = X.begin_anew;
    p.too_wide = X.too_wide;
    p.clock_used = X.clock_used;
    p.mixed_n = X.mixed_n;
    p.mixed = X.mixed_n > mixed_before ? X.mixed[X.mixed_n - 1] : 0;
    X.places_n = 0;
    place_keep();
    p.in_middle = !p.through && X.places_n;
    bool ok = put(f, &p, 1, sizeof p) && (!p.in_middle || place_write(f, &X.places[0]));
    ok &= fflush(f) == 0;
    _exit(ok ? 0 : 2);
}

static void cuts_merge(struct sim_explored *to, const struct sim_explored *from) {
    for (unsigned i = 0; i < from->cuts_n; i++) {
        unsigned k = 0;
        while (k < to->cuts_n &&
               (to->cuts[k].pc != from->cuts[i].pc || to->cuts[k].bound != from->cuts[i].bound)) {
            k++;
        }
        if (k < to->cuts_n) {
            to->cuts[k].times += from->cuts[i].times;
        } else if (k < SIM_CUTS_MAX) {
            to->cuts[to->cuts_n++] = from->cuts[i];
        }
    }
}

static bool child_collect(const struct job *j, FILE *f) {
    static char name[64];
    struct sim_explored *e = j->out;
    static struct part p;
    rewind(f);
    if (!get(f, &p, 1, sizeof p)) {
        return false;
    }
    e->graphs += p.e.graphs;
    e->blocked += p.e.blocked;
    e->dead_ends += p.e.dead_ends;
    e->cut += p.e.cut;
    e->executions += p.e.executions;
    e->steps += p.e.steps;
    e->mixed += p.e.mixed;
    e->bounds |= p.e.bounds;
    cuts_merge(e, &p.e);
    if (p.e.error[0]) {
        memcpy(e->error, p.e.error, sizeof e->error);
    }
    if (p.e.finding && !e->finding) {
        memcpy(name, p.finding, sizeof name);
        e->finding = name;
        memcpy(e->detail, p.e.detail, sizeof e->detail);
        memcpy(e->choices, p.e.choices, sizeof e->choices);
        e->choices_n = p.e.choices_n;
    }
    X.begin_anew |= p.begin_anew;
    X.too_wide |= p.too_wide;
    X.clock_used |= p.clock_used;
    if (p.mixed) {
        X.mixed = more(X.mixed, X.mixed_n + 1, sizeof *X.mixed);
        X.mixed[X.mixed_n++] = p.mixed;
    }
    return (!p.in_middle || place_read(f)) && p.through;
}

/* True: all children found nothing left to do. */
static bool search_shared(struct job *j) {
    unsigned n = j->o->processes < PROCESSES_MAX ? j->o->processes : PROCESSES_MAX;
    FILE *files[PROCESSES_MAX];
    pid_t pids[PROCESSES_MAX];
    bool through = true;
    uint32_t before = X.places_n;
    memset(X.shared->claim, 0, sizeof X.shared->claim);
    fflush(NULL);
    for (unsigned i = 0; i < n; i++) {
        files[i] = tmpfile();
        pids[i] = files[i] ? fork() : -1;
        if (pids[i] == 0) {
            static struct sim_explored mine;
            struct sim_explore_options o = *j->o;
            struct job k = *j;
            memset(&mine, 0, sizeof mine);
            X.out = k.out = &mine;
            k.o = &o;
            o.progress = o.progress && i == 0;
            child_main(&k, files[i]);
        }
        if (pids[i] < 0) {
            snprintf(j->out->error, sizeof j->out->error, "cannot start a process: %s",
                     strerror(errno));
            through = false;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        int status = 0;
        if (pids[i] > 0) {
            while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR) {
            }
            if (status) {
                through = false;
                if (WIFSIGNALED(status)) {
                    snprintf(j->out->error, sizeof j->out->error,
                             "a process died of signal %d in the program under test",
                             WTERMSIG(status));
                } else {
                    snprintf(j->out->error, sizeof j->out->error,
                             "a process could not write its results");
                }
            } else if (!child_collect(j, files[i])) {
                through = false;
            }
        }
        if (files[i]) {
            fclose(files[i]);
        }
    }
    /* Of the places from before only what nobody claimed is left. */
    uint32_t number = 0;
    for (uint32_t p = 0; p < before; p++) {
        struct place *at = &X.places[p];
        uint32_t kept = 0;
        for (uint32_t i = 0; i < at->entries_n; i++) {
            if (!X.shared->claim[number++]) {
                at->entries[kept++] = at->entries[i];
            }
        }
        at->entries_n = kept;
    }
    return through;
}

/* ---- The whole
 * ------------------------------------------------------------------------------------
 */

struct sim_explore_options sim_explore_options_default(void) {
    struct sim_explore_options o = {
        .run = sim_options_default(), .processes = 1, .repeats_max = 50};
    o.run.timeouts_max = 1;
    return o;
}

static size_t peak_bytes(void) {
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    return (size_t)(self.ru_maxrss > children.ru_maxrss ? self.ru_maxrss : children.ru_maxrss) *
           1024;
}

static void tables(void) {
    if (!X.sides) {
        X.sides = more(NULL, SEARCH_THREADS, sizeof *X.sides);
        memset(X.sides, 0, SEARCH_THREADS * sizeof *X.sides);
    }
    if (!X.shared) {
        void *p =
            mmap(NULL, sizeof *X.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED) {
            fprintf(stderr, "sim: out of memory\n");
            exit(2);
        }
        X.shared = p;
    }
    if (!X.width) {
        X.width = 8;
    }
}

/* The search, from the beginning or the places that were read. True: nothing is left. */
static bool explore_from(struct job *j) {
    bool shared = j->o->processes > 1;
    enum search_end end = SPLIT;
    if (!X.places_n) {
        root();
        end = search(j, true, shared ? 32 * j->o->processes : 0);
        if (end == DONE_ALL) {
            return true;
        }
        place_keep();
        if (end == STOPPED) {
            return false;
        }
    }
    if (shared && entries_in_all() <= CLAIMS_MAX) {
        return search_shared(j);
    }
    while (X.places_n) { /* one process: the places that a checkpoint had, one by one */
        struct place *p = &X.places[X.places_n - 1];
        while (p->entries_n) {
            frames_drop();
            graph_init(&X.scratch, X.width);
            place_take(p, --p->entries_n);
            if (search(j, false, 0) == STOPPED) {
                place_keep();
                return false;
            }
        }
        place_free(p);
        X.places_n--;
    }
    return true;
}

void sim_explore(const struct sim_explore_options *o, void (*program)(void *), void *arg,
                 struct sim_explored *out) {
    double started = now_s();
    memset(out, 0, sizeof *out);
    if (S.active) {
        fprintf(stderr, "sim: sim_explore inside a run\n");
        abort();
    }
    run_configure(&o->run);
    tables();
    S.o.source = SIM_REPLAY;
    S.o.choices_n = 0;
    S.exploring = true;
    X.forward = false;
    X.o = o;
    X.out = out;
    X.error = NULL;
    X.mixed_n = 0;
    X.clock_used = X.begin_anew = false;
    X.width = 8;
    forget_stacks();
    places_drop();
    struct job j = {.o = o, .program = program, .arg = arg, .out = out, .started = started};
    bool through = false;
    if (!o->checkpoint || checkpoint_load(&j)) {
        do {
            X.shared->stop = 0;
            X.begin_anew = false;
            through = explore_from(&j);
            if (X.begin_anew) {
                uint32_t room = sizeof X.shared->learnt / sizeof X.shared->learnt[0];
                for (uint32_t i = 0; i < X.shared->learnt_n && i < room; i++) {
                    learn_cell(X.shared->learnt[i]);
                }
                X.shared->learnt_n = 0;
                X.width = X.too_wide ? X.width * 2 : X.width;
                X.too_wide = false;
                places_drop();
                memset(out, 0, sizeof *out);
            }
        } while (X.begin_anew);
    }
    out->seconds += now_s() - started;
    out->peak_bytes = peak_bytes();
    out->complete = through && !out->finding && !out->error[0] && !out->cut && !out->mixed &&
                    !(out->bounds & ~(unsigned)SIM_BOUND_PREEMPTIONS);
    if (o->checkpoint && !out->error[0]) {
        if (through || out->finding) {
            unlink(o->checkpoint);
        } else {
            checkpoint_save(&j);
        }
    }
    places_drop();
    if (o->progress) {
        fputc('\n', stderr);
    }
    S.exploring = false;
    X.o = NULL;
    X.out = NULL;
}

/* ---- A run by the choices of an earlier search
 * ---------------------------------------------------- */

void explore_replay(void (*program)(void *), void *arg) {
    tables();
    X.o = NULL;
    X.out = NULL;
    X.error = NULL;
    X.mixed_n = 0;
    X.clock_used = false;
    X.width = 8;
    forget_stacks();
    S.exploring = true;
    X.forward = true;
    do {
        X.begin_anew = false;
        root();
        X.forced.kind = ENTRY_NONE;
        G->threads_n = 0;
        unsigned threads = S.o.choices_n > 1 ? S.o.choices[1] : 1;
        while (threads > X.width && X.width < SEARCH_THREADS) {
            X.width *= 2;
        }
        root();
        if (threads > X.width || 2 + 2 * (size_t)(threads ? threads - 1 : 0) > S.o.choices_n) {
            threads = 1;
        }
        for (unsigned i = 1; i < threads; i++) {
            G->parent[i] = S.o.choices[2 * i];
            G->nth[i] = S.o.choices[2 * i + 1];
            G->first[i] = G->last[i] = 0;
        }
        G->threads_n = threads ? threads : 1;
        X.header_n = 2 + 2 * (size_t)(G->threads_n - 1);
        begin_run();
        run_once(program, arg);
        if (X.begin_anew && X.too_wide) {
            X.width = X.width * 2;
            X.too_wide = false;
        }
    } while (X.begin_anew);
    S.exploring = false;
    X.forward = false;
}

void explore_record_header(void) {
    if (!X.forward) {
        return;
    }
    record_choice(FROM_SEARCH);
    record_choice(G->threads_n);
    for (unsigned i = 1; i < G->threads_n; i++) {
        record_choice(G->parent[i]);
        record_choice(G->nth[i]);
    }
}

/* ---- What was cut, as text
 * ------------------------------------------------------------------------ */

void sim_explored_cuts(const struct sim_explored *e, char *text, size_t n) {
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; i < e->cuts_n && used < n; i++) {
        const struct sim_cut *c = &e->cuts[i];
        static const struct {
            unsigned bound;
            const char *what, *further;
        } of[] = {
            {SIM_BOUND_STEPS, "a run was cut at its number of steps", "SET=steps=N looks further"},
            {SIM_BOUND_MEMORY, "a run ran out of simulated memory", "SET=heap=N looks further"},
            {SIM_BOUND_LOOP, "a loop that goes on in the same state was cut",
             "SET=repeats=N looks further"},
            {SIM_BOUND_THREADS, "a run was cut for want of threads", "a search has 32 at most"},
            {SIM_BOUND_MIXED, "atomics of different sizes overlap and read the newest value",
             "no setting looks further"},
        };
        const char *what = "a run was cut", *further = "";
        for (unsigned k = 0; k < sizeof of / sizeof of[0]; k++) {
            if (of[k].bound == c->bound) {
                what = of[k].what;
                further = of[k].further;
            }
        }
        used += (size_t)snprintf(text + used, n - used, "%s, %llu times (%s)", what,
                                 (unsigned long long)c->times, further);
        if (c->pc && used < n) {
            used += (size_t)snprintf(text + used, n - used, "\n  @%lx", (unsigned long)c->pc);
        }
        if (used < n) {
            used += (size_t)snprintf(text + used, n - used, "\n");
        }
    }
}
