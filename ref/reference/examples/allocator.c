/* A memory whose own objects come from a table that counts them. */
#include <pagebox/memory.h>

static int blocks;

static void *allocate_zeroed(void *context, size_t bytes) {
    blocks++;
    return pb_allocator_libc.allocate_zeroed(context, bytes);
}

static void *resize(void *context, void *at, size_t bytes) {
    return pb_allocator_libc.resize(context, at, bytes);
}

static void release(void *context, void *at) {
    blocks -= at != NULL;
    pb_allocator_libc.release(context, at);
}

int main(void) {
    const struct pb_allocator counting = {allocate_zeroed, resize, release, NULL};
    const struct pb_memory_config config = {.type = {1, 1, false}, .allocator = &counting};
    struct pb_memory *memory;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        return 1;
    }
    pb_memory_release(memory);
    return blocks; /* 0: nothing leaks */
}
