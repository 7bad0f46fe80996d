/* wamr.c: a shim for WAMR (wasm-micro-runtime), against its wasm_export.h, linked with its
 * libvmlib.a or libiwasm.so, built with shared and bulk memories. */
#include "shim.h"

#include "wasm_export.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_BYTES = 16384, FUNCTIONS_MAX = 512 };

struct instance {
    uint8_t *wasm; /* the module keeps using these bytes */
    wasm_module_t module;
    wasm_module_inst_t instance;
    wasm_exec_env_t environment;
    wasm_function_inst_t function[FUNCTIONS_MAX];
    bool is_spawned; /* uses another instance's memory */
};

static bool open_wamr(const char *library, const char **about) {
    static char name[48];
    uint32_t major, minor, patch;
    RuntimeInitArgs arguments;
    (void)library;
    memset(&arguments, 0, sizeof arguments);
    arguments.mem_alloc_type = Alloc_With_System_Allocator;
    if (!wasm_runtime_full_init(&arguments)) {
        fprintf(stderr, "RUNTIME=wamr: wasm_runtime_full_init failed\n");
        return false;
    }
    wasm_runtime_set_log_level(0);
    wasm_runtime_get_version(&major, &minor, &patch);
    snprintf(name, sizeof name, "WAMR %u.%u.%u", major, minor, patch);
    *about = name;
    return true;
}

/* Missing if the library is built without its thread manager. */
#pragma weak wasm_runtime_spawn_exec_env
#pragma weak wasm_runtime_destroy_spawned_exec_env

static void drop(void *self) {
    struct instance *i = self;
    if (i->is_spawned) {
        wasm_runtime_destroy_spawned_exec_env(i->environment);
        free(i);
        return;
    }
    if (i->environment != NULL) {
        wasm_runtime_destroy_exec_env(i->environment);
    }
    if (i->instance != NULL) {
        wasm_runtime_deinstantiate(i->instance);
    }
    if (i->module != NULL) {
        wasm_runtime_unload(i->module);
    }
    free(i->wasm);
    free(i);
}

static void *make(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
                  enum subject_status *status) {
    (void)imported;
    char why[200] = "";
    struct instance *i = calloc(1, sizeof *i);
    i->wasm = malloc(bytes);
    memcpy(i->wasm, wasm, bytes);
    i->module = wasm_runtime_load(i->wasm, (uint32_t)bytes, why, sizeof why);
    *status = SUBJECT_INVALID;
    if (i->module != NULL) {
        *status = SUBJECT_NO_MEMORY;
        i->instance = wasm_runtime_instantiate(i->module, STACK_BYTES, 0, why, sizeof why);
        i->environment =
            i->instance != NULL ? wasm_runtime_create_exec_env(i->instance, STACK_BYTES) : NULL;
    }
    if (i->environment == NULL) {
        drop(i);
        return NULL;
    }
    return i;
}

static enum subject_status call(void *self, unsigned number, const uint32_t operand[5],
                                uint64_t *result) {
    struct instance *i = self;
    uint32_t words[5];
    char name[12];
    if (number >= FUNCTIONS_MAX) {
        return SUBJECT_SYSTEM;
    }
    if (i->function[number] == NULL) {
        snprintf(name, sizeof name, "%u", number);
        i->function[number] = wasm_runtime_lookup_function(i->instance, name);
    }
    memcpy(words, operand, sizeof words);
    if (i->function[number] == NULL) {
        return SUBJECT_SYSTEM;
    }
    if (!wasm_runtime_call_wasm(i->environment, i->function[number], 5, words)) {
        enum subject_status status = shim_trap(wasm_runtime_get_exception(i->instance));
        wasm_runtime_clear_exception(i->instance);
        return status;
    }
    memcpy(result, words, sizeof *result);
    return SUBJECT_OK;
}

static bool view(void *self, uint8_t **base, uint64_t *bytes) {
    wasm_memory_inst_t memory =
        wasm_runtime_get_default_memory(((struct instance *)self)->instance);
    *base = wasm_memory_get_base_address(memory);
    *bytes = wasm_memory_get_cur_page_count(memory) * wasm_memory_get_bytes_per_page(memory);
    return true;
}

static void *thread(void *of) {
    struct instance *i = calloc(1, sizeof *i);
    i->is_spawned = true;
    i->environment = wasm_runtime_spawn_exec_env != NULL
                         ? wasm_runtime_spawn_exec_env(((struct instance *)of)->environment)
                         : NULL;
    if (i->environment == NULL) {
        free(i);
        return NULL;
    }
    i->instance = wasm_runtime_get_module_inst(i->environment);
    return i;
}

const struct shim shim = {.name = "wamr",
                          .threads = true,
                          .names = true,
                          .open = open_wamr,
                          .make = make,
                          .drop = drop,
                          .call = call,
                          .view = view,
                          .is_threaded = true,
                          .thread = thread,
                          .thread_begin = wasm_runtime_init_thread_env,
                          .thread_end = wasm_runtime_destroy_thread_env};
