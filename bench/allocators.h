/* allocators.h: the allocators that the heap strategy and small objects are measured with, all in
 * one process: glibc's malloc stays what everything else uses. */
#ifndef BENCH_ALLOCATORS_H
#define BENCH_ALLOCATORS_H

#include "allocator.h"

/* jemalloc is linked in under the names jemalloc_malloc and so on (see rules.mk). (dlopen of
 * libjemalloc.so.2 is refused: it has more static thread-local storage than a running program has
 * left.) mimalloc comes by dlopen, as Debian has no archive of it. */
struct bench_allocator {
    const char *name;     /* as in names of rows */
    const char *settings; /* jemalloc's MALLOC_CONF; NULL: as it comes */
    struct pb_allocator allocator;
};
enum { BENCH_ALLOCATORS = 6 };
extern const struct bench_allocator bench_allocators[BENCH_ALLOCATORS];

/* The one of that name; a name that is none ends the program. */
const struct bench_allocator *bench_allocator(const char *name);

/* NULL, or why this allocator cannot be used now: jemalloc reads its settings once, before main,
 * so a row with settings runs only in a process of its own (--only=NAME), and mimalloc may be
 * absent. NULL is none of ours: fine. */
const char *bench_allocator_refusal(const struct pb_allocator *allocator);

const char *bench_glibc_version(void);
const char *bench_jemalloc_version(void);
/* As jemalloc itself tells which of retain, thp and decay are not as they come; "none". */
const char *bench_jemalloc_settings(void);
const char *bench_mimalloc_version(void); /* "absent" where it is */

#endif
