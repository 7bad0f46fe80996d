/* sequence_memory.c: the judge of calls one after another, for memories. See sequence.h.
 *
 * If one side fails in a permitted way (no memory, because a call was made to fail) and its twin
 * succeeds, the failed side is checked to be unchanged and then dropped. The twin and the model go
 * on. */
#include "note.h"
#include "oracle.h"
#include "rule.h"
#include "sequence.h"

#include <string.h>
#include <sys/mman.h>

#define BIT STATUS_BIT
#define WANT (q->want)

enum {
    SURE_PAGES = 16, /* this many must succeed while no call fails */
    SURE_GROWTH_PAGES = 64,
    SURE_CAPACITY_PAGES = 1024,
    SURE_GUARD_BYTES = 64 << 20, /* guards above this may not fit into the address space twice */
    SEGMENT_BYTES_MAX = 2 * MODEL_BLOCK_BYTES,
    SEGMENT_BLOCKS_LEFT = 40
};

void sequence_begin(struct sequence *q, const struct subject *subject, uint64_t host_page_bytes) {
    q->memory = subject->memory;
    q->mailbox = subject->mailbox;
    q->host_page_bytes = host_page_bytes;
    q->crash_rule = NULL;
    q->dirties = 0;
    q->unseen = false;
    q->budget_max = q->budget_used = 0;
    q->want = STATUS_WANT;
}

/* Remembers where bytes were written: an earlier tenant's bytes would show there. */
void sequence_wrote(struct sequence *q, uint64_t start, uint64_t count) {
    enum { DIRTY_MAX = sizeof q->dirty / sizeof q->dirty[0] };
    if (count == 0) {
        return;
    }
    uint64_t ends[2] = {start / MODEL_BLOCK_BYTES, (start + count - 1) / MODEL_BLOCK_BYTES};
    for (unsigned n = 0; n < 2; n++) {
        unsigned d = 0;
        while (d < q->dirties && q->dirty[d] != ends[n]) {
            d++;
        }
        if (d == q->dirties && d < DIRTY_MAX) {
            q->dirty[q->dirties++] = (uint32_t)ends[n];
        }
    }
}

/* What a partial strategy may answer to the functions that subject.h names. */
static unsigned left_out(const struct judged *m, unsigned i) {
    return m->side[i].strategy->partial ? BIT(UNSUPPORTED) : 0;
}

/* After an operation that may have changed anything: compares the side with the model. */
static const char *side_check(struct sequence *q, struct judged *m, unsigned i, const char *rule) {
    const char *broken = oracle_state(q, m, i, rule);
    return broken != NULL ? broken : oracle_bytes(q, m, i, rule);
}

/* The same for a side whose call failed under a fault: nothing may have changed. */
static const char *failed_check(struct sequence *q, struct judged *m, unsigned i,
                                const char *rule) {
    const char *broken = side_check(q, m, i, rule);
    return broken != NULL ? broken : oracle_guard(q, m, i, rule); /* whole before the failure */
}

/* ---- Budget, rungs, pins (R40, R42, R43) --------------------------------------------------------
 */

/* True if this many more bytes would exceed the budget. */
static bool passes_budget(const struct sequence *q, bool budgeted, uint64_t bytes) {
    return budgeted && bytes > 0 &&
           (q->budget_used > q->budget_max || bytes > q->budget_max - q->budget_used);
}

const char *sequence_budget(const struct sequence *q, uint64_t used) {
    if (used == q->budget_used) {
        return NULL;
    }
    note((struct note){.kind = NOTE_BUDGET, .rule = "R40-budget", .must = q->budget_used});
    return rule_differs("R40-budget", "expected %llu bytes of the budget in use, got %llu",
                        (unsigned long long)q->budget_used, (unsigned long long)used);
}

enum rung { RUNG_ASKED, RUNG_SHORT_GUARD, RUNG_DYNAMIC, RUNG_SHORT };

/* The longest guard from the first rung on. */
static uint64_t short_guard_bytes(const struct creation *c) {
    return c->config.style == SUBJECT_STYLE_USUAL ? 65536 : c->config.dynamic_guard_bytes;
}

/* A guard with the address space that may be reserved beyond what was asked for (R3): a small guard
 * may be there twice. */
static uint64_t guard_at_most(uint64_t guard_bytes) {
    return guard_bytes + (guard_bytes < SUBJECT_PAGE_BYTES ? guard_bytes : SUBJECT_PAGE_BYTES);
}

unsigned sequence_first_rung(const struct creation *c, const struct subject_strategy *strategy,
                             uint64_t space_bytes) {
    for (enum rung rung = RUNG_ASKED; rung <= c->config.fall_back; rung++) {
        struct creation less = *c;
        uint64_t guard_bytes = c->style.guard_bytes;
        if (rung >= RUNG_SHORT_GUARD && guard_bytes > short_guard_bytes(c)) {
            guard_bytes = short_guard_bytes(c);
        }
        less.style.is_static = c->style.is_static && rung < RUNG_DYNAMIC;
        uint64_t pages = rung == RUNG_SHORT ? 0 : sequence_capacity(&less, strategy);
        if (pages < c->config.type.min_pages) {
            pages = c->config.type.min_pages;
        }
        if (!c->config.huge_pages &&
            pages * SUBJECT_PAGE_BYTES + guard_at_most(guard_bytes) <= space_bytes) {
            return rung;
        }
    }
    return c->config.fall_back + 1;
}

uint32_t sequence_halved(const struct creation *c, const struct subject_strategy *strategy,
                         uint64_t space_bytes) {
    struct creation less = *c;
    less.style.is_static = false;
    const uint64_t guard_bytes = guard_at_most(short_guard_bytes(c));
    const uint32_t most = sequence_capacity(&less, strategy);
    uint32_t pages = SUBJECT_PAGES_MAX;
    while (pages > 0 && !c->config.huge_pages &&
           (pages < most ? pages : most) * SUBJECT_PAGE_BYTES + guard_bytes > space_bytes) {
        pages /= 2;
    }
    pages = pages < most ? pages : most;
    return c->config.huge_pages || pages < c->config.type.min_pages ? c->config.type.min_pages
                                                                    : pages;
}

const char *sequence_rung(struct sequence *q, struct creation *c, struct judged *m, unsigned rung,
                          const struct subject_style *told, bool failed, unsigned enough,
                          uint32_t halved) {
    const struct subject_style *asked = &c->style;
    const uint64_t guard_bytes = short_guard_bytes(c);
    m->is_short = rung == RUNG_SHORT;
    m->rung = rung;
    (void)q;
    enough = enough < c->config.fall_back ? enough : c->config.fall_back;
    if (rung > enough || (rung > 0 && !failed && c->sure)) {
        return rule_differs("R43-rung", "expected at most rung %u, got %u", enough, rung);
    }
    if (rung == 0) {
        bool as_asked = told->is_static == asked->is_static &&
                        told->guard_bytes == asked->guard_bytes &&
                        told->bound_pages == asked->bound_pages;
        return as_asked || !failed
                   ? NULL
                   : rule_differs("R43-rung", "the style is not as asked, and the rung says it is");
    }
    bool right = told->guard_bytes ==
                     (asked->guard_bytes < guard_bytes ? asked->guard_bytes : guard_bytes) &&
                 told->is_static == (asked->is_static && rung < RUNG_DYNAMIC) &&
                 told->bound_pages == (told->is_static ? asked->bound_pages : 0);
    c->style = *told;
    if (rung == RUNG_SHORT) {
        c->config.reserve_pages_max = halved; /* more is luck */
    }
    return right ? NULL : rule_differs("R43-style", "the style is not the one of rung %u", rung);
}

const char *sequence_gave_up(const struct creation *c, const struct subject_strategy *strategy,
                             enum subject_status got) {
    return got != SUBJECT_OK && got != SUBJECT_REFUSED && c->config.fall_back > 0 &&
                   strategy->slot_pages == 0 && c->sure
               ? rule_differs("R43-gave-up", "expected a memory with less address space")
               : NULL;
}

const char *sequence_pinned(const struct sequence *q, struct judged *m, unsigned i,
                            const struct call *c, enum subject_status got, const uint8_t *bytes) {
    const struct judged_side *side = &m->side[i];
    unsigned expected = model_within(&m->model, c->at, c->count) ? BIT(OK) : BIT(OUT_OF_BOUNDS);
    expected |= left_out(m, i) | (c->failed ? WANT : 0);
    const char *broken = oracle_status_in(q, got, expected, "R42-pin");
    if (broken == NULL && got == SUBJECT_OK &&
        (uintptr_t)bytes != (uintptr_t)side->base + (uintptr_t)c->at) {
        broken = rule_differs("R42-pin", "the pinned part is not where the memory is");
    }
    return broken;
}

/* What else a growth may answer if a part is pinned and the memory would have to move. Where its
 * reservation, as the subject tells it, has room for so many pages, it would not. */
static unsigned pinned_growth(const struct judged *m, unsigned i, uint64_t pages) {
    const struct judged_side *side = &m->side[i];
    const uint64_t bytes = pages * SUBJECT_PAGE_BYTES + guard_at_most(m->model.style.guard_bytes);
    const bool room =
        side->view.has_reservation && side->base != NULL &&
        side->view.reserved_bytes - (uint64_t)(side->base - side->view.reserved) >= bytes;
    const bool stays =
        m->model.style.is_static || m->model.type.shared || side->strategy->stable_base || room;
    return side->pins > 0 && !stays ? BIT(PINNED) : 0;
}

/* ---- Create -----------------------------------------------------------------------------------
 */

uint32_t sequence_capacity(const struct creation *c, const struct subject_strategy *strategy) {
    const struct subject_memory_config *config = &c->config;
    uint32_t max =
        config->type.max_pages < SUBJECT_PAGES_MAX ? config->type.max_pages : SUBJECT_PAGES_MAX;
    if (c->style.is_static) {
        return c->style.bound_pages;
    }
    if (config->type.shared) {
        return max;
    }
    if (!strategy->stable_base) {
        return config->type.min_pages;
    }
    uint32_t reserve = config->reserve_pages_max;
    return reserve != 0 && reserve < max ? reserve : max;
}

/* R1: a size above 65,536 pages exceeds a limit; a type that contradicts itself is invalid. */
static unsigned type_errors(const struct sequence *q, const struct subject_type *type) {
    const bool has_max = type->max_pages != SUBJECT_NO_MAXIMUM;
    const bool large =
        type->min_pages > SUBJECT_PAGES_MAX || (has_max && type->max_pages > SUBJECT_PAGES_MAX);
    const bool odd = (has_max && type->max_pages < type->min_pages) || (type->shared && !has_max);
    if (!(q->memory->promises & SUBJECT_ALIGNED_FIRST)) { /* either will do for both */
        return large || odd ? BIT(LIMIT) | BIT(INVALID) : 0;
    }
    return (large ? BIT(LIMIT) : 0) | (odd ? BIT(INVALID) : 0);
}

void sequence_request(const struct sequence *q, struct creation *c) {
    const struct subject_memory_config *config = &c->config;
    bool given = config->style == SUBJECT_STYLE_STATIC || config->style == SUBJECT_STYLE_DYNAMIC;
    switch (config->style) {
    case SUBJECT_STYLE_TUNED:
        c->style = model_style(&config->type, config->bound_pages, config->static_guard_bytes,
                               config->dynamic_guard_bytes);
        break;
    case SUBJECT_STYLE_STATIC:
        c->style = (struct subject_style){true, config->bound_pages, config->static_guard_bytes};
        break;
    case SUBJECT_STYLE_DYNAMIC:
        c->style = (struct subject_style){false, 0, config->dynamic_guard_bytes};
        break;
    case SUBJECT_STYLE_USUAL:
        c->style = model_style(&config->type, 65536, UINT64_C(2) << 30, 65536);
        break;
    }
    bool odd = c->style.guard_bytes % q->host_page_bytes != 0;
    bool bound = c->style.is_static && (c->style.bound_pages > SUBJECT_PAGES_MAX ||
                                        c->style.bound_pages < config->type.min_pages);
    c->errors = type_errors(q, &config->type);
    c->style_errors = given && (odd || bound) ? BIT(INVALID) : 0;
    c->maybe = !given && (odd || bound) ? BIT(INVALID) : 0;
    if (c->style.guard_bytes > UINT64_C(1) << 40) {
        c->maybe |= BIT(INVALID); /* larger than any address space */
    }
}

const char *sequence_created(struct sequence *q, struct creation *c,
                             const struct subject_strategy *strategy, enum subject_status got,
                             bool failed) {
    uint64_t capacity = sequence_capacity(c, strategy);
    c->sure = strategy->slot_pages == 0 && c->config.type.min_pages <= SURE_PAGES &&
              capacity <= SURE_CAPACITY_PAGES && c->style.guard_bytes <= SURE_GUARD_BYTES;
    const bool sure = c->sure && !failed, budgeted = c->config.budgeted && !strategy->partial;
    const uint64_t bytes = c->config.type.min_pages * SUBJECT_PAGE_BYTES;
    const bool style_counts = !strategy->partial && !strategy->one_style;
    unsigned errors = c->errors | (style_counts ? c->style_errors : 0);
    if (c->config.type.shared && !strategy->shareable) {
        errors |= BIT(UNSUPPORTED);
    }
    unsigned maybe = c->maybe | (sure ? 0 : WANT) | (style_counts ? 0 : c->style_errors);
    if (strategy->guard_bytes_max != 0 && c->style.guard_bytes > strategy->guard_bytes_max) {
        maybe |= BIT(INVALID);
    }
    if (passes_budget(q, budgeted, bytes)) {
        return oracle_status_in(q, got, errors | maybe | BIT(REFUSED), "R40-create");
    }
    q->budget_used += budgeted && got == SUBJECT_OK ? bytes : 0;
    return oracle_status_in(q, got, (errors != 0 ? errors : BIT(OK)) | maybe,
                            got == SUBJECT_REFUSED    ? "R40-create"
                            : c->config.image != NULL ? "R2-create"
                                                      : "R1-create");
}

void sequence_new(struct sequence *q, struct judged *m, const struct creation *c) {
    m->populate = c->config.populate;
    m->huge_pages = c->config.huge_pages;
    m->related = m->failed = false;
    m->reserve_pages_max = c->config.reserve_pages_max;
    m->budgeted = c->config.budgeted;
    model_create(&m->model, &c->config.type, &c->style, c->config.image_bytes);
    m->most_pages = c->config.type.min_pages;
    sequence_wrote(q, 0, c->config.image_bytes);
}

const char *sequence_fresh(struct sequence *q, struct judged *m, unsigned i) {
    bool reused = m->side[i].strategy->slot_pages != 0;
    q->crash_rule = reused ? "R15" : "R2"; /* the bytes compared here must be accessible */
    const char *broken = oracle_state(q, m, i, "R2-fresh-size");
    if (broken == NULL) { /* before anything is looked at */
        broken = oracle_populated(q, m, i, 0, m->model.type.min_pages, "R2-populated");
    }
    if (broken == NULL) {
        broken = oracle_zero(q, m, i, 0, m->model.type.min_pages,
                             reused ? "R15-reuse" : "R2-fresh-zero");
    }
    if (broken == NULL) {
        broken = oracle_bytes(q, m, i, "R2-fresh-image");
    }
    broken =
        broken != NULL ? broken : oracle_guard(q, m, i, reused ? "R15-protections" : "R4-guard");
    q->crash_rule = NULL;
    return broken;
}

/* ---- Grow -------------------------------------------------------------------------------------
 */

uint64_t sequence_room(const struct judged *m, unsigned i) {
    const struct subject_strategy *strategy = m->side[i].strategy;
    uint64_t room = SUBJECT_PAGES_MAX;
    if (m->model.style.is_static && !strategy->one_style) {
        room = m->model.style.bound_pages;
    } else if (strategy->stable_base && !m->model.type.shared && m->reserve_pages_max != 0) {
        room = m->reserve_pages_max;
    } else if (!strategy->stable_base && m->model.style.guard_bytes > SURE_GUARD_BYTES) {
        room = m->model.type.min_pages;
    }
    if (m->is_short && m->reserve_pages_max < room && /* its first pages, perhaps none */
        (m->model.type.shared || strategy->stable_base)) {
        room = m->reserve_pages_max;
    }
    return strategy->slot_pages != 0 && strategy->slot_pages < room ? strategy->slot_pages : room;
}

/* What a growth of one side may answer, R5 to R7. */
static const char *grow_status(const struct sequence *q, const struct judged *m, unsigned i,
                               const struct call *c) {
    uint64_t pages = (uint64_t)m->model.type.min_pages + c->pages;
    if (model_grow_passes(&m->model, c->pages)) {
        const bool tells = q->memory->promises & SUBJECT_TELLS_LIMIT;
        return oracle_status_limit(q, c->status, BIT(LIMIT) | (tells ? 0 : WANT), "R5-grow-limit");
    }
    if (c->pages == 0) {
        return oracle_status(q, c->status, SUBJECT_OK, "R7-grow-zero");
    }
    const unsigned pinned = pinned_growth(m, i, pages);
    if (passes_budget(q, m->budgeted && !m->side[i].strategy->partial,
                      c->pages * SUBJECT_PAGE_BYTES)) {
        return oracle_status_in(q, c->status, BIT(REFUSED) | pinned, "R40-grow");
    }
    const char *broken = oracle_status_limit(q, c->status, BIT(OK) | WANT | pinned,
                                             c->status == SUBJECT_REFUSED  ? "R40-grow"
                                             : c->status == SUBJECT_PINNED ? "R42-grow"
                                                                           : "R5-grow-limit");
    bool sure = pinned == 0 && !c->failed && (q->memory->promises & SUBJECT_GROWS_WITHIN) &&
                pages <= sequence_room(m, i) && pages <= SURE_GROWTH_PAGES;
    const char *refused = m->failed ? "R6-retry-refused" : "R5-grow-refused";
    return broken == NULL && sure ? oracle_status(q, c->status, SUBJECT_OK, refused) : broken;
}

static const char *grow_answered(struct sequence *q, struct judged *m, unsigned i,
                                 const struct call *c) {
    const char *broken = grow_status(q, m, i, c);
    if (!model_grow_passes(&m->model, c->pages) &&
        m->most_pages < m->model.type.min_pages + c->pages) {
        m->most_pages = m->model.type.min_pages + c->pages;
    }
    m->side[i].did = c->status == SUBJECT_OK;
    m->side[i].failed = c->failed;
    if (m->budgeted && m->side[i].did && !m->side[i].strategy->partial) {
        q->budget_used += c->pages * SUBJECT_PAGE_BYTES;
    }
    if (broken == NULL && m->side[i].did) {
        broken = oracle_answer(c->answer, m->model.type.min_pages,
                               c->pages == 0 ? "R7-grow-zero" : "R5-grow-result");
    }
    if (broken == NULL && !m->side[i].did) {
        m->failed = true;
        broken = failed_check(q, m, i, "R6-grow-atomic");
        const unsigned strict = SUBJECT_NAMES_ERRORS | SUBJECT_OPAQUE;
        const bool told = c->answer != (uint32_t)CALL_UNSET && /* it is set only on OK */
                          (q->memory->promises & strict) == SUBJECT_NAMES_ERRORS;
        broken = broken == NULL && told ? "R5-told" : broken;
    }
    return broken;
}

static const char *grown_check(struct sequence *q, struct judged *m, unsigned i,
                               uint32_t old_pages) {
    const char *broken = oracle_state(q, m, i, "R5-grow-size");
    if (broken == NULL && !m->side[i].failed) {
        broken = oracle_populated(q, m, i, old_pages, m->model.type.min_pages, "R8-populated");
    }
    if (broken == NULL) {
        broken = oracle_bytes(q, m, i, "R8-grow-bytes");
    }
    if (broken == NULL) {
        broken = oracle_zero(q, m, i, old_pages, m->model.type.min_pages,
                             m->side[i].strategy->slot_pages != 0 ? "R15-reuse" : "R8-grow-zero");
    }
    return broken != NULL ? broken : oracle_guard(q, m, i, "R4-guard");
}

/* One of the sides succeeded. */
static bool anybody_did(const struct judged *m) {
    bool any = false;
    EACH_SIDE(m, i) {
        any |= m->side[i].did;
    }
    return any;
}

static const char *grow_over(struct sequence *q, struct judged *m, const struct call *c) {
    const uint32_t old = m->model.type.min_pages;
    q->crash_rule = NULL;
    if (!anybody_did(m)) {
        return NULL;
    }
    m->model.type.min_pages = old + c->pages;
    q->crash_rule = m->failed ? "R6" : "R8"; /* the bytes compared here must be accessible */
    EACH_SIDE(m, i) {
        const char *broken = m->side[i].did ? grown_check(q, m, i, old) : NULL;
        m->side[i].drop = !m->side[i].did;
        if (broken != NULL) {
            return broken;
        }
    }
    q->crash_rule = NULL;
    return NULL;
}

bool sequence_has_space(const struct judged *m, unsigned i, const struct call *c,
                        uint64_t space_bytes) {
    const uint64_t pages = (uint64_t)m->model.type.min_pages + c->pages;
    const uint64_t guard_bytes = m->model.style.guard_bytes;
    return c->code == OP_memory_grow && space_bytes > 0 && guard_bytes <= SURE_GUARD_BYTES &&
           !m->side[i].strategy->stable_base && m->side[i].view.has_reservation && !m->huge_pages &&
           pages * SUBJECT_PAGE_BYTES + guard_at_most(guard_bytes) <= space_bytes;
}

/* ---- Copy, clone, share, reset ----------------------------------------------------------------
 */

static const char *copy_answered(struct sequence *q, struct judged *m, unsigned i,
                                 const struct call *c) {
    bool sure = !c->failed && m->side[i].strategy->slot_pages == 0 &&
                m->model.style.guard_bytes <= SURE_GUARD_BYTES;
    unsigned expected = BIT(OK) | (sure ? 0 : WANT) | left_out(m, i);
    const bool budgeted = m->budgeted && !m->side[i].strategy->partial;
    const uint64_t bytes = model_bytes(&m->model);
    if (passes_budget(q, budgeted, bytes)) {
        expected = BIT(REFUSED);
    }
    q->budget_used += budgeted && c->status == SUBJECT_OK ? bytes : 0;
    const char *broken = oracle_status_in(
        q, c->status, expected,
        expected == BIT(REFUSED) || c->status == SUBJECT_REFUSED ? "R40-copy" : "R13-copy-refused");
    if (broken == NULL && c->status == SUBJECT_OK && c->made == NULL) {
        broken = "R13-copy";
    }
    return broken != NULL ? broken : failed_check(q, m, i, "R13-copy-source");
}

bool sequence_copy_begins(const struct judged *source, struct judged *made) {
    if (!model_copy(&source->model, &made->model)) {
        return false;
    }
    made->side[0].alive = made->side[1].alive = false;
    made->caller_record = made->failed = false;
    made->related = true;
    made->budgeted = source->budgeted;
    made->is_short = source->is_short;
    made->most_pages = source->model.type.min_pages;
    made->rung = source->rung;
    made->populate = source->populate;
    made->huge_pages = source->huge_pages;
    made->reserve_pages_max = source->reserve_pages_max;
    return true;
}

const char *sequence_copied(struct sequence *q, const struct judged *source, struct judged *made,
                            unsigned i) {
    const char *broken = oracle_state(q, made, i, "R13-copy");
    if (broken == NULL) {
        broken = oracle_populated(q, made, i, 0, made->model.type.min_pages, "R13-populated");
    }
    if (broken == NULL && made->side[i].view.peek == NULL &&
        made->side[i].base == source->side[i].base && made->model.type.min_pages > 0) {
        broken = "R13-copy-aliases";
        note((struct note){.kind = NOTE_OTHER, .rule = broken});
    }
    if (broken == NULL) {
        broken = oracle_bytes(q, made, i, "R13-copy");
    }
    if (broken == NULL) {
        broken = oracle_zero(q, made, i, 0, made->model.type.min_pages, "R13-copy");
    }
    return broken != NULL ? broken : oracle_guard(q, made, i, "R4-guard");
}

static const char *clone_answered(const struct sequence *q, const struct judged *m, unsigned i,
                                  const struct call *c) {
    if (!m->model.type.shared) {
        return oracle_status_in(q, c->status, BIT(NOT_SHARED) | left_out(m, i),
                                "R14-clone-unshared");
    }
    if (c->status == SUBJECT_OK && c->made == NULL) {
        return "R14-clone";
    }
    return oracle_status_in(q, c->status, BIT(OK) | left_out(m, i) | (c->failed ? WANT : 0),
                            "R14-clone");
}

const char *sequence_cloned(struct sequence *q, struct judged *m, unsigned i) {
    const struct judged_side *side = &m->side[i];
    return side->view.peek == NULL && side->view.base != side->base
               ? "R14-clone"
               : oracle_state(q, m, i, "R14-clone");
}

/* Which statuses a conversion may answer. */
static unsigned sharing_statuses(const struct sequence *q, const struct judged *m, unsigned i,
                                 bool failed) {
    const struct subject_type *type = &m->model.type;
    unsigned errors = 0;
    if (type->shared) {
        return BIT(OK) | left_out(m, i);
    }
    errors |= type->max_pages == SUBJECT_NO_MAXIMUM ? BIT(INVALID) : 0;
    errors |= m->side[i].strategy->shareable ? 0 : BIT(UNSUPPORTED);
    const bool narrow = !m->model.style.is_static && sequence_room(m, i) < type->max_pages;
    /* the subject says that its reservation ends before the maximum, so growth would have to move
     * it (R10) */
    const bool told = narrow && !m->is_short && m->reserve_pages_max != 0 &&
                      m->reserve_pages_max < type->max_pages &&
                      m->model.first_pages < type->max_pages && m->side[i].strategy->stable_base &&
                      (q->memory->promises & SUBJECT_GROWS_WITHIN);
    if (errors == 0 && told) {
        errors = BIT(NO_MEMORY) | (failed ? WANT : 0);
    }
    return left_out(m, i) | (errors != 0 ? errors : BIT(OK) | (narrow || failed ? WANT : 0));
}

static const char *to_shared_answered(struct sequence *q, struct judged *m, unsigned i,
                                      const struct call *c) {
    unsigned expected = sharing_statuses(q, m, i, c->failed);
    const char *broken = oracle_status_in(q, c->status, expected, "R12-to-shared");
    m->side[i].did = c->status == SUBJECT_OK;
    return broken == NULL && !m->side[i].did ? failed_check(q, m, i, "R12-to-shared") : broken;
}

static const char *to_shared_over(struct sequence *q, struct judged *m) {
    if (!anybody_did(m)) {
        return NULL;
    }
    m->model.type.shared = true;
    EACH_SIDE(m, i) {
        const char *broken = m->side[i].did ? failed_check(q, m, i, "R12-to-shared") : NULL;
        m->side[i].drop = !m->side[i].did;
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

static const char *reset_answered(struct sequence *q, struct judged *m, unsigned i,
                                  const struct call *c) {
    struct judged_side *side = &m->side[i];
    unsigned expected =
        m->model.type.shared ? BIT(UNSUPPORTED) : BIT(OK) | left_out(m, i) | (c->failed ? WANT : 0);
    const bool pinned = side->pins > 0 && !m->model.type.shared;
    side->did = c->status == SUBJECT_OK;
    side->refused = m->model.type.shared || c->status == SUBJECT_PINNED ||
                    (c->status == SUBJECT_UNSUPPORTED && side->strategy->partial);
    if (m->budgeted && side->did && !side->strategy->partial) {
        q->budget_used -= (m->model.type.min_pages - m->model.first_pages) * SUBJECT_PAGE_BYTES;
    }
    const char *broken = oracle_status_in(q, c->status, pinned ? BIT(PINNED) : expected,
                                          pinned ? "R42-reset" : "R15-reset-refused");
    return broken == NULL && side->refused ? side_check(q, m, i, "R15-reset-refused") : broken;
}

static const char *reset_check(struct sequence *q, struct judged *m, unsigned i) {
    const char *broken = oracle_state(q, m, i, "R15-reset");
    if (broken == NULL) {
        broken = oracle_populated(q, m, i, 0, m->model.type.min_pages, "R15-populated");
    }
    broken = broken != NULL ? broken : side_check(q, m, i, "R15-reset");
    if (broken == NULL) {
        broken = oracle_zero(q, m, i, 0, m->model.type.min_pages, "R15-reset");
    }
    return broken != NULL ? broken : oracle_guard(q, m, i, "R4-guard");
}

/* After a failed reset a memory can only be destroyed. */
static const char *reset_over(struct sequence *q, struct judged *m) {
    bool any = anybody_did(m);
    if (any) {
        model_reset(&m->model);
    }
    EACH_SIDE(m, i) {
        const char *broken = m->side[i].did ? reset_check(q, m, i) : NULL;
        m->side[i].drop = !m->side[i].did && (any || !m->side[i].refused);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

/* ---- Ranges -----------------------------------------------------------------------------------
 */

static bool is_atomic(uint8_t code) {
    return code == OP_memory_atomic_load || code == OP_memory_atomic_store ||
           code == OP_memory_atomic_rmw || code == OP_memory_atomic_cmpxchg;
}

/* Where both errors are true, a subject may promise which one it tells. */
static unsigned first_of(const struct sequence *q, unsigned errors) {
    bool first = (q->memory->promises & SUBJECT_ALIGNED_FIRST) && (errors & BIT(MISALIGNED));
    return first ? errors & ~BIT(OUT_OF_BOUNDS) : errors;
}

/* What a single access must answer. */
static unsigned access_statuses(const struct judged *m, const struct call *c) {
    bool known = c->width != 3;
    unsigned errors = known ? 0 : BIT(INVALID);
    if (known && is_atomic(c->code) && c->at % c->width != 0) {
        errors |= BIT(MISALIGNED);
    }
    if (known && !model_within(&m->model, c->at, c->width)) {
        errors |= BIT(OUT_OF_BOUNDS);
    }
    return errors != 0 ? errors : BIT(OK);
}

/* How many of the segments fit, in order. */
static size_t segments_fit(const struct model_memory *m, const struct call *c) {
    size_t fit = 0;
    while (fit < CALL_SEGMENTS &&
           model_within(m, c->active[fit].start, c->active[fit].segment.length_bytes)) {
        fit++;
    }
    return fit;
}

bool sequence_fits(const struct judged *judged, const struct call *c) {
    const struct model_memory *m = &judged->model;
    switch (c->code) {
    case OP_guest_load:
    case OP_guest_store:
        return model_within(m, c->at, c->width);
    case OP_memory_bulk_copy:
        return model_within(m, c->at, c->count) && model_within(m, c->from, c->count);
    case OP_memory_bulk_init:
        return model_within(m, c->at, c->count) && c->from <= c->segment->length_bytes &&
               c->count <= c->segment->length_bytes - c->from;
    case OP_memory_bulk_fill:
    case OP_memory_initialise:
    case OP_memory_read:
        return model_within(m, c->at, c->count);
    case OP_memory_segments:
        return segments_fit(m, c) == CALL_SEGMENTS;
    default:
        return access_statuses(judged, c) == BIT(OK);
    }
}

/* At most three blocks each, so that an earlier segment does not use up those of a later one. */
static bool segments_may(const struct model_memory *m, const struct call *c) {
    size_t fit = segments_fit(m, c);
    bool room = fit == 0 || (m->blocks <= SEGMENT_BLOCKS_LEFT &&
                             model_has_fresh_room((uint64_t)3 * CALL_SEGMENTS * MODEL_BLOCK_BYTES));
    for (size_t n = 0; n < fit; n++) {
        room &= c->active[n].segment.length_bytes <= SEGMENT_BYTES_MAX;
    }
    return room;
}

/* R19: the errors that the checks of a word permit; 0 if they pass. */
static unsigned word_errors(const struct judged *m, const struct call *c) {
    return (c->at % c->width != 0 ? BIT(MISALIGNED) : 0) |
           (model_within(&m->model, c->at, c->width) ? 0 : BIT(OUT_OF_BOUNDS));
}

/* How long a thread may really block. */
enum { SHORT_WAIT_NS = 20000 };

/* No other thread could wake a wait that blocks here; only its timeout can end it. */
static bool wait_may(const struct judged *m, const struct call *c) {
    return word_errors(m, c) != 0 || !m->model.type.shared || m->model.disabled ||
           (c->timeout_ns >= 0 && c->timeout_ns <= SHORT_WAIT_NS) ||
           model_load(&m->model, c->at, c->width) != c->expected;
}

bool sequence_may(const struct sequence *q, const struct judged *judged, const struct call *c) {
    const struct model_memory *m = &judged->model;
    (void)q;
    switch (c->code) {
    case OP_memory_store:
    case OP_memory_atomic_store:
    case OP_memory_atomic_rmw:
    case OP_memory_atomic_cmpxchg:
        return !sequence_fits(judged, c) || model_has_room(m, c->at, c->width);
    case OP_guest_load:
        return sequence_fits(judged, c);
    case OP_guest_store:
        return sequence_fits(judged, c) && model_has_room(m, c->at, c->width);
    case OP_memory_initialise:
        return !sequence_fits(judged, c) ||
               (c->count <= MODEL_PATTERN_BYTES && model_has_room(m, c->at, c->count));
    case OP_memory_bulk_copy:
    case OP_memory_bulk_fill:
    case OP_memory_bulk_init:
        return !sequence_fits(judged, c) || model_has_room(m, c->at, c->count);
    case OP_memory_segments:
        return segments_may(m, c);
    case OP_memory_read:
        return !sequence_fits(judged, c) || c->count <= CALL_ROOM_BYTES;
    case OP_memory_wait32:
    case OP_memory_wait64:
        return wait_may(judged, c);
    case OP_memory_reset:
        return model_has_fresh_room(m->image_bytes);
    default:
        return true;
    }
}

/* After a write to the model of [start, start + count): the sides have it too. */
static const char *written_check(struct sequence *q, struct judged *m, uint64_t start,
                                 uint64_t count, const char *rule) {
    sequence_wrote(q, start, count);
    EACH_SIDE(m, i) {
        const char *broken = oracle_range(q, m, i, start, count, rule);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

/* Two rules: that a range is checked before the first byte is written, and what the bytes are
 * afterwards. */
struct range_rules {
    const char *check, *atomic, *bytes;
};

static struct range_rules range_rules(uint8_t code) {
    switch (code) {
    case OP_memory_bulk_copy:
        return (struct range_rules){"R16-bulk-check", "R16-bulk-atomic", "R16-bulk-copy"};
    case OP_memory_bulk_fill:
        return (struct range_rules){"R16-bulk-check", "R16-bulk-atomic", "R16-bulk-fill"};
    case OP_memory_bulk_init:
        return (struct range_rules){"R16-bulk-check", "R16-bulk-atomic", "R16-bulk-init"};
    default:
        return (struct range_rules){"R17-init-check", "R17-init-atomic", "R17-init-bytes"};
    }
}

static const char *range_over(struct sequence *q, struct judged *judged, const struct call *c) {
    struct model_memory *m = &judged->model;
    const struct range_rules rules = range_rules(c->code);
    if (!sequence_fits(judged, c)) {
        return written_check(q, judged, 0, model_bytes(m), rules.atomic);
    }
    if (c->code == OP_memory_bulk_copy) {
        model_move(m, c->at, c->from, c->count);
    } else if (c->code == OP_memory_bulk_fill) {
        model_fill(m, c->at, (uint8_t)c->value, c->count);
    } else if (c->code == OP_memory_initialise) {
        model_write(m, c->at, c->data, c->count);
    } else if (c->count > 0) {
        model_write(m, c->at, (const uint8_t *)c->segment->data + c->from, c->count);
    }
    return written_check(q, judged, c->at, c->count, rules.bytes);
}

static const char *segments_answered(const struct sequence *q, const struct judged *m,
                                     const struct call *c) {
    size_t fit = segments_fit(&m->model, c);
    const char *broken = oracle_status(
        q, c->status, fit == CALL_SEGMENTS ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R17-segments");
    return broken == NULL ? oracle_answer(c->applied, fit, "R17-segments") : broken;
}

static const char *segments_over(struct sequence *q, struct judged *judged, const struct call *c) {
    struct model_memory *m = &judged->model;
    size_t fit = segments_fit(m, c);
    for (size_t n = 0; n < fit; n++) {
        const struct subject_segment *segment = &c->active[n].segment;
        model_write(m, c->active[n].start, segment->data, segment->length_bytes);
        sequence_wrote(q, c->active[n].start, segment->length_bytes);
    }
    return written_check(q, judged, 0, model_bytes(m), "R17-segments");
}

static const char *read_answered(const struct sequence *q, const struct judged *m,
                                 const struct call *c) {
    static uint8_t expected[CALL_ROOM_BYTES];
    bool fits = sequence_fits(m, c);
    const char *broken =
        oracle_status(q, c->status, fits ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R17-read-check");
    if (broken != NULL || !fits || c->count == 0) {
        return broken;
    }
    model_read(&m->model, c->at, expected, c->count);
    note(
        (struct note){.kind = NOTE_READ, .rule = "R17-read", .bytes = expected, .count = c->count});
    return memcmp(c->room, expected, c->count) != 0 ? "R17-read" : NULL;
}

static const char *access_answered(const struct sequence *q, const struct judged *m,
                                   const struct call *c) {
    const unsigned expected = first_of(q, access_statuses(m, c));
    const char *broken = oracle_status_in(q, c->status, expected, "R18-access");
    bool tells = c->code != OP_memory_store && c->code != OP_memory_atomic_store;
    if (broken != NULL || expected != BIT(OK) || !tells) {
        return broken;
    }
    bool update = c->code == OP_memory_atomic_rmw || c->code == OP_memory_atomic_cmpxchg;
    return oracle_answer(c->answer, model_load(&m->model, c->at, c->width),
                         update ? "R18-atomic" : "R18-load");
}

static const char *access_over(struct sequence *q, struct judged *judged, const struct call *c) {
    struct model_memory *m = &judged->model;
    if (access_statuses(judged, c) != BIT(OK)) {
        return NULL;
    }
    uint64_t before = model_load(m, c->at, c->width);
    const char *rule = "R18-atomic";
    if (c->code == OP_memory_atomic_rmw) {
        model_store(m, c->at, c->width, model_rmw(c->rmw, before, c->value));
    } else if (c->code == OP_memory_atomic_cmpxchg) {
        model_store(m, c->at, c->width,
                    before == model_wrap(c->expected, c->width) ? c->value : before);
    } else {
        model_store(m, c->at, c->width, c->value);
        rule = c->code == OP_guest_store ? "R11-record" : "R18-store";
    }
    return written_check(q, judged, c->at, c->width, rule);
}

/* ---- Wait and notify --------------------------------------------------------------------------
 */

/* A wrong status is reported under the rule that the status belongs to. */
static const char *wrong_status_rule(enum subject_status status, const char *rule) {
    switch (status) {
    case SUBJECT_TOO_MANY_WAITERS:
        return "R28-waiter-limit";
    case SUBJECT_DISABLED:
        return "R29-disable";
    case SUBJECT_MISALIGNED:
    case SUBJECT_OUT_OF_BOUNDS:
    case SUBJECT_NOT_SHARED:
        return "R19-checks";
    default:
        return rule;
    }
}

static const char *wait_answered(const struct sequence *q, const struct judged *m, unsigned i,
                                 const struct call *c) {
    unsigned errors = first_of(q, word_errors(m, c));
    unsigned result = 2;
    const char *rule = "R19-checks";
    if (errors == 0 && !m->model.type.shared) {
        errors = BIT(NOT_SHARED);
    } else if (errors == 0 && m->model.disabled) {
        errors = BIT(DISABLED);
        rule = "R29-disable";
    } else if (errors == 0) {
        result = model_load(&m->model, c->at, c->width) == c->expected ? 2 : 1;
        rule = result == 1 ? "R20-value" : "R23-timeout";
    }
    const unsigned expected = (errors != 0 ? errors : BIT(OK)) | left_out(m, i);
    const char *broken =
        oracle_status_in(q, c->status, expected, wrong_status_rule(c->status, rule));
    if (broken == NULL && c->status == SUBJECT_OK) { /* nobody notified since */
        broken = oracle_answer(c->answer, result, c->answer == 0 ? "R22-no-spurious" : rule);
    }
    const bool timed = !(q->memory->promises & SUBJECT_OPAQUE); /* else the call is made later */
    if (broken == NULL && errors == 0 && c->status == SUBJECT_OK && c->answer == 2 && timed &&
        c->timeout_ns > 0 && c->took_ns < (uint64_t)c->timeout_ns) {
        broken = "R23-timeout"; /* too early */
    }
    if (broken == NULL && m->side[i].view.has_waiters && m->side[i].view.waiters != 0) {
        broken = rule_differs("R28-waiters-left", "expected nobody to wait, got %u waiters",
                              m->side[i].view.waiters);
        note((struct note){.kind = NOTE_WAITERS, .rule = broken, .memory = m->side[i].view.memory});
    }
    return broken;
}

static const char *notify_answered(const struct sequence *q, const struct judged *m,
                                   const struct call *c) {
    unsigned errors = first_of(q, word_errors(m, c));
    const char *broken =
        oracle_status_in(q, c->status, errors != 0 ? errors : BIT(OK), "R19-checks");
    if (broken == NULL && errors == 0) { /* nobody waits, so none can have been woken */
        broken = oracle_answer(c->answer, 0, "R22-no-spurious");
    }
    return broken;
}

/* ---- Questions --------------------------------------------------------------------------------
 */

/* Bytes from the base to the reservation's end; `untold` if the subject does not say. */
static uint64_t bytes_behind(const struct judged_side *side, uint64_t untold) {
    return side->view.has_reservation && side->base != NULL
               ? side->view.reserved_bytes - (uint64_t)(side->base - side->view.reserved)
               : untold;
}

static const char *owner_answered(const struct judged *m, unsigned i, const struct call *c) {
    const struct judged_side *side = &m->side[i];
    uint64_t size = model_bytes(&m->model);
    if (side->strategy->partial || side->base == NULL) {
        return NULL;
    }
    /* as far as the subject says, these bytes are another memory's or nobody's */
    if (c->at >= bytes_behind(side, size)) {
        const bool known = side->view.has_reservation && c->yes && side->view.record != NULL;
        return known && c->owner.record == side->view.record ? "R39-owner-beyond" : NULL;
    }
    bool right = c->yes && c->owner.offset_bytes == c->at && c->owner.length_bytes == size &&
                 c->owner.record == side->view.record;
    return right ? NULL : c->at < size ? "R39-owner" : "R39-owner-guard";
}

static const char *probe(const struct judged *m, unsigned i, const struct call *c) {
    const struct judged_side *side = &m->side[i];
    const bool asked = !side->strategy->one_style; /* else its guard is its own */
    uint64_t size = model_bytes(&m->model);
    uint64_t bytes = bytes_behind(side, size + (asked ? m->model.style.guard_bytes : 0));
    struct note told = {.memory = side->view.memory, .at = c->at};
    if (c->at < size && !oracle_readable(side->base + c->at)) {
        told.kind = NOTE_OPEN_PAGE;
        told.rule = "R8-inaccessible";
        note(told);
        return told.rule;
    }
    if (c->at >= size && c->at < bytes && side->strategy->traps && side->base != NULL &&
        oracle_readable(side->base + c->at)) {
        told.kind = NOTE_CLOSED_PAGE;
        told.rule = "R4-guard";
        note(told);
        return told.rule;
    }
    return NULL;
}

/* ---- Any call ---------------------------------------------------------------------------------
 */

bool sequence_looks(uint8_t code) {
    switch (code) {
    case OP_memory_grow:
    case OP_memory_copy:
    case OP_memory_to_shared:
    case OP_memory_reset:
    case OP_memory_wait32:
    case OP_memory_wait64:
    case OP_memory_owner_of:
    case OP_memory_probe:
        return true;
    default:
        return false;
    }
}

const char *sequence_answered(struct sequence *q, struct judged *m, unsigned i,
                              const struct call *c) {
    switch (c->code) {
    case OP_memory_grow:
        return grow_answered(q, m, i, c);
    case OP_memory_copy:
        return copy_answered(q, m, i, c);
    case OP_memory_clone:
        return clone_answered(q, m, i, c);
    case OP_memory_to_shared:
        return to_shared_answered(q, m, i, c);
    case OP_memory_reset:
        return reset_answered(q, m, i, c);
    case OP_memory_load:
    case OP_memory_store:
    case OP_memory_atomic_load:
    case OP_memory_atomic_store:
    case OP_memory_atomic_rmw:
    case OP_memory_atomic_cmpxchg:
        return access_answered(q, m, c);
    case OP_guest_load:
        return oracle_answer(c->answer, model_load(&m->model, c->at, c->width), "R11-record");
    case OP_memory_bulk_copy:
    case OP_memory_bulk_fill:
    case OP_memory_bulk_init:
    case OP_memory_initialise:
        return oracle_status(q, c->status, sequence_fits(m, c) ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS,
                             range_rules(c->code).check);
    case OP_memory_segments:
        return segments_answered(q, m, c);
    case OP_memory_read:
        return read_answered(q, m, c);
    case OP_memory_wait32:
    case OP_memory_wait64:
        return wait_answered(q, m, i, c);
    case OP_memory_notify:
        return notify_answered(q, m, c);
    case OP_memory_owner_of:
        return owner_answered(m, i, c);
    case OP_memory_probe:
        return probe(m, i, c);
    default:
        return NULL;
    }
}

const char *sequence_over(struct sequence *q, struct judged *m, const struct call *c) {
    switch (c->code) {
    case OP_memory_grow:
        return grow_over(q, m, c);
    case OP_memory_to_shared:
        return to_shared_over(q, m);
    case OP_memory_reset:
        return reset_over(q, m);
    case OP_memory_store:
    case OP_memory_atomic_store:
    case OP_memory_atomic_rmw:
    case OP_memory_atomic_cmpxchg:
    case OP_guest_store:
        return access_over(q, m, c);
    case OP_memory_bulk_copy:
    case OP_memory_bulk_fill:
    case OP_memory_bulk_init:
    case OP_memory_initialise:
        return range_over(q, m, c);
    case OP_memory_segments:
        return segments_over(q, m, c);
    case OP_memory_disable_atomics:
        m->model.disabled |= m->model.type.shared;
        return NULL;
    default:
        return NULL;
    }
}

const char *sequence_dropped_segment(const struct subject_segment *segment) {
    return segment->length_bytes == 0 ? NULL : "R16-segment-drop";
}

/* ---- The end ----------------------------------------------------------------------------------
 */

static bool is_mapped(const uint8_t *page) {
    unsigned char resident;
    return mincore((void *)(uintptr_t)page, 1, &resident) == 0;
}

const char *sequence_gone(struct sequence *q, const struct judged *m, unsigned i) {
    const struct judged_side *side = &m->side[i];
    if (m->budgeted && !side->strategy->partial) {
        q->budget_used -= model_bytes(&m->model);
    }
    const struct memory_view *view = &side->view;
    bool is_zero =
        atomic_load(&side->caller.base) == NULL && atomic_load(&side->caller.length_bytes) == 0;
    if (m->caller_record && view->peek == NULL && (q->memory->promises & SUBJECT_ZEROES_RECORD) &&
        !side->strategy->partial && !is_zero) {
        note((struct note){.kind = NOTE_OTHER, .rule = "R14-record"});
        return "R14-record";
    }
    bool returns = (q->memory->promises & SUBJECT_RETURNS_PAGES) && view->has_reservation &&
                   view->reserved_bytes > 0;
    if (!returns) {
        return NULL;
    }
    const uint8_t *last = view->reserved + view->reserved_bytes - q->host_page_bytes;
    if (!is_mapped(last)) {
        return NULL;
    }
    note((struct note){.kind = NOTE_UNMAPPED,
                       .rule = "R14-pages-kept",
                       .memory = view->memory,
                       .at = (uint64_t)(last - view->base)});
    return rule_broken("R14-pages-kept");
}

/* Its first and last byte can be read, whatever was done to other memories. */
static const char *open_still(const struct judged *m, unsigned i) {
    const struct judged_side *side = &m->side[i];
    const uint64_t bytes = model_bytes(&m->model);
    if (bytes == 0 || side->view.peek != NULL ||
        (oracle_readable(side->base) && oracle_readable(side->base + bytes - 1))) {
        return NULL;
    }
    note((struct note){.kind = NOTE_OPEN_PAGE,
                       .rule = "R8-inaccessible",
                       .memory = side->view.memory,
                       .at = oracle_readable(side->base) ? bytes - 1 : 0});
    return rule_broken("R8-inaccessible");
}

const char *sequence_last(struct sequence *q, struct judged *m) {
    const bool unseen = q->unseen;
    q->unseen = false;
    const char *rule = m->related ? "R13-independence" : m->handles > 1 ? "R14-clone" : "R18-bytes";
    EACH_SIDE(m, i) {
        const char *broken = open_still(m, i);
        broken = broken != NULL ? broken : side_check(q, m, i, rule);
        if (broken == NULL && unseen) { /* of a reset, a copy, a tenant before */
            broken = oracle_zero(q, m, i, 0, m->model.type.min_pages,
                                 m->related ? "R13-copy" : "R15-reset");
        }
        broken = broken != NULL ? broken : oracle_guard(q, m, i, "R4-guard");
        if (broken != NULL) {
            return broken;
        }
    }
    q->unseen = unseen;
    return NULL;
}
