/* reproducer.c: a finding as a C program of its own, to be attached to a bug report.
 *
 *   reproducer [-n NAME] [-t TARGET] [-p MAPPING] -o FOLDER INPUT
 *                                               writes FOLDER/finding.c and its Makefile
 *
 * With one thread the program is the calls that the input made, each with what the rules let it
 * answer (tape.h), over a mapping to the library: program/ref.h for ours, that of -p MAPPING or
 * PAGEBOX_PARTS for a SUBJECT (subjects/README.md), else the subject's own table. With threads each
 * has its calls, and program/threads.h runs them until they answer what was found, which no order
 * of them permits. It exits 1 naming the broken rule, 0 when all is good. Exit status: 0 written, 2
 * usage, or an input that cannot be read or breaks nothing.
 */
#include "exec.h"
#include "host_calls.h"
#include "input.h"
#include "interleave.h"
#include "load.h"
#include "tape.h"
#include "trial.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USAGE = 2, CALLS_MAX = 512 };

/* ---- Parts ------------------------------------------------------------------------------------
 */

/* These files' text, put into this program by the assembler. */
#define EMBED(name, path)                                                             \
    __asm__(".section .rodata\n.global " #name "\n" #name ":\n.incbin \"" path "\"\n" \
            ".byte 0\n.text\n");                                                      \
    extern const char name[]
EMBED(program_check, "fuzz/targets/program/check.h");
EMBED(program_ref, "fuzz/targets/program/ref.h");
EMBED(program_faults, "fuzz/targets/program/faults.h");
EMBED(program_table, "fuzz/targets/program/table.h");
EMBED(program_subject, "fuzz/subject.h");
EMBED(program_threads, "fuzz/targets/program/threads.h");

static bool is_threaded;
static bool is_weak; /* needs a weak memory order */

/* ---- The head ---------------------------------------------------------------------------------
 */

static struct trial trial;
static char place[TRIAL_PLACE_BYTES];

static bool has_faults(const struct program *program) {
    bool any = false;
    for (unsigned i = 0; i < program->operations; i++) {
        any |= program->operation[i].code == OP_fault || program->operation[i].code == OP_fault_at;
    }
    return any;
}

/* What the linker is told of calls that fail. */
static const char *flags(void) {
    static char text[1024];
    text[0] = '\0';
    for (unsigned i = 0; has_faults(&trial.program) && op_word(KIND_call, i) != NULL; i++) {
        const char *call = op_word(KIND_call, i);
        if (strncmp(call, "os_", 3) == 0) { /* the others belong to the allocator */
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, " -Wl,--wrap=pb_%s", call);
        }
    }
    return text;
}

/* How the program calls the library: by our mapping, the author's, or the subject's table. */
static struct {
    const char *text;
    enum { TO_REF, TO_ANOTHER, TO_TABLE } kind;
} mapping;

/* The line that compiles it. Static. */
static const char *build_line(const char *pagebox) {
    static char line[2048];
    const char *subject = getenv("SUBJECT");
    char *real = subject == NULL ? NULL : realpath(subject, NULL), *seen;
    /* build.sh -e builds an object for the engine alone; the program needs the ordinary one. */
    if (real != NULL && (seen = strstr(real, ".engine.so")) != NULL) {
        memcpy(seen, ".so", sizeof ".so");
    }
    if (mapping.kind == TO_REF) {
        snprintf(line, sizeof line,
                 "cc -O2 -g $(CFLAGS) -I%s/ref finding.c %s/build/plain/libpagebox.a -pthread%s -o "
                 "finding",
                 pagebox, pagebox, flags());
    } else if (mapping.kind == TO_TABLE) {
        snprintf(
            line, sizeof line,
            "cc -O2 -g $(CFLAGS) -DSUBJECT_PATH='\"%s\"' -I. finding.c -pthread -ldl -o finding",
            real != NULL ? real : "subject.so");
    } else if (sscanf(mapping.text, "/* %2000[^*]", line) == 1) {
        line[strlen(line) - 1] = '\0'; /* the space before the comment's end */
    }
    free(real);
    return line;
}

static void print_program_comment(FILE *out, const struct program *program) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL) {
        return;
    }
    op_print(memory, program);
    fclose(memory);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        fprintf(out, " *     %.*s\n", (int)(end - line), line);
    }
    free(text);
}

static bool takes_turns(const struct program *program) {
    return is_threaded && trial.preemptions == 0 && program->choices_bytes == 0;
}

static void print_head(FILE *out, const struct program *program) {
    fprintf(out, "/* finding.c: %s%s%s.\n *\n", trial.name, place[0] != '\0' ? " at " : "", place);
    fprintf(out, " *     %s\n", build_line("$(PAGEBOX)"));
    fputs(" *     ./finding        exits 1 and names the rule when it is broken, 0 when all is"
          " good\n *\n",
          out);
    if (!is_threaded) {
        fputs(" * One thread, the same in each run: the calls, each with what the rules let it "
              "answer.\n"
              " * The operations:\n *\n",
              out);
    } else if (is_weak) {
        fputs(
            " * It needs a weak memory order: the rule held in 1,600 runs in which every read took "
            "the\n"
            " * newest value, so x86-64 will hardly ever show it. Run it under the engine; if\n"
            " * schedule.txt is beside this file, it is the schedule:\n *\n"
            " *     make explore PAGEBOX=<the checkout> [REPLAY=schedule.txt]\n *\n"
            " * The schedule that was found is the last line, for make replay INPUT=<these "
            "lines>.\n"
            " * The operations:\n *\n",
            out);
    } else if (takes_turns(program)) {
        fputs(" * Threads take turns, a call each, in the order that broke the rule under the "
              "concurrency\n"
              " * engine: the same in each run. The operations:\n *\n",
              out);
    } else {
        fputs(
            " * The engine switched threads inside calls. So each thread in turn is stopped "
            "after every\n"
            " * machine instruction while the others run (x86-64, threads.h), for at most SECONDS "
            "(-DSECONDS=60).\n"
            " * A bug that needs more than two such stops, or a weak memory order, may be missed. "
            "The engine\n"
            " * finds it in the same program:\n *\n",
            out);
        fputs(" *     make explore PAGEBOX=<the checkout>\n *\n", out);
        fputs(" * The schedule that was found is the last line, for make replay INPUT=<these "
              "lines>.\n"
              " * The operations:\n *\n",
              out);
    }
    print_program_comment(out, program);
    fputs(" */\n", out);
    fputs("#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n", out);
}

/* ---- One thread -------------------------------------------------------------------------------
 */

/* The lines that the run wrote down, and the functions for parked guests. */
static FILE *lines, *functions;
static bool looks_are_whole = true;

/* Runs it once more, in a process of its own, since it may crash. */
static bool write_lines(const struct subject *subject, const struct program *program) {
    int status = 0;
    lines = tmpfile();
    functions = tmpfile();
    if (lines == NULL || functions == NULL) {
        return false;
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
        for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
            signal(fatal[i], SIG_DFL);
        }
        alarm(10);
        (void)exec_run(tape_begin(subject, lines, functions), program, NULL);
        _exit(tape_end() ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return false;
    }
    looks_are_whole = !WIFEXITED(status) || WEXITSTATUS(status) == 0;
    return true;
}

/* A stream's text, from its start; NULL: no memory. */
static char *text_of(FILE *file) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    rewind(file);
    for (int c; memory != NULL && (c = fgetc(file)) != EOF;) {
        fputc(c, memory);
    }
    if (memory != NULL) {
        fclose(memory);
    }
    return text;
}

/* How many names of a kind there are: m0, m1, ... */
static unsigned names_in(const char *text, char kind) {
    unsigned count = 0, n;
    for (const char *at = text; (at = strchr(at, kind)) != NULL; at++) {
        bool begins = at == text || !isalnum((unsigned char)at[-1]);
        if (begins && at[-1] != '_' && isdigit((unsigned char)at[1]) &&
            sscanf(at + 1, "%u", &n) == 1 && n >= count) {
            count = n + 1;
        }
    }
    return count;
}

static void print_declarations(FILE *out, const char *text, const char *nested) {
    const unsigned memories = names_in(text, 'm'), wakers = names_in(text, 'w');
    for (unsigned i = 0; i < memories; i++) {
        char own[16]; /* where its base and length are to stand */
        fprintf(out, "static memory m%u;\nstatic const void *m%u_base;\n", i, i);
        snprintf(own, sizeof own, "&r%u,", i);
        if (strstr(text, own) != NULL) {
            fprintf(out, "static record r%u;\n", i);
        }
    }
    for (unsigned i = 0; i < wakers; i++) {
        fprintf(out, "static waker w%u;\n", i);
    }
    fputs(strstr(text, "mailbox_") != NULL ? "static mailbox b;\n" : "", out);
    fputs(strstr(text, "b_other") == NULL
              ? ""
              : "static mailbox b_other; /* in the same memory */\n\n"
                "static void other_mailbox(void) {\n    const mailbox was = b;\n"
                "    b = b_other;\n    b_other = was;\n}\n",
          out);
    fprintf(out, "\n%s", nested);
    for (unsigned i = 0; i < 256; i++) { /* it crashed before the host's calls were known */
        char name[32], whole[48];
        snprintf(name, sizeof name, "meanwhile%u,", i);
        snprintf(whole, sizeof whole, "meanwhile%u(void)", i);
        if (strstr(text, name) != NULL && strstr(nested, whole) == NULL) {
            fprintf(out, "static void %s {}\n", whole);
        }
    }
}

/* What makes calls of our library fail; a subject's are those of the allocator, in check.h. */
static void print_faults(FILE *out, const struct program *program) {
    fputs(mapping.kind == TO_REF && has_faults(program) ? "#include \"faults.h\"\n\n" : "\n", out);
}

static void print_sequential(FILE *out, const struct program *program) {
    static const char *const includes[] = {"ref.h", "map.h", "table.h"};
    const bool leaks = strncmp(trial.name, "R14-", 4) == 0 || strncmp(trial.name, "R6-", 3) == 0;
    char *text = text_of(lines), *nested = text_of(functions);
    print_head(out, program);
    fprintf(out, "#include \"check.h\"\n#include \"%s\"\n", includes[mapping.kind]);
    print_faults(out, program);
    print_declarations(out, text, nested);
    fputs("\nint main(void) {\n    watch();\n", out);
    if (has_faults(program) && program->choices_bytes > 0) {
        fputs("    static const uint8_t drawn[] = {", out);
        for (size_t i = 0; i < program->choices_bytes; i++) {
            fprintf(out, "%s%u", i > 0 ? ", " : "", program->choices[i]);
        }
        fputs("};\n    choices = drawn;\n    choices_n = sizeof drawn;\n", out);
    }
    fputs("    library_begin();\n", out);
    fputs(leaks ? "    leaks_begin();\n" : "", out);
    fputs(text, out);
    fputs("    now(\"R14-crash\", \"the end\");\n    library_end();\n", out);
    fputs(leaks ? "    leaks_end();\n" : "", out);
    fputs("    return good();\n}\n", out);
    free(text);
    free(nested);
}

/* ---- Threads ----------------------------------------------------------------------------------
 */

/* The calls of the run, by number, and lines of C that stand before them (call.text, no end). */
static struct made {
    int thread;
    unsigned phase; /* 0 before the threads, 1 in a thread, 2 after them */
    bool is_line, has_ended;
    char rule[48], *text;
    unsigned status, began, ended;
    uint64_t answer;
} made[CALLS_MAX];
static unsigned made_n, calls_n, call_at[CALLS_MAX], threads_used;
static uint32_t drained[CALLS_MAX];
static unsigned drained_n;
static bool is_judged;  /* a judge found it by answers and order, or by who sleeps */
static bool is_at_rest; /* ... by who sleeps */
static bool is_crash;   /* the engine found an access that would crash on any machine */

/* One line of tape_threads' log. */
static void read_event(char *line, unsigned number) {
    struct made *m = &made[made_n];
    unsigned k = 0, status;
    int at = 0;
    uint64_t value;
    if (sscanf(line, "took %" SCNu64, &value) == 1 && drained_n < CALLS_MAX) {
        drained[drained_n++] = (uint32_t)value;
    } else if (sscanf(line, "end %u %u %" SCNu64, &k, &status, &value) == 3 && k < calls_n) {
        m = &made[call_at[k]];
        m->has_ended = true;
        m->ended = number;
        m->status = status;
        m->answer = value;
    } else if (made_n < CALLS_MAX &&
               (sscanf(line, "line %d %n", &m->thread, &at) == 1 ||
                sscanf(line, "begin %u %d %47s %n", &k, &m->thread, m->rule, &at) == 3) &&
               at > 0) {
        m->is_line = m->rule[0] == '\0';
        m->text = strdup(line + at + strspn(line + at, " "));
        m->text[strcspn(m->text, "\n")] = '\0';
        m->began = number;
        m->phase = m->thread >= 0 ? 1 : threads_used != 0 ? 2 : 0;
        threads_used |= m->thread >= 0 ? 1u << m->thread : 0;
        if (!m->is_line) {
            call_at[calls_n++] = made_n;
        }
        made_n++;
    }
}

/* How a finding shows: 's' by who sleeps, 'j' by what a judge says, 'c' as a crash; '-': only the
 * engine sees it. */
static char kind_of(const char *finding) {
    static const char *const kinds[][2] = {{"deadlock", "s"},
                                           {"lost-wakeup", "s"},
                                           {"page-fault", "c"},
                                           {"null-access", "c"},
                                           {"wild-access", "c"}};
    for (unsigned i = 0; finding != NULL && i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(finding, kinds[i][0]) == 0) {
            return kinds[i][1][0];
        }
    }
    return finding != NULL && finding[0] == 'R' && isdigit(finding[1]) ? 'j' : '-';
}

/* Runs it once more, in a process of its own, which writes its calls down as they come. */
static bool write_log(const struct subject *subject, const struct program *program) {
    static char line[16384];
    int answer[2], status = 0;
    lines = tmpfile();
    fflush(NULL);
    if (lines == NULL || pipe(answer) != 0) {
        return false;
    }
    pid_t child = fork();
    if (child == 0) {
        alarm(10);
        unsetenv("SCHED");
        tape_threads(lines);
        (void)interleave_run(subject != subject_ref() ? subject : NULL, program, NULL);
        const char kind = kind_of(interleave_told()->finding);
        _exit(write(answer[1], &kind, 1) == 1 ? 0 : 1);
    }
    close(answer[1]);
    char kind = '-';
    if (child < 0 || waitpid(child, &status, 0) != child || read(answer[0], &kind, 1) < 0) {
        return false;
    }
    close(answer[0]);
    is_at_rest = kind == 's';
    /* A finding that only the engine sees does not show in the answers. */
    is_crash = kind == 'c';
    is_judged = (kind == 's' || kind == 'j') && strcmp(trial.name, "R22-notifier-unseen") != 0;
    looks_are_whole = is_judged || is_crash;
    rewind(lines);
    for (unsigned number = 1; fgets(line, sizeof line, lines) != NULL; number++) {
        read_event(line, number);
    }
    return made_n > 0;
}

enum { NEWEST_SEEDS = 100 }; /* of 16 runs each */

/* True if the rule breaks only when a thread reads an old value: many runs without such reads did
 * not break it. */
static bool wants_old_values(const struct subject *subject, const struct program *program) {
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        interleave_newest = true;
        for (int seed = 0; seed < NEWEST_SEEDS; seed++) {
            char number[16];
            snprintf(number, sizeof number, "%d", seed);
            setenv("SEED", number, 1);
            setenv("SCHED", seed % 2 == 0 ? "uniform" : "pct", 1);
            fclose(stderr);
            const char *rule =
                interleave_run(subject != subject_ref() ? subject : NULL, program, NULL);
            if (rule != NULL && strcmp(rule, trial.name) == 0) {
                _exit(1);
            }
        }
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static void print_calls(FILE *out, int thread, unsigned phase) {
    unsigned k = 0;
    for (unsigned i = 0; i < made_n; i++) {
        const struct made *m = &made[i];
        if (m->thread == thread && m->phase == phase) {
            if (m->is_line) {
                fprintf(out, "    %s\n", m->text);
            } else {
                fprintf(out, "    IN(%u, \"%s\", %s);\n", k, is_crash ? trial.name : m->rule,
                        m->text);
            }
        }
        k += !m->is_line;
    }
}

/* Notes that one call ended before the other began, which the rules of memories depend on. What a
 * mailbox owes a sleeping guest does not. */
static bool is_ordered(unsigned first, unsigned second) {
    const struct made *one = &made[call_at[first]], *two = &made[call_at[second]];
    const bool of_memory =
        strncmp(one->text, "memory_", 7) == 0 && strncmp(two->text, "memory_", 7) == 0;
    return one->phase == 1 && two->phase == 1 && one->thread != two->thread && one->has_ended &&
           one->ended < two->began && (of_memory || !is_at_rest);
}

/* A sleeping wait is a bug if the value has changed by now, or if waits were disabled. */
static void print_sleeper(FILE *out, unsigned number, const char *text) {
    char memory[16], address[40], expected[40];
    unsigned bits;
    bool disables = false;
    fprintf(out, " &&\n           sleeps(%u)", number);
    for (unsigned i = 0; i < made_n; i++) {
        disables |= strstr(made[i].text, "memory_disable_atomics(") != NULL;
    }
    if (!disables && sscanf(text, "memory_wait%u(%15[^,], %39[^,], %39[^,],", &bits, memory,
                            address, expected) == 4) {
        fprintf(out, " && CHANGED(%s, %s, %u, %s)", memory, address, bits / 8, expected);
    }
}

static void print_as_found(FILE *out) {
    fputs("/* What the calls answered when it was found, and which had ended before which began. "
          "No order\n * of the calls permits that. */\nstatic bool as_found(void) {\n    return ",
          out);
    fputs(is_judged ? "made[0].ended != 0" : "false /* a crash, or what only the engine sees */",
          out);
    for (unsigned k = 0; is_judged && k < calls_n; k++) {
        const struct made *m = &made[call_at[k]];
        if (m->has_ended) {
            fprintf(out, " &&\n           answered(%u, %s, %" PRIu64 ")", k,
                    tape_statuses(UINT64_C(1) << m->status), m->answer);
        } else if (is_at_rest) {
            print_sleeper(out, k, m->text);
        }
        for (unsigned other = 0; other < k; other++) {
            if (is_ordered(other, k)) {
                fprintf(out, " &&\n           in_order(%u, %u)", other, k);
            }
        }
    }
    for (unsigned i = 0; is_judged && i < drained_n; i++) {
        fprintf(out, " &&\n           drained(%u, %" PRIu32 ")", i, drained[i]);
    }
    fputs(";\n}\n\n", out);
}

static void print_threads(FILE *out, const struct program *program) {
    static const char *const includes[] = {"ref.h", "map.h", "table.h"};
    unsigned count = 0, first = 0;
    char *text = text_of(lines);
    is_threaded = true;
    print_head(out, program);
    for (unsigned t = 0; t < OP_THREADS; t++) {
        count += threads_used >> t & 1;
    }
    fprintf(out, "enum { CALLS = %u, THREADS = %u, TURNS = %d };\n\n", calls_n, count,
            takes_turns(program));
    fprintf(out, "#include \"check.h\"\n#include \"%s\"\n#include \"threads.h\"\n",
            includes[mapping.kind]);
    print_faults(out, program);
    print_declarations(out, text, "");
    fputs("static void before(void) {\n", out);
    print_calls(out, -1, 0);
    fputs("}\n\n", out);
    for (int t = 0; t < (int)OP_THREADS; t++) {
        if (threads_used >> t & 1) {
            fprintf(out, "static void thread_%d(void) {\n", t);
            print_calls(out, t, 1);
            fputs("}\n\n", out);
        }
    }
    fputs("static void (*const threads[THREADS])(void) = {", out);
    for (int t = 0; t < (int)OP_THREADS; t++) {
        if (threads_used >> t & 1) {
            fprintf(out, "%sthread_%d", first++ > 0 ? ", " : "", t);
        }
    }
    fputs("};\nstatic const int call_thread[CALLS + 1] = {", out);
    for (unsigned k = 0; k < calls_n; k++) {
        const struct made *m = &made[call_at[k]];
        int number = m->phase == 1 ? 0 : -1;
        for (int t = 0; t < m->thread && number >= 0; t++) {
            number += (int)(threads_used >> t & 1);
        }
        fprintf(out, "%s%d", k > 0 ? ", " : "", number);
    }
    fputs("};\n\nstatic void behind(void) {\n", out);
    print_calls(out, -1, 2);
    fputs("}\n\n", out);
    print_as_found(out);
    fprintf(out, "int main(void) {\n    return in_threads(\"%s\");\n}\n", trial.name);
    free(text);
}

/* ---- Start and end ----------------------------------------------------------------------------
 */

static struct {
    const char *folder, *name, *parts;
    bool has_target;
    enum op_target target;
} option;

/* The whole file with a 0 behind it, which stays; NULL: errno says why. */
static char *file_text(const char *path) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = fopen(path, "r"), *memory = open_memstream(&text, &bytes);
    for (int c; file != NULL && memory != NULL && (c = fgetc(file)) != EOF;) {
        fputc(c, memory);
    }
    if (memory != NULL) {
        fclose(memory);
    }
    if (file == NULL) {
        return NULL;
    }
    fclose(file);
    return text;
}

static bool write_file(const char *name, void (*print)(FILE *, const struct program *),
                       const char *text) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", option.folder, name);
    FILE *out = fopen(path, "w");
    assert(print != NULL || text != NULL);
    if (out != NULL && text != NULL) {
        fputs(text, out);
    } else if (out != NULL) {
        print(out, &trial.program);
    }
    if (out == NULL || ferror(out) || fclose(out) != 0) {
        fprintf(stderr, "reproducer: %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static void print_makefile(FILE *out, const struct program *program) {
    (void)program;
    fputs(mapping.kind == TO_REF
              ? "# Makefile: make PAGEBOX=<the library's checkout, built> && ./finding\n"
              : "# Makefile: make && ./finding\n",
          out);
    fprintf(out, "finding: finding.c; %s\n", build_line("$(PAGEBOX)"));
    if (is_threaded) {
        fprintf(
            out,
            "SOURCES = %s\n"
            "explore:; env -u MAKEFLAGS -u MFLAGS $(MAKE) -C $(PAGEBOX) explore "
            "SRC='$(CURDIR)/finding.c $(SOURCES)' "
            "CFLAGS_SRC='-DEXPLORE -D_GNU_SOURCE -I$(CURDIR) %s%s $(CFLAGS)' "
            "ROOT='$(CURDIR)' "
            "TIME='$(or $(TIME),300)' $(if $(REPLAY),REPLAY='$(abspath $(REPLAY))'); "
            "status=$$?; $(if $(REPLAY),,cp results/explore/latest/schedule.txt . 2>/dev/null;) "
            "exit $$status\n",
            mapping.kind == TO_REF ? "$(wildcard $(abspath $(PAGEBOX))/ref/*.c)" : "",
            mapping.kind == TO_REF ? "-I$(abspath $(PAGEBOX))/ref" : "",
            mapping.kind == TO_REF ? flags() : "");
    }
}

static void print_program(FILE *out, const struct program *program) {
    if (interleave_wants(program)) {
        print_threads(out, program);
    } else {
        print_sequential(out, program);
    }
}

/* Every call of the lines is in the author's mapping. */
static bool maps_all(const char *map) {
    char *text = text_of(lines);
    bool all = true;
    for (char *at = text; (at = strstr(at, "CALL(\"")) != NULL; at++) {
        char *name = strstr(at, "\", ") + 3;
        name += strncmp(name, "DONE(", 5) == 0 ? 5 : 0;
        name += strncmp(name, "answer = ", 9) == 0 ? 9 : 0;
        const size_t bytes = strcspn(name, "(");
        const char kept = name[bytes];
        name[bytes] = '\0';
        if (all && strstr(map, name) == NULL) {
            fprintf(stderr,
                    "reproducer: the mapping has no %s: the program calls the subject's "
                    "table\n",
                    name);
            all = false;
        }
        name[bytes] = kept;
    }
    free(text);
    return all;
}

/* Chooses the mapping; false after saying what is wrong. */
static bool mapping_choose(const struct subject *subject) {
    const char *path = option.parts != NULL ? option.parts : getenv("PAGEBOX_PARTS");
    if (subject == subject_ref()) {
        mapping.text = program_ref;
        return true;
    }
    mapping.kind = TO_TABLE;
    mapping.text = program_table;
    if (path == NULL || *path == '\0') {
        return true;
    }
    char *text = file_text(path);
    if (text == NULL || strncmp(text, "/* ", 3) != 0) {
        fprintf(stderr, "reproducer: %s: %s\n", path,
                text == NULL ? strerror(errno)
                             : "its first line is to be how to compile, in a comment");
        return false;
    }
    if (maps_all(text)) {
        mapping.kind = TO_ANOTHER;
        mapping.text = text;
    }
    return true;
}

static bool write_all(void) {
    static const char *const names[] = {"ref.h", "map.h", "table.h"};
    bool written = write_file("finding.c", print_program, NULL) &&
                   write_file("Makefile", print_makefile, NULL);
    if (written) {
        written = write_file("check.h", NULL, program_check) &&
                  (!is_threaded || write_file("threads.h", NULL, program_threads)) &&
                  write_file(names[mapping.kind], NULL, mapping.text) &&
                  write_file("faults.h", NULL, program_faults) &&
                  (mapping.kind != TO_TABLE || write_file("subject.h", NULL, program_subject));
    }
    return written;
}

/* Operations of the reference's own functions have no lines in such a program. */
static bool calls_the_host(const struct program *program) {
    bool any = false;
    for (unsigned i = 0; i < program->operations; i++) {
        any |= host_call_is(program->operation[i].code);
    }
    return any;
}

static int run(const char *path) {
    static struct program program;
    struct trial_settings settings = {
        .subject = subject_chosen(), .milliseconds_max = 5000, .schedules = 1};
    if (settings.subject == NULL || !interleave_ready() ||
        !input_read("reproducer", path, option.has_target ? &option.target : NULL, &program,
                    NULL)) {
        return USAGE;
    }
    if (!trial_run(&settings, &program, &trial)) {
        fprintf(stderr, "reproducer: cannot start a process to run the input in\n");
        return USAGE;
    }
    const bool finds = trial.name[0] != '\0';
    if (option.name != NULL) {
        snprintf(trial.name, sizeof trial.name, "%s", option.name);
    } else if (trial.name[0] == '\0') {
        fprintf(stderr, "reproducer: the input breaks nothing here: say -n NAME to get the program"
                        " all the same\n");
        return USAGE;
    } else if (strcmp(trial.name, "timeout") != 0) {
        trial_place(&settings, &trial.program, place);
    }
    const bool threads = interleave_wants(&trial.program);
    if (threads ? !write_log(settings.subject, &trial.program)
                : !write_lines(settings.subject, &trial.program)) {
        fprintf(stderr, "reproducer: cannot run the input to write its calls down\n");
        return USAGE;
    }
    if (!mapping_choose(settings.subject)) {
        return USAGE;
    }
    is_weak = threads && finds && wants_old_values(settings.subject, &trial.program);
    if (mkdir(option.folder, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "reproducer: %s: %s\n", option.folder, strerror(errno));
        return USAGE;
    }
    bool good = write_all();
    if (good && calls_the_host(&trial.program)) {
        fprintf(stderr,
                "reproducer: the calls of host_... operations are in fuzz/reference/host_*.c:"
                " the program leaves them out, and `make replay` makes them\n");
    } else if (good && !looks_are_whole) {
        fprintf(stderr,
                "reproducer: what shows %s cannot be asked of the library: the program makes "
                "the calls and cannot fail by itself\n",
                trial.name);
    }
    if (good) {
        printf("%s\n", trial.name);
    }
    return good ? 0 : USAGE;
}

static int usage(void) {
    fputs("usage: reproducer [-n NAME] [-t TARGET] [-p MAPPING] -o FOLDER INPUT\n"
          "  writes FOLDER/finding.c, a program that needs the library alone, and its Makefile.\n"
          "  Status: 0 written, 2 usage, or an input that breaks nothing.\n",
          stderr);
    return USAGE;
}

int main(int argc, char **argv) {
    for (int c; (c = getopt(argc, argv, "n:o:p:t:")) != -1;) {
        switch (c) {
        case 'n':
            option.name = optarg;
            break;
        case 'p':
            option.parts = optarg;
            break;
        case 'o':
            option.folder = optarg;
            break;
        case 't':
            option.has_target = op_target_by_name(optarg, &option.target);
            if (!option.has_target) {
                fprintf(stderr, "reproducer: there is no target %s\n", optarg);
                return USAGE;
            }
            break;
        default:
            return usage();
        }
    }
    if (option.folder == NULL || optind + 1 != argc) {
        return usage();
    }
    return run(argv[optind]);
}
