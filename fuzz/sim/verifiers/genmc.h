/* genmc.h: for programs written for the GenMC model checker, under `make explore`. Annotations that
 * only save GenMC work have no effect here. */
#ifndef SIM_VERIFIERS_GENMC_H
#define SIM_VERIFIERS_GENMC_H

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#ifdef __cplusplus
extern "C" {
#endif

void __VERIFIER_assume(int);
int __VERIFIER_nondet_int(void);
unsigned __VERIFIER_nondet_uint(void);
void __VERIFIER_error(void) __attribute__((noreturn));

typedef pthread_t __VERIFIER_thread_t;

static inline __VERIFIER_thread_t __VERIFIER_spawn(void *(*run)(void *), void *arg) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, arg))
        abort();
    return thread;
}

static inline __VERIFIER_thread_t __VERIFIER_spawn_symmetric(void *(*run)(void *), void *arg,
                                                             __VERIFIER_thread_t like) {
    (void)like;
    return __VERIFIER_spawn(run, arg);
}

static inline void *__VERIFIER_join(__VERIFIER_thread_t thread) {
    void *result;
    pthread_join(thread, &result);
    return result;
}

#ifdef __cplusplus
}
#endif

/* Hazard pointers: retired nodes are never freed, so all are protected. */
typedef struct {
    char none;
} __VERIFIER_hp_t;
#define __VERIFIER_hp_alloc() ((__VERIFIER_hp_t *)0)
#define __VERIFIER_hp_protect(hp, p) ((void)(hp), atomic_load_explicit((p), memory_order_acquire))
#define __VERIFIER_hp_clear(hp) ((void)(hp))
#define __VERIFIER_hp_free(hp) ((void)(hp))
#define __VERIFIER_hp_retire(p) ((void)(p))

#define __VERIFIER_loop_begin() ((void)0)
#define __VERIFIER_spin_start() ((void)0)
#define __VERIFIER_spin_end(cond) ((void)(cond))
#define __VERIFIER_local_write(s) s
#define __VERIFIER_final_write(s) s
#define __VERIFIER_speculative_read(c) (c)
#define __VERIFIER_confirming_read(c) (c)
#define __VERIFIER_confirming_CAS(c) (c)
#define __VERIFIER_final_CAS(c) (c)
#define __VERIFIER_helped_CAS(c) c
#define __VERIFIER_helping_CAS(c) c
#define __VERIFIER_optional(x) \
    do {                       \
        x;                     \
    } while (0)
#define __VERIFIER_final_CAS_explicit atomic_compare_exchange_strong_explicit
#define __VERIFIER_CAS_helped_explicit atomic_compare_exchange_strong_explicit
#define __VERIFIER_CAS_helping_explicit atomic_compare_exchange_strong_explicit

#endif
