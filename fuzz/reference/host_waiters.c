/* host_waiters.c: several waits that block at once, on one thread: while the futex is asked for one
 * wait, the next one begins, until all of them block. Then waiters are notified, cancelled,
 * refused, and so on, and each wait must return what has become of it. The memory is a shared one,
 * a converted one, a copy, of any strategy. */
#include "host_within.h"

#include "os_wrap.h"

#include <errno.h>
#include <linux/futex.h>
#include <setjmp.h>

enum {
    WAITS_MAX = 4,
    EVENTS_MAX = 5,
    PLACES = 4,
    LIMITS = 5,
    WAIT_BITS = 3,
    EVENT_BITS = 6,
    CALLS_MAX = 100, /* of the futex: somebody waits for what does not come */
    NOW_NS = 1000,
    TIMEOUT_NS = 1000000
};

/* Words of one bucket of the wait table, and one of another. */
static const uint64_t places[PLACES] = {0, 136, 712, 8};

enum state { NOT_YET, BLOCKED, NOTIFIED, DISABLED, CANCELLED, GONE };

struct waiter {
    uint64_t at;
    bool wide;
    struct pb_canceller *canceller;
    enum state state, must; /* must: what it is to return; BLOCKED: that its time is up */
    const void *word;       /* what its thread sleeps on */
    bool woken, returned;
    enum pb_status got;
    enum pb_wait result;
};

static struct crowd {
    struct pb_memory *handle[2]; /* of one memory; NULL: not, or no more */
    struct pb_memory_definition record;
    bool has_record, disabled;
    uint32_t limit;
    struct waiter waiter[WAITS_MAX];
    unsigned count, begun;
    uint32_t events;
    unsigned left, early;
    bool happened; /* those that come before any wait is late */
    unsigned calls;
    jmp_buf stuck;
    const char *broken;
} crowd;

static void hold_that(bool right, const char *rule) {
    crowd.broken = host_first(crowd.broken, host_holds(right, rule));
}

static struct pb_memory *any_handle(void) {
    return crowd.handle[1] != NULL ? crowd.handle[1] : crowd.handle[0];
}

static uint32_t blocked(void) {
    uint32_t sum = 0;
    for (unsigned i = 0; i < crowd.count; i++) {
        sum += crowd.waiter[i].state == BLOCKED;
    }
    return sum;
}

/* ---- What happens -----------------------------------------------------------------------------
 */

/* The oldest are taken first. */
static void notify(uint64_t at, uint32_t count) {
    uint32_t must = 0, woken = 99;
    for (unsigned i = 0; i < crowd.count && must < count; i++) {
        struct waiter *w = &crowd.waiter[i];
        if (w->state == BLOCKED && w->at == at) {
            w->state = w->must = NOTIFIED;
            must++;
        }
    }
    const enum pb_status got = pb_memory_notify(any_handle(), at, count, &woken);
    hold_that(got == PB_OK && woken == must, "R24-count");
}

static void end_all(void) {
    crowd.disabled = true;
    for (unsigned i = 0; i < crowd.count; i++) {
        struct waiter *w = &crowd.waiter[i];
        if (w->state == BLOCKED) {
            w->state = w->must = DISABLED;
        }
    }
}

static void cancel(struct waiter *w) {
    if (w->canceller == NULL || w->state == NOT_YET) {
        return;
    }
    if (w->state == BLOCKED) {
        w->state = w->must = CANCELLED;
    }
    pb_canceller_cancel(w->canceller);
}

/* The newest handle; the last one ends all. */
static void release_one(void) {
    const unsigned n = crowd.handle[1] != NULL ? 1 : 0;
    struct pb_memory *memory = crowd.handle[n];
    crowd.handle[n] = NULL;
    if (n == 0) {
        end_all();
    }
    pb_memory_release(memory);
}

/* One that does not block: it is late at once, finds another value, or is refused. */
static void look(uint64_t at, uint32_t expected) {
    enum pb_wait result = (enum pb_wait)9;
    const enum pb_status got = pb_memory_wait32(any_handle(), at, expected, 0, &result);
    const enum pb_wait must = expected == 0 ? PB_WAIT_TIMED_OUT : PB_WAIT_NOT_EQUAL;
    hold_that(crowd.disabled ? got == PB_DISABLED : got == PB_OK && result == must,
              crowd.disabled ? "R29-disable" : "R20-value");
}

/* A copy has no waiters, and whatever is done to it does nothing to those of its source. */
static void copy(void) {
    struct pb_memory *made;
    uint32_t woken = 99;
    if (pb_memory_copy(any_handle(), &made) != PB_OK) {
        return;
    }
    hold_that(pb_memory_waiters(made) == 0 &&
                  pb_memory_notify(made, places[0], UINT32_MAX, &woken) == PB_OK && woken == 0,
              "R13-copy-waiters");
    pb_memory_disable_atomics(made);
    pb_memory_release(made);
}

/* The record tells of the pages as long as a handle or a wait keeps them (R29). */
static bool is_there(void) {
    bool there = any_handle() != NULL;
    for (unsigned i = 0; i < crowd.begun; i++) {
        there |= !crowd.waiter[i].returned;
    }
    return there;
}

/* Four bits say what, two more where, or to whom. */
static void happen(uint32_t event) {
    const unsigned who = event >> 4 & 3;
    const uint64_t at = places[who];
    const char *rule = "R28-waiters";
    uint32_t old;
    if (any_handle() == NULL) {
        return;
    }
    switch (event & 15) {
    case 0:
    case 1:
    case 2:
        notify(places[0], 1);
        break;
    case 3:
        notify(at, 1);
        break;
    case 4:
        notify(at, 2);
        break;
    case 5:
        notify(at, UINT32_MAX);
        break;
    case 6:
        notify(at, 0);
        break;
    case 7:
    case 8:
    case 9:
        cancel(&crowd.waiter[who]);
        break;
    case 10:
        look(at, 0);
        break;
    case 11:
        look(at, 1);
        break;
    case 12:
        copy();
        break;
    case 13:
        (void)pb_memory_grow(any_handle(), 1, &old);
        break;
    case 14:
        end_all();
        pb_memory_disable_atomics(any_handle());
        rule = "R29-waiters";
        break;
    default:
        release_one();
        break;
    }
    if (any_handle() != NULL) {
        hold_that(pb_memory_waiters(any_handle()) == blocked(), rule);
    }
    hold_that(!crowd.has_record || (atomic_load(&crowd.record.base) != NULL) == is_there(),
              "R14-record");
}

static void happen_next(void) {
    if (crowd.left > 0) {
        crowd.left--;
        happen(crowd.events);
        crowd.events >>= EVENT_BITS;
    }
}

/* ---- The waits --------------------------------------------------------------------------------
 */

static void begin(struct waiter *w) {
    struct pb_memory *memory = any_handle();
    const bool disabled = crowd.disabled;
    const bool full = crowd.limit != 0 && blocked() >= crowd.limit;
    w->state = disabled || full ? GONE : BLOCKED;
    w->must = BLOCKED;
    crowd.begun++;
    if (w->canceller != NULL) {
        w->got = w->wide ? pb_memory_cancellable_wait64(memory, w->at, 0, TIMEOUT_NS, w->canceller,
                                                        &w->result)
                         : pb_memory_cancellable_wait32(memory, w->at, 0, TIMEOUT_NS, w->canceller,
                                                        &w->result);
    } else {
        w->got = w->wide ? pb_memory_wait64(memory, w->at, 0, TIMEOUT_NS, &w->result)
                         : pb_memory_wait32(memory, w->at, 0, TIMEOUT_NS, &w->result);
    }
    w->returned = true;
    w->state = GONE;
    if (disabled || full) {
        hold_that(w->got == (disabled ? PB_DISABLED : PB_TOO_MANY_WAITERS),
                  disabled ? "R29-disable" : "R28-waiter-limit");
    } else {
        hold_that(w->word != NULL,
                  w->got == PB_TOO_MANY_WAITERS ? "R28-waiter-limit" : "R21-atomic-enqueue");
    }
}

/* All begin, one inside of the other, then things happen. */
static void go_on(void) {
    while (crowd.begun < crowd.count && any_handle() != NULL) {
        begin(&crowd.waiter[crowd.begun]);
    }
    if (!crowd.happened) {
        crowd.happened = true;
        while (crowd.early > 0) {
            crowd.early--;
            happen_next();
        }
    } else {
        happen_next();
    }
}

static struct waiter *sleeper_on(const void *word) {
    for (unsigned i = 0; i < crowd.begun; i++) {
        struct waiter *w = &crowd.waiter[i];
        if (w->word == word && !w->returned) {
            return w;
        }
    }
    return NULL;
}

static long answer(void *context, const struct libc_futex_call *call) {
    enum { SECOND_NS = 1000000000 };
    (void)context;
    struct waiter *w = sleeper_on(call->word);
    errno = 0;
    if (call->operation != FUTEX_WAIT_BITSET_PRIVATE) {
        if (w != NULL) {
            w->woken = true;
        }
        return 1;
    }
    const bool is_new = w == NULL && crowd.begun > 0 &&
                        crowd.waiter[crowd.begun - 1].word == NULL &&
                        !crowd.waiter[crowd.begun - 1].returned;
    if (++crowd.calls > CALLS_MAX ||
        (w == NULL && !is_new)) { /* for a lock of its own thread, too */
        crowd.broken = host_first(crowd.broken, "R22-no-lost-wake");
        longjmp(crowd.stuck, 1);
    }
    if (w == NULL) { /* the newest one, for the first time */
        w = &crowd.waiter[crowd.begun - 1];
        w->word = call->word;
        hold_that(call->limited && call->seconds == (NOW_NS + TIMEOUT_NS) / SECOND_NS &&
                      call->nanoseconds == (NOW_NS + TIMEOUT_NS) % SECOND_NS,
                  "R23-deadline");
        go_on();
    }
    if (w->must == BLOCKED) { /* nobody comes */
        w->state = GONE;
        errno = ETIMEDOUT;
        return -1;
    }
    return 0;
}

static const struct {
    enum pb_status status;
    enum pb_wait result;
    const char *rule;
} musts[] = {
    [BLOCKED] = {PB_OK, PB_WAIT_TIMED_OUT, "R23-timeout"},
    [NOTIFIED] = {PB_OK, PB_WAIT_NOTIFIED, "R22-no-lost-wake"},
    [DISABLED] = {PB_DISABLED, PB_WAIT_TIMED_OUT, "R29-disable"},
    [CANCELLED] = {PB_CANCELLED, PB_WAIT_TIMED_OUT, "R41-cancelled"},
};

static bool was_notified(const struct waiter *w) {
    return w->got == PB_OK && w->result == PB_WAIT_NOTIFIED;
}

/* As many were notified as must be, but not those that came first. */
static bool is_another_order(void) {
    unsigned must = 0, got = 0;
    for (unsigned i = 0; i < crowd.begun; i++) {
        must += crowd.waiter[i].must == NOTIFIED;
        got += was_notified(&crowd.waiter[i]);
    }
    return must == got;
}

static const char *returned_wrongly(const struct waiter *w) {
    const bool right =
        w->got == musts[w->must].status && (w->got != PB_OK || w->result == musts[w->must].result);
    if (right) { /* it would sleep on where nobody wakes its thread */
        return w->must == BLOCKED || w->woken ? NULL : "R22-no-lost-wake";
    }
    if ((w->must == NOTIFIED || was_notified(w)) && is_another_order()) {
        return "R25-fifo";
    }
    return was_notified(w) ? "R22-no-spurious" : musts[w->must].rule;
}

static void judge(void) {
    for (unsigned i = 0; i < crowd.begun && crowd.broken == NULL; i++) {
        const struct waiter *w = &crowd.waiter[i];
        crowd.broken = w->word != NULL ? returned_wrongly(w) : NULL;
    }
}

/* ---- The memory -------------------------------------------------------------------------------
 */

static bool convert(struct pb_memory **memory, bool wanted) {
    if (!wanted || pb_memory_to_shared(*memory) == PB_OK) {
        return true;
    }
    pb_memory_release(*memory);
    return false;
}

/* Its copy lives on without it. */
static bool replace_by_copy(struct pb_memory **memory) {
    struct pb_memory *copied = NULL;
    const bool did = pb_memory_copy(*memory, &copied) == PB_OK;
    pb_memory_release(*memory);
    *memory = copied;
    return did;
}

static bool make_memory(const struct op *op) {
    static const enum pb_strategy strategies[] = {PB_STRATEGY_RESERVE, PB_STRATEGY_RESERVE_RW,
                                                  PB_STRATEGY_IMAGE, PB_STRATEGY_POOL,
                                                  PB_STRATEGY_GUARD};
    const enum word_made made = (enum word_made)op->arg.host_waiters.made;
    const bool converted = made == WORD_made_converted || made == WORD_made_converted_copy ||
                           made == WORD_made_copied_after || made == WORD_made_grown;
    const bool copied = made == WORD_made_copied || made == WORD_made_converted_copy ||
                        made == WORD_made_copied_after;
    const struct pb_pool_config slots = {
        .slots = 3, .slot_bytes = 4 * PAGE, .allocator = &host_allocator};
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    struct pb_memory_config config = {
        .type = {1, 4, !converted},
        .style = &style,
        .strategy = strategies[op->arg.host_waiters.strategy % 5],
        .waiters_max = crowd.limit,
        .definition = copied ? NULL : &crowd.record,
        .allocator = &host_allocator,
    };
    struct pb_memory **memory = &crowd.handle[0];
    uint32_t old;
    if (config.strategy == PB_STRATEGY_POOL && pb_pool_create(&slots, &config.pool) != PB_OK) {
        return false;
    }
    const enum pb_status got = pb_memory_create(&config, memory);
    pb_pool_release(config.pool);
    crowd.has_record = !copied;
    if (got != PB_OK) {
        *memory = NULL;
        return false;
    }
    if (made == WORD_made_grown) {
        (void)pb_memory_grow(*memory, 2, &old);
    }
    const bool late = made == WORD_made_copied_after;
    if (!convert(memory, converted && !late) || (copied && !replace_by_copy(memory)) ||
        !convert(memory, late)) {
        *memory = NULL;
        return false;
    }
    return made != WORD_made_retained || pb_memory_retain(*memory, &crowd.handle[1]) == PB_OK;
}

const char *host_waiters(const struct op *op) {
    static const uint64_t now_ns = NOW_NS;
    static const struct libc_futex futex = {answer, NULL};
    uint32_t waiting = (uint32_t)op->arg.host_waiters.waiting;
    memset(&crowd, 0, sizeof crowd);
    crowd.limit = (uint32_t)(op->arg.host_waiters.limit % LIMITS);
    crowd.count = 1 + waiting % WAITS_MAX;
    crowd.events = (uint32_t)op->arg.host_waiters.events;
    crowd.left = EVENTS_MAX;
    crowd.early = 1 + (unsigned)(op->arg.host_waiters.early % EVENTS_MAX);
    waiting /= WAITS_MAX;
    if (!make_memory(op)) {
        pb_memory_release(crowd.handle[0]);
        return NULL;
    }
    for (unsigned i = 0; i < crowd.count; i++, waiting >>= WAIT_BITS) {
        struct waiter *w = &crowd.waiter[i];
        w->at = places[waiting & 1 ? waiting >> 1 & 3 : 0];
        w->wide = waiting >> 2 & 1;
        if (i % 2 == 1 || (waiting & 7) == 6) {
            (void)pb_canceller_create(&host_allocator, &w->canceller);
        }
    }
    libc_wrap_futex(&futex);
    libc_wrap_clock(&now_ns);
    const bool stuck = setjmp(crowd.stuck) != 0;
    if (!stuck) {
        go_on();
    }
    libc_wrap_clock(NULL);
    libc_wrap_futex(NULL);
    if (stuck) { /* the records of the waits are gone: nothing can be released */
        return crowd.broken;
    }
    judge();
    if (any_handle() != NULL) {
        hold_that(pb_memory_waiters(any_handle()) == 0, "R28-waiters-left");
    }
    pb_memory_release(crowd.handle[1]);
    pb_memory_release(crowd.handle[0]);
    hold_that(!crowd.has_record || (atomic_load(&crowd.record.base) == NULL &&
                                    atomic_load(&crowd.record.length_bytes) == 0),
              "R14-record");
    for (unsigned i = 0; i < crowd.count; i++) {
        pb_canceller_release(crowd.waiter[i].canceller);
    }
    return crowd.broken;
}
