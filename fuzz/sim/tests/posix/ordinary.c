/* What ordinary programs do that has nothing to do with schedules: each case is a program that is
 * right, or wrong in the way that its line says.
 *
 * expect: pass cflags=-DNAMES time=1
 * expect: pass cflags=-DEXCHANGE time=1
 * expect: pass cflags=-DPIPE time=1
 * expect: pass cflags=-DSLEEP time=1
 * expect: pass cflags=-DMAP time=1
 * expect: page-fault cflags=-DMAP_READ_ONLY time=5
 * expect: use-after-free cflags=-DUNMAPPED time=5
 * expect: pass cflags=-DFILES time=2
 * expect: pass cflags=-DENVIRONMENT time=1
 * expect: pass cflags=-DHUNDRED time=2
 * expect: pass cflags=-DLARGE time=2
 * expect: pass cflags=-DWIDE time=1
 * expect: pass cflags=-DREQUEUE time=1
 * expect: pass cflags=-DTRYJOIN time=1
 * expect: pass cflags=-DTRYJOIN_FIRST sched=exhaustive time=10
 * expect: assertion cflags=-DWEAK time=5
 * expect: pass cflags=-DWEAK_AGAIN time=3
 * expect: pass cflags=-DSTRONG time=3
 * expect: pass cflags=-DSIGNALS time=1
 * expect: pass cflags=-DASSUME time=1
 * expect: assertion cflags=-DLEAK_BEFORE time=5
 * expect: leaked-thread cflags=-DLEAK time=2
 * expect: use-after-return cflags=-DSTACK time=5
 * expect: initialised-twice cflags=-DTWICE time=5
 * expect: data-race cflags=-DDEAD_READ time=5
 * expect: invalid-allocation cflags=-DALIGNMENT time=5
 * expect: uninitialised-read cflags=-DLOCAL set=check_uninitialised=1 time=5
 * expect: pass cflags=-DBOUNDED_100 time=1 set=stale=1
 * expect: assertion cflags=-DBOUNDED time=10
 * expect: assertion cflags=-DARGUMENTS args=two time=5
 */
#define _GNU_SOURCE
#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

void __VERIFIER_assume(int);
static atomic_int x, y;
static pthread_t t[100];

static void start(int i, void *(*run)(void *)) {
    int error = pthread_create(&t[i], NULL, run, (void *)(long)i);
    assert(!error);
}
static void join(int n) {
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
}

#if defined(NAMES)
int S, queue = 4, options;
int fail(void), choose(void), enter(void), found(void), acquire(void), step(void);
int fail(void) {
    return 1;
}
int choose(void) {
    return 1;
}
int enter(void) {
    return 1;
}
int found(void) {
    return 1;
}
int acquire(void) {
    return 1;
}
int step(void) {
    return 1;
}
static void *run(void *a) {
    x += fail() + choose() + enter() + found() + acquire() + step();
    return a;
}
int main(void) {
    start(0, run);
    join(1);
    assert(x == 6 && queue == 4);
    return S + options;
}
#elif defined(EXCHANGE)
static int data;
static void *one(void *a) {
    data = 1;
    atomic_store_explicit(&y, 1, memory_order_release);
    return a;
}
static void *two(void *a) {
    if (atomic_load_explicit(&y, memory_order_relaxed) == 1)
        atomic_exchange_explicit(&y, 3, memory_order_relaxed);
    return a;
}
static void *three(void *a) {
    if (atomic_load_explicit(&y, memory_order_acquire) == 3)
        assert(data == 1);
    return a;
}
int main(void) {
    start(0, one);
    start(1, two);
    start(2, three);
    join(3);
    return 0;
}
#elif defined(PIPE)
static int ends[2], data;
static void *run(void *a) {
    data = 7;
    ssize_t n = write(ends[1], "ab", 2);
    assert(n == 2);
    close(ends[1]);
    return a;
}
int main(void) {
    char c[4] = "";
    int made = pipe(ends), n = 0;
    ssize_t got;
    assert(!made);
    start(0, run);
    while ((got = read(ends[0], c + n, 1)) > 0)
        n += (int)got;
    assert(n == 2 && !strcmp(c, "ab") && data == 7);
    join(1);
    return 0;
}
#elif defined(SLEEP)
int main(void) {
    struct timeval v = {3600, 0};
    int a = poll(NULL, 0, 100000), b = select(0, NULL, NULL, NULL, &v);
    assert(!a && !b);
    return 0;
}
#elif defined(MAP) || defined(MAP_READ_ONLY) || defined(UNMAPPED)
static char *p;
static void *run(void *a) {
    p[5] = 1;
    return a;
}
int main(void) {
    p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(p != MAP_FAILED && p[9999] == 0);
#ifdef MAP_READ_ONLY
    mprotect(p, 10000, PROT_READ);
#elif defined(UNMAPPED)
    munmap(p, 10000);
#endif
    start(0, run);
    join(1);
    assert(p[5] == 1);
    munmap(p, 10000);
    return 0;
}
#elif defined(FILES)
static void *run(void *a) {
    return a;
}
int main(void) {
    FILE *f = fopen("/dev/null", "w");
    int d = dup(1);
    assert(f && d > 2);
    start(0, run);
    join(1);
    return 0;
}
#elif defined(ENVIRONMENT)
int main(void) {
    assert(!getenv("ORDINARY"));
    setenv("ORDINARY", "1", 1);
    assert(!strcmp(getenv("ORDINARY"), "1"));
    return 0;
}
#elif defined(HUNDRED)
static void *run(void *a) {
    x++;
    return a;
}
int main(void) {
    for (int i = 0; i < 100; i++)
        start(i, run);
    join(100);
    assert(x == 100);
    return 0;
}
#elif defined(LARGE)
int main(void) {
    char *p = malloc(200 << 20);
    assert(p);
    p[100 << 20] = 1;
    free(p);
    return 0;
}
#elif defined(WIDE)
static _Atomic __int128 w;
static void *run(void *a) {
    __int128 old = w;
    while (!atomic_compare_exchange_strong(&w, &old, old + ((__int128)1 << 64) + 1)) {
    }
    return a;
}
int main(void) {
    start(0, run);
    start(1, run);
    join(2);
    assert(w == ((__int128)2 << 64) + 2);
    return 0;
}
#elif defined(REQUEUE)
static void *run(void *a) {
    syscall(SYS_futex, &x, FUTEX_WAIT, 0, NULL, NULL, 0);
    return a;
}
int main(void) {
    start(0, run);
    start(1, run);
    x = 1;
    syscall(SYS_futex, &x, FUTEX_CMP_REQUEUE, 1, (void *)1, &y, 1);
    syscall(SYS_futex, &y, FUTEX_WAKE, 9, NULL, NULL, 0);
    join(2);
    return 0;
}
#elif defined(TRYJOIN)
static void *run(void *a) {
    x = 1;
    return a;
}
int main(void) {
    start(0, run);
    while (pthread_tryjoin_np(t[0], NULL) == EBUSY) {
    }
    assert(x == 1);
    return 0;
}
#elif defined(TRYJOIN_FIRST)
static void *waits_for_main(void *arg) {
    while (!x)
        ;
    return arg;
}
int main(void) {
    start(7, waits_for_main);
    int busy = pthread_tryjoin_np(t[7], NULL);
    assert(busy == EBUSY);
    x = 1;
    while (pthread_tryjoin_np(t[7], NULL) == EBUSY)
        sched_yield();
    return 0;
}

#elif defined(WEAK) || defined(WEAK_AGAIN) || defined(STRONG)
/* A weak compare-exchange may fail although nobody else writes, a strong one may not. */
static _Atomic short small;
int main(void) {
    int none = 0;
    short minus = -1;
    small = -1;
#if defined(STRONG)
    bool done = atomic_compare_exchange_strong(&x, &none, 1);
#elif defined(WEAK)
    bool done = atomic_compare_exchange_weak(&x, &none, 1);
#else
    bool done = true;
    while (!atomic_compare_exchange_weak(&x, &none, 1))
        assert(none == 0);
#endif
    while (!atomic_compare_exchange_weak(&small, &minus, -2))
        assert(minus == -1);
    assert(done && small == -2);
    return 0;
}

#elif defined(SIGNALS)
int main(void) {
    struct sigaction a = {.sa_handler = SIG_IGN};
    sigset_t s;
    sigemptyset(&s);
    return sigaction(SIGPIPE, &a, NULL) || pthread_sigmask(SIG_BLOCK, &s, NULL);
}
#elif defined(ASSUME)
static void *run(void *a) {
    x = 1;
    return a;
}
int main(void) {
    start(0, run);
    int seen = x;
    __VERIFIER_assume(seen == 1);
    assert(seen == 1);
    join(1);
    return 0;
}
#elif defined(LEAK_BEFORE)
static void *run(void *a) {
    x = 1;
    assert(!y);
    return a;
}
int main(void) {
    start(0, run);
    y = 1;
    return 0;
}
#elif defined(LEAK)
static void *run(void *a) {
    x = 1;
    return a;
}
int main(void) {
    start(0, run);
    return 0;
}
#elif defined(STACK)
static int *_Atomic p;
static void *run(void *a) {
    int local = 1;
    p = &local;
    return a;
}
static void *look(void *a) {
    int *q = p;
    if (q)
        x = *q;
    return a;
}
int main(void) {
    start(0, run);
    start(1, look);
    join(2);
    return 0;
}
#elif defined(TWICE)
static pthread_barrier_t b;
int main(void) {
    pthread_barrier_init(&b, NULL, 2);
    pthread_barrier_init(&b, NULL, 3);
    return 0;
}
#elif defined(DEAD_READ)
static int plain;
static void *run(void *a) {
    plain = 1;
    return a;
}
int main(void) {
    start(0, run);
    (void)*&plain;
    int unused = plain;
    (void)unused;
    join(1);
    return 0;
}
#elif defined(ALIGNMENT)
int main(void) {
    return aligned_alloc(3, 9) == NULL;
}
#elif defined(LOCAL)
static int *_Atomic p;
static void *look(void *a) {
    x = *p;
    return a;
}
int main(void) {
    int local[2];
    local[0] = 1;
    p = &local[1];
    start(0, look);
    join(1);
    return 0;
}
#elif defined(BOUNDED) || defined(BOUNDED_100)
static void *run(void *a) {
    x = 1;
    return a;
}
int main(void) {
    start(0, run);
    int i = 0;
    while (i < 1000 && !x)
        i++;
#ifdef BOUNDED
    assert(i < 1000);
#endif
    join(1);
    return 0;
}
#elif defined(ARGUMENTS)
int main(int argc, char **argv) {
    assert(argc == 1 || strcmp(argv[1], "two"));
    return 0;
}
#endif
