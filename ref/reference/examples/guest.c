/* The guest's loop: drain, run, park. Here guest and host are one thread, so it never blocks. */
#include <pagebox/pagebox.h>

static void run(void *context, uint32_t id) {
    *(uint32_t *)context += id;
}

int main(void) {
    const struct pb_memory_config config = {.type = {1, 1, false}};
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    uint32_t sum = 0;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        return 1;
    }
    const struct pb_mailbox_config at = {.memory = memory, .offset = 0};
    if (pb_mailbox_create(&at, &mailbox) != PB_OK) {
        return 1;
    }
    struct pb_mailbox_words *words = (void *)atomic_load(&pb_memory_definition(memory)->base);
    pb_mailbox_enqueue(mailbox, 3);
    pb_mailbox_close(mailbox, NULL);
    const struct pb_guest_host host = {NULL, NULL,
                                       NULL}; /* never asked: it is signalled, then closed */
    while (pb_guest_park(words, &host, -1) != PB_PARK_CLOSED) {
        pb_guest_drain(words, run, &sum);
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
    return sum != 3;
}
