/* Litmus programs as text (.litmus, README.md has the grammar): parsed here, run on the engine. */
#ifndef LITMUS_TEXT_H
#define LITMUS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LT_THREADS = 16,
    LT_LOCATIONS = 64,
    LT_REGISTERS = 32,
    LT_STATEMENTS = 64,
    LT_TERMS = 64,
    LT_NAME = 32
};
enum lt_kind { LT_STORE, LT_LOAD, LT_ADD, LT_XCHG, LT_CAS, LT_FENCE };

/* A number, or the value of a register of the same thread. */
struct lt_value {
    bool is_register;
    uint32_t number;
};

struct lt_statement {
    enum lt_kind kind;
    int order, failure_order;
    unsigned location, target; /* target: register */
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
    char expected[16];    /* "allowed", "forbidden" or "" */
    long expected_graphs; /* -1: not stated */
    unsigned threads_n, locations_n, terms_n;
    char locations[LT_LOCATIONS][LT_NAME];
    uint32_t initial[LT_LOCATIONS], memory[LT_LOCATIONS];
    struct lt_thread threads[LT_THREADS];
    struct lt_term terms[LT_TERMS];
};

/* Parse a whole text. False: error says "file:line: what". */
bool lt_parse(struct lt_program *p, const char *text, const char *file, char *error,
              size_t error_n);
void lt_run(void *program);                 /* the program for sim_run and sim_explore */
bool lt_exists(const struct lt_program *p); /* of the last run; false without a condition */
void lt_state(const struct lt_program *p, char *out, size_t n); /* "T0:r0=0 x=1": sorted */

#endif
