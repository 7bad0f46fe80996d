/* feedback.c: a random source with feedback on which write each read takes, after RFF (Wolff, Shi,
 * Duck, Mathur, Roychoudhury, ASPLOS 2024). It remembers, over all runs of the process, which
 * places in the program write what each place reads, and how often a read took which write. Each
 * run picks a few reads and, for each, a write that it rarely took, and steers towards it: the read
 * waits for its write, and other writes wait for the read. All other scheduling is by random
 * priorities (POS). Locks count as well: taking one reads from the place that released it last. */
#include "internal.h"

#include <string.h>

enum { PLACES_MAX = 1024, WRITERS_MAX = 8, GOALS_MAX = 3, START = 1 };

/* An address, and the places that write to it. */
struct location {
    uintptr_t at, last; /* place of the newest write in this run; START: none */
    uint32_t run;       /* the run of `last` */
    uintptr_t writers[WRITERS_MAX];
    unsigned writers_n;
};

/* A place that reads: which writes it took, and how often. */
struct reader {
    uintptr_t pc, at;
    uintptr_t writers[WRITERS_MAX];
    uint32_t taken[WRITERS_MAX];
    unsigned writers_n;
};

static struct goal {
    uintptr_t reader, writer, at;
    bool done;
} goals[GOALS_MAX];
static unsigned goals_n, readers_n;
static struct location locations[PLACES_MAX];
static struct reader readers[PLACES_MAX];
static uint16_t order[PLACES_MAX]; /* readers in order of appearance */

static uint32_t slot_of(uintptr_t key) {
    return (uint32_t)(key * UINT64_C(0x9E3779B97F4A7C15) >> 54) % PLACES_MAX;
}

static struct location *location_at(uintptr_t at) {
    uint32_t i = slot_of(at);
    for (unsigned tries = 0; tries < 16; tries++, i = (i + 1) % PLACES_MAX) {
        struct location *l = &locations[i];
        if (!l->at) {
            l->at = at;
            l->writers[l->writers_n++] = START;
        }
        if (l->at != at) {
            continue;
        }
        if (l->run != S.generation) {
            l->run = S.generation;
            l->last = START;
        }
        return l;
    }
    return NULL; /* table full: such accesses get no feedback */
}

static struct reader *reader_at(uintptr_t pc) {
    uint32_t i = slot_of(pc);
    for (unsigned tries = 0; tries < 16; tries++, i = (i + 1) % PLACES_MAX) {
        if (!readers[i].pc && readers_n < PLACES_MAX / 2) {
            readers[i].pc = pc;
            order[readers_n++] = (uint16_t)i;
        }
        if (readers[i].pc == pc) {
            return &readers[i];
        }
    }
    return NULL;
}

static unsigned add(uintptr_t *list, unsigned *n, uintptr_t pc) {
    unsigned i = 0;
    while (i < *n && list[i] != pc) {
        i++;
    }
    if (i == *n && *n < WRITERS_MAX) {
        list[(*n)++] = pc;
    }
    return i;
}

static void took(struct reader *r, uintptr_t writer) {
    unsigned i = add(r->writers, &r->writers_n, writer);
    if (i < WRITERS_MAX) {
        r->taken[i]++;
    }
}

/* Picks one of the writes of r; rarely taken ones are more likely. */
static uintptr_t seldom(const struct reader *r) {
    uint32_t weight[WRITERS_MAX], sum = 0;
    for (unsigned i = 0; i < r->writers_n; i++) {
        sum += weight[i] = 1 + 4096 / (1 + r->taken[i]);
    }
    uint32_t x = (uint32_t)(random64() >> 32) % sum;
    unsigned i = 0;
    for (; i + 1 < r->writers_n && x >= weight[i]; i++) {
        x -= weight[i];
    }
    return r->writers[i];
}

void feedback_begin(void) {
    goals_n = 0;
    unsigned wanted = readers_n ? 1 + (unsigned)(random64() % GOALS_MAX) : 0;
    for (unsigned tries = 0; tries < 3 * wanted && goals_n < wanted; tries++) {
        const struct reader *r = &readers[order[random64() % readers_n]];
        bool known = r->writers_n < 2;
        for (unsigned g = 0; g < goals_n; g++) {
            known |= goals[g].reader == r->pc;
        }
        if (!known) {
            goals[goals_n++] = (struct goal){.reader = r->pc, .writer = seldom(r), .at = r->at};
        }
    }
}

static uintptr_t place_of(const struct thread *t, const struct op *op) {
    return op->pc ? op->pc : t->call;
}

static bool reads(const struct op *op) {
    return op->reads || op->kind == OP_LOCK;
}

static bool writes(const struct op *op) {
    return op->writes || op->kind == OP_LOCK || op->kind == OP_UNLOCK;
}

/* What t's next step does to the goals: 2 reaches one, 1 affects none, 0 spoils one. */
static unsigned served(const struct thread *t) {
    const struct op *op = &t->pending;
    if (op->kind < OP_LOAD || op->kind == OP_FENCE || !op->at) {
        return 1;
    }
    uintptr_t pc = place_of(t, op);
    const struct location *l = NULL;
    unsigned how = 1;
    for (unsigned g = 0; g < goals_n; g++) {
        const struct goal *goal = &goals[g];
        if (goal->done || (goal->reader != pc && goal->at != op->at)) {
            continue;
        }
        if (!l && !(l = location_at(op->at))) {
            return 1;
        }
        bool ready = l->last == goal->writer;
        if (goal->reader == pc && reads(op)) {
            if (!ready) {
                return 0;
            }
            how = 2;
        } else if (goal->at == op->at && writes(op) && ready) {
            return 0;
        }
    }
    return how;
}

struct thread *feedback_pick(thread_set set) {
    struct thread *best = NULL;
    unsigned best_how = 0;
    for (thread_set m = set; m; m &= m - 1) {
        struct thread *t = &S.threads[first_of(m)];
        unsigned how = t->state == T_WAIT ? 1 : served(t);
        if (!best || how > best_how || (how == best_how && t->priority > best->priority)) {
            best = t;
            best_how = how;
        }
    }
    return best;
}

void feedback_step(const struct thread *t) {
    const struct op *op = &t->pending;
    if (op->kind < OP_LOAD || op->kind == OP_FENCE || !op->at) {
        return;
    }
    struct location *l = location_at(op->at);
    uintptr_t pc = place_of(t, op);
    if (!l || !pc) {
        return;
    }
    if (reads(op)) {
        struct reader *r = reader_at(pc);
        if (r) {
            r->at = op->at;
            took(r, l->last);
            for (unsigned i = 0; i < l->writers_n; i++) {
                add(r->writers, &r->writers_n, l->writers[i]);
            }
        }
        for (unsigned g = 0; g < goals_n; g++) {
            goals[g].done |= goals[g].reader == pc;
        }
    }
    if (op->writes || op->kind == OP_UNLOCK) {
        l->last = pc;
        add(l->writers, &l->writers_n, pc);
    }
}
