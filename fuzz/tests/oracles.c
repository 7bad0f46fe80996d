/* oracles.c: tests that each oracle bites: the reference with one function broken, a short program,
 * and the name that must come of it; and that the reference passes all those programs. */
#include "exec.h"
#include "fault.h"
#include "load.h"
#include "rule.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct subject_memory *real;
static const struct subject_mailbox *real_box;
static struct subject_memory memory;
static struct subject_mailbox box;
static uint64_t last_id; /* of a broken function: what it remembers */

/* ---- Broken functions -------------------------------------------------------------------------
 */

static enum subject_status create_accepts(const struct subject_memory_config *config, void **made) {
    struct subject_memory_config lenient = *config;
    if (lenient.type.max_pages < lenient.type.min_pages) {
        lenient.type.max_pages = lenient.type.min_pages;
    }
    return real->create(&lenient, made);
}

static enum subject_status create_dirty(const struct subject_memory_config *config, void **made) {
    enum subject_status status = real->create(config, made);
    if (status == SUBJECT_OK && real->size_bytes(*made) > 0) {
        (void)real->store(*made, 65528, 0, 1, 1);
    }
    return status;
}

static enum subject_status create_narrow(const struct subject_memory_config *config, void **made) {
    struct subject_memory_config narrow = *config;
    narrow.style = SUBJECT_STYLE_DYNAMIC;
    return real->create(&narrow, made);
}

static enum subject_status grow_refuses_last(void *m, uint32_t delta, uint32_t *old) {
    bool last = real->size_pages(m) + delta >= SUBJECT_PAGES_MAX;
    return last ? SUBJECT_LIMIT : real->grow(m, delta, old);
}

static enum subject_status grow_refuses_all(void *m, uint32_t delta, uint32_t *old) {
    bool could = delta > 0 && delta <= SUBJECT_PAGES_MAX;
    return could ? SUBJECT_NO_MEMORY : real->grow(m, delta, old);
}

/* Whoever was refused once, is for ever. */
static enum subject_status grow_poisons(void *m, uint32_t delta, uint32_t *old) {
    if (last_id != 0) {
        return SUBJECT_NO_MEMORY;
    }
    enum subject_status status = real->grow(m, delta, old);
    last_id = status != SUBJECT_OK;
    return status;
}

static enum subject_status grow_refuses_zero(void *m, uint32_t delta, uint32_t *old) {
    return delta == 0 ? SUBJECT_LIMIT : real->grow(m, delta, old);
}

static enum subject_status grow_tells_new(void *m, uint32_t delta, uint32_t *old) {
    enum subject_status status = real->grow(m, delta, old);
    if (status == SUBJECT_OK) {
        *old += delta;
    }
    return status;
}

static enum subject_status grow_and_fails(void *m, uint32_t delta, uint32_t *old) {
    enum subject_status status = real->grow(m, delta, old);
    return status == SUBJECT_OK && delta > 1 ? SUBJECT_NO_MEMORY : status;
}

static enum subject_status grow_loses(void *m, uint32_t delta, uint32_t *old) {
    enum subject_status status = real->grow(m, delta, old);
    if (status == SUBJECT_OK && delta > 0) {
        (void)real->bulk_fill(m, 0, 0, 100);
    }
    return status;
}

static enum subject_status grow_dirty(void *m, uint32_t delta, uint32_t *old) {
    enum subject_status status = real->grow(m, delta, old);
    if (status == SUBJECT_OK && delta > 0) {
        (void)real->bulk_fill(m, *old * 65536u, 7, 1);
    }
    return status;
}

static uint64_t size_in_32_bits(void *m) {
    return (uint32_t)real->size_bytes(m);
}

static struct subject_type type_of_first(void *m) {
    struct subject_type type = real->type(m);
    type.shared = false;
    return type;
}

static enum subject_status copy_aliases(void *m, void **copy) {
    enum subject_status status = real->clone(m, copy);
    return status == SUBJECT_OK ? SUBJECT_OK : real->copy(m, copy);
}

static enum subject_status copy_forgets(void *m, void **copy) {
    enum subject_status status = real->copy(m, copy);
    if (status == SUBJECT_OK && real->size_bytes(*copy) > 0) {
        (void)real->bulk_fill(*copy, 0, 0, 64);
    }
    return status;
}

static enum subject_status clone_of_owned(void *m, void **clone) {
    enum subject_status status = real->clone(m, clone);
    return status == SUBJECT_NOT_SHARED ? real->copy(m, clone) : status;
}

static enum subject_status clone_of_nothing(void *m, void **clone) {
    (void)clone;
    return real->type(m).shared ? SUBJECT_OK : SUBJECT_NOT_SHARED;
}

static enum subject_status clone_left_out(void *m, void **clone) {
    (void)m;
    (void)clone;
    return SUBJECT_UNSUPPORTED;
}

static enum subject_status reset_half(void *m) {
    (void)m;
    return SUBJECT_OK;
}

static enum subject_status load_too_far(void *m, uint32_t index, uint32_t offset, unsigned width,
                                        uint64_t *value) {
    *value = 0;
    return (uint64_t)index + offset + width == real->size_bytes(m) + 1
               ? SUBJECT_OK
               : real->load(m, index, offset, width, value);
}

static enum subject_status store_wraps(void *m, uint32_t index, uint32_t offset, unsigned width,
                                       uint64_t value) {
    return real->store(m, index + offset, 0, width, value);
}

static enum subject_status fill_partly(void *m, uint32_t at, uint8_t value, uint32_t count) {
    uint64_t size = real->size_bytes(m);
    if (at < size && (uint64_t)at + count > size) {
        (void)real->bulk_fill(m, at, value, (uint32_t)(size - at));
        return SUBJECT_OUT_OF_BOUNDS;
    }
    return real->bulk_fill(m, at, value, count);
}

static enum subject_status copy_forward(void *m, uint32_t to, uint32_t from, uint32_t count) {
    uint64_t size = real->size_bytes(m), value;
    if ((uint64_t)to + count > size || (uint64_t)from + count > size) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    for (uint32_t i = 0; i < count; i++) {
        (void)real->load(m, from + i, 0, 1, &value);
        (void)real->store(m, to + i, 0, 1, value);
    }
    return SUBJECT_OK;
}

static enum subject_status initialise_clips(void *m, uint64_t start, const void *data,
                                            uint64_t count) {
    uint64_t size = real->size_bytes(m);
    if (start < size && count > size - start) {
        count = size - start;
    }
    return real->initialise(m, start, data, count);
}

static void drop_nothing(struct subject_segment *segment) {
    (void)segment;
}

static enum subject_status wait_far(void *m, uint64_t address, uint32_t expected,
                                    int64_t timeout_ns, unsigned *result) {
    *result = 1;
    return address == real->size_bytes(m) ? SUBJECT_OK
                                          : real->wait32(m, address, expected, timeout_ns, result);
}

static enum subject_status wait_narrow(void *m, uint64_t address, uint64_t expected,
                                       int64_t timeout_ns, unsigned *result) {
    return address % 8 != 0 ? SUBJECT_MISALIGNED
                            : real->wait32(m, address, (uint32_t)expected, timeout_ns, result);
}

static enum subject_status wait_at_once(void *m, uint64_t address, uint32_t expected,
                                        int64_t timeout_ns, unsigned *result) {
    enum subject_status status = real->wait32(m, address, expected, timeout_ns, result);
    *result = *result == 2 ? 0 : *result;
    return status;
}

/* These answer well once, and from then on leave what they should set as it is. */
static enum subject_status wait_once(void *m, uint64_t address, uint32_t expected,
                                     int64_t timeout_ns, unsigned *result) {
    unsigned unseen;
    return real->wait32(m, address, expected, timeout_ns, last_id++ == 0 ? result : &unseen);
}

static enum subject_status read_once(void *m, uint64_t start, void *data, uint64_t count) {
    uint8_t unseen[64];
    return real->read(m, start, last_id++ == 0 || count > sizeof unseen ? data : unseen, count);
}

/* The old value is 0 in the programs below: as if the caller's variable began so. */
static enum subject_status rmw_without_old(void *m, enum subject_rmw kind, uint32_t index,
                                           uint32_t offset, unsigned width, uint64_t operand,
                                           uint64_t *old) {
    uint64_t unseen;
    (void)old;
    return real->atomic_rmw(m, kind, index, offset, width, operand, &unseen);
}

static enum subject_status cmpxchg_without_old(void *m, uint32_t index, uint32_t offset,
                                               unsigned width, uint64_t expected,
                                               uint64_t replacement, uint64_t *old) {
    uint64_t unseen;
    (void)old;
    return real->atomic_cmpxchg(m, index, offset, width, expected, replacement, &unseen);
}

static enum subject_status cmpxchg_never_wraps(void *m, uint32_t index, uint32_t offset,
                                               unsigned width, uint64_t expected,
                                               uint64_t replacement, uint64_t *old) {
    if (width < 8 && expected >> (8 * width) != 0) {
        return real->atomic_rmw(m, SUBJECT_OR, index, offset, width, 0, old);
    }
    return real->atomic_cmpxchg(m, index, offset, width, expected, replacement, old);
}

static enum subject_status wait_left_out(void *m, uint64_t address, uint32_t expected,
                                         int64_t timeout_ns, unsigned *result) {
    (void)m;
    (void)address;
    (void)expected;
    (void)timeout_ns;
    (void)result;
    return SUBJECT_UNSUPPORTED;
}

static uint32_t waiters_one(void *m) {
    (void)m;
    return 1;
}

static uint64_t pages_in_16_bits(void *m) {
    return (uint16_t)real->size_pages(m);
}

static enum subject_status notify_unchecked(void *m, uint64_t address, uint32_t count,
                                            uint32_t *woken) {
    if (count == 0) {
        *woken = 0;
        return SUBJECT_OK;
    }
    return real->notify(m, address, count, woken);
}

static enum subject_status notify_counts(void *m, uint64_t address, uint32_t count,
                                         uint32_t *woken) {
    enum subject_status status = real->notify(m, address, count, woken);
    *woken += status == SUBJECT_OK && count > 0;
    return status;
}

static void disable_nothing(void *m) {
    (void)m;
}

static void destroy_nothing(void *m) {
    (void)m;
}

static bool owner_without_guard(const void *address, struct subject_owner *owner) {
    return real->owner_of(address, owner) && owner->offset_bytes < owner->length_bytes;
}

/* The byte behind a reservation belongs to it, too. */
static bool owner_one_too_far(const void *address, struct subject_owner *owner) {
    if (real->owner_of(address, owner)) {
        return true;
    }
    bool behind = real->owner_of((const uint8_t *)address - 1, owner);
    owner->offset_bytes++;
    return behind;
}

static bool owner_of_nothing(const void *address, struct subject_owner *owner) {
    (void)address;
    (void)owner;
    return false;
}

static enum subject_status create_gives_up(const struct subject_memory_config *config,
                                           void **made) {
    struct subject_memory_config once = *config;
    once.fall_back = 0;
    return real->create(&once, made);
}

static unsigned rung_below(void *m) {
    return real->rung(m) + 1;
}

static uint64_t budget_used_less(void) {
    uint64_t used = real->budget_used();
    return used > 0 ? used - 1 : 0;
}

static enum subject_status pin_elsewhere(void *m, uint64_t start, uint64_t count, void **pin,
                                         const uint8_t **bytes) {
    enum subject_status status = real->pin(m, start, count, pin, bytes);
    *bytes += status == SUBJECT_OK;
    return status;
}

static enum subject_status copy_dynamic(void *m, void **made) {
    void *again;
    enum subject_status status = real->copy(m, made);
    const struct subject_memory_config config = {
        .type = real->type(m), .style = SUBJECT_STYLE_DYNAMIC, .dynamic_guard_bytes = 4096};
    if (status == SUBJECT_OK && real->create(&config, &again) == SUBJECT_OK) {
        real->destroy(*made);
        *made = again;
    }
    return status;
}

/* Not broken: a reservation that begins below the base. */
static bool reservation_from_below(void *m, const uint8_t **at, uint64_t *bytes) {
    bool told = real->reservation(m, at, bytes);
    *at -= told ? 4096 : 0;
    *bytes += told ? 4096 : 0;
    return told;
}

/* ---- Broken mailboxes -------------------------------------------------------------------------
 */

static enum subject_status enqueue_twice(void *m, uint64_t id) {
    enum subject_status status = real_box->enqueue(m, last_id != 0 ? last_id : id);
    last_id = last_id != 0 ? 0 : id;
    return status;
}

static enum subject_status enqueue_overwrites(void *m, uint64_t id) {
    enum subject_status status = real_box->enqueue(m, id);
    return status == SUBJECT_FULL ? SUBJECT_OK : status;
}

static enum subject_status enqueue_takes_wide(void *m, uint64_t id) {
    return real_box->enqueue(m, id > UINT32_MAX ? 1 : id);
}

static enum subject_status enqueue_silently(void *m, uint64_t id) {
    uint8_t *memory_at;
    uint64_t bytes;
    enum subject_status status = real_box->enqueue(m, id);
    struct subject_words *words = real_box->words(m, &memory_at, &bytes);
    atomic_fetch_and(&words->flag, ~1u);
    return status;
}

static enum subject_status enqueue_after_close(void *m, uint64_t id) {
    uint8_t *memory_at;
    uint64_t bytes;
    enum subject_status status = real_box->enqueue(m, id);
    if (status == SUBJECT_CLOSED) {
        atomic_fetch_add(&real_box->words(m, &memory_at, &bytes)->tail, 1);
    }
    return status;
}

static enum subject_status enqueue_beside(void *m, uint64_t id) {
    uint8_t *memory_at;
    uint64_t bytes;
    struct subject_words *words = real_box->words(m, &memory_at, &bytes);
    uint32_t capacity = 4;
    if (atomic_load(&words->tail) > UINT32_MAX / 4) { /* believes a guest's word, a little */
        atomic_store(&words->ring[capacity], (uint32_t)id);
    }
    return real_box->enqueue(m, id);
}

static void close_unseen(void *m, uint32_t *dropped) {
    uint8_t *memory_at;
    uint64_t bytes;
    real_box->close(m, dropped);
    atomic_fetch_and(&real_box->words(m, &memory_at, &bytes)->flag, ~2u);
}

static uint32_t drain_less(void *m, void (*take)(void *context, uint32_t id), void *context) {
    uint32_t taken = real_box->drain(m, take, context);
    return taken > 2 ? taken - 1 : taken;
}

static enum subject_status attach_anywhere(const struct subject_mailbox_config *config,
                                           void **made) {
    struct subject_mailbox_config moved = *config;
    moved.offset &= ~3u;
    return real_box->attach(&moved, made);
}

/* ---- The table --------------------------------------------------------------------------------
 */

#define MEMORY(field, function, name, oracle, text)                                \
    {                                                                              \
        name, oracle, "pagebox-ops 1 memory_fuzzer\n" text, (void *)&memory.field, \
            sizeof memory.field, {.memory = {.field = function}},                  \
            offsetof(struct subject_memory, field)                                 \
    }
#define BOX(field, function, name, oracle, text)                                                   \
    {                                                                                              \
        name, oracle, "pagebox-ops 1 mailbox_fuzzer\n" text, (void *)&box.field, sizeof box.field, \
            {.box = {.field = function}}, offsetof(struct subject_mailbox, field)                  \
    }

#define CREATE(slot, strategy, twin, min, max, shared, style, bound)                     \
    "T0 memory_create " slot " strategy:" strategy " twin:" twin " min:" min " max:" max \
    " shared:" shared " style:" style " bound:" bound " guard:4096 record:own\n"
#define PLAIN CREATE("m0", "reserve", "none", "1", "6", "no", "tuned", "0")
#define SHARED CREATE("m0", "reserve", "none", "1", "6", "yes", "tuned", "0")
#define ATTACH(full, spill)                                                               \
    "T0 mailbox_attach ground:shared pages:1 region:front capacity:4 cursor:0 full:" full \
    " spill:" spill "\n"

#define TWINS CREATE("m0", "reserve", "guard", "1", "6", "yes", "tuned", "0")

static const struct bite {
    const char *name, *oracle, *text;
    void *at;
    size_t bytes;
    union {
        struct subject_memory memory;
        struct subject_mailbox box;
    } broken;
    size_t offset;
} bites[] = {
    MEMORY(create, create_accepts, "oracle_R1_create", "R1-create",
           CREATE("m0", "reserve", "none", "2", "1", "no", "tuned", "0")),
    MEMORY(create, create_dirty, "oracle_R2_fresh_zero", "R2-fresh-zero", PLAIN),
    MEMORY(create, create_narrow, "oracle_R3_style", "R3-style",
           CREATE("m0", "reserve", "none", "1", "6", "no", "static", "6")),
    MEMORY(owner_of, owner_without_guard, "oracle_R39_owner_guard", "R39-owner-guard",
           PLAIN "T0 memory_owner_of m0 at:end\n"),
    MEMORY(owner_of, owner_one_too_far, "oracle_R39_owner_beyond", "R39-owner-beyond",
           "T0 memory_create m0 strategy:reserve twin:none min:1 max:4 shared:no style:dynamic "
           "bound:0 guard:4096 record:own\nT0 memory_owner_of m0 at:266240\n"),
    MEMORY(owner_of, owner_of_nothing, "oracle_R39_owner", "R39-owner",
           PLAIN "T0 memory_owner_of m0 at:end-1\n"),
    MEMORY(create, create_gives_up, "oracle_R43_gave_up", "R43-gave-up",
           "T0 memory_fall_back rungs:3\nT0 memory_address_space pages:3\n" CREATE(
               "m0", "reserve", "none", "3", "9", "no", "static", "9")),
    MEMORY(rung, rung_below, "oracle_R43_rung", "R43-rung", "T0 memory_fall_back rungs:2\n" PLAIN),
    MEMORY(budget_used, budget_used_less, "oracle_R40_budget", "R40-budget",
           "T0 memory_budget pages:4\n" PLAIN),
    MEMORY(pin, pin_elsewhere, "oracle_R42_pin", "R42-pin",
           PLAIN "T0 memory_pin m0 at:0 count:8\n"),
    MEMORY(
        copy, copy_dynamic, "oracle_R13_copy_style", "R13-copy-style",
        CREATE("m0", "reserve", "none", "1", "6", "no", "static", "6") "T0 memory_copy m0 to:m1\n"),
    MEMORY(grow, grow_refuses_last, "oracle_R5_grow_limit", "R5-grow-limit",
           CREATE("m0", "reserve", "none", "0", "none", "no", "dynamic",
                  "0") "T0 memory_grow m0 pages:65536\n"),
    MEMORY(grow, grow_refuses_all, "oracle_R5_grow_refused", "R5-grow-refused",
           PLAIN "T0 memory_grow m0 pages:1\n"),
    MEMORY(grow, grow_refuses_all, "oracle_R5_grow_refused_in_a_slot_that_failed",
           "R5-grow-refused",
           PLAIN "T0 memory_grow m0 pages:65537\nT0 memory_destroy m0\n" PLAIN
                 "T0 memory_grow m0 pages:1\n"),
    MEMORY(grow, grow_refuses_all, "oracle_R5_grow_refused_of_a_copy", "R5-grow-refused",
           PLAIN "T0 memory_copy m0 to:m1\nT0 memory_grow m1 pages:65537\nT0 memory_copy m0 to:m1\n"
                 "T0 memory_copy m0 to:m1\nT0 memory_grow m1 pages:1\n"),
    MEMORY(grow, grow_poisons, "oracle_R6_retry_refused", "R6-retry-refused",
           PLAIN "T0 memory_grow m0 pages:65537\nT0 memory_grow m0 pages:1\n"),
    MEMORY(size_pages, pages_in_16_bits, "oracle_R9_65536_pages", "R9-wide-lengths",
           CREATE("m0", "reserve", "none", "0", "none", "no", "dynamic",
                  "0") "T0 memory_grow m0 pages:65536\n"),
    MEMORY(grow, grow_tells_new, "oracle_R5_grow_result", "R5-grow-result",
           PLAIN "T0 memory_grow m0 pages:1\n"),
    MEMORY(grow, grow_and_fails, "oracle_R6_grow_atomic", "R6-grow-atomic",
           CREATE("m0", "reserve", "none", "1", "none", "no", "dynamic",
                  "0") "T0 memory_grow m0 pages:100\n"),
    MEMORY(grow, grow_refuses_zero, "oracle_R7_grow_zero", "R7-grow-zero",
           PLAIN "T0 memory_grow m0 pages:5\nT0 memory_grow m0 pages:0\n"),
    MEMORY(grow, grow_loses, "oracle_R8_grow_bytes", "R8-grow-bytes",
           PLAIN "T0 memory_store m0 at:8 offset:0 width:8 value:9\nT0 memory_grow m0 pages:1\n"),
    MEMORY(grow, grow_dirty, "oracle_R8_grow_zero", "R8-grow-zero",
           PLAIN "T0 memory_grow m0 pages:1\n"),
    MEMORY(size_bytes, size_in_32_bits, "oracle_R9_wide_lengths", "R9-wide-lengths",
           CREATE("m0", "reserve", "none", "0", "none", "no", "dynamic",
                  "0") "T0 memory_grow m0 pages:65536\n"),
    MEMORY(type, type_of_first, "oracle_R12_type", "R12-type", PLAIN "T0 memory_to_shared m0\n"),
    MEMORY(copy, copy_aliases, "oracle_R13_copy_aliases", "R13-copy-aliases",
           SHARED "T0 memory_copy m0 to:m1\n"),
    MEMORY(copy, copy_forgets, "oracle_R13_copy", "R13-copy",
           PLAIN "T0 memory_store m0 at:8 offset:0 width:8 value:9\nT0 memory_copy m0 to:m1\n"),
    MEMORY(clone, clone_of_owned, "oracle_R14_clone_unshared", "R14-clone-unshared",
           PLAIN "T0 memory_clone m0 to:m1\n"),
    MEMORY(clone, clone_of_nothing, "oracle_R14_clone", "R14-clone",
           SHARED "T0 memory_clone m0 to:m1\n"),
    MEMORY(reservation, reservation_from_below, "oracle_R4_owner_ends_with_the_reservation",
           "clean", PLAIN "T0 memory_owner_of m0 at:401408\n"),
    MEMORY(destroy, destroy_nothing, "oracle_R14_leak", "R14-leak", PLAIN "T0 memory_destroy m0\n"),
    MEMORY(reset, reset_half, "oracle_R15_reset", "R15-reset",
           PLAIN "T0 memory_grow m0 pages:2\nT0 memory_reset m0\n"),
    MEMORY(bulk_fill, fill_partly, "oracle_R16_bulk_atomic", "R16-bulk-atomic",
           PLAIN "T0 memory_store m0 at:65530 offset:0 width:1 value:9\n"
                 "T0 memory_bulk_fill m0 at:65532 value:1 count:5\n"),
    MEMORY(bulk_copy, copy_forward, "oracle_R16_bulk_copy", "R16-bulk-copy",
           PLAIN "T0 memory_initialise m0 at:0 count:50\n"
                 "T0 memory_bulk_copy m0 to:5 from:0 count:40\n"),
    MEMORY(segment_drop, drop_nothing, "oracle_R16_segment_drop", "R16-segment-drop",
           "T0 segment_drop s0\n"),
    MEMORY(initialise, initialise_clips, "oracle_R17_init_check", "R17-init-check",
           PLAIN "T0 memory_initialise m0 at:end-4 count:5\n"),
    MEMORY(read, read_once, "oracle_R17_read_of_the_second", "R17-read",
           TWINS "T0 memory_store m0 at:8 offset:0 width:1 value:9\n"
                 "T0 memory_read m0 at:0 count:16\n"),
    MEMORY(atomic_rmw, rmw_without_old, "oracle_R18_rmw_sets_the_old_value", "R18-atomic",
           PLAIN "T0 memory_atomic_rmw m0 kind:add at:0 offset:0 width:4 value:1\n"),
    MEMORY(atomic_cmpxchg, cmpxchg_without_old, "oracle_R18_cmpxchg_sets_the_old_value",
           "R18-atomic",
           PLAIN "T0 memory_atomic_cmpxchg m0 at:0 offset:0 width:4 expected:0 value:1\n"),
    MEMORY(atomic_cmpxchg, cmpxchg_never_wraps, "oracle_R18_narrow_cmpxchg_wraps", "R18-atomic",
           PLAIN "T0 memory_atomic_cmpxchg m0 at:0 offset:0 width:2 expected:65536 value:1\n"),
    MEMORY(load, load_too_far, "oracle_R18_access", "R18-access",
           PLAIN "T0 memory_load m0 at:end-3 offset:0 width:4\n"),
    MEMORY(store, store_wraps, "oracle_R18_wrap", "R18-access",
           PLAIN "T0 memory_store m0 at:4294967295 offset:9 width:1 value:3\n"),
    MEMORY(wait32, wait_far, "oracle_R19_wait", "R19-checks",
           SHARED "T0 memory_wait32 m0 at:end expected:1 timeout_ns:0\n"),
    MEMORY(wait64, wait_narrow, "oracle_R20_value", "R20-value",
           SHARED "T0 memory_store m0 at:12 offset:0 width:4 value:1\n"
                  "T0 memory_wait64 m0 at:8 expected:0 timeout_ns:0\n"),
    MEMORY(wait32, wait_once, "oracle_R23_timeout_of_the_second", "R23-timeout",
           TWINS "T0 memory_wait32 m0 at:0 expected:0 timeout_ns:0\n"),
    MEMORY(wait32, wait_at_once, "oracle_R22_wait_without_notify", "R22-no-spurious",
           SHARED "T0 memory_wait32 m0 at:0 expected:0 timeout_ns:0\n"),
    MEMORY(waiters, waiters_one, "oracle_R27_queue_life", "R27-queue-life", SHARED),
    MEMORY(notify, notify_unchecked, "oracle_R19_notify", "R19-checks",
           SHARED "T0 memory_notify m0 at:2 count:0\n"),
    MEMORY(notify, notify_counts, "oracle_R22_no_spurious", "R22-no-spurious",
           SHARED "T0 memory_notify m0 at:8 count:3\n"),
    MEMORY(disable_atomics, disable_nothing, "oracle_R29_disable", "R29-disable",
           SHARED "T0 memory_disable_atomics m0\n"
                  "T0 memory_wait32 m0 at:0 expected:1 timeout_ns:0\n"),
    BOX(enqueue, enqueue_twice, "oracle_R30_exactly_once", "R30-exactly-once",
        ATTACH("reject", "0") "T0 mailbox_enqueue count:2\nT0 guest_drain\n"),
    BOX(enqueue, enqueue_takes_wide, "oracle_R30_id", "R30-id",
        ATTACH("reject", "0") "T0 mailbox_enqueue_id id:4294967296\n"),
    BOX(drain, drain_less, "oracle_R30_lost", "R30-lost",
        ATTACH("reject", "0") "T0 mailbox_enqueue count:3\nT0 guest_drain\n"),
    BOX(enqueue, enqueue_overwrites, "oracle_R33_full", "R33-full",
        ATTACH("reject", "0") "T0 mailbox_enqueue count:5\n"),
    BOX(enqueue, enqueue_silently, "oracle_R34_no_lost_wakeup", "R34-no-lost-wakeup",
        ATTACH("reject", "0") "T0 mailbox_enqueue count:1\n"
                              "T0 guest_park timeout_ns:0 meanwhile:nothing\n"),
    BOX(enqueue, enqueue_silently, "oracle_R34_while_parked", "R34-no-lost-wakeup",
        ATTACH("reject", "0") "T0 guest_park timeout_ns:0 meanwhile:enqueue\n"),
    BOX(enqueue, enqueue_after_close, "oracle_R36_write_after_close", "R36-write-after-close",
        ATTACH("reject", "0") "T0 mailbox_close\nT0 mailbox_enqueue count:1\n"),
    BOX(close, close_unseen, "oracle_R36_close_unseen", "R36-close-unseen",
        ATTACH("reject", "0") "T0 mailbox_close\nT0 guest_park timeout_ns:0 meanwhile:nothing\n"),
    BOX(attach, attach_anywhere, "oracle_R38_attach", "R38-attach",
        "T0 mailbox_attach ground:shared pages:1 region:odd capacity:4 cursor:0 full:reject "
        "spill:0\n"),
    BOX(enqueue, enqueue_beside, "oracle_R38_outside", "R38-outside",
        ATTACH("reject", "0") "T0 guest_scribble word:tail slot:0 value:4294967295\n"
                              "T0 mailbox_enqueue count:1\n"),
};

/* ---- Running ----------------------------------------------------------------------------------
 */

/* The reference, which each test begins with; the broken copies start as it is. */
static const struct subject *reference(void) {
    const struct subject *good = subject_ref();
    real = good->memory;
    real_box = good->mailbox;
    memory = *real;
    box = *real_box;
    return good;
}

/* The reference with `memory` and `box` in place of its own. */
static struct subject broken(void) {
    struct subject bad = *reference();
    bad.memory = &memory;
    bad.mailbox = &box;
    return bad;
}

static bool is_clean(const char *verdict) {
    return strcmp(verdict, "clean") == 0;
}

static const char *verdict(const struct subject *subject, const char *text) {
    static struct program program;
    unsigned line;
    const char *why;
    if (!op_parse(text, strlen(text), &program, &line, &why)) {
        return test_text("line %u: %s", line, why);
    }
    const char *rule = exec_run(subject, &program, NULL);
    return rule == NULL ? "clean" : rule;
}

TEST_ROWS(oracles_bite, row < sizeof bites / sizeof bites[0] ? bites[row].name : NULL) {
    const struct bite *bite = &bites[row];
    struct subject bad = broken();
    const char *first = verdict(&bad, bite->text);
    CHECK_OR(is_clean(first), "the reference itself gives %s", first);
    last_id = 0;
    memcpy(bite->at, (const char *)&bite->broken + bite->offset, bite->bytes);
    const char *second = verdict(&bad, bite->text);
    CHECK_OR(strcmp(second, bite->oracle) == 0, "%s, not %s", second, bite->oracle);
}

/* Two runs of one program are the same, faults and choices included. */
TEST(exec_runs_are_repeatable) {
    static const char text[] = "pagebox-ops 1 memory_fuzzer\nfault os_commit 2\n" PLAIN
                               "T0 memory_grow m0 pages:1\nT0 memory_grow m0 pages:1\nchoices 01\n";
    const struct subject *good = reference();
    const char *first = verdict(good, text);
    unsigned faults = fault_count();
    const char *second = verdict(good, text);
    CHECK_OR(strcmp(first, second) == 0, "%s, then %s", first, second);
    CHECK_EQ(fault_count(), faults);
}

/* A finding in the middle leaves nothing behind for the next program. */
TEST(exec_findings_leave_nothing) {
    struct subject bad = broken();
    memory.grow = grow_refuses_all;
    const char *found =
        verdict(&bad, "pagebox-ops 1 memory_fuzzer\n" PLAIN "T0 memory_grow m0 pages:1\n");
    CHECK_OR(!is_clean(found), "nothing was found");
    CHECK_EQ(fault_blocks(), 0);
    CHECK(is_clean(verdict(reference(), "pagebox-ops 1 memory_fuzzer\n" PLAIN)));
}

/* A finding of a rule that is off ends the program, and is not reported under another name. */
static const struct {
    const char *name, *off, *text;
    enum subject_status (*grow)(void *, uint32_t, uint32_t *);
    enum subject_status (*clone)(void *, void **);
} off_rows[] = {
    {"rule_off_at_growth", "R5-grow-result", PLAIN "T0 memory_grow m0 pages:1\n", grow_tells_new,
     NULL},
    {"rule_off_at_clone", "R14-clone-unshared", PLAIN "T0 memory_clone m0 to:m1\n", NULL,
     clone_of_owned},
};

TEST_ROWS(rules_off, row < sizeof off_rows / sizeof off_rows[0] ? off_rows[row].name : NULL) {
    char text[512];
    struct subject bad = broken();
    memory.grow = off_rows[row].grow != NULL ? off_rows[row].grow : real->grow;
    memory.clone = off_rows[row].clone != NULL ? off_rows[row].clone : real->clone;
    snprintf(text, sizeof text, "pagebox-ops 1 memory_fuzzer\n%s", off_rows[row].text);
    const char *on = verdict(&bad, text);
    setenv("PAGEBOX_RULES_OFF", off_rows[row].off, 1);
    CHECK(rules_choose(&bad));
    const char *off = verdict(&bad, text);
    CHECK_OR(strcmp(on, off_rows[row].off) == 0 && is_clean(off), "%s; with that off: %s", on, off);
}

/* What subject.h lets a partial strategy leave out, and what it lets it do. */
static struct subject partial_subject(void) {
    static struct subject_strategy partial[32];
    struct subject lenient = broken();
    CHECK(is_clean(verdict(&lenient, "pagebox-ops 1 memory_fuzzer\n" PLAIN))); /* fills the table */
    CHECK(real->strategies <= 32);
    for (unsigned i = 0; i < real->strategies; i++) {
        partial[i] = real->strategy[i];
        partial[i].partial = true;
    }
    memory.strategy = partial;
    return lenient;
}

TEST(oracle_partial_may_succeed) {
    struct subject lenient = partial_subject();
    const char *found = verdict(&lenient, "pagebox-ops 1 memory_fuzzer\n" PLAIN
                                          "T0 memory_grow m0 pages:1\nT0 memory_reset m0\n"
                                          "T0 memory_to_shared m0\nT0 memory_grow m0 pages:1\n"
                                          "T0 memory_clone m0 to:m1\n"
                                          "T0 memory_wait32 m0 at:0 expected:0 timeout_ns:0\n");
    CHECK_OR(is_clean(found), "%s", found);
}

static const char refused[] = "pagebox-ops 1 memory_fuzzer\n" SHARED "T0 memory_clone m0 to:m1\n"
                              "T0 memory_wait32 m0 at:0 expected:0 timeout_ns:0\n"
                              "T0 memory_wait32 m0 at:0 expected:1 timeout_ns:0\n";

TEST(oracle_partial_may_refuse) {
    struct subject lenient = partial_subject();
    memory.clone = clone_left_out;
    memory.wait32 = wait_left_out;
    const char *found = verdict(&lenient, refused);
    CHECK_OR(is_clean(found), "%s", found);
}

TEST(oracle_whole_may_not_refuse) {
    struct subject whole = broken();
    memory.clone = clone_left_out;
    memory.wait32 = wait_left_out;
    const char *found = verdict(&whole, refused);
    CHECK_OR(strcmp(found, "R14-clone") == 0, "%s", found);
}

/* The longest of programs finds a block for each byte that it writes, or is not run on: the last
 * reset writes its image where no block is left. */
TEST(exec_resets_use_up_all_blocks) {
    static char text[1 << 16];
    FILE *out = fmemopen(text, sizeof text, "w");
    CHECK(out != NULL);
    fputs("pagebox-ops 1 memory_fuzzer\n"
          "T0 memory_create_more m0 strategy:image twin:none min:8 max:8 shared:no style:dynamic "
          "bound:0 guard:0 record:own image:8192 advice:none waiters:0 reserve:0\n",
          out);
    for (unsigned round = 0; round < 8; round++) {
        if (round < 3) {
            fputs("T0 memory_bulk_fill m0 at:0 value:1 count:262144\n", out);
        }
        for (unsigned edge = 3; edge < 64 && round >= 3; edge += 2) {
            fprintf(out, "T0 memory_store m0 at:%u offset:0 width:8 value:1\n", 4096 * edge - 4);
        }
        fputs("T0 memory_reset m0\n", out);
    }
    fclose(out);
    const char *found = verdict(reference(), text);
    CHECK_OR(is_clean(found), "%s", found);
    CHECK(!model_has_fresh_room((uint64_t)MODEL_ARENA_BLOCKS *
                                MODEL_BLOCK_BYTES)); /* some were used */
    CHECK(!model_has_fresh_room(MODEL_BLOCK_BYTES));
}
