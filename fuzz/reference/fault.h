/* fault.h: the plan of calls that fail by choice, and an allocator that follows it. One program at
 * a time.
 *
 * A program arms "the nth call of that kind from here on fails". The layers below a subject ask the
 * plan before each call: os_wrap.c for ref/os.h on the real system, interleave.c for os_sim.c under
 * the engine, and both allocators. */
#ifndef FAULT_H
#define FAULT_H

#include "op.h"
#include "subject.h"

#define FAULT_NTH_MAX 64u

/* Forgets everything armed. Failing calls draw their errors from `choices`. */
void fault_begin(const uint8_t *choices, size_t choices_bytes);

/* The nth call (1 to 64; others are ignored) of that kind by that thread from here on fails, with
 * that error. At most FAULTS_MAX are armed at a time. */
enum { FAULT_ANYBODY = -1, FAULTS_MAX = 256 };
void fault_arm(int thread, enum word_call call, uint64_t nth, enum word_error error);

/* Called for each fault, for a recorder; NULL if there is none. */
extern void (*fault_to)(const char *call, uint64_t nth, const char *error);

/* True while any call from here on is to fail. */
bool fault_armed(void);

/* True when this call by that thread is to fail. */
bool fault_due(int thread, enum word_call call);
/* The call that was due last did succeed, in another way, so it does not count as a failure. */
void fault_forgive(void);
/* Called for each call that could fail; NULL if nothing listens. */
extern void (*fault_asked)(enum word_call call);
/* The error that the last due call must return. */
enum word_error fault_error(void);
/* How many calls have been due since the process began. */
uint64_t fault_fired(void);
/* From now on a reservation of more bytes fails, whatever is armed; 0: none does. */
void fault_space(uint64_t bytes);
uint64_t fault_space_bytes(void);
/* True if a reservation of so many bytes fails; counts as a failing call. */
bool fault_too_long(uint64_t bytes);
/* How many of the failing calls (fault_count) were reservations that were too long. */
unsigned fault_too_long_count(void);

/* Why the call of the C library that was due last failed, as errno says; 0 where no such call did,
 * or another one has failed of its own since. */
void fault_tell_errno(int error);
int fault_errno(void);
/* True once any did, in this program. */
bool fault_told(void);
/* While it is on the system has no address space, pages and files left. */
void fault_exhaust(bool on);
bool fault_exhausted(void); /* counts as a failing call */
/* From now on files may have so many bytes; 0: any (RLIMIT_FSIZE). */
void fault_file_limit(uint64_t bytes);
uint64_t fault_file_limit_bytes(void);
/* A file was made longer than that: the system would have sent SIGXFSZ. Says whether one was. */
void fault_signal(void);
bool fault_signalled(void);

/* A call failed by itself, because of a limit of the process. Counts as a fault. */
void fault_note(void);

/* The call that failed last. */
enum word_call fault_last(void);

/* How many calls have failed since fault_begin, including those for lack of room in the
 * environment's allocator. */
unsigned fault_count(void);

/* The next choice: 0 to n - 1; 0 when they have run out. */
unsigned fault_choose(unsigned n);

/* An environment whose allocator counts, fails when armed, and refuses more than a few MiB, so that
 * no program can fill the machine. */
const struct subject_environment *fault_environment(void);

/* Blocks of that allocator that are alive. */
size_t fault_blocks(void);

/* Gives back what a broken subject leaked, so that the next program starts clean. */
void fault_sweep(void);
/* True once something was swept: a register of memories may still have it. */
bool fault_swept(void);

#endif
