/* memory_reuse.c: the cost of the next tenant: resetting a memory, reusing all or part of it, and
 * starting one with given bytes, from a frozen image or by copying. Run: build/bench/bench
 * --filter='^memory/(reset|reuse|tenant|init)'. */
#include "memories.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { BIG_PAGES = 256 }; /* large enough for huge pages */
static const uint32_t sizes[] = {1, 16, BIG_PAGES};
enum { SIZES = sizeof sizes / sizeof sizes[0] };
static const struct bench_parameter populate = {"advice", "populate", PB_ADVICE_POPULATE};
static const struct bench_parameter huge_pages = {"advice", "huge", PB_ADVICE_HUGE_PAGES};

/* ---- Reset and reuse ------------------------------------------------------------------------- */

/* Resets a memory whose host pages were all written; with `touch` the next tenant writes to each.
 * One memory is reused again and again. */
static void run_resets(struct bench_state *state, bool touch) {
    struct memories memories;
    bool good = memories_begin(&memories, state, bench_argument(state), BENCH_CAPACITY_PAGES) &&
                memories_check(state, "create", memories_create(&memories, 1));
    while (good && bench_next(state, 1)) {
        memories_touch(&memories);
        bench_begin(state);
        enum pb_status status = pb_memory_reset(memories.at[0]);
        if (touch && status == PB_OK) {
            memories_touch(&memories);
        }
        bench_end(state);
        good = memories_check(state, "reset", status);
    }
    memories_end(&memories);
}

static void run_reset(struct bench_state *state) {
    run_resets(state, false);
}

static void run_reuse(struct bench_state *state) {
    run_resets(state, true);
}

/* ---- Tenants --------------------------------------------------------------------------------- */

/* Writes one byte to `written` per cent of the host pages, spread over the memory; which pages
 * depends on the tenant's number. */
static void write_part(struct pb_memory *memory, int64_t written, uint64_t tenant) {
    volatile uint8_t *base = memory_base(memory);
    uint64_t pages = memory_length(memory) / BENCH_HOST_PAGE;
    uint64_t count = pages * (uint64_t)written / 100, step = pages / count;
    for (uint64_t i = 0; i < count; i++) {
        base[(i * step + tenant * 7) % pages * BENCH_HOST_PAGE] = 2;
    }
}

/* Initial contents of an instance: as many bytes as the memory has, none of them zero. Aligned to a
 * host page like the memory, because some memcpy are slow at other distances modulo 4,096. */
static uint8_t *contents(uint64_t bytes) {
    uint8_t *made = aligned_alloc(BENCH_HOST_PAGE, bytes);
    if (made != NULL) {
        memset(made, 1, bytes);
    }
    return made;
}

/* Freezes an image of the whole memory for later first contents. */
static enum pb_status image_make(struct memories *memories) {
    uint64_t count = pb_pages_to_bytes(memories->pages);
    uint8_t *bytes = contents(count);
    enum pb_status status = PB_NO_MEMORY;
    if (bytes != NULL) {
        status = pb_image_create(bytes, count, NULL, &memories->config.image);
    }
    free(bytes);
    return status;
}

/* From the end of one tenant to the end of the next one's run: the reset, and writes to other pages
 * than the last tenant's, or to the same. Each thread has a memory and a pool of its own. */
static void run_tenants(struct bench_state *state) {
    struct memories memories;
    const int64_t written = bench_number(state, "written");
    const uint64_t step = bench_has(state, "writes") ? 0 : 1;
    uint64_t tenant = 0;
    bool good = memories_begin(&memories, state, bench_argument(state), BENCH_CAPACITY_PAGES);
    if (good && memories.subject->strategy == PB_STRATEGY_IMAGE) {
        good = memories_check(state, "image", image_make(&memories));
    }
    good = good && memories_check(state, "create", memories_create(&memories, 1));
    if (good) {
        write_part(memories.at[0], written, tenant);
    }
    while (good && bench_next(state, 1)) {
        bench_begin(state);
        enum pb_status status = pb_memory_reset(memories.at[0]);
        if (status == PB_OK) {
            write_part(memories.at[0], written, tenant += step);
        }
        bench_end(state);
        good = memories_check(state, "reset", status);
    }
    memories_end(&memories);
    pb_image_release(memories.config.image);
}

/* ---- Memories with first contents ------------------------------------------------------------ */

/* Reads one byte of each host page: the least that the first run of an instance does. */
static void read_all(struct pb_memory *memory) {
    volatile uint8_t *base = memory_base(memory);
    for (uint64_t at = 0; at < memory_length(memory); at += BENCH_HOST_PAGE) {
        (void)base[at];
    }
}

/* Creates a memory with the contents: from its image if the strategy has one, else by copying. */
static enum pb_status start(struct memories *memories, const uint8_t *bytes) {
    enum pb_status status = memories_create(memories, 1);
    if (status == PB_OK && memories->config.image == NULL) {
        uint64_t count = pb_pages_to_bytes(memories->pages);
        status = pb_memory_initialise(memories->at[0], 0, bytes, count);
    }
    return status;
}

static void run_init(struct bench_state *state) {
    struct memories memories;
    bool good = memories_begin(&memories, state, bench_argument(state), BENCH_CAPACITY_PAGES);
    uint64_t count = pb_pages_to_bytes(memories.pages);
    uint8_t *bytes = contents(count);
    good = good && memories_check(state, "contents", bytes != NULL ? PB_OK : PB_NO_MEMORY);
    if (good && strcmp(bench_text(state, "from"), "image") == 0) {
        enum pb_status status = pb_image_create(bytes, count, NULL, &memories.config.image);
        good = memories_check(state, "image", status);
    }
    bool read = bench_has(state, "read");
    while (good && bench_next(state, 1)) {
        bench_begin(state);
        enum pb_status status = start(&memories, bytes);
        if (read && status == PB_OK) {
            read_all(memories.at[0]);
        }
        bench_end(state);
        good = memories_check(state, "start", status);
        memories_destroy(&memories);
    }
    memories_end(&memories);
    pb_image_release(memories.config.image);
    free(bytes);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static struct memory_row row(const char *name, void (*run)(struct bench_state *),
                             const struct subject *subject, uint32_t pages, const char *bound) {
    return (struct memory_row){
        .name = name,
        .run = run,
        .clock = BENCH_CLOCK_SECTIONS,
        .subject = subject,
        .pages = pages,
        .bound = bound,
        .full_only = pages != 16,
    };
}

/* An option without a name does not count. */
static void add_resets(const struct subject *subject, uint32_t pages,
                       struct bench_parameter option) {
    struct memory_row made = row("memory/reset", run_reset, subject, pages, subject->renew);
    made.options[0] = option;
    memory_row_add(&made);
    bool heap = subject->strategy == PB_STRATEGY_HEAP;
    made = row("memory/reuse", run_reuse, subject, pages, heap ? "memset" : "discard_touch");
    made.options[0] = option;
    memory_row_add(&made);
}

static void add_tenants(const struct subject *subject, uint32_t pages) {
    static const int written[] = {1, 5, 10, 20, 50, 100};
    for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
        struct memory_row made = row("memory/tenant", run_tenants, subject, pages, NULL);
        made.options[0] = (struct bench_parameter){"written", NULL, written[i]};
        made.full_only = true;
        memory_row_add(&made);
        made.threads = 2;
        memory_row_add(&made);
        made.threads = 0;
        made.options[1] = (struct bench_parameter){"writes", "same", 0};
        memory_row_add(&made);
    }
}

static void add_inits(const struct subject *subject, uint32_t pages, const char *from) {
    bool image = strcmp(from, "image") == 0;
    struct memory_row made =
        row("memory/init", run_init, subject, pages, image ? "map_file" : "copy");
    made.options[0] = (struct bench_parameter){"from", from, 0};
    memory_row_add(&made);
    made.options[1] = (struct bench_parameter){"read", NULL, 100};
    made.bound = image ? "map_file_read" : "copy";
    memory_row_add(&made);
}

/* Instances of one image: a reset gives written pages back, or copies them back up to a limit. */
enum { IMAGE_RESIDENT_BYTES = BENCH_CAPACITY_PAGES * 65536 };
static const struct subject image_tenants[] = {
    {.strategy = PB_STRATEGY_IMAGE, .variant = {"reset", "discard", 0}},
    {.strategy = PB_STRATEGY_IMAGE,
     .variant = {"reset", "scan", 0},
     .keep_resident_bytes = IMAGE_RESIDENT_BYTES},
};

BENCH_SUBJECT {
    for (size_t i = 0; i < sizeof image_tenants / sizeof image_tenants[0]; i++) {
        add_tenants(&image_tenants[i], 64);
        add_tenants(&image_tenants[i], 1024);
    }
}

BENCH_SUBJECT {
    for (int i = 0; i < subjects_count; i++) {
        for (int size = 0; size < SIZES && !subjects[i].tuned; size++) {
            add_resets(&subjects[i], sizes[size], (struct bench_parameter){NULL, NULL, 0});
            if (sizes[size] == BIG_PAGES && subject_is_mapped(&subjects[i])) {
                add_resets(&subjects[i], BIG_PAGES, populate);
                add_resets(&subjects[i], BIG_PAGES, huge_pages);
            }
            bool image = subjects[i].strategy == PB_STRATEGY_IMAGE;
            bool usual = &subjects[i] == SUBJECT_RESERVE ||
                         subjects[i].strategy == PB_STRATEGY_POOL ||
                         subjects[i].strategy == PB_STRATEGY_HEAP;
            if (sizes[size] != 1 &&
                (subjects[i].strategy == PB_STRATEGY_POOL || &subjects[i] == SUBJECT_RESERVE)) {
                add_tenants(&subjects[i], sizes[size] == 16 ? 64 : 1024);
            }
            if (image || usual) {
                add_inits(&subjects[i], sizes[size], image ? "image" : "bytes");
            }
        }
    }
}

BENCH_SUBJECT {
    static const struct bench_section sections[] = {
        {.inside = MEMORY_SECTION,
         .title = "Reset",
         .text = "Reset of a fully written memory to its first state.",
         .rows = "^memory/reset/" EVERY_STRATEGY "/pages:[0-9]+$",
         .lines = STRATEGY_KEYS,
         .columns = "pages",
         .usual = "16 pages",
         .axis = PAGES_AXIS},
        {.inside = MEMORY_SECTION,
         .title = "Reset, then write",
         .text =
             "The same, and one byte written to each host page: what the next tenant pays. Zeroing "
             "by hand (`heap`, `pool keep`) is faster than giving pages back if they are needed "
             "again at once.",
         .rows = "^memory/reuse/" EVERY_STRATEGY "/pages:[0-9]+$",
         .lines = STRATEGY_KEYS,
         .columns = "pages",
         .usual = "16 pages",
         .axis = PAGES_AXIS},
        {.inside = MEMORY_SECTION,
         .title = "Tenants that write a part",
         .text =
             "Reset, then a part of the host pages written, by one thread and by two. Each tenant "
             "writes other pages, or (`same`) those that the last one wrote.",
         .rows = "^memory/tenant/",
         .lines = STRATEGY_KEYS " written writes threads",
         .columns = "pages"},
        {.inside = MEMORY_SECTION,
         .title = "First contents",
         .text = "A memory with all of its bytes given: copied in, or a view of a frozen image; "
                 "`read`: "
                 "each host page is read after.",
         .rows = "^memory/init/",
         .lines = STRATEGY_KEYS " read",
         .columns = "pages",
         .usual = "16 pages",
         .axis = PAGES_AXIS},
        {.title = NULL}};
    bench_sections_add(sections);
    bench_answer("**The next tenant** of 16 written pages, which writes to all of them, takes "
                 "{time memory/reuse/strategy:pool/reset:discard/pages:16} if the pool "
                 "returns them to the system and {time "
                 "memory/reuse/strategy:pool/reset:keep/pages:16} if it keeps and zeroes "
                 "them ({ratio memory/reuse/strategy:pool/reset:keep/pages:16 "
                 "memory/reuse/strategy:pool/reset:discard/pages:16}).");
}
