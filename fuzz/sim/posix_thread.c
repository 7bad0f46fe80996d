/* posix_thread.c: threads, thread-local keys, compiler-emulated thread-locals, errno, and the
 * futex system call. */
#include "posix.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

/* ---- Threads --------------------------------------------------------------------------------- */

TWIN(pthread_create);
TWIN(pthread_join);
TWIN(pthread_detach);
_Noreturn void sim_pthread_exit(void *result);
TWIN(pthread_self);
TWIN(pthread_setname_np);
TWIN(pthread_setaffinity_np);
TWIN(sched_setaffinity);
TWIN(sched_getcpu);
TWIN(pthread_setcancelstate);
TWIN(pthread_setcanceltype);
void sim_pthread_testcancel(void);
TWIN(pthread_atfork);

/* In a search, each thread records its end, for pthread_tryjoin_np. Only if the program calls that,
 * because the extra write makes the search larger. */
static bool ends_are_told;

void sim_posix_tell_ends(void) {
    ends_are_told = true;
}

static pthread_t handle_of(unsigned thread) {
    return thread + 1u; /* programs use 0 for "no thread" */
}

static void thread_main(void *arg) {
    (void)arg;
    struct self *me = self();
    void *result = me->start ? me->start(me->arg) : (void *)(intptr_t)me->start_c11(me->arg);
    thread_end(result);
}

int thread_start(const char *name, uintptr_t pc, void *(*start)(void *), int (*start_c11)(void *),
                 void *arg, bool detached) {
    enter(name, pc);
    unsigned next = S.threads_n;
    if (next >= S.o.threads_max || next >= THREADS) {
        stop_bound(SIM_BOUND_THREADS); /* a limit of the engine, not of the program */
    }
    if (sim_fault()) {
        say("%s: no more threads", name);
        return leave(-1);
    }
    int thread = sim_spawn(thread_main, NULL); /* in a search, not always the next number */
    struct self *child = self_of((unsigned)thread);
    child->start = start;
    child->start_c11 = start_c11;
    child->arg = arg;
    if (detached) {
        sim_detach(thread);
    }
    return leave(thread);
}

int sim_pthread_create(pthread_t *out, const pthread_attr_t *attributes, void *(*start)(void *),
                       void *arg) {
    int state = PTHREAD_CREATE_JOINABLE;
    if (attributes) {
        pthread_attr_getdetachstate(attributes, &state);
    }
    int thread =
        thread_start("pthread_create", CALLER, start, NULL, arg, state == PTHREAD_CREATE_DETACHED);
    if (thread < 0) {
        return EAGAIN;
    }
    explore_alike(S.now, &S.threads[thread], (uintptr_t)start, (uintptr_t)arg,
                  state == PTHREAD_CREATE_DETACHED, (uintptr_t)out);
    access_plain((uintptr_t)out, sizeof *out, true, CALLER);
    *out = handle_of((unsigned)thread);
    return 0;
}

static struct thread *thread_of(unsigned long handle) {
    if (handle == 0 || handle > S.threads_n) {
        misuse("invalid-join", "%#lx is not a thread", handle);
    }
    struct thread *u = &S.threads[handle - 1];
    if (u->joined || u->detached) {
        misuse("invalid-join", "T%u was %s before", u->id, u->joined ? "joined" : "detached");
    }
    return u;
}

int thread_join(const char *name, uintptr_t pc, unsigned long handle, void **result) {
    enter(name, pc);
    struct thread *u = thread_of(handle);
    if (u == S.now) {
        misuse("deadlock", "it joins itself");
    }
    for (unsigned i = 0; i < S.threads_n; i++) {
        if (S.threads[i].state == T_JOIN && S.threads[i].wait_word == u->id) {
            misuse("invalid-join", "T%u joins T%u already", i, u->id);
        }
    }
    sim_join(u->id);
    if (result) {
        *result = self_of(u->id)->result;
        explore_result(u, (uintptr_t)*result);
    }
    return leave(0);
}

int sim_pthread_join(pthread_t thread, void **result) {
    if (result) {
        explore_result_to((uintptr_t)result);
        access_plain((uintptr_t)result, sizeof *result, true, CALLER);
    }
    return thread_join("pthread_join", CALLER, thread, result);
}

int thread_detach(const char *name, uintptr_t pc, unsigned long handle) {
    enter(name, pc);
    sim_detach(thread_of(handle)->id);
    return leave(0);
}

int sim_pthread_detach(pthread_t thread) {
    return thread_detach("pthread_detach", CALLER, thread);
}

pthread_t sim_pthread_self(void) {
    explore_identity();
    return handle_of((unsigned)sim_self());
}

int sim_pthread_setname_np(pthread_t thread, const char *name) {
    (void)thread;
    (void)name;
    return 0;
}

TWIN(pthread_getname_np);
TWIN(pthread_getaffinity_np);
TWIN(pthread_getattr_np);
TWIN(pthread_setconcurrency);
TWIN(pthread_getconcurrency);
TWIN(pthread_setschedparam);
TWIN(pthread_getschedparam);
TWIN(pthread_tryjoin_np);

int sim_pthread_getname_np(pthread_t thread, char *name, size_t n) {
    explore_identity();
    return snprintf(name, n, "T%lu", thread - 1) < (int)n ? 0 : ERANGE;
}

int sim_pthread_getaffinity_np(pthread_t thread, size_t size, cpu_set_t *set) {
    (void)thread;
    memset(set, 0, size);
    CPU_SET_S(0, size, set);
    return 0;
}

int sim_pthread_getattr_np(pthread_t thread, pthread_attr_t *out) {
    if (thread == 0 || thread > S.threads_n) {
        return ESRCH;
    }
    const struct thread *u = &S.threads[thread - 1];
    pthread_attr_init(out);
    pthread_attr_setstack(out, u->stack, S.stack_size);
    return pthread_attr_setdetachstate(out, u->detached ? PTHREAD_CREATE_DETACHED
                                                        : PTHREAD_CREATE_JOINABLE);
}

int sim_pthread_setconcurrency(int level) {
    return level < 0 ? EINVAL : 0;
}

int sim_pthread_getconcurrency(void) {
    return 0;
}

int sim_pthread_setschedparam(pthread_t thread, int policy, const struct sched_param *p) {
    (void)thread;
    (void)policy;
    (void)p;
    return 0;
}

int sim_pthread_getschedparam(pthread_t thread, int *policy, struct sched_param *p) {
    (void)thread;
    *policy = SCHED_OTHER;
    p->sched_priority = 0;
    return 0;
}

/* A thread may end any time after its last operation, so "not yet" is a choice. In a search it is
 * offered only once per thread, so that polling loops end. */
int sim_pthread_tryjoin_np(pthread_t thread, void **result) {
    enter("pthread_tryjoin_np", CALLER);
    explore_identity();
    struct thread *u = thread_of(thread);
    struct self *child = self_of(u->id);
    bool over = !S.exploring    ? u->state == T_DONE
                : ends_are_told ? sim_atomic_load(&child->over, 1, __ATOMIC_RELAXED)
                                : child->tried || choose(2);
    if (!over) {
        /* a search does not follow repeated attempts: the thread will have ended by then */
        sim_assume(!S.exploring || !child->tried);
        child->tried = true;
        sim_yield();
        return leave(EBUSY);
    }
    return thread_join("pthread_tryjoin_np", CALLER, thread, result);
}

int sim_pthread_setaffinity_np(pthread_t thread, size_t size, const cpu_set_t *set) {
    (void)thread;
    (void)size;
    (void)set;
    return 0;
}

int sim_sched_setaffinity(pid_t thread, size_t size, const cpu_set_t *set) {
    (void)thread;
    (void)size;
    (void)set;
    return 0;
}

int sim_sched_getcpu(void) {
    explore_identity();
    return sim_self();
}

/* Cancellation itself is refused (posix_exit.c), so its state does not matter. */
int sim_pthread_setcancelstate(int state, int *old) {
    (void)state;
    if (old) {
        *old = PTHREAD_CANCEL_ENABLE;
    }
    return 0;
}

int sim_pthread_setcanceltype(int type, int *old) {
    (void)type;
    if (old) {
        *old = PTHREAD_CANCEL_DEFERRED;
    }
    return 0;
}

void sim_pthread_testcancel(void) {}

int sim_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
    (void)prepare;
    (void)parent;
    (void)child;
    return 0;
}

/* ---- Cleanup handlers, as glibc's macros make them without exceptions ------------------------ */

TWIN(__pthread_register_cancel);
TWIN(__pthread_unregister_cancel);
_Noreturn void sim___pthread_unwind_next(__pthread_unwind_buf_t *buffer);

void sim___pthread_register_cancel(__pthread_unwind_buf_t *buffer) {
    buffer->__pad[0] = self()->cleanup;
    self()->cleanup = buffer;
}

void sim___pthread_unregister_cancel(__pthread_unwind_buf_t *buffer) {
    self()->cleanup = buffer->__pad[0];
}

/* Continues with the next outer handler, or ends the thread if there is none. */
static _Noreturn void unwind(void) {
    __pthread_unwind_buf_t *buffer = self()->cleanup;
    if (!buffer) {
        thread_end(self()->result);
    }
    self()->cleanup = buffer->__pad[0];
    jmp_buf to = {{.__mask_was_saved = 0}};
    memcpy(to[0].__jmpbuf, buffer->__cancel_jmp_buf[0].__cancel_jmp_buf, sizeof to[0].__jmpbuf);
    longjmp(to, 1);
}

void sim___pthread_unwind_next(__pthread_unwind_buf_t *buffer) {
    (void)buffer;
    unwind();
}

/* In C++ programs: unwinds all frames, so that destructors run, and then ends the thread. */
_Unwind_Reason_Code unwind_by_force(struct _Unwind_Exception *, _Unwind_Stop_Fn,
                                    void *) __asm__("_Unwind_ForcedUnwind") __attribute__((weak));

static _Unwind_Reason_Code at_frame(int version, _Unwind_Action actions,
                                    _Unwind_Exception_Class class, struct _Unwind_Exception *what,
                                    struct _Unwind_Context *context, void *arg) {
    (void)version, (void)class, (void)what, (void)context, (void)arg;
    if (actions & _UA_END_OF_STACK) {
        thread_end(self()->result);
    }
    return _URC_NO_REASON;
}

void sim_pthread_exit(void *result) {
    self()->result = result;
    if (S.caught && unwind_by_force && !self()->cleanup) {
        struct _Unwind_Exception *what = arena_alloc(sizeof *what);
        memset(what, 0, sizeof *what);
        unwind_by_force(what, at_frame, NULL);
    }
    unwind();
}

/* ---- Thread-local keys ----------------------------------------------------------------------- */

TWIN(pthread_key_create);
TWIN(pthread_key_delete);
TWIN(pthread_setspecific);
TWIN(pthread_getspecific);

static struct {
    uint32_t run; /* the run in which it is in use */
    void (*destructor)(void *);
} keys[KEYS_MAX];

static bool key_known(unsigned key) {
    return key < KEYS_MAX && keys[key].run == S.generation;
}

int key_create(unsigned *key, void (*destructor)(void *)) {
    for (unsigned k = 0; k < KEYS_MAX; k++) {
        if (keys[k].run == S.generation) {
            continue;
        }
        keys[k].run = S.generation;
        keys[k].destructor = destructor;
        for (unsigned t = 0; t < S.threads_n; t++) {
            self_of(t)->keys[k] = NULL;
        }
        *key = k;
        return 0;
    }
    return EAGAIN;
}

int sim_pthread_key_create(pthread_key_t *key, void (*destructor)(void *)) {
    access_plain((uintptr_t)key, sizeof *key, true, CALLER);
    return key_create(key, destructor);
}

int sim_pthread_key_delete(pthread_key_t key) {
    if (!key_known(key)) {
        return EINVAL;
    }
    keys[key].run = S.generation - 1;
    return 0;
}

int sim_pthread_setspecific(pthread_key_t key, const void *value) {
    if (!key_known(key)) {
        return EINVAL;
    }
    self()->keys[key] = value;
    return 0;
}

void *sim_pthread_getspecific(pthread_key_t key) {
    return key_known(key) ? (void *)(uintptr_t)self()->keys[key] : NULL;
}

static bool run_destructors(void) {
    bool any = false;
    for (unsigned k = 0; k < KEYS_MAX; k++) {
        void *value = (void *)(uintptr_t)self()->keys[k];
        self()->keys[k] = NULL;
        if (value && key_known(k) && keys[k].destructor) {
            any = true;
            keys[k].destructor(value);
        }
    }
    return any;
}

void thread_end(void *result) {
    self()->result = result;
    locals_end();
    for (int round = 0; round < PTHREAD_DESTRUCTOR_ITERATIONS && run_destructors(); round++) {
    }
    if (S.exploring && ends_are_told) {
        sim_atomic_store(&self()->over, 1, 1, __ATOMIC_RELAXED);
    }
    sim_exit_thread();
}

/* ---- Thread-locals, by clang's -femulated-tls ------------------------------------------------ */

struct emutls {
    size_t size, alignment;
    void *unused;
    const void *initial; /* NULL: zeroes */
};
void *sim___emutls_get_address(struct emutls *variable);

#define LOCALS_MAX 4096u
static struct {
    const struct emutls *variable;
    void *at;
    uint32_t run, thread;
} locals[LOCALS_MAX]; /* open addressing by variable and thread */

static void *local_new(const struct emutls *v) {
    uintptr_t at = (uintptr_t)arena_alloc(v->size + v->alignment);
    void *p = (void *)((at + v->alignment - 1) & ~(uintptr_t)(v->alignment - 1));
    return v->initial ? memcpy(p, v->initial, v->size) : memset(p, 0, v->size);
}

void *sim___emutls_get_address(struct emutls *v) {
    uint32_t me = (uint32_t)sim_self(), i = (uint32_t)((uintptr_t)v >> 3) * 31u + me * 977u;
    for (uint32_t tries = 0; tries < LOCALS_MAX / 2; tries++, i++) {
        uint32_t k = i % LOCALS_MAX;
        if (locals[k].run == S.generation && locals[k].variable == v && locals[k].thread == me) {
            return locals[k].at;
        }
        if (locals[k].run != S.generation) {
            locals[k].run = S.generation;
            locals[k].variable = v;
            locals[k].thread = me;
            return locals[k].at = local_new(v);
        }
    }
    stop_bound(SIM_BOUND_MEMORY);
}

/* ---- errno --------------------------------------------------------------------------------------
 *
 * The real errno: callers keep its address, so threads cannot have different ones. No thread is
 * switched away from between a failing call and reading errno. */

int *sim___errno_location(void);
int *sim___errno_location(void) {
    return &errno;
}

/* ---- System calls ---------------------------------------------------------------------------- */

TWIN(syscall);

static long futex_wait(const uint32_t *word, uint32_t expected, const struct timespec *time,
                       bool absolute, bool realtime) {
    uint64_t ns, deadline = SIM_NEVER;
    if (time && !(absolute ? deadline_of(time, !realtime, &ns) : duration_of(time, &ns))) {
        return fail(EINVAL);
    }
    if (time) {
        deadline = absolute ? ns : now_plus(ns);
    }
    switch (sim_wait(word, expected, deadline)) {
    case SIM_NOT_EQUAL:
        return fail(EAGAIN);
    case SIM_TIMED_OUT:
        return fail(ETIMEDOUT);
    default:
        return leave(0);
    }
}

static long futex_requeue(const uint32_t *word, uint32_t wake, uint32_t move, const uint32_t *other,
                          bool compare, uint32_t expected) {
    unsigned moved;
    if ((uintptr_t)other & 3 || (int)wake < 0 || (int)move < 0) {
        return fail(EINVAL);
    }
    if (compare) {
        uint64_t now = S.exploring ? sim_atomic_load(word, 4, __ATOMIC_RELAXED)
                                   : read_newest((uintptr_t)word, 4, CALLER);
        if ((uint32_t)now != expected) {
            return fail(EAGAIN);
        }
    }
    unsigned woken = sim_wake(word, wake);
    if (S.exploring) { /* in a search, the moved threads return spuriously */
        return leave((int)(woken + sim_wake(word, move)));
    }
    moved = wait_elsewhere((uintptr_t)word, (uintptr_t)other, move);
    say("moves %u of those that wait on %p to %p", moved, (const void *)word, (const void *)other);
    return leave((int)(woken + (compare ? moved : 0)));
}

/* A full fence, as in Linux: libstdc++ and others count their sleepers before the call. */
static long futex(const uint32_t *word, int op, uint32_t value, const struct timespec *time,
                  const uint32_t *other, uint32_t bits) {
    sim_atomic_fence(__ATOMIC_SEQ_CST);
    bool realtime = op & FUTEX_CLOCK_REALTIME;
    int what = op & FUTEX_CMD_MASK;
    if ((uintptr_t)word & 3) {
        return fail(EINVAL);
    }
    if ((what == FUTEX_WAIT_BITSET || what == FUTEX_WAKE_BITSET) && bits != ~UINT32_C(0)) {
        refuse("futex", "bit sets other than all ones are not simulated", self()->pc);
    }
    switch (what) {
    case FUTEX_REQUEUE:
    case FUTEX_CMP_REQUEUE:
        /* here `time` is a number, and `bits` the value to compare with */
        return futex_requeue(word, value, (uint32_t)(uintptr_t)time, other,
                             what == FUTEX_CMP_REQUEUE, bits);
    case FUTEX_WAIT:
        return futex_wait(word, value, time, false, false);
    case FUTEX_WAIT_BITSET:
        return futex_wait(word, value, time, true, realtime);
    case FUTEX_WAKE:
    case FUTEX_WAKE_BITSET:
        return leave((int)sim_wake(
            word, (int)value < 1 ? 1 : value)); /* Linux wakes one before it compares the count */
    default:
        refuse("futex", "only WAIT, WAKE, their BITSET forms and REQUEUE are simulated",
               self()->pc);
    }
}

/* As if each thread executed a seq_cst fence here. */
static long membarrier(int command) {
    enum { QUERY = 0, GLOBAL = 1, EXPEDITED = 8, REGISTER = 16 };
    if (command == QUERY) {
        return leave(GLOBAL | EXPEDITED | REGISTER);
    }
    if (command == REGISTER) {
        return leave(0);
    }
    if (command != GLOBAL && command != EXPEDITED) {
        return fail(EINVAL);
    }
    if (S.exploring) {
        refuse("membarrier", "it is simulated by the random sources only", self()->pc);
    }
    atomic_fence(__ATOMIC_SEQ_CST, self()->pc);
    fence_everywhere();
    return leave(0);
}

long sim_syscall(long number, ...) {
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(args, long);
    }
    va_end(args);
    enter(number == SYS_futex ? "futex" : "syscall", CALLER);
    switch (number) {
    case SYS_futex:
        return futex((const uint32_t *)a[0], (int)a[1], (uint32_t)a[2],
                     (const struct timespec *)a[3], (const uint32_t *)a[4], (uint32_t)a[5]);
    case SYS_membarrier:
        return membarrier((int)a[0]);
    case SYS_sched_yield:
        sim_yield();
        return leave(0);
    case SYS_gettid:
        explore_identity();
        return leave(1000 + (int)S.now->id);
    default:
        not_simulated(
            self()->pc,
            "T%u makes system call %ld: only futex, membarrier, gettid and sched_yield are "
            "simulated",
            S.now->id, number);
    }
}
