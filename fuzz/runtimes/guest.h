/* guest.h: WebAssembly modules for a program's operations, generated at run time.
 *
 * Each operation that a guest performs becomes an exported function, with the operation's own
 * immediates: offset, alignment hint and, on request, a constant index. All have the type (i32 i32
 * i32 i32 i32) -> i64 and are named by number, "0", "1", ...; the memory is exported as "m", or
 * imported as "h" "m". 64-bit operands come in two halves, low first. */
#ifndef GUEST_H
#define GUEST_H

#include "subject.h"

enum guest_what {
    GUEST_SIZE,  /* memory.size */
    GUEST_GROW,  /* memory.grow: pages */
    GUEST_COPY,  /* memory.copy: to, from, count */
    GUEST_FILL,  /* memory.fill: at, value, count */
    GUEST_INIT,  /* memory.init: at, from, count; `segment` */
    GUEST_LOAD,  /* index; `form` of guest_load_forms */
    GUEST_STORE, /* index, value; `form` of guest_store_forms */
    GUEST_ATOMIC_LOAD,
    GUEST_ATOMIC_STORE,   /* index, value */
    GUEST_ATOMIC_RMW,     /* index, operand; `rmw` */
    GUEST_ATOMIC_CMPXCHG, /* index, expected, replacement */
    GUEST_WAIT32,         /* index, expected, timeout */
    GUEST_WAIT64,
    GUEST_NOTIFY, /* index, count */
    GUEST_WHATS
};

/* How the module gets its memory. */
enum guest_how {
    GUEST_DEFINED,
    GUEST_IMPORTED,
    GUEST_SECOND, /* defined, after another memory of one page that is not used */
    GUEST_HOWS
};

/* An instruction of a given width: its type, and whether it sign-extends. */
struct guest_form {
    const char *name;
    uint8_t prefix, opcode, width;
    char type; /* i: i32, l: i64, f: f32, d: f64, v: v128 by lanes, z: v128 zero-extended */
    bool is_signed;
};
extern const struct guest_form guest_loads[], guest_stores[], guest_atomics[];
enum { GUEST_LOADS = 24, GUEST_STORES = 13, GUEST_ATOMICS = 7 };

struct guest_function {
    enum guest_what what;
    enum subject_rmw rmw;
    uint8_t form, align; /* align: log2 of the hint */
    bool index_is_constant;
    bool is_far; /* 2^32 is added to the index; only with 64-bit addresses */
    uint32_t index, offset;
    uint32_t segment; /* of GUEST_INIT, counted from 0 */
    bool drop;        /* the segment is dropped first */
};

bool guest_same(const struct guest_function *a, const struct guest_function *b);

/* A passive segment, or an active one at `start`. */
struct guest_segment {
    const uint8_t *data;
    uint32_t bytes, start;
    bool active;
};

struct guest_module {
    struct subject_type type; /* the memory's limits */
    enum guest_how how;
    bool wide; /* 64-bit addresses (memory64); not with GUEST_SECOND */
    const struct guest_function *function;
    unsigned functions;
    const struct guest_segment *segment;
    unsigned segments;
};

/* Growing bytes; zero-initialise, free `at`. */
struct guest_bytes {
    uint8_t *at;
    size_t count, room;
};
/* Adds room for `count` more bytes, for the caller to fill. */
uint8_t *guest_bytes_room(struct guest_bytes *to, size_t count);
void guest_bytes_add(struct guest_bytes *to, const void *data, size_t count);

/* Appends the module. It is valid if its limits are. */
void guest_make(struct guest_bytes *to, const struct guest_module *module);

/* The text of an instruction, "i64.load32_u offset=4 align=2"; in `text`. */
void guest_print(char *text, size_t room, const struct guest_function *f);

#endif
