/* bounds.h: how much a program may do. Most programs are small, so that thousands run each second.
 * A program with the operation `scale` may do some ten times as much; mutators make few of them. */
#ifndef BOUNDS_H
#define BOUNDS_H

#include "op.h"

struct bounds {
    int work;              /* of all operations; about one host page touched each */
    unsigned large;        /* so many operations may cost more than what is left of `work`, */
    uint64_t large_work;   /* up to this much */
    uint32_t copied_pages; /* of a memory whose bytes an operation may have to copy */
    unsigned owners;       /* memories that exist at the same time */
    unsigned touches;      /* stores of one memory_touch */
    unsigned waiters;      /* of all memory_wait_crowd together */
    uint32_t steps;        /* of a run under the engine */
};

enum { OWNERS_MOST = 1100, WAITERS_MOST = 76 };

static const struct bounds bounds_usual = {
    .work = 240,
    .large = 2,
    .large_work = 2600, /* a copy of 72 pages with its twin */
    .copied_pages = 72,
    .owners = 160,
    .touches = 72,
    .waiters = 40,
    .steps = 40000,
};
static const struct bounds bounds_scaled = {
    .work = 12000,
    .large = 4,
    .large_work = 20000,
    .copied_pages = 520,
    .owners = OWNERS_MOST,
    .touches = 640,
    .waiters = WAITERS_MOST,
    .steps = 400000,
};

static inline bool program_scales(const struct program *program) {
    bool any = false;
    for (unsigned i = 0; i < program->operations; i++) {
        any |= program->operation[i].code == OP_scale;
    }
    return any;
}

/* Nothing but the reference's own functions, which are called on the real system. */
static inline bool program_is_of_the_host(const struct program *program) {
    bool all = program->operations > 0;
    for (unsigned i = 0; i < program->operations; i++) {
        all &= program->operation[i].code >= OP_host_pool;
    }
    return all;
}

static inline const struct bounds *bounds_of(const struct program *program) {
    return program_scales(program) ? &bounds_scaled : &bounds_usual;
}

#endif
