/* SB3+sc: store buffering of three threads, all SC.
 * verdict: forbidden   graphs: 7 */
#include "litmus.h"

static atomic_int x, y, z;

static void T0(void) {
    store(x, 1, sc);
    r0 = load(y, sc);
}
static void T1(void) {
    store(y, 1, sc);
    r1 = load(z, sc);
}
static void T2(void) {
    store(z, 1, sc);
    r2 = load(x, sc);
}

LITMUS(T0, T1, T2) {
    return r0 == 0 && r1 == 0 && r2 == 0;
}
