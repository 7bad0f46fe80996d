/* stopped.c: tests of R45: a producer that stops in the middle of an enqueue, after each machine
 * instruction in turn, while others go on. x86-64 only, and not under sanitizers. */
#include "test.h"

#if defined(__x86_64__) && !TEST_SANITIZED

#include "fixture.h"
#include "guest.h"
#include "mailbox.h"

#include <signal.h>
#include <ucontext.h>
#include <x86intrin.h>

enum { TRAP_FLAG = 0x100, OFFSET = 1024, CAPACITY = 8 };

/* A thread that enqueues one id and stops for a while. */
struct producer {
    struct pb_mailbox *mailbox;
    uint32_t id;
    unsigned stops_after; /* instructions; 0: at one where none has stopped before */
    unsigned done;
    _Atomic bool stopped, ended, goes_on;
    enum pb_status status;
    pthread_t thread;
};

static _Thread_local struct producer *self;

/* Loops go over the same instructions many times: one stop there is enough; elsewhere, at every
 * fourth instruction. */
static uintptr_t stops[4096];
static unsigned stops_count;

static bool is_new(uintptr_t at) {
    unsigned i = 0;
    while (i < stops_count && stops[i] != at) {
        i++;
    }
    if (i == stops_count && i < sizeof stops / sizeof stops[0]) {
        stops[stops_count++] = at;
        return stops_count % 4 == 0;
    }
    return false;
}

static void after_instruction(int number, siginfo_t *information, void *context) {
    ucontext_t *thread = context;
    (void)number, (void)information;
    self->done++;
    if (self->stops_after == 0 ? is_new((uintptr_t)thread->uc_mcontext.gregs[REG_RIP])
                               : self->done == self->stops_after) {
        thread->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        self->stopped = true;
        while (!self->goes_on) {
            test_pause();
        }
    }
}

static void *produce(void *argument) {
    self = argument;
    __writeeflags(__readeflags() | TRAP_FLAG);
    self->status = pb_mailbox_enqueue(self->mailbox, self->id);
    __writeeflags(__readeflags() & ~(unsigned long long)TRAP_FLAG);
    self->ended = true;
    return NULL;
}

/* False: it ended without having stopped. */
static bool stop(struct producer *producer) {
    struct sigaction step = {.sa_sigaction = after_instruction, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigaction(SIGTRAP, &step, NULL), 0);
    producer->thread = test_thread(produce, producer);
    while (!producer->stopped && !producer->ended) {
        test_pause();
    }
    return producer->stopped;
}

static void go_on(struct producer *producer) {
    producer->goes_on = true;
    test_join(producer->thread);
}

static struct pb_mailbox *attach(struct pb_memory *memory) {
    struct pb_mailbox_config config = {.memory = memory, .offset = OFFSET, .capacity = CAPACITY};
    struct pb_mailbox *mailbox = NULL;
    CHECK_STATUS(pb_mailbox_create(&config, &mailbox), PB_OK);
    return mailbox;
}

static struct pb_mailbox_words *words_of(struct pb_memory *memory) {
    return (struct pb_mailbox_words *)(void *)(base_of(memory) + OFFSET);
}

struct list {
    uint32_t count, ids[2 * CAPACITY];
};

static void take(void *context, uint32_t id) {
    struct list *list = context;
    CHECK(list->count < 2 * CAPACITY);
    list->ids[list->count++] = id;
}

static bool has(const struct list *list, uint32_t id) {
    bool any = false;
    for (uint32_t i = 0; i < list->count; i++) {
        any |= list->ids[i] == id;
    }
    return any;
}

/* Nobody has to wait for it: others are accepted until the ring is full, and then refused; all is
 * delivered once it has gone on. */
TEST(R45_a_producer_that_stops_keeps_nobody_from_enqueueing) {
    bool stopped = true;
    unsigned reserved = 0;
    for (unsigned after = 1; stopped; after++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct producer producer = {attach(memory), 99, after, .status = PB_SYSTEM};
        struct list got = {0};
        uint32_t accepted = 0;
        stopped = stop(&producer);
        while (pb_mailbox_enqueue(producer.mailbox, accepted + 1) == PB_OK) {
            accepted++;
        }
        CHECK(accepted == CAPACITY || accepted == CAPACITY - 1);
        CHECK(!pb_mailbox_is_closed(producer.mailbox));
        CHECK(pb_mailbox_is_signalled(producer.mailbox));
        go_on(&producer);
        CHECK_STATUS(producer.status, accepted == CAPACITY ? PB_FULL : PB_OK);
        reserved += stopped && accepted < CAPACITY;
        CHECK_EQ(pb_guest_drain(words_of(memory), take, &got), CAPACITY);
        CHECK_EQ(got.count, CAPACITY);
        for (uint32_t i = 0, next = 1; i < got.count; i++) {
            CHECK_EQ(got.ids[i], got.ids[i] == 99 ? 99 : next);
            next += got.ids[i] != 99;
        }
        pb_mailbox_release(producer.mailbox);
        pb_memory_release(memory);
    }
    CHECK(reserved > 0);
}

/* True while the producer has published nothing, and is the publisher. */
static bool publishes(struct pb_memory *memory, struct pb_mailbox *mailbox) {
    return words_of(memory)->tail == 0 && words_of(memory)->flag == 0 &&
           pb_mailbox_is_signalled(mailbox);
}

/* After how many instructions an enqueue that meets nobody is first the publisher. */
static unsigned until_it_publishes(void) {
    for (unsigned after = 1;; after++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct producer producer = {attach(memory), 1, after, .status = PB_SYSTEM};
        CHECK(stop(&producer)); /* else it never was */
        bool found = publishes(memory, producer.mailbox);
        go_on(&producer);
        pb_mailbox_release(producer.mailbox);
        pb_memory_release(memory);
        if (found) {
            return after;
        }
    }
}

/* The second one leaves its place empty, or an id that it has not told of, while the first one
 * publishes; then others enqueue. Close delivers what they have put behind that place. */
static unsigned stop_behind_a_publisher(unsigned first_after, bool closes) {
    bool stopped = true;
    unsigned dead = 0;
    while (stopped) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct pb_mailbox *mailbox = attach(memory);
        struct producer first = {mailbox, 1, first_after, .status = PB_SYSTEM};
        struct producer second = {mailbox, 2, 0, .status = PB_SYSTEM};
        struct list got = {0};
        uint32_t dropped = 99;
        CHECK(stop(&first));
        CHECK(publishes(memory, mailbox));
        stopped = stop(&second);
        go_on(&first);
        CHECK_STATUS(first.status, PB_OK);
        for (uint32_t id = 3; id <= 5; id++) {
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, id), PB_OK);
        }
        pb_guest_drain(words_of(memory), take, &got);
        CHECK(has(&got, 1)); /* what was before its place */
        if (closes) {
            pb_mailbox_close(mailbox, &dropped);
            CHECK_EQ(dropped, 0);
            pb_guest_drain(words_of(memory), take, &got);
        }
        bool delivered = has(&got, 2);
        go_on(&second);
        if (!closes) {
            pb_guest_drain(words_of(memory), take, &got);
            delivered = true;
        }
        CHECK_STATUS(second.status, delivered ? PB_OK : PB_CLOSED);
        CHECK_EQ(got.count, delivered ? 5 : 4);
        uint32_t next = 3;
        for (uint32_t i = 1; i < got.count; i++) {
            CHECK_EQ(got.ids[i], got.ids[i] == 2 ? 2 : next);
            next += got.ids[i] != 2;
        }
        dead += !delivered;
        pb_mailbox_release(mailbox);
        pb_memory_release(memory);
    }
    return dead;
}

TEST(R45_close_delivers_what_is_behind_a_producer_that_stopped) {
    CHECK(stop_behind_a_publisher(until_it_publishes(), true) > 0);
}

TEST(R45_what_is_behind_a_producer_that_stopped_comes_when_it_goes_on) {
    CHECK_EQ(stop_behind_a_publisher(until_it_publishes(), false), 0);
}

#endif
