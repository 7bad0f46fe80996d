/* eventcount.c: an event count: sleep on a futex until something is published, without a lock.
 * Broken: the two sides read each other's variable without sequentially consistent fences, so
 * both can miss the other: the consumer sleeps for ever.
 *   make explore SRC=fuzz/sim/examples/eventcount.c CFLAGS_SRC=-DBROKEN
 * expect: pass sched=exhaustive
 * expect: deadlock cflags=-DBROKEN
 * shows: waits on epoch while it is
 */
#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef BROKEN
#define FENCE memory_order_acq_rel
#else
#define FENCE memory_order_seq_cst
#endif

static atomic_int published, sleepers;
static atomic_uint epoch;

static void publish(void) {
    atomic_store_explicit(&published, 1, memory_order_release);
    atomic_thread_fence(FENCE); /* with await()'s fence: `published` or `sleepers` is seen */
    if (atomic_load_explicit(&sleepers, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&epoch, 1, memory_order_release);
        syscall(SYS_futex, &epoch, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void await(void) {
    unsigned now = atomic_load_explicit(&epoch, memory_order_acquire);
    atomic_store_explicit(&sleepers, 1, memory_order_relaxed);
    atomic_thread_fence(FENCE);
    while (!atomic_load_explicit(&published, memory_order_acquire)) {
        syscall(SYS_futex, &epoch, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
        now = atomic_load_explicit(&epoch, memory_order_acquire);
    }
}

static void *publisher(void *arg) {
    publish();
    return arg;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, publisher, NULL);
    await();
    assert(atomic_load(&published));
    pthread_join(thread, NULL);
    return 0;
}
