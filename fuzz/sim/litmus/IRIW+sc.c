/* IRIW+sc: two readers see two independent writes in opposite orders, all SC.
 * verdict: forbidden   graphs: 15 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, sc);
}
static void T1(void) {
    store(y, 1, sc);
}
static void T2(void) {
    r0 = load(x, sc);
    r1 = load(y, sc);
}
static void T3(void) {
    r2 = load(y, sc);
    r3 = load(x, sc);
}

LITMUS(T0, T1, T2, T3) {
    return r0 == 1 && r1 == 0 && r2 == 1 && r3 == 0;
}
