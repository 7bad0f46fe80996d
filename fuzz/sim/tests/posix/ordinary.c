/* ordinary.c: what ordinary programs do apart from scheduling. Each case is a correct program, or
 * one with the bug that its line names.
 *
 * expect: pass cflags=-DNAMES time=1
 * expect: pass cflags=-DEXCHANGE time=1
 * expect: pass cflags=-DPIPE time=1
 * expect: pass cflags=-DPIPE_ENDS time=1
 * expect: deadlock cflags=-DPIPE_COPY time=5
 * expect: pass cflags=-DPOLL time=2
 * expect: pass cflags=-DPOLL sched=exhaustive time=10
 * expect: pass cflags=-DSELECT time=2
 * expect: deadlock cflags=-DPOLL_NOTHING time=5
 * expect: pass cflags=-DEVENT_COUNTER time=2
 * expect: pass cflags=-DSOCKET_PAIR time=2
 * expect: pass cflags=-DEPOLL time=2
 * expect: deadlock cflags=-DEPOLL_EDGE time=5
 * expect: assertion cflags=-DSHARED_STREAM time=5
 * expect: assertion cflags=-DSHARED_PATH time=5
 * expect: assertion cflags=-DSHARED_PATH sched=exhaustive time=10
 * expect: pass cflags=-DLIBRARY_BLOCKS time=1
 * expect: pass cflags=-DLARGE_LOCALS time=2
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
 * expect: pass cflags=-DREQUEUE_NEGATIVE time=1
 * expect: pass cflags=-DWAKE=INT_MAX sched=exhaustive time=10
 * expect: lost-wakeup cflags=-DWAKE=-1 sched=exhaustive time=10
 * expect: lost-wakeup cflags=-DWAKE=1 time=5
 * expect: pass cflags=-DWAKE=0 sched=exhaustive time=10
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
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void __VERIFIER_assume(int);
static atomic_int x, y;
static pthread_t t[100];

static void start(int i, void *(*run)(void *)) {
    int error = pthread_create(&t[i], NULL, run, (void *)(long)i);
    assert(!error);
}
static void join(int n) {
    for (int i = 0; i < n; i++) {
        pthread_join(t[i], NULL);
    }
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
#elif defined(PIPE_ENDS)
int main(void) {
    int p[2], made = pipe2(p, O_NONBLOCK), copy;
    char big[5000] = "", c[16];
    struct iovec parts[] = {{(void *)"ab", 2}, {(void *)"cd", 2}};
    assert(!made && read(p[0], c, 1) == -1 && errno == EAGAIN);
    assert(fcntl(p[0], F_GETFL) == (O_RDONLY | O_NONBLOCK) && !fcntl(p[0], F_SETFL, 0));
    assert(writev(p[1], parts, 2) == 4 && dprintf(p[1], "%d", 7) == 1);
    assert(read(p[0], c, sizeof c) == 5 && !memcmp(c, "abcd7", 5));
    copy = dup(p[1]);
    close(p[1]);
    for (int i = 0; i < 13; i++)
        assert(write(copy, big, sizeof big) == sizeof big);
    assert(write(copy, big, 4096) == -1 && errno == EAGAIN); /* all at once or not at all */
    assert(write(copy, big, 536) == 536);
    close(p[0]);
    assert(write(copy, big, 1) == -1 && errno == EPIPE);
    return close(copy);
}
#elif defined(PIPE_COPY)
/* The reader never sees the end, because a copy of the other end is still open. */
static int ends[2];
static void *run(void *a) {
    char c;
    while (read(ends[0], &c, 1) > 0) {
    }
    return a;
}
int main(void) {
    int made = pipe(ends);
    assert(!made);
    start(0, run);
    made = dup(ends[1]);
    close(ends[1]);
    join(1);
    return made < 0;
}
#elif defined(POLL) || defined(SELECT) || defined(POLL_NOTHING)
static int first[2], second[2];
static void *run(void *a) {
    x = 1;
#if !defined(POLL_NOTHING)
    ssize_t n = write((long)a ? second[1] : first[1], "!", 1);
    assert(n == 1);
#endif
    return NULL;
}
static int wait_for_any(void) {
#if defined(SELECT)
    fd_set in;
    FD_ZERO(&in);
    FD_SET(first[0], &in);
    FD_SET(second[0], &in);
    int n = select(second[0] + 1, &in, NULL, NULL, NULL);
    assert(n == FD_ISSET(first[0], &in) + FD_ISSET(second[0], &in));
    return FD_ISSET(first[0], &in) ? first[0] : second[0];
#else
    struct pollfd p[] = {{first[0], POLLIN, 0}, {second[0], POLLIN, 0}};
    int n = poll(p, 2, -1);
    assert(n == (p[0].revents == POLLIN) + (p[1].revents == POLLIN));
    return p[0].revents ? first[0] : second[0];
#endif
}
int main(void) {
    int made = pipe(first) + pipe(second);
    struct pollfd p = {0, POLLOUT, 0};
    p.fd = first[1];
    assert(!made && poll(&p, 1, 0) == 1);
    start(0, run);
    start(1, run);
    for (int i = 0; i < 2; i++) {
        char c;
        ssize_t n = read(wait_for_any(), &c, 1);
        assert(n == 1 && x == 1);
    }
    join(2);
    close(first[1]);
    p = (struct pollfd){first[0], POLLIN, 0};
    assert(poll(&p, 1, 1000) == 1 && p.revents == POLLHUP);
    return 0;
}
#elif defined(EVENT_COUNTER)
static int counter;
static void *run(void *a) {
    uint64_t two = 2;
    ssize_t n = write(counter, &two, sizeof two);
    assert(n == sizeof two);
    return a;
}
int main(void) {
    uint64_t sum = 0, got;
    struct pollfd p = {0, POLLIN, 0};
    p.fd = counter = eventfd(1, EFD_CLOEXEC);
    start(0, run);
    start(1, run);
    while (sum < 5 && poll(&p, 1, -1) == 1 && read(counter, &got, sizeof got) == sizeof got)
        sum += got;
    assert(sum == 5 && poll(&p, 1, 10) == 0);
    join(2);
    return close(counter);
}
#elif defined(SOCKET_PAIR)
static int ends[2];
static void *run(void *a) {
    char c[4];
    ssize_t n = recv(ends[1], c, sizeof c, 0);
    assert(n == 2 && !memcmp(c, "hi", 2));
    n = send(ends[1], "you", 3, MSG_NOSIGNAL);
    assert(n == 3);
    close(ends[1]);
    return a;
}
int main(void) {
    char c[4];
    int made = socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    ssize_t n = write(ends[0], "hi", 2);
    assert(!made && n == 2);
    start(0, run);
    n = read(ends[0], c, sizeof c);
    assert(n == 3 && read(ends[0], c, 1) == 0);
    join(1);
    return 0;
}
#elif defined(EPOLL) || defined(EPOLL_EDGE)
/* With edge triggering, all that is there must be read before the next wait. */
#if defined(EPOLL_EDGE)
#define TRIGGER EPOLLET
#else
#define TRIGGER 0
#endif
static int ends[2];
static void *run(void *a) {
    ssize_t n = write(ends[1], "ab", 2);
    assert(n == 2);
    return a;
}
int main(void) {
    int all = epoll_create1(0), made = pipe(ends);
    struct epoll_event e = {.events = EPOLLIN | TRIGGER}, out;
    e.data.fd = ends[0];
    assert(!made && !epoll_ctl(all, EPOLL_CTL_ADD, ends[0], &e));
    start(0, run);
    for (int i = 0; i < 2; i++) {
        char c;
        int n = epoll_wait(all, &out, 1, -1);
        assert(n == 1 && out.data.fd == ends[0] && out.events == EPOLLIN);
        assert(read(ends[0], &c, 1) == 1 && c == "ab"[i]);
    }
    join(1);
    assert(epoll_wait(all, &out, 1, 5) == 0);
    return 0;
}
#elif defined(SHARED_STREAM)
/* Each call is atomic; two calls together are not. */
static FILE *file;
static void *run(void *a) {
    fputs("one ", file);
    fputs("line\n", file);
    return a;
}
int main(void) {
    char line[64];
    file = tmpfile();
    start(0, run);
    start(1, run);
    join(2);
    rewind(file);
    while (fgets(line, sizeof line, file))
        assert(!strcmp(line, "one line\n"));
    return 0;
}
#elif defined(SHARED_PATH)
/* Each thread checks for a lock file, then creates one. */
static char name[64];
static void *run(void *a) {
    if (access(name, F_OK)) {
        FILE *file = fopen(name, "w");
        int others = x++;
        assert(!others);
        x--;
        fclose(file);
        remove(name);
    }
    return a;
}
int main(void) {
    snprintf(name, sizeof name, "/tmp/test-explore-%d.lock", (int)getpid());
    remove(name);
    start(0, run);
    start(1, run);
    join(2);
    return 0;
}
#elif defined(LIBRARY_BLOCKS)
static char *text_of(const char *format, ...) {
    char *text;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    assert(n > 0);
    va_end(args);
    return text;
}
int main(void) {
    char *path = realpath("/", NULL), *folder = getcwd(NULL, 0), *text = text_of("%d", 5),
         *line = NULL;
    size_t n, room = 0;
    FILE *file = open_memstream(&text, &n);
    fprintf(file, "one\n");
    fclose(file);
    file = fmemopen(text, n, "r");
    assert(getline(&line, &room, file) == 4 && !strcmp(line, "one\n"));
    fclose(file);
    text = realloc(text, 1000);
    assert(!strcmp(path, "/") && folder && text[999 % 4] == '\n');
    free(path);
    free(folder);
    free(text);
    free(line);
    return 0;
}
#elif defined(LARGE_LOCALS)
static void *run(void *a) {
    char room[1 << 20];
    memset(room, 1, sizeof room);
    x += room[12345];
    return a;
}
int main(void) {
    char room[1 << 20];
    memset(room, 0, sizeof room);
    start(0, run);
    start(1, run);
    join(2);
    return x - 2 + room[12345];
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
#elif defined(REQUEUE_NEGATIVE)
int main(void) {
    assert(syscall(SYS_futex, &x, FUTEX_CMP_REQUEUE, -1, (void *)1, &y, 0) == -1);
    assert(errno == EINVAL);
    assert(syscall(SYS_futex, &x, FUTEX_CMP_REQUEUE, 1, (void *)-1, &y, 0) == -1);
    assert(errno == EINVAL);
    return 0;
}
#elif defined(WAKE) /* the number of threads to wake; Linux wakes one for a number below one */
#define SLEEPERS (WAKE == 0 ? 1 : 2)
static void *run(void *a) {
    while (x == 0)
        syscall(SYS_futex, &x, FUTEX_WAIT, 0, NULL, NULL, 0);
    return a;
}
int main(void) {
    for (int i = 0; i < SLEEPERS; i++)
        start(i, run);
    x = 1;
    syscall(SYS_futex, &x, FUTEX_WAKE, WAKE, NULL, NULL, 0);
    join(SLEEPERS);
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
/* A weak compare-exchange may fail although no other thread writes; a strong one may not. */
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
