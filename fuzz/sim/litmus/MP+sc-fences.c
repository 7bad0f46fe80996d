/* MP+sc-fences: message passing, SC fences.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    fence(sc);
    store(y, 1, rlx);
}
static void T1(void) {
    r0 = load(y, rlx);
    fence(sc);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 1 && r1 == 0;
}
