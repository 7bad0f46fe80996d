/* ck.c: Concurrency Kit's ring for many producers and one consumer; its ring for a single producer
 * (PEER_CK_SINGLE, ck_spsc.c); and the first one with a signal: the mailbox's read-modify-write of
 * a flag after each enqueue and before each drain (PEER_SIGNAL, ck_signal.c). No parking, no lock
 * against moves. Run: build/bench/bench --filter='of:ck'. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef PEER_CK_SINGLE
#define PEER_NAME "ck_spsc"
#elif defined PEER_SIGNAL
#define PEER_NAME "ck_signal"
#else
#define PEER_NAME "ck"
#endif

#if __has_include(<ck_ring.h>)
#define PEER_MISSING NULL
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <ck_ring.h>
#pragma GCC diagnostic pop
#else
#define PEER_MISSING "libck-dev is missing (scripts/setup bench installs it)"
typedef struct {
    int none;
} ck_ring_t;
typedef struct {
    void *value;
} ck_ring_buffer_t;
#endif

struct queue {
    _Alignas(64) ck_ring_t ring;
    ck_ring_buffer_t *slots;
    _Alignas(64) _Atomic uint32_t flag;
};

#if __has_include(<ck_ring.h>)

static bool queue_open(struct queue *queue, uint32_t capacity, const char **why) {
    uint32_t size = capacity * 2; /* the ring leaves one slot free */
    queue->slots = calloc(size, sizeof queue->slots[0]);
    if (queue->slots == NULL) {
        *why = "no memory";
        return false;
    }
    ck_ring_init(&queue->ring, size);
    return true;
}

static void queue_close(struct queue *queue) {
    free(queue->slots);
    queue->slots = NULL;
}

static inline bool queue_enqueue(struct queue *queue, uint32_t id) {
    void *value = (void *)(uintptr_t)id;
#ifdef PEER_CK_SINGLE
    return ck_ring_enqueue_spsc(&queue->ring, queue->slots, value);
#else
    bool accepted = ck_ring_enqueue_mpsc(&queue->ring, queue->slots, value);
#ifdef PEER_SIGNAL
    if (accepted) {
        atomic_fetch_or_explicit(&queue->flag, 1, memory_order_release);
    }
#endif
    return accepted;
#endif
}

static inline uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t),
                                   void *context) {
    uint32_t count = 0;
    void *value = NULL;
#ifdef PEER_SIGNAL
    atomic_fetch_and_explicit(&queue->flag, ~UINT32_C(1), memory_order_acquire);
#endif
#ifdef PEER_CK_SINGLE
    while (ck_ring_dequeue_spsc(&queue->ring, queue->slots, &value)) {
#else
    while (ck_ring_dequeue_mpsc(&queue->ring, queue->slots, &value)) {
#endif
        take(context, (uint32_t)(uintptr_t)value);
        count++;
    }
    return count;
}

#else
#include "missing.h"
#endif

#include "queue.h"

static const struct queue_kind kind = {.family = "peer",
                                       .key = "of",
                                       .value = PEER_NAME,
#ifndef PEER_CK_SINGLE
                                       .many_producers = true,
#endif
                                       .can_be_full = true,
                                       .skip = PEER_MISSING};

BENCH_SUBJECT {
    queue_register(&kind);
}
