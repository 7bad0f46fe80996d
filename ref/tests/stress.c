/* stress.c: real threads on shared memories: R11, R13, R14, R18, R21 to R29. Every loop is bounded;
 * a lost wake or a deadlock is found by the runner's time limit, never by a measured time. */
#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

#include <string.h>

enum { THREADS = 3 };

/* What a crew of threads shares; each gets a handle of its own. */
struct crew {
    struct pb_memory *handles[THREADS + 1];
    pthread_t threads[THREADS + 1];
    _Atomic unsigned next, next_role, ready;
    _Atomic uint64_t notified, returned;
    _Atomic bool stop;
    void *(*const *roles)(void *);
    unsigned count;
};

/* Each thread of the crew calls this first: its number; all set off together. */
static unsigned crew_join(struct crew *crew) {
    unsigned number = crew->next++;
    crew->ready++;
    while (crew->ready < crew->count) {
        test_pause();
    }
    return number;
}

/* A thread of the crew: the next role, disturbed at arbitrary places. */
static void *crew_thread(void *argument) {
    struct crew *crew = argument;
    struct test_disturbance disturbance = test_disturb();
    crew->roles[crew->next_role++](crew);
    test_disturb_end(disturbance);
    return NULL;
}

/* Runs one thread for each of the roles on clones of the memory, then destroys all handles. */
static void crew_run(struct crew *crew, struct pb_memory *memory, void *(*const *roles)(void *),
                     unsigned count) {
    crew->count = count;
    crew->roles = roles;
    for (unsigned i = 0; i < count; i++) {
        crew->handles[i] = clone_of(memory);
    }
    for (unsigned i = 0; i < count; i++) {
        crew->threads[i] = test_thread(crew_thread, crew);
    }
    for (unsigned i = 0; i < count; i++) {
        test_join(crew->threads[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        pb_memory_release(crew->handles[i]);
    }
}

/* ---- R11: growers and readers --------------------------------------------------------------- */

enum { GROW_PAGES = 240 };

static _Atomic unsigned old_seen[GROW_PAGES + 1]; /* how often each old size was returned */

static void *grow_by_one(void *argument) {
    struct crew *crew = argument;
    struct pb_memory *memory = crew->handles[crew_join(crew)];
    for (;;) {
        uint32_t old;
        enum pb_status status = pb_memory_grow(memory, 1, &old);
        if (status != PB_OK) {
            CHECK_STATUS(status, PB_LIMIT);
            crew->stop = true;
            return NULL;
        }
        CHECK(old < GROW_PAGES);
        old_seen[old]++;
        CHECK_STATUS(pb_memory_atomic_store(memory, old * 65536, 65528, 8, old + 1), PB_OK);
    }
}

/* Generated code's view: whatever length it reads, the last byte below is usable. */
static void *read_the_end(void *argument) {
    struct crew *crew = argument;
    struct pb_memory *memory = crew->handles[crew_join(crew)];
    struct pb_memory_definition *definition = pb_memory_definition(memory);
    const uint8_t *base = atomic_load(&definition->base);
    uint64_t last = 0;
    while (!crew->stop) {
        uint64_t length = atomic_load(&definition->length_bytes), value = 0;
        CHECK(length >= last);
        last = length;
        CHECK(atomic_load(&definition->base) == base);
        CHECK_STATUS(pb_memory_atomic_load(memory, (uint32_t)(length - 8), 0, 8, &value), PB_OK);
        CHECK(value == 0 || value == length / PB_PAGE_BYTES);
        CHECK(pb_memory_size_bytes(memory) >= length);
        CHECK(pb_memory_type(memory).min_pages >= length / PB_PAGE_BYTES);
    }
    return NULL;
}

TEST(R11_concurrent_growth_returns_distinct_chained_sizes) {
    for (struct each e = each_kind(1, GROW_PAGES, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        void *(*const roles[])(void *) = {grow_by_one, grow_by_one, grow_by_one, read_the_end};
        struct pb_memory *memory = each_create(&e);
        struct crew crew = {.next = 0};
        for (unsigned i = 0; i <= GROW_PAGES; i++) {
            old_seen[i] = 0;
        }
        crew_run(&crew, memory, roles, 4);
        CHECK_EQ(pb_memory_size_pages(memory), GROW_PAGES);
        for (unsigned i = 1; i < GROW_PAGES; i++) {
            uint64_t value = 0;
            CHECK_EQ(old_seen[i], 1);
            CHECK_STATUS(pb_memory_load(memory, i * 65536, 65528, 8, &value), PB_OK);
            CHECK_EQ(value, i + 1);
        }
        pb_memory_release(memory);
    }
}

/* ---- R13: copies while others grow and write ------------------------------------------------ */

enum { COPY_PAGES = 24 };

static void *write_bytes(void *argument) {
    struct crew *crew = argument;
    struct pb_memory *memory = crew->handles[crew_join(crew)];
    for (uint64_t i = 0; !crew->stop; i++) {
        uint64_t whole = i % 2 ? UINT64_MAX : 0;
        CHECK_STATUS(pb_memory_store(memory, 1024, 0, 8, whole), PB_OK);
        CHECK_STATUS(pb_memory_bulk_fill(memory, 2048, (uint8_t)(whole & 0xFF), 64), PB_OK);
        CHECK_STATUS(pb_memory_bulk_copy(memory, 3001, 2048, 64), PB_OK);
        /* What this thread writes here, and nobody else does, is never lost to a copy. */
        uint64_t mine = 0;
        CHECK_STATUS(pb_memory_load(memory, 40000, 0, 8, &mine), PB_OK);
        CHECK_EQ(mine, i);
        CHECK_STATUS(pb_memory_store(memory, 40000, 0, 8, i + 1), PB_OK);
    }
    return NULL;
}

static void *copy_and_check(void *argument) {
    struct crew *crew = argument;
    struct pb_memory *memory = crew->handles[crew_join(crew)];
    for (unsigned i = 0; i < TEST_ROUNDS(60); i++) {
        struct pb_memory *copy = NULL;
        uint32_t old;
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        uint32_t pages = pb_memory_size_pages(copy);
        CHECK(pages >= 1 && pages <= COPY_PAGES);
        for (unsigned at = 1024; at < 1032; at++) { /* atomic for each byte */
            CHECK(base_of(copy)[at] == 0 || base_of(copy)[at] == 0xFF);
        }
        for (uint32_t page = 1; page < pages; page++) {
            CHECK_EQ(base_of(copy)[page * 65536 + 65535], 0);
        }
        CHECK_STATUS(pb_memory_grow(copy, COPY_PAGES - pages, &old), PB_OK);
        base_of(copy)[COPY_PAGES * 65536 - 1] = 1;
        pb_memory_release(copy);
    }
    crew->stop = true;
    return NULL;
}

static void *grow_slowly(void *argument) {
    struct crew *crew = argument;
    struct pb_memory *memory = crew->handles[crew_join(crew)];
    uint32_t old;
    while (!crew->stop && pb_memory_grow(memory, 1, &old) == PB_OK) {
        for (unsigned i = 0; i < 20 && !crew->stop; i++) {
            test_pause();
        }
    }
    return NULL;
}

TEST(R13_S8_copy_while_others_grow_and_write) {
    for (struct each e = each_kind(1, COPY_PAGES, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        void *(*const roles[])(void *) = {copy_and_check, grow_slowly, write_bytes};
        struct pb_memory *memory = each_create(&e);
        struct crew crew = {.next = 0};
        crew_run(&crew, memory, roles, 3);
        pb_memory_release(memory);
    }
}

/* ---- R14: clones come and go ---------------------------------------------------------------- */

static void *clone_and_destroy(void *argument) {
    struct crew *crew = argument;
    struct pb_memory *mine = crew->handles[crew_join(crew)];
    for (unsigned i = 0; i < TEST_ROUNDS(2000); i++) {
        struct pb_memory *clone = clone_of(mine);
        uint64_t old;
        CHECK_STATUS(pb_memory_atomic_rmw(clone, PB_RMW_ADD, 64, 0, 8, 1, &old), PB_OK);
        pb_memory_release(clone);
    }
    return NULL;
}

TEST(R14_clones_of_many_threads_release_once) {
    void *(*const roles[])(void *) = {clone_and_destroy, clone_and_destroy, clone_and_destroy};
    struct pb_memory *memory = shared_memory(1, 1);
    struct crew crew = {.next = 0};
    uint64_t value = 0;
    seam_watch(base_of(memory));
    crew_run(&crew, memory, roles, 3);
    CHECK_STATUS(pb_memory_load(memory, 64, 0, 8, &value), PB_OK);
    CHECK_EQ(value, 3 * TEST_ROUNDS(2000));
    CHECK_EQ(seam_releases(), 0);
    pb_memory_release(memory);
    CHECK_EQ(seam_releases(), 1);
}

/* All threads give up the last handles at once. */
static void *destroy_last(void *argument) {
    struct crew *crew = argument;
    unsigned number = crew_join(crew);
    pb_memory_release(crew->handles[number]);
    return NULL;
}

TEST(R14_last_handles_going_at_once_release_once) {
    for (unsigned round = 0; round < TEST_ROUNDS(300); round++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct crew crew = {.count = THREADS};
        for (unsigned i = 0; i < THREADS; i++) {
            crew.handles[i] = clone_of(memory);
        }
        seam_watch(base_of(memory));
        pb_memory_release(memory);
        for (unsigned i = 0; i < THREADS; i++) {
            crew.threads[i] = test_thread(destroy_last, &crew);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            test_join(crew.threads[i]);
        }
        CHECK_EQ(seam_releases(), 1);
    }
}

/* ---- R18: atomic accesses are atomic -------------------------------------------------------- */

static void *add_in_all_widths(void *argument) {
    static const unsigned widths[] = {1, 2, 4, 8};
    struct crew *crew = argument;
    struct pb_memory *memory = crew->handles[crew_join(crew)];
    for (unsigned i = 0; i < 4 * TEST_ROUNDS(2000); i++) {
        uint64_t old, seen = 0;
        CHECK_STATUS(
            pb_memory_atomic_rmw(memory, PB_RMW_ADD, 64 * (i % 4), 0, widths[i % 4], 1, &old),
            PB_OK);
        do { /* a compare-exchange loop is an increment too */
            CHECK_STATUS(pb_memory_atomic_load(memory, 512, 0, 8, &seen), PB_OK);
            CHECK_STATUS(pb_memory_atomic_cmpxchg(memory, 512, 0, 8, seen, seen + 1, &old), PB_OK);
        } while (old != seen);
    }
    return NULL;
}

TEST(R18_atomic_updates_are_not_lost) {
    void *(*const roles[])(void *) = {add_in_all_widths, add_in_all_widths, add_in_all_widths};
    static const uint64_t masks[] = {0xFF, 0xFFFF, 0xFFFFFFFF, UINT64_MAX};
    struct pb_memory *memory = shared_memory(1, 1);
    struct crew crew = {.next = 0};
    uint64_t value = 0;
    crew_run(&crew, memory, roles, 3);
    for (unsigned i = 0; i < 4; i++) {
        CHECK_STATUS(pb_memory_load(memory, 64 * i, 0, 8, &value), PB_OK);
        CHECK_EQ(value, (UINT64_C(3) * TEST_ROUNDS(2000)) & masks[i]);
    }
    CHECK_STATUS(pb_memory_load(memory, 512, 0, 8, &value), PB_OK);
    CHECK_EQ(value, 3 * 4 * TEST_ROUNDS(2000));
    pb_memory_release(memory);
}

/* ---- R21: compare and enqueue are one step -------------------------------------------------- */

enum { TURN_AT = 128 };

/* Hands a turn round: each waits, without a timeout, until the word says its number. When a notify
 * is lost between compare and enqueue, the crew stands still and the runner says so. */
static void *take_turns(void *argument) {
    struct crew *crew = argument;
    uint32_t number = crew_join(crew), count = crew->count;
    struct pb_memory *memory = crew->handles[number];
    for (unsigned i = 0; i < TEST_ROUNDS(40000); i++) {
        for (;;) {
            uint64_t turn = 0;
            enum pb_wait result;
            CHECK_STATUS(pb_memory_atomic_load(memory, TURN_AT, 0, 4, &turn), PB_OK);
            if (turn == number) {
                break;
            }
            CHECK_STATUS(pb_memory_wait32(memory, TURN_AT, (uint32_t)turn, -1, &result), PB_OK);
            CHECK(result != PB_WAIT_TIMED_OUT);
        }
        uint32_t woken;
        CHECK_STATUS(pb_memory_atomic_store(memory, TURN_AT, 0, 4, (number + 1) % count), PB_OK);
        CHECK_STATUS(pb_memory_notify(memory, TURN_AT, UINT32_MAX, &woken), PB_OK);
        CHECK(woken < count);
    }
    return NULL;
}

TEST(R21_S15_no_notify_is_lost_between_compare_and_enqueue) {
    void *(*const roles[])(void *) = {take_turns, take_turns, take_turns};
    for (unsigned count = 2; count <= 3; count++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct crew crew = {.next = 0};
        crew_run(&crew, memory, roles, count);
        CHECK_EQ(pb_memory_waiters(memory), 0);
        pb_memory_release(memory);
    }
}

/* ---- R22: the books balance ----------------------------------------------------------------- */

/* Waits with every kind of timeout on few addresses; counts the zeros. */
static void *wait_at_random(void *argument) {
    struct crew *crew = argument;
    unsigned number = crew_join(crew);
    struct pb_memory *memory = crew->handles[number];
    uint64_t state = number + 1;
    for (unsigned i = 0; i < TEST_ROUNDS(6000); i++) {
        uint32_t draw = test_random(&state);
        uint64_t address = 64 + 8 * (draw % 3);
        int64_t timeout_ns = (int64_t)(draw >> 8) % 40000;
        enum pb_wait result;
        CHECK_STATUS(draw & 64 ? pb_memory_wait32(memory, address, 0, timeout_ns, &result)
                               : pb_memory_wait64(memory, address, 0, timeout_ns, &result),
                     PB_OK);
        CHECK(result == PB_WAIT_NOTIFIED || result == PB_WAIT_TIMED_OUT);
        crew->returned += result == PB_WAIT_NOTIFIED;
    }
    crew->stop = true;
    return NULL;
}

static void *notify_at_random(void *argument) {
    struct crew *crew = argument;
    unsigned number = crew_join(crew);
    struct pb_memory *memory = crew->handles[number];
    uint64_t state = number + 1;
    while (!crew->stop) {
        uint32_t draw = test_random(&state), woken = 0;
        uint32_t count = draw & 32 ? UINT32_MAX : draw % 4;
        CHECK_STATUS(pb_memory_notify(memory, 64 + 8 * (draw / 64 % 3), count, &woken), PB_OK);
        CHECK(woken <= count && woken <= crew->count);
        crew->notified += woken;
    }
    return NULL;
}

TEST(R27_S17_sum_of_notifies_equals_the_waits_that_returned_0) {
    void *(*const roles[])(void *) = {wait_at_random, wait_at_random, notify_at_random,
                                      notify_at_random};
    struct pb_memory *memory = shared_memory(1, 1);
    struct crew crew = {.next = 0};
    crew_run(&crew, memory, roles, 4);
    CHECK_EQ(crew.notified, crew.returned);
    CHECK_EQ(pb_memory_waiters(memory), 0);
    pb_memory_release(memory);
}

/* ---- R29: disable and destroy against waiters ----------------------------------------------- */

static void *wait_until_disabled(void *argument) {
    struct crew *crew = argument;
    unsigned number = crew_join(crew);
    for (;;) {
        enum pb_wait result = (enum pb_wait)77;
        enum pb_status status = pb_memory_wait32(crew->handles[number], 64, 0, -1, &result);
        if (status != PB_OK) {
            CHECK_STATUS(status, PB_DISABLED);
            return NULL;
        }
        CHECK_EQ(result, PB_WAIT_NOTIFIED);
        crew->returned++;
    }
}

static void *notify_then_disable(void *argument) {
    struct crew *crew = argument;
    unsigned number = crew_join(crew);
    uint32_t woken;
    CHECK_STATUS(pb_memory_notify(crew->handles[number], 64, 1, &woken), PB_OK);
    crew->notified += woken;
    pb_memory_disable_atomics(crew->handles[number]);
    return NULL;
}

TEST(R29_disable_against_waiters_that_arrive) {
    for (unsigned round = 0; round < TEST_ROUNDS(1000); round++) {
        void *(*const roles[])(void *) = {wait_until_disabled, wait_until_disabled,
                                          notify_then_disable};
        struct pb_memory *memory = shared_memory(1, 1);
        struct crew crew = {.next = 0};
        crew_run(&crew, memory, roles, 3);
        CHECK_EQ(crew.returned, crew.notified);
        CHECK_EQ(pb_memory_waiters(memory), 0);
        pb_memory_release(memory);
    }
}

/* Threads that wait on the last handle when it is destroyed. */
static void *wait_on_the_last_handle(void *argument) {
    struct crew *crew = argument;
    enum pb_wait result;
    CHECK_STATUS(pb_memory_wait32(crew->handles[0], 64, 0, -1, &result), PB_DISABLED);
    return NULL;
}

TEST(R29_destroy_against_blocked_waiters) {
    for (unsigned round = 0; round < TEST_ROUNDS(500); round++) {
        struct pb_memory *memory = shared_memory(1, 1);
        struct crew crew = {.handles = {memory}};
        for (unsigned i = 0; i < THREADS; i++) {
            crew.threads[i] = test_thread(wait_on_the_last_handle, &crew);
        }
        while (pb_memory_waiters(memory) < THREADS) {
            test_pause();
        }
        seam_watch(base_of(memory));
        pb_memory_release(memory);
        for (unsigned i = 0; i < THREADS; i++) {
            test_join(crew.threads[i]);
        }
        CHECK_EQ(seam_releases(), 1);
    }
}

/* ---- Contention on one address does not mix with another ------------------------------------ */

static void *wait_and_wake_own_word(void *argument) {
    struct crew *crew = argument;
    unsigned number = crew_join(crew);
    struct pb_memory *memory = crew->handles[number];
    uint64_t mine = 256 + 4 * number;
    for (unsigned i = 0; i < TEST_ROUNDS(5000); i++) {
        enum pb_wait result;
        uint32_t woken;
        CHECK_STATUS(pb_memory_wait32(memory, mine, 0, 0, &result), PB_OK);
        CHECK_EQ(result, PB_WAIT_TIMED_OUT);
        CHECK_STATUS(pb_memory_notify(memory, mine, UINT32_MAX, &woken), PB_OK);
        CHECK_EQ(woken, 0); /* nobody else is ever here */
    }
    return NULL;
}

TEST(R26_neighbours_never_see_each_other) {
    void *(*const roles[])(void *) = {wait_and_wake_own_word, wait_and_wake_own_word,
                                      wait_and_wake_own_word};
    struct pb_memory *memory = shared_memory(1, 1);
    struct crew crew = {.next = 0};
    crew_run(&crew, memory, roles, 3);
    pb_memory_release(memory);
}

/* ---- R2, R13, R14: one image, many threads ----------------------------------------------------
 */

enum { IMAGE_BYTES = 3 * 4096 + 5 };
static uint8_t image_content[IMAGE_BYTES];
static _Atomic uint32_t instances;

/* Every byte of the first page is the image's, but for the one that this thread writes. */
static void check_instance(struct pb_memory *memory, uint32_t own_at, uint8_t own) {
    uint8_t bytes[IMAGE_BYTES + 1];
    CHECK_STATUS(pb_memory_read(memory, 0, bytes, sizeof bytes), PB_OK);
    for (uint32_t i = 0; i < IMAGE_BYTES; i++) {
        CHECK_EQ(bytes[i], i == own_at ? own : image_content[i]);
    }
    CHECK_EQ(bytes[IMAGE_BYTES], 0);
}

/* Makes an instance, writes to it, copies it, lets go of the image: in its own order. */
static void *instantiate(void *argument) {
    struct pb_image *image = argument;
    const uint32_t own_at = 4096 * (atomic_fetch_add(&instances, 1) % 3) + 7;
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, 65536};
    struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 2, .shared = false},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_IMAGE,
                                      .image = image};
    for (unsigned i = 0; i < TEST_ROUNDS(40); i++) {
        struct pb_memory *memory = NULL, *copy = NULL;
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        check_instance(memory, IMAGE_BYTES, 0);
        CHECK_STATUS(pb_memory_store(memory, own_at, 0, 1, 0x80 + i), PB_OK);
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK_STATUS(pb_memory_store(memory, own_at, 0, 1, 0), PB_OK);
        check_instance(copy, own_at, (uint8_t)(0x80 + i));
        pb_memory_release(i % 2 ? copy : memory);
        check_instance(i % 2 ? memory : copy, own_at, i % 2 ? 0 : (uint8_t)(0x80 + i));
        pb_memory_release(i % 2 ? memory : copy);
    }
    pb_image_release(image);
    return NULL;
}

TEST(R13_one_image_instantiated_by_many_threads) {
    pthread_t threads[THREADS];
    struct pb_image *image = NULL;
    for (uint32_t i = 0; i < IMAGE_BYTES; i++) {
        image_content[i] = (uint8_t)(1 + i % 251);
    }
    CHECK_STATUS(pb_image_create(image_content, IMAGE_BYTES, &pb_allocator_libc, &image), PB_OK);
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = test_thread(instantiate, pb_image_retain(image));
    }
    pb_image_release(image); /* the threads' references keep it */
    for (unsigned i = 0; i < THREADS; i++) {
        test_join(threads[i]);
    }
}

/* Copies of one memory by several threads, each with a handle of its own: all share what the first
 * copy froze, and what was written since goes into each. */
static void *copy_shared(void *argument) {
    struct crew *crew = argument;
    const unsigned number = crew_join(crew);
    for (unsigned i = 0; i < TEST_ROUNDS(40); i++) {
        struct pb_memory *copy = NULL;
        uint64_t value = 99, old;
        CHECK_STATUS(pb_memory_store(crew->handles[number], 8 * number, 0, 8, i), PB_OK);
        CHECK_STATUS(pb_memory_copy(crew->handles[number], &copy), PB_OK);
        CHECK_STATUS(pb_memory_load(copy, 8 * number, 0, 8, &value), PB_OK);
        CHECK_EQ(value, i); /* its own writes are in it */
        CHECK_STATUS(pb_memory_load(copy, IMAGE_BYTES - 1, 0, 1, &value), PB_OK);
        CHECK_EQ(value, image_content[IMAGE_BYTES - 1]);
        CHECK_STATUS(pb_memory_atomic_rmw(copy, PB_RMW_ADD, 8 * number, 0, 8, 7, &old), PB_OK);
        CHECK_STATUS(pb_memory_load(crew->handles[number], 8 * number, 0, 8, &value), PB_OK);
        CHECK_EQ(value, i);
        pb_memory_release(copy);
    }
    return NULL;
}

TEST(R13_copies_of_one_image_by_many_threads) {
    void *(*const roles[])(void *) = {copy_shared, copy_shared, copy_shared};
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, 65536};
    struct pb_memory *memory = NULL;
    struct pb_image *image = NULL;
    struct crew crew = {.next = 0};
    for (uint32_t i = 0; i < IMAGE_BYTES; i++) {
        image_content[i] = (uint8_t)(1 + i % 251);
    }
    CHECK_STATUS(pb_image_create(image_content, IMAGE_BYTES, &pb_allocator_libc, &image), PB_OK);
    struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 1, .shared = true},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_IMAGE,
                                      .image = image};
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    pb_image_release(image);
    crew_run(&crew, memory, roles, 3);
    pb_memory_release(memory);
}
