/* pairs.h: small concurrent programs: an object, and one or two calls on it by each of two or three
 * threads. They are made from two tables, of objects and of the calls that may meet on them, and
 * are explored: each runs under many schedules (operation `explore`). */
#ifndef PAIRS_H
#define PAIRS_H

#include "op.h"

enum { PAIRS_NAME_BYTES = 64 };

/* Draws one; false: the target has none. */
bool pairs_draw(enum op_target target, uint64_t seed, struct program *program);

/* All programs of two threads with one entry of the calls' table each, values and set-up the first
 * that the tables name. False: n is past the last one. The name: "pairs-waits-disable+notify".
 * program NULL: only the name is wanted. */
bool pairs_nth(unsigned n, struct program *program, char name[PAIRS_NAME_BYTES]);

#endif
