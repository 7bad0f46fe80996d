/* main.c: the gate's benchmark program: runs one row, counted or timed. scripts/gate.py calls it:
 *
 *     gate --list                            the rows: name, operations, threads, timed
 *     gate --count ROW                       count one measured region
 *     gate --time ROW BATCHES CORE           time BATCHES measured regions on that core
 *     ... --inject percent:N | syscall | fault | instruction
 *                                            makes the region slower on purpose, for calibration
 *
 * One line of JSON on standard output. Exit status: 0; 2: a wrong option, or a row that cannot run.
 */
#include "gate.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROWS_MAX = 96, NAME_BYTES = 48, WARM_UPS = 2, BATCHES_MAX = 10000, SPIN_TRIES = 16 };

struct named {
    char name[NAME_BYTES];
    struct gate_row row;
};

static struct named rows[ROWS_MAX];
static size_t row_count;

_Noreturn void gate_stop(const char *what) {
    fprintf(stderr, "gate: cannot go on: %s\n", what);
    exit(2);
}

/* ---- The rows -------------------------------------------------------------------------------- */

void gate_add(const struct gate_row *row, const char *variant) {
    gate_need(row_count < ROWS_MAX, "more rows than ROWS_MAX");
    struct named *named = &rows[row_count++];
    named->row = *row;
    snprintf(named->name, sizeof named->name, variant == NULL ? "%s" : "%s/%s", row->name, variant);
}

static const struct gate_row *find(const char *name) {
    for (size_t i = 0; i < row_count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i].row;
        }
    }
    fprintf(stderr, "gate: there is no row %s: --list tells which there are\n", name);
    exit(2);
}

static int list(void) {
    static const char *const kinds[] = {"alone", "sleeper", "spinners"};
    for (size_t i = 0; i < row_count; i++) {
        const struct gate_row *row = &rows[i].row;
        printf("{\"name\": \"%s\", \"operations\": %u, \"threads\": \"%s\", \"timed\": %s}\n",
               rows[i].name, row->operations, kinds[row->threads], row->timed ? "true" : "false");
    }
    return 0;
}

/* ---- Slowdowns on purpose -------------------------------------------------------------------- */

enum injection { INJECT_NOTHING, INJECT_PERCENT, INJECT_SYSCALL, INJECT_FAULT, INJECT_INSTRUCTION };

static struct {
    enum injection what;
    double percent;
    uint64_t spins; /* for percent: this many take the required time */
    volatile uint8_t *page;
} inject;

/* Dependent instructions, so that equal numbers take equal times. */
static void spin(uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        __asm__ volatile("" : "+r"(i));
    }
}

/* Inside the region, after the row's own work: one more instruction per operation of the row (plus
 * the loop around them: four for each of the last 32), or in all one more call or fault, or the
 * required time. */
static void inject_now(uint32_t operations) {
    switch (inject.what) {
    case INJECT_NOTHING:
        break;
    case INJECT_PERCENT:
        spin(inject.spins);
        break;
    case INJECT_SYSCALL:
        syscall(SYS_getppid);
        break;
    case INJECT_FAULT:
        *inject.page = 1;
        break;
    case INJECT_INSTRUCTION:
        for (uint32_t done = 0; done + 32 <= operations; done += 32) {
            __asm__ volatile(".rept 32\n\tnop\n\t.endr");
        }
        for (uint32_t done = 0; done < operations % 32; done++) {
            __asm__ volatile("nop");
        }
    }
}

static void parse_injection(const char *text) {
    char *end = NULL;
    if (strncmp(text, "percent:", 8) == 0) {
        inject.what = INJECT_PERCENT;
        inject.percent = strtod(text + 8, &end);
        gate_need(end != text + 8 && *end == '\0' && inject.percent > 0 && inject.percent <= 1000,
                  "--inject percent:N wants a number above 0, up to 1000");
    } else if (strcmp(text, "syscall") == 0) {
        inject.what = INJECT_SYSCALL;
    } else if (strcmp(text, "fault") == 0) {
        inject.what = INJECT_FAULT;
    } else if (strcmp(text, "instruction") == 0) {
        inject.what = INJECT_INSTRUCTION;
    } else {
        gate_need(false, "--inject wants percent:N, syscall, fault or instruction");
    }
}

static void open_injection(void) {
    if (inject.what == INJECT_FAULT) {
        void *page =
            mmap(NULL, GATE_HOST_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        gate_need(page != MAP_FAILED, "no memory for one page");
        inject.page = page;
    }
}

/* ---- The region ------------------------------------------------------------------------------ */

/* Two functions with the same body, kept apart by an assembler comment: callgrind collects only
 * what runs inside the counted one, which is named on its command line. */
__attribute__((noinline)) void gate_region_warm(const struct gate_row *row);
__attribute__((noinline)) void gate_region_counted(const struct gate_row *row);

void gate_region_warm(const struct gate_row *row) {
    row->measured();
    inject_now(row->operations);
}

void gate_region_counted(const struct gate_row *row) {
    __asm__ volatile("# counted");
    row->measured();
    inject_now(row->operations);
}

static void warm_up(const struct gate_row *row) {
    enum injection what = inject.what;
    inject.what = INJECT_NOTHING;
    for (int i = 0; i < WARM_UPS; i++) {
        row->open(row);
        gate_region_warm(row);
        row->close();
    }
    inject.what = what;
}

/* ---- Counted --------------------------------------------------------------------------------- */

struct counts {
    long page_faults, switches;
    long vmas;
    long resident_bytes;
};

/* The number after "key:" in /proc/self/status, in bytes. */
static long status_bytes(const char *key) {
    char text[8192], *at;
    int file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, sizeof text - 1);
    gate_need(got > 0, "/proc/self/status cannot be read");
    close(file);
    text[got] = '\0';
    at = strstr(text, key);
    gate_need(at != NULL, "/proc/self/status lacks the resident size");
    return strtol(at + strlen(key), NULL, 10) * 1024;
}

static long maps_lines(void) {
    char text[16384];
    long lines = 0;
    ssize_t got;
    int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    gate_need(file >= 0, "/proc/self/maps cannot be read");
    while ((got = read(file, text, sizeof text)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            lines += text[i] == '\n';
        }
    }
    close(file);
    return lines;
}

/* Resets the kernel's high-water mark. */
static bool forget_peak(void) {
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool good = file >= 0 && write(file, "5", 1) == 1;
    if (file >= 0) {
        close(file);
    }
    return good;
}

/* A system call without effect, as a mark for the tracer. */
static void mark(const char *text) {
    ssize_t ignored = write(-1, text, strlen(text));
    (void)ignored;
}

static int count(const struct gate_row *row) {
    struct rusage before, after;
    warm_up(row);
    open_injection();
    row->open(row);
    long vmas = maps_lines();
    (void)status_bytes("VmRSS:"); /* so that the pages of the first call do not count */
    bool peak = forget_peak();
    long resident = status_bytes("VmRSS:");
    getrusage(RUSAGE_THREAD, &after);
    getrusage(RUSAGE_THREAD, &before);
    mark("gate+");
    gate_region_counted(row);
    mark("gate-");
    getrusage(RUSAGE_THREAD, &after);
    long high = status_bytes("VmHWM:");
    vmas = maps_lines() - vmas;
    row->close();
    printf("{\"page_faults\": %ld, \"voluntary_switches\": %ld, \"vmas\": %ld, ",
           after.ru_minflt - before.ru_minflt, after.ru_nvcsw - before.ru_nvcsw, vmas);
    if (peak) {
        printf("\"resident_bytes\": %ld}\n", high > resident ? high - resident : 0);
    } else {
        printf("\"resident_bytes\": null}\n");
    }
    return 0;
}

/* ---- Timed ----------------------------------------------------------------------------------- */

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static long interruptions(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nivcsw;
}

static double timed_batch(const struct gate_row *row, bool *disturbed) {
    row->open(row);
    long before = interruptions();
    double began_ns = now_ns();
    gate_region_warm(row);
    double spent_ns = now_ns() - began_ns;
    *disturbed = interruptions() != before;
    row->close();
    return spent_ns;
}

/* The number of spins that takes that percentage of the row's own time: the minimum of several
 * measurements of both. */
static void calibrate_injection(const struct gate_row *row) {
    enum { SPINS = 100000 };
    double row_ns = 1e18, spins_ns = 1e18;
    if (inject.what != INJECT_PERCENT) {
        return;
    }
    inject.spins = 0;
    for (int i = 0; i < SPIN_TRIES; i++) {
        bool ignored;
        double spent_ns = timed_batch(row, &ignored);
        row_ns = spent_ns < row_ns ? spent_ns : row_ns;
        double began_ns = now_ns();
        spin(SPINS);
        spent_ns = now_ns() - began_ns;
        spins_ns = spent_ns < spins_ns ? spent_ns : spins_ns;
    }
    inject.spins = (uint64_t)(row_ns * inject.percent / 100 / spins_ns * (double)SPINS);
}

static void stay_on(const char *text) {
    cpu_set_t one;
    char *end;
    long core = strtol(text, &end, 10);
    gate_need(*text != '\0' && *end == '\0' && core >= 0 && core < CPU_SETSIZE, "CORE is no core");
    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    gate_need(sched_setaffinity(0, sizeof one, &one) == 0, "this core may not be used");
}

static int by_size(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* With one thread the minimum of all regions, because disturbances only add time. With two the
 * median, because in the fastest region the threads may not have met at all. */
static int measure(const struct gate_row *row, const char *batches_text) {
    static double spent_ns[BATCHES_MAX];
    char *end;
    long batches = strtol(batches_text, &end, 10), kept = 0;
    gate_need(*end == '\0' && batches > 0 && batches <= BATCHES_MAX, "BATCHES is no such number");
    warm_up(row);
    calibrate_injection(row);
    for (long i = 0; i < batches; i++) {
        bool disturbed;
        spent_ns[kept] = timed_batch(row, &disturbed);
        kept += !disturbed || row->threads != GATE_ALONE;
    }
    if (kept == 0) {
        puts("{\"ns\": null}");
        return 0;
    }
    qsort(spent_ns, (size_t)kept, sizeof spent_ns[0], by_size);
    printf("{\"ns\": %.1f}\n", row->threads == GATE_ALONE ? spent_ns[0] : spent_ns[kept / 2]);
    return 0;
}

/* ---- Main ------------------------------------------------------------------------------------ */

static int usage(void) {
    fputs("usage: gate --list | --count ROW | --time ROW BATCHES CORE  [--inject WHAT]\n", stderr);
    return 2;
}

int main(int argc, char **argv) {
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* whether a huge page is available is luck */
    gate_add(&gate_row_control, NULL);
    gate_add_rows();
    if (argc > 3 && strcmp(argv[argc - 2], "--inject") == 0) {
        parse_injection(argv[argc - 1]);
        argc -= 2;
    }
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        return list();
    }
    if (argc == 3 && strcmp(argv[1], "--count") == 0) {
        return count(find(argv[2]));
    }
    if (argc == 5 && strcmp(argv[1], "--time") == 0) {
        const struct gate_row *row = find(argv[2]);
        if (row->threads == GATE_ALONE) {
            stay_on(argv[4]);
        }
        return measure(row, argv[3]);
    }
    return usage();
}
