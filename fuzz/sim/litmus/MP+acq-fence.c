/* MP+acq-fence: message passing, release store and acquire fence.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    r0 = load(y, rlx);
    fence(acq);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 1 && r1 == 0;
}
