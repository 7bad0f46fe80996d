/* search.h: what the files of the exhaustive search share. explore.c describes how the search
 * works. */
#ifndef SIM_SEARCH_H
#define SIM_SEARCH_H

#include "graph.h"
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define PROCESSES_MAX 64
#define CLAIMS_MAX (1u << 16)
#define HISTORY 64
#define VISITS 512
#define UNDONE 16
#define EVENTS_MAX (1u << 20)
#define ORDERED_MAX 64u

/* What a thread is about to do. */
struct want {
    uint8_t kind; /* enum event_kind; 0: no event, the thread only waits until `ready` */
    uint8_t read;
    uint8_t order, failure;
    bool exchange; /* the write half of a read-modify-write */
    uint16_t choices;
    uint32_t atom; /* if size is not 0, looked up when the event runs */
    uintptr_t at;
    uint8_t size; /* of a memory access; 0: not memory */
    enum sim_rmw rmw;
    uint64_t expected, operand; /* the value written, or the operand of a read-modify-write */
    uintptr_t pc;
    bool (*ready)(const struct thread *); /* NULL: always */
};

enum halt { GOING, SPINS, LOCKED, ASSUMED, CUT, REFUSED };

/* The search's state of a thread, in one run. */
struct side {
    const struct want
        *want;     /* what the thread is about to do; NULL: it is running or has not run yet */
    event_id next; /* its next event in the graph; 0: it has replayed all of them */
    uint32_t done, spawned;
    uint64_t time; /* the latest time that it knows */
    enum halt halt;
    uint32_t halt_index;  /* SPINS: index of its first event that repeats */
    uint32_t round_index; /* CUT: index of the first event of its last round */
    event_id locked;      /* LOCKED: the read */
    event_id woken_by;
    /* It waits: its next read is put off until the newest value differs from `seen`. */
    bool waits,
        forced; /* forced: it reads although nothing has changed, because no thread can run */
    uint64_t seen;
    uint32_t wait_atom;
    event_id latest; /* the event that it executed last */
    epoch fenced;    /* its first fence since then that is not an event; 0: none */
    event_id redone,
        put_off_never; /* redone: the read that a revisit changed; put_off_never: a forced read */
    struct thread_clock { /* as it was before its latest read */
        epoch aH[SEARCH_THREADS];
        const struct snap *rel;
    } before;
    uintptr_t section; /* the lock that it holds, if the section has only plain accesses; 0: none */
    struct alike {     /* see search_symmetric.c */
        uint8_t first, before, members,
            joined; /* its group of interchangeable threads; `before` is 0 for the first thread */
        bool tied;  /* so far it has done the same as the thread before it */
        event_id mine, its;       /* up to these events of the two */
        uintptr_t handle, result; /* where its handle was stored; what it returned to a join */
        bool has_result;
    } alike;
    struct { /* the thread that it started last */
        uintptr_t start, arg;
        uint32_t done;
        uint8_t thread, first;
        bool detached, wrote;
    } made;
    uint8_t joining;     /* first thread of the group that it is joining; 0: none */
    uintptr_t result_to; /* where its join stores the result */
    event_id last_write; /* its latest write, which a wake-up uses */
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

/* A run left for later: event k of the frame's graph, with another outcome. */
struct entry {
    uint64_t value; /* of the choice, or of the exchange's write */
    uint64_t old;   /* what the exchange reads */
    event_id k, r;  /* r: the read that is revisited */
    event_id ref;   /* the write to read, or to be placed after */
    uint32_t frame;
    uint8_t kind, thread; /* thread: that of k */
};

/* The state of a search: its pending entries, and the graphs of their frames. */
struct place {
    struct graph *frames;
    struct entry *entries;
    uint32_t frames_n, entries_n, first; /* entries below `first` are done */
};

struct shared { /* shared between the processes of one search */
    unsigned char claim[CLAIMS_MAX];
    int stop;
    uint32_t learnt_n; /* stack cells that a process found to be shared by threads */
    uintptr_t learnt[256];
    uint32_t ordered_n; /* objects whose calls must stay ordered */
    uintptr_t ordered[ORDERED_MAX];
    unsigned no_reduction; /* reductions that do not hold for this program */
};

enum outcome { ENDED, STUCK, DEAD_END, CUT_SHORT };

struct search {
    struct graph *frames; /* the current one is the last */
    uint32_t frames_n, frames_room, width;
    struct entry *stack;
    uint32_t stack_n, stack_room, floor;
    struct entry forced; /* the outcome that the run must give to its first new event */
    struct graph scratch;
    struct side *sides; /* by thread */
    uint32_t replay_n, replayed;
    event_id *log; /* events in the order of execution */
    uint32_t log_n, log_room;
    uint32_t *atom_of; /* by location */
    uint32_t atoms_room;
    enum outcome outcome;
    bool forward; /* replaying recorded choices: there is no graph, and nothing is left for later */
    bool too_wide, begin_anew; /* the search has learnt something and must start again */
    bool clock_used;
    struct {
        uintptr_t *cells; /* ascending */
        uint32_t n;
    } shared_stack[SEARCH_THREADS]; /* cells of a thread's stack that are atomics or are written by
                                       other threads */
    uintptr_t *mixed;               /* cells with overlapping atomics */
    uint32_t mixed_n;
    const char *error;
    unsigned reduce; /* enum sim_reduction bits of the reductions that hold */
    uint32_t ordered_n;
    uintptr_t ordered[ORDERED_MAX]; /* objects to which the reductions do not apply */
    struct shared *shared;
    struct place *places;
    uint32_t places_n, place_now;
    const struct sim_explore_options *o;
    struct sim_explored *out;
};
extern struct search X __attribute__((visibility("hidden")));

struct job { /* one call of sim_explore */
    const struct sim_explore_options *o;
    void (*program)(void *);
    void *arg;
    struct sim_explored *out;
    double started, next_look;
};

enum search_end { DONE_ALL, SPLIT, STOPPED };

#define G (&X.frames[X.frames_n - 1]) /* the current graph */

static inline uint64_t value_of(event_id w, uint32_t location) {
    return w ? G->events[w].value : S.atoms[X.atom_of[location]].initial;
}
static inline uint64_t read_plain(uintptr_t cell) {
    uint64_t v;
    memcpy(&v, (const void *)cell, sizeof v);
    return v;
}
/* ---- Clocks ---------------------------------------------------------------------------------- */

static inline void join_clock(epoch *to, const epoch *from) {
    for (uint32_t i = 0; i < X.width; i++) {
        if (from[i] > to[i]) {
            to[i] = from[i];
        }
    }
}
static inline bool is_acquire(unsigned o) {
    return o == __ATOMIC_ACQUIRE || o == __ATOMIC_CONSUME || o >= __ATOMIC_ACQ_REL;
}
static inline bool is_release(unsigned o) {
    return o >= __ATOMIC_RELEASE;
}
/* ---- Helpers --------------------------------------------------------------------------------- */

static inline uint64_t mix(uint64_t h, uint64_t x) {
    h = (h ^ x) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}
static inline struct side *side_of(const struct thread *t) {
    return &X.sides[t->id];
}

static inline bool is_executed(event_id e) {
    return e == 0 || X.sides[G->events[e].thread].done > G->events[e].index;
}
static inline bool is_out(const struct thread *t) {
    return t->state == T_DONE || side_of(t)->halt;
}

/* search_schedule.c */
uint32_t search_object_atom(uintptr_t at, unsigned tag);
void search_bind(uint32_t atom, uint32_t location);
uint32_t search_location_of(uint32_t atom);
bool search_may_time_out(const struct thread *t, bool forced);
bool search_may_return(const struct thread *t);
bool search_wait_is_over(const struct thread *t);
struct thread *search_pick_next(struct thread *t);
void search_see_written(struct side *s);
void search_arrive(struct thread *t, const struct want *w);
_Noreturn void search_halt(struct thread *t, enum halt how);

/* search_events.c */
void search_clock_start(const struct thread *t, struct graph *g, event_id id);
void search_clock_read(struct graph *g, event_id id);
void search_clock_write(struct graph *g, event_id id, const struct snap *fence);
void search_executed(struct thread *t, event_id id);
void search_run_read(struct thread *t, event_id id);
void search_run_write(struct thread *t, event_id id);
void search_push(struct entry e);
void search_drop_left(event_id id);
void search_take_back(event_id id);
bool search_take_forced(enum entry_kind kind, event_id id);
event_id search_add_exchange(const struct thread *t, struct graph *g, event_id read,
                             uint64_t value);
event_id search_add_read(struct thread *t, const struct want *w);
event_id search_add_write(struct thread *t, const struct want *w, uint64_t value);

/* search_loops.c */
bool search_learn_cell(uintptr_t cell);
bool search_read_newest_then(event_id id);
bool search_waits(const struct thread *t, uint32_t from, bool then, event_id *only);
void search_wait_for(struct thread *t, uint32_t atom, uint64_t seen);
bool search_wait_on(struct thread *t, event_id read, uint32_t atom);
void search_take_back_exchange(struct thread *t, uint32_t from);
void search_look_for_loop(struct thread *t, uintptr_t at, uintptr_t pc);

/* search_reduce.c */
void search_reduce(unsigned bits);
void search_reduce_less(void);
void search_reduce_look(const struct thread *t, const struct want *w);
bool search_section_begins(struct thread *t, uintptr_t object);
bool search_section_left(struct thread *t, uintptr_t object);
void search_section_asked(uintptr_t object);
void search_section_ends(const struct thread *t);
_Noreturn void search_reduce_not(unsigned bit, uintptr_t object);
size_t search_reductions_put(uint16_t *out, size_t room);
size_t search_reductions_get(const uint16_t *from, size_t n);

/* search_symmetric.c */
void search_alike_look(const struct thread *t, const struct want *w);
void search_alike_access(struct thread *t, uintptr_t at, size_t n, bool write);
void search_alike_join(struct thread *t, const struct thread *child);
void search_alike_ends(const struct thread *t);
bool search_alike_waits(const struct thread *t);
void search_alike_learn(struct thread *t);
void search_alike_forget(event_id id);
bool search_alike_allows(event_id e, event_id after);

/* search_share.c */
void search_place_free(struct place *p);
void search_places_drop(void);
void search_place_keep(void);
void search_place_take(const struct place *p, uint32_t i);
void search_forget_stacks(void);
void search_checkpoint_save(const struct job *j);
bool search_checkpoint_load(const struct job *j);
uint32_t search_entries_in_all(void);
bool search_shared(struct job *j);

/* explore.c */
void *search_more(void *p, size_t n, size_t size);
_Noreturn void search_end_run(enum outcome outcome);
_Noreturn void search_fickle(void);
void search_note_cut(unsigned bound, uintptr_t pc);
_Noreturn void search_finish(void);
struct graph *search_frame_push(void);
enum search_end search_runs(struct job *j, bool first_run, uint32_t split);

#endif
