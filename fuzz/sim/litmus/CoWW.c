/* CoWW: coherence: two writes of one thread keep their order.
 * verdict: forbidden   graphs: 1 */
#include "litmus.h"

static atomic_int x;

static void T0(void) {
    store(x, 1, rlx);
    store(x, 2, rlx);
}

LITMUS(T0) {
    return load(x, rlx) == 1;
}
