/* SB+sc-xchg+rlx: store buffering, SC exchanges, relaxed loads.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    xchg(x, 1, sc);
    r0 = load(y, rlx);
}
static void T1(void) {
    xchg(y, 1, sc);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
