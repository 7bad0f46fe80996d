/* threads.h: runs programs on a memory in C, behind subject.h, with real threads. */
#ifndef CONFORM_THREADS_H
#define CONFORM_THREADS_H

#include "machine.h"
#include "program.h"

struct conform_run {
    uint64_t seed;
    unsigned long slice_ms; /* each program, in turn */
    unsigned long total_s;  /* all together: rounds of slices until then; 0: one round */
    unsigned long hang_s;   /* without progress for so long is a hang */
    const char *library;    /* the shim of a runtime in this process; NULL: what SUBJECT= names */
};

/* Runs them on the memory or the runtime, and prints a line of JSON for each slice, as
 * driver.js does. The exit status: 0; 2 where there is no such memory. Outcomes are judged by who
 * reads the lines. */
int conform_run_all(const struct conform_run *run, const struct conform_program *program,
                    const struct conform_set *set, size_t count);

#endif
