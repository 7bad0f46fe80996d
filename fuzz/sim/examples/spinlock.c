/* spinlock.c: a spin lock: two threads count under it. Broken: unlock is relaxed, so what was
 * written under the lock need not be seen by the next holder.
 *   make explore SRC=fuzz/sim/examples/spinlock.c CFLAGS_SRC=-DBROKEN
 * expect: pass sched=exhaustive
 * expect: data-race cflags=-DBROKEN
 * shows: locked = 0
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#ifdef BROKEN
#define UNLOCK_ORDER memory_order_relaxed
#else
#define UNLOCK_ORDER memory_order_release
#endif

static atomic_int locked;
static int counter;

static void lock(void) {
    while (atomic_exchange_explicit(&locked, 1, memory_order_acquire)) {
        while (atomic_load_explicit(&locked, memory_order_relaxed)) {
        }
    }
}

static void unlock(void) {
    atomic_store_explicit(&locked, 0, UNLOCK_ORDER);
}

static void *count(void *arg) {
    lock();
    counter++;
    unlock();
    return arg;
}

int main(void) {
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, count, NULL);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
    }
    assert(counter == 2);
    return 0;
}
