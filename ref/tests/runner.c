/* runner.c: the main of a program of tests (test.h): runs each in a process of its own.
 *
 *     PROGRAM [-l] [-q] [NAME...]
 *
 * runs the tests whose names contain one of the NAMEs (all without one); -l only lists them, -q
 * prints no PASS lines. Prints `PASS name`, `FAIL name: file:line: what` or `SKIP name: why` a
 * test, and `N passed, N failed` at the end. Status 0: all passed, 1: one failed, 2: usage,
 * 130: interrupted. PB_TEST_SECONDS (default 300, as a busy machine may need) is how long one
 * may run before it counts as blocked. */
#include "test.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* glibc 2.36 has no name for it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum { EXIT_PASSED = 0, EXIT_FAILED = 71, EXIT_SKIPPED = 72, TEXT_BYTES = 1000 };

/* What a child tells its parent; in memory that both share. */
struct outcome {
    char note[TEXT_BYTES];
    char text[2 * TEXT_BYTES];
};

/* A test, or a row of one. */
struct one {
    char *name;
    const struct test *test;
    unsigned row;
};

struct totals {
    unsigned passed, failed, skipped;
};

extern const struct test *const __start_pb_tests[];
extern const struct test *const __stop_pb_tests[];

static struct outcome *outcome;
static _Atomic bool ended; /* the first of several failing threads tells what happened */
static volatile sig_atomic_t interrupted;

/* The thread sanitizer stops at the first finding, so that it counts as this test's failure. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) {
    return "halt_on_error=1:second_deadlock_stack=1";
}
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "detect_stack_use_after_return=1:allocator_may_return_null=1";
}

_Noreturn static void end(int status) {
    if (atomic_exchange(&ended, true)) {
        for (;;) {
            pause();
        }
    }
    _exit(status);
}

_Noreturn void test_fail(const char *file, int line, const char *format, ...) {
    char what[TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    (void)snprintf(outcome->text, sizeof outcome->text, "%s:%d: %s", file, line, what);
    end(EXIT_FAILED);
}

_Noreturn void test_skip(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(outcome->text, sizeof outcome->text, format, arguments);
    va_end(arguments);
    end(EXIT_SKIPPED);
}

void test_note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(outcome->note, sizeof outcome->note, format, arguments);
    va_end(arguments);
}

void test_equal(const char *file, int line, const char *what, uint64_t actual, uint64_t expected) {
    if (actual != expected) {
        test_fail(file, line, "%s is %llu (0x%llx), not %llu (0x%llx)", what,
                  (unsigned long long)actual, (unsigned long long)actual,
                  (unsigned long long)expected, (unsigned long long)expected);
    }
}

void test_reason(const char *file, int line, const char *reason) {
    if (reason != NULL) {
        test_fail(file, line, "%s", reason);
    }
}

const char *test_text(const char *format, ...) {
    enum { TEXTS = 4 };
    static char texts[TEXTS][TEXT_BYTES];
    static unsigned next;
    char *text = texts[next++ % TEXTS];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, TEXT_BYTES, format, arguments);
    va_end(arguments);
    return text;
}

pthread_t test_thread(void *(*run)(void *), void *argument) {
    pthread_t thread;
    int error = pthread_create(&thread, NULL, run, argument);
    if (error != 0) {
        test_skip("no thread: %s", strerror(error));
    }
    return thread;
}

void test_join(pthread_t thread) {
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

/* Mostly a yield, so that threads meet; a short sleep now and then, so that a thread which waits
 * for another does not keep it from running where cores are few. */
void test_pause(void) {
    static _Thread_local unsigned pauses;
    if (++pauses % 16 != 0) {
        sched_yield();
        return;
    }
    const struct timespec moment = {0, 20000};
    (void)nanosleep(&moment, NULL);
}

/* Waits a little wherever the thread happens to be. */
static void hold_up(int number) {
    int error = errno;
    const struct timespec moment = {0, 15000};
    (void)number;
    (void)nanosleep(&moment, NULL);
    errno = error;
}

struct test_disturbance test_disturb(void) {
    enum { EVERY_NS = 400000 };
    struct test_disturbance disturbance;
    struct sigaction action = {.sa_handler = hold_up, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    const struct itimerspec often = {{0, EVERY_NS}, {0, EVERY_NS}};
    event.sigev_notify_thread_id = gettid();
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    if (timer_create(CLOCK_MONOTONIC, &event, &disturbance.timer) != 0) {
        test_skip("no timer: %s", strerror(errno));
    }
    CHECK(timer_settime(disturbance.timer, 0, &often, NULL) == 0);
    return disturbance;
}

void test_disturb_end(struct test_disturbance disturbance) {
    CHECK(timer_delete(disturbance.timer) == 0);
}

uint32_t test_random(uint64_t *state) {
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

static unsigned seconds_max(void) {
    const char *text = getenv("PB_TEST_SECONDS");
    unsigned long seconds = text ? strtoul(text, NULL, 10) : 0;
    return seconds > 0 && seconds < UINT_MAX ? (unsigned)seconds : 300;
}

_Noreturn static void run_here(const struct one *one) {
    signal(SIGINT, SIG_DFL);
    alarm(seconds_max());
    one->test->run(one->row);
    alarm(0);
    exit(EXIT_PASSED); /* not _exit: the sanitizers look for leaks now */
}

/* Prints the one line about a test; true when it passed or was skipped. */
static void judge(const struct one *one, int status, bool quiet, struct totals *totals) {
    const char *at = outcome->note[0] ? outcome->note : "";
    const char *open = outcome->note[0] ? " [" : "", *close = outcome->note[0] ? "]" : "";
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_PASSED) {
        totals->passed++;
        if (!quiet) {
            printf("PASS %s\n", one->name);
        }
    } else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
        totals->skipped++;
        printf("SKIP %s: %s\n", one->name, outcome->text);
    } else {
        totals->failed++;
        printf("FAIL %s: ", one->name);
        if (outcome->text[0]) {
            printf("%s", outcome->text);
        } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) {
            printf("%s:%d: no end after %u s: blocked?", one->test->file, one->test->line,
                   seconds_max());
        } else if (WIFSIGNALED(status)) {
            printf("%s:%d: %s", one->test->file, one->test->line, strsignal(WTERMSIG(status)));
        } else {
            printf("%s:%d: exit status %d (a sanitizer's report is above)", one->test->file,
                   one->test->line, WEXITSTATUS(status));
        }
        printf("%s%s%s\n", open, at, close);
    }
    (void)fflush(stdout);
}

/* Runs a test in a child and judges how it ended. False when no child can be had. */
static bool run(const struct one *one, bool quiet, struct totals *totals) {
    memset(outcome, 0, sizeof *outcome);
    (void)fflush(stdout);
    pid_t child = fork();
    if (child < 0) {
        (void)fprintf(stderr, "%s: cannot fork: %s\n", program_invocation_short_name,
                      strerror(errno));
        return false;
    }
    if (child == 0) {
        run_here(one);
    }
    int status;
    while (waitpid(child, &status, 0) < 0) {
        if (interrupted) {
            kill(child, SIGKILL);
        }
    }
    if (!interrupted) {
        judge(one, status, quiet, totals);
    }
    return true;
}

static bool wanted(const struct one *one, char **names) {
    bool any = *names == NULL;
    for (; *names != NULL && !any; names++) {
        any = strstr(one->name, *names) != NULL;
    }
    return any;
}

static int by_name(const void *a, const void *b) {
    return strverscmp(((const struct one *)a)->name, ((const struct one *)b)->name);
}

/* All tests and rows, by name. */
static struct one *list_tests(size_t *count) {
    struct one *all = NULL;
    size_t room = 0, used = 0;
    for (const struct test *const *entry = __start_pb_tests; entry < __stop_pb_tests; entry++) {
        const struct test *test = *entry;
        const char *name;
        for (unsigned row = 0; (name = test->name ? test->name : test->row_name(row)) != NULL;
             row++) {
            if (used == room) {
                room = room == 0 ? 256 : 2 * room;
                all = realloc(all, room * sizeof *all);
            }
            char *kept = strdup(name); /* a row's name is overwritten by the next */
            if (all == NULL || kept == NULL) {
                (void)fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
                exit(2);
            }
            all[used++] = (struct one){kept, test, row};
            if (test->name != NULL) {
                break;
            }
        }
    }
    if (all != NULL) {
        qsort(all, used, sizeof *all, by_name);
    }
    *count = used;
    return all;
}

static void on_interrupt(int signal_number) {
    interrupted = signal_number;
}

static int usage(void) {
    (void)fprintf(stderr,
                  "usage: %s [-l] [-q] [NAME...]\n"
                  "  -l  list the tests   -q  print no PASS lines   NAME  part of a name\n",
                  program_invocation_short_name);
    return 2;
}

static int finish(const struct totals *totals, bool list) {
    if (list) {
        return 0;
    }
    if (interrupted) {
        printf("interrupted\n");
    }
    printf("%u passed, %u failed", totals->passed, totals->failed);
    if (totals->skipped > 0) {
        printf(", %u skipped", totals->skipped);
    }
    printf("\n");
    return interrupted ? 130 : totals->failed > 0 ? 1 : 0;
}

int main(int argc, char **argv) {
    bool list = false, quiet = false;
    for (int option; (option = getopt(argc, argv, "lq")) != -1;) {
        if (option == '?') {
            return usage();
        }
        list |= option == 'l';
        quiet |= option == 'q';
    }
    size_t count, found = 0;
    struct one *tests = list_tests(&count);
    outcome =
        mmap(NULL, sizeof *outcome, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (outcome == MAP_FAILED) {
        (void)fprintf(stderr, "%s: out of memory\n", program_invocation_short_name);
        return 2;
    }
    struct sigaction action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, NULL);
    struct totals totals = {0, 0, 0};
    for (size_t i = 0; i < count && !interrupted; i++) {
        if (!wanted(&tests[i], argv + optind)) {
            continue;
        }
        found++;
        if (list) {
            printf("%s\n", tests[i].name);
        } else if (!run(&tests[i], quiet, &totals)) {
            return 2;
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(tests[i].name);
    }
    free(tests);
    if (found == 0) {
        (void)fprintf(stderr, "%s: no test has that in its name; -l lists them\n",
                      program_invocation_short_name);
        return 2;
    }
    return finish(&totals, list);
}
