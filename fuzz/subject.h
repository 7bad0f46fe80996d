/* subject.h: what is tested, as tables of functions: a memory and a mailbox. Anybody's will do.
 *
 * The fuzzers, the replay program and all oracles know their subject by these tables alone.
 * subject_ref.c fills them from ref/. Another one is a shared object that exports
 *     const struct subject *pagebox_subject(void);
 * and is named by SUBJECT=./mine.so. Needs this header and nothing else of the harness.
 *
 * Optional functions are NULL where they are missing: the operations that need them are skipped,
 * and the list is on the screen once. So is a whole table. What a subject does not promise (enum
 * subject_promise, struct subject_strategy, not_promised) is not tested. The rules (R1 to R45)
 * are those of ref/RULES.md. subjects/README.md shows how to begin, subjects/template.c what it
 * looks like.
 *
 * Programs run one after the other in one process; begin and end stand around each. The sequential
 * targets call from one thread. Every function returns: one that aborts, exits, hangs or writes
 * where it must not is a finding. */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Grows with every change of this file that an old object would not survive. Compiled with
 * -fsanitize=thread an object says so, too: the concurrency engine can run it. */
#define SUBJECT_VERSION 10u
#define SUBJECT_SEEN 0x80000000u
#if defined(__SANITIZE_THREAD__)
#define SUBJECT_ABI (SUBJECT_VERSION | SUBJECT_SEEN)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SUBJECT_ABI (SUBJECT_VERSION | SUBJECT_SEEN)
#endif
#endif
#ifndef SUBJECT_ABI
#define SUBJECT_ABI SUBJECT_VERSION
#endif
#define SUBJECT_PAGE_BYTES UINT64_C(65536)
#define SUBJECT_PAGES_MAX 65536u
#define SUBJECT_NO_MAXIMUM UINT32_MAX

/* What a call answers. The groups matter, not the names: see the comments. */
enum subject_status {
    SUBJECT_OK = 0,
    SUBJECT_INVALID,     /* an argument outside of its domain */
    SUBJECT_LIMIT,       /* the type's or the specification's size limit */
    SUBJECT_NO_MEMORY,   /* out of memory or address space: always permitted to grow and create */
    SUBJECT_UNSUPPORTED, /* this strategy or kind of memory cannot do it */
    SUBJECT_NOT_SHARED,
    SUBJECT_OUT_OF_BOUNDS, /* a trap */
    SUBJECT_MISALIGNED,    /* a trap */
    SUBJECT_TOO_MANY_WAITERS,
    SUBJECT_DISABLED,
    SUBJECT_FULL,
    SUBJECT_CLOSED,
    SUBJECT_TIMED_OUT,
    SUBJECT_SYSTEM,    /* any other refusal of the operating system */
    SUBJECT_REFUSED,   /* by a budget or limit of the host */
    SUBJECT_CANCELLED, /* a wait that was cancelled */
    SUBJECT_PINNED,    /* it would move or wipe what the host has pinned */
    SUBJECT_IN_USE,    /* a part of the region is another open mailbox's */
    SUBJECT_STATUS_COUNT
};

/* ---- What surrounds a subject ------------------------------------------------------------------
 */

/* Given to begin; good until end. Use of it is voluntary: a subject that allocates through it is
 * checked for leaks and for its behaviour when memory is short. */
struct subject_environment {
    void *(*allocate_zeroed)(size_t bytes);  /* as calloc(1, bytes) */
    void *(*resize)(void *at, size_t bytes); /* as realloc */
    void (*release)(void *at);               /* as free */
    uint64_t host_page_bytes;
};

/* ---- Memory -----------------------------------------------------------------------------------
 */

/* One way of making memories. */
struct subject_strategy {
    const char *name;    /* "reserve"; words of op.def are matched, others are drawn by number */
    const char *missing; /* NULL: available; else one line that says why it is not */
    bool traps;          /* every byte past the size faults (R4) */
    bool stable_base;    /* the base never moves (R10) */
    bool shareable;
    bool partial;          /* copy, clone, to_shared, reset and waits may be UNSUPPORTED */
    bool one_style;        /* has one of its own, whatever is asked for: R3 is not checked */
    bool first_image;      /* takes subject_memory_config.image */
    bool costly_capacity;  /* creating costs time for each page that may ever be used */
    uint32_t costly_pages; /* above so many, making or growing costs seconds: left out; 0: never */
    uint32_t slot_pages;   /* what it can hold at all; 0: no such limit */
    uint64_t guard_bytes_max; /* the largest guard it can have; 0: no such limit */
};

/* What else a memory promises; or-ed. */
enum subject_promise {
    SUBJECT_TELLS_LIMIT = 1,   /* SUBJECT_LIMIT for the type's limit, never for want of memory */
    SUBJECT_NAMES_ERRORS = 2,  /* error statuses are as commented here; else any error is as good */
    SUBJECT_GROWS_WITHIN = 4,  /* grows whenever the reservation holds it and nothing failed */
    SUBJECT_ZEROES_RECORD = 8, /* zeroes the caller's record when the pages go */
    SUBJECT_RETURNS_PAGES = 16, /* the last destroy unmaps the whole reservation (R14) */
    SUBJECT_OPAQUE =
        32 /* no address of the bytes: they are compared by `read`, record is not called
            * and may be NULL, what needs the address is left out (R4, R10, R11) */
    ,
    /* Where two errors are true, or two would do: what is both misaligned and out of bounds is
     * SUBJECT_MISALIGNED, a size above 65,536 pages is SUBJECT_LIMIT, a type that contradicts
     * itself SUBJECT_INVALID. */
    SUBJECT_ALIGNED_FIRST = 64,
    SUBJECT_POPULATES = 128,  /* where `populate` is asked for, new pages are in memory */
    SUBJECT_WHOLE_WORDS = 256 /* aligned plain accesses of 8 bytes are whole, too, where threads
                               * race; those of up to 4 bytes always are [R18] */
};

enum subject_style_choice {
    SUBJECT_STYLE_TUNED,   /* from the type, by static_bound_pages and the two guards */
    SUBJECT_STYLE_STATIC,  /* given: bound_pages, static_guard_bytes */
    SUBJECT_STYLE_DYNAMIC, /* given: dynamic_guard_bytes */
    SUBJECT_STYLE_USUAL    /* from the type, by the usual values: 65,536 pages, 2 GiB, 64 KiB */
};

struct subject_style {
    bool is_static;
    uint32_t bound_pages; /* of a static one */
    uint64_t guard_bytes;
};

/* Base and length as generated code reads them. */
struct subject_record {
    uint8_t *_Atomic base;
    _Atomic uint64_t length_bytes;
};

struct subject_type {
    uint32_t min_pages;
    uint32_t max_pages; /* SUBJECT_NO_MAXIMUM: none declared */
    bool shared;
};

struct subject_memory_config {
    struct subject_type type;
    unsigned strategy; /* index into the table of strategies */
    enum subject_style_choice style;
    uint32_t bound_pages;
    uint64_t static_guard_bytes;
    uint64_t dynamic_guard_bytes;
    struct subject_record *record; /* the caller's, which outlives the memory; or NULL */
    const uint8_t *image;          /* first contents, for a strategy that takes them; or NULL */
    uint64_t image_bytes;          /* at most min_pages */
    bool huge_pages, populate;     /* advice, may be ignored */
    uint32_t waiters_max;          /* 0: no limit */
    uint32_t reserve_pages_max;    /* what a dynamic memory that cannot move reserves; 0: its max */
    bool budgeted;                 /* it and its copies count in the budget; needs `budget` */
    unsigned fall_back; /* rungs it may go down if address space is short; needs `rung` */
};

/* A data segment; a dropped one has length 0. */
struct subject_segment {
    const void *data;
    uint64_t length_bytes;
};

struct subject_active_segment {
    uint64_t start;
    struct subject_segment segment;
};

struct subject_owner {
    uint64_t offset_bytes; /* from the base */
    uint64_t length_bytes; /* the size */
    const struct subject_record *record;
};

enum subject_rmw { SUBJECT_ADD, SUBJECT_SUB, SUBJECT_AND, SUBJECT_OR, SUBJECT_XOR, SUBJECT_XCHG };

/* Memories. A handle is a void pointer of the subject's own; `memory` below is a live one, unless
 * said otherwise. Every function is called from one thread at a time by the sequential targets; a
 * subject that says nothing about threads needs no locks. In brackets: the rule that an answer is
 * checked against. Statuses are those of R1, R5, ... unless SUBJECT_NAMES_ERRORS is left out. */
struct subject_memory {
    unsigned promises; /* enum subject_promise */
    unsigned strategies;
    const struct subject_strategy *strategy; /* that many, at least one */

    /* ---- Required ---- */

    /* Makes a memory of config->type.min_pages zero pages [R1 to R4]. *memory is set only on
     * SUBJECT_OK, and is then the caller's until destroy. SUBJECT_LIMIT or INVALID where min > max,
     * or either is above 65,536, or a shared one has no maximum; INVALID for a given style that
     * makes no sense; UNSUPPORTED for what the strategy cannot do; NO_MEMORY, SYSTEM where a call
     * below failed. config lives for the call only; config->record longer than the memory. */
    enum subject_status (*create)(const struct subject_memory_config *config, void **memory);
    /* Gives the memory back, whatever state it is in [R14]. A clone's handle is one reference. */
    void (*destroy)(void *memory);
    /* Now, in pages of 65,536 bytes, 0 to 65,536 [R12]. */
    uint64_t (*size_pages)(void *memory);
    /* The same in bytes, 0 to 4 GiB inclusive [R9]. */
    uint64_t (*size_bytes)(void *memory);
    /* Adds delta_pages zero pages [R5 to R11]. *old_pages, the size before in pages, is set only on
     * SUBJECT_OK. SUBJECT_LIMIT above the maximum or 65,536; NO_MEMORY, SYSTEM: nothing changed. */
    enum subject_status (*grow)(void *memory, uint32_t delta_pages, uint32_t *old_pages);
    /* Where generated code finds base and length in bytes [R11]. Good as long as the handle lives;
     * base may be NULL only where the size is 0. The bytes are read and written through it.
     * Required but for SUBJECT_OPAQUE, which needs `read` in its place. */
    const struct subject_record *(*record)(void *memory);

    /* ---- Optional: NULL where there is no such thing; operations that need it are skipped ---- */

    struct subject_type (*type)(void *memory);   /* min_pages is the size now [R12] */
    struct subject_style (*style)(void *memory); /* what was chosen at creation [R3] */
    /* The address space behind the memory, guard included; false: nothing to say [R3, R4]. */
    bool (*reservation)(void *memory, const uint8_t **at, uint64_t *bytes);
    /* Converts an unshared memory in place; a shared one stays as it is, SUBJECT_OK. INVALID
     * without a maximum, UNSUPPORTED for the strategy, NO_MEMORY: unchanged [R12]. */
    enum subject_status (*to_shared)(void *memory);
    /* *clone: a second handle to the same shared memory. NOT_SHARED for an unshared one [R14]. */
    enum subject_status (*clone)(void *memory, void **clone);
    /* *copy: a new memory, equal and independent [R13]. NO_MEMORY: none, the source unchanged. */
    enum subject_status (*copy)(void *memory, void **copy);
    /* Back to what create made, for the next tenant [R15]. UNSUPPORTED for a shared one. After
     * another failure the memory can only be destroyed. */
    enum subject_status (*reset)(void *memory);
    /* True and *owner for an address inside of any memory's reservation, as a handler of faults
     * asks; false for any other address. */
    bool (*owner_of)(const void *address, struct subject_owner *owner);

    /* One access by the host, of width 1, 2, 4 or 8 bytes (else INVALID), little-endian, at index +
     * offset without wrap. OUT_OF_BOUNDS past the size, nothing written [R18]. Atomic ones are
     * sequentially consistent and MISALIGNED off their width; *old is the value before. */
    enum subject_status (*load)(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                uint64_t *value);
    enum subject_status (*store)(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                 uint64_t value);
    enum subject_status (*atomic_load)(void *memory, uint32_t index, uint32_t offset,
                                       unsigned width, uint64_t *value);
    enum subject_status (*atomic_store)(void *memory, uint32_t index, uint32_t offset,
                                        unsigned width, uint64_t value);
    enum subject_status (*atomic_rmw)(void *memory, enum subject_rmw kind, uint32_t index,
                                      uint32_t offset, unsigned width, uint64_t operand,
                                      uint64_t *old);
    enum subject_status (*atomic_cmpxchg)(void *memory, uint32_t index, uint32_t offset,
                                          unsigned width, uint64_t expected, uint64_t replacement,
                                          uint64_t *old);

    /* memory.copy, memory.fill, memory.init: counts in bytes; OUT_OF_BOUNDS before the first write;
     * overlap as memmove; count 0 at the very end is fine [R16]. segment_drop leaves length 0. */
    enum subject_status (*bulk_copy)(void *memory, uint32_t to, uint32_t from, uint32_t count);
    enum subject_status (*bulk_fill)(void *memory, uint32_t at, uint8_t value, uint32_t count);
    enum subject_status (*bulk_init)(void *memory, const struct subject_segment *segment,
                                     uint32_t at, uint32_t from, uint32_t count);
    void (*segment_drop)(struct subject_segment *segment);
    /* The host's copy in, of count bytes; OUT_OF_BOUNDS: nothing written [R17]. */
    enum subject_status (*initialise)(void *memory, uint64_t start, const void *data,
                                      uint64_t count);
    /* Active segments in order; OUT_OF_BOUNDS at one leaves the earlier ones applied, *applied says
     * how many, and is set whatever the answer [R17]. */
    enum subject_status (*initialise_segments)(void *memory,
                                               const struct subject_active_segment *segment,
                                               size_t count, size_t *applied);
    /* The host's copy out [R17]. */
    enum subject_status (*read)(void *memory, uint64_t start, void *data, uint64_t count);

    /* memory.atomic.wait32, wait64, notify at a byte address, count of waiters, timeout signed
     * [R19 to R29]. *result: 0 notified, 1 not equal, 2 timed out; *woken: how many; set only on
     * SUBJECT_OK. MISALIGNED, OUT_OF_BOUNDS, NOT_SHARED, TOO_MANY_WAITERS, DISABLED. The sequential
     * targets call only what must return at once. */
    enum subject_status (*wait32)(void *memory, uint64_t address, uint32_t expected,
                                  int64_t timeout_ns, unsigned *result);
    enum subject_status (*wait64)(void *memory, uint64_t address, uint64_t expected,
                                  int64_t timeout_ns, unsigned *result);
    enum subject_status (*notify)(void *memory, uint64_t address, uint32_t count, uint32_t *woken);
    /* Every wait, now and later, answers DISABLED; twice is harmless [R29]. */
    void (*disable_atomics)(void *memory);
    uint32_t (*waiters)(void *memory); /* blocked now [R27] */

    /* One budget for all memories created with `budgeted`: the bytes that they may have together
     * from now on, and the bytes that they have. A call that would exceed it is REFUSED and changes
     * nothing [R40]. Both or none. */
    void (*budget)(uint64_t max_bytes);
    uint64_t (*budget_used)(void);
    /* Pins [start, start + count): it stays at *bytes until unpin, whatever is called meanwhile,
     * destroy included. OUT_OF_BOUNDS, UNSUPPORTED. Growth that would move it, and a reset, answer
     * PINNED [R42]. Both or none. */
    enum subject_status (*pin)(void *memory, uint64_t start, uint64_t count, void **pin,
                               const uint8_t **bytes);
    void (*unpin)(void *pin);
    /* How many rungs down the memory was created: 0 as requested, 1 with a shorter guard, 2
     * dynamic, 3 with less room to grow [R43]. */
    unsigned (*rung)(void *memory);
    /* A canceller ends the wait that uses it now, or the next one: it answers CANCELLED instead of
     * blocking. A wait that a notify has counted stays notified [R41]. All four or none. */
    enum subject_status (*canceller_create)(void **canceller);
    void (*canceller_cancel)(void *canceller);
    void (*canceller_destroy)(void *canceller);
    enum subject_status (*cancellable_wait32)(void *memory, uint64_t address, uint32_t expected,
                                              int64_t timeout_ns, void *canceller,
                                              unsigned *result);
};

/* ---- Mailbox ----------------------------------------------------------------------------------
 */

/* What a mailbox promises; or-ed. */
enum subject_mailbox_promise {
    SUBJECT_TELLS_FULL = 1,     /* accepts exactly as many ids as there is room for */
    SUBJECT_SPILLS = 2,         /* can keep ids on the host's side while the ring is full */
    SUBJECT_WIDE_IDS = 4,       /* takes 64-bit ids to refuse them (R30); else 32 bits are passed */
    SUBJECT_KEPT_BY_WAKERS = 8, /* a released handle stays good as long as there are wakers */
    SUBJECT_LIES_IN_MEMORY = 16, /* takes subject_mailbox_config.memory */
    SUBJECT_EVERY_GROUND = 32,   /* has all of enum subject_ground */
    SUBJECT_SHARES_MEMORY = 64,  /* takes subject_mailbox_config.beside */
    SUBJECT_LOCK_FREE = 128,     /* no enqueue waits for another thread, unless it spills [R45] */
    SUBJECT_EXACT_WORDS =
        256 /* words are ref/mailbox_layout.h's, with its bits of the flag, and
             * what    both errors of a call are true of is told as ref/ tells it */
};

/* The guest memory that a mailbox lies in. It can grow by four pages, one on the heap not at all.
 */
enum subject_ground {
    SUBJECT_SHARED,
    SUBJECT_OWNED,
    SUBJECT_HEAP,
    SUBJECT_CUSTOM,
    SUBJECT_GROUNDS
};

struct subject_mailbox_config {
    enum subject_ground ground; /* one that a subject does not have is SUBJECT_UNSUPPORTED */
    uint32_t pages;             /* of guest memory */
    uint32_t offset;            /* of the region in it */
    uint32_t capacity;          /* slots; 0: the subject's usual number */
    uint32_t first_cursor;
    bool spill; /* else an enqueue into a full ring is refused */
    uint32_t spill_max;
    void *memory; /* one of the subject's own, shared, which outlives the mailbox and in which the
                   * region shall lie; NULL: the subject makes one of its own */
    /* A mailbox whose memory the region shall lie in, too (ground and pages are that one's). It may
     * have been released, where wakers keep it. NULL: none. IN_USE where the region overlaps an
     * open mailbox's; one that only wakers keep is closed by it [R44]. */
    void *beside;
};

/* A region's words in guest memory, for oracles that look at them and guests that scribble. */
struct subject_words {
    _Atomic uint32_t capacity, flag, head, tail;
    _Atomic uint32_t ring[];
};

enum subject_park { SUBJECT_PARK_READY, SUBJECT_PARK_CLOSED, SUBJECT_PARK_TIMED_OUT };

/* How a parked guest blocks: returns 2 when the time was up, else it is time to look again. */
struct subject_guest_host {
    int (*wait)(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns);
    void (*flush)(void *context);
    void *context;
};

/* A mailbox. `mailbox` is a handle from attach, not yet released. enqueue and everything the host
 * calls are producers'; drain and park are the one consumer's, the guest's. The sequential targets
 * call from one thread. Ids are 1 to 2^32-1. In brackets: the rule that is checked. */
struct subject_mailbox {
    unsigned promises; /* enum subject_mailbox_promise */
    uint32_t capacity; /* the usual number of slots, at least 1 */
    /* Of each ring's slots, those that stay empty: 1 where that tells full from empty. */
    uint32_t slots_unusable;

    /* ---- Required ---- */

    /* Makes guest memory and an empty mailbox in it [R38]. *mailbox is set only on SUBJECT_OK.
     * INVALID for a capacity that is no power of two up to 32,768. Where there is a region
     * (`words`): MISALIGNED, OUT_OF_BOUNDS for its place. UNSUPPORTED for any other wish that the
     * subject cannot meet: a ground, a cursor, a small capacity. */
    enum subject_status (*attach)(const struct subject_mailbox_config *config, void **mailbox);
    /* Gives the handle back; the mailbox lives on as long as there are wakers. */
    void (*release)(void *mailbox);
    /* Puts one id in [R30 to R33]. FULL: not accepted; CLOSED after close; INVALID for id 0, and
     * for one above 32 bits where SUBJECT_WIDE_IDS is promised. */
    enum subject_status (*enqueue)(void *mailbox, uint64_t id);
    /* The guest takes all that is there, in order, by one call of take each; returns how many. */
    uint32_t (*drain)(void *mailbox, void (*take)(void *context, uint32_t id), void *context);

    /* ---- Optional: NULL where there is no such thing; operations that need it are skipped ---- */

    /* The guest goes to sleep unless there is something to take, by host->wait on its flag; not
     * called before the flag was looked at once more [R34, R36]. timeout_ns below 0: never. */
    enum subject_park (*park)(void *mailbox, const struct subject_guest_host *host,
                              int64_t timeout_ns);
    /* Where threads run at the same time: blocks the guest as its own code would block, on its flag
     * while that has the expected value. Answers as subject_guest_host.wait. NULL: the harness
     * waits on the flag. */
    int (*guest_wait)(void *mailbox, uint32_t expected, int64_t timeout_ns);
    /* Moves spilled ids into the ring; *left: how many are still spilled. CLOSED [R33, R36]. */
    enum subject_status (*flush)(void *mailbox, uint32_t *left);
    bool (*is_signalled)(void *mailbox); /* the guest has been told that there are ids [R34] */
    /* The host waits for the signal: OK, TIMED_OUT, CLOSED [R34]. */
    enum subject_status (*wait_for_signal)(void *mailbox, int64_t timeout_ns);
    /* Keeps producers out while the memory moves [R37]; move, between hold and unhold, grows it by
     * pages: OK and *old_pages, LIMIT, NO_MEMORY, SYSTEM. */
    void (*hold)(void *mailbox);
    enum subject_status (*move)(void *mailbox, uint32_t pages, uint32_t *old_pages);
    enum subject_status (*unhold)(void *mailbox);
    /* Takes all pages from under it, between hold and unhold, which then answers OUT_OF_BOUNDS and
     * closes the mailbox; UNSUPPORTED where its memory cannot shrink [R36]. */
    enum subject_status (*lose)(void *mailbox);
    /* All three in one; *old_pages is set only on SUBJECT_OK. CLOSED after close, or as before. */
    enum subject_status (*grow)(void *mailbox, uint32_t pages, uint32_t *old_pages);
    /* Nothing is accepted or written any more; *dropped: accepted ids that the guest will not
     * get. Twice is harmless, and drops 0 [R36]. */
    void (*close)(void *mailbox, uint32_t *dropped);
    bool (*is_closed)(void *mailbox);
    /* The region now, and the whole guest memory around it; NULL where there is none. With it,
     * the region is looked at, hostile guests scribble in it, and its surroundings are guarded. */
    struct subject_words *(*words)(void *mailbox, uint8_t **memory, uint64_t *memory_bytes);
    /* A waker enqueues its id whenever it is woken; it keeps the mailbox alive. All four or none.
     */
    enum subject_status (*waker_create)(void *mailbox, uint64_t id, void **waker);
    void *(*waker_clone)(void *waker);
    enum subject_status (*waker_wake)(void *waker); /* as enqueue */
    void (*waker_drop)(void *waker);
};

/* ---- Both -------------------------------------------------------------------------------------
 */

/* A rule that is not checked for this subject, and why: "R7", or one name, "R7-grow-zero", or the
 * first words of several, "R16-bulk". PAGEBOX_RULES_OFF=R7,R16-bulk does the same for one run. */
struct subject_exemption {
    const char *rule;
    const char *reason;
};

struct subject {
    uint32_t abi;                          /* SUBJECT_ABI */
    const char *name;                      /* of the implementation, for reports */
    const struct subject_memory *memory;   /* NULL: has none */
    const struct subject_mailbox *mailbox; /* NULL: has none */
    /* Ends with a NULL rule; NULL: every rule of what is offered is promised. */
    const struct subject_exemption *not_promised;

    /* All may be NULL. */
    void (*begin)(const struct subject_environment *environment);
    /* Gives back what begin and the program's calls left; all handles are gone by then. */
    void (*end)(void);
    /* NULL, or the name of a rule that the subject itself saw broken, "R14-leak". After end. */
    const char *(*complaint)(void);
    /* After end. True: what was answered was foretold and turned out to be otherwise, so the
     * program is to run once more, from begin; what it broke is not told. For a subject in a
     * process of its own, to which a program travels whole. */
    bool (*once_more)(void);
    /* NULL, or how the implementation itself ended, "R18-crash", "R5-hang": told before anything
     * else that was found. After end, and from a handler of SIGSEGV. */
    const char *(*died)(void);
};

/* What a subject's shared object exports. */
const struct subject *pagebox_subject(void);

#endif
