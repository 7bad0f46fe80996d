/* trial.h: tries programs in processes of their own, quickly, and tells what each one broke.
 *
 * A process tries one candidate after the other until one of them breaks something, so that what
 * costs a process is a finding and not a trial. A program whose threads interleave is tried under
 * several schedules: its own choices, none, and sparse ones drawn from its number, so that the same
 * call gives the same answer. */
#ifndef TRIAL_H
#define TRIAL_H

#include "op.h"
#include "subject.h"

enum { TRIAL_NAME_BYTES = 64, TRIAL_PLACE_BYTES = 160 };

/* What a program broke. name: "" nothing, "R5-grow-limit", "R6-crash", "timeout". */
struct trial {
    char name[TRIAL_NAME_BYTES];
    char operation[TRIAL_NAME_BYTES]; /* that ran then, where one alone did */
    struct program program; /* as it was run; under the engine with the choices that were made */
    size_t choices_drawn;   /* under the engine: choices of that run */
    unsigned preemptions;
    unsigned started; /* under the engine: operations, in the order in which they began */
    uint16_t order[OPS_MAX];
};

/* How: for all calls. */
struct trial_settings {
    const struct subject *subject;
    unsigned milliseconds_max; /* of one run; then it is a "timeout" */
    unsigned schedules;        /* tried for each candidate under the engine, at least 1 */
    bool same_too;             /* a search tries candidates that are what it began with, too */
    uint64_t trials;           /* counted here */
    bool (*stop)(void);        /* NULL, or asked before each run of a search: true ends it */
};

/* Runs one program as it is, in a fresh process. False when no process could be started. */
bool trial_run(struct trial_settings *settings, const struct program *program,
               struct trial *result);

/* A candidate in the place of `from`: the index-th of a list; false past its end. Must be a
 * function of its arguments. */
typedef bool trial_candidate(const struct program *from, unsigned index, struct program *candidate);
/* May refuse a finding that is no gain, though its name is right; NULL: all are. */
typedef bool trial_accept(const struct trial *found);

/* Tries candidates from *index on until one breaks `name` in `operation` ("": any), also alone in a
 * fresh process. False when there is none; *index is that of the one found. */
bool trial_search(struct trial_settings *settings, trial_candidate *candidate, trial_accept *accept,
                  const struct program *from, const char *name, const char *operation,
                  unsigned *index, struct trial *found);

/* Where the program breaks: "ref/linear.c:203", "memory_grow"; "" where nobody can say. Runs it
 * once more, with the sanitizers' stacks: slow. */
void trial_place(struct trial_settings *settings, const struct program *program,
                 char place[TRIAL_PLACE_BYTES]);

#endif
