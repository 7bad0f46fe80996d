/* limiter.h: who is asked before a memory is made or grows, and one budget over many memories
 * (R40).
 */
/* SPDX-License-Identifier: MIT */
#ifndef PB_LIMITER_H
#define PB_LIMITER_H

#include "atomic.h"
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a memory tells of its size; all in bytes that the guest can access, not of address space.
 * Called while the memory's growth is excluded: the functions must not call that memory. They may
 * be called from any thread that creates, copies, grows, resets or releases one, or that gives up
 * what kept its pages: a wait that ends, a pin, a mailbox. */
struct pb_limiter {
    /* Asked before the size goes from one to the other: from 0 at creation and for a copy. Growth
     * by 0, and growth past the type's own maximum, is not asked about. false: PB_REFUSED, and
     * nothing has changed. max_bytes: the type's maximum, 4 GiB where it has none. */
    bool (*growing)(void *context, uint64_t from_bytes, uint64_t to_bytes, uint64_t max_bytes);
    /* Told when what was granted has failed: the size is still from_bytes. May be NULL. */
    void (*failed)(void *context, uint64_t from_bytes, uint64_t to_bytes, enum pb_status why);
    /* Told after the size has become smaller: by a reset, or to 0 when the pages go. May be NULL.
     */
    void (*shrunk)(void *context, uint64_t from_bytes, uint64_t to_bytes);
    void *context;
};

/* A number of bytes that any number of memories share. Thread-safe. */
struct pb_budget {
    PB_ATOMIC(uint64_t) used_bytes;
    uint64_t max_bytes;
};

/* A limiter that keeps the sizes together within the budget, which must outlive its memories. */
struct pb_limiter pb_budget_limiter(struct pb_budget *budget);

#ifdef __cplusplus
}
#endif

#endif
