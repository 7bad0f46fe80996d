/* memory_access.c: the cost of reading a memory in sequence, strided and at random, from 64 KiB to
 * 1 GiB, with bounds checked by guard pages, by comparison, or by the library's own call; and the
 * same loop over a bare mapping. Run: build/bench/bench --filter='access'.
 *
 * An iteration is one load of 4 bytes. The loops are like those of a WebAssembly compiler: base and
 * length are read for each access, because another function could have grown the memory; without a
 * check only the base is read. */
#include "memories.h"

#include <sys/mman.h>

enum { READS = 16384, GIB_BATCHES = 32, STRIDE_BYTES = 4096 + 64, GIB_PAGES = 16384 };

/* How the next index follows. All are walks modulo the memory's size, a power of two. */
enum pattern { SEQUENTIAL, STRIDED, RANDOM };
static const struct bench_parameter patterns[] = {
    {"pattern", "sequential", SEQUENTIAL},
    {"pattern", "strided", STRIDED},
    {"pattern", "random", RANDOM},
};
enum check { GUARD_PAGE, COMPARE, CALL };
static const struct bench_parameter checks[] = {
    {"check", "guard", GUARD_PAGE},
    {"check", "compare", COMPARE},
    {"check", "call", CALL},
};
enum { PATTERNS = 3 };

struct walk {
    uint32_t index, mask;
    uint64_t random;
};

static inline uint32_t step(struct walk *walk, enum pattern pattern) {
    if (pattern == SEQUENTIAL) {
        walk->index += 4;
    } else if (pattern == STRIDED) {
        walk->index += STRIDE_BYTES;
    } else {
        walk->random = walk->random * 6364136223846793005u + 1442695040888963407u;
        walk->index = (uint32_t)(walk->random >> 32) & ~3u;
    }
    return walk->index &= walk->mask;
}

/* The trap of a failed comparison: never taken, but the compiler cannot know that. */
static __attribute__((noinline, cold, noreturn)) void trap(void) {
    __builtin_trap();
}

static inline uint32_t load(const uint8_t *at) {
    return *(const volatile uint32_t *)(const void *)at;
}

static inline uint32_t read_guarded(struct pb_memory_definition *definition, uint32_t index) {
    return load(atomic_load_explicit(&definition->base, memory_order_relaxed) + index);
}

static inline uint32_t read_compared(struct pb_memory_definition *definition, uint32_t index) {
    uint64_t length = atomic_load_explicit(&definition->length_bytes, memory_order_relaxed);
    if (__builtin_expect((uint64_t)index + 4 > length, 0)) {
        trap();
    }
    return read_guarded(definition, index);
}

/* One loop for each pattern and check, which are constants after inlining. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))
ALWAYS_INLINE uint32_t reads(struct pb_memory *memory, struct pb_memory_definition *definition,
                             struct walk *walk, enum pattern pattern, enum check check) {
    uint32_t sum = 0;
    for (int i = 0; i < READS; i++) {
        uint32_t index = step(walk, pattern);
        uint64_t value = 0;
        if (check == CALL) {
            (void)pb_memory_load(memory, index, 0, 4, &value);
            sum += (uint32_t)value;
        } else {
            sum += check == COMPARE ? read_compared(definition, index)
                                    : read_guarded(definition, index);
        }
    }
    return sum;
}

static uint32_t read_all(struct pb_memory *memory, struct pb_memory_definition *definition,
                         struct walk *walk, enum pattern pattern, enum check check) {
#define CASE(p, c)                      \
    if (pattern == (p) && check == (c)) \
    return reads(memory, definition, walk, p, c)
    CASE(SEQUENTIAL, GUARD_PAGE);
    CASE(SEQUENTIAL, COMPARE);
    CASE(SEQUENTIAL, CALL);
    CASE(STRIDED, GUARD_PAGE);
    CASE(STRIDED, COMPARE);
    CASE(STRIDED, CALL);
    CASE(RANDOM, GUARD_PAGE);
    CASE(RANDOM, COMPARE);
#undef CASE
    return reads(memory, definition, walk, RANDOM, CALL);
}

static volatile uint32_t kept;

static void loop(struct bench_state *state, struct pb_memory *memory,
                 struct pb_memory_definition *definition, enum check check) {
    struct walk walk = {0, (uint32_t)(definition->length_bytes - 1), 1};
    enum pattern pattern = (enum pattern)bench_number(state, "pattern");
    while (bench_next(state, READS)) {
        kept = read_all(memory, definition, &walk, pattern, check);
    }
}

static void run_access(struct bench_state *state) {
    struct memories memories;
    uint32_t pages = (uint32_t)bench_number(state, "pages");
    bool good = memories_begin(&memories, state, bench_argument(state), pages) &&
                memories_room(state, pb_pages_to_bytes(pages)) &&
                memories_check(state, "create", memories_create(&memories, 1));
    if (good) {
        memories_touch(&memories);
        loop(state, memories.at[0], pb_memory_definition(memories.at[0]),
             (enum check)bench_number(state, "check"));
    }
    memories_end(&memories);
}

/* The same loop over a mapping of our own, with small pages, or huge ones if the kernel has
 * them. */
static void run_bare(struct bench_state *state) {
    uint64_t bytes = pb_pages_to_bytes((uint32_t)bench_number(state, "pages"));
    uint64_t huge = bench_argument(state) != NULL ? 2 << 20 : 0;
    if (!memories_room(state, bytes)) {
        return;
    }
    uint8_t *made = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) {
        bench_skip(state, "the system refuses it");
        return;
    }
    uint8_t *base = made + (huge > 0 ? -(uintptr_t)made % huge : 0);
    if (huge > 0) {
        madvise(base, bytes, MADV_HUGEPAGE);
    }
    bench_touch(base, bytes);
    struct pb_memory_definition definition;
    atomic_init(&definition.base, base);
    atomic_init(&definition.length_bytes, bytes);
    loop(state, NULL, &definition, GUARD_PAGE);
    munmap(made, bytes + huge);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static const uint32_t sizes[] = {1, 16, 256, 1024, GIB_PAGES};
enum { SIZES = sizeof sizes / sizeof sizes[0], BIG_PAGES = 256 };
static const struct bench_parameter huge_pages = {"advice", "huge", PB_ADVICE_HUGE_PAGES};

/* Filling a GiB takes long, so it is done only once, without a trial run. */
static int64_t iterations(uint32_t pages) {
    return pages == GIB_PAGES ? READS * GIB_BATCHES : 0;
}

static bool quick(uint32_t pages, int pattern) {
    return (pages == 1 || pages == BIG_PAGES) && pattern != STRIDED;
}

static void add(const struct subject *subject, uint32_t pages, int pattern, enum check check,
                bool huge) {
    struct memory_row row = {
        .name = "memory/access",
        .run = run_access,
        .subject = subject,
        .pages = pages,
        .options = {patterns[pattern], checks[check]},
        .bound = huge ? "access_huge" : "access",
        .full_only = huge || check == CALL || subject != SUBJECT_RESERVE || !quick(pages, pattern),
        .bound_options = 1,
        .iterations = iterations(pages),
    };
    if (huge) {
        row.options[2] = huge_pages;
    }
    memory_row_add(&row);
}

static void add_bare(uint32_t pages, int pattern, bool huge) {
    bench_register(&(struct bench_case){
        .name = huge ? "bound/access_huge" : "bound/access",
        .run = run_bare,
        .argument = huge ? &huge_pages : NULL,
        .parameters = {{"pages", NULL, pages}, patterns[pattern]},
        .iterations = iterations(pages),
        .full_only = huge || !quick(pages, pattern),
    });
}

BENCH_SUBJECT {
    for (int pattern = 0; pattern < PATTERNS; pattern++) {
        for (int size = 0; size < SIZES; size++) {
            bool huge = sizes[size] >= BIG_PAGES;
            add_bare(sizes[size], pattern, false);
            add(SUBJECT_RESERVE, sizes[size], pattern, GUARD_PAGE, false);
            add(SUBJECT_RESERVE, sizes[size], pattern, COMPARE, false);
            if (huge) {
                add_bare(sizes[size], pattern, true);
                add(SUBJECT_RESERVE, sizes[size], pattern, GUARD_PAGE, true);
            }
        }
        add(SUBJECT_RESERVE, 16, pattern, CALL, false);
    }
    /* The other strategies, where they could matter: at random, in more memory than the caches
     * hold. */
    for (int i = 1; i < subjects_count; i++) {
        bool traps = pb_strategy_info(subjects[i].strategy)->traps;
        if (!subjects[i].tuned) {
            add(&subjects[i], BIG_PAGES, RANDOM, traps ? GUARD_PAGE : COMPARE, false);
        }
    }
}

/* ---- What the report says -------------------------------------------------------------------- */

#define READ(pattern)                                                                      \
    "^(memory/access/strategy:reserve|bound/access(_huge)?)/pages:[0-9]+/pattern:" pattern \
    "(/check:.*)?$"
#define ACCESS "Access, and what bounds checks cost"
#define READ_COLUMNS .lines = "row check advice", .columns = "pages", .axis = PAGES_AXIS

BENCH_SUBJECT {
    static const char *const words[][2] = {{"memory/access", ""},
                                           {"check:guard", ", guard page"},
                                           {"check:compare", ", comparison"},
                                           {"check:call", ", the library's call"},
                                           {"bound/access", "the loop on a bare mapping"},
                                           {"bound/access_huge", "the loop on huge pages"},
                                           {NULL, NULL}};
    static const struct bench_section sections[] = {
        {.inside = MEMORY_SECTION,
         .title = ACCESS,
         .text =
             "One load of 4 bytes. The base (and the length, where it is compared) is reloaded "
             "each time, as in generated code. The limit is the same loop over a bare mapping."},
        {.inside = ACCESS, .title = "In sequence", .rows = READ("sequential"), READ_COLUMNS},
        {.inside = ACCESS, .title = "Strided", .rows = READ("strided"), READ_COLUMNS},
        {.inside = ACCESS, .title = "At random", .rows = READ("random"), READ_COLUMNS},
        {.inside = ACCESS,
         .title = "Every strategy",
         .text = "16 MiB, at random.",
         .rows =
             "^memory/access/" EVERY_STRATEGY "/pages:256/pattern:random/check:(guard|compare)$",
         .lines = STRATEGY_KEYS " check"},
        {.title = NULL}};
    bench_words_add(words);
    bench_sections_add(sections);
    bench_answer("**A load at random**, bounds by a guard page and by comparison:[ 64 KiB "
                 "{time memory/access/strategy:reserve/pages:1/pattern:random/check:guard} "
                 "and {time "
                 "memory/access/strategy:reserve/pages:1/pattern:random/check:compare};][ 16 "
                 "MiB {time "
                 "memory/access/strategy:reserve/pages:256/pattern:random/check:guard} and "
                 "{time "
                 "memory/access/strategy:reserve/pages:256/pattern:random/check:compare};][ 1 "
                 "GiB {time "
                 "memory/access/strategy:reserve/pages:16384/pattern:random/check:guard} and "
                 "{time "
                 "memory/access/strategy:reserve/pages:16384/pattern:random/check:compare}].");
}
