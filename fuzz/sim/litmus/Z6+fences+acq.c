/* Z6+fences+acq: Z6: modification order links two threads; SC fences at the ends, release and
 * acquire between.
 * verdict: forbidden   graphs: 7 */
#include "litmus.h"

static atomic_int x, y, z;

static void T0(void) {
    store(x, 1, rlx);
    fence(sc);
    store(y, 1, rlx);
}
static void T1(void) {
    store(y, 2, rlx);
    store(z, 1, rel);
}
static void T2(void) {
    r0 = load(z, acq);
    fence(sc);
    r1 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return load(y, rlx) == 2 && r0 == 1 && r1 == 0;
}
