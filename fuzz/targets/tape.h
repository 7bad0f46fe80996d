/* tape.h: a run of one thread written down as straight-line C: the calls that were made, with their
 * arguments and what the rules let them answer, in the order in which they were made.
 *
 * A subject in front of the one that is tested passes every call on and writes it as a line; what
 * the judge compares (judges/note.h) becomes a line behind it. The lines call functions of
 * program/: check.h, and a mapping to the library. */
#ifndef TAPE_H
#define TAPE_H

#include "op.h"
#include "subject.h"

#include <stdbool.h>
#include <stdio.h>

/* Begins: what stands in front of `inner`. Its lines go to `out`, each at once, so that they
 * outlive a crash; what a parked guest's host does to `meanwhile`, as functions. Once a process. */
const struct subject *tape_begin(const struct subject *inner, FILE *out, FILE *meanwhile);
/* Ends. False when a look could not be written: the program makes the calls and does not look. */
bool tape_end(void);

#endif
