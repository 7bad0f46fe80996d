/* ck_ring.c: Concurrency Kit's ring as a mailbox.
 *
 *   make subjects && make fuzz TARGET=mailbox_fuzzer SUBJECT=build/subjects/ck_ring.so
 *
 * Uses the ring's mode for many producers and one consumer, on the heap. The ring has no flag, no
 * close, no spill and no region in guest memory, so only R30 to R33 and R35 are checked. */
#include "subject.h"

#include <ck_ring.h>
#include <stdlib.h>

enum { SLOTS = 256, SLOTS_MAX = 32768 };

struct mailbox {
    ck_ring_t ring;
    ck_ring_buffer_t slot[];
};

static enum subject_status attach(const struct subject_mailbox_config *config, void **made) {
    const uint32_t slots = config->capacity == 0 ? SLOTS : config->capacity;
    if (slots > SLOTS_MAX || (slots & (slots - 1)) != 0) {
        return SUBJECT_INVALID;
    }
    if (config->spill) {
        return SUBJECT_UNSUPPORTED;
    }
    struct mailbox *mailbox = calloc(1, sizeof *mailbox + slots * sizeof mailbox->slot[0]);
    if (mailbox == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    ck_ring_init(&mailbox->ring, slots);
    /* As after that many enqueues and dequeues: the cursors keep counting and wrap (R35). */
    mailbox->ring.c_head = mailbox->ring.p_head = mailbox->ring.p_tail = config->first_cursor;
    *made = mailbox;
    return SUBJECT_OK;
}

static enum subject_status enqueue(void *self, uint64_t id) {
    struct mailbox *mailbox = self;
    return ck_ring_enqueue_mpsc(&mailbox->ring, mailbox->slot, (void *)(uintptr_t)id)
               ? SUBJECT_OK
               : SUBJECT_FULL;
}

static uint32_t drain(void *self, void (*take)(void *context, uint32_t id), void *context) {
    struct mailbox *mailbox = self;
    uint32_t taken = 0;
    for (void *id; ck_ring_dequeue_mpsc(&mailbox->ring, mailbox->slot, &id); taken++) {
        take(context, (uint32_t)(uintptr_t)id);
    }
    return taken;
}

const struct subject *pagebox_subject(void) {
    static const struct subject_mailbox mailbox = {
        .promises = SUBJECT_TELLS_FULL,
        .capacity = SLOTS,
        .slots_unusable = 1, /* one slot stays empty, to tell full from empty */
        .attach = attach,
        .release = free,
        .enqueue = enqueue,
        .drain = drain,
    };
    static const struct subject subject = {
        .abi = SUBJECT_ABI,
        .name = "Concurrency Kit's ring",
        .mailbox = &mailbox,
    };
    return &subject;
}
