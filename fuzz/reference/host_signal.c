/* host_signal.c: who owns an address, asked by a signal handler, as a trap handler would: after
 * machine instructions of a call that makes, grows, moves, resets, copies or releases a memory,
 * on the same thread. It must answer at once, whatever the call has locked, and never of two
 * memories. */
#include "host_within.h"

#include "os_wrap.h"

#include <errno.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

#if defined(__x86_64__)

enum { PAGES_MAX = 4, ARENA_BYTES = 1 << 20, STEPS = 350, SECONDS_MAX = 1, TRAP_FLAG = 0x100 };

static struct {
    /* The memory that the call is about; base is 0 where it is not there yet. */
    struct pb_memory_definition record;
    const struct pb_memory_definition *definition;
    uintptr_t base;
    uint64_t at;        /* asked about: base + at */
    uint64_t length[2]; /* before and after */
    bool stays;         /* it is found at any time */
    bool gone;          /* it was not found any more */
    /* Another one, which nothing happens to. */
    const struct pb_memory_definition *near_definition;
    uintptr_t near_base;
    unsigned steps; /* that are still to be looked at */
    bool stepping, inside;
    sigjmp_buf out;
    const char *broken;
} watch;

/* ---- In the handler ---------------------------------------------------------------------------
 */

static void hold_that(bool right, const char *rule) {
    if (!right && watch.broken == NULL) {
        watch.broken = rule;
    }
}

static void look_at_near(void) {
    struct pb_address_owner owner = {1, 2, NULL};
    const bool found = pb_memory_owner_of((const void *)(watch.near_base + 9), &owner);
    hold_that(found && owner.offset_bytes == 9 && owner.length_bytes == PAGE &&
                  owner.definition == watch.near_definition,
              "R39-owner");
}

static void look_at_it(void) {
    struct pb_address_owner owner = {1, 2, HOST_MARK};
    if (watch.base == 0 &&
        watch.definition == &watch.record) { /* told by its record, once it is there */
        watch.base = (uintptr_t)atomic_load_explicit(&watch.record.base, memory_order_relaxed);
    }
    if (watch.base == 0) {
        return;
    }
    const bool found = pb_memory_owner_of((const void *)(watch.base + watch.at), &owner);
    if (!found) {
        hold_that(!watch.stays && owner.definition == HOST_MARK, "R39-owner");
        watch.gone = true;
        return;
    }
    hold_that(!watch.gone && owner.definition == watch.definition &&
                  owner.offset_bytes == watch.at &&
                  (owner.length_bytes == watch.length[0] || owner.length_bytes == watch.length[1]),
              "R39-owner");
}

static void on_step(int signal_number, siginfo_t *info, void *context) {
    (void)signal_number;
    (void)info;
    watch.inside = true;
    look_at_near();
    look_at_it();
    watch.inside = false;
    if (watch.steps-- <= 1 || watch.broken != NULL) {
        watch.steps = 0;
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
    }
}

/* The next instructions are looked at. A step takes 5 to 20 us, so not all of them are: those at
 * the beginning, and those behind each call below. */
static void look_on(void) {
    watch.steps = STEPS;
    __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
}

/* It waits for what the interrupted call will do: for ever. */
static void on_time(int signal_number) {
    (void)signal_number;
    if (watch.inside) {
        watch.broken = "R39-waits";
        siglongjmp(watch.out, 1);
    }
}

static long on_futex(void *context, const struct libc_futex_call *call) {
    (void)context;
    if (watch.inside && call->operation != FUTEX_WAKE_PRIVATE) {
        watch.broken = "R39-waits";
        siglongjmp(watch.out, 1);
    }
    errno = EAGAIN;
    return call->operation == FUTEX_WAKE_PRIVATE ? 0 : -1;
}

/* ---- The calls --------------------------------------------------------------------------------
 */

/* Fresh zeros, without a call of an allocator that would take thousands of steps. */
static struct {
    uint8_t *base;
    size_t used;
} arena;

static void *arena_allocate(void *context, size_t bytes) {
    const size_t rounded = (bytes + 63) / 64 * 64;
    (void)context;
    if (rounded > ARENA_BYTES - arena.used) {
        return NULL;
    }
    void *at = arena.base + arena.used;
    arena.used += rounded;
    if (watch.stepping) {
        look_on();
    }
    return at;
}

static void *arena_resize(void *context, void *at, size_t bytes) {
    (void)context;
    (void)at;
    (void)bytes;
    return NULL;
}

static void arena_release(void *context, void *at) {
    (void)context;
    (void)at;
}

static const struct pb_allocator arena_allocator = {arena_allocate, arena_resize, arena_release,
                                                    NULL};

static bool arena_begin(void) {
    os_wrap_exempt(true);
    if (arena.base == NULL) {
        void *made =
            mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        arena.base = made == MAP_FAILED ? NULL : made;
    } else {
        memset(arena.base, 0, arena.used);
    }
    os_wrap_exempt(false);
    arena.used = 0;
    return arena.base != NULL;
}

struct stepped {
    enum word_step step;
    struct pb_memory_config config;
    struct pb_memory *memory, *made;
    enum pb_status got;
};

static void call(struct stepped *s) {
    uint32_t old;
    switch (s->step) {
    case WORD_step_create:
    case WORD_step_neighbour:
        s->got = pb_memory_create(&s->config, &s->made);
        break;
    case WORD_step_grow:
        s->got = pb_memory_grow(s->memory, 1, &old);
        break;
    case WORD_step_move:
        s->got = pb_memory_grow(s->memory, PAGES_MAX - pb_memory_size_pages(s->memory), &old);
        break;
    case WORD_step_reset:
        s->got = pb_memory_reset(s->memory);
        break;
    case WORD_step_copy:
        s->got = pb_memory_copy(s->memory, &s->made);
        break;
    case WORD_step_to_shared:
        s->got = pb_memory_to_shared(s->memory);
        break;
    default:
        pb_memory_release(s->memory);
        s->memory = NULL;
        s->got = PB_OK;
        break;
    }
}

/* True if it came to its end; else the handler waits, and nothing can be released. */
static bool call_by_steps(struct stepped *s) {
    static const struct libc_futex futex = {on_futex, NULL};
    const struct itimerval limit = {.it_value = {.tv_sec = SECONDS_MAX}}, none = {{0, 0}, {0, 0}};
    struct sigaction step, late, former[2];
    memset(&step, 0, sizeof step);
    memset(&late, 0, sizeof late);
    step.sa_sigaction = on_step;
    step.sa_flags = SA_SIGINFO;
    late.sa_handler = on_time;
    sigaction(SIGTRAP, &step, &former[0]);
    sigaction(SIGVTALRM, &late, &former[1]);
    libc_wrap_futex(&futex);
    (void)setitimer(ITIMER_VIRTUAL, &limit, NULL);
    const bool ended = sigsetjmp(watch.out, 1) == 0;
    os_wrap_exempt(true); /* its account would take more steps than the call */
    if (ended) {
        watch.stepping = true;
        libc_wrap_before_pages(look_on);
        look_on();
        call(s);
        __builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() &
                                       ~(unsigned long long)TRAP_FLAG);
    }
    libc_wrap_before_pages(NULL);
    watch.stepping = false;
    os_wrap_exempt(false);
    (void)setitimer(ITIMER_VIRTUAL, &none, NULL);
    libc_wrap_futex(NULL);
    sigaction(SIGTRAP, &former[0], NULL);
    sigaction(SIGVTALRM, &former[1], NULL);
    return ended;
}

/* ---- The memories -----------------------------------------------------------------------------
 */

static struct pb_memory_config config_of(const struct op *op, const struct pb_memory_style *style) {
    static const enum pb_strategy strategies[] = {PB_STRATEGY_RESERVE, PB_STRATEGY_RESERVE_RW,
                                                  PB_STRATEGY_REMAP,   PB_STRATEGY_MOVE,
                                                  PB_STRATEGY_IMAGE,   PB_STRATEGY_GUARD};
    enum { COUNT = sizeof strategies / sizeof strategies[0] };
    const enum word_step step = (enum word_step)op->arg.host_signal.step;
    const enum pb_strategy moving =
        op->arg.host_signal.strategy % 2 == 0 ? PB_STRATEGY_REMAP : PB_STRATEGY_MOVE;
    const enum pb_strategy strategy =
        step == WORD_step_move ? moving : strategies[op->arg.host_signal.strategy % COUNT];
    /* bytes that are copied by hand take a step each */
    const bool empty = step == WORD_step_copy || strategy == PB_STRATEGY_MOVE;
    const bool can =
        pb_strategy_info(strategy)->shareable &&
        (step == WORD_step_grow || step == WORD_step_copy || step == WORD_step_release);
    return (struct pb_memory_config){
        .type = {empty ? 0 : 1, PAGES_MAX, can && op->arg.host_signal.shared == WORD_yesno_yes},
        .style = style,
        .strategy = strategy,
        .definition = &watch.record,
        .allocator = &arena_allocator,
    };
}

/* What may be seen of the memory while it is called. */
static void expect(const struct stepped *s, uint64_t at) {
    const bool creates = s->memory == NULL;
    const uint64_t size = creates ? 0 : pb_memory_size_bytes(s->memory);
    const uint64_t first = s->config.type.min_pages * PAGE;
    const bool moves =
        s->step == WORD_step_move ||
        (s->step == WORD_step_grow && !pb_strategy_info(s->config.strategy)->stable_base);
    const uint8_t *reserved;
    uint64_t bytes = PAGE;
    watch.definition = &watch.record;
    watch.base = creates ? 0 : (uintptr_t)host_base(s->memory);
    if (!creates && os_wrap_reservation((const void *)watch.base, &reserved, &bytes)) {
        bytes -= (uint64_t)(watch.base - (uintptr_t)reserved);
    }
    watch.at = at % bytes;
    watch.length[0] = size;
    watch.length[1] = s->step == WORD_step_grow               ? size + PAGE
                      : s->step == WORD_step_move             ? PAGES_MAX * PAGE
                      : creates || s->step == WORD_step_reset ? first
                                                              : size;
    watch.stays = !moves && !creates && s->step != WORD_step_release;
}

static bool make_near(struct pb_memory **memory) {
    const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC};
    const struct pb_memory_config config = {
        .type = {1, 1, false},
        .style = &style,
        .strategy = PB_STRATEGY_RESERVE,
        .allocator = &arena_allocator,
    };
    return pb_memory_create(&config, memory) == PB_OK;
}

static void judge(const struct stepped *s) {
    struct pb_address_owner owner = {1, 2, HOST_MARK};
    if (s->step == WORD_step_release && s->got == PB_OK) {
        hold_that(!pb_memory_owner_of((const void *)watch.base, &owner), "R39-owner");
    }
}

const char *host_signal(const struct op *op) {
    static const struct pb_memory_style style = {.kind = PB_STYLE_DYNAMIC, .guard_bytes = 65536};
    struct pb_memory *near = NULL;
    memset(&watch, 0, sizeof watch);
    if (!arena_begin() || !make_near(&near)) {
        return NULL;
    }
    struct stepped s = {.step = (enum word_step)op->arg.host_signal.step,
                        .config = config_of(op, &style)};
    const bool before = s.step != WORD_step_create && s.step != WORD_step_neighbour;
    uint32_t old;
    if (before && pb_memory_create(&s.config, &s.memory) != PB_OK) {
        pb_memory_release(near);
        return NULL;
    }
    if (s.step == WORD_step_reset || s.step == WORD_step_release) {
        (void)pb_memory_grow(s.memory, 1, &old);
    }
    watch.near_definition = pb_memory_definition(near);
    watch.near_base = (uintptr_t)host_base(near);
    expect(&s, op->arg.host_signal.at);
    if (!call_by_steps(&s)) {
        return watch.broken; /* what is locked stays so */
    }
    judge(&s);
    if (s.made != NULL) {
        pb_memory_release(s.made);
    }
    if (s.memory != NULL) {
        pb_memory_release(s.memory);
    }
    pb_memory_release(near);
    return watch.broken;
}

#else

const char *host_signal(const struct op *op) {
    (void)op;
    return NULL; /* nobody stops there after each instruction */
}

#endif
