/* os_none.c: os_wrap.h where no call is wrapped, under the engine and in the benchmarks: nothing is
 * kept account of, and nothing is made to fail. */
#include "os_wrap.h"

#include <stddef.h>

void os_wrap_exempt(bool on) {
    (void)on;
}

void os_wrap_pin(const void *at, uint64_t bytes, bool on) {
    (void)at;
    (void)bytes;
    (void)on;
}

bool os_wrap_reservation(const void *address, const uint8_t **at, uint64_t *bytes) {
    (void)address;
    (void)at;
    (void)bytes;
    return false;
}

const char *os_wrap_account(void) {
    return NULL;
}

void os_wrap_ask(void) {}

unsigned os_wrap_renewals_failed(void) {
    return 0;
}

void os_wrap_forget_huge(void) {}

bool os_wrap_is_huge(const void *at) {
    (void)at;
    return false;
}

bool os_wrap_is_owned(const void *at) {
    (void)at;
    return false; /* a question would be a step of the thread, under the engine */
}

unsigned libc_wrap_allocations(void) {
    return 0;
}

unsigned os_wrap_injected(void) {
    return 0;
}
