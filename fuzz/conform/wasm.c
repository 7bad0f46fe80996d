/* wasm.c: encodes a program as a WebAssembly module. See wasm.h. */
#include "wasm.h"

#include <stdlib.h>
#include <string.h>

/* ---- Bytes ----------------------------------------------------------------------------------- */

struct code {
    uint8_t *bytes;
    size_t length, room;
    bool failed;
};

static void put_byte(struct code *c, unsigned byte) {
    if (c->length == c->room) {
        size_t room = c->room == 0 ? 1024 : c->room * 2;
        uint8_t *bytes = c->failed ? NULL : realloc(c->bytes, room);
        if (bytes == NULL) {
            c->failed = true;
            return;
        }
        c->bytes = bytes;
        c->room = room;
    }
    c->bytes[c->length++] = (uint8_t)byte;
}

static void put_unsigned(struct code *c, uint64_t value) {
    do {
        put_byte(c, (unsigned)(value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        value >>= 7;
    } while (value != 0);
}

static void put_signed(struct code *c, int64_t value) {
    for (;;) {
        unsigned byte = (unsigned)value & 0x7f;
        value >>= 7; /* arithmetic */
        bool is_last = (value == 0 && !(byte & 0x40)) || (value == -1 && (byte & 0x40));
        put_byte(c, byte | (is_last ? 0 : 0x80));
        if (is_last) {
            return;
        }
    }
}

static void put_text(struct code *c, const char *text) {
    put_unsigned(c, strlen(text));
    for (; *text != '\0'; text++) {
        put_byte(c, (unsigned char)*text);
    }
}

/* Appends a section after its length, and frees it. */
static void put_sized(struct code *c, struct code *part) {
    put_unsigned(c, part->length);
    for (size_t i = 0; i < part->length; i++) {
        put_byte(c, part->bytes[i]);
    }
    c->failed = c->failed || part->failed;
    free(part->bytes);
    *part = (struct code){0};
}

static void put_section(struct code *c, unsigned id, struct code *part) {
    put_byte(c, id);
    put_sized(c, part);
}

/* ---- Instructions ---------------------------------------------------------------------------- */

enum {
    LOOP = 0x03,
    BLOCK = 0x02,
    IF = 0x04,
    ELSE = 0x05,
    END = 0x0b,
    BR = 0x0c,
    BR_IF = 0x0d,
    RETURN = 0x0f,
    CALL = 0x10,
    DROP = 0x1a,
    SELECT = 0x1b,
    GET = 0x20,
    SET = 0x21,
    TEE = 0x22,
    VOID = 0x40,
    I32 = 0x7f,
    I64 = 0x7e,
    I32_LOAD = 0x28,
    I64_LOAD = 0x29,
    I32_STORE = 0x36,
    I64_STORE = 0x37,
    MEMORY_SIZE = 0x3f,
    MEMORY_GROW = 0x40,
    I32_CONST = 0x41,
    I64_CONST = 0x42,
    I32_EQZ = 0x45,
    I32_EQ = 0x46,
    I32_NE = 0x47,
    I32_LT_S = 0x48,
    I32_LT_U = 0x49,
    I32_GE_U = 0x4f,
    I64_EQZ = 0x50,
    I64_EQ = 0x51,
    I64_NE = 0x52,
    I32_ADD = 0x6a,
    I32_SUB = 0x6b,
    I32_MUL = 0x6c,
    I32_REM_U = 0x70,
    I32_AND = 0x71,
    I32_OR = 0x72,
    I32_XOR = 0x73,
    I32_SHL = 0x74,
    I32_SHR_U = 0x76,
    I64_ADD = 0x7c,
    I64_MUL = 0x7e,
    I64_XOR = 0x85,
    I64_SHR_U = 0x88,
    I32_WRAP = 0xa7,
    I64_EXTEND_U = 0xad,
    /* after the prefix 0xfe */
    NOTIFY = 0x00,
    WAIT32 = 0x01,
    WAIT64 = 0x02,
    FENCE = 0x03,
    I32_ATOMIC_LOAD = 0x10,
    I32_ATOMIC_STORE = 0x17,
    I32_ATOMIC_ADD = 0x1e,
    ATOMIC_CMPXCHG = 0x48,
    /* after the prefix 0xfc */
    MEMORY_INIT = 8,
    MEMORY_COPY = 10,
    MEMORY_FILL = 11,
};

/* Offsets of enum conform_rmw among the 0xfe instructions. */
static const unsigned atomic_rmw[CONFORM_RMW_COUNT] = {0x1e, 0x25, 0x2c, 0x33, 0x3a, 0x41};
/* By variant: i32, i64, i32 with 8 and 16 bits, i64 with 8, 16, 32 bits, as the atomic ones are
 * numbered. */
static const unsigned plain_load[7] = {0x28, 0x29, 0x2d, 0x2f, 0x31, 0x33, 0x35};
static const unsigned plain_store[7] = {0x36, 0x37, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e};

static void local(struct code *c, unsigned instruction, unsigned index) {
    put_byte(c, instruction);
    put_unsigned(c, index);
}

static void i32_const(struct code *c, uint32_t value) {
    put_byte(c, I32_CONST);
    put_signed(c, (int32_t)value);
}

static void i64_const(struct code *c, uint64_t value) {
    put_byte(c, I64_CONST);
    put_signed(c, (int64_t)value);
}

static unsigned log2_of(uint32_t width) {
    return width == 8 ? 3 : width == 4 ? 2 : width == 2 ? 1 : 0;
}

static void access_plain(struct code *c, unsigned instruction, uint32_t width, uint32_t offset) {
    put_byte(c, instruction);
    put_unsigned(c, log2_of(width));
    put_unsigned(c, offset);
}

static void access_atomic(struct code *c, unsigned instruction, uint32_t width, uint32_t offset) {
    put_byte(c, 0xfe);
    put_unsigned(c, instruction);
    put_unsigned(c, log2_of(width));
    put_unsigned(c, offset);
}

static void open(struct code *c, unsigned instruction) {
    put_byte(c, instruction);
    put_byte(c, VOID);
}

static void branch(struct code *c, unsigned instruction, unsigned depth) {
    put_byte(c, instruction);
    put_unsigned(c, depth);
}

static void add_const(struct code *c, unsigned to, uint32_t value) {
    local(c, GET, to);
    i32_const(c, value);
    put_byte(c, I32_ADD);
    local(c, SET, to);
}

/* Lets other threads run, by a wait of that length on a word that is never written. */
static void put_yield(struct code *c, unsigned control, uint64_t timeout_ns) {
    local(c, GET, control);
    i32_const(c, 0);
    i64_const(c, timeout_ns);
    access_atomic(c, WAIT32, 4, CONFORM_YIELD);
    put_byte(c, DROP);
}

/* ---- A thread -------------------------------------------------------------------------------- */

enum { COUNT, BLOCK_AT, STRIDE, RESULTS, CONTROL, EPOCH, SYNC, DELAY, SEED, PARAMETERS };
enum { NUMBER = PARAMETERS, SPINS, WORD, SLOTS };
enum { YIELD_NS = 20000 };

struct encoder {
    const struct conform_program *program;
    uint64_t seed;
    enum conform_fault fault;
    unsigned thread;
    unsigned first_slot;
    unsigned first_function; /* after the functions for hosts in C */
    bool prompt; /* results are stored at once, because the thread may trap or stay blocked */
};

static uint64_t draw(struct encoder *e) {
    e->seed ^= e->seed << 13;
    e->seed ^= e->seed >> 7;
    e->seed ^= e->seed << 17;
    return e->seed;
}

static unsigned slot_local(const struct encoder *e, const struct conform_operation *o) {
    return SLOTS + (unsigned)o->slot - e->first_slot;
}

/* Pushes an access's base; returns the offset for its immediate. */
static uint32_t put_base(struct encoder *e, struct code *c, uint32_t at) {
    uint32_t offset = at & ~CONFORM_GROWN;
    if (at & CONFORM_GROWN) {
        uint32_t address = e->program->min_pages * 65536 + offset;
        uint32_t immediate = draw(e) & 1 ? address : 0;
        i32_const(c, address - immediate);
        return immediate;
    }
    local(c, GET, BLOCK_AT);
    if (draw(e) & 1) {
        return offset;
    }
    i32_const(c, offset);
    put_byte(c, I32_ADD);
    return 0;
}

/* One of the variants with that width. */
static unsigned variant_of(struct encoder *e, uint32_t width, bool *is_wide) {
    static const unsigned narrow[] = {2, 3, 0, 1}, wide[] = {4, 5, 6, 1};
    *is_wide = width == 8 || (draw(e) & 1);
    return (*is_wide ? wide : narrow)[log2_of(width)];
}

static void put_value(struct code *c, bool is_wide, uint64_t value) {
    if (is_wide) {
        i64_const(c, value);
    } else {
        i32_const(c, (uint32_t)value);
    }
}

static void put_loadlike(struct encoder *e, struct code *c, const struct conform_operation *o) {
    bool is_wide;
    unsigned variant = variant_of(e, o->width, &is_wide);
    uint32_t offset = put_base(e, c, o->at);
    switch (o->code) {
    case CONFORM_memory_load:
        access_plain(c, plain_load[variant], o->width, offset);
        break;
    case CONFORM_memory_atomic_load:
        access_atomic(c, I32_ATOMIC_LOAD + variant, o->width, offset);
        break;
    case CONFORM_memory_atomic_rmw:
        put_value(c, is_wide, o->value);
        access_atomic(c, atomic_rmw[o->kind] + variant, o->width, offset);
        break;
    default:
        put_value(c, is_wide, o->expected);
        put_value(c, is_wide, o->value);
        access_atomic(c, ATOMIC_CMPXCHG + variant, o->width, offset);
    }
    if (!is_wide) {
        put_byte(c, I64_EXTEND_U);
    }
}

static void put_store(struct encoder *e, struct code *c, const struct conform_operation *o) {
    bool is_wide;
    unsigned variant = variant_of(e, o->width, &is_wide);
    uint32_t offset = put_base(e, c, o->at);
    put_value(c, is_wide, o->value);
    if (o->code == CONFORM_memory_store || e->fault == CONFORM_FAULT_PLAIN_STORE) {
        access_plain(c, plain_store[variant], o->width, offset);
    } else {
        access_atomic(c, I32_ATOMIC_STORE + variant, o->width, offset);
    }
}

static void put_address(struct encoder *e, struct code *c, uint32_t at) {
    i32_const(c, put_base(e, c, at));
    put_byte(c, I32_ADD);
}

static void put_bulk(struct encoder *e, struct code *c, const struct conform_operation *o) {
    const bool copies = o->code == CONFORM_memory_bulk_copy;
    put_address(e, c, copies ? o->to : o->at);
    if (copies) {
        put_address(e, c, o->from);
    } else {
        i32_const(c, (uint32_t)o->value);
    }
    i32_const(c, o->count);
    put_byte(c, 0xfc);
    put_unsigned(c, copies                                ? MEMORY_COPY
                    : o->code == CONFORM_memory_bulk_fill ? MEMORY_FILL
                                                          : MEMORY_INIT);
    put_byte(c, 0);
    if (o->code != CONFORM_memory_bulk_fill) { /* the other memory, or the memory of the segment */
        put_byte(c, 0);
    }
}

static void put_notify(struct encoder *e, struct code *c, const struct conform_operation *o) {
    bool drops = e->fault == CONFORM_FAULT_DROP_NOTIFY;
    uint32_t count = o->count;
    if (e->fault == CONFORM_FAULT_WAKE_MORE && count > 0 && count < UINT32_MAX) {
        count++;
    }
    if (drops) { /* every thousandth notify of the thread wakes no thread */
        local(c, GET, CONTROL);
        local(c, GET, CONTROL);
        access_plain(c, I32_LOAD, 4, CONFORM_FAULT_WORD + 128 + e->thread * 4);
        i32_const(c, 1);
        put_byte(c, I32_ADD);
        local(c, TEE, WORD);
        access_plain(c, I32_STORE, 4, CONFORM_FAULT_WORD + 128 + e->thread * 4);
        local(c, GET, WORD);
        i32_const(c, 1000);
        put_byte(c, I32_REM_U);
        put_byte(c, IF);
        put_byte(c, I32);
    }
    uint32_t offset = put_base(e, c, o->at);
    i32_const(c, count);
    access_atomic(c, NOTIFY, 4, offset);
    if (drops) {
        put_byte(c, ELSE);
        i32_const(c, 0);
        put_byte(c, END);
    }
    put_byte(c, I64_EXTEND_U);
}

static void put_grow(struct encoder *e, struct code *c, const struct conform_operation *o) {
    bool early = e->fault == CONFORM_FAULT_EARLY_SIZE;
    if (early) {
        local(c, GET, CONTROL);
        i32_const(c, o->pages);
        access_atomic(c, I32_ATOMIC_ADD, 4, CONFORM_FAULT_WORD);
        put_byte(c, DROP);
    }
    i32_const(c, o->pages);
    put_byte(c, MEMORY_GROW);
    put_byte(c, 0);
    if (early) {
        local(c, TEE, WORD);
        i32_const(c, UINT32_MAX);
        put_byte(c, I32_EQ);
        open(c, IF);
        local(c, GET, CONTROL);
        i32_const(c, 0 - o->pages);
        access_atomic(c, I32_ATOMIC_ADD, 4, CONFORM_FAULT_WORD);
        put_byte(c, DROP);
        put_byte(c, END);
        local(c, GET, WORD);
    }
    put_byte(c, I64_EXTEND_U);
}

static void put_size(struct encoder *e, struct code *c) {
    if (e->fault == CONFORM_FAULT_EARLY_SIZE) {
        local(c, GET, CONTROL);
        access_atomic(c, I32_ATOMIC_LOAD, 4, CONFORM_FAULT_WORD);
        i32_const(c, e->program->min_pages);
        put_byte(c, I32_ADD);
    } else {
        put_byte(c, MEMORY_SIZE);
        put_byte(c, 0);
    }
    put_byte(c, I64_EXTEND_U);
}

/* A wait without a timeout publishes that it waits. If the harness wakes it, and not the program,
 * it was blocked, and its instance ends there. depth: number of blocks between here and that
 * end. */
static void put_wait(struct encoder *e, struct code *c, const struct conform_operation *o,
                     unsigned number, unsigned depth) {
    bool forever = conform_waits_forever(o), wide = o->code == CONFORM_memory_wait64;
    uint32_t published = CONFORM_PUBLISHED + e->thread * 128;
    if (forever) {
        local(c, GET, CONTROL);
        local(c, GET, NUMBER);
        i32_const(c, 3);
        put_byte(c, I32_SHL);
        i32_const(c, number);
        put_byte(c, I32_OR);
        access_atomic(c, I32_ATOMIC_STORE, 4, published);
    }
    uint32_t offset = put_base(e, c, o->at);
    put_value(c, wide, o->expected);
    i64_const(c, (uint64_t)o->timeout_ns);
    access_atomic(c, wide ? WAIT64 : WAIT32, o->width, offset);
    put_byte(c, I64_EXTEND_U);
    if (!forever) {
        return;
    }
    unsigned slot = slot_local(e, o);
    local(c, SET, slot);
    local(c, GET, CONTROL);
    i32_const(c, 0);
    access_atomic(c, I32_ATOMIC_STORE, 4, published);
    local(c, GET, CONTROL);
    access_atomic(c, I32_ATOMIC_LOAD, 4, CONFORM_RESCUE);
    local(c, GET, NUMBER);
    put_byte(c, I32_EQ);
    local(c, GET, slot);
    put_byte(c, I64_EQZ);
    put_byte(c, I32_AND);
    open(c, IF);
    local(c, GET, CONTROL);
    i32_const(c, 1);
    access_atomic(c, I32_ATOMIC_ADD, 4, CONFORM_RESCUED);
    put_byte(c, DROP);
    open(c, LOOP);
    put_yield(c, CONTROL, YIELD_NS);
    local(c, GET, CONTROL);
    access_atomic(c, I32_ATOMIC_LOAD, 4, CONFORM_VERDICT);
    local(c, TEE, WORD);
    i32_const(c, 1);
    put_byte(c, I32_SHR_U);
    local(c, GET, NUMBER);
    i32_const(c, 0x7fffffff);
    put_byte(c, I32_AND);
    put_byte(c, I32_NE);
    branch(c, BR_IF, 0);
    put_byte(c, END);
    i64_const(c, CONFORM_UNCLEAR);
    i64_const(c, CONFORM_BLOCKED);
    local(c, GET, WORD);
    i32_const(c, 1);
    put_byte(c, I32_AND);
    put_byte(c, SELECT);
    local(c, SET, slot);
    branch(c, BR, depth + 1);
    put_byte(c, END);
    local(c, GET, slot);
}

static void put_operation(struct encoder *e, struct code *c, const struct conform_operation *o,
                          unsigned number) {
    unsigned depth = 0; /* nesting depth, from here, of the block around all operations */
    if (o->test != CONFORM_ALWAYS) {
        local(c, GET, slot_local(e, &e->program->operation[e->thread][o->tested]));
        i64_const(c, o->tested_value);
        put_byte(c, o->test == CONFORM_EQUAL ? I64_EQ : I64_NE);
        open(c, IF);
        depth++;
    }
    switch (o->code) {
    case CONFORM_memory_load:
    case CONFORM_memory_atomic_load:
    case CONFORM_memory_atomic_rmw:
    case CONFORM_memory_atomic_cmpxchg:
        put_loadlike(e, c, o);
        break;
    case CONFORM_memory_store:
    case CONFORM_memory_atomic_store:
        put_store(e, c, o);
        break;
    case CONFORM_atomic_fence:
        put_byte(c, 0xfe);
        put_byte(c, FENCE);
        put_byte(c, 0);
        break;
    case CONFORM_memory_wait32:
    case CONFORM_memory_wait64:
        put_wait(e, c, o, number, depth);
        break;
    case CONFORM_memory_notify:
        put_notify(e, c, o);
        break;
    case CONFORM_memory_grow:
        put_grow(e, c, o);
        break;
    case CONFORM_memory_size:
        put_size(e, c);
        break;
    default:
        put_bulk(e, c, o);
    }
    if (o->slot >= 0) {
        bool is_stored = o->code == CONFORM_memory_store ||
                         o->code == CONFORM_memory_atomic_store ||
                         o->code == CONFORM_memory_bulk_fill ||
                         o->code == CONFORM_memory_bulk_copy || o->code == CONFORM_memory_bulk_init;
        if (is_stored) {
            i64_const(c, CONFORM_OK);
        }
        local(c, SET, slot_local(e, o));
        if (e->prompt) {
            local(c, GET, RESULTS);
            local(c, GET, slot_local(e, o));
            access_plain(c, I64_STORE, 8, ((unsigned)o->slot - e->first_slot) * 8);
        }
    }
    if (o->test != CONFORM_ALWAYS) {
        if (o->slot >= 0) {
            put_byte(c, ELSE);
            i64_const(c, CONFORM_SKIPPED);
            local(c, SET, slot_local(e, o));
            if (e->prompt) {
                local(c, GET, RESULTS);
                local(c, GET, slot_local(e, o));
                access_plain(c, I64_STORE, 8, ((unsigned)o->slot - e->first_slot) * 8);
            }
        }
        put_byte(c, END);
    }
}

/* Spins a random number of times, at most the mask. */
static void put_delay(struct code *c) {
    local(c, GET, DELAY);
    open(c, IF);
    for (unsigned i = 0; i < 3; i++) { /* xorshift32 */
        static const unsigned by[] = {13, 17, 5};
        local(c, GET, SEED);
        local(c, GET, SEED);
        i32_const(c, by[i]);
        put_byte(c, i == 1 ? I32_SHR_U : I32_SHL);
        put_byte(c, I32_XOR);
        local(c, SET, SEED);
    }
    local(c, GET, SEED);
    local(c, GET, DELAY);
    put_byte(c, I32_AND);
    i32_const(c, 1);
    put_byte(c, I32_ADD);
    local(c, SET, SPINS);
    open(c, LOOP);
    local(c, GET, SPINS);
    i32_const(c, 1);
    put_byte(c, I32_SUB);
    local(c, TEE, SPINS);
    branch(c, BR_IF, 0);
    put_byte(c, END);
    put_byte(c, END);
}

unsigned conform_slots(const struct conform_program *p, unsigned thread) {
    unsigned slots = 0;
    for (unsigned n = 0; n < p->operations[thread]; n++) {
        slots += p->operation[thread][n].slot >= 0;
    }
    return slots;
}

static void put_locals(struct code *c, unsigned i32s, unsigned i64s) {
    put_unsigned(c, 2);
    put_unsigned(c, i32s);
    put_byte(c, I32);
    put_unsigned(c, i64s);
    put_byte(c, I64);
}

static void put_thread(struct encoder *e, struct code *c) {
    const struct conform_program *p = e->program;
    unsigned slots = conform_slots(p, e->thread);
    put_locals(c, SLOTS - PARAMETERS, slots);
    local(c, GET, EPOCH);
    local(c, SET, NUMBER);
    open(c, LOOP);
    local(c, GET, NUMBER);
    i32_const(c, 1);
    put_byte(c, I32_ADD);
    local(c, SET, NUMBER);
    local(c, GET, SYNC);
    open(c, IF);
    local(c, GET, CONTROL);
    i32_const(c, e->thread);
    local(c, GET, NUMBER);
    branch(c, CALL, e->first_function);
    put_byte(c, END);
    put_delay(c);
    if (e->prompt) {
        for (unsigned i = 0; i < slots; i++) {
            i64_const(c, CONFORM_NONE);
            local(c, SET, SLOTS + i);
        }
    }
    open(c, BLOCK);
    for (unsigned n = 0; n < p->operations[e->thread]; n++) {
        put_operation(e, c, &p->operation[e->thread][n], n);
    }
    put_byte(c, END);
    for (unsigned i = 0; i < slots; i++) {
        local(c, GET, RESULTS);
        local(c, GET, SLOTS + i);
        access_plain(c, I64_STORE, 8, i * 8);
    }
    add_const(c, RESULTS, slots * 8);
    local(c, GET, BLOCK_AT);
    local(c, GET, STRIDE);
    put_byte(c, I32_ADD);
    local(c, SET, BLOCK_AT);
    local(c, GET, COUNT);
    i32_const(c, 1);
    put_byte(c, I32_SUB);
    local(c, TEE, COUNT);
    branch(c, BR_IF, 0);
    put_byte(c, END);
    put_byte(c, END);
}

/* ---- The harness's functions ----------------------------------------------------------------- */

/* arrive(control, thread, value): publishes the value, then waits until each of the others has
 * arrived. */
static void put_arrive(const struct conform_program *p, struct code *c) {
    enum { AT = 0, THREAD = 1, VALUE = 2, TRIES = 3 };
    put_locals(c, 1, 0);
    local(c, GET, AT);
    local(c, GET, THREAD);
    i32_const(c, 7);
    put_byte(c, I32_SHL);
    put_byte(c, I32_ADD);
    local(c, GET, VALUE);
    access_atomic(c, I32_ATOMIC_STORE, 4, CONFORM_ARRIVED);
    for (unsigned t = 0; t < p->threads; t++) {
        i32_const(c, 0);
        local(c, SET, TRIES);
        open(c, LOOP);
        local(c, GET, AT);
        access_atomic(c, I32_ATOMIC_LOAD, 4, CONFORM_ARRIVED + t * 128);
        local(c, GET, VALUE);
        put_byte(c, I32_SUB);
        i32_const(c, 0);
        put_byte(c, I32_LT_S);
        open(c, IF);
        local(c, GET, TRIES);
        i32_const(c, 1);
        put_byte(c, I32_ADD);
        local(c, TEE, TRIES);
        local(c, GET, AT);
        access_plain(c, I32_LOAD, 4, CONFORM_SPINS);
        put_byte(c, I32_GE_U);
        open(c, IF);
        put_yield(c, AT, YIELD_NS);
        put_byte(c, END);
        branch(c, BR, 1);
        put_byte(c, END);
        put_byte(c, END);
    }
    put_byte(c, END);
}

/* reset(count, block, stride) */
static void put_reset(const struct conform_program *p, struct code *c) {
    put_locals(c, 0, 0);
    open(c, LOOP);
    for (unsigned i = 0; i < p->words; i++) {
        uint64_t first = 0;
        if (!(p->word[i] & CONFORM_GROWN)) {
            memcpy(&first, p->first + p->word[i], 8);
            local(c, GET, 1);
            i64_const(c, first);
            access_plain(c, I64_STORE, 8, p->word[i]);
        }
    }
    local(c, GET, 1);
    local(c, GET, 2);
    put_byte(c, I32_ADD);
    local(c, SET, 1);
    local(c, GET, 0);
    i32_const(c, 1);
    put_byte(c, I32_SUB);
    local(c, TEE, 0);
    branch(c, BR_IF, 0);
    put_byte(c, END);
    put_byte(c, END);
}

/* tally's parameters and locals. */
enum { T_COUNT, T_BLOCK, T_STRIDE, T_RESULTS, T_SPAN, T_TABLE, T_AT, T_INDEX, T_ENTRY, T_FIRST };
enum { T_HASH = T_FIRST + CONFORM_THREADS };

/* Pushes a word of the outcome. */
static void put_outcome_word(const struct conform_program *p, struct code *c, unsigned word) {
    unsigned before = 0;
    if (word >= p->slots) {
        local(c, GET, T_BLOCK);
        access_plain(c, I64_LOAD, 8, p->word[word - p->slots]);
        return;
    }
    for (unsigned t = 0; t < p->threads; t++) {
        unsigned slots = conform_slots(p, t);
        if (word < before + slots) {
            local(c, GET, T_FIRST + t);
            access_plain(c, I64_LOAD, 8, (word - before) * 8);
            return;
        }
        before += slots;
    }
}

static void put_tally_insert(const struct conform_program *p, struct code *c) {
    local(c, GET, T_TABLE); /* the table is full: counts the outcome as lost */
    access_plain(c, I32_LOAD, 4, 0);
    i32_const(c, CONFORM_TABLE_MOST);
    put_byte(c, I32_GE_U);
    open(c, IF);
    local(c, GET, T_TABLE);
    local(c, GET, T_TABLE);
    access_plain(c, I32_LOAD, 4, 4);
    i32_const(c, 1);
    put_byte(c, I32_ADD);
    access_plain(c, I32_STORE, 4, 4);
    branch(c, BR, 3);
    put_byte(c, END);
    local(c, GET, T_TABLE);
    local(c, GET, T_TABLE);
    access_plain(c, I32_LOAD, 4, 0);
    i32_const(c, 1);
    put_byte(c, I32_ADD);
    access_plain(c, I32_STORE, 4, 0);
    local(c, GET, T_ENTRY);
    local(c, GET, T_HASH);
    access_plain(c, I64_STORE, 8, 16);
    local(c, GET, T_ENTRY);
    i64_const(c, 1);
    access_plain(c, I64_STORE, 8, 24);
    local(c, GET, T_INDEX);
    i32_const(c, p->outcome * 8);
    put_byte(c, I32_MUL);
    local(c, GET, T_TABLE);
    put_byte(c, I32_ADD);
    local(c, SET, T_ENTRY);
    for (unsigned i = 0; i < p->outcome; i++) {
        local(c, GET, T_ENTRY);
        put_outcome_word(p, c, i);
        access_plain(c, I64_STORE, 8, 16 + CONFORM_TABLE_ENTRIES * 16 + i * 8);
    }
}

/* tally(count, block, stride, results, span, table, at) */
static void put_tally(const struct conform_program *p, struct code *c) {
    put_locals(c, T_HASH - T_INDEX, 1);
    for (unsigned t = 0; t < p->threads; t++) {
        local(c, GET, T_RESULTS);
        local(c, GET, T_SPAN);
        i32_const(c, t);
        put_byte(c, I32_MUL);
        put_byte(c, I32_ADD);
        local(c, GET, T_AT);
        i32_const(c, conform_slots(p, t) * 8);
        put_byte(c, I32_MUL);
        put_byte(c, I32_ADD);
        local(c, SET, T_FIRST + t);
    }
    open(c, LOOP);
    i64_const(c, 0x243F6A8885A308D3u);
    local(c, SET, T_HASH);
    for (unsigned i = 0; i < p->outcome; i++) {
        local(c, GET, T_HASH);
        put_outcome_word(p, c, i);
        put_byte(c, I64_XOR);
        i64_const(c, 0x9E3779B97F4A7C15u);
        put_byte(c, I64_MUL);
        local(c, TEE, T_HASH);
        local(c, GET, T_HASH);
        i64_const(c, 32);
        put_byte(c, I64_SHR_U);
        put_byte(c, I64_XOR);
        local(c, SET, T_HASH);
    }
    local(c, GET, T_HASH); /* 0 marks an empty entry */
    put_byte(c, I64_EQZ);
    open(c, IF);
    i64_const(c, 1);
    local(c, SET, T_HASH);
    put_byte(c, END);
    local(c, GET, T_HASH);
    put_byte(c, I32_WRAP);
    i32_const(c, CONFORM_TABLE_ENTRIES - 1);
    put_byte(c, I32_AND);
    local(c, SET, T_INDEX);
    open(c, BLOCK);
    open(c, LOOP);
    local(c, GET, T_INDEX);
    i32_const(c, 4);
    put_byte(c, I32_SHL);
    local(c, GET, T_TABLE);
    put_byte(c, I32_ADD);
    local(c, SET, T_ENTRY);
    local(c, GET, T_ENTRY);
    access_plain(c, I64_LOAD, 8, 16);
    local(c, GET, T_HASH);
    put_byte(c, I64_EQ);
    open(c, IF);
    local(c, GET, T_ENTRY);
    local(c, GET, T_ENTRY);
    access_plain(c, I64_LOAD, 8, 24);
    i64_const(c, 1);
    put_byte(c, I64_ADD);
    access_plain(c, I64_STORE, 8, 24);
    branch(c, BR, 2);
    put_byte(c, END);
    local(c, GET, T_ENTRY);
    access_plain(c, I64_LOAD, 8, 16);
    put_byte(c, I64_EQZ);
    open(c, IF);
    put_tally_insert(p, c);
    branch(c, BR, 2);
    put_byte(c, END);
    local(c, GET, T_INDEX);
    i32_const(c, 1);
    put_byte(c, I32_ADD);
    i32_const(c, CONFORM_TABLE_ENTRIES - 1);
    put_byte(c, I32_AND);
    local(c, SET, T_INDEX);
    branch(c, BR, 0);
    put_byte(c, END);
    put_byte(c, END);
    for (unsigned t = 0; t < p->threads; t++) {
        add_const(c, T_FIRST + t, conform_slots(p, t) * 8);
    }
    local(c, GET, T_BLOCK);
    local(c, GET, T_STRIDE);
    put_byte(c, I32_ADD);
    local(c, SET, T_BLOCK);
    local(c, GET, T_COUNT);
    i32_const(c, 1);
    put_byte(c, I32_SUB);
    local(c, TEE, T_COUNT);
    branch(c, BR_IF, 0);
    put_byte(c, END);
    put_byte(c, END);
}

static void put_size_function(struct code *c) {
    put_locals(c, 0, 0);
    put_byte(c, MEMORY_SIZE);
    put_byte(c, 0);
    put_byte(c, END);
}

/* One function of enum conform_call, for hosts in C. */
static void put_call(const struct encoder *e, struct code *c, unsigned number) {
    const struct conform_program *p = e->program;
    put_locals(c, 0, 0);
    switch (number) {
    case CONFORM_CALL_NOTIFY:
        local(c, GET, 0);
        local(c, GET, 1);
        access_atomic(c, NOTIFY, 4, 0);
        break;
    case CONFORM_CALL_SIZE:
        put_byte(c, MEMORY_SIZE);
        put_byte(c, 0);
        break;
    case CONFORM_CALL_GROW:
        local(c, GET, 0);
        put_byte(c, MEMORY_GROW);
        put_byte(c, 0);
        break;
    default:
        for (unsigned i = 0; number < p->threads && i < PARAMETERS; i++) {
            static const int parameter[PARAMETERS] = {-1, 0, -1, 1, 2, 3, -1, -1, -1};
            if (parameter[i] >= 0) {
                local(c, GET, (unsigned)parameter[i]);
            } else {
                i32_const(c, i == COUNT || i == SEED);
            }
        }
        if (number < p->threads) {
            branch(c, CALL, e->first_function + 1 + number);
        }
        i32_const(c, 0);
    }
    put_byte(c, I64_EXTEND_U);
    put_byte(c, END);
}

/* ---- The module ------------------------------------------------------------------------------ */

static void put_type(struct code *c, unsigned parameters, unsigned result) {
    put_byte(c, 0x60);
    put_unsigned(c, parameters);
    for (unsigned i = 0; i < parameters; i++) {
        put_byte(c, I32);
    }
    put_unsigned(c, result != VOID);
    if (result != VOID) {
        put_byte(c, result);
    }
}

static void put_memory_type(struct code *c, uint32_t min_pages, uint32_t max_pages) {
    put_byte(c, 3); /* shared, with a maximum */
    put_unsigned(c, min_pages);
    put_unsigned(c, max_pages);
}

enum external { FUNCTION = 0, MEMORY = 2, GLOBAL = 3 };

static void put_export(struct code *c, const char *name, enum external kind, unsigned index) {
    put_text(c, name);
    put_byte(c, kind);
    put_unsigned(c, index);
}

bool conform_fault_by_name(const char *name, enum conform_fault *fault) {
    static const char *const names[CONFORM_FAULT_COUNT] = {"none", "drop-notify", "plain-store",
                                                           "early-size", "wake-more"};
    for (unsigned i = 0; i < CONFORM_FAULT_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *fault = (enum conform_fault)i;
            return true;
        }
    }
    return false;
}

enum type { TYPE_THREE, TYPE_THREAD, TYPE_TALLY, TYPE_SIZE, TYPE_CALL, TYPES };

/* The functions: those for hosts in C; arrive, the threads, reset, size; and tally if instances
 * share a memory. */
static void put_function_types(const struct conform_program *p, bool has_calls, struct code *c) {
    for (unsigned i = 0; has_calls && i < CONFORM_CALLS; i++) {
        put_unsigned(c, TYPE_CALL);
    }
    put_unsigned(c, TYPE_THREE);
    for (unsigned t = 0; t < p->threads; t++) {
        put_unsigned(c, TYPE_THREAD);
    }
    put_unsigned(c, TYPE_THREE);
    put_unsigned(c, TYPE_SIZE);
    if (!p->grows) {
        put_unsigned(c, TYPE_TALLY);
    }
}

static void put_exports(const struct encoder *e, const struct conform_limits *limits,
                        struct code *c) {
    const struct conform_program *p = e->program;
    const unsigned first = e->first_function;
    put_export(c, "arrive", FUNCTION, first);
    for (unsigned t = 0; t < p->threads; t++) {
        const char name[] = {'t', (char)('0' + t), '\0'};
        put_export(c, name, FUNCTION, first + 1 + t);
    }
    put_export(c, "reset", FUNCTION, first + 1 + p->threads);
    put_export(c, "size", FUNCTION, first + 2 + p->threads);
    if (!p->grows) {
        put_export(c, "tally", FUNCTION, first + 3 + p->threads);
    }
    for (unsigned i = 0; i < first; i++) {
        const char name[] = {(char)('0' + i), '\0'};
        put_export(c, name, FUNCTION, i);
    }
    if (limits != NULL) {
        put_export(c, "m", MEMORY, 0);
    }
    if (limits != NULL && !limits->is_imported) {
        put_export(c, "__data_end", GLOBAL, 1);
        put_export(c, "__heap_base", GLOBAL, 2);
    }
}

static void put_import(struct code *c, const struct conform_limits *limits) {
    put_unsigned(c, 1);
    put_text(c, limits != NULL ? "h" : "m");
    put_text(c, "m");
    put_byte(c, MEMORY);
    put_memory_type(c, limits != NULL ? limits->min_pages : 1,
                    limits != NULL ? limits->max_pages : 65536);
}

/* A stack pointer and the bounds of its stack, as a C compiler would declare them, because some
 * runtimes make no threads without them. They are not used. */
static void put_stack(struct code *c) {
    static const uint32_t value[] = {65536, 61440, 65536};
    put_unsigned(c, 3);
    for (unsigned i = 0; i < 3; i++) {
        put_byte(c, I32);
        put_byte(c, i == 0); /* mutable */
        i32_const(c, value[i]);
        put_byte(c, END);
    }
}

static void put_bodies(struct encoder *e, struct code *c) {
    const struct conform_program *p = e->program;
    struct code body = {0};
    for (unsigned i = 0; i < e->first_function; i++) {
        put_call(e, &body, i);
        put_sized(c, &body);
    }
    put_arrive(p, &body);
    put_sized(c, &body);
    for (unsigned t = 0; t < p->threads; t++) {
        e->thread = t;
        put_thread(e, &body);
        put_sized(c, &body);
        e->first_slot += conform_slots(p, t);
    }
    put_reset(p, &body);
    put_sized(c, &body);
    put_size_function(&body);
    put_sized(c, &body);
    if (!p->grows) {
        put_tally(p, &body);
        put_sized(c, &body);
    }
}

static void put_segment(struct code *c) {
    put_unsigned(c, 1);
    put_unsigned(c, 1); /* passive */
    put_unsigned(c, CONFORM_SEGMENT_BYTES);
    for (unsigned i = 0; i < CONFORM_SEGMENT_BYTES; i++) {
        put_byte(c, i + 1);
    }
}

uint8_t *conform_wasm(const struct conform_program *p, uint64_t seed, enum conform_fault fault,
                      const struct conform_limits *limits, size_t *bytes) {
    static const uint8_t head[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct code module = {0}, part = {0};
    const bool for_c = limits != NULL, defines = for_c && !limits->is_imported;
    struct encoder e = {.program = p,
                        .seed = seed * 2 + 1,
                        .fault = fault,
                        .first_function = for_c ? CONFORM_CALLS : 0,
                        .prompt = p->traps || p->blocks};
    const unsigned functions = e.first_function + 1 + p->threads + 2 + !p->grows;
    if (p->host) {
        return NULL;
    }
    for (unsigned i = 0; i < sizeof head; i++) {
        put_byte(&module, head[i]);
    }
    put_unsigned(&part, TYPES);
    put_type(&part, 3, VOID);
    put_type(&part, PARAMETERS, VOID);
    put_type(&part, 7, VOID);
    put_type(&part, 0, I32);
    put_type(&part, 5, I64);
    put_section(&module, 1, &part);

    if (!defines) {
        put_import(&part, limits);
        put_section(&module, 2, &part);
    }
    put_unsigned(&part, functions);
    put_function_types(p, for_c, &part);
    put_section(&module, 3, &part);
    if (defines) {
        put_unsigned(&part, 1);
        put_memory_type(&part, limits->min_pages, limits->max_pages);
        put_section(&module, 5, &part);
        put_stack(&part);
        put_section(&module, 6, &part);
    }
    put_unsigned(&part, functions + for_c + (defines ? 2 : 0));
    put_exports(&e, limits, &part);
    put_section(&module, 7, &part);

    if (p->inits) {
        put_unsigned(&part, 1);
        put_section(&module, 12, &part); /* how many segments */
    }
    put_unsigned(&part, functions);
    put_bodies(&e, &part);
    put_section(&module, 10, &part);
    if (p->inits) {
        put_segment(&part);
        put_section(&module, 11, &part);
    }
    if (module.failed) {
        free(module.bytes);
        return NULL;
    }
    *bytes = module.length;
    return module.bytes;
}
