/* wait_peers.c: wait and notify in V8, from JavaScript (v8_wait.js), where the scheduler places the
 * threads. Run: build/bench/bench --filter='^peer/.*of:v8'. */
#include "shim.h"

#include <stdio.h>
#include <stdlib.h>

/* The script writes one line per sample, in nanoseconds. The first ones warm up the compiler. */
static void run_v8(struct bench_state *state) {
    enum { WARM_UP = 256 };
    char command[512], line[64];
    snprintf(command, sizeof command, "node '%s_wait.js' %s", BENCH_V8_BASE,
             (const char *)bench_argument(state));
    FILE *lines = popen(command, "re");
    bool good = lines != NULL;
    for (int i = 0; i < WARM_UP && good; i++) {
        good = fgets(line, sizeof line, lines) != NULL;
    }
    while (good && bench_next(state, 1)) {
        good = fgets(line, sizeof line, lines) != NULL;
        bench_sample(state, good ? strtod(line, NULL) : 0);
    }
    if (!good) {
        bench_skip(state, "node is missing or does not answer (scripts/setup bench installs it)");
    }
    if (lines != NULL) {
        pclose(lines);
    }
}

static void add(const char *name, const char *operation, const char *bounds) {
    bench_register(&(struct bench_case){.name = name,
                                        .run = run_v8,
                                        .argument = operation,
                                        .clock = BENCH_CLOCK_SAMPLES,
                                        .parameters = {{"of", "v8", 0}},
                                        .parties = true,
                                        .bounds = bounds});
}

BENCH_SUBJECT {
    add("peer/round_trip", "round_trip", "bound/round_trip/via:futex/cores:2");
    add("peer/notify_none", "notify_none", "bound/futex_wake");
    add("peer/not_equal", "not_equal", "bound/futex_differs");
}
