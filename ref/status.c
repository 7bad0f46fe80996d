/* status.c: names and messages of the status values, one table. */
/* SPDX-License-Identifier: MIT */
#include "status.h"

static const struct {
    const char *name, *message;
} statuses[PB_STATUS_COUNT] = {
    [PB_OK] = {"PB_OK", "success"},
    [PB_INVALID] = {"PB_INVALID", "an argument is outside its documented domain"},
    [PB_LIMIT] = {"PB_LIMIT", "the size would pass the maximum of the type or of the format"},
    [PB_NO_MEMORY] = {"PB_NO_MEMORY", "out of memory, address space or reservation"},
    [PB_NO_DESCRIPTORS] = {"PB_NO_DESCRIPTORS", "out of file descriptors"},
    [PB_UNSUPPORTED] = {"PB_UNSUPPORTED", "not supported by this strategy, kernel or memory"},
    [PB_NOT_SHARED] = {"PB_NOT_SHARED", "the operation needs a shared memory"},
    [PB_OUT_OF_BOUNDS] = {"PB_OUT_OF_BOUNDS", "out of bounds memory access"},
    [PB_MISALIGNED] = {"PB_MISALIGNED", "unaligned atomic access"},
    [PB_TOO_MANY_WAITERS] = {"PB_TOO_MANY_WAITERS", "too many waiters"},
    [PB_DISABLED] = {"PB_DISABLED", "atomics are disabled on this memory"},
    [PB_FULL] = {"PB_FULL", "the mailbox is full"},
    [PB_CLOSED] = {"PB_CLOSED", "the mailbox is closed"},
    [PB_TIMED_OUT] = {"PB_TIMED_OUT", "the time was up"},
    [PB_INTERRUPTED] = {"PB_INTERRUPTED", "a signal or a busy system came in between, try again"},
    [PB_SYSTEM] = {"PB_SYSTEM", "the operating system refused"},
    [PB_REFUSED] = {"PB_REFUSED", "the limiter of this memory refused"},
    [PB_CANCELLED] = {"PB_CANCELLED", "the wait was cancelled"},
    [PB_PINNED] = {"PB_PINNED", "the host holds bytes of this memory"},
    [PB_IN_USE] = {"PB_IN_USE", "another open mailbox has a part of the region"},
};

static int is_status(enum pb_status status) {
    return (unsigned)status < PB_STATUS_COUNT;
}

const char *pb_status_name(enum pb_status status) {
    return is_status(status) ? statuses[status].name : "PB_?";
}

const char *pb_status_message(enum pb_status status) {
    return is_status(status) ? statuses[status].message : "not a status";
}
