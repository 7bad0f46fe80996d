/* The offsets are an ABI: a guest in any language may use them. */
#include <pagebox/mailbox_layout.h>

#include <stddef.h>

int main(void) {
    return offsetof(struct pb_mailbox_words, flag) == PB_MAILBOX_FLAG_OFFSET &&
                   PB_MAILBOX_BYTES(PB_MAILBOX_CAPACITY) == 1040
               ? 0
               : 1;
}
