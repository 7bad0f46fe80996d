/* concurrent.h: the judge of calls that threads make at the same time.
 *
 * It sees each call twice, when it begins and when it has ended, in the order in which that really
 * happened, and calls nobody. A function that returns a rule's name has found it broken; why, in
 * words, is concurrent_why(). One judge a run. Moments (`now`) count the starts and ends. */
#ifndef CONCURRENT_H
#define CONCURRENT_H

#include "call.h"
#include "history.h"

enum { GROWS_MAX = 64, SENT_MAX = 320, RING_MAX = 16, HEADS_MAX = 16, PLACES_MAX = 16, NEVER = 0 };
/* Calls of which others may learn: events, growths, one cancel of each thread's canceller. */
enum { DEEDS_MAX = HISTORY_EVENTS_MAX + GROWS_MAX + OP_THREADS };

/* A successful growth. */
struct grown {
    uint32_t old_pages, delta;
};

/* A growth that was asked for at that moment, and from where to where it went; 0, 0: it failed. */
struct asked {
    uint32_t moment, old_pages, top_pages;
    uint32_t claimed; /* of the budget */
    bool ended;
};

/* An enqueue. */
struct sent {
    uint32_t id;
    uint8_t thread;
    bool accepted, taken;
    bool twin;           /* the id was sent more than once, so their order is unknown */
    uint32_t start, end; /* end: HISTORY_PENDING while it runs */
};

/* Where memory was accessed as a number of that width. */
struct place {
    uint64_t address;
    unsigned width;
};

/* A write as a load could meet it. one: value is written as a whole. changes: made of what was
 * there and value, as a whole. Neither: a run of bytes. */
struct put {
    uint64_t address, bytes, value;
    bool one, changes, plain;
    enum event_write how; /* it changes */
};

/* A budget that memories share, and what they have asked of it: what was granted, and all that may
 * be. Its moments are the numbers of its changes. */
enum { CLAIMS_MAX = 192, REFUSALS_MAX = 32 };
struct claims {
    uint64_t budget_bytes, now_bytes, most_bytes;
    uint32_t now;
    uint64_t bytes[CLAIMS_MAX]; /* that were claimed from each moment on */
    unsigned refusals;
    struct refusal {
        uint64_t bytes; /* that were claimed from one moment to the other, and not granted */
        uint32_t from, to;
    } refusal[REFUSALS_MAX];
};

/* An atomic load that the guest made, or a wait did. */
struct seen {
    bool waits;
    uint8_t thread;
    uint64_t address, value;
    unsigned width;
    uint32_t start, end;
};

struct concurrent {
    uint32_t now;
    bool faulty; /* calls may fail */
    /* A run of a search, which shows one order only of what its graph leaves unordered: that a
     * moment of one thread was before one of another says nothing. */
    bool searched;
    bool scarce;           /* other memories use address space too, so a copy may fail */
    struct claims *claims; /* the memories of the run are limited; NULL: they are not */

    /* The memory that all share. */
    bool has_memory;
    uint32_t min_pages, max_pages;
    uint32_t reserve_pages; /* growth past so many may find no memory; 0: it may not */
    uint32_t waiters_max;   /* 0: no limit */
    bool whole_words;       /* aligned plain accesses of 8 bytes are whole, too */
    unsigned events;
    bool events_lost; /* more than there is room for */
    bool values_lost; /* something was written that the history does not record */
    unsigned sights;
    unsigned puts;
    bool puts_unknown; /* it did not begin as zeros, or more was written than there is room for */
    unsigned places;
    bool mixed; /* some were accessed at two widths, or as runs of bytes */
    unsigned growths, asks;
    bool grows_otherwise;                /* by the mailbox that lies in it, too */
    uint32_t disable_start, disable_end; /* of the first one that began, that ended; NEVER */
    uint32_t notifies[OP_THREADS];       /* that each began */
    uint32_t cancel_start[OP_THREADS], cancel_end[OP_THREADS]; /* of each one's canceller; NEVER */
    uint32_t cancels[OP_THREADS];                              /* how many of it have begun */

    /* The mailbox. */
    bool has_mailbox, has_region;
    bool tells_full, released;
    uint32_t offset, slots; /* the region, where guest memory shows one */
    uint32_t capacity, spill_max;
    int guest;        /* the thread that is the guest; -1: none */
    bool spills;      /* ids may be kept on the host's side, even if none fits there */
    unsigned besides; /* others that are there, or are being put there */
    /* Deliveries are not checked: somebody has scribbled into the region (R38), or another mailbox
     * is there, or is being put there (R44). */
    bool wild, scribbled;
    /* Heads that a hostile guest may have shown: the host may believe one that lies between the
     * last that it believed and the tail, and no other (R38). */
    uint32_t first_cursor, head[HEADS_MAX], heads;
    uint32_t drained;   /* so many ids had been sent when a drain last ended */
    bool drains;        /* one is under way */
    bool heads_unknown; /* somebody else wrote there */
    bool moved, guest_trapped;
    unsigned onlookers; /* waits for close by the guest's other threads, so far */
    unsigned sends;
    const struct sent *took; /* that the guest took last; NULL: nobody knows which it was */
    uint32_t dropped;
    uint32_t close_start, close_end; /* of the first one that began, that ended; NEVER */
    bool lost;                       /* its pages are gone, and with them its region */
    bool half_lost;    /* what should have taken them has failed: anything may be there */
    bool closed_first; /* somebody else had begun to close it, or it was lost before */
    bool kept_closed;
    bool told_closed;     /* the guest has parked and was told that it is closed, */
    uint32_t closed_tail; /* with this tail */
    uint32_t told;        /* threads that know: bit n, thread n */
    uint32_t closed_words[RING_MAX + 4];
    /* Of the second mailbox: ids that threads began to enqueue, that were accepted, that its guest
     * took. */
    uint32_t second_begun, second_accepted, second_taken;
    bool has_second;
    uint32_t second_offset; /* of its region: nobody else writes or waits there */
    bool second_parks;      /* its guest has, and so was a waiter of the memory, too */

    /* Valid up to the counts above; the rest is never read, nor cleared. */
    struct event event[HISTORY_EVENTS_MAX];
    struct seen seen[HISTORY_EVENTS_MAX];
    struct put put[HISTORY_EVENTS_MAX];
    struct place place[PLACES_MAX];
    struct grown grown[GROWS_MAX];
    struct asked asked[GROWS_MAX];
    struct sent sent[SENT_MAX];
};

/* Begins with nothing. */
void concurrent_clear(struct concurrent *o);

/* What the last finding was, in words. */
const char *concurrent_why(void);
/* For runners that find something themselves: keeps the message and returns the rule. */
const char *concurrent_found(const char *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The next moment. */
uint32_t concurrent_moment(struct concurrent *o);

/* A call other than the mailbox's own is about to access guest memory [at, at + bytes). False if it
 * must not. */
bool concurrent_scribbles(struct concurrent *o, int thread, uint64_t at, uint64_t bytes);

/* The same for a hostile guest that writes one of the region's words. */
bool concurrent_guest_writes(struct concurrent *o, int thread, uint64_t word_offset,
                             uint32_t value);

/* ---- Memory: concurrent_memory.c --------------------------------------------------------------
 */

/* A call on the memory begins; false: it is left out. *event is what it becomes in the history. */
bool concurrent_begins(struct concurrent *o, const struct call *c, struct event **event);
/* `size_after`: the memory's when it had ended. */
const char *concurrent_ended(struct concurrent *o, const struct call *c, struct event *event,
                             uint64_t size_after);
/* The operation accesses c->width bytes at c->at. */
bool concurrent_has_width(uint8_t code);
/* The mailbox's flag, on which its guest waits: neither that nor the host's notifies are events. */
bool concurrent_is_flag(const struct concurrent *o, uint64_t address);
/* The one notify that can have woken this wait, or NULL: what its thread did before must be seen.
 */
const struct event *concurrent_notifier(const struct concurrent *o, const struct event *wait);
/* So many bytes are about to be asked for; returns the moment. They were not granted, or are given
 * back. */
uint32_t concurrent_claims(struct claims *claims, uint64_t bytes);
void concurrent_unclaims(struct claims *claims, uint64_t bytes);
/* ... because the budget refused them; asked: how many of them; from: the moment of the claim. */
void concurrent_refuses(struct claims *claims, uint32_t from, uint64_t bytes);
/* At the end: each refusal was right at some moment before its call had ended, by what was granted
 * (R40). */
const char *concurrent_refusals(const struct claims *claims);
/* Whether the budget may refuse so much: beside all that may have been in use it would pass it. */
bool concurrent_may_refuse(const struct concurrent *o, uint64_t bytes);
/* At rest: the budget is what these memories have (R40). */
const char *concurrent_budget(uint64_t used_bytes, uint64_t memories_bytes);
/* A growth succeeded (R5, R11). */
const char *concurrent_grew(struct concurrent *o, uint32_t old_pages, uint32_t delta);
/* A copy: its pages must lie between the memory's pages before and after. */
const char *concurrent_copied(const struct concurrent *o, const struct call *c,
                              const struct subject_type *type, uint32_t pages,
                              enum subject_status last_byte);
/* The copy holds this value where that was written: each of its bytes was there (R13). */
const char *concurrent_copied_bytes(const struct concurrent *o, const struct put *where,
                                    uint64_t value);
/* Waits were disabled, by a call or because the last handle was destroyed. */
struct event *concurrent_disable_begins(struct concurrent *o);
void concurrent_disable_ended(struct concurrent *o, struct event *event);
/* The thread's canceller is cancelled, once and for all (R41). */
void concurrent_cancels(struct concurrent *o, unsigned thread);
void concurrent_cancelled(struct concurrent *o, unsigned thread);
/* The base after a growth is the one that was (R10). */
const char *concurrent_stays(const uint8_t *base, const uint8_t *now);
/* A part of the memory was pinned: `size_after`: the memory's then; place: where it is within the
 * memory (R42). */
const char *concurrent_pinned(const struct concurrent *o, const struct call *c, uint64_t size_after,
                              int64_t place);
/* Waiters that are left when all threads have ended (R27). */
const char *concurrent_waiters_left(uint32_t waiters);
/* All growths form a chain that ends at this size. */
const char *concurrent_chain(const struct concurrent *o, uint64_t bytes);
/* Atomic stores and loads of two words by two threads, of which each missed the other's store, have
 * no order that all could agree on (R18). */
const char *concurrent_stores_seen(const struct concurrent *o);
/* When all threads have ended, the word of this write is looked at, once; false: no need. *look is
 * what the look becomes in the history, c the atomic load. */
bool concurrent_looks(struct concurrent *o, const struct event *write, struct event **look);
void concurrent_looked(struct concurrent *o, struct event *look, const struct call *c);
/* When all threads have ended, a number that was there where this was written is whole (R18). */
const char *concurrent_left(const struct concurrent *o, const struct put *where, uint64_t value);
/* At the end; with waits that never return. */
const char *concurrent_history(const struct concurrent *o);
const char *concurrent_memory_at_rest(const struct concurrent *o);

/* ---- What answers prove: concurrent_answers.c -------------------------------------------------
 */

/* The number of this call, which has begun, below DEEDS_MAX; DEEDS_MAX: no answer tells of it. c:
 * NULL if there is an event. */
unsigned concurrent_deed(const struct concurrent *o, const struct call *c,
                         const struct event *event);
/* ... of the only cancel of that thread's canceller. */
unsigned concurrent_cancel_deed(const struct concurrent *o, unsigned thread);
/* The call has ended: which calls of others came before, so that what their threads had done until
 * then is to be seen. Begins with *nth = 0; each time the numbers of `deeds` calls, at most
 * DEEDS_MAX, and the rule that is broken if they are not seen; NULL: there are no more. */
const char *concurrent_proof(const struct concurrent *o, const struct call *c,
                             const struct event *self, unsigned *nth, uint16_t *deed,
                             unsigned *deeds);

/* ---- Mailbox: concurrent_mailbox.c ------------------------------------------------------------
 */

/* An enqueue begins and ends; NULL: no room to keep it. */
struct sent *concurrent_sends(struct concurrent *o, int thread, uint64_t id);
const char *concurrent_sent(struct concurrent *o, struct sent *s, const struct call *c);
/* The guest takes an id: one that was sent, once, after all that were in the ring before it. */
const char *concurrent_took(struct concurrent *o, uint32_t id);
void concurrent_close_begins(struct concurrent *o);
/* Close has returned, or is said to have happened: from now on the host writes nothing (R36). */
void concurrent_close_ended(struct concurrent *o, const struct subject_words *words);
/* The thread was told that it is closed, by a question: it must not be told otherwise. */
void concurrent_says_closed(struct concurrent *o, unsigned thread);
/* Any other call, begun at c->start. */
const char *concurrent_box_ended(struct concurrent *o, const struct call *c);
/* The region as it is at the end, after close (R36). */
/* The guest was told of the close when it parked. */
void concurrent_told_closed(struct concurrent *o, const struct subject_words *words);
const char *concurrent_silence(const struct concurrent *o, const struct subject_words *words);
/* An attach in the same memory, begun at that moment; overlaps: the two share a word. From before
 * it until its end the first one may be closed by it where its owner goes (R44). */
void concurrent_beside_begins(struct concurrent *o, bool overlaps);
const char *concurrent_beside_ended(struct concurrent *o, uint32_t start, bool overlaps,
                                    enum subject_status status);
/* ... that was refused because of a third one. */
void concurrent_beside_met(struct concurrent *o, bool overlaps);
/* The second one as its only user finds it. flag: its word in the region; 0 where others may have
 * written there. */
const char *concurrent_beside_stays(bool is_closed, uint32_t flag, enum subject_status enqueued);
/* The second mailbox, which nobody closes: its ids by number alone (R30, R34). */
void concurrent_second_begins(struct concurrent *o);
const char *concurrent_second_sent(struct concurrent *o, enum subject_status status);
const char *concurrent_second_took(struct concurrent *o);
/* Everybody is blocked, its guest in its park: the rule that this breaks, or NULL. */
const char *concurrent_second_at_rest(const struct concurrent *o);
/* At the end, after a last drain. */
const char *concurrent_second_lost(const struct concurrent *o);
/* All threads have ended, and the guest has drained once more: how many ids that were accepted are
 * hidden from it, and not spilled. Where a flush shows them they were not shown in time (R34). */
uint32_t concurrent_hidden(const struct concurrent *o);
const char *concurrent_shown_late(uint32_t hidden);
/* A producer has stopped for ever, and this operation of another thread is blocked (R45). */
const char *concurrent_blocked_by_stopped(const struct concurrent *o, uint8_t code);
/* A thread is about to sleep in this operation, whoever else holds the mailbox or has stopped
 * (R45).
 */
const char *concurrent_sleeps(const struct concurrent *o, uint8_t code);
/* After the last drain: accepted ids that nobody took (R30). */
const char *concurrent_lost(const struct concurrent *o);
/* Everybody is blocked. sleeps, parked: somebody, the guest sleeps on the signal; disabled: in a
 * wait that was to be disabled. */
const char *concurrent_mailbox_at_rest(const struct concurrent *o, bool sleeps, bool parked,
                                       bool by_wait, const struct subject_words *words);

#endif
