/* ck_signal.c: ck.c with a signal for each enqueue, like the mailbox's. */
#define PEER_SIGNAL
#include "ck.c"
