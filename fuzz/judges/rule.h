/* rule.h: rules switched off by name: what a subject does not promise is not checked.
 *
 * A word switches off all names that begin with it and end there or at a dash: "R7" all of rule 7,
 * "R16-bulk" R16-bulk-copy. Where an oracle can, it looks past an off rule's difference; where it
 * cannot, the program ends there without a finding. A crash or a hang cannot be switched off. */
#ifndef RULE_H
#define RULE_H

#include "subject.h"

#include <stdio.h>

/* From the subject's table and the environment's PAGEBOX_RULES_OFF=R7,R16-bulk. False, after saying
 * on standard error what is wrong, when one is no rule's name. */
bool rules_choose(const struct subject *subject);

/* False for a name that is switched off. */
bool rule_is_on(const char *name);

/* The name, or NULL when it is switched off. */
const char *rule_broken(const char *name);

/* What was expected and what came instead, in words, for the rule that is broken now. The first of
 * a run stays; rule_forget() begins a run. Gives `name`, so that it can stand in a return. */
const char *rule_differs(const char *name, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *rule_difference(void); /* "" where nobody said */
void rule_forget(void);

/* "  R33 capacity: what the rule says", from the text whose path is in PAGEBOX_RULES, or nothing.
 */
void rule_print(FILE *to, const char *name);

/* "rules off: R7 (why), R12 (PAGEBOX_RULES_OFF)", or nothing. */
void rules_print(FILE *to);

#endif
