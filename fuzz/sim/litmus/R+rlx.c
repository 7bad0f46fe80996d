/* R+rlx: R: relaxed.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rlx);
}
static void T1(void) {
    store(y, 2, rlx);
    r0 = load(x, rlx);
}

LITMUS(T0, T1) {
    return load(y, rlx) == 2 && r0 == 0;
}
