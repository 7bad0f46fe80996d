/* IRIW+ar-fences: two readers see two independent writes in opposite orders, acq_rel fences in the
 * readers.
 * verdict: allowed   graphs: 16 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
}
static void T1(void) {
    store(y, 1, rlx);
}
static void T2(void) {
    r0 = load(x, rlx);
    fence(ar);
    r1 = load(y, rlx);
}
static void T3(void) {
    r2 = load(y, rlx);
    fence(ar);
    r3 = load(x, rlx);
}

LITMUS(T0, T1, T2, T3) {
    return r0 == 1 && r1 == 0 && r2 == 1 && r3 == 0;
}
