/* mpmc.c: a bounded queue of many producers and consumers, after Dmitry Vyukov's: each cell has a
 * sequence number that says whose turn it is. With -DBROKEN a producer publishes its cell with a
 * relaxed store, so that a consumer may see the number before the value.
 *
 *   make explore SRC=fuzz/sim/examples/mpmc.c CFLAGS_SRC=-DBROKEN
 *
 * expect: pass time=3
 * expect: data-race cflags=-DBROKEN
 * shows: sequence
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define CELLS 2u
#ifdef BROKEN
#define PUBLISH memory_order_relaxed
#else
#define PUBLISH memory_order_release
#endif

static struct {
    _Atomic unsigned sequence;
    int value;
} cells[CELLS] = {{0, 0}, {1, 0}};
static _Atomic unsigned head, tail;

static bool put(int value) {
    unsigned at = atomic_load_explicit(&tail, memory_order_relaxed);
    for (;;) {
        unsigned turn = atomic_load_explicit(&cells[at % CELLS].sequence, memory_order_acquire);
        if (turn == at) {
            if (atomic_compare_exchange_strong_explicit(&tail, &at, at + 1, memory_order_relaxed,
                                                        memory_order_relaxed)) {
                break;
            }
        } else if ((int)(turn - at) < 0) {
            return false; /* full */
        } else {
            at = atomic_load_explicit(&tail, memory_order_relaxed);
        }
    }
    cells[at % CELLS].value = value;
    atomic_store_explicit(&cells[at % CELLS].sequence, at + 1, PUBLISH);
    return true;
}

static bool get(int *value) {
    unsigned at = atomic_load_explicit(&head, memory_order_relaxed);
    for (;;) {
        unsigned turn = atomic_load_explicit(&cells[at % CELLS].sequence, memory_order_acquire);
        if (turn == at + 1) {
            if (atomic_compare_exchange_strong_explicit(&head, &at, at + 1, memory_order_relaxed,
                                                        memory_order_relaxed)) {
                break;
            }
        } else if ((int)(turn - (at + 1)) < 0) {
            return false; /* empty */
        } else {
            at = atomic_load_explicit(&head, memory_order_relaxed);
        }
    }
    *value = cells[at % CELLS].value;
    atomic_store_explicit(&cells[at % CELLS].sequence, at + CELLS, memory_order_release);
    return true;
}

static atomic_int sum;

static void *producer(void *arg) {
    put((int)(long)arg);
    return NULL;
}

static void *consumer(void *arg) {
    int value;
    if (get(&value)) {
        atomic_fetch_add(&sum, value);
    }
    return arg;
}

int main(void) {
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, producer, (void *)1L);
    pthread_create(&threads[1], NULL, producer, (void *)2L);
    pthread_create(&threads[2], NULL, consumer, NULL);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    int value;
    while (get(&value)) {
        atomic_fetch_add(&sum, value);
    }
    assert(atomic_load(&sum) == 3);
    return 0;
}
