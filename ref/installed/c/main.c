/* main.c: a program outside of this tree, in C: a memory, a store past its end, a mailbox. */
#include <memory.h> /* the C library's, which ours must not stand before */
#include <pagebox/pagebox.h>

#include <stdio.h>

static void run(void *context, uint32_t id) {
    *(uint32_t *)context += id;
}

int main(void) {
    const struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 2}};
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    uint32_t sum = 0;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        return 1;
    }
    const struct pb_mailbox_config at = {.memory = memory, .offset = 1024};
    enum pb_status store = pb_memory_store(memory, 65536, 0, 1, 7);
    if (pb_mailbox_create(&at, &mailbox) != PB_OK || pb_mailbox_enqueue(mailbox, 42) != PB_OK) {
        return 1;
    }
    uint8_t *base = atomic_load(&pb_memory_definition(memory)->base);
    pb_guest_drain((struct pb_mailbox_words *)(void *)(base + at.offset), run, &sum);
    printf("pagebox %s: %s, task %u\n", PB_VERSION, pb_status_name(store), sum);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
    return sum == 42 && store == PB_OUT_OF_BOUNDS ? 0 : 1;
}
