/* fuzz_cost.c: the cost of one execution of memory_fuzzer without sanitizers or an engine, over its
 * seeds; beside a bare loop of the same system calls, in the same order and with the same sizes,
 * that touches the same pages. The first pass over the seeds records them. Run: build/bench/bench
 * --filter='fuzz'. */
#include "fuzz/core.h"
#include "shim.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { HOST_PAGE_BYTES = 4096, PLACES_MAX = 1024, STEPS_MAX = 1 << 17, FILES_MAX = 1024 };

enum call {
    TOUCH_READ,
    TOUCH_WRITE,
    MMAP,
    MUNMAP,
    MPROTECT,
    MADVISE,
    MREMAP,
    MEMFD_CREATE,
    FTRUNCATE,
    PWRITE,
    FCNTL,
    OPEN,
    PREAD,
    CLOSE
};

/* One call. An address is an offset in the result of an earlier mmap (place), because the next pass
 * gets other addresses; likewise files are numbers in this record. */
struct step {
    enum call call;
    int place, to_place; /* -1: none */
    size_t at, to_at, bytes, to_bytes;
    int arguments[2]; /* protection and flags, advice, command and value */
    int file;         /* -1: none */
};

static struct {
    struct step *step;
    size_t steps;
    bool on;   /* mappings are tracked */
    bool kept; /* and steps recorded */
    bool full;
    struct {
        uint8_t *base;
        size_t bytes;
        size_t gone;      /* bytes of it that have been unmapped */
        uint8_t *touched; /* which pages have been touched since they were last dropped */
    } place[PLACES_MAX];  /* pools, which stay; then the mappings of the current program */
    int places;
    int file[FILES_MAX];
    int files;
} record;
enum { SEEDS_MAX = 512 };
static size_t seeds, seed_end[SEEDS_MAX]; /* seed_end: end of its steps */

/* ---- Recording ------------------------------------------------------------------------------- */

static struct step *step_add(enum call call) {
    static struct step spare;
    record.full |= record.steps == STEPS_MAX;
    if (record.full || !record.kept) {
        return &spare;
    }
    struct step *step = &record.step[record.steps++];
    *step = (struct step){.call = call, .place = -1, .to_place = -1, .file = -1};
    return step;
}

/* The newest mapping that contains the address. */
static int place_of(const void *at, size_t *offset) {
    for (int i = record.places - 1; i >= 0; i--) {
        size_t from = (size_t)((uintptr_t)at - (uintptr_t)record.place[i].base);
        if ((uintptr_t)at >= (uintptr_t)record.place[i].base && from < record.place[i].bytes) {
            *offset = from;
            return i;
        }
    }
    record.full = true;
    *offset = 0;
    return 0;
}

static int place_add(void *base, size_t bytes) {
    if (record.places == PLACES_MAX) {
        record.full = true;
        return 0;
    }
    free(record.place[record.places].touched);
    record.place[record.places].base = base;
    record.place[record.places].bytes = bytes;
    record.place[record.places].gone = 0;
    record.place[record.places].touched = calloc(bytes / HOST_PAGE_BYTES + 1, 1);
    return record.places++;
}

static int file_of(int number) {
    for (int i = record.files - 1; i >= 0; i--) {
        if (record.file[i] == number) {
            return i;
        }
    }
    return -1;
}

static int file_add(int number) {
    if (record.files == FILES_MAX) {
        record.full = true;
        return -1;
    }
    record.file[record.files] = number;
    return record.files++;
}

static bool is_zero(const uint8_t *page) {
    static const uint8_t zeros[HOST_PAGE_BYTES];
    return memcmp(page, zeros, sizeof zeros) == 0;
}

/* Pages that contain only zeros, or bytes of a file, were read, or were written and look as if only
 * read. The bare loop reads them, which never takes longer. */
static void touch_add(int place, size_t at, uint64_t entry) {
    enum { PRESENT = 63, OF_FILE = 61 };
    if ((entry >> PRESENT & 1) == 0 || at >= record.place[place].bytes) {
        return;
    }
    uint8_t *touched = &record.place[place].touched[at / HOST_PAGE_BYTES];
    if (*touched) {
        return;
    }
    bool was_read = (entry >> OF_FILE & 1) || is_zero(record.place[place].base + at);
    struct step *step = step_add(was_read ? TOUCH_READ : TOUCH_WRITE);
    step->place = place;
    step->at = at;
    *touched = 1;
}

/* A call is about to change [at, at + bytes): pages that are present were touched before. */
static void touches_add(uint8_t *at, size_t bytes) {
    enum { ENTRIES = 4096 };
    static uint64_t entries[ENTRIES];
    static int pagemap = -1;
    size_t from;
    int place = place_of(at, &from);
    pagemap = pagemap >= 0 ? pagemap : open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    for (size_t done = 0; done < bytes && !record.full;) {
        size_t pages = (bytes - done + HOST_PAGE_BYTES - 1) / HOST_PAGE_BYTES;
        pages = pages < ENTRIES ? pages : ENTRIES;
        off_t offset = (off_t)(((uintptr_t)at + done) / HOST_PAGE_BYTES * sizeof entries[0]);
        ssize_t wanted = (ssize_t)(pages * sizeof entries[0]);
        record.full |= pread(pagemap, entries, (size_t)wanted, offset) != wanted;
        for (size_t i = 0; i < pages && !record.full; i++, done += HOST_PAGE_BYTES) {
            touch_add(place, from + done, entries[i]);
        }
    }
}

/* Marks pages as absent (0), or as present without a touch (1). */
static void touches_set(const uint8_t *at, size_t bytes, int there) {
    size_t from;
    int place = place_of(at, &from);
    size_t pages = (bytes + HOST_PAGE_BYTES - 1) / HOST_PAGE_BYTES;
    if (!record.full && from + bytes <= record.place[place].bytes) {
        memset(record.place[place].touched + from / HOST_PAGE_BYTES, there, pages);
    }
}

static void touches_drop(const uint8_t *at, size_t bytes) {
    touches_set(at, bytes, 0);
}

/* A step on [at, at + bytes), after the touches of its pages. */
static struct step *step_about(enum call call, void *at, size_t bytes) {
    touches_add(at, bytes);
    struct step *step = step_add(call);
    step->place = place_of(at, &step->at);
    step->bytes = bytes;
    return step;
}

/* ---- The calls of core.o: executed, and noted while recording -------------------------------- */

void *fuzz_cost_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
int fuzz_cost_munmap(void *at, size_t bytes);
int fuzz_cost_mprotect(void *at, size_t bytes, int protection);
int fuzz_cost_madvise(void *at, size_t bytes, int advice);
void *fuzz_cost_mremap(void *at, size_t old_bytes, size_t bytes, int flags, ...);
int fuzz_cost_memfd_create(const char *name, unsigned flags);
int fuzz_cost_ftruncate(int file, off_t bytes);
ssize_t fuzz_cost_pwrite(int file, const void *data, size_t count, off_t offset);
int fuzz_cost_fcntl(int file, int command, ...);
int fuzz_cost_open(const char *path, int flags, ...);
ssize_t fuzz_cost_pread(int file, void *data, size_t count, off_t offset);
int fuzz_cost_close(int file);

void *fuzz_cost_mmap(void *at, size_t bytes, int protection, int flags, int file, off_t offset) {
    struct step *step = NULL;
    if (record.on) {
        step = at != NULL ? step_about(MMAP, at, bytes) : step_add(MMAP);
        step->bytes = bytes;
        step->arguments[0] = protection;
        step->arguments[1] = flags;
        step->file = file_of(file);
    }
    void *made = mmap(at, bytes, protection, flags, file, offset);
    if (record.on && at == NULL && made != MAP_FAILED) {
        step->to_place = place_add(made, bytes);
    } else if (record.on && made != MAP_FAILED) {
        touches_drop(at, bytes);
    }
    return made;
}

int fuzz_cost_munmap(void *at, size_t bytes) {
    if (record.on) {
        struct step *step = step_about(MUNMAP, at, bytes);
        touches_drop(at, bytes);
        record.place[step->place].gone += bytes;
    }
    return munmap(at, bytes);
}

int fuzz_cost_mprotect(void *at, size_t bytes, int protection) {
    if (record.on) {
        step_about(MPROTECT, at, bytes)->arguments[0] = protection;
    }
    return mprotect(at, bytes, protection);
}

int fuzz_cost_madvise(void *at, size_t bytes, int advice) {
    if (record.on) {
        step_about(MADVISE, at, bytes)->arguments[0] = advice;
        if (advice == MADV_DONTNEED || advice == MADV_GUARD_INSTALL) {
            touches_drop(at, bytes);
        } else if (advice == MADV_POPULATE_WRITE) {
            touches_set(at, bytes, 1);
        }
    }
    return madvise(at, bytes, advice);
}

void *fuzz_cost_mremap(void *at, size_t old_bytes, size_t bytes, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    void *to = va_arg(arguments, void *);
    va_end(arguments);
    if (record.on) {
        touches_add(to, bytes);
        struct step *step = step_about(MREMAP, at, old_bytes);
        step->to_bytes = bytes;
        step->to_place = place_of(to, &step->to_at);
        touches_drop(at, old_bytes);
        record.place[step->place].gone += old_bytes;
    }
    return mremap(at, old_bytes, bytes, flags, to);
}

int fuzz_cost_memfd_create(const char *name, unsigned flags) {
    int made = memfd_create(name, flags);
    if (record.on && made >= 0) {
        step_add(MEMFD_CREATE)->file = file_add(made);
    }
    return made;
}

int fuzz_cost_ftruncate(int file, off_t bytes) {
    if (record.on) {
        struct step *step = step_add(FTRUNCATE);
        step->file = file_of(file);
        step->bytes = (size_t)bytes;
    }
    return ftruncate(file, bytes);
}

ssize_t fuzz_cost_pwrite(int file, const void *data, size_t count, off_t offset) {
    if (record.on) {
        struct step *step = step_add(PWRITE);
        step->file = file_of(file);
        step->bytes = count;
        step->at = (size_t)offset;
    }
    return pwrite(file, data, count, offset);
}

int fuzz_cost_fcntl(int file, int command, ...) {
    va_list arguments;
    va_start(arguments, command);
    int value = va_arg(arguments, int);
    va_end(arguments);
    if (record.on) {
        struct step *step = step_add(FCNTL);
        step->file = file_of(file);
        step->arguments[0] = command;
        step->arguments[1] = value;
    }
    return fcntl(file, command, value);
}

/* pagemap is the only file that the library opens by name. */
int fuzz_cost_open(const char *path, int flags, ...) {
    int made = open(path, flags);
    if (record.on && made >= 0) {
        struct step *step = step_add(OPEN);
        step->file = file_add(made);
        step->arguments[0] = flags;
    }
    return made;
}

ssize_t fuzz_cost_pread(int file, void *data, size_t count, off_t offset) {
    if (record.on) {
        struct step *step = step_add(PREAD);
        step->file = file_of(file);
        step->bytes = count;
        step->at = (size_t)offset;
    }
    return pread(file, data, count, offset);
}

int fuzz_cost_close(int file) {
    if (record.on) {
        step_add(CLOSE)->file = file_of(file);
    }
    return close(file);
}

/* A program has ended: only pools remain. */
static void places_end(void) {
    int stay = 0;
    for (int i = 0; i < record.places; i++) {
        if (record.place[i].gone < record.place[i].bytes) {
            uint8_t *free_one = record.place[stay].touched;
            record.place[stay] = record.place[i];
            if (stay != i) {
                record.place[i].touched = free_one;
            }
            stay++;
        }
    }
    record.places = stay;
    record.files = 0;
}

/* Runs all seeds once for one-time set-up, and once more for the record. Returns NULL, or what is
 * wrong. */
static const char *prepare(void) {
    static bool done;
    static const char *wrong;
    if (done) {
        return wrong;
    }
    done = true;
    seeds = fuzz_core_load(BENCH_CORPUS);
    record.step = malloc(STEPS_MAX * sizeof *record.step);
    if (seeds == 0 || record.step == NULL) {
        return wrong = "its seeds in " BENCH_CORPUS " cannot be read";
    }
    record.on = true;
    for (size_t pass = 0; pass < 2 && wrong == NULL; pass++) {
        int pools = record.places;
        record.kept = pass == 1;
        for (size_t i = 0; i < seeds && wrong == NULL; i++) {
            wrong = fuzz_core_run(i) ? NULL : "a seed breaks a rule: make test-fuzz";
            places_end();
            record.full |= record.kept && record.places != pools;
            seed_end[i] = record.steps;
        }
    }
    record.on = false;
    if (wrong == NULL && record.full) {
        wrong = "the record of its system calls is full";
    }
    return wrong;
}

/* ---- The bare loop --------------------------------------------------------------------------- */

static uint8_t buffer[1 << 23]; /* data written to and read from files */

static void touch(const struct step *step) {
    volatile uint8_t *byte = record.place[step->place].base + step->at;
    if (step->call == TOUCH_WRITE) {
        *byte = 1;
    } else {
        (void)*byte;
    }
}

static void file_step(const struct step *step) {
    int file = step->file >= 0 ? record.file[step->file] : -1;
    size_t bytes = step->bytes < sizeof buffer ? step->bytes : sizeof buffer;
    switch (step->call) {
    case MEMFD_CREATE:
        record.file[step->file] = memfd_create("bare", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        break;
    case OPEN:
        record.file[step->file] = open("/proc/self/pagemap", step->arguments[0]);
        break;
    case FTRUNCATE:
        (void)!ftruncate(file, (off_t)step->bytes);
        break;
    case PWRITE:
        (void)!pwrite(file, buffer, bytes, (off_t)step->at);
        break;
    case PREAD:
        (void)!pread(file, buffer, bytes, (off_t)step->at);
        break;
    case FCNTL:
        (void)fcntl(file, step->arguments[0], step->arguments[1]);
        break;
    default:
        (void)close(file);
    }
}

static void page_step(const struct step *step) {
    uint8_t *at = step->place >= 0 ? record.place[step->place].base + step->at : NULL;
    void *made;
    switch (step->call) {
    case MMAP:
        made = mmap(at, step->bytes, step->arguments[0], step->arguments[1],
                    step->file >= 0 ? record.file[step->file] : -1, 0);
        if (step->to_place >= 0) {
            record.place[step->to_place].base = made;
        }
        break;
    case MUNMAP:
        (void)munmap(at, step->bytes);
        break;
    case MPROTECT:
        (void)mprotect(at, step->bytes, step->arguments[0]);
        break;
    case MADVISE:
        (void)madvise(at, step->bytes, step->arguments[0]);
        break;
    default:
        (void)mremap(at, step->bytes, step->to_bytes, MREMAP_MAYMOVE | MREMAP_FIXED,
                     record.place[step->to_place].base + step->to_at);
    }
}

static void bare(size_t seed) {
    for (size_t i = seed == 0 ? 0 : seed_end[seed - 1]; i < seed_end[seed]; i++) {
        const struct step *step = &record.step[i];
        if (step->call <= TOUCH_WRITE) {
            touch(step);
        } else if (step->call <= MREMAP) {
            page_step(step);
        } else {
            file_step(step);
        }
    }
}

/* ---- The rows -------------------------------------------------------------------------------- */

/* An iteration is one execution; the seeds run in turn. */
static void run(struct bench_state *state) {
    bool is_bare = bench_argument(state) != NULL;
    const char *wrong = prepare();
    if (wrong != NULL) {
        bench_skip(state, wrong);
        return;
    }
    while (bench_next(state, (int64_t)seeds)) {
        for (size_t i = 0; i < seeds; i++) {
            if (is_bare) {
                bare(i);
            } else {
                (void)fuzz_core_run(i);
            }
        }
    }
    size_t calls = 0;
    for (size_t i = 0; i < record.steps; i++) {
        calls += record.step[i].call > TOUCH_WRITE;
    }
    bench_value(state, "calls", (double)calls / (double)seeds);
    bench_value(state, "touches", (double)(record.steps - calls) / (double)seeds);
}

BENCH_SUBJECT {
    static const bool is_bare = true;
    bench_register(&(struct bench_case){.name = "bound/fuzz",
                                        .parameters = {{"target", .text = "memory_fuzzer"}},
                                        .run = run,
                                        .argument = &is_bare});
    bench_register(&(struct bench_case){.name = "fuzz/execution",
                                        .parameters = {{"target", .text = "memory_fuzzer"}},
                                        .run = run,
                                        .bounds = "bound/fuzz/target:memory_fuzzer"});
}

BENCH_SUBJECT {
    bench_words("bound/fuzz", "loop of the same calls and pages");
    bench_section_add(&(struct bench_section){.title = "One execution of a fuzz target",
                                              .text =
                                                  "All seeds, without sanitizers. The aim is below "
                                                  "twice the bare loop.",
                                              .rows = "^fuzz/execution/",
                                              .lines = "target"});
    bench_answer("**One execution of memory_fuzzer**, without sanitizers: {limit "
                 "fuzz/execution/target:memory_fuzzer}, {rate "
                 "fuzz/execution/target:memory_fuzzer} a second; the aim is below twice the "
                 "bare loop.");
}
