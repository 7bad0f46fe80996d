/* mutate.c: tests of the mutator: what comes out is a program in canonical bytes, depends on the
 * seed alone, fits, does not grow while shrinking; a splice holds operations of both. And what
 * AFL++ is given by it. */
#include "mutate.h"
#include "combine.h"
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 4000, BYTES_MAX = 700 };

static struct program one, two;
static uint8_t data[BYTES_MAX], again[BYTES_MAX], other[BYTES_MAX];
static uint64_t state;

static uint64_t draw(void) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return state >> 33;
}

static struct mutate how_of(enum op_target target) {
    return (struct mutate){
        .target = target, .seed = draw(), .swarm = draw() % 4 == 0 ? MUTATE_ALL_ON : draw()};
}

static size_t random_bytes(uint8_t *to, size_t most) {
    size_t bytes = draw() % (most + 1);
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)draw();
    }
    return bytes;
}

/* A program in bytes, of at most so many. */
static size_t program_bytes(enum op_target target, uint8_t *to, size_t most) {
    struct mutate how = how_of(target);
    mutate_new(&how, 0, &one);
    size_t bytes = mutate_fit(&one, most);
    return op_encode(&one, to, most) <= most ? bytes : 0;
}

/* What is written is what is read: no value is out of its domain, nothing is cut. */
static const char *is_canonical(enum op_target target, const uint8_t *bytes, size_t count) {
    static uint8_t fresh[BYTES_MAX];
    bool whole = op_decode(target, bytes, count, &two);
    if (count == 1 && two.operations == 0) {
        return NULL; /* nothing is left: engines want a byte */
    }
    if (!whole || op_encode(&two, fresh, sizeof fresh) != count ||
        memcmp(fresh, bytes, count) != 0) {
        return "the bytes are not the canonical ones of a program";
    }
    return NULL;
}

static const char *mutate_once(enum op_target target, unsigned round) {
    size_t most = 1 + draw() % BYTES_MAX;
    size_t bytes = round % 3 == 0 ? random_bytes(data, most) : program_bytes(target, data, most);
    struct mutate how = how_of(target);
    memcpy(again, data, bytes);
    size_t made = mutate_bytes(&how, data, bytes, most);
    if (made == 0 || made > most) {
        return test_text("%zu bytes, of at most %zu", made, most);
    }
    size_t same = mutate_bytes(&how, again, bytes, most);
    if (same != made || memcmp(data, again, made) != 0) {
        return "twice the same call, and two results";
    }
    return is_canonical(target, data, made);
}

static const char *shrink_once(enum op_target target) {
    size_t bytes = program_bytes(target, data, BYTES_MAX);
    struct mutate how = how_of(target);
    how.shrinking = true;
    for (unsigned i = 0; i < 20; i++, how.seed++) {
        op_decode(target, data, bytes, &one);
        unsigned operations = one.operations;
        size_t choices = one.choices_bytes;
        size_t made = mutate_bytes(&how, data, bytes, BYTES_MAX);
        op_decode(target, data, made, &one);
        if (made > bytes || one.operations > operations || one.choices_bytes > choices) {
            return test_text("%zu bytes of %u operations became %zu of %u", bytes, operations, made,
                             one.operations);
        }
        bytes = made;
    }
    return NULL;
}

/* Marks: values that say whose an operation is. */
static size_t marked(enum op_target target, uint64_t mark, uint8_t *to) {
    one = (struct program){.target = target, .operations = 5, .choices_bytes = 8};
    for (unsigned i = 0; i < one.operations; i++) {
        one.operation[i].code = OP_memory_atomic_store;
        one.operation[i].arg.memory_atomic_store.value = mark;
    }
    memset(one.choices, (int)mark, one.choices_bytes);
    return op_encode(&one, to, BYTES_MAX);
}

static const char *splice_once(unsigned *from_both, unsigned *choices_of_second) {
    enum op_target target = TARGET_system_fuzzer;
    size_t first = marked(target, 1, data), second = marked(target, 2, other);
    struct mutate how = how_of(target);
    size_t made = mutate_splice(&how, data, first, other, second, again, BYTES_MAX);
    const char *why = is_canonical(target, again, made);
    unsigned of[3] = {0, 0, 0};
    op_decode(target, again, made, &one);
    for (unsigned i = 0; i < one.operations && why == NULL; i++) {
        uint64_t mark = one.operation[i].arg.memory_atomic_store.value;
        why = mark == 1 || mark == 2 ? NULL : "an operation of neither";
        of[mark % 3]++;
        why =
            why == NULL && mark == 1 && of[2] > 0 ? "the first one's come after the second's" : why;
    }
    *from_both += of[1] > 0 && of[2] > 0;
    *choices_of_second += one.choices_bytes > 0 && one.choices[one.choices_bytes - 1] == 2;
    return why;
}

TEST(mutate_splice_mixes_both_parents) {
    unsigned both = 0, choices = 0;
    for (unsigned i = 0; i < 200; i++) {
        CHECK_NO_REASON(splice_once(&both, &choices));
    }
    CHECK_OR(both == 200 && choices != 0 && choices != 200,
             "%u of 200 hold operations of both, %u have the second's choices", both, choices);
}

/* ---- Edges ------------------------------------------------------------------------------------
 */

static bool draws(const char *operation, const char *argument, uint64_t value) {
    for (unsigned target = 0; target < TARGET_COUNT; target++) {
        for (unsigned code = 2; code < 256; code++) {
            const struct op_info *info = op_info((enum op_target)target, code);
            if (info == NULL || strcmp(info->name, operation) != 0) {
                continue;
            }
            unsigned a = 0;
            while (a < info->arguments && strcmp(info->argument[a].name, argument) != 0) {
                a++;
            }
            for (unsigned i = 0; a < info->arguments && i < 2 * ROUNDS; i++) {
                struct mutate how = {.target = (enum op_target)target, .seed = i, .swarm = i / 32};
                mutate_new(&how, code, &one);
                if (one.operation[one.operations - 1].arg.raw[a] == value) {
                    return true;
                }
            }
            return false;
        }
    }
    return false;
}

/* One row of edges.txt: what stands between its bars. */
static const char *row_is_drawn(char *row) {
    char *rest = NULL;
    for (char *part = strtok_r(row, ";", &rest); part != NULL; part = strtok_r(NULL, ";", &rest)) {
        char operation[64], argument[64];
        int used = 0;
        if (sscanf(part, " %63s %63s%n", operation, argument, &used) < 2) {
            continue; /* a dash: no input can */
        }
        char *at = part + used;
        for (char *end; *at != '\0'; at = end) {
            uint64_t value = strtoull(at, &end, 10);
            if (end == at) {
                break;
            }
            if (!draws(operation, argument, value)) {
                return test_text("%s %s %llu is never drawn", operation, argument,
                                 (unsigned long long)value);
            }
        }
    }
    return NULL;
}

/* A table that has two rows of one name draws from the first alone. */
TEST(mutate_draws_sizes_of_pools) {
    CHECK(draws("host_pool", "slot", 65536));
    CHECK(draws("host_pool", "slot", 1048576));
    CHECK(draws("guest_scribble", "slot", 255));
}

TEST(mutate_draws_every_edge) {
    char line[512];
    unsigned rows = 0;
    FILE *file = fopen("fuzz/tests/edges.txt", "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        char *bar = strchr(line, '|'), *end = bar == NULL ? NULL : strchr(bar + 1, '|');
        if (line[0] != '#' && end != NULL) {
            *end = '\0';
            CHECK_NO_REASON(row_is_drawn(bar + 1));
            rows++;
        }
    }
    fclose(file);
    CHECK(rows > 0);
}

/* Arguments that only together come to where a rule turns. */
static bool init_wraps(const struct op *op) {
    uint64_t from = op->arg.memory_bulk_init.from, end = from + op->arg.memory_bulk_init.count;
    return end > UINT32_MAX && (end & UINT32_MAX) <= 64;
}

static bool init_ends_with_its_segment(const struct op *op) {
    return op->arg.memory_bulk_init.from > 0 &&
           op->arg.memory_bulk_init.from + op->arg.memory_bulk_init.count == 64;
}

static bool effective_address_wraps(const struct op *op) {
    uint64_t at = op->arg.memory_store.at;
    return at <= UINT32_MAX && at + op->arg.memory_store.offset > UINT32_MAX;
}

static bool offset_reaches_the_end(const struct op *op) {
    uint64_t at = op->arg.memory_load.at, end = at + op->arg.memory_load.offset;
    return at <= UINT32_MAX && op->arg.memory_load.offset > 16 && (end + 8) % 65536 == 0;
}

static bool expects_more_than_its_width(const struct op *op) {
    return op->arg.memory_atomic_cmpxchg.width <= WORD_width_4 &&
           op->arg.memory_atomic_cmpxchg.expected > UINT32_MAX;
}

static bool wide_subtraction(const struct op *op) {
    return op->arg.memory_atomic_rmw.kind == WORD_rmw_sub &&
           op->arg.memory_atomic_rmw.width == WORD_width_8 &&
           op->arg.memory_atomic_rmw.value > UINT32_MAX;
}

static bool expects_two_halves(const struct op *op) {
    uint64_t expected = op->arg.memory_wait64.expected;
    return expected > UINT32_MAX && (expected & UINT32_MAX) != 0 &&
           expected >> 32 != (expected & UINT32_MAX);
}

static bool fill_ends_at_the_end(const struct op *op) {
    uint64_t at = op->arg.memory_bulk_fill.at;
    return at < 65536 && at > 0 && (at + op->arg.memory_bulk_fill.count) % 65536 == 0;
}

static const struct {
    const char *name;
    uint8_t code;
    bool (*holds)(const struct op *op);
} pairs[] = {
    {"mutate_pairs_init_wraps", OP_memory_bulk_init, init_wraps},
    {"mutate_pairs_init_to_the_segments_end", OP_memory_bulk_init, init_ends_with_its_segment},
    {"mutate_pairs_address_wraps", OP_memory_store, effective_address_wraps},
    {"mutate_pairs_offset_to_the_end", OP_memory_load, offset_reaches_the_end},
    {"mutate_pairs_narrow_cmpxchg", OP_memory_atomic_cmpxchg, expects_more_than_its_width},
    {"mutate_pairs_wide_subtraction", OP_memory_atomic_rmw, wide_subtraction},
    {"mutate_pairs_halves_of_wait64", OP_memory_wait64, expects_two_halves},
    {"mutate_pairs_fill_to_the_end", OP_memory_bulk_fill, fill_ends_at_the_end},
};

TEST_ROWS(pairs_are_drawn, row < sizeof pairs / sizeof pairs[0] ? pairs[row].name : NULL) {
    bool drawn = false;
    for (unsigned i = 0; i < 2 * ROUNDS && !drawn; i++) {
        struct mutate how = {.target = TARGET_memory_fuzzer, .seed = i, .swarm = i / 32};
        mutate_new(&how, pairs[row].code, &one);
        drawn = pairs[row].holds(&one.operation[one.operations - 1]);
    }
    CHECK(drawn);
}

/* What a memory can have beside what is usual; some of it is said by an operation before it. */
enum feature {
    SHARED,
    IMAGE,
    POOL,
    MOVES,
    STATIC,
    DYNAMIC,
    USUAL,
    WIDE_GUARD,
    CALLERS_RECORD,
    ADVICE,
    WAITERS,
    RESERVE,
    NO_PAGES,
    BUDGET,
    FALL_BACK,
    SPACE,
    FILE_LIMIT,
    PINNED,
    FEATURES
};
static const char *const feature_names[FEATURES] = {
    "shared",   "image",  "pool",      "moves",         "static",     "dynamic",
    "usual",    "guard",  "record",    "advice",        "waiters",    "reserve",
    "no pages", "budget", "fall_back", "address space", "file limit", "pinned"};

/* What cannot be together: one of a kind, and what has no meaning for the other. */
static bool excludes(enum feature a, enum feature b) {
    const bool styles = a >= STATIC && a <= USUAL && b >= STATIC && b <= USUAL;
    const bool strategies = a >= IMAGE && a <= MOVES && b >= IMAGE && b <= MOVES;
    return styles || strategies || (a == SHARED && b == MOVES) || (a == IMAGE && b == NO_PAGES) ||
           (a == USUAL && b == WIDE_GUARD);
}

static uint32_t features_of(const struct op *op, uint32_t around) {
    const uint64_t strategy = op->arg.memory_create_more.strategy;
    const bool more = op->code == OP_memory_create_more;
    const bool has[FEATURES] = {
        [SHARED] = op->arg.memory_create_more.shared == WORD_yesno_yes,
        [IMAGE] = strategy == WORD_strategy_image && more && op->arg.memory_create_more.image > 0,
        [POOL] = strategy == WORD_strategy_pool || strategy == WORD_strategy_pool_renew ||
                 strategy == WORD_strategy_pool_scan,
        [MOVES] = strategy == WORD_strategy_remap || strategy == WORD_strategy_move,
        [STATIC] = op->arg.memory_create_more.style == WORD_style_static,
        [DYNAMIC] = op->arg.memory_create_more.style == WORD_style_dynamic,
        [USUAL] = op->arg.memory_create_more.style == WORD_style_usual,
        [WIDE_GUARD] = op->arg.memory_create_more.guard >= 65536,
        [CALLERS_RECORD] = op->arg.memory_create_more.record == WORD_record_caller,
        [ADVICE] = more && op->arg.memory_create_more.advice != WORD_advice_none,
        [WAITERS] = more && op->arg.memory_create_more.waiters > 0,
        [RESERVE] = more && op->arg.memory_create_more.reserve > 0,
        [NO_PAGES] = op->arg.memory_create_more.min == 0,
    };
    uint32_t set = around;
    for (unsigned i = 0; i < FEATURES; i++) {
        set |= (uint32_t)has[i] << i;
    }
    return set;
}

/* Each pair is in so many of the new programs. */
TEST(mutate_pairs_of_features) {
    enum { PROGRAMS = 12000, LEAST = 20 };
    static unsigned together[FEATURES][FEATURES];
    for (unsigned i = 0; i < PROGRAMS; i++) {
        struct mutate how = {.target = TARGET_memory_fuzzer, .seed = i, .swarm = i / 32};
        uint32_t around = 0, of[OP_MEMORIES] = {0}, set[2] = {0};
        mutate_new(&how, 0, &one);
        for (unsigned o = 0; o < one.operations; o++) {
            const struct op *op = &one.operation[o];
            around |= op->code == OP_memory_budget && op->arg.raw[0] > 0 ? 1u << BUDGET : 0;
            around |=
                op->code == OP_memory_fall_back && op->arg.raw[0] % 4 > 0 ? 1u << FALL_BACK : 0;
            around |= op->code == OP_memory_address_space && op->arg.raw[0] > 0 ? 1u << SPACE : 0;
            around |= op->code == OP_memory_file_limit && op->arg.raw[0] > 0 ? 1u << FILE_LIMIT : 0;
            if (op->code == OP_memory_create || op->code == OP_memory_create_more) {
                of[op->arg.memory_create.m] = features_of(op, around);
                set[0] = of[op->arg.memory_create.m];
            } else if (op->code == OP_memory_pin && of[op->arg.memory_pin.m] != 0) {
                set[0] = of[op->arg.memory_pin.m] | 1u << PINNED;
            } else {
                continue;
            }
            for (unsigned a = 0; a < FEATURES; a++) {
                for (unsigned b = a + 1; b < FEATURES; b++) {
                    together[a][b] += (set[0] >> a & 1) && (set[0] >> b & 1);
                }
            }
        }
    }
    for (unsigned a = 0; a < FEATURES; a++) {
        for (unsigned b = a + 1; b < FEATURES; b++) {
            CHECK_OR(excludes(a, b) || together[a][b] >= LEAST, "%s and %s in %u of %d programs",
                     feature_names[a], feature_names[b], together[a][b], PROGRAMS);
        }
    }
}

/* Each three features that go together are in so many of the programs of combine.c: a run of 25 s
 * makes some thousand of them. */
TEST(mutate_triples_of_features) {
    enum { PROGRAMS = 60000, LEAST = 3 };
    static uint16_t together[COMBINE_FEATURES][COMBINE_FEATURES][COMBINE_FEATURES];
    for (unsigned i = 0; i < PROGRAMS; i++) {
        one.target = TARGET_memory_fuzzer;
        one.operations = 0;
        const uint64_t set = combine_draw(i, mutate_calls_of, &one);
        for (unsigned a = 0; a < COMBINE_FEATURES; a++) {
            for (unsigned b = a + 1; b < COMBINE_FEATURES && (set >> a & 1); b++) {
                for (unsigned c = b + 1; c < COMBINE_FEATURES && (set >> b & 1); c++) {
                    together[a][b][c] += set >> c & 1;
                }
            }
        }
    }
    for (unsigned a = 0; a < COMBINE_FEATURES; a++) {
        for (unsigned b = a + 1; b < COMBINE_FEATURES; b++) {
            for (unsigned c = b + 1; c < COMBINE_FEATURES; c++) {
                CHECK_OR(combine_excludes(a, b) || combine_excludes(a, c) ||
                             combine_excludes(b, c) || together[a][b][c] >= LEAST,
                         "%s, %s and %s in %u of %d programs", combine_name(a), combine_name(b),
                         combine_name(c), together[a][b][c], PROGRAMS);
            }
        }
    }
}

TARGET_ROWS(each_operation_can_be_made, "mutate_new_holds_the_operation_%s") {
    enum op_target target = (enum op_target)row;
    for (unsigned code = 2; code < 256; code++) {
        if (op_info(target, code) == NULL) {
            continue;
        }
        struct mutate how = how_of(target);
        mutate_new(&how, code, &one);
        CHECK_OR(one.operation[one.operations - 1].code == code, "%s is not there",
                 op_info(target, code)->name);
    }
}

/* Everything that is on by itself comes up by itself, from nothing, in all targets. */
TARGET_ROWS(everything_comes_up, "mutate_reaches_every_operation_%s") {
    enum op_target target = (enum op_target)row;
    bool seen[256] = {false};
    struct mutate how = {.target = target};
    for (unsigned i = 0; i < ROUNDS; i++) {
        how.swarm = i / 16;
        how.seed = i;
        mutate_new(&how, 0, &one);
        for (unsigned o = 0; o < one.operations; o++) {
            seen[one.operation[o].code] = true;
        }
    }
    for (unsigned code = 2; code < 256; code++) {
        const struct op_info *info = op_info(target, code);
        bool needed = info != NULL && (code != OP_interleave || target == TARGET_mailbox_fuzzer);
        CHECK_OR(!needed || seen[code], "%s never came up", info->name);
    }
}

/* Operations that one swarm makes, a bit each; memory_fuzzer's codes are below 128. */
static unsigned __int128 mix_of(uint64_t swarm) {
    unsigned __int128 mix = 0;
    for (unsigned i = 0; i < 400; i++) {
        struct mutate how = {.target = TARGET_memory_fuzzer, .seed = i, .swarm = swarm};
        mutate_new(&how, 0, &one);
        for (unsigned o = 0; o < one.operations; o++) {
            mix |= (unsigned __int128)1 << one.operation[o].code;
        }
    }
    return mix;
}

static int bits_of(unsigned __int128 set) {
    return __builtin_popcountll((uint64_t)set) + __builtin_popcountll((uint64_t)(set >> 64));
}

/* Most swarms leave something out, each something else; without one nothing is left out. */
TEST(mutate_swarms_differ) {
    const unsigned __int128 all = mix_of(MUTATE_ALL_ON);
    unsigned partial = 0, alike = 0;
    for (unsigned s = 0; s < 16; s++) {
        const unsigned __int128 mix = mix_of(s);
        partial += bits_of(all & ~mix) > 3;
        alike += mix == mix_of(s + 1);
    }
    CHECK(bits_of(all) > 25);
    CHECK_OR(partial > 8 && alike < 4, "%u of 16 leave operations out, %u are alike", partial,
             alike);
}

/* mutate_afl.c's, which AFL++ looks up by name. */
void *afl_custom_init(void *afl, unsigned seed);
void afl_custom_deinit(void *data);
size_t afl_custom_fuzz(void *data, uint8_t *input, size_t bytes, uint8_t **out, uint8_t *other,
                       size_t other_bytes, size_t bytes_max);

static bool has(const struct program *program, uint8_t code) {
    bool any = false;
    for (unsigned i = 0; i < program->operations; i++) {
        any |= program->operation[i].code == code;
    }
    return any;
}

TEST(mutate_makes_few_large_programs_of_a_large_one) {
    unsigned large = 0;
    state = 5;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct mutate how = how_of(TARGET_memory_fuzzer);
        mutate_new(&how, OP_scale, &one);
        CHECK(has(&one, OP_scale));
        size_t bytes = op_encode(&one, data, BYTES_MAX);
        if (bytes <= BYTES_MAX) {
            how = how_of(TARGET_memory_fuzzer);
            bytes = mutate_bytes(&how, data, bytes, BYTES_MAX);
            (void)op_decode(TARGET_memory_fuzzer, data, bytes, &two);
            large += has(&two, OP_scale);
        }
    }
    CHECK_OR(large > ROUNDS / 8 && large < ROUNDS / 2, "%u of %u", large, (unsigned)ROUNDS);
}

TEST(mutate_takes_a_program_of_nothing_but_large_operations) {
    static const struct program large = {.operations = 1, .operation = {{.code = OP_scale}}};
    state = 6;
    for (unsigned target = 0; target < TARGET_COUNT; target++) {
        for (unsigned round = 0; round < ROUNDS; round++) {
            struct mutate how = how_of((enum op_target)target);
            size_t bytes = op_encode(&large, data, BYTES_MAX);
            bytes = mutate_bytes(&how, data, bytes, BYTES_MAX);
            CHECK_OR(bytes > 0 && bytes <= BYTES_MAX, "%s: %zu bytes", op_target_name(how.target),
                     bytes);
        }
    }
}

/* What AFL++ would cut is not made, however much room it offers. */
TEST(mutate_afl_makes_what_is_not_cut) {
    enum { CUT_AT = 256, OFFERED = 1 << 20 };
    setenv("PAGEBOX_TARGET", "system_fuzzer", 1);
    void *mutator = afl_custom_init(NULL, 1);
    size_t bytes = 1, longest = 0;
    data[0] = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint8_t *out;
        bytes = afl_custom_fuzz(mutator, data, bytes, &out, NULL, 0, OFFERED);
        longest = bytes > longest ? bytes : longest;
        CHECK_OR(bytes <= CUT_AT, "%zu bytes, of which AFL++ keeps %d", bytes, CUT_AT);
        memcpy(data, out, bytes);
    }
    afl_custom_deinit(mutator);
    CHECK(longest >= CUT_AT / 2);
}

TARGET_ROWS(mutations_are_programs, "mutate_gives_programs_%s") {
    state = row + 1;
    for (unsigned i = 0; i < ROUNDS; i++) {
        CHECK_NO_REASON(mutate_once((enum op_target)row, i));
    }
}

TARGET_ROWS(shrinking_never_grows, "mutate_shrinking_never_grows_%s") {
    state = row + 1;
    for (unsigned i = 0; i < 200; i++) {
        CHECK_NO_REASON(shrink_once((enum op_target)row));
    }
}
