/* sim.h: the public interface of the concurrency engine, which runs unmodified C11 under a
 * simulated scheduler and memory model. Compile the code under test with -fsanitize=thread, link it
 * with libsim.a in place of the race checker's own library, and call sim_run() or sim_explore().
 * README.md shows how.
 *
 * Every decision that a real machine would make is one call of choose(n); sim_options.source says
 * where the answers come from. Choice 0 is always legal and the simplest.
 *
 * There is one engine per process, and one operating-system thread must drive it. */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SIM_THREADS_MAX 128  /* logical threads per run, including the first; 32 in a search */
#define SIM_NEVER UINT64_MAX /* a deadline that never comes */

/* ---- Running --------------------------------------------------------------------------------- */

enum sim_source {
    SIM_BYTES,   /* fuzzer bytes: one byte per choice; when they run out every choice is 0 */
    SIM_UNIFORM, /* every choice uniform, from seed */
    SIM_PCT, /* random thread priorities, pct_depth - 1 change points (Burckhardt et al. 2010) */
    SIM_POS, /* random priority for each pending operation (Yuan et al. 2018) */
    SIM_FEEDBACK, /* POS, steered towards reads taking writes that they rarely took in earlier runs
                   */
    SIM_REPLAY    /* the recorded choices of an earlier run; 0 after their end */
};

struct sim_options {
    enum sim_source source;
    const uint8_t *bytes; /* SIM_BYTES */
    size_t bytes_n;
    bool bytes_from_back;    /* take the bytes from the end to the front */
    uint64_t seed;           /* SIM_UNIFORM, SIM_PCT, SIM_POS, SIM_FEEDBACK */
    unsigned pct_depth;      /* SIM_PCT: number of priority changes + 1 */
    const uint16_t *choices; /* SIM_REPLAY */
    size_t choices_n;

    /* The machine. */
    bool c11_release_sequence; /* a later relaxed store by the same thread continues its release
                                  sequence */
    bool cas_weak;     /* every compare-exchange may fail spuriously (clang hides which are weak) */
    bool ignore_races; /* do not look for data races */
    bool refuse_mixed; /* overlapping atomics of different sizes are a finding */
    unsigned timeouts_max;    /* waits per thread that may time out by choice; more time out only
                                 when nothing else can run. 0: no wait ever times out, so that
                                 timeouts cannot hide a lost wake-up */
    bool check_uninitialised; /* reading malloc'd bytes that were never written is a finding */
    bool refuse_allocations;  /* requests of more than PTRDIFF_MAX bytes or of an invalid alignment
                                 are a finding */
    bool unjoined_is_leak; /* a thread that ended but was never joined or detached is a finding */
    unsigned spurious_max; /* spurious returns of waits and failures of weak CAS, per thread */
    unsigned faults_max;   /* calls of sim_fault() that may return true, per thread */
    unsigned
        preemptions_max; /* switches away from a thread that could continue; UINT_MAX: no bound */

    /* Bounds. If one is reached, sim_result.bounds says so. */
    unsigned threads_max;  /* <= SIM_THREADS_MAX */
    unsigned steps_max;    /* visible operations per run */
    unsigned messages_max; /* how many of the newest messages of a location can be read */
    bool
        sticky; /* SIM_UNIFORM, SIM_PCT, SIM_POS: loads of a location by a thread take either always
                 * the newest or always the oldest value that they can, which the seed decides */
    unsigned stale_max; /* steps without a new value before a thread is switched away */
    size_t stack_bytes; /* of each logical thread */
    size_t heap_bytes;  /* simulated malloc, all threads together */
    size_t pages_bytes; /* simulated page reservations in all */
    unsigned page_size; /* granularity of sim_pages_*, a power of two >= 4096 */

    bool trace;       /* keep what sim_trace_print() shows */
    bool trace_plain; /* also the plain accesses, as far as there is room */
    bool coverage;    /* count (write site, read site) pairs in sim_coverage[] */
};

/* Bits of sim_result.bounds and sim_explored.bounds. */
enum sim_bound {
    SIM_BOUND_STEPS = 1,       /* the run was cut at steps_max */
    SIM_BOUND_MESSAGES = 2,    /* an older message was out of reach */
    SIM_BOUND_MEMORY = 4,      /* malloc or reserve failed: the simulated memory is full */
    SIM_BOUND_PREEMPTIONS = 8, /* a switch was ruled out */
    SIM_BOUND_LOOP = 16,       /* search: a loop that may never end was cut */
    SIM_BOUND_THREADS = 32,    /* the run was cut: it started too many threads */
    SIM_BOUND_MIXED = 64, /* search: overlapping atomics of different sizes read the newest value */
    SIM_BOUND_CALL = 128, /* the run was cut: a call that is not simulated */
    SIM_BOUND_WIDE = 256  /* atomics of 16 bytes read the newest value, in one order */
};

struct sim_result {
    const char *finding; /* a stable name, listed in README.md, or NULL */
    char detail[1024];   /* what happened, with both stacks of a race; see sim_symbolise() */
    unsigned bounds;     /* enum sim_bound bits */
    unsigned steps;
    unsigned preemptions;
    unsigned mixed;          /* accesses that fell back to the newest value (overlapping sizes) */
    uint64_t clock_ns;       /* virtual time at the end */
    const uint16_t *choices; /* the choices made, for SIM_REPLAY; valid until the next run */
    size_t choices_n;
};

/* Sensible defaults: SIM_UNIFORM, seed 1, timeouts on, no faults. */
struct sim_options sim_options_default(void);

/* Runs program(arg) as thread 0, with everything it spawns, to the end. Returns the finding's name
 * (also in result, which may be NULL), or NULL if nothing was found. The run's writes to the data
 * sections are put back when the next run starts, so results can be read after the return. */
const char *sim_run(const struct sim_options *options, void (*program)(void *), void *arg,
                    struct sim_result *result);

/* Puts back what the last run wrote (the next sim_run does so too). */
void sim_reset(void);

/* Also put back writes to [start, end) (data of a loaded object); at most 16 ranges. Returns false
 * if there are more. The program's own data sections are already covered. */
bool sim_restore_range(void *start, void *end);
/* Races on these bytes are no findings in this run: the program's own kernel keeps its tables
 * there.
 */
void sim_allow_races(const volatile void *at, size_t n);

/* True inside a run, on a logical thread. */
bool sim_running(void);

/* ---- For the program under test -------------------------------------------------------------- */

/* Starts fn(arg) on a new thread. Returns its number (1, 2, ...), or -1 at threads_max. */
int sim_spawn(void (*fn)(void *), void *arg);
void sim_join(int thread);   /* waits for the thread to end; synchronises with it */
void sim_detach(int thread); /* the thread need not be joined */
int sim_self(void);          /* 0 = the program's first thread */
_Noreturn void sim_exit_thread(void);
/* Ends the calling thread just before its nth visible operation from now on, whatever it is in the
 * middle of; 0 cancels this. Not in a search. */
void sim_stop_after(uint32_t operations);
/* Pauses the calling thread there until no other thread can run; 0 cancels this. */
void sim_pause_after(uint32_t operations);
void sim_yield(void); /* a good place to switch */
/* The calling thread makes progress although it sees nothing new: a long computation is no
 * livelock. */
void sim_progress(void);

/* Returns a number below n, or 0 if n is 0. The source decides; the search tries all. 0 is the
 * simplest answer. */
unsigned sim_choose(unsigned n);

/* Should this call fail? True at most faults_max times per thread. */
bool sim_fault(void);

/* Stops the run with this finding. name must be a string that outlives the run. */
_Noreturn void sim_finding(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define sim_assert(condition) \
    ((condition) ? (void)0 : sim_finding("assertion", "%s:%d: %s", __FILE__, __LINE__, #condition))

/* If holds is false, this execution is not of interest: the thread goes no further, and being stuck
 * there is no finding. */
void sim_assume(bool holds);

/* Adds a line of text to the trace. */
void sim_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- Simulated operating system -------------------------------------------------------------- */

enum sim_access { SIM_NONE, SIM_READ, SIM_READ_WRITE };

/* Reserves size bytes (a multiple of page_size) of address space, inaccessible, and zero when first
 * made accessible. NULL: no room (SIM_BOUND_MEMORY). Addresses are not reused within a run. */
void *sim_pages_reserve(size_t size);
/* Changes the access to [start, start + size); contents are kept. False: not reserved. */
bool sim_pages_protect(void *start, size_t size, enum sim_access access);
/* Zeroes the contents and keeps the protection. Counts as a write. False: not reserved. */
bool sim_pages_discard(void *start, size_t size);
/* Gives the pages back; a later access is a use-after-free. Counts as a write. False: not
 * reserved. */
bool sim_pages_release(void *start, size_t size);
/* Moves contents and protections of [from, from + size) to the reserved [to, to + size), as mremap
 * with a fixed target does; the source becomes released. False: not reserved. */
bool sim_pages_move(void *from, void *to, size_t size);

enum sim_wait_result { SIM_WOKEN, SIM_NOT_EQUAL, SIM_TIMED_OUT, SIM_SPURIOUS };

/* If the newest value of *word equals expected, sleeps until a wake or until deadline_ns
 * (SIM_NEVER: none). Comparing and queueing are one step. The read is relaxed, and a wake orders
 * nothing. */
enum sim_wait_result sim_wait(const volatile void *word, uint32_t expected, uint64_t deadline_ns);
/* Wakes up to count sleepers of word, first come, first served; returns how many. */
unsigned sim_wake(const volatile void *word, unsigned count);

uint64_t
sim_clock_ns(void); /* virtual and monotonic; moves only when a thread sleeps or times out */
void sim_sleep_until(uint64_t deadline_ns);

/* A mutex for layers above the engine (pthread_*): acquire blocks while another thread holds it,
 * and release passes happens-before on. Its state is kept in the engine, by address. */
void sim_lock(const volatile void *object);
bool sim_try_lock(const volatile void *object);
void sim_unlock(const volatile void *object);

/* malloc as the engine provides it: an arena per thread, no reuse within a run, redzones. To use
 * it, rename the calls in the objects under test: objcopy
 * --redefine-syms=fuzz/sim/redefine.syms. */
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

/* ---- Atomics as functions, for interpreters and layers; orders are __ATOMIC_ ----------------- */

enum sim_rmw { SIM_XCHG, SIM_ADD, SIM_SUB, SIM_AND, SIM_OR, SIM_XOR, SIM_NAND };
uint64_t sim_atomic_load(const volatile void *at, unsigned size, int order);
void sim_atomic_store(volatile void *at, unsigned size, uint64_t value, int order);
uint64_t sim_atomic_rmw(volatile void *at, unsigned size, enum sim_rmw op, uint64_t operand,
                        int order);
/* Returns the value read; it equals expected exactly if the exchange happened (strong). With weak
 * set it may fail although equal; *failed tells (may be NULL if weak is false). */
uint64_t sim_atomic_cas(volatile void *at, unsigned size, uint64_t expected, uint64_t desired,
                        bool weak, int order, int failure_order, bool *failed);
void sim_atomic_fence(int order);

/* ---- Exhaustive search ----------------------------------------------------------------------- */

/* Reductions: fewer graphs in a search, with the same verdict. Off when graphs must be counted
 * exactly. If one does not hold for the program, the search continues without it. */
enum sim_reduction {
    SIM_REDUCE_LOCKS = 1,     /* critical sections that touch different bytes are not ordered */
    SIM_REDUCE_BARRIERS = 2,  /* arrivals at a pthread barrier are not ordered; the serial thread is
                                 the one with the lowest number */
    SIM_REDUCE_SYMMETRIC = 4, /* interchangeable threads are explored in one order only */
};
unsigned sim_reduction(const char *key); /* "locks", "barriers", "symmetric"; 0: unknown key */
/* For instance "locks=1, barriers=1", in static memory; "" if there are none. */
const char *sim_reductions_text(unsigned bits);

struct sim_explore_options {
    struct sim_options run; /* source, stale_max, messages_max and preemptions_max are ignored */
    unsigned processes;     /* that share the work; 0 and 1: only this one */
    unsigned loop_max;      /* rounds of any loop before it is cut; 0: no bound */
    unsigned repeats_max;   /* rounds of a loop that starts each in the same state although it has
                               lasting effects (it may never end); 0: 50 */
    unsigned reduce;        /* enum sim_reduction bits */
    bool count_blocked; /* count graphs in which a thread is stuck for good, rather than report them
                         */
    /* Called when a thread is stuck for good, before its writes are put back. True: that is
     * permitted, and only counted. NULL: it never is. */
    bool (*permits_stuck)(void *context);
    const char *checkpoint; /* file to save to when interrupted and to resume from, or NULL */
    const volatile int
        *stop;          /* when it becomes non-zero, stop soon and save the checkpoint; or NULL */
    double seconds_max; /* stop after this long; 0: no bound */
    uint64_t executions_max; /* stop after so many runs; 0: no bound */
    bool progress;           /* print a line on standard error every second */
    /* Called after each complete run without a finding, before its writes are put back; if
     * processes > 1, in the process that made the run. May be NULL. */
    void (*each)(void *context);
    void *context;
};

/* One thing that was cut, so that not everything was explored. */
struct sim_cut {
    unsigned bound; /* one of enum sim_bound */
    uintptr_t pc;   /* where; 0: unknown */
    uint64_t times;
};
#define SIM_CUTS_MAX 8

struct sim_explored {
    uint64_t graphs;     /* complete execution graphs: every thread ended */
    uint64_t blocked;    /* graphs in which a thread is stuck for good */
    uint64_t dead_ends;  /* runs in which a thread waits as in no fair execution, or an assumption
                            does not hold */
    uint64_t cut;        /* runs cut at a bound */
    uint64_t executions; /* number of runs: the sum of the above */
    uint64_t steps;      /* visible operations in all runs */
    double seconds;      /* including the sessions that were resumed */
    size_t peak_bytes;   /* resident memory of the largest process */
    unsigned bounds;     /* enum sim_bound bits of all runs */
    uint64_t mixed;      /* accesses that fell back to the newest value */
    bool complete;       /* every graph was explored; nothing was cut */
    bool resumed;
    unsigned reduced;                  /* enum sim_reduction bits that were asked for and hold */
    struct sim_cut cuts[SIM_CUTS_MAX]; /* what was cut, as far as there is room */
    unsigned cuts_n;
    const char *finding; /* the first finding, at which the search stops, or NULL */
    char detail[1024];
    uint16_t choices[32768]; /* replays the finding */
    size_t choices_n;
    char error[256]; /* "", or why the search could not be done (checkpoint of another program, ...)
                      */
};

/* What was cut, one line each, with the setting that would look further; "" if nothing was cut. */
void sim_explored_cuts(const struct sim_explored *explored, char *text, size_t n);

struct sim_explore_options sim_explore_options_default(void);
void sim_explore(const struct sim_explore_options *options, void (*program)(void *), void *arg,
                 struct sim_explored *explored);

/* ---- Traces and coverage --------------------------------------------------------------------- */

/* Replaces the code addresses (@hex) in a detail by function, file and line, with addr2line. Slow
 * for new addresses: use it for reports only. From its first call on, child processes share its
 * cache. */
void sim_symbolise(char *text, size_t n);

/* Prints the last run (made with options.trace) in one column per thread: source line, operation,
 * order, value, and for every stale read the newest message that it skipped; the finding comes
 * last. */
void sim_trace_print(FILE *out);

/* Shortens a failing run: fewer and smaller choices with the same finding. Changes choices and *n
 * in place; runs at most runs_max times. Returns how many runs it took. */
unsigned sim_shrink(const struct sim_options *options, void (*program)(void *), void *arg,
                    const char *finding, uint16_t *choices, size_t *n, unsigned runs_max);

/* One counter per pair (site of a write, site of a read in another thread), hashed, in the section
 * where libFuzzer looks for extra counters. */
#define SIM_COVERAGE_N 16384
extern uint8_t sim_coverage[SIM_COVERAGE_N];

#ifdef __cplusplus
}
#endif
#endif
