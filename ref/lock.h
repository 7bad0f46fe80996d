/* lock.h: a mutual-exclusion lock of one word, on top of os.h's wait and wake. */
#ifndef PB_LOCK_H
#define PB_LOCK_H

#include <stdatomic.h>
#include <stdint.h>

/* Zero-initialised means free. Not recursive, not fair; there is nothing to destroy. */
struct pb_lock {
    _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody may sleep */
};

/* Blocks until the lock is held by the caller. */
void pb_lock_acquire(struct pb_lock *lock);

/* Gives the lock up. Only its holder may. */
void pb_lock_release(struct pb_lock *lock);

#endif
