/* orders_acqrel.h: an order table in which every load of the mailbox acquires, every store releases
 * and every read-modify-write does both, even where the chosen table has relaxed or sequentially
 * consistent orders. For measuring only: it is too weak for R34. Sites that are not named here keep
 * the chosen order. */
#undef PB_ORDERS_H
#undef PB_ORDERS_TABLE
#include "orders.h"

#undef PB_ORDER_MAILBOX_SLOT_WRITE
#define PB_ORDER_MAILBOX_SLOT_WRITE memory_order_release
#undef PB_ORDER_MAILBOX_SLOT_READ
#define PB_ORDER_MAILBOX_SLOT_READ memory_order_acquire
#undef PB_ORDER_MAILBOX_HEAD_OWN
#define PB_ORDER_MAILBOX_HEAD_OWN memory_order_acquire
#undef PB_ORDER_MAILBOX_FLAG_SIGNAL
#define PB_ORDER_MAILBOX_FLAG_SIGNAL memory_order_acq_rel
#undef PB_ORDER_MAILBOX_FLAG_CLEAR
#define PB_ORDER_MAILBOX_FLAG_CLEAR memory_order_acq_rel
#undef PB_ORDER_MAILBOX_BELL_RING
#define PB_ORDER_MAILBOX_BELL_RING memory_order_acq_rel
#undef PB_ORDER_MAILBOX_BELL_READ
#define PB_ORDER_MAILBOX_BELL_READ memory_order_acquire
#undef PB_ORDER_MAILBOX_SLEEPER_COUNT
#define PB_ORDER_MAILBOX_SLEEPER_COUNT memory_order_acq_rel
#undef PB_ORDER_MAILBOX_SLEEPER_LOOK
#define PB_ORDER_MAILBOX_SLEEPER_LOOK memory_order_acquire
