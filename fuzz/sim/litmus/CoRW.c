/* CoRW: coherence: a read does not see a write that comes after its own next write.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    r0 = load(x, rlx);
    store(x, 1, rlx);
}
static void T1(void) {
    store(x, 2, rlx);
}

LITMUS(T0, T1) {
    return r0 == 2 && load(x, rlx) == 2;
}
