/* oracle.h: comparisons of a memory with its model. Each returns NULL or the broken rule's name. */
#ifndef ORACLE_H
#define ORACLE_H

#include "exec.h"

/* All functions: `i` is the side. `rule` is what a difference in size or bytes breaks now. */

/* Size, record, base, type and style are the model's (R9 to R12, R3). */
const char *oracle_state(struct exec *e, struct slot *s, unsigned i, const char *rule);

/* Every block ever written holds what it must. */
const char *oracle_bytes(struct exec *e, struct slot *s, unsigned i, const char *rule);

/* The blocks of [start, start + count), which lies within, hold what they must. */
const char *oracle_range(struct exec *e, struct slot *s, unsigned i, uint64_t start, uint64_t count,
                         const char *rule);

/* [from, to) in pages reads zero at its edges and where an older memory wrote, but for the blocks
 * that the model knows. */
const char *oracle_zero(struct exec *e, struct slot *s, unsigned i, uint32_t from, uint32_t to,
                        const char *rule);

/* Every byte past the size faults, probed at the edges; the reservation is wide enough (R3, R4). */
const char *oracle_guard(struct exec *e, struct slot *s, unsigned i);

/* [at, at + count) of a side, which lie within, up to a block: where they are, or a copy that the
 * next call overwrites; NULL when the subject did not let them be read. */
const uint8_t *oracle_peek(const struct exec *e, const struct slot *s, unsigned i, uint64_t at,
                           uint64_t count);

/* True when the subject has no address of its bytes to give. */
bool oracle_is_opaque(const struct exec *e);

/* True when eight bytes at the address can be read, by the kernel's own answer. */
bool oracle_readable(const void *at);

/* NULL when `got` is `expected`; a subject that does not name its errors may answer any error. */
const char *oracle_status(const struct exec *e, enum subject_status got,
                          enum subject_status expected, const char *rule);
/* As above with a set of statuses, 1 << SUBJECT_... or-ed. */
const char *oracle_status_in(const struct exec *e, enum subject_status got, unsigned expected,
                             const char *rule);

#endif
