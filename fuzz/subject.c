/* subject.c: the subject under test: the one linked in, or a shared object named by SUBJECT. */
#include "load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *table_gap(const struct subject *s) {
    const struct subject_memory *m = s->memory;
    const struct subject_mailbox *b = s->mailbox;
    if (m == NULL && b == NULL) {
        return "it has neither a memory nor a mailbox";
    }
    if (m != NULL &&
        (m->strategies == 0 || m->strategy == NULL || m->create == NULL || m->destroy == NULL ||
         m->size_pages == NULL || m->size_bytes == NULL || m->grow == NULL || m->record == NULL)) {
        return "its memory lacks one of: strategies, create, destroy, size_pages, size_bytes, "
               "grow, record";
    }
    if (b != NULL && (b->capacity == 0 || b->attach == NULL || b->release == NULL ||
                      b->enqueue == NULL || b->drain == NULL)) {
        return "its mailbox lacks one of: capacity, attach, release, enqueue, drain";
    }
    return NULL;
}

static const struct subject *refuse(const char *path, const char *why) {
    fprintf(stderr,
            "subject %s: %s\n"
            "  A subject is a shared object built with fuzz/subject.h that exports "
            "pagebox_subject().\n",
            path, why);
    return NULL;
}

const struct subject *subject_load(const char *path) {
    char local[4096];
    if (strchr(path, '/') == NULL) { /* dlopen would search the system's folders */
        snprintf(local, sizeof local, "./%s", path);
        path = local;
    }
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        return refuse(path, dlerror());
    }
    const struct subject *(*entry)(void);
    *(void **)&entry = dlsym(object, "pagebox_subject");
    if (entry == NULL) {
        return refuse(path, "it does not export pagebox_subject");
    }
    const struct subject *s = entry();
    if (s == NULL) {
        return refuse(path, "pagebox_subject() returned NULL");
    }
    if (s->abi != SUBJECT_ABI) {
        char why[128];
        snprintf(why, sizeof why,
                 "it was built with version %u of subject.h, this program has %u: compile it anew",
                 s->abi, SUBJECT_ABI);
        return refuse(path, why);
    }
    const char *gap = table_gap(s);
    return gap == NULL ? s : refuse(path, gap);
}

const struct subject *subject_chosen(void) {
    const char *path = getenv("SUBJECT");
    if (path == NULL || *path == '\0') {
        return subject_ref();
    }
    return subject_load(path);
}
