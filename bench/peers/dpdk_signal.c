/* dpdk_signal.c: dpdk.c with a signal for each enqueue, as the mailbox promises one. */
#define PEER_SIGNAL
#include "dpdk.c"
