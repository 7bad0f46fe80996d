/* ck_signal.c: ck.c with a signal for each enqueue, as the mailbox promises one. */
#define PEER_SIGNAL
#include "ck.c"
