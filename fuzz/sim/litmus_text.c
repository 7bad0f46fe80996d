/* litmus_text.c: parser and interpreter of .litmus programs; see litmus_text.h. */
#include "litmus_text.h"

#include "sim.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- Words ----------------------------------------------------------------------------------- */

struct reader {
    const char *at, *file;
    int line;
    char *error;
    size_t error_n;
    bool failed;
    unsigned depth; /* of braces */
};

static bool fail(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct reader *r, const char *format, ...) {
    if (r->failed) {
        return false;
    }
    r->failed = true;
    int n = snprintf(r->error, r->error_n, "%s:%d: ", r->file, r->line);
    va_list args;
    va_start(args, format);
    if (n >= 0 && (size_t)n < r->error_n) {
        vsnprintf(r->error + n, r->error_n - (size_t)n, format, args);
    }
    va_end(args);
    return false;
}

static void blanks(struct reader *r) {
    while (*r->at == ' ' || *r->at == '\t' || *r->at == '\r') {
        r->at++;
    }
}

static bool at_end(struct reader *r) {
    blanks(r);
    return *r->at == 0 || *r->at == '\n' || *r->at == '#';
}

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '+' || c == '.';
}

/* The next name or number; "" if there is none. */
static const char *word(struct reader *r) {
    static char w[4][64];
    static unsigned next;
    char *out = w[next++ & 3];
    size_t n = 0;
    blanks(r);
    while (is_word(*r->at) && n + 1 < sizeof w[0]) {
        out[n++] = *r->at++;
    }
    if (is_word(*r->at)) {
        fail(r, "the word '%.*s...' is too long", (int)n, out);
    }
    out[n] = 0;
    return out;
}

static bool mark(struct reader *r, char c) {
    blanks(r);
    if (*r->at != c) {
        return false;
    }
    r->at++;
    return true;
}

static bool number(const char *w, uint32_t *out) {
    char *end;
    if (!isdigit((unsigned char)w[0]) && w[0] != '-') {
        return false;
    }
    long long v = strtoll(w, &end, 0);
    if (*end || end == w || v < INT32_MIN || v > UINT32_MAX) {
        return false;
    }
    *out = (uint32_t)v;
    return true;
}

static bool is_name(const char *w) {
    return isalpha((unsigned char)w[0]) || w[0] == '_';
}

/* The index of a name in a list, added if new; -1 if the list is full. */
static int index_of(char (*list)[LT_NAME], unsigned *n, unsigned max, const char *w) {
    for (unsigned i = 0; i < *n; i++) {
        if (strcmp(list[i], w) == 0) {
            return (int)i;
        }
    }
    if (*n == max || strlen(w) >= LT_NAME) {
        return -1;
    }
    snprintf(list[*n], LT_NAME, "%s", w);
    return (int)(*n)++;
}

static bool has_name(char (*list)[LT_NAME], unsigned n, const char *w) {
    return n && index_of(list, &n, n, w) >= 0;
}

static bool get_location(struct reader *r, struct lt_program *p, unsigned *out) {
    const char *w = word(r);
    if (!is_name(w)) {
        return fail(r, "a location's name is missing before '%.10s'", r->at);
    }
    if (has_name(p->locks, p->locks_n, w)) {
        return fail(r, "'%s' is a lock, no location", w);
    }
    int i = index_of(p->locations, &p->locations_n, LT_LOCATIONS, w);
    if (i < 0) {
        return fail(r, "'%s' is too long or one location too many (at most %d)", w, LT_LOCATIONS);
    }
    *out = (unsigned)i;
    return true;
}

static bool get_lock(struct reader *r, struct lt_program *p, unsigned *out) {
    const char *w = word(r);
    if (!is_name(w)) {
        return fail(r, "a lock's name is missing before '%.10s'", r->at);
    }
    if (has_name(p->locations, p->locations_n, w)) {
        return fail(r, "'%s' is a location, no lock", w);
    }
    int i = index_of(p->locks, &p->locks_n, LT_LOCKS, w);
    if (i < 0) {
        return fail(r, "'%s' is too long or one lock too many (at most %d)", w, LT_LOCKS);
    }
    *out = (unsigned)i;
    return true;
}

static bool get_value(struct reader *r, struct lt_thread *t, struct lt_value *out) {
    const char *w = word(r);
    if (number(w, &out->number)) {
        out->is_register = false;
        return true;
    }
    for (unsigned i = 0; i < t->registers_n; i++) {
        if (strcmp(t->registers[i], w) == 0) {
            *out = (struct lt_value){true, i};
            return true;
        }
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
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (strcmp(orders[i].name, w) == 0 && strstr(allowed, w)) {
            *out = orders[i].order;
            return true;
        }
    }
    return fail(r, "'%s' is not an order for this statement (one of: %s)", w, allowed);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static const char of_load[] = "rlx acq sc", of_store[] = "rlx rel sc",
                  of_rmw[] = "rlx acq rel ar sc", of_fence[] = "acq rel ar sc";

static bool equal(struct reader *r) {
    return mark(r, '=') || fail(r, "'=' is missing before '%.10s'", r->at);
}

/* `= V` or `!= V` */
static bool get_comparison(struct reader *r, struct lt_thread *t, bool *equals,
                           struct lt_value *out) {
    *equals = !mark(r, '!');
    return equal(r) && get_value(r, t, out);
}

static bool get_register(struct reader *r, struct lt_thread *t, struct lt_value *out) {
    return get_value(r, t, out) && (out->is_register || fail(r, "a register is missing here"));
}

static bool get_count(struct reader *r, unsigned most, unsigned *out) {
    return (number(word(r), out) && *out <= most) ||
           fail(r, "a number of at most %u is missing before '%.10s'", most, r->at);
}

static bool parse_cas(struct reader *r, struct lt_program *p, struct lt_thread *t,
                      struct lt_statement *s) {
    return get_location(r, p, &s->location) && get_value(r, t, &s->expected) &&
           get_value(r, t, &s->value) && get_order(r, &s->order, of_rmw) &&
           get_order(r, &s->failure_order, of_load);
}

/* Parses what follows `register =`. */
static bool parse_result(struct reader *r, struct lt_program *p, struct lt_thread *t,
                         struct lt_statement *s, const char *target) {
    const char *before = r->at, *w = word(r);
    bool equals = true;
    if (strcmp(w, "load") == 0) {
        s->kind = LT_LOAD;
        return get_location(r, p, &s->location) && get_order(r, &s->order, of_load);
    }
    if (strcmp(w, "add") == 0 || strcmp(w, "xchg") == 0) {
        s->kind = w[0] == 'a' ? LT_ADD : LT_XCHG;
        return get_location(r, p, &s->location) && get_value(r, t, &s->value) &&
               get_order(r, &s->order, of_rmw);
    }
    if (strcmp(w, "cas") == 0) {
        s->kind = LT_CAS;
        return parse_cas(r, p, t, s);
    }
    if (strcmp(w, "await") == 0) {
        bool ok = get_location(r, p, &s->location) && get_comparison(r, t, &equals, &s->value) &&
                  get_order(r, &s->order, of_load);
        s->kind = equals ? LT_AWAIT : LT_AWAIT_NOT;
        return ok;
    }
    if (strcmp(w, "await_xchg") == 0) {
        s->kind = LT_AWAIT_XCHG;
        return get_location(r, p, &s->location) && get_value(r, t, &s->value) &&
               get_order(r, &s->order, of_rmw) && equal(r) && get_value(r, t, &s->expected);
    }
    if (strcmp(w, "spin") == 0) {
        s->kind = LT_SPIN;
        return get_count(r, 100, &s->count) &&
               (s->count || fail(r, "spin needs at least one load")) &&
               get_location(r, p, &s->location) && equal(r) && get_value(r, t, &s->value) &&
               get_order(r, &s->order, of_load);
    }
    if (strcmp(w, "trylock") == 0) {
        s->kind = LT_TRYLOCK;
        return get_lock(r, p, &s->location);
    }
    if (strcmp(w, "wait") == 0 || strcmp(w, "wait_timed") == 0) {
        s->kind = w[4] ? LT_WAIT_TIMED : LT_WAIT;
        return get_location(r, p, &s->location) && get_value(r, t, &s->expected);
    }
    if (strcmp(w, "wake") == 0) {
        s->kind = LT_WAKE;
        return get_location(r, p, &s->location) && get_count(r, 1u << 30, &s->count);
    }
    uint32_t n;
    if (!number(w, &n) && !has_name(t->registers, t->registers_n, w)) {
        return fail(r,
                    "'%s' cannot follow '%s =': load, add, xchg, cas, await, await_xchg, spin, "
                    "trylock, wait, wait_timed, wake, a number or a register set before",
                    w, target);
    }
    s->kind = LT_SET;
    r->at = before;
    if (!get_value(r, t, &s->value)) {
        return false;
    }
    return !mark(r, '+') || (s->value.is_register ? get_value(r, t, &s->expected)
                                                  : fail(r, "a sum begins with a register"));
}

static struct lt_statement *new_statement(struct reader *r, struct lt_thread *t) {
    if (t->statements_n == LT_STATEMENTS) {
        fail(r, "more than %d statements in a thread", LT_STATEMENTS);
        return NULL;
    }
    return &t->statements[t->statements_n++];
}

static bool parse_block(struct reader *r, struct lt_program *p, struct lt_thread *t);

static bool parse_if(struct reader *r, struct lt_program *p, struct lt_thread *t,
                     struct lt_statement *s) {
    bool equals = true;
    if (!get_register(r, t, &s->value) || !get_comparison(r, t, &equals, &s->expected) ||
        !parse_block(r, p, t)) {
        return false;
    }
    s->kind = equals ? LT_IF_EQUAL : LT_IF_DIFFER;
    s->jump = t->statements_n;
    struct reader before = *r;
    while (r->depth && at_end(r) && *r->at) { /* else may stand on a later line within braces */
        r->at += strcspn(r->at, "\n");
        r->line += *r->at == '\n';
        r->at += *r->at == '\n';
    }
    if (strcmp(word(r), "else") != 0) {
        *r = before;
        return true;
    }
    struct lt_statement *jump = new_statement(r, t);
    if (!jump) {
        return false;
    }
    jump->kind = LT_JUMP;
    s->jump = t->statements_n;
    if (!parse_block(r, p, t)) {
        return false;
    }
    jump->jump = t->statements_n;
    return true;
}

static bool parse_repeat(struct reader *r, struct lt_program *p, struct lt_thread *t,
                         struct lt_statement *s) {
    s->kind = LT_REPEAT;
    s->counter = r->depth;
    if (!get_count(r, 9, &s->count) || (!s->count && !fail(r, "repeat needs 1 to 9"))) {
        return false;
    }
    unsigned body = t->statements_n;
    if (!parse_block(r, p, t)) {
        return false;
    }
    struct lt_statement *end = new_statement(r, t);
    if (end) {
        *end = (struct lt_statement){.kind = LT_REPEAT_END, .counter = s->counter, .jump = body};
    }
    return end;
}

static bool parse_statement(struct reader *r, struct lt_program *p, struct lt_thread *t) {
    struct lt_statement *s = new_statement(r, t);
    if (!s) {
        return false;
    }
    const char *w = word(r);
    if (strcmp(w, "store") == 0) {
        s->kind = LT_STORE;
        return get_location(r, p, &s->location) && get_value(r, t, &s->value) &&
               get_order(r, &s->order, of_store);
    }
    if (strcmp(w, "fence") == 0) {
        s->kind = LT_FENCE;
        return get_order(r, &s->order, of_fence);
    }
    if (strcmp(w, "if") == 0) {
        return parse_if(r, p, t, s);
    }
    if (strcmp(w, "repeat") == 0) {
        return parse_repeat(r, p, t, s);
    }
    if (strcmp(w, "await_cas") == 0) {
        s->kind = LT_AWAIT_CAS;
        return parse_cas(r, p, t, s);
    }
    if (strcmp(w, "assume") == 0) {
        s->kind = LT_ASSUME;
        return get_register(r, t, &s->value) && equal(r) && get_value(r, t, &s->expected);
    }
    if (strcmp(w, "lock") == 0 || strcmp(w, "unlock") == 0) {
        s->kind = w[0] == 'l' ? LT_LOCK : LT_UNLOCK;
        return get_lock(r, p, &s->location);
    }
    if (!is_name(w)) {
        return fail(r, "a statement is missing: store, fence, if, repeat, await_cas, assume, lock, "
                       "unlock, or 'register = ...'");
    }
    char target[64];
    snprintf(target, sizeof target, "%s", w);
    if (!mark(r, '=')) {
        return fail(r, "'%s' is no statement; a register needs '='", target);
    }
    if (!parse_result(r, p, t, s, target)) {
        return false;
    }
    int i = index_of(t->registers, &t->registers_n, LT_REGISTERS, target);
    if (i < 0) {
        return fail(r, "'%s' is too long or one register too many (at most %d)", target,
                    LT_REGISTERS);
    }
    s->target = (unsigned)i;
    return true;
}

/* { S ; S }, also over several lines; the end of a line separates like `;`. */
static bool parse_block(struct reader *r, struct lt_program *p, struct lt_thread *t) {
    if (!mark(r, '{')) {
        return fail(r, "'{' is missing before '%.10s'", r->at);
    }
    if (++r->depth > LT_NESTING) {
        return fail(r, "braces deeper than %d", LT_NESTING);
    }
    for (bool separated = true;;) {
        if (mark(r, '}')) {
            r->depth--;
            return true;
        }
        if (at_end(r)) {
            r->at += strcspn(r->at, "\n");
            if (!*r->at) {
                return fail(r, "'}' is missing at the end");
            }
            r->at++;
            r->line++;
            separated = true;
        } else if (mark(r, ';')) {
            separated = true;
        } else if (!separated) {
            return fail(r, "';' is missing before '%.10s'", r->at);
        } else {
            if (!parse_statement(r, p, t)) {
                return false;
            }
            separated = false;
        }
    }
}

static bool parse_thread(struct reader *r, struct lt_program *p, unsigned number_of) {
    if (number_of >= LT_THREADS) {
        return fail(r, "thread %u: at most %d threads", number_of, LT_THREADS);
    }
    if (number_of > p->threads_n) {
        return fail(r, "thread T%u before T%u", number_of, p->threads_n);
    }
    if (number_of == p->threads_n) {
        p->threads_n++;
    }
    for (;;) {
        while (mark(r, ';')) {
        }
        if (at_end(r)) {
            return true;
        }
        if (!parse_statement(r, p, &p->threads[number_of])) {
            return false;
        }
        if (!mark(r, ';') && !at_end(r)) {
            return fail(r, "';' is missing before '%.10s'", r->at);
        }
    }
}

static bool parse_init(struct reader *r, struct lt_program *p) {
    while (!at_end(r)) {
        unsigned x = 0;
        if (!get_location(r, p, &x)) {
            return false;
        }
        if (!mark(r, '=') || !number(word(r), &p->initial[x])) {
            return fail(r, "init needs location=number");
        }
        mark(r, ';');
    }
    return true;
}

static bool parse_term(struct reader *r, struct lt_program *p, struct lt_term *t) {
    const char *w = word(r);
    unsigned n;
    int used = 0;
    if (sscanf(w, "T%u%n", &n, &used) == 1 && !w[used] && mark(r, ':')) {
        if (n >= p->threads_n) {
            return fail(r, "there is no thread T%u", n);
        }
        t->thread = (int)n;
        const char *name = word(r);
        struct lt_thread *th = &p->threads[n];
        for (t->index = 0; t->index < th->registers_n && strcmp(th->registers[t->index], name) != 0;
             t->index++) {
        }
        if (t->index == th->registers_n) {
            return fail(r, "T%u has no register '%s'", n, name);
        }
    } else {
        t->thread = -1;
        for (t->index = 0; t->index < p->locations_n && strcmp(p->locations[t->index], w) != 0;
             t->index++) {
        }
        if (t->index == p->locations_n) {
            return fail(r, "'%s' is neither a location nor T<n>:register", w);
        }
    }
    if (!mark(r, '=')) {
        return fail(r, "'=' is missing in exists");
    }
    return number(word(r), &t->value) || fail(r, "a number is missing after '='");
}

static bool parse_exists(struct reader *r, struct lt_program *p) {
    if (p->terms_n) {
        return fail(r, "a second 'exists'");
    }
    for (bool or_before = false;;) {
        if (p->terms_n == LT_TERMS) {
            return fail(r, "more than %d terms", LT_TERMS);
        }
        struct lt_term *t = &p->terms[p->terms_n];
        if (!parse_term(r, p, t)) {
            return false;
        }
        t->or_before = or_before;
        p->terms_n++;
        if (at_end(r)) {
            return true;
        }
        or_before = mark(r, '|');
        if (!or_before && !mark(r, '&')) {
            return fail(r, "'&' or '|' is missing before '%.10s'", r->at);
        }
    }
}

static bool parse_line(struct reader *r, struct lt_program *p) {
    if (at_end(r)) {
        return true;
    }
    const char *w = word(r);
    unsigned n;
    int used = 0;
    uint32_t graphs;
    if (strcmp(w, "name") == 0) {
        blanks(r);
        size_t len = strcspn(r->at, "\n\r");
        while (len && r->at[len - 1] == ' ') {
            len--;
        }
        if (len == 0 || len >= sizeof p->name) {
            return fail(r, "the name is missing or longer than %zu", sizeof p->name - 1);
        }
        memcpy(p->name, r->at, len);
        p->name[len] = 0;
        r->at += len;
    } else if (strcmp(w, "init") == 0) {
        if (!parse_init(r, p)) {
            return false;
        }
    } else if (strcmp(w, "exists") == 0) {
        if (!parse_exists(r, p)) {
            return false;
        }
    } else if (strcmp(w, "expect") == 0) {
        w = word(r);
        if (strcmp(w, "allowed") != 0 && strcmp(w, "forbidden") != 0) {
            return fail(r, "expect allowed or forbidden, not '%s'", w);
        }
        snprintf(p->expected, sizeof p->expected, "%s", w);
    } else if (strcmp(w, "graphs") == 0 || strcmp(w, "blocked") == 0) {
        long *expected = w[0] == 'g' ? &p->expected_graphs : &p->expected_blocked;
        if (!number(word(r), &graphs)) {
            return fail(r, "graphs and blocked need a number");
        }
        *expected = (long)graphs;
    } else if (sscanf(w, "T%u%n", &n, &used) == 1 && !w[used] && mark(r, ':')) {
        if (!parse_thread(r, p, n)) {
            return false;
        }
    } else {
        return fail(r, "'%s' begins no line: name, init, T<n>:, exists, expect, graphs, blocked",
                    *w ? w : r->at);
    }
    return at_end(r) || fail(r, "something follows the end: '%.20s'", r->at);
}

bool lt_parse(struct lt_program *p, const char *text, const char *file, char *error,
              size_t error_n) {
    memset(p, 0, sizeof *p);
    p->expected_graphs = p->expected_blocked = -1;
    struct reader r = {.at = text, .file = file, .line = 1, .error = error, .error_n = error_n};
    for (;; r.line++) {
        if (!parse_line(&r, p) || r.failed) {
            return false;
        }
        while (*r.at && *r.at != '\n') {
            r.at++;
        }
        if (!*r.at++) {
            break;
        }
    }
    if (p->threads_n == 0) {
        return fail(&r, "no threads");
    }
    if (!p->name[0]) {
        snprintf(p->name, sizeof p->name, "%.100s", file);
    }
    return true;
}

/* ---- Running --------------------------------------------------------------------------------- */

/* One cache line each, so that no two locations share a cell of the engine. */
static struct { uint32_t word, pad[15]; } memory[LT_LOCATIONS], locks[LT_LOCKS];
static struct lt_program *running;
static unsigned numbers[LT_THREADS];

static uint32_t value_of(const struct lt_thread *t, struct lt_value v) {
    return v.is_register ? t->r[v.number] : v.number;
}

/* Await loops contain only the call, the comparison and the branch, so that the thread's registers
 * and stack are the same in every round. */
#define NOINLINE __attribute__((noinline))

static NOINLINE uint32_t await_equal(const uint32_t *at, uint32_t value, int order) {
    uint32_t v;
    do {
        v = (uint32_t)sim_atomic_load(at, 4, order);
    } while (v != value);
    return v;
}

static NOINLINE uint32_t await_different(const uint32_t *at, uint32_t value, int order) {
    uint32_t v;
    do {
        v = (uint32_t)sim_atomic_load(at, 4, order);
    } while (v == value);
    return v;
}

static NOINLINE uint32_t await_exchange(uint32_t *at, uint32_t value, uint32_t expected,
                                        int order) {
    uint32_t v;
    do {
        v = (uint32_t)sim_atomic_rmw(at, 4, SIM_XCHG, value, order);
    } while (v != expected);
    return v;
}

static NOINLINE void await_cas(uint32_t *at, uint32_t expected, uint32_t value, int order,
                               int failure_order) {
    while ((uint32_t)sim_atomic_cas(at, 4, expected, value, false, order, failure_order, NULL) !=
           expected) {
    }
}

static NOINLINE uint32_t spin(const uint32_t *at, uint32_t value, int order, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if ((uint32_t)sim_atomic_load(at, 4, order) == value) {
            return 1;
        }
    }
    return 0;
}

static uint32_t wait_for(const uint32_t *at, uint32_t expected, uint64_t deadline_ns) {
    switch (sim_wait(at, expected, deadline_ns)) {
    case SIM_NOT_EQUAL:
        return 0;
    case SIM_TIMED_OUT:
        return 2;
    default:
        return 1;
    }
}

/* Executes statement pc of t and returns the number of the next. The counters are on the thread's
 * own stack, so that the engine can tell rounds of a counted loop from those of an await. */
static unsigned step(struct lt_thread *t, unsigned pc, unsigned *counters) {
    const struct lt_statement *s = &t->statements[pc];
    uint32_t *at = &memory[s->location].word;
    const void *lock = &locks[s->location % LT_LOCKS];
    uint32_t v = value_of(t, s->value), e = value_of(t, s->expected), *target = &t->r[s->target];
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
        *target = (uint32_t)sim_atomic_cas(at, 4, e, v, false, s->order, s->failure_order, NULL);
        break;
    case LT_FENCE:
        sim_atomic_fence(s->order);
        break;
    case LT_SET:
        *target = v + e;
        break;
    case LT_IF_EQUAL:
        return v == e ? pc + 1 : s->jump;
    case LT_IF_DIFFER:
        return v != e ? pc + 1 : s->jump;
    case LT_JUMP:
        return s->jump;
    case LT_REPEAT:
        counters[s->counter] = s->count;
        break;
    case LT_REPEAT_END:
        return --counters[s->counter] ? s->jump : pc + 1;
    case LT_AWAIT:
        *target = await_equal(at, v, s->order);
        break;
    case LT_AWAIT_NOT:
        *target = await_different(at, v, s->order);
        break;
    case LT_AWAIT_XCHG:
        *target = await_exchange(at, v, e, s->order);
        break;
    case LT_AWAIT_CAS:
        await_cas(at, e, v, s->order, s->failure_order);
        break;
    case LT_SPIN:
        *target = spin(at, v, s->order, s->count);
        break;
    case LT_ASSUME:
        sim_assume(v == e);
        break;
    case LT_LOCK:
        sim_lock(lock);
        break;
    case LT_UNLOCK:
        sim_unlock(lock);
        break;
    case LT_TRYLOCK:
        *target = sim_try_lock(lock);
        break;
    case LT_WAIT:
        *target = wait_for(at, e, SIM_NEVER);
        break;
    case LT_WAIT_TIMED:
        *target = wait_for(at, e, 1000);
        break;
    case LT_WAKE:
        *target = sim_wake(at, s->count);
        break;
    }
    return pc + 1;
}

static void thread_main(void *arg) {
    struct lt_thread *t = &running->threads[*(const unsigned *)arg];
    unsigned counters[LT_NESTING] = {0};
    for (unsigned pc = 0; pc < t->statements_n;) {
        pc = step(t, pc, counters);
    }
}

void lt_run(void *program) {
    struct lt_program *p = program;
    int ids[LT_THREADS];
    running = p;
    p->finished = false;
    for (unsigned i = 0; i < p->locations_n; i++) {
        memory[i].word = p->initial[i];
    }
    for (unsigned i = 0; i < p->threads_n; i++) {
        memset(p->threads[i].r, 0, sizeof p->threads[i].r);
        numbers[i] = i;
        ids[i] = sim_spawn(thread_main, &numbers[i]);
    }
    for (unsigned i = 0; i < p->threads_n; i++) {
        sim_join(ids[i]);
    }
    for (unsigned i = 0; i < p->locations_n; i++) {
        p->memory[i] = memory[i].word;
    }
    p->finished = true;
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
    for (unsigned i = 0; i < p->threads_n; i++) {
        for (unsigned j = 0; j < p->threads[i].registers_n; j++) {
            snprintf(items[k++], sizeof items[0], "T%u:%s=%u", i, p->threads[i].registers[j],
                     p->threads[i].r[j]);
        }
    }
    for (unsigned i = 0; i < p->locations_n; i++) {
        snprintf(items[k++], sizeof items[0], "%s=%u", p->locations[i], p->memory[i]);
    }
    qsort(items, k, sizeof items[0], by_text);
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < k && used < n; i++) {
        used += (size_t)snprintf(out + used, n - used, i ? " %s" : "%s", items[i]);
    }
}
