/* orders.h: the memory order of every atomic access of the lock, the waiters and the mailbox.
 *
 * Each name is one site (or a few that do the same thing), used nowhere else; the comment names its
 * partner and what the pair carries over. A port or an experiment supplies another table by
 * defining PB_ORDERS_TABLE as a header's name. Failure orders of compare-exchange are relaxed. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_ORDERS_H
#define PB_ORDERS_H

#include <stdatomic.h>

#ifdef PB_ORDERS_TABLE
#include PB_ORDERS_TABLE
#else

/* ---- lock.c ---- */
/* pairs with LOCK_GIVE: what the last holder wrote */
#define PB_ORDER_LOCK_TAKE memory_order_acquire
/* pairs with LOCK_TAKE */
#define PB_ORDER_LOCK_GIVE memory_order_release
/* who finds the lock taken leaves a request; its holder sees it, and what came before it */
#define PB_ORDER_LOCK_ASK memory_order_acq_rel
#define PB_ORDER_LOCK_SERVE memory_order_acquire

/* ---- waiters.c ---- */
/* A waiter counts itself, then reads the value; a notifier has written the value, then reads the
 * count. Both touch the count by read-modify-write, so one comes first: ARRIVE after LOOK acquires
 * the new value, LOOK after ARRIVE sees the waiter. */
#define PB_ORDER_WAITERS_ARRIVE memory_order_acq_rel
#define PB_ORDER_WAITERS_LOOK memory_order_acq_rel
/* counts one down, under the bucket's lock; a LOOK that reads more only takes the lock for nothing
 */
#define PB_ORDER_WAITERS_LEAVE memory_order_relaxed
/* the guest's word: sequentially consistent by the instruction's definition (R20) */
#define PB_ORDER_WAITERS_VALUE memory_order_seq_cst
/* under the bucket's lock: off the queue, the verdict is to come */
#define PB_ORDER_WAITERS_DETACH memory_order_relaxed
/* pairs with SEE: the last touch of the waiter's record; what the notifier did before is seen */
#define PB_ORDER_WAITERS_VERDICT memory_order_release
/* pairs with VERDICT */
#define PB_ORDER_WAITERS_SEE memory_order_acquire
/* a doorbell's wakes: asked before LOCK_ASK, served after LOCK_SERVE */
#define PB_ORDER_WAITERS_RING memory_order_relaxed
/* the number of waiters, a limit only: carries nothing (R28) */
#define PB_ORDER_WAITERS_COUNT memory_order_relaxed
/* the same count asked anew before a refusal. Compilers make a load, which may be behind the times,
 * of adding 0 in a weaker order */
#define PB_ORDER_WAITERS_RECOUNT memory_order_acq_rel
/* The disabled mark: written before each bucket's lock is taken, read under it, so no wait is left
 * behind. Sequentially consistent, so that once one wait has been refused, later ones are, in
 * whatever bucket (R29). */
#define PB_ORDER_WAITERS_DISABLE memory_order_seq_cst

/* ---- mailbox.c (host) and guest.c ---- */
/* the id itself: published by TAIL_PUBLISH, taken after TAIL_SEE */
#define PB_ORDER_MAILBOX_SLOT_WRITE memory_order_relaxed
#define PB_ORDER_MAILBOX_SLOT_READ memory_order_relaxed
/* pairs with TAIL_SEE: the slots below the new tail are full (R31) */
#define PB_ORDER_MAILBOX_TAIL_PUBLISH memory_order_release
/* pairs with TAIL_PUBLISH */
#define PB_ORDER_MAILBOX_TAIL_SEE memory_order_acquire
/* the guest's own cursor, read by itself */
#define PB_ORDER_MAILBOX_HEAD_OWN memory_order_relaxed
/* pairs with HEAD_SEE: the slots below the new head have been read and may be filled again (R33) */
#define PB_ORDER_MAILBOX_HEAD_PUBLISH memory_order_release
/* pairs with HEAD_PUBLISH */
#define PB_ORDER_MAILBOX_HEAD_SEE memory_order_acquire
/* pairs with FLAG_CLEAR and FLAG_LOOK: who sees the signal sees the tail behind it (R34) */
#define PB_ORDER_MAILBOX_FLAG_SIGNAL memory_order_release
/* pairs with FLAG_SIGNAL: a signal that is cleared has its ids drained now */
#define PB_ORDER_MAILBOX_FLAG_CLEAR memory_order_acquire
/* pairs with FLAG_SIGNAL */
#define PB_ORDER_MAILBOX_FLAG_LOOK memory_order_acquire
/* the region's words as pb_mailbox_create leaves them: the guest is started, or told, afterwards */
#define PB_ORDER_MAILBOX_CREATE memory_order_relaxed
/* the region's capacity, constant from then on */
#define PB_ORDER_MAILBOX_CAPACITY memory_order_relaxed
/* whether the owner is gone: who must know has been told by other means, or is refused */
#define PB_ORDER_MAILBOX_OWNER memory_order_relaxed
/* Host side, the mailbox's state. A first look that a compare-exchange, or another look, checks. */
#define PB_ORDER_MAILBOX_STATE_LOOK memory_order_relaxed
/* the state as a publisher may have left it: a compare-exchange checks it */
#define PB_ORDER_MAILBOX_GUESS memory_order_relaxed
/* a place, and the role where it is free: pairs with ROLE_GIVE */
#define PB_ORDER_MAILBOX_RESERVE memory_order_acquire
/* the role, to look at the flag: pairs with ROLE_GIVE */
#define PB_ORDER_MAILBOX_ROLE_TAKE memory_order_acquire
/* the role, or the mark of who waits for it: pairs with ROLE_GIVE, both ways */
#define PB_ORDER_MAILBOX_ROLE_WAIT memory_order_acq_rel
/* a late slot was filled; the role where it is free: pairs with ROLE_GIVE, both ways */
#define PB_ORDER_MAILBOX_TELL memory_order_acq_rel
/* by the publisher, who sees what TELL and ROLE_WAIT brought, and shows the next one all it did */
#define PB_ORDER_MAILBOX_ROLE_GIVE memory_order_acq_rel
/* by the publisher to whom nobody has brought anything: the next one sees all it did */
#define PB_ORDER_MAILBOX_ROLE_GIVE_AT_ONCE memory_order_release
/* the publisher's own changes while it has the role */
#define PB_ORDER_MAILBOX_STATE_OWN memory_order_relaxed
/* the role handed over: TURN_TAKE acquires what the one before did. Read by the lock's holder, who
 * alone is handed it. */
#define PB_ORDER_MAILBOX_TURN_GIVE memory_order_release
#define PB_ORDER_MAILBOX_TURN_TAKE memory_order_acquire
#define PB_ORDER_MAILBOX_TURN_OWN memory_order_relaxed
/* close has written all that it writes: CLOSED_SEE acquires it */
#define PB_ORDER_MAILBOX_CLOSED_TELL memory_order_release
#define PB_ORDER_MAILBOX_CLOSED_SEE memory_order_acquire
/* the host's slots: an id is left for the publisher, which takes it with what was done before. Who
 * finds its slot dead sees the close: its next call says closed. */
#define PB_ORDER_MAILBOX_SLOT_LEAVE memory_order_acq_rel
#define PB_ORDER_MAILBOX_SLOT_TAKE memory_order_acquire
/* the same by close, from all slots; pairs with SLOT_LEAVE, both ways */
#define PB_ORDER_MAILBOX_SLOT_KILL memory_order_acq_rel
/* late: carries nothing, the owner's TELL does */
#define PB_ORDER_MAILBOX_SLOT_MARK memory_order_relaxed
/* by the publisher: emptied, before ROOM_TELL; or its own id, before ROLE_GIVE */
#define PB_ORDER_MAILBOX_SLOT_OWN memory_order_relaxed
/* room: the slots below are empty again */
#define PB_ORDER_MAILBOX_ROOM_TELL memory_order_release
#define PB_ORDER_MAILBOX_ROOM_SEE memory_order_acquire
#define PB_ORDER_MAILBOX_ROOM_OWN memory_order_relaxed
/* A sleeper of the host reads the bell, counts itself, then looks for news in the role; a ringer
 * has brought news in the role, then reads the count. Who has the role later sees what the other
 * did before its own: the role carries it, these need no order. */
#define PB_ORDER_MAILBOX_SLEEPER_COUNT memory_order_relaxed
#define PB_ORDER_MAILBOX_SLEEPER_LOOK memory_order_relaxed
/* only ever beside a sleeper: changed before the wake, compared by the wait */
#define PB_ORDER_MAILBOX_BELL_RING memory_order_relaxed
#define PB_ORDER_MAILBOX_BELL_READ memory_order_relaxed

/* ---- reference counts: linear.c, mailbox.c, region_image.c, region_pool.c ---- */
/* one more: the caller has one already */
#define PB_ORDER_REFERENCE_TAKE memory_order_relaxed
/* how many there are: a compare-exchange checks it */
#define PB_ORDER_REFERENCE_LOOK memory_order_relaxed
/* one less of several: pairs with DROP */
#define PB_ORDER_REFERENCE_LEAVE memory_order_release
/* one less: the last one sees what all the others did before */
#define PB_ORDER_REFERENCE_DROP memory_order_acq_rel

#endif
#endif
