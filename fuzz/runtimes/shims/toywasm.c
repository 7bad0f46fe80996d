/* toywasm.c: a shim for toywasm, against the headers of its lib/, linked with its
 * libtoywasm-core.a. */
#include "shim.h"

#include "exec_context.h"
#include "instance.h"
#include "load_context.h"
#include "mem.h"
#include "module.h"
#include "type.h"

#include "toywasm_config.h"
#include "toywasm_version.h"

#include <stdlib.h>
#include <string.h>

enum { COSTLY_PAGES = 1024, OPERANDS = 5 }; /* it fills memories with zeros */

static struct mem_context heap;

/* Shared by the instances on one memory; lives as long as the last of them. */
struct home {
    unsigned guests;
    struct meminst *memory; /* made by the host; NULL: the first instance's own */
    struct memtype type;
    struct guest *first; /* the owner of the memory, kept until the others are gone */
};

struct guest {
    struct home *home;
    uint8_t *wasm; /* the module keeps using these bytes */
    struct module *module;
    struct instance *instance;
};

static bool open_toywasm(const char *library, const char **about) {
    (void)library;
    mem_context_init(&heap);
    *about = "toywasm " TOYWASM_VERSION;
    return true;
}

static void release(struct guest *g) {
    if (g->instance != NULL) {
        instance_destroy(g->instance);
    }
    if (g->module != NULL) {
        module_destroy(&heap, g->module);
    }
    free(g->wasm);
    free(g);
}

static void drop(void *self) {
    struct guest *g = self;
    struct home *home = g->home;
    home->guests--;
    if (g != home->first) {
        release(g);
    }
    if (home->guests == 0) {
        release(home->first);
        if (home->memory != NULL) {
            memory_instance_destroy(&heap, home->memory);
        }
        free(home);
    }
}

static struct guest *load(const uint8_t *wasm, size_t bytes) {
    struct guest *g = calloc(1, sizeof *g);
    struct load_context context;
    g->wasm = malloc(bytes);
    memcpy(g->wasm, wasm, bytes);
    load_context_init(&context, &heap);
    if (module_create(&g->module, g->wasm, g->wasm + bytes, &context) != 0) {
        g->module = NULL;
    }
    load_context_clear(&context);
    if (g->module == NULL) {
        release(g);
        return NULL;
    }
    return g;
}

static enum subject_status status_of(enum trapid trap) {
    switch (trap) {
    case TRAP_OUT_OF_BOUNDS_MEMORY_ACCESS:
    case TRAP_OUT_OF_BOUNDS_DATA_ACCESS:
        return SUBJECT_OUT_OF_BOUNDS;
    case TRAP_UNALIGNED_ATOMIC_OPERATION:
    case TRAP_UNALIGNED_MEMORY_ACCESS:
        return SUBJECT_MISALIGNED;
    case TRAP_ATOMIC_WAIT_ON_NON_SHARED_MEMORY:
        return SUBJECT_NOT_SHARED;
    default:
        return SUBJECT_SYSTEM;
    }
}

/* The instance, on `memory` if the module imports it, and its active segments. */
static enum subject_status instantiate(struct guest *g, struct meminst *memory) {
    struct import_object *imports = NULL;
    struct name h = {1, "h"}, m = {1, "m"};
    struct report report;
    enum subject_status status = SUBJECT_NO_MEMORY;
    report_init(&report);
    if (memory != NULL && import_object_alloc(&heap, 1, &imports) == 0) {
        imports->entries[0] = (struct import_object_entry){
            .module_name = &h, .name = &m, .type = EXTERNTYPE_MEMORY, .u.mem = memory};
    }
    if (instance_create_no_init(&heap, g->module, &g->instance, imports, &report) != 0) {
        g->instance = NULL;
    } else {
        struct exec_context context;
        exec_context_init(&context, g->instance, &heap);
        int how = instance_execute_handle_restart(&context, instance_execute_init(&context));
        status = how == 0              ? SUBJECT_OK
                 : how == ETOYWASMTRAP ? status_of(context.trap.trapid)
                                       : SUBJECT_NO_MEMORY;
        exec_context_clear(&context);
    }
    if (imports != NULL) {
        import_object_destroy(&heap, imports);
    }
    report_clear(&report);
    return status;
}

static void *make(const uint8_t *wasm, size_t bytes, const struct subject_type *imported,
                  enum subject_status *status) {
    struct home *home = calloc(1, sizeof *home);
    struct guest *g = load(wasm, bytes);
    *status = SUBJECT_INVALID;
    if (g == NULL) {
        free(home);
        return NULL;
    }
    *status = SUBJECT_NO_MEMORY;
    if (imported != NULL) {
        home->type = *module_memtype(g->module, 0);
        home->memory =
            memory_instance_create(&heap, &home->memory, &home->type) == 0 ? home->memory : NULL;
    }
    if (imported == NULL || home->memory != NULL) {
        *status = instantiate(g, home->memory);
    }
    *home = (struct home){.guests = 1, .memory = home->memory, .type = home->type, .first = g};
    g->home = home;
    if (*status != SUBJECT_OK) {
        drop(g);
        return NULL;
    }
    return g;
}

static struct meminst *memory_of(const struct guest *g) {
    return VEC_ELEM(g->instance->mems, g->instance->mems.lsize - 1);
}

static void *again(const uint8_t *wasm, size_t bytes, void *of, enum subject_status *status) {
    struct guest *first = of, *g = load(wasm, bytes);
    *status = SUBJECT_INVALID;
    if (g == NULL) {
        return NULL;
    }
    *status = instantiate(g, memory_of(first));
    if (*status != SUBJECT_OK) {
        release(g);
        return NULL;
    }
    g->home = first->home;
    g->home->guests++;
    return g;
}

static enum subject_status call(void *self, unsigned number, const uint32_t operand[5],
                                uint64_t *result) {
    struct guest *g = self;
    struct exec_context context;
    struct val in[OPERANDS], out;
    const struct functype *type = module_functype(g->module, number);
    memset(in, 0, sizeof in);
    for (unsigned i = 0; i < OPERANDS; i++) {
        in[i].u.i32 = operand[i];
    }
    exec_context_init(&context, g->instance, &heap);
    int how = exec_push_vals(&context, &type->parameter, in);
    if (how == 0) {
        how = instance_execute_func(&context, number, &type->parameter, &type->result);
        how = instance_execute_handle_restart(&context, how);
    }
    enum subject_status status = SUBJECT_OK;
    if (how == 0) {
        exec_pop_vals(&context, &type->result, &out);
        *result = out.u.i64;
    } else {
        status = how == ETOYWASMTRAP ? status_of(context.trap.trapid) : SUBJECT_SYSTEM;
    }
    exec_context_clear(&context);
    return status;
}

/* toywasm may allocate only part of an unshared memory: asks it for all of it. */
static bool view(void *self, uint8_t **base, uint64_t *bytes) {
    struct meminst *memory = memory_of(self);
    void *at = NULL;
    bool moved;
    *bytes = (uint64_t)memory->size_in_pages << 16;
    if (*bytes > 0 &&
        memory_instance_getptr2(memory, (uint32_t)(*bytes - 1), 0, 1, &at, &moved) != 0) {
        return false;
    }
    *base = memory->data;
    return true;
}

static uint32_t grow(void *self, uint32_t pages) {
    return memory_grow(memory_of(self), pages);
}

const struct shim shim = {.name = "toywasm",
                          .threads = true,
                          .simd = true,
                          .second = true,
                          .names = true,
                          .imports = true,
                          .costly_pages = COSTLY_PAGES,
                          .open = open_toywasm,
                          .make = make,
                          .drop = drop,
                          .call = call,
                          .view = view,
                          .again = again,
                          .grow = grow,
                          .is_threaded = true};
