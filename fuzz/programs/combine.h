/* combine.h: programs in which several features of one memory come together: how it is made, what
 * is set around it, what happened to it before, then a call that succeeds or fails, and a look at
 * everything that can be compared. */
#ifndef COMBINE_H
#define COMBINE_H

#include "op.h"

/* Of each group a program has exactly one; of what is in no group three or four. */
enum combine_feature {
    /* the strategy */
    COMBINE_RESERVE,
    COMBINE_RESERVE_RW,
    COMBINE_REMAP,
    COMBINE_MOVE,
    COMBINE_HEAP,
    COMBINE_IMAGE,
    COMBINE_POOL,
    COMBINE_POOL_RENEW,
    COMBINE_POOL_SCAN,
    COMBINE_GUARD,
    COMBINE_CUSTOM,
    /* the style, and where it comes from */
    COMBINE_TUNED,
    COMBINE_STATIC,
    COMBINE_DYNAMIC,
    COMBINE_USUAL,
    /* the guard */
    COMBINE_NO_GUARD,
    COMBINE_HOST_PAGE,
    COMBINE_GUEST_PAGE,
    COMBINE_WIDE_GUARD,
    /* the size */
    COMBINE_NO_PAGES,
    COMBINE_ONE_PAGE,
    COMBINE_PAGES,
    COMBINE_AT_MAXIMUM,
    COMBINE_WIDE,
    /* the call that everything is about */
    COMBINE_GROW,
    COMBINE_GROW_PAST,
    COMBINE_COPY,
    COMBINE_RESET,
    COMBINE_TO_SHARED,
    COMBINE_CLONE,
    COMBINE_DESTROY,
    /* what is set around it */
    COMBINE_BUDGET,
    COMBINE_FALL_BACK,
    COMBINE_SPACE,
    COMBINE_FILE_LIMIT,
    /* how else it is made */
    COMBINE_SHARED,
    COMBINE_CALLERS_RECORD,
    COMBINE_FIRST_IMAGE,
    COMBINE_HUGE_PAGES,
    COMBINE_POPULATE,
    COMBINE_WAITERS,
    COMBINE_RESERVE_SHORT,
    COMBINE_TWIN,
    COMBINE_NEIGHBOUR,
    /* what happened before */
    COMBINE_WRITTEN,
    COMBINE_MANY_RUNS,
    COMBINE_GROWN,
    COMBINE_COPIED,
    COMBINE_OF_A_COPY,
    COMBINE_CONVERTED,
    COMBINE_WAS_RESET,
    COMBINE_PINNED,
    COMBINE_CLONED,
    /* a call below fails */
    COMBINE_FAULT,
    COMBINE_FEATURES
};

/* True for two that no program has, or of which one has no meaning beside the other. */
bool combine_excludes(enum combine_feature a, enum combine_feature b);
const char *combine_name(enum combine_feature feature);

/* Appends such operations of memory_fuzzer to the program, on its memories m0 and m1. `calls`:
 * those that an operation makes. Returns the features, bit n for number n. */
uint64_t combine_draw(uint64_t seed, uint32_t (*calls_of)(uint8_t code), struct program *program);

/* Such a memory, on which stores, growth, resets, copies and its end come in any order. */
uint64_t combine_walk(uint64_t seed, uint32_t (*calls_of)(uint8_t code), struct program *program);

#endif
