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

/* A call that closes pages has failed, and nothing was opened since: opening the rest is then the
 * only way left to keep the promise, so that must not fail. */
bool os_wrap_closing_failed(void);
void os_wrap_closing_fails(void);

/* The enum pb_status that the call of os.h answered which was made to fail last; 0, PB_OK: it has
 * none of its own. */
unsigned os_wrap_injected(void);

/* A move has ended, whether it succeeded or not. */
void libc_wrap_moved(void);
/* A program ends: no page is locked any more. */
void libc_wrap_unlocked(void);
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

/* After everything is destroyed: NULL, or the name of the broken rule, such as "R14-leak". Releases
 * what was leaked and starts anew. */
const char *os_wrap_account(void);

#endif
