/* SB+sc-xchg+sc: store buffering, SC exchanges, SC loads.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    xchg(x, 1, sc);
    r0 = load(y, sc);
}
static void T1(void) {
    xchg(y, 1, sc);
    r1 = load(x, sc);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
