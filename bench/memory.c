/* memory.c: the cost of a linear memory by strategy and size: create, grow, copy, first touch,
 * destroy, and a short life; with and without a guard, unpopulated, with huge pages, and populated.
 * Run: build/bench/bench --filter='^memory/'.
 *
 * pages: the memory's size. Strategies that never move reserve 1,024 pages. The others reserve only
 * what they hold, so each growth of remap, move and heap exceeds the capacity, which is their
 * expensive case. */
#include "memories.h"

#include <stddef.h>
#include <string.h>

enum { BIG_PAGES = 256 }; /* 16 MiB: large enough for huge pages */

/* Ways to have pages present before they are first written. */
static const struct bench_parameter advices[] = {
    {"advice", "none", PB_ADVICE_NONE},
    {"advice", "populate", PB_ADVICE_POPULATE},
    {"advice", "huge", PB_ADVICE_HUGE_PAGES},
};
static const char *const advice_bounds[] = {"touch", "populate", "touch_huge"};
enum { ADVICES = sizeof advices / sizeof advices[0] };

/* ---- The rows -------------------------------------------------------------------------------- */

static int64_t number(const struct bench_state *state, const char *name, int64_t otherwise) {
    return bench_has(state, name) ? bench_number(state, name) : otherwise;
}

/* The capacity that a growth needs: the usual one, or more if it grows past that. */
static uint32_t capacity(const struct bench_state *state) {
    int64_t grown = bench_number(state, "pages") + number(state, "by", 1);
    return grown > BENCH_CAPACITY_PAGES ? (uint32_t)grown : BENCH_CAPACITY_PAGES;
}

/* The steps of a row, in order; the clock runs between begin and end. */
enum step { STEP_NONE, STEP_CREATE, STEP_TOUCH, STEP_GROW, STEP_DESTROY };

static enum pb_status do_step(struct memories *memories, enum step step, int batch, uint32_t by) {
    enum pb_status status = PB_OK;
    uint32_t old_pages;
    switch (step) {
    case STEP_CREATE:
        return memories_create(memories, batch);
    case STEP_TOUCH:
        memories_touch(memories);
        break;
    case STEP_GROW:
        for (int i = 0; i < memories->count && status == PB_OK; i++) {
            status = pb_memory_grow(memories->at[i], by, &old_pages);
        }
        break;
    case STEP_DESTROY:
        memories_destroy(memories);
        break;
    case STEP_NONE:
        break;
    }
    return status;
}

/* before: up to two steps outside the clock; measured: up to two inside. */
static void run_steps(struct bench_state *state, const enum step before[2],
                      const enum step measured[2]) {
    struct memories memories;
    bool good = memories_begin(&memories, state, bench_argument(state), capacity(state));
    int batch = bench_batch(memories.pages);
    uint32_t by = (uint32_t)number(state, "by", 1);
    while (good && bench_next(state, batch)) {
        enum pb_status status = PB_OK;
        for (int i = 0; i < 2 && status == PB_OK; i++) {
            status = do_step(&memories, before[i], batch, by);
        }
        bench_begin(state);
        for (int i = 0; i < 2 && status == PB_OK; i++) {
            status = do_step(&memories, measured[i], batch, by);
        }
        bench_end(state);
        good = memories_check(state, "refused", status);
        memories_destroy(&memories);
    }
    memories_end(&memories);
}

#define STEPS(...) ((const enum step[2]){__VA_ARGS__})

static void run_create(struct bench_state *state) {
    run_steps(state, STEPS(STEP_NONE), STEPS(STEP_CREATE));
}

/* By one page, or as many as the row says, of a memory whose host pages have all been written. */
static void run_grow(struct bench_state *state) {
    run_steps(state, STEPS(STEP_CREATE, STEP_TOUCH), STEPS(STEP_GROW));
}

static void run_touch(struct bench_state *state) {
    run_steps(state, STEPS(STEP_CREATE), STEPS(STEP_TOUCH));
}

static void run_destroy(struct bench_state *state) {
    run_steps(state, STEPS(STEP_CREATE, STEP_TOUCH), STEPS(STEP_DESTROY));
}

static void run_create_touch(struct bench_state *state) {
    run_steps(state, STEPS(STEP_NONE), STEPS(STEP_CREATE, STEP_TOUCH));
}

/* Writes to a percentage of the host pages, spread evenly: 100, 1 or 0. */
static void touch_part(struct pb_memory *memory, int64_t percent) {
    volatile uint8_t *base = memory_base(memory);
    uint64_t step = percent > 0 ? BENCH_HOST_PAGE * 100UL / (uint64_t)percent : 0;
    for (uint64_t at = 0; percent > 0 && at < memory_length(memory); at += step) {
        base[at] = 1;
    }
}

/* Copies a memory of which `written` per cent of the host pages were written since the last copy;
 * then writes to `touched` per cent of the copy. */
static void run_copies(struct bench_state *state, int64_t touched) {
    struct memories memories;
    bool good = memories_begin(&memories, state, bench_argument(state), BENCH_CAPACITY_PAGES);
    struct pb_memory *copy = NULL;
    good = good && memories_check(state, "create", memories_create(&memories, 1));
    struct pb_memory *source = memories.at[0];
    if (good) {
        memory_touch(source);
        good = memories_check(state, "copy", pb_memory_copy(source, &copy));
        pb_memory_release(copy);
    }
    int64_t written = bench_number(state, "written");
    while (good && bench_next(state, 1)) {
        touch_part(source, written);
        copy = NULL;
        bench_begin(state);
        enum pb_status status = pb_memory_copy(source, &copy);
        if (status == PB_OK) {
            touch_part(copy, touched);
        }
        bench_end(state);
        good = memories_check(state, "copy", status);
        pb_memory_release(copy);
    }
    memories_end(&memories);
}

static void run_copy(struct bench_state *state) {
    run_copies(state, 0);
}

static void run_copy_touch(struct bench_state *state) {
    run_copies(state, number(state, "touched", 100));
}

/* A short-lived instance: create, write to four host pages, destroy. */
static void run_life(struct bench_state *state) {
    struct memories memories;
    bool good = memories_begin(&memories, state, bench_argument(state), BENCH_CAPACITY_PAGES);
    while (good && bench_next(state, 1)) {
        bench_begin(state);
        enum pb_status status = memories_create(&memories, 1);
        if (status == PB_OK) {
            bench_touch(memory_base(memories.at[0]),
                        (uint64_t)BENCH_TOUCHED_HOST_PAGES * BENCH_HOST_PAGE);
        }
        memories_destroy(&memories);
        bench_end(state);
        good = memories_check(state, "create", status);
    }
    memories_end(&memories);
}

/* A memory that grows on demand from `pages` to `to`: by so many pages each time, or (by:0) to
 * twice its size. Nothing is written, so this is the cost of the growths alone. */
static void run_grow_steps(struct bench_state *state) {
    struct memories memories;
    uint32_t to = (uint32_t)bench_number(state, "to"), by = (uint32_t)bench_number(state, "by");
    bool good = memories_begin(&memories, state, bench_argument(state), to) &&
                memories_room(state, pb_pages_to_bytes(to));
    while (good && bench_next(state, 1)) {
        enum pb_status status = memories_create(&memories, 1);
        uint32_t pages = memories.pages, old_pages;
        bench_begin(state);
        while (status == PB_OK && pages < to) {
            uint32_t step = by > 0 ? by : pages;
            step = step < to - pages ? step : to - pages;
            status = pb_memory_grow(memories.at[0], step, &old_pages);
            pages += step;
        }
        bench_end(state);
        good = memories_check(state, "grow", status);
        memories_destroy(&memories);
    }
    memories_end(&memories);
}

/* ---- Registration ---------------------------------------------------------------------------- */

#define EVERY_PEER "seed_static,seed_dynamic,wabt,v8"
#define NATIVE_PEERS "seed_static,seed_dynamic,wabt"
#define SEED_PEERS "seed_static,seed_dynamic"

/* The sizes for which there are peers. Quick runs have 16 pages; create and grow also 256. */
static bool main_size(uint32_t pages) {
    return pages == 1 || pages == 16 || pages == 256;
}

static void add(const char *name, void (*run)(struct bench_state *), const struct subject *subject,
                uint32_t pages, const char *bound, const char *peers) {
    bool big = run == run_create || run == run_grow;
    memory_row_add(&(struct memory_row){
        .name = name,
        .run = run,
        .clock = BENCH_CLOCK_SECTIONS,
        .subject = subject,
        .pages = pages,
        .bound = bound,
        .peers = main_size(pages) ? peers : NULL,
        .full_only = subject->tuned || (pages != 16 && !(big && pages == BIG_PAGES)),
    });
}

static void add_with(const char *name, void (*run)(struct bench_state *),
                     const struct subject *subject, uint32_t pages, const char *bound,
                     struct bench_parameter option, bool full_only) {
    memory_row_add(&(struct memory_row){
        .name = name,
        .run = run,
        .clock = BENCH_CLOCK_SECTIONS,
        .subject = subject,
        .pages = pages,
        .options = {option},
        .bound = bound,
        .full_only = full_only,
    });
}

static void add_copies(const struct subject *subject, uint32_t pages, int written) {
    struct bench_parameter option = {"written", NULL, written};
    bool view = pb_strategy_info(subject->strategy)->copy == PB_COPY_ON_WRITE && written < 100;
    struct memory_row row = {
        .name = "memory/copy",
        .run = run_copy,
        .clock = BENCH_CLOCK_SECTIONS,
        .subject = subject,
        .pages = pages,
        .options = {option},
        .bound = view ? "map_file" : "copy",
        .peers = main_size(pages) && written == 100 ? SEED_PEERS : NULL,
        .full_only = pages != 16,
    };
    memory_row_add(&row);
    row.name = "memory/copy_touch";
    row.run = run_copy_touch;
    row.bound = view ? "map_file_touch" : "copy";
    row.peers = NULL;
    row.full_only = pages != 16;
    if (written != 1) {
        memory_row_add(&row);
    }
    row.options[1] = (struct bench_parameter){"touched", NULL, 1};
    row.bound = view ? "map_file" : "copy";
    if (written != 1 && (pages == 16 || pages == BIG_PAGES)) {
        memory_row_add(&row);
    }
}

static void add_size(const struct subject *subject, uint32_t pages) {
    add("memory/create", run_create, subject, pages, subject->create, EVERY_PEER);
    add("memory/grow", run_grow, subject, pages, subject->grow, EVERY_PEER);
    add("memory/touch", run_touch, subject, pages, "touch", NULL);
    add("memory/destroy", run_destroy, subject, pages, subject->destroy, NATIVE_PEERS);
    if (!subject->tuned) {
        add_copies(subject, pages, 100);
    }
    if (pb_strategy_info(subject->strategy)->copy == PB_COPY_ON_WRITE) {
        add_copies(subject, pages, 1);
        add_copies(subject, pages, 0);
    }
}

/* Growth by several pages, and on demand. */
static void add_growths(const struct subject *subject) {
    bool moves = !pb_strategy_info(subject->strategy)->stable_base;
    static const int64_t by[] = {16, 1024};
    for (int i = 0; i < 2; i++) {
        memory_row_add(&(struct memory_row){
            .name = "memory/grow",
            .run = run_grow,
            .clock = BENCH_CLOCK_SECTIONS,
            .subject = subject,
            .pages = 16,
            .options = {{"by", NULL, by[i]}},
            .bound = subject->grow,
            .bound_options = OPTIONS_MAX,
            .peers = EVERY_PEER,
            .full_only = i == 0 || subject->tuned,
        });
    }
    static const struct {
        int64_t to, by;
        const char *peers;
    } climbs[] = {{1024, 16, EVERY_PEER}, {16384, 0, EVERY_PEER}};
    for (int i = 0; i < 2; i++) {
        memory_row_add(&(struct memory_row){
            .name = "memory/grow_steps",
            .run = run_grow_steps,
            .clock = BENCH_CLOCK_SECTIONS,
            .subject = subject,
            .pages = 1,
            .options = {{"to", NULL, climbs[i].to}, {"by", NULL, climbs[i].by}},
            .bound = subject->grow == NULL ? NULL : "steps",
            .bound_options = OPTIONS_MAX,
            .peers = climbs[i].peers,
            .iterations = moves ? 1 : 0,
            .full_only = true,
        });
    }
}

/* A copy of a fully written memory, with an option. */
static void add_copy_with(const struct subject *subject, uint32_t pages,
                          struct bench_parameter option) {
    memory_row_add(&(struct memory_row){
        .name = "memory/copy",
        .run = run_copy,
        .clock = BENCH_CLOCK_SECTIONS,
        .subject = subject,
        .pages = pages,
        .options = {{"written", NULL, 100}, option},
        .bound = "copy",
        .full_only = true,
    });
}

/* Without a guard, and with advice to the kernel on how to provide the pages. */
static void add_variants(const struct subject *subject) {
    static const struct bench_parameter no_guard = {"guard", NULL, 0};
    add_with("memory/create", run_create, subject, 16, subject->create, no_guard, true);
    add_with("memory/grow", run_grow, subject, 16, subject->grow, no_guard, true);
    add_with("memory/destroy", run_destroy, subject, 16, subject->destroy, no_guard, true);
    add_with("memory/life", run_life, subject, 1, "life", no_guard, true);
    add_copy_with(subject, 16, no_guard);
    for (int i = 0; i < ADVICES; i++) {
        if (subject != SUBJECT_RESERVE) { /* reserve has them at every size */
            add_with("memory/create_touch", run_create_touch, subject, BIG_PAGES, advice_bounds[i],
                     advices[i], true);
        }
        if (advices[i].number == PB_ADVICE_POPULATE) {
            add_with("memory/grow", run_grow, subject, BIG_PAGES, subject->grow, advices[i], true);
        }
        if (advices[i].number != PB_ADVICE_NONE) {
            add_copy_with(subject, BIG_PAGES, advices[i]);
        }
        if (advices[i].number == PB_ADVICE_HUGE_PAGES) {
            add_with("memory/destroy", run_destroy, subject, BIG_PAGES, subject->destroy,
                     advices[i], true);
        }
    }
}

BENCH_SUBJECT {
    for (int size = 0; size < BENCH_SIZES; size++) {
        for (int i = 0; i < ADVICES; i++) {
            add_with("memory/create_touch", run_create_touch, SUBJECT_RESERVE, bench_sizes[size],
                     advice_bounds[i], advices[i], bench_sizes[size] != BIG_PAGES);
        }
    }
}

BENCH_SUBJECT {
    for (int i = 0; i < subjects_count; i++) {
        const struct subject *subject = &subjects[i];
        for (int size = 0; size < BENCH_SIZES; size++) {
            if (!subject->tuned || main_size(bench_sizes[size])) {
                add_size(subject, bench_sizes[size]);
            }
        }
        memory_row_add(&(struct memory_row){
            .name = "memory/life",
            .run = run_life,
            .clock = BENCH_CLOCK_SECTIONS,
            .subject = subject,
            .pages = 1,
            .bound = "life",
            .peers = NATIVE_PEERS,
        });
        if (!subject->tuned) {
            add_growths(subject);
        }
        if (subject_is_mapped(subject)) {
            add_variants(subject);
        }
    }
}

/* ---- What the report says -------------------------------------------------------------------- */

/* A section with a column for each size, and a plot over them. */
#define SIZES_COLUMNS .columns = "pages", .usual = "16 pages", .axis = PAGES_AXIS

BENCH_SUBJECT {
    static const struct bench_section sections[] = {
        {.inside = MEMORY_SECTION,
         .title = "Beside limits and peers",
         .text = "Strategy `reserve`, in the rows that have limits or peers.",
         .rows = "^memory/((create|grow|destroy)/strategy:reserve/pages:16(/by:[0-9]+)?"
                 "|copy/strategy:reserve/pages:16/written:100|life/strategy:reserve/pages:1"
                 "|grow_steps/strategy:reserve/.*)$",
         .lines = "operation pages to by"},
        {.inside = MEMORY_SECTION,
         .title = "Create",
         .text = "A memory of so many pages, untouched.",
         .rows = "^memory/create/" EVERY_STRATEGY "/pages:[0-9]+$",
         .lines = STRATEGY_KEYS,
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "Grow",
         .text = "Growth by one page of a memory whose bytes have all been written. `remap`, "
                 "`move` and "
                 "`heap` grow past what they reserved; the others grow in place.",
         .rows = "^memory/grow/" EVERY_STRATEGY "/pages:[0-9]+$",
         .lines = STRATEGY_KEYS,
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "First touch",
         .text = "One byte written to each host page of a new memory.",
         .rows = "^memory/touch/" EVERY_STRATEGY "/pages:[0-9]+$",
         .lines = STRATEGY_KEYS,
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "Copy",
         .text =
             "A copy of a memory whose bytes have all been written since the last copy. `image` "
             "also with nothing or 1 % written: then only the written host pages are copied.",
         .rows = "^memory/copy/" EVERY_STRATEGY "/pages:[0-9]+/written:[0-9]+$",
         .lines = STRATEGY_KEYS " written",
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "Copy, then write",
         .text = "The same, and one byte written to each host page of the copy, or to 1 % of them: "
                 "where copy-on-write pays later.",
         .rows = "^memory/copy_touch/" EVERY_STRATEGY "/pages:[0-9]+/written:[0-9]+(/touched:1)?$",
         .lines = STRATEGY_KEYS " written touched",
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "Destroy",
         .text = "A memory whose bytes have all been written. A pool resets the slot here.",
         .rows = "^memory/destroy/" EVERY_STRATEGY "/pages:[0-9]+$",
         .lines = STRATEGY_KEYS,
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "Create and touch, with advice",
         .text =
             "Strategy `reserve`, create and one byte written to each host page: as it is, with "
             "the pages populated by one call, and with huge pages advised.",
         .rows = "^memory/create_touch/strategy:reserve/",
         .lines = "advice",
         SIZES_COLUMNS},
        {.inside = MEMORY_SECTION,
         .title = "A short life",
         .text = "Create one page, write to four host pages, destroy: the cost of a short-lived "
                 "instance.",
         .rows = "^memory/life/" EVERY_STRATEGY "/pages:1$",
         .lines = STRATEGY_KEYS},
        {.inside = MEMORY_SECTION,
         .title = "Growth by more, and on demand",
         .text =
             "The first three columns are single growths of a fully written memory. The last two "
             "grow from one page, in equal steps or doubling up to 1 GiB, and write nothing. "
             "`heap` zeroes what it adds, or takes a zeroed block where it adds more than it has.",
         .rows = "^(memory|peer)/(grow/(" EVERY_STRATEGY "|of:[a-z_0-9]+)/pages:16(/by:[0-9]+)?"
                 "|grow_steps/(" EVERY_STRATEGY "|of:[a-z_0-9]+)/.*)$",
         .lines = STRATEGY_KEYS " of",
         .columns = "operation pages to by"},
        {.inside = MEMORY_SECTION,
         .title = "No guard",
         .text = "With a guard of 64 KiB behind the memory, as in all other rows, and with none.",
         .rows = "^memory/((create|grow|destroy)/" MAPPED_STRATEGY "/pages:16"
                 "|life/" MAPPED_STRATEGY "/pages:1|copy/" MAPPED_STRATEGY "/pages:16/written:100"
                 "|many/" MAPPED_STRATEGY "/pages:1/memories:4)(/guard:0)?(/threads:[12])?$",
         .lines = STRATEGY_KEYS " guard",
         .columns = "operation threads"},
        {.inside = MEMORY_SECTION,
         .title = "Populated, huge pages",
         .text = "256 pages (16 MiB): faulted in one by one, populated by one call, and with huge "
                 "pages advised.",
         .rows = "^memory/(create_touch|grow|copy|destroy|reset|reuse)/" MAPPED_STRATEGY
                 "/pages:256(/written:100)?(/advice:[a-z]+)?$",
         .lines = STRATEGY_KEYS " advice",
         .columns = "operation"},
        {.inside = "Allocators",
         .title = "Memories by allocator",
         .rows = "^memory/(create|grow|touch|destroy)/strategy:heap/allocator:[a-z_0-9]+"
                 "/pages:(16|256)$",
         .lines = "allocator",
         .columns = "operation pages"},
        {.title = NULL},
    };
    bench_sections_add(sections);
}

BENCH_SUBJECT {
    bench_headline("**Creating** a memory of 16 pages: fastest with {least "
                   "^memory/create/" EVERY_STRATEGY "/pages:16$}[; "
                   "`reserve` {limit memory/create/strategy:reserve/pages:16}]; slowest with "
                   "{most "
                   "^memory/create/" EVERY_STRATEGY "/pages:16$}.");
    bench_headline("**Growing** a written memory of 16 pages by one: fastest with {least "
                   "^memory/grow/" EVERY_STRATEGY "/pages:16$}[; "
                   "`reserve` {limit memory/grow/strategy:reserve/pages:16}]; slowest with {most "
                   "^memory/grow/" EVERY_STRATEGY "/pages:16$}.");
    bench_headline("**First touch** is what a new memory really costs: 256 pages (16 MiB), "
                   "created and written once, take {time "
                   "memory/create_touch/strategy:reserve/pages:256/advice:none} and {faults "
                   "memory/create_touch/strategy:reserve/pages:256/advice:none} page faults; "
                   "populated by one call {time "
                   "memory/create_touch/strategy:reserve/pages:256/advice:populate}; with "
                   "huge pages advised {time "
                   "memory/create_touch/strategy:reserve/pages:256/advice:huge} and {faults "
                   "memory/create_touch/strategy:reserve/pages:256/advice:huge} faults.");
    bench_headline("**Copying** 16 written pages takes {time "
                   "memory/copy/strategy:reserve/pages:16/written:100} with `reserve`. "
                   "`image` takes {time memory/copy/strategy:image/pages:16/written:0} when "
                   "nothing was written since its last copy ({ratio "
                   "memory/copy/strategy:image/pages:16/written:0 "
                   "memory/copy/strategy:reserve/pages:16/written:100}) and {time "
                   "memory/copy/strategy:image/pages:16/written:100} when all pages were.");
    bench_headline("**A short life** (create one page, write to four host pages, destroy): "
                   "{rank "
                   "^memory/life/" EVERY_STRATEGY "/pages:1$}. The "
                   "bare calls (map, protect, four faults, unmap): {time bound/life/pages:1}.");
    bench_answer("**Growing on demand** from one page to 1 GiB, doubling: `reserve` {time "
                 "memory/grow_steps/strategy:reserve/pages:1/to:16384/by:0}, `reserve_rw` "
                 "{time memory/grow_steps/strategy:reserve_rw/pages:1/to:16384/by:0}; `move`, "
                 "which copies, {time memory/grow_steps/strategy:move/pages:1/to:16384/by:0}: "
                 "reserve address space if there is enough.");
}
