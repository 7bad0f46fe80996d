/* posix.h: what the files of the pthread layer share. The layer lets ordinary programs run under
 * the engine unchanged: redefine.syms renames their calls of pthread_*, threads.h, sem_*, futex,
 * time, exit and stdio to the sim_ twins declared here.
 *
 * Logical threads switch only inside engine calls, so the layer's own state needs no locking. */
#ifndef SIM_POSIX_H
#define SIM_POSIX_H

#include "internal.h"

#include <pthread.h>
#include <time.h>

#define CALLER ((uintptr_t)__builtin_return_address(0))
#define KEYS_MAX 128u

/* Declares the twin of a function, with the same type. */
#define TWIN(name) __typeof__(name) sim_##name

enum object_kind {
    OBJECT_MUTEX = 1,
    OBJECT_CONDITION,
    OBJECT_RWLOCK,
    OBJECT_BARRIER,
    OBJECT_ONCE,
    OBJECT_SEMAPHORE,
    OBJECT_SPINLOCK,
    OBJECT_PIPE,
    OBJECT_WIDE
};

/* The state of one pthread object, kept by address and forgotten between runs. */
struct object {
    uintptr_t at;
    uint32_t run; /* the run that it belongs to; an entry of another run is free */
    uint8_t kind, type;
    bool destroyed;
    bool monotonic; /* condition: the clock of its deadlines */
    int owner;      /* holder: mutex, spin lock, rwlock's writer, once's runner; -1: none */
    unsigned count; /* recursion depth, semaphore value, arrivals at a barrier, state of a once */
    unsigned limit; /* barrier: its size; rwlock: number of read locks held */
    unsigned round; /* barrier */
    thread_set waiters;              /* threads queued here */
    thread_set members;              /* barrier in a search: all threads that have used it */
    uint32_t causes[SEARCH_THREADS]; /* ... and the causes of the latest round's arrivals */
    uintptr_t mutex;                 /* condition: the mutex that its waiters passed */
    unsigned idle_calls;             /* condition: signals with no waiter */
    int idle_by;
    uint8_t held[THREADS];          /* rwlock: read locks held, by thread */
    const struct snap *released;    /* what the next holder learns */
    const struct snap *by[THREADS]; /* the same, by thread: from readers, posters, arrivals */
};

/* The layer's state of a logical thread. */
struct self {
    uint32_t run;            /* the run that it belongs to; state of another run is empty */
    uint32_t ticket;         /* the word that it sleeps on */
    uint32_t seen;           /* value of the word when the thread queued */
    uint32_t arrival;        /* order among sleepers */
    bool signalled;          /* condition: chosen by a signal */
    const struct object *at; /* what it is blocked on, for reports; or NULL */
    const char *in;          /* name of the call that it is in, or NULL */
    uintptr_t pc;            /* where the program made that call */
    uintptr_t place;         /* as pc; in a trace, the program's own call on the stack */
    uint32_t mark;           /* number of trace lines before the call */
    unsigned clock_reads;
    bool tried;   /* pthread_tryjoin_np has found it not yet ended */
    uint8_t over; /* in a search: it has ended, for pthread_tryjoin_np */
    void *(*start)(void *);
    int (*start_c11)(void *);
    void *arg, *result;
    const void *keys[KEYS_MAX];
    struct local_end *locals; /* destructors of thread-locals, last first */
    void *cleanup;            /* innermost pthread_cleanup_push() */
};

/* posix_core.c */
struct self *self_of(unsigned thread);
struct self *self(void);
void enter(const char *name, uintptr_t pc); /* a call of the program begins */
int leave(int result);                      /* ... and ends; returns result */
uintptr_t place_of_program(uintptr_t pc);
int fail(int error); /* leave() with errno set; returns -1 */
struct object *object_at(const volatile void *at, enum object_kind kind);
struct object *object_new(const volatile void *at, enum object_kind kind, size_t size);
void object_destroy(struct object *o, size_t size);
void step(const volatile void *object); /* a visible step; the steps on an object are ordered */
void release(const struct snap **where);
void acquire(const struct snap *from);
void acquire_all(const struct object *o);
bool await(struct object *o, bool (*ready)(const struct object *), uint64_t deadline);
/* As await(), for a condition that depends on more than the object. */
bool await_what(struct object *o, bool (*ready)(const void *), const void *what, uint64_t deadline);
enum sim_wait_result park(struct object *o, uint64_t deadline);
void queue(struct object *o);
void unpark(unsigned thread);
void wake_all(struct object *o);
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void misuse(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds to a finding's text where the threads of the last run stood in calls of this layer. */
void sim_posix_describe(char *text, size_t n);
/* Gives the lines of the trace the program's places instead of the layer's. */
void sim_posix_settle(void);

/* posix_time.c. Nanoseconds of virtual time; false: not a valid time. */
bool deadline_of(const struct timespec *at, bool monotonic, uint64_t *deadline_ns);
bool duration_of(const struct timespec *time, uint64_t *ns);
uint64_t now_plus(uint64_t ns);

/* posix_sync.c, also for threads.h */
int mutex_init(pthread_mutex_t *m, int type);
int mutex_lock(pthread_mutex_t *m, const char *name, uintptr_t pc);
int mutex_trylock(pthread_mutex_t *m, const char *name, uintptr_t pc);
int mutex_timedlock(pthread_mutex_t *m, const struct timespec *at, bool monotonic, const char *name,
                    uintptr_t pc);
int mutex_unlock(pthread_mutex_t *m, const char *name, uintptr_t pc);
int mutex_destroy(pthread_mutex_t *m, const char *name, uintptr_t pc);
int condition_wait(pthread_cond_t *c, pthread_mutex_t *m, const struct timespec *at, int clock,
                   const char *name, uintptr_t pc);
int condition_wake(pthread_cond_t *c, bool all, const char *name, uintptr_t pc);
int condition_init(pthread_cond_t *c, bool monotonic, const char *name, uintptr_t pc);
int condition_destroy(pthread_cond_t *c, const char *name, uintptr_t pc);
int once(pthread_once_t *o, void (*run)(void), const char *name, uintptr_t pc);
#define CLOCK_OF_CONDITION (-1)

/* posix_thread.c */
int thread_start(const char *name, uintptr_t pc, void *(*start)(void *), int (*start_c11)(void *),
                 void *arg, bool detached); /* returns its number, or -1 */
int thread_join(const char *name, uintptr_t pc, unsigned long thread, void **result);
int thread_detach(const char *name, uintptr_t pc, unsigned long thread);
_Noreturn void thread_end(void *result);
int key_create(unsigned *key, void (*destructor)(void *));

/* posix_cxx.c */
void locals_end(void);
void exceptions_begin(void); /* a run begins: no thread is in a catch block */

/* posix_os.c: what other threads did before they last called this with `at` happens before what the
 * caller does next. */
void order_after_others(const void *at);

/* posix_exit.c */
void show_output(const char *text, size_t n, uintptr_t pc); /* adds a line to the trace */
_Noreturn void refuse(const char *name, const char *why, uintptr_t pc);

/* posix_exit.c: runs a program's main on thread 0, and ends the run as the end of a process. */
struct sim_program {
    int (*main)(int, char **, char **);
    int argc;
    char **argv;
};
void sim_posix_main(void *program);
/* posix_files.c: each run starts with the same descriptors, files, standard input and
 * environment. */
void sim_posix_input(void);     /* the program reads standard input: keep it for every run */
void sim_posix_tell_ends(void); /* the program calls pthread_tryjoin_np */
void files_begin(void);
#define FDS_MAX 1024
int file_opened(int fd); /* the program opened fd in this run; returns fd */
bool file_is_open(int fd);
void file_step(const char *name, const void *file,
               uintptr_t pc); /* a call on a shared file is a step */

/* posix_pipes.c: descriptors that are ends of pipes, socket pairs or event counters */
bool is_end(int fd);
ssize_t end_read(int fd, char *to, size_t n, int flags, uintptr_t pc);
ssize_t end_write(int fd, const char *from, size_t n, int flags, uintptr_t pc);
void end_close(int fd, uintptr_t pc);
int end_copy(int like, int fd);
void sim_posix_tell_polls(void); /* the program calls poll, select or epoll_wait */

#endif
