/* interleave_memory.c: a memory that threads share: its set-up, the threads' handles, their
 * operations.
 *
 * operations.c makes the calls, concurrent.h judges them. */
#include "note.h"
#include "sim.h"
#include "world.h"

#include <string.h>

enum { PAGES_MAX = 4, BULK_MAX = 256 };

static uint64_t size_now(void *memory) {
    return world.m->size_bytes(memory);
}

const uint8_t *memory_base(void *memory) {
    return world.m->record == NULL
               ? NULL
               : atomic_load_explicit(&world.m->record(memory)->base, memory_order_relaxed);
}

/* The judge of the memory that the actor's operation is on. */
static struct concurrent *judge_of(const struct actor *a) {
    return a->on_copy ? &world.copy_judge : &world.judge;
}

/* ---- Set-up and end ---------------------------------------------------------------------------
 */

static uint32_t limited(uint64_t value, uint32_t low, uint32_t high) {
    return value < low ? low : value > high ? high : (uint32_t)value;
}

/* The strategy of that name where it can be shared, else the first that can. */
static unsigned strategy_pick(uint64_t word) {
    const char *name = op_word(KIND_strategy, word);
    unsigned first = world.m->strategies;
    for (unsigned i = world.m->strategies; i-- > 0;) {
        const struct subject_strategy *strategy = &world.m->strategy[i];
        if (strategy->shareable && strategy->missing == NULL) {
            first = strcmp(strategy->name, name) == 0 || first == world.m->strategies ||
                            strcmp(world.m->strategy[first].name, name) != 0
                        ? i
                        : first;
        }
    }
    return first;
}

/* The strategy of that name, shareable or not, or the one that stands in for it. */
unsigned memory_strategy(uint64_t word) {
    for (unsigned i = 0; i < world.m->strategies; i++) {
        if (strcmp(world.m->strategy[i].name, op_word(KIND_strategy, word)) == 0 &&
            world.m->strategy[i].missing == NULL) {
            return i;
        }
    }
    return strategy_pick(word);
}

/* The memories that are alive keep together to their budget. */
void memory_granted(uint64_t bytes) {
    world.granted_bytes += bytes;
    if (world.granted_bytes > world.budget_bytes) {
        world_check(concurrent_found(
            "R40-budget", "living memories of %llu bytes: the budget is %llu",
            (unsigned long long)world.granted_bytes, (unsigned long long)world.budget_bytes));
    }
}

void memory_budget_first(void) {
    if (world.m == NULL || world.m->budget == NULL) {
        world.budget_bytes = 0;
    }
    if (world.budget_bytes != 0) {
        world.m->budget(world.budget_bytes);
    }
}

/* A shared memory of 1 to 4 pages, whatever the arguments ask for; of none where the program grows
 * it and has nothing in it at the start. */
static void create(uint64_t strategy, uint64_t min, uint64_t max, uint64_t style, uint64_t limit,
                   uint64_t reserve) {
    const uint32_t least = world.grows && !world.places_mailbox ? 0 : 1;
    uint32_t min_pages = limited(min, least, PAGES_MAX - 1);
    uint32_t max_pages = limited(max, min_pages, PAGES_MAX);
    bool is_static = style == WORD_style_static || style == WORD_style_usual;
    const uint32_t bound_pages = reserve == 0 ? max_pages : limited(reserve, min_pages, max_pages);
    const struct subject_memory_config config = {
        .type = {.min_pages = min_pages, .max_pages = max_pages, .shared = true},
        .style = is_static ? SUBJECT_STYLE_STATIC : SUBJECT_STYLE_DYNAMIC,
        .bound_pages = is_static ? bound_pages : 0,
        .strategy = strategy_pick(strategy),
        .waiters_max = (uint32_t)limit,
        .budgeted = world.budget_bytes != 0 && !world.destroys,
    };
    world.claims.budget_bytes = world.budget_bytes;
    if (config.budgeted) {
        (void)concurrent_claims(&world.claims, min_pages * SUBJECT_PAGE_BYTES);
    }
    enum subject_status status = world.m->create(&config, &world.root);
    if (status != SUBJECT_OK) {
        const bool refused = status == SUBJECT_REFUSED && config.budgeted &&
                             min_pages * SUBJECT_PAGE_BYTES > world.budget_bytes;
        world.root = NULL;
        if (!world.judge.faulty && !refused) {
            world_check(concurrent_found("R1-create", "a shared memory of %u to %u pages: %s",
                                         min_pages, max_pages, call_status_name(status)));
        }
        return;
    }
    world.judge.has_memory = true;
    world.judge.min_pages = min_pages;
    world.judge.max_pages = max_pages;
    world.judge.waiters_max = config.waiters_max;
    world.judge.whole_words = (world.m->promises & SUBJECT_WHOLE_WORDS) != 0;
    world.judge.reserve_pages = config.bound_pages < max_pages ? config.bound_pages : 0;
    world.root_limited = config.budgeted;
    if (config.budgeted) {
        world.judge.claims = &world.claims;
        memory_granted(min_pages * SUBJECT_PAGE_BYTES);
    }
    world.base = memory_base(world.root);
    world.record = world.m->record == NULL ? NULL : world.m->record(world.root);
}

void memory_create_first(const struct op *op) {
    if (op == NULL) {
        create(WORD_strategy_reserve, 1, 2, WORD_style_static, 0, 0);
    } else if (op->code == OP_memory_create) {
        create(op->arg.memory_create.strategy, op->arg.memory_create.min, op->arg.memory_create.max,
               op->arg.memory_create.style, 0, 0);
    } else {
        create(op->arg.memory_create_more.strategy, op->arg.memory_create_more.min,
               op->arg.memory_create_more.max, op->arg.memory_create_more.style,
               op->arg.memory_create_more.waiters, op->arg.memory_create_more.reserve);
    }
}

/* A thread must not use a handle that another one destroys: each has a clone of its own. */
void memory_share(struct actor *a) {
    struct call c = {.code = OP_memory_clone, .thread = a->number};
    if (world.root != NULL) {
        operation_make(world.m, world.root, &c);
        a->handle[0] = c.status == SUBJECT_OK ? c.made : NULL;
        world_check(concurrent_ended(&world.judge, &c, NULL, 0));
    }
}

/* ---- Pins: each thread's own, which may outlive its handles ------------------------------------
 */

static void pin(struct actor *a, void *memory, const struct op *op) {
    struct call c = {.code = op->code, .size_bytes = world.m->size_bytes(memory)};
    if (world.m->pin == NULL || a->pin != NULL || a->on_copy) {
        return;
    }
    c.at = op_address(op->arg.memory_pin.at, c.size_bytes);
    c.count = op->arg.memory_pin.count % BULK_MAX;
    c.status = world.m->pin(memory, c.at, c.count, &a->pin, &a->pinned);
    const int64_t place = c.status == SUBJECT_OK && c.count > 0 && world.base != NULL
                              ? (int64_t)(a->pinned - world.base)
                              : (int64_t)c.at;
    a->pin = c.status == SUBJECT_OK ? a->pin : NULL;
    a->pinned_bytes = c.count;
    answer_given(&c, NULL);
    world_check(concurrent_pinned(&world.judge, &c, world.m->size_bytes(memory), place));
}

static void unpin(struct actor *a) {
    void *own = a->pin;
    if (own != NULL) {
        a->pin = NULL;
        world.m->unpin(own);
    }
}

static bool holds_within(const struct actor *a, const void *base, uint64_t bytes) {
    return a->pin != NULL && a->pinned_bytes > 0 && (uintptr_t)a->pinned - (uintptr_t)base < bytes;
}

/* Address space goes: nobody may hold a part of it. */
void memory_check_pins(const void *base, uint64_t bytes) {
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (holds_within(&world.actor[i], base, bytes)) {
            world_check(concurrent_found("R42-pin", "what T%u has pinned was given back", i));
        }
    }
}

void memory_end_thread(struct actor *a) {
    for (unsigned i = 0; i < OP_MEMORIES; i++) {
        if (a->handle[i] != NULL) {
            world.m->destroy(a->handle[i]);
            a->handle[i] = NULL;
        }
    }
    unpin(a);
}

/* The size as it is, not as this thread may see it: it may not have learned of the others' growths.
 */
static uint64_t size_exact(void *memory) {
    return world.m->record == NULL ? size_now(memory)
                                   : atomic_load(&world.m->record(memory)->length_bytes);
}

static void check_chain(void *memory) {
    world_check(concurrent_chain(&world.judge, size_exact(memory)));
}

/* If a program destroys handles, the first thread gives up its own while the others run, so that
 * two threads can destroy the last two at once. Not if it grows the memory, because the size is
 * checked at the end. */
void memory_give_up(void) {
    void *own = world.root;
    if (own != NULL && world.destroys && !world.grows && world.box == NULL) {
        world.root = NULL;
        world.m->destroy(own);
    }
}

void memory_make_cancellers(void) {
    note((struct note){.kind = NOTE_OTHER, .rule = "R41-cancel"});
    for (unsigned i = 0; i < OP_THREADS && world.m != NULL; i++) {
        void *made = NULL;
        if (world.m->canceller_create != NULL && world.m->canceller_create(&made) == SUBJECT_OK) {
            world.actor[i].canceller = made;
        }
    }
}

static void cancellers_end(void) {
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (world.actor[i].canceller != NULL) {
            world.m->canceller_destroy(world.actor[i].canceller);
            world.actor[i].canceller = NULL;
        }
    }
}

/* Twice is harmless. */
static void cancel(unsigned thread) {
    void *canceller = world.actor[thread].canceller;
    if (canceller != NULL) {
        concurrent_cancels(&world.judge, thread);
        concurrent_cancels(&world.copy_judge, thread);
        answer_deed(concurrent_cancel_deed(&world.judge, thread));
        world.m->canceller_cancel(canceller);
        world.m->canceller_cancel(canceller);
        concurrent_cancelled(&world.judge, thread);
        concurrent_cancelled(&world.copy_judge, thread);
    }
}

/* Changes to one memory do not show in the other (R13). */
static void copy_end(void) {
    if (world.copy != NULL) {
        world_check(concurrent_history(&world.copy_judge));
        world_check(concurrent_chain(&world.copy_judge, size_exact(world.copy)));
        world_check(
            concurrent_waiters_left(world.m->waiters == NULL ? 0 : world.m->waiters(world.copy)));
        world.m->destroy(world.copy);
        world.copy = NULL;
    }
}

/* All tenants are gone: what is in use is what the shared memory and its copy have. */
static void budget_at_rest(void) {
    uint64_t bytes = 0;
    if (world.root != NULL && world.root_limited) {
        bytes = size_exact(world.root) + (world.copy != NULL ? size_exact(world.copy) : 0);
    }
    if (world.budget_bytes != 0 && world.m->budget_used != NULL) {
        world_check(concurrent_budget(world.m->budget_used(), bytes));
    }
}

/* All threads have ended: what each word holds is what the last write left there. */
static void look_at_words(void) {
    const unsigned events = world.judge.events;
    for (unsigned i = 0; i < events && world.root != NULL && world.m->atomic_load != NULL; i++) {
        const struct event *e = &world.judge.event[i];
        struct event *look;
        struct call c = {
            .code = OP_memory_atomic_load, .index = (uint32_t)e->address, .width = e->width};
        if (e->kind == EVENT_WRITE && concurrent_looks(&world.judge, e, &look)) {
            operation_make(world.m, world.root, &c);
            concurrent_looked(&world.judge, look, &c);
        }
    }
}

/* ... and is whole, also where nobody else has looked. */
static void look_at_wholes(void) {
    for (unsigned i = 0; i < world.judge.puts && world.root != NULL; i++) {
        const struct put *p = &world.judge.put[i];
        uint64_t value;
        const bool looks = p->one && p->bytes > 1 && p->address <= UINT32_MAX;
        if (looks && world.m->load != NULL &&
            world.m->load(world.root, (uint32_t)p->address, 0, (unsigned)p->bytes, &value) ==
                SUBJECT_OK) {
            world_check(concurrent_left(&world.judge, p, value));
        }
    }
}

void memory_end(void) {
    if (world.budget_bytes != 0 && !world.judge.searched) {
        world_check(concurrent_refusals(&world.claims));
    }
    budget_at_rest();
    look_at_words();
    look_at_wholes();
    copy_end();
    cancellers_end();
    world_check(concurrent_history(&world.judge));
    if (world.root == NULL) {
        return;
    }
    check_chain(world.root);
    world_check(
        concurrent_waiters_left(world.m->waiters == NULL ? 0 : world.m->waiters(world.root)));
    world.m->destroy(world.root);
    world.root = NULL;
    budget_at_rest();
}

/* ---- Copies and handles -----------------------------------------------------------------------
 */

/* From now on others may use the copy: each takes its own handle, and the copy has its own judge.
 */
static void keep_copy(struct actor *a, void *made, unsigned slot, uint32_t pages) {
    struct call c = {.code = OP_memory_clone};
    struct concurrent *o = &world.copy_judge;
    if (a->handle[slot] != NULL || world.destroys) {
        world.m->destroy(made);
        return;
    }
    operation_make(world.m, made, &c);
    if (c.status != SUBJECT_OK) {
        world.m->destroy(made);
        return;
    }
    a->handle[slot] = c.made;
    a->is_copy[slot] = true;
    o->has_memory = o->values_lost = o->puts_unknown = true;
    o->claims = world.judge.claims;
    o->faulty = world.judge.faulty;
    o->guest = -1;
    o->min_pages = pages;
    o->max_pages = world.judge.max_pages;
    o->waiters_max = world.judge.waiters_max;
    o->whole_words = world.judge.whole_words;
    o->reserve_pages = world.judge.reserve_pages;
    world.copy_base = memory_base(made);
    world.copy_slot = slot;
    world.copy = made;
    world.copy_told = UINT32_MAX; /* until the mark says so */
    if (o->claims != NULL) {
        memory_granted(pages * SUBJECT_PAGE_BYTES);
    }
}

/* Each byte of the copy is one that was there (R13). */
static void check_copied(void *made, uint64_t bytes) {
    for (unsigned i = 0; i < world.judge.puts; i++) {
        const struct put *p = &world.judge.put[i];
        uint64_t value;
        if (p->one && p->address + p->bytes <= bytes &&
            world.m->load(made, (uint32_t)p->address, 0, (unsigned)p->bytes, &value) ==
                SUBJECT_OK) {
            world_check(concurrent_copied_bytes(&world.judge, p, value));
        }
    }
}

static void copy_judged(struct actor *a, void *memory, struct call *c, unsigned to) {
    const uint64_t most_bytes = world.judge.max_pages * SUBJECT_PAGE_BYTES;
    c->pages_before = world.m->size_pages(memory);
    world.judge.mixed = true;
    (void)concurrent_claims(world.judge.claims, most_bytes);
    operation_make(world.m, memory, c);
    if (c->status != SUBJECT_OK) {
        concurrent_unclaims(world.judge.claims, most_bytes);
        world_check(concurrent_copied(&world.judge, c, NULL, 0, SUBJECT_OK));
        return;
    }
    uint32_t pages = (uint32_t)world.m->size_pages(c->made);
    concurrent_unclaims(world.judge.claims, most_bytes - pages * SUBJECT_PAGE_BYTES);
    c->copied_pages = pages;
    answer_given(c, NULL);
    c->pages_after = world.m->size_pages(memory);
    uint64_t value;
    struct subject_type type = {0, 0, false};
    const struct subject_type *told = NULL;
    if (world.m->type != NULL) {
        type = world.m->type(c->made);
        told = &type;
    }
    enum subject_status last =
        world.m->load == NULL || pages == 0
            ? SUBJECT_OK
            : world.m->load(c->made, pages * (uint32_t)SUBJECT_PAGE_BYTES - 1, 0, 1, &value);
    world_check(concurrent_copied(&world.judge, c, told, pages, last));
    check_copied(c->made, pages * SUBJECT_PAGE_BYTES);
    keep_copy(a, c->made, to, pages);
}

/* Waits until the copy has been made, or refused. */
static void await_copy(struct actor *a) {
    a->asleep = false;
    a->in_wait = true;
    while ((a->copy_mark = (uint32_t)sim_atomic_load(&world.copy_mark, 4, __ATOMIC_ACQUIRE)) == 0) {
        (void)sim_wait(&world.copy_mark, 0, SIM_NEVER);
    }
    a->in_wait = false;
}

/* Takes a handle of the copy, if there is one and this thread has read its maker's mark. */
static void adopt_copy(struct actor *a, unsigned slot) {
    if (world.copy != NULL && a->copy_mark >= world.copy_told && slot == world.copy_slot &&
        a->handle[slot] == NULL) {
        struct call c = {.code = OP_memory_clone};
        operation_make(world.m, world.copy, &c);
        a->handle[slot] = c.status == SUBJECT_OK ? c.made : NULL;
        a->is_copy[slot] = true;
    }
}

/* Wakes those who wait for a copy. */
static void tell_copy(bool made) {
    uint32_t before = (uint32_t)sim_atomic_rmw(&world.copy_mark, 4, SIM_ADD, 1, __ATOMIC_RELEASE);
    if (made) {
        world.copy_told = before + 1;
    }
    (void)sim_wake(&world.copy_mark, UINT32_MAX);
}

/* Makes the run's copy, and wakes those who wait for it. A second copy is the same one, so that
 * runs stay short. */
static void copy(struct actor *a, void *memory, struct call *c, unsigned to) {
    const bool makes = world.m->size_pages(memory) <= 1 && !world.copied;
    if (makes) {
        world.copied = true;
        copy_judged(a, memory, c, to);
    } else if (world.copied && !a->holds) {
        await_copy(a);
        adopt_copy(a, to);
    }
    tell_copy(makes);
}

static void clone(struct actor *a, void *memory, struct call *c, unsigned to) {
    if (a->handle[to] == NULL) {
        operation_make(world.m, memory, c);
        a->handle[to] = c->status == SUBJECT_OK ? c->made : NULL;
        a->is_copy[to] = a->on_copy;
        world_check(concurrent_ended(&world.judge, c, NULL, 0));
    }
}

/* The thread that runs, of the program or of a crowd. */
static struct actor *actor_now(void) {
    const int self = sim_self();
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (world.actor[i].in_wait && world.actor[i].engine_thread == self) {
            return &world.actor[i];
        }
    }
    for (unsigned i = 0; i < world.crowded; i++) {
        if (world.crowd[i].engine_thread == self) {
            return &world.crowd[i];
        }
    }
    return NULL;
}

/* Whether the word is on the running thread's stack: then it is a waiter's record, not a lock. A
 * thread that sleeps on its record is in its queue. */
static bool is_own(const void *word) {
    enum { NEAR_BYTES = 4096 };
    const uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return (uintptr_t)word - here < NEAR_BYTES;
}

/* A thread of a crowd sleeps for the first time, or ends. */
static void tell_crowd(struct actor *a) {
    if (a->number >= OP_THREADS && !a->asleep) {
        a->asleep = true;
        (void)sim_atomic_rmw(&world.crowd_mark, 4, SIM_ADD, 1, __ATOMIC_RELEASE);
        (void)sim_wake(&world.crowd_mark, UINT32_MAX);
    }
}

/* Called by every thread that is about to sleep: past this point a wait does not touch its handle,
 * and whoever destroys that handle knows it. Only where somebody may: it is one more step. */
void os_sim_sleeps(const void *word);
void os_sim_sleeps(const void *word) {
    struct actor *a = actor_now();
    mailbox_sleeps();
    if (a == NULL || !a->in_wait) {
        return;
    }
    if (world.destroys && a->number < OP_THREADS) {
        (void)sim_atomic_rmw(&world.asleep_mark[a->number], 4, SIM_ADD, 1, __ATOMIC_RELEASE);
        a->asleep = true;
    }
    if (a->wait != NULL && a->wait->joined == 0 && is_own(word)) {
        a->wait->joined = concurrent_moment(judge_of(a));
        tell_crowd(a);
    }
}

static bool has_handle(const struct actor *a) {
    bool has = false;
    for (unsigned i = 0; i < OP_MEMORIES; i++) {
        has |= a->handle[i] != NULL;
    }
    return has;
}

/* True if every thread that still has a handle is blocked in a wait, and there is one. */
static bool others_sleep(const struct actor *self) {
    unsigned sleepers = 0;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        if (a != self && has_handle(a)) {
            if (!a->in_wait || !a->asleep) {
                return false;
            }
            sleepers++;
        }
    }
    return sleepers > 0;
}

/* All handles but self's, taken away at once: until now each was its thread's own. */
static unsigned take_handles(const struct actor *self, void **taken) {
    unsigned count = 0;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        struct actor *a = &world.actor[i];
        for (unsigned j = 0; a != self && j < OP_MEMORIES; j++) {
            if (a->handle[j] != NULL) {
                taken[count++] = a->handle[j];
                a->handle[j] = NULL;
            }
        }
    }
    if (world.root != NULL) {
        taken[count++] = world.root;
    }
    return count;
}

static void destroy_one(void *memory) {
    world.m->destroy(memory);
}

/* own is the last handle of the last thread that could wake the others: theirs go, too, and with
 * the last one of all they return disabled (R29). The last two go at the same time. */
static void destroy_all(const struct actor *self, void *own) {
    void *taken[OP_THREADS * OP_MEMORIES + 1];
    unsigned count = take_handles(self, taken);
    world.gone = true;
    for (unsigned i = 0; i < OP_THREADS; i++) { /* their calls before the wait have ended */
        (void)sim_atomic_rmw(&world.asleep_mark[i], 4, SIM_ADD, 0, __ATOMIC_ACQUIRE);
    }
    check_chain(own);
    world.root = NULL;
    struct event *e = concurrent_disable_begins(&world.judge);
    answer_deed(concurrent_deed(&world.judge, NULL, e));
    for (unsigned i = 1; i < count; i++) {
        world.m->destroy(taken[i]);
    }
    int other = count > 0 ? sim_spawn(destroy_one, taken[0]) : -1;
    world.m->destroy(own);
    if (other >= 0) {
        sim_join(other);
    }
    concurrent_disable_ended(&world.judge, e);
}

static void destroy(struct actor *a, void **handle) {
    void *own = *handle;
    *handle = NULL;
    bool last = own != NULL && world.threaded && world.box == NULL && !has_handle(a);
    if (last && others_sleep(a)) {
        destroy_all(a, own);
    } else if (own != NULL) {
        world.m->destroy(own);
    }
}

/* ---- Calls ------------------------------------------------------------------------------------
 */

bool is_cancellable(uint8_t code) {
    return code == OP_memory_wait_cancellable || code == OP_memory_wait_by;
}

static bool is_wait(uint8_t code) {
    return code == OP_memory_wait32 || code == OP_memory_wait64 || is_cancellable(code);
}

/* Who waits by a canceller, and whether others do at the same time: then it may be refused. */
static void canceller_begins(struct actor *a, unsigned of) {
    a->waits_by = of + 1;
    a->contended = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (i != a->number && world.actor[i].waits_by == of + 1) {
            a->contended = world.actor[i].contended = true;
        }
    }
}

/* Operations whose addresses count from the memory's end. */
static bool has_address(uint8_t code) {
    return code != OP_memory_grow && code != OP_memory_disable_atomics;
}

/* Operations whose range may have become valid while they ran. */
static bool looks_after(uint8_t code) {
    return has_address(code) && code != OP_memory_atomic_store && code != OP_memory_atomic_rmw &&
           code != OP_memory_atomic_cmpxchg;
}

/* A thread never sees a memory shrink (R11). */
static void check_size(struct actor *a, uint64_t size_bytes) {
    if (a->on_copy || a->number >= OP_THREADS || size_bytes == 0) {
        return;
    }
    if (size_bytes < a->size_seen) {
        world_check(concurrent_found("R11-shrinks", "T%u saw %llu bytes, and then %llu", a->number,
                                     (unsigned long long)a->size_seen,
                                     (unsigned long long)size_bytes));
    }
    a->size_seen = size_bytes;
}

static void make_call(struct actor *a, void *memory, const struct op *op, struct call *c) {
    const struct subject_memory *m = a->number < OP_THREADS ? world.m : world.untold;
    struct concurrent *o = judge_of(a);
    struct event *event;
    operation_arguments(c, op, has_address(op->code) ? m->size_bytes(memory) : 0, NULL);
    check_size(a, c->size_bytes);
    c->thread = a->number;
    c->tries_last_byte = true;
    c->count = op->code == OP_memory_notify ? c->count : c->count % BULK_MAX;
    c->start = concurrent_moment(o);
    if (!concurrent_begins(o, c, &event)) {
        world.left_out += op->code == OP_memory_grow;
        return;
    }
    if (!a->on_copy) {
        answer_deed(concurrent_deed(o, c, event));
    }
    if (is_cancellable(op->code)) {
        canceller_begins(a, c->canceller_of);
    }
    const uint64_t began_ns = sim_clock_ns();
    a->asleep &= a->number >= OP_THREADS;
    a->in_wait = is_wait(op->code);
    a->wait = a->in_wait ? event : NULL;
    operation_make(m, memory, c);
    a->in_wait = false;
    a->wait = NULL;
    a->waits_by = 0;
    c->contended = a->contended;
    c->took_ns = sim_clock_ns() - began_ns;
    uint64_t after = 0;
    if (looks_after(op->code)) {
        after = world.gone ? world.judge.max_pages * SUBJECT_PAGE_BYTES : m->size_bytes(memory);
    }
    world_check(concurrent_ended(o, c, event, after));
    if (!a->on_copy) {
        answer_given(c, event);
    }
    if (op->code == OP_memory_grow && o->claims != NULL && c->status == SUBJECT_OK) {
        memory_granted(c->pages * SUBJECT_PAGE_BYTES);
    }
    if (op->code == OP_memory_grow) {
        world_check(
            concurrent_stays(a->on_copy ? world.copy_base : world.base, memory_base(memory)));
    }
}

/* ---- A crowd ----------------------------------------------------------------------------------
 */

static void wait_in_crowd(void *arg) {
    enum { WAITS = 2 };
    struct actor *a = arg;
    a->engine_thread = sim_self();
    for (unsigned i = 0; i < WAITS; i++) {
        struct op op = {.code = OP_memory_wait32};
        struct call c = {.code = op.code};
        op.arg.memory_wait32.at = a->op->arg.memory_wait_crowd.at;
        op.arg.memory_wait32.timeout_ns = UINT64_MAX;
        make_call(a, a->handle[0], &op, &c);
    }
    tell_crowd(a);
    world.untold->destroy(a->handle[0]);
}

/* Waits until all of them sleep or have ended, so that the next operation finds them waiting. */
static void await_crowd(struct actor *a) {
    uint64_t seen;
    a->asleep = false;
    a->in_wait = true;
    while ((seen = sim_atomic_load(&world.crowd_mark, 4, __ATOMIC_ACQUIRE)) < world.crowd_spawned) {
        (void)sim_wait(&world.crowd_mark, (uint32_t)seen, SIM_NEVER);
    }
    a->in_wait = false;
}

/* Each waiter has its own handle. A program that destroys handles gets no crowd, because it counts
 * blocked threads. */
static void crowd(struct actor *spawner, void *memory, const struct op *op) {
    const uint64_t count = op->arg.memory_wait_crowd.count % (world.bounds->waiters + 1);
    note((struct note){.kind = NOTE_OTHER,
                       .rule = "R24-count"}); /* more threads than a program itself may have */
    const uint64_t room = world.destroys ? 0 : world.bounds->waiters - world.crowded;
    world.left_out += count > room;
    for (uint64_t i = 0; i < count && world.crowded < world.bounds->waiters && !world.destroys;
         i++) {
        const unsigned n = world.crowded++; /* other threads may run before the clone is made */
        struct actor *a = &world.crowd[n];
        struct call c = {.code = OP_memory_clone};
        *a = (struct actor){.number = (uint8_t)(OP_THREADS + n),
                            .engine_thread = -1,
                            .op = op,
                            .on_copy = spawner->on_copy};
        world.crowd_running[n] = -1;
        operation_make(world.untold, memory, &c);
        if (c.status == SUBJECT_OK) {
            a->handle[0] = c.made;
            world.crowd_spawned++;
            world.crowd_running[n] = sim_spawn(wait_in_crowd, a);
        }
    }
    await_crowd(spawner);
}

void memory_join_crowd(void) {
    for (unsigned i = 0; i < world.crowded; i++) {
        if (world.crowd_running[i] >= 0) {
            sim_join(world.crowd_running[i]);
        }
    }
}

/* ---- Which operation --------------------------------------------------------------------------
 */

/* Whether another thread's operations make a copy in that slot. */
static bool others_copy(const struct actor *a, unsigned slot) {
    bool any = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        any |= i != a->number && world.copies_to[i] >> slot & 1;
    }
    return any && !(world.copies_to[a->number] >> slot & 1);
}

/* Waits for the copy that another thread makes, and takes a handle of it. */
static void take_copy(struct actor *a, unsigned slot) {
    if (a->handle[slot] != NULL || !world.threaded || a->holds || !others_copy(a, slot)) {
        return; /* a thread that holds the mailbox would block the one that makes the copy */
    }
    await_copy(a);
    adopt_copy(a, slot);
}

bool memory_operation(struct actor *a, const struct op *op) {
    uint8_t room[(int)CALL_ROOM_BYTES > (int)BULK_MAX ? (int)BULK_MAX : (int)CALL_ROOM_BYTES];
    struct call c = {.code = op->code,
                     .thread = op->thread,
                     .room = room,
                     .canceller = a->canceller,
                     .canceller_of = a->number};
    const bool destroys = op->code == OP_memory_destroy, crowds = op->code == OP_memory_wait_crowd;
    if (op->code >= OP_mailbox_attach || world.m == NULL) {
        return false;
    }
    if (op->code == OP_memory_budget) {
        return true; /* for the whole program, by memory_budget_first */
    }
    if (op->code == OP_memory_cancel) {
        cancel(op->arg.memory_cancel.thread % OP_THREADS);
        return true;
    }
    if (op->code == OP_memory_tenant || op->code == OP_memory_owner_of_tenant) {
        return memory_tenants(op);
    }
    const bool pins = op->code == OP_memory_pin;
    if (op->code == OP_memory_unpin) {
        unpin(a);
        return true;
    }
    if (!destroys && !crowds && !pins && !operation_of_memory(world.m, op->code)) {
        return false;
    }
    const unsigned slot = (unsigned)op->arg.memory_destroy.m;
    void **handle = &a->handle[slot];
    take_copy(a, slot);
    a->on_copy = *handle != NULL && a->is_copy[slot];
    if (op->code == OP_memory_wait_by) {
        c.canceller_of = op->arg.memory_wait_by.thread % OP_THREADS;
        c.canceller = world.actor[c.canceller_of].canceller;
    }
    if (is_cancellable(op->code) && c.canceller == NULL) {
        return true;
    }
    if (*handle == NULL && op->code == OP_memory_copy && world.threaded) {
        tell_copy(false);
    }
    if (*handle == NULL || (is_wait(op->code) && a->holds)) { /* who holds must not block */
        return true;
    }
    if (destroys) {
        destroy(a, handle);
    } else if (op->code == OP_memory_copy) {
        copy(a, *handle, &c, (unsigned)op->arg.memory_copy.to);
    } else if (op->code == OP_memory_clone) {
        clone(a, *handle, &c, (unsigned)op->arg.memory_clone.to);
    } else if (crowds) {
        crowd(a, *handle, op);
    } else if (pins) {
        pin(a, *handle, op);
    } else {
        make_call(a, *handle, op, &c);
    }
    return true;
}
