/* programs.h: real programs, as programs.c runs them: what programs/glue.c registers for each. */
#ifndef BENCH_PROGRAMS_H
#define BENCH_PROGRAMS_H

#include <stdint.h>

/* One program, turned into C from wasm32 and compiled with bounds checks or without. */
struct program {
    const char *name;          /* "lz" */
    const char *check;         /* "guard": guard pages stand for the checks; "compare" */
    uint32_t (*run)(uint32_t); /* an instance of its own: made, run, given back; NULL: see below */
    uint32_t (*native)(uint32_t); /* the same source compiled for this machine */
    const char *missing;          /* not NULL: why it could not be built */
};

/* Registers the program's rows. It must live as long as the process. */
void program_add(const struct program *program);

#endif
