/* program.c: conformance programs: parsing, printing, and checking that they are well-formed. */
#include "program.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- The table ------------------------------------------------------------------------------- */

enum field {
    FIELD_at,
    FIELD_to,
    FIELD_from,
    FIELD_width,
    FIELD_kind,
    FIELD_count,
    FIELD_pages,
    FIELD_value,
    FIELD_expected,
    FIELD_timeout_ns,
    FIELDS
};

static const char *const field_name[FIELDS] = {"at",    "to",    "from",  "width",    "kind",
                                               "count", "pages", "value", "expected", "timeout_ns"};

static const struct {
    const char *name;
    bool has_result;
    unsigned fields; /* bit n: enum field n */
} table[CONFORM_CODES] = {
#define ARGUMENT(name) | 1u << FIELD_##name
#define OPERATION(name, result, arguments) {#name, result, 0u arguments},
#include "operation.def"
#undef ARGUMENT
};

static const char *const rmw_name[CONFORM_RMW_COUNT] = {"add", "sub", "and", "or", "xor", "xchg"};

const char *conform_operation_name(enum conform_code code) {
    return table[code].name;
}

/* ---- Well-formed programs -------------------------------------------------------------------- */

unsigned conform_ranges(const struct conform_operation *o, struct conform_range range[2]) {
    switch (o->code) {
    case CONFORM_memory_load:
        range[0] = (struct conform_range){o->at, o->width, false, false};
        return 1;
    case CONFORM_memory_store:
        range[0] = (struct conform_range){o->at, o->width, true, false};
        return 1;
    case CONFORM_memory_atomic_load:
    case CONFORM_memory_wait32:
    case CONFORM_memory_wait64:
        range[0] = (struct conform_range){o->at, o->width, false, true};
        return 1;
    case CONFORM_memory_atomic_store:
    case CONFORM_memory_atomic_rmw:
    case CONFORM_memory_atomic_cmpxchg:
        range[0] = (struct conform_range){o->at, o->width, true, true};
        return 1;
    case CONFORM_memory_bulk_fill:
    case CONFORM_memory_bulk_init:
        range[0] = (struct conform_range){o->at, o->count, true, false};
        return 1;
    case CONFORM_memory_bulk_copy:
        range[0] = (struct conform_range){o->to, o->count, true, false};
        range[1] = (struct conform_range){o->from, o->count, false, false};
        return 2;
    default:
        return 0;
    }
}

bool conform_is_far(const struct conform_operation *o) {
    struct conform_range range[2];
    unsigned ranges = conform_ranges(o, range);
    bool is_far = o->code == CONFORM_memory_notify && (o->at & CONFORM_GROWN);
    for (unsigned i = 0; i < ranges; i++) {
        is_far = is_far || (range[i].at & CONFORM_GROWN);
    }
    return is_far;
}

static bool is_wait(const struct conform_operation *o) {
    return o->code == CONFORM_memory_wait32 || o->code == CONFORM_memory_wait64;
}

bool conform_waits_forever(const struct conform_operation *o) {
    const int64_t ten_days_ns = INT64_C(864000000000000);
    return is_wait(o) && (o->timeout_ns < 0 || o->timeout_ns >= ten_days_ns);
}

/* Checks that an operation's bytes lie in one window, and are aligned if they must be. */
static const char *check_place(const struct conform_program *p, struct conform_operation *o) {
    struct conform_range range[2];
    unsigned ranges = conform_ranges(o, range);
    if (o->code == CONFORM_memory_notify) {
        range[ranges++] = (struct conform_range){o->at, 4, false, true};
    }
    for (unsigned i = 0; i < ranges; i++) {
        uint32_t offset = range[i].at & ~CONFORM_GROWN;
        if (offset > CONFORM_WINDOW_BYTES || range[i].count > CONFORM_WINDOW_BYTES - offset) {
            return "an access lies outside of the 64 bytes of its window";
        }
        if (range[i].is_atomic && offset % range[i].count != 0) {
            return "an atomic access is not aligned";
        }
        if ((range[i].at & CONFORM_GROWN) && p->min_pages == p->max_pages) {
            return "an address past the size, in a memory that cannot grow";
        }
    }
    return NULL;
}

static const char *check_operation(struct conform_program *p, unsigned t, unsigned n) {
    struct conform_operation *o = &p->operation[t][n];
    unsigned fields = table[o->code].fields;
    if (o->code == CONFORM_memory_wait32 || o->code == CONFORM_memory_wait64) {
        o->width = o->code == CONFORM_memory_wait32 ? 4 : 8;
    }
    if ((fields & 1u << FIELD_width) && o->width != 1 && o->width != 2 && o->width != 4 &&
        o->width != 8) {
        return "a width is 1, 2, 4 or 8 bytes";
    }
    if (o->value >> 32 == CONFORM_WORD_HIGH) {
        return "that value stands for something else";
    }
    if (o->code == CONFORM_memory_bulk_init &&
        (o->value > CONFORM_SEGMENT_BYTES || o->count > CONFORM_SEGMENT_BYTES - o->value)) {
        return "the segment has 64 bytes";
    }
    if ((fields & 1u << FIELD_pages) && o->pages > CONFORM_PAGES_MAX) {
        return "a growth has at most 8 pages";
    }
    if (o->test != CONFORM_ALWAYS &&
        (o->tested >= n || !table[p->operation[t][o->tested].code].has_result)) {
        return "when: names no earlier operation of the thread that has a result";
    }
    return check_place(p, o);
}

static void add_words(struct conform_program *p, uint32_t at, uint32_t count) {
    for (uint32_t word = at & ~7u; count > 0 && word < at + count; word += 8) {
        unsigned i = 0;
        while (i < p->words && p->word[i] < word) {
            i++;
        }
        if (i == p->words || p->word[i] != word) {
            memmove(p->word + i + 1, p->word + i, (p->words - i) * sizeof p->word[0]);
            p->word[i] = word;
            p->words++;
        }
    }
}

const char *conform_finish(struct conform_program *p) {
    p->grows = p->traps = p->blocks = p->waits = p->inits = p->host = false;
    p->slots = p->words = 0;
    if (p->threads < 1 || p->name[0] == '\0') {
        return p->threads < 1 ? "a program without operations" : "a program without a name";
    }
    if (p->min_pages < 1 || p->max_pages < p->min_pages || p->max_pages > CONFORM_PAGES_MAX) {
        return "a memory has 1 to 8 pages, and min is not above max";
    }
    for (unsigned t = 0; t < p->threads; t++) {
        if (p->operations[t] == 0) {
            return "a thread without operations";
        }
        for (unsigned n = 0; n < p->operations[t]; n++) {
            const char *wrong = check_operation(p, t, n);
            if (wrong != NULL) {
                return wrong;
            }
            struct conform_operation *o = &p->operation[t][n];
            struct conform_range range[2];
            unsigned ranges = conform_ranges(o, range);
            bool far = conform_is_far(o);
            for (unsigned i = 0; i < ranges; i++) {
                add_words(p, range[i].at, range[i].count);
            }
            p->traps = p->traps || far;
            p->grows =
                p->grows || far || o->code == CONFORM_memory_grow || o->code == CONFORM_memory_size;
            p->waits = p->waits || is_wait(o);
            p->blocks = p->blocks || conform_waits_forever(o);
            p->inits = p->inits || o->code == CONFORM_memory_bulk_init;
            p->host = p->host || o->code == CONFORM_memory_disable_atomics;
            o->slot = table[o->code].has_result || far ? (int)p->slots++ : -1;
        }
    }
    for (unsigned i = 0; i < CONFORM_WINDOW_BYTES; i++) {
        if (p->first[i] != 0) {
            add_words(p, i, 1);
        }
    }
    p->outcome = p->slots + p->words + (p->grows ? 1 : 0);
    return NULL;
}

/* ---- From text ------------------------------------------------------------------------------- */

struct reader {
    const char *at;
    const char *why;
};

static bool fail(struct reader *r, const char *why) {
    r->why = r->why == NULL ? why : r->why;
    return false;
}

static void skip_blanks(struct reader *r) {
    while (*r->at == ' ' || *r->at == '\t') {
        r->at++;
    }
}

static bool number(struct reader *r, uint64_t *value) {
    char *end;
    bool negative = *r->at == '-';
    errno = 0;
    *value = negative ? (uint64_t)strtoll(r->at, &end, 0) : strtoull(r->at, &end, 0);
    if (end == r->at || errno != 0) {
        return fail(r, "a number is missing or too large");
    }
    r->at = end;
    return true;
}

static bool starts(struct reader *r, const char *word) {
    size_t n = strlen(word);
    if (strncmp(r->at, word, n) != 0) {
        return false;
    }
    r->at += n;
    return true;
}

static bool address(struct reader *r, uint32_t *at) {
    bool is_grown = starts(r, "grown");
    uint64_t offset = 0;
    if ((!is_grown || starts(r, "+")) && !number(r, &offset)) {
        return false;
    }
    if (offset > CONFORM_WINDOW_BYTES) {
        return fail(r, "an address lies outside of its window of 64 bytes");
    }
    *at = (uint32_t)offset | (is_grown ? CONFORM_GROWN : 0);
    return true;
}

static bool number32(struct reader *r, uint32_t *value) {
    uint64_t wide;
    if (!number(r, &wide)) {
        return false;
    }
    *value = (uint32_t)wide;
    return wide <= UINT32_MAX || fail(r, "a number is too large");
}

static bool kind(struct reader *r, uint32_t *value) {
    for (unsigned i = 0; i < CONFORM_RMW_COUNT; i++) {
        size_t n = strlen(rmw_name[i]);
        if (strncmp(r->at, rmw_name[i], n) == 0 && strchr(" \t\n\r", r->at[n]) != NULL) {
            r->at += n;
            *value = i;
            return true;
        }
    }
    return fail(r, "kind is add, sub, and, or, xor or xchg");
}

static bool field(struct reader *r, struct conform_operation *o, enum field f) {
    uint64_t wide = 0;
    switch (f) {
    case FIELD_at:
        return address(r, &o->at);
    case FIELD_to:
        return address(r, &o->to);
    case FIELD_from:
        return address(r, &o->from);
    case FIELD_width:
        return number32(r, &o->width);
    case FIELD_kind:
        return kind(r, &o->kind);
    case FIELD_count:
        return number32(r, &o->count);
    case FIELD_pages:
        return number32(r, &o->pages);
    case FIELD_value:
        return number(r, &o->value);
    case FIELD_expected:
        return number(r, &o->expected);
    default:
        if (!number(r, &wide)) {
            return false;
        }
        o->timeout_ns = (int64_t)wide;
        return true;
    }
}

/* Parses the words of a line: name:value for each field, and when:N=V or when:N!=V. */
static bool arguments(struct reader *r, struct conform_operation *o) {
    unsigned missing = table[o->code].fields;
    for (;;) {
        skip_blanks(r);
        if (*r->at == '\n' || *r->at == '\0' || *r->at == '#' || *r->at == '\r') {
            return missing == 0 || fail(r, "an argument is missing");
        }
        if (starts(r, "when:")) {
            uint64_t tested;
            if (!number(r, &tested)) {
                return false;
            }
            o->tested = (unsigned)tested;
            o->test = starts(r, "!=") ? CONFORM_UNEQUAL : CONFORM_EQUAL;
            if (o->test == CONFORM_EQUAL && !starts(r, "=")) {
                return fail(r, "when: is written when:0=1 or when:0!=1");
            }
            if (!number(r, &o->tested_value)) {
                return false;
            }
            continue;
        }
        enum field f = 0;
        for (; f < FIELDS; f++) {
            size_t n = strlen(field_name[f]);
            if ((missing & 1u << f) && strncmp(r->at, field_name[f], n) == 0 && r->at[n] == ':') {
                r->at += n + 1;
                break;
            }
        }
        if (f == FIELDS || !field(r, o, f)) {
            return fail(r, "an argument that the operation does not have, or has already");
        }
        missing &= ~(1u << f);
    }
}

static bool operation(struct reader *r, struct conform_program *p) {
    uint64_t thread;
    if (!number(r, &thread)) {
        return false;
    }
    if (thread >= CONFORM_THREADS || p->operations[thread] == CONFORM_OPERATIONS) {
        return fail(r, "at most four threads, T0 to T3, of six operations each");
    }
    skip_blanks(r);
    size_t length = strcspn(r->at, " \t\r\n#");
    for (unsigned code = 0; code < CONFORM_CODES; code++) {
        if (strlen(table[code].name) == length && strncmp(r->at, table[code].name, length) == 0) {
            struct conform_operation o = {.code = (enum conform_code)code};
            r->at += length;
            if (!arguments(r, &o)) {
                return false;
            }
            p->operation[thread][p->operations[thread]++] = o;
            p->threads = p->threads > thread ? p->threads : (unsigned)thread + 1;
            return true;
        }
    }
    return fail(r, "no such operation");
}

static bool word(struct reader *r, char *to, size_t room) {
    skip_blanks(r);
    size_t n = strcspn(r->at, " \t\r\n");
    if (n == 0 || n >= room) {
        return fail(r, "a name is missing or too long");
    }
    memcpy(to, r->at, n);
    to[n] = '\0';
    r->at += n;
    return true;
}

static bool first_value(struct reader *r, struct conform_program *p) {
    uint32_t at = 0, width = 0;
    uint64_t value = 0;
    skip_blanks(r);
    bool ok = starts(r, "at:") && address(r, &at);
    skip_blanks(r);
    ok = ok && starts(r, "width:") && number32(r, &width);
    skip_blanks(r);
    ok = ok && starts(r, "value:") && number(r, &value);
    if (!ok || at >= CONFORM_WINDOW_BYTES || width > 8 || width > CONFORM_WINDOW_BYTES - at) {
        return fail(r, "first is written: first at:0 width:4 value:1");
    }
    for (uint32_t i = 0; i < width; i++) {
        p->first[at + i] = (uint8_t)(value >> 8 * i);
    }
    return true;
}

static bool limits(struct reader *r, struct conform_program *p) {
    skip_blanks(r);
    bool ok = starts(r, "min:") && number32(r, &p->min_pages);
    skip_blanks(r);
    return (ok && starts(r, "max:") && number32(r, &p->max_pages)) ||
           fail(r, "memory is written: memory min:1 max:2");
}

static bool line_of(struct reader *r, struct conform_program *p) {
    skip_blanks(r);
    if (*r->at == '#') {
        if (p->text[0] == '\0') {
            r->at++;
            skip_blanks(r);
            snprintf(p->text, sizeof p->text, "%.*s", (int)strcspn(r->at, "\r\n"), r->at);
        }
        r->at += strcspn(r->at, "\n");
        return true;
    }
    if (starts(r, "memory ")) {
        return limits(r, p);
    }
    if (starts(r, "first ")) {
        return first_value(r, p);
    }
    return *r->at == '\n' || *r->at == '\r' || *r->at == '\0' ||
           (starts(r, "T") ? operation(r, p)
                           : fail(r, "a line begins with T0, memory, first or #"));
}

#define HEADER "pagebox-conform 1 "

bool conform_parse(const char *text, size_t *at, unsigned *line, struct conform_program *p,
                   const char **why) {
    struct reader r = {.at = text + *at};
    bool begun = false;
    *why = NULL;
    *p = (struct conform_program){.min_pages = 1, .max_pages = 1};
    while (*r.at != '\0' && !(begun && strncmp(r.at, HEADER, strlen(HEADER)) == 0)) {
        ++*line;
        if (starts(&r, HEADER)) {
            begun = word(&r, p->family, sizeof p->family) && word(&r, p->name, sizeof p->name);
        } else if (begun) {
            (void)line_of(&r, p);
        } else if (*r.at != '#' && *r.at != '\n') {
            r.why = "the first line is: pagebox-conform 1 FAMILY NAME";
        }
        skip_blanks(&r);
        if (r.why == NULL && begun && strchr("\r\n#", *r.at) == NULL) {
            r.why = "more on the line than it can have";
        }
        if (r.why != NULL) {
            *why = r.why;
            return false;
        }
        r.at += strcspn(r.at, "\n");
        r.at += *r.at == '\n';
    }
    *at = (size_t)(r.at - text);
    *why = begun ? conform_finish(p) : NULL;
    return begun && *why == NULL;
}

/* ---- To text --------------------------------------------------------------------------------- */

static void print_address(FILE *out, uint32_t at) {
    if (at & CONFORM_GROWN) {
        fprintf(out, "grown+%u", at & ~CONFORM_GROWN);
    } else {
        fprintf(out, "%u", at);
    }
}

static void print_field(FILE *out, const struct conform_operation *o, enum field f) {
    fprintf(out, " %s:", field_name[f]);
    switch (f) {
    case FIELD_at:
        print_address(out, o->at);
        break;
    case FIELD_to:
        print_address(out, o->to);
        break;
    case FIELD_from:
        print_address(out, o->from);
        break;
    case FIELD_width:
        fprintf(out, "%u", o->width);
        break;
    case FIELD_kind:
        fputs(rmw_name[o->kind], out);
        break;
    case FIELD_count:
        fprintf(out, "%u", o->count);
        break;
    case FIELD_pages:
        fprintf(out, "%u", o->pages);
        break;
    case FIELD_value:
        fprintf(out, "%llu", (unsigned long long)o->value);
        break;
    case FIELD_expected:
        fprintf(out, "%llu", (unsigned long long)o->expected);
        break;
    default:
        fprintf(out, "%lld", (long long)o->timeout_ns);
    }
}

void conform_print_operation(FILE *out, const struct conform_operation *o) {
    /* In the order of op.def. */
    static const enum field order[] = {FIELD_kind,  FIELD_at,        FIELD_to,       FIELD_from,
                                       FIELD_width, FIELD_pages,     FIELD_expected, FIELD_value,
                                       FIELD_count, FIELD_timeout_ns};
    fputs(table[o->code].name, out);
    for (unsigned i = 0; i < FIELDS; i++) {
        if (table[o->code].fields & 1u << order[i]) {
            print_field(out, o, order[i]);
        }
    }
    if (o->test != CONFORM_ALWAYS) {
        fprintf(out, " when:%u%s%llu", o->tested,
                o->test == CONFORM_EQUAL ? "=" : "!=", (unsigned long long)o->tested_value);
    }
}

void conform_print(FILE *out, const struct conform_program *p) {
    fprintf(out, HEADER "%s %s\n", p->family, p->name);
    if (p->text[0] != '\0') {
        fprintf(out, "# %s\n", p->text);
    }
    if (p->max_pages != 1) {
        fprintf(out, "memory min:%u max:%u\n", p->min_pages, p->max_pages);
    }
    for (unsigned i = 0; i < CONFORM_WINDOW_BYTES; i++) {
        if (p->first[i] != 0) {
            fprintf(out, "first at:%u width:1 value:%u\n", i, p->first[i]);
        }
    }
    for (unsigned t = 0; t < p->threads; t++) {
        for (unsigned n = 0; n < p->operations[t]; n++) {
            fprintf(out, "T%u ", t);
            conform_print_operation(out, &p->operation[t][n]);
            fputc('\n', out);
        }
    }
}

const char *conform_result(uint64_t value, char room[24]) {
    static const char *const names[] = {NULL,   "-",  "skipped",  "blocked",
                                        "trap", "ok", "disabled", "unclear"};
    if (value >> 32 == CONFORM_WORD_HIGH && (uint32_t)value < sizeof names / sizeof names[0] &&
        names[(uint32_t)value] != NULL) {
        return names[(uint32_t)value];
    }
    snprintf(room, 24, value < 1000000 ? "%llu" : "0x%llx", (unsigned long long)value);
    return room;
}

void conform_print_outcome(FILE *out, const struct conform_program *p, const uint64_t *outcome) {
    char room[24];
    for (unsigned t = 0; t < p->threads; t++) {
        const char *before = t == 0 ? "" : " | ";
        for (unsigned n = 0; n < p->operations[t]; n++) {
            int slot = p->operation[t][n].slot;
            if (slot >= 0) {
                fprintf(out, "%s%s", before, conform_result(outcome[slot], room));
                before = " ";
            }
        }
        if (t > 0 && before[1] == '|') {
            fputs(" |", out);
        }
    }
    for (unsigned i = 0; i < p->words; i++) {
        fputs(i == 0 ? " ; " : " ", out);
        fputc('[', out);
        print_address(out, p->word[i]);
        fprintf(out, "]=%s", conform_result(outcome[p->slots + i], room));
    }
    if (p->grows) {
        fprintf(out, " size=%s", conform_result(outcome[p->slots + p->words], room));
    }
}
