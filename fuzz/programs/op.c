/* op.c: the byte, text and C forms of programs of operations, all driven by op.def. */
#include "op.h"

#include <inttypes.h>
#include <string.h>

/* ---- Tables from op.def -----------------------------------------------------------------------
 */

#define MEMORY (1u << TARGET_memory_fuzzer)
#define MAILBOX (1u << TARGET_mailbox_fuzzer)
#define WAITERS (1u << TARGET_waiters_fuzzer)
#define SYSTEM (1u << TARGET_system_fuzzer)

/* One more than needed, so that an operation without arguments has a legal array. */
#define ARG(kind, name) {KIND_##kind, #name},
#define OP(code, name, rule, targets, arguments)                                        \
    static const struct op_argument arguments_##name[] = {arguments{KIND_COUNT, NULL}}; \
    _Static_assert(sizeof arguments_##name / sizeof arguments_##name[0] <= OP_ARGS_MAX, #name);
#include "op.def"
#undef ARG

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
static const struct op_info infos[256] = {
#define OP(code, name, rule, targets, arguments) \
    [code] = {#name, rule, targets, COUNT_OF(arguments_##name) - 1, arguments_##name},
#include "op.def"
};

/* "" where a kind has no words. */
#define W(kind, word) #word,
#define WORDS(kind, words) static const char *const words_##kind[] = {words};
#include "op.def"
#undef W

static const struct {
    const char *const *word;
    unsigned count;
} words_of[KIND_COUNT] = {
#define WORDS(kind, words) [KIND_##kind] = {words_##kind, WORD_##kind##_count},
#include "op.def"
};

static const char *const target_names[] = {
#define TARGET(number, name) [number] = #name,
#include "op.def"
};

/* Numbers at which rules change their answer; one byte each in the byte form. New ones are only
 * appended. */
static const uint64_t edges[] = {
    255,
    256,
    257,
    4092,
    4095,
    4096,
    4097,
    8192,
    16383,
    16384,
    32768,
    65528,
    65532,
    65534,
    65535,
    65536,
    65537,
    65540,
    131068,
    131072,
    131073,
    INT32_MAX,
    UINT64_C(1) << 31,
    UINT32_MAX - 65535,
    UINT32_MAX - 7,
    UINT32_MAX - 3,
    UINT32_MAX - 1,
    UINT32_MAX,
    UINT64_C(1) << 32,
    (UINT64_C(1) << 32) + 1,
    UINT64_C(1) << 33,
    INT64_MAX,
    UINT64_C(1) << 63,
    UINT64_MAX - 65535,
    UINT64_MAX - 7,
    UINT64_MAX - 1,
    UINT64_MAX,
    32767,
    32769,
    999999999,
    1000000000,
};
/* The bytes from NUMBER_OFTEN on are these in turn, so that random bytes meet them more often. They
 * are never written: each has its place in edges[]. */
static const uint64_t often[] = {65536, UINT32_MAX, 65535};
enum {
    NUMBER_EDGES = 0xC0, /* below: the number itself; from here: edges[] */
    NUMBER_OFTEN = 0xEC,
    NUMBER_16 = 0xFD, /* two, four, eight bytes follow */
    NUMBER_32 = 0xFE,
    NUMBER_64 = 0xFF
};
_Static_assert(NUMBER_EDGES + COUNT_OF(edges) <= NUMBER_OFTEN, "room for the edges");

enum {
    ADDRESS_BEFORE_END = 0x80, /* below: the address itself; from here: end - (byte & 63) */
    ADDRESS_AFTER_END = 0xC0,  /* end + (byte & 31) */
    ADDRESS_PLAIN = 0xE0,      /* a number follows: the address, */
    ADDRESS_FAR_BEFORE = 0xE1, /* end - number, */
    ADDRESS_FAR_AFTER = 0xE2   /* end + number */
};
#define ADDRESS_MASK ((UINT64_C(1) << 40) - 1)

const struct op_info *op_info(enum op_target target, unsigned code) {
    if (code > 255 || infos[code].name == NULL || !(infos[code].targets >> target & 1)) {
        return NULL;
    }
    return &infos[code];
}

const char *op_target_name(enum op_target target) {
    return target < TARGET_COUNT ? target_names[target] : NULL;
}

bool op_target_by_name(const char *name, enum op_target *target) {
    for (unsigned i = 0; i < TARGET_COUNT; i++) {
        if (strcmp(target_names[i], name) == 0) {
            *target = (enum op_target)i;
            return true;
        }
    }
    return false;
}

const char *op_word(enum op_kind kind, uint64_t value) {
    return value < words_of[kind].count ? words_of[kind].word[value] : NULL;
}

uint64_t op_address(uint64_t argument, uint64_t size_bytes) {
    if (argument < OP_ADDRESS_END / 2) {
        return argument;
    }
    return size_bytes + (argument - OP_ADDRESS_END); /* modulo 2^64: below 0 is far out of bounds */
}

/* ---- What an argument can be ------------------------------------------------------------------
 */

static unsigned slots_of(enum op_kind kind) {
    switch (kind) {
    case KIND_memory:
        return OP_MEMORIES;
    case KIND_segment:
        return OP_SEGMENTS;
    case KIND_waker:
        return OP_WAKERS;
    default:
        return words_of[kind].count;
    }
}

/* The letter before a slot's number; 0 for what is no slot. */
static char slot_letter(enum op_kind kind) {
    switch (kind) {
    case KIND_memory:
        return 'm';
    case KIND_segment:
        return 's';
    case KIND_waker:
        return 'w';
    default:
        return '\0';
    }
}

/* ---- From bytes -------------------------------------------------------------------------------
 */

struct reader {
    const uint8_t *at, *end;
};

static uint64_t read_little(struct reader *r, unsigned width) {
    uint64_t value = 0;
    for (unsigned i = 0; i < width && r->at < r->end; i++) {
        value |= (uint64_t)*r->at++ << (8 * i);
    }
    return value;
}

static uint64_t read_number(struct reader *r) {
    uint8_t first = (uint8_t)read_little(r, 1);
    if (first >= NUMBER_16) {
        return read_little(r, first == NUMBER_16 ? 2 : first == NUMBER_32 ? 4 : 8);
    }
    if (first >= NUMBER_OFTEN) {
        return often[(first - NUMBER_OFTEN) % (int)COUNT_OF(often)];
    }
    if (first >= NUMBER_EDGES && first - NUMBER_EDGES < (int)COUNT_OF(edges)) {
        return edges[first - NUMBER_EDGES];
    }
    return first;
}

static uint64_t read_address(struct reader *r) {
    uint8_t first = (uint8_t)read_little(r, 1);
    if (first < ADDRESS_BEFORE_END) {
        return first;
    }
    if (first < ADDRESS_AFTER_END) {
        return OP_ADDRESS_END - (first & 63u);
    }
    if (first < ADDRESS_PLAIN) {
        return OP_ADDRESS_END + (first & 31u);
    }
    uint64_t number = read_number(r) & ADDRESS_MASK;
    return first == ADDRESS_FAR_BEFORE  ? OP_ADDRESS_END - number
           : first == ADDRESS_FAR_AFTER ? OP_ADDRESS_END + number
                                        : number;
}

static uint64_t read_argument(struct reader *r, enum op_kind kind) {
    switch (kind) {
    case KIND_number:
    case KIND_signed:
        return read_number(r);
    case KIND_number32:
    case KIND_limit:
        return read_number(r) & UINT32_MAX;
    case KIND_address:
        return read_address(r);
    default:
        return read_little(r, 1) % slots_of(kind);
    }
}

static void read_choices(struct reader *r, struct program *program, bool *whole) {
    while (r->at < r->end && program->choices_bytes < OP_CHOICES_MAX) {
        program->choices[program->choices_bytes++] = *--r->end;
    }
    *whole = *whole && r->at == r->end;
}

bool op_decode(enum op_target target, const uint8_t *data, size_t bytes, struct program *program) {
    struct reader r = {data, data + bytes};
    bool whole = true;
    program->target = target;
    program->operations = 0;
    program->choices_bytes = 0;
    while (r.at < r.end) {
        const uint8_t code = *r.at++;
        const struct op_info *info = op_info(target, code);
        if (info == NULL) {
            continue;
        }
        if (code == OP_end) {
            read_choices(&r, program, &whole);
            break;
        }
        if (program->operations == OPS_MAX) {
            return false;
        }
        struct op *op = &program->operation[program->operations++];
        op->code = code;
        op->thread = code == OP_fault ? 0 : (uint8_t)(read_little(&r, 1) % OP_THREADS);
        for (unsigned i = 0; i < info->arguments; i++) {
            op->arg.raw[i] = read_argument(&r, info->argument[i].kind);
        }
    }
    return whole;
}

/* ---- To bytes ---------------------------------------------------------------------------------
 */

struct writer {
    uint8_t *data;
    size_t room, used;
};

static void write_little(struct writer *w, uint64_t value, unsigned width) {
    for (unsigned i = 0; i < width; i++, value >>= 8) {
        if (w->used < w->room) {
            w->data[w->used] = (uint8_t)value;
        }
        w->used++;
    }
}

static void write_number(struct writer *w, uint64_t value) {
    if (value < NUMBER_EDGES) {
        write_little(w, value, 1);
        return;
    }
    for (unsigned i = 0; i < COUNT_OF(edges); i++) {
        if (edges[i] == value) {
            write_little(w, NUMBER_EDGES + i, 1);
            return;
        }
    }
    unsigned form = value <= UINT16_MAX ? NUMBER_16 : value <= UINT32_MAX ? NUMBER_32 : NUMBER_64;
    write_little(w, form, 1);
    write_little(w, value, form == NUMBER_16 ? 2 : form == NUMBER_32 ? 4 : 8);
}

static void write_address(struct writer *w, uint64_t value) {
    uint64_t before = OP_ADDRESS_END - value, after = value - OP_ADDRESS_END;
    if (value < ADDRESS_BEFORE_END) {
        write_little(w, value, 1);
    } else if (value < OP_ADDRESS_END / 2) {
        write_little(w, ADDRESS_PLAIN, 1);
        write_number(w, value);
    } else if (before < 64) {
        write_little(w, ADDRESS_BEFORE_END | before, 1);
    } else if (after < 32) {
        write_little(w, ADDRESS_AFTER_END | after, 1);
    } else {
        bool is_before = value < OP_ADDRESS_END;
        write_little(w, is_before ? ADDRESS_FAR_BEFORE : ADDRESS_FAR_AFTER, 1);
        write_number(w, is_before ? before : after);
    }
}

static void write_argument(struct writer *w, enum op_kind kind, uint64_t value) {
    switch (kind) {
    case KIND_number:
    case KIND_signed:
    case KIND_number32:
    case KIND_limit:
        write_number(w, value);
        break;
    case KIND_address:
        write_address(w, value);
        break;
    default:
        write_little(w, value, 1);
    }
}

size_t op_encode(const struct program *program, uint8_t *data, size_t room) {
    struct writer w = {data, room, 0};
    for (unsigned i = 0; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        const struct op_info *info = op_info(program->target, op->code);
        write_little(&w, op->code, 1);
        if (op->code != OP_fault) {
            write_little(&w, op->thread, 1);
        }
        for (unsigned a = 0; a < info->arguments; a++) {
            write_argument(&w, info->argument[a].kind, op->arg.raw[a]);
        }
    }
    if (program->choices_bytes > 0) {
        write_little(&w, OP_end, 1);
        for (size_t i = program->choices_bytes; i > 0; i--) {
            write_little(&w, program->choices[i - 1], 1);
        }
    }
    return w.used;
}

bool op_equal(const struct program *a, const struct program *b) {
    bool same = a->target == b->target && a->operations == b->operations &&
                a->choices_bytes == b->choices_bytes &&
                memcmp(a->choices, b->choices, a->choices_bytes) == 0;
    for (unsigned i = 0; same && i < a->operations; i++) {
        const struct op *x = &a->operation[i], *y = &b->operation[i];
        same = x->code == y->code && x->thread == y->thread &&
               memcmp(x->arg.raw, y->arg.raw, sizeof x->arg.raw) == 0;
    }
    return same;
}

/* ---- To text ----------------------------------------------------------------------------------
 */

static void print_value(FILE *out, enum op_kind kind, uint64_t value) {
    if (slot_letter(kind) != '\0') {
        fprintf(out, "%c%u", slot_letter(kind), (unsigned)value);
    } else if (words_of[kind].count > 0) {
        fputs(words_of[kind].word[value], out);
    } else if (kind == KIND_signed) {
        fprintf(out, "%" PRId64, (int64_t)value);
    } else if (kind == KIND_limit && value == UINT32_MAX) {
        fputs("none", out);
    } else if (kind == KIND_address && value >= OP_ADDRESS_END / 2) {
        int64_t distance = (int64_t)(value - OP_ADDRESS_END);
        if (distance == 0) {
            fputs("end", out);
        } else {
            fprintf(out, "end%+" PRId64, distance);
        }
    } else {
        fprintf(out, "%" PRIu64, value);
    }
}

/* The slot that an operation works on stands bare: m0; all else has a name: to:m1 pages:16. */
static bool is_bare(const struct op_argument *argument) {
    return argument->name[0] == slot_letter(argument->kind) && argument->name[1] == '\0';
}

void op_print_one(FILE *out, const struct op *op, enum op_target target) {
    const struct op_info *info = op_info(target, op->code);
    if (op->code == OP_fault) {
        fprintf(out, "fault %s %" PRIu64, op_word(KIND_call, op->arg.fault.call),
                op->arg.fault.nth);
        return;
    }
    fprintf(out, "T%u %s", op->thread, info->name);
    for (unsigned i = 0; i < info->arguments; i++) {
        const struct op_argument *argument = &info->argument[i];
        fputc(' ', out);
        if (!is_bare(argument)) {
            fprintf(out, "%s:", argument->name);
        }
        print_value(out, argument->kind, op->arg.raw[i]);
    }
}

void op_print(FILE *out, const struct program *program) {
    fprintf(out, "pagebox-ops 1 %s\n", op_target_name(program->target));
    for (unsigned i = 0; i < program->operations; i++) {
        op_print_one(out, &program->operation[i], program->target);
        fputc('\n', out);
    }
    if (program->choices_bytes > 0) {
        fputs("choices ", out);
        for (size_t i = 0; i < program->choices_bytes; i++) {
            fprintf(out, "%02x", program->choices[i]);
        }
        fputc('\n', out);
    }
}

/* ---- From text --------------------------------------------------------------------------------
 */

/* A piece of the text; never ends in a zero byte. */
struct piece {
    const char *at;
    size_t length;
};

static bool piece_is(struct piece p, const char *word) {
    return p.length == strlen(word) && memcmp(p.at, word, p.length) == 0;
}

static struct piece next_line(struct piece *text) {
    struct piece line = {text->at, 0};
    while (line.length < text->length && text->at[line.length] != '\n') {
        line.length++;
    }
    size_t step = line.length < text->length ? line.length + 1 : line.length;
    text->at += step;
    text->length -= step;
    const char *comment = memchr(line.at, '#', line.length);
    if (comment != NULL) {
        line.length = (size_t)(comment - line.at);
    }
    return line;
}

static struct piece next_word(struct piece *line) {
    while (line->length > 0 && (*line->at == ' ' || *line->at == '\t' || *line->at == '\r')) {
        line->at++;
        line->length--;
    }
    struct piece word = {line->at, 0};
    while (line->length > 0 && *line->at != ' ' && *line->at != '\t' && *line->at != '\r') {
        line->at++;
        line->length--;
        word.length++;
    }
    return word;
}

static bool parse_unsigned(struct piece p, uint64_t max, uint64_t *value) {
    uint64_t sum = 0;
    if (p.length == 0) {
        return false;
    }
    for (size_t i = 0; i < p.length; i++) {
        if (p.at[i] < '0' || p.at[i] > '9') {
            return false;
        }
        const uint64_t digit = (uint64_t)(p.at[i] - '0');
        if (sum > (max - digit) / 10 || digit > max) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

/* -9223372036854775808 to 9223372036854775807, as two's complement. */
static bool parse_signed(struct piece p, uint64_t *value) {
    if (p.length > 0 && *p.at == '-') {
        struct piece digits = {p.at + 1, p.length - 1};
        if (!parse_unsigned(digits, UINT64_C(1) << 63, value)) {
            return false;
        }
        *value = 0 - *value;
        return true;
    }
    return parse_unsigned(p, INT64_MAX, value);
}

static bool parse_address(struct piece p, uint64_t *value) {
    if (p.length < 3 || memcmp(p.at, "end", 3) != 0) {
        return parse_unsigned(p, ADDRESS_MASK, value);
    }
    uint64_t distance = 0;
    if (p.length > 3) {
        struct piece digits = {p.at + 4, p.length - 4};
        if ((p.at[3] != '-' && p.at[3] != '+') ||
            !parse_unsigned(digits, ADDRESS_MASK, &distance)) {
            return false;
        }
        distance = p.at[3] == '-' ? 0 - distance : distance;
    }
    *value = OP_ADDRESS_END + distance;
    return true;
}

static bool parse_value(struct piece p, enum op_kind kind, uint64_t *value) {
    if (slot_letter(kind) != '\0') {
        struct piece digits = {p.at + 1, p.length - 1};
        return p.length > 1 && *p.at == slot_letter(kind) &&
               parse_unsigned(digits, slots_of(kind) - 1, value);
    }
    for (unsigned i = 0; i < words_of[kind].count; i++) {
        if (piece_is(p, words_of[kind].word[i])) {
            *value = i;
            return true;
        }
    }
    switch (kind) {
    case KIND_number:
        return parse_unsigned(p, UINT64_MAX, value);
    case KIND_limit:
        if (piece_is(p, "none")) {
            *value = UINT32_MAX;
            return true;
        }
        return parse_unsigned(p, UINT32_MAX, value);
    case KIND_number32:
        return parse_unsigned(p, UINT32_MAX, value);
    case KIND_signed:
        return parse_signed(p, value);
    case KIND_address:
        return parse_address(p, value);
    default:
        return false;
    }
}

static bool parse_argument(struct piece p, const struct op_argument *argument, uint64_t *value) {
    if (is_bare(argument)) {
        return parse_value(p, argument->kind, value);
    }
    size_t name = strlen(argument->name);
    if (p.length <= name || memcmp(p.at, argument->name, name) != 0 || p.at[name] != ':') {
        return false;
    }
    return parse_value((struct piece){p.at + name + 1, p.length - name - 1}, argument->kind, value);
}

static const struct op_info *info_by_name(enum op_target target, struct piece name, uint8_t *code) {
    for (unsigned i = 0; i < 256; i++) {
        const struct op_info *info = op_info(target, i);
        if (info != NULL && i != OP_end && i != OP_fault && piece_is(name, info->name)) {
            *code = (uint8_t)i;
            return info;
        }
    }
    return NULL;
}

static const char *parse_fault(struct piece line, struct op *op) {
    op->code = OP_fault;
    op->thread = 0;
    if (!parse_value(next_word(&line), KIND_call, &op->arg.fault.call)) {
        return "fault: not the name of a call that can fail";
    }
    if (!parse_unsigned(next_word(&line), UINT64_MAX, &op->arg.fault.nth)) {
        return "fault: which call of that kind fails must follow, a number";
    }
    return next_word(&line).length > 0 ? "more words than the operation has arguments" : NULL;
}

static const char *parse_operation(enum op_target target, struct piece first, struct piece line,
                                   struct op *op) {
    uint64_t thread;
    struct piece digits = {first.at + 1, first.length - 1};
    if (*first.at != 'T' || !parse_unsigned(digits, OP_THREADS - 1, &thread)) {
        return "a line begins with a thread, T0 to T7, or with fault or choices";
    }
    op->thread = (uint8_t)thread;
    const struct op_info *info = info_by_name(target, next_word(&line), &op->code);
    if (info == NULL) {
        return "no operation of that name in this target";
    }
    for (unsigned i = 0; i < info->arguments; i++) {
        if (!parse_argument(next_word(&line), &info->argument[i], &op->arg.raw[i])) {
            return "an argument is missing, misnamed, out of order or out of range";
        }
    }
    return next_word(&line).length > 0 ? "more words than the operation has arguments" : NULL;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static const char *parse_choices(struct piece line, struct program *program) {
    struct piece hex = next_word(&line);
    if (hex.length == 0 || hex.length % 2 != 0 || hex.length / 2 > OP_CHOICES_MAX) {
        return "choices: up to 4096 bytes as pairs of hexadecimal digits";
    }
    for (size_t i = 0; i < hex.length; i += 2) {
        int high = hex_digit(hex.at[i]), low = hex_digit(hex.at[i + 1]);
        if (high < 0 || low < 0) {
            return "choices: digits are 0-9 and a-f";
        }
        program->choices[program->choices_bytes++] = (uint8_t)(high << 4 | low);
    }
    return next_word(&line).length > 0 ? "choices: one word" : NULL;
}

static const char *parse_header(struct piece line, struct program *program) {
    char name[64];
    if (!piece_is(next_word(&line), "pagebox-ops")) {
        return "the first line must be: pagebox-ops 1 <target>";
    }
    if (!piece_is(next_word(&line), "1")) {
        return "this program knows version 1 of the text form";
    }
    struct piece target = next_word(&line);
    if (target.length >= sizeof name) {
        return "no target of that name";
    }
    memcpy(name, target.at, target.length);
    name[target.length] = '\0';
    if (!op_target_by_name(name, &program->target)) {
        return "no target of that name";
    }
    return next_word(&line).length > 0 ? "the first line has three words" : NULL;
}

static const char *parse_line(struct piece line, struct program *program) {
    struct piece first = next_word(&line);
    if (first.length == 0) {
        return NULL;
    }
    if (program->choices_bytes > 0) {
        return "choices must be the last line";
    }
    if (piece_is(first, "choices")) {
        return parse_choices(line, program);
    }
    if (program->operations == OPS_MAX) {
        return "more operations than a program can have (256)";
    }
    struct op *op = &program->operation[program->operations++];
    return piece_is(first, "fault") ? parse_fault(line, op)
                                    : parse_operation(program->target, first, line, op);
}

bool op_parse(const char *text, size_t bytes, struct program *program, unsigned *line,
              const char **why) {
    struct piece rest = {text, bytes};
    program->operations = 0;
    program->choices_bytes = 0;
    *line = 1;
    *why = parse_header(next_line(&rest), program);
    while (*why == NULL && rest.length > 0) {
        ++*line;
        *why = parse_line(next_line(&rest), program);
    }
    return *why == NULL;
}

bool op_is_text(const uint8_t *data, size_t bytes) {
    static const char first[] = "pagebox-ops ";
    return bytes >= sizeof first - 1 && memcmp(data, first, sizeof first - 1) == 0;
}

/* ---- To C -------------------------------------------------------------------------------------
 */

static void emit_operation(FILE *out, const struct op *op, enum op_target target) {
    const struct op_info *info = op_info(target, op->code);
    fprintf(out, "        {OP_%s, %u, {.%s = {", info->name, op->thread, info->name);
    for (unsigned i = 0; i < info->arguments; i++) {
        fprintf(out, ".%s = UINT64_C(%" PRIu64 "), ", info->argument[i].name, op->arg.raw[i]);
    }
    fputs(".unused = 0}}}, /* ", out);
    op_print_one(out, op, target);
    fputs(" */\n", out);
}

void op_emit_c(FILE *out, const struct program *program, const char *name) {
    fprintf(out, "static const struct program %s = {\n", name);
    fprintf(out, "    .target = TARGET_%s,\n    .operations = %u,\n    .operation = {\n",
            op_target_name(program->target), program->operations);
    for (unsigned i = 0; i < program->operations; i++) {
        emit_operation(out, &program->operation[i], program->target);
    }
    fprintf(out, "    },\n    .choices_bytes = %zu,\n    .choices = {", program->choices_bytes);
    for (size_t i = 0; i < program->choices_bytes; i++) {
        fprintf(out, "%s0x%02x", i == 0 ? "" : ", ", program->choices[i]);
    }
    fputs("},\n};\n", out);
}
