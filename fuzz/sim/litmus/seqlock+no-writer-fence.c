/* seqlock+no-writer-fence: seqlock over two words, a torn read: without the writer's release
 * fence.
 * verdict: allowed   graphs: 21 */
#include "litmus.h"

static atomic_int s, x, y;

static void T0(void) {
    store(s, 1, rlx);
    store(x, 1, rlx);
    store(y, 1, rlx);
    store(s, 2, rel);
}
static void T1(void) {
    r0 = load(s, acq);
    r1 = load(x, rlx);
    r2 = load(y, rlx);
    fence(acq);
    r3 = load(s, rlx);
}

LITMUS(T0, T1) {
    return r0 == r3 && r0 % 2 == 0 && r1 != r2;
}
