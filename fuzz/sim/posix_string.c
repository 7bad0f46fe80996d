/* posix_string.c: string functions of libc that report their accesses, so that races and heap
 * errors inside them are found. Functions that are not listed here run natively, and their accesses
 * are not seen. */
#include "posix.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

size_t sim_strlen(const char *s);
int sim_strcmp(const char *a, const char *b);
int sim_strncmp(const char *a, const char *b, size_t n);
char *sim_strcpy(char *to, const char *from);
char *sim_strncpy(char *to, const char *from, size_t n);
char *sim_strcat(char *to, const char *from);
char *sim_strndup(const char *s, size_t n);
void *sim_memchr(const void *s, int c, size_t n);
int sim_bcmp(const void *a, const void *b, size_t n);
int sim_snprintf(char *to, size_t n, const char *format, ...);
int sim_vsnprintf(char *to, size_t n, const char *format, va_list args);
int sim_sprintf(char *to, const char *format, ...);
int sim_asprintf(char **to, const char *format, ...);
void *sim_reallocarray(void *old, size_t count, size_t size);

static void reads(const void *at, size_t n, uintptr_t pc) {
    if (S.active) {
        access_of_user((uintptr_t)at, n, false, pc);
    }
}

static void writes(void *at, size_t n, uintptr_t pc) {
    if (S.active) {
        access_of_user((uintptr_t)at, n, true, pc);
    }
}

size_t sim_strlen(const char *s) {
    size_t n = strlen(s);
    reads(s, n + 1, CALLER);
    return n;
}

/* How many bytes a comparison of two strings reads: up to the first difference or end. */
static size_t compared(const char *a, const char *b, size_t n) {
    size_t i = 0;
    while (i < n && a[i] == b[i] && a[i]) {
        i++;
    }
    return i < n ? i + 1 : n;
}

int sim_strcmp(const char *a, const char *b) {
    size_t n = compared(a, b, SIZE_MAX);
    reads(a, n, CALLER);
    reads(b, n, CALLER);
    return strcmp(a, b);
}

int sim_strncmp(const char *a, const char *b, size_t n) {
    size_t m = compared(a, b, n);
    reads(a, m, CALLER);
    reads(b, m, CALLER);
    return strncmp(a, b, n);
}

char *sim_strcpy(char *to, const char *from) {
    size_t n = strlen(from) + 1;
    reads(from, n, CALLER);
    writes(to, n, CALLER);
    return memmove(to, from, n);
}

char *sim_strncpy(char *to, const char *from, size_t n) {
    size_t m = strnlen(from, n);
    reads(from, m < n ? m + 1 : n, CALLER);
    writes(to, n, CALLER);
    memmove(to, from, m);
    memset(to + m, 0, n - m);
    return to;
}

char *sim_strcat(char *to, const char *from) {
    size_t n = strlen(from) + 1, old = strlen(to);
    reads(to, old + 1, CALLER);
    reads(from, n, CALLER);
    writes(to + old, n, CALLER);
    memmove(to + old, from, n);
    return to;
}

char *sim_strndup(const char *s, size_t n) {
    size_t m = strnlen(s, n);
    char *copy = sim_calloc(m + 1, 1);
    reads(s, m < n ? m + 1 : n, CALLER);
    return copy ? memcpy(copy, s, m) : NULL;
}

void *sim_memchr(const void *s, int c, size_t n) {
    const char *p = memchr(s, c, n);
    reads(s, p ? (size_t)(p - (const char *)s) + 1 : n, CALLER);
    return (void *)(uintptr_t)p;
}

int sim_bcmp(const void *a, const void *b, size_t n) {
    reads(a, n, CALLER);
    reads(b, n, CALLER);
    return memcmp(a, b, n);
}

static int format_into(char *to, size_t n, const char *format, va_list args, uintptr_t pc) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    size_t need = length < 0 ? 0 : (size_t)length + 1;
    writes(to, need < n ? need : n, pc);
    vsnprintf(to, n, format, again);
    va_end(again);
    return length;
}

int sim_vsnprintf(char *to, size_t n, const char *format, va_list args) {
    return format_into(to, n, format, args, CALLER);
}

int sim_snprintf(char *to, size_t n, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = format_into(to, n, format, args, CALLER);
    va_end(args);
    return length;
}

int sim_sprintf(char *to, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int length = format_into(to, (size_t)INT32_MAX, format, args, CALLER);
    va_end(args);
    return length;
}

int sim_asprintf(char **to, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    *to = length < 0 ? NULL : sim_calloc((size_t)length + 1, 1);
    int result = *to ? vsnprintf(*to, (size_t)length + 1, format, args) : -1;
    va_end(args);
    return result;
}

void *sim_reallocarray(void *old, size_t count, size_t size) {
    size_t n;
    return __builtin_mul_overflow(count, size, &n) ? NULL : sim_realloc(old, n);
}
