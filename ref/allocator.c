/* allocator.c: the default allocator, the C library's. */
/* SPDX-License-Identifier: MIT */
#include "allocator.h"

#include <stdlib.h>

static void *libc_allocate_zeroed(void *context, size_t bytes) {
    (void)context;
    return calloc(1, bytes);
}

static void *libc_resize(void *context, void *at, size_t bytes) {
    (void)context;
    return realloc(at, bytes);
}

static void libc_release(void *context, void *at) {
    (void)context;
    free(at);
}

const struct pb_allocator pb_allocator_libc = {libc_allocate_zeroed, libc_resize, libc_release,
                                               NULL};
