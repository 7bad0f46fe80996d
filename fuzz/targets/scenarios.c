/* scenarios.c: the concurrent programs of `make verify`: mailbox, waiters, shared growth.
 *
 * Only ref/ is compiled so that the engine sees its accesses; what is here looks on from outside,
 * and clears what it keeps when a run begins. The mailbox runs on a custom memory whose wait and
 * notify are the engine's own (a futex): the real waiters have scenarios of their own, and the two
 * searches stay small. */
#include "scenarios.h"

#include "guest.h"
#include "mailbox.h"
#include "memory.h"
#include "one_page.h"
#include "sim.h"
#include "waiters.h"

#include <limits.h>
#include <string.h>

enum { IDS_MAX = 8, THREADS = 8, GUEST_BYTES = 65536 };

static void start(int *thread, void (*body)(void *), void *arg) {
    *thread = sim_spawn(body, arg);
    sim_assert(*thread > 0);
}

/* ---- A guest memory of one page on the engine's pages and futex ------------------------------ */

static struct one_page ground_page = {.shared = true};

static enum pb_status ground_retain(void *self, void **clone) {
    *clone = self;
    return PB_OK;
}

/* The owner of a memory without clones may destroy it now. By the engine's accesses, so that the
 * search sees that a notify before it is not one after it. */
static uint32_t lent_ended;

static uint32_t ground_notify(void *self, uint64_t address, uint32_t count) {
    (void)self;
    if (sim_atomic_load((volatile void *)&lent_ended, 4, __ATOMIC_RELAXED) != 0) {
        sim_finding("R36-notify-after-close", "a memory that may be gone was notified");
    }
    return sim_wake(
        atomic_load_explicit(&ground_page.definition.base, memory_order_relaxed) + address, count);
}

static const struct pb_memory_operations ground = {
    .type = one_page_type,
    .style = one_page_style,
    .grow = one_page_grow,
    .definition = one_page_definition,
    .release = one_page_release,
    .retain = ground_retain,
    .notify = ground_notify,
};

static const struct pb_memory_operations ground_lent = {
    .type = one_page_type,
    .style = one_page_style,
    .grow = one_page_grow,
    .definition = one_page_definition,
    .release = one_page_release,
    .notify = ground_notify,
};

/* ---- Mailbox --------------------------------------------------------------------------------- */

/* What one run of a mailbox scenario is about. */
struct mailbox_case {
    uint32_t producers, ids_each, capacity, first_cursor;
    bool close, spill;
    bool lent;        /* the memory cannot be cloned */
    bool may_be_full; /* the ring is short, and nothing spills */
};

static struct {
    const struct mailbox_case *what;
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    struct pb_mailbox_words *words;
    uint32_t accepted[THREADS]; /* by producer: how many of its ids */
    uint32_t got[IDS_MAX + 1];  /* by the guest, in order */
    uint32_t got_count;
    bool protect;
} box;

static void take(void *context, uint32_t id) {
    (void)context;
    if (box.got_count == IDS_MAX) {
        sim_finding("R30-exactly-once", "more ids than were ever sent");
    }
    box.got[box.got_count++] = id;
}

static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    (void)context;
    (void)timeout_ns;
    (void)sim_wait((const volatile void *)flag, expected, SIM_NEVER);
    return 0;
}

static void guest_flush(void *context) {
    (void)context;
    (void)pb_mailbox_flush(box.mailbox, NULL);
}

static const struct pb_guest_host guest_host = {guest_wait, guest_flush, NULL};

/* Ids say who sent them and in which order: 16 * (producer + 1) + number. */
static void producer(void *arg) {
    uint32_t self = (uint32_t)(uintptr_t)arg;
    for (uint32_t i = 0; i < box.what->ids_each; i++) {
        enum pb_status status = pb_mailbox_enqueue(box.mailbox, 16 * (self + 1) + i);
        if (status == PB_OK) {
            box.accepted[self]++;
        } else if (status != PB_CLOSED && !(status == PB_FULL && box.what->may_be_full)) {
            sim_finding("R33-capacity", "enqueue said %s", pb_status_name(status));
        }
    }
}

static void drain_until(uint32_t count) {
    while (box.got_count < count) {
        (void)pb_guest_drain(box.words, take, NULL);
        if (box.got_count < count) {
            (void)pb_guest_park(box.words, &guest_host, -1);
        }
    }
}

/* Every accepted id once, each producer's in its order (R30, R32). */
static void check_delivery(void) {
    uint32_t seen[THREADS] = {0};
    for (uint32_t i = 0; i < box.got_count; i++) {
        uint32_t from = box.got[i] / 16 - 1;
        if (box.got[i] < 16 || from >= box.what->producers ||
            box.got[i] % 16 >= box.what->ids_each) {
            sim_finding("R30-invented-id", "id %u was never sent", box.got[i]);
        }
        if (box.got[i] % 16 != seen[from]) {
            sim_finding("R32-producer-order", "id %u came after %u of its producer", box.got[i],
                        seen[from]);
        }
        seen[from]++;
    }
    for (uint32_t i = 0; i < box.what->producers; i++) {
        if (seen[i] != box.accepted[i]) {
            sim_finding("R30-exactly-once", "producer %u: %u accepted, %u delivered", i,
                        box.accepted[i], seen[i]);
        }
    }
}

static void mailbox_set_up(const struct mailbox_case *what) {
    memset(&box, 0, sizeof box);
    uint8_t *guest = sim_pages_reserve(GUEST_BYTES);
    sim_assert(guest != NULL && sim_pages_protect(guest, GUEST_BYTES, SIM_READ_WRITE));
    atomic_init(&ground_page.definition.base, guest);
    atomic_init(&ground_page.definition.length_bytes, GUEST_BYTES);
    box.what = what;
    lent_ended = 0;
    sim_assert(pb_memory_create_custom(what->lent ? &ground_lent : &ground, &ground_page, NULL,
                                       &box.memory) == PB_OK);
    struct pb_mailbox_config config = {
        .memory = box.memory,
        .capacity = what->capacity,
        .first_cursor = what->first_cursor,
        .full = what->spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
        .spill_max = what->spill ? IDS_MAX : 0,
    };
    sim_assert(pb_mailbox_create(&config, &box.mailbox) == PB_OK);
    box.words = (struct pb_mailbox_words *)(void *)guest;
}

static void mailbox_tear_down(void) {
    pb_mailbox_release(box.mailbox);
    pb_memory_release(box.memory);
}

/* Producers, and a guest that parks until it has all ids. The guest is the first thread. */
static void mailbox_run(const struct mailbox_case *what) {
    int threads[THREADS];
    mailbox_set_up(what);
    for (uint32_t i = 0; i < what->producers; i++) {
        start(&threads[i], producer, (void *)(uintptr_t)i);
    }
    drain_until(what->producers * what->ids_each);
    for (uint32_t i = 0; i < what->producers; i++) {
        sim_join(threads[i]);
    }
    check_delivery();
    mailbox_tear_down();
}

static void mailbox_2x1(void *arg) {
    static const struct mailbox_case what = {.producers = 2, .ids_each = 1, .capacity = 4};
    (void)arg;
    mailbox_run(&what);
}

/* The guest parks a few times, then waits for the producers' end and drains the rest. */
static void mailbox_run_parking(const struct mailbox_case *what, uint32_t parks_max) {
    int threads[THREADS];
    mailbox_set_up(what);
    for (uint32_t i = 0; i < what->producers; i++) {
        start(&threads[i], producer, (void *)(uintptr_t)i);
    }
    for (uint32_t parks = 0; parks < parks_max && box.got_count < what->producers * what->ids_each;
         parks++) {
        (void)pb_guest_park(box.words, &guest_host, -1);
        (void)pb_guest_drain(box.words, take, NULL);
    }
    for (uint32_t i = 0; i < what->producers; i++) {
        sim_join(threads[i]);
    }
    (void)pb_guest_drain(box.words, take, NULL);
    check_delivery();
    mailbox_tear_down();
}

static void mailbox_2x2(void *arg) {
    static const struct mailbox_case what = {.producers = 2, .ids_each = 2, .capacity = 4};
    (void)arg;
    mailbox_run_parking(&what, 1);
}

static void mailbox_3x1(void *arg) {
    static const struct mailbox_case what = {.producers = 3, .ids_each = 1, .capacity = 4};
    (void)arg;
    mailbox_run_parking(&what, 1);
}

/* One slot for two ids: the one that is refused was refused before it was accepted. */
static void mailbox_full(void *arg) {
    static const struct mailbox_case what = {
        .producers = 2, .ids_each = 1, .capacity = 1, .may_be_full = true};
    (void)arg;
    mailbox_run_parking(&what, 1);
}

static void mailbox_wrap(void *arg) {
    static const struct mailbox_case what = {
        .producers = 2, .ids_each = 1, .capacity = 2, .first_cursor = UINT32_MAX};
    (void)arg;
    mailbox_run(&what);
}

static void mailbox_spill(void *arg) {
    static const struct mailbox_case what = {
        .producers = 1, .ids_each = 3, .capacity = 1, .spill = true};
    (void)arg;
    mailbox_run(&what);
}

static void mailbox_spill_2(void *arg) {
    static const struct mailbox_case what = {
        .producers = 2, .ids_each = 1, .capacity = 1, .spill = true};
    (void)arg;
    mailbox_run(&what);
}

/* ---- Mailbox against close --------------------------------------------------------------------
 */

/* After close returns, the host writes nothing more into guest memory: the guest's pages are made
 * read-only, so any later write is a finding (R36). */
static void closer(void *arg) {
    (void)arg;
    pb_mailbox_close(box.mailbox, NULL);
    if (box.what->lent) {
        sim_atomic_store((volatile void *)&lent_ended, 4, 1, __ATOMIC_RELAXED);
    }
    if (box.protect) {
        (void)sim_pages_protect((void *)box.words, GUEST_BYTES, SIM_READ);
    }
}

static void check_closed(void) {
    check_delivery();
    if (pb_mailbox_enqueue(box.mailbox, 1) != PB_CLOSED) {
        sim_finding("R36-close", "an enqueue after close was not refused");
    }
    mailbox_tear_down();
}

static void drain_until_closed(void) {
    while (pb_guest_park(box.words, &guest_host, -1) != PB_PARK_CLOSED) {
        (void)pb_guest_drain(box.words, take, NULL);
    }
}

/* Two producers against close; then the guest takes what was accepted. */
static void mailbox_close(void *arg) {
    static const struct mailbox_case what = {.producers = 2, .ids_each = 1, .capacity = 4};
    int threads[THREADS];
    (void)arg;
    mailbox_set_up(&what);
    for (uint32_t i = 0; i < what.producers; i++) {
        start(&threads[i], producer, (void *)(uintptr_t)i);
    }
    closer(NULL);
    drain_until_closed();
    for (uint32_t i = 0; i < what.producers; i++) {
        sim_join(threads[i]);
    }
    check_closed();
}

/* One producer and a close, while the guest drains and parks: it wakes and sees closed. */
static void close_parked(const struct mailbox_case *what) {
    int producing, closing;
    mailbox_set_up(what);
    start(&producing, producer, NULL);
    start(&closing, closer, NULL);
    drain_until_closed();
    sim_join(producing);
    sim_join(closing);
    check_closed();
}

static void mailbox_close_parked(void *arg) {
    static const struct mailbox_case what = {.producers = 1, .ids_each = 1, .capacity = 4};
    (void)arg;
    close_parked(&what);
}

/* The same in a memory that the mailbox does not own: after close it is no longer notified. */
static void mailbox_close_lent(void *arg) {
    static const struct mailbox_case what = {
        .producers = 1, .ids_each = 1, .capacity = 4, .lent = true};
    (void)arg;
    close_parked(&what);
}

/* Two producers and a close; the guest does not look. Later writes hit a read-only page. */
static void mailbox_close_silent(void *arg) {
    static const struct mailbox_case what = {.producers = 2, .ids_each = 1, .capacity = 4};
    int threads[THREADS];
    (void)arg;
    mailbox_set_up(&what);
    box.protect = true;
    for (uint32_t i = 0; i < what.producers; i++) {
        start(&threads[i], producer, (void *)(uintptr_t)i);
    }
    closer(NULL);
    for (uint32_t i = 0; i < what.producers; i++) {
        sim_join(threads[i]);
    }
    mailbox_tear_down();
}

/* ---- Mailbox across growth --------------------------------------------------------------------
 */

/* An unshared memory that moves at growth, so its old pages are gone: a producer with a stale base
 * touches released pages (R37). The first thread is the guest and the one that grows. */
static void mailbox_grow(void *arg) {
    static const struct mailbox_case what = {.producers = 2, .ids_each = 1, .capacity = 4};
    static const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    int threads[THREADS];
    uint32_t old_pages;
    (void)arg;
    memset(&box, 0, sizeof box);
    box.what = &what;
    struct pb_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 2}, .style = &style, .strategy = PB_STRATEGY_REMAP};
    sim_assert(pb_memory_create(&config, &box.memory) == PB_OK);
    struct pb_mailbox_config mailbox = {.memory = box.memory, .capacity = 4};
    sim_assert(pb_mailbox_create(&mailbox, &box.mailbox) == PB_OK);
    for (uint32_t i = 0; i < what.producers; i++) {
        start(&threads[i], producer, (void *)(uintptr_t)i);
    }
    sim_assert(pb_mailbox_grow(box.mailbox, 1, &old_pages) == PB_OK);
    box.words = (struct pb_mailbox_words *)(void *)atomic_load_explicit(
        &pb_memory_definition(box.memory)->base, memory_order_relaxed);
    (void)pb_guest_drain(box.words, take, NULL);
    for (uint32_t i = 0; i < what.producers; i++) {
        sim_join(threads[i]);
    }
    (void)pb_guest_drain(box.words, take, NULL);
    check_delivery();
    mailbox_tear_down();
}

/* A guest in a memory that is not shared returns to its host, which waits for the signal. */
static void mailbox_signal(void *arg) {
    static const struct mailbox_case what = {.producers = 1, .ids_each = 1, .capacity = 4};
    int producing;
    (void)arg;
    mailbox_set_up(&what);
    start(&producing, producer, NULL);
    while (box.got_count < 1) {
        if (pb_mailbox_wait_for_signal(box.mailbox, -1) != PB_OK) {
            sim_finding("R34-no-lost-wakeup", "wait_for_signal failed on an open mailbox");
        }
        (void)pb_guest_drain(box.words, take, NULL);
    }
    sim_join(producing);
    check_delivery();
    mailbox_tear_down();
}

/* ---- Waiters ----------------------------------------------------------------------------------
 */

static struct {
    struct pb_waiters *table;
    _Atomic uint32_t word, second;
    uint32_t result[THREADS]; /* 0, 1, 2, or 3 for disabled */
    int64_t timeout_ns[THREADS];
    uint32_t woken;
} queue;

enum { ADDRESS = 64, DISABLED_RESULT = 3 };

static void waiter(void *arg) {
    uint32_t self = (uint32_t)(uintptr_t)arg;
    enum pb_wait result = PB_WAIT_NOTIFIED;
    enum pb_status status = pb_waiters_wait(queue.table, ADDRESS, (const void *)&queue.word, 4, 0,
                                            queue.timeout_ns[self], NULL, &result);
    queue.result[self] = status == PB_OK ? (uint32_t)result : DISABLED_RESULT;
}

static void notifier(void *arg) {
    (void)arg;
    sim_atomic_store((volatile void *)&queue.word, 4, 1, __ATOMIC_RELAXED);
    queue.woken = pb_waiters_notify(queue.table, ADDRESS, UINT32_MAX);
}

static void disabler(void *arg) {
    (void)arg;
    pb_waiters_disable(queue.table);
}

static void waiters_set_up(void) {
    memset(&queue, 0, sizeof queue);
    sim_assert(pb_waiters_create(0, &pb_allocator_libc, &queue.table) == PB_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        queue.timeout_ns[i] = -1;
    }
}

/* The number of notified waits is what notify said; nobody is left (R21, R22, R27). */
static void waiters_check(uint32_t waiters, bool may_time_out, bool may_be_disabled) {
    uint32_t notified = 0;
    for (uint32_t i = 0; i < waiters; i++) {
        notified += queue.result[i] == PB_WAIT_NOTIFIED;
        if (queue.result[i] == PB_WAIT_TIMED_OUT && !may_time_out) {
            sim_finding("R23-timeout", "a wait without a timeout timed out");
        }
        if (queue.result[i] == DISABLED_RESULT && !may_be_disabled) {
            sim_finding("R29-disable", "a wait failed on an enabled table");
        }
    }
    if (notified != queue.woken) {
        sim_finding("R22-no-spurious", "notify counted %u, %u waits were notified", queue.woken,
                    notified);
    }
    if (pb_waiters_blocked(queue.table) != 0) {
        sim_finding("R27-queue-life", "%u waiters are left in an empty table",
                    pb_waiters_blocked(queue.table));
    }
    pb_waiters_destroy(queue.table);
}

static void waiters_run(uint32_t waiters, bool notify, bool disable, bool may_time_out) {
    int threads[THREADS], notifying = 0;
    for (uint32_t i = 0; i < waiters; i++) {
        start(&threads[i], waiter, (void *)(uintptr_t)i);
    }
    if (notify && disable) {
        start(&notifying, notifier, NULL);
        disabler(NULL);
        sim_join(notifying);
    } else if (notify) {
        notifier(NULL);
    } else {
        disabler(NULL);
    }
    for (uint32_t i = 0; i < waiters; i++) {
        sim_join(threads[i]);
    }
    waiters_check(waiters, may_time_out, disable);
}

static void waiters_2_notify(void *arg) {
    (void)arg;
    waiters_set_up();
    waiters_run(2, true, false, false);
}

static void waiters_timeout(void *arg) {
    (void)arg;
    waiters_set_up();
    queue.timeout_ns[0] = 1000000;
    waiters_run(2, true, false, true);
}

static void waiters_disable(void *arg) {
    (void)arg;
    waiters_set_up();
    waiters_run(2, false, true, false);
}

static void waiters_notify_disable(void *arg) {
    (void)arg;
    waiters_set_up();
    waiters_run(1, true, true, false);
}

/* Two waits one after the other, on two words: a wake that is late for the first reaches the
 * second, whose record lies at the same place. Who was notified sees what the notifier did before.
 */
static void waiter_twice(void *arg) {
    (void)arg;
    for (uint32_t i = 0; i < 2; i++) {
        volatile void *word =
            i == 0 ? (volatile void *)&queue.word : (volatile void *)&queue.second;
        enum pb_wait result = PB_WAIT_NOT_EQUAL;
        enum pb_status status = pb_waiters_wait(queue.table, ADDRESS + 4 * i, (const void *)word, 4,
                                                0, -1, NULL, &result);
        queue.result[i] = status == PB_OK ? (uint32_t)result : DISABLED_RESULT;
        if (queue.result[i] == PB_WAIT_NOTIFIED &&
            sim_atomic_load(word, 4, __ATOMIC_RELAXED) != 1) {
            sim_finding("R22-notifier-unseen", "notified, and the value is the old one");
        }
    }
}

static void waiters_twice(void *arg) {
    int thread;
    (void)arg;
    waiters_set_up();
    start(&thread, waiter_twice, NULL);
    notifier(NULL);
    sim_atomic_store((volatile void *)&queue.second, 4, 1, __ATOMIC_RELAXED);
    queue.woken += pb_waiters_notify(queue.table, ADDRESS + 4, 1);
    sim_join(thread);
    waiters_check(2, false, false);
}

/* A doorbell's ring does not wait for the bucket's lock: its holder, the waiter that joins or the
 * other ringer, wakes for it. A waiter that is not woken sleeps for ever. */
static struct pb_doorbell doorbell;

static void ringer(void *arg) {
    (void)arg;
    sim_atomic_store((volatile void *)&queue.word, 4, 1, __ATOMIC_RELAXED);
    pb_waiters_ring(queue.table, &doorbell);
}

static void waiters_doorbell(void *arg) {
    int waiting, ringing;
    (void)arg;
    waiters_set_up();
    doorbell = (struct pb_doorbell){.address = ADDRESS};
    pb_waiters_hang(queue.table, &doorbell);
    start(&waiting, waiter, (void *)(uintptr_t)0);
    start(&ringing, ringer, NULL);
    ringer(NULL);
    sim_join(waiting);
    sim_join(ringing);
    pb_waiters_unhang(queue.table, &doorbell);
    queue.woken = queue.result[0] == PB_WAIT_NOTIFIED;
    waiters_check(1, false, false);
}

/* ---- Shared growth ----------------------------------------------------------------------------
 */

static struct {
    struct pb_memory *memory;
    uint32_t old_pages[THREADS];
} grown;

static void grower(void *arg) {
    uint32_t self = (uint32_t)(uintptr_t)arg;
    sim_assert(pb_memory_grow(grown.memory, 1, &grown.old_pages[self]) == PB_OK);
}

/* Every byte below the length can be accessed (R11). */
static void growth_reader(void *arg) {
    uint64_t value;
    (void)arg;
    for (int i = 0; i < 2; i++) {
        uint64_t bytes = pb_memory_size_bytes(grown.memory);
        if (pb_memory_load(grown.memory, (uint32_t)(bytes - 1), 0, 1, &value) != PB_OK) {
            sim_finding("R11-shared-grow", "the last byte of a published size is out of bounds");
        }
    }
}

static void growth_2(void *arg) {
    static const struct pb_memory_style style = {.kind = PB_STYLE_STATIC, .bound_pages = 3};
    int threads[2];
    (void)arg;
    struct pb_memory_config config = {
        .type = {.min_pages = 1, .max_pages = 3, .shared = true},
        .style = &style,
        .strategy = PB_STRATEGY_RESERVE,
    };
    sim_assert(pb_memory_create(&config, &grown.memory) == PB_OK);
    start(&threads[0], grower, (void *)0);
    start(&threads[1], grower, (void *)1);
    growth_reader(NULL);
    sim_join(threads[0]);
    sim_join(threads[1]);
    uint32_t both = grown.old_pages[0] + grown.old_pages[1];
    if (both != 3 || pb_memory_size_pages(grown.memory) != 3) {
        sim_finding("R11-shared-grow", "old sizes %u and %u, size %u", grown.old_pages[0],
                    grown.old_pages[1], pb_memory_size_pages(grown.memory));
    }
    pb_memory_release(grown.memory);
}

/* ---- The table --------------------------------------------------------------------------------
 */

#define MAILBOX_RULES "R30 to R35"
#define WAITERS_RULES "R20 to R22, R26, R27"

const struct scenario scenarios[] = {
    {"mailbox-2x1", MAILBOX_RULES, "2 producers, 1 id each, a parking guest", mailbox_2x1,
     "R34-no-lost-wakeup", 0, 0},
    {"mailbox-wrap", MAILBOX_RULES, "2 producers, 1 id each, 2 slots, cursors across 2^32",
     mailbox_wrap, "R34-no-lost-wakeup", 0, 0},
    {"mailbox-spill", MAILBOX_RULES, "1 producer, 3 ids, 1 slot, the rest spilled", mailbox_spill,
     "R34-no-lost-wakeup", 0, 0},
    {"mailbox-grow", "R30, R37", "2 producers, 1 id each, a memory that moves once; no parking",
     mailbox_grow, "R37-deadlock", 0, 0},
    {"mailbox-signal", "R34", "1 producer, 1 id, a host thread that waits for the signal",
     mailbox_signal, "R34-no-lost-wakeup", 0, 0},
    {"mailbox-close", "R30, R36", "2 producers, 1 id each, one close, whose thread then drains",
     mailbox_close, "R36-close-unseen", 0, 0},
    {"mailbox-close-parked", "R30, R34, R36", "1 producer, 1 id, one close, a parking guest",
     mailbox_close_parked, "R36-close-unseen", 0, 0},
    {"mailbox-close-lent", "R30, R34, R36", "the same in a memory that cannot be cloned",
     mailbox_close_lent, "R36-close-unseen", 0, 0},
    {"mailbox-close-silent", "R36", "2 producers, 1 id each, one close, no later write",
     mailbox_close_silent, "R36-deadlock", 0, 0},
    {"waiters-notify", WAITERS_RULES, "2 waiters, 1 notifier", waiters_2_notify,
     "R21-atomic-enqueue", 0, 0},
    {"waiters-twice", WAITERS_RULES ", R23", "1 waiter that waits twice, 1 notifier", waiters_twice,
     "R21-atomic-enqueue", 0, 0},
    {"waiters-timeout", WAITERS_RULES ", R23", "2 waiters, one with a timeout, 1 notifier",
     waiters_timeout, "R21-atomic-enqueue", 1, 0},
    {"waiters-disable", "R27, R29", "2 waiters, one disables", waiters_disable, "R29-disable", 0,
     0},
    {"waiters-notify-disable", "R22, R29", "1 waiter, 1 notifier, one disables",
     waiters_notify_disable, "R29-disable", 0, 0},
    {"growth-2", "R5, R10, R11", "2 threads grow by a page, one reads at the end", growth_2,
     "R11-deadlock", 0, 0},
    {"waiters-doorbell", "R21, R22, R34", "1 waiter, 2 that ring one doorbell", waiters_doorbell,
     "R34-no-lost-wakeup", 0, 0},
    {"mailbox-full", "R33", "2 producers, 1 id each, 1 slot; the guest parks once, then joins them",
     mailbox_full, "R34-no-lost-wakeup", 0, 0},
    {"mailbox-spill-2", MAILBOX_RULES, "2 producers, 1 id each, 1 slot, the rest spilled",
     mailbox_spill_2, "R34-no-lost-wakeup", 0, 0},
    {"mailbox-2x2", MAILBOX_RULES, "2 producers, 2 ids each; the guest parks once, then joins them",
     mailbox_2x2, "R34-no-lost-wakeup", 0, 0},
    {"mailbox-3x1", MAILBOX_RULES, "3 producers, 1 id each; the guest parks once, then joins them",
     mailbox_3x1, "R34-no-lost-wakeup", 0, 0},
};

const size_t scenarios_count = sizeof scenarios / sizeof scenarios[0];
