/* os_sim_faults.h: the environment of a subject under the engine. */
#ifndef OS_SIM_FAULTS_H
#define OS_SIM_FAULTS_H

#include "subject.h"

/* The environment of one run, which begins. Its blocks come from the engine, which sees early and
 * double frees; an allocation fails if the plan of faults or the engine's choices say so. */
const struct subject_environment *os_sim_environment(void);

/* Blocks of the run that are alive. */
uint32_t os_sim_blocks(void);

#endif
