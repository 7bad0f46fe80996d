/* mutate.h: new programs from old ones, by structure: operations, arguments, threads, faults,
 * choices. The fuzzers' mutators call it: target.c for libFuzzer, mutate_afl.c for AFL++.
 *
 * Pure: the result depends on the arguments alone. Not thread-safe: its work space is static. */
#ifndef MUTATE_H
#define MUTATE_H

#include "op.h"

#define MUTATE_ALL_ON UINT64_MAX /* for swarm: everything is on */

/* How to mutate. seed: of this one result. swarm: draws which operations, strategies, sizes,
 * threads and faults new operations are made of; calls that belong together share it, for some
 * time. shrinking: the result is never longer than the input, and nothing is put in. */
struct mutate {
    enum op_target target;
    uint64_t seed, swarm;
    bool shrinking;
};

/* Mutates data[0, bytes) in place; returns the new length, 1 to bytes_max (which must be above 0).
 * Any bytes are accepted; an input without operations becomes a new program. */
size_t mutate_bytes(const struct mutate *how, uint8_t *data, size_t bytes, size_t bytes_max);

/* A program of both: operations from the front of one and the back of the other, choices of either.
 * Writes at most bytes_max (above 0) to out, which overlaps neither; returns the length. */
size_t mutate_splice(const struct mutate *how, const uint8_t *one, size_t one_bytes,
                     const uint8_t *two, size_t two_bytes, uint8_t *out, size_t bytes_max);

/* A whole program that sets up what its operations work on. code: an operation that it shall hold,
 * or 0. */
void mutate_new(const struct mutate *how, unsigned code, struct program *program);

/* Cuts the program until its bytes fit: choices from their end, then operations from theirs.
 * Returns how many bytes it has. */
size_t mutate_fit(struct program *program, size_t bytes_max);

/* The calls (bit n: word n of op.def's call) that a failing call is aimed at before that operation.
 */
uint32_t mutate_calls_of(uint8_t code);

/* From now on no new operation has that code, because the subject does not offer it. */
void mutate_leave_out(uint8_t code);

/* The swarm of a process's nth mutation: SWARM=off in the environment turns it off, SWARM=7 keeps
 * that one, else a new one is drawn from the process's seed every so many mutations. False, with a
 * message on standard error, when SWARM is none of these. */
bool mutate_swarm_ready(void);
uint64_t mutate_swarm_at(uint64_t process_seed, uint64_t nth);

#endif
