/* memories.h: shared by the rows of memories: the strategies with their variants, a batch of
 * memories made from a row's parameters, and the registration of rows. */
#ifndef BENCH_MEMORIES_H
#define BENCH_MEMORIES_H

#include "memory.h"
#include "shim.h"
#include "strategies.h"

#include <stdbool.h>
#include <stdint.h>

enum { BATCH_MAX = 16, POOL_SLOTS = 32, OPTIONS_MAX = 3 };

/* A strategy with its variant, and the calls of memory_bounds.c that bound its operations; NULL: no
 * system call bounds it. */
struct subject {
    enum pb_strategy strategy;
    struct bench_parameter variant;
    const struct pb_allocator *allocator;
    enum pb_pool_reset reset;
    const char *create, *grow, *destroy, *renew;
    bool tuned;                   /* an allocator with other settings: fewer rows */
    uint64_t keep_resident_bytes; /* of a pool's slot */
};
extern const struct subject subjects[];
extern const int subjects_count;
#define SUBJECT_RESERVE (&subjects[0])

/* The strategy traps and reserves, so that guard and advice apply to it. */
bool subject_is_mapped(const struct subject *subject);

/* A batch of memories from the parameters of the current row, if it has them: pages (else 1),
 * advice, guard (bytes; else 64 KiB). */
struct memories {
    struct bench_state *state;
    const struct subject *subject;
    uint32_t pages;
    struct pb_memory_style style;
    struct pb_memory_config config;
    struct pb_memory *at[BATCH_MAX];
    int count;
};

/* Makes the pool if there is one. capacity_pages: the maximum, and what a strategy that never moves
 * reserves. False: the row is skipped, with the reason; call memories_end all the same. */
bool memories_begin(struct memories *memories, struct bench_state *state,
                    const struct subject *subject, uint32_t capacity_pages);
/* The same with another guard size. */
bool memories_begin_guarded(struct memories *memories, struct bench_state *state,
                            const struct subject *subject, uint32_t capacity_pages,
                            uint64_t guard_bytes);
void memories_end(struct memories *memories);

/* Creates that many; stops at the first that fails. */
enum pb_status memories_create(struct memories *memories, int count);
/* Writes one byte to each host page of each. */
void memories_touch(struct memories *memories);
void memories_destroy(struct memories *memories);

/* False: less than twice that many bytes are free, and the row is skipped. */
bool memories_room(struct bench_state *state, uint64_t bytes);

/* False: the row is skipped, with this as the reason. */
bool memories_check(struct bench_state *state, const char *what, enum pb_status status);

uint8_t *memory_base(struct pb_memory *memory);
uint64_t memory_length(struct pb_memory *memory);
void memory_touch(struct pb_memory *memory);

/* A row of a subject; fields that are NULL or 0 do not apply. */
struct memory_row {
    const char *name; /* "memory/grow" */
    void (*run)(struct bench_state *);
    enum bench_clock clock; /* 0 is BENCH_CLOCK_LOOP */
    const struct subject *subject;
    uint32_t pages;
    struct bench_parameter options[OPTIONS_MAX];
    const char *bound; /* "mprotect": "bound/mprotect/pages:N" bounds it */
    int bound_options; /* how many of the options, from the first, the bound has too */
    const char *peers; /* "wabt,v8": peer/grow/of:wabt/pages:N with this row's options, and so on */
    int threads;
    int64_t iterations; /* as in shim.h */
    bool full_only;
};
void memory_row_add(const struct memory_row *row);

/* For the report's sections: rows of every strategy (without allocators with other settings), and
 * the keys that name their lines. */
#define EVERY_STRATEGY "strategy:[a-z_]+(/(allocator|reset):[a-z]+)?"
#define MAPPED_STRATEGY "strategy:(reserve|reserve_rw|remap|move|image|guard|pool/reset:[a-z]+)"
#define STRATEGY_KEYS "strategy allocator reset"
#define MEMORY_SECTION "Linear memories, by strategy and size"
#define PAGES_AXIS "size of the memory, pages of 64 KiB"

#endif
