/* ring.c: a ring with one producer and one consumer. Broken: the producer publishes a slot with a
 * relaxed store, so the consumer may read the slot before it is filled.
 *   make explore SRC=fuzz/sim/examples/ring.c CFLAGS_SRC=-DBROKEN
 * expect: pass sched=exhaustive
 * expect: data-race cflags=-DBROKEN
 * shows: ring.tail =
 * shows: ring.slot[
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define SLOTS 2u
#define ITEMS 3

#ifdef BROKEN
#define PUBLISH memory_order_relaxed
#else
#define PUBLISH memory_order_release
#endif

static struct {
    atomic_uint head, tail; /* of the consumer and of the producer; they only grow */
    int slot[SLOTS];
} ring;

static bool put(int item) {
    unsigned tail = atomic_load_explicit(&ring.tail, memory_order_relaxed);
    if (tail - atomic_load_explicit(&ring.head, memory_order_acquire) == SLOTS) {
        return false;
    }
    ring.slot[tail % SLOTS] = item;
    atomic_store_explicit(&ring.tail, tail + 1, PUBLISH);
    return true;
}

static bool take(int *item) {
    unsigned head = atomic_load_explicit(&ring.head, memory_order_relaxed);
    if (atomic_load_explicit(&ring.tail, memory_order_acquire) == head) {
        return false;
    }
    *item = ring.slot[head % SLOTS];
    atomic_store_explicit(&ring.head, head + 1, memory_order_release);
    return true;
}

static void *produce(void *arg) {
    for (int i = 1; i <= ITEMS; i++) {
        while (!put(i)) {
        }
    }
    return arg;
}

int main(void) {
    pthread_t producer;
    pthread_create(&producer, NULL, produce, NULL);
    for (int i = 1, item = 0; i <= ITEMS; i++) {
        while (!take(&item)) {
        }
        assert(item == i);
    }
    pthread_join(producer, NULL);
    return 0;
}
