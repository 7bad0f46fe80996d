/* threads.h: shared by the rows with two threads: the clock, cores, a barrier that does not sleep.
 *
 * Where two threads run matters more than what they run: on one core a wake-up is a switch, on two
 * it is an interrupt, and a contended cache line is either free or not. So each row says where: its
 * threads are pinned to one core each, or to the same. */
#ifndef BENCH_THREADS_H
#define BENCH_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

static inline double bench_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Core `number`, from 0, of those that this process may use; CPU_SETSIZE if it has fewer. */
static inline size_t bench_core(const cpu_set_t *allowed, int number) {
    size_t core = 0;
    while (core < CPU_SETSIZE && !(CPU_ISSET(core, allowed) && number-- == 0)) {
        core++;
    }
    return core;
}

/* Pins the calling thread to that core until bench_unpin(before). False: there is no such core. */
static inline bool bench_pin(int number, cpu_set_t *before) {
    cpu_set_t one;
    if (pthread_getaffinity_np(pthread_self(), sizeof *before, before) != 0) {
        return false;
    }
    size_t core = bench_core(before, number);
    CPU_ZERO(&one);
    CPU_SET(core, &one); /* does nothing for CPU_SETSIZE: then the next call fails */
    return pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
}

/* How many cores this process may use. */
static inline int bench_cores(void) {
    cpu_set_t allowed;
    return pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) == 0
               ? CPU_COUNT(&allowed)
               : 1;
}

static inline void bench_unpin(const cpu_set_t *before) {
    pthread_setaffinity_np(pthread_self(), sizeof *before, before);
}

/* Starts run(argument) on that core; join it with pthread_join. False: no such core, or no
 * thread. */
static inline bool bench_start(pthread_t *thread, int number, void *(*run)(void *),
                               void *argument) {
    cpu_set_t before;
    bool good = bench_pin(number, &before) && pthread_create(thread, NULL, run, argument) == 0;
    bench_unpin(&before);
    return good;
}

/* Call in a loop that waits for another thread: spins, and yields the core now and then in case
 * that thread has none. */
static inline void bench_relax(unsigned *spins) {
    if (++*spins % 1024 == 0) {
        sched_yield();
    }
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* All threads leave within nanoseconds if each has a core. A barrier that sleeps would start one of
 * them some 50 us after the other, and they would never meet. crowded: more threads than cores, so
 * waiting threads yield at once. */
struct bench_barrier {
    _Atomic uint32_t arrived, round;
    bool crowded;
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
        if (barrier->crowded) {
            sched_yield();
        } else {
            bench_relax(&spins);
        }
    }
}

#endif
