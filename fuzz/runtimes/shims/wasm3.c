/* wasm3.c: a shim for wasm3, against its wasm3.h and m3_env.h, linked with its library. It touches
 * all of a memory, so large ones are left out. */
#include "shim.h"

#include "m3_env.h"
#include "wasm3.h"

#include <stdio.h>
#include <stdlib.h>

enum { STACK_BYTES = 65536, FUNCTIONS_MAX = 512, COSTLY_PAGES = 1024 };

struct instance {
    IM3Environment environment;
    IM3Runtime runtime;
    IM3Function function[FUNCTIONS_MAX];
};

static bool open_wasm3(const char *library, const char **about) {
    (void)library;
    *about = "wasm3 " M3_VERSION;
    return true;
}

static void drop(void *self) {
    struct instance *i = self;
    if (i->runtime != NULL) {
        m3_FreeRuntime(i->runtime);
    }
    m3_FreeEnvironment(i->environment);
    free(i);
}

static void *make(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
                  enum subject_status *status) {
    (void)imported;
    struct instance *i = calloc(1, sizeof *i);
    IM3Module module = NULL;
    i->environment = m3_NewEnvironment();
    *status = SUBJECT_INVALID;
    if (m3_ParseModule(i->environment, &module, wasm, (uint32_t)bytes) != NULL) {
        drop(i);
        return NULL;
    }
    i->runtime = m3_NewRuntime(i->environment, STACK_BYTES, NULL);
    if (m3_LoadModule(i->runtime, module) != NULL) {
        m3_FreeModule(module);
        *status = SUBJECT_NO_MEMORY;
        drop(i);
        return NULL;
    }
    return i;
}

static enum subject_status call(void *self, unsigned number, const uint32_t operand[5],
                                uint64_t *result) {
    struct instance *i = self;
    char name[12];
    if (number >= FUNCTIONS_MAX) {
        return SUBJECT_SYSTEM;
    }
    if (i->function[number] == NULL) {
        snprintf(name, sizeof name, "%u", number);
        if (m3_FindFunction(&i->function[number], i->runtime, name) != NULL) {
            return SUBJECT_SYSTEM;
        }
    }
    const void *arguments[5] = {&operand[0], &operand[1], &operand[2], &operand[3], &operand[4]};
    const void *results[1] = {result};
    M3Result wrong = m3_Call(i->function[number], 5, arguments);
    if (wrong != NULL) {
        return shim_trap(wrong);
    }
    return m3_GetResults(i->function[number], 1, results) == NULL ? SUBJECT_OK : SUBJECT_SYSTEM;
}

static bool view(void *self, uint8_t **base, uint64_t *bytes) {
    struct instance *i = self;
    uint32_t count = 0;
    *base = m3_GetMemory(i->runtime, &count, 0);
    *bytes = count;
    return true;
}

const struct shim shim = {.name = "wasm3",
                          .costly_pages = COSTLY_PAGES,
                          .open = open_wasm3,
                          .make = make,
                          .drop = drop,
                          .call = call,
                          .view = view};
