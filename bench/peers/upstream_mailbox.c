/* upstream_mailbox.c: the mailbox as upstream published it, in C: fetch_add of the tail, a relaxed
 * store to the slot, a release store of the flag, a futex wake each time; drained as the guest does
 * it. The task queue's own notification is left out. The mailbox has 256 slots, never checks
 * whether there is room, and publishes a slot before it is written: it is measured for its cost,
 * not meant for use. Run: build/bench/bench --filter='of:seed'. */
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SLOTS = 256 };

struct queue {
    _Atomic bool closed; /* the host's; the rest is in guest memory */
    _Alignas(64) _Atomic uint32_t capacity;
    _Atomic uint32_t flag, head, tail;
    _Atomic uint32_t ring[SLOTS];
};

static bool queue_open(struct queue *queue, uint32_t capacity, const char **why) {
    (void)queue, (void)capacity, (void)why;
    return true;
}

static void queue_close(struct queue *queue) {
    (void)queue;
}

static inline bool queue_enqueue(struct queue *queue, uint32_t id) {
    if (atomic_load_explicit(&queue->closed, memory_order_acquire)) {
        return false;
    }
    uint32_t tail = atomic_fetch_add_explicit(&queue->tail, 1, memory_order_acq_rel);
    atomic_store_explicit(&queue->ring[tail % SLOTS], id, memory_order_relaxed);
    atomic_store_explicit(&queue->flag, 1, memory_order_release);
    syscall(SYS_futex, (void *)&queue->flag, FUTEX_WAKE, 1);
    return true;
}

static inline uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t),
                                   void *context) {
    uint32_t first = atomic_load_explicit(&queue->head, memory_order_acquire);
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire), head = first;
    while (head != tail) {
        take(context, atomic_load_explicit(&queue->ring[head % SLOTS], memory_order_relaxed));
        head++;
    }
    atomic_store_explicit(&queue->head, head, memory_order_release);
    atomic_store_explicit(&queue->flag, 0, memory_order_relaxed);
    return head - first;
}

#include "queue.h"

static const struct queue_kind kind = {
    .family = "peer", .key = "of", .value = "seed", .many_producers = true, .may_lose = true};

BENCH_SUBJECT {
    queue_register(&kind);
}
