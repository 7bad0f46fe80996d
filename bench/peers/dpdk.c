/* dpdk.c: DPDK's ring for many producers and one consumer, without its environment layer. Compiled
 * with -std=gnu11 -march=corei7, which its headers need, and only if libdpdk-dev is installed: that
 * needs 223 packages, so only `scripts/setup bench-contended` installs it. No parking; with
 * PEER_SIGNAL (dpdk_signal.c) also the mailbox's read-modify-write of a flag after each enqueue and
 * before each drain. Run: build/bench/bench --filter='of:dpdk'. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef PEER_DPDK
#define PEER_MISSING NULL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include <rte_ring.h>
#pragma GCC diagnostic pop

struct queue {
    struct rte_ring *ring;
    _Alignas(64) _Atomic uint32_t flag;
};

static bool queue_open(struct queue *queue, uint32_t capacity, const char **why) {
    uint32_t size = capacity * 2; /* the ring leaves one slot free */
    ssize_t bytes = rte_ring_get_memsize(size);
    queue->ring =
        bytes > 0 ? aligned_alloc(RTE_CACHE_LINE_SIZE, ((size_t)bytes + 127) & ~(size_t)127) : NULL;
    if (queue->ring == NULL || rte_ring_init(queue->ring, "bench", size, RING_F_SC_DEQ) != 0) {
        *why = "rte_ring_init refused";
        return false;
    }
    return true;
}

static void queue_close(struct queue *queue) {
    free(queue->ring);
    queue->ring = NULL;
}

static inline bool queue_enqueue(struct queue *queue, uint32_t id) {
    bool accepted = rte_ring_mp_enqueue(queue->ring, (void *)(uintptr_t)id) == 0;
#ifdef PEER_SIGNAL
    if (accepted) {
        atomic_fetch_or_explicit(&queue->flag, 1, memory_order_release);
    }
#endif
    return accepted;
}

static inline uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t),
                                   void *context) {
    enum { BURST = 64 };
    void *values[BURST];
    uint32_t count = 0, now;
#ifdef PEER_SIGNAL
    atomic_fetch_and_explicit(&queue->flag, ~UINT32_C(1), memory_order_acquire);
#endif
    while ((now = rte_ring_sc_dequeue_burst(queue->ring, values, BURST, NULL)) > 0) {
        for (uint32_t i = 0; i < now; i++) {
            take(context, (uint32_t)(uintptr_t)values[i]);
        }
        count += now;
    }
    return count;
}

#else
#define PEER_MISSING "libdpdk-dev is not installed (223 packages): scripts/setup bench-contended"
struct queue {
    int none;
};
#include "missing.h"
#endif

#include "queue.h"

static const struct queue_kind kind = {.family = "peer",
                                       .key = "of",
#ifdef PEER_SIGNAL
                                       .value = "dpdk_signal",
#else
                                       .value = "dpdk",
#endif
                                       .many_producers = true,
                                       .can_be_full = true,
                                       .skip = PEER_MISSING};

BENCH_SUBJECT {
    queue_register(&kind);
}
