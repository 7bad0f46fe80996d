/* Base and length as generated code reads them. */
#include <pagebox/memory.h>

int main(void) {
    const struct pb_memory_config config = {.type = {2, 2, false}};
    struct pb_memory *memory;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        return 1;
    }
    struct pb_memory_definition *definition = pb_memory_definition(memory);
    PB_ATOMIC(uint64_t) *length = &definition->length_bytes;
    int wrong = atomic_load(length) != 2 * PB_PAGE_BYTES;
    pb_memory_release(memory);
    return wrong;
}
