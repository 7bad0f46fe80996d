/* interleave_memory.c: memories in interleaved runs: growth, copies, clones, wait and notify. */
#include "os.h"
#include "sim.h"
#include "world.h"

enum { PAGES_MAX = 4, CELL_BYTES = 8, BULK_MAX = 256 };

static uint64_t size_now(struct pb_memory *memory) {
    return pb_memory_size_bytes(memory);
}

/* ---- Set-up and end ---------------------------------------------------------------------------
 */

static uint32_t limited(uint64_t value, uint32_t low, uint32_t high) {
    return value < low ? low : value > high ? high : (uint32_t)value;
}

static enum pb_strategy strategy_of(uint64_t word) {
    switch (word) {
    case WORD_strategy_reserve_rw:
        return PB_STRATEGY_RESERVE_RW;
    case WORD_strategy_guard:
        return PB_STRATEGY_GUARD;
    default:
        return PB_STRATEGY_RESERVE;
    }
}

/* A shared memory of 1 to 4 pages, whatever the arguments ask for. */
static void create(uint64_t strategy, uint64_t min, uint64_t max, uint64_t style, uint64_t limit) {
    if (world.root != NULL) {
        return;
    }
    uint32_t min_pages = limited(min, 1, PAGES_MAX - 1);
    uint32_t max_pages = limited(max, min_pages, PAGES_MAX);
    bool is_static = style == WORD_style_static || style == WORD_style_usual;
    const struct pb_memory_style chosen = {
        .kind = is_static ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
        .bound_pages = is_static ? max_pages : 0,
    };
    struct pb_memory_config config = {
        .type = {.min_pages = min_pages, .max_pages = max_pages, .shared = true},
        .style = &chosen,
        .strategy = strategy_of(strategy),
        .waiters_max = (uint32_t)limit,
        .allocator = &world_allocator,
    };
    enum pb_status status = pb_memory_create(&config, &world.root);
    if (status != PB_OK) {
        if (!world.faulty) {
            broken("R1-create", "a shared memory of %u to %u pages: %s", min_pages, max_pages,
                   pb_status_name(status));
        }
        world.root = NULL;
        return;
    }
    world.shared = true;
    world.type = config.type;
    world.waiters_max = config.waiters_max;
    world.base = atomic_load(&pb_memory_definition(world.root)->base);
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
    if (world.root != NULL && world.shared && pb_memory_clone(world.root, &a->handle[0]) != PB_OK &&
        !world.faulty) {
        broken("R14-clone", "a shared memory refused to be cloned");
    }
}

void memory_end_thread(struct actor *a) {
    for (unsigned i = 0; i < OP_MEMORIES; i++) {
        pb_memory_destroy(a->handle[i]);
        a->handle[i] = NULL;
    }
}

/* Concurrent successes return distinct, chained old sizes (R11). */
static void check_growth(void) {
    uint32_t pages = world.type.min_pages;
    bool used[GROWS_MAX] = {false};
    for (unsigned i = 0; i < world.growths; i++) {
        unsigned next = 0;
        while (next < world.growths && (used[next] || world.grown[next].old_pages != pages)) {
            next++;
        }
        if (next == world.growths) {
            broken("R11-shared-grow", "no growth began at %u pages, of %u that succeeded", pages,
                   world.growths);
        }
        used[next] = true;
        pages += world.grown[next].delta;
    }
    /* As it is, not as this thread may see it: nothing need have told it of the others' growths. */
    uint64_t bytes = atomic_load(&pb_memory_definition(world.root)->length_bytes);
    if (bytes != (uint64_t)pages * 65536) {
        broken("R11-shared-grow", "%llu bytes where the growths add up to %u pages",
               (unsigned long long)bytes, pages);
    }
}

/* At quiescence the sum of notify results is the number of waits that returned 0 (R22). */
static const char *check_sums(const struct event *event, unsigned events) {
    for (unsigned i = 0; i < events; i++) {
        uint64_t address = event[i].address, counted = 0, notified = 0;
        if (event[i].kind != EVENT_WAIT && event[i].kind != EVENT_NOTIFY) {
            continue;
        }
        for (unsigned j = 0; j < events; j++) {
            const struct event *e = &event[j];
            if (e->address == address && e->kind == EVENT_NOTIFY) {
                counted += e->woken;
            }
            notified +=
                e->address == address && e->kind == EVENT_WAIT && e->outcome == WAIT_NOTIFIED;
        }
        if (counted != notified) {
            return "R22-no-spurious";
        }
    }
    return NULL;
}

/* The mailbox writes its words and notifies its flag itself, which the history does not show. */
static const char *check_history(void) {
    struct event known[HISTORY_EVENTS_MAX];
    unsigned count = 0;
    if (world.events_lost) {
        return NULL;
    }
    for (unsigned i = 0; i < world.events; i++) {
        const struct event *e = &world.event[i];
        uint64_t cell = e->address / CELL_BYTES * CELL_BYTES;
        if (e->kind == EVENT_DISABLE || !mailbox_has(cell, CELL_BYTES)) {
            known[count++] = *e;
        }
    }
    const char *rule = check_sums(known, count);
    return rule != NULL ? rule : history_check(known, count, !world.values_lost);
}

void memory_end(void) {
    const char *rule = check_history();
    if (rule != NULL) {
        broken(rule, "no order of these waits and notifies explains their results");
    }
    if (world.root == NULL) {
        return;
    }
    check_growth();
    if (pb_memory_waiters(world.root) != 0) {
        broken("R27-queue-life", "%u waiters are left", pb_memory_waiters(world.root));
    }
    pb_memory_destroy(world.root);
    world.root = NULL;
}

/* Waits that never returned: they must be in their queues, and nobody may have disabled them. */
const char *memory_at_rest(void) {
    unsigned blocked = 0;
    for (unsigned i = 0; i < world.events; i++) {
        const struct event *e = &world.event[i];
        if (e->kind != EVENT_WAIT || e->outcome != WAIT_PENDING) {
            continue;
        }
        blocked++;
        if (world.disable_end != NEVER) {
            return "R29-disable";
        }
    }
    if (world.waiters_max != 0 && blocked > world.waiters_max) {
        return "R28-waiter-limit";
    }
    return check_history();
}

/* ---- Events ------------------------------------------------------------------------------------
 */

static struct event *event_new(enum event_kind kind, uint64_t address) {
    if (world.events == HISTORY_EVENTS_MAX) {
        world.events_lost = true;
        return NULL;
    }
    struct event *e = &world.event[world.events++];
    *e =
        (struct event){.kind = kind, .start = moment(), .end = HISTORY_PENDING, .address = address};
    return e;
}

/* ---- Growth, copies, handles ------------------------------------------------------------------
 */

void memory_grew(uint32_t old_pages, uint32_t delta) {
    if ((uint64_t)old_pages + delta > world.type.max_pages) {
        broken("R5-grow-limit", "grow by %u from %u pages, of at most %u", delta, old_pages,
               world.type.max_pages);
    }
    if (delta != 0 && world.growths < GROWS_MAX) {
        world.grown[world.growths++] = (struct grown){old_pages, delta};
    }
}

static void op_grow(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_grow.m];
    uint32_t delta = (uint32_t)op->arg.memory_grow.pages, old_pages = 0;
    if (memory == NULL || world.growths == GROWS_MAX) {
        return;
    }
    uint64_t before = pb_memory_size_pages(memory);
    enum pb_status status = pb_memory_grow(memory, delta, &old_pages);
    uint64_t after = pb_memory_size_pages(memory);
    if (status == PB_OK) {
        uint64_t value;
        memory_grew(old_pages, delta);
        if (old_pages < before) {
            broken("R5-grow-limit", "grow by %u from %u pages, where there were %u", delta,
                   old_pages, (unsigned)before);
        }
        uint64_t last = ((uint64_t)old_pages + delta) * 65536 - 1;
        if (after < (uint64_t)old_pages + delta ||
            pb_memory_load(memory, (uint32_t)last, 0, 1, &value) != PB_OK) {
            broken("R11-shared-grow", "the last byte of a growth to %u pages is out of bounds",
                   old_pages + delta);
        }
    } else if (status == PB_LIMIT ? after + delta <= world.type.max_pages : !world.faulty) {
        broken(status == PB_LIMIT ? "R5-grow-limit" : "R6-grow-atomic",
               "grow by %u at %u pages says %s", delta, (unsigned)after, pb_status_name(status));
    }
    if (atomic_load(&pb_memory_definition(memory)->base) != world.base) {
        broken("R10-base", "the base of a shared memory moved");
    }
}

static void op_copy(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_copy.m], *copy = NULL;
    if (memory == NULL || pb_memory_size_pages(memory) > 1 || world.copied) {
        return; /* each word is a step: one small copy a run */
    }
    world.copied = true;
    uint32_t before = pb_memory_size_pages(memory);
    enum pb_status status = pb_memory_copy(memory, &copy);
    if (status != PB_OK) {
        if (!world.faulty) {
            broken("R13-copy", "a copy was refused: %s", pb_status_name(status));
        }
        return;
    }
    uint32_t pages = pb_memory_size_pages(copy), after = pb_memory_size_pages(memory);
    uint64_t value = 0;
    struct pb_memory_type type = pb_memory_type(copy);
    if (pages < before || pages > after || !type.shared || type.max_pages != world.type.max_pages) {
        broken("R13-copy", "a copy of %u to %u pages has %u", before, after, pages);
    }
    if (pb_memory_load(copy, pages * 65536 - 1, 0, 1, &value) != PB_OK) {
        broken("R13-copy", "the last byte of a copy is out of bounds");
    }
    pb_memory_destroy(copy);
}

static void op_clone(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_clone.m];
    struct pb_memory **to = &a->handle[op->arg.memory_clone.to];
    if (memory != NULL && *to == NULL && pb_memory_clone(memory, to) != PB_OK && !world.faulty) {
        broken("R14-clone", "a shared memory refused to be cloned");
    }
}

/* Called by every thread that is about to sleep: past this point a wait does not touch its handle,
 * and whoever destroys that handle knows it. Only where somebody may: it is one more step. */
void os_sim_sleeps(void);
void os_sim_sleeps(void) {
    for (unsigned i = 0; world.destroys && i < OP_THREADS; i++) {
        struct actor *a = &world.actor[i];
        if (a->in_wait && a->engine_thread == sim_self()) {
            (void)sim_atomic_rmw(&world.bed[i], 4, SIM_ADD, 1, __ATOMIC_RELEASE);
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

static struct event *disable_begins(void) {
    struct event *e = event_new(EVENT_DISABLE, 0);
    world.disable_start = world.disable_start == NEVER ? moment() : world.disable_start;
    return e;
}

static void disable_ended(struct event *e) {
    world.disable_end = world.disable_end == NEVER ? moment() : world.disable_end;
    if (e != NULL) {
        e->end = moment();
    }
}

/* All handles but self's, taken away at once: until now each was its thread's own. */
static unsigned take_handles(const struct actor *self, struct pb_memory **taken) {
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
static void destroy_all(const struct actor *self, struct pb_memory *own) {
    struct pb_memory *taken[OP_THREADS * OP_MEMORIES + 1];
    unsigned count = take_handles(self, taken);
    world.gone = true;
    for (unsigned i = 0; i < OP_THREADS; i++) { /* what they did before they slept is over */
        (void)sim_atomic_rmw(&world.bed[i], 4, SIM_ADD, 0, __ATOMIC_ACQUIRE);
    }
    check_growth();
    world.root = NULL;
    struct event *e = disable_begins();
    for (unsigned i = 0; i < count; i++) {
        pb_memory_destroy(taken[i]);
    }
    pb_memory_destroy(own);
    disable_ended(e);
}

static void op_destroy(struct actor *a, const struct op *op) {
    struct pb_memory **handle = &a->handle[op->arg.memory_destroy.m], *own = *handle;
    *handle = NULL;
    bool last = own != NULL && world.threaded && world.mailbox == NULL && !has_handle(a);
    if (last && others_sleep(a)) {
        destroy_all(a, own);
    } else {
        pb_memory_destroy(own);
    }
}

/* ---- Words ------------------------------------------------------------------------------------
 */

static void event_cancel(struct event *e) {
    if (e != NULL) { /* others may have come meanwhile: it stays as one that did nothing */
        e->kind = EVENT_NOTIFY;
        e->count = e->woken = 0;
        e->end = moment();
    }
}

static bool sound_width(uint64_t width) {
    return width == 1 || width == 2 || width == 4 || width == 8;
}

static const unsigned widths[] = {1, 2, 4, 8, 3};

static void write_word(struct actor *a, uint64_t slot, uint64_t at, uint64_t offset, uint64_t word,
                       enum event_write kind, enum pb_rmw rmw, uint64_t value) {
    struct pb_memory *memory = a->handle[slot];
    if (memory == NULL) {
        return;
    }
    uint64_t size = size_now(memory);
    uint32_t index = (uint32_t)op_address(at, size);
    uint64_t address = (uint64_t)index + offset, old = 0;
    unsigned width = widths[word];
    if (!mailbox_scribbles(a, address, width)) {
        return;
    }
    struct event *e = event_new(EVENT_WRITE, address);
    if (e != NULL) {
        e->width = width;
        e->write = kind;
        e->value = width < CELL_BYTES ? value & ((UINT64_C(1) << 8 * width) - 1) : value;
    }
    enum pb_status status =
        kind == WRITE_STORE
            ? pb_memory_atomic_store(memory, index, (uint32_t)offset, width, value)
            : pb_memory_atomic_rmw(memory, rmw, index, (uint32_t)offset, width, value, &old);
    bool aligned = sound_width(width) && address % width == 0;
    if (status == PB_OK ? !aligned : aligned && address + width <= size) {
        broken("R18-access", "an access of %u bytes at %llu of %llu says %s", width,
               (unsigned long long)address, (unsigned long long)size, pb_status_name(status));
    }
    if (status != PB_OK) {
        event_cancel(e);
    } else if (e != NULL) {
        e->old = old;
        e->end = moment();
    }
}

static void op_store(struct actor *a, const struct op *op) {
    write_word(a, op->arg.memory_atomic_store.m, op->arg.memory_atomic_store.at,
               op->arg.memory_atomic_store.offset, op->arg.memory_atomic_store.width, WRITE_STORE,
               PB_RMW_XCHG, op->arg.memory_atomic_store.value);
}

static void op_rmw(struct actor *a, const struct op *op) {
    static const struct {
        enum event_write write;
        enum pb_rmw rmw;
    } kinds[] = {{WRITE_ADD, PB_RMW_ADD}, {WRITE_SUB, PB_RMW_SUB}, {WRITE_AND, PB_RMW_AND},
                 {WRITE_OR, PB_RMW_OR},   {WRITE_XOR, PB_RMW_XOR}, {WRITE_XCHG, PB_RMW_XCHG}};
    unsigned kind = (unsigned)op->arg.memory_atomic_rmw.kind;
    write_word(a, op->arg.memory_atomic_rmw.m, op->arg.memory_atomic_rmw.at,
               op->arg.memory_atomic_rmw.offset, op->arg.memory_atomic_rmw.width, kinds[kind].write,
               kinds[kind].rmw, op->arg.memory_atomic_rmw.value);
}

/* ---- Plain bytes, which guests may race for ----------------------------------------------------
 */

/* A range that ends within the size is fine, one that does not is a trap (R16, R18); what the
 * memory grew by meanwhile may be either. */
static void check_range(const char *rule, enum pb_status status, uint64_t at, uint64_t count,
                        uint64_t before, uint64_t after) {
    bool within = at <= before && count <= before - at;
    bool beyond = at > after || count > after - at;
    if ((within && status != PB_OK) || (beyond && status == PB_OK)) {
        broken(rule, "%llu bytes at %llu of %llu: %s", (unsigned long long)count,
               (unsigned long long)at, (unsigned long long)after, pb_status_name(status));
    }
}

/* Writes that the history does not know: what waits compare with is not checked any more. */
static bool may_write(const struct actor *a, uint64_t at, uint64_t count) {
    world.values_lost = true;
    return mailbox_scribbles(a, at, count);
}

static void op_load(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_load.m];
    unsigned width = widths[op->arg.memory_load.width];
    if (memory == NULL || !sound_width(width)) {
        return;
    }
    uint64_t before = size_now(memory), value;
    uint32_t index = (uint32_t)op_address(op->arg.memory_load.at, before);
    uint32_t offset = (uint32_t)op->arg.memory_load.offset;
    enum pb_status status = pb_memory_load(memory, index, offset, width, &value);
    check_range("R18-access", status, (uint64_t)index + offset, width, before, size_now(memory));
}

static void op_plain_store(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_store.m];
    unsigned width = widths[op->arg.memory_store.width];
    if (memory == NULL || !sound_width(width)) {
        return;
    }
    uint64_t before = size_now(memory);
    uint32_t index = (uint32_t)op_address(op->arg.memory_store.at, before);
    uint32_t offset = (uint32_t)op->arg.memory_store.offset;
    if (may_write(a, (uint64_t)index + offset, width)) {
        enum pb_status status =
            pb_memory_store(memory, index, offset, width, op->arg.memory_store.value);
        check_range("R18-access", status, (uint64_t)index + offset, width, before,
                    size_now(memory));
    }
}

static void op_bulk_copy(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_bulk_copy.m];
    uint32_t count = (uint32_t)op->arg.memory_bulk_copy.count % BULK_MAX;
    if (memory == NULL) {
        return;
    }
    uint64_t before = size_now(memory);
    uint32_t to = (uint32_t)op_address(op->arg.memory_bulk_copy.to, before);
    uint32_t from = (uint32_t)op_address(op->arg.memory_bulk_copy.from, before);
    if (may_write(a, to, count)) {
        enum pb_status status = pb_memory_bulk_copy(memory, to, from, count);
        check_range("R16-bulk", status, to > from ? to : from, count, before, size_now(memory));
    }
}

static void op_bulk_fill(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_bulk_fill.m];
    uint32_t count = (uint32_t)op->arg.memory_bulk_fill.count % BULK_MAX;
    if (memory == NULL) {
        return;
    }
    uint64_t before = size_now(memory);
    uint32_t at = (uint32_t)op_address(op->arg.memory_bulk_fill.at, before);
    if (may_write(a, at, count)) {
        enum pb_status status =
            pb_memory_bulk_fill(memory, at, (uint8_t)op->arg.memory_bulk_fill.value, count);
        check_range("R16-bulk", status, at, count, before, size_now(memory));
    }
}

static void op_initialise(struct actor *a, const struct op *op) {
    static const uint8_t data[BULK_MAX] = {1, 2, 3};
    struct pb_memory *memory = a->handle[op->arg.memory_initialise.m];
    uint64_t count = op->arg.memory_initialise.count % BULK_MAX;
    if (memory == NULL) {
        return;
    }
    uint64_t before = size_now(memory), at = op_address(op->arg.memory_initialise.at, before);
    if (may_write(a, at, count)) {
        enum pb_status status = pb_memory_initialise(memory, at, data, count);
        check_range("R17-init", status, at, count, before, size_now(memory));
    }
}

static void op_read(struct actor *a, const struct op *op) {
    uint8_t data[BULK_MAX];
    struct pb_memory *memory = a->handle[op->arg.memory_read.m];
    uint64_t count = op->arg.memory_read.count % BULK_MAX;
    if (memory != NULL) {
        uint64_t before = size_now(memory), at = op_address(op->arg.memory_read.at, before);
        enum pb_status status = pb_memory_read(memory, at, data, count);
        check_range("R17-read", status, at, count, before, size_now(memory));
    }
}

/* ---- Wait and notify --------------------------------------------------------------------------
 */

/* Checks before anything else (R19): true when the status is settled by them. */
static bool checked(enum pb_status status, uint64_t address, unsigned align, unsigned width,
                    uint64_t before, uint64_t after, const char *what) {
    enum pb_status expected = PB_OK;
    if (address % align != 0) {
        expected = PB_MISALIGNED;
    } else if (address > after || after - address < width) {
        expected = PB_OUT_OF_BOUNDS;
    } else if (address > before || before - address < width) {
        return status == PB_OUT_OF_BOUNDS; /* it grew meanwhile: either is right */
    }
    bool settled = status == PB_MISALIGNED || status == PB_OUT_OF_BOUNDS;
    if (expected != PB_OK ? status != expected : settled) {
        broken("R19-checks", "%s at %llu of %llu bytes says %s", what, (unsigned long long)address,
               (unsigned long long)after, pb_status_name(status));
    }
    return settled;
}

/* Others that may be blocked at some moment from start until now. */
static unsigned others_blocked(const struct event *self) {
    unsigned count = 0;
    for (unsigned i = 0; i < world.events; i++) {
        const struct event *e = &world.event[i];
        count += e != self && e->kind == EVENT_WAIT && e->end > self->start &&
                 (e->outcome != WAIT_NOT_EQUAL && e->outcome != WAIT_AT_ONCE);
    }
    return count + (world.guest >= 0) + world.onlookers; /* who parks waits, too */
}

/* The mailbox's flag: its notifies are no events. */
static bool mailbox_notifies(uint64_t address) {
    return world.mailbox != NULL && address == (uint64_t)world.offset + PB_MAILBOX_FLAG_OFFSET;
}

/* Who was notified sees what its notifier did before: each leaves a number first, in memory of the
 * engine's. Only where one notify alone can have counted the wait. */
static void check_seen(const struct event *wait) {
    const struct event *notify = NULL;
    if (mailbox_notifies(wait->address)) {
        return;
    }
    for (unsigned i = 0; i < world.events; i++) {
        const struct event *e = &world.event[i];
        if (e->kind == EVENT_NOTIFY && e->address == wait->address && e->end > wait->start &&
            (e->woken > 0 || e->end == HISTORY_PENDING)) {
            if (notify != NULL) {
                return;
            }
            notify = e;
        }
    }
    if (notify != NULL &&
        sim_atomic_load(&world.beacon[notify->thread], 4, __ATOMIC_RELAXED) < notify->number) {
        broken("R22-notifier-unseen", "notified, and what T%u did before is not seen",
               notify->thread);
    }
}

static void wait_ended(struct event *e, enum pb_status status, enum pb_wait result,
                       int64_t timeout_ns, uint64_t took_ns) {
    if (status == PB_DISABLED) {
        e->outcome = WAIT_DISABLED;
        if (world.disable_start == NEVER) {
            broken("R29-disable", "a wait says disabled, and nobody did");
        }
    } else if (status == PB_TOO_MANY_WAITERS) {
        e->outcome = WAIT_AT_ONCE;
        if (world.waiters_max == 0 || others_blocked(e) < world.waiters_max) {
            broken("R28-waiter-limit", "too many waiters: %u others, the limit is %u",
                   others_blocked(e), world.waiters_max);
        }
    } else if (status != PB_OK) {
        broken("R19-checks", "a wait says %s", pb_status_name(status));
    } else if (result == PB_WAIT_TIMED_OUT) {
        e->outcome = timeout_ns == 0 ? WAIT_AT_ONCE : WAIT_TIMED_OUT;
        bool early = timeout_ns < 0 || took_ns < (uint64_t)timeout_ns;
        if (early && world.disable_start != NEVER) {
            broken("R29-disable", "timed out too early where atomics were disabled");
        }
        if (early) {
            broken("R23-timeout", "timed out after %llu ns of %lld", (unsigned long long)took_ns,
                   (long long)timeout_ns);
        }
    } else {
        e->outcome = result == PB_WAIT_NOTIFIED ? WAIT_NOTIFIED : WAIT_NOT_EQUAL;
    }
    if (world.disable_end != NEVER && e->start > world.disable_end && status != PB_DISABLED) {
        broken("R29-disable", "a wait after disable says %s", pb_status_name(status));
    }
}

static void wait_word(struct actor *a, uint64_t slot, uint64_t at, unsigned width,
                      uint64_t expected, int64_t timeout_ns) {
    struct pb_memory *memory = a->handle[slot];
    if (memory == NULL || a->holds) { /* who holds the mailbox must not block */
        return;
    }
    uint64_t before = size_now(memory), address = op_address(at, before);
    struct event *e = mailbox_scribbles(a, address, width) ? event_new(EVENT_WAIT, address) : NULL;
    if (e == NULL) {
        return;
    }
    e->width = width;
    e->value = expected;
    e->outcome = WAIT_PENDING;
    enum pb_wait result = PB_WAIT_NOTIFIED;
    uint64_t began_ns = pb_os_clock_ns();
    a->asleep = false;
    a->in_wait = true;
    enum pb_status status =
        width == 4 ? pb_memory_wait32(memory, address, (uint32_t)expected, timeout_ns, &result)
                   : pb_memory_wait64(memory, address, expected, timeout_ns, &result);
    a->in_wait = false;
    uint64_t took_ns = pb_os_clock_ns() - began_ns;
    uint64_t after = world.gone ? (uint64_t)world.type.max_pages * 65536 : size_now(memory);
    if (checked(status, address, width, width, before, after, "wait")) {
        event_cancel(e);
        return;
    }
    wait_ended(e, status, result, timeout_ns, took_ns);
    e->end = moment();
    if (e->outcome == WAIT_NOTIFIED) {
        check_seen(e);
    }
}

static void op_wait32(struct actor *a, const struct op *op) {
    wait_word(a, op->arg.memory_wait32.m, op->arg.memory_wait32.at, 4,
              op->arg.memory_wait32.expected, (int64_t)op->arg.memory_wait32.timeout_ns);
}

static void op_wait64(struct actor *a, const struct op *op) {
    wait_word(a, op->arg.memory_wait64.m, op->arg.memory_wait64.at, 8,
              op->arg.memory_wait64.expected, (int64_t)op->arg.memory_wait64.timeout_ns);
}

static void op_notify(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_notify.m];
    if (memory == NULL) {
        return;
    }
    uint64_t before = size_now(memory), address = op_address(op->arg.memory_notify.at, before);
    uint32_t count = (uint32_t)op->arg.memory_notify.count, woken = 0;
    struct event *e = mailbox_scribbles(a, address, 4) ? event_new(EVENT_NOTIFY, address) : NULL;
    if (e == NULL) {
        return;
    }
    e->count = count;
    e->thread = a->number;
    e->number = ++a->notifies;
    sim_atomic_store(&world.beacon[a->number], 4, e->number, __ATOMIC_RELAXED);
    enum pb_status status = pb_memory_notify(memory, address, count, &woken);
    if (checked(status, address, 4, 4, before, size_now(memory), "notify")) {
        event_cancel(e);
        return;
    }
    if (woken > count) {
        broken("R24-count", "notify woke %u of at most %u", woken, count);
    }
    e->woken = woken;
    e->end = moment();
}

static void op_disable(struct actor *a, const struct op *op) {
    struct pb_memory *memory = a->handle[op->arg.memory_disable_atomics.m];
    if (memory == NULL) {
        return;
    }
    struct event *e = disable_begins();
    pb_memory_disable_atomics(memory);
    disable_ended(e);
}

actor_operation *memory_operation(uint8_t code) {
    static actor_operation *const operations[256] = {
        [OP_memory_grow] = op_grow,
        [OP_memory_copy] = op_copy,
        [OP_memory_clone] = op_clone,
        [OP_memory_destroy] = op_destroy,
        [OP_memory_load] = op_load,
        [OP_memory_store] = op_plain_store,
        [OP_memory_bulk_copy] = op_bulk_copy,
        [OP_memory_bulk_fill] = op_bulk_fill,
        [OP_memory_initialise] = op_initialise,
        [OP_memory_read] = op_read,
        [OP_memory_atomic_store] = op_store,
        [OP_memory_atomic_rmw] = op_rmw,
        [OP_memory_wait32] = op_wait32,
        [OP_memory_wait64] = op_wait64,
        [OP_memory_notify] = op_notify,
        [OP_memory_disable_atomics] = op_disable,
    };
    return operations[code];
}
