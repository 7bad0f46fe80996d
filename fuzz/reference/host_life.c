/* host_life.c: the whole life of a memory of any strategy, or a walk of steps in any order, on
 * kernels that answer otherwise than this one, in a thread that is to be cancelled, in a child of
 * the process: first contents, growth in place and past its room, copies, resets, the next tenant.
 */
#include "host_within.h"

#include "os_wrap.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_PAGES = 1, PAGES_MAX = 9, PAGE_BYTES = 65536, IMAGE_BYTES = 5000 };

static struct life {
    enum word_kernel kernel;
    enum pb_strategy strategy;
    enum pb_pool_reset reset;
    uint64_t keep_bytes;
    bool has_image, scans;
    struct pb_memory_style style;
    struct pb_memory_config config;
    struct pb_memory *memory, *copy;
    /* What they must hold. */
    uint8_t bytes[PAGES_MAX * PAGE_BYTES], copied[PAGES_MAX * PAGE_BYTES];
    uint32_t pages, copied_pages;
    void (*way)(void); /* that it goes */
    bool unseen;       /* nobody looks at the bytes, before the end */
    const char *broken;
} life;

static void hold_that(bool right, const char *rule) {
    life.broken = host_first(life.broken, host_holds(right, rule));
}

/* ---- What it holds ----------------------------------------------------------------------------
 */

/* True if the kernel itself can read 8 bytes there. */
static bool is_open(const void *at) {
    enum { NO_SUCH_HOW = 99, MASK_BYTES = 8 };
    return syscall(SYS_rt_sigprocmask, NO_SUCH_HOW, at, NULL, MASK_BYTES) == 0 || errno != EFAULT;
}

static void compare(struct pb_memory *memory, const uint8_t *bytes, uint32_t pages,
                    const char *rule) {
    if (life.broken != NULL || life.unseen) {
        return;
    }
    const uint8_t *base = host_base(memory);
    hold_that(pb_memory_size_pages(memory) == pages &&
                  pb_memory_size_bytes(memory) == pages * PAGE && is_open(base) &&
                  is_open(base + pages * PAGE - 8),
              rule);
    hold_that(life.broken != NULL || memcmp(base, bytes, pages * PAGE) == 0, rule);
    hold_that(!pb_strategy_info(life.strategy)->traps || !is_open(base + pages * PAGE), "R4-guard");
}

static void look(const char *rule) {
    compare(life.memory, life.bytes, life.pages, rule);
}

static void begin_anew(uint8_t *bytes) {
    memset(bytes, 0, PAGES_MAX * PAGE);
    if (life.has_image) {
        memcpy(bytes, host_far_bytes(), IMAGE_BYTES);
    }
}

/* The ends of each page, and every other host page: more runs than one look at the account tells.
 */
static void write_here_and_there(struct pb_memory *memory, uint8_t *bytes, uint32_t pages,
                                 uint8_t value) {
    const uint64_t host = host_page_bytes();
    uint8_t *base = host_base(memory);
    for (uint64_t at = 0; at < pages * PAGE && life.broken == NULL; at += host) {
        const uint64_t places[] = {at + value % host, at + host - 1};
        const bool ends = at % PAGE == 0 || (at + host) % PAGE == 0;
        for (unsigned i = 0; i < 2 && (ends || at / host % 2 == 0); i++) {
            base[places[i]] ^= value;
            bytes[places[i]] ^= value;
        }
    }
}

/* ---- What the kernel refuses ------------------------------------------------------------------
 */

static bool is_one_of(enum word_kernel one, enum word_kernel other) {
    return life.kernel == one || life.kernel == other;
}

/* What needs the account of pages. */
static unsigned scan_statuses(void) {
    if (life.kernel == WORD_kernel_no_descriptors) {
        return S(NO_DESCRIPTORS);
    }
    return is_one_of(WORD_kernel_no_scan, WORD_kernel_no_pagemap) || !life.scans ? S(UNSUPPORTED)
                                                                                 : S(OK);
}

static unsigned create_statuses(void) {
    const bool markers = is_one_of(WORD_kernel_no_markers, WORD_kernel_false_markers);
    if (life.strategy == PB_STRATEGY_GUARD && markers) {
        return S(UNSUPPORTED);
    }
    if (life.strategy == PB_STRATEGY_GUARD) { /* as far as this one has them */
        return pb_strategy_available(PB_STRATEGY_GUARD, NULL) == PB_OK ? S(OK) : S(UNSUPPORTED);
    }
    return life.has_image && life.keep_bytes > 0 ? scan_statuses() : S(OK);
}

/* A copy of an image's view is a file, or asks what was written. */
static unsigned copy_statuses(bool again) {
    if (life.strategy != PB_STRATEGY_IMAGE) {
        return S(OK);
    }
    const bool views = again || life.has_image;
    return life.kernel == WORD_kernel_no_files ? S(UNSUPPORTED) | (views ? S(OK) : 0)
           : life.kernel == WORD_kernel_no_descriptors && views
               ? S(NO_DESCRIPTORS) | (again ? S(OK) : 0)
               : S(OK);
}

/* Markers and scans are there where they work, whatever the library says. */
static bool has_markers(void) {
    enum { MARKER_INSTALL = 102 };
    const uint64_t host = host_page_bytes();
    os_wrap_exempt(true);
    void *page = mmap(NULL, host, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const bool closed =
        page != MAP_FAILED && madvise(page, host, MARKER_INSTALL) == 0 && !is_open(page);
    if (page != MAP_FAILED) {
        (void)munmap(page, host);
    }
    os_wrap_exempt(false);
    return closed;
}

/* Where the kernel discards what it is told to, nothing is mapped anew: a lock into memory stays.
 */
static bool may_renew(void) {
    const bool discards = is_one_of(WORD_kernel_own, WORD_kernel_locked);
    return !discards || life.strategy == PB_STRATEGY_IMAGE ||
           (life.strategy == PB_STRATEGY_POOL && life.reset == PB_POOL_RENEW);
}

static void availability(void) {
    const char *reason = HOST_MARK;
    const bool none = life.strategy == PB_STRATEGY_GUARD &&
                      is_one_of(WORD_kernel_no_markers, WORD_kernel_false_markers);
    const enum pb_status got = pb_strategy_available(life.strategy, &reason);
    hold_that(
        (got == PB_OK) == (reason == HOST_MARK) && (got == PB_OK || got == PB_UNSUPPORTED) &&
            (!none || got == PB_UNSUPPORTED) &&
            (got == PB_OK || (life.strategy == PB_STRATEGY_GUARD && (none || !has_markers()))),
        "R3-available");
    reason = HOST_MARK;
    const unsigned set = scan_statuses();
    const bool can = pb_pool_reset_available(PB_POOL_SCAN, &reason) == PB_OK;
    hold_that(can == (set == S(OK)) && can == (reason == HOST_MARK), "R15-available");
}

/* ---- The life ---------------------------------------------------------------------------------
 */

static void grow(uint32_t delta) {
    uint32_t old = 99;
    if (life.broken == NULL) {
        hold_that(pb_memory_grow(life.memory, delta, &old) == PB_OK && old == life.pages,
                  "R5-grow-refused");
        life.pages += delta;
        look("R8-grow-bytes");
    }
}

/* again: one was copied from it before, or the other way round. True if there is a new one. */
static bool copy_as_it_is(bool again) {
    struct pb_memory *made = HOST_MARK;
    if (life.broken != NULL) {
        return false;
    }
    const unsigned set = copy_statuses(again);
    const enum pb_status got = pb_memory_copy(life.memory, &made);
    hold_that((set >> got & 1) != 0, "R13-copy-refused");
    look("R13-copy-source");
    if (got == PB_OK && life.broken != NULL) {
        pb_memory_release(made);
    }
    if (got != PB_OK || life.broken != NULL) {
        return false;
    }
    pb_memory_release(life.copy);
    life.copy = made;
    life.copied_pages = life.pages;
    memcpy(life.copied, life.bytes, sizeof life.copied);
    compare(made, life.copied, life.copied_pages, "R13-copy");
    return life.broken == NULL;
}

static void copy(bool again) {
    if (copy_as_it_is(again)) {
        write_here_and_there(life.copy, life.copied, life.copied_pages, 0x21);
        look("R13-copy-source");
        write_here_and_there(life.memory, life.bytes, life.pages, 0x42);
        compare(life.copy, life.copied, life.copied_pages, "R13-copy");
    }
}

static void reset(struct pb_memory *memory, uint8_t *bytes) {
    if (life.broken == NULL) {
        begin_anew(bytes);
        hold_that(pb_memory_reset(memory) == PB_OK, "R15-reset-refused");
        compare(memory, bytes, FIRST_PAGES, "R15-reset");
    }
}

static bool create(const char *rule) {
    struct pb_memory *made = HOST_MARK;
    if (life.broken != NULL) {
        return false;
    }
    const enum pb_status got = pb_memory_create(&life.config, &made);
    const unsigned set = create_statuses();
    hold_that((set >> got & 1) != 0, "R1-create");
    hold_that((got == PB_OK) == (made != HOST_MARK), "R1-told");
    if (got == PB_OK && life.broken != NULL) {
        pb_memory_release(made);
    }
    if (got != PB_OK || life.broken != NULL) {
        return false;
    }
    life.memory = made;
    life.pages = FIRST_PAGES;
    begin_anew(life.bytes);
    look(rule);
    return true;
}

static void live(void) {
    const bool reused = life.strategy == PB_STRATEGY_POOL;
    availability();
    if (!create(reused ? "R15-reuse" : "R2-fresh")) {
        return;
    }
    write_here_and_there(life.memory, life.bytes, life.pages, 0x11);
    grow(1);
    write_here_and_there(life.memory, life.bytes, life.pages, 0x12);
    copy(false);
    grow(2);
    write_here_and_there(life.memory, life.bytes, life.pages, 0x14);
    copy(true);
    if (life.copy != NULL) {
        reset(life.copy, life.copied);
    }
    for (uint8_t turn = 1; turn < 4; turn++) {
        reset(life.memory, life.bytes);
        life.pages = FIRST_PAGES;
        write_here_and_there(life.memory, life.bytes, life.pages, turn);
        grow(turn);
        write_here_and_there(life.memory, life.bytes, life.pages, (uint8_t)(16 + turn));
    }
    pb_memory_release(life.copy);
    pb_memory_release(life.memory);
    life.copy = life.memory = NULL;
    if (create(reused ? "R15-reuse" : "R2-fresh")) {
        grow(PAGES_MAX - FIRST_PAGES);
        copy(false);
        copy(true);
    }
    pb_memory_release(life.copy);
    pb_memory_release(life.memory);
    life.copy = life.memory = NULL;
}

static void live_in_pool(void) {
    enum { SLOTS = 3 }; /* the memory and two copies */
    const struct pb_pool_config slots = {
        .slots = SLOTS,
        .slot_bytes = PAGES_MAX * PAGE,
        .guard_bytes = host_page_bytes(),
        .reset = life.reset,
        .keep_resident_bytes = life.reset == PB_POOL_RENEW ? 0 : life.keep_bytes,
        .allocator = &host_allocator,
    };
    const unsigned set = life.reset == PB_POOL_SCAN ? scan_statuses() : S(OK);
    const enum pb_status got = pb_pool_create(&slots, &life.config.pool);
    hold_that((set >> got & 1) != 0, "R15-pool");
    if (got != PB_OK) {
        return;
    }
    if (life.broken == NULL) {
        life.way();
    }
    const struct pb_pool_stats stats = pb_pool_stats(life.config.pool);
    hold_that(life.broken != NULL || (stats.free == SLOTS && stats.used == 0 && stats.retired == 0),
              "R15-retired");
    pb_pool_release(life.config.pool);
}

static void live_on(void) {
    life.config.keep_resident_bytes = life.strategy == PB_STRATEGY_IMAGE ? life.keep_bytes : 0;
    if (life.has_image) {
        const unsigned set = life.kernel == WORD_kernel_no_files ? S(UNSUPPORTED) : S(OK);
        const enum pb_status got =
            pb_image_create(host_far_bytes(), IMAGE_BYTES, &host_allocator, &life.config.image);
        hold_that((set >> got & 1) != 0, "R2-image");
        if (got != PB_OK) {
            return;
        }
    }
    if (life.strategy == PB_STRATEGY_POOL) {
        live_in_pool();
    } else {
        life.way();
    }
    pb_image_release(life.config.image);
}

/* ---- Where ------------------------------------------------------------------------------------
 */

/* No call of the library is a cancellation point: the thread comes to its end. */
static void *cancelled_thread(void *argument) {
    (void)argument;
    (void)pthread_cancel(pthread_self());
    live_on();
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    return NULL;
}

static void live_cancelled(void) {
    pthread_t thread;
    void *ended = NULL;
    if (pthread_create(&thread, NULL, cancelled_thread, NULL) == 0 &&
        pthread_join(thread, &ended) == 0) {
        hold_that(ended != PTHREAD_CANCELED, "R13-cancellation-point");
    }
}

/* The next file that is opened is descriptor 0. */
static void live_without_stdin(void) {
    const int before = dup(STDIN_FILENO);
    if (before >= 0) {
        (void)close(STDIN_FILENO);
    }
    live_on();
    if (before >= 0) {
        hold_that(fcntl(STDIN_FILENO, F_GETFD) < 0 || life.broken != NULL, "R14-file-leak");
        (void)dup2(before, STDIN_FILENO);
        (void)close(before);
    }
}

/* The parent's account of pages, which a child has no use for: it may have closed it, and the
 * number be another file's by now. Returns -1 where there is none. */
static int pagemap_of_the_parent(void) {
    enum { FILES = 256 };
    for (int file = 3; file < FILES; file++) {
        char name[32], target[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", file);
        const ssize_t length = readlink(name, target, sizeof target - 1);
        target[length > 0 ? length : 0] = '\0';
        if (strstr(target, "/pagemap") != NULL) {
            return file;
        }
    }
    return -1;
}

/* A memory that the parent made goes on in the child, which sees its own pages. */
static void live_in_child(void) {
    const bool closed = life.keep_bytes / host_page_bytes() % 2 != 0; /* by the child */
    const int file = closed ? pagemap_of_the_parent() : -1;
    int other[2];
    if (file >= 0 && pipe(other) == 0) {
        (void)dup2(other[0], file);
    }
    write_here_and_there(life.memory, life.bytes, life.pages, 0x31);
    reset(life.memory, life.bytes);
    life.pages = FIRST_PAGES;
    write_here_and_there(life.memory, life.bytes, life.pages, 0x32);
    grow(1);
    reset(life.memory, life.bytes);
    life.pages = FIRST_PAGES;
    write_here_and_there(life.memory, life.bytes, life.pages, 0x34);
    copy(false);
    copy(true);
    pb_memory_release(life.copy);
    pb_memory_release(life.memory);
    pb_pool_release(life.config.pool);
    pb_image_release(life.config.image);
    hold_that(file < 0 || fcntl(file, F_GETFD) >= 0, "R15-foreign-file");
}

static void live_with_child(void) {
    const struct pb_pool_config slots = {
        .slots = 3,
        .slot_bytes = PAGES_MAX * PAGE,
        .guard_bytes = host_page_bytes(),
        .reset = life.reset,
        .keep_resident_bytes = life.reset == PB_POOL_RENEW ? 0 : life.keep_bytes,
        .allocator = &host_allocator,
    };
    life.config.keep_resident_bytes = life.strategy == PB_STRATEGY_IMAGE ? life.keep_bytes : 0;
    if ((life.strategy == PB_STRATEGY_POOL && pb_pool_create(&slots, &life.config.pool) != PB_OK) ||
        (life.has_image && pb_image_create(host_far_bytes(), IMAGE_BYTES, &host_allocator,
                                           &life.config.image) != PB_OK)) {
        return;
    }
    if (create("R2-fresh")) {
        write_here_and_there(life.memory, life.bytes, life.pages, 0x11);
        copy(false); /* the account is open */
        fflush(NULL);
        int told[2] = {-1, -1};
        const char *rule = "R15-child";
        (void)!pipe(told);
        const pid_t child = fork();
        if (child == 0) {
            live_in_child();
            (void)!write(told[1], &life.broken, sizeof life.broken); /* a constant's address */
            _exit(life.broken != NULL &&
                  !host_call_failed()); /* of which the parent hears nothing */
        }
        int status = 0;
        while (child > 0 && waitpid(child, &status, 0) != child && errno == EINTR) {
        }
        (void)close(told[1]);
        if (status != 0 && read(told[0], &rule, sizeof rule) != sizeof rule) {
            rule = "R15-child"; /* it came to no end */
        }
        (void)close(told[0]);
        hold_that(status == 0, rule);
        look("R15-child");
        copy(true);
        reset(life.memory, life.bytes);
    }
    pb_memory_release(life.copy);
    pb_memory_release(life.memory);
    pb_pool_release(life.config.pool);
    pb_image_release(life.config.image);
}

static void choose(enum word_kernel kernel, uint64_t strategy, uint64_t advice, uint64_t keep_bytes,
                   bool image) {
    static const enum pb_strategy strategies[WORD_strategy_count] = {
        [WORD_strategy_reserve] = PB_STRATEGY_RESERVE,
        [WORD_strategy_reserve_rw] = PB_STRATEGY_RESERVE_RW,
        [WORD_strategy_remap] = PB_STRATEGY_REMAP,
        [WORD_strategy_move] = PB_STRATEGY_MOVE,
        [WORD_strategy_heap] = PB_STRATEGY_HEAP,
        [WORD_strategy_image] = PB_STRATEGY_IMAGE,
        [WORD_strategy_pool] = PB_STRATEGY_POOL,
        [WORD_strategy_guard] = PB_STRATEGY_GUARD,
        [WORD_strategy_pool_renew] = PB_STRATEGY_POOL,
        [WORD_strategy_custom] = PB_STRATEGY_IMAGE,
        [WORD_strategy_custom_spare] = PB_STRATEGY_REMAP,
        [WORD_strategy_pool_scan] = PB_STRATEGY_POOL,
    };
    const uint64_t host = host_page_bytes();
    memset(&life, 0, sizeof life);
    life.scans = pb_pool_reset_available(PB_POOL_SCAN, NULL) == PB_OK;
    life.kernel = kernel;
    life.strategy = strategies[strategy];
    life.reset = strategy == WORD_strategy_pool_renew  ? PB_POOL_RENEW
                 : strategy == WORD_strategy_pool_scan ? PB_POOL_SCAN
                                                       : PB_POOL_DISCARD;
    life.keep_bytes = keep_bytes % (PAGES_MAX * PAGE + host) / host * host;
    life.has_image = life.strategy == PB_STRATEGY_IMAGE && image;
    life.style = (struct pb_memory_style){.kind = PB_STYLE_DYNAMIC, .guard_bytes = host};
    life.config = (struct pb_memory_config){
        .type = {FIRST_PAGES, PAGES_MAX, false},
        .style = &life.style,
        .strategy = life.strategy,
        .advice =
            (advice == WORD_advice_huge || advice == WORD_advice_both ? PB_ADVICE_HUGE_PAGES : 0u) |
            (advice == WORD_advice_populate || advice == WORD_advice_both ? PB_ADVICE_POPULATE
                                                                          : 0u),
        .allocator = &host_allocator,
    };
}

const char *host_life(const struct op *op) {
    if (host_far_bytes() == NULL) {
        return NULL;
    }
    choose((enum word_kernel)op->arg.host_life.kernel, op->arg.host_life.strategy,
           op->arg.host_life.advice, op->arg.host_life.keep,
           op->arg.host_life.image == WORD_yesno_yes);
    libc_wrap_kernel(life.kernel);
    const unsigned renewals = os_wrap_renewals();
    life.way = live;
    switch ((enum word_within)op->arg.host_life.within) {
    case WORD_within_cancelled:
        live_cancelled();
        break;
    case WORD_within_child:
        live_with_child();
        break;
    case WORD_within_no_stdin:
        live_without_stdin();
        break;
    default:
        live_on();
        break;
    }
    hold_that(may_renew() || os_wrap_renewals() == renewals, "R15-lock-lost");
    hold_that(libc_wrap_others_end(), "R6-foreign-pages");
    libc_wrap_kernel(WORD_kernel_own);
    os_wrap_ask();
    return life.broken;
}

/* ---- One thing after another --------------------------------------------------------------------
 */

static struct {
    unsigned count;
    uint32_t steps;
} walk;

static void swap_with_copy(void) {
    static uint8_t bytes[sizeof life.bytes];
    struct pb_memory *memory = life.memory;
    const uint32_t pages = life.pages;
    if (life.copy != NULL) {
        memcpy(bytes, life.bytes, sizeof bytes);
        memcpy(life.bytes, life.copied, sizeof bytes);
        memcpy(life.copied, bytes, sizeof bytes);
        life.memory = life.copy;
        life.copy = memory;
        life.pages = life.copied_pages;
        life.copied_pages = pages;
    }
}

/* The memory goes, and another one comes, likely in its place. */
static void replace(void) {
    pb_memory_release(life.memory);
    life.memory = NULL;
    (void)create(life.strategy == PB_STRATEGY_POOL ? "R15-reuse" : "R2-fresh");
}

static void take_step(unsigned step, uint8_t value) {
    switch (step) {
    case 0:
    case 1:
        write_here_and_there(life.memory, life.bytes, life.pages, value);
        break;
    case 2:
        if (life.pages < PAGES_MAX) {
            grow(1);
        }
        break;
    case 3:
        reset(life.memory, life.bytes);
        life.pages = FIRST_PAGES;
        break;
    case 4:
        copy_as_it_is(true);
        break;
    case 5:
        swap_with_copy();
        break;
    case 6:
        pb_memory_release(life.copy);
        life.copy = NULL;
        break;
    default:
        replace();
        break;
    }
}

static void take_steps(void) {
    enum { STEP_BITS = 3 };
    if (!create("R2-fresh")) {
        return;
    }
    for (unsigned i = 0; i < walk.count && life.broken == NULL && life.memory != NULL; i++) {
        take_step(walk.steps & 7, (uint8_t)(1 + i));
        walk.steps >>= STEP_BITS;
        if (life.memory != NULL) {
            look("R13-independence");
        }
        if (life.copy != NULL) {
            compare(life.copy, life.copied, life.copied_pages, "R13-independence");
        }
    }
    life.unseen = false;
    if (life.memory != NULL) {
        look("R15-reset");
    }
    if (life.copy != NULL) {
        compare(life.copy, life.copied, life.copied_pages, "R13-copy");
    }
    pb_memory_release(life.copy);
    pb_memory_release(life.memory);
    life.copy = life.memory = NULL;
}

const char *host_walk(const struct op *op) {
    enum { STEPS_MAX = 10 };
    if (host_far_bytes() == NULL) {
        return NULL;
    }
    choose((enum word_kernel)op->arg.host_walk.kernel, op->arg.host_walk.strategy,
           op->arg.host_walk.advice, op->arg.host_walk.keep,
           op->arg.host_walk.image == WORD_yesno_yes);
    walk.count = (unsigned)(op->arg.host_walk.count % (STEPS_MAX + 1));
    walk.steps = (uint32_t)op->arg.host_walk.steps;
    life.way = take_steps;
    life.unseen = op->arg.host_walk.looks == WORD_yesno_no;
    libc_wrap_kernel(life.kernel);
    live_on();
    hold_that(libc_wrap_others_end(), "R6-foreign-pages");
    libc_wrap_kernel(WORD_kernel_own);
    os_wrap_ask();
    return life.broken;
}
