/* target.c: the entry of every fuzz target: bytes to a program, run, and abort on a finding; and
 * libFuzzer's mutator and crossover, which are mutate.c's.
 *
 * SUBJECT=./mine.so tests another subject than the reference. SWARM=off or SWARM=number: see
 * mutate.h. PAGEBOX_SHRINK=1, or libFuzzer's -minimize_crash=1: mutations only take away. */
#include "target.h"

#include "call.h"
#include "crash.h"
#include "exec.h"
#include "host_calls.h"
#include "interleave.h"
#include "load.h"
#include "mutate.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

static const struct subject *subject;
static struct program program;
unsigned long fuzz_executions;

/* The state of the mutator. One mutation in BYTES_ONE_IN is libFuzzer's own, on the bytes. */
enum { BYTES_ONE_IN = 16, SPLICES_ONE_IN = 4 };
static struct {
    bool shrinking;
    uint64_t process_seed, calls;
} mutator;

static bool is_shrinking(int argc, char **argv) {
    const char *wanted = getenv("PAGEBOX_SHRINK");
    bool shrinking = wanted != NULL && strcmp(wanted, "1") == 0;
    for (int i = 1; i < argc; i++) {
        shrinking |= strcmp(argv[i], "-minimize_crash=1") == 0 ||
                     strcmp(argv[i], "-minimize_crash_internal_step=1") == 0;
    }
    return shrinking;
}

/* AFL++ keeps its child stopped between inputs; the child would outlive a fuzzer that was killed.
 */
static void end_with_parent(void) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Operations that the subject lacks would only take the place of others. So would memory_touch if
 * the subject's pages cannot be observed. */
static void leave_out_idle(const struct subject_memory *m) {
    for (unsigned code = 0; code < OP_mailbox_attach; code++) {
        if (operation_is_idle(m, (uint8_t)code)) {
            mutate_leave_out((uint8_t)code);
        }
    }
    if ((m->promises & SUBJECT_OPAQUE) != 0) {
        mutate_leave_out(OP_memory_touch);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    mutator.shrinking = is_shrinking(argc == NULL ? 0 : *argc, argv == NULL ? NULL : *argv);
    subject = subject_chosen();
    if (subject == NULL || !interleave_ready() || !mutate_swarm_ready()) {
        exit(2);
    }
    if (subject != subject_ref()) {
        subject_print(stderr, subject);
        for (unsigned code = 0; code < 256; code++) {
            if (host_call_is(code)) {
                mutate_leave_out((uint8_t)code);
            }
        }
    }
    program.target = fuzz_target;
    const char *lack = exec_lacks(subject, &program);
    if (lack != NULL) {
        fprintf(stderr, "%s runs nothing on this subject: %s\n", op_target_name(fuzz_target), lack);
        exit(2);
    }
    if (subject->memory != NULL) {
        leave_out_idle(subject->memory);
    }
    if (getenv("__AFL_SHM_ID") != NULL) {
        (void)pthread_atfork(NULL, NULL, end_with_parent);
    }
    return 0;
}

/* libFuzzer's; other fuzzers have none. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t bytes, size_t bytes_max) __attribute__((weak));

/* How the next mutation is made. The first seed stands for the process. */
static struct mutate how_now(unsigned seed) {
    mutator.process_seed = mutator.calls == 0 ? seed : mutator.process_seed;
    return (struct mutate){.target = fuzz_target,
                           .seed = (uint64_t)seed << 32 | (mutator.calls & UINT32_MAX),
                           .swarm = mutate_swarm_at(mutator.process_seed, mutator.calls++),
                           .shrinking = mutator.shrinking};
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed) {
    struct mutate how = how_now(seed);
    if (seed % BYTES_ONE_IN == 0 && LLVMFuzzerMutate != NULL && !how.shrinking) {
        return LLVMFuzzerMutate(data, bytes, bytes_max);
    }
    return mutate_bytes(&how, data, bytes, bytes_max);
}

/* libFuzzer wants a crossover as often as a mutation: most of these are mutations. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_bytes, const uint8_t *two,
                                 size_t two_bytes, uint8_t *out, size_t bytes_max, unsigned seed) {
    struct mutate how = how_now(seed);
    if (seed % SPLICES_ONE_IN == 0) {
        return mutate_splice(&how, one, one_bytes, two, two_bytes, out, bytes_max);
    }
    size_t bytes = one_bytes < bytes_max ? one_bytes : bytes_max;
    memcpy(out, one, bytes);
    return mutate_bytes(&how, out, bytes, bytes_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (subject == NULL) { /* a driver that does not initialise */
        LLVMFuzzerInitialize(NULL, NULL);
    }
    crash_watch();
    fuzz_executions++;
    op_decode(fuzz_target, data, bytes, &program);
    const char *rule = exec_run(subject, &program, NULL);
    if (rule != NULL) {
        crash_report(rule, &program);
        abort();
    }
    return 0;
}
