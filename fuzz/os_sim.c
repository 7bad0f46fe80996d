/* os_sim.c: ref/os.h on the engine's simulated machine: the twin of ref/os_linux.c.
 *
 * Link it in place of os_linux.o with objects compiled by -fsanitize=thread and with libsim.a.
 * Every call that can fail asks sim_fault(); time is virtual; pages have protections and are
 * checked byte for byte. Files are blocks of simulated memory; which pages of a view were written
 * is not told, as on a kernel without pagemap. */
#include "os.h"

#include "sim.h"

#include <string.h>

enum { HOST_PAGE_BYTES = 65536, FILES_MAX = 16 };

/* Files of this run; put back with the other globals when the next one starts. */
static struct {
    uint8_t *bytes; /* NULL: not open */
    uint64_t count;
    bool frozen;
} files[FILES_MAX];

static enum pb_status outcome(bool done) {
    return done ? PB_OK : PB_SYSTEM;
}

uint64_t pb_os_page_bytes(void) {
    return HOST_PAGE_BYTES;
}

enum pb_status pb_os_reserve(uint64_t bytes, void **base) {
    void *reserved = sim_fault() ? NULL : sim_pages_reserve((size_t)bytes);
    if (reserved == NULL) {
        return PB_NO_MEMORY;
    }
    *base = reserved;
    return PB_OK;
}

enum pb_status pb_os_reserve_accessible(uint64_t bytes, void **base) {
    enum pb_status status = pb_os_reserve(bytes, base);
    return status == PB_OK ? outcome(sim_pages_protect(*base, (size_t)bytes, SIM_READ_WRITE))
                           : status;
}

enum pb_status pb_os_commit(void *at, uint64_t bytes) {
    return sim_fault() ? PB_NO_MEMORY
                       : outcome(sim_pages_protect(at, (size_t)bytes, SIM_READ_WRITE));
}

enum pb_status pb_os_decommit(void *at, uint64_t bytes) {
    return sim_fault() ? PB_NO_MEMORY : outcome(sim_pages_protect(at, (size_t)bytes, SIM_NONE));
}

enum pb_status pb_os_discard(void *at, uint64_t bytes) {
    return sim_fault() ? PB_NO_MEMORY : outcome(sim_pages_discard(at, (size_t)bytes));
}

enum pb_status pb_os_renew(void *at, uint64_t bytes) {
    if (sim_fault()) {
        return PB_NO_MEMORY;
    }
    return outcome(sim_pages_discard(at, (size_t)bytes) &&
                   sim_pages_protect(at, (size_t)bytes, SIM_NONE));
}

enum pb_status pb_os_release(void *base, uint64_t bytes) {
    return outcome(sim_pages_release(base, (size_t)bytes));
}

enum pb_status pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes) {
    if (sim_fault()) {
        return PB_NO_MEMORY;
    }
    return outcome(
        sim_pages_move(from, to, (size_t)bytes) &&
        (to_bytes == bytes ||
         sim_pages_protect((uint8_t *)to + bytes, (size_t)(to_bytes - bytes), SIM_READ_WRITE)));
}

enum pb_status pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice) {
    if (sim_fault()) {
        return PB_NO_MEMORY;
    }
    switch (advice) {
    case PB_OS_GUARD_INSTALL:
        return outcome(sim_pages_discard(at, (size_t)bytes) &&
                       sim_pages_protect(at, (size_t)bytes, SIM_NONE));
    case PB_OS_GUARD_REMOVE:
        return outcome(sim_pages_protect(at, (size_t)bytes, SIM_READ_WRITE));
    default:
        return PB_OK;
    }
}

enum pb_status pb_os_file_create(uint64_t bytes, int *file) {
    int number = 0;
    while (number < FILES_MAX && files[number].bytes != NULL) {
        number++;
    }
    if (number == FILES_MAX || sim_fault()) {
        return PB_NO_DESCRIPTORS;
    }
    files[number].bytes = sim_calloc(1, (size_t)bytes);
    if (files[number].bytes == NULL) {
        return PB_NO_MEMORY;
    }
    files[number].count = bytes;
    files[number].frozen = false;
    *file = number;
    return PB_OK;
}

enum pb_status pb_os_file_write(int file, uint64_t offset, const void *data, uint64_t count) {
    if (sim_fault()) {
        return PB_NO_MEMORY;
    }
    if (files[file].frozen || offset > files[file].count || count > files[file].count - offset) {
        return PB_SYSTEM;
    }
    sim_memcpy(files[file].bytes + offset, data, (size_t)count);
    return PB_OK;
}

enum pb_status pb_os_file_freeze(int file) {
    if (sim_fault()) {
        return PB_SYSTEM;
    }
    files[file].frozen = true;
    return PB_OK;
}

enum pb_status pb_os_file_map(int file, void *at, uint64_t bytes) {
    if (sim_fault()) {
        return PB_NO_MEMORY;
    }
    if (bytes > files[file].count || !sim_pages_discard(at, (size_t)bytes) ||
        !sim_pages_protect(at, (size_t)bytes, SIM_READ_WRITE)) {
        return PB_SYSTEM;
    }
    sim_memcpy(at, files[file].bytes, (size_t)bytes);
    return PB_OK;
}

void pb_os_file_close(int file) {
    sim_free(files[file].bytes);
    files[file].bytes = NULL;
}

enum pb_status pb_os_file_written(const void *at, uint64_t bytes, uint8_t *written) {
    (void)at;
    (void)bytes;
    (void)written;
    return PB_UNSUPPORTED;
}

/* Who runs programs may want to know that the calling thread is about to sleep. */
extern void os_sim_sleeps(void) __attribute__((weak));

enum pb_status pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    if (os_sim_sleeps != NULL) {
        os_sim_sleeps();
    }
    return sim_wait((const volatile void *)word, expected, deadline_ns) == SIM_TIMED_OUT
               ? PB_TIMED_OUT
               : PB_OK;
}

void pb_os_wake(_Atomic uint32_t *word, uint32_t count) {
    (void)sim_wake((const volatile void *)word, count);
}

uint64_t pb_os_clock_ns(void) {
    return sim_clock_ns();
}
