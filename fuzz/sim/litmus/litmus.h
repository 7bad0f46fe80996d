/* Short names for litmus tests in C. A test is one file: its header comment states
 * `verdict: allowed|forbidden` and `graphs: n`; then atomics, one function a thread, and
 *
 *     LITMUS(T0, T1) { return r0 == 0 && r1 == 0; }
 *
 * whose body says whether the outcome in question happened; it runs after all threads have ended.
 * Registers are r0 to r7. `option: c11` in the header selects the C11 release-sequence rule. */
#ifndef LITMUS_H
#define LITMUS_H

#include <stdatomic.h>
#include <stdbool.h>

enum {
    rlx = memory_order_relaxed,
    acq = memory_order_acquire,
    rel = memory_order_release,
    ar = memory_order_acq_rel,
    sc = memory_order_seq_cst
};

#define load(x, order) atomic_load_explicit(&(x), (memory_order)(order))
#define store(x, v, order) atomic_store_explicit(&(x), (v), (memory_order)(order))
#define add(x, v, order) atomic_fetch_add_explicit(&(x), (v), (memory_order)(order))
#define xchg(x, v, order) atomic_exchange_explicit(&(x), (v), (memory_order)(order))
#define fence(order) atomic_thread_fence((memory_order)(order))
/* The value read. */
#define cas(x, e, v, order, failure)                                                          \
    __extension__({                                                                           \
        int expected_ = (e);                                                                  \
        atomic_compare_exchange_strong_explicit(&(x), &expected_, (v), (memory_order)(order), \
                                                (memory_order)(failure));                     \
        expected_;                                                                            \
    })

/* -1: not assigned. */
extern int litmus_r[8];
#define r0 litmus_r[0]
#define r1 litmus_r[1]
#define r2 litmus_r[2]
#define r3 litmus_r[3]
#define r4 litmus_r[4]
#define r5 litmus_r[5]
#define r6 litmus_r[6]
#define r7 litmus_r[7]

struct litmus {
    const char *file;
    void (*const *threads)(void);
    unsigned threads_n;
    bool (*exists)(void);
    struct litmus *next;
};
void litmus_register(struct litmus *test);

#define LITMUS(...)                                                                       \
    static bool litmus_exists(void);                                                      \
    static void (*const litmus_threads[])(void) = {__VA_ARGS__};                          \
    static struct litmus litmus_test = {__FILE__, litmus_threads,                         \
                                        sizeof litmus_threads / sizeof litmus_threads[0], \
                                        litmus_exists, 0};                                \
    __attribute__((constructor)) static void litmus_begin(void) {                         \
        litmus_register(&litmus_test);                                                    \
    }                                                                                     \
    static bool litmus_exists(void)

#endif
