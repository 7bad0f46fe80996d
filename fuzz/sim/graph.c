/* graph.c: execution graphs and the axioms of RC11 (Lahav, Vafeiadis, Kang, Hur, Dreyer, PLDI
 * 2017). Coherence and atomicity are enforced when an event is added; sequential consistency is
 * checked over the whole graph. */
#include "graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *p, size_t n, size_t size) {
    p = realloc(p, n * size);
    if (!p) {
        fprintf(stderr, "sim: out of memory\n");
        exit(2);
    }
    return p;
}

static void grow_events(struct graph *g, uint32_t n) {
    if (n <= g->room) {
        return;
    }
    while (g->room < n) {
        g->room = g->room ? g->room * 2 : 64;
    }
    g->events = grown(g->events, g->room, sizeof *g->events);
    g->clocks = grown(g->clocks, (size_t)g->room * CLOCKS * g->width, sizeof *g->clocks);
}

static void grow_locations(struct graph *g, uint32_t n) {
    if (n <= g->locations_room) {
        return;
    }
    while (g->locations_room < n) {
        g->locations_room = g->locations_room ? g->locations_room * 2 : 16;
    }
    g->locations = grown(g->locations, g->locations_room, sizeof *g->locations);
}

void graph_init(struct graph *g, uint32_t width) {
    *g = (struct graph){.width = width, .n = 1};
    g->first = grown(NULL, width, sizeof *g->first);
    g->last = grown(NULL, width, sizeof *g->last);
    g->parent = grown(NULL, width, sizeof *g->parent);
    g->nth = grown(NULL, width, sizeof *g->nth);
    grow_events(g, 64);
    memset(&g->events[0], 0, sizeof g->events[0]);
    memset(g->clocks, 0, sizeof *g->clocks * CLOCKS * width);
}

void graph_free(struct graph *g) {
    free(g->events);
    free(g->clocks);
    free(g->locations);
    free(g->first);
    free(g->last);
    free(g->parent);
    free(g->nth);
    memset(g, 0, sizeof *g);
}

static void copy_frame(struct graph *to, const struct graph *from) {
    to->threads_n = from->threads_n;
    to->locations_n = from->locations_n;
    grow_locations(to, from->locations_n);
    memcpy(to->parent, from->parent, from->threads_n * sizeof *to->parent);
    memcpy(to->nth, from->nth, from->threads_n * sizeof *to->nth);
}

void graph_copy(struct graph *to, const struct graph *from) {
    copy_frame(to, from);
    grow_events(to, from->n);
    to->n = from->n;
    to->fences_sc = from->fences_sc;
    to->accesses_sc = from->accesses_sc;
    memcpy(to->events, from->events, from->n * sizeof *to->events);
    memcpy(to->clocks, from->clocks, (size_t)from->n * CLOCKS * from->width * sizeof *to->clocks);
    memcpy(to->locations, from->locations, from->locations_n * sizeof *to->locations);
    memcpy(to->first, from->first, from->threads_n * sizeof *to->first);
    memcpy(to->last, from->last, from->threads_n * sizeof *to->last);
}

void graph_reserve(struct graph *g, uint32_t events, uint32_t locations) {
    grow_events(g, events);
    grow_locations(g, locations);
}

bool graph_is_sound(const struct graph *g) {
    for (event_id i = 1; i < g->n; i++) {
        const struct event *e = &g->events[i];
        if (e->thread >= g->threads_n || e->rf >= g->n || e->co_before >= g->n ||
            e->co_after >= g->n || e->same_before >= i || e->po_before >= i ||
            e->po_after >= g->n || (is_access(e) && e->location >= g->locations_n)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < g->locations_n; i++) {
        const struct location *l = &g->locations[i];
        if (l->oldest >= g->n || l->newest >= g->n || l->last >= g->n) {
            return false;
        }
    }
    for (uint32_t i = 0; i < g->threads_n; i++) {
        if (g->first[i] >= g->n || g->last[i] >= g->n || g->parent[i] >= g->threads_n) {
            return false;
        }
    }
    return true;
}

uint32_t graph_new_location(struct graph *g) {
    grow_locations(g, g->locations_n + 1);
    g->locations[g->locations_n] = (struct location){.last = 0};
    return g->locations_n++;
}

static void link_event(struct graph *g, event_id id) {
    struct event *e = &g->events[id];
    e->po_before = g->last[e->thread];
    e->po_after = 0;
    e->index = e->po_before ? g->events[e->po_before].index + 1 : 0;
    if (e->po_before) {
        g->events[e->po_before].po_after = id;
    } else {
        g->first[e->thread] = id;
    }
    g->last[e->thread] = id;
    if (is_access(e)) {
        e->same_before = g->locations[e->location].last;
        g->locations[e->location].last = id;
    }
}

event_id graph_add(struct graph *g, unsigned thread, enum event_kind kind, uint32_t location) {
    grow_events(g, g->n + 1);
    event_id id = g->n++;
    g->events[id] =
        (struct event){.kind = (uint8_t)kind, .thread = (uint8_t)thread, .location = location};
    link_event(g, id);
    return id;
}

void graph_place(struct graph *g, event_id w, event_id after) {
    struct event *e = &g->events[w];
    struct location *l = &g->locations[e->location];
    e->co_before = after;
    e->co_after = after ? g->events[after].co_after : l->oldest;
    e->co_place = place_of(g, after) + 1;
    if (after) {
        g->events[after].co_after = w;
    } else {
        l->oldest = w;
    }
    if (e->co_after) {
        g->events[e->co_after].co_before = w;
    } else {
        l->newest = w;
    }
    for (event_id i = e->co_after; i; i = g->events[i].co_after) {
        g->events[i].co_place++;
    }
}

void graph_unplace(struct graph *g, event_id w) {
    struct event *e = &g->events[w];
    struct location *l = &g->locations[e->location];
    if (!e->co_place) {
        return;
    }
    if (e->co_before) {
        g->events[e->co_before].co_after = e->co_after;
    } else {
        l->oldest = e->co_after;
    }
    if (e->co_after) {
        g->events[e->co_after].co_before = e->co_before;
    } else {
        l->newest = e->co_before;
    }
    e->co_place = 0;
}

static void count_sc(struct graph *g) {
    g->fences_sc = g->accesses_sc = 0;
    for (event_id i = 1; i < g->n; i++) {
        if (is_sc_event(&g->events[i])) {
            if (g->events[i].kind == EVENT_FENCE) {
                g->fences_sc++;
            } else {
                g->accesses_sc++;
            }
        }
    }
}

void graph_truncate(struct graph *g, uint32_t n) {
    bool any = g->n > n;
    while (g->n > n) {
        event_id id = --g->n;
        struct event *e = &g->events[id];
        if (e->kind == EVENT_WRITE) {
            graph_unplace(g, id);
        }
        if (is_access(e)) {
            g->locations[e->location].last = e->same_before;
        }
        g->last[e->thread] = e->po_before;
        if (e->po_before) {
            g->events[e->po_before].po_after = 0;
        } else {
            g->first[e->thread] = 0;
        }
    }
    while (g->locations_n && !g->locations[g->locations_n - 1].last) {
        g->locations_n--;
    }
    if (any) {
        count_sc(g);
    }
}

void graph_settle(struct event *r, uint64_t v) {
    r->value = v;
    r->ex = r->read == READ_RMW || r->read == READ_ENQUEUE ||
            ((r->read == READ_CAS || r->read == READ_LOCK) && v == r->expected);
    r->order = r->read == READ_CAS && !r->ex ? r->order_failure : r->order_success;
    if (r->read == READ_SPURIOUS) {
        r->order = r->order_failure;
    }
}

event_id graph_known(const struct graph *g, uint32_t location, const epoch *before) {
    event_id best = 0;
    uint32_t place = 0;
    for (event_id i = g->locations[location].last; i; i = g->events[i].same_before) {
        const struct event *e = &g->events[i];
        if (before[e->thread] < e->when || e->kind == EVENT_GHOST) {
            continue;
        }
        event_id w = e->kind == EVENT_WRITE ? i : e->rf;
        if (place_of(g, w) > place) {
            best = w;
            place = place_of(g, w);
        }
    }
    return best;
}

event_id graph_exchange_of(const struct graph *g, uint32_t location, event_id w) {
    for (event_id i = g->locations[location].last; i; i = g->events[i].same_before) {
        const struct event *e = &g->events[i];
        if (e->kind == EVENT_READ && e->ex && e->rf == w) {
            return i;
        }
    }
    return 0;
}

void graph_give_up_read(struct graph *g, event_id r) {
    struct event *e = &g->events[r];
    if (is_sc_event(e)) {
        g->accesses_sc--;
    }
    e->kind = EVENT_GHOST;
    e->order = __ATOMIC_RELAXED;
    e->ex = false;
}

/* The newest write to r's location, other than x, that was added before r or causes x. */
static event_id newest_before(const struct graph *g, event_id r, event_id x) {
    const epoch *causes = clock_of(g, x, CAUSES);
    event_id best = 0;
    for (event_id i = g->locations[g->events[r].location].last; i; i = g->events[i].same_before) {
        if (g->events[i].kind == EVENT_WRITE && i != x && (i < r || is_cause(g, causes, i)) &&
            place_of(g, i) > place_of(g, best)) {
            best = i;
        }
    }
    return best;
}

/* A revisit lets a read take x only if the read has taken the newest write before x. So step back
 * from x, one such write at a time: the ghost allows x if that leads to the write that the ghost
 * read. */
static bool ghost_allows(const struct graph *g, event_id ghost, event_id x) {
    while (x > ghost && x != g->events[ghost].rf) {
        x = newest_before(g, ghost, x);
    }
    return x == g->events[ghost].rf;
}

bool graph_ghosts_allow(const struct graph *g, event_id before, event_id w) {
    for (event_id i = before; i && g->events[i].kind == EVENT_GHOST; i = g->events[i].po_before) {
        if (!ghost_allows(g, i, w)) {
            return false;
        }
    }
    return true;
}

/* A sleeper must have compared a value at least as new as any write that is known to the queue's
 * events up to `last`. Otherwise a wake that came first would have told it of a newer value. */
bool graph_may_enqueue(const struct graph *g, event_id compared, event_id last) {
    const struct event *c = &g->events[compared];
    uint32_t seen = place_of(g, c->rf);
    for (event_id i = last; i; i = g->events[i].co_before) {
        if (place_of(g, graph_known(g, c->location, clock_of(g, i, AFTER))) > seen) {
            return false;
        }
    }
    return true;
}

/* ---- Sequential consistency ---------------------------------------------------------------------
 *
 * psc = psc_base u psc_F is acyclic, over the SC accesses and fences:
 *   scb      = po u po|!=loc;hb;po|!=loc u hb|=loc u mo u rb
 *   psc_base = ([E_sc] u [F_sc];hb?) ; scb ; ([E_sc] u hb?;[F_sc])
 *   psc_F    = [F_sc] ; (hb u hb;eco;hb) ; [F_sc] */

static inline bool happens_before(const struct graph *g, event_id a, event_id b) {
    return a != b && clock_of(g, b, AFTER)[g->events[a].thread] >= g->events[a].when;
}

static inline bool is_ghost(const struct graph *g, event_id e) {
    return g->events[e].kind == EVENT_GHOST;
}

static inline bool same_location(const struct event *a, const struct event *b) {
    return is_access(a) && is_access(b) && a->location == b->location;
}

/* When the thread of x reaches its next fence, or its next event on another location; 0: never.
 * Fences weaker than seq_cst are not events. */
static epoch next_other(const struct graph *g, event_id x) {
    for (event_id i = g->events[x].po_after; i; i = g->events[i].po_after) {
        const struct event *e = &g->events[i];
        if (e->fenced) {
            return e->fenced;
        }
        if (!is_ghost(g, i) && !same_location(e, &g->events[x])) {
            return e->when;
        }
    }
    return 0;
}

/* What happens before the last fence before y in its thread, or the last event on another location;
 * NULL: there is none. */
static const epoch *known_to_other(const struct graph *g, event_id y) {
    for (event_id i = y;;) {
        if (g->events[i].fenced) {
            return clock_of(g, i, BEFORE);
        }
        i = g->events[i].po_before;
        if (!i) {
            return NULL;
        }
        if (!is_ghost(g, i) && !same_location(&g->events[i], &g->events[y])) {
            return clock_of(g, i, AFTER);
        }
    }
}

/* Which write of its location an access reads or is, by position in modification order. */
static inline uint32_t place_seen(const struct graph *g, event_id e) {
    const struct event *p = &g->events[e];
    return place_of(g, p->kind == EVENT_WRITE ? e : p->rf);
}

static bool scb(const struct graph *g, event_id x, event_id y) {
    const struct event *a = &g->events[x], *b = &g->events[y];
    if (x == y) {
        return false;
    }
    if (a->thread == b->thread) {
        if (a->index < b->index) {
            return true;
        }
    } else if (happens_before(g, x, y)) {
        if (same_location(a, b)) {
            return true;
        }
        epoch from = next_other(g, x);
        const epoch *to = known_to_other(g, y);
        if (from && to && to[a->thread] >= from) {
            return true;
        }
    }
    if (b->kind != EVENT_WRITE || !same_location(a, b) || a->queued) {
        return false;
    }
    return a->kind == EVENT_WRITE ? a->co_place < b->co_place : place_of(g, a->rf) < b->co_place;
}

static bool eco(const struct graph *g, event_id x, event_id y) {
    const struct event *a = &g->events[x], *b = &g->events[y];
    if (x == y || !same_location(a, b) || a->queued) {
        return false;
    }
    uint32_t p = place_seen(g, x), q = place_seen(g, y);
    return p < q || (p == q && a->kind == EVENT_WRITE && b->kind == EVENT_READ);
}

/* Marks in `reached` the SC events that psc leads to directly from a. `middle` is scratch space. */
static void psc_from(const struct graph *g, event_id a, uint8_t *reached, uint8_t *middle) {
    bool fence = g->events[a].kind == EVENT_FENCE;
    memset(middle, 0, g->n);
    for (event_id x = 1; x < g->n; x++) {
        if ((x != a && (!fence || !happens_before(g, a, x))) || is_ghost(g, x)) {
            continue;
        }
        for (event_id y = 1; y < g->n; y++) {
            if (is_ghost(g, y)) {
                continue;
            }
            if (!(middle[y] & 1) && scb(g, x, y)) {
                middle[y] |= 1;
            }
            if (fence && x != a && !(middle[y] & 2) && eco(g, x, y)) {
                middle[y] |= 2;
            }
        }
    }
    for (event_id b = 1; b < g->n; b++) {
        const struct event *e = &g->events[b];
        reached[b] = 0;
        if (!is_sc_event(e)) {
            continue;
        }
        if (middle[b] & 1) {
            reached[b] = 1;
        }
        if (e->kind != EVENT_FENCE) {
            continue;
        }
        if (fence && happens_before(g, a, b)) {
            reached[b] = 1;
        }
        for (event_id y = 1; y < g->n && !reached[b]; y++) {
            if (middle[y] && happens_before(g, y, b)) {
                reached[b] = 1;
            }
        }
    }
}

bool graph_order_matters(const struct graph *g, event_id e) {
    uint32_t all = g->fences_sc + g->accesses_sc;
    return all >= 2 && (g->fences_sc || is_sc_event(&g->events[e]));
}

bool graph_is_consistent(const struct graph *g) {
    static uint8_t *reach, *middle;
    static uint32_t *list, room;
    if (room < g->n) {
        room = g->n * 2;
        middle = grown(middle, room, 1);
        list = grown(list, room, sizeof *list);
    }
    uint32_t k = 0;
    for (event_id i = 1; i < g->n; i++) {
        if (is_sc_event(&g->events[i])) {
            list[k++] = i;
        }
    }
    if (k < 2) {
        return true;
    }
    reach = grown(reach, (size_t)(k + 1) * g->n, 1);
    for (uint32_t i = 0; i < k; i++) {
        psc_from(g, list[i], reach + (size_t)i * g->n, middle);
    }
    /* Remove events without predecessors until nothing is left, or only cycles. */
    for (uint32_t left = k; left;) {
        uint32_t kept = 0;
        for (uint32_t i = 0; i < k; i++) {
            if (!list[i]) {
                continue;
            }
            bool preceded = false;
            for (uint32_t j = 0; j < k && !preceded; j++) {
                preceded = list[j] && reach[(size_t)j * g->n + list[i]];
            }
            if (!preceded) {
                list[i] = 0;
            } else {
                kept++;
            }
        }
        if (kept == left) {
            return false;
        }
        left = kept;
    }
    return true;
}

/* ---- Revisits -------------------------------------------------------------------------------- */

bool graph_is_maximal(const struct graph *g, event_id id, event_id w) {
    const epoch *causes = clock_of(g, w, CAUSES);
    const struct event *e = &g->events[id];
    if (e->kind == EVENT_FENCE) {
        return true;
    }
    if (e->kind == EVENT_CHOICE) {
        return e->value == 0;
    }
    if (e->kind == EVENT_GHOST) {
        return ghost_allows(g, id, newest_before(g, id, w));
    }
    event_id stands = e->kind == EVENT_READ ? e->rf : id;
    if (e->kind == EVENT_READ && stands && stands > id && !is_cause(g, causes, stands)) {
        return false;
    }
    if (e->read == READ_WOKEN) {
        return true;
    }
    for (event_id i = stands ? g->events[stands].co_after : g->locations[e->location].oldest; i;
         i = g->events[i].co_after) {
        if (i < id || (i != w && is_cause(g, causes, i))) {
            return false;
        }
    }
    if (e->kind == EVENT_WRITE) {
        for (event_id i = g->locations[e->location].last; i; i = g->events[i].same_before) {
            const struct event *r = &g->events[i];
            if (is_read(r) && r->rf == id && (i < id || is_cause(g, causes, i))) {
                return false;
            }
        }
    }
    return true;
}

void graph_revisit(struct graph *to, const struct graph *from, event_id r, event_id w,
                   event_id after) {
    static event_id *number;
    static uint32_t *place, room, places;
    assert(from->n > w && from->locations_n > 0);
    if (room < from->n) {
        room = from->n * 2;
        number = grown(number, room, sizeof *number);
    }
    if (places < from->locations_n) {
        places = from->locations_n * 2;
        place = grown(place, places, sizeof *place);
    }
    const epoch *causes = clock_of(from, w, CAUSES);
    copy_frame(to, from);
    grow_events(to, from->n);
    to->n = 1;
    to->locations_n = 0;
    memset(to->first, 0, to->threads_n * sizeof *to->first);
    memset(to->last, 0, to->threads_n * sizeof *to->last);
    memset(place, 0xff, from->locations_n * sizeof *place);
    number[0] = 0;
    for (event_id i = 1; i < from->n; i++) {
        number[i] = 0;
        if (i != w && i > r && !is_cause(from, causes, i)) {
            continue;
        }
        struct event e = from->events[i];
        if (is_access(&e)) {
            if (place[e.location] == UINT32_MAX) {
                place[e.location] = graph_new_location(to);
            }
            e.location = place[e.location];
        }
        event_id id = number[i] = to->n++;
        to->events[id] = e;
        memcpy(clock_of(to, id, 0), clock_of(from, i, 0), sizeof(epoch) * CLOCKS * to->width);
        link_event(to, id);
    }
    for (uint32_t l = 0; l < from->locations_n; l++) {
        event_id last = 0;
        for (event_id i = from->locations[l].oldest; i; i = from->events[i].co_after) {
            if (number[i] && i != w) {
                graph_place(to, number[i], last);
                last = number[i];
            }
        }
    }
    graph_place(to, number[w], number[after]);
    for (event_id i = 1; i < to->n; i++) {
        if (is_read(&to->events[i])) {
            to->events[i].rf = number[to->events[i].rf];
        }
    }
    struct event *read = &to->events[number[r]];
    read->rf = number[w];
    read->redo = true;
    if (read->read == READ_RETURN) {
        read->ex = false;
    } else {
        graph_settle(read, to->events[number[w]].value);
    }
    count_sc(to);
}
