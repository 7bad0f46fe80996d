/* sites.h: the places in a program that make atomic accesses, and their orders, which can be
 * changed while it runs: what the ordering advisor asks for. */
#ifndef SIM_SITES_H
#define SIM_SITES_H

#include <stdint.h>
#include <stdio.h>

enum site_kind { SITE_LOAD, SITE_STORE, SITE_RMW, SITE_CAS, SITE_CAS_FAILS, SITE_FENCE };

/* The order in which the access at pc is made: as written, or as sim_site_set() said. */
int site_order(enum site_kind kind, int order, uintptr_t pc, uintptr_t at);
/* Plain accesses, for what they could swap with; calls that order everything. */
void site_plain(int write, uintptr_t at);
void site_barrier(void);

/* From now on that access has this order (__ATOMIC_*; of a fence, relaxed: none). */
void sim_site_set(uintptr_t pc, enum site_kind kind, int order);
/* From now on sites are written down. */
void sim_sites_begin(void);
/* All sites seen, and which loads came before which stores with nothing between that orders them:
 * as JSON. */
void sim_sites_json(FILE *out);

#endif
