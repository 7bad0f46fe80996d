/* SB+rel+acq: store buffering, release and acquire do not help.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rel);
    r0 = load(y, acq);
}
static void T1(void) {
    store(y, 1, rel);
    r1 = load(x, acq);
}

LITMUS(T0, T1) {
    return r0 == 0 && r1 == 0;
}
