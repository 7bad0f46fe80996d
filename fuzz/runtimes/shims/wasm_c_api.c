/* wasm_c_api.c: a shim for any library with WebAssembly's C API (wasm.h), which is loaded by its
 * path: RUNTIME=wasm-c-api:/path/lib.so. It compiles against that library's own wasm.h, since those
 * differ: -I the folder of it.
 *
 * The API has no shared memories: threads are not offered. */
#include "shim.h"

#ifdef PAGEBOX_WASM_H_OF_WAMR /* which calls it otherwise, and whose vectors count their elements \
                                 twice */
#include "wasm_c_api.h"
#else
#include "wasm.h"
#endif

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions used, as pointers: p_wasm_engine_new and so on. */
#define API(X)                \
    X(wasm_engine_new)        \
    X(wasm_store_new)         \
    X(wasm_store_delete)      \
    X(wasm_module_new)        \
    X(wasm_module_validate)   \
    X(wasm_module_delete)     \
    X(wasm_instance_new)      \
    X(wasm_instance_delete)   \
    X(wasm_instance_exports)  \
    X(wasm_extern_as_func)    \
    X(wasm_extern_as_memory)  \
    X(wasm_func_call)         \
    X(wasm_memory_data)       \
    X(wasm_memory_data_size)  \
    X(wasm_trap_message)      \
    X(wasm_trap_delete)       \
    X(wasm_extern_vec_delete) \
    X(wasm_byte_vec_new)      \
    X(wasm_byte_vec_delete)
#define POINTER(name) static __typeof__(name) *p_##name;
API(POINTER)

static wasm_engine_t *engine;
#ifdef PAGEBOX_WASM_H_OF_WAMR /* the usual call gives the memory a heap of the application's, too \
                               */
enum { STACK_BYTES = 32768 };
static __typeof__(wasm_instance_new_with_args) *p_wasm_instance_new_with_args;
#endif

struct instance {
    wasm_store_t *store;
    wasm_module_t *module;
    wasm_instance_t *instance;
    wasm_extern_vec_t exports; /* the memory first, then the functions by number */
};

static bool open_library(const char *library, const char **about) {
    static char name[96];
    void *object = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        fprintf(stderr, "RUNTIME=wasm-c-api:%s: %s\n", library, dlerror());
        return false;
    }
#define FIND(function)                                                                   \
    *(void **)&p_##function = dlsym(object, #function);                                  \
    if (p_##function == NULL) {                                                          \
        fprintf(stderr, "%s has no %s: it does not have WebAssembly's C API\n", library, \
                #function);                                                              \
        return false;                                                                    \
    }
    API(FIND)
#ifdef PAGEBOX_WASM_H_OF_WAMR
    FIND(wasm_instance_new_with_args)
#endif
    const char *file = strrchr(library, '/');
    snprintf(name, sizeof name, "%.90s", file != NULL ? file + 1 : library);
    *about = name;
    engine = p_wasm_engine_new();
    return engine != NULL;
}

static void drop(void *self) {
    struct instance *i = self;
    if (i->instance != NULL) {
        p_wasm_extern_vec_delete(&i->exports);
        p_wasm_instance_delete(i->instance);
    }
    if (i->module != NULL) {
        p_wasm_module_delete(i->module);
    }
    p_wasm_store_delete(i->store);
    free(i);
}

static void *make(const uint8_t *wasm, size_t bytes, enum subject_status *status) {
    struct instance *i = calloc(1, sizeof *i);
    wasm_byte_vec_t code;
    wasm_extern_vec_t none;
    wasm_trap_t *trap = NULL;
    memset(&none, 0, sizeof none);
    i->store = p_wasm_store_new(engine);
    p_wasm_byte_vec_new(&code, bytes, (const char *)wasm);
    i->module = p_wasm_module_new(i->store, &code);
    p_wasm_byte_vec_delete(&code);
    if (i->module == NULL) {
        *status = SUBJECT_INVALID;
        drop(i);
        return NULL;
    }
#ifdef PAGEBOX_WASM_H_OF_WAMR
    i->instance = p_wasm_instance_new_with_args(i->store, i->module, &none, &trap, STACK_BYTES, 0);
#else
    i->instance = p_wasm_instance_new(i->store, i->module, &none, &trap);
#endif
    if (i->instance == NULL) {
        if (trap != NULL) {
            p_wasm_trap_delete(trap);
        }
        *status = SUBJECT_NO_MEMORY;
        drop(i);
        return NULL;
    }
    p_wasm_instance_exports(i->instance, &i->exports);
    return i;
}

static enum subject_status call(void *self, unsigned number, const uint32_t operand[5],
                                uint64_t *result) {
    struct instance *i = self;
    wasm_val_t in[5], out[1];
    wasm_val_vec_t arguments, results;
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    memset(&arguments, 0, sizeof arguments);
    memset(&results, 0, sizeof results);
    for (unsigned k = 0; k < 5; k++) {
        in[k].kind = WASM_I32;
        in[k].of.i32 = (int32_t)operand[k];
    }
    out[0].kind = WASM_I64;
    arguments.size = 5;
    arguments.data = in;
    results.size = 1;
    results.data = out;
#ifdef PAGEBOX_WASM_H_OF_WAMR
    arguments.num_elems = 5;
    results.num_elems = 1;
    arguments.size_of_elem = results.size_of_elem = sizeof(wasm_val_t);
#endif
    if (number + 1 >= i->exports.size) {
        return SUBJECT_SYSTEM;
    }
    wasm_trap_t *trap =
        p_wasm_func_call(p_wasm_extern_as_func(i->exports.data[number + 1]), &arguments, &results);
    if (trap != NULL) {
        wasm_message_t message;
        p_wasm_trap_message(trap, &message);
        enum subject_status status = shim_trap(message.data);
        p_wasm_byte_vec_delete(&message);
        p_wasm_trap_delete(trap);
        return status;
    }
    *result = (uint64_t)out[0].of.i64;
    return SUBJECT_OK;
}

static bool view(void *self, uint8_t **base, uint64_t *bytes) {
    struct instance *i = self;
    wasm_memory_t *memory = p_wasm_extern_as_memory(i->exports.data[0]);
    *base = (uint8_t *)p_wasm_memory_data(memory);
    *bytes = p_wasm_memory_data_size(memory);
    return true;
}

const struct shim shim = {.name = "wasm-c-api",
                          .open = open_library,
                          .make = make,
                          .drop = drop,
                          .call = call,
                          .view = view};
