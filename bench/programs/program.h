/* program.h: shared by the programs here. Each is one file with one function,
 *
 *     uint32_t run(uint32_t rounds);
 *
 * which returns a checksum of everything it computed: equal for equal rounds, on every machine. No
 * input, no output, no imports except the C library's memory functions. A round takes some ms. Each
 * is compiled twice: for this machine, and for wasm32, which wasm2c turns into C. */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

uint32_t run(uint32_t rounds);

/* xorshift; the seed must not be 0. */
static inline uint32_t program_random(uint32_t *seed) {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

/* Mixes bytes into a checksum. */
static inline uint32_t program_mix(uint32_t sum, const void *data, size_t bytes) {
    const uint8_t *at = data;
    for (size_t i = 0; i < bytes; i++) {
        sum = (sum ^ at[i]) * 16777619u;
    }
    return sum;
}

#endif
