/* gate.h: what a row of the gate's benchmark program is made of.
 *
 * A row is open(), measured(), close(), in this order, any number of times. Only measured() is
 * counted and timed; it does a fixed number of operations, the same ones each time, so that its
 * instructions, system calls and page faults are exact. The rows use nothing of ref/ but its public
 * headers, so that they build against an older ref/ as well. */
#ifndef GATE_H
#define GATE_H

#include "pagebox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_BIT(strategy) (UINT32_C(1) << PB_STRATEGY_##strategy)
#define GATE_EACH ((UINT32_C(1) << PB_STRATEGY_COUNT) - 1)

enum { GATE_HOST_PAGE = 4096, GATE_GUARD_BYTES = 65536, GATE_BOUND_PAGES = 64 };

/* A second thread takes part, so times spread widely. Where it sleeps at a known place while the
 * region runs, what the first thread does is exact and is counted; where both spin it is not. */
enum gate_threads { GATE_ALONE, GATE_SLEEPER, GATE_SPINNERS };

struct gate_row {
    const char *name; /* "grow", or "grow/<strategy>" where strategies are named: never renamed */
    uint32_t operations; /* in one measured() */
    uint32_t
        strategies; /* one row for each of these (a bit each) that the kernel has; 0: one row */
    uint32_t timed; /* those of them whose time is compared, too; the others are only counted */
    enum gate_threads threads;
    enum pb_strategy strategy; /* where strategies are named: set by main.c before open() */
    void (*open)(const struct gate_row *row);
    void (*measured)(void);
    void (*close)(void);
};

/* Its counts are known. */
extern const struct gate_row gate_row_control;

/* What main.c measures besides: rows.c adds the library's rows, subject/rows_subject.c those of
 * anybody's memory or mailbox. */
void gate_add_rows(void);
/* A row under its name, or under name/variant where variant is not NULL. Copies both. */
void gate_add(const struct gate_row *row, const char *variant);

/* The library's tables: each ends with a row without a name. */
extern const struct gate_row gate_rows_memory[];
extern const struct gate_row gate_rows_bytes[];
extern const struct gate_row gate_rows_mailbox[];
extern const struct gate_row gate_rows_threads[];

/* Ends the program with status 2 and the reason. */
_Noreturn void gate_stop(const char *what);
/* The same, where good does not hold. */
static inline void gate_need(bool good, const char *what) {
    if (!good) {
        gate_stop(what);
    }
}
/* The same for a call's status, with its name. */
void gate_need_ok(enum pb_status status, const char *what);

/* A memory of so many pages that may grow to GATE_BOUND_PAGES. pool: NULL, but for that strategy.
 */
struct pb_memory *gate_memory(enum pb_strategy strategy, struct pb_pool *pool, uint32_t pages,
                              bool shared);

/* Writes one byte to each host page of the first bytes. */
void gate_touch(struct pb_memory *memory, uint64_t bytes);

#endif
