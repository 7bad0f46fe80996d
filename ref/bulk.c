/* bulk.c: memory.copy, memory.fill, memory.init, data at start, reading out (R16, R17). */
/* SPDX-License-Identifier: MIT */
#include "guest_bytes.h"
#include "handle.h"

/* The host's own bytes to and from the memory: relaxed atomics where guests race. */
static void put(struct pb_memory *memory, uint64_t start, const void *data, uint64_t count) {
    if (count == 0) {
        return;
    }
    if (memory->shared) {
        pb_bytes_to_guest(pb_handle_at(memory, start), data, (size_t)count);
    } else {
        memcpy(pb_handle_at(memory, start), data, (size_t)count);
    }
}

static bool fits(const struct pb_memory *memory, uint64_t start, uint64_t count) {
    return pb_range_within(start, count, pb_handle_length(memory));
}

void pb_segment_drop(struct pb_segment *segment) {
    segment->data = NULL;
    segment->length_bytes = 0;
}

enum pb_status pb_memory_bulk_copy(struct pb_memory *memory, uint32_t destination, uint32_t source,
                                   uint32_t count) {
    if (!fits(memory, destination, count) || !fits(memory, source, count)) {
        return PB_OUT_OF_BOUNDS;
    }
    if (count == 0) {
        return PB_OK;
    }
    if (memory->shared) {
        pb_bytes_move_within(pb_handle_at(memory, destination), pb_handle_at(memory, source),
                             count);
    } else {
        memmove(pb_handle_at(memory, destination), pb_handle_at(memory, source), count);
    }
    return PB_OK;
}

enum pb_status pb_memory_bulk_fill(struct pb_memory *memory, uint32_t destination, uint8_t value,
                                   uint32_t count) {
    if (!fits(memory, destination, count)) {
        return PB_OUT_OF_BOUNDS;
    }
    if (count == 0) {
        return PB_OK;
    }
    if (memory->shared) {
        pb_bytes_fill(pb_handle_at(memory, destination), value, count);
    } else {
        memset(pb_handle_at(memory, destination), value, count);
    }
    return PB_OK;
}

enum pb_status pb_memory_bulk_init(struct pb_memory *memory, const struct pb_segment *segment,
                                   uint32_t destination, uint32_t source, uint32_t count) {
    if (!pb_range_within(source, count, segment->length_bytes) ||
        !fits(memory, destination, count)) {
        return PB_OUT_OF_BOUNDS;
    }
    if (count > 0) {
        put(memory, destination, (const uint8_t *)segment->data + source, count);
    }
    return PB_OK;
}

enum pb_status pb_memory_initialise(struct pb_memory *memory, uint64_t start, const void *data,
                                    uint64_t count) {
    if (!fits(memory, start, count)) {
        return PB_OUT_OF_BOUNDS;
    }
    if (memory->operations->initialise != NULL) {
        return memory->operations->initialise(memory->self, start, data, count);
    }
    put(memory, start, data, count);
    return PB_OK;
}

enum pb_status pb_memory_initialise_segments(struct pb_memory *memory,
                                             const struct pb_active_segment *segments, size_t count,
                                             size_t *applied) {
    enum pb_status status = PB_OK;
    size_t done = 0;
    while (done < count && status == PB_OK) {
        const struct pb_segment *segment = &segments[done].segment;
        status = pb_memory_initialise(memory, segments[done].start, segment->data,
                                      segment->length_bytes);
        done += status == PB_OK;
    }
    if (applied != NULL) {
        *applied = done;
    }
    return status;
}

enum pb_status pb_memory_read(struct pb_memory *memory, uint64_t start, void *data,
                              uint64_t count) {
    if (!fits(memory, start, count)) {
        return PB_OUT_OF_BOUNDS;
    }
    if (count == 0) {
        return PB_OK;
    }
    if (memory->shared) {
        pb_bytes_from_guest(data, pb_handle_at(memory, start), (size_t)count);
    } else {
        memcpy(data, pb_handle_at(memory, start), (size_t)count);
    }
    return PB_OK;
}
