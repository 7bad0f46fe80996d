/* memory_fuzzer.c: the target memory_fuzzer: the operations of op.def that are for it. See
 * target.c. */
#include "target.h"

const enum op_target fuzz_target = TARGET_memory_fuzzer;
