/* model.h: what a memory and a mailbox must do, naively: the sequential half of the rules.
 *
 * Nothing here is clever: bytes are a list of blocks that were written, the ring is an array. The
 * model says what must be; oracle.c compares. One thread. */
#ifndef MODEL_H
#define MODEL_H

#include "subject.h"

#define MODEL_BLOCK_BYTES 4096u
#define MODEL_BLOCKS_MAX 80u   /* of one memory */
#define MODEL_BLOCKS_MOST 700u /* where programs may be large */
#ifndef MODEL_ARENA_BLOCKS
#define MODEL_ARENA_BLOCKS 512u /* of a program */
#endif
#define MODEL_ARENA_MOST 4096u

/* ---- Memory -----------------------------------------------------------------------------------
 */

struct model_block {
    uint32_t number; /* address / MODEL_BLOCK_BYTES */
    uint8_t *bytes;
};

struct model_memory {
    struct subject_type type; /* min_pages: the size now (R12) */
    uint32_t first_pages;     /* what reset goes back to */
    uint64_t image_bytes;     /* of model_pattern, at 0: the first contents */
    struct subject_style style;
    bool disabled;
    unsigned blocks;
    struct model_block block[MODEL_BLOCKS_MOST]; /* all else is zero */
};

/* Bytes to write: never 0, different at neighbouring places. */
enum { MODEL_PATTERN_BYTES = 160 * 1024 };
const uint8_t *model_pattern(void);

/* Forgets all blocks of all memories. large: there is room for more from here on. */
void model_begin(bool large);

/* R1: SUBJECT_OK, SUBJECT_LIMIT or SUBJECT_INVALID. */
enum subject_status model_type_check(const struct subject_type *type);
/* R3. */
struct subject_style model_style(const struct subject_type *type, uint32_t bound_pages,
                                 uint64_t static_guard_bytes, uint64_t dynamic_guard_bytes);

void model_create(struct model_memory *m, const struct subject_type *type,
                  const struct subject_style *style, uint64_t image_bytes);
void model_reset(struct model_memory *m);
/* An equal one with blocks of its own. False when the arena is used up. */
bool model_copy(const struct model_memory *m, struct model_memory *copy);

uint64_t model_bytes(const struct model_memory *m);
/* R5: whether size + delta passes the limit. */
bool model_grow_passes(const struct model_memory *m, uint32_t delta_pages);

/* [start, start + count) within the size, without wrap. */
bool model_within(const struct model_memory *m, uint64_t start, uint64_t count);

/* True when a write of the range finds blocks to keep it in. */
bool model_has_room(const struct model_memory *m, uint64_t start, uint64_t count);
/* True if there are unused blocks for so many bytes, as model_create and model_reset need for an
 * image. */
bool model_has_fresh_room(uint64_t bytes);

/* The range must be within, and have room for a write. */
void model_read(const struct model_memory *m, uint64_t start, void *data, uint64_t count);
void model_write(struct model_memory *m, uint64_t start, const void *data, uint64_t count);
void model_fill(struct model_memory *m, uint64_t start, uint8_t value, uint64_t count);
void model_move(struct model_memory *m, uint64_t to, uint64_t from, uint64_t count);

/* Little-endian; width 1, 2, 4 or 8. */
uint64_t model_load(const struct model_memory *m, uint64_t address, unsigned width);
void model_store(struct model_memory *m, uint64_t address, unsigned width, uint64_t value);
/* A value as an access of that width sees it. */
uint64_t model_wrap(uint64_t value, unsigned width);
uint64_t model_rmw(enum subject_rmw kind, uint64_t old, uint64_t operand);

/* ---- Mailbox ----------------------------------------------------------------------------------
 */

#define MODEL_QUEUE_MAX 2048u /* ids in the ring and spilled together */

/* Ids the host accepted and the guest has not taken, the oldest first; the first `in_ring` are in
 * the ring, the others are spilled. */
struct model_mailbox {
    uint32_t capacity;
    bool spill;
    uint32_t spill_max;
    bool closed;
    bool signalled; /* since the last drain */
    uint32_t queued, in_ring;
    uint32_t first; /* index of the oldest */
    uint64_t id[MODEL_QUEUE_MAX];
};

void model_mailbox_attach(struct model_mailbox *m, uint32_t capacity, bool spill,
                          uint32_t spill_max);
/* What an enqueue of a sound id must answer now; SUBJECT_OK takes effect (R33, R36). */
enum subject_status model_enqueue(struct model_mailbox *m, uint64_t id);
/* Moves spilled ids into the ring as far as they fit; returns how many are left (R33). */
uint32_t model_flush(struct model_mailbox *m);
/* The oldest id in the ring, which leaves it; 0 when there is none (R30, R32). */
uint64_t model_take(struct model_mailbox *m);
/* Returns how many spilled ids are dropped (R36). */
uint32_t model_close(struct model_mailbox *m);

#endif
