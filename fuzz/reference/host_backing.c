/* host_backing.c: pools and images, at the limits of their configurations. */
#include "host_within.h"

#include "os_wrap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { REUSED_BYTES_MAX = 1 << 20 };

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
    const bool sure = bytes <= (unsigned __int128)64 * GIB && c->slots <= SURE_SLOTS;
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
    struct pb_memory *memory = HOST_MARK;
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
        .allocator = &host_allocator,
    };
    const struct pb_pool_stats before = pb_pool_stats(pool);
    const enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = host_answered(got, set, rule);
    broken = host_first(broken, host_told(got, memory, "R1-told"));
    if (got == PB_OK && memory != HOST_MARK) {
        struct pb_pool_stats during = pb_pool_stats(pool);
        broken = host_first(
            broken, host_holds(during.used == before.used + 1 && during.free + 1 == before.free,
                               "R15-stats"));
        const uint8_t *reserved;
        uint64_t reserved_bytes;
        bool known = os_wrap_reservation(host_base(memory), &reserved, &reserved_bytes);
        broken =
            host_first(broken, host_holds(known && c->slot_bytes + c->guard_bytes <=
                                                       reserved_bytes -
                                                           (uint64_t)(host_base(memory) - reserved),
                                          "R15-slot"));
        pb_memory_release(memory);
        during = pb_pool_stats(pool);
        broken =
            host_first(broken, host_holds(during.used == before.used &&
                                              (host_call_failed() || during.free == before.free),
                                          "R15-stats"));
    }
    return broken;
}

/* [from, to) of a memory reads 0. */
static bool reads_zero(struct pb_memory *memory, uint64_t from, uint64_t to) {
    static const uint8_t zero[65536];
    bool right = true;
    for (uint64_t at = from; at < to && right; at += sizeof zero) {
        const uint64_t bytes = to - at < sizeof zero ? to - at : sizeof zero;
        right = memcmp(host_base(memory) + at, zero, bytes) == 0;
    }
    return right;
}

/* Writes into every `stride`th host page. */
static void write_pages(struct pb_memory *memory, uint64_t stride) {
    const uint64_t host = host_page_bytes(), bytes = pb_memory_size_bytes(memory);
    for (uint64_t at = 0; at < bytes; at += stride * host) {
        host_base(memory)[at + at / host % host] = 0xEE;
    }
}

/* ---- What stays resident ------------------------------------------------------------------------
 */

enum { HABIT_PAGES = 8 }; /* host pages that a tenant writes, few enough to be tried */

/* Nothing can be swapped out, and pages come one at a time. */
static bool can_tell_resident(void) {
    struct sysinfo machine;
    return host_page_bytes() == 4096 && sysinfo(&machine) == 0 && machine.totalswap == 0;
}

static uint64_t resident_pages(const uint8_t *base, uint64_t bytes) {
    static unsigned char resident[REUSED_BYTES_MAX / 4096];
    uint64_t count = 0;
    if (mincore((void *)(uintptr_t)base, bytes, resident) != 0) {
        return 0;
    }
    for (uint64_t n = 0; n < bytes / host_page_bytes(); n++) {
        count += resident[n] & 1;
    }
    return count;
}

/* A tenant of the whole slot writes a byte into each of some host pages, and leaves. How many stay;
 * *told is false where that says nothing. */
static uint64_t kept_after(struct pb_pool *pool, const struct pb_pool_config *c, uint64_t first,
                           bool *told) {
    const uint32_t pages = (uint32_t)(c->slot_bytes / PAGE);
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    const struct pb_memory_config config = {
        .type = {pages, pages, false},
        .style = &style,
        .strategy = PB_STRATEGY_POOL,
        .pool = pool,
        .allocator = &host_allocator,
    };
    struct pb_memory *memory;
    if (pb_memory_create(&config, &memory) != PB_OK) {
        *told = false;
        return 0;
    }
    uint8_t *base = host_base(memory);
    const uint64_t before = resident_pages(base, pages * PAGE);
    for (uint64_t n = 0; n < HABIT_PAGES; n++) {
        base[(first + n) * host_page_bytes() + n] = 1;
    }
    *told &= resident_pages(base, pages * PAGE) <= before + HABIT_PAGES;
    pb_memory_release(memory);
    return resident_pages(base, pages * PAGE);
}

/* What backing.h says of each way to reset: which pages stay for the next tenant, and how many at
 * most. The same pages of each tenant do, where they are scanned; other pages each time do not. */
static const char *pool_habits(struct pb_pool *pool, const struct pb_pool_config *c) {
    enum { TURNS = 3, OTHERS = 60 };
    const uint64_t host = host_page_bytes(), keep = c->keep_resident_bytes / host;
    const uint64_t slot = c->slot_bytes / PAGE * PAGE / host;
    const bool scans = c->reset == PB_POOL_SCAN;
    bool told = can_tell_resident();
    const char *broken = NULL;
    if (!told || slot < UINT64_C(2) * OTHERS) {
        return NULL;
    }
    for (unsigned turn = 0; turn < TURNS && broken == NULL; turn++) {
        const uint64_t kept = kept_after(pool, c, 0, &told);
        const uint64_t must =
            scans ? (keep < HABIT_PAGES ? keep : HABIT_PAGES) : (keep < slot ? keep : slot);
        const bool right =
            kept <= must && (kept == must || (scans && (turn == 0 || keep < HABIT_PAGES)));
        if (told && !host_call_failed()) {
            broken = host_holds(right, kept > must ? "R15-keeps" : "R15-gives-back");
        }
    }
    if (scans && keep >= UINT64_C(2) * HABIT_PAGES && broken == NULL) {
        const uint64_t kept = kept_after(pool, c, OTHERS, &told);
        broken = host_holds(kept == 0 || !told || host_call_failed(), "R15-keeps");
    }
    return broken;
}

/* One tenant after another: each begins with one page, or none, grows to the whole slot, writes, is
 * reset, grows again, writes again. None sees what was there before. */
static const char *pool_reuse(struct pb_pool *pool, const struct pb_pool_config *c) {
    enum { TENANTS = 4 };
    const uint32_t pages = (uint32_t)(c->slot_bytes / PAGE);
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    const char *broken = NULL;
    for (unsigned n = 0; n < TENANTS && broken == NULL; n++) {
        struct pb_memory *memory;
        uint32_t old;
        const struct pb_memory_config config = {
            .type = {n % 2 == 0 ? 1 : 0, pages, false},
            .style = &style,
            .strategy = PB_STRATEGY_POOL,
            .advice = n == 2 ? PB_ADVICE_HUGE_PAGES : PB_ADVICE_NONE,
            .pool = pool,
            .allocator = &host_allocator,
        };
        const uint64_t min_bytes = config.type.min_pages * PAGE;
        if (pb_memory_create(&config, &memory) != PB_OK) {
            return host_holds(host_call_failed(), "R15-slot-refused");
        }
        for (unsigned turn = 0; turn < 2 && broken == NULL; turn++) {
            const uint32_t size = pb_memory_size_pages(memory);
            broken = host_holds(size == config.type.min_pages && reads_zero(memory, 0, min_bytes),
                                turn == 0 ? "R15-reuse" : "R15-reset");
            broken = host_first(broken, host_answered(pb_memory_grow(memory, pages - size, &old),
                                                      S(OK), "R15-slot"));
            broken = host_first(
                broken, host_holds(reads_zero(memory, min_bytes, pb_memory_size_bytes(memory)),
                                   "R15-reuse"));
            write_pages(memory, 1 + (n + turn) % 3);
            if (turn == 0 && pb_memory_reset(memory) != PB_OK) {
                broken = host_first(broken, host_holds(host_call_failed(), "R15-reset-refused"));
                break;
            }
        }
        pb_memory_release(memory);
    }
    return broken;
}

enum { NEIGHBOURS = 3 };

/* Tenants at the same time: where they are, and what each has written at both ends of its pages. */
struct neighbours {
    struct pb_memory *memory[NEIGHBOURS];
    unsigned count;
};

static bool neighbours_hold(const struct neighbours *n, uint64_t stride) {
    bool right = true;
    for (unsigned i = 0; i < n->count; i++) {
        if (n->memory[i] == NULL) {
            continue;
        }
        const uint8_t *base = host_base(n->memory[i]);
        const uint64_t bytes = pb_memory_size_bytes(n->memory[i]);
        right &= bytes == 0 ||
                 (base[0] == 1 + i && base[bytes - 1] == 1 + i && base[bytes / 2] == 1 + i);
        for (unsigned j = 0; j < i; j++) {
            const uint8_t *other = n->memory[j] == NULL ? NULL : host_base(n->memory[j]);
            const uint64_t apart = (uint64_t)(other > base ? other - base : base - other);
            right &= other == NULL || apart >= stride;
        }
    }
    return right;
}

static bool neighbour_comes(struct neighbours *n, unsigned i,
                            const struct pb_memory_config *config) {
    if (pb_memory_create(config, &n->memory[i]) != PB_OK) {
        n->memory[i] = NULL;
        return false;
    }
    uint8_t *base = host_base(n->memory[i]);
    const uint64_t bytes = pb_memory_size_bytes(n->memory[i]);
    if (bytes > 0) {
        base[0] = base[bytes - 1] = base[bytes / 2] = (uint8_t)(1 + i);
    }
    return true;
}

/* One is reset, grows, goes and comes again; nothing happens to the others. */
static const char *pool_neighbours(struct pb_pool *pool, const struct pb_pool_config *c) {
    const uint64_t stride = c->slot_bytes + c->guard_bytes, room = c->slot_bytes / PAGE;
    const bool small = c->slot_bytes <= REUSED_BYTES_MAX;
    const uint32_t pages = room > 65534 ? 65534 : (uint32_t)room;
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    const struct pb_memory_config config = {
        .type = {small ? pages : (pages > 0 ? 1 : 0), pages, false},
        .style = &style,
        .strategy = PB_STRATEGY_POOL,
        .pool = pool,
        .allocator = &host_allocator,
    };
    struct neighbours n = {.count = c->slots < NEIGHBOURS ? c->slots : NEIGHBOURS};
    const char *broken = NULL;
    bool all = true;
    for (unsigned i = 0; i < n.count && all; i++) {
        all = neighbour_comes(&n, i, &config);
    }
    broken = host_holds(all || host_call_failed(), "R15-slot-refused");
    broken = host_first(broken, host_holds(neighbours_hold(&n, stride), "R15-neighbour"));
    for (unsigned i = 0; i < n.count && all && broken == NULL; i++) {
        if (pb_memory_reset(n.memory[i]) != PB_OK) {
            break;
        }
        pb_memory_release(n.memory[i]);
        n.memory[i] = NULL;
        broken = host_holds(neighbours_hold(&n, stride), "R15-neighbour");
        all = neighbour_comes(&n, i, &config);
        broken =
            host_first(broken, host_holds(!all || neighbours_hold(&n, stride), "R15-neighbour"));
    }
    for (unsigned i = 0; i < n.count; i++) {
        if (n.memory[i] != NULL) {
            pb_memory_release(n.memory[i]);
        }
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
        broken = host_first(broken, tenant_statuses(pool, c, &t, S(OK), "R15-slot-refused"));
    }
    if (whole) { /* its capacity ends behind the slot: between slot and guard, or further */
        t = fits;
        t.guard_bytes = 0;
        t.max_pages = t.bound_pages = pages + 1;
        broken =
            host_first(broken, tenant_statuses(pool, c, &t, S(NO_MEMORY), "R4-slot-too-short"));
        t.bound_pages = 0;
        t.shared = true;
        broken =
            host_first(broken, tenant_statuses(pool, c, &t, S(NO_MEMORY), "R4-slot-too-short"));
        t.min_pages = pages + 1;
        t.shared = false;
        broken =
            host_first(broken, tenant_statuses(pool, c, &t, S(NO_MEMORY), "R4-slot-too-short"));
    }
    for (unsigned rung = 0; rung < PB_RUNG_COUNT && pages > 0 && c->guard_bytes < 64 * GIB;
         rung++) {
        t = fits; /* a guard above the pool's is senseless, which falling back does not mend */
        t.guard_bytes = c->guard_bytes + host;
        t.fall_back = (enum pb_rung)rung;
        broken = host_first(broken, tenant_statuses(pool, c, &t, S(INVALID),
                                                    rung == 0 ? "R3-guard" : "R43-not-for-space"));
    }
    return broken;
}

const char *host_pool(const struct op *op) {
    const struct pb_pool_config config = {
        .slots = (uint32_t)op->arg.host_pool.slots,
        .slot_bytes = op->arg.host_pool.slot,
        .guard_bytes = op->arg.host_pool.guard,
        .reset = (enum pb_pool_reset)(op->arg.host_pool.reset % 4),
        .keep_resident_bytes = op->arg.host_pool.keep,
        .allocator = op->arg.host_pool.slots == 2 ? NULL : &host_allocator,
    };
    struct pb_pool *pool = HOST_MARK;
    const unsigned set = pool_statuses(&config);
    const enum pb_status got = pb_pool_create(&config, &pool);
    const char *broken = host_answered(got, set, set & S(NO_MEMORY) ? "R9-pool" : "R15-pool");
    broken = host_first(broken, host_told(got, pool, "R15-told"));
    if (got != PB_OK || pool == HOST_MARK) {
        return broken;
    }
    const struct pb_pool_stats stats = pb_pool_stats(pool);
    broken = host_first(
        broken, host_holds(stats.free == config.slots && stats.used == 0 && stats.retired == 0,
                           "R15-stats"));
    broken =
        host_first(broken, host_holds(pb_pool_slot_bytes(pool) == config.slot_bytes, "R15-slot"));
    broken = broken != NULL ? broken : pool_tenants(pool, &config);
    broken = broken != NULL ? broken : pool_neighbours(pool, &config);
    if (broken == NULL && config.slot_bytes <= REUSED_BYTES_MAX) {
        broken = pool_habits(pool, &config);
    }
    if (broken == NULL && config.slot_bytes >= PAGE && config.slot_bytes <= REUSED_BYTES_MAX) {
        broken = pool_reuse(pool, &config);
    }
    pb_pool_release(pool);
    pb_pool_release(NULL);
    return broken;
}

/* ---- Images -----------------------------------------------------------------------------------
 */

/* A memory that begins with the image: its bytes, zeros behind it; too short a one. */
static const char *image_tenants(struct pb_image *image, uint64_t count, uint32_t pages,
                                 uint64_t keep_bytes) {
    struct pb_memory *memory = HOST_MARK;
    struct pb_memory_config config = {
        .type = {pages, pages, false},
        .strategy = PB_STRATEGY_IMAGE,
        .image = image,
        .keep_resident_bytes = keep_bytes,
        .allocator = &host_allocator,
    };
    const uint64_t host = host_page_bytes(), bytes = (count + host - 1) / host * host;
    const bool odd = keep_bytes % host != 0, fits = bytes <= pages * PAGE;
    const bool scans = keep_bytes == 0 || pb_pool_reset_available(PB_POOL_SCAN, NULL) == PB_OK;
    enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = host_answered(got,
                                       odd || !fits ? S(INVALID)
                                       : scans      ? S(OK)
                                                    : S(OK) | S(UNSUPPORTED),
                                       odd ? "R1-keep-resident" : "R2-image");
    broken = host_first(broken, host_told(got, memory, "R1-told"));
    if (got == PB_OK && memory != HOST_MARK) {
        static const uint8_t zero[65536];
        const uint8_t *base = host_base(memory);
        const uint64_t behind =
            pages * PAGE - count < sizeof zero ? pages * PAGE - count : sizeof zero;
        broken = host_first(broken, host_holds(memcmp(base, host_far_bytes(), count) == 0 &&
                                                   memcmp(base + count, zero, behind) == 0,
                                               "R2-image"));
        pb_memory_release(memory);
    }
    return broken;
}

const char *host_image(const struct op *op) {
    enum { REAL_BYTES = FAR_FRONT_BYTES, IMAGE_PAGES = 64 };
    const uint64_t count = op->arg.host_image.bytes, host = host_page_bytes();
    struct pb_image *image = HOST_MARK;
    if (host_far_bytes() == NULL) {
        return NULL;
    }
    const bool sound = count > 0 && count <= 4 * GIB;
    /* a long one need not be made: that it is not senseless shows where there is no room for it */
    const bool real = count <= REAL_BYTES;
    const uint64_t limit = fault_file_limit_bytes();
    fault_file_limit(real ? limit : REAL_BYTES);
    const enum pb_status got = pb_image_create(
        host_far_bytes(), count, host_allocator_or_none(op->arg.host_image.pages), &image);
    fault_file_limit(limit);
    const char *broken = host_answered(got,
                                       !sound ? S(INVALID)
                                       : real ? S(OK)
                                              : S(NO_MEMORY),
                                       count >= 4 * GIB ? "R9-image" : "R2-image");
    broken = host_first(broken, host_told(got, image, "R2-told"));
    if (got != PB_OK || image == HOST_MARK) {
        return broken;
    }
    broken = host_first(
        broken, host_holds(pb_image_bytes(image) == (count + host - 1) / host * host, "R2-image"));
    broken = host_first(broken, host_holds(pb_image_retain(image) == image, "R2-image"));
    pb_image_release(image);
    broken = broken != NULL
                 ? broken
                 : image_tenants(image, count, (uint32_t)op->arg.host_image.pages % IMAGE_PAGES,
                                 op->arg.host_image.keep);
    pb_image_release(image);
    pb_image_release(NULL);
    return broken;
}

/* ---- Tenants of an image ----------------------------------------------------------------------
 */

/* How many of these host pages are in memory and not the image's own: those that were written, and
 * written back. UINT64_MAX: nobody tells. */
static uint64_t own_pages(const uint8_t *base, uint64_t bytes) {
    enum { ENTRIES = 64 };
    uint64_t entry[ENTRIES];
    const uint64_t host = host_page_bytes(), pages = bytes / host;
    const int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    const off_t place = (off_t)((uintptr_t)base / host * sizeof entry[0]);
    const uint64_t wanted = pages < ENTRIES ? pages : ENTRIES;
    uint64_t count = 0;
    bool told = file >= 0 && lseek(file, place, SEEK_SET) == place &&
                read(file, entry, wanted * sizeof entry[0]) == (ssize_t)(wanted * sizeof entry[0]);
    for (uint64_t i = 0; told && i < wanted; i++) {
        count += (entry[i] >> 63 & 1) && !(entry[i] >> 61 & 1);
    }
    if (file >= 0) {
        (void)close(file);
    }
    return told ? count : UINT64_MAX;
}

/* *last: the reset was made to fail, and the memory may only be released. */
static const char *tenant_leaves(struct pb_memory *memory, const struct op *op,
                                 uint64_t image_bytes, uint32_t first_pages, unsigned tenant,
                                 bool *last) {
    enum { WRITES_MAX = 100 };
    const uint64_t host = host_page_bytes(), size = pb_memory_size_bytes(memory);
    const uint64_t stride = host * (1 + op->arg.host_tenants.stride % 4);
    uint32_t old;
    for (uint64_t i = 0; i < op->arg.host_tenants.count % WRITES_MAX && i * stride < size; i++) {
        host_base(memory)[i * stride + (i + tenant) % host] ^= 0x55;
    }
    if (pb_memory_grow(memory, (uint32_t)(op->arg.host_tenants.delta % 3), &old) == PB_OK &&
        pb_memory_size_bytes(memory) > size) {
        if (host_base(memory)[size + 9] != 0) {
            return "R15-reuse"; /* the last tenant's */
        }
        host_base(memory)[size + 9] = 7;
    }
    const enum pb_status got = pb_memory_reset(memory);
    const char *broken = host_answered(got, S(OK), "R15-reset-refused");
    if (got != PB_OK) {
        *last = true;
        return broken;
    }
    const uint8_t *base = host_base(memory);
    const uint64_t own = own_pages(base, image_bytes / host * host);
    if (own != UINT64_MAX && own > op->arg.host_tenants.keep / host && !host_call_failed()) {
        return "R15-keeps";
    }
    uint64_t behind = image_bytes;
    while (behind < first_pages * PAGE && base[behind] == 0) {
        behind++;
    }
    return host_first(broken, host_holds(pb_memory_size_pages(memory) == first_pages &&
                                             memcmp(base, host_far_bytes(), image_bytes) == 0 &&
                                             behind == first_pages * PAGE,
                                         "R15-reuse"));
}

const char *host_tenants(const struct op *op) {
    enum { PAGES = 3, TENANTS = 6, ROOM = 2 };
    const uint64_t host = host_page_bytes();
    const uint32_t pages = 1 + (uint32_t)op->arg.host_tenants.pages % PAGES;
    const uint64_t image_bytes =
        op->arg.host_tenants.pages % 2 == 0 ? pages * PAGE - host : PAGE / 2;
    struct pb_image *image;
    struct pb_memory *memory, *copy = NULL;
    if (host_far_bytes() == NULL || image_bytes > FAR_WINDOW_BYTES / 2 + PAGE ||
        pb_image_create(host_far_bytes(), image_bytes, &host_allocator, &image) != PB_OK) {
        return NULL;
    }
    const struct pb_memory_config config = {
        .type = {pages, pages + ROOM, false},
        .strategy = PB_STRATEGY_IMAGE,
        .image = image,
        .keep_resident_bytes = op->arg.host_tenants.keep / host * host,
        .allocator = &host_allocator,
    };
    enum pb_status got = pb_memory_create(&config, &memory);
    pb_image_release(image); /* views of it outlive it */
    const char *broken = host_answered(got, S(OK) | S(UNSUPPORTED), "R2-image");
    if (got != PB_OK) {
        return broken;
    }
    bool last = false;
    for (unsigned i = 0; i < 1 + op->arg.host_tenants.tenants % TENANTS && broken == NULL && !last;
         i++) {
        broken = tenant_leaves(memory, op, image_bytes, pages, i, &last);
        if (broken == NULL && !last && i == 1 && pb_memory_copy(memory, &copy) == PB_OK) {
            pb_memory_release(memory); /* the copy goes back to the same first contents */
            memory = copy;
        }
    }
    pb_memory_release(memory);
    return broken;
}
