/* search.h: programs for search.c, and what they come to. */
#ifndef SEARCH_H
#define SEARCH_H

struct search_program {
    const char *name;
    void (*run)(void *);
    unsigned outcomes; /* how many different ones there are */
};
extern const struct search_program search_programs[];
extern unsigned outcome;

#endif
