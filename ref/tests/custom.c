/* custom.c: memories that do what a user's table of functions says. */
#include "fixture.h"
#include "guest.h"
#include "mailbox.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

/* A memory in a plain array, without guard and with a count of its calls. */
struct array {
    struct pb_memory_definition definition;
    uint32_t max_pages;
    bool shared;
    unsigned *destroyed;
    unsigned waits, notifies, disables, initialises;
};

static struct pb_memory_type array_type(void *self) {
    struct array *array = self;
    return (struct pb_memory_type){
        .min_pages = (uint32_t)(atomic_load(&array->definition.length_bytes) / PB_PAGE_BYTES),
        .max_pages = array->max_pages,
        .shared = array->shared};
}

static struct pb_memory_style array_style(void *self) {
    (void)self;
    return (struct pb_memory_style){.kind = PB_STYLE_DYNAMIC};
}

static enum pb_status array_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    struct array *array = self;
    uint32_t old = array_type(self).min_pages, sum;
    if (!pb_pages_add(old, delta_pages, array->max_pages, &sum)) {
        return PB_LIMIT;
    }
    uint8_t *base = calloc(1, pb_pages_to_bytes(sum) + 8);
    if (base == NULL) {
        return PB_NO_MEMORY;
    }
    memcpy(base, atomic_load(&array->definition.base), pb_pages_to_bytes(old));
    free(atomic_load(&array->definition.base));
    atomic_store(&array->definition.base, base);
    atomic_store(&array->definition.length_bytes, pb_pages_to_bytes(sum));
    *old_pages = old;
    return PB_OK;
}

static struct pb_memory_definition *array_definition(void *self) {
    return &((struct array *)self)->definition;
}

static void array_release(void *self) {
    struct array *array = self;
    ++*array->destroyed;
    free(atomic_load(&array->definition.base));
    free(array);
}

static struct array *array_create(uint32_t pages, uint32_t max, bool shared, unsigned *destroyed) {
    struct array *array = calloc(1, sizeof *array);
    uint8_t *base = calloc(1, pb_pages_to_bytes(pages) + 8);
    CHECK(array != NULL && base != NULL);
    atomic_store(&array->definition.base, base);
    atomic_store(&array->definition.length_bytes, pb_pages_to_bytes(pages));
    array->max_pages = max;
    array->shared = shared;
    array->destroyed = destroyed;
    return array;
}

static enum pb_status array_copy(void *self, void **copy) {
    struct array *array = self;
    uint32_t pages = array_type(self).min_pages;
    struct array *made = array_create(pages, array->max_pages, array->shared, array->destroyed);
    memcpy(atomic_load(&made->definition.base), atomic_load(&array->definition.base),
           pb_pages_to_bytes(pages));
    *copy = made;
    return PB_OK;
}

static enum pb_status array_initialise(void *self, uint64_t start, const void *data,
                                       uint64_t count) {
    struct array *array = self;
    array->initialises++;
    memcpy(atomic_load(&array->definition.base) + start, data, count);
    return PB_OK;
}

static enum pb_status array_wait(void *self, uint64_t address, unsigned width, uint64_t expected,
                                 int64_t timeout_ns, enum pb_wait *result) {
    struct array *array = self;
    CHECK(address % width == 0 && address + width <= array->definition.length_bytes);
    CHECK(width == 8 ? expected == UINT64_C(0x100000007) : expected == 7);
    CHECK_EQ(timeout_ns, -5);
    array->waits++;
    *result = PB_WAIT_NOTIFIED;
    return PB_OK;
}

static uint32_t array_notify(void *self, uint64_t address, uint32_t count) {
    struct array *array = self;
    CHECK_EQ(address % 4, 0);
    array->notifies++;
    return count / 2;
}

static void array_disable(void *self) {
    ((struct array *)self)->disables++;
}

static const struct pb_memory_operations minimal = {.type = array_type,
                                                    .style = array_style,
                                                    .grow = array_grow,
                                                    .definition = array_definition,
                                                    .release = array_release};
static const struct pb_memory_operations full = {.type = array_type,
                                                 .style = array_style,
                                                 .grow = array_grow,
                                                 .definition = array_definition,
                                                 .release = array_release,
                                                 .copy = array_copy,
                                                 .initialise = array_initialise,
                                                 .wait = array_wait,
                                                 .notify = array_notify,
                                                 .disable_atomics = array_disable};

static struct pb_memory *custom(const struct pb_memory_operations *operations,
                                struct array *array) {
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create_custom(operations, array, NULL, &memory), PB_OK);
    return memory;
}

TEST(R1_custom_table_must_be_complete) {
    for (unsigned missing = 0; missing < 5; missing++) {
        unsigned destroyed = 0;
        struct pb_memory_operations table = full;
        struct array *array = array_create(1, 1, false, &destroyed);
        struct pb_memory *memory = NULL;
        void *functions[] = {&table.type, &table.style, &table.grow, &table.definition,
                             &table.release};
        memset(functions[missing], 0, sizeof(void (*)(void)));
        CHECK_STATUS(pb_memory_create_custom(&table, array, NULL, &memory), PB_INVALID);
        CHECK(memory == NULL);
        CHECK_EQ(destroyed, 0); /* self stays the caller's */
        array_release(array);
    }
}

TEST(R1_custom_memory_without_memory_is_an_error_value) {
    unsigned destroyed = 0;
    struct array *array = array_create(1, 1, false, &destroyed);
    struct pb_memory *memory = NULL;
    seam_allocator_fail(1);
    CHECK_STATUS(pb_memory_create_custom(&full, array, &seam_allocator, &memory), PB_NO_MEMORY);
    CHECK(memory == NULL);
    CHECK_EQ(destroyed, 0);
    seam_allocator_fail(0);
    CHECK_STATUS(pb_memory_create_custom(&full, array, &seam_allocator, &memory), PB_OK);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 1);
    CHECK_EQ(seam_allocator_alive(), 0);
}

TEST(R18_custom_accesses_are_checked_against_its_length) {
    unsigned destroyed = 0;
    struct pb_memory *memory = custom(&minimal, array_create(1, 2, false, &destroyed));
    uint64_t value = 0;
    uint32_t old = 99;
    CHECK_EQ(pb_memory_strategy(memory), PB_STRATEGY_COUNT);
    CHECK_EQ(pb_memory_size_pages(memory), 1);
    CHECK_STATUS(pb_memory_store(memory, 65528, 0, 8, 77), PB_OK);
    CHECK_STATUS(pb_memory_store(memory, 65529, 0, 8, 77), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_bulk_fill(memory, 65535, 1, 2), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    CHECK_EQ(old, 1);
    CHECK_EQ(pb_memory_type(memory).min_pages, 2);
    CHECK_STATUS(pb_memory_load(memory, 65528, 0, 8, &value), PB_OK);
    CHECK_EQ(value, 77);
    CHECK_STATUS(pb_memory_store(memory, 131071, 0, 1, 1), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_LIMIT);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 1);
}

TEST(R17_custom_without_initialise_is_written_through_its_definition) {
    for (unsigned with = 0; with < 2; with++) {
        unsigned destroyed = 0;
        struct array *array = array_create(1, 1, false, &destroyed);
        struct pb_memory *memory = custom(with ? &full : &minimal, array);
        char text[4] = "";
        CHECK_STATUS(pb_memory_initialise(memory, 65533, "abc", 3), PB_OK);
        CHECK_STATUS(pb_memory_initialise(memory, 65534, "abc", 3), PB_OUT_OF_BOUNDS);
        CHECK_STATUS(pb_memory_initialise(memory, UINT64_MAX, "abc", 3), PB_OUT_OF_BOUNDS);
        CHECK_EQ(array->initialises, with);
        CHECK_STATUS(pb_memory_read(memory, 65533, text, 3), PB_OK);
        CHECK(memcmp(text, "abc", 3) == 0);
        pb_memory_release(memory);
    }
}

TEST(R19_custom_wait_and_notify_come_checked) {
    unsigned destroyed = 0;
    struct array *array = array_create(1, 1, true, &destroyed);
    struct pb_memory *memory = custom(&full, array);
    enum pb_wait result = (enum pb_wait)77;
    uint32_t woken = 99;
    CHECK_STATUS(pb_memory_wait32(memory, 65532, 7, -5, &result), PB_OK);
    CHECK_EQ(result, PB_WAIT_NOTIFIED);
    CHECK_STATUS(pb_memory_wait64(memory, 65528, UINT64_C(0x100000007), -5, &result), PB_OK);
    CHECK_STATUS(pb_memory_wait32(memory, 65536, 7, -5, &result), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_wait64(memory, 65532, 7, -5, &result), PB_MISALIGNED);
    CHECK_EQ(array->waits, 2);
    CHECK_STATUS(pb_memory_notify(memory, 64, 10, &woken), PB_OK);
    CHECK_EQ(woken, 5);
    CHECK_STATUS(pb_memory_notify(memory, 66, 10, &woken), PB_MISALIGNED);
    CHECK_EQ(array->notifies, 1);
    pb_memory_disable_atomics(memory);
    CHECK_EQ(array->disables, 1);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 1);
}

TEST(R14_custom_without_optional_functions_is_unsupported) {
    unsigned destroyed = 0;
    struct pb_memory *memory = custom(&minimal, array_create(1, 1, true, &destroyed)),
                     *other = NULL;
    enum pb_wait result;
    uint32_t woken = 99;
    CHECK_STATUS(pb_memory_retain(memory, &other), PB_UNSUPPORTED);
    CHECK_STATUS(pb_memory_copy(memory, &other), PB_UNSUPPORTED);
    CHECK(other == NULL);
    CHECK_STATUS(pb_memory_wait32(memory, 0, 0, 0, &result), PB_UNSUPPORTED);
    CHECK_STATUS(pb_memory_notify(memory, 0, 1, &woken), PB_OK);
    CHECK_EQ(woken, 0);
    pb_memory_disable_atomics(memory);
    CHECK_STATUS(pb_memory_reset(memory), PB_UNSUPPORTED);
    struct pb_canceller *canceller;
    struct pb_pin pin;
    CHECK_STATUS(pb_canceller_create(NULL, &canceller), PB_OK);
    CHECK_STATUS(pb_memory_cancellable_wait32(memory, 0, 0, 0, canceller, &result), PB_UNSUPPORTED);
    pb_canceller_release(canceller);
    CHECK_STATUS(pb_memory_pin(memory, 0, 1, &pin), PB_UNSUPPORTED);
    CHECK_EQ(pb_memory_rung(memory), PB_RUNG_AS_ASKED);
    pb_memory_release(memory);
    memory = custom(&minimal, array_create(1, 1, false, &destroyed));
    CHECK_STATUS(pb_memory_to_shared(memory), PB_UNSUPPORTED);
    CHECK_STATUS(pb_memory_retain(memory, &other), PB_NOT_SHARED);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 2);
}

static enum pb_status no_retain(void *self, void **clone) {
    (void)self, (void)clone;
    return PB_NO_MEMORY;
}

TEST(R14_custom_clone_that_fails_is_told) {
    struct pb_memory_operations operations = minimal;
    unsigned destroyed = 0;
    operations.retain = no_retain;
    struct pb_memory *memory = custom(&operations, array_create(1, 1, true, &destroyed)),
                     *other = NULL;
    CHECK_STATUS(pb_memory_retain(memory, &other), PB_NO_MEMORY);
    CHECK(other == NULL);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 1);
}

TEST(R13_custom_copy_is_a_memory_of_its_own) {
    unsigned destroyed = 0;
    struct pb_memory *memory = custom(&full, array_create(1, 2, false, &destroyed)), *copy = NULL;
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    fill_pattern(memory, 0, PB_PAGE_BYTES, 2);
    check_pattern(copy, 0, PB_PAGE_BYTES, 1);
    pb_memory_release(memory);
    check_pattern(copy, 0, PB_PAGE_BYTES, 1);
    pb_memory_release(copy);
    CHECK_EQ(destroyed, 2);
}

TEST(R14_custom_copy_without_memory_for_its_handle_is_released) {
    unsigned destroyed = 0;
    struct pb_memory *memory = NULL, *copy = NULL;
    CHECK_STATUS(pb_memory_create_custom(&full, array_create(1, 2, false, &destroyed),
                                         &seam_allocator, &memory),
                 PB_OK);
    seam_allocator_fail(1);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_NO_MEMORY);
    seam_allocator_fail(0);
    CHECK(copy == NULL);
    CHECK_EQ(destroyed, 1);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 2);
}

TEST(R37_custom_memory_that_moves_under_a_mailbox) {
    unsigned destroyed = 0;
    struct pb_memory *memory = custom(&full, array_create(1, 4, false, &destroyed));
    struct pb_mailbox_config config = {.memory = memory, .offset = 64, .capacity = 4};
    struct pb_mailbox *mailbox = NULL;
    uint64_t value = 0;
    uint32_t old;
    CHECK_STATUS(pb_mailbox_create(&config, &mailbox), PB_OK);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 1), PB_OK);
    CHECK_STATUS(pb_mailbox_grow(mailbox, 2, &old), PB_OK);
    CHECK_STATUS(pb_mailbox_enqueue(mailbox, 2), PB_OK);
    CHECK_STATUS(pb_memory_load(memory, 64 + PB_MAILBOX_RING_OFFSET, 4, 4, &value), PB_OK);
    CHECK_EQ(value, 2);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
    CHECK_EQ(destroyed, 1);
}

/* ---- A shared one that cannot be cloned ----------------------------------------------------- */

static struct pb_mailbox *to_close;
static pthread_t closing;
static _Atomic bool closed;

static void *close_it(void *mailbox) {
    pb_mailbox_close(mailbox, NULL);
    closed = true;
    return NULL;
}

/* The first notify meets a close, after which the memory may be destroyed. */
static uint32_t notify_meets_close(void *self, uint64_t address, uint32_t count) {
    if (((struct array *)self)->notifies == 0) {
        unsigned waits = seam_waits();
        closing = test_thread(close_it, to_close);
        while (seam_waits() == waits && !closed) { /* blocked, or through */
            test_pause();
        }
        CHECK(!closed);
    }
    CHECK(!pb_mailbox_is_closed(to_close)); /* closed is told only when nobody writes any more */
    return array_notify(self, address, count);
}

TEST(R36_close_waits_for_a_notify_of_a_memory_that_cannot_be_cloned) {
    struct pb_memory_operations operations = minimal;
    unsigned destroyed = 0;
    operations.notify = notify_meets_close;
    struct array *array = array_create(1, 1, true, &destroyed);
    struct pb_memory *memory = custom(&operations, array);
    struct pb_mailbox_config config = {.memory = memory, .offset = 64, .capacity = 4};
    CHECK_STATUS(pb_mailbox_create(&config, &to_close), PB_OK);
    CHECK_STATUS(pb_mailbox_enqueue(to_close, 1), PB_OK);
    test_join(closing);
    CHECK_EQ(array->notifies, 2); /* the enqueue's and the close's */
    CHECK(pb_mailbox_is_closed(to_close));
    pb_memory_release(memory);
    CHECK_STATUS(pb_mailbox_enqueue(to_close, 2), PB_CLOSED);
    pb_mailbox_release(to_close);
    CHECK_EQ(destroyed, 1);
}

/* ---- A producer that is held ---------------------------------------------------------------- */

static struct pb_mailbox *busy;

static void *enqueue_until_full(void *unused) {
    (void)unused;
    for (uint64_t id = 2; id <= 4; id++) {
        CHECK_STATUS(pb_mailbox_enqueue(busy, id), PB_OK);
    }
    CHECK_STATUS(pb_mailbox_enqueue(busy, 5), PB_FULL);
    return NULL;
}

/* The publisher is in here, with its role, until another thread has filled the ring. */
static uint32_t notify_holds_the_publisher(void *self, uint64_t address, uint32_t count) {
    if (((struct array *)self)->notifies == 0) {
        test_join(test_thread(enqueue_until_full, NULL));
        CHECK(pb_mailbox_is_signalled(busy));
        CHECK(!pb_mailbox_is_closed(busy));
    }
    return array_notify(self, address, count);
}

static void take_next(void *context, uint32_t id) {
    CHECK_EQ(id, ++*(uint32_t *)context);
}

TEST(R32_a_producer_that_is_held_stops_no_other_and_keeps_the_order) {
    struct pb_memory_operations operations = minimal;
    unsigned destroyed = 0;
    operations.notify = notify_holds_the_publisher;
    struct pb_memory *memory = custom(&operations, array_create(1, 1, true, &destroyed));
    struct pb_mailbox_config config = {.memory = memory, .offset = 64, .capacity = 4};
    CHECK_STATUS(pb_mailbox_create(&config, &busy), PB_OK);
    CHECK_STATUS(pb_mailbox_enqueue(busy, 1), PB_OK);
    uint32_t last = 0;
    struct pb_memory_definition *definition = pb_memory_definition(memory);
    uint8_t *base = atomic_load(&definition->base);
    CHECK_EQ(pb_guest_drain((struct pb_mailbox_words *)(void *)(base + 64), take_next, &last), 4);
    CHECK_EQ(last, 4);
    pb_mailbox_release(busy);
    pb_memory_release(memory);
}
