/* mailbox.c: the cost of the mailbox by order table: the rows of queue.h, and the wake-up of a
 * parked guest and of a host thread that waits for the signal. Run: build/bench/bench
 * --filter='^mailbox/'.
 *
 * Compiled once for each table, with the library's sources and -DPB_ORDERS_TABLE, into an object
 * with local symbols (rules.mk); BENCH_ORDERS is the table's name. Other tables than the chosen one
 * are measured for their cost, but not trusted: no guest parks with them, and only the chosen one
 * has peers and wake-ups. */
#include "mailbox.h"
#include "guest.h"
#include "memory.h"
#include "shim.h"
#include "threads.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

enum { SETTLE_US = 50 /* after this long, a guest that has gone to sleep is certainly asleep */ };

struct queue {
    struct pb_memory *memory;
    struct pb_mailbox *mailbox;
    struct pb_mailbox_words *words;
};

static enum pb_status open_memory(struct queue *queue, bool shared) {
    struct pb_memory_style style = {PB_STYLE_STATIC, 16, 65536};
    struct pb_memory_config memory = {.type = {4, 16, shared}, .style = &style};
    return pb_memory_create(&memory, &queue->memory);
}

static bool open_mailbox(struct queue *queue, uint32_t capacity, bool shared, const char **why) {
    enum pb_status status = open_memory(queue, shared);
    if (status == PB_OK) {
        struct pb_mailbox_config mailbox = {.memory = queue->memory, .capacity = capacity};
        status = pb_mailbox_create(&mailbox, &queue->mailbox);
    }
    if (status != PB_OK) {
        *why = pb_status_message(status);
        return false;
    }
    struct pb_memory_definition *definition = pb_memory_definition(queue->memory);
    queue->words = (void *)atomic_load(&definition->base);
    return true;
}

static bool queue_open(struct queue *queue, uint32_t capacity, const char **why) {
    return open_mailbox(queue, capacity, true, why);
}

static void queue_close(struct queue *queue) {
    pb_mailbox_release(queue->mailbox);
    pb_memory_release(queue->memory);
    memset(queue, 0, sizeof *queue);
}

static inline bool queue_enqueue(struct queue *queue, uint32_t id) {
    return pb_mailbox_enqueue(queue->mailbox, id) == PB_OK;
}

static inline uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t),
                                   void *context) {
    return pb_guest_drain(queue->words, take, context);
}

#include "queue.h"

/* ---- A parked guest -------------------------------------------------------------------------- */

struct sleeper {
    struct queue queue;
    _Atomic uint64_t taken; /* ids taken so far */
    double taken_ns;        /* when the latest was taken: written before `taken` */
};

static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    struct sleeper *sleeper = context;
    enum pb_wait result = PB_WAIT_NOT_EQUAL;
    uint64_t address = (uint64_t)((char *)flag - (char *)sleeper->queue.words);
    pb_memory_wait32(sleeper->queue.memory, address, expected, timeout_ns, &result);
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
    while (pb_guest_park(sleeper->queue.words, &host, -1) != PB_PARK_CLOSED) {
        pb_guest_drain(sleeper->queue.words, guest_take, sleeper);
    }
    return NULL;
}

/* One sample: from the enqueue of id `number` to the first instruction of its task. */
static void wake_once(struct bench_state *state, struct sleeper *sleeper, uint64_t number) {
    unsigned spins = 0;
    bench_begin(state);
    double sent_ns = bench_now_ns();
    pb_mailbox_enqueue(sleeper->queue.mailbox, 1);
    while (atomic_load(&sleeper->taken) != number) {
        bench_relax(&spins);
    }
    bench_end(state);
    bench_sample(state, sleeper->taken_ns - sent_ns);
}

/* From the host's enqueue to the first instruction of the guest's task, if the guest sleeps. */
static void run_wake(struct bench_state *state) {
    struct sleeper sleeper = {.taken = 0};
    pthread_t guest;
    uint64_t sent = 0;
    if (!queue_start(state, &sleeper.queue, 0)) {
        return;
    }
    cpu_set_t before;
    if (!bench_start(&guest, 1, guest_main, &sleeper)) {
        bench_skip(state, "there is only one core");
        queue_close(&sleeper.queue);
        return;
    }
    bench_pin(0, &before);
    while (bench_next(state, 1)) {
        unsigned spins = 0;
        while (pb_memory_waiters(sleeper.queue.memory) == 0) {
            bench_relax(&spins);
        }
        usleep(SETTLE_US);
        wake_once(state, &sleeper, ++sent);
    }
    pb_mailbox_close(sleeper.queue.mailbox, NULL);
    pthread_join(guest, NULL);
    bench_unpin(&before);
    queue_close(&sleeper.queue);
}

/* ---- A host thread that waits for the signal ------------------------------------------------- */

/* A host thread that runs a guest which parks by returning: its memory is not shared. */
static void *host_main(void *argument) {
    struct sleeper *sleeper = argument;
    while (pb_mailbox_wait_for_signal(sleeper->queue.mailbox, -1) == PB_OK) {
        pb_guest_drain(sleeper->queue.words, guest_take, sleeper);
    }
    return NULL;
}

/* From the enqueue to the first instruction of the task, if the host thread that runs the guest
 * sleeps in pb_mailbox_wait_for_signal. */
static void run_signal(struct bench_state *state) {
    struct sleeper sleeper = {.taken = 0};
    const char *why = "";
    pthread_t host;
    uint64_t sent = 0;
    if (!open_mailbox(&sleeper.queue, 0, false, &why)) {
        bench_skip(state, why);
        queue_close(&sleeper.queue);
        return;
    }
    cpu_set_t before;
    if (!bench_start(&host, 1, host_main, &sleeper)) {
        bench_skip(state, "there is only one core");
        queue_close(&sleeper.queue);
        return;
    }
    bench_pin(0, &before);
    while (bench_next(state, 1)) {
        usleep(SETTLE_US);
        wake_once(state, &sleeper, ++sent);
    }
    pb_mailbox_close(sleeper.queue.mailbox, NULL);
    pthread_join(host, NULL);
    bench_unpin(&before);
    queue_close(&sleeper.queue);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static struct queue_kind kind = {.family = "mailbox",
                                 .key = "orders",
                                 .value = BENCH_ORDERS,
                                 .many_producers = true,
                                 .can_be_full = true};

static void add_wake(const char *name, void (*run)(struct bench_state *)) {
    bench_register(&(struct bench_case){
        .name = name,
        .run = run,
        .clock = BENCH_CLOCK_SAMPLES,
        .parameters = {{"orders", BENCH_ORDERS, 0}, {"cores", NULL, 2}},
        .parties = true,
        .bounds = "bound/wake/via:futex/cores:2,bound/wake/via:condvar/cores:2"});
}

BENCH_SUBJECT {
    kind.has_peers = strcmp(BENCH_ORDERS, "chosen") == 0;
    kind.variant = !kind.has_peers;
    queue_register(&kind);
    if (kind.has_peers) {
        add_wake("mailbox/wake", run_wake);
        add_wake("mailbox/signal", run_signal);
    }
}

/* ---- What the report says -------------------------------------------------------------------- */

#define PEERS_SECTION "Mailbox beside its peers"
#define ORDERS_SECTION "Mailbox, by order table"
#define ORDERS "(enqueue|drain|enqueue_drain|stream)"
#define CROWD                                                                                      \
    " Producers take the cores in turn; the first core also runs the consumer. With more threads " \
    "than cores, a thread that finds nothing to do yields its core. Medians over batches. A "      \
    "queue whose producers spin until it is their turn can stall until the kernel runs the right " \
    "one. Such a row is given up and listed under `Left out`."
#define CONTENDED(fill) \
    "^(mailbox/contend/orders:[a-z]+|peer/contend/of:[a-z_]+)/producers:[0-9]+/fill:" fill "$"

BENCH_SUBJECT {
    static const char *const words[][2] = {{"mailbox/", "this mailbox"},
                                           {"peer/", ""},
                                           {"orders:chosen", ""},
                                           {"orders:sc", ", all SC"},
                                           {"orders:acqrel", ", acquire/release"},
                                           {"orders:seed", ", upstream's orders"},
                                           {"producers", "%s producers"},
                                           {"producers:1", "1 producer"},
                                           {"/enqueue_drain", "enqueue, drain, in turn"},
                                           {"/stream", "stream to another thread"},
                                           {"mailbox/wake", "mailbox, parked guest"},
                                           {"mailbox/signal", "mailbox, waiting host"},
                                           {NULL, NULL}};
    static const struct bench_section sections[] = {
        {.inside = PEERS_SECTION,
         .title = "One id, by who hands it over",
         .rows = "^(mailbox/" ORDERS "/orders:chosen|peer/" ORDERS "/of:[a-z_]+)/threads:[12]$",
         .lines = "family of",
         .columns = "operation threads",
         .unit = "an id",
         .plot = BENCH_PLOT_BARS},
        {.inside = PEERS_SECTION,
         .title = "This mailbox beside limit and best peer",
         .rows = "^mailbox/" ORDERS "/orders:chosen/threads:[12]$",
         .lines = "operation threads",
         .unit = "an id"},
        {.inside = PEERS_SECTION,
         .title = "Several producers, ring nearly empty",
         .text = "Room for all ids of a batch, drained all the time." CROWD,
         .rows = CONTENDED("low"),
         .lines = "family of orders",
         .columns = "producers",
         .axis = "producers at once",
         .unit = "an id"},
        {.inside = PEERS_SECTION,
         .title = "Several producers, ring nearly full",
         .text = "256 slots, drained only after a producer was refused." CROWD,
         .rows = CONTENDED("high"),
         .lines = "family of orders",
         .columns = "producers",
         .axis = "producers at once",
         .unit = "an id"},
        {.inside = ORDERS_SECTION,
         .title = "One thread",
         .rows = "^mailbox/" ORDERS "/orders:[a-z]+/threads:1$",
         .lines = "family orders",
         .columns = "operation",
         .unit = "an id",
         .plot = BENCH_PLOT_BARS},
        {.inside = ORDERS_SECTION,
         .title = "Two threads, each on its own core",
         .text =
             "Two producers at once, or one producer and the guest. Medians over batches of some "
             "thousand ids. Such times spread widely on shared machines; overlapping ranges show "
             "no difference.",
         .rows = "^mailbox/" ORDERS "/orders:[a-z]+/threads:2$",
         .lines = "family orders",
         .columns = "operation",
         .unit = "an id",
         .plot = BENCH_PLOT_BARS},
        {.title = NULL}};
    bench_words_add(words);
    bench_sections_add(sections);
    bench_answer("**Orders**: an enqueue takes {time mailbox/enqueue/orders:chosen/threads:1} "
                 "as chosen; all SC {time mailbox/enqueue/orders:sc/threads:1} ({more "
                 "mailbox/enqueue/orders:sc/threads:1 "
                 "mailbox/enqueue/orders:chosen/threads:1})[; acquire/release {time "
                 "mailbox/enqueue/orders:acqrel/threads:1} ({more "
                 "mailbox/enqueue/orders:acqrel/threads:1 "
                 "mailbox/enqueue/orders:chosen/threads:1})][; upstream's {time "
                 "mailbox/enqueue/orders:seed/threads:1} ({more "
                 "mailbox/enqueue/orders:seed/threads:1 "
                 "mailbox/enqueue/orders:chosen/threads:1})].");
    bench_answer("**The mailbox**: enqueue {time mailbox/enqueue/orders:chosen/threads:1} "
                 "beside a bare fetch_add of {time bound/fetch_add/threads:1} and a bare "
                 "uncontended lock of {time bound/lock/threads:1}. A drain takes {time "
                 "mailbox/drain/orders:chosen/threads:1} an id.[ Two producers at once: "
                 "{spread mailbox/enqueue/orders:chosen/threads:2} an id at the 5th / 50th / "
                 "95th percentile (fetch_add {spread bound/fetch_add/threads:2}, lock {spread "
                 "bound/lock/threads:2}).]");
    bench_answer("**Mailbox or plain ring**, one thread:[ enqueue {time "
                 "mailbox/enqueue/orders:chosen/threads:1} beside {peer "
                 "mailbox/enqueue/orders:chosen/threads:1};][ drain {time "
                 "mailbox/drain/orders:chosen/threads:1} beside {peer "
                 "mailbox/drain/orders:chosen/threads:1};][ enqueue and drain in turn {time "
                 "mailbox/enqueue_drain/orders:chosen/threads:1} beside {peer "
                 "mailbox/enqueue_drain/orders:chosen/threads:1}]. The rings neither signal a "
                 "parked consumer nor exclude moves of the memory: use one where threads of "
                 "one process hand pointers over and never park, the mailbox where the "
                 "consumer is a guest.[ Upstream's enqueue takes {time "
                 "peer/enqueue/of:seed/threads:1}, {ratio peer/enqueue/of:seed/threads:1 "
                 "mailbox/enqueue/orders:chosen/threads:1} ours, as it asks the kernel each "
                 "time.]");
    bench_answer("**Eight producers** on all cores, median time an id:[ "
                 "ring nearly empty: {peers "
                 "mailbox/contend/orders:chosen/producers:8/fill:low};][ ring nearly full: "
                 "{peers mailbox/contend/orders:chosen/producers:8/fill:high}].");
}
