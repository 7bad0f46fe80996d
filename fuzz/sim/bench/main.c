/* main.c: executions per second of the engine on two programs, on one core, tracing off:
 *
 *     build/bench-sim [seconds for each row]
 *     make bench-sim                              also runs build/bench-relacy
 *
 * message passing: three threads, a plain word passed on through two release/acquire flags.
 * mailbox: two producers reserve slots of a ring and publish them, a consumer takes both. */
#include "programs.h"
#include "sim.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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
            if (source == SIM_BYTES) {
                for (size_t k = 0; k < sizeof bytes; k += 8) {
                    random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
                    uint64_t v = random >> 8;
                    memcpy(bytes + k, &v, 8);
                }
            }
            const char *finding = sim_run(&o, program, NULL, NULL);
            if (finding) {
                printf("%s: unexpected finding %s\n", name, finding);
                exit(1);
            }
        }
        end = now();
    } while (end - begin < seconds);
    printf("%-40s %10.0f executions/s\n", name, (double)n / (end - begin));
}

int main(int argc, char **argv) {
    double seconds = argc > 1 ? atof(argv[1]) : 2;
    if (seconds <= 0) {
        fprintf(stderr, "usage: bench-sim [seconds for each row]\n");
        return 2;
    }
    row("sim/message-passing/threads:3/bytes", SIM_BYTES, message_passing, seconds);
    row("sim/message-passing/threads:3/uniform", SIM_UNIFORM, message_passing, seconds);
    row("sim/message-passing/threads:3/pct", SIM_PCT, message_passing, seconds);
    row("sim/message-passing/threads:3/pos", SIM_POS, message_passing, seconds);
    row("sim/mailbox/producers:2/bytes", SIM_BYTES, mailbox, seconds);
    row("sim/mailbox/producers:2/uniform", SIM_UNIFORM, mailbox, seconds);
    return 0;
}
