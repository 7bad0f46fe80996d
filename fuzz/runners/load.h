/* load.h: which subject is tested. */
#ifndef LOAD_H
#define LOAD_H

#include "reference.h"
#include "subject.h"

#include <stdio.h>

/* A shared object's subject, or NULL after saying on standard error what is wrong with it: it
 * cannot be read, exports no pagebox_subject, crashes or hangs when it is loaded, was built with
 * another version of subject.h, lacks what is required. */
const struct subject *subject_load(const char *path);

/* As the environment variable SUBJECT says, the reference where it is empty or not set; with the
 * rules that are off for it (rule.h). NULL after saying what is wrong. */
const struct subject *subject_chosen(void);

/* Its name, what it does not offer, which rules are off; a few lines. */
void subject_print(FILE *to, const struct subject *s);

#endif
