/* waiters.h: the table of blocked waiters behind a shared memory's wait and notify.
 *
 * A waiter's record lives on the stack of the thread that waits, so joining a queue needs no
 * memory and leaving it frees none (R27). Addresses are spread over buckets, each with a lock of
 * its own that is held for a few instructions; threads are woken outside of it, so a crowd on one
 * address does not slow another. Rules R20 to R29. All functions are thread-safe. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_WAITERS_H
#define PB_WAITERS_H

#include "allocator.h"
#include "memory.h"
#include "status.h"

#include <stdatomic.h>
#include <stdint.h>

struct pb_waiters;

/* limit: how many may be blocked at once; 0 means 2^32 - 1 (R28). PB_NO_MEMORY. */
enum pb_status pb_waiters_create(uint32_t limit, const struct pb_allocator *allocator,
                                 struct pb_waiters **waiters);

/* Nobody may be waiting or come any more. NULL is fine. */
void pb_waiters_destroy(struct pb_waiters *waiters);

/* Compares *word (width bytes: 4 or 8, aligned, guest memory) with expected and joins the queue of
 * address in one step against pb_waiters_notify (R20, R21), then blocks. canceller: by which it
 * can be ended (R41), or NULL. See pb_memory_wait32, pb_memory_cancellable_wait32. */
enum pb_status pb_waiters_wait(struct pb_waiters *waiters, uint64_t address, const void *word,
                               unsigned width, uint64_t expected, int64_t timeout_ns,
                               struct pb_canceller *canceller, enum pb_wait *result);

/* Wakes up to count waiters of address, the oldest first; returns how many (R22, R24, R25). */
uint32_t pb_waiters_notify(struct pb_waiters *waiters, uint64_t address, uint32_t count);

/* An address that is notified without ever blocking: pb_waiters_ring. In its owner's hands, who
 * sets the address, and changes nothing between hang and unhang. */
struct pb_doorbell {
    uint64_t address;
    _Atomic uint32_t rung; /* wakes that are still to be given */
    struct pb_doorbell *next;
};
void pb_waiters_hang(struct pb_waiters *waiters, struct pb_doorbell *doorbell);
void pb_waiters_unhang(struct pb_waiters *waiters, struct pb_doorbell *doorbell);

/* Wakes one waiter of the doorbell's address, the oldest. Lock-free and async-signal-safe: where
 * another thread has the bucket's lock, that one does it before it gives the lock up. */
void pb_waiters_ring(struct pb_waiters *waiters, struct pb_doorbell *doorbell);

/* See pb_memory_disable_atomics. */
void pb_waiters_disable(struct pb_waiters *waiters);

/* How many are blocked now. */
uint32_t pb_waiters_blocked(struct pb_waiters *waiters);

#endif
