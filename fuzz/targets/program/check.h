/* check.h: what the calls of finding.c are checked with. The rules are those of ref/RULES.md.
 *
 * Each CALL keeps what it answered; the lines behind it say what it may have answered, and which
 * rule is broken when it did not. The program ends with 1 at the first of them, with 0 at its end.
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Statuses, and sets of them. */
enum {
    OK = 1,
    INVALID = 2,
    LIMIT = 4,
    NO_MEMORY = 8,
    UNSUPPORTED = 16,
    NOT_SHARED = 32,
    OUT_OF_BOUNDS = 64,
    MISALIGNED = 128,
    TOO_MANY_WAITERS = 256,
    DISABLED = 512,
    FULL = 1024,
    CLOSED = 2048,
    TIMED_OUT = 4096,
    SYSTEM = 8192,
    REFUSED = 16384,
    CANCELLED = 32768,
    PINNED = 65536,
    IN_USE = 131072,
    ERRORS = 262143 - OK
};

enum { TUNED, STATIC, DYNAMIC, USUAL };
enum { ADD, SUB, AND, OR, XOR, XCHG };
enum { SHARED, OWNED, HEAP, CUSTOM };

/* What a memory is created with. */
struct wish {
    const char *strategy;
    uint32_t min_pages, max_pages; /* UINT32_MAX: none */
    bool shared;
    int style;
    uint32_t bound_pages;
    uint64_t static_guard_bytes, dynamic_guard_bytes;
    void *record;      /* the caller's, where base and length are to stand; or NULL */
    const void *image; /* first contents, or NULL */
    uint64_t image_bytes;
    bool huge_pages, populate;
    uint32_t waiters_max, reserve_pages_max;
    bool budgeted;
    unsigned fall_back;
};

/* An active segment: so many bytes of the pattern. */
struct active {
    uint64_t start, from, count;
};

static _Thread_local const char *now_rule = "R0", *now_call = "the start";
static _Thread_local unsigned got = OK;
static _Thread_local uint64_t answer;
static uint8_t room[8192];

static const char *status_text(unsigned set) {
    static const char *const names[] = {
        "OK",         "INVALID",       "LIMIT",      "NO_MEMORY",        "UNSUPPORTED",
        "NOT_SHARED", "OUT_OF_BOUNDS", "MISALIGNED", "TOO_MANY_WAITERS", "DISABLED",
        "FULL",       "CLOSED",        "TIMED_OUT",  "SYSTEM",           "REFUSED",
        "CANCELLED",  "PINNED",        "IN_USE"};
    static char text[2][256];
    static unsigned next;
    char *to = text[next++ % 2];
    to[0] = '\0';
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (set >> i & 1) {
            strcat(strcat(to, to[0] != '\0' ? " or " : ""), names[i]);
        }
    }
    return to[0] != '\0' ? to : "no status at all";
}

static _Noreturn void broken(const char *rule, const char *why) {
    printf("%s is broken in %s: %s\n", rule, now_call, why);
    fflush(stdout);
    _exit(1);
}

static void on_crash(int number) {
    printf("%s is broken: a %s in %s (%s)\n", number == SIGALRM ? "timeout" : now_rule,
           number == SIGALRM ? "hang" : "crash", now_call, strsignal(number));
    fflush(stdout);
    _exit(1);
}

static void watch(void) {
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGALRM};
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        signal(fatal[i], on_crash);
    }
    alarm(60); /* what takes longer hangs */
}

__attribute__((unused)) static void now(const char *rule, const char *call) {
    now_rule = rule;
    now_call = call;
    printf("%s\n", call);
    fflush(stdout);
}

#define CALL(rule, call) (now(rule, #call), got = (call))
#define DONE(call) ((void)(call), OK)

__attribute__((unused)) static void expect(unsigned set, const char *rule) {
    printf("    %s\n", status_text(got));
    if (!(got & set)) {
        char why[600];
        snprintf(why, sizeof why, "%s, where it must be %s", status_text(got),
                 set == ERRORS ? "an error" : status_text(set));
        broken(rule, why);
    }
}

__attribute__((unused)) static void same(uint64_t is, uint64_t must, const char *rule) {
    char why[96];
    snprintf(why, sizeof why, "%" PRIu64 ", where it must be %" PRIu64, is, must);
    if (is != must) {
        broken(rule, why);
    }
}

__attribute__((unused)) static void answers(uint64_t must, const char *rule) {
    printf("    %" PRIu64 "\n", answer);
    same(answer, must, rule);
}

__attribute__((unused)) static void answers_not(uint64_t must_not, const char *rule) {
    if (answer == must_not) {
        broken(rule, "the guest was told what is not so");
    }
}

__attribute__((unused)) static void same_bytes(const void *is, const void *must, size_t count,
                                               const char *rule) {
    if (is == NULL || memcmp(is, must, count) != 0) {
        broken(rule, "other bytes than were written");
    }
}

__attribute__((unused)) static void has_read(size_t at, const void *must, size_t count,
                                             const char *rule) {
    same_bytes(room + at, must, count, rule);
}

__attribute__((unused)) static void all_are(const void *at, size_t count, int must,
                                            const char *rule) {
    for (size_t i = 0; i < count; i++) {
        if (at == NULL || ((const uint8_t *)at)[i] != must) {
            broken(rule, "a byte that nobody should have written");
        }
    }
}

/* Whether a page can be read, by the kernel's own answer. */
__attribute__((unused)) static bool readable(const void *at) {
    static int pipes[2] = {-1, -1};
    char byte;
    if (pipes[0] < 0 && pipe(pipes) != 0) {
        return true;
    }
    return write(pipes[1], at, 1) == 1 && read(pipes[0], &byte, 1) == 1;
}

__attribute__((unused)) static bool is_mapped(const void *at) {
    unsigned char resident;
    return mincore((void *)((uintptr_t)at / 4096 * 4096), 1, &resident) == 0;
}

/* Address space in use, in host pages. */
static long mapped(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL && fscanf(file, "%ld", &pages) != 1) {
        pages = 0;
    }
    if (file != NULL) {
        fclose(file);
    }
    return pages;
}

static long mapped_first;

__attribute__((unused)) static void leaks_begin(void) {
    static char stdout_room[4096];
    setvbuf(stdout, stdout_room, _IOLBF, sizeof stdout_room);
    free(malloc(1 << 20));
    (void)mapped();
    mapped_first = mapped();
}

/* As compiled code writes and reads. */
__attribute__((unused)) static void poke(const void *at, uint64_t value, size_t width) {
    memcpy((void *)(uintptr_t)at, &value, width);
}

__attribute__((unused)) static uint64_t peek(const void *at, size_t width) {
    uint64_t value = 0;
    memcpy(&value, at, width);
    return value;
}

/* The bytes that are written: never 0, neighbours differ. */
__attribute__((unused)) static const uint8_t *pattern(void) {
    static uint8_t bytes[160 * 1024];
    for (size_t i = 0; bytes[sizeof bytes - 1] == 0 && i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(1 + (i * 31 + i / 251) % 255);
    }
    return bytes;
}

/* Ids that a drain took; with threads, those of all drains. */
static uint32_t ids[65536];
static unsigned ids_n;
static bool ids_pile_up;

__attribute__((unused)) static void ids_begin(void) {
    ids_n = ids_pile_up ? ids_n : 0;
}

__attribute__((unused)) static void take(void *context, uint32_t id) {
    (void)context;
    ids[ids_n++ % 65536] = id;
}

__attribute__((unused)) static void took(unsigned place, uint32_t must, const char *rule) {
    same(place < ids_n ? ids[place] : 0, must, rule);
}

/* What stands in for the guest's wait while it is parked: looks, lets the host act once. */
static _Atomic uint32_t *sleep_flag;
static uint32_t sleep_expected;
static void (*meanwhile_now)(void);
static unsigned looks;
/* With threads the guest really sleeps, by the library's own wait. */
static int (*guest_sleep)(void *context, _Atomic uint32_t *flag, uint32_t expected,
                          int64_t timeout_ns);

__attribute__((unused)) static void must_not_sleep(const char *rule) {
    if (*sleep_flag == sleep_expected) {
        broken(rule, "the guest goes to sleep, and nobody will wake it");
    }
}

__attribute__((unused)) static int guest_wait(void *context, _Atomic uint32_t *flag,
                                              uint32_t expected, int64_t timeout_ns) {
    void (*act)(void) = meanwhile_now;
    const bool differs = timeout_ns < 0 || *flag != expected;
    if (guest_sleep != NULL) {
        return guest_sleep(context, flag, expected, -1); /* until somebody wakes it */
    }
    sleep_flag = flag;
    sleep_expected = expected;
    meanwhile_now = NULL;
    if (act != NULL) {
        act();
    }
    const bool late = *flag == expected || timeout_ns == 0 || ++looks > 16;
    return late ? 2 : differs ? 1 : 0;
}

static uint8_t *kept;

__attribute__((unused)) static void keep(const void *region, size_t bytes) {
    free(kept);
    kept = malloc(bytes);
    if (kept == NULL) {
        abort();
    }
    memcpy(kept, region, bytes);
}

/* Blocks that the library has from us, and calls of it that are made to fail. */
static _Atomic long blocks;

static bool due(const char *call);

__attribute__((unused)) static void *allocate_zeroed(size_t bytes) {
    void *at = due("allocate") || bytes > (4 << 20) ? NULL : calloc(1, bytes);
    blocks += at != NULL;
    return at;
}

__attribute__((unused)) static void *resize(void *old, size_t bytes) {
    void *at = due("resize") || bytes > (4 << 20) ? NULL : realloc(old, bytes);
    blocks += old == NULL && at != NULL;
    return at;
}

__attribute__((unused)) static void release(void *at) {
    blocks -= at != NULL;
    free(at);
}

__attribute__((unused)) static void leaks_end(void) {
    now_call = "the end";
    if (blocks != 0 || mapped() > mapped_first + 64) {
        broken("R14-leak", "blocks of the allocator or pages of address space are left");
    }
}

/* Calls that are to fail, each thread's its own. */
static _Thread_local struct {
    const char *call, *error;
    uint64_t left; /* 1: the next one; 0: over */
} armed[256];
static _Thread_local unsigned arms;
static _Thread_local const char *error_now = "any";
static const uint8_t *choices;
static size_t choices_n;

__attribute__((unused)) static void fail_next(const char *call, uint64_t nth, const char *error) {
    if (arms < 256) {
        armed[arms].call = call;
        armed[arms].left = nth;
        armed[arms++].error = error;
    }
}

__attribute__((unused)) static bool any_armed(void) {
    bool any = false;
    for (unsigned i = 0; i < arms; i++) {
        any |= armed[i].left > 0;
    }
    return any;
}

static bool is_quiet; /* threads that are stopped anywhere must not hold the lock of stdout */

static bool due(const char *call) {
    bool is_due = false;
    for (unsigned i = 0; i < arms; i++) {
        if (armed[i].left > 0 && strcmp(armed[i].call, call) == 0 && --armed[i].left == 0) {
            error_now = !is_due || strcmp(error_now, "any") == 0 ? armed[i].error : error_now;
            is_due = true;
        }
    }
    if (is_due && !is_quiet) {
        printf("    (%s fails here)\n", call);
    }
    return is_due;
}

__attribute__((unused)) static unsigned choose(unsigned n) {
    unsigned choice = choices_n > 0 ? *choices % n : 0;
    choices += choices_n > 0;
    choices_n -= choices_n > 0;
    return choice;
}

__attribute__((unused)) static int good(void) {
    printf("good: no rule was broken\n");
    return 0;
}

#endif
