/* pairs.c: tests of the small concurrent programs: each draw is a program that is explored, every
 * row of the tables is drawn, and the reference passes some of them. */
#include "pairs.h"
#include "exec.h"
#include "load.h"
#include "rows.h"

#include <string.h>

enum { DRAWS = 3000, INPUT_BYTES = 256, RUNS = 12 };

static struct program one, two;

static bool has_pairs(enum op_target target) {
    return target != TARGET_memory_fuzzer;
}

static bool explores(const struct program *program) {
    bool any = false;
    for (unsigned i = 0; i < program->operations; i++) {
        any |= program->operation[i].code == OP_explore;
    }
    return any;
}

static const char *draw_all(enum op_target target) {
    bool seen[256] = {false};
    unsigned codes = 0;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        const bool drawn = pairs_draw(target, seed, &one), again = pairs_draw(target, seed, &two);
        if (drawn != has_pairs(target)) {
            return test_text("seed %u: drawn: %d", (unsigned)seed, drawn);
        }
        if (drawn && (!again || !op_equal(&one, &two) || !explores(&one) ||
                      op_encode(&one, NULL, 0) > INPUT_BYTES)) {
            return test_text("seed %u: not the same again, not explored, or too long",
                             (unsigned)seed);
        }
        for (unsigned i = 0; drawn && i < one.operations; i++) {
            codes += !seen[one.operation[i].code];
            seen[one.operation[i].code] = true;
        }
    }
    return has_pairs(target) == (codes > 15) ? NULL : test_text("%u operations in all", codes);
}
TARGET_ROWS(pairs_draw_programs_of, "pairs_draw_programs_of_%s") {
    CHECK_NO_REASON(draw_all((enum op_target)row));
}

/* A list of all that can be drawn of two rows: each name once, each a program. */
TEST(pairs_are_listed_once) {
    enum { NAMES = 4096 };
    static char names[NAMES][PAIRS_NAME_BYTES];
    unsigned count = 0;
    while (count < NAMES && pairs_nth(count, &one, names[count])) {
        CHECK(explores(&one));
        for (unsigned i = 0; i < count; i++) {
            CHECK(strcmp(names[i], names[count]) != 0);
        }
        count++;
    }
    CHECK(count > 300 && count < NAMES);
}

static const char *run_some(enum op_target target) {
    for (uint64_t seed = 0; seed < RUNS && pairs_draw(target, seed, &one); seed++) {
        const char *rule = exec_run(subject_ref(), &one, NULL);
        if (rule != NULL) {
            return test_text("seed %u: %s", (unsigned)seed, rule);
        }
    }
    return NULL;
}
TARGET_ROWS(pairs_run_clean_in, "pairs_run_clean_in_%s") {
    CHECK_NO_REASON(run_some((enum op_target)row));
}
