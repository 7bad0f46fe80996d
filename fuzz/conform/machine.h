/* machine.h: the specification machine: every outcome that a program may have.
 *
 * Bytes, a size and queues of waiters; each atomic access, each start of a wait, wake, timeout,
 * notify and growth is one step, and every order of the threads' steps is walked, states
 * remembered. It has nothing of the reference: what the reference does must lie inside of what this
 * allows. README.md says which text of which specification each step follows. */
#ifndef CONFORM_MACHINE_H
#define CONFORM_MACHINE_H

#include "program.h"

struct conform_set {
    unsigned words;      /* of an outcome */
    size_t count;        /* outcomes */
    uint64_t *outcome;   /* count * words, sorted */
    size_t states;       /* distinct states that were walked */
    bool is_complete;    /* false: a bound was reached, and the set must not be used */
    bool is_racy;        /* two accesses that conflict can meet: outcomes are not judged */
    unsigned racy[2][2]; /* thread and operation of the first such pair */
    bool may_block;      /* in some outcome a thread stays blocked */
};

/* Works the set out; at most so many states and outcomes. False for want of memory. The caller
 * frees. */
bool conform_outcomes(const struct conform_program *program, size_t states_max, size_t outcomes_max,
                      struct conform_set *set);
void conform_set_free(struct conform_set *set);

#endif
