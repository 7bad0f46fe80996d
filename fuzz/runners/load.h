/* load.h: chooses and loads the subject. */
#ifndef LOAD_H
#define LOAD_H

#include "reference.h"
#include "subject.h"

#include <stdio.h>

/* The subject of a shared object. NULL after a message on standard error if it cannot be read,
 * exports no pagebox_subject, crashes or hangs when it is loaded, was built with another version of
 * subject.h, or lacks a required function. */
const struct subject *subject_load(const char *path);

/* The subject that the environment variable SUBJECT names, or the reference if it is empty or not
 * set. Also switches off the rules that it does not promise (rule.h). NULL after a message. */
const struct subject *subject_chosen(void);

/* Its name, what it does not offer, which rules are off; a few lines. */
void subject_print(FILE *to, const struct subject *s);

#endif
