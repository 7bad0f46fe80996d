/* ops.c: tests of the operation language: bytes, text and back. */
#include "rows.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct program one, two;

/* A generator of test bytes: the same on every machine. */
static uint64_t random_state;
static uint64_t random_next(void) {
    random_state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* The caller frees it. */
static char *text_of(const struct program *program, size_t *bytes) {
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes);
    op_print(out, program);
    fclose(out);
    return text;
}

static uint8_t encoded[1 << 18];

/* text -> bytes -> text is the identity on printed text. NULL, or why not. */
static const char *round_trip(const struct program *program) {
    size_t length, again_length;
    unsigned line;
    const char *why;
    char *text = text_of(program, &length);
    if (!op_parse(text, length, &two, &line, &why)) {
        free(text);
        return test_text("line %u of what was printed does not parse: %s", line, why);
    }
    size_t bytes = op_encode(&two, encoded, sizeof encoded);
    bool whole = op_decode(two.target, encoded, bytes, &two);
    char *again = text_of(&two, &again_length);
    bool same = whole && length == again_length && memcmp(text, again, length) == 0;
    const char *difference =
        same ? NULL : test_text("%.200s... came back as %.200s...", text, again);
    free(text);
    free(again);
    return difference;
}

TARGET_ROWS(random_bytes_normalise, "ops_random_bytes_normalise_%s") {
    enum op_target target = (enum op_target)row;
    uint8_t data[300];
    const char *why = NULL;
    random_state = target + 1;
    for (unsigned i = 0; i < 20000 && why == NULL; i++) {
        size_t bytes = random_next() % sizeof data;
        bool dense = i % 2 == 0; /* mostly codes that exist */
        for (size_t b = 0; b < bytes; b++) {
            uint64_t r = random_next();
            data[b] = (uint8_t)(dense && r >> 60 < 12 ? (r >> 8) % 90 : r);
        }
        op_decode(target, data, bytes, &one);
        why = round_trip(&one);
    }
    CHECK_NO_REASON(why);
}

/* Each operation alone, with each argument at values that need each form of the encoding. */
TARGET_ROWS(every_operation_round_trips, "ops_every_operation_round_trips_%s") {
    enum op_target target = (enum op_target)row;
    static const uint64_t values[] = {0,
                                      1,
                                      127,
                                      128,
                                      191,
                                      192,
                                      255,
                                      65536,
                                      UINT32_MAX,
                                      UINT64_MAX,
                                      0x12345678,
                                      UINT64_C(1) << 62,
                                      OP_ADDRESS_END - 70,
                                      OP_ADDRESS_END + 40};
    const char *why = NULL;
    unsigned seen = 0;
    for (unsigned code = 1; code < 256; code++) {
        const struct op_info *info = op_info(target, code);
        if (info == NULL || code == OP_end) {
            continue;
        }
        seen++;
        for (unsigned v = 0; v < sizeof values / sizeof values[0] && why == NULL; v++) {
            /* Through the encoder and decoder once, which brings each value into its domain. */
            one = (struct program){.target = target, .operations = 1};
            one.operation[0].code = (uint8_t)code;
            one.operation[0].thread = code == OP_fault ? 0 : (uint8_t)(v % OP_THREADS);
            for (unsigned a = 0; a < info->arguments; a++) {
                one.operation[0].arg.raw[a] = values[v];
            }
            size_t bytes = op_encode(&one, encoded, sizeof encoded);
            op_decode(target, encoded, bytes, &one);
            why = one.operations == 1 && one.operation[0].code == code
                      ? round_trip(&one)
                      : test_text("%s did not survive its own encoding", info->name);
        }
    }
    CHECK(seen >= 10);
    CHECK_NO_REASON(why);
}

TEST(ops_unknown_codes_are_skipped) {
    static const uint8_t plain[] = {OP_memory_grow, 0, 1, 5, OP_memory_reset, 2, 3};
    static const uint8_t strewn[] = {
        0, 255, OP_memory_grow, 0, 1, 5, OP_mailbox_flush, 15, OP_memory_reset, 2, 3};
    size_t a, b;
    op_decode(TARGET_memory_fuzzer, plain, sizeof plain, &one);
    op_decode(TARGET_memory_fuzzer, strewn, sizeof strewn, &two);
    char *first = text_of(&one, &a), *second = text_of(&two, &b);
    CHECK_EQ(one.operations, 2);
    CHECK_OR(strcmp(first, second) == 0, "%s", second);
    free(first);
    free(second);
}

static const uint8_t grow_and_choices[] = {OP_memory_grow, 0, 1, 5, OP_end, 7, 8, 9};

TEST(ops_choices_come_from_the_back) {
    op_decode(TARGET_memory_fuzzer, grow_and_choices, sizeof grow_and_choices, &one);
    CHECK(one.operations == 1 && one.choices_bytes == 3);
    CHECK(one.choices[0] == 9 && one.choices[1] == 8 && one.choices[2] == 7);
}

TEST(ops_choices_do_not_shift_operations) {
    op_decode(TARGET_memory_fuzzer, grow_and_choices, sizeof grow_and_choices, &one);
    op_decode(TARGET_memory_fuzzer, grow_and_choices, 4, &two);
    CHECK(memcmp(one.operation[0].arg.raw, two.operation[0].arg.raw, 16) == 0);
}

TEST(ops_missing_arguments_are_zero) {
    static const uint8_t data[] = {OP_memory_store, 3};
    bool whole = op_decode(TARGET_memory_fuzzer, data, sizeof data, &one);
    const struct op *op = &one.operation[0];
    CHECK(whole && one.operations == 1);
    CHECK(op->thread == 3 && op->arg.memory_store.value == 0);
}

TEST(ops_more_than_fit_are_cut_and_told) {
    static uint8_t many[3 * (OPS_MAX + 9)];
    for (size_t i = 0; i + 3 <= sizeof many; i += 3) {
        many[i] = OP_memory_destroy;
    }
    bool whole = op_decode(TARGET_memory_fuzzer, many, sizeof many, &one);
    CHECK(!whole);
    CHECK_EQ(one.operations, OPS_MAX);
}

TEST(ops_bad_text_is_refused_with_its_line) {
    static const struct {
        const char *text;
        unsigned line;
    } bad[] = {
        {"", 1},
        {"pagebox-ops", 1},
        {"pagebox-ops 2 memory_fuzzer\n", 1},
        {"pagebox-ops 1 nothing_fuzzer\n", 1},
        {"pagebox-ops 1 memory_fuzzer more\n", 1},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_fly m0\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 guest_drain\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT8 memory_reset m0\n", 2},
        {"pagebox-ops 1 memory_fuzzer\n\nT0 memory_reset m4\n", 3},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_reset\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_reset m0 m0\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_grow m0 pages:4294967296\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_grow m0 pages:-1\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_grow m0 size:1\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 memory_probe m0 at:end*3\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nT0 end\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nfault os_lunch 3\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nfault os_commit\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nchoices 0\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nchoices 0G\n", 2},
        {"pagebox-ops 1 memory_fuzzer\nchoices 00\nT0 memory_reset m0\n", 3},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned line;
        const char *reason;
        CHECK_OR(!op_parse(bad[i].text, strlen(bad[i].text), &one, &line, &reason), "accepted: %s",
                 bad[i].text);
        CHECK_OR(line == bad[i].line, "line %u instead of %u: %s", line, bad[i].line, bad[i].text);
    }
}

/* A cut input means what the whole one means up to the cut: nothing before it changes. */
TEST(ops_truncation_keeps_what_is_before) {
    static uint8_t data[200];
    random_state = 99;
    for (unsigned round = 0; round < 2000; round++) {
        for (size_t i = 0; i < sizeof data; i++) {
            data[i] = (uint8_t)(random_next() % 90);
        }
        size_t cut = random_next() % sizeof data;
        op_decode(TARGET_system_fuzzer, data, sizeof data, &one);
        op_decode(TARGET_system_fuzzer, data, cut, &two);
        for (unsigned i = 0; i + 1 < two.operations; i++) {
            const struct op_info *info = op_info(TARGET_system_fuzzer, two.operation[i].code);
            bool same = one.operation[i].code == two.operation[i].code &&
                        one.operation[i].thread == two.operation[i].thread &&
                        memcmp(one.operation[i].arg.raw, two.operation[i].arg.raw,
                               info->arguments * sizeof(uint64_t)) == 0;
            CHECK_OR(same, "cut at %zu, operation %u is another one", cut, i);
        }
    }
}

/* ---- Old inputs -------------------------------------------------------------------------------
 */

static size_t from_hex(const char *hex, uint8_t *data, size_t room) {
    size_t bytes = 0;
    unsigned value;
    for (; bytes < room && sscanf(hex, "%2x", &value) == 1; hex += 2) {
        data[bytes++] = (uint8_t)value;
    }
    return bytes;
}

/* One `bytes` line of format-1 and the text up to the next one. */
static const char *old_input(char *line, char *text) {
    char target_name[64], *hex = line + strlen("bytes ");
    enum op_target target;
    snprintf(target_name, sizeof target_name, "%.*s", (int)strcspn(hex, " "), hex);
    if (!op_target_by_name(target_name, &target)) {
        return test_text("no target %s", target_name);
    }
    size_t length, bytes = from_hex(hex + strlen(target_name) + 1, encoded, sizeof encoded);
    op_decode(target, encoded, bytes, &one);
    char *printed = text_of(&one, &length);
    size_t same = 0;
    while (printed[same] != '\0' && printed[same] == text[same]) {
        same++;
    }
    bool good = printed[same] == '\0' && text[same] == '\0' && one.operations > 20;
    const char *why =
        good ? NULL
             : test_text("%s: \"%.60s\" was \"%.60s\"", target_name, printed + same, text + same);
    free(printed);
    return why;
}

/* What bytes meant when they were written they mean today: format-1 says what. */
TEST(ops_old_inputs_keep_their_meaning) {
    static char file[1 << 18];
    unsigned inputs = 0;
    FILE *in = fopen("fuzz/tests/format-1", "rb");
    CHECK(in != NULL);
    file[fread(file, 1, sizeof file - 1, in)] = '\0';
    fclose(in);
    for (char *at = strstr(file, "\nbytes "), *next; at != NULL; at = next) {
        char *text = strchr(at + 1, '\n') + 1;
        next = strstr(text, "\nbytes ");
        char *end = next != NULL ? next + 1 : text + strlen(text), kept = *end;
        *end = '\0';
        CHECK_NO_REASON(old_input(at + 1, text));
        *end = kept;
        inputs++;
    }
    CHECK(inputs >= TARGET_COUNT);
}

/* Broken text of all kinds must be answered, not crash: each seed cut and spoiled anywhere. */
static const char *spoil(char *text, size_t bytes) {
    unsigned line;
    const char *why;
    for (unsigned i = 0; i < 200 && bytes > 0; i++) {
        size_t at = random_next() % bytes, length = random_next() % (bytes + 1);
        char was = text[at];
        text[at] = (char)random_next();
        if (!op_parse(text, length, &one, &line, &why) && why == NULL) {
            return "refused without a reason";
        }
        text[at] = was;
    }
    return NULL;
}

/* The text without comments and empty lines, for comparison; in place. */
static void strip(char *text) {
    char *to = text;
    for (char *line = text; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        if (length > 0 && line[0] != '#') {
            memmove(to, line, length);
            to += length;
            *to++ = '\n';
        }
        line += line[length] == '\n' ? length + 1 : length;
    }
    *to = '\0';
}

static const char *seed_trip(const char *path) {
    static char text[1 << 16];
    unsigned line;
    const char *why;
    size_t length;
    FILE *file = fopen(path, "rb");
    size_t bytes = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (file == NULL || fclose(file) != 0 || bytes == 0) {
        return test_text("%s cannot be read", path);
    }
    text[bytes] = '\0';
    why = spoil(text, bytes);
    if (why != NULL) {
        return test_text("%s: %s", path, why);
    }
    if (!op_parse(text, bytes, &one, &line, &why)) {
        return test_text("%s:%u: %s", path, line, why);
    }
    why = round_trip(&one);
    if (why != NULL) {
        return why;
    }
    strip(text);
    char *printed = text_of(&one, &length);
    bool same = strcmp(printed, text) == 0;
    free(printed);
    return same ? NULL : test_text("%s: printed differently from how it is written", path);
}

/* Reads all seeds of a target; seen: the operations that they hold. */
static void read_seeds(enum op_target target, bool *seen) {
    char path[PATH_MAX];
    unsigned files = 0;
    snprintf(path, sizeof path, "corpus/%s", op_target_name(target));
    DIR *folder = opendir(path);
    CHECK(folder != NULL);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (strstr(entry->d_name, ".ops") != NULL) {
            snprintf(path, sizeof path, "corpus/%s/%s", op_target_name(target), entry->d_name);
            CHECK_NO_REASON(seed_trip(path));
            for (unsigned i = 0; i < one.operations; i++) {
                seen[one.operation[i].code] = true;
            }
            files++;
        }
    }
    closedir(folder);
    CHECK(files > 0);
}

TARGET_ROWS(seeds_text_to_bytes_to_text, "ops_seeds_of_%s_text_to_bytes_to_text") {
    bool seen[256] = {false};
    read_seeds((enum op_target)row, seen);
}

TARGET_ROWS(seeds_have_every_operation, "ops_seeds_of_%s_have_every_operation") {
    bool seen[256] = {false};
    read_seeds((enum op_target)row, seen);
    for (unsigned code = 2; code < 256; code++) {
        const struct op_info *info = op_info((enum op_target)row, code);
        CHECK_OR(info == NULL || seen[code], "%s is in no seed", info->name);
    }
}
