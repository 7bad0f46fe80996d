/* mailboxes.c: tests of R44: several mailboxes in one memory, and one after another in one place.
 */
#include "mailbox.h"

#include "fixture.h"
#include "guest.h"
#include "test.h"

#include <pthread.h>

enum { OFFSET = 256, CAPACITY = 4, BYTES = PB_MAILBOX_BYTES(CAPACITY) };

static enum pb_status attach_at(struct pb_memory *memory, uint32_t offset, uint32_t capacity,
                                struct pb_mailbox **mailbox) {
    struct pb_mailbox_config config = {.memory = memory, .offset = offset, .capacity = capacity};
    *mailbox = NULL;
    return pb_mailbox_create(&config, mailbox);
}

static struct pb_mailbox *attach(struct pb_memory *memory, uint32_t offset) {
    struct pb_mailbox *mailbox;
    CHECK_STATUS(attach_at(memory, offset, CAPACITY, &mailbox), PB_OK);
    return mailbox;
}

static struct pb_mailbox_words *words_at(struct pb_memory *memory, uint32_t offset) {
    return (struct pb_mailbox_words *)(void *)(base_of(memory) + offset);
}

static void take_one(void *context, uint32_t id) {
    uint32_t *taken = context;
    CHECK_EQ(*taken, 0);
    *taken = id;
}

/* Exactly that id is in the mailbox there. */
static void check_one(struct pb_memory *memory, uint32_t offset, uint32_t id) {
    uint32_t taken = 0;
    CHECK_EQ(pb_guest_drain(words_at(memory, offset), take_one, &taken), 1);
    CHECK_EQ(taken, id);
}

/* Open, empty, and takes one id. */
static void check_new(struct pb_memory *memory, uint32_t offset, struct pb_mailbox *mailbox) {
    CHECK(!pb_mailbox_is_closed(mailbox));
    CHECK_EQ(words_at(memory, offset)->flag & PB_MAILBOX_CLOSED, 0);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 77), PB_OK);
    check_one(memory, offset, 77);
}

TEST(R44_several_mailboxes_lie_side_by_side) {
    for (struct each e = each_kind(1, 8, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_mailbox *mailbox[3];
        for (uint32_t i = 0; i < 3; i++) {
            mailbox[i] = attach(memory, OFFSET + i * BYTES);
        }
        for (uint32_t round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < 3; i++) {
                CHECK_STATUS(pb_mailbox_enqueue(mailbox[i], 10 * round + i + 1), PB_OK);
            }
            for (uint32_t i = 0; i < 3; i++) {
                check_one(memory, OFFSET + i * BYTES, 10 * round + i + 1);
            }
        }
        pb_mailbox_close(mailbox[1], NULL);
        CHECK_EQ(words_at(memory, OFFSET)->flag & PB_MAILBOX_CLOSED, 0);
        check_new(memory, OFFSET, mailbox[0]);
        check_new(memory, OFFSET + 2 * BYTES, mailbox[2]);
        for (uint32_t i = 0; i < 3; i++) {
            pb_mailbox_release(mailbox[i]);
        }
        pb_memory_release(memory);
    }
}

TEST(R44_a_region_that_overlaps_an_open_one_is_refused) {
    static const struct {
        uint32_t offset, capacity;
        enum pb_status status;
    } rows[] = {
        {OFFSET, CAPACITY, PB_IN_USE},
        {OFFSET + BYTES - 4, CAPACITY, PB_IN_USE}, /* the last word */
        {OFFSET + BYTES, CAPACITY, PB_OK},
        {OFFSET - BYTES, CAPACITY, PB_OK},
        {OFFSET - BYTES + 4, CAPACITY, PB_IN_USE}, /* the first word */
        {OFFSET + 4, 1, PB_IN_USE},                /* inside */
        {0, 256, PB_IN_USE},                       /* around */
        {0, 32, PB_OK},                            /* short of it */
        {OFFSET + 2 * BYTES, 16384 - 256, PB_INVALID},
    };
    struct pb_memory *memory = shared_memory(1, 1), *clone = NULL, *other = shared_memory(1, 1);
    CHECK_STATUS(pb_memory_retain(memory, &clone), PB_OK);
    struct pb_mailbox *mailbox = attach(memory, OFFSET), *made, *elsewhere;
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 5), PB_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum pb_status status = attach_at(clone, rows[i].offset, rows[i].capacity, &made);
        CHECK_STATUS(status, rows[i].status);
        CHECK((made != NULL) == (status == PB_OK));
        pb_mailbox_release(made);
    }
    CHECK_STATUS(attach_at(other, OFFSET, CAPACITY, &elsewhere), PB_OK); /* another memory */
    check_one(memory, OFFSET, 5);                                        /* nothing was written */
    pb_mailbox_release(elsewhere);
    pb_mailbox_release(mailbox);
    pb_memory_release(other);
    pb_memory_release(clone);
    pb_memory_release(memory);
}

/* Of a memory that cannot be cloned, too. */
TEST(R44_what_was_closed_or_released_makes_way) {
    for (unsigned owned = 0; owned < 2; owned++) {
        struct pb_memory *memory = owned ? owned_memory(1, 1) : shared_memory(1, 1);
        struct pb_mailbox *old = attach(memory, OFFSET), *made;
        CHECK_STATUS(attach_at(memory, OFFSET, CAPACITY, &made), PB_IN_USE);
        pb_mailbox_close(old, NULL);
        struct pb_mailbox *second = attach(memory, OFFSET);
        pb_mailbox_close(old, NULL);
        check_new(memory, OFFSET, second);
        pb_mailbox_release(old);
        check_new(memory, OFFSET, second);
        pb_mailbox_release(second);
        struct pb_mailbox *third = attach(memory, OFFSET);
        check_new(memory, OFFSET, third);
        pb_mailbox_release(third);
        pb_memory_release(memory);
    }
}

/* The wakers of the one before live on, go one by one, and touch nothing. */
TEST(R44_a_waker_of_the_one_before_does_not_close_the_new_one) {
    for (unsigned owned = 0; owned < 2; owned++) {
        struct pb_memory *memory = owned ? owned_memory(1, 1) : shared_memory(1, 1);
        struct pb_mailbox *old = attach(memory, OFFSET);
        struct pb_waker *waker[2];
        for (unsigned i = 0; i < 2; i++) {
            CHECK_STATUS(pb_waker_create(old, i + 1, &waker[i]), PB_OK);
        }
        pb_mailbox_release(old);
        CHECK_STATUS(pb_waker_wake(waker[0]), PB_OK); /* wakers keep it open */
        struct pb_mailbox *made = attach(memory, OFFSET + 4 * (uint32_t)owned);
        CHECK_STATUS(pb_waker_wake(waker[1]), PB_CLOSED);
        check_new(memory, OFFSET + 4 * (uint32_t)owned, made);
        pb_waker_release(waker[0]);
        CHECK_STATUS(pb_waker_wake(waker[1]), PB_CLOSED);
        pb_waker_release(waker[1]);
        check_new(memory, OFFSET + 4 * (uint32_t)owned, made);
        pb_mailbox_release(made);
        pb_memory_release(memory);
    }
}

TEST(R44_growth_behind_one_mailbox_moves_none_unseen) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, 0};
    struct pb_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 64}, .style = &style, .strategy = PB_STRATEGY_MOVE};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    struct pb_mailbox *mailbox[3];
    for (uint32_t i = 0; i < 3; i++) {
        mailbox[i] = attach(memory, OFFSET + i * BYTES);
    }
    unsigned moved = 0;
    for (uint32_t round = 0; round < 9; round++) {
        const uint8_t *before = base_of(memory);
        uint32_t old;
        CHECK_STATUS(pb_mailbox_grow(mailbox[round % 3], 2, &old), PB_OK);
        CHECK_EQ(old, 1 + 2 * round);
        moved += base_of(memory) != before;
        for (uint32_t i = 0; i < 3; i++) {
            check_new(memory, OFFSET + i * BYTES, mailbox[i]);
        }
    }
    CHECK(moved > 0);
    pb_mailbox_close(mailbox[1], NULL);
    uint32_t old;
    CHECK_STATUS(pb_mailbox_grow(mailbox[1], 2, &old), PB_CLOSED);
    CHECK_STATUS(pb_mailbox_grow(mailbox[0], 2, &old), PB_OK);
    check_new(memory, OFFSET + 2 * BYTES, mailbox[2]);
    for (uint32_t i = 0; i < 3; i++) {
        pb_mailbox_release(mailbox[i]);
    }
    pb_memory_release(memory);
}

/* ---- With threads --------------------------------------------------------------------------- */

static void *drop(void *waker) {
    pb_waker_release(waker);
    return NULL;
}

TEST(R44_attach_against_the_drop_of_the_last_waker) {
    for (unsigned round = 0; round < TEST_ROUNDS(2000); round++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct pb_mailbox *old = attach(memory, OFFSET);
        struct pb_waker *waker = NULL;
        CHECK_STATUS(pb_waker_create(old, 1, &waker), PB_OK);
        pb_mailbox_release(old);
        pthread_t dropper = test_thread(drop, waker);
        struct pb_mailbox *made = attach(memory, OFFSET);
        check_new(memory, OFFSET, made);
        test_join(dropper);
        check_new(memory, OFFSET, made);
        pb_mailbox_release(made);
        pb_memory_release(memory);
    }
}

struct contender {
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    enum pb_status status;
};

static void *contend(void *argument) {
    struct contender *c = argument;
    c->status = attach_at(c->memory, OFFSET, CAPACITY, &c->mailbox);
    return NULL;
}

TEST(R44_of_two_that_attach_at_once_one_gets_the_region) {
    for (unsigned round = 0; round < TEST_ROUNDS(1000); round++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct contender a = {.memory = memory}, b = {.memory = memory};
        pthread_t thread = test_thread(contend, &a);
        contend(&b);
        test_join(thread);
        CHECK((a.status == PB_OK) != (b.status == PB_OK));
        CHECK_STATUS(a.status == PB_OK ? b.status : a.status, PB_IN_USE);
        check_new(memory, OFFSET, a.mailbox != NULL ? a.mailbox : b.mailbox);
        pb_mailbox_release(a.mailbox);
        pb_mailbox_release(b.mailbox);
        pb_memory_release(memory);
    }
}

/* Producers of two mailboxes while their memory moves, behind the one and the other. */
static _Atomic bool grown;

static void *produce(void *mailbox) {
    while (!grown) {
        enum pb_status status = pb_mailbox_enqueue(mailbox, 3);
        CHECK(status == PB_OK || status == PB_FULL);
    }
    return NULL;
}

static void *grow_some(void *mailbox) {
    uint32_t old;
    for (unsigned i = 0; i < 20; i++) {
        CHECK_STATUS(pb_mailbox_grow(mailbox, 1, &old), PB_OK);
    }
    return NULL;
}

TEST(R44_producers_of_two_mailboxes_against_a_memory_that_moves) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, 0};
    struct pb_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 64}, .style = &style, .strategy = PB_STRATEGY_MOVE};
    for (unsigned round = 0; round < TEST_ROUNDS(50); round++) {
        struct pb_memory *memory = NULL;
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        struct pb_mailbox *a = attach(memory, OFFSET), *b = attach(memory, OFFSET + BYTES);
        grown = false;
        pthread_t produce_a = test_thread(produce, a), produce_b = test_thread(produce, b);
        pthread_t grower = test_thread(grow_some, a);
        grow_some(b);
        test_join(grower);
        grown = true;
        test_join(produce_a);
        test_join(produce_b);
        CHECK_EQ(pb_memory_size_pages(memory), 41);
        pb_mailbox_release(a);
        pb_mailbox_release(b);
        pb_memory_release(memory);
    }
}

/* More memories than there are lists of mailboxes: those of others are passed over. */
TEST(R44_mailboxes_of_many_memories_are_told_apart) {
    enum { MEMORIES = 130 };
    static const uint32_t order[3] = {1, 0, 2};
    static struct pb_memory *memory[MEMORIES];
    static struct pb_mailbox *mailbox[MEMORIES][3];
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, 0};
    struct pb_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 4}, .style = &style, .strategy = PB_STRATEGY_MOVE};
    for (unsigned m = 0; m < MEMORIES; m++) {
        CHECK_STATUS(pb_memory_create(&config, &memory[m]), PB_OK);
        for (uint32_t i = 0; i < 3; i++) {
            mailbox[m][i] = attach(memory[m], OFFSET + order[i] * BYTES);
        }
    }
    for (unsigned m = 0; m < MEMORIES; m++) {
        uint32_t old;
        struct pb_mailbox *made;
        CHECK_STATUS(attach_at(memory[m], OFFSET + 3 * BYTES - 4, CAPACITY, &made), PB_IN_USE);
        CHECK_STATUS(pb_mailbox_grow(mailbox[m][m % 3], 1, &old), PB_OK);
        for (uint32_t i = 0; i < 3; i++) {
            check_new(memory[m], OFFSET + order[i] * BYTES, mailbox[m][i]);
        }
    }
    for (unsigned m = 0; m < MEMORIES; m++) {
        for (uint32_t i = 0; i < 3; i++) {
            pb_mailbox_release(mailbox[m][i]);
        }
        pb_memory_release(memory[m]);
    }
}
