/* host_within.h: what the files of host_calls.h share: comparisons, an allocator, objects. */
#ifndef HOST_WITHIN_H
#define HOST_WITHIN_H

#include "fault.h"
#include "host_calls.h"

#include "memory.h"

#include <string.h>

#define S(status) (1u << PB_##status)
#define PAGE PB_PAGE_BYTES
#define GIB (UINT64_C(1) << 30)
#define OFTEN_BYTES (UINT64_C(1) << 47) /* more address space than a process has */

/* A call was made to fail since the operation began: then more statuses are right. */
bool host_call_failed(void);

/* NULL, or the rule: if the status is none of the set; if something is not so. */
const char *host_answered(enum pb_status got, unsigned set, const char *rule);
const char *host_holds(bool right, const char *rule);
/* An out-parameter holds HOST_MARK before a call, which sets it only where it succeeds. */
extern char host_mark;
#define HOST_MARK ((void *)&host_mark)
const char *host_told(enum pb_status got, const void *out, const char *rule);
/* The one that was found first. */
const char *host_first(const char *one, const char *other);

extern const struct pb_allocator host_allocator;
/* NULL, which stands for the C library's, for some of the numbers. */
const struct pb_allocator *host_allocator_or_none(uint64_t number);
uint64_t host_page_bytes(void);

/* Bytes that cost nothing: 9 GiB of zeros, and something else in front and about the places where
 * 31 and 32 bits end. NULL where there is no such address space. */
enum { FAR_WINDOW_BYTES = 1 << 17, FAR_FRONT_BYTES = 3 << 20 };
#define FAR_BYTES (9 * GIB)
const uint8_t *host_far_bytes(void);

/* [start, start + count) lies in so many bytes, without wrap. */
bool host_in(uint64_t start, uint64_t count, uint64_t size);
/* A memory of so many pages that is as plain as can be. */
enum pb_status host_plain_memory(uint32_t pages, bool shared, struct pb_memory **memory);
uint8_t *host_base(struct pb_memory *memory);

/* One an operation. */
const char *host_pool(const struct op *op);
const char *host_image(const struct op *op);
const char *host_custom(const struct op *op);
const char *host_segments(const struct op *op);
const char *host_init(const struct op *op);
const char *host_range(const struct op *op);
const char *host_create(const struct op *op);
const char *host_names(const struct op *op);
const char *host_limiter(const struct op *op);
const char *host_budget(const struct op *op);
const char *host_canceller(const struct op *op);
const char *host_fault(const struct op *op);
const char *host_mailbox(const struct op *op);
const char *host_access(const struct op *op);
const char *host_held(const struct op *op);
const char *host_tenants(const struct op *op);
const char *host_far(const struct op *op);
const char *host_far_boxes(const struct op *op);
const char *host_futex(const struct op *op);
const char *host_blocked(const struct op *op);
const char *host_box_crowd(const struct op *op);
const char *host_waiters(const struct op *op);
const char *host_life(const struct op *op);
const char *host_signal(const struct op *op);
const char *host_walk(const struct op *op);
const char *host_libc(const struct op *op);

#endif
