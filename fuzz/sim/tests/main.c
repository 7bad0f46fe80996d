/* main.c: tests of the engine, one property each (test.h). make test-sim runs them after the litmus
 * tests. */
#include "sim.h"
#include "test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Helpers --------------------------------------------------------------------------------- */

static struct sim_result last;

/* The first finding among the seeds 1 to n, or NULL. */
static const char *first_finding(struct sim_options o, void (*program)(void *), unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        o.seed = i + 1;
        const char *f = sim_run(&o, program, NULL, &last);
        if (f) {
            return f;
        }
    }
    return NULL;
}

static bool is(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void two(void (*a)(void *), void (*b)(void *)) {
    int x = sim_spawn(a, NULL), y = sim_spawn(b, NULL);
    sim_join(x);
    sim_join(y);
}

static struct sim_explored explored;
static void explore(void (*program)(void *), struct sim_explore_options o) {
    sim_explore(&o, program, NULL, &explored);
}

/* A program that must give this finding, at random and in the search, and a fixed one that must
 * not. */
static void expect(void (*bad)(void *), const char *finding, void (*good)(void *)) {
    struct sim_options o = sim_options_default();
    const char *f = first_finding(o, bad, 2000);
    CHECK_OR(is(f, finding), "random: %s in place of %s: %s", f ? f : "nothing",
             finding ? finding : "nothing", last.detail);
    struct sim_explore_options e = sim_explore_options_default();
    explore(bad, e);
    CHECK_OR(is(explored.finding, finding), "search: %s in place of %s",
             explored.finding ? explored.finding : "nothing", finding);
    struct sim_options r = o;
    r.source = SIM_REPLAY;
    r.timeouts_max = e.run.timeouts_max;
    r.choices = explored.choices;
    r.choices_n = explored.choices_n;
    f = sim_run(&r, bad, NULL, &last);
    CHECK_OR(is(f, finding), "replay of the search's finding: %s", f ? f : "nothing");
    if (!good) {
        return;
    }
    f = first_finding(o, good, 2000);
    CHECK_OR(!f, "the correct program: %s: %s", f, last.detail);
    explore(good, e);
    CHECK_OR(!explored.finding && explored.complete, "search of the correct program: %s %s",
             explored.finding ? explored.finding : "incomplete", explored.error);
}

/* ---- Races ----------------------------------------------------------------------------------- */

static atomic_int flag, other;
static int data, data2;
static memory_order write_order, read_order;

static void mp_writer(void *a) {
    (void)a;
    data = 1;
    atomic_store_explicit(&flag, 1, write_order);
}
static void mp_reader(void *a) {
    (void)a;
    if (atomic_load_explicit(&flag, read_order)) {
        sim_assert(data == 1);
    }
}
static void mp(void *a) {
    (void)a;
    two(mp_writer, mp_reader);
}
static void mp_relaxed(void *a) {
    write_order = read_order = memory_order_relaxed;
    mp(a);
}
static void mp_right(void *a) {
    write_order = memory_order_release;
    read_order = memory_order_acquire;
    mp(a);
}
TEST(race_needs_release_and_acquire) {
    expect(mp_relaxed, "data-race", mp_right);
    first_finding(sim_options_default(), mp_relaxed, 2000);
    sim_symbolise(last.detail, sizeof last.detail);
    CHECK_OR(strstr(last.detail, "mp_reader") && strstr(last.detail, "mp_writer"),
             "not both stacks: %s", last.detail);
}

static void bytes_a(void *a) {
    (void)a;
    ((char *)&data)[0] = 1;
}
static void bytes_b(void *a) {
    (void)a;
    ((char *)&data)[1] = 1;
}
static void word_b(void *a) {
    (void)a;
    data2 = data;
}
static void neighbours(void *a) {
    (void)a;
    two(bytes_a, bytes_b);
}
static void overlapping(void *a) {
    (void)a;
    two(bytes_a, word_b);
}
TEST(race_is_by_byte) {
    expect(overlapping, "data-race", neighbours);
}

static void plain_write(void *a) {
    (void)a;
    *(volatile int *)&flag = 1;
}
static void atomic_read(void *a) {
    (void)a;
    data2 = atomic_load(&flag);
}
static void atomic_plain(void *a) {
    (void)a;
    two(plain_write, atomic_read);
}
TEST(race_between_atomic_and_plain) {
    expect(atomic_plain, "data-race", NULL);
}

extern char copied[64], copy[64]; /* not static, or the compiler removes the copy */
char copied[64], copy[64];
static volatile size_t length = sizeof copied;
static void copy_it(void *a) {
    (void)a;
    memcpy(copy, copied, length);
}
static void write_it(void *a) {
    (void)a;
    copied[40] = 2;
}
static void copy_race(void *a) {
    (void)a;
    two(copy_it, write_it);
}
TEST(race_in_memcpy) {
    expect(copy_race, "data-race", NULL);
}

/* ---- Heap and pages -------------------------------------------------------------------------- */

static int *volatile block;
static void heap_use_after(void *a) {
    (void)a;
    int *p = malloc(16);
    p[0] = 1;
    block = p;
    free(p);
    data = block[0]; /* the bug, NOLINT(clang-analyzer-unix.Malloc) */
}
static void heap_good(void *a) {
    (void)a;
    int *p = malloc(16);
    p[3] = 1;
    block = p;
    data = block[3];
    free(block);
}
TEST(heap_use_after_free) {
    expect(heap_use_after, "use-after-free", heap_good);
}
static void heap_beyond(void *a) {
    (void)a;
    block = malloc(16);
    data2 = 4;
    block[data2] = 1;
}
TEST(heap_out_of_bounds) {
    expect(heap_beyond, "heap-out-of-bounds", heap_good);
}
static void heap_twice(void *a) {
    (void)a;
    block = malloc(16);
    free(block);
    free(block); /* the bug, NOLINT(clang-analyzer-unix.Malloc) */
}
TEST(heap_double_free) {
    expect(heap_twice, "double-free", heap_good);
}
static volatile int two_ints = 2;
static void heap_wild_free(void *a) {
    (void)a;
    block = malloc(16);
    free(block + two_ints);
}
TEST(heap_invalid_free) {
    expect(heap_wild_free, "invalid-free", heap_good);
}
static void heap_fresh(void *a) {
    (void)a;
    block = malloc(16);
    data = block[0]; /* the bug, NOLINT(clang-analyzer-core.uninitialized.Assign) */
}
TEST(heap_uninitialised_read) {
    struct sim_options o = sim_options_default();
    CHECK_OR(!first_finding(o, heap_fresh, 1), "found although not asked for");
    o.check_uninitialised = true;
    CHECK_OR(is(first_finding(o, heap_fresh, 1), "uninitialised-read"), "not found");
    CHECK_OR(!first_finding(o, heap_good, 1), "%s in a correct program", last.finding);
}
static bool denied;
static void heap_fails(void *a) {
    (void)a;
    block = malloc(8);
    denied |= block == NULL;
    free(block);
}
TEST(heap_fails_by_choice) {
    struct sim_options o = sim_options_default();
    denied = false;
    CHECK_OR(!first_finding(o, heap_fails, 50) && !last.bounds, "found %s", last.finding);
    o.faults_max = 1;
    struct sim_explore_options e = sim_explore_options_default();
    e.run = o;
    explore(heap_fails, e);
    CHECK_OR(explored.complete && explored.executions == 2, "%llu executions in place of 2",
             (unsigned long long)explored.executions);
}

static char *pages;
static void page_touch(enum sim_access access, bool write) {
    pages = sim_pages_reserve(131072);
    sim_assert(pages && sim_pages_protect(pages, 65536, SIM_READ_WRITE));
    sim_assert(pages[5] == 0);
    pages[5] = 7;
    sim_assert(sim_pages_protect(pages, 65536, access));
    if (write) {
        pages[6] = 1;
    } else {
        data = (unsigned char)pages[5];
    }
    sim_assert(access != SIM_READ || data == 7);
    sim_assert(sim_pages_protect(pages, 65536, SIM_READ_WRITE) && sim_pages_discard(pages, 65536));
    sim_assert(pages[5] == 0);
    sim_assert(sim_pages_release(pages, 131072));
}
static void page_read_only(void *a) {
    (void)a;
    page_touch(SIM_READ, false);
}
static void page_write_to_read_only(void *a) {
    (void)a;
    page_touch(SIM_READ, true);
}
static void page_none(void *a) {
    (void)a;
    page_touch(SIM_NONE, false);
}
TEST(page_protections) {
    expect(page_write_to_read_only, "page-fault", page_read_only);
    expect(page_none, "page-fault", NULL);
}
/* Beyond all simulated pages nothing is mapped, as far as a 32-bit index reaches. */
static void page_far_behind(void *a) {
    (void)a;
    pages = sim_pages_reserve(65536);
    sim_assert(pages && sim_pages_protect(pages, 65536, SIM_READ_WRITE));
    pages[(size_t)1 << 30] = 1;
}
TEST(page_wild_write) {
    expect(page_far_behind, "wild-access", page_read_only);
}
static void page_released(void *a) {
    page_read_only(a);
    data = (unsigned char)pages[0];
}
TEST(page_use_after_release) {
    expect(page_released, "use-after-free", NULL);
}
static void page_moves(void *a) {
    (void)a;
    char *from = sim_pages_reserve(65536), *to = sim_pages_reserve(131072);
    sim_assert(sim_pages_protect(from, 65536, SIM_READ_WRITE));
    from[100] = 9;
    sim_assert(sim_pages_move(from, to, 65536) && to[100] == 9 && to[99] == 0);
    sim_assert(!sim_pages_protect(from, 65536, SIM_READ) &&
               !sim_pages_protect(to + 1, 65536, SIM_READ));
}
TEST(page_move_keeps_contents) {
    CHECK_OR(!first_finding(sim_options_default(), page_moves, 3), "%s: %s", last.finding,
             last.detail); /* three runs, so that pages have to be restored in between */
}
static void grower(void *a) {
    (void)a;
    data = 1;
    pages[70000] = 1;
}
static void page_releaser(void *a) {
    (void)a;
    sim_pages_release(pages, 131072);
}
static void page_racing(void *a) {
    (void)a;
    pages = sim_pages_reserve(131072);
    sim_pages_protect(pages, 131072, SIM_READ_WRITE);
    two(grower, page_releaser);
}
TEST(page_release_races_with_access) {
    struct sim_explore_options e = sim_explore_options_default();
    explore(page_racing, e);
    CHECK_OR(is(explored.finding, "data-race") || is(explored.finding, "use-after-free"),
             "found %s", explored.finding);
}

/* One thread accesses a whole page; another accesses the whole page or one byte of it. */
extern char page_copy[2][65536]; /* not static, or the compiler removes the copy */
char page_copy[2][65536];
static void page_write_all(void *a) {
    (void)a;
    memset(pages, 3, 65536);
}
static _Atomic bool page_was_read; /* relaxed: it orders nothing */
static void page_read_all(void *a) {
    (void)a;
    memcpy(page_copy[0], pages, 65536);
    atomic_store_explicit(&page_was_read, true, memory_order_relaxed);
}
static void page_read_all_too(void *a) {
    (void)a;
    memcpy(page_copy[1], pages, 65536);
}
static void page_write_byte(void *a) {
    (void)a;
    pages[40000] = 1;
}
static void page_write_byte_last(void *a) {
    if (atomic_load_explicit(&page_was_read, memory_order_relaxed)) {
        page_write_byte(a);
    }
}
static void page_read_byte(void *a) {
    (void)a;
    data = (unsigned char)pages[40000];
}
static void (*page_first)(void *), (*page_second)(void *);
static void page_pair(void *a) {
    (void)a;
    pages = sim_pages_reserve(65536);
    sim_assert(sim_pages_protect(pages, 65536, SIM_READ_WRITE));
    atomic_store_explicit(&page_was_read, false, memory_order_relaxed);
    page_write_all(NULL);
    two(page_first, page_second);
    page_write_byte(NULL); /* after both threads */
    sim_assert(pages[40000] == 1 && pages[0] == 3);
}
TEST(page_touched_as_a_whole) {
    void (*const racing[][2])(void *) = {
        {page_write_all, page_write_all},  {page_write_all, page_read_all},
        {page_write_all, page_write_byte}, {page_write_all, page_read_byte},
        {page_read_all, page_write_byte},  {page_read_all, page_write_byte_last}};
    for (unsigned i = 0; i < sizeof racing / sizeof racing[0]; i++) {
        page_first = racing[i][0];
        page_second = racing[i][1];
        expect(page_pair, "data-race", NULL);
    }
    page_first = page_read_all;
    page_second = page_read_all_too;
    CHECK_OR(!first_finding(sim_options_default(), page_pair, 50), "two readers: %s: %s",
             last.finding, last.detail);
    page_second = page_read_byte;
    CHECK_OR(!first_finding(sim_options_default(), page_pair, 50), "two readers: %s: %s",
             last.finding, last.detail);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static _Atomic uint32_t word;
static void lock_a(void *a) {
    (void)a;
    sim_lock(&data);
    sim_lock(&data2);
    sim_unlock(&data2);
    sim_unlock(&data);
}
static void lock_b(void *a) {
    (void)a;
    sim_lock(&data2);
    sim_lock(&data);
    sim_unlock(&data);
    sim_unlock(&data2);
}
static void deadlock_bad(void *a) {
    (void)a;
    two(lock_a, lock_b);
}
static void deadlock_good(void *a) {
    (void)a;
    two(lock_a, lock_a);
}
TEST(deadlock_of_two_locks) {
    expect(deadlock_bad, "deadlock", deadlock_good);
}

static void add_locked(void *a) {
    (void)a;
    sim_lock(&flag);
    data++;
    sim_unlock(&flag);
}
static void lock_orders(void *a) {
    (void)a;
    two(add_locked, add_locked);
    sim_assert(data == 2);
}
static void add_bare(void *a) {
    (void)a;
    data++;
}
static void lock_missing(void *a) {
    (void)a;
    two(add_locked, add_bare);
}
TEST(lock_passes_happens_before) {
    expect(lock_missing, "data-race", lock_orders);
}

static void sleeper(void *a) {
    (void)a;
    while (atomic_load(&word) == 0) {
        sim_wait(&word, 0, SIM_NEVER);
    }
}
static void waker(void *a) {
    (void)a;
    atomic_store(&word, 1);
    sim_wake(&word, 1);
}
static void waker_forgets(void *a) {
    (void)a;
    atomic_store(&word, 1);
}
static void wake_good(void *a) {
    (void)a;
    two(sleeper, waker);
}
static void wake_lost(void *a) {
    (void)a;
    two(sleeper, waker_forgets);
}
TEST(wakeup_forgotten) {
    expect(wake_lost, "lost-wakeup", wake_good);
}

static void timed_sleeper(void *a) {
    (void)a;
    while (atomic_load(&word) == 0) {
        sim_wait(&word, 0, sim_clock_ns() + 1000);
    }
}
static void timed_lost(void *a) {
    (void)a;
    two(timed_sleeper, waker_forgets);
}
TEST(timeout_hides_a_lost_wakeup_unless_off) {
    struct sim_options o = sim_options_default();
    CHECK_OR(!first_finding(o, timed_lost, 500), "%s with timeouts on", last.finding);
    o.timeouts_max = 0;
    CHECK_OR(is(first_finding(o, timed_lost, 500), "lost-wakeup"), "not found with timeouts off");
}
static void hour(void *a) {
    (void)a;
    uint64_t end = sim_clock_ns() + UINT64_C(3600000000000);
    sim_assert(sim_wait(&word, 0, end) == SIM_TIMED_OUT && sim_clock_ns() >= end);
    sim_assert(sim_wait(&word, 1, SIM_NEVER) == SIM_NOT_EQUAL);
}
TEST(time_is_virtual) {
    CHECK_OR(!first_finding(sim_options_default(), hour, 3), "%s %s", last.finding, last.detail);
}

static int wakes_order[2], wakes_n;
static void fifo_sleeper(void *a) {
    int me = *(int *)a;
    sim_wait(&word, 0, SIM_NEVER);
    wakes_order[wakes_n++] = me;
}
static void fifo(void *a) {
    (void)a;
    static int ids[2] = {0, 1};
    struct {
        int t;
    } t[2];
    t[0].t = sim_spawn(fifo_sleeper, &ids[0]);
    t[1].t = sim_spawn(fifo_sleeper, &ids[1]);
    unsigned n = 0;
    while (n < 2) {
        unsigned k = sim_wake(&word, 1);
        n += k;
        if (!k) {
            sim_yield();
        }
    }
    sim_join(t[0].t);
    sim_join(t[1].t);
    sim_assert(sim_wake(&word, 5) == 0);
}
TEST(wake_counts_sleepers) {
    const char *f = first_finding(sim_options_default(), fifo, 300);
    CHECK_OR(!f || is(f, "data-race"), "%s: %s", f, last.detail);
}

static void spinner(void *a) {
    (void)a;
    while (atomic_load_explicit(&flag, memory_order_relaxed) == 0) {
    }
}
static void setter(void *a) {
    (void)a;
    atomic_store_explicit(&flag, 1, memory_order_relaxed);
}
static void nothing(void *a) {
    (void)a;
}
static void spin_good(void *a) {
    (void)a;
    two(spinner, setter);
}
static void spin_bad(void *a) {
    (void)a;
    two(spinner, nothing);
}
TEST(livelock_of_a_spinner) {
    expect(spin_bad, "livelock", spin_good);
}

static void leak(void *a) {
    (void)a;
    sim_spawn(nothing, NULL);
}
static void leak_not(void *a) {
    (void)a;
    sim_detach(sim_spawn(nothing, NULL));
}
TEST(thread_leaked) {
    expect(leak, "leaked-thread", leak_not);
}

static void sleeps_for_ever(void *a) {
    (void)a;
    sim_wait(&word, 0, SIM_NEVER);
}
static void leak_blocked(void *a) {
    (void)a;
    sim_detach(sim_spawn(sleeps_for_ever, NULL));
}
TEST(thread_blocked_at_the_end) {
    expect(leak_blocked, "leaked-thread", NULL);
}

/* ---- Sources, replay, bounds ----------------------------------------------------------------- */

static void sb_a(void *a) {
    (void)a;
    atomic_store_explicit(&flag, 1, memory_order_release);
    data = atomic_load_explicit(&other, memory_order_acquire);
}
static void sb_b(void *a) {
    (void)a;
    atomic_store_explicit(&other, 1, memory_order_release);
    data2 = atomic_load_explicit(&flag, memory_order_acquire);
}
static void sb(void *a) {
    (void)a;
    data = data2 = 7;
    two(sb_a, sb_b);
    sim_assert(data || data2);
}
TEST(every_source_finds_store_buffering) {
    for (int s = SIM_UNIFORM; s <= SIM_POS; s++) {
        struct sim_options o = sim_options_default();
        o.source = (enum sim_source)s;
        CHECK_OR(is(first_finding(o, sb, 2000), "assertion"), "source %d did not", s);
        uint16_t choices[64];
        size_t n = last.choices_n;
        CHECK_OR(n <= 64, "%zu choices", n);
        memcpy(choices, last.choices, n * sizeof choices[0]);
        o.source = SIM_REPLAY;
        o.choices = choices;
        o.choices_n = n;
        CHECK_OR(is(sim_run(&o, sb, NULL, &last), "assertion"), "the replay of source %d did not",
                 s);
        sim_shrink(&o, sb, NULL, "assertion", choices, &n, 500);
        o.choices_n = n;
        CHECK_OR(is(sim_run(&o, sb, NULL, &last), "assertion") && n <= 8,
                 "shrunk to %zu choices that find %s", n, last.finding);
    }
}
TEST(bytes_drive_and_run_out) {
    struct sim_options o = sim_options_default();
    o.source = SIM_BYTES;
    CHECK_OR(!sim_run(&o, sb, NULL, &last) && last.preemptions == 0, "no bytes: %s, %u preemptions",
             last.finding, last.preemptions);
    bool found = false;
    for (unsigned i = 0; i < 4096 && !found; i++) {
        uint8_t bytes[6] = {(uint8_t)(i & 3),      (uint8_t)(i >> 2 & 3), (uint8_t)(i >> 4 & 3),
                            (uint8_t)(i >> 6 & 3), (uint8_t)(i >> 8 & 3), (uint8_t)(i >> 10)};
        o.bytes = bytes;
        o.bytes_n = sizeof bytes;
        found = is(sim_run(&o, sb, NULL, &last), "assertion");
    }
    CHECK_OR(found, "no six bytes give store buffering");
}
TEST(globals_are_put_back) {
    struct sim_options o = sim_options_default();
    sim_run(&o, mp_right, NULL, NULL);
    CHECK_OR(data == 1 && flag == 1, "results cannot be read after the run");
    sim_reset();
    CHECK_OR(data == 0 && flag == 0, "data is %d, flag %d after the reset", data, flag);
}
static void many_steps(void *a) {
    (void)a;
    for (int i = 0; i < 100000; i++) {
        atomic_fetch_add(&flag, 1);
    }
}
TEST(bound_on_steps_is_reported) {
    struct sim_options o = sim_options_default();
    o.steps_max = 1000;
    const char *f = sim_run(&o, many_steps, NULL, &last);
    CHECK_OR((!f && last.bounds & SIM_BOUND_STEPS) || is(f, "livelock"), "finding %s, bounds %u", f,
             last.bounds);
}
static void goes_round(void *a) {
    while (atomic_load(&flag) == 0) {
        if (a) {
            sim_progress();
        }
    }
}
TEST(going_round_is_a_livelock_unless_it_says_no) {
    struct sim_options o = sim_options_default();
    o.steps_max = 1000;
    const char *f = sim_run(&o, goes_round, NULL, &last);
    CHECK_OR(is(f, "livelock"), "silent: %s", f ? f : "nothing");
    f = sim_run(&o, goes_round, &o, &last);
    CHECK_OR(!f && last.bounds & SIM_BOUND_STEPS, "%s, bounds %u", f ? f : "nothing", last.bounds);
}
/* Loops that outlast a run, each with something new in every round. */
atomic_int many_flags[2000]; /* if it were static, it would be a constant */
static int plain_count;
static void counts_in_an_atomic(void *a) {
    while (atomic_fetch_add(&flag, 1) < 2000) {
        (void)a;
    }
}
static void counts_on_its_stack(void *a) {
    (void)a;
    for (int i = 0; i < 2000; i++) {
        atomic_store(&flag, i & 1);
    }
}
static void counts_in_plain_memory(void *a) {
    (void)a;
    while (plain_count < 2000 && !atomic_load(&flag)) {
        plain_count++;
    }
}
static void reads_many(void *a) {
    (void)a;
    for (int i = 0; i < 2000; i++) {
        if (atomic_load(&many_flags[i])) {
            return;
        }
    }
}
TEST(a_long_way_is_no_livelock) {
    void (*const ways[])(void *) = {counts_in_an_atomic, counts_on_its_stack,
                                    counts_in_plain_memory, reads_many};
    struct sim_options o = sim_options_default();
    o.steps_max = 1000;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        const char *f = sim_run(&o, ways[i], NULL, &last);
        CHECK_OR(!f && last.bounds & SIM_BOUND_STEPS, "%zu: %s, bounds %u", i, f ? f : "nothing",
                 last.bounds);
    }
}
static void big_malloc(void *a) {
    (void)a;
    block = malloc((size_t)1 << 30);
    denied = block == NULL;
}
TEST(bound_on_memory_is_reported) {
    struct sim_options o = sim_options_default();
    sim_run(&o, big_malloc, NULL, &last);
    CHECK_OR(last.bounds & SIM_BOUND_MEMORY, "bounds %u", last.bounds);
}
static void stale_reader(void *a) {
    (void)a;
    sb(a);
}
TEST(trace_shows_the_skipped_message) {
    struct sim_options o = sim_options_default();
    o.trace = true;
    CHECK_OR(is(first_finding(o, stale_reader, 2000), "assertion"), "nothing found");
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    sim_trace_print(f);
    fclose(f);
    CHECK_OR(strstr(text, "stale: skipped 1") && strstr(text, "*** assertion") &&
                 strstr(text, "main.c:") && strstr(text, "rel"),
             "%s", text);
    free(text);
}
static _Atomic uint64_t wide;
static void mixed_write(void *a) {
    (void)a;
    atomic_store(&wide, UINT64_C(0x0000000200000001));
}
static void mixed_read(void *a) {
    (void)a;
    data = (int)atomic_load((_Atomic uint32_t *)(void *)&wide);
}
static void mixed(void *a) {
    (void)a;
    mixed_write(a);
    mixed_read(a);
    sim_assert(data == 1);
    atomic_store((_Atomic uint32_t *)(void *)&wide, 5);
    sim_assert(atomic_load(&wide) == UINT64_C(0x0000000200000005));
}
TEST(mixed_sizes_fall_back_and_are_counted) {
    struct sim_options o = sim_options_default();
    CHECK_OR(!sim_run(&o, mixed, NULL, &last) && last.mixed >= 2, "%s %s, counted %u", last.finding,
             last.detail, last.mixed);
    o.refuse_mixed = true;
    CHECK_OR(is(sim_run(&o, mixed, NULL, &last), "mixed-size-atomic"), "not refused");
}
static void weak_cas(void *a) {
    (void)a;
    int e = 0;
    sim_assert(atomic_compare_exchange_weak(&flag, &e, 1));
}
TEST(spurious_failure_is_an_option) {
    struct sim_options o = sim_options_default();
    CHECK_OR(!first_finding(o, weak_cas, 100), "by default");
    o.cas_weak = true;
    o.spurious_max = 1;
    CHECK_OR(is(first_finding(o, weak_cas, 100), "assertion"), "not with cas_weak");
}

/* ---- The search ------------------------------------------------------------------------------ */

static atomic_int ring[4];
static void adds(void *a) {
    (void)a;
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&ring[0], 1);
        atomic_load(&ring[1]);
    }
}
static void stores(void *a) {
    (void)a;
    for (int i = 0; i < 3; i++) {
        atomic_store_explicit(&ring[1], i, memory_order_release);
        atomic_load(&ring[0]);
    }
}
static void bigger(void *a) {
    (void)a;
    int t[3] = {sim_spawn(adds, NULL), sim_spawn(stores, NULL), sim_spawn(adds, NULL)};
    for (int i = 0; i < 3; i++) {
        sim_join(t[i]);
    }
}
TEST(search_shared_by_processes) {
    struct sim_explore_options e = sim_explore_options_default();
    explore(bigger, e);
    uint64_t alone = explored.graphs;
    CHECK_OR(explored.complete && alone > 1000, "alone: %llu graphs, %s", (unsigned long long)alone,
             explored.error);
    e.processes = 2;
    explore(bigger, e);
    CHECK_OR(explored.complete && explored.graphs == alone,
             "two processes: %llu graphs, alone %llu %s", (unsigned long long)explored.graphs,
             (unsigned long long)alone, explored.error);
}
#define CHECKPOINT "/tmp/sim-checkpoint-XXXXXX"
/* Sets name to an unused file name. */
static void name_checkpoint(char *name) {
    int fd = mkstemp(name);
    CHECK_OR(fd >= 0, "no temporary file");
    close(fd);
    unlink(name);
}
TEST(search_resumes) {
    char name[] = CHECKPOINT;
    name_checkpoint(name);
    struct sim_explore_options e = sim_explore_options_default();
    explore(bigger, e);
    uint64_t whole = explored.graphs, runs = explored.executions;
    e.checkpoint = name;
    e.executions_max = runs / 2;
    explore(bigger, e);
    CHECK_OR(!explored.complete && !explored.resumed && explored.graphs < whole,
             "the first half: complete %d", explored.complete);
    CHECK_OR(access(name, R_OK) == 0, "no checkpoint: %s", explored.error);
    e.executions_max = 0;
    e.run.steps_max++;
    explore(bigger, e);
    CHECK_OR(strstr(explored.error, "other options") != NULL, "taken with other options: %s",
             explored.error);
    e.run.steps_max--;
    explore(bigger, e);
    CHECK_OR(explored.complete && explored.resumed && explored.graphs == whole,
             "resumed: %llu graphs of %llu %s", (unsigned long long)explored.graphs,
             (unsigned long long)whole, explored.error);
    CHECK_OR(access(name, F_OK) != 0, "the checkpoint is still there");
}
/* However early it is stopped, each session makes progress, and the result is the same. */
TEST(search_resumes_in_the_middle_of_a_task) {
    for (unsigned processes = 1; processes <= 2; processes++) {
        char name[] = CHECKPOINT;
        name_checkpoint(name);
        struct sim_explore_options e = sim_explore_options_default();
        explore(bigger, e);
        uint64_t whole = explored.graphs, runs = explored.executions, made = 0;
        unsigned sessions = 0;
        e.checkpoint = name;
        e.processes = processes;
        do {
            /* counts the runs of all sessions, or of one child process */
            e.executions_max = runs / 30 + (processes == 1 ? made : 0);
            explore(bigger, e);
            CHECK_OR(explored.error[0] == '\0', "session %u: %s", sessions, explored.error);
            CHECK_OR(explored.complete || explored.executions > made, "session %u got no further",
                     sessions);
            made = explored.executions;
        } while (!explored.complete && ++sessions < 100);
        CHECK_OR(explored.complete && explored.resumed && explored.graphs == whole,
                 "%u sessions of %u processes: %llu graphs of %llu", sessions, processes,
                 (unsigned long long)explored.graphs, (unsigned long long)whole);
        CHECK_OR(sessions > 8 && access(name, F_OK) != 0, "%u sessions", sessions);
    }
}
static unsigned *outside; /* on the test's own heap: not restored between runs */
static void fickle(void *a) {
    (void)a;
    if (++*outside % 2) {
        two(sb_a, sb_b);
    } else {
        sb_a(NULL);
    }
}
TEST(search_refuses_a_fickle_program) {
    outside = malloc(sizeof *outside);
    *outside = 0;
    explore(fickle, sim_explore_options_default());
    free(outside);
    CHECK_OR(!explored.complete && strstr(explored.error, "does not behave the same"),
             "complete %d, error '%s'", explored.complete, explored.error);
}
