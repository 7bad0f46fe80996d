/* system_fuzzer.c: the target system_fuzzer: its operations' threads run beside each other under
 * the concurrency engine. See target.c and interleave.h. */
#include "target.h"

const enum op_target fuzz_target = TARGET_system_fuzzer;
