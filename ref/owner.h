/* owner.h: which memory owns this address: a register that a trap handler may read (internal). */
/* SPDX-License-Identifier: MIT */
#ifndef PB_OWNER_H
#define PB_OWNER_H

#include "memory.h"

/* One registered memory. */
struct pb_owner_entry;

/* Registers [base, base + total_bytes) for a memory's record, of length 0 so far. PB_NO_MEMORY. */
enum pb_status pb_owner_register(const uint8_t *base, uint64_t total_bytes,
                                 struct pb_memory_definition *definition,
                                 struct pb_owner_entry **entry);
/* Another range from now on: before a memory moves none (NULL and 0), then its new one. */
void pb_owner_update(struct pb_owner_entry *entry, const uint8_t *base, uint64_t total_bytes);
/* Another length. It may be behind the record's for a moment. Takes no lock: the memory's own calls
 * exclude each other. */
void pb_owner_resize(struct pb_owner_entry *entry, uint64_t length_bytes);
/* The memory is going away. NULL is fine. */
void pb_owner_unregister(struct pb_owner_entry *entry);

#endif
