/* history.h: is a history of waits, notifies, writes and disables one that a sequential table of
 * waiters could have? Linearisability for R18, R20 to R25 and R29.
 *
 * Each operation took effect at some moment between its start and its end; a wait at two, when it
 * joined and when it left. The check looks for an order of those moments that a naive queue
 * explains. Operations on different aligned 8 bytes never depend on each other. */
#ifndef HISTORY_H
#define HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_PENDING UINT32_MAX /* end of what never returned */
#define HISTORY_EVENTS_MAX 160u

enum event_kind { EVENT_WAIT, EVENT_NOTIFY, EVENT_WRITE, EVENT_DISABLE };

/* How a wait ended; PENDING: it is in its queue still. */
enum event_outcome {
    WAIT_NOTIFIED,
    WAIT_NOT_EQUAL,
    WAIT_TIMED_OUT, /* after it had joined */
    WAIT_AT_ONCE,   /* compared, did not join: a timeout of 0 */
    WAIT_REFUSED,   /* ... the limit */
    WAIT_DISABLED,
    WAIT_CANCELLED,
    WAIT_PENDING
};

/* How a write changes the bytes it covers. */
enum event_write {
    WRITE_STORE,
    WRITE_ADD,
    WRITE_SUB,
    WRITE_AND,
    WRITE_OR,
    WRITE_XOR,
    WRITE_XCHG,
    WRITE_CMPXCHG
};

struct event {
    enum event_kind kind;
    uint32_t start, end; /* moments of one clock, all different */
    uint64_t address;    /* of all but DISABLE */
    unsigned width;      /* of WAIT and WRITE: bytes, the address is a multiple of it */
    uint64_t value;      /* WAIT: expected; WRITE: operand */
    uint64_t expected;   /* of a WRITE_CMPXCHG: it writes where this is what was there */
    enum event_outcome outcome;
    bool cancellable;   /* of WAIT; not used here */
    uint32_t canceller; /* of such a WAIT: the thread whose canceller it has */
    uint32_t joined;    /* of WAIT: it was in its queue by then; 0: unknown */
    enum event_write write;
    bool look;    /* of a WRITE: what the word held in the end; nobody writes then */
    uint64_t old; /* what a WRITE other than STORE said was there before */
    uint32_t count, woken;
    uint32_t thread, number; /* who did it; of a NOTIFY: its number in that thread; not used here */
};

/* NULL when there is such an order, or when none was found within the bound on work; else the name
 * of the rule whose absence would explain it: R29-disable, R25-fifo, R24-count, R21-atomic-enqueue,
 * R20-value; else R22-no-spurious; R18-atomic where nobody waits. values: all writes are among the
 * events, so that values count. */
const char *history_check(const struct event *events, unsigned count, bool values);
/* The same for the limit of waiters, over all addresses, whatever the values: no wait may join
 * where so many are queued, and none be refused where fewer are. NULL or R28-waiter-limit. */
const char *history_limit(const struct event *events, unsigned count, uint32_t limit);

#endif
