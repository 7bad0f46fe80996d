/* lock.c: a lock of one word: free, held, held with sleepers, held and asked for something. */
/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include "orders.h"
#include "os.h"

enum { FREE = 0, HELD = 1, SLEEPERS = 2, ASKED = 4 };

void pb_lock_acquire(struct pb_lock *lock) {
    uint32_t seen = FREE;
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, HELD, PB_ORDER_LOCK_TAKE,
                                                memory_order_relaxed)) {
        return;
    }
    /* From here on the word is left with SLEEPERS, even by one that did not sleep: the holder
     * cannot know, and one wake too many is harmless. */
    for (;;) {
        seen = atomic_fetch_or_explicit(&lock->word, HELD | SLEEPERS, PB_ORDER_LOCK_TAKE);
        if (seen == FREE) {
            return;
        }
        (void)pb_os_wait(&lock->word, seen | HELD | SLEEPERS, PB_DEADLINE_NEVER);
    }
}

void pb_lock_release(struct pb_lock *lock) {
    if (atomic_exchange_explicit(&lock->word, FREE, PB_ORDER_LOCK_GIVE) & SLEEPERS) {
        pb_os_wake(&lock->word, 1);
    }
}

bool pb_lock_acquire_or_ask(struct pb_lock *lock) {
    uint32_t seen = FREE, next;
    do {
        next = seen == FREE ? HELD : seen | ASKED;
    } while (!atomic_compare_exchange_strong_explicit(&lock->word, &seen, next, PB_ORDER_LOCK_ASK,
                                                      memory_order_relaxed));
    return seen == FREE;
}

bool pb_lock_release_unless_asked(struct pb_lock *lock) {
    uint32_t seen = HELD;
    while (!(seen & ASKED)) {
        if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, FREE, PB_ORDER_LOCK_GIVE,
                                                    memory_order_relaxed)) {
            if (seen & SLEEPERS) {
                pb_os_wake(&lock->word, 1);
            }
            return true;
        }
    }
    atomic_fetch_and_explicit(&lock->word, ~(uint32_t)ASKED, PB_ORDER_LOCK_SERVE);
    return false;
}
