/* MP+rmw2: message passing, through two relaxed RMWs of another thread.
 * verdict: forbidden   graphs: 18 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    add(y, 1, rlx);
    add(y, 1, rlx);
}
static void T2(void) {
    r0 = load(y, acq);
    r1 = load(x, rlx);
}

LITMUS(T0, T1, T2) {
    return r0 == 3 && r1 == 0;
}
