/* os_wrap.c: ref/os.h with failures by choice and an account of what is reserved and open. */
#include "os_wrap.h"

#include "fault.h"
#include "memory.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* ---- The account ------------------------------------------------------------------------------
 */

enum { RANGES_MAX = 2048, ZOMBIES_MAX = 64, FILES_MAX = 64, PINS_MAX = 8 };

struct range {
    uint8_t *base;
    uint64_t bytes;
    bool exempt, huge;
};

static struct {
    struct range range[RANGES_MAX];
    unsigned ranges;
    struct range zombie[ZOMBIES_MAX]; /* lost by calls that failed; the harness releases them */
    unsigned zombies;
    int file[FILES_MAX];
    unsigned files;
    struct range pin[PINS_MAX]; /* what the host uses; base NULL: none */
    bool exempt;
    unsigned renewals, renewals_failed;
    const void *huge_at; /* where huge pages were asked for last: a pool's slot, perhaps */
    const char *complaint;
    bool closing_failed;     /* the last call that closes pages did, and nothing opened any since */
    enum pb_status injected; /* what the last call that was made to fail answered */
} account;

void os_wrap_exempt(bool on) {
    account.exempt = on;
}

bool os_wrap_is_exempt(void) {
    return account.exempt;
}

bool os_wrap_keeps(void) {
    return true;
}

static void complain(const char *rule) {
    if (account.complaint == NULL) {
        account.complaint = rule;
    }
}

static void range_add(void *base, uint64_t bytes) {
    if (account.ranges < RANGES_MAX && bytes > 0) {
        account.range[account.ranges++] = (struct range){base, bytes, account.exempt, false};
    }
}

static struct range *range_holding(const uint8_t *at, uint64_t bytes) {
    for (unsigned i = 0; i < account.ranges; i++) {
        struct range *r = &account.range[i];
        uint64_t start = (uint64_t)(uintptr_t)at - (uint64_t)(uintptr_t)r->base;
        if ((uintptr_t)at >= (uintptr_t)r->base && start <= r->bytes && bytes <= r->bytes - start) {
            return r;
        }
    }
    return NULL;
}

/* Removes [at, at + bytes) from the account; the rest of its range stays. */
static void range_remove(uint8_t *at, uint64_t bytes, const char *rule) {
    struct range *r = range_holding(at, bytes);
    if (r == NULL) {
        complain(rule);
        return;
    }
    struct range front = {r->base, (uint64_t)(at - r->base), r->exempt, r->huge};
    struct range back = {at + bytes, r->bytes - front.bytes - bytes, r->exempt, r->huge};
    *r = account.range[--account.ranges];
    if (front.bytes > 0) {
        account.range[account.ranges++] = front;
    }
    if (back.bytes > 0 && account.ranges < RANGES_MAX) {
        account.range[account.ranges++] = back;
    }
}

/* A call on pages that are not reserved would hit another mapping. */
static void range_expect(const void *at, uint64_t bytes) {
    if (range_holding(at, bytes) == NULL) {
        bool zombie = false;
        for (unsigned i = 0; i < account.zombies && !zombie; i++) {
            zombie = account.zombie[i].base <= (const uint8_t *)at &&
                     (const uint8_t *)at < account.zombie[i].base + account.zombie[i].bytes;
        }
        if (!zombie) {
            complain("R6-foreign-pages");
        }
    }
}

void os_wrap_complain(const char *rule) {
    complain(rule);
}

void os_wrap_pin(const void *at, uint64_t bytes, bool on) {
    for (unsigned i = 0; i < PINS_MAX && bytes > 0; i++) {
        struct range *pin = &account.pin[i];
        if (on ? pin->base == NULL : pin->base == at && pin->bytes == bytes) {
            *pin = (struct range){on ? (uint8_t *)(uintptr_t)at : NULL, bytes, false, false};
            return;
        }
    }
}

/* A call that takes pages away, or puts others in their place. */
static void range_taken(const void *at, uint64_t bytes) {
    const uintptr_t start = (uintptr_t)at;
    range_expect(at, bytes);
    for (unsigned i = 0; i < PINS_MAX; i++) {
        const uintptr_t pin = (uintptr_t)account.pin[i].base;
        if (pin != 0 && pin < start + bytes && start < pin + account.pin[i].bytes) {
            complain("R42-pin");
        }
    }
}

bool os_wrap_is_huge(const void *at) {
    const struct range *r = range_holding(at, 1);
    return r != NULL && (r->huge || account.huge_at == at);
}

unsigned os_wrap_renewals(void) {
    return account.renewals;
}

unsigned os_wrap_renewals_failed(void) {
    return account.renewals_failed;
}

void os_wrap_forget_huge(void) {
    account.huge_at = NULL;
}

bool os_wrap_is_owned(const void *at) {
    struct pb_address_owner owner;
    return !fault_swept() && !account.exempt && pb_memory_owner_of(at, &owner);
}

/* Address space that is given back may be another memory's, or anybody's, at once. */
static void expect_unowned(const void *at, uint64_t bytes) {
    if (os_wrap_is_owned(at) || os_wrap_is_owned((const uint8_t *)at + bytes - 1)) {
        complain("R39-owner-gone");
    }
}

bool os_wrap_reservation(const void *address, const uint8_t **at, uint64_t *bytes) {
    const struct range *r = range_holding(address, 1);
    if (r == NULL) {
        return false;
    }
    *at = r->base;
    *bytes = r->bytes;
    return true;
}

/* ---- The calls --------------------------------------------------------------------------------
 */

/* Each wrapped function, as the linker names the two. */
#define WRAPPED(type, name, parameters) \
    type __real_##name parameters;      \
    type __wrap_##name parameters

WRAPPED(enum pb_status, pb_os_reserve, (uint64_t bytes, void **base));
WRAPPED(enum pb_status, pb_os_reserve_accessible, (uint64_t bytes, void **base));
WRAPPED(enum pb_status, pb_os_commit, (void *at, uint64_t bytes));
WRAPPED(enum pb_status, pb_os_decommit, (void *at, uint64_t bytes));
WRAPPED(enum pb_status, pb_os_discard, (void *at, uint64_t bytes));
WRAPPED(enum pb_status, pb_os_renew, (void *at, uint64_t bytes));
WRAPPED(enum pb_status, pb_os_release, (void *base, uint64_t bytes));
WRAPPED(enum pb_status, pb_os_move,
        (void *from, uint64_t bytes, void *to, uint64_t to_bytes, bool *kept));
WRAPPED(enum pb_status, pb_os_advise, (void *at, uint64_t bytes, enum pb_os_advice advice));
WRAPPED(enum pb_status, pb_os_file_create, (uint64_t bytes, int *file));
WRAPPED(enum pb_status, pb_os_file_write,
        (int file, uint64_t offset, const void *data, uint64_t count));
WRAPPED(enum pb_status, pb_os_file_freeze, (int file));
WRAPPED(enum pb_status, pb_os_file_map, (int file, void *at, uint64_t bytes, bool *lost));
WRAPPED(void, pb_os_file_close, (int file));
WRAPPED(enum pb_status, pb_os_file_written,
        (struct pb_os_account * asked, const void *at, uint64_t bytes, uint8_t *written));

static bool due(enum word_call call) {
    return !account.exempt && fault_due(FAULT_ANYBODY, call);
}

/* What status.h calls an error of a call of the C library. */
static enum pb_status status_of_errno(int error) {
    switch (error) {
    case ENOMEM:
    case EAGAIN:
    case ENOSPC:
        return PB_NO_MEMORY;
    case EMFILE:
    case ENFILE:
        return PB_NO_DESCRIPTORS;
    case EINTR:
    case EBUSY:
        return PB_INTERRUPTED;
    case EINVAL:
    case ENOSYS:
    case EPERM:
    case EACCES:
        return PB_UNSUPPORTED;
    default:
        return PB_SYSTEM;
    }
}

/* The error that the program asks for, else one of three, by choice. */
static enum pb_status error_of(const enum pb_status usual[3]) {
    static const enum pb_status named[WORD_error_count] = {
        [WORD_error_no_memory] = PB_NO_MEMORY,
        [WORD_error_no_descriptors] = PB_NO_DESCRIPTORS,
        [WORD_error_interrupted] = PB_INTERRUPTED,
        [WORD_error_system] = PB_SYSTEM,
    };
    enum word_error error = fault_error();
    account.injected = error == WORD_error_any ? usual[fault_choose(3)] : named[error];
    return account.injected;
}

unsigned os_wrap_injected(void) {
    switch (fault_last()) {
    case WORD_call_os_reserve:
    case WORD_call_os_reserve_accessible:
    case WORD_call_os_commit:
    case WORD_call_os_decommit:
    case WORD_call_os_discard:
    case WORD_call_os_renew:
    case WORD_call_os_move:
    case WORD_call_os_advise:
    case WORD_call_os_file_create:
    case WORD_call_os_file_write:
    case WORD_call_os_file_freeze:
    case WORD_call_os_file_map:
        return account.injected;
    case WORD_call_allocate:
    case WORD_call_resize:
        return PB_NO_MEMORY;
    case WORD_call_c_mmap_error:
    case WORD_call_c_mprotect:
    case WORD_call_c_memfd:
    case WORD_call_c_ftruncate:
    case WORD_call_c_fcntl:
        return fault_errno() == 0 ? PB_OK : status_of_errno(fault_errno());
    default:
        return PB_OK;
    }
}

/* The usual errors of a call on pages. */
static enum pb_status page_error(void) {
    static const enum pb_status errors[] = {PB_NO_MEMORY, PB_INTERRUPTED, PB_SYSTEM};
    return error_of(errors);
}

static enum pb_status file_error(void) {
    static const enum pb_status errors[] = {PB_NO_DESCRIPTORS, PB_NO_MEMORY, PB_SYSTEM};
    return error_of(errors);
}

/* A call on a range may stop part-way; here it stops at half. */
static uint64_t half_of(uint64_t bytes) {
    return bytes / 2 / pb_os_page_bytes() * pb_os_page_bytes();
}

/* A call that opens pages and fails may have opened a part of them, unless the calls that would
 * close it are to fail as well: then no library could keep its promises. */
static bool may_have_opened(uint64_t bytes) {
    return !fault_armed() && half_of(bytes) > 0;
}

bool os_wrap_closing_failed(void) {
    return account.closing_failed;
}

void os_wrap_closing_fails(void) {
    account.closing_failed = true;
}

static bool closing_due(enum word_call call) {
    account.closing_failed = due(call);
    return account.closing_failed;
}

static bool opening_due(enum word_call call) {
    return due(call) && !account.closing_failed;
}

/* Under a limit on address space (ulimit -v, fuzzing services) running out of memory is expected.
 * Without one it is a mistake to ask for that much. */
static enum pb_status told(enum pb_status status) {
    static int limited = -1;
    if (status == PB_NO_MEMORY && limited < 0) {
        struct rlimit limit;
        limited = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    }
    if (status == PB_NO_MEMORY && limited > 0) {
        fault_note();
    }
    if (status != PB_OK) {
        account.injected = PB_OK; /* it has failed of its own, after that */
    }
    return status;
}

static enum pb_status added(enum pb_status status, void *const *base, uint64_t bytes) {
    if (status == PB_OK) {
        range_add(*base, bytes);
    }
    return status;
}

enum pb_status __wrap_pb_os_reserve(uint64_t bytes, void **base) {
    if (due(WORD_call_os_reserve)) {
        return page_error();
    }
    if (!account.exempt && (fault_exhausted() || fault_too_long(bytes))) {
        return PB_NO_MEMORY;
    }
    return added(told(__real_pb_os_reserve(bytes, base)), base, bytes);
}

enum pb_status __wrap_pb_os_reserve_accessible(uint64_t bytes, void **base) {
    if (due(WORD_call_os_reserve_accessible)) {
        return page_error();
    }
    if (!account.exempt && (fault_exhausted() || fault_too_long(bytes))) {
        return PB_NO_MEMORY;
    }
    return added(told(__real_pb_os_reserve_accessible(bytes, base)), base, bytes);
}

enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes) {
    range_expect(at, bytes);
    if (!opening_due(WORD_call_os_commit)) {
        enum pb_status status = __real_pb_os_commit(at, bytes);
        account.closing_failed = false;
        return told(status);
    }
    account.closing_failed = false;
    if (may_have_opened(bytes)) {
        (void)__real_pb_os_commit(at, half_of(bytes));
    }
    return page_error();
}

enum pb_status __wrap_pb_os_decommit(void *at, uint64_t bytes) {
    range_taken(at, bytes);
    return closing_due(WORD_call_os_decommit) ? page_error() : __real_pb_os_decommit(at, bytes);
}

enum pb_status __wrap_pb_os_discard(void *at, uint64_t bytes) {
    range_taken(at, bytes);
    return due(WORD_call_os_discard) ? page_error() : __real_pb_os_discard(at, bytes);
}

enum pb_status __wrap_pb_os_renew(void *at, uint64_t bytes) {
    range_taken(at, bytes);
    account.renewals++;
    const enum pb_status status =
        closing_due(WORD_call_os_renew) ? page_error() : told(__real_pb_os_renew(at, bytes));
    account.renewals_failed += status != PB_OK;
    account.closing_failed |= status != PB_OK; /* below, too */
    return status;
}

enum pb_status __wrap_pb_os_release(void *base, uint64_t bytes) {
    /* one that begins in a reservation and ends behind it takes somebody else's, too */
    expect_unowned(base, bytes);
    range_remove(base, bytes,
                 range_holding(base, 1) != NULL ? "R6-foreign-pages" : "R14-double-release");
    if (due(WORD_call_os_release) && account.zombies < ZOMBIES_MAX) {
        account.zombie[account.zombies++] = (struct range){base, bytes, false, false};
        return page_error();
    }
    return __real_pb_os_release(base, bytes);
}

static bool is_mapped(void *at) {
    unsigned char resident;
    return mincore(at, 1, &resident) == 0;
}

/* A move that fails without *kept says that the target is gone. If it is still mapped, no other
 * thread can have mapped it, since there is none: it stays in the account and counts as a leak.
 * Only a lack of memory may leave it behind. */
enum pb_status __wrap_pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes,
                                 bool *kept) {
    range_expect(to, to_bytes);
    expect_unowned(from, bytes);
    expect_unowned(to, to_bytes);
    if (due(WORD_call_os_move)) {
        *kept = true;
        return page_error();
    }
    enum pb_status status = told(__real_pb_os_move(from, bytes, to, to_bytes, kept));
    libc_wrap_moved();
    if (status == PB_OK) {
        range_remove(from, bytes, "R6-foreign-pages");
    } else if (!*kept && (status == PB_NO_MEMORY || !is_mapped(to) || libc_wrap_is_others(to))) {
        range_remove(to, to_bytes, "R6-foreign-pages");
    }
    return status;
}

enum pb_status __wrap_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice) {
    range_expect(at, bytes);
    struct range *all = range_holding(at, bytes);
    if (advice == PB_OS_HUGE_PAGES && all != NULL) {
        all->huge |= all->bytes == bytes;
        account.huge_at = at;
    }
    bool opens = advice == PB_OS_GUARD_REMOVE;
    if (!(opens ? opening_due(WORD_call_os_advise) : due(WORD_call_os_advise))) {
        return __real_pb_os_advise(at, bytes, advice);
    }
    uint64_t half = half_of(bytes);
    if ((advice == PB_OS_GUARD_INSTALL || opens) && half > 0 && fault_choose(2) == 1 &&
        (!opens || may_have_opened(bytes))) {
        (void)__real_pb_os_advise(at, half, advice);
    }
    return page_error();
}

/* A library must not get its process killed. */
static void complain_of_signal(void) {
    if (fault_signalled()) {
        complain("R13-signal");
    }
}

enum pb_status __wrap_pb_os_file_create(uint64_t bytes, int *file) {
    if (due(WORD_call_os_file_create)) {
        return file_error();
    }
    if (fault_exhausted()) {
        return PB_NO_MEMORY;
    }
    if (fault_file_limit_bytes() != 0 && bytes > fault_file_limit_bytes()) {
        fault_note(); /* and is to be refused */
    }
    enum pb_status status = __real_pb_os_file_create(bytes, file);
    complain_of_signal();
    if (status == PB_OK && account.files < FILES_MAX) {
        account.file[account.files++] = *file;
    }
    if (status == PB_OK && !(fcntl(*file, F_GETFD) & FD_CLOEXEC)) {
        complain("R13-inherited"); /* by every program that the host starts */
    }
    return status;
}

enum pb_status __wrap_pb_os_file_write(int file, uint64_t offset, const void *data,
                                       uint64_t count) {
    if (due(WORD_call_os_file_write)) {
        (void)__real_pb_os_file_write(file, offset, data, count / 2);
        return page_error();
    }
    enum pb_status status = __real_pb_os_file_write(file, offset, data, count);
    complain_of_signal();
    return status;
}

enum pb_status __wrap_pb_os_file_freeze(int file) {
    if (due(WORD_call_os_file_freeze)) {
        return file_error();
    }
    const enum pb_status status = __real_pb_os_file_freeze(file);
    if (status == PB_OK && !libc_wrap_is_frozen(file)) {
        complain("R13-frozen");
    }
    return status;
}

enum pb_status __wrap_pb_os_file_map(int file, void *at, uint64_t bytes, bool *lost) {
    range_taken(at, bytes);
    return due(WORD_call_os_file_map) ? page_error()
                                      : told(__real_pb_os_file_map(file, at, bytes, lost));
}

void __wrap_pb_os_file_close(int file) {
    unsigned i = 0;
    while (i < account.files && account.file[i] != file) {
        i++;
    }
    if (i == account.files) {
        complain("R14-double-close"); /* ... and is not repeated: the descriptor may have been
                                         reused by now */
        return;
    }
    account.file[i] = account.file[--account.files];
    __real_pb_os_file_close(file);
}

enum pb_status __wrap_pb_os_file_written(struct pb_os_account *asked, const void *at,
                                         uint64_t bytes, uint8_t *written) {
    if (due(WORD_call_os_file_written)) {
        return fault_choose(2) == 0 ? PB_UNSUPPORTED : PB_SYSTEM;
    }
    return __real_pb_os_file_written(asked, at, bytes, written);
}

void os_wrap_ask(void) {
    const bool before = account.exempt;
    const uint64_t page = pb_os_page_bytes();
    void *at;
    account.exempt = true;
    (void)pb_strategy_available(PB_STRATEGY_GUARD, NULL);
    if (__real_pb_os_reserve_accessible(page, &at) == PB_OK) {
        (void)__real_pb_os_discard(at, page);
        (void)__real_pb_os_release(at, page);
    }
    account.exempt = before;
}

/* ---- Closing the account ----------------------------------------------------------------------
 */

const char *os_wrap_account(void) {
    unsigned kept = 0;
    for (unsigned i = 0; i < account.zombies; i++) {
        (void)__real_pb_os_release(account.zombie[i].base, account.zombie[i].bytes);
    }
    account.zombies = 0;
    account.closing_failed = false;
    for (unsigned i = 0; i < account.ranges; i++) {
        if (account.range[i].exempt) {
            account.range[kept++] = account.range[i];
            continue;
        }
        complain("R14-leak");
        (void)__real_pb_os_release(account.range[i].base, account.range[i].bytes);
    }
    account.ranges = kept;
    while (account.files > 0) {
        complain("R14-file-leak");
        __real_pb_os_file_close(account.file[--account.files]);
    }
    if (libc_wrap_left_open()) {
        complain("R14-file-leak");
    }
    libc_wrap_unlocked();
    memset(account.pin, 0, sizeof account.pin);
    const char *complaint = account.complaint;
    account.complaint = NULL;
    return complaint;
}
