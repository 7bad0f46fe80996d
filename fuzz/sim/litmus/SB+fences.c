/* SB+fences: store buffering, an SC fence in each thread.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    fence(sc);
    r0 = load(y, rlx);
}
static void T1(void) {
    store(y, 1, rlx);
    fence(sc);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
