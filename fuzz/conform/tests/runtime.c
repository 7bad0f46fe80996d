/* runtime.c: a fake runtime for the tests of library.c that knows one program, SB+4, and plays it
 * without reading the module. With PAGEBOX_LIBRARY=lies each load answers 0, which two threads may
 * not both see. */
#include "runtimes/shim.h"

#include <stdlib.h>
#include <string.h>

enum { PAGES = 8, PAGE_BYTES = 65536, NOTIFY = 4, SIZE = 5 };

struct memory {
    _Atomic unsigned handles;
    _Alignas(64) uint8_t bytes[PAGES * PAGE_BYTES];
};

static bool lies;

static bool open_runtime(const char *library, const char **about) {
    lies = strcmp(library, "lies") == 0;
    *about = lies ? "a liar" : "an honest runtime";
    return true;
}

static void *make(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
                  enum subject_status *status) {
    (void)imported;
    struct memory *m = calloc(1, sizeof *m);
    *status = bytes > 8 && memcmp(wasm, "\0asm", 4) == 0 ? SUBJECT_OK : SUBJECT_INVALID;
    m->handles = 1;
    return m;
}

static void *thread(void *of) {
    ((struct memory *)of)->handles++;
    return of;
}

static void drop(void *instance) {
    if (--((struct memory *)instance)->handles == 0) {
        free(instance);
    }
}

/* T0 stores to 0 and loads from 8; T1 the other way. */
static enum subject_status call(void *instance, unsigned number, const uint32_t operand[5],
                                uint64_t *result) {
    uint8_t *block = ((struct memory *)instance)->bytes + operand[0];
    *result = number == SIZE ? PAGES : number == NOTIFY ? 0 : UINT32_MAX;
    if (number < 2) {
        const unsigned mine = number == 0 ? 0 : 8, other = 8 - mine;
        *(_Atomic uint32_t *)(void *)(block + mine) = 1;
        *(uint64_t *)(void *)(((struct memory *)instance)->bytes + operand[1]) =
            lies ? 0 : *(_Atomic uint32_t *)(void *)(block + other);
    }
    return SUBJECT_OK;
}

static bool view(void *instance, uint8_t **base, uint64_t *bytes) {
    *base = ((struct memory *)instance)->bytes;
    *bytes = sizeof((struct memory *)instance)->bytes;
    return true;
}

const struct shim shim = {.name = "test",
                          .open = open_runtime,
                          .make = make,
                          .drop = drop,
                          .call = call,
                          .view = view,
                          .is_threaded = true,
                          .thread = thread};
