/* threads.h: what the rows with two threads share: the clock and a barrier that does not sleep. */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

static inline double bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Call in a loop that waits for another thread: spins, and gives the core away now and then, as
 * that thread may have none. */
static inline void bench_relax(unsigned *spins) {
    if (++*spins % 1024 == 0) {
        sched_yield();
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* All threads leave at once, within nanoseconds where each has a core: a barrier that sleeps would
 * start one of them some 50 us after the other, and they would never meet. */
struct bench_barrier {
    _Atomic uint32_t arrived, round;
};

static inline void bench_meet(struct bench_barrier *barrier, uint32_t threads) {
    uint32_t round = atomic_load(&barrier->round);
    unsigned spins = 0;
    if (atomic_fetch_add(&barrier->arrived, 1) + 1 == threads) {
        atomic_store(&barrier->arrived, 0);
        atomic_fetch_add(&barrier->round, 1);
        return;
    }
    while (atomic_load(&barrier->round) == round) {
        bench_relax(&spins);
    }
}

#endif
