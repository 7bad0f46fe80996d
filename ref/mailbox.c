/* mailbox.c: the host's side of a guest mailbox (R30 to R38, R44, R45). */
/* SPDX-License-Identifier: MIT */
#include "mailbox.h"

#include "handle.h"
#include "lock.h"
#include "orders.h"
#include "os.h"

#include <stddef.h>

/* How it works, without a lock between producers:
 *
 * One word, state, counts the places of the ring that were ever reserved; its low 32 bits are the
 * guest's cursor. A producer takes the next place by compare-exchange, and the role of the
 * publisher with it where it is free. The publisher alone touches the guest's words. Who finds
 * the role taken leaves its id in the place's slot, on the host's side, and goes. Before the
 * publisher gives the role up it shows the guest every id up to the first slot that is empty
 * still, which it marks late; whose exchange returns that mark tells the publisher to look again,
 * or becomes one. So whatever was accepted is shown by somebody, in the order of the places.
 *
 * What holds:
 *  1. shown <= taken <= reserved <= head_seen + capacity, and head_seen <= shown. So a place is
 *     reserved only when its slot and the guest's slot have been emptied (R33).
 *  2. A slot is EMPTY or LATE until its owner's exchange, which happens once; the owner then has
 *     PB_OK, or PB_CLOSED where the slot was DEAD.
 *  3. While nobody has the role, the slot of the first place that was not taken is LATE, or
 *     nothing is reserved beyond it.
 *  4. CLOSED and SPILLING are set by the holder of lock and role together. SPILLING holds exactly
 *     while ids are spilled: then nobody else reserves, and what is spilled stays behind what was
 *     reserved before (R32).
 *  5. Close, moves, flush, spilling, and waits for the signal take the lock, then the role, which
 *     the publisher hands over. Nothing that only enqueues into a ring with room takes the lock. */
enum {
    CLOSED = 1,     /* no place is reserved any more; with PUBLISHING: close still writes */
    PUBLISHING = 2, /* somebody has the role */
    AGAIN = 4,      /* a late slot was filled: look again before you give the role up */
    SPILLING = 8,   /* enqueue behind what is spilled */
    WAITED = 16,    /* the holder of the lock waits for the role: hand it over */
    PLACE_SHIFT = 8
};
#define PLACE (UINT64_C(1) << PLACE_SHIFT)

/* A slot holds an id, or one of these. */
#define SLOT_EMPTY UINT64_C(0)
#define SLOT_LATE (UINT64_C(1) << 32) /* the publisher passed by: tell it */
#define SLOT_DEAD (UINT64_C(2) << 32) /* closed first */

enum { CACHE_LINE_BYTES = 64 };

/* Ids that did not fit the ring, oldest first, in a ring of their own. */
struct spill {
    uint32_t *ids;
    uint32_t size;
    uint32_t first;
    uint32_t count;
};

struct pb_mailbox {
    const struct pb_allocator *allocator;
    struct pb_memory *memory;
    bool memory_is_own; /* a handle of our own; else the user's, which may be gone once this is
                           closed */
    uint32_t offset;
    uint32_t capacity;
    enum pb_mailbox_full full;
    struct pb_doorbell doorbell; /* in the memory's wait table, where memory_is_own */
    _Atomic uint32_t references; /* the owner's, and one for each waker */
    /* Which memory it lies in: all handles of one memory have the same. */
    const struct pb_memory_definition *definition;
    struct pb_mailbox *next; /* of those that are open; guarded by the bucket */
    _Atomic bool has_owner;  /* not released yet */
    /* A head that was true once, as a place: there is at least that much room. */
    _Atomic uint64_t head_seen;
    /* For host threads in pb_mailbox_wait_for_signal: */
    _Atomic uint32_t sleepers;
    _Atomic uint32_t bell; /* changes whenever there is news */

    char padding_before[CACHE_LINE_BYTES];
    _Atomic uint64_t state; /* places reserved << PLACE_SHIFT, and the bits above */
    char padding_behind[CACHE_LINE_BYTES];

    /* The publisher's: */
    uint64_t taken;                 /* the next place to take an id from */
    uint64_t shown;                 /* the guest's tail, as a place */
    struct pb_mailbox_words *words; /* in guest memory: never trusted, see R38 */
    _Atomic uint64_t guess; /* shown, for a producer to try: the state where nobody is about */
    bool memory_is_lent;    /* shared, so that a guest may be parked on the flag, and not our own */

    struct pb_lock lock;   /* guards what follows */
    _Atomic uint32_t turn; /* changes when the role is handed over */
    struct spill spill;
    uint32_t dropped;             /* by the end, and not told yet */
    struct pb_mailbox *next_held; /* see hold_those_that_move */

    _Atomic uint64_t slots[]; /* capacity of them: slot of a place is place modulo capacity */
};

static _Atomic uint64_t *slot_of(struct pb_mailbox *mailbox, uint64_t place) {
    return &mailbox->slots[place & (mailbox->capacity - 1)];
}

/* ---- The region ----------------------------------------------------------------------------- */

static void mailbox_free(struct pb_mailbox *mailbox);

static uint64_t region_bytes(const struct pb_mailbox *mailbox) {
    return PB_MAILBOX_BYTES((uint64_t)mailbox->capacity);
}

/* Looks at the memory as it is now: finds the region at its base; false when it is not inside. */
static bool locate(struct pb_mailbox *mailbox) {
    struct pb_memory_definition *definition = pb_memory_definition(mailbox->memory);
    mailbox->memory_is_lent = !mailbox->memory_is_own && pb_memory_type(mailbox->memory).shared;
    if (!pb_range_within(mailbox->offset, region_bytes(mailbox),
                         pb_memory_size_bytes(mailbox->memory))) {
        return false;
    }
    uint8_t *base = atomic_load_explicit(&definition->base, memory_order_relaxed);
    mailbox->words = (struct pb_mailbox_words *)(void *)(base + mailbox->offset);
    return true;
}

/* Data segments, or a guest, may have left anything in the region. */
static void initialise_words(struct pb_mailbox *mailbox) {
    struct pb_mailbox_words *words = mailbox->words;
    uint32_t cursor = (uint32_t)mailbox->shown;
    atomic_store_explicit(&words->capacity, mailbox->capacity, PB_ORDER_MAILBOX_CREATE);
    atomic_store_explicit(&words->flag, 0, PB_ORDER_MAILBOX_CREATE);
    atomic_store_explicit(&words->head, cursor, PB_ORDER_MAILBOX_CREATE);
    atomic_store_explicit(&words->tail, cursor, PB_ORDER_MAILBOX_CREATE);
    for (uint32_t i = 0; i < mailbox->capacity; i++) {
        atomic_store_explicit(&words->ring[i], 0, PB_ORDER_MAILBOX_CREATE);
    }
}

/* ---- Open mailboxes by memory: each byte belongs to one (R44) -------------------------------- */

/* A mailbox is in its memory's bucket from its creation until it is closed. */
enum { BUCKET_BITS = 6 };
static struct bucket {
    struct pb_lock lock;
    struct pb_mailbox *first;
} buckets[1 << BUCKET_BITS];

static struct bucket *bucket_of(const struct pb_memory_definition *definition) {
    uint64_t hash = (uint64_t)(uintptr_t)definition * UINT64_C(0x9E3779B97F4A7C15);
    return &buckets[hash >> (64 - BUCKET_BITS)];
}

static struct pb_mailbox *retain(struct pb_mailbox *mailbox) {
    atomic_fetch_add_explicit(&mailbox->references, 1, PB_ORDER_REFERENCE_TAKE);
    return mailbox;
}

/* Gives up a reference. The last one closes the mailbox first: while it is open, claim() may find
 * it in its bucket and take another reference. */
static void let_go(struct pb_mailbox *mailbox) {
    uint32_t seen = atomic_load_explicit(&mailbox->references, PB_ORDER_REFERENCE_LOOK);
    while (seen > 1) {
        if (atomic_compare_exchange_weak_explicit(&mailbox->references, &seen, seen - 1,
                                                  PB_ORDER_REFERENCE_LEAVE, memory_order_relaxed)) {
            return;
        }
    }
    pb_mailbox_close(mailbox, NULL);
    if (atomic_fetch_sub_explicit(&mailbox->references, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        mailbox_free(mailbox);
    }
}

/* An open mailbox whose region overlaps this one's, or NULL. The caller holds the bucket's lock. */
static struct pb_mailbox *overlapping(const struct bucket *bucket,
                                      const struct pb_mailbox *mailbox) {
    uint64_t start = mailbox->offset, end = start + region_bytes(mailbox);
    struct pb_mailbox *other = bucket->first;
    while (other != NULL && (other->definition != mailbox->definition || other->offset >= end ||
                             other->offset + region_bytes(other) <= start)) {
        other = other->next;
    }
    return other;
}

/* Adds the mailbox to its bucket, or returns PB_IN_USE. An overlapping mailbox that only wakers
 * keep open is closed to make room. */
static enum pb_status claim(struct pb_mailbox *mailbox) {
    struct bucket *bucket = bucket_of(mailbox->definition);
    for (;;) {
        pb_lock_acquire(&bucket->lock);
        struct pb_mailbox *other = overlapping(bucket, mailbox);
        bool in_use =
            other != NULL && atomic_load_explicit(&other->has_owner, PB_ORDER_MAILBOX_OWNER);
        if (other == NULL) {
            mailbox->next = bucket->first;
            bucket->first = mailbox;
        } else if (!in_use) {
            retain(other);
        }
        pb_lock_release(&bucket->lock);
        if (other == NULL || in_use) {
            return in_use ? PB_IN_USE : PB_OK;
        }
        pb_mailbox_close(other, NULL);
        let_go(other);
    }
}

/* Takes the mailbox out of its bucket; called by whoever closes it, after the last write into the
 * region. */
static void give_region_up(struct pb_mailbox *mailbox) {
    struct bucket *bucket = bucket_of(mailbox->definition);
    pb_lock_acquire(&bucket->lock);
    struct pb_mailbox **link = &bucket->first;
    while (*link != mailbox) {
        link = &(*link)->next;
    }
    *link = mailbox->next;
    pb_lock_release(&bucket->lock);
}

/* A new reference to the open mailbox with the lowest offset that is not below this one, or NULL.
 */
static struct pb_mailbox *next_in(const struct pb_memory_definition *definition, uint64_t offset) {
    struct bucket *bucket = bucket_of(definition);
    struct pb_mailbox *lowest = NULL;
    pb_lock_acquire(&bucket->lock);
    for (struct pb_mailbox *m = bucket->first; m != NULL; m = m->next) {
        if (m->definition == definition && m->offset >= offset &&
            (lowest == NULL || m->offset < lowest->offset)) {
            lowest = m;
        }
    }
    lowest = lowest != NULL ? retain(lowest) : NULL;
    pb_lock_release(&bucket->lock);
    return lowest;
}

/* ---- Create and release --------------------------------------------------------------------- */

static void mailbox_free(struct pb_mailbox *mailbox) {
    const struct pb_allocator *allocator = mailbox->allocator;
    if (mailbox->memory_is_own) {
        pb_memory_unhang(mailbox->memory, &mailbox->doorbell);
        pb_memory_release(mailbox->memory);
    }
    allocator->release(allocator->context, mailbox->spill.ids);
    allocator->release(allocator->context, mailbox);
}

/* Allocates the spill, finds the region, hangs up the doorbell. On failure the caller frees the
 * mailbox. */
static enum pb_status mailbox_fill_in(struct pb_mailbox *mailbox,
                                      const struct pb_mailbox_config *config) {
    if (config->full == PB_MAILBOX_SPILL && config->spill_max > 0) {
        uint64_t bytes = (uint64_t)config->spill_max * sizeof mailbox->spill.ids[0];
        if (bytes > SIZE_MAX) {
            return PB_NO_MEMORY;
        }
        mailbox->spill.ids =
            mailbox->allocator->allocate_zeroed(mailbox->allocator->context, (size_t)bytes);
        if (mailbox->spill.ids == NULL) {
            return PB_NO_MEMORY;
        }
        mailbox->spill.size = config->spill_max;
    }
    enum pb_status status = pb_memory_retain(config->memory, &mailbox->memory);
    mailbox->memory_is_own = status == PB_OK;
    if (status == PB_NOT_SHARED || status == PB_UNSUPPORTED) {
        mailbox->memory = config->memory;
        status = PB_OK;
    }
    if (status == PB_OK && !locate(mailbox)) {
        status = PB_OUT_OF_BOUNDS;
    }
    mailbox->definition = status == PB_OK ? pb_memory_definition(mailbox->memory) : NULL;
    if (mailbox->memory_is_own) {
        mailbox->doorbell.address = (uint64_t)mailbox->offset + PB_MAILBOX_FLAG_OFFSET;
        pb_memory_hang(mailbox->memory, &mailbox->doorbell);
    }
    return status;
}

enum pb_status pb_mailbox_create(const struct pb_mailbox_config *config,
                                 struct pb_mailbox **mailbox) {
    const struct pb_allocator *allocator =
        config->allocator != NULL ? config->allocator : &pb_allocator_libc;
    uint32_t capacity = config->capacity != 0 ? config->capacity : PB_MAILBOX_CAPACITY;
    if ((capacity & (capacity - 1)) != 0 || capacity > PB_MAILBOX_CAPACITY_MAX ||
        (unsigned)config->full > PB_MAILBOX_SPILL) {
        return PB_INVALID;
    }
    if (config->offset % sizeof(uint32_t) != 0) {
        return PB_MISALIGNED;
    }
    struct pb_mailbox *made = allocator->allocate_zeroed(
        allocator->context, sizeof *made + capacity * sizeof made->slots[0]);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->allocator = allocator;
    made->offset = config->offset;
    made->capacity = capacity;
    made->full = config->full;
    made->taken = made->shown = config->first_cursor;
    atomic_init(&made->head_seen, made->shown);
    atomic_init(&made->guess, made->shown);
    atomic_init(&made->state, made->shown << PLACE_SHIFT);
    atomic_init(&made->references, 1);
    atomic_init(&made->has_owner, true);
    enum pb_status status = mailbox_fill_in(made, config);
    status = status == PB_OK ? claim(made) : status;
    if (status != PB_OK) {
        mailbox_free(made);
        return status;
    }
    initialise_words(made);
    *mailbox = made;
    return PB_OK;
}

void pb_mailbox_release(struct pb_mailbox *mailbox) {
    if (mailbox != NULL) {
        atomic_store_explicit(&mailbox->has_owner, false, PB_ORDER_MAILBOX_OWNER);
        let_go(mailbox);
    }
}

/* ---- The guest's words: only the publisher calls these --------------------------------------- */

/* Sets bits of the flag; true when the guest was not signalled before, so that it may be parked
 * and the caller owes it a wake (R34). */
static bool flag_raise(struct pb_mailbox *mailbox, uint32_t bits) {
    uint32_t before =
        atomic_fetch_or_explicit(&mailbox->words->flag, bits, PB_ORDER_MAILBOX_FLAG_SIGNAL);
    return !(before & PB_MAILBOX_SIGNALLED);
}

static void flag_lower(struct pb_mailbox *mailbox, uint32_t bits) {
    atomic_fetch_and_explicit(&mailbox->words->flag, ~bits, PB_ORDER_MAILBOX_FLAG_SIGNAL);
}

/* Fills the guest's slot of the next place; show() moves the tail. */
static inline void ring_put(struct pb_mailbox *mailbox, uint32_t id) {
    uint64_t slot = mailbox->taken & (mailbox->capacity - 1);
    atomic_store_explicit(&mailbox->words->ring[slot], id, PB_ORDER_MAILBOX_SLOT_WRITE);
    mailbox->taken++;
}

/* Puts the id of a place that the publisher reserved itself. */
static inline void put(struct pb_mailbox *mailbox, uint64_t place, uint32_t id) {
    if (place == mailbox->taken) {
        ring_put(mailbox, id);
    } else { /* behind one that is not there yet */
        atomic_store_explicit(slot_of(mailbox, place), id, PB_ORDER_MAILBOX_SLOT_OWN);
    }
}

/* Takes the id of the next place into the guest's ring; false where it is not there yet, and its
 * owner will tell. */
static bool take_next(struct pb_mailbox *mailbox) {
    _Atomic uint64_t *slot = slot_of(mailbox, mailbox->taken);
    uint64_t id = atomic_load_explicit(slot, PB_ORDER_MAILBOX_SLOT_TAKE);
    if (id == SLOT_EMPTY &&
        !atomic_compare_exchange_strong_explicit(slot, &id, SLOT_LATE, PB_ORDER_MAILBOX_SLOT_MARK,
                                                 memory_order_relaxed)) {
        id = atomic_load_explicit(slot, PB_ORDER_MAILBOX_SLOT_TAKE);
    }
    if (id == SLOT_EMPTY || id == SLOT_LATE) {
        return false;
    }
    atomic_store_explicit(slot, SLOT_EMPTY, PB_ORDER_MAILBOX_SLOT_OWN);
    ring_put(mailbox, (uint32_t)id);
    return true;
}

/* Shows the guest what was taken: one tail, then one signal for all (R31, R34). True when the guest
 * is owed a wake. */
static inline bool tell_tail(struct pb_mailbox *mailbox) {
    mailbox->shown = mailbox->taken;
    atomic_store_explicit(&mailbox->guess, mailbox->shown, PB_ORDER_MAILBOX_GUESS);
    atomic_store_explicit(&mailbox->words->tail, (uint32_t)mailbox->shown,
                          PB_ORDER_MAILBOX_TAIL_PUBLISH);
    return flag_raise(mailbox, PB_MAILBOX_SIGNALLED);
}

/* Shows the guest all ids of the reserved places up to the first that is not there yet. True when
 * the guest is owed a wake. */
static bool show(struct pb_mailbox *mailbox, uint64_t state) {
    uint64_t reserved = state >> PLACE_SHIFT;
    while (mailbox->taken < reserved && take_next(mailbox)) {
    }
    return mailbox->shown != mailbox->taken && tell_tail(mailbox);
}

/* Reads the guest's head, once, and believes it only when it lies between the last one and the
 * tail. */
static void see_head(struct pb_mailbox *mailbox) {
    uint32_t head = atomic_load_explicit(&mailbox->words->head, PB_ORDER_MAILBOX_HEAD_SEE);
    uint64_t seen = atomic_load_explicit(&mailbox->head_seen, PB_ORDER_MAILBOX_ROOM_OWN);
    uint32_t left = (uint32_t)mailbox->shown - head;
    if (left < mailbox->shown - seen) {
        atomic_store_explicit(&mailbox->head_seen, mailbox->shown - left,
                              PB_ORDER_MAILBOX_ROOM_TELL);
    }
}

/* Reads the guest's head while there still is some room: a producer that finds the ring full while
 * another one publishes is refused. reserved: the places, as last seen. */
static inline void look_ahead(struct pb_mailbox *mailbox, uint64_t reserved) {
    uint64_t seen = atomic_load_explicit(&mailbox->head_seen, PB_ORDER_MAILBOX_ROOM_OWN);
    if (mailbox->capacity - (reserved - seen) < mailbox->capacity / 4) {
        see_head(mailbox);
    }
}

/* ---- Waking --------------------------------------------------------------------------------- */

static void notify(struct pb_mailbox *mailbox, uint32_t guests) {
    uint32_t woken;
    if (mailbox->memory_is_own && guests == 1) {
        pb_memory_ring(mailbox->memory, &mailbox->doorbell);
    } else {
        (void)pb_memory_notify(mailbox->memory, (uint64_t)mailbox->offset + PB_MAILBOX_FLAG_OFFSET,
                               guests, &woken);
    }
}

/* Wakes guests parked on the flag, and host threads that wait for the signal. A memory of which the
 * mailbox has no handle is not touched: after close it may be gone. */
static void wake(struct pb_mailbox *mailbox, uint32_t guests) {
    if (mailbox->memory_is_own) {
        notify(mailbox, guests);
    }
    if (atomic_load_explicit(&mailbox->sleepers, PB_ORDER_MAILBOX_SLEEPER_LOOK) > 0) {
        atomic_fetch_add_explicit(&mailbox->bell, 1, PB_ORDER_MAILBOX_BELL_RING);
        pb_os_wake(&mailbox->bell, UINT32_MAX);
    }
}

/* ---- The role of the publisher -------------------------------------------------------------- */

/* Shows what is there, then gives the role up, or hands it to the holder of the lock who waits for
 * it. state is as last seen; owed says whether a wake is owed already. Guests of a lent memory are
 * notified before the role is given up, because the memory may be gone once somebody else has had
 * the role. */
static void leave(struct pb_mailbox *mailbox, uint64_t state, bool owed) {
    bool done = false, news = owed;
    while (!done) {
        news |= show(mailbox, state);
        owed |= news;
        if (news && mailbox->memory_is_lent) {
            notify(mailbox, 1);
        }
        news = false;
        uint64_t bits = PUBLISHING;
        if (state & WAITED) {
            bits = WAITED | AGAIN; /* whoever has it next looks again anyway */
        } else if (state & AGAIN) {
            bits = AGAIN;
        }
        /* Fails when more was reserved, or somebody told something. */
        if (atomic_compare_exchange_strong_explicit(&mailbox->state, &state, state & ~bits,
                                                    PB_ORDER_MAILBOX_ROLE_GIVE,
                                                    memory_order_relaxed)) {
            done = bits != AGAIN;
            state &= ~bits;
            if (bits & WAITED) {
                atomic_fetch_add_explicit(&mailbox->turn, 1, PB_ORDER_MAILBOX_TURN_GIVE);
                pb_os_wake(&mailbox->turn, 1);
            }
        } else {
            look_ahead(mailbox, state >> PLACE_SHIFT);
        }
    }
    if (owed) {
        wake(mailbox, 1);
    }
}

/* Waits until the role is the caller's, who holds the lock; false when closed. *state is as last
 * seen. */
static bool role_take(struct pb_mailbox *mailbox, uint64_t *state) {
    uint32_t turn = atomic_load_explicit(&mailbox->turn, PB_ORDER_MAILBOX_TURN_OWN);
    uint64_t seen = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK), next;
    do {
        if (seen & CLOSED) {
            return false;
        }
        next = seen | (seen & PUBLISHING ? WAITED : PUBLISHING);
    } while (!atomic_compare_exchange_weak_explicit(
        &mailbox->state, &seen, next, PB_ORDER_MAILBOX_ROLE_WAIT, memory_order_relaxed));
    if (seen & PUBLISHING) {
        while (atomic_load_explicit(&mailbox->turn, PB_ORDER_MAILBOX_TURN_TAKE) == turn) {
            (void)pb_os_wait(&mailbox->turn, turn, PB_DEADLINE_NEVER);
        }
        next = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK);
    }
    *state = next;
    return true;
}

/* Reserves a place for the publisher where there is room; *state is as last seen. */
static bool reserve(struct pb_mailbox *mailbox, uint64_t *state, uint64_t *place) {
    do {
        *place = *state >> PLACE_SHIFT;
        uint64_t seen = atomic_load_explicit(&mailbox->head_seen, PB_ORDER_MAILBOX_ROOM_OWN);
        if (*place - seen >= mailbox->capacity) {
            see_head(mailbox);
            seen = atomic_load_explicit(&mailbox->head_seen, PB_ORDER_MAILBOX_ROOM_OWN);
        }
        if (*place - seen >= mailbox->capacity) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(
        &mailbox->state, state, *state + PLACE, PB_ORDER_MAILBOX_STATE_OWN, memory_order_relaxed));
    *state += PLACE;
    return true;
}

/* ---- Spilling: the caller has the lock and the role ------------------------------------------ */

static bool spill_put(struct spill *spill, uint32_t id) {
    if (spill->count == spill->size) {
        return false;
    }
    spill->ids[((uint64_t)spill->first + spill->count) % spill->size] = id;
    spill->count++;
    return true;
}

static uint32_t spill_take(struct spill *spill) {
    uint32_t id = spill->ids[spill->first];
    spill->first = (spill->first + 1) % spill->size;
    spill->count--;
    return id;
}

/* Moves spilled ids into the ring as far as they fit; true when the guest is owed a wake. */
static bool spill_flush(struct pb_mailbox *mailbox, uint64_t *state) {
    uint64_t place;
    if (mailbox->spill.count == 0) {
        return false;
    }
    while (mailbox->spill.count > 0 && reserve(mailbox, state, &place)) {
        put(mailbox, place, spill_take(&mailbox->spill));
    }
    bool owed = show(mailbox, *state);
    if (mailbox->spill.count == 0) {
        *state = atomic_fetch_and_explicit(&mailbox->state, ~(uint64_t)SPILLING,
                                           PB_ORDER_MAILBOX_STATE_OWN) &
                 ~(uint64_t)SPILLING;
        flag_lower(mailbox, PB_MAILBOX_SPILLED);
    }
    return owed;
}

/* Puts one id into the ring, or behind those that were spilled before it (R32). */
static enum pb_status enqueue_or_spill(struct pb_mailbox *mailbox, uint32_t id) {
    enum pb_status status = PB_CLOSED;
    uint64_t state, place;
    pb_lock_acquire(&mailbox->lock);
    if (role_take(mailbox, &state)) {
        bool owed = spill_flush(mailbox, &state);
        status = PB_OK;
        if (mailbox->spill.count == 0 && reserve(mailbox, &state, &place)) {
            put(mailbox, place, id);
        } else if (spill_put(&mailbox->spill, id)) {
            state =
                atomic_fetch_or_explicit(&mailbox->state, SPILLING, PB_ORDER_MAILBOX_STATE_OWN) |
                SPILLING;
            owed |= flag_raise(mailbox, PB_MAILBOX_SIGNALLED | PB_MAILBOX_SPILLED);
        } else {
            status = PB_FULL;
        }
        leave(mailbox, state, owed);
    }
    pb_lock_release(&mailbox->lock);
    return status;
}

enum pb_status pb_mailbox_flush(struct pb_mailbox *mailbox, uint32_t *left) {
    uint64_t state;
    pb_lock_acquire(&mailbox->lock);
    bool open = role_take(mailbox, &state);
    if (open) {
        bool owed = spill_flush(mailbox, &state);
        leave(mailbox, state, owed);
    }
    if (left != NULL) {
        *left = open ? mailbox->spill.count : 0; /* close has dropped them */
    }
    pb_lock_release(&mailbox->lock);
    return open ? PB_OK : PB_CLOSED;
}

/* ---- Enqueue -------------------------------------------------------------------------------- */

/* Passes some 15 ns. */
static void pass_time(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#else
    for (volatile int i = 0; i < 16; i++) {
    }
#endif
}

/* Called where another producer was met: waits 200 to 400 ns without touching the cache lines in
 * use. Each producer then enqueues several ids before the lines move to another core, which takes a
 * third of the time. No wait where more than two places are reserved and not shown: the publisher
 * may have been preempted. */
static void stand_back(uint64_t state, uint64_t shown) {
    enum { ROUNDS = 24, UNSHOWN_MAX = 2 };
    if (!(state & (CLOSED | SPILLING)) && (state >> PLACE_SHIFT) - shown <= UNSHOWN_MAX) {
        for (int round = 0; round < ROUNDS; round++) {
            pass_time();
        }
    }
}

/* Leaves the id in its reserved place for the publisher, who was somebody else. */
static enum pb_status leave_id(struct pb_mailbox *mailbox, uint64_t place, uint32_t id) {
    uint64_t before =
        atomic_exchange_explicit(slot_of(mailbox, place), id, PB_ORDER_MAILBOX_SLOT_LEAVE);
    if (before != SLOT_LATE) {
        return before == SLOT_DEAD ? PB_CLOSED : PB_OK;
    }
    uint64_t seen = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK), next;
    do {
        if (seen & CLOSED) {
            return PB_OK; /* close finds the id in its slot */
        }
        next = seen | (seen & PUBLISHING ? AGAIN : PUBLISHING);
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->state, &seen, next,
                                                    PB_ORDER_MAILBOX_TELL, memory_order_relaxed));
    if (!(seen & PUBLISHING)) {
        leave(mailbox, next, false);
    }
    return PB_OK;
}

/* Enqueues after another look at the guest's head: the ring looked full, so the caller became the
 * publisher. */
static enum pb_status enqueue_after_look(struct pb_mailbox *mailbox, uint64_t state, uint32_t id) {
    uint64_t place;
    bool room = reserve(mailbox, &state, &place);
    if (room) {
        put(mailbox, place, id);
    }
    leave(mailbox, state, false);
    return room ? PB_OK : PB_FULL;
}

/* Reserves a place, and takes the role with it where that is free. Where the ring looks full, takes
 * the role alone, to look at the guest's head. state is as last seen. */
static enum pb_status enqueue(struct pb_mailbox *mailbox, uint64_t state, uint32_t id) {
    for (;;) {
        uint64_t place = state >> PLACE_SHIFT;
        uint64_t head = atomic_load_explicit(&mailbox->head_seen, PB_ORDER_MAILBOX_ROOM_SEE);
        bool room = place - head < mailbox->capacity;
        if (state & CLOSED) {
            return PB_CLOSED;
        }
        if (state & SPILLING || (!room && mailbox->full == PB_MAILBOX_SPILL)) {
            return enqueue_or_spill(mailbox, id);
        }
        if (!room && state & PUBLISHING) {
            uint64_t latest = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK);
            if (latest == state) {
                return PB_FULL;
            }
            state = latest;
            continue;
        }
        uint64_t next = (room ? state + PLACE : state) | PUBLISHING;
        if (!atomic_compare_exchange_weak_explicit(
                &mailbox->state, &state, next, PB_ORDER_MAILBOX_RESERVE, memory_order_relaxed)) {
            continue;
        }
        if (!room) {
            return enqueue_after_look(mailbox, next, id);
        }
        if (state & PUBLISHING) {
            return leave_id(mailbox, place, id);
        }
        put(mailbox, place, id);
        leave(mailbox, next, false);
        return PB_OK;
    }
}

/* Enqueues where the state was not the one that the caller had guessed, and wanted to change to
 * `next`. Not inlined, so that the usual case keeps no register for it. */
__attribute__((noinline)) static enum pb_status
enqueue_beside(struct pb_mailbox *mailbox, uint64_t state, uint64_t next, uint32_t id) {
    stand_back(state, (next - PLACE) >> PLACE_SHIFT);
    return enqueue(mailbox, state, id);
}

/* Tries the usual case first: there is room, and nobody else publishes. The state is guessed, not
 * read, because a read takes long just after another core has changed it. */
enum pb_status pb_mailbox_enqueue(struct pb_mailbox *mailbox, uint64_t id) {
    if (id - 1 >= UINT32_MAX) { /* 0, or wider than 32 bits */
        return PB_INVALID;
    }
    uint64_t place = atomic_load_explicit(&mailbox->guess, PB_ORDER_MAILBOX_GUESS);
    uint64_t state = place << PLACE_SHIFT;
    uint64_t head = atomic_load_explicit(&mailbox->head_seen, PB_ORDER_MAILBOX_ROOM_SEE);
    uint64_t next = state + (PLACE | PUBLISHING);
    if (place - head >= mailbox->capacity) {
        state = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK);
        return enqueue(mailbox, state, (uint32_t)id);
    }
    if (!atomic_compare_exchange_strong_explicit(&mailbox->state, &state, next,
                                                 PB_ORDER_MAILBOX_RESERVE, memory_order_relaxed)) {
        return enqueue_beside(mailbox, state, next, (uint32_t)id);
    }
    ring_put(mailbox, (uint32_t)id); /* whatever was reserved has been shown: the guess was right */
    bool owed = tell_tail(mailbox);
    if (owed || !atomic_compare_exchange_strong_explicit(
                    &mailbox->state, &next, next & ~(uint64_t)PUBLISHING,
                    PB_ORDER_MAILBOX_ROLE_GIVE_AT_ONCE, memory_order_relaxed)) {
        leave(mailbox, next, owed);
    }
    return PB_OK;
}

/* ---- Signals -------------------------------------------------------------------------------- */

static bool is_signalled(struct pb_mailbox *mailbox) {
    return (atomic_load_explicit(&mailbox->words->flag, PB_ORDER_MAILBOX_FLAG_LOOK) &
            PB_MAILBOX_SIGNALLED) != 0;
}

bool pb_mailbox_is_signalled(struct pb_mailbox *mailbox) {
    uint64_t state = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK);
    do {
        if (state & (CLOSED | PUBLISHING)) {
            return !(state & CLOSED);
        }
    } while (!atomic_compare_exchange_weak_explicit(&mailbox->state, &state, state | PUBLISHING,
                                                    PB_ORDER_MAILBOX_ROLE_TAKE,
                                                    memory_order_relaxed));
    bool signalled = is_signalled(mailbox);
    leave(mailbox, state | PUBLISHING, false);
    return signalled;
}

/* True when a wait for the signal is over; *status is what it returns then. Whatever comes after
 * this look rings the bell. */
static bool has_news(struct pb_mailbox *mailbox, enum pb_status *status) {
    uint64_t state;
    bool signalled = false;
    pb_lock_acquire(&mailbox->lock);
    bool open = role_take(mailbox, &state);
    if (open) {
        bool owed = spill_flush(mailbox, &state);
        owed |= show(mailbox, state);
        signalled = is_signalled(mailbox);
        leave(mailbox, state, owed);
    }
    pb_lock_release(&mailbox->lock);
    *status = open ? PB_OK : PB_CLOSED;
    return signalled || !open;
}

enum pb_status pb_mailbox_wait_for_signal(struct pb_mailbox *mailbox, int64_t timeout_ns) {
    uint64_t deadline_ns = PB_DEADLINE_NEVER;
    if (timeout_ns >= 0) {
        uint64_t now_ns = pb_os_clock_ns();
        deadline_ns = (uint64_t)timeout_ns < PB_DEADLINE_NEVER - now_ns
                          ? now_ns + (uint64_t)timeout_ns
                          : PB_DEADLINE_NEVER;
    }
    bool late = timeout_ns == 0;
    for (;;) {
        enum pb_status status;
        uint32_t bell = atomic_load_explicit(&mailbox->bell, PB_ORDER_MAILBOX_BELL_READ);
        /* Counted before the look in the role: whoever brings news later sees the sleeper. */
        atomic_fetch_add_explicit(&mailbox->sleepers, 1, PB_ORDER_MAILBOX_SLEEPER_COUNT);
        bool news = has_news(mailbox, &status);
        bool last = news || late;
        if (!last) {
            late = pb_os_wait(&mailbox->bell, bell, deadline_ns) == PB_TIMED_OUT;
        }
        atomic_fetch_sub_explicit(&mailbox->sleepers, 1, PB_ORDER_MAILBOX_SLEEPER_COUNT);
        if (last) {
            return news ? status : PB_TIMED_OUT;
        }
    }
}

/* ---- Moves and close ------------------------------------------------------------------------ */

/* From here on nobody reserves a place; returns the state. The caller has the lock and the role. */
static uint64_t refuse_more(struct pb_mailbox *mailbox) {
    return atomic_fetch_or_explicit(&mailbox->state, CLOSED, PB_ORDER_MAILBOX_STATE_OWN) | CLOSED;
}

/* Takes all ids that are in slots, and marks the empty slots in between dead, for the producers
 * that come to fill them. Returns how many ids there were. deliver: puts them into the ring. */
static uint32_t take_the_rest(struct pb_mailbox *mailbox, uint64_t state, bool deliver) {
    uint32_t count = 0;
    for (uint64_t place = mailbox->taken; place < state >> PLACE_SHIFT; place++) {
        uint64_t id = atomic_exchange_explicit(slot_of(mailbox, place), SLOT_DEAD,
                                               PB_ORDER_MAILBOX_SLOT_KILL);
        if (id != SLOT_EMPTY && id != SLOT_LATE) {
            count++;
            if (deliver) {
                ring_put(mailbox, (uint32_t)id);
            }
        }
    }
    return count;
}

static void give_up_for_good(struct pb_mailbox *mailbox) {
    atomic_fetch_and_explicit(&mailbox->state, ~(uint64_t)PUBLISHING, PB_ORDER_MAILBOX_CLOSED_TELL);
}

void pb_mailbox_hold(struct pb_mailbox *mailbox) {
    uint64_t state;
    pb_lock_acquire(&mailbox->lock);
    (void)role_take(mailbox, &state); /* or it is closed, and nobody writes any more */
}

/* Between hold and unhold. */
static bool held_open(struct pb_mailbox *mailbox, uint64_t *state) {
    *state = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_STATE_LOOK);
    return !(*state & CLOSED);
}

enum pb_status pb_mailbox_unhold(struct pb_mailbox *mailbox) {
    uint64_t state;
    bool open = held_open(mailbox, &state);
    bool lost = open && !locate(mailbox);
    if (lost) {
        mailbox->dropped =
            mailbox->spill.count + take_the_rest(mailbox, refuse_more(mailbox), false);
        if (mailbox->memory_is_lent) {
            notify(mailbox, UINT32_MAX);
        }
        give_region_up(mailbox);
        give_up_for_good(mailbox);
    } else if (open) {
        leave(mailbox, state, false);
    }
    pb_lock_release(&mailbox->lock);
    if (lost) {
        wake(mailbox, UINT32_MAX);
    }
    return lost ? PB_OUT_OF_BOUNDS : PB_OK;
}

/* Holds the mailbox, or where its memory may move, all mailboxes in it, the lowest offset first.
 * Returns them as a chain, with a reference to each. */
static struct pb_mailbox *hold_those_that_move(struct pb_mailbox *mailbox) {
    struct pb_mailbox *held = NULL;
    struct pb_mailbox *next =
        mailbox->memory_is_own ? retain(mailbox) : next_in(mailbox->definition, 0);
    while (next != NULL) {
        pb_mailbox_hold(next);
        next->next_held = held;
        held = next;
        next = mailbox->memory_is_own ? NULL
                                      : next_in(mailbox->definition, (uint64_t)held->offset + 1);
    }
    return held;
}

enum pb_status pb_mailbox_grow(struct pb_mailbox *mailbox, uint32_t delta_pages,
                               uint32_t *old_pages) {
    uint64_t state;
    struct pb_mailbox *held = hold_those_that_move(mailbox);
    enum pb_status status = PB_CLOSED, located = PB_OK; /* and the memory may be gone */
    if (held_open(mailbox, &state)) {
        status = pb_memory_grow(mailbox->memory, delta_pages, old_pages);
    }
    while (held != NULL) {
        struct pb_mailbox *next = held->next_held;
        enum pb_status found = pb_mailbox_unhold(held);
        located = held == mailbox ? found : located;
        let_go(held);
        held = next;
    }
    return status != PB_OK ? status : located;
}

void pb_mailbox_close(struct pb_mailbox *mailbox, uint32_t *dropped) {
    uint64_t state;
    pb_lock_acquire(&mailbox->lock);
    bool first = role_take(mailbox, &state);
    if (first) {
        (void)take_the_rest(mailbox, refuse_more(mailbox), true);
        (void)show(mailbox, 0);
        mailbox->dropped = mailbox->spill.count;
        flag_lower(mailbox, PB_MAILBOX_SPILLED);
        (void)flag_raise(mailbox, PB_MAILBOX_CLOSED);
        if (mailbox->memory_is_lent) {
            notify(mailbox, UINT32_MAX);
        }
        give_region_up(mailbox);
        give_up_for_good(mailbox);
    }
    uint32_t told = mailbox->dropped; /* also where the region was lost before */
    mailbox->dropped = 0;
    pb_lock_release(&mailbox->lock);
    if (first) {
        wake(mailbox, UINT32_MAX);
    }
    if (dropped != NULL) {
        *dropped = told;
    }
}

bool pb_mailbox_is_closed(struct pb_mailbox *mailbox) {
    uint64_t state = atomic_load_explicit(&mailbox->state, PB_ORDER_MAILBOX_CLOSED_SEE);
    return (state & (CLOSED | PUBLISHING)) == CLOSED;
}

/* ---- Wakers --------------------------------------------------------------------------------- */

struct pb_waker {
    _Atomic uint32_t references;
    uint32_t id;
    struct pb_mailbox *mailbox;
};

enum pb_status pb_waker_create(struct pb_mailbox *mailbox, uint64_t id, struct pb_waker **waker) {
    if (id == 0 || id > UINT32_MAX) {
        return PB_INVALID;
    }
    struct pb_waker *made =
        mailbox->allocator->allocate_zeroed(mailbox->allocator->context, sizeof *made);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    atomic_init(&made->references, 1);
    made->id = (uint32_t)id;
    made->mailbox = retain(mailbox);
    *waker = made;
    return PB_OK;
}

struct pb_waker *pb_waker_retain(struct pb_waker *waker) {
    atomic_fetch_add_explicit(&waker->references, 1, PB_ORDER_REFERENCE_TAKE);
    return waker;
}

enum pb_status pb_waker_wake(struct pb_waker *waker) {
    return pb_mailbox_enqueue(waker->mailbox, waker->id);
}

void pb_waker_release(struct pb_waker *waker) {
    if (waker != NULL &&
        atomic_fetch_sub_explicit(&waker->references, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        struct pb_mailbox *mailbox = waker->mailbox;
        mailbox->allocator->release(mailbox->allocator->context, waker);
        let_go(mailbox);
    }
}
