/* mutex.c: mutexes of all kinds do what POSIX says, and exclude other threads.
 * expect: pass sched=exhaustive
 * expect: pass time=1
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <time.h>

static pthread_mutex_t normal = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t recursive, checking;
static int counter;

static void *other(void *arg) {
    assert(pthread_mutex_trylock(&recursive) == EBUSY);
    assert(pthread_mutex_unlock(&checking) == EPERM);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_sec++;
    assert(pthread_mutex_timedlock(&recursive, &soon) == ETIMEDOUT);
    pthread_mutex_lock(&normal);
    counter++;
    pthread_mutex_unlock(&normal);
    return arg;
}

static void init(pthread_mutex_t *m, int type) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    assert(!pthread_mutex_init(m, &attributes));
    pthread_mutexattr_destroy(&attributes);
}

int main(void) {
    pthread_t thread;
    init(&recursive, PTHREAD_MUTEX_RECURSIVE);
    init(&checking, PTHREAD_MUTEX_ERRORCHECK);
    for (int i = 0; i < 3; i++) {
        assert(!pthread_mutex_lock(&recursive));
    }
    assert(!pthread_mutex_lock(&checking) && pthread_mutex_lock(&checking) == EDEADLK);
    pthread_create(&thread, NULL, other, NULL);
    pthread_mutex_lock(&normal);
    counter++;
    pthread_mutex_unlock(&normal);
    pthread_join(thread, NULL);
    assert(counter == 2);
    for (int i = 0; i < 3; i++) {
        assert(!pthread_mutex_unlock(&recursive));
    }
    assert(pthread_mutex_unlock(&recursive) == EPERM);
    pthread_mutex_unlock(&checking);
    pthread_mutex_destroy(&checking);
    pthread_mutex_destroy(&recursive);
    return 0;
}
