/* W+RWC+fences: a message, then read to write causality with SC fences.
 * verdict: forbidden   graphs: 7 */
#include "litmus.h"

static atomic_int x, y, z;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    r0 = load(y, acq);
    fence(sc);
    r1 = load(z, rlx);
}
static void T2(void) {
    store(z, 1, rlx);
    fence(sc);
    r2 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r0 == 1 && r1 == 0 && r2 == 0;
}
