/* 2+2W+rlx: 2+2W: relaxed.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 2, rlx);
}
static void T1(void) {
    store(y, 1, rlx);
    store(x, 2, rlx);
}

LITMUS(T0, T1) {
    return load(x, rlx) == 1 && load(y, rlx) == 1;
}
