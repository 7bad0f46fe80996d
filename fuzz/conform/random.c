/* random.c: draws programs. Few places, few values, so that threads meet; one width a place most of
 * the time, so that most programs are free of races; conditions, so that plain accesses come into
 * them. */
#include "random.h"

#include <string.h>

static uint64_t state;

static uint32_t below(uint32_t limit) {
    state += 0x9E3779B97F4A7C15u; /* splitmix64 */
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 32) % limit;
}

/* What a program is about; a draw of one leaves the others out most of the time. */
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
    static const int64_t timeouts_ns[] = {-1, -1, -1, 0, 3000, 30000, 300000};
    static const uint32_t counts[] = {0, 1, 1, 1, 2, UINT32_MAX};
    place_draw(theme, o);
    if (below(2) == 0) {
        o->code = CONFORM_memory_notify;
        o->count = counts[below(6)];
        return;
    }
    o->code = o->width == 8 ? CONFORM_memory_wait64 : CONFORM_memory_wait32;
    o->expected = below(4) == 0 ? 1 : 0;
    o->timeout_ns = timeouts_ns[below(7)];
}

/* A growth or a look at the size; behind one that saw a growth, an access to the new bytes. */
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

/* A message of plain bytes and a flag: T0 sends, another thread reads where it saw the flag. */
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

void conform_random(uint64_t seed, struct conform_program *p) {
    struct theme theme;
    state = seed * 0xD6E8FEB86659FD93u + 1;
    theme_draw(&theme);
    *p = (struct conform_program){.family = "random", .min_pages = 1, .max_pages = 1};
    snprintf(p->name, sizeof p->name, "random-%llu", (unsigned long long)seed);
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
