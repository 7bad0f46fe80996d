/* libc_wrap.c: calls of the C library below ref/os_linux.c that do less than was asked, by choice:
 * short reads and writes, a signal in between, a file that cannot grow. os_linux.c must still give
 * the same result, or an error. */
#include "asan.h"
#include "fault.h"
#include "os_wrap.h"

#include "allocator.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Each wrapped function, as the linker names the two. */
#define WRAPPED(type, name, parameters) \
    type __real_##name parameters;      \
    type __wrap_##name parameters

WRAPPED(ssize_t, pread, (int file, void *data, size_t count, off_t offset));
WRAPPED(int, ioctl, (int file, unsigned long request, ...));
WRAPPED(int, open, (const char *path, int flags, ...));
WRAPPED(ssize_t, pwrite, (int file, const void *data, size_t count, off_t offset));
WRAPPED(int, ftruncate, (int file, off_t bytes));
WRAPPED(int, getrlimit, (__rlimit_resource_t resource, struct rlimit *limit));
WRAPPED(int, memfd_create, (const char *name, unsigned flags));
WRAPPED(int, madvise, (void *at, size_t bytes, int advice));
WRAPPED(int, mprotect, (void *at, size_t bytes, int protection));
WRAPPED(int, fcntl, (int file, int command, ...));
WRAPPED(int, munlock, (const void *at, size_t bytes));
WRAPPED(long, syscall, (long number, ...));
WRAPPED(int, clock_gettime, (clockid_t which, struct timespec *now));
WRAPPED(void *, mremap, (void *at, size_t bytes, size_t new_bytes, int flags, void *to));
WRAPPED(void *, mmap, (void *at, size_t bytes, int protection, int flags, int file, off_t offset));

enum { GUEST_PAGE_BYTES = 65536 }; /* shorter ranges only probe what the kernel can do */

/* ---- Other kernels ----------------------------------------------------------------------------
 */

static enum word_kernel kernel;
static unsigned opened; /* tries to open a file on it */

/* What os_linux.c and region_mapped.c keep in variables of their own: rules.mk gives them a section
 * by that name. */
extern char __start_pb_asked[] __attribute__((weak));
extern char __stop_pb_asked[] __attribute__((weak));

__attribute__((no_sanitize("address"))) static void forget_answers(void) {
    for (volatile char *at = __start_pb_asked; at < __stop_pb_asked; at++) {
        *at = 0;
    }
}

void libc_wrap_kernel(unsigned word) {
    kernel = (enum word_kernel)word;
    opened = 0;
    forget_answers();
}

static void (*before_pages)(void);

void libc_wrap_before_pages(void (*before)(void)) {
    before_pages = before;
}

static void tell_before_pages(void) {
    if (before_pages != NULL) {
        before_pages();
    }
}

static bool due(enum word_call call) {
    return fault_armed() && !os_wrap_is_exempt() && fault_due(FAULT_ANYBODY, call);
}

/* The last call of that kind met what passes, too. */
static bool passed_before[WORD_call_count];

/* An error that passes: the call is to be made again, and nobody is to notice; but not for ever. */
static int passes(enum word_call call, int error) {
    if (!passed_before[call]) {
        fault_forgive();
    }
    passed_before[call] = true;
    return error;
}

/* How much of its count a short call does: half, nothing, or it is interrupted before it begins. */
static ssize_t shortened(enum word_call call, size_t count, size_t unit) {
    switch (fault_choose(3)) {
    case 0:
        return (ssize_t)(count / 2 / unit * unit);
    case 1:
        return 0;
    default:
        errno = passes(call, EINTR);
        return -1;
    }
}

/* Pages that pagemap reports as present are reported as swapped out. */
static ssize_t swapped_out(ssize_t got, uint64_t *entry) {
    const uint64_t present = UINT64_C(1) << 63, swapped = UINT64_C(1) << 62,
                   of_file = UINT64_C(1) << 61;
    for (ssize_t i = 0; i < got / (ssize_t)sizeof entry[0]; i++) {
        if ((entry[i] & present) && !(entry[i] & of_file)) {
            entry[i] = (entry[i] & ~present) | swapped;
        }
    }
    return got;
}

ssize_t __wrap_pread(int file, void *data, size_t count, off_t offset) {
    if (!due(WORD_call_c_pread)) {
        passed_before[WORD_call_c_pread] = false;
        return __real_pread(file, data, count, offset);
    }
    if (fault_choose(2) == 0) {
        return swapped_out(__real_pread(file, data, count, offset), data);
    }
    ssize_t some = shortened(WORD_call_c_pread, count, sizeof(uint64_t));
    return some > 0 ? __real_pread(file, data, (size_t)some, offset) : some;
}

/* Words of struct pm_scan_arg, and categories of pages. */
enum { SCAN_END = 3, SCAN_WALK_END, SCAN_RUNS, SCAN_MASK = 9, SCAN_ANY_OF };
enum { IS_OF_FILE = 1 << 2, IS_PRESENT = 1 << 3, IS_SWAPPED = 1 << 4 };

/* Where calls may fail, pagemap is read to find what was written to an image, as on a kernel
 * without the scan. A pool that needs the scan still has it. */
static bool scans_image(const uint64_t *scan) {
    return scan[SCAN_MASK] == IS_OF_FILE;
}

/* A scan in which all pages are swapped out: a caller that does not ask for swapped pages finds
 * none. */
static int scan_swapped_out(int file, unsigned long request, uint64_t *scan) {
    struct {
        uint64_t start, end, categories;
    } *run = (void *)(uintptr_t)scan[SCAN_RUNS];
    int count = 0;
    if (scan[SCAN_ANY_OF] & IS_SWAPPED) {
        count = __real_ioctl(file, request, scan);
    } else {
        scan[SCAN_WALK_END] = scan[SCAN_END];
    }
    for (int i = 0; i < count; i++) {
        run[i].categories = (run[i].categories & ~(uint64_t)IS_PRESENT) | IS_SWAPPED;
    }
    return count;
}

int __wrap_ioctl(int file, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (due(WORD_call_c_ioctl)) { /* no such call, a signal, no memory, somebody closed the file */
        static const int errors[] = {ENOTTY, EINTR, ENOMEM, EBADF};
        enum { ERRORS = sizeof errors / sizeof errors[0] };
        const unsigned which = fault_choose(ERRORS + 1);
        if (which == ERRORS) {
            return scan_swapped_out(file, request, argument);
        }
        errno = errors[which] == EINTR ? passes(WORD_call_c_ioctl, EINTR) : errors[which];
        return -1;
    }
    passed_before[WORD_call_c_ioctl] = false;
    if (kernel == WORD_kernel_no_scan || (fault_armed() && scans_image(argument))) {
        errno = ENOTTY;
        return -1;
    }
    return __real_ioctl(file, request, argument);
}

static int keep_account(int file);

int __wrap_open(const char *path, int flags, ...) {
    const bool of_pages =
        strcmp(path, "/proc/self/pagemap") == 0; /* the one file that ref/ opens */
    if (!(flags & O_CLOEXEC) && of_pages) {
        os_wrap_complain("R13-inherited");
    }
    if (kernel == WORD_kernel_no_pagemap || kernel == WORD_kernel_no_descriptors) {
        errno = kernel == WORD_kernel_no_pagemap ? ENOENT : opened++ % 2 == 0 ? EMFILE : ENFILE;
        return -1;
    }
    va_list arguments;
    va_start(arguments, flags);
    const int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;
    va_end(arguments);
    const int file = __real_open(path, flags, mode);
    return of_pages ? keep_account(file) : file;
}

/* A file longer than it may be: the process gets a signal, which ends it. */
static bool is_too_long(uint64_t bytes) {
    const uint64_t limit = fault_file_limit_bytes();
    if (limit == 0 || bytes <= limit || os_wrap_is_exempt()) {
        return false;
    }
    fault_signal();
    errno = EFBIG;
    return true;
}

ssize_t __wrap_pwrite(int file, const void *data, size_t count, off_t offset) {
    if (is_too_long((uint64_t)offset + count)) {
        return -1;
    }
    if (!due(WORD_call_c_pwrite)) {
        passed_before[WORD_call_c_pwrite] = false;
        return __real_pwrite(file, data, count, offset);
    }
    ssize_t some = shortened(WORD_call_c_pwrite, count, 1);
    return some > 0 ? __real_pwrite(file, data, (size_t)some, offset) : some;
}

int __wrap_getrlimit(__rlimit_resource_t resource, struct rlimit *limit) {
    const int result = __real_getrlimit(resource, limit);
    if (result == 0 && resource == RLIMIT_FSIZE && fault_file_limit_bytes() != 0) {
        limit->rlim_cur = fault_file_limit_bytes();
    }
    if (result == 0 && resource == RLIMIT_AS && fault_space_bytes() != 0 && !os_wrap_is_exempt()) {
        limit->rlim_cur = RLIM_INFINITY - 1; /* there is one; what it refuses is up to the plan */
    }
    return result;
}

static int stays(int error) {
    fault_tell_errno(error);
    return error;
}

int __wrap_ftruncate(int file, off_t bytes) {
    static const int errors[] = {ENOSPC, EINTR, EIO};
    if (is_too_long((uint64_t)bytes)) {
        return -1;
    }
    if (!due(WORD_call_c_ftruncate)) {
        return __real_ftruncate(file, bytes);
    }
    errno = stays(errors[fault_choose(3)]);
    return -1;
}

bool libc_wrap_is_frozen(int file) {
    struct stat state;
    const char one = 1;
    int before = PTHREAD_CANCEL_ENABLE; /* a write is a cancellation point */
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    const bool frozen = fstat(file, &state) == 0 && __real_pwrite(file, &one, 1, 0) < 0 &&
                        __real_ftruncate(file, state.st_size + 1) < 0 &&
                        __real_ftruncate(file, 0) < 0;
    (void)pthread_setcancelstate(before, &before);
    return frozen;
}

static bool locked; /* all pages are, until some are mapped anew or unlocked */

/* A transient error may also outlast all retries: each such call fails from here on. */
static int busy_advice, busy_seal; /* the error; 0: none does */

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* from Linux 5.18 on */
#endif

/* Advice that kernels before Linux 5.18 refuse for locked pages. They refuse guard markers, too,
 * but ref/ does not use those with locked pages. */
static bool wants_unlocked(int advice) {
    return advice == MADV_DONTNEED || advice == MADV_DONTNEED_LOCKED;
}

enum { HINT_POPULATE = 23, MARKER_INSTALL = 102, MARKER_REMOVE = 103 };

/* What another kernel says to the advice; 1: as this one. */
static int advised_elsewhere(void *at, size_t bytes, int advice) {
    const bool marker = advice == MARKER_INSTALL || advice == MARKER_REMOVE;
    const bool hint = advice == MADV_HUGEPAGE || advice == HINT_POPULATE;
    if (wants_unlocked(advice)) {
        if (kernel == WORD_kernel_keeps) {
            return 0;
        }
        if (kernel == WORD_kernel_locked && advice == MADV_DONTNEED_LOCKED) {
            return __real_madvise(at, bytes, MADV_DONTNEED);
        }
    }
    const bool refused = (wants_unlocked(advice) &&
                          (kernel == WORD_kernel_locked || kernel == WORD_kernel_old_locked)) ||
                         (marker && kernel == WORD_kernel_no_markers) ||
                         (hint && kernel == WORD_kernel_no_hints);
    if (refused) {
        errno = EINVAL;
        return -1;
    }
    return marker && kernel == WORD_kernel_false_markers ? 0 : 1;
}

int __wrap_madvise(void *at, size_t bytes, int advice) {
    enum { PASSES = 2, LOCKED = 2, STAYS_BUSY, KINDS };
    static const int errors[KINDS] = {EAGAIN, EINTR, EINVAL, EAGAIN}; /* the first two pass */
    tell_before_pages();
    unsigned which = LOCKED;
    const int elsewhere = kernel == WORD_kernel_own ? 1 : advised_elsewhere(at, bytes, advice);
    if (elsewhere <= 0) {
        return elsewhere;
    }
    if (busy_advice != 0 && wants_unlocked(advice) && !os_wrap_is_exempt()) {
        fault_note();
        errno = busy_advice;
        return -1;
    }
    if (!locked || !wants_unlocked(advice)) {
        if (!due(WORD_call_c_madvise)) {
            passed_before[WORD_call_c_madvise] = false;
            return __real_madvise(at, bytes, advice);
        }
        which = fault_choose(wants_unlocked(advice) ? KINDS : PASSES);
        locked |= which == LOCKED;
        busy_advice = which == STAYS_BUSY ? stays(EAGAIN) : 0;
    }
    errno = which < PASSES ? passes(WORD_call_c_madvise, errors[which]) : errors[which];
    return -1;
}

int __wrap_munlock(const void *at, size_t bytes) {
    locked = false;
    return __real_munlock(at, bytes);
}

/* What another thread has mapped where a move was to go. */
static struct {
    volatile uint8_t *at;
    size_t bytes;
} others;
enum { OTHERS_BYTE = 0x77 };

static void take_place(void *at, size_t bytes) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    if (others.at == NULL && __real_mmap(at, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == at) {
        others.at = at;
        others.bytes = bytes;
        others.at[0] = others.at[bytes - 1] = OTHERS_BYTE;
    }
}

bool libc_wrap_is_others(const void *at) {
    return others.at != NULL && others.at == at;
}

bool libc_wrap_others_end(void) {
    unsigned char resident;
    uint8_t *const at = (uint8_t *)(uintptr_t)others.at;
    const size_t bytes = others.bytes, page = (size_t)getpagesize();
    bool whole = true;
    if (at == NULL) {
        return true;
    }
    others.at = NULL;
    for (unsigned n = 0; n < 2 && whole; n++) {
        const size_t place = n == 0 ? 0 : bytes - 1;
        whole = mincore(at + place / page * page, 1, &resident) == 0 && at[place] == OTHERS_BYTE;
    }
    if (whole) {
        (void)munmap(at, bytes);
    }
    return whole;
}

static bool taken; /* another mapping has taken the hole that a failed move left */

void *__wrap_mremap(void *at, size_t bytes, size_t new_bytes, int flags, void *to) {
    tell_before_pages();
    if (kernel == WORD_kernel_move_unmaps || kernel == WORD_kernel_no_move ||
        kernel == WORD_kernel_move_taken) {
        if (kernel != WORD_kernel_no_move) {
            (void)munmap(to, new_bytes);
        }
        if (kernel == WORD_kernel_move_taken && bytes >= GUEST_PAGE_BYTES) {
            take_place(to, new_bytes);
        }
        errno = EFAULT;
        return MAP_FAILED;
    }
    if (bytes < GUEST_PAGE_BYTES || !due(WORD_call_c_mremap)) {
        return __real_mremap(at, bytes, new_bytes, flags, to);
    }
    unsigned which = fault_choose(4);
    if (which >= 2 && (flags & MREMAP_FIXED)) { /* the target was unmapped before the move failed */
        (void)munmap(to, new_bytes);
        taken = which == 3;
    }
    errno = which == 1 ? EFAULT : ENOMEM;
    return MAP_FAILED;
}

/* Where the kernel seldom puts a mapping, but may: below 4 GiB, at the top, not at a multiple of a
 * guest's page. The first place that is free, else anywhere. */
static void *map_oddly(size_t bytes, int protection, int flags, int file, off_t offset) {
    static const uint64_t places[] = {0x10000000,     0x40001000, 0x70003000, 0x7e0000005000,
                                      0x7ff000007000, 0x80002000, 0xc0006000, 0xffff0000};
    enum { PLACES = sizeof places / sizeof places[0] };
    const unsigned first = fault_choose(PLACES);
    for (unsigned i = 0; i < PLACES; i++) {
        void *wanted = (void *)(uintptr_t)places[(first + i) % PLACES];
        void *mapped =
            __real_mmap(wanted, bytes, protection, flags | MAP_FIXED_NOREPLACE, file, offset);
        if (mapped == wanted) {
            return mapped;
        }
        if (mapped != MAP_FAILED) { /* before Linux 4.17 */
            (void)munmap(mapped, bytes);
        }
    }
    return __real_mmap(NULL, bytes, protection, flags, file, offset);
}

/* The other errors that each call's manual page lists. */
static int one_of(const int *errors, unsigned count) {
    const int error = errors[fault_choose(count)];
    fault_tell_errno(error);
    return error;
}
#define ONE_OF(...) \
    one_of((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

int __wrap_mprotect(void *at, size_t bytes, int protection) {
    tell_before_pages();
    const bool opens_after_all = protection != PROT_NONE && os_wrap_closing_failed();
    if (bytes < GUEST_PAGE_BYTES || opens_after_all || !due(WORD_call_c_mprotect)) {
        return __real_mprotect(at, bytes, protection);
    }
    if (protection == PROT_NONE) {
        os_wrap_closing_fails();
    }
    errno = ONE_OF(ENOMEM, EACCES, EINVAL);
    return -1;
}

/* Only adding seals can fail. */
int __wrap_fcntl(int file, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    const int argument = va_arg(arguments, int);
    va_end(arguments);
    if (command == F_ADD_SEALS && busy_seal != 0 && !os_wrap_is_exempt()) {
        fault_note();
        errno = busy_seal;
        return -1;
    }
    if (command != F_ADD_SEALS || !due(WORD_call_c_fcntl)) {
        passed_before[WORD_call_c_fcntl] &= command != F_ADD_SEALS;
        return __real_fcntl(file, command, argument);
    }
    enum { KINDS = 5 };
    static const int errors[KINDS] = {EBUSY, EPERM, EINVAL, EINTR, EBUSY}; /* the last one stays */
    const unsigned which = fault_choose(KINDS);
    busy_seal = which == KINDS - 1 ? EBUSY : 0;
    const bool once = which == 0 || errors[which] == EINTR;
    errno = once ? passes(WORD_call_c_fcntl, errors[which]) : stays(errors[which]);
    return -1;
}

static void *strayed; /* a mapping that is not where it was wanted, and is to be given back */

void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    tell_before_pages();
    locked = locked && !(flags & MAP_FIXED);
    if (taken && (flags & MAP_FIXED_NOREPLACE)) {
        taken = false;
        if (fault_choose(2) == 0) {
            errno = EEXIST;
            return MAP_FAILED;
        }
        /* before Linux 4.17 the address is but a hint */
        void *blocker = __real_mmap(at, bytes, PROT_NONE, flags, file, offset);
        strayed = __real_mmap(NULL, bytes, protection, flags & ~MAP_FIXED_NOREPLACE, file, offset);
        if (blocker != MAP_FAILED) {
            (void)munmap(blocker, bytes);
        }
        return strayed;
    }
    if (bytes >= GUEST_PAGE_BYTES && !(flags & MAP_FIXED_NOREPLACE) &&
        due(WORD_call_c_mmap_error)) {
        /* up to Linux 6.11 what was there may be gone by then, where memory is strictly accounted
         */
        if (file >= 0 && (flags & MAP_FIXED) && fault_choose(3) == 2) {
            (void)munmap(at, bytes);
            os_wrap_closing_fails(); /* what opens the hole again must not fail as well */
            fault_tell_errno(ENOMEM);
            errno = ENOMEM;
            return MAP_FAILED;
        }
        errno = ONE_OF(ENOMEM, EAGAIN, EPERM, EACCES, ENFILE, EINVAL, ENODEV);
        return MAP_FAILED;
    }
    if (at == NULL && bytes >= GUEST_PAGE_BYTES && due(WORD_call_c_mmap)) {
        fault_forgive();
        return map_oddly(bytes, protection, flags, file, offset);
    }
    void *mapped = __real_mmap(at, bytes, protection, flags, file, offset);
    if (mapped == MAP_FAILED) { /* it has failed of its own: no room, say */
        fault_tell_errno(0);
    }
    return mapped;
}

static const struct libc_futex *futex;

void libc_wrap_futex(const struct libc_futex *set) {
    futex = set;
}

static long futex_answer(const long *argument) {
    struct libc_futex_call call = {
        .word = (const void *)(uintptr_t)argument[0],
        .operation = (int)argument[1],
        .value = (uint32_t)argument[2],
        .limited = argument[3] != 0,
        .mask = (uint32_t)argument[5],
    };
    if (call.limited) {
        const long *limit = (const void *)(uintptr_t)argument[3];
        call.seconds = limit[0];
        call.nanoseconds = limit[1];
    }
    return futex->answer(futex->context, &call);
}

static const uint64_t *clock_ns;

void libc_wrap_clock(const uint64_t *now_ns) {
    clock_ns = now_ns;
}

int __wrap_clock_gettime(clockid_t which, struct timespec *now) {
    if (clock_ns == NULL || which != CLOCK_MONOTONIC) {
        return __real_clock_gettime(which, now);
    }
    now->tv_sec = (time_t)(*clock_ns / 1000000000u);
    now->tv_nsec = (long)(*clock_ns % 1000000000u);
    return 0;
}

/* Programs of one thread run on the process's first one, and nobody would ever end their wait: some
 * lock was left taken. Programs of real threads run on others. */
static void expect_no_block(const _Atomic uint32_t *word, uint32_t expected) {
    if (gettid() == getpid() && atomic_load(word) == expected) {
        fputs("a call waits for its own thread: for ever\n", stderr);
        abort();
    }
}

/* A futex wait that a signal interrupts, or that returns for no reason. Whoever gives fewer
 * arguments has others of them read, too, as the C library does. */
__attribute__((no_sanitize("address"))) long __wrap_syscall(long number, ...) {
    enum { ARGUMENTS = 6 };
    long argument[ARGUMENTS];
    va_list arguments;
    va_start(arguments, number);
    for (unsigned i = 0; i < ARGUMENTS; i++) {
        argument[i] = va_arg(arguments, long);
    }
    va_end(arguments);
    if (number == SYS_futex && futex != NULL) {
        return futex_answer(argument);
    }
    if (number == SYS_futex && argument[1] == FUTEX_WAIT_BITSET_PRIVATE && argument[3] == 0) {
        expect_no_block((const _Atomic uint32_t *)(uintptr_t)argument[0], (uint32_t)argument[2]);
    }
    if (number == SYS_futex && argument[1] == FUTEX_WAIT_BITSET_PRIVATE && due(WORD_call_c_futex)) {
        static const int errors[] = {EINTR, EAGAIN};
        const unsigned which = fault_choose(4);
        errno = which < 2 ? errors[which] : ETIMEDOUT; /* of a call before: this one succeeds */
        return which < 2 ? -1 : 0;
    }
    return __real_syscall(number, argument[0], argument[1], argument[2], argument[3], argument[4],
                          argument[5]);
}

void libc_wrap_moved(void) {
    unsigned char resident;
    taken = false;
    if (strayed != NULL && strayed != MAP_FAILED && mincore(strayed, 1, &resident) == 0) {
        os_wrap_complain("R14-leak");
    }
    strayed = NULL;
}

void libc_wrap_unlocked(void) {
    locked = false;
    busy_advice = busy_seal = 0;
}

/* ---- The C library's allocator, which is for those who give none --------------------------------
 */

static unsigned allocations;

/* The register of owners takes some of its entries at a time, longer than any object and shorter
 * than a page of a guest. */
static bool is_of_register(size_t bytes) {
    enum { REGISTER_BYTES = 5120 };
    return bytes >= REGISTER_BYTES && bytes < GUEST_PAGE_BYTES;
}

extern const struct pb_allocator __real_pb_allocator_libc, __wrap_pb_allocator_libc;

static void *allocate_counted(void *context, size_t bytes) {
    allocations += !is_of_register(bytes);
    return __real_pb_allocator_libc.allocate_zeroed(context, bytes);
}

static void *resize_counted(void *context, void *at, size_t bytes) {
    allocations++;
    return __real_pb_allocator_libc.resize(context, at, bytes);
}

static void release_uncounted(void *context, void *at) {
    __real_pb_allocator_libc.release(context, at);
}

const struct pb_allocator __wrap_pb_allocator_libc = {allocate_counted, resize_counted,
                                                      release_uncounted, NULL};

unsigned libc_wrap_allocations(void) {
    return allocations;
}

/* What ref/allocator.c calls in place of malloc, calloc, realloc and free: rules.mk renames them in
 * that object, and nowhere else. While nobody watches they are just that. */
void *libc_wrap_malloc(size_t bytes);
void *libc_wrap_calloc(size_t count, size_t bytes);
void *libc_wrap_realloc(void *at, size_t bytes);
void libc_wrap_free(void *at);

enum { BLOCKS_MAX = 256, STALE_BYTE = 0xA5 };
static struct {
    bool on, lasting, released_twice;
    unsigned left; /* allocations until one fails: 1 is the next; 0: none */
    unsigned failures;
    struct block {
        void *at;
        size_t bytes;
        bool alive;
    } block[BLOCKS_MAX]; /* also those that were released: no two at one address */
    unsigned blocks;
} watch;

void libc_wrap_watch(bool on) {
    memset(&watch, 0, sizeof watch);
    watch.on = on;
}

void libc_wrap_fail(unsigned nth, bool lasting) {
    watch.left = nth;
    watch.lasting = lasting;
}

unsigned libc_wrap_failures(void) {
    return watch.failures;
}

unsigned libc_wrap_blocks(void) {
    unsigned alive = 0;
    for (unsigned i = 0; i < watch.blocks; i++) {
        alive += watch.block[i].alive;
    }
    return alive;
}

static struct block *block_at(const void *at) {
    for (unsigned i = 0; i < watch.blocks; i++) {
        if (watch.block[i].at == at) {
            return &watch.block[i];
        }
    }
    return NULL;
}

/* Of what is not known, because the allocator was linked in as it ships or has other ways to get
 * memory, nothing is said. */
bool libc_wrap_is_block(const void *at, uint64_t bytes) {
    const struct block *block = block_at(at);
    return block == NULL || (block->alive && block->bytes >= bytes);
}

bool libc_wrap_released_twice(void) {
    return watch.released_twice;
}

static bool is_watched(size_t bytes) {
    return watch.on && !is_of_register(bytes);
}

static bool fails(size_t bytes) {
    if (!is_watched(bytes) || watch.left == 0 || --watch.left > 0) {
        return false;
    }
    watch.left = watch.lasting;
    watch.failures++;
    errno = ENOMEM;
    return true;
}

static void *keep_block(void *at, size_t bytes) {
    struct block *block = block_at(at);
    if (at != NULL && is_watched(bytes) && (block != NULL || watch.blocks < BLOCKS_MAX)) {
        block = block != NULL ? block : &watch.block[watch.blocks++];
        *block = (struct block){at, bytes, true};
    }
    return at;
}

/* False where it is none any more: the call is not made then. */
static bool may_end(struct block *block) {
    const bool may = block == NULL || block->alive;
    watch.released_twice |= !may;
    return may;
}

void *libc_wrap_malloc(size_t bytes) {
    void *made = fails(bytes) ? NULL : keep_block(malloc(bytes), bytes);
    if (made != NULL && watch.on) {
        memset(made, STALE_BYTE, bytes);
    }
    return made;
}

void *libc_wrap_calloc(size_t count, size_t bytes) {
    size_t product;
    const bool fits = !__builtin_mul_overflow(count, bytes, &product);
    return !fits || fails(product) ? NULL : keep_block(calloc(count, bytes), product);
}

/* New bytes are never zero. */
void *libc_wrap_realloc(void *at, size_t bytes) {
    struct block *old = at != NULL ? block_at(at) : NULL;
    if (!may_end(old) || fails(bytes)) {
        return NULL;
    }
    const size_t kept = old != NULL ? old->bytes : bytes;
    uint8_t *made = realloc(at, bytes);
    if (made == NULL) {
        return NULL;
    }
    if (old != NULL) {
        old->alive = false;
    }
    if (watch.on && bytes > kept) {
        memset(made + kept, STALE_BYTE, bytes - kept);
    }
    return keep_block(made, bytes);
}

void libc_wrap_free(void *at) {
    struct block *block = at != NULL ? block_at(at) : NULL;
    if (!may_end(block)) {
        return;
    }
    if (block != NULL) {
        block->alive = false;
    }
    free(at);
}

/* ---- Lengths of GiB ----------------------------------------------------------------------------
 *
 * The address sanitizer looks at its account of a whole range, 60 ms for 4 GiB, before it works on
 * the first byte. Ranges as long as that are there to be stopped at a fault (host_calls.c). */

#if CRASH_HAS_ASAN
#define SEEN_BYTES_MAX ((size_t)1 << 30)
WRAPPED(void *, __asan_memcpy, (void *to, const void *from, size_t bytes));
WRAPPED(void *, __asan_memmove, (void *to, const void *from, size_t bytes));
WRAPPED(void *, __asan_memset, (void *to, int value, size_t bytes));

__attribute__((no_sanitize("address"))) static void *copy_unseen(void *to, const void *from,
                                                                 size_t bytes) {
    volatile uint8_t *target = to;
    const volatile uint8_t *source = from;
    const bool down = (uintptr_t)to > (uintptr_t)from && (uintptr_t)to < (uintptr_t)from + bytes;
    for (size_t i = 0; i < bytes; i++) {
        const size_t at = down ? bytes - 1 - i : i;
        target[at] = source[at];
    }
    return to;
}

void *__wrap___asan_memcpy(void *to, const void *from, size_t bytes) {
    return bytes < SEEN_BYTES_MAX ? __real___asan_memcpy(to, from, bytes)
                                  : copy_unseen(to, from, bytes);
}

void *__wrap___asan_memmove(void *to, const void *from, size_t bytes) {
    return bytes < SEEN_BYTES_MAX ? __real___asan_memmove(to, from, bytes)
                                  : copy_unseen(to, from, bytes);
}

__attribute__((no_sanitize("address"))) void *__wrap___asan_memset(void *to, int value,
                                                                   size_t bytes) {
    if (bytes < SEEN_BYTES_MAX) {
        return __real___asan_memset(to, value, bytes);
    }
    for (size_t i = 0; i < bytes; i++) {
        ((volatile uint8_t *)to)[i] = (uint8_t)value;
    }
    return to;
}
#endif

/* ---- Files that nobody closed, also where their making has failed ------------------------------
 */

enum { FILES_MAX = 64 };
static struct {
    int file[FILES_MAX];
    ino_t node[FILES_MAX];
    unsigned files;
} made;

/* Until the program ends somebody must close it. */
static int keep_account(int file) {
    struct stat state;
    if (file >= 0 && made.files < FILES_MAX && !os_wrap_is_exempt() && fstat(file, &state) == 0) {
        made.file[made.files] = file;
        made.node[made.files++] = state.st_ino;
    }
    return file;
}

int __wrap_memfd_create(const char *name, unsigned flags) {
    if (kernel == WORD_kernel_no_files) {
        errno = ENOSYS;
        return -1;
    }
    if (due(WORD_call_c_memfd)) {
        errno = ONE_OF(EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS);
        return -1;
    }
    return keep_account(__real_memfd_create(name, flags));
}

bool libc_wrap_left_open(void) {
    bool any = false;
    while (made.files > 0) {
        struct stat state;
        made.files--;
        if (fstat(made.file[made.files], &state) == 0 && state.st_ino == made.node[made.files]) {
            any = true;
            close(made.file[made.files]);
        }
    }
    return any;
}
