/* MP+store-between: message passing, through another thread's plain atomic store.
 * verdict: allowed   graphs: 15 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    r2 = load(y, rlx);
    store(y, 2, rlx);
}
static void T2(void) {
    r0 = load(y, acq);
    r1 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r2 == 1 && r0 == 2 && r1 == 0;
}
