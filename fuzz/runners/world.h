/* world.h: what the parts of an interleaved run share: the subject's memory and mailbox, and the
 * threads that use them.
 *
 * The engine sees none of it. Threads switch only inside the engine, so these structures need no
 * atomics. All of it is cleared when a run begins. */
#ifndef WORLD_H
#define WORLD_H

#include "bounds.h"
#include "concurrent.h"
#include "interleave.h"

enum { CROWD_MAX = WAITERS_MOST, TENANTS_MAX = 16, MANY = 126 };

/* A logical thread of the program, or one of a crowd. */
struct actor {
    uint8_t number;
    int engine_thread;   /* its number there */
    const struct op *op; /* that runs now, NULL between two */
    bool in_wait;        /* it is blocked because its operation waits, not by a lock */
    bool asleep;         /* it has slept in its current wait, which no longer uses its handle */
    bool in_signal;      /* ... that one is mailbox_wait_for_signal, or the guest's park */
    bool in_second;      /* ... that one is the second mailbox's guest's park */
    bool holds;          /* between mailbox_hold and mailbox_unhold */
    void *handle[OP_MEMORIES];
    bool is_copy[OP_MEMORIES]; /* the handle in that slot is the copy's */
    bool on_copy;              /* its operation is on the copy */
    uint32_t copy_mark;        /* the mark that it has read */
    struct event *wait;        /* the wait that it is in */
    unsigned waits_by;         /* 1 + the thread whose canceller that wait has; 0: none has it */
    bool contended;            /* another wait had the same canceller meanwhile */
    void *canceller;           /* for its cancellable waits; NULL: the program has none */
    void *pin;                 /* that it holds a part of the memory by; NULL: none */
    const uint8_t *pinned;     /* that part */
    uint64_t pinned_bytes;
    uint64_t size_seen; /* of the memory; it never shrinks */
    void *waker[OP_WAKERS];
    uint32_t waker_id[OP_WAKERS];
    void *beside; /* a mailbox that it has attached in the memory of the first (R44), once */
    uint64_t beside_at, beside_end; /* its region; end 0: it has attached none */
    uint32_t beside_gone;           /* when it was gone, or refused; NEVER: it is not */
    bool stopped;                   /* in the middle of an enqueue, for ever (R45) */
    void *reference;                /* its share of the mailbox, where a program releases it */
    uint32_t ids;
    uint32_t pauses_at; /* at this step of its next operation it pauses; 0: it does not */
};

/* A memory that is created and destroyed, to test the register of owners. */
struct tenant {
    const uint8_t *base;
    uint64_t bytes;
    const struct subject_record *record;
    uint32_t from, to; /* it may exist between these moments; `to` NEVER: it still exists */
    bool unsure;       /* it is moving or being destroyed, so its place may belong to another memory
                          already */
    uint32_t released; /* its place was released, as number `released`, and belongs to nobody; 0: it
                          was not */
    bool grew;         /* by one page */
};

/* An answer of the owner look-up. */
enum { ANSWERS_MAX = 32 };
struct owned {
    const struct subject_record *record;
    const uint8_t *base;
    uint64_t length_bytes;
};

/* Bytes that were touched because an answer permits it, and the rule that a race there breaks. */
enum { TOUCHED_MAX = 32 };
struct touched {
    const void *at;
    uint64_t bytes;
    const char *rule;
};

struct world {
    const struct program *program;
    const struct subject *subject;
    const struct subject_memory *m;
    const struct subject_memory *untold; /* the same, for calls that are not recorded */
    const struct subject_mailbox *b;
    struct actor actor[OP_THREADS];
    const struct bounds *bounds;
    unsigned prefix;      /* operations before the threads begin */
    uint64_t operations;  /* that were run */
    unsigned left_out;    /* operations that did not run, because the judge has no room to remember
                             what they do */
    unsigned armed_until; /* faults of the prefix before this operation have been armed */

    /* The memory. NULL root: none. */
    void *root; /* the first thread's handle; outlives all others, or memory_give_up() */
    const uint8_t *base;
    const struct subject_record *record;
    void *copy; /* made by a thread; others adopt it in their slot copy_slot; NULL: none */
    unsigned copy_slot;
    uint32_t
        copy_mark; /* seen by the engine: how many said that there is a copy, or none by them */
    uint32_t copy_told; /* the mark of the thread that made it, and of those after */
    const uint8_t *copy_base;
    bool cancels; /* the program has waits that can be cancelled */
    bool copied;
    unsigned copies_to[OP_THREADS]; /* slots that each makes copies in: bit n, slot n */
    unsigned crowded;
    unsigned crowd_spawned;
    uint32_t crowd_mark; /* seen by the engine: how many of the crowd sleep or have ended */
    int crowd_running[CROWD_MAX];
    struct tenant tenant[TENANTS_MAX];
    unsigned tenants;                /* created so far */
    unsigned making;                 /* being created now */
    struct owned owned[ANSWERS_MAX]; /* what threads were told of the owners of tenants' bytes, */
    unsigned answers;                /* so often; the first are kept */
    void *early, *early_neighbour; /* made before the threads, see memory_early_first; NULL: none */
    struct tenant *early_tenant;   /* early; NULL: it is gone */
    bool wants_early, wants_many;
    unsigned many_made;        /* memories of no pages, made before the threads */
    unsigned tenancies;        /* operations of the program that create some */
    enum word_strategy pooled; /* whose pool, or image, is there; reserve: none is */
    bool hears;                /* the program asks who owns what was given back */
    uint32_t released_mark;    /* seen by the engine: how many places were released */
    uint64_t budget_bytes;     /* of all tenants (R40); 0: they have none */
    uint64_t granted_bytes;    /* that living memories have, as far as is known */
    struct claims claims;
    bool root_limited; /* the memory that all share is one of them */
    bool destroys; /* the program destroys handles, so threads that go to sleep say so (asleep_mark)
                    */
    bool grows;    /* the program grows the memory */
    bool places_mailbox;              /* ... and has a mailbox in it */
    bool threaded;                    /* the threads have begun */
    bool gone;                        /* the last handle was destroyed while others were blocked */
    uint32_t asleep_mark[OP_THREADS]; /* seen by the engine: that it sleeps */

    /* The mailbox. NULL box: none. */
    void *box;
    struct subject_words *words; /* its region now; NULL: it shows none */
    uint64_t memory_bytes;       /* of the memory around them */
    enum subject_ground ground;
    bool in_root;        /* the region lies in the memory above */
    bool awaits_signal;  /* the program has a host thread that sleeps */
    bool touches_region; /* the program writes, copies or moves the region by other calls, or puts
                            another mailbox there */
    bool releases;       /* the program releases the mailbox's handle */
    void *anchor;        /* one that lies far from it, and stays; NULL: there is none */
    void *neighbour;     /* one in an unshared memory, which no thread has taken yet; NULL: none */
    bool neighbours;     /* there is, or was, one */
    bool attaches;       /* the program attaches others while threads run */
    bool beside_shifted; /* it shares bytes with the first one, and uses them for something else */
    void *second;        /* the second one, if it was attached before the threads began */
    uint64_t second_at, second_end; /* its region */
    int second_guest;               /* the thread that is its guest; -1: none */
    bool stopped;                   /* a producer has stopped for ever */
    bool scribbles;                 /* the program has a hostile guest */
    uint32_t offset, capacity;      /* of the first one's region */
    void *waker[OP_WAKERS];         /* made before the threads, which have clones */
    uint32_t waker_id[OP_WAKERS];
    uint32_t
        payload[SENT_MAX]; /* in the engine's eyes: what a producer leaves for who takes its id */

    uint32_t deed[DEEDS_MAX]; /* in the engine's eyes: what a thread did before that call */
    struct touched touched[TOUCHED_MAX];
    unsigned touches; /* so far; the newest of them are kept */

    /* Large, and cleared only where they were used. */
    struct concurrent judge, copy_judge;
    struct actor crowd[CROWD_MAX]; /* waiters of memory_wait_crowd */
    void *many[MANY];              /* the first many_made of them are there */
};

extern struct world world;

/* Ends the run when it is a rule's name, with the judge's words. */
void world_check(const char *rule);

/* On the first thread: set-up, what each thread needs, and the end. */
void memory_budget_first(void);
/* Before the threads of a program with that tenant; false: it needs no pool. */
bool memory_pool_first(const struct op *op);
/* For programs with a tenant that replaces an early one: interleave_tenants.c. */
bool memory_wants_early(const struct op *op);
void memory_early_first(void);
void memory_early_end(void);
/* For programs with a tenant among many. */
bool memory_wants_many(const struct op *op);
void memory_many_first(void);
void memory_many_end(void);
void memory_create_first(const struct op *op);
/* memory_tenant and memory_owner_of_tenant: interleave_tenants.c. */
bool memory_tenants(const struct op *op);
/* Of any memory: its base, NULL where it shows none; the strategy of that name, or the one that
 * stands in for it. */
const uint8_t *memory_base(void *memory);
unsigned memory_strategy(uint64_t word);
/* The memories that are alive keep together to their budget. */
void memory_granted(uint64_t bytes);
/* Address space goes: nobody may hold a part of it (R42). */
void memory_check_pins(const void *base, uint64_t bytes);
void memory_share(struct actor *a);
void memory_end_thread(struct actor *a);
void memory_give_up(void);
void memory_end(void);
void mailbox_attach_first(const struct op *op);
void mailbox_anchor(void);
/* Wakers that were made before the threads: each gets a clone of them by mailbox_share. */
void mailbox_keep_wakers(struct actor *a);
void mailbox_drop_wakers(void);
void mailbox_share(struct actor *a);
void mailbox_end_thread(struct actor *a);
void mailbox_end(void);

/* What answers permit: interleave_answers.c. A call begins, by which others may learn what its
 * thread did before: by its number (concurrent_deed). */
void answer_deed(unsigned number);
/* It has ended: whatever its answer proves to have been done is looked at. */
void answer_given(const struct call *c, const struct event *event);
/* The mailbox has answered that it is closed, or held: who was told may touch its region. */
void answer_closed(void);
void answer_held(const struct actor *a);
/* Plain accesses, as compiled code makes them: the engine finds races of them, by that rule. */
void answer_reads(const char *rule, const void *at, uint64_t bytes);
void answer_writes(const char *rule, void *at, uint64_t bytes);
/* A relaxed store, which a copy may meet. */
void answer_stores(const char *rule, void *at, uint32_t value);
/* The rule that a finding of the engine's breaks, if it is about such an access; NULL: it is not.
 */
const char *answer_broken(char *detail, size_t bytes);

/* Runs one operation of a thread; false: there is none of that code. */
bool memory_operation(struct actor *a, const struct op *op);
bool mailbox_operation(struct actor *a, const struct op *op);
bool is_of_mailbox(uint8_t code);
bool is_cancellable(uint8_t code);
/* Makes a canceller for each thread, if the program has waits that use one. */
void memory_make_cancellers(void);
/* Waits for the threads of crowds to end. */
void memory_join_crowd(void);
/* Everybody is blocked: the rule that this breaks, or NULL. */
const char *mailbox_at_rest(void);
/* The running thread is about to sleep: not inside of an enqueue that needs no lock (R45). */
void mailbox_sleeps(void);

#endif
