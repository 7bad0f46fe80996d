/* crash.h: what a finding prints, also when the subject crashes instead of answering. */
#ifndef CRASH_H
#define CRASH_H

#include "asan.h"

#include "op.h"

/* Prints "finding: R5-grow-limit", then the program as text, on standard error. Once: later
 * findings of the same process print nothing. */
void crash_report(const char *rule, const struct program *program);

/* If set, called in place of printing a report. It may end the process. */
extern void (*crash_told)(const char *rule);

/* From now on a fatal signal, or a sanitizer's error, during exec_run reports the rule it breaks
 * before it goes its usual way. Idempotent and cheap. */
void crash_watch(void);

#endif
