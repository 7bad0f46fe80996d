/* program.h: a small concurrent program, its text form, and its outcomes.
 *
 * Two to four threads run one to six operations each on one shared memory. Addresses are in two
 * windows of 64 bytes: at the beginning of the program's block, and at the first byte past the
 * initial size (`grown+N`). README.md describes the text form. */
#ifndef CONFORM_PROGRAM_H
#define CONFORM_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFORM_THREADS 4u
#define CONFORM_OPERATIONS 6u
#define CONFORM_WINDOW_BYTES 64u
#define CONFORM_WINDOWS 2u /* the beginning of the block; past the initial size */
#define CONFORM_WORDS (CONFORM_WINDOWS * CONFORM_WINDOW_BYTES / 8u)
#define CONFORM_PAGES_MAX 8u
#define CONFORM_SEGMENT_BYTES 64u /* byte i has the value i + 1 */
/* Each operation's result, the words of the windows, the size. */
#define CONFORM_OUTCOME_MAX (CONFORM_THREADS * CONFORM_OPERATIONS + CONFORM_WORDS + 1u)

enum conform_code {
#define ARGUMENT(name)
#define OPERATION(name, result, arguments) CONFORM_##name,
#include "operation.def"
#undef ARGUMENT
    CONFORM_CODES
};

enum conform_rmw {
    CONFORM_ADD,
    CONFORM_SUB,
    CONFORM_AND,
    CONFORM_OR,
    CONFORM_XOR,
    CONFORM_XCHG,
    CONFORM_RMW_COUNT
};

/* Results that are not numbers. A program that could compute one of these values is rejected. */
#define CONFORM_NONE UINT64_C(0xC0DEC0DE00000001)     /* the thread did not get this far */
#define CONFORM_SKIPPED UINT64_C(0xC0DEC0DE00000002)  /* its condition did not hold */
#define CONFORM_BLOCKED UINT64_C(0xC0DEC0DE00000003)  /* it waits, and no thread will wake it */
#define CONFORM_TRAP UINT64_C(0xC0DEC0DE00000004)     /* it ended the thread */
#define CONFORM_OK UINT64_C(0xC0DEC0DE00000005)       /* could have trapped; no other result */
#define CONFORM_DISABLED UINT64_C(0xC0DEC0DE00000006) /* a wait after, or ended by, a disable */
#define CONFORM_UNCLEAR UINT64_C(0xC0DEC0DE00000007)  /* it is unknown whether it was blocked */
#define CONFORM_WORD_HIGH UINT64_C(0xC0DEC0DE)

/* An address: an offset in the first window, or CONFORM_GROWN + an offset in the second. */
#define CONFORM_GROWN 0x80000000u

enum conform_test { CONFORM_ALWAYS, CONFORM_EQUAL, CONFORM_UNEQUAL };

struct conform_operation {
    enum conform_code code;
    uint32_t at, to, from; /* addresses */
    uint32_t width;        /* bytes; of waits, too */
    uint32_t kind;         /* enum conform_rmw */
    uint32_t count, pages;
    uint64_t value, expected;
    int64_t timeout_ns;
    /* Runs only if the result of an earlier operation of the same thread is (not) that value. */
    enum conform_test test;
    unsigned tested;
    uint64_t tested_value;
    int slot; /* position in the outcome, or -1 */
};

struct conform_program {
    char name[64];
    char family[32];
    char text[160]; /* the comment below the name: what the program shows */
    uint32_t min_pages, max_pages;
    unsigned threads;
    unsigned operations[CONFORM_THREADS];
    struct conform_operation operation[CONFORM_THREADS][CONFORM_OPERATIONS];
    uint8_t first[CONFORM_WINDOW_BYTES]; /* initial bytes of the first window */

    /* Computed by conform_finish. */
    bool grows;  /* has memory_grow or memory_size, or accesses past the size: each instance needs
                    its own memory */
    bool traps;  /* accesses the second window */
    bool blocks; /* has a wait without a timeout */
    bool waits;
    bool inits; /* has memory_bulk_init, so its module needs a segment */
    bool host;  /* has an operation that only hosts have, so there is no WebAssembly module */
    unsigned slots;
    unsigned words;               /* of the windows, compared at the end */
    uint32_t word[CONFORM_WORDS]; /* their addresses, multiples of 8 */
    unsigned outcome;             /* slots + words + (grows ? 1 : 0) */
};

/* The range that an operation accesses; count 0: none. Bulk copies have two. */
struct conform_range {
    uint32_t at, count;
    bool is_write, is_atomic;
};
unsigned conform_ranges(const struct conform_operation *o, struct conform_range range[2]);
/* True if it accesses bytes, or a queue, past the initial size. */
bool conform_is_far(const struct conform_operation *o);
/* A wait whose timeout no run reaches: negative, or ten days or more. */
bool conform_waits_forever(const struct conform_operation *o);

/* Checks a program and computes the derived fields. Returns NULL, or what is wrong with it
 * (static). */
const char *conform_finish(struct conform_program *program);

/* Reads the next program of a text from *at, and moves *at past it. False at the end of the text,
 * or if the program is malformed: then *why is set (static). *line counts from 1. */
bool conform_parse(const char *text, size_t *at, unsigned *line, struct conform_program *program,
                   const char **why);

void conform_print(FILE *out, const struct conform_program *program);
void conform_print_operation(FILE *out, const struct conform_operation *o);
/* A result as words: "1", "blocked". */
const char *conform_result(uint64_t value, char room[24]);
/* An outcome as words: "0 1 | 0 [0]=1 size=2". */
void conform_print_outcome(FILE *out, const struct conform_program *program,
                           const uint64_t *outcome);

const char *conform_operation_name(enum conform_code code);

#endif
