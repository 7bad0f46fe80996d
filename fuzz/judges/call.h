/* call.h: one call of a subject: its arguments as the subject gets them, and what it answered.
 *
 * Whatever runs a program, alone or on threads, makes its calls through operations.c; judges look
 * at them. A call knows neither. */
#ifndef CALL_H
#define CALL_H

#include "op.h"
#include "subject.h"

enum { CALL_SEGMENTS = 3, CALL_ROOM_BYTES = 8192, CALL_COUNTED_MAX = 256 };
/* Answers are set to this before the call, so that one that the subject leaves unset is noticed. */
#define CALL_UNSET UINT64_C(0xDEADBEEF)

struct call {
    uint8_t code; /* enum op_code */
    uint8_t thread;

    /* Arguments: those that the operation has. Addresses are absolute. */
    uint64_t size_bytes; /* the memory's when `end` was made a number */
    uint64_t at, from, count;
    uint32_t index, offset; /* at = index + offset */
    unsigned width;
    enum subject_rmw rmw;
    uint64_t value, expected; /* what is written, or added; what is compared with */
    int64_t timeout_ns;
    uint32_t pages;
    const void *data;
    struct subject_segment *segment;
    void *canceller;
    unsigned canceller_of; /* the thread whose canceller it is */
    bool contended;        /* another wait used that canceller while this one ran */
    struct subject_active_segment active[CALL_SEGMENTS];
    uint64_t id;
    bool tries_last_byte; /* of a growth, by a load */

    /* Answers. */
    enum subject_status status;
    uint64_t
        answer; /* the value, the old value or pages, woken, the result, dropped, left, taken */
    bool yes;   /* of a question */
    size_t applied;
    void *made;            /* a new handle */
    uint32_t copied_pages; /* of a copy */
    struct subject_owner owner;
    uint64_t pages_before, pages_after; /* the memory's, around a growth */
    enum subject_status last_byte;      /* after a growth: a load of the last new byte */
    uint8_t *room;                      /* the caller's, of CALL_ROOM_BYTES, for bytes read */

    bool failed;         /* a system call or an allocation inside it was made to fail */
    uint32_t start, end; /* when it began and ended, if threads run at the same time */
    uint64_t took_ns;
};

/* What a status is called, for messages. */
const char *call_status_name(enum subject_status status);

/* ---- One executor an operation: operations.c --------------------------------------------------
 */

/* True if the subject's memory has the operation. False for operations that do not take one
 * memory's handle. */
bool operation_of_memory(const struct subject_memory *m, uint8_t code);
/* True if the operation never has an effect on such memories. */
bool operation_is_idle(const struct subject_memory *m, uint8_t code);

/* Begins a call: its arguments, from the operation and the size of the memory now. `segment`: the
 * data segments of the run, OP_SEGMENTS of them. */
void operation_arguments(struct call *c, const struct op *op, uint64_t size_bytes,
                         struct subject_segment *segment);

/* Makes the call and keeps what it answers. */
void operation_make(const struct subject_memory *m, void *memory, struct call *c);

/* The same for a mailbox, except attach. Drained ids go to `take`, a parked guest's calls to
 * `host`; `context` is the first argument of both. */
struct call_guest {
    void (*take)(void *context, uint32_t id);
    struct subject_guest_host host;
};
bool operation_of_mailbox(const struct subject_mailbox *b, uint8_t code);
/* `handle`: the mailbox's, or the waker's of an operation on one. */
void operation_make_mailbox(const struct subject_mailbox *b, void *handle, struct call *c,
                            const struct call_guest *guest);
/* attach's arguments. */
struct subject_mailbox_config operation_attach(const struct subject_mailbox *b,
                                               const struct op *op);
/* ... and of one in the memory of another, but for `beside`. */
struct subject_mailbox_config operation_attach_beside(const struct subject_mailbox *b,
                                                      const struct op *op,
                                                      const struct subject_mailbox_config *first);
uint64_t operation_region_bytes(uint32_t capacity);

#endif
