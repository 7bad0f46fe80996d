/* guest_test.c: a guest module around guest.c, for guest_test.mjs: what a guest's runtime would be.
 * Built for wasm32 by ref/tests/outside.sh, with PARK_BY_WAIT32 for a shared memory. */
#include "guest.h"

#define EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("test"), import_name("take"))) void import_take(uint32_t id);
__attribute__((import_module("test"), import_name("wait"))) int import_wait(uint32_t expected);

static void take(void *context, uint32_t id) {
    (void)context;
    import_take(id);
}

EXPORT("drain") uint32_t drain(struct pb_mailbox_words *mailbox);
uint32_t drain(struct pb_mailbox_words *mailbox) {
    return pb_guest_drain(mailbox, take, 0);
}

#ifdef PARK_BY_WAIT32

EXPORT("park") int park(struct pb_mailbox_words *mailbox, int64_t timeout_ns);
int park(struct pb_mailbox_words *mailbox, int64_t timeout_ns) {
    return (int)pb_guest_park(mailbox, &pb_guest_host_shared, timeout_ns);
}

#else

/* Without a shared memory a guest parks by asking its host to wait. */
static int wait_in_the_host(void *context, _Atomic uint32_t *flag, uint32_t expected,
                            int64_t timeout_ns) {
    (void)context, (void)flag, (void)timeout_ns;
    return import_wait(expected);
}

static const struct pb_guest_host host = {wait_in_the_host, 0, 0};

EXPORT("park") int park(struct pb_mailbox_words *mailbox, int64_t timeout_ns);
int park(struct pb_mailbox_words *mailbox, int64_t timeout_ns) {
    return (int)pb_guest_park(mailbox, &host, timeout_ns);
}

#endif
