/* interleave_tenants.c: memories that threads create, use and destroy, each its own: the register
 * of owners, budgets, the slots of a pool, pins and copies that another thread has. */
#include "note.h"
#include "sim.h"
#include "world.h"

#include <string.h>

/* ---- Which memories there are -----------------------------------------------------------------
 */

/* Records that the tenant ends now. */
static void tenant_ends(struct tenant *t) {
    if (t->to == NEVER) {
        t->to = concurrent_moment(&world.judge);
    }
}

/* Called when address space has been given back: no question by who has heard of that may be
 * answered with the memory that was there, since another may be there (R39). Who has not may still
 * read the old entry. */
void os_sim_released(const void *base, uint64_t bytes);
void os_sim_released(const void *base, uint64_t bytes) {
    memory_check_pins(base, bytes);
    for (unsigned i = 0; i < world.tenants; i++) {
        struct tenant *t = &world.tenant[i];
        if ((uintptr_t)t->base - (uintptr_t)base < bytes && t->to == NEVER) {
            tenant_ends(t);
            t->released = world.hears ? 1 + (uint32_t)sim_atomic_rmw(&world.released_mark, 4,
                                                                     SIM_ADD, 1, __ATOMIC_RELEASE)
                                      : 0;
        }
    }
}

static bool is_of(const struct tenant *t, const struct subject_owner *owner,
                  const uint8_t *address) {
    return owner->record == t->record && t->base + owner->offset_bytes == address &&
           owner->offset_bytes < t->bytes;
}

static bool could_be(const struct tenant *t, const struct subject_owner *owner,
                     const uint8_t *address, uint32_t start) {
    return is_of(t, owner, address) && (t->to == NEVER || t->to > start) &&
           owner->length_bytes <= t->bytes && owner->length_bytes % SUBJECT_PAGE_BYTES == 0;
}

/* Whether the answer is a memory of which the asking thread knows that it is gone. heard: so many
 * places were given back before. */
static bool is_stale(const struct tenant *t, const struct subject_owner *owner,
                     const uint8_t *address, uint64_t heard) {
    return t->released != 0 && t->released <= heard && is_of(t, owner, address);
}

/* Keeps an answer until it is known which memories there were. */
static void remember(const struct subject_owner *owner, const uint8_t *address) {
    if (world.answers < ANSWERS_MAX) {
        world.owned[world.answers++] =
            (struct owned){owner->record, address - owner->offset_bytes, owner->length_bytes};
    }
}

/* A size that the memory had: none while it was being made, what it was made with, what it grew to.
 */
static bool had_length(const struct tenant *t, uint64_t length_bytes) {
    return length_bytes == 0 || length_bytes == t->bytes ||
           (t->grew && length_bytes == t->bytes - SUBJECT_PAGE_BYTES);
}

static bool others_copy(void) {
    bool copies = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        copies |= world.copies_to[i] != 0;
    }
    return copies;
}

/* Each answer's length is one of the memory that it names (R39), where all memories are known. */
static void check_lengths(void) {
    const bool unknown = world.judge.faulty || world.tenants == TENANTS_MAX || others_copy();
    for (unsigned i = 0; i < world.answers && !unknown; i++) {
        const struct owned *a = &world.owned[i];
        bool known = false, had = false;
        for (unsigned j = 0; j < world.tenants; j++) {
            const struct tenant *t = &world.tenant[j];
            const bool same = t->record == a->record && t->base == a->base;
            known |= same;
            had |= same && had_length(t, a->length_bytes);
        }
        if (known && !had) {
            world_check(concurrent_found("R39-owner", "a memory is said to have %llu bytes",
                                         (unsigned long long)a->length_bytes));
        }
    }
}

/* Asks who owns the address. The answer must be a memory that contained it (R39), and one that the
 * asking thread does not know to be gone. hears: it looks first at what was given back. */
static void ask_owner(const uint8_t *address, const struct tenant *sure, bool hears) {
    struct subject_owner owner = {0};
    const uint64_t heard = hears ? sim_atomic_load(&world.released_mark, 4, __ATOMIC_ACQUIRE) : 0;
    const uint32_t start = concurrent_moment(&world.judge);
    if (!world.m->owner_of(address, &owner)) {
        if (sure != NULL) {
            world_check(concurrent_found("R39-owner", "a byte of a living memory is nobody's"));
        }
        return;
    }
    remember(&owner, address);
    bool known = owner.record == world.record && world.base + owner.offset_bytes == address;
    bool stale = false;
    for (unsigned i = 0; i < world.tenants; i++) {
        known |= is_of(&world.tenant[i], &owner, address);
        stale |= is_stale(&world.tenant[i], &owner, address, heard);
    }
    /* a memory that another thread is creating is not in the table yet; a copy may be in a slot
     * that a tenant had */
    bool unknown = stale || (!known && !others_copy() && world.making == 0);
    if (sure != NULL ? !could_be(sure, &owner, address, start) : unknown) {
        world_check(concurrent_found("R39-owner", "offset and record are not of one memory"));
    }
}

static bool can_ask(void) {
    return world.m != NULL && world.m->owner_of != NULL && world.m->record != NULL;
}

/* Bits of a tenant's `pages`. */
enum {
    TWO_PAGES = 1,
    MOVES = 2,
    IN_POOL = 4,
    PINNED = 8,  /* another thread has a pin of it */
    COPIED = 16, /* another thread has its copy */
    RESET = 32,
    GOES = 64,          /* at once */
    LAST_OF_POOL = 128, /* its pool is released: the memories in it are all that keeps it */
    REPLACES = 256,     /* first ends one that was there before the threads, and lay elsewhere */
    AMONG_MANY = 512,   /* so many others are there that the register of owners must grow */
    SCANS = 1024,       /* in a slot of a pool that scans */
    FROM_IMAGE = 2048   /* begins as an image, which memories of several threads may share */
};

static bool wants(const struct op *op, unsigned bit) {
    return (op->arg.memory_tenant.pages & bit) != 0;
}

bool memory_wants_early(const struct op *op) {
    return op->code == OP_memory_tenant && wants(op, REPLACES);
}

bool memory_wants_many(const struct op *op) {
    return op->code == OP_memory_tenant && wants(op, AMONG_MANY);
}

static enum word_strategy tenants_strategy(const struct op *op) {
    return wants(op, MOVES)                 ? WORD_strategy_move
           : wants(op, SCANS)               ? WORD_strategy_pool_scan
           : wants(op, IN_POOL)             ? WORD_strategy_pool
           : wants(op, COPIED | FROM_IMAGE) ? WORD_strategy_image
                                            : WORD_strategy_reserve;
}

static bool is_pooled(enum word_strategy strategy) {
    return strategy == WORD_strategy_pool || strategy == WORD_strategy_pool_scan;
}

static const uint8_t *image_of(const struct op *op) {
    static const uint8_t zeros[2 * SUBJECT_PAGE_BYTES];
    return tenants_strategy(op) == WORD_strategy_image && wants(op, FROM_IMAGE) ? zeros : NULL;
}

/* Makes the subject's pool, or image, which comes with its first memory, before there are two
 * threads. */
bool memory_pool_first(const struct op *op) {
    const enum word_strategy strategy = tenants_strategy(op);
    const uint32_t pages = 1 + (uint32_t)wants(op, TWO_PAGES);
    const struct subject_memory_config config = {
        .type = {.min_pages = pages, .max_pages = pages},
        .style = SUBJECT_STYLE_DYNAMIC,
        .strategy = memory_strategy(strategy),
        .image = image_of(op),
        .image_bytes = image_of(op) != NULL ? pages * SUBJECT_PAGE_BYTES : 0,
    };
    void *memory;
    const bool first = can_ask() && (is_pooled(strategy) || config.image != NULL);
    if (first && world.m->create(&config, &memory) == SUBJECT_OK) {
        world.m->destroy(memory);
        world.pooled = strategy;
    }
    return first;
}

/* No two living memories share bytes, and together they keep to their budget. */
static void tenant_granted(const struct tenant *t, uint64_t bytes) {
    if (world.budget_bytes != 0) {
        memory_granted(bytes);
    }
    for (unsigned i = 0; i < world.tenants; i++) {
        const struct tenant *other = &world.tenant[i];
        bool apart = other->base >= t->base + t->bytes || t->base >= other->base + other->bytes;
        if (other != t && other->to == NEVER && !other->unsure && !apart) {
            world_check(concurrent_found("R15-shared-slot", "two living memories share bytes"));
        }
    }
}

/* Keeps a memory that was made; NULL, and it is gone, if there is no room: then every answer counts
 * as right from now on. */
static struct tenant *tenant_new(void *memory, uint64_t bytes) {
    if (world.tenants == TENANTS_MAX) {
        world.m->destroy(memory);
        concurrent_unclaims(&world.claims, bytes);
        return NULL;
    }
    struct tenant *t = &world.tenant[world.tenants++];
    *t = (struct tenant){.base = memory_base(memory),
                         .bytes = bytes,
                         .record = world.m->record(memory),
                         .from = concurrent_moment(&world.judge)};
    world.making--;
    tenant_granted(t, t->bytes);
    return t;
}

/* The call has failed that claimed so much. */
static void unclaim(enum subject_status status, uint32_t from, uint64_t bytes) {
    if (status == SUBJECT_REFUSED) {
        concurrent_refuses(&world.claims, from, bytes);
    } else {
        concurrent_unclaims(&world.claims, bytes);
    }
}

static struct tenant *tenant_create(const struct subject_memory_config *config, void **memory) {
    const uint64_t bytes = config->type.min_pages * SUBJECT_PAGE_BYTES;
    world.making++;
    const uint32_t from = concurrent_claims(&world.claims, bytes);
    const enum subject_status status = world.m->create(config, memory);
    if (status == SUBJECT_OK) {
        return tenant_new(*memory, bytes);
    }
    world.making--;
    unclaim(status, from, bytes);
    return NULL;
}

static struct tenant *tenant_copy(void *memory, const struct tenant *of, void **copy) {
    world.making++;
    const uint32_t from = concurrent_claims(&world.claims, of->bytes);
    const enum subject_status status = world.m->copy(memory, copy);
    if (status == SUBJECT_OK) {
        return tenant_new(*copy, of->bytes);
    }
    world.making--;
    unclaim(status, from, of->bytes);
    return NULL;
}

static void tenant_destroy(void *memory, struct tenant *t) {
    world.granted_bytes -= world.budget_bytes != 0 ? t->bytes : 0;
    t->unsure = true;
    world.m->destroy(memory);
    tenant_ends(t);
}

/* Grows an unshared tenant by one page, which moves it. It owns its new place, and the old one only
 * while that is still its own. */
static struct tenant *tenant_moves(void *memory, struct tenant *t, enum subject_status *status) {
    uint32_t old;
    world.making++;
    t->unsure = true;
    const uint32_t from = concurrent_claims(&world.claims, SUBJECT_PAGE_BYTES);
    *status = world.m->grow(memory, 1, &old);
    if (*status == SUBJECT_OK) {
        if (world.tenants < TENANTS_MAX) {
            struct tenant *next = &world.tenant[world.tenants++];
            *next = (struct tenant){.base = memory_base(memory),
                                    .bytes = t->bytes + SUBJECT_PAGE_BYTES,
                                    .record = t->record,
                                    .from = t->from,
                                    .grew = true};
            tenant_ends(t);
            t = next;
            tenant_granted(t, SUBJECT_PAGE_BYTES);
        } else {
            world.making++; /* it is not recorded, so every answer counts as right from now on */
        }
    } else {
        unclaim(*status, from, SUBJECT_PAGE_BYTES);
    }
    world.making--;
    return t;
}

/* ---- What is in them, and who else has a part ---------------------------------------------------
 */

enum { LEFT = 0x1EF7, LODGED = 0x10D6 }; /* what the owner, and who has a pin, writes */

/* The first word, by a plain access. */
static uint32_t word_of(const void *base, const char *rule) {
    uint32_t value;
    answer_reads(rule, base, sizeof value);
    memcpy(&value, base, sizeof value);
    return value;
}

static void put_word(void *base, const char *rule, uint32_t value) {
    answer_writes(rule, base, sizeof value);
    memcpy(base, &value, sizeof value);
}

/* Nothing of an earlier tenant is there; then there is something (R15). */
static void settle(const uint8_t *base) {
    if (base == NULL) {
        return;
    }
    const uint32_t found = word_of(base, "R15-reuse");
    if (found != 0) {
        world_check(concurrent_found("R15-reuse", "a fresh memory begins with %x", found));
    }
    put_word((void *)(uintptr_t)base, "R15-reuse", LEFT);
}

/* Another thread's part in a tenant: a pin, or a copy of it. */
struct lodger {
    int thread; /* -1: there is none */
    void *pin;
    uint8_t *bytes;
    bool races; /* somebody else reads meanwhile: its write is atomic */
    void *copy;
    struct tenant *of; /* the copy */
};

/* Writes through the pin, then gives it up: whoever moves the memory then has what was written. */
static void lodge(void *arg) {
    struct lodger *l = arg;
    if (l->races) {
        answer_stores("R42-pin", l->bytes, LODGED);
    } else {
        put_word(l->bytes, "R42-pin", LODGED);
    }
    world.untold->unpin(l->pin);
}

/* The copy is this thread's own. */
static void inherit(void *arg) {
    struct lodger *l = arg;
    const uint32_t found = word_of(l->bytes, "R13-copy");
    if (found != LEFT && !(l->races && found == LODGED)) {
        world_check(concurrent_found("R13-copy", "a copy begins with %x", found));
    }
    put_word(l->bytes, "R13-copy", LODGED);
    tenant_destroy(l->copy, l->of);
}

static void pin_for(struct lodger *l, void *memory, bool races) {
    const uint8_t *bytes;
    *l = (struct lodger){.thread = -1, .races = races};
    if (world.m->pin != NULL && world.m->pin(memory, 0, 4, &l->pin, &bytes) == SUBJECT_OK) {
        l->bytes = (uint8_t *)(uintptr_t)bytes;
        l->thread = sim_spawn(lodge, l);
    }
}

/* A part of the owner's own, while others give theirs up. */
static void pin_and_unpin(void *memory) {
    const uint8_t *bytes;
    void *pin;
    if (world.m->pin != NULL && world.m->pin(memory, 0, 4, &pin, &bytes) == SUBJECT_OK) {
        world.m->unpin(pin);
    }
}

static void copy_for(struct lodger *l, void *memory, const struct tenant *t, bool races) {
    *l = (struct lodger){.thread = -1, .races = races};
    l->of = world.m->copy != NULL ? tenant_copy(memory, t, &l->copy) : NULL;
    if (l->of != NULL) {
        l->bytes = (uint8_t *)(uintptr_t)l->of->base;
        l->thread = sim_spawn(inherit, l);
    }
}

static void lodger_ends(struct lodger *l) {
    if (l->thread >= 0) {
        sim_join(l->thread);
        concurrent_unclaims(&world.claims, l->of != NULL ? l->of->bytes : 0);
        l->thread = -1;
    }
}

/* Back to zeros, unless it is pinned. */
static void tenant_resets(void *memory, const struct tenant *t, enum subject_status *status) {
    *status = world.m->reset(memory);
    if (*status == SUBJECT_OK) {
        settle(t->base);
    }
}

/* Moves or resets it, which nobody may while the pin is held, and anybody may afterwards. */
static struct tenant *tenant_changes(const struct op *op, void *memory, struct tenant *t,
                                     struct lodger *pinned) {
    const bool resets = wants(op, RESET) && world.m->reset != NULL;
    const bool lodged = pinned->thread >= 0;
    enum subject_status status = SUBJECT_PINNED;
    for (unsigned i = 0; i < 2 && status == SUBJECT_PINNED; i++) {
        if (i > 0) {
            lodger_ends(pinned);
        }
        if (resets) {
            tenant_resets(memory, t, &status);
        } else {
            t = tenant_moves(memory, t, &status);
        }
    }
    lodger_ends(pinned);
    if (status == SUBJECT_PINNED) {
        world_check(concurrent_found("R42-pin", "pinned, and nobody holds a part any more"));
    }
    if (resets && status != SUBJECT_OK) {
        return t; /* it may only be released */
    }
    const uint32_t found = word_of(memory_base(memory), "R42-pin");
    if (found != (lodged && !resets ? LODGED : LEFT)) {
        world_check(
            concurrent_found("R42-pin", "what was written while it was pinned is %x", found));
    }
    return t;
}

static void tenant_once(const struct op *op, const struct subject_memory_config *config,
                        bool moves) {
    void *memory = NULL;
    struct lodger pinned = {.thread = -1}, copied = {.thread = -1};
    struct tenant *t = tenant_create(config, &memory);
    if (t == NULL) {
        return;
    }
    ask_owner(t->base + 1, t, false);
    settle(t->base);
    if (wants(op, PINNED)) {
        pin_for(&pinned, memory, wants(op, COPIED));
    }
    if (wants(op, COPIED)) {
        copy_for(&copied, memory, t, wants(op, PINNED));
    }
    if (!wants(op, GOES) && (moves || wants(op, RESET))) {
        if (pinned.thread >= 0) {
            pin_and_unpin(memory);
        }
        t = tenant_changes(op, memory, t, &pinned);
        ask_owner(t->base + 1, world.tenants < TENANTS_MAX ? t : NULL, false);
    }
    tenant_destroy(memory, t);
    lodger_ends(&pinned);
    lodger_ends(&copied);
    concurrent_unclaims(&world.claims, t->bytes);
}

/* A small memory that all threads know of, and one behind it: so a larger one does not fit in the
 * place that the first one leaves, but has its entry of the register. */
void memory_early_first(void) {
    const struct subject_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 1},
        .style = SUBJECT_STYLE_DYNAMIC,
        .strategy = memory_strategy(WORD_strategy_reserve),
    };
    if (can_ask() && world.budget_bytes == 0) {
        world.early_tenant = tenant_create(&config, &world.early);
        (void)world.m->create(&config, &world.early_neighbour);
    }
}

/* With the shared one, one less than a part of the reference's register holds. */
void memory_many_first(void) {
    const struct subject_memory_config config = {
        .style = SUBJECT_STYLE_DYNAMIC,
        .strategy = memory_strategy(WORD_strategy_heap),
    };
    while (can_ask() && world.many_made < MANY &&
           world.m->create(&config, &world.many[world.many_made]) == SUBJECT_OK) {
        world.many_made++;
    }
}

void memory_many_end(void) {
    while (world.many_made > 0) {
        world.m->destroy(world.many[--world.many_made]);
    }
}

void memory_early_end(void) {
    check_lengths();
    if (world.early_tenant != NULL) {
        tenant_destroy(world.early, world.early_tenant);
        world.early_tenant = NULL;
    }
    if (world.early_neighbour != NULL) {
        world.m->destroy(world.early_neighbour);
        world.early_neighbour = NULL;
    }
}

static void replace_early(void) {
    struct tenant *early = world.early_tenant;
    if (early != NULL) {
        world.early_tenant = NULL;
        tenant_destroy(world.early, early);
    }
}

static void tenant(const struct op *op) {
    const uint32_t pages = 1 + (uint32_t)wants(op, TWO_PAGES);
    const enum word_strategy wanted = tenants_strategy(op);
    const bool missing = (is_pooled(wanted) || image_of(op) != NULL) && world.pooled != wanted;
    const enum word_strategy strategy = missing ? WORD_strategy_reserve : wanted;
    const bool moves = strategy == WORD_strategy_move;
    const struct subject_memory_config config = {
        .type = {.min_pages = pages, .max_pages = pages + moves},
        .style = SUBJECT_STYLE_DYNAMIC,
        .strategy = memory_strategy(strategy),
        .budgeted = world.budget_bytes != 0,
        .reserve_pages_max = wants(op, LAST_OF_POOL) && world.tenancies == 1,
        .image = missing ? NULL : image_of(op),
        .image_bytes = missing || image_of(op) == NULL ? 0 : pages * SUBJECT_PAGE_BYTES,
    };
    if (wants(op, PINNED | COPIED)) { /* by threads that a program cannot have */
        note((struct note){.kind = NOTE_OTHER, .rule = "R42-pin"});
    }
    const uint64_t more = config.reserve_pages_max != 0 ? 0 : op->arg.memory_tenant.count % 3;
    if (wants(op, REPLACES)) {
        replace_early();
    }
    for (unsigned i = 0; i <= more; i++) {
        tenant_once(op, &config, moves);
    }
}

/* Half of the questions. */
static bool hears(const struct op *op) {
    return op->code == OP_memory_owner_of_tenant && op->arg.memory_owner_of_tenant.byte % 2 != 0;
}

bool memory_tenants(const struct op *op) {
    if (!can_ask()) {
        return false;
    }
    if (op->code == OP_memory_tenant) {
        world.judge.scarce = true;
        tenant(op);
    } else if (world.tenants > 0) {
        const struct tenant *t = &world.tenant[world.tenants - 1];
        ask_owner(t->base + op->arg.memory_owner_of_tenant.byte % t->bytes, NULL, hears(op));
    }
    return true;
}
