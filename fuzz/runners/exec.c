/* exec.c: runs a program: dispatch by op.def, the budget, a clean start and a clean end. */
#include "exec.h"

#include "crash.h"
#include "fault.h"
#include "host_calls.h"
#include "interleave.h"
#include "load.h"
#include "rule.h"

#include <stdio.h>
#include <string.h>
#if CRASH_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

/* One unit of work is about one host page touched, half a microsecond. What is left out when it is
 * used up depends on the program alone. */
static struct exec exec;
static bool is_running;

bool exec_afford(struct exec *e, uint64_t work) {
    if ((uint64_t)e->budget >= work) {
        e->budget -= (int)work;
        return true;
    }
    if (e->large > 0 && work <= e->bounds->large_work) {
        e->large--;
        return true;
    }
    e->left_out[LEFT_OUT_COST]++;
    return false;
}

/* A call of the C library fails for more reasons than one of os.h. */
void exec_weigh_faults(struct exec *e) {
    e->judge.want = STATUS_WANT | (fault_told() ? STATUS_BIT(UNSUPPORTED) : 0);
}

const char *exec_left_out_text(void) {
    static const char *const why[LEFT_OUT_COUNT] = {
        [LEFT_OUT_COST] = "for what they cost",
        [LEFT_OUT_BLOCKS] = "that would block",
        [LEFT_OUT_ROOM] = "for what the model cannot remember",
    };
    static char text[160];
    unsigned sum = 0;
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < LEFT_OUT_COUNT; i++) {
        sum += exec.left_out[i];
    }
    for (unsigned i = 0; sum > 0 && i < LEFT_OUT_COUNT; i++) {
        if (exec.left_out[i] > 0) {
            used +=
                (size_t)(used == 0 ? snprintf(text, sizeof text, "%u operation%s left out: %u %s",
                                              sum, sum == 1 ? "" : "s", exec.left_out[i], why[i])
                                   : snprintf(text + used, sizeof text - used, ", %u %s",
                                              exec.left_out[i], why[i]));
        }
    }
    return text;
}

/* Runs one operation. Its code says whether it is a memory's or a mailbox's. */
static const char *run_operation(const struct op *op) {
    switch (op->code) {
    case OP_fault:
        fault_arm(FAULT_ANYBODY, (enum word_call)op->arg.fault.call, op->arg.fault.nth,
                  WORD_error_any);
        return NULL;
    case OP_fault_at:
        fault_arm(FAULT_ANYBODY, (enum word_call)op->arg.fault_at.call, op->arg.fault_at.nth,
                  (enum word_error)op->arg.fault_at.error);
        return NULL;
    case OP_end:
    case OP_interleave:
        return NULL;
    default:
        if (host_call_is(op->code)) {
            const bool can =
                exec.subject == subject_ref() && exec_afford(&exec, host_call_work(op));
            const char *broken = can ? host_call(op) : NULL;
            return broken != NULL ? rule_broken(broken) : NULL;
        }
        return op->code < OP_mailbox_attach ? exec_memory(&exec, op) : exec_mailbox(&exec, op);
    }
}

static void begin(const struct subject *subject, const struct program *program) {
    memset(exec.slot, 0, sizeof exec.slot);
    memset(exec.thread, 0, sizeof exec.thread);
    memset(exec.pinned, 0, sizeof exec.pinned);
    exec.budgeted = false;
    exec.space_bytes = 0;
    exec.fall_back = 0;
    for (unsigned i = 0; i < sizeof exec.body / sizeof exec.body[0]; i++) {
        exec.body[i].handles = 0;
        exec.body[i].failed = false;
        exec.body[i].side[0].pins = exec.body[i].side[1].pins = 0;
        exec.body[i].model.blocks = 0; /* the last program's are no longer needed */
    }
    for (unsigned i = 0; i < OP_SEGMENTS; i++) {
        exec.segment[i] = (struct subject_segment){model_pattern() + (size_t)1000 * i, 64};
    }
    exec.subject = subject;
    exec.program = program;
    exec.op = NULL;
    exec.ending = false;
    exec.broken = exec.judge.crash_rule = NULL;
    for (unsigned i = 0; i < 2; i++) {
        exec.boxes[i].used = false;
        exec.boxes[i].handle = NULL;
    }
    exec.box = &exec.boxes[0];
    exec.operations = 0;
    exec.bounds = bounds_of(program);
    exec.budget = exec.bounds->work;
    exec.large = exec.bounds->large;
    memset(exec.left_out, 0, sizeof exec.left_out);
    rule_forget();
    sequence_begin(&exec.judge, subject, fault_environment()->host_page_bytes);
    model_begin(exec.bounds == &bounds_scaled);
    fault_begin(program->choices, program->choices_bytes);
    if (subject->begin != NULL) {
        subject->begin(fault_environment());
    }
    is_running = true;
}

static const char *run_operations(const struct program *program) {
    const char *broken = NULL;
    for (unsigned i = 0; i < program->operations && broken == NULL; i++) {
        exec.op = &program->operation[i];
        broken = run_operation(exec.op);
        exec.operations++;
    }
    return broken;
}

/* The first finding, or the second one if its rule is on. */
static const char *either(const char *broken, const char *more) {
    return broken != NULL || more == NULL ? broken : rule_broken(more);
}

/* Releases everything, whatever was found, and reports the first finding. After a finding of a rule
 * that is off, none is reported, because the model may no longer match the subject. */
static const char *end(const struct subject *subject, const char *found) {
    const bool over = found != NULL && !rule_is_on(found);
    const char *broken = over ? NULL : found;
    exec.broken = found;
    exec.ending = found == NULL;
    exec.judge.crash_rule = "R14";
    broken = either(broken, exec_memory_end(&exec));
    exec.judge.crash_rule = "R36";
    broken = either(broken, exec_mailbox_end(&exec));
    fault_begin(NULL, 0);
    if (subject->end != NULL) {
        subject->end();
    }
    const char *died = subject->died != NULL ? subject->died() : NULL;
    broken = died != NULL ? died : broken;
    broken = either(broken, subject->complaint != NULL ? subject->complaint() : NULL);
    if (fault_blocks() > 0) {
        const bool of_mailbox = exec.program->target == TARGET_mailbox_fuzzer;
        broken = either(broken, of_mailbox ? "R36-leak" : "R14-leak");
        fault_sweep();
    }
    is_running = false;
    return over && died == NULL ? NULL : broken;
}

static const char *run_interleaved(const struct subject *subject, const struct program *program,
                                   uint64_t *operations) {
    exec.subject = subject;
    exec.program = program;
    exec.op = NULL;
    exec.ending = false;
    exec.broken = exec.judge.crash_rule = NULL;
    memset(exec.left_out, 0, sizeof exec.left_out);
    rule_forget();
    is_running = true;
    const char *broken =
        interleave_run(subject != subject_ref() ? subject : NULL, program, operations);
    is_running = false;
    exec.left_out[LEFT_OUT_ROOM] = interleave_left_out();
    return broken != NULL ? rule_broken(broken) : NULL;
}

const char *exec_lacks(const struct subject *subject, const struct program *program) {
    if (subject != subject_ref() && program_is_of_the_host(program)) {
        return "it calls the reference's own functions";
    }
    if (interleave_wants(program)) {
        return interleave_lacks(subject != subject_ref() ? subject : NULL, program);
    }
    if (program->target == TARGET_mailbox_fuzzer) {
        return subject->mailbox == NULL ? "it needs a mailbox" : NULL;
    }
    return subject->memory == NULL ? "it needs a memory" : NULL;
}

const char *exec_run(const struct subject *subject, const struct program *program,
                     uint64_t *operations) {
    const char *broken;
    if (exec_lacks(subject, program) != NULL) {
        return NULL;
    }
    if (interleave_wants(program)) {
        return run_interleaved(subject, program, operations);
    }
    do {
        begin(subject, program);
        broken = end(subject, run_operations(program));
    } while (subject->once_more != NULL && subject->once_more());
    if (operations != NULL) {
        *operations += exec.operations;
    }
    return broken;
}

const char *exec_place(void) {
    if (exec.ending) {
        return "the end";
    }
    return exec.op != NULL ? op_info(exec.program->target, exec.op->code)->name : "";
}

const struct exec *exec_now(void) {
    return is_running ? &exec : NULL;
}

/* The crash is a use after free or a double free, whichever operation it happened in. */
static bool is_of_lifetime(void) {
#if CRASH_HAS_ASAN
    if (__asan_report_present()) {
        const char *what = __asan_get_report_description();
        return strcmp(what, "heap-use-after-free") == 0 || strcmp(what, "double-free") == 0;
    }
#endif
    return false;
}

/* True if a growth of some live memory failed: the block that is freed twice may be what it left
 * behind. */
static bool a_growth_failed(void) {
    bool any = false;
    for (unsigned i = 0; i < sizeof exec.body / sizeof exec.body[0]; i++) {
        any |= exec.body[i].failed;
    }
    return any;
}

/* The rule that a crash breaks, if it is not the operation's own; else NULL. */
static const char *rule_of_state(void) {
    if (exec.judge.crash_rule != NULL) {
        return exec.judge.crash_rule;
    }
    if (exec.op == NULL && !exec.ending) {
        return interleave_crash_rule();
    }
    if (exec.box != NULL && exec.box->used) {
        return exec.box->judged.pages != exec.box->judged.config.pages ? "R37" : NULL;
    }
    return is_of_lifetime() ? (a_growth_failed() ? "R6" : "R14") : NULL;
}

void exec_print_place(FILE *to) {
    const struct program *program = exec.program;
    if (exec.op == NULL || program == NULL || exec.op < program->operation ||
        exec.op >= program->operation + program->operations) {
        return;
    }
    fprintf(to,
            exec.ending ? "  after all %u operations, where all is given back\n"
                        : "  at operation %u of %u: ",
            exec.ending ? program->operations : (unsigned)(exec.op - program->operation) + 1,
            program->operations);
    if (!exec.ending) {
        op_print_one(to, exec.op, program->target);
        fputc('\n', to);
    }
}

const char *exec_crash_name(void) {
    static char name[64];
    const char *died = is_running && exec.subject->died != NULL ? exec.subject->died() : NULL;
    if (died != NULL) {
        return died;
    }
    if (is_running && exec.broken != NULL && rule_is_on(exec.broken)) {
        /* a rule was broken before; the crash came while everything was released */
        return exec.broken;
    }
    const char *rule = is_running ? rule_of_state() : NULL;
    if (rule == NULL && is_running && exec.op != NULL) {
        rule = op_info(exec.program->target, exec.op->code)->rule;
    }
    snprintf(name, sizeof name, "%s-crash", rule != NULL ? rule : "R0");
    return name;
}
