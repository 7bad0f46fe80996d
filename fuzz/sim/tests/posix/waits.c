/* waits.c: condition variables, barriers, rwlocks and semaphores: waiters are woken, writes are
 * seen, deadlines expire.
 * expect: pass sched=exhaustive cflags=-DCONDITION
 * expect: pass sched=exhaustive cflags=-DTIMED
 * expect: pass sched=exhaustive cflags=-DBARRIER
 * expect: pass sched=exhaustive cflags=-DRWLOCK
 * expect: pass sched=exhaustive cflags=-DSEMAPHORE
 * expect: data-race cflags=-DTWO_WRITERS
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;
static sem_t semaphore;
static int data, seen, serial[2];

#if defined CONDITION
static void *first(void *arg) {
    pthread_mutex_lock(&mutex);
    data = 1;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    return arg;
}
static void *second(void *arg) {
    pthread_mutex_lock(&mutex);
    while (!data) {
        pthread_cond_wait(&condition, &mutex);
    }
    seen = data;
    pthread_mutex_unlock(&mutex);
    return arg;
}
static void check(void) {
    assert(seen == 1);
}
#elif defined TIMED
static void *first(void *arg) {
    return arg;
}
static void *second(void *arg) {
    struct timespec start, end, deadline;
    clock_gettime(CLOCK_REALTIME, &start);
    deadline = start;
    deadline.tv_sec += 3600;
    pthread_mutex_lock(&mutex);
    while (pthread_cond_timedwait(&condition, &mutex, &deadline) != ETIMEDOUT) {
    }
    pthread_mutex_unlock(&mutex);
    clock_gettime(CLOCK_REALTIME, &end);
    assert(end.tv_sec >= start.tv_sec + 3600);
    return arg;
}
static void check(void) {}
#elif defined BARRIER
static void *meet(int me) {
    serial[me] = pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
    return NULL;
}
static void *first(void *arg) {
    (void)arg;
    data = 1;
    return meet(0);
}
static void *second(void *arg) {
    (void)arg;
    meet(1);
    seen = data;
    return NULL;
}
static void check(void) {
    assert(seen == 1 && serial[0] + serial[1] == 1);
}
#elif defined RWLOCK
static void *first(void *arg) {
    pthread_rwlock_wrlock(&rwlock);
    data = 1;
    data = 2;
    pthread_rwlock_unlock(&rwlock);
    return arg;
}
static void *second(void *arg) {
    pthread_rwlock_rdlock(&rwlock);
    assert(data != 1);
    assert(pthread_rwlock_tryrdlock(&rwlock) == 0);
    assert(pthread_rwlock_trywrlock(&rwlock) == EBUSY);
    pthread_rwlock_unlock(&rwlock);
    pthread_rwlock_unlock(&rwlock);
    return arg;
}
static void check(void) {
    assert(data == 2);
}
#elif defined SEMAPHORE
static void *first(void *arg) {
    data = 1;
    sem_post(&semaphore);
    return arg;
}
static void *second(void *arg) {
    while (sem_wait(&semaphore)) {
    }
    seen = data;
    assert(sem_trywait(&semaphore) == -1 && errno == EAGAIN);
    return arg;
}
static void check(void) {
    assert(seen == 1);
}
#elif defined TWO_WRITERS
static void *first(void *arg) {
    pthread_rwlock_rdlock(&rwlock);
    data++;
    pthread_rwlock_unlock(&rwlock);
    return arg;
}
static void *second(void *arg) {
    return first(arg);
}
static void check(void) {}
#endif

int main(void) {
    pthread_t a, b;
    pthread_barrier_init(&barrier, NULL, 2);
    sem_init(&semaphore, 0, 0);
    pthread_create(&a, NULL, first, NULL);
    pthread_create(&b, NULL, second, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    check();
    pthread_barrier_destroy(&barrier);
    sem_destroy(&semaphore);
    (void)seen;
    (void)serial;
    return 0;
}
