/* graph.h: RC11 execution graphs: events, which write each read reads, the modification order of
 * each location, and the axioms. Graphs know nothing about running threads: explore.c makes the
 * events.
 *
 * Events are numbered from 1 in the order in which they were added; 0 is the initial write of every
 * location. A read-modify-write is two events, a read and a write with `ex` set. Locks, queues of
 * sleepers and similar objects are locations too (see explore.c). */
#ifndef SIM_GRAPH_H
#define SIM_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t event_id;
typedef uint32_t epoch; /* a thread's own time; a clock has one per thread */

enum event_kind {
    EVENT_READ = 1,
    EVENT_WRITE,
    EVENT_FENCE,
    EVENT_CHOICE,
    EVENT_GHOST /* a read that a waiting thread gave up: it orders nothing, but restricts the read
                   that replaces it to writes that revisits could have brought */
};

/* What a read does with the value. */
enum read_kind {
    READ_PLAIN,    /* a load, or the read of a failing exchange */
    READ_RMW,      /* always writes */
    READ_CAS,      /* writes if it read the expected value */
    READ_SPURIOUS, /* a weak compare-exchange that fails although it read the expected value */
    READ_LOCK,     /* as READ_CAS, but if it fails its thread stays blocked */
    READ_ENQUEUE,  /* as READ_RMW: joins a queue of sleepers, after a separate read that compared */
    READ_RETURN,   /* a sleeper returns; writes if the sleeper leaves the queue by itself */
    READ_WOKEN     /* a sleeper returns after a wake removed it: it always reads that wake */
};

struct event {
    uint64_t value;    /* read, written or chosen */
    uint64_t expected; /* READ_CAS, READ_SPURIOUS, READ_LOCK */
    uint32_t index;    /* position in its thread, from 0 */
    uint32_t location;
    event_id rf;                  /* of a read: the write it reads */
    event_id co_before, co_after; /* of a write: its neighbours in modification order, 0: none */
    uint32_t co_place;            /* position in modification order, from 1 */
    event_id same_before;         /* previously added event of the same location, 0: none */
    event_id po_before, po_after;
    epoch when;
    epoch fenced;     /* first fence weaker than seq_cst since the previous event, 0: none */
    uint32_t step;    /* in the latest run that executed it */
    uint16_t choices; /* EVENT_CHOICE: number of alternatives */
    uint8_t kind, read, thread;
    uint8_t order; /* __ATOMIC_*; of a compare-exchange, by its outcome */
    uint8_t order_success, order_failure;
    bool ex;     /* half of a read-modify-write that wrote */
    bool queued; /* in a queue of sleepers: it orders nothing outside the queue */
    bool redo;   /* a read whose write has changed: it must be executed again */
};

struct location {
    event_id oldest, newest; /* in modification order, 0: none */
    event_id last;           /* latest event added */
};

struct graph {
    uint32_t n, room; /* events are 1 .. n - 1 */
    uint32_t width;   /* threads per clock */
    uint32_t threads_n, locations_n, locations_room;
    uint32_t fences_sc, accesses_sc; /* number of seq_cst events */
    struct event *events;
    epoch *clocks; /* by event: one clock of `width` threads for each of enum clock */
    struct location *locations;
    event_id *first, *last; /* by thread */
    uint32_t *parent, *nth; /* by thread: its creator, and which of the creator's children it is */
};

/* The clocks of an event. BEFORE and AFTER: what happens before it, without and with what it learns
 * by its own read. CAUSES_BEFORE and CAUSES: the events that it depends on by program order and
 * reads-from, as a count per thread, likewise. MESSAGE: what an acquire read of it learns. */
enum clock { BEFORE, CAUSES_BEFORE, AFTER, CAUSES, MESSAGE, CLOCKS };

static inline epoch *clock_of(const struct graph *g, event_id e, enum clock c) {
    return g->clocks + ((size_t)e * CLOCKS + c) * g->width;
}

/* If memory runs out, the process ends with a message and status 2. */
void graph_init(struct graph *g, uint32_t width);
void graph_free(struct graph *g);
void graph_copy(struct graph *to, const struct graph *from);

/* Adds an event at the end of its thread. The caller fills in the fields of its kind (order, value,
 * clocks). A write is then put into modification order with graph_place(). */
event_id graph_add(struct graph *g, unsigned thread, enum event_kind kind, uint32_t location);
void graph_place(struct graph *g, event_id w, event_id after); /* puts w right after `after` */
void graph_unplace(struct graph *g, event_id w);
/* Removes the events from n on. */
void graph_truncate(struct graph *g, uint32_t n);

uint32_t graph_new_location(struct graph *g);
void graph_reserve(struct graph *g, uint32_t events, uint32_t locations);
/* True if every index in g is in range: for graphs read from a file. */
bool graph_is_sound(const struct graph *g);

static inline bool is_access(const struct event *e) {
    return e->kind == EVENT_READ || e->kind == EVENT_WRITE || e->kind == EVENT_GHOST;
}
static inline bool is_read(const struct event *e) { /* rf is valid */
    return e->kind == EVENT_READ || e->kind == EVENT_GHOST;
}
static inline bool is_sc_event(const struct event *e) {
    return e->order == __ATOMIC_SEQ_CST && e->kind != EVENT_CHOICE;
}
static inline uint32_t place_of(const struct graph *g, event_id w) {
    return w ? g->events[w].co_place : 0;
}
/* Is e among the events that this clock of causes counts? */
static inline bool is_cause(const struct graph *g, const epoch *causes, event_id e) {
    return e == 0 || causes[g->events[e].thread] > g->events[e].index;
}

/* The newest write of the location known to a thread with this happens-before clock. The thread may
 * read that write or a newer one, and must write after it. */
event_id graph_known(const struct graph *g, uint32_t location, const epoch *before);
/* The exchange that reads w, 0: none. */
event_id graph_exchange_of(const struct graph *g, uint32_t location, event_id w);
/* May a thread that compared at the read `compared` join the queue after `last`? */
bool graph_may_enqueue(const struct graph *g, event_id compared, event_id last);
/* Turns the read into a ghost. */
void graph_give_up_read(struct graph *g, event_id r);
/* May the next read after event `before` read w, given the ghosts at the end of its thread? */
bool graph_ghosts_allow(const struct graph *g, event_id before, event_id w);
/* True if g satisfies the axiom of sequential consistency. An event that reads or becomes the
 * newest write cannot violate it, so the check is needed only after other events. */
bool graph_is_consistent(const struct graph *g);
/* False if the position of e cannot violate that axiom, so that the check can be skipped. */
bool graph_order_matters(const struct graph *g, event_id e);

/* TruSt's "maximally added": would e read the same write, or have the same place in modification
 * order, if it were added last to the events added before it and the causes of w? */
bool graph_is_maximal(const struct graph *g, event_id e, event_id w);

/* Makes `to` the graph of a revisit: the events up to r, plus w and its causes. r reads w, and w
 * follows `after` in modification order. The clocks of r are stale until it is executed again. */
void graph_revisit(struct graph *to, const struct graph *from, event_id r, event_id w,
                   event_id after);

/* Sets the value v that r has read, and with it whether r writes and its order. */
void graph_settle(struct event *r, uint64_t v);

#endif
