/* ISA2+rlx-load1: a chain of two messages, the first load relaxed.
 * verdict: allowed   graphs: 8 */
#include "litmus.h"

static atomic_int x, y, z;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    r0 = load(y, rlx);
    store(z, 1, rel);
}
static void T2(void) {
    r1 = load(z, acq);
    r2 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r0 == 1 && r1 == 1 && r2 == 0;
}
