/* Instances of one module: each starts as a copy-on-write view of the module's data. */
#include <pagebox/memory.h>

int main(void) {
    const char *reason;
    if (pb_strategy_available(PB_STRATEGY_IMAGE, &reason) != PB_OK) {
        return 0; /* reason says why */
    }
    struct pb_image *image;
    if (pb_image_create("data", 4, NULL, &image) != PB_OK) {
        return 1;
    }
    const struct pb_memory_config config = {
        .type = {1, 1, false}, .strategy = PB_STRATEGY_IMAGE, .image = image};
    struct pb_memory *memory;
    uint64_t first = 0;
    if (pb_memory_create(&config, &memory) != PB_OK ||
        pb_memory_load(memory, 0, 0, 1, &first) != PB_OK) {
        return 1;
    }
    pb_memory_release(memory);
    pb_image_release(image);
    return first != 'd';
}
