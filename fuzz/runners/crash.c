/* crash.c: reports of findings, crashes included. */
#include "crash.h"

#include "exec.h"
#include "rule.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void (*crash_told)(const char *rule);
static bool has_reported;

void crash_report(const char *rule, const struct program *program) {
    if (crash_told != NULL) {
        crash_told(rule);
    }
    if (has_reported) {
        return;
    }
    has_reported = true;
    fprintf(stderr, "finding: %s\n", rule);
    exec_print_place(stderr);
    if (rule_difference()[0] != '\0') {
        fprintf(stderr, "  %s\n", rule_difference());
    }
    rule_print(stderr, rule);
    if (program != NULL) {
        op_print(stderr, program);
    }
    fflush(stderr);
}

/* A crash of the harness itself, outside of a run, breaks no rule; the previous handler gets it. */
static void report_now(void) {
    const struct exec *e = exec_now();
    if (e != NULL) {
        crash_report(exec_crash_name(), e->program);
    }
}

/* ---- Sanitizers: both call these before they end the process -----------------------------------
 */

void __ubsan_on_report(void);
void __ubsan_on_report(void) {
    report_now();
}

#if CRASH_HAS_ASAN
void __asan_on_error(void);
void __asan_on_error(void) {
    report_now();
}

/* Programs are small and many, so a small quarantine and short allocation stacks make them faster
 * and find the same. ASAN_OPTIONS overrides this. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "quarantine_size_mb=4:malloc_context_size=6:allocator_may_return_null=1:"
           "detect_stack_use_after_return=0";
}
#endif

/* ---- Signals ----------------------------------------------------------------------------------
 */

static const int watched[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
enum { WATCHED = sizeof watched / sizeof watched[0] };
static struct sigaction former[WATCHED];

/* Reports, then calls the previous handler: a fuzzer's, a sanitizer's or the default. */
static void on_signal(int number, siginfo_t *info, void *context) {
    unsigned i = 0;
    while (i + 1 < WATCHED && watched[i] != number) {
        i++;
    }
    report_now();
    if (former[i].sa_flags & SA_SIGINFO) {
        former[i].sa_sigaction(number, info, context);
        return;
    }
    if (former[i].sa_handler != SIG_DFL && former[i].sa_handler != SIG_IGN) {
        former[i].sa_handler(number);
        return;
    }
    signal(number, SIG_DFL);
    raise(number);
}

/* A subject that calls exit() in the middle of a program is reported like one that aborts.
 * Otherwise the run would look complete. */
static void on_exit_called(void) {
    if (exec_now() != NULL) {
        fputs("the subject called exit()\n", stderr);
        abort();
    }
}

void crash_watch(void) {
    static bool watching;
    if (watching) {
        return;
    }
    watching = true;
    atexit(on_exit_called);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (unsigned i = 0; i < WATCHED; i++) {
        sigaction(watched[i], &action, &former[i]);
    }
}
