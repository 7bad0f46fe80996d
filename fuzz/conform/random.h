/* random.h: random programs, each the same for the same seed. */
#ifndef CONFORM_RANDOM_H
#define CONFORM_RANDOM_H

#include "program.h"

/* A well-formed program drawn by the seed. Its set of outcomes is not computed: it may race, or
 * have too many. */
void conform_random(uint64_t seed, struct conform_program *program);

#endif
