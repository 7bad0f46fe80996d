/* IRIW+rel+acq: two readers see two independent writes in opposite orders, release and acquire.
 * verdict: allowed   graphs: 16 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rel);
}
static void T1(void) {
    store(y, 1, rel);
}
static void T2(void) {
    r0 = load(x, acq);
    r1 = load(y, acq);
}
static void T3(void) {
    r2 = load(y, acq);
    r3 = load(x, acq);
}

LITMUS(T0, T1, T2, T3) {
    return r0 == 1 && r1 == 0 && r2 == 1 && r3 == 0;
}
