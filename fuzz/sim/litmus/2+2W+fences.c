/* 2+2W+fences: 2+2W: SC fences.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    fence(sc);
    store(y, 2, rlx);
}
static void T1(void) {
    store(y, 1, rlx);
    fence(sc);
    store(x, 2, rlx);
}

LITMUS(T0, T1) {
    return load(x, rlx) == 1 && load(y, rlx) == 1;
}
