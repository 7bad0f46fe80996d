/* mailbox.c: what the mailbox costs, by order table: enqueue, drain, both, a stream from one thread
 * to another, a parked guest's wake-up. Run: build/bench/bench --filter='^mailbox/'.
 *
 * Compiled once for each table, together with the library's sources and -DPB_ORDERS_TABLE, into an
 * object that keeps its symbols to itself (rules.mk); BENCH_ORDERS is the table's name. Tables
 * other than the chosen one are measured for what they cost, not trusted: nothing here parks with
 * them. */
#include "mailbox.h"
#include "guest.h"
#include "memory.h"
#include "shim.h"
#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    BATCH = 1024,
    CAPACITY_LARGE = 32768, /* never full in a batch, whatever the threads do */
    THREADS_BATCH = 8192,
    STREAM_BATCH = 4096,
    THREADS_MAX = 2,
    SETTLE_US = 50 /* a guest that has gone to sleep is asleep for sure after so long */
};

struct subject {
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    struct pb_mailbox_words *words;
};

static enum pb_status open_memory(struct subject *subject, uint32_t capacity) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 16, 65536};
    struct pb_memory_config memory = {.type = {4, 16, true}, .style = &style};
    enum pb_status status = pb_memory_create(&memory, &subject->memory);
    if (status != PB_OK) {
        return status;
    }
    struct pb_mailbox_config mailbox = {.memory = subject->memory, .capacity = capacity};
    return pb_mailbox_attach(&mailbox, &subject->mailbox);
}

static void close_subject(struct subject *subject) {
    pb_mailbox_release(subject->mailbox);
    pb_memory_destroy(subject->memory);
    memset(subject, 0, sizeof *subject);
}

/* False: the row is skipped with the reason. */
static bool open_subject(struct bench_state *state, struct subject *subject, uint32_t capacity) {
    memset(subject, 0, sizeof *subject);
    enum pb_status status = open_memory(subject, capacity);
    if (status != PB_OK) {
        bench_skip(state, pb_status_message(status));
        close_subject(subject);
        return false;
    }
    struct pb_memory_definition *definition = pb_memory_definition(subject->memory);
    subject->words = (void *)atomic_load(&definition->base);
    return true;
}

/* Enqueues so many ids; how many were refused. */
static uint32_t enqueue(struct subject *subject, uint32_t count) {
    uint32_t refused = 0;
    for (uint32_t id = 1; id <= count; id++) {
        refused += pb_mailbox_enqueue(subject->mailbox, id) != PB_OK;
    }
    return refused;
}

static void take(void *context, uint32_t id) {
    *(uint64_t *)context += id;
}

static uint32_t drain(struct subject *subject) {
    uint64_t sum = 0;
    return pb_guest_drain(subject->words, take, &sum);
}

/* ---- One thread ------------------------------------------------------------------------------ */

static void run_enqueue(struct bench_state *state) {
    struct subject subject;
    uint32_t refused = 0;
    if (!open_subject(state, &subject, BATCH)) {
        return;
    }
    while (bench_next(state, BATCH)) {
        bench_begin(state);
        refused += enqueue(&subject, BATCH);
        bench_end(state);
        drain(&subject);
    }
    if (refused != 0) {
        bench_skip(state, "enqueues were refused");
    }
    close_subject(&subject);
}

static void run_drain(struct bench_state *state) {
    struct subject subject;
    bool whole = true;
    if (!open_subject(state, &subject, BATCH)) {
        return;
    }
    while (bench_next(state, BATCH)) {
        enqueue(&subject, BATCH);
        bench_begin(state);
        whole &= drain(&subject) == BATCH;
        bench_end(state);
    }
    if (!whole) {
        bench_skip(state, "a drain did not take every id");
    }
    close_subject(&subject);
}

/* One id in, one id out: the signal goes up and down each time. */
static void run_both(struct bench_state *state) {
    enum { ONES = 256 };
    struct subject subject;
    uint32_t taken = 0, refused = 0;
    if (!open_subject(state, &subject, BATCH)) {
        return;
    }
    while (bench_next(state, ONES)) {
        for (int i = 0; i < ONES; i++) {
            refused += enqueue(&subject, 1);
            taken += drain(&subject) - 1;
        }
    }
    if (refused != 0 || taken != 0) {
        bench_skip(state, "ids were lost");
    }
    close_subject(&subject);
}

/* ---- Two threads ----------------------------------------------------------------------------- */

/* Both threads enqueue into one mailbox, at once; nobody drains meanwhile. The clock runs from when
 * both start until both are done. */
static void run_enqueue_threads(struct bench_state *state) {
    static struct subject subject;
    static struct bench_barrier barrier;
    static _Atomic uint32_t refused;
    bool first = bench_thread(state) == 0;
    cpu_set_t before;
    bool pinned = bench_pin(bench_thread(state), &before);
    if (first) {
        memset(&barrier, 0, sizeof barrier);
        atomic_store(&refused, 0);
        open_subject(state, &subject, CAPACITY_LARGE);
    }
    /* The first bench_next returns in all threads together, after the set-up above. */
    while (bench_next(state, THREADS_BATCH) && subject.mailbox != NULL) {
        bench_meet(&barrier, THREADS_MAX);
        bench_begin(state);
        uint32_t count = enqueue(&subject, THREADS_BATCH);
        bench_meet(&barrier, THREADS_MAX);
        double spent_ns = bench_end(state);
        atomic_fetch_add(&refused, count);
        if (first) {
            bench_sample(state, spent_ns / (THREADS_BATCH * THREADS_MAX));
            drain(&subject);
        }
    }
    if (!pinned) {
        bench_skip(state, "there is only one core");
    }
    if (first) {
        if (subject.mailbox != NULL && atomic_load(&refused) != 0) {
            bench_skip(state, "enqueues were refused");
        }
        close_subject(&subject);
    }
    bench_unpin(&before);
}

/* A host thread that keeps the ring of 256 full while the row's own thread drains it. */
struct stream {
    struct subject subject;
    struct bench_barrier barrier;
    _Atomic bool stop;
};

static void *produce(void *argument) {
    struct stream *stream = argument;
    for (;;) {
        bench_meet(&stream->barrier, 2);
        if (atomic_load(&stream->stop)) {
            return NULL;
        }
        unsigned spins = 0;
        for (uint32_t id = 1; id <= STREAM_BATCH;) {
            if (pb_mailbox_enqueue(stream->subject.mailbox, id) == PB_OK) {
                id++;
            } else {
                bench_relax(&spins);
            }
        }
    }
}

static void run_stream(struct bench_state *state) {
    struct stream stream = {.stop = false};
    pthread_t producer;
    uint64_t drains = 0;
    if (!open_subject(state, &stream.subject, 0)) {
        return;
    }
    cpu_set_t before;
    if (!bench_start(&producer, 1, produce, &stream)) {
        bench_skip(state, "there is only one core");
        close_subject(&stream.subject);
        return;
    }
    bench_pin(0, &before);
    while (bench_next(state, STREAM_BATCH)) {
        unsigned spins = 0;
        bench_meet(&stream.barrier, 2);
        bench_begin(state);
        for (uint32_t got = 0; got < STREAM_BATCH;) {
            uint32_t now = drain(&stream.subject);
            got += now;
            drains += now != 0;
            if (now == 0) {
                bench_relax(&spins);
            }
        }
        bench_sample(state, bench_end(state) / (double)STREAM_BATCH);
    }
    bench_count(state, "drains", (double)drains);
    atomic_store(&stream.stop, true);
    bench_meet(&stream.barrier, 2);
    pthread_join(producer, NULL);
    bench_unpin(&before);
    close_subject(&stream.subject);
}

/* ---- A parked guest -------------------------------------------------------------------------- */

struct sleeper {
    struct subject subject;
    _Atomic uint64_t taken; /* ids so far */
    double taken_ns;        /* when the latest was: written before taken */
};

static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    struct sleeper *sleeper = context;
    enum pb_wait result = PB_WAIT_NOT_EQUAL;
    uint64_t address = (uint64_t)((char *)flag - (char *)sleeper->subject.words);
    pb_memory_wait32(sleeper->subject.memory, address, expected, timeout_ns, &result);
    return (int)result;
}

static void guest_take(void *context, uint32_t id) {
    struct sleeper *sleeper = context;
    (void)id;
    sleeper->taken_ns = bench_now_ns();
    atomic_fetch_add(&sleeper->taken, 1);
}

static void *guest_main(void *argument) {
    struct sleeper *sleeper = argument;
    struct pb_guest_host host = {.wait = guest_wait, .context = sleeper};
    while (pb_guest_park(sleeper->subject.words, &host, -1) != PB_PARK_CLOSED) {
        pb_guest_drain(sleeper->subject.words, guest_take, sleeper);
    }
    return NULL;
}

/* From the host's enqueue to the first instruction of the guest's task, when the guest sleeps. */
static void run_wake(struct bench_state *state) {
    struct sleeper sleeper = {.taken = 0};
    pthread_t guest;
    uint64_t sent = 0;
    if (!open_subject(state, &sleeper.subject, 0)) {
        return;
    }
    cpu_set_t before;
    if (!bench_start(&guest, 1, guest_main, &sleeper)) {
        bench_skip(state, "there is only one core");
        close_subject(&sleeper.subject);
        return;
    }
    bench_pin(0, &before);
    while (bench_next(state, 1)) {
        unsigned spins = 0;
        while (pb_memory_waiters(sleeper.subject.memory) == 0) {
            bench_relax(&spins);
        }
        usleep(SETTLE_US);
        bench_begin(state);
        double sent_ns = bench_now_ns();
        pb_mailbox_enqueue(sleeper.subject.mailbox, 1);
        sent++;
        while (atomic_load(&sleeper.taken) != sent) {
            bench_relax(&spins);
        }
        bench_end(state);
        bench_sample(state, sleeper.taken_ns - sent_ns);
    }
    pb_mailbox_close(sleeper.subject.mailbox, NULL);
    pthread_join(guest, NULL);
    bench_unpin(&before);
    close_subject(&sleeper.subject);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static void add(const char *name, void (*run)(struct bench_state *), enum bench_clock clock,
                const char *bounds) {
    bench_register(
        &(struct bench_case){.name = name,
                             .run = run,
                             .clock = clock,
                             .parameters = {{"orders", BENCH_ORDERS, 0}, {"threads", NULL, 1}},
                             .bounds = bounds});
}

BENCH_SUBJECT {
    add("mailbox/enqueue", run_enqueue, BENCH_CLOCK_SECTIONS,
        "bound/fetch_add/threads:1,bound/lock/threads:1");
    add("mailbox/drain", run_drain, BENCH_CLOCK_SECTIONS, "bound/ring_walk");
    add("mailbox/enqueue_drain", run_both, BENCH_CLOCK_LOOP,
        "bound/fetch_add/threads:1,bound/lock/threads:1");
    bench_register(
        &(struct bench_case){.name = "mailbox/enqueue",
                             .run = run_enqueue_threads,
                             .clock = BENCH_CLOCK_SECTIONS,
                             .threads = THREADS_MAX,
                             .parameters = {{"orders", BENCH_ORDERS, 0}},
                             .bounds = "bound/fetch_add/threads:2,bound/lock/threads:2"});
    bench_register(
        &(struct bench_case){.name = "mailbox/stream",
                             .run = run_stream,
                             .clock = BENCH_CLOCK_SECTIONS,
                             .parameters = {{"orders", BENCH_ORDERS, 0}, {"threads", NULL, 2}},
                             .bounds = "bound/fetch_add/threads:2,bound/lock/threads:2"});
    if (strcmp(BENCH_ORDERS, "chosen") == 0) {
        bench_register(&(struct bench_case){
            .name = "mailbox/wake",
            .run = run_wake,
            .clock = BENCH_CLOCK_SAMPLES,
            .parameters = {{"orders", BENCH_ORDERS, 0}, {"cores", NULL, 2}},
            .bounds = "bound/wake/via:futex/cores:2,bound/wake/via:condvar/cores:2"});
    }
}
