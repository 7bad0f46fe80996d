/* The exhaustive search: every distinct complete execution graph within the bounds.
 *
 * Depth first over two kinds of nodes: which thread takes the next step, and the local choices in a
 * step (message read, place in modification order, failure). Each execution starts anew and replays
 * the path to the changed node, so nothing but the path and the hashes of the graphs is stored.
 *
 * Reduction. A source-set DPOR with sleep sets (Abdulla et al. 2014), with a dependency made for
 * this machine: since a load may read any message not too old, load and store of one location
 * commute unless the load reads that store. So only a load that came before a store needs reversing
 * (REVERSE), because then it could have read the new message; two stores never do. What really
 * depends on order (SC accesses and fences, waits and wakes, locks, two RMWs that want one message)
 * is BOTH. A sleeping load is covered for the messages that existed when it fell asleep; it may
 * wake to read newer ones only ("mark"). tests/ compare all this with brute force on random
 * programs.
 *
 * Sharing. The first split_depth decisions are expanded fully, so that their subtrees ("tasks") do
 * not influence each other; processes claim them by number. A checkpoint remembers the finished
 * ones, and of each that was under way the path. */
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

#define NODES_MAX 16384
#define EVENTS_MAX 16384
#define TASKS_MAX (1u << 16)
#define PROCESSES_MAX 64
#define ALWAYS UINT32_MAX /* mark: asleep whatever messages come */
#define SEEN 16
#define RACES_MAX 64 /* of one event; more: everything is tried */

struct node {
    bool is_thread, full;
    uint16_t n, c; /* local: of n, the c-th; thread: number c */
    uint32_t enabled, backtrack, sleep, covered;
    uint32_t asleep; /* covered when the node was made */
    uint32_t events_n, mark_now;
    uint32_t mark[SEARCH_THREADS];
};

struct event {
    struct op op;
    uint8_t thread;
    uint32_t index; /* 1, 2, ... in its thread */
    int32_t from, node;
    uint32_t extra;
    uint32_t
        past[SEARCH_THREADS]; /* by thread: how many of its events are causally before, or this */
};

/* What a thread read since it last saw something new, to recognise spinning. */
struct spin {
    uintptr_t pc[SEEN], at[SEEN];
    int32_t from[SEEN];
    unsigned n, count;
    bool held, newest;
};

struct shared {                     /* between the processes of one search */
    unsigned char claim[TASKS_MAX]; /* 0 free, 1 taken, 2 done */
    uint64_t tasks_done;
    unsigned places_taken;
    int stop, cut; /* cut: some run ended at a bound */
};

/* Where a process stopped in the middle of a task. */
struct place {
    uint32_t nodes_n, task, task_now, task_base; /* as in X */
    struct node *nodes;
};

static struct {
    struct node *nodes;
    struct event *events;
    uint32_t nodes_n, depth, events_n, fresh_from, tdepth;
    uint32_t clock[SEARCH_THREADS][SEARCH_THREADS];
    uint32_t sleep, mark[SEARCH_THREADS], filter;
    int32_t node_now;
    struct spin spin[SEARCH_THREADS];
    uint32_t forced; /* steps with everybody held */
    uint64_t hash;
    bool pruned, brute, counting, mine;
    unsigned spin_max, split;
    uint32_t task, task_now; /* next number; the claimed one */
    uint32_t task_base;      /* nodes above it */
    bool not_mine;           /* the run was cut because another process has the task */
    struct shared *shared;
    struct place places[PROCESSES_MAX]; /* to go on from; the first places_taken are taken */
    unsigned places_n;
    uint64_t *table;
    size_t table_n, table_size, table_max;
    bool table_full;
    const char *error;
} X;

int32_t explore_next_event(void) {
    return (int32_t)X.events_n;
}
uint32_t explore_filter(struct thread *t) {
    (void)t;
    return X.filter;
}

_Noreturn void explore_prune(bool spin) {
    if (spin)
        S.bounds |= SIM_BOUND_SPIN;
    X.pruned = true;
    stop_run();
}

static const char fickle[] = "the program does not behave the same when it is run again";

static _Noreturn void explore_error(const char *why) {
    X.error = why;
    explore_prune(false);
}

/* ---- Dependency ---------------------------------------------------------------------------------
 */

enum conflict { NONE, REVERSE, BOTH };

static inline bool overlap(const struct op *e, const struct op *f) {
    return e->at < f->at + f->size && f->at < e->at + e->size;
}
static inline bool is_memory(const struct op *e) {
    return e->kind >= OP_LOAD && e->kind <= OP_CAS;
}
static inline bool is_queue(const struct op *e) {
    return e->kind >= OP_WAIT && e->kind <= OP_TIMEOUT;
}
static inline bool is_object(const struct op *e) {
    return e->kind >= OP_LOCK && e->kind <= OP_OBJECT;
}

/* e before f, by different threads: does it matter? */
static enum conflict conflict(const struct op *e, const struct op *f) {
    if (is_memory(e) && is_memory(f)) {
        if (!overlap(e, f) || (!e->writes && !f->writes))
            return NONE;
        if (e->mixed || f->mixed || e->at != f->at || e->size != f->size)
            return BOTH;
        if (S.o.c11_release_sequence || (e->sc && f->sc))
            return BOTH;
        return e->reads && f->writes ? REVERSE : NONE;
    }
    if (e->kind == OP_FENCE || f->kind == OP_FENCE) {
        if (!e->sc || !f->sc)
            return NONE;
        if (e->kind == OP_FENCE)
            return BOTH;
        return e->writes ? BOTH : NONE; /* after the fence the load has less choice, nothing new */
    }
    if (is_queue(e) && is_queue(f))
        return e->at == f->at ? BOTH : NONE;
    if (is_queue(e) && is_memory(f))
        return e->kind == OP_WAIT && f->writes && overlap(e, f) ? BOTH : NONE;
    if (is_memory(e) && is_queue(f))
        return f->kind == OP_WAIT && e->writes && overlap(e, f) ? BOTH : NONE;
    if (is_object(e) && is_object(f)) {
        if (e->at != f->at)
            return NONE;
        if (e->kind == OP_OBJECT || f->kind == OP_OBJECT)
            return BOTH;
        return e->kind == OP_LOCK && f->kind == OP_LOCK ? BOTH : NONE;
    }
    if (e->kind == OP_PAGES || f->kind == OP_PAGES)
        return overlap(e, f) ? BOTH : NONE;
    if (e->kind == OP_TIMEOUT)
        return f->kind == OP_OBJECT && f->at == 2 ? BOTH : NONE;
    if (f->kind == OP_TIMEOUT)
        return e->kind == OP_OBJECT && e->at == 2 ? BOTH : NONE;
    return NONE;
}

/* After e, may the sleeping operation f do something that it could not do before, other than
 * reading a new message? */
static bool wakes(const struct op *e, const struct op *f) {
    if (is_memory(e) && is_memory(f) && f->reads && !e->mixed && e->at == f->at &&
        e->size == f->size && !S.o.c11_release_sequence && (f->kind == OP_LOAD || !e->sc || !f->sc))
        return false;
    if (e->kind == OP_FENCE && f->kind == OP_LOAD)
        return false;
    return conflict(e, f) == BOTH || conflict(f, e) == BOTH;
}

/* ---- Sleep
 * ---------------------------------------------------------------------------------------- */

static bool load_like(const struct op *o) {
    return o->kind == OP_LOAD || o->kind == OP_RMW || o->kind == OP_CAS;
}

/* How many messages the location of o has had. */
static uint32_t messages_at(const struct op *o) {
    struct cell *c = cell_at(o->at);
    for (uint32_t x = c->atoms; x; x = S.atoms[x].next)
        if (S.atoms[x].at == o->at && S.atoms[x].size == o->size)
            return S.atoms[x].created;
    return 1;
}

static uint32_t covered_now(uint32_t set) {
    uint32_t out = 0;
    for (uint32_t m = set & X.sleep; m; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctz(m);
        const struct thread *t = &S.threads[i];
        if (X.mark[i] == ALWAYS || !can_read(t, &t->pending, X.mark[i]))
            out |= 1u << i;
    }
    return out;
}

static uint32_t mark_for(const struct thread *t) {
    return load_like(&t->pending) ? messages_at(&t->pending) : ALWAYS;
}

/* ---- Choosing the next thread -------------------------------------------------------------------
 */

static void find_races(uint32_t f, bool executed);

/* Everybody in set is covered. A load that could have read something new, had not a later step
 * (a fence, an RMW that took the message) made that impossible, races with that step although it
 * was not executed. */
static _Noreturn void prune_covered(uint32_t set) {
    for (uint32_t m = set; m; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctz(m);
        if (X.mark[i] == ALWAYS || X.events_n >= EVENTS_MAX)
            continue;
        struct event *ev = &X.events[X.events_n];
        *ev = (struct event){
            .op = S.threads[i].pending, .thread = (uint8_t)i, .from = -1, .node = -1};
        memcpy(ev->past, X.clock[i], sizeof ev->past);
        ev->index = ++ev->past[i];
        find_races(X.events_n, false);
    }
    explore_prune(false);
}

static struct thread *take(unsigned i) {
    X.filter = X.sleep >> i & 1 && X.mark[i] != ALWAYS ? X.mark[i] : 0;
    X.sleep &= ~(1u << i);
    return &S.threads[i];
}

/* Everybody who could run spins: let them see the newest, and if that does not help, it is a
 * livelock. */
static struct thread *run_held(struct thread *t, uint32_t set) {
    S.bounds |= SIM_BOUND_SPIN;
    uint32_t rest = set & ~covered_now(set);
    if (!rest)
        prune_covered(set);
    if (++X.forced > S.o.stale_max * S.threads_n) {
        for (uint32_t m = set; m; m &= m - 1)
            if (!X.spin[__builtin_ctz(m)].newest)
                explore_prune(true);
        found(
            "livelock",
            "T%u and all others that could run read the newest values again and again, last at %p",
            t->id, (void *)t->pending.at);
    }
    uint32_t later = rest & ~((2u << t->id) - 1); /* in turn */
    unsigned i = (unsigned)__builtin_ctz(later ? later : rest);
    S.threads[i].eager = true;
    X.node_now = -1;
    return take(i);
}

static bool claim_task(void) {
    X.task_now = X.task++;
    X.task_base = X.nodes_n;
    if (X.counting)
        return false;
    unsigned char free_one = 0;
    return __atomic_compare_exchange_n(&X.shared->claim[X.task_now], &free_one, 1, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* Stores first (they rarely need reversing), then whoever is running, then by number. */
static unsigned preferred(const struct thread *t, uint32_t set) {
    for (uint32_t m = set; m; m &= m - 1) {
        const struct op *o = &S.threads[__builtin_ctz(m)].pending;
        if (o->kind == OP_STORE && !o->sc)
            return (unsigned)__builtin_ctz(m);
    }
    if (set >> t->id & 1)
        return t->id;
    return (unsigned)__builtin_ctz(set);
}

struct thread *explore_pick(struct thread *t, uint32_t set) {
    X.filter = 0;
    X.node_now = -1;
    for (uint32_t m = set; m; m &= m - 1) { /* what concerns nobody else is no decision */
        unsigned i = (unsigned)__builtin_ctz(m);
        if (S.threads[i].pending.kind <= OP_LOCAL)
            return &S.threads[i];
    }
    uint32_t held = 0;
    for (uint32_t m = set; m; m &= m - 1)
        if (X.spin[__builtin_ctz(m)].held)
            held |= m & -m;
    if (held == set)
        return run_held(t, set);
    set &= ~held;
    bool single = !(set & (set - 1)); /* no decision, no node */
    if (X.depth < X.nodes_n) {
        if (single)
            return take((unsigned)__builtin_ctz(set));
        struct node *d = &X.nodes[X.depth];
        if (!d->is_thread || d->enabled != set)
            explore_error(fickle);
        X.node_now = (int32_t)X.depth++;
        X.tdepth++;
        X.sleep = X.brute ? 0 : d->sleep;
        memcpy(X.mark, d->mark, S.threads_n * sizeof X.mark[0]);
        if (X.depth == X.nodes_n)
            d->mark_now = mark_for(&S.threads[d->c]);
        return take(d->c);
    }
    uint32_t covered = X.brute ? 0 : covered_now(set);
    if (!(set & ~covered))
        prune_covered(set);
    if (X.tdepth == X.split && !X.mine) {
        X.mine = claim_task();
        X.not_mine = !X.mine;
        if (!X.mine)
            explore_prune(false);
    }
    if (single)
        return take((unsigned)__builtin_ctz(set));
    if (X.nodes_n >= NODES_MAX)
        stop_bound(SIM_BOUND_STEPS);
    unsigned c = preferred(t, set & ~covered);
    struct node *d = &X.nodes[X.nodes_n++];
    d->is_thread = true;
    d->full = X.brute || X.tdepth < X.split;
    d->c = (uint16_t)c;
    d->enabled = set;
    d->backtrack = d->full ? set : 1u << c;
    d->sleep = X.sleep;
    d->covered = d->asleep = covered;
    d->events_n = X.events_n;
    d->mark_now = mark_for(&S.threads[c]);
    memcpy(d->mark, X.mark, S.threads_n * sizeof X.mark[0]);
    X.node_now = (int32_t)X.depth++;
    X.tdepth++;
    return take(c);
}

unsigned explore_choose(unsigned n) {
    if (X.depth < X.nodes_n) {
        struct node *d = &X.nodes[X.depth++];
        if (d->is_thread || d->n != n)
            explore_error(fickle);
        return d->c;
    }
    if (X.nodes_n >= NODES_MAX)
        stop_bound(SIM_BOUND_STEPS);
    struct node *d = &X.nodes[X.nodes_n++];
    d->is_thread = false;
    d->n = (uint16_t)n;
    d->c = 0;
    d->events_n = X.events_n;
    X.depth++;
    return 0;
}

/* ---- Events and races ---------------------------------------------------------------------------
 */

static inline void join(uint32_t *a, const uint32_t *b) {
    for (uint32_t i = 0; i < S.threads_n; i++)
        if (b[i] > a[i])
            a[i] = b[i];
}

/* f (with this past) could have come before event e: make sure that e's node tries a thread that
 * leads there. other_message: f would then have read something else. */
static void reverse(uint32_t e, uint32_t f, const uint32_t *past, bool other_message) {
    const struct event *ev = &X.events[e];
    if (ev->node < 0)
        return;
    struct node *d = &X.nodes[ev->node];
    if (d->full)
        return;
    uint32_t seen = 0, initials = 0, first[SEARCH_THREADS];
    bool sc_load = false;
    for (uint32_t i = e + 1; i <= f; i++) {
        const struct event *g = &X.events[i];
        const uint32_t *known = i == f ? past : g->past;
        if (i != f && known[ev->thread] >= ev->index)
            continue; /* happens because of e */
        if (seen >> g->thread & 1) {
            sc_load |= g->op.kind == OP_LOAD && g->op.sc;
            continue;
        }
        bool initial = true;
        for (uint32_t m = seen; m && initial; m &= m - 1) {
            unsigned q = (unsigned)__builtin_ctz(m);
            if (known[q] >= first[q])
                initial = false;
        }
        seen |= 1u << g->thread;
        first[g->thread] = g->index;
        if (g->op.kind == OP_FENCE && sc_load)
            initial = false; /* the load may not come after it */
        sc_load |= g->op.kind == OP_LOAD && g->op.sc;
        if (initial)
            initials |= 1u << g->thread;
    }
    initials &= d->enabled;
    if (!initials) {
        d->backtrack |= d->enabled;
        return;
    } /* cannot name one: try all */
    uint32_t mine = 1u << X.events[f].thread;
    if (other_message && initials & mine & d->asleep && d->mark[X.events[f].thread] != ALWAYS) {
        d->backtrack |= initials & ~mine; /* f must read something new there: whoever leads to it */
        return;
    }
    if (initials & d->backtrack)
        return;
    d->backtrack |= initials & mine ? mine : initials & -initials;
}

/* Is the message that f read there only because of e? */
static bool reads_because_of(const struct event *f, uint32_t e) {
    const struct event *ev = &X.events[e];
    return f->from >= 0 && X.events[f->from].past[ev->thread] >= ev->index;
}

/* Indices of events, at most RACES_MAX. */
struct list {
    uint32_t n, at[RACES_MAX];
};

static bool list_add(struct list *l, uint32_t event) {
    if (l->n == RACES_MAX)
        return false;
    l->at[l->n++] = event;
    return true;
}

static void find_races(uint32_t f, bool executed) {
    struct event *ev = &X.events[f];
    /* What f follows without regard to the message it read: had f come earlier it could have read
     * another, where the order of the operations rather than the message decides (BOTH), and where
     * an RMW before it took the message away. */
    uint32_t order[SEARCH_THREADS], program[SEARCH_THREADS];
    memcpy(order, ev->past, S.threads_n * sizeof order[0]);
    memcpy(program, ev->past, S.threads_n * sizeof program[0]);
    bool memory = is_memory(&ev->op), takes = ev->op.kind == OP_RMW || ev->op.kind == OP_CAS;
    struct list both = {.n = 0}, taken = {.n = 0}, loads = {.n = 0};
    bool all = true;
    for (uint32_t j = f; j-- > 0;) {
        const struct event *e = &X.events[j];
        if (e->thread == ev->thread || e->index <= program[e->thread] ||
            (memory && is_memory(&e->op) && !overlap(&e->op, &ev->op)))
            continue;
        if (takes && e->op.reads && e->op.writes && e->op.at == ev->op.at)
            all &= list_add(&taken, j);
        if (e->index <= order[e->thread])
            continue;
        enum conflict c = conflict(&e->op, &ev->op);
        if (c == BOTH) {
            all &= list_add(&both, j);
            join(order, e->past);
        } else if (c == REVERSE && executed) {
            all &= list_add(&loads, j);
        }
    }
    join(ev->past, order);
    if (ev->from >= 0)
        join(ev->past, X.events[ev->from].past);
    for (uint32_t i = 0; i < both.n + taken.n; i++) {
        uint32_t e = i < both.n ? both.at[i] : taken.at[i - both.n];
        bool other = !executed || reads_because_of(ev, e);
        reverse(e, f, other ? order : ev->past, other);
    }
    for (uint32_t i = 0; i < loads.n; i++)
        if (X.events[loads.at[i]].index > ev->past[X.events[loads.at[i]].thread])
            reverse(loads.at[i], f, ev->past, false);
    for (uint32_t j = all ? 0 : f; j-- > 0;) /* a list was full: try everything */
        if (X.events[j].node >= 0)
            X.nodes[X.events[j].node].backtrack |= X.nodes[X.events[j].node].enabled;
}

/* Has t read this message at this place since it last saw something new? */
static void notice_spin(struct thread *t, const struct op *op, int32_t from) {
    struct spin *s = &X.spin[t->id];
    if (op->writes || !op->reads || op->kind == OP_WAIT) {
        s->n = s->count = 0;
        s->held = false;
        return;
    }
    for (unsigned i = 0; i < s->n; i++)
        if (s->pc[i] == op->pc && s->at[i] == op->at && s->from[i] == from) {
            if (++s->count >= X.spin_max) {
                s->held = true;
                S.bounds |= SIM_BOUND_SPIN;
            }
            return;
        }
    unsigned k = s->n < SEEN ? s->n++ : SEEN - 1;
    s->pc[k] = op->pc;
    s->at[k] = op->at;
    s->from[k] = from;
}

static void release_spinners(const struct thread *t, const struct op *op) {
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct spin *s = &X.spin[i];
        if (i == t->id || !s->held)
            continue;
        for (unsigned k = 0; k < s->n; k++)
            if (s->at[k] < op->at + op->size && op->at < s->at[k] + 8) {
                s->n = s->count = 0;
                s->held = S.threads[i].eager = false;
                X.forced = 0;
                break;
            }
    }
}

void explore_event(struct thread *t, struct op op, int32_t from, uint32_t extra) {
    uint32_t f = X.events_n++;
    if (f >= EVENTS_MAX)
        stop_bound(SIM_BOUND_STEPS);
    struct event *ev = &X.events[f];
    if (f >= X.fresh_from) {
        ev->op = op;
        ev->thread = t->id;
        ev->from = from;
        ev->extra = extra;
        ev->node = X.node_now;
        memcpy(ev->past, X.clock[t->id], S.threads_n * sizeof ev->past[0]);
        ev->index = ++ev->past[t->id];
        if (!X.brute)
            find_races(f, true);
    }
    memcpy(X.clock[t->id], ev->past, S.threads_n * sizeof ev->past[0]);
    for (uint32_t m = X.sleep; m; m &= m - 1) {
        unsigned i = (unsigned)__builtin_ctz(m);
        if (wakes(&op, &S.threads[i].pending))
            X.sleep &= ~(1u << i);
    }
    notice_spin(t, &op, from);
    if (t->eager)
        X.spin[t->id].newest = true;
    if (op.writes)
        release_spinners(t, &op);
}

static inline uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
    x = (x ^ (x >> 32)) * UINT64_C(0xD6E8FEB86659FD93);
    return x ^ (x >> 32);
}

static inline uint64_t name_of(int32_t event) {
    return event < 0 ? 0 : (uint64_t)X.events[event].index << 8 | X.events[event].thread;
}

void explore_woken(struct thread *t) {
    int32_t by = (int32_t)X.events_n - 1, node = X.events[by].node;
    /* It might also have returned by itself just before: no event tells, so this is the race. */
    if (node >= 0 && X.nodes[node].enabled >> t->id & 1)
        X.nodes[node].backtrack |= 1u << t->id;
    join(X.clock[t->id], X.events[by].past);
    X.hash += mix(mix((uint64_t)X.clock[t->id][t->id] << 8 | t->id) + name_of(by) + 3);
}

void explore_spawned(struct thread *parent, struct thread *child) {
    memcpy(X.clock[child->id], X.clock[parent->id], sizeof X.clock[0]);
    for (uint32_t i = 0; i < S.threads_n; i++)
        X.clock[i][child->id] = 0;
    for (uint32_t i = 0; i < X.events_n; i++) /* these copied only what threads there were */
        X.events[i].past[child->id] = 0;
    X.spin[child->id] = (struct spin){.n = 0};
}

void explore_joined(struct thread *t, struct thread *ended) {
    join(X.clock[t->id], X.clock[ended->id]);
}

/* Events with what they read, and each write with its predecessor in modification order. */
static uint64_t graph_hash(void) {
    uint64_t h = X.hash;
    for (uint32_t i = 0; i < X.events_n; i++) {
        const struct event *e = &X.events[i];
        h += mix(mix(name_of((int32_t)i)) + mix(name_of(e->from) << 8 | e->op.kind) + e->extra);
    }
    for (uint32_t m = 1; m < S.msgs_n; m++) {
        const struct msg *p = &S.msgs[m];
        if (p->event >= 0)
            h += mix(mix(name_of(p->event) + 1) + mix(name_of(S.msgs[p->prev].event) + 2));
    }
    return h ? h : 1;
}

/* ---- The set of graphs
 * ---------------------------------------------------------------------------- */

static bool table_put(uint64_t h) {
    for (size_t i = h & (X.table_size - 1);; i = (i + 1) & (X.table_size - 1)) {
        if (X.table[i] == h)
            return false;
        if (X.table[i] == 0) {
            X.table[i] = h;
            X.table_n++;
            return true;
        }
    }
}

static bool graph_add(uint64_t h) {
    if (X.table_n * 3 > X.table_size * 2) {
        size_t old_size = X.table_size;
        uint64_t *old = X.table;
        if (old_size * 3 * sizeof *old > X.table_max) {
            X.table_full = true;
            return false;
        }
        uint64_t *new = calloc(old_size * 2, sizeof *new);
        if (!new) {
            X.table_full = true;
            return false;
        }
        X.table = new;
        X.table_size = old_size * 2;
        X.table_n = 0;
        for (size_t i = 0; i < old_size; i++)
            if (old[i])
                table_put(old[i]);
        free(old);
    }
    return table_put(h);
}

/* ---- The loop
 * ----------------------------------------------------------------------------------------- */

/* To the next unexplored path; false when there is none. */
static bool advance(void) {
    while (X.nodes_n) {
        struct node *d = &X.nodes[X.nodes_n - 1];
        X.fresh_from = d->events_n;
        if (!d->is_thread) {
            if (++d->c < d->n)
                return true;
            X.nodes_n--;
            continue;
        }
        d->sleep |= 1u << d->c;
        d->covered |= 1u << d->c;
        d->mark[d->c] = d->mark_now;
        uint32_t left = d->backtrack & ~d->covered;
        if (left) {
            d->c = (uint16_t)__builtin_ctz(left);
            return true;
        }
        X.nodes_n--;
    }
    return false;
}

static void *must(void *p) {
    if (p)
        return p;
    fprintf(stderr, "sim: out of memory\n");
    exit(2);
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The share of the tree that lies before the current path, if subtrees were equal. */
static double share_done(void) {
    double done = 0, width = 1;
    for (uint32_t i = 0; i < X.nodes_n; i++) {
        const struct node *d = &X.nodes[i];
        unsigned n = d->is_thread ? (unsigned)__builtin_popcount(d->backtrack | d->covered) : d->n;
        unsigned k = d->is_thread ? (unsigned)__builtin_popcount(d->covered) : d->c;
        if (n == 0)
            continue;
        done += width * k / n;
        width /= n;
    }
    return done;
}

static void begin_run(void) {
    X.depth = X.events_n = X.tdepth = X.forced = 0;
    X.sleep = X.filter = 0;
    X.node_now = -1;
    X.hash = 0;
    X.pruned = X.not_mine = false;
    memset(X.clock[0], 0, sizeof X.clock[0]);
    X.spin[0] = (struct spin){.n = 0};
}

static void task_finished(void) {
    X.mine = false;
    X.shared->claim[X.task_now] = 2;
    __atomic_fetch_add(&X.shared->tasks_done, 1, __ATOMIC_RELAXED);
}

struct job { /* one call of sim_explore */
    const struct sim_explore_options *o;
    void (*program)(void *);
    void *arg;
    struct sim_explored *out;
    double started;
    uint32_t tasks; /* 0: not split */
};

static void progress_line(const struct job *j) {
    double s = now_s() - j->started,
           share = j->tasks ? (double)X.shared->tasks_done / j->tasks : share_done();
    fprintf(stderr, "\rexplore: %llu executions, %zu graphs, %llu pruned, %.0f s",
            (unsigned long long)j->out->executions, X.table_n, (unsigned long long)j->out->pruned,
            s);
    if (share > 0.001)
        fprintf(stderr, ", about %.1f %% done, %.0f s left   ", 100 * share, s / share - s);
    else
        fprintf(stderr, ", less than 0.1 %% done   ");
    fflush(stderr);
}

/* Enter what the run that just ended means. False: the search is over. */
static bool account(const struct job *j) {
    struct sim_explored *out = j->out;
    if (X.error) {
        snprintf(out->error, sizeof out->error, "%s", X.error);
        return false;
    }
    if (X.not_mine)
        return true;
    bool own =
        X.mine || !X.pruned; /* runs above the split that are pruned happen in every process */
    if (!X.mine && !X.pruned && !S.cut && !S.finding)
        own = claim_task();
    if (!own)
        return true;
    out->executions++;
    out->steps += S.steps;
    out->mixed += S.mixed;
    out->bounds |= S.bounds;
    if (X.pruned) {
        out->pruned++;
    } else if (S.finding) {
        out->finding = S.finding;
        memcpy(out->detail, S.detail, sizeof out->detail);
        out->choices_n = S.choices_n < 4096 ? S.choices_n : 4096;
        memcpy(out->choices, S.choices, out->choices_n * sizeof out->choices[0]);
        return false;
    } else if (S.cut) {
        X.shared->cut = 1;
    } else {
        out->complete_runs++;
        graph_add(graph_hash());
        if (X.table_full) {
            out->bounds |= SIM_BOUND_MEMORY;
            return false;
        }
        if (j->o->each)
            j->o->each(j->o->context);
        if (!X.mine)
            task_finished();
    }
    return true;
}

static bool time_to_stop(const struct job *j, double *next_look) {
    if ((j->o->stop && *j->o->stop) || X.shared->stop)
        return true;
    if (j->o->executions_max && j->out->executions >= j->o->executions_max)
        return true;
    if (j->out->executions & 63)
        return false;
    double t = now_s();
    if (t < *next_look)
        return false;
    *next_look = t + 1;
    if (j->o->progress)
        progress_line(j);
    return j->o->seconds_max > 0 && t - j->started > j->o->seconds_max;
}

/* From where X stands until nothing is left that this process can claim: true. */
static bool search_on(const struct job *j) {
    double next_look = now_s() + 1;
    X.fresh_from = 0;
    for (;;) {
        begin_run();
        run_once(j->program, j->arg);
        if (X.depth < X.nodes_n && !X.error)
            X.error = fickle;
        if (!X.counting && !account(j)) {
            X.shared->stop = 1;
            return false;
        }
        if (X.counting && X.error)
            return false;
        if (X.counting && !X.pruned && !X.not_mine)
            claim_task();
        bool more = advance();
        if (X.split && X.mine && (!more || X.nodes_n <= X.task_base))
            task_finished();
        if (!more)
            return true;
        if (X.counting ? X.task > TASKS_MAX : time_to_stop(j, &next_look)) {
            X.shared->stop = 1;
            return false;
        }
    }
}

/* Explore what this process can claim, first what an earlier search was in the middle of. Such a
 * place lies behind all tasks that were claimed before it, so who was at one need not begin anew.
 * True: nothing is left. */
static bool search(const struct job *j) {
    bool resumed = false;
    while (!X.counting && !X.shared->stop) {
        unsigned at = __atomic_fetch_add(&X.shared->places_taken, 1, __ATOMIC_RELAXED);
        if (at >= X.places_n)
            break;
        const struct place *p = &X.places[at];
        memcpy(X.nodes, p->nodes, p->nodes_n * sizeof *p->nodes);
        X.nodes_n = p->nodes_n;
        X.task = p->task;
        X.task_now = p->task_now;
        X.task_base = p->task_base;
        X.mine = resumed = true;
        if (!search_on(j))
            return false;
    }
    if (resumed)
        return true;
    X.nodes_n = X.task = 0;
    X.mine = !X.split && !X.counting;
    return search_on(j);
}

/* How many tasks are there at this depth? */
static uint32_t count_tasks(const struct job *j, unsigned split) {
    X.counting = true;
    X.split = split;
    search(j);
    X.shared->stop = 0;
    X.counting = false;
    return X.task;
}

/* ---- Checkpoints
 * ---------------------------------------------------------------------------------------- */

struct header {
    char magic[8];
    uint64_t identity, graphs, executions, complete_runs, pruned, steps, mixed;
    double seconds;
    uint64_t places;
    uint32_t split, tasks, bounds, cut;
};
static const char magic[8] = "simckp2";

static bool graphs_write(FILE *f) {
    bool ok = true;
    for (size_t i = 0; i < X.table_size && ok; i++)
        if (X.table[i])
            ok = fwrite(&X.table[i], sizeof X.table[i], 1, f) == 1;
    return ok;
}

static bool graphs_read(FILE *f, uint64_t n) {
    uint64_t g;
    bool ok = true;
    for (uint64_t i = 0; i < n && ok; i++) {
        ok = fread(&g, sizeof g, 1, f) == 1;
        if (ok)
            graph_add(g);
    }
    return ok;
}

static bool place_write(FILE *f, const struct place *p) {
    return fwrite(p, offsetof(struct place, nodes), 1, f) == 1 &&
           fwrite(p->nodes, sizeof *p->nodes, p->nodes_n, f) == p->nodes_n;
}

/* One more in X.places, and its task taken. */
static bool place_read(FILE *f) {
    struct place p;
    if (X.places_n == PROCESSES_MAX || fread(&p, offsetof(struct place, nodes), 1, f) != 1 ||
        p.nodes_n > NODES_MAX || p.task_now >= TASKS_MAX)
        return false;
    p.nodes = must(malloc((p.nodes_n + 1) * sizeof *p.nodes));
    X.places[X.places_n++] = p;
    X.shared->claim[p.task_now] = 1;
    bool ok = fread(p.nodes, sizeof *p.nodes, p.nodes_n, f) == p.nodes_n;
    for (uint32_t i = 0; i < p.nodes_n && ok; i++) {
        const struct node *d = &p.nodes[i];
        ok = d->is_thread ? d->c < SEARCH_THREADS && d->enabled >> d->c & 1 : d->c < d->n;
    }
    return ok;
}

static void places_drop(unsigned n) {
    for (unsigned i = 0; i < n; i++)
        free(X.places[i].nodes);
    X.places_n -= n;
    memmove(X.places, X.places + n, X.places_n * sizeof X.places[0]);
}

static struct place place_now(void) {
    return (struct place){X.nodes_n, X.task, X.task_now, X.task_base, X.nodes};
}

/* The options and, through the number of tasks, the program. */
static uint64_t identity(const struct job *j) {
    const struct sim_options *r = &j->o->run;
    uint64_t h = j->tasks;
    unsigned parts[] = {r->c11_release_sequence,
                        r->cas_weak,
                        r->timeouts_max,
                        r->spurious_max,
                        r->faults_max,
                        r->messages_max,
                        r->steps_max,
                        r->threads_max,
                        X.spin_max,
                        X.split,
                        r->page_size,
                        (unsigned)r->pages_bytes,
                        (unsigned)r->heap_bytes};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        h = mix(h + parts[i]) + i;
    return h;
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
                       .graphs = X.table_n,
                       .executions = e->executions,
                       .complete_runs = e->complete_runs,
                       .pruned = e->pruned,
                       .steps = e->steps,
                       .mixed = e->mixed,
                       .seconds = e->seconds,
                       .split = X.split,
                       .tasks = j->tasks,
                       .bounds = e->bounds,
                       .cut = (uint32_t)X.shared->cut,
                       .places = X.places_n + X.mine};
    const struct place now = place_now();
    memcpy(h.magic, magic, sizeof h.magic);
    bool ok = fwrite(&h, sizeof h, 1, f) == 1 && fwrite(X.shared->claim, j->tasks, 1, f) == 1 &&
              graphs_write(f);
    for (unsigned i = 0; i < X.places_n && ok; i++)
        ok = place_write(f, &X.places[i]);
    ok = ok && (!X.mine || place_write(f, &now));
    ok &= fclose(f) == 0;
    if (!ok || rename(name, j->o->checkpoint))
        snprintf(e->error, sizeof e->error, "cannot write %.150s: %s", name, strerror(errno));
}

/* Take up where a checkpoint left off; absent is fine. False: it does not fit (error says why). */
static bool checkpoint_load(const struct job *j) {
    struct sim_explored *e = j->out;
    FILE *f = fopen(j->o->checkpoint, "rb");
    if (!f)
        return true;
    struct header h;
    bool ok = fread(&h, sizeof h, 1, f) == 1 && memcmp(h.magic, magic, sizeof magic) == 0;
    if (!ok || h.identity != identity(j) || h.tasks != j->tasks) {
        snprintf(e->error, sizeof e->error, "%s is %s: remove it to start anew", j->o->checkpoint,
                 ok ? "of another program or of other options" : "not a checkpoint");
        fclose(f);
        return false;
    }
    ok = fread(X.shared->claim, j->tasks, 1, f) == 1;
    for (uint32_t i = 0; i < j->tasks; i++) {
        X.shared->claim[i] = X.shared->claim[i] == 2 ? 2 : 0;
        X.shared->tasks_done += X.shared->claim[i] == 2;
    }
    ok = ok && graphs_read(f, h.graphs);
    for (uint64_t i = 0; i < h.places && ok; i++)
        ok = place_read(f);
    fclose(f);
    if (!ok)
        snprintf(e->error, sizeof e->error, "%s is cut short: remove it to start anew",
                 j->o->checkpoint);
    e->executions = h.executions;
    e->complete_runs = h.complete_runs;
    e->pruned = h.pruned;
    e->steps = h.steps;
    e->mixed = h.mixed;
    e->seconds = h.seconds;
    e->bounds = h.bounds;
    X.shared->cut = (int)h.cut;
    e->resumed = true;
    return ok;
}

/* ---- Processes
 * ------------------------------------------------------------------------------------------- */

/* A child searches and leaves its counts and graphs in a file. The finding is stored as text, since
 * the string may live in memory of the child only. */
struct part {
    struct sim_explored e;
    char finding[64];
    bool through, in_task;
    uint64_t graphs;
};

static _Noreturn void child_main(const struct job *j, FILE *f) {
    struct part p = {.through = search(j)};
    const struct place now = place_now();
    p.in_task = !p.through && X.mine;
    p.e = *j->out;
    if (p.e.finding)
        snprintf(p.finding, sizeof p.finding, "%s", p.e.finding);
    p.graphs = X.table_n;
    bool ok =
        fwrite(&p, sizeof p, 1, f) == 1 && graphs_write(f) && (!p.in_task || place_write(f, &now));
    ok &= fflush(f) == 0;
    _exit(ok ? 0 : 2);
}

static bool child_collect(const struct job *j, FILE *f) {
    static char name[64];
    struct sim_explored *e = j->out;
    struct part p;
    rewind(f);
    if (fread(&p, sizeof p, 1, f) != 1)
        return false;
    e->executions += p.e.executions;
    e->complete_runs += p.e.complete_runs;
    e->pruned += p.e.pruned;
    e->steps += p.e.steps;
    e->mixed += p.e.mixed;
    e->bounds |= p.e.bounds;
    if (p.e.error[0])
        memcpy(e->error, p.e.error, sizeof e->error);
    if (p.e.finding && !e->finding) {
        memcpy(name, p.finding, sizeof name);
        e->finding = name;
        memcpy(e->detail, p.e.detail, sizeof e->detail);
        memcpy(e->choices, p.e.choices, sizeof e->choices);
        e->choices_n = p.e.choices_n;
    }
    return graphs_read(f, p.graphs) && (!p.in_task || place_read(f)) && p.through;
}

/* True: all children found nothing left to do. */
static bool search_shared(const struct job *j) {
    unsigned n = j->o->processes < PROCESSES_MAX ? j->o->processes : PROCESSES_MAX;
    FILE *files[PROCESSES_MAX];
    pid_t pids[PROCESSES_MAX];
    bool through = true;
    fflush(NULL);
    for (unsigned i = 0; i < n; i++) {
        files[i] = tmpfile();
        pids[i] = files[i] ? fork() : -1;
        if (pids[i] == 0) {
            struct sim_explored mine = {.graphs = 0};
            struct sim_explore_options o = *j->o;
            struct job k = *j;
            k.out = &mine;
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
                if (WIFSIGNALED(status))
                    snprintf(j->out->error, sizeof j->out->error,
                             "a process died of signal %d in the program under test",
                             WTERMSIG(status));
                else
                    snprintf(j->out->error, sizeof j->out->error,
                             "a process could not write its results");
            } else if (!child_collect(j, files[i])) {
                through = false;
            }
        }
        if (files[i])
            fclose(files[i]);
    }
    return through;
}

/* ---- The whole
 * --------------------------------------------------------------------------------------------- */

struct sim_explore_options sim_explore_options_default(void) {
    struct sim_explore_options o = {
        .run = sim_options_default(), .processes = 1, .spin_max = 2, .memory_max = (size_t)2 << 30};
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

static void setup(const struct sim_explore_options *o) {
    run_configure(&o->run);
    if (S.o.threads_max > SEARCH_THREADS)
        S.o.threads_max = SEARCH_THREADS;
    S.o.source = SIM_REPLAY;
    S.exploring = true;
    if (!X.nodes) {
        X.nodes = must(calloc(NODES_MAX, sizeof *X.nodes));
        X.events = must(calloc(EVENTS_MAX, sizeof *X.events));
    }
    if (!X.shared) {
        void *p =
            mmap(NULL, sizeof *X.shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        X.shared = must(p == MAP_FAILED ? NULL : p);
    }
    memset(X.shared, 0, sizeof *X.shared);
    places_drop(X.places_n);
    free(X.table);
    X.table_size = 1024;
    X.table_n = 0;
    X.table_max = o->memory_max;
    X.table = must(calloc(X.table_size, sizeof *X.table));
    X.table_full = false;
    X.brute =
        o->brute_force || o->run.preemptions_max != UINT_MAX; /* a bound and reduction do not mix */
    X.spin_max = o->spin_max ? o->spin_max : 2;
    X.error = NULL;
    X.split = 0;
}

/* The least depth that gives every process plenty of tasks; 0: not worth splitting. */
static void choose_split(struct job *j) {
    unsigned want = 32 * (j->o->processes ? j->o->processes : 1);
    if (j->o->split_depth) {
        j->tasks = count_tasks(j, j->o->split_depth);
    } else {
        for (unsigned d = 2; d <= 24 && j->tasks < want && !X.error; d += 2) {
            uint32_t n = count_tasks(j, d);
            if (n > TASKS_MAX / 4 || n == j->tasks)
                break;
            j->tasks = n;
            X.split = d;
        }
    }
    if (j->tasks > TASKS_MAX)
        j->tasks = TASKS_MAX;
}

void sim_explore(const struct sim_explore_options *o, void (*program)(void *), void *arg,
                 struct sim_explored *out) {
    double started = now_s();
    *out = (struct sim_explored){.graphs = 0};
    if (S.active) {
        fprintf(stderr, "sim: sim_explore inside a run\n");
        abort();
    }
    setup(o);
    struct job j = {.o = o, .program = program, .arg = arg, .out = out, .started = started};
    if (o->processes > 1 || o->checkpoint || o->split_depth) {
        choose_split(&j);
        X.split = o->split_depth ? o->split_depth : X.split;
    }
    bool through = false;
    if (X.error)
        snprintf(out->error, sizeof out->error, "%s", X.error);
    else if (!o->checkpoint || checkpoint_load(&j)) {
        unsigned places = X.places_n; /* who stopped in the middle puts one behind them */
        through = o->processes > 1 && X.split ? search_shared(&j) : search(&j);
        unsigned taken = X.shared->places_taken;
        places_drop(taken < places ? taken : places);
    }
    out->graphs = X.table_n;
    out->seconds += now_s() - started;
    out->peak_bytes = peak_bytes();
    out->complete = through && !out->finding && !X.shared->cut && !X.table_full && !out->error[0] &&
                    !(out->bounds & (SIM_BOUND_STEPS | SIM_BOUND_MEMORY));
    if (o->checkpoint && !out->error[0]) {
        if (through || out->finding)
            unlink(o->checkpoint);
        else
            checkpoint_save(&j);
    }
    if (o->progress)
        fputc('\n', stderr);
    S.exploring = false;
}
