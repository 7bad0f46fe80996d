/* sites.c: the places that make atomic accesses (see sites.h). */
#include "sites.h"
#include "internal.h"

#include <string.h>
#include <unistd.h>

enum { SITES_MAX = 1024, PLAIN_READ = 0, PLAIN_WRITE = 1, WORDS = SITES_MAX / 64 };

struct site {
    uintptr_t pc;
    uint8_t kind, order, now;
    bool seen;
};
static struct site sites[SITES_MAX] = {{.seen = true}, {.seen = true}};
static unsigned sites_n = 2;
static uint16_t slots[4 * SITES_MAX];
static uint64_t pairs[SITES_MAX][WORDS]; /* by load: later stores that nothing orders after it */

/* Per thread: loads that nothing has ordered yet, and the addresses that they read. */
static struct {
    uint32_t run;
    uint64_t loads[WORDS];
    uintptr_t at[SITES_MAX];
} open[THREADS];

static unsigned site_of(uintptr_t pc, unsigned kind) {
    uint32_t i = (uint32_t)((pc * 8 + kind) * 2654435761u) % (4 * SITES_MAX);
    for (; slots[i]; i = (i + 1) % (4 * SITES_MAX)) {
        if (sites[slots[i]].pc == pc && sites[slots[i]].kind == kind) {
            return slots[i];
        }
    }
    if (sites_n == SITES_MAX) {
        fprintf(stderr, "sim: more than %d places with atomic accesses: advise on fewer files\n",
                SITES_MAX);
        _exit(2);
    }
    slots[i] = (uint16_t)sites_n;
    sites[sites_n] = (struct site){.pc = pc, .kind = (uint8_t)kind, .now = UINT8_MAX};
    return sites_n++;
}

void sim_site_set(uintptr_t pc, enum site_kind kind, int order) {
    sites[site_of(pc, kind)].now = (uint8_t)order;
    S.sites = true;
}

void site_barrier(void) {
    memset(open[S.now->id].loads, 0, sizeof open[0].loads);
}

static void loads(unsigned site, uintptr_t at) {
    unsigned t = S.now->id;
    if (open[t].run != S.generation) {
        open[t].run = S.generation;
        site_barrier();
    }
    open[t].loads[site / 64] |= UINT64_C(1) << site % 64;
    open[t].at[site] = at;
}

static void stores(unsigned site, uintptr_t at) {
    unsigned t = S.now->id;
    if (open[t].run != S.generation) {
        return;
    }
    for (unsigned w = 0; w < WORDS && w * 64 < sites_n; w++) {
        for (uint64_t m = open[t].loads[w]; m; m &= m - 1) {
            unsigned load = w * 64 + (unsigned)__builtin_ctzll(m);
            if (open[t].at[load] != at) {
                pairs[load][site / 64] |= UINT64_C(1) << site % 64;
            }
        }
    }
}

void site_plain(int write, uintptr_t at) {
    if (write) {
        stores(PLAIN_WRITE, at);
    } else {
        loads(PLAIN_READ, at);
    }
}

int site_order(enum site_kind kind, int order, uintptr_t pc, uintptr_t at) {
    unsigned i = site_of(pc, kind);
    struct site *s = &sites[i];
    s->seen = true;
    s->order = (uint8_t)(order & 0xff);
    int now = s->now == UINT8_MAX ? order : s->now;
    if (kind == SITE_FENCE) {
        if (now != __ATOMIC_RELAXED) {
            site_barrier();
        }
        return now;
    }
    if (kind == SITE_STORE || kind == SITE_RMW || kind == SITE_CAS) {
        stores(i, at);
    }
    if (kind != SITE_STORE) {
        loads(i, at);
    }
    return now;
}

void sim_sites_begin(void) {
    S.sites = true;
}

extern char __executable_start[] __attribute__((weak)); /* base address of the program */

void sim_sites_json(FILE *out) {
    static const char *const kinds[] = {"load", "store", "rmw", "cas", "cas-fails", "fence"};
    fprintf(out, "{\"base\":%llu,\"sites\":[", (unsigned long long)(uintptr_t)__executable_start);
    for (unsigned i = 2; i < sites_n; i++) {
        fprintf(out, "%s\n{\"id\":%u,\"pc\":%llu,\"kind\":\"%s\",\"order\":%u}", i > 2 ? "," : "",
                i, (unsigned long long)sites[i].pc, kinds[sites[i].kind], sites[i].order);
    }
    fputs("],\n\"pairs\":[", out);
    bool first = true;
    for (unsigned i = 0; i < sites_n; i++) {
        for (unsigned k = 0; k < sites_n; k++) {
            if (pairs[i][k / 64] >> k % 64 & 1) {
                fprintf(out, first ? "[%u,%u]" : ",[%u,%u]", i, k);
                first = false;
            }
        }
    }
    fputs("]}\n", out);
}
