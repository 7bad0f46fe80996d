/* threads.h: runs the threads of finding.c, and compares what their calls answered with what was
 * found.
 *
 * Natively each run has its own process. With TURNS, the calls begin in the order in which they
 * began when the bug was found. Otherwise:
 *   1. Each thread in turn is stopped after its first, second, third, ... machine instruction
 * inside its calls (by the processor's trap flag, x86-64) while the others run on: every schedule
 * with one preemption. The same also with another thread held before each of its calls.
 *   2. Until SECONDS are over, two stops are drawn at random.
 * With -DEXPLORE there is one run, for `make explore`, which tries schedules and memory orders
 * itself.
 *
 * finding.c defines CALLS, THREADS, TURNS and call_thread, and before(), the threads, behind() and
 * as_found(). */
#ifndef THREADS_H
#define THREADS_H

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SECONDS
#define SECONDS 30
#endif

/* Every call: when it began and ended, in one order of all calls, and what it answered. Relaxed, so
 * that recording adds no order to the calls. */
static struct {
    const char *text;
    _Atomic unsigned began, ended; /* 0: not yet */
    unsigned status;
    uint64_t answer;
} made[CALLS + 1];
static _Atomic unsigned moments, begun, done;

static void before(void);
static void behind(void);
static bool as_found(void);
static void (*const threads[THREADS])(void);
static const int call_thread[CALLS + 1]; /* the thread of each call, -1: none */

static unsigned now_of(_Atomic unsigned *at) {
    return atomic_load_explicit(at, memory_order_relaxed);
}

static unsigned next_of(_Atomic unsigned *at) {
    return atomic_fetch_add_explicit(at, 1, memory_order_relaxed) + 1;
}

__attribute__((unused)) static void pause_ns(long nanoseconds) {
    nanosleep(&(struct timespec){0, nanoseconds}, NULL);
}

/* ---- Stopping a thread -------------------------------------------------------------------------
 */

static _Thread_local unsigned steps;          /* instructions inside calls */
static _Thread_local unsigned stop;           /* after how many to stop; 0: nowhere */
static _Thread_local unsigned hold;           /* the call before which to stop, plus one; 0: none */
static _Atomic unsigned stood, resumed, over; /* threads: stopped, resumed, ended */
struct shared {
    _Atomic unsigned hit, most; /* the stop was reached; the most steps of a thread */
};
static struct shared *shared; /* with the runs' processes */

/* Stops until attend() resumes it, once the others have ended, sleep or have had their time: they
 * may need a lock that it holds. The first that stopped resumes first. */
__attribute__((unused)) static void stand(void) {
    const unsigned place = next_of(&stood);
    while (now_of(&resumed) < place) {
        sched_yield();
    }
}

#if defined __x86_64__ && !defined EXPLORE
#include <ucontext.h>

enum { TRAP_FLAG = 0x100 };

static void stepping(bool on) {
    unsigned long long flags = __builtin_ia32_readeflags_u64() & ~(unsigned long long)TRAP_FLAG;
    __builtin_ia32_writeeflags_u64(on ? flags | TRAP_FLAG : flags);
}

/* After each instruction. */
static void on_step(int number, siginfo_t *information, void *context) {
    (void)number;
    (void)information;
    if (++steps >= stop) {
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        stop = 0;
        shared->hit = 1;
        stand();
    }
}

static void stepping_begin(void) {
    const struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
}
#else
static void stepping(bool on) {
    (void)on;
}

__attribute__((unused)) static void stepping_begin(void) {}
#endif

/* ---- A call ------------------------------------------------------------------------------------
 */

/* With TURNS: waits until all calls before it have begun, and have ended or sleep. */
static void my_turn(unsigned place) {
    for (int polls = 0;
         TURNS && (now_of(&begun) < place || (now_of(&done) < place && polls < 50));) {
        pause_ns(1000000);
        polls += now_of(&begun) >= place;
    }
}

__attribute__((unused)) static void call_begins(unsigned number, const char *rule,
                                                const char *text) {
    my_turn(number);
    if (hold == number + 1) {
        stand();
    }
    now_rule = rule;
    now_call = made[number].text = text;
    answer = 0;
    atomic_store_explicit(&made[number].began, next_of(&moments), memory_order_relaxed);
    (void)next_of(&begun);
    stepping(stop != 0);
}

__attribute__((unused)) static void call_ends(unsigned number) {
    stepping(false);
    made[number].status = got;
    made[number].answer = answer;
    atomic_store_explicit(&made[number].ended, next_of(&moments), memory_order_relaxed);
    (void)next_of(&done);
}

#define IN(number, rule, call) (call_begins(number, rule, #call), got = (call), call_ends(number))

/* ---- What was found ----------------------------------------------------------------------------
 */

__attribute__((unused)) static bool answered(unsigned number, unsigned status, uint64_t value) {
    return made[number].ended != 0 && (made[number].status & status) != 0 &&
           (status != OK || made[number].answer == value);
}

__attribute__((unused)) static bool sleeps(unsigned number) {
    return made[number].began != 0 && made[number].ended == 0;
}

/* The word no longer has the value that the wait expected. */
#define CHANGED(m, at, width, expected) (peek(memory_at(m, at, width), width) != (expected))

/* The first call had ended before the second began. */
__attribute__((unused)) static bool in_order(unsigned first, unsigned second) {
    return made[first].ended != 0 && made[first].ended < made[second].began;
}

__attribute__((unused)) static bool drained(unsigned place, uint32_t id) {
    return place < ids_n && ids[place] == id;
}

static void print_calls(void) {
    for (unsigned m = 1; m <= now_of(&moments); m++) {
        for (unsigned i = 0; i < CALLS; i++) {
            if (made[i].began == m && made[i].ended != m + 1) {
                printf("%s begins\n", made[i].text);
            } else if (made[i].ended == m) {
                printf("%s: %s, %" PRIu64 "\n", made[i].text, status_text(made[i].status),
                       made[i].answer);
            }
        }
    }
}

static void check(const char *rule) {
    if (as_found()) {
        print_calls();
        printf("%s is broken: no order of these calls permits these answers\n", rule);
        fflush(stdout);
#ifdef EXPLORE
        abort();
#endif
        _exit(1);
    }
}

/* ---- One run -----------------------------------------------------------------------------------
 */

/* Where threads are stopped: after so many instructions (0: nowhere), and before which call. */
struct plan {
    unsigned stop[THREADS];
    unsigned hold, holder; /* the call, plus one; the thread that makes it */
};
static const struct plan *plan;

struct task {
    unsigned number;
    _Atomic int id; /* the kernel's */
};
static struct task tasks[THREADS];
static _Atomic unsigned ready;

static bool is_held(unsigned thread) {
    return plan->hold != 0 && plan->holder == thread;
}

/* The thread that is held goes first, then those that are to be stopped, then the others. */
__attribute__((unused)) static void wait_to_start(unsigned thread) {
    const bool held = is_held(thread), stops = plan->stop[thread] != 0;
    unsigned before_me = plan->hold != 0 && !held;
    for (unsigned i = 0; i < THREADS && !held && !stops; i++) {
        before_me += plan->stop[i] != 0;
    }
    (void)next_of(&ready);
    while (now_of(&ready) < THREADS) {
        sched_yield();
    }
    for (int i = 0; i < 200 && now_of(&stood) + now_of(&over) < before_me; i++) {
        pause_ns(100000);
    }
}

static void *run_thread(void *argument) {
    struct task *task = argument;
#ifndef EXPLORE
    task->id = (int)gettid();
    wait_to_start(task->number);
    stop = plan->stop[task->number];
    hold = is_held(task->number) ? plan->hold : 0;
#endif
    threads[task->number]();
    shared->most = steps > shared->most ? steps : (unsigned)shared->most;
    (void)next_of(&over);
    return NULL;
}

static void start(pthread_t *thread) {
    ids_pile_up = true;
#ifdef LIBRARY_SLEEPS
    guest_sleep = library_guest_sleep;
#endif
    library_begin();
    before();
    for (unsigned i = 0; i < THREADS; i++) {
        tasks[i].number = i;
        if (pthread_create(&thread[i], NULL, run_thread, &tasks[i]) != 0) {
            _exit(2);
        }
    }
}

#ifdef EXPLORE
static int in_threads(const char *rule) {
    static struct shared here;
    pthread_t thread[THREADS];
    shared = &here;
    printf("%s: what the engine finds in this program breaks it\n", rule);
    start(thread);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
    }
    behind();
    check(rule);
    return 0;
}
#else
/* Sleeps in the kernel. */
static bool is_asleep(unsigned thread) {
    static int files[THREADS]; /* descriptors, plus one */
    char path[64], text[256] = "";
    if (files[thread] == 0) {
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", tasks[thread].id);
        files[thread] = open(path, O_RDONLY) + 1;
    }
    const bool read = pread(files[thread] - 1, text, sizeof text - 1, 0) > 0;
    const char *state = strrchr(text, ')');
    return read && state != NULL && state[2] == 'S';
}

static unsigned sleepers(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        count += tasks[i].id != 0 && is_asleep(i);
    }
    return count;
}

/* Waits until all threads have ended, or sleep for a millisecond. Resumes stopped threads, after 5
 * ms at the latest. */
static void attend(void) {
    unsigned last = 0, quiet = 0, polls = 0;
    while (now_of(&over) < THREADS && quiet < 10) {
        pause_ns(100000);
        const unsigned now = now_of(&moments), standing = now_of(&stood) - now_of(&resumed);
        const bool all = sleepers() + now_of(&over) + standing >= THREADS;
        quiet = now == last && all ? quiet + 1 : 0;
        polls = standing > 0 ? polls + 1 : 0;
        if (standing > 0 && (quiet > 1 || polls > 50)) {
            (void)next_of(&resumed);
            quiet = polls = 0;
        }
        last = now;
    }
}

static const char *the_rule;
static unsigned long runs;
static double end_s;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* One run in its own process; returns its status. */
static int run(const struct plan *chosen) {
    pthread_t thread[THREADS];
    int status = 0;
    fflush(stdout);
    shared->hit = 0;
    plan = chosen;
    runs++;
    const pid_t child = fork();
    if (child == 0) {
        watch();
        start(thread);
        attend();
        if (now_of(&over) == THREADS) {
            behind();
        }
        check(the_rule);
        _exit(0);
    }
    const bool ended = child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status);
    return ended ? WEXITSTATUS(status) : 2;
}

/* Stops each thread at every eighth instruction. held: another thread's call that waits, plus one;
 * 0: none. */
static int sweep(unsigned held, unsigned first) {
    struct plan chosen = {.hold = held};
    int status = 0;
    chosen.holder = held > 0 ? (unsigned)call_thread[held - 1] : THREADS;
    for (unsigned t = 0; t < THREADS; t++) {
        bool hit = t != chosen.holder;
        for (unsigned at = first; hit && status == 0 && now_s() < end_s; at += 8) {
            memset(chosen.stop, 0, sizeof chosen.stop);
            chosen.stop[t] = at;
            status = run(&chosen);
            hit = shared->hit;
        }
    }
    return status;
}

/* Eight rounds reach every instruction; a window several instructions wide is met in the first. */
static int sweeps(void) {
    static const unsigned firsts[] = {1, 5, 3, 7, 2, 6, 4, 8};
    int status = 0;
    for (unsigned round = 0; round < 8 && status == 0; round++) {
        status = sweep(0, firsts[round]);
        for (unsigned i = 0; i < CALLS && status == 0; i++) {
            status = call_thread[i] >= 0 ? sweep(i + 1, firsts[round]) : 0;
        }
    }
    return status;
}

static unsigned draw(unsigned below) {
    static unsigned state = 1;
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
}

static int by_chance(void) {
    struct plan chosen = {.holder = THREADS};
    for (int i = 0; i < 2; i++) {
        chosen.stop[draw(THREADS)] = 1 + draw(shared->most + 1);
    }
    return run(&chosen);
}

static int in_threads(const char *rule) {
    int status;
    is_quiet = true;
    the_rule = rule;
    end_s = now_s() + SECONDS;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stepping_begin();
    status = TURNS ? run(&(struct plan){.holder = THREADS}) : sweeps();
    while (!TURNS && status == 0 && now_s() < end_s) {
        status = by_chance();
    }
    if (status == 0) {
        printf("good: no rule was broken in %lu runs\n", runs);
    }
    return status;
}
#endif

#endif
