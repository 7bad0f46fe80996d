/* shadow.c: what the engine knows about every byte that was touched: who accessed it (races), what
 * it held before the run (restored at reset), and whether it may be touched at all (simulated heap
 * and pages). */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define SLOTS (CELLS_MAX * 2)
#define HEAP_GRAIN 16
enum { HEAP_REDZONE = 0, HEAP_FREED = 0xFD };

/* The program's own data sections; writes to them are undone. */
extern char __data_start[] __attribute__((weak)), _end[] __attribute__((weak));
static struct { uintptr_t start, end; } restore[17];
static unsigned restore_n;

bool sim_restore_range(void *start, void *end) {
    if (restore_n == 17) {
        return false;
    }
    restore[restore_n].start = (uintptr_t)start;
    restore[restore_n++].end = (uintptr_t)end;
    return true;
}

static void *map(size_t n) {
    void *p =
        mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p != MAP_FAILED) {
        return p;
    }
    fprintf(stderr,
            "sim: cannot map %zu bytes: %s; raise ulimit -v, or lower the sizes in sim_options\n",
            n, strerror(errno));
    exit(2);
}

/* A table that is never unmapped. Tables begin at different offsets in a page, so that their first
 * entries, which every run uses, do not compete for the same cache sets. */
static void *map_table(size_t n) {
    enum { LINE_BYTES = 64, LINES = 64 };
    static unsigned tables;
    size_t offset = (size_t)(tables++ * 9 % LINES) * LINE_BYTES;
    return (char *)map(n + offset) + offset;
}

/* Reserves address space after the pages, so that wild accesses land there and are reported: as far
 * as a 32-bit index of words reaches, or less if the system refuses that. */
static uintptr_t map_memory(size_t bytes, size_t *mapped) {
    for (size_t behind = (size_t)17 << 30; behind >= (size_t)1 << 30; behind /= 4) {
        void *p = mmap(NULL, bytes + behind, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);
        if (p != MAP_FAILED && mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0) {
            *mapped = bytes + behind;
            return (uintptr_t)p;
        }
        if (p != MAP_FAILED) {
            munmap(p, bytes + behind);
        }
    }
    *mapped = bytes;
    return (uintptr_t)map(bytes);
}

/* Maps the tables once, and the simulated memory again whenever its sizes change. */
void shadow_setup(void) {
    if (!S.cells) {
        S.cells = map_table(CELLS_MAX * sizeof *S.cells);
        S.recs = map_table(RECS_MAX * sizeof *S.recs);
        S.slots = map_table((size_t)SLOTS * sizeof *S.slots);
        S.frames = map_table(FRAMES_MAX * sizeof *S.frames);
        S.msgs = map_table(MSGS_MAX * sizeof *S.msgs);
        S.atoms = map_table(ATOMS_MAX * sizeof *S.atoms);
        S.locks = map_table(LOCKS_MAX * sizeof *S.locks);
        S.arena = map_table(ARENA_BYTES);
        S.arena_end = S.arena + ARENA_BYTES;
        S.gf = map_table(ATOMS_MAX * sizeof *S.gf);
        S.choices = map_table(CHOICES_MAX * sizeof *S.choices);
        sim_restore_range(__data_start, _end);
    }
    static uintptr_t base;
    static size_t heap_now, pages_now, mapped;
    static unsigned page_size_now;
    size_t page = S.o.page_size, heap = (S.o.heap_bytes + page - 1) / page * page;
    size_t pages = (S.o.pages_bytes + page - 1) / page * page;
    if (heap == heap_now && pages == pages_now && page == page_size_now) {
        return;
    }
    if (page_size_now > 0) { /* an earlier run had other sizes */
        munmap((void *)base, mapped);
        munmap(S.heap_state - 8, heap_now / HEAP_GRAIN + 1 + 8);
        munmap(S.pages, (pages_now / page_size_now + 1) * sizeof *S.pages);
    }
    base = map_memory(heap + pages + page, &mapped);
    S.memory = (base + page - 1) / page * page;
    S.heap_end = S.memory + heap;
    S.memory_end = S.heap_end + pages;
    S.behind_end = base + mapped;
    S.heap_state =
        (uint8_t *)map(heap / HEAP_GRAIN + 1 + 8) + 8; /* last_zero() reads eight bytes at a time */
    S.pages = map((pages / page + 1) * sizeof *S.pages);
    S.page_shift = (unsigned)__builtin_ctz(S.o.page_size);
    S.pages_at = S.heap_end;
    heap_now = heap;
    pages_now = pages;
    page_size_now = (unsigned)page;
    for (unsigned i = 0; i < THREADS; i++) {
        S.heap_at[i] = 0;
    }
    S.heap_users = 0;
}

/* Each thread has its own part of the heap; the first thread has half of it. */
static uintptr_t heap_start(unsigned thread) {
    size_t half = (S.heap_end - S.memory) / 2 / HEAP_GRAIN * HEAP_GRAIN;
    size_t part = half / (THREADS - 1) / HEAP_GRAIN * HEAP_GRAIN;
    return thread ? S.memory + half + part * (thread - 1) : S.memory;
}

/* Zeroes [at, at + n) again, which was zero before the run. */
static void wipe(uintptr_t at, size_t n) {
    enum { LARGE = 1 << 20 };
    uintptr_t end = at + n, first = (at + 4095) & ~(uintptr_t)4095;
    if (n >= LARGE && madvise((void *)first, (end - first) & ~(size_t)4095, MADV_DONTNEED) == 0) {
        memset((void *)at, 0, first - at);
        at = first + ((end - first) & ~(size_t)4095);
    }
    memset((void *)at, 0, end - at);
}

/* A cell may also hold bytes of other code: only the bytes that were written are restored. */
static void put_back(const struct cell *c) {
    const char *saved = (const char *)&c->saved;
    if (c->initialised == 0xff) {
        memcpy((void *)c->at, saved, 8);
    } else {
        for (unsigned i = 0; i < 8; i++) {
            if (c->initialised >> i & 1) {
                ((char *)c->at)[i] = saved[i];
            }
        }
    }
}

void shadow_reset(void) {
    for (uint32_t i = 0; i < S.cells_n; i++) {
        const struct cell *c = &S.cells[i];
        if (!c->written || c->at - S.memory < S.memory_end - S.memory) {
            continue;
        }
        for (unsigned k = 0; k < restore_n; k++) {
            if (c->at - restore[k].start < restore[k].end - restore[k].start) {
                put_back(c);
                break;
            }
        }
    }
    S.cells_n = 0;
    S.generation++;
    if (S.generation == 0) { /* wrapped: stale slots could look fresh */
        memset(S.slots, 0, (size_t)SLOTS * sizeof *S.slots);
        S.generation = 1;
    }
    S.recs_n = S.frames_n = S.locks_n = 1;
    S.recs_free = 0;
    S.frames[0].last_child = 0;
    for (; S.heap_users; S.heap_users &= S.heap_users - 1) {
        unsigned i = first_of(S.heap_users);
        uintptr_t s = heap_start(i);
        wipe((uintptr_t)S.heap_state + (s - S.memory) / HEAP_GRAIN,
             (S.heap_at[i] - s) / HEAP_GRAIN + 1);
        wipe(s, S.heap_at[i] - s);
        S.heap_at[i] = 0;
    }
    for (uintptr_t p = S.heap_end; p < S.pages_at; p += S.o.page_size) {
        struct page *g = &S.pages[(p - S.heap_end) >> S.page_shift];
        if (g->dirty) {
            memset((void *)p, 0, S.o.page_size);
        }
        memset(g, 0, sizeof *g);
    }
    S.pages_at = S.heap_end;
}

/* ---- Access checks --------------------------------------------------------------------------- */

static void check_heap(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    for (uintptr_t p = at; p < at + n;) {
        uintptr_t grain = (p - S.memory) / HEAP_GRAIN;
        uintptr_t end = S.memory + (grain + 1) * HEAP_GRAIN;
        unsigned need = (unsigned)((at + n < end ? at + n : end) - (end - HEAP_GRAIN));
        uint8_t s = S.heap_state[grain];
        if (s == HEAP_FREED) {
            found("use-after-free", "%s of %zu bytes at %p, in a freed block\n  @%lx",
                  write ? "write" : "read", n, (void *)at, (unsigned long)pc);
        }
        if (need > s) {
            found("heap-out-of-bounds", "%s of %zu bytes at %p, outside any block\n  @%lx",
                  write ? "write" : "read", n, (void *)at, (unsigned long)pc);
        }
        p = end;
    }
}

static void race(const char *what, uintptr_t at, size_t n, bool write, bool atomic, uintptr_t pc,
                 unsigned thread, uintptr_t other_pc, uint32_t other_frame);

static inline bool page_races(const struct page_access *a) {
    return a->when > S.now->H[a->thread];
}

/* Does this access race with an earlier access to the whole page? */
static inline void check_page(const struct page *g, uintptr_t at, size_t n, bool write, bool atomic,
                              uintptr_t pc) {
    if (unlikely(page_races(&g->written))) {
        const struct page_access *a = &g->written;
        race(a->by_call ? "page operation" : "write", at, n, write, atomic, pc, a->thread, a->pc,
             a->frame);
    }
    if (unlikely(write && page_races(&g->read))) {
        race("read", at, n, write, atomic, pc, g->read.thread, g->read.pc, g->read.frame);
    }
}

static void check_pages(uintptr_t at, size_t n, bool write, bool atomic, uintptr_t pc) {
    for (uintptr_t p = at >> S.page_shift; p <= (at + n - 1) >> S.page_shift; p++) {
        struct page *g = &S.pages[p - (S.heap_end >> S.page_shift)];
        static const char *const state[] = {"not reserved", "inaccessible", "read-only", "",
                                            "released"};
        if (g->state != PAGE_WRITE && (write || g->state != PAGE_READ)) {
            found(g->state == PAGE_RELEASED ? "use-after-free"
                  : g->state == PAGE_FREE   ? "wild-access"
                                            : "page-fault",
                  "%s of %zu bytes at %p, in a page that is %s\n  @%lx", write ? "write" : "read",
                  n, (void *)at, state[g->state], (unsigned long)pc);
        }
        check_page(g, at, n, write, atomic, pc);
        if (write) {
            g->dirty = 1;
        }
    }
}

/* Checks an access to the stack of another thread, running or ended. */
static void check_stack(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    unsigned i = (unsigned)((at - (uintptr_t)S.stacks) / (S.stack_size + 4096));
    if (i == S.now->id || i >= S.threads_n) {
        return;
    }
    S.foreign |= ONE(i);
    if (S.threads[i].state == T_DONE) {
        found("use-after-return",
              "%s of %zu bytes at %p, on the stack of T%u, which has ended\n  @%lx",
              write ? "write" : "read", n, (void *)at, i, (unsigned long)pc);
    }
}

static inline void check_memory(uintptr_t at, size_t n, bool write, bool atomic, uintptr_t pc) {
    if (likely(at - S.memory >= S.behind_end - S.memory)) {
        if (unlikely(at < 4096)) {
            found("null-access", "%s of %zu bytes at address %#lx\n  @%lx",
                  write ? "write" : "read", n, (unsigned long)at, (unsigned long)pc);
        }
        if (unlikely(at - (uintptr_t)S.stacks < S.stacks_bytes)) {
            check_stack(at, n, write, pc);
        }
        return;
    }
    if (at + n > S.memory_end) {
        found("wild-access", "%s of %zu bytes at %p, past the end of all pages\n  @%lx",
              write ? "write" : "read", n, (void *)at, (unsigned long)pc);
    }
    if (at < S.heap_end) {
        check_heap(at, n, write, pc);
    } else {
        check_pages(at, n, write, atomic, pc);
    }
}

/* ---- Cells and races ------------------------------------------------------------------------- */

/* Rows of 64 words, each placed by a hash. If the whole memory were one row, a colliding address
 * would be searched for to the end of the row. */
static inline uint32_t first_slot(uintptr_t at) {
    uint32_t row = (uint32_t)(at >> 9) * UINT32_C(0x9E3779B1) >> 16;
    return (row << 6 | (at >> 3 & 63)) & (SLOTS - 1);
}

static inline struct cell *cell_find(uintptr_t at, uint32_t *slot) {
    uint32_t i = first_slot(at);
    for (;; i = (i + 1) & (SLOTS - 1)) {
        uint64_t s = S.slots[i];
        if (s >> 32 != S.generation) {
            *slot = i;
            return NULL;
        }
        struct cell *c = &S.cells[(uint32_t)s];
        if (likely(c->at == at)) {
            return c;
        }
    }
}

/* The head of each block of the simulated heap, inside its redzone. An allocation counts as a write
 * to every byte. It is recorded once, here; a cell that is touched later copies it from here. */
struct block {
    size_t size,
        initialised_bytes; /* initialised_bytes: of the first bytes, how many are initialised */
    uintptr_t pc;
    uint32_t frame, thread;
    epoch when;
};
enum { BLOCK_HEAD = (sizeof(struct block) + HEAP_GRAIN - 1) / HEAP_GRAIN * HEAP_GRAIN };

static inline bool in_heap(uintptr_t at) {
    return at - S.memory < S.heap_end - S.memory;
}

static struct block *block_of(uintptr_t at) {
    return (struct block *)(at - BLOCK_HEAD);
}

/* The last zero byte before end; there must be one. Not memrchr, because ASan intercepts it and
 * checks the shadow of every byte first. */
static const uint8_t *last_zero(const uint8_t *end) {
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (uint64_t word;; end -= sizeof word) {
        memcpy(&word, end - sizeof word, sizeof word);
        if ((word - ones) & ~word & ones << 7) {
            break;
        }
    }
    while (*--end) {
        ;
    }
    return end;
}

/* The start of the block around `at`; 0 in a redzone. Each arena starts with a redzone. */
static uintptr_t block_around(uintptr_t at) {
    static uintptr_t start, end,
        generation; /* the latest block, because neighbouring bytes are touched together */
    if (generation == S.generation && at - start < end - start) {
        return start;
    }
    const uint8_t *state = &S.heap_state[(at - S.memory) / HEAP_GRAIN];
    if (*state == HEAP_REDZONE) {
        return 0;
    }
    start = S.memory + (size_t)(last_zero(state) + 1 - S.heap_state) * HEAP_GRAIN;
    end = start + block_of(start)->size;
    generation = S.generation;
    return start;
}

static inline uint32_t rec_new(void) {
    uint32_t r = S.recs_free;
    if (r) {
        S.recs_free = S.recs[r].next;
        return r;
    }
    if (unlikely(S.recs_n >= RECS_MAX)) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    return S.recs_n++;
}

/* The first record of a cell in a block is the allocation. */
static void remember_birth(struct cell *c) {
    uintptr_t start = block_around(c->at);
    if (!start) {
        return;
    }
    const struct block *b = block_of(start);
    size_t offset = c->at - start;
    if (b->initialised_bytes > offset) {
        c->initialised = (uint8_t)(b->initialised_bytes - offset >= 8
                                       ? 0xff
                                       : (1u << (b->initialised_bytes - offset)) - 1);
    }
    uint32_t r = rec_new();
    S.recs[r] = (struct rec){
        .pc = b->pc,
        .frame = b->frame,
        .when = b->when,
        .thread = (uint8_t)b->thread,
        .mask = (uint8_t)(b->size - offset >= 8 ? 0xff : (1u << (b->size - offset)) - 1),
        .write = true,
    };
    c->plain = r;
}

/* Reads all eight bytes, although the object may be smaller. */
__attribute__((no_sanitize("address"))) static uint64_t read_cell(uintptr_t at) {
    return *(const volatile uint64_t *)at;
}

struct cell *cell_at(uintptr_t at) {
    at &= ~(uintptr_t)7;
    uint32_t slot;
    struct cell *c = cell_find(at, &slot);
    if (likely(c != NULL)) {
        return c;
    }
    if (unlikely(S.cells_n >= CELLS_MAX)) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    S.slots[slot] = (uint64_t)S.generation << 32 | S.cells_n;
    c = &S.cells[S.cells_n++];
    c->at = at;
    c->saved = read_cell(at);
    c->plain = c->atomic = c->atoms = c->lock = 0;
    c->initialised = c->fresh = 0;
    c->written = false;
    if (in_heap(at)) {
        remember_birth(c);
    }
    return c;
}

/* Bytes on which the program allows races. */
enum { ALLOWED_MAX = 64 };
static struct {
    uint32_t run;
    uintptr_t at;
    size_t n;
} allowed[ALLOWED_MAX];

void races_allowed(uintptr_t at, size_t n) {
    for (unsigned i = 0; i < ALLOWED_MAX; i++) {
        if (allowed[i].run != S.generation || (allowed[i].at == at && allowed[i].n == n)) {
            allowed[i].run = S.generation;
            allowed[i].at = at;
            allowed[i].n = n;
            return;
        }
    }
    stop_bound(SIM_BOUND_MEMORY);
}

void sim_allow_races(const volatile void *at, size_t n) {
    races_allowed((uintptr_t)at, n);
}

static bool race_allowed(uintptr_t at, size_t n) {
    for (unsigned i = 0; i < ALLOWED_MAX && allowed[i].run == S.generation; i++) {
        if (at < allowed[i].at + allowed[i].n && allowed[i].at < at + n) {
            return true;
        }
    }
    return false;
}

static void race(const char *what, uintptr_t at, size_t n, bool write, bool atomic, uintptr_t pc,
                 unsigned thread, uintptr_t other_pc, uint32_t other_frame) {
    if (S.o.ignore_races || race_allowed(at, n)) {
        return;
    }
    if (at == (uintptr_t)&errno) {
        return; /* all logical threads share it here, though each should have its own */
    }
    char mine[400], other[400];
    describe_stack(mine, sizeof mine, pc, S.now->frame);
    describe_stack(other, sizeof other, other_pc, other_frame);
    found("data-race", "T%d: %s%s of %zu bytes at %p%sagainst T%u: %s%s", S.now->id,
          atomic ? "atomic " : "", write ? "write" : "read", n, (void *)at, mine, thread, what,
          other);
}

/* Reports a race if an earlier access in this list overlaps this one, is by another thread, and is
 * not known to happen before it. */
static inline void check_list(uint32_t r, unsigned mask, bool write, bool atomic, bool list_atomic,
                              uintptr_t at, size_t n, uintptr_t pc) {
    const struct thread *t = S.now;
    for (; r; r = S.recs[r].next) {
        const struct rec *p = &S.recs[r];
        if (unlikely((p->mask & mask) && p->when > t->H[p->thread] && (write || p->write) &&
                     p->thread != t->id)) {
            race(list_atomic ? p->write ? "atomic write" : "atomic read"
                 : p->write  ? "write"
                             : "read",
                 at, n, write, atomic, pc, p->thread, p->pc, p->frame);
        }
    }
}

static void check_end(uint32_t r, const struct thread *t, uintptr_t at) {
    for (; r; r = S.recs[r].next) {
        const struct rec *p = &S.recs[r];
        if (p->thread == t->id || p->when <= t->H[p->thread]) {
            continue;
        }
        char other[400];
        describe_stack(other, sizeof other, p->pc, p->frame);
        found("data-race",
              "T%u ends, and its stack with it\nagainst T%u: %s of %p, on that stack%s", t->id,
              p->thread, p->write ? "write" : "read", (void *)at, other);
    }
}

void shadow_thread_ends(const struct thread *t) {
    if (likely(!(S.foreign & ONE(t->id)))) {
        return;
    }
    for (uint32_t i = 0; i < S.cells_n; i++) {
        if (S.cells[i].at - (uintptr_t)t->stack < S.stack_size) {
            check_end(S.cells[i].plain, t, S.cells[i].at);
            check_end(S.cells[i].atomic, t, S.cells[i].at);
        }
    }
}

/* Records the access; a record that it makes superfluous is reused or dropped. */
static inline void note(uint32_t *head, unsigned mask, bool write, bool supersedes_all,
                        uintptr_t pc) {
    const struct thread *t = S.now;
    struct rec *mine = NULL;
    for (uint32_t *link = head; *link;) {
        struct rec *p = &S.recs[*link];
        bool covered =
            !(p->mask & ~mask) && ((p->thread == t->id && p->write <= write) || supersedes_all);
        if (!covered) {
            link = &p->next;
            continue;
        }
        if (mine) {
            uint32_t dropped = *link;
            *link = p->next;
            p->next = S.recs_free;
            S.recs_free = dropped;
        } else {
            mine = p;
            link = &p->next;
        }
    }
    if (!mine) {
        uint32_t r = rec_new();
        mine = &S.recs[r];
        mine->next = *head;
        *head = r;
    }
    mine->pc = pc;
    mine->frame = t->frame;
    mine->when = t->H[t->id];
    mine->mask = (uint8_t)mask;
    mine->thread = t->id;
    mine->write = write;
}

void overwrite_atoms(struct cell *c, unsigned mask, struct thread *t, uintptr_t pc) {
    for (uint32_t x = c->atoms; x; x = S.atoms[x].next) {
        struct atom *a = &S.atoms[x];
        if (!((((1u << a->size) - 1) << (a->at & 7)) & mask)) {
            continue;
        }
        a->overwritten = true;
        a->by = t->id;
        a->when = t->H[t->id];
        a->pc = pc;
    }
}

static void uninitialised(struct cell *c, unsigned mask, uintptr_t pc) {
    if (!(mask & ~(unsigned)c->initialised)) {
        return;
    }
    found("uninitialised-read", "read at %p of bytes that were never written\n  @%lx",
          (void *)(c->at + (unsigned)__builtin_ctz(mask & ~(unsigned)c->initialised)),
          (unsigned long)pc);
}

/* A function begins: its locals whose addresses escape are uninitialised. */
void sim_stack_fresh(void *start, size_t n);
void sim_stack_fresh(void *start, size_t n) {
    if (!S.active || !S.o.check_uninitialised) {
        return;
    }
    for (uintptr_t p = (uintptr_t)start, end = p + n; p < end; p = (p & ~(uintptr_t)7) + 8) {
        struct cell *c = cell_at(p);
        uintptr_t last = (p & ~(uintptr_t)7) + 8 < end ? (p & ~(uintptr_t)7) + 8 : end;
        unsigned mask = ((1u << (last - p)) - 1) << (p & 7);
        c->fresh |= (uint8_t)mask;
        c->initialised &= (uint8_t)~mask;
    }
}

static inline bool must_be_written(const struct cell *c, unsigned mask) {
    return in_heap(c->at) || c->fresh & mask;
}

static inline void plain_cell(struct cell *c, unsigned mask, bool write, uintptr_t at, size_t n,
                              uintptr_t pc) {
    check_list(c->plain, mask, write, false, false, at, n, pc);
    if (c->atomic) {
        check_list(c->atomic, mask, write, false, true, at, n, pc);
    }
    note(&c->plain, mask, write, write, pc);
    if (write) {
        c->written = true;
        c->initialised |= (uint8_t)mask;
        if (c->atoms) {
            overwrite_atoms(c, mask, S.now, pc);
        }
    } else if (unlikely(S.o.check_uninitialised) && must_be_written(c, mask)) {
        uninitialised(c, in_heap(c->at) ? mask : mask & c->fresh, pc);
    }
}

/* Adds a plain access to the trace. Such lines are limited, to leave room for others; a loop of one
 * read makes one line with a count (wrote). The value of a write's line is the one before the
 * write. */
enum { PLAIN_LINES_MAX = 1 << 15 };
static void trace_plain(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    uint64_t value = 0;
    struct iovec to = {&value, n < 8 ? n : 8}, from = {(void *)at, n < 8 ? n : 8};
    if (S.lines_n >= PLAIN_LINES_MAX) {
        return;
    }
    process_vm_readv(getpid(), &to, 1, &from, 1, 0); /* fails at unmapped addresses */
    struct line *last = S.lines_n ? &S.lines[S.lines_n - 1] : NULL;
    if (last && last->kind == LINE_READ && !write && last->pc == pc && last->at == at &&
        last->value == value && last->thread == S.now->id) {
        last->wrote++;
        return;
    }
    trace_add((struct line){.kind = write ? LINE_WRITE : LINE_READ,
                            .at = at,
                            .size = (uint8_t)(n < 255 ? n : 255),
                            .pc = pc,
                            .thread = S.now->id,
                            .value = value,
                            .wrote = 1});
}

static struct page *page_of(uintptr_t at) {
    return &S.pages[(at - S.heap_end) >> S.page_shift];
}

/* Records an access to all bytes of whole pages, already checked against the earlier ones: in each
 * page, and in the cells that were touched individually. */
static void whole_pages(uintptr_t at, size_t n, bool write, bool by_call, uintptr_t pc) {
    const struct thread *t = S.now;
    const struct page_access now = {t->H[t->id], t->frame, pc, t->id, by_call};
    struct page *g = page_of(at);
    for (size_t i = 0; i < n >> S.page_shift; i++) {
        if (write) {
            g[i].written = now;
            g[i].read.when = 0;
        } else {
            g[i].read = now;
        }
    }
    for (uint32_t i = 0, cells = S.cells_n; i < cells; i++) {
        if (S.cells[i].at - at < n) {
            plain_cell(&S.cells[i], 0xff, write, at, n, pc);
        }
    }
}

/* Can the page's record hold the access? It remembers only one of several concurrent readers. */
static inline bool fits_page_record(uintptr_t at, size_t left, bool write) {
    return left >= S.o.page_size && at % S.o.page_size == 0 && !S.exploring &&
           at - S.heap_end < S.memory_end - S.heap_end &&
           (write || !page_races(&page_of(at)->read));
}

void access_plain(uintptr_t at, size_t n, bool write, uintptr_t pc) {
    if (unlikely(n == 0)) {
        return;
    }
    if (unlikely(S.tracing && S.o.trace_plain)) {
        trace_plain(at, n, write, pc);
    }
    check_memory(at, n, write, false, pc);
    if (unlikely(S.exploring)) {
        explore_section_access(S.now, at, n, write);
        if (write) {
            explore_plain_write(S.now, at, n);
        }
    }
    if (unlikely(S.stalls && write)) {
        stall_plain_write(S.now, at, n);
    }
    if (likely((at & 7) + n <= 8)) {
        plain_cell(cell_at(at), ((1u << n) - 1) << (at & 7), write, at, n, pc);
        return;
    }
    for (uintptr_t p = at; p < at + n;) {
        if (unlikely(fits_page_record(p, at + n - p, write))) {
            whole_pages(p, S.o.page_size, write, false, pc);
            p += S.o.page_size;
            continue;
        }
        uintptr_t end = (p & ~(uintptr_t)7) + 8;
        if (end > at + n) {
            end = at + n;
        }
        plain_cell(cell_at(p), ((1u << (end - p)) - 1) << (p & 7), write, at, n, pc);
        p = end;
    }
}

struct cell *access_atomic(uintptr_t at, unsigned size, bool write, uintptr_t pc) {
    if (unlikely(at & (size - 1))) {
        found("misaligned-atomic", "an atomic access of %u bytes at %p\n  @%lx", size, (void *)at,
              (unsigned long)pc);
    }
    check_memory(at, size, write, true, pc);
    struct cell *c = cell_at(at);
    unsigned mask = ((1u << size) - 1) << (at & 7);
    if (c->plain) {
        check_list(c->plain, mask, write, true, false, at, size, pc);
    }
    note(&c->atomic, mask, write, false, pc);
    if (write) {
        c->written = true;
        c->initialised |= (uint8_t)mask;
    } else if (unlikely(S.o.check_uninitialised) && must_be_written(c, mask)) {
        uninitialised(c, in_heap(at) ? mask : mask & c->fresh, pc);
    }
    return c;
}

/* ---- Heap ------------------------------------------------------------------------------------ */

/* Allocates from the calling thread's own arena, so that addresses do not depend on the
 * schedule. */
static void *heap_take(size_t size, size_t alignment, size_t initialised_bytes, uintptr_t pc) {
    struct thread *t = S.now;
    if (unlikely(S.exploring)) {
        explore_effect(t);
    }
    if (sim_fault()) {
        return NULL;
    }
    if (size > PTRDIFF_MAX && S.o.refuse_allocations) {
        found("invalid-allocation", "T%u asks for %zu bytes\n  @%lx", t->id, size,
              (unsigned long)pc);
    }
    if (alignment < HEAP_GRAIN) {
        alignment = HEAP_GRAIN;
    }
    if (!S.heap_at[t->id]) {
        S.heap_at[t->id] = heap_start(t->id);
        S.heap_users |= ONE(t->id);
    }
    uintptr_t limit = heap_start(t->id + 1u);
    uintptr_t at =
        (S.heap_at[t->id] + HEAP_GRAIN + BLOCK_HEAD + alignment - 1) & ~(uintptr_t)(alignment - 1);
    if (size > (size_t)1 << 46) {
        return NULL; /* more than any machine has */
    }
    if (at + size + HEAP_GRAIN > limit) {
        stop_bound(SIM_BOUND_MEMORY); /* a limit of the engine, not of the program */
    }
    *block_of(at) = (struct block){
        .size = size,
        .initialised_bytes = initialised_bytes,
        .pc = pc,
        .frame = t->frame,
        .thread = t->id,
        .when = t->H[t->id],
    };
    uint8_t *state = &S.heap_state[(at - S.memory) / HEAP_GRAIN];
    memset(state, HEAP_GRAIN, size / HEAP_GRAIN);
    if (size % HEAP_GRAIN) {
        state[size / HEAP_GRAIN] = (uint8_t)(size % HEAP_GRAIN);
    }
    S.heap_at[t->id] = at + (size + HEAP_GRAIN - 1) / HEAP_GRAIN * HEAP_GRAIN;
    return (void *)at;
}

static bool heap_owns(uintptr_t at) {
    return in_heap(at) && at % HEAP_GRAIN == 0 &&
           S.heap_state[(at - S.memory) / HEAP_GRAIN] != HEAP_REDZONE &&
           S.heap_state[(at - S.memory) / HEAP_GRAIN - 1] == HEAP_REDZONE;
}

/* Freeing counts as a write to every byte: it races with the allocation and with any unordered
 * access. */
static void write_whole_block(uintptr_t at, uintptr_t pc) {
    const struct block *b = block_of(at);
    if (b->when > S.now->H[b->thread]) {
        race("write", at, b->size, true, false, pc, b->thread, b->pc, b->frame);
    }
    if (b->size / 8 > S.cells_n) {
        for (uint32_t i = 0, n = S.cells_n; i < n; i++) {
            if (S.cells[i].at - at < b->size) {
                plain_cell(&S.cells[i], 0xff, true, at, b->size, pc);
            }
        }
        return;
    }
    for (uintptr_t p = at; p < at + b->size; p += 8) {
        uint32_t slot;
        struct cell *c = cell_find(p, &slot);
        if (c) {
            plain_cell(c, 0xff, true, at, b->size, pc);
        }
    }
}

static void heap_give(void *block, uintptr_t pc) {
    uintptr_t at = (uintptr_t)block;
    if (unlikely(S.exploring)) {
        explore_effect(S.now);
        if (heap_owns(at)) {
            explore_section_access(S.now, at, block_of(at)->size, true);
        }
    }
    if (!heap_owns(at)) {
        found("invalid-free", "free of %p, which malloc did not return\n  @%lx", block,
              (unsigned long)pc);
    }
    size_t size = block_of(at)->size;
    if (S.heap_state[(at - S.memory) / HEAP_GRAIN] == HEAP_FREED) {
        found("double-free", "second free of %p\n  @%lx", block, (unsigned long)pc);
    }
    write_whole_block(at, pc);
    memset(S.heap_state + (at - S.memory) / HEAP_GRAIN, HEAP_FREED,
           (size + HEAP_GRAIN - 1) / HEAP_GRAIN);
}

#include <malloc.h>
#define PC ((uintptr_t)__builtin_return_address(0))

void *heap_obtain(size_t size, size_t alignment, uintptr_t pc) {
    return S.active ? heap_take(size, alignment, 0, pc) : malloc(size);
}

void heap_return(void *block, uintptr_t pc) {
    if (S.active && in_heap((uintptr_t)block)) {
        heap_give(block, pc);
    } else if (!in_heap((uintptr_t)block)) {
        free(block);
    }
}

void *sim_malloc(size_t size) {
    return S.active ? heap_take(size ? size : 1, 16, 0, PC) : malloc(size);
}

void *sim_calloc(size_t count, size_t size) {
    if (!S.active) {
        return calloc(count, size);
    }
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        return NULL;
    }
    return heap_take(n ? n : 1, 16, n, PC); /* arenas are zero and are not reused within a run */
}

void *sim_aligned_alloc(size_t alignment, size_t size) {
    if (!S.active) {
        return aligned_alloc(alignment, size);
    }
    if ((alignment == 0 || (alignment & (alignment - 1))) && S.o.refuse_allocations) {
        found("invalid-allocation",
              "T%u asks for alignment %zu, which is not a power of two\n  @%lx", S.now->id,
              alignment, (unsigned long)PC);
    }
    if (alignment == 0 || (alignment & (alignment - 1))) {
        return NULL;
    }
    return heap_take(size ? size : 1, alignment, 0, PC);
}

int sim_posix_memalign(void **out, size_t alignment, size_t size) {
    if (alignment < sizeof(void *) || (alignment & (alignment - 1))) {
        return EINVAL;
    }
    void *p = S.active ? heap_take(size ? size : 1, alignment, 0, PC)
                       : aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (!p) {
        return ENOMEM;
    }
    *out = p;
    return 0;
}

/* Blocks that the C library allocates (realpath, vasprintf, getcwd, ...) are on the real heap. */
static bool is_of_library(uintptr_t at) {
    extern char end[]; /* end of the executable's data, where the real heap begins */
    return at % 16 == 0 && at > (uintptr_t)end && at < (uintptr_t)sbrk(0);
}

void sim_free(void *block) {
    if (!block) {
        return;
    }
    if (S.active && !is_of_library((uintptr_t)block)) {
        heap_give(block, PC);
    } else if (!in_heap((uintptr_t)block)) {
        free(block);
    }
}

void *sim_realloc(void *old, size_t size) {
    if (!S.active) {
        return realloc(old, size);
    }
    uintptr_t pc = PC, at = (uintptr_t)old;
    if (is_of_library(at)) {
        return realloc(old, size);
    }
    if (old && !heap_owns(at)) {
        found("invalid-free", "realloc of %p, which malloc did not return\n  @%lx", old,
              (unsigned long)pc);
    }
    size_t kept = !old ? 0 : block_of(at)->size < size ? block_of(at)->size : size;
    void *new = heap_take(size ? size : 1, 16, kept, pc);
    if (!new || !old) {
        return new;
    }
    memcpy(new, old, kept);
    heap_give(old, pc);
    return new;
}

char *sim_strdup(const char *text) {
    size_t n = strlen(text) + 1;
    if (S.active) {
        access_of_user((uintptr_t)text, n, false, PC);
    }
    char *copy = S.active ? heap_take(n, 16, n, PC) : malloc(n);
    if (copy) {
        memcpy(copy, text, n);
    }
    return copy;
}

void *sim_memmove(void *to, const void *from, size_t n) {
    if (S.active) {
        access_of_user((uintptr_t)from, n, false, PC);
        access_of_user((uintptr_t)to, n, true, PC);
    }
    return memmove(to, from, n);
}

void *sim_memcpy(void *to, const void *from, size_t n) {
    if (S.active) {
        uintptr_t a = (uintptr_t)to, b = (uintptr_t)from;
        if (n && a != b && a < b + n && b < a + n) {
            found("memcpy-overlap", "memcpy of %zu bytes from %p to %p\n  @%lx", n,
                  (const void *)from, to, (unsigned long)PC);
        }
        access_of_user(b, n, false, PC);
        access_of_user(a, n, true, PC);
    }
    return memmove(to, from, n);
}

void *sim_memset(void *to, int byte, size_t n) {
    if (S.active) {
        access_of_user((uintptr_t)to, n, true, PC);
    }
    return memset(to, byte, n);
}

int sim_memcmp(const void *a, const void *b, size_t n) {
    if (S.active) {
        access_of_user((uintptr_t)a, n, false, PC);
        access_of_user((uintptr_t)b, n, false, PC);
    }
    return memcmp(a, b, n);
}

/* ---- Pages ----------------------------------------------------------------------------------- */

static struct page *pages_in(uintptr_t at, size_t size) {
    size_t page = S.o.page_size;
    if (at % page || size % page || size == 0 || at < S.heap_end || at + size > S.memory_end ||
        at + size < at) {
        return NULL;
    }
    struct page *g = &S.pages[(at - S.heap_end) / page];
    for (size_t i = 0; i < size / page; i++) {
        if (g[i].state == PAGE_FREE || g[i].state == PAGE_RELEASED) {
            return NULL;
        }
    }
    return g;
}

/* The scheduling point of a page operation. NULL: not reserved. */
static struct page *pages_begin(void *start, size_t size) {
    if (!S.active || !pages_in((uintptr_t)start, size)) {
        return NULL;
    }
    if (S.exploring) {
        explore_pages(S.pages[((uintptr_t)start - S.heap_end) >> S.page_shift].first,
                      (uintptr_t)__builtin_return_address(0));
    } else {
        S.now->pending = (struct op){.kind = OP_PAGES, .at = (uintptr_t)start, .writes = true};
        point(S.now);
    }
    return pages_in((uintptr_t)start, size);
}

/* A page operation that changes contents counts as a write to every byte; checks it against all
 * earlier accesses. */
static void pages_write(uintptr_t at, size_t size, uintptr_t pc) {
    for (size_t i = 0; i < size; i += S.o.page_size) {
        check_page(page_of(at + i), at, size, true, false, pc);
    }
    whole_pages(at, size, true, true, pc);
}

static void pages_zero(uintptr_t at, size_t size) {
    struct page *g = &S.pages[(at - S.heap_end) >> S.page_shift];
    for (size_t i = 0; i < size >> S.page_shift; i++) {
        if (g[i].dirty) {
            memset((void *)(at + i * S.o.page_size), 0, S.o.page_size);
            g[i].dirty = 0;
        }
    }
}

void *sim_pages_reserve(size_t size) {
    size_t page = S.o.page_size;
    if (!S.active || size % page || size == 0) {
        return NULL;
    }
    if (S.exploring) { /* addresses depend on the order of reservations */
        explore_pages(UINTPTR_MAX, PC);
    } else {
        S.now->pending = (struct op){.kind = OP_OBJECT, .at = 1};
        point(S.now);
    }
    if (size > S.memory_end - S.pages_at) {
        S.bounds |= SIM_BOUND_MEMORY;
        return NULL;
    }
    uintptr_t at = S.pages_at;
    S.pages_at += size;
    struct page *g = &S.pages[(at - S.heap_end) / page];
    for (size_t i = 0; i < size / page; i++) {
        g[i] = (struct page){.state = PAGE_NONE, .first = (uint32_t)((at - S.heap_end) / page)};
    }
    pages_write(at, size, PC);
    return (void *)at;
}

/* Removing access races with every unordered access. Granting it races with none: an access comes
 * after it, or faults. */
bool sim_pages_protect(void *start, size_t size, enum sim_access access) {
    struct page *g = pages_begin(start, size);
    if (!g) {
        return false;
    }
    uint8_t state = access == SIM_NONE ? PAGE_NONE : access == SIM_READ ? PAGE_READ : PAGE_WRITE;
    for (size_t i = 0, end; i < size / S.o.page_size; i = end + 1) {
        for (end = i; end < size / S.o.page_size && g[end].state > state;) {
            end++;
        }
        if (end > i) {
            pages_write((uintptr_t)start + i * S.o.page_size, (end - i) * S.o.page_size, PC);
        }
    }
    for (size_t i = 0; i < size / S.o.page_size; i++) {
        g[i].state = state;
    }
    return true;
}

bool sim_pages_discard(void *start, size_t size) {
    if (!pages_begin(start, size)) {
        return false;
    }
    pages_write((uintptr_t)start, size, PC);
    pages_zero((uintptr_t)start, size);
    return true;
}

bool sim_pages_release(void *start, size_t size) {
    struct page *g = pages_begin(start, size);
    if (!g) {
        return false;
    }
    pages_write((uintptr_t)start, size, PC);
    pages_zero((uintptr_t)start, size);
    for (size_t i = 0; i < size / S.o.page_size; i++) {
        g[i].state = PAGE_RELEASED;
    }
    return true;
}

bool sim_pages_move(void *from, void *to, size_t size) {
    struct page *f = pages_begin(from, size), *g = f ? pages_begin(to, size) : NULL;
    if (!f || !g) {
        return false;
    }
    pages_write((uintptr_t)from, size, PC);
    pages_write((uintptr_t)to, size, PC);
    memmove(to, from, size);
    for (size_t i = 0; i < size / S.o.page_size; i++) {
        g[i].state = f[i].state;
        g[i].dirty = 1;
    }
    pages_zero((uintptr_t)from, size);
    for (size_t i = 0; i < size / S.o.page_size; i++) {
        f[i].state = PAGE_RELEASED;
    }
    return true;
}
