/* mutate.c: the mutations, and the tables that say which operations and values are worth trying. */
#include "mutate.h"

#include "chance.h"
#include "combine.h"
#include "pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
/* Shorthand for the tables: the memory's end, and one bit of a set of words. */
#define END OP_ADDRESS_END
#define U32 UINT32_MAX
/* Signalling NaNs: a load or store of a float leaves their bits as they are. */
#define NAN32 UINT64_C(0x7fa00001)
#define NAN64 UINT64_C(0x7ff4000000000001)

/* ---- Tables: which operations, which values ---------------------------------------------------
 */

/* How often an operation is drawn; what is not named: USUAL. */
enum { USUAL = 4, SETS_UP = 1 };
static const uint8_t weights[256] = {
    [OP_end] = 0,
    [OP_fault] = 2,
    [OP_fault_at] = 3,
    [OP_pause] = 2,
    [OP_scale] = 0,      /* in few programs: see scale_up */
    [OP_explore] = 0,    /* in programs of pairs.c */
    [OP_interleave] = 0, /* only inserted at one place: see insert_interleave */
    [OP_memory_create] = 3,
    [OP_memory_create_more] = 2,
    [OP_memory_destroy] = 2,
    [OP_memory_grow] = 12,
    [OP_memory_copy] = 3, /* under the engine each word is a step */
    [OP_memory_clone] = 4,
    [OP_memory_to_shared] = 2,
    [OP_segment_set] = 2,
    [OP_segment_drop] = 2,
    [OP_memory_wait32] = 8,
    [OP_memory_notify] = 8,
    [OP_memory_disable_atomics] = 2,
    [OP_memory_crowd] = 1,
    [OP_memory_touch] = 2,
    [OP_memory_wait_crowd] = 1,
    [OP_memory_budget] = 1,
    [OP_memory_fall_back] = 1,
    [OP_memory_address_space] = 1,
    [OP_memory_file_limit] = 1,
    [OP_memory_unseen] = 1,
    [OP_memory_wait_by] = 2,
    [OP_memory_pin] = 2,
    [OP_memory_unpin] = 1,
    [OP_memory_wait_cancellable] = 4,
    [OP_memory_cancel] = 2,
    [OP_memory_tenant] = 2,
    [OP_memory_owner_of_tenant] = 3,
    [OP_mailbox_rounds] = 1,
    [OP_mailbox_attach] = SETS_UP,
    [OP_mailbox_attach_beside] = 3,
    [OP_mailbox_other] = 3,
    [OP_mailbox_enqueue_stops] = 2,
    [OP_mailbox_enqueue_second] = 3,
    [OP_guest_park_second] = 2,
    [OP_mailbox_release] = 2,
    [OP_mailbox_enqueue] = 12,
    [OP_mailbox_close] = 3,
    [OP_mailbox_hold] = 3,
    [OP_mailbox_move] = 3,
    [OP_mailbox_unhold] = 3,
    [OP_mailbox_lose] = 1,
    [OP_guest_drain] = 10,
    [OP_guest_park] = 6,
    [OP_guest_scribble] = 6,
};

/* Values at which rules change their answer, by the argument's name. A value that is listed twice
 * is drawn twice as often. Arguments without a row are drawn by their kind. */
enum { VALUES_MAX = 26 };
struct values {
    const char *name;
    unsigned count;
    uint64_t value[VALUES_MAX];
};
#define VALUES(name, ...)                               \
    {                                                   \
#name, COUNT_OF(((uint64_t[]){__VA_ARGS__})), { \
            __VA_ARGS__                                 \
        }                                               \
    }
static const struct values usual_values[] = {
    VALUES(min, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 0, 3, 5, 16, 17, 33, 34, 65535, 65536, 65537),
    VALUES(max, 2, 2, 3, 4, 8, 10, 1, 16, U32, U32, U32, 65536, 65536, 65535, 0, 65537),
    VALUES(pages, 1, 1, 1, 1, 2, 2, 3, 4, 8, 0, 65535, 65536, 65537, U32, U32 - 65535),
    VALUES(bound, 0, 1, 2, 4, 4, 8, 10, 65536, 65535, 65537, 16384),
    VALUES(guard, 0, 4096, 4096, 8192, 65536, 65536, UINT64_C(1) << 31, 1),
    VALUES(offset, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 65535, 65536, U32, U32 - 3),
    VALUES(count, 1, 1, 1, 1, 2, 3, 4, 8, 16, 0, 64, 256, 4096, 65536, U32),
    VALUES(value, 0, 1, 1, 2, 3, 255, 256, 65536, U32, UINT64_C(1) << 31, UINT64_C(1) << 32,
           UINT64_MAX, UINT64_C(0x0102030405060708), NAN32, NAN64),
    VALUES(expected, 0, 0, 0, 0, 1, 2, UINT64_C(1) << 32, U32),
    VALUES(timeout_ns, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 0, 0, 1, 10, 10, 999, 1000, 1001,
           1999, 20000, 999999, 1000001, 1999999, 999999999, 1000000000, INT64_MAX, INT64_MAX - 1,
           UINT64_C(1) << 63),
    VALUES(capacity, 4, 4, 4, 2, 2, 1, 1, 8, 16, 256, 256, 0, 3, 512, 16384, 32768, 32768, 32769,
           65536, UINT64_C(1) << 31),
    VALUES(cursor, 0, 0, 0, U32, U32, U32 - 1, U32 - 3, 1, 3, UINT64_C(1) << 31, INT32_MAX),
    VALUES(stride, 4096, 4096, 8192, 8192, 65536, 1, 12288),
    VALUES(spill, 0, 1, 1, 2, 3, 3, 4, 5, 7),
    VALUES(slot, 0, 0, 1, 2, 3, 15, 255),
    VALUES(id, 1, 2, 3, 77, 65537, U32, 0, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1, UINT64_MAX),
    VALUES(nth, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6),
    VALUES(length, 0, 1, 4, 8, 16, 64, 64, 256, 256, 4096),
    VALUES(from, 0, 0, 0, 0, 0, 0, 1, 4, 8, 60, 63, 64, 65, 255, 256, UINT64_C(1) << 31, U32,
           U32 - 3, U32 - 63),
    VALUES(count1, 0, 0, 1, 4, 16, 64),
    VALUES(count2, 0, 0, 1, 4, 16, 64),
    VALUES(count3, 0, 0, 1, 4, 16, 64),
    VALUES(image, 0, 0, 1, 100, 4096, 4097, 8192, 65536),
    VALUES(waiters, 0, 0, 1, 1, 2, 3),
    VALUES(thread, 0, 0, 1, 1, 2, 3),
    VALUES(rungs, 0, 1, 2, 3, 3),
    VALUES(step, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 19, 22, 26, 32),
    VALUES(reserve, 0, 0, 0, 1, 2, 4, 65536),
    VALUES(slots, 1, 1, 2, 3, 4, 0, 255, 65535, 65536, U32, UINT64_C(1) << 31),
    VALUES(keep, 0, 0, 0, 4096, 8192, 32768, 65536, 1048576, 1, 2048, 4095, 4097, UINT64_MAX - 4095,
           UINT64_MAX),
    VALUES(reset, 0, 1, 2, 3),
    VALUES(bytes, 0, 1, 4095, 4096, 4097, 65535, 65536, 65537, 131072, 131073, 1048577, 2097152,
           3145728, 3145729, UINT64_C(1) << 31, U32, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 1,
           UINT64_C(1) << 33, UINT64_MAX),
    VALUES(lacks, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2016, 96, 1792, 31, 2048, 4096,
           4096, 6144, 8192),
    VALUES(start, 0, 0, 1, 8, 4096, 65535, 65536, 131071, 131072, UINT64_C(1) << 31, U32 - 15, U32,
           UINT64_C(1) << 32, (UINT64_C(1) << 32) - 8, UINT64_C(1) << 63, UINT64_MAX),
    VALUES(a, 0, 1, 2, 3, 4, 7, 8, 9, 12, 19, 20, 63, 65535, 65536, 65537, U32, UINT64_C(1) << 32,
           (UINT64_C(1) << 32) + 65536, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 65535),
    VALUES(b, 0, 1, 2, 65535, 65536, U32, U32 - 1, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX,
           UINT64_MAX - 1),
    VALUES(delta, 0, 1, 1, 2, 3, 4),
    VALUES(refuse, 0, 0, 0, 1, 2, 3, 4, 5),
    VALUES(silent, 0, 1, 2, 3, 4, 7, 8, 11, 12, 15, 16, 20),
    VALUES(used, 0, 1, 65536, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 65536, UINT64_MAX),
    VALUES(to, 0, 1, 65536, 131072, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX),
};
/* The same for one operation's argument, where the name alone says too little. */
struct values_of {
    uint8_t code;
    struct values values;
};
static const struct values_of values_of[] = {
    {OP_memory_notify,
     VALUES(count, 1, 1, 1, 1, 2, 2, 3, 0, 8, INT32_MAX, UINT64_C(1) << 31, U32 - 1, U32, U32)},
    {OP_memory_bulk_init, VALUES(count, 1, 1, 2, 3, 8, 16, 63, 64, 64, 65, 255, 256, 0, U32)},
    {OP_memory_touch,
     VALUES(count, 1, 2, 16, 31, 32, 33, 34, 63, 64, 65, 66, 72, 129, 511, 513, 600)},
    {OP_memory_crowd, VALUES(count, 1, 2, 3, 127, 128, 129, 130, 257, 513, 1025, 1100)},
    {OP_memory_wait_crowd, VALUES(count, 1, 2, 3, 8, 16, 17, 31, 32, 33, 34, 63, 64, 65, 66, 76)},
    {OP_memory_tenant, VALUES(pages, 0, 1, 2, 3, 4, 4, 5)},
    {OP_memory_address_space, VALUES(pages, 0, 1, 1, 2, 3, 3, 5, 6, 7, 9)},
    {OP_memory_budget, VALUES(pages, 0, 1, 2, 2, 3, 3, 4, 8, 65536)},
    {OP_memory_tenant, VALUES(count, 0, 0, 1, 2)},
    {OP_memory_file_limit, VALUES(bytes, 0, 1, 4095, 4096, 32768, 65535, 65536, 65537, 131072)},
    {OP_host_pool,
     VALUES(slot, 2048, 65536, 65536, 131072, 196608, 524288, 1048576, 4096, 0, 65537, 1,
            UINT64_C(1) << 32, UINT64_C(1) << 47, UINT64_C(1) << 48, (UINT64_C(1) << 48) + 65536,
            UINT64_C(1) << 63, (UINT64_C(1) << 63) + 65536, UINT64_MAX - 65535, UINT64_MAX - 4095,
            UINT64_MAX)},
    {OP_host_pool, VALUES(guard, 0, 4096, 65536, 131072, 1, 2048, 4095, UINT64_C(1) << 32,
                          UINT64_C(1) << 47, UINT64_C(1) << 63, UINT64_MAX - 65535, UINT64_MAX)},
    {OP_host_image, VALUES(pages, 0, 1, 1, 2, 3, 17, 33, 48, 49)},
    {OP_host_segments, VALUES(count, 0, 0, 1, 2, 3, 6)},
    {OP_host_segments, VALUES(length, 0, 0, 1, 64, 65535, 65536, 65537, 131072, U32,
                              UINT64_C(1) << 32, (UINT64_C(1) << 32) + 8, UINT64_MAX)},
    {OP_host_init,
     VALUES(length, 0, 1, 64, 65536, 131072, UINT64_C(1) << 31, U32, UINT64_C(1) << 32,
            (UINT64_C(1) << 32) + 8, (UINT64_C(1) << 32) + 65536, UINT64_C(1) << 33)},
    {OP_host_init,
     VALUES(from, 0, 0, 1, 8, 64, INT32_MAX, UINT64_C(1) << 31, U32 - 65535, U32 - 7, U32)},
    {OP_host_init, VALUES(count, 0, 1, 8, 16, 64, 4096, 65536, 131072, U32)},
    {OP_host_init, VALUES(at, 0, 0, 8, 65535, 131064, 131072, U32)},
    {OP_host_range, VALUES(count, 0, 1, 16, 4096, 65536, UINT64_C(1) << 31, INT32_MAX, U32, U32 - 7,
                           UINT64_C(1) << 32, UINT64_C(1) << 32, (UINT64_C(1) << 32) - 65536,
                           (UINT64_C(1) << 32) + 1, UINT64_C(1) << 33, UINT64_MAX)},
    {OP_host_range, VALUES(from, 0, 0, 1, 65536, UINT64_C(1) << 31, U32, U32 - 15)},
    {OP_host_create,
     VALUES(value, 0, 0, 1, 2, 4095, 4096, 4097, 65536, 65537, UINT64_C(1) << 31, UINT64_C(1) << 32,
            UINT64_C(1) << 47, UINT64_C(1) << 63, UINT64_MAX - 4095, UINT64_MAX - 65535,
            UINT64_MAX - 1048575, UINT64_MAX)},
    {OP_host_create, VALUES(rungs, 0, 0, 1, 2, 3, 4, 7, 8, 11, 12, 15)},
    {OP_host_budget, VALUES(max, 0, 65536, 131072, UINT64_C(1) << 32, UINT64_C(1) << 63,
                            UINT64_MAX - 65536, UINT64_MAX)},
    {OP_host_budget,
     VALUES(from, 0, 0, 1, 65536, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX)},
    {OP_host_canceller,
     VALUES(at, 0, 0, 4, 8, 2, 65528, 65532, 65536, UINT64_C(1) << 32, UINT64_MAX - 7)},
    {OP_host_fault, VALUES(at, 0, 1, 65535, 65536, 131071, 131072, 4095, 4096, 135167, 135168)},
    {OP_host_custom,
     VALUES(at, 0, 4, 8, 2, 65528, 65532, 65536, 65535, UINT64_C(1) << 32, UINT64_MAX - 7)},
    {OP_host_custom, VALUES(count, 0, 1, 8, 65536, 65537, UINT64_C(1) << 32, UINT64_MAX)},
    {OP_host_access, VALUES(index, 0, 0, 8, 1, 3, 65528, 65532, 65535, 65536, U32)},
    {OP_host_access, VALUES(offset, 0, 0, 0, 1, 4, 65535, 65536, U32)},
    {OP_host_access, VALUES(width, 1, 2, 4, 8, 0, 3, 5, 6, 7, 16, 32, 64, 255, 256, 260, U32)},
    {OP_host_access, VALUES(kind, 0, 1, 2, 3, 4, 5, 6, 7, 255, 256, U32)},
    {OP_host_held, VALUES(ids, 0, 1, 2, 4, 5, 8, 9, 20, 39, 40, 41, 42, 80, 81, 82, 83, 121, 320,
                          329, 340, 359, 363)},
    {OP_host_held, VALUES(capacity, 0, 1, 2, 3, 4, 6, 7)},
    {OP_host_held, VALUES(offset, 0, 1, 4, 5, 1001, 1000)},
    {OP_host_tenants, VALUES(pages, 0, 1, 2)},
    {OP_host_tenants, VALUES(keep, 0, 4096, 65536, 131072, 262144, UINT64_C(1) << 32)},
    {OP_host_tenants, VALUES(count, 0, 1, 3, 16, 17, 33, 63, 64, 65, 99)},
    {OP_host_tenants, VALUES(stride, 0, 0, 1, 2, 3)},
    {OP_host_tenants, VALUES(delta, 0, 1, 2)},
    {OP_host_far, VALUES(at, 0, 8, 65536, INT32_MAX, UINT64_C(1) << 31, (UINT64_C(1) << 31) - 8,
                         (UINT64_C(1) << 31) - 4, U32, U32 - 1, U32 - 3, U32 - 7, U32 - 15,
                         U32 - 65535, UINT64_C(1) << 32, (UINT64_C(1) << 32) + 8, UINT64_C(1) << 63,
                         UINT64_MAX, UINT64_MAX - 7)},
    {OP_host_far, VALUES(offset, 0, 0, 0, 1, 4, 8, 65536, UINT64_C(1) << 31, U32 - 7, U32)},
    {OP_host_far, VALUES(pages, 65536, 65536, 65535, 32768, 32769)},
    {OP_host_far_boxes, VALUES(offset, 0, 4, 4, 1024, 65536, UINT64_C(1) << 31, INT32_MAX - 3)},
    {OP_host_far_boxes, VALUES(skip1, 0, 0, 1, 2, 4, 5, 6, 8, 20, 68)},
    {OP_host_far_boxes, VALUES(skip2, 0, 0, 1, 2, 4, 5, 6, 8, 20, 68)},
    {OP_host_far_boxes, VALUES(capacity, 1, 1, 2, 4, 16, 64, 256, 0)},
    {OP_host_far_boxes, VALUES(pages, 65536, 65536, 65535, 32768, 1, 1, 2, 3)},
    {OP_host_futex, VALUES(expected, 0, 1, U32, INT32_MAX, UINT64_C(1) << 31)},
    {OP_host_futex, VALUES(count, 0, 1, 2, INT32_MAX, UINT64_C(1) << 31, U32 - 1, U32)},
    {OP_host_futex, VALUES(deadline, 0, 1, 999999999, 1000000000, 1000000001, UINT64_C(1) << 32,
                           INT64_MAX, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX)},
    {OP_host_box_crowd, VALUES(count, 1, 2, 3, 20, 40, 65, 96)},
    {OP_host_box_crowd, VALUES(offset, 0, 4, 8, 1020)},
    {OP_host_blocked, VALUES(when, 0, 0, 1, 2)},
    {OP_host_blocked, VALUES(timeout_ns, UINT64_MAX, UINT64_MAX, 0, 1, 999, 1000000001, INT64_MAX,
                             UINT64_C(1) << 63, 1000)},
    {OP_host_blocked, VALUES(now, 0, 1, 999999999, 1000000000, UINT64_C(1) << 32, INT64_MAX,
                             UINT64_MAX - 1000, UINT64_MAX - 1001, UINT64_MAX - 999)},
    {OP_host_walk, VALUES(count, 3, 4, 4, 5, 6, 7, 8, 10)},
    {OP_host_walk, VALUES(keep, 0, 0, 4096, 65536, 262144)},
    {OP_host_libc, VALUES(pages, 1, 1, 2, 2, 3, 0)},
    {OP_host_libc, VALUES(delta, 1, 1, 2, 3, 0)},
    {OP_host_libc,
     VALUES(nth, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)},
    {OP_host_signal, VALUES(at, 0, 5, 65535, 65536, 65537, 131071, 131072, 262143, 262144)},
    {OP_host_waiters, VALUES(strategy, 0, 1, 2, 3, 4)},
    {OP_host_waiters, VALUES(limit, 0, 0, 1, 2, 3, 4)},
    {OP_host_waiters, VALUES(early, 0, 1, 2, 4)},
    {OP_host_limiter, VALUES(min, 0, 1, 1, 2, 3)},
    {OP_host_mailbox, VALUES(offset, 0, 4, 4, 128, 2, 65520, 65536, 64496, U32 - 3, U32)},
    {OP_host_mailbox, VALUES(pages, 1, 1, 2, 3, 0)},
    {OP_host_mailbox, VALUES(spill, 0, 1, 3, 65536, UINT64_C(1) << 30, UINT64_C(1) << 31, U32)},
    {OP_mailbox_rounds, VALUES(count, 1, 1, 2, 2, 3, 4, 5, 8, 255, 256, 256, 257)},
    {OP_mailbox_enqueue, VALUES(count, 1, 1, 1, 1, 2, 3, 4, 8, 16, 0, 64, 256, 257, 300)},
};

/* A hostile guest's words. */
static const uint64_t scribbles[] = {
    0, 1, 2, 3, 4, 5, 8, 16, 255, 257, U32, U32 - 1, U32 - 3, INT32_MAX, UINT64_C(1) << 31, 65536};
static const uint64_t addresses[] = {0,       0,       0,
                                     4,       8,       8,
                                     16,      END - 1, END - 1,
                                     END - 2, END - 4, END - 4,
                                     END - 8, END - 8, END,
                                     END + 1, END - 3, END - 5,
                                     END + 4, END + 8, END - 16,
                                     1,       2,       12,
                                     4092,    4096,    65528,
                                     65532,   65535,   65536,
                                     65537,   131068,  END + 3,
                                     131072,  END + 7, U32,
                                     U32 - 3, U32 - 7, UINT64_C(1) << 32};

/* ---- Swarm: what new operations are made of ---------------------------------------------------
 */

enum { HOT_MAX = 3, SWARM_EVERY = 64 };

struct swarm {
    enum op_target drawn_for;
    uint64_t drawn_from;
    uint16_t weight[256]; /* of each operation; 0: off */
    unsigned weights;     /* their sum */
    uint32_t strategies;  /* bit n: word n */
    uint32_t calls;       /* that may be made to fail */
    unsigned operations;  /* of a new program, about */
    unsigned threads;     /* 1 to 4 of them */
    unsigned preemptions; /* one choice in so many is not 0 */
    bool wide;            /* sizes at the 4 GiB limit are likely */
    uint64_t hot[HOT_MAX];
    unsigned hots;
};

static uint32_t some_of(struct chance *c, unsigned count) {
    const uint64_t one = next(c), other = next(c);
    uint32_t set = (uint32_t)(one & other & ((UINT64_C(1) << count) - 1));
    return set | UINT32_C(1) << below(c, count);
}

static bool sets_up(unsigned code) {
    return code == OP_memory_create || code == OP_memory_create_more || code == OP_mailbox_attach;
}

static bool is_fault(unsigned code) {
    return code == OP_fault || code == OP_fault_at;
}

/* The reference's own functions: what each does depends on no other operation. */
static bool is_host(unsigned code) {
    return code >= OP_host_pool && code <= OP_host_libc;
}

static bool left_out[256];

void mutate_leave_out(uint8_t code) {
    left_out[code] = true;
}

static void draw_operations(struct swarm *s, struct chance *c, enum op_target target, bool all) {
    bool faults = one_in(c, 2);
    for (unsigned code = 1; code < 256; code++) {
        bool named = weights[code] != 0 || code == OP_end || code == OP_interleave ||
                     code == OP_scale || code == OP_explore;
        unsigned weight = op_info(target, code) == NULL ? 0 : named ? weights[code] : USUAL;
        bool off = (!all && one_in(c, 2)) || (is_fault(code) && !faults);
        if (weight > 0 && !off && !left_out[code] && !is_host(code)) { /* see call_the_host */
            s->weight[code] = (uint16_t)(all ? weight : weight << below(c, 3));
            s->weights += s->weight[code];
        }
    }
}

static void swarm_draw(struct swarm *s, const struct mutate *how) {
    struct chance c = {how->swarm * 2 + 1};
    bool all = how->swarm == MUTATE_ALL_ON || one_in(&c, 4);
    if (s->weights > 0 && s->drawn_for == how->target && s->drawn_from == how->swarm) {
        return; /* the last one is still valid */
    }
    memset(s, 0, sizeof *s);
    s->drawn_for = how->target;
    s->drawn_from = how->swarm;
    draw_operations(s, &c, how->target, all);
    if (s->weights <= (unsigned)s->weight[OP_fault] + s->weight[OP_fault_at]) {
        s->weights = 0; /* no operation is on that a fault could hit */
        draw_operations(s, &c, how->target, true);
    }
    s->strategies = all ? (1u << WORD_strategy_count) - 1 : some_of(&c, WORD_strategy_count);
    s->calls = all ? (1u << WORD_call_count) - 1 : some_of(&c, WORD_call_count);
    s->operations = all ? 8 : 2 + below(&c, 12);
    s->threads = all ? 3 : 2 + below(&c, 3);
    s->preemptions = 1u << below(&c, 5);
    s->wide = one_in(&c, 3);
    s->hots = 1 + below(&c, HOT_MAX);
    for (unsigned i = 0; i < s->hots; i++) {
        s->hot[i] = addresses[below(&c, 13)] & ~UINT64_C(3);
    }
}

/* ---- What a program has made so far -----------------------------------------------------------
 */

enum { SEEN_MAX = 8 };
struct sight {
    unsigned memories, wakers; /* bit n: slot n holds one */
    struct {
        uint64_t pages, max, bound, guard;
    } memory[OP_MEMORIES];
    uint64_t capacity;
    uint64_t address[SEEN_MAX], value[SEEN_MAX]; /* the last ones that were used */
    unsigned addresses, values;
    int guest; /* its thread; -1: none yet */
    bool interleaved;
};

/* Only the last few that were used are kept. */
static unsigned kept(unsigned count) {
    return count < SEEN_MAX ? count : SEEN_MAX;
}

static void see_create(struct sight *s, const struct op *op) {
    unsigned m = (unsigned)op->arg.memory_create.m;
    s->memories |= 1u << m;
    s->memory[m].pages = op->arg.memory_create.min;
    s->memory[m].max = op->arg.memory_create.max;
    s->memory[m].bound = op->arg.memory_create.bound;
    s->memory[m].guard = op->arg.memory_create.guard;
}

static void see_handles(struct sight *s, const struct op *op) {
    unsigned m = (unsigned)op->arg.memory_copy.m % OP_MEMORIES;
    unsigned to = (unsigned)op->arg.memory_copy.to % OP_MEMORIES;
    switch (op->code) {
    case OP_memory_create:
    case OP_memory_create_more: /* its first arguments are the same */
        see_create(s, op);
        break;
    case OP_memory_copy:
    case OP_memory_clone:
        s->memories |= 1u << to;
        s->memory[to] = s->memory[m];
        break;
    case OP_memory_destroy:
        s->memories &= ~(1u << m);
        break;
    case OP_memory_grow:
        if (s->memory[m].pages + op->arg.memory_grow.pages <= s->memory[m].max) {
            s->memory[m].pages += op->arg.memory_grow.pages;
        }
        break;
    case OP_mailbox_attach:
        s->capacity = op->arg.mailbox_attach.capacity;
        break;
    case OP_waker_create:
        s->wakers |= 1u << op->arg.waker_create.w;
        break;
    case OP_waker_clone:
        s->wakers |= 1u << op->arg.waker_clone.to;
        break;
    default:
        break;
    }
}

static bool is_guests(unsigned code) {
    return code == OP_guest_drain || code == OP_guest_park || code == OP_mailbox_rounds;
}

/* Looks at the operations before `end`, and at all of them for the guest's thread and for whether
 * threads interleave. */
static void look(const struct program *program, unsigned end, struct sight *s) {
    memset(s, 0, sizeof *s);
    s->guest = -1;
    s->interleaved =
        program->target == TARGET_waiters_fuzzer || program->target == TARGET_system_fuzzer;
    s->memories = s->interleaved; /* m0 is always there */
    for (unsigned i = 0; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        s->interleaved |= op->code == OP_interleave;
        s->guest = is_guests(op->code) && s->guest < 0 ? op->thread : s->guest;
        if (i >= end) {
            continue;
        }
        see_handles(s, op);
        const struct op_info *info = op_info(program->target, op->code);
        for (unsigned a = 0; a < info->arguments; a++) {
            if (info->argument[a].kind == KIND_address) {
                s->address[s->addresses++ % SEEN_MAX] = op->arg.raw[a];
            } else if (strcmp(info->argument[a].name, "value") == 0) {
                s->value[s->values++ % SEEN_MAX] = op->arg.raw[a];
            }
        }
    }
}

/* ---- One argument -----------------------------------------------------------------------------
 */

struct maker {
    struct chance chance;
    struct swarm swarm;
    struct sight sight;
};
static struct maker maker;

/* Clips a value to what the byte form can hold. */
static uint64_t in_domain(enum op_kind kind, uint64_t value) {
    const uint64_t mask = (UINT64_C(1) << 40) - 1;
    switch (kind) {
    case KIND_number32:
    case KIND_limit:
        return value & U32;
    case KIND_address:
        return value < END / 2 ? value & mask
               : value < END   ? END - ((END - value) & mask)
                               : END + ((value - END) & mask);
    default:
        return value;
    }
}

static uint64_t any_number(struct chance *c) {
    return next(c) >> below(c, 64);
}

/* By how much a memory can grow, or a little more or less. */
static uint64_t draw_growth(struct maker *k, unsigned m) {
    uint64_t pages = k->sight.memory[m].pages, max = k->sight.memory[m].max;
    uint64_t limits[] = {max, max, 65536, k->sight.memory[m].bound, UINT64_C(1) << 32};
    unsigned likely = k->swarm.wide ? 3 : COUNT_OF(limits);
    uint64_t room = limits[below(&k->chance, likely)] - pages;
    return (one_in(&k->chance, 2) ? room : room + (uint64_t)below(&k->chance, 4) - 1) & U32;
}

static uint64_t draw_address(struct maker *k) {
    static const int near[] = {-8, -4, -1, 1, 4, 8};
    struct chance *c = &k->chance;
    unsigned seen = kept(k->sight.addresses);
    if (seen > 0 && one_in(c, 3)) {
        uint64_t address = k->sight.address[below(c, seen)];
        bool same = address < 16 || !one_in(c, 4);
        return in_domain(KIND_address,
                         same ? address : address + (uint64_t)near[below(c, COUNT_OF(near))]);
    }
    if (one_in(c, 2)) {
        return k->swarm.hot[below(c, k->swarm.hots)];
    }
    return one_in(c, 32) ? in_domain(KIND_address, any_number(c))
                         : addresses[below(c, COUNT_OF(addresses))];
}

/* ---- Arguments that count together --------------------------------------------------------------
 */

static int64_t a_little(struct chance *c) {
    static const int64_t steps[] = {0, 0, 0, -1, 1, -2, -4, -8, 4, 8};
    return steps[below(c, COUNT_OF(steps))];
}

static uint64_t size_of(const struct maker *k, uint64_t m) {
    return k->sight.memory[m % OP_MEMORIES].pages * 65536;
}

/* Where a reservation ends, of whatever strategy: after its bound, its maximum, its size and the
 * guard; or with the guard of a pool's slot. */
static uint64_t draw_reservation_end(struct maker *k, uint64_t m) {
    enum { SLOT_PAGES = 9, SLOT_GUARD_BYTES = 128 << 10 };
    uint64_t guard = k->sight.memory[m % OP_MEMORIES].guard;
    uint64_t ends[] = {k->sight.memory[m % OP_MEMORIES].bound * 65536 + guard,
                       k->sight.memory[m % OP_MEMORIES].max * 65536 + guard,
                       k->sight.memory[m % OP_MEMORIES].pages * 65536 + guard,
                       SLOT_PAGES * 65536 + SLOT_GUARD_BYTES};
    return in_domain(KIND_address,
                     ends[below(&k->chance, COUNT_OF(ends))] + (uint64_t)a_little(&k->chance));
}

/* index + offset at the memory's end, or at 2^32. False if the memory's size is unknown. */
static bool draw_offset(struct maker *k, uint64_t m, uint64_t at, uint64_t *offset) {
    uint64_t size = size_of(k, m), index = op_address(at, size);
    uint64_t targets[] = {size, size, UINT64_C(1) << 32};
    uint64_t target =
        targets[below(&k->chance, COUNT_OF(targets))] + (uint64_t)a_little(&k->chance);
    *offset = (target - index) & U32;
    return index <= U32;
}

/* What is there, at another width, with bits above it, with its halves changed. */
static uint64_t draw_expected(struct maker *k) {
    static const uint8_t bits[] = {8, 16, 31, 32, 33, 48, 63};
    struct chance *c = &k->chance;
    uint64_t value = k->sight.value[below(c, kept(k->sight.values))];
    uint64_t bit = UINT64_C(1) << bits[below(c, COUNT_OF(bits))];
    uint64_t forms[] = {value,       value,       value ^ bit, value | value << 32,
                        value << 32, value >> 32, value & U32};
    return forms[below(c, COUNT_OF(forms))];
}

enum { OVERLAP_BYTES_MAX = 256 };

/* A little before or behind where a copy goes to. */
static uint64_t draw_source(struct maker *k, uint64_t to) {
    static const uint8_t distances[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 33};
    const uint64_t distance = distances[below(&k->chance, COUNT_OF(distances))];
    return in_domain(KIND_address, one_in(&k->chance, 2) ? to + distance : to - distance);
}

/* A count that ends at the memory's end, at 2^32, at a segment's. */
static bool draw_count(struct maker *k, const struct op *op, uint64_t *count) {
    struct chance *c = &k->chance;
    uint64_t size = 0, start = 0;
    switch (op->code) {
    case OP_memory_bulk_fill:
    case OP_memory_initialise:
    case OP_memory_read: /* memory and address come first in all of them */
        size = size_of(k, op->arg.raw[0]);
        start = op_address(op->arg.raw[1], size);
        break;
    case OP_memory_bulk_copy:
        if (one_in(c, 2)) { /* at which the ranges begin to overlap */
            const uint64_t to = op->arg.memory_bulk_copy.to, from = op->arg.memory_bulk_copy.from;
            *count = (to > from ? to - from : from - to) + 1 + (uint64_t)a_little(c);
            return *count < OVERLAP_BYTES_MAX;
        }
        size = size_of(k, op->arg.memory_bulk_copy.m);
        start = op_address(
            one_in(c, 2) ? op->arg.memory_bulk_copy.to : op->arg.memory_bulk_copy.from, size);
        break;
    case OP_memory_bulk_init:
        start = op->arg.memory_bulk_init.from;
        size = one_in(c, 2) ? UINT64_C(1) << 32 : 64;
        break;
    default:
        return false;
    }
    *count = (one_in(c, 3) ? UINT64_C(1) << 32 : size) - start + (uint64_t)a_little(c);
    return true;
}

/* The calls that an operation makes; a test compares this with what it is seen to make. */
#define CALL(name) (1u << WORD_call_##name)
enum {
    PAGE_CALLS = CALL(os_reserve) | CALL(os_commit) | CALL(os_move) | CALL(os_advise) |
                 CALL(os_release) | CALL(resize) | CALL(c_mremap) | CALL(c_mmap) |
                 CALL(c_mmap_error) | CALL(c_mprotect),
    /* what the kernel supports, which pages are present */
    ASKING_CALLS = CALL(c_ioctl) | CALL(c_madvise),
    FILE_CALLS = CALL(os_file_create) | CALL(os_file_write) | CALL(os_file_freeze) |
                 CALL(os_file_map) | CALL(os_file_written) | CALL(c_pread) | CALL(c_pwrite) |
                 CALL(c_ftruncate) | CALL(c_fcntl) | CALL(c_memfd),
    UNDOING_CALLS = CALL(os_decommit) | CALL(os_discard) | CALL(os_renew) | CALL(os_advise)
};
static const uint32_t calls_of[256] = {
    [OP_memory_create] = PAGE_CALLS | ASKING_CALLS | CALL(os_reserve_accessible) | CALL(allocate),
    [OP_memory_create_more] =
        PAGE_CALLS | FILE_CALLS | ASKING_CALLS | CALL(os_reserve_accessible) | CALL(allocate),
    [OP_memory_grow] = PAGE_CALLS | CALL(allocate) | CALL(c_madvise),
    [OP_memory_copy] =
        PAGE_CALLS | FILE_CALLS | ASKING_CALLS | CALL(os_reserve_accessible) | CALL(allocate),
    [OP_memory_clone] = CALL(allocate),
    [OP_memory_to_shared] = CALL(allocate) | CALL(os_release),
    [OP_memory_pin] = CALL(allocate),
    [OP_memory_reset] = CALL(os_discard) | CALL(os_commit) | CALL(os_decommit) | CALL(os_renew) |
                        CALL(os_file_map) | CALL(os_advise) | CALL(c_madvise) | CALL(c_ioctl) |
                        CALL(c_mmap_error) | CALL(c_mprotect),
    [OP_memory_wait32] = CALL(c_futex),
    [OP_memory_wait64] = CALL(c_futex),
    [OP_memory_destroy] = CALL(os_discard) | CALL(os_decommit) | CALL(os_renew) | CALL(os_release) |
                          CALL(os_advise) | CALL(c_madvise) | CALL(c_ioctl) | CALL(c_mmap_error) |
                          CALL(c_mprotect),
    [OP_mailbox_attach] = CALL(allocate) | CALL(resize),
    [OP_mailbox_grow] = PAGE_CALLS | CALL(allocate),
    [OP_mailbox_move] = PAGE_CALLS | CALL(allocate),
    [OP_waker_create] = CALL(allocate),
};

uint32_t mutate_calls_of(uint8_t code) {
    return calls_of[code];
}

static unsigned bit_of(struct chance *c, uint32_t set) {
    unsigned skip = below(c, (size_t)__builtin_popcount(set));
    while (skip-- > 0) {
        set &= set - 1;
    }
    return (unsigned)__builtin_ctz(set);
}

static uint64_t draw_slot(struct maker *k, unsigned filled, unsigned count) {
    return filled != 0 && !one_in(&k->chance, 16) ? bit_of(&k->chance, filled)
                                                  : below(&k->chance, count);
}

static uint64_t draw_word(struct maker *k, enum op_kind kind) {
    unsigned count = 0;
    while (op_word(kind, count) != NULL) {
        count++;
    }
    switch (kind) {
    case KIND_strategy:
        return bit_of(&k->chance, k->swarm.strategies);
    case KIND_call:
        return bit_of(&k->chance, k->swarm.calls);
    case KIND_twin:
        return one_in(&k->chance, 2) ? WORD_twin_none : below(&k->chance, count);
    case KIND_width: /* the last one is no width: seldom */
        return one_in(&k->chance, 16) ? WORD_width_3 : below(&k->chance, count - 1);
    case KIND_region:
        return one_in(&k->chance, 2) ? WORD_region_front : below(&k->chance, count);
    default:
        return below(&k->chance, count);
    }
}

static const struct values *row_of(uint8_t code, const char *name) {
    for (size_t i = 0; i < COUNT_OF(values_of); i++) {
        if (values_of[i].code == code && strcmp(values_of[i].values.name, name) == 0) {
            return &values_of[i].values;
        }
    }
    for (size_t i = 0; i < COUNT_OF(usual_values); i++) {
        if (strcmp(usual_values[i].name, name) == 0) {
            return &usual_values[i];
        }
    }
    return NULL;
}

static uint64_t draw_number(struct maker *k, const struct op *op, const char *name) {
    struct chance *c = &k->chance;
    bool grows = op->code == OP_memory_grow;
    if (grows && one_in(c, k->swarm.wide ? 2 : 3)) {
        return draw_growth(k, (unsigned)op->arg.memory_grow.m);
    }
    if (op->code == OP_guest_scribble && name[0] == 'v') {
        return scribbles[below(c, COUNT_OF(scribbles))];
    }
    if (op->code == OP_mailbox_enqueue && one_in(c, 4)) {
        return k->sight.capacity + below(c, 3);
    }
    if (k->sight.values > 0 && (strcmp(name, "expected") == 0) && one_in(c, 2)) {
        return draw_expected(k);
    }
    uint64_t drawn;
    if (strcmp(name, "count") == 0 && one_in(c, 4) && draw_count(k, op, &drawn)) {
        return drawn;
    }
    if (strcmp(name, "offset") == 0 && one_in(c, 4)) { /* memory, perhaps a kind, address before */
        bool rmw = op->code == OP_memory_atomic_rmw;
        if (draw_offset(k, op->arg.raw[0], op->arg.raw[rmw ? 2 : 1], &drawn)) {
            return drawn;
        }
    }
    if (k->swarm.wide && strcmp(name, "max") == 0 && one_in(c, 2)) {
        return one_in(c, 2) ? 65536 : U32;
    }
    if (k->swarm.wide && strcmp(name, "min") == 0 && one_in(c, 6)) {
        return 65536 - below(c, 3);
    }
    const struct values *row = one_in(c, 24) ? NULL : row_of(op->code, name);
    return row != NULL ? row->value[below(c, row->count)] : any_number(c);
}

static uint64_t draw_argument(struct maker *k, const struct op *op,
                              const struct op_argument *argument) {
    switch (argument->kind) {
    case KIND_memory:
        return strcmp(argument->name, "m") == 0 && !sets_up(op->code)
                   ? draw_slot(k, k->sight.memories, OP_MEMORIES)
               : sets_up(op->code) && !one_in(&k->chance, 3) ? 0
                                                             : below(&k->chance, OP_MEMORIES);
    case KIND_waker:
        return op->code == OP_waker_create ? below(&k->chance, OP_WAKERS)
                                           : draw_slot(k, k->sight.wakers, OP_WAKERS);
    case KIND_segment:
        return below(&k->chance, OP_SEGMENTS);
    case KIND_address:
        if (op->code == OP_memory_bulk_copy && strcmp(argument->name, "from") == 0 &&
            one_in(&k->chance, 2)) {
            return draw_source(k, op->arg.memory_bulk_copy.to);
        }
        return (op->code == OP_memory_owner_of || op->code == OP_memory_probe) &&
                       one_in(&k->chance, 2)
                   ? draw_reservation_end(k, op->arg.raw[0])
                   : draw_address(k);
    case KIND_number:
    case KIND_number32:
    case KIND_limit:
    case KIND_signed:
        return in_domain(argument->kind, draw_number(k, op, argument->name));
    default:
        return draw_word(k, argument->kind);
    }
}

/* ---- One operation ----------------------------------------------------------------------------
 */

static uint8_t draw_code(struct maker *k) {
    unsigned at = below(&k->chance, k->swarm.weights), code = 0;
    while (at >= k->swarm.weight[code]) {
        at -= k->swarm.weight[code++];
    }
    return (uint8_t)code;
}

/* The guest is one thread; the others are the host's, or other guests. */
static uint8_t draw_thread(struct maker *k, unsigned code) {
    unsigned thread = below(&k->chance, k->swarm.threads);
    if (!k->sight.interleaved) {
        return 0;
    }
    if (is_guests(code) || code == OP_mailbox_grow) {
        return (uint8_t)(k->sight.guest >= 0 && !one_in(&k->chance, 16) ? k->sight.guest
                                                                        : (int)thread);
    }
    return (uint8_t)thread;
}

/* Most requests are valid: one in eight contradicts itself. */
static void make_sense(struct maker *k, struct op *op) {
    if (op->code == OP_memory_create || op->code == OP_memory_create_more) {
        bool shared = op->arg.memory_create.shared == WORD_yesno_yes;
        if (one_in(&k->chance, 8)) {
            return;
        }
        if (op->arg.memory_create.min > op->arg.memory_create.max) {
            op->arg.memory_create.min = op->arg.memory_create.max < 2 ? 1 : 2;
        }
        if (shared && op->arg.memory_create.max == U32) {
            op->arg.memory_create.max = op->arg.memory_create.min + 1 + below(&k->chance, 3);
        }
        if (op->code == OP_memory_create_more && op->arg.memory_create_more.image > 0 &&
            one_in(&k->chance, 4)) { /* a strategy that takes one */
            op->arg.memory_create_more.strategy = WORD_strategy_image;
            op->arg.memory_create_more.twin = WORD_twin_none;
        }
        if (op->arg.memory_create.style == WORD_style_static &&
            op->arg.memory_create.bound < op->arg.memory_create.min) {
            op->arg.memory_create.bound = op->arg.memory_create.min + below(&k->chance, 4);
        }
    } else if (op->code == OP_mailbox_attach && !one_in(&k->chance, 4)) {
        const bool large = op->arg.mailbox_attach.capacity > 16384;
        op->arg.mailbox_attach.pages = large ? 3 : 1 + below(&k->chance, 2);
    }
}

static void make_operation(struct maker *k, enum op_target target, unsigned code, struct op *op) {
    const struct op_info *info = op_info(target, code);
    memset(op, 0, sizeof *op);
    op->code = (uint8_t)code;
    op->thread = code == OP_fault ? 0 : draw_thread(k, code);
    for (unsigned a = 0; a < info->arguments; a++) {
        op->arg.raw[a] = draw_argument(k, op, &info->argument[a]);
    }
    make_sense(k, op);
}

/* ---- Choices ----------------------------------------------------------------------------------
 */

/* One in `every` is not 0. */
static uint8_t draw_choice(struct maker *k, unsigned every) {
    return one_in(&k->chance, every) ? (uint8_t)below(&k->chance, 6) : 0;
}

static void add_choices(struct maker *k, struct program *p, size_t count) {
    while (count-- > 0 && p->choices_bytes < OP_CHOICES_MAX) {
        p->choices[p->choices_bytes++] = draw_choice(k, k->swarm.preemptions);
    }
}

/* A schedule that the engine draws by itself, from a number. */
static bool number_schedule(struct maker *k, struct program *p) {
    enum { NUMBER_BYTES = 3 };
    look(p, 0, &k->sight);
    if (!k->sight.interleaved) {
        return false;
    }
    p->choices_bytes = 1 + NUMBER_BYTES;
    p->choices[0] = OP_CHOICES_NUMBER;
    for (size_t i = 1; i < p->choices_bytes; i++) {
        p->choices[i] = (uint8_t)below(&k->chance, 256);
    }
    return true;
}

/* 0 where faults are off. */
static unsigned draw_fault(struct maker *k) {
    unsigned by_thread = k->swarm.weight[OP_fault_at], by_process = k->swarm.weight[OP_fault];
    return by_thread + by_process == 0                             ? 0
           : below(&k->chance, by_thread + by_process) < by_thread ? OP_fault_at
                                                                   : OP_fault;
}

/* ---- A whole program --------------------------------------------------------------------------
 */

static bool insert(struct program *p, unsigned at, const struct op *op) {
    if (p->operations == OPS_MAX) {
        return false;
    }
    memmove(&p->operation[at + 1], &p->operation[at], (p->operations - at) * sizeof *op);
    p->operation[at] = *op;
    p->operations++;
    return true;
}

static void append_new(struct maker *k, struct program *p, unsigned code) {
    struct op op;
    look(p, p->operations, &k->sight);
    make_operation(k, p->target, code, &op);
    (void)insert(p, p->operations, &op);
}

static void append_plain(struct program *p, unsigned code) {
    struct op op = {.code = (uint8_t)code};
    (void)insert(p, p->operations, &op);
}

enum { SURROUNDED_ONE_IN = 6 };

/* What a memory is asked for with is one half; the other is said before it. */
static void surround(struct maker *k, struct program *p) {
    static const uint8_t codes[] = {OP_memory_budget, OP_memory_fall_back, OP_memory_address_space,
                                    OP_memory_file_limit};
    for (unsigned i = 1 + below(&k->chance, 2); i > 0; i--) {
        append_new(k, p, codes[below(&k->chance, COUNT_OF(codes))]);
    }
}

static void set_up(struct maker *k, struct program *p) {
    bool memory = p->target != TARGET_mailbox_fuzzer, mailbox = !memory;
    mailbox |= p->target == TARGET_system_fuzzer && one_in(&k->chance, 2);
    unsigned fault = one_in(&k->chance, 8) ? draw_fault(k) : 0;
    if (fault != 0) {
        append_new(k, p, fault);
    }
    if (p->target == TARGET_memory_fuzzer && one_in(&k->chance, SURROUNDED_ONE_IN)) {
        surround(k, p);
    }
    if (memory) {
        append_new(k, p, one_in(&k->chance, 3) ? OP_memory_create_more : OP_memory_create);
        p->operation[p->operations - 1].arg.memory_create.m = 0;
    }
    if (mailbox) {
        append_new(k, p, OP_mailbox_attach);
    }
    if (p->target == TARGET_mailbox_fuzzer && !one_in(&k->chance, 3)) {
        append_plain(p, OP_interleave);
    }
}

/* The call that should undo the failing operation fails, too. */
static void insert_cascade(struct maker *k, struct program *p, unsigned at, const struct op *fault,
                           uint32_t calls) {
    for (unsigned call = 0; call < WORD_call_count; call++) {
        if ((calls >> call & 1) && one_in(&k->chance, 2)) {
            struct op another = *fault;
            another.arg.raw[0] = call;
            another.arg.raw[1] = 1 + (call == fault->arg.raw[0]);
            (void)insert(p, at, &another);
        }
    }
}

/* Makes a call of an operation fail. Half of the time the operation is repeated, to check that
 * nothing has changed. */
static bool insert_aimed_fault(struct maker *k, struct program *p) {
    unsigned code = draw_fault(k), at = below(&k->chance, p->operations);
    for (unsigned i = 0; i < 8 && at < p->operations && calls_of[p->operation[at].code] == 0; i++) {
        at = below(&k->chance, p->operations);
    }
    if (code == 0 || at >= p->operations || calls_of[p->operation[at].code] == 0) {
        return false;
    }
    struct op fault, op = p->operation[at];
    look(p, at, &k->sight);
    make_operation(k, p->target, code, &fault);
    fault.arg.raw[0] = bit_of(&k->chance, calls_of[op.code]);
    fault.arg.raw[1] = 1 + (one_in(&k->chance, 2) ? below(&k->chance, 3) : 0);
    fault.thread = code == OP_fault_at ? op.thread : 0;
    bool done = (one_in(&k->chance, 2) || insert(p, at, &op)) && insert(p, at, &fault);
    if (one_in(&k->chance, 4)) {
        insert_cascade(k, p, at, &fault, UNDOING_CALLS);
    }
    return done;
}

/* ---- Shapes: operations that only together come to where a rule turns
 * ----------------------------
 */

enum { HERE = 0xFE, STEPS_MAX = 8 }; /* no thread: for programs of one thread */
enum step_how {
    DRAWN = 0,
    SHORT = 1,       /* a wait that times out */
    LONG = 2,        /* one that does not */
    ONE = 4,         /* a notify of one */
    ALL = 8,         /* of all */
    BESIDE = 16,     /* at another word of the same bucket */
    LIMIT = 32,      /* a memory with a limit of waiters */
    HALF = 64,       /* a store of the upper half of 8 bytes */
    SECOND = 262144, /* before the threads begin */
    OVER = 131072,   /* a few bytes that differ, near there */
    PLACE = 65536,   /* a mailbox of shared memory, or another one in its place */
    FLAG = 32768,    /* at a word of the bucket that the mailbox's flag is in */
    LARGE = 128,     /* many pages, far apart */
    VIEW = 256,      /* a memory whose copies are views */
    HEAD = 512,      /* a false head from the guest */
    SPACE = 8192,    /* a reservation that fails */
    SLOT = 2048,     /* a memory of a pool */
    MOVES = 4096,    /* one that moves as it grows, or its move that fails */
    FULL = 1024,     /* as many ids as the ring has slots, or one more */
    WRAP = 1048576,  /* cursors that pass 2^32 with what is enqueued next */
    AMONG = 524288,  /* of one to eight bytes, aligned, among bytes that are not zero */
    IMAGE = 16384    /* first contents as long as the memory */
};
struct step {
    uint8_t code, thread, m, to;
    unsigned how;
};
struct shape {
    bool threads;
    struct step step[STEPS_MAX]; /* code 0 ends it */
};
#define WAIT OP_memory_wait32
#define NOTIFY OP_memory_notify
static const struct shape shapes[] = {
    /* two waiters: one times out, the other must be woken; and the other way round */
    {true, {{WAIT, 0, 0, 0, SHORT}, {WAIT, 1, 0, 0, LONG}, {NOTIFY, 2, 0, 0, ONE}}},
    {true, {{WAIT, 0, 0, 0, LONG}, {WAIT, 1, 0, 0, SHORT}, {NOTIFY, 2, 0, 0, ONE}}},
    {true,
     {{WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, SHORT},
      {WAIT, 2, 0, 0, LONG},
      {NOTIFY, 3, 0, 0, ONE},
      {NOTIFY, 3, 0, 0, ONE}}},
    {true,
     {{WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, SHORT},
      {WAIT, 2, 0, 0, SHORT},
      {WAIT, 3, 0, 0, LONG},
      {NOTIFY, 1, 0, 0, ALL}}},
    /* one that waits twice */
    {true,
     {{WAIT, 0, 0, 0, SHORT},
      {WAIT, 0, 0, 0, LONG},
      {NOTIFY, 1, 0, 0, ONE},
      {NOTIFY, 1, 0, 0, ONE}}},
    /* three waiters and counts between */
    {true,
     {{WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, LONG},
      {WAIT, 2, 0, 0, LONG},
      {NOTIFY, 3, 0, 0, DRAWN},
      {NOTIFY, 3, 0, 0, DRAWN}}},
    /* two queues in one bucket, and what comes later */
    {true,
     {{WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, LONG | BESIDE},
      {NOTIFY, 2, 0, 0, ONE},
      {NOTIFY, 2, 0, 0, ONE | BESIDE}}},
    {true,
     {{WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, SHORT | BESIDE},
      {WAIT, 2, 0, 0, LONG},
      {OP_memory_disable_atomics, 3, 0, 0, DRAWN}}},
    /* a store, then a notify, against a wait for the old value */
    {true, {{OP_memory_store, 0, 0, 0, DRAWN}, {NOTIFY, 0, 0, 0, ONE}, {WAIT, 1, 0, 0, LONG}}},
    {true,
     {{OP_memory_atomic_store, 0, 0, 0, DRAWN},
      {NOTIFY, 0, 0, 0, ALL},
      {WAIT, 1, 0, 0, LONG},
      {WAIT, 2, 0, 0, SHORT}}},
    /* a limit, and waiters that leave in time */
    {true,
     {{OP_memory_create_more, 0, 0, 0, LIMIT},
      {WAIT, 0, 0, 0, SHORT},
      {WAIT, 0, 0, 0, SHORT},
      {WAIT, 1, 0, 0, SHORT},
      {WAIT, 2, 0, 0, LONG}}},
    {true,
     {{OP_memory_create_more, 0, 0, 0, LIMIT},
      {WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, LONG},
      {WAIT, 2, 0, 0, DRAWN},
      {NOTIFY, 3, 0, 0, ALL}}},
    /* the last handle goes while a wait may time out */
    {true, {{WAIT, 0, 0, 0, SHORT}, {OP_memory_destroy, 1, 0, 0, DRAWN}}},
    {true,
     {{WAIT, 0, 0, 0, SHORT},
      {WAIT, 1, 0, 0, LONG},
      {OP_memory_clone, 2, 0, 1, DRAWN},
      {OP_memory_destroy, 2, 0, 0, DRAWN},
      {OP_memory_destroy, 2, 1, 0, DRAWN}}},
    /* many waiters, and a notify of all */
    {true,
     {{OP_memory_wait_crowd, 0, 0, 0, DRAWN},
      {NOTIFY, 0, 0, 0, ALL},
      {NOTIFY, 1, 0, 0, DRAWN},
      {NOTIFY, 0, 0, 0, ALL}}},
    /* a copy with its own waiters, and its own limit of them */
    {true,
     {{OP_memory_create_more, 0, 0, 0, LIMIT},
      {OP_memory_copy, 0, 0, 1, DRAWN},
      {WAIT, 0, 1, 0, LONG},
      {WAIT, 1, 1, 0, LONG},
      {WAIT, 2, 1, 0, LONG}}},
    {true,
     {{OP_memory_copy, 0, 0, 1, DRAWN},
      {OP_memory_grow, 0, 1, 0, DRAWN},
      {OP_memory_grow, 1, 1, 0, DRAWN},
      {WAIT, 1, 0, 0, LONG},
      {NOTIFY, 2, 1, 0, ALL},
      {OP_memory_disable_atomics, 2, 1, 0, DRAWN}}},
    /* memories that are created and destroyed, and questions about the owner of their bytes */
    {true,
     {{OP_memory_tenant, 0, 0, 0, DRAWN},
      {OP_memory_tenant, 1, 0, 0, DRAWN},
      {OP_memory_owner_of_tenant, 0, 0, 0, DRAWN},
      {OP_memory_owner_of_tenant, 1, 0, 0, DRAWN}}},
    {true,
     {{OP_memory_tenant, 0, 0, 0, DRAWN},
      {OP_memory_owner_of_tenant, 1, 0, 0, DRAWN},
      {OP_memory_owner_of, 1, 0, 0, DRAWN},
      {OP_memory_grow, 2, 0, 0, DRAWN}}},
    /* a sleeper, and many signals before it sleeps */
    {true, {{OP_mailbox_wait_for_signal, 0, 0, 0, LONG}, {OP_mailbox_rounds, 1, 0, 0, DRAWN}}},
    /* three producers into a ring with little room, and a guest that parks */
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_guest_park, 3, 0, 0, LONG},
      {OP_guest_drain, 3, 0, 0, DRAWN}}},
    /* producers who meet: one publishes, the others leave their ids, again and again */
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_guest_drain, 3, 0, 0, DRAWN}}},
    /* the same beside close, flush, and a move */
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_close, 2, 0, 0, DRAWN},
      {OP_guest_drain, 3, 0, 0, DRAWN}}},
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, FULL},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_flush, 2, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_guest_drain, 3, 0, 0, DRAWN},
      {OP_guest_drain, 3, 0, 0, DRAWN}}},
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_hold, 2, 0, 0, DRAWN},
      {OP_mailbox_move, 2, 0, 0, DRAWN},
      {OP_mailbox_unhold, 2, 0, 0, DRAWN},
      {OP_mailbox_close, 1, 0, 0, DRAWN},
      {OP_guest_drain, 3, 0, 0, DRAWN}}},
    /* close beside threads that enqueue and wait */
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, FULL},
      {OP_mailbox_close, 1, 0, 0, DRAWN},
      {OP_mailbox_wait_for_signal, 2, 0, 0, LONG},
      {OP_guest_park, 3, 0, 0, LONG}}},
    /* two of the host's threads wait for the signal */
    {true,
     {{OP_mailbox_wait_for_signal, 0, 0, 0, LONG},
      {OP_mailbox_wait_for_signal, 1, 0, 0, LONG},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_mailbox_close, 2, 0, 0, DRAWN}}},
    /* a parked guest, and waits that use the lock of its bucket */
    {true,
     {{OP_guest_park, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, SHORT | FLAG},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_guest_drain, 0, 0, 0, DRAWN}}},
    {true,
     {{OP_guest_park, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, SHORT | FLAG},
      {NOTIFY, 3, 0, 0, ONE | FLAG},
      {WAIT, 3, 0, 0, SHORT | FLAG},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_guest_drain, 0, 0, 0, DRAWN}}},
    /* what was closed is used again */
    {false,
     {{OP_mailbox_close, HERE, 0, 0, DRAWN},
      {OP_mailbox_grow, HERE, 0, 0, DRAWN},
      {OP_mailbox_flush, HERE, 0, 0, DRAWN},
      {OP_mailbox_close, HERE, 0, 0, DRAWN},
      {OP_mailbox_release, HERE, 0, 0, DRAWN}}},
    /* two mailboxes in one memory; one after another in one place, while wakers live; growth */
    {false,
     {{OP_mailbox_attach_beside, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, ONE},
      {OP_mailbox_grow, HERE, 0, 0, DRAWN},
      {OP_mailbox_other, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, ONE},
      {OP_guest_drain, HERE, 0, 0, DRAWN}}},
    {false,
     {{OP_waker_create, HERE, 0, 0, DRAWN},
      {OP_mailbox_release, HERE, 0, 0, DRAWN},
      {OP_mailbox_attach_beside, HERE, 0, 0, DRAWN},
      {OP_mailbox_other, HERE, 0, 0, DRAWN},
      {OP_waker_drop, HERE, 0, 0, DRAWN},
      {OP_mailbox_other, HERE, 0, 0, DRAWN},
      {OP_guest_park, HERE, 0, 0, DRAWN}}},
    /* one over two others, of which wakers keep one, or both */
    {false,
     {{OP_mailbox_attach_beside, HERE, 0, 0, DRAWN},
      {OP_waker_create, HERE, 0, 0, DRAWN},
      {OP_mailbox_release, HERE, 0, 0, DRAWN},
      {OP_mailbox_attach_over, HERE, 0, 0, DRAWN},
      {OP_waker_wake, HERE, 0, 0, DRAWN},
      {OP_mailbox_other, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, ONE}}},
    {false,
     {{OP_waker_create, HERE, 0, 0, DRAWN},
      {OP_mailbox_release, HERE, 0, 0, DRAWN},
      {OP_mailbox_attach_beside, HERE, 0, 0, DRAWN},
      {OP_mailbox_attach_over, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, ONE},
      {OP_mailbox_other, HERE, 0, 0, DRAWN},
      {OP_waker_wake, HERE, 0, 0, DRAWN}}},
    {true,
     {{OP_mailbox_attach, 0, 0, 0, PLACE},
      {OP_mailbox_attach_beside, 0, 0, 0, PLACE},
      {OP_mailbox_close, 1, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 2, 0, 0, ONE}}},
    {true,
     {{OP_mailbox_attach, 0, 0, 0, PLACE},
      {OP_mailbox_attach_beside, 0, 0, 0, PLACE},
      {OP_mailbox_release, 1, 0, 0, DRAWN},
      {OP_mailbox_release, 0, 0, 0, DRAWN}}},
    /* producers that pause with and without a reserved place, and close */
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_pause, 1, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_pause, 2, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_mailbox_close, 3, 0, 0, DRAWN}}},
    /* one that pauses with a reserved place, close, and a guest that is told of it */
    {true,
     {{OP_mailbox_enqueue, 0, 0, 0, ONE},
      {OP_pause, 1, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 1, 0, 0, ONE},
      {OP_mailbox_close, 2, 0, 0, DRAWN},
      {OP_guest_drain, 3, 0, 0, DRAWN},
      {OP_guest_park, 3, 0, 0, LONG},
      {OP_guest_drain, 3, 0, 0, DRAWN},
      {OP_guest_park, 3, 0, 0, LONG}}},
    /* a wait that pauses, and notifies */
    {true,
     {{OP_pause, 0, 0, 0, DRAWN},
      {WAIT, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, LONG},
      {NOTIFY, 2, 0, 0, ONE},
      {NOTIFY, 2, 0, 0, ALL}}},
    /* two guests, whose flags likely share a bucket of the wait table, and who is to wake them */
    {true,
     {{OP_mailbox_attach, 0, 0, 0, PLACE},
      {OP_mailbox_attach_beside, 0, 0, 0, SECOND},
      {OP_guest_park, 0, 0, 0, LONG},
      {OP_guest_park_second, 1, 0, 0, LONG},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_mailbox_enqueue_second, 3, 0, 0, ONE}}},
    {true,
     {{OP_mailbox_attach, 0, 0, 0, PLACE},
      {OP_mailbox_attach_beside, 0, 0, 0, SECOND},
      {OP_guest_park_second, 1, 0, 0, LONG},
      {OP_mailbox_enqueue, 2, 0, 0, ONE},
      {OP_mailbox_enqueue_second, 3, 0, 0, ONE},
      {WAIT, 0, 0, 0, SHORT | FLAG},
      {NOTIFY, 2, 0, 0, ONE | FLAG}}},
    /* a producer that stops for ever, and others */
    {true,
     {{OP_mailbox_enqueue_stops, 0, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 1, 0, 0, DRAWN},
      {OP_mailbox_enqueue, 2, 0, 0, DRAWN},
      {OP_guest_drain, 3, 0, 0, DRAWN}}},
    /* a full ring whose tail has passed 2^32, while its head has not */
    {false,
     {{OP_mailbox_attach, HERE, 0, 0, WRAP},
      {OP_mailbox_enqueue, HERE, 0, 0, ONE},
      {OP_guest_drain, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, FULL},
      {OP_mailbox_enqueue, HERE, 0, 0, ONE},
      {OP_guest_drain, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, FULL}}},
    /* a full ring behind a false head */
    {false,
     {{OP_mailbox_enqueue, HERE, 0, 0, FULL},
      {OP_guest_scribble, HERE, 0, 0, HEAD},
      {OP_mailbox_enqueue, HERE, 0, 0, FULL},
      {OP_mailbox_enqueue, HERE, 0, 0, FULL}}},
    {false,
     {{OP_mailbox_enqueue, HERE, 0, 0, FULL},
      {OP_guest_drain, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, FULL},
      {OP_guest_scribble, HERE, 0, 0, HEAD},
      {OP_mailbox_flush, HERE, 0, 0, DRAWN},
      {OP_mailbox_enqueue, HERE, 0, 0, FULL}}},
    /* growths, and threads that see them */
    {true,
     {{OP_memory_grow, 0, 0, 0, DRAWN},
      {OP_memory_grow, 1, 0, 0, DRAWN},
      {OP_memory_load, 2, 0, 0, DRAWN},
      {OP_memory_copy, 2, 0, 1, DRAWN}}},
    /* a copy to where its source begins or ends */
    {false,
     {{OP_memory_initialise, HERE, 0, 0, OVER},
      {OP_memory_bulk_copy, HERE, 0, 0, OVER},
      {OP_memory_read, HERE, 0, 0, OVER}}},
    /* accesses whose neighbours must stay as they are */
    {false,
     {{OP_memory_initialise, HERE, 0, 0, OVER},
      {OP_memory_atomic_rmw, HERE, 0, 0, AMONG},
      {OP_memory_atomic_rmw, HERE, 0, 0, AMONG},
      {OP_memory_atomic_cmpxchg, HERE, 0, 0, AMONG},
      {OP_memory_atomic_store, HERE, 0, 0, AMONG},
      {OP_memory_store, HERE, 0, 0, AMONG},
      {OP_memory_read, HERE, 0, 0, OVER}}},
    /* what a reset leaves, and the next tenant finds */
    {false,
     {{OP_memory_grow, HERE, 0, 0, DRAWN},
      {OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, DRAWN}}},
    {false,
     {{OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_memory_destroy, HERE, 0, 0, DRAWN},
      {OP_memory_create, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, DRAWN}}},
    /* a slot that grew, and a call that fails while it is cleaned */
    {false,
     {{OP_memory_create, HERE, 0, 0, SLOT},
      {OP_memory_grow, HERE, 0, 0, ONE},
      {OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_fault, HERE, 0, 0, DRAWN},
      {OP_memory_destroy, HERE, 0, 0, DRAWN},
      {OP_memory_create, HERE, 0, 0, SLOT},
      {OP_memory_grow, HERE, 0, 0, ONE}}},
    /* a budget, and what it is used for */
    {false,
     {{OP_memory_budget, HERE, 0, 0, DRAWN},
      {OP_memory_create, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, ONE},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_grow, HERE, 1, 0, ONE},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_destroy, HERE, 1, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, ONE}}},
    {false,
     {{OP_memory_budget, HERE, 0, 0, DRAWN},
      {OP_memory_create, HERE, 0, 0, MOVES},
      {OP_fault, HERE, 0, 0, DRAWN},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_destroy, HERE, 0, 0, DRAWN}}},
    /* tenants that share a budget, or the slots of a pool */
    {true,
     {{OP_memory_budget, 0, 0, 0, ONE},
      {OP_memory_tenant, 0, 0, 0, DRAWN},
      {OP_memory_tenant, 1, 0, 0, DRAWN},
      {OP_memory_tenant, 2, 0, 0, DRAWN}}},
    {true,
     {{OP_memory_tenant, 0, 0, 0, SLOT},
      {OP_memory_tenant, 1, 0, 0, SLOT},
      {OP_memory_tenant, 2, 0, 0, SLOT},
      {OP_memory_tenant, 3, 0, 0, SLOT},
      {OP_memory_tenant, 0, 0, 0, SLOT}}},
    /* what the host has pinned */
    {false,
     {{OP_memory_create, HERE, 0, 0, MOVES},
      {OP_memory_pin, HERE, 0, 0, ONE},
      {OP_memory_grow, HERE, 0, 0, ONE},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_destroy, HERE, 0, 0, DRAWN},
      {OP_memory_unpin, HERE, 0, 0, DRAWN},
      {OP_memory_create, HERE, 0, 0, MOVES}}},
    /* less address space than requested */
    {false,
     {{OP_memory_fall_back, HERE, 0, 0, DRAWN},
      {OP_fault, HERE, 0, 0, SPACE},
      {OP_fault, HERE, 0, 0, SPACE},
      {OP_memory_create, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, DRAWN},
      {OP_memory_copy, HERE, 0, 1, DRAWN}}},
    {false,
     {{OP_memory_fall_back, HERE, 0, 0, DRAWN},
      {OP_memory_address_space, HERE, 0, 0, DRAWN},
      {OP_memory_create_more, HERE, 0, 0, SPACE},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_to_shared, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, ONE}}},
    /* two waits by one canceller */
    {true,
     {{OP_memory_wait_cancellable, 0, 0, 0, LONG},
      {OP_memory_wait_by, 1, 0, 0, LONG},
      {OP_memory_cancel, 2, 0, 0, ONE}}},
    /* waits that are cancelled, beside others that are not */
    {true,
     {{OP_memory_wait_cancellable, 0, 0, 0, LONG},
      {WAIT, 1, 0, 0, LONG},
      {OP_memory_cancel, 2, 0, 0, ONE},
      {NOTIFY, 2, 0, 0, ONE}}},
    {true,
     {{OP_memory_wait_cancellable, 0, 0, 0, LONG},
      {OP_memory_wait_cancellable, 1, 0, 0, LONG},
      {NOTIFY, 2, 0, 0, ONE},
      {OP_memory_cancel, 3, 0, 0, ONE},
      {OP_memory_disable_atomics, 2, 0, 0, DRAWN}}},
    /* growth that moves, and a move that fails */
    {false,
     {{OP_memory_create, HERE, 0, 0, MOVES},
      {OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_fault, HERE, 0, 0, MOVES},
      {OP_memory_grow, HERE, 0, 0, ONE},
      {OP_memory_grow, HERE, 0, 0, ONE}}},
    /* a wait for 8 bytes that are written by halves, and never are what it waits for */
    {true,
     {{OP_memory_wait64, 0, 0, 0, LONG},
      {OP_memory_atomic_store, 1, 0, 0, DRAWN},
      {OP_memory_atomic_store, 1, 0, 0, HALF}}},
    {true,
     {{OP_memory_wait64, 0, 0, 0, LONG},
      {OP_memory_atomic_store, 1, 0, 0, HALF},
      {OP_memory_atomic_store, 2, 0, 0, DRAWN},
      {NOTIFY, 1, 0, 0, ONE}}},
    /* stores and loads of two words */
    {true,
     {{OP_memory_atomic_store, 0, 0, 0, DRAWN},
      {OP_memory_atomic_load, 0, 0, 0, HALF},
      {OP_memory_atomic_store, 1, 0, 0, HALF},
      {OP_memory_atomic_load, 1, 0, 0, DRAWN}}},
    /* copies of what was written here and there in much */
    {false,
     {{OP_memory_create, HERE, 0, 0, LARGE | VIEW},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_touch, HERE, 0, 0, LARGE},
      {OP_memory_copy, HERE, 0, 2, DRAWN}}},
    {false,
     {{OP_memory_create, HERE, 0, 0, VIEW},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_memory_copy, HERE, 0, 2, DRAWN}}},
    /* first contents, of which most are overwritten */
    {false,
     {{OP_memory_create_more, HERE, 0, 0, VIEW | IMAGE},
      {OP_memory_touch, HERE, 0, 0, IMAGE},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_reset, HERE, 1, 0, DRAWN}}},
    /* the same without a copy, and growth where there was something */
    {false,
     {{OP_memory_create_more, HERE, 0, 0, VIEW | IMAGE},
      {OP_memory_touch, HERE, 0, 0, IMAGE},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, ONE},
      {OP_memory_touch, HERE, 0, 0, IMAGE},
      {OP_memory_reset, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, ONE}}},
    /* growth from nothing */
    {false, {{OP_memory_create, HERE, 0, 0, LIMIT}, {OP_memory_grow, HERE, 0, 0, DRAWN}}},
    /* copies of copies, that live on */
    {false,
     {{OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_memory_copy, HERE, 0, 1, DRAWN},
      {OP_memory_store, HERE, 0, 0, DRAWN},
      {OP_memory_copy, HERE, 0, 2, DRAWN},
      {OP_memory_store, HERE, 2, 0, DRAWN},
      {OP_memory_grow, HERE, 1, 0, DRAWN},
      {OP_memory_reset, HERE, 2, 0, DRAWN}}},
    /* clones of clones, and what is left when the first goes */
    {false,
     {{OP_memory_clone, HERE, 0, 1, DRAWN},
      {OP_memory_clone, HERE, 1, 2, DRAWN},
      {OP_memory_destroy, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 2, 0, DRAWN},
      {WAIT, HERE, 1, 0, DRAWN},
      {OP_memory_destroy, HERE, 1, 0, DRAWN},
      {OP_memory_owner_of, HERE, 2, 0, DRAWN}}},
    /* conversion of a memory that has grown, and growth to the maximum */
    {false,
     {{OP_memory_grow, HERE, 0, 0, DRAWN},
      {OP_memory_to_shared, HERE, 0, 0, DRAWN},
      {OP_memory_grow, HERE, 0, 0, DRAWN},
      {OP_memory_clone, HERE, 0, 1, DRAWN}}},
};

/* Words of one bucket: their numbers times the golden ratio agree in the upper six bits. */
static const uint64_t one_bucket[] = {0, 136, 356, 712};

/* Words of the bucket of the flag, where the region begins at byte 1,024, as under the engine. */
static const uint64_t flags_bucket[] = {96, 452, 672, 808};

/* An access to one of the bytes that OVER has written. */
static void follow_among(struct chance *c, struct op *op, uint64_t at) {
    const uint64_t width = below(c, WORD_width_8 + 1);
    const uint64_t place = (at + 8 + below(c, 64)) >> width << width;
    switch (op->code) {
    case OP_memory_atomic_rmw:
        op->arg.memory_atomic_rmw.at = place;
        op->arg.memory_atomic_rmw.offset = 0;
        op->arg.memory_atomic_rmw.width = width;
        break;
    case OP_memory_atomic_cmpxchg:
        op->arg.memory_atomic_cmpxchg.at = place;
        op->arg.memory_atomic_cmpxchg.offset = 0;
        op->arg.memory_atomic_cmpxchg.width = width;
        break;
    default: /* both stores have the same arguments */
        op->arg.memory_store.at = place;
        op->arg.memory_store.offset = 0;
        op->arg.memory_store.width = width;
        break;
    }
}

static void follow(struct maker *k, const struct step *s, struct op *op, uint64_t at) {
    static const uint64_t counts[] = {1, 2, 2, 3};
    struct chance *c = &k->chance;
    uint64_t where = s->how & BESIDE ? one_bucket[1 + below(c, COUNT_OF(one_bucket) - 1)]
                     : s->how & FLAG ? flags_bucket[below(c, COUNT_OF(flags_bucket))]
                                     : at;
    if (s->how & AMONG) {
        follow_among(c, op, at);
        return;
    }
    switch (op->code) {
    case OP_memory_wait32:
        op->arg.memory_wait32.at = where;
        op->arg.memory_wait32.expected = 0;
        if (s->how & (SHORT | LONG)) {
            op->arg.memory_wait32.timeout_ns = s->how & LONG ? UINT64_MAX : 10;
        }
        break;
    case OP_memory_notify:
        op->arg.memory_notify.at = where;
        op->arg.memory_notify.count =
            s->how & ONE   ? 1
            : s->how & ALL ? row_of(OP_memory_notify, "count")
                                 ->value[below(c, row_of(OP_memory_notify, "count")->count)]
                           : counts[below(c, COUNT_OF(counts))];
        break;
    case OP_memory_store:
    case OP_memory_atomic_store:
        if (op->thread != 0 || k->sight.interleaved) {
            op->arg.memory_store.at = s->how & HALF ? (at & ~UINT64_C(7)) + 4 : at & ~UINT64_C(7);
            op->arg.memory_store.offset = 0;
            op->arg.memory_store.width = WORD_width_4;
            op->arg.memory_store.value = 1;
        }
        break;
    case OP_memory_wait64:
        op->arg.memory_wait64.at = at & ~UINT64_C(7);
        op->arg.memory_wait64.expected = one_in(c, 2) ? UINT64_C(1) << 32 : 1;
        op->arg.memory_wait64.timeout_ns = UINT64_MAX;
        break;
    case OP_memory_atomic_load:
        op->arg.memory_atomic_load.at = (at & ~UINT64_C(7)) + (s->how & HALF ? 4 : 0);
        op->arg.memory_atomic_load.offset = 0;
        op->arg.memory_atomic_load.width = WORD_width_4;
        break;
    case OP_fault: {
        static const uint64_t cleaning[] = {WORD_call_os_discard, WORD_call_os_decommit,
                                            WORD_call_os_renew, WORD_call_c_madvise};
        static const uint64_t moving[] = {WORD_call_os_move, WORD_call_c_mremap};
        op->arg.fault.call = s->how & SPACE   ? (uint64_t)WORD_call_os_reserve
                             : s->how & MOVES ? moving[below(c, 2)]
                                              : cleaning[below(c, 4)];
        op->arg.fault.nth = 1 + below(c, 2);
        break;
    }
    case OP_memory_wait_cancellable:
        op->arg.memory_wait_cancellable.at = where;
        op->arg.memory_wait_cancellable.expected = 0;
        op->arg.memory_wait_cancellable.timeout_ns = UINT64_MAX;
        break;
    case OP_memory_wait_by:
        op->arg.memory_wait_by.at = where;
        op->arg.memory_wait_by.expected = 0;
        op->arg.memory_wait_by.timeout_ns = one_in(c, 3) ? 10 : UINT64_MAX;
        op->arg.memory_wait_by.thread = 0;
        break;
    case OP_memory_cancel:
        op->arg.memory_cancel.thread = s->how & ONE ? 0 : below(c, 2);
        break;
    case OP_memory_budget:
        op->arg.memory_budget.pages = s->how & ONE ? 1 + below(c, 3) : op->arg.memory_budget.pages;
        break;
    case OP_memory_tenant:
        op->arg.memory_tenant.pages = s->how & SLOT ? 4 : op->arg.memory_tenant.pages;
        break;
    case OP_memory_pin:
        op->arg.memory_pin.at = (uint64_t)below(c, 2) * 4096;
        op->arg.memory_pin.count = below(c, 3);
        break;
    case OP_memory_grow:
        if (s->how & ONE) {
            op->arg.memory_grow.pages = 1 + below(c, 2);
        }
        break;
    case OP_memory_wait_crowd:
        op->arg.memory_wait_crowd.at = at;
        break;
    case OP_memory_initialise:
    case OP_memory_read: /* memory, address and count in both */
        if (s->how & OVER) {
            op->arg.memory_initialise.at = at;
            op->arg.memory_initialise.count = 80;
        }
        break;
    case OP_memory_bulk_copy:
        if (s->how & OVER) {
            op->arg.memory_bulk_copy.to = at + 34 + below(c, 4);
            op->arg.memory_bulk_copy.from = draw_source(k, op->arg.memory_bulk_copy.to);
            (void)draw_count(k, op, &op->arg.memory_bulk_copy.count);
            op->arg.memory_bulk_copy.count &= U32;
        }
        break;
    case OP_mailbox_attach:
        op->arg.mailbox_attach.ground = WORD_ground_shared;
        op->arg.mailbox_attach.pages = 1;
        op->arg.mailbox_attach.capacity = UINT64_C(1) << below(c, 4);
        if (s->how & WRAP) {
            op->arg.mailbox_attach.cursor = U32 - below(c, 6);
        }
        break;
    case OP_mailbox_attach_beside:
        if (s->how & (PLACE | SECOND)) {
            const unsigned usual = s->how & PLACE ? WORD_place_same : WORD_place_far;
            op->arg.mailbox_attach_beside.place = one_in(c, 4) ? below(c, WORD_place_count) : usual;
            op->arg.mailbox_attach_beside.capacity = UINT64_C(1) << below(c, 4);
        }
        break;
    case OP_mailbox_wait_for_signal:
    case OP_guest_park:
    case OP_guest_park_second: /* the timeout comes first in all of them */
        op->arg.raw[0] = UINT64_MAX;
        break;
    case OP_mailbox_enqueue_second:
        op->arg.mailbox_enqueue_second.count = 1 + below(c, 3);
        break;
    case OP_mailbox_enqueue:
        op->arg.mailbox_enqueue.count =
            s->how & ONE ? 1 + below(c, 3) : (k->sight.capacity + below(c, 2)) & U32;
        break;
    case OP_guest_scribble:
        op->arg.guest_scribble.word = WORD_word_head;
        op->arg.guest_scribble.value = k->sight.capacity + below(c, 8) + (uint64_t)a_little(c);
        op->arg.guest_scribble.value &= U32;
        break;
    case OP_memory_touch:
        op->arg.memory_touch.at = (uint64_t)below(c, 2) * 4096;
        op->arg.memory_touch.stride = 4096u << (1 + below(c, 4));
        op->arg.memory_touch.count = 33 + below(c, 40);
        if (s->how & IMAGE) {
            op->arg.memory_touch.stride = 4096;
            op->arg.memory_touch.count = 6 + below(c, 11);
        }
        break;
    case OP_memory_create:
        if (s->how & (SLOT | MOVES)) {
            static const uint64_t pools[] = {WORD_strategy_pool, WORD_strategy_pool_renew,
                                             WORD_strategy_pool_scan};
            op->arg.memory_create.strategy =
                s->how & SLOT ? pools[below(c, 3)] : WORD_strategy_remap;
            op->arg.memory_create.min = 1;
            op->arg.memory_create.max = 4;
            op->arg.memory_create.shared = WORD_yesno_no;
            op->arg.memory_create.style = WORD_style_dynamic;
        }
        if (s->how & VIEW) {
            op->arg.memory_create.strategy = WORD_strategy_image;
            op->arg.memory_create.twin = WORD_twin_none;
        }
        if (s->how & (LARGE | LIMIT)) {
            op->arg.memory_create.min = s->how & LIMIT ? 0 : 33 + below(c, 3);
            op->arg.memory_create.max = s->how & LIMIT ? 4 : U32;
            op->arg.memory_create.style = WORD_style_dynamic;
        }
        break;
    case OP_memory_create_more:
        op->arg.memory_create_more.waiters = s->how & LIMIT ? 1 + below(c, 2) : 0;
        if (s->how & (VIEW | SPACE)) {
            op->arg.memory_create_more.min = 1 + below(c, 3);
            op->arg.memory_create_more.max = 4 + below(c, 5);
            op->arg.memory_create_more.image = 0;
            op->arg.memory_create_more.advice = WORD_advice_none;
            op->arg.memory_create_more.twin = WORD_twin_none;
        }
        if (s->how & VIEW) {
            op->arg.memory_create_more.strategy = WORD_strategy_image;
            op->arg.memory_create_more.min = 1;
            op->arg.memory_create_more.image = one_in(c, 2) ? 65536 : 4096 * (1 + below(c, 16));
        }
        break;
    default:
        break;
    }
}

/* Where a step goes: what makes a memory stands before all threads, a second mailbox before those
 * that use it. */
static bool insert_step(struct maker *k, struct program *p, const struct step *s,
                        const struct op *op) {
    const struct op begins = {.code = OP_interleave};
    unsigned at = p->operations;
    if (!(s->how & SECOND)) {
        return insert(p, k->sight.interleaved && sets_up(s->code) ? 0 : at, op);
    }
    for (at = 0; at < p->operations && p->operation[at].code != OP_interleave; at++) {
    }
    if (at == p->operations) {
        for (at = 0; at < p->operations && sets_up(p->operation[at].code); at++) {
        }
        (void)insert(p, at, &begins);
    }
    return insert(p, at, op);
}

/* Appends an operation. */
static bool insert_shape(struct maker *k, struct program *p) {
    const struct shape *shape = NULL;
    look(p, p->operations, &k->sight);
    for (unsigned tries = 0; tries < 16 && shape == NULL; tries++) {
        shape = &shapes[below(&k->chance, COUNT_OF(shapes))];
        const bool costly =
            shape->step[0].how & LARGE; /* costs as much as a hundred other shapes */
        if (shape->threads != k->sight.interleaved || (costly && !one_in(&k->chance, 4)) ||
            op_info(p->target, shape->step[0].code) == NULL) {
            shape = NULL;
        }
    }
    if (shape == NULL) {
        return false;
    }
    uint64_t at = one_in(&k->chance, 2) ? 0 : k->swarm.hot[below(&k->chance, k->swarm.hots)];
    bool any = false;
    for (unsigned i = 0; i < STEPS_MAX && shape->step[i].code != 0; i++) {
        const struct step *s = &shape->step[i];
        struct op op;
        if (op_info(p->target, s->code) == NULL) {
            continue;
        }
        look(p, p->operations, &k->sight);
        make_operation(k, p->target, s->code, &op);
        op.thread = s->thread == HERE ? 0 : s->thread;
        if (op_info(p->target, s->code)->argument[0].kind == KIND_memory) {
            op.arg.raw[0] = s->m; /* it comes first */
        }
        if (s->code == OP_memory_copy || s->code == OP_memory_clone) {
            op.arg.raw[1] = s->to;
        }
        follow(k, s, &op, at);
        any |= insert_step(k, p, s, &op);
    }
    return any;
}

enum { SCALED_ONE_IN = 200 };
/* One mutation in so many draws a program of pairs.c; fuzz/README.md has their share of time. */
static const unsigned pairs_one_in[] = {[TARGET_memory_fuzzer] = 1,
                                        [TARGET_mailbox_fuzzer] = 44,
                                        [TARGET_waiters_fuzzer] = 16,
                                        [TARGET_system_fuzzer] = 24};

/* Makes the program large: adds `scale` and an operation that uses it. */
static void scale_up(struct maker *k, struct program *p) {
    static const uint8_t codes[] = {OP_memory_crowd, OP_memory_touch, OP_memory_copy,
                                    OP_memory_wait_crowd};
    const uint8_t code = codes[below(&k->chance, COUNT_OF(codes))];
    const struct op scale = {.code = OP_scale};
    for (unsigned i = 0; i < p->operations; i++) {
        struct op *op = &p->operation[i];
        if (sets_up(op->code) && op->code != OP_mailbox_attach && one_in(&k->chance, 2)) {
            op->arg.memory_create.min = 100u + below(&k->chance, 420);
            op->arg.memory_create.max = 1024;
        }
    }
    if (op_info(p->target, code) != NULL) {
        append_new(k, p, code);
    }
    if (code == OP_memory_crowd && p->operations > 0 &&
        p->operation[p->operations - 1].code == code) {
        p->operation[p->operations - 1].arg.memory_crowd.count = 256 + below(&k->chance, 845);
    }
    (void)insert(p, p->operations, &scale);
}

/* One new program in so many; under the engine the others take longer. */
static const unsigned host_one_in[] = {[TARGET_memory_fuzzer] = 16,
                                       [TARGET_mailbox_fuzzer] = 32,
                                       [TARGET_waiters_fuzzer] = 48,
                                       [TARGET_system_fuzzer] = 32};

/* A program of nothing but the reference's own functions; false for a target that has none. */
static bool call_the_host(struct maker *k, struct program *p) {
    const unsigned wanted = 1 + below(&k->chance, 6);
    for (unsigned tries = 0; tries < 256 && p->operations < wanted; tries++) {
        const unsigned code = OP_host_pool + below(&k->chance, OP_host_libc - OP_host_pool + 1);
        const bool seldom = code == OP_host_signal && !one_in(&k->chance, 4); /* 20 ms */
        if (op_info(p->target, code) != NULL && !seldom) {
            append_new(k, p, code);
        }
    }
    return p->operations > 0;
}

enum { COMBINED_ONE_IN = 3 };

/* Features of one memory that come together: see combine.h. */
static bool combine(struct maker *k, struct program *p) {
    const unsigned before = p->operations;
    if (p->target != TARGET_memory_fuzzer) {
        return false;
    }
    if (one_in(&k->chance, 3)) {
        (void)combine_walk(next(&k->chance), mutate_calls_of, p);
    } else {
        (void)combine_draw(next(&k->chance), mutate_calls_of, p);
    }
    unsigned kept = before;
    for (unsigned i = before; i < p->operations; i++) {
        if (!left_out[p->operation[i].code]) {
            p->operation[kept++] = p->operation[i];
        }
    }
    p->operations = kept;
    return kept > before;
}

static void fill(struct maker *k, unsigned code, struct program *p) {
    p->operations = 0;
    p->choices_bytes = 0;
    if (code == 0 && !left_out[OP_host_pool] && one_in(&k->chance, host_one_in[p->target]) &&
        call_the_host(k, p)) {
        return;
    }
    if (code == 0 && one_in(&k->chance, COMBINED_ONE_IN) && combine(k, p)) {
        return;
    }
    set_up(k, p);
    if (one_in(&k->chance, 3)) {
        (void)insert_shape(k, p);
    }
    unsigned more = 1 + below(&k->chance, 2 * (size_t)k->swarm.operations);
    for (unsigned i = 0; i < more; i++) {
        append_new(k, p, draw_code(k));
    }
    if (one_in(&k->chance, 2)) {
        (void)insert_aimed_fault(k, p);
    }
    if (one_in(&k->chance, SCALED_ONE_IN) || code == OP_scale) {
        scale_up(k, p);
    }
    if (code != 0 && code != OP_scale) {
        append_new(k, p, code);
    }
    look(p, 0, &k->sight);
    if (!one_in(&k->chance, 2) || !number_schedule(k, p)) {
        add_choices(k, p, k->sight.interleaved ? below(&k->chance, 160) : below(&k->chance, 3));
    }
}

static void begin(struct maker *k, const struct mutate *how) {
    k->chance.state = how->seed;
    swarm_draw(&k->swarm, how);
}

/* Seldom: a small program that is explored. */
static bool draw_pair(struct maker *k, enum op_target target, struct program *program) {
    return one_in(&k->chance, pairs_one_in[target]) &&
           pairs_draw(target, next(&k->chance), program);
}

void mutate_new(const struct mutate *how, unsigned code, struct program *program) {
    begin(&maker, how);
    if (code == 0 && draw_pair(&maker, how->target, program)) {
        return;
    }
    program->target = how->target;
    fill(&maker, code, program);
}

/* ---- Mutations --------------------------------------------------------------------------------
 *
 * Each is done in place; false when there is nothing that it can be done to. */

static bool insert_new(struct maker *k, struct program *p) {
    struct op op;
    unsigned at = below(&k->chance, p->operations + 1);
    if (at < p->operations && sets_up(p->operation[at].code)) {
        at = p->operations; /* not before what sets up, mostly */
    }
    look(p, at, &k->sight);
    make_operation(k, p->target, draw_code(k), &op);
    return insert(p, at, &op);
}

static void erase(struct program *p, unsigned at) {
    p->operations--;
    memmove(&p->operation[at], &p->operation[at + 1],
            (p->operations - at) * sizeof p->operation[0]);
}

static bool erase_one(struct maker *k, struct program *p) {
    if (p->operations == 0) {
        return false;
    }
    erase(p, below(&k->chance, p->operations));
    return true;
}

static bool erase_some(struct maker *k, struct program *p) {
    for (unsigned i = below(&k->chance, 1 + p->operations / 2); i > 0; i--) {
        (void)erase_one(k, p);
    }
    return p->operations > 0;
}

static bool duplicate_one(struct maker *k, struct program *p) {
    if (p->operations == 0) {
        return false;
    }
    struct op op = p->operation[below(&k->chance, p->operations)];
    return insert(p, below(&k->chance, p->operations + 1), &op);
}

static bool move_one(struct maker *k, struct program *p) {
    if (p->operations < 2) {
        return false;
    }
    unsigned from = below(&k->chance, p->operations);
    struct op op = p->operation[from];
    erase(p, from);
    return insert(p, below(&k->chance, p->operations + 1), &op);
}

static bool swap_two(struct maker *k, struct program *p) {
    if (p->operations < 2) {
        return false;
    }
    unsigned a = below(&k->chance, p->operations), b = below(&k->chance, p->operations);
    struct op op = p->operation[a];
    p->operation[a] = p->operation[b];
    p->operation[b] = op;
    return a != b;
}

static const struct op_argument *pick_argument(struct maker *k, struct program *p, unsigned *at,
                                               unsigned *argument) {
    for (unsigned tries = 0; tries < 8 && p->operations > 0; tries++) {
        *at = below(&k->chance, p->operations);
        const struct op_info *info = op_info(p->target, p->operation[*at].code);
        if (info->arguments > 0) {
            *argument = below(&k->chance, info->arguments);
            return &info->argument[*argument];
        }
    }
    return NULL;
}

static bool change_argument(struct maker *k, struct program *p) {
    unsigned at, a;
    const struct op_argument *argument = pick_argument(k, p, &at, &a);
    if (argument == NULL) {
        return false;
    }
    look(p, at, &k->sight);
    struct op *op = &p->operation[at];
    op->arg.raw[a] = draw_argument(k, op, argument);
    return true;
}

/* A little more or less than it is. */
static bool nudge_argument(struct maker *k, struct program *p) {
    static const int64_t steps[] = {1, -1, 1, -1, 2, -2, 4, -4, 8, -8, 65536, -65536};
    unsigned at, a;
    const struct op_argument *argument = pick_argument(k, p, &at, &a);
    if (argument == NULL || (argument->kind > KIND_address)) {
        return false;
    }
    uint64_t *value = &p->operation[at].arg.raw[a];
    uint64_t step = (uint64_t)steps[below(&k->chance, COUNT_OF(steps))];
    *value = in_domain(argument->kind, *value + step);
    return true;
}

static bool renew_one(struct maker *k, struct program *p) {
    if (p->operations == 0) {
        return false;
    }
    unsigned at = below(&k->chance, p->operations);
    if (p->operation[at].code == OP_interleave) {
        return false;
    }
    look(p, at, &k->sight);
    make_operation(k, p->target, p->operation[at].code, &p->operation[at]);
    return true;
}

static bool change_thread(struct maker *k, struct program *p) {
    if (p->operations == 0) {
        return false;
    }
    struct op *op = &p->operation[below(&k->chance, p->operations)];
    if (op->code == OP_fault) { /* has none */
        return false;
    }
    op->thread = (uint8_t)below(&k->chance, one_in(&k->chance, 8) ? OP_THREADS : k->swarm.threads);
    return true;
}

/* Two threads exchange their operations. */
static bool exchange_threads(struct maker *k, struct program *p) {
    unsigned a = below(&k->chance, k->swarm.threads), b = below(&k->chance, k->swarm.threads);
    bool any = false;
    for (unsigned i = 0; i < p->operations; i++) {
        struct op *op = &p->operation[i];
        if (op->code != OP_fault && op->thread == a) {
            op->thread = (uint8_t)b;
            any = a != b;
        }
    }
    return any;
}

static bool insert_fault(struct maker *k, struct program *p) {
    struct op op;
    unsigned code = draw_fault(k);
    if (code == 0) {
        return false;
    }
    look(p, 0, &k->sight);
    make_operation(k, p->target, code, &op);
    return insert(p, below(&k->chance, p->operations + 1), &op);
}

static bool insert_interleave(struct maker *k, struct program *p) {
    look(p, 0, &k->sight);
    if (op_info(p->target, OP_interleave) == NULL || k->sight.interleaved) {
        return false;
    }
    unsigned at = 0;
    while (at < p->operations && sets_up(p->operation[at].code)) {
        at++;
    }
    struct op op = {.code = OP_interleave};
    add_choices(k, p, below(&k->chance, 64));
    return insert(p, at, &op);
}

/* An operation pauses in its middle while the others go on. */
static bool insert_pause(struct maker *k, struct program *p) {
    look(p, 0, &k->sight);
    if (!k->sight.interleaved || p->operations == 0) {
        return false;
    }
    struct op op;
    const unsigned at = below(&k->chance, p->operations);
    make_operation(k, p->target, OP_pause, &op);
    op.thread = p->operation[at].thread;
    return insert(p, at, &op);
}

static bool renew_all(struct maker *k, struct program *p) {
    fill(k, 0, p);
    return true;
}

static bool change_choice(struct maker *k, struct program *p) {
    if (p->choices_bytes == 0) {
        return false;
    }
    p->choices[below(&k->chance, p->choices_bytes)] =
        (uint8_t)(one_in(&k->chance, 3) ? 0 : below(&k->chance, 6));
    return true;
}

static bool renew_choices(struct maker *k, struct program *p) {
    size_t from = below(&k->chance, p->choices_bytes + 1);
    size_t count = 1 + below(&k->chance, one_in(&k->chance, 4) ? 128 : 8);
    unsigned every = 1u << below(&k->chance, 5);
    for (size_t i = from; i < p->choices_bytes && i < from + count; i++) {
        p->choices[i] = draw_choice(k, every);
    }
    return p->choices_bytes > 0;
}

/* Each thread runs on until it ends or blocks, but for one to three switches. */
static bool few_switches(struct maker *k, struct program *p) {
    enum { SOON = 24 }; /* steps in which one call of a small program is */
    look(p, 0, &k->sight);
    if (!k->sight.interleaved) {
        return false;
    }
    size_t count = 8 + below(&k->chance, 120);
    memset(p->choices, 0, count);
    p->choices_bytes = count;
    size_t within = one_in(&k->chance, 2) && count > SOON ? SOON : count;
    for (unsigned i = 1 + below(&k->chance, 3); i > 0; i--) {
        p->choices[below(&k->chance, within)] = (uint8_t)(1 + below(&k->chance, 3));
        within = count;
    }
    return true;
}

static bool extend_choices(struct maker *k, struct program *p) {
    look(p, 0, &k->sight);
    add_choices(k, p, 1 + below(&k->chance, k->sight.interleaved ? 32 : 2));
    return true;
}

/* A thread switch comes earlier or later, and all that follow move with it. */
static bool shift_choices(struct maker *k, struct program *p) {
    if (p->choices_bytes == 0 || p->choices_bytes == OP_CHOICES_MAX) {
        return false;
    }
    size_t at = below(&k->chance, p->choices_bytes);
    if (one_in(&k->chance, 2)) {
        memmove(&p->choices[at + 1], &p->choices[at], p->choices_bytes - at);
        p->choices_bytes++;
        p->choices[at] = draw_choice(k, k->swarm.preemptions);
    } else {
        p->choices_bytes--;
        memmove(&p->choices[at], &p->choices[at + 1], p->choices_bytes - at);
    }
    return true;
}

static bool cut_choices(struct maker *k, struct program *p) {
    bool any = p->choices_bytes > 0;
    p->choices_bytes = below(&k->chance, p->choices_bytes);
    return any;
}

/* Smaller and plainer: for shrinking. */
static bool plain_argument(struct maker *k, struct program *p) {
    unsigned at, a;
    if (pick_argument(k, p, &at, &a) == NULL) {
        return false;
    }
    p->operation[at].arg.raw[a] = below(&k->chance, 2);
    return true;
}

static bool plain_choice(struct maker *k, struct program *p) {
    if (p->choices_bytes == 0) {
        return false;
    }
    p->choices[below(&k->chance, p->choices_bytes)] = 0;
    return true;
}

/* Seldom: such a run takes as long as many others. */
static bool scale_seldom(struct maker *k, struct program *p) {
    if (!one_in(&k->chance, 4)) {
        return false;
    }
    scale_up(k, p);
    return true;
}

typedef bool mutation(struct maker *k, struct program *p);
struct weighted {
    mutation *mutation;
    unsigned weight;
};
static const struct weighted mutations[] = {
    {insert_new, 24},        {erase_one, 6},        {erase_some, 1},        {duplicate_one, 5},
    {move_one, 5},           {swap_two, 4},         {change_argument, 20},  {nudge_argument, 5},
    {renew_one, 6},          {change_thread, 4},    {exchange_threads, 1},  {insert_fault, 3},
    {insert_aimed_fault, 8}, {insert_shape, 12},    {insert_interleave, 1}, {renew_all, 12},
    {combine, 10},           {change_choice, 6},    {renew_choices, 6},     {extend_choices, 3},
    {shift_choices, 5},      {cut_choices, 1},      {few_switches, 6},      {insert_pause, 6},
    {scale_seldom, 1},       {number_schedule, 10},
};
static const struct weighted shrinkings[] = {
    {erase_one, 8}, {erase_some, 4},  {plain_argument, 4},
    {swap_two, 1},  {cut_choices, 2}, {plain_choice, 4},
};

static mutation *pick_mutation(struct chance *c, const struct weighted *table, size_t count) {
    unsigned sum = 0, i = 0;
    for (size_t n = 0; n < count; n++) {
        sum += table[n].weight;
    }
    unsigned at = below(c, sum);
    while (at >= table[i].weight) {
        at -= table[i++].weight;
    }
    return table[i].mutation;
}

static void mutate_program(struct maker *k, const struct mutate *how, struct program *p) {
    const struct weighted *table = how->shrinking ? shrinkings : mutations;
    size_t count = how->shrinking ? COUNT_OF(shrinkings) : COUNT_OF(mutations);
    unsigned todo = 1;
    while (todo < 4 && one_in(&k->chance, 3)) {
        todo++;
    }
    for (unsigned tries = 0; tries < 16 && todo > 0; tries++) {
        todo -= pick_mutation(&k->chance, table, count)(k, p);
    }
}

/* ---- The entries ------------------------------------------------------------------------------
 */

static struct program one, two;

size_t mutate_fit(struct program *program, size_t bytes_max) {
    size_t bytes = op_encode(program, NULL, 0);
    while (bytes > bytes_max) {
        size_t over = bytes - bytes_max;
        if (program->choices_bytes > 0) {
            program->choices_bytes -= over < program->choices_bytes ? over : program->choices_bytes;
        } else {
            program->operations--;
        }
        bytes = op_encode(program, NULL, 0);
    }
    return bytes;
}

/* Fuzzers want at least one byte; the code 0 is skipped. */
static size_t write_out(struct program *program, uint8_t *out, size_t bytes_max) {
    size_t bytes = op_encode(program, out, bytes_max);
    if (bytes > bytes_max) {
        bytes = mutate_fit(program, bytes_max);
        (void)op_encode(program, out, bytes_max);
    }
    if (bytes == 0) {
        out[bytes++] = 0;
    }
    return bytes;
}

/* Programs that take as long as a hundred others are drawn seldom, and would still be most of what
 * runs if all that is made from them took as long: three in four go without. What comes of one that
 * is explored is run once. */
static void shed_expensive(struct maker *k, struct program *p) {
    const bool keeps = one_in(&k->chance, 4);
    for (unsigned i = p->operations; i > 0; i--) {
        const uint8_t code = p->operation[i - 1].code;
        const bool large = code == OP_scale || code == OP_memory_crowd || code == OP_host_signal;
        if (code == OP_explore || (large && !keeps)) {
            erase(p, i - 1);
        }
    }
}

size_t mutate_bytes(const struct mutate *how, uint8_t *data, size_t bytes, size_t bytes_max) {
    begin(&maker, how);
    if (!how->shrinking && draw_pair(&maker, how->target, &one)) {
        return write_out(&one, data, bytes_max);
    }
    (void)op_decode(how->target, data, bytes, &one);
    if (!how->shrinking) {
        shed_expensive(&maker, &one);
    }
    if (one.operations == 0 && !how->shrinking) {
        fill(&maker, 0, &one);
    } else {
        mutate_program(&maker, how, &one);
    }
    size_t room = how->shrinking && bytes > 0 && bytes < bytes_max ? bytes : bytes_max;
    return write_out(&one, data, room);
}

size_t mutate_splice(const struct mutate *how, const uint8_t *first, size_t first_bytes,
                     const uint8_t *second, size_t second_bytes, uint8_t *out, size_t bytes_max) {
    struct chance *c = &maker.chance;
    begin(&maker, how);
    (void)op_decode(how->target, first, first_bytes, &one);
    (void)op_decode(how->target, second, second_bytes, &two);
    if (!how->shrinking) {
        shed_expensive(&maker, &one);
        shed_expensive(&maker, &two);
    }
    unsigned keep = one.operations == 0 ? 0 : 1 + below(c, one.operations);
    unsigned from = below(c, two.operations);
    one.operations = keep;
    for (unsigned i = from; i < two.operations && one.operations < OPS_MAX; i++) {
        one.operation[one.operations++] = two.operation[i];
    }
    if (two.choices_bytes > 0 && one_in(c, 2)) {
        size_t at = below(
            c, (one.choices_bytes < two.choices_bytes ? one.choices_bytes : two.choices_bytes) + 1);
        memcpy(one.choices + at, two.choices + at, two.choices_bytes - at);
        one.choices_bytes = two.choices_bytes;
    }
    size_t longest = first_bytes > second_bytes ? first_bytes : second_bytes;
    size_t room = how->shrinking && longest > 0 && longest < bytes_max ? longest : bytes_max;
    return write_out(&one, out, room);
}

/* ---- SWARM= -----------------------------------------------------------------------------------
 */

static struct {
    bool off, fixed;
    uint64_t seed;
} wanted;

bool mutate_swarm_ready(void) {
    const char *text = getenv("SWARM");
    char *end = NULL;
    if (text == NULL || *text == '\0') {
        return true;
    }
    wanted.off = strcmp(text, "off") == 0;
    wanted.fixed = !wanted.off;
    wanted.seed = strtoull(text, &end, 10);
    if (wanted.fixed && *end != '\0') {
        fprintf(stderr, "SWARM=%s: wants a number, or off\n", text);
        return false;
    }
    return true;
}

uint64_t mutate_swarm_at(uint64_t process_seed, uint64_t nth) {
    if (wanted.off) {
        return MUTATE_ALL_ON;
    }
    struct chance c = {wanted.fixed ? wanted.seed : process_seed ^ (nth / SWARM_EVERY) << 20};
    uint64_t drawn = next(&c);
    return drawn == MUTATE_ALL_ON ? 0 : drawn;
}
