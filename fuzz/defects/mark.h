/* mark.h: notes that a planted defect's line ran (reached) or its wrong state existed (triggered).
 *
 * Only defect patches and the scoreboard's copies include it; ref/ never does. The scoreboard names
 * a file in the environment; the first note of a process appends a line "reached <ns>" or
 * "triggered <ns>" (realtime clock) to it. Without the environment a note does nothing. It is not
 * instrumented, so an engine that watches memory accesses does not see it.
 *
 * The done-mark is kept in the environment's own bytes, because an engine may put the subject's
 * globals back between two runs. */
#ifndef PB_DEFECT_MARK_H
#define PB_DEFECT_MARK_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__clang__)
#define PB_DEFECT_UNSEEN __attribute__((no_sanitize("thread", "address", "undefined", "coverage")))
#else
#define PB_DEFECT_UNSEEN __attribute__((no_sanitize("thread", "address", "undefined")))
#endif

__attribute__((noinline, unused)) PB_DEFECT_UNSEEN static void pb_defect_note(const char *variable,
                                                                              const char *what) {
    char *path = getenv(variable);
    if (path == NULL || path[0] == '\0') {
        return;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (file >= 0) {
        dprintf(file, "%s %lld%09ld\n", what, (long long)now.tv_sec, now.tv_nsec);
        close(file);
    }
    path[0] = '\0'; /* once a process */
}

#define PB_DEFECT_REACHED() pb_defect_note("PB_DEFECT_REACHED_FILE", "reached")
#define PB_DEFECT_TRIGGERED() pb_defect_note("PB_DEFECT_TRIGGERED_FILE", "triggered")

#endif
