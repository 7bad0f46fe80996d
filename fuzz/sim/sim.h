/* sim.h: the public face of the concurrency engine: run unmodified C11 under a simulated scheduler
 * and memory model. Compile the code under test with -fsanitize=thread, link it with libsim.a in
 * place of the race checker's own library, and call sim_run() or sim_explore(). README.md shows
 * how.
 *
 * Everything that a real machine would decide is one call choose(n); what answers it is
 * sim_options.source. Choice 0 is always legal and means the plain thing.
 *
 * The engine is one machine a process and must be driven from one operating-system thread. */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIM_THREADS_MAX                                                                            \
    128                      /* logical threads in one run, the first one included; 32 in a search \
                              */
#define SIM_NEVER UINT64_MAX /* a deadline that never comes */

/* ---- Running ------------------------------------------------------------------------------ */

enum sim_source {
    SIM_BYTES,   /* fuzzer bytes: one byte a choice; when they run out every choice is 0 */
    SIM_UNIFORM, /* every choice uniform, from seed */
    SIM_PCT, /* random thread priorities, pct_depth - 1 change points (Burckhardt et al. 2010) */
    SIM_POS, /* random priority for each pending operation (Yuan et al. 2018) */
    SIM_FEEDBACK, /* POS, and towards reads that took a write seldom in the runs before */
    SIM_REPLAY    /* the recorded choices of an earlier run; 0 after their end */
};

struct sim_options {
    enum sim_source source;
    const uint8_t *bytes; /* SIM_BYTES */
    size_t bytes_n;
    bool bytes_from_back;    /* take the bytes from the end towards the front */
    uint64_t seed;           /* SIM_UNIFORM, SIM_PCT, SIM_POS */
    unsigned pct_depth;      /* SIM_PCT: priority changes + 1 */
    const uint16_t *choices; /* SIM_REPLAY */
    size_t choices_n;

    /* The machine. */
    bool c11_release_sequence; /* a later relaxed store of the same thread continues its release
                                  sequence */
    bool cas_weak;     /* every compare-exchange may fail spuriously (clang hides which are weak) */
    bool ignore_races; /* data races are not looked for */
    bool refuse_mixed; /* overlapping atomics of different sizes are a finding, not a fallback */
    unsigned timeouts_max;    /* waits that may time out by choice, a thread. 0: no wait ever times
                               * out,    so that a lost wake-up cannot hide; else, past the bound, only
                               * when    nothing else can run */
    bool check_uninitialised; /* reading malloc'd bytes that nobody wrote is a finding */
    bool refuse_allocations; /* of more than PTRDIFF_MAX bytes or of an invalid alignment: a finding
                              */
    bool unjoined_is_leak;   /* a thread that ended but was never joined or detached is a finding */
    unsigned spurious_max;   /* spurious returns of waits and failures of weak CAS, a thread */
    unsigned faults_max;     /* calls of sim_fault() that may answer true, a thread */
    unsigned
        preemptions_max; /* switches away from a thread that could run on; UINT_MAX = no bound */

    /* Bounds. Reaching one is reported in sim_result.bounds. */
    unsigned threads_max;  /* <= SIM_THREADS_MAX */
    unsigned steps_max;    /* visible operations a run */
    unsigned messages_max; /* how many of the newest messages of a location can be read */
    unsigned stale_max;    /* steps without a new value before a thread is switched away */
    size_t stack_bytes;    /* of each logical thread */
    size_t heap_bytes;     /* simulated malloc, all threads together */
    size_t pages_bytes;    /* simulated page reservations, all together */
    unsigned page_size;    /* granularity of sim_pages_*, a power of two >= 4096 */

    bool trace;       /* keep what sim_trace_print() shows */
    bool trace_plain; /* ... and the plain accesses, as far as there is room */
    bool coverage;    /* count (write site, read site) pairs in sim_coverage[] */
};

/* Bits of sim_result.bounds and sim_explored.bounds. */
enum sim_bound {
    SIM_BOUND_STEPS = 1,       /* the run was cut at steps_max */
    SIM_BOUND_MESSAGES = 2,    /* an older message was out of reach */
    SIM_BOUND_MEMORY = 4,      /* malloc or reserve failed for want of simulated memory */
    SIM_BOUND_PREEMPTIONS = 8, /* a switch was not offered */
    SIM_BOUND_LOOP = 16,       /* search: a loop was cut that goes on and on */
    SIM_BOUND_THREADS = 32,    /* the run was cut: no more threads could be started */
    SIM_BOUND_MIXED = 64, /* search: atomics of different sizes overlap, they read the newest */
    SIM_BOUND_CALL = 128, /* the run was cut: a call that is not simulated */
    SIM_BOUND_WIDE = 256  /* atomics of 16 bytes read the newest value, in one order */
};

struct sim_result {
    const char *finding; /* stable name, or NULL: see README.md for the list */
    char detail[1024];   /* what happened, both stacks for a race; see sim_symbolise() */
    unsigned bounds;     /* enum sim_bound bits */
    unsigned steps;
    unsigned preemptions;
    unsigned mixed;          /* accesses that fell back to the newest value (overlapping sizes) */
    uint64_t clock_ns;       /* virtual time at the end */
    const uint16_t *choices; /* what was chosen: feed to SIM_REPLAY; valid until the next run */
    size_t choices_n;
};

/* Sensible values for all of it: SIM_UNIFORM, seed 1, timeouts on, no faults. */
struct sim_options sim_options_default(void);

/* Run program(arg) as thread 0 and everything it spawns, to the end. NULL when nothing was found,
 * else the finding's name (also in result, which may be NULL). Writes of the run to the data
 * sections are put back when the next run starts, so results can be read after the return. */
const char *sim_run(const struct sim_options *options, void (*program)(void *), void *arg,
                    struct sim_result *result);

/* Put back what the last run wrote (also done by the next sim_run). */
void sim_reset(void);

/* Also put back writes to [start, end) (data of a loaded object); at most 16 ranges.
 * Returns false when there are too many. The program's own data sections are known. */
bool sim_restore_range(void *start, void *end);

/* True inside a run, on a logical thread. */
bool sim_running(void);

/* ---- For the program under test ----------------------------------------------------------- */

/* Start fn(arg) on a thread of its own. Its number (1, 2, ...), or -1 at threads_max. */
int sim_spawn(void (*fn)(void *), void *arg);
void sim_join(int thread);   /* wait for its end; synchronises with it */
void sim_detach(int thread); /* it need not be joined */
int sim_self(void);          /* 0 = the program's first thread */
_Noreturn void sim_exit_thread(void);
/* The calling thread ends at its nth visible operation from here on, before it is made, in the
 * middle of whatever it does then; 0: not any more. Not in a search. */
void sim_stop_after(uint32_t operations);
/* The calling thread stands still there until no other thread can go on; 0: not any more. */
void sim_pause_after(uint32_t operations);
void sim_yield(void); /* a good place to switch */
/* The calling thread gets on although it sees nothing new: a long way is no livelock. */
void sim_progress(void);

/* 0 <= result < n; 0 is the plain answer. The source decides; the search tries all. */
unsigned sim_choose(unsigned n);

/* Shall this call fail? True at most faults_max times a thread. */
bool sim_fault(void);

/* Stop the run with this finding. name must be a string that outlives the run. */
_Noreturn void sim_finding(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define sim_assert(condition) \
    ((condition) ? (void)0 : sim_finding("assertion", "%s:%d: %s", __FILE__, __LINE__, #condition))

/* Nothing is asked of a run in which this does not hold: the thread goes no further, and that it is
 * stuck is no finding. */
void sim_assume(bool holds);

/* A free-text line in the trace. */
void sim_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Simulated operating system ----------------------------------------------------------- */

enum sim_access { SIM_NONE, SIM_READ, SIM_READ_WRITE };

/* Reserve size bytes (multiple of page_size) of address space, inaccessible, zero when first made
 * accessible. NULL: no room (SIM_BOUND_MEMORY). Addresses are not reused within a run. */
void *sim_pages_reserve(size_t size);
/* Change what may be done with [start, start + size); contents are kept. False: not reserved. */
bool sim_pages_protect(void *start, size_t size, enum sim_access access);
/* Contents become zero, protection is kept. Counts as a write. False: not reserved. */
bool sim_pages_discard(void *start, size_t size);
/* Give back; a later access is a use-after-free. Counts as a write. False: not reserved. */
bool sim_pages_release(void *start, size_t size);
/* Move contents and protections of [from, from + size) onto the reserved [to, to + size), as
 * mremap with a fixed target does; the source becomes released. False: not reserved. */
bool sim_pages_move(void *from, void *to, size_t size);

enum sim_wait_result { SIM_WOKEN, SIM_NOT_EQUAL, SIM_TIMED_OUT, SIM_SPURIOUS };

/* If the newest value of *word equals expected, sleep until a wake or until deadline_ns
 * (SIM_NEVER: none); comparing and queueing are one step. Relaxed, and a wake orders nothing. */
enum sim_wait_result sim_wait(const volatile void *word, uint32_t expected, uint64_t deadline_ns);
/* Wake up to count sleepers of word, first come first served; how many. */
unsigned sim_wake(const volatile void *word, unsigned count);

uint64_t sim_clock_ns(void); /* virtual, monotonic; moves only when somebody times out */
void sim_sleep_until(uint64_t deadline_ns);

/* A mutex-like object for layers above (pthread_*): acquire blocks while held by another thread,
 * release passes happens-before on. The object's state lives in the engine, keyed by address. */
void sim_lock(const volatile void *object);
bool sim_try_lock(const volatile void *object);
void sim_unlock(const volatile void *object);

/* malloc behind the engine: per-thread arenas, no reuse within a run, redzones. Rename the calls
 * in the objects under test: objcopy --redefine-syms=fuzz/sim/redefine.syms. */
void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *old, size_t size);
void *sim_aligned_alloc(size_t alignment, size_t size);
int sim_posix_memalign(void **out, size_t alignment, size_t size);
void sim_free(void *block);
char *sim_strdup(const char *text);
void *sim_memcpy(void *to, const void *from, size_t n);
void *sim_memmove(void *to, const void *from, size_t n);
void *sim_memset(void *to, int byte, size_t n);
int sim_memcmp(const void *a, const void *b, size_t n);

/* ---- Atomics by number, for interpreters and layers; orders are __ATOMIC_* ------------------ */

enum sim_rmw { SIM_XCHG, SIM_ADD, SIM_SUB, SIM_AND, SIM_OR, SIM_XOR, SIM_NAND };
uint64_t sim_atomic_load(const volatile void *at, unsigned size, int order);
void sim_atomic_store(volatile void *at, unsigned size, uint64_t value, int order);
uint64_t sim_atomic_rmw(volatile void *at, unsigned size, enum sim_rmw op, uint64_t operand,
                        int order);
/* The value read; equal to expected exactly when the exchange happened (strong). With weak set it
 * may fail although equal: *failed tells (may be NULL when weak is false). */
uint64_t sim_atomic_cas(volatile void *at, unsigned size, uint64_t expected, uint64_t desired,
                        bool weak, int order, int failure_order, bool *failed);
void sim_atomic_fence(int order);

/* ---- Exhaustive search -------------------------------------------------------------------- */

/* What makes fewer graphs of a search, without another verdict; off where graphs are to be counted
 * exactly. Where one does not hold for the program, the search goes without it. */
enum sim_reduction {
    SIM_REDUCE_LOCKS = 1,    /* critical sections that touch different bytes have no order */
    SIM_REDUCE_BARRIERS = 2, /* nor have the arrivals at a pthread barrier; the serial thread is the
                                one of the lowest number */
    SIM_REDUCE_SYMMETRIC = 4, /* threads alike are explored in one order of their names */
};
unsigned sim_reduction(const char *key); /* "locks", "barriers", "symmetric"; 0: no such */
/* "locks=1, barriers=1": in static memory; "" for none. */
const char *sim_reductions_text(unsigned bits);

struct sim_explore_options {
    struct sim_options run; /* source, stale_max, messages_max and preemptions_max are ignored */
    unsigned processes;     /* share the work; 0 and 1: this one only */
    unsigned loop_max;      /* rounds of any loop before it is cut; 0: no bound */
    unsigned repeats_max;   /* rounds of a loop that starts each in the same state, although it does
                             * something that lasts (it may never end); 0: 50 */
    unsigned reduce;        /* enum sim_reduction bits */
    bool count_blocked;     /* that somebody is stuck for good is counted, no finding */
    /* Called where somebody is stuck for good, before its writes are put back: true if that is
     * permitted, and then only counted. NULL: it never is. */
    bool (*permits_stuck)(void *context);
    const char *checkpoint;   /* file to save to when interrupted and to resume from, or NULL */
    const volatile int *stop; /* becomes non-zero: stop soon, saving the checkpoint; or NULL */
    double seconds_max;       /* stop after this long; 0: no bound */
    uint64_t executions_max;  /* stop after so many; 0: no bound */
    bool progress;            /* a line on standard error every second */
    /* Called after each complete run that found nothing, before its writes are put back; with
     * processes > 1 in the process that made the run. May be NULL. */
    void (*each)(void *context);
    void *context;
};

/* Something that was cut: then not everything was explored. */
struct sim_cut {
    unsigned bound; /* one of enum sim_bound */
    uintptr_t pc;   /* where; 0: not known */
    uint64_t times;
};
#define SIM_CUTS_MAX 8

struct sim_explored {
    uint64_t graphs;     /* complete execution graphs: every thread ended */
    uint64_t blocked;    /* graphs in which somebody is stuck for good */
    uint64_t dead_ends;  /* runs in which somebody waits as no fair execution does, or an assumption
                          * does not hold */
    uint64_t cut;        /* runs that were cut at a bound */
    uint64_t executions; /* runs: the sum of all these */
    uint64_t steps;      /* visible operations over all runs */
    double seconds;      /* of this and the resumed sessions */
    size_t peak_bytes;   /* resident, of the largest process */
    unsigned bounds;     /* enum sim_bound bits of all runs */
    uint64_t mixed;      /* accesses that fell back to the newest value */
    bool complete;       /* every graph was explored: nothing whatever was cut */
    bool resumed;
    unsigned reduced; /* enum sim_reduction bits: those that were asked for and hold */
    struct sim_cut cuts[SIM_CUTS_MAX]; /* what was cut, as far as there is room */
    unsigned cuts_n;
    const char *finding; /* the first finding, or NULL; the search stops there */
    char detail[1024];
    uint16_t choices[32768]; /* replays the finding */
    size_t choices_n;
    char error[256]; /* "" or why it could not be done (checkpoint of another program, ...) */
};

/* What was cut, a line each, with the setting that would look further: "" when nothing was. */
void sim_explored_cuts(const struct sim_explored *explored, char *text, size_t n);

struct sim_explore_options sim_explore_options_default(void);
void sim_explore(const struct sim_explore_options *options, void (*program)(void *), void *arg,
                 struct sim_explored *explored);

/* ---- Traces and coverage ------------------------------------------------------------------ */

/* Replace the code addresses (@hex) in a detail by function, file and line, with addr2line.
 * Slow for an address not seen before: for reports. What one process has learnt its children know,
 * and what they learn it knows, from its first call on. */
void sim_symbolise(char *text, size_t n);

/* The last run (made with options.trace) as columns, one a thread: source line, operation, order,
 * value, and for every stale read the newest message that it skipped; the finding last. */
void sim_trace_print(FILE *out);

/* Shorten a failing run: fewer and smaller choices with the same finding. choices and *n are
 * changed in place; runs at most runs_max times. How many runs it took. */
unsigned sim_shrink(const struct sim_options *options, void (*program)(void *), void *arg,
                    const char *finding, uint16_t *choices, size_t *n, unsigned runs_max);

/* One counter for each pair (site of a write, site of a read in another thread), hashed; in the
 * section in which libFuzzer looks for extra counters. */
#define SIM_COVERAGE_N 16384
extern uint8_t sim_coverage[SIM_COVERAGE_N];

#ifdef __cplusplus
}
#endif
#endif
