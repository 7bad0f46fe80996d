/* seam.h: the tests' hand in the operating system. The linker sends every call of pb_os_* through
 * seam.c (--wrap), which counts it, can let it fail, and can stand in for the clock and for
 * blocking, so that timeouts and interleavings are shown without a thread and without waiting. */
#ifndef SEAM_H
#define SEAM_H

#include "allocator.h"
#include "os.h"

enum seam_call {
    SEAM_RESERVE = 1 << 0,
    SEAM_RESERVE_ACCESSIBLE = 1 << 1,
    SEAM_COMMIT = 1 << 2,
    SEAM_DECOMMIT = 1 << 3,
    SEAM_DISCARD = 1 << 4,
    SEAM_RENEW = 1 << 5,
    SEAM_RELEASE = 1 << 6,
    SEAM_MOVE = 1 << 7,
    SEAM_ADVISE = 1 << 8,
    SEAM_FILE_CREATE = 1 << 9,
    SEAM_FILE_WRITE = 1 << 10,
    SEAM_FILE_FREEZE = 1 << 11,
    SEAM_FILE_MAP = 1 << 12,
    SEAM_FILE_WRITTEN = 1 << 13,
    SEAM_ACCOUNT_TRY = 1 << 14,
    SEAM_ACCOUNT_ASK = 1 << 15,
    SEAM_ALL = (1 << 16) - 1
};

/* The nth call (from 1) of those in the mask fails with PB_NO_MEMORY; with ever, all after it too.
 * Counting starts anew. nth 0: none fails. */
void seam_fail(unsigned mask, unsigned nth, bool ever);
/* How many calls have been failed since, and how many were made (of those in the mask). */
unsigned seam_failed(void);
unsigned seam_calls(void);

/* Runs before each call of those in the mask; NULL: no more. */
void seam_before(unsigned mask, void (*hook)(enum seam_call call));

/* How often a range with this address in it was given back since. */
void seam_watch(const void *address);
unsigned seam_releases(void);

/* Bytes of address space that were reserved and are neither given back nor moved away. */
uint64_t seam_address_space(void);

/* From now on the clock stands at now_ns, until it is set again. */
void seam_clock(uint64_t now_ns);
/* Every pb_os_wait calls this in place of blocking; NULL: block again. */
typedef enum pb_status seam_wait_fn(_Atomic uint32_t *word, uint32_t expected,
                                    uint64_t deadline_ns);
void seam_wait(seam_wait_fn *hook);
/* How many threads have begun to block in pb_os_wait so far. */
unsigned seam_waits(void);
/* Every pb_os_wake calls this first. */
void seam_wake(void (*hook)(_Atomic uint32_t *word));

/* An allocator that counts what is alive and lets the nth request (from 1) fail; 0: none. */
extern const struct pb_allocator seam_allocator;
void seam_allocator_fail(unsigned nth);
unsigned seam_allocator_failed(void);
unsigned seam_allocator_alive(void);

#endif
