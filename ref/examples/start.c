/* start.c: a runtime's start, in one page: a memory, an access past its end, a task that is woken.
 * Run: make run-examples */
#include <pagebox/pagebox.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static void must(enum pb_status status, const char *what) {
    if (status != PB_OK) {
        fprintf(stderr, "start: %s: %s\n", what, pb_status_message(status));
        exit(1);
    }
}

static void *io_is_done(void *waker) {
    must(pb_waker_wake(waker), "wake");
    pb_waker_release(waker);
    return NULL;
}

static void run_task(void *context, uint32_t id) {
    (void)context;
    printf("task %u is awake\n", id);
}

int main(void) {
    struct pb_memory_config config = {.type = {.min_pages = 1, .max_pages = 4}};
    struct pb_memory *memory;
    uint32_t old_pages;
    must(pb_memory_create(&config, &memory), "create");
    must(pb_memory_grow(memory, 1, &old_pages), "grow");
    must(pb_memory_store(memory, 131064, 0, 8, 42), "store");
    printf("past the end: %s\n", pb_status_message(pb_memory_store(memory, 131065, 0, 8, 42)));

    struct pb_mailbox_config at = {.memory = memory, .offset = 1024};
    struct pb_mailbox *mailbox;
    struct pb_waker *waker;
    pthread_t io;
    must(pb_mailbox_create(&at, &mailbox), "mailbox");
    must(pb_waker_create(mailbox, 7, &waker), "waker");
    if (pthread_create(&io, NULL, io_is_done, waker) != 0) {
        return 1;
    }
    must(pb_mailbox_wait_for_signal(mailbox, -1), "wait");
    uint8_t *base = atomic_load(&pb_memory_definition(memory)->base);
    pb_guest_drain((struct pb_mailbox_words *)(void *)(base + at.offset), run_task, NULL);
    pthread_join(io, NULL);

    pb_mailbox_close(mailbox, NULL);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
    return 0;
}
