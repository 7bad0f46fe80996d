/* status.h: the one set of error values that every function of the library returns. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_STATUS_H
#define PB_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Errors are values: a function that can fail returns one of these and, unless its comment says
 * otherwise, has changed nothing when it is not PB_OK. The numbers are stable. */
enum pb_status {
    PB_OK = 0,
    PB_INVALID = 1,          /* an argument is outside its documented domain */
    PB_LIMIT = 2,            /* the type's or the specification's size limit (R1, R5) */
    PB_NO_MEMORY = 3,        /* no memory or address space, or the reservation is used up */
    PB_NO_DESCRIPTORS = 4,   /* no file descriptor left */
    PB_UNSUPPORTED = 5,      /* this strategy, kernel or custom memory cannot do it */
    PB_NOT_SHARED = 6,       /* the operation needs a shared memory (R14, R19) */
    PB_OUT_OF_BOUNDS = 7,    /* a trap: the access ends past the memory's size (R16 to R19) */
    PB_MISALIGNED = 8,       /* a trap: an atomic access is not aligned to its width (R19) */
    PB_TOO_MANY_WAITERS = 9, /* the limit of waiters is reached (R28) */
    PB_DISABLED = 10,        /* atomics are disabled, or the memory is going away (R29) */
    PB_FULL = 11,            /* the mailbox (and its spill) is full (R33) */
    PB_CLOSED = 12,          /* the mailbox is closed (R36) */
    PB_TIMED_OUT = 13,       /* the deadline passed first */
    PB_INTERRUPTED = 14,     /* the system call met something that passes; try again */
    PB_SYSTEM = 15,          /* any other refusal of the operating system */
    PB_REFUSED = 16,         /* the limiter said no (R40) */
    PB_CANCELLED = 17,       /* the wait was cancelled (R41) */
    PB_PINNED = 18,          /* it would move or wipe bytes that the host holds (R42) */
    PB_IN_USE = 19,          /* another mailbox has a part of the region (R44) */
    PB_STATUS_COUNT
};

/* The status's name as written above ("PB_LIMIT"); "PB_?" for a value that is none. Static. */
const char *pb_status_name(enum pb_status status);

/* One line that tells a person what went wrong, without a full stop. Static. */
const char *pb_status_message(enum pb_status status);

#ifdef __cplusplus
}
#endif

#endif
