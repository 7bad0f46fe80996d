/* exec.h: runs programs against a subject and the model; its state, and one function an operation.
 *
 * exec_memory.c and exec_mailbox.c hold the operations, oracle.c the comparisons. All state of a
 * run is in struct exec, what belongs to one logical thread in struct exec_thread, so that an
 * engine can run each thread's operations at the same time. */
#ifndef EXEC_H
#define EXEC_H

#include "model.h"
#include "op.h"
#include "subject.h"

/* ---- Memories ---------------------------------------------------------------------------------
 */

#define SIDES 2u /* a memory and its twin */

/* One of the two implementations of a memory. */
struct side {
    bool alive;
    unsigned strategy;
    const uint8_t *base;          /* as last seen, R10 */
    struct subject_record caller; /* the caller's record, where it was asked for */
};

/* A memory: what it must be, and its sides. Slots are handles to it. */
struct body {
    unsigned handles; /* 0: unused */
    struct model_memory model;
    bool caller_record, populate;
    bool failed;  /* a growth has: one that is tried again can succeed (R6) */
    bool related; /* copied from or to another: a wrong byte may be that one's */
    uint32_t reserve_pages_max;
    struct side side[SIDES];
};

struct slot {
    struct body *body; /* NULL: empty */
    void *handle[SIDES];
};

/* ---- The mailbox ------------------------------------------------------------------------------
 */

struct box {
    void *handle; /* NULL once released */
    bool used;    /* a handle or wakers are there: model is good */
    bool held;
    bool wild; /* a guest has scribbled: what it is owed is suspended (R38) */
    struct model_mailbox model;
    struct subject_mailbox_config config;
    uint32_t capacity;
    uint32_t pages;   /* of memory now */
    uint32_t *closed; /* the region as close left it (R36) */
    void *waker[OP_WAKERS];
    uint64_t waker_id[OP_WAKERS];
    const char *broken; /* what a callback found */
};

/* ---- A run ------------------------------------------------------------------------------------
 */

struct exec_thread {
    uint32_t ids; /* that it has enqueued, R32 */
};

struct exec {
    const struct subject *subject;
    const struct program *program;
    const struct op *op;    /* the one that runs */
    const char *broken;     /* found, while all is being given back */
    bool ending;            /* all operations have run, and none found anything */
    const char *crash_rule; /* what a crash now would break; NULL: the operation's own */
    uint64_t operations;    /* that had an effect */
    int budget;             /* work that the program may still cause, see exec.c */
    struct exec_thread thread[OP_THREADS];
    struct slot slot[OP_MEMORIES];
    struct body body[OP_MEMORIES + 2];
    struct subject_segment segment[OP_SEGMENTS];
    uint32_t dirty[64]; /* blocks that any memory ever wrote: where an old byte would show (R15) */
    unsigned dirties;
    struct box box;
};

/* One function an operation: NULL, or the name of the broken rule. */
#define OP(code, name, rule, targets, arguments) \
    const char *exec_##name(struct exec *e, const struct op *op);
#include "op.def"

/* Empties all slots. Called at a program's end, and after a finding. */
const char *exec_memory_end(struct exec *e);
const char *exec_mailbox_end(struct exec *e);

/* Takes work out of the budget; false when there is not enough left: the operation is left out. */
bool exec_afford(struct exec *e, uint64_t work);

/* Runs the program from a clean start to a clean end. NULL, or the name of the broken rule; static.
 * *operations grows by how many were run; may be NULL. */
const char *exec_run(const struct subject *subject, const struct program *program,
                     uint64_t *operations);

/* What is running now, for crash reports; NULL outside of a run. */
const struct exec *exec_now(void);
/* "R17-crash": the rule that a crash now breaks. */
const char *exec_crash_name(void);
/* Where the last run was when it ended, for telling findings apart: an operation's name, "the end"
 * where all had run; "" for threads under the engine. */
const char *exec_place(void);

#endif
