/* guest.c: WebAssembly modules for a program's operations. See guest.h; the numbers are those of
 * the specification's binary format (core 2.0, and the threads proposal for 0xfe). */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Instructions ---------------------------------------------------------------------------- */

enum { PLAIN = 0, BULK = 0xfc, SIMD = 0xfd, THREADS = 0xfe };

/* In any order: forms are chosen by width. */
const struct guest_form guest_loads[GUEST_LOADS] = {
    {"i32.load8_s", PLAIN, 0x2c, 1, 'i', true},
    {"i32.load8_u", PLAIN, 0x2d, 1, 'i', false},
    {"i64.load8_s", PLAIN, 0x30, 1, 'l', true},
    {"i64.load8_u", PLAIN, 0x31, 1, 'l', false},
    {"i32.load16_s", PLAIN, 0x2e, 2, 'i', true},
    {"i32.load16_u", PLAIN, 0x2f, 2, 'i', false},
    {"i64.load16_s", PLAIN, 0x32, 2, 'l', true},
    {"i64.load16_u", PLAIN, 0x33, 2, 'l', false},
    {"i32.load", PLAIN, 0x28, 4, 'i', false},
    {"f32.load", PLAIN, 0x2a, 4, 'f', false},
    {"i64.load32_s", PLAIN, 0x34, 4, 'l', true},
    {"i64.load32_u", PLAIN, 0x35, 4, 'l', false},
    {"i64.load", PLAIN, 0x29, 8, 'l', false},
    {"f64.load", PLAIN, 0x2b, 8, 'd', false},
    {"v128.load8_splat", SIMD, 0x07, 1, 'v', false},
    {"v128.load16_splat", SIMD, 0x08, 2, 'v', false},
    {"v128.load32_splat", SIMD, 0x09, 4, 'v', false},
    {"v128.load64_splat", SIMD, 0x0a, 8, 'v', false},
    {"v128.load32_zero", SIMD, 0x5c, 4, 'z', false},
    {"v128.load64_zero", SIMD, 0x5d, 8, 'z', false},
    {"v128.load8_lane", SIMD, 0x54, 1, 'n', false},
    {"v128.load16_lane", SIMD, 0x55, 2, 'n', false},
    {"v128.load32_lane", SIMD, 0x56, 4, 'n', false},
    {"v128.load64_lane", SIMD, 0x57, 8, 'n', false},
};
const struct guest_form guest_stores[GUEST_STORES] = {
    {"i32.store8", PLAIN, 0x3a, 1, 'i', false},
    {"i64.store8", PLAIN, 0x3c, 1, 'l', false},
    {"i32.store16", PLAIN, 0x3b, 2, 'i', false},
    {"i64.store16", PLAIN, 0x3d, 2, 'l', false},
    {"i32.store", PLAIN, 0x36, 4, 'i', false},
    {"f32.store", PLAIN, 0x38, 4, 'f', false},
    {"i64.store32", PLAIN, 0x3e, 4, 'l', false},
    {"i64.store", PLAIN, 0x37, 8, 'l', false},
    {"f64.store", PLAIN, 0x39, 8, 'd', false},
    {"v128.store8_lane", SIMD, 0x58, 1, 'v', false},
    {"v128.store16_lane", SIMD, 0x59, 2, 'v', false},
    {"v128.store32_lane", SIMD, 0x5a, 4, 'v', false},
    {"v128.store64_lane", SIMD, 0x5b, 8, 'v', false},
};
/* Order of the seven forms of each atomic operation; opcode: relative to the operation's first. */
const struct guest_form guest_atomics[GUEST_ATOMICS] = {
    {"i32", THREADS, 0, 4, 'i', false},    {"i64", THREADS, 1, 8, 'l', false},
    {"i32 8", THREADS, 2, 1, 'i', false},  {"i32 16", THREADS, 3, 2, 'i', false},
    {"i64 8", THREADS, 4, 1, 'l', false},  {"i64 16", THREADS, 5, 2, 'l', false},
    {"i64 32", THREADS, 6, 4, 'l', false},
};
enum {
    FIRST_ATOMIC_LOAD = 0x10,
    FIRST_ATOMIC_STORE = 0x17,
    FIRST_RMW = 0x1e,
    FIRST_CMPXCHG = 0x48
};

bool guest_same(const struct guest_function *a, const struct guest_function *b) {
    return a->what == b->what && a->rmw == b->rmw && a->form == b->form && a->align == b->align &&
           a->index_is_constant == b->index_is_constant && a->is_far == b->is_far &&
           a->index == b->index && a->offset == b->offset && a->segment == b->segment &&
           a->drop == b->drop;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

uint8_t *guest_bytes_room(struct guest_bytes *to, size_t count) {
    if (to->count + count > to->room) {
        to->room = 2 * (to->count + count) + 256;
        to->at = realloc(to->at, to->room);
        if (to->at == NULL) {
            abort();
        }
    }
    to->count += count;
    return to->at + to->count - count;
}

void guest_bytes_add(struct guest_bytes *to, const void *data, size_t count) {
    if (count > 0) {
        memcpy(guest_bytes_room(to, count), data, count);
    }
}

static void byte(struct guest_bytes *to, unsigned value) {
    *guest_bytes_room(to, 1) = (uint8_t)value;
}

static void leb(struct guest_bytes *to, uint32_t value) {
    do {
        byte(to, (value & 127) | (value > 127 ? 128 : 0));
        value >>= 7;
    } while (value != 0);
}

static void leb_signed(struct guest_bytes *to, int64_t value) {
    bool more = true;
    while (more) {
        unsigned low = (unsigned)(value & 127);
        value >>= 7;
        more = !((value == 0 && !(low & 64)) || (value == -1 && (low & 64)));
        byte(to, low | (more ? 128 : 0));
    }
}

static void name(struct guest_bytes *to, const char *text) {
    leb(to, (uint32_t)strlen(text));
    guest_bytes_add(to, text, strlen(text));
}

/* Appends the length, then the bytes, and frees them. */
static void sized(struct guest_bytes *to, struct guest_bytes *part) {
    leb(to, (uint32_t)part->count);
    guest_bytes_add(to, part->at, part->count);
    part->count = 0;
}

/* ---- Code ------------------------------------------------------------------------------------ */

enum { LOCAL_GET = 0x20, I32_CONST = 0x41, I64_CONST = 0x42, END = 0x0b, EXTEND_U = 0xad };

static void get(struct guest_bytes *c, unsigned local) {
    byte(c, LOCAL_GET);
    byte(c, local);
}

/* An operand of 64 bits from two locals. */
static void wide(struct guest_bytes *c, unsigned local) {
    get(c, local);
    byte(c, EXTEND_U);
    get(c, local + 1);
    byte(c, EXTEND_U);
    byte(c, I64_CONST);
    byte(c, 32);
    byte(c, 0x86); /* i64.shl */
    byte(c, 0x84); /* i64.or */
}

static void simd(struct guest_bytes *c, unsigned opcode) {
    byte(c, SIMD);
    leb(c, opcode);
}

static void operand(struct guest_bytes *c, char type, unsigned width, unsigned local) {
    if (type == 'i' || type == 'f') {
        get(c, local);
    } else {
        wide(c, local);
    }
    if (type == 'f') {
        byte(c, 0xbe); /* f32.reinterpret_i32 */
    } else if (type == 'd') {
        byte(c, 0xbf); /* f64.reinterpret_i64 */
    } else if (type == 'v') {
        (void)width;
        simd(c, 0x12); /* i64x2.splat: in each even lane of any width, the operand's low bytes */
    }
}

/* Makes an i64 of the value that a load left on the stack, with sign extension. */
static void result(struct guest_bytes *c, const struct guest_form *f) {
    static const uint8_t extract[9] = {[1] = 0x16, [2] = 0x19, [4] = 0x1b, [8] = 0x1d};
    switch (f->type) {
    case 'i':
        byte(c, f->is_signed ? 0xac : EXTEND_U);
        break;
    case 'f':
        byte(c, 0xbc); /* i32.reinterpret_f32 */
        byte(c, EXTEND_U);
        break;
    case 'd':
        byte(c, 0xbd);
        break;
    case 'v':
    case 'n': /* the last lane */
        simd(c, extract[f->width]);
        byte(c, 16u / f->width - 1);
        if (f->width < 8) {
            byte(c, EXTEND_U);
        }
        break;
    case 'z':
        simd(c, 0x1d);
        byte(c, 0);
        break;
    default:
        break;
    }
}

/* Which of a module's memories, and whether it has 64-bit addresses. */
struct place {
    unsigned number;
    bool wide;
};

/* Flags, memory and offset of an access. */
static void memarg(struct guest_bytes *c, const struct guest_function *f, struct place memory) {
    leb(c, f->align | (memory.number > 0 ? 64u : 0));
    if (memory.number > 0) {
        leb(c, memory.number);
    }
    leb(c, f->offset);
}

static void atomic(struct guest_bytes *c, const struct guest_function *f, unsigned opcode,
                   struct place memory) {
    byte(c, THREADS);
    byte(c, opcode);
    memarg(c, f, memory);
}

static void bulk(struct guest_bytes *c, unsigned opcode) {
    byte(c, BULK);
    leb(c, opcode);
}

static const struct guest_form *form_of(const struct guest_function *f) {
    return f->what == GUEST_LOAD    ? &guest_loads[f->form]
           : f->what == GUEST_STORE ? &guest_stores[f->form]
                                    : &guest_atomics[f->form];
}

static void address_const(struct guest_bytes *c, uint32_t value, struct place memory) {
    byte(c, memory.wide ? I64_CONST : I32_CONST);
    leb_signed(c, memory.wide ? (int64_t)value : (int32_t)value);
}

/* An address or a length from a local. */
static void address(struct guest_bytes *c, unsigned local, struct place memory) {
    get(c, local);
    if (memory.wide) {
        byte(c, EXTEND_U);
    }
}

static void index_of(struct guest_bytes *c, const struct guest_function *f, struct place memory) {
    if (f->index_is_constant) {
        address_const(c, f->index, memory);
    } else {
        address(c, 0, memory);
    }
    if (f->is_far) {
        byte(c, I64_CONST);
        leb_signed(c, INT64_C(1) << 32);
        byte(c, 0x7c); /* i64.add */
    }
}

/* A number of pages as the guest returns it; none is UINT32_MAX. */
static void pages(struct guest_bytes *c, struct place memory) {
    if (memory.wide) {
        byte(c, 0xa7); /* i32.wrap_i64 */
    }
    byte(c, EXTEND_U);
}

static void zero(struct guest_bytes *c) {
    byte(c, I64_CONST);
    byte(c, 0);
}

static void body_of_bulk(struct guest_bytes *c, const struct guest_function *f,
                         struct place memory) {
    if (f->what == GUEST_INIT && f->drop) {
        bulk(c, 9); /* data.drop */
        leb(c, f->segment);
    }
    const struct place narrow = {0, false};
    address(c, 0, memory);
    address(c, 1, f->what == GUEST_COPY ? memory : narrow);
    address(c, 2, f->what == GUEST_INIT ? narrow : memory);
    switch (f->what) {
    case GUEST_COPY:
        bulk(c, 10);
        leb(c, memory.number);
        leb(c, memory.number);
        break;
    case GUEST_FILL:
        bulk(c, 11);
        leb(c, memory.number);
        break;
    default:
        bulk(c, 8); /* memory.init */
        leb(c, f->segment);
        leb(c, memory.number);
        break;
    }
    zero(c);
}

static void body_of_access(struct guest_bytes *c, const struct guest_function *f,
                           struct place memory) {
    const struct guest_form *form = form_of(f);
    index_of(c, f, memory);
    if (f->what == GUEST_LOAD) {
        if (form->type == 'n') { /* into the last lane of a zero vector */
            zero(c);
            simd(c, 0x12);
        }
    } else {
        operand(c, form->type, form->width, 1);
    }
    if (form->prefix != PLAIN) {
        byte(c, form->prefix);
    }
    byte(c, form->opcode);
    memarg(c, f, memory);
    if (f->what == GUEST_LOAD) {
        if (form->type == 'n') {
            byte(c, 16u / form->width - 1);
        }
        result(c, form);
    } else {
        if (form->type == 'v') {
            byte(c, 0);
        }
        zero(c);
    }
}

static void body_of_atomic(struct guest_bytes *c, const struct guest_function *f,
                           struct place memory) {
    const struct guest_form *form = form_of(f);
    index_of(c, f, memory);
    switch (f->what) {
    case GUEST_ATOMIC_LOAD:
        atomic(c, f, FIRST_ATOMIC_LOAD + form->opcode, memory);
        break;
    case GUEST_ATOMIC_STORE:
        operand(c, form->type, form->width, 1);
        atomic(c, f, FIRST_ATOMIC_STORE + form->opcode, memory);
        zero(c);
        return;
    case GUEST_ATOMIC_RMW:
        operand(c, form->type, form->width, 1);
        atomic(c, f, FIRST_RMW + GUEST_ATOMICS * (unsigned)f->rmw + form->opcode, memory);
        break;
    default:
        operand(c, form->type, form->width, 1);
        operand(c, form->type, form->width, 3);
        atomic(c, f, FIRST_CMPXCHG + form->opcode, memory);
        break;
    }
    if (form->type == 'i') {
        byte(c, EXTEND_U);
    }
}

static void body_of(struct guest_bytes *c, const struct guest_function *f, struct place memory) {
    byte(c, 0); /* no locals */
    switch (f->what) {
    case GUEST_SIZE:
        byte(c, 0x3f);
        leb(c, memory.number);
        pages(c, memory);
        break;
    case GUEST_GROW:
        address(c, 0, memory);
        byte(c, 0x40);
        leb(c, memory.number);
        pages(c, memory);
        break;
    case GUEST_COPY:
    case GUEST_FILL:
    case GUEST_INIT:
        body_of_bulk(c, f, memory);
        break;
    case GUEST_LOAD:
    case GUEST_STORE:
        body_of_access(c, f, memory);
        break;
    case GUEST_WAIT32:
    case GUEST_WAIT64:
        index_of(c, f, memory);
        if (f->what == GUEST_WAIT32) {
            get(c, 1);
        } else {
            wide(c, 1);
        }
        wide(c, 3);
        atomic(c, f, f->what == GUEST_WAIT32 ? 1 : 2, memory);
        byte(c, EXTEND_U);
        break;
    case GUEST_NOTIFY:
        index_of(c, f, memory);
        get(c, 1);
        atomic(c, f, 0, memory);
        byte(c, EXTEND_U);
        break;
    default:
        body_of_atomic(c, f, memory);
        break;
    }
    byte(c, END);
}

/* ---- Modules --------------------------------------------------------------------------------- */

static void section(struct guest_bytes *to, unsigned number, struct guest_bytes *part) {
    byte(to, number);
    sized(to, part);
}

static void limits(struct guest_bytes *to, const struct subject_type *type, bool wide) {
    const bool has_max = type->max_pages != SUBJECT_NO_MAXIMUM;
    byte(to, (has_max ? 1u : 0) | (type->shared ? 2u : 0) | (wide ? 4u : 0));
    leb(to, type->min_pages);
    if (has_max) {
        leb(to, type->max_pages);
    }
}

static void memory_sections(struct guest_bytes *to, struct guest_bytes *part,
                            const struct guest_module *m) {
    if (m->how == GUEST_IMPORTED) {
        leb(part, 1);
        name(part, "h");
        name(part, "m");
        byte(part, 2);
        limits(part, &m->type, m->wide);
        section(to, 2, part);
    }
    if (m->functions > 0) {
        leb(part, m->functions);
        for (unsigned i = 0; i < m->functions; i++) {
            leb(part, 0);
        }
        section(to, 3, part);
    }
    if (m->how != GUEST_IMPORTED) {
        leb(part, m->how == GUEST_SECOND ? 2 : 1);
        if (m->how == GUEST_SECOND) {
            limits(part, &(struct subject_type){1, 1, false}, false);
        }
        limits(part, &m->type, m->wide);
        section(to, 5, part);
    }
}

static void data_section(struct guest_bytes *to, struct guest_bytes *part,
                         const struct guest_module *m, struct place memory) {
    leb(part, m->segments);
    for (unsigned i = 0; i < m->segments; i++) {
        const struct guest_segment *s = &m->segment[i];
        leb(part, !s->active ? 1 : memory.number > 0 ? 2 : 0);
        if (s->active) {
            if (memory.number > 0) {
                leb(part, memory.number);
            }
            address_const(part, s->start, memory);
            byte(part, END);
        }
        leb(part, s->bytes);
        guest_bytes_add(part, s->data, s->bytes);
    }
    section(to, 11, part);
}

void guest_make(struct guest_bytes *to, const struct guest_module *m) {
    static const uint8_t head[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    static const uint8_t type[] = {1, 10, 1, 0x60, 5, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7e};
    struct guest_bytes part = {NULL, 0, 0}, one = {NULL, 0, 0};
    const struct place memory = {m->how == GUEST_SECOND ? 1 : 0, m->wide};
    char number[12];
    guest_bytes_add(to, head, sizeof head);
    guest_bytes_add(to, type, sizeof type);
    memory_sections(to, &part, m);
    leb(&part, m->functions + 1);
    name(&part, "m");
    byte(&part, 2);
    leb(&part, memory.number);
    for (unsigned i = 0; i < m->functions; i++) {
        snprintf(number, sizeof number, "%u", i);
        name(&part, number);
        byte(&part, 0);
        leb(&part, i);
    }
    section(to, 7, &part);
    if (m->segments > 0) {
        leb(&part, m->segments);
        section(to, 12, &part);
    }
    if (m->functions > 0) {
        leb(&part, m->functions);
        for (unsigned i = 0; i < m->functions; i++) {
            body_of(&one, &m->function[i], memory);
            sized(&part, &one);
        }
        section(to, 10, &part);
    }
    if (m->segments > 0) {
        data_section(to, &part, m, memory);
    }
    free(part.at);
    free(one.at);
}

/* ---- Text ------------------------------------------------------------------------------------ */

void guest_print(char *text, size_t room, const struct guest_function *f) {
    static const char *const rmw[] = {"add", "sub", "and", "or", "xor", "xchg"};
    static const char *const simple[GUEST_WHATS] = {[GUEST_SIZE] = "memory.size",
                                                    [GUEST_GROW] = "memory.grow",
                                                    [GUEST_COPY] = "memory.copy",
                                                    [GUEST_FILL] = "memory.fill",
                                                    [GUEST_INIT] = "memory.init",
                                                    [GUEST_WAIT32] = "memory.atomic.wait32",
                                                    [GUEST_WAIT64] = "memory.atomic.wait64",
                                                    [GUEST_NOTIFY] = "memory.atomic.notify",
                                                    [GUEST_ATOMIC_LOAD] = "load",
                                                    [GUEST_ATOMIC_STORE] = "store",
                                                    [GUEST_ATOMIC_CMPXCHG] = "cmpxchg"};
    if (f->what <= GUEST_INIT) {
        snprintf(text, room, "%s%s", f->drop ? "data.drop, " : "", simple[f->what]);
        return;
    }
    char instruction[48];
    if (f->what == GUEST_LOAD || f->what == GUEST_STORE) {
        snprintf(instruction, sizeof instruction, "%s", form_of(f)->name);
    } else if (f->what >= GUEST_WAIT32) {
        snprintf(instruction, sizeof instruction, "%s", simple[f->what]);
    } else {
        const struct guest_form *form = form_of(f);
        const bool narrow = form->name[3] == ' ', is_rmw = f->what >= GUEST_ATOMIC_RMW;
        const char *operation = f->what == GUEST_ATOMIC_RMW ? rmw[f->rmw] : simple[f->what];
        const char *width = narrow ? form->name + 4 : "";
        const char *sign = narrow && f->what != GUEST_ATOMIC_STORE ? "_u" : "";
        if (is_rmw) {
            snprintf(instruction, sizeof instruction, "%.3s.atomic.rmw%s.%s%s", form->name, width,
                     operation, sign);
        } else {
            snprintf(instruction, sizeof instruction, "%.3s.atomic.%s%s%s", form->name, operation,
                     width, sign);
        }
    }
    snprintf(text, room, "%s offset=%u align=%u%s%s", instruction, f->offset, 1u << f->align,
             f->index_is_constant ? ", constant index" : "", f->is_far ? ", index + 2^32" : "");
}
