/* shim_test.c: cases with a known outcome, for tests/test_bench.py: they check what shim.h
 * promises. `build/bench/tests/shim_test --list` names them. */
#include "shim.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 16, HOST_PAGE = 4096, SAMPLES = 100 };

static volatile uint64_t work;

static void run_loop(struct bench_state *state) {
    while (bench_next(state, 64)) {
        for (int i = 0; i < 64; i++) {
            work += (uint64_t)bench_number(state, "step");
        }
    }
    bench_value(state, "answer", 42);
}

/* Touches PAGES fresh host pages per iteration, inside the measured part or outside it. */
static void run_faults(struct bench_state *state) {
    const size_t bytes = (size_t)PAGES * HOST_PAGE;
    bool inside = bench_number(state, "inside") != 0;
    while (bench_next(state, 1)) {
        char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            abort();
        }
        for (int i = 0; !inside && i < PAGES; i++) {
            at[(size_t)i * HOST_PAGE] = 1;
        }
        bench_begin(state);
        for (int i = 0; inside && i < PAGES; i++) {
            at[(size_t)i * HOST_PAGE] = 1;
        }
        bench_end(state);
        munmap(at, bytes);
    }
}

/* Maps 16 MiB of a file, writes 4 MiB of them, and unmaps the second half: one mapping stays. */
static void run_footprint(struct bench_state *state) {
    const size_t bytes = 16 << 20, written = 4 << 20;
    int file = memfd_create("footprint", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, (off_t)bytes) != 0) {
        abort();
    }
    while (bench_next(state, 1)) {
        bench_begin(state);
        char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (at == MAP_FAILED) {
            abort();
        }
        for (size_t i = 0; i < written; i += HOST_PAGE) {
            at[i] = 1;
        }
        munmap(at + bytes / 2, bytes / 2);
        bench_end(state);
        munmap(at, bytes / 2);
    }
    close(file);
}

/* Samples of 1 to 100 ns, in a mixed order. */
static void run_samples(struct bench_state *state) {
    int next = 0;
    while (bench_next(state, 1)) {
        bench_sample(state, 1 + next);
        next = (next + 37) % SAMPLES;
    }
}

static void run_threads(struct bench_state *state) {
    while (bench_next(state, 1)) {
        work++;
    }
    if (bench_thread(state) < 0 || bench_thread(state) >= bench_threads(state)) {
        abort();
    }
    bench_value(state, "arrived", 1); /* of all threads together: their sum */
}

static void run_skips(struct bench_state *state) {
    bench_skip(state, "found out while running");
}

static void run_crash(struct bench_state *state) {
    (void)state;
    abort();
}

BENCH_SUBJECT {
    bench_register(&(struct bench_case){.name = "test/loop",
                                        .run = run_loop,
                                        .parameters = {{"kind", "text", 0}, {"step", NULL, 3}},
                                        .bounds = "test/samples"});
    for (int inside = 0; inside <= 1; inside++) {
        bench_register(&(struct bench_case){.name = "test/faults",
                                            .run = run_faults,
                                            .clock = BENCH_CLOCK_SECTIONS,
                                            .parameters = {{"inside", NULL, inside}}});
    }
    bench_register(&(struct bench_case){.name = "test/footprint",
                                        .run = run_footprint,
                                        .clock = BENCH_CLOCK_SECTIONS,
                                        .iterations = 3,
                                        .full_only = true});
    bench_register(&(struct bench_case){
        .name = "test/samples", .run = run_samples, .clock = BENCH_CLOCK_SAMPLES});
    bench_register(&(struct bench_case){.name = "test/many", .run = run_threads, .threads = 2});
}

BENCH_SUBJECT {
    bench_register(&(struct bench_case){.name = "test/skips", .run = run_skips});
    bench_register(&(struct bench_case){
        .name = "test/cannot", .run = run_crash, .skip = "known before it runs"});
    bench_register(&(struct bench_case){.name = "test/crash", .run = run_crash});
}

int main(int argc, char **argv) {
    bench_environment("planet", "earth");
    return bench_main(argc, argv);
}
