/* MP+rel+acq: message passing, release and acquire.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    r0 = load(y, acq);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 1 && r1 == 0;
}
