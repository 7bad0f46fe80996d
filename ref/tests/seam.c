/* seam.c: see seam.h. The names that start with __wrap_ tell ref/rules.mk what to wrap. */
#include "seam.h"

#include <stdlib.h>

static _Atomic unsigned fail_mask, fail_nth, calls, failed;
static _Atomic bool fail_ever;
static _Atomic unsigned before_mask;
static void (*before_hook)(enum seam_call call);
static _Atomic uintptr_t watched;
static _Atomic unsigned releases, waits;
static _Atomic uint64_t clock_now_ns;
static _Atomic uint64_t address_space;
static _Atomic bool clock_is_set;
static seam_wait_fn *_Atomic wait_hook;
static void (*_Atomic wake_hook)(_Atomic uint32_t *word);

void seam_fail(unsigned mask, unsigned nth, bool ever) {
    fail_mask = mask;
    fail_nth = nth;
    fail_ever = ever;
    calls = 0;
    failed = 0;
}

unsigned seam_failed(void) {
    return failed;
}

unsigned seam_calls(void) {
    return calls;
}

void seam_before(unsigned mask, void (*hook)(enum seam_call call)) {
    before_mask = 0;
    before_hook = hook;
    before_mask = hook ? mask : 0;
}

void seam_watch(const void *address) {
    watched = (uintptr_t)address;
    releases = 0;
}

unsigned seam_releases(void) {
    return releases;
}

void seam_clock(uint64_t now_ns) {
    clock_now_ns = now_ns;
    clock_is_set = true;
}

void seam_wait(seam_wait_fn *hook) {
    wait_hook = hook;
}

uint64_t seam_address_space(void) {
    return address_space;
}

unsigned seam_waits(void) {
    return waits;
}

void seam_wake(void (*hook)(_Atomic uint32_t *word)) {
    wake_hook = hook;
}

/* True when this call is to fail. */
static bool enter(enum seam_call call) {
    if (before_mask & (unsigned)call) {
        before_hook(call);
    }
    if (!(fail_mask & (unsigned)call)) {
        return false;
    }
    unsigned number = ++calls;
    bool now = fail_nth != 0 && (fail_ever ? number >= fail_nth : number == fail_nth);
    if (now) {
        failed++;
    }
    return now;
}

/* One wrapper a function: its call or the failure. */
#define SEAM(name_, call_, parameters_, arguments_)                     \
    enum pb_status __real_##name_ parameters_;                          \
    enum pb_status __wrap_##name_ parameters_;                          \
    enum pb_status __wrap_##name_ parameters_ {                         \
        return enter(call_) ? PB_NO_MEMORY : __real_##name_ arguments_; \
    }

SEAM(pb_os_decommit, SEAM_DECOMMIT, (void *at, uint64_t bytes), (at, bytes))
SEAM(pb_os_discard, SEAM_DISCARD, (void *at, uint64_t bytes), (at, bytes))
SEAM(pb_os_renew, SEAM_RENEW, (void *at, uint64_t bytes), (at, bytes))
SEAM(pb_os_advise, SEAM_ADVISE, (void *at, uint64_t bytes, enum pb_os_advice advice),
     (at, bytes, advice))
SEAM(pb_os_file_create, SEAM_FILE_CREATE, (uint64_t bytes, int *file), (bytes, file))
SEAM(pb_os_file_write, SEAM_FILE_WRITE,
     (int file, uint64_t offset, const void *data, uint64_t count), (file, offset, data, count))
SEAM(pb_os_file_freeze, SEAM_FILE_FREEZE, (int file), (file))
SEAM(pb_os_file_map, SEAM_FILE_MAP, (int file, void *at, uint64_t bytes, bool *lost),
     (file, at, bytes, lost))
SEAM(pb_os_file_written, SEAM_FILE_WRITTEN,
     (struct pb_os_account * account, const void *at, uint64_t bytes, uint8_t *written),
     (account, at, bytes, written))
SEAM(pb_os_account_try, SEAM_ACCOUNT_TRY, (struct pb_os_account * account), (account))
SEAM(pb_os_account_ask, SEAM_ACCOUNT_ASK,
     (struct pb_os_account * account, const void *at, uint64_t bytes, struct pb_os_run *runs,
      size_t runs_max, size_t *count, uint64_t *looked_bytes),
     (account, at, bytes, runs, runs_max, count, looked_bytes))

/* As the real one may: a call that fails has opened the first half. */
enum pb_status __real_pb_os_commit(void *at, uint64_t bytes);
enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes);
enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes) {
    if (!enter(SEAM_COMMIT)) {
        return __real_pb_os_commit(at, bytes);
    }
    uint64_t half = bytes / 2 / pb_os_page_bytes() * pb_os_page_bytes();
    if (half > 0) {
        (void)__real_pb_os_commit(at, half);
    }
    return PB_NO_MEMORY;
}

/* These also keep the account of address space. */
enum pb_status __real_pb_os_reserve(uint64_t bytes, void **base);
enum pb_status __wrap_pb_os_reserve(uint64_t bytes, void **base);
enum pb_status __wrap_pb_os_reserve(uint64_t bytes, void **base) {
    enum pb_status status = enter(SEAM_RESERVE) ? PB_NO_MEMORY : __real_pb_os_reserve(bytes, base);
    address_space += status == PB_OK ? bytes : 0;
    return status;
}

enum pb_status __real_pb_os_reserve_accessible(uint64_t bytes, void **base);
enum pb_status __wrap_pb_os_reserve_accessible(uint64_t bytes, void **base);
enum pb_status __wrap_pb_os_reserve_accessible(uint64_t bytes, void **base) {
    enum pb_status status = enter(SEAM_RESERVE_ACCESSIBLE)
                                ? PB_NO_MEMORY
                                : __real_pb_os_reserve_accessible(bytes, base);
    address_space += status == PB_OK ? bytes : 0;
    return status;
}

enum pb_status __real_pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes,
                                 bool *kept);
enum pb_status __wrap_pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes,
                                 bool *kept);
enum pb_status __wrap_pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes,
                                 bool *kept) {
    if (enter(SEAM_MOVE)) {
        *kept = true;
        return PB_NO_MEMORY;
    }
    enum pb_status status = __real_pb_os_move(from, bytes, to, to_bytes, kept);
    address_space -= status == PB_OK ? bytes : *kept ? 0 : to_bytes;
    return status;
}

enum pb_status __real_pb_os_release(void *base, uint64_t bytes);
enum pb_status __wrap_pb_os_release(void *base, uint64_t bytes);
enum pb_status __wrap_pb_os_release(void *base, uint64_t bytes) {
    if (watched - (uintptr_t)base < bytes) {
        releases++;
    }
    /* The range is gone either way, as os.h says: a failure is only told. */
    bool fails = enter(SEAM_RELEASE);
    address_space -= bytes;
    enum pb_status status = __real_pb_os_release(base, bytes);
    return fails ? PB_NO_MEMORY : status;
}

uint64_t __real_pb_os_clock_ns(void);
uint64_t __wrap_pb_os_clock_ns(void);
uint64_t __wrap_pb_os_clock_ns(void) {
    return clock_is_set ? clock_now_ns : __real_pb_os_clock_ns();
}

enum pb_status __real_pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
enum pb_status __wrap_pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);
enum pb_status __wrap_pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns) {
    waits++;
    seam_wait_fn *hook = wait_hook;
    return hook ? hook(word, expected, deadline_ns)
                : __real_pb_os_wait(word, expected, deadline_ns);
}

void __real_pb_os_wake(_Atomic uint32_t *word, uint32_t count);
void __wrap_pb_os_wake(_Atomic uint32_t *word, uint32_t count);
void __wrap_pb_os_wake(_Atomic uint32_t *word, uint32_t count) {
    void (*hook)(_Atomic uint32_t *) = wake_hook;
    if (hook) {
        hook(word);
    }
    __real_pb_os_wake(word, count);
}

static _Atomic unsigned allocator_nth, allocator_requests, allocator_failures;
static _Atomic int allocator_alive;

static bool request_fails(void) {
    bool fails = ++allocator_requests == allocator_nth;
    if (fails) {
        allocator_failures++;
    }
    return fails;
}

static void *allocate_zeroed(void *context, size_t bytes) {
    (void)context;
    void *at = request_fails() ? NULL : calloc(1, bytes);
    allocator_alive += at != NULL;
    return at;
}

static void *resize(void *context, void *at, size_t bytes) {
    (void)context;
    void *moved = request_fails() ? NULL : realloc(at, bytes);
    allocator_alive += moved != NULL && at == NULL;
    return moved;
}

static void release(void *context, void *at) {
    (void)context;
    allocator_alive -= at != NULL;
    free(at);
}

const struct pb_allocator seam_allocator = {allocate_zeroed, resize, release, NULL};

void seam_allocator_fail(unsigned nth) {
    allocator_nth = nth;
    allocator_requests = 0;
    allocator_failures = 0;
}

unsigned seam_allocator_failed(void) {
    return allocator_failures;
}

unsigned seam_allocator_alive(void) {
    return (unsigned)allocator_alive;
}
