/* grower.c: a workload that grows: blocks of all sizes are allocated, written, resized and freed at
 * random, more allocated than freed, up to some 40 MiB. Shows the cost of growing memory on demand,
 * page by page. */
#include "program.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 4096, STEPS = 12000, SMALL = 256, BIG = 32768 };

static uint32_t size_of(uint32_t *seed) {
    uint32_t chance = program_random(seed);
    return 16 + program_random(seed) % (chance % 4 == 0 ? BIG : SMALL);
}

uint32_t run(uint32_t rounds) {
    static struct {
        uint8_t *at;
        uint32_t bytes;
    } blocks[BLOCKS];
    uint32_t sum = 0, seed = 11;
    for (uint32_t step = 0; step < rounds * STEPS; step++) {
        uint32_t i = program_random(&seed) % BLOCKS, bytes = size_of(&seed);
        if (blocks[i].at != NULL && seed % 8 == 0) {
            sum = sum * 31 + blocks[i].at[blocks[i].bytes - 1];
            free(blocks[i].at);
            blocks[i].at = NULL;
            continue;
        }
        uint32_t old = blocks[i].at != NULL ? blocks[i].bytes : 0;
        uint8_t *made = realloc(blocks[i].at, bytes);
        if (made == NULL) {
            return 0;
        }
        if (bytes > old) {
            memset(made + old, (int)(step & 255), bytes - old);
        }
        sum = sum * 31 + made[bytes / 2];
        blocks[i].at = made;
        blocks[i].bytes = bytes;
    }
    for (uint32_t i = 0; i < BLOCKS; i++) {
        free(blocks[i].at);
        blocks[i].at = NULL;
    }
    return sum;
}
