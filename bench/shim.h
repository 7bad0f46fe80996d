/* shim.h: Google Benchmark for C: what a subject in bench/ needs to register and run its cases.
 *
 * A subject is one .c file. It registers its cases when the program is loaded:
 *
 *     static void run_grow(struct bench_state *state) {
 *         while (bench_next(state, 16)) {      // at most 16 iterations a batch
 *             ... set up 16 memories ...
 *             bench_begin(state);
 *             ... grow each by one page ...    // what is measured, once an iteration
 *             bench_end(state);
 *             ... take them down ...
 *         }
 *     }
 *
 *     BENCH_SUBJECT {
 *         bench_register(&(struct bench_case){
 *             .name = "memory/grow", .run = run_grow, .clock = BENCH_CLOCK_SECTIONS,
 *             .parameters = {{"strategy", .text = "reserve"}, {"pages", .number = 16}},
 *             .bounds = "bound/mprotect/pages:16"});
 *     }
 *
 * The name in every output is then exactly "memory/grow/strategy:reserve/pages:16": a key, never to
 * be renamed. Link with shim.cc, main.c and libbenchmark; `bench --help` lists the options. */
#ifndef BENCH_SHIM_H
#define BENCH_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_state; /* one run of a case in one thread */

/* One part of a name, "/name:text" or "/name:number". A text must live as long as the program. */
struct bench_parameter {
    const char *name;
    const char *text; /* NULL: the number counts */
    int64_t number;
};

enum bench_clock {
    BENCH_CLOCK_LOOP,     /* from each bench_next to the next one */
    BENCH_CLOCK_SECTIONS, /* what lies between bench_begin and bench_end */
    BENCH_CLOCK_SAMPLES   /* what bench_sample was told: the sum of the samples */
};

enum { BENCH_PARAMETERS_MAX = 6 };

struct bench_case {
    const char *name;                                        /* "memory/grow" */
    struct bench_parameter parameters[BENCH_PARAMETERS_MAX]; /* the first without a name ends */
    /* May be called more than once in a process: once for a try, which tells how many iterations
     * fit into the time, then for the measurement. So it starts from nothing each time. */
    void (*run)(struct bench_state *state);
    const void *argument; /* for run(), by bench_argument */
    enum bench_clock clock;
    /* 0: one thread. Else run() is called in so many threads at once, "/threads:N" ends the name,
     * and the time of an iteration is the wall time over the iterations of all threads. */
    int threads;
    /* It has started threads that it waits for within the measured parts: these count with their
     * wall time even when the kernel ran something else meanwhile (see bench_main). */
    bool meets;
    /* Names of the rows (comma between) beside which this one stands: first what no implementation
     * can beat, the bare system calls or atomics (bound/...), then other people's implementations
     * (peer/...). Reported as the row's label; NULL: none is known. */
    const char *bounds;
    const char *skip;   /* not NULL: the row is reported as skipped, with this as the reason */
    int64_t iterations; /* 0: as many as the time allows, after a try; else exactly so many, and no
                           try: for rows whose set-up is slow */
    bool full_only;     /* quick runs leave it out (bench --list --quick) */
    /* The row starts threads or processes: it gets more time, and its system calls are not
     * counted. The same holds for rows with `threads` or `meets`. */
    bool parties;
    bool variant; /* measured for its own cost: no peer is compared with it */
};

/* Registers a copy of the case. The strings must live as long as the program. */
void bench_register(const struct bench_case *bench);

/* ---- What a report says of rows. The scripts know no row by name: the words come from
 * `bench --describe`. Every section is shown in one way, as a table of lines and columns.
 *
 * Words. bench_words(OF, WORDS), where OF is what they name:
 *     "written:0"    a parameter with that value
 *     "written"      with any other value, which stands in place of %s
 *     "/wake"        an operation, the second part of a row's name
 *     "mailbox/"     a family, the first part
 *     "bound/mmap"   both: a limit
 * The first words given for a thing stay; without words it keeps its own name. */
void bench_words(const char *of, const char *words);
/* A table of such pairs; the last one is NULL. */
void bench_words_add(const char *const words[][2]);

/* A section: rows of one kind. `lines` and `columns` are keys separated by blanks; their words,
 * joined, name a line or a column. A key is a parameter's name, or one of
 *     family     the first part of the row's name
 *     operation  the second
 *     row        the words given for both together; nothing where there are none
 * A leading comma is dropped; a line without words is called "as it is". */
struct bench_section {
    const char *title, *text;
    const char *inside; /* title of the section around it, registered before; NULL: none */
    const char *rows;   /* names of its rows, an extended regular expression; NULL: none */
    const char *lines;
    const char *columns; /* NULL: there is one column, the time */
    const char *usual;   /* the column that is shown beside limits and peers; NULL: the first */
    const char *axis;    /* not NULL: a plot against the columns' number, with this label */
    const char *unit;    /* what an iteration is: "an id"; NULL: the operation itself */
    enum { BENCH_PLOT_NONE, BENCH_PLOT_BARS, BENCH_PLOT_TO_LIMIT } plot; /* without an axis */
    bool spread; /* cells are 5 % / half / 95 % of the samples */
};
/* A second section with the same title is ignored: a file may be compiled several times. */
void bench_section_add(const struct bench_section *section);
/* A table of sections; the last one has no title. */
void bench_sections_add(const struct bench_section *sections);

/* A sentence about rows. Braces hold a figure, of rows by their names:
 *     {time ROW} {spread ROW} {q50 ROW} {q95 ROW} {faults ROW} {rate ROW}
 *     {limit ROW}       its time, and in brackets how many times the limit
 *     {peer ROW}        the fastest peer's time, and in brackets its name and the ratio
 *     {peers ROW}       the row and all of its peers, the fastest first
 *     {ratio ROW OTHER} {more ROW OTHER}      2.1 times; +12 %, and whether within the spread
 *     {faster ROW OTHER | words if it is | words if not}
 *     {least RE} {most RE} {rank RE} {ratios RE} {dearest RE}   of the rows that match RE
 * A part in [brackets] is left out when one of its rows was not measured. The whole sentence is
 * left out when a row outside brackets was not measured, or when all brackets are empty. */
void bench_answer(const char *text);
/* The same, for the first screen. */
void bench_headline(const char *text);

/* printf, and so many bytes of zeros; both live as long as the program, as what is registered must.
 */
const char *bench_kept_text(const char *format, ...) __attribute__((format(printf, 1, 2)));
void *bench_kept(size_t bytes);

/* Runs when the program is loaded; each file may have several. */
#define BENCH_JOIN_(a, b) a##b
#define BENCH_JOIN(a, b) BENCH_JOIN_(a, b)
#define BENCH_SUBJECT \
    __attribute__((constructor)) static void BENCH_JOIN(bench_subject_, __LINE__)(void)

/* True while there is work: then do `batch` iterations. False: return from run(). A batch is one
 * measured part with some 50 ns of the clock's own in it, so things of a few nanoseconds want
 * batches of a thousand. */
bool bench_next(struct bench_state *state, int64_t batch);

/* Start and stop the clock (BENCH_CLOCK_SECTIONS). A pair costs about 50 ns of its own. bench_end
 * returns the nanoseconds in between. */
void bench_begin(struct bench_state *state);
double bench_end(struct bench_state *state);

/* One observed duration, of an iteration or of a batch divided by its iterations. The row gets the
 * counters q01 to q99: quantiles over all samples of the run (a random 65,536 of them where there
 * were more). From one thread only. */
void bench_sample(struct bench_state *state, double nanoseconds);

/* Ends this run: the row is reported as skipped with this reason. Return from run() then. */
void bench_skip(struct bench_state *state, const char *reason);

/* A number beside the time; those of several threads are added up. bench_count: divided by the
 * iterations. bench_value: as it is. */
void bench_count(struct bench_state *state, const char *name, double value);
void bench_value(struct bench_state *state, const char *name, double value);

/* The case's argument. */
const void *bench_argument(const struct bench_state *state);

/* The case's parameters by name. A name that it does not have ends the program: our own mistake. */
bool bench_has(const struct bench_state *state, const char *name);
int64_t bench_number(const struct bench_state *state, const char *name);
const char *bench_text(const struct bench_state *state, const char *name);

/* Which thread of how many this is: 0 to threads - 1. */
int bench_thread(const struct bench_state *state);
int bench_threads(const struct bench_state *state);

/* One line of the environment in the output: ("allocator", "glibc 2.36"). Before bench_main. */
void bench_environment(const char *key, const char *value);

/* Reads the options and runs what they select. Returns the exit status: 0; 2: a wrong option, or a
 * filter that matches nothing.
 *
 * Every row also has the counter page_faults: minor faults of the measured part, an iteration,
 * counted by the kernel (exact; all threads of the case together), and interrupted: which share of
 * the measured parts the kernel interrupted to run something else. Where there is one thread such a
 * part counts with the processor time it used. A row of one thread that does not measure single
 * samples has as well what the first measured part of its process did to the address space, divided
 * by the iterations of that part: vmas (mappings more at its end than at its begin),
 * peak_resident_bytes and peak_virtual_bytes (the most at any time within it, above its begin).
 * yardstick_ns: the longer of two times that a fixed piece of work took, just before the row and
 * just after it.
 * With --marks the program makes a recognisable system call, write(-1, "bench+", 6) and write(-1,
 * "bench-", 6), around each measured part, so that a tracer can count the calls in between. */
int bench_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
