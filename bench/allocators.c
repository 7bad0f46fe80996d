/* allocators.c: glibc's malloc, jemalloc with several settings, and mimalloc, each as a struct
 * pb_allocator. */
#include "allocators.h"

#include <dlfcn.h>
#include <gnu/libc-version.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* ---- jemalloc: its symbols are renamed at link time ------------------------------------------ */

void *jemalloc_calloc(size_t count, size_t bytes);
void *jemalloc_realloc(void *at, size_t bytes);
void jemalloc_free(void *at);
int jemalloc_mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes);
/* jemalloc reads this once, when it starts. */
extern const char *jemalloc_malloc_conf;
const char *jemalloc_malloc_conf;

static void *jemalloc_zeroed(void *context, size_t bytes) {
    (void)context;
    return jemalloc_calloc(1, bytes);
}

static void *jemalloc_resize(void *context, void *at, size_t bytes) {
    (void)context;
    return jemalloc_realloc(at, bytes);
}

static void jemalloc_release(void *context, void *at) {
    (void)context;
    jemalloc_free(at);
}

/* ---- mimalloc: its symbols are looked up at first use ---------------------------------------- */

static struct {
    void *(*calloc)(size_t count, size_t bytes);
    void *(*realloc)(void *at, size_t bytes);
    void (*free)(void *at);
    int (*version)(void);
} mimalloc;

static bool mimalloc_ready(void) {
    static bool tried;
    if (!tried) {
        tried = true;
        void *library = dlopen("libmimalloc.so.2", RTLD_NOW | RTLD_LOCAL);
        if (library != NULL) {
            *(void **)&mimalloc.calloc = dlsym(library, "mi_calloc");
            *(void **)&mimalloc.realloc = dlsym(library, "mi_realloc");
            *(void **)&mimalloc.free = dlsym(library, "mi_free");
            *(void **)&mimalloc.version = dlsym(library, "mi_version");
        }
    }
    return mimalloc.calloc && mimalloc.realloc && mimalloc.free && mimalloc.version;
}

static void *mimalloc_zeroed(void *context, size_t bytes) {
    (void)context;
    return mimalloc.calloc(1, bytes);
}

static void *mimalloc_resize(void *context, void *at, size_t bytes) {
    (void)context;
    return mimalloc.realloc(at, bytes);
}

static void mimalloc_release(void *context, void *at) {
    (void)context;
    mimalloc.free(at);
}

/* ---- glibc's --------------------------------------------------------------------------------- */

static void *glibc_zeroed(void *context, size_t bytes) {
    (void)context;
    return calloc(1, bytes);
}

static void *glibc_resize(void *context, void *at, size_t bytes) {
    (void)context;
    return realloc(at, bytes);
}

static void glibc_release(void *context, void *at) {
    (void)context;
    free(at);
}

/* ---- The table ------------------------------------------------------------------------------- */

#define JEMALLOC \
    { jemalloc_zeroed, jemalloc_resize, jemalloc_release, NULL }

const struct bench_allocator bench_allocators[BENCH_ALLOCATORS] = {
    {"glibc", NULL, {glibc_zeroed, glibc_resize, glibc_release, NULL}},
    {"jemalloc", NULL, JEMALLOC},
    /* returns freed pages to the kernel at once */
    {"jemalloc_decay_0", "dirty_decay_ms:0,muzzy_decay_ms:0", JEMALLOC},
    /* returns freed address space as well */
    {"jemalloc_no_retain", "retain:false", JEMALLOC},
    {"jemalloc_thp", "thp:always", JEMALLOC},
    {"mimalloc", NULL, {mimalloc_zeroed, mimalloc_resize, mimalloc_release, NULL}},
};

const struct bench_allocator *bench_allocator(const char *name) {
    for (int i = 0; i < BENCH_ALLOCATORS; i++) {
        if (strcmp(bench_allocators[i].name, name) == 0) {
            return &bench_allocators[i];
        }
    }
    fprintf(stderr, "bench: no allocator is called %s\n", name);
    abort();
}

/* Runs before jemalloc's own constructor: sets the settings for this process's row. */
__attribute__((constructor(101))) static void set_jemalloc(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *at =
            strncmp(argv[i], "--only=", 7) == 0 ? strstr(argv[i], "/allocator:") : NULL;
        for (int j = 0; at != NULL && j < BENCH_ALLOCATORS; j++) {
            const char *name = bench_allocators[j].name, *value = at + strlen("/allocator:");
            if (strncmp(value, name, strlen(name)) == 0 && strchr("/", value[strlen(name)])) {
                jemalloc_malloc_conf = bench_allocators[j].settings;
            }
        }
    }
}

const char *bench_allocator_refusal(const struct pb_allocator *allocator) {
    for (int i = 0; i < BENCH_ALLOCATORS; i++) {
        const struct bench_allocator *one = &bench_allocators[i];
        if (&one->allocator != allocator) {
            continue;
        }
        if (one->settings != NULL && jemalloc_malloc_conf != one->settings) {
            return "settings of jemalloc hold for a whole process: run this row alone (--only)";
        }
        if (one->allocator.release == mimalloc_release && !mimalloc_ready()) {
            return "libmimalloc.so.2 is missing (scripts/setup installs it)";
        }
    }
    return NULL;
}

const char *bench_glibc_version(void) {
    return gnu_get_libc_version();
}

const char *bench_jemalloc_version(void) {
    const char *version = "unknown";
    size_t bytes = sizeof version;
    jemalloc_mallctl("version", &version, &bytes, NULL, 0);
    return version;
}

const char *bench_jemalloc_settings(void) {
    bool retain = true;
    const char *thp = "default";
    ssize_t decay_ms = -1;
    size_t retain_bytes = sizeof retain, thp_bytes = sizeof thp, decay_bytes = sizeof decay_ms;
    jemalloc_mallctl("opt.retain", &retain, &retain_bytes, NULL, 0);
    jemalloc_mallctl("opt.thp", &thp, &thp_bytes, NULL, 0);
    jemalloc_mallctl("opt.dirty_decay_ms", &decay_ms, &decay_bytes, NULL, 0);
    return !retain                       ? "retain:false"
           : strcmp(thp, "default") != 0 ? "thp:always"
           : decay_ms == 0               ? "decay_ms:0"
                                         : "none";
}

const char *bench_mimalloc_version(void) {
    static char version[16];
    if (!mimalloc_ready()) {
        return "absent";
    }
    int number = mimalloc.version();
    snprintf(version, sizeof version, "%d.%d.%d", number / 100, number / 10 % 10, number % 10);
    return version;
}
