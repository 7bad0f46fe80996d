/* script.h: a finding as one file that the runtime's developers can run without Pagebox. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "door.h"

struct script {
    const struct request *request;
    unsigned requests, culprit; /* culprit: the request whose answer differs from the prediction */
    const struct guest_bytes *const *module;
    const char *runtime, *told; /* its name; what went wrong, for people */
    const char *commands;       /* lines that reproduce it */
    unsigned repeat;
};

/* Writes path.js, for JavaScript engines, and path.wast, for engines that run the specification's
 * scripts. False if that failed. A .wast leaves out what only a host can do. */
bool script_write(const char *path, const struct script *script);

#endif
