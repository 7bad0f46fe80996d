/* search_loops.c: loops that could run for ever, and how threads wait in them. */
#include "search.h"

/* A stack cell that is an atomic, or that another thread writes, is not part of its owner's state:
 * when it changes depends on the order in which a run executes unordered events. */
static size_t stack_of(uintptr_t at) {
    return (at - (uintptr_t)S.stacks) / (S.stack_size + 4096);
}

/* True if the cell is new. */
bool search_learn_cell(uintptr_t cell) {
    size_t owner = stack_of(cell);
    uintptr_t *cells = X.shared_stack[owner].cells;
    uint32_t count = X.shared_stack[owner].n, i = 0;
    while (i < count && cells[i] < cell) {
        i++;
    }
    if (i < count && cells[i] == cell) {
        return false;
    }
    cells = X.shared_stack[owner].cells = search_more(cells, count + 1, sizeof *cells);
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
        if (search_learn_cell(cell)) {
            X.begin_anew = true;
            uint32_t i = __atomic_fetch_add(&X.shared->learnt_n, 1, __ATOMIC_RELAXED);
            if (i < sizeof X.shared->learnt / sizeof X.shared->learnt[0]) {
                X.shared->learnt[i] = cell;
            }
        }
    }
}

/* A hash of the thread's own state at a call: preserved registers, return address, live stack. */
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

/* t has done something with a lasting effect. */
void explore_effect(struct thread *t) {
    forget_history(side_of(t));
}

/* t is about to write plain memory outside its stack. If it writes back the same values, that shows
 * when the loop comes round again. */
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

/* Does the read have the newest value, apart from its own exchange? */
static bool reads_newest(event_id id) {
    const struct event *e = &G->events[id];
    event_id newest = G->locations[e->location].newest;
    return e->rf == newest || (e->ex && newest == e->po_after);
}

/* Did the read have the newest value when it was added (or revisited)? If not, no revisit will ever
 * remove or change it, so this graph cannot decide what the thread waits for. */
bool search_read_newest_then(event_id id) {
    const struct event *e = &G->events[id];
    for (event_id i = e->rf ? G->events[e->rf].co_after : G->locations[e->location].oldest; i;
         i = G->events[i].co_after) {
        if (i < id || (e->rf && is_cause(G, clock_of(G, e->rf, CAUSES), i))) {
            return false;
        }
    }
    return true;
}

/* Does t only wait in this round of a loop (its events from index `from` on)? That is so if its
 * reads have the newest values: when they were added if `then` is set, otherwise now. *only: the
 * only event, if that is a read. */
bool search_waits(const struct thread *t, uint32_t from, bool then, event_id *only) {
    uint32_t reads = 0, others = 0;
    bool newest = true;
    *only = 0;
    for (event_id i = G->last[t->id]; i && G->events[i].index >= from; i = G->events[i].po_before) {
        const struct event *e = &G->events[i];
        if (e->kind == EVENT_READ) {
            reads++;
            *only = i;
            newest = newest && (then ? search_read_newest_then(i) : reads_newest(i));
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

/* Drops runs left for later in which the read gets the same value: they would spin as well. */
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

/* Puts t back to before its latest event, a read that it will repeat. */
static void step_back(struct thread *t, event_id read) {
    const struct side *s = side_of(t);
    const epoch *before = clock_of(G, read, BEFORE);
    for (uint32_t i = 0; i < X.width; i++) {
        if (i != t->id) {
            t->H[i] = before[i];
        }
    }
    memcpy(t->aH, s->before.aH, X.width * sizeof(epoch));
    t->rel = s->before.rel;
}

/* Removes the new read, the latest event of all: it was done too early. */
static void put_off(struct thread *t, event_id read) {
    struct side *s = side_of(t);
    step_back(t, read);
    t->H[t->id] = G->events[read].when;
    memcpy(s->causes, clock_of(G, read, CAUSES_BEFORE), X.width * sizeof(epoch));
    s->latest = G->events[read].po_before;
    s->fenced = G->events[read].fenced;
    s->done--;
    X.log_n--;
    search_drop_left(read);
    search_take_back(read);
}

void search_wait_for(struct thread *t, uint32_t atom, uint64_t seen) {
    struct side *s = side_of(t);
    s->waits = true;
    s->wait_atom = atom;
    s->seen = seen;
}

/* t has done a read only to wait: removes it, or makes it a ghost, and puts off the next one.
 * False: not possible, so the thread must halt. */
bool search_wait_on(struct thread *t, event_id read, uint32_t atom) {
    const struct side *s = side_of(t);
    uint64_t seen = G->events[read].value;
    if (X.forward || s->next || read == s->put_off_never) {
        return false;
    }
    if (read > X.replay_n && read == G->n - 1) {
        put_off(t, read);
    } else if (read == s->redone) {
        step_back(t, read);
        graph_give_up_read(G, read);
    } else {
        return false;
    }
    search_wait_for(t, atom, seen);
    return true;
}

/* In a waiting loop, a round whose exchange writes back what it has read is left out: the write is
 * removed, and the read stands for the round. */
void search_take_back_exchange(struct thread *t, uint32_t from) {
    event_id w = G->last[t->id], r = w ? G->events[w].po_before : 0;
    struct side *s = side_of(t);
    if (X.forward || !w || G->events[w].kind != EVENT_WRITE || !G->events[w].ex ||
        G->events[r].index != from || G->events[w].value != G->events[r].value) {
        return;
    }
    if (w <= X.replay_n ||
        w != G->n - 1) { /* a revisit needs the write, so another graph covers the run without it */
        search_end_run(DEAD_END);
    }
    search_drop_left(w);
    search_take_back(w);
    G->events[r].ex = false;
    s->latest = r;
    s->done--;
    s->causes[t->id]--;
    X.log_n--;
}

/* t is in the same state as before its events from index `from` on. Returns if it is to wait and
 * retry. */
static void spin(struct thread *t, uint32_t from, uintptr_t at, uintptr_t pc) {
    struct side *s = side_of(t);
    const struct event *latest = &G->events[s->latest];
    if (latest->kind == EVENT_GHOST && latest->index == from) {
        search_wait_for(t, X.atom_of[latest->location], latest->value);
        return;
    }
    search_take_back_exchange(t, from);
    event_id only;
    bool waiting = search_waits(t, from, true, &only);
    if (only && waiting && search_wait_on(t, only, X.atom_of[G->events[only].location])) {
        return;
    }
    if (only && !X.forward) {
        drop_same(only);
    }
    if (!waiting && !X.forward) {
        search_end_run(DEAD_END);
    }
    s->halt_index = from;
    t->state = T_SPIN;
    t->wait_word = at;
    t->pending.pc = pc;
    search_halt(t, SPINS);
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
    search_note_cut(SIM_BOUND_LOOP, pc);
    s->round_index = before;
    t->state = T_SPIN;
    t->wait_word = at;
    t->pending.pc = pc;
    s->halt_index = s->done;
    search_halt(t, CUT);
}

/* Called before each read of t. */
void search_look_for_loop(struct thread *t, uintptr_t at, uintptr_t pc) {
    uintptr_t sp = sim_entry.sp;
    sim_entry.sp = 0;
    if (sp - (uintptr_t)t->stack >= S.stack_size) {
        return;
    }
    struct side *s = side_of(t);
    search_see_written(s);
    uint64_t state = state_now(t, sp);
    for (uint32_t i = s->history_n; i-- > 0;) {
        if (s->history[i].state == state && is_undone(s)) {
            spin(t, s->history[i].index, at, pc);
            s->history[i].index = s->done;
            s->history_n = i + 1;
            return;
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
