/* combine.c: draws features that go together, then writes them down as operations. See combine.h.
 */
#include "combine.h"

#include "chance.h"

#include <string.h>

#define BIT(feature) (UINT64_C(1) << (feature))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- Features ---------------------------------------------------------------------------------
 */

static const char *const names[COMBINE_FEATURES] = {
    [COMBINE_RESERVE] = "reserve",
    [COMBINE_RESERVE_RW] = "reserve_rw",
    [COMBINE_REMAP] = "remap",
    [COMBINE_MOVE] = "move",
    [COMBINE_HEAP] = "heap",
    [COMBINE_IMAGE] = "image",
    [COMBINE_POOL] = "pool",
    [COMBINE_POOL_RENEW] = "pool_renew",
    [COMBINE_POOL_SCAN] = "pool_scan",
    [COMBINE_GUARD] = "guard",
    [COMBINE_CUSTOM] = "custom",
    [COMBINE_TUNED] = "tuned",
    [COMBINE_STATIC] = "static",
    [COMBINE_DYNAMIC] = "dynamic",
    [COMBINE_USUAL] = "usual",
    [COMBINE_NO_GUARD] = "no guard",
    [COMBINE_HOST_PAGE] = "guard of a host page",
    [COMBINE_GUEST_PAGE] = "guard of a page",
    [COMBINE_WIDE_GUARD] = "wide guard",
    [COMBINE_NO_PAGES] = "no pages",
    [COMBINE_ONE_PAGE] = "one page",
    [COMBINE_PAGES] = "pages",
    [COMBINE_AT_MAXIMUM] = "at its maximum",
    [COMBINE_WIDE] = "no maximum",
    [COMBINE_GROW] = "grow",
    [COMBINE_GROW_PAST] = "grow past its room",
    [COMBINE_COPY] = "copy",
    [COMBINE_RESET] = "reset",
    [COMBINE_TO_SHARED] = "to_shared",
    [COMBINE_CLONE] = "clone",
    [COMBINE_DESTROY] = "destroy",
    [COMBINE_BUDGET] = "budget",
    [COMBINE_FALL_BACK] = "fall_back",
    [COMBINE_SPACE] = "address space",
    [COMBINE_FILE_LIMIT] = "file limit",
    [COMBINE_SHARED] = "shared",
    [COMBINE_CALLERS_RECORD] = "record",
    [COMBINE_FIRST_IMAGE] = "first image",
    [COMBINE_HUGE_PAGES] = "huge pages",
    [COMBINE_POPULATE] = "populate",
    [COMBINE_WAITERS] = "waiters",
    [COMBINE_RESERVE_SHORT] = "short reservation",
    [COMBINE_TWIN] = "twin",
    [COMBINE_NEIGHBOUR] = "neighbour",
    [COMBINE_WRITTEN] = "written",
    [COMBINE_MANY_RUNS] = "many runs of written pages",
    [COMBINE_GROWN] = "grown",
    [COMBINE_COPIED] = "copied",
    [COMBINE_OF_A_COPY] = "of a copy",
    [COMBINE_CONVERTED] = "converted",
    [COMBINE_WAS_RESET] = "was reset",
    [COMBINE_PINNED] = "pinned",
    [COMBINE_CLONED] = "cloned",
    [COMBINE_FAULT] = "fault",
};

const char *combine_name(enum combine_feature feature) {
    return names[feature];
}

/* First and last of each group. */
static const uint8_t groups[][2] = {
    {COMBINE_RESERVE, COMBINE_CUSTOM},      {COMBINE_TUNED, COMBINE_USUAL},
    {COMBINE_NO_GUARD, COMBINE_WIDE_GUARD}, {COMBINE_NO_PAGES, COMBINE_WIDE},
    {COMBINE_GROW, COMBINE_DESTROY},
};
enum { LOOSE_FIRST = COMBINE_BUDGET };

static bool is_of(enum combine_feature feature, unsigned group) {
    return feature >= groups[group][0] && feature <= groups[group][1];
}

/* What no memory of these features has. */
static const struct {
    uint64_t one, other;
} never[] = {
    {BIT(COMBINE_FIRST_IMAGE), ~BIT(COMBINE_IMAGE) & (BIT(COMBINE_CUSTOM + 1) - 1)},
    {BIT(COMBINE_FIRST_IMAGE) | BIT(COMBINE_MANY_RUNS), BIT(COMBINE_NO_PAGES)},
    {BIT(COMBINE_MANY_RUNS), BIT(COMBINE_ONE_PAGE) | BIT(COMBINE_TWIN)},
    {BIT(COMBINE_SHARED), BIT(COMBINE_REMAP) | BIT(COMBINE_MOVE) | BIT(COMBINE_HEAP) |
                              BIT(COMBINE_CUSTOM) | BIT(COMBINE_WIDE) | BIT(COMBINE_WAS_RESET) |
                              BIT(COMBINE_CONVERTED)},
    {BIT(COMBINE_CONVERTED), BIT(COMBINE_WIDE) | BIT(COMBINE_CUSTOM) | BIT(COMBINE_REMAP) |
                                 BIT(COMBINE_MOVE) | BIT(COMBINE_HEAP) | BIT(COMBINE_WAS_RESET)},
    {BIT(COMBINE_CLONED), BIT(COMBINE_REMAP) | BIT(COMBINE_MOVE) | BIT(COMBINE_HEAP) |
                              BIT(COMBINE_CUSTOM) | BIT(COMBINE_WIDE) | BIT(COMBINE_WAS_RESET)},
    {BIT(COMBINE_TWIN), BIT(COMBINE_BUDGET) | BIT(COMBINE_FALL_BACK)},
    {BIT(COMBINE_GROWN), BIT(COMBINE_AT_MAXIMUM)},
    {BIT(COMBINE_USUAL), BIT(COMBINE_NO_GUARD) | BIT(COMBINE_HOST_PAGE) | BIT(COMBINE_GUEST_PAGE) |
                             BIT(COMBINE_WIDE_GUARD)},
};

static uint64_t excluded_by(enum combine_feature feature) {
    uint64_t set = 0;
    for (size_t i = 0; i < COUNT_OF(never); i++) {
        set |= never[i].one & BIT(feature) ? never[i].other : 0;
        set |= never[i].other & BIT(feature) ? never[i].one : 0;
    }
    return set;
}

bool combine_excludes(enum combine_feature a, enum combine_feature b) {
    bool same_group = false;
    for (unsigned g = 0; g < COUNT_OF(groups); g++) {
        same_group |= is_of(a, g) && is_of(b, g);
    }
    return same_group || (excluded_by(a) & BIT(b)) != 0;
}

/* The features that have no group first, as those leave most of the others. */
static uint64_t draw_features(struct chance *c) {
    enum { TRIES = 12 };
    uint64_t set = 0, out = 0;
    const unsigned wanted = 3 + below(c, 2);
    unsigned have = 0;
    for (unsigned tries = 0; tries < TRIES && have < wanted; tries++) {
        const enum combine_feature f =
            (enum combine_feature)(LOOSE_FIRST + below(c, COMBINE_FEATURES - LOOSE_FIRST));
        if (!((out | set) & BIT(f))) {
            set |= BIT(f);
            out |= excluded_by(f);
            have++;
        }
    }
    for (unsigned g = 0; g < COUNT_OF(groups); g++) {
        const unsigned first = groups[g][0], count = groups[g][1] - first + 1u;
        const unsigned from = below(c, count);
        for (unsigned i = 0; i < count; i++) {
            const enum combine_feature f = (enum combine_feature)(first + (from + i) % count);
            if (!(out & BIT(f))) {
                set |= BIT(f);
                out |= excluded_by(f);
                break;
            }
        }
    }
    return set;
}

/* ---- Operations -------------------------------------------------------------------------------
 */

struct draft {
    struct chance chance;
    struct program *program;
    uint64_t set;
    uint32_t (*calls_of)(uint8_t code);
    uint64_t min, max, bound, reserve, room; /* room: pages that it holds where it is */
    uint64_t grown;                          /* by so many pages before */
};

static bool has(const struct draft *d, enum combine_feature feature) {
    return (d->set & BIT(feature)) != 0;
}

static void append(struct draft *d, struct op op) {
    if (d->program->operations < OPS_MAX) {
        d->program->operation[d->program->operations++] = op;
    }
}

/* An operation of one memory, whose slot is its first argument, and of one number more. */
static void append_of(struct draft *d, uint8_t code, unsigned m, uint64_t argument) {
    struct op op = {.code = code};
    op.arg.raw[0] = m;
    op.arg.raw[1] = argument;
    append(d, op);
}

static void append_one(struct draft *d, uint8_t code, uint64_t argument) {
    struct op op = {.code = code};
    op.arg.raw[0] = argument;
    append(d, op);
}

static void append_store(struct draft *d, unsigned m, uint64_t at) {
    struct op op = {.code = OP_memory_store};
    op.arg.memory_store.m = m;
    op.arg.memory_store.at = at;
    op.arg.memory_store.width = WORD_width_1;
    op.arg.memory_store.value = 1 + below(&d->chance, 250);
    append(d, op);
}

static void draw_sizes(struct draft *d) {
    struct chance *c = &d->chance;
    enum { PAGES_OF_MANY_RUNS = 9 };
    d->min = has(d, COMBINE_MANY_RUNS)  ? PAGES_OF_MANY_RUNS
             : has(d, COMBINE_NO_PAGES) ? 0
             : has(d, COMBINE_PAGES)    ? 2 + below(c, 3)
                                        : 1;
    d->grown = has(d, COMBINE_GROWN) ? 1 + below(c, 3) : 0;
    d->max = has(d, COMBINE_AT_MAXIMUM) ? d->min : d->min + d->grown + 1 + below(c, 4);
    if (has(d, COMBINE_WIDE)) {
        d->max = UINT32_MAX;
    }
    d->bound = has(d, COMBINE_STATIC) || one_in(c, 2) ? d->min + 1 + below(c, 4) : 0;
    const bool limit = has(d, COMBINE_RESERVE_SHORT);
    d->reserve = limit ? d->min + below(c, 2) : 0;
    d->reserve = limit && d->reserve == 0 ? 1 : d->reserve;
    const bool moves = has(d, COMBINE_REMAP) || has(d, COMBINE_MOVE) || has(d, COMBINE_HEAP);
    const bool is_static =
        has(d, COMBINE_STATIC) || (has(d, COMBINE_TUNED) && d->bound >= d->max && d->bound > 0);
    d->room = is_static ? d->bound
              : moves   ? d->min
              : limit   ? d->reserve
                        : d->max; /* of a shared one its maximum */
    const bool counts = limit && !is_static && !moves && !has(d, COMBINE_AT_MAXIMUM);
    if (counts && one_in(c, 2)) { /* short of the maximum by no more than a guard */
        d->max = d->reserve + 1;
    }
}

static void append_create(struct draft *d, unsigned m) {
    static const uint8_t strategies[] = {
        WORD_strategy_reserve, WORD_strategy_reserve_rw, WORD_strategy_remap,
        WORD_strategy_move,    WORD_strategy_heap,       WORD_strategy_image,
        WORD_strategy_pool,    WORD_strategy_pool_renew, WORD_strategy_pool_scan,
        WORD_strategy_guard,   WORD_strategy_custom};
    static const uint8_t styles[] = {WORD_style_tuned, WORD_style_static, WORD_style_dynamic,
                                     WORD_style_usual};
    static const uint64_t guards[] = {0, 4096, 65536, UINT64_C(1) << 20};
    struct chance *c = &d->chance;
    struct op op = {.code = OP_memory_create_more};
    op.arg.memory_create_more.m = m;
    for (unsigned i = 0; i < COUNT_OF(strategies); i++) {
        if (has(d, (enum combine_feature)(COMBINE_RESERVE + i))) {
            op.arg.memory_create_more.strategy = strategies[i];
        }
    }
    for (unsigned i = 0; i < COUNT_OF(styles); i++) {
        if (has(d, (enum combine_feature)(COMBINE_TUNED + i))) {
            op.arg.memory_create_more.style = styles[i];
        }
        if (has(d, (enum combine_feature)(COMBINE_NO_GUARD + i))) {
            op.arg.memory_create_more.guard = guards[i];
        }
    }
    op.arg.memory_create_more.twin =
        has(d, COMBINE_TWIN) ? 1 + below(c, WORD_twin_count - 1) : WORD_twin_none;
    op.arg.memory_create_more.min = d->min;
    op.arg.memory_create_more.max = d->max;
    op.arg.memory_create_more.bound = d->bound;
    op.arg.memory_create_more.shared = has(d, COMBINE_SHARED) ? WORD_yesno_yes : WORD_yesno_no;
    op.arg.memory_create_more.record =
        has(d, COMBINE_CALLERS_RECORD) ? WORD_record_caller : WORD_record_own;
    if (has(d, COMBINE_FIRST_IMAGE)) {
        static const uint64_t bytes[] = {1, 100, 4096, 4097, 8192, 65536};
        op.arg.memory_create_more.image = bytes[below(c, COUNT_OF(bytes))];
    }
    op.arg.memory_create_more.advice = has(d, COMBINE_HUGE_PAGES) && has(d, COMBINE_POPULATE)
                                           ? WORD_advice_both
                                       : has(d, COMBINE_HUGE_PAGES) ? WORD_advice_huge
                                       : has(d, COMBINE_POPULATE)   ? WORD_advice_populate
                                                                    : WORD_advice_none;
    op.arg.memory_create_more.waiters = has(d, COMBINE_WAITERS) ? 1 + below(c, 2) : 0;
    op.arg.memory_create_more.reserve = d->reserve;
    append(d, op);
}

static void append_surroundings(struct draft *d) {
    struct chance *c = &d->chance;
    if (has(d, COMBINE_BUDGET)) {
        append_one(d, OP_memory_budget, 1 + d->min + below(c, 5));
    }
    if (has(d, COMBINE_FALL_BACK)) {
        append_one(d, OP_memory_fall_back, 1 + below(c, 3));
    }
    if (has(d, COMBINE_SPACE)) {
        append_one(d, OP_memory_address_space, d->min + 1 + below(c, 6));
    }
    if (has(d, COMBINE_FILE_LIMIT)) {
        static const uint64_t bytes[] = {1, 4096, 65535, 65536, 131072};
        append_one(d, OP_memory_file_limit, bytes[below(c, COUNT_OF(bytes))]);
    }
}

/* What was before; returns the slot of the memory that it is all about. */
static unsigned append_history(struct draft *d) {
    struct chance *c = &d->chance;
    unsigned m = 0;
    if (has(d, COMBINE_GROWN)) {
        append_of(d, OP_memory_grow, m, d->grown);
    }
    if (has(d, COMBINE_WRITTEN)) {
        append_store(d, m, OP_ADDRESS_END - 1);
        append_store(d, m, one_in(c, 2) ? below(c, 64) : (uint64_t)below(c, 32) * 4096);
    }
    if (has(d, COMBINE_MANY_RUNS)) {
        struct op op = {.code = OP_memory_touch};
        op.arg.memory_touch.m = m;
        op.arg.memory_touch.at = below(c, 2) * UINT64_C(4096);
        op.arg.memory_touch.stride = 8192;
        op.arg.memory_touch.count = 63 + below(c, 9);
        append(d, op);
    }
    if (has(d, COMBINE_WAS_RESET)) {
        append_of(d, OP_memory_reset, m, 0);
        if (has(d, COMBINE_GROWN) && !one_in(c, 3)) {
            append_of(d, OP_memory_grow, m, d->grown);
        }
    }
    if (has(d, COMBINE_COPIED) || has(d, COMBINE_OF_A_COPY)) {
        append_of(d, OP_memory_copy, m, 1);
    }
    if (has(d, COMBINE_OF_A_COPY)) {
        m = 1;
        if (one_in(c, 2)) {
            append_of(d, OP_memory_destroy, 0, 0);
        }
    }
    if (has(d, COMBINE_CONVERTED)) {
        append_of(d, OP_memory_to_shared, m, 0);
    }
    if (has(d, COMBINE_CLONED)) {
        if (!has(d, COMBINE_SHARED) && !has(d, COMBINE_CONVERTED)) {
            append_of(d, OP_memory_to_shared, m, 0);
        }
        append_of(d, OP_memory_clone, m, 2);
    }
    if (has(d, COMBINE_PINNED)) {
        struct op op = {.code = OP_memory_pin};
        op.arg.memory_pin.m = m;
        op.arg.memory_pin.at = below(c, 2) * UINT64_C(4096);
        op.arg.memory_pin.count = below(c, 3);
        append(d, op);
    }
    return m;
}

static uint64_t growth(struct draft *d) {
    struct chance *c = &d->chance;
    const uint64_t now = d->min + (has(d, COMBINE_WAS_RESET) ? 0 : d->grown);
    if (has(d, COMBINE_GROW)) {
        return 1 + below(c, 2);
    }
    const uint64_t to = one_in(c, 2) || d->max > 64 ? d->room : d->max;
    return (to > now && to < 64 ? to - now : 0) + 1;
}

static void append_fault(struct draft *d, uint8_t code) {
    const uint32_t calls = d->calls_of(code);
    struct chance *c = &d->chance;
    if (calls == 0) {
        return;
    }
    unsigned skip = below(c, (size_t)__builtin_popcount(calls)), call = 0;
    while (!(calls >> call & 1) || skip-- > 0) {
        call++;
    }
    struct op op = {.code = one_in(c, 2) ? OP_fault : OP_fault_at};
    op.arg.fault_at.call = call;
    op.arg.fault_at.nth = one_in(c, 3) ? 2 : 1;
    if (op.code == OP_fault_at) {
        op.arg.fault_at.error = below(c, WORD_error_count);
    }
    append(d, op);
}

/* The call, and once more, as a retry does. */
static void append_call(struct draft *d, unsigned m) {
    static const uint8_t codes[] = {OP_memory_grow,   OP_memory_grow,      OP_memory_copy,
                                    OP_memory_reset,  OP_memory_to_shared, OP_memory_clone,
                                    OP_memory_destroy};
    for (unsigned i = 0; i < COUNT_OF(codes); i++) {
        if (has(d, (enum combine_feature)(COMBINE_GROW + i))) {
            const uint8_t code = codes[i];
            const uint64_t argument = code == OP_memory_grow ? growth(d) : 3;
            if (has(d, COMBINE_FAULT)) {
                append_fault(d, code);
            }
            append_of(d, code, m, argument);
            if (one_in(&d->chance, 2)) {
                if (has(d, COMBINE_FAULT) && one_in(&d->chance, 2)) {
                    append_fault(d, code); /* the retry fails, too */
                }
                append_of(d, code, m, argument);
            }
        }
    }
}

/* What a mistake may show in, in any order. */
static void append_looks(struct draft *d, unsigned m) {
    struct chance *c = &d->chance;
    for (unsigned i = 2 + below(c, 3); i > 0; i--) {
        switch (below(c, 10)) {
        case 0:
            append_of(d, OP_memory_owner_of, m, OP_ADDRESS_END + below(c, 2));
            break;
        case 1:
            append_of(d, OP_memory_grow, m, 1);
            break;
        case 2:
            append_store(d, m, OP_ADDRESS_END - 1);
            break;
        case 3:
            append_of(d, OP_memory_reset, m, 0);
            break;
        case 4:
            append_of(d, OP_memory_copy, m, 3);
            break;
        case 5:
            append_of(d, OP_memory_unpin, m, 0);
            break;
        case 6:
            append_of(d, OP_memory_destroy, m, 0);
            break;
        case 7:
            append_create(d, 3);
            break;
        case 8:
            append_of(d, OP_memory_to_shared, m, 0);
            break;
        default:
            append_of(d, OP_memory_grow, m, growth(d));
            break;
        }
    }
}

/* What happens to a memory, in any order, and to what was copied from it. */
static void append_walk(struct draft *d) {
    static const uint8_t codes[] = {OP_memory_store, OP_memory_store,  OP_memory_grow,
                                    OP_memory_reset, OP_memory_reset,  OP_memory_copy,
                                    OP_memory_copy,  OP_memory_destroy};
    struct chance *c = &d->chance;
    unsigned m = 0;
    for (unsigned steps = 4 + below(c, 6); steps > 0; steps--) {
        const uint8_t code = codes[below(c, COUNT_OF(codes))];
        const unsigned to = (m + 1 + below(c, 2)) % 3;
        if (has(d, COMBINE_FAULT) && one_in(c, 5)) {
            append_fault(d, code);
        }
        switch (code) {
        case OP_memory_store:
            append_store(d, m, one_in(c, 2) ? (uint64_t)below(c, 32) * 4096 : OP_ADDRESS_END - 1);
            break;
        case OP_memory_destroy: /* and the next one comes */
            append_of(d, code, m, 0);
            append_create(d, m);
            break;
        default:
            append_of(d, code, m, code == OP_memory_copy ? to : 1);
            m = code == OP_memory_copy && one_in(c, 3) ? to : m;
            break;
        }
    }
}

uint64_t combine_walk(uint64_t seed, uint32_t (*calls_of)(uint8_t code), struct program *program) {
    struct draft d = {.chance = {seed}, .program = program, .calls_of = calls_of};
    d.set = draw_features(&d.chance);
    draw_sizes(&d);
    append_surroundings(&d);
    if (one_in(&d.chance, 3)) {
        append(&d, (struct op){.code = OP_memory_unseen});
    }
    append_create(&d, 0);
    append_walk(&d);
    return d.set;
}

uint64_t combine_draw(uint64_t seed, uint32_t (*calls_of)(uint8_t code), struct program *program) {
    struct draft d = {.chance = {seed}, .program = program, .calls_of = calls_of};
    d.set = draw_features(&d.chance);
    draw_sizes(&d);
    append_surroundings(&d);
    if (has(&d, COMBINE_FAULT) && one_in(&d.chance, 3)) {
        append_fault(&d, OP_memory_create_more);
    }
    append_create(&d, 0);
    if (has(&d, COMBINE_NEIGHBOUR)) { /* likely in the next slot, or behind it */
        append_create(&d, 3);
        append_store(&d, 3, 0);
        append_store(&d, 3, OP_ADDRESS_END - 1);
    }
    if (one_in(&d.chance, 5)) {
        append(&d, (struct op){.code = OP_memory_unseen});
    }
    const unsigned m = append_history(&d);
    append_call(&d, m);
    append_looks(&d, m);
    if (has(&d, COMBINE_FAULT)) { /* in which way it fails */
        enum { CHOICES = 4, CHOSEN = 6 };
        while (program->choices_bytes < CHOICES) {
            program->choices[program->choices_bytes++] = (uint8_t)below(&d.chance, CHOSEN);
        }
    }
    return d.set;
}
