/* alone_memory.c: the operations of memories, one after another: each on both sides of a slot, with
 * the judge checking. Expensive operations are left out. */
#include "exec.h"

#include "fault.h"
#include "note.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum {
    WORK_LIFE = 12, /* making and destroying one memory */
    WORK_PAGE = 16, /* touching a WebAssembly page */
    WORK_SEGMENT = 12,
    IMAGE_BYTES_MAX = 16 * MODEL_BLOCK_BYTES,
    COSTLY_PAGES_MAX = 64 /* of capacity, if a strategy takes longer to create a larger one */
};

static const struct subject_memory *table(const struct exec *e) {
    return e->subject->memory;
}

/* ---- Slots ------------------------------------------------------------------------------------
 */

static struct judged *body_unused(struct exec *e) {
    struct judged *body = e->body;
    while (body->handles != 0 || body->side[0].pins != 0) {
        body++; /* there is one more body than slots and pins */
    }
    return body;
}

/* All handles of the memory tell one size. */
static bool handles_agree(const struct exec *e, const struct slot *s, unsigned i) {
    bool agree = true;
    for (unsigned j = 0; s->body->handles > 1 && j < OP_MEMORIES; j++) {
        const struct slot *other = &e->slot[j];
        agree &= other->body != s->body ||
                 table(e)->size_pages(other->handle[i]) == table(e)->size_pages(s->handle[i]);
    }
    return agree;
}

static bool is_opaque(const struct exec *e) {
    return (table(e)->promises & SUBJECT_OPAQUE) != 0;
}

static const struct subject_memory *opaque; /* who is peeked into */

static const uint8_t *peek(void *memory, uint64_t at, uint64_t count) {
    static uint8_t copied[MODEL_BLOCK_BYTES];
    return opaque->read(memory, at, copied, count) == SUBJECT_OK ? copied : NULL;
}

static void look(const struct exec *e, struct slot *s, unsigned i) {
    const struct subject_memory *m = table(e);
    struct memory_view *view = &s->body->side[i].view;
    void *handle = s->handle[i];
    view->size_pages = m->size_pages(handle);
    view->size_bytes = m->size_bytes(handle);
    view->memory = handle;
    view->peek = is_opaque(e) ? peek : NULL;
    if (view->peek != NULL) {
        opaque = m;
    } else {
        view->record = m->record(handle);
        view->base = atomic_load_explicit(&view->record->base, memory_order_relaxed);
        view->length_bytes =
            atomic_load_explicit(&view->record->length_bytes, memory_order_relaxed);
    }
    view->owner = (struct subject_owner){0};
    view->has_owner = m->owner_of != NULL && view->peek == NULL && view->base != NULL &&
                      !fault_swept(); /* memories leaked before may still be found there */
    if (view->has_owner) {
        (void)m->owner_of(view->base, &view->owner);
    }
    view->has_type = m->type != NULL;
    view->has_style = m->style != NULL;
    view->has_waiters = m->waiters != NULL;
    view->has_rung = m->rung != NULL;
    if (view->has_type) {
        view->type = m->type(handle);
    }
    if (view->has_style) {
        view->style = m->style(handle);
    }
    if (view->has_waiters) {
        view->waiters = m->waiters(handle);
    }
    if (view->has_rung) {
        view->rung = m->rung(handle);
    }
    view->has_reservation =
        m->reservation != NULL && m->reservation(handle, &view->reserved, &view->reserved_bytes);
    view->handles_agree = handles_agree(e, s, i);
}

/* R39: a memory that is gone owns nothing any more. */
static const char *owns_still(const struct exec *e, const uint8_t *at,
                              const struct subject_record *record) {
    struct subject_owner owner = {0};
    unsigned char resident;
    const uintptr_t host = (uintptr_t)fault_environment()->host_page_bytes;
    bool asked = table(e)->owner_of != NULL && !is_opaque(e) && at != NULL && !fault_swept();
    bool stale = asked && table(e)->owner_of(at, &owner) && owner.record == record &&
                 mincore((void *)((uintptr_t)at / host * host), 1, &resident) != 0;
    return stale ? "R39-owner" : NULL;
}

/* Destroys a slot's handles. */
static const char *slot_empty(struct exec *e, struct slot *s) {
    const char *broken = NULL;
    struct judged *body = s->body;
    if (body == NULL) {
        return NULL;
    }
    EACH_SIDE(body, i) {
        if (body->handles == 1 && (table(e)->promises & SUBJECT_RETURNS_PAGES)) {
            look(e, s, i);
        }
    }
    s->body = NULL;
    body->handles--;
    EACH_SIDE(body, i) {
        const struct subject_record *record = is_opaque(e) ? NULL : table(e)->record(s->handle[i]);
        const char *before = e->judge.crash_rule;
        if (body->side[i].strategy->slot_pages != 0) { /* the next tenant's bytes are made here */
            e->judge.crash_rule = "R15";
        }
        table(e)->destroy(s->handle[i]);
        e->judge.crash_rule = before;
        body->side[i].alive = body->handles > 0;
        if (body->handles == 0 && body->side[i].pins == 0 && broken == NULL) {
            broken = sequence_gone(&e->judge, body, i);
            broken = broken != NULL ? broken : owns_still(e, body->side[i].base, record);
        }
    }
    return broken;
}

/* Destroys a slot's handles. In a pool, the first and last byte are written before: the next tenant
 * must not see them (R15). */
static const char *slot_leave(struct exec *e, struct slot *s) {
    if (s->body == NULL) {
        return NULL;
    }
    uint64_t bytes = model_bytes(&s->body->model);
    EACH_SIDE(s->body, i) {
        if (s->body->handles == 1 && s->body->side[i].strategy->slot_pages != 0 && bytes > 0 &&
            !is_opaque(e)) {
            volatile uint8_t *base = atomic_load(&table(e)->record(s->handle[i])->base);
            for (unsigned n = 0; n < 2; n++) {
                const uint64_t at = n == 0 ? 0 : bytes - 1;
                base[at] = 1;
                note((struct note){
                    .kind = NOTE_POKE, .memory = s->handle[i], .at = at, .count = 1, .must = 1});
            }
            sequence_wrote(&e->judge, 0, bytes);
        }
    }
    return slot_empty(e, s);
}

/* Destroys the sides that the judge has dropped, in all slots, and the memory itself with its last
 * side. */
static void sides_drop(struct exec *e, struct judged *body) {
    for (unsigned i = 0; i < SIDES; i++) {
        if (!body->side[i].alive || !body->side[i].drop) {
            continue;
        }
        body->side[i].alive = body->side[i].drop = false;
        bool any = body->side[0].alive || body->side[1].alive;
        if (body->side[i].pins == 0) { /* else with the last pin */
            e->judge.budget_used -= body->budgeted && !any ? model_bytes(&body->model) : 0;
        }
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
}

/* ---- Create -----------------------------------------------------------------------------------
 */

/* The subject's strategy of that name, else one drawn by number. */
static const struct subject_strategy *strategy_pick(const struct exec *e, uint64_t word) {
    const struct subject_memory *m = table(e);
    const char *name = op_word(KIND_strategy, word);
    assert(m->strategies > 0); /* subject.c refuses subjects without strategies */
    unsigned at = (unsigned)(word % m->strategies);
    for (unsigned i = 0; i < m->strategies; i++) {
        const struct subject_strategy *strategy = &m->strategy[at];
        if (strcmp(strategy->name, name) == 0) {
            return strategy;
        }
        at = at + 1 < m->strategies ? at + 1 : 0;
    }
    return &m->strategy[at];
}

/* True if so many pages would take seconds. */
static bool is_costly(const struct subject_strategy *strategy, uint64_t pages) {
    return strategy->costly_pages != 0 && pages > strategy->costly_pages;
}

/* True when the strategy can be tried within the budget. */
static bool worth_trying(struct exec *e, const struct creation *c,
                         const struct subject_strategy *strategy) {
    uint32_t capacity = sequence_capacity(c, strategy);
    uint64_t work = WORK_LIFE;
    if (strategy->missing != NULL || (strategy->costly_capacity && capacity > COSTLY_PAGES_MAX)) {
        return false;
    }
    if (c->errors == 0 && is_costly(strategy, c->config.type.min_pages)) {
        return false;
    }
    if (c->errors != 0 || c->style_errors != 0) {
        return exec_afford(e, 1);
    }
    work += strategy->costly_capacity ? capacity / 4 : 0;
    work += c->config.populate ? (uint64_t)c->config.type.min_pages * WORK_PAGE : 0;
    return exec_afford(e, work);
}

static const char *create_side(struct exec *e, struct creation *c, struct judged *body,
                               struct slot *s, unsigned i,
                               const struct subject_strategy *strategy) {
    struct judged_side *side = &body->side[i];
    *side = (struct judged_side){.strategy = strategy};
    if (!worth_trying(e, c, strategy)) {
        return NULL;
    }
    void *handle = NULL;
    unsigned faults = fault_count(), too_long = fault_too_long_count();
    const uint64_t fired = fault_fired();
    c->config.strategy = (unsigned)(strategy - table(e)->strategy);
    c->config.record = body->caller_record ? &side->caller : NULL;
    enum subject_status got = table(e)->create(&c->config, &handle);
    faults = fault_count() - faults;
    too_long = fault_too_long_count() - too_long;
    exec_weigh_faults(e);
    const char *broken = sequence_created(&e->judge, c, strategy, got, faults != 0);
    const bool armed = fault_fired() != fired;
    const bool for_space = fault_errno() == ENOMEM || fault_errno() == EAGAIN;
    const bool once = armed && faults == 1 &&
                      ((fault_last() == WORD_call_os_reserve && got == SUBJECT_NO_MEMORY &&
                        fault_error() != WORD_error_no_descriptors) ||
                       (fault_last() == WORD_call_c_mmap_error && for_space));
    const bool file = fault_file_limit_bytes() != 0; /* it may be what is short */
    const bool for_rung =
        !file && faults > 0 && faults == too_long; /* only address space is short */
    const unsigned first_rung = sequence_first_rung(c, strategy, e->space_bytes);
    const bool fits = for_rung && got == SUBJECT_NO_MEMORY && first_rung <= e->fall_back;
    if (broken == NULL && (once || fits)) {
        broken = sequence_gave_up(c, strategy, got);
    }
    if (got == SUBJECT_OK && broken == NULL && e->fall_back > 0) {
        const struct subject_style told = table(e)->style(handle);
        const bool first_failed = armed && faults == 1 && e->space_bytes == 0 && c->sure &&
                                  fault_last() == WORD_call_os_reserve;
        const unsigned enough = for_rung ? first_rung : first_failed ? 1 : e->fall_back;
        const uint32_t halved = for_rung && e->space_bytes > 0
                                    ? sequence_halved(c, strategy, e->space_bytes)
                                    : c->config.type.min_pages;
        broken = sequence_rung(&e->judge, c, body, table(e)->rung(handle), &told, faults != 0,
                               enough, halved);
    }
    if (got == SUBJECT_OK && broken != NULL) { /* it should not be there */
        table(e)->destroy(handle);
    } else if (got == SUBJECT_OK) {
        side->alive = true;
        s->handle[i] = handle;
        s->body = body;
    }
    return broken;
}

/* Sets the first image, if all sides can take one. */
static void set_image(struct creation *c, const struct subject_strategy *const strategy[SIDES],
                      unsigned sides, uint64_t bytes) {
    uint64_t room = c->config.type.min_pages * SUBJECT_PAGE_BYTES;
    for (unsigned i = 0; i < sides; i++) {
        bytes = strategy[i]->first_image ? bytes : 0;
    }
    bytes = bytes > IMAGE_BYTES_MAX ? IMAGE_BYTES_MAX : bytes;
    bytes = bytes > room ? 0 : bytes;
    c->config.image = bytes > 0 ? model_pattern() : NULL;
    c->config.image_bytes = bytes;
}

static const char *create(struct exec *e, const struct op *op) {
    enum { LONG_GUARD_BYTES = 4 << 16 };
    uint64_t host = fault_environment()->host_page_bytes;
    const uint64_t guard = op->arg.memory_create_more.guard;
    uint64_t advice = op->arg.memory_create_more.advice, twin = op->arg.memory_create_more.twin;
    const uint64_t style = op->arg.memory_create_more.style;
    bool tuned = style == WORD_style_tuned;
    struct creation c = {
        .config =
            {
                .type = {.min_pages = (uint32_t)op->arg.memory_create_more.min,
                         .max_pages = (uint32_t)op->arg.memory_create_more.max,
                         .shared = op->arg.memory_create_more.shared == WORD_yesno_yes},
                .style = (enum subject_style_choice)op->arg.memory_create_more.style,
                .bound_pages = (uint32_t)op->arg.memory_create_more.bound,
                .static_guard_bytes = guard,
                .dynamic_guard_bytes =
                    style != WORD_style_dynamic && guard >= LONG_GUARD_BYTES
                        ? guard / 4 / host * host /* the shorter one, of a lower rung */
                        : guard + (tuned ? host : 0),
                .huge_pages = advice == WORD_advice_huge || advice == WORD_advice_both,
                .populate = advice == WORD_advice_populate || advice == WORD_advice_both,
                .waiters_max = (uint32_t)op->arg.memory_create_more.waiters,
                .reserve_pages_max = (uint32_t)op->arg.memory_create_more.reserve,
                .budgeted = e->budgeted,
                .fall_back = e->fall_back,
            },
    };
    struct slot *s = &e->slot[op->arg.memory_create_more.m];
    const char *broken = slot_leave(e, s);
    if (broken != NULL) {
        return broken;
    }
    /* a twin would need budget and address space of its own */
    const bool single = e->budgeted || e->fall_back > 0;
    const unsigned sides = twin == WORD_twin_none || single ? 1 : SIDES;
    const struct subject_strategy *const strategy[SIDES] = {
        strategy_pick(e, op->arg.memory_create_more.strategy),
        strategy_pick(e, sides > 1 ? twin - 1 : 0),
    };
    sequence_request(&e->judge, &c);
    set_image(&c, strategy, sides, op->arg.memory_create_more.image);
    if (c.config.image != NULL && !model_has_fresh_room(IMAGE_BYTES_MAX)) {
        return NULL;
    }
    struct judged *body = body_unused(e);
    body->caller_record = op->arg.memory_create_more.record == WORD_record_caller;
    body->side[1].alive = body->is_short = false;
    body->rung = 0;
    for (unsigned i = 0; i < sides && broken == NULL; i++) {
        broken = create_side(e, &c, body, s, i, strategy[i]);
    }
    if (s->body == NULL) {
        return broken;
    }
    body->handles = 1;
    sequence_new(&e->judge, body, &c);
    EACH_SIDE(body, i) {
        if (broken == NULL) {
            look(e, s, i);
            broken = sequence_fresh(&e->judge, body, i);
        }
    }
    return broken;
}

/* The same with the usual values of what memory_create does not say. */
static const char *create_usual(struct exec *e, const struct op *op) {
    struct op more = {.code = OP_memory_create_more, .thread = op->thread};
    for (unsigned i = 0; i < op_info(TARGET_memory_fuzzer, OP_memory_create)->arguments; i++) {
        more.arg.raw[i] = op->arg.raw[i]; /* the first arguments are the same */
    }
    return create(e, &more);
}

/* ---- What a call costs ------------------------------------------------------------------------
 */

enum { NEVER_WORTH = 1 << 30 };

/* Growth that may copy or populate much is left out. */
static uint64_t work_of_growth(const struct exec *e, const struct judged *body, uint32_t delta) {
    const struct model_memory *m = &body->model;
    uint64_t work = 2;
    delta = model_grow_passes(m, delta) ? 0 : delta;
    EACH_SIDE(body, i) {
        if (delta > 0 && is_costly(body->side[i].strategy, (uint64_t)m->type.min_pages + delta)) {
            return NEVER_WORTH;
        }
        if (!m->style.is_static && !body->side[i].strategy->stable_base) {
            if (m->type.min_pages > e->bounds->copied_pages) {
                return NEVER_WORTH;
            }
            work += WORK_LIFE + (uint64_t)m->type.min_pages * WORK_PAGE / 2;
        }
        work += body->populate ? (uint64_t)delta * WORK_PAGE : 0;
    }
    return work;
}

static uint64_t work_of_copy(const struct exec *e, const struct judged *body) {
    const struct model_memory *m = &body->model;
    uint64_t work = m->type.min_pages <= e->bounds->copied_pages ? 0 : NEVER_WORTH;
    EACH_SIDE(body, i) {
        work += WORK_LIFE + (uint64_t)m->type.min_pages * WORK_PAGE;
        work += body->side[i].strategy->costly_capacity ? (uint64_t)(COSTLY_PAGES_MAX / 4) : 0;
    }
    return work;
}

static uint64_t work_of_reset(const struct judged *body) {
    const struct model_memory *m = &body->model;
    uint64_t work = 2;
    EACH_SIDE(body, i) {
        work += body->populate ? (uint64_t)m->first_pages * WORK_PAGE : 0;
        work += body->side[i].strategy->costly_capacity ? m->type.min_pages / 4 : 0;
        work += body->side[i].strategy->traps ? 0 : m->type.min_pages;
    }
    return work;
}

static uint64_t work_of(const struct exec *e, const struct judged *body, const struct call *c) {
    const uint64_t range = 1 + c->count / MODEL_BLOCK_BYTES;
    switch (c->code) {
    case OP_memory_grow:
        return work_of_growth(e, body, c->pages);
    case OP_memory_copy:
        return work_of_copy(e, body);
    case OP_memory_reset:
        return work_of_reset(body);
    case OP_memory_bulk_copy:
        return sequence_fits(body, c) ? 2 * range : 0;
    case OP_memory_bulk_fill:
    case OP_memory_bulk_init:
    case OP_memory_initialise:
        return sequence_fits(body, c) ? range : 0;
    case OP_memory_segments:
        return (uint64_t)WORK_SEGMENT * (sequence_fits(body, c) ? CALL_SEGMENTS : 1);
    case OP_memory_wait32:
    case OP_memory_wait64: /* one that is over at once */
        return c->timeout_ns == 0 ? 2 : c->timeout_ns > 0 ? WORK_LIFE : 0;
    default:
        return 0;
    }
}

/* ---- Calls on a slot --------------------------------------------------------------------------
 */

static uint8_t room[CALL_ROOM_BYTES];

static uint64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One call on each side. Handles that it made are kept in `made`, where there is one. */
static const char *make_calls(struct exec *e, struct slot *s, struct call *c, struct slot *made) {
    struct judged *body = s->body;
    EACH_SIDE(body, i) {
        unsigned faults = fault_count(), too_long = fault_too_long_count();
        body->side[i].view.memory = s->handle[i];
        const uint64_t began_ns = c->timeout_ns > 0 ? now_ns() : 0;
        operation_make(table(e), s->handle[i], c);
        c->took_ns = c->timeout_ns > 0 ? now_ns() - began_ns : 0;
        faults = fault_count() - faults;
        too_long = fault_too_long_count() - too_long;
        c->failed = faults > 0 && (faults != too_long || fault_file_limit_bytes() != 0 ||
                                   !sequence_has_space(body, i, c, e->space_bytes));
        exec_weigh_faults(e);
        if (made != NULL) {
            made->handle[i] = c->status == SUBJECT_OK ? c->made : NULL;
        }
        if (sequence_looks(c->code)) {
            look(e, s, i);
        }
        const char *broken = sequence_answered(&e->judge, body, i, c);
        if (broken != NULL) {
            return broken;
        }
    }
    return NULL;
}

static const char *copy(struct exec *e, struct slot *s, struct call *c, struct slot *to) {
    struct slot made = {NULL, {NULL, NULL}};
    struct judged *body = body_unused(e);
    if (!sequence_copy_begins(s->body, body)) {
        return NULL;
    }
    const char *broken = make_calls(e, s, c, &made);
    for (unsigned i = 0; i < SIDES; i++) {
        if (made.handle[i] != NULL) {
            made.body = body;
            body->handles = 1;
            body->side[i] =
                (struct judged_side){.alive = true, .strategy = s->body->side[i].strategy};
        }
    }
    if (made.body == NULL) {
        return broken;
    }
    s->body->related = true;
    EACH_SIDE(body, i) {
        if (broken == NULL) {
            look(e, &made, i);
            broken = sequence_copied(&e->judge, s->body, body, i);
        }
    }
    const char *emptied = slot_leave(e, to); /* the source itself, perhaps: the copy survives it */
    *to = made;
    return broken != NULL ? broken : emptied;
}

/* Of so large a memory the copy is not made: the system has nothing left, which a copy has a status
 * for, as for no other mistake. Slots of a pool are there already. */
static bool can_be_refused(const struct judged *body) {
    bool can = true;
    EACH_SIDE(body, i) {
        can &= body->side[i].strategy->slot_pages == 0 && !body->side[i].strategy->partial;
    }
    return can;
}

static const char *refused_copy(struct exec *e, struct slot *s, struct call *c, struct slot *to) {
    e->left_out[LEFT_OUT_COST]++;
    fault_exhaust(true);
    const char *broken = copy(e, s, c, to);
    fault_exhaust(false);
    return broken;
}

static const char *clone(struct exec *e, struct slot *s, struct call *c, struct slot *to) {
    struct slot made = {NULL, {NULL, NULL}};
    if (s == to) {
        return NULL;
    }
    const char *broken = make_calls(e, s, c, &made);
    if (broken != NULL || (made.handle[0] == NULL && made.handle[1] == NULL)) {
        return broken;
    }
    broken = slot_leave(e, to);
    if (broken != NULL || s->body == NULL) {
        return broken;
    }
    EACH_SIDE(s->body, i) {
        s->body->side[i].drop = made.handle[i] == NULL;
    }
    sides_drop(e, s->body);
    made.body = s->body;
    made.body->handles++;
    *to = made;
    EACH_SIDE(to->body, i) {
        if (broken == NULL) {
            look(e, to, i);
            broken = sequence_cloned(&e->judge, to->body, i);
        }
    }
    return broken;
}

static const char *segment_change(struct exec *e, const struct op *op) {
    struct subject_segment *segment = &e->segment[op->arg.segment_drop.s];
    if (op->code == OP_segment_set) {
        uint64_t length = op->arg.segment_set.length;
        if (length <= MODEL_PATTERN_BYTES / 2) {
            *segment =
                (struct subject_segment){model_pattern() + 1000 * op->arg.segment_set.s, length};
        }
        return NULL;
    }
    if (table(e)->segment_drop == NULL) {
        return NULL;
    }
    table(e)->segment_drop(segment);
    return sequence_dropped_segment(segment);
}

/* ---- A crowd -----------------------------------------------------------------------------------
 */

enum { WORK_CROWD = 6 };

static const char *crowd_asked(const struct exec *e, void *const *memory, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        struct subject_owner owner = {0};
        const struct subject_record *record = table(e)->record(memory[i]);
        const uint8_t *base = atomic_load_explicit(&record->base, memory_order_relaxed);
        if (!table(e)->owner_of(base + 5, &owner) || owner.record != record ||
            owner.offset_bytes != 5 || owner.length_bytes != SUBJECT_PAGE_BYTES) {
            return "R39-owner";
        }
    }
    return NULL;
}

static const char *crowd(struct exec *e, uint64_t wanted) {
    static void *memory[OWNERS_MOST];
    const struct subject_strategy *strategy = &table(e)->strategy[0];
    struct subject_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 1},
        .style = SUBJECT_STYLE_DYNAMIC,
    };
    const unsigned count = (unsigned)(wanted % (e->bounds->owners + 1));
    unsigned made = 0, faults = fault_count();
    const char *broken = NULL;
    if (table(e)->owner_of == NULL || is_opaque(e) || strategy->partial ||
        strategy->slot_pages != 0 || strategy->missing != NULL ||
        !exec_afford(e, (uint64_t)count * WORK_CROWD)) {
        return NULL;
    }
    while (made < count && table(e)->create(&config, &memory[made]) == SUBJECT_OK) {
        made++;
    }
    if (made < count && fault_count() == faults) {
        broken = "R1-create";
    }
    broken = broken != NULL ? broken : crowd_asked(e, memory, made);
    while (made > 0) {
        made--;
        const struct subject_record *record = table(e)->record(memory[made]);
        const uint8_t *last = atomic_load(&record->base);
        table(e)->destroy(memory[made]);
        const char *owned = owns_still(e, last, record);
        broken = broken != NULL ? broken : owned;
    }
    return broken;
}

static const char *touch(struct exec *e, const struct op *op) {
    const char *broken = NULL;
    const uint64_t count = op->arg.memory_touch.count % (e->bounds->touches + 1);
    for (uint64_t i = 0; i < count && broken == NULL; i++) {
        struct op one = {.code = OP_memory_store, .thread = op->thread};
        one.arg.memory_store.m = op->arg.memory_touch.m;
        one.arg.memory_store.at = op->arg.memory_touch.at + i * op->arg.memory_touch.stride;
        one.arg.memory_store.width = WORD_width_1;
        one.arg.memory_store.value = i + 1;
        broken = exec_memory(e, &one);
    }
    return broken;
}

/* ---- The host's own: budgets, rungs, pins ------------------------------------------------------
 */

/* Pins the first side of a memory. */
static const char *pin(struct exec *e, struct slot *s, const struct op *op) {
    struct pinned *p = &e->pinned[op->arg.memory_pin.m];
    struct judged *body = s->body;
    struct call c = {.code = op->code, .count = op->arg.memory_pin.count};
    if (table(e)->pin == NULL || body == NULL || p->pin != NULL || !body->side[0].alive ||
        is_opaque(e)) {
        return NULL;
    }
    look(e, s, 0);
    c.at = op_address(op->arg.memory_pin.at, model_bytes(&body->model));
    const unsigned faults = fault_count();
    enum subject_status got = table(e)->pin(s->handle[0], c.at, c.count, &p->pin, &p->bytes);
    c.failed = fault_count() != faults;
    const char *broken = sequence_pinned(&e->judge, body, 0, &c, got, p->bytes);
    if (got == SUBJECT_OK) {
        p->count = c.count;
        p->body = body;
        body->side[0].pins++;
    } else {
        p->pin = NULL;
    }
    return broken;
}

/* Pinned bytes stay to the end, and so do the pages of a memory that has no handle any more. */
static const char *unpin(struct exec *e, struct pinned *p) {
    if (p->pin == NULL) {
        return NULL;
    }
    struct judged_side *side = &p->body->side[0];
    if (p->count > 0) {
        e->judge.crash_rule = "R42";
        (void)*(const volatile uint8_t *)p->bytes;
        (void)*(const volatile uint8_t *)(p->bytes + p->count - 1);
        e->judge.crash_rule = NULL;
    }
    const char *before = e->judge.crash_rule;
    e->judge.crash_rule = "R42";
    table(e)->unpin(p->pin);
    e->judge.crash_rule = before;
    p->pin = NULL;
    side->pins--;
    if (side->alive || side->pins > 0) {
        return NULL;
    }
    const char *broken = sequence_gone(&e->judge, p->body, 0);
    return broken != NULL ? broken : owns_still(e, side->base, side->view.record);
}

static const char *of_the_host(struct exec *e, const struct op *op) {
    enum { BUDGET_PAGES_MAX = 1 << 20, RUNGS = 4 };
    switch (op->code) {
    case OP_memory_budget:
        if (table(e)->budget != NULL && op->arg.memory_budget.pages <= BUDGET_PAGES_MAX) {
            e->budgeted = op->arg.memory_budget.pages != 0;
            e->judge.budget_max = op->arg.memory_budget.pages * SUBJECT_PAGE_BYTES;
            table(e)->budget(e->judge.budget_max);
        }
        return NULL;
    case OP_memory_fall_back:
        if (table(e)->rung != NULL && table(e)->style != NULL) {
            e->fall_back = (unsigned)(op->arg.memory_fall_back.rungs % RUNGS);
        }
        return NULL;
    case OP_memory_address_space:
        e->space_bytes = op->arg.memory_address_space.pages == 0
                             ? 0
                             : (op->arg.memory_address_space.pages + 1) * SUBJECT_PAGE_BYTES;
        fault_space(e->space_bytes);
        return NULL;
    case OP_memory_file_limit:
        fault_file_limit(op->arg.memory_file_limit.bytes);
        return NULL;
    case OP_memory_pin:
        return pin(e, &e->slot[op->arg.memory_pin.m], op);
    default:
        return unpin(e, &e->pinned[op->arg.memory_unpin.m]);
    }
}

static const char *run_memory(struct exec *e, const struct op *op) {
    struct slot *s = &e->slot[op->arg.memory_grow.m % OP_MEMORIES];
    if (table(e) == NULL && op->code != OP_segment_set) {
        return NULL;
    }
    switch (op->code) {
    case OP_memory_create:
        return create_usual(e, op);
    case OP_memory_create_more:
        return create(e, op);
    case OP_memory_destroy:
        return slot_leave(e, s);
    case OP_segment_set:
    case OP_segment_drop:
        return segment_change(e, op);
    case OP_memory_touch:
        return touch(e, op);
    case OP_memory_crowd:
        return crowd(e, op->arg.memory_crowd.count);
    case OP_memory_budget:
    case OP_memory_fall_back:
    case OP_memory_address_space:
    case OP_memory_file_limit:
    case OP_memory_pin:
    case OP_memory_unpin:
        return of_the_host(e, op);
    case OP_memory_unseen:
        e->judge.unseen = true;
        return NULL;
    default:
        break;
    }
    struct call c = {.room = room};
    const bool by_address =
        op->code == OP_guest_load || op->code == OP_guest_store || op->code == OP_memory_probe;
    if (s->body == NULL || !operation_of_memory(table(e), op->code) ||
        (by_address && is_opaque(e))) {
        return NULL;
    }
    operation_arguments(&c, op, model_bytes(&s->body->model), e->segment);
    if (!sequence_may(&e->judge, s->body, &c)) {
        bool wait = op->code == OP_memory_wait32 || op->code == OP_memory_wait64;
        e->left_out[wait ? LEFT_OUT_BLOCKS : LEFT_OUT_ROOM]++;
        return NULL;
    }
    const uint64_t work = work_of(e, s->body, &c);
    if (op->code == OP_memory_copy && work >= NEVER_WORTH && can_be_refused(s->body)) {
        return refused_copy(e, s, &c, &e->slot[op->arg.memory_copy.to]);
    }
    if (!exec_afford(e, work)) {
        return NULL;
    }
    if (op->code == OP_memory_copy) {
        return copy(e, s, &c, &e->slot[op->arg.memory_copy.to]);
    }
    if (op->code == OP_memory_clone) {
        return clone(e, s, &c, &e->slot[op->arg.memory_clone.to]);
    }
    struct judged *body = s->body;
    e->judge.crash_rule =
        op->code == OP_memory_grow && model_grow_passes(&body->model, c.pages) ? "R5" : NULL;
    const char *broken = make_calls(e, s, &c, NULL);
    broken = broken != NULL ? broken : sequence_over(&e->judge, body, &c);
    if (broken == NULL) {
        sides_drop(e, body);
    }
    return broken;
}

/* The budget counts what is in use. */
const char *exec_memory(struct exec *e, const struct op *op) {
    const char *broken = run_memory(e, op);
    if (broken == NULL && table(e) != NULL && table(e)->budget_used != NULL) {
        broken = sequence_budget(&e->judge, table(e)->budget_used());
    }
    return broken;
}

/* ---- The end ----------------------------------------------------------------------------------
 */

const char *exec_memory_end(struct exec *e) {
    const char *broken = NULL;
    for (unsigned n = 0; n < OP_MEMORIES; n++) {
        struct slot *s = &e->slot[n];
        if (s->body != NULL && broken == NULL && e->broken == NULL) {
            EACH_SIDE(s->body, i) {
                look(e, s, i);
            }
            broken = sequence_last(&e->judge, s->body);
        }
        const char *emptied = slot_empty(e, s);
        broken = broken != NULL ? broken : emptied;
    }
    for (unsigned n = 0; n < OP_MEMORIES; n++) {
        const char *kept = unpin(e, &e->pinned[n]);
        broken = broken != NULL ? broken : kept;
    }
    if (broken == NULL && e->broken == NULL && table(e) != NULL && table(e)->budget_used != NULL) {
        broken = sequence_budget(&e->judge, table(e)->budget_used());
    }
    return broken;
}
