/* sites.c: the extra cost of each single atomic access if it alone is made sequentially consistent.
 * Run: build/bench/bench --filter='^site/'.
 *
 * Compiled once for each weaker site of ref/orders.h, with the four files that have sites, into an
 * object with local symbols (rules.mk); BENCH_SITE is the site's name, or "none": all as chosen. A
 * row "site/PATH/stronger:SITE" runs a path through that site; its limit is the same path with
 * none. Sites that one thread cannot pass have a row with the reason why it is skipped. */
#include "guest.h"
#include "mailbox.h"
#include "memory.h"
#include "shim.h"
#include "waiters.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 1024, RING = 256, SECOND_MAILBOX = 65536 };

struct rig {
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    struct pb_mailbox_words *words;
    struct pb_waiters *waiters;
    struct pb_waker *waker;
    _Atomic uint32_t word;
    uint32_t expected; /* value of the word that a wait expects */
};

/* One run of a path; false: it did not go as expected. */
typedef bool path_run(struct rig *rig);

static void take(void *context, uint32_t id) {
    *(uint32_t *)context = id;
}

static bool run_pass(struct rig *rig) {
    uint32_t id = 0;
    return pb_mailbox_enqueue(rig->mailbox, 7) == PB_OK &&
           pb_guest_drain(rig->words, take, &id) == 1 && id == 7;
}

static bool run_refuse(struct rig *rig) {
    return pb_mailbox_enqueue(rig->mailbox, 7) == PB_FULL;
}

static bool run_park(struct rig *rig) {
    struct pb_guest_host host = {.context = NULL};
    return pb_guest_park(rig->words, &host, 0) == PB_PARK_READY;
}

/* A mailbox is made and closed: its words and slots are written. */
static bool run_attach(struct rig *rig) {
    struct pb_mailbox_config config = {
        .memory = rig->memory, .offset = SECOND_MAILBOX, .capacity = RING};
    struct pb_mailbox *mailbox = NULL;
    enum pb_status status = pb_mailbox_create(&config, &mailbox);
    pb_mailbox_release(mailbox);
    return status == PB_OK;
}

/* A host that waits for the signal counts itself, checks, and does not sleep. */
static bool run_look(struct rig *rig) {
    return pb_mailbox_wait_for_signal(rig->mailbox, 0) == PB_TIMED_OUT;
}

static bool run_wake(struct rig *rig) {
    struct pb_waker *waker = pb_waker_retain(rig->waker);
    pb_waker_release(waker);
    return true;
}

static bool run_waker_life(struct rig *rig) {
    struct pb_waker *waker = NULL;
    bool made = pb_waker_create(rig->mailbox, 7, &waker) == PB_OK;
    pb_waker_release(waker);
    return made;
}

static bool run_notify(struct rig *rig) {
    return pb_waiters_notify(rig->waiters, 0, 1) == 0;
}

static enum pb_status wait_for(struct rig *rig, uint64_t expected, int64_t timeout_ns,
                               enum pb_wait *result) {
#ifdef REF_CANCELS_WAITS
    return pb_waiters_wait(rig->waiters, 0, &rig->word, 4, expected, timeout_ns, NULL, result);
#else
    return pb_waiters_wait(rig->waiters, 0, &rig->word, 4, expected, timeout_ns, result);
#endif
}

static bool run_differs(struct rig *rig) {
    enum pb_wait result = PB_WAIT_NOTIFIED;
    return wait_for(rig, 1, -1, &result) == PB_OK && result == PB_WAIT_NOT_EQUAL;
}

/* Joins the queue, asks the kernel to sleep until a time in the past, leaves. */
static bool run_timeout(struct rig *rig) {
    enum pb_wait result = PB_WAIT_NOTIFIED;
    return wait_for(rig, 0, 1, &result) == PB_OK && result == PB_WAIT_TIMED_OUT;
}

static bool fill(struct rig *rig) {
    uint32_t count = 0;
    while (count <= RING && pb_mailbox_enqueue(rig->mailbox, 7) == PB_OK) {
        count++;
    }
    return count == RING;
}

static const struct path {
    const char *name;
    path_run *prepare; /* may be NULL */
    path_run *run;
    const char *sites; /* the sites on the path, with a space before and after each */
    const char *skip;  /* why one thread cannot run it; NULL: it can */
} paths[] = {
    {"enqueue_drain", NULL, run_pass,
     " LOCK_TAKE LOCK_GIVE MAILBOX_SLOT_WRITE MAILBOX_SLOT_READ MAILBOX_TAIL_PUBLISH "
     "MAILBOX_TAIL_SEE MAILBOX_HEAD_OWN MAILBOX_HEAD_PUBLISH MAILBOX_FLAG_SIGNAL "
     "MAILBOX_FLAG_CLEAR "
     "MAILBOX_CAPACITY MAILBOX_CLOSED MAILBOX_SLEEPER_LOOK MAILBOX_RESERVE "
     "MAILBOX_ROLE_GIVE_AT_ONCE "
     "MAILBOX_GUESS ",
     NULL},
    {"enqueue_full", fill, run_refuse, " MAILBOX_HEAD_SEE ", NULL},
    {"attach", NULL, run_attach, " MAILBOX_CREATE MAILBOX_OWNER ", NULL},
    {"park_ready", fill, run_park, " MAILBOX_FLAG_LOOK ", NULL},
    {"signal_timeout", NULL, run_look, " MAILBOX_SLEEPER_COUNT MAILBOX_BELL_READ ", NULL},
    {"waker", NULL, run_wake, " REFERENCE_TAKE REFERENCE_DROP ", NULL},
    {"waker_life", NULL, run_waker_life, " REFERENCE_LOOK REFERENCE_LEAVE ", NULL},
    {"notify_none", NULL, run_notify, " WAITERS_LOOK ", NULL},
    {"not_equal", NULL, run_differs, " WAITERS_ARRIVE WAITERS_LEAVE ", NULL},
    {"wait_timeout", NULL, run_timeout, " WAITERS_SEE WAITERS_COUNT WAITERS_DETACH ", NULL},
    {"notify", NULL, NULL, " WAITERS_VERDICT ",
     "wakes a waiter in another thread, some thousand times what the access costs: wait/wake"},
    {"refused_wait", NULL, NULL, " WAITERS_RECOUNT ",
     "only before a wait beyond the limit, when another thread's waits have reached it"},
    {"meeting", NULL, NULL,
     " LOCK_ASK LOCK_SERVE WAITERS_RING MAILBOX_ROLE_TAKE MAILBOX_ROLE_WAIT MAILBOX_TELL "
     "MAILBOX_ROLE_GIVE MAILBOX_STATE_LOOK MAILBOX_STATE_OWN MAILBOX_TURN_GIVE MAILBOX_TURN_TAKE "
     "MAILBOX_TURN_OWN MAILBOX_CLOSED_TELL MAILBOX_CLOSED_SEE MAILBOX_SLOT_LEAVE MAILBOX_SLOT_TAKE "
     "MAILBOX_SLOT_KILL MAILBOX_SLOT_MARK MAILBOX_SLOT_OWN MAILBOX_ROOM_TELL MAILBOX_ROOM_SEE "
     "MAILBOX_ROOM_OWN ",
     "no path of one thread is written for it yet: threads that meet in the mailbox pass it"},
    {"signal", NULL, NULL, " MAILBOX_BELL_RING ",
     "wakes a host thread, some thousand times what the access costs: mailbox/signal"},
};

static bool rig_open(struct rig *rig) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 16, 65536};
    struct pb_memory_config memory = {.type = {4, 16, true}, .style = &style};
    memset(rig, 0, sizeof *rig);
    if (pb_waiters_create(0, &pb_allocator_libc, &rig->waiters) != PB_OK ||
        pb_memory_create(&memory, &rig->memory) != PB_OK) {
        return false;
    }
    struct pb_mailbox_config mailbox = {.memory = rig->memory, .capacity = RING};
    rig->words = (void *)atomic_load(&pb_memory_definition(rig->memory)->base);
    return pb_mailbox_create(&mailbox, &rig->mailbox) == PB_OK &&
           pb_waker_create(rig->mailbox, 7, &rig->waker) == PB_OK;
}

static void rig_close(struct rig *rig) {
    pb_waker_release(rig->waker);
    pb_mailbox_release(rig->mailbox);
    pb_memory_release(rig->memory);
    pb_waiters_destroy(rig->waiters);
}

static void run_path(struct bench_state *state) {
    const struct path *path = bench_argument(state);
    struct rig rig;
    bool good = rig_open(&rig) && (path->prepare == NULL || path->prepare(&rig));
    while (good && bench_next(state, BATCH)) {
        for (int i = 0; i < BATCH; i++) {
            good &= path->run(&rig);
        }
    }
    if (!good) {
        bench_skip(state, "it did not go where it should");
    }
    rig_close(&rig);
}

static bool passes(const struct path *path, const char *site) {
    const char *at = strstr(path->sites, site);
    return at != NULL && at[-1] == ' ' && at[strlen(site)] == ' ';
}

BENCH_SUBJECT {
    static char names[sizeof paths / sizeof paths[0]][2][64];
    bool none = strcmp(BENCH_SITE, "none") == 0;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        bool here = none ? paths[i].skip == NULL : passes(&paths[i], BENCH_SITE);
        if (!here) {
            continue;
        }
        snprintf(names[i][0], sizeof names[i][0], "site/%s", paths[i].name);
        snprintf(names[i][1], sizeof names[i][1], "site/%s/stronger:none", paths[i].name);
        bench_register(
            &(struct bench_case){.name = names[i][0],
                                 .run = run_path,
                                 .argument = &paths[i],
                                 .parameters = {{"stronger", BENCH_SITE, 0}},
                                 .bounds = none || paths[i].skip != NULL ? NULL : names[i][1],
                                 .skip = paths[i].skip,
                                 .full_only = true});
    }
}

BENCH_SUBJECT {
    bench_words("stronger:none", "as chosen");
    bench_section_add(&(struct bench_section){
        .inside = "Mailbox, by order table",
        .title = "One access stronger",
        .text =
            "Each access of the chosen table, made sequentially consistent alone, on a path "
            "through "
            "it. Where the machine code is the same, the difference shows the noise. Sites that "
            "one thread alone cannot reach are under `Left out`, with the reason. The machine code "
            "of each is below.",
        .rows = "^site/[a-z_]+/stronger:[A-Z_]+$",
        .lines = "stronger operation"});
    bench_answer("**One access stronger**, made sequentially consistent alone, costs most at: "
                 "{dearest ^site/[a-z_]+/stronger:[A-Z_]+$}.");
}
