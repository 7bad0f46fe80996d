/* 2+2W+sc: 2+2W: all SC.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, sc);
    store(y, 2, sc);
}
static void T1(void) {
    store(y, 1, sc);
    store(x, 2, sc);
}

LITMUS(T0, T1) {
    return load(x, rlx) == 1 && load(y, rlx) == 1;
}
