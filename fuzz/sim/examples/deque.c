/* deque.c: a work-stealing deque, after Chase and Lev, with the orders of Le, Pop, Cohen and Zappa
 * Nardelli (PPoPP 2013): the owner pushes and takes at the bottom, thieves steal at the top. With
 * -DBROKEN the fence in take() is not sequentially consistent: the last task may be taken twice.
 *
 *   make explore SRC=fuzz/sim/examples/deque.c CFLAGS_SRC=-DBROKEN
 *
 * expect: pass sched=exhaustive
 * expect: assertion cflags=-DBROKEN
 * shows: stale
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define TASKS 4
#ifdef BROKEN
#define FULL memory_order_acq_rel
#else
#define FULL memory_order_seq_cst
#endif
enum { NOTHING = -1 };

static atomic_long top, bottom;
static atomic_int task[TASKS];
static atomic_int done[TASKS];

static void push(int value) {
    long b = atomic_load_explicit(&bottom, memory_order_relaxed);
    atomic_store_explicit(&task[b % TASKS], value, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&bottom, b + 1, memory_order_relaxed);
}

static int take(void) {
    long b = atomic_load_explicit(&bottom, memory_order_relaxed) - 1;
    atomic_store_explicit(&bottom, b, memory_order_relaxed);
    atomic_thread_fence(FULL);
    long t = atomic_load_explicit(&top, memory_order_relaxed);
    if (t > b) { /* empty */
        atomic_store_explicit(&bottom, b + 1, memory_order_relaxed);
        return NOTHING;
    }
    int value = atomic_load_explicit(&task[b % TASKS], memory_order_relaxed);
    if (t == b) { /* the last one: thieves may want it too */
        if (!atomic_compare_exchange_strong_explicit(&top, &t, t + 1, memory_order_seq_cst,
                                                     memory_order_relaxed)) {
            value = NOTHING;
        }
        atomic_store_explicit(&bottom, b + 1, memory_order_relaxed);
    }
    return value;
}

static int steal(void) {
    long t = atomic_load_explicit(&top, memory_order_acquire);
    atomic_thread_fence(FULL);
    long b = atomic_load_explicit(&bottom, memory_order_acquire);
    if (t >= b) {
        return NOTHING;
    }
    int value = atomic_load_explicit(&task[t % TASKS], memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(&top, &t, t + 1, memory_order_seq_cst,
                                                 memory_order_relaxed)) {
        return NOTHING;
    }
    return value;
}

static void run(int value) {
    if (value != NOTHING) {
        assert(atomic_fetch_add_explicit(&done[value], 1, memory_order_relaxed) == 0);
    }
}

static void *thief(void *arg) {
    run(steal());
    run(steal());
    return arg;
}

int main(void) {
    pthread_t thread;
    push(0);
    push(1);
    pthread_create(&thread, NULL, thief, NULL);
    run(take());
    run(take());
    pthread_join(thread, NULL);
    return 0;
}
