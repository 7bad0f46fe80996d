/* R+sc: R: all SC.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, sc);
    store(y, 1, sc);
}
static void T1(void) {
    store(y, 2, sc);
    r0 = load(x, sc);
}

LITMUS(T0, T1) {
    return load(y, rlx) == 2 && r0 == 0;
}
