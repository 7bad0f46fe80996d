/* tape.h: a run written down. Of one thread, as straight-line C: the calls in their order, with
 * their arguments and what the rules let them answer. Of several threads, as a log of calls.
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
/* Threads, under the engine: writes the next run's calls as a log, in the order in which they
 * happened. THREAD is -1 before and after the threads.
 *
 *     line THREAD TEXT                a line of C, before the thread's next call
 *     begin NUMBER THREAD RULE TEXT   a call begins
 *     took ID                         a drain handed an id over
 *     end NUMBER STATUS ANSWER        a call ended, and what it answered */
void tape_threads(FILE *out);
/* "OK | LIMIT", of a set of statuses, as the lines name them. Static. */
const char *tape_statuses(uint64_t statuses);
/* Ends. False when a look could not be written: the program makes the calls and does not look. */
bool tape_end(void);

#endif
