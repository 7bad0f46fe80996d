/* lock.h: a mutual-exclusion lock of one word, on top of os.h's wait and wake. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_LOCK_H
#define PB_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised means free. Not recursive, not fair; there is nothing to destroy. */
struct pb_lock {
    _Atomic uint32_t word; /* 0: free; else bits of lock.c */
};

/* Blocks until the lock is held by the caller. */
void pb_lock_acquire(struct pb_lock *lock);

/* Gives the lock up. Only its holder may. */
void pb_lock_release(struct pb_lock *lock);

/* Does not block. True: the lock is held by the caller. False: another holds it, and has been asked
 * to do something before it gives the lock up, by pb_lock_release_unless_asked. */
bool pb_lock_acquire_or_ask(struct pb_lock *lock);

/* Gives the lock up; or, when somebody has asked since it was acquired or this was called last,
 * keeps it and returns false. */
bool pb_lock_release_unless_asked(struct pb_lock *lock);

#endif
