/* loops.c: a counted loop is never cut, a bounded one can run out, a waiting one ends when its
 * condition holds; a lock costs one graph per order of its holders.
 * expect: assertion sched=exhaustive cflags=-DCOUNTED=3
 * expect: assertion sched=exhaustive cflags=-DCOUNTED=60
 * expect: assertion sched=exhaustive cflags=-DGIVES_UP=2
 * expect: assertion sched=exhaustive cflags=-DGIVES_UP=33
 * expect: assertion cflags=-DGIVES_UP=33
 * expect: lost-wakeup sched=exhaustive cflags=-DSPINS_THEN_SLEEPS=12
 * expect: pass sched=exhaustive cflags=-DTICKET
 * expect: pass sched=exhaustive cflags=-DEXCHANGE
 * expect: livelock sched=exhaustive cflags=-DNOBODY_STARTS
 * expect: livelock sched=exhaustive cflags=-DNOBODY_STARTS_WRITING
 */
#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int a, b;
static int shared;

#if defined COUNTED /* either sum may be 0: every load came too early */
static atomic_int sum_a, sum_b;
static int adds(atomic_int *from) {
    int sum = 0;
    for (int i = 0; i < COUNTED; i++) {
        sum += atomic_load_explicit(from, memory_order_acquire);
    }
    return sum;
}
static void *first(void *arg) {
    atomic_store(&sum_a, adds(&a));
    atomic_store(&b, 1);
    return arg;
}
static void *second(void *arg) {
    atomic_store(&sum_b, adds(&b));
    atomic_store(&a, 1);
    return arg;
}
static void check(void) {
    assert(atomic_load(&sum_a) || atomic_load(&sum_b));
}
#elif defined GIVES_UP          /* the other thread may be slow */
static void *first(void *arg) {
    for (int i = 0; i < GIVES_UP; i++) {
        if (atomic_load(&a)) {
            return arg;
        }
    }
    assert(!"gave up");
    return arg;
}
static void *second(void *arg) {
    atomic_store(&a, 1);
    return arg;
}
static void check(void) {}
#elif defined SPINS_THEN_SLEEPS /* the unlocking thread forgets to wake */
static void *first(void *arg) {
    for (int i = 0; i < SPINS_THEN_SLEEPS; i++) {
        int free = 0;
        if (atomic_load(&a) == 0 && atomic_compare_exchange_strong(&a, &free, 1)) {
            shared++;
            atomic_store(&a, 0);
            return arg;
        }
    }
    while (atomic_exchange(&a, 2)) {
        syscall(SYS_futex, &a, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    }
    shared++;
    atomic_store(&a, 0);
    return arg;
}
static void *second(void *arg) {
    return first(arg);
}
static void check(void) {}
#elif defined TICKET
static void *first(void *arg) {
    int mine = atomic_fetch_add_explicit(&a, 1, memory_order_relaxed);
    while (atomic_load_explicit(&b, memory_order_acquire) != mine) {
    }
    shared++;
    atomic_store_explicit(&b, mine + 1, memory_order_release);
    return arg;
}
static void *second(void *arg) {
    return first(arg);
}
static void check(void) {
    assert(shared == 2);
}
#elif defined EXCHANGE
static void *first(void *arg) {
    while (atomic_exchange_explicit(&a, 1, memory_order_acquire)) {
    }
    shared++;
    atomic_store_explicit(&a, 0, memory_order_release);
    return arg;
}
static void *second(void *arg) {
    return first(arg);
}
static void check(void) {
    assert(shared == 2);
}
#elif defined NOBODY_STARTS
static void *first(void *arg) {
    while (!atomic_load(&a)) {
    }
    atomic_store(&b, 1);
    return arg;
}
static void *second(void *arg) {
    while (!atomic_load(&b)) {
    }
    atomic_store(&a, 1);
    return arg;
}
static void check(void) {}
#elif defined NOBODY_STARTS_WRITING /* each repeats that it is not ready */
static void *first(void *arg) {
    while (!atomic_load(&a)) {
        atomic_store(&b, 0);
    }
    return arg;
}
static void *second(void *arg) {
    while (!atomic_load(&b)) {
        atomic_store(&a, 0);
    }
    return arg;
}
static void check(void) {}
#endif

int main(void) {
    pthread_t thread[2];
    pthread_create(&thread[0], NULL, first, NULL);
    pthread_create(&thread[1], NULL, second, NULL);
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    check();
    return shared < 0;
}
