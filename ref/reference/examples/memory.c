/* Create, grow, store and load with the checks that the specification asks for. */
#include <pagebox/memory.h>

int main(void) {
    const struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 3}};
    struct pb_memory *memory;
    uint32_t old_pages;
    uint64_t value = 0;
    if (pb_memory_create(&config, &memory) != PB_OK ||
        pb_memory_grow(memory, 1, &old_pages) != PB_OK) {
        return 1;
    }
    int right = pb_memory_store(memory, 65536, 4, 8, 42) == PB_OK &&
                pb_memory_load(memory, 65540, 0, 8, &value) == PB_OK && value == 42 &&
                pb_memory_store(memory, 131071, 0, 2, 1) == PB_OUT_OF_BOUNDS &&
                pb_memory_grow(memory, 2, &old_pages) == PB_LIMIT;
    pb_memory_release(memory);
    return right ? 0 : 1;
}
