/* pages.h: WebAssembly pages and bytes, and the checked arithmetic between them (R5, R9). */
/* SPDX-License-Identifier: MIT */
#ifndef PB_PAGES_H
#define PB_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#define PB_PAGE_BYTES UINT64_C(65536) /* one WebAssembly page; not the host's page */
#define PB_PAGES_MAX 65536u           /* 4 GiB: itself a legal size (R1, R5) */
#define PB_NO_MAXIMUM UINT32_MAX      /* "no maximum declared" where a maximum is asked for */

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast" /* C has no other */
extern "C" {
#endif

/* Bytes of so many pages, 64 bits wide: 65,536 pages are 4 GiB, not 0 (R9). Any uint32_t is fine.
 */
static inline uint64_t pb_pages_to_bytes(uint32_t pages) {
    return (uint64_t)pages * PB_PAGE_BYTES;
}

/* Pages of so many bytes. False when bytes is no multiple of the page or above 4 GiB;
 * *pages is set only on true. */
static inline bool pb_bytes_to_pages(uint64_t bytes, uint32_t *pages) {
    if (bytes % PB_PAGE_BYTES != 0 || bytes / PB_PAGE_BYTES > PB_PAGES_MAX) {
        return false;
    }
    *pages = (uint32_t)(bytes / PB_PAGE_BYTES);
    return true;
}

/* a + b without wrap. False when the sum passes limit; *sum is set only on true (R5). */
static inline bool pb_pages_add(uint32_t a, uint32_t b, uint32_t limit, uint32_t *sum) {
    uint64_t wide = (uint64_t)a + b;
    if (wide > limit) {
        return false;
    }
    *sum = (uint32_t)wide;
    return true;
}

/* True when [start, start + count) lies within [0, size), computed without wrap. A count of 0 at
 * start == size is within, one past it is not (R16). */
static inline bool pb_range_within(uint64_t start, uint64_t count, uint64_t size) {
    return start <= size && count <= size - start;
}

/* a + b for byte counts; false on wrap, *sum is set only on true. */
static inline bool pb_bytes_add(uint64_t a, uint64_t b, uint64_t *sum) {
    if (b > UINT64_MAX - a) {
        return false;
    }
    *sum = a + b;
    return true;
}

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif
