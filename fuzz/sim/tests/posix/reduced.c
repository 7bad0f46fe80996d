/* reduced.c: reductions of the search: fewer graphs if they hold, the same number if they do not.
 *
 * expect: pass sched=exhaustive cflags=-DDISJOINT graphs=90
 * expect: pass sched=exhaustive cflags=-DDISJOINT set=locks=1 graphs=1
 * expect: pass sched=exhaustive cflags=-DSHARED graphs=36
 * expect: pass sched=exhaustive cflags=-DSHARED set=locks=1 graphs=6
 * expect: assertion sched=exhaustive cflags=-DBUG set=locks=1
 * expect: data-race sched=exhaustive cflags=-DUNORDERED set=locks=1
 * expect: deadlock sched=exhaustive cflags=-DNESTED set=locks=1
 * expect: pass sched=exhaustive cflags=-DFENCED set=locks=1 graphs=4
 * expect: pass sched=exhaustive cflags=-DBARRIER graphs=36
 * expect: pass sched=exhaustive cflags=-DBARRIER set=barriers=1 graphs=1
 * expect: pass sched=exhaustive cflags=-DFOUR set=barriers=1 graphs=24 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#ifdef FOUR /* more threads than the barrier counts */
enum { THREADS = 4, PLACES = 2 };
#else
enum { THREADS = 3, PLACES = 3 };
#endif
#ifdef BUG
#define SHARED
#endif

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER, n = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static int count[THREADS], shared, last, data;
static atomic_int x[2];
static int seen[2];

static void add(pthread_mutex_t *lock, int *to) {
    pthread_mutex_lock(lock);
    ++*to;
    pthread_mutex_unlock(lock);
}

/* What thread i does. */
static void act(int i) {
    (void)i;
#if defined(DISJOINT)
    add(&m, &count[i]);
    add(&m, &count[i]);
#elif defined(SHARED)
    add(&n, &count[i]);
    pthread_mutex_lock(&m);
    shared++;
    last = i;
    pthread_mutex_unlock(&m);
#elif defined(UNORDERED) /* the lock orders the two writes only if thread 0 comes first */
    if (i == 0) {
        data = 1;
    }
    add(&m, &count[i]);
    if (i == 1) {
        data = 2;
    }
#elif defined(NESTED)
    pthread_mutex_lock(i ? &n : &m);
    add(i ? &m : &n, &count[i]);
    pthread_mutex_unlock(i ? &n : &m);
#elif defined( \
    FENCED) /* one of the two sections comes first, so one of the threads sees the other */
    if (i < 2) {
        atomic_store_explicit(&x[i], 1, memory_order_relaxed);
        add(&m, &count[i]);
        seen[i] = atomic_load_explicit(&x[1 - i], memory_order_relaxed);
    }
#else
    count[i] = 1;
    pthread_barrier_wait(&barrier);
    if (PLACES == THREADS) {
        for (int k = 0; k < THREADS; k++) {
            assert(count[k] == 1);
        }
        pthread_barrier_wait(&barrier);
        count[i] = 2;
    }
#endif
}

static void *work(void *number) {
    act((int)(intptr_t)number);
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, PLACES);
    for (intptr_t i = 0; i < THREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)i);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
#if defined(BUG)
    assert(last != 0);
#elif defined(FENCED)
    assert(seen[0] || seen[1]);
#endif
    (void)shared, (void)last, (void)data;
    return 0;
}
