/* guest_bytes.h: guest bytes that other threads may write at the same time: relaxed atomics.
 *
 * WebAssembly lets guests race on plain bytes; C does not. Every access to memory that a guest may
 * be writing goes through here: whole words where both sides are aligned alike, else bytes. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_GUEST_BYTES_H
#define PB_GUEST_BYTES_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "guest memory is little-endian; a big-endian host is not supported"
#endif

enum { PB_WORD = sizeof(uint64_t) };

static inline uint8_t pb_byte_load(const uint8_t *at) {
    return atomic_load_explicit((const _Atomic uint8_t *)at, memory_order_relaxed);
}

static inline void pb_byte_store(uint8_t *at, uint8_t value) {
    atomic_store_explicit((_Atomic uint8_t *)at, value, memory_order_relaxed);
}

static inline uint64_t pb_word_load(const uint8_t *at) {
    return atomic_load_explicit((const _Atomic uint64_t *)(const void *)at, memory_order_relaxed);
}

static inline void pb_word_store(uint8_t *at, uint64_t value) {
    atomic_store_explicit((_Atomic uint64_t *)(void *)at, value, memory_order_relaxed);
}

/* How many bytes until at is aligned to a word, at most count. */
static inline size_t pb_bytes_to_word(const void *at, size_t count) {
    size_t bytes = (size_t)(-(uintptr_t)at % PB_WORD);
    return bytes < count ? bytes : count;
}

/* Copies count bytes from a racing source to the host's own memory. */
void pb_bytes_from_guest(void *to, const void *from, size_t count);

/* Copies count bytes of the host's own memory to a racing destination. */
void pb_bytes_to_guest(void *to, const void *from, size_t count);

/* memmove and memset where both sides may race. */
void pb_bytes_move_within(void *to, const void *from, size_t count);
void pb_bytes_fill(void *to, uint8_t value, size_t count);

#endif
