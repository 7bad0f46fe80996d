/* search.c: does the exhaustive search reach every outcome of programs with pthread objects? Its
 * outcomes are compared with their known number, with random schedules, which must find no others,
 * and with a search that leaves the order of locks open, which must find the same. Run by
 * `make test-explore`. */
#include "search.h"
#include "sim.h"
#include "test.h"

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

static const char *name_of(unsigned row) {
    const char *name = search_programs[row].name;
    return name != NULL ? test_text("search_%s", name) : NULL;
}

TEST_ROWS(searches, name_of(row)) {
    const struct search_program *p = &search_programs[row];
    static struct sim_explored search;
    search = explore(p->run, REDUCED);
    CHECK(search.complete);
    search = explore(p->run, SEARCH);
    CHECK_OR(search.complete, "%s", search.error);
    CHECK_OR(!search.finding, "%s: %s", search.finding, search.detail);
    at_random(p->run);
    unsigned beyond = 0, lost = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        beyond += seen[RANDOM][k] && !seen[SEARCH][k];
        lost += seen[REDUCED][k] != seen[SEARCH][k];
    }
    CHECK_OR(beyond == 0, "%u of %u outcomes at random are not in the search", beyond,
             count(RANDOM));
    CHECK_OR(lost == 0, "%u outcomes are not in both searches", lost);
    CHECK_EQ(count(SEARCH), p->outcomes);
}
