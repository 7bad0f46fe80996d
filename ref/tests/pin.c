/* pin.c: tests of R42: what the host holds stays where it is, and its bytes are the memory's. */
#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

#include <string.h>

TEST(R42_pin_holds_the_base) {
    for (struct each e = each_kind(2, 64, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e), *copy;
        struct pb_pin pin = {0}, other = {0};
        uint32_t old = 77;
        CHECK_STATUS(pb_memory_pin(memory, 100, PB_PAGE_BYTES, &pin), PB_OK);
        CHECK(pin.bytes == base_of(memory) + 100 && pin.count == PB_PAGE_BYTES);
        CHECK_STATUS(pb_memory_pin(memory, 0, 2 * PB_PAGE_BYTES, &other), PB_OK);
        struct snapshot before = snapshot_take(memory);
        enum pb_status status = pb_memory_grow(memory, 62, &old);
        if (status == PB_PINNED) {
            CHECK(!e.info->stable_base && !e.shared && !e.is_static);
            CHECK_EQ(old, 77);
            snapshot_check(memory, &before);
        } else {
            CHECK_STATUS(status, PB_OK);
        }
        CHECK(pin.bytes == base_of(memory) + 100);
        memset(pin.bytes, 9, PB_PAGE_BYTES);
        CHECK_EQ(base_of(memory)[100], 9);
        if (!e.shared) {
            CHECK_STATUS(pb_memory_reset(memory), PB_PINNED);
            CHECK_EQ(base_of(memory)[100], 9);
        }
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK_EQ(base_of(copy)[100], 9);
        CHECK(pin.bytes == base_of(memory) + 100);
        pin.bytes[1] = 8; /* still the memory's own, not the copy's */
        CHECK_EQ(base_of(memory)[101], 8);
        CHECK_EQ(base_of(copy)[101], 9);
        pb_memory_release(copy);
        pb_pin_release(&pin);
        CHECK(pin.bytes == NULL);
        pb_pin_release(&pin);
        if (!e.shared) {
            CHECK_STATUS(pb_memory_reset(memory), PB_PINNED); /* the other one */
            pb_pin_release(&other);
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            CHECK_STATUS(pb_memory_grow(memory, 62, &old), PB_OK);
        }
        pb_pin_release(&other);
        pb_memory_release(memory);
    }
}

/* Growth that is out of reach with or without the pin is not the pin's matter: who waited for its
 * release would wait for nothing. */
TEST(R42_pin_is_not_why_a_base_that_never_moves_cannot_grow) {
    struct pb_memory_style style = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    for (unsigned i = 0; i < PB_STRATEGY_COUNT; i++) {
        struct pb_memory_config config = {.type = {1, 64, false},
                                          .style = &style,
                                          .strategy = (enum pb_strategy)i,
                                          .reserve_pages_max = 2};
        struct pb_memory *memory;
        struct pb_pin pin;
        uint32_t old;
        if (!pb_strategy_info(config.strategy)->stable_base ||
            pb_memory_create(&config, &memory) != PB_OK) {
            continue;
        }
        CHECK_STATUS(pb_memory_pin(memory, 0, 1, &pin), PB_OK);
        CHECK_STATUS(pb_memory_grow(memory, 63, &old), PB_NO_MEMORY);
        pb_pin_release(&pin);
        CHECK_STATUS(pb_memory_grow(memory, 63, &old), PB_NO_MEMORY);
        pb_memory_release(memory);
    }
}

TEST(R42_pin_keeps_the_pages_after_destroy) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_address_owner owner;
        struct pb_pin pin;
        struct pb_memory *memory = each_create(&e);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 5);
        uint8_t first = base_of(memory)[0];
        CHECK_STATUS(pb_memory_pin(memory, 0, PB_PAGE_BYTES, &pin), PB_OK);
        pb_memory_release(memory);
        CHECK_EQ(pin.bytes[0], first);
        pin.bytes[PB_PAGE_BYTES - 1] = 1;
        CHECK(pb_memory_owner_of(pin.bytes, &owner));
        const uint8_t *gone = pin.bytes;
        pb_pin_release(&pin);
        CHECK(!pb_memory_owner_of(gone, &owner) || e.strategy == PB_STRATEGY_HEAP);
    }
}

/* Without a guard there is nothing to reserve for it, so it has no base. */
TEST(R42_pin_of_an_empty_memory_without_a_base) {
    const struct pb_memory_style style = {.kind = PB_STYLE_STATIC};
    const struct pb_memory_config config = {
        .type = {.max_pages = 4}, .style = &style, .strategy = PB_STRATEGY_RESERVE};
    struct pb_memory *memory;
    struct pb_pin pin;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK(base_of(memory) == NULL);
    CHECK_STATUS(pb_memory_pin(memory, 0, 0, &pin), PB_OK);
    CHECK(pin.bytes == NULL && pin.count == 0);
    pb_pin_release(&pin);
    CHECK_STATUS(pb_memory_pin(memory, 0, 1, &pin), PB_OUT_OF_BOUNDS);
    pb_memory_release(memory);
}

TEST(R42_pin_checks_its_range) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_pin pin = {NULL, 7, NULL};
    CHECK_STATUS(pb_memory_pin(memory, 0, PB_PAGE_BYTES + 1, &pin), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_pin(memory, PB_PAGE_BYTES + 1, 0, &pin), PB_OUT_OF_BOUNDS);
    CHECK_STATUS(pb_memory_pin(memory, UINT64_MAX, 2, &pin), PB_OUT_OF_BOUNDS);
    CHECK_EQ(pin.count, 7);
    CHECK_STATUS(pb_memory_pin(memory, PB_PAGE_BYTES, 0, &pin), PB_OK);
    pb_pin_release(&pin);
    pb_memory_release(memory);
}

/* The host writes while the memory is copied again and again: none of its bytes is lost, although
 * the strategy image would map the source anew. */
static _Atomic bool stop;

static void *write_into(void *argument) {
    struct pb_pin *pin = argument;
    _Atomic uint32_t *word = (_Atomic uint32_t *)(void *)pin->bytes;
    uint32_t count = 0;
    while (!stop) {
        CHECK_EQ(atomic_load_explicit(word, memory_order_relaxed), count);
        atomic_store_explicit(word, ++count, memory_order_relaxed);
    }
    pb_pin_release(pin);
    return NULL;
}

TEST(R42_pin_loses_no_write_to_a_copy) {
    for (struct each e = each_kind(2, 4, EACH_OWNED | EACH_STATIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e), *copy;
        struct pb_pin pin;
        CHECK_STATUS(pb_memory_pin(memory, 64, 4, &pin), PB_OK);
        stop = false;
        pthread_t writer = test_thread(write_into, &pin);
        for (unsigned i = 0; i < TEST_ROUNDS(50); i++) {
            CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
            pb_memory_release(copy);
        }
        stop = true;
        test_join(writer);
        pb_memory_release(memory);
    }
}
