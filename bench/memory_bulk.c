/* memory_bulk.c: memory.copy, memory.fill and memory.init of owned and shared memories, beside the
 * C library's memmove, memset and memcpy of as many bytes. Run: build/bench/bench --filter='bulk'.
 *
 * Both ends are warm, and equal modulo 4,096: some memmove are many times slower if the destination
 * is slightly past the source modulo 4,096 (see bound/memcpy). A shared memory is copied with
 * relaxed atomic accesses, because guests may race. */
#include "memories.h"

#include <stdio.h>
#include <string.h>

enum { PAGES = 32, FAR_BYTES = 1 << 20, MOST_BYTES = 1 << 20, CALLS = 64 };
static const int64_t lengths[] = {16, 256, 4096, 65536, MOST_BYTES};
enum { LENGTHS = sizeof lengths / sizeof lengths[0] };

enum kind { COPY, FILL, INIT };
static const char *const names[] = {"memory/bulk_copy", "memory/bulk_fill", "memory/bulk_init"};
static const char *const bounds[] = {"bound/memmove", "bound/bulk_memset", "bound/bulk_memcpy"};
static const enum kind kinds[] = {COPY, FILL, INIT};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static uint8_t segment_bytes[MOST_BYTES];

static enum pb_status call(struct pb_memory *memory, enum kind kind, uint32_t bytes) {
    struct pb_segment segment = {segment_bytes, sizeof segment_bytes};
    return kind == COPY   ? pb_memory_bulk_copy(memory, FAR_BYTES, 0, bytes)
           : kind == FILL ? pb_memory_bulk_fill(memory, FAR_BYTES, 7, bytes)
                          : pb_memory_bulk_init(memory, &segment, FAR_BYTES, 0, bytes);
}

/* Fewer calls for more bytes. */
static int calls(int64_t bytes) {
    return bytes > 4096 ? 1 : CALLS;
}

static void run_bulk(struct bench_state *state) {
    const enum kind *kind = bench_argument(state);
    uint32_t bytes = (uint32_t)bench_number(state, "bytes");
    struct pb_memory_config config = {
        .type = {.min_pages = PAGES,
                 .max_pages = PAGES,
                 .shared = strcmp(bench_text(state, "type"), "shared") == 0},
        .strategy = PB_STRATEGY_RESERVE};
    struct pb_memory *memory = NULL;
    enum pb_status status = pb_memory_create(&config, &memory);
    if (status == PB_OK) {
        memory_touch(memory);
        status = call(memory, *kind, MOST_BYTES);
    }
    int count = calls(bytes);
    while (memories_check(state, "bulk", status) && bench_next(state, count)) {
        for (int i = 0; i < count && status == PB_OK; i++) {
            status = call(memory, *kind, bytes);
        }
    }
    pb_memory_release(memory);
}

static void run_bare(struct bench_state *state) {
    static uint8_t memory[MOST_BYTES + FAR_BYTES] __attribute__((aligned(4096)));
    const enum kind *kind = bench_argument(state);
    size_t bytes = (size_t)bench_number(state, "bytes");
    int count = calls((int64_t)bytes);
    memset(memory, 1, sizeof memory);
    while (bench_next(state, count)) {
        for (int i = 0; i < count; i++) {
            if (*kind == COPY) {
                memmove(memory + FAR_BYTES, memory, bytes);
            } else if (*kind == FILL) {
                memset(memory + FAR_BYTES, 7, bytes);
            } else {
                memcpy(memory + FAR_BYTES, segment_bytes, bytes);
            }
            __asm__ volatile("" ::: "memory");
        }
    }
}

/* ---- Registration ---------------------------------------------------------------------------- */

static void add(enum kind kind, int length) {
    static char labels[KINDS][LENGTHS][48];
    static const char *const types[] = {"owned", "shared"};
    struct bench_parameter bytes = {"bytes", NULL, lengths[length]};
    snprintf(labels[kind][length], sizeof labels[kind][length], "%s/bytes:%d", bounds[kind],
             (int)lengths[length]);
    for (int type = 0; type < 2; type++) {
        bench_register(&(struct bench_case){.name = names[kind],
                                            .run = run_bulk,
                                            .argument = &kinds[kind],
                                            .parameters = {{"type", types[type], 0}, bytes},
                                            .bounds = labels[kind][length],
                                            .full_only = lengths[length] != 4096});
    }
    bench_register(&(struct bench_case){.name = bounds[kind],
                                        .run = run_bare,
                                        .argument = &kinds[kind],
                                        .parameters = {bytes},
                                        .full_only = lengths[length] != 4096});
}

BENCH_SUBJECT {
    memset(segment_bytes, 2, sizeof segment_bytes);
    for (int kind = 0; kind < KINDS; kind++) {
        for (int length = 0; length < LENGTHS; length++) {
            add(kinds[kind], length);
        }
    }
}

BENCH_SUBJECT {
    static const char *const words[][2] = {{"/bulk_copy", "memory.copy,"},
                                           {"/bulk_fill", "memory.fill,"},
                                           {"/bulk_init", "memory.init,"},
                                           {"bytes", "%s bytes"},
                                           {"bound/bulk_memset", "memset"},
                                           {"bound/bulk_memcpy", "memcpy"},
                                           {NULL, NULL}};
    bench_words_add(words);
    bench_section_add(&(struct bench_section){
        .inside = "Linear memories, by strategy and size",
        .title = "Bulk instructions",
        .text = "Beside the C library's memmove, memset and memcpy of as many bytes. In a shared "
                "memory the bytes are copied by relaxed atomic accesses, as guests may race.",
        .rows = "^memory/bulk_",
        .lines = "operation type",
        .columns = "bytes",
        .usual = "4096 bytes",
        .axis = "bytes"});
}
