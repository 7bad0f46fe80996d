/* search_calls.c: calls of the program under test as events: memory, locks, queues of sleepers, the
 * clock, threads. */
#include "search.h"

/* ---- Operations ------------------------------------------------------------------------------ */

static void expect(const struct event *e, const struct want *w) {
    if (e->kind != w->kind && !(e->kind == EVENT_GHOST && w->kind == EVENT_READ)) {
        search_fickle();
    }
    if (is_access(e)) {
        search_bind(w->atom, e->location);
    }
}

static event_id do_read(struct thread *t, struct want *w) {
    struct side *s = side_of(t);
    if (s->waits) {
        w->ready = search_wait_is_over;
    }
    search_arrive(t, w);
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
        if (w->read == READ_WOKEN &&
            e->read != READ_WOKEN) { /* it timed out before a revisit woke it */
            e->read = READ_WOKEN;
            e->ex = false;
            e->redo = false;
            e->value = value_of(e->rf, e->location);
            if (e->rf != side_of(t)->woken_by) {
                search_fickle();
            }
        } else if (w->read == READ_RETURN && e->redo) {
            e->ex = true;
        }
    } else {
        id = search_add_read(t, w);
        if (s->forced) {
            s->put_off_never = id;
        }
    }
    s->waits = s->forced = false;
    search_run_read(t, id);
    const struct event *e = &G->events[id];
    if (e->kind == EVENT_READ && !graph_ghosts_allow(G, e->po_before, e->rf)) {
        search_halt(t, ASSUMED); /* until a revisit gives it a write that its ghosts allow */
    }
    return id;
}

static event_id do_write(struct thread *t, struct want *w, uint64_t value) {
    search_arrive(t, w);
    if (w->size) {
        w->atom = atom_of_memory(w->at, w->size, true, w->pc);
        explore_stack_shared(w->at, w->size, NULL);
    }
    event_id id = side_of(t)->next;
    if (id) {
        expect(&G->events[id], w);
        if (G->events[id].value != value) {
            search_fickle();
        }
    } else {
        id = search_add_write(t, w, value);
    }
    search_run_write(t, id);
    return id;
}

/* The write half of a read-modify-write. */
static event_id do_exchange(struct thread *t, const struct want *w, uint64_t value) {
    struct want second = {
        .kind = EVENT_WRITE, .order = w->order, .exchange = true, .atom = w->atom, .pc = w->pc};
    return do_write(t, &second, value);
}

/* A call on an object that is not memory: a read-modify-write that leaves the value unchanged. */
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
    search_arrive(t, &w);
    event_id id = side_of(t)->next;
    if (id) {
        expect(&G->events[id], &w);
        if (G->events[id].choices != n) {
            search_fickle();
        }
    } else {
        id = graph_add(G, t->id, EVENT_CHOICE, 0);
        struct event *e = &G->events[id];
        e->choices = (uint16_t)n;
        if (X.forward) {
            unsigned c = next_choice();
            e->value = c < n ? c : 0;
            record_choice((unsigned)e->value);
        } else if (search_take_forced(ENTRY_CHOICE, id)) {
            e->value = X.forced.value;
            X.forced.kind = ENTRY_NONE;
        } else {
            for (unsigned v = n; --v > 0;) {
                search_push((struct entry){.kind = ENTRY_CHOICE, .k = id, .value = v});
            }
        }
    }
    search_clock_start(t, G, id);
    search_clock_write(G, id, NULL);
    unsigned c = (unsigned)G->events[id].value;
    search_executed(t, id);
    return c;
}

/* Only seq_cst fences are events. */
void explore_fence(struct thread *t, int order, uintptr_t pc) {
    event_id id = 0;
    if (order == __ATOMIC_SEQ_CST) {
        struct want w = {.kind = EVENT_FENCE, .order = __ATOMIC_SEQ_CST, .pc = pc};
        search_arrive(t, &w);
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
        search_clock_start(t, G, id);
        search_clock_write(G, id, NULL);
    }
    if (is_release((unsigned)order)) {
        t->rel = snapshot(t);
    }
    if (S.tracing) {
        trace_add(
            (struct line){.kind = LINE_FENCE, .order = (uint8_t)order, .pc = pc, .thread = t->id});
    }
    if (id) {
        search_executed(t, id);
    } else {
        if (order != __ATOMIC_RELAXED && !side_of(t)->fenced) {
            side_of(t)->fenced = t->H[t->id];
        }
        t->H[t->id]++;
    }
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static bool is_mixed(uintptr_t at) {
    for (uint32_t i = 0; i < X.mixed_n; i++) {
        if (X.mixed[i] == (at & ~(uintptr_t)7)) {
            return true;
        }
    }
    return false;
}

/* Starts the search again, knowing that these atomics overlap. */
_Noreturn void explore_mixed(uintptr_t at) {
    X.mixed = search_more(X.mixed, X.mixed_n + 1, sizeof *X.mixed);
    X.mixed[X.mixed_n++] = at & ~(uintptr_t)7;
    X.begin_anew = true;
    search_end_run(DEAD_END);
}

enum tag { TAG_OBJECT, TAG_QUEUE, TAG_CLOCK, TAG_PAGES, TAG_MIXED };

static uint32_t queue_atom(uintptr_t at) {
    uint32_t atom = search_object_atom(at, TAG_QUEUE);
    S.atoms[atom].queue = true;
    return atom;
}

/* Overlapping atomics of different sizes: they run one after the other, and each reads the newest
 * value. */
static bool mixed_turn(struct thread *t, uintptr_t at, unsigned size, bool write, int order,
                       uintptr_t pc) {
    if (!X.mixed_n || !is_mixed(at)) {
        return false;
    }
    search_note_cut(SIM_BOUND_MIXED, pc);
    S.mixed++;
    if (S.o.refuse_mixed) {
        found("mixed-size-atomic",
              "an atomic access of %u bytes at %p overlaps one of another size\n  @%lx", size,
              (void *)at, (unsigned long)pc);
    }
    do_call(t, search_object_atom(at & ~(uintptr_t)7, TAG_MIXED),
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
    search_look_for_loop(t, at, pc);
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
        struct line l = access_line(LINE_LOAD, t, at, size, order, pc);
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
        struct line l = access_line(LINE_STORE, t, at, size, order, pc);
        l.wrote = value;
        l.inserted = G->events[id].co_after != 0;
        trace_add(l);
    }
}

uint64_t explore_rmw(struct thread *t, uintptr_t at, unsigned size, enum sim_rmw rmw,
                     uint64_t operand, int order, uintptr_t pc) {
    search_look_for_loop(t, at, pc);
    uint64_t old;
    struct line l = access_line(LINE_RMW, t, at, size, order, pc);
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
    search_look_for_loop(t, at, pc);
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
        search_halt(t, ASSUMED);
    }
    bool ex = G->events[id].ex;
    *failed = !ex;
    if (S.tracing) {
        struct line l = access_line(LINE_CAS, t, at, size, order, pc);
        l.failed = !ex;
        l.wrote = desired;
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

/* ---- Calls on locks, queues, pages, the clock ------------------------------------------------ */

void explore_step(uintptr_t object, uintptr_t pc) {
    explore_effect(S.now);
    do_call(S.now, search_object_atom(object, TAG_OBJECT), __ATOMIC_RELAXED, pc);
}

void explore_pages(uintptr_t base, uintptr_t pc) {
    explore_effect(S.now);
    do_call(S.now, search_object_atom(base, TAG_PAGES), __ATOMIC_RELAXED, pc);
}

void explore_lock(struct thread *t, uintptr_t object, uintptr_t pc) {
    explore_effect(t);
    if (search_section_begins(t, object)) {
        return;
    }
    struct want w = {.kind = EVENT_READ,
                     .read = READ_LOCK,
                     .order = __ATOMIC_ACQUIRE,
                     .failure = __ATOMIC_RELAXED,
                     .operand = 1,
                     .atom = search_object_atom(object, TAG_OBJECT),
                     .pc = pc};
    for (;;) {
        if (!X.forward) {
            search_wait_for(t, w.atom, w.operand);
        }
        event_id id = do_read(t, &w);
        if (G->events[id].ex) {
            break;
        }
        if (G->events[id].kind == EVENT_GHOST) {
            continue;
        }
        if (id == side_of(t)->redone && !search_read_newest_then(id)) {
            search_end_run(DEAD_END);
        }
        if (!search_wait_on(t, id, w.atom)) {
            t->state = T_LOCK;
            side_of(t)->locked = id;
            search_halt(t, LOCKED);
        }
    }
    do_exchange(t, &w, 1);
}

/* ordered: a failed attempt is also a call in the lock's order, for callers that queue next. */
bool explore_try_lock(struct thread *t, uintptr_t object, bool ordered, uintptr_t pc) {
    search_section_asked(object);
    struct want w = {.kind = EVENT_READ,
                     .read = ordered ? READ_RMW : READ_CAS,
                     .order = __ATOMIC_ACQUIRE,
                     .failure = __ATOMIC_RELAXED,
                     .operand = 1,
                     .rmw = SIM_OR,
                     .atom = search_object_atom(object, TAG_OBJECT),
                     .pc = pc};
    if (ordered) {
        explore_effect(t);
    } else {
        search_look_for_loop(t, object, pc);
    }
    event_id id = do_read(t, &w);
    bool free_before = G->events[id].value == 0;
    if (G->events[id].ex) {
        do_exchange(t, &w, 1);
        explore_effect(t);
    }
    return free_before;
}

bool explore_unlock(struct thread *t, uintptr_t object, uintptr_t pc) {
    explore_effect(t);
    if (search_section_left(t, object)) {
        return false;
    }
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RMW,
                     .rmw = SIM_AND,
                     .order = __ATOMIC_RELEASE,
                     .atom = search_object_atom(object, TAG_OBJECT),
                     .pc = pc};
    do_read(t, &w);
    do_exchange(t, &w, 0);
    return true;
}

/* The clock is a location that holds the time. Programs that never read it need no order on its
 * moves. */
static uint64_t turn_clock(struct thread *t, enum sim_rmw how, uint64_t by, uintptr_t pc) {
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RMW,
                     .rmw = how,
                     .operand = by,
                     .order = __ATOMIC_RELAXED,
                     .atom = search_object_atom(1, TAG_CLOCK),
                     .pc = pc};
    uint64_t was = G->events[do_read(t, &w)].value;
    side_of(t)->time = rmw_result(how, was, by, 8);
    do_exchange(t, &w, side_of(t)->time);
    return was;
}

/* Returns the time, then moves the clock on by `by`. */
uint64_t explore_clock(struct thread *t, uint64_t by, uintptr_t pc) {
    explore_effect(t);
    if (!X.clock_used) {
        X.clock_used = X.begin_anew = true;
        search_end_run(DEAD_END);
    }
    if (by) {
        return turn_clock(t, SIM_ADD, by, pc);
    }
    struct want w = {
        .kind = EVENT_READ, .read = READ_PLAIN, .atom = search_object_atom(1, TAG_CLOCK), .pc = pc};
    return side_of(t)->time = G->events[do_read(t, &w)].value;
}

/* The latest time that t knows, from which deadlines count. */
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

/* t sleeps in a queue that it has joined, until it is woken or, if it may, leaves by itself. */
static enum sim_wait_result sleep_in(struct thread *t, uint32_t atom, thread_set *queue,
                                     uintptr_t pc) {
    t->state = T_WAIT;
    t->time_is_up = false;
    S.waiting |= ONE(t->id);
    struct want w = {.kind = EVENT_READ,
                     .read = READ_RETURN,
                     .order = __ATOMIC_RELAXED,
                     .atom = atom,
                     .ready = search_may_return,
                     .pc = pc};
    event_id id = do_read(t, &w);
    if (w.read == READ_WOKEN) {
        side_of(t)->woken_by = 0;
        unqueue(t);
        return SIM_WOKEN;
    }
    do_exchange(t, &w, G->events[id].value);
    bool time = search_may_time_out(t, t->time_is_up);
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
    return sleep_in(t, search_object_atom(object, TAG_OBJECT), queue, pc);
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
                     .atom = queue_atom(at),
                     .pc = pc};
    id = do_read(t, &w);
    if (!G->events[id].ex) {
        search_halt(t, ASSUMED);
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
    do_call(t, queue_atom(at), __ATOMIC_RELAXED, pc);
}

void explore_assume(struct thread *t, bool holds) {
    if (!holds) {
        search_halt(t, ASSUMED);
    }
}

/* t makes a call that is not simulated. The other threads continue, because they may make this call
 * unreachable. */
_Noreturn void explore_refuse(struct thread *t, uintptr_t pc) {
    search_note_cut(SIM_BOUND_CALL, pc);
    search_section_ends(t);
    search_halt(t, REFUSED);
}

static bool joinable(const struct thread *t) {
    return S.threads[t->wait_word].state == T_DONE;
}

void explore_join(struct thread *t, struct thread *child) {
    const struct want w = {.kind = 0, .ready = joinable};
    search_section_ends(t);
    search_alike_join(t, child);
    if (child->state != T_DONE) {
        t->state = T_JOIN;
        search_arrive(t, &w);
        t->state = T_READY;
    }
    join_clock(side_of(t)->causes, side_of(child)->causes);
    explore_effect(t);
}

/* The number of the thread that `parent` starts now: the same in every run for its n-th child. */
uint32_t explore_spawn(struct thread *parent) {
    search_section_ends(parent);
    uint32_t nth = side_of(parent)->spawned++;
    explore_effect(parent);
    for (uint32_t i = 1; i < G->threads_n; i++) {
        if (G->parent[i] == parent->id && G->nth[i] == nth) {
            return i;
        }
    }
    if (G->threads_n == X.width) {
        if (X.width == SEARCH_THREADS) {
            search_note_cut(SIM_BOUND_THREADS, parent->pending.pc);
            search_end_run(CUT_SHORT);
        }
        X.too_wide = X.begin_anew = true;
        search_end_run(DEAD_END);
    }
    uint32_t id = G->threads_n++;
    G->parent[id] = parent->id;
    G->nth[id] = nth;
    G->first[id] = G->last[id] = 0;
    return id;
}

void explore_started(struct thread *t, const struct thread *parent) {
    struct side *s = side_of(t);
    memset(s, 0, offsetof(struct side, history)); /* event 0 belongs to no thread */
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

/* t has ended the process. What the other threads could have done before is still explored. */
_Noreturn void explore_last(struct thread *t) {
    const struct want w = {.kind = 0, .ready = never};
    search_section_ends(t);
    search_alike_ends(t);
    t->state = T_JOIN;
    search_arrive(t, &w);
    abort();
}

_Noreturn void explore_exit(struct thread *t) {
    search_section_ends(t);
    search_alike_ends(t);
    if (side_of(t)->next) {
        search_fickle();
    }
    run_switch(t, search_pick_next(t));
    abort();
}
