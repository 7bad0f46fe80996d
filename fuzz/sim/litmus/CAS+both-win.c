/* CAS+both-win: atomicity: two equal compare-exchanges do not both win.
 * verdict: forbidden   graphs: 2 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    r0 = cas(x, 0, 1, rlx, rlx);
}
static void T1(void) {
    r1 = cas(x, 0, 1, rlx, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
