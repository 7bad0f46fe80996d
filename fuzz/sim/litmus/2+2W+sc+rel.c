/* 2+2W+sc+rel: 2+2W: one of the four is only release.
 * verdict: allowed   graphs: 4 */
#include "litmus.h"

static atomic_int x, y;

static void T0(void) {
    store(x, 1, sc);
    store(y, 2, sc);
}
static void T1(void) {
    store(y, 1, rel);
    store(x, 2, sc);
}

LITMUS(T0, T1) {
    return load(x, rlx) == 1 && load(y, rlx) == 1;
}
