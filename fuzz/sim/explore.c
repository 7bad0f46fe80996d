/* explore.c: the exhaustive search: every execution graph that the axioms allow, each once.
 *
 * The method is TruSt (Kokologiannakis, Marmanis, Gladstein, Vafeiadis, POPL 2022). A run replays a
 * graph: each thread is given the values in the graph, and then runs on beyond it event by event,
 * the thread with the lowest number first. A new read reads the newest write, and a new write
 * becomes the newest; every other write that it could read, and every other place, is left for a
 * later run. A new write may also be read by an earlier read (a revisit). Then the events that were
 * added after that read and do not cause the write are removed, but only if each is as it would be
 * if it had been added last (graph_is_maximal()), so that each revisit is reached from exactly one
 * graph. The runs left for later are entries on a stack; a revisit continues in a graph of its own
 * (a frame). Memory is bounded by the length of an execution.
 *
 * Locks, condition variables, queues of sleepers and similar objects are locations too. Each call
 * on one is a read-modify-write, so its calls are totally ordered. Locking a held lock reads the
 * newest state and blocks; a revisit by the unlock lets it continue. A sleeper becomes an event
 * only when it returns.
 *
 * Loops. A thread that comes back to a read in the same state (registers that a call preserves,
 * live stack, what it wrote), without a lasting effect in between, would do the same for ever: it
 * blocks until a revisit changes what it read. If one of these reads did not have the newest value,
 * no fair execution stays there: the run is a dead end. */
#include "search.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct search X;

void *search_more(void *p, size_t n, size_t size) {
    p = realloc(p, (n ? n : 1) * size);
    if (!p) {
        fprintf(stderr, "sim: out of memory\n");
        exit(2);
    }
    return p;
}

_Noreturn void search_end_run(enum outcome outcome) {
    X.outcome = outcome;
    stop_run();
}

static _Noreturn void give_up(const char *why) {
    X.error = why;
    search_end_run(DEAD_END);
}

/* The thread did something other than what the graph says. */
_Noreturn void search_fickle(void) {
    give_up("the program does not behave the same when it is run again");
}

/* ---- What was cut ---------------------------------------------------------------------------- */

void search_note_cut(unsigned bound, uintptr_t pc) {
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

/* ---- The end of a run ------------------------------------------------------------------------ */

/* A loop that was cut can never end if its last round read the newest values and wrote back what
 * was there. */
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

_Noreturn void search_finish(void) {
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
            dead = dead || !search_waits(t, s->halt_index, false, &only);
            break;
        case LOCKED:
            dead = dead ||
                   G->events[s->locked].rf != G->locations[G->events[s->locked].location].newest;
            break;
        case CUT:
            cut = true;
            frozen = frozen && is_frozen(t);
            break;
        case REFUSED:
            cut = true;
            frozen = false;
            break;
        default:
            break;
        }
    }
    if (all) {
        run_leaks();
        search_end_run(ENDED);
    }
    if (dead) {
        search_end_run(DEAD_END);
    }
    if (cut && (!frozen || S.last)) {
        search_end_run(CUT_SHORT);
    }
    if (S.last) {
        search_end_run(ENDED); /* threads that still wait, wait past the end of the process */
    }
    if (X.o && (X.o->count_blocked || (X.o->permits_stuck && X.o->permits_stuck(X.o->context)))) {
        search_end_run(STUCK);
    }
    X.outcome = STUCK;
    run_stuck();
}

/* ---- From one run to the next ---------------------------------------------------------------- */

struct graph *search_frame_push(void) {
    if (X.frames_n == X.frames_room) {
        X.frames = search_more(X.frames, X.frames_room + 8, sizeof *X.frames);
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
    X.forced.kind = ENTRY_NONE;
    struct graph *g = search_frame_push();
    g->n = 1;
    g->threads_n = 1;
    g->first[0] = g->last[0] = g->parent[0] = g->nth[0] = 0;
}

/* Prepares the graph that the next run replays. False: nothing is left above the floor. */
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
            search_clock_read(g, e.k);
            w = search_add_exchange(NULL, g, e.k, e.value);
            break;
        case ENTRY_REVISIT:
            graph_truncate(g, e.k + 1);
            break;
        }
        struct graph *to = search_frame_push();
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

static void progress_line(const struct job *j) {
    const struct sim_explored *e = j->out;
    fprintf(stderr, "\rexplore: %llu executions, %llu graphs, %llu blocked, %u pending, %.0f s   ",
            (unsigned long long)e->executions, (unsigned long long)e->graphs,
            (unsigned long long)e->blocked + (unsigned long long)e->dead_ends, X.stack_n,
            now_s() - j->started);
    fflush(stderr);
}

/* Writes the last run as choices from which a replay makes the same graph, event by event. */
size_t explore_choices(uint16_t *out, size_t room) {
    size_t n = 0;
#define PUT(c)                      \
    do {                            \
        if (n < room)               \
            out[n] = (uint16_t)(c); \
        n++;                        \
    } while (0)
    PUT(FROM_SEARCH);
    PUT(G->threads_n | (X.reduce ? REDUCED : 0));
    for (uint32_t i = 1; i < G->threads_n; i++) {
        PUT(G->parent[i]);
        PUT(G->nth[i]);
    }
    if (X.reduce) {
        n += search_reductions_put(out + n, n < room ? room - n : 0);
    }
    uint8_t *there = search_more(NULL, G->n, 1);
    memset(there, 0, G->n);
    for (uint32_t i = 0; i < X.log_n; i++) {
        event_id id = X.log[i];
        const struct event *e = &G->events[id];
        if (e->kind == EVENT_GHOST) {
            continue;
        }
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

/* Counts the outcome of the run that just ended. False: the search is over. */
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
        out->choices_n =
            explore_choices(out->choices, sizeof out->choices / sizeof out->choices[0]);
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

/* Runs from the current state of X down to the floor, or until `split` entries are left. */
enum search_end search_runs(struct job *j, bool first_run, uint32_t split) {
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

/* ---- The search ------------------------------------------------------------------------------ */

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
        X.sides = search_more(NULL, SEARCH_THREADS, sizeof *X.sides);
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

/* Searches from the beginning, or from the places of a checkpoint. True: nothing is left. */
static bool explore_from(struct job *j) {
    bool shared = j->o->processes > 1;
    enum search_end end = SPLIT;
    if (!X.places_n) {
        root();
        end = search_runs(j, true, shared ? 32 * j->o->processes : 0);
        if (end == DONE_ALL) {
            return true;
        }
        search_place_keep();
        if (end == STOPPED) {
            return false;
        }
    }
    if (shared && search_entries_in_all() <= CLAIMS_MAX) {
        return search_shared(j);
    }
    while (X.places_n) { /* a single process: the places of a checkpoint, one by one */
        struct place *p = &X.places[X.places_n - 1];
        while (p->entries_n) {
            frames_drop();
            graph_init(&X.scratch, X.width);
            search_place_take(p, --p->entries_n);
            if (search_runs(j, false, 0) == STOPPED) {
                search_place_keep();
                return false;
            }
        }
        search_place_free(p);
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
    search_reduce(o->reduce);
    X.width = 8;
    search_forget_stacks();
    search_places_drop();
    struct job j = {.o = o, .program = program, .arg = arg, .out = out, .started = started};
    bool through = false;
    if (!o->checkpoint || search_checkpoint_load(&j)) {
        do {
            X.shared->stop = 0;
            X.begin_anew = false;
            through = explore_from(&j);
            if (X.begin_anew) {
                uint32_t room = sizeof X.shared->learnt / sizeof X.shared->learnt[0];
                for (uint32_t i = 0; i < X.shared->learnt_n && i < room; i++) {
                    search_learn_cell(X.shared->learnt[i]);
                }
                X.shared->learnt_n = 0;
                search_reduce_less();
                X.width = X.too_wide ? X.width * 2 : X.width;
                X.too_wide = false;
                search_places_drop();
                memset(out, 0, sizeof *out);
            }
        } while (X.begin_anew);
    }
    out->seconds += now_s() - started;
    out->peak_bytes = peak_bytes();
    out->reduced = X.reduce;
    out->complete = through && !out->finding && !out->error[0] && !out->cut && !out->mixed &&
                    !(out->bounds & ~(unsigned)SIM_BOUND_PREEMPTIONS);
    if (o->checkpoint && !out->error[0]) {
        if (through || out->finding) {
            unlink(o->checkpoint);
        } else {
            search_checkpoint_save(&j);
        }
    }
    search_places_drop();
    if (o->progress) {
        fputc('\n', stderr);
    }
    S.exploring = false;
    X.o = NULL;
    X.out = NULL;
}

/* ---- Replaying the choices of a finding ------------------------------------------------------ */

void explore_replay(void (*program)(void *), void *arg) {
    tables();
    X.o = NULL;
    X.out = NULL;
    X.error = NULL;
    X.mixed_n = 0;
    X.clock_used = false;
    X.width = 8;
    search_forget_stacks();
    S.exploring = true;
    X.forward = true;
    do {
        X.begin_anew = false;
        root();
        X.forced.kind = ENTRY_NONE;
        G->threads_n = 0;
        unsigned second = S.o.choices_n > 1 ? S.o.choices[1] : 1, threads = second & ~REDUCED;
        while (threads > X.width && X.width < SEARCH_THREADS) {
            X.width *= 2;
        }
        root();
        if (threads > X.width || 2 + 2 * (size_t)(threads ? threads - 1 : 0) > S.o.choices_n) {
            threads = 1;
        }
        for (unsigned i = 1; i < threads; i++) {
            G->parent[i] = S.o.choices[(size_t)2 * i];
            G->nth[i] = S.o.choices[2 * i + 1];
            G->first[i] = G->last[i] = 0;
        }
        G->threads_n = threads ? threads : 1;
        size_t header_n = 2 * (size_t)G->threads_n;
        X.reduce = 0;
        if ((second & REDUCED) && header_n < S.o.choices_n) {
            search_reductions_get(S.o.choices + header_n, S.o.choices_n - header_n);
        }
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
    record_choice(G->threads_n | (X.reduce ? REDUCED : 0));
    for (unsigned i = 1; i < G->threads_n; i++) {
        record_choice(G->parent[i]);
        record_choice(G->nth[i]);
    }
    if (X.reduce) {
        static uint16_t more[2 + 4 * ORDERED_MAX];
        size_t n = search_reductions_put(more, sizeof more / sizeof more[0]);
        for (size_t i = 0; i < n; i++) {
            record_choice(more[i]);
        }
    }
}

/* ---- What was cut, as text ------------------------------------------------------------------- */

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
            {SIM_BOUND_LOOP, "a loop that may never end was cut", "SET=repeats=N looks further"},
            {SIM_BOUND_THREADS, "a run started too many threads and was cut", "a search allows 32"},
            {SIM_BOUND_CALL, "a run was cut at a call that is not simulated",
             "no setting looks further"},
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
