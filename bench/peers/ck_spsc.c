/* ck_spsc.c: ck.c with Concurrency Kit's ring for a single producer. */
#define PEER_CK_SINGLE
#include "ck.c"
