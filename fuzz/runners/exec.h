/* exec.h: runs programs against a subject, with a judge beside it.
 *
 * exec_run takes a program to its end. Operations that run alone, one after another, are in
 * alone_memory.c and alone_mailbox.c, with sequence.h as their judge; those whose threads run at
 * the same time are interleave.c's. Both make their calls through operations.c. */
#ifndef EXEC_H
#define EXEC_H

#include "bounds.h"
#include "op.h"
#include "sequence.h"
#include "subject.h"

#include <stdio.h>

/* A slot holds handles to one memory, one for each of its sides. */
struct slot {
    struct judged *body; /* NULL: empty */
    void *handle[SIDES];
};

struct box {
    void *handle; /* NULL once released */
    void *place;  /* the same, kept after the release, to attach another one beside it */
    bool used;    /* there is a handle or a waker, so `judged` is valid */
    struct judged_box judged;
    void *waker[OP_WAKERS];
    uint64_t waker_id[OP_WAKERS];
};

/* A part of a memory that the host has pinned. */
struct pinned {
    void *pin;
    const uint8_t *bytes;
    uint64_t count;
    struct judged *body; /* whose first side has it, also when its last handle is gone */
};

/* ---- A run ------------------------------------------------------------------------------------
 */

struct exec_thread {
    uint32_t ids; /* number of ids that it has enqueued (R32) */
};

/* Why an operation was left out: it would cost too much, block for ever, or write more than the
 * model remembers. */
enum exec_left_out { LEFT_OUT_COST, LEFT_OUT_BLOCKS, LEFT_OUT_ROOM, LEFT_OUT_COUNT };

struct exec {
    const struct subject *subject;
    const struct program *program;
    const struct op *op; /* the one that runs */
    const char *broken;  /* the finding, while everything is being released */
    bool ending;         /* all operations have run, and none found anything */
    uint64_t operations; /* that had an effect */
    const struct bounds *bounds;
    int budget;     /* work that the program may still cause */
    unsigned large; /* so many operations may cost much more */
    unsigned left_out[LEFT_OUT_COUNT];
    struct exec_thread thread[OP_THREADS];
    struct slot slot[OP_MEMORIES];
    struct pinned pinned[OP_MEMORIES];
    bool budgeted;                           /* memories created now are (R40) */
    unsigned fall_back;                      /* rungs they may go down (R43) */
    uint64_t space_bytes;                    /* longer reservations fail; 0: none does */
    struct judged body[2 * OP_MEMORIES + 2]; /* of those without handles each has a pin */
    struct subject_segment segment[OP_SEGMENTS];
    struct sequence judge;
    struct box boxes[2], *box; /* two in one memory, and the one that operations work on */
};

/* Runs one operation of a memory, of a mailbox: NULL, or the name of the broken rule. */
const char *exec_memory(struct exec *e, const struct op *op);
const char *exec_mailbox(struct exec *e, const struct op *op);

/* Empties all slots. Called at a program's end, and after a finding. */
const char *exec_memory_end(struct exec *e);
const char *exec_mailbox_end(struct exec *e);

/* How many operations of the last run were left out that would have done something, and why:
 * "2 operations left out: 1 for its cost, 1 that would block"; "" when none was. Static. */
const char *exec_left_out_text(void);

/* Takes work out of the budget; false when there is not enough left: the operation is left out. */
bool exec_afford(struct exec *e, uint64_t work);

/* After a call: tells the judge what it may have answered if a call below it failed. */
void exec_weigh_faults(struct exec *e);

/* Runs the program from a clean start to a clean end. NULL, or the name of the broken rule; static.
 * *operations grows by how many were run; may be NULL. */
const char *exec_run(const struct subject *subject, const struct program *program,
                     uint64_t *operations);

/* What the subject lacks to have the program run on it, in words; NULL: nothing. exec_run does not
 * run it then. */
const char *exec_lacks(const struct subject *subject, const struct program *program);

/* What is running now, for crash reports; NULL outside of a run. */
const struct exec *exec_now(void);
/* "R17-crash": the rule that a crash now breaks. */
/* "  at operation 3 of 4: T1 memory_grow ...": what ran last; nothing where threads ran. */
void exec_print_place(FILE *to);

const char *exec_crash_name(void);
/* Where the last run was when it ended, for telling findings apart: an operation's name, "the end"
 * where all had run; "" for threads under the engine. */
const char *exec_place(void);

#endif
