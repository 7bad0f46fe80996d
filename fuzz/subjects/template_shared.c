/* template_shared.c: a small memory that threads share, with wait and notify, as a subject: the
 * starting point for testing threads. See template.c; README.md says how to build it.
 *
 *   fuzz/subjects/build.sh -e mine.engine.so fuzz/subjects/template_shared.c
 *   make fuzz TARGET=waiters_fuzzer SUBJECT=./mine.engine.so
 *
 * Limits: at most 64 pages, allocated at once; one style whatever was requested; no copies. */
#include "subject.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { PAGES_MAX = 64 };
#define FOREVER_NS (INT64_MAX / 4) /* 73 years; longer timeouts never end */

/* A waiting thread, on its own stack; the memory's list has the oldest first. */
struct waiter {
    uint64_t address;
    bool notified;
    pthread_cond_t wake;
    struct waiter *next;
};

struct memory {
    struct subject_record own, *record; /* what compiled code reads: `own`, or the caller's */
    _Atomic unsigned handles;
    uint64_t max_pages;
    bool shared, disabled;
    pthread_mutex_t lock; /* protects growth and the list of waiters */
    struct waiter *first;
    uint32_t waiters;
    _Alignas(16) uint8_t bytes[]; /* max_pages pages */
};

static uint64_t size_bytes(void *memory) {
    return atomic_load(&((struct memory *)memory)->record->length_bytes);
}

static uint64_t size_pages(void *memory) {
    return size_bytes(memory) / SUBJECT_PAGE_BYTES;
}

static const struct subject_record *record(void *memory) {
    return ((struct memory *)memory)->record;
}

static struct subject_type type(void *self) {
    const struct memory *memory = self;
    return (struct subject_type){(uint32_t)size_pages(self), (uint32_t)memory->max_pages,
                                 memory->shared};
}

/* ---- Life ------------------------------------------------------------------------------------ */

static enum subject_status create(const struct subject_memory_config *config, void **made) {
    const uint32_t min = config->type.min_pages, max = config->type.max_pages;
    if (max == SUBJECT_NO_MAXIMUM) {
        return config->type.shared ? SUBJECT_INVALID : SUBJECT_NO_MEMORY;
    }
    if (max > SUBJECT_PAGES_MAX || min > max) {
        return SUBJECT_LIMIT;
    }
    struct memory *memory =
        max > PAGES_MAX ? NULL : calloc(1, sizeof *memory + max * SUBJECT_PAGE_BYTES);
    if (memory == NULL) {
        return SUBJECT_NO_MEMORY;
    }
    memory->record = config->record != NULL ? config->record : &memory->own;
    atomic_init(&memory->record->base, memory->bytes);
    atomic_init(&memory->record->length_bytes, min * SUBJECT_PAGE_BYTES);
    atomic_init(&memory->handles, 1);
    memory->max_pages = max;
    memory->shared = config->type.shared;
    pthread_mutex_init(&memory->lock, NULL);
    *made = memory;
    return SUBJECT_OK;
}

static void destroy(void *self) {
    struct memory *memory = self;
    if (atomic_fetch_sub(&memory->handles, 1) == 1) {
        pthread_mutex_destroy(&memory->lock);
        free(memory);
    }
}

static enum subject_status share(void *self, void **made) {
    struct memory *memory = self;
    if (!memory->shared) {
        return SUBJECT_NOT_SHARED;
    }
    atomic_fetch_add(&memory->handles, 1);
    *made = memory;
    return SUBJECT_OK;
}

static enum subject_status grow(void *self, uint32_t delta_pages, uint32_t *old_pages) {
    struct memory *memory = self;
    pthread_mutex_lock(&memory->lock);
    const uint64_t old = size_bytes(self);
    const bool fits = old / SUBJECT_PAGE_BYTES + delta_pages <= memory->max_pages;
    if (fits) {
        atomic_store(&memory->record->length_bytes, old + delta_pages * SUBJECT_PAGE_BYTES);
    }
    pthread_mutex_unlock(&memory->lock);
    *old_pages = (uint32_t)(old / SUBJECT_PAGE_BYTES);
    return fits ? SUBJECT_OK : SUBJECT_LIMIT;
}

/* ---- Words ----------------------------------------------------------------------------------- */

/* The address of the bytes, or NULL with the reason in *status. */
static uint8_t *at(struct memory *memory, uint64_t address, unsigned width, bool aligned,
                   enum subject_status *status) {
    const uint64_t size = size_bytes(memory);
    const bool known = width == 1 || width == 2 || width == 4 || width == 8;
    *status = !known                                     ? SUBJECT_INVALID
              : aligned && address % width != 0          ? SUBJECT_MISALIGNED
              : address > size || size - address < width ? SUBJECT_OUT_OF_BOUNDS
                                                         : SUBJECT_OK;
    return *status == SUBJECT_OK ? memory->bytes + address : NULL;
}

/* Aligned plain accesses of 2 and 4 bytes are never torn, other plain ones may be. */
static bool is_whole(const uint8_t *at, unsigned width) {
    return (width == 2 || width == 4) && (uintptr_t)at % width == 0;
}

static enum subject_status load(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                uint64_t *value) {
    enum subject_status status;
    const uint8_t *from = at(memory, (uint64_t)index + offset, width, false, &status);
    if (from == NULL) {
        return status;
    }
    if (is_whole(from, width)) {
        *value = width == 4
                     ? __atomic_load_n((const uint32_t *)(const void *)from, __ATOMIC_RELAXED)
                     : __atomic_load_n((const uint16_t *)(const void *)from, __ATOMIC_RELAXED);
        return status;
    }
    *value = 0;
    for (unsigned i = 0; i < width; i++) { /* byte by byte: other threads may write them */
        *value |= (uint64_t)__atomic_load_n(from + i, __ATOMIC_RELAXED) << 8 * i;
    }
    return status;
}

static enum subject_status store(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                 uint64_t value) {
    enum subject_status status;
    uint8_t *to = at(memory, (uint64_t)index + offset, width, false, &status);
    if (to != NULL && is_whole(to, width) && width == 4) {
        __atomic_store_n((uint32_t *)(void *)to, (uint32_t)value, __ATOMIC_RELAXED);
    } else if (to != NULL && is_whole(to, width)) {
        __atomic_store_n((uint16_t *)(void *)to, (uint16_t)value, __ATOMIC_RELAXED);
    } else if (to != NULL) {
        for (unsigned i = 0; i < width; i++) {
            __atomic_store_n(to + i, (uint8_t)(value >> 8 * i), __ATOMIC_RELAXED);
        }
    }
    return status;
}

static void store_atomically(uint8_t *to, unsigned width, uint64_t value) {
    switch (width) {
    case 1:
        __atomic_store_n(to, (uint8_t)value, __ATOMIC_SEQ_CST);
        break;
    case 2:
        __atomic_store_n((uint16_t *)(void *)to, (uint16_t)value, __ATOMIC_SEQ_CST);
        break;
    case 4:
        __atomic_store_n((uint32_t *)(void *)to, (uint32_t)value, __ATOMIC_SEQ_CST);
        break;
    default:
        __atomic_store_n((uint64_t *)(void *)to, value, __ATOMIC_SEQ_CST);
    }
}

static enum subject_status store_word(void *memory, uint32_t index, uint32_t offset, unsigned width,
                                      uint64_t value) {
    enum subject_status status;
    uint8_t *to = at(memory, (uint64_t)index + offset, width, true, &status);
    if (to != NULL) {
        store_atomically(to, width, value);
    }
    return status;
}

/* ---- Wait and notify ------------------------------------------------------------------------- */

static void leave(struct memory *memory, const struct waiter *self) {
    struct waiter **link = &memory->first;
    while (*link != self) {
        link = &(*link)->next;
    }
    *link = self->next;
    memory->waiters--;
}

static void sleep_until_notified(struct memory *memory, struct waiter *self, int64_t timeout_ns) {
    struct timespec until;
    if (timeout_ns > FOREVER_NS) {
        timeout_ns = -1;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    const int64_t ns = timeout_ns < 0 ? 0 : until.tv_nsec + timeout_ns % 1000000000;
    until.tv_sec += timeout_ns < 0 ? 0 : timeout_ns / 1000000000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    int late = 0;
    while (!self->notified && !memory->disabled && late == 0) {
        late = timeout_ns < 0 ? pthread_cond_wait(&self->wake, &memory->lock)
                              : pthread_cond_timedwait(&self->wake, &memory->lock, &until);
    }
}

/* Comparing and joining the list are one step, because notify takes the same lock. */
static enum subject_status wait_locked(struct memory *memory, uint64_t address, bool equal,
                                       int64_t timeout_ns, unsigned *result) {
    struct waiter self = {.address = address};
    struct waiter **last = &memory->first;
    if (memory->disabled) {
        return SUBJECT_DISABLED;
    }
    *result = equal ? 2 : 1;
    if (!equal || timeout_ns == 0) {
        return SUBJECT_OK;
    }
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = &self;
    memory->waiters++;
    pthread_cond_init(&self.wake, NULL);
    sleep_until_notified(memory, &self, timeout_ns);
    pthread_cond_destroy(&self.wake);
    if (!self.notified) {
        leave(memory, &self);
    }
    *result = self.notified ? 0 : 2;
    return !self.notified && memory->disabled ? SUBJECT_DISABLED : SUBJECT_OK;
}

static enum subject_status wait_on(struct memory *memory, uint64_t address, unsigned width,
                                   uint64_t expected, int64_t timeout_ns, unsigned *result) {
    enum subject_status status;
    const uint8_t *word = at(memory, address, width, true, &status);
    if (word == NULL || !memory->shared) {
        return word == NULL ? status : SUBJECT_NOT_SHARED;
    }
    pthread_mutex_lock(&memory->lock);
    const uint64_t value =
        width == 4 ? __atomic_load_n((const uint32_t *)(const void *)word, __ATOMIC_SEQ_CST)
                   : __atomic_load_n((const uint64_t *)(const void *)word, __ATOMIC_SEQ_CST);
    status = wait_locked(memory, address, value == expected, timeout_ns, result);
    pthread_mutex_unlock(&memory->lock);
    return status;
}

static enum subject_status wait32(void *memory, uint64_t address, uint32_t expected,
                                  int64_t timeout_ns, unsigned *result) {
    return wait_on(memory, address, 4, expected, timeout_ns, result);
}

static enum subject_status wait64(void *memory, uint64_t address, uint64_t expected,
                                  int64_t timeout_ns, unsigned *result) {
    return wait_on(memory, address, 8, expected, timeout_ns, result);
}

static enum subject_status notify(void *self, uint64_t address, uint32_t count, uint32_t *woken) {
    struct memory *memory = self;
    enum subject_status status;
    if (at(memory, address, 4, true, &status) == NULL) {
        return status;
    }
    *woken = 0;
    pthread_mutex_lock(&memory->lock);
    /* Disabled waiters may still be in the list, but no longer count. */
    struct waiter *waiter = memory->disabled ? NULL : memory->first;
    for (struct waiter *next; waiter != NULL && *woken < count; waiter = next) {
        next = waiter->next;
        if (waiter->address == address) {
            leave(memory, waiter);
            waiter->notified = true;
            pthread_cond_signal(&waiter->wake);
            (*woken)++;
        }
    }
    pthread_mutex_unlock(&memory->lock);
    return SUBJECT_OK;
}

static void disable_atomics(void *self) {
    struct memory *memory = self;
    pthread_mutex_lock(&memory->lock);
    memory->disabled = memory->shared;
    for (struct waiter *waiter = memory->first; waiter != NULL; waiter = waiter->next) {
        pthread_cond_signal(&waiter->wake);
    }
    pthread_mutex_unlock(&memory->lock);
}

static uint32_t waiters(void *self) {
    struct memory *memory = self;
    pthread_mutex_lock(&memory->lock);
    const uint32_t count = memory->waiters;
    pthread_mutex_unlock(&memory->lock);
    return count;
}

const struct subject *pagebox_subject(void) {
    static const struct subject_strategy strategy = {.name = "mine",
                                                     .stable_base = true,
                                                     .shareable = true,
                                                     .one_style = true,
                                                     .slot_pages = PAGES_MAX};
    static const struct subject_memory memory = {
        .promises = SUBJECT_TELLS_LIMIT,
        .strategies = 1,
        .strategy = &strategy,
        .create = create,
        .destroy = destroy,
        .size_pages = size_pages,
        .size_bytes = size_bytes,
        .grow = grow,
        .record = record,
        .type = type,
        .clone = share,
        .load = load,
        .store = store,
        .atomic_store = store_word,
        .wait32 = wait32,
        .wait64 = wait64,
        .notify = notify,
        .disable_atomics = disable_atomics,
        .waiters = waiters,
    };
    static const struct subject_exemption not_promised[] = {
        {"R28-waiter-limit", "it has no limit of waiters"}, {NULL, NULL}};
    static const struct subject mine = {.abi = SUBJECT_ABI,
                                        .name = "template_shared",
                                        .memory = &memory,
                                        .not_promised = not_promised};
    return &mine;
}
