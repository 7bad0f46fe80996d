/* os_linux.c: os.h on Linux: mmap and its family, memfd, pagemap, futex, the monotonic clock. */
/* SPDX-License-Identifier: MIT */
#include "os.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* Newer than the headers of some systems that run newer kernels. */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_GUARD_REMOVE
#define MADV_GUARD_REMOVE 103
#endif

enum { TRIES_MAX = 16 };

static enum pb_status status_of_errno(int error) {
    switch (error) {
    case ENOMEM:
    case ENOSPC:
    case EFBIG:
    case EAGAIN: /* of mmap and mremap: as much is locked as may be (mlockall, RLIMIT_MEMLOCK) */
        return PB_NO_MEMORY;
    case EMFILE:
    case ENFILE:
        return PB_NO_DESCRIPTORS;
    case EINTR:
    case EBUSY: /* see is_transient */
        return PB_INTERRUPTED;
    case EINVAL:
    case ENOSYS:
    case EOPNOTSUPP:
    case EPERM:
    case EACCES:
        return PB_UNSUPPORTED;
    default:
        return PB_SYSTEM;
    }
}

static enum pb_status status_of(int result) {
    return result == 0 ? PB_OK : status_of_errno(errno);
}

/* A byte count as the system calls take it; too wide for the host is as good as no memory. */
static bool fits(uint64_t bytes) {
    return bytes <= SIZE_MAX;
}

uint64_t pb_os_page_bytes(void) {
    static _Atomic uint64_t cached;
    uint64_t bytes = atomic_load_explicit(&cached, memory_order_relaxed);
    if (bytes == 0) {
        bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&cached, bytes, memory_order_relaxed);
    }
    return bytes;
}

static enum pb_status map_anonymous(void *at, uint64_t bytes, int protection, int flags,
                                    void **base) {
    if (!fits(bytes)) {
        return PB_NO_MEMORY;
    }
    void *mapped = mmap(at, (size_t)bytes, protection,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | flags, -1, 0);
    if (mapped == MAP_FAILED) {
        return status_of_errno(errno);
    }
    *base = mapped;
    return PB_OK;
}

enum pb_status pb_os_reserve(uint64_t bytes, void **base) {
    return map_anonymous(NULL, bytes, PROT_NONE, 0, base);
}

enum pb_status pb_os_reserve_accessible(uint64_t bytes, void **base) {
    return map_anonymous(NULL, bytes, PROT_READ | PROT_WRITE, 0, base);
}

enum pb_status pb_os_renew(void *at, uint64_t bytes) {
    void *base;
    return map_anonymous(at, bytes, PROT_NONE, MAP_FIXED, &base);
}

enum pb_status pb_os_commit(void *at, uint64_t bytes) {
    return status_of(mprotect(at, (size_t)bytes, PROT_READ | PROT_WRITE));
}

enum pb_status pb_os_decommit(void *at, uint64_t bytes) {
    return status_of(mprotect(at, (size_t)bytes, PROT_NONE));
}

/* True if a call has failed for a reason that passes and is to be made again: a signal (EINTR), a
 * race with another mapping call (EAGAIN, of madvise), or a page of the file that the kernel itself
 * was using, to move it or to put it on a list (EBUSY, of a seal against writing; the kernel has
 * then waited for it, 150 ms at most, and sealed nothing). */
static bool is_transient(int result, int *tries) {
    return result != 0 && (errno == EINTR || errno == EAGAIN || errno == EBUSY) &&
           ++*tries < TRIES_MAX;
}

static enum pb_status advise(void *at, uint64_t bytes, int advice) {
    int result, tries = 0;
    do {
        result = madvise(at, (size_t)bytes, advice);
    } while (is_transient(result, &tries));
    return status_of(result);
}

/* True where a page that is given back really reads 0 again: some sandboxes and small kernels take
 * MADV_DONTNEED for a hint, do nothing and report success. PB_OK when that could be found out. */
static enum pb_status try_discard(bool *discards) {
    size_t bytes = (size_t)pb_os_page_bytes();
    volatile uint8_t *page =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) {
        return status_of_errno(errno);
    }
    page[0] = 1;
    enum pb_status status = advise((void *)(uintptr_t)page, bytes, MADV_DONTNEED);
    if (status == PB_UNSUPPORTED) { /* locked */
        status = advise((void *)(uintptr_t)page, bytes, MADV_DONTNEED_LOCKED);
    }
    *discards = page[0] == 0;
    (void)munmap((void *)(uintptr_t)page, bytes);
    return status;
}

/* Asked once, and only after a discard that was reported to have succeeded. */
static bool discard_is_true(void) {
    static _Atomic int known; /* 0 not yet, 1 yes, 2 no */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        bool discards = false;
        if (try_discard(&discards) != PB_OK) {
            return false; /* and asked again the next time */
        }
        answer = discards ? 1 : 2;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 1;
}

enum pb_status pb_os_discard(void *at, uint64_t bytes) {
    enum pb_status status = advise(at, bytes, MADV_DONTNEED);
    if (status == PB_UNSUPPORTED) { /* locked pages need to be asked for by name, from Linux 5.18 */
        status = advise(at, bytes, MADV_DONTNEED_LOCKED);
    }
    return status == PB_OK && !discard_is_true() ? PB_UNSUPPORTED : status;
}

enum pb_status pb_os_unlock(void *at, uint64_t bytes) {
    return status_of(munlock(at, (size_t)bytes));
}

enum pb_status pb_os_release(void *base, uint64_t bytes) {
    return status_of(munmap(base, (size_t)bytes));
}

/* A call that replaces a range may fail after it has unmapped it. Fills the hole with closed
 * address space; false where there is none, or another thread has mapped something there: that
 * looks alike. */
static bool fill_hole(void *at, uint64_t bytes) {
    void *filled = mmap(at, (size_t)bytes, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (filled != MAP_FAILED && filled != at) { /* before Linux 4.17 the address is but a hint */
        (void)munmap(filled, (size_t)bytes);
    }
    return filled == at;
}

/* True where a move that is refused because its source is of two mappings (EFAULT) leaves the
 * target as it is: Linux from 6.17 on. Before, the target is unmapped by then, and may be
 * somebody else's: so a futex is asked whether the same word is still there, which does not fault.
 */
static bool try_refused_move(void) {
    size_t page = (size_t)pb_os_page_bytes();
    uint8_t *source =
        mmap(NULL, 6 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (source == MAP_FAILED) {
        return false;
    }
    _Atomic uint32_t *target = (void *)(source + 3 * page);
    uint32_t mark = (uint32_t)(uintptr_t)source ^ UINT32_C(0x9E3779B9); /* nobody else's word */
    atomic_store_explicit(target, mark, memory_order_relaxed);
    bool refused = mprotect(source, page, PROT_NONE) == 0 &&
                   mremap(source, 2 * page, 3 * page, MREMAP_MAYMOVE | MREMAP_FIXED,
                          (void *)target) == MAP_FAILED;
    enum pb_status waited = PB_OK; /* also for no reason: a signal may come */
    for (int tries = 0; refused && waited == PB_OK && tries < TRIES_MAX; tries++) {
        waited = pb_os_wait(target, mark, 0);
    }
    bool spared = waited == PB_TIMED_OUT;
    (void)munmap(source, (spared ? 6 : 3) * page);
    return spared;
}

static bool refused_move_spares_target(void) {
    static _Atomic int known; /* 0 not yet, 1 yes, 2 no */
    int answer = atomic_load_explicit(&known, memory_order_relaxed);
    if (answer == 0) {
        answer = try_refused_move() ? 1 : 2;
        atomic_store_explicit(&known, answer, memory_order_relaxed);
    }
    return answer == 1;
}

static bool moves(void *from, uint64_t bytes, void *to, uint64_t to_bytes) {
    return mremap(from, (size_t)bytes, (size_t)to_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to) !=
           MAP_FAILED;
}

static bool space_is_limited(void) {
    struct rlimit space = {RLIM_INFINITY, RLIM_INFINITY}, data = space;
    (void)getrlimit(RLIMIT_AS, &space);
    (void)getrlimit(RLIMIT_DATA, &data);
    return space.rlim_cur != RLIM_INFINITY || data.rlim_cur != RLIM_INFINITY;
}

/* A kernel that spares the target moves several mappings, too, as long as they do not grow by it:
 * what is new is opened first. So it is where a limit on address space could refuse the growth: the
 * target is spared then as well, but the error does not tell. */
enum pb_status pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes, bool *kept) {
    uint8_t *tail = (uint8_t *)to + bytes;
    const uint64_t tail_bytes = to_bytes - bytes;
    bool opened = tail_bytes == 0;
    if (!opened && space_is_limited() && refused_move_spares_target()) {
        enum pb_status status = pb_os_commit(tail, tail_bytes);
        if (status != PB_OK) {
            *kept = true;
            return status;
        }
        opened = true;
    }
    if (moves(from, bytes, to, opened ? bytes : to_bytes)) {
        return PB_OK;
    }
    enum pb_status status = status_of_errno(errno);
    /* EAGAIN: growth past the limit on locked memory */
    bool spared = (errno == EFAULT || errno == EAGAIN) && refused_move_spares_target();
    if (spared && !opened && pb_os_commit(tail, tail_bytes) == PB_OK) {
        opened = true;
        if (moves(from, bytes, to, bytes)) {
            return PB_OK;
        }
        status = status_of_errno(errno);
        spared = errno == EFAULT;
    }
    *kept = spared || fill_hole(to, opened ? bytes : to_bytes);
    if (!*kept && opened && tail_bytes > 0) {
        (void)pb_os_release(tail, tail_bytes); /* that was not unmapped */
    }
    return status;
}

enum pb_status pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice) {
    static const int advices[] = {
        [PB_OS_HUGE_PAGES] = MADV_HUGEPAGE,
        [PB_OS_POPULATE] = MADV_POPULATE_WRITE,
        [PB_OS_GUARD_INSTALL] = MADV_GUARD_INSTALL,
        [PB_OS_GUARD_REMOVE] = MADV_GUARD_REMOVE,
    };
    return advise(at, bytes, advices[advice]);
}

/* Any call that writes would do; no sandbox refuses this one. */
bool pb_os_is_closed(void *at) {
    return uname(at) != 0 && errno == EFAULT;
}

/* open, close, pread and pwrite are cancellation points: a thread that ended there would leave its
 * locks taken. Returns what cancellable() wants. */
static int not_cancellable(void) {
    int before = PTHREAD_CANCEL_DISABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static void cancellable(int before) {
    (void)pthread_setcancelstate(before, &before);
}

/* Whether files may become so long. Asked before: who tries gets a SIGXFSZ, which by default ends
 * the process. */
static bool may_be_long(uint64_t bytes) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    (void)getrlimit(RLIMIT_FSIZE, &limit);
    return bytes <= limit.rlim_cur;
}

enum pb_status pb_os_file_create(uint64_t bytes, int *file) {
    if (!may_be_long(bytes)) {
        return PB_NO_MEMORY;
    }
    int created = memfd_create("linear-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (created < 0) {
        return status_of_errno(errno);
    }
    if (ftruncate(created, (off_t)bytes) != 0) {
        enum pb_status status = status_of_errno(errno);
        pb_os_file_close(created);
        return status;
    }
    *file = created;
    return PB_OK;
}

static enum pb_status write_all(int file, uint64_t offset, const char *next, uint64_t count) {
    while (count > 0) {
        ssize_t written = pwrite(file, next, (size_t)count, (off_t)offset);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written <= 0) {
            return written < 0 ? status_of_errno(errno) : PB_SYSTEM;
        }
        next += written;
        offset += (uint64_t)written;
        count -= (uint64_t)written;
    }
    return PB_OK;
}

enum pb_status pb_os_file_write(int file, uint64_t offset, const void *data, uint64_t count) {
    int before = not_cancellable();
    enum pb_status status = write_all(file, offset, data, count);
    cancellable(before);
    return status;
}

enum pb_status pb_os_file_freeze(int file) {
    const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
    int result, tries = 0;
    do {
        result = fcntl(file, F_ADD_SEALS, seals);
    } while (is_transient(result, &tries));
    return status_of(result);
}

enum pb_status pb_os_file_map(int file, void *at, uint64_t bytes, bool *lost) {
    void *mapped = mmap(at, (size_t)bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, file, 0);
    if (mapped != MAP_FAILED) {
        return PB_OK;
    }
    enum pb_status status = status_of_errno(errno);
    if (fill_hole(at, bytes) && lost != NULL) {
        *lost = true;
    }
    return status;
}

void pb_os_file_close(int file) {
    int before = not_cancellable();
    close(file);
    cancellable(before);
}

/* ---- The account of pages -------------------------------------------------------------------- */

/* What `opened` holds: the descriptor, plus one, and the process that it belongs to. */
static bool account_is_open(struct pb_os_account *account, uint64_t *opened, int *file) {
    *opened = atomic_load_explicit(&account->opened, memory_order_relaxed);
    *file = (int)(uint32_t)*opened - 1;
    return *file >= 0 && *opened >> 32 == (uint32_t)getpid();
}

static enum pb_status account_file(struct pb_os_account *account, int *file) {
    uint64_t opened;
    if (account_is_open(account, &opened, file)) {
        return PB_OK;
    }
    int before = not_cancellable();
    int made = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    cancellable(before);
    if (made < 0) {
        return errno == EMFILE || errno == ENFILE ? PB_NO_DESCRIPTORS : PB_UNSUPPORTED;
    }
    uint64_t mine = (uint64_t)(uint32_t)getpid() << 32 | ((uint32_t)made + 1);
    *file = made;
    if (!atomic_compare_exchange_strong_explicit(&account->opened, &opened, mine,
                                                 memory_order_relaxed, memory_order_relaxed)) {
        pb_os_file_close(made); /* another thread was first */
        *file = (int)(uint32_t)opened - 1;
    }
    return PB_OK;
}

/* A child leaves its parent's descriptor alone: it may have closed it, and the number may be
 * another file's by now. */
void pb_os_account_close(struct pb_os_account *account) {
    uint64_t opened;
    int file;
    if (account_is_open(account, &opened, &file)) {
        pb_os_file_close(file);
    }
}

/* PAGEMAP_SCAN of linux/fs.h, which is newer than the headers of some systems that run it. */
struct scan {
    uint64_t size, flags, start, end, walk_end, runs, runs_count, pages_max;
    uint64_t category_inverted, category_mask, category_any_of, category_returned;
};
struct scanned {
    uint64_t start, end, categories;
};
#ifdef __GLIBC__
#define SCAN _IOWR('f', 16, struct scan)
#else /* musl's ioctl takes an int */
#define SCAN ((int)_IOWR('f', 16, struct scan))
#endif
enum { IS_OF_FILE = 1 << 2, IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4, IS_ZERO_PAGE = 1 << 5 };

/* The first runs of pages of [at, at + bytes) that are present or swapped, and of no category in
 * `not`; *walk_end is how far it came. */
static enum pb_status scan_runs(int file, const void *at, uint64_t bytes, uint64_t not,
                                struct scanned *runs, size_t runs_max, size_t *count,
                                uint64_t *walk_end) {
    uint64_t start = (uint64_t)(uintptr_t)at;
    struct scan scan = {
        .size = sizeof scan,
        .start = start,
        .end = start + bytes,
        .runs = (uint64_t)(uintptr_t)runs,
        .runs_count = runs_max,
        .category_inverted = not,
        .category_mask = not,
        .category_any_of = IS_PRESENT | IS_SWAPPED,
        .category_returned = IS_PRESENT | IS_SWAPPED,
    };
    int got, tries = 0;
    do {
        got = ioctl(file, SCAN, &scan);
    } while (got < 0 && is_transient(got, &tries));
    if (got < 0) { /* ENOTTY: an older kernel; EBADF: the host has closed all files */
        return errno == ENOTTY || errno == EBADF ? PB_UNSUPPORTED : status_of_errno(errno);
    }
    *count = (size_t)got;
    *walk_end = scan.walk_end;
    return scan.walk_end > start ? PB_OK : PB_UNSUPPORTED;
}

enum pb_status pb_os_account_ask(struct pb_os_account *account, const void *at, uint64_t bytes,
                                 struct pb_os_run *runs, size_t runs_max, size_t *count,
                                 uint64_t *looked_bytes) {
    enum { RUNS = 64 };
    struct scanned found[RUNS] = {0}; /* valgrind does not know the call */
    uint64_t start = (uint64_t)(uintptr_t)at, walk_end;
    int file;
    enum pb_status status = account_file(account, &file);
    if (status == PB_OK) {
        status = scan_runs(file, at, bytes, IS_ZERO_PAGE | IS_OF_FILE, found,
                           runs_max < RUNS ? runs_max : RUNS, count, &walk_end);
    }
    if (status != PB_OK) {
        return status;
    }
    for (size_t i = 0; i < *count; i++) {
        runs[i] = (struct pb_os_run){.offset_bytes = found[i].start - start,
                                     .length_bytes = found[i].end - found[i].start,
                                     .swapped = (found[i].categories & IS_SWAPPED) != 0};
    }
    *looked_bytes = walk_end - start;
    return PB_OK;
}

enum pb_status pb_os_account_try(struct pb_os_account *account) {
    struct pb_os_run run;
    size_t count;
    uint64_t looked_bytes;
    const uint8_t *page = (const uint8_t *)&run - (uintptr_t)&run % pb_os_page_bytes();
    return pb_os_account_ask(account, page, pb_os_page_bytes(), &run, 1, &count, &looked_bytes);
}

/* A page of a private file mapping that was written is anonymous: present or swapped, and not a
 * page of the file. */
static enum pb_status scan_written(int file, const uint8_t *at, uint64_t bytes, uint8_t *written) {
    enum { RUNS = 64 };
    struct scanned runs[RUNS] = {0}; /* as above */
    const uint64_t host = pb_os_page_bytes(), start = (uint64_t)(uintptr_t)at;
    size_t count = 0;
    memset(written, 0, (size_t)(bytes / host));
    for (uint64_t done = 0, walk_end = start; done < bytes; done = walk_end - start) {
        enum pb_status status =
            scan_runs(file, at + done, bytes - done, IS_OF_FILE, runs, RUNS, &count, &walk_end);
        if (status != PB_OK) {
            return status;
        }
        for (size_t i = 0; i < count; i++) {
            memset(written + (runs[i].start - start) / host, 1,
                   (size_t)((runs[i].end - runs[i].start) / host));
        }
    }
    return PB_OK;
}

/* The same of an entry in pagemap: the bits 63, 62 and 61. */
static uint8_t entry_is_written(uint64_t entry) {
    uint64_t present = entry >> 63 & 1;
    uint64_t swapped = entry >> 62 & 1;
    uint64_t of_file = entry >> 61 & 1;
    return (present | swapped) && !of_file;
}

/* Before Linux 6.7: page by page. */
static enum pb_status read_written(int file, const void *at, uint64_t bytes, uint8_t *written) {
    enum { ENTRIES = 512 };
    uint64_t entries[ENTRIES];
    uint64_t page = (uint64_t)(uintptr_t)at / pb_os_page_bytes();
    uint64_t pages = bytes / pb_os_page_bytes();
    for (uint64_t done = 0; done < pages;) {
        uint64_t count = pages - done < ENTRIES ? pages - done : ENTRIES;
        size_t wanted = (size_t)(count * sizeof entries[0]);
        int before = not_cancellable();
        ssize_t got = pread(file, entries, wanted, (off_t)((page + done) * sizeof entries[0]));
        cancellable(before);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got != (ssize_t)wanted) {
            return PB_UNSUPPORTED;
        }
        for (uint64_t i = 0; i < count; i++) {
            written[done + i] = entry_is_written(entries[i]);
        }
        done += count;
    }
    return PB_OK;
}

enum pb_status pb_os_file_written(struct pb_os_account *account, const void *at, uint64_t bytes,
                                  uint8_t *written) {
    int file;
    enum pb_status status = account_file(account, &file);
    if (status == PB_OK) {
        status = scan_written(file, at, bytes, written);
        status = status == PB_UNSUPPORTED ? read_written(file, at, bytes, written) : status;
    }
    return status;
}

/* ---- Waiting, and the clock ------------------------------------------------------------------ */

enum pb_status pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    /* As the system call takes it, whatever time_t is. What a long does not hold is never. */
    struct {
        long seconds, nanoseconds;
    } deadline, *limit = NULL;
    uint64_t seconds = deadline_ns / 1000000000u;
    if (deadline_ns != PB_DEADLINE_NEVER && seconds <= LONG_MAX) {
        deadline.seconds = (long)seconds;
        deadline.nanoseconds = (long)(deadline_ns % 1000000000u);
        limit = &deadline;
    }
    /* The BITSET form takes an absolute time of the monotonic clock. */
    long result = syscall(SYS_futex, (void *)word, FUTEX_WAIT_BITSET_PRIVATE, expected, limit, NULL,
                          FUTEX_BITSET_MATCH_ANY);
    return result != 0 && errno == ETIMEDOUT ? PB_TIMED_OUT : PB_OK;
}

void pb_os_wake(_Atomic uint32_t *word, uint32_t count) {
    int most = count > INT32_MAX ? INT32_MAX : (int)count;
    syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, most, NULL, NULL, 0);
}

uint64_t pb_os_clock_ns(void) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(failed == 0);
    (void)failed;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
