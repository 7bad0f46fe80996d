/* sequential.c: what reproducers of one thread are put together from, a part for each operation.
 *
 * reproducer.c takes the parts that a program needs (a line `= NAME: needs =` begins each), and
 * writes the program's operations as calls behind them. Each part calls the library and compares
 * with what must be: bytes and sizes in a naive copy, ids in a list. Nothing of the harness. */

/*= base: =*/
#include "pagebox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *now_in = "the start", *now_rule = "R0"; /* the call that runs */

/* A rule is broken: says which, and how. */
__attribute__((format(printf, 2, 3))) _Noreturn static void fail(const char *rule,
                                                                 const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s is broken in %s: ", rule, now_in);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    fflush(stdout);
    _exit(1);
}

static void on_crash(int number) {
    printf("%s is broken: the library crashed in %s (%s)\n", now_rule, now_in, strsignal(number));
    fflush(stdout);
    _exit(1);
}

static void watch(void) {
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        signal(fatal[i], on_crash);
    }
    alarm(60); /* what takes longer hangs */
}

/* The bytes that are written: never 0, neighbours differ. */
static const unsigned char *pattern(void) {
    static unsigned char bytes[160 * 1024];
    for (size_t i = 0; bytes[0] == 0 && i < sizeof bytes; i++) {
        bytes[sizeof bytes - 1 - i] = (unsigned char)(1 + (i * 7 + i / 251) % 255);
    }
    return bytes;
}

#define BIT(status) (1u << (status))

/* The call's answer is one of a set, BIT(PB_OK) | ... */
static void expect(const char *rule, enum pb_status got, unsigned set) {
    printf("%s: %s\n", now_in, pb_status_name(got));
    if ((unsigned)got >= PB_STATUS_COUNT || !(set & BIT(got))) {
        char wanted[256] = "";
        for (unsigned i = 0; i < PB_STATUS_COUNT; i++) {
            if (set & BIT(i)) {
                strcat(strcat(wanted, " "), pb_status_name((enum pb_status)i));
            }
        }
        fail(rule, "%s, where it must be:%s", pb_status_name(got), wanted);
    }
}

/*= faults: base =*/
#include "os.h"

/* The nth call of that kind from here on fails, once. Linked by -Wl,--wrap=pb_os_... */
static struct {
    unsigned call;
    unsigned long left; /* 1: the next one; 0: over */
    const char *error;
} armed[64];
static unsigned arms, faults_seen;
static int closing_failed; /* the last call that closes pages did, and none opened any since */
static int opens;          /* this call of os_advise */
static const char *error_now;
static const unsigned char *choices;
static size_t choices_left;

enum { COMMIT = 2, DECOMMIT = 3, RENEW = 5, ADVISE = 8 }; /* their numbers below */
static const char *const fault_names[16] = {"os_reserve",    "os_reserve_accessible",
                                            "os_commit",     "os_decommit",
                                            "os_discard",    "os_renew",
                                            "os_release",    "os_move",
                                            "os_advise",     "os_file_create",
                                            "os_file_write", "os_file_freeze",
                                            "os_file_map",   "os_file_written",
                                            "allocate",      "resize"};

static void fault_at(const char *call, unsigned long nth, const char *error) {
    /* It is tried at its first use, by calls that do not count. */
    (void)pb_strategy_available(PB_STRATEGY_GUARD, NULL);
    for (unsigned i = 0; i < 16; i++) {
        if (strcmp(fault_names[i], call) == 0 && arms < 64) {
            armed[arms].call = i;
            armed[arms].left = nth <= 64 ? nth : 0;
            armed[arms++].error = error;
        }
    }
}

static void fail_next(const char *call, unsigned long nth) {
    fault_at(call, nth, "any");
}

static int due(unsigned call) {
    int now = 0;
    for (unsigned i = 0; i < arms; i++) {
        if (armed[i].call == call && armed[i].left > 0 && --armed[i].left == 0) {
            now = 1;
            error_now = armed[i].error;
        }
    }
    if (call == COMMIT || (call == ADVISE && opens)) { /* where nothing closes pages again, opening
                                                         them does not fail */
        now = now && !closing_failed;
        closing_failed = closing_failed && call != COMMIT;
    } else if (call == DECOMMIT || call == RENEW) {
        closing_failed = now;
    }
    faults_seen += (unsigned)now;
    if (now) {
        printf("  (%s fails here)\n", fault_names[call]);
    }
    return now;
}

static unsigned choose(unsigned n) {
    unsigned choice = choices_left > 0 ? *choices % n : 0;
    choices += choices_left > 0;
    choices_left -= choices_left > 0;
    return choice;
}

/* The error that was asked for; else one of three by choice. */
static enum pb_status error_of(enum pb_status first, enum pb_status second, enum pb_status third) {
    static const char *const names[] = {"no_memory", "no_descriptors", "interrupted", "system"};
    static const enum pb_status errors[] = {PB_NO_MEMORY, PB_NO_DESCRIPTORS, PB_INTERRUPTED,
                                            PB_SYSTEM};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(names[i], error_now) == 0) {
            return errors[i];
        }
    }
    unsigned drawn = choose(3);
    return drawn == 0 ? first : drawn == 1 ? second : third;
}

static enum pb_status page_error(void) {
    return error_of(PB_NO_MEMORY, PB_INTERRUPTED, PB_SYSTEM);
}

static enum pb_status file_error(void) {
    return error_of(PB_NO_DESCRIPTORS, PB_NO_MEMORY, PB_SYSTEM);
}

/* Each stands before the library's own function of that name. */
#define WRAP(number, error, name, parameters, arguments)           \
    enum pb_status __real_pb_##name parameters;                    \
    enum pb_status __wrap_pb_##name parameters;                    \
    enum pb_status __wrap_pb_##name parameters {                   \
        return due(number) ? (error) : __real_pb_##name arguments; \
    }
WRAP(0, page_error(), os_reserve, (uint64_t bytes, void **base), (bytes, base))
WRAP(1, page_error(), os_reserve_accessible, (uint64_t bytes, void **base), (bytes, base))
/* This one has opened a part when it fails, unless others shall fail after it. */
static int any_armed(void) {
    int any = 0;
    for (unsigned i = 0; i < arms; i++) {
        any |= armed[i].left > 0;
    }
    return any;
}
enum pb_status __real_pb_os_commit(void *at, uint64_t bytes);
enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes);
enum pb_status __wrap_pb_os_commit(void *at, uint64_t bytes) {
    if (!due(COMMIT)) {
        return __real_pb_os_commit(at, bytes);
    }
    uint64_t half = bytes / 2 / pb_os_page_bytes() * pb_os_page_bytes();
    if (!any_armed() && half > 0) {
        (void)__real_pb_os_commit(at, half);
    }
    return page_error();
}
WRAP(DECOMMIT, page_error(), os_decommit, (void *at, uint64_t bytes), (at, bytes))
WRAP(4, page_error(), os_discard, (void *at, uint64_t bytes), (at, bytes))
WRAP(RENEW, page_error(), os_renew, (void *at, uint64_t bytes), (at, bytes))
WRAP(6, page_error(), os_release, (void *base, uint64_t bytes), (base, bytes))
/* The target of this one is as it was when it fails. */
static enum pb_status move_error(bool *kept) {
    *kept = true;
    return page_error();
}
WRAP(7, move_error(kept), os_move,
     (void *from, uint64_t bytes, void *to, uint64_t to_bytes, bool *kept),
     (from, bytes, to, to_bytes, kept))
enum pb_status __real_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice);
enum pb_status __wrap_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice);
enum pb_status __wrap_pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice) {
    opens = advice == PB_OS_GUARD_REMOVE;
    if (!due(ADVISE)) {
        return __real_pb_os_advise(at, bytes, advice);
    }
    uint64_t half = bytes / 2 / pb_os_page_bytes() * pb_os_page_bytes();
    if ((opens || advice == PB_OS_GUARD_INSTALL) && half > 0 && choose(2) == 1 &&
        (!opens || !any_armed())) {
        (void)__real_pb_os_advise(at, half, advice);
    }
    return page_error();
}
WRAP(9, file_error(), os_file_create, (uint64_t bytes, int *file), (bytes, file))
WRAP(10, file_error(), os_file_write, (int file, uint64_t offset, const void *data, uint64_t count),
     (file, offset, data, count))
WRAP(11, file_error(), os_file_freeze, (int file), (file))
WRAP(12, file_error(), os_file_map, (int file, void *at, uint64_t bytes, bool *lost),
     (file, at, bytes, lost))
WRAP(13, choose(2) == 0 ? PB_UNSUPPORTED : PB_SYSTEM, os_file_written,
     (const void *at, uint64_t bytes, uint8_t *written), (at, bytes, written))

/*= nofaults: base =*/
static const unsigned faults_seen = 0;

static int due(unsigned call) {
    (void)call;
    return 0;
}

/*= allocator: base =*/
static long blocks; /* of the library's, alive */

static void *allocate_zeroed(void *context, size_t bytes) {
    (void)context;
    void *at = due(14) ? NULL : calloc(1, bytes);
    blocks += at != NULL;
    return at;
}

static void *resize(void *context, void *old, size_t bytes) {
    (void)context;
    void *at = due(15) ? NULL : realloc(old, bytes);
    blocks += old == NULL && at != NULL;
    return at;
}

static void release(void *context, void *at) {
    (void)context;
    blocks -= at != NULL;
    free(at);
}

static const struct pb_allocator allocator = {allocate_zeroed, resize, release, NULL};

/* What a call may answer when the system refused it memory. */
#define WANT (BIT(PB_NO_MEMORY) | BIT(PB_NO_DESCRIPTORS) | BIT(PB_INTERRUPTED) | BIT(PB_SYSTEM))

/*= memory: allocator =*/
/* What a memory must be. bytes: a naive copy of 4 GiB of address space, zero until written. */
struct body {
    int handles;
    uint32_t pages, max_pages, first_pages, room_pages;
    int shared, disabled, is_pool;
    uint64_t guard_bytes, image_bytes;
    enum pb_strategy strategy;
    unsigned char *bytes;
    uint64_t written[64]; /* addresses */
    unsigned writes;
};

static struct memory {
    struct pb_memory *handle;
    struct body *body; /* NULL: none */
} m[4];

static uint64_t size_of(const struct body *b) {
    return (uint64_t)b->pages * 65536;
}

/* The memory's end, for addresses that count from it. */
static uint64_t end_of(unsigned slot) {
    return m[slot].body != NULL ? size_of(m[slot].body) : 0;
}

static int within(const struct body *b, uint64_t start, uint64_t count) {
    return start <= size_of(b) && count <= size_of(b) - start;
}

static unsigned char *base_of(struct pb_memory *handle) {
    return atomic_load(&pb_memory_definition(handle)->base);
}

/* Whether the byte can be read, by the kernel's own answer. */
static int readable(const void *at) {
    static int pipes[2] = {-1, -1};
    char byte;
    if (pipes[0] < 0 && pipe(pipes) != 0) {
        return 1;
    }
    return write(pipes[1], at, 1) == 1 && read(pipes[0], &byte, 1) == 1;
}

static void wrote(struct body *b, uint64_t start, uint64_t count) {
    if (count > 0 && b->writes + 2 <= 64) {
        b->written[b->writes++] = start;
        b->written[b->writes++] = start + count - 1;
    }
}

static void check_bytes(const char *rule, struct memory *memory, uint64_t from, uint64_t count) {
    const unsigned char *real = base_of(memory->handle), *must = memory->body->bytes;
    for (uint64_t i = from; i < from + count; i++) {
        if (real[i] != must[i]) {
            fail(rule, "byte %llu is %u, and must be %u", (unsigned long long)i, real[i], must[i]);
        }
    }
}

/* Size, type, bytes and guard are what they must be. */
static void check(const char *rule, struct memory *memory) {
    struct body *b = memory->body;
    struct pb_memory_type type = pb_memory_type(memory->handle);
    uint64_t bytes = pb_memory_size_bytes(memory->handle);
    if (bytes != size_of(b) || pb_memory_size_pages(memory->handle) != b->pages) {
        fail(rule, "the size is %llu bytes, and must be %llu", (unsigned long long)bytes,
             (unsigned long long)size_of(b));
    }
    if (type.min_pages != b->pages || type.max_pages != b->max_pages ||
        type.shared != (b->shared != 0)) {
        fail("R12-type", "the type says %u to %u pages, shared %d", type.min_pages, type.max_pages,
             type.shared);
    }
    if (atomic_load(&pb_memory_definition(memory->handle)->length_bytes) != size_of(b)) {
        fail("R10-record", "the record's length is not the size");
    }
    const unsigned char *base = base_of(memory->handle);
    for (uint64_t at = 0; at < size_of(b); at += b->pages <= 64 ? 4096 : size_of(b) - 1) {
        if (!readable(base + at)) {
            fail("R8-inaccessible", "byte %llu of %llu faults", (unsigned long long)at,
                 (unsigned long long)size_of(b));
        }
    }
    if (b->pages <= 64) {
        check_bytes(rule, memory, 0, size_of(b));
    } else {
        check_bytes(rule, memory, 0, 65536);
        check_bytes(rule, memory, size_of(b) - 65536, 65536);
    }
    for (unsigned i = 0; i < b->writes; i++) {
        if (b->written[i] < size_of(b)) {
            check_bytes(rule, memory, b->written[i], 1);
        }
    }
    if (pb_strategy_info(b->strategy)->traps && b->guard_bytes > 0 && base != NULL) {
        if (readable(base + size_of(b)) || readable(base + size_of(b) + b->guard_bytes - 1)) {
            fail("R4-guard", "the guard behind %llu bytes can be read",
                 (unsigned long long)size_of(b));
        }
    }
}

static struct body *body_new(void) {
    struct body *b = calloc(1, sizeof *b);
    void *bytes = mmap(NULL, UINT64_C(4) << 30, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b == NULL || bytes == MAP_FAILED) {
        printf("no room for a copy of 4 GiB of address space: raise the limit (ulimit -v)\n");
        _exit(2);
    }
    b->bytes = bytes;
    return b;
}

static void body_drop(struct body *b) {
    munmap(b->bytes, UINT64_C(4) << 30);
    free(b);
}

static void memory_destroy(unsigned slot) {
    struct memory *memory = &m[slot];
    if (memory->body != NULL) {
        pb_memory_destroy(memory->handle);
        if (--memory->body->handles == 0) {
            body_drop(memory->body);
        }
        memory->body = NULL;
    }
}

static struct pb_pool *pools[2];

static void memories_end(void) {
    now_in = "the end";
    now_rule = "R14";
    for (unsigned i = 0; i < 4; i++) {
        if (m[i].body != NULL) {
            check(m[i].body->handles > 1 ? "R14-clone" : "R18-bytes", &m[i]);
        }
        memory_destroy(i);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (pools[i] != NULL && pb_pool_stats(pools[i]).used != 0) {
            fail("R6-slot-lost", "%u slots are in use, and no memory is left",
                 pb_pool_stats(pools[i]).used);
        }
        pb_pool_destroy(pools[i]);
    }
}

/*= leaks: allocator =*/
/* Address space in use, in host pages. */
static long mapped(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%ld", &pages) != 1) {
        pages = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return pages;
}

static long mapped_first;

static void leaks_begin(void) {
    static char room[4096];
    setvbuf(stdout, room, _IOLBF, sizeof room);
    free(malloc(1 << 20));
    (void)mapped();
    mapped_first = mapped();
}

static void leaks_end(void) {
    now_in = "the end";
    if (blocks != 0) {
        fail("R14-leak", "%ld blocks of the allocator are left", blocks);
    }
    if (mapped() > mapped_first + 64) {
        fail("R14-leak", "%ld host pages of address space are left", mapped() - mapped_first);
    }
}

/*= memory_create_more: memory =*/
static int is(const char *word, const char *other) {
    return strcmp(word, other) == 0;
}

static enum pb_status pool_get(int renew, struct pb_pool **pool) {
    struct pb_pool_config config = {.slots = 4,
                                    .slot_bytes = 8 * 65536,
                                    .guard_bytes = 128 << 10,
                                    .reset = renew ? PB_POOL_RENEW : PB_POOL_DISCARD,
                                    .allocator = &allocator};
    enum pb_status status = pools[renew] != NULL ? PB_OK : pb_pool_create(&config, &pools[renew]);
    *pool = pools[renew];
    return status;
}

/* What is wrong with the request (R1, R3). */
static unsigned create_errors(const struct pb_memory_type *type,
                              const struct pb_memory_style *given) {
    int none = type->max_pages == PB_NO_MAXIMUM;
    if (type->min_pages > 65536 || (!none && type->max_pages > 65536) ||
        (!none && type->max_pages < type->min_pages) || (type->shared && none)) {
        return BIT(PB_LIMIT) | BIT(PB_INVALID);
    }
    if (given != NULL && (given->guard_bytes % 4096 != 0 ||
                          (given->kind == PB_STYLE_STATIC &&
                           (given->bound_pages < type->min_pages || given->bound_pages > 65536)))) {
        return BIT(PB_INVALID);
    }
    return 0;
}

static void memory_create_more(unsigned slot, const char *strategy, const char *twin, uint32_t min,
                               uint32_t max, int shared, const char *style, uint32_t bound,
                               uint64_t guard, const char *record, uint32_t image,
                               const char *advice, uint32_t waiters, uint32_t reserve) {
    static struct pb_memory_definition records[16];
    static unsigned records_used;
    memory_destroy(slot);
    now_in = "pb_memory_create";
    now_rule = "R1-crash";
    (void)twin; /* another strategy beside it, left out here */
    struct pb_tunables tunables = {bound, guard, guard + 4096};
    struct pb_memory_style given = {is(style, "static") ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
                                    is(style, "static") ? bound : 0, guard};
    int is_given = is(style, "static") || is(style, "dynamic");
    struct pb_memory_config config = {
        .type = {min, max, shared != 0},
        .style = is_given ? &given : NULL,
        .tunables = is(style, "usual") ? NULL : &tunables,
        .advice = (is(advice, "huge") || is(advice, "both") ? (unsigned)PB_ADVICE_HUGE_PAGES : 0) |
                  (is(advice, "populate") || is(advice, "both") ? (unsigned)PB_ADVICE_POPULATE : 0),
        .waiters_max = waiters,
        .reserve_pages_max = reserve,
        .allocator = &allocator};
    if (is(record, "caller")) {
        config.definition = &records[records_used++ % 16];
    }
    int is_pool = is(strategy, "pool") || is(strategy, "pool_renew");
    if (is_pool) {
        strategy = "pool";
    }
    if (!pb_strategy_by_name(strategy, &config.strategy)) {
        printf("strategy %s is the harness's own: left out\n", strategy);
        fflush(stdout);
        _exit(2);
    }
    unsigned seen = faults_seen;
    enum pb_status status = is_pool ? pool_get(is(strategy, "pool_renew"), &config.pool) : PB_OK;
    uint64_t image_bytes =
        config.strategy == PB_STRATEGY_IMAGE && image <= 8192 && image <= (uint64_t)min * 65536
            ? image
            : 0;
    if (status == PB_OK && image_bytes > 0) {
        status = pb_image_create(pattern(), image_bytes, &allocator, &config.image);
    }
    struct pb_memory_style chosen =
        is_given ? given
                 : pb_style_choose(&config.type,
                                   config.tunables != NULL ? &tunables : &pb_tunables_default);
    struct pb_memory *handle = NULL;
    if (status == PB_OK) {
        status = pb_memory_create(&config, &handle);
    }
    pb_image_release(config.image);
    const struct pb_strategy_info *info = pb_strategy_info(config.strategy);
    unsigned errors = create_errors(&config.type, config.style);
    errors |= shared && !info->shareable ? BIT(PB_UNSUPPORTED) : 0;
    int sure = faults_seen == seen && !is_pool && min <= 16 && max <= 1024 &&
               chosen.guard_bytes <= (UINT64_C(64) << 20) &&
               (chosen.kind == PB_STYLE_DYNAMIC || chosen.bound_pages <= 1024);
    int odd = chosen.guard_bytes % 4096 != 0 || is_pool || chosen.guard_bytes > UINT64_C(1) << 40 ||
              (chosen.kind == PB_STYLE_STATIC && chosen.bound_pages > 65536);
    expect("R1-create", status,
           (errors != 0 ? errors : BIT(PB_OK)) | (sure ? 0 : WANT) | (odd ? BIT(PB_INVALID) : 0));
    if (status != PB_OK) {
        return;
    }
    struct body *b = body_new();
    b->handles = 1;
    b->pages = b->first_pages = min;
    b->max_pages = max;
    b->shared = shared;
    b->strategy = config.strategy;
    b->guard_bytes = chosen.guard_bytes;
    b->image_bytes = image_bytes;
    b->is_pool = is_pool;
    b->room_pages = 65536;
    if (chosen.kind == PB_STYLE_STATIC) {
        b->room_pages = chosen.bound_pages;
    } else if (info->stable_base && !shared && reserve != 0) {
        b->room_pages = reserve;
    } else if (!info->stable_base && chosen.guard_bytes > (UINT64_C(64) << 20)) {
        b->room_pages = 0; /* a second reservation may not fit */
    }
    if (is_pool && b->room_pages > 8) {
        b->room_pages = 8;
    }
    memcpy(b->bytes, pattern(), image_bytes);
    m[slot].handle = handle;
    m[slot].body = b;
    check(is_pool ? "R15-reuse" : "R2-fresh", &m[slot]);
}

/*= memory_create: memory_create_more =*/
static void memory_create(unsigned slot, const char *strategy, const char *twin, uint32_t min,
                          uint32_t max, int shared, const char *style, uint32_t bound,
                          uint64_t guard, const char *record) {
    memory_create_more(slot, strategy, twin, min, max, shared, style, bound, guard, record, 0,
                       "none", 0, 0);
}

/*= memory_grow: memory =*/
static void memory_grow(unsigned slot, uint32_t delta) {
    struct body *b = m[slot].body;
    uint32_t old = 12345;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_grow";
    now_rule = "R6-crash";
    uint64_t pages = (uint64_t)b->pages + delta;
    uint32_t limit = b->max_pages < 65536 ? b->max_pages : 65536;
    unsigned seen = faults_seen;
    enum pb_status status = pb_memory_grow(m[slot].handle, delta, &old);
    printf("%u + %u pages, the limit is %u; ", b->pages, delta, limit);
    if (pages > limit) {
        expect("R5-grow-limit", status, BIT(PB_LIMIT));
    } else if (delta == 0) {
        expect("R7-grow-zero", status, BIT(PB_OK));
    } else {
        expect("R5-grow-limit", status, BIT(PB_OK) | WANT);
        if (faults_seen == seen && pages <= b->room_pages && pages <= 64) {
            expect("R5-grow-refused", status, BIT(PB_OK));
        }
    }
    if (status != PB_OK) {
        check("R6-grow-atomic", &m[slot]);
        return;
    }
    if (old != b->pages) {
        fail("R5-grow-result", "the old size is %u, and must be %u", old, b->pages);
    }
    b->pages = (uint32_t)pages;
    check("R8-grow-bytes", &m[slot]);
}

/*= memory_copy: memory =*/
static void memory_copy(unsigned slot, unsigned to) {
    struct body *b = m[slot].body;
    struct pb_memory *handle = NULL;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_copy";
    now_rule = "R13-crash";
    unsigned seen = faults_seen;
    enum pb_status status = pb_memory_copy(m[slot].handle, &handle);
    expect("R13-copy-refused", status, BIT(PB_OK) | (faults_seen != seen || b->is_pool ? WANT : 0));
    check("R13-copy-source", &m[slot]);
    if (status != PB_OK) {
        return;
    }
    struct body *copy = body_new();
    unsigned char *bytes = copy->bytes;
    *copy = *b;
    copy->bytes = bytes;
    copy->handles = 1;
    copy->disabled = 0;
    memcpy(copy->bytes, b->bytes, size_of(b) < (64 << 16) ? size_of(b) : 64 << 16);
    for (unsigned i = 0; i < b->writes; i++) {
        copy->bytes[b->written[i]] = b->bytes[b->written[i]];
    }
    memory_destroy(to);
    m[to].handle = handle;
    m[to].body = copy;
    check("R13-copy", &m[to]);
}

/*= memory_clone: memory =*/
static void memory_clone(unsigned slot, unsigned to) {
    struct pb_memory *handle = NULL;
    struct body *b = m[slot].body;
    if (b == NULL || slot == to) {
        return;
    }
    now_in = "pb_memory_clone";
    now_rule = "R14-crash";
    unsigned seen = faults_seen;
    enum pb_status status = pb_memory_clone(m[slot].handle, &handle);
    expect(b->shared ? "R14-clone" : "R14-clone-unshared", status,
           b->shared ? BIT(PB_OK) | (faults_seen != seen ? WANT : 0) : BIT(PB_NOT_SHARED));
    if (status == PB_OK) {
        memory_destroy(to);
        m[to].handle = handle;
        m[to].body = b;
        b->handles++;
        check("R14-clone", &m[to]);
    }
}

/*= memory_to_shared: memory =*/
static void memory_to_shared(unsigned slot) {
    struct body *b = m[slot].body;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_to_shared";
    now_rule = "R12-crash";
    enum pb_status status = pb_memory_to_shared(m[slot].handle);
    unsigned refusal = WANT | BIT(PB_UNSUPPORTED);
    expect("R12-to-shared", status,
           b->shared                       ? BIT(PB_OK)
           : b->max_pages == PB_NO_MAXIMUM ? BIT(PB_INVALID) | BIT(PB_UNSUPPORTED)
                                           : BIT(PB_OK) | refusal);
    b->shared = b->shared || status == PB_OK;
    check("R12-to-shared", &m[slot]);
}

/*= memory_reset: memory =*/
static void memory_reset(unsigned slot) {
    struct body *b = m[slot].body;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_reset";
    now_rule = "R15-crash";
    unsigned seen = faults_seen;
    enum pb_status status = pb_memory_reset(m[slot].handle);
    expect("R15-reset", status,
           b->shared ? BIT(PB_UNSUPPORTED) : BIT(PB_OK) | (faults_seen != seen ? WANT : 0));
    if (status != PB_OK && !b->shared) {
        memory_destroy(slot); /* all that may still be done with it */
    } else if (status == PB_OK) {
        madvise(b->bytes, UINT64_C(4) << 30, MADV_DONTNEED);
        memcpy(b->bytes, pattern(), b->image_bytes);
        b->pages = b->first_pages;
        check("R15-reuse", &m[slot]);
    }
}

/*= word: memory =*/
static uint64_t load_le(const unsigned char *at, unsigned width) {
    uint64_t value = 0;
    memcpy(&value, at, width);
    return value;
}

static int sound(unsigned width) {
    return width == 1 || width == 2 || width == 4 || width == 8;
}

/* The index of an address, as the instructions have it: what 32 bits cannot hold is added to the
 * offset. */
static uint32_t index_of(uint64_t at, uint32_t *offset) {
    uint32_t index = at > UINT32_MAX && at <= UINT64_C(2) * UINT32_MAX ? UINT32_MAX : (uint32_t)at;
    uint64_t sum = *offset + (index == UINT32_MAX ? at - UINT32_MAX : 0);
    *offset = sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
    return index;
}

/* What an access of that width must answer (R18). */
static unsigned access_set(const struct body *b, uint64_t at, unsigned width, int atomic) {
    unsigned errors = !sound(width) ? BIT(PB_INVALID) : 0;
    errors |= atomic && sound(width) && at % width != 0 ? BIT(PB_MISALIGNED) : 0;
    errors |= !within(b, at, width) ? BIT(PB_OUT_OF_BOUNDS) : 0;
    return errors != 0 ? errors : BIT(PB_OK);
}

static void store_le(struct body *b, uint64_t at, unsigned width, uint64_t value) {
    memcpy(b->bytes + at, &value, width);
    wrote(b, at, width);
}

/* What the call answered, beside what it must: an access that loads, one that stores. */
static void loaded(enum pb_status status, const struct body *b, uint64_t at, unsigned width,
                   int atomic, uint64_t value) {
    expect("R18-access", status, access_set(b, at, width, atomic));
    if (status == PB_OK && value != load_le(b->bytes + at, width)) {
        fail("R18-load", "%llu, which must be %llu", (unsigned long long)value,
             (unsigned long long)load_le(b->bytes + at, width));
    }
}

static void stored(enum pb_status status, struct memory *memory, uint64_t at, unsigned width,
                   int atomic, uint64_t value) {
    expect("R18-access", status, access_set(memory->body, at, width, atomic));
    if (status == PB_OK) {
        store_le(memory->body, at, width, value);
    }
    check("R18-store", memory);
}

/*= memory_load: word =*/
static void memory_load(unsigned slot, uint64_t at, uint32_t offset, unsigned width) {
    struct body *b = m[slot].body;
    uint32_t index = index_of(at, &offset);
    uint64_t value = 0, address = (uint64_t)index + offset;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_load";
    now_rule = "R18-crash";
    enum pb_status status = pb_memory_load(m[slot].handle, index, offset, width, &value);
    loaded(status, b, address, width, 0, value);
}

/*= memory_store: word =*/
static void memory_store(unsigned slot, uint64_t at, uint32_t offset, unsigned width,
                         uint64_t value) {
    struct body *b = m[slot].body;
    uint32_t index = index_of(at, &offset);
    uint64_t address = (uint64_t)index + offset;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_store";
    now_rule = "R18-crash";
    enum pb_status status = pb_memory_store(m[slot].handle, index, offset, width, value);
    stored(status, &m[slot], address, width, 0, value);
}

/*= memory_atomic_load: word =*/
static void memory_atomic_load(unsigned slot, uint64_t at, uint32_t offset, unsigned width) {
    struct body *b = m[slot].body;
    uint32_t index = index_of(at, &offset);
    uint64_t value = 0, address = (uint64_t)index + offset;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_atomic_load";
    now_rule = "R18-crash";
    enum pb_status status = pb_memory_atomic_load(m[slot].handle, index, offset, width, &value);
    loaded(status, b, address, width, 1, value);
}

/*= memory_atomic_store: word =*/
static void memory_atomic_store(unsigned slot, uint64_t at, uint32_t offset, unsigned width,
                                uint64_t value) {
    struct body *b = m[slot].body;
    uint32_t index = index_of(at, &offset);
    uint64_t address = (uint64_t)index + offset;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_atomic_store";
    now_rule = "R18-crash";
    enum pb_status status = pb_memory_atomic_store(m[slot].handle, index, offset, width, value);
    stored(status, &m[slot], address, width, 1, value);
}

/*= memory_atomic_rmw: word =*/
static uint64_t rmw(unsigned kind, uint64_t old, uint64_t value) {
    switch (kind) {
    case 0:
        return old + value;
    case 1:
        return old - value;
    case 2:
        return old & value;
    case 3:
        return old | value;
    case 4:
        return old ^ value;
    default:
        return value;
    }
}

static void memory_atomic_rmw(unsigned slot, const char *kind, uint64_t at, uint32_t offset,
                              unsigned width, uint64_t value) {
    static const char *const kinds[] = {"add", "sub", "and", "or", "xor", "xchg"};
    struct body *b = m[slot].body;
    uint32_t index = index_of(at, &offset);
    uint64_t old = 0, address = (uint64_t)index + offset;
    unsigned number = 0;
    while (number < 5 && strcmp(kinds[number], kind) != 0) {
        number++;
    }
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_atomic_rmw";
    now_rule = "R18-crash";
    enum pb_status status = pb_memory_atomic_rmw(m[slot].handle, (enum pb_rmw)number, index, offset,
                                                 width, value, &old);
    expect("R18-access", status, access_set(b, address, width, 1));
    if (status == PB_OK) {
        uint64_t must = load_le(b->bytes + address, width);
        if (old != must) {
            fail("R18-rmw", "the old value is %llu, and must be %llu", (unsigned long long)old,
                 (unsigned long long)must);
        }
        store_le(b, address, width, rmw(number, must, value));
    }
    check("R18-rmw", &m[slot]);
}

/*= memory_atomic_cmpxchg: word =*/
static void memory_atomic_cmpxchg(unsigned slot, uint64_t at, uint32_t offset, unsigned width,
                                  uint64_t expected, uint64_t value) {
    struct body *b = m[slot].body;
    uint32_t index = index_of(at, &offset);
    uint64_t old = 0, address = (uint64_t)index + offset;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_atomic_cmpxchg";
    now_rule = "R18-crash";
    enum pb_status status =
        pb_memory_atomic_cmpxchg(m[slot].handle, index, offset, width, expected, value, &old);
    expect("R18-access", status, access_set(b, address, width, 1));
    if (status == PB_OK) {
        uint64_t must = load_le(b->bytes + address, width);
        if (old != must) {
            fail("R18-cmpxchg", "the old value is %llu, and must be %llu", (unsigned long long)old,
                 (unsigned long long)must);
        }
        uint64_t wrapped = width < 8 ? expected & ((UINT64_C(1) << (8 * width)) - 1) : expected;
        if (must == wrapped) {
            store_le(b, address, width, value);
        }
    }
    check("R18-cmpxchg", &m[slot]);
}

/*= guest_store: word =*/
/* As generated code does: through the record. */
static void guest_store(unsigned slot, uint64_t at, unsigned width, uint64_t value) {
    struct body *b = m[slot].body;
    if (b == NULL || !sound(width) || !within(b, at, width)) {
        return;
    }
    now_in = "a store through the record";
    now_rule = "R11-crash";
    memcpy(base_of(m[slot].handle) + at, &value, width);
    store_le(b, at, width, value);
    check("R11-guest", &m[slot]);
}

/*= guest_load: word =*/
static void guest_load(unsigned slot, uint64_t at, unsigned width) {
    struct body *b = m[slot].body;
    if (b == NULL || !sound(width) || !within(b, at, width)) {
        return;
    }
    now_in = "a load through the record";
    now_rule = "R11-crash";
    check_bytes("R11-guest", &m[slot], at, width);
}

/*= memory_bulk_copy: memory =*/
static void memory_bulk_copy(unsigned slot, uint64_t to, uint64_t from, uint32_t count) {
    struct body *b = m[slot].body;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_bulk_copy";
    now_rule = "R16-crash";
    int fits = within(b, (uint32_t)to, count) && within(b, (uint32_t)from, count);
    enum pb_status status =
        pb_memory_bulk_copy(m[slot].handle, (uint32_t)to, (uint32_t)from, count);
    expect("R16-bulk-check", status, BIT(fits ? PB_OK : PB_OUT_OF_BOUNDS));
    if (fits) {
        memmove(b->bytes + (uint32_t)to, b->bytes + (uint32_t)from, count);
        wrote(b, (uint32_t)to, count);
    }
    check(fits ? "R16-bulk-copy" : "R16-bulk-atomic", &m[slot]);
}

/*= memory_bulk_fill: memory =*/
static void memory_bulk_fill(unsigned slot, uint64_t at, uint32_t value, uint32_t count) {
    struct body *b = m[slot].body;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_bulk_fill";
    now_rule = "R16-crash";
    int fits = within(b, (uint32_t)at, count);
    enum pb_status status =
        pb_memory_bulk_fill(m[slot].handle, (uint32_t)at, (uint8_t)value, count);
    expect("R16-bulk-check", status, BIT(fits ? PB_OK : PB_OUT_OF_BOUNDS));
    if (fits) {
        memset(b->bytes + (uint32_t)at, (int)(value & 255), count);
        wrote(b, (uint32_t)at, count);
    }
    check(fits ? "R16-bulk-fill" : "R16-bulk-atomic", &m[slot]);
}

/*= segments: memory =*/
static struct pb_segment segments[2];
static int segments_known;

static struct pb_segment *segment_at(unsigned number) {
    for (unsigned i = 0; i < 2 && !segments_known; i++) {
        segments[i] = (struct pb_segment){pattern() + 1000 * i, 64};
    }
    segments_known = 1;
    return &segments[number];
}

/*= segment_set: segments =*/
static void segment_set(unsigned number, uint32_t length) {
    if (length <= 80 * 1024) {
        *segment_at(number) = (struct pb_segment){pattern() + 1000 * number, length};
    }
}

/*= segment_drop: segments =*/
static void segment_drop(unsigned number) {
    now_in = "pb_segment_drop";
    now_rule = "R16-crash";
    pb_segment_drop(segment_at(number));
    if (segment_at(number)->length_bytes != 0) {
        fail("R16-segment-drop", "a dropped segment has %llu bytes",
             (unsigned long long)segment_at(number)->length_bytes);
    }
}

/*= memory_bulk_init: segments =*/
static void memory_bulk_init(unsigned slot, unsigned number, uint64_t at, uint32_t from,
                             uint32_t count) {
    struct body *b = m[slot].body;
    struct pb_segment *segment = segment_at(number);
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_bulk_init";
    now_rule = "R16-crash";
    int fits = within(b, (uint32_t)at, count) && from <= segment->length_bytes &&
               count <= segment->length_bytes - from;
    enum pb_status status = pb_memory_bulk_init(m[slot].handle, segment, (uint32_t)at, from, count);
    expect("R16-bulk-check", status, BIT(fits ? PB_OK : PB_OUT_OF_BOUNDS));
    if (fits && count > 0) {
        memcpy(b->bytes + (uint32_t)at, (const unsigned char *)segment->data + from, count);
        wrote(b, (uint32_t)at, count);
    }
    check(fits ? "R16-bulk-init" : "R16-bulk-atomic", &m[slot]);
}

/*= memory_initialise: memory =*/
static void memory_initialise(unsigned slot, uint64_t at, uint64_t count) {
    struct body *b = m[slot].body;
    if (b == NULL || (within(b, at, count) && count > 160 * 1024)) {
        return;
    }
    now_in = "pb_memory_initialise";
    now_rule = "R17-crash";
    int fits = within(b, at, count);
    enum pb_status status = pb_memory_initialise(m[slot].handle, at, pattern(), count);
    expect("R17-init-check", status, BIT(fits ? PB_OK : PB_OUT_OF_BOUNDS));
    if (fits) {
        memcpy(b->bytes + at, pattern(), count);
        wrote(b, at, count);
    }
    check(fits ? "R17-init-bytes" : "R17-init-atomic", &m[slot]);
}

/*= memory_segments: memory =*/
static void memory_segments(unsigned slot, uint64_t at1, uint32_t count1, uint64_t at2,
                            uint32_t count2, uint64_t at3, uint32_t count3) {
    struct body *b = m[slot].body;
    struct pb_active_segment active[3] = {{at1, {pattern(), count1}},
                                          {at2, {pattern() + 100, count2}},
                                          {at3, {pattern() + 200, count3}}};
    size_t fit = 0, applied = 4;
    if (b == NULL) {
        return;
    }
    while (fit < 3 && within(b, active[fit].start, active[fit].segment.length_bytes)) {
        fit++;
    }
    for (size_t i = 0; i < fit; i++) {
        if (active[i].segment.length_bytes > 128 * 1024) {
            return;
        }
    }
    now_in = "pb_memory_initialise_segments";
    now_rule = "R17-crash";
    enum pb_status status = pb_memory_initialise_segments(m[slot].handle, active, 3, &applied);
    expect("R17-segments", status, BIT(fit == 3 ? PB_OK : PB_OUT_OF_BOUNDS));
    if (applied != fit) {
        fail("R17-segments", "%zu segments were applied, and %zu fit", applied, fit);
    }
    for (size_t i = 0; i < fit; i++) {
        memcpy(b->bytes + active[i].start, active[i].segment.data, active[i].segment.length_bytes);
        wrote(b, active[i].start, active[i].segment.length_bytes);
    }
    check("R17-segments", &m[slot]);
}

/*= memory_read: memory =*/
static void memory_read(unsigned slot, uint64_t at, uint64_t count) {
    static unsigned char real[8192];
    struct body *b = m[slot].body;
    if (b == NULL || (within(b, at, count) && count > sizeof real)) {
        return;
    }
    now_in = "pb_memory_read";
    now_rule = "R17-crash";
    int fits = within(b, at, count);
    enum pb_status status = pb_memory_read(m[slot].handle, at, real, count);
    expect("R17-read-check", status, BIT(fits ? PB_OK : PB_OUT_OF_BOUNDS));
    if (fits && memcmp(real, b->bytes + at, count) != 0) {
        fail("R17-read", "the bytes read are not those of the memory");
    }
}

/*= wait: word =*/
/* What would block for want of somebody who wakes it is left out. */
static void wait_at(unsigned slot, uint64_t at, unsigned width, uint64_t expected,
                    int64_t timeout_ns) {
    struct body *b = m[slot].body;
    enum pb_wait result = (enum pb_wait)99;
    const char *rule = "R19-checks";
    if (b == NULL) {
        return;
    }
    unsigned errors = (at % width != 0 ? BIT(PB_MISALIGNED) : 0) |
                      (within(b, at, width) ? 0 : BIT(PB_OUT_OF_BOUNDS));
    unsigned must = 2;
    if (errors == 0 && !b->shared) {
        errors = BIT(PB_NOT_SHARED);
    } else if (errors == 0 && b->disabled) {
        errors = BIT(PB_DISABLED);
        rule = "R29-disable";
    } else if (errors == 0) {
        must = load_le(b->bytes + at, width) == expected ? 2 : 1;
        rule = must == 1 ? "R20-value" : "R23-timeout";
        if (must == 2 && timeout_ns != 0) {
            return;
        }
    }
    now_in = width == 4 ? "pb_memory_wait32" : "pb_memory_wait64";
    now_rule = "R19-crash";
    enum pb_status status =
        width == 4 ? pb_memory_wait32(m[slot].handle, at, (uint32_t)expected, timeout_ns, &result)
                   : pb_memory_wait64(m[slot].handle, at, expected, timeout_ns, &result);
    expect(rule, status, errors != 0 ? errors : BIT(PB_OK));
    if (errors == 0 && (unsigned)result != must) {
        fail(rule, "the wait returned %u, and must return %u", (unsigned)result, must);
    }
}

/*= memory_wait32: wait =*/
static void memory_wait32(unsigned slot, uint64_t at, uint32_t expected, int64_t timeout_ns) {
    wait_at(slot, at, 4, expected, timeout_ns);
}

/*= memory_wait64: wait =*/
static void memory_wait64(unsigned slot, uint64_t at, uint64_t expected, int64_t timeout_ns) {
    wait_at(slot, at, 8, expected, timeout_ns);
}

/*= memory_notify: memory =*/
static void memory_notify(unsigned slot, uint64_t at, uint32_t count) {
    struct body *b = m[slot].body;
    uint32_t woken = 99;
    if (b == NULL) {
        return;
    }
    now_in = "pb_memory_notify";
    now_rule = "R19-crash";
    unsigned errors =
        (at % 4 != 0 ? BIT(PB_MISALIGNED) : 0) | (within(b, at, 4) ? 0 : BIT(PB_OUT_OF_BOUNDS));
    enum pb_status status = pb_memory_notify(m[slot].handle, at, count, &woken);
    expect("R19-checks", status, errors != 0 ? errors : BIT(PB_OK));
    if (errors == 0 && woken != 0) {
        fail("R22-no-spurious", "%u were woken, and nobody waits", woken);
    }
}

/*= memory_disable_atomics: memory =*/
static void memory_disable_atomics(unsigned slot) {
    if (m[slot].body != NULL) {
        now_in = "pb_memory_disable_atomics";
        now_rule = "R29-crash";
        pb_memory_disable_atomics(m[slot].handle);
        m[slot].body->disabled |= m[slot].body->shared;
    }
}

/*= memory_owner_of: memory =*/
static void memory_owner_of(unsigned slot, uint64_t at) {
    struct body *b = m[slot].body;
    struct pb_address_owner owner;
    if (b == NULL || base_of(m[slot].handle) == NULL || at >= size_of(b) + b->guard_bytes) {
        return;
    }
    now_in = "pb_memory_owner_of";
    now_rule = "R4-crash";
    if (!pb_memory_owner_of(base_of(m[slot].handle) + at, &owner) || owner.offset_bytes != at ||
        owner.length_bytes != size_of(b) ||
        owner.definition != pb_memory_definition(m[slot].handle)) {
        fail("R4-owner", "the owner of byte %llu is wrong", (unsigned long long)at);
    }
}

/*= memory_probe: memory =*/
static void memory_probe(unsigned slot, uint64_t at) {
    struct body *b = m[slot].body;
    if (b == NULL || base_of(m[slot].handle) == NULL) {
        return;
    }
    now_in = "a look at the memory's pages";
    if (at < size_of(b) && !readable(base_of(m[slot].handle) + at)) {
        fail("R8-inaccessible", "byte %llu faults", (unsigned long long)at);
    }
    if (at >= size_of(b) && at < size_of(b) + b->guard_bytes &&
        pb_strategy_info(b->strategy)->traps && readable(base_of(m[slot].handle) + at)) {
        fail("R4-guard", "byte %llu can be read", (unsigned long long)at);
    }
}

/*= mailbox: allocator =*/
/* Guest memory, the mailbox in it, and the ids that it owes: ring first, then spilled. */
static struct {
    struct pb_memory *memory;
    struct pb_mailbox *handle;
    int used, held, wild, closed, signalled, spill, ground_shared;
    uint32_t offset, capacity, spill_max, pages, first_pages, room;
    uint64_t id[4096];
    uint32_t first, queued, in_ring;
    uint32_t ids[8]; /* that each thread has enqueued */
    struct pb_waker *waker[4];
    uint64_t waker_id[4];
    uint32_t closed_words[4 + 32768];
} box;

static struct pb_mailbox_words *words(void) {
    unsigned char *base = atomic_load(&pb_memory_definition(box.memory)->base);
    return (struct pb_mailbox_words *)(void *)(base + box.offset);
}

static unsigned char *guest_base(void) {
    return atomic_load(&pb_memory_definition(box.memory)->base);
}

static int is_open(void) {
    return box.used && box.handle != NULL && !box.held;
}

/* Room in the ring belongs to the spilled ids first (R32). */
static uint32_t box_flush(void) {
    while (box.in_ring < box.queued && box.in_ring < box.capacity) {
        box.in_ring++;
        box.signalled = 1;
    }
    return box.queued - box.in_ring;
}

static enum pb_status box_enqueue(uint64_t id) {
    if (box.closed) {
        return PB_CLOSED;
    }
    uint32_t spilled = box_flush();
    int to_ring = spilled == 0 && box.in_ring < box.capacity;
    if (!to_ring && (!box.spill || spilled >= box.spill_max)) {
        return PB_FULL;
    }
    box.id[(box.first + box.queued++) % 4096] = id;
    box.in_ring += (uint32_t)to_ring;
    box.signalled = 1;
    return PB_OK;
}

/* After each operation: the cursors, the closed region, what lies around it. */
static void box_check(void) {
    if (!box.used || box.handle == NULL) {
        return;
    }
    uint32_t bytes = PB_MAILBOX_BYTES(box.capacity);
    const unsigned char *base = guest_base();
    for (uint64_t i = 0; i < (uint64_t)box.first_pages * 65536; i++) {
        if (base[i] != 0 && (i < box.offset || i >= (uint64_t)box.offset + bytes)) {
            fail("R38-outside", "byte %llu outside of the region was written",
                 (unsigned long long)i);
        }
    }
    if (box.closed && memcmp(box.closed_words, words(), bytes) != 0) {
        fail("R36-write-after-close", "the region changed after close");
    }
    if (!box.wild) {
        uint32_t count = words()->tail - words()->head;
        if (count > box.capacity) {
            fail("R33-capacity", "%u ids in %u slots", count, box.capacity);
        }
        if (count != box.in_ring) {
            fail("R33-count", "%u ids in the ring, and there must be %u", count, box.in_ring);
        }
    }
    if (pb_mailbox_is_closed(box.handle) != (box.closed != 0)) {
        fail("R36-closed", "closed is not what it must be");
    }
}

static void closed_keep(void) {
    if (box.closed && box.used && box.handle != NULL) {
        memcpy(box.closed_words, words(), PB_MAILBOX_BYTES(box.capacity));
    }
}

static void expect_enqueue(uint64_t id, enum pb_status got, unsigned seen) {
    if (box.wild) {
        expect("R38-status", got, BIT(PB_OK) | BIT(PB_FULL) | BIT(PB_CLOSED));
    } else if (box.closed || got == PB_OK || faults_seen == seen) {
        enum pb_status must = box_enqueue(id);
        expect(must == PB_CLOSED ? "R36-enqueue-closed" : "R33-full", got, BIT(must));
    }
}

static void box_end(void) {
    if (!box.used) {
        return;
    }
    now_in = "the mailbox's end";
    now_rule = "R36-crash";
    if (box.held && box.handle != NULL) {
        (void)pb_mailbox_unhold(box.handle);
    }
    for (unsigned i = 0; i < 4; i++) {
        pb_waker_drop(box.waker[i]);
        box.waker[i] = NULL;
    }
    pb_mailbox_release(box.handle);
    pb_memory_destroy(box.memory);
    box.used = 0;
}

/*= mailbox_attach: mailbox =*/
static void mailbox_attach(const char *ground, uint32_t pages, const char *region,
                           uint32_t capacity, uint32_t cursor, const char *full, uint32_t spill) {
    box_end();
    memset(&box, 0, sizeof box);
    now_in = "pb_mailbox_attach";
    now_rule = "R38-crash";
    if (pages > 2 || spill > 512) {
        return;
    }
    int heap = strcmp(ground, "heap") == 0, shared = strcmp(ground, "shared") == 0;
    uint32_t slots = capacity == 0 ? PB_MAILBOX_CAPACITY : capacity;
    uint64_t bytes = 16 + 4 * (uint64_t)slots, size = (uint64_t)pages * 65536;
    uint64_t back = size > bytes ? size - bytes : 0;
    uint64_t at = strcmp(region, "front") == 0  ? 128
                  : strcmp(region, "back") == 0 ? back
                  : strcmp(region, "odd") == 0  ? 130
                  : strcmp(region, "past") == 0 ? back + 4
                                                : 0;
    struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = 4096};
    struct pb_memory_config ground_config = {
        .type = {pages, heap ? pages : pages + 4, shared},
        .style = &style,
        .strategy = shared ? PB_STRATEGY_RESERVE_RW
                    : heap ? PB_STRATEGY_HEAP
                           : PB_STRATEGY_REMAP, /* also for a memory of the user's own */
    };
    enum pb_status status = pb_memory_create(&ground_config, &box.memory);
    if (status != PB_OK) {
        return;
    }
    struct pb_mailbox_config config = {.memory = box.memory,
                                       .offset = (uint32_t)at,
                                       .capacity = capacity,
                                       .first_cursor = cursor,
                                       .full = strcmp(full, "spill") == 0 ? PB_MAILBOX_SPILL
                                                                          : PB_MAILBOX_REJECT,
                                       .spill_max = spill,
                                       .allocator = &allocator};
    int power = slots != 0 && (slots & (slots - 1)) == 0 && slots <= 32768;
    unsigned errors = (power ? 0 : BIT(PB_INVALID)) | (at % 4 == 0 ? 0 : BIT(PB_MISALIGNED)) |
                      (at + bytes <= size ? 0 : BIT(PB_OUT_OF_BOUNDS));
    unsigned seen = faults_seen;
    status = pb_mailbox_attach(&config, &box.handle);
    box.used = 1;
    if (status != PB_OK) {
        box.handle = NULL;
    }
    expect("R38-attach", status,
           (errors != 0 ? errors : BIT(PB_OK)) | (faults_seen != seen ? WANT : 0));
    if (status != PB_OK) {
        box_end();
        return;
    }
    box.offset = (uint32_t)at;
    box.capacity = slots;
    box.spill = config.full == PB_MAILBOX_SPILL;
    box.spill_max = spill;
    box.pages = box.first_pages = pages;
    box.room = heap ? 0 : 4;
    box.ground_shared = shared;
    box_check();
}

/*= mailbox_release: mailbox =*/
static void mailbox_release(void) {
    if (is_open()) {
        now_in = "pb_mailbox_release";
        now_rule = "R36-crash";
        pb_mailbox_release(box.handle);
        box.handle = NULL;
    }
}

/*= mailbox_enqueue: mailbox =*/
static void enqueue_next(unsigned thread) {
    uint64_t id = ((uint64_t)thread + 1) << 24 | ++box.ids[thread];
    unsigned seen = faults_seen;
    now_in = "pb_mailbox_enqueue";
    now_rule = "R30-crash";
    expect_enqueue(id, pb_mailbox_enqueue(box.handle, id), seen);
}

static void mailbox_enqueue(unsigned thread, uint32_t count) {
    for (uint32_t i = 0; i < count && i < 4096 && is_open(); i++) {
        enqueue_next(thread);
    }
    box_check();
}

/*= mailbox_enqueue_id: mailbox =*/
static void mailbox_enqueue_id(uint64_t id) {
    if (!is_open()) {
        return;
    }
    now_in = "pb_mailbox_enqueue";
    now_rule = "R30-crash";
    unsigned seen = faults_seen;
    enum pb_status status = pb_mailbox_enqueue(box.handle, id);
    if (id == 0 || id > UINT32_MAX) {
        expect("R30-id", status, BIT(PB_INVALID) | (box.closed ? BIT(PB_CLOSED) : 0));
    } else {
        expect_enqueue(id, status, seen);
    }
    box_check();
}

/*= mailbox_flush: mailbox =*/
static void mailbox_flush(void) {
    uint32_t left = UINT32_MAX;
    if (!is_open()) {
        return;
    }
    now_in = "pb_mailbox_flush";
    now_rule = "R33-crash";
    enum pb_status status = pb_mailbox_flush(box.handle, &left);
    if (box.wild) {
        expect("R38-status", status, BIT(PB_OK) | BIT(PB_CLOSED));
        return;
    }
    expect("R36-flush-closed", status, BIT(box.closed ? PB_CLOSED : PB_OK));
    if (status == PB_OK && left != box_flush()) {
        fail("R33-flush", "%u ids are left, and there must be %u", left, box_flush());
    }
    box_check();
}

/*= mailbox_is_signalled: mailbox =*/
static void mailbox_is_signalled(void) {
    now_in = "pb_mailbox_is_signalled";
    now_rule = "R34-crash";
    if (is_open() && !box.wild &&
        pb_mailbox_is_signalled(box.handle) != (box.signalled && !box.closed)) {
        fail("R34-signal", "the signal must be %d", box.signalled && !box.closed);
    }
}

/*= mailbox_wait_for_signal: mailbox =*/
static void mailbox_wait_for_signal(int64_t timeout_ns) {
    if (!is_open() || box.wild) {
        return;
    }
    now_in = "pb_mailbox_wait_for_signal";
    now_rule = "R34-crash";
    if (!box.closed) {
        box_flush();
    }
    enum pb_status must = box.closed ? PB_CLOSED : box.signalled ? PB_OK : PB_TIMED_OUT;
    expect("R34-wait-for-signal",
           pb_mailbox_wait_for_signal(box.handle, must == PB_TIMED_OUT ? 0 : timeout_ns),
           BIT(must));
    box_check();
}

/*= mailbox_hold: mailbox =*/
static void mailbox_hold(void) {
    if (is_open()) {
        now_in = "pb_mailbox_hold";
        pb_mailbox_hold(box.handle);
        box.held = 1;
    }
}

/*= box_grown: mailbox =*/
static void box_grown(uint32_t pages, enum pb_status got, unsigned seen) {
    uint64_t room = box.first_pages + box.room - box.pages;
    expect("R37-grow", got,
           (pages > room ? BIT(PB_LIMIT) | BIT(PB_NO_MEMORY) : BIT(PB_OK)) |
               (box.closed ? BIT(PB_CLOSED) : 0) | (faults_seen != seen ? WANT : 0));
    if (got == PB_OK && pages <= room) {
        box.pages += pages;
    }
}

/*= mailbox_move: box_grown =*/
static void mailbox_move(uint32_t pages) {
    uint32_t old;
    if (box.used && box.held) {
        now_in = "pb_memory_grow behind a held mailbox";
        now_rule = "R37-crash";
        unsigned seen = faults_seen;
        box_grown(pages, pb_memory_grow(box.memory, pages, &old), seen);
    }
}

/*= mailbox_unhold: mailbox =*/
static void mailbox_unhold(void) {
    if (box.used && box.held) {
        now_in = "pb_mailbox_unhold";
        now_rule = "R37-crash";
        box.held = 0;
        expect("R37-unhold", pb_mailbox_unhold(box.handle), BIT(PB_OK));
        box_check();
    }
}

/*= mailbox_grow: box_grown =*/
static void mailbox_grow(uint32_t pages) {
    uint32_t old = 99999, before = box.pages;
    if (!is_open()) {
        return;
    }
    now_in = "pb_mailbox_grow";
    now_rule = "R37-crash";
    unsigned seen = faults_seen;
    enum pb_status status = pb_mailbox_grow(box.handle, pages, &old);
    box_grown(pages, status, seen);
    if (status == PB_OK && old != before) {
        fail("R5-grow-result", "the old size is %u, and must be %u", old, before);
    }
    box_check();
}

/*= mailbox_close: mailbox =*/
static void mailbox_close(void) {
    uint32_t dropped = UINT32_MAX, must = box.queued - box.in_ring;
    if (!is_open()) {
        return;
    }
    now_in = "pb_mailbox_close";
    now_rule = "R36-crash";
    int again = box.closed;
    pb_mailbox_close(box.handle, &dropped);
    box.queued = box.in_ring;
    box.closed = 1;
    if (!box.wild && dropped != must) {
        fail("R36-dropped", "%u ids were dropped, and it must be %u", dropped, must);
    }
    if (!again) {
        closed_keep();
    }
    box_check();
}

/*= waker_create: mailbox =*/
static void waker_create(unsigned slot, uint64_t id) {
    if (!is_open() || box.waker[slot] != NULL) {
        return;
    }
    now_in = "pb_waker_create";
    now_rule = "R36-crash";
    unsigned seen = faults_seen;
    struct pb_waker *waker = NULL;
    enum pb_status status = pb_waker_create(box.handle, id, &waker);
    if (status == PB_OK) {
        box.waker[slot] = waker;
        box.waker_id[slot] = id;
    }
    expect("R30-id", status,
           BIT(id == 0 || id > UINT32_MAX ? PB_INVALID : PB_OK) | (faults_seen != seen ? WANT : 0));
}

/*= waker_clone: mailbox =*/
static void waker_clone(unsigned slot, unsigned to) {
    if (box.used && !box.held && box.waker[slot] != NULL && box.waker[to] == NULL) {
        now_in = "pb_waker_clone";
        now_rule = "R36-crash";
        box.waker[to] = pb_waker_clone(box.waker[slot]);
        box.waker_id[to] = box.waker_id[slot];
    }
}

/*= waker_wake: mailbox =*/
static void waker_wake(unsigned slot) {
    if (box.used && !box.held && box.waker[slot] != NULL) {
        now_in = "pb_waker_wake";
        now_rule = "R30-crash";
        unsigned seen = faults_seen;
        expect_enqueue(box.waker_id[slot], pb_waker_wake(box.waker[slot]), seen);
        box_check();
    }
}

/*= waker_drop: mailbox =*/
static void waker_drop(unsigned slot) {
    if (box.used && !box.held && box.waker[slot] != NULL) {
        now_in = "pb_waker_drop";
        now_rule = "R36-crash";
        pb_waker_drop(box.waker[slot]);
        box.waker[slot] = NULL;
        box_check();
    }
}

/*= guest_drain: mailbox =*/
static void take(void *context, uint32_t id) {
    (void)context;
    uint64_t must = box.in_ring > 0 ? box.id[box.first % 4096] : 0;
    printf("  id %u\n", id);
    if (id != must) {
        fail(id == 0 ? "R31-publish" : "R30-exactly-once", "id %u, where %llu must come", id,
             (unsigned long long)must);
    }
    box.first++;
    box.queued--;
    box.in_ring--;
}

static void guest_drain(void) {
    if (!box.used || box.handle == NULL || box.wild) {
        return;
    }
    now_in = "pb_guest_drain";
    now_rule = "R30-crash";
    uint32_t must = box.in_ring;
    box.signalled = 0;
    uint32_t taken = pb_guest_drain(words(), take, NULL);
    if (taken != must) {
        fail(taken < must ? "R30-lost" : "R30-invented", "%u ids, and there must be %u", taken,
             must);
    }
    closed_keep();
    box_check();
}

/*= guest_park: mailbox_enqueue mailbox_close mailbox_grow mailbox_flush =*/
static const char *park_meanwhile;
static unsigned park_thread, park_looks;

static int has_news(void) {
    return box.in_ring > 0 || box.closed || (box.queued > box.in_ring && box.in_ring == 0);
}

static void no_sleep(_Atomic uint32_t *flag, uint32_t expected) {
    if (*flag == expected && has_news()) {
        now_in = "pb_guest_park";
        fail(box.closed && box.in_ring == 0 ? "R36-close-unseen" : "R34-no-lost-wakeup",
             "the guest goes to sleep, and there is news");
    }
}

/* Stands for wait32 on the flag: the host acts, then the guest is woken or late. */
static int park_wait(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    (void)context;
    no_sleep(flag, expected);
    const char *meanwhile = park_meanwhile;
    park_meanwhile = "nothing";
    if (!box.held && strcmp(meanwhile, "enqueue") == 0) {
        enqueue_next(park_thread);
    } else if (!box.held && strcmp(meanwhile, "close") == 0) {
        mailbox_close();
    } else if (!box.held && strcmp(meanwhile, "grow") == 0 && box.ground_shared) {
        mailbox_grow(1);
    }
    if (strcmp(meanwhile, "nothing") != 0) {
        no_sleep(flag, expected);
    }
    now_in = "pb_guest_park";
    return *flag == expected || timeout_ns == 0 || ++park_looks > 16 ? 2 : 0;
}

static void park_flush(void *context) {
    (void)context;
    if (!box.held) {
        mailbox_flush();
    }
}

static void guest_park(unsigned thread, int64_t timeout_ns, const char *meanwhile) {
    if (!box.used || box.handle == NULL || box.wild) {
        return;
    }
    struct pb_guest_host host = {park_wait, park_flush, NULL};
    int quiet = strcmp(meanwhile, "nothing") == 0;
    park_meanwhile = meanwhile;
    park_thread = (thread + 1) % 8;
    park_looks = 0;
    now_in = "pb_guest_park";
    now_rule = "R34-crash";
    enum pb_park park = pb_guest_park(words(), &host, timeout_ns);
    now_in = "pb_guest_park";
    closed_keep();
    if (park == PB_PARK_CLOSED && (!box.closed || (box.in_ring > 0 && box.signalled))) {
        fail("R36-park", "the guest saw closed too early");
    }
    if (park == PB_PARK_TIMED_OUT && has_news() && park_looks == 0 && quiet) {
        fail("R34-park", "the guest gave up, and there is news");
    }
    box_check();
}

/*= guest_scribble: mailbox =*/
static void guest_scribble(const char *word, uint32_t slot, uint32_t value) {
    if (!box.used || box.handle == NULL) {
        return;
    }
    _Atomic uint32_t *at = strcmp(word, "capacity") == 0 ? &words()->capacity
                           : strcmp(word, "flag") == 0   ? &words()->flag
                           : strcmp(word, "head") == 0   ? &words()->head
                           : strcmp(word, "tail") == 0   ? &words()->tail
                                                         : &words()->ring[slot % box.capacity];
    *at = value;
    box.wild = 1;
    closed_keep();
}
