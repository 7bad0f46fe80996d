/* interleave_mailbox.c: a mailbox in interleaved runs: producers, a guest, moves and close. */
#include "os.h"
#include "sim.h"
#include "world.h"

#include <string.h>

enum { ENQUEUES_MAX = 6, PAGES_MAX = 4, OFFSET = 1024, REGION_BYTES = 16 + 4 * RING_MAX };

/* ---- A custom memory: one shared page, wait and notify are the engine's own -------------------
 */

static struct pb_memory_definition custom_record;

static struct pb_memory_type custom_type(void *self) {
    (void)self;
    return (struct pb_memory_type){.min_pages = 1, .max_pages = 1, .shared = true};
}

static struct pb_memory_style custom_style(void *self) {
    (void)self;
    return (struct pb_memory_style){.kind = PB_STYLE_STATIC, .bound_pages = 1};
}

static enum pb_status custom_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    (void)self;
    *old_pages = 1;
    return delta_pages == 0 ? PB_OK : PB_LIMIT;
}

static struct pb_memory_definition *custom_definition(void *self) {
    (void)self;
    return &custom_record;
}

static void custom_destroy(void *self) {
    (void)self;
}

/* It cannot be cloned, so it is its owner's: once the mailbox is closed it might be gone. */
static uint32_t custom_notify(void *self, uint64_t address, uint32_t count) {
    (void)self;
    if (world.close_end != NEVER) {
        broken("R36-notify-after-close", "a memory that may be gone was notified after close");
    }
    return sim_wake(custom_record.base + address, count);
}

static const struct pb_memory_operations custom_operations = {
    .type = custom_type,
    .style = custom_style,
    .grow = custom_grow,
    .definition = custom_definition,
    .destroy = custom_destroy,
    .notify = custom_notify,
};

static enum pb_status custom_create(void) {
    uint8_t *page = sim_pages_reserve(65536);
    if (page == NULL || !sim_pages_protect(page, 65536, SIM_READ_WRITE)) {
        return PB_NO_MEMORY;
    }
    atomic_init(&custom_record.base, page);
    atomic_init(&custom_record.length_bytes, 65536);
    return pb_memory_from_custom(&custom_operations, NULL, &world_allocator, &world.root);
}

/* ---- Set-up -----------------------------------------------------------------------------------
 */

static enum pb_status ground_create(enum word_ground ground, uint64_t pages) {
    if (ground == WORD_ground_custom) {
        return custom_create();
    }
    static const struct pb_memory_style dynamic = {.kind = PB_STYLE_DYNAMIC};
    uint32_t min_pages = pages == 2 ? 2 : 1;
    struct pb_memory_config config = {
        .type = {.min_pages = min_pages, .max_pages = PAGES_MAX},
        .style = &dynamic,
        .strategy = PB_STRATEGY_RESERVE,
        .allocator = &world_allocator,
    };
    config.type.shared = ground == WORD_ground_shared;
    if (ground == WORD_ground_owned) {
        config.strategy = PB_STRATEGY_REMAP;
    } else if (ground == WORD_ground_heap) {
        config.strategy = PB_STRATEGY_HEAP;
    }
    return pb_memory_create(&config, &world.root);
}

/* A mailbox target makes its own memory; in a system it lies in the one that is there. */
static bool ground_ready(enum word_ground ground, uint64_t pages) {
    if (world.root != NULL) {
        world.ground = WORD_ground_shared;
        return true;
    }
    enum pb_status status = ground_create(ground, pages);
    if (status != PB_OK) {
        if (!world.faulty) {
            broken("R1-create", "a memory was refused: %s", pb_status_name(status));
        }
        world.root = NULL;
        return false;
    }
    world.ground = ground;
    world.type = pb_memory_type(world.root);
    world.shared = ground == WORD_ground_shared;
    world.base = atomic_load(&pb_memory_definition(world.root)->base);
    return true;
}

static void find_words(void) {
    uint8_t *base =
        atomic_load_explicit(&pb_memory_definition(world.root)->base, memory_order_relaxed);
    world.words = (struct pb_mailbox_words *)(void *)(base + world.offset);
}

static uint32_t sane_capacity(uint64_t asked) {
    bool power = asked != 0 && (asked & (asked - 1)) == 0;
    return power && asked <= RING_MAX ? (uint32_t)asked : 4;
}

static void attach(enum word_ground ground, uint64_t pages, uint64_t region, uint64_t capacity,
                   uint64_t cursor, uint64_t full, uint64_t spill) {
    if (world.mailbox != NULL || !ground_ready(ground, pages)) {
        return;
    }
    world.capacity = sane_capacity(capacity);
    world.spill_max = full == WORD_full_spill ? (uint32_t)(spill % 8) : 0;
    world.offset = region == WORD_region_back    ? 65536 - PB_MAILBOX_BYTES(world.capacity)
                   : region == WORD_region_start ? 0
                                                 : OFFSET;
    struct pb_mailbox_config config = {
        .memory = world.root,
        .offset = world.offset,
        .capacity = world.capacity,
        .first_cursor = (uint32_t)cursor,
        .full = full == WORD_full_spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
        .spill_max = world.spill_max,
        .allocator = &world_allocator,
    };
    enum pb_status status = pb_mailbox_attach(&config, &world.mailbox);
    if (status != PB_OK) {
        if (!world.faulty) {
            broken("R38-attach", "a region inside of the memory was refused: %s",
                   pb_status_name(status));
        }
        world.mailbox = NULL;
        return;
    }
    find_words();
}

void mailbox_attach_first(const struct op *op) {
    if (op == NULL) {
        attach(WORD_ground_custom, 1, WORD_region_front, 4, 0, WORD_full_reject, 0);
    } else {
        attach((enum word_ground)op->arg.mailbox_attach.ground, op->arg.mailbox_attach.pages,
               op->arg.mailbox_attach.region, op->arg.mailbox_attach.capacity,
               op->arg.mailbox_attach.cursor, op->arg.mailbox_attach.full,
               op->arg.mailbox_attach.spill);
    }
}

/* Where a program gives up the owner's reference, each thread has one of its own. */
void mailbox_share(struct actor *a) {
    if (world.mailbox != NULL && world.released &&
        pb_waker_create(world.mailbox, 1, &a->reference) != PB_OK && !world.faulty) {
        broken("R36-waker", "a waker was refused");
    }
}

static bool usable(const struct actor *a) {
    return world.mailbox != NULL && !a->holds && (!world.released || a->reference != NULL);
}

/* ---- What was sent, what arrived --------------------------------------------------------------
 */

/* In the order of the starts; NULL when there is no room. */
struct sent *mailbox_send_begins(struct actor *a, uint32_t id) {
    if (world.sends == SENT_MAX) {
        return NULL;
    }
    struct sent *s = &world.sent[world.sends++];
    *s = (struct sent){.id = id, .thread = a->number, .start = moment(), .end = HISTORY_PENDING};
    for (struct sent *other = world.sent; other < s; other++) {
        s->twin |= other->id == id;
        other->twin |= other->id == id;
    }
    return s;
}

static void check_closed(uint32_t start, enum pb_status status, const char *what) {
    if (world.close_end != NEVER && start > world.close_end && status != PB_CLOSED) {
        broken("R36-enqueue-closed", "%s after close says %s", what, pb_status_name(status));
    }
    if (world.close_start == NEVER && status == PB_CLOSED) {
        broken("R36-closed", "%s says closed, and nobody closed", what);
    }
}

/* Of two that send one id at the same time nobody knows whose the guest took: the other's, then. */
static bool delivered_other(struct sent *self) {
    for (unsigned i = 0; i < world.sends; i++) {
        struct sent *s = &world.sent[i];
        if (s != self && s->id == self->id && !s->taken &&
            (s->accepted || s->end == HISTORY_PENDING)) {
            s->taken = true;
            self->taken = false;
            return true;
        }
    }
    return false;
}

void mailbox_send_ended(struct sent *s, enum pb_status status) {
    uint32_t waiting = 0, taken = 0, accepted = 0;
    s->end = moment();
    s->accepted = status == PB_OK || s->taken;
    for (unsigned i = 0; i < world.sends; i++) {
        waiting += world.sent[i].accepted;
        taken += world.sent[i].taken;
        accepted +=
            &world.sent[i] != s && (world.sent[i].accepted || world.sent[i].end == HISTORY_PENDING);
    }
    check_closed(s->start, status, "enqueue");
    if (status == PB_FULL && accepted < world.capacity + world.spill_max && !world.wild) {
        broken("R33-full", "full, and only %u ids were ever accepted", accepted);
    }
    if (status == PB_OK && waiting > taken + world.capacity + world.spill_max && !world.wild) {
        broken("R33-capacity", "%u ids are waiting, %u fit", waiting - taken,
               world.capacity + world.spill_max);
    }
    if (s->taken && status != PB_OK && !world.wild && !delivered_other(s)) {
        broken("R30-exactly-once", "id %u was delivered, and its enqueue says %s", s->id,
               pb_status_name(status));
    }
    s->accepted = status == PB_OK;
    if (status != PB_OK && status != PB_FULL && status != PB_CLOSED && !world.faulty) {
        broken("R30-enqueue", "enqueue says %s", pb_status_name(status));
    }
}

/* The guest takes an id: one that was sent, once, after all that were in the ring before it. */
void mailbox_take(void *context, uint32_t id) {
    struct sent *found = NULL;
    bool known = false;
    (void)context;
    if (world.wild) {
        return;
    }
    for (unsigned i = 0; i < world.sends && (found == NULL || !found->accepted); i++) {
        struct sent *s = &world.sent[i];
        bool present = s->accepted || s->end == HISTORY_PENDING;
        known |= s->id == id;
        if (s->id == id && !s->taken && present && (found == NULL || s->accepted)) {
            found = s;
        }
    }
    if (found == NULL) {
        broken(known || id == 0 ? "R31-publish" : "R30-invented", "the guest took id %u, which %s",
               id,
               known     ? "it had before"
               : id == 0 ? "is a slot that nobody wrote"
                         : "nobody sent");
    }
    for (unsigned i = 0; i < world.sends; i++) {
        const struct sent *s = &world.sent[i];
        if (s->accepted && !s->taken && s->end < found->start && !s->twin && !found->twin) {
            broken(s->thread == found->thread ? "R32-producer-order" : "R30-order",
                   "id %u came before id %u, which was enqueued before it began", id, s->id);
        }
    }
    found->taken = true;
}

/* An id that stays out: accepted, not dropped by close. */
static uint32_t undelivered(void) {
    uint32_t count = 0;
    for (unsigned i = 0; i < world.sends; i++) {
        count += world.sent[i].accepted && !world.sent[i].taken;
    }
    return count;
}

bool mailbox_has(uint64_t at, uint64_t bytes) {
    return world.words != NULL && at < (uint64_t)world.offset + REGION_BYTES &&
           at + bytes > world.offset;
}

/* A guest whose capacity is broken reads anywhere, which its sandbox would stop and nothing does
 * here: it goes no further. Nobody may break the word while the guest is at it. */
bool mailbox_scribbles(const struct actor *a, uint64_t at, uint64_t bytes) {
    if (!mailbox_has(at, bytes)) {
        return true;
    }
    bool capacity = at < (uint64_t)world.offset + PB_MAILBOX_FLAG_OFFSET;
    if (capacity && a->number != world.guest && world.guest >= 0) {
        return false;
    }
    world.wild = true;
    world.guest_trapped |= capacity;
    return true;
}

/* ---- The host ---------------------------------------------------------------------------------
 */

static void enqueue(struct actor *a, struct pb_waker *waker, uint64_t id) {
    struct sent *s = mailbox_send_begins(a, (uint32_t)id);
    if (s == NULL) {
        return;
    }
    enum pb_status status =
        waker != NULL ? pb_waker_wake(waker) : pb_mailbox_enqueue(world.mailbox, id);
    if (id == 0 || id > UINT32_MAX) {
        s->end = moment();
        if (status != PB_INVALID) {
            broken("R30-id", "enqueue of id %llu says %s", (unsigned long long)id,
                   pb_status_name(status));
        }
        return;
    }
    mailbox_send_ended(s, status);
}

static void op_enqueue(struct actor *a, const struct op *op) {
    for (uint64_t i = 0; i < op->arg.mailbox_enqueue.count && i < ENQUEUES_MAX; i++) {
        if (usable(a)) {
            enqueue(a, NULL, ((a->number + 1u) << 16) + ++a->ids);
        }
    }
}

static void op_enqueue_id(struct actor *a, const struct op *op) {
    if (usable(a)) {
        enqueue(a, NULL, op->arg.mailbox_enqueue_id.id);
    }
}

static void op_flush(struct actor *a, const struct op *op) {
    uint32_t left = 0, start = moment();
    (void)op;
    if (!usable(a)) {
        return;
    }
    enum pb_status status = pb_mailbox_flush(world.mailbox, &left);
    check_closed(start, status, "flush");
    if (left > world.spill_max) {
        broken("R33-flush", "%u ids are left on the host's side, %u can be", left, world.spill_max);
    }
}

/* Close has returned, or is said to have happened: from now on the host writes nothing (R36). */
static void closed_from_now_on(void) {
    if (world.close_end == NEVER) {
        world.close_end = moment();
        memcpy(world.closed_words, world.words, 4 * (4 + world.capacity));
    }
}

static void op_is_signalled(struct actor *a, const struct op *op) {
    uint32_t start = moment();
    (void)op;
    if (!usable(a)) {
        return;
    }
    if (pb_mailbox_is_signalled(world.mailbox) && world.close_end != NEVER &&
        start > world.close_end) {
        broken("R36-closed", "signalled after close");
    }
    if (pb_mailbox_is_closed(world.mailbox)) {
        if (world.close_start == NEVER) {
            broken("R36-closed", "closed, and nobody closed");
        }
        closed_from_now_on();
    }
}

static void op_wait_for_signal(struct actor *a, const struct op *op) {
    int64_t timeout_ns = (int64_t)op->arg.mailbox_wait_for_signal.timeout_ns;
    uint32_t start = moment();
    if (!usable(a)) {
        return;
    }
    uint64_t began_ns = pb_os_clock_ns();
    a->in_signal = true;
    enum pb_status status = pb_mailbox_wait_for_signal(world.mailbox, timeout_ns);
    a->in_signal = false;
    uint64_t took_ns = pb_os_clock_ns() - began_ns;
    check_closed(start, status, "wait_for_signal");
    if (status == PB_OK && world.sends == 0 && !world.wild) {
        broken("R34-wait-for-signal", "woken, and nobody ever enqueued");
    }
    if (status == PB_TIMED_OUT && (timeout_ns < 0 || took_ns < (uint64_t)timeout_ns)) {
        broken("R34-wait-for-signal", "timed out after %llu ns of %lld",
               (unsigned long long)took_ns, (long long)timeout_ns);
    }
}

static void op_close(struct actor *a, const struct op *op) {
    uint32_t dropped = 0;
    (void)op;
    if (!usable(a)) {
        return;
    }
    world.close_start = world.close_start == NEVER ? moment() : world.close_start;
    pb_mailbox_close(world.mailbox, &dropped);
    world.dropped += dropped;
    closed_from_now_on();
}

/* ---- Moves ------------------------------------------------------------------------------------
 */

/* An owned memory belongs to the thread that runs its guest. */
static bool may_move(const struct actor *a) {
    return world.shared || world.ground == WORD_ground_custom || a->number == world.guest;
}

static void moved(enum pb_status status, uint32_t old_pages, uint32_t delta) {
    if (status == PB_OK) {
        memory_grew(old_pages, delta);
    } else if (status != PB_LIMIT && status != PB_CLOSED && !world.faulty) {
        broken("R37-grow", "a growth behind the mailbox says %s", pb_status_name(status));
    }
    find_words();
}

static void op_hold(struct actor *a, const struct op *op) {
    (void)op;
    if (usable(a) && may_move(a)) {
        world.moved = true;
        pb_mailbox_hold(world.mailbox);
        a->holds = true;
    }
}

static void op_move(struct actor *a, const struct op *op) {
    uint32_t old_pages = 0, delta = (uint32_t)op->arg.mailbox_move.pages;
    if (world.mailbox != NULL && a->holds && world.growths < GROWS_MAX) {
        world.moved = true;
        moved(pb_memory_grow(world.root, delta, &old_pages), old_pages, delta);
    }
}

static void unhold(struct actor *a) {
    a->holds = false;
    if (pb_mailbox_unhold(world.mailbox) != PB_OK) {
        broken("R37-unhold", "the region was lost in a memory that only grew");
    }
}

static void op_unhold(struct actor *a, const struct op *op) {
    (void)op;
    if (a->holds) {
        unhold(a);
    }
}

static void op_grow(struct actor *a, const struct op *op) {
    uint32_t old_pages = 0, delta = (uint32_t)op->arg.mailbox_grow.pages;
    if (usable(a) && may_move(a) && world.growths < GROWS_MAX) {
        uint32_t start = moment();
        world.moved = true;
        enum pb_status status = pb_mailbox_grow(world.mailbox, delta, &old_pages);
        check_closed(start, status, "grow");
        moved(status, old_pages, delta);
    }
}

/* ---- Wakers: each thread's are its own --------------------------------------------------------
 */

static void op_waker_create(struct actor *a, const struct op *op) {
    uint64_t id = op->arg.waker_create.id;
    struct pb_waker **waker = &a->waker[op->arg.waker_create.w];
    if (!usable(a) || *waker != NULL) {
        return;
    }
    enum pb_status status = pb_waker_create(world.mailbox, id, waker);
    bool sound = id != 0 && id <= UINT32_MAX;
    if (status == PB_OK ? !sound : sound && !world.faulty) {
        broken("R36-waker", "a waker of id %llu: %s", (unsigned long long)id,
               pb_status_name(status));
    }
    *waker = status == PB_OK ? *waker : NULL;
    a->waker_id[op->arg.waker_create.w] = (uint32_t)id;
}

static void op_waker_clone(struct actor *a, const struct op *op) {
    struct pb_waker *waker = a->waker[op->arg.waker_clone.w];
    struct pb_waker **to = &a->waker[op->arg.waker_clone.to];
    if (waker != NULL && *to == NULL) {
        *to = pb_waker_clone(waker);
        a->waker_id[op->arg.waker_clone.to] = a->waker_id[op->arg.waker_clone.w];
    }
}

static void op_waker_wake(struct actor *a, const struct op *op) {
    struct pb_waker *waker = a->waker[op->arg.waker_wake.w];
    if (waker != NULL && !a->holds) {
        enqueue(a, waker, a->waker_id[op->arg.waker_wake.w]);
    }
}

static void op_waker_drop(struct actor *a, const struct op *op) {
    struct pb_waker **waker = &a->waker[op->arg.waker_drop.w], *gone = *waker;
    if (gone != NULL && !a->holds) {
        *waker = NULL;
        pb_waker_drop(gone);
    }
}

static void op_release(struct actor *a, const struct op *op) {
    struct pb_waker *gone = a->reference;
    (void)op;
    if (gone != NULL && !a->holds) {
        a->reference = NULL;
        pb_waker_drop(gone);
    }
}

void mailbox_end_thread(struct actor *a) {
    if (a->holds) {
        unhold(a);
    }
    for (unsigned i = 0; i < OP_WAKERS; i++) {
        pb_waker_drop(a->waker[i]);
        a->waker[i] = NULL;
    }
    op_release(a, NULL);
}

/* ---- The guest --------------------------------------------------------------------------------
 */

/* Parks as its memory lets it: by the instruction, by a call into the host, by the engine. */
static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    struct actor *a = context;
    enum pb_wait result = PB_WAIT_NOTIFIED;
    enum pb_status status = PB_OK;
    a->in_signal = true;
    if (world.ground == WORD_ground_custom) {
        (void)sim_wait((const volatile void *)flag, expected, SIM_NEVER);
    } else if (world.shared) {
        status = pb_memory_wait32(world.root, world.offset + PB_MAILBOX_FLAG_OFFSET, expected,
                                  timeout_ns, &result);
    } else {
        status = pb_mailbox_wait_for_signal(world.mailbox, timeout_ns);
    }
    a->in_signal = false;
    bool late = status == PB_TIMED_OUT || (status == PB_OK && result == PB_WAIT_TIMED_OUT);
    return late ? 2 : 0;
}

static void guest_flush(void *context) {
    struct actor *a = context;
    if (usable(a)) {
        (void)pb_mailbox_flush(world.mailbox, NULL);
    }
}

static bool is_guest(const struct actor *a) {
    return world.mailbox != NULL && a->number == world.guest && !a->holds && !world.guest_trapped;
}

static void op_drain(struct actor *a, const struct op *op) {
    (void)op;
    if (is_guest(a)) {
        uint32_t count = pb_guest_drain(world.words, mailbox_take, NULL);
        if (count > world.capacity && !world.wild) {
            broken("R33-count", "a drain of %u from %u slots", count, world.capacity);
        }
    }
}

/* Another thread of the guest waits for close on the flag, too. It may take the consumer's wake, so
 * of parking only the end is checked then (R36). */
static void look_on(struct actor *a) {
    enum pb_wait result;
    if (!world.shared || !usable(a) || world.words->flag & PB_MAILBOX_CLOSED) {
        return;
    }
    world.onlookers++;
    a->in_signal = true;
    (void)pb_memory_wait32(world.root, world.offset + PB_MAILBOX_FLAG_OFFSET, world.words->flag, -1,
                           &result);
    a->in_signal = false;
}

static void op_park(struct actor *a, const struct op *op) {
    int64_t timeout_ns = (int64_t)op->arg.guest_park.timeout_ns;
    const struct pb_guest_host host = {guest_wait, guest_flush, a};
    if (world.mailbox != NULL && a->number != world.guest &&
        op->arg.guest_park.meanwhile == WORD_meanwhile_close) {
        look_on(a);
        return;
    }
    if (!is_guest(a) || !usable(a)) {
        return;
    }
    enum pb_park answer = pb_guest_park(world.words, &host, timeout_ns);
    if (answer == PB_PARK_CLOSED && world.close_start == NEVER && !world.wild) {
        broken("R36-park", "the guest saw closed, and nobody closed");
    }
    if (answer == PB_PARK_TIMED_OUT && timeout_ns < 0) {
        broken("R34-park", "a park without a timeout timed out");
    }
}

/* A hostile guest: from any thread, as guest code may have several (R38). */
static void op_scribble(struct actor *a, const struct op *op) {
    if (world.mailbox == NULL || (!world.shared && a->number != world.guest) || a->holds) {
        return;
    }
    uint32_t slot = (uint32_t)(op->arg.guest_scribble.slot % world.capacity);
    const uint32_t at[] = {PB_MAILBOX_CAPACITY_OFFSET, PB_MAILBOX_FLAG_OFFSET,
                           PB_MAILBOX_HEAD_OFFSET, PB_MAILBOX_TAIL_OFFSET,
                           PB_MAILBOX_RING_OFFSET + 4 * slot};
    uint32_t index = at[op->arg.guest_scribble.word];
    if (mailbox_scribbles(a, (uint64_t)world.offset + index, 4) &&
        pb_memory_atomic_store(world.root, index, world.offset, 4, op->arg.guest_scribble.value) !=
            PB_OK) {
        broken("R18-access", "a store inside of the memory was refused");
    }
}

/* ---- The end ----------------------------------------------------------------------------------
 */

/* After close the host writes nothing more: all words but the guest's head are as they were, and
 * of the flag only the signal may have gone (R36). */
static void check_silence(void) {
    uint32_t words[RING_MAX + 4];
    memcpy(words, world.words, 4 * (4 + world.capacity));
    bool same = (words[1] & ~world.closed_words[1]) == 0;
    for (uint32_t i = 0; i < 4 + world.capacity; i++) {
        same &= i == 1 || i == 2 || words[i] == world.closed_words[i];
    }
    if (!same) {
        broken("R36-write-after-close", "the region changed after close had returned");
    }
}

/* Takes what is left; then nothing that was accepted may be missing (R30). */
static void check_delivery(void) {
    if (!world.released && world.close_start == NEVER) {
        uint32_t left = 1;
        for (unsigned i = 0; i < 2 * SENT_MAX && left > 0; i++) {
            (void)pb_mailbox_flush(world.mailbox, &left);
            (void)pb_guest_drain(world.words, mailbox_take, NULL);
        }
    }
    (void)pb_guest_drain(world.words, mailbox_take, NULL);
    uint32_t lost = undelivered();
    if (lost > (world.released ? world.spill_max : world.dropped)) {
        broken("R30-lost", "%u ids that were accepted are gone", lost);
    }
}

void mailbox_end(void) {
    if (world.mailbox == NULL) {
        return;
    }
    bool stayed = atomic_load(&pb_memory_definition(world.root)->base) == world.base;
    if (world.close_end != NEVER && !world.wild && stayed) {
        check_silence();
    }
    if (!world.wild) {
        check_delivery();
    }
    if (!world.released) {
        pb_mailbox_release(world.mailbox);
    }
    world.mailbox = NULL;
}

/* Nobody may sleep on a signal while there is one, or after close (R34, R36). */
const char *mailbox_at_rest(void) {
    if (world.mailbox == NULL) {
        return NULL;
    }
    uint32_t words[4];
    memcpy(words, world.words, sizeof words);
    bool sleeps = false, parked = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        sleeps |= a->in_signal;
        parked |= a->in_signal && (int)i == world.guest;
        if (a->in_signal && a->op->code == OP_guest_park && world.disable_end != NEVER) {
            return "R29-disable";
        }
    }
    if (world.wild || !sleeps) {
        return NULL;
    }
    if (world.close_end != NEVER) {
        return "R36-close-unseen";
    }
    if (world.onlookers > 0) {
        return NULL;
    }
    if (words[1] & PB_MAILBOX_SIGNALLED) {
        return "R34-no-lost-wakeup";
    }
    return parked && undelivered() > 0 ? "R34-no-lost-wakeup" : NULL;
}

actor_operation *mailbox_operation(uint8_t code) {
    static actor_operation *const operations[256] = {
        [OP_mailbox_release] = op_release,
        [OP_mailbox_enqueue] = op_enqueue,
        [OP_mailbox_enqueue_id] = op_enqueue_id,
        [OP_mailbox_flush] = op_flush,
        [OP_mailbox_is_signalled] = op_is_signalled,
        [OP_mailbox_wait_for_signal] = op_wait_for_signal,
        [OP_mailbox_hold] = op_hold,
        [OP_mailbox_move] = op_move,
        [OP_mailbox_unhold] = op_unhold,
        [OP_mailbox_grow] = op_grow,
        [OP_mailbox_close] = op_close,
        [OP_waker_create] = op_waker_create,
        [OP_waker_clone] = op_waker_clone,
        [OP_waker_wake] = op_waker_wake,
        [OP_waker_drop] = op_waker_drop,
        [OP_guest_drain] = op_drain,
        [OP_guest_park] = op_park,
        [OP_guest_scribble] = op_scribble,
    };
    return operations[code];
}
