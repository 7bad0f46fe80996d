/* libc.c: tests of os_linux.c with a C library that fails: every call that it makes, every errno
 * that matters, short reads and writes, signals in between. The linker puts the __wrap_ functions
 * in the library's place; their names tell ref/rules.mk what to wrap. */
#include "os.h"

#include "allocator.h"
#include "fixture.h"
#include "seam.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum libc_call {
    NO_CALL,
    MMAP,
    MUNMAP,
    MPROTECT,
    MADVISE,
    MREMAP,
    MEMFD_CREATE,
    FTRUNCATE,
    PWRITE,
    FCNTL,
    OPEN,
    PREAD,
    IOCTL,
    SYSCALL,
    CALLOC
};

/* Which call fails next, how often, and by which errno. What comes after works again. */
static struct {
    enum libc_call call;
    unsigned times;
    int error;
    ssize_t result;  /* of PWRITE and PREAD where the error is 0: so many bytes */
    unsigned calls;  /* made of that kind since */
    unsigned passes; /* so many of them work before */
    bool unmaps;     /* MREMAP and MMAP, as the kernel may: the target is gone all the same, */
    bool is_taken;   /* ... and another mapping is at its start by now */
    uint8_t *other_page;
    void *refused;   /* the target of the first move that the kernel itself refused */
    long wake_count; /* of the last futex wake */
    long seconds;    /* the last futex wait's deadline; -1: never */
} libc;

/* Whether the kernel can scan pagemap; whether it reports all resident pages as swapped. */
static bool scan_is_refused, scan_says_swapped;

static void libc_fails(enum libc_call call, unsigned times, int error) {
    memset(&libc, 0, sizeof libc);
    libc.call = call;
    libc.times = times;
    libc.error = error;
}

static unsigned libc_calls(void) {
    unsigned calls = libc.calls;
    memset(&libc, 0, sizeof libc);
    return calls;
}

static bool fails(enum libc_call call) {
    if (libc.call != call) {
        return false;
    }
    libc.calls++;
    if (libc.times == 0 || libc.calls <= libc.passes) {
        return false;
    }
    libc.times--;
    errno = libc.error;
    return true;
}

#define WRAPPED(type_, name_, parameters_) \
    type_ __real_##name_ parameters_;      \
    type_ __wrap_##name_ parameters_

WRAPPED(void *, mmap, (void *at, size_t bytes, int protection, int flags, int file, off_t offset));
WRAPPED(int, munmap, (void *at, size_t bytes));
WRAPPED(int, mprotect, (void *at, size_t bytes, int protection));
WRAPPED(int, madvise, (void *at, size_t bytes, int advice));
WRAPPED(void *, mremap, (void *at, size_t old_bytes, size_t bytes, int flags, ...));
WRAPPED(int, memfd_create, (const char *name, unsigned flags));
WRAPPED(int, ftruncate, (int file, off_t bytes));
WRAPPED(ssize_t, pwrite, (int file, const void *data, size_t count, off_t offset));
WRAPPED(int, fcntl, (int file, int command, ...));
WRAPPED(int, open, (const char *path, int flags, ...));
WRAPPED(ssize_t, pread, (int file, void *data, size_t count, off_t offset));
WRAPPED(int, ioctl, (int file, unsigned long request, ...));
WRAPPED(long, syscall, (long number, ...));
WRAPPED(void *, calloc, (size_t count, size_t bytes));

WRAPPED(long, sysconf, (int name));

/* PB_TEST_PAGE_BYTES: the size of a host page that ref/ sees, larger than the real one; 0: the real
 * one. */
static size_t pretended_page_bytes;

__attribute__((constructor)) static void pretend(void) {
    const char *text = getenv("PB_TEST_PAGE_BYTES");
    pretended_page_bytes = text == NULL ? 0 : (size_t)strtoul(text, NULL, 10);
}

/* A sanitizer's runtime calls this before it is ready to see anything. */
#ifdef __clang__
__attribute__((disable_sanitizer_instrumentation))
#endif
long __wrap_sysconf(int name) {
    return name == _SC_PAGESIZE && pretended_page_bytes > 0 ? (long)pretended_page_bytes
                                                            : __real_sysconf(name);
}

/* Starts at a pretended page, as on a kernel with such pages. */
static void *map_aligned(size_t bytes, int protection, int flags, int file, off_t offset) {
    size_t page = pretended_page_bytes;
    uint8_t *start = __real_mmap(NULL, bytes + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return MAP_FAILED;
    }
    size_t before = -(uintptr_t)start % page, whole = (bytes + page - 1) / page * page;
    (void)__real_munmap(start, before);
    (void)__real_munmap(start + before + whole, bytes + page - before - whole);
    return __real_mmap(start + before, bytes, protection, flags | MAP_FIXED, file, offset);
}

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    if (!fails(MMAP)) {
        return at == NULL && bytes > 0 && bytes <= SIZE_MAX / 2 && pretended_page_bytes > 0
                   ? map_aligned(bytes, protection, flags, file, offset)
                   : __real_mmap(at, bytes, protection, flags, file, offset);
    }
    if (libc.unmaps) {
        (void)__real_munmap(at, bytes);
        errno = libc.error;
    }
    return MAP_FAILED;
}

int __wrap_munmap(void *at, size_t bytes) {
    return fails(MUNMAP) ? -1 : __real_munmap(at, bytes);
}

int __wrap_mprotect(void *at, size_t bytes, int protection) {
    return fails(MPROTECT) ? -1 : __real_mprotect(at, bytes, protection);
}

/* Failure 0 is a call that does nothing and reports success. */
int __wrap_madvise(void *at, size_t bytes, int advice) {
    return fails(MADVISE) ? (libc.error == 0 ? 0 : -1) : __real_madvise(at, bytes, advice);
}

void *__wrap_mremap(void *at, size_t old_bytes, size_t bytes, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    void *to = va_arg(arguments, void *);
    va_end(arguments);
    if (!fails(MREMAP)) {
        void *moved = __real_mremap(at, old_bytes, bytes, flags, to);
        libc.refused = moved == MAP_FAILED && libc.refused == NULL ? to : libc.refused;
        return moved;
    }
    if (libc.unmaps) {
        (void)__real_munmap(to, bytes);
        if (libc.is_taken) {
            libc.other_page = __real_mmap(to, pb_os_page_bytes(), PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            libc.other_page[0] = 77;
        }
        errno = libc.error;
    }
    return MAP_FAILED;
}

int __wrap_memfd_create(const char *name, unsigned flags) {
    return fails(MEMFD_CREATE) ? -1 : __real_memfd_create(name, flags);
}

int __wrap_ftruncate(int file, off_t bytes) {
    return fails(FTRUNCATE) ? -1 : __real_ftruncate(file, bytes);
}

/* Failure 0 is a call that does less than it was asked for. */
static ssize_t shortened(void) {
    return libc.error == 0 ? libc.result : -1;
}

ssize_t __wrap_pwrite(int file, const void *data, size_t count, off_t offset) {
    if (!fails(PWRITE)) {
        return __real_pwrite(file, data, count, offset);
    }
    ssize_t result = shortened();
    return result > 0 ? __real_pwrite(file, data, (size_t)result, offset) : result;
}

int __wrap_fcntl(int file, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return fails(FCNTL) ? -1 : __real_fcntl(file, command, argument);
}

int __wrap_open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails(OPEN) ? -1 : __real_open(path, flags, mode);
}

ssize_t __wrap_pread(int file, void *data, size_t count, off_t offset) {
    return fails(PREAD) ? shortened() : __real_pread(file, data, count, offset);
}

/* The head of what PAGEMAP_SCAN takes, and one run of its answer. */
struct scan_head {
    uint64_t size, flags, start, end, walk_end, runs;
};
struct scan_run {
    uint64_t start, end, categories;
};

/* The runs in pretended pages: a page counts as present if any part of it is. */
static int whole_pages(struct scan_head *scan, struct scan_run *runs, int count) {
    uint64_t page = pretended_page_bytes;
    int merged = 0;
    for (int i = 0; i < count; i++) {
        uint64_t start = runs[i].start / page * page, end = (runs[i].end + page - 1) / page * page;
        bool joins = merged > 0 && start <= runs[merged - 1].end;
        merged += !joins;
        runs[merged - 1] =
            (struct scan_run){joins ? runs[merged - 1].start : start, end, runs[i].categories};
    }
    scan->walk_end = (scan->walk_end + page - 1) / page * page;
    return merged;
}

int __wrap_ioctl(int file, unsigned long request, ...) {
    enum { IS_SWAPPED = 1 << 4 };
    va_list arguments;
    va_start(arguments, request);
    struct scan_head *scan = va_arg(arguments, void *);
    va_end(arguments);
    if (scan_is_refused) {
        errno = ENOTTY;
        return -1;
    }
    int count = fails(IOCTL) ? -1 : __real_ioctl(file, request, scan);
    struct scan_run *runs = (void *)(uintptr_t)scan->runs;
    count = count > 0 && pretended_page_bytes > 0 ? whole_pages(scan, runs, count) : count;
    for (int i = 0; scan_says_swapped && i < count; i++) {
        runs[i].categories = IS_SWAPPED;
    }
    return count;
}

long __wrap_syscall(long number, ...) {
    enum { ARGUMENTS = 6 };
    long argument[ARGUMENTS];
    va_list arguments;
    va_start(arguments, number);
    for (unsigned i = 0; i < ARGUMENTS; i++) {
        argument[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if (libc.call == SYSCALL && number == SYS_futex && argument[1] == FUTEX_WAKE_PRIVATE) {
        libc.wake_count = argument[2];
    }
    if (libc.call == SYSCALL && number == SYS_futex && argument[1] == FUTEX_WAIT_BITSET_PRIVATE) {
        const long *deadline = (const long *)argument[3];
        libc.seconds = deadline == NULL ? -1 : deadline[0];
    }
    return fails(SYSCALL) ? -1
                          : __real_syscall(number, argument[0], argument[1], argument[2],
                                           argument[3], argument[4], argument[5]);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return fails(CALLOC) ? NULL : __real_calloc(count, bytes);
}

/* ---- Every call, every errno ----------------------------------------------------------------- */

enum { PAGES = 4, UNTOUCHED = 0x77 };

/* What the calls work on: a reservation, a second one, a file. */
static struct {
    uint8_t *at, *other;
    int file;
} world;

static uint64_t bytes(void) {
    return PAGES * pb_os_page_bytes();
}

static void world_make(void) {
    void *base;
    CHECK_STATUS(pb_os_reserve_accessible(bytes(), &base), PB_OK);
    world.at = base;
    memset(world.at, 5, bytes());
    CHECK_STATUS(pb_os_reserve(bytes(), &base), PB_OK);
    world.other = base;
    CHECK_STATUS(pb_os_file_create(bytes(), &world.file), PB_OK);
}

/* Gone are at after pb_os_release and pb_os_move. */
static void world_drop(bool has_at) {
    pb_os_file_close(world.file);
    CHECK_STATUS(pb_os_release(world.other, bytes()), PB_OK);
    if (has_at) {
        CHECK_STATUS(pb_os_release(world.at, bytes()), PB_OK);
    }
}

/* A call that gives something gives nothing when it fails, and what it gave goes again. */
static enum pb_status given(enum pb_status status, void *base) {
    if (status == PB_OK) {
        CHECK_STATUS(pb_os_release(base, bytes()), PB_OK);
    } else {
        CHECK(base == (void *)UNTOUCHED);
    }
    return status;
}

static enum pb_status reserve(void) {
    void *base = (void *)UNTOUCHED;
    enum pb_status status = pb_os_reserve(bytes(), &base);
    return given(status, base);
}

static enum pb_status reserve_accessible(void) {
    void *base = (void *)UNTOUCHED;
    enum pb_status status = pb_os_reserve_accessible(bytes(), &base);
    return given(status, base);
}

static enum pb_status renew(void) {
    return pb_os_renew(world.at, bytes());
}

static enum pb_status commit(void) {
    return pb_os_commit(world.at, bytes());
}

static enum pb_status decommit(void) {
    return pb_os_decommit(world.at, bytes());
}

static enum pb_status discard(void) {
    return pb_os_discard(world.at, bytes());
}

static enum pb_status populate(void) {
    return pb_os_advise(world.at, bytes(), PB_OS_POPULATE);
}

static enum pb_status release(void) {
    return pb_os_release(world.at, bytes());
}

static bool move_kept;

static enum pb_status move(void) {
    return pb_os_move(world.at, bytes(), world.other, bytes(), &move_kept);
}

static enum pb_status file_create(void) {
    int file = UNTOUCHED;
    enum pb_status status = pb_os_file_create(bytes(), &file);
    if (status == PB_OK) {
        pb_os_file_close(file);
    } else {
        CHECK_EQ(file, UNTOUCHED);
    }
    return status;
}

static enum pb_status file_write(void) {
    return pb_os_file_write(world.file, 0, "abc", 3);
}

static enum pb_status file_freeze(void) {
    return pb_os_file_freeze(world.file);
}

static enum pb_status file_map(void) {
    bool lost = false;
    enum pb_status status = pb_os_file_map(world.file, world.at, bytes(), &lost);
    CHECK(!lost);
    return status;
}

static enum pb_status file_written(void) {
    uint8_t written[PAGES];
    struct pb_os_account account = {0};
    enum pb_status status = pb_os_file_written(&account, world.at, bytes(), written);
    pb_os_account_close(&account);
    return status;
}

/* Which of the library's calls each function stands on. Those that ask the kernel again when a
 * signal came in between, and those that know less than errno tells, have tests of their own. */
static const struct function {
    const char *name;
    enum pb_status (*run)(void);
    enum libc_call call;
    bool again, takes_at;
} functions[] = {
    {"pb_os_reserve", reserve, MMAP, false, false},
    {"pb_os_reserve_accessible", reserve_accessible, MMAP, false, false},
    {"pb_os_renew", renew, MMAP, false, false},
    {"pb_os_commit", commit, MPROTECT, false, false},
    {"pb_os_decommit", decommit, MPROTECT, false, false},
    {"pb_os_discard", discard, MADVISE, true, false},
    {"pb_os_advise", populate, MADVISE, true, false},
    {"pb_os_release", release, MUNMAP, false, true},
    {"pb_os_move", move, MREMAP, false, true},
    {"pb_os_file_create", file_create, MEMFD_CREATE, false, false},
    {"pb_os_file_create", file_create, FTRUNCATE, false, false},
    {"pb_os_file_write", file_write, PWRITE, true, false},
    {"pb_os_file_freeze", file_freeze, FCNTL, true, false},
    {"pb_os_file_map", file_map, MMAP, false, false},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static const struct errno_row {
    int error;
    enum pb_status status;
} errnos[] = {
    {ENOMEM, PB_NO_MEMORY},       {ENOSPC, PB_NO_MEMORY},
    {EFBIG, PB_NO_MEMORY},        {EMFILE, PB_NO_DESCRIPTORS},
    {ENFILE, PB_NO_DESCRIPTORS},  {EINTR, PB_INTERRUPTED},
    {EAGAIN, PB_NO_MEMORY},       {EBUSY, PB_INTERRUPTED},
    {EINVAL, PB_UNSUPPORTED},     {ENOSYS, PB_UNSUPPORTED},
    {EOPNOTSUPP, PB_UNSUPPORTED}, {EPERM, PB_UNSUPPORTED},
    {EACCES, PB_UNSUPPORTED},     {EIO, PB_SYSTEM},
    {EFAULT, PB_SYSTEM},          {EBADF, PB_SYSTEM},
};
enum { ERRNOS = sizeof errnos / sizeof *errnos };

static unsigned open_files(void) {
    unsigned count = 0;
    for (int file = 0; file < 256; file++) {
        count += fcntl(file, F_GETFD, 0L) >= 0;
    }
    return count;
}

TEST(R6_libc_every_errno_is_a_status_and_nothing_has_changed) {
    for (unsigned f = 0; f < FUNCTIONS; f++) {
        world_make();
        for (unsigned e = 0; e < ERRNOS; e++) {
            if (functions[f].again &&
                (errnos[e].status == PB_INTERRUPTED || errnos[e].error == EAGAIN)) {
                continue;
            }
            test_note("%s fails by %s", functions[f].name, strerror(errnos[e].error));
            unsigned files = open_files();
            libc_fails(functions[f].call, 2,
                       errnos[e].error); /* locked pages are asked for again */
            enum pb_status status = functions[f].run();
            CHECK(libc_calls() > 0);
            CHECK_STATUS(status, errnos[e].status);
            CHECK_EQ(open_files(), files);
            CHECK_EQ(world.at[0], 5);
            CHECK_EQ(world.at[bytes() - 1], 5);
            CHECK(read_faults(world.other));
        }
        CHECK_STATUS(functions[f].run(), PB_OK); /* it is not the call that was wrong */
        world_drop(!functions[f].takes_at);
    }
}

/* The kernel unmaps the target of a move before it may still refuse: nobody else may get the hole.
 */
TEST(R6_libc_failed_move_leaves_no_hole_at_its_target) {
    world_make();
    libc_fails(MREMAP, 1, ENOMEM);
    libc.unmaps = true;
    CHECK_STATUS(move(), PB_NO_MEMORY);
    CHECK(move_kept);
    CHECK(read_faults(world.other));
    unsigned char resident[PAGES * PB_PAGE_BYTES / 4096]; /* by real pages */
    CHECK(mincore(world.other, bytes(), resident) == 0);  /* mapped */
    CHECK_EQ(world.at[0], 5);
    world_drop(true);
}

/* A hole that another mapping has taken stays that mapping's: the memory moves elsewhere. */
TEST(R6_libc_failed_move_touches_nothing_that_came_to_its_target) {
    static const unsigned advices[] = {PB_ADVICE_NONE, PB_ADVICE_POPULATE};
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = PB_PAGE_BYTES};
    for (unsigned i = 0; i < 2; i++) {
        const struct pb_memory_config config = {.type = {2, 64, false},
                                                .style = &style,
                                                .strategy = PB_STRATEGY_REMAP,
                                                .advice = advices[i]};
        struct pb_memory *memory = NULL;
        uint32_t old;
        uint64_t space = seam_address_space();
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        libc_fails(MREMAP, 1, ENOMEM);
        libc.unmaps = libc.is_taken = true;
        CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
        uint8_t *other_page = libc.other_page;
        CHECK(libc_calls() > 0);
        check_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
        check_zero(memory, 2 * PB_PAGE_BYTES, 3 * PB_PAGE_BYTES);
        check_guarded(memory);
        CHECK(base_of(memory) != other_page);
        pb_memory_release(memory);
        CHECK_EQ(seam_address_space(), space);
        CHECK(!write_faults(other_page) && other_page[0] == 77);
        CHECK(munmap(other_page, pb_os_page_bytes()) == 0);
    }
}

/* What has moved and then grown is of two mappings, which do not move at once. Before Linux 6.17
 * the target was unmapped all the same. */
TEST(R14_libc_a_move_that_the_kernel_refuses_leaves_no_target_behind) {
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = PB_PAGE_BYTES};
    const struct pb_memory_config config = {
        .type = {1, 64, false}, .style = &style, .strategy = PB_STRATEGY_REMAP};
    static const uint32_t deltas[] = {2, 1, 4};
    unsigned char resident;
    for (unsigned again = 0; again < 2; again++) {
        struct pb_memory *memory = NULL;
        uint32_t pages = 1, old;
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        (void)libc_calls();
        for (unsigned i = 0; i < 3; i++) {
            fill_pattern(memory, 0, pages * PB_PAGE_BYTES, i);
            CHECK_STATUS(pb_memory_grow(memory, deltas[i], &old), PB_OK);
            check_pattern(memory, 0, pages * PB_PAGE_BYTES, i);
            check_zero(memory, pages * PB_PAGE_BYTES, deltas[i] * PB_PAGE_BYTES);
            pages += deltas[i];
        }
        check_guarded(memory);
        pb_memory_release(memory);
        void *target = libc.refused;
        CHECK(target == NULL || mincore(target, 1, &resident) != 0);
    }
}

static bool kernel_moves_several_mappings(void) {
    struct utsname system;
    unsigned major = 0, minor = 0;
    CHECK(uname(&system) == 0 && sscanf(system.release, "%u.%u", &major, &minor) == 2);
    return major > 6 || (major == 6 && minor >= 17);
}

/* Under a limit what is new is opened before the move, where the kernel spares the target. */
TEST(R6_libc_growth_under_a_limit_that_cannot_be_opened) {
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = PB_PAGE_BYTES};
    const struct pb_memory_config config = {
        .type = {1, 64, false}, .style = &style, .strategy = PB_STRATEGY_REMAP};
    const bool opens = kernel_moves_several_mappings();
    for (unsigned of_data = 0; of_data < 2; of_data++) {
        struct pb_memory *memory = NULL;
        struct rlimit before, limit;
        uint32_t old;
        CHECK(getrlimit(of_data ? RLIMIT_DATA : RLIMIT_AS, &before) == 0);
        limit = before;
        limit.rlim_cur = (rlim_t)1 << 50; /* finite, and far */
        CHECK(setrlimit(of_data ? RLIMIT_DATA : RLIMIT_AS, &limit) == 0);
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1);
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        libc_fails(MPROTECT, 2, ENOMEM); /* for the move, and for the copy that is tried then */
        const enum pb_status status = pb_memory_grow(memory, 20, &old);
        (void)libc_calls();
        CHECK(!opens || status == PB_NO_MEMORY);
        CHECK_STATUS(pb_memory_grow(memory, 20, &old), PB_OK);
        CHECK_EQ(old, opens ? 2 : old);
        check_pattern(memory, 0, PB_PAGE_BYTES, 1);
        check_guarded(memory);
        pb_memory_release(memory);
        CHECK(setrlimit(of_data ? RLIMIT_DATA : RLIMIT_AS, &before) == 0);
    }
}

/* From 6.17 on they move, if in two steps; where one of these fails, the bytes are copied. */
TEST(R8_libc_what_has_moved_and_grown_moves_again_or_is_copied) {
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = PB_PAGE_BYTES};
    const struct pb_memory_config config = {
        .type = {1, 64, false}, .style = &style, .strategy = PB_STRATEGY_REMAP};
    static const struct {
        enum libc_call call;
        unsigned passes;
        int error;
        bool moves, leaves;                   /* the target, which may be another thread's by now */
    } rows[] = {{NO_CALL, 0, 0, true, false}, /* whether the kernel can is asked here, too */
                {NO_CALL, 0, 0, true, false},
                {MPROTECT, 0, ENOMEM, false, false},
                {MREMAP, 1, EFAULT, false, false},
                {MREMAP, 1, ENOMEM, false, true}};
    if (!kernel_moves_several_mappings()) {
        test_skip("Linux before 6.17 does not move several mappings");
    }
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_memory *memory = NULL;
        uint32_t old;
        uint64_t space = seam_address_space();
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        fill_pattern(memory, 0, PB_PAGE_BYTES, 1); /* else the kernel merges the two */
        CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        fill_pattern(memory, 0, 4 * PB_PAGE_BYTES, 1);
        libc_fails(rows[i].call, 1, rows[i].error);
        libc.passes = rows[i].passes;
        seam_fail(SEAM_COMMIT, 0, false);
        CHECK_STATUS(pb_memory_grow(memory, 4, &old), PB_OK);
        uint8_t *target = libc.refused;
        unsigned opened = seam_calls();
        (void)libc_calls();
        test_note("row %zu", i);
        CHECK(target != NULL);
        CHECK_EQ(opened == 0, rows[i].moves); /* a copy opens its target by itself */
        check_pattern(memory, 0, 4 * PB_PAGE_BYTES, 1);
        check_zero(memory, 4 * PB_PAGE_BYTES, 4 * PB_PAGE_BYTES);
        check_guarded(memory);
        pb_memory_release(memory);
        if (rows[i].leaves) {
            CHECK(munmap(target, 8 * PB_PAGE_BYTES) == 0);
        } else {
            CHECK_EQ(seam_address_space(), space);
        }
    }
}

TEST(R6_libc_advice_is_given_again_after_a_signal_but_not_for_ever) {
    static const int signals[] = {EINTR, EAGAIN, EBUSY};
    world_make();
    for (unsigned i = 0; i < 3; i++) {
        libc_fails(MADVISE, 3, signals[i]);
        CHECK_STATUS(populate(), PB_OK);
        CHECK_EQ(libc_calls(), 4);
        libc_fails(MADVISE, UINT_MAX, signals[i]);
        CHECK_STATUS(discard(), signals[i] == EAGAIN ? PB_NO_MEMORY : PB_INTERRUPTED);
        CHECK(libc_calls() <= 64);
        CHECK_EQ(world.at[0], 5);
    }
    CHECK_STATUS(discard(), PB_OK);
    CHECK_EQ(world.at[0], 0);
    world_drop(true);
}

/* ---- Files ----------------------------------------------------------------------------------- */

static void check_file(const char *expected) {
    char read[8] = "";
    CHECK_EQ(pread(world.file, read, 3, 0), 3);
    CHECK(strcmp(read, expected) == 0);
}

TEST(R13_libc_interrupted_and_short_writes_go_on) {
    world_make();
    libc_fails(PWRITE, 5, EINTR);
    CHECK_STATUS(file_write(), PB_OK);
    CHECK_EQ(libc_calls(), 6);
    check_file("abc");
    libc_fails(PWRITE, 2, 0);
    libc.result = 1;
    CHECK_STATUS(pb_os_file_write(world.file, 0, "xyz", 3), PB_OK);
    CHECK_EQ(libc_calls(), 3);
    check_file("xyz");
    world_drop(true);
}

TEST(R13_libc_a_write_that_writes_nothing_is_no_endless_loop) {
    world_make();
    libc_fails(PWRITE, UINT_MAX, 0);
    CHECK_STATUS(file_write(), PB_SYSTEM);
    CHECK_EQ(libc_calls(), 1);
    world_drop(true);
}

TEST(R13_libc_written_pages_are_not_known_without_pagemap) {
    world_make();
    scan_is_refused = true;
    CHECK_STATUS(file_map(), PB_OK);
    if (file_written() != PB_OK) {
        test_skip("this kernel has no pagemap");
    }
    for (unsigned e = 0; e < ERRNOS; e++) {
        unsigned files = open_files();
        test_note("open or pread fails by %s", strerror(errnos[e].error));
        libc_fails(OPEN, 1, errnos[e].error);
        enum pb_status status = errnos[e].status;
        CHECK_STATUS(file_written(),
                     status == PB_NO_DESCRIPTORS ? PB_NO_DESCRIPTORS : PB_UNSUPPORTED);
        libc_fails(PREAD, 1, errnos[e].error);
        CHECK_STATUS(file_written(), errnos[e].error == EINTR ? PB_OK : PB_UNSUPPORTED);
        (void)libc_calls();
        CHECK_EQ(open_files(), files);
    }
    libc_fails(PREAD, 1, 0); /* the end of the file */
    CHECK_STATUS(file_written(), PB_UNSUPPORTED);
    libc_fails(PREAD, 1, 0); /* half an entry */
    libc.result = 4;
    CHECK_STATUS(file_written(), PB_UNSUPPORTED);
    (void)libc_calls();
    scan_is_refused = false;
    world_drop(true);
}

static struct pb_memory *image_memory_from(struct pb_image *image) {
    static const struct pb_memory_style style = {PB_STYLE_STATIC, 4, PB_PAGE_BYTES};
    const struct pb_memory_config config = {.type = {2, 4, false},
                                            .style = &style,
                                            .strategy = PB_STRATEGY_IMAGE,
                                            .image = image,
                                            .allocator = &seam_allocator};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 1);
    return memory;
}

static struct pb_memory *image_memory(void) {
    return image_memory_from(NULL);
}

/* The first copy maps its reservation, its view, and makes its source a view as well. Where the
 * last fails, and takes the source's bytes with it, they come back. */
TEST(R13_libc_a_source_that_the_kernel_unmapped_comes_back) {
    struct pb_memory *memory = image_memory(), *copy = NULL;
    struct snapshot before = snapshot_take(memory);
    libc_fails(MMAP, 1, ENOMEM);
    libc.unmaps = true;
    libc.passes = 1;
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_NO_MEMORY);
    snapshot_check(memory, &before);
    libc_fails(MMAP, 1, ENOMEM);
    libc.unmaps = true;
    libc.passes = 2;
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    CHECK_EQ(libc_calls(), 4); /* reservation, copy's view, source's view, the hole */
    snapshot_check(memory, &before);
    check_guarded(memory);
    fill_pattern(memory, 0, 2 * PB_PAGE_BYTES, 2);
    check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 1);
    pb_memory_release(copy);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 2);
    pb_memory_release(copy);
    pb_memory_release(memory);
}

/* Where not even that succeeds, the source is closed, and no other mapping is touched; the copy is
 * good. */
TEST(R13_libc_a_source_that_cannot_come_back_traps) {
    struct pb_memory *memory = image_memory(), *copy = NULL;
    libc_fails(MMAP, 1, ENOMEM);
    libc.unmaps = true;
    libc.passes = 2;
    seam_fail(SEAM_COMMIT, 1, false);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    CHECK_EQ(libc_calls(), 4);
    CHECK_EQ(seam_failed(), 1);
    seam_fail(0, 0, false);
    CHECK(read_faults(base_of(memory) + PB_PAGE_BYTES));
    check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 1);
    pb_memory_release(memory);
    check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 1);
    pb_memory_release(copy);
}

/* Either way a reset brings back the first contents, open: what is left is no view of them. */
TEST(R15_libc_a_source_that_the_kernel_unmapped_is_reset_to_its_image) {
    static uint8_t first[PB_PAGE_BYTES + 1];
    for (unsigned with_image = 0; with_image < 2; with_image++) {
        for (unsigned comes_back = 0; comes_back < 2; comes_back++) {
            struct pb_image *image = NULL;
            if (with_image) {
                memset(first, 7, sizeof first);
                CHECK_STATUS(pb_image_create(first, sizeof first, NULL, &image), PB_OK);
            }
            struct pb_memory *memory = image_memory_from(image), *copy = NULL;
            pb_image_release(image);
            libc_fails(MMAP, 1, ENOMEM);
            libc.unmaps = true;
            libc.passes = 2;
            seam_fail(SEAM_COMMIT, comes_back ? 0 : 1, false);
            CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
            CHECK_EQ(libc_calls(), 4);
            seam_fail(0, 0, false);
            test_note("with an image: %u, came back: %u", with_image, comes_back);
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            uint64_t filled = with_image ? sizeof first : 0;
            for (uint64_t i = 0; i < filled; i++) {
                CHECK_EQ(base_of(memory)[i], 7);
            }
            check_zero(memory, filled, 2 * PB_PAGE_BYTES - filled);
            check_guarded(memory);
            check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 1);
            pb_memory_release(memory);
            pb_memory_release(copy);
        }
    }
}

/* The kernel refuses the seals while it holds a page of the file itself: that passes. */
TEST(R13_libc_a_copy_of_a_busy_file_is_tried_again_but_not_for_ever) {
    struct pb_memory *memory = image_memory(), *copy = NULL;
    struct snapshot before = snapshot_take(memory);
    unsigned files = open_files(), alive = seam_allocator_alive();
    libc_fails(FCNTL, UINT_MAX, EBUSY);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_INTERRUPTED);
    CHECK(libc_calls() <= 64);
    CHECK(copy == NULL);
    CHECK_EQ(open_files(), files);
    CHECK_EQ(seam_allocator_alive(), alive);
    snapshot_check(memory, &before);
    libc_fails(FCNTL, 1, EBUSY);
    CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
    CHECK_EQ(libc_calls(), 2);
    snapshot_check(memory, &before);
    check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 1);
    pb_memory_release(copy);
    pb_memory_release(memory);
}

/* More pages than are asked about at once. */
TEST(R13_libc_written_pages_are_told_for_long_ranges_too) {
    enum { MANY = 1300 };
    static uint8_t written[MANY];
    uint64_t page = pb_os_page_bytes();
    void *base;
    int file;
    CHECK_STATUS(pb_os_reserve(MANY * page, &base), PB_OK);
    CHECK_STATUS(pb_os_file_create(MANY * page, &file), PB_OK);
    CHECK_STATUS(pb_os_file_map(file, base, MANY * page, NULL), PB_OK);
    uint8_t *at = base;
    at[0] = at[600 * page] = at[(MANY - 1) * page] = 1;
    (void)*(volatile uint8_t *)(at + 700 * page);
    for (unsigned way = 0; way < 3; way++) {
        struct pb_os_account account = {0};
        if (way == 1 && pretended_page_bytes > 0) {
            continue; /* the file has an entry for each real page */
        }
        test_note("way %u", way);
        scan_is_refused = way == 1;
        scan_says_swapped = way == 2;
        libc_fails(way == 1 ? PREAD : IOCTL, 1, EINTR);
        enum pb_status status = pb_os_file_written(&account, base, MANY * page, written);
        (void)libc_calls();
        scan_is_refused = scan_says_swapped = false;
        pb_os_account_close(&account);
        if (status == PB_UNSUPPORTED) {
            test_skip("this kernel has no pagemap");
        }
        CHECK_STATUS(status, PB_OK);
        for (unsigned i = 0; i < MANY; i++) {
            CHECK_EQ(written[i], i == 0 || i == 600 || i == MANY - 1);
        }
    }
    pb_os_file_close(file);
    CHECK_STATUS(pb_os_release(base, MANY * page), PB_OK);
}

/* ---- Resets by the kernel's account ---------------------------------------------------------- */

static const struct pb_pool_config scanning = {.slots = 1,
                                               .slot_bytes = 4 * PB_PAGE_BYTES,
                                               .reset = PB_POOL_SCAN,
                                               .keep_resident_bytes = 4 * PB_PAGE_BYTES,
                                               .allocator = &seam_allocator};

static struct pb_memory *pool_memory(struct pb_pool *pool) {
    const struct pb_memory_style style = {PB_STYLE_STATIC, 4, 0};
    const struct pb_memory_config config = {
        .type = {4, 4, false}, .style = &style, .strategy = PB_STRATEGY_POOL, .pool = pool};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    return memory;
}

/* A kernel without the account, or a sandbox that refuses it: the reason is given, nothing is left.
 */
TEST(R15_libc_scan_is_refused_where_the_kernel_does_not_tell) {
    static const struct {
        enum libc_call call;
        int error;
        enum pb_status status;
    } rows[] = {
        {IOCTL, ENOTTY, PB_UNSUPPORTED}, {IOCTL, EPERM, PB_UNSUPPORTED},
        {IOCTL, ENOMEM, PB_NO_MEMORY},   {OPEN, ENOENT, PB_UNSUPPORTED},
        {OPEN, EACCES, PB_UNSUPPORTED},  {OPEN, EMFILE, PB_NO_DESCRIPTORS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pb_pool *pool = NULL;
        const char *reason = NULL;
        unsigned files = open_files();
        test_note("row %zu", i);
        libc_fails(rows[i].call, 1, rows[i].error);
        CHECK_STATUS(pb_pool_create(&scanning, &pool), rows[i].status);
        CHECK(pool == NULL);
        libc_fails(rows[i].call, 1, rows[i].error);
        CHECK_STATUS(pb_pool_reset_available(PB_POOL_SCAN, &reason), PB_UNSUPPORTED);
        CHECK(reason != NULL);
        (void)libc_calls();
        CHECK_EQ(open_files(), files);
        CHECK_EQ(seam_allocator_alive(), 0);
    }
    for (unsigned nth = 1; nth <= 2; nth++) {
        struct pb_pool *pool = NULL;
        seam_allocator_fail(nth);
        CHECK_STATUS(pb_pool_create(&scanning, &pool), PB_NO_MEMORY);
        seam_allocator_fail(0);
        CHECK(pool == NULL);
        CHECK_EQ(seam_allocator_alive(), 0);
    }
}

/* Swapped pages count as written, and are given back rather than swapped in. The kernel may also
 * refuse the account at any time, or a call be interrupted. */
TEST(R15_libc_scan_leaves_no_byte_in_swapped_or_untold_pages) {
    struct pb_pool *pool = NULL;
    if (pb_pool_reset_available(PB_POOL_SCAN, NULL) != PB_OK) {
        test_skip("this kernel has no PAGEMAP_SCAN");
    }
    CHECK_STATUS(pb_pool_create(&scanning, &pool), PB_OK);
    for (unsigned way = 0; way < 4; way++) {
        struct pb_memory *memory = pool_memory(pool);
        test_note("way %u", way);
        fill_pattern(memory, 0, 4 * PB_PAGE_BYTES, way + 1);
        scan_says_swapped = way == 0;
        libc_fails(way == 0 ? NO_CALL : IOCTL, 1, way == 1 ? EINTR : way == 2 ? ENOTTY : EIO);
        pb_memory_release(memory);
        (void)libc_calls();
        scan_says_swapped = false;
        memory = pool_memory(pool);
        check_zero(memory, 0, 4 * PB_PAGE_BYTES);
        pb_memory_release(memory);
    }
    pb_pool_release(pool);
}

/* One descriptor for all copies of an image; a child opens its own. */
TEST(R13_libc_copies_of_an_image_keep_the_descriptor) {
    struct pb_memory *memory = image_memory(), *copy = NULL;
    unsigned files = 0;
    for (unsigned i = 0; i < 4; i++) {
        libc_fails(OPEN, 0, 0);
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK_EQ(libc_calls(), i == 1 ? 1 : 0); /* the first one made the image */
        CHECK(i < 2 || open_files() == files);
        files = open_files();
        check_pattern(copy, 0, 2 * PB_PAGE_BYTES, 1);
        pb_memory_release(copy);
    }
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        fill_pattern(memory, 4096, 4096, 9);
        libc_fails(OPEN, 0, 0);
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK_EQ(libc_calls(), 1);
        check_pattern(copy, 4096, 4096, 9);
        pb_memory_release(copy);
        pb_memory_release(memory);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    pb_memory_release(memory);
    CHECK(open_files() < files);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

TEST(R20_libc_a_wait_ended_by_a_signal_is_no_time_out) {
    static const int errors[] = {EINTR, EAGAIN, EFAULT};
    _Atomic uint32_t word = 5;
    for (unsigned i = 0; i < 3; i++) {
        libc_fails(SYSCALL, 1, errors[i]);
        CHECK_STATUS(pb_os_wait(&word, 5, PB_DEADLINE_NEVER), PB_OK);
        CHECK_EQ(libc_calls(), 1);
    }
    libc_fails(SYSCALL, 1, ETIMEDOUT);
    CHECK_STATUS(pb_os_wait(&word, 5, 1), PB_TIMED_OUT);
    (void)libc_calls();
}

/* A deadline that the kernel's type does not hold is never, and not a moment in the past. */
TEST(R23_libc_a_far_deadline_is_not_cut) {
    static const uint64_t rows[] = {1,          INT32_MAX,         UINT64_C(1) << 31,
                                    UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX / 1000000000u};
    _Atomic uint32_t word = 5;
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        libc_fails(SYSCALL, 1, EINTR);
        CHECK_STATUS(pb_os_wait(&word, 5, rows[i] * 1000000000u), PB_OK);
        CHECK_EQ(libc.seconds, rows[i] <= LONG_MAX ? (long)rows[i] : -1);
        (void)libc_calls();
    }
    libc_fails(SYSCALL, 1, EINTR);
    CHECK_STATUS(pb_os_wait(&word, 5, PB_DEADLINE_NEVER), PB_OK);
    CHECK_EQ(libc.seconds, -1);
    (void)libc_calls();
}

/* The kernel's count is signed: 2^32-1 must not become -1. */
TEST(R24_libc_waking_everybody_is_a_positive_count) {
    _Atomic uint32_t word = 0;
    static const struct {
        uint32_t count;
        long asked;
    } rows[] = {{0, 0}, {1, 1}, {INT32_MAX, INT32_MAX}, {UINT32_MAX, INT32_MAX}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        libc_fails(SYSCALL, 0, 0);
        libc.wake_count = -2;
        pb_os_wake(&word, rows[i].count);
        CHECK_EQ(libc.wake_count, rows[i].asked);
        (void)libc_calls();
    }
}

/* ---- The record of who owns an address ------------------------------------------------------- */

static void *arena_take(void *context, size_t bytes) {
    static _Alignas(64) uint8_t arena[1 << 20];
    static size_t used;
    (void)context;
    size_t at = used;
    used += (bytes + 63) / 64 * 64;
    CHECK(used <= sizeof arena);
    return arena + at;
}

static void *arena_resize(void *context, void *at, size_t size) {
    (void)context, (void)at, (void)size;
    return NULL;
}

static void arena_release(void *context, void *at) {
    (void)context, (void)at;
}

/* Memories of another allocator: only the record itself asks the C library. */
TEST(R6_libc_no_memory_for_the_record_of_owners_is_a_failed_create) {
    enum { MEMORIES = 400 };
    static const struct pb_allocator arena = {arena_take, arena_resize, arena_release, NULL};
    static struct pb_memory *memories[MEMORIES];
    const struct pb_memory_style style = {PB_STYLE_STATIC, 1, 0};
    const struct pb_memory_config config = {
        .type = {1, 1, false}, .style = &style, .allocator = &arena};
    unsigned failed = 0;
    for (unsigned i = 0; i < MEMORIES; i++) {
        libc_fails(CALLOC, 1, ENOMEM);
        enum pb_status status = pb_memory_create(&config, &memories[i]);
        if (libc_calls() > 0) { /* another piece of the record was wanted */
            CHECK_STATUS(status, PB_NO_MEMORY);
            CHECK(memories[i] == NULL);
            failed++;
            CHECK_STATUS(pb_memory_create(&config, &memories[i]), PB_OK);
        }
        struct pb_address_owner owner;
        CHECK(pb_memory_owner_of(base_of(memories[i]) + 5, &owner));
        CHECK_EQ(owner.offset_bytes, 5);
    }
    CHECK(failed > 0);
    for (unsigned i = 0; i < MEMORIES; i++) {
        pb_memory_release(memories[i]);
    }
}

/* ---- Hints ----------------------------------------------------------------------------------- */

/* A kernel that cannot populate: a hint that cannot be had is ignored. */
TEST(R2_libc_populating_is_a_hint_where_the_kernel_has_none) {
    const struct pb_memory_config config = {.type = {1, 4, false}, .advice = PB_ADVICE_POPULATE};
    struct pb_memory *memory = NULL;
    uint32_t old;
    libc_fails(MADVISE, UINT_MAX, EINVAL);
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
    CHECK(libc_calls() >= 2);
    check_zero(memory, 0, 2 * PB_PAGE_BYTES);
    pb_memory_release(memory);
}

/* Emulators of user programs accept every advice and do nothing. */
TEST(R4_guard_strategy_is_refused_where_markers_are_set_and_nothing_is_closed) {
    struct pb_memory_config config = {.type = {1, 4, false}, .strategy = PB_STRATEGY_GUARD};
    struct pb_memory *memory = NULL;
    const char *reason = NULL;
    libc_fails(MADVISE, UINT_MAX, 0);
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_UNSUPPORTED);
    (void)libc_calls();
    CHECK_STATUS(pb_strategy_available(PB_STRATEGY_GUARD, &reason), PB_UNSUPPORTED);
    CHECK(reason != NULL && strstr(reason, "emulator") != NULL);
    CHECK(memory == NULL);
    CHECK_EQ(seam_address_space(), 0);
}

TEST(R4_guard_strategy_is_refused_where_the_kernel_has_no_markers) {
    struct pb_memory_config config = {.type = {1, 4, false}, .strategy = PB_STRATEGY_GUARD};
    struct pb_memory *memory = NULL;
    const char *reason = NULL;
    libc_fails(MADVISE, 2, EINVAL); /* as it is, and unlocked: these answers count */
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_UNSUPPORTED);
    CHECK_EQ(libc_calls(), 2);
    CHECK_STATUS(pb_strategy_available(PB_STRATEGY_GUARD, &reason), PB_UNSUPPORTED);
    CHECK(strstr(reason, "MADV_GUARD_INSTALL") != NULL);
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_UNSUPPORTED);
    CHECK(memory == NULL);
}

/* ---- Locked pages, and a system that gives nothing back ---------------------------------------
 */

/* Grown, written all over and reset, a memory is as new (R15), its guard included (R4). */
static void check_reset(struct each *e) {
    uint32_t old;
    struct pb_memory *memory = each_create(e);
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
    fill_pattern(memory, 0, pb_memory_size_bytes(memory), 1);
    test_note("%s, %s", e->info->name, e->is_static ? "static" : "dynamic");
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
    CHECK_EQ(pb_memory_size_pages(memory), 1);
    check_zero(memory, 0, pb_memory_size_bytes(memory));
    if (e->info->traps) {
        check_guarded(memory);
    }
    CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
    CHECK_EQ(old, 1);
    check_zero(memory, 0, pb_memory_size_bytes(memory));
    fill_pattern(memory, 0, pb_memory_size_bytes(memory), 2);
    pb_memory_release(memory);
    memory = each_create(e); /* in a pool the next tenant of the same slot */
    CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
    check_zero(memory, 0, pb_memory_size_bytes(memory));
    pb_memory_release(memory);
}

static void check_resets(unsigned kinds) {
    for (struct each e = each_kind(1, 4, EACH_OWNED | kinds); each_next(&e);) {
        check_reset(&e);
    }
}

TEST(R15_libc_discard_that_does_nothing_is_found_out) {
    libc_fails(MADVISE, UINT_MAX, 0);
    for (struct each e = each_kind(1, 4, EACH_OWNED | EACH_STATIC | EACH_DYNAMIC); each_next(&e);) {
        if (e.strategy != PB_STRATEGY_GUARD) { /* its markers are lied about, too */
            check_reset(&e);
        }
    }
    CHECK(libc_calls() > 0);
}

TEST(R15_libc_discard_that_does_nothing_is_not_trusted_in_an_image) {
    struct pb_image *image;
    struct pb_memory *memory;
    uint8_t *first = malloc(PB_PAGE_BYTES);
    memset(first, 3, PB_PAGE_BYTES);
    CHECK_STATUS(pb_image_create(first, PB_PAGE_BYTES, NULL, &image), PB_OK);
    const struct pb_memory_style style = {.kind = PB_STYLE_STATIC, .bound_pages = 4};
    const struct pb_memory_config config = {
        .type = {1, 4, false}, .style = &style, .strategy = PB_STRATEGY_IMAGE, .image = image};
    libc_fails(MADVISE, UINT_MAX, 0);
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    base_of(memory)[7] = 4;
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
    CHECK_EQ(base_of(memory)[7], 3);
    CHECK_EQ(base_of(memory)[PB_PAGE_BYTES - 1], 3);
    pb_memory_release(memory);
    pb_image_release(image);
    free(first);
    CHECK(libc_calls() > 0);
}

static void lock_all(void) {
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0) {
        test_skip("mlockall is not allowed here: %s", strerror(errno));
    }
    void *page;
    CHECK_STATUS(pb_os_reserve_accessible(pb_os_page_bytes(), &page), PB_OK);
    if (madvise(page, pb_os_page_bytes(), MADV_DONTNEED) == 0) {
        test_skip("mlockall locks nothing here, as under AddressSanitizer");
    }
}

TEST(R15_libc_reset_of_locked_pages) {
    lock_all();
    check_resets(EACH_STATIC | EACH_DYNAMIC);
    CHECK(munlockall() == 0);
}

/* As on Linux before 5.18, which gives no locked page back. */
TEST(R15_libc_reset_of_locked_pages_by_hand) {
    libc_fails(MADVISE, UINT_MAX, EINVAL);
    check_resets(EACH_STATIC | EACH_DYNAMIC);
    CHECK(libc_calls() > 0);
}

TEST(R15_libc_guard_is_reset_by_hand_where_nothing_is_given_back) {
    const struct pb_memory_config config = {.type = {1, 4, false}, .strategy = PB_STRATEGY_GUARD};
    struct pb_memory *memory;
    uint32_t old;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        test_skip("the kernel has no guard markers");
    }
    CHECK_STATUS(pb_memory_grow(memory, 2, &old), PB_OK);
    fill_pattern(memory, 0, pb_memory_size_bytes(memory), 1);
    libc_fails(MADVISE, 2, EINVAL);
    CHECK_STATUS(pb_memory_reset(memory), PB_OK);
    CHECK(libc_calls() >= 2);
    check_zero(memory, 0, PB_PAGE_BYTES);
    check_guarded(memory);
    CHECK_STATUS(pb_memory_grow(memory, 3, &old), PB_OK);
    check_zero(memory, 0, pb_memory_size_bytes(memory));
    pb_memory_release(memory);
}

TEST(R4_libc_guard_is_refused_while_pages_are_locked_and_not_for_ever) {
    const char *reason = NULL;
    void *page;
    CHECK_STATUS(pb_os_reserve_accessible(pb_os_page_bytes(), &page), PB_OK);
    if (pb_os_advise(page, pb_os_page_bytes(), PB_OS_GUARD_INSTALL) != PB_OK) {
        test_skip("the kernel has no guard markers");
    }
    lock_all();
    CHECK_STATUS(pb_strategy_available(PB_STRATEGY_GUARD, &reason), PB_UNSUPPORTED);
    CHECK(strstr(reason, "locked") != NULL);
    CHECK(munlockall() == 0);
    CHECK_STATUS(pb_strategy_available(PB_STRATEGY_GUARD, &reason), PB_OK);
}
