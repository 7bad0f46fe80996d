/* S+rlx: S: a write after a read, relaxed.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 2, rlx);
    store(y, 1, rlx);
}
static void T1(void) {
    r0 = load(y, rlx);
    store(x, 1, rlx);
}

LITMUS(T0, T1) {
    return r0 == 1 && load(x, rlx) == 2;
}
