/* conform.c: the program `conform`: sets of outcomes, programs for engines, runs of C memories. */
#include "machine.h"
#include "program.h"
#include "random.h"
#include "threads.h"
#include "wasm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { STATES_MAX = 4000000, OUTCOMES_MAX = CONFORM_TABLE_MOST };

static const char usage[] =
    "usage: conform sets [-r SEED:COUNT] FILE...    how many outcomes each program may have\n"
    "       conform show [-r SEED:COUNT] [-p NAME] FILE...     ... and which\n"
    "       conform bundle [-s SEED] [-f FAULT] [-r SEED:COUNT] [-p NAME] FILE...\n"
    "                                               programs, sets and modules as JSON, for "
    "engines\n"
    "       conform run [-s SEED] [-t SLICE_MS] [-T SECONDS] [-n SECONDS] [-r SEED:COUNT] [-p "
    "NAME]\n"
    "                   [-L SHIM.so] FILE...        runs them on the memory that SUBJECT= names, "
    "or on a "
    "runtime\n"
    "FILE: programs in text form (fuzz/conform/README.md). -r: so many random programs. -f: a "
    "planted\n"
    "fault: drop-notify, plain-store, early-size, wake-more. -n: without progress for so long is a "
    "hang.\n";

struct options {
    const char *command, *name, *library;
    uint64_t seed, random_seed;
    unsigned long random_count, slice_ms, hang_s, total_s;
    enum conform_fault fault;
    char **file;
    int files;
};

struct list {
    struct conform_program *program;
    struct conform_set *set;
    size_t count, room;
    size_t left_out; /* random programs left out: not judged (most of them), or too large */
};

static int usage_error(const char *what, const char *which) {
    fprintf(stderr, "conform: %s%s%s\n%s", what, which == NULL ? "" : ": ",
            which == NULL ? "" : which, usage);
    return 2;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static char *file_text(const char *path) {
    enum { MOST = 1 << 24 };
    FILE *in = fopen(path, "rb");
    if (in == NULL) {
        fprintf(stderr, "conform: %s: %s\n", path, strerror(errno));
        return NULL;
    }
    size_t room = 1 << 16, n = 0;
    char *text = malloc(room + 1);
    while (text != NULL && room <= MOST) {
        n += fread(text + n, 1, room - n, in);
        if (n < room) {
            break;
        }
        char *grown = realloc(text, (room *= 2) + 1);
        if (grown == NULL) {
            free(text);
        }
        text = grown;
    }
    bool failed = ferror(in) != 0 || text == NULL || room > MOST;
    fclose(in);
    if (failed || memchr(text, '\0', n) != NULL) {
        fprintf(stderr, "conform: %s: it cannot be read as text of at most 16 MiB\n", path);
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

/* Computes the program's set and appends it; false if out of memory. Of random programs, seven of
 * eight that race are left out, and all with only one outcome or too many. */
static bool append(struct list *list, const struct conform_program *program, bool is_random) {
    struct conform_set set;
    if (!conform_outcomes(program, is_random ? 200000 : STATES_MAX, is_random ? 256 : OUTCOMES_MAX,
                          &set)) {
        return false;
    }
    if (is_random &&
        (!set.is_complete || set.count < 2 || (set.is_racy && list->left_out % 8 != 0))) {
        list->left_out++;
        conform_set_free(&set);
        return true;
    }
    list->left_out += set.is_racy && is_random;
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        struct conform_program *programs = realloc(list->program, room * sizeof *programs);
        list->program = programs == NULL ? list->program : programs;
        struct conform_set *sets = realloc(list->set, room * sizeof *sets);
        list->set = sets == NULL ? list->set : sets;
        if (programs == NULL || sets == NULL) {
            return false;
        }
        list->room = room;
    }
    list->program[list->count] = *program;
    list->set[list->count++] = set;
    return true;
}

static bool wanted(const struct options *o, const struct conform_program *program) {
    return o->name == NULL || strcmp(o->name, program->name) == 0 ||
           strcmp(o->name, program->family) == 0;
}

/* Returns 0, or the exit status. */
static int read_file(const struct options *o, const char *path, struct list *list) {
    struct conform_program program;
    const char *why = NULL;
    unsigned line = 0;
    size_t at = 0;
    char *text = file_text(path);
    bool ok = text != NULL;
    while (ok && conform_parse(text, &at, &line, &program, &why)) {
        ok = !wanted(o, &program) || append(list, &program, false);
        if (ok && list->count > 0 && !list->set[list->count - 1].is_complete) {
            fprintf(stderr, "conform: %s: %s has more than %d outcomes, or %d states: not used\n",
                    path, program.name, OUTCOMES_MAX, STATES_MAX);
            conform_set_free(&list->set[--list->count]);
        }
    }
    if (text != NULL && why != NULL) {
        fprintf(stderr, "conform: %s:%u: %s\n", path, line, why);
    } else if (text != NULL && !ok) {
        fputs("conform: no memory\n", stderr);
    }
    free(text);
    return ok && why == NULL ? 0 : 2;
}

static int read_all(const struct options *o, struct list *list) {
    for (int i = 0; i < o->files; i++) {
        int status = read_file(o, o->file[i], list);
        if (status != 0) {
            return status;
        }
    }
    size_t fixed = list->count;
    for (uint64_t seed = o->random_seed; list->count < fixed + o->random_count; seed++) {
        struct conform_program program;
        conform_random(seed, &program);
        if (conform_finish(&program) == NULL && wanted(o, &program) &&
            !append(list, &program, true)) {
            fputs("conform: no memory\n", stderr);
            return 2;
        }
    }
    if (list->count == 0) {
        if (o->name != NULL) {
            fprintf(stderr, "conform: no program and no family is called %s\n", o->name);
        } else {
            fputs("conform: the files have no program\n", stderr);
        }
        return 2;
    }
    return 0;
}

/* ---- Sets ------------------------------------------------------------------------------------ */

static void print_sets(const struct list *list) {
    printf("%-12s %-18s %8s %9s  %s\n", "family", "program", "outcomes", "states", "");
    for (size_t i = 0; i < list->count; i++) {
        const struct conform_set *set = &list->set[i];
        printf("%-12s %-18s %8zu %9zu  %s%s\n", list->program[i].family, list->program[i].name,
               set->count, set->states, set->is_racy ? "races: not judged" : "",
               set->may_block ? "may block" : "");
    }
}

static void print_outcomes(const struct list *list) {
    for (size_t i = 0; i < list->count; i++) {
        const struct conform_set *set = &list->set[i];
        conform_print(stdout, &list->program[i]);
        printf("# %zu outcomes%s\n", set->count,
               set->is_racy ? " of interleavings; it races, so others are not judged" : "");
        for (size_t k = 0; k < set->count; k++) {
            fputs("#   ", stdout);
            conform_print_outcome(stdout, &list->program[i], set->outcome + k * set->words);
            fputc('\n', stdout);
        }
        fputc('\n', stdout);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void json_text(const char *text) {
    putchar('"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c < 0x20 || c >= 0x7f) {
            printf("\\u%04x", c);
        } else {
            putchar(c);
        }
    }
    putchar('"');
}

static void json_program_text(const struct conform_program *p) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out != NULL) {
        conform_print(out, p);
        fclose(out);
        json_text(text);
        free(text);
    }
}

/* Name of each word of an outcome: "T0 memory_size", "[8]", "size". */
static void json_labels(const struct conform_program *p) {
    const char *comma = "";
    putchar('[');
    for (unsigned t = 0; t < p->threads; t++) {
        for (unsigned n = 0; n < p->operations[t]; n++) {
            if (p->operation[t][n].slot >= 0) {
                printf("%s\"T%u %s\"", comma, t, conform_operation_name(p->operation[t][n].code));
                comma = ",";
            }
        }
    }
    for (unsigned i = 0; i < p->words; i++) {
        printf("%s\"[%s%u]\"", comma, p->word[i] & CONFORM_GROWN ? "grown+" : "",
               p->word[i] & ~CONFORM_GROWN);
        comma = ",";
    }
    printf("%s]", p->grows ? (*comma == ',' ? ",\"size\"" : "\"size\"") : "");
}

/* For each thread, the positions of its results: of all operations, and of those that may trap, in
 * order. */
static void json_slots(const struct conform_program *p) {
    fputs(",\"slots\":[", stdout);
    for (unsigned t = 0; t < p->threads; t++) {
        unsigned slots = 0;
        for (unsigned n = 0; n < p->operations[t]; n++) {
            slots += p->operation[t][n].slot >= 0;
        }
        printf("%s%u", t == 0 ? "" : ",", slots);
    }
    fputs("],\"traps\":[", stdout);
    for (unsigned t = 0; t < p->threads; t++) {
        const char *comma = "";
        unsigned slot = 0;
        fputs(t == 0 ? "[" : ",[", stdout);
        for (unsigned n = 0; n < p->operations[t]; n++) {
            const struct conform_operation *o = &p->operation[t][n];
            if (conform_is_far(o)) {
                printf("%s%u", comma, slot);
                comma = ",";
            }
            slot += o->slot >= 0;
        }
        putchar(']');
    }
    putchar(']');
    /* For each thread and operation, the address on which it waits, or null. */
    fputs(",\"wait_at\":[", stdout);
    for (unsigned t = 0; t < p->threads; t++) {
        fputs(t == 0 ? "[" : ",[", stdout);
        for (unsigned n = 0; n < p->operations[t]; n++) {
            const struct conform_operation *o = &p->operation[t][n];
            bool waits = o->code == CONFORM_memory_wait32 || o->code == CONFORM_memory_wait64;
            printf("%s", n == 0 ? "" : ",");
            if (waits) {
                printf("[%u,%u]", o->at & CONFORM_GROWN ? 1u : 0u, o->at & ~CONFORM_GROWN);
            } else {
                fputs("null", stdout);
            }
        }
        putchar(']');
    }
    putchar(']');
}

static void json_set(const struct conform_set *set) {
    fputs(",\"set\":[", stdout);
    for (size_t i = 0; i < set->count; i++) {
        fputs(i == 0 ? "\"" : ",\"", stdout);
        for (unsigned k = 0; k < set->words; k++) {
            printf("%s%" PRIx64, k == 0 ? "" : ",", set->outcome[i * set->words + k]);
        }
        putchar('"');
    }
    putchar(']');
}

static bool json_wasm(const struct options *o, const struct conform_program *p, uint64_t seed) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t bytes = 0;
    uint8_t *wasm = conform_wasm(p, seed, o->fault, NULL, &bytes);
    if (wasm == NULL) {
        return false;
    }
    fputs(",\"wasm\":\"", stdout);
    for (size_t i = 0; i < bytes; i += 3) {
        uint32_t b = (uint32_t)wasm[i] << 16 | (i + 1 < bytes ? (uint32_t)wasm[i + 1] << 8 : 0) |
                     (i + 2 < bytes ? wasm[i + 2] : 0);
        putchar(digits[b >> 18]);
        putchar(digits[b >> 12 & 63]);
        putchar(i + 1 < bytes ? digits[b >> 6 & 63] : '=');
        putchar(i + 2 < bytes ? digits[b & 63] : '=');
    }
    putchar('"');
    free(wasm);
    return true;
}

static const char *yes(bool value) {
    return value ? "true" : "false";
}

/* One program per line. Programs that only hosts can run have no module. */
static void print_bundle(const struct options *o, const struct list *list) {
    const char *comma = "";
    puts("{\"programs\":[");
    for (size_t i = 0; i < list->count; i++) {
        const struct conform_program *p = &list->program[i];
        const struct conform_set *set = &list->set[i];
        printf("%s{\"family\":", comma);
        json_text(p->family);
        fputs(",\"name\":", stdout);
        json_text(p->name);
        fputs(",\"about\":", stdout);
        json_text(p->text);
        fputs(",\"text\":", stdout);
        json_program_text(p);
        fputs(",\"labels\":", stdout);
        json_labels(p);
        printf(",\"threads\":%u,\"min\":%u,\"max\":%u,\"grows\":%s,\"blocks\":%s,\"waits\":%s,"
               "\"host\":%s,\"prompt\":%s,\"racy\":%s,\"may_block\":%s,\"states\":%zu,\"words\":[",
               p->threads, p->min_pages, p->max_pages, yes(p->grows), yes(p->blocks), yes(p->waits),
               yes(p->host), yes(p->traps || p->blocks), yes(set->is_racy), yes(set->may_block),
               set->states);
        for (unsigned k = 0; k < p->words; k++) {
            printf("%s[%u,%u]", k == 0 ? "" : ",", p->word[k] & CONFORM_GROWN ? 1u : 0u,
                   p->word[k] & ~CONFORM_GROWN);
        }
        printf("],\"first\":[");
        for (unsigned k = 0; k < CONFORM_WINDOW_BYTES; k++) {
            printf("%s%u", k == 0 ? "" : ",", p->first[k]);
        }
        putchar(']');
        json_slots(p);
        json_set(set);
        (void)json_wasm(o, p, o->seed + i);
        putchar('}');
        comma = ",\n";
    }
    puts("\n]}");
}

/* ---- The program ----------------------------------------------------------------------------- */

static bool whole(const char *text, unsigned long *value) {
    char *end;
    errno = 0;
    *value = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0;
}

static int read_options(int argc, char **argv, struct options *o) {
    unsigned long number;
    *o = (struct options){.seed = 1, .slice_ms = 200, .hang_s = 5};
    if (argc < 2) {
        return usage_error("what shall it do?", NULL);
    }
    o->command = argv[1];
    int i = 2;
    for (; i < argc && argv[i][0] == '-'; i++) {
        char letter = argv[i][1];
        if (letter == '\0' || argv[i][2] != '\0' || strchr("rpsftTnL", letter) == NULL ||
            i + 1 == argc) {
            return usage_error("an unknown option, or one without its value", argv[i]);
        }
        const char *value = argv[++i];
        char *colon;
        switch (letter) {
        case 'r':
            o->random_seed = strtoull(value, &colon, 10);
            if (*colon != ':' || !whole(colon + 1, &o->random_count)) {
                return usage_error("-r takes SEED:COUNT", value);
            }
            continue;
        case 'p':
            o->name = value;
            continue;
        case 'L':
            o->library = value;
            continue;
        case 'f':
            if (!conform_fault_by_name(value, &o->fault)) {
                return usage_error("no such fault", value);
            }
            continue;
        default:
            break;
        }
        if (!whole(value, &number)) {
            return usage_error("no number", value);
        }
        if (letter == 's') {
            o->seed = number;
        } else if (letter == 'n') {
            o->hang_s = number;
        } else if (letter == 'T') {
            o->total_s = number;
        } else {
            o->slice_ms = number;
        }
    }
    o->file = argv + i;
    o->files = argc - i;
    return 0;
}

int main(int argc, char **argv) {
    struct options o;
    struct list list = {0};
    if (argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
        fputs(usage, stdout);
        return 0;
    }
    int status = read_options(argc, argv, &o);
    status = status != 0 ? status : read_all(&o, &list);
    if (status == 0 && strcmp(o.command, "sets") == 0) {
        print_sets(&list);
    } else if (status == 0 && strcmp(o.command, "show") == 0) {
        print_outcomes(&list);
    } else if (status == 0 && strcmp(o.command, "bundle") == 0) {
        print_bundle(&o, &list);
    } else if (status == 0 && strcmp(o.command, "run") == 0) {
        struct conform_run run = {.seed = o.seed,
                                  .slice_ms = o.slice_ms,
                                  .hang_s = o.hang_s,
                                  .total_s = o.total_s,
                                  .library = o.library};
        status = conform_run_all(&run, list.program, list.set, list.count);
    } else if (status == 0) {
        status = usage_error("no such command", o.command);
    }
    for (size_t i = 0; i < list.count; i++) {
        conform_set_free(&list.set[i]);
    }
    free(list.program);
    free(list.set);
    if (status == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
        fprintf(stderr, "conform: the output could not be written: %s\n", strerror(errno));
        status = 2;
    }
    return status;
}
