/* linear.h: the library's own memories, owned and shared, behind memory.h (internal). */
/* SPDX-License-Identifier: MIT */
#ifndef PB_LINEAR_H
#define PB_LINEAR_H

#include "memory.h"

struct linear;
struct pb_waiters;

/* The tables that a handle of an owned and of a shared memory uses; self is a struct linear. */
extern const struct pb_memory_operations pb_linear_owned, pb_linear_shared;

/* Makes an owned memory of the checked type (shared is looked at for the reservation only). */
enum pb_status pb_linear_create(const struct pb_memory_config *config,
                                const struct pb_memory_style *style, uint64_t short_guard_bytes,
                                struct linear **linear);

/* Ends a memory, or a copy, that nobody was given: the limiter is told that it has failed. */
void pb_linear_abandon(struct linear *linear, enum pb_status why);

/* From now on the shared table is the one to use. See pb_memory_to_shared. */
enum pb_status pb_linear_share(struct linear *linear);

/* What pb_memory_pin and pb_pin_release do. The memory stays until the last pin has gone. */
void pb_linear_pin(struct linear *linear);
void pb_linear_unpin(struct linear *linear);

/* A wait in a shared memory; canceller may be NULL. */
enum pb_status pb_linear_wait(struct linear *linear, uint64_t address, unsigned width,
                              uint64_t expected, int64_t timeout_ns, struct pb_canceller *canceller,
                              enum pb_wait *result);

enum pb_rung pb_linear_rung(const struct linear *linear);
enum pb_status pb_linear_reset(struct linear *linear);
enum pb_strategy pb_linear_strategy(const struct linear *linear);
const struct pb_allocator *pb_linear_allocator(const struct linear *linear);
uint32_t pb_linear_waiters(struct linear *linear);
struct pb_waiters *pb_linear_wait_table(const struct linear *linear); /* NULL: not shared */

#endif
