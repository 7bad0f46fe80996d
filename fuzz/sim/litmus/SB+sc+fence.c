/* SB+sc+fence: store buffering, SC accesses against an SC fence.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, sc);
    r0 = load(y, sc);
}
static void T1(void) {
    store(y, 1, rlx);
    fence(sc);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
