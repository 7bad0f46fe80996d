/* allocators.c: jemalloc as a struct pb_allocator, beside glibc's; their versions. */
#include "allocators.h"

#include <gnu/libc-version.h>
#include <stddef.h>

/* jemalloc's calloc, realloc, free and mallctl, renamed when linked. */
void *jemalloc_calloc(size_t count, size_t bytes);
void *jemalloc_realloc(void *at, size_t bytes);
void jemalloc_free(void *at);
int jemalloc_mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes);

static void *allocate_zeroed(void *context, size_t bytes) {
    (void)context;
    return jemalloc_calloc(1, bytes);
}

static void *resize(void *context, void *at, size_t bytes) {
    (void)context;
    return jemalloc_realloc(at, bytes);
}

static void release(void *context, void *at) {
    (void)context;
    jemalloc_free(at);
}

const struct pb_allocator bench_jemalloc = {allocate_zeroed, resize, release, NULL};

const char *bench_glibc_version(void) {
    return gnu_get_libc_version();
}

const char *bench_jemalloc_version(void) {
    const char *version = "unknown";
    size_t bytes = sizeof version;
    jemalloc_mallctl("version", &version, &bytes, NULL, 0);
    return version;
}
