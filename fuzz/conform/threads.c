/* threads.c: runs conformance programs on a memory in C, or on a WebAssembly runtime in this
 * process (library.h), one pthread a thread. See threads.h.
 *
 * As driver.mjs does it: many instances side by side in one memory, or, where a program grows its
 * memory or disables its atomics, each instance in one of its own; the threads leave together; a
 * helper wakes who stays blocked for ever, so that the run goes on and the outcome says `blocked`,
 * and disturbs. */
#include "threads.h"

#include "library.h"
#include "load.h"
#include "subject.h"
#include "wasm.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    INSTANCES = 4096,
    WAITING_INSTANCES = 128, /* for programs that wait, which are slower */
    BATCH = 16,              /* number of memories, for programs that need one per instance */
    PAGES = 8,
    BLOCKS_AT = 1024,
    LIBRARY_BLOCKS_AT = 65536, /* after the first page, which has the harness's words */
    SPINS = 4096,
    YIELDS = 16,
    TOGETHER_INSTANCES = 1024, /* in rounds whose threads meet before each instance */
    TABLE = 4096,
    MILLISECOND_NS = 1000000,
    STATUS_STUCK = 4, /* exit status: threads block for good, so a new process continues */
};

#define UNEXPECTED \
    UINT64_C(0xBAD0000000000000) /* | enum subject_status: a status that is not allowed */

struct line {
    _Alignas(128) _Atomic uint32_t value;
};

struct instance {
    void *handle[CONFORM_THREADS + 1]; /* one per thread, and the helper's */
    uint64_t block;
};

struct slice {
    const struct conform_program *program;
    const struct conform_set *set;
    const struct subject_memory *subject;
    bool is_library;   /* a runtime: a thread's operations are one call */
    bool is_own;       /* each instance has its own memory */
    unsigned strategy; /* of the subject's */
    unsigned disturb;  /* 0: not at all, 1: grows, 2: makes and drops handles, and sends signals */
    uint64_t hang_ns, until_ns;
    uint64_t seed;
    /* Drawn by thread 0 for each round. */
    struct instance instance[BATCH];
    unsigned count;
    uint64_t block, stride;
    bool sync;
    uint32_t delay;
    uint32_t epoch; /* number of the round's first instance - 1 */
    bool ends;
    bool failed;
    /* Shared between the threads. */
    struct line arrived[CONFORM_THREADS], published[CONFORM_THREADS];
    struct line rescue, rescued, verdict;
    pthread_t id[CONFORM_THREADS];
    _Atomic bool help_ends;
    pthread_mutex_t looking; /* held by the helper while it examines instances */
    bool is_ready;           /* there are instances to examine */
    uint64_t *result;        /* INSTANCES * slots */
    uint64_t *table;         /* TABLE * (1 + outcome): a count, an outcome */
    uint64_t instances, lost, rescues;
};

/* ---- Time and random numbers ----------------------------------------------------------------- */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_us(long us) {
    struct timespec t = {.tv_nsec = us * 1000};
    nanosleep(&t, NULL);
}

static uint32_t draw(uint64_t *seed, uint32_t limit) {
    *seed += 0x9E3779B97F4A7C15u;
    uint64_t z = *seed;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (uint32_t)((z ^ z >> 31) >> 32) % limit;
}

static inline void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* A barrier: returns when all threads have reached the value. */
static void arrive(struct slice *s, unsigned thread, uint32_t value) {
    unsigned spins =
        s->program->threads > 2 ? SPINS / 8 : SPINS; /* with more threads, one is always late */
    atomic_store(&s->arrived[thread].value, value);
    for (unsigned t = 0; t < s->program->threads; t++) {
        for (unsigned tries = 0; (int32_t)(atomic_load(&s->arrived[t].value) - value) < 0;
             tries++) {
            if (tries < spins) {
                pause_cpu();
            } else if (tries < spins + YIELDS) {
                sched_yield();
            } else {
                sleep_us(20);
            }
        }
    }
}

/* ---- One operation --------------------------------------------------------------------------- */

static uint64_t address_of(const struct slice *s, const struct instance *instance, uint32_t at) {
    return at & CONFORM_GROWN ? s->program->min_pages * SUBJECT_PAGE_BYTES + (at & ~CONFORM_GROWN)
                              : instance->block + at;
}

static uint64_t answered(enum subject_status status, uint64_t value) {
    switch (status) {
    case SUBJECT_OK:
        return value;
    case SUBJECT_OUT_OF_BOUNDS:
        return CONFORM_TRAP;
    case SUBJECT_DISABLED:
        return CONFORM_DISABLED;
    default:
        return UNEXPECTED | (uint64_t)status;
    }
}

/* The bytes that memory_bulk_init copies. */
static const uint8_t segment_bytes[CONFORM_SEGMENT_BYTES] = {
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44,
    45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64};
static const struct subject_segment segment = {segment_bytes, sizeof segment_bytes};

static uint64_t perform(const struct slice *s, const struct instance *instance, void *m,
                        const struct conform_operation *o) {
    static const enum subject_rmw kinds[] = {
        [CONFORM_ADD] = SUBJECT_ADD, [CONFORM_SUB] = SUBJECT_SUB, [CONFORM_AND] = SUBJECT_AND,
        [CONFORM_OR] = SUBJECT_OR,   [CONFORM_XOR] = SUBJECT_XOR, [CONFORM_XCHG] = SUBJECT_XCHG};
    const struct subject_memory *f = s->subject;
    uint32_t at = (uint32_t)address_of(s, instance, o->at), count = 0;
    uint64_t value = 0, mask = o->width == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * o->width) - 1;
    unsigned result = 0;
    enum subject_status status;
    switch (o->code) {
    case CONFORM_memory_load:
        status = f->load(m, at, 0, o->width, &value);
        return answered(status, value);
    case CONFORM_memory_store:
        return answered(f->store(m, at, 0, o->width, o->value & mask), CONFORM_OK);
    case CONFORM_memory_atomic_load:
        status = (f->atomic_load)(m, at, 0, o->width, &value);
        return answered(status, value);
    case CONFORM_memory_atomic_store:
        return answered((f->atomic_store)(m, at, 0, o->width, o->value & mask), CONFORM_OK);
    case CONFORM_memory_atomic_rmw:
        status = f->atomic_rmw(m, kinds[o->kind], at, 0, o->width, o->value & mask, &value);
        return answered(status, value);
    case CONFORM_memory_atomic_cmpxchg:
        status = f->atomic_cmpxchg(m, at, 0, o->width, o->expected, o->value & mask, &value);
        return answered(status, value);
    case CONFORM_memory_wait32:
        status = f->wait32(m, at, (uint32_t)o->expected, o->timeout_ns, &result);
        return answered(status, result);
    case CONFORM_memory_wait64:
        status = f->wait64(m, at, o->expected, o->timeout_ns, &result);
        return answered(status, result);
    case CONFORM_memory_notify:
        status = f->notify(m, at, o->count, &count);
        return answered(status, count);
    case CONFORM_memory_grow:
        return f->grow(m, o->pages, &count) == SUBJECT_OK ? count : UINT32_MAX;
    case CONFORM_memory_size:
        return f->size_pages(m);
    case CONFORM_memory_bulk_fill:
        return answered(f->bulk_fill(m, at, (uint8_t)o->value, o->count), CONFORM_OK);
    case CONFORM_memory_bulk_init:
        return answered(f->bulk_init(m, &segment, at, (uint32_t)o->value, o->count), CONFORM_OK);
    case CONFORM_memory_bulk_copy:
        return answered(f->bulk_copy(m, (uint32_t)address_of(s, instance, o->to),
                                     (uint32_t)address_of(s, instance, o->from), o->count),
                        CONFORM_OK);
    case CONFORM_memory_disable_atomics:
        f->disable_atomics(m);
        return CONFORM_OK;
    default:
        atomic_thread_fence(memory_order_seq_cst);
        return CONFORM_OK;
    }
}

/* A wait without a timeout: publishes that it waits, and checks who has woken it. */
static uint64_t wait_forever(struct slice *s, const struct instance *instance, unsigned t,
                             unsigned n, uint32_t number) {
    const struct conform_operation *o = &s->program->operation[t][n];
    atomic_store(&s->published[t].value, number << 3 | n);
    uint64_t result = perform(s, instance, instance->handle[t], o);
    atomic_store(&s->published[t].value, 0);
    if (result != 0 || atomic_load(&s->rescue.value) != number) {
        return result;
    }
    atomic_fetch_add(&s->rescued.value, 1);
    uint32_t verdict;
    while (((verdict = atomic_load(&s->verdict.value)) >> 1) != (number & INT32_MAX)) {
        sleep_us(20);
    }
    return verdict & 1 ? CONFORM_UNCLEAR : CONFORM_BLOCKED;
}

static void run_instance(struct slice *s, const struct instance *instance, unsigned t,
                         uint32_t number, uint64_t *result) {
    const struct conform_program *p = s->program;
    if (s->is_library) {
        library_run(instance->handle[t], p, t, (uint32_t)instance->block, number, result);
        return;
    }
    uint64_t of[CONFORM_OPERATIONS]; /* results by operation; shared words are written last */
    unsigned n = 0;
    for (; n < p->operations[t]; n++) {
        const struct conform_operation *o = &p->operation[t][n];
        if (o->test != CONFORM_ALWAYS &&
            (of[o->tested] == o->tested_value) != (o->test == CONFORM_EQUAL)) {
            of[n] = CONFORM_SKIPPED;
            continue;
        }
        bool forever = conform_waits_forever(o);
        of[n] = forever ? wait_forever(s, instance, t, n, number)
                        : perform(s, instance, instance->handle[t], o);
        if (of[n] == CONFORM_BLOCKED || of[n] == CONFORM_UNCLEAR || of[n] == CONFORM_TRAP) {
            n++;
            break;
        }
    }
    for (unsigned i = 0; i < p->operations[t]; i++) {
        if (p->operation[t][i].slot >= 0) {
            result[p->operation[t][i].slot] = i < n ? of[i] : CONFORM_NONE;
        }
    }
}

/* ---- Memories -------------------------------------------------------------------------------- */

static void drop_instance(const struct slice *s, struct instance *instance) {
    for (unsigned t = CONFORM_THREADS; t > 0; t--) {
        if (instance->handle[t] != instance->handle[0]) {
            s->subject->destroy(instance->handle[t]);
        }
    }
    s->subject->destroy(instance->handle[0]);
}

static bool make_instance(struct slice *s, struct instance *instance, uint32_t min, uint32_t max) {
    const struct subject_memory *f = s->subject;
    struct subject_memory_config config = {.type = {min, max, true},
                                           .strategy = s->strategy,
                                           .style = SUBJECT_STYLE_TUNED,
                                           .bound_pages = PAGES,
                                           .static_guard_bytes = 65536,
                                           .dynamic_guard_bytes = 65536};
    *instance = (struct instance){.block = BLOCKS_AT};
    if (f->create(&config, &instance->handle[0]) != SUBJECT_OK) {
        return false;
    }
    bool ok = true;
    for (unsigned t = 1; t <= CONFORM_THREADS; t++) {
        if (f->clone == NULL || f->clone(instance->handle[0], &instance->handle[t]) != SUBJECT_OK) {
            instance->handle[t] = instance->handle[0];
            ok = !s->is_library; /* two threads must not call the same instance of a runtime */
        }
    }
    if (!ok) {
        drop_instance(s, instance);
    }
    return ok;
}

/* A word of the memory, accessed while no thread runs. */
static uint64_t word_get(const struct slice *s, const struct instance *instance, uint64_t at) {
    uint64_t word = CONFORM_UNCLEAR;
    if (s->subject->promises & SUBJECT_OPAQUE) {
        (void)s->subject->read(instance->handle[0], at, &word, sizeof word);
    } else {
        memcpy(&word, atomic_load(&s->subject->record(instance->handle[0])->base) + at,
               sizeof word);
    }
    return word;
}

static void word_put(const struct slice *s, const struct instance *instance, uint64_t at,
                     uint64_t word) {
    if (s->subject->promises & SUBJECT_OPAQUE) {
        (void)s->subject->store(instance->handle[0], (uint32_t)at, 0, sizeof word, word);
    } else {
        memcpy(atomic_load(&s->subject->record(instance->handle[0])->base) + at, &word,
               sizeof word);
    }
}

/* Instance i of this round. */
static struct instance instance_of(const struct slice *s, unsigned i) {
    struct instance instance = s->instance[s->is_own ? i : 0];
    instance.block = s->is_own ? instance.block : s->block + i * s->stride;
    return instance;
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static void reset_blocks(struct slice *s) {
    for (unsigned i = 0; i < s->count; i++) {
        struct instance instance = instance_of(s, i);
        for (unsigned k = 0; k < s->program->words; k++) {
            if (!(s->program->word[k] & CONFORM_GROWN)) {
                uint64_t first;
                memcpy(&first, s->program->first + s->program->word[k], sizeof first);
                word_put(s, &instance, instance.block + s->program->word[k], first);
            }
        }
    }
}

/* Thread 0: draws the layout of the next round's instances, and how the threads start. */
static void prepare_round(struct slice *s) {
    static const uint64_t strides[] = {0, 64, 128, 192, 4160};
    static const uint32_t delays[] = {0, 15, 63, 255, 1023};
    const struct conform_program *p = s->program;
    s->sync = s->is_own || p->waits || draw(&s->seed, 4) == 0;
    s->delay = s->sync ? delays[draw(&s->seed, 5)] : draw(&s->seed, 4) == 0 ? 7 : 0;
    if (s->is_own) {
        for (s->count = 0; s->count < BATCH; s->count++) {
            if (!make_instance(s, &s->instance[s->count], p->min_pages, p->max_pages)) {
                break;
            }
            if (draw(&s->seed, 4) == 0) { /* just before the initial size's end */
                s->instance[s->count].block =
                    (uint64_t)p->min_pages * SUBJECT_PAGE_BYTES - CONFORM_WINDOW_BYTES;
            } else {
                s->instance[s->count].block += UINT64_C(8) * draw(&s->seed, 64);
            }
        }
        s->failed = s->count == 0;
    } else {
        uint64_t least = 8;
        for (unsigned k = 0; k < p->words; k++) {
            least = p->word[k] + 8 > least ? p->word[k] + 8 : least;
        }
        s->stride = strides[draw(&s->seed, 5)];
        s->stride = s->stride < least ? least : s->stride;
        s->block = (s->is_library ? LIBRARY_BLOCKS_AT : BLOCKS_AT) + 8 * draw(&s->seed, 8);
        uint64_t room =
            (PAGES * SUBJECT_PAGE_BYTES - s->block - 64) / (s->stride < 64 ? 64 : s->stride);
        uint64_t most = p->waits ? WAITING_INSTANCES : s->sync ? TOGETHER_INSTANCES : INSTANCES;
        most = s->sync && p->threads > 2 ? most / 8 : most;
        s->count = (unsigned)(room < most ? room : most);
    }
    reset_blocks(s);
}

static void count_outcome(struct slice *s, const uint64_t *outcome) {
    unsigned words = s->program->outcome;
    uint64_t hash = 1;
    for (unsigned i = 0; i < words; i++) {
        hash = (hash ^ outcome[i]) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 32;
    }
    for (unsigned tries = 0; tries < TABLE; tries++) {
        uint64_t *entry = s->table + (hash + tries) % TABLE * (words + 1u);
        if (entry[0] == 0) {
            memcpy(entry + 1, outcome, words * sizeof *outcome);
        }
        if (memcmp(entry + 1, outcome, words * sizeof *outcome) == 0) {
            entry[0]++;
            return;
        }
    }
    s->lost++;
}

/* Thread 0: counts the outcomes and releases the memories. */
static void count_round(struct slice *s) {
    const struct conform_program *p = s->program;
    for (unsigned i = 0; i < s->count; i++) {
        struct instance instance = instance_of(s, i);
        uint64_t outcome[CONFORM_OUTCOME_MAX];
        uint64_t pages = s->is_own ? s->subject->size_pages(instance.handle[0]) : p->min_pages;
        memcpy(outcome, s->result + (size_t)i * p->slots, p->slots * sizeof outcome[0]);
        for (unsigned k = 0; k < p->words; k++) {
            uint64_t *word = &outcome[p->slots + k];
            *word = CONFORM_NONE;
            if (!(p->word[k] & CONFORM_GROWN) || pages > p->min_pages) {
                *word = word_get(s, &instance, address_of(s, &instance, p->word[k]));
            }
        }
        if (p->grows) {
            outcome[p->slots + p->words] = pages;
        }
        count_outcome(s, outcome);
    }
    s->instances += s->count;
    if (s->is_own) {
        for (unsigned i = 0; i < s->count; i++) {
            drop_instance(s, &s->instance[i]);
        }
    }
}

static void set_ready(struct slice *s, bool is_ready) {
    pthread_mutex_lock(&s->looking);
    s->is_ready = is_ready;
    pthread_mutex_unlock(&s->looking);
}

struct thread {
    struct slice *slice;
    unsigned thread;
};

static void *run_thread(void *context) {
    struct thread *self = context;
    struct slice *s = self->slice;
    unsigned t = self->thread;
    uint64_t seed = s->seed * 31 + t;
    uint32_t number = 0;
    if (!library_thread_begin()) {
        fputs("conform: the runtime refuses a thread\n", stderr);
        exit(2); /* the others wait for it */
    }
    for (;;) {
        if (t == 0) {
            prepare_round(s);
            s->epoch = number + 2;
            set_ready(s, true);
        }
        arrive(s, t, ++number); /* all are awake ... */
        if (s->failed) {
            break;
        }
        arrive(s, t, ++number); /* ... so now they leave together */
        for (unsigned i = 0; i < s->count; i++) {
            struct instance instance = instance_of(s, i);
            ++number;
            if (s->sync) {
                arrive(s, t, number);
            }
            for (uint32_t spins = s->delay == 0 ? 0 : draw(&seed, s->delay + 1); spins > 0;
                 spins--) {
                pause_cpu();
            }
            run_instance(s, &instance, t, number, s->result + (size_t)i * s->program->slots);
        }
        arrive(s, t, ++number);
        if (t == 0) {
            set_ready(s, false);
            arrive(s, t, ++number);
            count_round(s);
            s->ends = now_ns() > s->until_ns;
        } else {
            arrive(s, t, ++number);
        }
        arrive(s, t, ++number);
        if (s->ends) {
            break;
        }
    }
    library_thread_end();
    if (t == 0) {
        atomic_store(&s->help_ends, true);
    }
    return NULL;
}

/* ---- The helper ------------------------------------------------------------------------------ */

struct found {
    uint32_t number;
    unsigned waits;
    unsigned thread[CONFORM_THREADS];
    uint32_t published[CONFORM_THREADS];
};

/* Instance `number`, if some thread has reached it; false otherwise. */
static bool instance_by_number(const struct slice *s, uint32_t number, struct instance *instance) {
    uint32_t index = number - s->epoch - 1;
    if (index >= s->count) {
        return false;
    }
    *instance = instance_of(s, index);
    return true;
}

/* A word shared by a thread and the helper: here, or in a runtime's memory. */
static _Atomic uint32_t *word_of(struct slice *s, const struct instance *instance,
                                 enum conform_place place, unsigned t) {
    if (s->is_library) {
        return library_word(instance->handle[CONFORM_THREADS], (uint32_t)place + t * 128);
    }
    switch (place) {
    case CONFORM_PUBLISHED:
        return &s->published[t].value;
    case CONFORM_RESCUE:
        return &s->rescue.value;
    case CONFORM_RESCUED:
        return &s->rescued.value;
    default:
        return &s->verdict.value;
    }
}

/* The threads that wait for ever, if all threads that have not ended the instance do. */
static bool find_blocked(struct slice *s, struct found *found) {
    uint32_t arrived[CONFORM_THREADS] = {0};
    *found = (struct found){0};
    for (unsigned t = 0; t < s->program->threads; t++) {
        arrived[t] = atomic_load(&s->arrived[t].value);
        if (t == 0 || (int32_t)(arrived[t] - found->number) < 0) {
            found->number = arrived[t];
        }
    }
    struct instance instance;
    if (!instance_by_number(s, found->number, &instance)) {
        return false;
    }
    for (unsigned t = 0; t < s->program->threads; t++) {
        if (arrived[t] == found->number) {
            uint32_t published = atomic_load(word_of(s, &instance, CONFORM_PUBLISHED, t));
            if (published == 0 || published >> 3 != (found->number & 0x1fffffff)) {
                return false;
            }
            found->thread[found->waits] = t;
            found->published[found->waits++] = published;
        }
    }
    return found->waits > 0;
}

static bool same(const struct found *a, const struct found *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static bool has_moved(struct slice *s, const struct instance *instance, const struct found *found) {
    for (unsigned i = 0; i < found->waits; i++) {
        unsigned t = found->thread[i];
        uint32_t published = atomic_load(word_of(s, instance, CONFORM_PUBLISHED, t));
        if (atomic_load(&s->arrived[t].value) != found->number ||
            (published != found->published[i] && published != 0)) {
            return true;
        }
    }
    return false;
}

/* Wakes them. `woken` counts the threads that were still in a queue, because the program had not
 * woken them. It must equal the number of threads that notice that the harness woke them; otherwise
 * it is unclear which were blocked. */
static void rescue(struct slice *s, const struct found *found) {
    struct instance instance = instance_of(s, found->number - s->epoch - 1);
    _Atomic uint32_t *rescued = word_of(s, &instance, CONFORM_RESCUED, 0);
    uint64_t began_ns = now_ns();
    unsigned woken = 0;
    bool clear = false;
    atomic_store(rescued, 0);
    atomic_store(word_of(s, &instance, CONFORM_RESCUE, 0), found->number);
    s->rescues++;
    for (unsigned tries = 0;; tries++) {
        for (unsigned i = 0; tries % 16 == 0 && i < found->waits; i++) {
            unsigned t = found->thread[i];
            const struct conform_operation *o = &s->program->operation[t][found->published[i] & 7];
            uint32_t count = 0;
            (void)s->subject->notify(instance.handle[CONFORM_THREADS],
                                     address_of(s, &instance, o->at), UINT32_MAX, &count);
            woken += count;
        }
        uint32_t flagged = atomic_load(rescued);
        if (flagged == found->waits) {
            clear = woken == flagged;
            break;
        }
        if (has_moved(s, &instance, found) ||
            now_ns() - began_ns > UINT64_C(2000) * MILLISECOND_NS) {
            break;
        }
        sleep_us(50);
    }
    atomic_store(word_of(s, &instance, CONFORM_VERDICT, 0), found->number << 1 | !clear);
}

/* A signal ends a futex wait early, as in any program; the memory's wait must not end because of
 * it. */
static void on_signal(int number) {
    (void)number;
}

static void disturb(struct slice *s) {
    for (unsigned t = 0; s->disturb == 2 && t < s->program->threads; t++) {
        (void)pthread_kill(s->id[t], SIGURG);
    }
    if (s->is_own) {
        return;
    }
    void *handle = s->instance[0].handle[CONFORM_THREADS], *clone = NULL;
    uint32_t old;
    if (s->disturb == 1) {
        (void)s->subject->grow(handle, 1, &old);
    } else if (s->subject->clone != NULL && s->subject->clone(handle, &clone) == SUBJECT_OK) {
        s->subject->destroy(clone);
    }
}

static void stuck(const struct slice *s, const struct found *found) {
    printf("{\"program\":\"%s\",\"stuck\":true,\"instances\":%" PRIu64 ",\"threads\":[",
           s->program->name, s->instances);
    for (unsigned i = 0; i < found->waits; i++) {
        printf("%s[%u,%u]", i == 0 ? "" : ",", found->thread[i], found->published[i] & 7);
    }
    puts("],\"seconds\":0,\"rescued\":0,\"lost\":0,\"outcomes\":[]}");
    fflush(stdout);
    _exit(STATUS_STUCK);
}

static void *run_helper(void *context) {
    struct slice *s = context;
    (void)library_thread_begin();
    struct found last = {0}, found;
    uint64_t since_ns = now_ns(), moved_ns = since_ns;
    uint32_t before = 0;
    for (unsigned turn = 0; !atomic_load(&s->help_ends); turn++) {
        sleep_us(s->set->may_block ? 60 : 2000);
        uint64_t at_ns = now_ns();
        uint32_t sum = 0;
        for (unsigned t = 0; t < s->program->threads; t++) {
            sum += atomic_load(&s->arrived[t].value);
        }
        if (sum != before) {
            before = sum;
            moved_ns = at_ns;
        }
        pthread_mutex_lock(&s->looking);
        bool is_found = s->program->blocks && s->is_ready && find_blocked(s, &found);
        if (!is_found || !same(&found, &last)) {
            last = is_found ? found : (struct found){0};
            since_ns = at_ns;
        } else if (at_ns - since_ns > (s->set->may_block ? 50000u : s->hang_ns)) {
            rescue(s, &found);
            last = (struct found){0};
        }
        pthread_mutex_unlock(&s->looking);
        if (at_ns - moved_ns > 2 * s->hang_ns + 10000u * (uint64_t)MILLISECOND_NS) {
            stuck(s, is_found ? &found : &last);
        }
        if (s->disturb != 0 && turn % (s->set->may_block ? 32 : 1) == 0) {
            disturb(s);
        }
    }
    library_thread_end();
    return NULL;
}

/* ---- A slice --------------------------------------------------------------------------------- */

static bool offers(const struct subject_memory *f, const struct conform_program *p) {
    if (library_name() != NULL) {
        return !p->host;
    }
    if ((f->promises & SUBJECT_OPAQUE) && (f->read == NULL || f->store == NULL)) {
        return false;
    }
    for (unsigned t = 0; t < p->threads; t++) {
        for (unsigned n = 0; n < p->operations[t]; n++) {
            bool there;
            switch (p->operation[t][n].code) {
            case CONFORM_memory_load:
                there = f->load != NULL;
                break;
            case CONFORM_memory_store:
                there = f->store != NULL;
                break;
            case CONFORM_memory_atomic_load:
                there = f->atomic_load != NULL;
                break;
            case CONFORM_memory_atomic_store:
                there = f->atomic_store != NULL;
                break;
            case CONFORM_memory_atomic_rmw:
                there = f->atomic_rmw != NULL;
                break;
            case CONFORM_memory_atomic_cmpxchg:
                there = f->atomic_cmpxchg != NULL;
                break;
            case CONFORM_memory_wait32:
                there = f->wait32 != NULL && f->notify != NULL;
                break;
            case CONFORM_memory_wait64:
                there = f->wait64 != NULL && f->notify != NULL;
                break;
            case CONFORM_memory_notify:
                there = f->notify != NULL;
                break;
            case CONFORM_memory_bulk_fill:
                there = f->bulk_fill != NULL;
                break;
            case CONFORM_memory_bulk_init:
                there = f->bulk_init != NULL;
                break;
            case CONFORM_memory_bulk_copy:
                there = f->bulk_copy != NULL;
                break;
            case CONFORM_memory_disable_atomics:
                there = f->disable_atomics != NULL;
                break;
            default:
                there = true;
            }
            if (!there) {
                return false;
            }
        }
    }
    return true;
}

/* The n-th strategy that can share a memory of that many pages; false if there is none. */
static bool strategy_choose(const struct subject_memory *f, unsigned n, uint32_t pages,
                            unsigned *strategy) {
    unsigned usable[64], count = 0;
    for (unsigned i = 0; i < f->strategies && count < 64; i++) {
        const struct subject_strategy *x = &f->strategy[i];
        if (x->shareable && x->missing == NULL && (x->slot_pages == 0 || x->slot_pages >= pages)) {
            usable[count++] = i;
        }
    }
    *strategy = count == 0 ? 0 : usable[n % count];
    return count > 0;
}

static void print_slice(const struct slice *s, unsigned long turn, double seconds) {
    unsigned words = s->program->outcome;
    printf(
        "{\"program\":\"%s\",\"turn\":%lu,\"disturb\":%u,\"strategy\":\"%s\",\"instances\":%" PRIu64
        ",\"seconds\":%.6f,\"rescued\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"outcomes\":[",
        s->program->name, turn, s->disturb, s->subject->strategy[s->strategy].name, s->instances,
        seconds, s->rescues, s->lost);
    const char *comma = "";
    for (unsigned i = 0; i < TABLE; i++) {
        const uint64_t *entry = s->table + (size_t)i * (words + 1u);
        if (entry[0] != 0) {
            printf("%s[\"", comma);
            for (unsigned k = 0; k < words; k++) {
                printf("%s%" PRIx64, k == 0 ? "" : ",", entry[1 + k]);
            }
            printf("\",%" PRIu64 "]", entry[0]);
            comma = ",";
        }
    }
    printf("]%s}\n", s->failed ? ",\"error\":\"a memory could not be made\"" : "");
    fflush(stdout);
}

static void *calloc_zeroed(size_t bytes) {
    return calloc(1, bytes);
}

static bool run_slice(const struct conform_run *run, const struct subject *subject,
                      const struct conform_program *program, const struct conform_set *set,
                      unsigned long turn, size_t index) {
    struct subject_environment environment = {calloc_zeroed, realloc, free,
                                              (uint64_t)sysconf(_SC_PAGESIZE)};
    struct slice *s = aligned_alloc(128, (sizeof *s + 127) / 128 * 128);
    struct thread threads[CONFORM_THREADS];
    pthread_t helper;
    if (s == NULL) {
        return false;
    }
    memset(s, 0, sizeof *s);
    pthread_mutex_init(&s->looking, NULL);
    s->program = program;
    s->set = set;
    s->subject = subject->memory;
    s->is_own = program->grows || program->host;
    s->is_library = library_name() != NULL;
    library_load(program, run->seed + turn);
    s->disturb = (unsigned)((turn + index) % 4);
    s->disturb = s->disturb % 2 == 0 || (s->is_own && s->disturb == 1) ? 0 : 1 + s->disturb / 2;
    s->hang_ns = run->hang_s * 1000000000u;
    s->seed = run->seed * 7919 + turn * 104729 + index * 31;
    s->result = calloc((size_t)INSTANCES * CONFORM_THREADS * CONFORM_OPERATIONS, sizeof *s->result);
    s->table = calloc((size_t)TABLE * (CONFORM_OUTCOME_MAX + 1), sizeof *s->table);
    bool ok = s->result != NULL && s->table != NULL;
    if (subject->begin != NULL) {
        subject->begin(&environment);
    }
    ok = ok && strategy_choose(s->subject, (unsigned)(turn + index / 4), PAGES, &s->strategy) &&
         (s->is_own ||
          make_instance(s, &s->instance[0], PAGES,
                        s->subject->strategy[s->strategy].slot_pages != 0 ? PAGES : 4 * PAGES));
    uint64_t began_ns = now_ns();
    s->until_ns = began_ns + run->slice_ms * MILLISECOND_NS;
    for (unsigned t = 0; ok && t < program->threads; t++) {
        threads[t] = (struct thread){s, t};
        ok = pthread_create(&s->id[t], NULL, run_thread, &threads[t]) == 0;
        if (!ok && t > 0) {
            fputs("conform: the system refuses a thread\n", stderr);
            exit(2); /* the others wait for it */
        }
    }
    if (ok) {
        bool helps = program->waits || s->disturb != 0;
        helps = helps && pthread_create(&helper, NULL, run_helper, s) == 0;
        if (helps) { /* it ends with the last round; until then it sends signals to threads that are
                        not yet joined */
            pthread_join(helper, NULL);
        }
        for (unsigned t = 0; t < program->threads; t++) {
            pthread_join(s->id[t], NULL);
        }
        print_slice(s, turn, (double)(now_ns() - began_ns) / 1e9);
        if (!s->is_own) {
            drop_instance(s, &s->instance[0]);
        }
    } else {
        printf("{\"program\":\"%s\",\"error\":\"it makes no shared memory of %d pages\"}\n",
               program->name, PAGES);
    }
    if (subject->end != NULL) {
        subject->end();
    }
    pthread_mutex_destroy(&s->looking);
    free(s->result);
    free(s->table);
    free(s);
    return ok;
}

int conform_run_all(const struct conform_run *run, const struct conform_program *program,
                    const struct conform_set *set, size_t count) {
    struct subject runtime = {.memory = library_memory()};
    const struct subject *subject = &runtime;
    if (run->library == NULL) {
        subject = subject_chosen();
    } else if (library_open(run->library)) {
        runtime.name = library_name();
    } else {
        return 2;
    }
    if (subject == NULL) {
        return 2;
    }
    if (subject->memory == NULL) {
        fprintf(stderr, "conform: %s has no memory\n", subject->name);
        return 2;
    }
    struct sigaction action = {.sa_handler = on_signal}; /* without SA_RESTART */
    sigaction(SIGURG, &action, NULL);
    printf("{\"engine\":\"%s\"}\n", subject->name);
    uint64_t until_ns = now_ns() + run->total_s * 1000000000u;
    bool any = false;
    for (unsigned long turn = 0; turn == 0 || (any && now_ns() < until_ns); turn++) {
        for (size_t k = 0; k < count && (run->total_s == 0 || now_ns() < until_ns); k++) {
            size_t i = (k + run->seed * 37) % count; /* if the run is too short for all programs,
                                                        each run begins with a different one */
            if (!offers(subject->memory, &program[i])) {
                if (turn == 0) {
                    printf("{\"program\":\"%s\",\"not_offered\":true}\n", program[i].name);
                }
                continue;
            }
            printf("{\"begins\":\"%s\",\"turn\":%lu}\n", program[i].name, turn);
            fflush(stdout);
            any = run_slice(run, subject, &program[i], &set[i], turn, i) || any;
        }
    }
    puts("{\"ended\":true}");
    return 0;
}
