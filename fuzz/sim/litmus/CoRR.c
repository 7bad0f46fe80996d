/* CoRR: coherence: two reads of one thread do not go back.
 * verdict: forbidden   graphs: 6 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    store(x, 1, rlx);
    store(x, 2, rlx);
}
static void T1(void) {
    r0 = load(x, rlx);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 2 && r1 == 1;
}
