/* search_share.c: the state of a search, saved: shared between processes, or written to a
 * checkpoint. */
#include "search.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Places: saved states of a search -------------------------------------------------------- */

void search_place_free(struct place *p) {
    for (uint32_t i = 0; i < p->frames_n; i++) {
        graph_free(&p->frames[i]);
    }
    free(p->frames);
    free(p->entries);
    memset(p, 0, sizeof *p);
}

void search_places_drop(void) {
    for (uint32_t i = 0; i < X.places_n; i++) {
        search_place_free(&X.places[i]);
    }
    X.places_n = 0;
}

static struct place *place_new(void) {
    X.places = search_more(X.places, X.places_n + 1, sizeof *X.places);
    X.places[X.places_n] = (struct place){.frames_n = 0};
    return &X.places[X.places_n++];
}

/* Saves what is left of X as a place of its own. */
void search_place_keep(void) {
    if (X.stack_n <= X.floor) {
        return;
    }
    struct place *p = place_new();
    p->frames_n = X.stack[X.stack_n - 1].frame + 1;
    p->frames = search_more(NULL, p->frames_n, sizeof *p->frames);
    for (uint32_t i = 0; i < p->frames_n; i++) {
        graph_init(&p->frames[i], X.width);
        graph_copy(&p->frames[i], &X.frames[i]);
    }
    p->entries_n = X.stack_n - X.floor;
    p->entries = search_more(NULL, p->entries_n, sizeof *p->entries);
    memcpy(p->entries, X.stack + X.floor, p->entries_n * sizeof *p->entries);
}

/* Sets X to entry i of p, and no other. */
void search_place_take(const struct place *p, uint32_t i) {
    X.frames_n = X.stack_n = X.floor = 0;
    for (uint32_t k = 0; k <= p->entries[i].frame; k++) {
        graph_copy(search_frame_push(), &p->frames[k]);
    }
    search_push((struct entry){.k = 0});
    X.stack[0] = p->entries[i];
}

/* ---- Checkpoints ----------------------------------------------------------------------------- */

struct header {
    char magic[8];
    uint64_t program, identity;
    uint64_t graphs, blocked, dead_ends, cut, executions, steps, mixed;
    double seconds;
    uint32_t bounds, width, places, mixed_n, clock_used, cells;
};
static const char magic[8] = "simckp6";

/* A number of the bytes of the program that runs: another build may do something else. 0 where it
 * cannot be read. */
static uint64_t program(void) {
    uint64_t h = 1, words[512];
    FILE *f = fopen("/proc/self/exe", "rb");
    if (!f) {
        return 0;
    }
    for (size_t n; (n = fread(words, 1, sizeof words, f)) > 0;) {
        memset((char *)words + n, 0, sizeof words - n);
        for (size_t i = 0; i < (n + 7) / 8; i++) {
            h = mix(h, words[i] + n);
        }
    }
    fclose(f);
    return h;
}

/* A hash of the options that change what is explored. */
static uint64_t identity(const struct job *j) {
    const struct sim_options *r = &j->o->run;
    uint64_t parts[] = {r->c11_release_sequence,
                        r->cas_weak,
                        r->timeouts_max,
                        r->spurious_max,
                        r->faults_max,
                        r->steps_max,
                        r->threads_max,
                        j->o->loop_max,
                        j->o->repeats_max,
                        r->page_size,
                        r->pages_bytes,
                        r->heap_bytes,
                        j->o->reduce,
                        sizeof(struct event)};
    uint64_t h = 1;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        h = mix(h, parts[i] + i);
    }
    return h;
}

void search_forget_stacks(void) {
    for (unsigned i = 0; i < SEARCH_THREADS; i++) {
        X.shared_stack[i].n = 0;
    }
}

static bool put(FILE *f, const void *p, size_t n, size_t size) {
    return fwrite(p, size, n, f) == n;
}

static bool get(FILE *f, void *p, size_t n, size_t size) {
    return fread(p, size, n, f) == n;
}

static bool graph_write(FILE *f, const struct graph *g) {
    uint32_t head[] = {g->n, g->threads_n, g->locations_n, g->fences_sc, g->accesses_sc};
    return put(f, head, 5, sizeof head[0]) && put(f, g->events, g->n, sizeof *g->events) &&
           put(f, g->clocks, (size_t)g->n * CLOCKS * g->width, sizeof *g->clocks) &&
           put(f, g->locations, g->locations_n, sizeof *g->locations) &&
           put(f, g->first, g->threads_n, sizeof *g->first) &&
           put(f, g->last, g->threads_n, sizeof *g->last) &&
           put(f, g->parent, g->threads_n, sizeof *g->parent) &&
           put(f, g->nth, g->threads_n, sizeof *g->nth);
}

static bool graph_read(FILE *f, struct graph *g) {
    uint32_t head[5];
    if (!get(f, head, 5, sizeof head[0]) || head[0] > EVENTS_MAX || head[1] > g->width ||
        head[2] > ATOMS_MAX || !head[0]) {
        return false;
    }
    graph_reserve(g, head[0], head[2]);
    g->n = head[0];
    g->threads_n = head[1];
    g->locations_n = head[2];
    g->fences_sc = head[3];
    g->accesses_sc = head[4];
    return get(f, g->events, g->n, sizeof *g->events) &&
           get(f, g->clocks, (size_t)g->n * CLOCKS * g->width, sizeof *g->clocks) &&
           get(f, g->locations, g->locations_n, sizeof *g->locations) &&
           get(f, g->first, g->threads_n, sizeof *g->first) &&
           get(f, g->last, g->threads_n, sizeof *g->last) &&
           get(f, g->parent, g->threads_n, sizeof *g->parent) &&
           get(f, g->nth, g->threads_n, sizeof *g->nth) && graph_is_sound(g);
}

static bool place_write(FILE *f, const struct place *p) {
    uint32_t head[] = {p->frames_n, p->entries_n};
    bool ok = put(f, head, 2, sizeof head[0]);
    for (uint32_t i = 0; i < p->frames_n && ok; i++) {
        ok = graph_write(f, &p->frames[i]);
    }
    return ok && put(f, p->entries, p->entries_n, sizeof *p->entries);
}

static bool place_read(FILE *f) {
    uint32_t head[2];
    if (!get(f, head, 2, sizeof head[0]) || head[0] > 1u << 20 || head[1] > 1u << 26 || !head[0]) {
        return false;
    }
    struct place *p = place_new();
    p->frames = search_more(NULL, head[0], sizeof *p->frames);
    for (uint32_t i = 0; i < head[0]; i++) {
        graph_init(&p->frames[i], X.width);
        p->frames_n++;
        if (!graph_read(f, &p->frames[i])) {
            return false;
        }
    }
    p->entries = search_more(NULL, head[1], sizeof *p->entries);
    p->entries_n = head[1];
    bool ok = get(f, p->entries, p->entries_n, sizeof *p->entries);
    for (uint32_t i = 0; i < p->entries_n && ok; i++) {
        const struct entry *e = &p->entries[i];
        ok = e->frame < p->frames_n && e->k <= p->frames[e->frame].n && e->k &&
             e->r < p->frames[e->frame].n && e->ref < p->frames[e->frame].n &&
             e->kind <= ENTRY_EXCHANGE;
    }
    return ok;
}

void search_checkpoint_save(const struct job *j) {
    struct sim_explored *e = j->out;
    char name[4096];
    snprintf(name, sizeof name, "%s.new", j->o->checkpoint);
    FILE *f = fopen(name, "wb");
    if (!f) {
        snprintf(e->error, sizeof e->error, "cannot write %.150s: %s", name, strerror(errno));
        return;
    }
    struct header h = {.program = program(),
                       .identity = identity(j),
                       .graphs = e->graphs,
                       .blocked = e->blocked,
                       .dead_ends = e->dead_ends,
                       .cut = e->cut,
                       .executions = e->executions,
                       .steps = e->steps,
                       .mixed = e->mixed,
                       .seconds = e->seconds,
                       .bounds = e->bounds,
                       .width = X.width,
                       .places = X.places_n,
                       .mixed_n = X.mixed_n,
                       .clock_used = X.clock_used};
    for (unsigned i = 0; i < SEARCH_THREADS; i++) {
        h.cells += X.shared_stack[i].n;
    }
    memcpy(h.magic, magic, sizeof h.magic);
    bool ok = put(f, &h, 1, sizeof h);
    for (unsigned i = 0; i < SEARCH_THREADS; i++) {
        for (uint32_t k = 0; k < X.shared_stack[i].n && ok; k++) {
            uintptr_t offset = X.shared_stack[i].cells[k] - (uintptr_t)S.stacks;
            ok = put(f, &offset, 1, sizeof offset);
        }
    }
    for (uint32_t i = 0; i < X.places_n && ok; i++) {
        ok = place_write(f, &X.places[i]);
    }
    ok &= fclose(f) == 0;
    if (!ok || rename(name, j->o->checkpoint)) {
        snprintf(e->error, sizeof e->error, "cannot write %.150s: %s", name, strerror(errno));
    }
}

/* Why the search cannot go on from there; NULL: it can. */
static const char *misfit(const struct header *h, const struct job *j) {
    if (memcmp(h->magic, magic, sizeof magic - 2) != 0) {
        return "no checkpoint";
    }
    if (memcmp(h->magic, magic, sizeof magic) != 0 || h->program != program()) {
        return "a checkpoint of another build";
    }
    if (h->identity != identity(j)) {
        return "a checkpoint with other options";
    }
    return h->width > SEARCH_THREADS || h->width == 0 ? "no checkpoint" : NULL;
}

/* Continues from a checkpoint, if there is one. False: the file does not fit (error says why). */
bool search_checkpoint_load(const struct job *j) {
    struct sim_explored *e = j->out;
    FILE *f = fopen(j->o->checkpoint, "rb");
    if (!f) {
        return true;
    }
    struct header h;
    bool ok = get(f, &h, 1, sizeof h);
    const char *what = ok ? misfit(&h, j) : "no checkpoint";
    if (what != NULL) {
        snprintf(e->error, sizeof e->error, "%s is %s: remove it to start anew", j->o->checkpoint,
                 what);
        fclose(f);
        return false;
    }
    X.width = h.width;
    X.clock_used = h.clock_used;
    for (uint32_t i = 0; i < h.cells && ok; i++) {
        uintptr_t offset;
        ok = get(f, &offset, 1, sizeof offset) &&
             offset < (S.stack_size + 4096) * (uintptr_t)SEARCH_THREADS;
        if (ok) {
            search_learn_cell((uintptr_t)S.stacks + offset);
        }
    }
    for (uint32_t i = 0; i < h.places && ok; i++) {
        ok = place_read(f);
    }
    fclose(f);
    if (!ok || h.mixed_n) {
        snprintf(e->error, sizeof e->error, "%s is cut short: remove it to start anew",
                 j->o->checkpoint);
        return false;
    }
    e->graphs = h.graphs;
    e->blocked = h.blocked;
    e->dead_ends = h.dead_ends;
    e->cut = h.cut;
    e->executions = h.executions;
    e->steps = h.steps;
    e->mixed = h.mixed;
    e->seconds = h.seconds;
    e->bounds = h.bounds;
    e->resumed = true;
    return true;
}

/* ---- Processes ------------------------------------------------------------------------------- */

uint32_t search_entries_in_all(void) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < X.places_n; i++) {
        n += X.places[i].entries_n;
    }
    return n;
}

/* Claims and explores one entry after another, the last first. True: nothing is left. */
static bool search_claimed(struct job *j) {
    uint32_t number = search_entries_in_all();
    for (uint32_t p = X.places_n; p-- > 0;) {
        for (uint32_t i = X.places[p].entries_n; i-- > 0;) {
            number--;
            if (X.shared->stop) {
                return false;
            }
            if (__atomic_exchange_n(&X.shared->claim[number], 1, __ATOMIC_ACQ_REL)) {
                continue;
            }
            search_place_take(&X.places[p], i);
            if (search_runs(j, false, 0) == STOPPED) {
                return false;
            }
            __atomic_store_n(&X.shared->claim[number], 2, __ATOMIC_RELEASE);
        }
    }
    return true;
}

/* A child process searches, and leaves its counts and its unfinished work in a file. The finding is
 * stored as text, because the string may exist only in the child's memory. */
struct part {
    struct sim_explored e;
    char finding[64];
    bool through, begin_anew, too_wide, clock_used, in_middle;
    uintptr_t mixed;
    uint32_t mixed_n;
};

static _Noreturn void child_main(struct job *j, FILE *f) {
    uint32_t mixed_before = X.mixed_n;
    struct part p = {.through = search_claimed(j)};
    p.e = *j->out;
    if (p.e.finding) {
        snprintf(p.finding, sizeof p.finding, "%s", p.e.finding);
    }
    p.begin_anew = X.begin_anew;
    p.too_wide = X.too_wide;
    p.clock_used = X.clock_used;
    p.mixed_n = X.mixed_n;
    p.mixed = X.mixed_n > mixed_before ? X.mixed[X.mixed_n - 1] : 0;
    X.places_n = 0;
    search_place_keep();
    p.in_middle = !p.through && X.places_n;
    bool ok = put(f, &p, 1, sizeof p) && (!p.in_middle || place_write(f, &X.places[0]));
    ok &= fflush(f) == 0;
    _exit(ok ? 0 : 2);
}

static void cuts_merge(struct sim_explored *to, const struct sim_explored *from) {
    for (unsigned i = 0; i < from->cuts_n; i++) {
        unsigned k = 0;
        while (k < to->cuts_n &&
               (to->cuts[k].pc != from->cuts[i].pc || to->cuts[k].bound != from->cuts[i].bound)) {
            k++;
        }
        if (k < to->cuts_n) {
            to->cuts[k].times += from->cuts[i].times;
        } else if (k < SIM_CUTS_MAX) {
            to->cuts[to->cuts_n++] = from->cuts[i];
        }
    }
}

static bool child_collect(const struct job *j, FILE *f) {
    static char name[64];
    struct sim_explored *e = j->out;
    static struct part p;
    rewind(f);
    if (!get(f, &p, 1, sizeof p)) {
        return false;
    }
    e->graphs += p.e.graphs;
    e->blocked += p.e.blocked;
    e->dead_ends += p.e.dead_ends;
    e->cut += p.e.cut;
    e->executions += p.e.executions;
    e->steps += p.e.steps;
    e->mixed += p.e.mixed;
    e->bounds |= p.e.bounds;
    cuts_merge(e, &p.e);
    if (p.e.error[0]) {
        memcpy(e->error, p.e.error, sizeof e->error);
    }
    if (p.e.finding && !e->finding) {
        memcpy(name, p.finding, sizeof name);
        e->finding = name;
        memcpy(e->detail, p.e.detail, sizeof e->detail);
        memcpy(e->choices, p.e.choices, sizeof e->choices);
        e->choices_n = p.e.choices_n;
    }
    X.begin_anew |= p.begin_anew;
    X.too_wide |= p.too_wide;
    X.clock_used |= p.clock_used;
    if (p.mixed) {
        X.mixed = search_more(X.mixed, X.mixed_n + 1, sizeof *X.mixed);
        X.mixed[X.mixed_n++] = p.mixed;
    }
    return (!p.in_middle || place_read(f)) && p.through;
}

/* True if nothing is left to do in any child. */
bool search_shared(struct job *j) {
    unsigned n = j->o->processes < PROCESSES_MAX ? j->o->processes : PROCESSES_MAX;
    FILE *files[PROCESSES_MAX];
    pid_t pids[PROCESSES_MAX];
    bool through = true;
    uint32_t before = X.places_n;
    memset(X.shared->claim, 0, sizeof X.shared->claim);
    fflush(NULL);
    for (unsigned i = 0; i < n; i++) {
        files[i] = tmpfile();
        pids[i] = files[i] ? fork() : -1;
        if (pids[i] == 0) {
            static struct sim_explored mine;
            struct sim_explore_options o = *j->o;
            struct job k = *j;
            memset(&mine, 0, sizeof mine);
            X.out = k.out = &mine;
            k.o = &o;
            o.progress = o.progress && i == 0;
            child_main(&k, files[i]);
        }
        if (pids[i] < 0) {
            snprintf(j->out->error, sizeof j->out->error, "cannot start a process: %s",
                     strerror(errno));
            through = false;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        int status = 0;
        if (pids[i] > 0) {
            while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR) {
            }
            if (status) {
                through = false;
                if (WIFSIGNALED(status)) {
                    snprintf(j->out->error, sizeof j->out->error,
                             "a process died of signal %d in the program under test",
                             WTERMSIG(status));
                } else {
                    snprintf(j->out->error, sizeof j->out->error,
                             "a process could not write its results");
                }
            } else if (!child_collect(j, files[i])) {
                through = false;
            }
        }
        if (files[i]) {
            fclose(files[i]);
        }
    }
    /* Keep only those of the earlier entries that no process has claimed. */
    uint32_t number = 0;
    for (uint32_t p = 0; p < before; p++) {
        struct place *at = &X.places[p];
        uint32_t kept = 0;
        for (uint32_t i = 0; i < at->entries_n; i++) {
            if (!X.shared->claim[number++]) {
                at->entries[kept++] = at->entries[i];
            }
        }
        at->entries_n = kept;
    }
    return through;
}
