/* replay.c: runs inputs without a fuzzing engine, prints their operations, says what they break.
 *
 *   replay [options] PATH...      files, or folders with all files below them
 *     -p          print the operations only, do not run them
 *     -q          names and verdicts only, and no line for a clean input
 *     -c          print each as C (with -p)
 *     -b FOLDER   write each as bytes to FOLDER/<name>, do not run it
 *     -t TARGET   of inputs in bytes; else taken from the name of a folder above them
 *     -w SECONDS  how long an input may run: 20
 *     -s SECONDS  run all of them over and over, print executions and operations a second
 *     -i          say what the subject offers, and end
 *
 * Inputs are text (.ops) or bytes. Each runs in a process of its own, so that one that crashes or
 * hangs does not hide the others. SUBJECT=./mine.so runs them on another subject.
 * Exit status: 0 clean, 1 a finding, 2 usage, or an input that cannot be read, 3 nothing found and
 * operations left out, of a single input; or nothing could be run. */
#include "crash.h"
#include "exec.h"
#include "input.h"
#include "interleave.h"
#include "load.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLEAN = 0, FINDING = 1, USAGE = 2, INCONCLUSIVE = 3 };

static struct {
    bool print_only, quiet, as_c, about;
    const char *bytes_folder;
    bool has_target;
    enum op_target target;
    double seconds;
    unsigned seconds_max; /* for each input */
} option = {.seconds_max = 20};

static const struct subject *subject;
static struct program program;
static unsigned inputs, findings, unreadable, not_run, left_out;

static void complain(const char *path, const char *why) {
    fprintf(stderr, "replay: %s: %s\n", path, why);
    unreadable++;
}

/* ---- Running ----------------------------------------------------------------------------------
 */

/* Exit statuses of a child that has run its whole program; a subject is unlikely to exit with them.
 */
enum { CHILD_CLEAN = 90, CHILD_LEFT_OUT = 91 };

static void run_in_child(const char *path) {
    crash_watch();
    alarm(option.seconds_max);
    const char *rule = exec_run(subject, &program, NULL);
    if (rule != NULL) {
        crash_report(rule, option.quiet ? NULL : &program);
        _exit(FINDING);
    }
    const char *text = exec_left_out_text();
    if (*text != '\0') {
        printf("%s: nothing found; %s\n", path, text);
        fflush(stdout);
        _exit(CHILD_LEFT_OUT);
    }
    _exit(CHILD_CLEAN);
}

/* In words, how the child ended. */
static const char *verdict_of(int status, char *name, size_t room) {
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CLEAN) {
        return "clean";
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == FINDING) {
        return "a finding"; /* its name has been printed */
    }
    if (WIFEXITED(status)) {
        fprintf(stderr, "finding: exit\n");
        snprintf(name, room, "a finding: it ended the process with status %d", WEXITSTATUS(status));
        return name;
    }
    if (WTERMSIG(status) == SIGALRM) {
        fprintf(stderr, "finding: timeout\n");
        snprintf(name, room, "a finding: it runs longer than %u seconds", option.seconds_max);
        return name;
    }
    snprintf(name, room, "a finding: ended by signal %d (%s)", WTERMSIG(status),
             strsignal(WTERMSIG(status)));
    return name;
}

static void input_run(const char *path) {
    char name[128];
    int status = 0;
    const char *lack = exec_lacks(subject, &program);
    if (lack != NULL) {
        not_run++;
        printf("%s: not run: %s\n", path, lack);
        return;
    }
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        run_in_child(path);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        complain(path, "cannot start a process to run it in");
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == CHILD_LEFT_OUT) {
        left_out++;
        return; /* it has said so */
    }
    const char *verdict = verdict_of(status, name, sizeof name);
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == CHILD_CLEAN;
    findings += !clean;
    if (!clean || !option.quiet) {
        printf("%s: %s\n", path, verdict);
    }
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void write_bytes(const char *path) {
    char to[PATH_MAX];
    size_t bytes = op_encode(&program, NULL, 0);
    uint8_t *data = malloc(bytes + 1);
    snprintf(to, sizeof to, "%s/%s", option.bytes_folder, base_name(path));
    FILE *file = data == NULL ? NULL : fopen(to, "wb");
    if (file == NULL || op_encode(&program, data, bytes) != bytes ||
        fwrite(data, 1, bytes, file) != bytes || fclose(file) != 0) {
        complain(to, data == NULL ? "no memory" : strerror(errno));
    }
    free(data);
}

/* ---- Speed ------------------------------------------------------------------------------------
 */

static struct {
    struct input {
        enum op_target target;
        bool interleaved;
        size_t bytes;
        uint8_t *data;
    } * all;
    size_t count, room;
} kept;

static void no_room(const char *path) {
    complain(path, "no memory to keep so many inputs");
    exit(USAGE);
}

static void keep_program(const char *path) {
    if (exec_lacks(subject, &program) != NULL) {
        not_run++;
        return;
    }
    if (kept.count == kept.room) {
        kept.room = kept.room == 0 ? 64 : 2 * kept.room;
        struct input *more = realloc(kept.all, kept.room * sizeof *more);
        if (more == NULL) {
            no_room(path);
        }
        kept.all = more;
    }
    struct input input = {program.target, interleave_wants(&program), op_encode(&program, NULL, 0),
                          NULL};
    input.data = malloc(input.bytes + 1);
    if (input.data == NULL) {
        no_room(path);
    }
    op_encode(&program, input.data, input.bytes);
    kept.all[kept.count++] = input;
}

static double now_s(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Runs the inputs wanted (those of one kind, or of both) over and over; prints how fast that went.
 * Decoding is part of an execution: each run starts from the bytes. */
static void measure(const char *what, bool sequential, bool interleaved) {
    uint64_t operations = 0, executions = 0;
    size_t count = 0;
    double start = now_s(CLOCK_MONOTONIC), seconds = 0;
    double start_cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    do {
        count = 0;
        for (size_t i = 0; i < kept.count; i++) {
            const struct input *input = &kept.all[i];
            if (!(input->interleaved ? interleaved : sequential)) {
                continue;
            }
            op_decode(input->target, input->data, input->bytes, &program);
            const char *rule = exec_run(subject, &program, &operations);
            if (rule != NULL) {
                crash_report(rule, &program);
                exit(FINDING);
            }
            count++;
        }
        executions += count;
        seconds = now_s(CLOCK_MONOTONIC) - start;
    } while (seconds < option.seconds && count > 0);
    double cpu = now_s(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
    if (count > 0) {
        printf("%zu %s, %.1f s, %.1f s of one core: %.0f executions/s, %.0f operations/s; a "
               "second of the core: %.0f executions, %.0f operations\n",
               count, what, seconds, cpu, (double)executions / seconds,
               (double)operations / seconds, (double)executions / cpu, (double)operations / cpu);
    }
}

/* All inputs, and if some run on one thread and others under the engine, also each kind by itself.
 */
static void measure_all(void) {
    size_t interleaved = 0;
    for (size_t i = 0; i < kept.count; i++) {
        interleaved += kept.all[i].interleaved;
    }
    crash_watch();
    measure("inputs", true, true);
    if (interleaved > 0 && interleaved < kept.count) {
        measure("of them on one thread", true, false);
        measure("of them under the engine", false, true);
    }
}

/* ---- Files, folders, options ------------------------------------------------------------------
 */

static void input_handle(const char *path) {
    bool cut;
    if (!input_read("replay", path, option.has_target ? &option.target : NULL, &program, &cut)) {
        unreadable++;
        return;
    }
    if (cut && !option.quiet) {
        printf("# %s: more than 256 operations or 4096 choices: the rest is not run\n", path);
    }
    inputs++;
    if (option.bytes_folder != NULL) {
        write_bytes(path);
    } else if (option.seconds > 0) {
        keep_program(path);
    } else {
        if (!option.quiet) {
            printf(option.as_c ? "/* %s: %u operations */\n" : "# %s: %u operations\n", path,
                   program.operations);
        }
        if (option.as_c) {
            op_emit_c(stdout, &program, "program");
        } else if (!option.quiet) {
            op_print(stdout, &program);
        }
        if (!option.print_only) {
            input_run(path);
        }
    }
}

static int walk(const char *path, const struct stat *state, int type, struct FTW *walked) {
    (void)walked;
    const char *name = base_name(path);
    if (type == FTW_F && S_ISREG(state->st_mode) && name[0] != '.' &&
        strcmp(name, "README.md") != 0) {
        input_handle(path);
    }
    return 0;
}

static void path_handle(const char *path) {
    struct stat state;
    if (stat(path, &state) != 0) {
        complain(path, strerror(errno));
    } else if (S_ISDIR(state.st_mode)) {
        if (nftw(path, walk, 16, FTW_PHYS) != 0) {
            complain(path, "cannot be walked");
        }
    } else {
        input_handle(path);
    }
}

/* What the subject is, and which targets run on it. */
static void print_about(void) {
    subject_print(stdout, subject);
    for (unsigned target = 0; target < TARGET_COUNT; target++) {
        program = (struct program){.target = (enum op_target)target};
        const char *lack = exec_lacks(subject, &program);
        if (lack != NULL) {
            printf("target %s: not run: %s\n", op_target_name((enum op_target)target), lack);
        }
    }
}

static int usage(void) {
    fputs("usage: replay [-i] [-p] [-q] [-c] [-b FOLDER] [-t TARGET] [-s SECONDS] [-w SECONDS] "
          "PATH...\n"
          "  runs inputs (.ops text or bytes; folders: all files below) and prints their\n"
          "  operations. -p print only, -c as C, -q findings only, -b write bytes to FOLDER,\n"
          "  -t target of inputs in bytes, -s measure, -w limit, -i what the subject is. Status: 0 "
          "clean,\n"
          "  1 a finding, 2 usage, 3 nothing was run: the subject lacks what the inputs need.\n",
          stderr);
    return USAGE;
}

static bool options_read(int argc, char **argv) {
    for (int c; (c = getopt(argc, argv, "ipqcb:t:s:w:")) != -1;) {
        switch (c) {
        case 'i':
            option.about = true;
            break;
        case 'p':
            option.print_only = true;
            break;
        case 'q':
            option.quiet = true;
            break;
        case 'c':
            option.as_c = option.print_only = true;
            break;
        case 'b':
            option.bytes_folder = optarg;
            break;
        case 't':
            option.has_target = op_target_by_name(optarg, &option.target);
            if (!option.has_target) {
                fprintf(stderr, "replay: there is no target %s\n", optarg);
                return false;
            }
            break;
        case 'w':
            option.seconds_max = (unsigned)strtoul(optarg, NULL, 10);
            if (option.seconds_max == 0) {
                fprintf(stderr, "replay: -w wants a number of seconds\n");
                return false;
            }
            break;
        case 's':
            option.seconds = strtod(optarg, NULL);
            if (!(option.seconds > 0)) {
                fprintf(stderr, "replay: -s wants a number of seconds\n");
                return false;
            }
            break;
        default:
            return false;
        }
    }
    return option.about || optind < argc;
}

/* Keeps freed blocks mapped. The blocks of memories are large, and would be faulted in again each
 * time. */
static void keep_heap(void) {
#ifdef M_TRIM_THRESHOLD
    enum { LARGEST_BYTES = 32 << 20, KEPT_BYTES = 1 << 30 };
    (void)mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES);
    (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
#endif
}

/* A full disk must not look like a clean run. */
static bool all_written(void) {
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return true;
    }
    fprintf(stderr, "replay: the output could not be written: %s\n", strerror(errno));
    return false;
}

int main(int argc, char **argv) {
    if (!options_read(argc, argv)) {
        return usage();
    }
    keep_heap();
    subject = subject_chosen();
    if (subject == NULL || !interleave_ready()) {
        return USAGE;
    }
    if (option.about || (subject != subject_ref() && !option.quiet && !option.print_only)) {
        print_about();
    }
    if (option.about) {
        return CLEAN;
    }
    for (int i = optind; i < argc; i++) {
        path_handle(argv[i]);
    }
    if (option.seconds > 0) {
        measure_all();
    } else if (option.bytes_folder == NULL && !option.print_only) {
        printf("%u input%s, %u finding%s, %u not readable", inputs, inputs == 1 ? "" : "s",
               findings, findings == 1 ? "" : "s", unreadable);
        if (not_run > 0) {
            printf(", %u not run", not_run);
        }
        if (left_out > 0) {
            printf(", %u with operations left out", left_out);
        }
        putchar('\n');
    }
    while (kept.count > 0) {
        free(kept.all[--kept.count].data);
    }
    free(kept.all);
    const bool nothing_known = not_run == inputs || (left_out == 1 && inputs == 1);
    return !all_written() || unreadable > 0 || inputs == 0 ? USAGE
           : findings > 0                                  ? FINDING
           : nothing_known                                 ? INCONCLUSIVE
                                                           : CLEAN;
}
