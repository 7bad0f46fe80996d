/* template.c: a small memory as a subject: copy this file, and replace the memory by yours.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -shared -Ifuzz fuzz/subjects/template.c -o mine.so
 *   make fuzz TARGET=memory_fuzzer SUBJECT=./mine.so               README.md continues from here
 *
 * Limits: never shared, one style whatever was requested, none of the optional operations. */
#include "subject.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Reserves 4 GiB and a guard; only the first `size` bytes are accessible. */
#define RESERVED_BYTES (SUBJECT_PAGES_MAX * SUBJECT_PAGE_BYTES + SUBJECT_PAGE_BYTES)

struct memory {
    struct subject_record own, *record; /* what compiled code reads: `own`, or the caller's */
    uint64_t max_pages;
};

static uint64_t size_bytes(void *memory) {
    return atomic_load(&((struct memory *)memory)->record->length_bytes);
}

static uint64_t size_pages(void *memory) {
    return size_bytes(memory) / SUBJECT_PAGE_BYTES;
}

static const struct subject_record *record(void *memory) {
    return ((struct memory *)memory)->record;
}

static bool reservation(void *memory, const uint8_t **at, uint64_t *bytes) {
    *at = ((struct memory *)memory)->record->base;
    *bytes = RESERVED_BYTES;
    return true;
}

static enum subject_status grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    struct memory *memory = self;
    const uint64_t old = size_bytes(self), delta = delta_pages * SUBJECT_PAGE_BYTES;
    if (size_pages(self) + delta_pages > memory->max_pages) {
        return SUBJECT_LIMIT;
    }
    if (delta > 0 && mprotect(memory->record->base + old, delta, PROT_READ | PROT_WRITE) != 0) {
        return SUBJECT_NO_MEMORY;
    }
    atomic_store(&memory->record->length_bytes,
                 old + delta); /* only now, when the pages are accessible */
    *old_pages = (uint32_t)(old / SUBJECT_PAGE_BYTES);
    return SUBJECT_OK;
}

static void destroy(void *memory) {
    munmap(((struct memory *)memory)->record->base, RESERVED_BYTES);
    free(memory);
}

static enum subject_status create(const struct subject_memory_config *config, void **made) {
    const uint32_t min = config->type.min_pages, max = config->type.max_pages;
    const bool has_max = max != SUBJECT_NO_MAXIMUM;
    uint32_t none;
    if (min > SUBJECT_PAGES_MAX || (has_max && (max > SUBJECT_PAGES_MAX || min > max))) {
        return SUBJECT_LIMIT;
    }
    struct memory *memory = config->type.shared ? NULL : calloc(1, sizeof *memory);
    if (memory == NULL) {
        return config->type.shared ? SUBJECT_UNSUPPORTED : SUBJECT_NO_MEMORY;
    }
    void *base =
        mmap(NULL, RESERVED_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        free(memory);
        return SUBJECT_NO_MEMORY;
    }
    memory->record = config->record != NULL ? config->record : &memory->own;
    atomic_store(&memory->record->base, base);
    atomic_store(&memory->record->length_bytes, 0);
    memory->max_pages = has_max ? max : SUBJECT_PAGES_MAX;
    if (grow(memory, min, &none) != SUBJECT_OK) {
        destroy(memory);
        return SUBJECT_NO_MEMORY;
    }
    *made = memory;
    return SUBJECT_OK;
}

const struct subject *pagebox_subject(void) {
    static const struct subject_strategy strategy = {
        .name = "mine", .traps = true, .stable_base = true, .one_style = true};
    static const struct subject_memory memory = {
        .promises = SUBJECT_TELLS_LIMIT | SUBJECT_GROWS_WITHIN | SUBJECT_RETURNS_PAGES,
        .strategies = 1,
        .strategy = &strategy,
        .create = create,
        .destroy = destroy,
        .size_pages = size_pages,
        .size_bytes = size_bytes,
        .grow = grow,
        .record = record,
        .reservation = reservation, /* optional: with it, R4 (the guard) is checked */
    };
    /* Rules that your code does not promise: entries {"R10", "why"} before the end. */
    static const struct subject_exemption not_promised[] = {{NULL, NULL}};
    static const struct subject mine = {
        .abi = SUBJECT_ABI, .name = "template", .memory = &memory, .not_promised = not_promised};
    return &mine;
}
