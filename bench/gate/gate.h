/* gate.h: the rows of the gate's benchmark program.
 *
 * A row is open(), measured(), close(), in this order, any number of times. Only measured() is
 * counted and timed. It does a fixed number of operations, always the same ones, so that its
 * instructions, system calls and page faults are exact. The rows use only the public headers of
 * ref/, so that they also build against an older ref/. */
#ifndef GATE_H
#define GATE_H

#include "pagebox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GATE_BIT(strategy) (UINT32_C(1) << PB_STRATEGY_##strategy)
#define GATE_EACH ((UINT32_C(1) << PB_STRATEGY_COUNT) - 1)

enum { GATE_HOST_PAGE = 4096, GATE_GUARD_BYTES = 65536, GATE_BOUND_PAGES = 64 };

/* A second thread takes part, so times vary widely. If it sleeps at a known place while the region
 * runs, the first thread's work is exact and is counted; if both spin, it is not. */
enum gate_threads { GATE_ALONE, GATE_SLEEPER, GATE_SPINNERS };

struct gate_row {
    const char *name;    /* "grow", or "grow/<strategy>" for rows with strategies: never renamed */
    uint32_t operations; /* in one measured() */
    uint32_t strategies; /* a bit for each strategy, with a row for each that the kernel has; 0: one
                            row */
    uint32_t timed;      /* those whose time is compared too; the others are only counted */
    enum gate_threads threads;
    enum pb_strategy strategy; /* set by main.c before open(), for rows with strategies */
    void (*open)(const struct gate_row *row);
    void (*measured)(void);
    void (*close)(void);
};

/* Its counts are known. */
extern const struct gate_row gate_row_control;

/* What main.c measures: rows.c adds the library's rows, subject/rows_subject.c those of a user's
 * memory or mailbox. */
void gate_add_rows(void);
/* Adds a row as name, or as name/variant if variant is not NULL. Copies both. */
void gate_add(const struct gate_row *row, const char *variant);

/* The library's tables; each ends with a row without a name. */
extern const struct gate_row gate_rows_memory[];
extern const struct gate_row gate_rows_bytes[];
extern const struct gate_row gate_rows_mailbox[];
extern const struct gate_row gate_rows_threads[];

/* Ends the program with status 2 and the reason. */
_Noreturn void gate_stop(const char *what);
/* The same, if `good` is false. */
static inline void gate_need(bool good, const char *what) {
    if (!good) {
        gate_stop(what);
    }
}
/* The same for a failed call, with its name. */
void gate_need_ok(enum pb_status status, const char *what);

/* A memory of that many pages, which may grow to GATE_BOUND_PAGES. pool: NULL except for that
 * strategy. */
struct pb_memory *gate_memory(enum pb_strategy strategy, struct pb_pool *pool, uint32_t pages,
                              bool shared);

/* Writes one byte to each host page of the first `bytes` bytes. */
void gate_touch(struct pb_memory *memory, uint64_t bytes);

#endif
