/* Descriptors, files and the environment of a program under the engine: as new in every run. What a
 * run opens and leaves open is closed before the next one, as exit does. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Standard input: kept as a file, read from its start in each run ---- */

static bool keeps_input;

static void keep_all(int from, int to) {
    char part[65536];
    ssize_t n;
    while ((n = read(from, part, sizeof part)) > 0) {
        if (write(to, part, (size_t)n) != n) {
            perror("explore: standard input cannot be kept");
            exit(2);
        }
    }
}

void sim_posix_input(void) {
    struct stat s;
    keeps_input = true;
    if (!fstat(0, &s) && S_ISREG(s.st_mode)) {
        return;
    }
    if (isatty(0)) {
        fprintf(stderr, "explore: the program reads standard input: type it, end with Ctrl-D\n");
    }
    int copy = memfd_create("input", MFD_CLOEXEC);
    if (copy < 0) {
        perror("explore: standard input cannot be kept");
        exit(2);
    }
    keep_all(0, copy);
    dup2(copy, 0);
    close(copy);
}

/* ---- Descriptors ---- */

enum { FDS_MAX = 1024, FILES_MAX = 256 };
static bool opened[FDS_MAX];
static int opened_below; /* all opened ones are */
static FILE *files[FILES_MAX];
static unsigned files_n;
static char **first_environment;

/* A descriptor that the program opened in this run. */
static int mark(int fd) {
    if (S.active && fd >= 0 && fd < FDS_MAX) {
        opened[fd] = true;
        opened_below = fd >= opened_below ? fd + 1 : opened_below;
    }
    return fd;
}

static FILE *mark_file(FILE *file) {
    if (S.active && file && files_n < FILES_MAX) {
        files[files_n++] = file;
    }
    return file;
}

void files_begin(void) {
    while (files_n) {
        int fd = fileno(files[--files_n]);
        fclose(files[files_n]);
        if (fd >= 0 && fd < FDS_MAX) {
            opened[fd] = false;
        }
    }
    for (; opened_below; opened_below--) {
        if (opened[opened_below - 1]) {
            close(opened_below - 1);
            opened[opened_below - 1] = false;
        }
    }
    if (!first_environment) {
        first_environment = environ;
    }
    environ = first_environment;
    if (keeps_input) {
        rewind(stdin);
        lseek(0, 0, SEEK_SET);
    }
}

/* ---- Pipes between threads ---- */

enum { PIPE_CAPACITY = 65536 };
struct sim_pipe {
    uint32_t word; /* its object's address */
    unsigned readers, writers;
    size_t first, n; /* bytes in data, as a ring */
    char data[PIPE_CAPACITY];
};
static struct {
    uint32_t run;
    struct sim_pipe *pipe;
    bool writes, nonblocking;
} ends[FDS_MAX]; /* by descriptor */

TWIN(pipe);
TWIN(pipe2);

static bool is_pipe(int fd) {
    return S.active && fd >= 0 && fd < FDS_MAX && opened[fd] && ends[fd].run == S.generation &&
           ends[fd].pipe;
}

static struct object *object_of(struct sim_pipe *p) {
    return object_at(&p->word, OBJECT_PIPE);
}

/* The number is a real one, so that it is nobody else's. */
static int end_new(struct sim_pipe *p, bool writes, int flags) {
    int fd = mark(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (fd < 0 || fd >= FDS_MAX) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    ends[fd].run = S.generation;
    ends[fd].pipe = p;
    ends[fd].writes = writes;
    ends[fd].nonblocking = flags & O_NONBLOCK;
    return fd;
}

int sim_pipe2(int fds[2], int flags) {
    enter("pipe", CALLER);
    struct sim_pipe *p = arena_alloc(sizeof *p);
    p->word = 0;
    p->readers = p->writers = 1;
    p->first = p->n = 0;
    object_new(&p->word, OBJECT_PIPE, sizeof p->word);
    fds[0] = end_new(p, false, flags);
    fds[1] = end_new(p, true, flags);
    access_plain((uintptr_t)fds, 2 * sizeof *fds, true, CALLER);
    return leave(0);
}

int sim_pipe(int fds[2]) {
    return sim_pipe2(fds, 0);
}

static struct sim_pipe *pipe_of(const struct object *o) {
    return (struct sim_pipe *)o->at;
}

static bool pipe_readable(const struct object *o) {
    return pipe_of(o)->n || !pipe_of(o)->writers;
}

static bool pipe_writable(const struct object *o) {
    return pipe_of(o)->n < PIPE_CAPACITY || !pipe_of(o)->readers;
}

/* Steps on the pipe until ready; false: it would block. */
static bool pipe_await(int fd, struct object *o, bool (*ready)(const struct object *)) {
    if (ends[fd].nonblocking) {
        step((const void *)o->at);
        return ready(o);
    }
    return await(o, ready, SIM_NEVER);
}

static ssize_t pipe_read(int fd, char *to, size_t n, uintptr_t pc) {
    enter("read", pc);
    struct sim_pipe *p = ends[fd].pipe;
    struct object *o = object_of(p);
    if (ends[fd].writes) {
        return fail(EBADF);
    }
    if (!pipe_await(fd, o, pipe_readable)) {
        return fail(EAGAIN);
    }
    n = n < p->n ? n : p->n;
    access_plain((uintptr_t)to, n, true, pc);
    for (size_t i = 0; i < n; i++) {
        to[i] = p->data[(p->first + i) % PIPE_CAPACITY];
    }
    p->first = (p->first + n) % PIPE_CAPACITY;
    p->n -= n;
    acquire_all(o);
    say("reads %zu bytes from a pipe", n);
    wake_all(o);
    leave(0);
    return (ssize_t)n;
}

static ssize_t pipe_write(int fd, const char *from, size_t n, uintptr_t pc) {
    enter("write", pc);
    struct sim_pipe *p = ends[fd].pipe;
    struct object *o = object_of(p);
    if (!ends[fd].writes) {
        return fail(EBADF);
    }
    access_plain((uintptr_t)from, n, false, pc);
    size_t done = 0;
    while (done < n) {
        if (!pipe_await(fd, o, pipe_writable)) {
            break;
        }
        if (!p->readers) {
            return fail(EPIPE);
        }
        for (; done < n && p->n < PIPE_CAPACITY; p->n++) {
            p->data[(p->first + p->n) % PIPE_CAPACITY] = from[done++];
        }
        release(&o->by[S.now->id]);
        wake_all(o);
    }
    if (!done && n) {
        return fail(EAGAIN);
    }
    say("writes %zu bytes to a pipe", done);
    leave(0);
    return (ssize_t)done;
}

static bool pipe_close(int fd) {
    if (!is_pipe(fd)) {
        return false;
    }
    struct sim_pipe *p = ends[fd].pipe;
    enter("close", CALLER);
    struct object *o = object_of(p);
    step((const void *)o->at);
    *(ends[fd].writes ? &p->writers : &p->readers) -= 1;
    release(&o->by[S.now->id]);
    wake_all(o);
    ends[fd].pipe = NULL;
    opened[fd] = false;
    close(fd);
    leave(0);
    return true;
}

/* ---- Reading and writing ---- */

TWIN(write);
TWIN(read);

ssize_t sim_write(int fd, const void *data, size_t n) {
    if (is_pipe(fd)) {
        return pipe_write(fd, data, n, CALLER);
    }
    if (!S.active || (fd != 1 && fd != 2)) {
        return write(fd, data, n);
    }
    show_output(data, n);
    return (ssize_t)n;
}

/* Regular files do not block. */
ssize_t sim_read(int fd, void *data, size_t n) {
    struct stat s;
    if (is_pipe(fd)) {
        return pipe_read(fd, data, n, CALLER);
    }
    if (S.active && (fstat(fd, &s) || !(S_ISREG(s.st_mode) || S_ISCHR(s.st_mode)))) {
        refuse("read", "a simulated thread cannot wait for real input", CALLER);
    }
    if (S.active && n) {
        access_plain((uintptr_t)data, n, true, CALLER);
    }
    return read(fd, data, n);
}

/* ---- Opening and closing ---- */

TWIN(open);
TWIN(openat);
TWIN(creat);
TWIN(dup);
TWIN(dup2);
TWIN(close);
TWIN(memfd_create);
TWIN(fopen);
TWIN(fdopen);
TWIN(tmpfile);
TWIN(fclose);

static mode_t mode_of(int flags, va_list args) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int sim_open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return mark(open(path, flags, mode));
}

int sim_openat(int folder, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    return mark(openat(folder, path, flags, mode));
}

int sim_creat(const char *path, mode_t mode) {
    return mark(creat(path, mode));
}

int sim_dup(int fd) {
    return mark(dup(fd));
}

/* The standard descriptors stay what they are: output is shown as notes. */
int sim_dup2(int fd, int to) {
    bool ours = S.active && to >= 0 &&
                (to <= 2 || (to < FDS_MAX && !opened[to] && fcntl(to, F_GETFD) >= 0));
    return ours ? to : mark(dup2(fd, to));
}

int sim_memfd_create(const char *name, unsigned flags) {
    return mark(memfd_create(name, flags));
}

int sim_close(int fd) {
    if (!S.active) {
        return close(fd);
    }
    if (pipe_close(fd)) {
        return 0;
    }
    if (fd >= 0 && fd <= 2) {
        return 0;
    }
    if (fd < 0 || fd >= FDS_MAX || !opened[fd]) {
        errno = EBADF; /* it is not the program's */
        return -1;
    }
    opened[fd] = false;
    return close(fd);
}

FILE *sim_fopen(const char *path, const char *mode) {
    return mark_file(fopen(path, mode));
}

FILE *sim_fdopen(int fd, const char *mode) {
    return mark_file(fdopen(fd, mode));
}

FILE *sim_tmpfile(void) {
    return mark_file(tmpfile());
}

int sim_fclose(FILE *file) {
    if (S.active && (file == stdout || file == stderr || file == stdin)) {
        return 0;
    }
    for (unsigned i = 0; i < files_n; i++) {
        if (files[i] == file) {
            files[i] = files[--files_n];
            break;
        }
    }
    int fd = fileno(file);
    if (fd >= 0 && fd < FDS_MAX) {
        opened[fd] = false;
    }
    return fclose(file);
}

/* Offsets are of 64 bits by either name. */
TWIN(open64) __attribute__((alias("sim_open")));
TWIN(openat64) __attribute__((alias("sim_openat")));
TWIN(creat64) __attribute__((alias("sim_creat")));
TWIN(fopen64) __attribute__((alias("sim_fopen")));
TWIN(tmpfile64) __attribute__((alias("sim_tmpfile")));

/* ---- Environment: changes live in the run's arena ---- */

TWIN(setenv);
TWIN(putenv);
TWIN(unsetenv);
TWIN(clearenv);

static size_t environment_size(void) {
    size_t n = 0;
    while (environ && environ[n]) {
        n++;
    }
    return n;
}

static bool is_name(const char *entry, const char *name, size_t n) {
    return !strncmp(entry, name, n) && entry[n] == '=';
}

/* A new list without name, with entry where it is not NULL. */
static void environment_change(const char *name, size_t n, char *entry) {
    size_t old = environment_size(), k = 0;
    char **list = arena_alloc((old + 2) * sizeof *list);
    for (size_t i = 0; i < old; i++) {
        if (!is_name(environ[i], name, n)) {
            list[k++] = environ[i];
        }
    }
    if (entry) {
        list[k++] = entry;
    }
    list[k] = NULL;
    environ = list;
}

int sim_putenv(char *entry) {
    const char *end = strchr(entry, '=');
    environment_change(entry, end ? (size_t)(end - entry) : strlen(entry), end ? entry : NULL);
    return 0;
}

int sim_setenv(const char *name, const char *value, int overwrite) {
    size_t n = strlen(name), m = strlen(value);
    if (!n || strchr(name, '=')) {
        errno = EINVAL;
        return -1;
    }
    if (!overwrite && getenv(name)) {
        return 0;
    }
    char *entry = arena_alloc(n + m + 2);
    char *at = stpcpy(entry, name);
    *at = '=';
    memcpy(at + 1, value, m + 1);
    environment_change(name, n, entry);
    return 0;
}

int sim_unsetenv(const char *name) {
    environment_change(name, strlen(name), NULL);
    return 0;
}

int sim_clearenv(void) {
    environ = arena_alloc(sizeof *environ);
    environ[0] = NULL;
    return 0;
}
