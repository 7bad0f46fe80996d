/* host_memory.c: configurations of memories, names, limiters, cancellers, faults. */
#include "host_within.h"

#include "os_wrap.h"

/* ---- Configurations of memories ---------------------------------------------------------------
 */

const char *host_create(const struct op *op) {
    const uint64_t value = op->arg.host_create.value, host = host_page_bytes();
    const unsigned small = (unsigned)(value % 1000);
    struct pb_memory *memory = HOST_MARK;
    struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    struct pb_tunables tunables = {0};
    struct pb_memory_config config = {
        .type = {1, 2, false},
        .style = &style,
        .tunables = &tunables,
        .strategy = PB_STRATEGY_RESERVE,
        .advice = (unsigned)(op->arg.host_create.rungs / PB_RUNG_COUNT % 4),
        .fall_back = (enum pb_rung)(op->arg.host_create.rungs % PB_RUNG_COUNT),
        .allocator = &host_allocator,
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
    const char *broken = host_answered(got, set, set == S(INVALID) ? "R1-create" : "R3-create");
    broken = host_first(broken, host_told(got, memory, "R1-told"));
    if (got == PB_OK && memory != HOST_MARK) {
        pb_memory_release(memory);
    }
    pb_memory_release(NULL);
    return broken;
}

/* What ref/README.md and backing.h say of each strategy. */
static bool strategy_is_as_known(enum pb_strategy strategy, const struct pb_strategy_info *info) {
    static const struct {
        const char *name;
        bool traps, stable_base, shareable;
        enum pb_copy_cost copy;
    } known[PB_STRATEGY_COUNT] = {
        [PB_STRATEGY_RESERVE] = {"reserve", true, true, true, PB_COPY_ALL},
        [PB_STRATEGY_RESERVE_RW] = {"reserve_rw", false, true, true, PB_COPY_ALL},
        [PB_STRATEGY_REMAP] = {"remap", true, false, false, PB_COPY_ALL},
        [PB_STRATEGY_MOVE] = {"move", true, false, false, PB_COPY_ALL},
        [PB_STRATEGY_HEAP] = {"heap", false, false, false, PB_COPY_ALL},
        [PB_STRATEGY_IMAGE] = {"image", true, true, true, PB_COPY_ON_WRITE},
        [PB_STRATEGY_POOL] = {"pool", true, true, true, PB_COPY_ALL},
        [PB_STRATEGY_GUARD] = {"guard", true, true, true, PB_COPY_ALL},
    };
    return strcmp(info->name, known[strategy].name) == 0 && info->traps == known[strategy].traps &&
           info->stable_base == known[strategy].stable_base &&
           info->shareable == known[strategy].shareable && info->copy == known[strategy].copy;
}

/* Each says something of its own. */
static bool messages_differ(void) {
    bool all = true;
    for (unsigned i = 0; i <= PB_STATUS_COUNT; i++) {
        for (unsigned j = 0; j < i; j++) {
            all &= strcmp(pb_status_message((enum pb_status)i),
                          pb_status_message((enum pb_status)j)) != 0;
        }
    }
    return all;
}

/* What is known by name or number, and the arithmetic of pages. */
const char *host_names(const struct op *op) {
    const uint64_t a = op->arg.host_names.a, b = op->arg.host_names.b;
    const unsigned value = (unsigned)(a % 64);
    const struct pb_strategy_info *info = pb_strategy_info((enum pb_strategy)value);
    const char *reason = HOST_MARK;
    enum pb_strategy found = PB_STRATEGY_COUNT;
    const char *broken = host_holds((info != NULL) == (value < PB_STRATEGY_COUNT), "R3-names");
    if (info != NULL) {
        broken =
            host_first(broken, host_holds(info->note != NULL && info->copy_note != NULL &&
                                              pb_strategy_by_name(info->name, &found) &&
                                              found == value && strategy_is_as_known(found, info),
                                          "R3-names"));
    } else {
        const enum pb_status got = pb_strategy_available((enum pb_strategy)value, &reason);
        broken = host_first(
            broken,
            host_holds(got == PB_UNSUPPORTED && reason != HOST_MARK && reason != NULL, "R3-names"));
    }
    broken = host_first(broken, host_holds(!pb_strategy_by_name("", &found) &&
                                               !pb_strategy_by_name("reserv", &found),
                                           "R3-names"));
    broken = host_first(
        broken, host_holds((pb_rung_note((enum pb_rung)value) != NULL) == (value < PB_RUNG_COUNT),
                           "R43-names"));
    if (value > PB_POOL_SCAN) {
        reason = HOST_MARK;
        const enum pb_status got = pb_pool_reset_available((enum pb_pool_reset)value, &reason);
        broken = host_first(
            broken, host_holds(got == PB_UNSUPPORTED && reason != HOST_MARK && reason != NULL,
                               "R15-names"));
    }
    broken =
        host_first(broken, host_holds(pb_status_name((enum pb_status)value)[0] == 'P' &&
                                          (strcmp(pb_status_name((enum pb_status)value), "PB_?") ==
                                           0) == (value >= PB_STATUS_COUNT) &&
                                          pb_status_message((enum pb_status)value) != NULL,
                                      "R1-names"));
    broken = host_first(broken, host_holds(messages_differ(), "R1-names"));
    uint32_t pages = 77, sum = 77;
    uint64_t bytes = 77;
    const bool whole = a % PAGE == 0 && a <= 4 * GIB;
    broken = host_first(broken, host_holds(pb_bytes_to_pages(a, &pages) == whole &&
                                               pages == (whole ? a / PAGE : 77),
                                           "R9-pages"));
    broken = host_first(
        broken,
        host_holds(pb_pages_to_bytes((uint32_t)a) == (uint64_t)(uint32_t)a * PAGE, "R9-pages"));
    const unsigned __int128 wide = (unsigned __int128)a + b;
    const bool fits = wide <= UINT64_MAX;
    broken = host_first(broken, host_holds(pb_bytes_add(a, b, &bytes) == fits &&
                                               bytes == (fits ? (uint64_t)wide : 77),
                                           "R9-pages"));
    const uint64_t both = (uint64_t)(uint32_t)a + (uint32_t)b;
    const bool in_limit = both <= PB_PAGES_MAX;
    broken = host_first(
        broken, host_holds(pb_pages_add((uint32_t)a, (uint32_t)b, PB_PAGES_MAX, &sum) == in_limit &&
                               sum == (in_limit ? both : 77),
                           "R5-pages"));
    broken = host_first(
        broken, host_holds(pb_range_within(a, b, 4 * GIB) == (wide <= (unsigned __int128)4 * GIB),
                           "R16-pages"));
    /* within any limit, and any size: one that is met, and one less */
    const uint32_t limit = (uint32_t)(a ^ b) % 2 == 0 ? (uint32_t)both : (uint32_t)both - 1;
    sum = 77;
    broken = host_first(
        broken, host_holds(pb_pages_add((uint32_t)a, (uint32_t)b, limit, &sum) == (both <= limit) &&
                               sum == (both <= limit ? both : 77),
                           "R5-pages"));
    const uint64_t size = (uint64_t)wide - (a % 2);
    return host_first(broken,
                      host_holds(pb_range_within(a, b, size) == (wide <= size), "R16-pages"));
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
    return host_holds(right || host_call_failed(), "R40-told");
}

/* One that failed is told so, with the reason that the caller gets. */
static const char *failure_said(enum pb_status got) {
    const struct said *last = &heard.said[heard.count < SAID_MAX ? heard.count - 1 : SAID_MAX - 1];
    const bool told_why = heard.count > 0 && last->what == SAYS_FAILED && last->why == got;
    return host_holds(got == PB_OK || got == PB_REFUSED || got == PB_LIMIT || got == PB_PINNED ||
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
    const char *broken = host_answered(got,
                                       delta == 0 ? S(OK)
                                       : passes   ? S(LIMIT)
                                       : refused  ? S(REFUSED)
                                                  : S(OK) | S(NO_MEMORY),
                                       "R40-grow");
    broken =
        host_first(broken, host_holds(got == PB_OK ? old == size / PAGE : old == 777, "R5-told"));
    if (!passes && delta > 0 && got != PB_OK && got != PB_REFUSED) {
        return host_first(broken, tells ? failure_said(got) : NULL);
    }
    return host_first(broken, delta == 0 || passes ? only_said(0, 0, 0, 0)
                                                   : only_said(SAYS_GROWING, size,
                                                               size + delta * PAGE, most * PAGE));
}

const char *host_limiter(const struct op *op) {
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
        .allocator = &host_allocator,
    };
    if (pb_memory_type_check(&config.type) != PB_OK) {
        return NULL;
    }
    struct pb_memory *memory = HOST_MARK, *copy = HOST_MARK;
    const uint64_t most =
        (uint64_t)(config.type.max_pages < PB_PAGES_MAX ? config.type.max_pages : PB_PAGES_MAX) *
        PAGE;
    memset(&heard, 0, sizeof heard);
    heard.refuse = (unsigned)op->arg.host_limiter.refuse % 6;
    const bool refused = heard.refuse == 1 && min > 0;
    enum pb_status got = pb_memory_create(&config, &memory);
    const char *broken = host_answered(got, refused ? S(REFUSED) : S(OK), "R40-create");
    broken = host_first(broken, host_told(got, memory, "R1-told"));
    if (got == PB_OK || got == PB_REFUSED) {
        broken = host_first(broken, min == 0 ? only_said(0, 0, 0, 0)
                                             : only_said(SAYS_GROWING, 0, min * PAGE, most));
    } else if (!(silent & FAILED) && min > 0 && heard.bytes != 0) {
        broken = host_first(broken, "R40-told");
    }
    if (got != PB_OK || memory == HOST_MARK) {
        return broken;
    }
    broken = host_first(broken, limited_growth(memory, &config.type,
                                               (uint32_t)op->arg.host_limiter.delta % (2 * PAGES),
                                               !(silent & FAILED)));
    broken = host_first(broken, limited_growth(memory, &config.type, 0, true));
    broken = host_first(broken, limited_growth(memory, &config.type, PB_PAGES_MAX + 1, true));
    uint64_t size = pb_memory_size_bytes(memory);
    heard.count = 0;
    const bool no_copy = heard.refuse == 1 && size > 0;
    got = pb_memory_copy(memory, &copy);
    broken = host_first(broken, host_answered(got, no_copy ? S(REFUSED) : S(OK), "R40-copy"));
    broken = host_first(broken, host_told(got, copy, "R13-told"));
    if (got == PB_OK || got == PB_REFUSED) {
        broken = host_first(broken, size == 0 ? only_said(0, 0, 0, 0)
                                              : only_said(SAYS_GROWING, 0, size, most));
    }
    heard.count = 0;
    const bool tells_less = !(silent & SHRUNK);
    if (pb_memory_reset(memory) == PB_OK) {
        broken = host_first(broken, tells_less && size > min * PAGE
                                        ? only_said(SAYS_SHRUNK, size, min * PAGE, 0)
                                        : only_said(0, 0, 0, 0));
    }
    heard.count = 0;
    if (got == PB_OK && copy != HOST_MARK) {
        const uint64_t copied = pb_memory_size_bytes(copy);
        pb_memory_release(copy);
        broken = host_first(broken, tells_less && copied > 0 ? only_said(SAYS_SHRUNK, copied, 0, 0)
                                                             : only_said(0, 0, 0, 0));
    }
    size = pb_memory_size_bytes(memory);
    pb_memory_release(memory);
    broken = host_first(broken, tells_less && size > 0 ? only_said(SAYS_SHRUNK, size, 0, 0)
                                                       : only_said(0, 0, 0, 0));
    return host_first(
        broken, host_holds(!tells_less || (silent & FAILED) || heard.bytes == 0, "R40-budget"));
}

/* The budget's own functions, at any numbers. */
const char *host_budget(const struct op *op) {
    const uint64_t max = op->arg.host_budget.max, used = op->arg.host_budget.used;
    const uint64_t a = op->arg.host_budget.from, b = op->arg.host_budget.to;
    const uint64_t from = a < b ? a : b, to = a < b ? b : a;
    struct pb_budget budget = {.max_bytes = max};
    atomic_store(&budget.used_bytes, used);
    const struct pb_limiter limiter = pb_budget_limiter(&budget);
    const bool fits = used <= max && to - from <= max - used;
    const bool granted = limiter.growing(limiter.context, from, to, to);
    const char *broken = host_holds(granted == fits && atomic_load(&budget.used_bytes) ==
                                                           (fits ? used + (to - from) : used),
                                    "R40-budget");
    if (broken == NULL && granted) {
        if (op->arg.host_budget.failed == WORD_yesno_yes) {
            limiter.failed(limiter.context, from, to, PB_SYSTEM);
        } else {
            limiter.shrunk(limiter.context, to, from);
        }
        broken = host_holds(atomic_load(&budget.used_bytes) == used, "R40-budget");
    }
    return broken;
}

/* ---- Cancellers -------------------------------------------------------------------------------
 */

const char *host_canceller(const struct op *op) {
    const bool wide = op->arg.host_canceller.wide == WORD_yesno_yes;
    const bool cancelled = op->arg.host_canceller.cancelled == WORD_yesno_yes;
    const bool shared = op->arg.host_canceller.shared == WORD_yesno_yes;
    const uint64_t at = op->arg.host_canceller.at, width = wide ? 8 : 4;
    const uint64_t expected =
        wide ? op->arg.host_canceller.expected : (uint32_t)op->arg.host_canceller.expected;
    int64_t timeout_ns = (int64_t)op->arg.host_canceller.timeout_ns;
    struct pb_canceller *canceller = HOST_MARK;
    struct pb_memory *memory;
    enum pb_wait result = (enum pb_wait)9;
    if (host_plain_memory(1, shared, &memory) != PB_OK) {
        return NULL;
    }
    enum pb_status got = pb_canceller_create(host_allocator_or_none(expected), &canceller);
    const char *broken = host_answered(got, S(OK), "R41-create");
    broken = host_first(broken, host_told(got, canceller, "R41-told"));
    if (got != PB_OK || canceller == HOST_MARK) {
        pb_memory_release(memory);
        return broken;
    }
    if (cancelled) {
        pb_canceller_cancel(canceller);
        pb_canceller_cancel(canceller);
    } else {
        timeout_ns = timeout_ns != 0 ? 1 : 0; /* nobody would end it */
    }
    unsigned set = at % width != 0             ? S(MISALIGNED)
                   : !host_in(at, width, PAGE) ? S(OUT_OF_BOUNDS)
                   : !shared                   ? S(NOT_SHARED)
                                               : S(OK);
    enum pb_wait wanted = expected != 0 ? PB_WAIT_NOT_EQUAL : PB_WAIT_TIMED_OUT;
    const bool reached = set == S(OK);
    if (reached && expected == 0 && timeout_ns != 0 && cancelled) {
        set = S(CANCELLED);
    }
    got = wide ? pb_memory_cancellable_wait64(memory, at, expected, timeout_ns, canceller, &result)
               : pb_memory_cancellable_wait32(memory, at, (uint32_t)expected, timeout_ns, canceller,
                                              &result);
    broken =
        host_first(broken, host_holds((set >> got & 1) && (got != PB_OK || result == wanted),
                                      set == S(CANCELLED) || got == PB_CANCELLED ? "R41-cancelled"
                                                                                 : "R20-value"));
    pb_canceller_reset(canceller);
    if (broken == NULL && reached) { /* as it was when it was created */
        got = wide ? pb_memory_cancellable_wait64(memory, at, 0, 1, canceller, &result)
                   : pb_memory_cancellable_wait32(memory, at, 0, 1, canceller, &result);
        broken = host_holds(got == PB_OK && result == PB_WAIT_TIMED_OUT, "R41-reset");
    }
    pb_canceller_release(canceller);
    pb_canceller_release(NULL);
    pb_memory_release(memory);
    return broken;
}

/* ---- Faults -----------------------------------------------------------------------------------
 */

const char *host_fault(const struct op *op) {
    enum { PAGES = 3 };
    const uint32_t pages = (uint32_t)op->arg.host_fault.pages % PAGES;
    const uint64_t at = op->arg.host_fault.at, size = pages * PAGE;
    const uint8_t *reserved;
    uint64_t reserved_bytes;
    struct pb_memory *memory;
    struct pb_address_owner owner = {1, 2, HOST_MARK}, none = {1, 2, HOST_MARK};
    if (host_plain_memory(pages, false, &memory) != PB_OK) {
        return NULL;
    }
    const uint8_t *base = host_base(memory);
    const char *broken = NULL;
    if (base != NULL && os_wrap_reservation(base, &reserved, &reserved_bytes) &&
        at < reserved_bytes) {
        const enum pb_fault got = pb_memory_fault_at(base + at, &owner);
        broken = host_holds(got == (at < size ? PB_FAULT_INSIDE : PB_FAULT_TRAP) &&
                                owner.offset_bytes == at && owner.length_bytes == size &&
                                owner.definition == pb_memory_definition(memory),
                            "R39-fault");
    }
    pb_memory_release(memory);
    /* nobody's: an address of ours that is no memory's */
    broken =
        host_first(broken, host_holds(pb_memory_fault_at(HOST_MARK, &none) == PB_FAULT_ELSEWHERE &&
                                          none.offset_bytes == 1 && none.length_bytes == 2 &&
                                          none.definition == HOST_MARK,
                                      "R39-fault"));
    return host_first(
        broken,
        host_holds(!pb_memory_owner_of(NULL, &none) && none.definition == HOST_MARK, "R39-fault"));
}
