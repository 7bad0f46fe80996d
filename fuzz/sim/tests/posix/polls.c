/* polls.c: threads that poll under a lock. That is no livelock, since another thread gets the lock
 * in time. It is one if no thread will ever write what they wait for.
 *
 * expect: pass time=3
 * expect: pass time=3 cflags=-DSPIN
 * expect: pass time=3 cflags=-DTURNS
 * expect: livelock time=10 cflags=-DNEVER
 * expect: livelock time=10 cflags=-DNEVER_SPIN */
#include <pthread.h>
#include <stdatomic.h>

#ifdef NEVER_SPIN
#define NEVER
#define SPIN
#endif

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static atomic_int taken;
static int ready;

static void enter(void) {
#ifdef SPIN
    while (atomic_exchange(&taken, 1)) {
    }
#else
    pthread_mutex_lock(&m);
#endif
}

static void leave(void) {
#ifdef SPIN
    taken = 0;
#else
    pthread_mutex_unlock(&m);
#endif
}

static void *poll_it(void *arg) {
    for (int done = 0; !done;) {
        enter();
        done = ready;
        leave();
    }
    return arg;
}

#ifdef TURNS /* two threads count up in turn, for longer than a run may stall */
static atomic_int count;
static void *in_turn(void *arg) {
    for (int i = 0; i < 3000; i++)
        atomic_store(&count, i & 1);
    return arg;
}
#define poll_it in_turn
#endif

int main(void) {
    pthread_t t[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&t[i], 0, poll_it, 0);
    }
#ifndef NEVER
    enter();
    ready = 1;
    leave();
#endif
    for (int i = 0; i < 2; i++) {
        pthread_join(t[i], 0);
    }
    return 0;
}
