/* cancel.c: tests of R41: one blocked wait is ended by its owner, and nobody else is harmed. */
#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

static struct {
    struct pb_memory *memory;
    struct pb_canceller *canceller;
    enum pb_status status;
    enum pb_wait result;
} scene;

static void scene_make(void) {
    scene.memory = shared_memory(1, 1);
    CHECK_STATUS(pb_canceller_create(&seam_allocator, &scene.canceller), PB_OK);
}

static void scene_drop(void) {
    seam_wait(NULL);
    CHECK_EQ(pb_memory_waiters(scene.memory), 0);
    pb_canceller_release(scene.canceller);
    pb_memory_release(scene.memory);
    CHECK_EQ(seam_allocator_alive(), 0);
}

static enum pb_status wait_at(uint64_t address, uint32_t expected, int64_t timeout_ns) {
    scene.result = (enum pb_wait)77;
    return pb_memory_cancellable_wait32(scene.memory, address, expected, timeout_ns,
                                        scene.canceller, &scene.result);
}

static enum pb_status cancel_now(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    pb_canceller_cancel(scene.canceller);
    return PB_OK;
}

TEST(R41_cancel_ends_a_blocked_wait) {
    scene_make();
    seam_wait(cancel_now);
    CHECK_STATUS(wait_at(64, 0, -1), PB_CANCELLED);
    CHECK_EQ(scene.result, 77);
    CHECK_EQ(pb_memory_waiters(scene.memory), 0);
    pb_canceller_reset(scene.canceller);
    CHECK_STATUS(
        pb_memory_cancellable_wait64(scene.memory, 64, 0, 1000, scene.canceller, &scene.result),
        PB_CANCELLED);
    uint32_t woken = 77;
    CHECK_STATUS(pb_memory_notify(scene.memory, 64, 1, &woken), PB_OK);
    CHECK_EQ(woken, 0);
    scene_drop();
}

TEST(R41_cancel_before_the_wait_ends_the_next_one) {
    scene_make();
    pb_canceller_cancel(scene.canceller);
    pb_canceller_cancel(scene.canceller);
    CHECK_STATUS(wait_at(64, 1, -1), PB_OK); /* what does not block is not cancelled */
    CHECK_EQ(scene.result, PB_WAIT_NOT_EQUAL);
    CHECK_STATUS(wait_at(64, 0, 0), PB_OK);
    CHECK_EQ(scene.result, PB_WAIT_TIMED_OUT);
    CHECK_STATUS(wait_at(64, 0, -1), PB_CANCELLED);
    CHECK_STATUS(wait_at(64, 0, 5), PB_CANCELLED);
    CHECK_STATUS(wait_at(2, 0, -1), PB_MISALIGNED);
    CHECK_STATUS(wait_at(65536, 0, -1), PB_OUT_OF_BOUNDS);
    pb_memory_disable_atomics(scene.memory);
    CHECK_STATUS(wait_at(64, 0, -1), PB_DISABLED);
    scene_drop();
}

static enum pb_status notify_then_cancel(_Atomic uint32_t *word, uint32_t expected,
                                         uint64_t deadline_ns) {
    uint32_t woken;
    (void)word, (void)expected, (void)deadline_ns;
    CHECK_STATUS(pb_memory_notify(scene.memory, 64, 1, &woken), PB_OK);
    CHECK_EQ(woken, 1);
    pb_canceller_cancel(scene.canceller);
    return PB_TIMED_OUT;
}

static enum pb_status cancel_then_notify(_Atomic uint32_t *word, uint32_t expected,
                                         uint64_t deadline_ns) {
    uint32_t woken;
    (void)word, (void)expected, (void)deadline_ns;
    pb_canceller_cancel(scene.canceller);
    CHECK_STATUS(pb_memory_notify(scene.memory, 64, 1, &woken), PB_OK);
    CHECK_EQ(woken, 0);
    return PB_TIMED_OUT;
}

static enum pb_status disable_then_cancel(_Atomic uint32_t *word, uint32_t expected,
                                          uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    pb_memory_disable_atomics(scene.memory);
    pb_canceller_cancel(scene.canceller);
    return PB_OK;
}

TEST(R41_cancel_loses_no_wake) {
    scene_make();
    seam_wait(notify_then_cancel);
    CHECK_STATUS(wait_at(64, 0, 100), PB_OK);
    CHECK_EQ(scene.result, PB_WAIT_NOTIFIED);
    pb_canceller_reset(scene.canceller);
    seam_wait(cancel_then_notify);
    CHECK_STATUS(wait_at(64, 0, 100), PB_CANCELLED);
    pb_canceller_reset(scene.canceller);
    seam_wait(disable_then_cancel);
    CHECK_STATUS(wait_at(64, 0, 100), PB_DISABLED);
    scene_drop();
}

static enum pb_status use_it_twice(_Atomic uint32_t *word, uint32_t expected,
                                   uint64_t deadline_ns) {
    enum pb_wait result;
    (void)word, (void)expected, (void)deadline_ns;
    CHECK_STATUS(pb_memory_cancellable_wait32(scene.memory, 128, 0, -1, scene.canceller, &result),
                 PB_INVALID);
    return cancel_now(word, expected, deadline_ns);
}

TEST(R41_cancel_is_for_one_wait_at_a_time) {
    scene_make();
    seam_wait(use_it_twice);
    CHECK_STATUS(wait_at(64, 0, -1), PB_CANCELLED);
    scene_drop();
}

TEST(R41_cancel_wants_memory_and_a_shared_memory) {
    struct pb_canceller *canceller = NULL;
    enum pb_wait result;
    seam_allocator_fail(1);
    CHECK_STATUS(pb_canceller_create(&seam_allocator, &canceller), PB_NO_MEMORY);
    CHECK(canceller == NULL);
    CHECK_STATUS(pb_canceller_create(NULL, &canceller), PB_OK);
    struct pb_memory *memory = owned_memory(1, 1);
    CHECK_STATUS(pb_memory_cancellable_wait32(memory, 0, 0, -1, canceller, &result), PB_NOT_SHARED);
    pb_memory_release(memory);
    pb_canceller_release(canceller);
    pb_canceller_release(NULL);
}

/* ---- Threads -------------------------------------------------------------------------------- */

struct sleeper {
    struct pb_canceller *canceller;
    enum pb_status status;
    enum pb_wait result;
};

static void *sleep_on(void *argument) {
    struct sleeper *s = argument;
    s->status = pb_memory_cancellable_wait32(scene.memory, 64, 0, -1, s->canceller, &s->result);
    return NULL;
}

static void wait_for_waiters(uint32_t count) {
    while (pb_memory_waiters(scene.memory) != count) {
        test_pause();
    }
}

/* Of three the one in the middle, the oldest, the youngest: the others are woken in their order. */
TEST(R41_cancel_leaves_the_others_in_their_queue) {
    scene.memory = shared_memory(1, 1);
    for (unsigned victim = 0; victim < 3; victim++) {
        struct sleeper sleepers[3] = {0};
        pthread_t threads[3];
        for (unsigned i = 0; i < 3; i++) {
            CHECK_STATUS(pb_canceller_create(NULL, &sleepers[i].canceller), PB_OK);
            threads[i] = test_thread(sleep_on, &sleepers[i]);
            wait_for_waiters(i + 1);
        }
        pb_canceller_cancel(sleepers[victim].canceller);
        test_join(threads[victim]);
        CHECK_STATUS(sleepers[victim].status, PB_CANCELLED);
        CHECK_EQ(pb_memory_waiters(scene.memory), 2);
        for (unsigned i = 0; i < 3; i++) {
            if (i != victim) {
                uint32_t woken;
                CHECK_STATUS(pb_memory_notify(scene.memory, 64, 1, &woken), PB_OK);
                CHECK_EQ(woken, 1);
                test_join(threads[i]);
                CHECK_STATUS(sleepers[i].status, PB_OK);
                CHECK_EQ(sleepers[i].result, PB_WAIT_NOTIFIED);
            }
        }
        for (unsigned i = 0; i < 3; i++) {
            pb_canceller_release(sleepers[i].canceller);
        }
    }
    pb_memory_release(scene.memory);
}

static void *cancel_it(void *argument) {
    pb_canceller_cancel(argument);
    return NULL;
}

static void *notify_it(void *argument) {
    (void)argument;
    uint32_t *woken = argument;
    CHECK_STATUS(pb_memory_notify(scene.memory, 64, 1, woken), PB_OK);
    return NULL;
}

/* Against a notify at the same time exactly one of them has it. */
TEST(R41_cancel_or_notify_but_not_both) {
    scene.memory = shared_memory(1, 1);
    for (unsigned i = 0; i < TEST_ROUNDS(500); i++) {
        struct sleeper sleeper = {0};
        uint32_t woken = 77;
        CHECK_STATUS(pb_canceller_create(NULL, &sleeper.canceller), PB_OK);
        pthread_t waiting = test_thread(sleep_on, &sleeper);
        if (i % 2 == 0) {
            wait_for_waiters(1);
        }
        pthread_t cancelling = test_thread(cancel_it, sleeper.canceller);
        pthread_t notifying = test_thread(notify_it, &woken);
        test_join(cancelling);
        test_join(notifying);
        test_join(waiting);
        if (woken == 1) {
            CHECK_STATUS(sleeper.status, PB_OK);
            CHECK_EQ(sleeper.result, PB_WAIT_NOTIFIED);
        } else {
            CHECK_STATUS(sleeper.status, PB_CANCELLED);
        }
        pb_canceller_release(sleeper.canceller);
    }
    pb_memory_release(scene.memory);
}
