/* search_programs.c: small pthread programs whose outcome is a number. search.c compares the
 * outcomes that the exhaustive search and random schedules reach. */
#include "search.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>

unsigned outcome;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_barrier_t barrier;
static sem_t semaphore;
static atomic_uint a, b, saw[3];
static int data;
static const struct timespec soon = {.tv_sec = 1767225600 + 5}; /* runs begin at 1767225600 */

static void note(int thread, unsigned value) {
    unsigned before = atomic_load_explicit(&saw[thread], memory_order_relaxed);
    atomic_store_explicit(&saw[thread], before * 6 + value + 1, memory_order_relaxed);
}

static unsigned read_relaxed(atomic_uint *from) {
    return atomic_load_explicit(from, memory_order_relaxed);
}

static void run(void *(*first)(void *), void *(*second)(void *), void *(*third)(void *)) {
    void *(*const start[])(void *) = {first, second, third};
    pthread_t thread[3];
    for (int i = 0; i < 3 && start[i]; i++) {
        pthread_create(&thread[i], NULL, start[i], NULL);
    }
    for (int i = 0; i < 3 && start[i]; i++) {
        pthread_join(thread[i], NULL);
    }
    outcome = read_relaxed(&saw[0]) * 10007 + read_relaxed(&saw[1]) * 101 + read_relaxed(&saw[2]);
}

/* ---- A timed wait against a signal ----------------------------------------------------------- */

static void *waits(void *arg) {
    pthread_mutex_lock(&mutex);
    note(0, pthread_cond_timedwait(&condition, &mutex, &soon) == ETIMEDOUT);
    note(0, read_relaxed(&a));
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void *signals(void *arg) {
    atomic_store_explicit(&a, 1, memory_order_relaxed);
    pthread_cond_signal(&condition);
    return arg;
}

static void timed_wait(void *arg) {
    (void)arg;
    run(waits, signals, NULL);
}

/* ---- Which thread comes first ---------------------------------------------------------------- */

static void *tries(void *arg) {
    int error = pthread_mutex_trylock(&mutex);
    note(0, error == EBUSY);
    if (!error) {
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

static void *locks(void *arg) {
    pthread_mutex_lock(&mutex);
    note(1, read_relaxed(&saw[0]));
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void *locks_by(void *arg) {
    int error = pthread_mutex_timedlock(&mutex, &soon);
    note(2, error == ETIMEDOUT);
    if (!error) {
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

static void mutex_try(void *arg) {
    (void)arg;
    run(tries, locks, NULL);
}

static void mutex_timed(void *arg) {
    (void)arg;
    run(locks, locks_by, NULL);
}

/* ---- Readers and writers --------------------------------------------------------------------- */

static void *writes(void *arg) {
    pthread_rwlock_wrlock(&rwlock);
    data++;
    note(0, (unsigned)data);
    pthread_rwlock_unlock(&rwlock);
    return arg;
}

static void *reads(void *arg) {
    pthread_rwlock_rdlock(&rwlock);
    note(1, (unsigned)data);
    pthread_rwlock_unlock(&rwlock);
    return arg;
}

static void *tries_to_write(void *arg) {
    int error = pthread_rwlock_trywrlock(&rwlock);
    note(2, error ? 4 : (unsigned)data);
    if (!error) {
        pthread_rwlock_unlock(&rwlock);
    }
    return arg;
}

static void readers_writers(void *arg) {
    (void)arg;
    run(writes, reads, tries_to_write);
}

/* ---- Semaphore ------------------------------------------------------------------------------- */

static void *posts(void *arg) {
    sem_post(&semaphore);
    return arg;
}

static void *tries_to_take(void *arg) {
    note(1, sem_trywait(&semaphore) == 0);
    return arg;
}

static void *takes_by(void *arg) {
    note(2, sem_timedwait(&semaphore, &soon) == 0);
    return arg;
}

static void semaphore_timed(void *arg) {
    (void)arg;
    sem_init(&semaphore, 0, 0);
    run(posts, tries_to_take, takes_by);
}

/* ---- Broadcast, once, barrier ---------------------------------------------------------------- */

static void waits_for_data(int thread) {
    pthread_mutex_lock(&mutex);
    while (!data) {
        pthread_cond_wait(&condition, &mutex);
    }
    note(thread, atomic_fetch_add_explicit(&b, 1, memory_order_relaxed));
    pthread_mutex_unlock(&mutex);
}

static void *waits_0(void *arg) {
    waits_for_data(0);
    return arg;
}

static void *waits_1(void *arg) {
    waits_for_data(1);
    return arg;
}

static void *broadcasts(void *arg) {
    pthread_mutex_lock(&mutex);
    data = 1;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    return arg;
}

static void broadcast(void *arg) {
    (void)arg;
    run(waits_0, waits_1, broadcasts);
}

static void init(void) {
    data = 1 + (int)atomic_fetch_add_explicit(&b, 1, memory_order_relaxed);
}

static void *once_0(void *arg) {
    pthread_once(&once, init);
    note(0, (unsigned)data);
    return arg;
}

static void *once_1(void *arg) {
    note(1, atomic_fetch_add_explicit(&b, 1, memory_order_relaxed));
    pthread_once(&once, init);
    note(1, (unsigned)data);
    return arg;
}

static void once_each(void *arg) {
    (void)arg;
    run(once_0, once_1, NULL);
}

static void *meets_0(void *arg) {
    atomic_store_explicit(&a, 1, memory_order_relaxed);
    note(0, pthread_barrier_wait(&barrier) != 0);
    note(0, read_relaxed(&b));
    return arg;
}

static void *meets_1(void *arg) {
    atomic_store_explicit(&b, 1, memory_order_relaxed);
    note(1, pthread_barrier_wait(&barrier) != 0);
    note(1, read_relaxed(&a));
    return arg;
}

static void barrier_meets(void *arg) {
    (void)arg;
    pthread_barrier_init(&barrier, NULL, 2);
    run(meets_0, meets_1, NULL);
}

/* ---- What a mutex orders --------------------------------------------------------------------- */

static void *through_0(void *arg) {
    atomic_store_explicit(&a, 1, memory_order_relaxed);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    note(0, read_relaxed(&b));
    return arg;
}

static void *through_1(void *arg) {
    atomic_store_explicit(&b, 1, memory_order_relaxed);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    note(1, read_relaxed(&a));
    return arg;
}

static void mutex_orders(void *arg) {
    (void)arg;
    run(through_0, through_1, NULL);
}

/* The numbers of outcomes follow from reasoning; see each program. */
const struct search_program search_programs[] = {
    {"timed_wait", timed_wait, 4},   /* woken or not, `a` seen or not (a signal orders nothing) */
    {"mutex_try", mutex_try, 4},     /* before, after; busy, the note seen or not */
    {"mutex_timed", mutex_timed, 2}, /* got it or not */
    {"readers_writers", readers_writers,
     6}, /* the reader before or after; the other finds it busy, or comes before or after */
    {"semaphore_timed", semaphore_timed, 3}, /* one of the two, or the timed one too late */
    {"broadcast", broadcast, 2},             /* which is first */
    {"once_each", once_each, 2},             /* the count is read before init or after */
    {"barrier_meets", barrier_meets, 2},     /* which is last; all is seen */
    {"mutex_orders", mutex_orders, 3},       /* both 0 is forbidden */
    {NULL, NULL, 0}};
