/* reference.h: ref/ as a subject. */
#ifndef REFERENCE_H
#define REFERENCE_H

#include "subject.h"

/* The reference, linked in. */
const struct subject *subject_ref(void);

#endif
