/* mailbox_fuzzer.c: the target mailbox_fuzzer: the operations of op.def that are for it. See
 * target.c. */
#include "target.h"

const enum op_target fuzz_target = TARGET_mailbox_fuzzer;
