/* scenarios.h: small concurrent programs on ref/ that the engine searches exhaustively. */
#ifndef SCENARIOS_H
#define SCENARIOS_H

#include <stddef.h>

struct scenario {
    const char *name;
    const char *rules;  /* what it checks beside races, page faults and deadlocks */
    const char *bounds; /* what is bounded, in words, for the report */
    void (*run)(void *arg);
    const char *stuck;     /* the rule that a deadlock breaks */
    unsigned timeouts_max; /* waits that may time out */
    unsigned spurious_max; /* waits that may return for no reason */
};

extern const struct scenario scenarios[];
extern const size_t scenarios_count;

#endif
