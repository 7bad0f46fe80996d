/* posix_sync.c: mutexes, condition variables, rwlocks, barriers, once, semaphores and spin locks of
 * pthreads. Where POSIX says "undefined", they report a named finding. */
#include "posix.h"

#include <errno.h>
#include <limits.h>
#include <semaphore.h>
#include <string.h>

/* Outside a run the program has only one thread (a subject's attach, or the harness playing a
 * program of one thread), so calls go to the C library. Runs treat an object made there like a
 * statically initialised one. */

/* ---- Mutexes: the engine's locks do the blocking --------------------------------------------- */

TWIN(pthread_mutex_init);
TWIN(pthread_mutex_destroy);
TWIN(pthread_mutex_lock);
TWIN(pthread_mutex_trylock);
TWIN(pthread_mutex_timedlock);
TWIN(pthread_mutex_clocklock);
TWIN(pthread_mutex_unlock);

static struct object *mutex_at(const volatile void *m) {
    return object_at(m, OBJECT_MUTEX);
}

static bool mine(const struct object *o) {
    return o->owner == S.now->id;
}

static void took(struct object *o) {
    o->owner = S.now->id;
    o->count = 1;
    self()->at = NULL;
}

int mutex_init(pthread_mutex_t *m, int type) {
    object_new(m, OBJECT_MUTEX, sizeof *m)->type = (uint8_t)type;
    m->__data.__kind = type;
    return 0;
}

/* Takes the engine's lock; reports name the object while the thread blocks. */
static void lock_object(struct object *o) {
    self()->at = o;
    sim_lock((const void *)o->at);
    took(o);
}

/* The result of locking again by the holder; -1: the caller does not hold it. */
static int relock(struct object *o, int normal) {
    if (!mine(o)) {
        return -1;
    }
    if (o->type == PTHREAD_MUTEX_RECURSIVE) {
        return o->count++ == UINT_MAX ? EAGAIN : 0;
    }
    return normal;
}

int mutex_lock(pthread_mutex_t *m, const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *o = mutex_at(m);
    int again = relock(o, EDEADLK);
    if (again == EDEADLK && o->type != PTHREAD_MUTEX_ERRORCHECK) {
        misuse("deadlock", "it holds the mutex %p already", (void *)m);
    }
    if (again >= 0) {
        return leave(again);
    }
    lock_object(o);
    return leave(0);
}

int mutex_trylock(pthread_mutex_t *m, const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *o = mutex_at(m);
    int again = relock(o, EBUSY);
    if (again >= 0) {
        return leave(again);
    }
    if (!sim_try_lock(m)) {
        say("%s %p: busy", name, (void *)m);
        return leave(EBUSY);
    }
    took(o);
    return leave(0);
}

int mutex_timedlock(pthread_mutex_t *m, const struct timespec *at, bool monotonic, const char *name,
                    uintptr_t pc) {
    enter(name, pc);
    struct object *o = mutex_at(m);
    uint64_t deadline;
    int again = relock(o, o->type == PTHREAD_MUTEX_ERRORCHECK ? EDEADLK : -1);
    if (again >= 0) {
        return leave(again);
    }
    bool valid = deadline_of(at, monotonic, &deadline);
    while (!try_lock_to_queue(m)) {
        if (!valid) {
            return leave(EINVAL);
        }
        queue(o);
        if (park(o, deadline) == SIM_TIMED_OUT) {
            say("%s %p: timed out", name, (void *)m);
            return leave(ETIMEDOUT);
        }
    }
    took(o);
    return leave(0);
}

static void unlock_object(struct object *o) {
    sim_unlock((const void *)o->at);
    o->owner = -1;
    wake_all(o); /* waiters with a deadline */
}

int mutex_unlock(pthread_mutex_t *m, const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *o = mutex_at(m);
    if (!mine(o)) {
        if (o->type == PTHREAD_MUTEX_ERRORCHECK || o->type == PTHREAD_MUTEX_RECURSIVE) {
            return leave(EPERM);
        }
        if (o->owner < 0) {
            misuse("unlock-not-held", "nobody holds the mutex %p", (void *)m);
        }
        misuse("unlock-not-owner", "T%d holds the mutex %p", o->owner, (void *)m);
    }
    if (--o->count == 0) {
        unlock_object(o);
    }
    return leave(0);
}

int mutex_destroy(pthread_mutex_t *m, const char *name, uintptr_t pc) {
    enter(name, pc);
    object_destroy(mutex_at(m), sizeof *m);
    return leave(0);
}

int sim_pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attributes) {
    if (!S.active) {
        return pthread_mutex_init(m, attributes);
    }
    enter("pthread_mutex_init", CALLER);
    int type = PTHREAD_MUTEX_DEFAULT;
    if (attributes) {
        pthread_mutexattr_gettype(attributes, &type);
    }
    return leave(mutex_init(m, type));
}

int sim_pthread_mutex_destroy(pthread_mutex_t *m) {
    if (!S.active) {
        return pthread_mutex_destroy(m);
    }
    return mutex_destroy(m, "pthread_mutex_destroy", CALLER);
}

int sim_pthread_mutex_lock(pthread_mutex_t *m) {
    if (!S.active) {
        return pthread_mutex_lock(m);
    }
    return mutex_lock(m, "pthread_mutex_lock", CALLER);
}

int sim_pthread_mutex_trylock(pthread_mutex_t *m) {
    if (!S.active) {
        return pthread_mutex_trylock(m);
    }
    return mutex_trylock(m, "pthread_mutex_trylock", CALLER);
}

int sim_pthread_mutex_timedlock(pthread_mutex_t *m, const struct timespec *at) {
    return mutex_timedlock(m, at, false, "pthread_mutex_timedlock", CALLER);
}

int sim_pthread_mutex_clocklock(pthread_mutex_t *m, clockid_t clock, const struct timespec *at) {
    return mutex_timedlock(m, at, clock == CLOCK_MONOTONIC, "pthread_mutex_clocklock", CALLER);
}

int sim_pthread_mutex_unlock(pthread_mutex_t *m) {
    if (!S.active) {
        return pthread_mutex_unlock(m);
    }
    return mutex_unlock(m, "pthread_mutex_unlock", CALLER);
}

/* ---- Condition variables: they add no happens-before of their own ---------------------------- */

TWIN(pthread_cond_init);
TWIN(pthread_cond_destroy);
TWIN(pthread_cond_wait);
TWIN(pthread_cond_timedwait);
TWIN(pthread_cond_clockwait);
TWIN(pthread_cond_signal);
TWIN(pthread_cond_broadcast);

int condition_init(pthread_cond_t *c, bool monotonic, const char *name, uintptr_t pc) {
    enter(name, pc);
    object_new(c, OBJECT_CONDITION, sizeof *c)->monotonic = monotonic;
    return leave(0);
}

int condition_destroy(pthread_cond_t *c, const char *name, uintptr_t pc) {
    enter(name, pc);
    object_destroy(object_at(c, OBJECT_CONDITION), sizeof *c);
    return leave(0);
}

static void check_mutex(struct object *c, struct object *m) {
    if (!mine(m)) {
        misuse("wait-without-mutex", "it does not hold the mutex %p", (void *)m->at);
    }
    if (c->waiters && c->mutex != m->at) {
        misuse("condition-two-mutexes", "others wait on %p with the mutex %p, this one with %p",
               (void *)c->at, (void *)c->mutex, (void *)m->at);
    }
    c->mutex = m->at;
}

int condition_wait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *at,
                   int clock, const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *c = object_at(condition, OBJECT_CONDITION), *m = mutex_at(mutex);
    uint64_t deadline = SIM_NEVER;
    bool monotonic = clock == CLOCK_OF_CONDITION ? c->monotonic : clock == CLOCK_MONOTONIC;
    check_mutex(c, m);
    if (at && !deadline_of(at, monotonic, &deadline)) {
        return leave(EINVAL);
    }
    step(condition);
    say("%s %p", name, (void *)condition);
    queue(c);
    if (m->count > 1) { /* as in glibc: only one level is released, so the mutex stays locked */
        m->count--;
    } else {
        unlock_object(m);
    }
    enum sim_wait_result r = park(c, deadline);
    if (mine(m)) {
        m->count++;
    } else {
        lock_object(m);
    }
    return leave(r == SIM_TIMED_OUT ? ETIMEDOUT : 0);
}

/* A signal may wake any waiter; choice 0 is the one that has waited longest. */
static unsigned choose_waiter(const struct object *c) {
    unsigned order[THREADS], n = 0;
    for (thread_set w = c->waiters; w; w &= w - 1) {
        unsigned t = first_of(w), i = n++;
        for (; i && self_of(order[i - 1])->arrival > self_of(t)->arrival; i--) {
            order[i] = order[i - 1];
        }
        order[i] = t;
    }
    return order[choose(n)];
}

int condition_wake(pthread_cond_t *condition, bool all, const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *c = object_at(condition, OBJECT_CONDITION);
    step(condition);
    if (!c->waiters) {
        say("%s %p: nobody waits", name, (void *)condition);
        c->idle_calls++;
        c->idle_by = S.now->id;
    } else if (all) {
        say("%s %p: wakes %u", name, (void *)condition, count_of(c->waiters));
        wake_all(c);
    } else {
        unsigned t = choose_waiter(c);
        say("%s %p: wakes T%u", name, (void *)condition, t);
        c->waiters &= ~ONE(t);
        unpark(t);
    }
    return leave(0);
}

int sim_pthread_cond_init(pthread_cond_t *c, const pthread_condattr_t *attributes) {
    if (!S.active) {
        return pthread_cond_init(c, attributes);
    }
    clockid_t clock = CLOCK_REALTIME;
    if (attributes) {
        pthread_condattr_getclock(attributes, &clock);
    }
    return condition_init(c, clock == CLOCK_MONOTONIC, "pthread_cond_init", CALLER);
}

int sim_pthread_cond_destroy(pthread_cond_t *c) {
    if (!S.active) {
        return pthread_cond_destroy(c);
    }
    return condition_destroy(c, "pthread_cond_destroy", CALLER);
}

int sim_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m) {
    return condition_wait(c, m, NULL, CLOCK_OF_CONDITION, "pthread_cond_wait", CALLER);
}

int sim_pthread_cond_timedwait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *at) {
    return condition_wait(c, m, at, CLOCK_OF_CONDITION, "pthread_cond_timedwait", CALLER);
}

int sim_pthread_cond_clockwait(pthread_cond_t *c, pthread_mutex_t *m, clockid_t clock,
                               const struct timespec *at) {
    return condition_wait(c, m, at, clock, "pthread_cond_clockwait", CALLER);
}

int sim_pthread_cond_signal(pthread_cond_t *c) {
    if (!S.active) {
        return pthread_cond_signal(c);
    }
    return condition_wake(c, false, "pthread_cond_signal", CALLER);
}

int sim_pthread_cond_broadcast(pthread_cond_t *c) {
    if (!S.active) {
        return pthread_cond_broadcast(c);
    }
    return condition_wake(c, true, "pthread_cond_broadcast", CALLER);
}

/* ---- Reader-writer locks --------------------------------------------------------------------- */

TWIN(pthread_rwlock_init);
TWIN(pthread_rwlock_destroy);
TWIN(pthread_rwlock_rdlock);
TWIN(pthread_rwlock_wrlock);
TWIN(pthread_rwlock_tryrdlock);
TWIN(pthread_rwlock_trywrlock);
TWIN(pthread_rwlock_timedrdlock);
TWIN(pthread_rwlock_timedwrlock);
TWIN(pthread_rwlock_clockrdlock);
TWIN(pthread_rwlock_clockwrlock);
TWIN(pthread_rwlock_unlock);

static bool readable(const struct object *o) {
    return o->owner < 0;
}

static bool writable(const struct object *o) {
    return o->owner < 0 && o->limit == 0;
}

static int rwlock_take(pthread_rwlock_t *lock, bool write, const struct timespec *at,
                       clockid_t clock, bool wait, const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *o = object_at(lock, OBJECT_RWLOCK);
    bool (*ready)(const struct object *) = write ? writable : readable;
    uint64_t deadline = SIM_NEVER;
    if (at && !deadline_of(at, clock == CLOCK_MONOTONIC, &deadline)) {
        return leave(EINVAL);
    }
    if (mine(o) && wait) {
        return leave(EDEADLK);
    }
    if (write && wait && !at && o->held[S.now->id]) {
        misuse("deadlock", "it holds the rwlock %p for reading", (void *)lock);
    }
    if (!wait) {
        step(lock);
        if (!ready(o)) {
            say("%s %p: busy", name, (void *)lock);
            return leave(EBUSY);
        }
    } else if (!await(o, ready, deadline)) {
        return leave(ETIMEDOUT);
    }
    say("%s %p", name, (void *)lock);
    if (write) {
        acquire_all(o);
        o->owner = S.now->id;
    } else {
        acquire(o->released);
        o->held[S.now->id]++;
        o->limit++;
    }
    return leave(0);
}

int sim_pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attributes) {
    if (!S.active) {
        return pthread_rwlock_init(lock, attributes);
    }
    (void)attributes;
    enter("pthread_rwlock_init", CALLER);
    object_new(lock, OBJECT_RWLOCK, sizeof *lock);
    return leave(0);
}

int sim_pthread_rwlock_destroy(pthread_rwlock_t *lock) {
    if (!S.active) {
        return pthread_rwlock_destroy(lock);
    }
    enter("pthread_rwlock_destroy", CALLER);
    object_destroy(object_at(lock, OBJECT_RWLOCK), sizeof *lock);
    return leave(0);
}

int sim_pthread_rwlock_rdlock(pthread_rwlock_t *lock) {
    if (!S.active) {
        return pthread_rwlock_rdlock(lock);
    }
    return rwlock_take(lock, false, NULL, CLOCK_REALTIME, true, "pthread_rwlock_rdlock", CALLER);
}

int sim_pthread_rwlock_wrlock(pthread_rwlock_t *lock) {
    if (!S.active) {
        return pthread_rwlock_wrlock(lock);
    }
    return rwlock_take(lock, true, NULL, CLOCK_REALTIME, true, "pthread_rwlock_wrlock", CALLER);
}

int sim_pthread_rwlock_tryrdlock(pthread_rwlock_t *lock) {
    if (!S.active) {
        return pthread_rwlock_tryrdlock(lock);
    }
    return rwlock_take(lock, false, NULL, CLOCK_REALTIME, false, "pthread_rwlock_tryrdlock",
                       CALLER);
}

int sim_pthread_rwlock_trywrlock(pthread_rwlock_t *lock) {
    if (!S.active) {
        return pthread_rwlock_trywrlock(lock);
    }
    return rwlock_take(lock, true, NULL, CLOCK_REALTIME, false, "pthread_rwlock_trywrlock", CALLER);
}

int sim_pthread_rwlock_timedrdlock(pthread_rwlock_t *lock, const struct timespec *at) {
    return rwlock_take(lock, false, at, CLOCK_REALTIME, true, "pthread_rwlock_timedrdlock", CALLER);
}

int sim_pthread_rwlock_timedwrlock(pthread_rwlock_t *lock, const struct timespec *at) {
    return rwlock_take(lock, true, at, CLOCK_REALTIME, true, "pthread_rwlock_timedwrlock", CALLER);
}

int sim_pthread_rwlock_clockrdlock(pthread_rwlock_t *lock, clockid_t clock,
                                   const struct timespec *at) {
    return rwlock_take(lock, false, at, clock, true, "pthread_rwlock_clockrdlock", CALLER);
}

int sim_pthread_rwlock_clockwrlock(pthread_rwlock_t *lock, clockid_t clock,
                                   const struct timespec *at) {
    return rwlock_take(lock, true, at, clock, true, "pthread_rwlock_clockwrlock", CALLER);
}

int sim_pthread_rwlock_unlock(pthread_rwlock_t *lock) {
    if (!S.active) {
        return pthread_rwlock_unlock(lock);
    }
    enter("pthread_rwlock_unlock", CALLER);
    struct object *o = object_at(lock, OBJECT_RWLOCK);
    unsigned me = S.now->id;
    if (!mine(o) && !o->held[me]) {
        misuse("unlock-not-owner", "it does not hold the rwlock %p", (void *)lock);
    }
    step(lock);
    say("pthread_rwlock_unlock %p", (void *)lock);
    if (mine(o)) {
        release(&o->released);
        o->owner = -1;
    } else {
        release(&o->by[me]);
        o->held[me]--;
        o->limit--;
    }
    wake_all(o);
    return leave(0);
}

/* ---- Barriers -------------------------------------------------------------------------------- */

TWIN(pthread_barrier_init);
TWIN(pthread_barrier_destroy);
TWIN(pthread_barrier_wait);

int sim_pthread_barrier_init(pthread_barrier_t *b, const pthread_barrierattr_t *attributes,
                             unsigned count) {
    if (!S.active) {
        return pthread_barrier_init(b, attributes, count);
    }
    (void)attributes;
    enter("pthread_barrier_init", CALLER);
    if (!count) {
        return leave(EINVAL);
    }
    object_new(b, OBJECT_BARRIER, sizeof *b)->limit = count;
    return leave(0);
}

int sim_pthread_barrier_destroy(pthread_barrier_t *b) {
    if (!S.active) {
        return pthread_barrier_destroy(b);
    }
    enter("pthread_barrier_destroy", CALLER);
    object_destroy(object_at(b, OBJECT_BARRIER), sizeof *b);
    return leave(0);
}

/* The last arrival of a round learns from all the others and passes that on. */
static void barrier_open(struct object *o) {
    acquire_all(o);
    release(&o->released);
    memset(o->by, 0, sizeof o->by);
    o->count = 0;
    o->round++;
    wake_all(o);
}

static bool round_is_over(const struct thread *t) {
    const struct self *me = self_of(t->id);
    return me->at->round != me->seen;
}

/* A wait at a barrier in a search that leaves the order of arrivals open. */
static int meet(struct object *o) {
    struct thread *t = S.now;
    struct self *me = self();
    o->members |= ONE(t->id);
    if (count_of(o->members) > o->limit) {
        explore_meets_too_many(o->at);
    }
    me->at = o;
    me->seen = o->round;
    t->wait_word = o->at;
    explore_arrives(t, o->causes);
    release(&o->by[t->id]);
    if (++o->count == o->limit) {
        barrier_open(o);
    }
    explore_meet(t, round_is_over, o->causes);
    acquire(o->released);
    me->at = NULL;
    return leave(t->id == first_of(o->members) ? PTHREAD_BARRIER_SERIAL_THREAD : 0);
}

int sim_pthread_barrier_wait(pthread_barrier_t *b) {
    enter("pthread_barrier_wait", CALLER);
    struct object *o = object_at(b, OBJECT_BARRIER);
    if (!o->limit) {
        misuse("not-initialised", "the barrier %p was not initialised", (void *)b);
    }
    if (explore_meets(o->at)) {
        say("pthread_barrier_wait %p: %u of %u", (void *)b, o->count + 1, o->limit);
        return meet(o);
    }
    step(b);
    unsigned round = o->round;
    say("pthread_barrier_wait %p: %u of %u", (void *)b, o->count + 1, o->limit);
    release(&o->by[S.now->id]);
    if (++o->count == o->limit) {
        barrier_open(o);
        return leave(PTHREAD_BARRIER_SERIAL_THREAD);
    }
    while (o->round == round) {
        queue(o);
        park(o, SIM_NEVER);
    }
    acquire(o->released);
    return leave(0);
}

/* ---- Once ------------------------------------------------------------------------------------ */

TWIN(pthread_once);
enum { ONCE_NEW, ONCE_RUNNING, ONCE_DONE };

static bool once_settled(const struct object *o) {
    return o->count != ONCE_RUNNING;
}

struct once_run {
    struct object *o;
    unsigned count; /* the state it ends with: after an exception the next call runs it again */
    const char *name;
    uintptr_t pc;
};

static void once_ends(const struct once_run *r) {
    enter(r->name, r->pc);
    step((const void *)r->o->at);
    release(&r->o->released);
    r->o->count = r->count;
    r->o->owner = -1;
    wake_all(r->o);
    leave(0);
}

int once(pthread_once_t *control, void (*run)(void), const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *o = object_at(control, OBJECT_ONCE);
    if (o->count == ONCE_RUNNING && mine(o)) {
        misuse("deadlock", "it is called by its own routine");
    }
    step(control);
    if (o->count == ONCE_RUNNING) {
        await(o, once_settled, SIM_NEVER);
    }
    acquire(o->released);
    if (o->count == ONCE_DONE) {
        return leave(0);
    }
    o->count = ONCE_RUNNING;
    o->owner = S.now->id;
    say("%s %p: runs it", name, (void *)control);
    leave(0);
    __attribute__((cleanup(once_ends))) struct once_run r = {o, ONCE_NEW, name, pc};
    run();
    r.count = ONCE_DONE;
    return 0;
}

int sim_pthread_once(pthread_once_t *control, void (*run)(void)) {
    return once(control, run, "pthread_once", CALLER);
}

/* ---- Semaphores ------------------------------------------------------------------------------ */

TWIN(sem_init);
TWIN(sem_destroy);
TWIN(sem_post);
TWIN(sem_wait);
TWIN(sem_trywait);
TWIN(sem_timedwait);
TWIN(sem_clockwait);
TWIN(sem_getvalue);

int sim_sem_init(sem_t *s, int shared, unsigned value) {
    if (!S.active) {
        return sem_init(s, shared, value);
    }
    (void)shared;
    enter("sem_init", CALLER);
    if (value > INT_MAX) {
        return fail(EINVAL);
    }
    object_new(s, OBJECT_SEMAPHORE, sizeof *s)->count = value;
    return leave(0);
}

int sim_sem_destroy(sem_t *s) {
    if (!S.active) {
        return sem_destroy(s);
    }
    enter("sem_destroy", CALLER);
    object_destroy(object_at(s, OBJECT_SEMAPHORE), sizeof *s);
    return leave(0);
}

int sim_sem_post(sem_t *s) {
    if (!S.active) {
        return sem_post(s);
    }
    enter("sem_post", CALLER);
    struct object *o = object_at(s, OBJECT_SEMAPHORE);
    step(s);
    if (o->count == INT_MAX) {
        return fail(EOVERFLOW);
    }
    o->count++;
    say("sem_post %p: %u", (void *)s, o->count);
    release(&o->by[S.now->id]);
    wake_all(o);
    return leave(0);
}

static bool sem_ready(const struct object *o) {
    return o->count > 0;
}

static int sem_take(sem_t *s, bool wait, const struct timespec *at, clockid_t clock,
                    const char *name, uintptr_t pc) {
    enter(name, pc);
    struct object *o = object_at(s, OBJECT_SEMAPHORE);
    uint64_t deadline = SIM_NEVER;
    if (at && !deadline_of(at, clock == CLOCK_MONOTONIC, &deadline)) {
        return fail(EINVAL);
    }
    if (!wait) {
        step(s);
        if (!sem_ready(o)) {
            say("%s %p: zero", name, (void *)s);
            return fail(EAGAIN);
        }
    } else if (!await(o, sem_ready, deadline)) {
        return fail(ETIMEDOUT);
    }
    o->count--;
    say("%s %p: %u left", name, (void *)s, o->count);
    acquire_all(o);
    return leave(0);
}

int sim_sem_wait(sem_t *s) {
    return sem_take(s, true, NULL, CLOCK_REALTIME, "sem_wait", CALLER);
}

int sim_sem_trywait(sem_t *s) {
    if (!S.active) {
        return sem_trywait(s);
    }
    return sem_take(s, false, NULL, CLOCK_REALTIME, "sem_trywait", CALLER);
}

int sim_sem_timedwait(sem_t *s, const struct timespec *at) {
    return sem_take(s, true, at, CLOCK_REALTIME, "sem_timedwait", CALLER);
}

int sim_sem_clockwait(sem_t *s, clockid_t clock, const struct timespec *at) {
    return sem_take(s, true, at, clock, "sem_clockwait", CALLER);
}

int sim_sem_getvalue(sem_t *s, int *value) {
    if (!S.active) {
        return sem_getvalue(s, value);
    }
    enter("sem_getvalue", CALLER);
    struct object *o = object_at(s, OBJECT_SEMAPHORE);
    step(s);
    *value = (int)o->count;
    return leave(0);
}

/* ---- Spin locks: like mutexes, since a spinning thread would only waste steps ---------------- */

TWIN(pthread_spin_init);
TWIN(pthread_spin_destroy);
TWIN(pthread_spin_lock);
TWIN(pthread_spin_trylock);
TWIN(pthread_spin_unlock);

int sim_pthread_spin_init(pthread_spinlock_t *l, int shared) {
    if (!S.active) {
        return pthread_spin_init(l, shared);
    }
    (void)shared;
    enter("pthread_spin_init", CALLER);
    object_new(l, OBJECT_SPINLOCK, sizeof *l);
    return leave(0);
}

int sim_pthread_spin_destroy(pthread_spinlock_t *l) {
    if (!S.active) {
        return pthread_spin_destroy(l);
    }
    enter("pthread_spin_destroy", CALLER);
    object_destroy(object_at(l, OBJECT_SPINLOCK), sizeof *l);
    return leave(0);
}

int sim_pthread_spin_lock(pthread_spinlock_t *l) {
    if (!S.active) {
        return pthread_spin_lock(l);
    }
    enter("pthread_spin_lock", CALLER);
    struct object *o = object_at(l, OBJECT_SPINLOCK);
    if (mine(o)) {
        misuse("deadlock", "it holds the spin lock %p already", (const void *)(uintptr_t)l);
    }
    lock_object(o);
    return leave(0);
}

int sim_pthread_spin_trylock(pthread_spinlock_t *l) {
    if (!S.active) {
        return pthread_spin_trylock(l);
    }
    enter("pthread_spin_trylock", CALLER);
    struct object *o = object_at(l, OBJECT_SPINLOCK);
    if (!sim_try_lock(l)) {
        return leave(EBUSY);
    }
    took(o);
    return leave(0);
}

int sim_pthread_spin_unlock(pthread_spinlock_t *l) {
    if (!S.active) {
        return pthread_spin_unlock(l);
    }
    enter("pthread_spin_unlock", CALLER);
    struct object *o = object_at(l, OBJECT_SPINLOCK);
    if (!mine(o)) {
        misuse("unlock-not-owner", "it does not hold the spin lock %p", (const void *)(uintptr_t)l);
    }
    unlock_object(o);
    return leave(0);
}
