/* sequence.h: the judge of calls that are made one after another: what each may answer, and what
 * the memory or the mailbox must be afterwards.
 *
 * It sees calls (call.h), what a subject promises and what somebody has looked at (struct
 * memory_view, struct mailbox_view), and calls nobody. Functions return NULL or the name of the
 * broken rule, static. Where a run has twins, two sides of one memory, both must agree with the
 * model. One judge a run, one thread. */
#ifndef SEQUENCE_H
#define SEQUENCE_H

#include "call.h"
#include "model.h"

#define SIDES 2u /* a memory and its twin */

/* What a call may answer if a system call or allocation inside it failed: a set of statuses. */
#define STATUS_BIT(status) (1u << SUBJECT_##status)
#define STATUS_WANT (STATUS_BIT(NO_MEMORY) | STATUS_BIT(SYSTEM))

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* A memory as it was looked at. */
struct memory_view {
    uint64_t size_pages, size_bytes;
    const struct subject_record *record;
    const uint8_t *base; /* as the record says */
    uint64_t length_bytes;
    bool has_type, has_style, has_waiters, has_reservation, has_owner, has_rung;
    struct subject_owner owner; /* of the base; no record: nobody's */
    struct subject_type type;
    struct subject_style style;
    uint32_t waiters;
    unsigned rung;
    const uint8_t *reserved;
    uint64_t reserved_bytes;
    bool handles_agree; /* all of its handles tell one size */
    /* NULL if the bytes are at `base`. Otherwise they have no address and no record, and are read
     * by this function: it returns a copy that the next call overwrites, or NULL if it is refused.
     */
    const uint8_t *(*peek)(void *memory, uint64_t at, uint64_t count);
    void *memory;
};

struct judged_side {
    bool alive;
    const struct subject_strategy *strategy;
    const uint8_t *base;          /* as last judged: R10, and where the bytes are */
    struct subject_record caller; /* the caller's record, where it was asked for */
    struct memory_view view;
    bool did;  /* the last operation succeeded on it */
    bool drop; /* it failed in a permitted way and its twin did not: the runner drops it */
    bool refused;
    bool failed;   /* a call below the last one was made to fail */
    unsigned pins; /* parts that the host has pinned (R42) */
};

/* A memory: what it must be, and its sides. */
struct judged {
    unsigned handles; /* 0: unused */
    struct model_memory model;
    bool caller_record, populate, huge_pages;
    bool failed;  /* a growth has failed; repeating it can succeed (R6) */
    bool related; /* it was copied from or to another memory, whose bytes may show in it by mistake
                   */
    uint32_t reserve_pages_max;
    uint32_t most_pages; /* that it ever had, or that a growth tried to give it */
    bool budgeted;       /* R40 */
    bool is_short;       /* made on the last rung: its reservation may end anywhere (R43) */
    unsigned rung;       /* on which it was made, or its source */
    struct judged_side side[SIDES];
};

#define EACH_SIDE(m, i)                  \
    for (unsigned i = 0; i < SIDES; i++) \
        if ((m)->side[i].alive)

struct sequence {
    const struct subject_memory *memory;   /* what they promise; NULL: none */
    const struct subject_mailbox *mailbox; /* their functions are not called */
    uint64_t host_page_bytes;
    unsigned want;                    /* what a call may answer below which one failed */
    uint64_t budget_max, budget_used; /* bytes of all budgeted memories (R40) */
    const char *crash_rule;           /* what a crash now would break; NULL: the operation's own */
    bool unseen;                      /* bytes are not looked at before the end */
    uint32_t dirty[160]; /* blocks that any memory ever wrote: where an old byte would show (R15) */
    unsigned dirties;
};

void sequence_begin(struct sequence *q, const struct subject *subject, uint64_t host_page_bytes);

/* A request for a memory, R1 and R3. */
struct creation {
    struct subject_memory_config config;
    struct subject_style style; /* that it must get */
    unsigned errors;            /* statuses of which one must come: the type is wrong, */
    unsigned style_errors;      /* the style is wrong */
    unsigned maybe;             /* statuses that may come as well */
    bool sure;                  /* small enough that it must succeed if no call fails */
};
void sequence_request(const struct sequence *q, struct creation *c);
/* Pages that a memory of that strategy may ever have to hold. */
uint32_t sequence_capacity(const struct creation *c, const struct subject_strategy *strategy);
const char *sequence_created(struct sequence *q, struct creation *c,
                             const struct subject_strategy *strategy, enum subject_status got,
                             bool failed);
/* The side was created `rung` rungs down, at most fall_back, and `enough` would have done. The
 * request takes over its style, if that style belongs to the rung (R43). */
const char *sequence_rung(struct sequence *q, struct creation *c, struct judged *m, unsigned rung,
                          const struct subject_style *told, bool failed, unsigned enough,
                          uint32_t halved);
/* Pages that the last rung reserves at least where reservations may have so many bytes: what it
 * asked for, halved until it fits. */
uint32_t sequence_halved(const struct creation *c, const struct subject_strategy *strategy,
                         uint64_t space_bytes);
/* The only call that failed reserved address space, and creation did not fall back to a lower rung.
 */
const char *sequence_gave_up(const struct creation *c, const struct subject_strategy *strategy,
                             enum subject_status got);
/* The first rung that reservations of at most so many bytes are enough for, for sure; one more than
 * it may go down where there is none. */
unsigned sequence_first_rung(const struct creation *c, const struct subject_strategy *strategy,
                             uint64_t space_bytes);
/* A part was pinned, and is at `bytes`. */
const char *sequence_pinned(const struct sequence *q, struct judged *m, unsigned i,
                            const struct call *c, enum subject_status got, const uint8_t *bytes);
/* The budget in use must be the sum of the memories. */
const char *sequence_budget(const struct sequence *q, uint64_t used);
/* The memory that was made, and each side of it. */
void sequence_new(struct sequence *q, struct judged *m, const struct creation *c);
const char *sequence_fresh(struct sequence *q, struct judged *m, unsigned i);

/* Before a call: true when it would pass the checks of its range. */
bool sequence_fits(const struct judged *m, const struct call *c);
/* Before a call: false when it must be left out, because it would block or the model has no room
 * to remember what it writes. */
bool sequence_may(const struct sequence *q, const struct judged *m, const struct call *c);
/* After a call on one side, whose view is fresh where sequence_looks says so. */
bool sequence_looks(uint8_t code);
const char *sequence_answered(struct sequence *q, struct judged *m, unsigned i,
                              const struct call *c);
/* A growth for which reservations of at most so many bytes are enough. */
bool sequence_has_space(const struct judged *m, unsigned i, const struct call *c,
                        uint64_t space_bytes);
/* After the call was made on all sides. The runner drops the sides that have `drop` set then. */
const char *sequence_over(struct sequence *q, struct judged *m, const struct call *c);

/* A copy was made on those sides of `made` that are alive; false: the model has no room. */
bool sequence_copy_begins(const struct judged *source, struct judged *made);
const char *sequence_copied(struct sequence *q, const struct judged *source, struct judged *made,
                            unsigned i);
/* A second handle was made, which the side's view is of. */
const char *sequence_cloned(struct sequence *q, struct judged *m, unsigned i);

/* Bytes of the memory were written by the harness, not by a call. */
void sequence_wrote(struct sequence *q, uint64_t start, uint64_t count);
/* The last handle was destroyed. */
const char *sequence_gone(struct sequence *q, const struct judged *m, unsigned i);
/* At the program's end, before that. */
const char *sequence_last(struct sequence *q, struct judged *m);

/* Pages that the side's reservation holds for sure. */
uint64_t sequence_room(const struct judged *m, unsigned i);

const char *sequence_dropped_segment(const struct subject_segment *segment);

/* ---- Mailbox ----------------------------------------------------------------------------------
 */

/* A mailbox as it was looked at. */
struct mailbox_view {
    struct subject_words *words; /* NULL: it shows no region */
    uint8_t *memory;             /* around the region */
    uint64_t memory_bytes;
    bool has_closed, is_closed;
};

struct judged_box {
    struct model_mailbox model;
    struct subject_mailbox_config config;
    uint32_t capacity;
    uint32_t pages; /* of memory now */
    bool held;
    bool wild; /* a guest has scribbled, so deliveries to it are no longer checked (R38) */
    /* Once a guest has scribbled: the accepted ids, and the furthest head that the host may
     * believe, as cursors modulo 2^32. A head counts only if it lies between the last good head and
     * `accepted`. */
    uint32_t accepted, believed;
    uint32_t *closed; /* the region as close left it (R36) */
    bool has_apron;   /* known bytes lie around it */
    bool replaced;    /* its region is another one's now (R44) */
    bool exact;       /* SUBJECT_EXACT_WORDS */
    struct mailbox_view view;
    const char *broken; /* what was found while the guest ran */
};

const char *sequence_attached(const struct sequence *q, const struct subject_mailbox_config *config,
                              enum subject_status got, bool failed);
/* After one that was accepted. */
void sequence_new_box(const struct sequence *q, struct judged_box *b,
                      const struct subject_mailbox_config *config);
/* An attach in the memory of the first one, which has an owner or wakers (R44). */
const char *sequence_attached_beside(const struct sequence *q, const struct judged_box *first,
                                     bool has_owner, const struct subject_mailbox_config *config,
                                     enum subject_status got, bool failed);
/* True if the region would take a byte of that mailbox, which is open. */
bool sequence_overlaps(const struct judged_box *b, const struct subject_mailbox_config *config);
/* The same where several lie there; in_use: one that its owner keeps overlaps. */
const char *sequence_attached_over(const struct sequence *q,
                                   const struct subject_mailbox_config *config, bool in_use,
                                   enum subject_status got, bool failed);
/* After one that was accepted: the first one is closed where they overlap. */
void sequence_lie_beside(struct judged_box *first, struct judged_box *made);
/* Puts known bytes around the region, which nobody may touch. */
void sequence_lay_apron(struct judged_box *b);

/* R30: the id is one. */
bool sequence_sound_id(const struct sequence *q, uint64_t id);
/* Before waiting for the signal: a timeout that does not block. */
int64_t sequence_signal_timeout(struct judged_box *b, int64_t timeout_ns);
/* After a call: an enqueue (also by a waker), flush, is_signalled, wait_for_signal, move, unhold,
 * grow, close, waker_create; `drain` before and after. */
const char *sequence_box_answered(const struct sequence *q, struct judged_box *b,
                                  const struct call *c);
/* Around a guest's scribble. */
void sequence_scribbles(struct judged_box *b);
void sequence_scribbled(struct judged_box *b);
void sequence_drain_begins(struct judged_box *b);
void sequence_took(struct judged_box *b, uint32_t id);
const char *sequence_drained(struct judged_box *b, uint32_t in_ring, uint32_t taken);
/* True if a guest that goes to sleep now would never be told of the ids in the ring. */
const char *sequence_sleeps(const struct judged_box *b, bool acted);
/* What the guest asks its host for: to sleep on its flag while that is as it was just seen, for as
 * long as it was told. */
const char *sequence_asks(const struct judged_box *b, const _Atomic uint32_t *flag,
                          uint32_t expected, bool same_time);
/* A park that did not sleep, although nothing was there and the host was not asked for spilled ids.
 */
const char *sequence_ready_for_nothing(const struct judged_box *b);
const char *sequence_parked(const struct judged_box *b, enum subject_park got, bool looked);
/* The region and what is around it, after each of the host's calls. */
const char *sequence_region(const struct judged_box *b);
const char *sequence_closed(const struct judged_box *b);
/* The region as it is now is what close left. */
void sequence_keep_closed(struct judged_box *b);
/* Before the mailbox goes, where a guest was hostile: nothing else of its memory was written. */
const char *sequence_box_gone(const struct judged_box *b);

#endif
