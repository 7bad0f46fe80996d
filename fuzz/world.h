/* world.h: what the parts of an interleaved run share: the memory, the mailbox, and what happened.
 *
 * Nothing here is seen by the engine: threads take turns at the engine's points only, so these
 * structures need no atomics and order nothing. All of it is cleared when a run begins. */
#ifndef WORLD_H
#define WORLD_H

#include "guest.h"
#include "history.h"
#include "interleave.h"
#include "mailbox.h"
#include "memory.h"
#include "subject.h"

enum { GROWS_MAX = 64, SENT_MAX = 128, RING_MAX = 16, ARMED_MAX = 16, NEVER = 0 };

/* A call that shall fail: the nth from when this was armed, of one thread of the engine. */
struct armed {
    int engine_thread;
    enum word_call call;
    enum word_error error;
    uint64_t left; /* 1: the next one; 0: done */
};

/* A successful growth. */
struct grown {
    uint32_t old_pages, delta;
};

/* An enqueue. */
struct sent {
    uint32_t id;
    uint8_t thread;
    bool accepted, taken;
    bool twin;           /* the id was sent more than once: nobody knows which came first */
    uint32_t start, end; /* end: HISTORY_PENDING while it runs */
};

/* A logical thread of the program. */
struct actor {
    uint8_t number;
    int engine_thread;   /* its number there */
    const struct op *op; /* that runs now, NULL between two */
    bool in_wait;        /* blocked by the meaning of its operation, not by a lock */
    bool asleep;    /* has slept in the wait that it is in: its handle is not touched any more */
    bool in_signal; /* ... that one is mailbox_wait_for_signal, or the guest's park */
    bool holds;     /* between mailbox_hold and mailbox_unhold */
    struct pb_memory *handle[OP_MEMORIES];
    struct pb_waker *waker[OP_WAKERS];
    uint32_t waker_id[OP_WAKERS];
    struct pb_waker *reference; /* its share of the mailbox, where a program releases it */
    uint32_t ids, notifies;
};

struct world {
    const struct program *program;
    struct actor actor[OP_THREADS];
    unsigned prefix;     /* operations before the threads begin */
    uint32_t now;        /* counts the starts and ends of operations */
    uint64_t operations; /* that were run */
    bool faulty;         /* calls may fail */
    struct armed armed[ARMED_MAX];
    unsigned arms, armed_until; /* the prefix's before that operation */
    bool finished;              /* all threads have ended */

    const struct subject *subject; /* another than ref/, through its table; NULL: ref/ */
    void *box;                     /* its mailbox */

    /* The memory. NULL root: none. */
    struct pb_memory *root; /* the first thread's handle, outlives all others */
    struct pb_memory_type type;
    bool shared, copied;
    bool destroys;        /* the program destroys handles: who sleeps says so (bed) */
    bool threaded;        /* the threads have begun */
    bool gone;            /* the last handle was destroyed while others were blocked */
    uint64_t gone_bytes;  /* its size then */
    uint32_t waiters_max; /* 0: no limit */
    const uint8_t *base;
    struct event event[HISTORY_EVENTS_MAX];
    unsigned events;
    bool events_lost; /* more than there is room for */
    bool values_lost; /* somebody wrote what is no event */
    struct grown grown[GROWS_MAX];
    unsigned growths;
    uint32_t disable_start, disable_end; /* of the first one that began, that ended; NEVER */
    uint32_t beacon[OP_THREADS];         /* in the engine's eyes: how many notifies each began */
    uint32_t bed[OP_THREADS];            /* in the engine's eyes: that it sleeps */
    uint32_t blocks;                     /* of the allocator, alive */

    /* The mailbox. NULL: none. */
    struct pb_mailbox *mailbox;
    enum word_ground ground;
    struct pb_mailbox_words *words;
    uint32_t offset, capacity, spill_max;
    int guest; /* the thread that is the guest; -1: none */
    bool wild; /* somebody scribbled into the region: deliveries are not checked (R38) */
    bool moved, released, guest_trapped;
    unsigned onlookers; /* waits for close by the guest's other threads, so far */
    struct sent sent[SENT_MAX];
    unsigned sends;
    uint32_t dropped;
    uint32_t close_start, close_end; /* of the first one that began, that ended; NEVER */
    uint32_t closed_words[RING_MAX + 4];
};

extern struct world world;

/* Another's mailbox in place of ref/: interleave_subject.c. */
void subject_meet(const struct subject *subject); /* once, outside of a run */
void subject_set_up(const struct op *op);
void subject_end(void);
const char *subject_at_rest(void);

/* A rule is broken: ends the run. */
_Noreturn void broken(const char *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The next moment. */
uint32_t moment(void);

/* NULL where the run is at rest with everybody where they may be; else the broken rule. */
const char *memory_at_rest(void);
const char *mailbox_at_rest(void);

/* On the first thread: set-up, what each thread needs, and the end. */
void memory_create_first(const struct op *op);
void memory_share(struct actor *a);
void memory_end_thread(struct actor *a);
void memory_end(void);
void mailbox_attach_first(const struct op *op);
void mailbox_share(struct actor *a);
void mailbox_end_thread(struct actor *a);
void mailbox_end(void);

/* Some of guest memory [at, at + bytes) is the mailbox's, also when it is gone. */
bool mailbox_has(uint64_t at, uint64_t bytes);
/* Guest memory [at, at + bytes) is about to be touched by somebody who is not the mailbox: false
 * when it must not be. */
bool mailbox_scribbles(const struct actor *a, uint64_t at, uint64_t bytes);
/* A growth succeeded (R5, R11). */
void memory_grew(uint32_t old_pages, uint32_t delta);

/* One function an operation. */
typedef void actor_operation(struct actor *a, const struct op *op);
actor_operation *memory_operation(uint8_t code);
actor_operation *mailbox_operation(uint8_t code);
actor_operation *subject_operation(uint8_t code);

/* An enqueue begins and ends, the guest takes an id: R30 to R33, R36. NULL: no room to keep it. */
struct sent *mailbox_send_begins(struct actor *a, uint32_t id);
void mailbox_send_ended(struct sent *s, enum pb_status status);
void mailbox_take(void *context, uint32_t id);

extern const struct pb_allocator world_allocator;

#endif
