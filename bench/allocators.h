/* allocators.h: the two allocators that the heap strategy is measured with, in one process. */
#ifndef BENCH_ALLOCATORS_H
#define BENCH_ALLOCATORS_H

#include "allocator.h"

/* jemalloc is linked in under the names jemalloc_malloc and so on (see rules.mk): glibc's malloc
 * stays what everything else uses. (dlopen of libjemalloc.so.2 is refused: it has more static
 * thread-local storage than a running program has left.) */
extern const struct pb_allocator bench_jemalloc;

const char *bench_glibc_version(void);
const char *bench_jemalloc_version(void);

#endif
