/* region_sweep.c: resets by hand: pages that the kernel says are resident get their first bytes
 * back and stay, where that is cheaper than to give them back and to fault them in again. */
/* SPDX-License-Identifier: MIT */
#include "os.h"
#include "strategy.h"

#include <string.h>

/* A reset that is under way. */
struct sweep {
    const struct pb_sweep *asked;
    uint64_t budget_bytes;  /* that may still be kept */
    uint64_t kept_bytes;    /* of resident pages that stay, */
    uint64_t written_bytes; /* and of those of them that had been written */
    uint64_t kept_to_bytes; /* what lies behind is given back */
};

static bool is_zero(const uint8_t *bytes, size_t count) {
    static const uint8_t first[16];
    return memcmp(bytes, first, sizeof first) == 0 &&
           memcmp(bytes, bytes + sizeof first, count - sizeof first) == 0;
}

/* Gives the page at offset its first bytes. True if it had others. */
static bool page_restore(const struct pb_sweep *asked, uint8_t *page, uint64_t offset,
                         size_t bytes) {
    bool in_image = offset < asked->image_bytes;
    if (in_image ? memcmp(page, asked->image + offset, bytes) == 0 : is_zero(page, bytes)) {
        return false;
    }
    if (in_image) {
        memcpy(page, asked->image + offset, bytes);
    } else {
        memset(page, 0, bytes);
    }
    return true;
}

/* Restores the pages of a run at offset until the budget is used up. */
static void run_restore(struct sweep *sweep, uint8_t *base, uint64_t offset,
                        uint64_t length_bytes) {
    const size_t host = (size_t)pb_os_page_bytes();
    for (uint64_t at = offset; at < offset + length_bytes; at += host) {
        if (sweep->budget_bytes == 0) {
            sweep->kept_to_bytes = at;
            return;
        }
        sweep->budget_bytes -= host;
        sweep->kept_bytes += host;
        sweep->written_bytes += page_restore(sweep->asked, base + at, at, host) ? host : 0;
    }
}

/* Restores the resident pages of [from, to) until the budget is used up; pages that are swapped out
 * are given back. Where a call fails it stops: the rest is to be given back. */
static void runs_restore(struct sweep *sweep, uint8_t *base, uint64_t from, uint64_t to) {
    enum { RUNS = 64 };
    struct pb_os_run runs[RUNS];
    uint64_t looked_bytes;
    size_t count;
    sweep->kept_to_bytes = to;
    for (uint64_t done = from; done < sweep->kept_to_bytes; done += looked_bytes) {
        if (pb_os_account_ask(sweep->asked->account, base + done, to - done, runs, RUNS, &count,
                              &looked_bytes) != PB_OK) { /* no descriptor, say */
            sweep->kept_to_bytes = done;
            break;
        }
        for (size_t i = 0; i < count && sweep->kept_to_bytes == to; i++) {
            uint64_t at = done + runs[i].offset_bytes;
            if (!runs[i].swapped) {
                run_restore(sweep, base, at, runs[i].length_bytes);
            } else if (pb_os_discard(base + at, runs[i].length_bytes) != PB_OK) {
                sweep->kept_to_bytes = at;
            }
        }
    }
}

/* How many looks at a page take as long as to give one back and to fault it in again. A look reads
 * the page, and the image's beside it, from the caches or from memory. */
static uint64_t looks_a_fault(const struct pb_sweep *asked, uint64_t bytes) {
    enum { CACHED_BYTES = 8 << 20 };
    bool cached = bytes <= (uint64_t)CACHED_BYTES;
    if (asked->image == NULL) {
        return cached ? 7 : 4;
    }
    return cached ? 4 : 3;
}

/* True if the tenant has written one page for so many of all: then all are soon kept. */
static bool writes_much(const struct sweep *sweep, uint64_t bytes) {
    const uint64_t enough_bytes = sweep->kept_to_bytes / looks_a_fault(sweep->asked, bytes);
    return sweep->written_bytes > 0 && sweep->written_bytes >= enough_bytes;
}

/* True if keeping pages pays: so, or where it has written one page for so many that were kept for
 * it; others it has faulted in itself. */
static bool pays(const struct sweep *sweep, uint64_t kept_before_bytes, uint64_t bytes) {
    uint64_t own_bytes =
        sweep->kept_bytes > kept_before_bytes ? sweep->kept_bytes - kept_before_bytes : 0;
    uint64_t enough_bytes = own_bytes + kept_before_bytes / looks_a_fault(sweep->asked, bytes);
    return sweep->written_bytes >= enough_bytes || writes_much(sweep, bytes);
}

/* Restores what lies from `from` on, if all before it is kept, and gives back what is not kept. */
static enum pb_status keep(struct sweep *sweep, uint8_t *base, uint64_t from, uint64_t bytes) {
    const uint64_t host = pb_os_page_bytes();
    struct pb_habit *habit = sweep->asked->habit;
    if (sweep->kept_to_bytes == from) {
        runs_restore(sweep, base, from, bytes);
    }
    uint64_t kept_to = sweep->kept_to_bytes;
    enum pb_status status =
        kept_to < bytes ? pb_os_discard(base + kept_to, bytes - kept_to) : PB_OK;
    if (status == PB_OK) {
        habit->kept_pages = (uint32_t)(sweep->kept_bytes / host);
        habit->kept_to_pages = (uint32_t)(kept_to / host);
    }
    return status;
}

/* Nothing is known of the tenants: keeps a few pages, the first ones, to see whether the next one
 * writes them. All, where they lie so dense that this one writes much. */
static enum pb_status try_some(struct sweep *sweep, uint8_t *base, uint64_t bytes) {
    const uint64_t most_bytes = sweep->budget_bytes, few_bytes = 32 * pb_os_page_bytes();
    bool all = sweep->asked->together || most_bytes <= few_bytes;
    sweep->budget_bytes = all ? most_bytes : few_bytes;
    runs_restore(sweep, base, 0, bytes);
    uint64_t from = bytes;
    if (!all && writes_much(sweep, bytes)) {
        sweep->budget_bytes = most_bytes - sweep->kept_bytes;
        from = sweep->kept_to_bytes;
    }
    return keep(sweep, base, from, bytes);
}

/* Keeps pages as long as that pays. Then it gives all back, and tries again after 1, 3, 7 and at
 * most 63 resets. */
enum pb_status pb_region_sweep(const struct pb_sweep *asked, uint8_t *base, uint64_t bytes) {
    enum { MISSES_MAX = 6 };
    struct pb_habit *habit = asked->habit;
    struct sweep sweep = {.asked = asked, .budget_bytes = asked->budget_bytes};
    const uint64_t kept_before_bytes = habit->kept_pages * pb_os_page_bytes();
    uint64_t looked_to = habit->kept_to_pages * pb_os_page_bytes();
    looked_to = looked_to < bytes ? looked_to : bytes;
    habit->kept_pages = 0;
    if (habit->skips > 0 || sweep.budget_bytes == 0) {
        habit->skips -= habit->skips > 0;
        return pb_os_discard(base, bytes);
    }
    if (kept_before_bytes == 0) {
        return try_some(&sweep, base, bytes);
    }
    runs_restore(&sweep, base, 0, looked_to);
    if (!asked->together && !pays(&sweep, kept_before_bytes, bytes)) {
        habit->misses += habit->misses < MISSES_MAX;
        habit->skips = (UINT32_C(1) << habit->misses) - 1;
        return pb_os_discard(base, bytes);
    }
    habit->misses = 0;
    return keep(&sweep, base, looked_to, bytes);
}
