/* faults.c: the sweep: for fixed programs, each call of ref/os.h and of the allocator fails, the
 * first, the second, ... until none of its kind is left, with each error. After every one the rules
 * hold and nothing is leaked: neither pages, files nor blocks (exec.c, os_wrap.c and the engine
 * tell).
 */
#include "exec.h"
#include "fault.h"
#include "interleave.h"
#include "load.h"
#include "mutate.h"
#include "test.h"

#include <stdio.h>
#include <string.h>

/* A memory's whole life; %s: the strategy, its type and style. */
static const char life[] =
    "pagebox-ops 1 memory_fuzzer\n"
    "T0 memory_create_more m0 strategy:%s record:own image:5000 advice:both waiters:1 reserve:0\n"
    "T0 memory_store m0 at:end-8 offset:0 width:8 value:77\n"
    "T0 memory_grow m0 pages:1\n"
    "T0 memory_grow m0 pages:1\n"
    "T0 memory_bulk_fill m0 at:65000 value:5 count:2000\n"
    "T0 memory_reset m0\n"
    "T0 memory_grow m0 pages:1\n"
    "T0 memory_copy m0 to:m1\n"
    "T0 memory_store m1 at:8 offset:0 width:8 value:78\n"
    "T0 memory_copy m1 to:m2\n"
    "T0 memory_grow m1 pages:1\n"
    "T0 memory_clone m0 to:m3\n"
    "T0 memory_wait32 m0 at:0 expected:9 timeout_ns:0\n"
    "T0 memory_destroy m0\n"
    "T0 memory_reset m2\n"
    "T0 memory_reset m2\n"
    "T0 memory_to_shared m2\n"
    "T0 memory_wait32 m2 at:20000 expected:0 timeout_ns:1000\n"
    "T0 memory_grow m2 pages:1\n"
    "T0 memory_destroy m1\n"
    "T0 memory_create m1 strategy:%s record:caller\n"
    "T0 memory_initialise m1 at:0 count:100\n";

/* A mailbox's; %s: the ground. */
static const char post[] = "pagebox-ops 1 mailbox_fuzzer\n"
                           "T0 mailbox_attach ground:%s pages:1 region:front capacity:2 "
                           "cursor:4294967295 full:spill spill:4\n"
                           "T0 mailbox_enqueue count:4\n"
                           "T0 waker_create w0 id:9\n"
                           "T0 waker_clone w0 to:w1\n"
                           "T0 waker_wake w1\n"
                           "T0 mailbox_grow pages:1\n"
                           "T0 mailbox_hold\n"
                           "T0 mailbox_move pages:1\n"
                           "T0 mailbox_unhold\n"
                           "T0 guest_drain\n"
                           "T0 mailbox_flush\n"
                           "T0 guest_drain\n"
                           "T0 mailbox_close\n"
                           "T0 mailbox_release\n";

/* Under the engine: the fault is of the thread that it is armed on; %s: where the memory is made.
 */
static const char together[] =
    "pagebox-ops 1 system_fuzzer\n"
    "T0 memory_create m0 strategy:%s twin:none min:1 max:4 shared:yes style:dynamic bound:0 "
    "guard:0 record:own\n"
    "T0 mailbox_attach ground:shared pages:1 region:front capacity:2 cursor:0 full:spill spill:4\n"
    "T1 memory_grow m0 pages:1\n"
    "T1 memory_clone m0 to:m1\n"
    "T1 memory_grow m0 pages:1\n"
    "T1 mailbox_enqueue count:4\n"
    "T1 waker_create w0 id:9\n"
    "T1 memory_copy m0 to:m2\n"
    "T2 memory_grow m0 pages:1\n"
    "T2 mailbox_enqueue count:1\n"
    "T3 guest_drain\n"
    "T1 mailbox_close\n"
    "choices 0001000000020001000100000200010001000000020001\n";

enum { TEXT_MAX = 4096, NTH_MAX = 40 };

/* The programs that are swept: a text and what is put into it, and where the fault is put. */
static const struct swept {
    const char *name, *text, *with;
    unsigned at;
    uint8_t thread;
} programs[] = {
    {NULL, life, "reserve twin:none min:1 max:8 shared:no style:static bound:8 guard:65536", 0, 0},
    {NULL, life, "reserve twin:none min:1 max:8 shared:yes style:dynamic bound:0 guard:65536", 0,
     0},
    {NULL, life, "reserve_rw twin:none min:1 max:8 shared:no style:static bound:8 guard:65536", 0,
     0},
    {NULL, life, "remap twin:none min:1 max:8 shared:no style:dynamic bound:0 guard:65536", 0, 0},
    {NULL, life, "move twin:none min:1 max:8 shared:no style:dynamic bound:0 guard:65536", 0, 0},
    {NULL, life, "move twin:none min:1 max:8 shared:no style:static bound:2 guard:65536", 0, 0},
    {NULL, life, "heap twin:none min:1 max:8 shared:no style:dynamic bound:0 guard:0", 0, 0},
    {NULL, life, "image twin:none min:1 max:8 shared:no style:static bound:8 guard:65536", 0, 0},
    {NULL, life, "image twin:none min:1 max:8 shared:no style:dynamic bound:0 guard:65536", 0, 0},
    {NULL, life, "pool twin:none min:1 max:8 shared:no style:static bound:8 guard:65536", 0, 0},
    {NULL, life, "pool_renew twin:none min:1 max:8 shared:no style:static bound:8 guard:65536", 0,
     0},
    {NULL, life, "pool_scan twin:none min:1 max:8 shared:no style:static bound:8 guard:65536", 0,
     0},
    {NULL, life, "guard twin:none min:1 max:8 shared:yes style:static bound:8 guard:65536", 0, 0},
    {NULL, life, "reserve twin:move min:1 max:8 shared:no style:static bound:4 guard:65536", 0, 0},
    {NULL, life, "custom twin:none min:1 max:8 shared:no style:static bound:8 guard:0", 0, 0},
    {"mailbox shared", post, "shared", 0, 0},
    {"mailbox owned", post, "owned", 0, 0},
    {"mailbox heap", post, "heap", 0, 0},
    {"mailbox custom", post, "custom", 0, 0},
    {"engine reserve set-up", together, "reserve", 0, 0},
    {"engine reserve thread", together, "reserve", 2, 1},
    {"engine guard set-up", together, "guard", 0, 0},
    {"engine guard thread", together, "guard", 2, 1},
};

/* The program with a fault in front of operation `at`, on thread `thread`. */
static const char *run_with(const struct program *program, unsigned at, uint8_t thread,
                            unsigned call, uint64_t nth, unsigned error) {
    static struct program with;
    with = *program;
    memmove(&with.operation[at + 1], &with.operation[at],
            (with.operations - at) * sizeof with.operation[0]);
    with.operations++;
    with.operation[at].code = OP_fault_at;
    with.operation[at].thread = thread;
    with.operation[at].arg.fault_at.call = call;
    with.operation[at].arg.fault_at.nth = nth;
    with.operation[at].arg.fault_at.error = error;
    const char *rule = exec_run(subject_ref(), &with, NULL);
    return rule == NULL
               ? NULL
               : test_text("%s after fault_at call:%s nth:%u error:%s", rule,
                           op_word(KIND_call, call), (unsigned)nth, op_word(KIND_error, error));
}

/* Every call of every kind, each with every error, until there is none left to fail. */
static const char *sweep(const struct program *program, unsigned at, uint8_t thread) {
    const char *why = exec_run(subject_ref(), program, NULL);
    for (unsigned call = 0; call < WORD_call_count && why == NULL; call++) {
        bool any = true;
        for (uint64_t nth = 1; any && why == NULL; nth++) {
            uint64_t before = fault_fired();
            for (unsigned e = WORD_error_no_memory; e < WORD_error_count && why == NULL; e++) {
                why = run_with(program, at, thread, call, nth, e);
            }
            any = fault_fired() != before;
            if (nth > NTH_MAX && why == NULL) {
                why =
                    test_text("%s is called more than %d times", op_word(KIND_call, call), NTH_MAX);
            }
        }
    }
    return why;
}

static const struct program *program_of(const struct swept *swept) {
    static struct program program;
    char text[TEXT_MAX];
    unsigned line;
    const char *why;
    snprintf(text, sizeof text, swept->text, swept->with, swept->with);
    CHECK_OR(op_parse(text, strlen(text), &program, &line, &why), "line %u: %s", line, why);
    return &program;
}

static const char *name_of(unsigned row) {
    if (row >= sizeof programs / sizeof programs[0]) {
        return NULL;
    }
    const struct swept *swept = &programs[row];
    static char name[128];
    snprintf(name, sizeof name, "faults_sweep_%s", swept->name ? swept->name : swept->with);
    for (char *c = name; *c != '\0'; c++) {
        if (*c == ' ' || *c == ':') {
            *c = '_';
        }
    }
    return name;
}

TEST_ROWS(sweeps, name_of(row)) {
    CHECK_NO_REASON(sweep(program_of(&programs[row]), programs[row].at, programs[row].thread));
}

/* ---- What the mutator aims at ------------------------------------------------------------------
 */

static const char *unaimed;

/* A failing call is aimed at each call that an operation is seen to make. */
static void is_aimed_at(enum word_call call) {
    const struct exec *e = exec_now();
    const struct op *op = e != NULL ? e->op : NULL;
    if (op != NULL && !e->ending && unaimed == NULL &&
        !(mutate_calls_of(op->code) >> call & UINT32_C(1))) {
        unaimed = test_text("%s calls %s", op_info(e->program->target, op->code)->name,
                            op_word(KIND_call, call));
    }
}

TEST(faults_are_aimed_at_what_operations_call) {
    for (unsigned i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        unaimed = NULL;
        fault_asked = is_aimed_at;
        /* one that never comes, so that the C library's calls are asked about */
        const char *why = run_with(program_of(&programs[i]), 0, 0, WORD_call_c_futex, FAULT_NTH_MAX,
                                   WORD_error_any);
        fault_asked = NULL;
        CHECK_NO_REASON(why);
        CHECK_NO_REASON(unaimed);
    }
}

TEST(faults_sweep_fails_every_call) {
    for (unsigned call = 0; call < WORD_call_count; call++) {
        uint64_t before = fault_fired();
        for (unsigned i = 0; i < sizeof programs / sizeof programs[0]; i++) {
            CHECK_NO_REASON(run_with(program_of(&programs[i]), programs[i].at, programs[i].thread,
                                     call, 1, WORD_error_no_memory));
        }
        CHECK_OR(fault_fired() > before, "%s was never called", op_word(KIND_call, call));
    }
}
