/* os_sim.c: ref/os.h on the engine's simulated machine: the twin of ref/os_linux.c.
 *
 * Link it in place of os_linux.o with objects compiled by -fsanitize=thread and with libsim.a.
 * Every call that can fail asks sim_fault(), or the harness (os_sim.h); time is virtual; pages have
 * protections and are checked byte for byte. Files are pages of simulated memory. */
#include "os.h"

#include "os_sim.h"
#include "sim.h"

#include <string.h>

enum { HOST_PAGE_BYTES = 65536, FILES_MAX = 16, VIEWS_MAX = 64 };

/* Files of this run; put back with the other globals when the next one starts. */
static struct {
    uint8_t *bytes; /* NULL: not open */
    uint64_t count;
    bool frozen;
} files[FILES_MAX];

/* The kernel's own accesses: the engine does not see them. */
#define KERNEL __attribute__((no_sanitize("thread"), noinline))

/* Which file was mapped last at an address. */
static struct view {
    const void *at; /* NULL: none */
    int file;
} views[VIEWS_MAX];

/* The table is the kernel's, which orders nobody who asks it. */
static void files_begin(void) {
    sim_allow_races(files, sizeof files);
}

/* NULL: there is none. */
KERNEL static struct view *view_at(const void *at) {
    struct view *view = NULL;
    for (unsigned i = 0; i < VIEWS_MAX; i++) {
        view = views[i].at == at ? &views[i] : view;
    }
    return view;
}

KERNEL static void view_note(const void *at, int file) {
    struct view *view = view_at(at);
    view = view != NULL ? view : view_at(NULL);
    if (view != NULL) { /* else nothing is told of it */
        *view = (struct view){at, file};
    }
}

/* PB_OK if the call goes on, otherwise its answer. */
static enum pb_status refused(const char *name, enum pb_status usual) {
    enum pb_status answer = os_sim_refusal != NULL ? os_sim_refusal(name, usual) : PB_OK;
    return answer == PB_OK && sim_fault() ? usual : answer;
}

static enum pb_status outcome(bool done) {
    return done ? PB_OK : PB_SYSTEM;
}

uint64_t pb_os_page_bytes(void) {
    return HOST_PAGE_BYTES;
}

static enum pb_status reserve(const char *name, uint64_t bytes, void **base) {
    enum pb_status answer = refused(name, PB_NO_MEMORY);
    void *reserved = answer == PB_OK ? sim_pages_reserve((size_t)bytes) : NULL;
    if (reserved == NULL) {
        return answer == PB_OK ? PB_NO_MEMORY : answer;
    }
    *base = reserved;
    return PB_OK;
}

enum pb_status pb_os_reserve(uint64_t bytes, void **base) {
    return reserve("os_reserve", bytes, base);
}

enum pb_status pb_os_reserve_accessible(uint64_t bytes, void **base) {
    enum pb_status status = reserve("os_reserve_accessible", bytes, base);
    return status == PB_OK ? outcome(sim_pages_protect(*base, (size_t)bytes, SIM_READ_WRITE))
                           : status;
}

enum pb_status pb_os_commit(void *at, uint64_t bytes) {
    enum pb_status answer = refused("os_commit", PB_NO_MEMORY);
    return answer != PB_OK ? answer : outcome(sim_pages_protect(at, (size_t)bytes, SIM_READ_WRITE));
}

enum pb_status pb_os_decommit(void *at, uint64_t bytes) {
    enum pb_status answer = refused("os_decommit", PB_NO_MEMORY);
    return answer != PB_OK ? answer : outcome(sim_pages_protect(at, (size_t)bytes, SIM_NONE));
}

enum pb_status pb_os_discard(void *at, uint64_t bytes) {
    enum pb_status answer = refused("os_discard", PB_NO_MEMORY);
    return answer != PB_OK ? answer : outcome(sim_pages_discard(at, (size_t)bytes));
}

enum pb_status pb_os_unlock(void *at, uint64_t bytes) {
    (void)at;
    (void)bytes;
    return PB_OK; /* nothing is ever locked here */
}

enum pb_status pb_os_renew(void *at, uint64_t bytes) {
    enum pb_status answer = refused("os_renew", PB_NO_MEMORY);
    if (answer != PB_OK) {
        return answer;
    }
    return outcome(sim_pages_discard(at, (size_t)bytes) &&
                   sim_pages_protect(at, (size_t)bytes, SIM_NONE));
}

/* For the runner: this address space has been released. */
extern void os_sim_released(const void *base, uint64_t bytes) __attribute__((weak));

static void released(const void *base, uint64_t bytes) {
    if (os_sim_released != NULL) {
        os_sim_released(base, bytes);
    }
}

enum pb_status pb_os_release(void *base, uint64_t bytes) {
    enum pb_status status = outcome(sim_pages_release(base, (size_t)bytes));
    released(base, bytes);
    return status;
}

enum pb_status pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes, bool *kept) {
    *kept = true;
    enum pb_status answer = refused("os_move", PB_NO_MEMORY);
    if (answer != PB_OK) {
        return answer;
    }
    bool moved = sim_pages_move(from, to, (size_t)bytes);
    if (moved) {
        released(from, bytes);
    }
    return outcome(moved && (to_bytes == bytes ||
                             sim_pages_protect((uint8_t *)to + bytes, (size_t)(to_bytes - bytes),
                                               SIM_READ_WRITE)));
}

enum pb_status pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice) {
    enum pb_status answer = refused("os_advise", PB_NO_MEMORY);
    if (answer != PB_OK) {
        return answer;
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

bool pb_os_is_closed(void *at) {
    (void)at;
    return true; /* what the engine closes is closed */
}

enum pb_status pb_os_file_create(uint64_t bytes, int *file) {
    enum pb_status answer = refused("os_file_create", PB_NO_DESCRIPTORS);
    if (answer != PB_OK) {
        return answer;
    }
    uint8_t *pages = sim_pages_reserve((size_t)bytes); /* whole pages cost the engine little */
    if (pages == NULL || !sim_pages_protect(pages, (size_t)bytes, SIM_READ_WRITE)) {
        return PB_NO_MEMORY;
    }
    int number = 0;
    files_begin(); /* from here on no other thread runs before the number is taken */
    while (number < FILES_MAX && files[number].bytes != NULL) {
        number++;
    }
    if (number == FILES_MAX) {
        (void)sim_pages_release(pages, (size_t)bytes);
        return PB_NO_DESCRIPTORS;
    }
    files[number].bytes = pages;
    files[number].count = bytes;
    files[number].frozen = false;
    *file = number;
    return PB_OK;
}

enum pb_status pb_os_file_write(int file, uint64_t offset, const void *data, uint64_t count) {
    enum pb_status answer = refused("os_file_write", PB_NO_MEMORY);
    if (answer != PB_OK) {
        return answer;
    }
    if (files[file].frozen || offset > files[file].count || count > files[file].count - offset) {
        return PB_SYSTEM;
    }
    sim_memcpy(files[file].bytes + offset, data, (size_t)count);
    return PB_OK;
}

enum pb_status pb_os_file_freeze(int file) {
    enum pb_status answer = refused("os_file_freeze", PB_SYSTEM);
    if (answer != PB_OK) {
        return answer;
    }
    files[file].frozen = true;
    return PB_OK;
}

enum pb_status pb_os_file_map(int file, void *at, uint64_t bytes, bool *lost) {
    (void)lost;
    enum pb_status answer = refused("os_file_map", PB_NO_MEMORY);
    if (answer != PB_OK) {
        return answer;
    }
    if (bytes > files[file].count || !sim_pages_discard(at, (size_t)bytes) ||
        !sim_pages_protect(at, (size_t)bytes, SIM_READ_WRITE)) {
        return PB_SYSTEM;
    }
    sim_memcpy(at, files[file].bytes, (size_t)bytes);
    view_note(at, file);
    return PB_OK;
}

void pb_os_file_close(int file) {
    uint8_t *pages = files[file].bytes;
    files[file].bytes = NULL;
    (void)sim_pages_release(pages, (size_t)files[file].count);
}

void pb_os_account_close(struct pb_os_account *account) {
    (void)account;
}

/* Marks the pages that differ from the file's: the newest bytes count, whoever wrote them. */
KERNEL static void mark_written(const struct view *view, uint64_t bytes, uint8_t *written) {
    const uint64_t *mine = view->at, *first = (const void *)files[view->file].bytes;
    enum { WORDS = HOST_PAGE_BYTES / sizeof mine[0] };
    for (uint64_t i = 0; i < bytes / sizeof mine[0]; i++) {
        written[i / WORDS] |= mine[i] != first[i];
    }
}

/* A page that holds what the file holds counts as not written. written: zeros at first. */
enum pb_status pb_os_file_written(struct pb_os_account *account, const void *at, uint64_t bytes,
                                  uint8_t *written) {
    (void)account;
    enum pb_status answer = refused("os_file_written", PB_UNSUPPORTED);
    const struct view *view = view_at(at);
    if (answer != PB_OK || view == NULL) {
        return answer != PB_OK ? answer : PB_UNSUPPORTED;
    }
    mark_written(view, bytes, written);
    return PB_OK;
}

enum pb_status pb_os_account_try(struct pb_os_account *account) {
    (void)account;
    return PB_OK;
}

/* All pages may hold something of their own. */
enum pb_status pb_os_account_ask(struct pb_os_account *account, const void *at, uint64_t bytes,
                                 struct pb_os_run *runs, size_t runs_max, size_t *count,
                                 uint64_t *looked_bytes) {
    (void)account, (void)at, (void)runs_max;
    runs[0] = (struct pb_os_run){.length_bytes = bytes};
    *count = 1;
    *looked_bytes = bytes;
    return PB_OK;
}

/* For the runner: the calling thread is about to sleep on this word. */
extern void os_sim_sleeps(const void *word) __attribute__((weak));

enum pb_status pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    if (os_sim_sleeps != NULL) {
        os_sim_sleeps(word);
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
