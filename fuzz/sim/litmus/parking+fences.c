/* parking+fences: parking, neither side sees the other: SC fences on both sides.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int flag, waiters;

static void T0(void) {
    store(flag, 1, rlx);
    fence(sc);
    r0 = load(waiters, rlx);
}
static void T1(void) {
    add(waiters, 1, rlx);
    fence(sc);
    r1 = load(flag, rlx);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
