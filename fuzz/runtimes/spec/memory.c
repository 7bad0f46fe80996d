/* memory.c: plays a script of the specification on our memories, under each strategy. See memory.h.
 * Prints what failed and, for each strategy, "COUNT strategy passed failed left-out". */
#include "memory.h"

#include "pagebox.h"
#include "wasm-rt-impl.h"
#include "wasm-rt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORIES_MAX = 8, POOL_PAGES = 1024 };

static const char *const names[PB_STRATEGY_COUNT] = {"reserve", "reserve_rw", "remap", "move",
                                                     "heap",    "image",      "pool",  "guard"};
static enum pb_strategy strategy;
static struct pb_pool *pool;
static struct held {
    wasm_rt_memory_t *theirs;
    struct pb_memory *ours;
} held[MEMORIES_MAX];
static struct pb_memory *shared; /* the memory that atomics use */
static bool refused; /* this strategy could not make a memory, so the module is left out */
static uint8_t result[8];

void spec_store(const void *value, unsigned bytes) {
    memset(result, 0, sizeof result);
    memcpy(result, value, bytes);
}

/* ---- The runtime of wasm2c's code ------------------------------------------------------------ */

void program_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages);
uint32_t program_grow_memory(wasm_rt_memory_t *memory, uint32_t delta);
void program_free_memory(wasm_rt_memory_t *memory);

static struct pb_memory *make(uint32_t min, uint32_t max, bool is_shared) {
    /* A slot is too small for the usual style, which is as wide as 32 bits. */
    static const struct pb_memory_style dynamic = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = 65536};
    struct pb_memory *made = NULL;
    const struct pb_memory_config config = {
        .type = {.min_pages = min, .max_pages = max, .shared = is_shared},
        .strategy = strategy,
        .style = strategy == PB_STRATEGY_POOL ? &dynamic : NULL,
        .pool = strategy == PB_STRATEGY_POOL ? pool : NULL,
    };
    return pb_memory_create(&config, &made) == PB_OK ? made : NULL;
}

static struct held *entry_of(const wasm_rt_memory_t *memory) {
    for (unsigned i = 0; i < MEMORIES_MAX; i++) {
        if (held[i].theirs == memory) {
            return &held[i];
        }
    }
    abort();
}

static void publish(wasm_rt_memory_t *memory, struct pb_memory *from) {
    struct pb_memory_definition *definition = pb_memory_definition(from);
    memory->data = atomic_load(&definition->base);
    memory->size = (uint32_t)atomic_load(&definition->length_bytes);
    memory->pages = pb_memory_size_pages(from);
}

void program_allocate_memory(wasm_rt_memory_t *memory, uint32_t pages, uint32_t max_pages) {
    struct pb_memory *made = make(pages, max_pages, false);
    memset(memory, 0, sizeof *memory);
    if (made == NULL) {
        refused = true;
        wasm_rt_trap(WASM_RT_TRAP_OOB);
    }
    *entry_of(NULL) = (struct held){memory, made};
    memory->max_pages = max_pages;
    publish(memory, made);
}

uint32_t program_grow_memory(wasm_rt_memory_t *memory, uint32_t delta) {
    struct pb_memory *grown = entry_of(memory)->ours;
    uint32_t old_pages;
    if (pb_memory_grow(grown, delta, &old_pages) != PB_OK) {
        return UINT32_MAX;
    }
    publish(memory, grown);
    return old_pages;
}

void program_free_memory(wasm_rt_memory_t *memory) {
    for (unsigned i = 0; i < MEMORIES_MAX; i++) {
        if (memory != NULL && held[i].theirs == memory) {
            pb_memory_release(held[i].ours);
            held[i] = (struct held){NULL, NULL};
        }
    }
}

/* ---- Atomics by name ------------------------------------------------------------------------- */

static enum pb_status wait_by_name(const struct spec_step *s, uint64_t *value) {
    const uint32_t at = (uint32_t)s->args[0];
    enum pb_status status;
    if (strcmp(s->atomic, "memory.atomic.notify") == 0) {
        uint32_t woken = 0;
        status = pb_memory_notify(shared, at, (uint32_t)s->args[1], &woken);
        *value = woken;
        return status;
    }
    enum pb_wait wait = PB_WAIT_NOTIFIED;
    const int64_t timeout = (int64_t)s->args[2];
    status = strcmp(s->atomic, "memory.atomic.wait32") == 0
                 ? pb_memory_wait32(shared, at, (uint32_t)s->args[1], timeout, &wait)
                 : pb_memory_wait64(shared, at, s->args[1], timeout, &wait);
    *value = (uint64_t)wait;
    return status;
}

/* "i64.atomic.rmw32.add_u": the width behind load, store or rmw, else the type's. */
static enum pb_status atomic_by_name(const struct spec_step *s, uint64_t *value) {
    static const char *const rmw[PB_RMW_COUNT] = {"add", "sub", "and", "or", "xor", "xchg"};
    const uint32_t at = (uint32_t)s->args[0];
    const char *name = s->atomic;
    *value = 0;
    if (strcmp(name, "init") == 0) { /* i64.store at 0 */
        return pb_memory_store(shared, 0, 0, 8, s->args[0]);
    }
    if (strncmp(name, "memory.", 7) == 0) {
        return wait_by_name(s, value);
    }
    const char *operation = name + strlen("i32.atomic.");
    const char *digits = operation + strcspn(operation, "0123456789");
    const char *dot = strchr(operation, '.');
    unsigned width = name[1] == '3' ? 4 : 8;
    if (*digits != '\0' && (dot == NULL || digits < dot)) {
        width = (unsigned)atoi(digits) / 8;
    }
    if (strncmp(operation, "load", 4) == 0) {
        return pb_memory_atomic_load(shared, at, 0, width, value);
    }
    if (strncmp(operation, "store", 5) == 0) {
        return pb_memory_atomic_store(shared, at, 0, width, s->args[1]);
    }
    if (dot != NULL && strncmp(dot + 1, "cmpxchg", 7) == 0) {
        return pb_memory_atomic_cmpxchg(shared, at, 0, width, s->args[1], s->args[2], value);
    }
    for (unsigned k = 0; dot != NULL && k < PB_RMW_COUNT; k++) {
        size_t length = strlen(rmw[k]);
        if (strncmp(dot + 1, rmw[k], length) == 0 &&
            (dot[1 + length] == '_' || dot[1 + length] == '\0')) {
            return pb_memory_atomic_rmw(shared, (enum pb_rmw)k, at, 0, width, s->args[1], value);
        }
    }
    return PB_INVALID;
}

/* ---- Playing --------------------------------------------------------------------------------- */

/* True if it trapped. */
static bool traps(const struct spec_step *s) {
    uint64_t value = 0;
    if (s->atomic != NULL) {
        enum pb_status status = shared == NULL ? PB_INVALID : atomic_by_name(s, &value);
        if (s->type == 'i') {
            value = (uint32_t)value;
        }
        spec_store(&value, sizeof value);
        return status != PB_OK;
    }
    wasm_rt_trap_t trap = (wasm_rt_trap_t)wasm_rt_impl_try();
    if (trap != WASM_RT_TRAP_NONE) {
        return true;
    }
    s->call();
    return false;
}

static bool is_right(const struct spec_step *s) {
    uint64_t bits;
    memcpy(&bits, result, sizeof bits);
    if (s->nan) {
        const bool wide = s->type == 'd';
        const uint64_t exponent = wide ? UINT64_C(0x7ff) << 52 : UINT64_C(0xff) << 23;
        const uint64_t fraction = wide ? (UINT64_C(1) << 52) - 1 : (UINT64_C(1) << 23) - 1;
        return (bits & exponent) == exponent && (bits & fraction) != 0;
    }
    return s->type == 0 || bits == s->bits;
}

static void play(void) {
    unsigned passed = 0, failed = 0, left_out = 0;
    void (*volatile drop)(void) = NULL;
    volatile bool absent = true; /* no module whose calls can be made */
    for (volatile unsigned i = 0; i < spec_steps; i++) {
        const struct spec_step *s = &spec_step[i];
        if (s->kind == SPEC_MODULE || s->kind == SPEC_SHARED) {
            if (drop != NULL) {
                drop();
            }
            pb_memory_release(shared);
            shared = NULL;
            drop = s->drop;
            refused = false;
            if (s->kind == SPEC_SHARED) {
                shared = make((uint32_t)s->args[0], (uint32_t)s->args[1], s->args[2] != 0);
                absent = shared == NULL;
            } else {
                absent = s->call == NULL || traps(s);
            }
            passed += !absent;
            left_out += absent && (refused || s->call == NULL);
            if (absent && !refused && s->call != NULL) {
                printf("%s:%u: the module could not be instantiated (%s)\n", spec_name, s->line,
                       names[strategy]);
                failed++;
            }
            drop = absent ? NULL : drop;
        } else if (absent) {
            left_out++;
        } else if (traps(s) != (s->kind == SPEC_TRAP) || (s->kind == SPEC_RETURN && !is_right(s))) {
            printf("%s:%u: another answer (%s)\n", spec_name, s->line, names[strategy]);
            failed++;
        } else {
            passed++;
        }
    }
    if (drop != NULL) {
        drop();
    }
    pb_memory_release(shared);
    shared = NULL;
    printf("COUNT %s %u %u %u\n", names[strategy], passed, failed, left_out);
}

int main(void) {
    const struct pb_pool_config config = {
        .slots = 4, .slot_bytes = POOL_PAGES * UINT64_C(65536), .guard_bytes = 65536};
    wasm_rt_init();
    if (pb_pool_create(&config, &pool) != PB_OK) {
        pool = NULL;
    }
    for (strategy = 0; strategy < PB_STRATEGY_COUNT; strategy++) {
        if (strategy == PB_STRATEGY_POOL && pool == NULL) {
            continue;
        }
        play();
        fflush(stdout);
    }
    pb_pool_release(pool);
    return 0;
}
