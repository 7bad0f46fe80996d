/* library.c: runs modules on a runtime in this process. See library.h. */
#include "library.h"

#include "runtimes/shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Offsets of the harness's words and of a thread's results in the first page. */
enum { CONTROL_AT = 8192, RESULTS_AT = 16384, RESULTS_BYTES = 512 };

static const struct shim *runtime;
static const char *about;
static const struct conform_program *loaded;
static uint64_t module_seed;
static struct conform_limits limits; /* of the latest memory */

/* ---- Memories -------------------------------------------------------------------------------- */

static enum subject_status call(void *memory, unsigned function, uint32_t a, uint32_t b,
                                uint64_t *result) {
    const uint32_t operand[5] = {a, b};
    return runtime->call(memory, function, operand, result);
}

/* If the runtime itself makes another instance for a thread, the memory is the module's own;
 * otherwise the host makes it. */
static bool makes_threads(void) {
    return runtime->thread != NULL;
}

static enum subject_status create(const struct subject_memory_config *config, void **memory) {
    limits = (struct conform_limits){config->type.min_pages, config->type.max_pages,
                                     .is_imported = !makes_threads()};
    enum subject_status status = SUBJECT_NO_MEMORY;
    size_t bytes = 0;
    uint8_t *wasm = conform_wasm(loaded, module_seed, CONFORM_FAULT_NONE, &limits, &bytes);
    if (wasm != NULL) {
        *memory = runtime->make(wasm, bytes, makes_threads() ? NULL : &config->type, &status);
        status = *memory != NULL ? SUBJECT_OK : status;
        free(wasm);
    }
    return status;
}

static void destroy(void *memory) {
    runtime->drop(memory);
}

static enum subject_status clone(void *memory, void **other) {
    enum subject_status status = SUBJECT_NO_MEMORY;
    size_t bytes = 0;
    if (makes_threads()) {
        *other = runtime->thread(memory);
        return *other != NULL ? SUBJECT_OK : status;
    }
    uint8_t *wasm = conform_wasm(loaded, module_seed, CONFORM_FAULT_NONE, &limits, &bytes);
    *other = wasm != NULL ? runtime->again(wasm, bytes, memory, &status) : NULL;
    free(wasm);
    return *other != NULL ? SUBJECT_OK : status;
}

static uint64_t size_pages(void *memory) {
    uint64_t pages = 0;
    (void)call(memory, CONFORM_CALL_SIZE, 0, 0, &pages);
    return pages;
}

static enum subject_status grow(void *memory, uint32_t delta_pages, uint32_t *old_pages) {
    uint64_t old = UINT32_MAX;
    enum subject_status status = call(memory, CONFORM_CALL_GROW, delta_pages, 0, &old);
    *old_pages = (uint32_t)old;
    return status == SUBJECT_OK && *old_pages == UINT32_MAX ? SUBJECT_LIMIT : status;
}

static enum subject_status notify(void *memory, uint64_t address, uint32_t count, uint32_t *woken) {
    uint64_t result = 0;
    enum subject_status status =
        call(memory, CONFORM_CALL_NOTIFY, (uint32_t)address, count, &result);
    *woken = (uint32_t)result;
    return status;
}

/* NULL past the end. */
static uint8_t *bytes_at(void *memory, uint64_t at, uint64_t count) {
    uint8_t *base;
    uint64_t bytes;
    bool is_in = runtime->view(memory, &base, &bytes) && at <= bytes && count <= bytes - at;
    return is_in ? base + at : NULL;
}

static enum subject_status read_bytes(void *memory, uint64_t start, void *data, uint64_t count) {
    const uint8_t *from = bytes_at(memory, start, count);
    if (from == NULL) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    memcpy(data, from, count);
    return SUBJECT_OK;
}

static enum subject_status store(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                 uint64_t value) {
    uint8_t *to = bytes_at(memory, (uint64_t)index + offset, width);
    if (to == NULL) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    memcpy(to, &value, width); /* both are little-endian */
    return SUBJECT_OK;
}

const struct subject_memory *library_memory(void) {
    static const struct subject_strategy shared = {.name = "shared", .shareable = true};
    static const struct subject_memory memory = {.promises = SUBJECT_OPAQUE,
                                                 .strategies = 1,
                                                 .strategy = &shared,
                                                 .create = create,
                                                 .destroy = destroy,
                                                 .size_pages = size_pages,
                                                 .grow = grow,
                                                 .clone = clone,
                                                 .store = store,
                                                 .read = read_bytes,
                                                 .notify = notify};
    return &memory;
}

_Atomic uint32_t *library_word(void *memory, uint32_t place) {
    return (_Atomic uint32_t *)(void *)bytes_at(memory, CONTROL_AT + place, 4);
}

/* ---- Runs ------------------------------------------------------------------------------------ */

/* A function that traps has already stored the results of the operations before the trap. */
static void put_trap(const struct conform_program *p, unsigned thread, uint64_t *result) {
    for (unsigned n = 0; n < p->operations[thread]; n++) {
        const struct conform_operation *o = &p->operation[thread][n];
        if (conform_is_far(o) && result[o->slot] == CONFORM_NONE) {
            result[o->slot] = CONFORM_TRAP;
            return;
        }
    }
}

void library_run(void *memory, const struct conform_program *p, unsigned thread, uint32_t block,
                 uint32_t number, uint64_t *result) {
    const uint32_t results = RESULTS_AT + thread * RESULTS_BYTES;
    const uint32_t operand[5] = {block, results, CONTROL_AT, number - 1};
    uint8_t *at = bytes_at(memory, results, RESULTS_BYTES);
    unsigned first = 0, slots = 0;
    for (unsigned t = 0; t <= thread; t++) {
        first += t < thread ? conform_slots(p, t) : 0;
        slots = conform_slots(p, t);
    }
    for (unsigned i = 0; i < slots; i++) {
        result[first + i] = CONFORM_NONE;
    }
    memcpy(at, result + first, slots * sizeof *result);
    uint64_t nothing;
    enum subject_status status = runtime->call(memory, thread, operand, &nothing);
    memcpy(result + first, at, slots * sizeof *result);
    if (status == SUBJECT_OUT_OF_BOUNDS) {
        put_trap(p, thread, result);
    } else if (status != SUBJECT_OK && slots > 0) {
        result[first + slots - 1] = UINT64_C(0xBAD0000000000000) | (uint64_t)status;
    }
}

bool library_thread_begin(void) {
    return runtime == NULL || runtime->thread_begin == NULL || runtime->thread_begin();
}

void library_thread_end(void) {
    if (runtime != NULL && runtime->thread_end != NULL) {
        runtime->thread_end();
    }
}

/* ---- The shim -------------------------------------------------------------------------------- */

void library_load(const struct conform_program *program, uint64_t seed) {
    loaded = program;
    module_seed = seed;
}

const char *library_name(void) {
    return about;
}

bool library_open(const char *path) {
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct shim *found = object != NULL ? dlsym(object, "shim") : NULL;
    const char *library = getenv("PAGEBOX_LIBRARY");
    if (found == NULL) {
        fprintf(stderr, "conform: %s: %s\n", path, dlerror());
        return false;
    }
    if (!found->is_threaded) {
        fprintf(stderr, "conform: %s has no shared memories, so no threads: nothing to judge\n",
                found->name);
        return false;
    }
    if (!found->open(library != NULL ? library : "", &about)) {
        return false;
    }
    runtime = found;
    about = about != NULL ? about : runtime->name;
    return true;
}
