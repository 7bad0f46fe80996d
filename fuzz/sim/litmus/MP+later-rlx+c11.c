/* MP+later-rlx+c11: message passing, the flag is overwritten relaxed: a release sequence in C11.
 * verdict: forbidden   graphs: 4   option: c11 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rlx);
    store(y, 1, rel);
    store(y, 2, rlx);
}
static void T1(void) {
    r0 = load(y, acq);
    r1 = load(x, rlx);
}

LITMUS(T0, T1) {
    return r0 == 2 && r1 == 0;
}
