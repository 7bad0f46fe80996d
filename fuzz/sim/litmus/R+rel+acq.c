/* R+rel+acq: R: release and acquire.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rel);
    store(y, 1, rel);
}
static void T1(void) {
    store(y, 2, rel);
    r0 = load(x, acq);
}

LITMUS(T0, T1) {
    return load(y, rlx) == 2 && r0 == 0;
}
