/* host_bytes.c: segments, ranges of up to 4 GiB, accesses of any width. */
#include "host_within.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

/* ---- Segments ---------------------------------------------------------------------------------
 */

/* So many segments of one length, each at twice the place of the one before. */
const char *host_segments(const struct op *op) {
    enum { SEGMENTS = 6, PAGES = 3, MARKED = 1234567 };
    const size_t count = op->arg.host_segments.count % (SEGMENTS + 1);
    const uint64_t length = op->arg.host_segments.length;
    const uint32_t pages = (uint32_t)op->arg.host_segments.pages % PAGES;
    const bool asked = op->arg.host_segments.told == WORD_yesno_yes;
    struct pb_active_segment segments[SEGMENTS];
    struct pb_memory *memory;
    if (host_far_bytes() == NULL ||
        host_plain_memory(pages, op->arg.host_segments.shared == WORD_yesno_yes, &memory) !=
            PB_OK) {
        return NULL;
    }
    size_t fit = 0, applied = MARKED;
    for (size_t i = 0; i < count; i++) {
        segments[i] = (struct pb_active_segment){
            .start = op->arg.host_segments.start << i,
            .segment = {length == 0 ? NULL : host_far_bytes() + i, length},
        };
        fit += fit == i && host_in(segments[i].start, length, pages * PAGE);
    }
    const enum pb_status got = pb_memory_initialise_segments(memory, count == 0 ? NULL : segments,
                                                             count, asked ? &applied : NULL);
    const char *broken =
        host_holds(got == (fit == count ? PB_OK : PB_OUT_OF_BOUNDS), "R17-segments");
    broken = host_first(broken, host_holds(applied == (asked ? fit : MARKED), "R17-segments"));
    if (broken == NULL && fit > 0 && length > 0) { /* the last one lies over the others */
        const struct pb_active_segment *last = &segments[fit - 1];
        broken =
            host_holds(memcmp(host_base(memory) + last->start, last->segment.data, length) == 0,
                       "R17-segments");
    }
    pb_memory_release(memory);
    return broken;
}

const char *host_init(const struct op *op) {
    enum { PAGES = 2 };
    const uint64_t from = (uint32_t)op->arg.host_init.from,
                   count = (uint32_t)op->arg.host_init.count;
    const uint64_t length = op->arg.host_init.length, at = (uint32_t)op->arg.host_init.at;
    struct pb_segment segment = {host_far_bytes(), length};
    struct pb_memory *memory;
    if (host_far_bytes() == NULL ||
        host_plain_memory(PAGES, op->arg.host_init.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    const bool fits = host_in(from, count, length) && host_in(at, count, PAGES * PAGE);
    const enum pb_status got =
        pb_memory_bulk_init(memory, &segment, (uint32_t)at, (uint32_t)from, (uint32_t)count);
    const char *broken = host_holds(got == (fits ? PB_OK : PB_OUT_OF_BOUNDS),
                                    length > UINT32_MAX ? "R9-init" : "R16-bulk-check");
    if (broken == NULL && fits && count > 0) {
        broken = host_holds(memcmp(host_base(memory) + at, host_far_bytes() + from, count) == 0,
                            "R16-bulk-init");
    }
    pb_segment_drop(&segment);
    broken = host_first(broken, host_holds(segment.length_bytes == 0, "R16-segment-drop"));
    broken = host_first(
        broken, host_holds(pb_memory_bulk_init(memory, &segment, 0, 0, 0) == PB_OK &&
                               pb_memory_bulk_init(memory, &segment, 0, 0, 1) == PB_OUT_OF_BOUNDS,
                           "R16-segment-drop"));
    pb_memory_release(memory);
    return broken;
}

/* ---- Ranges of a memory of 4 GiB --------------------------------------------------------------
 *
 * Of a long range the middle is closed, so that whoever works on all of it comes to where it faults
 * and is stopped there: that shows that it did not take the length for a shorter one, and costs
 * nothing. */

static sigjmp_buf stopped;
static volatile uintptr_t stopped_at;

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    (void)context;
    stopped_at = (uintptr_t)info->si_addr;
    siglongjmp(stopped, 1);
}

struct range {
    enum word_range call;
    struct pb_memory *memory;
    uint64_t start, from, count;
    uint8_t *room; /* what is read goes there; of a long one it cannot be written to */
};

static enum pb_status range_make(const struct range *r) {
    const struct pb_segment segment = {host_far_bytes(), FAR_BYTES};
    switch (r->call) {
    case WORD_range_initialise:
        return pb_memory_initialise(r->memory, r->start, host_far_bytes(), r->count);
    case WORD_range_read:
        return pb_memory_read(r->memory, r->start, r->room, r->count);
    case WORD_range_fill:
        return pb_memory_bulk_fill(r->memory, (uint32_t)r->start, 7, (uint32_t)r->count);
    case WORD_range_copy:
        return pb_memory_bulk_copy(r->memory, (uint32_t)r->start, (uint32_t)r->from,
                                   (uint32_t)r->count);
    default:
        return pb_memory_bulk_init(r->memory, &segment, (uint32_t)r->start, 0, (uint32_t)r->count);
    }
}

/* True if the call was stopped at a fault; else *got is its answer. */
static bool range_stops(const struct range *r, enum pb_status *got) {
    struct sigaction action, former[2];
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &former[0]);
    sigaction(SIGBUS, &action, &former[1]);
    const bool stops = sigsetjmp(stopped, 1) != 0;
    if (!stops) {
        *got = range_make(r);
    }
    sigaction(SIGSEGV, &former[0], NULL);
    sigaction(SIGBUS, &former[1], NULL);
    return stops;
}

/* The bytes of a short range that was worked on. */
static const char *range_bytes(const struct range *r) {
    const uint8_t *base = host_base(r->memory);
    bool right = true;
    if (r->call == WORD_range_read) {
        right = memcmp(r->room, base + r->start, r->count) == 0;
    } else if (r->call == WORD_range_fill) {
        right = base[r->start] == 7 && base[r->start + r->count - 1] == 7 &&
                memcmp(base + r->start, base + r->start + 1, r->count - 1) == 0;
    } else if (r->call == WORD_range_initialise || r->call == WORD_range_init) {
        right = memcmp(base + r->start, host_far_bytes(), r->count) == 0;
    }
    return host_holds(right, "R16-bulk-bytes");
}

static const char *range_long(const struct range *r, const char *rule) {
    enum { EDGE_BYTES = 1 << 16 };
    const uint64_t host = host_page_bytes();
    uint8_t *base = host_base(r->memory);
    const uint64_t low = r->call == WORD_range_copy && r->from < r->start ? r->from : r->start;
    const uint64_t high =
        (r->call == WORD_range_copy && r->from > r->start ? r->from : r->start) + r->count;
    const uint64_t begin = (low + EDGE_BYTES + host - 1) / host * host,
                   end = (high - EDGE_BYTES) / host * host;
    enum pb_status got = PB_SYSTEM;
    if (mprotect(base + begin, end - begin, PROT_NONE) != 0) {
        return NULL;
    }
    const bool stops = range_stops(r, &got);
    const uintptr_t at = stopped_at, closed = (uintptr_t)base + begin, room = (uintptr_t)r->room;
    const bool in_room = r->call == WORD_range_read && at >= room && at < room + r->count;
    return host_holds(stops && (in_room || (at >= closed && at < closed + (end - begin))), rule);
}

const char *host_range(const struct op *op) {
    enum { SHORT_BYTES = 1 << 16, LONG_BYTES = 1 << 20 };
    static uint8_t room[SHORT_BYTES];
    const bool narrow = op->arg.host_range.call >= WORD_range_fill;
    struct range r = {
        .call = (enum word_range)op->arg.host_range.call,
        .start = narrow ? (uint32_t)op->arg.host_range.start : op->arg.host_range.start,
        .from = (uint32_t)op->arg.host_range.from,
        .count = narrow ? (uint32_t)op->arg.host_range.count : op->arg.host_range.count,
        .room = room,
    };
    const char *const rule = r.count > UINT32_MAX ? "R9-length"
                             : narrow             ? "R16-bulk-check"
                                                  : "R17-init-check";
    const bool fits = host_in(r.start, r.count, 4 * GIB) &&
                      (r.call != WORD_range_copy || host_in(r.from, r.count, 4 * GIB));
    /* onto itself: whoever sees that has nothing to do */
    const bool stays = r.call == WORD_range_copy && r.start == r.from && r.count > SHORT_BYTES;
    if (host_far_bytes() == NULL || stays ||
        (fits && r.count > SHORT_BYTES && r.count < LONG_BYTES) ||
        host_plain_memory(PB_PAGES_MAX, op->arg.host_range.shared == WORD_yesno_yes, &r.memory) !=
            PB_OK) {
        return NULL;
    }
    const char *broken;
    if (fits && r.count > SHORT_BYTES) {
        r.room = (uint8_t *)(uintptr_t)host_far_bytes() + 3 * GIB;
        broken = range_long(&r, rule);
    } else {
        broken = host_holds(range_make(&r) == (fits ? PB_OK : PB_OUT_OF_BOUNDS), rule);
        broken = broken == NULL && fits && r.count > 0 ? range_bytes(&r) : broken;
    }
    pb_memory_release(r.memory);
    return broken;
}

/* ---- Accesses ---------------------------------------------------------------------------------
 */

static enum pb_status access_make(const struct op *op, struct pb_memory *memory, uint64_t *answer) {
    const uint32_t index = (uint32_t)op->arg.host_access.index;
    const uint32_t offset = (uint32_t)op->arg.host_access.offset;
    const unsigned width = (unsigned)op->arg.host_access.width;
    const uint64_t value = op->arg.host_access.value;
    switch ((enum word_access)op->arg.host_access.access) {
    case WORD_access_load:
        return pb_memory_load(memory, index, offset, width, answer);
    case WORD_access_store:
        return pb_memory_store(memory, index, offset, width, value);
    case WORD_access_atomic_load:
        return pb_memory_atomic_load(memory, index, offset, width, answer);
    case WORD_access_atomic_store:
        return pb_memory_atomic_store(memory, index, offset, width, value);
    case WORD_access_rmw:
        return pb_memory_atomic_rmw(memory, (enum pb_rmw)op->arg.host_access.kind, index, offset,
                                    width, value, answer);
    default:
        return pb_memory_atomic_cmpxchg(memory, index, offset, width, value, ~value, answer);
    }
}

const char *host_access(const struct op *op) {
    const unsigned width = (unsigned)op->arg.host_access.width;
    const enum word_access access = (enum word_access)op->arg.host_access.access;
    const bool known = width == 1 || width == 2 || width == 4 || width == 8;
    const uint64_t at =
        (uint64_t)(uint32_t)op->arg.host_access.index + (uint32_t)op->arg.host_access.offset;
    static const uint8_t zero[65536];
    uint64_t answer = 0;
    struct pb_memory *memory;
    if (host_plain_memory(1, op->arg.host_access.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    unsigned set = 0;
    set |= !known ? S(INVALID) : 0;
    set |= access == WORD_access_rmw && op->arg.host_access.kind >= PB_RMW_COUNT ? S(INVALID) : 0;
    if (access >= WORD_access_atomic_load && known && at % width != 0) {
        set |= S(MISALIGNED);
    } else if (known && !host_in(at, width, PAGE)) {
        set |= S(OUT_OF_BOUNDS);
    }
    const enum pb_status got = access_make(op, memory, &answer);
    const char *broken = host_holds((set == 0 ? S(OK) : set) >> got & 1, "R18-access");
    if (broken == NULL && set != 0) {
        broken = host_holds(memcmp(host_base(memory), zero, PAGE) == 0, "R18-access");
    } else if (broken == NULL) {
        broken = host_holds(answer == 0, "R18-load");
    }
    pb_memory_release(memory);
    return broken;
}
