/* rows_subject.c: the gate's rows on a user's memory or mailbox, through the tables of subject.h:
 * the object subject.so next to the program. One thread; functions that it does not offer have no
 * row. */
#include "gate.h"
#include "subject.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIVES = 8,
    GROWN = 4,   /* memories that grow in one region */
    GROWTHS = 8, /* growths of each, by a page */
    ROOM = 16,   /* maximum of a memory, in pages */
    COPIES = 2,
    PAGES = 4, /* pages of a memory that exists before */
    TOUCHED_BYTES = 4 * GATE_HOST_PAGE,
    ACCESSES = 1024,
    BULKS = 16,
    BULK_BYTES = 16384,
    CALLS = 256,
    IDS_MAX = 1024,
    ATTACHES = 16
};

static const struct subject *subject;
static void *memories[LIVES], *made[COPIES];
static const struct subject_strategy *strategy;
static unsigned strategy_index;

static void *allocate_zeroed(size_t bytes) {
    return calloc(1, bytes);
}

static void begin(void) {
    static const struct subject_environment environment = {allocate_zeroed, realloc, free,
                                                           GATE_HOST_PAGE};
    if (subject->begin != NULL) {
        subject->begin(&environment);
    }
}

static void end(void) {
    if (subject->end != NULL) {
        subject->end();
    }
}

static void need(enum subject_status status, const char *what) {
    gate_need(status == SUBJECT_OK, what);
}

/* ---- Memories -------------------------------------------------------------------------------- */

static void *memory_of(uint32_t pages, bool shared) {
    const uint32_t slot = strategy->slot_pages, room = slot != 0 && slot < ROOM ? slot : ROOM;
    const uint64_t most = strategy->guard_bytes_max;
    const uint64_t guard = most != 0 && most < GATE_GUARD_BYTES ? most : GATE_GUARD_BYTES;
    const struct subject_memory_config config = {
        .type = {.min_pages = pages, .max_pages = room, .shared = shared},
        .strategy = strategy_index,
        .style = strategy->stable_base ? SUBJECT_STYLE_STATIC : SUBJECT_STYLE_DYNAMIC,
        .bound_pages = room,
        .static_guard_bytes = guard,
        .dynamic_guard_bytes = guard,
    };
    void *memory = NULL;
    need(subject->memory->create(&config, &memory), "create refused a memory");
    return memory;
}

static void touch(void *memory, uint64_t bytes) {
    if (subject->memory->record == NULL) {
        return; /* opaque: the address cannot be written */
    }
    const struct subject_record *record = subject->memory->record(memory);
    volatile uint8_t *base = atomic_load_explicit(&record->base, memory_order_relaxed);
    for (uint64_t at = 0; at < bytes; at += GATE_HOST_PAGE) {
        base[at] = 1;
    }
}

static void open_strategy(const struct gate_row *row) {
    strategy_index = (unsigned)row->strategy;
    strategy = &subject->memory->strategy[strategy_index];
    begin();
}

static void open_one(const struct gate_row *row) {
    open_strategy(row);
    memories[0] = memory_of(PAGES, false);
    touch(memories[0], PAGES * SUBJECT_PAGE_BYTES);
}

static void open_shared(const struct gate_row *row) {
    open_strategy(row);
    memories[0] = memory_of(PAGES, true);
    touch(memories[0], PAGES * SUBJECT_PAGE_BYTES);
}

static void open_growing(const struct gate_row *row) {
    open_strategy(row);
    for (int i = 0; i < GROWN; i++) {
        memories[i] = memory_of(1, false);
    }
}

static void close_all(void) {
    for (int i = 0; i < LIVES; i++) {
        if (memories[i] != NULL) {
            subject->memory->destroy(memories[i]);
        }
        memories[i] = NULL;
    }
    for (int i = 0; i < COPIES; i++) {
        if (made[i] != NULL) {
            subject->memory->destroy(made[i]);
        }
        made[i] = NULL;
    }
    end();
}

static void life(void) {
    for (int i = 0; i < LIVES; i++) {
        void *memory = memory_of(1, false);
        touch(memory, TOUCHED_BYTES);
        subject->memory->destroy(memory);
    }
}

static void grow(void) {
    uint32_t old_pages;
    for (int i = 0; i < GROWN; i++) {
        for (int n = 0; n < GROWTHS; n++) {
            need(subject->memory->grow(memories[i], 1, &old_pages), "grow failed");
        }
    }
}

static void copy(void) {
    for (int i = 0; i < COPIES; i++) {
        need(subject->memory->copy(memories[0], &made[i]), "copy failed");
    }
}

static void clone(void) {
    for (int i = 0; i < COPIES; i++) {
        need(subject->memory->clone(memories[0], &made[i]), "clone failed");
    }
}

static void reset(void) {
    need(subject->memory->reset(memories[0]), "reset failed");
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void load(void) {
    uint64_t value;
    for (uint32_t i = 0; i < ACCESSES; i++) {
        need(subject->memory->load(memories[0], i * 8, 0, 8, &value), "load failed");
    }
}

static void store(void) {
    for (uint32_t i = 0; i < ACCESSES; i++) {
        need(subject->memory->store(memories[0], i * 8, 0, 8, i), "store failed");
    }
}

static void rmw(void) {
    uint64_t old;
    for (uint32_t i = 0; i < ACCESSES; i++) {
        need(subject->memory->atomic_rmw(memories[0], SUBJECT_ADD, i * 8, 0, 8, 1, &old),
             "atomic_rmw failed");
    }
}

static void bulk_copy(void) {
    for (uint32_t i = 0; i < BULKS; i++) {
        need(subject->memory->bulk_copy(memories[0], 2 * BULK_BYTES, i, BULK_BYTES),
             "bulk_copy failed");
    }
}

static void bulk_fill(void) {
    for (uint32_t i = 0; i < BULKS; i++) {
        need(subject->memory->bulk_fill(memories[0], i, 1, BULK_BYTES), "bulk_fill failed");
    }
}

static void notify_nobody(void) {
    uint32_t woken;
    for (int i = 0; i < CALLS; i++) {
        need(subject->memory->notify(memories[0], 0, 1, &woken), "notify failed");
    }
}

/* The word differs from the expected value, so each wait returns at once. */
static void wait_unequal(void) {
    unsigned result;
    for (int i = 0; i < CALLS; i++) {
        need(subject->memory->wait32(memories[0], 4, 7, -1, &result), "wait32 failed");
    }
}

/* ---- Mailbox --------------------------------------------------------------------------------- */

static void *mailbox;
static uint32_t ids; /* as many as are enqueued before a drain */

static void attach(void) {
    static const enum subject_ground grounds[] = {SUBJECT_SHARED, SUBJECT_HEAP};
    enum subject_status status = SUBJECT_UNSUPPORTED;
    for (unsigned i = 0; i < 2 && status == SUBJECT_UNSUPPORTED; i++) {
        const struct subject_mailbox_config config = {.ground = grounds[i], .pages = 1};
        status = subject->mailbox->attach(&config, &mailbox);
    }
    need(status, "attach refused a mailbox");
}

static void open_mailbox(const struct gate_row *row) {
    const uint32_t room = subject->mailbox->capacity - subject->mailbox->slots_unusable;
    (void)row;
    ids = room < IDS_MAX ? room : IDS_MAX;
    begin();
    attach();
}

static void close_mailbox(void) {
    subject->mailbox->release(mailbox);
    end();
}

static void take(void *context, uint32_t id) {
    *(volatile uint32_t *)context = id;
}

static void enqueue(void) {
    for (uint32_t id = 1; id <= ids; id++) {
        need(subject->mailbox->enqueue(mailbox, id), "enqueue failed");
    }
}

static void drain(void) {
    uint32_t last;
    gate_need(subject->mailbox->drain(mailbox, take, &last) == ids, "drain did not take every id");
}

static void open_full(const struct gate_row *row) {
    open_mailbox(row);
    enqueue();
}

static void close_full(void) {
    drain();
    close_mailbox();
}

static void one_by_one(void) {
    uint32_t last;
    for (uint32_t id = 1; id <= CALLS; id++) {
        need(subject->mailbox->enqueue(mailbox, id), "enqueue failed");
        gate_need(subject->mailbox->drain(mailbox, take, &last) == 1, "drain did not take the id");
    }
}

static void attach_release(void) {
    for (int i = 0; i < ATTACHES; i++) {
        attach();
        subject->mailbox->release(mailbox);
    }
}

static void open_nothing(const struct gate_row *row) {
    (void)row;
    begin();
}

/* ---- The rows -------------------------------------------------------------------------------- */

struct offer {
    bool there;
    const char *name;
    uint32_t operations;
    void (*open)(const struct gate_row *);
    void (*measured)(void);
    void (*close)(void);
};

static void add_those(const struct offer *offer, size_t count, unsigned index,
                      const char *variant) {
    for (size_t i = 0; i < count; i++) {
        const struct gate_row row = {.name = offer[i].name,
                                     .operations = offer[i].operations,
                                     .timed = 1,
                                     .threads = GATE_ALONE,
                                     .strategy = (enum pb_strategy)index,
                                     .open = offer[i].open,
                                     .measured = offer[i].measured,
                                     .close = offer[i].close};
        if (offer[i].there) {
            gate_add(&row, variant);
        }
    }
}

static void add_memory(const struct subject_memory *m, unsigned index) {
    const struct subject_strategy *s = &m->strategy[index];
    const bool all = !s->partial, shared = all && s->shareable;
    const struct offer offers[] = {
        {true, "memory/life", LIVES, open_strategy, life, close_all},
        {true, "memory/grow", GROWN * GROWTHS, open_growing, grow, close_all},
        {all && m->copy, "memory/copy", COPIES, open_one, copy, close_all},
        {all && m->reset, "memory/reset", 1, open_one, reset, close_all},
        {shared && m->clone, "memory/clone", COPIES, open_shared, clone, close_all},
        {m->load, "memory/load", ACCESSES, open_one, load, close_all},
        {m->store, "memory/store", ACCESSES, open_one, store, close_all},
        {m->atomic_rmw, "memory/rmw", ACCESSES, open_one, rmw, close_all},
        {m->bulk_copy, "memory/bulk_copy", BULKS, open_one, bulk_copy, close_all},
        {m->bulk_fill, "memory/bulk_fill", BULKS, open_one, bulk_fill, close_all},
        {shared && m->notify, "memory/notify_nobody", CALLS, open_shared, notify_nobody, close_all},
        {shared && m->wait32, "memory/wait_unequal", CALLS, open_shared, wait_unequal, close_all},
    };
    add_those(offers, sizeof offers / sizeof offers[0], index, s->name);
}

static void add_mailbox(void) {
    open_mailbox(NULL);
    close_mailbox();
    const struct offer offers[] = {
        {true, "mailbox/attach", ATTACHES, open_nothing, attach_release, end},
        {true, "mailbox/enqueue", ids, open_mailbox, enqueue, close_full},
        {true, "mailbox/drain", ids, open_full, drain, close_mailbox},
        {true, "mailbox/one_by_one", CALLS, open_mailbox, one_by_one, close_mailbox},
    };
    add_those(offers, sizeof offers / sizeof offers[0], 0, NULL);
}

/* Loads the object next to the program; build/asan/replay has checked it before. */
static const struct subject *subject_beside(void) {
    static const char name[] = "/subject.so";
    char path[4096];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    gate_need(length > 0, "/proc/self/exe cannot be read");
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    gate_need(slash != NULL, "/proc/self/exe is no path");
    memcpy(slash, name, sizeof name);
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    gate_need(object != NULL, object == NULL ? dlerror() : "");
    const struct subject *(*chosen)(void) = NULL;
    *(void **)&chosen = dlsym(object, "pagebox_subject");
    gate_need(chosen != NULL, "the object exports no pagebox_subject");
    const struct subject *found = chosen();
    gate_need(found != NULL && found->abi == SUBJECT_ABI, "built with another subject.h");
    return found;
}

void gate_add_rows(void) {
    subject = subject_beside();
    for (unsigned i = 0; subject->memory != NULL && i < subject->memory->strategies; i++) {
        const struct subject_strategy *s = &subject->memory->strategy[i];
        if (s->missing == NULL && !s->costly_capacity) {
            add_memory(subject->memory, i);
        }
    }
    if (subject->mailbox != NULL) {
        add_mailbox();
    }
}
