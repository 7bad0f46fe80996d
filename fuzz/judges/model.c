/* model.c: what a memory and a mailbox must do, naively. See model.h. */
#include "model.h"

#include <string.h>

/* ---- Blocks -----------------------------------------------------------------------------------
 */

static uint8_t arena[MODEL_ARENA_MOST][MODEL_BLOCK_BYTES];
static unsigned arena_used, arena_blocks = MODEL_ARENA_BLOCKS, blocks_max = MODEL_BLOCKS_MAX;

void model_begin(bool large) {
    arena_used = 0;
    arena_blocks = large ? MODEL_ARENA_MOST : MODEL_ARENA_BLOCKS;
    blocks_max = large ? MODEL_BLOCKS_MOST : MODEL_BLOCKS_MAX;
}

static uint8_t *block_find(const struct model_memory *m, uint64_t number) {
    for (unsigned i = 0; i < m->blocks; i++) {
        if (m->block[i].number == number) {
            return m->block[i].bytes;
        }
    }
    return NULL;
}

static uint8_t *block_make(struct model_memory *m, uint64_t number) {
    uint8_t *bytes = block_find(m, number);
    if (bytes == NULL) {
        bytes = arena[arena_used++];
        memset(bytes, 0, MODEL_BLOCK_BYTES);
        m->block[m->blocks++] = (struct model_block){(uint32_t)number, bytes};
    }
    return bytes;
}

bool model_has_room(const struct model_memory *m, uint64_t start, uint64_t count) {
    unsigned needed = 0;
    if (count == 0) {
        return true;
    }
    uint64_t last = (start + count - 1) / MODEL_BLOCK_BYTES;
    if (last - start / MODEL_BLOCK_BYTES >= blocks_max) {
        return false;
    }
    for (uint64_t number = start / MODEL_BLOCK_BYTES; number <= last; number++) {
        needed += block_find(m, number) == NULL;
    }
    return m->blocks + needed <= blocks_max && arena_used + needed <= arena_blocks;
}

bool model_has_fresh_room(uint64_t bytes) {
    return arena_used + (bytes + MODEL_BLOCK_BYTES - 1) / MODEL_BLOCK_BYTES <= arena_blocks;
}

/* The part of [at, end) that lies in at's block. */
static uint64_t part_of(uint64_t at, uint64_t end) {
    uint64_t left = MODEL_BLOCK_BYTES - at % MODEL_BLOCK_BYTES;
    return end - at < left ? end - at : left;
}

void model_read(const struct model_memory *m, uint64_t start, void *data, uint64_t count) {
    uint64_t part;
    for (uint64_t at = start; at < start + count; at += part) {
        part = part_of(at, start + count);
        const uint8_t *bytes = block_find(m, at / MODEL_BLOCK_BYTES);
        uint8_t *to = (uint8_t *)data + (at - start);
        if (bytes == NULL) {
            memset(to, 0, part);
        } else {
            memcpy(to, bytes + at % MODEL_BLOCK_BYTES, part);
        }
    }
}

void model_write(struct model_memory *m, uint64_t start, const void *data, uint64_t count) {
    uint64_t part;
    for (uint64_t at = start; at < start + count; at += part) {
        part = part_of(at, start + count);
        memcpy(block_make(m, at / MODEL_BLOCK_BYTES) + at % MODEL_BLOCK_BYTES,
               (const uint8_t *)data + (at - start), part);
    }
}

void model_fill(struct model_memory *m, uint64_t start, uint8_t value, uint64_t count) {
    uint64_t part;
    for (uint64_t at = start; at < start + count; at += part) {
        part = part_of(at, start + count);
        memset(block_make(m, at / MODEL_BLOCK_BYTES) + at % MODEL_BLOCK_BYTES, value, part);
    }
}

void model_move(struct model_memory *m, uint64_t to, uint64_t from, uint64_t count) {
    static uint8_t all[(MODEL_BLOCKS_MOST + 1) * MODEL_BLOCK_BYTES];
    model_read(m, from, all, count);
    model_write(m, to, all, count);
}

uint64_t model_load(const struct model_memory *m, uint64_t address, unsigned width) {
    uint8_t byte[8] = {0};
    uint64_t value = 0;
    model_read(m, address, byte, width);
    for (unsigned i = 0; i < width; i++) {
        value |= (uint64_t)byte[i] << (8 * i);
    }
    return value;
}

void model_store(struct model_memory *m, uint64_t address, unsigned width, uint64_t value) {
    uint8_t byte[8];
    for (unsigned i = 0; i < width; i++) {
        byte[i] = (uint8_t)(value >> (8 * i));
    }
    model_write(m, address, byte, width);
}

uint64_t model_wrap(uint64_t value, unsigned width) {
    return width < 8 ? value & ((UINT64_C(1) << (8 * width)) - 1) : value;
}

uint64_t model_rmw(enum subject_rmw kind, uint64_t old, uint64_t operand) {
    switch (kind) {
    case SUBJECT_ADD:
        return old + operand;
    case SUBJECT_SUB:
        return old - operand;
    case SUBJECT_AND:
        return old & operand;
    case SUBJECT_OR:
        return old | operand;
    case SUBJECT_XOR:
        return old ^ operand;
    default:
        return operand;
    }
}

/* ---- Memory -----------------------------------------------------------------------------------
 */

const uint8_t *model_pattern(void) {
    static uint8_t pattern[MODEL_PATTERN_BYTES];
    if (pattern[0] == 0) {
        for (unsigned i = 0; i < MODEL_PATTERN_BYTES; i++) {
            pattern[i] = (uint8_t)(1 + (i * 31 + i / 251) % 255);
        }
    }
    return pattern;
}

static uint32_t limit_of(const struct subject_type *type) {
    return type->max_pages < SUBJECT_PAGES_MAX ? type->max_pages : SUBJECT_PAGES_MAX;
}

enum subject_status model_type_check(const struct subject_type *type) {
    bool has_max = type->max_pages != SUBJECT_NO_MAXIMUM;
    if (type->min_pages > SUBJECT_PAGES_MAX || (has_max && type->max_pages > SUBJECT_PAGES_MAX)) {
        return SUBJECT_LIMIT;
    }
    if ((has_max && type->min_pages > type->max_pages) || (type->shared && !has_max)) {
        return SUBJECT_INVALID;
    }
    return SUBJECT_OK;
}

struct subject_style model_style(const struct subject_type *type, uint32_t bound_pages,
                                 uint64_t static_guard_bytes, uint64_t dynamic_guard_bytes) {
    if (limit_of(type) <= bound_pages) {
        return (struct subject_style){true, bound_pages, static_guard_bytes};
    }
    return (struct subject_style){false, 0, dynamic_guard_bytes};
}

void model_create(struct model_memory *m, const struct subject_type *type,
                  const struct subject_style *style, uint64_t image_bytes) {
    m->type = *type;
    m->first_pages = type->min_pages;
    m->image_bytes = image_bytes;
    m->style = *style;
    m->disabled = false;
    m->blocks = 0;
    model_write(m, 0, model_pattern(), image_bytes);
}

void model_reset(struct model_memory *m) {
    m->type.min_pages = m->first_pages;
    m->blocks = 0;
    model_write(m, 0, model_pattern(), m->image_bytes);
}

bool model_copy(const struct model_memory *m, struct model_memory *copy) {
    if (arena_used + m->blocks > arena_blocks) {
        return false;
    }
    *copy = *m;
    copy->disabled = false;
    for (unsigned i = 0; i < m->blocks; i++) {
        copy->block[i].bytes = memcpy(arena[arena_used++], m->block[i].bytes, MODEL_BLOCK_BYTES);
    }
    return true;
}

uint64_t model_bytes(const struct model_memory *m) {
    return m->type.min_pages * SUBJECT_PAGE_BYTES;
}

bool model_grow_passes(const struct model_memory *m, uint32_t delta_pages) {
    return (uint64_t)m->type.min_pages + delta_pages > limit_of(&m->type);
}

bool model_within(const struct model_memory *m, uint64_t start, uint64_t count) {
    return start <= model_bytes(m) && count <= model_bytes(m) - start;
}

/* ---- Mailbox ----------------------------------------------------------------------------------
 */

void model_mailbox_attach(struct model_mailbox *m, uint32_t capacity, bool spill,
                          uint32_t spill_max) {
    m->capacity = capacity;
    m->spill = spill;
    m->spill_max = spill_max;
    m->closed = m->signalled = false;
    m->queued = m->in_ring = m->first = 0;
}

static void append(struct model_mailbox *m, uint64_t id) {
    m->id[(m->first + m->queued++) % MODEL_QUEUE_MAX] = id;
}

enum subject_status model_enqueue(struct model_mailbox *m, uint64_t id) {
    if (m->closed) {
        return SUBJECT_CLOSED;
    }
    model_flush(m); /* room in the ring belongs to the spilled ones first (R32) */
    uint32_t spilled = m->queued - m->in_ring;
    if (spilled == 0 && m->in_ring < m->capacity) {
        append(m, id);
        m->in_ring++;
        m->signalled = true;
        return SUBJECT_OK;
    }
    if (!m->spill || spilled >= m->spill_max || m->queued == MODEL_QUEUE_MAX) {
        return SUBJECT_FULL;
    }
    append(m, id);
    m->signalled = true;
    return SUBJECT_OK;
}

uint32_t model_flush(struct model_mailbox *m) {
    while (m->in_ring < m->queued && m->in_ring < m->capacity) {
        m->in_ring++;
        m->signalled = true;
    }
    return m->queued - m->in_ring;
}

uint64_t model_take(struct model_mailbox *m) {
    if (m->in_ring == 0) {
        return 0;
    }
    uint64_t id = m->id[m->first];
    m->first = (m->first + 1) % MODEL_QUEUE_MAX;
    m->queued--;
    m->in_ring--;
    return id;
}

uint32_t model_close(struct model_mailbox *m) {
    uint32_t dropped = m->queued - m->in_ring;
    m->queued = m->in_ring;
    m->closed = true;
    return dropped;
}
