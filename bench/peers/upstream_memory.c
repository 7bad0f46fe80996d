/* upstream_memory.c: see upstream_memory.h. */
#include "upstream_memory.h"

#include <string.h>
#include <sys/mman.h>

/* Maps `total` bytes privately, with only the first ones accessible. */
static uint8_t *accessible_reserved(size_t accessible, size_t total) {
    int protection = accessible == total ? PROT_READ | PROT_WRITE : PROT_NONE;
    void *made = mmap(NULL, total, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (made == MAP_FAILED) {
        return NULL;
    }
    if (accessible != total && accessible > 0 &&
        mprotect(made, accessible, PROT_READ | PROT_WRITE) != 0) {
        munmap(made, total);
        return NULL;
    }
    return made;
}

bool upstream_create(struct upstream_memory *memory, size_t length_bytes, size_t reserved_bytes,
                     size_t guard_bytes) {
    memory->total_bytes = reserved_bytes + guard_bytes;
    memory->length_bytes = length_bytes;
    memory->guard_bytes = guard_bytes;
    memory->base = accessible_reserved(length_bytes, memory->total_bytes);
    return memory->base != NULL;
}

bool upstream_grow(struct upstream_memory *memory, size_t delta_bytes) {
    size_t length = memory->length_bytes + delta_bytes;
    size_t reserved = memory->total_bytes - memory->guard_bytes;
    if (length <= reserved) {
        if (mprotect(memory->base + memory->length_bytes, delta_bytes, PROT_READ | PROT_WRITE)) {
            return false;
        }
        memory->length_bytes = length;
        return true;
    }
    struct upstream_memory made;
    if (!upstream_create(&made, length, length, memory->guard_bytes)) {
        return false;
    }
    memcpy(made.base, memory->base, reserved);
    upstream_destroy(memory);
    *memory = made;
    return true;
}

bool upstream_copy(const struct upstream_memory *memory, struct upstream_memory *copy) {
    size_t reserved = memory->total_bytes - memory->guard_bytes;
    if (!upstream_create(copy, memory->length_bytes, reserved, memory->guard_bytes)) {
        return false;
    }
    memcpy(copy->base, memory->base, memory->length_bytes);
    return true;
}

void upstream_destroy(struct upstream_memory *memory) {
    munmap(memory->base, memory->total_bytes);
    memory->base = NULL;
}
