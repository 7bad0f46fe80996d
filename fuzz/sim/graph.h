/* graph.h: execution graphs of RC11: events, who reads which write, the order of the writes of each
 * location, and the axioms. Knows nothing of threads that run: explore.c makes the events.
 *
 * Events are numbered in the order in which they were added, from 1; 0 stands for the initial write
 * of every location. A read-modify-write is two events, a read and a write with `ex` set. Locks,
 * queues of sleepers and the like are locations as well (explore.c says how). */
#ifndef SIM_GRAPH_H
#define SIM_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint32_t event_id;
typedef uint32_t epoch; /* a thread's own time; a clock has one a thread */

enum event_kind {
    EVENT_READ = 1,
    EVENT_WRITE,
    EVENT_FENCE,
    EVENT_CHOICE,
    EVENT_GHOST /* a read that a waiting thread has given up: it orders nothing, but the read that
                   takes its place may only read what revisits could have brought to it */
};

/* What a read does with the value. */
enum read_kind {
    READ_PLAIN,    /* a load, or the look of a failing exchange */
    READ_RMW,      /* always writes */
    READ_CAS,      /* writes when the value is the expected one */
    READ_SPURIOUS, /* a compare-exchange that fails although the value is the expected one */
    READ_LOCK,     /* as READ_CAS; where it fails its thread waits for good */
    READ_ENQUEUE,  /* as READ_RMW: joins a queue of sleepers; the read before it compared */
    READ_RETURN,   /* the return of a sleeper: it writes when it leaves the queue by itself */
    READ_WOKEN     /* ... and when a wake took it out: nothing to choose */
};

struct event {
    uint64_t value;    /* read, written or chosen */
    uint64_t expected; /* READ_CAS, READ_SPURIOUS, READ_LOCK */
    uint32_t index;    /* in its thread, from 0 */
    uint32_t location;
    event_id rf;                  /* reads: from which write */
    event_id co_before, co_after; /* writes: neighbours in modification order, 0: none */
    uint32_t co_place;            /* grows along modification order, from 1 */
    event_id same_before;         /* the event of this location added before, 0: none */
    event_id po_before, po_after;
    epoch when;
    epoch fenced;  /* the first fence that is not seq_cst between this event and the one before; 0:
                      none */
    uint32_t step; /* of the run that executed it last */
    uint16_t choices; /* EVENT_CHOICE: out of how many */
    uint8_t kind, read, thread;
    uint8_t order; /* __ATOMIC_*, of a compare-exchange as it came out */
    uint8_t order_success, order_failure;
    bool ex;     /* half of a read-modify-write that exchanges */
    bool queued; /* in a queue of sleepers: it orders nothing beside it */
    bool redo;   /* a read whose write was changed: to be executed anew */
};

struct location {
    event_id oldest, newest; /* in modification order, 0: none */
    event_id last;           /* event added last */
};

struct graph {
    uint32_t n, room; /* events are 1 .. n - 1 */
    uint32_t width;   /* threads that a clock has */
    uint32_t threads_n, locations_n, locations_room;
    uint32_t fences_sc, accesses_sc; /* how many of these */
    struct event *events;
    epoch *clocks; /* enum clock, `width` each, by event */
    struct location *locations;
    event_id *first, *last; /* by thread */
    uint32_t *parent, *nth; /* by thread: who started it, as its how-manieth */
};

/* Of an event: what happens before it, and its causes (program order and reads-from; numbers of
 * events by thread), each before it has read and after. MESSAGE: what an acquire of it learns. */
enum clock { BEFORE, CAUSES_BEFORE, AFTER, CAUSES, MESSAGE, CLOCKS };

static inline epoch *clock_of(const struct graph *g, event_id e, enum clock c) {
    return g->clocks + ((size_t)e * CLOCKS + c) * g->width;
}

/* Memory runs out: abort_on_memory() of the caller is not asked; the process ends with a message.
 */
void graph_init(struct graph *g, uint32_t width);
void graph_free(struct graph *g);
void graph_copy(struct graph *to, const struct graph *from);

/* A new event at the end of its thread; the caller fills in what concerns its kind (order, value,
 * clocks) before it links it with one of the next two. */
event_id graph_add(struct graph *g, unsigned thread, enum event_kind kind, uint32_t location);
void graph_place(struct graph *g, event_id w, event_id after); /* into modification order */
void graph_unplace(struct graph *g, event_id w);
/* Back to the events below n. */
void graph_truncate(struct graph *g, uint32_t n);

uint32_t graph_new_location(struct graph *g);
void graph_reserve(struct graph *g, uint32_t events, uint32_t locations);
/* Do all numbers in it stay inside? For graphs that were read from a file. */
bool graph_is_sound(const struct graph *g);

static inline bool is_access(const struct event *e) {
    return e->kind == EVENT_READ || e->kind == EVENT_WRITE || e->kind == EVENT_GHOST;
}
static inline bool is_read(const struct event *e) { /* rf says something */
    return e->kind == EVENT_READ || e->kind == EVENT_GHOST;
}
static inline bool is_sc_event(const struct event *e) {
    return e->order == __ATOMIC_SEQ_CST && e->kind != EVENT_CHOICE;
}
static inline uint32_t place_of(const struct graph *g, event_id w) {
    return w ? g->events[w].co_place : 0;
}
/* Is e among the causes that this clock counts? */
static inline bool is_cause(const struct graph *g, const epoch *causes, event_id e) {
    return e == 0 || causes[g->events[e].thread] > g->events[e].index;
}

/* The newest write of the location that a thread with this happens-before clock knows of: it may
 * read that or a newer one, and write behind it. */
event_id graph_known(const struct graph *g, uint32_t location, const epoch *before);
/* The read that makes an exchange of w, 0: none. */
event_id graph_exchange_of(const struct graph *g, uint32_t location, event_id w);
/* May the one who compared at the read `compared` join its queue behind `last`? */
bool graph_may_enqueue(const struct graph *g, event_id compared, event_id last);
/* Makes a ghost of the read. */
void graph_give_up_read(struct graph *g, event_id r);
/* May a read behind the event `before` take the write w, for all ghosts there? */
bool graph_ghosts_allow(const struct graph *g, event_id before, event_id w);
/* Is the axiom of sequential consistency kept? Asked after an event was added that is not simply
 * the newest: reading or writing the newest keeps it. */
bool graph_is_consistent(const struct graph *g);
/* Does it depend on where e stands? False: graph_is_consistent() need not be asked. */
bool graph_order_matters(const struct graph *g, event_id e);

/* Would e stand as it does if it had been added last to those added before it and the causes of w
 * (TruSt's "maximally added")? */
bool graph_is_maximal(const struct graph *g, event_id e, event_id w);

/* The events up to r, the causes of w (a clock of CAUSES) and w, which r reads from now on. w
 * stands behind `after` in modification order. Of r the clocks are those from before. */
void graph_revisit(struct graph *to, const struct graph *from, event_id r, event_id w,
                   event_id after);

/* What a read of value v is: does it exchange, with which order. */
void graph_settle(struct event *r, uint64_t v);

#endif
