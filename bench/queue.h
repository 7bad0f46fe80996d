/* queue.h: the rows that a mailbox shares with other people's queues, written once: enqueue, drain,
 * both, a stream, several producers against one consumer.
 *
 * A subject defines the queue, all static, so that the compiler sees through it, then includes
 * this:
 *
 *     struct queue { ... };
 *     bool queue_open(struct queue *queue, uint32_t capacity, const char **why);
 *     void queue_close(struct queue *queue);                   // also of one that did not open
 *     bool queue_enqueue(struct queue *queue, uint32_t id);    // false: full
 *     uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t), void *context);
 *
 * An open queue holds at least `capacity` ids, which are 1 to QUEUE_IDS, none of them in it twice
 * at a time. One thread drains. queue_register makes its rows. */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include "shim.h"
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE_IDS = 32768,
    QUEUE_BATCH = 1024,
    QUEUE_RING = 256, /* for rows in which producers can be faster than the consumer */
    QUEUE_THREADS = 2,
    QUEUE_THREADS_BATCH = 8192,
    QUEUE_STREAM_BATCH = 4096,
    QUEUE_CONTEND_BATCH = QUEUE_IDS, /* in all longer than a time slice of the kernel */
    QUEUE_PATIENCE_MS = 300,         /* time limit for one batch of several producers */
    QUEUE_PRODUCERS_MAX = 8
};

/* The names of a subject's rows: "family/enqueue/key:value/threads:1". */
struct queue_kind {
    const char *family, *key, *value;
    bool many_producers; /* false: only rows with one producer */
    bool can_be_full;    /* false: no rows with a full ring */
    bool may_lose;       /* overwrites ids when it is full: what arrives is not checked */
    bool has_peers;      /* its rows are compared with the peers' */
    const char *skip;    /* not NULL: why there is nothing to measure */
    bool variant;        /* as in shim.h */
};

static bool queue_start(struct bench_state *state, struct queue *queue, uint32_t capacity) {
    const char *why = "it could not be opened";
    memset(queue, 0, sizeof *queue);
    if (queue_open(queue, capacity, &why)) {
        return true;
    }
    bench_skip(state, why);
    queue_close(queue);
    return false;
}

static uint32_t queue_enqueue_many(struct queue *queue, uint32_t first, uint32_t count) {
    uint32_t refused = 0;
    for (uint32_t id = first; id < first + count; id++) {
        refused += !queue_enqueue(queue, id);
    }
    return refused;
}

/* Enqueues until each id is in, since a queue may refuse one while another thread is at work in it.
 * Returns how often one was refused. */
static uint32_t queue_insist_many(struct queue *queue, uint32_t first, uint32_t count) {
    uint32_t refused = 0;
    unsigned spins = 0;
    for (uint32_t id = first; id < first + count; id++) {
        while (!queue_enqueue(queue, id)) {
            refused++;
            bench_relax(&spins);
        }
    }
    return refused;
}

static void queue_sum(void *context, uint32_t id) {
    *(uint64_t *)context += id;
}

/* Only a store. A sum would be read by each call right after the last one wrote it, at a cost that
 * varies between processes by more than half of the drain's. */
static void queue_keep(void *context, uint32_t id) {
    *(volatile uint32_t *)context = id;
}

/* Uses an id, in a call that no compiler inlines, for every queue. */
static void (*volatile queue_tally)(void *context, uint32_t id) = queue_sum;
static void (*volatile queue_take)(void *context, uint32_t id) = queue_keep;

static uint32_t queue_drain_all(struct queue *queue) {
    uint32_t last = 0;
    return queue_drain(queue, queue_take, &last);
}

/* ---- One thread ------------------------------------------------------------------------------ */

static void queue_run_enqueue(struct bench_state *state) {
    struct queue queue;
    uint32_t refused = 0;
    if (!queue_start(state, &queue, QUEUE_BATCH)) {
        return;
    }
    while (bench_next(state, QUEUE_BATCH)) {
        bench_begin(state);
        refused += queue_enqueue_many(&queue, 1, QUEUE_BATCH);
        bench_end(state);
        queue_drain_all(&queue);
    }
    if (refused != 0) {
        bench_skip(state, "enqueues were refused");
    }
    queue_close(&queue);
}

static void queue_run_drain(struct bench_state *state) {
    struct queue queue;
    bool whole = true;
    if (!queue_start(state, &queue, QUEUE_BATCH)) {
        return;
    }
    while (bench_next(state, QUEUE_BATCH)) {
        queue_enqueue_many(&queue, 1, QUEUE_BATCH);
        bench_begin(state);
        whole &= queue_drain_all(&queue) == QUEUE_BATCH;
        bench_end(state);
    }
    if (!whole) {
        bench_skip(state, "a drain did not take every id");
    }
    queue_close(&queue);
}

/* One id in, one id out: a signal, if there is one, is set and cleared each time. */
static void queue_run_both(struct bench_state *state) {
    enum { ONES = 256 };
    struct queue queue;
    uint32_t taken = 0, refused = 0;
    if (!queue_start(state, &queue, QUEUE_BATCH)) {
        return;
    }
    while (bench_next(state, ONES)) {
        for (int i = 0; i < ONES; i++) {
            refused += queue_enqueue_many(&queue, 1, 1);
            taken += queue_drain_all(&queue) - 1;
        }
    }
    if (refused != 0 || taken != 0) {
        bench_skip(state, "ids were lost");
    }
    queue_close(&queue);
}

/* ---- Two threads ----------------------------------------------------------------------------- */

/* Both threads enqueue at once while nothing drains. The clock runs from when both start until both
 * are done. The queue has room for all ids. */
static void queue_run_enqueue_threads(struct bench_state *state) {
    static struct queue queue;
    static struct bench_barrier barrier;
    static _Atomic uint32_t refused;
    static bool opened;
    bool first = bench_thread(state) == 0;
    uint32_t from = 1 + (uint32_t)bench_thread(state) * QUEUE_THREADS_BATCH;
    cpu_set_t before;
    bool pinned = bench_pin(bench_thread(state), &before);
    if (first) {
        memset(&barrier, 0, sizeof barrier);
        atomic_store(&refused, 0);
        opened = queue_start(state, &queue, QUEUE_IDS);
    }
    /* The first bench_next returns in all threads together, after the set-up above. */
    while (bench_next(state, QUEUE_THREADS_BATCH) && opened) {
        bench_meet(&barrier, QUEUE_THREADS);
        bench_begin(state);
        uint32_t count = queue_insist_many(&queue, from, QUEUE_THREADS_BATCH);
        bench_meet(&barrier, QUEUE_THREADS);
        double spent_ns = bench_end(state);
        atomic_fetch_add(&refused, count);
        if (first) {
            bench_sample(state, spent_ns / (QUEUE_THREADS_BATCH * QUEUE_THREADS));
            queue_drain_all(&queue);
        }
    }
    if (!pinned) {
        bench_skip(state, "there is only one core");
    }
    if (first && opened) {
        bench_count(state, "early_refusals", (double)atomic_load(&refused));
        queue_close(&queue);
    }
    bench_unpin(&before);
}

/* A thread that keeps a small ring full while the row's thread drains it. */
struct queue_stream {
    struct queue queue;
    struct bench_barrier barrier;
    _Atomic bool stop;
};

static void *queue_produce(void *argument) {
    struct queue_stream *stream = argument;
    for (;;) {
        bench_meet(&stream->barrier, 2);
        if (atomic_load(&stream->stop)) {
            return NULL;
        }
        unsigned spins = 0;
        for (uint32_t id = 1; id <= QUEUE_STREAM_BATCH;) {
            if (queue_enqueue(&stream->queue, id)) {
                id++;
            } else {
                bench_relax(&spins);
            }
        }
    }
}

static void queue_run_stream(struct bench_state *state) {
    struct queue_stream stream = {.stop = false};
    pthread_t producer;
    uint64_t drains = 0;
    if (!queue_start(state, &stream.queue, QUEUE_RING)) {
        return;
    }
    cpu_set_t before;
    if (!bench_start(&producer, 1, queue_produce, &stream)) {
        bench_skip(state, "there is only one core");
        queue_close(&stream.queue);
        return;
    }
    bench_pin(0, &before);
    while (bench_next(state, QUEUE_STREAM_BATCH)) {
        unsigned spins = 0;
        bench_meet(&stream.barrier, 2);
        bench_begin(state);
        for (uint32_t got = 0; got < QUEUE_STREAM_BATCH;) {
            uint32_t now = queue_drain_all(&stream.queue);
            got += now;
            drains += now != 0;
            if (now == 0) {
                bench_relax(&spins);
            }
        }
        bench_sample(state, bench_end(state) / (double)QUEUE_STREAM_BATCH);
    }
    bench_count(state, "drains", (double)drains);
    atomic_store(&stream.stop, true);
    bench_meet(&stream.barrier, 2);
    pthread_join(producer, NULL);
    bench_unpin(&before);
    queue_close(&stream.queue);
}

/* ---- Several producers ----------------------------------------------------------------------- */

/* Producers 1 to 8 against one consumer, the row's thread. fill:low: the ring never fills, and is
 * drained all the time. fill:high: a small ring is drained only after a producer was refused. The
 * producers are distributed over the cores; the consumer has the first. If there are more threads
 * than cores, an idle thread yields its core. */
struct queue_contest {
    struct queue queue;
    struct bench_barrier barrier;
    uint32_t producers;
    _Atomic uint32_t next; /* number of the next producer to start */
    _Alignas(64) _Atomic bool refused;
    _Alignas(64) _Atomic uint32_t done; /* producers, with this batch */
    _Atomic uint64_t refusals;
    _Atomic bool stop;
    _Atomic bool gave_up; /* a batch takes too long: the row ends without a figure */
    pthread_t threads[QUEUE_PRODUCERS_MAX];
};

static void queue_idle(const struct queue_contest *contest, unsigned *spins) {
    if (contest->barrier.crowded) {
        sched_yield();
    } else {
        bench_relax(spins);
    }
}

static void *queue_compete(void *argument) {
    struct queue_contest *contest = argument;
    uint32_t share = QUEUE_CONTEND_BATCH / contest->producers;
    uint32_t from = 1 + atomic_fetch_add(&contest->next, 1) * share;
    for (;;) {
        unsigned spins = 0;
        uint64_t refusals = 0;
        bench_meet(&contest->barrier, contest->producers + 1);
        if (atomic_load(&contest->stop)) {
            return NULL;
        }
        for (uint32_t id = from; id < from + share && !atomic_load(&contest->gave_up);) {
            if (queue_enqueue(&contest->queue, id)) {
                id++;
            } else {
                refusals++;
                atomic_store(&contest->refused, true);
                queue_idle(contest, &spins);
            }
        }
        atomic_fetch_add(&contest->refusals, refusals);
        atomic_fetch_add(&contest->done, 1);
    }
}

static bool queue_contest_start(struct bench_state *state, struct queue_contest *contest) {
    bool high = strcmp(bench_text(state, "fill"), "high") == 0;
    int cores = bench_cores();
    memset(contest, 0, sizeof *contest);
    contest->producers = (uint32_t)bench_number(state, "producers");
    contest->barrier.crowded = (int)contest->producers + 1 > cores;
    if (!queue_start(state, &contest->queue, high ? QUEUE_RING : QUEUE_IDS)) {
        return false;
    }
    for (uint32_t i = 0; i < contest->producers; i++) {
        if (!bench_start(&contest->threads[i], (int)(i + 1) % cores, queue_compete, contest)) {
            fprintf(stderr, "bench: no thread for producer %u\n", (unsigned)i);
            abort(); /* the producers that run wait for it, and cannot be stopped */
        }
    }
    return true;
}

/* One batch. Returns how many ids arrived: all, unless it took too long. *sum is their sum. */
static uint32_t queue_contest_drain(struct queue_contest *contest, bool high, uint64_t *sum) {
    double until_ns = bench_now_ns() + (double)QUEUE_PATIENCE_MS * 1e6;
    unsigned spins = 0;
    uint32_t got = 0;
    while (got < QUEUE_CONTEND_BATCH && !atomic_load(&contest->gave_up)) {
        uint32_t now = 0;
        if (!high || atomic_exchange(&contest->refused, false) ||
            atomic_load(&contest->done) == contest->producers) {
            now = queue_drain(&contest->queue, queue_tally, sum);
        }
        got += now;
        if (now == 0) {
            queue_idle(contest, &spins);
            atomic_store(&contest->gave_up, bench_now_ns() > until_ns);
        }
    }
    return got;
}

static void queue_contest_end(struct queue_contest *contest) {
    atomic_store(&contest->stop, true);
    bench_meet(&contest->barrier, contest->producers + 1);
    for (uint32_t i = 0; i < contest->producers; i++) {
        pthread_join(contest->threads[i], NULL);
    }
    queue_close(&contest->queue);
}

static void queue_run_contend(struct bench_state *state) {
    const struct queue_kind *kind = bench_argument(state);
    const uint64_t whole = (uint64_t)QUEUE_CONTEND_BATCH * (QUEUE_CONTEND_BATCH + 1) / 2;
    bool high = strcmp(bench_text(state, "fill"), "high") == 0, good = true;
    static struct queue_contest contest;
    static char slow[128];
    if (!queue_contest_start(state, &contest)) {
        return;
    }
    cpu_set_t before;
    bench_pin(0, &before);
    while (!atomic_load(&contest.gave_up) && bench_next(state, QUEUE_CONTEND_BATCH)) {
        uint64_t sum = 0;
        atomic_store(&contest.done, 0);
        while (atomic_load(&contest.barrier.arrived) < contest.producers) {
            sched_yield();
        }
        bench_begin(state); /* all producers are waiting for us */
        bench_meet(&contest.barrier, contest.producers + 1);
        uint32_t got = queue_contest_drain(&contest, high, &sum);
        double spent_ns = bench_end(state);
        bench_sample(state, spent_ns / (double)QUEUE_CONTEND_BATCH);
        good &= sum == whole || kind->may_lose;
        while (atomic_load(&contest.done) <
               contest.producers) { /* wait for those that were cut short */
            queue_drain_all(&contest.queue);
            sched_yield();
        }
        if (atomic_load(&contest.gave_up)) {
            snprintf(slow, sizeof slow, "gave up: %u of %u ids in %.0f ms", (unsigned)got,
                     (unsigned)QUEUE_CONTEND_BATCH, spent_ns / 1e6);
            bench_skip(state, slow);
        }
    }
    bench_count(state, "refusals", (double)atomic_load(&contest.refusals));
    if (!good && !atomic_load(&contest.gave_up)) {
        bench_skip(state, "ids were lost or came twice");
    }
    queue_contest_end(&contest);
    bench_unpin(&before);
}

/* ---- Registration ---------------------------------------------------------------------------- */

/* Row names of other queues: peer/OPERATION/of:NAME/... */
static const struct {
    const char *name, *words;
    bool many_producers, can_be_full;
} queue_peers[] = {{"seed", "upstream's", true, false},
                   {"ck", "CK ring, many producers", true, true},
                   {"ck_signal", "CK ring and a flag", true, true},
                   {"ck_spsc", "CK ring, one producer", false, true},
                   {"urcu_wfcq", "liburcu wfcqueue", true, false},
                   {"dpdk", "DPDK rte_ring", true, true},
                   {"dpdk_signal", "DPDK rte_ring and a flag", true, true}};

/* "bare[,peer/operation/of:NAME/rest]...", which lives as long as the program. many: without peers
 * for a single producer, because any thread may enqueue here; full: those whose ring can be
 * full. */
static const char *queue_beside(const struct queue_kind *kind, const char *bare,
                                const char *operation, const char *rest, bool many, bool full) {
    enum { LONGEST = 512 };
    char *text = malloc(LONGEST);
    if (text == NULL) {
        abort();
    }
    int length = snprintf(text, LONGEST, "%s", bare);
    for (size_t i = 0; kind->has_peers && i < sizeof queue_peers / sizeof queue_peers[0]; i++) {
        if ((many && !queue_peers[i].many_producers) || (full && !queue_peers[i].can_be_full)) {
            continue;
        }
        length += snprintf(text + length, (size_t)(LONGEST - length), ",peer/%s/of:%s%s", operation,
                           queue_peers[i].name, rest);
    }
    return text;
}

static void queue_add(const struct queue_kind *kind, const char *operation,
                      void (*run)(struct bench_state *), enum bench_clock clock, int64_t threads,
                      const char *bounds) {
    char name[64];
    snprintf(name, sizeof name, "%s/%s", kind->family, operation);
    bench_register(
        &(struct bench_case){.name = strdup(name),
                             .run = run,
                             .argument = kind,
                             .clock = clock,
                             .parameters = {{kind->key, kind->value, 0},
                                            {threads != 0 ? "threads" : NULL, NULL, threads}},
                             .parties = threads > 1,
                             .variant = kind->variant,
                             .bounds = bounds,
                             .skip = kind->skip});
}

static void queue_add_contest(const struct queue_kind *kind, int64_t producers, const char *fill) {
    char name[64], rest[64], bare[128];
    snprintf(name, sizeof name, "%s/contend", kind->family);
    snprintf(rest, sizeof rest, "/producers:%d/fill:%s", (int)producers, fill);
    snprintf(bare, sizeof bare, "bound/fetch_add/threads:%d,bound/lock/threads:%d", (int)producers,
             (int)producers);
    bench_register(
        &(struct bench_case){.name = strdup(name),
                             .run = queue_run_contend,
                             .argument = kind,
                             .clock = BENCH_CLOCK_SECTIONS,
                             .parameters = {{kind->key, kind->value, 0},
                                            {"producers", NULL, producers},
                                            {"fill", fill, 0}},
                             .meets = true,
                             .variant = kind->variant,
                             .bounds = queue_beside(kind, bare, "contend", rest, producers > 1,
                                                    strcmp(fill, "high") == 0),
                             .skip = kind->skip});
}

static void queue_say(void) {
    for (size_t i = 0; i < sizeof queue_peers / sizeof queue_peers[0]; i++) {
        char of[32];
        snprintf(of, sizeof of, "of:%s", queue_peers[i].name);
        bench_words(strdup(of), queue_peers[i].words);
    }
}

/* The kind must live as long as the program. */
static void queue_register(const struct queue_kind *kind) {
    queue_say();
    const char *one = "bound/fetch_add/threads:1,bound/lock/threads:1";
    const char *two = "bound/fetch_add/threads:2,bound/lock/threads:2";
    queue_add(kind, "enqueue", queue_run_enqueue, BENCH_CLOCK_SECTIONS, 1,
              queue_beside(kind, one, "enqueue", "/threads:1", true, false));
    queue_add(kind, "drain", queue_run_drain, BENCH_CLOCK_SECTIONS, 1,
              queue_beside(kind, "bound/ring_walk", "drain", "/threads:1", true, false));
    queue_add(kind, "enqueue_drain", queue_run_both, BENCH_CLOCK_LOOP, 1,
              queue_beside(kind, one, "enqueue_drain", "/threads:1", true, false));
    queue_add(kind, "stream", queue_run_stream, BENCH_CLOCK_SECTIONS, 2,
              queue_beside(kind, two, "stream", "/threads:2", false, false));
    for (int64_t producers = 1; producers <= QUEUE_PRODUCERS_MAX; producers *= 2) {
        if (producers == 1 || kind->many_producers) {
            queue_add_contest(kind, producers, "low");
        }
        if (kind->can_be_full && (producers == 1 || kind->many_producers)) {
            queue_add_contest(kind, producers, "high");
        }
    }
    if (kind->many_producers) {
        bench_register(&(struct bench_case){
            .name = strcmp(kind->family, "peer") == 0 ? "peer/enqueue" : "mailbox/enqueue",
            .run = queue_run_enqueue_threads,
            .clock = BENCH_CLOCK_SECTIONS,
            .threads = QUEUE_THREADS,
            .parameters = {{kind->key, kind->value, 0}},
            .variant = kind->variant,
            .bounds = queue_beside(kind, two, "enqueue", "/threads:2", true, false),
            .skip = kind->skip});
    }
}

#endif
