/* mailbox_layout.h: the mailbox's words in guest memory, as host and guest both see them.
 *
 * Little-endian 32-bit words. The offsets are an ABI: flag at 4, head at 8, tail at 12, the ring at
 * 16. The host alone writes capacity, tail and the slots, the guest alone writes head; the flag
 * belongs to both and is changed by or and and only. Cursors count modulo 2^32 (R35). */
/* SPDX-License-Identifier: MIT */
#ifndef PB_MAILBOX_LAYOUT_H
#define PB_MAILBOX_LAYOUT_H

#include "atomic.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PB_MAILBOX_CAPACITY 256u /* slots of the published layout */
#define PB_MAILBOX_CAPACITY_MAX 32768u

#define PB_MAILBOX_CAPACITY_OFFSET 0u
#define PB_MAILBOX_FLAG_OFFSET 4u
#define PB_MAILBOX_HEAD_OFFSET 8u
#define PB_MAILBOX_TAIL_OFFSET 12u
#define PB_MAILBOX_RING_OFFSET 16u
#define PB_MAILBOX_SLOT_BYTES 4u

/* Bytes of a region with so many slots: 1,040 for the published 256. */
#define PB_MAILBOX_BYTES(capacity) (PB_MAILBOX_RING_OFFSET + PB_MAILBOX_SLOT_BYTES * (capacity))

/* Bits of the flag word. */
#define PB_MAILBOX_SIGNALLED 1u /* ids may be waiting: drain before you park */
#define PB_MAILBOX_CLOSED 2u    /* the host writes no more; what is in the ring may be drained */
#define PB_MAILBOX_SPILLED 4u   /* the host holds more ids: ask it to flush before you park */

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* the array of unknown length, which C has */
#endif
struct pb_mailbox_words {
    PB_ATOMIC(uint32_t) capacity; /* a power of two */
    PB_ATOMIC(uint32_t) flag;
    PB_ATOMIC(uint32_t) head;   /* next slot to drain */
    PB_ATOMIC(uint32_t) tail;   /* next slot to fill */
    PB_ATOMIC(uint32_t) ring[]; /* capacity of them */
};
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

#ifdef __cplusplus
}
#endif

#endif
