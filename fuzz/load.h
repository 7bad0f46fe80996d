/* load.h: which subject is tested. */
#ifndef LOAD_H
#define LOAD_H

#include "subject.h"

/* The reference, linked in (subject_ref.c). */
const struct subject *subject_ref(void);

/* A shared object's subject, or NULL after saying on standard error what is wrong with it. */
const struct subject *subject_load(const char *path);

/* As the environment variable SUBJECT says; the reference where it is empty or not set. */
const struct subject *subject_chosen(void);

#endif
