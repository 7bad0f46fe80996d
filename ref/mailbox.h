/* mailbox.h: the host's side of a guest mailbox: enqueue task ids, wake the guest, grow, close.
 *
 * Any number of host threads enqueue, without a lock between them or with the one consumer, the
 * guest: one of them at a time publishes for all, the others leave their ids to it. The guest's
 * words are not trusted: each is read once, every index is masked, the host's own cursor lives on
 * the host's side, and nothing outside the region is ever written, whatever the guest scribbles
 * there (R38). Rules R30 to R38, R44, R45.
 *
 * A memory may have several mailboxes; each byte belongs to one that is open (R44).
 *
 * A producer that stops in the middle of an enqueue, for a while or for ever, keeps nobody else
 * from enqueueing into a ring with room, and nobody waits to be told that it is full (R45). What
 * others put behind its place is delivered when it goes on, or by pb_mailbox_close. It may be the
 * one that publishes at the moment (it is, where it met nobody): until it goes on nothing is
 * delivered then, and pb_mailbox_close, hold, flush and wait_for_signal wait for it, as do enqueues
 * that spill. So no thread may be ended there: nothing in it is a cancellation point, but a thread
 * must not be cancelled asynchronously, nor leave by longjmp from a signal handler.
 *
 * Thread-safe, unless a function says otherwise. pb_mailbox_enqueue, pb_waker_wake,
 * pb_mailbox_is_signalled and pb_mailbox_is_closed are lock-free, and may be called from a signal
 * handler (they may change errno), but for three cases in which they may block: an enqueue that
 * spills, a custom memory whose notify does, and a memory that was converted to shared while it had
 * the mailbox. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_MAILBOX_H
#define PB_MAILBOX_H

#include "mailbox_layout.h"
#include "memory.h"
#include "status.h"

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pb_mailbox;
struct pb_waker;

/* What an enqueue does when the ring is full (R33). */
enum pb_mailbox_full {
    PB_MAILBOX_REJECT, /* PB_FULL */
    PB_MAILBOX_SPILL   /* keep it on the host's side, in order, until pb_mailbox_flush */
};

struct pb_mailbox_config {
    /* A shared one is retained; any other, also a custom one that cannot be, must stay until
     * the mailbox is closed. */
    struct pb_memory *memory;
    uint32_t offset;       /* of the region in the memory; a multiple of 4 */
    uint32_t capacity;     /* slots: a power of two up to 32,768; 0: the published 256 */
    uint32_t first_cursor; /* where head and tail start counting; 0 is usual (R35) */
    enum pb_mailbox_full full;
    uint32_t spill_max;                   /* ids that may be spilled; more is PB_FULL */
    const struct pb_allocator *allocator; /* NULL: pb_allocator_libc */
};

/* Checks the region against the memory's size (R38) and initialises its words, whatever they held.
 * *mailbox is set only on PB_OK; the caller owns one reference.
 * PB_MISALIGNED, PB_OUT_OF_BOUNDS: the region. PB_INVALID: capacity, full. PB_NO_MEMORY.
 * PB_IN_USE: a part of the region is another mailbox's that is open (R44): close that one first.
 * One that only wakers keep open, since its owner has released it, is closed here, as by
 * pb_mailbox_close.
 * Nothing may move the memory meanwhile, not even pb_mailbox_grow of another mailbox in it.
 * A custom memory that cannot be retained is notified while others are kept from publishing: its
 * notify must not call what may block. */
enum pb_status pb_mailbox_create(const struct pb_mailbox_config *config,
                                 struct pb_mailbox **mailbox);

/* Gives up the caller's reference; NULL is fine. The last one (wakers hold one each) closes the
 * mailbox and frees it: a mailbox with wakers stays open, until they go or another one is created
 * there. Threads that use the caller's reference must be done: close, wait for those
 * in pb_mailbox_wait_for_signal to return, then release. */
void pb_mailbox_release(struct pb_mailbox *mailbox);

/* Hands one task id to the guest and wakes it when it is parked. An id that was accepted (PB_OK) is
 * delivered exactly once, those of one thread in order (R30, R32). It may be published a little
 * later, by another thread: the one that publishes at the moment, or one that reserved a place
 * before and has not filled it yet (R45). Whatever the guest has written into its words, nothing
 * outside of the region changes (R38).
 * PB_INVALID: id is 0, or wider than 32 bits; checked before anything is written.
 * PB_FULL: the ring, and the spill where there is one, is full. The ring may look full although the
 * guest has just drained it, while another thread publishes or holds the mailbox: try again; where
 * ids spill one may then spill early. PB_CLOSED. */
enum pb_status pb_mailbox_enqueue(struct pb_mailbox *mailbox, uint64_t id);

/* Moves spilled ids into the ring as far as they fit; *left is how many are still on the host's
 * side (may be NULL). PB_CLOSED: close has dropped them, and told how many; *left is 0. */
enum pb_status pb_mailbox_flush(struct pb_mailbox *mailbox, uint32_t *left);

/* True when the guest has been signalled and has not drained yet; false once closed. True also
 * where it cannot be told: another thread publishes at this moment, looks likewise, or holds the
 * mailbox.
 */
bool pb_mailbox_is_signalled(struct pb_mailbox *mailbox);

/* For a guest that parks by returning to the host: flushes, then blocks until it is signalled.
 * PB_OK: run the guest. PB_CLOSED. PB_TIMED_OUT: timeout_ns passed (negative: never). */
enum pb_status pb_mailbox_wait_for_signal(struct pb_mailbox *mailbox, int64_t timeout_ns);

/* Keeps the host from the guest's words (R37): hold, do to the memory what must not meet a write,
 * unhold, which reads the memory again. That is everything that moves, copies (pb_memory_copy),
 * resets or converts (pb_memory_to_shared) an unshared memory: beside a write even a copy could
 * lose an id. Where several mailboxes lie in it, hold each, the one at the lowest offset first. (A
 * reset wipes the region: close the mailbox and create a new one then.) Enqueues of other threads
 * are accepted meanwhile as long as the ring is known to have room, and published by unhold; those
 * that spill, and the other functions, block; the holder must not call those. unhold is PB_OK, also
 * of a closed mailbox, or PB_OUT_OF_BOUNDS when the region is no longer inside of the memory: the
 * mailbox is closed then, without a write; pb_mailbox_close still tells how many ids were spilled
 * or waited to be published. */
void pb_mailbox_hold(struct pb_mailbox *mailbox);
enum pb_status pb_mailbox_unhold(struct pb_mailbox *mailbox);

/* pb_memory_grow between hold and unhold, of all mailboxes of the memory where it may move.
 * PB_CLOSED: nothing was done, the memory may be gone. */
enum pb_status pb_mailbox_grow(struct pb_mailbox *mailbox, uint32_t delta_pages,
                               uint32_t *old_pages);

/* After it returns the host writes nothing more into guest memory; parked consumers wake and see
 * closed; later enqueues are PB_CLOSED. Ids in the ring may still be drained by the guest; spilled
 * ones are dropped: *dropped is how many (may be NULL). Twice is harmless (R36). */
void pb_mailbox_close(struct pb_mailbox *mailbox, uint32_t *dropped);
/* True once all that close writes has been written, so that the memory may go. */
bool pb_mailbox_is_closed(struct pb_mailbox *mailbox);

/* A waker: a task id and a reference to its mailbox, to be handed to whatever completes later.
 * *waker is set only on PB_OK; the caller owns one reference, and gives it up by pb_waker_release.
 * PB_INVALID: id is 0, or wider than 32 bits. PB_NO_MEMORY. A closed mailbox is no error: the wake
 * is. */
enum pb_status pb_waker_create(struct pb_mailbox *mailbox, uint64_t id, struct pb_waker **waker);
/* One more reference; returns its argument. */
struct pb_waker *pb_waker_retain(struct pb_waker *waker);
/* pb_mailbox_enqueue of its id; the waker stays good. */
enum pb_status pb_waker_wake(struct pb_waker *waker);
/* One reference less; NULL is fine. */
void pb_waker_release(struct pb_waker *waker);

#ifdef __cplusplus
}
#endif

#endif
