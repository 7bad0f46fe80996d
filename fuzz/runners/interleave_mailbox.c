/* interleave_mailbox.c: a mailbox that threads share: producers, a guest, moves and close. See
 * interleave_memory.c. */
#include "sim.h"
#include "world.h"

#include <string.h>

enum {
    ENQUEUES_MAX = 6,
    ROUNDS_MAX = 300,
    FRONT = 1024,
    SPILL_LIMIT = 8,
    PAGES_SPARE = 4,
    CLOSED = 2
};

/* ---- Set-up -----------------------------------------------------------------------------------
 */

/* The region, which moves with its memory. */
static void find_words(void) {
    uint8_t *memory;
    world.words = world.b->words == NULL || !world.judge.has_region || world.judge.lost
                      ? NULL
                      : world.b->words(world.box, &memory, &world.memory_bytes);
}

/* The kind of memory that was asked for, or any that the subject has. */
static enum subject_status try_attach(struct subject_mailbox_config *config) {
    const enum subject_ground asked = config->ground;
    enum subject_status status = world.b->attach(config, &world.box);
    for (unsigned ground = 0; ground < SUBJECT_GROUNDS && status == SUBJECT_UNSUPPORTED &&
                              config->memory == NULL && !(world.b->promises & SUBJECT_EVERY_GROUND);
         ground++) {
        config->ground = (enum subject_ground)ground;
        status = ground == asked ? status : world.b->attach(config, &world.box);
    }
    return status;
}

/* Brings a number into a small range, because each access is a step. */
static struct subject_mailbox_config config_of(const struct op *op) {
    struct subject_mailbox_config config = {.ground = SUBJECT_CUSTOM, .capacity = 4};
    uint64_t region = WORD_region_front;
    if (op != NULL) {
        const uint32_t asked = (uint32_t)op->arg.mailbox_attach.capacity;
        const bool power = asked != 0 && (asked & (asked - 1)) == 0 && asked <= RING_MAX;
        config = operation_attach(world.b, op);
        config.capacity = power ? asked : 4;
        region = op->arg.mailbox_attach.region;
    }
    config.pages = config.pages == 2 && config.ground != SUBJECT_CUSTOM ? 2 : 1;
    config.spill &= (world.b->promises & SUBJECT_SPILLS) != 0;
    config.spill_max = config.spill ? config.spill_max % SPILL_LIMIT : 0;
    config.offset = region == WORD_region_back
                        ? (uint32_t)(SUBJECT_PAGE_BYTES - operation_region_bytes(config.capacity))
                    : region == WORD_region_start ? 0
                                                  : FRONT;
    if (world.root != NULL && (world.b->promises & SUBJECT_LIES_IN_MEMORY)) {
        config.memory = world.root;
        config.ground = SUBJECT_SHARED;
    }
    return config;
}

/* What the judge must know of a mailbox that was made. */
static void tell_judge(const struct subject_mailbox_config *config) {
    struct concurrent *o = &world.judge;
    const uint32_t unusable = world.b->slots_unusable;
    o->slots = config->capacity != 0 ? config->capacity : world.b->capacity;
    o->capacity = o->slots > unusable ? o->slots - unusable : 0;
    o->spill_max = config->spill_max;
    o->spills = config->spill;
    o->first_cursor = config->first_cursor;
    o->tells_full = (world.b->promises & SUBJECT_TELLS_FULL) != 0;
    o->offset = config->offset;
    o->has_mailbox = true;
    o->has_region = world.b->words != NULL && o->slots <= RING_MAX;
    if (world.root == NULL) {
        o->min_pages = config->pages;
        o->max_pages = config->pages + (config->ground == SUBJECT_HEAP ? 0 : PAGES_SPARE);
    }
}

void mailbox_attach_first(const struct op *op) {
    struct subject_mailbox_config config = config_of(op);
    enum subject_status status = try_attach(&config);
    if (status != SUBJECT_OK && status != SUBJECT_NO_MEMORY) {
        config.capacity = 0; /* the subject may have only its usual number */
        status = world.b->capacity == 0 ? status : try_attach(&config);
    }
    if (status != SUBJECT_OK) {
        world.box = NULL;
        if (!world.judge.faulty) {
            world_check(concurrent_found("R38-attach",
                                         "a region inside of the memory was refused: %s",
                                         call_status_name(status)));
        }
        return;
    }
    world.ground = config.ground;
    world.offset = config.offset;
    world.capacity = config.capacity != 0 ? config.capacity : world.b->capacity;
    world.in_root = config.memory != NULL;
    tell_judge(&config);
    find_words();
    if (world.words != NULL && !world.in_root) {
        world.base = (const uint8_t *)world.words - config.offset;
    }
}

static bool usable(const struct actor *a) {
    return world.box != NULL && !a->holds && (!world.releases || a->reference != NULL);
}

/* ---- Calls ------------------------------------------------------------------------------------
 */

/* One call, judged by what it answers. */
static void make_call(struct call *c, void *handle, const struct call_guest *guest) {
    c->start = concurrent_moment(&world.judge);
    operation_make_mailbox(world.b, handle, c, guest);
    world_check(concurrent_box_ended(&world.judge, c));
}

/* Of the wakers that were made before the threads, each thread has a clone: the last one to drop
 * its own may be any. */
static void share_wakers(struct actor *a) {
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        if (world.waker[i] != NULL && a->waker[i] == NULL) {
            struct call c = {.code = OP_waker_clone, .thread = a->number, .id = world.waker_id[i]};
            make_call(&c, world.waker[i], NULL);
            a->waker[i] = c.made;
            a->waker_id[i] = world.waker_id[i];
        }
    }
}

void mailbox_keep_wakers(struct actor *a) {
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        world.waker[i] = a->waker[i];
        world.waker_id[i] = a->waker_id[i];
        a->waker[i] = NULL;
    }
}

void mailbox_drop_wakers(void) {
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        if (world.waker[i] != NULL) {
            world.b->waker_drop(world.waker[i]);
            world.waker[i] = NULL;
        }
    }
}

/* The neighbour is the first thread's that is not the guest's: it may go while the memory grows. */
static void take_neighbour(struct actor *a) {
    if (a->number != world.judge.guest && a->beside_end == 0) {
        a->beside = world.neighbour;
        a->beside_gone = NEVER;
        world.neighbour = NULL;
    }
}

/* If a program releases the owner's reference, each thread has one of its own. */
void mailbox_share(struct actor *a) {
    struct call c = {.code = OP_waker_create, .thread = a->number, .id = 1};
    if (world.box != NULL && world.releases) {
        operation_make_mailbox(world.b, world.box, &c, NULL);
        a->reference = c.status == SUBJECT_OK ? c.made : NULL;
        world_check(concurrent_box_ended(&world.judge, &c));
    }
    share_wakers(a);
    if (world.neighbour != NULL) {
        take_neighbour(a);
    }
}

/* What a producer writes before it enqueues, who takes the id may read (R31). */
static void payload_left(const struct sent *s) {
    answer_writes("R31-payload", &world.payload[s - world.judge.sent], sizeof world.payload[0]);
}

static void payload_found(const struct sent *s) {
    answer_reads("R31-payload", &world.payload[s - world.judge.sent], sizeof world.payload[0]);
}

static void enqueue(struct actor *a, struct call *c, void *handle) {
    struct sent *s = concurrent_sends(&world.judge, a->number, c->id);
    if (s == NULL) {
        world.left_out++;
        return;
    }
    payload_left(s);
    operation_make_mailbox(world.b, handle, c, NULL);
    world_check(concurrent_sent(&world.judge, s, c));
}

static void enqueue_many(struct actor *a, struct call *c) {
    for (uint64_t i = 0; i < c->count && i < ENQUEUES_MAX; i++) {
        if (usable(a)) {
            c->id = ((a->number + 1u) << 16) + ++a->ids;
            enqueue(a, c, world.box);
        }
    }
}

static void is_signalled(struct call *c) {
    make_call(c, world.box, NULL);
    if (world.b->is_closed != NULL && world.b->is_closed(world.box)) {
        if (world.judge.close_start == NEVER) {
            world_check(concurrent_found("R36-closed", "closed, and nobody closed"));
        }
        concurrent_close_ended(&world.judge, world.words);
        concurrent_says_closed(&world.judge, c->thread);
        answer_closed();
    }
}

static void wait_for_signal(struct actor *a, struct call *c) {
    const uint64_t began_ns = sim_clock_ns();
    c->start = concurrent_moment(&world.judge);
    a->in_signal = true;
    operation_make_mailbox(world.b, world.box, c, NULL);
    a->in_signal = false;
    c->took_ns = sim_clock_ns() - began_ns;
    world_check(concurrent_box_ended(&world.judge, c));
}

static void close_box(struct call *c) {
    concurrent_close_begins(&world.judge);
    make_call(c, world.box, NULL);
    concurrent_close_ended(&world.judge, world.words);
    answer_closed();
}

/* ---- Moves ------------------------------------------------------------------------------------
 */

/* An owned memory belongs to the thread that runs its guest. */
static bool may_move(const struct actor *a) {
    return world.in_root || world.ground == SUBJECT_SHARED || world.ground == SUBJECT_CUSTOM ||
           a->number == world.judge.guest;
}

static void move(struct call *c) {
    if (world.judge.growths == GROWS_MAX) {
        world.left_out++;
        return;
    }
    struct claims *claims = world.in_root ? world.judge.claims : NULL;
    world.judge.moved = world.judge.grows_otherwise = true;
    const uint32_t from = concurrent_claims(claims, c->pages * SUBJECT_PAGE_BYTES);
    make_call(c, world.box, NULL);
    if (c->status == SUBJECT_REFUSED) {
        concurrent_refuses(claims, from, c->pages * SUBJECT_PAGE_BYTES);
    } else if (claims != NULL && c->status != SUBJECT_OK) {
        concurrent_unclaims(claims, c->pages * SUBJECT_PAGE_BYTES);
    }
    find_words();
}

static void hold(struct actor *a, struct call *c) {
    if (may_move(a)) {
        world.judge.moved = true;
        make_call(c, world.box, NULL);
        a->holds = true;
        answer_held(a);
    }
}

static void unhold(struct actor *a, struct call *c) {
    a->holds = false;
    make_call(c, world.box, NULL);
}

/* ---- Wakers: each thread's are its own --------------------------------------------------------
 */

static void create_waker(struct actor *a, struct call *c, uint64_t slot) {
    if (a->waker[slot] == NULL) {
        make_call(c, world.box, NULL);
        a->waker[slot] = c->status == SUBJECT_OK ? c->made : NULL;
        a->waker_id[slot] = (uint32_t)c->id;
    }
}

static void with_waker(struct actor *a, const struct op *op, struct call *c) {
    void **waker = &a->waker[op->arg.waker_wake.w], *own = *waker;
    if (own == NULL || (a->holds && op->code != OP_waker_clone)) {
        return;
    }
    c->id = a->waker_id[op->arg.waker_wake.w];
    if (op->code == OP_waker_wake) {
        enqueue(a, c, own);
    } else if (op->code == OP_waker_drop) {
        *waker = NULL;
        make_call(c, own, NULL);
    } else if (a->waker[op->arg.waker_clone.to] == NULL) {
        make_call(c, own, NULL);
        a->waker[op->arg.waker_clone.to] = c->made;
        a->waker_id[op->arg.waker_clone.to] = (uint32_t)c->id;
    }
}

static void drop_reference(struct actor *a) {
    void *own = a->reference;
    if (own != NULL && !a->holds) {
        a->reference = NULL;
        world.b->waker_drop(own);
    }
}

/* ---- Another one in the same memory -----------------------------------------------------------
 */

/* Checks that the second mailbox is open and takes an id, whatever happened to the first one. */
static void look_at_beside(const struct actor *a) {
    uint8_t *memory;
    uint64_t memory_bytes;
    const bool guests = world.beside_shifted && world.judge.guest >= 0; /* it may write its head */
    const struct subject_words *words =
        world.b->words == NULL || world.scribbles || world.in_root || guests || world.neighbours
            ? NULL
            : world.b->words(a->beside, &memory, &memory_bytes);
    uint32_t flag = 0;
    const bool closed = world.b->is_closed != NULL && world.b->is_closed(a->beside);
    enum subject_status enqueued = world.b->enqueue(a->beside, 1);
    if (words != NULL) {
        memcpy(&flag, &words->flag, sizeof flag);
    }
    world_check(concurrent_beside_stays(closed, flag, enqueued));
}

/* The second mailbox, shared by threads, with a guest of its own. */
static void attach_second(const struct subject_mailbox_config *config) {
    enum subject_status status = world.b->attach(config, &world.second);
    world_check(
        concurrent_beside_ended(&world.judge, concurrent_moment(&world.judge), false, status));
    world.second = status == SUBJECT_OK ? world.second : NULL;
    world.judge.has_second = world.second != NULL;
    world.judge.second_offset = config->offset;
    world.second_at = config->offset;
    world.second_end = config->offset + operation_region_bytes(config->capacity);
}

/* Before the threads begin, a second mailbox may lie in an unshared memory, which its guest's
 * thread alone grows. */
static bool is_growers(void) {
    return !world.threaded && world.ground == SUBJECT_OWNED && world.judge.guest >= 0 &&
           world.neighbour == NULL;
}

static void attach_neighbour(const struct subject_mailbox_config *config) {
    enum subject_status status = world.b->attach(config, &world.neighbour);
    world_check(
        concurrent_beside_ended(&world.judge, concurrent_moment(&world.judge), false, status));
    world.neighbour = status == SUBJECT_OK ? world.neighbour : NULL;
    world.neighbours = world.neighbour != NULL;
}

/* A small mailbox far from all others, by which a thread without a reference to the first one still
 * reaches its memory: so the last reference may go beside an attach. */
void mailbox_anchor(void) {
    enum { PLACE = 32768 };
    const bool shared = world.in_root || world.ground == SUBJECT_SHARED;
    const struct subject_mailbox_config config = {
        .ground = world.ground, .pages = 1, .offset = PLACE, .capacity = 1, .beside = world.box};
    if (!shared || !(world.b->promises & SUBJECT_SHARES_MEMORY) ||
        world.b->attach(&config, &world.anchor) != SUBJECT_OK) {
        world.anchor = NULL;
    }
}

static bool share_bytes(const struct actor *a, uint64_t at, uint64_t end) {
    return a->beside_at < end && at < a->beside_end;
}

/* Whether another thread's mailbox may have had a byte of this one's since that moment. Two that
 * are open now have none in common. */
static bool others_beside(const struct actor *a, uint32_t start, enum subject_status status) {
    bool may = world.second != NULL && share_bytes(a, world.second_at, world.second_end);
    bool both = may;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *b = &world.actor[i];
        if (b != a && share_bytes(a, b->beside_at, b->beside_end)) {
            may |= b->beside_gone == NEVER || b->beside_gone > start || world.judge.searched;
            both |= b->beside != NULL;
        }
    }
    if (both && status == SUBJECT_OK) {
        world_check(concurrent_found("R44-overlap", "two mailboxes that share bytes are open"));
    }
    return may;
}

static void attach_beside(struct actor *a, const struct op *op) {
    const struct subject_mailbox_config first = {
        .ground = world.ground, .pages = 1, .offset = world.offset, .capacity = world.capacity};
    struct subject_mailbox_config config = operation_attach_beside(world.b, op, &first);
    const bool shared = world.in_root || world.ground == SUBJECT_SHARED;
    const uint64_t end = config.offset + operation_region_bytes(config.capacity);
    const bool power = config.capacity != 0 && (config.capacity & (config.capacity - 1)) == 0;
    const bool reaches = usable(a) || (world.anchor != NULL && !a->holds);
    const uint64_t first_end = world.offset + operation_region_bytes(world.capacity);
    const bool overlaps = world.offset < end && config.offset < first_end;
    const bool may = shared || (is_growers() && !overlaps);
    if (!(world.b->promises & SUBJECT_SHARES_MEMORY) || a->beside_end != 0 || !may || !reaches ||
        !power || config.capacity > RING_MAX || end > SUBJECT_PAGE_BYTES) {
        return;
    }
    const uint32_t start = concurrent_moment(&world.judge);
    config.spill_max %= SPILL_LIMIT;
    config.beside = world.anchor != NULL ? world.anchor : world.box;
    world.beside_shifted |= overlaps && config.offset != world.offset;
    if (!shared) {
        attach_neighbour(&config);
        return;
    }
    if (!world.threaded && !overlaps && world.second_guest >= 0) {
        if (world.second == NULL) {
            attach_second(&config);
        }
        return;
    }
    a->beside_at = config.offset;
    a->beside_end = end;
    a->beside_gone = NEVER; /* from here on it may be there */
    concurrent_beside_begins(&world.judge, overlaps);
    enum subject_status status = world.b->attach(&config, &a->beside);
    a->beside = status == SUBJECT_OK ? a->beside : NULL;
    a->beside_gone = status == SUBJECT_OK ? NEVER : concurrent_moment(&world.judge);
    const bool met = others_beside(a, start, status);
    if (!met || status != SUBJECT_IN_USE) {
        world_check(concurrent_beside_ended(&world.judge, start, overlaps, status));
    } else {
        concurrent_beside_met(&world.judge, overlaps);
    }
    if (a->beside != NULL) {
        look_at_beside(a);
    }
}

static void end_beside(struct actor *a) {
    void *own = a->beside;
    if (own != NULL) {
        look_at_beside(a);
        a->beside = NULL;
        world.b->release(own);
        a->beside_gone = concurrent_moment(&world.judge);
    }
}

static void enqueue_second(const struct actor *a, uint64_t count) {
    for (uint64_t i = 0; i < count && i < ENQUEUES_MAX && world.second != NULL && !a->holds; i++) {
        concurrent_second_begins(&world.judge);
        world_check(concurrent_second_sent(&world.judge, world.b->enqueue(world.second, i + 1)));
    }
}

static void take_second(void *context, uint32_t id) {
    (void)context;
    (void)id;
    world_check(concurrent_second_took(&world.judge));
}

static int second_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                       int64_t timeout_ns) {
    struct actor *a = context;
    (void)flag;
    a->in_second = true;
    int answer = world.b->guest_wait(world.second, expected, timeout_ns);
    a->in_second = false;
    return answer;
}

static void second_flush(void *context) {
    uint32_t left;
    (void)context;
    (void)world.b->flush(world.second, &left);
}

static void park_second(struct actor *a, int64_t timeout_ns) {
    const struct subject_guest_host host = {second_wait, second_flush, a};
    if (world.second == NULL || a->number != world.second_guest || a->holds ||
        world.b->guest_wait == NULL || world.b->flush == NULL) {
        return;
    }
    (void)world.b->drain(world.second, take_second, NULL);
    world.judge.second_parks = true;
    (void)world.b->park(world.second, &host, timeout_ns);
    (void)world.b->drain(world.second, take_second, NULL);
}

static void end_second(void) {
    if (world.second == NULL) {
        return;
    }
    uint32_t left = 1;
    for (unsigned i = 0; i < 2 * SENT_MAX && left > 0; i++) {
        (void)world.b->drain(world.second, take_second, NULL);
        left = 0;
        if (world.b->flush != NULL) {
            (void)world.b->flush(world.second, &left);
        }
    }
    (void)world.b->drain(world.second, take_second, NULL);
    world_check(concurrent_second_lost(&world.judge));
    world.b->release(world.second);
    world.second = NULL;
}

/* ---- A producer that stops --------------------------------------------------------------------
 */

/* If the enqueue ends in fewer steps, the thread goes on. */
static void enqueue_and_stop(struct actor *a, struct call *c, uint64_t step) {
    enum { STEPS_MAX = 32 };
    c->id = ((a->number + 1u) << 16) + ++a->ids;
    a->stopped = world.stopped = true;
    sim_stop_after(1 + (uint32_t)(step % STEPS_MAX));
    struct sent *s = concurrent_sends(&world.judge, a->number, c->id);
    if (s != NULL) {
        operation_make_mailbox(world.b, world.box, c, NULL);
        sim_stop_after(0);
        a->stopped = false;
        world_check(concurrent_sent(&world.judge, s, c));
    }
    sim_stop_after(0);
    a->stopped = false;
    world.stopped = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        world.stopped |= world.actor[i].stopped;
    }
}

void mailbox_end_thread(struct actor *a) {
    struct call c = {.code = OP_mailbox_unhold, .thread = a->number};
    if (a->holds) {
        unhold(a, &c);
    }
    end_beside(a);
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        if (a->waker[i] != NULL) {
            world.b->waker_drop(a->waker[i]);
            a->waker[i] = NULL;
        }
    }
    drop_reference(a);
}

/* ---- The guest --------------------------------------------------------------------------------
 */

/* Sleeps as the subject's guest does, or on its flag if it has no such function. */
static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    struct actor *a = context;
    int answer = 0;
    a->in_signal = true;
    if (world.b->guest_wait != NULL) {
        answer = world.b->guest_wait(world.box, expected, timeout_ns);
    } else {
        const uint64_t until = timeout_ns < 0 ? SIM_NEVER : sim_clock_ns() + (uint64_t)timeout_ns;
        static const int answers[] = {[SIM_NOT_EQUAL] = 1, [SIM_TIMED_OUT] = 2, [SIM_SPURIOUS] = 0};
        answer = answers[sim_wait((const volatile void *)flag, expected, until)];
    }
    a->in_signal = false;
    return answer;
}

static void guest_flush(void *context) {
    uint32_t left;
    if (usable(context) && world.b->flush != NULL) {
        (void)world.b->flush(world.box, &left);
    }
}

static void take(void *context, uint32_t id) {
    (void)context;
    world_check(concurrent_took(&world.judge, id));
    if (world.judge.took != NULL) {
        payload_found(world.judge.took);
    }
}

static struct call_guest guest_of(struct actor *a) {
    return (struct call_guest){take, {guest_wait, guest_flush, a}};
}

/* Another thread of the guest waits for close on the flag, too. It may take the consumer's wake, so
 * of parking only the end is checked then (R36). */
static void look_on(struct actor *a) {
    const bool shared = world.in_root || world.ground == SUBJECT_SHARED;
    uint32_t flag = 0;
    if (world.words != NULL) {
        memcpy(&flag, &world.words->flag, sizeof flag);
    }
    if (shared && usable(a) && world.words != NULL && world.b->guest_wait != NULL &&
        !(flag & CLOSED)) {
        world.judge.onlookers++;
        a->in_signal = true;
        (void)world.b->guest_wait(world.box, flag, -1);
        a->in_signal = false;
    }
}

static bool is_guest(const struct actor *a);
static void drain(struct actor *a, struct call *c);

/* The guest's thread drains, then enqueues one id, repeatedly: each id raises the signal anew. If
 * nobody waits for the signal, a few rounds are enough. */
static void rounds(struct actor *a, uint64_t count) {
    enum { FEW = 8 };
    count = world.awaits_signal || count < FEW ? count : FEW;
    for (uint64_t i = 0; i < count && is_guest(a) && usable(a); i++) {
        struct call drains = {.code = OP_guest_drain, .thread = a->number};
        struct call enqueues = {.code = OP_mailbox_enqueue, .thread = a->number, .count = 1};
        drain(a, &drains);
        enqueue_many(a, &enqueues);
        sim_progress(); /* otherwise the engine would take it for a loop that waits for other
                           threads */
    }
}

static bool is_guest(const struct actor *a) {
    return world.box != NULL && a->number == world.judge.guest && !a->holds &&
           !world.judge.guest_trapped;
}

static void park(struct actor *a, struct call *c, uint64_t meanwhile) {
    const struct call_guest guest = guest_of(a);
    if (a->number != world.judge.guest) {
        if (meanwhile == WORD_meanwhile_close) {
            look_on(a);
        }
    } else if (is_guest(a) && usable(a)) {
        make_call(c, world.box, &guest);
        if (c->answer == SUBJECT_PARK_CLOSED && world.words != NULL) {
            concurrent_told_closed(&world.judge, world.words);
            answer_closed();
        }
    }
}

static void drain(struct actor *a, struct call *c) {
    const struct call_guest guest = guest_of(a);
    if (is_guest(a)) {
        world.judge.drains = true;
        make_call(c, world.box, &guest);
    }
}

/* A hostile guest: from any thread, as guest code may have several (R38). */
static void scribble(struct actor *a, const struct op *op) {
    const bool shared = world.in_root || world.ground == SUBJECT_SHARED;
    if (world.words == NULL || (!shared && a->number != world.judge.guest) || a->holds) {
        return;
    }
    struct subject_words *words = world.words;
    _Atomic uint32_t *const at[WORD_word_count] = {
        [WORD_word_capacity] = &words->capacity,
        [WORD_word_flag] = &words->flag,
        [WORD_word_head] = &words->head,
        [WORD_word_tail] = &words->tail,
        [WORD_word_slot] = &words->ring[op->arg.guest_scribble.slot % world.judge.slots],
    };
    _Atomic uint32_t *word = at[op->arg.guest_scribble.word];
    uint64_t offset = (uint64_t)((const char *)word - (const char *)words);
    if (concurrent_guest_writes(&world.judge, a->number, offset,
                                (uint32_t)op->arg.guest_scribble.value)) {
        sim_atomic_store((volatile void *)word, 4, (uint32_t)op->arg.guest_scribble.value,
                         __ATOMIC_SEQ_CST);
    }
}

/* ---- The end ----------------------------------------------------------------------------------
 */

/* Takes what is left; then nothing that was accepted may be missing (R30). */
static void check_delivery(void) {
    if (world.stopped && !world.releases && world.b->close != NULL) {
        struct call c = {.code = OP_mailbox_close};
        close_box(&c); /* delivers what is behind its place */
    }
    uint32_t hidden = 0;
    if (!world.releases && world.judge.close_start == NEVER && !world.stopped) {
        (void)world.b->drain(world.box, take, NULL);
        hidden = concurrent_hidden(&world.judge);
    }
    if (!world.releases && world.judge.close_start == NEVER && world.b->flush != NULL) {
        uint32_t left = 1;
        for (unsigned i = 0; i < 2 * SENT_MAX && left > 0; i++) {
            (void)world.b->flush(world.box, &left);
            (void)world.b->drain(world.box, take, NULL);
        }
    }
    (void)world.b->drain(world.box, take, NULL);
    world_check(concurrent_lost(&world.judge)); /* not only hidden */
    world_check(concurrent_shown_late(hidden));
}

void mailbox_end(void) {
    if (world.box == NULL) {
        return;
    }
    end_second();
    if (world.neighbour != NULL) {
        world.b->release(world.neighbour);
        world.neighbour = NULL;
    }
    if (world.anchor != NULL) {
        world.b->release(world.anchor);
    }
    const bool stayed =
        world.words != NULL && (const uint8_t *)world.words - world.judge.offset == world.base;
    if (stayed) {
        world_check(concurrent_silence(&world.judge, world.words));
    }
    if (!world.judge.wild) {
        check_delivery();
    }
    if (world.words != NULL && world.root == NULL) {
        find_words();
        world_check(concurrent_chain(&world.judge, world.memory_bytes));
    }
    if (!world.releases) {
        world.b->release(world.box);
    }
    world.box = NULL;
}

void mailbox_sleeps(void) {
    const int self = sim_self();
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        if (world.threaded && a->engine_thread == self && a->op != NULL && world.b != NULL &&
            (world.b->promises & SUBJECT_LOCK_FREE)) {
            world_check(concurrent_sleeps(&world.judge, a->op->code));
        }
    }
}

const char *mailbox_at_rest(void) {
    bool sleeps = false, parked = false, by_wait = false;
    if (world.box == NULL) {
        return NULL;
    }
    if (world.second_guest >= 0 && world.actor[world.second_guest].in_second &&
        concurrent_second_at_rest(&world.judge) != NULL) {
        return concurrent_second_at_rest(&world.judge);
    }
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        sleeps |= a->in_signal;
        parked |= a->in_signal && (int)i == world.judge.guest;
        by_wait |= a->in_signal && a->op != NULL && a->op->code == OP_guest_park;
    }
    return concurrent_mailbox_at_rest(&world.judge, sleeps, parked, by_wait, world.words);
}

/* ---- Which operation --------------------------------------------------------------------------
 */

bool is_of_mailbox(uint8_t code) {
    return code > OP_mailbox_attach && code <= OP_mailbox_lose;
}

static void on_usable(struct actor *a, const struct op *op, struct call *c) {
    switch (op->code) {
    case OP_mailbox_enqueue:
        enqueue_many(a, c);
        break;
    case OP_mailbox_enqueue_id:
        if ((world.b->promises & SUBJECT_WIDE_IDS) || (c->id != 0 && c->id <= UINT32_MAX)) {
            enqueue(a, c, world.box);
        }
        break;
    case OP_mailbox_is_signalled:
        is_signalled(c);
        break;
    case OP_mailbox_wait_for_signal:
        wait_for_signal(a, c);
        break;
    case OP_mailbox_hold:
        hold(a, c);
        break;
    case OP_mailbox_grow:
        if (may_move(a)) {
            move(c);
        }
        break;
    case OP_mailbox_close:
        close_box(c);
        break;
    case OP_waker_create:
        create_waker(a, c, op->arg.waker_create.w);
        break;
    default:
        make_call(c, world.box, NULL);
    }
}

bool mailbox_operation(struct actor *a, const struct op *op) {
    struct call c = {.room = NULL};
    if (!is_of_mailbox(op->code) || world.box == NULL) {
        return false;
    }
    if (op->code == OP_guest_scribble) {
        scribble(a, op);
        return true;
    }
    if (op->code == OP_mailbox_release) {
        drop_reference(a);
        return true;
    }
    if (op->code == OP_mailbox_attach_beside) {
        attach_beside(a, op);
        return true;
    }
    if (op->code == OP_mailbox_enqueue_second) {
        enqueue_second(a, op->arg.mailbox_enqueue_second.count);
        return true;
    }
    if (op->code == OP_guest_park_second) {
        park_second(a, (int64_t)op->arg.guest_park_second.timeout_ns);
        return true;
    }
    if (op->code == OP_mailbox_enqueue_stops) {
        if (usable(a) && world.threaded && (world.b->promises & SUBJECT_LOCK_FREE)) {
            c = (struct call){.code = OP_mailbox_enqueue, .thread = a->number};
            enqueue_and_stop(a, &c, op->arg.mailbox_enqueue_stops.step);
        }
        return true;
    }
    if (op->code == OP_mailbox_rounds) {
        rounds(a, op->arg.mailbox_rounds.count % (ROUNDS_MAX + 1));
        return true;
    }
    if (!operation_of_mailbox(world.b, op->code)) {
        return false;
    }
    operation_arguments(&c, op, 0, NULL);
    switch (op->code) {
    case OP_guest_drain:
        drain(a, &c);
        break;
    case OP_guest_park:
        park(a, &c, op->arg.guest_park.meanwhile);
        break;
    case OP_mailbox_move:
        /* else what was lost could come back; the neighbour is not held */
        if (a->holds && !world.judge.lost && !world.neighbours) {
            move(&c);
        }
        break;
    case OP_mailbox_unhold:
        if (a->holds) {
            unhold(a, &c);
        }
        break;
    case OP_mailbox_lose:
        if (a->holds && a->number == world.judge.guest && !world.neighbours) {
            make_call(&c, world.box, NULL);
            find_words();
        }
        break;
    case OP_waker_clone:
    case OP_waker_wake:
    case OP_waker_drop:
        with_waker(a, op, &c);
        break;
    default:
        if (usable(a)) {
            on_usable(a, op, &c);
        }
    }
    return true;
}
