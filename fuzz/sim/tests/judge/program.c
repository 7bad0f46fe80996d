/* program.c: a recursive-descent parser of litmus programs; see program.h, and ../../README.md for
 * the language. */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct text {
    const char *at, *file;
    unsigned line;
    char token[64]; /* a word, one sign, "!=", "\n", or "" at the end */
    char *error;
    size_t error_n;
    bool failed;
    unsigned depth; /* nesting of braces: inside them, the end of a line separates statements */
};

static void wrong(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void wrong(struct text *t, const char *format, ...) {
    if (t->failed) {
        return;
    }
    t->failed = true;
    int n = snprintf(t->error, t->error_n, "%s:%u: ", t->file, t->line);
    va_list args;
    va_start(args, format);
    if (n >= 0 && (size_t)n < t->error_n) {
        vsnprintf(t->error + n, t->error_n - (size_t)n, format, args);
    }
    va_end(args);
}

static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool digit(char c) {
    return c >= '0' && c <= '9';
}

/* Moves to the next token. */
static void next(struct text *t) {
    if (strcmp(t->token, "\n") == 0) {
        t->line++;
    }
    while (*t->at == ' ' || *t->at == '\t' || *t->at == '\r') {
        t->at++;
    }
    if (*t->at == '#') {
        while (*t->at && *t->at != '\n') {
            t->at++;
        }
    }
    size_t n = 0;
    if (letter(*t->at) || digit(*t->at) || (*t->at == '-' && digit(t->at[1]))) {
        do {
            t->token[n++] = *t->at++;
        } while ((letter(*t->at) || digit(*t->at) || *t->at == '.' || *t->at == '-') &&
                 n + 1 < sizeof t->token);
    } else if (t->at[0] == '!' && t->at[1] == '=') {
        t->token[n++] = *t->at++;
        t->token[n++] = *t->at++;
    } else if (*t->at) {
        t->token[n++] = *t->at++;
    }
    t->token[n] = 0;
}

static bool here(const struct text *t, const char *token) {
    return strcmp(t->token, token) == 0;
}
static bool take(struct text *t, const char *token) {
    if (!here(t, token)) {
        return false;
    }
    next(t);
    return true;
}
static void need(struct text *t, const char *token) {
    if (!take(t, token)) {
        wrong(t, "'%s' is missing before '%s'", token, t->token);
    }
}
static bool line_ends(const struct text *t) {
    return !t->token[0] || here(t, "\n");
}

static bool is_number(const char *w, uint32_t *value) {
    char *end;
    if (!digit(w[0]) && w[0] != '-') {
        return false;
    }
    long long v = strtoll(w, &end, 0);
    *value = (uint32_t)v;
    return *end == 0 && v >= INT32_MIN && v <= UINT32_MAX;
}

static uint32_t number(struct text *t) {
    uint32_t v = 0;
    if (!is_number(t->token, &v)) {
        wrong(t, "a number is missing before '%s'", t->token);
    }
    next(t);
    return v;
}

static int find(char (*names)[NAME_MAX_], unsigned n, const char *w) {
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(names[i], w) == 0) {
            return (int)i;
        }
    }
    return -1;
}

/* The index of a name, added if it is new. */
static unsigned name(struct text *t, char (*names)[NAME_MAX_], unsigned *n, unsigned max) {
    int i = find(names, *n, t->token);
    if (i < 0) {
        if (!letter(t->token[0]) || strlen(t->token) >= NAME_MAX_ || *n == max) {
            wrong(t, "'%s' is no name, too long, or one too many", t->token);
            return 0;
        }
        i = (int)(*n)++;
        snprintf(names[i], NAME_MAX_, "%s", t->token);
    }
    next(t);
    return (unsigned)i;
}

static unsigned place(struct text *t, struct program *p, bool lock) {
    unsigned before = p->places_n, i = name(t, p->places, &p->places_n, PLACES_MAX);
    if (i == before && !t->failed) {
        p->is_lock[i] = lock;
    } else if (p->is_lock[i] != lock) {
        wrong(t, "%s is both a lock and a location", p->places[i]);
    }
    return i;
}

static unsigned known_register(struct text *t, struct code *c) {
    int i = find(c->registers, c->registers_n, t->token);
    if (i < 0) {
        wrong(t, "'%s' is no register that was set before", t->token);
    }
    next(t);
    return i < 0 ? 0 : (unsigned)i;
}

static struct operand operand(struct text *t, struct code *c) {
    struct operand o = {0};
    if (is_number(t->token, &o.number)) {
        next(t);
        return o;
    }
    o.is_register = true;
    o.number = known_register(t, c);
    return o;
}

static enum order order(struct text *t, const char *allowed) {
    static const char *const names[] = {"rlx", "acq", "rel", "ar", "sc"};
    for (unsigned i = 0; i < 5; i++) {
        if (here(t, names[i]) && strstr(allowed, names[i])) {
            next(t);
            return (enum order)i;
        }
    }
    wrong(t, "'%s' is not one of the orders %s", t->token, allowed);
    return RELAXED;
}

static const char of_load[] = "rlx acq sc", of_store[] = "rlx rel sc",
                  of_rmw[] = "rlx acq rel ar sc", of_fence[] = "acq rel ar sc";

static struct instruction *emit(struct text *t, struct code *c, enum opcode code) {
    static struct instruction nowhere;
    if (c->n == CODE_MAX) {
        wrong(t, "more than %d instructions in a thread", CODE_MAX);
        return &nowhere;
    }
    c->at[c->n] = (struct instruction){.code = code};
    return &c->at[c->n++];
}

static void statement(struct text *t, struct program *p, struct code *c);

/* { S ; S }: line ends inside count as separators. */
static void block(struct text *t, struct program *p, struct code *c) {
    if (++t->depth > NESTING_MAX) {
        wrong(t, "braces deeper than %d", NESTING_MAX);
        return;
    }
    need(t, "{");
    while (!t->failed && !here(t, "}")) {
        if (take(t, ";") || take(t, "\n")) {
            continue;
        }
        if (!t->token[0]) {
            wrong(t, "'}' is missing at the end");
        }
        statement(t, p, c);
        if (!here(t, "}") && !here(t, ";") && !here(t, "\n")) {
            wrong(t, "';' is missing before '%s'", t->token);
        }
    }
    need(t, "}");
    t->depth--;
}

static void conditional(struct text *t, struct program *p, struct code *c) {
    struct operand a = {true, known_register(t, c)};
    bool different = take(t, "!=");
    if (!different) {
        need(t, "=");
    }
    struct instruction *test = emit(t, c, different ? UNLESS_DIFFERENT : UNLESS_EQUAL);
    test->a = a;
    test->b = operand(t, c);
    block(t, p, c);
    const struct text before = *t;
    while (t->depth && take(t, "\n")) {
    }
    if (take(t, "else")) {
        struct instruction *jump = emit(t, c, JUMP);
        test->jump = c->n;
        block(t, p, c);
        jump->jump = c->n;
    } else {
        *t = before;
        test->jump = c->n;
    }
}

static void repetition(struct text *t, struct program *p, struct code *c) {
    uint32_t n = number(t);
    if (n < 1 || n > 9) {
        wrong(t, "repeat needs a number from 1 to 9");
    }
    struct instruction *i = emit(t, c, REPEAT);
    unsigned counter = c->counters_n++, body = c->n;
    i->count = n;
    i->counter = counter;
    if (counter >= CODE_MAX) {
        wrong(t, "too many loops");
    }
    block(t, p, c);
    i = emit(t, c, REPEAT_END);
    i->counter = counter;
    i->jump = body;
}

/* Parses what follows `register =`. The register counts as set only afterwards. */
static void assignment(struct text *t, struct program *p, struct code *c, const char *target) {
    struct instruction *i = emit(t, c, SET);
    if (take(t, "load")) {
        i->code = LOAD;
        i->place = place(t, p, false);
        i->order = order(t, of_load);
    } else if (here(t, "add") || here(t, "xchg")) {
        i->code = here(t, "add") ? ADD : EXCHANGE;
        next(t);
        i->place = place(t, p, false);
        i->a = operand(t, c);
        i->order = order(t, of_rmw);
    } else if (take(t, "cas")) {
        i->code = CAS;
        i->place = place(t, p, false);
        i->b = operand(t, c);
        i->a = operand(t, c);
        i->order = order(t, of_rmw);
        i->failure_order = order(t, of_load);
    } else if (take(t, "await")) {
        i->place = place(t, p, false);
        i->code = take(t, "!=") ? AWAIT_DIFFERENT : AWAIT_EQUAL;
        if (i->code == AWAIT_EQUAL) {
            need(t, "=");
        }
        i->a = operand(t, c);
        i->order = order(t, of_load);
    } else if (take(t, "await_xchg")) {
        i->code = AWAIT_EXCHANGE;
        i->place = place(t, p, false);
        i->a = operand(t, c);
        i->order = order(t, of_rmw);
        need(t, "=");
        i->b = operand(t, c);
    } else if (take(t, "spin")) {
        i->code = SPIN;
        i->count = number(t);
        if (i->count < 1 || i->count > 100) {
            wrong(t, "spin needs a number from 1 to 100");
        }
        i->place = place(t, p, false);
        need(t, "=");
        i->a = operand(t, c);
        i->order = order(t, of_load);
    } else if (take(t, "trylock")) {
        i->code = TRYLOCK;
        i->place = place(t, p, true);
    } else if (here(t, "wait") || here(t, "wait_timed")) {
        i->code = here(t, "wait") ? WAIT : WAIT_TIMED;
        next(t);
        i->place = place(t, p, false);
        i->b = operand(t, c);
    } else if (take(t, "wake")) {
        i->code = WAKE;
        i->place = place(t, p, false);
        i->count = number(t);
    } else {
        i->a = operand(t, c);
        if (take(t, "+")) {
            if (!i->a.is_register) {
                wrong(t, "a sum begins with a register");
            }
            i->b = operand(t, c);
        }
    }
    int r = find(c->registers, c->registers_n, target);
    if (r < 0) {
        if (c->registers_n == REGISTERS_MAX || strlen(target) >= NAME_MAX_) {
            wrong(t, "'%s' is too long or one register too many", target);
            return;
        }
        r = (int)c->registers_n++;
        snprintf(c->registers[r], NAME_MAX_, "%s", target);
    }
    i->target = (unsigned)r;
}

static void statement(struct text *t, struct program *p, struct code *c) {
    if (take(t, "store")) {
        struct instruction *i = emit(t, c, STORE);
        i->place = place(t, p, false);
        i->a = operand(t, c);
        i->order = order(t, of_store);
    } else if (take(t, "fence")) {
        emit(t, c, FENCE)->order = order(t, of_fence);
    } else if (take(t, "if")) {
        conditional(t, p, c);
    } else if (take(t, "repeat")) {
        repetition(t, p, c);
    } else if (take(t, "await_cas")) {
        struct instruction *i = emit(t, c, AWAIT_CAS);
        i->place = place(t, p, false);
        i->b = operand(t, c);
        i->a = operand(t, c);
        i->order = order(t, of_rmw);
        i->failure_order = order(t, of_load);
    } else if (take(t, "assume")) {
        struct instruction *i = emit(t, c, ASSUME);
        i->a = (struct operand){true, known_register(t, c)};
        need(t, "=");
        i->b = operand(t, c);
    } else if (take(t, "lock")) {
        emit(t, c, LOCK)->place = place(t, p, true);
    } else if (take(t, "unlock")) {
        emit(t, c, UNLOCK)->place = place(t, p, true);
    } else if (letter(t->token[0])) {
        char target[64];
        snprintf(target, sizeof target, "%s", t->token);
        next(t);
        if (!take(t, "=")) {
            wrong(t, "'%s' begins no statement", target);
        }
        assignment(t, p, c, target);
    } else {
        wrong(t, "'%s' begins no statement", t->token);
    }
}

static void thread(struct text *t, struct program *p, unsigned i) {
    if (i >= THREADS_MAX || i > p->threads_n) {
        wrong(t, "thread T%u: too many, or before T%u", i, p->threads_n);
        return;
    }
    if (i == p->threads_n) {
        p->threads_n++;
    }
    while (!t->failed && !line_ends(t)) {
        if (take(t, ";")) {
            continue;
        }
        statement(t, p, &p->threads[i]);
        if (!line_ends(t) && !here(t, ";")) {
            wrong(t, "';' is missing before '%s'", t->token);
        }
    }
}

/* T<number>, and nothing after it. */
static bool thread_number(const char *w, unsigned *out) {
    uint32_t v;
    if (w[0] != 'T' || !is_number(w + 1, &v)) {
        return false;
    }
    *out = v;
    return true;
}

static void exists(struct text *t, struct program *p) {
    for (bool or_before = false;; next(t)) {
        unsigned i;
        struct condition *c = &p->conditions[p->conditions_n];
        if (p->conditions_n++ == CONDITIONS_MAX) {
            wrong(t, "more than %d conditions", CONDITIONS_MAX);
            return;
        }
        c->or_before = or_before;
        if (thread_number(t->token, &i) && i < p->threads_n) {
            next(t);
            need(t, ":");
            c->thread = (int)i;
            c->index = known_register(t, &p->threads[i]);
        } else {
            int k = find(p->places, p->places_n, t->token);
            if (k < 0 || p->is_lock[k]) {
                wrong(t, "'%s' is neither a location nor T<n>:register", t->token);
            }
            next(t);
            c->thread = -1;
            c->index = k < 0 ? 0 : (unsigned)k;
        }
        need(t, "=");
        c->value = number(t);
        or_before = here(t, "|");
        if (!or_before && !here(t, "&")) {
            return;
        }
    }
}

static void line(struct text *t, struct program *p) {
    unsigned i;
    if (here(t, "name")) { /* the rest of the line, unchanged */
        const char *from = t->at + strspn(t->at, " \t");
        size_t n = strcspn(from, "\n");
        while (n && (from[n - 1] == ' ' || from[n - 1] == '\r')) {
            n--;
        }
        if (!n || n >= sizeof p->name) {
            wrong(t, "the name is missing or too long");
        } else {
            memcpy(p->name, from, n);
        }
        t->at = from + strcspn(from, "\n");
        next(t);
    } else if (take(t, "init")) {
        while (!t->failed && !line_ends(t)) {
            if (take(t, ";")) {
                continue;
            }
            unsigned x = place(t, p, false);
            need(t, "=");
            p->initial[x] = number(t);
        }
    } else if (take(t, "graphs")) {
        p->stated_graphs = (long)number(t);
    } else if (take(t, "blocked")) {
        p->stated_blocked = (long)number(t);
    } else if (take(t, "expect")) {
        p->stated_allowed = here(t, "allowed");
        p->stated_forbidden = here(t, "forbidden");
        if (!p->stated_allowed && !p->stated_forbidden) {
            wrong(t, "expect allowed or forbidden");
        }
        next(t);
    } else if (take(t, "exists")) {
        exists(t, p);
    } else if (thread_number(t->token, &i)) {
        next(t);
        need(t, ":");
        thread(t, p, i);
    } else {
        wrong(t, "'%s' begins no line", t->token);
    }
    if (!line_ends(t)) {
        wrong(t, "something follows the end: '%s'", t->token);
    }
}

bool program_read(struct program *p, const char **text, unsigned *line_n, const char *file,
                  char *error, size_t error_n) {
    memset(p, 0, sizeof *p);
    p->stated_graphs = p->stated_blocked = -1;
    struct text t = {
        .at = *text, .file = file, .line = *line_n, .error = error, .error_n = error_n};
    *text = NULL;
    next(&t);
    while (!t.failed && t.token[0]) {
        if (take(&t, "\n")) {
            continue;
        }
        if (here(&t, "-") && t.at[0] == '-' && t.at[1] == '-') {
            *text = t.at + strcspn(t.at, "\n");
            *line_n = t.line;
            break;
        }
        line(&t, p);
    }
    if (!p->threads_n) {
        wrong(&t, "no threads");
    }
    if (!p->name[0]) {
        snprintf(p->name, sizeof p->name, "%.100s", file);
    }
    if (t.failed && !*text) { /* skip to the separator, so that later programs can be read */
        const char *at = t.at;
        while (at && *at && strncmp(at, "\n---", 4) != 0) {
            at++;
        }
        if (at && *at) {
            *text = at + 4;
            for (const char *k = t.at; k < *text; k++) {
                t.line += *k == '\n';
            }
            *line_n = t.line;
        }
    }
    return !t.failed;
}
