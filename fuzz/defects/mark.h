/* mark.h: notes that a planted defect's line ran (reached) or its wrong state existed (triggered).
 *
 * Only defect patches and the scoreboard's copies include it; ref/ never does. The scoreboard names
 * a file in the environment; the first note makes that file, of whatever process, since an engine
 * may start several: its time is when, and what stands in it is after how many executions of that
 * process. With an environment that does not name one a note does nothing. It is not instrumented,
 * so an engine that watches memory accesses does not see it.
 *
 * That a note was made is kept in the environment's own bytes, because an engine may put the
 * subject's globals back between two runs. */
#ifndef PB_DEFECT_MARK_H
#define PB_DEFECT_MARK_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__clang__)
#define PB_DEFECT_UNSEEN __attribute__((no_sanitize("thread", "address", "undefined", "coverage")))
#else
#define PB_DEFECT_UNSEEN __attribute__((no_sanitize("thread", "address", "undefined")))
#endif

extern unsigned long fuzz_executions __attribute__((weak)); /* target.c's, under an engine */

__attribute__((noinline, unused)) PB_DEFECT_UNSEEN static void
pb_defect_note(const char *variable) {
    char *path = getenv(variable);
    if (path == NULL || path[0] == '\0') {
        return;
    }
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (file >= 0) {
        if (&fuzz_executions != NULL) {
            (void)!dprintf(file, "%lu\n", fuzz_executions);
        }
        close(file);
    }
    path[0] = '\0'; /* once a process */
}

#define PB_DEFECT_REACHED() pb_defect_note("PB_DEFECT_REACHED_FILE")
#define PB_DEFECT_TRIGGERED() pb_defect_note("PB_DEFECT_TRIGGERED_FILE")

#endif
