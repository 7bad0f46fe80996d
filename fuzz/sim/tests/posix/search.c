/* Does the exhaustive search reach every outcome of programs with pthread objects? Compared with
 * what is known by hand, with random schedules, which must find nothing beyond, and with a search
 * that leaves the order of locks open, which must find as much.
 * Run by `make test-explore`; ends with `N passed, N failed`. */
#include "search.h"
#include "sim.h"

#include <string.h>

enum { SEARCH, RANDOM, REDUCED, WAYS };
#define KEYS 65536u
static unsigned char seen[WAYS][KEYS];

static void keep(void *way) {
    seen[*(int *)way][(outcome ^ outcome >> 16) % KEYS] = 1;
}

static struct sim_explored explore(void (*run)(void *), int way) {
    struct sim_explore_options e = sim_explore_options_default();
    static struct sim_explored done;
    e.run.timeouts_max = 1;
    e.each = keep;
    e.reduce = way == REDUCED ? SIM_REDUCE_LOCKS : 0;
    e.context = &way;
    sim_explore(&e, run, NULL, &done);
    return done;
}

static void at_random(void (*run)(void *)) {
    static const enum sim_source sources[] = {SIM_UNIFORM, SIM_POS, SIM_PCT};
    struct sim_options o = sim_options_default();
    int way = RANDOM;
    o.timeouts_max = 1;
    for (unsigned i = 0; i < 20000; i++) {
        o.source = sources[i % 3];
        o.seed = i + 1;
        if (!sim_run(&o, run, NULL, NULL)) {
            keep(&way);
        }
    }
}

static unsigned count(int way) {
    unsigned n = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        n += seen[way][k];
    }
    return n;
}

static bool check(const struct search_program *p) {
    memset(seen, 0, sizeof seen);
    static struct sim_explored search;
    search = explore(p->run, REDUCED);
    bool reduced_complete = search.complete;
    search = explore(p->run, SEARCH);
    at_random(p->run);
    unsigned beyond = 0, lost = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        beyond += seen[RANDOM][k] && !seen[SEARCH][k];
        lost += seen[REDUCED][k] != seen[SEARCH][k];
    }
    bool ok = reduced_complete && !lost && search.complete && !search.finding && !beyond &&
              count(SEARCH) == p->outcomes;
    printf("%s search_%s: outcomes %u (of %u), random %u; executions %llu, graphs %llu, dead ends "
           "%llu%s%s%s\n",
           ok ? "ok  " : "FAIL", p->name, count(SEARCH), p->outcomes, count(RANDOM),
           (unsigned long long)search.executions, (unsigned long long)search.graphs,
           (unsigned long long)search.dead_ends, search.error, search.finding ? ", finding " : "",
           search.finding ? search.detail : "");
    return ok;
}

int main(void) {
    unsigned passed = 0, failed = 0;
    for (const struct search_program *p = search_programs; p->name; p++) {
        if (check(p)) {
            passed++;
        } else {
            failed++;
        }
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
