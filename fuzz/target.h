/* target.h: what a fuzz target is made of; memory_fuzzer.c and mailbox_fuzzer.c each name one. */
#ifndef TARGET_H
#define TARGET_H

#include "op.h"

#include <stddef.h>
#include <stdint.h>

/* The target that this binary is. */
extern const enum op_target fuzz_target;

/* The engines' entry: libFuzzer's, AFL++'s through its driver, OSS-Fuzz's. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#endif
