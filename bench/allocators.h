/* allocators.h: the allocators for the heap strategy and small objects, all in one process.
 * Everything else still uses glibc's malloc. */
#ifndef BENCH_ALLOCATORS_H
#define BENCH_ALLOCATORS_H

#include "allocator.h"

/* jemalloc is linked in under the names jemalloc_malloc and so on (see rules.mk). dlopen of
 * libjemalloc.so.2 fails, because it needs more static thread-local storage than a running program
 * has left. mimalloc is loaded with dlopen, because Debian has no archive of it. */
struct bench_allocator {
    const char *name;     /* as in row names */
    const char *settings; /* jemalloc's MALLOC_CONF; NULL: the defaults */
    struct pb_allocator allocator;
};
enum { BENCH_ALLOCATORS = 6 };
extern const struct bench_allocator bench_allocators[BENCH_ALLOCATORS];

/* The allocator with that name; an unknown name ends the program. */
const struct bench_allocator *bench_allocator(const char *name);

/* NULL, or why this allocator cannot be used now. jemalloc reads its settings once, before main, so
 * a row with settings runs only in a process of its own (--only=NAME); mimalloc may be absent. A
 * NULL allocator is fine. */
const char *bench_allocator_refusal(const struct pb_allocator *allocator);

const char *bench_glibc_version(void);
const char *bench_jemalloc_version(void);
/* Which of retain, thp and decay differ from their defaults, as jemalloc reports it; or "none". */
const char *bench_jemalloc_settings(void);
const char *bench_mimalloc_version(void); /* "absent" if it is not installed */

#endif
