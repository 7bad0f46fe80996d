/* host_calls.c: what the headers of ref/ say of configurations, lengths and tables of functions, at
 * their limits. See host_calls.h; the calls themselves are in host_*.c.
 *
 * Nothing here depends on what a program did before: each operation makes its objects, calls, looks
 * and gives all back. Out-parameters hold a mark before each call. */
#include "host_within.h"

#include "os_wrap.h"

#include <sys/mman.h>

enum {
    SYSTEM_REFUSES = S(NO_MEMORY) | S(NO_DESCRIPTORS) | S(UNSUPPORTED) | S(INTERRUPTED) | S(SYSTEM)
};

/* ---- What is compared -------------------------------------------------------------------------
 */

static unsigned faults_before; /* when the operation began */

bool host_call_failed(void) {
    return fault_count() != faults_before;
}

const char *host_answered(enum pb_status got, unsigned set, const char *rule) {
    set |= host_call_failed() ? (unsigned)SYSTEM_REFUSES : 0;
    return (unsigned)got < PB_STATUS_COUNT && (set >> got & 1) ? NULL : rule;
}

const char *host_holds(bool right, const char *rule) {
    return right ? NULL : rule;
}

char host_mark;

const char *host_told(enum pb_status got, const void *out, const char *rule) {
    return host_holds((got == PB_OK) == (out != HOST_MARK), rule);
}

const char *host_first(const char *one, const char *other) {
    return one != NULL ? one : other;
}

/* ---- What the calls need ----------------------------------------------------------------------
 */

static const char *misused; /* the rule that the use of the allocator has broken */

/* It gets its context, and no block that is still a memory's (R39). */
static void look_at_use(const void *context, const void *at) {
    if (context != HOST_MARK) {
        misused = "R1-allocator";
    } else if (at != NULL && os_wrap_is_owned(at)) {
        misused = "R39-owner-gone";
    }
}

static void *allocate(void *context, size_t bytes) {
    look_at_use(context, NULL);
    return fault_environment()->allocate_zeroed(bytes);
}

static void *resize(void *context, void *at, size_t bytes) {
    look_at_use(context, at);
    return fault_environment()->resize(at, bytes);
}

static void release(void *context, void *at) {
    look_at_use(context, at);
    fault_environment()->release(at);
}

const struct pb_allocator host_allocator = {allocate, resize, release, HOST_MARK};

const struct pb_allocator *host_allocator_or_none(uint64_t number) {
    return number % 4 == 2 ? NULL : &host_allocator;
}

uint64_t host_page_bytes(void) {
    return fault_environment()->host_page_bytes;
}

static const uint64_t far_windows[] = {0, UINT64_C(1) << 31, UINT64_C(1) << 32};

const uint8_t *host_far_bytes(void) {
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
        const uint64_t length = far_windows[i] == 0 ? FAR_FRONT_BYTES : FAR_WINDOW_BYTES;
        if (mprotect(made + at, length, PROT_READ | PROT_WRITE) != 0) {
            break;
        }
        for (uint64_t n = at; n < at + length; n++) {
            made[n] = (uint8_t)(1 + (n + n / 251 + i) % 255);
        }
    }
    os_wrap_exempt(false);
    bytes = made == MAP_FAILED ? NULL : made;
    return bytes;
}

bool host_in(uint64_t start, uint64_t count, uint64_t size) {
    return start <= size && count <= size - start;
}

enum pb_status host_plain_memory(uint32_t pages, bool shared, struct pb_memory **memory) {
    const struct pb_memory_style style = {
        .kind = PB_STYLE_STATIC, .bound_pages = pages, .guard_bytes = host_page_bytes()};
    const struct pb_memory_config config = {
        .type = {.min_pages = pages, .max_pages = pages, .shared = shared},
        .style = &style,
        .strategy = PB_STRATEGY_RESERVE,
        .allocator = &host_allocator,
    };
    return pb_memory_create(&config, memory);
}

uint8_t *host_base(struct pb_memory *memory) {
    return atomic_load(&pb_memory_definition(memory)->base);
}

/* ---- Which one --------------------------------------------------------------------------------
 */

typedef const char *call(const struct op *op);
static call *const calls[256] = {
    [OP_host_pool] = host_pool,
    [OP_host_image] = host_image,
    [OP_host_custom] = host_custom,
    [OP_host_segments] = host_segments,
    [OP_host_init] = host_init,
    [OP_host_range] = host_range,
    [OP_host_create] = host_create,
    [OP_host_names] = host_names,
    [OP_host_limiter] = host_limiter,
    [OP_host_budget] = host_budget,
    [OP_host_canceller] = host_canceller,
    [OP_host_fault] = host_fault,
    [OP_host_mailbox] = host_mailbox,
    [OP_host_access] = host_access,
    [OP_host_held] = host_held,
    [OP_host_tenants] = host_tenants,
    [OP_host_far] = host_far,
    [OP_host_far_boxes] = host_far_boxes,
    [OP_host_futex] = host_futex,
    [OP_host_blocked] = host_blocked,
    [OP_host_box_crowd] = host_box_crowd,
    [OP_host_waiters] = host_waiters,
    [OP_host_life] = host_life,
    [OP_host_signal] = host_signal,
    [OP_host_walk] = host_walk,
    [OP_host_libc] = host_libc,
};

bool host_call_is(unsigned code) {
    return code < 256 && calls[code] != NULL;
}

uint64_t host_call_work(const struct op *op) {
    enum { WORK_POOL = 40, WORK_OTHER = 8 };
    const bool long_one = op->code == OP_host_pool || op->code == OP_host_tenants ||
                          op->code == OP_host_box_crowd || op->code == OP_host_life ||
                          op->code == OP_host_signal;
    return long_one ? WORK_POOL : WORK_OTHER;
}

/* What comes of these is not judged where a call below them was made to fail: only that nothing
 * crashes and nothing leaks. */
static bool wants_no_failure(uint8_t code) {
    return code >= OP_host_far || code == OP_host_held || code == OP_host_custom ||
           code == OP_host_mailbox || code == OP_host_canceller;
}

const char *host_call(const struct op *op) {
    faults_before = fault_count();
    misused = NULL;
    const char *broken = calls[op->code](op);
    broken = host_first(broken, misused);
    return wants_no_failure(op->code) && host_call_failed() ? NULL : broken;
}
