/* wasm_rt_adapter.c: see wasm_rt_adapter.h. One thread at a time. */
#ifdef BENCH_WABT
#include "wasm_rt_adapter.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <wasm-rt.h>

enum { MEMORIES_MAX = 4 };

void program_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages);
uint32_t program_grow_memory(wasm_rt_memory_t *memory, uint32_t delta);
void program_free_memory(wasm_rt_memory_t *memory);

static const struct pb_memory_config *config_used;
static uint32_t growths, most_pages;
static struct held {
    wasm_rt_memory_t *theirs; /* NULL: free */
    struct pb_memory *ours;
} memories[MEMORIES_MAX];

void wasm_rt_adapter_use(const struct pb_memory_config *config) {
    if (!wasm_rt_is_initialized()) {
        wasm_rt_init();
    }
    config_used = config;
    growths = most_pages = 0;
}

uint32_t wasm_rt_adapter_growths(void) {
    return growths;
}

uint32_t wasm_rt_adapter_pages(void) {
    return most_pages;
}

/* The entry of this memory of a program; for NULL, a free entry. */
static struct held *held(const wasm_rt_memory_t *memory) {
    for (int i = 0; i < MEMORIES_MAX; i++) {
        if (memories[i].theirs == memory) {
            return &memories[i];
        }
    }
    fprintf(stderr, "bench: more than %d memories of programs at once\n", MEMORIES_MAX);
    abort();
}

/* The fields that generated code reads. Its size has 32 bits: 65,536 pages would read as 0, so our
 * programs have a smaller maximum. */
static void publish(wasm_rt_memory_t *memory, struct pb_memory *from) {
    struct pb_memory_definition *definition = pb_memory_definition(from);
    memory->data = atomic_load_explicit(&definition->base, memory_order_relaxed);
    memory->size = (uint32_t)atomic_load_explicit(&definition->length_bytes, memory_order_relaxed);
    memory->pages = pb_memory_size_pages(from);
    most_pages = memory->pages > most_pages ? memory->pages : most_pages;
}

void program_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages) {
    if (config_used == NULL) {
        wasm_rt_allocate_memory(memory, pages, max_pages);
        return;
    }
    struct pb_memory_config config = *config_used;
    config.type = (struct pb_memory_type){.min_pages = pages, .max_pages = max_pages};
    struct pb_memory *made;
    enum pb_status status = pb_memory_create(&config, &made);
    if (status !=
        PB_OK) { /* generated code cannot be told of an error: wabt's runtime aborts too */
        fprintf(stderr, "bench: a program's memory: %s\n", pb_status_message(status));
        abort();
    }
    *held(NULL) = (struct held){memory, made};
    memory->max_pages = max_pages;
    publish(memory, made);
}

uint32_t program_grow_memory(wasm_rt_memory_t *memory, uint32_t delta) {
    uint32_t old_pages;
    growths++;
    if (config_used == NULL) {
        old_pages = wasm_rt_grow_memory(memory, delta);
        most_pages = memory->pages > most_pages ? memory->pages : most_pages;
        return old_pages;
    }
    struct pb_memory *grown = held(memory)->ours;
    if (pb_memory_grow(grown, delta, &old_pages) != PB_OK) {
        return UINT32_MAX;
    }
    publish(memory, grown);
    return old_pages;
}

/* wabt 1.0.32 unmaps only the accessible part; unmaps the rest here. */
static void free_of_wabt(wasm_rt_memory_t *memory) {
    const uint64_t reserved = UINT64_C(8) << 30;
    uint8_t *rest = memory->data + memory->size;
    uint64_t length = memory->size;
    wasm_rt_free_memory(memory);
    munmap(rest, reserved - length);
}

void program_free_memory(wasm_rt_memory_t *memory) {
    if (config_used == NULL) {
        free_of_wabt(memory);
        return;
    }
    struct held *entry = held(memory);
    pb_memory_release(entry->ours);
    *entry = (struct held){NULL, NULL};
}
#else
typedef int wasm_rt_adapter_is_empty; /* C does not allow an empty file */
#endif
