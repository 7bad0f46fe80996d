/* core.h: what fuzz_cost.c needs of fuzz/: the programs in a folder of seeds, and one execution of
 * each as in a fuzz target. core.o contains all of fuzz/ and a private copy of ref/; its calls of
 * the C library for pages and files go to the __wrap_ functions of fuzz_cost.c. */
#ifndef BENCH_FUZZ_CORE_H
#define BENCH_FUZZ_CORE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the seeds (*.ops) of a folder, once. Returns how many there are, or 0 if one cannot be
 * read. */
size_t fuzz_core_load(const char *folder);

/* Runs a seed from its bytes, like LLVMFuzzerTestOneInput; false if a rule broke. */
bool fuzz_core_run(size_t seed);

#endif
