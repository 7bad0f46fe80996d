/* judge.c: the judge: every execution graph that the axioms allow, found by brute force. README.md
 * describes the method and the axioms. It shares nothing with the engine, on purpose.
 *
 * A graph grows from the initial writes by one event at a time: the next event of any thread, in
 * every way (every write it could read, every place in modification order). The axioms are then
 * checked on the whole new graph. Since every prefix (of program order, reads-from and the chains)
 * of a consistent graph is consistent, every graph is reached. A graph that was reached before is
 * recognised by its whole text ("key"), never by a hash alone. */
#include "program.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EVENTS_MAX = 64, KEY_MAX = 8 * EVENTS_MAX };

typedef uint64_t set; /* of events, by number */
typedef struct {
    set of[EVENTS_MAX]; /* of[a] contains b: a -> b */
} relation;

enum kind { READ, WRITE, UPDATE, FENCE_EVENT, SLEEP, WAKE_EVENT, TIMEOUT };

struct event {
    enum kind kind;
    enum order order;
    int thread; /* -1: an initial write */
    unsigned index;
    int place;              /* -1: a fence */
    int from;               /* the write that a read reads */
    uint32_t read, written; /* values; of a wake: how many it woke */
    unsigned count;         /* of a wake: the most it may wake */
};

struct list {
    unsigned n;
    uint8_t at[EVENTS_MAX];
};

struct graph {
    unsigned n;
    struct event events[EVENTS_MAX];
    struct list threads[THREADS_MAX]; /* program order */
    struct list mo[PLACES_MAX];       /* modification order, the initial write first */
    struct list chain[PLACES_MAX];    /* sleeps, wakes and timeouts of a futex word */
};

static const struct program *program;
static struct {
    bool c11;
    unsigned long graphs_max;
    double seconds_max;
} options = {.graphs_max = 1000000, .seconds_max = 2};

/* ---- Relations ------------------------------------------------------------------------------- */

static inline set one(unsigned e) {
    return (set)1 << e;
}
static inline bool has(const relation *r, unsigned a, unsigned b) {
    return r->of[a] >> b & 1;
}
static inline void add(relation *r, unsigned a, unsigned b) {
    r->of[a] |= one(b);
}
/* Moves *e to the next member of s, from *e on: for (unsigned e = 0; member(s, &e); e++) */
static inline bool member(set s, unsigned *e) {
    if (*e >= EVENTS_MAX || !(s >> *e)) {
        return false;
    }
    *e += (unsigned)__builtin_ctzll(s >> *e);
    return true;
}

static void close_transitively(relation *r, unsigned n) {
    for (unsigned k = 0; k < n; k++) {
        for (unsigned a = 0; a < n; a++) {
            if (has(r, a, k)) {
                r->of[a] |= r->of[k];
            }
        }
    }
}

/* The image of s under r. */
static set image(const relation *r, set s) {
    set out = 0;
    for (unsigned e = 0; member(s, &e); e++) {
        out |= r->of[e];
    }
    return out;
}

static bool cyclic(relation r, unsigned n) {
    close_transitively(&r, n);
    for (unsigned a = 0; a < n; a++) {
        if (has(&r, a, a)) {
            return true;
        }
    }
    return false;
}

/* ---- The axioms ------------------------------------------------------------------------------ */

static bool acquires(enum order o) {
    return o == ACQUIRE || o == ACQ_REL || o == SEQ_CST;
}
static bool releases(enum order o) {
    return o == RELEASE || o == ACQ_REL || o == SEQ_CST;
}
static bool reads(const struct event *e) {
    return e->kind == READ || e->kind == UPDATE || e->kind == SLEEP;
}
static bool writes(const struct event *e) {
    return e->kind == WRITE || e->kind == UPDATE;
}

struct relations {
    set read, write, update, fence, acquire, release, sc;
    relation po, rf, mo, rb, rs, hb, eco;
};

static void base_relations(const struct graph *g, struct relations *r) {
    memset(r, 0, sizeof *r);
    for (unsigned i = 0; i < g->n; i++) {
        const struct event *e = &g->events[i];
        r->read |= reads(e) ? one(i) : 0;
        r->write |= writes(e) ? one(i) : 0;
        r->update |= e->kind == UPDATE ? one(i) : 0;
        r->fence |= e->kind == FENCE_EVENT ? one(i) : 0;
        if (e->place >= 0 && !reads(e) && !writes(e)) {
            continue; /* a wake or a timeout orders nothing */
        }
        r->acquire |= acquires(e->order) && !(e->kind == WRITE) ? one(i) : 0;
        r->release |= releases(e->order) && !(e->kind == READ) ? one(i) : 0;
        r->sc |= e->order == SEQ_CST ? one(i) : 0;
    }
    for (unsigned t = 0; t < program->threads_n; t++) {
        for (unsigned i = 0; i < g->threads[t].n; i++) {
            for (unsigned k = i + 1; k < g->threads[t].n; k++) {
                add(&r->po, g->threads[t].at[i], g->threads[t].at[k]);
            }
        }
    }
    for (unsigned x = 0; x < program->places_n; x++) {
        for (unsigned i = 0; i < g->mo[x].n; i++) {
            for (unsigned k = i + 1; k < g->mo[x].n; k++) {
                add(&r->mo, g->mo[x].at[i], g->mo[x].at[k]);
            }
        }
    }
    for (unsigned b = 0; member(r->read, &b); b++) {
        unsigned from = (unsigned)g->events[b].from;
        add(&r->rf, from, b);
        r->rb.of[b] = r->mo.of[from] & ~one(b);
    }
}

/* Release sequences: [W]; (C11: po on the location)?; (rf; update)*. */
static void release_sequences(const struct graph *g, struct relations *r) {
    relation step = {{0}};
    for (unsigned w = 0; member(r->write, &w); w++) {
        step.of[w] = r->rf.of[w] & r->update;
    }
    close_transitively(&step, g->n);
    for (unsigned a = 0; member(r->write, &a); a++) {
        set heads = one(a);
        if (options.c11) {
            for (unsigned b = 0; member(r->po.of[a] & r->write, &b); b++) {
                heads |= g->events[b].place == g->events[a].place ? one(b) : 0;
            }
        }
        r->rs.of[a] = heads | image(&step, heads);
    }
}

/* hb = (po | sw)+, with the initial writes before everything;
 * sw = [release]; ([F]; po)?; rs; rf; (po; [F])?; [acquire]. */
static void happens_before(const struct graph *g, struct relations *r) {
    r->hb = r->po;
    for (unsigned a = 0; a < g->n; a++) {
        if (g->events[a].thread < 0) {
            for (unsigned b = 0; b < g->n; b++) {
                if (g->events[b].thread >= 0) {
                    add(&r->hb, a, b);
                }
            }
        }
        if (!(r->release & one(a))) {
            continue;
        }
        set first = r->fence & one(a) ? r->po.of[a] & r->write : one(a);
        set readers = image(&r->rf, image(&r->rs, first));
        set behind = image(&r->po, readers) & r->fence;
        r->hb.of[a] |= (readers | behind) & r->acquire & ~one(a);
    }
    close_transitively(&r->hb, g->n);
}

/* hb; eco? is irreflexive. */
static bool coherent(const struct graph *g, const struct relations *r) {
    for (unsigned a = 0; a < g->n; a++) {
        if (has(&r->hb, a, a)) {
            return false;
        } else {
            for (unsigned b = 0; member(r->hb.of[a], &b); b++) {
                if (has(&r->eco, b, a)) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* Nothing comes between what an update reads and what it writes: rb; mo does not lead back to
 * it. */
static bool atomic(const struct relations *r) {
    for (unsigned u = 0; member(r->update, &u); u++) {
        if (image(&r->mo, r->rb.of[u]) & one(u)) {
            return false;
        }
    }
    return true;
}

/* psc_base | psc_F is acyclic, where
 * scb = po | po/!=loc; hb; po/!=loc | hb/loc | mo | rb
 * psc_base = ([Esc] | [Fsc]; hb?); scb; ([Esc] | hb?; [Fsc])
 * psc_F = [Fsc]; (hb | hb; eco; hb); [Fsc] */
static bool sc_consistent(const struct graph *g, const struct relations *r) {
    if (!(r->sc & (r->sc - 1))) {
        return true;
    }
    relation po_other = {{0}}, scb = {{0}}, psc = {{0}};
    for (unsigned a = 0; a < g->n; a++) {
        for (unsigned b = 0; member(r->po.of[a], &b); b++) {
            if (g->events[a].place != g->events[b].place || g->events[a].place < 0) {
                add(&po_other, a, b);
            }
        }
    }
    for (unsigned a = 0; a < g->n; a++) {
        scb.of[a] = r->po.of[a] | r->mo.of[a] | r->rb.of[a] |
                    image(&po_other, image(&r->hb, po_other.of[a]));
        for (unsigned b = 0; member(r->hb.of[a], &b); b++) {
            if (g->events[a].place == g->events[b].place && g->events[a].place >= 0) {
                add(&scb, a, b);
            }
        }
    }
    set sc_fence = r->sc & r->fence;
    relation hb_fence = {{0}}; /* hb?; [Fsc] */
    for (unsigned a = 0; a < g->n; a++) {
        hb_fence.of[a] = (r->hb.of[a] | one(a)) & sc_fence;
    }
    for (unsigned a = 0; member(r->sc, &a); a++) {
        set first = one(a);
        if (sc_fence & first) {
            first |= r->hb.of[a];
        }
        set middle = image(&scb, first);
        psc.of[a] = (middle & r->sc) | image(&hb_fence, middle);
        if (sc_fence & one(a)) {
            psc.of[a] |= (r->hb.of[a] | image(&r->hb, image(&r->eco, r->hb.of[a]))) & sc_fence;
        }
    }
    return !cyclic(psc, g->n);
}

/* Is the write w known at e: does w, or a read of w, happen before e? */
static bool known_at(const struct relations *r, unsigned w, unsigned e) {
    if (has(&r->hb, w, e)) {
        return true;
    }
    for (unsigned i = 0; member(r->rf.of[w], &i); i++) {
        if (i == e || has(&r->hb, i, e)) {
            return true;
        }
    }
    return false;
}

/* A sleeper has seen what came before it in the chain: no earlier sleep, wake or timeout knows of a
 * newer write of the word than the one that the sleeper has read. */
static bool sleepers_saw(const struct graph *g, const struct relations *r) {
    for (unsigned x = 0; x < program->places_n; x++) {
        const struct list *chain = &g->chain[x];
        for (unsigned i = 0; i < chain->n; i++) {
            const struct event *sleep = &g->events[chain->at[i]];
            if (sleep->kind != SLEEP) {
                continue;
            }
            for (unsigned k = 0; k < i; k++) {
                for (unsigned w = 0; member(r->mo.of[sleep->from], &w); w++) {
                    if (known_at(r, w, chain->at[k])) {
                        return false;
                    }
                }
            }
        }
    }
    return true;
}

static bool consistent(const struct graph *g) {
    struct relations r;
    base_relations(g, &r);
    release_sequences(g, &r);
    happens_before(g, &r);
    for (unsigned a = 0; a < g->n; a++) {
        r.eco.of[a] = r.rf.of[a] | r.mo.of[a] | r.rb.of[a];
    }
    close_transitively(&r.eco, g->n);
    return coherent(g, &r) && atomic(&r) && sc_consistent(g, &r) && sleepers_saw(g, &r);
}

/* ---- What a thread does next ----------------------------------------------------------------- */

/* Where a thread stands, and what it does next. */
struct state {
    enum { DONE, NEXT, ASLEEP, CUT, INVALID } what; /* CUT: by a false assume */
    const struct instruction *instruction;          /* NEXT, ASLEEP */
    uint32_t a, b;                                  /* its operands */
    uint32_t registers[REGISTERS_MAX];
    int sleep; /* ASLEEP: its sleep event */
};

/* The wake that woke this sleeper, -1: none. Each wake wakes the first sleepers in the queue. */
static int woken_by(const struct graph *g, unsigned place, int sleeper) {
    const struct list *chain = &g->chain[place];
    struct list queue = {0};
    for (unsigned i = 0; i < chain->n; i++) {
        const struct event *e = &g->events[chain->at[i]];
        unsigned gone = 0; /* how many leave at the front */
        if (e->kind == SLEEP) {
            queue.at[queue.n++] = chain->at[i];
        } else if (e->kind == WAKE_EVENT) {
            gone = e->count < queue.n ? e->count : queue.n;
            for (unsigned k = 0; k < gone; k++) {
                if (queue.at[k] == sleeper) {
                    return chain->at[i];
                }
            }
            memmove(queue.at, queue.at + gone, queue.n -= gone);
        } else { /* a timeout: its thread's sleep leaves the queue */
            for (unsigned k = 0; k < queue.n; k++) {
                if (g->events[queue.at[k]].thread == e->thread) {
                    memmove(queue.at + k, queue.at + k + 1, queue.n - k - 1);
                    queue.n--;
                    break;
                }
            }
        }
    }
    return -1;
}

/* How many sleepers are left for a wake at the end of the chain. */
static unsigned sleepers_left(const struct graph *g, unsigned place) {
    unsigned n = 0;
    const struct list *chain = &g->chain[place];
    for (unsigned i = 0; i < chain->n; i++) {
        unsigned e = chain->at[i];
        if (g->events[e].kind != SLEEP || woken_by(g, place, (int)e) >= 0) {
            continue;
        }
        const struct list *mine = &g->threads[g->events[e].thread];
        unsigned after = g->events[e].index + 1;
        bool timed_out = after < mine->n && g->events[mine->at[after]].kind == TIMEOUT;
        n += !timed_out;
    }
    return n;
}

/* Runs thread t from its start, on the values that its events have read. */
static struct state run(const struct graph *g, unsigned t) {
    const struct code *code = &program->threads[t];
    struct state s = {.what = DONE, .sleep = -1};
    uint32_t counters[CODE_MAX];
    bool held[PLACES_MAX] = {false};
    unsigned done = 0, spun = 0;
#define VALUE(o) ((o).is_register ? s.registers[(o).number] : (o).number)
    for (unsigned pc = 0; pc < code->n;) {
        const struct instruction *i = &code->at[pc];
        s.instruction = i;
        s.a = VALUE(i->a);
        s.b = VALUE(i->b);
        bool local = true;
        switch (i->code) {
        case SET:
            s.registers[i->target] = s.a + s.b;
            pc++;
            break;
        case UNLESS_EQUAL:
            pc = s.a == s.b ? pc + 1 : i->jump;
            break;
        case UNLESS_DIFFERENT:
            pc = s.a != s.b ? pc + 1 : i->jump;
            break;
        case JUMP:
            pc = i->jump;
            break;
        case REPEAT:
            counters[i->counter] = i->count;
            pc++;
            break;
        case REPEAT_END:
            pc = --counters[i->counter] ? i->jump : pc + 1;
            break;
        case ASSUME:
            if (s.a != s.b) {
                s.what = CUT;
                return s;
            }
            pc++;
            break;
        default:
            local = false;
        }
        if (local) {
            continue;
        }
        if (i->code == UNLOCK && !held[i->place]) {
            s.what = INVALID;
            return s;
        }
        if (done == g->threads[t].n) {
            s.what = NEXT;
            return s;
        }
        unsigned number = g->threads[t].at[done++];
        const struct event *e = &g->events[number];
        uint32_t *target = &s.registers[i->target];
        switch (i->code) {
        case LOAD:
        case ADD:
        case EXCHANGE:
        case CAS:
        case AWAIT_EQUAL:
        case AWAIT_DIFFERENT:
            *target = e->read;
            pc++;
            break;
        case AWAIT_EXCHANGE:
            *target = e->read;
            if (e->read == s.b) {
                pc++;
            }
            break;
        case SPIN:
            spun++;
            *target = e->read == s.a;
            if (*target || spun == i->count) {
                spun = 0;
                pc++;
            }
            break;
        case LOCK:
            held[i->place] = true;
            pc++;
            break;
        case UNLOCK:
            held[i->place] = false;
            pc++;
            break;
        case TRYLOCK:
            *target = e->kind == UPDATE;
            held[i->place] |= e->kind == UPDATE;
            pc++;
            break;
        case WAKE:
            *target = e->written;
            pc++;
            break;
        case WAIT:
        case WAIT_TIMED:
            *target = 0;
            if (e->kind == SLEEP) {
                if (woken_by(g, i->place, (int)number) >= 0) {
                    *target = 1;
                } else if (done == g->threads[t].n) {
                    s.what = ASLEEP;
                    s.sleep = (int)number;
                    return s;
                } else {
                    done++; /* the event after the sleep is its timeout */
                    *target = 2;
                }
            }
            pc++;
            break;
        default:
            pc++;
        }
    }
#undef VALUE
    s.what = DONE;
    return s;
}

/* Is the thread stuck, so that only another thread could help? See README.md on blocked graphs. */
static bool stuck(const struct graph *g, const struct state *s) {
    const struct instruction *i = s->instruction;
    if (s->what == ASLEEP) {
        return i->code == WAIT;
    }
    if (s->what != NEXT) {
        return false;
    }
    const struct list *mo = &g->mo[i->place];
    uint32_t last = g->events[mo->at[mo->n - 1]].written;
    switch (i->code) {
    case AWAIT_EQUAL:
        return last != s->a;
    case AWAIT_DIFFERENT:
        return last == s->a;
    case AWAIT_EXCHANGE: /* otherwise it succeeds, or changes something and continues */
        return last != s->b && last == s->a;
    case AWAIT_CAS:
        return last != s->b;
    case LOCK:
        return last == 1;
    default:
        return false;
    }
}

/* ---- Sets of texts, compared whole ----------------------------------------------------------- */

struct texts {
    size_t n, size;
    struct text {
        uint8_t *at;
        uint32_t length, hash;
    } * slots;
    char *chunk;
    size_t left;
};

struct chunk {
    struct chunk *next;
};
static struct chunk *chunks;

static void *allocate(size_t n) {
    void *p = malloc(n);
    if (!p) {
        fprintf(stderr, "judge: not enough memory\n");
        exit(2);
    }
    return p;
}

static void free_chunks(void) {
    while (chunks) {
        struct chunk *next = chunks->next;
        free(chunks);
        chunks = next;
    }
}

static struct text *slot_of(const struct texts *s, const uint8_t *at, uint32_t length,
                            uint32_t hash) {
    size_t i = hash & (s->size - 1);
    while (s->slots[i].at && (s->slots[i].hash != hash || s->slots[i].length != length ||
                              memcmp(s->slots[i].at, at, length) != 0)) {
        i = (i + 1) & (s->size - 1);
    }
    return &s->slots[i];
}

/* False: it was already there. */
static bool insert(struct texts *s, const void *text, size_t n) {
    uint32_t hash = 2166136261u; /* only says where to look first */
    const uint8_t *p = text;
    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ p[i]) * 16777619u;
    }
    hash ^= hash >> 15;
    if (2 * s->n >= s->size) {
        struct texts bigger = {.size = s->size ? 2 * s->size : 1024};
        bigger.slots = calloc(bigger.size, sizeof *bigger.slots);
        if (!bigger.slots) {
            allocate(SIZE_MAX);
        }
        for (size_t i = 0; i < s->size; i++) {
            if (s->slots[i].at) {
                *slot_of(&bigger, s->slots[i].at, s->slots[i].length, s->slots[i].hash) =
                    s->slots[i];
            }
        }
        free(s->slots);
        s->slots = bigger.slots;
        s->size = bigger.size;
    }
    struct text *slot = slot_of(s, p, (uint32_t)n, hash);
    if (slot->at) {
        return false;
    }
    if (s->left < n) {
        s->left = (1 << 20) + n;
        struct chunk *c = allocate(sizeof *c + s->left);
        c->next = chunks;
        chunks = c;
        s->chunk = (char *)(c + 1);
    }
    memcpy(s->chunk, text, n);
    *slot = (struct text){(uint8_t *)s->chunk, (uint32_t)n, hash};
    s->chunk += n;
    s->left -= n;
    s->n++;
    return true;
}

/* Writes the graph as text: what each event reads, by thread; modification orders; chains. Values
 * follow from these. Events are named by thread and position. */
static size_t key_of(const struct graph *g, uint8_t *key) {
    uint8_t names[EVENTS_MAX], next_name = 0;
    size_t n = 0;
    for (unsigned e = 0; e < g->n && g->events[e].thread < 0; e++) {
        names[e] = next_name++;
    }
    for (unsigned t = 0; t < program->threads_n; t++) {
        for (unsigned i = 0; i < g->threads[t].n; i++) {
            names[g->threads[t].at[i]] = next_name++;
        }
    }
    for (unsigned t = 0; t < program->threads_n; t++) {
        key[n++] = (uint8_t)g->threads[t].n;
        for (unsigned i = 0; i < g->threads[t].n; i++) {
            const struct event *e = &g->events[g->threads[t].at[i]];
            key[n++] = (uint8_t)e->kind;
            key[n++] = reads(e) ? names[e->from] : 255;
        }
    }
    for (unsigned x = 0; x < program->places_n; x++) {
        const struct list *lists[] = {&g->mo[x], &g->chain[x]};
        for (unsigned k = 0; k < 2; k++) {
            key[n++] = (uint8_t)lists[k]->n;
            for (unsigned i = 0; i < lists[k]->n; i++) {
                key[n++] = names[lists[k]->at[i]];
            }
        }
    }
    return n;
}

/* ---- The enumeration ------------------------------------------------------------------------- */

static struct {
    struct texts visited, states;
    unsigned long complete, blocked, cut;
    bool exists, gave_up;
    const char *invalid;
    double deadline;
} found;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

static void add_state(const struct graph *g, const struct state *states) {
    static char items[THREADS_MAX * REGISTERS_MAX + PLACES_MAX][2 * NAME_MAX_ + 16];
    char text[8192];
    unsigned n = 0;
    size_t used = 0;
    for (unsigned t = 0; t < program->threads_n; t++) {
        for (unsigned r = 0; r < program->threads[t].registers_n; r++) {
            snprintf(items[n++], sizeof items[0], "T%u:%s=%u", t, program->threads[t].registers[r],
                     states[t].registers[r]);
        }
    }
    for (unsigned x = 0; x < program->places_n; x++) {
        if (!program->is_lock[x]) {
            snprintf(items[n++], sizeof items[0], "%s=%u", program->places[x],
                     g->events[g->mo[x].at[g->mo[x].n - 1]].written);
        }
    }
    qsort(items, n, sizeof items[0], by_text);
    text[0] = 0;
    for (unsigned i = 0; i < n && used < sizeof text - 128; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, i ? " %s" : "%s", items[i]);
    }
    insert(&found.states, text, used + 1);
    bool any = false, all = true;
    for (unsigned i = 0; i < program->conditions_n; i++) {
        const struct condition *c = &program->conditions[i];
        if (c->or_before) {
            any |= all;
            all = true;
        }
        const struct list *mo = &g->mo[c->index];
        all &= c->value == (c->thread < 0 ? g->events[mo->at[mo->n - 1]].written
                                          : states[c->thread].registers[c->index]);
    }
    found.exists |= program->conditions_n && (any || all);
}

static void grow(const struct graph *g);

/* False: the graph has been seen before, consistent or not. */
static bool is_new(const struct graph *g) {
    uint8_t key[KEY_MAX];
    if (!insert(&found.visited, key, key_of(g, key))) {
        return false;
    }
    found.gave_up |= found.visited.n >= options.graphs_max ||
                     (found.visited.n % 1024 == 0 && now() > found.deadline);
    return !found.gave_up;
}

/* Adds an event of thread t, and continues from the new graph if it is consistent. place_at:
 * position in modification order (writes); chained: also at the end of the chain. */
static void extend(const struct graph *g, unsigned t, struct event e, unsigned place_at,
                   bool chained) {
    if (found.gave_up || found.invalid) {
        return;
    }
    if (g->n == EVENTS_MAX) {
        found.gave_up = true;
        return;
    }
    struct graph *h = allocate(sizeof *h);
    *h = *g;
    unsigned number = h->n++;
    e.thread = (int)t;
    e.index = h->threads[t].n;
    h->events[number] = e;
    h->threads[t].at[h->threads[t].n++] = (uint8_t)number;
    if (writes(&e)) {
        struct list *mo = &h->mo[e.place];
        memmove(mo->at + place_at + 1, mo->at + place_at, mo->n - place_at);
        mo->at[place_at] = (uint8_t)number;
        mo->n++;
    }
    if (chained) {
        struct list *chain = &h->chain[e.place];
        chain->at[chain->n++] = (uint8_t)number;
    }
    if (is_new(h) && consistent(h)) {
        grow(h);
    }
    free(h);
}

/* Adds the next event of thread t, in every possible way. */
static void each_way(const struct graph *g, unsigned t, const struct state *s) {
    const struct instruction *i = s->instruction;
    const struct list *mo = &g->mo[i->place];
    struct event e = {.order = i->order, .place = (int)i->place, .from = -1};
    if (s->what == ASLEEP) {
        if (i->code == WAIT_TIMED) {
            e.kind = TIMEOUT;
            extend(g, t, e, 0, true);
        }
        return;
    }
    switch (i->code) {
    case FENCE:
        e.kind = FENCE_EVENT;
        e.place = -1;
        extend(g, t, e, 0, false);
        return;
    case WAKE:
        e.kind = WAKE_EVENT;
        e.count = i->count;
        e.written = sleepers_left(g, i->place);
        if (e.written > e.count) {
            e.written = e.count;
        }
        extend(g, t, e, 0, true);
        return;
    case STORE:
        e.kind = WRITE;
        e.written = s->a;
        for (unsigned k = 1; k <= mo->n; k++) {
            extend(g, t, e, k, false);
        }
        return;
    case UNLOCK: /* right after its own lock, which is the newest write */
        e.kind = WRITE;
        e.order = RELEASE;
        e.written = 0;
        extend(g, t, e, mo->n, false);
        return;
    default:
        break;
    }
    for (unsigned k = 0; k < mo->n; k++) { /* everything that reads */
        uint32_t v = g->events[mo->at[k]].written;
        e.from = mo->at[k];
        e.read = v;
        e.order = i->order;
        e.kind = READ;
        bool chained = false;
        switch (i->code) {
        case ADD:
            e.kind = UPDATE;
            e.written = v + s->a;
            break;
        case EXCHANGE:
            e.kind = UPDATE;
            e.written = s->a;
            break;
        case CAS:
            if (v == s->b) {
                e.kind = UPDATE;
                e.written = s->a;
            } else {
                e.order = i->failure_order;
            }
            break;
        case AWAIT_EQUAL:
            if (v != s->a) {
                continue;
            }
            break;
        case AWAIT_DIFFERENT:
            if (v == s->a) {
                continue;
            }
            break;
        case AWAIT_EXCHANGE: /* an exchange that changes nothing is no event */
            if (v != s->b && v == s->a) {
                continue;
            }
            e.kind = UPDATE;
            e.written = s->a;
            break;
        case AWAIT_CAS:
            if (v != s->b) {
                continue;
            }
            e.kind = UPDATE;
            e.written = s->a;
            break;
        case LOCK:
        case TRYLOCK:
            e.order = v ? RELAXED : ACQUIRE;
            if (v && i->code == LOCK) {
                continue;
            }
            if (!v) {
                e.kind = UPDATE;
                e.written = 1;
            }
            break;
        case WAIT:
        case WAIT_TIMED:
            e.order = RELAXED;
            if (v == s->b) {
                e.kind = SLEEP;
                chained = true;
            }
            break;
        default: /* LOAD, SPIN */
            break;
        }
        extend(g, t, e, k + 1, chained);
    }
}

/* Continues from g, which is consistent and new. */
static void grow(const struct graph *g) {
    struct state states[THREADS_MAX];
    bool all_done = true, all_still = true;
    int fence = -1;
    for (unsigned t = 0; t < program->threads_n; t++) {
        states[t] = run(g, t);
        switch (states[t].what) {
        case INVALID:
            found.invalid = "a thread unlocks what it does not hold";
            return;
        case CUT: /* a cut graph is not counted, whatever the other threads do */
            found.cut++;
            return;
        case DONE:
            continue;
        default:
            all_done = false;
            all_still &= stuck(g, &states[t]);
            if (states[t].what == NEXT && states[t].instruction->code == FENCE) {
                fence = (int)t;
            }
        }
    }
    if (all_done) {
        found.complete++;
        add_state(g, states);
        return;
    }
    if (all_still) {
        found.blocked++;
    }
    /* A fence can be added in one way only and is always allowed, so every larger graph contains
     * it. */
    for (unsigned t = 0; t < program->threads_n; t++) {
        if (states[t].what != DONE && (fence < 0 || fence == (int)t)) {
            each_way(g, t, &states[t]);
        }
    }
}

static void enumerate(void) {
    static struct graph g;
    memset(&g, 0, sizeof g);
    memset(&found, 0, sizeof found);
    found.deadline = now() + options.seconds_max;
    for (unsigned x = 0; x < program->places_n; x++) {
        g.events[g.n] = (struct event){.kind = WRITE,
                                       .thread = -1,
                                       .place = (int)x,
                                       .from = -1,
                                       .written = program->initial[x]};
        g.mo[x].at[g.mo[x].n++] = (uint8_t)g.n++;
    }
    grow(&g);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static int text_order(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void json_text(const char *s) {
    putchar('"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\') {
            printf("\\%c", *s);
        } else {
            putchar(*s);
        }
    }
    putchar('"');
}

/* Compares the answers with what the program states; false if they differ. */
static bool answer(bool json, bool check) {
    size_t n = 0;
    const char **states = allocate((found.states.n + 1) * sizeof *states);
    for (size_t i = 0; i < found.states.size; i++) {
        if (found.states.slots[i].at) {
            states[n++] = (const char *)found.states.slots[i].at;
        }
    }
    qsort(states, n, sizeof *states, text_order);
    const char *all = found.invalid ? "invalid" : found.gave_up ? "gave-up" : "yes";
    bool as_stated =
        !found.invalid && !found.gave_up &&
        (program->stated_graphs < 0 || (unsigned long)program->stated_graphs == found.complete) &&
        (program->stated_blocked < 0 || (unsigned long)program->stated_blocked == found.blocked) &&
        !(program->stated_allowed && !found.exists) && !(program->stated_forbidden && found.exists);
    if (check) {
        printf("%s %s: %lu graphs, %lu blocked, %zu states, %s\n", as_stated ? "PASS" : "FAIL",
               program->name, found.complete, found.blocked, n, all);
    } else if (json) {
        printf("{\"name\": ");
        json_text(program->name);
        printf(", \"graphs\": %lu, \"blocked\": %lu, \"all\": \"%s\", \"states\": [",
               found.complete, found.blocked, all);
        for (size_t i = 0; i < n; i++) {
            printf(i ? ", " : "");
            json_text(states[i]);
        }
        printf("], \"visited\": %zu}\n", found.visited.n);
    } else {
        printf("program %s\ngraphs %lu\nblocked %lu\nall %s\n", program->name, found.complete,
               found.blocked, all);
        for (size_t i = 0; i < n; i++) {
            printf("state %s\n", states[i]);
        }
        printf("end\n");
    }
    fflush(stdout);
    free(states);
    free(found.states.slots);
    free(found.visited.slots);
    free_chunks();
    return as_stated;
}

static char *read_file(const char *path) {
    FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
    size_t n = 0, size = 1 << 16;
    char *text = allocate(size + 1);
    if (!f) {
        fprintf(stderr, "judge: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    for (size_t got; (got = fread(text + n, 1, size - n, f)) > 0;) {
        n += got;
        if (n == size && !(text = realloc(text, (size *= 2) + 1))) {
            allocate(SIZE_MAX);
        }
    }
    if (ferror(f) || memchr(text, 0, n)) {
        fprintf(stderr, "judge: %s: not a readable text\n", path);
        exit(2);
    }
    text[n] = 0;
    if (f != stdin) {
        fclose(f);
    }
    return text;
}

static void usage(FILE *out) {
    fputs("usage: judge [options] FILE...      (-: standard input; programs separated by ---)\n"
          "Every execution graph of each litmus program that the axioms allow.\n"
          "  --json          a line of JSON for each program\n"
          "  --check         compare with what each program states (graphs, blocked, expect)\n"
          "  --graphs N      give up after so many graphs, also incomplete or inconsistent "
          "(1000000)\n"
          "  --seconds S     give up after so long (2)\n"
          "  --c11           release sequences as in C11\n"
          "Exit status: 0; 1: --check, and one is not as stated; 2: usage or a bad program.\n",
          out);
}

int main(int argc, char **argv) {
    bool json = false, check = false, bad = false, differs = false, any = false;
    static struct program p;
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        char *end = NULL;
        if (strcmp(a, "--json") == 0) {
            json = true;
        } else if (strcmp(a, "--check") == 0) {
            check = true;
        } else if (strcmp(a, "--c11") == 0) {
            options.c11 = true;
        } else if (strcmp(a, "--graphs") == 0 && i + 1 < argc) {
            options.graphs_max = strtoul(argv[++i], &end, 10);
        } else if (strcmp(a, "--seconds") == 0 && i + 1 < argc) {
            options.seconds_max = strtod(argv[++i], &end);
        } else if (strcmp(a, "--help") == 0) {
            usage(stdout);
            return 0;
        } else if (a[0] == '-' && a[1]) {
            usage(stderr);
            return 2;
        } else {
            char error[512], *text = read_file(a);
            const char *at = text;
            unsigned line = 1;
            any = true;
            while (at) {
                if (program_read(&p, &at, &line, a, error, sizeof error)) {
                    program = &p;
                    enumerate();
                    differs |= !answer(json, check);
                } else {
                    fprintf(stderr, "judge: %s\n", error);
                    bad = true;
                }
            }
            free(text);
        }
        if (end && *end) {
            usage(stderr);
            return 2;
        }
    }
    if (!any) {
        usage(stderr);
        return 2;
    }
    return bad ? 2 : check && differs ? 1 : 0;
}
