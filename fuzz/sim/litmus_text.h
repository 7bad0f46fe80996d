/* litmus_text.h: litmus programs as text (.litmus; the grammar is in README.md): a parser, and a
 * function that runs them on the engine. */
#ifndef LITMUS_TEXT_H
#define LITMUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LT_THREADS = 16,
    LT_LOCATIONS = 64,
    LT_REGISTERS = 32,
    LT_LOCKS = 16,
    LT_STATEMENTS = 256,
    LT_NESTING = 8, /* of braces, hence loop counters in use at a time */
    LT_TERMS = 64,
    LT_NAME = 32
};
enum lt_kind {
    LT_STORE,
    LT_LOAD,
    LT_ADD,
    LT_XCHG,
    LT_CAS,
    LT_FENCE,
    LT_SET,       /* target = value + expected */
    LT_IF_EQUAL,  /* go to jump unless value = expected */
    LT_IF_DIFFER, /* go to jump unless value != expected */
    LT_JUMP,
    LT_REPEAT,     /* counters[counter] = count */
    LT_REPEAT_END, /* go to jump unless that was the last round */
    LT_AWAIT,      /* load until the value is `value` */
    LT_AWAIT_NOT,
    LT_AWAIT_XCHG, /* exchange for value until it reads expected */
    LT_AWAIT_CAS,
    LT_SPIN, /* at most count loads */
    LT_ASSUME,
    LT_LOCK, /* location: the lock's number */
    LT_UNLOCK,
    LT_TRYLOCK,
    LT_WAIT,
    LT_WAIT_TIMED,
    LT_WAKE
};

/* A number, or the value of a register of the same thread. */
struct lt_value {
    bool is_register;
    uint32_t number;
};

struct lt_statement {
    enum lt_kind kind;
    int order, failure_order;
    unsigned location, target; /* target: a register */
    unsigned jump, counter, count;
    struct lt_value value, expected;
};

struct lt_thread {
    unsigned statements_n, registers_n;
    struct lt_statement statements[LT_STATEMENTS];
    char registers[LT_REGISTERS][LT_NAME];
    uint32_t r[LT_REGISTERS]; /* after a run */
};

/* One equation of `exists`: T<thread>:register = value, or location = value. */
struct lt_term {
    int thread;
    unsigned index;
    uint32_t value;
    bool or_before;
};

struct lt_program {
    char name[128];
    char expected[16];                      /* "allowed", "forbidden" or "" */
    long expected_graphs, expected_blocked; /* -1: not stated */
    bool finished;                          /* the last run reached its end */
    unsigned threads_n, locations_n, locks_n, terms_n;
    char locations[LT_LOCATIONS][LT_NAME];
    char locks[LT_LOCKS][LT_NAME];
    uint32_t initial[LT_LOCATIONS], memory[LT_LOCATIONS];
    struct lt_thread threads[LT_THREADS];
    struct lt_term terms[LT_TERMS];
};

/* Parses a whole text. On false, error is "file:line: what is wrong". */
bool lt_parse(struct lt_program *p, const char *text, const char *file, char *error,
              size_t error_n);
void lt_run(void *program);                 /* the program, for sim_run and sim_explore */
bool lt_exists(const struct lt_program *p); /* of the last run; false if there is no condition */
void lt_state(const struct lt_program *p, char *out, size_t n); /* sorted: "T0:r0=0 x=1" */

#endif
