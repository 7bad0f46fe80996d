/* allocator.h: where the library's own small objects and the heap strategy get their memory. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_ALLOCATOR_H
#define PB_ALLOCATOR_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A table of functions in the caller's hands. All must be callable from any thread, and stay so
 * until the last object made with the table is gone.
 * allocate_zeroed: bytes (never 0) of zeroed memory aligned for any type, or NULL.
 * resize: as realloc: at is NULL or came from this table; on NULL the old block stays as it was.
 * release: as free; NULL is fine. */
struct pb_allocator {
    void *(*allocate_zeroed)(void *context, size_t bytes);
    void *(*resize)(void *context, void *at, size_t bytes);
    void (*release)(void *context, void *at);
    void *context;
};

/* calloc, realloc and free of the C library; what is used where a configuration says NULL. */
extern const struct pb_allocator pb_allocator_libc;

#ifdef __cplusplus
}
#endif

#endif
