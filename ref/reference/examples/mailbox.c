/* A completion wakes a guest's task: from any thread, also from a signal handler. */
#include <pagebox/mailbox.h>

int main(void) {
    const struct pb_memory_config config = {.type = {1, 1, true}};
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    struct pb_waker *waker;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        return 1;
    }
    const struct pb_mailbox_config at = {.memory = memory, .offset = 1024};
    if (pb_mailbox_create(&at, &mailbox) != PB_OK || pb_waker_create(mailbox, 7, &waker) != PB_OK) {
        return 1;
    }
    int failed = pb_waker_wake(waker) != PB_OK || !pb_mailbox_is_signalled(mailbox);
    pb_waker_release(waker);
    pb_mailbox_close(mailbox, NULL);
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
    return failed;
}
