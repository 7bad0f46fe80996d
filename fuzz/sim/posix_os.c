/* posix_os.c: operating system calls for programs under the engine: anonymous memory maps, signal
 * handlers, and the functions that verifiers and race checkers define. */
#include "posix.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

/* ---- Anonymous memory ------------------------------------------------------------------------ */

TWIN(mmap);
TWIN(munmap);
TWIN(mprotect);
TWIN(madvise);

static size_t whole_pages(size_t n) {
    size_t page = S.o.page_size;
    return n > SIZE_MAX - page ? SIZE_MAX / page * page : (n + page - 1) / page * page;
}

static enum sim_access access_of(int protection) {
    return protection & PROT_WRITE ? SIM_READ_WRITE : protection & PROT_READ ? SIM_READ : SIM_NONE;
}

static void *map_failed(int error) {
    fail(error);
    return MAP_FAILED;
}

void *sim_mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset) {
    (void)fd;
    (void)offset;
    if (!S.active) {
        return mmap(at, n, protection, flags, fd, offset);
    }
    if (!(flags & MAP_ANONYMOUS) || flags & MAP_FIXED) {
        refuse("mmap",
               "anonymous memory at any address is simulated; files and fixed addresses "
               "are not",
               CALLER);
    }
    enter("mmap", CALLER);
    size_t size = whole_pages(n);
    if (!n || size > (size_t)1 << 46 || sim_fault()) {
        return map_failed(n ? ENOMEM : EINVAL);
    }
    void *p = sim_pages_reserve(size);
    if (!p) {
        stop_bound(SIM_BOUND_MEMORY); /* a limit of the engine, not of the program */
    }
    if (protection != PROT_NONE) {
        sim_pages_protect(p, size, access_of(protection));
    }
    say("mmap: %zu bytes at %p", size, p);
    leave(0);
    return p;
}

TWIN(mmap64) __attribute__((alias("sim_mmap")));

int sim_munmap(void *at, size_t n) {
    if (!S.active) {
        return munmap(at, n);
    }
    enter("munmap", CALLER);
    return sim_pages_release(at, whole_pages(n)) ? leave(0) : fail(EINVAL);
}

int sim_mprotect(void *at, size_t n, int protection) {
    if (!S.active) {
        return mprotect(at, n, protection);
    }
    enter("mprotect", CALLER);
    return sim_pages_protect(at, whole_pages(n), access_of(protection)) ? leave(0) : fail(ENOMEM);
}

int sim_madvise(void *at, size_t n, int advice) {
    if (!S.active) {
        return madvise(at, n, advice);
    }
    enter("madvise", CALLER);
    if (advice == MADV_DONTNEED) {
        return sim_pages_discard(at, whole_pages(n)) ? leave(0) : fail(ENOMEM);
    }
    return leave(0);
}

/* ---- Signals: none arrives from outside, and sending them is refused ------------------------- */

TWIN(sigaction);
TWIN(signal);
TWIN(pthread_sigmask);
TWIN(sigprocmask);

static bool faults(int number) {
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
           number == SIGABRT || number == SIGTRAP;
}

static void no_fault_handler(const char *name, int number, void (*handler)(int), uintptr_t pc) {
    if (S.active && faults(number) && handler != SIG_DFL && handler != SIG_IGN) {
        refuse(name, "handlers of faults are not simulated", pc);
    }
}

int sim_sigaction(int number, const struct sigaction *action, struct sigaction *old) {
    if (action) {
        no_fault_handler("sigaction", number, action->sa_handler, CALLER);
    }
    if (old) {
        memset(old, 0, sizeof *old);
    }
    return 0;
}

void (*sim_signal(int number, void (*handler)(int)))(int) {
    no_fault_handler("signal", number, handler, CALLER);
    return SIG_DFL;
}

int sim_pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
    (void)how;
    (void)set;
    if (old) {
        memset(old, 0, sizeof *old);
    }
    return 0;
}

int sim_sigprocmask(int how, const sigset_t *set, sigset_t *old) {
    return sim_pthread_sigmask(how, set, old);
}

/* ---- Names of the software verification competitions ----------------------------------------- */

void sim_verifier_assume(int condition);
_Noreturn void sim_verifier_error(void);
void sim_verifier_atomic_begin(void);
void sim_verifier_atomic_end(void);

void sim_verifier_assume(int condition) {
    sim_assume(condition != 0);
}

void sim_verifier_error(void) {
    found("assertion", "T%u reaches the error\n  @%lx", S.now->id, (unsigned long)CALLER);
}

_Noreturn void sim_reach_error(void) __attribute__((alias("sim_verifier_error")));

/* Atomic sections exclude each other. */
static uint32_t section;

void sim_verifier_atomic_begin(void) {
    enter("__VERIFIER_atomic_begin", CALLER);
    sim_lock(&section);
    leave(0);
}

void sim_verifier_atomic_end(void) {
    enter("__VERIFIER_atomic_end", CALLER);
    sim_unlock(&section);
    leave(0);
}

/* Returns a sample: small values, and the ends of the type's range (see EXPLORE.md). */
static uint64_t any_of(unsigned bits, bool is_signed) {
    static const uint64_t small[] = {0, 1, 2, 3, 4, 5, 7, 8, 10, 16, 100};
    unsigned n = sizeof small / sizeof small[0], c = choose(n + 3);
    uint64_t ones = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
    uint64_t ends[] = {ones, ones >> 1, (ones >> 1) + 1};
    (void)is_signed;
    return c < n ? small[c] & ones : ends[c - n];
}

#define NONDET(name, type)                                                \
    type sim_nondet_##name(void);                                         \
    type sim_nondet_##name(void) {                                        \
        return (type)any_of(sizeof(type) * CHAR_BIT, (type)-1 < (type)1); \
    }
NONDET(char, char)
NONDET(uchar, unsigned char)
NONDET(short, short)
NONDET(ushort, unsigned short)
NONDET(int, int)
NONDET(uint, unsigned)
NONDET(unsigned, unsigned)
NONDET(long, long)
NONDET(ulong, unsigned long)
bool sim_nondet_bool(void);
bool sim_nondet_bool(void) {
    return choose(2);
}

/* ---- Annotations for ThreadSanitizer --------------------------------------------------------- */

void __tsan_acquire(void *at);
void __tsan_release(void *at);
void sim_happens_before(const char *file, int line, const volatile void *at);
void sim_happens_after(const char *file, int line, const volatile void *at);
void sim_benign_race(const char *file, int line, const volatile void *at, const char *why);
void sim_benign_race_sized(const char *file, int line, const volatile void *at, size_t n,
                           const char *why);

enum { EDGES_MAX = 1024 };
static struct {
    uint32_t run;
    uintptr_t at;
    const struct snap *by[THREADS];
} edges[EDGES_MAX];

static const struct snap **edge_of(uintptr_t at) {
    uint32_t i = (uint32_t)(at >> 3) * 2654435761u % EDGES_MAX;
    for (uint32_t tries = 0; tries < EDGES_MAX; tries++, i = (i + 1) % EDGES_MAX) {
        if (edges[i].run != S.generation) {
            memset(&edges[i], 0, sizeof edges[i]);
            edges[i].run = S.generation;
            edges[i].at = at;
        }
        if (edges[i].at == at) {
            return edges[i].by;
        }
    }
    stop_bound(SIM_BOUND_MEMORY);
}

void __tsan_release(void *at) {
    if (S.active) {
        release(&edge_of((uintptr_t)at)[S.now->id]);
    }
}

void __tsan_acquire(void *at) {
    if (S.active) {
        const struct snap **by = edge_of((uintptr_t)at);
        for (unsigned i = 0; i < S.threads_n; i++) {
            acquire(by[i]);
        }
    }
}

void order_after_others(const void *at) {
    __tsan_release((void *)(uintptr_t)at);
    __tsan_acquire((void *)(uintptr_t)at);
}

void sim_happens_before(const char *file, int line, const volatile void *at) {
    (void)file;
    (void)line;
    __tsan_release((void *)(uintptr_t)at);
}

void sim_happens_after(const char *file, int line, const volatile void *at) {
    (void)file;
    (void)line;
    __tsan_acquire((void *)(uintptr_t)at);
}

void sim_benign_race_sized(const char *file, int line, const volatile void *at, size_t n,
                           const char *why) {
    (void)file;
    (void)line;
    (void)why;
    races_allowed((uintptr_t)at, n);
}

void sim_benign_race(const char *file, int line, const volatile void *at, const char *why) {
    sim_benign_race_sized(file, line, at, 8, why);
}

/* Annotations that the engine does not need, because it sees the accesses themselves. */
#define IGNORED(name)      \
    void sim_##name(void); \
    void sim_##name(void) {}
IGNORED(AnnotateIgnoreReadsBegin)
IGNORED(AnnotateIgnoreReadsEnd)
IGNORED(AnnotateIgnoreWritesBegin)
IGNORED(AnnotateIgnoreWritesEnd)
IGNORED(AnnotateIgnoreSyncBegin)
IGNORED(AnnotateIgnoreSyncEnd)
IGNORED(AnnotateRWLockCreate)
IGNORED(AnnotateRWLockDestroy)
IGNORED(AnnotateRWLockAcquired)
IGNORED(AnnotateRWLockReleased)
IGNORED(AnnotateRWLockCreateStatic)
IGNORED(AnnotateNewMemory)
IGNORED(AnnotateThreadName)
IGNORED(AnnotateFlushState)
IGNORED(AnnotateExpectRace)
IGNORED(AnnotateCondVarSignal)
IGNORED(AnnotateMutexIsNotPHB)
IGNORED(AnnotateMutexIsUsedAsCondVar)
IGNORED(__tsan_mutex_create)
IGNORED(__tsan_mutex_destroy)
IGNORED(__tsan_mutex_pre_lock)
IGNORED(__tsan_mutex_post_lock)
IGNORED(__tsan_mutex_pre_unlock)
IGNORED(__tsan_mutex_post_unlock)
IGNORED(__tsan_mutex_pre_signal)
IGNORED(__tsan_mutex_post_signal)
IGNORED(__tsan_mutex_pre_divert)
IGNORED(__tsan_mutex_post_divert)
