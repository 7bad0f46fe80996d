/* searched.h: a program of the table: `graphs` where the number is known from elsewhere (GenMC,
 * RC11) or by counting, else 0. */
#ifndef SEARCHED_H
#define SEARCHED_H

#include <stdint.h>

struct searched {
    const char *name;
    void (*run)(void *);
    uint64_t graphs;
    unsigned loop_max; /* as in struct sim_explore_options: then it is never complete */
};
extern const struct searched searched[]; /* ends with a NULL name */

#endif
