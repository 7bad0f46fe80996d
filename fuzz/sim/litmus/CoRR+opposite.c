/* CoRR+opposite: coherence: two readers do not see two writes in opposite orders.
 * verdict: forbidden   graphs: 72 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    store(x, 1, rlx);
}
static void T1(void) {
    store(x, 2, rlx);
}
static void T2(void) {
    r0 = load(x, rlx);
    r1 = load(x, rlx);
}
static void T3(void) {
    r2 = load(x, rlx);
    r3 = load(x, rlx);
}

LITMUS(T0, T1, T2, T3) {
    return r0 == 1 && r1 == 2 && r2 == 2 && r3 == 1;
}
