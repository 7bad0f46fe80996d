/* Parser and interpreter of .litmus programs; see litmus_text.h. */
#include "litmus_text.h"

#include "sim.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Words ------------------------------------------------------------------------------------
 */

struct reader {
    const char *at, *file;
    int line;
    char *error;
    size_t error_n;
    bool failed;
};

static bool fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct reader *r, const char *format, ...) {
    if (r->failed)
        return false;
    r->failed = true;
    int n = snprintf(r->error, r->error_n, "%s:%d: ", r->file, r->line);
    va_list args;
    va_start(args, format);
    if (n >= 0 && (size_t)n < r->error_n)
        vsnprintf(r->error + n, r->error_n - (size_t)n, format, args);
    va_end(args);
    return false;
}

static void blanks(struct reader *r) {
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r')
        r->at++;
}

static bool at_end(struct reader *r) {
    blanks(r);
    return *r->at == 0 || *r->at == '\n' || *r->at == '#';
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '+' || c == '.';
}

/* The next name or number; "" when there is none. */
static const char *word(struct reader *r) {
    static char w[4][64];
    static unsigned next;
    char *out = w[next++ & 3];
    size_t n = 0;
    blanks(r);
    while (is_word(*r->at) && n + 1 < sizeof w[0])
        out[n++] = *r->at++;
    if (is_word(*r->at))
        fail(r, "the word '%.*s...' is too long", (int)n, out);
    out[n] = 0;
    return out;
}

static bool mark(struct reader *r, char c) {
    blanks(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static bool number(const char *w, uint32_t *out) {
    char *end;
    if (!isdigit((unsigned char)w[0]) && w[0] != '-')
        return false;
    long long v = strtoll(w, &end, 0);
    if (*end || end == w || v < INT32_MIN || v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool is_name(const char *w) {
    return isalpha((unsigned char)w[0]) || w[0] == '_';
}

/* The number of a name in a list, added when new; -1 when there is no room. */
static int index_of(char (*list)[LT_NAME], unsigned *n, unsigned max, const char *w) {
    for (unsigned i = 0; i < *n; i++)
        if (strcmp(list[i], w) == 0)
            return (int)i;
    if (*n == max || strlen(w) >= LT_NAME)
        return -1;
    strcpy(list[*n], w);
    return (int)(*n)++;
}

static bool get_location(struct reader *r, struct lt_program *p, unsigned *out) {
    const char *w = word(r);
    if (!is_name(w))
        return fail(r, "a location's name is missing before '%.10s'", r->at);
    int i = index_of(p->locations, &p->locations_n, LT_LOCATIONS, w);
    if (i < 0)
        return fail(r, "'%s' is too long or one location too many (at most %d)", w, LT_LOCATIONS);
    *out = (unsigned)i;
    return true;
}

static bool get_value(struct reader *r, struct lt_thread *t, struct lt_value *out) {
    const char *w = word(r);
    if (number(w, &out->number)) {
        out->is_register = false;
        return true;
    }
    for (unsigned i = 0; i < t->registers_n; i++)
        if (strcmp(t->registers[i], w) == 0) {
            *out = (struct lt_value){true, i};
            return true;
        }
    return fail(r, "'%s' is neither a 32-bit number nor a register set before", w);
}

static bool get_order(struct reader *r, int *out, const char *allowed) {
    static const struct {
        const char *name;
        int order;
    } orders[] = {{"rlx", __ATOMIC_RELAXED},
                  {"acq", __ATOMIC_ACQUIRE},
                  {"rel", __ATOMIC_RELEASE},
                  {"ar", __ATOMIC_ACQ_REL},
                  {"sc", __ATOMIC_SEQ_CST}};
    const char *w = word(r);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++)
        if (strcmp(orders[i].name, w) == 0 && strstr(allowed, w)) {
            *out = orders[i].order;
            return true;
        }
    return fail(r, "'%s' is not an order for this statement (one of: %s)", w, allowed);
}

/* ---- Lines ------------------------------------------------------------------------------------
 */

static bool parse_statement(struct reader *r, struct lt_program *p, struct lt_thread *t) {
    if (t->statements_n == LT_STATEMENTS)
        return fail(r, "more than %d statements in a thread", LT_STATEMENTS);
    struct lt_statement *s = &t->statements[t->statements_n];
    const char *w = word(r);
    if (strcmp(w, "store") == 0) {
        s->kind = LT_STORE;
        if (!get_location(r, p, &s->location) || !get_value(r, t, &s->value) ||
            !get_order(r, &s->order, "rlx rel sc"))
            return false;
    } else if (strcmp(w, "fence") == 0) {
        s->kind = LT_FENCE;
        if (!get_order(r, &s->order, "acq rel ar sc"))
            return false;
    } else {
        if (!is_name(w))
            return fail(
                r, "a statement is missing: store, fence, or 'register = load, add, xchg, cas'");
        char target[64];
        strcpy(target, w);
        if (!mark(r, '='))
            return fail(r, "'%s' is no statement; a register needs '='", target);
        w = word(r);
        bool ok;
        if (strcmp(w, "load") == 0) {
            s->kind = LT_LOAD;
            ok = get_location(r, p, &s->location) && get_order(r, &s->order, "rlx acq sc");
        } else if (strcmp(w, "add") == 0 || strcmp(w, "xchg") == 0) {
            s->kind = w[0] == 'a' ? LT_ADD : LT_XCHG;
            ok = get_location(r, p, &s->location) && get_value(r, t, &s->value) &&
                 get_order(r, &s->order, "rlx acq rel ar sc");
        } else if (strcmp(w, "cas") == 0) {
            s->kind = LT_CAS;
            ok = get_location(r, p, &s->location) && get_value(r, t, &s->expected) &&
                 get_value(r, t, &s->value) && get_order(r, &s->order, "rlx acq rel ar sc") &&
                 get_order(r, &s->failure_order, "rlx acq sc");
        } else {
            return fail(r, "'%s' cannot follow '%s =': load, add, xchg or cas", w, target);
        }
        if (!ok)
            return false;
        int i = index_of(t->registers, &t->registers_n, LT_REGISTERS, target);
        if (i < 0)
            return fail(r, "'%s' is too long or one register too many (at most %d)", target,
                        LT_REGISTERS);
        s->target = (unsigned)i;
    }
    t->statements_n++;
    return true;
}

static bool parse_thread(struct reader *r, struct lt_program *p, unsigned number_of) {
    if (number_of >= LT_THREADS)
        return fail(r, "thread %u: at most %d threads", number_of, LT_THREADS);
    if (number_of > p->threads_n)
        return fail(r, "thread T%u before T%u", number_of, p->threads_n);
    if (number_of == p->threads_n)
        p->threads_n++;
    for (;;) {
        if (at_end(r))
            return true;
        if (!parse_statement(r, p, &p->threads[number_of]))
            return false;
        if (!mark(r, ';') && !at_end(r))
            return fail(r, "';' is missing before '%.10s'", r->at);
    }
}

static bool parse_init(struct reader *r, struct lt_program *p) {
    while (!at_end(r)) {
        unsigned x;
        if (!get_location(r, p, &x))
            return false;
        if (!mark(r, '=') || !number(word(r), &p->initial[x]))
            return fail(r, "init needs location=number");
        mark(r, ';');
    }
    return true;
}

static bool parse_term(struct reader *r, struct lt_program *p, struct lt_term *t) {
    const char *w = word(r);
    unsigned n;
    int used = 0;
    if (sscanf(w, "T%u%n", &n, &used) == 1 && !w[used] && mark(r, ':')) {
        if (n >= p->threads_n)
            return fail(r, "there is no thread T%u", n);
        t->thread = (int)n;
        const char *name = word(r);
        struct lt_thread *th = &p->threads[n];
        for (t->index = 0; t->index < th->registers_n && strcmp(th->registers[t->index], name);
             t->index++) {
        }
        if (t->index == th->registers_n)
            return fail(r, "T%u has no register '%s'", n, name);
    } else {
        t->thread = -1;
        for (t->index = 0; t->index < p->locations_n && strcmp(p->locations[t->index], w);
             t->index++) {
        }
        if (t->index == p->locations_n)
            return fail(r, "'%s' is neither a location nor T<n>:register", w);
    }
    if (!mark(r, '='))
        return fail(r, "'=' is missing in exists");
    return number(word(r), &t->value) || fail(r, "a number is missing after '='");
}

static bool parse_exists(struct reader *r, struct lt_program *p) {
    if (p->terms_n)
        return fail(r, "a second 'exists'");
    for (bool or_before = false;;) {
        if (p->terms_n == LT_TERMS)
            return fail(r, "more than %d terms", LT_TERMS);
        struct lt_term *t = &p->terms[p->terms_n];
        if (!parse_term(r, p, t))
            return false;
        t->or_before = or_before;
        p->terms_n++;
        if (at_end(r))
            return true;
        or_before = mark(r, '|');
        if (!or_before && !mark(r, '&'))
            return fail(r, "'&' or '|' is missing before '%.10s'", r->at);
    }
}

static bool parse_line(struct reader *r, struct lt_program *p) {
    if (at_end(r))
        return true;
    const char *w = word(r);
    unsigned n;
    int used = 0;
    uint32_t graphs;
    if (strcmp(w, "name") == 0) {
        blanks(r);
        size_t len = strcspn(r->at, "\n\r");
        while (len && r->at[len - 1] == ' ')
            len--;
        if (len == 0 || len >= sizeof p->name)
            return fail(r, "the name is missing or longer than %zu", sizeof p->name - 1);
        memcpy(p->name, r->at, len);
        p->name[len] = 0;
        r->at += len;
    } else if (strcmp(w, "init") == 0) {
        if (!parse_init(r, p))
            return false;
    } else if (strcmp(w, "exists") == 0) {
        if (!parse_exists(r, p))
            return false;
    } else if (strcmp(w, "expect") == 0) {
        w = word(r);
        if (strcmp(w, "allowed") && strcmp(w, "forbidden"))
            return fail(r, "expect allowed or forbidden, not '%s'", w);
        strcpy(p->expected, w);
    } else if (strcmp(w, "graphs") == 0) {
        if (!number(word(r), &graphs))
            return fail(r, "graphs needs a number");
        p->expected_graphs = (long)graphs;
    } else if (sscanf(w, "T%u%n", &n, &used) == 1 && !w[used] && mark(r, ':')) {
        if (!parse_thread(r, p, n))
            return false;
    } else {
        return fail(r, "'%s' begins no line: name, init, T<n>:, exists, expect, graphs",
                    *w ? w : r->at);
    }
    return at_end(r) || fail(r, "something follows the end: '%.20s'", r->at);
}

bool lt_parse(struct lt_program *p, const char *text, const char *file, char *error,
              size_t error_n) {
    memset(p, 0, sizeof *p);
    p->expected_graphs = -1;
    struct reader r = {.at = text, .file = file, .line = 1, .error = error, .error_n = error_n};
    for (;; r.line++) {
        if (!parse_line(&r, p) || r.failed)
            return false;
        while (*r.at && *r.at != '\n')
            r.at++;
        if (!*r.at++)
            break;
    }
    if (p->threads_n == 0)
        return fail(&r, "no threads");
    if (!p->name[0])
        snprintf(p->name, sizeof p->name, "%.100s", file);
    return true;
}

/* ---- Running ----------------------------------------------------------------------------------
 */

/* A cache line each, so that no two share a cell of the engine. */
static struct { uint32_t word, pad[15]; } memory[LT_LOCATIONS];
static struct lt_program *running;
static unsigned numbers[LT_THREADS];

static uint32_t value_of(const struct lt_thread *t, struct lt_value v) {
    return v.is_register ? t->r[v.number] : v.number;
}

static void step(struct lt_thread *t, const struct lt_statement *s) {
    uint32_t *at = &memory[s->location].word;
    uint32_t v = value_of(t, s->value), *target = &t->r[s->target];
    switch (s->kind) {
    case LT_STORE:
        sim_atomic_store(at, 4, v, s->order);
        break;
    case LT_LOAD:
        *target = (uint32_t)sim_atomic_load(at, 4, s->order);
        break;
    case LT_ADD:
        *target = (uint32_t)sim_atomic_rmw(at, 4, SIM_ADD, v, s->order);
        break;
    case LT_XCHG:
        *target = (uint32_t)sim_atomic_rmw(at, 4, SIM_XCHG, v, s->order);
        break;
    case LT_CAS:
        *target = (uint32_t)sim_atomic_cas(at, 4, value_of(t, s->expected), v, false, s->order,
                                           s->failure_order, NULL);
        break;
    case LT_FENCE:
        sim_atomic_fence(s->order);
        break;
    }
}

static void thread_main(void *arg) {
    unsigned i = *(const unsigned *)arg;
    struct lt_thread *t = &running->threads[i];
    for (unsigned k = 0; k < t->statements_n; k++)
        step(t, &t->statements[k]);
}

void lt_run(void *program) {
    struct lt_program *p = program;
    int ids[LT_THREADS];
    running = p;
    for (unsigned i = 0; i < p->locations_n; i++)
        memory[i].word = p->initial[i];
    for (unsigned i = 0; i < p->threads_n; i++) {
        memset(p->threads[i].r, 0, sizeof p->threads[i].r);
        numbers[i] = i;
        ids[i] = sim_spawn(thread_main, &numbers[i]);
    }
    for (unsigned i = 0; i < p->threads_n; i++)
        sim_join(ids[i]);
    for (unsigned i = 0; i < p->locations_n; i++)
        p->memory[i] = memory[i].word;
}

bool lt_exists(const struct lt_program *p) {
    bool any = false, all = true;
    for (unsigned i = 0; i < p->terms_n; i++) {
        const struct lt_term *t = &p->terms[i];
        if (t->or_before) {
            any |= all;
            all = true;
        }
        all &=
            (t->thread < 0 ? p->memory[t->index] : p->threads[t->thread].r[t->index]) == t->value;
    }
    return p->terms_n && (any || all);
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

void lt_state(const struct lt_program *p, char *out, size_t n) {
    static char items[LT_THREADS * LT_REGISTERS + LT_LOCATIONS][64];
    unsigned k = 0;
    for (unsigned i = 0; i < p->threads_n; i++)
        for (unsigned j = 0; j < p->threads[i].registers_n; j++)
            snprintf(items[k++], sizeof items[0], "T%u:%s=%u", i, p->threads[i].registers[j],
                     p->threads[i].r[j]);
    for (unsigned i = 0; i < p->locations_n; i++)
        snprintf(items[k++], sizeof items[0], "%s=%u", p->locations[i], p->memory[i]);
    qsort(items, k, sizeof items[0], by_text);
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < k && used < n; i++)
        used += (size_t)snprintf(out + used, n - used, i ? " %s" : "%s", items[i]);
}
