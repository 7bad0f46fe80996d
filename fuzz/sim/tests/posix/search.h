/* search.h: programs for search.c, and their numbers of outcomes. */
#ifndef SEARCH_H
#define SEARCH_H

struct search_program {
    const char *name;
    void (*run)(void *);
    unsigned outcomes; /* number of different outcomes */
};
extern const struct search_program search_programs[];
extern unsigned outcome;

#endif
