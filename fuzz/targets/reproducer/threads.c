/* threads.c: what reproducers of several threads are put together from.
 *
 * reproducer.c takes the parts that a program needs (a line `= NAME: needs =` begins each), and
 * writes the program's operations as calls behind them.
 *
 * Real threads run the program round after round. First a sweep: one thread is stopped after its
 * first, second, third, ... machine instruction (by the processor's trap flag, x86-64), the others
 * run to their end, it goes on; so for each thread. Every schedule with one preemption is met that
 * way. Then by chance, with short random pauses, until the time is up. Where the engine's schedule
 * changed threads between operations only, turn() makes them take turns in place of all that. */

/*= base: =*/
#include "pagebox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *now_in = "the start", *now_rule = "R0"; /* the call that runs */

/* A rule is broken: says which, and how. */
__attribute__((format(printf, 2, 3))) _Noreturn static void fail(const char *rule,
                                                                 const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s is broken in %s: ", rule, now_in);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

static void on_crash(int number) {
    printf("%s is broken: the library crashed in %s (%s)\n", now_rule, now_in, strsignal(number));
    fflush(stdout);
    _exit(1);
}

static void watch(void) {
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        signal(fatal[i], on_crash);
    }
    alarm(60); /* what takes longer hangs */
}

/* The bytes that are written: never 0, neighbours differ. */
static const unsigned char *pattern(void) {
    static unsigned char bytes[160 * 1024];
    for (size_t i = 0; bytes[0] == 0 && i < sizeof bytes; i++) {
        bytes[sizeof bytes - 1 - i] = (unsigned char)(1 + (i * 7 + i / 251) % 255);
    }
    return bytes;
}

#define BIT(status) (1u << (status))

/* The call's answer is one of a set, BIT(PB_OK) | ... */
static void expect(const char *rule, enum pb_status got, unsigned set) {
    printf("%s: %s\n", now_in, pb_status_name(got));
    if ((unsigned)got >= PB_STATUS_COUNT || !(set & BIT(got))) {
        char wanted[256] = "";
        for (unsigned i = 0; i < PB_STATUS_COUNT; i++) {
            if (set & BIT(i)) {
                strcat(strcat(wanted, " "), pb_status_name((enum pb_status)i));
            }
        }
        fail(rule, "%s, where it must be:%s", pb_status_name(got), wanted);
    }
}

/*= nofaults: base =*/
static const unsigned faults_seen = 0;

static int due(unsigned call) {
    (void)call;
    return 0;
}

/*= allocator: base =*/
static long blocks; /* of the library's, alive */

static void *allocate_zeroed(void *context, size_t bytes) {
    (void)context;
    void *at = due(14) ? NULL : calloc(1, bytes);
    blocks += at != NULL;
    return at;
}

static void *resize(void *context, void *old, size_t bytes) {
    (void)context;
    void *at = due(15) ? NULL : realloc(old, bytes);
    blocks += old == NULL && at != NULL;
    return at;
}

static void release(void *context, void *at) {
    (void)context;
    blocks -= at != NULL;
    free(at);
}

static const struct pb_allocator allocator = {allocate_zeroed, resize, release, NULL};

/* What a call may answer when the system refused it memory. */
#define WANT (BIT(PB_NO_MEMORY) | BIT(PB_NO_DESCRIPTORS) | BIT(PB_INTERRUPTED) | BIT(PB_SYSTEM))

/*= threads: base nofaults allocator =*/
#include <pthread.h>
#include <sched.h>
#include <time.h>
#include <ucontext.h>

#ifndef SECONDS
#define SECONDS 5 /* how long to look for the failure, after the sweep */
#endif
#define SWEEP_SECONDS 30 /* how long the sweep may take */

enum { LISTED_MAX = 256 };

static struct pb_memory *root;         /* the memory of this round; NULL: none */
static struct pb_memory *handle[8][4]; /* each thread has clones of its own */
static uint32_t max_pages, first_pages;
static struct pb_mailbox *mailbox;
static _Atomic unsigned finished, waiting, round_now, entered;
static _Atomic int disabled, closed, moved, wild;
static unsigned threads; /* how many there are */
static struct timespec began;

static unsigned random_next(unsigned thread) {
    static _Thread_local unsigned state;
    state = state != 0 ? state : 0x9E3779B9u + thread * 0x85EBCA6Bu;
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

/* ---- The sweep: one thread stops inside of its operations */

static _Atomic unsigned step_thread, step_stop = 1; /* who stops, after how many instructions */
static _Atomic int sweeping, step_gate, step_hit;
static _Thread_local unsigned long steps;

static double elapsed_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - began.tv_sec) + (double)(now.tv_nsec - began.tv_nsec) / 1e9;
}

#ifdef __x86_64__
enum { TRAP_FLAG = 0x100 };

/* After each instruction of the thread. When it is time, the others run until they have ended, or
 * sleep, or have had 5 ms (they may want a lock that this thread holds). */
static void on_step(int number, siginfo_t *information, void *context) {
    (void)number;
    (void)information;
    if (++steps < step_stop) {
        return;
    }
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    double start = elapsed_s();
    step_hit = step_gate = 1;
    while (finished + waiting + 1 < threads && elapsed_s() - start < 0.005) {
        sched_yield();
    }
}

static void stepping_set(int on) {
    unsigned long long flags = __builtin_ia32_readeflags_u64() & ~(unsigned long long)TRAP_FLAG;
    __builtin_ia32_writeeflags_u64(on ? flags | TRAP_FLAG : flags);
}

static void sweep_begin(void) {
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    sweeping = threads > 1 && sigaction(SIGTRAP, &action, NULL) == 0;
}
#else
static void stepping_set(int on) {
    (void)on;
}
static void sweep_begin(void) {}
#endif

static void run_thread(unsigned n); /* the n-th thread's operations */

static void run_in_sweep(unsigned n) {
    if (n == step_thread) {
        steps = 0;
        stepping_set(1);
        run_thread(n);
        stepping_set(0);
        step_gate = 1;
    } else {
        while (!step_gate && waiting == 0) {
            sched_yield();
        }
        run_thread(n);
    }
}

/* Stops one instruction later in the next round; the next thread when this one came to its end. */
static void sweep_next(void) {
    step_stop = step_hit ? step_stop + 1 + step_stop / 2000 : 1;
    step_thread += !step_hit;
    step_gate = step_hit = 0;
    if (step_thread == threads || elapsed_s() > SWEEP_SECONDS) {
        sweeping = 0;
        clock_gettime(CLOCK_MONOTONIC, &began);
    }
}

/* A short pause of random length, so that threads meet at all places. */
static void jitter(unsigned thread) {
    if (sweeping) {
        return;
    }
    unsigned length = random_next(thread) % (1u << random_next(thread) % 11);
    for (volatile unsigned i = 0; i < length; i++) {
    }
}

/* True when nobody but sleepers is left. */
static int is_idle(void) {
    return finished + waiting == threads;
}

static void sleep_ms(long milliseconds) {
    nanosleep(&(struct timespec){0, milliseconds * 1000000}, NULL);
}

/* Operations in the order of the engine's schedule: the k-th begins when all before it have ended
 * or sleep. Those that never began there come after all others, in any order. */
static _Atomic unsigned turns_begun, turns_ended;

static void turn(unsigned k) {
    unsigned polls = 0;
    while (turns_begun < k || (turns_ended < k && ++polls < 50)) {
        sleep_ms(1);
    }
    turns_begun++;
}

static void turn_ended(void) {
    turns_ended++;
}

static uint64_t end_of(unsigned slot) {
    (void)slot;
    return root != NULL ? pb_memory_size_bytes(root) : 0;
}

/*= t_memory: threads =*/
static struct { uint32_t old_pages, delta; } grown[LISTED_MAX];
static _Atomic unsigned growths;

static void grew(uint32_t old_pages, uint32_t delta) {
    unsigned i = delta != 0 ? growths++ : LISTED_MAX;
    if (i < LISTED_MAX) {
        grown[i].old_pages = old_pages;
        grown[i].delta = delta;
    }
}

/* Each success began where another one ended (R11). */
static void check_growth(void) {
    uint32_t pages = first_pages;
    int used[LISTED_MAX] = {0};
    for (unsigned i = 0; i < growths && i < LISTED_MAX; i++) {
        unsigned n = 0;
        while (n < growths && (used[n] || grown[n].old_pages != pages)) {
            n++;
        }
        if (n == growths) {
            fail("R11-shared-grow", "no growth began at %u pages", pages);
        }
        used[n] = 1;
        pages += grown[n].delta;
    }
    if (pb_memory_size_pages(root) != pages) {
        fail("R11-shared-grow", "%u pages, where the growths add up to %u",
             pb_memory_size_pages(root), pages);
    }
}

/* Waits and notifies of this round. */
static struct wait {
    uint64_t address, expected;
    unsigned width;
    _Atomic int outcome; /* -1: sleeps; the wait's result; 3: an error */
} waits[LISTED_MAX];
static struct notify {
    uint64_t address, value; /* of the 8 bytes, before */
    uint32_t count, woken;
    _Atomic int ended;
} notifies[LISTED_MAX];
static _Atomic unsigned waits_n, notifies_n;

/* R22: as many returned 0 as notifies counted. */
static void check_sums(void) {
    for (unsigned i = 0; i < notifies_n && i < LISTED_MAX; i++) {
        uint64_t woken = 0, notified = 0;
        for (unsigned j = 0; j < notifies_n && j < LISTED_MAX; j++) {
            woken += notifies[j].address == notifies[i].address ? notifies[j].woken : 0;
        }
        for (unsigned j = 0; j < waits_n && j < LISTED_MAX; j++) {
            notified += waits[j].address == notifies[i].address && waits[j].outcome == 0;
        }
        if (woken != notified) {
            fail("R22-no-spurious", "%llu waits were notified, and notifies counted %llu",
                 (unsigned long long)notified, (unsigned long long)woken);
        }
    }
}

/* Somebody sleeps and nobody else runs: was the sleeper promised a wake? */
static void judge_waits(void) {
    for (unsigned i = 0; i < waits_n && i < LISTED_MAX; i++) {
        uint64_t value = 0;
        if (waits[i].outcome != -1) {
            continue;
        }
        now_in = "pb_memory_wait";
        if (disabled) {
            fail("R29-disable", "a wait sleeps on after atomics were disabled");
        }
        pb_memory_load(root, (uint32_t)waits[i].address, 0, waits[i].width, &value);
        for (unsigned j = 0; j < notifies_n && j < LISTED_MAX; j++) {
            uint64_t then = waits[i].width == 4 ? (uint32_t)notifies[j].value : notifies[j].value;
            if (notifies[j].address == waits[i].address && notifies[j].ended &&
                notifies[j].woken < notifies[j].count && then != waits[i].expected &&
                value != waits[i].expected) {
                fail("R21-atomic-enqueue",
                     "a wait for %llu sleeps; the value was changed, and the notify after that "
                     "woke %u of %u",
                     (unsigned long long)waits[i].expected, notifies[j].woken, notifies[j].count);
            }
        }
    }
}

static void memory_begin(const char *strategy, uint32_t min, uint32_t max, int is_static,
                         uint32_t waiters) {
    struct pb_memory_style style = {is_static ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
                                    is_static ? max : 0, 0};
    struct pb_memory_config config = {
        .type = {min, max, true}, .style = &style, .waiters_max = waiters, .allocator = NULL};
    now_in = "pb_memory_create";
    config.strategy = strcmp(strategy, "reserve_rw") == 0 ? PB_STRATEGY_RESERVE_RW
                      : strcmp(strategy, "guard") == 0    ? PB_STRATEGY_GUARD
                                                          : PB_STRATEGY_RESERVE;
    enum pb_status status = pb_memory_create(&config, &root);
    if (status != PB_OK) {
        fail("R1-create", "%s", pb_status_name(status));
    }
    first_pages = min;
    max_pages = max;
}

static void memory_clones(void) {
    growths = waits_n = notifies_n = 0;
    for (unsigned t = 0; t < 8 && root != NULL; t++) {
        if (pb_memory_type(root).shared && pb_memory_clone(root, &handle[t][0]) != PB_OK) {
            fail("R14-clone", "a shared memory refused to be cloned");
        }
    }
}

static void memory_end(void) {
    if (root == NULL) {
        return;
    }
    now_in = "the end of a round";
    check_growth();
    check_sums();
    if (pb_memory_waiters(root) != 0) {
        fail("R27-queue-life", "%u waiters are left", pb_memory_waiters(root));
    }
    for (unsigned t = 0; t < 8; t++) {
        for (unsigned i = 0; i < 4; i++) {
            pb_memory_destroy(handle[t][i]);
            handle[t][i] = NULL;
        }
    }
    pb_memory_destroy(root);
    root = NULL;
}

/*= t_memory_grow: t_memory =*/
static void memory_grow(unsigned t, unsigned slot, uint32_t delta) {
    uint32_t old = 0;
    struct pb_memory *memory = handle[t][slot];
    if (memory == NULL) {
        return;
    }
    uint64_t before = pb_memory_size_pages(memory), value;
    enum pb_status status = pb_memory_grow(memory, delta, &old);
    uint64_t after = pb_memory_size_pages(memory);
    now_in = "pb_memory_grow";
    if (status == PB_OK) {
        grew(old, delta);
        uint64_t last = ((uint64_t)old + delta) * 65536 - 1;
        if ((uint64_t)old + delta > max_pages || old < before) {
            fail("R5-grow-limit", "from %u by %u, of at most %u pages", old, delta, max_pages);
        }
        if (after < (uint64_t)old + delta ||
            pb_memory_load(memory, (uint32_t)last, 0, 1, &value) != PB_OK) {
            fail("R11-shared-grow", "the last byte of a growth is out of bounds");
        }
    } else if (status != PB_LIMIT || after + delta <= max_pages) {
        fail(status == PB_LIMIT ? "R5-grow-limit" : "R6-grow-atomic", "%s", pb_status_name(status));
    }
}

/*= t_memory_copy: t_memory =*/
static void memory_copy(unsigned t, unsigned slot, unsigned to) {
    struct pb_memory *copy = NULL;
    (void)to;
    if (handle[t][slot] == NULL) {
        return;
    }
    uint32_t before = pb_memory_size_pages(handle[t][slot]);
    enum pb_status status = pb_memory_copy(handle[t][slot], &copy);
    now_in = "pb_memory_copy";
    if (status != PB_OK) {
        fail("R13-copy", "%s", pb_status_name(status));
    }
    uint32_t pages = pb_memory_size_pages(copy), after = pb_memory_size_pages(handle[t][slot]);
    uint64_t value;
    if (pages < before || pages > after ||
        pb_memory_load(copy, pages * 65536 - 1, 0, 1, &value) != PB_OK) {
        fail("R13-copy", "a copy of %u to %u pages has %u", before, after, pages);
    }
    pb_memory_destroy(copy);
}

/*= t_memory_clone: t_memory =*/
static void memory_clone(unsigned t, unsigned slot, unsigned to) {
    if (handle[t][slot] != NULL && handle[t][to] == NULL &&
        pb_memory_clone(handle[t][slot], &handle[t][to]) != PB_OK) {
        fail("R14-clone", "a shared memory refused to be cloned");
    }
}

/*= t_memory_destroy: t_memory =*/
static void memory_destroy(unsigned t, unsigned slot) {
    struct pb_memory *gone = handle[t][slot];
    handle[t][slot] = NULL;
    pb_memory_destroy(gone);
}

/*= t_memory_load: t_memory =*/
static void memory_load(unsigned t, unsigned slot, uint64_t at, uint32_t offset, unsigned width) {
    uint64_t value;
    if (handle[t][slot] != NULL) {
        (void)pb_memory_load(handle[t][slot], (uint32_t)at, offset, width, &value);
    }
}

/*= t_memory_atomic_load: t_memory =*/
static void memory_atomic_load(unsigned t, unsigned slot, uint64_t at, uint32_t offset,
                               unsigned width) {
    uint64_t value;
    if (handle[t][slot] != NULL) {
        (void)pb_memory_atomic_load(handle[t][slot], (uint32_t)at, offset, width, &value);
    }
}

/*= t_memory_owner_of: t_memory =*/
static void memory_owner_of(unsigned t, unsigned slot, uint64_t at) {
    if (handle[t][slot] != NULL) {
        struct pb_address_owner owner;
        const uint8_t *base = atomic_load(&pb_memory_definition(handle[t][slot])->base);
        if (pb_memory_owner_of(base + at, &owner) && owner.offset_bytes != at) {
            fail("R4-owner", "byte %llu is told as %llu", (unsigned long long)at,
                 (unsigned long long)owner.offset_bytes);
        }
    }
}

/*= t_memory_store: t_memory =*/
static void memory_store(unsigned t, unsigned slot, uint64_t at, uint32_t offset, unsigned width,
                         uint64_t value) {
    wild = 1;
    if (handle[t][slot] != NULL) {
        (void)pb_memory_store(handle[t][slot], (uint32_t)at, offset, width, value);
    }
}

/*= t_memory_atomic_store: t_memory =*/
static void memory_atomic_store(unsigned t, unsigned slot, uint64_t at, uint32_t offset,
                                unsigned width, uint64_t value) {
    if (handle[t][slot] != NULL) {
        (void)pb_memory_atomic_store(handle[t][slot], (uint32_t)at, offset, width, value);
    }
}

/*= t_memory_atomic_rmw: t_memory =*/
static void memory_atomic_rmw(unsigned t, unsigned slot, const char *kind, uint64_t at,
                              uint32_t offset, unsigned width, uint64_t value) {
    static const char *const kinds[] = {"add", "sub", "and", "or", "xor", "xchg"};
    unsigned number = 0;
    uint64_t old;
    while (number < 5 && strcmp(kinds[number], kind) != 0) {
        number++;
    }
    if (handle[t][slot] != NULL) {
        (void)pb_memory_atomic_rmw(handle[t][slot], (enum pb_rmw)number, (uint32_t)at, offset,
                                   width, value, &old);
    }
}

/*= t_memory_bulk_copy: t_memory =*/
static void memory_bulk_copy(unsigned t, unsigned slot, uint64_t to, uint64_t from,
                             uint32_t count) {
    if (handle[t][slot] != NULL) {
        (void)pb_memory_bulk_copy(handle[t][slot], (uint32_t)to, (uint32_t)from, count % 256);
    }
}

/*= t_memory_bulk_fill: t_memory =*/
static void memory_bulk_fill(unsigned t, unsigned slot, uint64_t at, uint32_t value,
                             uint32_t count) {
    if (handle[t][slot] != NULL) {
        (void)pb_memory_bulk_fill(handle[t][slot], (uint32_t)at, (uint8_t)value, count % 256);
    }
}

/*= t_memory_initialise: t_memory =*/
static void memory_initialise(unsigned t, unsigned slot, uint64_t at, uint64_t count) {
    if (handle[t][slot] != NULL) {
        (void)pb_memory_initialise(handle[t][slot], at, pattern(), count % 256);
    }
}

/*= t_memory_read: t_memory =*/
static void memory_read(unsigned t, unsigned slot, uint64_t at, uint64_t count) {
    unsigned char bytes[256];
    if (handle[t][slot] != NULL) {
        (void)pb_memory_read(handle[t][slot], at, bytes, count % 256);
    }
}

/*= t_wait: t_memory =*/
static void wait_at(unsigned t, unsigned slot, uint64_t at, unsigned width, uint64_t expected,
                    int64_t timeout_ns) {
    enum pb_wait result = PB_WAIT_NOT_EQUAL;
    unsigned i = waits_n++;
    if (handle[t][slot] == NULL || i >= LISTED_MAX) {
        waits_n = i < LISTED_MAX ? i : LISTED_MAX;
        return;
    }
    struct wait *w = &waits[i];
    w->address = at;
    w->expected = expected;
    w->width = width;
    w->outcome = -1;
    if (timeout_ns > 0) { /* the engine lets it pass when it likes */
        timeout_ns = 1 + random_next(t) % 100000;
    }
    int was_disabled = disabled;
    waiting++;
    enum pb_status status =
        width == 4 ? pb_memory_wait32(handle[t][slot], at, (uint32_t)expected, timeout_ns, &result)
                   : pb_memory_wait64(handle[t][slot], at, expected, timeout_ns, &result);
    waiting--;
    w->outcome = status == PB_OK ? (int)result : 3;
    now_in = "pb_memory_wait";
    if (was_disabled && status != PB_DISABLED && status != PB_MISALIGNED &&
        status != PB_OUT_OF_BOUNDS) {
        fail("R29-disable", "a wait after disable says %s", pb_status_name(status));
    }
    if (status == PB_OK && result == PB_WAIT_TIMED_OUT && timeout_ns < 0) {
        fail("R23-timeout", "timed out without a timeout");
    }
}

/*= t_memory_wait32: t_wait =*/
static void memory_wait32(unsigned t, unsigned slot, uint64_t at, uint32_t expected,
                          int64_t timeout_ns) {
    wait_at(t, slot, at, 4, expected, timeout_ns);
}

/*= t_memory_wait64: t_wait =*/
static void memory_wait64(unsigned t, unsigned slot, uint64_t at, uint64_t expected,
                          int64_t timeout_ns) {
    wait_at(t, slot, at, 8, expected, timeout_ns);
}

/*= t_memory_notify: t_memory =*/
static void memory_notify(unsigned t, unsigned slot, uint64_t at, uint32_t count) {
    uint32_t woken = 0;
    uint64_t value = 0;
    unsigned i = notifies_n++;
    if (handle[t][slot] == NULL || i >= LISTED_MAX) {
        return;
    }
    if (pb_memory_load(handle[t][slot], (uint32_t)at, 0, 8, &value) != PB_OK) {
        (void)pb_memory_load(handle[t][slot], (uint32_t)at, 0, 4, &value);
    }
    notifies[i].address = at;
    notifies[i].count = count;
    notifies[i].woken = 0;
    notifies[i].value = value;
    notifies[i].ended = 0;
    enum pb_status status = pb_memory_notify(handle[t][slot], at, count, &woken);
    now_in = "pb_memory_notify";
    if (status == PB_OK && woken > count) {
        fail("R24-count", "notify woke %u of at most %u", woken, count);
    }
    notifies[i].woken = woken;
    notifies[i].ended = status == PB_OK;
}

/*= t_memory_disable_atomics: t_memory =*/
static void memory_disable_atomics(unsigned t, unsigned slot) {
    if (handle[t][slot] != NULL) {
        pb_memory_disable_atomics(handle[t][slot]);
        disabled = 1;
    }
}

/*= t_mailbox: threads =*/
static uint32_t box_offset, box_capacity, box_spill;
static struct sent {
    uint64_t id;
    unsigned thread;
    _Atomic int accepted, taken;
} sent[LISTED_MAX];
static _Atomic unsigned sends;
static _Atomic uint32_t dropped;
static uint32_t ids[8];
static struct pb_waker *wakers[8][4];

static struct pb_mailbox_words *words(void) {
    unsigned char *base = atomic_load(&pb_memory_definition(root)->base);
    return (struct pb_mailbox_words *)(void *)(base + box_offset);
}

static void mailbox_begin(const char *ground, uint32_t pages, const char *region, uint32_t capacity,
                          uint32_t cursor, uint32_t spill) {
    now_in = "pb_mailbox_attach";
    if (root == NULL) {
        int owned = strcmp(ground, "owned") == 0, heap = strcmp(ground, "heap") == 0;
        struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
        struct pb_memory_config config = {.type = {pages == 2 ? 2 : 1, 4, !owned && !heap},
                                          .style = &style,
                                          .strategy = owned  ? PB_STRATEGY_REMAP
                                                      : heap ? PB_STRATEGY_HEAP
                                                             : PB_STRATEGY_RESERVE};
        if (pb_memory_create(&config, &root) != PB_OK) {
            fail("R1-create", "a memory was refused");
        }
        first_pages = config.type.min_pages;
        max_pages = 4;
    }
    box_capacity = capacity;
    box_spill = spill;
    box_offset = strcmp(region, "back") == 0    ? 65536 - PB_MAILBOX_BYTES(capacity)
                 : strcmp(region, "start") == 0 ? 0
                                                : 1024;
    struct pb_mailbox_config config = {.memory = root,
                                       .offset = box_offset,
                                       .capacity = capacity,
                                       .first_cursor = cursor,
                                       .full = spill > 0 ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
                                       .spill_max = spill};
    enum pb_status status = pb_mailbox_attach(&config, &mailbox);
    if (status != PB_OK) {
        fail("R38-attach", "%s", pb_status_name(status));
    }
    memset(sent, 0, sizeof sent);
    sends = 0;
    dropped = 0;
    memset(ids, 0, sizeof ids);
}

/* Threads may still be in the middle of an enqueue: what is there and known is checked now, the
 * rest at the end. */
static void take(void *context, uint32_t id) {
    (void)context;
    int known = 0;
    if (wild) {
        return;
    }
    for (unsigned i = 0; i < sends && i < LISTED_MAX; i++) {
        known |= sent[i].id == id;
        if (sent[i].id == id && !sent[i].taken) {
            sent[i].taken = 1;
            for (unsigned j = 0; j < i; j++) { /* those of one thread stand in their order */
                if (sent[j].thread == sent[i].thread && sent[j].accepted && !sent[j].taken &&
                    sent[j].id != id) {
                    fail("R32-producer-order", "id %u before id %llu", id,
                         (unsigned long long)sent[j].id);
                }
            }
            return;
        }
    }
    now_in = "pb_guest_drain";
    fail(known || id == 0 ? "R31-publish" : "R30-invented", "the guest took id %u, which %s", id,
         known     ? "it had before"
         : id == 0 ? "is a slot that nobody wrote"
                   : "nobody sent");
}

static void enqueue(unsigned t, struct pb_waker *waker, uint64_t id) {
    unsigned i = sends++;
    if (i >= LISTED_MAX) {
        return;
    }
    sent[i].id = id;
    sent[i].thread = t;
    sent[i].accepted = sent[i].taken = 0;
    int was_closed = closed;
    enum pb_status status = waker != NULL ? pb_waker_wake(waker) : pb_mailbox_enqueue(mailbox, id);
    sent[i].accepted = status == PB_OK;
    now_in = "pb_mailbox_enqueue";
    if (was_closed && status == PB_OK) {
        fail("R36-enqueue-closed", "an enqueue after close says PB_OK");
    }
    if ((id == 0 || id > UINT32_MAX) && status != PB_INVALID) {
        fail("R30-id", "id %llu: %s", (unsigned long long)id, pb_status_name(status));
    }
    unsigned accepted = 0, taken = 0;
    for (unsigned n = 0; n < sends && n < LISTED_MAX; n++) {
        taken += sent[n].taken != 0;
        accepted += sent[n].accepted != 0;
    }
    if (threads == 1 && accepted > taken + box_capacity + box_spill && !wild) {
        fail("R33-capacity", "%u ids are waiting, %u fit", accepted - taken,
             box_capacity + box_spill);
    }
}

static void mailbox_end(void) {
    if (mailbox == NULL) {
        return;
    }
    uint32_t left = 1;
    now_in = "the end of a round";
    for (unsigned i = 0; i < 512 && left > 0 && !closed; i++) {
        (void)pb_mailbox_flush(mailbox, &left);
        (void)pb_guest_drain(words(), take, NULL);
    }
    if (!wild) {
        (void)pb_guest_drain(words(), take, NULL);
    }
    uint32_t lost = 0;
    for (unsigned i = 0; i < sends && i < LISTED_MAX; i++) {
        lost += sent[i].accepted && !sent[i].taken;
    }
    if (lost > dropped && !wild) {
        fail("R30-lost", "%u ids that were accepted are gone", lost);
    }
    for (unsigned t = 0; t < 8; t++) {
        for (unsigned i = 0; i < 4; i++) {
            pb_waker_release(wakers[t][i]);
            wakers[t][i] = NULL;
        }
    }
    pb_mailbox_release(mailbox);
    mailbox = NULL;
}

/* Nobody runs, and the guest or a host thread sleeps: is there something for it? */
static void judge_sleep(void) {
    uint32_t flag = words()->flag;
    now_in = "pb_guest_park";
    if (closed) {
        fail("R36-close-unseen", "somebody sleeps on after close");
    }
    if ((flag & PB_MAILBOX_SIGNALLED) || words()->tail != words()->head) {
        fail("R34-no-lost-wakeup", "the guest sleeps, flag %u, %u ids in the ring, nobody comes",
             flag, words()->tail - words()->head);
    }
}

/*= nomailbox: threads =*/
static void mailbox_end(void) {}

/*= t_mailbox_enqueue: t_mailbox =*/
static void mailbox_enqueue(unsigned t, uint32_t count) {
    for (uint32_t i = 0; i < count && i < 6; i++) {
        enqueue(t, NULL, ((t + 1u) << 16) + ++ids[t]);
    }
}

/*= t_mailbox_enqueue_id: t_mailbox =*/
static void mailbox_enqueue_id(unsigned t, uint64_t id) {
    enqueue(t, NULL, id);
}

/*= t_mailbox_flush: t_mailbox =*/
static void mailbox_flush(unsigned t) {
    uint32_t left;
    (void)t;
    (void)pb_mailbox_flush(mailbox, &left);
}

/*= t_mailbox_is_signalled: t_mailbox =*/
static void mailbox_is_signalled(unsigned t) {
    int was_closed = closed;
    (void)t;
    if (pb_mailbox_is_signalled(mailbox) && was_closed) {
        fail("R36-closed", "signalled after close");
    }
    closed |= pb_mailbox_is_closed(mailbox);
}

/*= t_mailbox_wait_for_signal: t_mailbox =*/
static void mailbox_wait_for_signal(unsigned t, int64_t timeout_ns) {
    (void)t;
    (void)timeout_ns;
    waiting++;
    while (pb_mailbox_wait_for_signal(mailbox, 2000000) == PB_TIMED_OUT && !is_idle()) {
    }
    waiting--;
}

/*= t_mailbox_hold: t_mailbox =*/
static _Thread_local int holds;

static void mailbox_hold(unsigned t) {
    (void)t;
    if (!holds) {
        pb_mailbox_hold(mailbox);
        holds = 1;
    }
}

/*= t_mailbox_unhold: t_mailbox_hold =*/
static void mailbox_unhold(unsigned t) {
    (void)t;
    if (holds && pb_mailbox_unhold(mailbox) != PB_OK) {
        fail("R37-unhold", "the region was lost in a memory that only grew");
    }
    holds = 0;
}

/*= t_mailbox_move: t_mailbox_hold t_memory =*/
static void mailbox_move(unsigned t, uint32_t delta) {
    uint32_t old;
    (void)t;
    if (holds && pb_memory_grow(root, delta, &old) == PB_OK) {
        moved = 1;
        grew(old, delta);
    }
}

/*= t_mailbox_grow: t_mailbox t_memory =*/
static void mailbox_grow(unsigned t, uint32_t delta) {
    uint32_t old;
    int was_closed = closed;
    (void)t;
    if (pb_mailbox_grow(mailbox, delta, &old) == PB_OK) {
        if (was_closed) {
            fail("R36-enqueue-closed", "a growth after close says PB_OK");
        }
        moved = 1;
        grew(old, delta);
    }
}

/*= t_mailbox_close: t_mailbox =*/
static void mailbox_close(unsigned t) {
    uint32_t count = 0;
    (void)t;
    pb_mailbox_close(mailbox, &count);
    dropped += count;
    closed = 1;
}

/*= t_mailbox_release: t_mailbox =*/
static void mailbox_release(unsigned t) {
    (void)t; /* the last reference closes: left out, all threads still use it */
}

/*= t_waker_create: t_mailbox =*/
static void waker_create(unsigned t, unsigned slot, uint64_t id) {
    if (wakers[t][slot] == NULL && pb_waker_create(mailbox, id, &wakers[t][slot]) != PB_OK) {
        wakers[t][slot] = NULL;
    }
}

/*= t_waker_clone: t_mailbox =*/
static void waker_clone(unsigned t, unsigned slot, unsigned to) {
    if (wakers[t][slot] != NULL && wakers[t][to] == NULL) {
        wakers[t][to] = pb_waker_retain(wakers[t][slot]);
    }
}

/*= t_waker_wake: t_mailbox =*/
static void waker_wake(unsigned t, unsigned slot) {
    if (wakers[t][slot] != NULL) {
        wild = 1;
        (void)pb_waker_wake(wakers[t][slot]);
    }
}

/*= t_waker_drop: t_mailbox =*/
static void waker_drop(unsigned t, unsigned slot) {
    pb_waker_release(wakers[t][slot]);
    wakers[t][slot] = NULL;
}

/*= t_guest_drain: t_mailbox =*/
static void guest_drain(unsigned t) {
    (void)t;
    (void)pb_guest_drain(words(), take, NULL);
}

/*= t_guest_park: t_mailbox =*/
/* Sleeps on the flag, however long: until it is woken, or nobody is left who could wake it. */
static int park_wait(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    (void)context;
    (void)timeout_ns;
    int answer = -1;
    waiting++;
    for (unsigned idle = 0; answer < 0;) {
        enum pb_wait result = PB_WAIT_TIMED_OUT;
        if (pb_memory_type(root).shared) {
            (void)pb_memory_wait32(root, box_offset + PB_MAILBOX_FLAG_OFFSET, expected, 500000,
                                   &result);
        } else if (pb_mailbox_wait_for_signal(mailbox, 2000000) != PB_TIMED_OUT) {
            result = PB_WAIT_NOTIFIED;
        }
        idle = result == PB_WAIT_TIMED_OUT && is_idle() ? idle + 1 : 0;
        /* Alone it is sure; another sleeper may have been woken and not have run yet. */
        answer = result != PB_WAIT_TIMED_OUT ? 0 : idle > (waiting == 1 ? 0 : 100) ? 2 : -1;
    }
    if (answer == 2 && *flag == expected && !wild) {
        judge_sleep();
    }
    waiting--;
    return answer;
}

static void park_flush(void *context) {
    (void)context;
    (void)pb_mailbox_flush(mailbox, NULL);
}

static void guest_park(unsigned t, int64_t timeout_ns, const char *meanwhile) {
    struct pb_guest_host host = {park_wait, park_flush, NULL};
    (void)t;
    (void)timeout_ns;
    (void)meanwhile;
    if (pb_guest_park(words(), &host, -1) == PB_PARK_CLOSED && !closed && !wild &&
        !(words()->flag & PB_MAILBOX_CLOSED)) {
        fail("R36-park", "the guest saw closed, and nobody closed");
    }
}

/*= t_guest_scribble: t_mailbox =*/
static void guest_scribble(unsigned t, const char *word, uint32_t slot, uint32_t value) {
    (void)t;
    _Atomic uint32_t *at = strcmp(word, "capacity") == 0 ? &words()->capacity
                           : strcmp(word, "flag") == 0   ? &words()->flag
                           : strcmp(word, "head") == 0   ? &words()->head
                           : strcmp(word, "tail") == 0   ? &words()->tail
                                                         : &words()->ring[slot % box_capacity];
    wild = 1;
    *at = value;
}

/*= t_main: threads =*/
static void round_begin(void); /* memory, mailbox, what runs first */
static unsigned long rounds;

static void *worker(void *argument) {
    unsigned n = (unsigned)(uintptr_t)argument;
    for (;;) {
        unsigned now = round_now;
        entered++;
        for (unsigned spins = 0; entered < threads; spins++) { /* all begin together */
            if (spins > 1000) {
                sched_yield();
            }
        }
        if (sweeping) {
            run_in_sweep(n);
        } else {
            run_thread(n);
        }
        if (++finished == threads) {
            mailbox_end();
            memory_end();
            rounds++;
            if (sweeping) {
                sweep_next();
            } else if (elapsed_s() > SECONDS || turns_begun > 0) {
                printf("good: no rule was broken in %lu rounds\n", rounds);
                fflush(stdout);
                _exit(0);
            }
            disabled = closed = moved = wild = 0;
            round_begin();
            entered = finished = 0;
            round_now++;
        }
        for (unsigned spins = 0; round_now == now; spins++) {
            if (spins > 1000) {
                sched_yield();
            }
        }
    }
    return NULL;
}

/* Looks after sleepers that nobody is left to wake: a finding, or the end of their round. */
static int run(unsigned count, int turns) {
    watch();
    alarm(SWEEP_SECONDS + SECONDS + 60);
    threads = count;
    if (!turns) {
        sweep_begin();
    }
    clock_gettime(CLOCK_MONOTONIC, &began);
    round_begin();
    if (count == 0) { /* all of it runs before the threads */
        mailbox_end();
        memory_end();
        printf("good: no rule was broken\n");
        return 0;
    }
    for (unsigned n = 0; n < count; n++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, worker, (void *)(uintptr_t)n) != 0) {
            printf("cannot start a thread\n");
            return 2;
        }
    }
    for (unsigned polls = 0, last = 0;; last = round_now) {
        sleep_ms(5);
        polls = last == round_now && waiting > 0 && is_idle() ? polls + 1 : 0;
        if (polls > 20) {
            judge_waits();
            pb_memory_disable_atomics(root);
            polls = 0;
        }
    }
}
