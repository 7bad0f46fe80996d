/* oracle.c: comparisons of a memory with its model. See oracle.h. */
#include "oracle.h"

#include "fault.h"
#include "rule.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of some systems that run newer kernels. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

/* ---- Statuses ---------------------------------------------------------------------------------
 */

const char *oracle_status_in(const struct exec *e, enum subject_status got, unsigned expected,
                             const char *rule) {
    const struct subject_memory *m = e->subject->memory;
    bool named = m == NULL || (m->promises & SUBJECT_NAMES_ERRORS);
    if ((unsigned)got >= SUBJECT_STATUS_COUNT) {
        return rule;
    }
    if (expected >> got & 1) {
        return NULL;
    }
    bool error_for_error = got != SUBJECT_OK && (expected & ~(1u << SUBJECT_OK)) != 0;
    /* Success for an error, or an error for success, cannot be looked past: the model is not there.
     */
    return error_for_error && (!named || !rule_is_on(rule)) ? NULL : rule;
}

const char *oracle_status(const struct exec *e, enum subject_status got,
                          enum subject_status expected, const char *rule) {
    return oracle_status_in(e, got, 1u << expected, rule);
}

/* ---- State ------------------------------------------------------------------------------------
 */

/* R10: who must stay where it is. */
static bool must_stay(const struct exec *e, const struct slot *s, unsigned i) {
    const struct model_memory *m = &s->body->model;
    const struct subject_strategy *strategy =
        &e->subject->memory->strategy[s->body->side[i].strategy];
    return (m->style.is_static && !strategy->one_style) || m->type.shared || strategy->stable_base;
}

static const char *state_of_type(struct exec *e, struct slot *s, unsigned i) {
    const struct subject_memory *subject = e->subject->memory;
    const struct model_memory *m = &s->body->model;
    const char *broken = NULL;
    if (subject->type != NULL) {
        struct subject_type type = subject->type(s->handle[i]);
        if (type.min_pages != m->type.min_pages || type.max_pages != m->type.max_pages ||
            type.shared != m->type.shared) {
            broken = rule_broken("R12-type");
        }
    }
    if (broken == NULL && subject->style != NULL) {
        struct subject_style style = subject->style(s->handle[i]);
        if (style.is_static != m->style.is_static ||
            (style.is_static && style.bound_pages != m->style.bound_pages) ||
            style.guard_bytes != m->style.guard_bytes) {
            broken = rule_broken("R3-style");
        }
    }
    if (broken == NULL && subject->waiters != NULL && subject->waiters(s->handle[i]) != 0) {
        broken = rule_broken("R27-queue-life"); /* nobody waits between two operations */
    }
    return broken;
}

/* All handles of the memory tell one size. */
static bool handles_agree(const struct exec *e, const struct slot *s, unsigned i) {
    const struct subject_memory *subject = e->subject->memory;
    bool agree = true;
    for (unsigned j = 0; j < OP_MEMORIES; j++) {
        const struct slot *other = &e->slot[j];
        agree &= other->body != s->body ||
                 subject->size_pages(other->handle[i]) == subject->size_pages(s->handle[i]);
    }
    return agree;
}

const char *oracle_state(struct exec *e, struct slot *s, unsigned i, const char *rule) {
    const struct subject_memory *subject = e->subject->memory;
    const struct model_memory *m = &s->body->model;
    struct side *side = &s->body->side[i];
    const char *broken = NULL;
    if (subject->size_pages(s->handle[i]) != m->type.min_pages) {
        broken = rule_broken(m->type.min_pages == SUBJECT_PAGES_MAX ? "R9-wide-lengths"
                             : handles_agree(e, s, i)               ? rule
                                                                    : "R14-clone");
    }
    if (broken == NULL && subject->size_bytes(s->handle[i]) != model_bytes(m)) {
        broken = rule_broken("R9-wide-lengths");
    }
    if (oracle_is_opaque(e)) {
        return broken != NULL ? broken : state_of_type(e, s, i);
    }
    const struct subject_record *record = subject->record(s->handle[i]);
    bool partial = subject->strategy[side->strategy].partial;
    if (broken == NULL && s->body->caller_record && !partial && record != &side->caller) {
        broken = rule_broken("R11-record");
    }
    if (broken == NULL &&
        atomic_load_explicit(&record->length_bytes, memory_order_relaxed) != model_bytes(m)) {
        broken = rule_broken("R11-record");
    }
    const uint8_t *base = atomic_load_explicit(&record->base, memory_order_relaxed);
    if (broken == NULL && side->base != NULL && base != side->base && must_stay(e, s, i)) {
        broken = rule_broken("R10-base");
    }
    side->base = base;
    return broken != NULL ? broken : state_of_type(e, s, i);
}

/* ---- Bytes ------------------------------------------------------------------------------------
 */

bool oracle_is_opaque(const struct exec *e) {
    return (e->subject->memory->promises & SUBJECT_OPAQUE) != 0;
}

const uint8_t *oracle_peek(const struct exec *e, const struct slot *s, unsigned i, uint64_t at,
                           uint64_t count) {
    static uint8_t copy[MODEL_BLOCK_BYTES];
    if (!oracle_is_opaque(e)) {
        return s->body->side[i].base + at;
    }
    enum subject_status got = e->subject->memory->read(s->handle[i], at, copy, count);
    return got == SUBJECT_OK ? copy : NULL;
}

static const char *block_differs(const struct exec *e, const struct slot *s, unsigned i,
                                 const struct model_block *block, const char *rule) {
    const uint8_t *real =
        oracle_peek(e, s, i, (uint64_t)block->number * MODEL_BLOCK_BYTES, MODEL_BLOCK_BYTES);
    bool same = real != NULL && memcmp(real, block->bytes, MODEL_BLOCK_BYTES) == 0;
    return same ? NULL : rule_broken(rule);
}

const char *oracle_bytes(struct exec *e, struct slot *s, unsigned i, const char *rule) {
    const struct model_memory *m = &s->body->model;
    for (unsigned b = 0; b < m->blocks; b++) {
        const char *broken = block_differs(e, s, i, &m->block[b], rule);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

const char *oracle_range(struct exec *e, struct slot *s, unsigned i, uint64_t start, uint64_t count,
                         const char *rule) {
    const struct model_memory *m = &s->body->model;
    if (count == 0) {
        return NULL;
    }
    uint64_t first = start / MODEL_BLOCK_BYTES, last = (start + count - 1) / MODEL_BLOCK_BYTES;
    for (unsigned b = 0; b < m->blocks; b++) {
        if (m->block[b].number >= first && m->block[b].number <= last) {
            const char *broken = block_differs(e, s, i, &m->block[b], rule);
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
static bool edge_is_zero(const struct exec *e, const struct slot *s, unsigned i, uint64_t at) {
    return model_knows(&s->body->model, at / MODEL_BLOCK_BYTES) ||
           is_zero(oracle_peek(e, s, i, at, 8), 8);
}

const char *oracle_zero(struct exec *e, struct slot *s, unsigned i, uint32_t from, uint32_t to,
                        const char *rule) {
    if (from >= to) {
        return NULL;
    }
    uint64_t start = from * SUBJECT_PAGE_BYTES, end = to * SUBJECT_PAGE_BYTES;
    if (!edge_is_zero(e, s, i, start) || !edge_is_zero(e, s, i, end - 8)) {
        return rule_broken(rule);
    }
    for (unsigned d = 0; d < e->dirties; d++) {
        uint64_t at = (uint64_t)e->dirty[d] * MODEL_BLOCK_BYTES;
        if (at >= start && at < end && !model_knows(&s->body->model, e->dirty[d]) &&
            !is_zero(oracle_peek(e, s, i, at, MODEL_BLOCK_BYTES), MODEL_BLOCK_BYTES)) {
            return rule_broken(rule);
        }
    }
    return NULL;
}

/* ---- The guard --------------------------------------------------------------------------------
 */

/* Asks for a page to be mapped for reading, as a first read would: 0.4 us, closed or not. */
static bool page_populates(const void *at) {
    uintptr_t page = fault_environment()->host_page_bytes;
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
    if (strategy->one_style) {
        return 0;
    }
    if (m->style.is_static) {
        return m->style.bound_pages * SUBJECT_PAGE_BYTES + m->style.guard_bytes;
    }
    uint64_t pages = m->type.shared ? m->type.max_pages : m->type.min_pages;
    return pages * SUBJECT_PAGE_BYTES + m->style.guard_bytes;
}

const char *oracle_guard(struct exec *e, struct slot *s, unsigned i) {
    const struct subject_memory *subject = e->subject->memory;
    const struct side *side = &s->body->side[i];
    const struct model_memory *m = &s->body->model;
    uint64_t size = model_bytes(m), span, bytes;
    const uint8_t *at;
    if (subject->strategy[side->strategy].partial || oracle_is_opaque(e)) {
        return NULL;
    }
    span = reservation_min(m, &subject->strategy[side->strategy]);
    if (side->base == NULL) { /* nothing is mapped: right where nothing has to be */
        return subject->strategy[side->strategy].traps && span > 0 ? rule_broken("R3-reservation")
                                                                   : NULL;
    }
    if (subject->reservation != NULL && subject->reservation(s->handle[i], &at, &bytes)) {
        uint64_t behind = bytes - (uint64_t)(side->base - at);
        if (behind < span && rule_is_on("R3-reservation")) {
            return "R3-reservation";
        }
        span = behind;
    }
    if (!subject->strategy[side->strategy].traps || span <= size) {
        return NULL;
    }
    uint64_t middle = size + (span - size) / 2 / MODEL_BLOCK_BYTES * MODEL_BLOCK_BYTES;
    if (oracle_readable(side->base + size) || oracle_readable(side->base + span - 8) ||
        oracle_readable(side->base + middle)) {
        return rule_broken("R4-guard");
    }
    return NULL;
}
