/* memory_peers.c: other implementations of linear memories, in the rows that they share with ours:
 * upstream's algorithm (peers/upstream_memory.c), wabt's wasm2c runtime, and V8 from JavaScript
 * (v8.js). Run: build/bench/bench --filter='^peer/(create|grow|destroy|copy|life)'. */
#include "memories.h"
#include "peers/upstream_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifdef BENCH_WABT
#include <wasm-rt.h>
#endif

/* A memory of a peer. */
union handle {
    struct upstream_memory upstream;
#ifdef BENCH_WABT
    wasm_rt_memory_t wabt;
#endif
};

/* Functions that can fail return false then. copy may be NULL. */
struct peer {
    const char *name;
    bool (*create)(union handle *memory, uint32_t pages, uint32_t max_pages);
    bool (*grow)(union handle *memory, uint32_t pages);
    bool (*copy)(union handle *memory, union handle *copy);
    void (*destroy)(union handle *memory);
    uint8_t *(*base)(union handle *memory);
    /* Releases what destroy leaks, given the memory before it; NULL: nothing. Not measured. */
    void (*bury)(const union handle *memory);
    const char *missing; /* not NULL: why the peer is not available */
};

/* ---- Upstream -------------------------------------------------------------------------------- */

static bool upstream_static_create(union handle *memory, uint32_t pages, uint32_t max_pages) {
    return upstream_create(&memory->upstream, pb_pages_to_bytes(pages),
                           pb_pages_to_bytes(max_pages), BENCH_GUARD_BYTES);
}

static bool upstream_dynamic_create(union handle *memory, uint32_t pages, uint32_t max_pages) {
    (void)max_pages;
    return upstream_create(&memory->upstream, pb_pages_to_bytes(pages), pb_pages_to_bytes(pages),
                           BENCH_GUARD_BYTES);
}

static bool upstream_pages_grow(union handle *memory, uint32_t pages) {
    return upstream_grow(&memory->upstream, pb_pages_to_bytes(pages));
}

static bool upstream_pages_copy(union handle *memory, union handle *copy) {
    return upstream_copy(&memory->upstream, &copy->upstream);
}

static void upstream_pages_destroy(union handle *memory) {
    upstream_destroy(&memory->upstream);
}

static uint8_t *upstream_base(union handle *memory) {
    return memory->upstream.base;
}

/* ---- wabt ------------------------------------------------------------------------------------ */

#ifdef BENCH_WABT
static bool wabt_create(union handle *memory, uint32_t pages, uint32_t max_pages) {
    wasm_rt_allocate_memory(&memory->wabt, pages, max_pages); /* aborts if refused */
    return memory->wabt.data != NULL;
}

static bool wabt_grow(union handle *memory, uint32_t pages) {
    return wasm_rt_grow_memory(&memory->wabt, pages) != UINT32_MAX;
}

static void wabt_destroy(union handle *memory) {
    wasm_rt_free_memory(&memory->wabt);
}

static uint8_t *wabt_base(union handle *memory) {
    return memory->wabt.data;
}

/* wabt 1.0.32 unmaps only the accessible part. After some 16,000 memories the address space would
 * be exhausted, and it would abort. */
static void wabt_bury(const union handle *memory) {
    const uint64_t reserved = UINT64_C(8) << 30;
    uint64_t length = pb_pages_to_bytes(memory->wabt.pages);
    munmap(memory->wabt.data + length, reserved - length);
}
#define WABT                                                                              \
    .create = wabt_create, .grow = wabt_grow, .destroy = wabt_destroy, .base = wabt_base, \
    .bury = wabt_bury
#else
#define WABT .missing = "the Debian package wabt is missing (scripts/setup bench installs it)"
#endif

static const struct peer peers[] = {
    {"seed_static", upstream_static_create, upstream_pages_grow, upstream_pages_copy,
     upstream_pages_destroy, upstream_base, NULL, NULL},
    {"seed_dynamic", upstream_dynamic_create, upstream_pages_grow, upstream_pages_copy,
     upstream_pages_destroy, upstream_base, NULL, NULL},
    {.name = "wabt", WABT},
};
enum { PEERS = sizeof peers / sizeof peers[0], V8_BATCHES = 32 };

/* ---- Their rows, as in memory.c -------------------------------------------------------------- */

struct batch {
    const struct peer *peer;
    uint32_t pages, by, max_pages;
    union handle at[BATCH_MAX], gone[BATCH_MAX];
    int count, gone_count;
};

static int64_t number(const struct bench_state *state, const char *name, int64_t otherwise) {
    return bench_has(state, name) ? bench_number(state, name) : otherwise;
}

static void begin(struct batch *batch, const struct bench_state *state) {
    memset(batch, 0, sizeof *batch);
    batch->peer = bench_argument(state);
    batch->pages = (uint32_t)bench_number(state, "pages");
    batch->by = (uint32_t)number(state, "by", 1);
    uint32_t most = batch->pages + batch->by;
    batch->max_pages =
        (uint32_t)number(state, "to", most > BENCH_CAPACITY_PAGES ? most : BENCH_CAPACITY_PAGES);
}

static bool create(struct batch *batch, int count) {
    bool good = true;
    for (batch->count = 0; batch->count < count && good;) {
        good = batch->peer->create(&batch->at[batch->count], batch->pages, batch->max_pages);
        batch->count += good;
    }
    return good;
}

static bool grow(struct batch *batch) {
    bool good = true;
    for (int i = 0; i < batch->count && good; i++) {
        good = batch->peer->grow(&batch->at[i], batch->by);
    }
    return good;
}

static void touch(struct batch *batch) {
    for (int i = 0; i < batch->count; i++) {
        bench_touch(batch->peer->base(&batch->at[i]), pb_pages_to_bytes(batch->pages));
    }
}

static void destroy(struct batch *batch) {
    memcpy(batch->gone, batch->at, sizeof batch->at);
    batch->gone_count = batch->count;
    for (int i = 0; i < batch->count; i++) {
        batch->peer->destroy(&batch->at[i]);
    }
    batch->count = 0;
}

static void bury(struct batch *batch) {
    for (int i = 0; i < batch->gone_count && batch->peer->bury != NULL; i++) {
        batch->peer->bury(&batch->gone[i]);
    }
    batch->gone_count = 0;
}

static bool refused(struct bench_state *state) {
    bench_skip(state, "the system refuses it");
    return false;
}

static void run_create(struct bench_state *state) {
    struct batch batch;
    begin(&batch, state);
    int count = bench_batch(batch.pages);
    for (bool good = true; good && bench_next(state, count);) {
        bench_begin(state);
        good = create(&batch, count);
        bench_end(state);
        destroy(&batch);
        bury(&batch);
        good = good || refused(state);
    }
}

static void run_grow(struct bench_state *state) {
    struct batch batch;
    begin(&batch, state);
    int count = bench_batch(batch.pages);
    for (bool good = true; good && bench_next(state, count);) {
        good = create(&batch, count);
        touch(&batch);
        bench_begin(state);
        good = good && grow(&batch);
        bench_end(state);
        destroy(&batch);
        bury(&batch);
        good = good || refused(state);
    }
}

static void run_destroy(struct bench_state *state) {
    struct batch batch;
    begin(&batch, state);
    int count = bench_batch(batch.pages);
    for (bool good = true; good && bench_next(state, count);) {
        good = create(&batch, count);
        touch(&batch);
        bench_begin(state);
        destroy(&batch);
        bench_end(state);
        bury(&batch);
        good = good || refused(state);
    }
}

static void run_copy(struct bench_state *state) {
    struct batch batch;
    begin(&batch, state);
    bool good = create(&batch, 1) || refused(state);
    while (good && bench_next(state, 1)) {
        touch(&batch);
        union handle copy;
        bench_begin(state);
        good = batch.peer->copy(&batch.at[0], &copy);
        bench_end(state);
        if (good) {
            batch.peer->destroy(&copy);
        }
        good = good || refused(state);
    }
    destroy(&batch);
}

static void run_life(struct bench_state *state) {
    struct batch batch;
    begin(&batch, state);
    for (bool good = true; good && bench_next(state, 1);) {
        bench_begin(state);
        good = create(&batch, 1);
        if (good) {
            bench_touch(batch.peer->base(&batch.at[0]),
                        (uint64_t)BENCH_TOUCHED_HOST_PAGES * BENCH_HOST_PAGE);
        }
        destroy(&batch);
        bench_end(state);
        bury(&batch);
        good = good || refused(state);
    }
}

static void run_grow_steps(struct bench_state *state) {
    struct batch batch;
    begin(&batch, state);
    int64_t by = bench_number(state, "by");
    bool good = memories_room(state, pb_pages_to_bytes(batch.max_pages));
    while (good && bench_next(state, 1)) {
        good = create(&batch, 1);
        uint32_t pages = batch.pages;
        bench_begin(state);
        while (good && pages < batch.max_pages) {
            uint32_t left = batch.max_pages - pages;
            batch.by = by > 0 ? (uint32_t)by : pages;
            batch.by = batch.by < left ? batch.by : left;
            good = grow(&batch);
            pages += batch.by;
        }
        bench_end(state);
        destroy(&batch);
        bury(&batch);
        good = good || refused(state);
    }
}

/* ---- V8, called from JavaScript -------------------------------------------------------------- */

/* v8.js does the row's operation and writes one line per batch: nanoseconds per operation. Each
 * line is a sample; the row's time is their mean. */
static void run_v8(struct bench_state *state) {
    enum { V8_WARM_UP = 4 };
    char command[512], line[64];
    snprintf(command, sizeof command, "node --expose-gc '%s' %s %lld %lld %lld", BENCH_V8,
             (const char *)bench_argument(state), (long long)bench_number(state, "pages"),
             (long long)number(state, "by", 1), (long long)number(state, "to", 0));
    FILE *lines = popen(command, "re");
    bool good = lines != NULL;
    for (int i = 0; i < V8_WARM_UP && good; i++) {
        good = fgets(line, sizeof line, lines) != NULL;
    }
    while (good && bench_next(state, 1)) {
        good = fgets(line, sizeof line, lines) != NULL;
        bench_sample(state, good ? strtod(line, NULL) : 0);
    }
    if (!good) {
        bench_skip(state, "node does not answer");
    }
    if (lines != NULL) {
        pclose(lines);
    }
}

/* ---- Registration ---------------------------------------------------------------------------- */

struct operation {
    const char *name;
    void (*run)(struct bench_state *);
    const char *bound, *dynamic_bound; /* for a peer whose memory moves */
    bool in_v8;
};

static const struct operation sized[] = {
    {"create", run_create, "reserve", "reserve", true},
    {"grow", run_grow, "mprotect", "move", true},
    {"destroy", run_destroy, "munmap", "munmap", false},
    {"copy", run_copy, "copy", "copy", false},
};
static const struct operation growth = {"grow", run_grow, "mprotect", "move", true};
static const struct operation climb = {"grow_steps", run_grow_steps, "steps", "steps", true};
static const struct operation life = {"life", run_life, "life", "life", false};

static bool node_is_there(void) {
    static int known; /* 0 unknown, 1 yes, 2 no */
    const char *path = getenv("PATH");
    while (known == 0 && path != NULL && *path != 0) {
        char file[4096];
        int letters = (int)strcspn(path, ":");
        snprintf(file, sizeof file, "%.*s/node", letters, path);
        FILE *found = fopen(file, "re");
        if (found != NULL) {
            known = 1;
            fclose(found);
        }
        path += letters + (path[letters] == ':');
    }
    known = known == 0 ? 2 : known;
    return known == 1;
}

/* "bound/mprotect/pages:16/by:16"; kept for the life of the program. */
static const char *label(const char *bound, uint32_t pages, const struct bench_parameter *options) {
    char text[128];
    int length = snprintf(text, sizeof text, "bound/%s/pages:%u", bound, pages);
    for (int i = 0; i < 2 && options[i].name != NULL; i++) {
        length += snprintf(text + length, sizeof text - (size_t)length, "/%s:%lld", options[i].name,
                           (long long)options[i].number);
    }
    return bench_kept_text("%s", text);
}

static void add(const struct operation *operation, const struct peer *peer, uint32_t pages,
                struct bench_parameter option, struct bench_parameter option2) {
    static char names[64][32];
    static int used;
    struct bench_parameter options[2] = {option, option2};
    if (operation->run == run_copy) {
        options[0].name = NULL; /* the limit is the same however much was written */
    }
    snprintf(names[used], sizeof names[used], "peer/%s", operation->name);
    bool moves = peer != NULL && strcmp(peer->name, "seed_dynamic") == 0;
    struct bench_case bench = {
        .name = names[used++],
        .run = peer != NULL ? operation->run : run_v8,
        .argument = peer != NULL ? (const void *)peer : operation->name,
        .clock = peer == NULL                 ? BENCH_CLOCK_SAMPLES
                 : operation->run == run_life ? BENCH_CLOCK_LOOP
                                              : BENCH_CLOCK_SECTIONS,
        .parameters = {{"of", .text = peer != NULL ? peer->name : "v8"},
                       {"pages", NULL, pages},
                       option,
                       option2},
        .bounds = label(moves ? operation->dynamic_bound : operation->bound, pages, options),
        .skip = peer != NULL      ? peer->missing
                : node_is_there() ? NULL
                                  : "node is missing (scripts/setup bench installs it)",
        .iterations = peer == NULL                                ? V8_BATCHES
                      : moves && operation->run == run_grow_steps ? 1
                                                                  : 0,
        .full_only = pages != 16,
        .parties = peer == NULL,
    };
    bench_register(&bench);
}

static void add_all(const struct operation *operation, uint32_t pages,
                    struct bench_parameter option, struct bench_parameter option2) {
    for (int i = 0; i < PEERS; i++) {
        if (operation->run != run_copy || peers[i].copy != NULL) {
            add(operation, &peers[i], pages, option, option2);
        }
    }
    if (operation->in_v8) {
        add(operation, NULL, pages, option, option2);
    }
}

BENCH_SUBJECT {
    static const struct bench_parameter none = {NULL, NULL, 0};
    static const uint32_t sizes[] = {1, 16, 256};
    for (size_t size = 0; size < sizeof sizes / sizeof sizes[0]; size++) {
        for (size_t i = 0; i < sizeof sized / sizeof sized[0]; i++) {
            bool written = sized[i].run == run_copy;
            add_all(&sized[i], sizes[size],
                    written ? (struct bench_parameter){"written", NULL, 100} : none, none);
        }
    }
    add_all(&growth, 16, (struct bench_parameter){"by", NULL, 16}, none);
    add_all(&growth, 16, (struct bench_parameter){"by", NULL, 1024}, none);
    add_all(&climb, 1, (struct bench_parameter){"to", NULL, 1024},
            (struct bench_parameter){"by", NULL, 16});
    add_all(&climb, 1, (struct bench_parameter){"to", NULL, 16384},
            (struct bench_parameter){"by", NULL, 0});
    add_all(&life, 1, none, none);
}
