/* faults.c: tests of R6, R13 to R17 with failures of the operating system: each call that an
 * operation makes fails once, and then that one and all after it; so does each allocation. */
#include "fixture.h"
#include "memory.h"
#include "seam.h"
#include "test.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Calls that ask the system for something. Where giving back fails as well (DISCARD, DECOMMIT,
 * RENEW) while a failed call is undone, nothing could be promised: these fail one at a time only.
 */
enum {
    ASKING = SEAM_RESERVE | SEAM_RESERVE_ACCESSIBLE | SEAM_COMMIT | SEAM_MOVE | SEAM_FILE_CREATE |
             SEAM_FILE_WRITE | SEAM_FILE_FREEZE | SEAM_FILE_MAP | SEAM_FILE_WRITTEN,
    NTH_MAX = 200
};

/* Which calls fail, and how. */
struct plan {
    const char *name;
    unsigned mask;
    bool ever;
};
static const struct plan plans[] = {{"each call once", SEAM_ALL, false},
                                    {"from a call on", ASKING, true},
                                    {"each allocation once", 0, false}};

static void plan_start(const struct plan *plan, unsigned nth) {
    if (plan->mask) {
        seam_fail(plan->mask, nth, plan->ever);
    } else {
        seam_allocator_fail(nth);
    }
}

/* Everything works again; true when something had failed. */
static bool plan_stop(void) {
    bool failed = seam_failed() > 0 || seam_allocator_failed() > 0;
    seam_fail(0, 0, false);
    seam_allocator_fail(0);
    return failed;
}

static void note_plan(const struct each *e, const struct plan *plan, unsigned nth) {
    test_note("strategy %s, %s, %s; fails: %s, number %u", e->info->name,
              e->shared ? "shared" : "owned", e->is_static ? "static" : "dynamic", plan->name, nth);
}

/* Runs attempt over every kind and plan with the first, second, ... call failing until none does.
 */
static void for_each_failure(unsigned kinds, uint32_t max_pages,
                             bool (*attempt)(struct each *e, const struct plan *plan,
                                             unsigned nth)) {
    for (size_t p = 0; p < sizeof plans / sizeof *plans; p++) {
        for (struct each e = each_kind(1, max_pages, kinds); each_next(&e);) {
            unsigned nth = 0;
            e.config.allocator = &seam_allocator;
            do {
                note_plan(&e, &plans[p], ++nth);
                CHECK(nth < NTH_MAX);
            } while (attempt(&e, &plans[p], nth));
        }
    }
}

/* ---- R1, R6: create ------------------------------------------------------------------------- */

static bool create_attempt(struct each *e, const struct plan *plan, unsigned nth) {
    struct pb_memory *memory = NULL;
    unsigned alive = seam_allocator_alive();
    uint64_t space = seam_address_space();
    e->config.style = &e->style;
    plan_start(plan, nth);
    enum pb_status status = pb_memory_create(&e->config, &memory);
    bool failed = plan_stop();
    CHECK_EQ(memory != NULL, status == PB_OK);
    if (status == PB_OK) {
        check_zero(memory, 0, PB_PAGE_BYTES);
        if (e->info->traps) {
            check_guarded(memory);
        }
        pb_memory_release(memory);
    } else {
        CHECK(failed);
    }
    CHECK_EQ(seam_allocator_alive(), alive);
    CHECK_EQ(seam_address_space(), space);
    if (e->pool) {
        CHECK_EQ(pb_pool_stats(e->pool).used, 0);
    }
    return failed;
}

TEST(R6_create_failing_anywhere_leaves_nothing) {
    for_each_failure(EACH_KIND, 4, create_attempt);
}

/* ---- R6: grow ------------------------------------------------------------------------------- */

static bool grow_attempt(struct each *e, const struct plan *plan, unsigned nth) {
    uint64_t space = seam_address_space();
    struct pb_memory *memory = each_create(e);
    uint32_t old = 99;
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    struct snapshot before = snapshot_take(memory);
    old = 99;
    plan_start(plan, nth);
    enum pb_status status = pb_memory_grow(memory, 20, &old);
    bool failed = plan_stop();
    if (status != PB_OK) {
        CHECK(failed);
        CHECK_EQ(old, 99);
        snapshot_check(memory, &before);
        CHECK_STATUS(pb_memory_grow(memory, 20, &old), PB_OK); /* a retry can succeed */
    }
    CHECK_EQ(old, 2);
    CHECK_EQ(pb_memory_size_pages(memory), 22);
    check_pattern(memory, 0, PB_PAGE_BYTES, 1);
    check_zero(memory, PB_PAGE_BYTES, 21 * PB_PAGE_BYTES);
    if (e->info->traps) {
        check_guarded(memory);
    }
    pb_memory_release(memory);
    CHECK_EQ(seam_address_space(), space);
    return failed;
}

TEST(R6_grow_failing_anywhere_changes_nothing_and_can_be_retried) {
    for_each_failure(EACH_KIND, 30, grow_attempt);
}

/* A failure inside grow must not leave a lock held: S7. */
TEST(R6_S7_every_call_still_works_after_a_failed_grow) {
    for (struct each e = each_kind(1, 30, EACH_SHARED | EACH_STATIC | EACH_DYNAMIC);
         each_next(&e);) {
        struct pb_memory *memory = each_create(&e), *copy = NULL;
        struct pb_memory *clone = clone_of(memory);
        uint32_t old, woken;
        enum pb_wait result;
        for (unsigned nth = 1; nth < 4; nth++) {
            seam_fail(SEAM_ALL, nth, false);
            (void)pb_memory_grow(memory, 1, &old);
            seam_fail(0, 0, false);
            CHECK_STATUS(pb_memory_grow(clone, 1, &old), PB_OK);
            CHECK_STATUS(pb_memory_wait32(clone, 0, 1, 0, &result), PB_OK);
            CHECK_STATUS(pb_memory_notify(memory, 0, 1, &woken), PB_OK);
        }
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        pb_memory_release(copy);
        pb_memory_release(clone);
        pb_memory_release(memory);
    }
}

/* ---- R13: copy ------------------------------------------------------------------------------ */

static bool copy_attempt(struct each *e, const struct plan *plan, unsigned nth) {
    struct pb_memory *memory = each_create(e), *copy = NULL, *first = NULL;
    uint32_t old;
    if (nth % 2 == 0) { /* a source that is itself a copy, written to since */
        CHECK_STATUS(pb_memory_copy(memory, &first), PB_OK);
        pb_memory_release(memory);
        memory = first;
    }
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    struct snapshot before = snapshot_take(memory);
    unsigned alive = seam_allocator_alive();
    plan_start(plan, nth);
    enum pb_status status = pb_memory_copy(memory, &copy);
    bool failed = plan_stop();
    snapshot_check(memory, &before);
    CHECK_EQ(copy != NULL, status == PB_OK);
    if (status != PB_OK) {
        CHECK(failed);
        CHECK(e->strategy == PB_STRATEGY_IMAGE || seam_allocator_alive() == alive);
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    }
    check_pattern(copy, 0, PB_PAGE_BYTES, 1);
    fill_pattern(memory, 0, PB_PAGE_BYTES, 2);
    check_pattern(copy, 0, PB_PAGE_BYTES, 1);
    CHECK_STATUS(pb_memory_grow(copy, 2, &old), PB_OK);
    check_zero(copy, PB_PAGE_BYTES, 2 * PB_PAGE_BYTES);
    if (e->info->traps) {
        check_guarded(copy);
    }
    pb_memory_release(copy);
    pb_memory_release(memory);
    return failed;
}

TEST(R13_copy_failing_anywhere_leaves_the_source_as_it_was) {
    for_each_failure(EACH_KIND, 4, copy_attempt);
}

/* ---- R14: clone and to-shared --------------------------------------------------------------- */

static bool clone_attempt(struct each *e, const struct plan *plan, unsigned nth) {
    struct pb_memory *memory = each_create(e), *clone = NULL;
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    plan_start(plan, nth);
    enum pb_status status = pb_memory_retain(memory, &clone);
    bool failed = plan_stop();
    CHECK_EQ(clone != NULL, status == PB_OK);
    if (status != PB_OK) {
        CHECK(failed);
        clone = clone_of(memory);
    }
    if (e->info->traps && e->strategy != PB_STRATEGY_POOL) {
        seam_watch(base_of(memory));
        pb_memory_release(memory);
        CHECK_EQ(seam_releases(), 0);
        check_pattern(clone, 0, PB_PAGE_BYTES, 1);
        pb_memory_release(clone);
        CHECK_EQ(seam_releases(), 1);
    } else {
        pb_memory_release(memory);
        pb_memory_release(clone);
    }
    return failed;
}

TEST(R14_clone_failing_anywhere_keeps_the_count) {
    for_each_failure(EACH_SHARED | EACH_STATIC | EACH_DYNAMIC, 4, clone_attempt);
}

static bool to_shared_attempt(struct each *e, const struct plan *plan, unsigned nth) {
    struct pb_memory *memory = each_create(e);
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    struct snapshot before = snapshot_take(memory);
    plan_start(plan, nth);
    enum pb_status status = pb_memory_to_shared(memory);
    bool failed = plan_stop();
    if (status != PB_OK) {
        snapshot_check(memory, &before);
        enum pb_status again = pb_memory_to_shared(memory);
        CHECK(again == PB_OK || (!failed && again == status) || !e->info->shareable ||
              !e->info->stable_base);
        status = again;
    }
    CHECK_EQ(pb_memory_type(memory).shared, status == PB_OK);
    check_pattern(memory, 0, PB_PAGE_BYTES, 1);
    pb_memory_release(memory);
    return failed;
}

TEST(R12_to_shared_failing_anywhere_changes_nothing) {
    for_each_failure(EACH_OWNED | EACH_STATIC | EACH_DYNAMIC, 4, to_shared_attempt);
}

/* ---- R15: reset ----------------------------------------------------------------------------- */

static bool reset_attempt(struct each *e, const struct plan *plan, unsigned nth) {
    struct pb_memory *memory = each_create(e);
    uint32_t old;
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
    fill_pattern(memory, 0, 3 * PB_PAGE_BYTES, 1);
    plan_start(plan, nth);
    enum pb_status status = pb_memory_reset(memory);
    bool failed = plan_stop();
    if (status == PB_OK) {
        CHECK_EQ(pb_memory_size_pages(memory), 1);
        check_zero(memory, 0, PB_PAGE_BYTES);
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        check_zero(memory, 0, 4 * PB_PAGE_BYTES);
        if (e->info->traps) {
            check_guarded(memory);
        }
    } else {
        CHECK(failed);
    }
    pb_memory_release(memory);
    return failed;
}

TEST(R15_reset_failing_anywhere_is_told_or_mended) {
    for_each_failure(EACH_OWNED | EACH_STATIC | EACH_DYNAMIC, 4, reset_attempt);
}

/* ---- R16, R17: bulk and initialise need nothing of the system ------------------------------- */

TEST(R17_initialise_and_bulk_ask_the_system_for_nothing) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        const struct pb_active_segment segment = {10, {"abc", 3}};
        seam_fail(SEAM_ALL, 1, true);
        CHECK_STATUS(pb_memory_initialise(memory, 100, "xyz", 3), PB_OK);
        CHECK_STATUS(pb_memory_initialise_segments(memory, &segment, 1, NULL), PB_OK);
        CHECK_STATUS(pb_memory_bulk_fill(memory, 0, 1, 10), PB_OK);
        CHECK_STATUS(pb_memory_bulk_copy(memory, 200, 0, 110), PB_OK);
        CHECK_EQ(seam_calls(), 0);
        seam_fail(0, 0, false);
        CHECK(memcmp(base_of(memory) + 209, "\1abc\0", 5) == 0);
        pb_memory_release(memory);
    }
}

/* ---- Limits of the process ------------------------------------------------------------------ */

#if !TEST_SANITIZED /* the sanitizers themselves need the address space */

#ifdef __GLIBC__
#define RESOURCE(number) (__rlimit_resource_t)(number) /* an enumeration there */
#else
#define RESOURCE(number) (number)
#endif

static void limit(int resource, uint64_t value) {
    struct rlimit old, now;
    CHECK(getrlimit(RESOURCE(resource), &old) == 0);
    now = (struct rlimit){value, old.rlim_max};
    CHECK(setrlimit(RESOURCE(resource), &now) == 0);
}

/* Bytes of address space that this process has. */
static uint64_t address_space_bytes(void) {
    char text[200] = "";
    int file = open("/proc/self/statm", O_RDONLY);
    CHECK(file >= 0 && read(file, text, sizeof text - 1) > 0);
    close(file);
    return strtoull(text, NULL, 10) * (unsigned long long)getpagesize();
}

/* A real RLIMIT_AS: small reservations still work, a big one is an error value, and a memory that
 * may move cannot grow; later it can. */
TEST(R6_address_space_limit_is_an_error_value) {
    const uint64_t slack = UINT64_C(64) << 20;
    for (struct each e = each_kind(1, 4096, EACH_OWNED | EACH_DYNAMIC); each_next(&e);) {
        uint32_t old = 99;
        if (e.strategy == PB_STRATEGY_POOL) {
            continue; /* reserved before the limit came */
        }
        e.config.reserve_pages_max = 4;
        struct pb_memory *memory = each_create(&e), *big = NULL;
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        struct snapshot before = snapshot_take(memory);
        limit(RLIMIT_AS, address_space_bytes() + slack);
        CHECK_STATUS(pb_memory_grow(memory, 2048, &old), PB_NO_MEMORY);
        snapshot_check(memory, &before);
        e.config.type.min_pages = 2048;
        CHECK_STATUS(pb_memory_create(&e.config, &big), PB_NO_MEMORY);
        CHECK(big == NULL);
        e.config.type.min_pages = 1;
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        struct pb_memory *small = each_create(&e);
        pb_memory_release(small);
        limit(RLIMIT_AS, RLIM_INFINITY);
        if (!e.info->stable_base) {
            CHECK_STATUS(pb_memory_grow(memory, 2048, &old), PB_OK);
            CHECK_EQ(old, 2);
        }
        check_pattern(memory, 0, PB_PAGE_BYTES, 1);
        pb_memory_release(memory);
    }
}

/* A growth that the limit refuses leaves no address space behind, so a smaller one succeeds. */
TEST(R6_growth_past_the_limit_leaves_no_address_space) {
    enum { PAGES = 256, ROUNDS = 30 };
    for (struct each e = each_kind(PAGES, 4096, EACH_OWNED | EACH_DYNAMIC); each_next(&e);) {
        if (e.info->stable_base || e.strategy == PB_STRATEGY_POOL) {
            continue;
        }
        for (unsigned round = 1; round <= ROUNDS; round++) {
            struct pb_memory *memory = each_create(&e);
            uint32_t old = 99;
            fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
            const uint64_t before = address_space_bytes();
            limit(RLIMIT_AS, before + (round * UINT64_C(4) << 20));
            enum pb_status status = pb_memory_grow(memory, PAGES, &old);
            const uint64_t after = address_space_bytes();
            limit(RLIMIT_AS, RLIM_INFINITY);
            CHECK(status == PB_OK || status == PB_NO_MEMORY);
            CHECK(status == PB_OK || after <= before);
            check_pattern(memory, 0, PB_PAGE_BYTES, 1);
            pb_memory_release(memory);
        }
    }
}

TEST(R1_default_reservation_under_an_address_space_limit) {
    struct pb_memory_config config = {.type = {1, PB_NO_MAXIMUM, false}};
    struct pb_memory *memory = NULL;
    limit(RLIMIT_AS, address_space_bytes() + (UINT64_C(256) << 20));
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_NO_MEMORY);
    CHECK(memory == NULL);
    const struct pb_tunables small = {16, 16 * PB_PAGE_BYTES, PB_PAGE_BYTES};
    config.tunables = &small;
    config.type.max_pages = 16;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    check_guarded(memory);
    pb_memory_release(memory);
}

#endif

/* The lowest descriptor that is free: unchanged when nothing leaks. */
static int free_descriptor(void) {
    int file = dup(0);
    CHECK(file >= 0);
    close(file);
    return file;
}

TEST(R13_no_descriptors_left_is_an_error_value) {
    const char *reason = "";
    if (pb_strategy_available(PB_STRATEGY_IMAGE, &reason) != PB_OK) {
        test_skip("%s", reason);
    }
    struct pb_memory_style style = {PB_STYLE_STATIC, 4, PB_PAGE_BYTES};
    struct pb_memory_config config = {
        .type = {1, 4, false}, .style = &style, .strategy = PB_STRATEGY_IMAGE};
    struct pb_memory *memory = NULL, *copy = NULL;
    struct pb_image *image = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
    struct snapshot before = snapshot_take(memory);
    struct rlimit old, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    none = (struct rlimit){0, old.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK_STATUS(pb_image_create("x", 1, NULL, &image), PB_NO_DESCRIPTORS);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_NO_DESCRIPTORS);
    CHECK(image == NULL && copy == NULL);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    snapshot_check(memory, &before);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    check_pattern(copy, 0, PB_PAGE_BYTES, 1);
    pb_memory_release(copy);
    pb_memory_release(memory);
}

TEST(R13_no_descriptor_leaks) {
    int before = free_descriptor();
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        for (unsigned nth = 0; nth < 20; nth++) {
            struct pb_memory *memory = each_create(&e), *copy = NULL, *second = NULL;
            seam_fail(SEAM_ALL, nth, false);
            (void)pb_memory_copy(memory, &copy);
            (void)pb_memory_copy(copy ? copy : memory, &second);
            seam_fail(0, 0, false);
            pb_memory_release(memory);
            pb_memory_release(second);
            pb_memory_release(copy);
        }
    }
    CHECK_EQ(free_descriptor(), before);
}
