/* threads.h: runs programs on a memory in C, behind subject.h, with real threads. */
#ifndef CONFORM_THREADS_H
#define CONFORM_THREADS_H

#include "machine.h"
#include "program.h"

struct conform_run {
    uint64_t seed;
    unsigned long slice_ms; /* each program, in turn */
    unsigned long total_s;  /* time for all rounds of slices; 0: one round */
    unsigned long hang_s;   /* no progress for this long counts as a hang */
    const char *library;    /* a runtime's shim in this process; NULL: SUBJECT= */
};

/* Runs the programs on the memory or the runtime, and prints a line of JSON for each slice, like
 * driver.mjs. Returns the exit status: 0, or 2 if there is no such memory. The reader of the lines
 * judges the outcomes. */
int conform_run_all(const struct conform_run *run, const struct conform_program *program,
                    const struct conform_set *set, size_t count);

#endif
