/* searched.c: programs whose number of graphs is known, for the table of `make bench-sim`; search.c
 * runs them. */
#include "searched.h"
#include "../sim.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

enum { THREADS_MAX = 20, RELAXED = memory_order_relaxed };
static atomic_int x, y, z, table[128];
static int shared;

#define LOAD(a) atomic_load_explicit(&(a), memory_order_acquire)
#define STORE(a, v) atomic_store_explicit(&(a), v, memory_order_release)

static void together(void (*fn)(void *), unsigned n) {
    static unsigned numbers[THREADS_MAX];
    int ids[THREADS_MAX];
    for (unsigned i = 0; i < n; i++) {
        numbers[i] = i;
        ids[i] = sim_spawn(fn, &numbers[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        sim_join(ids[i]);
    }
}

static unsigned number(const void *arg) {
    return *(const unsigned *)arg;
}

/* Two sums that each add the other, and a thread that reads both. */
static void fib(void *arg) {
    if (number(arg) == 2) {
        LOAD(x);
        LOAD(y);
        return;
    }
    for (int i = 0; i < 5; i++) {
        int a = LOAD(x), b = LOAD(y);
        if (number(arg)) {
            STORE(y, a + b);
        } else {
            STORE(x, a + b);
        }
    }
}
static void fib_bench(void *arg) {
    (void)arg;
    atomic_store_explicit(&x, 1, RELAXED);
    atomic_store_explicit(&y, 1, RELAXED);
    together(fib, 3);
}

static void last_zero(void *arg) {
    unsigned me = number(arg);
    if (me) {
        STORE(table[me], LOAD(table[me - 1]) + 1);
        return;
    }
    for (int i = 15; i >= 0 && LOAD(table[i]); i--) {
    }
}
static void lastzero(void *arg) {
    (void)arg;
    together(last_zero, 16);
}

static void index_messages(void *arg) {
    unsigned me = number(arg);
    for (unsigned m = 1; m <= 4; m++) {
        int word = (int)(m * 11 + me), none = 0;
        unsigned at = (unsigned)word * 7 % 128;
        while (!atomic_compare_exchange_strong(&table[at], &none, word)) {
            at = (at + 1) % 128;
            none = 0;
        }
    }
}
static void indexer(void *arg) {
    (void)arg;
    together(index_messages, 15);
}

static void rotate(void *arg) {
    int from = (int)number(arg);
    atomic_compare_exchange_strong(&x, &from, from + 1);
}
static void casrot(void *arg) {
    (void)arg;
    together(rotate, 9);
}

static void ticket(void *arg) {
    (void)arg;
    int mine = atomic_fetch_add_explicit(&x, 1, RELAXED);
    while (LOAD(y) != mine) {
    }
    shared++;
    STORE(y, mine + 1);
}
static void tas(void *arg) {
    (void)arg;
    while (atomic_exchange_explicit(&x, 1, memory_order_acquire)) {
    }
    shared++;
    STORE(x, 0);
}
static void ttas(void *arg) {
    (void)arg;
    for (int none = 0;; none = 0) {
        while (atomic_load_explicit(&x, RELAXED)) {
        }
        if (atomic_compare_exchange_strong_explicit(&x, &none, 1, memory_order_acquire, RELAXED)) {
            break;
        }
    }
    shared++;
    STORE(x, 0);
}
static void mutex(void *arg) {
    (void)arg;
    sim_lock(&shared);
    shared++;
    sim_unlock(&shared);
}
static void barrier(void *arg) {
    int all = (int)number(arg) >= 100 ? 0 : atomic_load_explicit(&z, RELAXED);
    if (atomic_fetch_add(&x, 1) + 1 == all) {
        STORE(y, 1);
    }
    while (!LOAD(y)) {
    }
}
static void barrier_of(unsigned n) {
    atomic_store_explicit(&z, (int)n, RELAXED);
    together(barrier, n);
}
#define OF(lock, n)                   \
    static void lock##_##n(void *a) { \
        (void)a;                      \
        together(lock, n);            \
    }
OF(ticket, 3)
OF(ticket, 4)
OF(tas, 3)
OF(tas, 4)
OF(ttas, 3)
OF(ttas, 4)
OF(mutex, 3)
OF(mutex, 4)
static void barrier_3(void *a) {
    (void)a;
    barrier_of(3);
}
static void barrier_4(void *a) {
    (void)a;
    barrier_of(4);
}

/* 0 or more: number of readers; -1: a writer holds the lock. */
static void read_locked(void *arg) {
    if (number(arg)) {
        for (int seen = LOAD(x);;) {
            if (seen >= 0 && atomic_compare_exchange_strong_explicit(
                                 &x, &seen, seen + 1, memory_order_acquire, RELAXED)) {
                break;
            }
            if (seen < 0) {
                seen = LOAD(x);
            }
        }
        (void)*(volatile int *)&shared;
        atomic_fetch_sub_explicit(&x, 1, memory_order_release);
        return;
    }
    for (int none = 0;
         !atomic_compare_exchange_strong_explicit(&x, &none, -1, memory_order_acquire, RELAXED);
         none = 0) {
    }
    shared++;
    STORE(x, 0);
}
static void rwlock(void *arg) {
    (void)arg;
    together(read_locked, 3);
}

/* The reader-writer lock of older Linux kernels: a thread that finds it taken undoes its decrement,
 * waits until the lock looks free, and retries. GenMC counts 14 graphs with a bound of 3, because
 * it leaves out rounds whose two exchanges cancel out. Other threads can observe those for a
 * moment, so they are graphs here. */
enum { FREE = 0x100000 };
static void take(int much, int least) {
    while (atomic_fetch_sub_explicit(&x, much, memory_order_acquire) < least) {
        atomic_fetch_add_explicit(&x, much, RELAXED);
        while (atomic_load_explicit(&x, RELAXED) < least) {
        }
    }
}
static void read_then_write(void *arg) {
    (void)arg;
    take(1, 1);
    (void)*(volatile int *)&shared;
    atomic_fetch_add_explicit(&x, 1, memory_order_release);
    take(FREE, FREE);
    shared = 1;
    atomic_fetch_add_explicit(&x, FREE, memory_order_release);
}
static void linux_rwlock(void *arg) {
    (void)arg;
    atomic_store_explicit(&x, FREE, RELAXED);
    together(read_then_write, 2);
}

/* Michael and Scott, PODC 1996: two threads enqueue, one dequeues. Node 0 is the dummy. */
static struct {
    atomic_int next;
    int value;
} node[4];
static void queue(void *arg) {
    unsigned me = number(arg);
    if (me) {
        node[me].value = (int)me;
        for (;;) {
            int last = LOAD(y), next = LOAD(node[last].next), none = 0;
            if (next) {
                atomic_compare_exchange_strong(&y, &last, next);
            } else if (atomic_compare_exchange_strong(&node[last].next, &none, (int)me)) {
                atomic_compare_exchange_strong(&y, &last, (int)me);
                return;
            }
        }
    }
    for (;;) {
        int first = LOAD(x), last = LOAD(y), next = LOAD(node[first].next);
        if (first == last) {
            if (!next) {
                return;
            }
            atomic_compare_exchange_strong(&y, &last, next);
        } else if (next) {
            shared = node[next].value;
            if (atomic_compare_exchange_strong(&x, &first, next)) {
                return;
            }
        }
    }
}
static void michael_scott(void *arg) {
    (void)arg;
    together(queue, 3);
}

/* Two writers that write two words each, in turn, and two readers. */
static void big_part(void *arg) {
    unsigned me = number(arg);
    if (me < 2) {
        for (int v = 1; v <= 3; v++) {
            STORE(table[(size_t)2 * me], v);
            STORE(table[2 * me + 1], v);
        }
        return;
    }
    for (unsigned i = 0; i < (me == 2 ? 7u : 3u); i++) {
        LOAD(table[i % 4]);
    }
}
static void big(void *arg) {
    (void)arg;
    together(big_part, 4);
}

/* Two threads write x, read y or z, and read x back; four others write y and z. */
static void coherence(void *arg) {
    unsigned me = number(arg);
    if (me < 2) {
        STORE(x, (int)me + 1);
        if (me) {
            LOAD(z);
        } else {
            LOAD(y);
        }
        LOAD(x);
        return;
    }
    STORE(y, (int)me);
    STORE(z, (int)me);
}
static void coherence_and_others(void *arg) {
    (void)arg;
    together(coherence, 6);
}

/* Five threads race for a compare-exchange, then each stores. */
static void cas_write(void *arg) {
    int none = 0;
    atomic_compare_exchange_strong_explicit(&x, &none, 1, RELAXED, RELAXED);
    STORE(x, (int)number(arg) + 3);
}
static void casw(void *arg) {
    (void)arg;
    together(cas_write, 5);
}

const struct searched searched[] = {
    {"fib_bench 5", fib_bench, 525630, 0},
    {"lastzero 15", lastzero, 147456, 0},
    {"casrot 9", casrot, 8597, 0},
    {"indexer 15", indexer, 4096, 0},
    {"ticket lock, 3 threads", ticket_3, 6, 0},
    {"ticket lock, 4 threads", ticket_4, 24, 0},
    {"exchange lock, 3 threads", tas_3, 6, 0},
    {"exchange lock, 4 threads", tas_4, 24, 0},
    {"test and exchange, 3 threads", ttas_3, 0, 0},
    {"test and exchange, 4 threads", ttas_4, 0, 0},
    {"mutex, 3 threads", mutex_3, 6, 0},
    {"mutex, 4 threads", mutex_4, 24, 0},
    {"barrier, 3 threads", barrier_3, 0, 0},
    {"barrier, 4 threads", barrier_4, 0, 0},
    {"reader-writer lock", rwlock, 0, 0},
    {"the older Linux lock, loop=3", linux_rwlock, 222, 3},
    {"Michael-Scott queue", michael_scott, 0, 0},
    {"big0", big, 82472, 0},
    {"CoA 5", coherence_and_others, 57600, 0},
    {"casw 5", casw, 32880, 0},
    {NULL, NULL, 0, 0},
};
