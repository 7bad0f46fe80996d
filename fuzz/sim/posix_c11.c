/* posix_c11.c: C11 threads.h on the pthread layer. */
#include "posix.h"

#include <errno.h>
#include <threads.h>

TWIN(thrd_create);
TWIN(thrd_join);
TWIN(thrd_detach);
_Noreturn void sim_thrd_exit(int result);
TWIN(thrd_current);
TWIN(thrd_sleep);
void sim_thrd_yield(void);
TWIN(mtx_init);
TWIN(mtx_lock);
TWIN(mtx_trylock);
TWIN(mtx_timedlock);
TWIN(mtx_unlock);
void sim_mtx_destroy(mtx_t *m);
TWIN(cnd_init);
TWIN(cnd_wait);
TWIN(cnd_timedwait);
TWIN(cnd_signal);
TWIN(cnd_broadcast);
void sim_cnd_destroy(cnd_t *c);
TWIN(call_once);
TWIN(tss_create);
TWIN(tss_get);
TWIN(tss_set);
TWIN(tss_delete);
TWIN(pthread_exit);
TWIN(pthread_setspecific);
TWIN(pthread_getspecific);
TWIN(pthread_key_delete);

static int c11(int error) {
    switch (error) {
    case 0:
        return thrd_success;
    case EBUSY:
        return thrd_busy;
    case ETIMEDOUT:
        return thrd_timedout;
    default:
        return thrd_error;
    }
}

int sim_thrd_create(thrd_t *out, thrd_start_t start, void *arg) {
    int thread = thread_start("thrd_create", CALLER, NULL, start, arg, false);
    if (thread < 0) {
        return thrd_nomem;
    }
    access_plain((uintptr_t)out, sizeof *out, true, CALLER);
    *out = (thrd_t)thread + 1;
    return thrd_success;
}

int sim_thrd_join(thrd_t thread, int *result) {
    void *value;
    int error = thread_join("thrd_join", CALLER, thread, &value);
    if (!error && result) {
        access_plain((uintptr_t)result, sizeof *result, true, CALLER);
        *result = (int)(intptr_t)value;
    }
    return c11(error);
}

int sim_thrd_detach(thrd_t thread) {
    return c11(thread_detach("thrd_detach", CALLER, thread));
}

void sim_thrd_exit(int result) {
    sim_pthread_exit((void *)(intptr_t)result);
    __builtin_unreachable();
}

thrd_t sim_thrd_current(void) {
    explore_identity();
    return (thrd_t)sim_self() + 1;
}

int sim_thrd_sleep(const struct timespec *duration, struct timespec *left) {
    uint64_t ns;
    (void)left;
    enter("thrd_sleep", CALLER);
    if (!duration_of(duration, &ns)) {
        return leave(-2);
    }
    sim_sleep_until(now_plus(ns));
    return leave(0);
}

void sim_thrd_yield(void) {
    enter("thrd_yield", CALLER);
    sim_yield();
    leave(0);
}

static pthread_mutex_t *mutex_of(mtx_t *m) {
    return (pthread_mutex_t *)(void *)m;
}

static pthread_cond_t *condition_of(cnd_t *c) {
    return (pthread_cond_t *)(void *)c;
}

int sim_mtx_init(mtx_t *m, int type) {
    enter("mtx_init", CALLER);
    mutex_init(mutex_of(m), type & mtx_recursive ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_NORMAL);
    return leave(thrd_success);
}

int sim_mtx_lock(mtx_t *m) {
    return c11(mutex_lock(mutex_of(m), "mtx_lock", CALLER));
}

int sim_mtx_trylock(mtx_t *m) {
    return c11(mutex_trylock(mutex_of(m), "mtx_trylock", CALLER));
}

int sim_mtx_timedlock(mtx_t *restrict m, const struct timespec *restrict at) {
    return c11(mutex_timedlock(mutex_of(m), at, false, "mtx_timedlock", CALLER));
}

int sim_mtx_unlock(mtx_t *m) {
    return c11(mutex_unlock(mutex_of(m), "mtx_unlock", CALLER));
}

void sim_mtx_destroy(mtx_t *m) {
    mutex_destroy(mutex_of(m), "mtx_destroy", CALLER);
}

int sim_cnd_init(cnd_t *c) {
    return c11(condition_init(condition_of(c), false, "cnd_init", CALLER));
}

int sim_cnd_wait(cnd_t *c, mtx_t *m) {
    return c11(
        condition_wait(condition_of(c), mutex_of(m), NULL, CLOCK_OF_CONDITION, "cnd_wait", CALLER));
}

int sim_cnd_timedwait(cnd_t *restrict c, mtx_t *restrict m, const struct timespec *restrict at) {
    return c11(condition_wait(condition_of(c), mutex_of(m), at, CLOCK_OF_CONDITION, "cnd_timedwait",
                              CALLER));
}

int sim_cnd_signal(cnd_t *c) {
    return c11(condition_wake(condition_of(c), false, "cnd_signal", CALLER));
}

int sim_cnd_broadcast(cnd_t *c) {
    return c11(condition_wake(condition_of(c), true, "cnd_broadcast", CALLER));
}

void sim_cnd_destroy(cnd_t *c) {
    condition_destroy(condition_of(c), "cnd_destroy", CALLER);
}

void sim_call_once(once_flag *flag, void (*run)(void)) {
    once((pthread_once_t *)(void *)flag, run, "call_once", CALLER);
}

int sim_tss_create(tss_t *key, tss_dtor_t destructor) {
    access_plain((uintptr_t)key, sizeof *key, true, CALLER);
    return c11(key_create(key, destructor));
}

void *sim_tss_get(tss_t key) {
    return sim_pthread_getspecific(key);
}

int sim_tss_set(tss_t key, void *value) {
    return c11(sim_pthread_setspecific(key, value));
}

void sim_tss_delete(tss_t key) {
    sim_pthread_key_delete(key);
}
