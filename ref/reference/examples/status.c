/* Errors are values with a name for the log and a line for a person. */
#include <pagebox/memory.h>

#include <string.h>

int main(void) {
    const struct pb_memory_config config = {.type = {.min_pages = 2, .max_pages = 1}};
    struct pb_memory *memory;
    enum pb_status status = pb_memory_create(&config, &memory);
    return strcmp(pb_status_name(status), "PB_INVALID") == 0 && pb_status_message(status)[0] != '\0'
               ? 0
               : 1;
}
