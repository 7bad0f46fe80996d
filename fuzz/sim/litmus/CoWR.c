/* CoWR: coherence: a read after an own write does not see an older one.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    store(x, 1, rlx);
    r0 = load(x, rlx);
}
static void T1(void) {
    store(x, 2, rlx);
}

LITMUS(T0, T1) {
    return r0 == 2 && load(x, rlx) == 1;
}
