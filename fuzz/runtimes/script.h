/* script.h: a finding as one file that the runtime's developers can run without Pagebox. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include "door.h"

struct script {
    const struct request *request;
    unsigned requests, culprit; /* the one whose answer is another than foretold */
    const struct guest_bytes *const *module;
    const char *runtime, *told; /* its name; what went wrong, for people */
    const char *commands;       /* lines that show it */
    unsigned repeat;
};

/* path.js, for engines of JavaScript; path.wast, for those that run the specification's scripts.
 * False when it could not be written. A .wast leaves out what only a host can do. */
bool script_write(const char *path, const struct script *script);

#endif
