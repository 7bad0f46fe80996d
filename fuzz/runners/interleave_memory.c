/* interleave_memory.c: a memory that threads share: its set-up, their handles, their operations.
 *
 * The calls are operations.c's, what they may answer is concurrent.h's. Which other calls stand
 * around them is part of what a schedule is made of. */
#include "sim.h"
#include "world.h"

#include <string.h>

enum { PAGES_MAX = 4, BULK_MAX = 256 };

static uint64_t size_now(void *memory) {
    return world.m->size_bytes(memory);
}

static const uint8_t *base_now(void *memory) {
    return world.m->record == NULL
               ? NULL
               : atomic_load_explicit(&world.m->record(memory)->base, memory_order_relaxed);
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

/* A shared memory of 1 to 4 pages, whatever the arguments ask for. */
static void create(uint64_t strategy, uint64_t min, uint64_t max, uint64_t style, uint64_t limit) {
    uint32_t min_pages = limited(min, 1, PAGES_MAX - 1);
    uint32_t max_pages = limited(max, min_pages, PAGES_MAX);
    bool is_static = style == WORD_style_static || style == WORD_style_usual;
    const struct subject_memory_config config = {
        .type = {.min_pages = min_pages, .max_pages = max_pages, .shared = true},
        .style = is_static ? SUBJECT_STYLE_STATIC : SUBJECT_STYLE_DYNAMIC,
        .bound_pages = is_static ? max_pages : 0,
        .strategy = strategy_pick(strategy),
        .waiters_max = (uint32_t)limit,
    };
    enum subject_status status = world.m->create(&config, &world.root);
    if (status != SUBJECT_OK) {
        world.root = NULL;
        if (!world.judge.faulty) {
            world_check(concurrent_found("R1-create", "a shared memory of %u to %u pages: %s",
                                         min_pages, max_pages, call_status_name(status)));
        }
        return;
    }
    world.judge.has_memory = true;
    world.judge.min_pages = min_pages;
    world.judge.max_pages = max_pages;
    world.judge.waiters_max = config.waiters_max;
    world.base = base_now(world.root);
}

void memory_create_first(const struct op *op) {
    if (op == NULL) {
        create(WORD_strategy_reserve, 1, 2, WORD_style_static, 0);
    } else if (op->code == OP_memory_create) {
        create(op->arg.memory_create.strategy, op->arg.memory_create.min, op->arg.memory_create.max,
               op->arg.memory_create.style, 0);
    } else {
        create(op->arg.memory_create_more.strategy, op->arg.memory_create_more.min,
               op->arg.memory_create_more.max, op->arg.memory_create_more.style,
               op->arg.memory_create_more.waiters);
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

void memory_end_thread(struct actor *a) {
    for (unsigned i = 0; i < OP_MEMORIES; i++) {
        if (a->handle[i] != NULL) {
            world.m->destroy(a->handle[i]);
            a->handle[i] = NULL;
        }
    }
}

/* As it is, not as this thread may see it: nothing need have told it of the others' growths. */
static void check_chain(void) {
    uint64_t bytes = world.m->record == NULL
                         ? size_now(world.root)
                         : atomic_load(&world.m->record(world.root)->length_bytes);
    world_check(concurrent_chain(&world.judge, bytes));
}

void memory_end(void) {
    world_check(concurrent_history(&world.judge));
    if (world.root == NULL) {
        return;
    }
    check_chain();
    world_check(
        concurrent_waiters_left(world.m->waiters == NULL ? 0 : world.m->waiters(world.root)));
    world.m->destroy(world.root);
    world.root = NULL;
}

/* ---- Copies and handles -----------------------------------------------------------------------
 */

/* Each word is a step: one small copy a run. */
static void copy(void *memory, struct call *c) {
    if (world.m->size_pages(memory) > 1 || world.copied) {
        return;
    }
    world.copied = true;
    c->pages_before = world.m->size_pages(memory);
    operation_make(world.m, memory, c);
    if (c->status != SUBJECT_OK) {
        world_check(concurrent_copied(&world.judge, c, NULL, 0, SUBJECT_OK));
        return;
    }
    uint32_t pages = (uint32_t)world.m->size_pages(c->made);
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
    world.m->destroy(c->made);
}

static void clone(void *memory, struct call *c, void **to) {
    if (*to == NULL) {
        operation_make(world.m, memory, c);
        *to = c->status == SUBJECT_OK ? c->made : NULL;
        world_check(concurrent_ended(&world.judge, c, NULL, 0));
    }
}

/* Called by every thread that is about to sleep: past this point a wait does not touch its handle,
 * and whoever destroys that handle knows it. Only where somebody may: it is one more step. */
void os_sim_sleeps(void);
void os_sim_sleeps(void) {
    for (unsigned i = 0; world.destroys && i < OP_THREADS; i++) {
        struct actor *a = &world.actor[i];
        if (a->in_wait && a->engine_thread == sim_self()) {
            (void)sim_atomic_rmw(&world.asleep_mark[i], 4, SIM_ADD, 1, __ATOMIC_RELEASE);
            a->asleep = true;
        }
    }
}

static bool has_handle(const struct actor *a) {
    bool has = false;
    for (unsigned i = 0; i < OP_MEMORIES; i++) {
        has |= a->handle[i] != NULL;
    }
    return has;
}

/* All who still have a handle are blocked in waits, one at least. */
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
    taken[count++] = world.root;
    return count;
}

/* own is the last handle of the last thread that could wake the others: theirs go, too, and with
 * the last one of all they return disabled (R29). */
static void destroy_all(const struct actor *self, void *own) {
    void *taken[OP_THREADS * OP_MEMORIES + 1];
    unsigned count = take_handles(self, taken);
    world.gone = true;
    for (unsigned i = 0; i < OP_THREADS; i++) { /* what they did before they slept is over */
        (void)sim_atomic_rmw(&world.asleep_mark[i], 4, SIM_ADD, 0, __ATOMIC_ACQUIRE);
    }
    check_chain();
    world.root = NULL;
    struct event *e = concurrent_disable_begins(&world.judge);
    for (unsigned i = 0; i < count; i++) {
        world.m->destroy(taken[i]);
    }
    world.m->destroy(own);
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

static bool is_wait(uint8_t code) {
    return code == OP_memory_wait32 || code == OP_memory_wait64;
}

/* Operations whose addresses count from the memory's end. */
static bool has_address(uint8_t code) {
    return code != OP_memory_grow && code != OP_memory_disable_atomics;
}

/* Those whose range may have become valid while they ran. */
static bool looks_after(uint8_t code) {
    return has_address(code) && code != OP_memory_atomic_store && code != OP_memory_atomic_rmw;
}

/* Who was notified sees what its notifier did before: each leaves a number first, in memory of the
 * engine's. */
static void check_seen(const struct event *wait) {
    const struct event *notify = concurrent_notifier(&world.judge, wait);
    if (notify != NULL &&
        sim_atomic_load(&world.notify_mark[notify->thread], 4, __ATOMIC_RELAXED) < notify->number) {
        world_check(concurrent_found("R22-notifier-unseen",
                                     "notified, and what T%u did before is not seen",
                                     notify->thread));
    }
}

static void make_call(struct actor *a, void *memory, const struct op *op, struct call *c) {
    struct event *event;
    operation_arguments(c, op, has_address(op->code) ? size_now(memory) : 0, NULL);
    c->tries_last_byte = true;
    c->count = op->code == OP_memory_notify ? c->count : c->count % BULK_MAX;
    c->start = concurrent_moment(&world.judge);
    if (!concurrent_begins(&world.judge, c, &event)) {
        return;
    }
    if (op->code == OP_memory_notify) {
        sim_atomic_store(&world.notify_mark[a->number], 4, event->number, __ATOMIC_RELAXED);
    }
    const uint64_t began_ns = sim_clock_ns();
    a->asleep = false;
    a->in_wait = is_wait(op->code);
    operation_make(world.m, memory, c);
    a->in_wait = false;
    c->took_ns = sim_clock_ns() - began_ns;
    uint64_t after = 0;
    if (looks_after(op->code)) {
        after = world.gone ? world.judge.max_pages * SUBJECT_PAGE_BYTES : size_now(memory);
    }
    world_check(concurrent_ended(&world.judge, c, event, after));
    check_seen(event);
    if (op->code == OP_memory_grow) {
        world_check(concurrent_stays(world.base, base_now(memory)));
    }
}

bool memory_operation(struct actor *a, const struct op *op) {
    uint8_t room[(int)CALL_ROOM_BYTES > (int)BULK_MAX ? (int)BULK_MAX : (int)CALL_ROOM_BYTES];
    struct call c = {.code = op->code, .thread = op->thread, .room = room};
    const bool destroys = op->code == OP_memory_destroy;
    if (op->code >= OP_mailbox_attach || world.m == NULL ||
        (!destroys && !operation_of_memory(world.m, op->code))) {
        return false;
    }
    void **handle = &a->handle[op->arg.memory_destroy.m];
    if (*handle == NULL || (is_wait(op->code) && a->holds)) { /* who holds must not block */
        return true;
    }
    if (destroys) {
        destroy(a, handle);
    } else if (op->code == OP_memory_copy) {
        copy(*handle, &c);
    } else if (op->code == OP_memory_clone) {
        clone(*handle, &c, &a->handle[op->arg.memory_clone.to]);
    } else {
        make_call(a, *handle, op, &c);
    }
    return true;
}
