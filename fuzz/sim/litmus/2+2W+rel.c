/* 2+2W+rel: 2+2W: release.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, rel);
    store(y, 2, rel);
}
static void T1(void) {
    store(y, 1, rel);
    store(x, 2, rel);
}

LITMUS(T0, T1) {
    return load(x, rlx) == 1 && load(y, rlx) == 1;
}
