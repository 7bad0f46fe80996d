/* host_wait.c: what waits ask of the kernel, and what becomes of them for each of its answers. No
 * thread blocks: the futex is answered here, and what another thread would do meanwhile is done in
 * the middle of that call. */
#include "host_within.h"

#include "mailbox.h"
#include "os.h"
#include "os_wrap.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <time.h>

enum { SECOND_NS = 1000000000 };

/* Sets errno, as a call leaves it, and returns its result. */
static long answer_by(enum word_answer answer) {
    static const struct {
        long result;
        int error;
    } answers[WORD_answer_count] = {
        [WORD_answer_success] = {0, 0},
        [WORD_answer_success_after_timeout] = {0, ETIMEDOUT},
        [WORD_answer_success_after_signal] = {0, EINTR},
        [WORD_answer_timed_out] = {-1, ETIMEDOUT},
        [WORD_answer_signal] = {-1, EINTR},
        [WORD_answer_again] = {-1, EAGAIN},
        [WORD_answer_invalid] = {-1, EINVAL},
    };
    errno = answers[answer].error;
    return answers[answer].result;
}

static bool is_wait(const struct libc_futex_call *call) {
    return call->operation == FUTEX_WAIT_BITSET_PRIVATE;
}

/* The limit of a wait is that time of the monotonic clock; none for PB_DEADLINE_NEVER. */
static bool is_limited_to(const struct libc_futex_call *call, uint64_t deadline_ns) {
    return deadline_ns == PB_DEADLINE_NEVER
               ? !call->limited
               : call->limited && (uint64_t)call->seconds == deadline_ns / SECOND_NS &&
                     (uint64_t)call->nanoseconds == deadline_ns % SECOND_NS;
}

/* ---- The seam ---------------------------------------------------------------------------------
 */

struct seam {
    enum word_answer answer;
    unsigned calls;
    struct libc_futex_call last;
};

static long seam_answer(void *context, const struct libc_futex_call *call) {
    struct seam *seam = context;
    seam->calls++;
    seam->last = *call;
    return answer_by(seam->answer);
}

static const char *clock_is_monotonic(void) {
    struct timespec before, after;
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    const uint64_t got_ns = pb_os_clock_ns();
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    return host_holds(got_ns >= (uint64_t)before.tv_sec * SECOND_NS + (uint64_t)before.tv_nsec &&
                          got_ns <= (uint64_t)after.tv_sec * SECOND_NS + (uint64_t)after.tv_nsec,
                      "R23-clock");
}

const char *host_futex(const struct op *op) {
    static _Atomic uint32_t word;
    const uint32_t expected = (uint32_t)op->arg.host_futex.expected;
    const uint32_t count = (uint32_t)op->arg.host_futex.count;
    const uint64_t deadline_ns = op->arg.host_futex.deadline;
    struct seam seam = {.answer = (enum word_answer)op->arg.host_futex.answer};
    const struct libc_futex futex = {seam_answer, &seam};
    libc_wrap_futex(&futex);
    const enum pb_status got = pb_os_wait(&word, expected, deadline_ns);
    const struct seam wait = seam;
    pb_os_wake(&word, count);
    libc_wrap_futex(NULL);
    const char *broken =
        host_holds(wait.calls == 1 && wait.last.word == &word && wait.last.value == expected &&
                       is_wait(&wait.last) && wait.last.mask == FUTEX_BITSET_MATCH_ANY &&
                       is_limited_to(&wait.last, deadline_ns),
                   "R23-deadline");
    broken = host_first(
        broken, host_holds(got == (seam.answer == WORD_answer_timed_out ? PB_TIMED_OUT : PB_OK),
                           "R23-timeout"));
    /* how many is an int there */
    broken = host_first(
        broken, host_holds(seam.calls == 2 && seam.last.word == &word &&
                               seam.last.operation == FUTEX_WAKE_PRIVATE &&
                               seam.last.value == (count > INT_MAX ? (uint32_t)INT_MAX : count),
                           count > INT_MAX ? "R36-wake-all" : "R24-wake"));
    return host_first(broken, clock_is_monotonic());
}

/* ---- Waits that block -------------------------------------------------------------------------
 */

enum { ANSWERS = 2, CALLS_MAX = 8 };

/* One wait of a memory or a mailbox, and what happens while it blocks. */
struct blocked {
    enum word_answer answer[ANSWERS];
    enum word_event event;
    unsigned when;        /* in so many calls after the first */
    uint64_t deadline_ns; /* that each call must have, until there is a verdict */
    bool limited;
    /* What was seen. */
    unsigned waits, wakes;
    bool happened, late, right;
    uint32_t woken;
    /* What it is about. */
    struct pb_memory *memory;
    uint64_t at;
    struct pb_canceller *canceller;
    struct pb_mailbox *box;
    struct pb_pin pin;
};

/* While it blocks it is the one waiter, and nobody else may use its canceller. */
static void look_at_waiter(struct blocked *b) {
    enum pb_wait result = (enum pb_wait)9;
    if (b->canceller != NULL) {
        b->right &= pb_memory_waiters(b->memory) == 1 &&
                    pb_memory_cancellable_wait32(b->memory, b->at + 8, 0, 0, b->canceller,
                                                 &result) == PB_INVALID &&
                    pb_memory_cancellable_wait64(b->memory, b->at, 0, -1, b->canceller, &result) ==
                        PB_INVALID &&
                    result == (enum pb_wait)9;
    }
}

static void happen(struct blocked *b) {
    look_at_waiter(b);
    b->happened = true;
    switch (b->event) {
    case WORD_event_notify:
        (void)pb_memory_notify(b->memory, b->at, 1, &b->woken);
        break;
    case WORD_event_notify_all:
        (void)pb_memory_notify(b->memory, b->at, UINT32_MAX, &b->woken);
        break;
    case WORD_event_disable:
        pb_memory_disable_atomics(b->memory);
        break;
    case WORD_event_cancel:
        pb_canceller_cancel(b->canceller);
        break;
    case WORD_event_release: /* a pin keeps the pages, and nothing else */
        b->right &= b->when == 0 || pb_memory_pin(b->memory, 0, 8, &b->pin) == PB_OK;
        pb_memory_release(b->memory);
        b->memory = NULL;
        break;
    case WORD_event_enqueue:
        b->right &= pb_mailbox_enqueue(b->box, 7) == PB_OK;
        break;
    case WORD_event_close:
        pb_mailbox_close(b->box, NULL);
        break;
    default:
        b->happened = false;
        break;
    }
}

/* A wake is none of the waits. A wait gets its answer; one without a limit is never late, and ends
 * by the event after some calls at the latest. */
static long blocked_answer(void *context, const struct libc_futex_call *call) {
    struct blocked *b = context;
    if (!is_wait(call)) {
        b->wakes++;
        errno = 0;
        return 1;
    }
    b->right &= is_limited_to(call, b->deadline_ns);
    const unsigned nth = b->waits++;
    if (nth >= CALLS_MAX) { /* it waits on although it was told */
        b->right = false;
    }
    if (nth == b->when && !b->happened) {
        happen(b);
    }
    enum word_answer answer = nth < ANSWERS ? b->answer[nth]
                              : b->limited  ? WORD_answer_timed_out
                                            : WORD_answer_success;
    if (answer == WORD_answer_timed_out && !b->limited) {
        answer = WORD_answer_signal;
    }
    b->late |= answer == WORD_answer_timed_out;
    return answer_by(answer);
}

static struct blocked draw_blocked(const struct op *op) {
    const int64_t timeout_ns = (int64_t)op->arg.host_blocked.timeout_ns;
    const uint64_t now_ns = op->arg.host_blocked.now;
    const bool passes = timeout_ns < 0 || (uint64_t)timeout_ns >= PB_DEADLINE_NEVER - now_ns;
    return (struct blocked){
        .answer = {(enum word_answer)op->arg.host_blocked.first,
                   (enum word_answer)op->arg.host_blocked.second},
        .event = (enum word_event)op->arg.host_blocked.event,
        .when = (unsigned)(op->arg.host_blocked.when % (ANSWERS + 1)),
        .deadline_ns = passes ? PB_DEADLINE_NEVER : now_ns + (uint64_t)timeout_ns,
        .limited = !passes,
        .right = true,
    };
}

/* The event is what the wait returns, unless its time was up before. */
static enum pb_status verdict_of(const struct blocked *b, bool *notified) {
    *notified = b->event == WORD_event_notify || b->event == WORD_event_notify_all;
    return b->event == WORD_event_cancel                                      ? PB_CANCELLED
           : b->event == WORD_event_disable || b->event == WORD_event_release ? PB_DISABLED
                                                                              : PB_OK;
}

static const char *blocked_memory(const struct op *op, struct blocked *b) {
    const bool wide = op->arg.host_blocked.wide == WORD_yesno_yes;
    const uint64_t now_ns = op->arg.host_blocked.now;
    const int64_t timeout_ns = (int64_t)op->arg.host_blocked.timeout_ns;
    const struct libc_futex futex = {blocked_answer, b};
    enum pb_wait result = (enum pb_wait)9;
    if (host_plain_memory(1, true, &b->memory) != PB_OK) {
        return NULL;
    }
    struct pb_memory *memory = b->memory;
    if (pb_canceller_create(&host_allocator, &b->canceller) != PB_OK) {
        pb_memory_release(memory);
        return NULL;
    }
    b->at = 64;
    libc_wrap_futex(&futex);
    libc_wrap_clock(&now_ns);
    const enum pb_status got =
        wide ? pb_memory_cancellable_wait64(memory, b->at, 0, timeout_ns, b->canceller, &result)
             : pb_memory_cancellable_wait32(memory, b->at, 0, timeout_ns, b->canceller, &result);
    libc_wrap_clock(NULL);
    libc_wrap_futex(NULL);
    bool notified;
    const enum pb_status verdict = verdict_of(b, &notified);
    const char *broken = host_holds(b->right, "R23-deadline");
    if (b->happened) {
        broken = host_first(broken, host_holds(got == verdict &&
                                                   (got != PB_OK || result == PB_WAIT_NOTIFIED) &&
                                                   b->wakes > 0,
                                               verdict == PB_CANCELLED  ? "R41-cancelled"
                                               : verdict == PB_DISABLED ? "R29-disable"
                                                                        : "R22-no-lost-wake"));
        broken = host_first(broken, host_holds(!notified || b->woken == 1, "R24-count"));
    } else {
        broken = host_first(broken, host_holds(got == PB_OK && result == PB_WAIT_TIMED_OUT &&
                                                   (b->late || timeout_ns == 0),
                                               "R23-timeout"));
    }
    if (b->memory != NULL) {
        broken = host_first(broken, host_holds(pb_memory_waiters(memory) == 0, "R28-waiters-left"));
        pb_memory_release(memory);
    }
    pb_pin_release(&b->pin);
    pb_canceller_release(b->canceller);
    return broken;
}

static const char *blocked_mailbox(const struct op *op, struct blocked *b) {
    const uint64_t now_ns = op->arg.host_blocked.now;
    const int64_t timeout_ns = (int64_t)op->arg.host_blocked.timeout_ns;
    const struct libc_futex futex = {blocked_answer, b};
    if (host_plain_memory(1, op->arg.host_blocked.wide == WORD_yesno_yes, &b->memory) != PB_OK) {
        return NULL;
    }
    const struct pb_mailbox_config config = {
        .memory = b->memory, .capacity = 2, .allocator = &host_allocator};
    if (pb_mailbox_create(&config, &b->box) != PB_OK) {
        pb_memory_release(b->memory);
        return NULL;
    }
    libc_wrap_futex(&futex);
    libc_wrap_clock(&now_ns);
    const enum pb_status got = pb_mailbox_wait_for_signal(b->box, timeout_ns);
    libc_wrap_clock(NULL);
    libc_wrap_futex(NULL);
    const enum pb_status wanted = !b->happened                   ? PB_TIMED_OUT
                                  : b->event == WORD_event_close ? PB_CLOSED
                                                                 : PB_OK;
    const char *broken = host_holds(b->right, "R34-deadline");
    broken =
        host_first(broken, host_holds(got == wanted && (b->happened || b->late || timeout_ns == 0),
                                      wanted == PB_CLOSED ? "R36-close-unseen"
                                      : wanted == PB_OK   ? "R34-no-lost-wakeup"
                                                          : "R34-wait-for-signal"));
    broken = host_first(broken, host_holds(!b->happened || b->wakes > 0, "R34-no-lost-wakeup"));
    pb_mailbox_release(b->box);
    pb_memory_release(b->memory);
    return broken;
}

const char *host_blocked(const struct op *op) {
    struct blocked b = draw_blocked(op);
    const bool of_mailbox = b.event == WORD_event_enqueue || b.event == WORD_event_close ||
                            b.event == WORD_event_no_signal;
    if (!b.limited && (b.event == WORD_event_nothing || b.event == WORD_event_no_signal)) {
        b.event = of_mailbox ? WORD_event_enqueue : WORD_event_notify; /* or it would never end */
    }
    return of_mailbox ? blocked_mailbox(op, &b) : blocked_memory(op, &b);
}
