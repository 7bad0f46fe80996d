/* programs.c: the programs of the benchmark, compiled with -fsanitize=thread for the engine.
 * relacy.cc has the same programs for Relacy. */
#include "programs.h"
#include "sim.h"

#include <stdatomic.h>

static atomic_int flag, ready[4];
static int data;
static _Atomic unsigned tail;
static atomic_int slots[4];

static void writer(void *a) {
    (void)a;
    data = 1;
    atomic_store_explicit(&flag, 1, memory_order_release);
}
static void relay(void *a) {
    (void)a;
    if (atomic_load_explicit(&flag, memory_order_acquire) == 1) {
        atomic_store_explicit(&ready[0], 1, memory_order_release);
    }
}
static void reader(void *a) {
    (void)a;
    if (atomic_load_explicit(&ready[0], memory_order_acquire)) {
        sim_assert(data == 1);
    }
}
static void run3(void (*x)(void *), void (*y)(void *), void (*z)(void *)) {
    int t[3] = {sim_spawn(x, NULL), sim_spawn(y, NULL), sim_spawn(z, NULL)};
    for (int i = 0; i < 3; i++) {
        sim_join(t[i]);
    }
}
void message_passing(void *a) {
    (void)a;
    run3(writer, relay, reader);
}

static void producer(void *a) {
    (void)a;
    unsigned at = atomic_fetch_add_explicit(&tail, 1, memory_order_relaxed);
    atomic_store_explicit(&slots[at], 7 + (int)at, memory_order_relaxed);
    atomic_store_explicit(&ready[at], 1, memory_order_release);
}
static void consumer(void *a) {
    (void)a;
    for (unsigned i = 0; i < 2; i++) {
        if (!atomic_load_explicit(&ready[i], memory_order_acquire)) {
            return;
        }
        sim_assert(atomic_load_explicit(&slots[i], memory_order_relaxed) == 7 + (int)i);
    }
}
void mailbox(void *a) {
    (void)a;
    run3(producer, producer, consumer);
}
