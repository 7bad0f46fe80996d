/* guest.c: the guest's side of a mailbox: drain and park (R30, R31, R34 to R36). */
/* SPDX-License-Identifier: MIT */
#include "guest.h"

#include "orders.h"

/* Without it LLVM makes a plain load and store of each read-modify-write, and the host's bits that
 * come between the two are lost. */
#if defined(__wasm__) && !defined(__wasm_atomics__)
#error "compile with -matomics, for an unshared memory, too: host threads change the same words"
#endif

uint32_t pb_guest_drain(struct pb_mailbox_words *mailbox, void (*take)(void *context, uint32_t id),
                        void *context) {
    /* First the signal, then the tail: what is enqueued after this look signals anew (R34). */
    atomic_fetch_and_explicit(&mailbox->flag, ~PB_MAILBOX_SIGNALLED, PB_ORDER_MAILBOX_FLAG_CLEAR);
    uint32_t capacity = atomic_load_explicit(&mailbox->capacity, PB_ORDER_MAILBOX_CAPACITY);
    uint32_t head = atomic_load_explicit(&mailbox->head, PB_ORDER_MAILBOX_HEAD_OWN);
    uint32_t tail = atomic_load_explicit(&mailbox->tail, PB_ORDER_MAILBOX_TAIL_SEE);
    uint32_t count = tail - head;
    if (count == 0) {
        return 0;
    }
    count =
        count < capacity ? count : capacity; /* never needed, unless the guest broke its words */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (head + i) & (capacity - 1);
        take(context, atomic_load_explicit(&mailbox->ring[slot], PB_ORDER_MAILBOX_SLOT_READ));
    }
    atomic_store_explicit(&mailbox->head, tail, PB_ORDER_MAILBOX_HEAD_PUBLISH);
    return count;
}

enum pb_park pb_guest_park(struct pb_mailbox_words *mailbox, const struct pb_guest_host *host,
                           int64_t timeout_ns) {
    uint32_t flag = atomic_load_explicit(&mailbox->flag, PB_ORDER_MAILBOX_FLAG_LOOK);
    if (flag & PB_MAILBOX_SIGNALLED) {
        return PB_PARK_READY;
    }
    if (flag & PB_MAILBOX_CLOSED) {
        return PB_PARK_CLOSED;
    }
    if (flag & PB_MAILBOX_SPILLED) {
        host->flush(host->context);
        return PB_PARK_READY;
    }
    int answer = host->wait(host->context, &mailbox->flag, flag, timeout_ns);
    return answer == 2 ? PB_PARK_TIMED_OUT : PB_PARK_READY;
}

#ifdef __wasm__

#define PAGEBOX_IMPORT(name) __attribute__((import_module("pagebox"), import_name(name)))

PAGEBOX_IMPORT("flush") void pb_guest_import_flush(void);
PAGEBOX_IMPORT("park")
int pb_guest_import_park(_Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns);

static void import_flush(void *context) {
    (void)context;
    pb_guest_import_flush();
}

static int import_park(void *context, _Atomic uint32_t *flag, uint32_t expected,
                       int64_t timeout_ns) {
    (void)context;
    return pb_guest_import_park(flag, expected, timeout_ns);
}

const struct pb_guest_host pb_guest_host_imports = {import_park, import_flush, NULL};

static int wait_instruction(void *context, _Atomic uint32_t *flag, uint32_t expected,
                            int64_t timeout_ns) {
    (void)context;
    return __builtin_wasm_memory_atomic_wait32((int *)flag, (int)expected, timeout_ns);
}

const struct pb_guest_host pb_guest_host_shared = {wait_instruction, import_flush, NULL};

#endif
