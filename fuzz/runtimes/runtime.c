/* runtime.c: any WebAssembly runtime as a subject (subject.h): its memory is driven by a guest's
 * own instructions, and a program is sent as a whole.
 *
 * While the harness runs a program, the model answers each request, and the request is recorded. At
 * the end the runtime plays all of them at once. If every answer is as predicted, the harness's
 * verdict stands. Otherwise the program runs again and gets the runtime's answers, as long as it
 * makes the same requests; further requests are predicted and played again. So findings have the
 * names and places that the harness gives them, and a clean program costs one exchange. */
#include "door.h"
#include "model.h"
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REQUESTS_MAX = 16384,
    HANDLES_MAX = 512,
    SEGMENT_BYTES_MAX = 4096,
    PASSES_MAX = 16,
    HANGS_MAX = 3
};

static struct door_features has;

/* A handle: an instance on a body's memory. */
struct handle {
    unsigned slot;
    struct body *body;
};

struct body {
    struct model_memory model; /* predicts answers */
    unsigned handles;
};

/* The module of a slot, as far as it has been used. */
struct plan {
    struct subject_type type;
    enum guest_how how;
    bool wide;
    struct guest_function *function;
    unsigned functions;
    struct guest_segment *segment;
    unsigned segments;
};

static struct {
    struct request request[REQUESTS_MAX], before[REQUESTS_MAX];
    struct answer known[REQUESTS_MAX];
    unsigned requests, known_count;
    bool serving;  /* all requests so far were made before, and answered */
    bool foretold; /* some answer in this pass was predicted */
    bool once_more, full;
    unsigned passes;
    struct handle handle[HANDLES_MAX];
    struct body body[HANDLES_MAX];
    struct plan plan[HANDLES_MAX];
    unsigned slots;
    struct guest_bytes module[2 * HANDLES_MAX];
    const struct guest_bytes *played[2 * HANDLES_MAX];
    unsigned extra; /* modules of SEGMENTS, after those of slots */
    int died_at, differs;
    char died_name[64], kind[16], complaint[32];
    char words[640], extension[96];
} run;

/* ---- Requests -------------------------------------------------------------------------------- */

static bool same_request(const struct request *a, const struct request *b) {
    return memcmp(a->word, b->word, sizeof a->word) == 0 && guest_same(&a->function, &b->function);
}

static bool same_answer(const struct request *r, const struct answer *a, const struct answer *b) {
    if (a->status != b->status) {
        return (r->traps >> a->status & r->traps >> b->status & 1) != 0;
    }
    return a->status != SUBJECT_OK ||
           (a->value == b->value && a->bytes == NULL && b->bytes == NULL);
}

static struct answer ask(struct request r) {
    if (run.requests == REQUESTS_MAX) {
        run.full = true; /* nothing more is played: the program is judged up to here */
        return r.foretold;
    }
    const unsigned n = run.requests++;
    if (run.died_at >= 0 && n >= (unsigned)run.died_at && run.serving) {
        if (n == (unsigned)run.died_at) {
            snprintf(run.died_name, sizeof run.died_name, "%s-%s", r.rule, run.kind);
        }
        r.given = (struct answer){SUBJECT_SYSTEM, 0, NULL};
    } else if (run.serving && n < run.known_count && same_request(&run.before[n], &r)) {
        r.given = run.known[n];
    } else {
        if (r.word[0] != REQUEST_DROP) {
            run.serving = false;
            run.foretold = true;
        }
        r.given = r.foretold;
    }
    run.request[n] = r;
    if (same_answer(&r, &r.given, &r.foretold)) {
        return r.foretold; /* of several possible traps, the one that the harness would report */
    }
    return r.given;
}

static struct request request_of(enum request_what what, const struct handle *h, const char *rule) {
    return (struct request){
        .word = {(uint32_t)what, h->slot}, .rule = rule, .foretold = {SUBJECT_OK, 0, NULL}};
}

static struct request call_of(enum guest_what what, const struct handle *h, const char *rule) {
    struct request r = request_of(REQUEST_CALL, h, rule);
    r.function.what = what;
    return r;
}

/* ---- Making and dropping --------------------------------------------------------------------- */

static struct handle *handle_new(void) {
    if (run.slots == HANDLES_MAX) {
        return NULL;
    }
    struct handle *h = &run.handle[run.slots];
    *h = (struct handle){.slot = run.slots++};
    return h;
}

/* Growing a shared memory takes seconds on some runtimes. The program is told that memory is
 * exhausted, which the rules allow. */
static bool is_costly(bool shared, uint64_t pages) {
    return shared && has.costly_shared_pages != 0 && pages > has.costly_shared_pages;
}

/* The strategies that the runtime has. */
enum { WAYS_MAX = 4 };
static struct way {
    const char *name;
    enum guest_how how;
    bool wide;
} way[WAYS_MAX];

static unsigned ways_make(void) {
    unsigned ways = 0;
    way[ways++] = (struct way){"defined", GUEST_DEFINED, false};
    if (has.imports) {
        way[ways++] = (struct way){"imported", GUEST_IMPORTED, false};
    }
    if (has.second) {
        way[ways++] = (struct way){"second", GUEST_SECOND, false};
    }
    if (has.wide) {
        way[ways++] = (struct way){"memory64", GUEST_DEFINED, true};
    }
    return ways;
}

/* A memory with 64-bit addresses could be larger, but its twin could not. */
static bool is_wide(const struct way *w, const struct subject_type *type) {
    return w->wide && model_type_check(type) == SUBJECT_OK;
}

static enum subject_status create(const struct subject_memory_config *config, void **memory) {
    if (config->type.shared && !has.threads) {
        return SUBJECT_UNSUPPORTED; /* atomics could not be tested on it */
    }
    const struct subject_type *type = &config->type;
    const struct way *w = &way[config->strategy];
    const bool left_out =
        model_type_check(type) == SUBJECT_OK && is_costly(type->shared, type->min_pages);
    struct handle *h = left_out ? NULL : handle_new();
    if (h == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    struct request r = request_of(REQUEST_MAKE, h, "R1");
    r.word[2] = type->min_pages;
    r.word[3] = type->max_pages;
    r.word[4] = type->shared;
    r.word[5] = w->how;
    run.plan[h->slot].type = *type;
    run.plan[h->slot].how = w->how;
    run.plan[h->slot].wide = is_wide(w, type);
    if (run.plan[h->slot].wide && type->max_pages == SUBJECT_NO_MAXIMUM) {
        run.plan[h->slot].type.max_pages = 65536;
    }
    r.foretold.status = model_type_check(type) == SUBJECT_OK ? SUBJECT_OK : SUBJECT_INVALID;
    enum subject_status status = ask(r).status;
    if (status != SUBJECT_OK) {
        return status;
    }
    h->body = &run.body[h->slot];
    h->body->handles = 1;
    model_create(&h->body->model, type, &(struct subject_style){0}, 0);
    *memory = h;
    return SUBJECT_OK;
}

static void destroy(void *memory) {
    struct handle *h = memory;
    (void)ask(request_of(REQUEST_DROP, h, "R14"));
    h->body->handles--;
}

static enum subject_status clone(void *memory, void **made) {
    struct handle *of = memory, *h;
    if (!of->body->model.type.shared) {
        return SUBJECT_NOT_SHARED;
    }
    h = handle_new();
    if (h == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    struct request r = request_of(REQUEST_AGAIN, h, "R14");
    r.word[2] = of->slot;
    run.plan[h->slot].type = run.plan[of->slot].type;
    run.plan[h->slot].wide = run.plan[of->slot].wide;
    /* The minimum of an import: the size at creation is always enough. */
    run.plan[h->slot].type.min_pages = of->body->model.first_pages;
    run.plan[h->slot].how = GUEST_IMPORTED;
    enum subject_status status = ask(r).status;
    if (status == SUBJECT_OK) {
        h->body = of->body;
        h->body->handles++;
        *made = h;
    }
    return status;
}

/* ---- Size and growth ------------------------------------------------------------------------- */

static uint64_t size_pages(void *memory) {
    struct handle *h = memory;
    struct request r = call_of(GUEST_SIZE, h, "R12");
    r.foretold.value = h->body->model.type.min_pages;
    struct answer a = ask(r);
    return a.status == SUBJECT_OK ? a.value : UINT64_MAX;
}

static uint64_t size_bytes(void *memory) {
    struct handle *h = memory;
    struct request r = request_of(REQUEST_BYTES, h, "R9");
    r.foretold.value = model_bytes(&h->body->model);
    struct answer a = ask(r);
    return a.status == SUBJECT_OK ? a.value : UINT64_MAX;
}

static enum subject_status grow(void *memory, uint32_t delta, uint32_t *old) {
    struct handle *h = memory;
    struct model_memory *m = &h->body->model;
    const bool passes = model_grow_passes(m, delta), by_host = has.host_grow && delta % 4 == 3;
    struct request r = by_host ? request_of(REQUEST_GROW, h, "R6") : call_of(GUEST_GROW, h, "R6");
    if (!passes && delta > 0 && is_costly(m->type.shared, (uint64_t)m->type.min_pages + delta)) {
        return SUBJECT_NO_MEMORY;
    }
    r.word[by_host ? 2 : 3] = delta;
    r.foretold.value = passes ? UINT32_MAX : m->type.min_pages;
    struct answer a = ask(r);
    if (a.status != SUBJECT_OK || (a.value == UINT32_MAX)) {
        return a.status != SUBJECT_OK ? a.status : passes ? SUBJECT_LIMIT : SUBJECT_NO_MEMORY;
    }
    *old = (uint32_t)a.value;
    if (!passes) {
        m->type.min_pages += delta;
    }
    return SUBJECT_OK;
}

static enum subject_status grow_never(void *memory, uint32_t delta, uint32_t *old) {
    const struct handle *h = memory;
    *old = h->body->model.type.min_pages;
    return delta == 0 ? SUBJECT_OK : SUBJECT_NO_MEMORY;
}

/* ---- Accesses -------------------------------------------------------------------------------- */

/* Choices that depend only on the operation's own arguments, so that they stay the same when other
 * operations are removed. */
static uint32_t mix(uint64_t a, uint64_t b) {
    uint64_t x = a * UINT64_C(0x9e3779b97f4a7c15) ^ (b + 1) * UINT64_C(0xc2b2ae3d27d4eb4f);
    x ^= x >> 29;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t)(x >> 32);
}

static unsigned log2_of(unsigned width) {
    return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3;
}

static bool is_width(unsigned width) {
    return width == 1 || width == 2 || width == 4 || width == 8;
}

/* What is wrong with an access, as a set of statuses. */
static unsigned traps_of(bool aligned, bool within, bool shared) {
    return (aligned ? 0 : 1u << SUBJECT_MISALIGNED) | (within ? 0 : 1u << SUBJECT_OUT_OF_BOUNDS) |
           (shared ? 0 : 1u << SUBJECT_NOT_SHARED);
}

/* One of the forms with that width. */
static uint8_t form_pick(const struct guest_form *form, unsigned forms, unsigned width,
                         uint32_t choice) {
    unsigned fit = 0;
    for (unsigned i = 0; i < forms; i++) {
        fit += form[i].width == width && (has.simd || form[i].prefix != 0xfd);
    }
    fit = choice % fit;
    for (unsigned i = 0; i < forms; i++) {
        if (form[i].width == width && (has.simd || form[i].prefix != 0xfd) && fit-- == 0) {
            return (uint8_t)i;
        }
    }
    return 0;
}

static bool is_nan(uint64_t value, unsigned width) {
    return width == 4   ? (value & 0x7f800000) == 0x7f800000 && (value & 0x7fffff) != 0
           : width == 8 ? value << 1 > UINT64_C(0x7ff) << 53
                        : false;
}

/* A form with that width, often one that is hard for this value: a float for a NaN, whose bits must
 * be preserved, or one that sign-extends. */
static uint8_t form_for(const struct guest_form *form, unsigned forms, unsigned width,
                        uint64_t value, uint32_t choice) {
    const bool is_negative = width < 8 && (value >> (8 * width - 1) & 1) != 0;
    const bool as_float = is_nan(value, width) && (choice & 1) != 0;
    const bool as_signed = is_negative && !as_float && (choice & 2) != 0;
    for (unsigned i = 0; (as_float || as_signed) && i < forms; i++) {
        const unsigned n = (i + (choice >> 2)) % forms;
        const bool is_float = form[n].type == 'f' || form[n].type == 'd';
        if (form[n].width == width && (as_float ? is_float : form[n].is_signed)) {
            return (uint8_t)n;
        }
    }
    return form_pick(form, forms, width, choice);
}

/* The address as index and immediate: as in the operation, or with an immediate at which
 * bounds-checking code is known to fail. */
static void split(struct request *r, uint32_t index, uint32_t offset, unsigned width,
                  uint32_t choice) {
    const uint64_t address = (uint64_t)index + offset;
    const uint32_t last = (uint32_t)(0u - width); /* offset + width is 2^32 */
    const uint32_t half = UINT32_C(1) << 31;
    const uint32_t edge[] = {last,          last,  UINT32_MAX, half, half - width,
                             65536 - width, 65536, 65535,      4096, 0};
    enum { EDGES = sizeof edge / sizeof edge[0] };
    unsigned first = 0; /* chosen among what the address can have */
    while (first + 1 < EDGES && (edge[first] > address || address - edge[first] > UINT32_MAX)) {
        first++;
    }
    const uint32_t wanted = edge[first + (choice >> 4) % (EDGES - first)];
    if ((choice & 3) != 0 && address >= wanted && address - wanted <= UINT32_MAX) {
        index = (uint32_t)(address - wanted);
        offset = wanted;
    }
    r->function.offset = offset;
    r->function.index_is_constant = (choice >> 9) % 4 == 0;
    r->function.index = r->function.index_is_constant ? index : 0;
    r->word[3] = r->function.index_is_constant ? 0 : index;
}

/* With 64-bit addresses, every other access that is only out of bounds goes 2^32 past the memory's
 * start: code that drops the upper half would find it in bounds. */
static void go_far(struct request *r, const struct handle *h, uint32_t choice) {
    if (run.plan[h->slot].wide && r->traps == 1u << SUBJECT_OUT_OF_BOUNDS && choice % 2 == 0) {
        r->function.is_far = true;
        r->function.index_is_constant = false;
        r->function.index = r->function.offset = r->word[3] = 0;
    }
}

static void halves(struct request *r, unsigned word, uint64_t value) {
    r->word[word] = (uint32_t)value;
    r->word[word + 1] = (uint32_t)(value >> 32);
}

/* seed: the value that is stored, or any number. */
static struct request access_of(enum guest_what what, const struct handle *h, uint32_t index,
                                uint32_t offset, unsigned width, uint64_t seed) {
    struct request r = call_of(what, h, "R18");
    const struct model_memory *m = &h->body->model;
    const uint64_t address = (uint64_t)index + offset;
    const bool is_atomic = what >= GUEST_ATOMIC_LOAD;
    const uint32_t choice = mix(address << 8 | width, seed);
    const bool within = model_within(m, address, width),
               aligned = !is_atomic || address % width == 0;
    split(&r, index, offset, width, choice);
    r.function.align =
        (uint8_t)(is_atomic ? log2_of(width) : (choice >> 11) % (log2_of(width) + 1));
    r.function.form = is_atomic ? form_pick(guest_atomics, GUEST_ATOMICS, width, choice >> 14)
                      : what == GUEST_LOAD
                          ? form_pick(guest_loads, GUEST_LOADS, width, choice >> 14)
                          : form_for(guest_stores, GUEST_STORES, width, seed, choice >> 14);
    r.foretold.status = !aligned ? SUBJECT_MISALIGNED : within ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    r.traps = traps_of(aligned, within, true);
    go_far(&r, h, choice >> 26);
    return r;
}

/* The value after the form: sign-extended, then as the guest returns it. */
static uint64_t extended(const struct guest_form *form, uint64_t value) {
    const unsigned bits = 8u * form->width;
    if (!form->is_signed || bits == 64 || !(value >> (bits - 1) & 1)) {
        return value;
    }
    return value | ~UINT64_C(0) << bits;
}

/* The harness judges the low `width` bytes. The extension above them is judged here: the harness
 * gets 0 if it is right, else the wrong bits. */
static enum subject_status load(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                uint64_t *value) {
    struct handle *h = memory;
    if (!is_width(width)) {
        return SUBJECT_INVALID;
    }
    struct request r = access_of(GUEST_LOAD, h, index, offset, width, 0);
    const struct guest_form *form = &guest_loads[r.function.form];
    const bool inside = r.foretold.status == SUBJECT_OK;
    const uint64_t right =
        inside ? model_load(&h->body->model, (uint64_t)index + offset, width) : 0;
    r.foretold.value = extended(form, right);
    struct answer a = ask(r);
    const uint64_t wrong = a.value ^ extended(form, model_wrap(a.value, width));
    *value = model_wrap(a.value, width) | wrong;
    if (wrong != 0 && a.status == SUBJECT_OK) {
        snprintf(run.extension, sizeof run.extension, "%s returned %#llx, whose extension is wrong",
                 form->name, (unsigned long long)a.value);
    }
    return a.status;
}

/* After every other write, loads part of it in a width or form that the harness's own loads rarely
 * use. A wrong value becomes the program's complaint. */
static void look_again(struct handle *h, uint64_t address, uint64_t count, uint64_t seed) {
    const struct model_memory *m = &h->body->model;
    const uint32_t choice = mix(address, seed ^ count);
    const bool all_of_it = is_width((unsigned)count) && (choice & 2) != 0;
    const unsigned width = all_of_it ? (unsigned)count : 1u << (choice >> 2) % 4;
    uint64_t at = address + (all_of_it ? 0 : (choice >> 4) % count);
    if ((choice & 1) != 0 || model_bytes(m) < width) {
        return;
    }
    at = model_within(m, at, width) ? at : model_bytes(m) - width;
    struct request r = call_of(GUEST_LOAD, h, "R18");
    r.word[3] = (uint32_t)at;
    const uint64_t value = model_load(m, at, width);
    r.function.form = form_for(guest_loads, GUEST_LOADS, width, value, choice >> 20);
    r.foretold.value = extended(&guest_loads[r.function.form], value);
    const struct answer a = ask(r);
    if (!same_answer(&r, &a, &r.foretold) && run.complaint[0] == '\0') {
        snprintf(run.complaint, sizeof run.complaint, "R18-load");
        snprintf(run.words, sizeof run.words, "%s at %llu: expected %#llx, got status %d, %#llx",
                 guest_loads[r.function.form].name, (unsigned long long)at,
                 (unsigned long long)r.foretold.value, (int)a.status, (unsigned long long)a.value);
    }
}

static enum subject_status stored(enum guest_what what, void *memory, uint32_t index,
                                  uint32_t offset, unsigned width, uint64_t value) {
    struct handle *h = memory;
    if (!is_width(width)) {
        return SUBJECT_INVALID;
    }
    struct request r = access_of(what, h, index, offset, width, value);
    halves(&r, 4, value);
    struct answer a = ask(r);
    if (a.status == SUBJECT_OK && r.foretold.status == SUBJECT_OK) {
        model_store(&h->body->model, (uint64_t)index + offset, width, value);
        look_again(h, (uint64_t)index + offset, width, value);
    }
    return a.status;
}

static enum subject_status store(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                 uint64_t value) {
    return stored(GUEST_STORE, memory, index, offset, width, value);
}

static enum subject_status guest_atomic_load(void *memory, uint32_t index, uint32_t offset,
                                             unsigned width, uint64_t *value) {
    struct handle *h = memory;
    if (!is_width(width)) {
        return SUBJECT_INVALID;
    }
    struct request r = access_of(GUEST_ATOMIC_LOAD, h, index, offset, width, 1);
    if (r.foretold.status == SUBJECT_OK) {
        r.foretold.value = model_load(&h->body->model, (uint64_t)index + offset, width);
    }
    struct answer a = ask(r);
    *value = a.value;
    return a.status;
}

static enum subject_status guest_atomic_store(void *memory, uint32_t index, uint32_t offset,
                                              unsigned width, uint64_t value) {
    return stored(GUEST_ATOMIC_STORE, memory, index, offset, width, value);
}

static enum subject_status guest_atomic_rmw(void *memory, enum subject_rmw kind, uint32_t index,
                                            uint32_t offset, unsigned width, uint64_t value,
                                            uint64_t *old) {
    struct handle *h = memory;
    const uint64_t address = (uint64_t)index + offset;
    if (!is_width(width)) {
        return SUBJECT_INVALID;
    }
    struct request r = access_of(GUEST_ATOMIC_RMW, h, index, offset, width, value);
    const bool inside = r.foretold.status == SUBJECT_OK;
    r.function.rmw = kind;
    halves(&r, 4, value);
    r.foretold.value = inside ? model_load(&h->body->model, address, width) : 0;
    struct answer a = ask(r);
    *old = a.value;
    if (a.status == SUBJECT_OK && inside) {
        model_store(&h->body->model, address, width, model_rmw(kind, r.foretold.value, value));
        look_again(h, address, width, value);
    }
    return a.status;
}

static enum subject_status guest_atomic_cmpxchg(void *memory, uint32_t index, uint32_t offset,
                                                unsigned width, uint64_t expected, uint64_t value,
                                                uint64_t *old) {
    struct handle *h = memory;
    const uint64_t address = (uint64_t)index + offset;
    if (!is_width(width)) {
        return SUBJECT_INVALID;
    }
    struct request r = access_of(GUEST_ATOMIC_CMPXCHG, h, index, offset, width, value ^ expected);
    const bool inside = r.foretold.status == SUBJECT_OK;
    halves(&r, 4, expected);
    halves(&r, 6, value);
    r.foretold.value = inside ? model_load(&h->body->model, address, width) : 0;
    struct answer a = ask(r);
    *old = a.value;
    if (a.status == SUBJECT_OK && inside && r.foretold.value == model_wrap(expected, width)) {
        model_store(&h->body->model, address, width, value);
    }
    return a.status;
}

/* ---- Bulk ------------------------------------------------------------------------------------ */

static enum subject_status bulk_copy(void *memory, uint32_t to, uint32_t from, uint32_t count) {
    struct handle *h = memory;
    struct model_memory *m = &h->body->model;
    struct request r = call_of(GUEST_COPY, h, "R16");
    const bool inside = model_within(m, to, count) && model_within(m, from, count);
    r.word[3] = to;
    r.word[4] = from;
    r.word[5] = count;
    r.foretold.status = inside ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    struct answer a = ask(r);
    if (a.status == SUBJECT_OK && inside) {
        model_move(m, to, from, count);
        look_again(h, to, count > 0 ? count : 1, from);
    }
    return a.status;
}

static enum subject_status bulk_fill(void *memory, uint32_t at, uint8_t value, uint32_t count) {
    struct handle *h = memory;
    struct model_memory *m = &h->body->model;
    struct request r = call_of(GUEST_FILL, h, "R16");
    const bool inside = model_within(m, at, count);
    r.word[3] = at;
    r.word[4] = value | (at & 1 ? 0xabcdef00u : 0); /* the upper bits must be ignored */
    r.word[5] = count;
    r.foretold.status = inside ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    struct answer a = ask(r);
    if (a.status == SUBJECT_OK && inside) {
        model_fill(m, at, value, count);
        look_again(h, at, count > 0 ? count : 1, value);
    }
    return a.status;
}

static unsigned segment_add(struct plan *p, const struct guest_segment *s) {
    for (unsigned i = 0; i < p->segments; i++) {
        if (p->segment[i].data == s->data && p->segment[i].bytes == s->bytes) {
            return i;
        }
    }
    p->segment = realloc(p->segment, (p->segments + 1) * sizeof *p->segment);
    if (p->segment == NULL) {
        abort();
    }
    p->segment[p->segments] = *s;
    return p->segments++;
}

/* Only the end of a long segment is in the module, and `from` is relative to that. */
static enum subject_status bulk_init(void *memory, const struct subject_segment *segment,
                                     uint32_t at, uint32_t from, uint32_t count) {
    struct handle *h = memory;
    struct model_memory *m = &h->body->model;
    struct request r = call_of(GUEST_INIT, h, "R16");
    const uint64_t length = segment->length_bytes;
    const bool has_bytes = from <= length && count <= length - from;
    const bool inside = has_bytes && model_within(m, at, count);
    const uint64_t shift = length <= SEGMENT_BYTES_MAX ? 0
                           : has_bytes && from < length - SEGMENT_BYTES_MAX
                               ? from
                               : length - SEGMENT_BYTES_MAX;
    struct guest_segment s = {.data = (const uint8_t *)segment->data + (length == 0 ? 0 : shift),
                              .bytes = (uint32_t)(length - shift)};
    if (s.bytes > SEGMENT_BYTES_MAX) {
        s.bytes = count <= SEGMENT_BYTES_MAX ? SEGMENT_BYTES_MAX : count;
    }
    if (from < shift) {
        return SUBJECT_OUT_OF_BOUNDS; /* only if it passes the segment's end */
    }
    r.function.segment = segment_add(&run.plan[h->slot], &s);
    r.function.drop = length == 0;
    r.word[3] = at;
    r.word[4] = (uint32_t)(from - shift);
    r.word[5] = count;
    r.foretold.status = inside ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    struct answer a = ask(r);
    if (a.status == SUBJECT_OK && inside && count > 0) {
        model_write(m, at, (const uint8_t *)segment->data + from, count);
        look_again(h, at, count, from);
    }
    return a.status;
}

static void segment_drop(struct subject_segment *segment) {
    segment->length_bytes = 0; /* memory.init of it will drop its own copy first */
}

/* ---- The host's access ----------------------------------------------------------------------- */

static uint32_t digest_step(uint32_t h, uint32_t word) {
    return (h ^ word) * UINT32_C(0x9e3779b1);
}

static uint32_t word_of(const uint8_t *bytes) { /* one load to a compiler */
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

uint32_t door_digest(const uint8_t *bytes, uint32_t count) {
    uint32_t lane[DIGEST_LANES] = {count, count, count, count}, i = 0;
    for (; i + 4 * DIGEST_LANES <= count; i += 4 * DIGEST_LANES) {
        for (uint32_t k = 0; k < DIGEST_LANES; k++) {
            lane[k] = digest_step(lane[k], word_of(bytes + i + 4UL * k));
        }
    }
    for (uint32_t k = 0; i < count; i += 4, k++) {
        uint8_t last[4] = {0};
        memcpy(last, bytes + i, count - i < 4 ? count - i : 4);
        lane[k] = digest_step(lane[k], word_of(last));
    }
    uint32_t h = count;
    for (uint32_t k = 0; k < DIGEST_LANES; k++) {
        h = digest_step(h, lane[k]);
    }
    return h;
}

static enum subject_status read_bytes(void *memory, uint64_t start, void *data, uint64_t count) {
    struct handle *h = memory;
    const struct model_memory *m = &h->body->model;
    struct request r = request_of(REQUEST_READ, h, "R17");
    if (count > UINT32_MAX || start > UINT64_C(1) << 52) {
        return SUBJECT_OUT_OF_BOUNDS; /* no host can ask that */
    }
    const bool inside = model_within(m, start, count);
    if (inside) {
        model_read(m, start, data, count);
    }
    halves(&r, 2, start);
    r.word[4] = (uint32_t)count;
    r.word[5] = inside ? door_digest(data, (uint32_t)count) : 0;
    r.foretold.status = inside ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    struct answer a = ask(r);
    if (a.bytes != NULL && inside) {
        memcpy(data, a.bytes, count);
    }
    return a.status;
}

static enum subject_status initialise(void *memory, uint64_t start, const void *data,
                                      uint64_t count) {
    struct handle *h = memory;
    struct model_memory *m = &h->body->model;
    struct request r = request_of(REQUEST_WRITE, h, "R17");
    const bool inside = model_within(m, start, count);
    if (count > MODEL_PATTERN_BYTES || start > UINT64_C(1) << 52) {
        return SUBJECT_OUT_OF_BOUNDS;
    }
    halves(&r, 2, start);
    r.word[4] = (uint32_t)count;
    r.foretold.status = inside ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    struct answer a = ask(r);
    if (a.status == SUBJECT_OK && inside) {
        model_write(m, start, data, count);
    }
    return a.status;
}

/* As a module with active segments that is instantiated on the memory. A segment that 32 bits
 * cannot express, or that is long and passes the end, is replaced by one that passes the end as
 * well. */
static enum subject_status initialise_segments(void *memory,
                                               const struct subject_active_segment *segment,
                                               size_t count, size_t *applied) {
    static const uint8_t some[64];
    struct handle *h = memory;
    struct model_memory *m = &h->body->model;
    struct guest_segment made[8];
    size_t fit = 0;
    for (size_t i = 0; i < count && i < 8; i++) {
        const uint64_t start = segment[i].start, length = segment[i].segment.length_bytes;
        const bool inside = model_within(m, start, length);
        fit += inside && fit == i;
        const bool applies = fit > i;
        made[i] = (struct guest_segment){segment[i].segment.data, (uint32_t)length, (uint32_t)start,
                                         true};
        if (!applies && (start > UINT32_MAX || start + length > UINT32_MAX)) {
            made[i] = (struct guest_segment){some, 2, UINT32_MAX, true};
        } else if (!applies && length > sizeof some) {
            made[i] = (struct guest_segment){some, sizeof some,
                                             (uint32_t)(start + length - sizeof some), true};
        }
    }
    struct request r = request_of(REQUEST_SEGMENTS, h, "R17");
    r.foretold.status = fit == count ? SUBJECT_OK : SUBJECT_OUT_OF_BOUNDS;
    const struct guest_module module = {
        .type = {m->first_pages, run.plan[h->slot].type.max_pages, m->type.shared},
        .how = GUEST_IMPORTED,
        .wide = run.plan[h->slot].wide,
        .segment = made,
        .segments = (unsigned)(count < 8 ? count : 8),
    };
    if (run.extra < HANDLES_MAX) { /* numbered by modules_make */
        struct guest_bytes *bytes = &run.module[HANDLES_MAX + run.extra++];
        bytes->count = 0;
        guest_make(bytes, &module);
        /* Requests are compared with those of an earlier pass, and so are their bytes. */
        r.word[3] = door_digest(bytes->at, (uint32_t)bytes->count);
    }
    struct answer a = ask(r);
    for (size_t i = 0; i < fit; i++) {
        model_write(m, segment[i].start, segment[i].segment.data, segment[i].segment.length_bytes);
    }
    *applied = (a.status == SUBJECT_OK) == (fit == count) ? fit : count + 1;
    return a.status;
}

/* ---- Wait and notify ------------------------------------------------------------------------- */

/* Index and immediate of a byte address; false if no instruction can express it. */
static bool place(struct request *r, uint64_t address, unsigned width, uint64_t seed) {
    if (address > (uint64_t)UINT32_MAX * 2) {
        return false;
    }
    const uint32_t index = address > UINT32_MAX ? UINT32_MAX : (uint32_t)address;
    split(r, index, (uint32_t)(address - index), width, mix(address, seed));
    r->function.align = (uint8_t)log2_of(width);
    return true;
}

static void predict_word(struct request *r, const struct model_memory *m, uint64_t address,
                         unsigned width) {
    const bool aligned = address % width == 0, within = model_within(m, address, width);
    r->foretold.status = !aligned ? SUBJECT_MISALIGNED
                         : within ? SUBJECT_OK
                                  : SUBJECT_OUT_OF_BOUNDS;
    r->traps = traps_of(aligned, within, m->type.shared || r->function.what == GUEST_NOTIFY);
}

static enum subject_status wait(struct handle *h, enum guest_what what, uint64_t address,
                                uint64_t expected, int64_t timeout_ns, unsigned *result) {
    const unsigned width = what == GUEST_WAIT32 ? 4 : 8;
    const struct model_memory *m = &h->body->model;
    struct request r = call_of(what, h, "R19");
    predict_word(&r, m, address, width);
    if (!place(&r, address, width, expected)) {
        return r.foretold.status;
    }
    if (r.foretold.status == SUBJECT_OK && !m->type.shared) {
        r.foretold.status = SUBJECT_NOT_SHARED;
    } else if (r.foretold.status == SUBJECT_OK) {
        r.foretold.value = model_load(m, address, width) == expected ? 2 : 1;
    }
    halves(&r, 4, expected);
    halves(&r, 6, (uint64_t)timeout_ns);
    struct answer a = ask(r);
    *result = (unsigned)a.value;
    return a.status;
}

static enum subject_status wait32(void *memory, uint64_t address, uint32_t expected,
                                  int64_t timeout_ns, unsigned *result) {
    return wait(memory, GUEST_WAIT32, address, expected, timeout_ns, result);
}

static enum subject_status wait64(void *memory, uint64_t address, uint64_t expected,
                                  int64_t timeout_ns, unsigned *result) {
    return wait(memory, GUEST_WAIT64, address, expected, timeout_ns, result);
}

static enum subject_status notify(void *memory, uint64_t address, uint32_t count, uint32_t *woken) {
    struct handle *h = memory;
    struct request r = call_of(GUEST_NOTIFY, h, "R19");
    predict_word(&r, &h->body->model, address, 4);
    if (!place(&r, address, 4, count)) {
        return r.foretold.status;
    }
    r.word[4] = count;
    struct answer a = ask(r);
    *woken = (uint32_t)a.value;
    return a.status;
}

/* ---- A program's beginning and end ----------------------------------------------------------- */

static void begin(const struct subject_environment *environment) {
    (void)environment;
    if (!run.once_more) {
        run.passes = 0;
        run.known_count = 0;
        run.died_at = run.differs = -1;
        run.complaint[0] = '\0';
    }
    for (unsigned i = 0; i < run.slots; i++) {
        run.plan[i].functions = run.plan[i].segments = 0;
        run.body[i].model.blocks = 0;
    }
    run.serving = run.once_more;
    run.once_more = run.foretold = run.full = false;
    run.requests = run.slots = run.extra = 0;
    run.died_name[0] = run.extension[0] = '\0';
    model_begin(false);
}

/* Numbers the functions that each module needs, and makes the modules. */
static void modules_make(void) {
    unsigned extra = 0;
    for (unsigned i = 0; i < run.requests; i++) {
        struct request *r = &run.request[i];
        if (r->word[0] == REQUEST_SEGMENTS) {
            r->word[2] = run.slots + extra++;
        }
        if (r->word[0] != REQUEST_CALL) {
            continue;
        }
        struct plan *p = &run.plan[r->word[1]];
        unsigned n = 0;
        while (n < p->functions && !guest_same(&p->function[n], &r->function)) {
            n++;
        }
        if (n == p->functions) {
            p->function = realloc(p->function, (n + 1) * sizeof *p->function);
            if (p->function == NULL) {
                abort();
            }
            memcpy(&p->function[n], &r->function, sizeof r->function);
            p->functions++;
        }
        r->word[2] = n;
    }
    for (unsigned i = 0; i < run.slots; i++) {
        const struct plan *p = &run.plan[i];
        const struct guest_module module = {.type = p->type,
                                            .how = p->how,
                                            .wide = p->wide,
                                            .function = p->function,
                                            .functions = p->functions,
                                            .segment = p->segment,
                                            .segments = p->segments};
        run.module[i].count = 0;
        guest_make(&run.module[i], &module);
        run.played[i] = &run.module[i];
    }
    for (unsigned i = 0; i < run.extra; i++) {
        run.played[run.slots + i] = &run.module[HANDLES_MAX + i];
    }
}

static struct play play_of(bool stepwise) {
    return (struct play){.module = run.played,
                         .modules = run.slots + run.extra,
                         .request = run.request,
                         .requests = run.requests,
                         .answer = run.known,
                         .stepwise = stepwise,
                         .differs = -1};
}

/* Finds the request that ended the runtime, by playing the requests again one at a time. A hang
 * that does not repeat was a busy machine; a crash that does not repeat is reported for the
 * program's last request. */
static void died_where(enum played how, struct play *p) {
    static const char *const names[] = {[PLAYED] = "crash",
                                        [PLAYED_DIED] = "crash",
                                        [PLAYED_HUNG] = "hang",
                                        [PLAYED_EXITED] = "exit",
                                        [PLAYED_NONSENSE] = "nonsense"};
    struct play again = play_of(true);
    enum played now = door.play(&again);
    run.once_more = true;
    run.known_count = 0;
    if (now == PLAYED && how == PLAYED_HUNG && run.passes < HANGS_MAX) {
        return;
    }
    snprintf(run.kind, sizeof run.kind, "%s", names[now != PLAYED ? now : how]);
    run.died_at = now != PLAYED ? (int)again.answered : (int)run.requests - 1;
    run.known_count = (unsigned)run.died_at;
    snprintf(run.words, sizeof run.words, "%s%s", now != PLAYED ? again.words : p->words,
             now != PLAYED ? ""
                           : " (and did not when the program ran again, one operation at a time)");
}

static void tell(const char *what) {
    if (run.words[0] != '\0') {
        fprintf(stderr, "%s: %s: %s\n", has.name, what, run.words);
        run.words[0] = '\0';
    }
}

static void function_text(char *text, size_t room, const struct request *r) {
    static const char *const names[REQUESTS] = {
        [REQUEST_MAKE] = "make",   [REQUEST_DROP] = "drop",   [REQUEST_AGAIN] = "another instance",
        [REQUEST_CALL] = "call",   [REQUEST_READ] = "read",   [REQUEST_GROW] = "grow by the host",
        [REQUEST_BYTES] = "bytes", [REQUEST_WRITE] = "write", [REQUEST_SEGMENTS] = "segments"};
    if (r->word[0] == REQUEST_CALL) {
        guest_print(text, room, &r->function);
    } else {
        snprintf(text, room, "%s", names[r->word[0]]);
    }
}

static void tiers_differ(const struct play *p) {
    const struct request *r = &run.request[p->differs];
    run.differs = p->differs;
    char what[128];
    function_text(what, sizeof what, r);
    snprintf(run.complaint, sizeof run.complaint, "%s-tiers", r->rule);
    snprintf(run.words, sizeof run.words,
             "%s: status %d value %llu by one, status %d value %llu by the other: %.200s", what,
             (int)run.known[p->differs].status, (unsigned long long)run.known[p->differs].value,
             (int)p->other.status, (unsigned long long)p->other.value, p->words);
}

/* PAGEBOX_RUNTIME_SCRIPT=finding.js: writes the failure as a file of its own. */
static void script(void) {
    const char *path = getenv("PAGEBOX_RUNTIME_SCRIPT");
    unsigned culprit = 0, repeat = 1;
    if (path == NULL || run.requests == 0) {
        return;
    }
    if (run.died_at >= 0) {
        culprit = (unsigned)run.died_at;
    } else if (run.differs >= 0) {
        culprit = (unsigned)run.differs;
    } else { /* the harness stopped at the last one that was answered differently */
        for (unsigned i = 0; i < run.requests; i++) {
            const struct request *r = &run.request[i];
            culprit = same_answer(r, &r->given, &r->foretold) ? culprit : i;
        }
    }
    modules_make();
    const char *file = strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path;
    const char *commands = door.commands != NULL ? door.commands(file, &repeat) : "";
    const struct script made = {.request = run.request,
                                .requests = run.requests,
                                .culprit = culprit < run.requests ? culprit : run.requests - 1,
                                .module = run.played,
                                .runtime = has.name,
                                .told = run.words,
                                .commands = commands,
                                .repeat = repeat};
    if (!script_write(path, &made)) {
        fprintf(stderr, "%s: cannot be written\n", path);
    }
}

static void end(void) {
    if (run.died_at >= 0 && run.serving) {
        script();
        tell(run.kind);
        return; /* already reported by died */
    }
    if (!run.foretold) {
        script();
        if (run.extension[0] != '\0') {
            fprintf(stderr, "%s: %s\n", has.name, run.extension);
        }
        if (run.complaint[0] != '\0') {
            tell(run.complaint);
        }
        return; /* the verdict is based on the runtime's own answers */
    }
    modules_make();
    struct play p = play_of(false);
    enum played how = door.play(&p);
    memcpy(run.before, run.request, run.requests * sizeof run.request[0]);
    for (unsigned i = 0; i < run.requests; i++) { /* numbers of functions and modules may differ */
        if (run.before[i].word[0] == REQUEST_CALL || run.before[i].word[0] == REQUEST_SEGMENTS) {
            run.before[i].word[2] = 0;
        }
    }
    run.known_count = run.requests;
    run.died_at = -1;
    run.passes++;
    if (how != PLAYED) {
        died_where(how, &p);
        return;
    }
    if (p.differs >= 0) {
        tiers_differ(&p);
    }
    for (unsigned i = 0; i < run.requests && !run.once_more; i++) {
        run.once_more = run.passes < PASSES_MAX && !run.full &&
                        !same_answer(&run.request[i], &run.known[i], &run.request[i].given);
    }
    if (!run.once_more && run.complaint[0] != '\0') {
        script();
        tell(run.complaint);
    }
}

static bool once_more(void) {
    return run.once_more;
}

static const char *complaint(void) {
    return run.died_at < 0 && !run.once_more && run.complaint[0] != '\0' ? run.complaint : NULL;
}

/* Also called from a handler of SIGSEGV, while a library runs in this process. */
static const char *died(void) {
    static char name[32];
    const char *rule = door.now != NULL ? door.now() : NULL;
    if (rule != NULL) {
        snprintf(name, sizeof name, "%s-crash", rule);
        return name;
    }
    return run.died_name[0] != '\0' ? run.died_name : NULL;
}

/* ---- The table ------------------------------------------------------------------------------- */

const struct subject *pagebox_subject(void) {
    static struct subject_strategy strategy[WAYS_MAX];
    static struct subject_memory memory = {
        .promises = SUBJECT_OPAQUE,
        .strategy = strategy,
        .create = create,
        .destroy = destroy,
        .size_pages = size_pages,
        .size_bytes = size_bytes,
        .grow = grow,
        .load = load,
        .store = store,
        .bulk_copy = bulk_copy,
        .bulk_fill = bulk_fill,
        .bulk_init = bulk_init,
        .segment_drop = segment_drop,
        .initialise = initialise,
        .read = read_bytes,
    };
    static struct subject subject = {.abi = SUBJECT_ABI,
                                     .memory = &memory,
                                     .begin = begin,
                                     .end = end,
                                     .complaint = complaint,
                                     .once_more = once_more,
                                     .died = died};
    if (!door.open(&has)) {
        return NULL;
    }
    subject.name = has.name;
    if (getenv("PAGEBOX_WITHOUT_GROWTH") !=
        NULL) { /* for measurements: growth is V8's most expensive operation */
        memory.grow = grow_never;
    }
    memory.strategies = ways_make();
    memory.promises |= has.names ? SUBJECT_NAMES_ERRORS : 0;
    for (unsigned i = 0; i < memory.strategies; i++) {
        strategy[i] = (struct subject_strategy){.name = way[i].name,
                                                .one_style = true,
                                                .shareable = has.threads,
                                                .costly_pages = has.costly_pages};
    }
    if (has.threads) {
        memory.atomic_load = guest_atomic_load;
        memory.atomic_store = guest_atomic_store;
        memory.atomic_rmw = guest_atomic_rmw;
        memory.atomic_cmpxchg = guest_atomic_cmpxchg;
        memory.wait32 = has.no_wait ? NULL : wait32;
        memory.wait64 = has.no_wait ? NULL : wait64;
        memory.notify = has.no_wait ? NULL : notify;
    }
    if (has.threads && has.again) {
        memory.clone = clone;
    }
    if (has.imports) {
        memory.initialise_segments = initialise_segments;
    }
    return &subject;
}
