/* chance.h: a small random source for what makes programs. */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

static inline uint64_t next(struct chance *c) {
    c->state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = c->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* 0 to n - 1; 0 for n 0. */
static inline unsigned below(struct chance *c, size_t n) {
    return n == 0 ? 0 : (unsigned)(next(c) % n);
}

static inline bool one_in(struct chance *c, unsigned n) {
    return below(c, n) == 0;
}

#endif
