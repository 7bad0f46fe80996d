/* trace_json.h: the last run's trace as JSON. scripts/trace.py makes pages and columns of it. */
#ifndef SIM_TRACE_JSON_H
#define SIM_TRACE_JSON_H

#include <stdio.h>

/* Writes one JSON object: threads, lines (in the order of the run, code addresses as numbers),
 * finding, detail. The run must have been made with options.trace. */
void sim_trace_json(FILE *out);

/* Writes text as a JSON string, with its quotes. */
void sim_json_string(FILE *out, const char *text);

#endif
