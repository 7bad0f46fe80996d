/* host_far.c: calls in memories that end where 31 and 32 bits do, and the seam to the kernel's
 * futex. */
#include "host_within.h"

#include "guest.h"
#include "mailbox.h"
#include "os_wrap.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>

/* ---- Addresses --------------------------------------------------------------------------------
 */

static enum pb_status far_memory(uint64_t pages, bool shared, struct pb_memory **memory) {
    const uint32_t most = (uint32_t)(pages <= PB_PAGES_MAX ? pages : PB_PAGES_MAX);
    return host_plain_memory(most == 0 ? PB_PAGES_MAX : most, shared, memory);
}

static unsigned width_of(const struct op *op) {
    static const unsigned widths[] = {1, 2, 4, 8, 8};
    return widths[op->arg.host_far.width];
}

/* The same address modulo 2^31 and 2^32 holds nothing: nothing went astray. */
static const char *only_there(const uint8_t *base, uint64_t at, uint64_t size) {
    const uint64_t astray[] = {at & INT32_MAX, at ^ UINT64_C(1) << 31, (uint16_t)at};
    bool right = base[at] != 0;
    for (unsigned i = 0; i < sizeof astray / sizeof astray[0]; i++) {
        right &= astray[i] == at || astray[i] >= size || base[astray[i]] == 0;
    }
    return host_holds(right, "R18-store");
}

/* Loads and stores, whose address is the sum of two numbers of 32 bits. */
static const char *far_access(const struct op *op, struct pb_memory *memory, uint64_t size) {
    const uint32_t index = (uint32_t)op->arg.host_far.at,
                   offset = (uint32_t)op->arg.host_far.offset;
    const enum word_far call = (enum word_far)op->arg.host_far.call;
    const unsigned width = width_of(op);
    const uint64_t at = (uint64_t)index + offset, value = UINT64_C(0x8182838485868788);
    const bool fits = host_in(at, width, size);
    const bool atomic = call != WORD_far_load && call != WORD_far_store;
    const unsigned set = atomic && at % width != 0 ? S(MISALIGNED)
                         : fits                    ? S(OK)
                                                   : S(OUT_OF_BOUNDS);
    uint64_t answer = 0;
    enum pb_status got = PB_SYSTEM;
    uint8_t *base = host_base(memory);
    const bool reads = call == WORD_far_load || call == WORD_far_atomic_load;
    if (reads && set == S(OK)) {
        memset(base + at, 0x11, width);
    }
    switch (call) {
    case WORD_far_load:
        got = pb_memory_load(memory, index, offset, width, &answer);
        break;
    case WORD_far_store:
        got = pb_memory_store(memory, index, offset, width, value);
        break;
    case WORD_far_atomic_load:
        got = pb_memory_atomic_load(memory, index, offset, width, &answer);
        break;
    case WORD_far_atomic_store:
        got = pb_memory_atomic_store(memory, index, offset, width, value);
        break;
    case WORD_far_rmw:
        got = pb_memory_atomic_rmw(memory, PB_RMW_ADD, index, offset, width, value, &answer);
        break;
    default:
        got = pb_memory_atomic_cmpxchg(memory, index, offset, width, 0, value, &answer);
        break;
    }
    const char *broken = host_answered(got, set, "R18-access");
    if (broken != NULL || set != S(OK)) {
        return broken;
    }
    if (reads) {
        return host_holds(answer == UINT64_C(0x1111111111111111) >> (64 - 8 * width), "R18-load");
    }
    return host_first(host_holds(memcmp(base + at, &value, width) == 0 && answer == 0, "R18-store"),
                      only_there(base, at, size));
}

/* Waits that find another value, notifies: of an address of 64 bits. */
static const char *far_word(const struct op *op, struct pb_memory *memory, uint64_t size,
                            bool shared) {
    const uint64_t at = op->arg.host_far.at;
    const enum word_far call = (enum word_far)op->arg.host_far.call;
    const unsigned width = call == WORD_far_notify || width_of(op) < 8 ? 4 : 8;
    unsigned set = at % width != 0             ? S(MISALIGNED)
                   : !host_in(at, width, size) ? S(OUT_OF_BOUNDS)
                                               : S(OK);
    if (set == S(OK) && call != WORD_far_notify && !shared) {
        set = S(NOT_SHARED);
    }
    struct pb_canceller *canceller = NULL;
    enum pb_wait result = (enum pb_wait)9;
    uint32_t woken = 9;
    enum pb_status got;
    if (set == S(OK)) {
        memset(host_base(memory) + at, 1, width);
    }
    if (call == WORD_far_notify) {
        got = pb_memory_notify(memory, at, 1, &woken);
        return host_first(host_answered(got, set, "R19-checks"),
                          host_holds(got != PB_OK || woken == 0, "R22-no-spurious"));
    }
    if (call == WORD_far_cancellable && pb_canceller_create(&host_allocator, &canceller) != PB_OK) {
        return NULL;
    }
    if (call == WORD_far_cancellable) {
        got = width == 4 ? pb_memory_cancellable_wait32(memory, at, 0, 0, canceller, &result)
                         : pb_memory_cancellable_wait64(memory, at, 0, 0, canceller, &result);
    } else {
        got = width == 4 ? pb_memory_wait32(memory, at, 0, 0, &result)
                         : pb_memory_wait64(memory, at, 0, 0, &result);
    }
    pb_canceller_release(canceller);
    return host_first(host_answered(got, set, "R19-checks"),
                      host_holds(got != PB_OK || result == PB_WAIT_NOT_EQUAL, "R20-value"));
}

static const char *far_pin(const struct op *op, struct pb_memory *memory, uint64_t size) {
    const uint64_t start = op->arg.host_far.at, count = op->arg.host_far.offset;
    struct pb_pin pin = {HOST_MARK, 9, NULL};
    const bool fits = host_in(start, count, size);
    const enum pb_status got = pb_memory_pin(memory, start, count, &pin);
    const char *broken = host_answered(got, fits ? S(OK) : S(OUT_OF_BOUNDS), "R42-pin");
    broken = host_first(broken, host_told(got, pin.bytes, "R42-told"));
    if (got == PB_OK) {
        broken = host_first(
            broken,
            host_holds(pin.bytes == host_base(memory) + start && pin.count == count, "R42-pin"));
        pb_pin_release(&pin);
        pb_pin_release(&pin);
    }
    return broken;
}

static const char *far_owner(const struct op *op, struct pb_memory *memory, uint64_t size) {
    const uint64_t at = op->arg.host_far.at;
    const uint8_t *base = host_base(memory), *reserved;
    uint64_t reserved_bytes;
    struct pb_address_owner owner = {1, 2, HOST_MARK};
    if (!os_wrap_reservation(base, &reserved, &reserved_bytes) || at >= reserved_bytes) {
        return NULL;
    }
    const enum pb_fault got = pb_memory_fault_at(base + at, &owner);
    return host_holds(got == (at < size ? PB_FAULT_INSIDE : PB_FAULT_TRAP) &&
                          owner.offset_bytes == at && owner.length_bytes == size &&
                          owner.definition == pb_memory_definition(memory),
                      "R39-fault");
}

static const char *far_segments(const struct op *op, struct pb_memory *memory, uint64_t size) {
    const uint64_t start = op->arg.host_far.at;
    const unsigned width = width_of(op);
    const uint64_t bytes = UINT64_C(0x8182838485868788);
    const struct pb_active_segment segments[] = {{8, {&bytes, 1}}, {start, {&bytes, width}}};
    const bool fits = host_in(start, width, size);
    size_t applied = 9;
    const enum pb_status got = pb_memory_initialise_segments(memory, segments, 2, &applied);
    const char *broken = host_answered(got, fits ? S(OK) : S(OUT_OF_BOUNDS), "R17-segments");
    broken = host_first(broken, host_holds(applied == (fits ? 2 : 1), "R17-segments"));
    return broken != NULL || !fits
               ? broken
               : host_holds(memcmp(host_base(memory) + start, &bytes, width) == 0, "R17-segments");
}

const char *host_far(const struct op *op) {
    const bool shared = op->arg.host_far.shared == WORD_yesno_yes;
    struct pb_memory *memory;
    if (far_memory(op->arg.host_far.pages, shared, &memory) != PB_OK) {
        return NULL;
    }
    const uint64_t size = pb_memory_size_bytes(memory);
    const char *broken;
    switch ((enum word_far)op->arg.host_far.call) {
    case WORD_far_wait:
    case WORD_far_cancellable:
    case WORD_far_notify:
        broken = far_word(op, memory, size, shared);
        break;
    case WORD_far_pin:
        broken = far_pin(op, memory, size);
        break;
    case WORD_far_owner:
        broken = far_owner(op, memory, size);
        break;
    case WORD_far_segments:
        broken = far_segments(op, memory, size);
        break;
    default:
        broken = far_access(op, memory, size);
        break;
    }
    pb_memory_release(memory);
    return broken;
}

/* ---- Mailboxes --------------------------------------------------------------------------------
 */

enum { BOXES = 5, FAR_BOXES = 3, WORD_BYTES = 4 };

struct far_box {
    struct pb_mailbox *box; /* NULL: not there */
    uint64_t offset, bytes;
};

static bool overlaps(const struct far_box *a, const struct far_box *b) {
    return a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

static void forget(void *context, uint32_t id) {
    (void)context;
    (void)id;
}

/* Its words hold an id that was enqueued, which its guest takes. */
static const char *far_box_works(struct pb_memory *memory, const struct far_box *b, uint64_t id) {
    struct pb_mailbox_words *words = (void *)(host_base(memory) + b->offset);
    const uint32_t before = atomic_load(&words->tail), capacity = atomic_load(&words->capacity);
    const char *broken = host_answered(pb_mailbox_enqueue(b->box, id), S(OK), "R30-lost");
    broken = host_first(broken, host_holds(atomic_load(&words->tail) == before + 1 &&
                                               atomic_load(&words->ring[before % capacity]) == id &&
                                               atomic_load(&words->flag) == PB_MAILBOX_SIGNALLED,
                                           "R35-words"));
    return host_first(broken, host_holds(pb_guest_drain(words, forget, NULL) == 1, "R30-lost"));
}

/* Creates the nth of them; one that overlaps another that has an owner is refused. */
static const char *far_box_create(struct pb_memory *memory, struct far_box *boxes, unsigned nth,
                                  uint32_t capacity) {
    struct far_box *b = &boxes[nth];
    const uint64_t size = pb_memory_size_bytes(memory);
    unsigned set = S(OK);
    for (unsigned i = 0; i < BOXES; i++) {
        set = boxes[i].box != NULL && overlaps(b, &boxes[i]) ? S(IN_USE) : set;
    }
    set = host_in(b->offset, b->bytes, size) ? set : S(OUT_OF_BOUNDS);
    const struct pb_mailbox_config config = {
        .memory = memory,
        .offset = (uint32_t)b->offset,
        .capacity = capacity,
        .allocator = &host_allocator,
    };
    struct pb_mailbox *made = HOST_MARK;
    const enum pb_status got = pb_mailbox_create(&config, &made);
    const char *broken =
        host_answered(got, set, got == PB_OK || set == S(IN_USE) ? "R44-region" : "R38-attach");
    broken = host_first(broken, host_told(got, made, "R38-told"));
    b->box = got == PB_OK ? made : NULL;
    return broken;
}

/* Growth through each of them, which holds all: by nothing, and to one page past the maximum. */
static const char *far_boxes_grow(struct pb_memory *memory, const struct far_box *boxes) {
    const char *broken = NULL;
    const uint32_t pages = pb_memory_size_pages(memory);
    const uint32_t past = pb_memory_type(memory).max_pages - pages + 1;
    for (unsigned i = 0; i < BOXES; i++) {
        uint32_t old = 9;
        if (boxes[i].box != NULL) {
            broken = host_first(
                broken, host_holds(pb_mailbox_grow(boxes[i].box, 0, &old) == PB_OK && old == pages,
                                   "R37-grow"));
            broken =
                host_first(broken, host_holds(pb_mailbox_grow(boxes[i].box, past, &old) == PB_LIMIT,
                                              "R37-grow"));
        }
    }
    return broken;
}

/* The memory grows through one of them, likely to another place: all of them go on there. */
static const char *moved_boxes(struct pb_memory *memory, const struct far_box *boxes) {
    const char *broken = NULL;
    for (unsigned n = 0; n < BOXES && broken == NULL; n++) {
        const uint32_t pages = pb_memory_size_pages(memory);
        uint32_t old = 9;
        if (boxes[n].box == NULL || pages == pb_memory_type(memory).max_pages) {
            continue;
        }
        broken = host_answered(pb_mailbox_grow(boxes[n].box, 1, &old), S(OK), "R37-grow");
        broken = host_first(broken, host_holds(old == pages, "R37-grow"));
        for (unsigned i = 0; i < BOXES; i++) {
            if (boxes[i].box != NULL && broken == NULL) {
                broken = far_box_works(memory, &boxes[i], 10 + n);
            }
        }
    }
    return broken;
}

/* One that moves where it grows, or a large one that cannot grow. */
static enum pb_status memory_of_boxes(uint64_t pages, bool shared, uint64_t strategy,
                                      struct pb_memory **memory) {
    static const enum pb_strategy moving[] = {PB_STRATEGY_REMAP, PB_STRATEGY_MOVE,
                                              PB_STRATEGY_HEAP};
    enum { MOVING = sizeof moving / sizeof moving[0], FEW_PAGES = 3, ROOM_PAGES = 8 };
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    const struct pb_memory_config config = {
        .type = {(uint32_t)pages, (uint32_t)pages + ROOM_PAGES, false},
        .style = &style,
        .strategy = moving[strategy % MOVING],
        .allocator = &host_allocator,
    };
    return pages == 0 || pages > FEW_PAGES ? far_memory(pages, shared, memory)
                                           : pb_memory_create(&config, memory);
}

const char *host_far_boxes(const struct op *op) {
    const uint32_t asked = (uint32_t)op->arg.host_far_boxes.capacity;
    uint32_t capacity = asked == 0 ? PB_MAILBOX_CAPACITY : 1;
    while (capacity < asked && capacity < PB_MAILBOX_CAPACITY) {
        capacity *= 2;
    }
    struct pb_memory *memory;
    if (memory_of_boxes(op->arg.host_far_boxes.pages,
                        op->arg.host_far_boxes.shared == WORD_yesno_yes,
                        op->arg.host_far_boxes.skip2, &memory) != PB_OK) {
        return NULL;
    }
    const uint64_t bytes = PB_MAILBOX_BYTES((uint64_t)capacity);
    const unsigned count =
        pb_memory_size_pages(memory) == pb_memory_type(memory).max_pages ? FAR_BOXES : BOXES;
    struct far_box boxes[BOXES];
    uint64_t at = pb_memory_size_bytes(memory) - bytes;
    const char *broken = NULL;
    for (unsigned i = 0; i < BOXES; i++) {
        const uint64_t skip = i == 0       ? op->arg.host_far_boxes.offset
                              : i % 2 == 1 ? op->arg.host_far_boxes.skip1 % 1024 * WORD_BYTES
                                           : op->arg.host_far_boxes.skip2 % 1024 * WORD_BYTES;
        at = skip <= at ? (at - skip) / WORD_BYTES * WORD_BYTES : 0;
        boxes[i] = (struct far_box){NULL, at, bytes};
    }
    for (unsigned i = 0; i < count && broken == NULL; i++) {
        broken = far_box_create(memory, boxes, i, capacity);
        if (broken == NULL && boxes[i].box != NULL) {
            broken = far_box_works(memory, &boxes[i], i + 1);
        }
    }
    broken = host_first(broken, far_boxes_grow(memory, boxes));
    broken = broken != NULL ? broken : moved_boxes(memory, boxes);
    /* its place is free once it goes */
    if (broken == NULL && boxes[0].box != NULL) {
        pb_mailbox_release(boxes[0].box);
        boxes[0].box = NULL;
        broken = far_box_create(memory, boxes, 0, capacity);
    }
    for (unsigned i = 0; i < BOXES; i++) {
        pb_mailbox_release(boxes[i].box);
    }
    pb_memory_release(memory);
    return broken;
}
