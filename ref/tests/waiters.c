/* waiters.c: tests of R19 to R29: wait, notify and disable. Interleavings are shown through the
 * seam (what happens while a waiter would block runs in the hook) or with threads that wait until
 * the others are seen to be blocked; nothing depends on time. */
#include "waiters.h"

#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

#include <string.h>

static uint32_t notify(struct pb_memory *memory, uint64_t address, uint32_t count) {
    uint32_t woken = 12345;
    CHECK_STATUS(pb_memory_notify(memory, address, count, &woken), PB_OK);
    return woken;
}

/* ---- R19 checks ----------------------------------------------------------------------------- */

TEST(R19_S14_misaligned_addresses_are_errors) {
    static const uint64_t bases[] = {0, 64, 65528, 65536, UINT64_C(1) << 32, UINT64_MAX - 7};
    struct pb_memory *memories[] = {shared_memory(1, 1), owned_memory(1, 1)};
    for (unsigned i = 0; i < 2 * sizeof bases / sizeof *bases; i++) {
        struct pb_memory *memory = memories[i % 2];
        for (unsigned off = 1; off < 8; off++) {
            uint64_t at = bases[i / 2] + off;
            enum pb_wait result;
            uint32_t woken;
            CHECK_STATUS(pb_memory_wait64(memory, at, 1, 0, &result), PB_MISALIGNED);
            if (off != 4) {
                CHECK_STATUS(pb_memory_wait32(memory, at, 1, 0, &result), PB_MISALIGNED);
                CHECK_STATUS(pb_memory_notify(memory, at, 1, &woken), PB_MISALIGNED);
                CHECK_STATUS(pb_memory_notify(memory, at, 0, &woken), PB_MISALIGNED);
            }
        }
    }
    pb_memory_release(memories[0]);
    pb_memory_release(memories[1]);
}

TEST(R19_S12_addresses_past_the_end_are_errors) {
    static const uint64_t out[] = {65536, 65544, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 65528,
                                   UINT64_MAX - 7};
    struct pb_memory *memories[] = {shared_memory(1, 2), owned_memory(1, 2)};
    for (unsigned i = 0; i < 2 * sizeof out / sizeof *out; i++) {
        struct pb_memory *memory = memories[i % 2];
        enum pb_wait result;
        uint32_t woken;
        CHECK_STATUS(pb_memory_wait32(memory, out[i / 2], 0, 0, &result), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_wait64(memory, out[i / 2], 0, 0, &result), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_notify(memory, out[i / 2], 1, &woken), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_notify(memory, out[i / 2], 0, &woken), PB_OUT_OF_BOUNDS);
    }
    pb_memory_release(memories[0]);
    pb_memory_release(memories[1]);
}

TEST(R19_last_aligned_word_is_valid) {
    for (struct each e = each_kind(1, 2, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        enum pb_wait result;
        uint32_t old;
        for (uint64_t size = PB_PAGE_BYTES; size <= 2 * PB_PAGE_BYTES; size += PB_PAGE_BYTES) {
            CHECK_STATUS(pb_memory_wait32(memory, size - 4, 1, 0, &result), PB_OK);
            CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
            CHECK_STATUS(pb_memory_wait64(memory, size - 8, 1, 0, &result), PB_OK);
            CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
            CHECK_EQ(notify(memory, size - 4, 1), 0);
            CHECK_EQ(notify(memory, size - 4, 0), 0);
            CHECK_STATUS(pb_memory_wait32(memory, size, 0, 0, &result), PB_OUT_OF_BOUNDS);
            CHECK_STATUS(pb_memory_grow(memory, size == PB_PAGE_BYTES, &old), PB_OK);
        }
        pb_memory_release(memory);
    }
}

TEST(R19_empty_memory_has_no_word) {
    struct pb_memory *memory = shared_memory(0, 1);
    enum pb_wait result;
    uint32_t woken;
    CHECK_STATUS(pb_memory_wait32(memory, 0, 0, 0, &result), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_wait64(memory, 0, 0, 0, &result), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_notify(memory, 0, 0, &woken), PB_OUT_OF_BOUNDS);
    pb_memory_release(memory);
}

TEST(R19_wait_on_an_unshared_memory_is_an_error_even_on_a_mismatch) {
    for (struct each e = each_kind(1, 2, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        enum pb_wait result = (enum pb_wait)77;
        for (uint32_t expected = 0; expected < 2; expected++) {
            CHECK_STATUS(pb_memory_wait32(memory, 0, expected, 0, &result), PB_NOT_SHARED);
            CHECK_STATUS(pb_memory_wait64(memory, 8, expected, -1, &result), PB_NOT_SHARED);
        }
        CHECK_EQ(result, 77);
        CHECK_EQ(notify(memory, 0, 1), 0);
        CHECK_EQ(notify(memory, 65532, UINT32_MAX), 0);
        pb_memory_release(memory);
    }
}

/* WasmEdge 5310: notify wanted the alignment of wait64. */
TEST(R19_notify_needs_an_alignment_of_4_only) {
    struct pb_memory *memory = shared_memory(1, 1);
    for (uint64_t at = 0; at < 64; at += 4) {
        CHECK_EQ(notify(memory, at, 1), 0);
    }
    pb_memory_release(memory);
}

/* ---- R20 value ------------------------------------------------------------------------------ */

TEST(R20_value_is_compared_at_its_width) {
    struct pb_memory *memory = shared_memory(1, 1);
    enum pb_wait result;
    CHECK_STATUS(pb_memory_store(memory, 64, 0, 8, UINT64_C(0x0000000500000007)), PB_OK);
    CHECK_STATUS(pb_memory_wait32(memory, 64, 7, 0, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_TIMED_OUT);
    CHECK_STATUS(pb_memory_wait32(memory, 68, 5, 0, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_TIMED_OUT);
    CHECK_STATUS(pb_memory_wait32(memory, 64, 8, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
    static const uint64_t wrong[] = {7, UINT64_C(5) << 32, UINT64_C(0x8000000500000007), 0};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CHECK_STATUS(pb_memory_wait64(memory, 64, wrong[i], -1, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
    }
    CHECK_STATUS(pb_memory_wait64(memory, 64, UINT64_C(0x0000000500000007), 0, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_TIMED_OUT);
    pb_memory_release(memory);
}

/* ---- One thread, through the seam ----------------------------------------------------------- */

/* What the hooks below work on. */
static struct {
    struct pb_memory *memory;
    uint64_t address, now_ns, deadline_ns;
    unsigned calls, spurious;
    uint32_t woken;
} scene;

static void scene_start(void) {
    memset(&scene, 0, sizeof scene);
    scene.memory = shared_memory(1, 1);
    scene.address = 64;
    scene.now_ns = 1000;
    seam_clock(scene.now_ns);
}

static void scene_end(void) {
    seam_wait(NULL);
    CHECK_EQ(pb_memory_waiters(scene.memory), 0);
    pb_memory_release(scene.memory);
}

/* A wait of the scene's memory with this hook in place of blocking. */
static enum pb_status scene_wait(seam_wait_fn *hook, int64_t timeout_ns, enum pb_wait *result) {
    *result = (enum pb_wait)77;
    scene.calls = 0;
    seam_wait(hook);
    enum pb_status status = pb_memory_wait32(scene.memory, scene.address, 0, timeout_ns, result);
    seam_wait(NULL);
    return status;
}

static enum pb_status wake_for_nothing_then_notify(_Atomic uint32_t *word, uint32_t expected,
                                                   uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    if (++scene.calls > scene.spurious) {
        scene.woken = notify(scene.memory, scene.address, 1);
    }
    return PB_OK;
}

TEST(R22_no_spurious_wakes_of_the_system_are_passed_on) {
    scene_start();
    enum pb_wait result;
    scene.spurious = 5;
    CHECK_STATUS(scene_wait(wake_for_nothing_then_notify, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    CHECK_EQ(scene.calls, 6);
    CHECK_EQ(scene.woken, 1);
    scene_end();
}

static enum pb_status notify_then_time_out(_Atomic uint32_t *word, uint32_t expected,
                                           uint64_t deadline_ns) {
    (void)word, (void)expected;
    scene.calls++;
    scene.woken = notify(scene.memory, scene.address, UINT32_MAX);
    seam_clock(deadline_ns);
    return PB_TIMED_OUT;
}

static enum pb_status time_out(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    (void)word, (void)expected;
    scene.calls++;
    CHECK(deadline_ns != PB_DEADLINE_NEVER);
    seam_clock(deadline_ns);
    return PB_TIMED_OUT;
}

/* A waiter that ran out of time and was notified as well returns 0, and leaves no wake behind. */
TEST(R22_S16_notified_at_the_last_moment_is_not_timed_out) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(notify_then_time_out, 100, &result), PB_OK);
    CHECK_EQ(scene.woken, 1);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    scene.spurious = 3;
    CHECK_STATUS(scene_wait(wake_for_nothing_then_notify, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    CHECK_EQ(scene.calls, 4);
    scene_end();
}

/* asterinas 1587: the timed-out waiter must be out of the queue, or it eats the next wake. */
TEST(R22_timed_out_waiter_is_not_counted) {
    scene_start();
    enum pb_wait result;
    for (unsigned i = 0; i < 10; i++) {
        CHECK_STATUS(scene_wait(time_out, 100, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_TIMED_OUT);
        CHECK_EQ(notify(scene.memory, scene.address, UINT32_MAX), 0);
    }
    scene_end();
}

/* Wakes for no reason, a step at a time; times out when the deadline is there, as os.h says. */
static enum pb_status step(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    (void)word, (void)expected;
    scene.calls++;
    scene.deadline_ns = deadline_ns;
    if (scene.now_ns >= deadline_ns) {
        return PB_TIMED_OUT;
    }
    CHECK(deadline_ns != PB_DEADLINE_NEVER);
    uint64_t left_ns = deadline_ns - scene.now_ns;
    scene.now_ns += scene.calls > 50 ? left_ns : left_ns / 2 + (left_ns == 1);
    seam_clock(scene.now_ns);
    return PB_OK;
}

TEST(R23_timeout_is_never_early) {
    static const int64_t timeouts_ns[] = {
        1, 2, 999, 1000000, INT64_C(86400000000000), INT64_MAX - 2000};
    for (size_t i = 0; i < sizeof timeouts_ns / sizeof *timeouts_ns; i++) {
        scene_start();
        enum pb_wait result;
        uint64_t start_ns = scene.now_ns;
        CHECK_STATUS(scene_wait(step, timeouts_ns[i], &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_TIMED_OUT);
        CHECK(scene.now_ns - start_ns >= (uint64_t)timeouts_ns[i]);
        CHECK_EQ(scene.deadline_ns, start_ns + (uint64_t)timeouts_ns[i]); /* in nanoseconds */
        scene_end();
    }
}

TEST(R23_timeout_of_0_is_over_at_once) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(step, 0, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_TIMED_OUT);
    CHECK_EQ(scene.now_ns, 1000);
    CHECK_EQ(notify(scene.memory, scene.address, 1), 0);
    scene_end();
}

static enum pb_status must_be_far(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    CHECK(deadline_ns >= scene.now_ns && deadline_ns - scene.now_ns >= scene.deadline_ns);
    return wake_for_nothing_then_notify(word, expected, deadline_ns);
}

TEST(R23_timeout_largest_value_does_not_overflow) {
    static const uint64_t clocks_ns[] = {0, 1, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX / 2 + 5};
    for (size_t i = 0; i < sizeof clocks_ns / sizeof *clocks_ns; i++) {
        scene_start();
        scene.now_ns = clocks_ns[i];
        scene.deadline_ns = INT64_MAX - 1; /* how far away it must be at least */
        if (clocks_ns[i] > INT64_MAX) {
            scene.deadline_ns = UINT64_MAX - clocks_ns[i]; /* the end of the clock's days */
        }
        scene.spurious = 3;
        seam_clock(scene.now_ns);
        enum pb_wait result;
        CHECK_STATUS(scene_wait(must_be_far, INT64_MAX, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_NOTIFIED);
        CHECK_EQ(scene.calls, 4);
        scene_end();
    }
}

static enum pb_status must_be_never(_Atomic uint32_t *word, uint32_t expected,
                                    uint64_t deadline_ns) {
    CHECK_EQ(deadline_ns, PB_DEADLINE_NEVER);
    return wake_for_nothing_then_notify(word, expected, deadline_ns);
}

TEST(R23_timeout_negative_is_never) {
    static const int64_t timeouts_ns[] = {-1, -2, -1000000000, INT64_MIN, INT64_MIN + 1};
    for (size_t i = 0; i < sizeof timeouts_ns / sizeof *timeouts_ns; i++) {
        scene_start();
        enum pb_wait result;
        scene.spurious = 2;
        CHECK_STATUS(scene_wait(must_be_never, timeouts_ns[i], &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_NOTIFIED);
        scene_end();
    }
}

static enum pb_status notify_none_then_one(_Atomic uint32_t *word, uint32_t expected,
                                           uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    if (++scene.calls < 4) {
        CHECK_EQ(notify(scene.memory, scene.address, 0), 0);
        CHECK_EQ(pb_memory_waiters(scene.memory), 1);
    } else {
        CHECK_EQ(notify(scene.memory, scene.address, 7), 1);
        CHECK_EQ(notify(scene.memory, scene.address, 7), 0); /* counted once only */
    }
    return PB_OK;
}

TEST(R24_count_0_wakes_none_and_nobody_is_counted_twice) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(notify_none_then_one, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    CHECK_EQ(scene.calls, 4);
    scene_end();
}

static enum pb_status notify_elsewhere_then_here(_Atomic uint32_t *word, uint32_t expected,
                                                 uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    static struct pb_memory *other;
    if (++scene.calls == 1) {
        other = shared_memory(1, 1);
        CHECK_EQ(notify(other, scene.address, UINT32_MAX), 0);
        for (uint64_t at = 0; at < PB_PAGE_BYTES; at += 4) {
            CHECK(at == scene.address || notify(scene.memory, at, UINT32_MAX) == 0);
        }
    } else {
        struct pb_memory *clone = clone_of(scene.memory);
        CHECK_EQ(notify(clone, scene.address, 1), 1);
        pb_memory_release(clone);
        pb_memory_release(other);
    }
    return PB_OK;
}

TEST(R26_key_is_the_memory_and_the_offset_for_all_clones) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(notify_elsewhere_then_here, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    CHECK_EQ(scene.calls, 2);
    scene_end();
}

static enum pb_status disable_now(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    scene.calls++;
    pb_memory_disable_atomics(scene.memory);
    CHECK_EQ(notify(scene.memory, scene.address, UINT32_MAX), 0); /* nobody is left to count */
    return PB_OK;
}

TEST(R29_S18_disable_while_a_waiter_blocks_is_an_error_for_it) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(disable_now, -1, &result), PB_DISABLED);
    CHECK_EQ(scene.calls, 1);
    scene_end();
}

static enum pb_status disable_and_time_out(_Atomic uint32_t *word, uint32_t expected,
                                           uint64_t deadline_ns) {
    (void)disable_now(word, expected, deadline_ns);
    seam_clock(deadline_ns);
    return PB_TIMED_OUT;
}

TEST(R29_disable_and_timeout_together_are_an_error_never_2) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(disable_and_time_out, 100, &result), PB_DISABLED);
    scene_end();
}

static enum pb_status notify_then_disable(_Atomic uint32_t *word, uint32_t expected,
                                          uint64_t deadline_ns) {
    (void)word, (void)expected, (void)deadline_ns;
    scene.calls++;
    CHECK_EQ(notify(scene.memory, scene.address, 1), 1);
    pb_memory_disable_atomics(scene.memory);
    return PB_OK;
}

TEST(R29_a_waiter_counted_before_the_disable_returns_0) {
    scene_start();
    enum pb_wait result;
    CHECK_STATUS(scene_wait(notify_then_disable, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    scene_end();
}

static enum pb_status destroy_and_time_out(_Atomic uint32_t *word, uint32_t expected,
                                           uint64_t deadline_ns) {
    (void)word, (void)expected;
    scene.calls++;
    seam_wait(NULL);
    pb_memory_release(scene.memory);
    CHECK_EQ(seam_releases(), 0); /* the waiter has not left yet */
    seam_clock(deadline_ns);
    return PB_TIMED_OUT;
}

TEST(R29_pages_stay_until_the_last_waiter_has_left) {
    scene_start();
    enum pb_wait result;
    seam_watch(base_of(scene.memory));
    CHECK_STATUS(scene_wait(destroy_and_time_out, 100, &result), PB_DISABLED);
    CHECK_EQ(scene.calls, 1);
    CHECK_EQ(seam_releases(), 1);
}

TEST(R29_disabled_waits_are_errors_in_the_documented_order) {
    struct pb_memory *memory = shared_memory(1, 1), *clone = clone_of(memory);
    enum pb_wait result = (enum pb_wait)77;
    pb_memory_disable_atomics(memory);
    pb_memory_disable_atomics(clone);
    pb_memory_disable_atomics(memory);
    for (uint32_t expected = 0; expected < 2; expected++) { /* also on a mismatch */
        CHECK_STATUS(pb_memory_wait32(clone, 0, expected, 0, &result), PB_DISABLED);
        CHECK_STATUS(pb_memory_wait64(memory, 0, expected, -1, &result), PB_DISABLED);
    }
    CHECK_STATUS(pb_memory_wait32(memory, 1, 0, 0, &result), PB_MISALIGNED);
    CHECK_STATUS(pb_memory_wait32(memory, 65536, 0, 0, &result), PB_OUT_OF_BOUNDS);
    CHECK_EQ(result, 77);
    CHECK_EQ(notify(clone, 0, 1), 0);
    struct pb_memory *owned = owned_memory(1, 1);
    pb_memory_disable_atomics(owned);
    CHECK_STATUS(pb_memory_to_shared(owned), PB_OK);
    CHECK_STATUS(pb_memory_wait32(owned, 0, 1, 0, &result), PB_OK);
    pb_memory_release(owned);
    pb_memory_release(memory);
    pb_memory_release(clone);
}

/* ---- R27, R28 ------------------------------------------------------------------------------- */

TEST(R27_queues_leave_nothing_behind) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 1, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 1, true}, .style = &style, .allocator = &seam_allocator};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    unsigned alive = seam_allocator_alive();
    for (uint64_t at = 0; at < PB_PAGE_BYTES; at += 4) {
        enum pb_wait result;
        CHECK_STATUS(pb_memory_wait32(memory, at, 0, 0, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_TIMED_OUT);
        CHECK_EQ(notify(memory, at, 1), 0);
    }
    CHECK_EQ(pb_memory_waiters(memory), 0);
    CHECK_EQ(seam_allocator_alive(), alive);
    pb_memory_release(memory);
    CHECK_EQ(seam_allocator_alive(), 0);
}

/* Joining a queue needs no memory, so it cannot fail for want of it. */
TEST(R27_waiting_allocates_nothing) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 1, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 1, true}, .style = &style, .allocator = &seam_allocator};
    memset(&scene, 0, sizeof scene);
    CHECK_STATUS(pb_memory_create(&config, &scene.memory), PB_OK);
    enum pb_wait result;
    seam_allocator_fail(1);
    CHECK_STATUS(scene_wait(wake_for_nothing_then_notify, -1, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    CHECK_EQ(seam_allocator_failed(), 0);
    scene_end();
}

/* ---- Threads that are seen to be blocked ---------------------------------------------------- */

/* One blocked thread, on a handle of its own. */
struct sleeper {
    struct pb_memory *handle;
    uint64_t address;
    int64_t timeout_ns;
    unsigned width;
    enum pb_status status;
    enum pb_wait result;
    _Atomic bool done;
    pthread_t thread;
};

static void *sleep_here(void *argument) {
    struct sleeper *sleeper = argument;
    sleeper->result = (enum pb_wait)77;
    sleeper->status = sleeper->width == 4 ? pb_memory_wait32(sleeper->handle, sleeper->address, 0,
                                                             sleeper->timeout_ns, &sleeper->result)
                                          : pb_memory_wait64(sleeper->handle, sleeper->address, 0,
                                                             sleeper->timeout_ns, &sleeper->result);
    sleeper->done = true;
    return NULL;
}

static void await_waiters(struct pb_memory *memory, uint32_t count) {
    while (pb_memory_waiters(memory) != count) {
        test_pause();
    }
}

/* Starts a waiter and returns when it is in its queue, the count-th of this memory. */
static void sleeper_start(struct sleeper *sleeper, struct pb_memory *memory, uint64_t address,
                          unsigned width) {
    uint32_t before = pb_memory_waiters(memory);
    *sleeper = (struct sleeper){
        .handle = clone_of(memory), .address = address, .timeout_ns = -1, .width = width};
    sleeper->thread = test_thread(sleep_here, sleeper);
    await_waiters(memory, before + 1);
}

static void sleeper_end(struct sleeper *sleeper, enum pb_status status, enum pb_wait result) {
    test_join(sleeper->thread);
    CHECK_STATUS(sleeper->status, status);
    if (status == PB_OK) {
        CHECK_EQ(sleeper->result, result);
    }
    pb_memory_release(sleeper->handle);
}

static unsigned done_count(const struct sleeper *sleepers, unsigned count) {
    unsigned done = 0;
    for (unsigned i = 0; i < count; i++) {
        done += sleepers[i].done;
    }
    return done;
}

TEST(R25_fifo_waiters_wake_in_the_order_of_registration) {
    enum { COUNT = 6 };
    struct pb_memory *memory = shared_memory(1, 1);
    for (unsigned round = 0; round < 3; round++) {
        struct sleeper sleepers[COUNT];
        for (unsigned i = 0; i < COUNT; i++) { /* R24: both widths share the queue */
            sleeper_start(&sleepers[i], memory, 64, i % 2 ? 4 : 8);
        }
        for (unsigned i = 0; i < COUNT; i++) {
            CHECK_EQ(done_count(sleepers, COUNT), i);
            CHECK_EQ(notify(memory, 64, 1), 1);
            while (done_count(sleepers, COUNT) == i) {
                test_pause();
            }
            CHECK(sleepers[i].done);
            CHECK_EQ(done_count(sleepers, COUNT), i + 1);
        }
        CHECK_EQ(notify(memory, 64, 1), 0);
        for (unsigned i = 0; i < COUNT; i++) {
            sleeper_end(&sleepers[i], PB_OK, PB_WAIT_NOTIFIED);
        }
    }
    pb_memory_release(memory);
}

TEST(R25_fifo_a_leaver_in_the_middle_keeps_the_order) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct sleeper sleepers[3];
    sleeper_start(&sleepers[0], memory, 64, 4);
    sleepers[1] = (struct sleeper){
        .handle = clone_of(memory), .address = 64, .timeout_ns = 20000000, .width = 4};
    sleepers[1].thread = test_thread(sleep_here, &sleepers[1]);
    while (pb_memory_waiters(memory) != 2 && !sleepers[1].done) {
        test_pause();
    }
    sleeper_end(&sleepers[1], PB_OK, PB_WAIT_TIMED_OUT);
    CHECK_EQ(pb_memory_waiters(memory), 1);
    sleeper_start(&sleepers[2], memory, 64, 4);
    CHECK_EQ(notify(memory, 64, 1), 1);
    sleeper_end(&sleepers[0], PB_OK, PB_WAIT_NOTIFIED);
    CHECK(!sleepers[2].done);
    CHECK_EQ(notify(memory, 64, 5), 1);
    sleeper_end(&sleepers[2], PB_OK, PB_WAIT_NOTIFIED);
    pb_memory_release(memory);
}

TEST(R24_count_is_exact_and_all_ones_wakes_all) {
    enum { COUNT = 7 };
    struct pb_memory *memory = shared_memory(1, 1);
    struct sleeper sleepers[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        sleeper_start(&sleepers[i], memory, 64, 4);
    }
    CHECK_EQ(notify(memory, 64, 3), 3);
    CHECK_EQ(pb_memory_waiters(memory), 4);
    CHECK_EQ(notify(memory, 64, UINT32_MAX), 4);
    CHECK_EQ(pb_memory_waiters(memory), 0);
    for (unsigned i = 0; i < COUNT; i++) {
        sleeper_end(&sleepers[i], PB_OK, PB_WAIT_NOTIFIED);
    }
    pb_memory_release(memory);
}

TEST(R24_both_widths_on_one_address_share_a_queue) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct sleeper narrow, wide;
    sleeper_start(&wide, memory, 64, 8);
    sleeper_start(&narrow, memory, 64, 4);
    CHECK_EQ(notify(memory, 68, UINT32_MAX), 0); /* the wide one's upper half is no address of it */
    CHECK_EQ(notify(memory, 64, UINT32_MAX), 2);
    sleeper_end(&wide, PB_OK, PB_WAIT_NOTIFIED);
    sleeper_end(&narrow, PB_OK, PB_WAIT_NOTIFIED);
    pb_memory_release(memory);
}

TEST(R26_queues_of_many_addresses_do_not_mix) {
    enum { COUNT = 8 };
    static const uint64_t steps[] = {4, 64, 256, 1024, 4096};
    struct pb_memory *memory = shared_memory(1, 1);
    for (unsigned s = 0; s < sizeof steps / sizeof *steps; s++) {
        struct sleeper sleepers[COUNT];
        for (unsigned i = 0; i < COUNT; i++) {
            sleeper_start(&sleepers[i], memory, i * steps[s], 4);
        }
        for (unsigned i = COUNT; i-- > 0;) {
            CHECK_EQ(notify(memory, i * steps[s], UINT32_MAX), 1);
            sleeper_end(&sleepers[i], PB_OK, PB_WAIT_NOTIFIED);
            CHECK_EQ(done_count(sleepers, COUNT), COUNT - i);
        }
    }
    pb_memory_release(memory);
}

/* endive 106: a wake is for those who were there, and leaves no permit. */
TEST(R24_notify_before_the_wait_does_not_count) {
    struct pb_memory *memory = shared_memory(1, 1);
    struct sleeper sleeper;
    for (unsigned i = 0; i < 20; i++) {
        CHECK_EQ(notify(memory, 64, UINT32_MAX), 0);
        sleeper_start(&sleeper, memory, 64, 4);
        CHECK(!sleeper.done);
        CHECK_EQ(notify(memory, 64, 1), 1);
        sleeper_end(&sleeper, PB_OK, PB_WAIT_NOTIFIED);
    }
    pb_memory_release(memory);
}

static struct pb_memory *memory_with_limit(uint32_t waiters_max) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 1, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 1, true}, .style = &style, .waiters_max = waiters_max};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    return memory;
}

TEST(R28_S19_waiter_limit_counts_waiters_not_addresses) {
    for (unsigned same = 0; same < 2; same++) {
        struct pb_memory *memory = memory_with_limit(3);
        struct sleeper sleepers[3];
        enum pb_wait result;
        for (unsigned i = 0; i < 3; i++) {
            sleeper_start(&sleepers[i], memory, same ? 64 : 64 + 4 * i, 4);
        }
        CHECK_STATUS(pb_memory_wait32(memory, 64, 0, -1, &result), PB_TOO_MANY_WAITERS);
        CHECK_STATUS(pb_memory_wait64(memory, 1024, 0, -1, &result), PB_TOO_MANY_WAITERS);
        CHECK_EQ(notify(memory, 64, 1), 1); /* room for one again */
        sleeper_end(&sleepers[0], PB_OK, PB_WAIT_NOTIFIED);
        sleeper_start(&sleepers[0], memory, 512, 4);
        CHECK_STATUS(pb_memory_wait32(memory, 0, 0, -1, &result), PB_TOO_MANY_WAITERS);
        uint32_t woken = notify(memory, 512, 1);
        for (unsigned i = 0; i < 3; i++) {
            woken += notify(memory, 64 + 4 * i, UINT32_MAX);
        }
        CHECK_EQ(woken, 3);
        for (unsigned i = 0; i < 3; i++) {
            sleeper_end(&sleepers[i], PB_OK, PB_WAIT_NOTIFIED);
        }
        CHECK_EQ(pb_memory_waiters(memory), 0);
        pb_memory_release(memory);
    }
}

TEST(R28_waiter_limit_gives_back_what_timed_out) {
    struct pb_memory *memory = memory_with_limit(1);
    for (unsigned i = 0; i < 100; i++) {
        enum pb_wait result;
        CHECK_STATUS(pb_memory_wait32(memory, 4UL * i, 0, i % 2 ? 1 : 0, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_TIMED_OUT);
        CHECK_STATUS(pb_memory_wait32(memory, 4UL * i, 1, -1, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
    }
    pb_memory_release(memory);
}

TEST(R29_disable_frees_every_blocked_waiter) {
    enum { COUNT = 6 };
    struct pb_memory *memory = shared_memory(1, 1);
    struct sleeper sleepers[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        sleeper_start(&sleepers[i], memory, 64UL * (i / 2), 4);
    }
    pb_memory_disable_atomics(memory);
    for (unsigned i = 0; i < COUNT; i++) {
        sleeper_end(&sleepers[i], PB_DISABLED, PB_WAIT_NOTIFIED);
    }
    CHECK_EQ(pb_memory_waiters(memory), 0);
    CHECK_EQ(notify(memory, 0, UINT32_MAX), 0);
    pb_memory_release(memory);
}

TEST(R29_destroying_a_clone_leaves_others_blocked_until_notified) {
    struct pb_memory *memory = shared_memory(1, 1), *other = clone_of(memory);
    struct sleeper sleeper;
    sleeper_start(&sleeper, memory, 64, 4);
    pb_memory_release(memory);
    CHECK_EQ(pb_memory_waiters(other), 1);
    CHECK(!sleeper.done);
    CHECK_EQ(notify(other, 64, 1), 1);
    pb_memory_release(other);
    sleeper_end(&sleeper, PB_OK, PB_WAIT_NOTIFIED);
}

/* The last handle goes while a thread is blocked on it: the pages go when that thread has left. */
TEST(R29_destroying_the_last_handle_frees_its_blocked_waiters) {
    for (struct each e = each_kind(1, 1, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        enum { COUNT = 3 };
        struct pb_memory *memory = each_create(&e);
        struct sleeper sleepers[COUNT];
        for (unsigned i = 0; i < COUNT; i++) {
            sleepers[i] =
                (struct sleeper){.handle = memory, .address = 64, .timeout_ns = -1, .width = 4};
            sleepers[i].thread = test_thread(sleep_here, &sleepers[i]);
        }
        await_waiters(memory, COUNT);
        seam_watch(base_of(memory));
        pb_memory_release(memory);
        for (unsigned i = 0; i < COUNT; i++) {
            test_join(sleepers[i].thread);
            CHECK_STATUS(sleepers[i].status, PB_DISABLED);
        }
        if (e.strategy != PB_STRATEGY_POOL) {
            CHECK_EQ(seam_releases(), 1);
        } else {
            CHECK_EQ(pb_pool_stats(e.pool).used, 0);
        }
    }
}

/* ---- The table itself ----------------------------------------------------------------------- */

TEST(R20_table_alone_compares_and_counts) {
    struct pb_waiters *waiters = NULL;
    _Alignas(8) uint64_t word = UINT64_C(0x100000002);
    enum pb_wait result;
    CHECK_STATUS(pb_waiters_create(0, &seam_allocator, &waiters), PB_OK);
    CHECK_STATUS(pb_waiters_wait(waiters, 8, &word, 8, 2, -1, NULL, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOT_EQUAL);
    CHECK_STATUS(pb_waiters_wait(waiters, 8, &word, 4, 2, 0, NULL, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_TIMED_OUT);
    CHECK_EQ(pb_waiters_notify(waiters, 8, 1), 0);
    CHECK_EQ(pb_waiters_blocked(waiters), 0);
    pb_waiters_disable(waiters);
    CHECK_STATUS(pb_waiters_wait(waiters, 8, &word, 4, 2, -1, NULL, &result), PB_DISABLED);
    pb_waiters_destroy(waiters);
    pb_waiters_destroy(NULL);
    CHECK_EQ(seam_allocator_alive(), 0);
}
