/* posix_files.c: descriptors, files and the environment of a program under the engine, the same at
 * the start of every run. What a run leaves open is closed before the next one, as exit does. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- Standard input: kept as a file, read from its start in each run ------------------------- */

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

/* ---- Descriptors ----------------------------------------------------------------------------- */

enum { FILES_MAX = 256 };
static bool opened[FDS_MAX];
static int opened_below; /* all opened descriptors are below this */
static FILE *files[FILES_MAX];
static unsigned files_n;
static char **first_environment;

/* Notes that the program opened fd in this run. */
int file_opened(int fd) {
    if (S.active && fd >= 0 && fd < FDS_MAX) {
        opened[fd] = true;
        opened_below = fd >= opened_below ? fd + 1 : opened_below;
    }
    return fd;
}

bool file_is_open(int fd) {
    return fd >= 0 && fd < FDS_MAX && opened[fd];
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

/* ---- Reading and writing ------------------------------------------------------------------------
 *
 * Files are shared, so each call on one is a step: other threads can come between two calls. No
 * call orders its caller's memory. */

void file_step(const char *name, const void *file, uintptr_t pc) {
    if (S.active) {
        enter(name, pc);
        step(file);
        say("%s", name);
        leave(0);
    }
}

static void descriptor_step(const char *name, int fd, uintptr_t pc) {
    if (fd >= 0 && fd < FDS_MAX) {
        file_step(name, &opened[fd], pc);
    }
}

static void path_step(const char *name, uintptr_t pc) {
    file_step(name, files, pc);
}

TWIN(write);
TWIN(read);
TWIN(writev);
TWIN(readv);
TWIN(dprintf);
TWIN(vdprintf);
TWIN(lseek);
TWIN(lseek64) __attribute__((alias("sim_lseek")));

static ssize_t write_to(int fd, const void *data, size_t n, uintptr_t pc) {
    if (is_end(fd)) {
        return end_write(fd, data, n, 0, pc);
    }
    if (S.active && (fd == 1 || fd == 2)) {
        show_output(data, n, pc);
        return (ssize_t)n;
    }
    descriptor_step("write", fd, pc);
    return write(fd, data, n);
}

ssize_t sim_write(int fd, const void *data, size_t n) {
    return write_to(fd, data, n, CALLER);
}

/* Regular files do not block. */
ssize_t sim_read(int fd, void *data, size_t n) {
    struct stat s;
    if (is_end(fd)) {
        return end_read(fd, data, n, 0, CALLER);
    }
    if (S.active && (fstat(fd, &s) || !(S_ISREG(s.st_mode) || S_ISCHR(s.st_mode)))) {
        refuse("read", "a simulated thread cannot wait for real input", CALLER);
    }
    if (S.active && n) {
        access_plain((uintptr_t)data, n, true, CALLER);
    }
    descriptor_step("read", fd, CALLER);
    return read(fd, data, n);
}

ssize_t sim_writev(int fd, const struct iovec *parts, int parts_n) {
    size_t n = 0, at = 0;
    for (int i = 0; i < parts_n; i++) {
        n += parts[i].iov_len;
    }
    char *data = arena_alloc(n + 1);
    for (int i = 0; i < parts_n; at += parts[i++].iov_len) {
        memcpy(data + at, parts[i].iov_base, parts[i].iov_len);
    }
    return write_to(fd, data, n, CALLER);
}

/* Reads only into the first part of a pipe's buffers: a read may return less than was asked for. */
ssize_t sim_readv(int fd, const struct iovec *parts, int parts_n) {
    if (is_end(fd) && parts_n > 0) {
        return end_read(fd, parts[0].iov_base, parts[0].iov_len, 0, CALLER);
    }
    descriptor_step("readv", fd, CALLER);
    return readv(fd, parts, parts_n);
}

int sim_vdprintf(int fd, const char *format, va_list args) {
    enum { MAX = 4096 };
    char *text = arena_alloc(MAX);
    int n = vsnprintf(text, MAX, format, args);
    return (int)write_to(fd, text, n < MAX ? (size_t)n : MAX - 1, CALLER);
}

int sim_dprintf(int fd, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = sim_vdprintf(fd, format, args);
    va_end(args);
    return n;
}

off_t sim_lseek(int fd, off_t offset, int from) {
    descriptor_step("lseek", fd, CALLER);
    return lseek(fd, offset, from);
}

/* ---- Opening and closing --------------------------------------------------------------------- */

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
TWIN(mkstemp);
TWIN(mkostemp);
TWIN(socket);
TWIN(access);
TWIN(stat);
TWIN(lstat);
TWIN(unlink);
TWIN(remove);
TWIN(rename);
TWIN(link);
TWIN(symlink);
TWIN(mkdir);
TWIN(rmdir);
TWIN(truncate);

static mode_t mode_of(int flags, va_list args) {
    return flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, mode_t) : 0;
}

int sim_open(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    path_step("open", CALLER);
    return file_opened(open(path, flags, mode));
}

int sim_openat(int folder, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = mode_of(flags, args);
    va_end(args);
    path_step("openat", CALLER);
    return file_opened(openat(folder, path, flags, mode));
}

int sim_creat(const char *path, mode_t mode) {
    path_step("creat", CALLER);
    return file_opened(creat(path, mode));
}

int sim_dup(int fd) {
    int copy = file_opened(dup(fd));
    return is_end(fd) ? end_copy(fd, copy) : copy;
}

/* The standard descriptors are not replaced: output is shown as notes. */
int sim_dup2(int fd, int to) {
    bool ours = S.active && to >= 0 &&
                (to <= 2 || (to < FDS_MAX && !opened[to] && fcntl(to, F_GETFD) >= 0));
    if (is_end(fd) && ours) {
        refuse("dup2", "replacing a standard descriptor is not simulated", CALLER);
    }
    if (ours || fd == to) {
        return to;
    }
    if (is_end(to)) {
        end_close(to, CALLER);
    }
    int copy = file_opened(dup2(fd, to));
    return is_end(fd) ? end_copy(fd, copy) : copy;
}

int sim_memfd_create(const char *name, unsigned flags) {
    return file_opened(memfd_create(name, flags));
}

int sim_close(int fd) {
    if (!S.active) {
        return close(fd);
    }
    if (is_end(fd)) {
        end_close(fd, CALLER);
    }
    if (fd >= 0 && fd <= 2) {
        return 0;
    }
    if (fd < 0 || fd >= FDS_MAX || !opened[fd]) {
        errno = EBADF; /* not opened by the program */
        return -1;
    }
    descriptor_step("close", fd, CALLER);
    opened[fd] = false;
    return close(fd);
}

FILE *sim_fopen(const char *path, const char *mode) {
    path_step("fopen", CALLER);
    return mark_file(fopen(path, mode));
}

FILE *sim_fdopen(int fd, const char *mode) {
    if (is_end(fd)) {
        refuse("fdopen", "streams on pipes are not simulated; use read and write", CALLER);
    }
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

int sim_mkstemp(char *path) {
    return file_opened(mkstemp(path));
}

int sim_mkostemp(char *path, int flags) {
    return file_opened(mkostemp(path, flags));
}

int sim_socket(int family, int type, int protocol) {
    return file_opened(socket(family, type, protocol));
}

/* All threads share the paths, so each call on one is a step. */
#define ON_PATH(type, name, parameters, arguments) \
    type sim_##name parameters {                   \
        path_step(#name, CALLER);                  \
        return name arguments;                     \
    }
ON_PATH(int, access, (const char *path, int mode), (path, mode))
ON_PATH(int, stat, (const char *path, struct stat *out), (path, out))
ON_PATH(int, lstat, (const char *path, struct stat *out), (path, out))
ON_PATH(int, unlink, (const char *path), (path))
ON_PATH(int, remove, (const char *path), (path))
ON_PATH(int, rename, (const char *old, const char *new), (old, new))
ON_PATH(int, link, (const char *old, const char *new), (old, new))
ON_PATH(int, symlink, (const char *old, const char *new), (old, new))
ON_PATH(int, mkdir, (const char *path, mode_t mode), (path, mode))
ON_PATH(int, rmdir, (const char *path), (path))
ON_PATH(int, truncate, (const char *path, off_t size), (path, size))

/* Offsets have 64 bits under either name. */
TWIN(open64) __attribute__((alias("sim_open")));
TWIN(openat64) __attribute__((alias("sim_openat")));
TWIN(creat64) __attribute__((alias("sim_creat")));
TWIN(fopen64) __attribute__((alias("sim_fopen")));
TWIN(tmpfile64) __attribute__((alias("sim_tmpfile")));

/* ---- Environment: changes live in the run's arena -------------------------------------------- */

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

/* Replaces the environment by a copy without `name`, and with `entry` if that is not NULL. */
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
