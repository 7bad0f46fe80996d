/* os_sim.h: a hook of os_sim.c: a harness may say which call of os.h fails, and how. */
#ifndef OS_SIM_H
#define OS_SIM_H

#include "status.h"

/* What this call by the running thread answers in place of doing its work; PB_OK if it does its
 * work. name: as in os.h without the prefix, "os_commit"; usual: the usual error. Weak: without a
 * definition, only the engine's choices decide. */
enum pb_status os_sim_refusal(const char *name, enum pb_status usual) __attribute__((weak));

#endif
