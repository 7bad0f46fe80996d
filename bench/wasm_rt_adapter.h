/* wasm_rt_adapter.h: our memories under programs that wasm2c has turned into C.
 *
 * Such a program asks its runtime for a memory (wasm_rt_allocate_memory), for more of it
 * (wasm_rt_grow_memory) and gives it back (wasm_rt_free_memory). Ours are compiled so that these
 * three names are program_allocate_memory and so on (see rules.mk): the adapter, which gives them a
 * memory of this library, or one of wabt's own runtime. All else (tables, traps) is wabt's. */
#ifndef BENCH_WASM_RT_ADAPTER_H
#define BENCH_WASM_RT_ADAPTER_H

#include "memory.h"

/* Memories are made from this from now on: its min, max and a Dynamic style's sizes are the
 * program's. NULL: by wabt's runtime. The caller keeps config while memories of it live. */
void wasm_rt_adapter_use(const struct pb_memory_config *config);

/* How many growths programs have asked for since then, and pages of the largest memory. */
uint32_t wasm_rt_adapter_growths(void);
uint32_t wasm_rt_adapter_pages(void);

#endif
