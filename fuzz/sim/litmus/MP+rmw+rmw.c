/* MP+rmw+rmw: message passing, through relaxed RMWs of two other threads.
 * verdict: forbidden   graphs: 36 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
}
static void T1(void) {
    add(y, 1, rlx);
}
static void T2(void) {
    add(y, 1, rlx);
}
static void T3(void) {
    r0 = load(y, acq);
    r1 = load(x, rlx);
}

LITMUS(T0, T1, T2, T3) {
    return r0 == 3 && r1 == 0;
}
