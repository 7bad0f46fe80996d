/* lock.c: a lock of one word: free, held, or held with sleepers. */
#include "lock.h"

#include "orders.h"
#include "os.h"

enum { FREE = 0, HELD = 1, HELD_WITH_SLEEPERS = 2 };

void pb_lock_acquire(struct pb_lock *lock) {
    uint32_t seen = FREE;
    if (atomic_compare_exchange_strong_explicit(&lock->word, &seen, HELD, PB_ORDER_LOCK_TAKE,
                                                memory_order_relaxed)) {
        return;
    }
    /* From here on the word is left at HELD_WITH_SLEEPERS, even by one that did not sleep: the
     * holder cannot know, and one wake too many is harmless. */
    while (atomic_exchange_explicit(&lock->word, HELD_WITH_SLEEPERS, PB_ORDER_LOCK_TAKE) != FREE) {
        (void)pb_os_wait(&lock->word, HELD_WITH_SLEEPERS, PB_DEADLINE_NEVER);
    }
}

void pb_lock_release(struct pb_lock *lock) {
    if (atomic_exchange_explicit(&lock->word, FREE, PB_ORDER_LOCK_GIVE) == HELD_WITH_SLEEPERS) {
        pb_os_wake(&lock->word, 1);
    }
}
