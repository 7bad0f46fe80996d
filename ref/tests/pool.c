/* pool.c: tests of R15, R4 and R6 on pools: slots, their reset, retirement and accounting. */
#include "fixture.h"
#include "memory.h"
#include "os.h"
#include "seam.h"
#include "test.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOT_PAGES = 4 };

/* The ways to clean a slot; KEEP zeroes a page and a half, more than one tenant has, less than the
 * other. */
enum way { DISCARD, RENEW, KEEP, SCAN, WAYS };

static const struct {
    const char *name;
    enum pb_pool_reset reset;
    uint64_t keep_resident_bytes;
} ways[WAYS] = {
    [DISCARD] = {"discard", PB_POOL_DISCARD, 0},
    [RENEW] = {"renew", PB_POOL_RENEW, 0},
    [KEEP] = {"keep", PB_POOL_DISCARD, 3 * PB_PAGE_BYTES / 2},
    [SCAN] = {"scan", PB_POOL_SCAN, 3 * PB_PAGE_BYTES / 2},
};

/* In whole host pages. */
static uint64_t kept_bytes(enum way way) {
    return ways[way].keep_resident_bytes / pb_os_page_bytes() * pb_os_page_bytes();
}

static struct pb_pool *pool_of(uint32_t slots, enum way way) {
    struct pb_pool_config config = {.slots = slots,
                                    .slot_bytes = SLOT_PAGES * PB_PAGE_BYTES,
                                    .guard_bytes = PB_PAGE_BYTES,
                                    .reset = ways[way].reset,
                                    .keep_resident_bytes = kept_bytes(way),
                                    .allocator = &seam_allocator};
    struct pb_pool *pool = NULL;
    if (pb_pool_reset_available(config.reset, NULL) != PB_OK) {
        config.reset = PB_POOL_DISCARD; /* an older kernel, an emulator */
    }
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_OK);
    test_note("reset %s", ways[way].name);
    return pool;
}

static enum pb_status try_tenant(struct pb_pool *pool, uint32_t pages, struct pb_memory **memory) {
    static const struct pb_memory_style style = {PB_STYLE_STATIC, SLOT_PAGES, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {pages, SLOT_PAGES, false},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_POOL,
                                      .pool = pool};
    *memory = NULL;
    return pb_memory_create(&config, memory);
}

static struct pb_memory *tenant(struct pb_pool *pool, uint32_t pages) {
    struct pb_memory *memory;
    CHECK_STATUS(try_tenant(pool, pages, &memory), PB_OK);
    return memory;
}

static void check_stats(struct pb_pool *pool, uint32_t free, uint32_t used, uint32_t retired) {
    struct pb_pool_stats stats = pb_pool_stats(pool);
    CHECK_EQ(stats.free, free);
    CHECK_EQ(stats.used, used);
    CHECK_EQ(stats.retired, retired);
}

TEST(R15_reuse_next_tenant_sees_no_byte_of_the_last) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(1, (enum way)r);
        static const uint32_t pages[] = {1, 4, 0, 2, 4, 1};
        for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
            struct pb_memory *memory = tenant(pool, pages[i]);
            CHECK_EQ(pb_memory_size_pages(memory), pages[i]);
            check_zero(memory, 0, pages[i] * PB_PAGE_BYTES);
            check_guarded(memory);
            for (uint32_t p = pages[i]; p < SLOT_PAGES; p++) {
                uint32_t old;
                CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
                check_zero(memory, p * PB_PAGE_BYTES, PB_PAGE_BYTES);
                check_guarded(memory);
            }
            fill_pattern(memory, 0, SLOT_PAGES * PB_PAGE_BYTES, (uint32_t)i);
            pb_memory_release(memory);
        }
        pb_pool_release(pool);
    }
}

TEST(R15_reuse_slots_do_not_overlap) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(3, (enum way)r);
        struct pb_memory *memories[3], *fourth;
        check_stats(pool, 3, 0, 0);
        for (unsigned i = 0; i < 3; i++) {
            memories[i] = tenant(pool, SLOT_PAGES);
            fill_pattern(memories[i], 0, SLOT_PAGES * PB_PAGE_BYTES, i);
        }
        check_stats(pool, 0, 3, 0);
        CHECK_STATUS(try_tenant(pool, 1, &fourth), PB_NO_MEMORY);
        CHECK(fourth == NULL);
        check_stats(pool, 0, 3, 0);
        for (unsigned i = 0; i < 3; i++) {
            check_pattern(memories[i], 0, SLOT_PAGES * PB_PAGE_BYTES, i);
            check_guarded(memories[i]);
        }
        pb_memory_release(memories[1]);
        check_stats(pool, 1, 2, 0);
        fourth = tenant(pool, 2);
        check_zero(fourth, 0, 2 * PB_PAGE_BYTES);
        check_pattern(memories[0], 0, SLOT_PAGES * PB_PAGE_BYTES, 0);
        check_pattern(memories[2], 0, SLOT_PAGES * PB_PAGE_BYTES, 2);
        pb_memory_release(memories[0]);
        pb_memory_release(memories[2]);
        pb_memory_release(fourth);
        check_stats(pool, 3, 0, 0);
        pb_pool_release(pool);
    }
}

/* Fails each of the system calls that a tenant's end makes, one after the other: the next tenant is
 * clean, or there is none because the slot is retired. */
static bool end_with_failure(enum way way, unsigned nth, bool ever) {
    struct pb_pool *pool = pool_of(1, way);
    struct pb_memory *memory = tenant(pool, 1), *next;
    uint32_t old;
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
    fill_pattern(memory, 0, 3 * PB_PAGE_BYTES, 1);
    seam_fail(SEAM_ALL, nth, ever);
    pb_memory_release(memory);
    bool failed = seam_failed() > 0;
    seam_fail(0, 0, false);
    enum pb_status status = try_tenant(pool, 1, &next);
    struct pb_pool_stats stats = pb_pool_stats(pool);
    CHECK_EQ(stats.free + stats.used + stats.retired, 1);
    if (status == PB_OK) {
        check_zero(next, 0, PB_PAGE_BYTES);
        check_guarded(next);
        CHECK_STATUS(pb_memory_grow(next, 3, &old), PB_OK);
        check_zero(next, 0, 4 * PB_PAGE_BYTES);
    } else {
        CHECK(failed);
        CHECK_STATUS(status, PB_NO_MEMORY);
        CHECK_EQ(stats.retired, 1);
    }
    pb_memory_release(next);
    pb_pool_release(pool);
    return failed;
}

TEST(R15_reuse_a_failed_reset_retires_the_slot) {
    for (unsigned r = 0; r < 2 * WAYS; r++) {
        unsigned nth = 1;
        while (end_with_failure((enum way)(r % WAYS), nth, r >= WAYS)) {
            nth++;
            CHECK(nth < 100);
        }
        CHECK(nth > 1); /* some call was made, and failed */
    }
}

TEST(R15_a_tenant_whose_reset_failed_can_end) {
    for (unsigned nth = 1; nth < 3; nth++) {
        struct pb_pool *pool = pool_of(1, KEEP);
        struct pb_memory *memory = tenant(pool, 1), *next;
        uint32_t old;
        CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        fill_pattern(memory, 0, 3 * PB_PAGE_BYTES, 1);
        seam_fail(SEAM_DISCARD | SEAM_DECOMMIT, nth, false);
        CHECK_STATUS(pb_memory_reset(memory), PB_NO_MEMORY);
        CHECK_EQ(seam_failed(), 1);
        pb_memory_release(memory);
        seam_fail(0, 0, false);
        CHECK_STATUS(try_tenant(pool, 3, &next), PB_OK);
        check_zero(next, 0, 3 * PB_PAGE_BYTES);
        pb_memory_release(next);
        pb_pool_release(pool);
    }
}

TEST(R15_reuse_when_every_reset_call_fails_the_slot_is_gone) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(2, (enum way)r);
        struct pb_memory *memory = tenant(pool, 1), *other = tenant(pool, 1), *next;
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        seam_fail(SEAM_ALL, 1, true);
        pb_memory_release(memory);
        seam_fail(0, 0, false);
        check_stats(pool, 0, 1, 1);
        CHECK_STATUS(try_tenant(pool, 1, &next), PB_NO_MEMORY);
        pb_memory_release(other);
        check_stats(pool, 1, 0, 1);
        next = tenant(pool, 4);
        check_zero(next, 0, 4 * PB_PAGE_BYTES);
        pb_memory_release(next);
        pb_pool_release(pool);
    }
}

/* A tenant's growth that failed half-way: what it opened is closed again, else the tenant stores
 * there, and the next one finds it. */
TEST(R15_reuse_after_a_growth_that_opened_only_a_part) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(1, (enum way)r);
        struct pb_memory *memory = tenant(pool, 1);
        uint32_t old;
        seam_fail(SEAM_COMMIT, 1, false);
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_NO_MEMORY);
        CHECK_EQ(seam_failed(), 1);
        seam_fail(0, 0, false);
        check_guarded(memory);
        CHECK(write_faults(base_of(memory) + PB_PAGE_BYTES));
        pb_memory_release(memory);
        memory = tenant(pool, SLOT_PAGES);
        check_zero(memory, 0, SLOT_PAGES * PB_PAGE_BYTES);
        pb_memory_release(memory);
        pb_pool_release(pool);
    }
}

/* 13579: a failure that leaves counters raised. */
TEST(R6_pool_accounting_after_a_failed_create) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(2, (enum way)r);
        bool failed = true;
        for (unsigned nth = 1; failed; nth++) {
            struct pb_memory *memory;
            seam_fail(SEAM_ALL, nth, false);
            enum pb_status status = try_tenant(pool, 2, &memory);
            failed = seam_failed() > 0;
            seam_fail(0, 0, false);
            CHECK_EQ(status == PB_OK, memory != NULL);
            CHECK(failed || status == PB_OK);
            pb_memory_release(memory);
            check_stats(pool, 2, 0, 0);
            CHECK(nth < 100);
        }
        pb_pool_release(pool);
    }
}

/* 3763: a slot without room to grow. */
TEST(R6_pool_memory_larger_than_a_slot_is_refused) {
    struct pb_pool *pool = pool_of(2, DISCARD);
    struct pb_memory_style style = {PB_STYLE_STATIC, SLOT_PAGES + 1, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {1, SLOT_PAGES + 1, false},
                                      .style = &style,
                                      .strategy = PB_STRATEGY_POOL,
                                      .pool = pool};
    struct pb_memory *memory = NULL;
    enum pb_status status = pb_memory_create(&config, &memory);
    CHECK(status == PB_NO_MEMORY || status == PB_INVALID);
    CHECK(memory == NULL);
    style.bound_pages = SLOT_PAGES;
    style.guard_bytes = 2 * PB_PAGE_BYTES; /* more than the slot's */
    config.type.max_pages = SLOT_PAGES;
    status = pb_memory_create(&config, &memory);
    if (status == PB_OK) {
        check_guarded(memory); /* then it is really there */
        pb_memory_release(memory);
    }
    check_stats(pool, 2, 0, 0);
    config.pool = NULL;
    memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_INVALID);
    CHECK(memory == NULL);
    pb_pool_release(pool);
}

TEST(R15_pool_outlives_its_handle_while_tenants_live) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(2, (enum way)r);
        struct pb_memory *memory = tenant(pool, 1), *copy = NULL;
        uint32_t old;
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        seam_watch(base_of(memory));
        pb_pool_release(pool);
        CHECK_EQ(seam_releases(), 0);
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        check_pattern(memory, 0, PB_PAGE_BYTES, 1);
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        pb_memory_release(memory);
        CHECK_EQ(seam_releases(), 0);
        check_pattern(copy, 0, PB_PAGE_BYTES, 1);
        pb_memory_release(copy);
        CHECK_EQ(seam_releases(), 1);
        CHECK_EQ(seam_allocator_alive(), 0);
    }
    pb_pool_release(NULL);
}

/* The kept part costs the next tenant no page fault, the rest does. */
TEST(R15_kept_bytes_stay_resident) {
    struct pb_pool *pool = pool_of(1, KEEP);
    struct pb_memory *memory = tenant(pool, SLOT_PAGES);
    uint8_t *base = atomic_load(&pb_memory_definition(memory)->base);
    memset(base, 7, SLOT_PAGES * PB_PAGE_BYTES);
    pb_memory_release(memory);
    unsigned char resident[SLOT_PAGES * PB_PAGE_BYTES / 4096] = {0};
    CHECK_EQ(mincore(base, SLOT_PAGES * PB_PAGE_BYTES, resident), 0);
    const size_t host = (size_t)getpagesize(); /* as the kernel counts */
    size_t pages = sizeof resident * 4096 / host, kept = kept_bytes(KEEP) / host;
    for (size_t i = 0; i < pages; i++) {
        test_note("host page %zu", i);
        CHECK_EQ(resident[i] & 1, i < kept);
    }
    pb_pool_release(pool);
}

TEST(R13_pool_copy_takes_a_slot_of_the_same_pool) {
    struct pb_pool *pool = pool_of(2, DISCARD);
    struct pb_memory *memory = tenant(pool, 1), *copy = NULL, *third = NULL;
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    check_stats(pool, 0, 2, 0);
    CHECK_STATUS(pb_memory_copy(memory, &third), PB_NO_MEMORY);
    CHECK(third == NULL);
    check_stats(pool, 0, 2, 0);
    pb_memory_release(copy);
    check_stats(pool, 1, 1, 0);
    pb_memory_release(memory);
    pb_pool_release(pool);
}

TEST(R1_pool_refuses_a_bad_configuration) {
    static const struct pb_pool_config rows[] = {
        {.slots = 0, .slot_bytes = PB_PAGE_BYTES},
        {.slots = 1, .slot_bytes = 0},
        {.slots = 1, .slot_bytes = 100},
        {.slots = 1, .slot_bytes = PB_PAGE_BYTES, .guard_bytes = 1},
        {.slots = 1, .slot_bytes = PB_PAGE_BYTES, .keep_resident_bytes = 1},
        {.slots = 1,
         .slot_bytes = PB_PAGE_BYTES,
         .reset = PB_POOL_RENEW,
         .keep_resident_bytes = PB_PAGE_BYTES},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_pool *pool = NULL;
        test_note("row %zu", i);
        CHECK_STATUS(pb_pool_create(&rows[i], &pool), PB_INVALID);
        CHECK(pool == NULL);
    }
    /* sizes whose product passes 64 bits: it would wrap to 64 KiB */
    struct pb_pool_config huge = {.slots = 16, .slot_bytes = (UINT64_C(1) << 60) + 4096};
    struct pb_pool *pool = NULL;
    enum pb_status status = pb_pool_create(&huge, &pool);
    CHECK(status == PB_INVALID || status == PB_NO_MEMORY);
    CHECK(pool == NULL);
}

/* ---- Which pages were written, as the kernel tells --------------------------------------------
 */

/* Every second page of a slot: many more runs than one answer of the kernel holds. All are zeroed,
 * those within the budget stay, and the next tenant writes others. */
TEST(R15_scan_finds_every_run) {
    const uint64_t page = pb_os_page_bytes();
    struct pb_pool *pool = pool_of(1, SCAN);
    for (unsigned round = 0; round < 4; round++) {
        struct pb_memory *memory = tenant(pool, SLOT_PAGES);
        check_zero(memory, 0, SLOT_PAGES * PB_PAGE_BYTES);
        for (uint64_t at = round % 2 * page; at < SLOT_PAGES * PB_PAGE_BYTES; at += 2 * page) {
            fill_pattern(memory, (uint32_t)at, (uint32_t)page, round + 1);
        }
        pb_memory_release(memory);
    }
    check_stats(pool, 1, 0, 0);
    pb_pool_release(pool);
}

/* How many host pages of a free slot are in memory. */
static size_t resident_pages(const uint8_t *base) {
    unsigned char resident[SLOT_PAGES * PB_PAGE_BYTES / 4096] = {0};
    size_t count = 0;
    CHECK_EQ(mincore((void *)(uintptr_t)base, SLOT_PAGES * PB_PAGE_BYTES, resident), 0);
    for (size_t i = 0; i < sizeof resident; i++) {
        count += resident[i] & 1;
    }
    return count;
}

/* A tenant that writes one byte, the last, to each of count host pages from the first on. */
static const uint8_t *scanned_tenant(struct pb_pool *pool, uint64_t first, uint64_t count,
                                     uint64_t step) {
    struct pb_memory *memory = tenant(pool, SLOT_PAGES);
    uint8_t *base = base_of(memory);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *last = base + (first + i * step + 1) * pb_os_page_bytes() - 1;
        CHECK_EQ(*last, 0);
        *last = 1;
    }
    pb_memory_release(memory);
    return base;
}

static void skip_unless_scans(void) {
    if (pb_pool_reset_available(PB_POOL_SCAN, NULL) != PB_OK) {
        test_skip("this kernel has no PAGEMAP_SCAN");
    }
}

/* Tenants that write much find their pages resident, also if each writes other pages than the last.
 * What is kept stays within the budget. */
TEST(R15_scan_keeps_pages_of_tenants_that_write_much) {
    skip_unless_scans();
    const uint64_t pages = SLOT_PAGES * PB_PAGE_BYTES / pb_os_page_bytes();
    const size_t budget = kept_bytes(SCAN) / pb_os_page_bytes();
    if (pb_os_page_bytes() != (uint64_t)getpagesize()) {
        test_skip("pages of the kernel are smaller than they are said to be");
    }
    struct pb_pool *pool = pool_of(1, SCAN);
    for (unsigned round = 0; round < 8; round++) {
        const uint8_t *base = scanned_tenant(pool, round % 2, pages / 2, 2);
        test_note("round %u", round);
        CHECK_EQ(resident_pages(base), budget);
    }
    pb_pool_release(pool);
}

/* The same few pages each time are kept. Other pages each time are not, once the pool has noticed.
 */
TEST(R15_scan_keeps_few_pages_only_where_they_are_written_again) {
    skip_unless_scans();
    const uint64_t pages = SLOT_PAGES * PB_PAGE_BYTES / pb_os_page_bytes();
    if (pages < 64) {
        test_skip("pages of the host are too large for a share of a few");
    }
    struct pb_pool *pool = pool_of(1, SCAN);
    for (unsigned round = 0; round < 8; round++) {
        CHECK_EQ(resident_pages(scanned_tenant(pool, 3, 2, 40)), 2);
    }
    CHECK_EQ(resident_pages(scanned_tenant(pool, 5, 2, 40)), 0);
    CHECK_EQ(resident_pages(scanned_tenant(pool, 7, 2, 40)), 0); /* not tried again at once */
    CHECK_EQ(resident_pages(scanned_tenant(pool, 9, 2, 40)), 2);
    CHECK_EQ(resident_pages(scanned_tenant(pool, 9, 2, 40)), 2);
    pb_pool_release(pool);
}

/* A child's pages are not those that the pool's descriptor tells of. */
TEST(R15_scan_in_a_child_asks_of_its_own_pages) {
    struct pb_pool *pool = pool_of(1, SCAN);
    struct pb_memory *memory = tenant(pool, 1);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fill_pattern(memory, 0, PB_PAGE_BYTES, 7);
        pb_memory_release(memory);
        memory = tenant(pool, 1);
        check_zero(memory, 0, PB_PAGE_BYTES);
        pb_memory_release(memory);
        pb_pool_release(pool);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    pb_memory_release(memory);
    pb_pool_release(pool);
}

TEST(R15_scan_is_refused_with_a_reason) {
    const char *reason = NULL;
    enum pb_status status = pb_pool_reset_available(PB_POOL_SCAN, &reason);
    CHECK(status == PB_OK ? reason == NULL : status == PB_UNSUPPORTED && reason != NULL);
    CHECK_STATUS(pb_pool_reset_available(PB_POOL_DISCARD, NULL), PB_OK);
    CHECK_STATUS(pb_pool_reset_available((enum pb_pool_reset)99, &reason), PB_UNSUPPORTED);
    CHECK(reason != NULL);
}

/* ---- Threads -------------------------------------------------------------------------------- */

enum { RENTERS = 3 };

static void *rent(void *argument) {
    struct pb_pool *pool = argument;
    uint64_t state = (uintptr_t)&state;
    for (unsigned i = 0; i < TEST_ROUNDS(500); i++) {
        struct pb_memory *memory;
        if (try_tenant(pool, 1, &memory) != PB_OK) {
            continue; /* two others have the two slots */
        }
        uint32_t old, seed = test_random(&state);
        check_zero(memory, 0, 4096);
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        check_zero(memory, PB_PAGE_BYTES, 4096);
        fill_pattern(memory, 0, 4096, seed);
        fill_pattern(memory, PB_PAGE_BYTES, 4096, seed);
        check_pattern(memory, 0, 4096, seed);
        pb_memory_release(memory);
    }
    return NULL;
}

TEST(R15_pool_shared_by_threads) {
    for (unsigned r = 0; r < WAYS; r++) {
        struct pb_pool *pool = pool_of(2, (enum way)r);
        pthread_t threads[RENTERS];
        for (unsigned i = 0; i < RENTERS; i++) {
            threads[i] = test_thread(rent, pool);
        }
        for (unsigned i = 0; i < RENTERS; i++) {
            test_join(threads[i]);
        }
        check_stats(pool, 2, 0, 0);
        pb_pool_release(pool);
    }
}
