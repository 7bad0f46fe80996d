/* mailbox_stress.c: real producers and a real consumer: R30 to R37. Loops are bounded; a lost wake
 * is found by the runner's time limit. */
#include "fixture.h"
#include "guest.h"
#include "mailbox.h"
#include "test.h"

#include <string.h>

enum { OFFSET = 1024, PRODUCERS = 3, ID_BITS = 24 };

/* Ids carry their producer and a number, so that order and loss are seen for each. */
struct post {
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    _Atomic unsigned next_producer;
    unsigned each;                /* ids a producer sends */
    uint32_t accepted[PRODUCERS]; /* how many were */
    uint32_t seen[PRODUCERS];     /* the consumer's: the last number of each */
    uint32_t received;
    _Atomic uint32_t expected; /* how many ids the consumer waits for, when known */
    bool until_closed;
};

static void receive(void *context, uint32_t id) {
    struct post *post = context;
    uint32_t producer = id >> ID_BITS, number = id & ((UINT32_C(1) << ID_BITS) - 1);
    CHECK(producer < PRODUCERS);
    CHECK_EQ(number, post->seen[producer] + 1); /* none lost, none twice, none early */
    post->seen[producer] = number;
    post->received++;
}

static struct pb_mailbox_words *words_of(struct pb_memory *memory) {
    return (struct pb_mailbox_words *)(void *)(base_of(memory) + OFFSET);
}

/* Sends until all are accepted, or the mailbox is closed. */
static void *produce(void *argument) {
    struct post *post = argument;
    unsigned mine = post->next_producer++;
    struct test_disturbance disturbance = test_disturb();
    for (uint32_t i = 1; i <= post->each;) {
        enum pb_status status = pb_mailbox_enqueue(post->mailbox, mine << ID_BITS | i);
        if (status == PB_OK) {
            post->accepted[mine] = i++;
        } else if (status == PB_CLOSED) {
            CHECK(post->until_closed);
            break;
        } else {
            CHECK_STATUS(status, PB_FULL);
            test_pause();
        }
    }
    test_disturb_end(disturbance);
    return NULL;
}

static int wait_on_flag(void *context, _Atomic uint32_t *flag, uint32_t expected,
                        int64_t timeout_ns) {
    struct post *post = context;
    enum pb_wait result;
    uint64_t address = (uint64_t)((uint8_t *)flag - base_of(post->memory));
    CHECK_STATUS(pb_memory_wait32(post->memory, address, expected, timeout_ns, &result), PB_OK);
    return (int)result;
}

static void flush(void *context) {
    struct post *post = context;
    (void)pb_mailbox_flush(post->mailbox, NULL);
}

/* A guest's thread: parks without a timeout and drains until all is there, or it sees closed. */
static void *consume(void *argument) {
    struct post *post = argument;
    const struct pb_guest_host host = {wait_on_flag, flush, post};
    struct test_disturbance disturbance = test_disturb();
    while (post->until_closed || post->received < post->expected) {
        if (pb_guest_park(words_of(post->memory), &host, -1) == PB_PARK_CLOSED) {
            CHECK(post->until_closed);
            break;
        }
        (void)pb_guest_drain(words_of(post->memory), receive, post);
    }
    test_disturb_end(disturbance);
    return NULL;
}

static struct pb_mailbox *attach(struct pb_memory *memory, uint32_t capacity, uint32_t spill_max) {
    struct pb_mailbox_config config = {.memory = memory,
                                       .offset = OFFSET,
                                       .capacity = capacity,
                                       .first_cursor = UINT32_MAX - 1000, /* wraps on the way */
                                       .full = spill_max ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
                                       .spill_max = spill_max};
    struct pb_mailbox *mailbox = NULL;
    CHECK_STATUS(pb_mailbox_create(&config, &mailbox), PB_OK);
    return mailbox;
}

static void start_producers(struct post *post, pthread_t *threads) {
    for (unsigned i = 0; i < PRODUCERS; i++) {
        threads[i] = test_thread(produce, post);
    }
}

static void join_producers(const pthread_t *threads) {
    for (unsigned i = 0; i < PRODUCERS; i++) {
        test_join(threads[i]);
    }
}

static void check_all_received(const struct post *post) {
    for (unsigned i = 0; i < PRODUCERS; i++) {
        CHECK_EQ(post->seen[i], post->accepted[i]);
    }
}

/* ---- Producers and a parked consumer -------------------------------------------------------- */

static void run_post(uint32_t capacity, uint32_t spill_max) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct post post = {.memory = clone_of(memory),
                        .mailbox = attach(memory, capacity, spill_max),
                        .each = TEST_ROUNDS(20000),
                        .expected = PRODUCERS * TEST_ROUNDS(20000)};
    pthread_t producers[PRODUCERS], consumer = test_thread(consume, &post);
    test_note("capacity %u, spill %u", capacity, spill_max);
    start_producers(&post, producers);
    join_producers(producers);
    test_join(consumer);
    check_all_received(&post);
    CHECK_EQ(post.received, PRODUCERS * post.each);
    CHECK(!(atomic_load(&words_of(memory)->flag) & PB_MAILBOX_SPILLED));
    pb_mailbox_release(post.mailbox);
    pb_memory_release(post.memory);
    pb_memory_release(memory);
}

TEST(R30_S20_many_producers_lose_and_repeat_nothing) {
    run_post(256, 0);
    run_post(4, 0);
    run_post(1, 0);
}

TEST(R32_many_producers_keep_their_order_through_the_spill) {
    run_post(4, 1000);
    run_post(1, 3);
    run_post(64, 1000000);
}

/* At most two ids at a time: the consumer parks after nearly each, so a wake lost once is a
 * stand-still. */
static void *consume_and_answer(void *argument) {
    struct post *post = argument;
    const struct pb_guest_host host = {wait_on_flag, flush, post};
    struct test_disturbance disturbance = test_disturb();
    while (post->received < post->each) {
        (void)pb_guest_park(words_of(post->memory), &host, -1);
        uint32_t count = pb_guest_drain(words_of(post->memory), receive, post);
        post->expected += count;
    }
    test_disturb_end(disturbance);
    return NULL;
}

TEST(R34_ping_pong_never_stands_still) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct post post = {
        .memory = clone_of(memory), .mailbox = attach(memory, 4, 0), .each = TEST_ROUNDS(20000)};
    pthread_t consumer = test_thread(consume_and_answer, &post);
    for (uint32_t i = 1; i <= post.each; i++) {
        CHECK_STATUS(pb_mailbox_enqueue(post.mailbox, i), PB_OK);
        while (post.expected + 1 < i) { /* one more comes while the guest drains */
            test_pause();
        }
    }
    test_join(consumer);
    pb_mailbox_release(post.mailbox);
    pb_memory_release(post.memory);
    pb_memory_release(memory);
}

/* ---- A guest that returns to its host, in an owned memory that moves ------------------------- */

static void *host_loop(void *argument) {
    struct post *post = argument;
    struct test_disturbance disturbance = test_disturb();
    for (unsigned turn = 0; post->received < post->expected; turn++) {
        CHECK_STATUS(pb_mailbox_wait_for_signal(post->mailbox, -1), PB_OK);
        (void)pb_guest_drain(words_of(post->memory), receive, post);
        if (turn % 64 == 0) { /* the guest's memory.grow */
            uint32_t old;
            enum pb_status status = pb_mailbox_grow(post->mailbox, 1, &old);
            CHECK(status == PB_OK || status == PB_LIMIT);
        }
    }
    test_disturb_end(disturbance);
    return NULL;
}

TEST(R37_S24_producers_against_a_memory_that_moves) {
    for (struct each e = each_kind(1, 40, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct post post = {.memory = memory,
                            .mailbox = attach(memory, 16, 64),
                            .each = TEST_ROUNDS(2000),
                            .expected = PRODUCERS * TEST_ROUNDS(2000)};
        pthread_t producers[PRODUCERS], consumer = test_thread(host_loop, &post);
        start_producers(&post, producers);
        join_producers(producers);
        test_join(consumer);
        check_all_received(&post);
        pb_mailbox_close(post.mailbox, NULL);
        pb_mailbox_release(post.mailbox);
        pb_memory_release(memory);
    }
}

/* ---- Shared growth while producers and the consumer work ------------------------------------- */

static void *grow_with_hold(void *argument) {
    struct post *post = argument;
    for (unsigned i = 0; i < 100; i++) {
        uint32_t old;
        if (i % 2) {
            CHECK_STATUS(pb_mailbox_grow(post->mailbox, 1, &old), PB_OK);
        } else {
            pb_mailbox_hold(post->mailbox);
            CHECK_STATUS(pb_memory_grow(post->memory, 1, &old), PB_OK);
            CHECK_STATUS(pb_mailbox_unhold(post->mailbox), PB_OK);
        }
        CHECK_EQ(old, 1 + i);
        test_pause();
    }
    return NULL;
}

TEST(R37_growth_with_hold_against_producers_and_a_parked_guest) {
    for (struct each e = each_kind(1, 101, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct post post = {.memory = clone_of(memory),
                            .mailbox = attach(memory, 16, 0),
                            .each = TEST_ROUNDS(3000),
                            .expected = PRODUCERS * TEST_ROUNDS(3000)};
        pthread_t producers[PRODUCERS], consumer = test_thread(consume, &post);
        pthread_t grower = test_thread(grow_with_hold, &post);
        start_producers(&post, producers);
        join_producers(producers);
        test_join(grower);
        test_join(consumer);
        check_all_received(&post);
        CHECK_EQ(pb_memory_size_pages(memory), 101);
        pb_mailbox_release(post.mailbox);
        pb_memory_release(post.memory);
        pb_memory_release(memory);
    }
}

/* ---- Close and release against producers ---------------------------------------------------- */

TEST(R36_close_against_producers_and_a_parked_guest) {
    for (unsigned round = 0; round < TEST_ROUNDS(200); round++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct post post = {.memory = clone_of(memory),
                            .mailbox = attach(memory, 16, round % 2 ? 32 : 0),
                            .each = 1000000,
                            .until_closed = true};
        static uint8_t at_close[65536];
        uint32_t dropped = 0, total = 0;
        pthread_t producers[PRODUCERS], consumer = test_thread(consume, &post);
        start_producers(&post, producers);
        for (unsigned i = 0; i < round % 20; i++) {
            test_pause();
        }
        pb_mailbox_close(post.mailbox, &dropped);
        /* The guest may still drain, but host words stay: capacity, tail and the slots. */
        CHECK_STATUS(pb_memory_read(memory, OFFSET, at_close, PB_MAILBOX_BYTES(16)), PB_OK);
        join_producers(producers);
        test_join(consumer);
        const uint8_t *now = base_of(memory) + OFFSET;
        CHECK(memcmp(now, at_close, 4) == 0);
        CHECK(memcmp(now + 12, at_close + 12, 4 + 16 * 4) == 0);
        for (unsigned i = 0; i < PRODUCERS; i++) {
            CHECK(post.seen[i] <= post.accepted[i]);
            total += post.accepted[i];
        }
        CHECK_EQ(post.received + dropped, total); /* what became of each is known */
        pb_mailbox_release(post.mailbox);
        pb_memory_release(post.memory);
        pb_memory_release(memory);
    }
}

/* Wakers of several threads; store, mailbox and wakers go in any order. */
static void *wake_and_drop(void *argument) {
    struct pb_waker *waker = argument;
    for (unsigned i = 0; i < 20; i++) {
        struct pb_waker *clone = pb_waker_retain(waker);
        enum pb_status status = pb_waker_wake(clone);
        CHECK(status == PB_OK || status == PB_FULL || status == PB_CLOSED);
        pb_waker_release(clone);
    }
    pb_waker_release(waker);
    return NULL;
}

TEST(R36_S23_wakers_against_the_end_of_store_and_mailbox) {
    for (unsigned round = 0; round < TEST_ROUNDS(500); round++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct pb_mailbox *mailbox = attach(memory, 16, round % 2 ? 8 : 0);
        pthread_t threads[PRODUCERS];
        for (unsigned i = 0; i < PRODUCERS; i++) {
            struct pb_waker *waker = NULL;
            CHECK_STATUS(pb_waker_create(mailbox, i + 1, &waker), PB_OK);
            threads[i] = test_thread(wake_and_drop, waker);
        }
        if (round % 3 == 0) {
            pb_mailbox_close(mailbox, NULL);
        }
        pb_memory_release(memory);
        pb_mailbox_release(mailbox);
        for (unsigned i = 0; i < PRODUCERS; i++) {
            test_join(threads[i]);
        }
    }
}
