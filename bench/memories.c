/* memories.c: the strategies that the rows of memories run over, and batches of memories. */
#include "memories.h"
#include "allocators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAPPED(strategy, create, grow) \
    { strategy, {0}, NULL, 0, create, grow, "munmap", "discard_only", false, 0 }
#define POOL(text, reset, destroy, keep_bytes)                                            \
    {                                                                                     \
        PB_STRATEGY_POOL, {"reset", text, 0}, NULL, reset, "commit", "mprotect", destroy, \
            "discard_only", false, keep_bytes                                             \
    }
#define HEAP(number, name, tuned)                                                                  \
    {                                                                                              \
        PB_STRATEGY_HEAP, {"allocator", name, 0}, &bench_allocators[number].allocator, 0,          \
            "calloc/allocator:" name, "realloc/allocator:" name, "free/allocator:" name, "memset", \
            tuned, 0                                                                               \
    }

/* How much the pool `keep` zeroes by hand in each slot, written or not: sixteen WebAssembly pages.
 * `scan` checks first, so it may keep a whole slot. */
#define KEEP_RESIDENT_BYTES (UINT64_C(1) << 20)
#define SCAN_RESIDENT_BYTES (BENCH_CAPACITY_PAGES * UINT64_C(65536))

const struct subject subjects[] = {
    MAPPED(PB_STRATEGY_RESERVE, "reserve", "mprotect"),
    MAPPED(PB_STRATEGY_RESERVE_RW, "mmap", NULL),
    MAPPED(PB_STRATEGY_REMAP, "reserve", "mremap"),
    MAPPED(PB_STRATEGY_MOVE, "reserve", "move"),
    HEAP(0, "glibc", false),
    HEAP(1, "jemalloc", false),
    MAPPED(PB_STRATEGY_IMAGE, "reserve", "mprotect"),
    POOL("discard", PB_POOL_DISCARD, "discard", 0),
    POOL("renew", PB_POOL_RENEW, "renew", 0),
    POOL("keep", PB_POOL_DISCARD, "discard", KEEP_RESIDENT_BYTES),
#ifdef REF_SCANS_POOLS
    POOL("scan", PB_POOL_SCAN, "discard", SCAN_RESIDENT_BYTES),
#endif
    MAPPED(PB_STRATEGY_GUARD, "guard_install", "guard_remove"),
    HEAP(2, "jemalloc_decay_0", true),
    HEAP(3, "jemalloc_no_retain", true),
    HEAP(4, "jemalloc_thp", true),
    HEAP(5, "mimalloc", true),
};
const int subjects_count = sizeof subjects / sizeof subjects[0];

bool subject_is_mapped(const struct subject *subject) {
    return subject->strategy != PB_STRATEGY_HEAP;
}

/* ---- Memories -------------------------------------------------------------------------------- */

bool memories_check(struct bench_state *state, const char *what, enum pb_status status) {
    if (status != PB_OK) {
        char reason[160];
        snprintf(reason, sizeof reason, "%s: %s", what, pb_status_message(status));
        bench_skip(state, reason);
    }
    return status == PB_OK;
}

bool memories_room(struct bench_state *state, uint64_t bytes) {
    unsigned long long free_kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL &&
           sscanf(line, "MemAvailable: %llu", &free_kib) != 1) {
    }
    if (file != NULL) {
        fclose(file);
    }
    bool room = free_kib == 0 || free_kib >= 2 * bytes / 1024;
    if (!room) {
        bench_skip(state, "this machine has too little free memory");
    }
    return room;
}

static int64_t option(const struct bench_state *state, const char *name, int64_t otherwise) {
    return bench_has(state, name) ? bench_number(state, name) : otherwise;
}

bool memories_begin(struct memories *memories, struct bench_state *state,
                    const struct subject *subject, uint32_t capacity_pages) {
    return memories_begin_guarded(memories, state, subject, capacity_pages,
                                  (uint64_t)option(state, "guard", BENCH_GUARD_BYTES));
}

bool memories_begin_guarded(struct memories *memories, struct bench_state *state,
                            const struct subject *subject, uint32_t capacity_pages,
                            uint64_t guard_bytes) {
    bool stays = pb_strategy_info(subject->strategy)->stable_base;
    *memories = (struct memories){.state = state, .subject = subject};
    memories->pages = (uint32_t)option(state, "pages", 1);
    memories->style.kind = stays ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC;
    memories->style.bound_pages = stays ? capacity_pages : 0;
    memories->style.guard_bytes = guard_bytes;
    memories->config.type.min_pages = memories->pages;
    memories->config.type.max_pages = capacity_pages;
    memories->config.style = &memories->style;
    memories->config.strategy = subject->strategy;
    memories->config.allocator = subject->allocator;
    memories->config.advice = (unsigned)option(state, "advice", PB_ADVICE_NONE);
    const char *refusal = bench_allocator_refusal(subject->allocator);
    if (refusal != NULL) {
        bench_skip(state, refusal);
        return false;
    }
    if (subject->strategy == PB_STRATEGY_IMAGE && subject->keep_resident_bytes > 0) {
#ifdef REF_KEEPS_IMAGE_BYTES
        memories->config.keep_resident_bytes = subject->keep_resident_bytes;
#else
        bench_skip(state, "this older ref/ keeps no pages of an image");
        return false;
#endif
    }
    if (subject->strategy != PB_STRATEGY_POOL) {
        return true;
    }
    struct pb_pool_config pool = {.slots = POOL_SLOTS,
                                  .slot_bytes = pb_pages_to_bytes(capacity_pages),
                                  .guard_bytes = memories->style.guard_bytes,
                                  .reset = subject->reset};
#ifdef REF_KEEPS_POOL_BYTES
    pool.keep_resident_bytes = subject->keep_resident_bytes;
#else
    if (subject->keep_resident_bytes > 0) {
        bench_skip(state, "this older ref/ has no keep_resident_bytes");
        return false;
    }
#endif
    return memories_check(state, "pool", pb_pool_create(&pool, &memories->config.pool));
}

void memories_end(struct memories *memories) {
    memories_destroy(memories);
    pb_pool_release(memories->config.pool);
}

enum pb_status memories_create(struct memories *memories, int count) {
    enum pb_status status = PB_OK;
    for (memories->count = 0; memories->count < count && status == PB_OK;) {
        status = pb_memory_create(&memories->config, &memories->at[memories->count]);
        memories->count += status == PB_OK;
    }
    return status;
}

void memories_touch(struct memories *memories) {
    for (int i = 0; i < memories->count; i++) {
        memory_touch(memories->at[i]);
    }
}

void memories_destroy(struct memories *memories) {
    for (int i = 0; i < memories->count; i++) {
        pb_memory_release(memories->at[i]);
    }
    memories->count = 0;
}

uint8_t *memory_base(struct pb_memory *memory) {
    return atomic_load_explicit(&pb_memory_definition(memory)->base, memory_order_relaxed);
}

uint64_t memory_length(struct pb_memory *memory) {
    return atomic_load_explicit(&pb_memory_definition(memory)->length_bytes, memory_order_relaxed);
}

void memory_touch(struct pb_memory *memory) {
    bench_touch(memory_base(memory), memory_length(memory));
}

/* ---- Registration ---------------------------------------------------------------------------- */

/* The text as a label; must fit into 1,024 bytes. */
static const char *kept(const char *text, size_t length) {
    if (length >= 1024) {
        fprintf(stderr, "bench: a label is too long\n");
        abort();
    }
    return bench_kept_text("%s", text);
}

/* "/by:16/advice:huge" */
static int write_options(char *to, size_t room, const struct bench_parameter *options, int count) {
    int length = 0;
    to[0] = 0;
    for (int i = 0; i < count && options[i].name != NULL; i++) {
        char *at = to + length;
        size_t left = room - (size_t)length;
        length +=
            options[i].text != NULL
                ? snprintf(at, left, "/%s:%s", options[i].name, options[i].text)
                : snprintf(at, left, "/%s:%lld", options[i].name, (long long)options[i].number);
    }
    return length;
}

/* What bounds the row, then its peers. */
static const char *label(const struct memory_row *row) {
    char options[128], bound_options[128], threads[32] = "", text[1024];
    size_t length = 0;
    write_options(options, sizeof options, row->options, OPTIONS_MAX);
    write_options(bound_options, sizeof bound_options, row->options, row->bound_options);
    if (row->threads > 0) {
        snprintf(threads, sizeof threads, "/threads:%d", row->threads);
    }
    if (row->bound != NULL) {
        length += (size_t)snprintf(text, sizeof text, "bound/%s/pages:%u%s%s", row->bound,
                                   row->pages, bound_options, threads);
    }
    const char *operation = strchr(row->name, '/') + 1;
    for (const char *peer = row->peers; peer != NULL && *peer != 0 && length < sizeof text;) {
        size_t letters = strcspn(peer, ",");
        length += (size_t)snprintf(text + length, sizeof text - length,
                                   "%speer/%s/of:%.*s/pages:%u%s%s", length > 0 ? "," : "",
                                   operation, (int)letters, peer, row->pages, options, threads);
        peer += letters + (peer[letters] == ',');
    }
    return length > 0 ? kept(text, length) : NULL;
}

void memory_row_add(const struct memory_row *row) {
    const struct subject *subject = row->subject;
    struct bench_case bench = {
        .name = row->name,
        .run = row->run,
        .argument = subject,
        .clock = row->clock,
        .parameters = {{"strategy", .text = pb_strategy_info(subject->strategy)->name}},
        .threads = row->threads,
        .bounds = label(row),
        .iterations = row->iterations,
        .full_only = row->full_only,
    };
    int next = 1;
    if (subject->variant.name != NULL) {
        bench.parameters[next++] = subject->variant;
    }
    bench.parameters[next++] = (struct bench_parameter){"pages", NULL, row->pages};
    for (int i = 0; i < OPTIONS_MAX && row->options[i].name != NULL; i++) {
        bench.parameters[next++] = row->options[i];
    }
    const char *reason = "this kernel cannot do it";
    if (pb_strategy_available(subject->strategy, &reason) != PB_OK) {
        bench.skip = reason;
    }
    bench_register(&bench);
}

BENCH_SUBJECT {
    static const char *const words[][2] = {
        {"pages", ", %s pages"},
        {"pages:1", ", 1 page"},
        {"by", ", by %s"},
        {"by:0", ", doubling"},
        {"to", ", to %s pages"},
        {"written", ", %s % written"},
        {"written:100", ""},
        {"written:0", ", nothing written"},
        {"writes:same", ", the same pages"},
        {"touched", ", %s % touched"},
        {"from", ""},
        {"read", ", read"},
        {"guard:0", ", no guard"},
        {"advice:none", ""},
        {"advice:populate", ", populated"},
        {"advice:huge", ", huge pages"},
        {"threads", ", %s threads"},
        {"threads:1", ", 1 thread"},
        {"of:seed_static", "upstream, static"},
        {"of:seed_dynamic", "upstream, dynamic"},
        {"of:v8", "V8, from JavaScript"},
        {"/life", "a life"},
        {"/grow_steps", "grow"},
        {"/create_touch", "create, write"},
        {"/copy_touch", "copy, write"},
        {"/reuse", "reset, write"},
        {"/many", "several at once"},
        {NULL, NULL},
    };
    bench_words_add(words);
}
