/* misuse.c: misuse of single calls, and the name of each finding.
 * expect: unlock-not-owner cflags=-DUNLOCK_OF_ANOTHER
 * expect: unlock-not-held cflags=-DUNLOCK_OF_NOBODY
 * expect: deadlock cflags=-DLOCK_TWICE
 * expect: deadlock cflags=-DLOCK_ORDER
 * expect: deadlock cflags=-DSIGNAL_TOO_EARLY
 * expect: deadlock cflags=-DJOIN_SELF
 * expect: deadlock cflags=-DWRITE_LOCK_OF_READER
 * expect: lost-wakeup cflags=-DFUTEX_NO_WAKE
 * expect: livelock cflags=-DSPIN_FOR_EVER
 * expect: destroy-while-held cflags=-DDESTROY_HELD
 * expect: use-after-destroy cflags=-DUSE_DESTROYED
 * expect: use-after-free cflags=-DUSE_FREED
 * expect: init-while-held cflags=-DINIT_HELD
 * expect: wait-without-mutex cflags=-DWAIT_UNLOCKED
 * expect: condition-two-mutexes cflags=-DTWO_MUTEXES
 * expect: assertion cflags=-DIF_FOR_WHILE
 * expect: leaked-thread cflags=-DLEAK
 * expect: invalid-join cflags=-DJOIN_TWICE
 * expect: invalid-join cflags=-DJOIN_DETACHED
 * expect: nonzero-exit cflags=-DSTATUS
 * expect: abort cflags=-DABORT
 * expect: unsupported-call cflags=-DFORK
 * expect: assertion cflags=-DFORK_BESIDE_A_BUG
 * expect: assertion cflags=-DFORK_BESIDE_A_BUG sched=exhaustive
 * expect: unsupported-call cflags=-DSYSTEM_CALL
 * expect: segmentation-fault cflags=-DWILD
 * expect: null-access cflags=-DNULL_POINTER
 * expect: stack-overflow cflags=-DRECURSION
 * expect: endless-loop cflags=-DNO_STEP time=90
 * expect: endless-loop cflags=-DPRINTS time=90
 * expect: endless-loop cflags=-DSTRINGS time=90
 * expect: endless-loop cflags=-DWRITES time=90
 * expect: endless-loop cflags=-DCOUNTS sched=exhaustive time=90
 * expect: livelock cflags=-DSPINS_ON time=5
 * expect: data-race cflags=-DRACE
 * expect: data-race cflags=-DRACE_IN_LIBC
 * expect: double-free cflags=-DFREE_TWICE
 * expect: heap-out-of-bounds cflags=-DPAST_THE_END
 */
#include <assert.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
atomic_int word; /* not static: the compiler would know all writers */
int plain;
char text[16];

static void *other(void *arg) {
#if defined UNLOCK_OF_ANOTHER
    while (!atomic_load(&word)) {
    }
    pthread_mutex_unlock(&mutex);
#elif defined LOCK_ORDER
    pthread_mutex_lock(&second);
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    pthread_mutex_unlock(&second);
#elif defined SIGNAL_TOO_EARLY
    pthread_cond_signal(&condition);
#elif defined IF_FOR_WHILE
    pthread_mutex_lock(&mutex);
    plain = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
#elif defined FUTEX_NO_WAKE || defined FORK_BESIDE_A_BUG
    atomic_store(&word, 1);
#elif defined TWO_MUTEXES
    pthread_mutex_lock(&second);
    pthread_cond_wait(&condition, &second);
#elif defined SPINS_ON
    while (!atomic_load(&word)) {
    }
#elif defined RACE
    plain++;
#elif defined RACE_IN_LIBC
    strcpy(text, "two");
#endif
    return arg;
}

static int deeper(int n) {
    volatile char frame[512];
    frame[0] = (char)n;
    return deeper(n + 1) + frame[0];
}

static void first(void) {
#if defined UNLOCK_OF_ANOTHER || defined DESTROY_HELD || defined INIT_HELD || defined LOCK_TWICE
    pthread_mutex_lock(&mutex);
#endif
#if defined UNLOCK_OF_ANOTHER
    atomic_store(&word, 1);
#endif
#if defined UNLOCK_OF_NOBODY
    pthread_mutex_unlock(&mutex);
#elif defined LOCK_TWICE
    pthread_mutex_lock(&mutex);
#elif defined LOCK_ORDER
    pthread_mutex_lock(&mutex);
    pthread_mutex_lock(&second);
    pthread_mutex_unlock(&second);
    pthread_mutex_unlock(&mutex);
#elif defined SIGNAL_TOO_EARLY
    pthread_mutex_lock(&mutex);
    for (;;) {
        pthread_cond_wait(&condition, &mutex);
    }
#elif defined JOIN_SELF
    pthread_join(pthread_self(), NULL);
#elif defined WRITE_LOCK_OF_READER
    pthread_rwlock_rdlock(&rwlock);
    pthread_rwlock_wrlock(&rwlock);
#elif defined FUTEX_NO_WAKE
    while (!atomic_load(&word)) {
        syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
    }
#elif defined SPIN_FOR_EVER
    while (!atomic_load(&word)) {
    }
#elif defined DESTROY_HELD
    pthread_mutex_destroy(&mutex);
#elif defined INIT_HELD
    pthread_mutex_init(&mutex, NULL);
#elif defined USE_DESTROYED
    pthread_mutex_destroy(&mutex);
    pthread_mutex_lock(&mutex);
#elif defined USE_FREED
    pthread_mutex_t *m = malloc(sizeof *m);
    pthread_mutex_init(m, NULL);
    free(m);
    pthread_mutex_lock(m);
#elif defined WAIT_UNLOCKED
    pthread_cond_wait(&condition, &mutex);
#elif defined TWO_MUTEXES
    pthread_mutex_lock(&mutex);
    pthread_cond_wait(&condition, &mutex);
#elif defined IF_FOR_WHILE
    pthread_mutex_lock(&mutex);
    if (!plain) {
        pthread_cond_wait(&condition, &mutex);
    }
    assert(plain);
    pthread_mutex_unlock(&mutex);
#elif defined STATUS
    exit(3);
#elif defined ABORT
    abort();
#elif defined FORK
    fork();
#elif defined FORK_BESIDE_A_BUG
    if (atomic_load(&word) == 0) {
        fork();
    }
    assert(atomic_load(&word) == 0);
#elif defined SYSTEM_CALL
    syscall(SYS_getuid);
#elif defined WILD
    *(volatile int *)0x123456789000 = 1;
#elif defined NULL_POINTER
    *(volatile int *)8 = 1;
#elif defined RECURSION
    deeper(0);
#elif defined NO_STEP
    for (;;) {
        __asm__ volatile("");
    }
#elif defined PRINTS
    for (;;) {
        puts("again");
    }
#elif defined STRINGS
    while (strcmp(text, "never")) {
    }
#elif defined WRITES
    for (;;) {
        plain = 1;
    }
#elif defined COUNTS
    for (;;) {
        plain++;
    }
#elif defined RACE
    plain++;
#elif defined RACE_IN_LIBC
    snprintf(text, sizeof text, "one");
#elif defined FREE_TWICE
    void *p = malloc(8);
    free(p);
    free(p);
#elif defined PAST_THE_END
    char *p = malloc(8);
    p[8] = 1;
    free(p);
#endif
    (void)deeper;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, other, NULL);
#ifdef SPINS_ON
    return 0; /* the thread still spins, and nobody joins it */
#endif
#ifdef JOIN_DETACHED
    pthread_detach(thread);
#endif
    first();
#ifndef LEAK
    pthread_join(thread, NULL);
#endif
#ifdef JOIN_TWICE
    pthread_join(thread, NULL);
#endif
    return 0;
}
