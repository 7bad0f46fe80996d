/* SB+ar-xchg: store buffering, acq_rel exchanges in place of the stores.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    xchg(x, 1, ar);
    r0 = load(y, acq);
}
static void T1(void) {
    xchg(y, 1, ar);
    r1 = load(x, acq);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
