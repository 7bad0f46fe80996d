/* mailbox.c: tests of R30 to R38 in one thread, or with threads that are seen to be blocked. */
#include "mailbox.h"

#include "fixture.h"
#include "guest.h"
#include "seam.h"
#include "test.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { OFFSET = 256, CAPACITY = 4, LIST_MAX = 70000 };

/* What a drain gave. */
struct list {
    uint32_t count, ids[LIST_MAX];
};
static struct list got;

static void take(void *context, uint32_t id) {
    struct list *list = context;
    CHECK(list->count < LIST_MAX);
    list->ids[list->count++] = id;
}

static struct pb_mailbox *attach(struct pb_memory *memory, uint32_t capacity, uint32_t first,
                                 uint32_t spill_max) {
    struct pb_mailbox_config config = {.memory = memory,
                                       .offset = OFFSET,
                                       .capacity = capacity,
                                       .first_cursor = first,
                                       .full = spill_max ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
                                       .spill_max = spill_max};
    struct pb_mailbox *mailbox = NULL;
    CHECK_STATUS(pb_mailbox_create(&config, &mailbox), PB_OK);
    return mailbox;
}

static struct pb_mailbox_words *words_of(struct pb_memory *memory) {
    return (struct pb_mailbox_words *)(void *)(base_of(memory) + OFFSET);
}

static uint32_t word(struct pb_memory *memory, uint32_t offset) {
    uint64_t value = 0;
    CHECK_STATUS(pb_memory_atomic_load(memory, OFFSET, offset, 4, &value), PB_OK);
    return (uint32_t)value;
}

static void scribble(struct pb_memory *memory, uint32_t offset, uint32_t value) {
    CHECK_STATUS(pb_memory_atomic_store(memory, OFFSET, offset, 4, value), PB_OK);
}

/* Drains, and checks that exactly the ids first, first + 1, ... came. */
static void check_drained(struct pb_memory *memory, uint32_t first, uint32_t count) {
    got.count = 0;
    CHECK_EQ(pb_guest_drain(words_of(memory), take, &got), count);
    CHECK_EQ(got.count, count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(got.ids[i], first + i);
    }
}

static void enqueue_all(struct pb_mailbox *mailbox, uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        CHECK_STATUS(pb_mailbox_enqueue(mailbox, first + i), PB_OK);
    }
}

/* ---- A guest's host functions --------------------------------------------------------------- */

struct host {
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    unsigned waits, flushes;
};

static int host_wait(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    struct host *host = context;
    uint64_t address = (uint64_t)((uint8_t *)flag - base_of(host->memory));
    enum pb_wait result;
    host->waits++;
    CHECK_EQ(address, OFFSET + PB_MAILBOX_FLAG_OFFSET);
    enum pb_status status = pb_memory_wait32(host->memory, address, expected, timeout_ns, &result);
    return status == PB_OK ? (int)result : 0;
}

static void host_flush(void *context) {
    struct host *host = context;
    host->flushes++;
    (void)pb_mailbox_flush(host->mailbox, NULL);
}

static enum pb_park park(struct host *host, int64_t timeout_ns) {
    const struct pb_guest_host table = {host_wait, host_flush, host};
    return pb_guest_park(words_of(host->memory), &table, timeout_ns);
}

/* A memory with a mailbox, and the guest's table for it. */
static struct host host_start(struct pb_memory *memory, uint32_t spill_max) {
    return (struct host){.memory = memory, .mailbox = attach(memory, CAPACITY, 0, spill_max)};
}

static void host_end(struct host *host) {
    pb_mailbox_release(host->mailbox);
    pb_memory_release(host->memory);
}

/* ---- Layout --------------------------------------------------------------------------------- */

TEST(R31_layout_is_the_published_one) {
    CHECK_EQ(PB_MAILBOX_BYTES(PB_MAILBOX_CAPACITY), 1040);
    CHECK_EQ(offsetof(struct pb_mailbox_words, capacity), 0);
    CHECK_EQ(offsetof(struct pb_mailbox_words, flag), 4);
    CHECK_EQ(offsetof(struct pb_mailbox_words, head), 8);
    CHECK_EQ(offsetof(struct pb_mailbox_words, tail), 12);
    CHECK_EQ(offsetof(struct pb_mailbox_words, ring), 16);
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, 0, 0, 0);
    CHECK_EQ(word(memory, PB_MAILBOX_CAPACITY_OFFSET), 256);
    enqueue_all(mailbox, 7, 1);
    CHECK_EQ(word(memory, 4), PB_MAILBOX_SIGNALLED);
    CHECK_EQ(word(memory, 8), 0);
    CHECK_EQ(word(memory, 12), 1);
    CHECK_EQ(word(memory, 16), 7);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* ---- R30 to R33 ----------------------------------------------------------------------------- */

TEST(R30_exactly_once_in_order) {
    for (struct each e = each_kind(1, 2, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
        uint32_t next = 1;
        check_drained(memory, 1, 0);
        for (uint32_t round = 0; round < 50; round++) {
            uint32_t count = round % (CAPACITY + 1);
            enqueue_all(mailbox, next, count);
            CHECK_EQ(pb_mailbox_is_signalled(mailbox), count > 0);
            check_drained(memory, next, count);
            check_drained(memory, next, 0);
            CHECK(!pb_mailbox_is_signalled(mailbox));
            next += count;
        }
        pb_mailbox_release(mailbox);
        pb_memory_release(memory);
    }
}

TEST(R30_S28_an_id_that_is_no_id_is_refused_before_any_write) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 8);
    struct pb_waker *waker = NULL;
    static const uint64_t bad[] = {0, UINT64_C(1) << 32, UINT64_MAX, (UINT64_C(7) << 32) + 1};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct snapshot before = snapshot_take(memory);
        CHECK_STATUS(pb_mailbox_enqueue(mailbox, bad[i]), PB_INVALID);
        CHECK_STATUS(pb_waker_create(mailbox, bad[i], &waker), PB_INVALID);
        CHECK(waker == NULL);
        snapshot_check(memory, &before);
    }
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, UINT32_MAX), PB_OK);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 1), PB_OK);
    got.count = 0;
    CHECK_EQ(pb_guest_drain(words_of(memory), take, &got), 2);
    CHECK_EQ(got.ids[0], UINT32_MAX);
    CHECK_EQ(got.ids[1], 1);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* What the slot and the tail must hold by the time the host wakes the guest. */
static struct pb_memory *looked_at;
static _Atomic uint32_t tail_wanted;
static _Atomic unsigned looks;

static void check_published(_Atomic uint32_t *at) {
    (void)at;
    uint32_t tail = word(looked_at, PB_MAILBOX_TAIL_OFFSET);
    CHECK_EQ(tail, tail_wanted);
    CHECK_EQ(word(looked_at, PB_MAILBOX_RING_OFFSET + 4 * ((tail - 1) % CAPACITY)), 100 + tail);
    looks++;
}

static void *park_and_drain(void *context) {
    struct host *host = context;
    uint32_t seen = 0;
    while (seen < 6) {
        (void)park(host, -1);
        uint32_t count = pb_guest_drain(words_of(host->memory), take, &got);
        seen += count;
    }
    return NULL;
}

/* libevpl 165: the wake came before the publish. */
TEST(R31_publish_is_complete_before_the_wake) {
    struct host host = host_start(shared_memory(1, 1), 0);
    struct host guest = {.memory = clone_of(host.memory), .mailbox = host.mailbox};
    got.count = 0;
    looked_at = host.memory;
    pthread_t thread = test_thread(park_and_drain, &guest);
    for (uint32_t i = 1; i <= 6; i++) {
        while (pb_memory_waiters(host.memory) == 0) {
            test_pause();
        }
        tail_wanted = i;
        seam_wake(check_published);
        CHECK_STATUS(pb_mailbox_enqueue(host.mailbox, 100 + i), PB_OK);
        seam_wake(NULL);
    }
    test_join(thread);
    CHECK(looks > 0);
    for (uint32_t i = 0; i < 6; i++) {
        CHECK_EQ(got.ids[i], 101 + i);
    }
    pb_memory_release(guest.memory);
    host_end(&host);
}

TEST(R32_order_is_kept_across_spill_and_ring) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 100);
    uint32_t sent = 1, seen = 1;
    uint64_t state = 5;
    while (seen < 2000) {
        uint32_t count = test_random(&state) % 12, left;
        for (uint32_t i = 0; i < count && sent - seen < CAPACITY + 100; i++) {
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, sent++), PB_OK);
        }
        if (test_random(&state) % 2) {
            CHECK_STATUS(pb_mailbox_flush(mailbox, &left), PB_OK);
            CHECK(left <= 100);
        }
        got.count = 0;
        (void)pb_guest_drain(words_of(memory), take, &got);
        for (uint32_t i = 0; i < got.count; i++) {
            CHECK_EQ(got.ids[i], seen++);
        }
        CHECK(seen <= sent);
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R33_S22_a_full_ring_rejects_and_overwrites_nothing) {
    static const uint32_t capacities[] = {1, 2, 4, 256};
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        uint32_t capacity = capacities[i];
        struct pb_memory *memory = owned_memory(1, 1);
        struct pb_mailbox *mailbox = attach(memory, capacity, 0, 0);
        for (uint32_t round = 0; round < 3; round++) {
            enqueue_all(mailbox, 1, capacity);
            struct snapshot before = snapshot_take(memory);
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, 999), PB_FULL);
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, 999), PB_FULL);
            snapshot_check(memory, &before);
            CHECK_EQ(word(memory, 12) - word(memory, 8), capacity);
            check_drained(memory, 1, capacity);
        }
        pb_mailbox_release(mailbox);
        pb_memory_release(memory);
    }
}

TEST(R33_spill_keeps_what_does_not_fit_up_to_its_bound) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 5);
    uint32_t left = 99;
    for (unsigned round = 0; round < 3; round++) {
        enqueue_all(mailbox, 1, CAPACITY + 5);
        CHECK_STATUS(pb_mailbox_enqueue(mailbox, 999), PB_FULL);
        CHECK_EQ(word(memory, 12) - word(memory, 8), CAPACITY);
        CHECK(word(memory, 4) & PB_MAILBOX_SPILLED);
        CHECK_STATUS(pb_mailbox_flush(mailbox, &left), PB_OK);
        CHECK_EQ(left, 5);
        check_drained(memory, 1, CAPACITY);
        CHECK_STATUS(pb_mailbox_flush(mailbox, &left), PB_OK);
        CHECK_EQ(left, 1);
        CHECK(pb_mailbox_is_signalled(mailbox));
        check_drained(memory, 1 + CAPACITY, CAPACITY);
        CHECK_STATUS(pb_mailbox_flush(mailbox, NULL), PB_OK);
        CHECK(!(word(memory, 4) & PB_MAILBOX_SPILLED));
        check_drained(memory, 1 + 2 * CAPACITY, 1);
        CHECK_STATUS(pb_mailbox_flush(mailbox, &left), PB_OK);
        CHECK_EQ(left, 0);
        CHECK(!pb_mailbox_is_signalled(mailbox));
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R33_spill_without_memory_is_an_error_value) {
    struct pb_memory *memory = owned_memory(1, 1);
    bool failed = true;
    for (unsigned nth = 1; failed; nth++) {
        CHECK(nth < 50);
        unsigned alive = seam_allocator_alive();
        struct pb_mailbox_config config = {.memory = memory,
                                           .offset = OFFSET,
                                           .capacity = 1,
                                           .full = PB_MAILBOX_SPILL,
                                           .spill_max = 3,
                                           .allocator = &seam_allocator};
        struct pb_mailbox *mailbox = NULL;
        struct pb_waker *waker = NULL;
        seam_allocator_fail(nth);
        enum pb_status status = pb_mailbox_create(&config, &mailbox);
        CHECK_EQ(mailbox != NULL, status == PB_OK);
        uint32_t sent = 0;
        for (uint32_t i = 0; i < 4 && mailbox; i++) {
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, ++sent), PB_OK);
        }
        if (mailbox) {
            status = pb_waker_create(mailbox, 9, &waker);
            CHECK_EQ(waker != NULL, status == PB_OK);
        }
        failed = seam_allocator_failed() > 0;
        seam_allocator_fail(0);
        uint32_t seen = 0;
        for (unsigned round = 0; round < 5 && mailbox; round++) {
            got.count = 0;
            (void)pb_guest_drain(words_of(memory), take, &got);
            for (uint32_t i = 0; i < got.count; i++) {
                CHECK_EQ(got.ids[i], ++seen);
            }
            CHECK_STATUS(pb_mailbox_flush(mailbox, NULL), PB_OK);
        }
        CHECK_EQ(seen, sent);
        pb_waker_release(waker);
        pb_mailbox_release(mailbox);
        CHECK_EQ(seam_allocator_alive(), alive);
    }
    pb_memory_release(memory);
}

/* ---- R34 no lost wake-up -------------------------------------------------------------------- */

static struct pb_mailbox *refill;
static uint32_t refill_next;

static void take_and_enqueue(void *context, uint32_t id) {
    take(context, id);
    if (refill_next < 4) {
        CHECK_STATUS(pb_mailbox_enqueue(refill, 100 + refill_next++), PB_OK);
    }
}

/* An id that comes while the guest drains: the guest must not park over it. */
TEST(R34_S21_an_enqueue_during_the_drain_is_not_stranded) {
    struct host host = host_start(shared_memory(1, 1), 0);
    refill = host.mailbox;
    got.count = 0;
    CHECK_STATUS(pb_mailbox_enqueue(host.mailbox, 99), PB_OK);
    for (unsigned drains = 0; got.count < 5; drains++) {
        CHECK_EQ(park(&host, -1), PB_PARK_READY); /* would block for ever over a lost signal */
        CHECK_EQ(host.waits, 0);
        (void)pb_guest_drain(words_of(host.memory), take_and_enqueue, &got);
        CHECK(drains < 10);
    }
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ(got.ids[i], 99 + i);
    }
    host_end(&host);
}

TEST(R34_park_returns_at_once_when_signalled_and_blocks_when_not) {
    struct host host = host_start(shared_memory(1, 1), 0);
    CHECK_EQ(park(&host, 0), PB_PARK_TIMED_OUT);
    CHECK_EQ(host.waits, 1);
    enqueue_all(host.mailbox, 1, 2);
    CHECK_EQ(park(&host, -1), PB_PARK_READY);
    CHECK_EQ(host.waits, 1);
    check_drained(host.memory, 1, 2);
    CHECK_EQ(park(&host, 0), PB_PARK_TIMED_OUT);
    CHECK_EQ(host.waits, 2);
    host_end(&host);
}

static enum pb_status enqueue_while_blocking(_Atomic uint32_t *at, uint32_t expected,
                                             uint64_t deadline_ns) {
    (void)deadline_ns;
    seam_wait(NULL);
    CHECK_STATUS(pb_mailbox_enqueue(refill, 5), PB_OK);
    CHECK(atomic_load(at) != expected); /* else the system would block now, for ever */
    return PB_OK;
}

static void check_enqueues_wake(struct host *host) {
    refill = host->mailbox;
    for (unsigned i = 0; i < 5; i++) {
        seam_wait(enqueue_while_blocking);
        CHECK_EQ(park(host, -1), PB_PARK_READY);
        CHECK_EQ(pb_memory_waiters(host->memory), 0); /* notified, not left in the queue */
        check_drained(host->memory, 5, 1);
    }
}

TEST(R34_an_enqueue_wakes_the_parked_guest) {
    struct host host = host_start(shared_memory(1, 1), 0);
    check_enqueues_wake(&host);
    host_end(&host);
}

/* The memory was unshared when the mailbox was attached. */
TEST(R34_an_enqueue_wakes_the_parked_guest_of_a_converted_memory) {
    struct host host = host_start(owned_memory(1, 1), 0);
    enqueue_all(host.mailbox, 1, 2);
    pb_mailbox_hold(host.mailbox);
    CHECK_STATUS(pb_memory_to_shared(host.memory), PB_OK);
    CHECK_STATUS(pb_mailbox_unhold(host.mailbox), PB_OK);
    check_drained(host.memory, 1, 2);
    check_enqueues_wake(&host);
    host_end(&host);
}

TEST(R34_a_guest_asks_for_what_was_spilled_before_it_parks) {
    struct host host = host_start(shared_memory(1, 1), 10);
    enqueue_all(host.mailbox, 1, CAPACITY + 6);
    uint32_t seen = 1;
    for (unsigned round = 0; seen <= CAPACITY + 6; round++) {
        CHECK_EQ(park(&host, -1), PB_PARK_READY); /* would block for ever over spilled ids */
        got.count = 0;
        (void)pb_guest_drain(words_of(host.memory), take, &got);
        for (uint32_t i = 0; i < got.count; i++) {
            CHECK_EQ(got.ids[i], seen++);
        }
        CHECK(round < 10);
    }
    CHECK(host.flushes > 0);
    CHECK_EQ(host.waits, 0);
    CHECK_EQ(park(&host, 0), PB_PARK_TIMED_OUT);
    host_end(&host);
}

TEST(R34_wait_for_signal_of_a_guest_that_returns_to_its_host) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 4);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, 0), PB_TIMED_OUT);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, 1000), PB_TIMED_OUT);
    enqueue_all(mailbox, 1, CAPACITY + 2);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, -1), PB_OK);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, -1), PB_OK); /* until it drains */
    check_drained(memory, 1, CAPACITY);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, -1), PB_OK); /* the spilled ones */
    check_drained(memory, 1 + CAPACITY, 2);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, 0), PB_TIMED_OUT);
    pb_mailbox_close(mailbox, NULL);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, -1), PB_CLOSED);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R34_wait_for_signal_is_woken_by_an_enqueue_of_the_last_moment) {
    struct pb_memory *memory = owned_memory(1, 1);
    refill = attach(memory, CAPACITY, 0, 0);
    for (unsigned i = 0; i < 5; i++) {
        seam_wait(enqueue_while_blocking);
        CHECK_STATUS(pb_mailbox_wait_for_signal(refill, -1), PB_OK);
        check_drained(memory, 5, 1);
    }
    pb_mailbox_release(refill);
    pb_memory_release(memory);
}

static enum pb_status time_is_up_later(_Atomic uint32_t *at, uint32_t expected,
                                       uint64_t deadline_ns) {
    (void)at, (void)expected;
    static unsigned calls;
    if (deadline_ns != UINT64_C(1000) + 500 && deadline_ns != PB_DEADLINE_NEVER) {
        test_fail(__FILE__, __LINE__, "deadline %llu", (unsigned long long)deadline_ns);
    }
    if (++calls % 3) {
        return PB_OK; /* for no reason */
    }
    seam_clock(deadline_ns);
    return PB_TIMED_OUT;
}

TEST(R23_wait_for_signal_times_out_at_its_deadline_only) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    seam_clock(1000);
    seam_wait(time_is_up_later);
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, 500), PB_TIMED_OUT);
    CHECK_EQ(pb_os_clock_ns(), 1500);
    seam_wait(enqueue_while_blocking);
    refill = mailbox;
    seam_clock(UINT64_MAX - 10); /* the largest timeout must not wrap into the past */
    CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, INT64_MAX), PB_OK);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* ---- R35 wrap ------------------------------------------------------------------------------- */

TEST(R35_everything_holds_across_the_wrap_of_the_cursors) {
    static const uint32_t capacities[] = {1, 4, 256};
    for (size_t c = 0; c < 3; c++) {
        uint32_t capacity = capacities[c], next = 1;
        for (uint32_t before = 0; before <= 2 * capacity; before += 1 + capacity / 8) {
            struct pb_memory *memory = owned_memory(1, 1);
            struct pb_mailbox *mailbox = attach(memory, capacity, 0 - before, 0);
            CHECK_EQ(word(memory, 8), 0 - before);
            CHECK_EQ(word(memory, 12), 0 - before);
            for (unsigned round = 0; round < 6; round++) {
                enqueue_all(mailbox, next, capacity);
                CHECK_STATUS(pb_mailbox_enqueue(mailbox, 999), PB_FULL);
                check_drained(memory, next, capacity);
                next += capacity;
            }
            CHECK_EQ(word(memory, 12), 6 * capacity - before);
            pb_mailbox_release(mailbox);
            pb_memory_release(memory);
        }
    }
}

TEST(R35_capacity_is_a_power_of_two) {
    static const struct {
        uint32_t capacity;
        enum pb_status status;
    } rows[] = {{1, PB_OK},
                {2, PB_OK},
                {3, PB_INVALID},
                {255, PB_INVALID},
                {256, PB_OK},
                {257, PB_INVALID},
                {32768, PB_OK},
                {65536, PB_INVALID},
                {0xC0, PB_INVALID},
                {UINT32_MAX, PB_INVALID},
                {0x80000000, PB_INVALID}};
    struct pb_memory *memory = owned_memory(3, 3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_mailbox_config config = {.memory = memory, .capacity = rows[i].capacity};
        struct pb_mailbox *mailbox = NULL;
        test_note("capacity %u", rows[i].capacity);
        CHECK_STATUS(pb_mailbox_create(&config, &mailbox), rows[i].status);
        CHECK_EQ(mailbox != NULL, rows[i].status == PB_OK);
        pb_mailbox_release(mailbox);
    }
    pb_memory_release(memory);
}

TEST(R33_what_a_full_ring_does_is_one_of_two) {
    struct pb_memory *memory = owned_memory(1, 1);
    for (unsigned full = PB_MAILBOX_REJECT; full < 9; full++) {
        struct pb_mailbox_config config = {.memory = memory, .full = (enum pb_mailbox_full)full};
        struct pb_mailbox *mailbox = NULL;
        CHECK_STATUS(pb_mailbox_create(&config, &mailbox),
                     full <= PB_MAILBOX_SPILL ? PB_OK : PB_INVALID);
        CHECK_EQ(mailbox != NULL, full <= PB_MAILBOX_SPILL);
        pb_mailbox_release(mailbox);
    }
    pb_memory_release(memory);
}

/* ---- R36 close ------------------------------------------------------------------------------ */

TEST(R36_after_close_nothing_is_written_and_enqueues_are_rejected) {
    for (uint32_t spill = 0; spill < 2; spill++) {
        struct pb_memory *memory = owned_memory(1, 1);
        struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, spill * 4);
        struct pb_waker *waker = NULL;
        uint32_t dropped = 99, left = 99;
        CHECK_STATUS(pb_waker_create(mailbox, 50, &waker), PB_OK);
        enqueue_all(mailbox, 1, CAPACITY + spill * 3);
        CHECK(!pb_mailbox_is_closed(mailbox));
        pb_mailbox_close(mailbox, &dropped);
        CHECK_EQ(dropped, spill * 3);
        CHECK(pb_mailbox_is_closed(mailbox));
        CHECK(word(memory, 4) & PB_MAILBOX_CLOSED);
        struct snapshot before = snapshot_take(memory);
        CHECK_STATUS(pb_mailbox_enqueue(mailbox, 60), PB_CLOSED);
        CHECK_STATUS(pb_waker_wake(waker), PB_CLOSED);
        CHECK_STATUS(pb_mailbox_flush(mailbox, &left), PB_CLOSED);
        CHECK_EQ(left, 0);
        CHECK_STATUS(pb_mailbox_wait_for_signal(mailbox, -1), PB_CLOSED);
        CHECK(!pb_mailbox_is_signalled(mailbox));
        dropped = 99;
        pb_mailbox_close(mailbox, &dropped);
        CHECK_EQ(dropped, 0);
        pb_mailbox_close(mailbox, NULL);
        snapshot_check(memory, &before);
        check_drained(memory, 1, CAPACITY); /* what was in the ring may still be drained */
        before = snapshot_take(memory);
        pb_waker_release(waker);
        pb_mailbox_release(mailbox);
        snapshot_check(memory, &before);
        pb_memory_release(memory);
    }
}

/* The memory of a closed mailbox may be gone. */
TEST(R36_growth_by_a_closed_mailbox_is_refused) {
    for (unsigned shared = 0; shared < 2; shared++) {
        struct pb_memory *memory = shared ? shared_memory(1, 2) : owned_memory(1, 2);
        struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
        uint32_t old = 99;
        pb_mailbox_close(mailbox, NULL);
        CHECK_STATUS(pb_mailbox_grow(mailbox, 1, &old), PB_CLOSED);
        CHECK_EQ(old, 99);
        CHECK_EQ(pb_memory_size_pages(memory), 1);
        pb_memory_release(memory);
        CHECK_STATUS(pb_mailbox_grow(mailbox, 0, &old), PB_CLOSED);
        pb_mailbox_release(mailbox);
    }
}

/* Whoever holds a mailbox that is closed keeps nobody from knowing it. */
TEST(R36_closed_is_told_beside_a_hold) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    CHECK(!pb_mailbox_is_closed(mailbox));
    pb_mailbox_hold(mailbox);
    CHECK(!pb_mailbox_is_closed(mailbox));
    CHECK_STATUS(pb_mailbox_unhold(mailbox), PB_OK);
    pb_mailbox_close(mailbox, NULL);
    pb_mailbox_hold(mailbox);
    CHECK(pb_mailbox_is_closed(mailbox));
    CHECK(!pb_mailbox_is_signalled(mailbox));
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 1), PB_CLOSED);
    CHECK_STATUS(pb_mailbox_unhold(mailbox), PB_OK);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R36_S26_the_guest_sees_closed_after_what_is_left) {
    struct host host = host_start(shared_memory(1, 1), 10);
    enqueue_all(host.mailbox, 1, CAPACITY + 3);
    pb_mailbox_close(host.mailbox, NULL);
    CHECK_EQ(park(&host, -1), PB_PARK_READY);
    check_drained(host.memory, 1, CAPACITY);
    CHECK(word(host.memory, 4) & PB_MAILBOX_CLOSED); /* clearing the signal never drops it */
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(park(&host, -1), PB_PARK_CLOSED);
        check_drained(host.memory, 1, 0);
    }
    CHECK_EQ(host.waits, 0);
    host_end(&host);
}

static void *park_once(void *context) {
    struct host *host = context;
    enum pb_park answer;
    do {
        answer = park(host, -1);
        (void)pb_guest_drain(words_of(host->memory), take, &got);
    } while (answer == PB_PARK_READY);
    CHECK_EQ(answer, PB_PARK_CLOSED);
    return NULL;
}

static void *wait_once(void *context) {
    struct host *host = context;
    CHECK_STATUS(pb_mailbox_wait_for_signal(host->mailbox, -1), PB_CLOSED);
    return NULL;
}

/* Every consumer that is parked wakes: in the guest and on the host's side. */
TEST(R36_S26_close_wakes_everyone) {
    for (unsigned by_release = 0; by_release < 2; by_release++) {
        struct host host = host_start(shared_memory(1, 1), 0);
        struct host guest = {.memory = clone_of(host.memory), .mailbox = host.mailbox};
        unsigned waits = seam_waits(), count = by_release ? 1 : 3;
        pthread_t threads[3];
        threads[0] = test_thread(park_once, &guest);
        for (unsigned i = 1; i < count; i++) {
            threads[i] = test_thread(wait_once, &host);
        }
        while (seam_waits() - waits < count) { /* most likely all of them are blocked now */
            test_pause();
        }
        if (by_release) {
            pb_mailbox_release(host.mailbox);
        } else {
            pb_mailbox_close(host.mailbox, NULL);
        }
        for (unsigned i = 0; i < count; i++) {
            test_join(threads[i]);
        }
        pb_memory_release(guest.memory);
        if (by_release) {
            pb_memory_release(host.memory);
        } else {
            host_end(&host);
        }
    }
}

/* The store that owned the memory is gone; a shared memory lives on through the mailbox. */
TEST(R36_S23_a_waker_outlives_the_store) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    struct pb_waker *waker = NULL, *clone;
    CHECK_STATUS(pb_waker_create(mailbox, 5, &waker), PB_OK);
    clone = pb_waker_retain(waker);
    CHECK(clone == waker);
    seam_watch(base_of(memory));
    struct pb_mailbox_words *words = words_of(memory);
    pb_memory_release(memory);
    CHECK_STATUS(pb_waker_wake(waker), PB_OK);
    got.count = 0;
    CHECK_EQ(pb_guest_drain(words, take, &got), 1);
    CHECK_EQ(got.ids[0], 5);
    pb_mailbox_close(mailbox, NULL);
    pb_mailbox_release(mailbox);
    CHECK_STATUS(pb_waker_wake(clone), PB_CLOSED);
    pb_waker_release(waker);
    CHECK_EQ(seam_releases(), 0);
    CHECK_STATUS(pb_waker_wake(clone), PB_CLOSED);
    pb_waker_release(clone);
    CHECK_EQ(seam_releases(), 1); /* exactly once */
    pb_waker_release(NULL);
    pb_mailbox_release(NULL);
}

TEST(R36_S23_after_close_an_owned_memory_may_go_first) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 4);
    struct pb_waker *waker = NULL;
    CHECK_STATUS(pb_waker_create(mailbox, 5, &waker), PB_OK);
    CHECK_STATUS(pb_waker_wake(waker), PB_OK);
    pb_mailbox_close(mailbox, NULL);
    CHECK_STATUS(pb_waker_wake(waker), PB_CLOSED);
    CHECK_STATUS(pb_mailbox_flush(mailbox, NULL), PB_CLOSED);
    CHECK(!pb_mailbox_is_signalled(mailbox));
    pb_waker_release(waker);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R36_wakers_count_their_references) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox_config config = {
        .memory = memory, .offset = OFFSET, .capacity = 64, .allocator = &seam_allocator};
    struct pb_mailbox *mailbox = NULL;
    struct pb_waker *wakers[8];
    CHECK_STATUS(pb_mailbox_create(&config, &mailbox), PB_OK);
    for (uint32_t i = 0; i < 8; i += 2) {
        CHECK_STATUS(pb_waker_create(mailbox, 1 + i / 2, &wakers[i]), PB_OK);
        wakers[i + 1] = pb_waker_retain(wakers[i]);
    }
    pb_mailbox_release(mailbox); /* the wakers keep it */
    for (uint32_t i = 0; i < 8; i += 2) {
        pb_waker_release(wakers[i]);
        CHECK_STATUS(pb_waker_wake(wakers[i + 1]), PB_OK);
    }
    check_drained(memory, 1, 4);
    for (uint32_t i = 0; i < 8; i += 2) {
        CHECK_STATUS(pb_waker_wake(wakers[i + 1]), PB_OK); /* a waker stays good */
        pb_waker_release(wakers[i + 1]);
    }
    CHECK(word(memory, 4) & PB_MAILBOX_CLOSED); /* the last reference closes */
    CHECK_EQ(seam_allocator_alive(), 0);
    check_drained(memory, 1, 4);
    pb_memory_release(memory);
}

/* ---- R37 base pin --------------------------------------------------------------------------- */

TEST(R37_S24_growth_that_moves_is_followed) {
    unsigned moved = 0;
    for (struct each e = each_kind(1, 40, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 8);
        uint32_t next = 1;
        for (unsigned i = 0; i < 6; i++) {
            uint32_t old = 99;
            const uint8_t *before = base_of(memory);
            enqueue_all(mailbox, next, 3);
            CHECK_STATUS(pb_mailbox_grow(mailbox, 6, &old), PB_OK);
            CHECK_EQ(old, 1 + 6 * i);
            moved += base_of(memory) != before;
            enqueue_all(mailbox, next + 3, 1);
            CHECK(pb_mailbox_is_signalled(mailbox));
            check_drained(memory, next, 4);
            next += 4;
            pb_mailbox_hold(mailbox);
            uint32_t delta = i == 5 ? 3 : 0;
            CHECK_STATUS(pb_memory_grow(memory, delta, &old), PB_OK);
            CHECK_STATUS(pb_mailbox_unhold(mailbox), PB_OK);
        }
        uint32_t old;
        CHECK_STATUS(pb_mailbox_grow(mailbox, 1, &old), PB_LIMIT);
        enqueue_all(mailbox, next, 1);
        check_drained(memory, next, 1);
        pb_mailbox_close(mailbox, NULL);
        pb_mailbox_release(mailbox);
        pb_memory_release(memory);
    }
    CHECK(moved > 0);
}

/* Enqueues beside a hold are accepted, as far as the ring is known to have room, and shown to the
 * guest, in order, by unhold; till then nothing is written, and the guest is as good as signalled.
 */
TEST(R37_hold_excludes_writes_and_accepts_ids) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 64, false}, .style = &style, .strategy = PB_STRATEGY_MOVE};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    uint32_t old;
    enqueue_all(mailbox, 1, 1);
    check_drained(memory, 1, 1);
    pb_mailbox_hold(mailbox);
    struct snapshot before = snapshot_take(memory);
    enqueue_all(mailbox, 2, CAPACITY - 1);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 99), PB_FULL); /* early: the head may not be read */
    CHECK(pb_mailbox_is_signalled(mailbox));
    snapshot_check(memory, &before);
    CHECK_STATUS(pb_memory_grow(memory, 63, &old), PB_OK);
    CHECK_EQ(word(memory, PB_MAILBOX_TAIL_OFFSET), 1);
    CHECK_STATUS(pb_mailbox_unhold(mailbox), PB_OK);
    CHECK_EQ(word(memory, 4), PB_MAILBOX_SIGNALLED);
    check_drained(memory, 2, CAPACITY - 1);
    enqueue_all(mailbox, 10, CAPACITY);
    check_drained(memory, 10, CAPACITY);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* Ids accepted beside a hold that loses the region are counted with the spilled ones. */
TEST(R37_ids_of_a_region_that_is_lost_are_counted) {
    unsigned count = 2;
    struct pb_memory_style style = {PB_STYLE_STATIC, 2, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {1, 2, false}, .style = &style};
    struct pb_memory *memory = NULL;
    uint32_t old, dropped = 0;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    struct pb_mailbox_config at_the_end = {
        .memory = memory, .offset = 65536 + 256, .capacity = CAPACITY};
    struct pb_mailbox *mailbox = NULL;
    CHECK_STATUS(pb_mailbox_create(&at_the_end, &mailbox), PB_OK);
    enqueue_all(mailbox, 1, 1);
    pb_mailbox_hold(mailbox);
    enqueue_all(mailbox, 2, count);
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
    CHECK_STATUS(pb_mailbox_unhold(mailbox), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 5), PB_CLOSED);
    pb_mailbox_close(mailbox, &dropped);
    CHECK_EQ(dropped, count);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* A custom memory that shrinks: the region is no longer inside, the mailbox closes unwritten. */
TEST(R37_a_region_that_is_lost_closes_the_mailbox) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 2, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {1, 2, false}, .style = &style};
    struct pb_memory *memory = NULL;
    uint32_t old;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    struct pb_mailbox_config at_the_end = {.memory = memory,
                                           .offset = 65536 + 256,
                                           .capacity = CAPACITY,
                                           .full = PB_MAILBOX_SPILL,
                                           .spill_max = 8};
    struct pb_mailbox *mailbox = NULL;
    uint32_t dropped = 99;
    CHECK_STATUS(pb_mailbox_create(&at_the_end, &mailbox), PB_OK);
    enqueue_all(mailbox, 1, CAPACITY + 3);
    pb_mailbox_hold(mailbox);
    CHECK_STATUS(pb_memory_reset(memory), PB_OK); /* one page again */
    CHECK_STATUS(pb_mailbox_unhold(mailbox), PB_OUT_OF_BOUNDS);
    CHECK(pb_mailbox_is_closed(mailbox));
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 5), PB_CLOSED);
    CHECK(!pb_mailbox_is_signalled(mailbox));
    pb_mailbox_close(mailbox, &dropped);
    CHECK_EQ(dropped, 3); /* R36: what became of the spilled ones is told */
    pb_mailbox_close(mailbox, &dropped);
    CHECK_EQ(dropped, 0);
    CHECK_STATUS(pb_mailbox_unhold((pb_mailbox_hold(mailbox), mailbox)), PB_OK);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* ---- R38 hostile guest ---------------------------------------------------------------------- */

TEST(R38_S25_the_region_is_checked_when_attached) {
    struct pb_memory *memories[] = {owned_memory(0, 1), owned_memory(1, 1), owned_memory(2, 2)};
    static const struct {
        unsigned memory;
        uint32_t offset, capacity;
        enum pb_status status;
    } rows[] = {
        {0, 0, 0, PB_OUT_OF_BOUNDS},
        {0, 0, 1, PB_OUT_OF_BOUNDS},
        {1, 0, 0, PB_OK},
        {1, 65536 - 1040, 0, PB_OK},
        {1, 65536 - 1036, 0, PB_OUT_OF_BOUNDS},
        {1, 65536, 1, PB_OUT_OF_BOUNDS},
        {1, 65536 - 20, 1, PB_OK},
        {1, 65536 - 16, 1, PB_OUT_OF_BOUNDS},
        {1, UINT32_MAX - 3, 1, PB_OUT_OF_BOUNDS},
        {1, UINT32_MAX - 1039, 0, PB_OUT_OF_BOUNDS},
        {1, 1, 1, PB_MISALIGNED},
        {1, 2, 1, PB_MISALIGNED},
        {1, 65535, 1, PB_MISALIGNED},
        {1, 4, 1, PB_OK},
        {1, 0, 16384, PB_OUT_OF_BOUNDS},
        {2, 0, 16384, PB_OK},
        {2, 0, 32768, PB_OUT_OF_BOUNDS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_memory *memory = memories[rows[i].memory];
        struct pb_mailbox_config config = {
            .memory = memory, .offset = rows[i].offset, .capacity = rows[i].capacity};
        struct pb_mailbox *mailbox = NULL;
        struct snapshot before = snapshot_take(memory);
        test_note("row %zu", i);
        CHECK_STATUS(pb_mailbox_create(&config, &mailbox), rows[i].status);
        if (rows[i].status == PB_OK) {
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, 1), PB_OK);
            CHECK(pb_mailbox_is_signalled(mailbox));
        } else {
            CHECK(mailbox == NULL);
            snapshot_check(memory, &before);
        }
        pb_mailbox_release(mailbox);
    }
    for (unsigned i = 0; i < 3; i++) {
        pb_memory_release(memories[i]);
    }
}

TEST(R38_S27_attaching_initialises_whatever_the_words_held) {
    struct pb_memory *memory = owned_memory(1, 1);
    memset(base_of(memory), 0xFF, PB_PAGE_BYTES);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 40, 0);
    CHECK_EQ(word(memory, 0), CAPACITY);
    CHECK_EQ(word(memory, 4), 0);
    CHECK_EQ(word(memory, 8), 40);
    CHECK_EQ(word(memory, 12), 40);
    CHECK(!pb_mailbox_is_signalled(mailbox));
    check_drained(memory, 1, 0);
    enqueue_all(mailbox, 1, CAPACITY);
    check_drained(memory, 1, CAPACITY);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* Nothing outside of the region is written, whatever stands in it, and every call ends. */
TEST(R38_nothing_outside_the_region_is_written) {
    static const uint32_t values[] = {
        0, 1, 2, 3, 4, 5, 0x7FFFFFFF, 0x80000000, UINT32_MAX, UINT32_MAX - 4, 0x00010000, 1000};
    static uint8_t model[65536];
    uint64_t state = 3;
    for (unsigned spill = 0; spill < 2; spill++) {
        struct pb_memory *memory = owned_memory(1, 1);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        memcpy(model, base_of(memory), sizeof model);
        struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, spill * 4);
        for (unsigned round = 0; round < 3000; round++) {
            uint32_t value = values[test_random(&state) % (sizeof values / sizeof *values)];
            uint32_t at = 4 * (test_random(&state) % (4 + CAPACITY));
            scribble(memory, at, round % 5 ? value : test_random(&state));
            enum pb_status status = pb_mailbox_enqueue(mailbox, 1 + round);
            CHECK(status == PB_OK || status == PB_FULL);
            (void)pb_mailbox_is_signalled(mailbox);
            CHECK_STATUS(pb_mailbox_flush(mailbox, NULL), PB_OK);
            status = pb_mailbox_wait_for_signal(mailbox, 0);
            CHECK(status == PB_OK || status == PB_TIMED_OUT);
        }
        pb_mailbox_close(mailbox, NULL);
        CHECK(memcmp(base_of(memory), model, OFFSET) == 0);
        uint32_t end = OFFSET + PB_MAILBOX_BYTES(CAPACITY);
        CHECK(memcmp(base_of(memory) + end, model + end, sizeof model - end) == 0);
        pb_mailbox_release(mailbox);
        pb_memory_release(memory);
    }
}

TEST(R38_the_hosts_cursor_lives_on_the_hosts_side) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    enqueue_all(mailbox, 1, 2);
    scribble(memory, PB_MAILBOX_TAIL_OFFSET, 1000);
    scribble(memory, PB_MAILBOX_CAPACITY_OFFSET, 0x40000000);
    enqueue_all(mailbox, 3, 1);
    CHECK_EQ(word(memory, PB_MAILBOX_TAIL_OFFSET), 3);
    CHECK_EQ(word(memory, PB_MAILBOX_RING_OFFSET + 8), 3);
    enqueue_all(mailbox, 4, 1);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 5), PB_FULL);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* A head from beyond the tail, or far behind, is no room: no slot is given twice. */
TEST(R38_a_head_that_lies_gives_no_room) {
    static const uint32_t lies[] = {5, 6, 100, 0x80000000, UINT32_MAX, UINT32_MAX - 1};
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        struct pb_memory *memory = owned_memory(1, 1);
        struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
        enqueue_all(mailbox, 1, CAPACITY);
        scribble(memory, PB_MAILBOX_HEAD_OFFSET, lies[i]);
        CHECK_STATUS(pb_mailbox_enqueue(mailbox, 99), PB_FULL);
        scribble(memory, PB_MAILBOX_HEAD_OFFSET, 0);
        check_drained(memory, 1, CAPACITY);
        enqueue_all(mailbox, 10, CAPACITY);
        check_drained(memory, 10, CAPACITY);
        pb_mailbox_release(mailbox);
        pb_memory_release(memory);
    }
}

/* The guest may scribble over the closed bit: the host knows better. */
TEST(R38_closed_is_remembered_on_the_hosts_side) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    scribble(memory, PB_MAILBOX_FLAG_OFFSET, UINT32_MAX);
    CHECK(!pb_mailbox_is_closed(mailbox));
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 1), PB_OK);
    pb_mailbox_close(mailbox, NULL);
    scribble(memory, PB_MAILBOX_FLAG_OFFSET, 0);
    CHECK(pb_mailbox_is_closed(mailbox));
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 2), PB_CLOSED);
    CHECK_EQ(word(memory, PB_MAILBOX_FLAG_OFFSET), 0);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* The guest's own functions do bounded work on words it broke itself. */
TEST(R38_the_guest_drain_is_bounded) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory, CAPACITY, 0, 0);
    enqueue_all(mailbox, 1, 2);
    scribble(memory, PB_MAILBOX_HEAD_OFFSET, 0x80000000);
    got.count = 0;
    CHECK(pb_guest_drain(words_of(memory), take, &got) <= CAPACITY);
    CHECK(got.count <= CAPACITY);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

/* ---- From a signal handler ------------------------------------------------------------------ */

/* The handler enqueues wherever the thread is, also in the middle of an enqueue or a wake of its
 * own: nothing blocks, no id is lost, each side's are in order. */
enum { SIGNALS = 300, FROM_HANDLER = 1 << 20 };
static struct pb_mailbox *interrupted;
static volatile sig_atomic_t from_handler;

static void enqueue_in_handler(int number) {
    (void)number;
    if (pb_mailbox_enqueue(interrupted, (uint64_t)FROM_HANDLER + (uint64_t)from_handler + 1) ==
        PB_OK) {
        from_handler++;
    }
}

static void *send_signals(void *thread) {
    for (unsigned i = 0; i < SIGNALS; i++) {
        CHECK_EQ(pthread_kill(*(pthread_t *)thread, SIGUSR1), 0);
        test_pause();
    }
    return NULL;
}

TEST(R30_a_signal_handler_enqueues_in_the_middle) {
    struct pb_memory *memory = shared_memory(1, 1);
    pthread_t self = pthread_self();
    struct sigaction action = {.sa_handler = enqueue_in_handler, .sa_flags = SA_RESTART};
    uint32_t sent = 0, plain = 0, handled = 0;
    interrupted = attach(memory, 1024, 0, 0);
    from_handler = 0;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_t sender = test_thread(send_signals, &self);
    for (unsigned round = 0; round < 5000 && (round < 200 || from_handler < SIGNALS / 2); round++) {
        for (unsigned i = 0; i < 100; i++) {
            sent += pb_mailbox_enqueue(interrupted, sent + 1) == PB_OK;
        }
        got.count = 0;
        pb_guest_drain(words_of(memory), take, &got);
        for (uint32_t i = 0; i < got.count; i++) {
            if (got.ids[i] > FROM_HANDLER) {
                CHECK_EQ(got.ids[i], FROM_HANDLER + ++handled);
            } else {
                CHECK_EQ(got.ids[i], ++plain);
            }
        }
    }
    test_join(sender);
    got.count = 0;
    pb_guest_drain(words_of(memory), take, &got);
    CHECK_EQ(plain + handled + got.count, sent + (uint32_t)from_handler);
    CHECK(from_handler > 0);
    signal(SIGUSR1, SIG_DFL);
    pb_mailbox_release(interrupted);
    pb_memory_release(memory);
}
