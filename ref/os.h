/* os.h: the seam to the operating system: pages, files for copy-on-write, waiting, the clock.
 *
 * os_linux.c is the real one; a port, or a test, links its own in its place. All ranges are whole
 * host pages. Unless said otherwise a function that does not return PB_OK has changed nothing;
 * errors are PB_NO_MEMORY, PB_NO_DESCRIPTORS, PB_INTERRUPTED, PB_UNSUPPORTED or PB_SYSTEM.
 * Every function may be called from any thread. */
/* SPDX-License-Identifier: MIT */
#ifndef PB_OS_H
#define PB_OS_H

#include "status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PB_DEADLINE_NEVER UINT64_MAX

/* The host's page in bytes: a power of two that divides 65,536. */
uint64_t pb_os_page_bytes(void);

/* Reserves bytes (> 0) of inaccessible address space; no memory is set aside for it. */
enum pb_status pb_os_reserve(uint64_t bytes, void **base);

/* Reserves bytes (> 0) of address space that is readable, writable and zero from the start. */
enum pb_status pb_os_reserve_accessible(uint64_t bytes, void **base);

/* Makes a reserved range readable and writable; a byte never touched since it was reserved or
 * discarded reads 0. On failure a part of it may be open: Linux goes from mapping to mapping. */
enum pb_status pb_os_commit(void *at, uint64_t bytes);

/* Makes a range inaccessible; its bytes are kept until discarded. On failure a part of it may be
 * closed. */
enum pb_status pb_os_decommit(void *at, uint64_t bytes);

/* Gives a range's memory back: anonymous bytes read 0 again, bytes mapped from a file read as in
 * the file. Protections and guard markers stay, and so does a lock into memory. PB_UNSUPPORTED
 * where the pages are locked and the kernel is older than 5.18, and where the system reports
 * success and does nothing. */
enum pb_status pb_os_discard(void *at, uint64_t bytes);

/* Undoes mlock or mlockall for the range; harmless where nothing is locked. */
enum pb_status pb_os_unlock(void *at, uint64_t bytes);

/* Replaces a range, whatever it holds, by fresh inaccessible address space. On failure the range
 * may hold its old contents still: treat it as unusable, or try again. */
enum pb_status pb_os_renew(void *at, uint64_t bytes);

/* Gives address space back. On failure the range is still there, as it was. */
enum pb_status pb_os_release(void *base, uint64_t bytes);

/* Moves the accessible range [from, from + bytes) onto the reserved range [to, to + to_bytes),
 * to_bytes >= bytes, without copying: to then holds the bytes and zeros behind them, readable and
 * writable, and from is no longer mapped. The kernel may refuse a source that it keeps as several
 * mappings (Linux up to 6.16 does): pages that moved and some opened since, or touched on both
 * sides of a fork. On failure the source is as it was; *kept is set only then: true where the range
 * at to is reserved still, open or closed; false where it may be another thread's by now and must
 * not be touched. */
enum pb_status pb_os_move(void *from, uint64_t bytes, void *to, uint64_t to_bytes, bool *kept);

/* What pb_os_advise can ask for. */
enum pb_os_advice {
    PB_OS_HUGE_PAGES,    /* prefer huge pages; a hint, PB_UNSUPPORTED where there are none */
    PB_OS_POPULATE,      /* touch every page now, so that no later access has to */
    PB_OS_GUARD_INSTALL, /* accesses fault from now on, without splitting the mapping */
    PB_OS_GUARD_REMOVE   /* undo GUARD_INSTALL: the bytes read 0 */
};
/* GUARD_INSTALL and GUARD_REMOVE may stop half-way: on failure repeat or replace the range.
 * Emulators of user programs report success for GUARD_INSTALL and do nothing: see
 * pb_os_is_closed. */
enum pb_status pb_os_advise(void *at, uint64_t bytes, enum pb_os_advice advice);

/* True if the kernel itself cannot write to the page at `at`. If it can, at most the first 512
 * bytes of the page are overwritten. */
bool pb_os_is_closed(void *at);

/* An anonymous file of bytes zero bytes, closed on exec; *file is set only on PB_OK. */
enum pb_status pb_os_file_create(uint64_t bytes, int *file);
/* Writes all of count bytes at offset. On failure some of them may have been written. */
enum pb_status pb_os_file_write(int file, uint64_t offset, const void *data, uint64_t count);
/* From now on nobody can write, shrink or grow the file. */
enum pb_status pb_os_file_freeze(int file);
/* Replaces the range at `at` by a private, readable and writable view of the file's first bytes:
 * what is written there is seen by nobody else. On failure *lost becomes true where the range is
 * closed and empty now (Linux up to 6.11 under overcommit_memory 2); else it is as it was. lost may
 * be NULL. */
enum pb_status pb_os_file_map(int file, void *at, uint64_t bytes, bool *lost);
/* Closes the file; views of it stay. */
void pb_os_file_close(int file);

/* The kernel's account of this process's pages. The first question opens it; exec closes it; a
 * child after fork opens its own. All zero at first. Its owner always closes it. */
struct pb_os_account {
    _Atomic uint64_t opened;
};
void pb_os_account_close(struct pb_os_account *account);

/* Which host pages of [at, at + bytes) have been written since they were mapped from a file: byte i
 * of written becomes 1 or 0 for page i. PB_UNSUPPORTED where the kernel does not tell. */
enum pb_status pb_os_file_written(struct pb_os_account *account, const void *at, uint64_t bytes,
                                  uint8_t *written);

struct pb_os_run {
    uint64_t offset_bytes, length_bytes; /* whole host pages */
    bool swapped;                        /* not in memory: touching it brings it in */
};
/* Finds the first runs, at most runs_max, of pages of [at, at + bytes) that hold something of their
 * own: not those never written, the kernel's one zero page, or a file's page. In order;
 * *looked_bytes is how far it came, > 0. PB_UNSUPPORTED where the kernel does not tell (Linux 6.7
 * does), PB_NO_DESCRIPTORS. */
enum pb_status pb_os_account_ask(struct pb_os_account *account, const void *at, uint64_t bytes,
                                 struct pb_os_run *runs, size_t runs_max, size_t *count,
                                 uint64_t *looked_bytes);
/* Asks about one page of its own: PB_OK, or the status that a question would return. */
enum pb_status pb_os_account_try(struct pb_os_account *account);

/* Blocks while *word is expected, until woken or until the monotonic clock reaches deadline_ns
 * (PB_DEADLINE_NEVER: without limit). The comparison and the start of the wait are one step
 * against pb_os_wake. PB_OK: woken, or the word differed, or for no reason at all: look again.
 * PB_TIMED_OUT: the deadline has passed. Orders nothing but the word itself. */
enum pb_status pb_os_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);

/* Wakes up to count threads that wait on word. The address is a name only: it is not read, and
 * waking one that is no longer in use is harmless (it may cause a wake for no reason). */
void pb_os_wake(_Atomic uint32_t *word, uint32_t count);

/* Nanoseconds of a clock that never goes back; the zero point is unspecified. */
uint64_t pb_os_clock_ns(void);

#endif
