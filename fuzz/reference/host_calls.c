/* host_calls.c: what the headers of ref/ say of configurations, lengths and tables of functions, at
 * their limits. See host_calls.h.
 *
 * Nothing here depends on what a program did before: each operation makes its objects, calls, looks
 * and gives all back. Out-parameters hold a mark before each call. */
#include "host_calls.h"

#include "fault.h"
#include "os_wrap.h"

#include "guest.h"
#include "mailbox.h"
#include "memory.h"
#include "os.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define S(status) (1u << PB_##status)
enum {
    SYSTEM_REFUSES = S(NO_MEMORY) | S(NO_DESCRIPTORS) | S(UNSUPPORTED) | S(INTERRUPTED) | S(SYSTEM)
};
#define PAGE PB_PAGE_BYTES
#define GIB (UINT64_C(1) << 30)
#define OFTEN_BYTES (UINT64_C(1) << 47) /* more address space than a process has */

/* ---- What is compared -------------------------------------------------------------------------
 */

static unsigned faults_before; /* when the operation began */

static bool a_call_failed(void) {
    return fault_count() != faults_before;
}

/* NULL if the status is one of the set. */
static const char *answered(enum pb_status got, unsigned set, const char *rule) {
    set |= a_call_failed() ? (unsigned)SYSTEM_REFUSES : 0;
    return (unsigned)got < PB_STATUS_COUNT && (set >> got & 1) ? NULL : rule;
}

static const char *holds(bool right, const char *rule) {
    return right ? NULL : rule;
}

/* What an out-parameter holds before a call that may leave it alone. */
static char mark;
#define MARK ((void *)&mark)

/* "*x is set only on PB_OK". */
static const char *told(enum pb_status got, const void *out, const char *rule) {
    return holds((got == PB_OK) == (out != MARK), rule);
}

static const char *first(const char *one, const char *other) {
    return one != NULL ? one : other;
}

/* ---- What the calls need ----------------------------------------------------------------------
 */

static void *allocate(void *context, size_t bytes) {
    (void)context;
    return fault_environment()->allocate_zeroed(bytes);
}

static void *resize(void *context, void *at, size_t bytes) {
    (void)context;
    return fault_environment()->resize(at, bytes);
}

static void release(void *context, void *at) {
    (void)context;
    fault_environment()->release(at);
}

static const struct pb_allocator allocator = {allocate, resize, release, NULL};

static uint64_t host_page_bytes(void) {
    return fault_environment()->host_page_bytes;
}

enum { FAR_WINDOW_BYTES = 1 << 17 };
static const uint64_t far_windows[] = {0, UINT64_C(1) << 31, UINT64_C(1) << 32};
#define FAR_BYTES (9 * GIB)

/* Bytes that cost nothing: 9 GiB of zeros, and something else about the places where 31 and 32 bits
 * end. NULL where there is no such address space. */
static const uint8_t *far_bytes(void) {
    static const uint8_t *bytes;
    static bool tried;
    if (tried) {
        return bytes;
    }
    tried = true;
    os_wrap_exempt(true);
    uint8_t *made =
        mmap(NULL, FAR_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (unsigned i = 0; made != MAP_FAILED && i < sizeof far_windows / sizeof far_windows[0];
         i++) {
        const uint64_t at = far_windows[i] == 0 ? 0 : far_windows[i] - FAR_WINDOW_BYTES / 2;
        if (mprotect(made + at, FAR_WINDOW_BYTES, PROT_READ | PROT_WRITE) != 0) {
            break;
        }
        for (uint64_t n = at; n < at + FAR_WINDOW_BYTES; n++) {
            made[n] = (uint8_t)(1 + (n + n / 251 + i) % 255);
        }
    }
    os_wrap_exempt(false);
    bytes = made == MAP_FAILED ? NULL : made;
    return bytes;
}

static bool within(uint64_t start, uint64_t count, uint64_t size) {
    return start <= size && count <= size - start;
}

/* A memory of so many pages that is as plain as can be. */
static enum pb_status plain_memory(uint32_t pages, bool shared, struct pb_memory **memory) {
    const struct pb_memory_style style = {
        .kind = PB_STYLE_STATIC, .bound_pages = pages, .guard_bytes = host_page_bytes()};
    const struct pb_memory_config config = {
        .type = {.min_pages = pages, .max_pages = pages, .shared = shared},
        .style = &style,
        .strategy = PB_STRATEGY_RESERVE,
        .allocator = &allocator,
    };
    return pb_memory_create(&config, memory);
}

static uint8_t *base_of(struct pb_memory *memory) {
    return atomic_load(&pb_memory_definition(memory)->base);
}

/* ---- Pools ------------------------------------------------------------------------------------
 */

/* What pb_pool_create may answer. Past 2^64 bytes both are right: it is senseless, and there is no
 * such memory. */
static unsigned pool_statuses(const struct pb_pool_config *c) {
    enum { SURE_SLOTS = 65536 };
    const uint64_t host = host_page_bytes();
    const bool sound = c->slots > 0 && c->slot_bytes > 0 && c->slot_bytes % host == 0 &&
                       c->guard_bytes % host == 0 && c->keep_resident_bytes % host == 0 &&
                       (unsigned)c->reset <= PB_POOL_SCAN &&
                       (c->reset != PB_POOL_RENEW || c->keep_resident_bytes == 0);
    const unsigned __int128 bytes = ((unsigned __int128)c->slot_bytes + c->guard_bytes) * c->slots;
    if (!sound) {
        return S(INVALID);
    }
    if (bytes > OFTEN_BYTES) {
        return S(NO_MEMORY) | (bytes > UINT64_MAX ? S(INVALID) : 0);
    }
    const bool sure = bytes <= 64 * GIB && c->slots <= SURE_SLOTS;
    return S(OK) | (sure ? 0 : S(NO_MEMORY)) |
           (c->reset == PB_POOL_SCAN && pb_pool_reset_available(PB_POOL_SCAN, NULL) != PB_OK
                ? S(UNSUPPORTED)
                : 0);
}

struct tenant {
    uint32_t min_pages, max_pages, bound_pages; /* bound 0: Dynamic */
    bool shared;
    uint64_t guard_bytes;
    enum pb_rung fall_back;
};

static const char *tenant_statuses(struct pb_pool *pool, const struct pb_pool_config *c,
                                   const struct tenant *t, unsigned set, const char *rule) {
    struct pb_memory *memory = MARK;
    const struct pb_memory_style style = {
        .kind = t->bound_pages != 0 ? PB_STYLE_STATIC : PB_STYLE_DYNAMIC,
        .bound_pages = t->bound_pages,
        .guard_bytes = t->guard_bytes,
    };
    const struct pb_tunables tunables = {.dynamic_guard_bytes = 0};
    const struct pb_memory_config config = {
        .type = {t->min_pages, t->max_pages, t->shared},
        .style = &style,
        .tunables = &tunables,
        .strategy = PB_STRATEGY_POOL,
        .pool = pool,
        .fall_back = t->fall_back,
        .allocator = &allocator,
    };
    const struct pb_pool_stats before = pb_pool_stats(pool);
    const enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = answered(got, set, rule);
    broken = first(broken, told(got, memory, "R1-told"));
    if (got == PB_OK && memory != MARK) {
        struct pb_pool_stats during = pb_pool_stats(pool);
        broken =
            first(broken, holds(during.used == before.used + 1 && during.free + 1 == before.free,
                                "R15-stats"));
        const uint8_t *reserved;
        uint64_t reserved_bytes;
        bool known = os_wrap_reservation(base_of(memory), &reserved, &reserved_bytes);
        broken = first(broken,
                       holds(known && c->slot_bytes + c->guard_bytes <=
                                          reserved_bytes - (uint64_t)(base_of(memory) - reserved),
                             "R15-slot"));
        pb_memory_release(memory);
        during = pb_pool_stats(pool);
        broken = first(broken, holds(during.used == before.used &&
                                         (a_call_failed() || during.free == before.free),
                                     "R15-stats"));
    }
    return broken;
}

/* Memories that just fit a slot, and those that do not. */
static const char *pool_tenants(struct pb_pool *pool, const struct pb_pool_config *c) {
    const uint64_t room = c->slot_bytes / PAGE;
    const uint32_t pages = room > 65534 ? 65534 : (uint32_t)room;
    const uint64_t host = host_page_bytes();
    const bool whole = room <= 65534; /* a longer one can be asked for */
    const char *broken = NULL;
    const struct tenant fits = {
        .max_pages = pages, .bound_pages = pages, .guard_bytes = c->guard_bytes};
    struct tenant t = fits;
    if (pages > 0) {
        broken = tenant_statuses(pool, c, &t, S(OK), "R15-slot-refused");
        t.guard_bytes = 0;
        broken = first(broken, tenant_statuses(pool, c, &t, S(OK), "R15-slot-refused"));
    }
    if (whole) { /* its capacity ends behind the slot: between slot and guard, or further */
        t = fits;
        t.guard_bytes = 0;
        t.max_pages = t.bound_pages = pages + 1;
        broken = first(broken, tenant_statuses(pool, c, &t, S(NO_MEMORY), "R4-slot-too-short"));
        t.bound_pages = 0;
        t.shared = true;
        broken = first(broken, tenant_statuses(pool, c, &t, S(NO_MEMORY), "R4-slot-too-short"));
        t.min_pages = pages + 1;
        t.shared = false;
        broken = first(broken, tenant_statuses(pool, c, &t, S(NO_MEMORY), "R4-slot-too-short"));
    }
    for (unsigned rung = 0; rung < PB_RUNG_COUNT && pages > 0 && c->guard_bytes < 64 * GIB;
         rung++) {
        t = fits; /* a guard above the pool's is senseless, which falling back does not mend */
        t.guard_bytes = c->guard_bytes + host;
        t.fall_back = (enum pb_rung)rung;
        broken = first(broken, tenant_statuses(pool, c, &t, S(INVALID),
                                               rung == 0 ? "R3-guard" : "R43-not-for-space"));
    }
    return broken;
}

static const char *host_pool(const struct op *op) {
    const struct pb_pool_config config = {
        .slots = (uint32_t)op->arg.host_pool.slots,
        .slot_bytes = op->arg.host_pool.slot,
        .guard_bytes = op->arg.host_pool.guard,
        .reset = (enum pb_pool_reset)(op->arg.host_pool.reset % 4),
        .keep_resident_bytes = op->arg.host_pool.keep,
        .allocator = &allocator,
    };
    struct pb_pool *pool = MARK;
    const unsigned set = pool_statuses(&config);
    const enum pb_status got = pb_pool_create(&config, &pool);
    const char *broken = answered(got, set, set & S(NO_MEMORY) ? "R9-pool" : "R15-pool");
    broken = first(broken, told(got, pool, "R15-told"));
    if (got != PB_OK || pool == MARK) {
        return broken;
    }
    const struct pb_pool_stats stats = pb_pool_stats(pool);
    broken =
        first(broken, holds(stats.free == config.slots && stats.used == 0 && stats.retired == 0,
                            "R15-stats"));
    broken = first(broken, holds(pb_pool_slot_bytes(pool) == config.slot_bytes, "R15-slot"));
    broken = broken != NULL ? broken : pool_tenants(pool, &config);
    pb_pool_release(pool);
    pb_pool_release(NULL);
    return broken;
}

/* ---- Images -----------------------------------------------------------------------------------
 */

/* A memory that begins with the image: its bytes, zeros behind it; too short a one. */
static const char *image_tenants(struct pb_image *image, uint64_t count, uint32_t pages,
                                 uint64_t keep_bytes) {
    struct pb_memory *memory = MARK;
    struct pb_memory_config config = {
        .type = {pages, pages, false},
        .strategy = PB_STRATEGY_IMAGE,
        .image = image,
        .keep_resident_bytes = keep_bytes,
        .allocator = &allocator,
    };
    const uint64_t host = host_page_bytes(), bytes = (count + host - 1) / host * host;
    const bool odd = keep_bytes % host != 0, fits = bytes <= pages * PAGE;
    const bool scans = keep_bytes == 0 || pb_pool_reset_available(PB_POOL_SCAN, NULL) == PB_OK;
    enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = answered(got,
                                  odd || !fits ? S(INVALID)
                                  : scans      ? S(OK)
                                               : S(OK) | S(UNSUPPORTED),
                                  odd ? "R1-keep-resident" : "R2-image");
    broken = first(broken, told(got, memory, "R1-told"));
    if (got == PB_OK && memory != MARK) {
        static const uint8_t zero[65536];
        const uint8_t *base = base_of(memory);
        const uint64_t behind =
            pages * PAGE - count < sizeof zero ? pages * PAGE - count : sizeof zero;
        broken = first(broken, holds(memcmp(base, far_bytes(), count) == 0 &&
                                         memcmp(base + count, zero, behind) == 0,
                                     "R2-image"));
        pb_memory_release(memory);
    }
    return broken;
}

static const char *host_image(const struct op *op) {
    enum { REAL_BYTES = 1 << 17 };
    const uint64_t count = op->arg.host_image.bytes, host = host_page_bytes();
    struct pb_image *image = MARK;
    if (far_bytes() == NULL) {
        return NULL;
    }
    const bool sound = count > 0 && count <= 4 * GIB;
    /* a long one need not be made: that it is not senseless shows where there is no room for it */
    const bool real = count <= REAL_BYTES;
    const uint64_t limit = fault_file_limit_bytes();
    fault_file_limit(real ? limit : REAL_BYTES);
    const enum pb_status got = pb_image_create(far_bytes(), count, &allocator, &image);
    fault_file_limit(limit);
    const char *broken = answered(got,
                                  !sound ? S(INVALID)
                                  : real ? S(OK)
                                         : S(NO_MEMORY),
                                  count >= 4 * GIB ? "R9-image" : "R2-image");
    broken = first(broken, told(got, image, "R2-told"));
    if (got != PB_OK || image == MARK) {
        return broken;
    }
    broken =
        first(broken, holds(pb_image_bytes(image) == (count + host - 1) / host * host, "R2-image"));
    broken = first(broken, holds(pb_image_retain(image) == image, "R2-image"));
    pb_image_release(image);
    broken = broken != NULL ? broken
                            : image_tenants(image, count, (uint32_t)op->arg.host_image.pages % 4,
                                            op->arg.host_image.keep);
    pb_image_release(image);
    pb_image_release(NULL);
    return broken;
}

/* ---- Custom memories --------------------------------------------------------------------------
 */

/* A page, and what its functions were asked. */
static struct {
    struct pb_memory_definition definition;
    _Alignas(8) uint8_t bytes[65536];
    bool shared;
    unsigned initialised, waited, notified, disabled, released, retained, copied;
    uint64_t start, count, address, expected;
    unsigned width;
} page;

static struct pb_memory_type page_type(void *self) {
    (void)self;
    return (struct pb_memory_type){1, 1, page.shared};
}

static struct pb_memory_style page_style(void *self) {
    (void)self;
    return (struct pb_memory_style){.kind = PB_STYLE_STATIC, .bound_pages = 1};
}

static enum pb_status page_grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    (void)self;
    *old_pages = 1;
    return delta_pages == 0 ? PB_OK : PB_LIMIT;
}

static struct pb_memory_definition *page_definition(void *self) {
    (void)self;
    return &page.definition;
}

static void page_release(void *self) {
    page.released += self == &page;
}

static enum pb_status page_retain(void *self, void **handle) {
    page.retained++;
    *handle = self;
    return PB_OK;
}

static enum pb_status page_copy(void *self, void **copy) {
    (void)self;
    (void)copy;
    page.copied++;
    return PB_NO_DESCRIPTORS;
}

static enum pb_status page_initialise(void *self, uint64_t start, const void *data,
                                      uint64_t count) {
    (void)self;
    page.initialised++;
    page.start = start;
    page.count = count;
    if (count > 0) {
        memcpy(page.bytes + start, data, count);
    }
    return PB_OK;
}

static enum pb_status page_wait(void *self, uint64_t address, unsigned width, uint64_t expected,
                                int64_t timeout_ns, enum pb_wait *result) {
    (void)self;
    (void)timeout_ns;
    page.waited++;
    page.address = address;
    page.width = width;
    page.expected = expected;
    *result = PB_WAIT_TIMED_OUT;
    return PB_OK;
}

static uint32_t page_notify(void *self, uint64_t address, uint32_t count) {
    (void)self;
    page.notified++;
    page.address = address;
    return count;
}

static void page_disable(void *self) {
    (void)self;
    page.disabled++;
}

enum {
    TYPE,
    STYLE,
    GROW,
    DEFINITION,
    RELEASE,
    RETAIN,
    COPY,
    INITIALISE,
    WAIT,
    NOTIFY,
    DISABLE,
    REQUIRED = 31
};

/* The table without some of its functions. */
static struct pb_memory_operations page_operations(unsigned lacks) {
#define HAS(bit, function) lacks >> (bit)&1 ? NULL : (function)
    return (struct pb_memory_operations){
        .type = HAS(TYPE, page_type),
        .style = HAS(STYLE, page_style),
        .grow = HAS(GROW, page_grow),
        .definition = HAS(DEFINITION, page_definition),
        .release = HAS(RELEASE, page_release),
        .retain = HAS(RETAIN, page_retain),
        .copy = HAS(COPY, page_copy),
        .initialise = HAS(INITIALISE, page_initialise),
        .wait = HAS(WAIT, page_wait),
        .notify = HAS(NOTIFY, page_notify),
        .disable_atomics = HAS(DISABLE, page_disable),
    };
#undef HAS
}

/* What is checked before the table's function is called. */
static const char *custom_words(struct pb_memory *memory, unsigned lacks, uint64_t at) {
    enum pb_wait result = (enum pb_wait)7;
    uint32_t woken = 99;
    const char *broken = NULL;
    for (unsigned width = 4; width <= 8; width += 4) {
        const unsigned waited = page.waited;
        const enum pb_status wrong = at % width != 0            ? PB_MISALIGNED
                                     : !within(at, width, PAGE) ? PB_OUT_OF_BOUNDS
                                     : !page.shared             ? PB_NOT_SHARED
                                     : lacks >> WAIT & 1        ? PB_UNSUPPORTED
                                                                : PB_OK;
        const enum pb_status got = width == 4 ? pb_memory_wait32(memory, at, 5, 0, &result)
                                              : pb_memory_wait64(memory, at, 5, 0, &result);
        const bool called = page.waited == waited + 1 && page.address == at &&
                            page.width == width && page.expected == 5 &&
                            result == PB_WAIT_TIMED_OUT;
        broken =
            first(broken, holds(got == wrong && (got != PB_OK ? page.waited == waited : called),
                                "R19-custom"));
    }
    const enum pb_status wrong = at % 4 != 0            ? PB_MISALIGNED
                                 : !within(at, 4, PAGE) ? PB_OUT_OF_BOUNDS
                                                        : PB_OK;
    const bool can = wrong == PB_OK && page.shared && !(lacks >> NOTIFY & 1);
    const enum pb_status got = pb_memory_notify(memory, at, 3, &woken);
    broken = first(broken, holds(got == wrong && page.notified == (can ? 1u : 0u) &&
                                     (wrong != PB_OK || woken == (can ? 3u : 0u)),
                                 "R19-custom"));
    return broken;
}

static const char *custom_bytes(struct pb_memory *memory, unsigned lacks, uint64_t at,
                                uint64_t count) {
    const bool fits = within(at, count, PAGE), own = !(lacks >> INITIALISE & 1);
    memset(page.bytes, 0, sizeof page.bytes);
    const enum pb_status got = pb_memory_initialise(memory, at, far_bytes(), count);
    const char *broken = holds(got == (fits ? PB_OK : PB_OUT_OF_BOUNDS), "R17-custom");
    broken = first(broken,
                   holds(page.initialised == (fits && own ? 1u : 0u) &&
                             (page.initialised == 0 || (page.start == at && page.count == count)),
                         "R17-custom"));
    return first(broken,
                 holds(!fits || memcmp(page.bytes + at, far_bytes(), count) == 0, "R17-custom"));
}

static const char *custom_handles(struct pb_memory *memory, unsigned lacks) {
    struct pb_memory *made = MARK;
    struct pb_pin pin;
    enum pb_status got = pb_memory_retain(memory, &made);
    const char *broken = answered(got,
                                  !page.shared          ? S(NOT_SHARED)
                                  : lacks >> RETAIN & 1 ? S(UNSUPPORTED)
                                                        : S(OK),
                                  "R14-custom");
    broken = first(broken, told(got, made, "R14-told"));
    if (got == PB_OK && made != MARK) {
        pb_memory_release(made);
    }
    made = MARK;
    got = pb_memory_copy(memory, &made);
    broken = first(broken, answered(got, lacks >> COPY & 1 ? S(UNSUPPORTED) : S(NO_DESCRIPTORS),
                                    "R13-custom"));
    broken = first(broken, told(got, made, "R13-told"));
    broken = first(broken, answered(pb_memory_to_shared(memory),
                                    page.shared ? S(OK) : S(UNSUPPORTED), "R12-custom"));
    broken = first(broken, answered(pb_memory_reset(memory), S(UNSUPPORTED), "R15-custom"));
    broken =
        first(broken, answered(pb_memory_pin(memory, 0, 1, &pin), S(UNSUPPORTED), "R42-custom"));
    broken = first(broken, holds(pb_memory_strategy(memory) == PB_STRATEGY_COUNT &&
                                     pb_memory_rung(memory) == PB_RUNG_AS_ASKED &&
                                     pb_memory_waiters(memory) == 0,
                                 "R3-custom"));
    pb_memory_disable_atomics(memory);
    return first(broken, holds(page.disabled == (page.shared && !(lacks >> DISABLE & 1) ? 1u : 0u),
                               "R29-custom"));
}

static const char *host_custom(const struct op *op) {
    const unsigned lacks = (unsigned)op->arg.host_custom.lacks;
    const struct pb_memory_operations operations = page_operations(lacks);
    struct pb_memory *memory = MARK;
    if (far_bytes() == NULL) {
        return NULL;
    }
    page.initialised = page.waited = page.notified = page.disabled = page.released = page.retained =
        page.copied = 0;
    page.shared = op->arg.host_custom.shared == WORD_yesno_yes;
    atomic_store(&page.definition.base, page.bytes);
    atomic_store(&page.definition.length_bytes, PAGE);
    const enum pb_status got = pb_memory_create_custom(&operations, &page, &allocator, &memory);
    const char *broken = answered(got, lacks & REQUIRED ? S(INVALID) : S(OK), "R3-custom");
    broken = first(broken, told(got, memory, "R1-told"));
    broken = first(broken, holds(page.released == 0, "R14-custom"));
    if (got != PB_OK || memory == MARK) {
        return broken;
    }
    if (broken == NULL) {
        broken = custom_words(memory, lacks, op->arg.host_custom.at);
        broken = first(
            broken, custom_bytes(memory, lacks, op->arg.host_custom.at, op->arg.host_custom.count));
        broken = first(broken, custom_handles(memory, lacks));
    }
    const unsigned retained = page.retained, before = page.released;
    if (!(lacks & REQUIRED)) {
        pb_memory_release(memory);
        broken =
            first(broken, holds(before == retained && page.released == retained + 1, "R14-custom"));
    }
    return broken;
}

/* ---- Segments ---------------------------------------------------------------------------------
 */

/* So many segments of one length, each at twice the place of the one before. */
static const char *host_segments(const struct op *op) {
    enum { SEGMENTS = 6, PAGES = 3, MARKED = 1234567 };
    const size_t count = op->arg.host_segments.count % (SEGMENTS + 1);
    const uint64_t length = op->arg.host_segments.length;
    const uint32_t pages = (uint32_t)op->arg.host_segments.pages % PAGES;
    const bool asked = op->arg.host_segments.told == WORD_yesno_yes;
    struct pb_active_segment segments[SEGMENTS];
    struct pb_memory *memory;
    if (far_bytes() == NULL ||
        plain_memory(pages, op->arg.host_segments.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    size_t fit = 0, applied = MARKED;
    for (size_t i = 0; i < count; i++) {
        segments[i] = (struct pb_active_segment){
            .start = op->arg.host_segments.start << i,
            .segment = {length == 0 ? NULL : far_bytes() + i, length},
        };
        fit += fit == i && within(segments[i].start, length, pages * PAGE);
    }
    const enum pb_status got = pb_memory_initialise_segments(memory, count == 0 ? NULL : segments,
                                                             count, asked ? &applied : NULL);
    const char *broken = holds(got == (fit == count ? PB_OK : PB_OUT_OF_BOUNDS), "R17-segments");
    broken = first(broken, holds(applied == (asked ? fit : MARKED), "R17-segments"));
    if (broken == NULL && fit > 0 && length > 0) { /* the last one lies over the others */
        const struct pb_active_segment *last = &segments[fit - 1];
        broken = holds(memcmp(base_of(memory) + last->start, last->segment.data, length) == 0,
                       "R17-segments");
    }
    pb_memory_release(memory);
    return broken;
}

static const char *host_init(const struct op *op) {
    enum { PAGES = 2 };
    const uint64_t from = (uint32_t)op->arg.host_init.from,
                   count = (uint32_t)op->arg.host_init.count;
    const uint64_t length = op->arg.host_init.length, at = (uint32_t)op->arg.host_init.at;
    struct pb_segment segment = {far_bytes(), length};
    struct pb_memory *memory;
    if (far_bytes() == NULL ||
        plain_memory(PAGES, op->arg.host_init.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    const bool fits = within(from, count, length) && within(at, count, PAGES * PAGE);
    const enum pb_status got =
        pb_memory_bulk_init(memory, &segment, (uint32_t)at, (uint32_t)from, (uint32_t)count);
    const char *broken = holds(got == (fits ? PB_OK : PB_OUT_OF_BOUNDS),
                               length > UINT32_MAX ? "R9-init" : "R16-bulk-check");
    if (broken == NULL && fits && count > 0) {
        broken =
            holds(memcmp(base_of(memory) + at, far_bytes() + from, count) == 0, "R16-bulk-init");
    }
    pb_segment_drop(&segment);
    broken = first(broken, holds(segment.length_bytes == 0, "R16-segment-drop"));
    broken =
        first(broken, holds(pb_memory_bulk_init(memory, &segment, 0, 0, 0) == PB_OK &&
                                pb_memory_bulk_init(memory, &segment, 0, 0, 1) == PB_OUT_OF_BOUNDS,
                            "R16-segment-drop"));
    pb_memory_release(memory);
    return broken;
}

/* ---- Ranges of a memory of 4 GiB --------------------------------------------------------------
 *
 * Of a long range the middle is closed, so that whoever works on all of it comes to where it faults
 * and is stopped there: that shows that it did not take the length for a shorter one, and costs
 * nothing. */

static sigjmp_buf stopped;
static volatile uintptr_t stopped_at;

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    (void)context;
    stopped_at = (uintptr_t)info->si_addr;
    siglongjmp(stopped, 1);
}

struct range {
    enum word_range call;
    struct pb_memory *memory;
    uint64_t start, from, count;
    uint8_t *room; /* what is read goes there; of a long one it cannot be written to */
};

static enum pb_status range_make(const struct range *r) {
    const struct pb_segment segment = {far_bytes(), FAR_BYTES};
    switch (r->call) {
    case WORD_range_initialise:
        return pb_memory_initialise(r->memory, r->start, far_bytes(), r->count);
    case WORD_range_read:
        return pb_memory_read(r->memory, r->start, r->room, r->count);
    case WORD_range_fill:
        return pb_memory_bulk_fill(r->memory, (uint32_t)r->start, 7, (uint32_t)r->count);
    case WORD_range_copy:
        return pb_memory_bulk_copy(r->memory, (uint32_t)r->start, (uint32_t)r->from,
                                   (uint32_t)r->count);
    default:
        return pb_memory_bulk_init(r->memory, &segment, (uint32_t)r->start, 0, (uint32_t)r->count);
    }
}

/* True if the call was stopped at a fault; else *got is its answer. */
static bool range_stops(const struct range *r, enum pb_status *got) {
    struct sigaction action, former[2];
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &former[0]);
    sigaction(SIGBUS, &action, &former[1]);
    const bool stops = sigsetjmp(stopped, 1) != 0;
    if (!stops) {
        *got = range_make(r);
    }
    sigaction(SIGSEGV, &former[0], NULL);
    sigaction(SIGBUS, &former[1], NULL);
    return stops;
}

/* The bytes of a short range that was worked on. */
static const char *range_bytes(const struct range *r) {
    const uint8_t *base = base_of(r->memory);
    bool right = true;
    if (r->call == WORD_range_read) {
        right = memcmp(r->room, base + r->start, r->count) == 0;
    } else if (r->call == WORD_range_fill) {
        right = base[r->start] == 7 && base[r->start + r->count - 1] == 7 &&
                memcmp(base + r->start, base + r->start + 1, r->count - 1) == 0;
    } else if (r->call == WORD_range_initialise || r->call == WORD_range_init) {
        right = memcmp(base + r->start, far_bytes(), r->count) == 0;
    }
    return holds(right, "R16-bulk-bytes");
}

static const char *range_long(const struct range *r, const char *rule) {
    enum { EDGE_BYTES = 1 << 16 };
    const uint64_t host = host_page_bytes();
    uint8_t *base = base_of(r->memory);
    const uint64_t low = r->call == WORD_range_copy && r->from < r->start ? r->from : r->start;
    const uint64_t high =
        (r->call == WORD_range_copy && r->from > r->start ? r->from : r->start) + r->count;
    const uint64_t begin = (low + EDGE_BYTES + host - 1) / host * host,
                   end = (high - EDGE_BYTES) / host * host;
    enum pb_status got = PB_SYSTEM;
    if (mprotect(base + begin, end - begin, PROT_NONE) != 0) {
        return NULL;
    }
    const bool stops = range_stops(r, &got);
    const uintptr_t at = stopped_at, closed = (uintptr_t)base + begin, room = (uintptr_t)r->room;
    const bool in_room = r->call == WORD_range_read && at >= room && at < room + r->count;
    return holds(stops && (in_room || (at >= closed && at < closed + (end - begin))), rule);
}

static const char *host_range(const struct op *op) {
    enum { SHORT_BYTES = 1 << 16, LONG_BYTES = 1 << 20 };
    static uint8_t room[SHORT_BYTES];
    const bool narrow = op->arg.host_range.call >= WORD_range_fill;
    struct range r = {
        .call = (enum word_range)op->arg.host_range.call,
        .start = narrow ? (uint32_t)op->arg.host_range.start : op->arg.host_range.start,
        .from = (uint32_t)op->arg.host_range.from,
        .count = narrow ? (uint32_t)op->arg.host_range.count : op->arg.host_range.count,
        .room = room,
    };
    const char *const rule = r.count > UINT32_MAX ? "R9-length"
                             : narrow             ? "R16-bulk-check"
                                                  : "R17-init-check";
    const bool fits = within(r.start, r.count, 4 * GIB) &&
                      (r.call != WORD_range_copy || within(r.from, r.count, 4 * GIB));
    if (far_bytes() == NULL || (fits && r.count > SHORT_BYTES && r.count < LONG_BYTES) ||
        plain_memory(PB_PAGES_MAX, op->arg.host_range.shared == WORD_yesno_yes, &r.memory) !=
            PB_OK) {
        return NULL;
    }
    const char *broken;
    if (fits && r.count > SHORT_BYTES) {
        r.room = (uint8_t *)(uintptr_t)far_bytes() + 3 * GIB;
        broken = range_long(&r, rule);
    } else {
        broken = holds(range_make(&r) == (fits ? PB_OK : PB_OUT_OF_BOUNDS), rule);
        broken = broken == NULL && fits && r.count > 0 ? range_bytes(&r) : broken;
    }
    pb_memory_release(r.memory);
    return broken;
}

/* ---- Configurations of memories ---------------------------------------------------------------
 */

static const char *host_create(const struct op *op) {
    const uint64_t value = op->arg.host_create.value, host = host_page_bytes();
    const unsigned small = (unsigned)(value % 1000);
    struct pb_memory *memory = MARK;
    struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    struct pb_tunables tunables = {0};
    struct pb_memory_config config = {
        .type = {1, 2, false},
        .style = &style,
        .tunables = &tunables,
        .strategy = PB_STRATEGY_RESERVE,
        .fall_back = (enum pb_rung)(op->arg.host_create.rungs % PB_RUNG_COUNT),
        .allocator = &allocator,
    };
    unsigned set = S(INVALID);
    const unsigned guards = value % host != 0     ? S(INVALID)
                            : value > OFTEN_BYTES ? S(INVALID) | S(NO_MEMORY)
                            : value > 64 * GIB    ? S(OK) | S(NO_MEMORY)
                                                  : S(OK);
    switch ((enum word_wrong)op->arg.host_create.wrong) {
    case WORD_wrong_rung:
        config.fall_back = (enum pb_rung)(PB_RUNG_COUNT + small);
        break;
    case WORD_wrong_strategy:
        config.strategy = (enum pb_strategy)(PB_STRATEGY_COUNT + small);
        break;
    case WORD_wrong_style:
        style.kind = (enum pb_style)(PB_STYLE_DYNAMIC + 1 + small);
        break;
    case WORD_wrong_pool:
        config.strategy = PB_STRATEGY_POOL;
        break;
    case WORD_wrong_guard: /* with a shorter one to fall back on, it is enough of a reason, too */
        style.guard_bytes = value;
        set = guards | (value > OFTEN_BYTES && config.fall_back != PB_RUNG_AS_ASKED ? S(OK) : 0);
        break;
    case WORD_wrong_tuned_guard:
        config.style = NULL;
        tunables.dynamic_guard_bytes = value;
        set = guards;
        break;
    case WORD_wrong_bound:
        style.kind = PB_STYLE_STATIC;
        style.bound_pages = (uint32_t)value;
        set = style.bound_pages == 0 || style.bound_pages > PB_PAGES_MAX ? S(INVALID)
                                                                         : S(OK) | S(NO_MEMORY);
        break;
    default: /* without an image it says nothing */
        config.keep_resident_bytes = value;
        config.strategy = value & host ? PB_STRATEGY_IMAGE : PB_STRATEGY_RESERVE;
        set = value % host != 0 ? S(INVALID) : S(OK);
        break;
    }
    const enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = answered(got, set, set == S(INVALID) ? "R1-create" : "R3-create");
    broken = first(broken, told(got, memory, "R1-told"));
    if (got == PB_OK && memory != MARK) {
        pb_memory_release(memory);
    }
    pb_memory_release(NULL);
    return broken;
}

/* What is known by name or number, and the arithmetic of pages. */
static const char *host_names(const struct op *op) {
    const uint64_t a = op->arg.host_names.a, b = op->arg.host_names.b;
    const unsigned value = (unsigned)(a % 64);
    const struct pb_strategy_info *info = pb_strategy_info((enum pb_strategy)value);
    const char *reason = MARK;
    enum pb_strategy found = PB_STRATEGY_COUNT;
    const char *broken = holds((info != NULL) == (value < PB_STRATEGY_COUNT), "R3-names");
    if (info != NULL) {
        broken = first(broken, holds(info->note != NULL && info->copy_note != NULL &&
                                         pb_strategy_by_name(info->name, &found) && found == value,
                                     "R3-names"));
    } else {
        const enum pb_status got = pb_strategy_available((enum pb_strategy)value, &reason);
        broken = first(
            broken, holds(got == PB_UNSUPPORTED && reason != MARK && reason != NULL, "R3-names"));
    }
    broken = first(broken,
                   holds(!pb_strategy_by_name("", &found) && !pb_strategy_by_name("reserv", &found),
                         "R3-names"));
    broken =
        first(broken, holds((pb_rung_note((enum pb_rung)value) != NULL) == (value < PB_RUNG_COUNT),
                            "R43-names"));
    if (value > PB_POOL_SCAN) {
        reason = MARK;
        const enum pb_status got = pb_pool_reset_available((enum pb_pool_reset)value, &reason);
        broken = first(
            broken, holds(got == PB_UNSUPPORTED && reason != MARK && reason != NULL, "R15-names"));
    }
    broken = first(broken, holds(pb_status_name((enum pb_status)value)[0] == 'P' &&
                                     (strcmp(pb_status_name((enum pb_status)value), "PB_?") == 0) ==
                                         (value >= PB_STATUS_COUNT) &&
                                     pb_status_message((enum pb_status)value) != NULL,
                                 "R1-names"));
    uint32_t pages = 77, sum = 77;
    uint64_t bytes = 77;
    const bool whole = a % PAGE == 0 && a <= 4 * GIB;
    broken = first(broken,
                   holds(pb_bytes_to_pages(a, &pages) == whole && pages == (whole ? a / PAGE : 77),
                         "R9-pages"));
    broken = first(
        broken, holds(pb_pages_to_bytes((uint32_t)a) == (uint64_t)(uint32_t)a * PAGE, "R9-pages"));
    const unsigned __int128 wide = (unsigned __int128)a + b;
    const bool fits = wide <= UINT64_MAX;
    broken = first(
        broken, holds(pb_bytes_add(a, b, &bytes) == fits && bytes == (fits ? (uint64_t)wide : 77),
                      "R9-pages"));
    const uint64_t both = (uint64_t)(uint32_t)a + (uint32_t)b;
    const bool in_limit = both <= PB_PAGES_MAX;
    broken = first(broken,
                   holds(pb_pages_add((uint32_t)a, (uint32_t)b, PB_PAGES_MAX, &sum) == in_limit &&
                             sum == (in_limit ? both : 77),
                         "R5-pages"));
    return first(broken, holds(pb_range_within(a, b, 4 * GIB) == (wide <= 4 * GIB), "R16-pages"));
}

/* ---- Limiters ---------------------------------------------------------------------------------
 */

enum { SAYS_GROWING = 1, SAYS_FAILED, SAYS_SHRUNK, SAID_MAX = 4 };
static struct {
    struct said {
        unsigned what;
        uint64_t from, to, max;
        enum pb_status why;
    } said[SAID_MAX];
    unsigned count, refuse; /* the how many-th question is refused; 0: none */
    uint64_t bytes;         /* granted, and neither failed nor shrunk */
} heard;

static void hear(unsigned what, uint64_t from, uint64_t to, uint64_t max, enum pb_status why) {
    if (heard.count < SAID_MAX) {
        heard.said[heard.count] = (struct said){what, from, to, max, why};
    }
    heard.count++;
}

static bool hear_growing(void *context, uint64_t from_bytes, uint64_t to_bytes,
                         uint64_t max_bytes) {
    (void)context;
    hear(SAYS_GROWING, from_bytes, to_bytes, max_bytes, PB_OK);
    const bool granted = heard.refuse == 0 || --heard.refuse > 0;
    heard.bytes += granted ? to_bytes - from_bytes : 0;
    return granted;
}

static void hear_failed(void *context, uint64_t from_bytes, uint64_t to_bytes, enum pb_status why) {
    (void)context;
    hear(SAYS_FAILED, from_bytes, to_bytes, 0, why);
    heard.bytes -= to_bytes - from_bytes;
}

static void hear_shrunk(void *context, uint64_t from_bytes, uint64_t to_bytes) {
    (void)context;
    hear(SAYS_SHRUNK, from_bytes, to_bytes, 0, PB_OK);
    heard.bytes -= from_bytes - to_bytes;
}

/* After a call: what was said since the last one is what was to be said. what 0: nothing. Where
 * calls fail there is more. */
static const char *only_said(unsigned what, uint64_t from, uint64_t to, uint64_t max) {
    const struct said *said = &heard.said[0];
    const bool right = what == 0 ? heard.count == 0
                                 : heard.count == 1 && said->what == what && said->from == from &&
                                       said->to == to && (what != SAYS_GROWING || said->max == max);
    heard.count = 0;
    return holds(right || a_call_failed(), "R40-told");
}

/* One that failed is told so, with the reason that the caller gets. */
static const char *failure_said(enum pb_status got) {
    const struct said *last = &heard.said[heard.count < SAID_MAX ? heard.count - 1 : SAID_MAX - 1];
    const bool told_why = heard.count > 0 && last->what == SAYS_FAILED && last->why == got;
    return holds(got == PB_OK || got == PB_REFUSED || got == PB_LIMIT || got == PB_PINNED ||
                     told_why,
                 "R40-told");
}

static const char *limited_growth(struct pb_memory *memory, const struct pb_memory_type *type,
                                  uint32_t delta, bool tells) {
    const uint64_t size = pb_memory_size_bytes(memory);
    const uint32_t most = type->max_pages < PB_PAGES_MAX ? type->max_pages : PB_PAGES_MAX;
    const bool passes = size / PAGE + delta > most, refused = heard.refuse == 1;
    uint32_t old = 777;
    heard.count = 0;
    const enum pb_status got = pb_memory_grow(memory, delta, &old);
    const char *broken = answered(got,
                                  delta == 0 ? S(OK)
                                  : passes   ? S(LIMIT)
                                  : refused  ? S(REFUSED)
                                             : S(OK) | S(NO_MEMORY),
                                  "R40-grow");
    broken = first(broken, holds(got == PB_OK ? old == size / PAGE : old == 777, "R5-told"));
    if (!passes && delta > 0 && got != PB_OK && got != PB_REFUSED) {
        return first(broken, tells ? failure_said(got) : NULL);
    }
    return first(broken, delta == 0 || passes
                             ? only_said(0, 0, 0, 0)
                             : only_said(SAYS_GROWING, size, size + delta * PAGE, most * PAGE));
}

static const char *host_limiter(const struct op *op) {
    enum { PAGES = 4, FAILED = 1, SHRUNK = 2 };
    static const enum pb_strategy strategies[] = {PB_STRATEGY_RESERVE, PB_STRATEGY_REMAP,
                                                  PB_STRATEGY_HEAP,    PB_STRATEGY_IMAGE,
                                                  PB_STRATEGY_MOVE,    PB_STRATEGY_RESERVE_RW};
    const unsigned silent = (unsigned)op->arg.host_limiter.silent;
    const struct pb_limiter limiter = {
        .growing = hear_growing,
        .failed = silent & FAILED ? NULL : hear_failed,
        .shrunk = silent & SHRUNK ? NULL : hear_shrunk,
    };
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC,
                                          .guard_bytes = host_page_bytes()};
    const uint32_t min = (uint32_t)op->arg.host_limiter.min % PAGES;
    const struct pb_memory_config config = {
        .type = {min, (uint32_t)op->arg.host_limiter.max, false},
        .style = &style,
        .strategy = strategies[(silent >> 2) % 6],
        .limiter = &limiter,
        .allocator = &allocator,
    };
    if (pb_memory_type_check(&config.type) != PB_OK) {
        return NULL;
    }
    struct pb_memory *memory = MARK, *copy = MARK;
    const uint64_t most =
        (uint64_t)(config.type.max_pages < PB_PAGES_MAX ? config.type.max_pages : PB_PAGES_MAX) *
        PAGE;
    memset(&heard, 0, sizeof heard);
    heard.refuse = (unsigned)op->arg.host_limiter.refuse % 6;
    const bool refused = heard.refuse == 1 && min > 0;
    enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = answered(got, refused ? S(REFUSED) : S(OK), "R40-create");
    broken = first(broken, told(got, memory, "R1-told"));
    if (got == PB_OK || got == PB_REFUSED) {
        broken = first(broken, min == 0 ? only_said(0, 0, 0, 0)
                                        : only_said(SAYS_GROWING, 0, min * PAGE, most));
    } else if (!(silent & FAILED) && min > 0 && heard.bytes != 0) {
        broken = first(broken, "R40-told");
    }
    if (got != PB_OK || memory == MARK) {
        return broken;
    }
    broken = first(broken, limited_growth(memory, &config.type,
                                          (uint32_t)op->arg.host_limiter.delta % (2 * PAGES),
                                          !(silent & FAILED)));
    broken = first(broken, limited_growth(memory, &config.type, 0, true));
    broken = first(broken, limited_growth(memory, &config.type, PB_PAGES_MAX + 1, true));
    uint64_t size = pb_memory_size_bytes(memory);
    heard.count = 0;
    const bool no_copy = heard.refuse == 1 && size > 0;
    got = pb_memory_copy(memory, &copy);
    broken = first(broken, answered(got, no_copy ? S(REFUSED) : S(OK), "R40-copy"));
    broken = first(broken, told(got, copy, "R13-told"));
    if (got == PB_OK || got == PB_REFUSED) {
        broken = first(broken,
                       size == 0 ? only_said(0, 0, 0, 0) : only_said(SAYS_GROWING, 0, size, most));
    }
    heard.count = 0;
    const bool tells_less = !(silent & SHRUNK);
    if (pb_memory_reset(memory) == PB_OK) {
        broken = first(broken, tells_less && size > min * PAGE
                                   ? only_said(SAYS_SHRUNK, size, min * PAGE, 0)
                                   : only_said(0, 0, 0, 0));
        size = min * PAGE;
    }
    heard.count = 0;
    if (got == PB_OK && copy != MARK) {
        const uint64_t copied = pb_memory_size_bytes(copy);
        pb_memory_release(copy);
        broken = first(broken, tells_less && copied > 0 ? only_said(SAYS_SHRUNK, copied, 0, 0)
                                                        : only_said(0, 0, 0, 0));
    }
    size = pb_memory_size_bytes(memory);
    pb_memory_release(memory);
    broken = first(broken, tells_less && size > 0 ? only_said(SAYS_SHRUNK, size, 0, 0)
                                                  : only_said(0, 0, 0, 0));
    return first(broken, holds(!tells_less || (silent & FAILED) || heard.bytes == 0, "R40-budget"));
}

/* The budget's own functions, at any numbers. */
static const char *host_budget(const struct op *op) {
    const uint64_t max = op->arg.host_budget.max, used = op->arg.host_budget.used;
    const uint64_t a = op->arg.host_budget.from, b = op->arg.host_budget.to;
    const uint64_t from = a < b ? a : b, to = a < b ? b : a;
    struct pb_budget budget = {.max_bytes = max};
    atomic_store(&budget.used_bytes, used);
    const struct pb_limiter limiter = pb_budget_limiter(&budget);
    const bool fits = used <= max && to - from <= max - used;
    const bool granted = limiter.growing(limiter.context, from, to, to);
    const char *broken = holds(granted == fits && atomic_load(&budget.used_bytes) ==
                                                      (fits ? used + (to - from) : used),
                               "R40-budget");
    if (broken == NULL && granted) {
        if (op->arg.host_budget.failed == WORD_yesno_yes) {
            limiter.failed(limiter.context, from, to, PB_SYSTEM);
        } else {
            limiter.shrunk(limiter.context, to, from);
        }
        broken = holds(atomic_load(&budget.used_bytes) == used, "R40-budget");
    }
    return broken;
}

/* ---- Cancellers -------------------------------------------------------------------------------
 */

static const char *host_canceller(const struct op *op) {
    const bool wide = op->arg.host_canceller.wide == WORD_yesno_yes;
    const bool cancelled = op->arg.host_canceller.cancelled == WORD_yesno_yes;
    const bool shared = op->arg.host_canceller.shared == WORD_yesno_yes;
    const uint64_t at = op->arg.host_canceller.at, width = wide ? 8 : 4;
    const uint64_t expected =
        wide ? op->arg.host_canceller.expected : (uint32_t)op->arg.host_canceller.expected;
    int64_t timeout_ns = (int64_t)op->arg.host_canceller.timeout_ns;
    struct pb_canceller *canceller = MARK;
    struct pb_memory *memory;
    enum pb_wait result = (enum pb_wait)9;
    if (plain_memory(1, shared, &memory) != PB_OK) {
        return NULL;
    }
    enum pb_status got = pb_canceller_create(&allocator, &canceller);
    const char *broken = answered(got, S(OK), "R41-create");
    broken = first(broken, told(got, canceller, "R41-told"));
    if (got != PB_OK || canceller == MARK) {
        pb_memory_release(memory);
        return broken;
    }
    if (cancelled) {
        pb_canceller_cancel(canceller);
        pb_canceller_cancel(canceller);
    } else {
        timeout_ns = timeout_ns != 0 ? 1 : 0; /* nobody would end it */
    }
    unsigned set = at % width != 0            ? S(MISALIGNED)
                   : !within(at, width, PAGE) ? S(OUT_OF_BOUNDS)
                   : !shared                  ? S(NOT_SHARED)
                                              : S(OK);
    enum pb_wait wanted = expected != 0 ? PB_WAIT_NOT_EQUAL : PB_WAIT_TIMED_OUT;
    const bool reached = set == S(OK);
    if (reached && expected == 0 && timeout_ns != 0 && cancelled) {
        set = S(CANCELLED);
    }
    got = wide ? pb_memory_cancellable_wait64(memory, at, expected, timeout_ns, canceller, &result)
               : pb_memory_cancellable_wait32(memory, at, (uint32_t)expected, timeout_ns, canceller,
                                              &result);
    broken = first(
        broken, holds((set >> got & 1) && (got != PB_OK || result == wanted),
                      set == S(CANCELLED) || got == PB_CANCELLED ? "R41-cancelled" : "R20-value"));
    pb_canceller_reset(canceller);
    if (broken == NULL && reached) { /* as it was when it was created */
        got = wide ? pb_memory_cancellable_wait64(memory, at, 0, 1, canceller, &result)
                   : pb_memory_cancellable_wait32(memory, at, 0, 1, canceller, &result);
        broken = holds(got == PB_OK && result == PB_WAIT_TIMED_OUT, "R41-reset");
    }
    pb_canceller_release(canceller);
    pb_canceller_release(NULL);
    pb_memory_release(memory);
    return broken;
}

/* ---- Faults -----------------------------------------------------------------------------------
 */

static const char *host_fault(const struct op *op) {
    enum { PAGES = 3 };
    const uint32_t pages = (uint32_t)op->arg.host_fault.pages % PAGES;
    const uint64_t at = op->arg.host_fault.at, size = pages * PAGE;
    const uint8_t *reserved;
    uint64_t reserved_bytes;
    struct pb_memory *memory;
    struct pb_address_owner owner = {1, 2, MARK}, none = {1, 2, MARK};
    if (plain_memory(pages, false, &memory) != PB_OK) {
        return NULL;
    }
    const uint8_t *base = base_of(memory);
    const char *broken = NULL;
    if (base != NULL && os_wrap_reservation(base, &reserved, &reserved_bytes) &&
        at < reserved_bytes) {
        const enum pb_fault got = pb_memory_fault_at(base + at, &owner);
        broken = holds(got == (at < size ? PB_FAULT_INSIDE : PB_FAULT_TRAP) &&
                           owner.offset_bytes == at && owner.length_bytes == size &&
                           owner.definition == pb_memory_definition(memory),
                       "R39-fault");
    }
    pb_memory_release(memory);
    /* nobody's: an address of ours that is no memory's */
    broken = first(broken, holds(pb_memory_fault_at(&page, &none) == PB_FAULT_ELSEWHERE &&
                                     none.offset_bytes == 1 && none.length_bytes == 2 &&
                                     none.definition == MARK,
                                 "R39-fault"));
    return first(broken,
                 holds(!pb_memory_owner_of(NULL, &none) && none.definition == MARK, "R39-fault"));
}

/* ---- Mailboxes --------------------------------------------------------------------------------
 */

static const char *open_box(struct pb_mailbox *box, const struct pb_mailbox_words *words,
                            const struct pb_mailbox_config *c, uint64_t id) {
    const uint32_t capacity = c->capacity == 0 ? PB_MAILBOX_CAPACITY : c->capacity;
    const bool sound = id != 0 && id <= UINT32_MAX;
    uint32_t left = 77;
    struct pb_waker *waker = MARK;
    const char *broken =
        holds(atomic_load(&words->capacity) == capacity && atomic_load(&words->flag) == 0 &&
                  atomic_load(&words->head) == c->first_cursor &&
                  atomic_load(&words->tail) == c->first_cursor,
              "R35-words");
    enum pb_status got = pb_waker_create(box, id, &waker);
    broken = first(broken, answered(got, sound ? S(OK) : S(INVALID), "R30-id"));
    broken = first(broken, told(got, waker, "R30-told"));
    broken =
        first(broken, answered(pb_mailbox_enqueue(box, id), sound ? S(OK) : S(INVALID), "R30-id"));
    broken = first(broken, holds(atomic_load(&words->tail) == c->first_cursor + (sound ? 1u : 0u),
                                 "R35-words"));
    if (sound && broken == NULL) {
        broken = holds(atomic_load(&words->ring[c->first_cursor & (capacity - 1)]) == id &&
                           atomic_load(&words->flag) == PB_MAILBOX_SIGNALLED,
                       "R35-words");
    }
    broken =
        first(broken, holds(pb_mailbox_is_signalled(box) == sound && !pb_mailbox_is_closed(box),
                            "R34-signal"));
    broken = first(broken, holds(pb_mailbox_flush(box, NULL) == PB_OK &&
                                     pb_mailbox_flush(box, &left) == PB_OK && left == 0,
                                 "R33-flush"));
    broken =
        first(broken, holds(pb_mailbox_wait_for_signal(box, 0) == (sound ? PB_OK : PB_TIMED_OUT),
                            "R34-signal"));
    pb_mailbox_close(box, NULL);
    left = 77;
    pb_mailbox_close(box, &left);
    broken =
        first(broken, holds(left == 0 && pb_mailbox_is_closed(box) && !pb_mailbox_is_signalled(box),
                            "R36-closed"));
    left = 77;
    broken =
        first(broken, holds(pb_mailbox_flush(box, &left) == PB_CLOSED && left == 0, "R36-closed"));
    broken = first(broken, holds(pb_mailbox_wait_for_signal(box, -1) == PB_CLOSED, "R36-closed"));
    broken = first(broken, holds(pb_mailbox_enqueue(box, 1) == PB_CLOSED &&
                                     pb_mailbox_enqueue(box, 0) == PB_INVALID,
                                 "R36-closed"));
    if (got == PB_OK && waker != MARK) {
        broken = first(broken,
                       holds(pb_waker_retain(waker) == waker && pb_waker_wake(waker) == PB_CLOSED,
                             "R36-closed"));
        pb_waker_release(waker);
        pb_waker_release(waker);
    }
    pb_waker_release(NULL);
    return broken;
}

static const char *host_mailbox(const struct op *op) {
    enum { PAGES = 3 };
    struct pb_memory *memory;
    struct pb_mailbox *box = MARK;
    struct pb_mailbox_config config = {
        .offset = (uint32_t)op->arg.host_mailbox.offset,
        .capacity = (uint32_t)op->arg.host_mailbox.capacity,
        .first_cursor = (uint32_t)op->arg.host_mailbox.cursor,
        .full = op->arg.host_mailbox.full == WORD_full_spill ? PB_MAILBOX_SPILL : PB_MAILBOX_REJECT,
        .spill_max = (uint32_t)op->arg.host_mailbox.spill,
        .allocator = &allocator,
    };
    const uint32_t pages = (uint32_t)op->arg.host_mailbox.pages % (PAGES + 1);
    if (plain_memory(pages, op->arg.host_mailbox.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    config.memory = memory;
    const uint64_t capacity = config.capacity == 0 ? PB_MAILBOX_CAPACITY : config.capacity;
    unsigned set =
        (capacity & (capacity - 1)) != 0 || capacity > PB_MAILBOX_CAPACITY_MAX ? S(INVALID) : 0;
    set |= config.offset % 4 != 0 ? S(MISALIGNED) : 0;
    set |= within(config.offset, 16 + 4 * capacity, pages * PAGE) ? 0 : S(OUT_OF_BOUNDS);
    const enum pb_status got = pb_mailbox_create(&config, &box);
    const char *broken = answered(got, set == 0 ? S(OK) : set, "R38-attach");
    broken = first(broken, told(got, box, "R38-told"));
    if (got == PB_OK && box != MARK) {
        const struct pb_mailbox_words *words = (const void *)(base_of(memory) + config.offset);
        broken = broken != NULL ? broken : open_box(box, words, &config, op->arg.host_mailbox.id);
        pb_mailbox_release(box);
    }
    pb_mailbox_release(NULL);
    pb_memory_release(memory);
    return broken;
}

/* A memory of two pages, of which the first was there from the start. */
static enum pb_status grown_memory(struct pb_memory **memory) {
    const struct pb_memory_style style = {.kind = PB_STYLE_STATIC, .bound_pages = 4};
    const struct pb_memory_config config = {
        .type = {1, 4, false},
        .style = &style,
        .strategy = PB_STRATEGY_RESERVE,
        .allocator = &allocator,
    };
    uint32_t old;
    enum pb_status status = pb_memory_create(&config, memory);
    if (status == PB_OK && pb_memory_grow(*memory, 1, &old) != PB_OK) {
        pb_memory_release(*memory);
        status = PB_NO_MEMORY;
    }
    return status;
}

/* What the holder does to the memory. True if it could; the copy's bytes must be the memory's. */
static bool held_work(struct pb_memory *memory, enum word_held what, const char **broken) {
    struct pb_memory *copy;
    uint32_t old;
    switch (what) {
    case WORD_held_reset:
        return pb_memory_reset(memory) == PB_OK;
    case WORD_held_shared:
        return pb_memory_to_shared(memory) == PB_OK;
    case WORD_held_copy:
        if (pb_memory_copy(memory, &copy) == PB_OK) {
            *broken = holds(memcmp(base_of(copy), base_of(memory), 2 * PAGE) == 0, "R13-copy");
            pb_memory_release(copy);
        }
        return true;
    default:
        return pb_memory_grow(memory, 1, &old) == PB_OK;
    }
}

static const char *lost_box(struct pb_mailbox *box, uint32_t spilled) {
    uint32_t dropped = 77, again = 77, left = 77;
    const char *broken = holds(pb_mailbox_is_closed(box) && !pb_mailbox_is_signalled(box) &&
                                   pb_mailbox_enqueue(box, 5) == PB_CLOSED &&
                                   pb_mailbox_flush(box, &left) == PB_CLOSED && left == 0 &&
                                   pb_mailbox_wait_for_signal(box, -1) == PB_CLOSED,
                               "R37-lost");
    pb_mailbox_close(box, &dropped);
    pb_mailbox_close(box, &again);
    return first(broken, holds(dropped == spilled && again == 0, "R36-dropped"));
}

struct ids {
    uint32_t next;
    bool right;
};

static void take_id(void *context, uint32_t id) {
    struct ids *ids = context;
    ids->right = ids->right && id == ids->next;
    ids->next++;
}

/* All that were accepted come, in order. */
static const char *kept_box(struct pb_mailbox *box, struct pb_mailbox_words *words,
                            uint32_t accepted) {
    struct ids ids = {1, true};
    uint32_t left = 1;
    for (unsigned i = 0; i < 64 && left > 0; i++) {
        (void)pb_guest_drain(words, take_id, &ids);
        if (pb_mailbox_flush(box, &left) != PB_OK) {
            return "R37-unhold";
        }
    }
    (void)pb_guest_drain(words, take_id, &ids);
    return holds(ids.right && ids.next == accepted + 1, "R30-lost");
}

static const char *host_held(const struct op *op) {
    enum { IDS_MAX = 40 };
    struct pb_memory *memory;
    struct pb_mailbox *box;
    if (grown_memory(&memory) != PB_OK) {
        return NULL;
    }
    const bool second = op->arg.host_held.offset % 2 != 0; /* in the page that goes */
    const struct pb_mailbox_config config = {
        .memory = memory,
        .offset = (uint32_t)((second ? PAGE : 0) + op->arg.host_held.offset % 1024 / 4 * 4),
        .capacity = UINT32_C(1) << op->arg.host_held.capacity % 4,
        .full = PB_MAILBOX_SPILL,
        .spill_max = (uint32_t)op->arg.host_held.spill % 16,
        .allocator = &allocator,
    };
    if (pb_mailbox_create(&config, &box) != PB_OK) {
        pb_memory_release(memory);
        return NULL;
    }
    uint32_t accepted = 0;
    const uint32_t ids = (uint32_t)op->arg.host_held.ids % IDS_MAX;
    while (accepted < ids && pb_mailbox_enqueue(box, accepted + 1) == PB_OK) {
        accepted++;
    }
    const uint32_t room = config.capacity + config.spill_max;
    const char *broken = holds(accepted == (ids < room ? ids : room), "R33-full");
    const uint32_t spilled = accepted > config.capacity ? accepted - config.capacity : 0;
    const enum word_held what = (enum word_held)op->arg.host_held.held;
    pb_mailbox_hold(box);
    const bool did = held_work(memory, what, &broken);
    const bool lost = did && what == WORD_held_reset && second;
    const enum pb_status got = pb_mailbox_unhold(box);
    broken = first(broken, holds(got == (lost ? PB_OUT_OF_BOUNDS : PB_OK), "R37-unhold"));
    if (broken == NULL && lost) {
        broken = lost_box(box, spilled);
    } else if (broken == NULL && did && what != WORD_held_reset) {
        broken = kept_box(box, (void *)(base_of(memory) + config.offset), accepted);
    }
    pb_mailbox_close(box, NULL);
    pb_mailbox_release(box);
    pb_memory_release(memory);
    return broken;
}

/* ---- Accesses ---------------------------------------------------------------------------------
 */

static enum pb_status access_make(const struct op *op, struct pb_memory *memory, uint64_t *answer) {
    const uint32_t index = (uint32_t)op->arg.host_access.index;
    const uint32_t offset = (uint32_t)op->arg.host_access.offset;
    const unsigned width = (unsigned)op->arg.host_access.width;
    const uint64_t value = op->arg.host_access.value;
    switch ((enum word_access)op->arg.host_access.access) {
    case WORD_access_load:
        return pb_memory_load(memory, index, offset, width, answer);
    case WORD_access_store:
        return pb_memory_store(memory, index, offset, width, value);
    case WORD_access_atomic_load:
        return pb_memory_atomic_load(memory, index, offset, width, answer);
    case WORD_access_atomic_store:
        return pb_memory_atomic_store(memory, index, offset, width, value);
    case WORD_access_rmw:
        return pb_memory_atomic_rmw(memory, (enum pb_rmw)op->arg.host_access.kind, index, offset,
                                    width, value, answer);
    default:
        return pb_memory_atomic_cmpxchg(memory, index, offset, width, value, ~value, answer);
    }
}

static const char *host_access(const struct op *op) {
    const unsigned width = (unsigned)op->arg.host_access.width;
    const enum word_access access = (enum word_access)op->arg.host_access.access;
    const bool known = width == 1 || width == 2 || width == 4 || width == 8;
    const uint64_t at =
        (uint64_t)(uint32_t)op->arg.host_access.index + (uint32_t)op->arg.host_access.offset;
    static const uint8_t zero[65536];
    uint64_t answer = 0;
    struct pb_memory *memory;
    if (plain_memory(1, op->arg.host_access.shared == WORD_yesno_yes, &memory) != PB_OK) {
        return NULL;
    }
    unsigned set = 0;
    set |= !known ? S(INVALID) : 0;
    set |= access == WORD_access_rmw && op->arg.host_access.kind >= PB_RMW_COUNT ? S(INVALID) : 0;
    if (access >= WORD_access_atomic_load && known && at % width != 0) {
        set |= S(MISALIGNED);
    } else if (known && !within(at, width, PAGE)) {
        set |= S(OUT_OF_BOUNDS);
    }
    const enum pb_status got = access_make(op, memory, &answer);
    const char *broken = holds((set == 0 ? S(OK) : set) >> got & 1, "R18-access");
    if (broken == NULL && set != 0) {
        broken = holds(memcmp(base_of(memory), zero, PAGE) == 0, "R18-access");
    } else if (broken == NULL) {
        broken = holds(answer == 0, "R18-load");
    }
    pb_memory_release(memory);
    return broken;
}

/* ---- Tenants of an image ----------------------------------------------------------------------
 */

static const char *tenant_leaves(struct pb_memory *memory, const struct op *op,
                                 uint64_t image_bytes, uint32_t first_pages, unsigned tenant) {
    enum { WRITES_MAX = 100 };
    const uint64_t host = host_page_bytes(), size = pb_memory_size_bytes(memory);
    const uint64_t stride = host * (1 + op->arg.host_tenants.stride % 4);
    uint32_t old;
    for (uint64_t i = 0; i < op->arg.host_tenants.count % WRITES_MAX && i * stride < size; i++) {
        base_of(memory)[i * stride + (i + tenant) % host] ^= 0x55;
    }
    if (pb_memory_grow(memory, (uint32_t)(op->arg.host_tenants.delta % 3), &old) == PB_OK &&
        pb_memory_size_bytes(memory) > size) {
        if (base_of(memory)[size + 9] != 0) {
            return "R15-reuse"; /* the last tenant's */
        }
        base_of(memory)[size + 9] = 7;
    }
    const enum pb_status got = pb_memory_reset(memory);
    const char *broken = answered(got, S(OK), "R15-reset-refused");
    if (got != PB_OK) {
        return broken;
    }
    const uint8_t *base = base_of(memory);
    uint64_t behind = image_bytes;
    while (behind < first_pages * PAGE && base[behind] == 0) {
        behind++;
    }
    return first(broken, holds(pb_memory_size_pages(memory) == first_pages &&
                                   memcmp(base, far_bytes(), image_bytes) == 0 &&
                                   behind == first_pages * PAGE,
                               "R15-reuse"));
}

static const char *host_tenants(const struct op *op) {
    enum { PAGES = 3, TENANTS = 6, ROOM = 2 };
    const uint64_t host = host_page_bytes();
    const uint32_t pages = 1 + (uint32_t)op->arg.host_tenants.pages % PAGES;
    const uint64_t image_bytes =
        op->arg.host_tenants.pages % 2 == 0 ? pages * PAGE - host : PAGE / 2;
    struct pb_image *image;
    struct pb_memory *memory, *copy = NULL;
    if (far_bytes() == NULL || image_bytes > FAR_WINDOW_BYTES / 2 + PAGE ||
        pb_image_create(far_bytes(), image_bytes, &allocator, &image) != PB_OK) {
        return NULL;
    }
    const struct pb_memory_config config = {
        .type = {pages, pages + ROOM, false},
        .strategy = PB_STRATEGY_IMAGE,
        .image = image,
        .keep_resident_bytes = op->arg.host_tenants.keep / host * host,
        .allocator = &allocator,
    };
    enum pb_status got = pb_memory_create(&config, &memory);
    pb_image_release(image); /* views of it outlive it */
    const char *broken = answered(got, S(OK) | S(UNSUPPORTED), "R2-image");
    if (got != PB_OK) {
        return broken;
    }
    for (unsigned i = 0; i < 1 + op->arg.host_tenants.tenants % TENANTS && broken == NULL; i++) {
        broken = tenant_leaves(memory, op, image_bytes, pages, i);
        if (broken == NULL && i == 1 && pb_memory_copy(memory, &copy) == PB_OK) {
            pb_memory_release(memory); /* the copy goes back to the same first contents */
            memory = copy;
        }
    }
    pb_memory_release(memory);
    return broken;
}

/* ---- Which one --------------------------------------------------------------------------------
 */

typedef const char *call(const struct op *op);
static call *const calls[256] = {
    [OP_host_pool] = host_pool,           [OP_host_image] = host_image,
    [OP_host_custom] = host_custom,       [OP_host_segments] = host_segments,
    [OP_host_init] = host_init,           [OP_host_range] = host_range,
    [OP_host_create] = host_create,       [OP_host_names] = host_names,
    [OP_host_limiter] = host_limiter,     [OP_host_budget] = host_budget,
    [OP_host_canceller] = host_canceller, [OP_host_fault] = host_fault,
    [OP_host_mailbox] = host_mailbox,     [OP_host_access] = host_access,
    [OP_host_held] = host_held,           [OP_host_tenants] = host_tenants,
};

bool host_call_is(unsigned code) {
    return code < 256 && calls[code] != NULL;
}

uint64_t host_call_work(const struct op *op) {
    enum { WORK_POOL = 40, WORK_OTHER = 8 };
    const bool long_one = op->code == OP_host_pool || op->code == OP_host_tenants;
    return long_one ? WORK_POOL : WORK_OTHER;
}

const char *host_call(const struct op *op) {
    faults_before = fault_count();
    return calls[op->code](op);
}
