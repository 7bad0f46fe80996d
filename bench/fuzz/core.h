/* core.h: what fuzz_cost.c needs of fuzz/: the programs of a folder of seeds, and one execution of
 * each as a fuzz target makes it. core.o holds all of fuzz/ and a copy of ref/ with its names to
 * itself; its calls of the C library for pages and files go to the __wrap_ functions of
 * fuzz_cost.c. */
#ifndef BENCH_FUZZ_CORE_H
#define BENCH_FUZZ_CORE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads the seeds (*.ops) of a folder; how many there are, 0 also where one cannot be read. Once.
 */
size_t fuzz_core_load(const char *folder);

/* From its bytes, as LLVMFuzzerTestOneInput does; false when a rule broke. */
bool fuzz_core_run(size_t seed);

#endif
