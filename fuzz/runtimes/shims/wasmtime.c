/* wasmtime.c: a shim for wasmtime, against its own C API (wasmtime.h), which has shared memories;
 * linked with its libwasmtime. */
#include "shim.h"

#include <wasmtime.h>

#include <stdlib.h>
#include <string.h>

enum { OPERANDS = 5, REFUSED = -1 };

static wasm_engine_t *engine;

/* A memory that any instance can use: unshared, it lives in its store; shared, on its own. */
struct home {
    unsigned guests;
    wasmtime_store_t *store;
    wasmtime_extern_t memory;
};

struct guest {
    struct home *home;
    wasmtime_module_t *module;
    wasmtime_instance_t instance;
};

static wasmtime_context_t *context_of(const struct guest *g) {
    return wasmtime_store_context(g->home->store);
}

static bool is_fine(wasmtime_error_t *error) {
    if (error != NULL) {
        wasmtime_error_delete(error);
    }
    return error == NULL;
}

static bool open_wasmtime(const char *library, const char **about) {
    (void)library;
    wasm_config_t *config = wasm_config_new();
    wasmtime_config_wasm_threads_set(config, true);
    wasmtime_config_wasm_multi_memory_set(config, true);
    wasmtime_config_shared_memory_set(config, true);
    engine = wasm_engine_new_with_config(config);
    *about = "wasmtime " WASMTIME_VERSION;
    return engine != NULL;
}

static enum subject_status status_of(wasm_trap_t *trap) {
    wasmtime_trap_code_t code = WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED;
    (void)wasmtime_trap_code(trap, &code);
    wasm_trap_delete(trap);
    switch (code) {
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
        return SUBJECT_OUT_OF_BOUNDS;
    case WASMTIME_TRAP_CODE_HEAP_MISALIGNED:
        return SUBJECT_MISALIGNED;
    case WASMTIME_TRAP_CODE_ATOMIC_WAIT_NON_SHARED_MEMORY:
        return SUBJECT_NOT_SHARED;
    default:
        return SUBJECT_SYSTEM;
    }
}

static void drop(void *self) {
    struct guest *g = self;
    struct home *home = g->home;
    if (g->module != NULL) {
        wasmtime_module_delete(g->module);
    }
    free(g);
    if (--home->guests == 0) {
        wasmtime_extern_delete(&home->memory);
        wasmtime_store_delete(home->store);
        free(home);
    }
}

static bool memory_new(struct home *home, const struct subject_type *type) {
    wasm_memorytype_t *made = NULL;
    const bool has_max = type->max_pages != SUBJECT_NO_MAXIMUM;
    if (!is_fine(wasmtime_memorytype_new(type->min_pages, has_max, has_max ? type->max_pages : 0,
                                         false, type->shared, 16, &made))) {
        return false;
    }
    home->memory.kind = type->shared ? WASMTIME_EXTERN_SHAREDMEMORY : WASMTIME_EXTERN_MEMORY;
    const bool fine =
        type->shared
            ? is_fine(wasmtime_sharedmemory_new(engine, made, &home->memory.of.sharedmemory))
            : is_fine(wasmtime_memory_new(wasmtime_store_context(home->store), made,
                                          &home->memory.of.memory));
    wasm_memorytype_delete(made);
    return fine;
}

/* An instance of the module, on the home's memory where it imports one. */
static enum subject_status instantiate(struct guest *g, bool imports) {
    wasm_trap_t *trap = NULL;
    if (!is_fine(wasmtime_instance_new(context_of(g), g->module, &g->home->memory, imports ? 1 : 0,
                                       &g->instance, &trap))) {
        return SUBJECT_NO_MEMORY;
    }
    return trap != NULL ? status_of(trap) : SUBJECT_OK;
}

static void *make(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
                  enum subject_status *status) {
    struct guest *g = calloc(1, sizeof *g);
    g->home = calloc(1, sizeof *g->home);
    g->home->guests = 1;
    g->home->store = wasmtime_store_new(engine, NULL, NULL);
    g->home->memory.kind = WASMTIME_EXTERN_MEMORY; /* it needs no deletion */
    *status = SUBJECT_INVALID;
    if (is_fine(wasmtime_module_new(engine, wasm, bytes, &g->module))) {
        *status = SUBJECT_NO_MEMORY;
        if (imported == NULL || memory_new(g->home, imported)) {
            *status = instantiate(g, imported != NULL);
        }
    }
    if (*status == SUBJECT_OK && imported == NULL &&
        !wasmtime_instance_export_get(context_of(g), &g->instance, "m", 1, &g->home->memory)) {
        *status = SUBJECT_SYSTEM;
    }
    if (*status != SUBJECT_OK) {
        drop(g);
        return NULL;
    }
    return g;
}

static void *again(const uint8_t *wasm, size_t bytes, void *of, enum subject_status *status) {
    struct guest *g = calloc(1, sizeof *g);
    g->home = ((struct guest *)of)->home;
    g->home->guests++;
    *status = SUBJECT_INVALID;
    if (is_fine(wasmtime_module_new(engine, wasm, bytes, &g->module))) {
        *status = instantiate(g, true);
    }
    if (*status != SUBJECT_OK) {
        drop(g);
        return NULL;
    }
    return g;
}

static enum subject_status call(void *self, unsigned number, const uint32_t operand[5],
                                uint64_t *result) {
    struct guest *g = self;
    wasmtime_extern_t function;
    wasmtime_val_t in[OPERANDS], out;
    wasm_trap_t *trap = NULL;
    char *name = NULL;
    size_t length = 0;
    /* The memory is the first export, the functions follow by number. */
    if (!wasmtime_instance_export_nth(context_of(g), &g->instance, number + 1, &name, &length,
                                      &function)) {
        return SUBJECT_SYSTEM;
    }
    memset(in, 0, sizeof in);
    for (unsigned i = 0; i < OPERANDS; i++) {
        in[i].kind = WASMTIME_I32;
        in[i].of.i32 = (int32_t)operand[i];
    }
    if (!is_fine(
            wasmtime_func_call(context_of(g), &function.of.func, in, OPERANDS, &out, 1, &trap))) {
        return SUBJECT_SYSTEM;
    }
    if (trap != NULL) {
        return status_of(trap);
    }
    *result = (uint64_t)out.of.i64;
    return SUBJECT_OK;
}

static bool view(void *self, uint8_t **base, uint64_t *bytes) {
    struct guest *g = self;
    wasmtime_extern_t *m = &g->home->memory;
    if (m->kind == WASMTIME_EXTERN_SHAREDMEMORY) {
        *base = wasmtime_sharedmemory_data(m->of.sharedmemory);
        *bytes = wasmtime_sharedmemory_data_size(m->of.sharedmemory);
    } else {
        *base = wasmtime_memory_data(context_of(g), &m->of.memory);
        *bytes = wasmtime_memory_data_size(context_of(g), &m->of.memory);
    }
    return true;
}

static uint32_t grow(void *self, uint32_t pages) {
    struct guest *g = self;
    wasmtime_extern_t *m = &g->home->memory;
    uint64_t before = 0;
    const bool fine =
        m->kind == WASMTIME_EXTERN_SHAREDMEMORY
            ? is_fine(wasmtime_sharedmemory_grow(m->of.sharedmemory, pages, &before))
            : is_fine(wasmtime_memory_grow(context_of(g), &m->of.memory, pages, &before));
    return fine ? (uint32_t)before : (uint32_t)REFUSED;
}

const struct shim shim = {.name = "wasmtime",
                          .threads = true,
                          .simd = true,
                          .second = true,
                          .names = true,
                          .imports = true,
                          .open = open_wasmtime,
                          .make = make,
                          .drop = drop,
                          .call = call,
                          .view = view,
                          .again = again,
                          .grow = grow};
