/* op.h: programs of operations: from bytes, to and from text, as C. See op.def for the operations.
 *
 * Byte form: operations from the front (code, thread, arguments), choices from the back. Any bytes
 * are a program: an unknown code is skipped (one byte), what an argument lacks at the end is 0.
 * Operation `end` separates the two; without it there are no choices.
 * Text form (.ops): see fuzz/README.md. op_encode and op_parse give the canonical bytes, so text to
 * bytes to text is the identity on what op_print prints, and bytes to text normalises. */
#ifndef OP_H
#define OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define OP_ARGS_MAX 16u
#define OPS_MAX 256u /* operations of a program; what follows is not run */
#define OP_CHOICES_MAX 4096u
/* Choices that begin with this byte are a number, of the schedule that the source pos draws from
 * it. */
#define OP_CHOICES_NUMBER 0xFFu
#define OP_THREADS 8u
#define OP_MEMORIES 4u
#define OP_SEGMENTS 2u
#define OP_WAKERS 4u

enum op_target {
#define TARGET(number, name) TARGET_##name = number,
#include "op.def"
    TARGET_COUNT
};

enum op_code {
#define OP(code, name, rule, targets, arguments) OP_##name = code,
#include "op.def"
};

enum op_kind {
#define KIND(kind) KIND_##kind,
#define WORDS(kind, words) KIND_##kind,
#include "op.def"
    KIND_COUNT
};

#define W(kind, word) WORD_##kind##_##word,
#define WORDS(kind, words) enum word_##kind{words WORD_##kind##_count};
#include "op.def"
#undef W

/* An address argument: relative to the memory's end when OP_ADDRESS_END is set in its high half's
 * place: see op_address. Values: 0 to 2^33 plain, else OP_ADDRESS_END + signed distance. */
#define OP_ADDRESS_END (UINT64_C(1) << 62)

/* One operation. Each argument is a 64-bit number, by name through the union's structs. */
struct op {
    uint8_t code;
    uint8_t thread; /* below OP_THREADS */
    union {
        uint64_t raw[OP_ARGS_MAX];
#define ARG(kind, name) uint64_t name;
#define OP(code, name, rule, targets, arguments) \
    struct {                                     \
        arguments uint64_t unused;               \
    } name;
#include "op.def"
#undef ARG
    } arg;
};

struct op_argument {
    enum op_kind kind;
    const char *name;
};

/* What op.def says of an operation; NULL for a code that is none or not of this target. */
struct op_info {
    const char *name;
    const char *rule;
    unsigned targets; /* bit n: target n has it */
    unsigned arguments;
    const struct op_argument *argument;
};
const struct op_info *op_info(enum op_target target, unsigned code);

const char *op_target_name(enum op_target target);
bool op_target_by_name(const char *name, enum op_target *target);

/* The word of a word kind, or NULL. */
const char *op_word(enum op_kind kind, uint64_t value);

/* A program. choices[0] is the first that is drawn. */
struct program {
    enum op_target target;
    unsigned operations;
    struct op operation[OPS_MAX];
    size_t choices_bytes;
    uint8_t choices[OP_CHOICES_MAX];
};

/* Total. True when all of the bytes' operations and choices fit the bounds above. */
bool op_decode(enum op_target target, const uint8_t *data, size_t bytes, struct program *program);

/* The canonical bytes; returns how many there are, of which at most `room` were written. */
size_t op_encode(const struct program *program, uint8_t *data, size_t room);

/* The same operations, arguments and choices. */
bool op_equal(const struct program *a, const struct program *b);

/* Reads text; false with *line (from 1) and *why (static) set when it is malformed. */
bool op_parse(const char *text, size_t bytes, struct program *program, unsigned *line,
              const char **why);

/* True when the bytes are text: they begin with the first word of the text form. */
bool op_is_text(const uint8_t *data, size_t bytes);

/* The text form, and one operation of it (without the line's end). */
void op_print(FILE *out, const struct program *program);
void op_print_one(FILE *out, const struct op *op, enum op_target target);

/* The program as C: initialisers of a `static const struct program NAME`, to be compiled with
 * op.h, one operation a line beside its text. */
void op_emit_c(FILE *out, const struct program *program, const char *name);

/* The absolute address of an address argument in a memory of so many bytes. */
uint64_t op_address(uint64_t argument, uint64_t size_bytes);

#endif
