/* owner.c: the register of address ranges behind pb_memory_owner_of.
 *
 * Entries stand in chunks that are linked once and never freed, so that a signal handler can walk
 * them without a lock. There are as many chunks as the largest number of memories alive at once
 * ever needed. A look-up costs a few nanoseconds for each memory: it is meant for traps. It reads
 * nothing but entries: a record may be freed by another thread at any time (R39). */
/* SPDX-License-Identifier: MIT */
#include "owner.h"

#include "lock.h"

#include <stddef.h>

enum { CHUNK_ENTRIES = 128 };

/* Writers change an entry under the lock; its version is odd meanwhile, and grows with each change,
 * so that a reader who finds the same even version before and after has read one entry and not two.
 * Nobody waits: an entry that changes is passed over, as its memory is about to come, go or move.
 */
struct pb_owner_entry {
    _Atomic uint32_t version;
    _Atomic uintptr_t base;
    _Atomic uint64_t total_bytes;
    _Atomic uint64_t length_bytes; /* changes without a new version while the memory stays */
    _Atomic(struct pb_memory_definition *) definition;
    struct pb_owner_entry *next_free; /* guarded by the lock */
};

struct chunk {
    struct pb_owner_entry entries[CHUNK_ENTRIES];
    _Atomic uint32_t used; /* entries ever handed out; the others have never held anything */
    _Atomic(struct chunk *) next;
};

static struct chunk first_chunk;
static struct chunk *newest_chunk = &first_chunk; /* guarded by the lock, like free_entries */
static struct pb_owner_entry *free_entries;
static struct pb_lock owner_lock;

/* An entry nobody uses; NULL when there is no memory for another chunk. The lock is held. */
static struct pb_owner_entry *entry_take(void) {
    struct pb_owner_entry *entry = free_entries;
    if (entry != NULL) {
        free_entries = entry->next_free;
        return entry;
    }
    uint32_t used = atomic_load_explicit(&newest_chunk->used, memory_order_relaxed);
    if (used == CHUNK_ENTRIES) {
        struct chunk *made =
            pb_allocator_libc.allocate_zeroed(pb_allocator_libc.context, sizeof *made);
        if (made == NULL) {
            return NULL;
        }
        atomic_store_explicit(&newest_chunk->next, made, memory_order_release);
        newest_chunk = made;
        used = 0;
    }
    atomic_store_explicit(&newest_chunk->used, used + 1, memory_order_release);
    return &newest_chunk->entries[used];
}

/* The lock is held. Who acquires one of the fields sees the odd version before it, and who acquires
 * the even version sees all of them. */
static void entry_set(struct pb_owner_entry *entry, const uint8_t *base, uint64_t total_bytes,
                      struct pb_memory_definition *definition) {
    uint32_t version = atomic_load_explicit(&entry->version, memory_order_relaxed);
    atomic_store_explicit(&entry->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&entry->base, (uintptr_t)base, memory_order_release);
    atomic_store_explicit(&entry->total_bytes, total_bytes, memory_order_release);
    atomic_store_explicit(&entry->definition, definition, memory_order_release);
    if (definition == NULL) {
        atomic_store_explicit(&entry->length_bytes, 0, memory_order_release);
    }
    atomic_store_explicit(&entry->version, version + 2, memory_order_release);
}

enum pb_status pb_owner_register(const uint8_t *base, uint64_t total_bytes,
                                 struct pb_memory_definition *definition,
                                 struct pb_owner_entry **entry) {
    pb_lock_acquire(&owner_lock);
    struct pb_owner_entry *taken = entry_take();
    if (taken != NULL) {
        entry_set(taken, base, total_bytes, definition);
    }
    pb_lock_release(&owner_lock);
    if (taken == NULL) {
        return PB_NO_MEMORY;
    }
    *entry = taken;
    return PB_OK;
}

void pb_owner_update(struct pb_owner_entry *entry, const uint8_t *base, uint64_t total_bytes) {
    pb_lock_acquire(&owner_lock);
    entry_set(entry, base, total_bytes,
              atomic_load_explicit(&entry->definition, memory_order_relaxed));
    pb_lock_release(&owner_lock);
}

void pb_owner_resize(struct pb_owner_entry *entry, uint64_t length_bytes) {
    atomic_store_explicit(&entry->length_bytes, length_bytes, memory_order_release);
}

void pb_owner_unregister(struct pb_owner_entry *entry) {
    pb_lock_acquire(&owner_lock);
    entry_set(entry, NULL, 0, NULL);
    entry->next_free = free_entries;
    free_entries = entry;
    pb_lock_release(&owner_lock);
}

/* True when the entry holds the address; *owner is then its own. Most do not, by whatever they
 * hold; only where one does it matters whether its fields belong together. */
static bool entry_holds(struct pb_owner_entry *entry, uintptr_t address,
                        struct pb_address_owner *owner) {
    uint32_t version = atomic_load_explicit(&entry->version, memory_order_acquire);
    uintptr_t base = atomic_load_explicit(&entry->base, memory_order_acquire);
    uint64_t total = atomic_load_explicit(&entry->total_bytes, memory_order_acquire);
    if (address < base || address - base >= total) {
        return false;
    }
    struct pb_address_owner found = {
        .offset_bytes = address - base,
        .length_bytes = atomic_load_explicit(&entry->length_bytes, memory_order_acquire),
        .definition = atomic_load_explicit(&entry->definition, memory_order_acquire),
    };
    if (version % 2 != 0 ||
        atomic_load_explicit(&entry->version, memory_order_relaxed) != version) {
        return false;
    }
    *owner = found;
    return true;
}

bool pb_memory_owner_of(const void *address, struct pb_address_owner *owner) {
    for (struct chunk *chunk = &first_chunk; chunk != NULL;
         chunk = atomic_load_explicit(&chunk->next, memory_order_acquire)) {
        uint32_t used = atomic_load_explicit(&chunk->used, memory_order_acquire);
        for (uint32_t i = 0; i < used; i++) {
            if (entry_holds(&chunk->entries[i], (uintptr_t)address, owner)) {
                return true;
            }
        }
    }
    return false;
}

enum pb_fault pb_memory_fault_at(const void *address, struct pb_address_owner *owner) {
    if (!pb_memory_owner_of(address, owner)) {
        return PB_FAULT_ELSEWHERE;
    }
    return owner->offset_bytes < owner->length_bytes ? PB_FAULT_INSIDE : PB_FAULT_TRAP;
}
