/* shrink.c: the smallest program that breaks the same rule.
 *
 *   shrink [options] INPUT        prints the shrunk program as text, with its name and place
 *     -o FILE     write it there (whole or not at all), print nothing
 *     -n NAME     the finding to keep: R5-grow-limit; else what the input breaks at first
 *     -t TARGET   of an input in bytes; else taken from the name of a folder above it
 *     -w MS       how long one run may take, 2000 ms; what takes longer is the finding "timeout"
 *     -s SECONDS  how long all may take: 60; then the best until then is the result
 *     -k          do not shrink: print name and place only, the key of a finding
 *
 * Operations go first (in halves, quarters, ... and in pairs), then threads, then preemptions and
 * choices, then arguments become simpler. Each step keeps the name and the operation that ran, and
 * is seen in a fresh process before it counts. The same input gives the same answer, unless time
 * ran out. SUBJECT=./mine.so shrinks on another subject. Exit status: 0 shrunk, 2 usage, or an
 * input that cannot be read or breaks nothing, 130 interrupted (the best until then is written). */
#include "input.h"
#include "interleave.h"
#include "load.h"
#include "trial.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { USAGE = 2, INTERRUPTED = 130 };
enum { PAIRS_MAX = 24, SCHEDULES = 96, SEARCHED_SCHEDULES = 20000, ROUNDS_MAX = 40 };

static struct {
    const char *to, *name;
    bool has_target, key_only;
    enum op_target target;
    unsigned milliseconds_max;
    double seconds_max;
} option = {.milliseconds_max = 2000, .seconds_max = 60};

static struct trial_settings settings;
static struct trial best;
static double began_s;
static volatile sig_atomic_t stopped;

static double now_s(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static bool time_is_up(void) {
    return stopped || now_s() - began_s > option.seconds_max;
}

/* ---- What is simpler --------------------------------------------------------------------------
 */

/* Smaller is simpler. Numbers: 0 to 16, then the edges that rules turn on, then all others. */
static uint64_t rank(enum op_kind kind, uint64_t value) {
    enum { EDGE = 1000, ANY = 2000 };
    const uint64_t high = UINT64_C(1) << 40;
    if (op_word(kind, value) != NULL) {
        return value;
    }
    if (kind == KIND_limit && value == UINT32_MAX) {
        return 20; /* none */
    }
    if (kind == KIND_address && value >= OP_ADDRESS_END / 2) {
        uint64_t before = OP_ADDRESS_END - value, after = value - OP_ADDRESS_END;
        uint64_t distance = before < after ? before : after;
        return distance < 64 ? 20 + 2 * distance + (after < before) : (ANY + 1) * high;
    }
    bool power = (value & (value - 1)) == 0;
    if (kind == KIND_signed && (int64_t)value == -1) {
        return 17;
    }
    if (value <= 16) {
        return value;
    }
    if (power || value == 65535 || value == 65537 || value == UINT32_MAX || value == UINT64_MAX) {
        return EDGE * high + value / 2;
    }
    return (uint64_t)ANY * high + (value < high ? value : high);
}

/* What to try in an argument's place: the index-th; false past the end. */
static bool simpler(uint64_t value, unsigned index, uint64_t *to) {
    static const uint64_t usual[] = {0,   1,    2,     3,     4,     8,          16,        64,
                                     256, 4096, 65535, 65536, 65537, UINT32_MAX, UINT64_MAX};
    enum { USUAL = sizeof usual / sizeof usual[0] };
    const uint64_t computed[] = {OP_ADDRESS_END - 8, OP_ADDRESS_END - 4, OP_ADDRESS_END - 1,
                                 OP_ADDRESS_END,     value / 2,          value - 1,
                                 value - value / 4};
    enum { COMPUTED = sizeof computed / sizeof computed[0] };
    if (index >= USUAL + COMPUTED) {
        return false;
    }
    *to = index < USUAL ? usual[index] : computed[index - USUAL];
    return true;
}

/* A value that the kind can have. */
static bool can_be(enum op_kind kind, uint64_t value) {
    switch (kind) {
    case KIND_number:
    case KIND_signed:
        return true;
    case KIND_number32:
    case KIND_limit:
        return value <= UINT32_MAX;
    case KIND_address:
        return value < UINT64_C(1) << 40 ||
               (value >= OP_ADDRESS_END - 64 && value <= OP_ADDRESS_END);
    case KIND_memory:
        return value < OP_MEMORIES;
    case KIND_segment:
        return value < OP_SEGMENTS;
    case KIND_waker:
        return value < OP_WAKERS;
    default:
        return op_word(kind, value) != NULL;
    }
}

/* ---- Candidates: each a list that is a function of the best program ---------------------------
 */

static void remove_operations(struct program *p, unsigned from, unsigned count) {
    memmove(&p->operation[from], &p->operation[from + count],
            (p->operations - from - count) * sizeof p->operation[0]);
    p->operations -= count;
}

/* Removes a run of operations: all, halves, quarters, ..., single ones. */
static bool without_run(const struct program *from, unsigned index, struct program *to) {
    for (unsigned size = from->operations; size > 0; size = size / 2) {
        unsigned runs = (from->operations + size - 1) / size;
        if (index < runs) {
            unsigned start = index * size;
            *to = *from;
            remove_operations(to, start,
                              start + size > from->operations ? from->operations - start : size);
            return true;
        }
        index -= runs;
    }
    return false;
}

/* Removes two operations that are not neighbours, such as hold and unhold. */
static bool without_pair(const struct program *from, unsigned index, struct program *to) {
    if (from->operations > PAIRS_MAX) {
        return false;
    }
    for (unsigned a = 0; a + 1 < from->operations; a++) {
        unsigned pairs = from->operations - a - 1;
        if (index < pairs) {
            *to = *from;
            remove_operations(to, a + 1 + index, 1);
            remove_operations(to, a, 1);
            return true;
        }
        index -= pairs;
    }
    return false;
}

static bool pair_of_a_kind(const struct program *p, unsigned index, unsigned *a, unsigned *b) {
    for (*a = 0; *a < p->operations; ++*a) {
        for (*b = *a + 1; *b < p->operations; ++*b) {
            if (p->operation[*a].code == p->operation[*b].code && index-- == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Two of a kind as one, with their numbers added up: two growths as one larger. */
static bool joined(const struct program *from, unsigned index, struct program *to) {
    unsigned a, b;
    if (from->operations > PAIRS_MAX || !pair_of_a_kind(from, index, &a, &b)) {
        return false;
    }
    *to = *from;
    struct op *x = &to->operation[a];
    const struct op_info *info = op_info(to->target, x->code);
    for (unsigned i = 0; i < info->arguments; i++) {
        enum op_kind kind = info->argument[i].kind;
        uint64_t sum = x->arg.raw[i] + from->operation[b].arg.raw[i];
        if ((kind == KIND_number || kind == KIND_number32) && can_be(kind, sum)) {
            x->arg.raw[i] = sum;
        }
    }
    remove_operations(to, b, 1);
    return true;
}

/* Moves one thread's operations to a thread with a smaller number: fewer threads, or smaller
 * numbers. */
static bool on_other_thread(const struct program *from, unsigned index, struct program *to) {
    unsigned a = index / OP_THREADS, b = index % OP_THREADS;
    if (a >= OP_THREADS) {
        return false;
    }
    *to = *from;
    for (unsigned i = 0; i < to->operations && b < a; i++) {
        if (to->operation[i].thread == a) {
            to->operation[i].thread = (uint8_t)b;
        }
    }
    return true;
}

/* Moves one operation to the first thread. */
static bool one_on_thread_0(const struct program *from, unsigned index, struct program *to) {
    if (index >= from->operations) {
        return false;
    }
    *to = *from;
    to->operation[index].thread = 0;
    return true;
}

/* Fewer choices: none, a shorter list, a run of them gone or plain. */
static bool fewer_choices(const struct program *from, unsigned index, struct program *to) {
    size_t length = from->choices_bytes;
    *to = *from;
    if (index == 0) {
        to->choices_bytes = 0;
        return length > 0;
    }
    index--;
    for (size_t size = length; size > 0; size /= 2) {
        unsigned runs = (unsigned)((length + size - 1) / size);
        if (index < 2 * runs) {
            size_t start = index / 2 * size;
            size_t count = start + size > length ? length - start : size;
            if (index % 2 == 0) {
                memmove(&to->choices[start], &to->choices[start + count], length - start - count);
                to->choices_bytes -= count;
            } else {
                memset(&to->choices[start], 0, count);
            }
            return true;
        }
        index -= 2 * runs;
    }
    if (index < 2 * length) { /* a smaller choice */
        uint8_t *choice = &to->choices[index / 2];
        *choice = (uint8_t)(index % 2 == 0 ? *choice / 2 : *choice > 0 ? *choice - 1 : 0);
        return true;
    }
    return false;
}

/* The program as it is: other schedules are the candidates. */
static bool other_schedules(const struct program *from, unsigned index, struct program *to) {
    *to = *from;
    return index < 8;
}

static bool is_create(uint8_t code) {
    return code == OP_memory_create || code == OP_memory_create_more;
}

/* The twin in the memory's place; the short form of a creation in place of the long one. */
static bool plainer_create(const struct program *from, unsigned index, struct program *to) {
    unsigned at = index / 2;
    if (at >= from->operations) {
        return false;
    }
    *to = *from;
    struct op *op = &to->operation[at];
    if (index % 2 == 0 && is_create(op->code) && op->arg.memory_create.twin != WORD_twin_none) {
        op->arg.memory_create.strategy = op->arg.memory_create.twin - 1; /* same words, one apart */
        op->arg.memory_create.twin = WORD_twin_none;
    }
    if (index % 2 == 1 && op->code == OP_memory_create_more) {
        op->code = OP_memory_create; /* the first arguments are the same */
    }
    return true;
}

/* One argument simpler. */
static bool simpler_argument(const struct program *from, unsigned index, struct program *to) {
    enum { TRIES = 32 };
    unsigned at = index / (OP_ARGS_MAX * TRIES), argument = index / TRIES % OP_ARGS_MAX;
    if (at >= from->operations) {
        return false;
    }
    *to = *from;
    struct op *op = &to->operation[at];
    const struct op_info *info = op_info(to->target, op->code);
    uint64_t value;
    if (argument < info->arguments && simpler(op->arg.raw[argument], index % TRIES, &value) &&
        can_be(info->argument[argument].kind, value)) {
        op->arg.raw[argument] = value;
    }
    return true;
}

/* ---- What is a gain ---------------------------------------------------------------------------
 */

static unsigned threads_of(const struct program *p) {
    unsigned used = 0, count = 0;
    for (unsigned i = 0; i < p->operations; i++) {
        used |= 1u << p->operation[i].thread;
    }
    for (; used != 0; used &= used - 1) {
        count++;
    }
    return count;
}

static unsigned thread_sum(const struct program *p) {
    unsigned sum = 0;
    for (unsigned i = 0; i < p->operations; i++) {
        sum += p->operation[i].thread;
    }
    return sum;
}

static int compare(uint64_t a, uint64_t b) {
    return a < b ? -1 : a > b;
}

static int compare_choices(const struct trial *a, const struct trial *b) {
    size_t set[2] = {0, 0}, sum[2] = {0, 0};
    for (unsigned n = 0; n < 2; n++) {
        const struct program *p = n == 0 ? &a->program : &b->program;
        for (size_t i = 0; i < p->choices_bytes; i++) {
            set[n] += p->choices[i] != 0;
            sum[n] += p->choices[i];
        }
    }
    int order = compare(set[0], set[1]);
    order = order != 0 ? order : compare(a->program.choices_bytes, b->program.choices_bytes);
    return order != 0 ? order : compare(sum[0], sum[1]);
}

static int compare_arguments(const struct program *a, const struct program *b) {
    int order = 0;
    for (unsigned i = 0; i < a->operations && i < b->operations; i++) {
        const struct op *x = &a->operation[i], *y = &b->operation[i];
        const struct op_info *info = op_info(a->target, x->code);
        if (x->code != y->code) {
            return op_info(b->target, y->code)->arguments > info->arguments ? -1 : 1;
        }
        for (unsigned n = 0; n < info->arguments; n++) {
            enum op_kind kind = info->argument[n].kind;
            int one = compare(rank(kind, x->arg.raw[n]), rank(kind, y->arg.raw[n]));
            if (one > 0) {
                return 1; /* one is worse: no gain, whatever the others do */
            }
            order = one < 0 ? -1 : order;
        }
    }
    return order;
}

static bool has_twins(const struct program *p) {
    bool any = false;
    for (unsigned i = 0; i < p->operations; i++) {
        any |= is_create(p->operation[i].code) &&
               p->operation[i].arg.memory_create.twin != WORD_twin_none;
    }
    return any;
}

/* Fewer operations, threads, twins, preemptions, choices, simpler arguments: in this order. */
static bool is_gain(const struct trial *found) {
    const struct program *p = &found->program, *q = &best.program;
    const int orders[] = {compare(p->operations, q->operations),
                          compare(threads_of(p), threads_of(q)),
                          compare(thread_sum(p), thread_sum(q)),
                          compare(has_twins(p), has_twins(q)),
                          compare(found->preemptions, best.preemptions),
                          compare_arguments(p, q),
                          compare_choices(found, &best)};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        if (orders[i] != 0) {
            return orders[i] < 0;
        }
    }
    return false;
}

/* ---- Shrinking --------------------------------------------------------------------------------
 */

/* Takes every gain that the list offers. */
static bool pass(trial_candidate *candidate, unsigned schedules) {
    bool any = false;
    unsigned index = 0;
    settings.schedules = schedules;
    settings.same_too = candidate == other_schedules;
    while (!time_is_up()) {
        static struct trial found;
        static struct program from;
        found.choices_drawn = best.choices_drawn;
        from = best.program;
        if (!trial_search(&settings, candidate, is_gain, &from, best.name, best.operation, &index,
                          &found)) {
            break;
        }
        best = found;
        any = true;
    }
    return any;
}

static void shrink(void) {
    static const struct {
        trial_candidate *candidate;
        unsigned schedules;
    } passes[] = {
        {without_run, SCHEDULES},     {without_pair, SCHEDULES},    {joined, SCHEDULES},
        {on_other_thread, SCHEDULES}, {one_on_thread_0, SCHEDULES}, {plainer_create, 1},
        {fewer_choices, 1},           {other_schedules, SCHEDULES}, {simpler_argument, 8}};
    bool any = true;
    for (unsigned round = 0; any && round < ROUNDS_MAX; round++) {
        any = false;
        for (size_t i = 0; i < sizeof passes / sizeof passes[0]; i++) {
            any |= pass(passes[i].candidate, passes[i].schedules);
        }
    }
}

/* ---- Start and end ----------------------------------------------------------------------------
 */

/* Puts the finding to keep into `best`. False if the input does not break it, or nothing at all. */
static bool find_first(const struct program *program) {
    if (!trial_run(&settings, program, &best)) {
        fprintf(stderr, "shrink: cannot start a process to run the input in\n");
        return false;
    }
    unsetenv("SCHED"); /* from here on the choices are the program's own */
    if (option.name != NULL && strcmp(best.name, option.name) != 0) {
        unsigned index = 0;
        settings.schedules = SEARCHED_SCHEDULES;
        settings.same_too = true;
        best.choices_drawn = 64;
        static struct trial found;
        found.choices_drawn = best.choices_drawn;
        if (!interleave_wants(program) || !trial_search(&settings, other_schedules, NULL, program,
                                                        option.name, "", &index, &found)) {
            fprintf(stderr, "shrink: the input does not break %s%s%s here\n", option.name,
                    best.name[0] != '\0' ? ", but " : "", best.name);
            return false;
        }
        best = found;
    }
    if (best.name[0] == '\0') {
        fprintf(stderr, "shrink: the input breaks nothing here: there is nothing to shrink\n");
        return false;
    }
    return true;
}

static void print_comment(FILE *out, unsigned operations, const char *place) {
    fprintf(out, "# %s%s%s\n", best.name, place[0] != '\0' ? " at " : "", place);
    fprintf(out, "# shrunk from %u operations to %u\n", operations, best.program.operations);
}

/* The text form with the comment after its first line. */
static bool print_result(FILE *out, unsigned operations, const char *place) {
    char *text = NULL;
    size_t bytes = 0;
    FILE *memory = open_memstream(&text, &bytes);
    if (memory == NULL) {
        return false;
    }
    op_print(memory, &best.program);
    fclose(memory);
    char *line = text != NULL ? strchr(text, '\n') : NULL;
    if (line != NULL) {
        fprintf(out, "%.*s", (int)(line + 1 - text), text);
        print_comment(out, operations, place);
        fputs(line + 1, out);
    }
    free(text);
    return line != NULL && fflush(out) == 0 && !ferror(out);
}

static bool write_result(unsigned operations, const char *place) {
    char fresh[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s.%ld.new", option.to, (long)getpid());
    FILE *out = fopen(fresh, "w");
    bool good = out != NULL && print_result(out, operations, place);
    good = (out == NULL || fclose(out) == 0) && good && rename(fresh, option.to) == 0;
    if (!good) {
        fprintf(stderr, "shrink: %s: %s\n", option.to, strerror(errno));
        unlink(fresh);
    }
    return good;
}

static void on_stop(int number) {
    (void)number;
    stopped = 1;
}

static int run(const char *path) {
    static struct program program;
    if (!input_read("shrink", path, option.has_target ? &option.target : NULL, &program, NULL) ||
        !find_first(&program)) {
        return USAGE;
    }
    char place[TRIAL_PLACE_BYTES] = "";
    if (!option.key_only) {
        shrink();
    }
    if (strcmp(best.name, "timeout") != 0) {
        trial_place(&settings, &best.program, place);
    }
    if (option.key_only) {
        printf("%s\t%s\n", best.name, place);
        return 0;
    }
    fprintf(stderr, "shrink: %s: %u operations became %u, %llu runs in %.1f s\n", best.name,
            program.operations, best.program.operations, (unsigned long long)settings.trials,
            now_s() - began_s);
    bool good = option.to != NULL ? write_result(program.operations, place)
                                  : print_result(stdout, program.operations, place);
    return !good ? USAGE : stopped ? INTERRUPTED : 0;
}

static int usage(void) {
    fputs(
        "usage: shrink [-k] [-o FILE] [-n NAME] [-t TARGET] [-w MS] [-s SECONDS] INPUT\n"
        "  prints the smallest program that breaks the same rule. -k name and place only, -o to a\n"
        "  file, -n the finding to keep, -t target of an input in bytes, -w limit of a run, -s of\n"
        "  all. Status: 0 shrunk, 2 usage or an input that breaks nothing, 130 interrupted.\n",
        stderr);
    return USAGE;
}

static bool options_read(int argc, char **argv) {
    for (int c; (c = getopt(argc, argv, "kn:o:s:t:w:")) != -1;) {
        switch (c) {
        case 'k':
            option.key_only = true;
            break;
        case 'n':
            option.name = optarg;
            break;
        case 'o':
            option.to = optarg;
            break;
        case 's':
            option.seconds_max = strtod(optarg, NULL);
            break;
        case 't':
            option.has_target = op_target_by_name(optarg, &option.target);
            if (!option.has_target) {
                fprintf(stderr, "shrink: there is no target %s\n", optarg);
                return false;
            }
            break;
        case 'w':
            option.milliseconds_max = (unsigned)strtoul(optarg, NULL, 10);
            break;
        default:
            return false;
        }
    }
    if (!(option.seconds_max > 0) || option.milliseconds_max == 0) {
        fprintf(stderr, "shrink: -s wants seconds, -w milliseconds, above 0\n");
        return false;
    }
    return optind + 1 == argc;
}

int main(int argc, char **argv) {
    if (!options_read(argc, argv)) {
        return usage();
    }
    settings = (struct trial_settings){.subject = subject_chosen(),
                                       .milliseconds_max = option.milliseconds_max,
                                       .schedules = 1,
                                       .stop = time_is_up};
    if (settings.subject == NULL || !interleave_ready()) {
        return USAGE;
    }
    began_s = now_s();
    struct sigaction action = {.sa_handler = on_stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return run(argv[optind]);
}
