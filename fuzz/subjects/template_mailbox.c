/* template_mailbox.c: a small mailbox as a subject: a ring whose empty slots are 0, many producers,
 * one consumer. Build it like template.c, and run it with TARGET=mailbox_fuzzer.
 *
 * Limits: 16 slots; no flag, so the guest must poll; no close and no spill. */
#include "subject.h"

#include <stdlib.h>

enum { SLOTS = 16 };

struct mailbox {
    atomic_flag busy;            /* one producer at a time */
    _Atomic uint32_t head, tail; /* head: of the consumer; tail: of the producers */
    uint32_t slot[SLOTS];
};

static enum subject_status attach(const struct subject_mailbox_config *config, void **made) {
    const uint32_t capacity = config->capacity;
    if ((capacity & (capacity - 1)) != 0 || capacity > 32768) {
        return SUBJECT_INVALID;
    }
    if (config->spill || (capacity != 0 && capacity != SLOTS)) {
        return SUBJECT_UNSUPPORTED;
    }
    struct mailbox *mailbox = calloc(1, sizeof *mailbox);
    if (mailbox == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    atomic_init(&mailbox->head, config->first_cursor);
    atomic_init(&mailbox->tail, config->first_cursor);
    *made = mailbox;
    return SUBJECT_OK;
}

static enum subject_status enqueue(void *self, uint64_t id) {
    struct mailbox *m = self;
    while (atomic_flag_test_and_set_explicit(&m->busy, memory_order_acquire)) {
    }
    const uint32_t tail = atomic_load_explicit(&m->tail, memory_order_relaxed);
    /* pairs with drain's release: the slot has been read */
    const bool full = tail - atomic_load_explicit(&m->head, memory_order_acquire) >= SLOTS;
    if (!full) {
        m->slot[tail % SLOTS] = (uint32_t)id;
        /* pairs with drain's acquire: the slot is written */
        atomic_store_explicit(&m->tail, tail + 1, memory_order_release);
    }
    atomic_flag_clear_explicit(&m->busy, memory_order_release);
    return full ? SUBJECT_FULL : SUBJECT_OK;
}

static uint32_t drain(void *self, void (*take)(void *context, uint32_t id), void *context) {
    struct mailbox *m = self;
    const uint32_t first = atomic_load_explicit(&m->head, memory_order_relaxed);
    const uint32_t tail = atomic_load_explicit(&m->tail, memory_order_acquire);
    for (uint32_t head = first; head != tail; head++) {
        const uint32_t id = m->slot[head % SLOTS];
        atomic_store_explicit(&m->head, head + 1, memory_order_release);
        take(context, id);
    }
    return tail - first;
}

const struct subject *pagebox_subject(void) {
    static const struct subject_mailbox mailbox = {
        .promises = SUBJECT_TELLS_FULL,
        .capacity = SLOTS,
        .attach = attach,
        .release = free,
        .enqueue = enqueue,
        .drain = drain,
    };
    static const struct subject mine = {
        .abi = SUBJECT_ABI, .name = "template_mailbox", .mailbox = &mailbox};
    return &mine;
}
