/* MP+cas-fail-rlx: message passing, a failing CAS reads the flag, failure order relaxed.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    r0 = cas(y, 5, 6, acq, rlx);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 1 && r1 == 0;
}
