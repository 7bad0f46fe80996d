/* run.c: one run: logical threads on their own stacks, the scheduler and its sources of choice,
 * waits in virtual time, locks, and the end of a run. */
#include "internal.h"
#include "switch.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

struct engine S;

struct sim_options sim_options_default(void) {
    return (struct sim_options){.source = SIM_UNIFORM,
                                .seed = 1,
                                .pct_depth = 3,
                                .timeouts_max = 64,
                                .unjoined_is_leak = true,
                                .preemptions_max = UINT_MAX,
                                .threads_max = SIM_THREADS_MAX,
                                .steps_max = 20000,
                                .messages_max = 64,
                                .stale_max = 50,
                                .stack_bytes = 256 << 10,
                                .heap_bytes = (size_t)256 << 20,
                                .pages_bytes = (size_t)64 << 20,
                                .page_size = 65536};
}

bool sim_running(void) {
    return S.active;
}

/* ---- Stacks ---------------------------------------------------------------------------------- */

static void stacks_setup(void) {
    size_t page = 4096, size = (S.o.stack_bytes + page - 1) / page * page;
    if (S.stacks && size == S.stack_size) {
        return;
    }
    if (S.stacks) {
        munmap(S.stacks, (S.stack_size + page) * THREADS);
    }
    char *p = mmap(NULL, (size + page) * THREADS, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        perror("sim: stacks");
        exit(2);
    }
    for (unsigned i = 0; i < THREADS; i++) { /* a guard page below each stack */
        if (mprotect(p + i * (size + page), page, PROT_NONE)) {
            perror("sim: stack guard");
            exit(2);
        }
    }
    S.stacks = p;
    S.stack_size = size;
    S.stacks_bytes = (size + page) * THREADS;
    size_t views = ATOMS_MAX + 5 * 16; /* staggered across the cache: see map_table() */
    static uint32_t *all_views;
    if (!all_views) {
        all_views = mmap(NULL, 2 * views * THREADS * sizeof *all_views, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (all_views == MAP_FAILED) {
            perror("sim: views");
            exit(2);
        }
    }
    for (unsigned i = 0; i < THREADS; i++) {
        S.threads[i].stack = p + i * (size + page) + page;
        S.threads[i].cur = all_views + (size_t)2 * i * views;
        S.threads[i].acq = all_views + (2 * i + 1) * views;
    }
}

#ifdef WITH_ASAN
static void *host_fake;
static const void *host_bottom;
static size_t host_size;
#endif

static void arrived(struct thread *t) {
#ifdef WITH_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(t->fake_stack, &bottom, &size);
    if (!host_bottom) {
        host_bottom = bottom;
        host_size = size;
    }
#else
    (void)t;
#endif
}

/* libstdc++ keeps caught exceptions per operating-system thread, which all logical threads
 * share. */
static void swap_caught(struct thread *from, struct thread *to) {
    memcpy(from->caught, S.caught, sizeof from->caught);
    memcpy(S.caught, to->caught, sizeof to->caught);
}

static inline void switch_to(struct thread *from, struct thread *to) {
    S.now = to;
    if (unlikely(S.caught)) {
        swap_caught(from, to);
    }
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(from->state == T_DONE ? NULL : &from->fake_stack, to->stack,
                                   S.stack_size);
#endif
    sim_switch(&from->sp, to->sp);
    arrived(from);
}

void run_switch(struct thread *from, struct thread *to) {
    switch_to(from, to);
}

_Noreturn void stop_run(void) {
    struct thread *t = S.now;
    S.active = false;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(NULL, host_bottom, host_size);
#endif
    sim_switch(&t->sp, S.host_sp);
    __builtin_unreachable();
}

_Noreturn void stop_bound(unsigned bound) {
    S.bounds |= bound;
    S.cut = true;
    stop_run();
}

/* Writes the call stack of an access, one indented "@address" per line. */
void describe_stack(char *out, size_t n, uintptr_t pc, uint32_t frame) {
    size_t used = 0;
    out[0] = 0;
    for (int depth = 0; depth < 12 && used < n; depth++) {
        used += (size_t)snprintf(out + used, n - used, "\n  @%lx", (unsigned long)pc);
        if (!frame) {
            break;
        }
        pc = S.frames[frame].pc;
        frame = S.frames[frame].parent;
    }
    if (used + 1 < n) {
        out[used] = '\n';
        out[used + 1] = 0;
    }
}

static void finding_text(const char *name, const char *format, va_list args) {
    S.finding = name;
    vsnprintf(S.detail, sizeof S.detail, format, args);
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_FINDING, .thread = S.now->id, .text = name});
    }
}

_Noreturn void found(const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    finding_text(name, format, args);
    va_end(args);
    stop_run();
}

/* Reports a leak. S.leak may keep it for later, so that it does not hide another finding. */
void leaked(const char *name, const char *format, ...) {
    char text[800];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!S.leak || !S.leak(name, text)) {
        found(name, "%s", text);
    }
}

/* A limit of the engine, not a fault of the program: the run is cut. Other runs may not reach the
 * call. */
_Noreturn void not_simulated(uintptr_t pc, const char *format, ...) {
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char stack[500];
    describe_stack(stack, sizeof stack, pc, S.now->frame);
    if (!S.exploring) { /* let other threads run first */
        S.now->pending = (struct op){.kind = OP_OBJECT, .at = pc};
        point(S.now);
    }
    leaked("unsupported-call", "%s%s", text, stack);
    if (S.exploring) {
        explore_refuse(S.now, pc);
    }
    stop_bound(SIM_BOUND_CALL);
}

_Noreturn void sim_finding(const char *name, const char *format, ...) {
    va_list args;
    va_start(args, format);
    if (!S.active) {
        vfprintf(stderr, format, args);
        fprintf(stderr, "\nsim: finding %s outside a run\n", name);
        abort();
    }
    finding_text(name, format, args);
    va_end(args);
    stop_run();
}

void *arena_alloc(size_t n) {
    char *p = S.arena_at;
    n = (n + 7) & ~(size_t)7;
    if (unlikely(n > (size_t)(S.arena_end - p))) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    S.arena_at = p + n;
    return p;
}

/* ---- Choices --------------------------------------------------------------------------------- */

uint64_t random64(void) {
    uint64_t x = S.rng += UINT64_C(0x9E3779B97F4A7C15); /* splitmix64 */
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

static inline void record(unsigned c) {
    if (unlikely(S.choices_n >= CHOICES_MAX)) {
        stop_bound(SIM_BOUND_STEPS);
    }
    S.choices[S.choices_n++] = (uint16_t)c;
}

void record_choice(unsigned c) {
    record(c);
}

unsigned next_choice(void) {
    return S.choices_n < S.o.choices_n ? S.o.choices[S.choices_n] : 0;
}

static unsigned next_byte(void) {
    if (S.bytes_at >= S.o.bytes_n) {
        return 0;
    }
    size_t i = S.bytes_at++;
    return S.o.bytes[S.o.bytes_from_back ? S.o.bytes_n - 1 - i : i];
}

static unsigned choose_anyhow(unsigned n);

static inline unsigned choose_now(unsigned n) {
    if (n <= 1) {
        return 0;
    }
    if (likely(S.uniform)) {
        unsigned c = (unsigned)(((random64() >> 32) * n) >> 32);
        record(c);
        return c;
    }
    return choose_anyhow(n);
}

unsigned choose(unsigned n) {
    return choose_now(n);
}

static unsigned choose_anyhow(unsigned n) {
    if (unlikely(S.exploring)) {
        return explore_choose(n);
    }
    unsigned c;
    switch (S.o.source) {
    case SIM_BYTES:
        c = next_byte();
        if (n > 256) {
            c = c << 8 | next_byte();
        }
        c %= n;
        break;
    case SIM_REPLAY:
        c = S.choices_n < S.o.choices_n ? S.o.choices[S.choices_n] : 0;
        if (c >= n) {
            c = n - 1;
        }
        break;
    default:
        c = (unsigned)(((random64() >> 32) * n) >> 32);
    }
    record(c);
    return c;
}

unsigned sim_choose(unsigned n) {
    return S.active ? choose(n > 65535 ? 65535 : n) : 0;
}

void sim_assume(bool holds) {
    if (!S.active || holds) {
        return;
    }
    if (S.exploring) {
        explore_assume(S.now, holds);
    }
    S.cut = true;
    stop_run();
}

bool sim_fault(void) {
    if (!S.active || S.now->faults >= S.o.faults_max) {
        return false;
    }
    if (!choose(2)) {
        return false;
    }
    S.now->faults++;
    return true;
}

/* ---- Scheduling ------------------------------------------------------------------------------ */

void saw_new(struct thread *t) {
    t->dull = 0;
    t->eager = false;
    S.progress = S.steps;
}

/* Change points fall among the first 16 to 2,048 steps at which there is a choice of threads. The
 * range is drawn from the seed too: the length of the run is not known in advance, and a run must
 * depend on its seed only. */
static void pct_begin(void) {
    uint32_t length = UINT32_C(16) << random64() % 8;
    S.pct_points_n = S.o.pct_depth > 1 ? S.o.pct_depth - 1 : 0;
    if (S.pct_points_n > 32) {
        S.pct_points_n = 32;
    }
    for (unsigned i = 0; i < S.pct_points_n; i++) {
        S.pct_points[i] = 1 + (uint32_t)(random64() % length);
    }
    S.pct_low = 32;
    S.pct_at = 0;
}

static struct thread *highest(thread_set set) {
    struct thread *best = NULL;
    for (thread_set m = set; m; m &= m - 1) {
        struct thread *t = &S.threads[first_of(m)];
        if (!best || t->priority > best->priority) {
            best = t;
        }
    }
    return best;
}

/* The thread that choice c of set stands for: 0 is t if it can continue; then come the other
 * runnable threads by number, then sleepers that may return unwoken. So choice 0 is the
 * simplest. */
static struct thread *chosen(struct thread *t, thread_set set, unsigned c) {
    thread_set able = set & S.ready;
    if (able >> t->id & 1) {
        if (c-- == 0) {
            return t;
        }
        able &= ~ONE(t->id);
    }
    for (; able; able &= able - 1) {
        if (c-- == 0) {
            return &S.threads[first_of(able)];
        }
    }
    for (thread_set m = set & ~S.ready; m; m &= m - 1) {
        if (c-- == 0) {
            return &S.threads[first_of(m)];
        }
    }
    return &S.threads[first_of(set)];
}

/* The choice that stands for `next`. */
static unsigned place_among(struct thread *t, thread_set set, const struct thread *next) {
    unsigned c = 0;
    while (chosen(t, set, c) != next) {
        c++;
    }
    return c;
}

/* Picks one of set, which has at least two threads and may include t. */
static struct thread *pick_among(struct thread *t, thread_set set) {
    if (S.o.source == SIM_FEEDBACK) {
        struct thread *next = feedback_pick(set);
        record(place_among(t, set, next));
        return next;
    }
    if (S.o.source == SIM_PCT || S.o.source == SIM_POS) {
        struct thread *best = highest(set);
        record(place_among(t, set, best));
        return best;
    }
    return chosen(t, set, choose(count_of(set)));
}

/* Sleepers that may return without a wake-up. Spurious wake-ups are left out if no thread is
 * runnable, because a program must not rely on one to get unstuck. */
static thread_set may_return(bool for_no_reason) {
    thread_set set = 0;
    for (thread_set m = S.waiting; m; m &= m - 1) {
        const struct thread *t = &S.threads[first_of(m)];
        if ((t->deadline != SIM_NEVER && t->timeouts < S.o.timeouts_max) ||
            (for_no_reason && t->spurious < S.o.spurious_max)) {
            set |= m & -m;
        }
    }
    return set;
}

static void unqueue(struct thread *t) {
    S.waiting &= ~ONE(t->id);
    S.ready |= ONE(t->id);
    t->state = T_READY;
    t->pending = (struct op){.kind = OP_LOCAL};
}

/* A sleeper returns by timeout or spuriously. */
static void return_unwoken(struct thread *t, bool forced) {
    bool time = t->deadline != SIM_NEVER && (forced || t->timeouts < S.o.timeouts_max);
    bool nothing = !forced && t->spurious < S.o.spurious_max;
    unsigned c = time && nothing ? choose(2) : nothing;
    if (c == 0) {
        t->timeouts++;
        if (t->deadline > S.clock) {
            S.clock = t->deadline;
        }
    } else {
        t->spurious++;
    }
    t->woken = c ? SIM_SPURIOUS : SIM_TIMED_OUT;
    unqueue(t);
}

/* Does any thread wait for a lock that will never be released? */
static bool locked_out(void) {
    for (uint32_t i = 0; i < S.threads_n; i++) {
        if (S.threads[i].state == T_LOCK) {
            return true;
        }
    }
    return false;
}

_Noreturn void run_stuck(void) {
    if (S.last && !locked_out()) {
        stop_run(); /* the process has ended */
    }
    bool lost = false, spins = false, main_done = S.threads[0].state == T_DONE;
    char text[800];
    size_t used = 0;
    static const char *const how[] = {
        "ready", "waits on a word",      "waits for the lock", "waits for the end of",
        "done",  "reads again and again"};
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct thread *t = &S.threads[i];
        if (t->state == T_DONE || used >= sizeof text) {
            continue;
        }
        spins |= t->state == T_SPIN;
        if (t->state == T_WAIT) {
            uint32_t now = *(const volatile uint32_t *)t->wait_word;
            bool changed = now != t->expected;
            lost |= changed;
            used += (size_t)snprintf(text + used, sizeof text - used,
                                     "T%u waits on %p for a change from %u; it is %u%s\n", i,
                                     (void *)t->wait_word, t->expected, now,
                                     changed ? ": nobody woke it" : "");
        } else if (t->state == T_JOIN) {
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "T%u waits for the end of T%lu\n",
                                 i, (unsigned long)t->wait_word);
        } else if (t->state == T_SPIN) {
            used +=
                (size_t)snprintf(text + used, sizeof text - used,
                                 "T%u reads %p again and again, and no thread will change it\n  "
                                 "@%lx\n",
                                 i, (void *)t->wait_word, (unsigned long)t->pending.pc);
        } else {
            used += (size_t)snprintf(text + used, sizeof text - used, "T%u %s %p\n", i,
                                     how[t->state], (void *)t->wait_word);
        }
    }
    found(lost        ? "lost-wakeup"
          : spins     ? "livelock"
          : main_done ? "leaked-thread"
                      : "deadlock",
          "%s", text);
}

void run_leaks(void) {
    if (!S.o.unjoined_is_leak) {
        return;
    }
    for (uint32_t i = 1; i < S.threads_n; i++) {
        if (!S.threads[i].joined && !S.threads[i].detached) {
            leaked("leaked-thread", "T%u ended but nobody joined it", i);
        }
    }
}

/* All threads have ended, or none can continue. */
static _Noreturn void finish(void) {
    for (uint32_t i = 0; i < S.threads_n; i++) {
        if (S.threads[i].state != T_DONE) {
            run_stuck();
        }
    }
    run_leaks();
    stop_run();
}

/* t is switched away because it sees nothing new. Prefer threads that have not been switched away
 * for this reason: otherwise two spinning threads would hand over to each other for ever, and never
 * to the thread that they wait for. */
static thread_set others_in_turn(const struct thread *t, thread_set set) {
    if (!(S.ready & ~ONE(t->id))) {
        return set;
    }
    set &= ~ONE(t->id);
    S.turned |= ONE(t->id);
    if (!(set & ~S.turned)) {
        S.turned = ONE(t->id);
    }
    return set & ~S.turned;
}

/* Turns differ in length, so that two loops do not stay in step for ever. */
static uint32_t uneven(const struct thread *t) {
    return (t->turns * 2654435761u + t->id * 40503u) >> 16 & 15;
}

static _Noreturn void too_many_steps(void);

/* Resumes a paused thread. */
static struct thread *go_on(unsigned id) {
    S.paused &= ~ONE(id);
    S.ready |= ONE(id);
    S.threads[id].state = T_READY;
    return &S.threads[id];
}

/* If no thread has seen anything new for a quarter of steps_max, and in the last quarter of every
 * run, all threads take turns and read the newest values. So a run that is reported as a livelock
 * had no fair way out. */
static void look_for_stall(const struct thread *t) {
    uint32_t quarter = S.o.steps_max / 4, until = S.o.steps_max - quarter;
    if (S.steps >= S.o.steps_max) {
        too_many_steps();
    }
    if (S.progress + quarter < until) {
        until = S.progress + quarter;
    }
    if (S.steps > until && S.paused) { /* threads may be spinning for a paused one */
        while (S.paused) {
            (void)go_on(first_of(S.paused));
        }
        S.progress = S.steps;
        until = S.steps + quarter;
    }
    bool stalls = S.steps > until;
    if (stalls && !S.stalls) {
        stall_begin();
    } else if (!stalls && S.stalls) {
        stall_end();
    }
    if (stalls) {
        stall_step(t);
    }
    S.look_at = stalls                      ? 0
                : until < S.o.steps_max - 1 ? until /* progress can only move it later */
                                            : S.o.steps_max - 1;
}

/* Counts a step of the run. */
static inline void step(const struct thread *t) {
    if (unlikely(++S.steps > S.look_at)) {
        look_for_stall(t);
    }
}

static struct thread *in_turn(struct thread *t, thread_set set) {
    enum { TURN_STEPS = 16 }; /* average: turns of fixed length could stay in step with loops */
    thread_set ready = set & S.ready ? set & S.ready : set;
    thread_set later = ready & ~((ONE(t->id) << 1) - 1);
    bool stays = ready >> t->id & 1 && (S.steps * 2654435761u) >> 16 & (TURN_STEPS - 1);
    struct thread *next = &S.threads[stays ? t->id : first_of(later ? later : ready)];
    next->eager = true;
    record(place_among(t, set, next));
    return next;
}

/* The size of a set, and its c-th member from 0. Sets of the first four threads use a table,
 * because a loop over a random set mispredicts its branch. */
static inline unsigned size_of(uint64_t set) {
    static const uint8_t size[16] = {0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4};
    return likely(set < 16) ? size[set] : (unsigned)__builtin_popcountll(set);
}

static inline unsigned nth_of(uint64_t set, unsigned c) {
    static const uint8_t nth[16][4] = {{0},    {0},       {1},       {0, 1},      {2},    {0, 2},
                                       {1, 2}, {0, 1, 2}, {3},       {0, 3},      {1, 3}, {0, 1, 3},
                                       {2, 3}, {0, 2, 3}, {1, 2, 3}, {0, 1, 2, 3}};
    if (likely(set < 16)) {
        return nth[set][c];
    }
    for (; c; c--) {
        set &= set - 1;
    }
    return (unsigned)__builtin_ctzll(set);
}

/* The common case of pick(): nobody sleeps, and choose() alone decides. NULL: not that case. */
static inline struct thread *pick_plainly(struct thread *t) {
    uint64_t set = (uint64_t)S.ready;
    if (S.waiting || S.threads_n > 64 || !set || !S.by_chance || t->dull >= S.o.stale_max ||
        S.stalls) {
        return NULL;
    }
    if (!(set & (set - 1))) {
        return &S.threads[__builtin_ctzll(set)];
    }
    unsigned c = choose_now(size_of(set)), runnable = set >> t->id & 1;
    if (c == 0 && runnable) {
        return t;
    }
    S.preemptions += runnable;
    return &S.threads[nth_of(set & ~((uint64_t)runnable << t->id), c - runnable)];
}

static struct thread *pick_anyhow(struct thread *t) {
    for (;;) {
        thread_set set = S.ready;
        bool runnable = set >> t->id & 1;
        if (unlikely(S.waiting)) {
            set |= may_return(set != 0);
        }
        if (unlikely(set == 0 && S.paused)) {
            return go_on(first_of(S.paused));
        }
        if (unlikely(set == 0)) {
            struct thread *first = NULL;
            for (thread_set m = S.waiting; m && S.o.timeouts_max; m &= m - 1) {
                struct thread *w = &S.threads[first_of(m)];
                if (w->deadline != SIM_NEVER && (!first || w->deadline < first->deadline)) {
                    first = w;
                }
            }
            if (!first && S.last && S.last->state == T_JOIN && !locked_out()) {
                S.last->state = T_READY;
                S.ready |= ONE(S.last->id);
                return S.last;
            }
            if (!first) {
                finish();
            }
            return_unwoken(first, true);
            continue;
        }
        bool fair = unlikely(S.stalls);
        if (fair) {
            t->eager = true;
        } else if (runnable &&
                   unlikely(t->dull >= S.o.stale_max && t->dull >= S.o.stale_max + uneven(t))) {
            t->turns++;
            t->eager = true;
            t->dull = 0;
            t->priority = S.pct_low ? S.pct_low-- : 0;
            set = others_in_turn(t, set);
        } else if (runnable && S.preemptions >= S.o.preemptions_max) {
            if (set != ONE(t->id)) {
                S.bounds |= SIM_BOUND_PREEMPTIONS;
            }
            return t;
        }
        struct thread *next = !(set & (set - 1)) ? &S.threads[first_of(set)]
                              : fair             ? in_turn(t, set)
                                                 : pick_among(t, set);
        if (runnable && next != t) {
            S.preemptions++;
        }
        if (unlikely(next->state == T_WAIT)) {
            return_unwoken(next, false);
        }
        return next;
    }
}

/* The process has ended while other threads run on for ever. That is allowed, except for threads
 * that should have been joined and see nothing new: a join would wait for ever. */
static _Noreturn void runs_after_end(const char *text) {
    bool awaited = false;
    for (thread_set m = S.ready; m; m &= m - 1) {
        const struct thread *t = &S.threads[first_of(m)];
        awaited |= !t->joined && !t->detached;
    }
    if (text && awaited && S.o.unjoined_is_leak) {
        leaked("livelock", "the process ends while threads that nobody joined spin for ever\n%s",
               text);
    }
    stop_run();
}

static inline struct thread *pick(struct thread *t) {
    struct thread *next = pick_plainly(t);
    return likely(next != NULL) ? next : pick_anyhow(t);
}

static _Noreturn void too_many_steps(void) {
    bool stalls = S.stalls && S.steps - S.novel > S.o.steps_max / 8;
    char text[500];
    size_t used = 0;
    for (thread_set m = S.ready; m && used < sizeof text; m &= m - 1) {
        const struct thread *t = &S.threads[first_of(m)];
        used += (size_t)snprintf(text + used, sizeof text - used,
                                 "T%u runs on without seeing anything new, at %p\n", t->id,
                                 (void *)t->pending.at);
    }
    if (S.last) { /* a thread that keeps writing may be meant to */
        runs_after_end(stalls && S.steps - S.wrote > S.o.steps_max / 2 ? text : NULL);
    }
    if (stalls) {
        found("livelock", "no progress in the last %u of %u steps\n%s", S.steps - S.novel, S.steps,
              text);
    }
    stop_bound(SIM_BOUND_STEPS);
}

static void pos_conflict(const struct thread *t) {
    const struct op *op = &t->pending;
    for (thread_set m = S.ready & ~ONE(t->id); m; m &= m - 1) {
        struct thread *u = &S.threads[first_of(m)];
        if (u->pending.at == op->at && (u->pending.writes || op->writes)) {
            u->priority = random64();
        }
    }
}

static void prioritise(struct thread *t) {
    if (S.o.source != SIM_PCT) {
        t->priority = random64();
        return;
    }
    if ((S.ready & (S.ready - 1)) == 0) {
        return;
    }
    S.pct_at++;
    for (unsigned i = 0; i < S.pct_points_n; i++) {
        if (S.pct_points[i] == S.pct_at) {
            t->priority = S.pct_low ? S.pct_low-- : 0;
        }
    }
}

/* t cannot continue for now. */
static void block(struct thread *t, uint8_t state) {
    t->state = state;
    S.ready &= ~ONE(t->id);
    step(t);
    struct thread *next = pick(t);
    if (next != t) {
        switch_to(t, next);
    }
}

void point(struct thread *t) {
    step(t);
    if (unlikely(t->stops_after != 0 && --t->stops_after == 0)) {
        sim_exit_thread();
    }
    if (unlikely(t->pauses_after != 0 && --t->pauses_after == 0)) {
        S.paused |= ONE(t->id);
        block(t, T_PAUSED);
    }
    t->dull++;
    bool by_priority = S.o.source >= SIM_PCT && S.o.source <= SIM_FEEDBACK;
    if (by_priority) {
        prioritise(t);
    }
    struct thread *next = pick(t);
    if (next != t) {
        switch_to(t, next);
    }
    if (by_priority && S.o.source != SIM_PCT) {
        pos_conflict(t);
    }
    if (S.o.source == SIM_FEEDBACK) {
        feedback_step(t);
    }
}

/* t ends the process, and continues when no other thread can. Threads that then run or wait for
 * ever are no finding. */
void go_last(struct thread *t) {
    S.last = t;
    t->wait_word = UINTPTR_MAX; /* does not wait for any thread */
    if (S.exploring) {
        explore_last(t);
    }
    block(t, T_JOIN);
}

/* ---- Threads --------------------------------------------------------------------------------- */

_Noreturn void sim_exit_thread(void) {
    struct thread *t = S.now;
    shadow_thread_ends(t);
    t->state = T_DONE;
    S.ready &= ~ONE(t->id);
    S.progress = S.steps;
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_EXIT, .thread = t->id});
    }
    if (S.exploring) {
        explore_exit(t);
    }
    struct thread *joiner = t->joiner;
    if (joiner) {
        joiner->state = T_READY;
        joiner->pending = (struct op){.kind = OP_LOCAL};
        S.ready |= ONE(joiner->id);
    }
    switch_to(t, pick(t));
    __builtin_unreachable();
}

void sim_stop_after(uint32_t operations) {
    if (S.active) {
        S.now->stops_after = operations;
    }
}

void sim_pause_after(uint32_t operations) {
    if (S.active) {
        S.now->pauses_after = operations;
    }
}

static void thread_entry(void) {
    struct thread *t = S.now;
    arrived(t);
    t->fn(t->arg);
    sim_exit_thread();
}

/* Skips numbers that the search gave to threads which this run does not start. */
static void numbers_below(uint32_t id) {
    for (; S.threads_n < id; S.threads_n++) {
        struct thread *t = &S.threads[S.threads_n];
        t->id = (uint8_t)S.threads_n;
        t->state = T_DONE;
        t->joined = true;
        memset(t->H, 0, sizeof t->H);
    }
}

/* Resets what other threads know of t, and what t knows of them. Clocks grow by four entries at a
 * time. */
static void clocks_begin(struct thread *t) {
    for (uint32_t i = 0; t->id % 4 == 0 && i < t->id; i++) {
        memset(S.threads[i].H + t->id, 0, 4 * sizeof(epoch));
        memset(S.threads[i].aH + t->id, 0, 4 * sizeof(epoch));
    }
    for (uint32_t i = 0; i < clock_width(); i += 4) {
        memset(t->H + i, 0, 4 * sizeof(epoch));
        memset(t->aH + i, 0, 4 * sizeof(epoch));
    }
}

static struct thread *thread_new(uint32_t id, void (*fn)(void *), void *arg) {
    numbers_below(id);
    if (id == S.threads_n) {
        S.threads_n++;
    }
    struct thread *t = &S.threads[id];
    t->id = (uint8_t)id;
    t->fn = fn;
    t->arg = arg;
    t->state = T_READY;
    t->pending = (struct op){.kind = OP_START};
    t->rel = NULL;
    t->joiner = NULL;
    t->call = 0;
    t->turns = t->stops_after = t->pauses_after = 0;
    t->frame = t->ops = t->dull = t->spurious = t->faults = t->timeouts = 0;
    t->eager = t->joined = t->detached = false;
    t->fake_stack = NULL;
    t->caught[0] = t->caught[1] = NULL;
    t->priority =
        S.o.source >= SIM_PCT && S.o.source <= SIM_FEEDBACK ? random64() | UINT64_C(1) << 32 : 0;
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(t->stack, S.stack_size); /* left by an abandoned run */
#endif
    t->sp = stack_prepare(t->stack + S.stack_size, thread_entry);
    if (S.exploring) {
        memset(t->H, 0, sizeof t->H);
        memset(t->aH, 0, sizeof t->aH);
        t->time_is_up = false;
    } else {
        clocks_begin(t);
    }
    t->H[id] = 1;
    S.ready |= ONE(id);
    return t;
}

int sim_spawn(void (*fn)(void *), void *arg) {
    struct thread *t = S.now;
    if (!S.active || S.threads_n >= S.o.threads_max || S.threads_n >= THREADS) {
        return -1;
    }
    struct thread *u = thread_new(S.exploring ? explore_spawn(t) : S.threads_n, fn, arg);
    if (S.exploring) {
        memcpy(u->H, t->H, sizeof u->H);
        u->H[u->id] = 1;
        explore_started(u, t);
    } else {
        for (uint32_t i = 0; i < clock_width(); i += 4) {
            memcpy(u->H + i, t->H + i, 4 * sizeof(epoch));
        }
        u->H[u->id] = 1;
        for (uint32_t x = 1; x < S.atoms_n; x++) {
            u->cur[x] = t->cur[x];
            u->acq[x] = 0;
        }
    }
    t->H[t->id]++;
    S.progress = S.steps;
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_SPAWN,
                                .thread = t->id,
                                .value = u->id,
                                .pc = (uintptr_t)__builtin_return_address(0)});
    }
    return u->id;
}

void sim_join(int thread) {
    struct thread *t = S.now;
    if (!S.active || thread < 0 || (uint32_t)thread >= S.threads_n || thread == t->id) {
        found("invalid-join", "T%d joins T%d, which is not another thread", S.now ? S.now->id : -1,
              thread);
    }
    struct thread *u = &S.threads[thread];
    if (u->joined) {
        found("invalid-join", "T%d joins T%d, which was joined before", t->id, thread);
    }
    t->wait_word = (uintptr_t)thread;
    if (S.exploring) {
        explore_join(t, u);
    } else if (u->state != T_DONE) {
        u->joiner = t;
        block(t, T_JOIN);
    }
    u->joined = true;
    learn_of(t, u);
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_JOIN,
                                .thread = t->id,
                                .value = u->id,
                                .pc = (uintptr_t)__builtin_return_address(0)});
    }
}

void sim_detach(int thread) {
    if (S.active && thread >= 0 && (uint32_t)thread < S.threads_n) {
        S.threads[thread].detached = true;
    }
}

int sim_self(void) {
    return S.active ? S.now->id : 0;
}

void sim_yield(void) {
    if (!S.active || S.exploring) {
        return;
    }
    S.now->dull += S.o.stale_max / 4;
    S.now->pending = (struct op){.kind = OP_LOCAL};
    point(S.now);
}

void sim_progress(void) {
    S.now->dull = 0;
    S.progress = S.novel = S.steps;
}

/* ---- Waits, time, locks ---------------------------------------------------------------------- */

static void trace_return(const struct thread *t, enum sim_wait_result r, uintptr_t pc) {
    static const char *const how[] = {"woken", "not equal", "timed out", "spurious return"};
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_NOTE, .thread = t->id, .pc = pc, .text = how[r]});
    }
}

enum sim_wait_result sim_wait(const volatile void *word, uint32_t expected, uint64_t deadline_ns) {
    uintptr_t at = (uintptr_t)word, pc = (uintptr_t)__builtin_return_address(0);
    if (!S.active) {
        return *(const volatile uint32_t *)word == expected ? SIM_SPURIOUS : SIM_NOT_EQUAL;
    }
    struct thread *t = S.now;
    if (S.exploring) {
        enum sim_wait_result r = explore_wait(t, at, expected, deadline_ns, pc);
        if (r != SIM_NOT_EQUAL) {
            trace_return(t, r, pc);
        }
        return r;
    }
    t->pending = (struct op){.kind = OP_WAIT, .at = at, .reads = true, .pc = pc};
    point(t);
    uint32_t value = (uint32_t)read_newest(at, 4, pc);
    bool sleeps = value == expected;
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_WAIT,
                                .at = at,
                                .size = 4,
                                .pc = pc,
                                .thread = t->id,
                                .value = value,
                                .wrote = expected,
                                .failed = !sleeps});
    }
    if (sleeps) {
        t->wait_word = at;
        t->expected = expected;
        t->deadline = deadline_ns;
        t->queue = S.queue++;
        t->state = T_WAIT;
        S.waiting |= ONE(t->id);
    }
    t->pending = (struct op){.kind = OP_TIMEOUT, .at = at};
    t->H[t->id]++;
    if (!sleeps) {
        return SIM_NOT_EQUAL;
    }
    block(t, T_WAIT);
    trace_return(t, t->woken, pc);
    return t->woken;
}

unsigned sim_wake(const volatile void *word, unsigned count) {
    if (!S.active) {
        return 0;
    }
    struct thread *t = S.now;
    uintptr_t at = (uintptr_t)word, pc = (uintptr_t)__builtin_return_address(0);
    if (S.exploring) {
        explore_queue_turn(t, at, pc);
    } else {
        t->pending = (struct op){.kind = OP_WAKE, .at = at};
        point(t);
    }
    unsigned n = 0;
    while (n < count) {
        struct thread *first = NULL;
        for (thread_set m = S.waiting; m; m &= m - 1) {
            struct thread *w = &S.threads[first_of(m)];
            if (w->wait_word == at && (!first || w->queue < first->queue)) {
                first = w;
            }
        }
        if (!first) {
            break;
        }
        first->woken = SIM_WOKEN;
        if (S.exploring) {
            explore_wake_thread(first);
        } else {
            unqueue(first);
            saw_new(first);
        }
        n++;
    }
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_WAKE,
                                .at = at,
                                .size = 4,
                                .pc = pc,
                                .thread = t->id,
                                .value = n,
                                .wrote = count});
    }
    return n;
}

unsigned wait_elsewhere(uintptr_t word, uintptr_t to, uint32_t count) {
    unsigned n = 0;
    for (struct thread *first; n < count; n++) {
        first = NULL;
        for (thread_set m = S.waiting; m; m &= m - 1) {
            struct thread *w = &S.threads[first_of(m)];
            if (w->wait_word == word && (!first || w->queue < first->queue)) {
                first = w;
            }
        }
        if (!first) {
            break;
        }
        first->wait_word = to;
        first->expected = *(const volatile uint32_t *)to;
        first->queue = S.queue++;
    }
    return n;
}

uint64_t sim_clock_ns(void) {
    if (!S.active) {
        return 0;
    }
    return S.exploring ? explore_clock(S.now, 0, (uintptr_t)__builtin_return_address(0)) : S.clock;
}

void sim_sleep_until(uint64_t deadline_ns) {
    if (!S.active) {
        return;
    }
    if (S.exploring) {
        if (deadline_ns != SIM_NEVER) {
            explore_sleep(S.now, deadline_ns, (uintptr_t)__builtin_return_address(0));
        }
        return;
    }
    S.now->dull += S.o.stale_max / 4;
    S.now->pending = (struct op){.kind = OP_OBJECT, .at = 2};
    point(S.now);
    if (deadline_ns != SIM_NEVER && deadline_ns > S.clock) {
        S.clock = deadline_ns;
    }
}

static struct lock *lock_at(uintptr_t at) {
    struct cell *c = cell_at(at);
    for (uint32_t i = c->lock; i; i = S.locks[i].next) {
        if (S.locks[i].at == at) {
            return &S.locks[i];
        }
    }
    if (S.locks_n >= LOCKS_MAX) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    struct lock *l = &S.locks[S.locks_n];
    *l = (struct lock){.at = at, .owner = -1, .next = c->lock};
    c->lock = S.locks_n++;
    return l;
}

/* Threads that lock l are ready exactly while no thread holds it. */
static void lockers_ready(const struct lock *l, bool ready) {
    for (uint32_t i = 0; i < S.threads_n; i++) {
        struct thread *t = &S.threads[i];
        if (t->wait_word != l->at || t->pending.kind != OP_LOCK || t->state == T_DONE) {
            continue;
        }
        if (ready && t->state == T_LOCK) {
            t->state = T_READY;
            S.ready |= ONE(i);
        } else if (!ready && t->state == T_READY && t != S.now) {
            t->state = T_LOCK;
            S.ready &= ~ONE(i);
        }
    }
}

static void lock_take(struct lock *l, struct thread *t, uintptr_t pc) {
    l->owner = t->id;
    if (!S.exploring) {
        lockers_ready(l, false);
    }
    snap_join(l->released, t->cur, t->H);
    if (l->released) {
        saw_new(t);
    }
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_LOCK, .at = l->at, .pc = pc, .thread = t->id});
    }
    t->pending.kind = OP_LOCAL;
}

void sim_lock(const volatile void *object) {
    if (!S.active) {
        return;
    }
    struct thread *t = S.now;
    uintptr_t at = (uintptr_t)object;
    struct lock *l = lock_at(at);
    if (l->owner == t->id) {
        found("deadlock", "T%u locks %p, which it holds already", t->id,
              (const void *)(uintptr_t)object);
    }
    t->wait_word = at;
    t->pending = (struct op){.kind = OP_LOCK, .at = at};
    if (S.exploring) {
        explore_lock(t, at, (uintptr_t)__builtin_return_address(0));
    } else if (l->owner >= 0) {
        block(t, T_LOCK);
    } else {
        point(t);
    }
    lock_take(l, t, (uintptr_t)__builtin_return_address(0));
}

static bool try_lock(const volatile void *object, bool ordered, uintptr_t pc) {
    struct thread *t = S.now;
    uintptr_t at = (uintptr_t)object;
    bool mine;
    struct lock *l = lock_at(at);
    if (S.exploring) {
        mine = explore_try_lock(t, at, ordered, pc);
    } else {
        t->pending = (struct op){.kind = OP_OBJECT, .at = at};
        point(t);
        mine = l->owner < 0;
    }
    if (mine) {
        lock_take(l, t, pc);
    }
    return mine;
}

bool sim_try_lock(const volatile void *object) {
    return !S.active || try_lock(object, false, (uintptr_t)__builtin_return_address(0));
}

bool try_lock_to_queue(const volatile void *object) {
    return try_lock(object, true, (uintptr_t)__builtin_return_address(0));
}

void sim_unlock(const volatile void *object) {
    if (!S.active) {
        return;
    }
    struct thread *t = S.now;
    uintptr_t at = (uintptr_t)object;
    struct lock *l = lock_at(at);
    if (l->owner != t->id) {
        found("invalid-unlock", "T%u unlocks %p, which it does not hold", t->id,
              (const void *)(uintptr_t)object);
    }
    bool ordered = true;
    if (S.exploring) {
        ordered = explore_unlock(t, at, (uintptr_t)__builtin_return_address(0));
    } else {
        t->pending = (struct op){.kind = OP_UNLOCK, .at = at};
        point(t);
    }
    l->owner = -1;
    if (ordered) {
        l->released = snapshot(t);
    }
    t->H[t->id]++;
    if (!S.exploring) {
        lockers_ready(l, true);
    }
    if (S.tracing) {
        trace_add((struct line){.kind = LINE_UNLOCK,
                                .at = at,
                                .pc = (uintptr_t)__builtin_return_address(0),
                                .thread = t->id});
    }
}

/* ---- A run from start to end ----------------------------------------------------------------- */

void run_configure(const struct sim_options *options) {
    S.o = *options;
    if (S.o.threads_max > THREADS || !S.o.threads_max) {
        S.o.threads_max = THREADS;
    }
    if (!S.o.messages_max) {
        S.o.messages_max = 1;
    }
    if (S.o.messages_max > 2048) {
        S.o.messages_max = 2048;
    }
    if (!S.o.stale_max) {
        S.o.stale_max = 1;
    }
    if (S.o.page_size < 4096 || (S.o.page_size & (S.o.page_size - 1))) {
        fprintf(stderr, "sim: page_size %u is not a power of two of at least 4096\n",
                S.o.page_size);
        exit(2);
    }
    shadow_setup();
    stacks_setup();
}

void sim_reset(void) {
    if (S.cells && !S.active) {
        shadow_reset();
    }
}

void run_once(void (*program)(void *), void *arg) {
    shadow_reset();
    machine_reset();
    S.threads_n = 0;
    S.ready = S.waiting = S.paused = 0;
    S.steps = S.progress = S.wrote = S.novel = S.queue = 0;
    S.look_at = 0;
    S.stalls = false;
    S.turned = 0;
    S.last = NULL;
    S.foreign = 0;
    S.quiet = S.quiet_step = 0;
    S.watch = 0;
    S.preemptions = 0;
    S.by_chance = S.o.source <= SIM_UNIFORM && S.o.preemptions_max == UINT_MAX;
    S.uniform = S.o.source == SIM_UNIFORM && !S.exploring;
    S.choices_n = S.bytes_at = 0;
    S.rng = S.o.seed * UINT64_C(0xD1342543DE82EF95) + 1;
    S.finding = NULL;
    S.bounds = S.mixed = 0;
    S.clock = 0;
    S.cut = false;
    S.tracing = S.o.trace;
    S.coverage = S.o.coverage;
    S.lines_n = 0;
    S.detail[0] = 0;
    sim_watch = S.exploring; /* stall_begin() sets it too */
    if (S.exploring) {
        explore_record_header();
    }
    if (S.o.source == SIM_PCT) {
        pct_begin();
    }
    if (S.o.source == SIM_FEEDBACK) {
        feedback_begin();
    }
    struct thread *t = thread_new(0, program, arg);
    if (S.exploring) {
        explore_started(t, NULL);
    }
    S.now = t;
    S.active = true;
#ifdef WITH_ASAN
    host_bottom = NULL;
    __sanitizer_start_switch_fiber(&host_fake, t->stack, S.stack_size);
#endif
    sim_switch(&S.host_sp, t->sp);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(host_fake, NULL, NULL);
#endif
    S.active = false;
    sim_watch = 0;
}

static void fill_result(struct sim_result *r) {
    r->finding = S.finding;
    memcpy(r->detail, S.detail, sizeof r->detail);
    r->bounds = S.bounds;
    r->steps = S.steps;
    r->preemptions = S.preemptions;
    r->mixed = S.mixed;
    r->clock_ns = S.clock;
    r->choices = S.choices;
    r->choices_n = S.choices_n;
}

const char *sim_run(const struct sim_options *options, void (*program)(void *), void *arg,
                    struct sim_result *result) {
    if (S.active) {
        fprintf(stderr, "sim: sim_run inside a run\n");
        abort();
    }
    S.exploring = false;
    run_configure(options);
    if (S.o.source == SIM_REPLAY && S.o.choices_n && S.o.choices[0] == FROM_SEARCH) {
        explore_replay(program, arg);
    } else {
        run_once(program, arg);
    }
    if (result) {
        fill_result(result);
    }
    return S.finding;
}
