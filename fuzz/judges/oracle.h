/* oracle.h: comparisons of a memory with its model. Each returns NULL or the broken rule's name. */
#ifndef ORACLE_H
#define ORACLE_H

#include "sequence.h"

/* All functions: `i` is the side, its view is fresh. `rule` is what a difference breaks now. */

/* Size, record, base, type and style are the model's (R9 to R12, R3). */
const char *oracle_state(const struct sequence *q, struct judged *m, unsigned i, const char *rule);

/* Every block ever written holds what it must. */
const char *oracle_bytes(const struct sequence *q, struct judged *m, unsigned i, const char *rule);

/* The blocks of [start, start + count), which lies within, hold what they must. */
const char *oracle_range(const struct sequence *q, struct judged *m, unsigned i, uint64_t start,
                         uint64_t count, const char *rule);

/* [from, to) in pages reads zero at its edges and where an older memory wrote, but for the blocks
 * that the model knows. */
const char *oracle_zero(const struct sequence *q, struct judged *m, unsigned i, uint32_t from,
                        uint32_t to, const char *rule);

/* The pages [from, to) are in memory, where that was asked for. */
const char *oracle_populated(const struct sequence *q, struct judged *m, unsigned i, uint32_t from,
                             uint32_t to, const char *rule);
/* Every byte past the size faults, probed at the edges, else `rule` is broken; the reservation is
 * wide enough (R3, R4). */
const char *oracle_guard(const struct sequence *q, struct judged *m, unsigned i, const char *rule);

/* True when eight bytes at the address can be read, by the kernel's own answer. */
bool oracle_readable(const void *at);

/* NULL when `got` is `expected`; a subject that does not name its errors may answer any error. */
const char *oracle_status(const struct sequence *q, enum subject_status got,
                          enum subject_status expected, const char *rule);
/* As above with a set of statuses, 1 << SUBJECT_... or-ed. */
const char *oracle_status_in(const struct sequence *q, enum subject_status got, unsigned expected,
                             const char *rule);
/* The same where SUBJECT_LIMIT counts: only if it is expected, for a subject that promises to tell
 * it (SUBJECT_TELLS_LIMIT), whether it names its other errors or not; always, for one that does
 * not. */
const char *oracle_status_limit(const struct sequence *q, enum subject_status got,
                                unsigned expected, const char *rule);

/* NULL when the call answered what it must. */
const char *oracle_answer(uint64_t got, uint64_t must, const char *rule);

#endif
