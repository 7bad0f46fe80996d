/* program.h: the judge's own parser of litmus programs: a list of instructions per thread. */
#ifndef JUDGE_PROGRAM_H
#define JUDGE_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    THREADS_MAX = 16,
    PLACES_MAX = 32, /* locations and locks */
    REGISTERS_MAX = 32,
    CODE_MAX = 256,
    NESTING_MAX = 8,
    CONDITIONS_MAX = 64,
    NAME_MAX_ = 32
};

enum order { RELAXED, ACQUIRE, RELEASE, ACQ_REL, SEQ_CST };

enum opcode {
    STORE,
    LOAD,
    ADD,
    EXCHANGE,
    CAS,
    FENCE,
    SET,          /* target = a + b */
    UNLESS_EQUAL, /* go to jump unless a = b */
    UNLESS_DIFFERENT,
    JUMP,
    REPEAT,     /* counter = count */
    REPEAT_END, /* go to jump (after REPEAT) unless --counter is 0 */
    AWAIT_EQUAL,
    AWAIT_DIFFERENT,
    AWAIT_EXCHANGE,
    AWAIT_CAS,
    SPIN,
    ASSUME,
    LOCK,
    UNLOCK,
    TRYLOCK,
    WAIT,
    WAIT_TIMED,
    WAKE
};

struct operand {
    bool is_register;
    uint32_t number; /* the value, or the number of a register */
};

struct instruction {
    enum opcode code;
    enum order order, failure_order;
    unsigned place, target;
    struct operand a, b; /* a: stored, added, exchanged or awaited value; b: expected value */
    unsigned jump, count, counter;
};

struct code {
    unsigned n, registers_n, counters_n;
    struct instruction at[CODE_MAX];
    char registers[REGISTERS_MAX][NAME_MAX_];
};

struct condition { /* one condition of `exists`; thread -1: of a location */
    int thread;
    unsigned index;
    uint32_t value;
    bool or_before;
};

struct program {
    char name[128];
    long stated_graphs, stated_blocked; /* -1: not stated */
    bool stated_allowed, stated_forbidden;
    unsigned threads_n, places_n, conditions_n;
    char places[PLACES_MAX][NAME_MAX_];
    bool is_lock[PLACES_MAX];
    uint32_t initial[PLACES_MAX];
    struct code threads[THREADS_MAX];
    struct condition conditions[CONDITIONS_MAX];
};

/* Reads one program from *text, up to its end or a line `---`. *text then points after that line,
 * or is NULL at the end; *line counts lines. On false, error is "file:line: what is wrong". */
bool program_read(struct program *p, const char **text, unsigned *line, const char *file,
                  char *error, size_t error_n);

#endif
