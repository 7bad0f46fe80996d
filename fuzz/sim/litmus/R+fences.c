/* R+fences: R: SC fences.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    fence(sc);
    store(y, 1, rlx);
}
static void T1(void) {
    store(y, 2, rlx);
    fence(sc);
    r0 = load(x, rlx);
}

LITMUS(T0, T1) {
    return load(y, rlx) == 2 && r0 == 0;
}
