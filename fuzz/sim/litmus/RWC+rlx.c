/* RWC+rlx: read to write causality, relaxed.
 * verdict: allowed   graphs: 8 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
}
static void T1(void) {
    r0 = load(x, rlx);
    r1 = load(y, rlx);
}
static void T2(void) {
    store(y, 1, rlx);
    r2 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r0 == 1 && r1 == 0 && r2 == 0;
}
