/* os_wrap.h: stands between ref/ and its os.h: fails calls by choice, keeps account of pages,
 * files.
 *
 * Comes in at link time (-Wl,--wrap=pb_os_commit ...: see rules.mk), so that ref/ and os_linux.c
 * are the text that ships. */
#ifndef OS_WRAP_H
#define OS_WRAP_H

#include <stdbool.h>
#include <stdint.h>

/* What is made while exempt is on neither fails nor counts as leaked: for what outlives a program.
 */
void os_wrap_exempt(bool on);
bool os_wrap_is_exempt(void);

/* True where what is made may be kept from program to program; under the engine each run begins
 * with a new machine. */
bool os_wrap_keeps(void);

/* While on, AFL++ counts no coverage: for what the programs before decide, not this one, as whether
 * something that is kept from program to program is there already. Else one input would not always
 * give the same coverage. In interleave.c, because AFL++'s map cannot be named in code that it
 * instruments. */
void interleave_unseen(bool on);

/* The host uses these bytes: no call may take their pages away (R42). on false: not any more. */
void os_wrap_pin(const void *at, uint64_t bytes, bool on);

/* The live reservation that holds the address; false when there is none. */
bool os_wrap_reservation(const void *address, const uint8_t **at, uint64_t *bytes);

/* A call that closes pages has failed, and nothing was opened since: opening the rest is then the
 * only way left to keep the promise, so that must not fail. */
bool os_wrap_closing_failed(void);
void os_wrap_closing_fails(void);

/* A move is over, whatever became of it. */
void libc_wrap_moved(void);
/* No page is locked any more: a program ends. */
void libc_wrap_unlocked(void);
/* libc_wrap.c: true when a file that the reference made is still open; it is closed then. */
bool libc_wrap_left_open(void);

/* After all is destroyed: NULL, or the name of the rule that was broken, "R14-leak" for instance.
 * Gives back what was leaked and starts anew. */
const char *os_wrap_account(void);

#endif
