/* queue.c: a bounded queue with a mutex and condition variables. Broken: producers and consumers
 * wait on the same condition variable, so a signal can wake the wrong side: then all sleep.
 *   make explore SRC=fuzz/sim/examples/queue.c CFLAGS_SRC=-DBROKEN
 * expect: pass time=1
 * expect: deadlock cflags=-DBROKEN
 * shows: unlocks mutex
 */
#include <assert.h>
#include <pthread.h>
#include <stddef.h>

#define SLOTS 1
#define EACH 2

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;
#ifdef BROKEN
#define not_empty not_full
#else
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
#endif
static int used, taken;

static void *produce(void *arg) {
    for (int i = 0; i < EACH; i++) {
        pthread_mutex_lock(&mutex);
        while (used == SLOTS) {
            pthread_cond_wait(&not_full, &mutex);
        }
        used++;
        pthread_cond_signal(&not_empty);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

static void *consume(void *arg) {
    for (int i = 0; i < 2 * EACH; i++) {
        pthread_mutex_lock(&mutex);
        while (used == 0) {
            pthread_cond_wait(&not_empty, &mutex);
        }
        used--;
        taken++;
        pthread_cond_signal(&not_full);
        pthread_mutex_unlock(&mutex);
    }
    return arg;
}

int main(void) {
    pthread_t thread[3];
    for (int i = 0; i < 3; i++) {
        pthread_create(&thread[i], NULL, i ? produce : consume, NULL);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(thread[i], NULL);
    }
    assert(used == 0 && taken == 2 * EACH);
    return 0;
}
