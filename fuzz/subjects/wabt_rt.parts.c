/* wabt_rt.parts.c: what C programs that show a finding of wabt_rt.so are put together from: calls
 * of wasm-rt.h alone, to be attached to a report to wabt. See fuzz/targets/reproducer/sequential.c, whose
 * place it takes. */

/*= build: =*/
/* cc -O2 -g finding.c -lwasm-rt-impl -o finding */
/*= base: =*/
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <wasm-rt.h>

enum { MEMORIES = 4, PAGE = 65536 };
static wasm_rt_memory_t memories[MEMORIES];
static uint64_t pages[MEMORIES], max_pages[MEMORIES]; /* what must be */
static _Bool there[MEMORIES];

static void broken(const char *rule, const char *what, uint64_t got, uint64_t wanted) {
    printf("%s is broken: %s is %llu, where it must be %llu\n", rule, what, (unsigned long long)got,
           (unsigned long long)wanted);
    fflush(stdout);
    _exit(1);
}

/* Sizes are what they must be, and the last byte can be read. */
static void check(unsigned m) {
    const wasm_rt_memory_t *memory = &memories[m];
    printf("memory %u: pages %u, size %u\n", m, memory->pages, memory->size);
    fflush(stdout);
    if (memory->pages != pages[m]) {
        broken("R5-grow-size", "pages", memory->pages, pages[m]);
    }
    if (memory->size != pages[m] * PAGE) {
        broken("R9-wide-lengths", "size", memory->size, pages[m] * PAGE);
    }
    if (pages[m] > 0) {
        (void)*(volatile uint8_t *)(memory->data + pages[m] * PAGE - 1);
    }
}

/* All 8 GiB that were reserved are unmapped. */
static void destroy(unsigned m) {
    unsigned char resident;
    uint8_t *last = memories[m].data + (UINT64_C(8) << 30) - 4096;
    if (there[m]) {
        wasm_rt_free_memory(&memories[m]);
        there[m] = 0;
        if (mincore(last, 1, &resident) == 0) {
            printf("R14-pages-kept is broken: the reservation's end is still mapped\n");
            fflush(stdout);
            _exit(1);
        }
    }
}

static void watch(void) {
    alarm(60);
}

static void memories_end(void) {
    for (unsigned m = 0; m < MEMORIES; m++) {
        destroy(m);
    }
}

/*= nofaults: base =*/
/* the runtime's own calls never fail here */
/*= leaks: base =*/
static void leaks_begin(void) {}

static void leaks_end(void) {}
/*= memory: base =*/
static void memory_destroy(unsigned m) {
    destroy(m);
}
/*= memory_create: memory =*/
#define PB_NO_MAXIMUM UINT32_MAX
static void memory_create(unsigned m, const char *strategy, const char *twin, uint32_t min,
                          uint32_t max, _Bool shared, const char *style, uint64_t bound,
                          uint64_t guard, const char *record) {
    (void)strategy, (void)twin, (void)style, (void)bound, (void)guard, (void)record;
    destroy(m);
    max = max == UINT32_MAX ? 65536 : max; /* as wasm2c writes it */
    if (min > max || max > 65536 || shared) {
        return; /* no valid module has it */
    }
    printf("wasm_rt_allocate_memory(memory %u, %u, %u)\n", m, min, max);
    fflush(stdout);
    wasm_rt_allocate_memory(&memories[m], min, max);
    there[m] = 1;
    pages[m] = min;
    max_pages[m] = max;
    check(m);
}
/*= memory_create_more: memory_create =*/
static void memory_create_more(unsigned m, const char *strategy, const char *twin, uint32_t min,
                               uint32_t max, _Bool shared, const char *style, uint64_t bound,
                               uint64_t guard, const char *record, uint64_t image,
                               const char *advice, uint64_t waiters, uint64_t reserve) {
    (void)image, (void)advice, (void)waiters, (void)reserve;
    memory_create(m, strategy, twin, min, max, shared, style, bound, guard, record);
}
/*= memory_grow: memory =*/
static void memory_grow(unsigned m, uint32_t delta) {
    if (!there[m]) {
        return;
    }
    const uint32_t old = wasm_rt_grow_memory(&memories[m], delta);
    printf("wasm_rt_grow_memory(memory %u, %u) = %u\n", m, delta, old);
    fflush(stdout);
    if (old != UINT32_MAX && pages[m] + delta > max_pages[m]) {
        broken("R5-grow-limit", "the result of a growth past the maximum", old, UINT32_MAX);
    }
    if (old != UINT32_MAX) {
        pages[m] += delta;
    }
    check(m);
}
