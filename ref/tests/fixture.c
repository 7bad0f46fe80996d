/* fixture.c: see fixture.h. */
#include "fixture.h"

#include "os.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HOST_PAGE_BYTES = 4096 };

void test_status(const char *file, int line, const char *what, enum pb_status actual,
                 enum pb_status expected) {
    if (actual != expected) {
        test_fail(file, line, "%s is %s, not %s", what, pb_status_name(actual),
                  pb_status_name(expected));
    }
}

/* ---- Every kind of memory ------------------------------------------------------------------- */

struct each each_kind(uint32_t min_pages, uint32_t max_pages, unsigned kinds) {
    return (struct each){.min_pages = min_pages,
                         .max_pages = max_pages,
                         .kinds = kinds,
                         .guard_bytes = PB_PAGE_BYTES};
}

/* PB_TEST_WITHOUT: a strategy that the tool around the tests does not understand. */
static bool each_wants(const struct each *each) {
    const char *without = getenv("PB_TEST_WITHOUT");
    if (without != NULL && strcmp(without, each->info->name) == 0) {
        return false;
    }
    unsigned kind =
        (each->shared ? EACH_SHARED : EACH_OWNED) | (each->is_static ? EACH_STATIC : EACH_DYNAMIC);
    return (each->kinds & kind) == kind && (!each->shared || each->info->shareable) &&
           (!(each->kinds & EACH_TRAPPING) || each->info->traps) &&
           pb_strategy_available(each->strategy, NULL) == PB_OK;
}

/* Slots for a test's memory and its copies. */
static struct pb_pool *each_pool(const struct each *each, uint32_t slot_pages) {
    struct pb_pool_config config = {
        .slots = 4, .slot_bytes = pb_pages_to_bytes(slot_pages), .guard_bytes = each->guard_bytes};
    struct pb_pool *pool;
    CHECK_STATUS(pb_pool_create(&config, &pool), PB_OK);
    return pool;
}

static void each_configure(struct each *each) {
    uint32_t bound = each->max_pages < PB_PAGES_MAX ? each->max_pages + 1 : PB_PAGES_MAX;
    each->style =
        (struct pb_memory_style){.kind = each->is_static ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
                                 .bound_pages = each->is_static ? bound : 0,
                                 .guard_bytes = each->guard_bytes};
    each->config = (struct pb_memory_config){
        .type = {each->min_pages, each->max_pages, each->shared},
        .style = &each->style,
        .strategy = each->strategy,
    };
    if (each->strategy == PB_STRATEGY_POOL) {
        each->pool = each_pool(each, bound);
        each->config.pool = each->pool;
    }
    test_note("strategy %s, %s, %s", each->info->name, each->shared ? "shared" : "owned",
              each->is_static ? "static" : "dynamic");
}

bool each_next(struct each *each) {
    pb_pool_release(each->pool);
    each->pool = NULL;
    for (;;) {
        unsigned number = each->next++;
        each->strategy = (enum pb_strategy)(number / 4);
        each->shared = number % 4 >= 2;
        each->is_static = number % 2 == 0;
        each->info = pb_strategy_info(each->strategy);
        if (each->info == NULL) {
            CHECK(each->seen > 0);
            test_note("%s", "");
            return false;
        }
        if (each_wants(each)) {
            each->seen++;
            each_configure(each);
            return true;
        }
    }
}

struct pb_memory *each_create(struct each *each) {
    struct pb_memory *memory = NULL;
    each->config.style = &each->style; /* the loop's variable may have been moved */
    CHECK_STATUS(pb_memory_create(&each->config, &memory), PB_OK);
    return memory;
}

static struct pb_memory *small_memory(uint32_t min_pages, uint32_t max_pages, bool shared) {
    struct pb_memory_style style = {PB_STYLE_STATIC, max_pages, PB_PAGE_BYTES};
    struct pb_memory_config config = {.type = {min_pages, max_pages, shared}, .style = &style};
    struct pb_memory *memory = NULL;
    CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
    return memory;
}

struct pb_memory *owned_memory(uint32_t min_pages, uint32_t max_pages) {
    return small_memory(min_pages, max_pages, false);
}

struct pb_memory *shared_memory(uint32_t min_pages, uint32_t max_pages) {
    return small_memory(min_pages, max_pages, true);
}

struct pb_memory *clone_of(struct pb_memory *memory) {
    struct pb_memory *clone = NULL;
    CHECK_STATUS(pb_memory_retain(memory, &clone), PB_OK);
    CHECK(clone != NULL);
    return clone;
}

uint8_t *base_of(struct pb_memory *memory) {
    return atomic_load(&pb_memory_definition(memory)->base);
}

/* ---- Real probes ---------------------------------------------------------------------------- */

static sigjmp_buf probe_return;

static void on_fault(int signal_number) {
    (void)signal_number;
    siglongjmp(probe_return, 1);
}

/* Touches a byte with our own fault handler in place. */
__attribute__((no_sanitize("address", "thread"))) static bool faults(volatile uint8_t *at,
                                                                     bool write) {
    struct sigaction action = {.sa_handler = on_fault}, old_segv, old_bus;
    sigaction(SIGSEGV, &action, &old_segv);
    sigaction(SIGBUS, &action, &old_bus);
    volatile bool faulted = true;
    if (sigsetjmp(probe_return, 1) == 0) {
        uint8_t value = *at;
        if (write) {
            *at = value;
        }
        faulted = false;
    }
    sigaction(SIGSEGV, &old_segv, NULL);
    sigaction(SIGBUS, &old_bus, NULL);
    return faulted;
}

uint64_t own_bytes(struct pb_memory *memory) {
    enum { RUNS = 64 };
    const uint64_t all_bytes = pb_memory_size_bytes(memory);
    struct pb_os_account account = {0};
    struct pb_os_run runs[RUNS];
    uint64_t own = 0, looked_bytes;
    size_t count;
    for (uint64_t done = 0; done < all_bytes; done += looked_bytes) {
        CHECK_STATUS(pb_os_account_ask(&account, base_of(memory) + done, all_bytes - done, runs,
                                       RUNS, &count, &looked_bytes),
                     PB_OK);
        for (size_t i = 0; i < count; i++) {
            own += runs[i].length_bytes;
        }
    }
    pb_os_account_close(&account);
    return own;
}

bool read_faults(const void *at) {
    return faults((volatile uint8_t *)(uintptr_t)at, false);
}

bool write_faults(void *at) {
    return faults(at, true);
}

/* The kernel's view of one byte, cheaper than a fault: EFAULT or not. */
static bool kernel_reads(const uint8_t *at) {
    uint8_t byte;
    struct iovec here = {&byte, 1}, there = {(void *)(uintptr_t)at, 1};
    ssize_t count = process_vm_readv(getpid(), &here, 1, &there, 1, 0);
    if (count < 0 && errno == ENOSYS) { /* an emulator */
        return !read_faults(at);
    }
    return count == 1;
}

uint64_t reservation_end(struct pb_memory *memory) {
    const uint8_t *base = base_of(memory);
    struct pb_address_owner owner;
    uint64_t low = 0, high = UINT64_C(1) << 36; /* owned below low, not at high */
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        bool owned = pb_memory_owner_of(base + middle, &owner) &&
                     owner.definition == pb_memory_definition(memory) &&
                     owner.offset_bytes == middle;
        if (owned) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The ends of the closed range and of its host pages, by faults; the pages between, by the kernel
 * (a stride of them where there are very many). */
static void check_closed(uint8_t *base, uint64_t from, uint64_t to) {
    const uint64_t edges[] = {0, 1, 7, HOST_PAGE_BYTES - 1, HOST_PAGE_BYTES, PB_PAGE_BYTES - 1};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        if (edges[i] < to - from) {
            CHECK(read_faults(base + from + edges[i]));
            CHECK(write_faults(base + from + edges[i]));
            CHECK(read_faults(base + to - 1 - edges[i]));
            CHECK(write_faults(base + to - 1 - edges[i]));
        }
    }
    uint64_t pages = (to - from) / HOST_PAGE_BYTES;
    uint64_t stride = pages / 1024 + 1;
    for (uint64_t page = 0; page < pages; page += stride) {
        CHECK(!kernel_reads(base + from + page * HOST_PAGE_BYTES));
    }
}

static void check_open(uint8_t *base, uint64_t length) {
    uint64_t pages = length / HOST_PAGE_BYTES, stride = pages / 256 + 1;
    for (uint64_t page = 0; page < pages; page += stride) {
        CHECK(kernel_reads(base + page * HOST_PAGE_BYTES));
    }
    if (length > 0) {
        CHECK(!write_faults(base));
        CHECK(!write_faults(base + length - 1));
    }
}

void check_guarded(struct pb_memory *memory) {
    struct pb_memory_style style = pb_memory_style(memory);
    uint64_t length = pb_memory_size_bytes(memory), end = reservation_end(memory);
    uint64_t bound = style.kind == PB_STYLE_STATIC ? pb_pages_to_bytes(style.bound_pages) : length;
    CHECK(base_of(memory) != NULL);
    CHECK(end >= bound + style.guard_bytes);
    check_open(base_of(memory), length);
    check_closed(base_of(memory), length, end);
}

/* ---- Bytes ---------------------------------------------------------------------------------- */

static uint8_t pattern(uint64_t at, uint32_t seed) {
    return (uint8_t)(((at * 2654435761u) >> 11) + at + (uint64_t)seed * 37 + 1);
}

void fill_pattern(struct pb_memory *memory, uint64_t start, uint64_t count, uint32_t seed) {
    uint8_t *base = base_of(memory);
    CHECK(start + count <= pb_memory_size_bytes(memory));
    for (uint64_t at = start; at < start + count; at++) {
        base[at] = pattern(at, seed);
    }
}

void check_pattern(struct pb_memory *memory, uint64_t start, uint64_t count, uint32_t seed) {
    const uint8_t *base = base_of(memory);
    CHECK(start + count <= pb_memory_size_bytes(memory));
    for (uint64_t at = start; at < start + count; at++) {
        if (base[at] != pattern(at, seed)) {
            test_fail(__FILE__, __LINE__, "byte %llu is %u, not %u", (unsigned long long)at,
                      base[at], pattern(at, seed));
        }
    }
}

void check_zero(struct pb_memory *memory, uint64_t start, uint64_t count) {
    const uint8_t *base = base_of(memory);
    CHECK(start + count <= pb_memory_size_bytes(memory));
    for (uint64_t at = start; at < start + count; at++) {
        if (base[at] != 0) {
            test_fail(__FILE__, __LINE__, "byte %llu is %u, not 0", (unsigned long long)at,
                      base[at]);
        }
    }
}

static uint64_t hash_of(const uint8_t *bytes, uint64_t count) {
    uint64_t hash = UINT64_C(14695981039346656037);
    for (uint64_t i = 0; i < count; i++) {
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    }
    return hash;
}

struct snapshot snapshot_take(struct pb_memory *memory) {
    uint64_t length = pb_memory_size_bytes(memory);
    return (struct snapshot){.base = base_of(memory),
                             .length_bytes = length,
                             .reservation_bytes = reservation_end(memory),
                             .hash = hash_of(base_of(memory), length),
                             .type = pb_memory_type(memory),
                             .style = pb_memory_style(memory)};
}

void snapshot_check(struct pb_memory *memory, const struct snapshot *before) {
    struct snapshot now = snapshot_take(memory);
    CHECK(now.base == before->base);
    CHECK_EQ(now.length_bytes, before->length_bytes);
    CHECK_EQ(atomic_load(&pb_memory_definition(memory)->length_bytes), before->length_bytes);
    CHECK_EQ(now.reservation_bytes, before->reservation_bytes);
    CHECK(now.hash == before->hash);
    CHECK_EQ(now.type.min_pages, before->type.min_pages);
    CHECK_EQ(now.type.max_pages, before->type.max_pages);
    CHECK_EQ(now.type.shared, before->type.shared);
    CHECK_EQ(now.style.kind, before->style.kind);
    CHECK_EQ(now.style.bound_pages, before->style.bound_pages);
    CHECK_EQ(now.style.guard_bytes, before->style.guard_bytes);
    if (pb_strategy_info(pb_memory_strategy(memory))->traps) {
        check_guarded(memory);
    }
}
