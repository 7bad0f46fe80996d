/* missing.h: stands in for a peer whose package is not installed. Its rows are registered, so that
 * their names exist, and skipped with the reason before any of these functions is called. */
static bool queue_open(struct queue *queue, uint32_t capacity, const char **why) {
    (void)queue, (void)capacity, (void)why;
    return false;
}

static void queue_close(struct queue *queue) {
    (void)queue;
}

static inline bool queue_enqueue(struct queue *queue, uint32_t id) {
    (void)queue, (void)id;
    return false;
}

static inline uint32_t queue_drain(struct queue *queue, void (*take)(void *, uint32_t),
                                   void *context) {
    (void)queue, (void)take, (void)context;
    return 0;
}
