/* litmus_main.c: the litmus runner. It searches each test exhaustively (exact verdict and number
 * of graphs), then runs it at random until every outcome has been seen. Tests are .litmus texts, or
 * C files that are linked in (fuzz/sim/litmus/litmus.h).
 *
 *     build/sim/litmus [options] file-or-folder...        see usage() */
#include "litmus/litmus.h"
#include "litmus_text.h"
#include "sim.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum {
    STATES_MAX = 65536,
    SLOTS = 2 * STATES_MAX,
    STATE_TEXT = 2048,
    FILES_MAX = 65536,
    RANDOM_STATES_MAX = 500
};

static volatile int interrupted;
static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
}

static void usage(FILE *out) {
    fputs(
        "usage: litmus [options] file-or-folder...\n"
        "A .litmus file may hold several programs, separated by lines ---.\n"
        "  --json FILE     write the items as JSON (- for standard output)\n"
        "  --runs N        at most N random runs per test (default 2000000; 0: none)\n"
        "  --sched NAME    scheduler of the random runs: uniform, pct, pos (default uniform)\n"
        "  --seed N        seed of the random runs (default 1)\n"
        "  --c11           release sequences as in C11 (later relaxed stores of the thread "
        "continue them)\n"
        "  --states        print graphs, blocked graphs and final states of each program, and "
        "stop\n"
        "  --processes N   with --states: share each search; final states are then not collected\n"
        "  --seconds S     time limit of each search (default none)\n"
        "  --set KEY=1     reduce the search: locks or barriers (fewer graphs)\n"
        "  --quiet         only failures and the summary\n",
        out);
}

/* ---- C tests --------------------------------------------------------------------------------- */

int litmus_r[8];
static struct litmus *registered;
void litmus_register(struct litmus *test) {
    test->next = registered;
    registered = test;
}

static struct {
    struct litmus *test;
    bool hit;
} c_now;
static void c_thread(void *arg) {
    c_now.test->threads[*(const unsigned *)arg]();
}
static void c_run(void *test) {
    static unsigned numbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    int ids[16];
    c_now.test = test;
    for (int i = 0; i < 8; i++) {
        litmus_r[i] = -1;
    }
    for (unsigned i = 0; i < c_now.test->threads_n; i++) {
        ids[i] = sim_spawn(c_thread, &numbers[i]);
    }
    for (unsigned i = 0; i < c_now.test->threads_n; i++) {
        sim_join(ids[i]);
    }
    c_now.hit = c_now.test->exists();
}

/* ---- One test -------------------------------------------------------------------------------- */

struct settings {
    const char *json;
    long runs;
    enum sim_source source;
    uint64_t seed;
    bool c11, quiet, states;
    double seconds;
    unsigned processes;
    unsigned reduce; /* enum sim_reduction bits */
};

struct test {
    const char *file;
    struct lt_program *text; /* either this */
    struct litmus *c;        /* or this */
    char name[160], expected[16];
    long expected_graphs, expected_blocked;
    bool c11;
};

struct outcomes {
    char *text[STATES_MAX];
    unsigned slots[SLOTS]; /* by hash: index + 1 */
    unsigned char seen[STATES_MAX];
    unsigned n, open; /* open: not yet seen in random runs */
    bool hit, full;
    struct test *test;
};

static bool state_now(const struct test *t, char *out, size_t n) {
    if (t->text) {
        lt_state(t->text, out, n);
        return lt_exists(t->text);
    }
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < 8; i++) {
        if (litmus_r[i] != -1) {
            used += (size_t)snprintf(out + used, n - used, "r%d=%d ", i, litmus_r[i]);
        }
    }
    snprintf(out + used, n - used, "exists=%d", c_now.hit);
    return c_now.hit;
}

/* The index of a state, added if new; -1 if the table is full. */
static int state_index(struct outcomes *o, const char *text) {
    uint32_t h = 2166136261u;
    for (const char *p = text; *p; p++) {
        h = (h ^ (unsigned char)*p) * 16777619u;
    }
    unsigned i = h % SLOTS;
    for (; o->slots[i]; i = (i + 1) % SLOTS) {
        if (strcmp(o->text[o->slots[i] - 1], text) == 0) {
            return (int)o->slots[i] - 1;
        }
    }
    if (o->n == STATES_MAX || !(o->text[o->n] = strdup(text))) {
        o->full = true;
        return -1;
    }
    o->seen[o->n++] = 0;
    o->slots[i] = o->n;
    return (int)o->n - 1;
}

static void each(void *context) {
    struct outcomes *o = context;
    char text[STATE_TEXT];
    o->hit |= state_now(o->test, text, sizeof text);
    state_index(o, text);
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void json_text(FILE *f, const char *s) {
    fputc('"', f);
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') {
            fprintf(f, "\\%c", *s);
        } else if ((unsigned char)*s < 32) {
            fprintf(f, "\\u%04x", *s);
        } else {
            fputc(*s, f);
        }
    }
    fputc('"', f);
}

static int compare_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void program_of(const struct test *t, void (**fn)(void *), void **arg) {
    *fn = t->text ? lt_run : c_run;
    *arg = t->text ? (void *)t->text : (void *)t->c;
}

static bool is_stuck(const char *finding) {
    return strcmp(finding, "deadlock") == 0 || strcmp(finding, "lost-wakeup") == 0 ||
           strcmp(finding, "livelock") == 0;
}

/* Runs the test at random until every state has been seen. blocks: a run may end with threads
 * stuck. Returns the number of runs, or -1 for a state that the search did not reach. */
static long at_random(const struct test *t, struct outcomes *o, const struct settings *s,
                      bool blocks, char *why, size_t why_n) {
    struct sim_options so = sim_options_default();
    void (*fn)(void *);
    void *arg;
    char text[STATE_TEXT];
    program_of(t, &fn, &arg);
    so.source = s->source;
    so.c11_release_sequence = t->c11;
    o->open = o->n;
    for (long i = 0; i < s->runs && !interrupted && o->open; i++) {
        so.seed = s->seed * UINT64_C(1000003) + (uint64_t)i;
        const char *finding = sim_run(&so, fn, arg, NULL);
        if (finding && blocks && is_stuck(finding)) {
            continue;
        }
        if (finding) {
            snprintf(why, why_n, "random run %ld found %s", i, finding);
            return -1;
        }
        if (t->text && !t->text->finished) {
            continue; /* cut by an assume */
        }
        state_now(t, text, sizeof text);
        unsigned before = o->n;
        int k = state_index(o, text);
        if (k < 0 || o->n != before) {
            snprintf(why, why_n, "random run %ld reached %s, which the search did not", i, text);
            return -1;
        }
        if (!o->seen[k]) {
            o->seen[k] = 1;
            if (--o->open == 0) {
                return i + 1;
            }
        }
    }
    snprintf(why, why_n, "%u of %u outcomes not seen in %ld random runs", o->open, o->n, s->runs);
    return s->runs;
}

static void explore_test(struct test *t, const struct settings *s, struct outcomes *o,
                         struct sim_explored *x) {
    memset(o, 0, sizeof *o);
    o->test = t;
    struct sim_explore_options e = sim_explore_options_default();
    void (*fn)(void *);
    void *arg;
    program_of(t, &fn, &arg);
    e.run.c11_release_sequence = t->c11;
    e.run.timeouts_max = 64;
    e.count_blocked = true;
    e.reduce = s->reduce;
    e.processes =
        s->states ? s->processes : 0; /* otherwise the states would be in other processes */
    e.seconds_max = s->seconds;
    e.stop = &interrupted;
    e.each = each;
    e.context = o;
    sim_explore(&e, fn, arg, x);
}

/* Prints the search's answer in the format of the judge in tests/judge. */
static int print_states(struct test *t, const struct settings *s) {
    static struct outcomes o;
    static struct sim_explored x;
    printf("program %s\n", t->name);
    fflush(stdout); /* if the search crashes, the output ends with its program */
    explore_test(t, s, &o, &x);
    bool bad = x.error[0] || x.finding || o.full;
    printf("graphs %llu\nblocked %llu\nexecutions %llu\nall %s\n", (unsigned long long)x.graphs,
           (unsigned long long)x.blocked, (unsigned long long)x.executions,
           bad          ? "invalid"
           : x.complete ? "yes"
                        : "gave-up");
    if (bad) {
        x.detail[strcspn(x.detail, "\n")] = 0;
        printf("why %s %s\n",
               x.error[0]  ? x.error
               : x.finding ? x.finding
                           : "too many final states",
               x.finding ? x.detail : "");
    }
    qsort(o.text, o.n, sizeof o.text[0], compare_text);
    for (unsigned i = 0; i < o.n; i++) {
        printf("state %s\n", o.text[i]);
        free(o.text[i]);
    }
    printf("end\n");
    fflush(stdout);
    return x.error[0] ? 2 : bad || !x.complete;
}

/* Returns 0: as expected, 1: not as expected, 2: the test could not be run. */
static int run_test(struct test *t, const struct settings *s, FILE *json, bool first) {
    static struct outcomes o;
    static struct sim_explored x;
    double started = seconds_now();
    explore_test(t, s, &o, &x);
    unsigned states = o.n;
    const char *verdict = o.hit ? "allowed" : "forbidden";
    char why[STATE_TEXT + 128] = "";
    long runs = 0;
    int status = 0;
    if (x.error[0]) {
        snprintf(why, sizeof why, "%s", x.error);
        status = 2;
    } else if (x.finding) {
        sim_symbolise(x.detail, sizeof x.detail);
        snprintf(why, sizeof why, "%s: %s", x.finding, x.detail);
        status = 1;
    } else if (o.full) {
        snprintf(why, sizeof why, "more than %d final states", STATES_MAX);
        status = 1;
    } else if (!x.complete) {
        snprintf(why, sizeof why, "%s", interrupted ? "interrupted" : "not complete");
        status = 1;
    } else if (t->expected[0] && strcmp(verdict, t->expected) != 0) {
        snprintf(why, sizeof why, "%s, expected %s", verdict, t->expected);
        status = 1;
    } else if (t->expected_graphs >= 0 && (uint64_t)t->expected_graphs != x.graphs) {
        snprintf(why, sizeof why, "%llu graphs, expected %ld", (unsigned long long)x.graphs,
                 t->expected_graphs);
        status = 1;
    } else if (t->expected_blocked >= 0 && (uint64_t)t->expected_blocked != x.blocked) {
        snprintf(why, sizeof why, "%llu blocked graphs, expected %ld",
                 (unsigned long long)x.blocked, t->expected_blocked);
        status = 1;
    } else if (s->runs && (t->expected[0] || states <= RANDOM_STATES_MAX)) {
        runs = at_random(t, &o, s, x.blocked, why, sizeof why);
        /* unseen outcomes fail only a test that states a verdict */
        if (why[0] && (runs < 0 || t->expected[0])) {
            status = 1;
        }
    }
    if (status || !s->quiet) {
        printf("%s %s%s %s, %llu graphs, %u states, %llu executions (%llu dead ends), %ld random "
               "runs\n",
               status ? "FAIL" : "PASS", t->name, status ? ":" : "", status ? why : verdict,
               (unsigned long long)x.graphs, states, (unsigned long long)x.executions,
               (unsigned long long)x.dead_ends, runs);
    }
    if (json) {
        qsort(o.text, states, sizeof o.text[0], compare_text);
        fprintf(json, "%s\n  {\"name\": ", first ? "" : ",");
        json_text(json, t->name);
        fprintf(json, ", \"file\": ");
        json_text(json, t->file);
        if (t->text && !t->text->terms_n) {
            fprintf(json, ", \"verdict\": null");
        } else {
            fprintf(json, ", \"verdict\": \"%s\"", verdict);
        }
        if (t->expected[0]) {
            fprintf(json, ", \"expected\": \"%s\"", t->expected);
        } else {
            fprintf(json, ", \"expected\": null");
        }
        fprintf(json, ", \"graphs\": %llu, \"expected_graphs\": ", (unsigned long long)x.graphs);
        if (t->expected_graphs >= 0) {
            fprintf(json, "%ld", t->expected_graphs);
        } else {
            fprintf(json, "null");
        }
        fprintf(json,
                ", \"blocked\": %llu, \"complete\": %s, \"ok\": %s, \"executions\": %llu, "
                "\"pruned\": %llu, "
                "\"bounds\": %u, \"random_runs\": %ld, "
                "\"seconds\": %.6f, \"release_sequences\": \"%s\", \"finding\": ",
                (unsigned long long)x.blocked, x.complete ? "true" : "false",
                status ? "false" : "true", (unsigned long long)x.executions,
                (unsigned long long)x.dead_ends, x.bounds, runs, seconds_now() - started,
                t->c11 ? "c11" : "c++20");
        if (x.finding) {
            json_text(json, x.finding);
        } else {
            fprintf(json, "null");
        }
        fprintf(json, ", \"why\": ");
        if (why[0]) {
            json_text(json, why);
        } else {
            fprintf(json, "null");
        }
        fprintf(json, ", \"states\": [");
        for (unsigned i = 0; i < states; i++) {
            if (i) {
                fprintf(json, ", ");
            }
            json_text(json, o.text[i]);
        }
        fprintf(json, "]}");
    }
    for (unsigned i = 0; i < o.n; i++) {
        free(o.text[i]);
    }
    return status;
}

/* ---- Finding and reading tests --------------------------------------------------------------- */

static char *files[FILES_MAX];
static unsigned files_n;

static bool ends_in(const char *s, const char *end) {
    size_t a = strlen(s), b = strlen(end);
    return a > b && strcmp(s + a - b, end) == 0;
}

static bool add_path(const char *path) {
    struct stat st;
    if (stat(path, &st)) {
        fprintf(stderr, "litmus: %s: %s\n", path, strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        if (!ends_in(path, ".litmus") && !ends_in(path, ".c")) {
            fprintf(stderr, "litmus: %s is neither .litmus nor .c\n", path);
            return false;
        }
        if (files_n == FILES_MAX) {
            fprintf(stderr, "litmus: more than %d files\n", FILES_MAX);
            return false;
        }
        files[files_n++] = strdup(path);
        return true;
    }
    struct dirent **list;
    int n = scandir(path, &list, NULL, alphasort);
    if (n < 0) {
        fprintf(stderr, "litmus: %s: %s\n", path, strerror(errno));
        return false;
    }
    bool ok = true;
    unsigned before = files_n;
    for (int i = 0; i < n; i++) {
        char whole[4096];
        snprintf(whole, sizeof whole, "%s/%s", path, list[i]->d_name);
        if (ok && (ends_in(whole, ".litmus") || ends_in(whole, ".c"))) {
            ok = add_path(whole);
        }
        free(list[i]);
    }
    free(list);
    if (ok && files_n == before) {
        fprintf(stderr, "litmus: no .litmus or .c file in %s\n", path);
        return false;
    }
    return ok;
}

static char *read_all(const char *path) {
    FILE *f = fopen(path, "rb");
    size_t n = 0;
    enum { TEXT_MAX = 1 << 26 };
    char *text = f ? malloc(TEXT_MAX + 1) : NULL;
    if (text) {
        n = fread(text, 1, TEXT_MAX, f);
    }
    if (!f || !text || ferror(f) || n == TEXT_MAX || memchr(text, 0, n)) {
        fprintf(stderr, "litmus: %s: %s\n", path,
                !f || ferror(f) ? strerror(errno) : "not a text of less than 64 MiB");
        if (f) {
            fclose(f);
        }
        free(text);
        return NULL;
    }
    text[n] = 0;
    fclose(f);
    return text;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool load_c(struct test *t, const char *text) {
    for (t->c = registered; t->c && strcmp(base_name(t->c->file), base_name(t->file)) != 0;
         t->c = t->c->next) {
    }
    if (!t->c) {
        fprintf(stderr, "litmus: %s is not linked into this program: use make litmus LITMUS=%s\n",
                t->file, t->file);
        return false;
    }
    snprintf(t->name, sizeof t->name, "%.*s", (int)(strlen(base_name(t->file)) - 2),
             base_name(t->file));
    const char *end = strstr(text, "*/"), *v = strstr(text, "verdict:"),
               *g = strstr(text, "graphs:"), *c = strstr(text, "option: c11");
    if (!end || !v || v > end || sscanf(v, "verdict: %15[a-z]", t->expected) != 1 ||
        (strcmp(t->expected, "allowed") != 0 && strcmp(t->expected, "forbidden") != 0)) {
        fprintf(stderr,
                "litmus: %s: the first comment has no 'verdict: allowed' or 'verdict: forbidden'\n",
                t->file);
        return false;
    }
    if (g && g < end) {
        sscanf(g, "graphs: %ld", &t->expected_graphs);
    }
    t->c11 |= c && c < end;
    return true;
}

/* Loads one program from its text. `shown` is the file, with a number if it holds several
 * programs. */
static bool load_test(struct test *t, const char *file, const char *shown, const char *text,
                      const struct settings *s) {
    static struct lt_program program;
    char error[512];
    *t = (struct test){.file = file, .expected_graphs = -1, .expected_blocked = -1, .c11 = s->c11};
    if (ends_in(file, ".c")) {
        return load_c(t, text);
    }
    if (!lt_parse(&program, text, shown, error, sizeof error)) {
        fprintf(stderr, "litmus: %s\n", error);
        return false;
    }
    t->text = &program;
    snprintf(t->name, sizeof t->name, "%s", program.name);
    snprintf(t->expected, sizeof t->expected, "%s", program.expected);
    t->expected_graphs = program.expected_graphs;
    t->expected_blocked = program.expected_blocked;
    return true;
}

/* Cuts *rest at the next line that begins with ---. Returns the text before it, or NULL at the
 * end. */
static char *next_program(char **rest) {
    char *text = *rest;
    if (!text) {
        return NULL;
    }
    char *cut = strstr(text, "\n---");
    *rest = NULL;
    if (cut) {
        cut[1] = 0;
        *rest = cut + 2;
        *rest += strcspn(*rest, "\n");
    }
    return text;
}

static const char *value_of(char **argv, int argc, int *i) {
    if (++*i < argc) {
        return argv[*i];
    }
    fprintf(stderr, "litmus: %s needs a value\n", argv[argc - 1]);
    exit(2);
}

static long number_of(const char *option, const char *text) {
    char *end;
    long v = strtol(text, &end, 0);
    if (*end || end == text || v < 0) {
        fprintf(stderr, "litmus: %s needs a number, not '%s'\n", option, text);
        exit(2);
    }
    return v;
}

/* Parses KEY=1 or KEY=0. */
static void set_reduction(struct settings *s, const char *text) {
    char key[32] = "";
    unsigned value;
    unsigned bit = sscanf(text, "%31[a-z]=%u", key, &value) == 2 ? sim_reduction(key) : 0;
    if (!bit || value > 1) {
        fprintf(stderr, "litmus: --set locks=0|1 or barriers=0|1, not '%s'\n", text);
        exit(2);
    }
    s->reduce = value ? s->reduce | bit : s->reduce & ~bit;
}

static void parse_options(int argc, char **argv, struct settings *s) {
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (strcmp(a, "--json") == 0) {
            s->json = value_of(argv, argc, &i);
        } else if (strcmp(a, "--runs") == 0) {
            s->runs = number_of(a, value_of(argv, argc, &i));
        } else if (strcmp(a, "--seed") == 0) {
            s->seed = (uint64_t)number_of(a, value_of(argv, argc, &i));
        } else if (strcmp(a, "--seconds") == 0) {
            s->seconds = (double)number_of(a, value_of(argv, argc, &i));
        } else if (strcmp(a, "--processes") == 0) {
            s->processes = (unsigned)number_of(a, value_of(argv, argc, &i));
        } else if (strcmp(a, "--set") == 0) {
            set_reduction(s, value_of(argv, argc, &i));
        } else if (strcmp(a, "--c11") == 0) {
            s->c11 = true;
        } else if (strcmp(a, "--quiet") == 0) {
            s->quiet = true;
        } else if (strcmp(a, "--states") == 0) {
            s->states = true;
        } else if (strcmp(a, "--help") == 0) {
            usage(stdout);
            exit(0);
        } else if (strcmp(a, "--sched") == 0) {
            const char *v = value_of(argv, argc, &i);
            s->source = strcmp(v, "pct") == 0   ? SIM_PCT
                        : strcmp(v, "pos") == 0 ? SIM_POS
                                                : SIM_UNIFORM;
            if (s->source == SIM_UNIFORM && strcmp(v, "uniform") != 0) {
                fprintf(stderr, "litmus: --sched uniform, pct or pos, not '%s'\n", v);
                exit(2);
            }
        } else if (a[0] == '-') {
            fprintf(stderr, "litmus: unknown option %s\n", a);
            usage(stderr);
            exit(2);
        } else if (!add_path(a)) {
            exit(2);
        }
    }
}

int main(int argc, char **argv) {
    struct settings s = {.runs = 2000000, .source = SIM_UNIFORM, .seed = 1};
    parse_options(argc, argv, &s);
    if (!files_n) {
        usage(stderr);
        return 2;
    }
    FILE *json = NULL;
    if (s.json) {
        json = strcmp(s.json, "-") ? fopen(s.json, "w") : stdout;
        if (!json) {
            fprintf(stderr, "litmus: %s: %s\n", s.json, strerror(errno));
            return 2;
        }
        if (json == stdout) {
            s.quiet = true;
        }
        fprintf(json, "[");
    }
    signal(SIGINT, on_interrupt);
    unsigned passed = 0, failed = 0;
    bool bad_input = false;
    for (unsigned i = 0; i < files_n && !interrupted; i++) {
        char *text = read_all(files[i]), *rest = text, *one;
        bad_input |= !text;
        for (unsigned k = 1; !interrupted && (one = next_program(&rest)); k++) {
            struct test t;
            char shown[4200];
            snprintf(shown, sizeof shown, rest || k > 1 ? "%s (program %u)" : "%s", files[i], k);
            if (!load_test(&t, files[i], shown, one, &s)) {
                bad_input = true;
                continue;
            }
            int status =
                s.states ? print_states(&t, &s) : run_test(&t, &s, json, passed + failed == 0);
            if (status) {
                failed++;
            } else {
                passed++;
            }
            bad_input |= status == 2;
        }
        free(text);
    }
    if (json) {
        fprintf(json, "\n]\n");
    }
    if (json != stdout && !s.states) {
        printf("%u passed, %u failed\n", passed, failed);
    }
    if (json && (ferror(json) | (json != stdout && fclose(json)))) {
        fprintf(stderr, "litmus: cannot write %s\n", s.json);
        return 2;
    }
    return interrupted ? 130 : bad_input ? 2 : failed ? 1 : 0;
}
