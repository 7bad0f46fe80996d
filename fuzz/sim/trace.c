/* trace.c: the trace of a run in columns, one per thread; code addresses as function, file and
 * line; shrinking of failing runs. */
#include "internal.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* libFuzzer clears and reads this section; elsewhere it is an ordinary array. */
__attribute__((section("__libfuzzer_extra_counters"), used)) uint8_t sim_coverage[SIM_COVERAGE_N];

enum { LINES_MAX = 1 << 16, TEXT_MAX = 1 << 18 };
static char *texts;
static size_t texts_at;

/* Allocates room for lines and texts. If that fails, tracing is switched off. */
static bool trace_room(void) {
    if (!S.lines) {
        S.lines = calloc(LINES_MAX, sizeof *S.lines);
        texts = malloc(TEXT_MAX);
    }
    S.tracing = S.tracing && S.lines && texts;
    return S.tracing;
}

void trace_add(struct line line) {
    if (!trace_room()) {
        return;
    }
    if (S.lines_n == 0 && line.kind != LINE_NOTE) {
        texts_at = 0;
    }
    if (S.lines_n + 1 >= LINES_MAX && line.kind != LINE_FINDING) {
        return;
    }
    line.step = S.steps;
    line.frame = line.thread == S.now->id ? S.now->frame : 0;
    S.lines[S.lines_n++] = line;
}

void sim_note(const char *format, ...) {
    if (!S.active || !S.tracing || !trace_room()) {
        return;
    }
    if (S.lines_n == 0) {
        texts_at = 0;
    }
    if (texts_at + 128 > TEXT_MAX) {
        trace_add((struct line){.kind = LINE_NOTE, .thread = S.now->id, .text = format});
        return;
    }
    char *out = texts + texts_at;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(out, 128, format, args);
    va_end(args);
    texts_at += n < 0 ? 1 : n < 128 ? (size_t)n + 1 : 128;
    trace_add((struct line){.kind = LINE_NOTE,
                            .thread = S.now->id,
                            .text = out,
                            .pc = (uintptr_t)__builtin_return_address(0)});
}

/* ---- Code addresses -------------------------------------------------------------------------- */

/* Cache of resolved code addresses. Child processes share it, because they meet the findings and
 * addr2line is slow. The pc of a slot is 0 (free), TAKEN (being filled) or the address. */
enum { PLACES = 4096, PLACE_BYTES = 120, TAKEN = 1 };
static struct place {
    _Atomic uintptr_t pc;
    char text[PLACE_BYTES];
} * known;

static void known_setup(void) {
    if (known) {
        return;
    }
    known = mmap(NULL, PLACES * sizeof *known, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                 -1, 0);
    if (known == MAP_FAILED) {
        known = NULL;
    }
}

static struct place *known_slot(uintptr_t pc) {
    return &known[pc * 0x9E3779B97F4A7C15u >> 52];
}

/* Resolves each address to "function file:line", with one call of addr2line per module; "?" if
 * unknown. */
static void look_up(const uintptr_t *pcs, unsigned n, char (*out)[120]) {
    for (unsigned i = 0; i < n; i++) {
        snprintf(out[i], sizeof out[i], "?");
    }
    for (unsigned i = 0; i < n; i++) {
        Dl_info info;
        if (strcmp(out[i], "?") != 0 || !pcs[i] || !dladdr((void *)pcs[i], &info) ||
            !info.dli_fname) {
            continue;
        }
        char exe[4096], command[65536];
        const char *module = info.dli_fname;
        Dl_info own;
        if (dladdr((void *)(uintptr_t)look_up, &own) && own.dli_fbase == info.dli_fbase) {
            ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
            if (len > 0) {
                exe[len] = 0;
                if (!strstr(module, ".so")) {
                    module = exe;
                }
            }
        }
        if (strchr(module, '\'')) {
            continue;
        }
        size_t used =
            (size_t)snprintf(command, sizeof command, "addr2line -s -f -e '%.3000s'", module);
        unsigned list[1024], k = 0;
        /* a position-independent module is relative to its base; any other is not moved */
        const unsigned char *elf = info.dli_fbase;
        uintptr_t base = elf[16] == 2 ? 0 : (uintptr_t)info.dli_fbase;
        for (unsigned j = i; j < n && k < 1024 && used + 32 < sizeof command; j++) {
            Dl_info other;
            if (strcmp(out[j], "?") != 0 || !pcs[j] || !dladdr((void *)pcs[j], &other) ||
                other.dli_fbase != info.dli_fbase) {
                continue;
            }
            list[k++] = j;
            snprintf(out[j], sizeof out[j], "??");
            used += (size_t)snprintf(command + used, sizeof command - used, " %lx",
                                     (unsigned long)(pcs[j] - 1 - base));
        }
        snprintf(command + used, sizeof command - used, " 2>/dev/null");
        FILE *p = popen(command, "r");
        if (!p) {
            continue;
        }
        char function[256], place[256];
        for (unsigned j = 0;
             j < k && fgets(function, sizeof function, p) && fgets(place, sizeof place, p); j++) {
            function[strcspn(function, "\n")] = 0;
            place[strcspn(place, "\n ")] = 0;
            snprintf(out[list[j]], sizeof out[0], "%.60s %.50s", function, place);
        }
        pclose(p);
    }
}

/* As look_up(), through the cache. */
static void places_of(const uintptr_t *pcs, unsigned n, char (*out)[PLACE_BYTES]) {
    bool all = known != NULL;
    for (unsigned i = 0; i < n && all; i++) {
        const struct place *p = known_slot(pcs[i]);
        all = pcs[i] > TAKEN && atomic_load_explicit(&p->pc, memory_order_acquire) == pcs[i];
        if (all) {
            memcpy(out[i], p->text, sizeof out[0]);
        }
    }
    if (all) {
        return;
    }
    look_up(pcs, n, out);
    for (unsigned i = 0; i < n && known; i++) {
        struct place *p = known_slot(pcs[i]);
        uintptr_t free = 0;
        if (!atomic_compare_exchange_strong(&p->pc, &free, TAKEN)) {
            continue;
        }
        memcpy(p->text, out[i], sizeof out[0]);
        atomic_store_explicit(&p->pc, pcs[i], memory_order_release);
    }
}

void sim_symbolise(char *text, size_t n) {
    static char places[64][PLACE_BYTES];
    uintptr_t pcs[64];
    unsigned k = 0;
    known_setup();
    for (const char *p = text; (p = strchr(p, '@')) && k < 64; p++) {
        pcs[k++] = (uintptr_t)strtoull(p + 1, NULL, 16);
    }
    if (!k) {
        return;
    }
    places_of(pcs, k, places);
    char *copy = strdup(text);
    if (!copy) {
        return;
    }
    size_t used = 0;
    unsigned i = 0;
    for (const char *p = copy; *p && used + 1 < n;) {
        if (*p == '@' && i < k) {
            used += (size_t)snprintf(text + used, n - used, "%s", places[i++]);
            p++;
            while (strchr("0123456789abcdef", *p) && *p) {
                p++;
            }
        } else {
            text[used++] = *p++;
        }
    }
    text[used < n ? used : n - 1] = 0;
    free(copy);
}

/* ---- Columns --------------------------------------------------------------------------------- */

static const char *order_name(unsigned order) {
    static const char *const names[] = {"rlx", "con", "acq", "rel", "ar", "sc"};
    return order < 6 ? names[order] : "?";
}

/* A short name for an address: symbol+offset, or its last digits in brackets. */
static const char *location(uintptr_t at) {
    static char out[8][48];
    static unsigned next;
    char *o = out[next++ & 7];
    Dl_info info;
    if (dladdr((void *)at, &info) && info.dli_sname) {
        size_t off = at - (uintptr_t)info.dli_saddr;
        if (off == 0) {
            snprintf(o, sizeof out[0], "%.40s", info.dli_sname);
        } else {
            snprintf(o, sizeof out[0], "%.26s+%zu", info.dli_sname, off);
        }
    } else {
        snprintf(o, sizeof out[0], "[%lx]", (unsigned long)(at & 0xffffff));
    }
    return o;
}

static void describe(const struct line *l, char *out, size_t n) {
    const char *x = location(l->at), *o = order_name(l->order);
    unsigned long long v = (unsigned long long)l->value, w = (unsigned long long)l->wrote;
    switch (l->kind) {
    case LINE_LOAD:
        snprintf(out, n, "%llu = load %s %s", v, x, o);
        break;
    case LINE_STORE:
        snprintf(out, n, "store %s %llu %s%s", x, w, o, l->inserted ? " (before a newer one)" : "");
        break;
    case LINE_RMW:
        snprintf(out, n, "rmw %s %llu -> %llu %s", x, v, w, o);
        break;
    case LINE_CAS:
        snprintf(out, n, "cas %s %llu %s %llu %s", x, v, l->failed ? "fails, not" : "->", w, o);
        break;
    case LINE_FENCE:
        snprintf(out, n, "fence %s", o);
        break;
    case LINE_WAIT:
        snprintf(out, n, l->failed ? "wait %s: %llu is not %llu" : "wait %s while %llu", x, v, w);
        break;
    case LINE_WAKE:
        snprintf(out, n, "wake %s: %llu of at most %llu", x, v, w);
        break;
    case LINE_SPAWN:
        snprintf(out, n, "spawn T%llu", v);
        break;
    case LINE_JOIN:
        snprintf(out, n, "join T%llu", v);
        break;
    case LINE_LOCK:
        snprintf(out, n, "lock %s", x);
        break;
    case LINE_UNLOCK:
        snprintf(out, n, "unlock %s", x);
        break;
    case LINE_READ:
        snprintf(out, n, "%llu = %s", v, x);
        break;
    case LINE_WRITE:
        snprintf(out, n, "%s = ...", x);
        break;
    case LINE_EXIT:
        snprintf(out, n, "ends");
        break;
    case LINE_FINDING:
        snprintf(out, n, "*** %s", l->text);
        break;
    default:
        snprintf(out, n, "# %s", l->text);
        break;
    }
}

void sim_trace_print(FILE *out) {
    enum { WIDTH = 44 };
    if (!S.lines_n) {
        fprintf(out, "no trace: the last run was made without sim_options.trace\n");
        return;
    }
    char(*places)[120] = calloc(S.lines_n, sizeof *places);
    uintptr_t *pcs = calloc(S.lines_n, sizeof *pcs);
    if (!places || !pcs) {
        fprintf(out, "no memory for the trace\n");
        free(places);
        free(pcs);
        return;
    }
    for (uint32_t i = 0; i < S.lines_n; i++) {
        pcs[i] = S.lines[i].pc;
    }
    places_of(pcs, S.lines_n, places);
    uint32_t columns = 0;
    for (uint32_t i = 0; i < S.lines_n; i++) {
        if (S.lines[i].thread >= columns) {
            columns = S.lines[i].thread + 1u;
        }
    }
    fprintf(out, "%6s ", "step");
    for (uint32_t c = 0; c < columns; c++) {
        char head[12];
        snprintf(head, sizeof head, "T%u", c);
        fprintf(out, "| %-*s", WIDTH, head);
    }
    fputc('\n', out);
    for (uint32_t i = 0; i < S.lines_n; i++) {
        const struct line *l = &S.lines[i];
        char what[160], where[160] = "";
        describe(l, what, sizeof what);
        const char *place = strchr(places[i], ' ');
        if (l->pc && place && place[1] != '?') {
            snprintf(where, sizeof where, "   at %s", place + 1);
        }
        fprintf(out, "%6u ", l->step);
        for (uint32_t c = 0; c < l->thread; c++) {
            fprintf(out, "| %-*s", WIDTH, "");
        }
        fprintf(out, "| %s%s\n", what, where);
        if (!l->stale) {
            continue;
        }
        fprintf(out, "%6s ", "");
        for (uint32_t c = 0; c < l->thread; c++) {
            fprintf(out, "| %-*s", WIDTH, "");
        }
        fprintf(out, "|   stale: skipped %llu", (unsigned long long)l->skipped);
        if (l->skipped_step) {
            fprintf(out, " by T%u at step %u\n", l->skipped_by, l->skipped_step);
        } else {
            fprintf(out, "\n");
        }
    }
    if (S.finding) {
        char detail[4096];
        snprintf(detail, sizeof detail, "%s", S.detail);
        sim_symbolise(detail, sizeof detail);
        fprintf(out, "finding: %s\n%s\n", S.finding, detail);
    }
    free(places);
    free(pcs);
}

/* ---- Shrinking ------------------------------------------------------------------------------- */

struct attempt {
    struct sim_options o;
    void (*program)(void *);
    void *arg;
    const char *finding;
    uint16_t *best;
    size_t n;
    unsigned runs, runs_max;
};

/* Does this list of choices still fail in the same way? Then it becomes the best. */
static bool fails(struct attempt *a, const uint16_t *choices, size_t n) {
    if (a->runs >= a->runs_max) {
        return false;
    }
    a->runs++;
    a->o.choices = choices;
    a->o.choices_n = n;
    struct sim_result r;
    const char *f = sim_run(&a->o, a->program, a->arg, &r);
    if (!f || strcmp(f, a->finding) != 0) {
        return false;
    }
    size_t used = r.choices_n < n ? r.choices_n : n;
    memcpy(a->best, choices, used * sizeof *choices);
    while (used && a->best[used - 1] == 0) {
        used--;
    }
    a->n = used;
    return true;
}

/* Tries to set ranges of choices to 0 (continue, newest value, no failure), to remove ranges, and
 * to lower single choices. */
unsigned sim_shrink(const struct sim_options *options, void (*program)(void *), void *arg,
                    const char *finding, uint16_t *choices, size_t *n, unsigned runs_max) {
    struct attempt a = {.o = *options,
                        .program = program,
                        .arg = arg,
                        .finding = finding,
                        .best = choices,
                        .n = *n,
                        .runs_max = runs_max};
    a.o.source = SIM_REPLAY;
    a.o.trace = a.o.coverage = false;
    uint16_t *try = malloc((*n + 1) * sizeof *try);
    if (!try) {
        return 0;
    }
    for (bool better = true; better && a.runs < runs_max;) {
        better = false;
        for (size_t width = a.n; width; width /= 2) {
            for (size_t at = 0; at < a.n; at += width) {
                size_t len = at + width < a.n ? width : a.n - at;
                bool zero = true;
                for (size_t i = at; i < at + len; i++) {
                    zero &= a.best[i] == 0;
                }
                memcpy(try, a.best, a.n * sizeof *try);
                if (!zero) {
                    memset(try + at, 0, len * sizeof *try);
                    if (fails(&a, try, a.n)) {
                        better = true;
                        continue;
                    }
                }
                memmove(try + at, a.best + at + len, (a.n - at - len) * sizeof *try);
                memcpy(try, a.best, at * sizeof *try);
                if (len < a.n && fails(&a, try, a.n - len)) {
                    better = true;
                }
            }
        }
        for (size_t i = 0; i < a.n; i++) {
            while (a.best[i] > 1) {
                memcpy(try, a.best, a.n * sizeof *try);
                try[i]--;
                if (!fails(&a, try, a.n) || i >= a.n) {
                    break;
                }
                better = true;
            }
        }
    }
    *n = a.n;
    free(try);
    return a.runs;
}
