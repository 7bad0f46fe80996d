/* interleave.h: programs whose threads run at the same time, under the concurrency engine.
 *
 * Each of T0 to T7 is a logical thread. The subject is compiled so that the engine sees every
 * access (ref/ is compiled a second time for this). The program's choices decide which thread runs,
 * which message a load reads, whether a timeout fires and whether a call fails. Operations before
 * `interleave` run first, on one thread; without that operation, the leading memory_create,
 * mailbox_attach and the fault_at before them do. Judges are outside: they see the order in which
 * things really happened.
 *
 * SCHED=uniform, pct or pos in the environment draws the choices at random, seeded by the input and
 * SEED, in place of the program's choices. TRACE=1 prints the schedule of a finding,
 * TRACE_JSON=file writes it for scripts/trace.py. */
#ifndef INTERLEAVE_H
#define INTERLEAVE_H

#include "op.h"
#include "subject.h"

/* False, with a message, if SCHED= or another variable has an unknown value. */
bool interleave_ready(void);

/* True for a program that runs under the engine: its target always does, or it has the operation
 * `interleave`. */
bool interleave_wants(const struct program *program);

/* Runs it on ref/, where subject is NULL, else on that one, which lacks nothing. NULL, or the name
 * of the broken rule; static. *operations grows by how many were run; may be NULL. */
const char *interleave_run(const struct subject *subject, const struct program *program,
                           uint64_t *operations);

/* What the subject lacks to have the program run on it; NULL: nothing. */
const char *interleave_lacks(const struct subject *subject, const struct program *program);

/* Called at the start of each run with the subject; returns what the run calls in its place, such
 * as a recorder of the calls. NULL: the subject itself. */
extern const struct subject *(*interleave_front)(const struct subject *subject);
/* Every read takes the newest value, as if all orders were sequentially consistent. */
extern bool interleave_newest;
/* Under the engine: the number of the running thread; -1: the first one, which sets up and checks.
 */
int interleave_thread(void);

/* What the engine tells of the last run: what was chosen, one byte a choice as an input carries it,
 * how often a thread that could run on was switched away from, and what it said of a finding. Good
 * until the next run. */
struct interleave_told {
    size_t choices_bytes; /* of which at most OP_CHOICES_MAX are kept */
    uint8_t choices[OP_CHOICES_MAX];
    unsigned preemptions;
    const char *detail;
    const char *finding; /* the engine's name, or the rule that a judge named; NULL: none */
    unsigned started;    /* operations of the threads, in the order in which they began: */
    uint16_t order[OPS_MAX];
};
const struct interleave_told *interleave_told(void);
/* Searches every schedule of the program on ref/, as sim_explore() does with these options; those
 * of its runs are set here. NULL, or the name of the broken rule; explored says how much was
 * searched. */
struct sim_explore_options;
struct sim_explored;
const char *interleave_search(const struct program *program, struct sim_explore_options *options,
                              struct sim_explored *explored);
/* What it said of a finding, with functions, files and lines in place of addresses. Slow. */
const char *interleave_detail(void);

/* The rule that a crash of the process during a run breaks: that of the operation it was in; once a
 * guest has scribbled, R38. NULL outside of an operation. */
const char *interleave_crash_rule(void);
/* Operations of the last run that were left out. */
unsigned interleave_left_out(void);

#endif
