/* os_wrap.h: wraps ref/os.h: makes calls fail by choice, and keeps account of pages and files.
 *
 * It is added by the linker (-Wl,--wrap=pb_os_commit ..., see rules.mk), so ref/ and os_linux.c are
 * compiled as they ship. */
#ifndef OS_WRAP_H
#define OS_WRAP_H

#include <stdbool.h>
#include <stdint.h>

/* While exempt is on, calls do not fail and nothing counts as leaked: for objects that outlive a
 * program. */
void os_wrap_exempt(bool on);
bool os_wrap_is_exempt(void);

/* True if objects may be kept between programs. Under the engine, each run begins with a new
 * machine. */
bool os_wrap_keeps(void);

/* While on, AFL++ counts no coverage: for code whose path depends on earlier programs, such as
 * whether a kept object exists already. Otherwise one input would not always give the same
 * coverage. It is in interleave.c, because code that AFL++ instruments cannot name its map. */
void interleave_unseen(bool on);

/* The host uses these bytes: no call may take their pages away (R42). on false: not any more. */
void os_wrap_pin(const void *at, uint64_t bytes, bool on);

/* The live reservation that holds the address; false when there is none. */
bool os_wrap_reservation(const void *address, const uint8_t **at, uint64_t *bytes);

/* Huge pages were asked for, for the whole reservation that holds the address; or last of all from
 * there on, as for a pool's slot, and that was not forgotten. */
bool os_wrap_is_huge(const void *at);
void os_wrap_forget_huge(void);

/* How many ranges were mapped anew: what was locked into memory there is not any more. */
unsigned os_wrap_renewals(void);
unsigned os_wrap_renewals_failed(void);

/* Lets the reference ask the kernel what it asks once in a process, so that each program finds it
 * known.
 */
void os_wrap_ask(void);

/* The register says of the address that it is some memory's (R39). What a program leaked is not
 * asked about. */
bool os_wrap_is_owned(const void *at);

/* A call that closes pages has failed, and nothing was opened since: opening the rest is then the
 * only way left to keep the promise, so that must not fail. */
bool os_wrap_closing_failed(void);
void os_wrap_closing_fails(void);

/* The enum pb_status that the call of os.h answered which was made to fail last; 0, PB_OK: it has
 * none of its own. */
unsigned os_wrap_injected(void);

/* What a call was seen to do breaks a rule: told by os_wrap_account. */
void os_wrap_complain(const char *rule);
/* Nobody can write to the file, make it longer or shorter. */
bool libc_wrap_is_frozen(int file);
/* A move has ended, whether it succeeded or not. */
void libc_wrap_moved(void);
/* The place is another thread's, since a move that was refused had unmapped it. The end of that:
 * false where it was touched. */
bool libc_wrap_is_others(const void *at);
bool libc_wrap_others_end(void);
/* A program ends: no page is locked any more. */
void libc_wrap_unlocked(void);
/* How many blocks of the C library's allocator the reference has asked for, but for the register of
 * owners, which has no other. */
unsigned libc_wrap_allocations(void);
/* While on, account is kept of the blocks that the C library's allocator hands out, but for the
 * register of owners. */
void libc_wrap_watch(bool on);
/* While that is on, the nth allocation from here on fails; lasting: and all after it. 0: none. */
void libc_wrap_fail(unsigned nth, bool lasting);
unsigned libc_wrap_failures(void);
/* Blocks that are alive; false where one was released or has fewer bytes; whether one was released
 * that was not alive any more. */
unsigned libc_wrap_blocks(void);
bool libc_wrap_is_block(const void *at, uint64_t bytes);
bool libc_wrap_released_twice(void);
/* libc_wrap.c: true when a file that the reference made is still open; it is closed then. */
bool libc_wrap_left_open(void);

/* A futex call, as the kernel would get it. */
struct libc_futex_call {
    const void *word;
    int operation;
    uint32_t value, mask; /* expected, or how many to wake */
    bool limited;
    long seconds, nanoseconds;
};
/* While one is set no such call is made: it is asked for the result, and sets errno. */
struct libc_futex {
    long (*answer)(void *context, const struct libc_futex_call *call);
    void *context;
};
void libc_wrap_futex(const struct libc_futex *futex); /* NULL: not any more */
/* The monotonic clock stands at *now_ns while that is set. */
void libc_wrap_clock(const uint64_t *now_ns);

/* Called before each call of the C library that maps, moves or protects pages; NULL: not any more.
 */
void libc_wrap_before_pages(void (*before)(void));

/* From now on the kernel answers as the word says (op.def), and the reference has not asked it yet
 * what it can do: what it keeps of that for the life of the process is forgotten. */
void libc_wrap_kernel(unsigned word);

/* After everything is destroyed: NULL, or the name of the broken rule, such as "R14-leak". Releases
 * what was leaked and starts anew. */
const char *os_wrap_account(void);

#endif
