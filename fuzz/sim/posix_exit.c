/* posix_exit.c: how a program under the engine begins and ends, what it prints, and the calls that
 * are refused because a simulated run cannot answer them. */
#include "posix.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Ends ------------------------------------------------------------------------------------ */

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
int sim___cxa_atexit(void (*call)(void *), void *arg, void *module);

/* Functions to call at exit, last first. */
struct ending {
    void (*call)(void *);
    void *arg;
    struct ending *before;
};
static struct {
    uint32_t run;
    struct ending *last;
} endings;

/* Constructors and destructors of the program, by the linker's names for its sections. */
typedef void start_function(int, char **, char **);
extern start_function *const __start_sim_init[] __attribute__((weak)), *const __stop_sim_init[]
    __attribute__((weak));
extern void (*const __start_sim_fini[])(void) __attribute__((weak)),
    (*const __stop_sim_fini[])(void)__attribute__((weak));

int sim___cxa_atexit(void (*call)(void *), void *arg, void *module) {
    (void)module;
    if (endings.run != S.generation) {
        endings.run = S.generation;
        endings.last = NULL;
    }
    struct ending *e = arena_alloc(sizeof *e);
    *e = (struct ending){call, arg, endings.last};
    endings.last = e;
    return 0;
}

int sim_atexit(void (*call)(void)) {
    if (!S.active) {
        return atexit(call);
    }
    return sim___cxa_atexit((void (*)(void *))(uintptr_t)call, NULL, NULL);
}

static void run_at_exit(void) {
    while (endings.run == S.generation && endings.last) {
        struct ending *e = endings.last;
        endings.last = e->before;
        e->call(e->arg);
    }
    for (size_t i = (size_t)(__stop_sim_fini - __start_sim_fini); i; i--) {
        __start_sim_fini[i - 1]();
    }
}

/* A real process would now kill the remaining threads. That is never intended for a thread that
 * could have been joined. */
static void check_threads(const char *how, uintptr_t pc) {
    for (unsigned i = 0; i < S.threads_n && S.o.unjoined_is_leak; i++) {
        const struct thread *u = &S.threads[i];
        if (i && u != S.now && !u->joined && !u->detached) {
            leaked("leaked-thread", "%s while T%u %s and nobody joined it\n  @%lx", how, i,
                   u->state == T_DONE ? "has ended" : "still runs", (unsigned long)pc);
            return;
        }
    }
}

/* Ends the process. It may end at once, or only when no other thread can continue, so that what the
 * others could still do is seen. A search always waits, which covers both. */
static _Noreturn void end_of_process(int status, const char *how, uintptr_t pc) {
    if (status) {
        found("nonzero-exit", "T%u: %s with status %d\n  @%lx", S.now->id, how, status,
              (unsigned long)pc);
    }
    bool others = false;
    for (unsigned i = 0; i < S.threads_n; i++) {
        others |= &S.threads[i] != S.now && S.threads[i].state != T_DONE;
    }
    check_threads(how, pc);
    if (others && (S.exploring || choose(2))) {
        go_last(S.now);
    }
    stop_run();
}

/* Outside a run (constructors, code around sim_run), the real function is called. */
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
    char stack[500];
    describe_stack(stack, sizeof stack, CALLER, S.now->frame);
    found("abort", "T%u calls abort()%s", S.now->id, stack);
}

void sim___assert_fail(const char *expression, const char *file, unsigned line,
                       const char *function) {
    if (!S.active) {
        __assert_fail(expression, file, line, function);
    }
    char stack[500];
    describe_stack(stack, sizeof stack, CALLER, S.now->frame);
    found("assertion", "T%u: %s:%u: %s: %s%s", S.now->id, file, line, function, expression, stack);
}

void sim___assert_perror_fail(int error, const char *file, unsigned line, const char *function) {
    sim___assert_fail(strerror(error), file, line, function);
}

void sim___stack_chk_fail(void) {
    found("stack-smashed", "T%u wrote past a local array\n  @%lx", S.now->id,
          (unsigned long)CALLER);
}

/* When main returns, the process ends, even if other threads are running. */
void sim_posix_main(void *arg) {
    const struct sim_program *program = arg;
    char **arguments = arena_alloc(((size_t)program->argc + 1) * sizeof *arguments);
    memcpy(arguments, program->argv, (size_t)program->argc * sizeof *arguments);
    arguments[program->argc] = NULL;
    files_begin();
    exceptions_begin();
    optind = 0; /* resets getopt */
    for (size_t i = 0; i < (size_t)(__stop_sim_init - __start_sim_init); i++) {
        __start_sim_init[i](program->argc, arguments, environ);
    }
    int status = program->main(program->argc, arguments, environ);
    run_at_exit();
    end_of_process(status, "main returns", (uintptr_t)program->main + 1);
}

/* ---- Output: notes in a trace, otherwise dropped (there may be millions of runs) ------------- */

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

static bool ours(FILE *file) {
    return S.active && (file == stdout || file == stderr);
}

/* Adds a line to the trace, at the place that prints. */
void show_output(const char *text, size_t n, uintptr_t pc) {
    uint32_t before = S.lines_n;
    while (n && text[n - 1] == '\n') {
        n--;
    }
    if (n && S.tracing) {
        say("prints: %.*s", n < 160 ? (int)n : 160, text);
    }
    for (uint32_t i = before; i < S.lines_n; i++) {
        S.lines[i].pc = place_of_program(pc);
    }
}

/* A loop that only prints makes no step: reports it. */
static void prints(uintptr_t pc) {
    if (S.watch) {
        char stack[500];
        describe_stack(stack, sizeof stack, pc, S.now->frame);
        found("endless-loop", "T%u prints again and again, and does nothing else%s", S.now->id,
              stack);
    }
}

static int show_format(const char *format, va_list args, uintptr_t pc) {
    char text[200];
    int n = vsnprintf(text, sizeof text, format, args);
    if (S.tracing && n > 0) {
        show_output(text, strlen(text), pc);
    }
    return n;
}

static int print_to(FILE *file, const char *format, va_list args, const char *name, uintptr_t pc) {
    if (ours(file)) {
        return show_format(format, args, pc);
    }
    file_step(name, file, pc);
    return vfprintf(file, format, args);
}

int sim_vfprintf(FILE *file, const char *format, va_list args) {
    return print_to(file, format, args, "vfprintf", CALLER);
}

int sim_vprintf(const char *format, va_list args) {
    return print_to(stdout, format, args, "vprintf", CALLER);
}

int sim_fprintf(FILE *file, const char *format, ...) {
    prints(CALLER);
    va_list args;
    va_start(args, format);
    int n = print_to(file, format, args, "fprintf", CALLER);
    va_end(args);
    return n;
}

int sim_printf(const char *format, ...) {
    prints(CALLER);
    va_list args;
    va_start(args, format);
    int n = print_to(stdout, format, args, "printf", CALLER);
    va_end(args);
    return n;
}

/* For calls that print without a format. Returns how many elements were written. */
static size_t put_to(FILE *file, const void *data, size_t size, size_t count, const char *name,
                     uintptr_t pc) {
    prints(pc);
    if (ours(file)) {
        show_output(data, size * count, pc);
        return count;
    }
    file_step(name, file, pc);
    return fwrite(data, size, count, file);
}

int sim_fputs(const char *text, FILE *file) {
    size_t n = strlen(text);
    return put_to(file, text, 1, n, "fputs", CALLER) == n ? 1 : EOF;
}

int sim_puts(const char *text) {
    put_to(stdout, text, 1, strlen(text), "puts", CALLER);
    return 1;
}

static int put_letter(int c, FILE *file, const char *name, uintptr_t pc) {
    unsigned char letter = (unsigned char)c;
    return put_to(file, &letter, 1, 1, name, pc) ? letter : EOF;
}

int sim_fputc(int c, FILE *file) {
    return put_letter(c, file, "fputc", CALLER);
}

int sim_putc(int c, FILE *file) {
    return put_letter(c, file, "putc", CALLER);
}

int sim_putchar(int c) {
    return put_letter(c, stdout, "putchar", CALLER);
}

size_t sim_fwrite(const void *data, size_t size, size_t count, FILE *file) {
    return put_to(file, data, size, count, "fwrite", CALLER);
}

int sim_fflush(FILE *file) {
    if (S.active && (!file || ours(file))) {
        return 0;
    }
    file_step("fflush", file, CALLER);
    return fflush(file);
}

void sim_perror(const char *text) {
    say("prints: %s: %s", text ? text : "", strerror(errno));
}

_Noreturn void refuse(const char *name, const char *why, uintptr_t pc) {
    if (!S.active) {
        fprintf(stderr, "sim: %s was called outside a run, by an object whose calls were renamed\n",
                name);
        exit(2);
    }
    not_simulated(pc, "T%u calls %s(): %s", S.now->id, name, why);
}

/* ---- Random numbers: the same in every run --------------------------------------------------- */

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

/* ---- Refused --------------------------------------------------------------------------------- */

#define REFUSED(name, why)              \
    _Noreturn void sim_no_##name(void); \
    void sim_no_##name(void) {          \
        refuse(#name, why, CALLER);     \
    }
#define PROCESS "a run is one process; explore the threads of one program"
#define WAITS "a simulated thread cannot wait for real input or time"
#define SIGNALS "signals are not simulated"
#define CANCEL "thread cancellation and polling of other threads are not simulated"
#define ROBUST "robust mutexes are not simulated"
#define MEMORY "it is not simulated; use mmap, munmap, mprotect or malloc"
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
REFUSED(accept, WAITS)
REFUSED(accept4, WAITS)
REFUSED(connect, WAITS)
REFUSED(recvfrom, WAITS)
REFUSED(recvmsg, WAITS)
REFUSED(pause, WAITS)
REFUSED(sem_open, PROCESS)
REFUSED(sigwait, SIGNALS)
REFUSED(sigsuspend, SIGNALS)
REFUSED(raise, SIGNALS)
REFUSED(kill, SIGNALS)
REFUSED(alarm, SIGNALS)
REFUSED(setitimer, SIGNALS)
REFUSED(timer_create, SIGNALS)
REFUSED(timerfd_create, WAITS)
REFUSED(signalfd, SIGNALS)
REFUSED(shutdown, WAITS)
REFUSED(pthread_kill, SIGNALS)
REFUSED(pthread_cancel, CANCEL)
REFUSED(pthread_timedjoin_np, CANCEL)
REFUSED(pthread_clockjoin_np, CANCEL)
REFUSED(pthread_mutexattr_setrobust, ROBUST)
REFUSED(pthread_mutex_consistent, ROBUST)
REFUSED(mremap, MEMORY)
REFUSED(getrandom, CHANCE)
REFUSED(arc4random, CHANCE)
