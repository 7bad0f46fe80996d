/* lz.c: a compressor similar to LZ4: a hash of four bytes finds the last place where they occurred;
 * literals and matches, by bytes. A round generates text, compresses it, decompresses it and
 * compares. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 1 << 20, HASH_BITS = 14, LEAST = 4, FARTHEST = 65535 };

static const char *const words[] = {"memory ", "page ",  "grow ",   "guard ", "the ",  "of ",
                                    "a ",      "host ",  "guest ",  "wait ",  "and ",  "notify ",
                                    "base ",   "limit ", "shared ", "copy ",  "byte ", "table\n"};
enum { WORDS = sizeof words / sizeof words[0] };

static void make_text(uint8_t *text, uint32_t bytes) {
    uint32_t seed = 1, at = 0;
    while (at < bytes) {
        const char *word = words[program_random(&seed) % WORDS];
        while (*word != 0 && at < bytes) {
            text[at++] = (uint8_t)*word++;
        }
        if (seed % 64 == 0 && at < bytes) {
            text[at++] = (uint8_t)(seed >> 8);
        }
    }
}

static uint32_t word_at(const uint8_t *at) {
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint8_t *put_length(uint8_t *to, uint32_t length) {
    for (; length >= 255; length -= 255) {
        *to++ = 255;
    }
    *to++ = (uint8_t)length;
    return to;
}

static uint32_t match_length(const uint8_t *a, const uint8_t *b, const uint8_t *end) {
    uint32_t length = 0;
    while (b + length < end && a[length] == b[length]) {
        length++;
    }
    return length;
}

/* Each sequence: literals' length, literals, match's length, its distance. */
static uint32_t pack(const uint8_t *from, uint32_t bytes, uint8_t *to) {
    static uint32_t last[1 << HASH_BITS];
    memset(last, 0, sizeof last);
    const uint8_t *end = from + bytes, *literals = from, *at = from + 1;
    uint8_t *start = to;
    while (at + LEAST <= end) {
        uint32_t hash = word_at(at) * 2654435761u >> (32 - HASH_BITS);
        const uint8_t *before = from + last[hash];
        last[hash] = (uint32_t)(at - from);
        if (at - before > FARTHEST || word_at(before) != word_at(at)) {
            at++;
            continue;
        }
        uint32_t length = match_length(before, at, end), count = (uint32_t)(at - literals);
        to = put_length(to, count);
        memcpy(to, literals, count);
        to = put_length(to + count, length - LEAST);
        *to++ = (uint8_t)(at - before);
        *to++ = (uint8_t)((at - before) >> 8);
        at += length;
        literals = at;
    }
    uint32_t rest = (uint32_t)(end - literals);
    to = put_length(to, rest);
    memcpy(to, literals, rest);
    return (uint32_t)(to + rest - start);
}

static uint32_t get_length(const uint8_t **from) {
    uint32_t length = 0, byte;
    do {
        byte = *(*from)++;
        length += byte;
    } while (byte == 255);
    return length;
}

static uint32_t unpack(const uint8_t *from, uint32_t packed, uint8_t *to) {
    const uint8_t *end = from + packed;
    uint8_t *start = to;
    for (;;) {
        uint32_t count = get_length(&from);
        memcpy(to, from, count);
        to += count;
        from += count;
        if (from >= end) {
            return (uint32_t)(to - start);
        }
        uint32_t length = get_length(&from) + LEAST;
        const uint8_t *match = to - (from[0] | from[1] << 8);
        from += 2;
        while (length-- > 0) {
            *to++ = *match++;
        }
    }
}

uint32_t run(uint32_t rounds) {
    uint8_t *text = malloc(TEXT_BYTES), *packed = malloc(2UL * TEXT_BYTES);
    uint8_t *again = malloc(TEXT_BYTES);
    uint32_t sum = 0;
    if (text == NULL || packed == NULL || again == NULL) {
        free(text);
        free(packed);
        free(again);
        return 0;
    }
    for (uint32_t i = 0; i < rounds; i++) {
        make_text(text, TEXT_BYTES);
        uint32_t bytes = pack(text, TEXT_BYTES, packed);
        bool same =
            unpack(packed, bytes, again) == TEXT_BYTES && memcmp(text, again, TEXT_BYTES) == 0;
        sum = program_mix(sum, packed, bytes) + (same ? bytes : 0);
    }
    free(text);
    free(packed);
    free(again);
    return sum;
}
