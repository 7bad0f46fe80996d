/* note.h: what a judge compares, reported to a recorder if there is one. See targets/tape.c. */
#ifndef NOTE_H
#define NOTE_H

#include <stddef.h>
#include <stdint.h>

enum note_kind {
    NOTE_STATUS, /* must: the set of statuses that the last call may answer, 1 << ... */
    NOTE_ANSWER, /* must: the last call's answer */
    NOTE_READ,   /* bytes, count: what the last call must have read */
    NOTE_TAKEN,  /* must: the next id that the last drain must have taken */
    NOTE_AWAKE,  /* a guest that sleeps now would never be woken */
    NOTE_PARKED, /* must: the last park may not have answered that */
    /* Checks of a memory; reported only if they found something. */
    NOTE_SIZE_PAGES,  /* must */
    NOTE_SIZE_BYTES,  /* must */
    NOTE_RECORD,      /* must: the record's length */
    NOTE_TYPE,        /* must: its pages; at: its maximum; count: shared */
    NOTE_WAITERS,     /* must */
    NOTE_BYTES,       /* at, bytes, count */
    NOTE_ZERO,        /* at, count */
    NOTE_UNMAPPED,    /* at: from where the base was; of a memory that is gone */
    NOTE_BASE,        /* the base is where it was when the memory was made */
    NOTE_CLOSED_PAGE, /* at: cannot be read */
    NOTE_OPEN_PAGE,   /* at: can be read */
    NOTE_BUDGET,      /* must: bytes of the budget that are used */
    /* Looks at a mailbox. */
    NOTE_BOX,       /* memory: the mailbox of which the next ones are; not a look */
    NOTE_OPEN,      /* the guest's flag does not say closed */
    NOTE_RING,      /* must: how many ids lie in the ring */
    NOTE_IS_CLOSED, /* must */
    NOTE_FILL,      /* at, count, must: bytes that the judge puts into guest memory; not a look */
    NOTE_FILLED,    /* at, count, must: they are still there */
    NOTE_KEEP,      /* the region as it is now; not a look */
    NOTE_KEPT,      /* it is the same */
    NOTE_POKE,      /* at, count, must: a value that somebody else than the subject writes */
    NOTE_PEEK,      /* at, count: the answer is what is there */
    NOTE_OTHER      /* something that a C program of its own cannot check */
};

struct note {
    enum note_kind kind;
    const char *rule;
    const void *memory; /* the handle; NULL: the mailbox's */
    uint64_t must, at, count;
    const void *bytes;
};

/* NULL if nothing records. Set by one thread, outside of a run. */
extern void (*note_to)(const struct note *note);

static inline void note(struct note told) {
    if (note_to != NULL) {
        note_to(&told);
    }
}

#endif
