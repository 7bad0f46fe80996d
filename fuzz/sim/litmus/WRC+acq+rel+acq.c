/* WRC+acq+rel+acq: write to read causality, acquire, release, acquire.
 * verdict: forbidden   graphs: 7 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
}
static void T1(void) {
    r0 = load(x, acq);
    store(y, 1, rel);
}
static void T2(void) {
    r1 = load(y, acq);
    r2 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r0 == 1 && r1 == 1 && r2 == 0;
}
