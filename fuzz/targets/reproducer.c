/* reproducer.c: a finding as a C program of its own, to be attached to a bug report.
 *
 *   reproducer [-n NAME] [-t TARGET] [-p MAPPING] -o FOLDER INPUT
 *                                               writes FOLDER/finding.c and its Makefile
 *
 * With one thread the program is the calls that the input made, each with what the rules let it
 * answer (tape.h), over a mapping to the library: program/ref.h for ours, that of -p MAPPING or
 * PAGEBOX_PARTS for a SUBJECT (subjects/README.md), else the subject's own table. With threads it
 * is put together from the parts in reproducer/threads.c. It exits 1 naming the broken rule, 0 when
 * all is good. Exit status: 0 written, 2 usage, or an input that cannot be read or breaks nothing.
 */
#include "exec.h"
#include "input.h"
#include "interleave.h"
#include "load.h"
#include "tape.h"
#include "trial.h"

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

enum { USAGE = 2, PARTS_MAX = 160 };

/* ---- Parts ------------------------------------------------------------------------------------
 */

/* The two files' text, put into this program by the assembler. */
#define EMBED(name, path)                                                             \
    __asm__(".section .rodata\n.global " #name "\n" #name ":\n.incbin \"" path "\"\n" \
            ".byte 0\n.text\n");                                                      \
    extern const char name[]
EMBED(program_check, "fuzz/targets/program/check.h");
EMBED(program_ref, "fuzz/targets/program/ref.h");
EMBED(program_faults, "fuzz/targets/program/faults.h");
EMBED(program_table, "fuzz/targets/program/table.h");
EMBED(program_subject, "fuzz/subject.h");
EMBED(reproducer_threads, "fuzz/targets/reproducer/threads.c");

static struct part {
    char name[64], needs[256];
    const char *text;
    size_t bytes;
    bool wanted;
} parts[PARTS_MAX];
static unsigned parts_n;

static void parts_read(const char *text) {
    for (const char *at = strstr(text, "/*= "); at != NULL; at = strstr(at + 1, "\n/*= ")) {
        struct part *part = &parts[parts_n];
        at += *at == '\n';
        const char *line_end = strchr(at, '\n');
        if (parts_n == PARTS_MAX || line_end == NULL ||
            sscanf(at, "/*= %63[^:]: %255[^=]", part->name, part->needs) < 1) {
            fprintf(stderr, "reproducer: a part that cannot be read: %.40s\n", at);
            exit(USAGE);
        }
        part->text = line_end + 1;
        const char *end = strstr(line_end, "\n/*= "); /* at once where the part is empty */
        part->bytes = end != NULL ? (size_t)(end + 1 - part->text) : strlen(part->text);
        parts_n++;
    }
}

static struct part *part_find(const char *name) {
    for (unsigned i = 0; i < parts_n; i++) {
        if (strcmp(parts[i].name, name) == 0) {
            return &parts[i];
        }
    }
    return NULL;
}

/* Marks the part and all that it needs; false when there is none of that name. */
static bool want(const char *name) {
    struct part *part = part_find(name);
    if (part == NULL || part->wanted) {
        return part != NULL;
    }
    part->wanted = true;
    char needs[sizeof part->needs], *rest = needs;
    snprintf(needs, sizeof needs, "%s", part->needs);
    for (char *one; (one = strtok_r(rest, " ", &rest)) != NULL;) {
        if (!want(one)) {
            fprintf(stderr, "reproducer: %s needs %s, which is no part\n", name, one);
            exit(USAGE);
        }
    }
    return true;
}

static bool wanted(const char *name) {
    const struct part *part = part_find(name);
    return part != NULL && part->wanted;
}

static void parts_print(FILE *out) {
    for (unsigned i = 0; i < parts_n; i++) {
        if (parts[i].wanted) {
            fwrite(parts[i].text, 1, parts[i].bytes, out);
        }
    }
}

/* ---- Operations as calls ----------------------------------------------------------------------
 */

static bool is_threaded;

static void print_number(FILE *out, uint64_t value) {
    if (value <= INT32_MAX) {
        fprintf(out, "%" PRIu64, value);
    } else {
        fprintf(out, "UINT64_C(%" PRIu64 ")", value);
    }
}

/* What counts from the end counts from that of the operation's first memory. */
static void print_address(FILE *out, const struct op *op, uint64_t value) {
    int64_t distance = (int64_t)(value - OP_ADDRESS_END);
    if (value < OP_ADDRESS_END / 2) {
        print_number(out, value);
    } else if (distance == 0) {
        fprintf(out, "end_of(%u)", (unsigned)op->arg.raw[0]);
    } else {
        fprintf(out, "end_of(%u) %c %" PRIu64, (unsigned)op->arg.raw[0], distance < 0 ? '-' : '+',
                (uint64_t)(distance < 0 ? -distance : distance));
    }
}

static void print_argument(FILE *out, const struct op *op, enum op_kind kind, uint64_t value) {
    switch (kind) {
    case KIND_address:
        print_address(out, op, value);
        break;
    case KIND_signed:
        if ((int64_t)value > INT32_MIN && (int64_t)value < 0) {
            fprintf(out, "%" PRId64, (int64_t)value);
        } else {
            fputs((int64_t)value < 0 ? "(int64_t)" : "", out);
            print_number(out, value);
        }
        break;
    case KIND_yesno:
        fputs(value == WORD_yesno_yes ? "true" : "false", out);
        break;
    case KIND_width:
        fputs(op_word(kind, value), out);
        break;
    default:
        if (kind == KIND_limit && value == UINT32_MAX) {
            fputs("PB_NO_MAXIMUM", out);
        } else if (op_word(kind, value) != NULL) {
            fprintf(out, "\"%s\"", op_word(kind, value));
        } else {
            print_number(out, value);
        }
    }
}

/* These look at who calls also where there is one thread. */
static bool wants_thread(uint8_t code) {
    return is_threaded || code == OP_mailbox_enqueue || code == OP_guest_park;
}

static void print_call(FILE *out, const struct op *op, enum op_target target) {
    const struct op_info *info = op_info(target, op->code);
    const char *comma = "";
    fprintf(out, "    %s(", op->code == OP_fault ? "fail_next" : info->name);
    if (wants_thread(op->code)) {
        fprintf(out, "%u", op->thread);
        comma = ", ";
    }
    for (unsigned i = 0; i < info->arguments; i++) {
        fputs(comma, out);
        comma = ", ";
        print_argument(out, op, info->argument[i].kind, op->arg.raw[i]);
    }
    fputs(");\n", out);
}

/* Its part; false, with a message, when there is none. */
static bool want_operation(const struct op *op, enum op_target target) {
    char name[80];
    if (op->code == OP_fault || op->code == OP_fault_at) {
        return want("faults");
    }
    const char *called = op_info(target, op->code)->name;
    snprintf(name, sizeof name, "%s%s", is_threaded ? "t_" : "", called);
    bool lives_in_memory = strcmp(name, "memory_destroy") == 0;
    if (!want(lives_in_memory ? "memory" : name)) {
        fprintf(stderr, "reproducer: %s has no part in fuzz/targets/reproducer/: it is left out\n",
                name);
        return false;
    }
    return true;
}

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
    for (unsigned i = 0;
         !is_threaded && has_faults(&trial.program) && op_word(KIND_call, i) != NULL; i++) {
        const char *call = op_word(KIND_call, i);
        if (strncmp(call, "os_", 3) == 0) { /* the others are the allocator's */
            size_t used = strlen(text);
            snprintf(text + used, sizeof text - used, " -Wl,--wrap=pb_%s", call);
        }
    }
    return text;
}

/* The mapping to the library: ours, the subject's author's, or none: by the table. */
static struct {
    const char *text;
    enum { TO_REF, TO_ANOTHER, TO_TABLE } kind;
} mapping;

/* The line that compiles it. Static. */
static const char *build_line(const char *pagebox) {
    static char line[2048];
    const char *subject = getenv("SUBJECT");
    char *real = subject == NULL ? NULL : realpath(subject, NULL);
    if (mapping.kind == TO_REF) {
        snprintf(line, sizeof line,
                 "cc -O2 -g $(CFLAGS) -I%s/ref finding.c %s/build/plain/libpagebox.a -pthread%s -o "
                 "finding",
                 pagebox, pagebox, flags());
    } else if (mapping.kind == TO_TABLE) {
        snprintf(line, sizeof line,
                 "cc -O2 -g $(CFLAGS) -DSUBJECT_PATH='\"%s\"' -I. finding.c -ldl -o finding",
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
        fputs(" * One thread; the same in each run: the calls that were made, and behind each what "
              "the rules\n"
              " * let it answer. The operations:\n *\n",
              out);
    } else if (takes_turns(program)) {
        fputs(
            " * Threads take turns, an operation each, in the order that broke the rule under the\n"
            " * concurrency engine: the same in each run. The operations:\n *\n",
            out);
    } else {
        fputs(" * The schedule that breaks the rule lies inside of operations. So each thread in "
              "turn is\n"
              " * stopped after every machine instruction while the others run (x86-64), and then "
              "real\n"
              " * threads run freely for SECONDS more (-DSECONDS=60). What needs two such stops, "
              "or a read\n"
              " * of an old value, which x86-64 may never do, is met by chance or not at all: a "
              "run that\n"
              " * says good proves less than one that fails. The exact schedule is the last line, "
              "for the\n"
              " * engine: make replay INPUT=<these lines>. The operations:\n *\n",
              out);
    }
    print_program_comment(out, program);
    fputs(" */\n", out);
    fputs("#define _GNU_SOURCE\n", out);
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
        fprintf(out, "static memory m%u;\nstatic const void *m%u_base;\nstatic record r%u;\n", i, i,
                i);
    }
    for (unsigned i = 0; i < wakers; i++) {
        fprintf(out, "static waker w%u;\n", i);
    }
    fputs(strstr(text, "mailbox_") != NULL ? "static mailbox b;\n" : "", out);
    fprintf(out, "\n%s", nested);
    for (unsigned i = 0; i < 256; i++) { /* a crash came before it was known what the host did */
        char name[32], whole[48];
        snprintf(name, sizeof name, "meanwhile%u,", i);
        snprintf(whole, sizeof whole, "meanwhile%u(void)", i);
        if (strstr(text, name) != NULL && strstr(nested, whole) == NULL) {
            fprintf(out, "static void %s {}\n", whole);
        }
    }
}

static void print_sequential(FILE *out, const struct program *program) {
    static const char *const includes[] = {"ref.h", "map.h", "table.h"};
    const bool leaks = strncmp(trial.name, "R14-", 4) == 0 || strncmp(trial.name, "R6-", 3) == 0;
    char *text = text_of(lines), *nested = text_of(functions);
    print_head(out, program);
    fprintf(out, "#include \"check.h\"\n#include \"%s\"\n", includes[mapping.kind]);
    fputs(mapping.kind == TO_REF && has_faults(program) ? "#include \"faults.h\"\n\n" : "\n", out);
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

static bool is_set_up(uint8_t code) {
    return code == OP_memory_create || code == OP_memory_create_more || code == OP_mailbox_attach;
}

static bool is_mailbox_operation(enum op_target target, uint8_t code) {
    const char *name = op_info(target, code)->name;
    return strncmp(name, "mailbox_", 8) == 0 || strncmp(name, "waker_", 6) == 0 ||
           strncmp(name, "guest_", 6) == 0;
}

static uint64_t limited(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* The memory and the mailbox that the engine's run had: small ones. */
static void print_set_up(FILE *out, const struct program *program, unsigned prefix,
                         bool has_mailbox) {
    const struct op *memory = NULL, *mailbox = NULL;
    for (unsigned i = prefix; i-- > 0;) {
        const struct op *op = &program->operation[i];
        if (op->code == OP_mailbox_attach) {
            mailbox = op;
        } else if (is_set_up(op->code)) {
            memory = op;
        }
    }
    if (program->target != TARGET_mailbox_fuzzer) {
        uint64_t min = memory == NULL ? 1 : limited(memory->arg.memory_create.min, 1, 3);
        uint64_t max = memory == NULL ? 2 : limited(memory->arg.memory_create.max, min, 4);
        uint64_t style = memory == NULL ? WORD_style_static : memory->arg.memory_create.style;
        bool more = memory != NULL && memory->code == OP_memory_create_more;
        fprintf(out, "    memory_begin(\"%s\", %" PRIu64 ", %" PRIu64 ", %d, %u);\n",
                memory == NULL ? "reserve"
                               : op_word(KIND_strategy, memory->arg.memory_create.strategy),
                min, max, style == WORD_style_static || style == WORD_style_usual,
                more ? (unsigned)memory->arg.memory_create_more.waiters : 0);
    }
    if (has_mailbox) {
        uint64_t slots = mailbox == NULL ? 4 : mailbox->arg.mailbox_attach.capacity;
        bool sane = slots != 0 && (slots & (slots - 1)) == 0 && slots <= 16;
        bool spills = mailbox != NULL && mailbox->arg.mailbox_attach.full == WORD_full_spill;
        fprintf(
            out, "    mailbox_begin(\"%s\", %u, \"%s\", %u, %uu, %u);\n",
            mailbox == NULL ? "shared" : op_word(KIND_ground, mailbox->arg.mailbox_attach.ground),
            mailbox == NULL ? 1 : (unsigned)mailbox->arg.mailbox_attach.pages,
            mailbox == NULL ? "front" : op_word(KIND_region, mailbox->arg.mailbox_attach.region),
            sane ? (unsigned)slots : 4,
            mailbox == NULL ? 0 : (unsigned)mailbox->arg.mailbox_attach.cursor,
            spills ? (unsigned)(mailbox->arg.mailbox_attach.spill % 8) : 0);
    }
    fputs("    memory_clones();\n", out);
}

/* The place of an operation in the order of the engine's run, among those that are called. */
static unsigned turn_of(unsigned number, const bool *keep) {
    unsigned turn = 0;
    for (unsigned i = 0; i < trial.started && trial.order[i] != number; i++) {
        turn += keep[trial.order[i]];
    }
    return turn;
}

static void print_thread(FILE *out, const struct program *program, unsigned prefix,
                         const bool *keep, unsigned thread) {
    for (unsigned i = prefix; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        if (op->thread != thread || !keep[i]) {
            continue;
        }
        if (takes_turns(program)) {
            fprintf(out, "    turn(%u);\n", turn_of(i, keep));
        } else {
            fprintf(out, "    jitter(%u);\n", thread);
        }
        print_call(out, op, program->target);
        fputs(takes_turns(program) ? "    turn_ended();\n" : "", out);
    }
}

static void print_threads(FILE *out, const struct program *program) {
    bool keep[OPS_MAX];
    unsigned prefix = interleave_prefix(program), used = 0, count = 0;
    bool has_mailbox = false;
    is_threaded = true;
    want("t_main");
    for (unsigned i = 0; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        bool silent = is_set_up(op->code) || op->code == OP_interleave || op->code == OP_fault ||
                      op->code == OP_fault_at;
        silent |= i < prefix && (op->code == OP_mailbox_hold || op->code == OP_mailbox_release);
        keep[i] = !silent && want_operation(op, program->target);
        has_mailbox |= program->target != TARGET_waiters_fuzzer &&
                       is_mailbox_operation(program->target, op->code);
        used |= keep[i] && i >= prefix ? 1u << op->thread : 0;
    }
    want(has_mailbox ? "t_mailbox" : "nomailbox");
    want("t_memory"); /* the mailbox lies in one, too */
    if (wanted("t_mailbox_hold")) {
        want("t_mailbox_unhold"); /* a thread gives it back at its end, if not before */
    }
    print_head(out, program);
    parts_print(out);
    fputs("\nstatic void round_begin(void) {\n", out);
    print_set_up(out, program, prefix, has_mailbox);
    for (unsigned i = 0; i < prefix; i++) {
        if (keep[i]) {
            print_call(out, &program->operation[i], program->target);
        }
    }
    fputs("}\n\n", out);
    for (unsigned t = 0; t < OP_THREADS; t++) {
        if (used >> t & 1) {
            fprintf(out, "static void thread_%u(void) {\n", t);
            print_thread(out, program, prefix, keep, t);
            if (wanted("t_mailbox_unhold")) {
                fprintf(out, "    mailbox_unhold(%u);\n", t);
            }
            fputs("}\n\n", out);
        }
    }
    fputs("static void run_thread(unsigned n) {\n    static void (*const all[])(void) = {", out);
    for (unsigned t = 0; t < OP_THREADS; t++) {
        if (used >> t & 1) {
            fprintf(out, "%sthread_%u", count++ > 0 ? ", " : "", t);
        }
    }
    fprintf(out, "};\n    all[n]();\n}\n\nint main(void) {\n    return run(%u, %d);\n}\n", count,
            takes_turns(program));
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
    if (written && !is_threaded) {
        written = write_file("check.h", NULL, program_check) &&
                  write_file(names[mapping.kind], NULL, mapping.text) &&
                  write_file("faults.h", NULL, program_faults) &&
                  (mapping.kind != TO_TABLE || write_file("subject.h", NULL, program_subject));
    }
    return written;
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
    if (threads && settings.subject != subject_ref()) {
        fprintf(stderr,
                "reproducer: a program whose threads interleave can be made for the reference"
                " alone: TRACE=1 replay shows the schedule\n");
        return USAGE;
    }
    if (threads) {
        parts_read(reproducer_threads);
    } else if (!write_lines(settings.subject, &trial.program)) {
        fprintf(stderr, "reproducer: cannot run the input to write its calls down\n");
        return USAGE;
    } else if (!mapping_choose(settings.subject)) {
        return USAGE;
    }
    if (mkdir(option.folder, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "reproducer: %s: %s\n", option.folder, strerror(errno));
        return USAGE;
    }
    bool good = write_all();
    if (good && !looks_are_whole) {
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
