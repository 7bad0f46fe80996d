/* memory.h: linear memories: owned, shared and custom; grow, copy, access, wait, notify.
 *
 * A memory is a handle. An owned memory has one handle and belongs to one thread at a time: its
 * calls must not run concurrently, nor beside an enqueue into a mailbox that lies in it
 * (mailbox.h). A shared memory has any number of handles (pb_memory_retain makes them), usable from
 * any threads at once; a thread must not use a handle that another one releases: give each its own.
 * A thread that is blocked in a wait no longer uses its handle, so another may release it; the
 * record and the allocator must stay until every such wait has returned, not just that call. A
 * custom memory does what the user's table of functions does.
 *
 * No call of the library is a cancellation point, not even a blocked wait, which a canceller ends.
 * A thread must not be cancelled asynchronously within a call.
 *
 * The rules that hold are named as in ref/RULES.md, R1 to R29 and R39 to R43. Functions that
 * correspond to WebAssembly instructions return PB_OUT_OF_BOUNDS or PB_MISALIGNED where the
 * instruction traps; nothing that a guest passes ever aborts the host. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_MEMORY_H
#define PB_MEMORY_H

#include "atomic.h"
#include "backing.h"
#include "limiter.h"
#include "pages.h"
#include "status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* a function with the name of the struct it returns */
extern "C" {
#endif

struct pb_memory;

/* ---- Types and styles ---------------------------------------------------------------------- */

struct pb_memory_type {
    uint32_t min_pages;
    uint32_t max_pages; /* PB_NO_MAXIMUM where none is declared; a shared memory must have one */
    bool shared;
};

/* Static: the reservation is made once, for bound_pages, and the base never moves.
 * Dynamic: the reservation holds at least size + guard; an unshared one may move at growth. */
enum pb_style { PB_STYLE_STATIC, PB_STYLE_DYNAMIC };
struct pb_memory_style {
    enum pb_style kind;
    uint32_t bound_pages; /* Static only */
    uint64_t guard_bytes; /* whole host pages, may be 0 */
};

/* How a style is chosen from a type (R3). */
struct pb_tunables {
    uint32_t static_bound_pages;
    uint64_t static_guard_bytes;
    uint64_t dynamic_guard_bytes;
};

/* The usual values: 65,536 pages, 2 GiB and 64 KiB on 64-bit hosts; 16,384 pages and 64 KiB else.
 */
extern const struct pb_tunables pb_tunables_default;

/* Static when the maximum (65,536 pages where none is declared) fits the bound, else Dynamic. */
struct pb_memory_style pb_style_choose(const struct pb_memory_type *type,
                                       const struct pb_tunables *tunables);

/* PB_OK, or PB_LIMIT: min or max above 65,536 pages; PB_INVALID: max below min, or shared without
 * a maximum (R1). */
enum pb_status pb_memory_type_check(const struct pb_memory_type *type);

/* ---- The record that generated code reads --------------------------------------------------- */

/* Base and length of a memory. The pair is consistent for the thread that owns an unshared memory;
 * for a shared one the base never changes and the length only grows, published after the pages are
 * usable, so a length once read stays good (R10, R11). */
struct pb_memory_definition {
    PB_ATOMIC(uint8_t *) base;
    PB_ATOMIC(uint64_t) length_bytes;
};

/* ---- Create, retain, release ---------------------------------------------------------------- */

/* What is reserved where address space is short (R43): from what was asked for, step by step, to
 * what still works. Each step costs what its note says. */
enum pb_rung {
    PB_RUNG_AS_ASKED,
    PB_RUNG_SHORT_GUARD, /* the tunables' dynamic guard in place of the style's */
    PB_RUNG_DYNAMIC,     /* and Dynamic in place of Static */
    PB_RUNG_SHORT,       /* and less than the maximum, halved until it fits, never below the size */
    PB_RUNG_COUNT
};
/* What a step costs, one line; NULL for a value that is none. Static. */
const char *pb_rung_note(enum pb_rung rung);

struct pb_memory_config {
    struct pb_memory_type type;
    const struct pb_memory_style *style; /* NULL: chosen from the type by tunables */
    const struct pb_tunables *tunables;  /* NULL: pb_tunables_default */
    enum pb_strategy strategy;
    unsigned advice;        /* enum pb_advice, or-ed */
    struct pb_pool *pool;   /* for PB_STRATEGY_POOL */
    struct pb_image *image; /* for PB_STRATEGY_IMAGE: first contents, or NULL */
    /* With an image: where tenants write the same pages again, or a quarter of the memory or more
     * (a third above 8 MiB), pb_memory_reset copies written pages back, up to so many bytes, and
     * keeps them resident; else it gives them back. Whole host pages; 0: it gives all back. Needs
     * what PB_POOL_SCAN needs. */
    uint64_t keep_resident_bytes;
    /* NULL: the memory owns its record. Else the caller's, which must outlive it and every wait and
     * pin in it. */
    struct pb_memory_definition *definition;
    uint32_t waiters_max;       /* limit of blocked waiters (R28), the same for each copy, which has
                                   waiters of its own; 0: no limit but 2^32 - 1 */
    uint32_t reserve_pages_max; /* bound on what a Dynamic memory of a strategy that never moves
                                   reserves; growth past it is PB_NO_MEMORY. 0: its maximum */
    const struct pb_allocator *allocator; /* NULL: pb_allocator_libc. Must outlive the memory, its
                                             copies, and every wait and pin in them */
    const struct pb_limiter *limiter;     /* asked before each growth (R40), or NULL. Must outlive
                                             the memory, its copies, and every wait and pin in them */
    enum pb_rung fall_back; /* how far to step down where address space is short (R43); 0: not at
                               all. A pool without a free slot counts as short, too.
                               pb_memory_style and pb_memory_rung say what came of it */
};

/* Makes a memory of min_pages zero pages (R2), shared when the type says so. *memory is set only
 * on PB_OK; the caller owns the handle.
 * PB_LIMIT, PB_INVALID: see pb_memory_type_check; PB_INVALID also for a style whose bound is below
 * min or above 65,536, a guard or keep_resident_bytes that is not whole host pages (R1, R3), an
 * image longer than min, PB_STRATEGY_POOL without a pool or with a guard above the pool's, a
 * strategy, a kind of style or a fall_back that is none.
 * PB_UNSUPPORTED: the strategy is not available here, or cannot back a shared memory.
 * PB_NO_MEMORY: also when no slot of the pool is free, or they are too short. PB_REFUSED: R40.
 * PB_NO_DESCRIPTORS, PB_UNSUPPORTED, PB_INTERRUPTED, PB_SYSTEM: the system refused. */
enum pb_status pb_memory_create(const struct pb_memory_config *config, struct pb_memory **memory);

/* Gives up one handle; NULL is fine. The last one disables atomics, so blocked waiters return
 * PB_DISABLED, and the pages go when the last of them has left (R14, R29): this call does not wait
 * for them. Other handles stay good. A pb_memory_definition of the caller is zeroed when the pages
 * go. */
void pb_memory_release(struct pb_memory *memory);

/* Turns an owned memory into a shared one, in place: the type says so from now on (R12).
 * PB_INVALID: it has no maximum. PB_UNSUPPORTED: its strategy cannot, or it is custom.
 * PB_NO_MEMORY: it is Dynamic and its reservation does not reach to its maximum (R10), unless
 * it fell back to PB_RUNG_SHORT (R43), or no memory. An already shared one is PB_OK. On failure
 * nothing has changed. With a mailbox in the memory: only between pb_mailbox_hold and
 * pb_mailbox_unhold. */
enum pb_status pb_memory_to_shared(struct pb_memory *memory);

/* One more reference to the same shared memory, as a handle of its own (R14). *handle is set only
 * on PB_OK. PB_NOT_SHARED for an owned one. PB_NO_MEMORY. PB_UNSUPPORTED, or what its table says,
 * for a custom one. */
enum pb_status pb_memory_retain(struct pb_memory *memory, struct pb_memory **handle);

/* A new, independent memory with equal bytes, size, type, style and guard, its own record and its
 * own waiters (R13). For a shared source growth is excluded meanwhile; against guests that write
 * it is atomic for each byte only: for a snapshot bring them to rest first. *copy is set only on
 * PB_OK; on failure the source is as it was.
 * PB_NO_MEMORY, PB_NO_DESCRIPTORS, PB_UNSUPPORTED, PB_INTERRUPTED (another try may succeed),
 * PB_SYSTEM, PB_REFUSED (R40). With a mailbox in an unshared memory: only between pb_mailbox_hold
 * and pb_mailbox_unhold. */
enum pb_status pb_memory_copy(struct pb_memory *memory, struct pb_memory **copy);

/* A part of a memory that the host holds while it reads or writes there on its own, say by a system
 * call: bytes stays good, and the memory's, until pb_pin_release, whatever else is called (R42). */
struct pb_pin {
    uint8_t *bytes;
    uint64_t count;
    void *held; /* the library's own */
};
/* Holds [start, start + count). Meanwhile growth that would move the memory, and a reset, are
 * PB_PINNED and change nothing; growth in place goes on; a copy takes each byte as for a shared
 * memory; after the last release the pages stay until the last pin goes. *pin is set only on PB_OK.
 * PB_OUT_OF_BOUNDS. PB_UNSUPPORTED for a custom memory. Guests see the host's bytes as they come.
 */
enum pb_status pb_memory_pin(struct pb_memory *memory, uint64_t start, uint64_t count,
                             struct pb_pin *pin);
/* Gives it up, from any thread; twice is harmless. */
void pb_pin_release(struct pb_pin *pin);

/* Back to the first state: min_pages of the type it was created with, zero or the image's bytes,
 * as for the next tenant of a slot (R15). Owned memories only: PB_UNSUPPORTED for others. PB_PINNED
 * (R42): nothing has changed. On any other failure the memory may only be released. With a mailbox
 * in it: only between pb_mailbox_hold and pb_mailbox_unhold; what the mailbox held is gone. */
enum pb_status pb_memory_reset(struct pb_memory *memory);

/* ---- Size and growth ------------------------------------------------------------------------ */

/* The current size. For a shared memory another thread may have grown it by the time it is used;
 * it never shrinks. */
uint32_t pb_memory_size_pages(struct pb_memory *memory);
uint64_t pb_memory_size_bytes(struct pb_memory *memory);

/* Type (min is the current size, R12) and style. */
struct pb_memory_type pb_memory_type(struct pb_memory *memory);
struct pb_memory_style pb_memory_style(struct pb_memory *memory);
enum pb_strategy
pb_memory_strategy(struct pb_memory *memory);          /* PB_STRATEGY_COUNT for a custom one */
enum pb_rung pb_memory_rung(struct pb_memory *memory); /* PB_RUNG_AS_ASKED for a custom one */

/* Grows by delta pages. *old_pages is set only on PB_OK. PB_LIMIT: old + delta passes
 * min(max, 65,536) (R5). PB_NO_MEMORY: no memory, or the reservation is used up. PB_UNSUPPORTED,
 * PB_INTERRUPTED, PB_SYSTEM: the system refused. PB_REFUSED: the limiter did (R40). PB_PINNED: it
 * would move what the host holds (R42). On failure nothing has changed and a retry can succeed
 * (R6). A delta of 0 always succeeds (R7). For a shared memory it is one sequentially consistent
 * read-modify-write of the length (R11). */
enum pb_status pb_memory_grow(struct pb_memory *memory, uint32_t delta_pages, uint32_t *old_pages);

/* Base and length as generated code reads them. Valid while the handle lives. */
struct pb_memory_definition *pb_memory_definition(struct pb_memory *memory);

/* ---- Bytes ---------------------------------------------------------------------------------- */

/* Every access: effective address = index + offset, without wrap; it must end within the size
 * (R18). width is 1, 2, 4 or 8 bytes, else PB_INVALID. Values are little-endian in the memory and
 * zero-extended in *value. Plain accesses may be unaligned; where guests may race each is made of
 * relaxed atomics, whole when aligned. */
enum pb_status pb_memory_load(struct pb_memory *memory, uint32_t index, uint32_t offset,
                              unsigned width, uint64_t *value);
enum pb_status pb_memory_store(struct pb_memory *memory, uint32_t index, uint32_t offset,
                               unsigned width, uint64_t value);

/* Sequentially consistent accesses; a misaligned one is PB_MISALIGNED (checked first). */
enum pb_status pb_memory_atomic_load(struct pb_memory *memory, uint32_t index, uint32_t offset,
                                     unsigned width, uint64_t *value);
enum pb_status pb_memory_atomic_store(struct pb_memory *memory, uint32_t index, uint32_t offset,
                                      unsigned width, uint64_t value);

enum pb_rmw {
    PB_RMW_ADD,
    PB_RMW_SUB,
    PB_RMW_AND,
    PB_RMW_OR,
    PB_RMW_XOR,
    PB_RMW_XCHG,
    PB_RMW_COUNT
};

/* *old is the value before. The arithmetic wraps at the width. PB_INVALID also for an operation
 * that is none. */
enum pb_status pb_memory_atomic_rmw(struct pb_memory *memory, enum pb_rmw operation, uint32_t index,
                                    uint32_t offset, unsigned width, uint64_t operand,
                                    uint64_t *old);
/* Stores replacement when the value is expected; *old is the value before. Both wrap at the width
 * before they are used, as the narrow instructions do (threads proposal, issue 195). */
enum pb_status pb_memory_atomic_cmpxchg(struct pb_memory *memory, uint32_t index, uint32_t offset,
                                        unsigned width, uint64_t expected, uint64_t replacement,
                                        uint64_t *old);

/* A data segment: bytes of the caller, not copied. */
struct pb_segment {
    const void *data;
    uint64_t length_bytes;
};
/* data.drop: the segment has length 0 from now on (R16). */
void pb_segment_drop(struct pb_segment *segment);

/* memory.copy, memory.fill and memory.init: both ranges are checked before the first write
 * (PB_OUT_OF_BOUNDS), a count of 0 is fine at the very end; overlap behaves as memmove (R16). */
enum pb_status pb_memory_bulk_copy(struct pb_memory *memory, uint32_t destination, uint32_t source,
                                   uint32_t count);
enum pb_status pb_memory_bulk_fill(struct pb_memory *memory, uint32_t destination, uint8_t value,
                                   uint32_t count);
enum pb_status pb_memory_bulk_init(struct pb_memory *memory, const struct pb_segment *segment,
                                   uint32_t destination, uint32_t source, uint32_t count);

/* Writes count bytes at start; PB_OUT_OF_BOUNDS, and nothing written, when they do not fit (R17).
 */
enum pb_status pb_memory_initialise(struct pb_memory *memory, uint64_t start, const void *data,
                                    uint64_t count);

/* A segment that instantiation puts at a fixed place. */
struct pb_active_segment {
    uint64_t start;
    struct pb_segment segment;
};
/* Applies the segments in order and stops at the first that does not fit; those before it stay
 * applied. *applied is how many were; it may be NULL (R17). */
enum pb_status pb_memory_initialise_segments(struct pb_memory *memory,
                                             const struct pb_active_segment *segments, size_t count,
                                             size_t *applied);

/* Copies out of the memory into the host's own bytes; the counterpart of pb_memory_initialise. */
enum pb_status pb_memory_read(struct pb_memory *memory, uint64_t start, void *data, uint64_t count);

/* ---- Wait and notify ------------------------------------------------------------------------ */

/* What a wait that was not an error returned; the numbers are the instruction's. */
enum pb_wait { PB_WAIT_NOTIFIED = 0, PB_WAIT_NOT_EQUAL = 1, PB_WAIT_TIMED_OUT = 2 };

/* memory.atomic.wait32 and wait64 at address (already index + offset, hence 64 bits wide).
 * Checked in this order: PB_MISALIGNED, PB_OUT_OF_BOUNDS, PB_NOT_SHARED (R19), PB_DISABLED (R29).
 * Then *result: not equal when the value differs from expected (R20), notified when a notify
 * counted this wait (R22), timed out when timeout_ns passed (negative: never; 0: at once; R23).
 * PB_TOO_MANY_WAITERS: it would block, and the limit is reached (R28). PB_DISABLED: disabled
 * meanwhile. Waiters on one address leave in the order in which they came (R25), wait32 and wait64
 * alike (R24).
 * A blocked wait must return: a signal handler must not leave it by longjmp, as its record lies on
 * its thread's stack (R27); disabling atomics ends it. */
enum pb_status pb_memory_wait32(struct pb_memory *memory, uint64_t address, uint32_t expected,
                                int64_t timeout_ns, enum pb_wait *result);
enum pb_status pb_memory_wait64(struct pb_memory *memory, uint64_t address, uint64_t expected,
                                int64_t timeout_ns, enum pb_wait *result);

/* By which one blocked wait can be ended (R41). One wait at a time may use it. */
struct pb_canceller;
/* PB_NO_MEMORY. The caller owns *canceller; NULL: pb_allocator_libc. */
enum pb_status pb_canceller_create(const struct pb_allocator *allocator,
                                   struct pb_canceller **canceller);
/* No wait may use it any more. NULL is fine. */
void pb_canceller_release(struct pb_canceller *canceller);
/* The wait that uses it, or the next one that does, returns PB_CANCELLED in place of blocking. One
 * that a notify has counted already returns notified, one that disabling has reached PB_DISABLED:
 * no wake is lost, and nobody else is woken. Thread-safe; twice is harmless. */
void pb_canceller_cancel(struct pb_canceller *canceller);
/* As it was when it was created, for the next wait. Not while a wait uses it. */
void pb_canceller_reset(struct pb_canceller *canceller);

/* As pb_memory_wait32 and pb_memory_wait64; PB_CANCELLED besides, where they would block or do.
 * PB_INVALID where another wait uses the canceller. PB_UNSUPPORTED for a custom memory. */
enum pb_status pb_memory_cancellable_wait32(struct pb_memory *memory, uint64_t address,
                                            uint32_t expected, int64_t timeout_ns,
                                            struct pb_canceller *canceller, enum pb_wait *result);
enum pb_status pb_memory_cancellable_wait64(struct pb_memory *memory, uint64_t address,
                                            uint64_t expected, int64_t timeout_ns,
                                            struct pb_canceller *canceller, enum pb_wait *result);

/* memory.atomic.notify: wakes up to count waiters (R24); *woken is how many. PB_MISALIGNED,
 * PB_OUT_OF_BOUNDS also for a count of 0; an unshared memory has none to wake (R19). */
enum pb_status pb_memory_notify(struct pb_memory *memory, uint64_t address, uint32_t count,
                                uint32_t *woken);

/* Waits are errors from now on, blocked ones return PB_DISABLED, except those that a notify had
 * already counted (R29). Twice is harmless; on an unshared memory it does nothing. */
void pb_memory_disable_atomics(struct pb_memory *memory);

/* How many waits are blocked right now, on all addresses of this shared memory; 0 for others. A
 * figure of the moment that orders nothing: no proof that another thread has arrived. */
uint32_t pb_memory_waiters(struct pb_memory *memory);

/* ---- Which memory owns this address --------------------------------------------------------- */

struct pb_address_owner {
    uint64_t offset_bytes; /* from the memory's base */
    uint64_t length_bytes; /* the memory's size when asked: offset >= length is a guest's trap */
    struct pb_memory_definition *definition;
};
/* For a trap handler: true when the address lies in the reservation (guard included) of a living
 * memory made by pb_memory_create or pb_memory_copy. Async-signal-safe, lock-free, and never made
 * of two memories, whatever other threads create, grow and release meanwhile (R39). *owner is set
 * only on true. The answer holds as long as the memory lives and does not move: ask from the thread
 * whose access faulted. The record is not read: the memory of a stray pointer may be going. */
bool pb_memory_owner_of(const void *address, struct pb_address_owner *owner);

/* What a fault at an address was. */
enum pb_fault {
    PB_FAULT_ELSEWHERE, /* in no memory of ours: *owner is as it was */
    PB_FAULT_TRAP,      /* past the size: the guest's trap */
    PB_FAULT_INSIDE     /* within the size by now: another thread grew the memory between the access
                           and this question. Return, so that the access runs again; where the very
                           same one faults a second time, it was the host's own mistake */
};
/* pb_memory_owner_of, and what to do about it. A guest's access past the size that races with a
 * growth may come out as either of the last two; both are right (R39). Async-signal-safe. */
enum pb_fault pb_memory_fault_at(const void *address, struct pb_address_owner *owner);

/* ---- Custom memories ------------------------------------------------------------------------ */

/* What a memory can do, as a table; self is what pb_memory_create_custom was given. The first five
 * are required; definition() gives the same record for the life of self, with a base that is
 * aligned to 8 bytes. The others may be NULL:
 * initialise then writes through the record; retain, copy, wait and disable answer PB_UNSUPPORTED
 * or do nothing, notify wakes none. Of a shared memory without retain that holds a mailbox, notify
 * is called under the mailbox's lock: it must not call that mailbox. Functions get arguments
 * already checked against definition()'s length and alignment where the calls above say that they
 * check. Thread-safety is the table's own business. */
struct pb_memory_operations {
    struct pb_memory_type (*type)(void *self);
    struct pb_memory_style (*style)(void *self);
    enum pb_status (*grow)(void *self, uint32_t delta_pages, uint32_t *old_pages);
    struct pb_memory_definition *(*definition)(void *self);
    void (*release)(void *self);
    enum pb_status (*retain)(void *self, void **handle);
    enum pb_status (*copy)(void *self, void **copy);
    enum pb_status (*initialise)(void *self, uint64_t start, const void *data, uint64_t count);
    enum pb_status (*wait)(void *self, uint64_t address, unsigned width, uint64_t expected,
                           int64_t timeout_ns, enum pb_wait *result);
    uint32_t (*notify)(void *self, uint64_t address, uint32_t count);
    void (*disable_atomics)(void *self);
};

/* A memory that does what the table says. On PB_OK self is owned by the memory and goes by
 * operations->release. The table must outlive it. PB_INVALID when a required function is missing,
 * PB_NO_MEMORY. */
enum pb_status pb_memory_create_custom(const struct pb_memory_operations *operations, void *self,
                                       const struct pb_allocator *allocator,
                                       struct pb_memory **memory);

#ifdef __cplusplus
}
#pragma GCC diagnostic pop
#endif

#endif
