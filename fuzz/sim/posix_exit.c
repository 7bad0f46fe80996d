/* How a program under the engine begins and ends, what it prints, and the calls that are refused
 * because a simulated run cannot answer them. */
#include "posix.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Ends ---- */

_Noreturn void sim_exit(int status);
_Noreturn void sim__exit(int status);
_Noreturn void sim__Exit(int status) __attribute__((alias("sim__exit")));
_Noreturn void sim_quick_exit(int status) __attribute__((alias("sim__exit")));
_Noreturn void sim_abort(void);
_Noreturn void sim___assert_fail(const char *expression, const char *file, unsigned line,
                                 const char *function);
_Noreturn void sim___assert_perror_fail(int error, const char *file, unsigned line,
                                        const char *function);
_Noreturn void sim___stack_chk_fail(void);
TWIN(atexit);

#define AT_EXIT_MAX 32u
static struct {
    uint32_t run;
    unsigned n;
    void (*call[AT_EXIT_MAX])(void);
} at_exit;

int sim_atexit(void (*call)(void)) {
    if (at_exit.run != S.generation) {
        at_exit.run = S.generation;
        at_exit.n = 0;
    }
    if (at_exit.n == AT_EXIT_MAX) {
        return -1;
    }
    at_exit.call[at_exit.n++] = call;
    return 0;
}

static void run_at_exit(void) {
    while (at_exit.run == S.generation && at_exit.n) {
        at_exit.call[--at_exit.n]();
    }
}

/* A real process would now kill the threads that are left; nobody can have wanted that of one
 * that could have been joined. */
static void check_threads(const char *how, uintptr_t pc) {
    for (unsigned i = 0; i < S.threads_n && S.o.unjoined_is_leak; i++) {
        const struct thread *u = &S.threads[i];
        if (i && u != S.now && !u->joined && !u->detached) {
            found("leaked-thread", "%s while T%u %s and nobody joined it\n  @%lx", how, i,
                  u->state == T_DONE ? "has ended" : "still runs", (unsigned long)pc);
        }
    }
}

/* Detached threads are cut off; a search that stops here has not seen all that they do. */
static _Noreturn void end_of_process(int status, const char *how, uintptr_t pc) {
    if (status) {
        found("nonzero-exit", "T%u: %s with status %d\n  @%lx", S.now->id, how, status,
              (unsigned long)pc);
    }
    check_threads(how, pc);
    for (unsigned i = 0; i < S.threads_n; i++) {
        if (&S.threads[i] != S.now && S.threads[i].state != T_DONE) {
            S.bounds |= S.exploring ? SIM_BOUND_STEPS : 0u;
        }
    }
    stop_run();
}

/* Outside a run (constructors, code around sim_run) the real thing happens. */
void sim_exit(int status) {
    if (!S.active) {
        exit(status);
    }
    run_at_exit();
    end_of_process(status, "the program calls exit()", CALLER);
}

void sim__exit(int status) {
    if (!S.active) {
        _exit(status);
    }
    end_of_process(status, "the program calls _exit()", CALLER);
}

void sim_abort(void) {
    if (!S.active) {
        abort();
    }
    found("abort", "T%u calls abort()\n  @%lx", S.now->id, (unsigned long)CALLER);
}

void sim___assert_fail(const char *expression, const char *file, unsigned line,
                       const char *function) {
    if (!S.active) {
        __assert_fail(expression, file, line, function);
    }
    found("assertion", "T%u: %s:%u: %s: %s\n  @%lx", S.now->id, file, line, function, expression,
          (unsigned long)CALLER);
}

void sim___assert_perror_fail(int error, const char *file, unsigned line, const char *function) {
    sim___assert_fail(strerror(error), file, line, function);
}

void sim___stack_chk_fail(void) {
    found("stack-smashed", "T%u wrote past a local array\n  @%lx", S.now->id,
          (unsigned long)CALLER);
}

/* All other threads ended and joined: the run ends as any other. Else main's return is the end. */
void sim_posix_main(void *arg) {
    const struct sim_program *program = arg;
    char *arguments[16] = {0};
    for (int i = 0; i < program->argc && i < 15; i++) {
        arguments[i] = program->argv[i];
    }
    optind = 0; /* getopt begins anew */
    int status = program->main(program->argc, arguments, &arguments[15]);
    run_at_exit();
    bool others = false;
    for (unsigned i = 1; i < S.threads_n; i++) {
        others |= S.threads[i].state != T_DONE;
    }
    if (status || others) {
        end_of_process(status, "main returns", (uintptr_t)program->main);
    }
    check_threads("main returns", (uintptr_t)program->main);
}

/* ---- Output: shown as notes in a trace, else dropped (there may be millions of runs) ---- */

TWIN(printf);
TWIN(vprintf);
TWIN(fprintf);
TWIN(vfprintf);
TWIN(puts);
TWIN(putchar);
TWIN(fputs);
TWIN(fputc);
TWIN(putc);
TWIN(fwrite);
TWIN(fflush);
TWIN(perror);
TWIN(write);
TWIN(read);

static bool ours(FILE *file) {
    return S.active && (file == stdout || file == stderr);
}

/* A line of the trace. */
static void show(const char *text, size_t n) {
    while (n && text[n - 1] == '\n') {
        n--;
    }
    if (n) {
        say("prints: %.*s", n < 160 ? (int)n : 160, text);
    }
}

static int show_format(const char *format, va_list args) {
    char text[200];
    int n = vsnprintf(text, sizeof text, format, args);
    if (S.tracing && n > 0) {
        show(text, strlen(text));
    }
    return n;
}

int sim_vfprintf(FILE *file, const char *format, va_list args) {
    return ours(file) ? show_format(format, args) : vfprintf(file, format, args);
}

int sim_vprintf(const char *format, va_list args) {
    return sim_vfprintf(stdout, format, args);
}

int sim_fprintf(FILE *file, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = sim_vfprintf(file, format, args);
    va_end(args);
    return n;
}

int sim_printf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = sim_vfprintf(stdout, format, args);
    va_end(args);
    return n;
}

int sim_fputs(const char *text, FILE *file) {
    if (!ours(file)) {
        return fputs(text, file);
    }
    show(text, strlen(text));
    return 1;
}

int sim_puts(const char *text) {
    return sim_fputs(text, stdout);
}

int sim_fputc(int c, FILE *file) {
    char text = (char)c;
    if (!ours(file)) {
        return fputc(c, file);
    }
    show(&text, 1);
    return c;
}

int sim_putc(int c, FILE *file) {
    return sim_fputc(c, file);
}

int sim_putchar(int c) {
    return sim_fputc(c, stdout);
}

size_t sim_fwrite(const void *data, size_t size, size_t count, FILE *file) {
    if (!ours(file)) {
        return fwrite(data, size, count, file);
    }
    show(data, size * count);
    return count;
}

int sim_fflush(FILE *file) {
    return S.active && (!file || ours(file)) ? 0 : fflush(file);
}

void sim_perror(const char *text) {
    say("prints: %s: %s", text ? text : "", strerror(errno));
}

ssize_t sim_write(int fd, const void *data, size_t n) {
    if (!S.active || (fd != 1 && fd != 2)) {
        return write(fd, data, n);
    }
    show(data, n);
    return (ssize_t)n;
}

static _Noreturn void refuse(const char *name, const char *why, uintptr_t pc) {
    if (!S.active) {
        fprintf(stderr, "sim: %s was called outside a run, by an object whose calls were renamed\n",
                name);
        exit(2);
    }
    found("unsupported-call", "T%u calls %s(): %s\n  @%lx", S.now->id, name, why,
          (unsigned long)pc);
}

/* Regular files do not block. */
ssize_t sim_read(int fd, void *data, size_t n) {
    struct stat s;
    if (S.active && (fstat(fd, &s) || !S_ISREG(s.st_mode))) {
        refuse("read", "a simulated thread cannot wait for real input", CALLER);
    }
    if (S.active && n) {
        access_plain((uintptr_t)data, n, true, CALLER);
    }
    return read(fd, data, n);
}

/* ---- Random numbers: the same in every run ---- */

TWIN(rand);
TWIN(srand);
TWIN(random);
TWIN(srandom);

static struct { uint32_t run, state; } numbers;

void sim_srand(unsigned seed) {
    numbers.run = S.generation;
    numbers.state = seed;
}

int sim_rand(void) {
    if (numbers.run != S.generation) {
        sim_srand(1);
    }
    numbers.state = numbers.state * 1103515245u + 12345u;
    return (int)(numbers.state >> 1 & 0x7fffffff);
}

void sim_srandom(unsigned seed) {
    sim_srand(seed);
}

long sim_random(void) {
    return sim_rand();
}

/* ---- Refused ---- */

#define REFUSED(name, why)              \
    _Noreturn void sim_no_##name(void); \
    void sim_no_##name(void) {          \
        refuse(#name, why, CALLER);     \
    }
#define PROCESS "a run is one process; explore the threads of one program"
#define WAITS "a simulated thread cannot wait for real input or time"
#define SIGNALS "signals are not simulated"
#define CANCEL "thread cancellation and polling of other threads are not simulated"
#define MEMORY "memory maps are not put back between runs; use malloc"
#define CHANCE "it would differ from run to run; use rand() or a constant"
REFUSED(fork, PROCESS)
REFUSED(vfork, PROCESS)
REFUSED(execve, PROCESS)
REFUSED(execv, PROCESS)
REFUSED(execvp, PROCESS)
REFUSED(execl, PROCESS)
REFUSED(execlp, PROCESS)
REFUSED(execle, PROCESS)
REFUSED(posix_spawn, PROCESS)
REFUSED(posix_spawnp, PROCESS)
REFUSED(system, PROCESS)
REFUSED(popen, PROCESS)
REFUSED(wait, PROCESS)
REFUSED(waitpid, PROCESS)
REFUSED(select, WAITS)
REFUSED(pselect, WAITS)
REFUSED(poll, WAITS)
REFUSED(ppoll, WAITS)
REFUSED(epoll_wait, WAITS)
REFUSED(accept, WAITS)
REFUSED(accept4, WAITS)
REFUSED(connect, WAITS)
REFUSED(recv, WAITS)
REFUSED(recvfrom, WAITS)
REFUSED(recvmsg, WAITS)
REFUSED(scanf, WAITS)
REFUSED(__isoc99_scanf, WAITS)
REFUSED(__isoc23_scanf, WAITS)
REFUSED(getchar, WAITS)
REFUSED(pause, WAITS)
REFUSED(sem_open, PROCESS)
REFUSED(signal, SIGNALS)
REFUSED(sigaction, SIGNALS)
REFUSED(sigwait, SIGNALS)
REFUSED(sigsuspend, SIGNALS)
REFUSED(raise, SIGNALS)
REFUSED(kill, SIGNALS)
REFUSED(alarm, SIGNALS)
REFUSED(setitimer, SIGNALS)
REFUSED(timer_create, SIGNALS)
REFUSED(pthread_kill, SIGNALS)
REFUSED(pthread_cancel, CANCEL)
REFUSED(pthread_tryjoin_np, CANCEL)
REFUSED(pthread_timedjoin_np, CANCEL)
REFUSED(mmap, MEMORY)
REFUSED(mmap64, MEMORY)
REFUSED(getline, "it allocates outside the simulated heap; use fgets")
REFUSED(getdelim, "it allocates outside the simulated heap; use fgets")
REFUSED(getrandom, CHANCE)
REFUSED(arc4random, CHANCE)
