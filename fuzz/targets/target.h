/* target.h: the functions of a fuzz target; each *_fuzzer.c names its own. */
#ifndef TARGET_H
#define TARGET_H

#include "op.h"

#include <stddef.h>
#include <stdint.h>

/* The target that this binary is. */
extern const enum op_target fuzz_target;
/* How many inputs this process has begun to run: the scoreboard's marks tell. */
extern unsigned long fuzz_executions;

/* The fuzzers' entry: libFuzzer's, AFL++'s through its driver, OSS-Fuzz's. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* libFuzzer's mutator and crossover. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t bytes, size_t bytes_max, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_bytes, const uint8_t *two,
                                 size_t two_bytes, uint8_t *out, size_t bytes_max, unsigned seed);

#endif
