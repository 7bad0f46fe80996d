/* alike.c: interchangeable threads (symmetric=1): executions that differ only in thread numbers
 * count once; and what turns the reduction off.
 *
 * expect: pass sched=exhaustive cflags=-DADD graphs=24
 * expect: pass sched=exhaustive cflags=-DADD set=symmetric=1 graphs=1
 * expect: pass sched=exhaustive cflags=-DLOADS graphs=576
 * expect: pass sched=exhaustive cflags=-DLOADS set=symmetric=1 graphs=24
 * expect: assertion sched=exhaustive cflags=-DLOST set=symmetric=1
 * expect: pass sched=exhaustive cflags=-DMUTEX set=symmetric=1 graphs=1
 * expect: pass sched=exhaustive cflags=-DSPIN set=symmetric=1 graphs=1
 * expect: deadlock sched=exhaustive cflags=-DSTUCK set=symmetric=1
 * expect: data-race sched=exhaustive cflags=-DRACE set=symmetric=1
 * expect: pass sched=exhaustive cflags=-DRELAXED set=symmetric=1 graphs=24
 * expect: pass sched=exhaustive cflags=-DARGUMENT set=symmetric=1 graphs=24
 * expect: pass sched=exhaustive cflags=-DBETWEEN graphs=40
 * expect: pass sched=exhaustive cflags=-DBETWEEN set=symmetric=1 graphs=20
 * expect: pass sched=exhaustive cflags=-DRESULT set=symmetric=1 graphs=24
 * expect: pass sched=exhaustive cflags=-DWHO set=symmetric=1 graphs=24 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#ifdef LOST
#define LOADS
#endif

enum { THREADS = 4 };
static atomic_int x;
static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static int plain;

static void *run(void *arg) {
    uintptr_t was = 0;
#if defined LOADS
    x = x + 1;
#elif defined MUTEX
    pthread_mutex_lock(&m);
    plain++;
    pthread_mutex_unlock(&m);
#elif defined SPIN
    while (atomic_exchange(&x, 1)) {
    }
    plain++;
    x = 0;
#elif defined STUCK
    pthread_mutex_lock(&m);
    if (atomic_fetch_add(&x, 1) != 2)
        pthread_mutex_unlock(&m);
#elif defined RACE
    if (atomic_fetch_add(&x, 1) >= 2)
        plain++;
#elif defined RELAXED
    atomic_fetch_add_explicit(&x, 1, memory_order_relaxed);
#else
    was = (uintptr_t)atomic_fetch_add(&x, 1);
#endif
#ifdef WHO
    (void)pthread_self();
#endif
    (void)was;
#ifdef RESULT
    return (void *)was;
#else
    return arg;
#endif
}

int main(void) {
    pthread_t t[THREADS];
    void *result;
    for (int i = 0; i < THREADS; i++) {
        void *arg = 0;
#ifdef ARGUMENT
        arg = &t[i];
#endif
        pthread_create(&t[i], 0, run, arg);
#ifdef BETWEEN
        if (i == 0)
            pthread_join(t[i], 0);
        if (i > 1)
            (void)x;
#endif
    }
    for (int i = 0; i < THREADS; i++) {
#ifdef BETWEEN
        if (i > 0)
#endif
            pthread_join(t[i], &result);
    }
#ifdef LOST
    assert(x != 2);
#endif
    (void)m;
    (void)plain;
    return 0;
}
