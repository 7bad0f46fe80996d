/* dekker.c: Dekker's flags: a thread raises its own and enters if the other's is down. Broken:
 * with release and acquire instead of sequential consistency both read the old 0, and both enter.
 *   make explore SRC=fuzz/sim/examples/dekker.c CFLAGS_SRC=-DBROKEN
 * expect: pass sched=exhaustive
 * expect: assertion cflags=-DBROKEN
 * shows: raised[1] is 0
 * shows: stale: skips 1 by T
 */
#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <threads.h>

#ifdef BROKEN
#define RAISE memory_order_release
#define LOOK memory_order_acquire
#else
#define RAISE memory_order_seq_cst
#define LOOK memory_order_seq_cst
#endif

static atomic_int raised[2], inside;

static int enter(void *arg) {
    int me = arg != NULL;
    atomic_store_explicit(&raised[me], 1, RAISE);
    if (!atomic_load_explicit(&raised[1 - me], LOOK)) {
        atomic_fetch_add_explicit(&inside, 1, memory_order_relaxed);
    }
    return 0;
}

int main(void) {
    thrd_t thread[2];
    thrd_create(&thread[0], enter, NULL);
    thrd_create(&thread[1], enter, &inside);
    thrd_join(thread[0], NULL);
    thrd_join(thread[1], NULL);
    assert(atomic_load(&inside) <= 1);
    return 0;
}
