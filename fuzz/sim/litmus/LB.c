/* LB: load buffering is excluded by this machine (Arm shows it).
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    r0 = load(x, rlx);
    store(y, 1, rlx);
}
static void T1(void) {
    r1 = load(y, rlx);
    store(x, 1, rlx);
}

LITMUS(T0, T1) {
    return r0 == 1 && r1 == 1;
}
