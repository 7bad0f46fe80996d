/* dpdk_signal.c: dpdk.c with a signal for each enqueue, like the mailbox's. */
#define PEER_SIGNAL
#include "dpdk.c"
