/* wabt_rt.c: the memory of wabt's wasm2c runtime, as Debian ships it, as a subject.
 *
 *   make subjects && make fuzz TARGET=memory_fuzzer SUBJECT=build/subjects/wabt_rt.so
 *
 * wasm_rt_allocate_memory, wasm_rt_grow_memory and wasm_rt_free_memory come from
 * libwasm-rt-impl.a; memory.copy and memory.fill are what wasm2c makes of wabt_rt.wat. Nothing is
 * changed or worked around, with two exceptions: types are checked first (the runtime leaves that
 * to the module's validation), and address space that the runtime leaks is unmapped at a program's
 * end, after the harness has seen it.
 *
 * WABT_RT_LOOK_PAST=1 avoids the known bugs, so that a run can find others: sizes of 65,536 pages
 * and deltas that wrap are refused here. */
#include "subject.h"

#include "wabt_rt_module.h"
#include "wasm-rt-impl.h"

#include <stdlib.h>
#include <sys/mman.h>

/* "Reserve 8GiB", wasm-rt-impl.c */
#define RESERVED_BYTES (UINT64_C(8) << 30)

struct Z_host_instance_t {
    wasm_rt_memory_t memory; /* wasm2c's own: base, pages, maximum, a size of 32 bits */
    Z_bulk_instance_t module;
    struct subject_record own, *record;
};

wasm_rt_memory_t *Z_hostZ_memory(struct Z_host_instance_t *host) {
    return &host->memory;
}

/* ---- Address space that the runtime keeps after wasm_rt_free_memory -------------------------- */

enum { KEPT_MAX = 1024 };
static struct {
    uint8_t *at;
    size_t bytes;
} kept[KEPT_MAX];
static unsigned kepts;

static void keep(const wasm_rt_memory_t *memory) {
    if (kepts < KEPT_MAX) {
        kept[kepts].at = memory->data + memory->size;
        kept[kepts++].bytes = RESERVED_BYTES - memory->size;
    }
}

static void end(void) {
    while (kepts > 0) {
        kepts--;
        munmap(kept[kepts].at, kept[kepts].bytes);
    }
}

/* ---- Known bugs ------------------------------------------------------------------------------ */

static bool is_known(uint64_t pages) {
    static int looks_past = -1;
    if (looks_past < 0) {
        const char *given = getenv("WABT_RT_LOOK_PAST");
        looks_past = given != NULL && given[0] == '1';
    }
    return looks_past && pages >= SUBJECT_PAGES_MAX;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Generated code reads the runtime's own fields; this copies them for the harness. */
static void publish(struct Z_host_instance_t *host) {
    atomic_store(&host->record->base, host->memory.data);
    atomic_store(&host->record->length_bytes, host->memory.size);
}

static enum subject_status create(const struct subject_memory_config *config, void **made) {
    const uint32_t min = config->type.min_pages, max = config->type.max_pages;
    const bool has_max = max != SUBJECT_NO_MAXIMUM;
    if (min > SUBJECT_PAGES_MAX || (has_max && (max > SUBJECT_PAGES_MAX || min > max))) {
        return SUBJECT_LIMIT;
    }
    if (config->type.shared) {
        return SUBJECT_UNSUPPORTED;
    }
    struct Z_host_instance_t *host = is_known(min) ? NULL : calloc(1, sizeof *host);
    if (host == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    /* wasm2c passes 65,536 where a module declares no maximum. */
    wasm_rt_allocate_memory(&host->memory, min, has_max ? max : SUBJECT_PAGES_MAX);
    Z_bulk_instantiate(&host->module, host);
    host->record = config->record != NULL ? config->record : &host->own;
    publish(host);
    *made = host;
    return SUBJECT_OK;
}

static void destroy(void *memory) {
    struct Z_host_instance_t *host = memory;
    keep(&host->memory);
    wasm_rt_free_memory(&host->memory);
    free(host);
}

static uint64_t size_pages(void *memory) {
    return ((struct Z_host_instance_t *)memory)->memory.pages;
}

static uint64_t size_bytes(void *memory) {
    return ((struct Z_host_instance_t *)memory)->memory.size;
}

static enum subject_status grow(void *memory, uint32_t delta_pages, uint32_t *old_pages) {
    struct Z_host_instance_t *host = memory;
    if (is_known((uint64_t)host->memory.pages + delta_pages)) {
        return SUBJECT_NO_MEMORY;
    }
    const uint32_t old = wasm_rt_grow_memory(&host->memory, delta_pages);
    publish(host);
    if (old == UINT32_MAX) {
        return SUBJECT_NO_MEMORY; /* the runtime does not say whether the limit was the reason */
    }
    *old_pages = old;
    return SUBJECT_OK;
}

static const struct subject_record *record(void *memory) {
    return ((struct Z_host_instance_t *)memory)->record;
}

static bool reservation(void *memory, const uint8_t **at, uint64_t *bytes) {
    *at = ((struct Z_host_instance_t *)memory)->memory.data;
    *bytes = RESERVED_BYTES;
    return true;
}

static enum subject_status bulk_copy(void *memory, uint32_t to, uint32_t from, uint32_t count) {
    struct Z_host_instance_t *host = memory;
    if (wasm_rt_impl_try() != WASM_RT_TRAP_NONE) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    Z_bulkZ_copy(&host->module, to, from, count);
    return SUBJECT_OK;
}

static enum subject_status bulk_fill(void *memory, uint32_t at, uint8_t value, uint32_t count) {
    struct Z_host_instance_t *host = memory;
    if (wasm_rt_impl_try() != WASM_RT_TRAP_NONE) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    Z_bulkZ_fill(&host->module, at, value, count);
    return SUBJECT_OK;
}

static const struct subject_strategy strategy = {
    .name = "wasm2c",
    .traps = true, /* generated code does not check bounds; it relies on the guard */
    .stable_base = true,
    .one_style = true,
};

static const struct subject_memory memory_table = {
    .promises = SUBJECT_GROWS_WITHIN | SUBJECT_RETURNS_PAGES,
    .strategies = 1,
    .strategy = &strategy,
    .create = create,
    .destroy = destroy,
    .size_pages = size_pages,
    .size_bytes = size_bytes,
    .grow = grow,
    .record = record,
    .reservation = reservation,
    .bulk_copy = bulk_copy,
    .bulk_fill = bulk_fill,
};

const struct subject *pagebox_subject(void) {
    static const struct subject subject = {
        .abi = SUBJECT_ABI,
        .name = "wabt, wasm2c's runtime",
        .memory = &memory_table,
        .end = end,
    };
    Z_bulk_init_module();
    return &subject;
}
