/* mutate_afl.c: mutate.c as a custom mutator of AFL++, with trimming by operations.
 *
 *   AFL_CUSTOM_MUTATOR_LIBRARY=build/plain/pagebox_mutator.so afl-fuzz ... build/afl/memory_fuzzer
 *
 * AFL++ does not say what it fuzzes: the target is taken from PAGEBOX_TARGET, else from the last
 * argument of afl-fuzz that ends in a target's name. Without either nothing is mutated here.
 * SWARM=: see mutate.h. PAGEBOX_SHRINK=1: mutations only take away. Byte mutations are AFL++'s own:
 * it goes on with them beside these. */
#include "mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The functions that AFL++ looks up; it ships no header for them in Debian (docs/custom_mutators.md
 * of AFL++ 4.04 describes them). */
void *afl_custom_init(void *afl, unsigned seed);
void afl_custom_deinit(void *data);
size_t afl_custom_fuzz(void *data, uint8_t *input, size_t bytes, uint8_t **out, uint8_t *other,
                       size_t other_bytes, size_t bytes_max);
int32_t afl_custom_init_trim(void *data, uint8_t *input, size_t bytes);
size_t afl_custom_trim(void *data, uint8_t **out);
int32_t afl_custom_post_trim(void *data, unsigned char success);

enum { SPLICES_ONE_IN = 6, OUT_BYTES_MAX = 1 << 16 };

/* AFL++ asks for up to 1 MiB, whatever its -G, and cuts what is longer than that from the back,
 * where the first choices are. It does not tell -G: scripts/pagebox/fuzz/fuzzers.py does. */
enum { INPUT_BYTES_MAX = 256 };

struct mutator {
    bool ready, shrinking;
    enum op_target target;
    uint64_t seed, calls;
    uint8_t out[OUT_BYTES_MAX];
    /* Trimming: the smallest so far, and what is tried next. */
    struct program kept, tried;
    int32_t step, steps, total; /* total: as AFL++ was told at the start */
};

/* ---- Which target ------------------------------------------------------------------------------
 */

static bool target_of_argument(const char *argument, enum op_target *target) {
    const char *slash = strrchr(argument, '/');
    return op_target_by_name(slash == NULL ? argument : slash + 1, target);
}

static bool target_of_command(enum op_target *target) {
    static char line[1 << 16];
    FILE *file = fopen("/proc/self/cmdline", "rb");
    size_t bytes = file == NULL ? 0 : fread(line, 1, sizeof line - 1, file);
    bool any = false;
    if (file != NULL) {
        fclose(file);
    }
    for (size_t at = 0; at < bytes; at += strlen(line + at) + 1) {
        any |= target_of_argument(line + at, target);
    }
    return any;
}

static bool target_find(enum op_target *target) {
    const char *name = getenv("PAGEBOX_TARGET");
    if (name != NULL && *name != '\0') {
        return op_target_by_name(name, target);
    }
    return target_of_command(target);
}

/* ---- Mutations ---------------------------------------------------------------------------------
 */

void *afl_custom_init(void *afl, unsigned seed) {
    (void)afl;
    struct mutator *m = calloc(1, sizeof *m);
    const char *shrink = getenv("PAGEBOX_SHRINK");
    if (m == NULL) {
        return NULL;
    }
    m->ready = target_find(&m->target) && mutate_swarm_ready();
    if (!m->ready) {
        fprintf(stderr, "pagebox_mutator: PAGEBOX_TARGET names no target, nor does the command:\n"
                        "inputs are left as they are\n");
    }
    m->shrinking = shrink != NULL && strcmp(shrink, "1") == 0;
    m->seed = seed;
    return m;
}

void afl_custom_deinit(void *data) {
    free(data);
}

size_t afl_custom_fuzz(void *data, uint8_t *input, size_t bytes, uint8_t **out, uint8_t *other,
                       size_t other_bytes, size_t bytes_max) {
    struct mutator *m = data;
    *out = input;
    if (!m->ready || bytes_max == 0) {
        return bytes;
    }
    struct mutate how = {.target = m->target,
                         .seed = m->seed << 32 | (m->calls & UINT32_MAX),
                         .swarm = mutate_swarm_at(m->seed, m->calls),
                         .shrinking = m->shrinking};
    size_t room = bytes > INPUT_BYTES_MAX ? bytes : INPUT_BYTES_MAX;
    room = room > bytes_max ? bytes_max : room;
    room = room > sizeof m->out ? sizeof m->out : room;
    *out = m->out;
    if (m->calls++ % SPLICES_ONE_IN == 0 && other != NULL && other_bytes > 0) {
        return mutate_splice(&how, input, bytes, other, other_bytes, m->out, room);
    }
    size_t used = bytes < room ? bytes : room;
    memcpy(m->out, input, used);
    return mutate_bytes(&how, m->out, used, room);
}

/* ---- Trimming: each operation, then halves of the choices ---------------------------------------
 */

enum { CHOICE_STEPS = 6 };

/* False if this step removes nothing. */
static bool take_away(struct program *p, int32_t step) {
    if (step >= CHOICE_STEPS) { /* from the back, so that those before keep their places */
        unsigned at = p->operations - 1 - (unsigned)(step - CHOICE_STEPS);
        memmove(&p->operation[at], &p->operation[at + 1],
                (p->operations - at - 1) * sizeof p->operation[0]);
        p->operations--;
        return true;
    }
    size_t cut = p->choices_bytes >> step;
    p->choices_bytes -= cut;
    return cut > 0;
}

int32_t afl_custom_init_trim(void *data, uint8_t *input, size_t bytes) {
    struct mutator *m = data;
    m->step = m->steps = 0;
    if (m->ready && bytes <= sizeof m->out && op_decode(m->target, input, bytes, &m->kept) &&
        op_encode(&m->kept, NULL, 0) <= bytes) {
        m->steps = CHOICE_STEPS + (int32_t)m->kept.operations;
    }
    m->total = m->steps;
    return m->total;
}

size_t afl_custom_trim(void *data, uint8_t **out) {
    struct mutator *m = data;
    m->tried = m->kept;
    (void)take_away(&m->tried, m->step);
    size_t bytes = op_encode(&m->tried, m->out, sizeof m->out);
    *out = m->out;
    if (bytes == 0) {
        m->out[bytes++] = 0;
    }
    return bytes;
}

/* An operation that went takes its step with it: the next one to the front is at the same step. */
int32_t afl_custom_post_trim(void *data, unsigned char success) {
    struct mutator *m = data;
    bool operation = m->step >= CHOICE_STEPS;
    if (success) {
        m->kept = m->tried;
    }
    if (success && operation) {
        m->steps--;
    } else {
        m->step++;
    }
    return m->step < m->steps ? m->step : m->total;
}
