/* search_reduce.c: reductions of the search, each only on request: fewer graphs, the same verdict.
 * Every run checks the assumptions of the reduction; if they do not hold, the search starts again
 * without it.
 *
 * Locks. Two critical sections of a lock need no order if they touch different bytes. This is sound
 * only if nothing else can observe their order: all sections of the lock contain only plain
 * accesses (no calls, atomics or other locks), and the program has no atomics, futexes or clocks at
 * all, only calls on locks, condition variables and the like. Then a section can stand anywhere in
 * an execution, and a race that appears without the order also appears in an execution with it.
 *
 * Barriers. All threads that wait at a barrier continue together, and their arrivals have no order
 * (BAM: Kokologiannakis and Vafeiadis, NETYS 2021). This holds if no more threads use the barrier
 * than it counts. The serial thread is always the one with the lowest number.
 *
 * Interchangeable threads: search_symmetric.c. */
#include "search.h"

static const struct {
    const char *key;
    unsigned bit;
} reductions[] = {{"locks", SIM_REDUCE_LOCKS},
                  {"barriers", SIM_REDUCE_BARRIERS},
                  {"symmetric", SIM_REDUCE_SYMMETRIC}};
enum { REDUCTIONS = sizeof reductions / sizeof reductions[0] };

unsigned sim_reduction(const char *key) {
    for (unsigned i = 0; i < REDUCTIONS; i++) {
        if (!strcmp(reductions[i].key, key)) {
            return reductions[i].bit;
        }
    }
    return 0;
}

const char *sim_reductions_text(unsigned bits) {
    static char text[64];
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; i < REDUCTIONS; i++) {
        if (bits & reductions[i].bit) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s=1", used ? ", " : "",
                                     reductions[i].key);
        }
    }
    return text;
}

/* ---- Reductions that do not hold ------------------------------------------------------------- */

static bool keep_order(uintptr_t object) {
    for (uint32_t i = 0; i < X.ordered_n; i++) {
        if (X.ordered[i] == object) {
            return true;
        }
    }
    return false;
}

/* Starts again with the calls on this object ordered; 0: without the reduction. */
_Noreturn void search_reduce_not(unsigned bit, uintptr_t object) {
    uint32_t i = object ? __atomic_fetch_add(&X.shared->ordered_n, 1, __ATOMIC_RELAXED) : 0;
    if (object && i < ORDERED_MAX) {
        X.shared->ordered[i] = object;
    } else {
        __atomic_fetch_or(&X.shared->no_reduction, bit, __ATOMIC_RELAXED);
    }
    X.begin_anew = true;
    search_end_run(DEAD_END);
}

/* Takes over what all processes have found. */
void search_reduce_less(void) {
    uint32_t n = X.shared->ordered_n < ORDERED_MAX ? X.shared->ordered_n : ORDERED_MAX;
    memcpy(X.ordered, X.shared->ordered, n * sizeof X.ordered[0]);
    X.ordered_n = n;
    X.reduce &= ~X.shared->no_reduction;
}

void search_reduce(unsigned bits) {
    X.reduce = bits;
    X.ordered_n = X.shared->ordered_n = 0;
    X.shared->no_reduction = 0;
}

/* ---- Locks ----------------------------------------------------------------------------------- */

/* Which thread touched which bytes in sections of which lock, in this run. */
static struct touched {
    uint32_t run;
    uint8_t thread, reads, writes;
    uintptr_t lock, cell;
} touched[8192];

static void touch(uintptr_t lock, uint8_t thread, uintptr_t cell, uint8_t mask, bool write) {
    enum { ROOM = sizeof touched / sizeof touched[0] };
    uint32_t i = (uint32_t)((cell >> 3) * 2654435761u + (uint32_t)lock * 40503ul) % ROOM;
    struct touched *mine = NULL;
    for (uint32_t tries = 0; tries < ROOM; tries++, i = (i + 1) % ROOM) {
        struct touched *p = &touched[i];
        if (p->run != S.generation) {
            if (!mine) {
                mine = p;
                *p = (struct touched){
                    .run = S.generation, .thread = thread, .lock = lock, .cell = cell};
            }
            *(write ? &mine->writes : &mine->reads) |= mask;
            return;
        }
        if (p->lock != lock || p->cell != cell) {
            continue;
        }
        if (p->thread == thread) {
            mine = p;
        } else if ((p->writes & mask) || (write && (p->reads & mask))) {
            search_reduce_not(SIM_REDUCE_LOCKS, lock);
        }
    }
    search_reduce_not(SIM_REDUCE_LOCKS, 0);
}

void explore_section_access(struct thread *t, uintptr_t at, size_t n, bool write) {
    if (X.reduce & SIM_REDUCE_SYMMETRIC) {
        search_alike_access(t, at, n, write);
    }
    uintptr_t lock = side_of(t)->section;
    if (!lock) {
        return;
    }
    for (uintptr_t cell = at & ~(uintptr_t)7; cell < at + n; cell += 8) {
        unsigned mask = 0;
        for (unsigned i = 0; i < 8; i++) {
            mask |= (unsigned)(cell + i >= at && cell + i < at + n) << i;
        }
        touch(lock, t->id, cell, (uint8_t)mask, write);
    }
}

/* t is about to do something other than plain accesses. */
void search_section_ends(const struct thread *t) {
    if (side_of(t)->section) {
        search_reduce_not(SIM_REDUCE_LOCKS, side_of(t)->section);
    }
}

/* Called before an event. The order of a lock may stay open only if all events are calls that
 * always follow the newest one. */
void search_reduce_look(const struct thread *t, const struct want *w) {
    search_section_ends(t);
    bool call = w->kind == EVENT_CHOICE || (w->kind == EVENT_WRITE && w->exchange) ||
                (w->kind == EVENT_READ && !w->size &&
                 (w->read == READ_RMW || w->read == READ_LOCK || w->read == READ_RETURN));
    if (!call) {
        search_reduce_not(SIM_REDUCE_LOCKS, 0);
    }
}

/* True if the section that begins needs no event. */
bool search_section_begins(struct thread *t, uintptr_t object) {
    if (!(X.reduce & SIM_REDUCE_LOCKS) || keep_order(object)) {
        return false;
    }
    search_section_ends(t);
    side_of(t)->section = object;
    return true;
}

bool search_section_left(struct thread *t, uintptr_t object) {
    if (!object || side_of(t)->section != object) {
        return false;
    }
    side_of(t)->section = 0;
    return true;
}

/* A thread asks whether the lock is free. */
void search_section_asked(uintptr_t object) {
    if ((X.reduce & SIM_REDUCE_LOCKS) && !keep_order(object)) {
        search_reduce_not(SIM_REDUCE_LOCKS, object);
    }
}

/* ---- Barriers -------------------------------------------------------------------------------- */

bool explore_meets(uintptr_t object) {
    return S.exploring && (X.reduce & SIM_REDUCE_BARRIERS) && !keep_order(object);
}

_Noreturn void explore_meets_too_many(uintptr_t object) {
    search_reduce_not(SIM_REDUCE_BARRIERS, object);
}

void explore_arrives(struct thread *t, epoch *causes) {
    explore_effect(t);
    search_section_ends(t);
    explore_identity(); /* one thread learns that it is the serial thread */
    join_clock(causes, side_of(t)->causes);
}

/* t waits, without an event, until `ready`, and then depends on these causes. */
void explore_meet(struct thread *t, bool (*ready)(const struct thread *), const epoch *causes) {
    if (!ready(t)) {
        const struct want w = {.kind = 0, .ready = ready};
        t->state = T_LOCK;
        search_arrive(t, &w);
        t->state = T_READY;
    }
    join_clock(side_of(t)->causes, causes);
}

/* ---- Objects, independent of addresses ------------------------------------------------------- */

extern char __data_start[] __attribute__((weak));

/* Regions whose address differs between processes. */
static uintptr_t base_of(unsigned region) {
    return region == 1   ? S.memory
           : region == 2 ? (uintptr_t)S.stacks
           : region == 3 ? (uintptr_t)__data_start
                         : 0;
}

static uint64_t portable(uintptr_t object) {
    unsigned region = object - S.memory < S.memory_end - S.memory     ? 1
                      : object - (uintptr_t)S.stacks < S.stacks_bytes ? 2
                                                                      : 3;
    return ((object - base_of(region)) & (UINT64_MAX >> 2)) | (uint64_t)region << 62;
}

static uintptr_t object_of(uint64_t portable) {
    return base_of((unsigned)(portable >> 62)) + (uintptr_t)((int64_t)(portable << 2) >> 2);
}

/* ---- Reductions in the choices of a finding -------------------------------------------------- */

/* Writes the reductions of this search as choices, for the beginning of a replay. */
size_t search_reductions_put(uint16_t *out, size_t room) {
    size_t n = 0;
    uint16_t head[2] = {(uint16_t)X.reduce, (uint16_t)X.ordered_n};
    for (size_t i = 0; i < 2; i++, n++) {
        if (n < room) {
            out[n] = head[i];
        }
    }
    for (uint32_t i = 0; i < X.ordered_n; i++) {
        for (unsigned k = 0; k < 4; k++, n++) {
            if (n < room) {
                out[n] = (uint16_t)(portable(X.ordered[i]) >> 16 * k);
            }
        }
    }
    return n;
}

/* Reads them back; returns how many choices it took. */
size_t search_reductions_get(const uint16_t *from, size_t n) {
    if (n < 2) {
        return 0;
    }
    X.reduce = from[0] & (SIM_REDUCE_LOCKS | SIM_REDUCE_BARRIERS);
    X.ordered_n = 0;
    size_t at = 2;
    for (; X.ordered_n < from[1] && X.ordered_n < ORDERED_MAX && at + 4 <= n; at += 4) {
        uint64_t object = 0;
        for (unsigned k = 0; k < 4; k++) {
            object |= (uint64_t)from[at + k] << 16 * k;
        }
        X.ordered[X.ordered_n++] = object_of(object);
    }
    return at;
}
