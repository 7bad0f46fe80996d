/* cc -O2 -g finding.c -lwasm-rt-impl -o finding */
/* wabt_rt.map.h: expresses the operations of finding.c as calls of wasm-rt.h alone, for a bug
 * report to wabt. Types are those that a valid module has. */
#include <stdatomic.h>
#include <wasm-rt.h>

typedef wasm_rt_memory_t *memory, *waker, *mailbox;
typedef struct {
    int unused;
} record;

static void library_begin(void) {
    (void)due;
}

static void library_end(void) {}

static unsigned memory_create(memory *m, const struct wish *w) {
    const bool has_max = w->max_pages != UINT32_MAX;
    if (w->min_pages > 65536 ||
        (has_max && (w->max_pages > 65536 || w->min_pages > w->max_pages))) {
        return LIMIT;
    }
    if (w->shared) {
        return UNSUPPORTED;
    }
    *m = calloc(1, sizeof **m);
    wasm_rt_allocate_memory(*m, w->min_pages, has_max ? w->max_pages : 65536);
    return OK;
}

static unsigned grown(memory m, uint32_t pages, uint64_t *old) {
    const uint32_t said = wasm_rt_grow_memory(m, pages);
    *old = said;
    return said == UINT32_MAX ? LIMIT : OK;
}

#define memory_grow(m, pages, old) grown(m, pages, old)
#define memory_destroy(m) wasm_rt_free_memory(m)
#define memory_size_pages(m) (m)->pages
#define memory_size_bytes(m) (m)->size
#define memory_length(m) (m)->size
#define memory_at(m, at, count) ((const uint8_t *)(m)->data + (at))
