/* internal.h: what the engine's files share. Read in this order: internal.h, machine.c (the memory
 * model), shadow.c (races, heap, pages), run.c (threads, choices, waits), tsan.c (entry points),
 * explore.c (the search), trace.c. */
#ifndef SIM_INTERNAL_H
#define SIM_INTERNAL_H

#include "sim.h"

#define THREADS SIM_THREADS_MAX
#define SEARCH_THREADS 32     /* threads of an exhaustive search */
#define ATOMS_MAX 32768u      /* atomic locations per run */
#define MSGS_MAX (1u << 20)   /* atomic stores per run */
#define CELLS_MAX (1u << 20)  /* 8-byte cells touched per run */
#define RECS_MAX (1u << 21)   /* access records per run */
#define FRAMES_MAX (1u << 20) /* distinct call paths per run */
#define ARENA_BYTES ((size_t)256 << 20)
#define CHOICES_MAX (1u << 20)
#define LOCKS_MAX 4096u

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* A set of thread numbers. */
__extension__ typedef unsigned __int128 thread_set;
#define ONE(id) ((thread_set)1 << (id))
static inline unsigned first_of(thread_set s) {
    uint64_t low = (uint64_t)s;
    return (unsigned)(low ? __builtin_ctzll(low) : 64 + __builtin_ctzll((uint64_t)(s >> 64)));
}
static inline unsigned count_of(thread_set s) {
    unsigned n = 0;
    for (uint64_t low = (uint64_t)s; low; low &= low - 1) {
        n++;
    }
    for (uint64_t high = (uint64_t)(s >> 64); high; high &= high - 1) {
        n++;
    }
    return n;
}

typedef uint32_t epoch; /* a thread's own time; H[t] is how much of t's past is known */

/* An immutable view and clock, allocated in the run's arena. */
struct snap {
    uint32_t clock_n, view_n; /* clock_n is a multiple of four */
    uint32_t data[];          /* clock_n epochs, then view_n message numbers by atom */
};

/* One write in a location's modification order. Message 0 is a dummy, older than all others. */
struct msg {
    uint64_t value;
    const struct snap
        *sync; /* what an acquire read of it learns; NULL: nothing but the message itself */
    const struct snap *own; /* the part of `sync` that is not inherited from a release sequence */
    uintptr_t pc;
    uint32_t prev;   /* the next older message in modification order, 0: none */
    uint32_t pos;    /* grows along modification order */
    uint32_t serial; /* order of creation within its atom, from 0 */
    epoch when;      /* the writer's epoch; 0: initial */
    uint32_t step;
    uint8_t thread;
    bool is_rmw, taken; /* taken: read by an RMW, so no store may come in between */
};

/* One atomic location: the address and size of the program's accesses. */
struct atom {
    uintptr_t at;
    uint32_t last;    /* newest message in modification order */
    uint32_t created; /* messages created in all */
    uint32_t next;    /* next atom of the same cell, 0: none */
    uint32_t gw, gfw; /* latest SC write; latest write known to SC fences */
    uint8_t size;
    bool overwritten; /* by a plain write: the next atomic access starts a new order */
    uint8_t by;       /* the thread of that plain write */
    epoch when;
    uintptr_t pc;
    /* Used by the search only. */
    uint32_t location; /* location in the graph + 1; 0: not known yet */
    uint32_t owner;    /* event whose value is in memory */
    uint64_t initial;
    bool queue; /* is a queue of sleepers */
};

/* Who accessed which bytes of a cell: for race checks. */
struct rec {
    uintptr_t pc;
    uint32_t next, frame;
    epoch when;
    uint8_t mask, thread;
    bool write;
};

/* What this run knows about one aligned 8-byte piece of memory. */
struct cell {
    uintptr_t at;
    uint64_t saved;         /* content at first touch, restored at reset */
    uint32_t plain, atomic; /* heads of record lists */
    uint32_t atoms;         /* head of a list, 0: none */
    uint32_t lock;          /* head of a list of sim_lock objects here, 0: none */
    uint8_t initialised;    /* bytes written (on the heap: since malloc) */
    uint8_t fresh;          /* bytes of locals that must be written before they are read */
    bool written;
};

struct frame {
    uint32_t parent, last_child;
    uintptr_t pc;
};

enum op_kind {
    OP_START,
    OP_LOCAL,
    OP_LOAD,
    OP_STORE,
    OP_RMW,
    OP_CAS,
    OP_FENCE,
    OP_WAIT,
    OP_WAKE,
    OP_TIMEOUT,
    OP_LOCK,
    OP_UNLOCK,
    OP_OBJECT,
    OP_PAGES
};

/* What a thread is about to do. */
struct op {
    uintptr_t at, pc;
    enum op_kind kind;
    bool reads, writes;
};

enum thread_state { T_READY, T_WAIT, T_LOCK, T_JOIN, T_DONE, T_SPIN, T_PAUSED };

struct thread {
    void *sp;            /* saved stack pointer while not running */
    void *caught[2];     /* S.caught while not running */
    uint32_t *cur, *acq; /* views by atom */
    epoch H[THREADS], aH[THREADS];
    const struct snap *rel; /* view and clock of the latest release fence, NULL: none */
    struct thread *joiner;  /* the thread that joins this one */
    struct op pending;
    void (*fn)(void *);
    void *arg;
    uint64_t deadline, priority;
    uintptr_t call;      /* where the program called the layer above the engine, or 0 */
    uintptr_t wait_word; /* T_WAIT, T_LOCK: address; T_JOIN: thread number */
    uint32_t expected, frame, ops, dull;
    uint32_t stops_after;  /* ends after so many visible operations; 0: never */
    uint32_t pauses_after; /* pauses after so many visible operations; 0: never */
    uint32_t turns;        /* how often it was switched away because it saw nothing new */
    uint32_t queue;        /* order of arrival among sleepers */
    bool time_is_up;       /* search: nothing else can happen before its deadline */
    unsigned spurious, faults, timeouts; /* used so far; counted per thread so that steps commute */
    enum sim_wait_result woken;
    uint8_t id, state;
    bool eager; /* reads only the newest values until it sees something new */
    bool joined, detached;
    char *stack;      /* lowest usable byte */
    void *fake_stack; /* ASan's, when built with it */
};

struct lock {
    uintptr_t at;
    int owner;
    const struct snap *released;
    uint32_t next;
}; /* next: of the same cell */

/* An access to all bytes of a page at once. */
struct page_access {
    epoch when; /* 0: none yet */
    uint32_t frame;
    uintptr_t pc;
    uint8_t thread;
    bool by_call; /* by a page operation, such as a discard */
};
struct page {
    uint8_t state;
    uint8_t dirty;
    uint32_t first;                   /* first page of its reservation */
    struct page_access written, read; /* the latest of each; `read` only since the latest write */
};
enum page_state { PAGE_FREE, PAGE_NONE, PAGE_READ, PAGE_WRITE, PAGE_RELEASED };

/* One line of the trace. */
struct line {
    uintptr_t pc, at;
    uint64_t value, skipped, wrote;
    uint32_t skipped_by, skipped_step, from_step, step;
    uint8_t thread, kind, size, order, from;
    bool stale, failed, inserted;
    uint32_t frame; /* set by trace_add */
    const char *text;
};
enum {
    LINE_LOAD,
    LINE_STORE,
    LINE_RMW,
    LINE_CAS,
    LINE_FENCE,
    LINE_NOTE,
    LINE_WAIT,
    LINE_WAKE,
    LINE_SPAWN,
    LINE_JOIN,
    LINE_LOCK,
    LINE_UNLOCK,
    LINE_EXIT,
    LINE_READ, /* plain accesses */
    LINE_WRITE,
    LINE_FINDING
};
/* The trace line of an access. The caller fills in the value and where it came from. */
static inline struct line access_line(uint8_t kind, const struct thread *t, uintptr_t at,
                                      unsigned size, int order, uintptr_t pc) {
    return (struct line){.kind = kind,
                         .at = at,
                         .size = (uint8_t)size,
                         .order = (uint8_t)order,
                         .pc = pc,
                         .thread = t->id};
}

struct engine {
    /* Hot fields. */
    bool active; /* running on a logical thread */
    bool exploring, tracing, coverage, sc_used;
    bool by_chance; /* the scheduler follows choose() alone */
    bool uniform;   /* by_chance, and each choice is drawn uniformly */
    bool sites;     /* orders may be overridden (sites.h) */
    uint16_t
        watch; /* the running thread makes no steps: report at its next access what it waits for */
    struct thread *now;
    thread_set ready; /* the T_READY threads */
    uint32_t threads_n, atoms_n, msgs_n, cells_n, recs_n, frames_n, locks_n;
    uint32_t recs_free;         /* free list: records that later accesses made superfluous */
    uint32_t steps, progress;   /* step at which a thread last saw something new */
    uint32_t look_at;           /* the step at which to check for a stall */
    uint32_t wrote;             /* step of the latest atomic write */
    uint32_t novel;             /* while stalled: step of the latest new state or value */
    bool stalls;                /* no thread sees anything new: stall.c watches */
    thread_set waiting;         /* the T_WAIT threads */
    thread_set paused;          /* the T_PAUSED threads */
    uint32_t generation;        /* of cell slots */
    uint32_t quiet, quiet_step; /* plain accesses without a step between them (tsan.c) */
    uint32_t quiet_turns;       /* switches away from loops of plain accesses, over all runs */
    uint32_t queue;             /* arrivals at waits so far */
    char *arena, *arena_at, *arena_end;
    struct msg *msgs;
    struct atom *atoms;
    struct cell *cells;
    struct rec *recs;
    struct frame *frames;
    struct lock *locks;
    uint64_t *slots; /* open addressing: generation << 32 | cell */
    uint32_t *gf;    /* view at SC fences, by atom */
    struct sim_options o;
    /* Choices. */
    uint16_t *choices;
    size_t choices_n, bytes_at;
    uint64_t rng;
    unsigned preemptions;
    struct thread
        *last; /* has ended the process and waits until no other thread can run, or NULL */
    /* Keeps a finding that is reported only if there is no other. Returns false if it is to be
     * reported now. NULL: all are. */
    bool (*leak)(const char *name, const char *text);
    void **caught; /* C++: libstdc++'s list of caught exceptions and its exception count, or NULL */
    thread_set
        turned; /* threads switched away for seeing nothing new since all have had their turn */
    uint32_t pct_points[32], pct_at; /* steps at which two threads or more could run, so far */
    unsigned pct_points_n, pct_low;
    /* Outcome. */
    const char *finding;
    unsigned bounds, mixed;
    uint64_t clock;
    bool cut; /* stopped without a finding */
    char detail[1024];
    /* Stacks and simulated memory. */
    void *host_sp;
    char *stacks;
    size_t stack_size,
        stacks_bytes;   /* of one stack without its guard page; of all stacks with theirs */
    thread_set foreign; /* threads whose stacks other threads have accessed */
    unsigned stacks_n;
    uintptr_t memory, memory_end,
        heap_end;               /* heap is [memory, heap_end), pages [heap_end, memory_end) */
    uintptr_t behind_end;       /* nothing is mapped from memory_end to here */
    uintptr_t heap_at[THREADS]; /* 0: nothing allocated yet */
    thread_set heap_users;      /* threads that have allocated */
    uint8_t *heap_state; /* one byte per 16: 0 redzone, 1..16 addressable bytes, 0xFD freed */
    struct page *pages;
    uintptr_t pages_at;
    unsigned page_shift;
    struct line *lines;
    uint32_t lines_n;
    struct thread threads[THREADS];
};
extern struct engine S __attribute__((visibility("hidden")));

/* Number of clock entries in use, rounded up to a multiple of four (the padding is 0), so that the
 * compiler can vectorise loops over clocks. */
static inline uint32_t clock_width(void) {
    return (S.threads_n + 3) & ~UINT32_C(3);
}

/* run.c */
void point(struct thread
               *t); /* announces t's pending operation; returns when the scheduler lets t do it */
unsigned choose(unsigned n);
uint64_t random64(void);
void record_choice(unsigned c); /* records a choice made elsewhere, for replay */
_Noreturn void stop_run(void);  /* leaves the logical threads for good */
_Noreturn void stop_bound(unsigned bound);
_Noreturn void found(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void leaked(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
_Noreturn void not_simulated(uintptr_t pc, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void go_last(struct thread *t); /* returns when no other thread can run */
void describe_stack(char *out, size_t n, uintptr_t pc, uint32_t frame);
void saw_new(struct thread *t);
unsigned wait_elsewhere(uintptr_t word, uintptr_t to,
                        uint32_t count); /* returns how many sleepers moved */
void *arena_alloc(size_t n);
void run_once(void (*program)(void *), void *arg);
void run_configure(const struct sim_options *options);

/* shadow.c */
void shadow_setup(void); /* maps the engine's memory; exits with 2 if there is none */
void shadow_reset(void);
struct cell *cell_at(uintptr_t at);
void access_plain(uintptr_t at, size_t n, bool write, uintptr_t pc);
/* An access by the program's own code, which may loop for ever without a step (see tsan.c). */
void access_of_user(uintptr_t at, size_t n, bool write, uintptr_t pc);
struct cell *access_atomic(uintptr_t at, unsigned size, bool write, uintptr_t pc);
void shadow_thread_ends(const struct thread *t); /* counts as a write to its whole stack */
void *heap_obtain(size_t size, size_t alignment, uintptr_t pc);
void heap_return(void *block, uintptr_t pc); /* also a block obtained outside a run */
void races_allowed(uintptr_t at, size_t n);
void overwrite_atoms(struct cell *c, unsigned mask, struct thread *t, uintptr_t pc);

/* tsan.c */
bool is_volatile_access(uintptr_t pc);

/* machine.c */
uint64_t load_atomic(uintptr_t at, unsigned size, int order, uintptr_t pc);
void store_atomic(uintptr_t at, unsigned size, uint64_t value, int order, uintptr_t pc);
uint64_t atomic_rmw(uintptr_t at, unsigned size, enum sim_rmw op, uint64_t operand, int order,
                    uintptr_t pc);
uint64_t atomic_cas(uintptr_t at, unsigned size, uint64_t expected, uint64_t desired, bool weak,
                    int order, int failure_order, bool *failed, uintptr_t pc);
void atomic_fence(int order, uintptr_t pc);
uint64_t read_newest(uintptr_t at, unsigned size, uintptr_t pc); /* relaxed, for sim_wait */
void fence_everywhere(void); /* an SC fence in every thread at once */
const struct snap *snapshot(struct thread *t);
void snap_join(const struct snap *s, uint32_t *view, epoch *clock);
void learn_of(struct thread *t, const struct thread *ended);
void machine_reset(void);

uint64_t memory_read(uintptr_t at, unsigned size);
void memory_write(uintptr_t at, unsigned size, uint64_t v);
#define SIM_MAX ((enum sim_rmw)(SIM_NAND + 1)) /* the larger of the two */
uint64_t rmw_result(enum sim_rmw op, uint64_t old, uint64_t operand, unsigned size);
/* For the search: the atom of these bytes, after the race checks; an atom that is not memory. */
uint32_t atom_of_memory(uintptr_t at, unsigned size, bool write, uintptr_t pc);
uint32_t atom_of_object(void);

/* run.c, for the search */
#define REDUCED 0x8000u /* flag in the second recorded choice: a list of reductions follows */
#define FROM_SEARCH UINT16_MAX /* first recorded choice of an execution found by the search */
void run_switch(struct thread *from, struct thread *to);
unsigned next_choice(void); /* the next recorded choice; 0 when none is left */
void run_leaks(void);
/* As sim_try_lock(), but a failed attempt is also part of the lock's order: for callers that queue
 * next. */
bool try_lock_to_queue(const volatile void *object);
_Noreturn void run_stuck(void);

/* explore.c: called only when S.exploring */
uint64_t explore_load(struct thread *t, uintptr_t at, unsigned size, int order, uintptr_t pc);
void explore_store(struct thread *t, uintptr_t at, unsigned size, uint64_t value, int order,
                   uintptr_t pc);
uint64_t explore_rmw(struct thread *t, uintptr_t at, unsigned size, enum sim_rmw op,
                     uint64_t operand, int order, uintptr_t pc);
uint64_t explore_cas(struct thread *t, uintptr_t at, unsigned size, uint64_t expected,
                     uint64_t desired, bool weak, int order, int failure_order, bool *failed,
                     uintptr_t pc);
void explore_fence(struct thread *t, int order, uintptr_t pc);
unsigned explore_choose(unsigned n);
void explore_effect(struct thread *t);
void explore_plain_write(struct thread *t, uintptr_t at, size_t n);
void explore_stack_shared(uintptr_t at, size_t n, const struct thread *writer);
_Noreturn void explore_mixed(uintptr_t at);
void explore_step(uintptr_t object, uintptr_t pc);
void explore_pages(uintptr_t base, uintptr_t pc);
void explore_lock(struct thread *t, uintptr_t object, uintptr_t pc);
bool explore_try_lock(struct thread *t, uintptr_t object, bool ordered, uintptr_t pc);
bool explore_unlock(struct thread *t, uintptr_t object,
                    uintptr_t pc); /* false: unordered (reduction) */
void explore_section_access(struct thread *t, uintptr_t at, size_t n, bool write);
/* Interchangeable threads (search_symmetric.c): the parent has started u; a thread asks for its own
 * identity; a join will store a result at this address; u's result. May be called outside a
 * search. */
void explore_alike(struct thread *parent, const struct thread *u, uintptr_t start, uintptr_t arg,
                   bool detached, uintptr_t handle);
void explore_identity(void);
void explore_result_to(uintptr_t at);
void explore_result(const struct thread *u, uintptr_t result);
/* Barriers without an order of arrivals (search_reduce.c). explore_meets: is this barrier one of
 * them? */
bool explore_meets(uintptr_t object);
_Noreturn void explore_meets_too_many(uintptr_t object);
void explore_arrives(struct thread *t, epoch *causes);
void explore_meet(struct thread *t, bool (*ready)(const struct thread *), const epoch *causes);
enum sim_wait_result explore_wait(struct thread *t, uintptr_t at, uint32_t expected,
                                  uint64_t deadline, uintptr_t pc);
enum sim_wait_result explore_park(struct thread *t, uintptr_t object, thread_set *queue,
                                  uint64_t deadline, uintptr_t pc);
void explore_queue_turn(struct thread *t, uintptr_t at, uintptr_t pc);
void explore_wake_thread(struct thread *sleeper);
uint64_t explore_clock(struct thread *t, uint64_t by, uintptr_t pc);
uint64_t explore_time(const struct thread *t);
void explore_sleep(struct thread *t, uint64_t until, uintptr_t pc);
void explore_assume(struct thread *t, bool holds);
_Noreturn void explore_refuse(struct thread *t, uintptr_t pc);
size_t explore_choices(uint16_t *out, size_t room); /* choices of the run so far, for replay */
uint32_t explore_spawn(struct thread *parent);      /* returns the child's number */
void explore_started(struct thread *t, const struct thread *parent);
void explore_join(struct thread *t, struct thread *child);
_Noreturn void explore_exit(struct thread *t);
_Noreturn void explore_last(struct thread *t);
void explore_replay(void (*program)(void *), void *arg);
void explore_record_header(void);

/* tsan.c: the state of a thread at its latest call: the stack pointer (0: not known) and the
 * registers that calls preserve. */
#if defined(__aarch64__)
#define SIM_ENTRY_REGISTERS 20
#else
#define SIM_ENTRY_REGISTERS 6
#endif
extern struct sim_entry {
    uintptr_t sp, registers[SIM_ENTRY_REGISTERS];
} sim_entry __attribute__((visibility("hidden")));
extern uint8_t sim_watch __attribute__((visibility("hidden"))); /* non-zero: fill in sim_entry */

/* stall.c */
void stall_begin(void);
void stall_end(void);
void stall_step(const struct thread *t);
void stall_call(uintptr_t pc); /* the program calls another layer, which returns to pc */
void stall_atomic(uintptr_t at, uint64_t value);
void stall_plain_write(const struct thread *t, uintptr_t at, size_t n);

/* feedback.c: SIM_FEEDBACK */
void feedback_begin(void);
struct thread *feedback_pick(thread_set set);
void feedback_step(const struct thread *t); /* t does its pending operation */

/* trace.c */
void trace_add(struct line line);

#endif
