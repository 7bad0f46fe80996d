/* rows_memory.c: the gate's rows on whole memories: life, growth, copy, reset, sharing. */
#include "gate.h"

enum {
    LIVES = 16,
    GROWN = 8,   /* memories that grow in one region */
    GROWTHS = 4, /* growths of each */
    ALL_GROWTHS = GROWN * GROWTHS,
    COPIES = 4,
    COPIED_PAGES = 8,
    POOL_SLOTS = 16,
    TOUCHED_BYTES = 4 * GATE_HOST_PAGE /* written by a short-lived instance */
};

/* ---- Memories -------------------------------------------------------------------------------- */

static struct pb_pool *pool;
static enum pb_strategy strategy;
static struct pb_memory *memories[LIVES];
static struct pb_memory *source;

struct pb_memory *gate_memory(enum pb_strategy with, struct pb_pool *slots, uint32_t pages,
                              bool shared) {
    bool stays = pb_strategy_info(with)->stable_base;
    struct pb_memory_style style = {stays ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
                                    stays ? GATE_BOUND_PAGES : 0, GATE_GUARD_BYTES};
    struct pb_memory_config config = {.type = {pages, GATE_BOUND_PAGES, shared},
                                      .style = &style,
                                      .strategy = with,
                                      .pool = slots};
    struct pb_memory *memory = NULL;
    gate_need_ok(pb_memory_create(&config, &memory), "a memory was refused");
    return memory;
}

void gate_touch(struct pb_memory *memory, uint64_t bytes) {
    struct pb_memory_definition *definition = pb_memory_definition(memory);
    volatile uint8_t *base = atomic_load_explicit(&definition->base, memory_order_relaxed);
    for (uint64_t at = 0; at < bytes; at += GATE_HOST_PAGE) {
        base[at] = 1;
    }
}

static void open_pool(const struct gate_row *row) {
    strategy = row->strategy;
    pool = NULL;
    if (strategy == PB_STRATEGY_POOL) {
        struct pb_pool_config config = {.slots = POOL_SLOTS,
                                        .slot_bytes = pb_pages_to_bytes(GATE_BOUND_PAGES),
                                        .guard_bytes = GATE_GUARD_BYTES};
        gate_need_ok(pb_pool_create(&config, &pool), "a pool was refused");
    }
}

static void close_pool(void) {
    pb_pool_release(pool);
}

/* A short-lived instance: create, write to a few host pages, destroy. */
static void life(void) {
    for (int i = 0; i < LIVES; i++) {
        struct pb_memory *memory = gate_memory(strategy, pool, 1, false);
        gate_touch(memory, TOUCHED_BYTES);
        pb_memory_release(memory);
    }
}

/* Many at once: the mappings and resident bytes of each. */
static void create(void) {
    for (int i = 0; i < LIVES; i++) {
        memories[i] = gate_memory(strategy, pool, 2, false);
        gate_touch(memories[i], 2 * PB_PAGE_BYTES);
    }
}

static void create_close(void) {
    for (int i = 0; i < LIVES; i++) {
        pb_memory_release(memories[i]);
    }
    close_pool();
}

static void grow_open(const struct gate_row *row) {
    open_pool(row);
    for (int i = 0; i < GROWN; i++) {
        memories[i] = gate_memory(strategy, pool, 1, false);
    }
}

static void grow_all(int count) {
    uint32_t old;
    for (int i = 0; i < count; i++) {
        for (int growths = 0; growths < GROWTHS; growths++) {
            gate_need_ok(pb_memory_grow(memories[i], 1, &old), "a growth was refused");
        }
    }
}

static void grow(void) {
    grow_all(GROWN);
}

static void grow_close(void) {
    for (int i = 0; i < GROWN; i++) {
        pb_memory_release(memories[i]);
    }
    close_pool();
}

static void grow_shared_open(const struct gate_row *row) {
    open_pool(row);
    for (int i = 0; i < GROWN; i++) {
        memories[i] = gate_memory(PB_STRATEGY_RESERVE, NULL, 1, true);
    }
}

/* A growth past the limit, and one by zero pages: no system call. */
static void grow_refused(void) {
    uint32_t old;
    for (int i = 0; i < 1024; i++) {
        gate_need(pb_memory_grow(memories[0], GATE_BOUND_PAGES, &old) == PB_LIMIT, "no limit");
        gate_need_ok(pb_memory_grow(memories[0], 0, &old), "growth by 0 was refused");
    }
}

/* ---- Copies ---------------------------------------------------------------------------------- */

static void copy_open(const struct gate_row *row) {
    open_pool(row);
    source = gate_memory(strategy, pool, COPIED_PAGES, false);
    gate_touch(source, COPIED_PAGES * PB_PAGE_BYTES);
    struct pb_memory *first = NULL;
    gate_need_ok(pb_memory_copy(source, &first), "a copy was refused");
    pb_memory_release(first); /* if copies are views, there is an image from now on */
}

static void copy(void) {
    for (int i = 0; i < COPIES; i++) {
        gate_need_ok(pb_memory_copy(source, &memories[i]), "a copy was refused");
    }
}

/* If copies are views: the first host pages were written since the last copy. */
static void copy_written(void) {
    for (int i = 0; i < COPIES; i++) {
        gate_touch(source, (uint64_t)GATE_HOST_PAGE * 4);
        gate_need_ok(pb_memory_copy(source, &memories[i]), "a copy was refused");
        gate_touch(memories[i], (uint64_t)GATE_HOST_PAGE * 4);
    }
}

static void copy_written_open(const struct gate_row *row) {
    struct gate_row image = *row;
    image.strategy = PB_STRATEGY_IMAGE;
    copy_open(&image);
}

static void copy_close(void) {
    for (int i = 0; i < COPIES; i++) {
        pb_memory_release(memories[i]);
    }
    pb_memory_release(source);
    close_pool();
}

/* ---- Reset, sharing, owners ------------------------------------------------------------------ */

static void reset_open(const struct gate_row *row) {
    grow_open(row);
    grow_all(GROWN);
    for (int i = 0; i < GROWN; i++) {
        gate_touch(memories[i], TOUCHED_BYTES);
    }
}

static void reset(void) {
    for (int i = 0; i < GROWN; i++) {
        gate_need_ok(pb_memory_reset(memories[i]), "a reset was refused");
    }
}

/* A shared memory with a clone, including its waiters and reference counts. */
static void share(void) {
    for (int i = 0; i < LIVES; i++) {
        struct pb_memory *memory = gate_memory(PB_STRATEGY_RESERVE, NULL, 1, true), *clone = NULL;
        gate_need_ok(pb_memory_retain(memory, &clone), "a clone was refused");
        pb_memory_release(memory);
        pb_memory_release(clone);
    }
}

/* The memory that an address belongs to, as a trap handler asks. */
static void owner_of(void) {
    struct pb_address_owner owner;
    for (int i = 0; i < 1024; i++) {
        struct pb_memory_definition *definition = pb_memory_definition(memories[i % GROWN]);
        const uint8_t *base = atomic_load_explicit(&definition->base, memory_order_relaxed);
        gate_need(pb_memory_owner_of(base + i, &owner), "an address has no owner");
    }
}

static void nothing_open(const struct gate_row *row) {
    (void)row;
    pool = NULL;
}

/* Strategies that run the same code as another one are counted, not timed. */
#define TIMED_LIVES \
    (GATE_BIT(RESERVE) | GATE_BIT(HEAP) | GATE_BIT(IMAGE) | GATE_BIT(POOL) | GATE_BIT(GUARD))
#define TIMED_GROWTHS \
    (GATE_BIT(RESERVE) | GATE_BIT(REMAP) | GATE_BIT(MOVE) | GATE_BIT(HEAP) | GATE_BIT(GUARD))
#define TIMED_COPIES (GATE_BIT(RESERVE) | GATE_BIT(HEAP) | GATE_BIT(IMAGE))

const struct gate_row gate_rows_memory[] = {
    {"life", LIVES, GATE_EACH, TIMED_LIVES, GATE_ALONE, 0, open_pool, life, close_pool},
    {"create", LIVES, GATE_EACH, 0, GATE_ALONE, 0, open_pool, create, create_close},
    {"grow", ALL_GROWTHS, GATE_EACH, TIMED_GROWTHS, GATE_ALONE, 0, grow_open, grow, grow_close},
    {"grow_shared", ALL_GROWTHS, 0, 1, GATE_ALONE, 0, grow_shared_open, grow, grow_close},
    {"grow_refused", 2048, 0, 1, GATE_ALONE, 0, grow_open, grow_refused, grow_close},
    {"copy", COPIES, GATE_EACH, TIMED_COPIES, GATE_ALONE, 0, copy_open, copy, copy_close},
    {"copy_written", COPIES, 0, 1, GATE_ALONE, 0, copy_written_open, copy_written, copy_close},
    {"reset", GROWN, GATE_EACH, GATE_BIT(RESERVE), GATE_ALONE, 0, reset_open, reset, grow_close},
    {"share", LIVES, 0, 1, GATE_ALONE, 0, nothing_open, share, close_pool},
    {"owner_of", 1024, 0, 1, GATE_ALONE, 0, grow_open, owner_of, grow_close},
    {0},
};
