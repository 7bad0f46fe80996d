/* machine.c: the memory machine of the random sources: RC11 without load buffering, as views over
 * message lists (README.md).
 *
 * cur, acq and rel of a thread map each atom to the oldest message that the thread may still read;
 * H and aH are happens-before clocks. Views and clocks are separate because the order of SC fences
 * is not happens-before. acq holds only what cur does not yet know (from reads that were not
 * acquire). */
#include "internal.h"

#include <string.h>

static inline bool is_acquire(int o) {
    return o == __ATOMIC_ACQUIRE || o == __ATOMIC_CONSUME || o >= __ATOMIC_ACQ_REL;
}
static inline bool is_release(int o) {
    return o >= __ATOMIC_RELEASE;
}
static inline bool is_sc(int o) {
    return o == __ATOMIC_SEQ_CST;
}

static inline bool older(uint32_t a, uint32_t b) {
    return S.msgs[a].pos < S.msgs[b].pos;
}

/* a := the newer of a and b. Branch-free, because the branch would be unpredictable. */
static inline void raise(uint32_t *a, uint32_t b) {
    *a = older(*a, b) ? b : *a;
}

static inline void raise_view(uint32_t *view, const uint32_t *by, uint32_t n) {
    for (uint32_t x = 1; x < n; x++) {
        raise(&view[x], by[x]);
    }
}

/* Clocks have a multiple of four entries (clock_width()). No epoch reaches 2^31, so signed
 * comparison works. */
static inline void raise_clock(epoch *clock, const epoch *by, uint32_t n) {
    typedef int32_t four __attribute__((vector_size(16), aligned(4), may_alias));
    for (uint32_t i = 0; i < n; i += 4) {
        four *a = (four *)(clock + i), b = *(const four *)(by + i), later = b > *a;
        *a = (b & later) | (*a & ~later);
    }
}

void snap_join(const struct snap *s, uint32_t *view, epoch *clock) {
    if (!s) {
        return;
    }
    raise_clock(clock, s->data, s->clock_n);
    raise_view(view, s->data + s->clock_n, s->view_n);
}

/* t learns everything that the ended thread knew. */
void learn_of(struct thread *t, const struct thread *ended) {
    raise_clock(t->H, ended->H, clock_width());
    if (!S.exploring) {
        raise_view(t->cur, ended->cur, S.atoms_n);
    }
}

static struct snap *snap_make(const uint32_t *view, const epoch *clock) {
    uint32_t cn = clock_width(), vn = S.exploring ? 0 : S.atoms_n;
    struct snap *s = arena_alloc(sizeof *s + (cn + vn) * sizeof(uint32_t));
    s->clock_n = cn;
    s->view_n = vn;
    for (uint32_t i = 0; i < cn; i += 4) {
        memcpy(s->data + i, clock + i, 4 * sizeof *clock);
    }
    for (uint32_t i = 0; i < vn; i++) {
        s->data[cn + i] = view[i];
    }
    return s;
}

const struct snap *snapshot(struct thread *t) {
    return snap_make(t->cur, t->H);
}

/* The union of two snapshots; either may be NULL. */
static const struct snap *snap_union(const struct snap *a, const struct snap *b) {
    if (!a || a == b) {
        return b;
    }
    if (!b) {
        return a;
    }
    uint32_t cn = clock_width(), vn = S.atoms_n;
    struct snap *s = arena_alloc(sizeof *s + (cn + vn) * sizeof(uint32_t));
    s->clock_n = cn;
    s->view_n = vn;
    memset(s->data, 0, (cn + vn) * sizeof(uint32_t));
    snap_join(a, s->data + cn, s->data);
    snap_join(b, s->data + cn, s->data);
    return s;
}

void machine_reset(void) {
    S.atoms_n = 1; /* atom 0 and message 0 are dummies */
    S.msgs_n = 1;
    S.msgs[0].pos = 0;
    S.sc_used = false;
    S.arena_at = S.arena;
}

static uint32_t new_msg(struct atom *a, uint64_t value, uintptr_t pc) {
    if (unlikely(S.msgs_n >= MSGS_MAX)) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    uint32_t m = S.msgs_n++;
    struct msg *p = &S.msgs[m];
    p->value = value;
    p->sync = p->own = NULL;
    p->pc = pc;
    p->serial = a->created++;
    p->when = 0;
    p->step = 0;
    p->thread = 0;
    p->is_rmw = p->taken = false;
    return m;
}

uint64_t memory_read(uintptr_t at, unsigned size) {
    uint64_t v = 0;
    switch (size) {
    case 1:
        return *(volatile uint8_t *)at;
    case 2:
        return *(volatile uint16_t *)at;
    case 4:
        return *(volatile uint32_t *)at;
    case 8:
        return *(volatile uint64_t *)at;
    default:
        memcpy(&v, (const void *)at, size);
        return v;
    }
}

void memory_write(uintptr_t at, unsigned size, uint64_t v) {
    switch (size) {
    case 1:
        *(volatile uint8_t *)at = (uint8_t)v;
        break;
    case 2:
        *(volatile uint16_t *)at = (uint16_t)v;
        break;
    case 4:
        *(volatile uint32_t *)at = (uint32_t)v;
        break;
    default:
        *(volatile uint64_t *)at = v;
        break;
    }
}

static inline uint64_t truncate_to(uint64_t v, unsigned size) {
    return size == 8 ? v : v & ((UINT64_C(1) << (size * 8)) - 1);
}

static uint32_t atom_new(struct cell *c, uintptr_t at, unsigned size) {
    if (unlikely(S.atoms_n >= ATOMS_MAX)) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    uint32_t x = S.atoms_n++;
    struct atom *a = &S.atoms[x];
    a->at = at;
    a->size = (uint8_t)size;
    a->created = 0;
    a->gw = a->gfw = 0;
    a->overwritten = false;
    a->next = c->atoms;
    c->atoms = x;
    for (uint32_t i = 0; i < S.threads_n; i++) {
        S.threads[i].cur[x] = S.threads[i].acq[x] = 0;
    }
    S.gf[x] = 0;
    uint32_t m = new_msg(a, memory_read(at, size), 0);
    S.msgs[m].prev = 0;
    S.msgs[m].pos = 1;
    a->last = m;
    return x;
}

/* A plain write came in between: only racing threads could still read an older message. */
static void atom_restart(struct atom *a) {
    uint32_t m = new_msg(a, memory_read(a->at, a->size), a->pc);
    struct msg *p = &S.msgs[m];
    p->prev = 0;
    p->pos = S.msgs[a->last].pos + 1;
    p->thread = a->by;
    p->when = a->when;
    a->last = m;
    a->overwritten = false;
}

/* The atom of exactly these bytes, made if needed; 0 if atoms of other sizes overlap them. */
static inline uint32_t atom_at(struct cell *c, uintptr_t at, unsigned size) {
    uint32_t x = c->atoms;
    if (likely(x && S.atoms[x].at == at && S.atoms[x].size == size)) {
        if (unlikely(S.atoms[x].overwritten)) {
            atom_restart(&S.atoms[x]);
        }
        return x;
    }
    for (; x; x = S.atoms[x].next) {
        struct atom *a = &S.atoms[x];
        if (a->at == at && a->size == size) {
            if (a->overwritten) {
                atom_restart(a);
            }
            return x;
        }
        if (a->at < at + size && at < a->at + a->size) {
            return 0;
        }
    }
    return atom_new(c, at, size);
}

/* ---- Overlapping atomics of different sizes: newest value, for all overlapped atoms ---------- */

/* Makes atoms for the bytes of [at, at + size) that have none, so that every byte takes part. */
static void cover_gaps(struct cell *c, uintptr_t at, unsigned size) {
    uint8_t covered = 0;
    for (uint32_t x = c->atoms; x; x = S.atoms[x].next) {
        covered |= (uint8_t)(((1u << S.atoms[x].size) - 1) << (S.atoms[x].at & 7));
    }
    for (unsigned i = 0; i < size;) {
        unsigned off = (unsigned)(at & 7) + i;
        if (covered >> off & 1) {
            i++;
            continue;
        }
        unsigned n = 1;
        while (off % (2 * n) == 0 && i + 2 * n <= size && !(covered >> off & ((1u << 2 * n) - 1))) {
            n *= 2;
        }
        atom_new(c, at + i, n);
        i += n;
    }
}

static void mixed_begin(struct cell *c, uintptr_t at, unsigned size, uintptr_t pc) {
    S.mixed++;
    if (S.o.refuse_mixed) {
        found("mixed-size-atomic",
              "an atomic access of %u bytes at %p overlaps one of another size\n  @%lx", size,
              (void *)at, (unsigned long)pc);
    }
    cover_gaps(c, at, size);
    for (uint32_t x = c->atoms; x; x = S.atoms[x].next) {
        if (S.atoms[x].overwritten) {
            atom_restart(&S.atoms[x]);
        }
    }
}

#define for_overlapping(x, c, at_, size_)                 \
    for (uint32_t x = (c)->atoms; x; x = S.atoms[x].next) \
        if (S.atoms[x].at < (at_) + (size_) && (at_) < S.atoms[x].at + S.atoms[x].size)

static void learn(struct thread *t, uint32_t x, uint32_t m, int order);

static uint64_t mixed_load(struct thread *t, struct cell *c, uintptr_t at, unsigned size,
                           int order) {
    for_overlapping(x, c, at, size) {
        learn(t, x, S.atoms[x].last, order);
    }
    return memory_read(at, size);
}

static uint32_t place(struct thread *t, uint32_t x, uint32_t after, uint64_t value, int order,
                      const struct snap *chain, bool rmw, uintptr_t pc);

static void mixed_store(struct thread *t, struct cell *c, uintptr_t at, unsigned size,
                        uint64_t value, int order, bool rmw, uintptr_t pc) {
    memory_write(at, size, value);
    for_overlapping(x, c, at, size) {
        struct atom *a = &S.atoms[x];
        const struct snap *chain = rmw ? S.msgs[a->last].sync : NULL;
        if (rmw) {
            S.msgs[a->last].taken = true;
        }
        place(t, x, a->last, memory_read(a->at, a->size), order, chain, rmw, pc);
    }
}

/* ---- The rules ------------------------------------------------------------------------------- */

/* The oldest position that t may read, or write after. */
static inline uint32_t bound_pos(const struct thread *t, uint32_t x, bool sc) {
    uint32_t b = S.msgs[t->cur[x]].pos;
    if (unlikely(S.sc_used) && sc) {
        const struct atom *a = &S.atoms[x];
        if (S.msgs[a->gw].pos > b) {
            b = S.msgs[a->gw].pos;
        }
        if (S.msgs[a->gfw].pos > b) {
            b = S.msgs[a->gfw].pos;
        }
    }
    return b;
}

/* t reads message m of x with this order. */
static inline void learn(struct thread *t, uint32_t x, uint32_t m, int order) {
    const struct msg *p = &S.msgs[m];
    raise(&t->cur[x], m);
    if (!p->sync) {
        return;
    }
    if (is_acquire(order)) {
        snap_join(p->sync, t->cur, t->H);
    } else {
        snap_join(p->sync, t->acq, t->aH);
    }
}

/* Notes whether t sees something new, and counts the pair of sites for coverage. */
static inline void noticed(struct thread *t, uint32_t before, uint32_t m, uintptr_t pc) {
    const struct msg *p = &S.msgs[m];
    if (before != m && p->thread != t->id && p->value != S.msgs[before].value) {
        saw_new(t);
    }
    if (S.coverage && p->pc && p->thread != t->id) {
        uint64_t h = ((uint64_t)p->pc * UINT64_C(0x9E3779B97F4A7C15)) ^
                     ((uint64_t)pc * UINT64_C(0xC2B2AE3D27D4EB4F));
        uint8_t *k = &sim_coverage[(h >> 40) % SIM_COVERAGE_N];
        if (*k != 255) {
            ++*k;
        }
    }
}

/* Inserts a new message right after another, with what its order publishes. */
static uint32_t place(struct thread *t, uint32_t x, uint32_t after, uint64_t value, int order,
                      const struct snap *chain, bool rmw, uintptr_t pc) {
    struct atom *a = &S.atoms[x];
    S.wrote = S.steps;
    if (unlikely(S.stalls)) {
        stall_atomic(a->at, value);
    }
    uint32_t m = new_msg(a, value, pc);
    struct msg *p = &S.msgs[m];
    p->thread = t->id;
    p->when = t->H[t->id];
    p->step = S.steps;
    p->is_rmw = rmw;
    p->prev = after;
    p->pos = S.msgs[after].pos + 1;
    if (after == a->last) {
        a->last = m;
        memory_write(a->at, a->size, value);
    } else {
        uint32_t q = a->last;
        for (;; q = S.msgs[q].prev) {
            S.msgs[q].pos++;
            if (S.msgs[q].prev == after) {
                break;
            }
        }
        S.msgs[q].prev = m;
    }
    t->cur[x] = m;
    p->own = is_release(order) ? snapshot(t) : t->rel;
    p->sync = snap_union(p->own, chain);
    if (is_sc(order)) {
        raise(&a->gw, m);
        S.sc_used = true;
    }
    return m;
}

/* C11: a later store by the thread that heads a release sequence continues it, as long as only its
 * own stores and RMWs of any thread lie between. */
static const struct snap *c11_sequence(const struct thread *t, uint32_t after) {
    const struct snap *all = NULL;
    for (uint32_t i = after; i; i = S.msgs[i].prev) {
        const struct msg *p = &S.msgs[i];
        bool mine = p->when && p->thread == t->id;
        if (!mine && !p->is_rmw) {
            break;
        }
        if (mine) {
            all = snap_union(all, p->own);
        }
    }
    return all;
}

/* Candidate messages of an access, newest first. */
#define LIST_MAX 4096
static uint32_t list[LIST_MAX];
#define SPURIOUS (1u << 31) /* flag of a candidate: fails spuriously on this message */
#define MESSAGE (SPURIOUS - 1)

static inline bool room(uint32_t n) {
    if (likely(n < S.o.messages_max)) {
        return true;
    }
    S.bounds |= SIM_BOUND_MESSAGES;
    return false;
}

/* Whether this thread reads old values of location x, in a sticky run. A look at several locations
 * of which one is new and the others are old is as probable there as any other. */
static bool reads_old(const struct thread *t, uint32_t x) {
    uint64_t h = (S.o.seed ^ ((uint64_t)t->id << 32 | x)) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
    return h >> 63;
}

/* Picks one of the first n candidates. */
static uint32_t choose_message(const struct thread *t, uint32_t n) {
    return list[n > 1 && !t->eager ? choose(n) : 0];
}

/* The same for a load of location x. */
static uint32_t choose_seen(const struct thread *t, uint32_t x, uint32_t n) {
    if (likely(!S.o.sticky) || n <= 1 || t->eager) {
        return choose_message(t, n);
    }
    const uint32_t c = reads_old(t, x) ? n - 1 : 0;
    record_choice(c);
    return list[c];
}

static inline void trace_read(const struct thread *t, uint32_t x, uint32_t m, struct line *l) {
    const struct msg *p = &S.msgs[m], *n = &S.msgs[S.atoms[x].last];
    (void)t;
    l->value = p->value;
    l->from = p->thread;
    l->from_step = p->step;
    if (p != n) {
        l->stale = true;
        l->skipped = n->value;
        l->skipped_by = n->thread;
        l->skipped_step = n->step;
    }
}

static void check_order(int order, const char *what, unsigned bad_bits) {
    if (order < 0 || order > __ATOMIC_SEQ_CST || (bad_bits >> order & 1)) {
        found("invalid-order", "memory order %d is not allowed for %s", order, what);
    }
}

uint64_t load_atomic(uintptr_t at, unsigned size, int order, uintptr_t pc) {
    struct thread *t = S.now;
    order &= 0xff;
    check_order(order, "a load", 1u << __ATOMIC_RELEASE | 1u << __ATOMIC_ACQ_REL);
    if (unlikely(S.exploring)) {
        return explore_load(t, at, size, order, pc);
    }
    t->pending = (struct op){.at = at, .pc = pc, .kind = OP_LOAD, .reads = true};
    point(t);
    struct cell *c = access_atomic(at, size, false, pc);
    uint32_t x = atom_at(c, at, size), m;
    uint64_t value;
    if (unlikely(!x)) {
        mixed_begin(c, at, size, pc);
        value = mixed_load(t, c, at, size, order);
        m = 0;
    } else {
        struct atom *a = &S.atoms[x];
        uint32_t before = t->cur[x];
        m = a->last;
        if (likely(before != m)) {
            uint32_t b = bound_pos(t, x, is_sc(order)), n = 0;
            for (uint32_t i = m; i && S.msgs[i].pos >= b; i = S.msgs[i].prev) {
                if (!room(n) || n == LIST_MAX) {
                    break;
                }
                list[n++] = i;
            }
            m = choose_seen(t, x, n);
        }
        value = S.msgs[m].value;
        noticed(t, before, m, pc);
        learn(t, x, m, order);
    }
    if (unlikely(S.tracing)) {
        struct line l = access_line(LINE_LOAD, t, at, size, order, pc);
        l.value = value;
        if (x) {
            trace_read(t, x, m, &l);
        }
        trace_add(l);
    }
    t->H[t->id]++;
    return value;
}

void store_atomic(uintptr_t at, unsigned size, uint64_t value, int order, uintptr_t pc) {
    struct thread *t = S.now;
    order &= 0xff;
    check_order(order, "a store",
                1u << __ATOMIC_ACQUIRE | 1u << __ATOMIC_ACQ_REL | 1u << __ATOMIC_CONSUME);
    value = truncate_to(value, size);
    if (unlikely(S.exploring)) {
        explore_store(t, at, size, value, order, pc);
        return;
    }
    t->pending = (struct op){.at = at, .pc = pc, .kind = OP_STORE, .writes = true};
    point(t);
    struct cell *c = access_atomic(at, size, true, pc);
    uint32_t x = atom_at(c, at, size);
    bool inserted = false;
    if (unlikely(!x)) {
        mixed_begin(c, at, size, pc);
        mixed_store(t, c, at, size, value, order, false, pc);
    } else {
        struct atom *a = &S.atoms[x];
        uint32_t after = a->last;
        if (t->cur[x] != after && !t->eager) {
            uint32_t b = bound_pos(t, x, is_sc(order)), n = 0;
            for (uint32_t i = after; i && S.msgs[i].pos >= b; i = S.msgs[i].prev) {
                if (!room(n) || n == LIST_MAX) {
                    break;
                }
                if (!S.msgs[i].taken) {
                    list[n++] = i;
                }
            }
            if (n > 1) {
                after = list[choose(n)];
            }
            inserted = after != a->last;
        }
        place(t, x, after, value, order, S.o.c11_release_sequence ? c11_sequence(t, after) : NULL,
              false, pc);
    }
    if (unlikely(S.tracing)) {
        struct line l = access_line(LINE_STORE, t, at, size, order, pc);
        l.wrote = value;
        l.inserted = inserted;
        trace_add(l);
    }
    t->H[t->id]++;
}

static uint64_t apply(enum sim_rmw op, uint64_t old, uint64_t operand) {
    if (op == SIM_MAX) {
        return old > operand ? old : operand;
    }
    switch (op) {
    case SIM_XCHG:
        return operand;
    case SIM_ADD:
        return old + operand;
    case SIM_SUB:
        return old - operand;
    case SIM_AND:
        return old & operand;
    case SIM_OR:
        return old | operand;
    case SIM_XOR:
        return old ^ operand;
    case SIM_NAND:
        return ~(old & operand);
    }
    return operand;
}

uint64_t rmw_result(enum sim_rmw op, uint64_t old, uint64_t operand, unsigned size) {
    uint64_t new = apply(op, old, operand);
    return size ? truncate_to(new, size) : new;
}

/* t reads m as the first half of an RMW and puts value right after it. */
static void exchange(struct thread *t, uint32_t x, uint32_t m, uint64_t value, int order,
                     uintptr_t pc) {
    learn(t, x, m, order);
    S.msgs[m].taken = true;
    bool has_all = is_acquire(order) && is_release(order); /* cur already holds what m publishes */
    place(t, x, m, value, order, has_all ? NULL : S.msgs[m].sync, true, pc);
}

uint64_t atomic_rmw(uintptr_t at, unsigned size, enum sim_rmw rmw, uint64_t operand, int order,
                    uintptr_t pc) {
    struct thread *t = S.now;
    order &= 0xff;
    check_order(order, "a read-modify-write", 0);
    if (unlikely(S.exploring)) {
        return explore_rmw(t, at, size, rmw, operand, order, pc);
    }
    t->pending = (struct op){.at = at, .pc = pc, .kind = OP_RMW, .reads = true, .writes = true};
    point(t);
    struct cell *c = access_atomic(at, size, true, pc);
    uint32_t x = atom_at(c, at, size), m = 0;
    uint64_t old, new;
    struct line l = access_line(LINE_RMW, t, at, size, order, pc);
    if (unlikely(!x)) {
        mixed_begin(c, at, size, pc);
        l.value = old = mixed_load(t, c, at, size, order);
        new = truncate_to(apply(rmw, old, operand), size);
        mixed_store(t, c, at, size, new, order, true, pc);
    } else {
        struct atom *a = &S.atoms[x];
        uint32_t before = t->cur[x];
        m = a->last;
        if (before != m) {
            uint32_t b = bound_pos(t, x, is_sc(order)), n = 0;
            for (uint32_t i = m; i && S.msgs[i].pos >= b; i = S.msgs[i].prev) {
                if (!room(n) || n == LIST_MAX) {
                    break;
                }
                if (!S.msgs[i].taken) {
                    list[n++] = i;
                }
            }
            m = choose_message(t, n);
        }
        old = S.msgs[m].value;
        new = truncate_to(apply(rmw, old, operand), size);
        if (unlikely(S.tracing)) {
            trace_read(t, x, m, &l);
        }
        noticed(t, before, m, pc);
        exchange(t, x, m, new, order, pc);
    }
    if (unlikely(S.tracing)) {
        l.wrote = new;
        trace_add(l);
    }
    t->H[t->id]++;
    return old;
}

/* Lists the candidates of a compare-exchange: success or failure on each message, newest first,
 * then spurious failures. Returns how many. */
static uint32_t cas_candidates(const struct thread *t, uint32_t x, uint64_t expected, bool weak,
                               int order, int failure_order) {
    uint32_t b_ok = bound_pos(t, x, is_sc(order)), b_no = bound_pos(t, x, is_sc(failure_order)),
             n = 0;
    uint32_t low = b_ok < b_no ? b_ok : b_no;
    for (uint32_t i = S.atoms[x].last; i && S.msgs[i].pos >= low; i = S.msgs[i].prev) {
        const struct msg *p = &S.msgs[i];
        if (!room(n) || n == LIST_MAX) {
            return n;
        }
        bool equal = p->value == expected;
        if (equal ? p->pos >= b_ok && !p->taken : p->pos >= b_no) {
            list[n++] = i;
        }
    }
    if (!weak || t->spurious >= S.o.spurious_max) {
        return n;
    }
    for (uint32_t i = S.atoms[x].last; i && S.msgs[i].pos >= b_no; i = S.msgs[i].prev) {
        if (!room(n) || n == LIST_MAX) {
            return n;
        }
        if (S.msgs[i].value == expected) {
            list[n++] = i | SPURIOUS;
        }
    }
    return n;
}

uint64_t atomic_cas(uintptr_t at, unsigned size, uint64_t expected, uint64_t desired, bool weak,
                    int order, int failure_order, bool *failed, uintptr_t pc) {
    struct thread *t = S.now;
    order &= 0xff;
    failure_order &= 0xff;
    check_order(order, "a compare-exchange", 0);
    check_order(failure_order, "a failing compare-exchange",
                1u << __ATOMIC_RELEASE | 1u << __ATOMIC_ACQ_REL);
    expected = truncate_to(expected, size);
    desired = truncate_to(desired, size);
    if (unlikely(S.exploring)) {
        bool no;
        return explore_cas(t, at, size, expected, desired, weak || S.o.cas_weak, order,
                           failure_order, failed ? failed : &no, pc);
    }
    t->pending = (struct op){.at = at, .pc = pc, .kind = OP_CAS, .reads = true, .writes = true};
    point(t);
    struct cell *c = access_atomic(at, size, true, pc);
    uint32_t x = atom_at(c, at, size), m = 0;
    uint64_t old;
    bool ok;
    struct line l = access_line(LINE_CAS, t, at, size, order, pc);
    if (unlikely(!x)) {
        mixed_begin(c, at, size, pc);
        ok = memory_read(at, size) == expected;
        l.value = old = mixed_load(t, c, at, size, ok ? order : failure_order);
        if (ok) {
            mixed_store(t, c, at, size, desired, order, true, pc);
        }
    } else {
        uint32_t before = t->cur[x];
        uint32_t pick = choose_message(
            t, cas_candidates(t, x, expected, weak || S.o.cas_weak, order, failure_order));
        bool spurious = (pick & SPURIOUS) != 0;
        m = pick & MESSAGE;
        old = S.msgs[m].value;
        ok = old == expected && !spurious;
        if (spurious) {
            t->spurious++;
        }
        if (unlikely(S.tracing)) {
            trace_read(t, x, m, &l);
        }
        noticed(t, before, m, pc);
        if (ok) {
            exchange(t, x, m, desired, order, pc);
        } else {
            learn(t, x, m, failure_order);
        }
    }
    if (failed) {
        *failed = !ok;
    }
    if (unlikely(S.tracing)) {
        l.failed = !ok;
        l.wrote = desired;
        trace_add(l);
    }
    t->H[t->id]++;
    return old;
}

/* Raises gfw of each atom to the latest write that happens before the fence: by H, not by cur. */
static void publish_known_writes(const struct thread *t) {
    for (uint32_t x = 1; x < S.atoms_n; x++) {
        uint32_t m = S.atoms[x].last;
        while (m && S.msgs[m].when > t->H[S.msgs[m].thread]) {
            m = S.msgs[m].prev;
        }
        if (m) {
            raise(&S.atoms[x].gfw, m);
        }
    }
}

void atomic_fence(int order, uintptr_t pc) {
    struct thread *t = S.now;
    order &= 0xff;
    check_order(order, "a fence", 0);
    if (order == __ATOMIC_RELAXED) {
        return;
    }
    if (S.exploring) {
        explore_fence(t, order, pc);
        return;
    }
    if (is_sc(order)) { /* other fences affect only t */
        t->pending = (struct op){.kind = OP_FENCE};
        point(t);
    }
    if (is_acquire(order)) {
        raise_view(t->cur, t->acq, S.atoms_n);
        raise_clock(t->H, t->aH, clock_width());
    }
    if (is_sc(order)) {
        S.sc_used = true;
        for (uint32_t x = 1; x < S.atoms_n; x++) {
            raise(&t->cur[x], S.atoms[x].gw);
            raise(&t->cur[x], S.gf[x]);
            raise(&S.gf[x], t->cur[x]);
            raise(&t->acq[x], t->cur[x]);
        }
        publish_known_writes(t);
    }
    if (is_release(order)) {
        t->rel = snapshot(t);
    }
    if (unlikely(S.tracing)) {
        trace_add(
            (struct line){.kind = LINE_FENCE, .order = (uint8_t)order, .pc = pc, .thread = t->id});
    }
    t->H[t->id]++;
}

void fence_everywhere(void) {
    for (uint32_t x = 1; x < S.atoms_n; x++) {
        uint32_t newest = S.gf[x];
        for (uint32_t i = 0; i < S.threads_n; i++) {
            raise(&newest, S.threads[i].cur[x]);
        }
        S.gf[x] = newest;
        for (uint32_t i = 0; i < S.threads_n; i++) {
            S.threads[i].cur[x] = newest;
        }
    }
}

uint64_t read_newest(uintptr_t at, unsigned size, uintptr_t pc) {
    struct thread *t = S.now;
    struct cell *c = access_atomic(at, size, false, pc);
    uint32_t x = atom_at(c, at, size);
    if (!x) {
        mixed_begin(c, at, size, pc);
        return mixed_load(t, c, at, size, __ATOMIC_RELAXED);
    }
    uint32_t m = S.atoms[x].last;
    noticed(t, t->cur[x], m, pc);
    learn(t, x, m, __ATOMIC_RELAXED);
    return S.msgs[m].value;
}

/* ---- Atoms of the search: no messages, only the link to a location of the graph -------------- */

static uint32_t atom_plain(void) {
    if (unlikely(S.atoms_n >= ATOMS_MAX)) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    S.atoms[S.atoms_n] = (struct atom){.at = 0};
    return S.atoms_n++;
}

uint32_t atom_of_object(void) {
    return atom_plain();
}

uint32_t atom_of_memory(uintptr_t at, unsigned size, bool write, uintptr_t pc) {
    struct cell *c = access_atomic(at, size, write, pc);
    for (uint32_t x = c->atoms; x; x = S.atoms[x].next) {
        struct atom *a = &S.atoms[x];
        if (a->at == at && a->size == size) {
            if (a->overwritten) { /* by a plain write: a new location from now on */
                a->overwritten = false;
                a->location = 0;
                a->owner = 0;
                a->initial = memory_read(at, size);
            }
            return x;
        }
        if (a->at < at + size && at < a->at + a->size) {
            explore_mixed(at);
        }
    }
    uint32_t x = atom_plain();
    struct atom *a = &S.atoms[x];
    a->at = at;
    a->size = (uint8_t)size;
    a->initial = memory_read(at, size);
    a->next = c->atoms;
    c->atoms = x;
    return x;
}
