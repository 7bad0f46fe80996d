/* subject.c: the subject under test: the one linked in, or a shared object named by SUBJECT. */
#include "load.h"

#include "rule.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- What is in the tables --------------------------------------------------------------------
 */

struct entry {
    const char *name;
    size_t at;
    bool required;
};

/* In the order of subject.h, every function of the two tables. */
#define REQUIRED(table, name) {#name, offsetof(struct table, name), true},
#define OPTIONAL(table, name) {#name, offsetof(struct table, name), false},
#define MEMORY(KIND, name) KIND(subject_memory, name)
#define MAILBOX(KIND, name) KIND(subject_mailbox, name)
/* clang-format off */
static const struct entry memory_entries[] = {
    MEMORY(REQUIRED, create) MEMORY(REQUIRED, destroy) MEMORY(REQUIRED, size_pages)
    MEMORY(REQUIRED, size_bytes) MEMORY(REQUIRED, grow) MEMORY(OPTIONAL, record)
    MEMORY(OPTIONAL, type) MEMORY(OPTIONAL, style) MEMORY(OPTIONAL, reservation)
    MEMORY(OPTIONAL, to_shared) MEMORY(OPTIONAL, clone) MEMORY(OPTIONAL, copy)
    MEMORY(OPTIONAL, reset) MEMORY(OPTIONAL, owner_of) MEMORY(OPTIONAL, load)
    MEMORY(OPTIONAL, store) MEMORY(OPTIONAL, atomic_load) MEMORY(OPTIONAL, atomic_store)
    MEMORY(OPTIONAL, atomic_rmw) MEMORY(OPTIONAL, atomic_cmpxchg) MEMORY(OPTIONAL, bulk_copy)
    MEMORY(OPTIONAL, bulk_fill) MEMORY(OPTIONAL, bulk_init) MEMORY(OPTIONAL, segment_drop)
    MEMORY(OPTIONAL, initialise) MEMORY(OPTIONAL, initialise_segments) MEMORY(OPTIONAL, read)
    MEMORY(OPTIONAL, wait32) MEMORY(OPTIONAL, wait64) MEMORY(OPTIONAL, notify)
    MEMORY(OPTIONAL, disable_atomics) MEMORY(OPTIONAL, waiters) MEMORY(OPTIONAL, budget)
    MEMORY(OPTIONAL, budget_used) MEMORY(OPTIONAL, pin) MEMORY(OPTIONAL, unpin)
    MEMORY(OPTIONAL, rung) MEMORY(OPTIONAL, canceller_create) MEMORY(OPTIONAL, canceller_cancel)
    MEMORY(OPTIONAL, canceller_destroy) MEMORY(OPTIONAL, cancellable_wait32)
};
static const struct entry mailbox_entries[] = {
    MAILBOX(REQUIRED, attach) MAILBOX(REQUIRED, release) MAILBOX(REQUIRED, enqueue)
    MAILBOX(REQUIRED, drain) MAILBOX(OPTIONAL, park) MAILBOX(OPTIONAL, guest_wait) MAILBOX(OPTIONAL, flush)
    MAILBOX(OPTIONAL, is_signalled) MAILBOX(OPTIONAL, wait_for_signal) MAILBOX(OPTIONAL, hold)
    MAILBOX(OPTIONAL, move) MAILBOX(OPTIONAL, unhold) MAILBOX(OPTIONAL, lose) MAILBOX(OPTIONAL, grow)
    MAILBOX(OPTIONAL, close) MAILBOX(OPTIONAL, is_closed) MAILBOX(OPTIONAL, words)
    MAILBOX(OPTIONAL, waker_create) MAILBOX(OPTIONAL, waker_clone) MAILBOX(OPTIONAL, waker_wake)
    MAILBOX(OPTIONAL, waker_drop)
};
/* clang-format on */
enum {
    MEMORY_ENTRIES = sizeof memory_entries / sizeof memory_entries[0],
    MAILBOX_ENTRIES = sizeof mailbox_entries / sizeof mailbox_entries[0],
};
_Static_assert(offsetof(struct subject_memory, create) + MEMORY_ENTRIES * sizeof(void (*)(void)) ==
                       sizeof(struct subject_memory) &&
                   offsetof(struct subject_mailbox, attach) +
                           MAILBOX_ENTRIES * sizeof(void (*)(void)) ==
                       sizeof(struct subject_mailbox),
               "a function of subject.h is not listed here");

static bool is_there(const void *table, const struct entry *entry) {
    void (*function)(void);
    memcpy(&function, (const char *)table + entry->at, sizeof function);
    return function != NULL;
}

/* The required function that is missing, or NULL. */
static const char *missing(const void *table, const struct entry *entry, unsigned entries) {
    for (unsigned i = 0; i < entries; i++) {
        if (entry[i].required && !is_there(table, &entry[i])) {
            return entry[i].name;
        }
    }
    return NULL;
}

static bool is_whole(const struct subject_mailbox *b) {
    bool wakers = b->waker_create != NULL;
    return (b->waker_clone != NULL) == wakers && (b->waker_wake != NULL) == wakers &&
           (b->waker_drop != NULL) == wakers && (b->hold != NULL) == (b->unhold != NULL);
}

/* What is wrong with the tables, in `why`; or NULL. */
static const char *table_gap(const struct subject *s, char *why, size_t room) {
    const struct subject_memory *m = s->memory;
    const struct subject_mailbox *b = s->mailbox;
    const char *gap = NULL, *of = "memory";
    if ((s->abi & ~SUBJECT_SEEN) != SUBJECT_VERSION) {
        snprintf(why, room,
                 "it was built with version %u of subject.h, this program has %u: compile it anew",
                 s->abi & ~SUBJECT_SEEN, SUBJECT_VERSION);
        return why;
    }
    if (s->name == NULL || (m == NULL && b == NULL)) {
        return s->name == NULL ? "it has no name" : "it has neither a memory nor a mailbox";
    }
    if (m != NULL) {
        gap = m->strategies == 0 || m->strategy == NULL
                  ? "strategies"
                  : missing(m, memory_entries, MEMORY_ENTRIES);
        if (gap == NULL && (m->promises & SUBJECT_OPAQUE ? m->read == NULL : m->record == NULL)) {
            gap = m->promises & SUBJECT_OPAQUE ? "read" : "record";
        }
        for (unsigned i = 0; gap == NULL && i < m->strategies; i++) {
            gap = m->strategy[i].name == NULL ? "a strategy's name" : NULL;
        }
    }
    if (gap == NULL && b != NULL) {
        gap = b->capacity == 0 ? "capacity" : missing(b, mailbox_entries, MAILBOX_ENTRIES);
        of = "mailbox";
        if (gap == NULL && !is_whole(b)) {
            return "its mailbox has some of waker_create, _clone, _wake, _drop, or of hold, "
                   "unhold: "
                   "all or none";
        }
    }
    if (gap != NULL) {
        snprintf(why, room, "its %s lacks %s, which is required", of, gap);
        return why;
    }
    return NULL;
}

/* ---- On the screen ----------------------------------------------------------------------------
 */

static void part_print(FILE *to, const char *what, const void *table, const struct entry *entry,
                       unsigned entries) {
    const char *before = "; not offered: ";
    if (table == NULL) {
        fprintf(to, "%s: not offered\n", what);
        return;
    }
    unsigned there = 0;
    for (unsigned i = 0; i < entries; i++) {
        there += is_there(table, &entry[i]);
    }
    fprintf(to, "%s: %u of %u functions", what, there, entries);
    for (unsigned i = 0; i < entries; i++) {
        if (!is_there(table, &entry[i])) {
            fprintf(to, "%s%s", before, entry[i].name);
            before = ", ";
        }
    }
    fputc('\n', to);
}

void subject_print(FILE *to, const struct subject *s) {
    fprintf(to, "subject: %s\n", s->name);
    part_print(to, "memory", s->memory, memory_entries, MEMORY_ENTRIES);
    for (unsigned i = 0; s->memory != NULL && i < s->memory->strategies; i++) {
        const struct subject_strategy *strategy = &s->memory->strategy[i];
        if (strategy->name == NULL) { /* the reference's are filled in when it begins */
            continue;
        }
        fprintf(to, "  strategy %s%s%s\n", strategy->name,
                strategy->missing == NULL ? "" : ": not available: ",
                strategy->missing == NULL ? "" : strategy->missing);
    }
    part_print(to, "mailbox", s->mailbox, mailbox_entries, MAILBOX_ENTRIES);
    if (s->abi & SUBJECT_SEEN) {
        fputs("programs with threads run on it: the engine sees its accesses\n", to);
    }
    rules_print(to);
}

/* ---- Loading ----------------------------------------------------------------------------------
 */

static void refuse(const char *path, const char *why) {
    fprintf(stderr,
            "subject %s: %s\n"
            "  A subject is a shared object built with fuzz/subject.h that exports "
            "pagebox_subject(): see fuzz/subjects/README.md.\n",
            path, why);
}

static const struct subject *load(const char *path) {
    char why[256];
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (object == NULL) {
        refuse(path, dlerror());
        return NULL;
    }
    const struct subject *(*entry)(void);
    *(void **)&entry = dlsym(object, "pagebox_subject");
    if (entry == NULL) {
        refuse(path, "it does not export pagebox_subject");
        return NULL;
    }
    const struct subject *s = entry();
    const char *gap = s == NULL ? "pagebox_subject() returned NULL" : table_gap(s, why, sizeof why);
    if (gap != NULL) {
        refuse(path, gap);
    }
    return gap == NULL ? s : NULL;
}

/* Loads it in a child process first, so that an object that crashes or hangs when it is loaded is
 * told apart from one that breaks a rule. */
static bool loads(const char *path) {
    enum {
        LOAD_S = 60,
        LOADED = 90,
        REFUSED = 91
    }; /* a status that the object itself is unlikely to exit with */
    static const int faults[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
    char why[128];
    int status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        for (unsigned i = 0; i < sizeof faults / sizeof faults[0]; i++) {
            signal(faults[i], SIG_DFL); /* the sanitizers' checks at exit would take long */
        }
        alarm(LOAD_S);
        _exit(load(path) == NULL ? REFUSED : LOADED);
    }
    while (child > 0 && waitpid(child, &status, 0) != child && errno == EINTR) {
    }
    if (child < 0) {
        refuse(path, "no process to try it in can be started");
    } else if (WIFSIGNALED(status)) {
        snprintf(why, sizeof why, "it %s while it is loaded (signal %d, %s)",
                 WTERMSIG(status) == SIGALRM ? "hangs" : "crashes", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
        refuse(path, why);
    } else if (WEXITSTATUS(status) != LOADED && WEXITSTATUS(status) != REFUSED) {
        snprintf(why, sizeof why, "it ends the process while it is loaded (status %d)",
                 WEXITSTATUS(status));
        refuse(path, why);
    }
    return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == LOADED;
}

const struct subject *subject_load(const char *path) {
    char local[4096];
    if (strchr(path, '/') == NULL) { /* dlopen would search the system's folders */
        snprintf(local, sizeof local, "./%s", path);
        path = local;
    }
    return loads(path) ? load(path) : NULL;
}

const struct subject *subject_chosen(void) {
    const char *path = getenv("SUBJECT");
    const struct subject *s = path == NULL || *path == '\0' ? subject_ref() : subject_load(path);
    return s != NULL && rules_choose(s) ? s : NULL;
}
