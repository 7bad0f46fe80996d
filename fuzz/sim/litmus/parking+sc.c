/* parking+sc: parking, neither side sees the other: all SC.
 * verdict: forbidden   graphs: 3 */
#include "litmus.h"

static atomic_int flag, waiters;

static void T0(void) {
    store(flag, 1, sc);
    r0 = load(waiters, sc);
}
static void T1(void) {
    add(waiters, 1, sc);
    r1 = load(flag, sc);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
