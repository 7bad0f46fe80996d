/* limiter.c: one budget of bytes over many memories (R40). */
/* SPDX-License-Identifier: MIT */
#include "limiter.h"

/* A number only: it orders nothing. */
static bool budget_growing(void *context, uint64_t from_bytes, uint64_t to_bytes,
                           uint64_t max_bytes) {
    struct pb_budget *budget = context;
    uint64_t delta = to_bytes - from_bytes;
    uint64_t used = atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
    (void)max_bytes;
    do {
        if (used > budget->max_bytes || delta > budget->max_bytes - used) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&budget->used_bytes, &used, used + delta,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

static void budget_shrunk(void *context, uint64_t from_bytes, uint64_t to_bytes) {
    struct pb_budget *budget = context;
    atomic_fetch_sub_explicit(&budget->used_bytes, from_bytes - to_bytes, memory_order_relaxed);
}

static void budget_failed(void *context, uint64_t from_bytes, uint64_t to_bytes,
                          enum pb_status why) {
    (void)why;
    budget_shrunk(context, to_bytes, from_bytes);
}

struct pb_limiter pb_budget_limiter(struct pb_budget *budget) {
    return (struct pb_limiter){
        .growing = budget_growing,
        .failed = budget_failed,
        .shrunk = budget_shrunk,
        .context = budget,
    };
}
