/* RWC+acq+fence: read to write causality, acquire loads and one SC fence.
 * verdict: allowed   graphs: 8 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
}
static void T1(void) {
    r0 = load(x, acq);
    r1 = load(y, acq);
}
static void T2(void) {
    store(y, 1, rlx);
    fence(sc);
    r2 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r0 == 1 && r1 == 0 && r2 == 0;
}
