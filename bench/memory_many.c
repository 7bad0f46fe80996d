/* memory_many.c: several memories at once, in one thread and in two: the cost of instances that
 * come, grow and go while others do the same. The kernel takes one lock for the process's whole
 * address map at each mapping, protection and unmapping, and here it shows. Run: build/bench/bench
 * --filter='/many/'.
 *
 * An iteration is the life of one memory: created with one page, grown four times by one page and
 * written to, destroyed. `memories` of them live at once in each thread. Each thread has a core of
 * its own. The clock runs from when both start until both are done, and the time is divided by the
 * lives of both: in two threads, half the time means perfect scaling. */
#include "memories.h"
#include "threads.h"

#include <sys/mman.h>

enum { THREADS_MAX = 2, GROWTHS = 4, LIVES = 128, PAGE = 65536 };
#define TOTAL_BYTES ((size_t)BENCH_CAPACITY_PAGES * PAGE + BENCH_GUARD_BYTES)

/* ---- A life, by the library and by the bare calls -------------------------------------------- */

static bool live(struct memories *memories, int count) {
    bool good = memories_create(memories, count) == PB_OK;
    for (int growth = 1; growth <= GROWTHS && good; growth++) {
        for (int i = 0; i < count && good; i++) {
            uint32_t old_pages;
            good = pb_memory_grow(memories->at[i], 1, &old_pages) == PB_OK;
            if (good) {
                memory_base(memories->at[i])[(size_t)growth * PAGE] = 1;
            }
        }
    }
    memories_destroy(memories);
    return good;
}

static bool live_bare(uint8_t *at[], int count) {
    const int open = PROT_READ | PROT_WRITE;
    bool good = true;
    for (int i = 0; i < count; i++) {
        at[i] =
            mmap(NULL, TOTAL_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        good = good && at[i] != MAP_FAILED && mprotect(at[i], PAGE, open) == 0;
    }
    for (int growth = 1; growth <= GROWTHS && good; growth++) {
        for (int i = 0; i < count && good; i++) {
            uint8_t *grown = at[i] + (size_t)growth * PAGE;
            good = mprotect(grown, PAGE, open) == 0;
            if (good) {
                *(volatile uint8_t *)grown = 1;
            }
        }
    }
    for (int i = 0; i < count; i++) {
        if (at[i] != MAP_FAILED) {
            munmap(at[i], TOTAL_BYTES);
        }
    }
    return good;
}

/* ---- In several threads ---------------------------------------------------------------------- */

/* After a failure the loop continues, because the other thread waits; the row is skipped at the
 * end. */
static void run(struct bench_state *state, struct memories *memories) {
    static struct bench_barrier barrier;
    uint8_t *bare[BATCH_MAX];
    uint32_t threads = (uint32_t)bench_threads(state);
    int count = (int)bench_number(state, "memories");
    int rounds = LIVES / count; /* long compared with the time of starting together */
    bool good = true;
    cpu_set_t before;
    bool pinned = bench_pin(bench_thread(state), &before);
    while (bench_next(state, LIVES)) {
        bench_meet(&barrier, threads);
        bench_begin(state);
        for (int i = 0; i < rounds; i++) {
            good &= memories != NULL ? live(memories, count) : live_bare(bare, count);
        }
        bench_meet(&barrier, threads);
        double spent_ns = bench_end(state);
        if (bench_thread(state) == 0) {
            bench_sample(state, spent_ns / (LIVES * (double)threads));
        }
    }
    if (!pinned) {
        bench_skip(state, "there is only one core");
    } else if (!good) {
        bench_skip(state, "a memory was refused");
    }
    bench_unpin(&before);
}

static void run_many(struct bench_state *state) {
    struct memories memories;
    if (memories_begin(&memories, state, bench_argument(state), BENCH_CAPACITY_PAGES)) {
        run(state, &memories);
    }
    memories_end(&memories);
}

static void run_bare(struct bench_state *state) {
    run(state, NULL);
}

/* ---- Registration ---------------------------------------------------------------------------- */

BENCH_SUBJECT {
    static const int64_t counts[] = {1, 4, 16};
    for (int threads = 1; threads <= THREADS_MAX; threads++) {
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            struct bench_parameter memories = {"memories", NULL, counts[i]};
            for (int subject = 0; subject < subjects_count; subject++) {
                if (subjects[subject].tuned) {
                    continue;
                }
                struct memory_row row = {
                    .name = "memory/many",
                    .run = run_many,
                    .clock = BENCH_CLOCK_SECTIONS,
                    .subject = &subjects[subject],
                    .pages = 1,
                    .options = {memories},
                    .bound = "many",
                    .bound_options = 1,
                    .threads = threads,
                    .full_only = counts[i] != 4 || subject > 3,
                };
                memory_row_add(&row);
                if (counts[i] == 4 && subject_is_mapped(&subjects[subject])) {
                    row.options[1] = (struct bench_parameter){"guard", NULL, 0};
                    row.full_only = true;
                    memory_row_add(&row);
                }
            }
            bench_register(&(struct bench_case){
                .name = "bound/many",
                .run = run_bare,
                .clock = BENCH_CLOCK_SECTIONS,
                .parameters = {{"pages", NULL, 1}, memories},
                .threads = threads,
                .full_only = counts[i] != 4,
            });
        }
    }
}

#define MANY(strategy, threads) "memory/many/" strategy "/pages:1/memories:4/threads:" threads

BENCH_SUBJECT {
    bench_words("memories", "%s at once");
    bench_words("bound/many", "bare calls");
    bench_section_add(&(struct bench_section){
        .inside = MEMORY_SECTION,
        .title = "Several memories at once",
        .text =
            "A life (create, grow by one page four times, write to each, destroy), with 1 to 16 "
            "memories alive at once in each thread; time over the lives of all threads. With two "
            "threads, half the time means perfect scaling. The kernel has one lock for a process's "
            "address space, which each map, protect and unmap takes: strategies with fewer such "
            "calls scale better.",
        .rows =
            "^(memory/many/" EVERY_STRATEGY "|bound/many)/pages:1/memories:[0-9]+/threads:[12]$",
        .lines = STRATEGY_KEYS " row",
        .columns = "memories threads",
        .usual = "4 at once, 2 threads",
        .plot = BENCH_PLOT_BARS});
    bench_answer("**Two threads** that create, grow and destroy memories, time a life in one "
                 "thread and in two (0.5 is perfect scaling; both take the kernel's map "
                 "lock):[ `reserve` {time "
                 "memory/many/strategy:reserve/pages:1/memories:4/threads:1} and {time "
                 "memory/many/strategy:reserve/pages:1/memories:4/threads:2} ({ratio "
                 "memory/many/strategy:reserve/pages:1/memories:4/threads:2 "
                 "memory/many/strategy:reserve/pages:1/memories:4/threads:1});][ `pool "
                 "discard` {time "
                 "memory/many/strategy:pool/reset:discard/pages:1/memories:4/threads:1} and "
                 "{time memory/many/strategy:pool/reset:discard/pages:1/memories:4/threads:2} "
                 "({ratio "
                 "memory/many/strategy:pool/reset:discard/pages:1/memories:4/threads:2 "
                 "memory/many/strategy:pool/reset:discard/pages:1/memories:4/threads:1});][ "
                 "`heap glibc` {time "
                 "memory/many/strategy:heap/allocator:glibc/pages:1/memories:4/threads:1} and "
                 "{time "
                 "memory/many/strategy:heap/allocator:glibc/pages:1/memories:4/threads:2} "
                 "({ratio "
                 "memory/many/strategy:heap/allocator:glibc/pages:1/memories:4/threads:2 "
                 "memory/many/strategy:heap/allocator:glibc/pages:1/memories:4/threads:1});]");
}
