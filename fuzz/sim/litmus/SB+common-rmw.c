/* SB+common-rmw: store buffering, an acq_rel RMW on one common third word between.
 * verdict: forbidden   graphs: 4 */
#include "litmus.h"

static atomic_int x, y, z;

static void T0(void) {
    store(x, 1, rlx);
    add(z, 1, ar);
    r0 = load(y, rlx);
}
static void T1(void) {
    store(y, 1, rlx);
    add(z, 1, ar);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
