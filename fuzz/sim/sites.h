/* sites.h: the places where a program makes atomic accesses, and their memory orders, which the
 * ordering advisor changes without recompiling. */
#ifndef SIM_SITES_H
#define SIM_SITES_H

#include <stdint.h>
#include <stdio.h>

enum site_kind { SITE_LOAD, SITE_STORE, SITE_RMW, SITE_CAS, SITE_CAS_FAILS, SITE_FENCE };

/* The order of the access at pc: the one in the source, or the one given to sim_site_set(). */
int site_order(enum site_kind kind, int order, uintptr_t pc, uintptr_t at);
/* Plain accesses, to find out what they could be reordered with; calls that order everything. */
void site_plain(int write, uintptr_t at);
void site_barrier(void);

/* Gives that access another order (__ATOMIC_*; a relaxed fence is none). */
void sim_site_set(uintptr_t pc, enum site_kind kind, int order);
/* Starts recording sites. */
void sim_sites_begin(void);
/* Writes as JSON all sites seen, and each load that precedes a store with nothing ordering the
 * two. */
void sim_sites_json(FILE *out);

#endif
