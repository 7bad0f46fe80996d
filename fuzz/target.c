/* target.c: the entry of every fuzz target: bytes to a program, run, and abort on a finding.
 *
 * SUBJECT=./mine.so tests another subject than the reference. */
#include "target.h"

#include "crash.h"
#include "exec.h"
#include "interleave.h"
#include "load.h"

#include <stdlib.h>

static const struct subject *subject;
static struct program program;
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    subject = subject_chosen();
    if (subject == NULL || !interleave_ready()) {
        exit(2);
    }
    if (subject != subject_ref()) {
        subject_print(stderr, subject);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (subject == NULL) { /* a driver that does not initialise */
        LLVMFuzzerInitialize(NULL, NULL);
    }
    crash_watch();
    op_decode(fuzz_target, data, bytes, &program);
    const char *rule = exec_run(subject, &program, NULL);
    if (rule != NULL) {
        crash_report(rule, &program);
        abort();
    }
    return 0;
}
