/* RMW+lost-increment: atomicity: two relaxed increments do not lose one.
 * verdict: forbidden   graphs: 2 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    add(x, 1, rlx);
}
static void T1(void) {
    add(x, 1, rlx);
}

LITMUS(T0, T1) {
    return load(x, rlx) != 2;
}
