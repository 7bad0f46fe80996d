/* rows.h: a row of TEST_ROWS for each fuzz target. */
#ifndef ROWS_H
#define ROWS_H

#include "op.h"
#include "test.h"

/* Within the test `row` is the target; %s in the format is its name. */
#define TARGET_ROWS(name_, format_) \
    TEST_ROWS(name_,                \
              row < TARGET_COUNT ? test_text(format_, op_target_name((enum op_target)row)) : NULL)

#endif
