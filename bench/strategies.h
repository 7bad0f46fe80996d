/* strategies.h: the parameters of memory rows: the strategies with their variants, and the sizes.
 * memory.c measures them, memory_bounds.c the bare system calls at the same sizes. */
#ifndef BENCH_STRATEGIES_H
#define BENCH_STRATEGIES_H

#include <stdint.h>

#define BENCH_HOST_PAGE 4096u

enum {
    BENCH_CAPACITY_PAGES = 1024,  /* reserved by a strategy that never moves: 64 MiB */
    BENCH_GUARD_BYTES = 65536,    /* after every memory */
    BENCH_TOUCHED_HOST_PAGES = 4, /* written by a short-lived instance */
    BENCH_SIZES = 5
};

/* Sizes in WebAssembly pages of 64 KiB. Quick runs leave out the second and the fourth. */
static const uint32_t bench_sizes[BENCH_SIZES] = {1, 4, 16, 64, 256};

/* Memories alive at once in a batch: many small ones or few large ones. */
static inline int bench_batch(uint32_t pages) {
    return pages <= 4 ? 16 : pages <= 16 ? 4 : 1;
}

/* Writes one byte to each host page of a range. */
static inline void bench_touch(volatile uint8_t *at, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i += BENCH_HOST_PAGE) {
        at[i] = 1;
    }
}

#endif
