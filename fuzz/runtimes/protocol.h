/* protocol.h: a program as a line of JSON, and its answers as a line of text; README.md describes
 * both. A driver's output is not trusted. */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include "door.h"

/* Replaces *line with the program. protocol_repeat then sets how often a tier plays it. */
void protocol_program(struct guest_bytes *line, const struct play *p);
void protocol_repeat(struct guest_bytes *line, unsigned times);

/* The longest line of answers to these requests. */
size_t protocol_answers_bytes_max(const struct request *request, unsigned requests);

/* Reads the answer to r at `at`, in a line that ends with 0. Its bytes, if any, go to *store, which
 * moves past them; half the rest of the line is enough room. Returns the start of the next answer,
 * or NULL if this is not an answer. */
const char *protocol_answer(const char *at, const struct request *r, struct answer *a,
                            uint8_t **store);

#endif
