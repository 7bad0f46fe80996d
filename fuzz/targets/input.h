/* input.h: reads an input of any form, text or bytes, for the programs that take files. */
#ifndef INPUT_H
#define INPUT_H

#include "op.h"

enum { INPUT_BYTES_MAX = 16 << 20 };

/* Reads a program from a file. given: the target of inputs in bytes, or NULL: taken from the name
 * of a folder above the file. True, or false after one line on standard error that begins with the
 * tool's name. *cut (may be NULL): the input held more than a program can; the rest is left out. */
bool input_read(const char *tool, const char *path, const enum op_target *given,
                struct program *program, bool *cut);

#endif
