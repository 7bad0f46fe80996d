/* sort.c: sorts numbers in place by heapsort and by merging, and multiplies two matrices: loads and
 * stores all over the memory, where each bounds check costs. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 60000, SIDE = 96 };

static void fill(uint32_t *numbers, uint32_t count, uint32_t seed) {
    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = program_random(&seed);
    }
}

static void sift(uint32_t *heap, uint32_t at, uint32_t count) {
    uint32_t moved = heap[at];
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        child += child + 1 < count && heap[child + 1] > heap[child];
        if (heap[child] <= moved) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void heap_sort(uint32_t *numbers, uint32_t count) {
    for (uint32_t i = count / 2; i-- > 0;) {
        sift(numbers, i, count);
    }
    for (uint32_t last = count - 1; last > 0; last--) {
        uint32_t most = numbers[0];
        numbers[0] = numbers[last];
        numbers[last] = most;
        sift(numbers, 0, last);
    }
}

static void merge(const uint32_t *a, const uint32_t *b, uint32_t count_a, uint32_t count_b,
                  uint32_t *to) {
    uint32_t i = 0, j = 0;
    while (i < count_a || j < count_b) {
        bool first = j == count_b || (i < count_a && a[i] <= b[j]);
        *to++ = first ? a[i++] : b[j++];
    }
}

static void merge_sort(uint32_t *numbers, uint32_t *room, uint32_t count) {
    for (uint32_t width = 1; width < count; width *= 2) {
        for (uint32_t at = 0; at < count; at += 2 * width) {
            uint32_t left = count - at < width ? count - at : width;
            uint32_t right = count - at - left < width ? count - at - left : width;
            merge(numbers + at, numbers + at + left, left, right, room + at);
        }
        memcpy(numbers, room, count * sizeof *numbers);
    }
}

static void multiply(const uint32_t *a, const uint32_t *b, uint32_t *product) {
    for (int row = 0; row < SIDE; row++) {
        for (int column = 0; column < SIDE; column++) {
            uint32_t sum = 0;
            for (int i = 0; i < SIDE; i++) {
                sum += a[row * SIDE + i] * b[i * SIDE + column];
            }
            product[row * SIDE + column] = sum;
        }
    }
}

static uint32_t round_of(uint32_t *numbers, uint32_t *others, uint32_t seed) {
    fill(numbers, COUNT, seed);
    heap_sort(numbers, COUNT);
    uint32_t sum = program_mix(0, numbers, COUNT * sizeof *numbers);
    fill(numbers, COUNT, seed);
    merge_sort(numbers, others, COUNT);
    bool same = program_mix(0, numbers, COUNT * sizeof *numbers) == sum;
    fill(numbers, 2 * SIDE * SIDE, seed);
    multiply(numbers, numbers + (size_t)SIDE * SIDE, others);
    return same ? program_mix(sum, others, sizeof *others * SIDE * SIDE) : 0;
}

uint32_t run(uint32_t rounds) {
    uint32_t *numbers = malloc(COUNT * sizeof *numbers), *others = malloc(COUNT * sizeof *others);
    uint32_t sum = 0;
    if (numbers == NULL || others == NULL) {
        free(numbers);
        free(others);
        return 0;
    }
    for (uint32_t i = 0; i < rounds; i++) {
        sum = sum * 31 + round_of(numbers, others, i + 1);
    }
    free(numbers);
    free(others);
    return sum;
}
