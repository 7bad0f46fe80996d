/* os.c: tests of the seam to Linux itself: what os.h promises, which the rules stand on. */
#include "os.h"

#include "fixture.h"
#include "lock.h"
#include "test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PAGES = 8 };

static uint64_t page(void) {
    return pb_os_page_bytes();
}

static uint8_t *reserve(void) {
    void *base = NULL;
    CHECK_STATUS(pb_os_reserve(PAGES * page(), &base), PB_OK);
    CHECK(base != NULL && (uintptr_t)base % page() == 0);
    return base;
}

TEST(R4_os_reserved_space_is_closed_until_committed) {
    uint8_t *at = reserve();
    CHECK(read_faults(at) && write_faults(at + PAGES * page() - 1));
    CHECK_STATUS(pb_os_commit(at + page(), 2 * page()), PB_OK);
    CHECK(read_faults(at + page() - 1) && read_faults(at + 3 * page()));
    CHECK(!write_faults(at + page()) && !write_faults(at + 3 * page() - 1));
    CHECK_EQ(at[page()], 0);
    at[page()] = 5;
    CHECK_STATUS(pb_os_decommit(at + page(), page()), PB_OK);
    CHECK(read_faults(at + page()));
    CHECK(!read_faults(at + 2 * page()));
    CHECK_STATUS(pb_os_commit(at + page(), page()), PB_OK);
    CHECK_EQ(at[page()], 5); /* kept until discarded */
    CHECK_STATUS(pb_os_discard(at + page(), page()), PB_OK);
    CHECK_EQ(at[page()], 0);
    at[page()] = 6;
    CHECK_STATUS(pb_os_renew(at, PAGES * page()), PB_OK);
    CHECK(read_faults(at + page()));
    CHECK_STATUS(pb_os_commit(at, PAGES * page()), PB_OK);
    CHECK_EQ(at[page()], 0);
    CHECK_STATUS(pb_os_release(at, PAGES * page()), PB_OK);
}

TEST(R2_os_accessible_reservation_is_zero) {
    void *base = NULL;
    CHECK_STATUS(pb_os_reserve_accessible(PAGES * page(), &base), PB_OK);
    uint8_t *at = base;
    for (uint64_t i = 0; i < PAGES * page(); i++) {
        CHECK_EQ(at[i], 0);
    }
    at[0] = at[PAGES * page() - 1] = 1;
    CHECK_STATUS(pb_os_release(at, PAGES * page()), PB_OK);
}

TEST(R6_os_more_than_there_is_is_no_memory) {
    void *base = (void *)0x77;
    CHECK_STATUS(pb_os_reserve(UINT64_C(1) << 62, &base), PB_NO_MEMORY);
    CHECK_STATUS(pb_os_reserve_accessible(UINT64_C(1) << 62, &base), PB_NO_MEMORY);
    CHECK(base == (void *)0x77);
}

/* Without a signal, which would end the host. */
TEST(R6_os_file_above_the_process_limit_is_no_memory) {
    struct rlimit old, now;
    int file = 77;
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0);
    now = (struct rlimit){page(), old.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
    enum pb_status longer = pb_os_file_create(2 * page(), &file);
    bool untouched = file == 77;
    enum pb_status fitting = pb_os_file_create(page(), &file);
    CHECK(setrlimit(RLIMIT_FSIZE, &old) == 0);
    CHECK_STATUS(longer, PB_NO_MEMORY);
    CHECK(untouched);
    CHECK_STATUS(fitting, PB_OK);
    pb_os_file_close(file);
}

TEST(R10_os_move_takes_the_bytes_and_the_old_place_is_gone) {
    uint8_t *from = reserve(), *to = reserve();
    CHECK_STATUS(pb_os_commit(from, 2 * page()), PB_OK);
    from[0] = 1;
    from[2 * page() - 1] = 2;
    bool kept;
    CHECK_STATUS(pb_os_move(from, 2 * page(), to + page(), 3 * page(), &kept), PB_OK);
    CHECK_EQ(to[page()], 1);
    CHECK_EQ(to[3 * page() - 1], 2);
    CHECK_EQ(to[3 * page()], 0);
    CHECK(!write_faults(to + page()) && !write_faults(to + 4 * page() - 1));
    CHECK(read_faults(to) && read_faults(to + 4 * page()));
    unsigned char resident;
    CHECK(mincore(from, page(), &resident) != 0 && errno == ENOMEM); /* not mapped */
    CHECK_STATUS(pb_os_release(to, PAGES * page()), PB_OK);
    CHECK_STATUS(pb_os_release(from + 2 * page(), (PAGES - 2) * page()), PB_OK);
}

TEST(R4_os_guard_markers_close_and_survive_a_discard) {
    void *base = NULL;
    CHECK_STATUS(pb_os_reserve_accessible(PAGES * page(), &base), PB_OK);
    uint8_t *at = base;
    enum pb_status status = pb_os_advise(at + page(), page(), PB_OS_GUARD_INSTALL);
    if (status == PB_UNSUPPORTED || !pb_os_is_closed(at + page())) {
        test_skip("this kernel has no MADV_GUARD_INSTALL");
    }
    CHECK(!pb_os_is_closed(at));
    CHECK_STATUS(status, PB_OK);
    CHECK(read_faults(at + page()) && write_faults(at + 2 * page() - 1));
    CHECK(!write_faults(at) && !write_faults(at + 2 * page()));
    CHECK_STATUS(pb_os_discard(at, PAGES * page()), PB_OK);
    CHECK(read_faults(at + page()));
    CHECK_STATUS(pb_os_advise(at + page(), page(), PB_OS_GUARD_REMOVE), PB_OK);
    CHECK(!write_faults(at + page()));
    CHECK_EQ(at[page()], 0);
    CHECK_STATUS(pb_os_release(at, PAGES * page()), PB_OK);
}

TEST(R13_os_frozen_file_is_seen_by_private_views_only) {
    int file = -1;
    uint8_t *a = reserve(), *b = reserve();
    CHECK_STATUS(pb_os_file_create(2 * page(), &file), PB_OK);
    CHECK_STATUS(pb_os_file_write(file, page() - 2, "abcd", 4), PB_OK);
    CHECK_STATUS(pb_os_file_freeze(file), PB_OK);
    CHECK(pb_os_file_write(file, 0, "x", 1) != PB_OK);
    CHECK(ftruncate(file, 0) != 0);
    CHECK_STATUS(pb_os_file_map(file, a, 2 * page(), NULL), PB_OK);
    CHECK_STATUS(pb_os_file_map(file, b, 2 * page(), NULL), PB_OK);
    pb_os_file_close(file);
    CHECK(memcmp(a + page() - 2, "abcd", 4) == 0);
    CHECK(read_faults(a + 2 * page()));
    a[page() - 2] = 'X';
    CHECK_EQ(b[page() - 2], 'a');
    uint8_t written[2] = {9, 9};
    struct pb_os_account account = {0};
    enum pb_status status = pb_os_file_written(&account, a, 2 * page(), written);
    if (status == PB_OK) {
        CHECK_EQ(written[0], 1);
        CHECK_EQ(written[1], 0);
        (void)*(volatile uint8_t *)(b + page());
        CHECK_STATUS(pb_os_file_written(&account, b, 2 * page(), written), PB_OK);
        CHECK_EQ(written[0] + written[1], 0); /* reading is not writing */
    } else {
        CHECK_STATUS(status, PB_UNSUPPORTED);
    }
    pb_os_account_close(&account);
    CHECK_STATUS(pb_os_discard(a, 2 * page()), PB_OK);
    CHECK_EQ(a[page() - 2], 'a'); /* as in the file */
    CHECK_STATUS(pb_os_release(a, PAGES * page()), PB_OK);
    CHECK_STATUS(pb_os_release(b, PAGES * page()), PB_OK);
}

TEST(R20_os_wait_compares_before_it_blocks) {
    _Atomic uint32_t word = 5;
    CHECK_STATUS(pb_os_wait(&word, 4, PB_DEADLINE_NEVER), PB_OK);
    uint64_t deadline_ns = pb_os_clock_ns() + 1000;
    enum pb_status status = PB_OK;
    while (status == PB_OK) { /* may wake for no reason */
        status = pb_os_wait(&word, 5, deadline_ns);
    }
    CHECK_STATUS(status, PB_TIMED_OUT);
    CHECK(pb_os_clock_ns() >= deadline_ns); /* R23: never early */
    CHECK_STATUS(pb_os_wait(&word, 5, 0), PB_TIMED_OUT);
    pb_os_wake(&word, 1); /* nobody is there: harmless */
    CHECK(pb_os_page_bytes() >= 4096 && 65536 % pb_os_page_bytes() == 0);
}

static _Atomic uint32_t wake_word;

static void *wait_for_word(void *argument) {
    (void)argument;
    while (wake_word == 0) {
        enum pb_status status = pb_os_wait(&wake_word, 0, PB_DEADLINE_NEVER);
        CHECK_STATUS(status, PB_OK);
    }
    return NULL;
}

TEST(R20_os_wake_ends_waits) {
    for (unsigned i = 0; i < 200; i++) {
        wake_word = 0;
        pthread_t threads[2] = {test_thread(wait_for_word, NULL), test_thread(wait_for_word, NULL)};
        for (unsigned pause = 0; pause < i % 7; pause++) {
            test_pause();
        }
        wake_word = 1;
        pb_os_wake(&wake_word, 2);
        test_join(threads[0]);
        test_join(threads[1]);
    }
}

/* ---- The lock on top ------------------------------------------------------------------------ */

static struct pb_lock lock;
static unsigned counter;

static void *count_up(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < TEST_ROUNDS(50000); i++) {
        pb_lock_acquire(&lock);
        counter++;
        pb_lock_release(&lock);
    }
    return NULL;
}

TEST(R6_lock_excludes_and_never_forgets_a_sleeper) {
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        threads[i] = test_thread(count_up, NULL);
    }
    for (unsigned i = 0; i < 4; i++) {
        test_join(threads[i]);
    }
    CHECK_EQ(counter, 4 * TEST_ROUNDS(50000));
}
