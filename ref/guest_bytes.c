/* guest_bytes.c: copies and fills of bytes that other threads may write at the same time. */
/* SPDX-License-Identifier: MIT */
#include "guest_bytes.h"

/* The loops below run in three parts: bytes up to a word of the racing side, words, bytes. The
 * host's own side may be at any alignment: it is read and written by memcpy. */

void pb_bytes_from_guest(void *to, const void *from, size_t count) {
    uint8_t *out = to;
    const uint8_t *in = from;
    size_t first = pb_bytes_to_word(in, count);
    size_t i = 0;
    for (; i < first; i++) {
        out[i] = pb_byte_load(in + i);
    }
    for (; count - i >= PB_WORD; i += PB_WORD) {
        uint64_t word = pb_word_load(in + i);
        memcpy(out + i, &word, PB_WORD);
    }
    for (; i < count; i++) {
        out[i] = pb_byte_load(in + i);
    }
}

void pb_bytes_to_guest(void *to, const void *from, size_t count) {
    uint8_t *out = to;
    const uint8_t *in = from;
    size_t first = pb_bytes_to_word(out, count);
    size_t i = 0;
    for (; i < first; i++) {
        pb_byte_store(out + i, in[i]);
    }
    for (; count - i >= PB_WORD; i += PB_WORD) {
        uint64_t word;
        memcpy(&word, in + i, PB_WORD);
        pb_word_store(out + i, word);
    }
    for (; i < count; i++) {
        pb_byte_store(out + i, in[i]);
    }
}

static void move_up(uint8_t *to, const uint8_t *from, size_t count, int words) {
    size_t i = 0;
    if (words) {
        for (size_t first = pb_bytes_to_word(to, count); i < first; i++) {
            pb_byte_store(to + i, pb_byte_load(from + i));
        }
        for (; count - i >= PB_WORD; i += PB_WORD) {
            pb_word_store(to + i, pb_word_load(from + i));
        }
    }
    for (; i < count; i++) {
        pb_byte_store(to + i, pb_byte_load(from + i));
    }
}

/* From the end, for a destination above its source that overlaps it. */
static void move_down(uint8_t *to, const uint8_t *from, size_t count, int words) {
    size_t left = count;
    if (words) {
        for (; left > 0 && (uintptr_t)(to + left) % PB_WORD != 0; left--) {
            pb_byte_store(to + left - 1, pb_byte_load(from + left - 1));
        }
        for (; left >= PB_WORD; left -= PB_WORD) {
            pb_word_store(to + left - PB_WORD, pb_word_load(from + left - PB_WORD));
        }
    }
    for (; left > 0; left--) {
        pb_byte_store(to + left - 1, pb_byte_load(from + left - 1));
    }
}

void pb_bytes_move_within(void *to, const void *from, size_t count) {
    uintptr_t distance = (uintptr_t)to - (uintptr_t)from;
    int words = distance % PB_WORD == 0;
    if (distance >= count) {
        move_up(to, from, count, words);
    } else {
        move_down(to, from, count, words);
    }
}

void pb_bytes_fill(void *to, uint8_t value, size_t count) {
    uint8_t *out = to;
    uint64_t word = UINT64_C(0x0101010101010101) * value;
    size_t i = 0;
    for (size_t first = pb_bytes_to_word(out, count); i < first; i++) {
        pb_byte_store(out + i, value);
    }
    for (; count - i >= PB_WORD; i += PB_WORD) {
        pb_word_store(out + i, word);
    }
    for (; i < count; i++) {
        pb_byte_store(out + i, value);
    }
}
