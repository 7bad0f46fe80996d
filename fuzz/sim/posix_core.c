/* posix_core.c: the common part of the pthread layer: objects by address, the state of threads,
 * queues, and the trace lines of calls. */
#include "posix.h"
#include "sites.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX 8192u

static struct object objects[OBJECTS_MAX]; /* open addressing by address */
static struct self selves[THREADS];
static uint32_t run_now, arrivals; /* both of run_now */

static const char *const kind_name[] = {
    "",     "mutex",     "condition variable", "rwlock", "barrier",
    "once", "semaphore", "spin lock",          "pipe",   "128-bit atomic"};

/* Resets a thread's state for a new run. The engine has already restored `ticket`. */
static void begin(struct self *me) {
    if (run_now != S.generation) {
        run_now = S.generation;
        arrivals = 0;
    }
    memset(me, 0, sizeof *me);
    me->run = S.generation;
}

struct self *self_of(unsigned thread) {
    struct self *me = &selves[thread];
    if (unlikely(me->run != S.generation)) {
        begin(me);
    }
    return me;
}

struct self *self(void) {
    return self_of(S.active ? S.now->id : 0);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

/* The program's code, if a driver is linked with it. */
extern char __start_sim_text[] __attribute__((weak)), __stop_sim_text[] __attribute__((weak));

static bool in_program(uintptr_t pc) {
    return pc - (uintptr_t)__start_sim_text <
           (uintptr_t)__stop_sim_text - (uintptr_t)__start_sim_text;
}

static bool follows_call(uintptr_t pc) {
#if defined(__x86_64__)
    return ((const uint8_t *)pc)[-5] == 0xe8 || ((const uint8_t *)pc)[-2] == 0xff;
#else
    return pc % 4 == 0;
#endif
}

/* If a library made the call (std::thread::join): the program's latest call on the stack, for
 * traces. */
uintptr_t place_of_program(uintptr_t pc) {
    enum { WORDS_MAX = 256 };
    const uintptr_t *word = (const uintptr_t *)__builtin_frame_address(0);
    const uintptr_t *end = (const uintptr_t *)(S.now->stack + S.stack_size);
    if (!__start_sim_text || in_program(pc)) {
        return pc;
    }
    for (unsigned i = 0; i < WORDS_MAX && word + i < end; i++) {
        if (in_program(word[i]) && follows_call(word[i])) {
            return word[i];
        }
    }
    return pc;
}

void enter(const char *name, uintptr_t pc) {
    if (!S.active) {
        fprintf(stderr, "sim: %s was called outside a run; call it from the program's main\n",
                name);
        exit(2);
    }
    struct self *me = self();
    me->in = name;
    if (unlikely(S.sites)) {
        site_barrier();
    }
    me->pc = pc;
    me->place = S.tracing ? place_of_program(pc) : pc;
    S.now->call = pc;
    me->mark = S.lines_n;
    if (unlikely(S.stalls)) {
        stall_call(pc);
    }
}

static bool inside_layer(uintptr_t at) {
    return at - (uintptr_t)selves < sizeof selves;
}

/* Line i of the trace is removed, so calls that are under way began one line earlier. */
static void drop_line(uint32_t i, uint32_t shift[THREADS]) {
    for (uint32_t t = 0; t < S.threads_n; t++) {
        shift[t] += self_of(t)->in && self_of(t)->mark > i;
    }
}

/* Gives the trace lines of this call the program's place, and drops those about the layer's own
 * words. */
static void settle(unsigned thread) {
    const struct self *me = &selves[thread];
    uint32_t kept = me->mark, shift[THREADS] = {0};
    for (uint32_t i = me->mark; i < S.lines_n; i++) {
        struct line l = S.lines[i];
        if (l.thread == thread && inside_layer(l.at)) {
            drop_line(i, shift);
            continue;
        }
        if (l.thread == thread) {
            l.pc = me->place;
        }
        S.lines[kept++] = l;
    }
    S.lines_n = kept;
    for (uint32_t t = 0; t < S.threads_n; t++) {
        selves[t].mark -= shift[t];
    }
}

int leave(int result) {
    struct self *me = self();
    if (S.tracing) {
        settle(S.now->id);
    }
    me->in = NULL;
    me->at = NULL;
    return result;
}

int fail(int error) {
    leave(0);
    errno = error;
    return -1;
}

void sim_posix_settle(void) {
    for (unsigned t = 0; t < S.threads_n && run_now == S.generation; t++) {
        if (self_of(t)->in) {
            settle(t);
        }
    }
}

void say(const char *format, ...) {
    if (!S.tracing) {
        return;
    }
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    sim_note("%s", text);
}

void misuse(const char *name, const char *format, ...) {
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    found(name, "T%u in %s: %s\n  @%lx", S.now->id, self()->in ? self()->in : "?", text,
          (unsigned long)self()->pc);
}

static void describe_object(const struct object *o, char *out, size_t n) {
    if (o->kind == OBJECT_PIPE) {
        snprintf(out, n, "a pipe, socket pair or event counter");
        return;
    }
    size_t used = (size_t)snprintf(out, n, "the %s %p", kind_name[o->kind], (void *)o->at);
    if (o->owner >= 0 && used < n) {
        bool ended = S.threads[o->owner].state == T_DONE;
        used += (size_t)snprintf(out + used, n - used, ", held by T%d%s", o->owner,
                                 ended ? ", which has ended" : "");
    }
    if (o->kind == OBJECT_CONDITION && o->idle_calls && used < n) {
        snprintf(out + used, n - used, "; signals while nobody waited: %u, the last by T%d",
                 o->idle_calls, o->idle_by);
    }
}

/* Removes the engine's lines about the layer's words, which mean nothing to a reader. */
static void drop_tickets(char *text) {
    for (unsigned t = 0; t < S.threads_n; t++) {
        char word[32];
        snprintf(word, sizeof word, " %p ", (void *)&selves[t].ticket);
        char *at = strstr(text, word);
        if (!at) {
            continue;
        }
        char *end = strchr(at, '\n');
        while (at > text && at[-1] != '\n') {
            at--;
        }
        memmove(at, end ? end + 1 : "", strlen(end ? end + 1 : "") + 1);
    }
}

void sim_posix_describe(char *text, size_t n) {
    if (run_now != S.generation) {
        return;
    }
    drop_tickets(text);
    size_t used = strlen(text);
    for (unsigned t = 0; t < S.threads_n && used < n; t++) {
        const struct self *s = self_of(t);
        char object[200] = "", stack[400];
        if (!s->in || S.threads[t].state == T_DONE) {
            continue;
        }
        if (s->at) {
            describe_object(s->at, object, sizeof object);
        }
        describe_stack(stack, sizeof stack, s->place, S.threads[t].frame);
        used += (size_t)snprintf(text + used, n - used, "T%u is in %s%s%s%s", t, s->in,
                                 s->at ? " on " : "", object, stack);
    }
}

/* ---- Objects --------------------------------------------------------------------------------- */

/* Fills a destroyed object's memory, to tell later use from a new initialiser. */
#define DESTROYED 0xDE

static bool marked_destroyed(const volatile void *at) {
    const volatile unsigned char *p = at;
    return p[0] == DESTROYED && p[1] == DESTROYED && p[2] == DESTROYED && p[3] == DESTROYED;
}

static void forget(struct object *o, uintptr_t at, enum object_kind kind) {
    *o = (struct object){
        .at = at, .run = S.generation, .kind = (uint8_t)kind, .owner = -1, .idle_by = -1};
    const pthread_mutex_t *m = (const pthread_mutex_t *)at;
    if (kind == OBJECT_MUTEX) {
        o->type = (uint8_t)(m->__data.__kind & 3); /* the type that a static initialiser sets */
    }
}

static struct object *entry_of(uintptr_t at) {
    uint32_t i = (uint32_t)((at >> 2) * 2654435761u) % OBJECTS_MAX;
    for (uint32_t tries = 0; tries < OBJECTS_MAX / 2; tries++, i = (i + 1) % OBJECTS_MAX) {
        if (objects[i].run != S.generation || objects[i].at == at) {
            return &objects[i];
        }
    }
    stop_bound(SIM_BOUND_MEMORY);
}

struct object *object_at(const volatile void *object, enum object_kind kind) {
    uintptr_t at = (uintptr_t)object;
    access_atomic(at & ~(uintptr_t)3, 1, false,
                  self()->pc); /* checks that the object is alive and was initialised before */
    struct object *o = entry_of(at);
    bool fresh = o->run != S.generation;
    if (!fresh && o->destroyed && marked_destroyed(object)) {
        misuse("use-after-destroy", "the %s %p was destroyed", kind_name[kind], (void *)at);
    }
    bool idle = !fresh && o->owner < 0 && !o->waiters;
    if (fresh || o->destroyed || (o->kind != kind && idle)) {
        forget(o, at, kind);
    } else if (o->kind != kind) {
        misuse("wrong-object", "%p is a %s in use", (void *)at, kind_name[o->kind]);
    }
    return o;
}

struct object *object_new(const volatile void *object, enum object_kind kind, size_t size) {
    uintptr_t at = (uintptr_t)object;
    access_plain(at, size, true, self()->pc);
    memset((void *)at, 0, size);
    struct object *o = entry_of(at);
    if (o->run == S.generation && !o->destroyed && o->kind == kind &&
        (o->owner >= 0 || o->waiters || (kind == OBJECT_BARRIER && o->count) ||
         (kind == OBJECT_RWLOCK && o->limit))) {
        misuse("init-while-held", "the %s %p is in use", kind_name[kind], (void *)at);
    }
    if (o->run == S.generation && !o->destroyed && o->kind == kind && kind == OBJECT_BARRIER) {
        misuse("initialised-twice", "the %s %p was not destroyed before", kind_name[kind],
               (void *)at);
    }
    forget(o, at, kind);
    return o;
}

void object_destroy(struct object *o, size_t size) {
    if (o->owner >= 0 || (o->kind == OBJECT_RWLOCK && o->limit)) {
        misuse("destroy-while-held", "the %s %p is held by T%d", kind_name[o->kind], (void *)o->at,
               o->owner);
    }
    if (o->waiters) {
        misuse("destroy-while-waited", "T%d waits on the %s %p", (int)first_of(o->waiters),
               kind_name[o->kind], (void *)o->at);
    }
    access_plain(o->at, size, true, self()->pc);
    memset((void *)o->at, DESTROYED, size);
    o->destroyed = true;
}

/* ---- Steps, order, sleep --------------------------------------------------------------------- */

void step(const volatile void *object) {
    if (S.exploring) {
        explore_step((uintptr_t)object, self()->pc);
    } else {
        S.now->pending = (struct op){.kind = OP_OBJECT, .at = (uintptr_t)object};
        point(S.now);
    }
}

void release(const struct snap **where) {
    *where = snapshot(S.now);
    S.now->H[S.now->id]++;
}

void acquire(const struct snap *from) {
    snap_join(from, S.now->cur, S.now->H);
}

void acquire_all(const struct object *o) {
    acquire(o->released);
    for (unsigned i = 0; i < S.threads_n; i++) {
        acquire(o->by[i]);
    }
}

void queue(struct object *o) {
    struct self *me = self();
    o->waiters |= ONE(S.now->id);
    me->at = o;
    me->seen = me->ticket;
    me->arrival = arrivals++;
}

/* Sleeps until unpark(), or not at all after an unpark() since queue(). If it returns for another
 * reason, the thread may still be queued, so a step on the object comes first. */
enum sim_wait_result park(struct object *o, uint64_t deadline) {
    struct self *me = self();
    if (S.exploring) { /* the queue is the object's, whose calls are totally ordered */
        S.now->wait_word = (uintptr_t)&me->ticket;
        S.now->expected = me->ticket;
        return explore_park(S.now, o->at, &o->waiters, deadline, me->pc);
    }
    enum sim_wait_result r = sim_wait(&me->ticket, me->seen, deadline);
    if (me->ticket != me->seen) {
        r = SIM_WOKEN;
    }
    if (r != SIM_WOKEN) {
        step((const void *)o->at);
        if (me->ticket != me->seen) {
            r = SIM_WOKEN; /* a wake-up came before the timeout */
        }
    }
    o->waiters &= ~ONE(S.now->id);
    return r;
}

void unpark(unsigned thread) {
    struct self *s = self_of(thread);
    if (S.exploring) {
        explore_wake_thread(&S.threads[thread]);
        return;
    }
    sim_atomic_rmw(&s->ticket, 4, SIM_ADD, 1, __ATOMIC_RELAXED);
    sim_wake(&s->ticket, 1);
}

void wake_all(struct object *o) {
    thread_set who = o->waiters;
    o->waiters = 0;
    for (; who; who &= who - 1) {
        unpark(first_of(who));
    }
}

bool await_what(struct object *o, bool (*ready)(const void *), const void *what,
                uint64_t deadline) {
    step((const void *)o->at);
    while (!ready(what)) {
        queue(o);
        enum sim_wait_result r = park(o, deadline);
        if (r == SIM_WOKEN) {
            step((const void *)o->at);
        }
        if (r == SIM_TIMED_OUT && !ready(what)) {
            return false;
        }
    }
    self()->at = NULL;
    return true;
}

struct awaited {
    const struct object *o;
    bool (*ready)(const struct object *);
};

static bool is_ready(const void *what) {
    const struct awaited *a = what;
    return a->ready(a->o);
}

bool await(struct object *o, bool (*ready)(const struct object *), uint64_t deadline) {
    return await_what(o, is_ready, &(struct awaited){o, ready}, deadline);
}
