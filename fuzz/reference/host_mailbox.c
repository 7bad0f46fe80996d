/* host_mailbox.c: mailboxes, and what becomes of them while they are held. */
#include "host_within.h"

#include "guest.h"
#include "mailbox.h"
#include "os_wrap.h"

#include <errno.h>
#include <linux/futex.h>

/* ---- Mailboxes --------------------------------------------------------------------------------
 */

static const char *open_box(struct pb_mailbox *box, const struct pb_mailbox_words *words,
                            const struct pb_mailbox_config *c, uint64_t id) {
    const uint32_t capacity = c->capacity == 0 ? PB_MAILBOX_CAPACITY : c->capacity;
    const bool sound = id != 0 && id <= UINT32_MAX;
    uint32_t left = 77;
    struct pb_waker *waker = HOST_MARK;
    const char *broken =
        host_holds(atomic_load(&words->capacity) == capacity && atomic_load(&words->flag) == 0 &&
                       atomic_load(&words->head) == c->first_cursor &&
                       atomic_load(&words->tail) == c->first_cursor,
                   "R35-words");
    for (uint32_t i = 0; i < capacity && broken == NULL; i++) {
        broken = host_holds(atomic_load(&words->ring[i]) == 0, "R35-words");
    }
    enum pb_status got = pb_waker_create(box, id, &waker);
    broken = host_first(broken, host_answered(got, sound ? S(OK) : S(INVALID), "R30-id"));
    broken = host_first(broken, host_told(got, waker, "R30-told"));
    broken = host_first(
        broken, host_answered(pb_mailbox_enqueue(box, id), sound ? S(OK) : S(INVALID), "R30-id"));
    broken = host_first(
        broken,
        host_holds(atomic_load(&words->tail) == c->first_cursor + (sound ? 1u : 0u), "R35-words"));
    if (sound && broken == NULL) {
        broken = host_holds(atomic_load(&words->ring[c->first_cursor & (capacity - 1)]) == id &&
                                atomic_load(&words->flag) == PB_MAILBOX_SIGNALLED,
                            "R35-words");
    }
    broken = host_first(
        broken, host_holds(pb_mailbox_is_signalled(box) == sound && !pb_mailbox_is_closed(box),
                           "R34-signal"));
    broken = host_first(broken, host_holds(pb_mailbox_flush(box, NULL) == PB_OK &&
                                               pb_mailbox_flush(box, &left) == PB_OK && left == 0,
                                           "R33-flush"));
    broken = host_first(
        broken, host_holds(pb_mailbox_wait_for_signal(box, 0) == (sound ? PB_OK : PB_TIMED_OUT),
                           "R34-signal"));
    pb_mailbox_close(box, NULL);
    left = 77;
    pb_mailbox_close(box, &left);
    broken = host_first(
        broken, host_holds(left == 0 && pb_mailbox_is_closed(box) && !pb_mailbox_is_signalled(box),
                           "R36-closed"));
    left = 77;
    broken = host_first(
        broken, host_holds(pb_mailbox_flush(box, &left) == PB_CLOSED && left == 0, "R36-closed"));
    broken = host_first(broken,
                        host_holds(pb_mailbox_wait_for_signal(box, -1) == PB_CLOSED, "R36-closed"));
    broken = host_first(broken, host_holds(pb_mailbox_enqueue(box, 1) == PB_CLOSED &&
                                               pb_mailbox_enqueue(box, 0) == PB_INVALID,
                                           "R36-closed"));
    if (got == PB_OK && waker != HOST_MARK) {
        broken = host_first(
            broken, host_holds(pb_waker_retain(waker) == waker && pb_waker_wake(waker) == PB_CLOSED,
                               "R36-closed"));
        pb_waker_release(waker);
        pb_waker_release(waker);
    }
    pb_waker_release(NULL);
    return broken;
}

const char *host_mailbox(const struct op *op) {
    enum { PAGES = 3, SPILL_OF_LIBC = 65536 };
    struct pb_memory *memory;
    struct pb_mailbox *box = HOST_MARK;
    struct pb_mailbox_config config = {
        .offset = (uint32_t)op->arg.host_mailbox.offset,
        .capacity = (uint32_t)op->arg.host_mailbox.capacity,
        .first_cursor = (uint32_t)op->arg.host_mailbox.cursor,
        .full = op->arg.host_mailbox.full == WORD_full_spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
        .spill_max = (uint32_t)op->arg.host_mailbox.spill,
        .allocator = op->arg.host_mailbox.spill <= SPILL_OF_LIBC
                         ? host_allocator_or_none(op->arg.host_mailbox.id)
                         : &host_allocator, /* the C library would give it all that it asks for */
    };
    const uint32_t pages = (uint32_t)op->arg.host_mailbox.pages % (PAGES + 1);
    if (host_plain_memory(pages, op->arg.host_mailbox.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    config.memory = memory;
    const uint64_t capacity = config.capacity == 0 ? PB_MAILBOX_CAPACITY : config.capacity;
    unsigned set =
        (capacity & (capacity - 1)) != 0 || capacity > PB_MAILBOX_CAPACITY_MAX ? S(INVALID) : 0;
    set |= config.offset % 4 != 0 ? S(MISALIGNED) : 0;
    set |= host_in(config.offset, 16 + 4 * capacity, pages * PAGE) ? 0 : S(OUT_OF_BOUNDS);
    if (pages > 0) { /* whatever it held */
        memset(host_base(memory), 0xA5, pages * PAGE);
    }
    const enum pb_status got = pb_mailbox_create(&config, &box);
    const char *broken = host_answered(got, set == 0 ? S(OK) : set, "R38-attach");
    broken = host_first(broken, host_told(got, box, "R38-told"));
    if (got == PB_OK && box != HOST_MARK) {
        const struct pb_mailbox_words *words = (const void *)(host_base(memory) + config.offset);
        broken = broken != NULL ? broken : open_box(box, words, &config, op->arg.host_mailbox.id);
        pb_mailbox_release(box);
    }
    pb_mailbox_release(NULL);
    pb_memory_release(memory);
    return broken;
}

/* A memory of two pages, of which the first was there from the start. */
static enum pb_status grown_memory(struct pb_memory **memory) {
    const struct pb_memory_style style = {.kind = PB_STYLE_STATIC, .bound_pages = 4};
    const struct pb_memory_config config = {
        .type = {1, 4, false},
        .style = &style,
        .strategy = PB_STRATEGY_RESERVE,
        .allocator = &host_allocator,
    };
    uint32_t old;
    enum pb_status status = pb_memory_create(&config, memory);
    if (status == PB_OK && pb_memory_grow(*memory, 1, &old) != PB_OK) {
        pb_memory_release(*memory);
        status = PB_NO_MEMORY;
    }
    return status;
}

/* What the holder does to the memory. True if it could; the copy's bytes must be the memory's. */
static bool held_work(struct pb_memory *memory, enum word_held what, const char **broken) {
    struct pb_memory *copy;
    uint32_t old;
    switch (what) {
    case WORD_held_reset:
        return pb_memory_reset(memory) == PB_OK;
    case WORD_held_shared:
        return pb_memory_to_shared(memory) == PB_OK;
    case WORD_held_copy:
        if (pb_memory_copy(memory, &copy) == PB_OK) {
            *broken =
                host_holds(memcmp(host_base(copy), host_base(memory), 2 * PAGE) == 0, "R13-copy");
            pb_memory_release(copy);
        }
        return true;
    default:
        return pb_memory_grow(memory, 1, &old) == PB_OK;
    }
}

static const char *lost_box(struct pb_mailbox *box, uint32_t spilled) {
    uint32_t dropped = 77, again = 77, left = 77;
    const char *broken = host_holds(pb_mailbox_is_closed(box) && !pb_mailbox_is_signalled(box) &&
                                        pb_mailbox_enqueue(box, 5) == PB_CLOSED &&
                                        pb_mailbox_flush(box, &left) == PB_CLOSED && left == 0 &&
                                        pb_mailbox_wait_for_signal(box, -1) == PB_CLOSED,
                                    "R37-lost");
    pb_mailbox_close(box, &dropped);
    pb_mailbox_close(box, &again);
    return host_first(broken, host_holds(dropped == spilled && again == 0, "R36-dropped"));
}

struct ids {
    uint32_t next;
    bool right;
};

static void take_id(void *context, uint32_t id) {
    struct ids *ids = context;
    ids->right = ids->right && id == ids->next;
    ids->next++;
}

/* All that were accepted come, in order. */
static const char *kept_box(struct pb_mailbox *box, struct pb_mailbox_words *words,
                            uint32_t accepted) {
    struct ids ids = {1, true};
    uint32_t left = 1;
    for (unsigned i = 0; i < 64 && left > 0; i++) {
        (void)pb_guest_drain(words, take_id, &ids);
        if (pb_mailbox_flush(box, &left) != PB_OK) {
            return "R37-unhold";
        }
    }
    (void)pb_guest_drain(words, take_id, &ids);
    return host_holds(ids.right && ids.next == accepted + 1, "R30-lost");
}

/* Closed at once: what is in the ring may be drained, what is spilled is told and gone, and the
 * words say so. */
static const char *closed_box(struct pb_mailbox *box, struct pb_mailbox_words *words,
                              uint32_t in_ring, uint32_t spilled) {
    struct ids ids = {1, true};
    uint32_t dropped = 77, again = 77;
    const unsigned before =
        (in_ring > 0 ? PB_MAILBOX_SIGNALLED : 0) | (spilled > 0 ? PB_MAILBOX_SPILLED : 0);
    const char *broken = host_holds(atomic_load(&words->flag) == before, "R34-flag");
    pb_mailbox_close(box, &dropped);
    pb_mailbox_close(box, &again);
    broken = host_first(broken, host_holds(dropped == spilled && again == 0, "R36-dropped"));
    const unsigned after = (before & PB_MAILBOX_SIGNALLED) | PB_MAILBOX_CLOSED;
    broken = host_first(broken, host_holds(atomic_load(&words->flag) == after, "R36-flag"));
    (void)pb_guest_drain(words, take_id, &ids);
    return host_first(broken, host_holds(ids.right && ids.next == in_ring + 1, "R30-lost"));
}

/* A guest that is parked by the wait instruction, and what wakes it, in the middle of its futex
 * call. */
struct parked {
    struct pb_memory *memory;
    struct pb_mailbox *box;
    bool closes;
    unsigned calls, wakes;
};

static long parked_answer(void *context, const struct libc_futex_call *call) {
    enum { CALLS_MAX = 8 };
    struct parked *p = context;
    errno = 0;
    if (call->operation != FUTEX_WAIT_BITSET_PRIVATE) {
        p->wakes++;
        return 1;
    }
    p->calls++;
    if (p->calls == 1 && p->closes) {
        pb_mailbox_close(p->box, NULL);
    } else if (p->calls == 1) {
        (void)pb_mailbox_enqueue(p->box, 77);
    } else if (p->calls > CALLS_MAX) { /* nothing does */
        pb_memory_disable_atomics(p->memory);
    }
    return 0;
}

/* In a shared memory that was not one when the mailbox was made. */
static const char *parked_guest(struct pb_memory *memory, struct pb_mailbox *box, uint32_t offset,
                                bool closes) {
    struct parked p = {.memory = memory, .box = box, .closes = closes};
    const struct libc_futex futex = {parked_answer, &p};
    enum pb_wait result = (enum pb_wait)9;
    libc_wrap_futex(&futex);
    const enum pb_status got =
        pb_memory_wait32(memory, (uint64_t)offset + PB_MAILBOX_FLAG_OFFSET, 0, -1, &result);
    libc_wrap_futex(NULL);
    return host_holds(got == PB_OK && result == PB_WAIT_NOTIFIED && p.wakes > 0,
                      closes ? "R36-close-unseen" : "R34-no-lost-wakeup");
}

/* Ids of another producer while it is held: as long as there is room they are accepted, and wait to
 * be published. Where ids are spilled, such a call would wait for the holder. */
static uint32_t enqueue_held(struct pb_mailbox *box, const struct pb_mailbox_config *config,
                             uint32_t accepted, uint32_t wanted, const char **broken) {
    uint32_t late = 0;
    while (late < wanted && accepted + late < config->capacity) {
        *broken = host_first(
            *broken, host_holds(pb_mailbox_enqueue(box, accepted + late + 1) == PB_OK, "R37-held"));
        late++;
    }
    if (late < wanted && config->full == PB_MAILBOX_REJECT) {
        *broken =
            host_first(*broken, host_holds(pb_mailbox_enqueue(box, 77) == PB_FULL, "R33-full"));
    }
    return late;
}

const char *host_held(const struct op *op) {
    enum { IDS = 40, LATE = 8, CLOSES = IDS * LATE };
    struct pb_memory *memory;
    struct pb_mailbox *box;
    if (grown_memory(&memory) != PB_OK) {
        return NULL;
    }
    const bool second = op->arg.host_held.offset % 2 != 0; /* in the page that goes */
    const bool rejects = op->arg.host_held.capacity % 8 >= 4;
    const struct pb_mailbox_config config = {
        .memory = memory,
        .offset = (uint32_t)((second ? PAGE : 0) + op->arg.host_held.offset % 1024 / 4 * 4),
        .capacity = UINT32_C(1) << op->arg.host_held.capacity % 4,
        .full = rejects ? PB_MAILBOX_REJECT : PB_MAILBOX_SPILL,
        .spill_max = (uint32_t)op->arg.host_held.spill % 16,
        .allocator = &host_allocator,
    };
    if (pb_mailbox_create(&config, &box) != PB_OK) {
        pb_memory_release(memory);
        return NULL;
    }
    uint32_t accepted = 0;
    const uint32_t ids = (uint32_t)op->arg.host_held.ids % IDS;
    while (accepted < ids && pb_mailbox_enqueue(box, accepted + 1) == PB_OK) {
        accepted++;
    }
    const uint32_t room = config.capacity + (rejects ? 0 : config.spill_max);
    const char *broken = host_holds(accepted == (ids < room ? ids : room), "R33-full");
    const uint32_t spilled = accepted > config.capacity ? accepted - config.capacity : 0;
    const enum word_held what = (enum word_held)op->arg.host_held.held;
    pb_mailbox_hold(box);
    uint32_t late =
        enqueue_held(box, &config, accepted, (uint32_t)op->arg.host_held.ids / IDS % LATE, &broken);
    const bool did = held_work(memory, what, &broken);
    const bool lost = did && what == WORD_held_reset && second;
    const enum pb_status got = pb_mailbox_unhold(box);
    broken = host_first(broken, host_holds(got == (lost ? PB_OUT_OF_BOUNDS : PB_OK), "R37-unhold"));
    const uint32_t in_ring = accepted + late - spilled;
    struct pb_mailbox_words *words = (void *)(host_base(memory) + config.offset);
    if (broken == NULL && lost) {
        broken = lost_box(box, spilled + late);
    } else if (broken == NULL && what != WORD_held_reset &&
               op->arg.host_held.ids / CLOSES % 2 != 0) {
        broken = closed_box(box, words, in_ring, spilled);
    } else if (broken == NULL && did && what != WORD_held_reset) {
        broken = kept_box(box, words, accepted + late);
        if (broken == NULL && what == WORD_held_shared) {
            broken = parked_guest(memory, box, config.offset, accepted % 2 != 0);
        }
    }
    pb_mailbox_close(box, NULL);
    pb_mailbox_release(box);
    pb_memory_release(memory);
    return broken;
}

/* ---- Many of them -----------------------------------------------------------------------------
 */

enum { CROWD_MAX = 96 };

struct crowd {
    struct pb_memory *memory[CROWD_MAX];
    struct pb_mailbox *box[CROWD_MAX];
    unsigned count;
};

/* Each has its id, and nobody else's; its own region is in use, as that of no other memory is. */
static const char *crowd_works(const struct crowd *crowd, struct pb_mailbox_config config) {
    const char *broken = NULL;
    for (unsigned i = 0; i < crowd->count && broken == NULL; i++) {
        struct pb_mailbox *made = HOST_MARK;
        config.memory = crowd->memory[i];
        if (crowd->box[i] == NULL) {
            continue;
        }
        const struct pb_mailbox_words *words =
            (const void *)(host_base(crowd->memory[i]) + config.offset);
        const uint32_t tail = atomic_load(&words->tail);
        broken = host_answered(pb_mailbox_create(&config, &made), S(IN_USE), "R44-region");
        broken = host_first(broken, host_told(PB_IN_USE, made, "R38-told"));
        broken = host_first(
            broken, host_answered(pb_mailbox_enqueue(crowd->box[i], i + 1), S(OK), "R30-lost"));
        broken = host_first(
            broken, host_holds(atomic_load(&words->tail) == tail + 1 &&
                                   atomic_load(&words->ring[tail % config.capacity]) == i + 1,
                               "R35-words"));
    }
    return broken;
}

/* As many memories as share all buckets of the register of mailboxes, each with a mailbox at the
 * same place; every `step`th goes, and comes again. */
const char *host_box_crowd(const struct op *op) {
    static struct crowd crowd;
    const unsigned step = 1 + (unsigned)op->arg.host_box_crowd.step % 7;
    const bool shared = op->arg.host_box_crowd.shared == WORD_yesno_yes;
    struct pb_mailbox_config config = {
        .offset = (uint32_t)op->arg.host_box_crowd.offset % 1024 / 4 * 4,
        .capacity = 4,
        .allocator = &host_allocator,
    };
    const char *broken = NULL;
    crowd.count = 0;
    while (crowd.count < op->arg.host_box_crowd.count % (CROWD_MAX + 1) && broken == NULL) {
        struct pb_mailbox **box = &crowd.box[crowd.count];
        if (host_plain_memory(1, shared, &config.memory) != PB_OK) {
            break;
        }
        crowd.memory[crowd.count++] = config.memory;
        *box = NULL;
        broken = host_answered(pb_mailbox_create(&config, box), S(OK), "R44-region");
    }
    broken = host_first(broken, crowd_works(&crowd, config));
    for (unsigned turn = 0; turn < 2; turn++) {
        for (unsigned i = 0; i < crowd.count && broken == NULL; i += step) {
            config.memory = crowd.memory[i];
            if (turn == 0) {
                pb_mailbox_release(crowd.box[i]);
                crowd.box[i] = NULL;
            } else {
                broken =
                    host_answered(pb_mailbox_create(&config, &crowd.box[i]), S(OK), "R44-region");
            }
        }
        broken = broken != NULL ? broken : crowd_works(&crowd, config);
    }
    while (crowd.count > 0) {
        crowd.count--;
        pb_mailbox_release(crowd.box[crowd.count]);
        pb_memory_release(crowd.memory[crowd.count]);
    }
    return broken;
}
