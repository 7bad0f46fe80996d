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

/* Restores the resident pages of a range until the budget is used up. The rest, and pages that are
 * swapped out, are given back. */
static enum pb_status runs_restore(struct sweep *sweep, uint8_t *base, uint64_t bytes) {
    enum { RUNS = 64 };
    struct pb_os_run runs[RUNS];
    uint64_t looked_bytes;
    size_t count;
    sweep->kept_to_bytes = bytes;
    for (uint64_t done = 0; done < sweep->kept_to_bytes; done += looked_bytes) {
        if (pb_os_account_ask(sweep->asked->account, base + done, bytes - done, runs, RUNS, &count,
                              &looked_bytes) != PB_OK) { /* no descriptor, say */
            sweep->kept_to_bytes = done;
            break;
        }
        for (size_t i = 0; i < count && sweep->kept_to_bytes == bytes; i++) {
            uint64_t at = done + runs[i].offset_bytes;
            if (!runs[i].swapped) {
                run_restore(sweep, base, at, runs[i].length_bytes);
                continue;
            }
            enum pb_status status = pb_os_discard(base + at, runs[i].length_bytes);
            if (status != PB_OK) {
                return status;
            }
        }
    }
    uint64_t kept_to = sweep->kept_to_bytes;
    return kept_to == bytes ? PB_OK : pb_os_discard(base + kept_to, bytes - kept_to);
}

/* True if keeping pages pays: looking at one costs a seventh of giving it back and faulting it in
 * again, or a third where it is compared with an image's. So the tenant must have written that
 * share of the pages that were kept for it (others it has faulted in itself), or that share of all,
 * since then all pages are soon kept. */
static bool pays(const struct sweep *sweep, uint64_t kept_before_bytes) {
    enum { LOOKS_A_FAULT = 7, IMAGE_LOOKS_A_FAULT = 3 };
    const uint64_t looks = sweep->asked->image == NULL ? LOOKS_A_FAULT : IMAGE_LOOKS_A_FAULT;
    uint64_t own_bytes =
        sweep->kept_bytes > kept_before_bytes ? sweep->kept_bytes - kept_before_bytes : 0;
    return sweep->written_bytes >= own_bytes + kept_before_bytes / looks ||
           sweep->written_bytes >= sweep->kept_to_bytes / looks;
}

/* Keeps pages as long as that pays. Then it gives all back, and tries again after 1, 3, 7 and at
 * most 63 resets. */
enum pb_status pb_region_sweep(const struct pb_sweep *asked, uint8_t *base, uint64_t bytes) {
    enum { MISSES_MAX = 6 };
    struct pb_habit *habit = asked->habit;
    struct sweep sweep = {.asked = asked, .budget_bytes = asked->budget_bytes};
    uint64_t kept_before_bytes = habit->kept_bytes;
    habit->kept_bytes = 0;
    if (habit->skips > 0 || sweep.budget_bytes == 0) {
        habit->skips -= habit->skips > 0;
        return pb_os_discard(base, bytes);
    }
    enum pb_status status = runs_restore(&sweep, base, bytes);
    if (status != PB_OK) {
        return status;
    }
    bool tried = kept_before_bytes > 0;
    if (tried && !asked->together && !pays(&sweep, kept_before_bytes)) {
        habit->misses += habit->misses < MISSES_MAX;
        habit->skips = (UINT32_C(1) << habit->misses) - 1;
        return pb_os_discard(base, bytes);
    }
    habit->kept_bytes = sweep.kept_bytes;
    habit->misses = tried ? 0 : habit->misses;
    return PB_OK;
}
