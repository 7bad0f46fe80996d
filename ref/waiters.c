/* waiters.c: who waits on which word, and who is woken (R20 to R29, R41). */
/* SPDX-License-Identifier: MIT */
#include "waiters.h"

#include "lock.h"
#include "orders.h"
#include "os.h"

#include <assert.h>

enum { BUCKETS = 64, CACHE_LINE_BYTES = 64 };

/* A waiter's state. Only the holder of the bucket's lock takes it off QUEUED; whoever did owes it a
 * verdict, and does not touch the record after giving it. */
enum { QUEUED, DETACHED, NOTIFIED, DISABLED, CANCELLED };

/* One blocked wait, on the stack of its thread. The waiters of one address form a queue, oldest
 * first; its first waiter also links the bucket's queues. Guarded by the bucket's lock, but for
 * state, and for next once detached. */
struct waiter {
    _Atomic uint32_t state;
    uint64_t address;
    struct waiter *next;       /* younger */
    struct waiter *previous;   /* older */
    struct waiter *last;       /* of the first waiter only: the queue's youngest */
    struct waiter *next_queue; /* of the first waiter only: another address of the bucket */
};

struct bucket {
    struct pb_lock lock;
    _Atomic uint32_t blocked; /* waits that are comparing or queued here */
    struct waiter *queues;
    struct pb_doorbell *doorbells;
    char padding[CACHE_LINE_BYTES - sizeof(struct pb_lock) - sizeof(uint32_t) - 2 * sizeof(void *)];
};

struct pb_waiters {
    const struct pb_allocator *allocator;
    uint32_t limit;
    _Atomic uint32_t blocked; /* queued waits of all buckets, for the limit */
    _Atomic uint32_t disabled;
    struct bucket *buckets; /* on a cache line of their own each, inside of space */
    char space[(BUCKETS + 1) * sizeof(struct bucket)];
};

/* The lock is taken before a bucket's. While a wait is here its record stays: the wait takes the
 * lock once more before it returns. */
struct pb_canceller {
    const struct pb_allocator *allocator;
    struct pb_lock lock; /* guards what follows */
    bool cancelled;
    bool used;             /* by a wait that has begun and not returned */
    struct waiter *waiter; /* it is, or was, in a queue of */
    struct bucket *bucket;
    struct pb_waiters *waiters;
};

enum pb_status pb_waiters_create(uint32_t limit, const struct pb_allocator *allocator,
                                 struct pb_waiters **waiters) {
    struct pb_waiters *made = allocator->allocate_zeroed(allocator->context, sizeof *made);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    uintptr_t past_line = (uintptr_t)made->space % CACHE_LINE_BYTES;
    made->allocator = allocator;
    made->limit = limit == 0 ? UINT32_MAX : limit;
    made->buckets = (void *)(made->space + (CACHE_LINE_BYTES - past_line) % CACHE_LINE_BYTES);
    *waiters = made;
    return PB_OK;
}

void pb_waiters_destroy(struct pb_waiters *waiters) {
    if (waiters != NULL) {
        assert(pb_waiters_blocked(waiters) == 0);
        waiters->allocator->release(waiters->allocator->context, waiters);
    }
}

static struct bucket *bucket_of(struct pb_waiters *waiters, uint64_t address) {
    uint64_t mixed = (address >> 2) * UINT64_C(0x9E3779B97F4A7C15);
    return &waiters->buckets[mixed >> 58 & (BUCKETS - 1)];
}

/* ---- Queues; the bucket's lock is held ------------------------------------------------------ */

/* Where the bucket links the first waiter of address: a NULL link when there is none. */
static struct waiter **queue_of(struct bucket *bucket, uint64_t address) {
    struct waiter **link = &bucket->queues;
    while (*link != NULL && (*link)->address != address) {
        link = &(*link)->next_queue;
    }
    return link;
}

static void queue_join(struct bucket *bucket, struct waiter *waiter) {
    struct waiter **link = queue_of(bucket, waiter->address);
    struct waiter *first = *link;
    if (first == NULL) {
        waiter->last = waiter;
        *link = waiter;
    } else {
        waiter->previous = first->last;
        first->last->next = waiter;
        first->last = waiter;
    }
}

/* The queue goes on with the waiter first, who was in it; NULL: it is empty now. */
static void queue_lead(struct waiter **link, struct waiter *first) {
    struct waiter *gone = *link;
    if (first == NULL) {
        *link = gone->next_queue;
    } else {
        first->previous = NULL;
        first->last = gone->last;
        first->next_queue = gone->next_queue;
        *link = first;
    }
}

static void queue_leave(struct bucket *bucket, struct waiter *waiter) {
    struct waiter **link = queue_of(bucket, waiter->address);
    struct waiter *first = *link;
    if (waiter == first) {
        queue_lead(link, waiter->next);
    } else {
        waiter->previous->next = waiter->next;
        if (waiter->next != NULL) {
            waiter->next->previous = waiter->previous;
        } else {
            first->last = waiter->previous;
        }
    }
}

static void count_down(struct pb_waiters *waiters, struct bucket *bucket, uint32_t count) {
    atomic_fetch_sub_explicit(&bucket->blocked, count, PB_ORDER_WAITERS_LEAVE);
    atomic_fetch_sub_explicit(&waiters->blocked, count, PB_ORDER_WAITERS_COUNT);
}

/* Takes up to count of the oldest waiters off the queue; returns them as a chain by next. */
static struct waiter *queue_take(struct pb_waiters *waiters, struct bucket *bucket,
                                 struct waiter **link, uint32_t count, uint32_t *taken) {
    struct waiter *first = *link, *last = NULL, *rest = first;
    uint32_t number = 0;
    while (rest != NULL && number < count) {
        atomic_store_explicit(&rest->state, DETACHED, PB_ORDER_WAITERS_DETACH);
        last = rest;
        rest = rest->next;
        number++;
    }
    *taken = number;
    if (last == NULL) {
        return NULL;
    }
    queue_lead(link, rest);
    last->next = NULL;
    count_down(waiters, bucket, number);
    return first;
}

/* Gives each waiter of a detached chain its verdict, and wakes it. Called without the lock, so that
 * woken threads do not run into it, and a long chain does not keep other addresses waiting. */
static void wake_chain(struct waiter *waiter, uint32_t verdict) {
    while (waiter != NULL) {
        struct waiter *next = waiter->next;
        atomic_store_explicit(&waiter->state, verdict, PB_ORDER_WAITERS_VERDICT);
        pb_os_wake(&waiter->state, 1); /* by address alone: the record may be gone */
        waiter = next;
    }
}

/* ---- Doorbells ------------------------------------------------------------------------------ */

/* Takes waiters off their queues, one for each time their doorbell was rung while the lock was
 * held. Returns them as a chain, in front of `chain`. */
static struct waiter *answer_doorbells(struct pb_waiters *waiters, struct bucket *bucket,
                                       struct waiter *chain) {
    for (struct pb_doorbell *bell = bucket->doorbells; bell != NULL; bell = bell->next) {
        uint32_t taken, rung = atomic_exchange_explicit(&bell->rung, 0, PB_ORDER_WAITERS_RING);
        struct waiter **link = queue_of(bucket, bell->address);
        if (rung > 0 && *link != NULL) {
            struct waiter *more = queue_take(waiters, bucket, link, rung, &taken), *last = more;
            while (last->next != NULL) {
                last = last->next;
            }
            last->next = chain;
            chain = more;
        }
    }
    return chain;
}

/* Gives the bucket's lock up, after serving the wakes that were asked for meanwhile. */
static void bucket_release(struct pb_waiters *waiters, struct bucket *bucket) {
    struct waiter *chain = NULL;
    while (!pb_lock_release_unless_asked(&bucket->lock)) {
        chain = answer_doorbells(waiters, bucket, chain);
    }
    wake_chain(chain, NOTIFIED);
}

void pb_waiters_hang(struct pb_waiters *waiters, struct pb_doorbell *doorbell) {
    struct bucket *bucket = bucket_of(waiters, doorbell->address);
    pb_lock_acquire(&bucket->lock);
    doorbell->next = bucket->doorbells;
    bucket->doorbells = doorbell;
    bucket_release(waiters, bucket);
}

void pb_waiters_unhang(struct pb_waiters *waiters, struct pb_doorbell *doorbell) {
    struct bucket *bucket = bucket_of(waiters, doorbell->address);
    pb_lock_acquire(&bucket->lock);
    struct pb_doorbell **link = &bucket->doorbells;
    while (*link != doorbell) {
        link = &(*link)->next;
    }
    *link = doorbell->next;
    bucket_release(waiters, bucket);
}

/* ---- Waiting -------------------------------------------------------------------------------- */

/* now + timeout, never for a negative timeout or one past the end of time (R23). */
static uint64_t deadline_of(int64_t timeout_ns) {
    if (timeout_ns < 0) {
        return PB_DEADLINE_NEVER;
    }
    uint64_t now_ns = pb_os_clock_ns();
    uint64_t left_ns = PB_DEADLINE_NEVER - now_ns;
    return (uint64_t)timeout_ns >= left_ns ? PB_DEADLINE_NEVER : now_ns + (uint64_t)timeout_ns;
}

static uint64_t guest_value(const void *word, unsigned width) {
    if (width == 4) {
        return atomic_load_explicit((const _Atomic uint32_t *)word, PB_ORDER_WAITERS_VALUE);
    }
    return atomic_load_explicit((const _Atomic uint64_t *)word, PB_ORDER_WAITERS_VALUE);
}

/* Counts one more waiter; false at the limit (R28). A load may be behind the times, so a refusal is
 * checked by a read-modify-write, which never is. */
static bool count_up(struct pb_waiters *waiters) {
    _Atomic uint32_t *blocked = &waiters->blocked;
    uint32_t before = atomic_load_explicit(blocked, PB_ORDER_WAITERS_COUNT);
    do {
        if (before >= waiters->limit) {
            before = atomic_fetch_add_explicit(blocked, 0, PB_ORDER_WAITERS_RECOUNT);
        }
        if (before >= waiters->limit) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(blocked, &before, before + 1,
                                                    PB_ORDER_WAITERS_COUNT, memory_order_relaxed));
    return true;
}

/* Compares and joins in one step under the bucket's lock (R21). True when the waiter is queued;
 * else *status and *result are what the wait returns. */
static bool compare_and_join(struct pb_waiters *waiters, struct bucket *bucket,
                             struct waiter *waiter, const void *word, unsigned width,
                             uint64_t expected, bool may_block, enum pb_status *status,
                             enum pb_wait *result) {
    bool joined = false;
    pb_lock_acquire(&bucket->lock);
    atomic_fetch_add_explicit(&bucket->blocked, 1, PB_ORDER_WAITERS_ARRIVE);
    *status = PB_OK;
    /* The value before the mark: while it was compared, waits were still allowed (R29). */
    bool differs = guest_value(word, width) != expected;
    if (atomic_load_explicit(&waiters->disabled, PB_ORDER_WAITERS_DISABLE)) {
        *status = PB_DISABLED;
    } else if (differs) {
        *result = PB_WAIT_NOT_EQUAL;
    } else if (!may_block) {
        *result = PB_WAIT_TIMED_OUT;
    } else if (!count_up(waiters)) {
        *status = PB_TOO_MANY_WAITERS;
    } else {
        queue_join(bucket, waiter);
        joined = true;
    }
    if (!joined) {
        atomic_fetch_sub_explicit(&bucket->blocked, 1, PB_ORDER_WAITERS_LEAVE);
    }
    bucket_release(waiters, bucket);
    return joined;
}

/* Takes the waiter off its queue, because its time is up or it is cancelled. False when somebody
 * has taken the waiter off already: then that one's verdict counts, so that no wake is lost (R22).
 */
static bool leave_in_time(struct pb_waiters *waiters, struct bucket *bucket,
                          struct waiter *waiter) {
    pb_lock_acquire(&bucket->lock);
    bool queued = atomic_load_explicit(&waiter->state, PB_ORDER_WAITERS_DETACH) == QUEUED;
    if (queued) {
        atomic_store_explicit(&waiter->state, DETACHED, PB_ORDER_WAITERS_DETACH);
        queue_leave(bucket, waiter);
        count_down(waiters, bucket, 1);
    }
    bucket_release(waiters, bucket);
    return queued;
}

/* ---- Cancelling ----------------------------------------------------------------------------- */

enum pb_status pb_canceller_create(const struct pb_allocator *allocator,
                                   struct pb_canceller **canceller) {
    allocator = allocator != NULL ? allocator : &pb_allocator_libc;
    struct pb_canceller *made = allocator->allocate_zeroed(allocator->context, sizeof *made);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->allocator = allocator;
    *canceller = made;
    return PB_OK;
}

void pb_canceller_release(struct pb_canceller *canceller) {
    if (canceller != NULL) {
        assert(!canceller->used);
        canceller->allocator->release(canceller->allocator->context, canceller);
    }
}

void pb_canceller_cancel(struct pb_canceller *canceller) {
    pb_lock_acquire(&canceller->lock);
    struct waiter *waiter = canceller->waiter;
    canceller->cancelled = true;
    /* One that is off its queue already has its verdict, or is about to get it. */
    if (waiter != NULL && leave_in_time(canceller->waiters, canceller->bucket, waiter)) {
        atomic_store_explicit(&waiter->state, CANCELLED, PB_ORDER_WAITERS_VERDICT);
        pb_os_wake(&waiter->state, 1);
    }
    canceller->waiter = NULL;
    pb_lock_release(&canceller->lock);
}

void pb_canceller_reset(struct pb_canceller *canceller) {
    pb_lock_acquire(&canceller->lock);
    canceller->cancelled = false;
    pb_lock_release(&canceller->lock);
}

/* One wait at a time; false where there is another. */
static bool canceller_take(struct pb_canceller *canceller) {
    pb_lock_acquire(&canceller->lock);
    bool free = !canceller->used;
    canceller->used = true;
    pb_lock_release(&canceller->lock);
    return free;
}

static void canceller_give(struct pb_canceller *canceller) {
    pb_lock_acquire(&canceller->lock);
    canceller->waiter = NULL;
    canceller->used = false;
    pb_lock_release(&canceller->lock);
}

/* From now on the queued waiter can be cancelled; it is cancelled at once where that was asked
 * before. */
static void canceller_watch(struct pb_canceller *canceller, struct pb_waiters *waiters,
                            struct bucket *bucket, struct waiter *waiter) {
    pb_lock_acquire(&canceller->lock);
    if (!canceller->cancelled) {
        canceller->waiters = waiters;
        canceller->bucket = bucket;
        canceller->waiter = waiter;
    } else if (leave_in_time(waiters, bucket, waiter)) {
        atomic_store_explicit(&waiter->state, CANCELLED, PB_ORDER_WAITERS_VERDICT);
    }
    pb_lock_release(&canceller->lock);
}

/* ---- The wait ------------------------------------------------------------------------------- */

/* Blocks until somebody has given a verdict, or the time is up. */
static enum pb_status block(struct pb_waiters *waiters, struct bucket *bucket, struct waiter *self,
                            uint64_t deadline_ns, enum pb_wait *result) {
    for (;;) {
        uint32_t state = atomic_load_explicit(&self->state, PB_ORDER_WAITERS_SEE);
        if (state == NOTIFIED) {
            *result = PB_WAIT_NOTIFIED;
            return PB_OK;
        }
        if (state == DISABLED) {
            return PB_DISABLED;
        }
        if (state == CANCELLED) {
            return PB_CANCELLED;
        }
        /* A detached waiter has no deadline any more: its verdict is on the way. */
        uint64_t until_ns = state == QUEUED ? deadline_ns : PB_DEADLINE_NEVER;
        if (pb_os_wait(&self->state, state, until_ns) == PB_TIMED_OUT &&
            leave_in_time(waiters, bucket, self)) {
            *result = PB_WAIT_TIMED_OUT;
            return PB_OK;
        }
    }
}

enum pb_status pb_waiters_wait(struct pb_waiters *waiters, uint64_t address, const void *word,
                               unsigned width, uint64_t expected, int64_t timeout_ns,
                               struct pb_canceller *canceller, enum pb_wait *result) {
    assert(width == 4 || width == 8);
    struct bucket *bucket = bucket_of(waiters, address);
    struct waiter self = {.address = address};
    enum pb_status status;
    uint64_t deadline_ns = timeout_ns == 0 ? 0 : deadline_of(timeout_ns);
    if (canceller != NULL && !canceller_take(canceller)) {
        return PB_INVALID;
    }
    if (compare_and_join(waiters, bucket, &self, word, width, expected, timeout_ns != 0, &status,
                         result)) {
        if (canceller != NULL) {
            canceller_watch(canceller, waiters, bucket, &self);
        }
        status = block(waiters, bucket, &self, deadline_ns, result);
    }
    if (canceller != NULL) {
        canceller_give(canceller);
    }
    return status;
}

/* ---- Notifying ------------------------------------------------------------------------------ */

/* False when nobody waits in the bucket, and whoever comes will see what the caller has written. */
static bool anybody_waits(struct bucket *bucket) {
    return atomic_fetch_add_explicit(&bucket->blocked, 0, PB_ORDER_WAITERS_LOOK) != 0;
}

uint32_t pb_waiters_notify(struct pb_waiters *waiters, uint64_t address, uint32_t count) {
    struct bucket *bucket = bucket_of(waiters, address);
    if (!anybody_waits(bucket)) {
        return 0;
    }
    uint32_t taken = 0;
    struct waiter *chain = NULL;
    pb_lock_acquire(&bucket->lock);
    struct waiter **link = queue_of(bucket, address);
    if (*link != NULL) {
        chain = queue_take(waiters, bucket, link, count, &taken);
    }
    bucket_release(waiters, bucket);
    wake_chain(chain, NOTIFIED);
    return taken;
}

void pb_waiters_ring(struct pb_waiters *waiters, struct pb_doorbell *doorbell) {
    struct bucket *bucket = bucket_of(waiters, doorbell->address);
    if (!anybody_waits(bucket)) {
        return;
    }
    atomic_fetch_add_explicit(&doorbell->rung, 1, PB_ORDER_WAITERS_RING);
    if (pb_lock_acquire_or_ask(&bucket->lock)) {
        struct waiter *chain = answer_doorbells(waiters, bucket, NULL);
        bucket_release(waiters, bucket);
        wake_chain(chain, NOTIFIED);
    }
}

void pb_waiters_disable(struct pb_waiters *waiters) {
    atomic_store_explicit(&waiters->disabled, 1, PB_ORDER_WAITERS_DISABLE);
    for (struct bucket *bucket = waiters->buckets; bucket < waiters->buckets + BUCKETS; bucket++) {
        bool empty = false;
        while (!empty) { /* one queue a round; nobody joins any more */
            uint32_t taken;
            struct waiter *chain = NULL;
            pb_lock_acquire(&bucket->lock);
            empty = bucket->queues == NULL;
            if (!empty) {
                chain = queue_take(waiters, bucket, &bucket->queues, UINT32_MAX, &taken);
            }
            bucket_release(waiters, bucket);
            wake_chain(chain, DISABLED);
        }
    }
}

uint32_t pb_waiters_blocked(struct pb_waiters *waiters) {
    return atomic_load_explicit(&waiters->blocked, PB_ORDER_WAITERS_COUNT);
}
