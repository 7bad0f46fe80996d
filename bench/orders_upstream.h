/* orders_upstream.h: the order table of upstream's mailbox and guest, site by site: the host writes
 * the slot relaxed and publishes with release; the guest loads head and tail with acquire, reads
 * slots relaxed, releases the head and clears the flag relaxed. For measuring only: because of the
 * relaxed clear, a drain may miss an id (S21). Sites that upstream does not have keep the chosen
 * order. */
#undef PB_ORDERS_H
#undef PB_ORDERS_TABLE
#include "orders.h"

#undef PB_ORDER_MAILBOX_HEAD_OWN
#define PB_ORDER_MAILBOX_HEAD_OWN memory_order_acquire
#undef PB_ORDER_MAILBOX_FLAG_CLEAR
#define PB_ORDER_MAILBOX_FLAG_CLEAR memory_order_relaxed
#undef PB_ORDER_MAILBOX_BELL_RING
#define PB_ORDER_MAILBOX_BELL_RING memory_order_release
#undef PB_ORDER_MAILBOX_BELL_READ
#define PB_ORDER_MAILBOX_BELL_READ memory_order_acquire
#undef PB_ORDER_MAILBOX_SLEEPER_COUNT
#define PB_ORDER_MAILBOX_SLEEPER_COUNT memory_order_relaxed
#undef PB_ORDER_MAILBOX_SLEEPER_LOOK
#define PB_ORDER_MAILBOX_SLEEPER_LOOK memory_order_relaxed
