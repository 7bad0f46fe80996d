/* wasm.h: a program as a WebAssembly module: one function a thread, with the real instructions.
 *
 * The module imports a shared memory, "m" "m", or defines and exports it, "m", and exports
 *   t0 to t3 (count, block, stride, results, control, epoch, sync, delay, seed)
 *       runs the thread's operations on `count` instances: the first one's block is at `block`, the
 * next one's `stride` bytes on; results go to `results`, 8 bytes each. Instance i has the number
 *       epoch + i + 1. sync: the threads come together before each instance. delay: a mask; before
 * each instance a thread spins that many times at most. arrive (control, thread, value)   a
 * barrier: returns when all threads have arrived at value reset (count, block, stride)      puts
 * the first values into the blocks tally (count, block, stride, results, span, table, at) counts
 * the outcomes of `count` instances, the first of which has its block at `block` and is number `at`
 * among the results; the threads' results are `span` bytes apart size () -> i32 memory.size Words
 * of the harness from `control` on, and the table: enum conform_place. */
#ifndef CONFORM_WASM_H
#define CONFORM_WASM_H

#include "program.h"

enum conform_place {
    CONFORM_ARRIVED = 0,     /* + thread * 128: the number that it has reached */
    CONFORM_PUBLISHED = 512, /* + thread * 128: number * 8 + operation, while it waits for ever */
    CONFORM_RESCUE = 1024,   /* the instance whose blocked threads are being woken by the harness */
    CONFORM_RESCUED = 1152,  /* how many have been woken so far */
    CONFORM_VERDICT = 1280,  /* number * 2 + 1 if it is unclear which threads were blocked */
    CONFORM_YIELD = 1408,    /* never written: waits on it with a timeout let others run */
    CONFORM_SPINS = 1472,    /* how often a thread polls a barrier before it lets others run */
    CONFORM_FAULT_WORD = 1536, /* for planted faults */
    CONFORM_CONTROL_BYTES = 2048,
    CONFORM_TABLE_ENTRIES = 1024, /* each {hash, count}, 16 bytes, after {used, lost}, 16 bytes */
    CONFORM_TABLE_MOST = 768,
};

/* Faults that an engine might have, planted by the encoder. */
enum conform_fault {
    CONFORM_FAULT_NONE,
    CONFORM_FAULT_DROP_NOTIFY, /* one notify in a thousand wakes no thread */
    CONFORM_FAULT_PLAIN_STORE, /* atomic stores are plain ones */
    CONFORM_FAULT_EARLY_SIZE,  /* memory.size reports a growth before its bytes exist */
    CONFORM_FAULT_WAKE_MORE,   /* a notify wakes one more than its count */
    CONFORM_FAULT_COUNT
};
bool conform_fault_by_name(const char *name, enum conform_fault *fault);

/* The functions "0" to "6", numbers 0 to 6, of a module for hosts in C (i32 x 5 -> i64). */
enum conform_call {
    CONFORM_CALL_THREAD = 0, /* + thread: block, results, control, number - 1; one instance */
    CONFORM_CALL_NOTIFY = 4, /* address, count: how many */
    CONFORM_CALL_SIZE = 5,
    CONFORM_CALL_GROW = 6, /* pages: the size before, or 4294967295 */
    CONFORM_CALLS = 7
};

/* The memory of such a module: defined in it, or imported as "h" "m". */
struct conform_limits {
    uint32_t min_pages, max_pages;
    bool is_imported;
};

/* Results of one thread. */
unsigned conform_slots(const struct conform_program *program, unsigned thread);

/* The module's bytes, to be freed; NULL if out of memory, or for a program that only hosts can run.
 * The seed chooses between equivalent instructions: of i32 and of i64, offsets as immediates or
 * added. */
uint8_t *conform_wasm(const struct conform_program *program, uint64_t seed,
                      enum conform_fault fault, const struct conform_limits *limits, size_t *bytes);

#endif
