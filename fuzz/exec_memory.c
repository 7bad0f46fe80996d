/* exec_memory.c: the operations of memories: each runs on both sides of a slot and on the model.
 *
 * A side that fails in a permitted way (no memory, because a call was made to fail) while its twin
 * succeeds is checked to be unchanged and then let go; the twin and the model go on. */
#include "exec.h"

#include "fault.h"
#include "oracle.h"
#include "rule.h"

#include <string.h>
#include <sys/mman.h>

#define BIT(status) (1u << SUBJECT_##status)
/* What a call may answer when the system under it refused. */
#define WANT (BIT(NO_MEMORY) | BIT(SYSTEM))
/* NOLINTBEGIN(bugprone-macro-parentheses): i is a name */
#define EACH_SIDE(s, i)                  \
    for (unsigned i = 0; i < SIDES; i++) \
        if ((s)->body->side[i].alive)
/* NOLINTEND(bugprone-macro-parentheses) */

enum {
    WORK_LIFE = 12,  /* making and destroying one memory */
    WORK_PAGE = 16,  /* touching a WebAssembly page */
    SURE_PAGES = 16, /* so many must be had while no call fails */
    SURE_GROWTH_PAGES = 64,
    SURE_GUARD_BYTES = 64 << 20, /* of what may have to be reserved once more */
    COPY_PAGES_MAX = 8,          /* of memories whose bytes an operation may have to copy */
    IMAGE_BYTES_MAX = 2 * MODEL_BLOCK_BYTES,
    COSTLY_PAGES_MAX = 64 /* of capacity, where capacity itself costs time */
};

static const struct subject_memory *table(const struct exec *e) {
    return e->subject->memory;
}

static const struct subject_strategy *strategy_of(const struct exec *e, const struct slot *s,
                                                  unsigned i) {
    return &table(e)->strategy[s->body->side[i].strategy];
}

/* What a partial strategy may answer to the functions that subject.h names. */
static unsigned left_out(const struct exec *e, const struct slot *s, unsigned i) {
    return strategy_of(e, s, i)->partial ? BIT(UNSUPPORTED) : 0;
}

/* The slot, or NULL when nothing is in it. */
static struct slot *filled(struct exec *e, uint64_t number) {
    if (table(e) == NULL || e->slot[number].body == NULL) {
        return NULL;
    }
    return &e->slot[number];
}

/* Generated code reads base and length from the record each time, and traps past the length. */
static uint8_t *guest_at(const struct exec *e, const struct slot *s, unsigned i, uint64_t address) {
    const struct subject_record *record = table(e)->record(s->handle[i]);
    return atomic_load_explicit(&record->base, memory_order_relaxed) + address;
}

/* ---- Slots, bodies, sides ---------------------------------------------------------------------
 */

static struct body *body_unused(struct exec *e) {
    struct body *body = e->body;
    while (body->handles != 0) {
        body++; /* there is one more body than slots */
    }
    return body;
}

static const char *record_after(const struct exec *e, const struct body *body, unsigned i) {
    const struct subject_record *record = &body->side[i].caller;
    bool is_zero = atomic_load(&record->base) == NULL && atomic_load(&record->length_bytes) == 0;
    bool promised = body->caller_record && !oracle_is_opaque(e) &&
                    (table(e)->promises & SUBJECT_ZEROES_RECORD) &&
                    !table(e)->strategy[body->side[i].strategy].partial;
    return promised && !is_zero ? "R14-record" : NULL;
}

/* What is behind a side, before its last handle goes; NULL where nothing is promised. */
static const uint8_t *mapped_end(const struct exec *e, const struct slot *s, unsigned i) {
    const uint8_t *at;
    uint64_t bytes;
    bool promised = s->body->handles == 1 && (table(e)->promises & SUBJECT_RETURNS_PAGES) &&
                    table(e)->reservation != NULL &&
                    table(e)->reservation(s->handle[i], &at, &bytes) && bytes > 0;
    return promised ? at + bytes - fault_environment()->host_page_bytes : NULL;
}

static bool is_mapped(const uint8_t *page) {
    unsigned char resident;
    return mincore((void *)(uintptr_t)page, 1, &resident) == 0;
}

/* Gives up a slot's handles, as they are. */
static const char *slot_empty(struct exec *e, struct slot *s) {
    const char *broken = NULL;
    struct body *body = s->body;
    if (body == NULL) {
        return NULL;
    }
    const uint8_t *last[SIDES] = {NULL, NULL};
    EACH_SIDE(s, i) {
        last[i] = mapped_end(e, s, i);
    }
    s->body = NULL;
    body->handles--;
    for (unsigned i = 0; i < SIDES; i++) {
        if (body->side[i].alive) {
            table(e)->destroy(s->handle[i]);
            if (body->handles == 0 && broken == NULL) {
                broken = record_after(e, body, i);
            }
            if (broken == NULL && last[i] != NULL && is_mapped(last[i])) {
                broken = rule_broken("R14-pages-kept");
            }
        }
    }
    return broken;
}

/* Lets one side of a memory go, in all slots; the memory itself when it was the last. */
static void side_drop(struct exec *e, struct body *body, unsigned i) {
    body->side[i].alive = false;
    bool any = body->side[0].alive || body->side[1].alive;
    for (unsigned n = 0; n < OP_MEMORIES; n++) {
        if (e->slot[n].body == body) {
            table(e)->destroy(e->slot[n].handle[i]);
            if (!any) {
                e->slot[n].body = NULL;
                body->handles--;
            }
        }
    }
}

/* Remembers where bytes were written: an older tenant's show there if they show at all. */
static void mark_dirty(struct exec *e, uint64_t start, uint64_t count) {
    enum { DIRTY_MAX = sizeof e->dirty / sizeof e->dirty[0] };
    if (count == 0) {
        return;
    }
    uint64_t ends[2] = {start / MODEL_BLOCK_BYTES, (start + count - 1) / MODEL_BLOCK_BYTES};
    for (unsigned n = 0; n < 2; n++) {
        unsigned d = 0;
        while (d < e->dirties && e->dirty[d] != ends[n]) {
            d++;
        }
        if (d == e->dirties && d < DIRTY_MAX) {
            e->dirty[e->dirties++] = (uint32_t)ends[n];
        }
    }
}

/* Gives up a slot's handles. A tenant that goes leaves bytes behind, first and last: the next one
 * must not see them (R15). */
static const char *slot_leave(struct exec *e, struct slot *s) {
    if (s->body == NULL) {
        return NULL;
    }
    uint64_t bytes = s->body->model.type.min_pages * SUBJECT_PAGE_BYTES;
    EACH_SIDE(s, i) {
        if (s->body->handles == 1 && strategy_of(e, s, i)->slot_pages != 0 && bytes > 0 &&
            !oracle_is_opaque(e)) {
            volatile uint8_t *base = atomic_load(&table(e)->record(s->handle[i])->base);
            base[0] = base[bytes - 1] = 1;
            mark_dirty(e, 0, bytes);
        }
    }
    return slot_empty(e, s);
}

/* After an operation that may have changed anything: the side is as the model says. */
static const char *side_check(struct exec *e, struct slot *s, unsigned i, const char *rule) {
    const char *broken = oracle_state(e, s, i, rule);
    return broken != NULL ? broken : oracle_bytes(e, s, i, rule);
}

/* As above for a side that failed while calls were made to fail: nothing has changed. */
static const char *failed_check(struct exec *e, struct slot *s, unsigned i, const char *rule) {
    const char *broken = side_check(e, s, i, rule);
    broken = broken != NULL ? broken : oracle_guard(e, s, i);
    bool guard = broken != NULL && strcmp(broken, "R4-guard") == 0;
    return guard ? rule : broken; /* it was whole before the failure */
}

/* ---- Create -----------------------------------------------------------------------------------
 */

struct creation {
    uint64_t slot, strategy, twin, record, image, advice;
    struct subject_memory_config config;
    struct subject_style style;
    unsigned errors;       /* statuses of which one must come: the type is wrong, */
    unsigned style_errors; /* the style is wrong */
    unsigned maybe;        /* statuses that may come as well */
};

/* The subject's strategy of that name, else one drawn by number. */
static unsigned strategy_pick(const struct exec *e, uint64_t word) {
    const struct subject_memory *m = table(e);
    const char *name = op_word(KIND_strategy, word);
    if (m->strategies == 0) {
        return 0; /* no subject is: subject_load refuses it */
    }
    for (unsigned i = 0; i < m->strategies; i++) {
        unsigned n = (unsigned)((word + i) % m->strategies);
        if (strcmp(m->strategy[n].name, name) == 0) {
            return n;
        }
    }
    return (unsigned)(word % m->strategies);
}

static uint32_t capacity_of(const struct subject_memory_config *config,
                            const struct subject_style *style, bool stable_base) {
    uint32_t max =
        config->type.max_pages < SUBJECT_PAGES_MAX ? config->type.max_pages : SUBJECT_PAGES_MAX;
    if (style->is_static) {
        return style->bound_pages;
    }
    if (config->type.shared) {
        return max;
    }
    if (!stable_base) {
        return config->type.min_pages;
    }
    uint32_t reserve = config->reserve_pages_max;
    return reserve != 0 && reserve < max ? reserve : max;
}

/* What is wrong with the request (R1, R3), whatever the strategy. */
static void judge(struct creation *c) {
    const struct subject_memory_config *config = &c->config;
    uint64_t host = fault_environment()->host_page_bytes;
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
    bool odd = c->style.guard_bytes % host != 0;
    bool bound = c->style.is_static && (c->style.bound_pages > SUBJECT_PAGES_MAX ||
                                        c->style.bound_pages < config->type.min_pages);
    c->errors = model_type_check(&config->type) != SUBJECT_OK ? BIT(LIMIT) | BIT(INVALID) : 0;
    c->style_errors = given && (odd || bound) ? BIT(INVALID) : 0;
    c->maybe = !given && (odd || bound) ? BIT(INVALID) : 0;
    if (c->style.guard_bytes > UINT64_C(1) << 40) {
        c->maybe |= BIT(INVALID); /* wider than any address space */
    }
}

/* So many pages would cost seconds. */
static bool is_costly(const struct subject_strategy *info, uint64_t pages) {
    return info->costly_pages != 0 && pages > info->costly_pages;
}

/* True when the strategy can be tried within the budget. */
static bool worth_trying(struct exec *e, const struct creation *c, unsigned strategy) {
    const struct subject_strategy *info = &table(e)->strategy[strategy];
    uint32_t capacity = capacity_of(&c->config, &c->style, info->stable_base);
    uint64_t work = WORK_LIFE;
    if (info->missing != NULL || (info->costly_capacity && capacity > COSTLY_PAGES_MAX)) {
        return false;
    }
    if (c->errors == 0 && is_costly(info, c->config.type.min_pages)) {
        return false;
    }
    if (c->errors != 0 || c->style_errors != 0) {
        return exec_afford(e, 1);
    }
    work += info->costly_capacity ? capacity / 4 : 0;
    work += c->config.populate ? (uint64_t)c->config.type.min_pages * WORK_PAGE : 0;
    return exec_afford(e, work);
}

/* Which statuses the strategy may answer. */
static unsigned creation_statuses(const struct exec *e, const struct creation *c, unsigned strategy,
                                  bool failed) {
    const struct subject_strategy *info = &table(e)->strategy[strategy];
    uint64_t capacity = capacity_of(&c->config, &c->style, info->stable_base);
    bool sure = !failed && info->slot_pages == 0 && c->config.type.min_pages <= SURE_PAGES &&
                capacity <= 1024 && c->style.guard_bytes <= SURE_GUARD_BYTES;
    const bool style_counts = !info->partial && !info->one_style;
    unsigned errors = c->errors | (style_counts ? c->style_errors : 0);
    if (c->config.type.shared && !info->shareable) {
        errors |= BIT(UNSUPPORTED);
    }
    unsigned maybe = c->maybe | (sure ? 0 : WANT) | (style_counts ? 0 : c->style_errors);
    if (info->guard_bytes_max != 0 && c->style.guard_bytes > info->guard_bytes_max) {
        maybe |= BIT(INVALID);
    }
    return (errors != 0 ? errors : BIT(OK)) | maybe;
}

static const char *fresh_check(struct exec *e, struct slot *s, unsigned i) {
    bool reused = strategy_of(e, s, i)->slot_pages != 0;
    e->crash_rule = reused ? "R15" : "R2"; /* what is looked at here must be there */
    const char *broken = oracle_state(e, s, i, "R2-fresh-size");
    if (broken == NULL) {
        broken = oracle_zero(e, s, i, 0, s->body->model.type.min_pages,
                             reused ? "R15-reuse" : "R2-fresh-zero");
    }
    if (broken == NULL) {
        broken = oracle_bytes(e, s, i, "R2-fresh-image");
    }
    broken = broken != NULL ? broken : oracle_guard(e, s, i);
    e->crash_rule = NULL;
    bool guard = broken != NULL && strcmp(broken, "R4-guard") == 0;
    return guard && reused ? "R15-protections" : broken;
}

static const char *create_side(struct exec *e, struct creation *c, struct body *body,
                               struct slot *s, unsigned i, unsigned strategy) {
    struct side *side = &body->side[i];
    *side = (struct side){.strategy = strategy};
    if (!worth_trying(e, c, strategy)) {
        return NULL;
    }
    void *handle = NULL;
    unsigned faults = fault_count();
    c->config.strategy = strategy;
    c->config.record = c->record == WORD_record_caller ? &side->caller : NULL;
    enum subject_status got = table(e)->create(&c->config, &handle);
    unsigned expected = creation_statuses(e, c, strategy, fault_count() != faults);
    if (got != SUBJECT_OK || !(expected & BIT(OK))) {
        if (got == SUBJECT_OK) { /* it should not be there */
            table(e)->destroy(handle);
        }
        return oracle_status_in(e, got, expected, "R1-create");
    }
    side->alive = true;
    s->handle[i] = handle;
    s->body = body;
    return NULL;
}

/* Drawn pages that are within the rules stay as they are; so does what is far outside. */
static void set_image(struct exec *e, struct creation *c, const unsigned strategy[SIDES]) {
    uint64_t bytes = c->image;
    uint64_t room = c->config.type.min_pages * SUBJECT_PAGE_BYTES;
    for (unsigned i = 0; i < SIDES; i++) {
        if ((i == 0 || c->twin != WORD_twin_none) && !table(e)->strategy[strategy[i]].first_image) {
            bytes = 0;
        }
    }
    bytes = bytes > IMAGE_BYTES_MAX ? IMAGE_BYTES_MAX : bytes;
    bytes = bytes > room ? 0 : bytes;
    c->config.image = bytes > 0 ? model_pattern() : NULL;
    c->config.image_bytes = bytes;
}

static const char *create(struct exec *e, struct creation *c) {
    struct slot *s = &e->slot[c->slot];
    const char *broken = table(e) == NULL ? NULL : slot_leave(e, s);
    if (broken != NULL || table(e) == NULL) {
        return broken;
    }
    struct body *body = body_unused(e);
    const unsigned strategy[SIDES] = {
        strategy_pick(e, c->strategy),
        strategy_pick(e, c->twin == WORD_twin_none ? 0 : c->twin - 1),
    };
    judge(c);
    set_image(e, c, strategy);
    if (c->config.image != NULL && !model_has_fresh_room(IMAGE_BYTES_MAX)) {
        return NULL;
    }
    body->side[1].alive = false;
    broken = create_side(e, c, body, s, 0, strategy[0]);
    if (broken == NULL && c->twin != WORD_twin_none) {
        broken = create_side(e, c, body, s, 1, strategy[1]);
    }
    if (s->body == NULL) {
        return broken;
    }
    body->handles = 1;
    body->caller_record = c->record == WORD_record_caller;
    body->populate = c->config.populate;
    body->related = body->failed = false;
    body->reserve_pages_max = c->config.reserve_pages_max;
    model_create(&body->model, &c->config.type, &c->style, c->config.image_bytes);
    mark_dirty(e, 0, c->config.image_bytes);
    EACH_SIDE(s, i) {
        broken = broken != NULL ? broken : fresh_check(e, s, i);
    }
    return broken;
}

const char *exec_memory_create_more(struct exec *e, const struct op *op) {
    uint64_t host = fault_environment()->host_page_bytes;
    bool tuned = op->arg.memory_create_more.style == WORD_style_tuned;
    uint64_t advice = op->arg.memory_create_more.advice;
    struct creation c = {
        .slot = op->arg.memory_create_more.m,
        .strategy = op->arg.memory_create_more.strategy,
        .twin = op->arg.memory_create_more.twin,
        .record = op->arg.memory_create_more.record,
        .image = op->arg.memory_create_more.image,
        .config =
            {
                .type = {.min_pages = (uint32_t)op->arg.memory_create_more.min,
                         .max_pages = (uint32_t)op->arg.memory_create_more.max,
                         .shared = op->arg.memory_create_more.shared == WORD_yesno_yes},
                .style = (enum subject_style_choice)op->arg.memory_create_more.style,
                .bound_pages = (uint32_t)op->arg.memory_create_more.bound,
                .static_guard_bytes = op->arg.memory_create_more.guard,
                .dynamic_guard_bytes = op->arg.memory_create_more.guard + (tuned ? host : 0),
                .huge_pages = advice == WORD_advice_huge || advice == WORD_advice_both,
                .populate = advice == WORD_advice_populate || advice == WORD_advice_both,
                .waiters_max = (uint32_t)op->arg.memory_create_more.waiters,
                .reserve_pages_max = (uint32_t)op->arg.memory_create_more.reserve,
            },
    };
    return create(e, &c);
}

/* The same with the usual values of what memory_create does not say. */
const char *exec_memory_create(struct exec *e, const struct op *op) {
    struct op more = {.code = OP_memory_create_more, .thread = op->thread};
    for (unsigned i = 0; i < op_info(TARGET_memory_fuzzer, OP_memory_create)->arguments; i++) {
        more.arg.raw[i] = op->arg.raw[i]; /* the first arguments are the same */
    }
    return exec_memory_create_more(e, &more);
}

const char *exec_memory_destroy(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_destroy.m);
    return s == NULL ? NULL : slot_leave(e, s);
}

/* ---- Grow -------------------------------------------------------------------------------------
 */

/* Pages that the side's reservation holds for sure. */
static uint64_t room_of(const struct exec *e, const struct slot *s, unsigned i) {
    const struct subject_strategy *info = strategy_of(e, s, i);
    const struct model_memory *m = &s->body->model;
    uint64_t room = SUBJECT_PAGES_MAX;
    if (m->style.is_static && !info->one_style) {
        room = m->style.bound_pages;
    } else if (info->stable_base && !m->type.shared && s->body->reserve_pages_max != 0) {
        room = s->body->reserve_pages_max;
    } else if (!info->stable_base && m->style.guard_bytes > SURE_GUARD_BYTES) {
        room = m->type.min_pages;
    }
    return info->slot_pages != 0 && info->slot_pages < room ? info->slot_pages : room;
}

/* Growth that may copy or populate much is left out. */
static bool grow_is_affordable(struct exec *e, const struct slot *s, uint32_t delta) {
    const struct model_memory *m = &s->body->model;
    uint64_t work = 2;
    EACH_SIDE(s, i) {
        if (delta > 0 && is_costly(strategy_of(e, s, i), (uint64_t)m->type.min_pages + delta)) {
            return false;
        }
        if (!m->style.is_static && !strategy_of(e, s, i)->stable_base) {
            if (m->type.min_pages > COPY_PAGES_MAX) {
                return false;
            }
            work += WORK_LIFE + (uint64_t)m->type.min_pages * WORK_PAGE / 2;
        }
        work += s->body->populate ? (uint64_t)delta * WORK_PAGE : 0;
    }
    return exec_afford(e, work);
}

/* What a growth of one side may answer, R5 to R7. */
static const char *grow_status(const struct exec *e, const struct slot *s, unsigned i,
                               uint32_t delta, enum subject_status got, bool failed) {
    const struct model_memory *m = &s->body->model;
    bool tells = table(e)->promises & SUBJECT_TELLS_LIMIT;
    uint64_t pages = (uint64_t)m->type.min_pages + delta;
    if (model_grow_passes(m, delta)) {
        return oracle_status_in(e, got, BIT(LIMIT) | (tells ? 0 : WANT), "R5-grow-limit");
    }
    if (delta == 0) {
        return oracle_status(e, got, SUBJECT_OK, "R7-grow-zero");
    }
    const char *broken =
        oracle_status_in(e, got, BIT(OK) | WANT | (tells ? 0 : BIT(LIMIT)), "R5-grow-limit");
    bool sure = !failed && (table(e)->promises & SUBJECT_GROWS_WITHIN) &&
                pages <= room_of(e, s, i) && pages <= SURE_GROWTH_PAGES;
    const char *refused = s->body->failed ? "R6-retry-refused" : "R5-grow-refused";
    return broken == NULL && got != SUBJECT_OK && sure ? refused : broken;
}

static const char *grown_check(struct exec *e, struct slot *s, unsigned i, uint32_t old_pages) {
    const char *broken = oracle_state(e, s, i, "R5-grow-size");
    if (broken == NULL) {
        broken = oracle_bytes(e, s, i, "R8-grow-bytes");
    }
    if (broken == NULL) {
        broken = oracle_zero(e, s, i, old_pages, s->body->model.type.min_pages,
                             strategy_of(e, s, i)->slot_pages != 0 ? "R15-reuse" : "R8-grow-zero");
    }
    return broken != NULL ? broken : oracle_guard(e, s, i);
}

const char *exec_memory_grow(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_grow.m);
    const uint32_t delta = (uint32_t)op->arg.memory_grow.pages;
    bool any = false, grew[SIDES] = {false, false};
    if (s == NULL ||
        !grow_is_affordable(e, s, model_grow_passes(&s->body->model, delta) ? 0 : delta)) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    const uint32_t old = m->type.min_pages;
    e->crash_rule = model_grow_passes(m, delta) ? "R5" : NULL;
    EACH_SIDE(s, i) {
        uint32_t answer = old + 12345;
        unsigned faults = fault_count();
        enum subject_status got = table(e)->grow(s->handle[i], delta, &answer);
        const char *broken = grow_status(e, s, i, delta, got, fault_count() != faults);
        grew[i] = got == SUBJECT_OK;
        any |= grew[i];
        if (broken == NULL && grew[i] && answer != old) {
            broken = "R5-grow-result";
        }
        if (broken == NULL && !grew[i]) {
            s->body->failed = true;
            broken = failed_check(e, s, i, "R6-grow-atomic");
        }
        if (broken != NULL) {
            return broken;
        }
    }
    e->crash_rule = NULL;
    if (!any) {
        return NULL;
    }
    m->type.min_pages = old + delta;
    EACH_SIDE(s, i) {
        const char *broken = NULL;
        if (grew[i]) {
            broken = grown_check(e, s, i, old);
        } else {
            side_drop(e, s->body, i);
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

/* ---- Copy, clone, share, reset ----------------------------------------------------------------
 */

static const char *copy_side(struct exec *e, struct slot *s, struct slot *made, struct body *body,
                             unsigned i) {
    const struct subject_strategy *info = strategy_of(e, s, i);
    void *handle = NULL;
    unsigned faults = fault_count();
    enum subject_status got = table(e)->copy(s->handle[i], &handle);
    bool sure = fault_count() == faults && info->slot_pages == 0 &&
                s->body->model.style.guard_bytes <= SURE_GUARD_BYTES;
    unsigned expected = BIT(OK) | (sure ? 0 : WANT) | left_out(e, s, i);
    const char *broken = oracle_status_in(e, got, expected, "R13-copy-refused");
    if (broken == NULL) {
        broken = failed_check(e, s, i, "R13-copy-source");
    }
    if (got == SUBJECT_OK) {
        made->body = body;
        made->handle[i] = handle;
        body->side[i] = (struct side){.alive = true, .strategy = s->body->side[i].strategy};
        body->handles = 1;
    }
    return broken;
}

static const char *copied_check(struct exec *e, struct slot *s, struct slot *made, unsigned i) {
    const char *broken = oracle_state(e, made, i, "R13-copy");
    if (broken == NULL && !oracle_is_opaque(e) &&
        made->body->side[i].base == s->body->side[i].base && made->body->model.type.min_pages > 0) {
        broken = "R13-copy-aliases";
    }
    if (broken == NULL) {
        broken = oracle_bytes(e, made, i, "R13-copy");
    }
    if (broken == NULL) {
        broken = oracle_zero(e, made, i, 0, made->body->model.type.min_pages, "R13-copy");
    }
    return broken != NULL ? broken : oracle_guard(e, made, i);
}

static bool copy_is_affordable(struct exec *e, const struct slot *s) {
    const struct model_memory *m = &s->body->model;
    uint64_t work = 0;
    EACH_SIDE(s, i) {
        work += WORK_LIFE + (uint64_t)m->type.min_pages * WORK_PAGE;
        work += strategy_of(e, s, i)->costly_capacity ? (uint64_t)(COSTLY_PAGES_MAX / 4) : 0;
    }
    return m->type.min_pages <= COPY_PAGES_MAX && exec_afford(e, work);
}

const char *exec_memory_copy(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_copy.m), made = {NULL, {NULL, NULL}};
    struct slot *to = &e->slot[op->arg.memory_copy.to];
    if (s == NULL || table(e)->copy == NULL || !copy_is_affordable(e, s)) {
        return NULL;
    }
    struct body *body = body_unused(e);
    if (!model_copy(&s->body->model, &body->model)) {
        return NULL;
    }
    const char *broken = NULL;
    body->side[0].alive = body->side[1].alive = false;
    EACH_SIDE(s, i) {
        broken = broken != NULL ? broken : copy_side(e, s, &made, body, i);
    }
    if (made.body == NULL) {
        return broken;
    }
    body->caller_record = body->failed = false;
    body->populate = s->body->populate;
    body->reserve_pages_max = s->body->reserve_pages_max;
    body->related = s->body->related = true;
    EACH_SIDE(&made, i) {
        broken = broken != NULL ? broken : copied_check(e, s, &made, i);
    }
    const char *emptied = slot_leave(e, to); /* the source itself, perhaps: the copy survives it */
    *to = made;
    return broken != NULL ? broken : emptied;
}

static const char *clone_side(struct exec *e, struct slot *s, struct slot *made, unsigned i) {
    unsigned faults = fault_count();
    enum subject_status got = table(e)->clone(s->handle[i], &made->handle[i]);
    bool failed = fault_count() != faults;
    if (!s->body->model.type.shared) {
        made->handle[i] = NULL;
        return oracle_status_in(e, got, BIT(NOT_SHARED) | left_out(e, s, i), "R14-clone-unshared");
    }
    if (got == SUBJECT_OK && made->handle[i] == NULL) {
        return "R14-clone";
    }
    if (got != SUBJECT_OK) {
        made->handle[i] = NULL;
    }
    return oracle_status_in(e, got, BIT(OK) | left_out(e, s, i) | (failed ? WANT : 0), "R14-clone");
}

const char *exec_memory_clone(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_clone.m), made = {NULL, {NULL, NULL}};
    struct slot *to = &e->slot[op->arg.memory_clone.to];
    if (s == NULL || table(e)->clone == NULL || s == to) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        const char *broken = clone_side(e, s, &made, i);
        if (broken != NULL) {
            return broken;
        }
    }
    if (made.handle[0] == NULL && made.handle[1] == NULL) {
        return NULL;
    }
    const char *broken = slot_leave(e, to);
    if (broken != NULL || s->body == NULL) {
        return broken;
    }
    EACH_SIDE(s, i) {
        if (made.handle[i] == NULL) {
            side_drop(e, s->body, i);
        }
    }
    made.body = s->body;
    made.body->handles++;
    *to = made;
    EACH_SIDE(to, i) {
        if (!oracle_is_opaque(e) && guest_at(e, to, i, 0) != to->body->side[i].base) {
            return "R14-clone";
        }
        broken = broken != NULL ? broken : oracle_state(e, to, i, "R14-clone");
    }
    return broken;
}

/* Which statuses a conversion may answer. */
static unsigned sharing_statuses(const struct exec *e, const struct slot *s, unsigned i,
                                 bool failed) {
    const struct model_memory *m = &s->body->model;
    unsigned errors = 0;
    if (m->type.shared) {
        return BIT(OK) | left_out(e, s, i);
    }
    errors |= m->type.max_pages == SUBJECT_NO_MAXIMUM ? BIT(INVALID) : 0;
    errors |= strategy_of(e, s, i)->shareable ? 0 : BIT(UNSUPPORTED);
    bool narrow = !m->style.is_static && room_of(e, s, i) < m->type.max_pages;
    return left_out(e, s, i) | (errors != 0 ? errors : BIT(OK) | (narrow || failed ? WANT : 0));
}

const char *exec_memory_to_shared(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_to_shared.m);
    bool any = false, done[SIDES] = {false, false};
    if (s == NULL || table(e)->to_shared == NULL) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        unsigned faults = fault_count();
        enum subject_status got = table(e)->to_shared(s->handle[i]);
        unsigned expected = sharing_statuses(e, s, i, fault_count() != faults);
        const char *broken = oracle_status_in(e, got, expected, "R12-to-shared");
        done[i] = got == SUBJECT_OK;
        any |= done[i];
        if (broken == NULL && !done[i]) {
            broken = failed_check(e, s, i, "R12-to-shared");
        }
        if (broken != NULL) {
            return broken;
        }
    }
    if (!any) {
        return NULL;
    }
    s->body->model.type.shared = true;
    EACH_SIDE(s, i) {
        const char *broken = NULL;
        if (done[i]) {
            broken = failed_check(e, s, i, "R12-to-shared");
        } else {
            side_drop(e, s->body, i);
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

static bool reset_is_affordable(struct exec *e, const struct slot *s) {
    const struct model_memory *m = &s->body->model;
    uint64_t work = 2;
    EACH_SIDE(s, i) {
        work += s->body->populate ? (uint64_t)m->first_pages * WORK_PAGE : 0;
        work += strategy_of(e, s, i)->costly_capacity ? m->type.min_pages / 4 : 0;
        work += strategy_of(e, s, i)->traps ? 0 : m->type.min_pages;
    }
    return exec_afford(e, work);
}

static const char *reset_check(struct exec *e, struct slot *s, unsigned i) {
    const char *broken = side_check(e, s, i, "R15-reset");
    if (broken == NULL) {
        broken = oracle_zero(e, s, i, 0, s->body->model.type.min_pages, "R15-reset");
    }
    return broken != NULL ? broken : oracle_guard(e, s, i);
}

const char *exec_memory_reset(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_reset.m);
    bool any = false, done[SIDES] = {false, false}, refused[SIDES] = {false, false};
    if (s == NULL || table(e)->reset == NULL || !model_has_fresh_room(s->body->model.image_bytes) ||
        !reset_is_affordable(e, s)) {
        return NULL;
    }
    struct body *body = s->body;
    EACH_SIDE(s, i) {
        unsigned faults = fault_count();
        enum subject_status got = table(e)->reset(s->handle[i]);
        unsigned expected = body->model.type.shared ? BIT(UNSUPPORTED)
                                                    : BIT(OK) | left_out(e, s, i) |
                                                          (fault_count() != faults ? WANT : 0);
        refused[i] = body->model.type.shared ||
                     (got == SUBJECT_UNSUPPORTED && strategy_of(e, s, i)->partial);
        const char *broken = oracle_status_in(e, got, expected, "R15-reset-refused");
        if (broken == NULL && refused[i]) {
            broken = side_check(e, s, i, "R15-reset-refused");
        }
        if (broken != NULL) {
            return broken;
        }
        done[i] = got == SUBJECT_OK;
        any |= done[i];
    }
    if (any) {
        model_reset(&body->model);
    }
    for (unsigned i = 0; i < SIDES; i++) {
        const char *broken = NULL;
        if (body->side[i].alive && done[i]) {
            broken = reset_check(e, s, i);
        } else if (body->side[i].alive && (any || !refused[i])) {
            side_drop(e, body, i); /* a failed reset leaves what can only be destroyed */
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

/* ---- Single accesses --------------------------------------------------------------------------
 */

/* A drawn address as index + offset, the way the instructions have it. */
struct access {
    uint32_t index, offset;
    uint64_t address;
    unsigned width;
    unsigned expected; /* statuses */
    bool inside;       /* it must succeed */
};

static unsigned width_of(uint64_t word) {
    static const unsigned widths[WORD_width_count] = {1, 2, 4, 8, 3};
    return widths[word];
}

static struct access access_make(const struct slot *s, uint64_t at, uint64_t offset, uint64_t width,
                                 bool atomic) {
    const struct model_memory *m = &s->body->model;
    uint64_t address = op_address(at, model_bytes(m));
    uint64_t index = address > UINT32_MAX && address <= UINT64_C(2) * UINT32_MAX
                         ? UINT32_MAX
                         : (uint32_t)address;
    uint64_t rest = index == UINT32_MAX ? address - UINT32_MAX : 0;
    struct access a = {.index = (uint32_t)index,
                       .offset =
                           (uint32_t)(offset + rest > UINT32_MAX ? UINT32_MAX : offset + rest),
                       .width = width_of(width)};
    a.address = (uint64_t)a.index + a.offset;
    bool known = a.width != 3;
    bool aligned = !atomic || !known || a.address % a.width == 0;
    bool within = model_within(m, a.address, a.width);
    a.expected |= known ? 0 : BIT(INVALID);
    a.expected |= known && !aligned ? BIT(MISALIGNED) : 0;
    a.expected |= known && !within ? BIT(OUT_OF_BOUNDS) : 0;
    a.inside = a.expected == 0;
    a.expected |= a.inside ? BIT(OK) : 0;
    return a;
}

typedef enum subject_status (*loader)(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                      uint64_t *value);
typedef enum subject_status (*storer)(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                      uint64_t value);

static const char *load(struct exec *e, struct slot *s, const struct access *a, loader function) {
    if (function == NULL) {
        return NULL;
    }
    uint64_t expected = a->inside ? model_load(&s->body->model, a->address, a->width) : 0;
    EACH_SIDE(s, i) {
        uint64_t value = ~expected;
        enum subject_status got = function(s->handle[i], a->index, a->offset, a->width, &value);
        const char *broken = oracle_status_in(e, got, a->expected, "R18-access");
        if (broken == NULL && a->inside && value != expected) {
            broken = "R18-load";
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

/* After a write to the model of [start, start + count): the sides have it too. */
static const char *written_check(struct exec *e, struct slot *s, uint64_t start, uint64_t count,
                                 const char *rule) {
    mark_dirty(e, start, count);
    EACH_SIDE(s, i) {
        const char *broken = oracle_range(e, s, i, start, count, rule);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

static const char *store(struct exec *e, struct slot *s, const struct access *a, uint64_t value,
                         storer function) {
    if (function == NULL || (a->inside && !model_has_room(&s->body->model, a->address, a->width))) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        enum subject_status got = function(s->handle[i], a->index, a->offset, a->width, value);
        const char *broken = oracle_status_in(e, got, a->expected, "R18-access");
        if (broken != NULL) {
            return broken;
        }
    }
    if (!a->inside) {
        return NULL;
    }
    model_store(&s->body->model, a->address, a->width, value);
    return written_check(e, s, a->address, a->width, "R18-store");
}

const char *exec_memory_load(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_load.m);
    if (s == NULL) {
        return NULL;
    }
    struct access a = access_make(s, op->arg.memory_load.at, op->arg.memory_load.offset,
                                  op->arg.memory_load.width, false);
    return load(e, s, &a, table(e)->load);
}

const char *exec_memory_store(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_store.m);
    if (s == NULL) {
        return NULL;
    }
    struct access a = access_make(s, op->arg.memory_store.at, op->arg.memory_store.offset,
                                  op->arg.memory_store.width, false);
    return store(e, s, &a, op->arg.memory_store.value, table(e)->store);
}

const char *exec_memory_atomic_load(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_atomic_load.m);
    if (s == NULL) {
        return NULL;
    }
    struct access a =
        access_make(s, op->arg.memory_atomic_load.at, op->arg.memory_atomic_load.offset,
                    op->arg.memory_atomic_load.width, true);
    return load(e, s, &a, table(e)->atomic_load);
}

const char *exec_memory_atomic_store(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_atomic_store.m);
    if (s == NULL) {
        return NULL;
    }
    struct access a =
        access_make(s, op->arg.memory_atomic_store.at, op->arg.memory_atomic_store.offset,
                    op->arg.memory_atomic_store.width, true);
    return store(e, s, &a, op->arg.memory_atomic_store.value, table(e)->atomic_store);
}

/* What both read-modify-writes come to: an old value, and perhaps a new one. */
static const char *updated_check(struct exec *e, struct slot *s, const struct access *a,
                                 enum subject_status got, uint64_t old) {
    const char *broken = oracle_status_in(e, got, a->expected, "R18-access");
    if (broken == NULL && a->inside && old != model_load(&s->body->model, a->address, a->width)) {
        broken = "R18-atomic";
    }
    return broken;
}

static const char *update(struct exec *e, struct slot *s, const struct access *a, uint64_t value) {
    if (!a->inside) {
        return NULL;
    }
    model_store(&s->body->model, a->address, a->width, value);
    return written_check(e, s, a->address, a->width, "R18-atomic");
}

const char *exec_memory_atomic_rmw(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_atomic_rmw.m);
    const enum subject_rmw kind = (enum subject_rmw)op->arg.memory_atomic_rmw.kind;
    const uint64_t value = op->arg.memory_atomic_rmw.value;
    if (s == NULL || table(e)->atomic_rmw == NULL) {
        return NULL;
    }
    struct access a = access_make(s, op->arg.memory_atomic_rmw.at, op->arg.memory_atomic_rmw.offset,
                                  op->arg.memory_atomic_rmw.width, true);
    if (a.inside && !model_has_room(&s->body->model, a.address, a.width)) {
        return NULL;
    }
    uint64_t before = a.inside ? model_load(&s->body->model, a.address, a.width) : 0;
    EACH_SIDE(s, i) {
        uint64_t old = ~before;
        enum subject_status got =
            table(e)->atomic_rmw(s->handle[i], kind, a.index, a.offset, a.width, value, &old);
        const char *broken = updated_check(e, s, &a, got, old);
        if (broken != NULL) {
            return broken;
        }
    }
    return update(e, s, &a, model_rmw(kind, before, value));
}

const char *exec_memory_atomic_cmpxchg(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_atomic_cmpxchg.m);
    const uint64_t expected = op->arg.memory_atomic_cmpxchg.expected;
    const uint64_t value = op->arg.memory_atomic_cmpxchg.value;
    if (s == NULL || table(e)->atomic_cmpxchg == NULL) {
        return NULL;
    }
    struct access a =
        access_make(s, op->arg.memory_atomic_cmpxchg.at, op->arg.memory_atomic_cmpxchg.offset,
                    op->arg.memory_atomic_cmpxchg.width, true);
    if (a.inside && !model_has_room(&s->body->model, a.address, a.width)) {
        return NULL;
    }
    uint64_t before = a.inside ? model_load(&s->body->model, a.address, a.width) : 0;
    EACH_SIDE(s, i) {
        uint64_t old = ~before;
        enum subject_status got = table(e)->atomic_cmpxchg(s->handle[i], a.index, a.offset, a.width,
                                                           expected, value, &old);
        const char *broken = updated_check(e, s, &a, got, old);
        if (broken != NULL) {
            return broken;
        }
    }
    return update(e, s, &a, before == model_wrap(expected, a.width) ? value : before);
}

static bool guest_access(const struct slot *s, uint64_t at, uint64_t width, struct access *a) {
    a->address = op_address(at, model_bytes(&s->body->model));
    a->width = width_of(width) == 3 ? 1 : width_of(width);
    return model_within(&s->body->model, a->address, a->width);
}

const char *exec_guest_store(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.guest_store.m);
    struct access a;
    if (s == NULL || oracle_is_opaque(e) ||
        !guest_access(s, op->arg.guest_store.at, op->arg.guest_store.width, &a) ||
        !model_has_room(&s->body->model, a.address, a.width)) {
        return NULL;
    }
    model_store(&s->body->model, a.address, a.width, op->arg.guest_store.value);
    uint8_t byte[8];
    model_read(&s->body->model, a.address, byte, a.width);
    EACH_SIDE(s, i) {
        memcpy(guest_at(e, s, i, a.address), byte, a.width);
    }
    return written_check(e, s, a.address, a.width, "R11-record");
}

const char *exec_guest_load(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.guest_load.m);
    struct access a;
    if (s == NULL || oracle_is_opaque(e) ||
        !guest_access(s, op->arg.guest_load.at, op->arg.guest_load.width, &a)) {
        return NULL;
    }
    uint8_t byte[8];
    model_read(&s->body->model, a.address, byte, a.width);
    EACH_SIDE(s, i) {
        if (memcmp(guest_at(e, s, i, a.address), byte, a.width) != 0) {
            return "R11-record";
        }
    }
    return NULL;
}

/* ---- Bulk -------------------------------------------------------------------------------------
 */

static uint64_t work_of(uint64_t count) {
    return 1 + count / MODEL_BLOCK_BYTES;
}

const char *exec_memory_bulk_copy(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_bulk_copy.m);
    if (s == NULL || table(e)->bulk_copy == NULL) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    uint32_t to = (uint32_t)op_address(op->arg.memory_bulk_copy.to, model_bytes(m));
    uint32_t from = (uint32_t)op_address(op->arg.memory_bulk_copy.from, model_bytes(m));
    uint32_t count = (uint32_t)op->arg.memory_bulk_copy.count;
    bool fits = model_within(m, to, count) && model_within(m, from, count);
    if (fits && (!model_has_room(m, to, count) || !exec_afford(e, 2 * work_of(count)))) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        enum subject_status got = table(e)->bulk_copy(s->handle[i], to, from, count);
        const char *broken =
            oracle_status(e, got, fits ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R16-bulk-check");
        if (broken != NULL) {
            return broken;
        }
    }
    if (!fits) {
        return written_check(e, s, 0, model_bytes(m), "R16-bulk-atomic");
    }
    model_move(m, to, from, count);
    return written_check(e, s, to, count, "R16-bulk-copy");
}

const char *exec_memory_bulk_fill(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_bulk_fill.m);
    if (s == NULL || table(e)->bulk_fill == NULL) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    uint32_t at = (uint32_t)op_address(op->arg.memory_bulk_fill.at, model_bytes(m));
    uint32_t count = (uint32_t)op->arg.memory_bulk_fill.count;
    uint8_t value = (uint8_t)op->arg.memory_bulk_fill.value;
    bool fits = model_within(m, at, count);
    if (fits && (!model_has_room(m, at, count) || !exec_afford(e, work_of(count)))) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        enum subject_status got = table(e)->bulk_fill(s->handle[i], at, value, count);
        const char *broken =
            oracle_status(e, got, fits ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R16-bulk-check");
        if (broken != NULL) {
            return broken;
        }
    }
    if (!fits) {
        return written_check(e, s, 0, model_bytes(m), "R16-bulk-atomic");
    }
    model_fill(m, at, value, count);
    return written_check(e, s, at, count, "R16-bulk-fill");
}

const char *exec_memory_bulk_init(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_bulk_init.m);
    if (s == NULL || table(e)->bulk_init == NULL) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    const struct subject_segment *segment = &e->segment[op->arg.memory_bulk_init.s];
    uint32_t at = (uint32_t)op_address(op->arg.memory_bulk_init.at, model_bytes(m));
    uint32_t from = (uint32_t)op->arg.memory_bulk_init.from;
    uint32_t count = (uint32_t)op->arg.memory_bulk_init.count;
    bool fits = model_within(m, at, count) && from <= segment->length_bytes &&
                count <= segment->length_bytes - from;
    if (fits && (!model_has_room(m, at, count) || !exec_afford(e, work_of(count)))) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        enum subject_status got = table(e)->bulk_init(s->handle[i], segment, at, from, count);
        const char *broken =
            oracle_status(e, got, fits ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R16-bulk-check");
        if (broken != NULL) {
            return broken;
        }
    }
    if (!fits) {
        return written_check(e, s, 0, model_bytes(m), "R16-bulk-atomic");
    }
    if (count > 0) {
        model_write(m, at, (const uint8_t *)segment->data + from, count);
    }
    return written_check(e, s, at, count, "R16-bulk-init");
}

const char *exec_segment_set(struct exec *e, const struct op *op) {
    uint64_t number = op->arg.segment_set.s, length = op->arg.segment_set.length;
    if (length <= MODEL_PATTERN_BYTES / 2) {
        e->segment[number] = (struct subject_segment){model_pattern() + 1000 * number, length};
    }
    return NULL;
}

const char *exec_segment_drop(struct exec *e, const struct op *op) {
    struct subject_segment *segment = &e->segment[op->arg.segment_drop.s];
    if (table(e) == NULL || table(e)->segment_drop == NULL) {
        return NULL;
    }
    table(e)->segment_drop(segment);
    return segment->length_bytes == 0 ? NULL : "R16-segment-drop";
}

/* ---- Initialise and read ----------------------------------------------------------------------
 */

const char *exec_memory_initialise(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_initialise.m);
    if (s == NULL || table(e)->initialise == NULL) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    uint64_t start = op_address(op->arg.memory_initialise.at, model_bytes(m));
    uint64_t count = op->arg.memory_initialise.count;
    bool fits = model_within(m, start, count);
    if (fits && (count > MODEL_PATTERN_BYTES || !model_has_room(m, start, count) ||
                 !exec_afford(e, work_of(count)))) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        enum subject_status got = table(e)->initialise(s->handle[i], start, model_pattern(), count);
        const char *broken =
            oracle_status(e, got, fits ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R17-init-check");
        if (broken != NULL) {
            return broken;
        }
    }
    if (!fits) {
        return written_check(e, s, 0, model_bytes(m), "R17-init-atomic");
    }
    model_write(m, start, model_pattern(), count);
    return written_check(e, s, start, count, "R17-init-bytes");
}

enum { ACTIVE = 3 };

/* How many of the segments fit, one after the other. */
static size_t segments_fit(const struct model_memory *m,
                           const struct subject_active_segment *segment) {
    size_t fit = 0;
    while (fit < ACTIVE && model_within(m, segment[fit].start, segment[fit].segment.length_bytes)) {
        fit++;
    }
    return fit;
}

const char *exec_memory_segments(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_segments.m);
    if (s == NULL || table(e)->initialise_segments == NULL) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    struct subject_active_segment segment[ACTIVE];
    for (unsigned n = 0; n < ACTIVE; n++) {
        segment[n].start = op_address(op->arg.raw[1 + 2 * (size_t)n], model_bytes(m));
        segment[n].segment.data = model_pattern() + (size_t)100 * n;
        segment[n].segment.length_bytes = op->arg.raw[2 + 2 * (size_t)n];
    }
    size_t fit = segments_fit(m, segment);
    for (size_t n = 0; n < fit; n++) {
        /* A later one must not find the blocks used up by an earlier one: three each, at most. */
        if (segment[n].segment.length_bytes > IMAGE_BYTES_MAX || m->blocks > 40 ||
            !model_has_fresh_room((uint64_t)3 * ACTIVE * MODEL_BLOCK_BYTES) ||
            !exec_afford(e, 12)) {
            return NULL;
        }
    }
    EACH_SIDE(s, i) {
        size_t applied = ACTIVE + 1;
        enum subject_status got =
            table(e)->initialise_segments(s->handle[i], segment, ACTIVE, &applied);
        const char *broken = oracle_status(
            e, got, fit == ACTIVE ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R17-segments");
        if (broken != NULL || applied != fit) {
            return broken != NULL ? broken : "R17-segments";
        }
    }
    for (size_t n = 0; n < fit; n++) {
        model_write(m, segment[n].start, segment[n].segment.data, segment[n].segment.length_bytes);
        mark_dirty(e, segment[n].start, segment[n].segment.length_bytes);
    }
    return written_check(e, s, 0, model_bytes(m), "R17-segments");
}

const char *exec_memory_read(struct exec *e, const struct op *op) {
    static uint8_t real[2 * MODEL_BLOCK_BYTES], expected[2 * MODEL_BLOCK_BYTES];
    struct slot *s = filled(e, op->arg.memory_read.m);
    if (s == NULL || table(e)->read == NULL) {
        return NULL;
    }
    struct model_memory *m = &s->body->model;
    uint64_t start = op_address(op->arg.memory_read.at, model_bytes(m));
    uint64_t count = op->arg.memory_read.count;
    bool fits = model_within(m, start, count);
    if (fits && count > sizeof real) {
        return NULL;
    }
    if (fits) {
        model_read(m, start, expected, count);
    }
    EACH_SIDE(s, i) {
        for (uint64_t n = 0; fits && n < count; n++) {
            real[n] = (uint8_t)~expected[n];
        }
        enum subject_status got = table(e)->read(s->handle[i], start, real, count);
        const char *broken =
            oracle_status(e, got, fits ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS, "R17-read-check");
        if (broken == NULL && fits && count > 0 && memcmp(real, expected, count) != 0) {
            broken = "R17-read";
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

/* ---- Wait and notify --------------------------------------------------------------------------
 */

/* R19: what the checks come to; 0 when they pass. */
static unsigned word_errors(const struct model_memory *m, uint64_t address, unsigned width) {
    return (address % width != 0 ? BIT(MISALIGNED) : 0) |
           (model_within(m, address, width) ? 0 : BIT(OUT_OF_BOUNDS));
}

struct waiting {
    uint64_t address, expected;
    int64_t timeout_ns;
    unsigned width;
};

/* A wait that blocks has nobody to wake it here: only timeouts that are over at once are run. */
static const char *wait(struct exec *e, struct slot *s, const struct waiting *w) {
    const struct model_memory *m = &s->body->model;
    unsigned errors = word_errors(m, w->address, w->width);
    unsigned expected_result = 2;
    const char *rule = "R19-checks";
    if (errors == 0 && !m->type.shared) {
        errors = BIT(NOT_SHARED);
    } else if (errors == 0 && m->disabled) {
        errors = BIT(DISABLED);
        rule = "R29-disable";
    } else if (errors == 0) {
        expected_result = model_load(m, w->address, w->width) == w->expected ? 2 : 1;
        rule = expected_result == 1 ? "R20-value" : "R23-timeout";
        if (expected_result == 2 && (w->timeout_ns != 0 || !exec_afford(e, 2))) {
            return NULL;
        }
    }
    EACH_SIDE(s, i) {
        unsigned result = 99;
        enum subject_status got =
            w->width == 4
                ? table(e)->wait32(s->handle[i], w->address, (uint32_t)w->expected, w->timeout_ns,
                                   &result)
                : table(e)->wait64(s->handle[i], w->address, w->expected, w->timeout_ns, &result);
        const char *broken =
            oracle_status_in(e, got, (errors != 0 ? errors : BIT(OK)) | left_out(e, s, i), rule);
        if (broken == NULL && got == SUBJECT_OK && result != expected_result) {
            broken = result == 0 ? "R22-no-spurious" : rule; /* nobody notified since */
        }
        if (broken == NULL && table(e)->waiters != NULL && table(e)->waiters(s->handle[i]) != 0) {
            broken = "R28-waiters-left"; /* it has returned: nobody waits */
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

const char *exec_memory_wait32(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_wait32.m);
    if (s == NULL || table(e)->wait32 == NULL) {
        return NULL;
    }
    struct waiting w = {op_address(op->arg.memory_wait32.at, model_bytes(&s->body->model)),
                        op->arg.memory_wait32.expected, (int64_t)op->arg.memory_wait32.timeout_ns,
                        4};
    return wait(e, s, &w);
}

const char *exec_memory_wait64(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_wait64.m);
    if (s == NULL || table(e)->wait64 == NULL) {
        return NULL;
    }
    struct waiting w = {op_address(op->arg.memory_wait64.at, model_bytes(&s->body->model)),
                        op->arg.memory_wait64.expected, (int64_t)op->arg.memory_wait64.timeout_ns,
                        8};
    return wait(e, s, &w);
}

const char *exec_memory_notify(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_notify.m);
    if (s == NULL || table(e)->notify == NULL) {
        return NULL;
    }
    uint64_t address = op_address(op->arg.memory_notify.at, model_bytes(&s->body->model));
    unsigned errors = word_errors(&s->body->model, address, 4);
    EACH_SIDE(s, i) {
        uint32_t woken = 99;
        enum subject_status got =
            table(e)->notify(s->handle[i], address, (uint32_t)op->arg.memory_notify.count, &woken);
        const char *broken = oracle_status_in(e, got, errors != 0 ? errors : BIT(OK), "R19-checks");
        if (broken == NULL && errors == 0 && woken != 0) {
            broken = "R22-no-spurious"; /* nobody waits: none can have been woken */
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

const char *exec_memory_disable_atomics(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_disable_atomics.m);
    if (s == NULL || table(e)->disable_atomics == NULL) {
        return NULL;
    }
    EACH_SIDE(s, i) {
        table(e)->disable_atomics(s->handle[i]);
    }
    s->body->model.disabled |= s->body->model.type.shared;
    return NULL;
}

/* ---- Questions --------------------------------------------------------------------------------
 */

/* Bytes from the base to the reservation's end; `untold` where the subject does not say. */
static uint64_t bytes_behind(const struct exec *e, const struct slot *s, unsigned i,
                             uint64_t untold) {
    const uint8_t *start, *base = s->body->side[i].base;
    uint64_t bytes;
    bool told = table(e)->reservation != NULL && base != NULL &&
                table(e)->reservation(s->handle[i], &start, &bytes);
    return told ? bytes - (uint64_t)(base - start) : untold;
}

const char *exec_memory_owner_of(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_owner_of.m);
    if (s == NULL || table(e)->owner_of == NULL) {
        return NULL;
    }
    uint64_t size = model_bytes(&s->body->model);
    uint64_t at = op_address(op->arg.memory_owner_of.at, size);
    EACH_SIDE(s, i) {
        const struct side *side = &s->body->side[i];
        struct subject_owner owner;
        if (strategy_of(e, s, i)->partial || side->base == NULL ||
            at >= bytes_behind(e, s, i, size)) {
            continue; /* somebody else's, perhaps */
        }
        if (!table(e)->owner_of(side->base + at, &owner) || owner.offset_bytes != at ||
            owner.length_bytes != size || owner.record != table(e)->record(s->handle[i])) {
            return "R4-owner";
        }
    }
    return NULL;
}

const char *exec_memory_probe(struct exec *e, const struct op *op) {
    struct slot *s = filled(e, op->arg.memory_probe.m);
    if (s == NULL || oracle_is_opaque(e)) {
        return NULL;
    }
    uint64_t size = model_bytes(&s->body->model);
    uint64_t at = op_address(op->arg.memory_probe.at, size) & ~UINT64_C(7);
    EACH_SIDE(s, i) {
        const bool asked = !strategy_of(e, s, i)->one_style; /* else its guard is its own */
        uint64_t bytes =
            bytes_behind(e, s, i, size + (asked ? s->body->model.style.guard_bytes : 0));
        if (at < size && !oracle_readable(s->body->side[i].base + at)) {
            return "R8-inaccessible";
        }
        if (at >= size && at < bytes && strategy_of(e, s, i)->traps &&
            s->body->side[i].base != NULL && oracle_readable(s->body->side[i].base + at)) {
            return "R4-guard";
        }
    }
    return NULL;
}

/* ---- The end ----------------------------------------------------------------------------------
 */

static const char *last_check(struct exec *e, struct slot *s) {
    const struct body *body = s->body;
    const char *rule = body->related       ? "R13-independence"
                       : body->handles > 1 ? "R14-clone"
                                           : "R18-bytes";
    EACH_SIDE(s, i) {
        const char *broken = side_check(e, s, i, rule);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

const char *exec_memory_end(struct exec *e) {
    const char *broken = NULL;
    for (unsigned n = 0; n < OP_MEMORIES; n++) {
        struct slot *s = &e->slot[n];
        if (s->body != NULL && broken == NULL && e->broken == NULL) {
            broken = last_check(e, s);
        }
        const char *emptied = slot_empty(e, s);
        broken = broken != NULL ? broken : emptied;
    }
    return broken;
}
