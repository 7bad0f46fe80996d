/* wasm_rt_adapter.h: our memories for programs that wasm2c has turned into C.
 *
 * Such a program asks its runtime for a memory (wasm_rt_allocate_memory), for more pages
 * (wasm_rt_grow_memory), and gives it back (wasm_rt_free_memory). We compile programs with these
 * three names changed to program_allocate_memory and so on (see rules.mk). The adapter implements
 * them with a memory of this library, or of wabt's own runtime. All else (tables, traps) is
 * wabt's. */
#ifndef BENCH_WASM_RT_ADAPTER_H
#define BENCH_WASM_RT_ADAPTER_H

#include "memory.h"

/* From now on, makes memories from this config, with the program's min, max and (in a Dynamic
 * style) sizes. NULL: wabt's runtime makes them. The caller keeps config while such memories
 * live. */
void wasm_rt_adapter_use(const struct pb_memory_config *config);

/* How many growths programs have requested since then, and the pages of the largest memory. */
uint32_t wasm_rt_adapter_growths(void);
uint32_t wasm_rt_adapter_pages(void);

#endif
