/* interleave_answers.c: what an answer permits: whoever gets it touches, by plain accesses, what it
 * says is done. The engine finds the races, and they break the answer's rule.
 *
 * Before each call a thread leaves a deed, a plain write to a place of its own; the judge says
 * whose deeds an answer proves (judges/concurrent_answers.c), and its thread reads those. A closed
 * mailbox's region may be read, and written if there is no guest; a held one's may be written by
 * its holder. */
#include "sim.h"
#include "world.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* What compiled code calls for each of its own accesses. */
void __tsan_read_range(void *at, size_t bytes);
void __tsan_write_range(void *at, size_t bytes);

/* ---- Plain accesses ---------------------------------------------------------------------------
 */

static void remember(const char *rule, const void *at, uint64_t bytes) {
    world.touched[world.touches++ % TOUCHED_MAX] = (struct touched){at, bytes, rule};
}

__attribute__((noinline)) void answer_reads(const char *rule, const void *at, uint64_t bytes) {
    remember(rule, at, bytes);
    __tsan_read_range((void *)(uintptr_t)at, (size_t)bytes);
    __asm__ volatile(""); /* no tail call: the access is this function's */
}

__attribute__((noinline)) void answer_writes(const char *rule, void *at, uint64_t bytes) {
    remember(rule, at, bytes);
    __tsan_write_range(at, (size_t)bytes);
    __asm__ volatile("");
}

__attribute__((noinline)) void answer_stores(const char *rule, void *at, uint32_t value) {
    remember(rule, at, sizeof value);
    sim_atomic_store(at, sizeof value, value, __ATOMIC_RELAXED);
    __asm__ volatile("");
}

const char *answer_broken(char *detail, size_t bytes) {
    const char *at = strstr(detail, " at 0x");
    if (at == NULL) {
        return NULL;
    }
    const uintptr_t address = strtoull(at + strlen(" at "), NULL, 16);
    sim_symbolise(detail, bytes);
    for (unsigned i = 0; i < TOUCHED_MAX && i < world.touches && strstr(detail, "  answer_"); i++) {
        const struct touched *t = &world.touched[(world.touches - 1 - i) % TOUCHED_MAX];
        if (address - (uintptr_t)t->at < t->bytes) {
            const bool before = strstr(detail, "  answer_") > strstr(detail, "against");
            return before && strcmp(t->rule, "R36-close") == 0 ? "R36-write-after-close" : t->rule;
        }
    }
    return NULL;
}

/* ---- Deeds ------------------------------------------------------------------------------------
 */

void answer_deed(unsigned number) {
    if (number < DEEDS_MAX) {
        answer_writes("R27-deed", &world.deed[number], sizeof world.deed[0]);
    }
}

void answer_given(const struct call *c, const struct event *event) {
    static uint16_t deed[DEEDS_MAX];
    unsigned nth = 0, deeds;
    for (;;) {
        const char *rule = concurrent_proof(&world.judge, c, event, &nth, deed, &deeds);
        if (rule == NULL) {
            return;
        }
        for (unsigned i = 0; i < deeds; i++) {
            answer_reads(rule, &world.deed[deed[i]], sizeof world.deed[0]);
        }
    }
}

/* ---- The mailbox's region ---------------------------------------------------------------------
 */

/* Nobody but the mailbox and its guest writes there. */
static bool has_region(void) {
    return world.words != NULL && world.judge.has_region && !world.judge.wild &&
           !world.touches_region;
}

static bool has_guest(void) {
    return world.judge.guest >= 0 || world.judge.onlookers > 0;
}

/* The words that the host alone writes: tail and ring. */
static void read_region(const char *rule) {
    answer_reads(rule, &world.words->tail, sizeof world.words->tail);
    answer_reads(rule, &world.words->ring[0], world.judge.slots * sizeof world.words->ring[0]);
}

/* From now on the host writes nothing there (R36), and the memory may go: all that was written is
 * seen. */
void answer_closed(void) {
    if (!has_region()) {
        return;
    }
    read_region("R36-close");
    if (!has_guest()) {
        answer_reads("R36-close", &world.words->flag, sizeof world.words->flag);
    }
}

/* Until it is let go nobody else of the host touches it (R37). */
void answer_held(const struct actor *a) {
    if (!has_region() || world.judge.close_start != NEVER) {
        return;
    }
    if (has_guest() && world.judge.guest != a->number) {
        read_region("R37-hold");
    } else if (world.judge.onlookers == 0) {
        answer_writes("R37-hold", &world.words->tail, sizeof world.words->tail);
        answer_writes("R37-hold", &world.words->ring[0],
                      world.judge.slots * sizeof world.words->ring[0]);
    }
}
