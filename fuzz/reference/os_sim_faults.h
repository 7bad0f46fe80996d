/* os_sim_faults.h: what surrounds a subject on the engine's machine. */
#ifndef OS_SIM_FAULTS_H
#define OS_SIM_FAULTS_H

#include "subject.h"

/* For one run, which begins: its blocks are the engine's, which sees what is freed too early or
 * twice, and asking for one fails where the plan of faults or the engine's choices say so. */
const struct subject_environment *os_sim_environment(void);

/* Blocks of the run that are alive. */
uint32_t os_sim_blocks(void);

#endif
