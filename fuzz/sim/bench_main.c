/* Executions a second of the engine on two programs, on one core, tracing off:
 *
 *     build/bench-sim [seconds for each row]        make bench-sim runs it beside build/bench-relacy
 *
 * message passing: three threads, a plain word handed on through two release/acquire flags.
 * mailbox: two producers reserve slots of a ring and publish them, a consumer takes both. */
#include "sim.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static atomic_int flag, ready[4];
static int data;
static _Atomic unsigned tail;
static atomic_int slots[4];

static void writer(void *a) {
    (void)a;
    data = 1;
    atomic_store_explicit(&flag, 1, memory_order_release);
}
static void relay(void *a) {
    (void)a;
    if (atomic_load_explicit(&flag, memory_order_acquire) == 1) atomic_store_explicit(&ready[0], 1, memory_order_release);
}
static void reader(void *a) {
    (void)a;
    if (atomic_load_explicit(&ready[0], memory_order_acquire)) sim_assert(data == 1);
}
static void run3(void (*x)(void *), void (*y)(void *), void (*z)(void *)) {
    int t[3] = {sim_spawn(x, NULL), sim_spawn(y, NULL), sim_spawn(z, NULL)};
    for (int i = 0; i < 3; i++) sim_join(t[i]);
}
static void message_passing(void *a) { (void)a; run3(writer, relay, reader); }

static void producer(void *a) {
    (void)a;
    unsigned at = atomic_fetch_add_explicit(&tail, 1, memory_order_relaxed);
    atomic_store_explicit(&slots[at], 7 + (int)at, memory_order_relaxed);
    atomic_store_explicit(&ready[at], 1, memory_order_release);
}
static void consumer(void *a) {
    (void)a;
    for (unsigned i = 0; i < 2; i++) {
        if (!atomic_load_explicit(&ready[i], memory_order_acquire)) return;
        sim_assert(atomic_load_explicit(&slots[i], memory_order_relaxed) == 7 + (int)i);
    }
}
static void mailbox(void *a) { (void)a; run3(producer, producer, consumer); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void row(const char *name, enum sim_source source, void (*program)(void *), double seconds) {
    struct sim_options o = sim_options_default();
    uint8_t bytes[64];
    uint64_t random = 1;
    o.source = source;
    o.bytes = bytes;
    o.bytes_n = sizeof bytes;
    o.coverage = source == SIM_BYTES;
    double begin = now(), end;
    unsigned long n = 0;
    do {
        for (int i = 0; i < 1000; i++, n++) {
            o.seed = n;
            if (source == SIM_BYTES)
                for (size_t k = 0; k < sizeof bytes; k += 8) {
                    random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                    uint64_t v = random >> 8;
                    memcpy(bytes + k, &v, 8);
                }
            const char *finding = sim_run(&o, program, NULL, NULL);
            if (finding) { printf("%s: unexpected finding %s\n", name, finding); exit(1); }
        }
        end = now();
    } while (end - begin < seconds);
    printf("%-40s %10.0f executions/s\n", name, (double)n / (end - begin));
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    if (seconds <= 0) { fprintf(stderr, "usage: bench-sim [seconds for each row]\n"); return 2; }
    row("sim/message-passing/threads:3/bytes", SIM_BYTES, message_passing, seconds);
    row("sim/message-passing/threads:3/uniform", SIM_UNIFORM, message_passing, seconds);
    row("sim/message-passing/threads:3/pct", SIM_PCT, message_passing, seconds);
    row("sim/message-passing/threads:3/pos", SIM_POS, message_passing, seconds);
    row("sim/mailbox/producers:2/bytes", SIM_BYTES, mailbox, seconds);
    row("sim/mailbox/producers:2/uniform", SIM_UNIFORM, mailbox, seconds);
    return 0;
}
