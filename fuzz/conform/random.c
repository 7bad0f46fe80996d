/* random.c: draws random programs in two ways. One uses its own themes: few places and values, so
 * that threads meet; one width per place most of the time, so that most programs are free of races;
 * conditions, so that plain accesses can be ordered. The other uses the fuzzers' generator, with
 * its operations folded into the first window. */
#include "random.h"

#include "mutate.h"
#include "op.h"

#include <string.h>

static uint64_t state;

static uint32_t below(uint32_t limit) {
    state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 32) % limit;
}

/* What a program is about; one draw leaves out most of the others. */
struct theme {
    bool waits, grows, messages, mixes_widths;
    unsigned places;
    uint32_t at[3], width[3];
    unsigned values;
};

static void theme_draw(struct theme *theme) {
    static const uint32_t widths[] = {1, 2, 4, 4, 4, 8, 8};
    uint32_t what = below(10);
    *theme = (struct theme){.waits = what >= 5 && what <= 7,
                            .grows = what >= 8,
                            .messages = what >= 3 && what <= 4,
                            .mixes_widths = below(12) == 0};
    theme->places = 1 + below(3);
    uint32_t step = below(2) ? 8 : 16;
    for (unsigned i = 0; i < 3; i++) {
        theme->width[i] = theme->waits ? 4 + 4 * (below(4) == 0) : widths[below(7)];
        theme->at[i] =
            i * step + (step == 16 && theme->width[i] < 8 ? theme->width[i] * below(2) : 0);
    }
    theme->values = 2 + below(2);
}

static void place_draw(const struct theme *theme, struct conform_operation *o) {
    static const uint32_t widths[] = {1, 2, 4, 8};
    unsigned place = below(theme->places);
    o->at = theme->at[place];
    o->width = theme->width[place];
    if (theme->mixes_widths && below(3) == 0) {
        o->width = widths[below(4)];
        o->at &= ~(o->width - 1);
    }
}

static void access_draw(const struct theme *theme, struct conform_operation *o) {
    place_draw(theme, o);
    o->value = below(8) == 0 ? UINT64_MAX >> (64 - 8 * o->width) : 1 + below(theme->values);
    o->expected = below(theme->values);
    o->kind = below(CONFORM_RMW_COUNT);
    switch (below(8)) {
    case 0:
    case 1:
    case 2:
        o->code = CONFORM_memory_atomic_load;
        break;
    case 3:
    case 4:
        o->code = CONFORM_memory_atomic_store;
        break;
    case 5:
        o->code = CONFORM_memory_atomic_cmpxchg;
        break;
    default:
        o->code = CONFORM_memory_atomic_rmw;
    }
    if (below(24) == 0) {
        *o = (struct conform_operation){.code = CONFORM_atomic_fence};
    }
}

static void queue_draw(const struct theme *theme, struct conform_operation *o) {
    static const int64_t timeouts_ns[] = {-1, -1, INT64_MIN, INT64_MAX, 0, 3000, 30000, 300000};
    static const uint32_t counts[] = {0, 1, 1, 1, 2, UINT32_MAX};
    place_draw(theme, o);
    if (below(2) == 0) {
        o->code = CONFORM_memory_notify;
        o->count = counts[below(6)];
        return;
    }
    o->code = o->width == 8 ? CONFORM_memory_wait64 : CONFORM_memory_wait32;
    o->expected = below(4) == 0 ? 1 : 0;
    o->timeout_ns = timeouts_ns[below(8)];
}

/* A growth or a read of the size; after one that saw a growth, an access to the new bytes. */
static void size_draw(const struct conform_program *p, unsigned t, struct conform_operation *o) {
    unsigned n = p->operations[t];
    const struct conform_operation *before = n > 0 ? &p->operation[t][n - 1] : NULL;
    bool grew = before != NULL && before->code == CONFORM_memory_grow && before->pages > 0;
    if (before != NULL && (grew || before->code == CONFORM_memory_size) && below(2) == 0) {
        o->code = below(2) ? CONFORM_memory_atomic_rmw : CONFORM_memory_atomic_load;
        o->at = CONFORM_GROWN;
        o->width = 4;
        o->kind = CONFORM_ADD;
        o->value = 1;
        o->test = CONFORM_UNEQUAL;
        o->tested = n - 1;
        o->tested_value = grew ? UINT32_MAX : p->min_pages;
        return;
    }
    o->code = below(2) ? CONFORM_memory_grow : CONFORM_memory_size;
    o->pages = below(8) == 0 ? 0 : 1 + below(2);
}

/* Message passing with plain bytes and a flag: T0 sends, another thread reads if it saw the
 * flag. */
static void message_draw(struct conform_program *p, unsigned t) {
    static const uint32_t widths[] = {1, 2, 4, 8};
    struct conform_operation *o = p->operation[t];
    uint32_t at = 40, width = widths[below(4)];
    if (t == 0) {
        o[0] = (struct conform_operation){
            .code = CONFORM_memory_store, .at = at, .width = width, .value = 5 + below(90)};
        if (below(3) == 0) {
            o[0] = (struct conform_operation){
                .code = CONFORM_memory_bulk_fill, .at = at, .count = 8, .value = below(255)};
        }
        o[1] = (struct conform_operation){
            .code = CONFORM_memory_atomic_store, .at = 60, .width = 4, .value = 1};
    } else {
        o[0] = (struct conform_operation){.code = CONFORM_memory_atomic_load, .at = 60, .width = 4};
        o[1] = (struct conform_operation){.code = CONFORM_memory_load,
                                          .at = at,
                                          .width = width,
                                          .test = CONFORM_EQUAL,
                                          .tested = 0,
                                          .tested_value = 1};
    }
    p->operations[t] = 2;
}

/* ---- By the fuzzers' generator --------------------------------------------------------------- */

/* One of three separate places; the position within its eight bytes is kept. */
static uint32_t fold(uint64_t at, uint32_t width) {
    return (uint32_t)(at / 8 % 3 * 8 + (at % 8 & ~(uint64_t)(width - 1)));
}

/* False if the operation has no counterpart here. */
static bool translate(const struct op *op, struct conform_operation *o) {
    static const uint32_t widths[] = {1, 2, 4, 8};
    *o = (struct conform_operation){0};
    switch (op->code) {
    case OP_memory_atomic_load:
        o->code = CONFORM_memory_atomic_load;
        o->width = widths[op->arg.memory_atomic_load.width % 4];
        o->at = fold(op->arg.memory_atomic_load.at, o->width);
        return true;
    case OP_memory_atomic_store:
        o->code = CONFORM_memory_atomic_store;
        o->width = widths[op->arg.memory_atomic_store.width % 4];
        o->at = fold(op->arg.memory_atomic_store.at, o->width);
        o->value = op->arg.memory_atomic_store.value & 0xff;
        return true;
    case OP_memory_atomic_rmw:
        o->code = CONFORM_memory_atomic_rmw;
        o->kind = (uint32_t)op->arg.memory_atomic_rmw.kind % CONFORM_RMW_COUNT;
        o->width = widths[op->arg.memory_atomic_rmw.width % 4];
        o->at = fold(op->arg.memory_atomic_rmw.at, o->width);
        o->value = op->arg.memory_atomic_rmw.value & 0xff;
        return true;
    case OP_memory_atomic_cmpxchg:
        o->code = CONFORM_memory_atomic_cmpxchg;
        o->width = widths[op->arg.memory_atomic_cmpxchg.width % 4];
        o->at = fold(op->arg.memory_atomic_cmpxchg.at, o->width);
        o->expected = op->arg.memory_atomic_cmpxchg.expected & 3;
        o->value = op->arg.memory_atomic_cmpxchg.value & 0xff;
        return true;
    case OP_memory_wait32:
    case OP_memory_wait64:
        o->code = op->code == OP_memory_wait32 ? CONFORM_memory_wait32 : CONFORM_memory_wait64;
        o->at = fold(op->arg.memory_wait32.at, 8);
        o->expected = op->arg.memory_wait32.expected & 1;
        o->timeout_ns = (int64_t)op->arg.memory_wait32.timeout_ns;
        o->timeout_ns = o->timeout_ns < 0 ? -1 : o->timeout_ns % 200000;
        return true;
    case OP_memory_notify:
        o->code = CONFORM_memory_notify;
        o->at = fold(op->arg.memory_notify.at, 8);
        o->count = (uint32_t)op->arg.memory_notify.count;
        return true;
    case OP_memory_grow:
        o->code = CONFORM_memory_grow;
        o->pages = (uint32_t)op->arg.memory_grow.pages % 3;
        return true;
    case OP_memory_bulk_fill:
        o->code = CONFORM_memory_bulk_fill;
        o->at = fold(op->arg.memory_bulk_fill.at, 8);
        o->value = op->arg.memory_bulk_fill.value & 0xff;
        o->count = (uint32_t)op->arg.memory_bulk_fill.count % 9;
        return true;
    default:
        return false;
    }
}

/* Its operations, dealt to two to four threads in turn. */
static void by_the_fuzzers(uint64_t seed, struct conform_program *p) {
    static const enum op_target targets[] = {TARGET_memory_fuzzer, TARGET_waiters_fuzzer,
                                             TARGET_system_fuzzer};
    static struct program program; /* static because it is large */
    uint8_t bytes[512];
    struct mutate how = {.target = targets[below(3)], .seed = seed, .swarm = seed / 8 + 1};
    mutate_new(&how, 0, &program);
    size_t length = mutate_fit(&program, sizeof bytes);
    (void)op_encode(&program, bytes, sizeof bytes);
    for (unsigned i = 0; i < 24; i++) {
        how.seed = seed * 64 + i;
        length = mutate_bytes(&how, bytes, length, sizeof bytes);
    }
    (void)op_decode(how.target, bytes, length, &program);
    unsigned threads = below(3) > 0 ? 2 : 3 + below(2);
    unsigned most = threads == 2 ? 5 : 3, taken = 0;
    for (unsigned i = 0; i < program.operations && taken < threads * most; i++) {
        struct conform_operation o;
        if (translate(&program.operation[i], &o)) {
            p->operation[taken % threads][taken / threads] = o;
            p->operations[taken % threads]++;
            p->max_pages = o.code == CONFORM_memory_grow ? 3 : p->max_pages;
            taken++;
        }
    }
    p->threads = taken < threads ? 0 : threads; /* too few: no program */
}

/* ---- Both ways ------------------------------------------------------------------------------- */

void conform_random(uint64_t seed, struct conform_program *p) {
    struct theme theme;
    state = seed * 0xD6E8FEB86659FD93u + 1;
    theme_draw(&theme);
    *p = (struct conform_program){.family = "random", .min_pages = 1, .max_pages = 1};
    snprintf(p->name, sizeof p->name, "random-%llu", (unsigned long long)seed);
    if (seed % 2 == 1) {
        by_the_fuzzers(seed, p);
        return;
    }
    p->threads = below(3) > 0 ? 2 : 3 + below(2);
    p->max_pages = theme.grows ? 2 + below(3) : 1;
    for (unsigned t = 0; t < p->threads; t++) {
        unsigned most = p->threads == 2 ? 5 : 3;
        unsigned wanted = 1 + below(most);
        if (theme.messages && t < 2) {
            message_draw(p, t);
        }
        while (p->operations[t] < wanted) {
            struct conform_operation o = {0};
            if (theme.waits && below(2) == 0) {
                queue_draw(&theme, &o);
            } else if (theme.grows && below(3) > 0) {
                size_draw(p, t, &o);
            } else {
                access_draw(&theme, &o);
            }
            p->operation[t][p->operations[t]++] = o;
        }
    }
}
