/* searched.h: a program of the table. `graphs` is the number known from elsewhere (GenMC, RC11) or
 * from counting, else 0. */
#ifndef SEARCHED_H
#define SEARCHED_H

#include <stdint.h>

struct searched {
    const char *name;
    void (*run)(void *);
    uint64_t graphs;
    unsigned loop_max; /* as in struct sim_explore_options; never complete if a loop is cut */
};
extern const struct searched searched[]; /* ends with a NULL name */

#endif
