/* Two memories that share a budget of three pages. */
#include <pagebox/memory.h>

int main(void) {
    struct pb_budget budget = {.max_bytes = 3 * PB_PAGE_BYTES};
    const struct pb_limiter limiter = pb_budget_limiter(&budget);
    const struct pb_memory_config config = {.type = {1, 4, false}, .limiter = &limiter};
    struct pb_memory *first, *second;
    uint32_t old_pages;
    if (pb_memory_create(&config, &first) != PB_OK || pb_memory_create(&config, &second) != PB_OK ||
        pb_memory_grow(first, 1, &old_pages) != PB_OK) {
        return 1;
    }
    int refused = pb_memory_grow(second, 1, &old_pages) == PB_REFUSED;
    pb_memory_release(first);
    int granted = pb_memory_grow(second, 1, &old_pages) == PB_OK;
    pb_memory_release(second);
    return refused && granted ? 0 : 1;
}
