/* machine.h: the specification machine: computes every outcome that a program may have.
 *
 * Its state is bytes, a size and queues of waiters. Each atomic access, start of a wait, wake-up,
 * timeout, notify and growth is one step, and every order of the threads' steps is explored;
 * visited states are remembered. It contains nothing of the reference: what the reference does must
 * be among what this allows. README.md says which text of which specification each step follows. */
#ifndef CONFORM_MACHINE_H
#define CONFORM_MACHINE_H

#include "program.h"

struct conform_set {
    unsigned words;      /* of an outcome */
    size_t count;        /* outcomes */
    uint64_t *outcome;   /* count * words, sorted */
    size_t states;       /* number of distinct states visited */
    bool is_complete;    /* false: a limit was reached, and the set must not be used */
    bool is_racy;        /* two conflicting accesses can meet, so outcomes are not judged */
    unsigned racy[2][2]; /* thread and operation of the first such pair */
    bool may_block;      /* in some outcome a thread stays blocked */
};

/* Computes the set, within limits on states and outcomes. False if out of memory. The caller frees
 * the set. */
bool conform_outcomes(const struct conform_program *program, size_t states_max, size_t outcomes_max,
                      struct conform_set *set);
void conform_set_free(struct conform_set *set);

#endif
