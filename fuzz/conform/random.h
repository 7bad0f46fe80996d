/* random.h: random programs; equal seeds give equal programs. */
#ifndef CONFORM_RANDOM_H
#define CONFORM_RANDOM_H

#include "program.h"

/* A well-formed program drawn from the seed. Its set of outcomes is not computed: it may race, or
 * have too many. */
void conform_random(uint64_t seed, struct conform_program *program);

#endif
