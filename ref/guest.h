/* guest.h: the guest's side of a mailbox: drain and park. Compiles natively and for wasm32, there
 * with -matomics whether the memory is shared or not (a module of an unshared one is linked without
 * --shared-memory): the host's threads enqueue while the guest runs.
 *
 * One consumer: these functions are called by one guest thread at a time. Free-standing: needs
 * nothing but mailbox_layout.h. Rules R30, R31, R34 to R36. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_GUEST_H
#define PB_GUEST_H

#include "mailbox_layout.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a guest blocks and how it reaches its host. */
struct pb_guest_host {
    /* Blocks while *flag is expected: memory.atomic.wait32 where the memory is shared, a call into
     * the host (which waits for the signal) where it is not. timeout_ns < 0: forever. Returns 2
     * when the time was up, anything else when it is time to look again. */
    int (*wait)(void *context, PB_ATOMIC(uint32_t) * flag, uint32_t expected, int64_t timeout_ns);
    /* Asks the host for pb_mailbox_flush. May be NULL where the host never spills. */
    void (*flush)(void *context);
    void *context;
};

enum pb_park {
    PB_PARK_READY = 0,  /* there may be something to drain */
    PB_PARK_CLOSED = 1, /* closed, and nothing left to drain */
    PB_PARK_TIMED_OUT = 2
};

/* Takes every id that was there when it began, in order, each exactly once: take(context, id) is
 * called for each, and must not drain itself. Clears the signal first, so that an id which comes
 * meanwhile sets it again (R34). Returns how many. */
uint32_t pb_guest_drain(struct pb_mailbox_words *mailbox, void (*take)(void *context, uint32_t id),
                        void *context);

/* Blocks until the host signals, closes, or timeout_ns passes (negative: never). Returns at once
 * when it has been signalled since the last drain. */
enum pb_park pb_guest_park(struct pb_mailbox_words *mailbox, const struct pb_guest_host *host,
                           int64_t timeout_ns);

#ifdef __wasm__
/* wait is the import "pagebox" "park", a call into the host, which does pb_mailbox_wait_for_signal:
 * for a memory that is not shared. flush is the import "pagebox" "flush". */
extern const struct pb_guest_host pb_guest_host_imports;
/* wait is the wait32 instruction, for a shared memory; flush as above. */
extern const struct pb_guest_host pb_guest_host_shared;
#endif

#ifdef __cplusplus
}
#endif

#endif
