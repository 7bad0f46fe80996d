/* host_calls.h: functions of ref/'s headers that no table of subject.h has, and configurations that
 * no program of memories reaches, each called on objects of its own. */
#ifndef HOST_CALLS_H
#define HOST_CALLS_H

#include "op.h"

/* True for the operations host_pool, host_image and so on. */
bool host_call_is(unsigned code);

/* About how many host pages it touches. */
uint64_t host_call_work(const struct op *op);

/* Makes the operation's calls on the linked reference. Returns the name of the rule that an answer
 * breaks (static), or NULL. Everything is given back. Calls that were made to fail may answer what
 * the headers say of a system that refuses. One thread. */
const char *host_call(const struct op *op);

#endif
