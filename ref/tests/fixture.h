/* fixture.h: memories of every kind to run a test over, and real probes of their pages. */
#ifndef FIXTURE_H
#define FIXTURE_H

#include "memory.h"
#include "status.h"
#include "test.h"

#include <stdatomic.h>

#define CHECK_STATUS(actual_, expected_) \
    test_status(__FILE__, __LINE__, #actual_, (actual_), (expected_))
void test_status(const char *file, int line, const char *what, enum pb_status actual,
                 enum pb_status expected);

/* ---- Every kind of memory ------------------------------------------------------------------- */

enum {
    EACH_OWNED = 1,
    EACH_SHARED = 2,
    EACH_STATIC = 4,
    EACH_DYNAMIC = 8,
    EACH_TRAPPING = 16, /* only strategies that trap past the end */
    EACH_KIND = EACH_OWNED | EACH_SHARED | EACH_STATIC | EACH_DYNAMIC
};

/* One kind after the other: every available strategy of pb_strategy_info, owned and shared, Static
 * (bound: one page more than the maximum) and Dynamic.
 *
 *     for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
 *         struct pb_memory *memory = each_create(&e);
 *
 * The guard is 64 KiB, or e.guard_bytes when set before the first each_next. */
struct each {
    struct pb_memory_config config; /* as each_create uses it; may be changed in the loop */
    enum pb_strategy strategy;
    const struct pb_strategy_info *info;
    bool shared, is_static;
    uint64_t guard_bytes;
    struct pb_pool *pool;
    struct pb_memory_style style;
    uint32_t min_pages, max_pages;
    unsigned kinds, next, seen;
};
struct each each_kind(uint32_t min_pages, uint32_t max_pages, unsigned kinds);
bool each_next(struct each *each); /* false after the last; fails the test when there was none */
struct pb_memory *each_create(struct each *each);

/* A single memory: reserve strategy, Static, small. */
struct pb_memory *owned_memory(uint32_t min_pages, uint32_t max_pages);
struct pb_memory *shared_memory(uint32_t min_pages, uint32_t max_pages);
struct pb_memory *clone_of(struct pb_memory *memory);

uint8_t *base_of(struct pb_memory *memory);

/* ---- Real probes ---------------------------------------------------------------------------- */

/* The bytes of pages that are the memory's own: neither a file's nor never written. Needs
 * PAGEMAP_SCAN. */
uint64_t own_bytes(struct pb_memory *memory);

/* True when a read, or a write, of this byte really faults. The write keeps the byte. */
bool read_faults(const void *at);
bool write_faults(void *at);

/* The end of the reservation as pb_memory_owner_of tells, as an offset from the base. */
uint64_t reservation_end(struct pb_memory *memory);

/* R4: every byte inside is readable and writable, every page from the size to the end of the
 * reservation faults, and the guard is as large as promised. */
void check_guarded(struct pb_memory *memory);

/* ---- Bytes ---------------------------------------------------------------------------------- */

/* Fills a range with, or checks it for, a pattern that depends on the place and the seed. */
void fill_pattern(struct pb_memory *memory, uint64_t start, uint64_t count, uint32_t seed);
void check_pattern(struct pb_memory *memory, uint64_t start, uint64_t count, uint32_t seed);
void check_zero(struct pb_memory *memory, uint64_t start, uint64_t count);

/* Everything about a memory that a failed call must not change. */
struct snapshot {
    uint8_t *base;
    uint64_t length_bytes, reservation_bytes, hash;
    struct pb_memory_type type;
    struct pb_memory_style style;
};
struct snapshot snapshot_take(struct pb_memory *memory);
void snapshot_check(struct pb_memory *memory, const struct snapshot *before);

#endif
