/* broken.c: tests that must not pass, so that outside.sh can see that the runner says so. */
#include "fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

TEST(R1_passes) {
    CHECK(true);
    CHECK_EQ(1 + 1, 2);
    CHECK_STATUS(PB_OK, PB_OK);
}

TEST(R2_fails) {
    CHECK_EQ(1 + 1, 3);
}

TEST(R3_has_the_wrong_status) {
    test_note("strategy %s", "none");
    CHECK_STATUS(PB_LIMIT, PB_OK);
}

TEST(R4_crashes) {
    (void)raise(SIGSEGV);
}

TEST(R5_stands_still) {
    for (;;) {
        (void)pause();
    }
}

TEST(R6_is_skipped) {
    test_skip("this machine has no %s", "unicorn");
}

static const char *const rows[] = {"R8_row_that_passes", "R8_row_that_fails"};

TEST_ROWS(R8_rows, row < sizeof rows / sizeof rows[0] ? rows[row] : NULL) {
    CHECK_OR(row == 0, "row %u", row);
    CHECK_NO_REASON(row == 0 ? NULL : "never reached");
}

static void *fail_here(void *argument) {
    CHECK(argument != NULL);
    return NULL;
}

TEST(R7_fails_in_a_thread) {
    test_join(test_thread(fail_here, NULL));
}

TEST(R10_leaves_with_a_status_of_its_own) {
    exit(3);
}
