/* target.c: the entry of every fuzz target: bytes to a program, run, and abort on a finding.
 *
 * SUBJECT=./mine.so tests another subject than the reference. After a clean end, when the file
 * descriptor number in FUZZ_STATISTICS_FD is open, one line "operations N" is written to it. */
#include "target.h"

#include "crash.h"
#include "exec.h"
#include "load.h"

#include <stdio.h>
#include <stdlib.h>

static const struct subject *subject;
static struct program program;
static uint64_t operations, executions;

static void print_statistics(void) {
    const char *number = getenv("FUZZ_STATISTICS_FD");
    if (number != NULL) {
        dprintf(atoi(number), "operations %llu executions %llu\n", (unsigned long long)operations,
                (unsigned long long)executions);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    subject = subject_chosen();
    if (subject == NULL) {
        exit(2);
    }
    atexit(print_statistics);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (subject == NULL) { /* a driver that does not initialise */
        LLVMFuzzerInitialize(NULL, NULL);
    }
    crash_watch();
    executions++;
    op_decode(fuzz_target, data, bytes, &program);
    const char *rule = exec_run(subject, &program, &operations);
    if (rule != NULL) {
        crash_report(rule, &program);
        abort();
    }
    return 0;
}
