/* main.c: runs the harness's own tests: fuzz-tests CORPUS-FOLDER. Status 1 when one fails. */
#include "tests.h"

#include <stdarg.h>
#include <stdio.h>

static unsigned passed, failed;

void test_result(const char *name, const char *why) {
    if (why == NULL) {
        passed++;
        printf("PASS %s\n", name);
    } else {
        failed++;
        printf("FAIL %s: %s\n", name, why);
    }
    fflush(stdout);
}

const char *because(const char *format, ...) {
    static char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fputs("usage: fuzz-tests CORPUS-FOLDER\n", stderr);
        return 2;
    }
    test_ops(argv[1]);
    test_model();
    test_oracles();
    test_mutate(argv[1]);
    test_faults();
    printf("%u passed, %u failed\n", passed, failed);
    return failed > 0;
}
