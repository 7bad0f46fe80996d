/* posix_stdio.c: input from streams and positions in them. Each call is a step on the stream, so
 * that other threads can come between two calls. (Output is in posix_exit.c.) */
#include "posix.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

TWIN(fread);
TWIN(fgets);
TWIN(fgetc);
TWIN(getc);
TWIN(getchar);
TWIN(fseek);
TWIN(fseeko);
TWIN(ftell);
TWIN(ftello);
TWIN(rewind);
TWIN(getline);
TWIN(getdelim);
void *sim_realloc(void *block, size_t size);

static void wrote(const void *at, size_t n, uintptr_t pc) {
    if (S.active && n) {
        access_plain((uintptr_t)at, n, true, pc);
    }
}

size_t sim_fread(void *to, size_t size, size_t count, FILE *file) {
    file_step("fread", file, CALLER);
    size_t got = fread(to, size, count, file);
    wrote(to, size * got, CALLER);
    return got;
}

char *sim_fgets(char *to, int n, FILE *file) {
    file_step("fgets", file, CALLER);
    char *got = fgets(to, n, file);
    wrote(to, got ? strlen(got) + 1 : 0, CALLER);
    return got;
}

#define ON_STREAM(type, name, parameters, file, arguments) \
    type sim_##name parameters {                           \
        file_step(#name, file, CALLER);                    \
        return name arguments;                             \
    }
ON_STREAM(int, fgetc, (FILE * file), file, (file))
ON_STREAM(int, getc, (FILE * file), file, (file))
ON_STREAM(int, getchar, (void), stdin, ())
ON_STREAM(int, fseek, (FILE * file, long offset, int from), file, (file, offset, from))
ON_STREAM(int, fseeko, (FILE * file, off_t offset, int from), file, (file, offset, from))
ON_STREAM(long, ftell, (FILE * file), file, (file))
ON_STREAM(off_t, ftello, (FILE * file), file, (file))

void sim_rewind(FILE *file) {
    file_step("rewind", file, CALLER);
    rewind(file);
}

/* The program will free the line, so it is allocated on the simulated heap. */
static ssize_t line_to(char **line, size_t *room, int end, FILE *file, uintptr_t pc) {
    char *text = NULL;
    size_t text_room = 0;
    ssize_t n = getdelim(&text, &text_room, end, file);
    if (n >= 0) {
        if (!*line || *room < (size_t)n + 1) {
            *room = (size_t)n + 1 < 120 ? 120 : (size_t)n + 1;
            *line = sim_realloc(*line, *room);
        }
        wrote(*line, (size_t)n + 1, pc);
        memcpy(*line, text, (size_t)n + 1);
    }
    free(text);
    return n;
}

ssize_t sim_getdelim(char **line, size_t *room, int end, FILE *file) {
    file_step("getdelim", file, CALLER);
    return line_to(line, room, end, file, CALLER);
}

ssize_t sim_getline(char **line, size_t *room, FILE *file) {
    file_step("getline", file, CALLER);
    return line_to(line, room, '\n', file, CALLER);
}

/* ---- Formatted input, under the names that the C standards give it --------------------------- */

int sim_fscanf(FILE *file, const char *format, ...);
int sim_scanf(const char *format, ...);
TWIN(vfscanf);

int sim_vfscanf(FILE *file, const char *format, va_list args) {
    file_step("fscanf", file, CALLER);
    return vfscanf(file, format, args);
}

int sim_fscanf(FILE *file, const char *format, ...) {
    va_list args;
    va_start(args, format);
    file_step("fscanf", file, CALLER);
    int n = vfscanf(file, format, args);
    va_end(args);
    return n;
}

int sim_scanf(const char *format, ...) {
    va_list args;
    va_start(args, format);
    file_step("scanf", stdin, CALLER);
    int n = vfscanf(stdin, format, args);
    va_end(args);
    return n;
}

#define BY_NAME(name)                                                    \
    TWIN_AS(name, __isoc99_##name) __attribute__((alias("sim_" #name))); \
    TWIN_AS(name, __isoc23_##name) __attribute__((alias("sim_" #name)));
#define TWIN_AS(name, other) __typeof__(sim_##name) sim_##other
BY_NAME(fscanf)
BY_NAME(scanf)
BY_NAME(vfscanf)
