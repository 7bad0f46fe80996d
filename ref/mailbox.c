/* mailbox.c: the host's side of a guest mailbox (R30 to R38). */
#include "mailbox.h"

#include "lock.h"
#include "orders.h"
#include "os.h"

#include <stddef.h>

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
    bool memory_is_own; /* a clone; else the user's, which may be gone once this is closed */
    uint32_t offset;
    uint32_t capacity;
    enum pb_mailbox_full full;
    _Atomic uint32_t references; /* the owner's, and one for each waker */

    struct pb_lock lock; /* producers, close and moves take turns: guards what follows */
    bool closed;
    bool memory_is_lent; /* shared, so that a guest may be parked on the flag, and not our own */
    struct pb_mailbox_words *words; /* in guest memory: never trusted, see R38 */
    uint32_t tail;                  /* the host's own cursor; the guest sees a copy of it */
    uint32_t head_seen; /* a head that was true once: there is at least that much room */
    struct spill spill;

    /* For host threads in pb_mailbox_wait_for_signal: */
    _Atomic uint32_t bell; /* changes whenever there is news */
    _Atomic uint32_t sleepers;
};

/* ---- Attach and release --------------------------------------------------------------------- */

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
    atomic_store_explicit(&words->capacity, mailbox->capacity, PB_ORDER_MAILBOX_ATTACH);
    atomic_store_explicit(&words->flag, 0, PB_ORDER_MAILBOX_ATTACH);
    atomic_store_explicit(&words->head, mailbox->tail, PB_ORDER_MAILBOX_ATTACH);
    atomic_store_explicit(&words->tail, mailbox->tail, PB_ORDER_MAILBOX_ATTACH);
    for (uint32_t i = 0; i < mailbox->capacity; i++) {
        atomic_store_explicit(&words->ring[i], 0, PB_ORDER_MAILBOX_ATTACH);
    }
}

static void mailbox_free(struct pb_mailbox *mailbox) {
    const struct pb_allocator *allocator = mailbox->allocator;
    if (mailbox->memory_is_own) {
        pb_memory_destroy(mailbox->memory);
    }
    allocator->release(allocator->context, mailbox->spill.ids);
    allocator->release(allocator->context, mailbox);
}

/* The parts that need memory or the guest's; on failure the caller frees the rest. */
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
    enum pb_status status = pb_memory_clone(config->memory, &mailbox->memory);
    mailbox->memory_is_own = status == PB_OK;
    if (status == PB_NOT_SHARED || status == PB_UNSUPPORTED) {
        mailbox->memory = config->memory;
        status = PB_OK;
    }
    if (status == PB_OK && !locate(mailbox)) {
        status = PB_OUT_OF_BOUNDS;
    }
    return status;
}

enum pb_status pb_mailbox_attach(const struct pb_mailbox_config *config,
                                 struct pb_mailbox **mailbox) {
    const struct pb_allocator *allocator =
        config->allocator != NULL ? config->allocator : &pb_allocator_libc;
    uint32_t capacity = config->capacity != 0 ? config->capacity : PB_MAILBOX_CAPACITY;
    if ((capacity & (capacity - 1)) != 0 || capacity > PB_MAILBOX_CAPACITY_MAX) {
        return PB_INVALID;
    }
    if (config->offset % sizeof(uint32_t) != 0) {
        return PB_MISALIGNED;
    }
    struct pb_mailbox *made = allocator->allocate_zeroed(allocator->context, sizeof *made);
    if (made == NULL) {
        return PB_NO_MEMORY;
    }
    made->allocator = allocator;
    made->offset = config->offset;
    made->capacity = capacity;
    made->full = config->full;
    made->tail = made->head_seen = config->first_cursor;
    atomic_init(&made->references, 1);
    enum pb_status status = mailbox_fill_in(made, config);
    if (status != PB_OK) {
        mailbox_free(made);
        return status;
    }
    initialise_words(made);
    *mailbox = made;
    return PB_OK;
}

static struct pb_mailbox *retain(struct pb_mailbox *mailbox) {
    atomic_fetch_add_explicit(&mailbox->references, 1, PB_ORDER_REFERENCE_TAKE);
    return mailbox;
}

void pb_mailbox_release(struct pb_mailbox *mailbox) {
    if (mailbox != NULL &&
        atomic_fetch_sub_explicit(&mailbox->references, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        pb_mailbox_close(mailbox, NULL);
        mailbox_free(mailbox);
    }
}

/* ---- The ring and the spill; the lock is held ----------------------------------------------- */

/* The guest's head is read only when the ring looks full, once, and believed only when it lies
 * between the last one and the tail. */
static bool ring_has_room(struct pb_mailbox *mailbox) {
    if (mailbox->tail - mailbox->head_seen < mailbox->capacity) {
        return true;
    }
    uint32_t head = atomic_load_explicit(&mailbox->words->head, PB_ORDER_MAILBOX_HEAD_SEE);
    if (mailbox->tail - head > mailbox->capacity) {
        return false;
    }
    mailbox->head_seen = head;
    return mailbox->tail - head < mailbox->capacity;
}

/* Fills the next slot, then shows it (R31). */
static void ring_put(struct pb_mailbox *mailbox, uint32_t id) {
    uint32_t slot = mailbox->tail & (mailbox->capacity - 1);
    atomic_store_explicit(&mailbox->words->ring[slot], id, PB_ORDER_MAILBOX_SLOT_WRITE);
    mailbox->tail++;
    atomic_store_explicit(&mailbox->words->tail, mailbox->tail, PB_ORDER_MAILBOX_TAIL_PUBLISH);
}

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
static bool spill_flush(struct pb_mailbox *mailbox) {
    uint32_t before = mailbox->spill.count;
    while (mailbox->spill.count > 0 && ring_has_room(mailbox)) {
        ring_put(mailbox, spill_take(&mailbox->spill));
    }
    if (mailbox->spill.count == before) {
        return false;
    }
    bool wake = flag_raise(mailbox, PB_MAILBOX_SIGNALLED);
    if (mailbox->spill.count == 0) {
        flag_lower(mailbox, PB_MAILBOX_SPILLED);
    }
    return wake;
}

/* One id, to the ring or behind those that were spilled before it (R32). */
static enum pb_status put(struct pb_mailbox *mailbox, uint32_t id, bool *wake) {
    *wake = spill_flush(mailbox);
    if (mailbox->spill.count == 0 && ring_has_room(mailbox)) {
        ring_put(mailbox, id);
        *wake |= flag_raise(mailbox, PB_MAILBOX_SIGNALLED);
        return PB_OK;
    }
    if (mailbox->full == PB_MAILBOX_REJECT || !spill_put(&mailbox->spill, id)) {
        return PB_FULL;
    }
    *wake |= flag_raise(mailbox, PB_MAILBOX_SIGNALLED | PB_MAILBOX_SPILLED);
    return PB_OK;
}

/* ---- Waking --------------------------------------------------------------------------------- */

static void notify(struct pb_mailbox *mailbox, uint32_t guests) {
    uint32_t woken;
    (void)pb_memory_notify(mailbox->memory, (uint64_t)mailbox->offset + PB_MAILBOX_FLAG_OFFSET,
                           guests, &woken);
}

/* Wakes guests parked on the flag and host threads that wait for the signal. A memory that is not
 * our own is not touched: after close it may be gone. */
static void wake(struct pb_mailbox *mailbox, uint32_t guests) {
    if (mailbox->memory_is_own) {
        notify(mailbox, guests);
    }
    if (atomic_load_explicit(&mailbox->sleepers, PB_ORDER_MAILBOX_SLEEPER_LOOK) > 0) {
        atomic_fetch_add_explicit(&mailbox->bell, 1, PB_ORDER_MAILBOX_BELL_RING);
        pb_os_wake(&mailbox->bell, UINT32_MAX);
    }
}

/* Gives the lock up; guests: how many are owed a wake, or 0. Those in a memory that is lent get it
 * before: once another has had a turn the memory may be gone. */
static inline void release(struct pb_mailbox *mailbox, uint32_t guests) {
    if (guests > 0 && mailbox->memory_is_lent) {
        notify(mailbox, guests);
    }
    pb_lock_release(&mailbox->lock);
    if (guests > 0) {
        wake(mailbox, guests);
    }
}

enum pb_status pb_mailbox_enqueue(struct pb_mailbox *mailbox, uint64_t id) {
    if (id == 0 || id > UINT32_MAX) {
        return PB_INVALID;
    }
    bool owed = false;
    enum pb_status status = PB_CLOSED;
    pb_lock_acquire(&mailbox->lock);
    if (!mailbox->closed) {
        status = put(mailbox, (uint32_t)id, &owed);
    }
    release(mailbox, owed ? 1 : 0);
    return status;
}

enum pb_status pb_mailbox_flush(struct pb_mailbox *mailbox, uint32_t *left) {
    bool owed = false;
    pb_lock_acquire(&mailbox->lock);
    bool closed = mailbox->closed;
    if (!closed) {
        owed = spill_flush(mailbox);
    }
    if (left != NULL) {
        *left = mailbox->spill.count;
    }
    release(mailbox, owed ? 1 : 0);
    return closed ? PB_CLOSED : PB_OK;
}

bool pb_mailbox_is_signalled(struct pb_mailbox *mailbox) {
    pb_lock_acquire(&mailbox->lock);
    bool signalled = !mailbox->closed &&
                     (atomic_load_explicit(&mailbox->words->flag, PB_ORDER_MAILBOX_FLAG_LOOK) &
                      PB_MAILBOX_SIGNALLED) != 0;
    pb_lock_release(&mailbox->lock);
    return signalled;
}

/* What ends a wait for the signal, as seen under the lock; *status is what the wait returns then.
 */
static bool has_news(struct pb_mailbox *mailbox, enum pb_status *status) {
    *status = pb_mailbox_flush(mailbox, NULL);
    return *status == PB_CLOSED || pb_mailbox_is_signalled(mailbox);
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
        /* Counted before the look under the lock: whoever brings news later sees the sleeper. */
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

void pb_mailbox_hold(struct pb_mailbox *mailbox) {
    pb_lock_acquire(&mailbox->lock);
}

enum pb_status pb_mailbox_unhold(struct pb_mailbox *mailbox) {
    bool lost = !mailbox->closed && !locate(mailbox);
    if (lost) {
        mailbox->closed = true;
    }
    release(mailbox, lost ? UINT32_MAX : 0);
    return lost ? PB_OUT_OF_BOUNDS : PB_OK;
}

enum pb_status pb_mailbox_grow(struct pb_mailbox *mailbox, uint32_t delta_pages,
                               uint32_t *old_pages) {
    pb_mailbox_hold(mailbox);
    enum pb_status status = PB_CLOSED; /* and the memory may be gone */
    if (!mailbox->closed) {
        status = pb_memory_grow(mailbox->memory, delta_pages, old_pages);
    }
    enum pb_status located = pb_mailbox_unhold(mailbox);
    return status != PB_OK ? status : located;
}

void pb_mailbox_close(struct pb_mailbox *mailbox, uint32_t *dropped) {
    pb_lock_acquire(&mailbox->lock);
    bool first = !mailbox->closed;
    uint32_t spilled = mailbox->spill.count; /* also where the region was lost before */
    mailbox->closed = true;
    mailbox->spill.count = 0;
    if (first) {
        flag_lower(mailbox, PB_MAILBOX_SPILLED);
        (void)flag_raise(mailbox, PB_MAILBOX_CLOSED);
    }
    release(mailbox, first ? UINT32_MAX : 0);
    if (dropped != NULL) {
        *dropped = spilled;
    }
}

bool pb_mailbox_is_closed(struct pb_mailbox *mailbox) {
    pb_lock_acquire(&mailbox->lock);
    bool closed = mailbox->closed; /* and whoever closed has written all that it writes */
    pb_lock_release(&mailbox->lock);
    return closed;
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

struct pb_waker *pb_waker_clone(struct pb_waker *waker) {
    atomic_fetch_add_explicit(&waker->references, 1, PB_ORDER_REFERENCE_TAKE);
    return waker;
}

enum pb_status pb_waker_wake(struct pb_waker *waker) {
    return pb_mailbox_enqueue(waker->mailbox, waker->id);
}

void pb_waker_drop(struct pb_waker *waker) {
    if (waker != NULL &&
        atomic_fetch_sub_explicit(&waker->references, 1, PB_ORDER_REFERENCE_DROP) == 1) {
        struct pb_mailbox *mailbox = waker->mailbox;
        mailbox->allocator->release(mailbox->allocator->context, waker);
        pb_mailbox_release(mailbox);
    }
}
