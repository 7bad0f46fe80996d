/* tests.h: what the harness's own tests are made of: named tests that pass or say why not. */
#ifndef TESTS_H
#define TESTS_H

#include <stdbool.h>

/* Counts and prints one test: "PASS name", or "FAIL name: why". why: NULL passes. */
void test_result(const char *name, const char *why);

/* printf into a static buffer, for a reason. */
const char *because(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The groups. seeds: the folder corpus/. */
void test_ops(const char *seeds);
void test_model(void);
void test_oracles(void);
void test_mutate(const char *corpus);
void test_faults(void);

#endif
