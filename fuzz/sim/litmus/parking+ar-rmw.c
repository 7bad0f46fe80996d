/* parking+ar-rmw: parking, neither side sees the other: an acq_rel RMW and an acquire load are not
 * enough.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int flag, waiters;

static void T0(void) {
    store(flag, 1, rel);
    r0 = load(waiters, acq);
}
static void T1(void) {
    add(waiters, 1, ar);
    r1 = load(flag, acq);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
