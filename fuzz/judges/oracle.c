/* oracle.c: comparisons of a memory with its model. See oracle.h. */
#include "oracle.h"

#include "note.h"
#include "rule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

/* Missing from the headers of some systems with newer kernels. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

void (*note_to)(const struct note *note);

enum { ALL_ERRORS = ((1u << SUBJECT_STATUS_COUNT) - 1) & ~(1u << SUBJECT_OK) };

/* What a check found, in words. */
static void tell(const struct note *n, uint64_t got) {
    const unsigned long long must = n->must, at = n->at, is = got;
    switch (n->kind) {
    case NOTE_SIZE_PAGES:
        rule_differs("", "expected a size of %llu pages, got %llu", must, is);
        break;
    case NOTE_SIZE_BYTES:
        rule_differs("", "expected %llu bytes, got %llu", must, is);
        break;
    case NOTE_RECORD:
        rule_differs("", "expected a length of %llu bytes, got %llu", must, is);
        break;
    case NOTE_TYPE:
        rule_differs("", "expected the type {%llu, %llu}%s, got %llu pages, or another maximum",
                     must, at, n->count ? " shared" : "", is);
        break;
    case NOTE_WAITERS:
        rule_differs("", "expected nobody to wait between two operations, got %llu waiters", is);
        break;
    case NOTE_BASE:
        rule_differs("", "expected the base to stay, it moved");
        break;
    case NOTE_BYTES:
        rule_differs("", "expected %u, got %llu at byte %llu", *(const uint8_t *)n->bytes, is, at);
        break;
    case NOTE_ZERO:
        rule_differs("", "expected zeros in bytes %llu to %llu, got others", at,
                     at + (unsigned long long)n->count);
        break;
    case NOTE_CLOSED_PAGE:
        rule_differs("", "expected byte %llu to be closed, it can be read", at);
        break;
    default:
        break;
    }
}

/* Reports a check that failed. */
static const char *looked(const struct judged *m, unsigned i, struct note told, uint64_t got) {
    const char *broken = rule_broken(told.rule);
    told.memory = m->side[i].view.memory;
    if (broken != NULL) {
        tell(&told, got);
        note(told);
    }
    return broken;
}

/* ---- Statuses ---------------------------------------------------------------------------------
 */

static const char *status_differs(const char *rule, enum subject_status got, unsigned expected) {
    char names[160] = "";
    const bool most = __builtin_popcount(expected) > (int)SUBJECT_STATUS_COUNT / 2;
    const unsigned listed = most ? ~expected : expected;
    for (unsigned status = 0; status < SUBJECT_STATUS_COUNT; status++) {
        if (listed >> status & 1) {
            size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%s", used == 0 ? "" : " or ",
                     call_status_name((enum subject_status)status));
        }
    }
    return rule_differs(rule, "expected %s%s, got %s", most ? "anything but " : "", names,
                        call_status_name(got));
}

/* lenient: any error is as good as those expected. */
static const char *status_in(enum subject_status got, unsigned expected, bool lenient,
                             const char *rule) {
    note((struct note){
        .kind = NOTE_STATUS, .rule = rule, .must = lenient ? expected | ALL_ERRORS : expected});
    if ((unsigned)got >= SUBJECT_STATUS_COUNT) {
        return rule_differs(rule, "got %d, which is no status", (int)got);
    }
    if (expected >> got & 1) {
        return NULL;
    }
    /* Success in place of an error, or the reverse, ends the program: the model is elsewhere now.
     */
    return got != SUBJECT_OK && lenient ? NULL : status_differs(rule, got, expected);
}

static bool names_errors(const struct sequence *q) {
    return q->memory == NULL || (q->memory->promises & SUBJECT_NAMES_ERRORS);
}

const char *oracle_status_in(const struct sequence *q, enum subject_status got, unsigned expected,
                             const char *rule) {
    const bool has_error = (expected & ALL_ERRORS) != 0;
    return status_in(got, expected, has_error && (!names_errors(q) || !rule_is_on(rule)), rule);
}

const char *oracle_status_limit(const struct sequence *q, enum subject_status got,
                                unsigned expected, const char *rule) {
    const unsigned limit = 1u << SUBJECT_LIMIT;
    if (!(q->memory->promises & SUBJECT_TELLS_LIMIT) || !rule_is_on(rule)) {
        return oracle_status_in(q, got, expected | limit, rule);
    }
    if (!names_errors(q) && !(expected & limit)) {
        expected |= ALL_ERRORS & ~limit;
    }
    return status_in(got, expected, false, rule);
}

const char *oracle_answer(uint64_t got, uint64_t must, const char *rule) {
    note((struct note){.kind = NOTE_ANSWER, .rule = rule, .must = must});
    return got == must ? NULL
                       : rule_differs(rule, "expected %llu, got %llu", (unsigned long long)must,
                                      (unsigned long long)got);
}

const char *oracle_status(const struct sequence *q, enum subject_status got,
                          enum subject_status expected, const char *rule) {
    return oracle_status_in(q, got, 1u << expected, rule);
}

/* ---- State ------------------------------------------------------------------------------------
 */

/* R10: memories that must not move. */
static bool must_stay(const struct judged *m, unsigned i) {
    const struct subject_strategy *strategy = m->side[i].strategy;
    return (m->model.style.is_static && !strategy->one_style) || m->model.type.shared ||
           strategy->stable_base || m->side[i].pins > 0;
}

static bool is_copy(const char *rule) {
    return strcmp(rule, "R13-copy") == 0;
}

/* rule: the one that a difference breaks; the type and style of a copy are R13's. */
static const char *state_of_type(const struct judged *judged, unsigned i, const char *rule) {
    const struct memory_view *view = &judged->side[i].view;
    const struct model_memory *m = &judged->model;
    const char *broken = NULL;
    if (view->has_type &&
        (view->type.min_pages != m->type.min_pages || view->type.max_pages != m->type.max_pages ||
         view->type.shared != m->type.shared)) {
        broken = looked(judged, i,
                        (struct note){.kind = NOTE_TYPE,
                                      .rule = is_copy(rule) ? "R13-copy-type" : "R12-type",
                                      .must = m->type.min_pages,
                                      .at = m->type.max_pages,
                                      .count = m->type.shared},
                        view->type.min_pages);
    }
    if (broken == NULL && view->has_style &&
        (view->style.is_static != m->style.is_static ||
         (view->style.is_static && view->style.bound_pages != m->style.bound_pages) ||
         view->style.guard_bytes != m->style.guard_bytes)) {
        broken = looked(judged, i,
                        (struct note){.kind = NOTE_OTHER,
                                      .rule = is_copy(rule) ? "R13-copy-style" : "R3-style"},
                        0);
    }
    if (broken == NULL && view->has_rung && view->rung != judged->rung) {
        broken = looked(judged, i, (struct note){.kind = NOTE_OTHER, .rule = "R43-rung"}, 0);
    }
    if (broken == NULL && view->has_waiters && view->waiters != 0) {
        broken = looked(judged, i, (struct note){.kind = NOTE_WAITERS, .rule = "R27-queue-life"},
                        0); /* nobody waits between two operations */
    }
    return broken;
}

const char *oracle_state(const struct sequence *q, struct judged *m, unsigned i, const char *rule) {
    struct judged_side *side = &m->side[i];
    const struct memory_view *view = &side->view;
    const uint64_t bytes = model_bytes(&m->model);
    const char *broken = NULL;
    (void)q;
    if (view->size_pages != m->model.type.min_pages) {
        const char *size_rule = m->model.type.min_pages == SUBJECT_PAGES_MAX ? "R9-wide-lengths"
                                : view->handles_agree                        ? rule
                                                                             : "R14-clone";
        broken =
            looked(m, i,
                   (struct note){
                       .kind = NOTE_SIZE_PAGES, .rule = size_rule, .must = m->model.type.min_pages},
                   view->size_pages);
    }
    if (broken == NULL && view->size_bytes != bytes) {
        broken = looked(
            m, i, (struct note){.kind = NOTE_SIZE_BYTES, .rule = "R9-wide-lengths", .must = bytes},
            view->size_bytes);
    }
    if (view->peek != NULL) { /* no record, no base */
        return broken != NULL ? broken : state_of_type(m, i, rule);
    }
    if (broken == NULL && m->caller_record && !side->strategy->partial &&
        view->record != &side->caller) {
        broken = looked(m, i, (struct note){.kind = NOTE_OTHER, .rule = "R11-record"}, 0);
    }
    if (broken == NULL && view->length_bytes != bytes) {
        broken =
            looked(m, i, (struct note){.kind = NOTE_RECORD, .rule = "R11-record", .must = bytes},
                   view->length_bytes);
    }
    if (broken == NULL && side->base != NULL && view->base != side->base && must_stay(m, i)) {
        broken = looked(
            m, i,
            (struct note){.kind = NOTE_BASE, .rule = side->pins > 0 ? "R42-moved" : "R10-base"}, 0);
    }
    const bool owned = bytes > 0 || (view->has_reservation && view->reserved_bytes > 0);
    if (broken == NULL && view->has_owner && !side->strategy->partial && owned &&
        (view->owner.record != view->record || view->owner.offset_bytes != 0 ||
         view->owner.length_bytes != bytes)) {
        broken = looked(m, i, (struct note){.kind = NOTE_OTHER, .rule = "R39-owner"}, 0);
    }
    side->base = view->base;
    return broken != NULL ? broken : state_of_type(m, i, rule);
}

/* ---- Bytes ------------------------------------------------------------------------------------
 */

/* Where the bytes [at, at + count) of a side are, at most a block, or a copy that the next call
 * overwrites. NULL if the subject refused to read them. */
static const uint8_t *peek(const struct judged_side *side, uint64_t at, uint64_t count) {
    return side->view.peek == NULL ? side->base + at
                                   : side->view.peek(side->view.memory, at, count);
}

static const char *block_differs(const struct judged *judged, unsigned i,
                                 const struct model_block *block, const char *rule) {
    const struct judged_side *side = &judged->side[i];
    const uint8_t *real =
        peek(side, (uint64_t)block->number * MODEL_BLOCK_BYTES, MODEL_BLOCK_BYTES);
    if (real != NULL && memcmp(real, block->bytes, MODEL_BLOCK_BYTES) == 0) {
        return NULL;
    }
    size_t first = 0; /* that differs: the program compares from there */
    while (real != NULL && real[first] == block->bytes[first]) {
        first++;
    }
    const size_t count = MODEL_BLOCK_BYTES - first < 16 ? MODEL_BLOCK_BYTES - first : 16;
    return looked(judged, i,
                  (struct note){.kind = NOTE_BYTES,
                                .rule = rule,
                                .at = (uint64_t)block->number * MODEL_BLOCK_BYTES + first,
                                .bytes = block->bytes + first,
                                .count = count},
                  real != NULL ? real[first] : 0);
}

const char *oracle_bytes(const struct sequence *q, struct judged *judged, unsigned i,
                         const char *rule) {
    const struct model_memory *m = &judged->model;
    if (q->unseen) {
        return NULL;
    }
    for (unsigned b = 0; b < m->blocks; b++) {
        const char *broken = block_differs(judged, i, &m->block[b], rule);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

const char *oracle_range(const struct sequence *q, struct judged *judged, unsigned i,
                         uint64_t start, uint64_t count, const char *rule) {
    const struct model_memory *m = &judged->model;
    if (q->unseen) {
        return NULL;
    }
    if (count == 0) {
        return NULL;
    }
    uint64_t first = start / MODEL_BLOCK_BYTES, last = (start + count - 1) / MODEL_BLOCK_BYTES;
    for (unsigned b = 0; b < m->blocks; b++) {
        if (m->block[b].number >= first && m->block[b].number <= last) {
            const char *broken = block_differs(judged, i, &m->block[b], rule);
            if (broken != NULL) {
                return broken;
            }
        }
    }
    return NULL;
}

static bool is_zero(const uint8_t *at, size_t bytes) {
    static const uint8_t zeros[MODEL_BLOCK_BYTES];
    return at != NULL && memcmp(at, zeros, bytes) == 0;
}

static bool model_knows(const struct model_memory *m, uint64_t number) {
    for (unsigned b = 0; b < m->blocks; b++) {
        if (m->block[b].number == number) {
            return true;
        }
    }
    return false;
}

/* Eight bytes at an edge. */
static bool edge_is_zero(const struct judged *judged, unsigned i, uint64_t at) {
    return model_knows(&judged->model, at / MODEL_BLOCK_BYTES) ||
           is_zero(peek(&judged->side[i], at, 8), 8);
}

const char *oracle_zero(const struct sequence *q, struct judged *judged, unsigned i, uint32_t from,
                        uint32_t to, const char *rule) {
    if (from >= to || q->unseen) {
        return NULL;
    }
    uint64_t start = from * SUBJECT_PAGE_BYTES, end = to * SUBJECT_PAGE_BYTES;
    for (unsigned n = 0; n < 2; n++) {
        const uint64_t edge = n == 0 ? start : end - 8;
        if (!edge_is_zero(judged, i, edge)) {
            return looked(judged, i,
                          (struct note){.kind = NOTE_ZERO, .rule = rule, .at = edge, .count = 8},
                          0);
        }
    }
    for (unsigned d = 0; d < q->dirties; d++) {
        uint64_t at = (uint64_t)q->dirty[d] * MODEL_BLOCK_BYTES;
        if (at >= start && at < end && !model_knows(&judged->model, q->dirty[d]) &&
            !is_zero(peek(&judged->side[i], at, MODEL_BLOCK_BYTES), MODEL_BLOCK_BYTES)) {
            return looked(
                judged, i,
                (struct note){
                    .kind = NOTE_ZERO, .rule = rule, .at = at, .count = MODEL_BLOCK_BYTES},
                0);
        }
    }
    return NULL;
}

/* ---- What is in memory -------------------------------------------------------------------------
 */

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The kernel takes the hint (from Linux 5.14 on), and nothing can be swapped out since. */
static bool can_tell_populated(void) {
    static enum { UNKNOWN, CAN, CANNOT } can;
    static _Alignas(65536) uint8_t page[65536];
    struct sysinfo machine;
    if (can == UNKNOWN) {
        const bool swaps = sysinfo(&machine) != 0 || machine.totalswap > 0;
        const bool takes = syscall(SYS_madvise, page, sizeof page, MADV_POPULATE_WRITE) == 0;
        can = takes && !swaps ? CAN : CANNOT;
    }
    return can == CAN;
}

const char *oracle_populated(const struct sequence *q, struct judged *m, unsigned i, uint32_t from,
                             uint32_t to, const char *rule) {
    enum { PAGES_MOST = 80, HOST_PAGES = PAGES_MOST * 16 };
    static unsigned char resident[HOST_PAGES];
    const struct judged_side *side = &m->side[i];
    if (!m->populate || !(q->memory->promises & SUBJECT_POPULATES) || from >= to ||
        to - from > PAGES_MOST || !side->view.has_reservation || side->strategy->partial ||
        !can_tell_populated()) {
        return NULL;
    }
    uint8_t *at = (uint8_t *)(uintptr_t)side->base + from * SUBJECT_PAGE_BYTES;
    const uint64_t bytes = (to - from) * SUBJECT_PAGE_BYTES;
    if (mincore(at, bytes, resident) != 0) {
        return NULL;
    }
    bool all = true;
    for (uint64_t n = 0; n < bytes / q->host_page_bytes; n++) {
        all &= resident[n] & 1;
    }
    return all ? NULL : looked(m, i, (struct note){.kind = NOTE_OTHER, .rule = rule}, 0);
}

/* ---- The guard --------------------------------------------------------------------------------
 */

/* Maps the page as a first read would. Takes 0.4 us whether the page is readable or not. */
static bool page_populates(const void *at) {
    static uintptr_t page;
    if (page == 0) {
        page = (uintptr_t)sysconf(_SC_PAGESIZE);
    }
    return syscall(SYS_madvise, (uintptr_t)at / page * page, page, MADV_POPULATE_READ) == 0;
}

/* For kernels before 5.14. rt_sigprocmask reads its new mask before it looks at `how`: EFAULT, or
 * EINVAL; 0.3 us, but 3 us and more where the page is closed, since the kernel itself faults. */
static bool mask_reads(const void *at) {
    enum { NO_SUCH_HOW = 99, MASK_BYTES = 8 };
    return syscall(SYS_rt_sigprocmask, NO_SUCH_HOW, at, NULL, MASK_BYTES) == 0 || errno != EFAULT;
}

bool oracle_readable(const void *at) {
    static enum { UNKNOWN, POPULATE, MASK } way;
    if (way == UNKNOWN) {
        way = page_populates(&way) ? POPULATE : MASK;
    }
    return way == POPULATE ? page_populates(at) : mask_reads(at);
}

/* What must be behind the base (R3); nothing where a subject has a style of its own. */
static uint64_t reservation_min(const struct model_memory *m,
                                const struct subject_strategy *strategy) {
    /* a strategy that does not trap needs no guard */
    const uint64_t guard_bytes = strategy->traps ? m->style.guard_bytes : 0;
    if (strategy->one_style) {
        return 0;
    }
    if (m->style.is_static) {
        return m->style.bound_pages * SUBJECT_PAGE_BYTES + guard_bytes;
    }
    uint64_t pages = m->type.shared ? m->type.max_pages : m->type.min_pages;
    return pages * SUBJECT_PAGE_BYTES + guard_bytes;
}

/* The most bytes that may be reserved if less than the maximum was requested: those, and room to
 * align them. */
static uint64_t reservation_max(const struct judged *judged, unsigned i) {
    enum { ALIGNMENT_BYTES = 4 << 20 };
    const struct model_memory *m = &judged->model;
    const struct subject_strategy *strategy = judged->side[i].strategy;
    uint32_t pages = judged->reserve_pages_max;
    if (pages == 0 || judged->is_short || m->style.is_static || m->type.shared ||
        !strategy->stable_base || strategy->one_style || strategy->slot_pages != 0) {
        return UINT64_MAX;
    }
    pages = pages < m->type.min_pages ? m->type.min_pages : pages;
    return pages * SUBJECT_PAGE_BYTES + m->style.guard_bytes + ALIGNMENT_BYTES;
}

/* What a conversion must have reserved, it must ask for (R12). */
static const char *short_rule(const char *rule) {
    return strcmp(rule, "R12-to-shared") == 0 ? "R12-reservation" : "R3-reservation";
}

const char *oracle_guard(const struct sequence *q, struct judged *judged, unsigned i,
                         const char *rule) {
    const struct judged_side *side = &judged->side[i];
    const struct model_memory *m = &judged->model;
    uint64_t size = model_bytes(m), span;
    (void)q;
    if (side->strategy->partial || side->view.peek != NULL) {
        return NULL;
    }
    span = judged->is_short ? 0 : reservation_min(m, side->strategy);
    if (side->base == NULL) { /* nothing is mapped, which is right if nothing has to be */
        return side->strategy->traps && span > 0
                   ? looked(judged, i, (struct note){.kind = NOTE_OTHER, .rule = "R3-reservation"},
                            0)
                   : NULL;
    }
    if (side->view.has_reservation) {
        uint64_t behind = side->view.reserved_bytes - (uint64_t)(side->base - side->view.reserved);
        if (behind < span && rule_is_on("R3-reservation")) {
            /* is only the guard missing, or more? */
            const bool guard = side->strategy->traps && behind >= span - m->style.guard_bytes;
            return looked(judged, i,
                          (struct note){.kind = NOTE_OTHER,
                                        .rule = guard ? "R4-reservation" : short_rule(rule)},
                          0);
        }
        if (behind > reservation_max(judged, i)) {
            return looked(judged, i, (struct note){.kind = NOTE_OTHER, .rule = "R3-reservation"},
                          0);
        }
        span = behind;
    }
    if (!side->strategy->traps || span <= size) {
        return NULL;
    }
    uint64_t middle = size + (span - size) / 2 / MODEL_BLOCK_BYTES * MODEL_BLOCK_BYTES;
    const uint64_t most = judged->most_pages * SUBJECT_PAGE_BYTES;
    const uint64_t at[] = {size, span - 8, middle, most - 8};
    /* each is a system call: one is enough where all are in one page */
    const unsigned probes = span - size <= MODEL_BLOCK_BYTES ? 1
                            : most > size && most < span     ? 4
                                                             : 3;
    for (unsigned n = 0; n < probes; n++) {
        if (rule_is_on("R4-guard") && oracle_readable(side->base + at[n])) {
            return looked(judged, i,
                          (struct note){.kind = NOTE_CLOSED_PAGE, .rule = rule, .at = at[n]}, 0);
        }
    }
    return NULL;
}
