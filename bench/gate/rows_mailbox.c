/* rows_mailbox.c: the gate's rows on the mailbox, by one thread: enqueue, drain, both, spill,
 * attach, wakers. */
#include "gate.h"

enum { IDS = 1024, DRAINED = 8192, ONES = 512, ATTACHES = 64, SPILLED = 256, SPILLS = 8 };

static struct pb_memory *memory;
static struct pb_mailbox *mailbox;
static struct pb_mailbox_words *words;

static void attach(uint32_t capacity, uint32_t spill_max) {
    struct pb_mailbox_config config = {.memory = memory,
                                       .capacity = capacity,
                                       .full = spill_max ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
                                       .spill_max = spill_max};
    gate_need(pb_mailbox_create(&config, &mailbox) == PB_OK, "a mailbox was refused");
}

static void open_mailbox(uint32_t capacity, uint32_t spill_max, bool shared) {
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 2, shared);
    struct pb_memory_definition *definition = pb_memory_definition(memory);
    words = (void *)atomic_load_explicit(&definition->base, memory_order_relaxed);
    attach(capacity, spill_max);
}

static void close_mailbox(void) {
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* Not a sum: that would be a dependency chain through memory, whose time depends on where the stack
 * is. */
static void take(void *context, uint32_t id) {
    *(volatile uint32_t *)context = id;
}

static void drain_all(uint32_t wanted) {
    uint32_t last = 0;
    gate_need(pb_guest_drain(words, take, &last) == wanted, "a drain did not take every id");
}

static void enqueue(void) {
    enum pb_status status = PB_OK;
    for (uint32_t id = 1; id <= IDS; id++) {
        status |= pb_mailbox_enqueue(mailbox, id);
    }
    gate_need(status == PB_OK, "an id was refused");
}

static void enqueue_open(const struct gate_row *row) {
    (void)row;
    open_mailbox(IDS, 0, true);
}

static void enqueue_close(void) {
    drain_all(IDS);
    close_mailbox();
}

static void drain_open(const struct gate_row *row) {
    (void)row;
    open_mailbox(DRAINED, 0, true);
    for (uint32_t id = 1; id <= DRAINED; id++) {
        gate_need(pb_mailbox_enqueue(mailbox, id) == PB_OK, "an id was refused");
    }
}

static void drain(void) {
    drain_all(DRAINED);
}

/* One in, one out: the signal is set and cleared each time. */
static void both(void) {
    for (uint32_t id = 1; id <= ONES; id++) {
        gate_need(pb_mailbox_enqueue(mailbox, id) == PB_OK, "an id was refused");
        drain_all(1);
    }
}

static void both_owned_open(const struct gate_row *row) {
    (void)row;
    open_mailbox(IDS, 0, false);
}

static void spill_open(const struct gate_row *row) {
    (void)row;
    open_mailbox(SPILLED, SPILLED, true);
}

/* Fills the ring and spills as many again, then drains both. */
static void spill(void) {
    for (int round = 0; round < SPILLS; round++) {
        uint32_t left = 1;
        for (uint32_t id = 1; id <= 2 * SPILLED; id++) {
            gate_need(pb_mailbox_enqueue(mailbox, id) == PB_OK, "an id was refused");
        }
        gate_need(pb_mailbox_enqueue(mailbox, 1) == PB_FULL, "a full mailbox took an id");
        drain_all(SPILLED);
        gate_need(pb_mailbox_flush(mailbox, &left) == PB_OK && left == 0, "ids were left");
        drain_all(SPILLED);
    }
}

static void attach_open(const struct gate_row *row) {
    (void)row;
    memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 2, true);
    gate_touch(memory, 2 * PB_PAGE_BYTES);
}

static void attach_all(void) {
    for (int i = 0; i < ATTACHES; i++) {
        attach(0, 0);
        pb_mailbox_close(mailbox, NULL);
        pb_mailbox_release(mailbox);
    }
}

static void attach_close(void) {
    pb_memory_release(memory);
}

static void wakers(void) {
    for (uint32_t id = 1; id <= ONES; id++) {
        struct pb_waker *waker = NULL;
        gate_need(pb_waker_create(mailbox, id, &waker) == PB_OK, "a waker was refused");
        struct pb_waker *clone = pb_waker_retain(waker);
        gate_need(pb_waker_wake(waker) == PB_OK, "a wake was refused");
        pb_waker_release(waker);
        pb_waker_release(clone);
        drain_all(1);
    }
}

const struct gate_row gate_rows_mailbox[] = {
    {"mailbox/enqueue", IDS, 0, 1, GATE_ALONE, 0, enqueue_open, enqueue, enqueue_close},
    {"mailbox/drain", DRAINED, 0, 1, GATE_ALONE, 0, drain_open, drain, close_mailbox},
    {"mailbox/both", ONES, 0, 1, GATE_ALONE, 0, enqueue_open, both, close_mailbox},
    {"mailbox/both_owned", ONES, 0, 1, GATE_ALONE, 0, both_owned_open, both, close_mailbox},
    {"mailbox/spill", SPILLS *SPILLED * 2, 0, 1, GATE_ALONE, 0, spill_open, spill, close_mailbox},
    {"mailbox/attach", ATTACHES, 0, 1, GATE_ALONE, 0, attach_open, attach_all, attach_close},
    {"mailbox/waker", ONES, 0, 1, GATE_ALONE, 0, enqueue_open, wakers, close_mailbox},
    {0},
};
