/* rows.c: the library's rows; rows with strategies exist once per strategy that the kernel has. */
#include "gate.h"

#include <stdio.h>
#include <stdlib.h>

void gate_need_ok(enum pb_status status, const char *what) {
    if (status != PB_OK) {
        fprintf(stderr, "gate: cannot go on: %s: %s\n", what, pb_status_name(status));
        exit(2);
    }
}

static void add_table(const struct gate_row *table) {
    for (; table->name != NULL; table++) {
        struct gate_row row = *table;
        for (unsigned s = 0; s < PB_STRATEGY_COUNT; s++) {
            row.strategy = (enum pb_strategy)s;
            row.timed = table->timed >> s & 1;
            if (table->strategies >> s & 1 && pb_strategy_available(row.strategy, NULL) == PB_OK) {
                gate_add(&row, pb_strategy_info(row.strategy)->name);
            }
        }
        row = *table;
        if (row.strategies == 0) {
            gate_add(&row, NULL);
        }
    }
}

void gate_add_rows(void) {
    add_table(gate_rows_memory);
    add_table(gate_rows_bytes);
    add_table(gate_rows_mailbox);
    add_table(gate_rows_threads);
}
