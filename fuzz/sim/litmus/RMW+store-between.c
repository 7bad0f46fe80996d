/* RMW+store-between: atomicity: no store comes between the halves of an RMW.
 * verdict: forbidden   graphs: 2 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    r0 = add(x, 1, rlx);
}
static void T1(void) {
    store(x, 10, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && load(x, rlx) == 1;
}
