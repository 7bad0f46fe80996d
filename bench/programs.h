/* programs.h: real programs as programs.c runs them; programs/glue.c registers each. */
#ifndef BENCH_PROGRAMS_H
#define BENCH_PROGRAMS_H

#include <stdint.h>

/* One program: wasm32 turned into C, compiled with or without bounds checks. */
struct program {
    const char *name;             /* "lz" */
    const char *check;            /* "guard": guard pages replace the checks; "compare" */
    uint32_t (*run)(uint32_t);    /* creates an instance, runs and destroys it; NULL: see missing */
    uint32_t (*native)(uint32_t); /* the same source compiled for this machine */
    const char *missing;          /* not NULL: why it could not be built */
};

/* Registers the program's rows. It must live as long as the process. */
void program_add(const struct program *program);

#endif
