/* urcu.c: liburcu's wait-free concurrent queue: an exchange and a store to enqueue; a drain splices
 * everything off. It is an unbounded list whose nodes belong to the caller: here they exist
 * already, one per id. No signal, no parking. Run: build/bench/bench --filter='of:urcu'. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if __has_include(<urcu/wfcqueue.h>)
#define PEER_MISSING NULL
#define _LGPL_SOURCE /* for inline functions, as its fastest users do */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <urcu/wfcqueue.h>
#pragma GCC diagnostic pop

struct queue {
    _Alignas(64) struct cds_wfcq_tail tail;
    _Alignas(64) struct __cds_wfcq_head head;
    struct cds_wfcq_node *nodes; /* by id */
};

enum { NODES = 32769 };

static bool queue_open(struct queue *queue, uint32_t capacity, const char **why) {
    (void)capacity;
    queue->nodes = calloc(NODES, sizeof queue->nodes[0]);
    if (queue->nodes == NULL) {
        *why = "no memory";
        return false;
    }
    __cds_wfcq_init(&queue->head, &queue->tail);
    return true;
}

static void queue_close(struct queue *queue) {
    free(queue->nodes);
    queue->nodes = NULL;
}

static inline bool queue_enqueue(struct queue *queue, uint32_t id) {
    struct cds_wfcq_node *node = &queue->nodes[id];
    cds_wfcq_node_init(node);
    cds_wfcq_enqueue(&queue->head, &queue->tail, node);
    return true;
}

static inline uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t),
                                   void *context) {
    struct __cds_wfcq_head head;
    struct cds_wfcq_tail tail;
    struct cds_wfcq_node *node;
    uint32_t count = 0;
    __cds_wfcq_init(&head, &tail);
    if (__cds_wfcq_splice_blocking(&head, &tail, &queue->head, &queue->tail) ==
        CDS_WFCQ_RET_SRC_EMPTY) {
        return 0;
    }
    __cds_wfcq_for_each_blocking(&head, &tail, node) {
        take(context, (uint32_t)(node - queue->nodes));
        count++;
    }
    return count;
}

#else
#define PEER_MISSING "liburcu-dev is missing (scripts/setup bench installs it)"
struct queue {
    int none;
};
#include "missing.h"
#endif

#include "queue.h"

static const struct queue_kind kind = {.family = "peer",
                                       .key = "of",
                                       .value = "urcu_wfcq",
                                       .many_producers = true,
                                       .skip = PEER_MISSING};

BENCH_SUBJECT {
    queue_register(&kind);
}
