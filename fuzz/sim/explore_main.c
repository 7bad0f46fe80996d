/* explore_main.c: the driver of `make explore` (scripts/explore.py builds and calls it): runs a
 * program's main under the engine until a finding or the end of the time, shrinks the schedule, and
 * writes what was found.
 *
 *   explore --out=FOLDER [--sched=all|bytes|uniform|pct|pos|feedback|exhaustive] [--seconds=N]
 *           [--seed=N] [--replay=FILE] [--KEY=N for the keys of `settings` below]
 *
 * FOLDER gets result.json, and with a finding schedule.txt and trace.json. Exit status:
 * 0 nothing found, 1 a finding, 2 usage or set-up, 3 inconclusive, 130 interrupted. --sched=bytes
 * needs libFuzzer (its library without a main) among the linked objects. */
#include "posix.h"
#include "sites.h"
#include "trace_json.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/single_threaded.h>
#include <sys/time.h>
#include <unistd.h>

int sim_subject_main(int argc, char **argv, char **environment); /* the program's main, renamed */

/* The program's sections, by the linker's names (renamed when the program was built). */
extern char __start_sim_text[] __attribute__((weak)), __stop_sim_text[] __attribute__((weak));
extern char __start_sim_data[] __attribute__((weak)), __stop_sim_data[] __attribute__((weak));
extern char __start_sim_bss[] __attribute__((weak)), __stop_sim_bss[] __attribute__((weak));

/* The same for libstdc++, if it is linked: it has state too, and keeps blocks of a run's heap. */
extern char sim_library_data_first[] __attribute__((weak)),
    sim_library_data_last[] __attribute__((weak));
extern char sim_library_bss_first[] __attribute__((weak)),
    sim_library_bss_last[] __attribute__((weak));

static struct sim_options options;
static const char *out_folder, *sched = "all", *replay_file;
static double seconds_max = 60;
static uint64_t seed_first = 1, executions_max;
static unsigned loop_max, repeats_max, reduce; /* of a search */
static unsigned processes = 1, shrink_runs = 4000;
static volatile int stop_asked;
static bool sites_wanted;
static bool spurious_given; /* otherwise spurious is 1 at random and 0 in the exhaustive search */

#define ARGUMENTS_MAX 64
static char *program_argv[ARGUMENTS_MAX + 2] = {(char *)(uintptr_t) "program"};
static struct sim_program program = {sim_subject_main, 1, program_argv};

struct outcome {
    const char *finding;
    char detail[3000];
    uint16_t *choices;
    size_t choices_n, choices_found;
    uint64_t executions, graphs, blocked, pruned, steps, cut;
    char cuts[1024]; /* of a search: what was cut, and where */
    unsigned bounds, shrink_runs;
    bool complete, interrupted;
    unsigned reduced; /* enum sim_reduction bits */
    double seconds;
    struct sim_options options; /* that led to the finding */
    char error[256];
};
static struct outcome outcome;
static double started;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static _Noreturn void die(const char *format, const char *what) {
    fprintf(stderr, "explore: ");
    fprintf(stderr, format, what);
    fputc('\n', stderr);
    exit(2);
}

/* ---- The program's data, also what libc writes into it, is restored before each run ---------- */

struct image {
    char *start, *copy;
    size_t size;
};
static struct image images[4];

static void image_save(struct image *i, char *start, char *end) {
    i->start = start;
    i->size = (size_t)(end - start);
    i->copy = i->size ? malloc(i->size) : NULL;
    if (i->size && !i->copy) {
        die("%s", "not enough memory for a copy of the program's globals: make them smaller");
    }
    if (i->size) {
        memcpy(i->copy, start, i->size);
    }
}

static void run_program(void *arg) {
    for (unsigned k = 0; k < 4; k++) {
        if (images[k].size) {
            memcpy(images[k].start, images[k].copy, images[k].size);
        }
    }
    sim_posix_main(arg);
}

/* ---- Crashes and endless loops inside the program become findings ---------------------------- */

#define TICK_US 100000
static unsigned ticks_max = 20, still_ticks; /* in ticks of processor time without a step */

static const struct {
    int signal;
    const char *finding;
} crashes[] = {{SIGSEGV, "segmentation-fault"},
               {SIGBUS, "bus-error"},
               {SIGFPE, "arithmetic-fault"},
               {SIGILL, "illegal-instruction"},
               {SIGTRAP, "trap"}};

static uintptr_t pc_of(const void *context) {
    const ucontext_t *u = context;
#if defined(__x86_64__)
    return (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
#else
    return (uintptr_t)u->uc_mcontext.pc;
#endif
}

static void stack_text(char *out, size_t n, uintptr_t pc) {
    describe_stack(out, n, pc + 1, S.now->frame);
}

static void on_crash(int number, siginfo_t *info, void *context) {
    uintptr_t at = (uintptr_t)info->si_addr, pc = pc_of(context);
    const char *name = "crash";
    char stack[500];
    if (!S.active) {
        signal(number, SIG_DFL);
        fprintf(stderr, "explore: signal %d outside a run, at %p\n", number, (void *)pc);
        raise(number);
        return;
    }
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        if (crashes[i].signal == number) {
            name = crashes[i].finding;
        }
    }
    stack_text(stack, sizeof stack, pc);
    if (number == SIGSEGV && at - ((uintptr_t)S.now->stack - 65536) < 65536) {
        found("stack-overflow", "T%u used more than its %zu bytes of stack%s", S.now->id,
              S.o.stack_bytes, stack);
    }
    found(name, "T%u: signal %d, address %p%s", S.now->id, number, (void *)at, stack);
}

static void start_ticks(void);

/* The running thread makes no step. Its next access will name the variable; if it makes none before
 * the next call of this, report the place instead. */
static void tell_endless(uintptr_t pc) {
    bool inside =
        pc - (uintptr_t)__start_sim_text < (uintptr_t)__stop_sim_text - (uintptr_t)__start_sim_text;
    if (!S.watch || !inside) {
        S.watch = 1;
        return;
    }
    still_ticks = 0;
    ticks_max = 3; /* traced again, it is known to be endless: no need to wait as long */
    start_ticks();
    char stack[500];
    stack_text(stack, sizeof stack, pc);
    found("endless-loop", "T%u runs on without any atomic access, call or other visible step%s",
          S.now->id, stack);
}

/* A loop without a visible step offers no scheduling point: only a timer notices it. */
static void on_tick(int number, siginfo_t *info, void *context) {
    static uint32_t run, step, turns;
    (void)number;
    (void)info;
    /* A switch away from a loop of plain accesses counts as a step, but is no progress. */
    bool moved = !S.active || run != S.generation || step != S.steps - (S.quiet_turns - turns);
    run = S.generation;
    step = S.steps;
    turns = S.quiet_turns;
    still_ticks = moved ? 0 : still_ticks + 1;
    if (still_ticks >= ticks_max) {
        tell_endless(pc_of(context));
    }
}

static void on_stop(int number) {
    (void)number;
    stop_asked = 1;
}

static void catch_signal(int number, void (*handler)(int, siginfo_t *, void *)) {
    struct sigaction a = {.sa_sigaction = handler,
                          .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
    sigaction(number, &a, NULL);
}

static void start_ticks(void) {
    suseconds_t us = ticks_max > 3 ? TICK_US : TICK_US / 5;
    struct itimerval tick = {{0, us}, {0, us}};
    setitimer(ITIMER_PROF, &tick, NULL);
}

/* ---- The end of the time, whatever the program is doing -------------------------------------- */

static enum { SEARCHING, CONCLUDING } phase;
static pid_t first_process;

static int conclude(void);
static void write_late(void);

static void alarm_in(double seconds) {
    struct itimerval once = {.it_value = {(time_t)seconds, (suseconds_t)(seconds * 1e6) % 1000000}};
    if (seconds > 0) {
        setitimer(ITIMER_REAL, &once, NULL);
    }
}

static void on_alarm(int number, siginfo_t *info, void *context) {
    static unsigned overtime;
    (void)number;
    (void)info;
    if (getpid() != first_process) {
        _exit(3);
    }
    if (phase == SEARCHING && S.active && still_ticks >= 3 && overtime < 2) {
        overtime++; /* the run is stuck: find out where */
        alarm_in(0.5);
        tell_endless(pc_of(context));
        return;
    }
    S.active = false; /* the current run is abandoned */
    if (phase == SEARCHING) {
        outcome.cut += 1;
        outcome.bounds |= SIM_BOUND_STEPS;
        _exit(conclude());
    }
    write_late();
    _exit(1);
}

static void in_child(void) {
    start_ticks();
    alarm_in(seconds_max - (now_s() - started) + 2);
}

static void handlers_setup(void) {
    static char stack[65536];
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternative, NULL);
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        catch_signal(crashes[i].signal, on_crash);
    }
    catch_signal(SIGPROF, on_tick);
    start_ticks();
    catch_signal(SIGALRM, on_alarm);
    first_process = getpid();
    pthread_atfork(NULL, NULL, in_child); /* timers are not inherited by child processes */
    signal(SIGINT, on_stop);
    signal(SIGTERM, on_stop);
}

/* ---- Settings that a schedule depends on ----------------------------------------------------- */

static const struct {
    const char *key;
    unsigned *value;
} settings[] = {{"spurious", &options.spurious_max},
                {"timeouts", &options.timeouts_max},
                {"faults", &options.faults_max},
                {"preemptions", &options.preemptions_max},
                {"threads", &options.threads_max},
                {"steps", &options.steps_max},
                {"messages", &options.messages_max},
                {"stale", &options.stale_max},
                {"loop", &loop_max},
                {"repeats", &repeats_max}};
static const struct {
    const char *key;
    bool *value;
} switches[] = {{"cas_weak", &options.cas_weak},
                {"c11_release_sequence", &options.c11_release_sequence},
                {"refuse_mixed", &options.refuse_mixed},
                {"ignore_races", &options.ignore_races},
                {"check_uninitialised", &options.check_uninitialised},
                {"refuse_allocations", &options.refuse_allocations},
                {"unjoined_is_leak", &options.unjoined_is_leak}};

static bool set_option(const char *key, unsigned long value) {
    spurious_given |= !strcmp(key, "spurious");
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        if (!strcmp(settings[i].key, key)) {
            *settings[i].value = value > UINT_MAX ? UINT_MAX : (unsigned)value;
            return true;
        }
    }
    unsigned bit = sim_reduction(key);
    if (bit && value <= 1) {
        reduce = value ? reduce | bit : reduce & ~bit;
        return true;
    }
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        if (!strcmp(switches[i].key, key) && value <= 1) {
            *switches[i].value = value != 0;
            return true;
        }
    }
    return false;
}

static _Noreturn void die_of_option(const char *argument) {
    fprintf(stderr, "explore: SET=%s: no such setting or value; the settings are",
            argument + (strncmp(argument, "--", 2) ? 0 : 2));
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        fprintf(stderr, " %s=N", settings[i].key);
    }
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        fprintf(stderr, " %s=0|1", switches[i].key);
    }
    fputs(" locks=0|1 barriers=0|1 symmetric=0|1", stderr);
    fputc('\n', stderr);
    exit(2);
}

/* ---- Schedules as files ---------------------------------------------------------------------- */

static FILE *open_out(const char *name) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", out_folder, name);
    FILE *f = fopen(path, "w");
    if (!f) {
        perror(path);
        exit(2);
    }
    return f;
}

static void close_out(FILE *f, const char *name) {
    if (ferror(f) | fclose(f)) {
        fprintf(stderr, "explore: %s/%s could not be written: %s\n", out_folder, name,
                strerror(errno));
        exit(2);
    }
}

static void write_schedule(void) {
    FILE *f = open_out("schedule.txt");
    fprintf(f, "sim-schedule 1\nfinding %s\n", outcome.finding);
    options = outcome.options;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        fprintf(f, "set %s %u\n", settings[i].key, *settings[i].value);
    }
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        fprintf(f, "set %s %d\n", switches[i].key, *switches[i].value);
    }
    fprintf(f, "choices");
    for (size_t i = 0; i < outcome.choices_n; i++) {
        fprintf(f, " %u", outcome.choices[i]);
    }
    fputc('\n', f);
    close_out(f, "schedule.txt");
}

static void read_choices(FILE *f) {
    unsigned long c;
    int got;
    while ((got = fscanf(f, "%lu", &c)) == 1) {
        if (c > UINT16_MAX || outcome.choices_n >= CHOICES_MAX) {
            die("%s: a choice is too large, or there are too many", replay_file);
        }
        outcome.choices[outcome.choices_n++] = (uint16_t)c;
    }
    if (got == 0) {
        die("%s: one of the choices is not a number", replay_file);
    }
}

/* Reads the schedule and returns the name of its finding. */
static const char *read_schedule(void) {
    static char wanted[64];
    char word[32], key[32];
    unsigned long value;
    int version;
    FILE *f = fopen(replay_file, "r");
    if (!f) {
        perror(replay_file);
        exit(2);
    }
    if (fscanf(f, "sim-schedule %d finding %63s", &version, wanted) != 2 || version != 1) {
        die("%s is not a schedule (its first line would be: sim-schedule 1)", replay_file);
    }
    while (fscanf(f, "%31s", word) == 1) {
        if (!strcmp(word, "choices")) {
            read_choices(f);
            fclose(f);
            return wanted;
        }
        if (strcmp(word, "set") != 0 || fscanf(f, "%31s %lu", key, &value) != 2 ||
            !set_option(key, value)) {
            die("%s: a line that is neither `set KEY NUMBER` nor `choices ...`", replay_file);
        }
    }
    die("%s ends without its choices: it is truncated", replay_file);
}

/* ---- What was found -------------------------------------------------------------------------- */

/* Does the text name the place of a volatile access? */
static bool names_volatile(const char *text) {
    for (const char *p = text; (p = strchr(p, '@')); p++) {
        if (is_volatile_access((uintptr_t)strtoull(p + 1, NULL, 16))) {
            return true;
        }
    }
    return false;
}

static void write_result(void) {
    const struct outcome *o = &outcome;
    FILE *f = open_out("result.json");
    fprintf(f, "{\"finding\":");
    if (o->finding) {
        sim_json_string(f, o->finding);
    } else {
        fputs("null", f);
    }
    fputs(",\"detail\":", f);
    sim_json_string(f, o->detail);
    fputs(",\"error\":", f);
    sim_json_string(f, o->error);
    fputs(",\"cuts\":", f);
    sim_json_string(f, o->cuts);
    fprintf(f, ",\"blocked\":%llu", (unsigned long long)o->blocked);
    fprintf(f, ",\"reduced\":\"%s\"", sim_reductions_text(o->reduced));
    fprintf(f, ",\"volatile\":%s", names_volatile(o->detail) ? "true" : "false");
    fprintf(f,
            ",\"executions\":%llu,\"graphs\":%llu,\"pruned\":%llu,\"steps\":%llu,\"cut\":%llu,"
            "\"seconds\":%.6f,\"bounds\":%u,\"complete\":%s,\"interrupted\":%s,"
            "\"choices_found\":%zu,\"choices\":%zu,\"shrink_runs\":%u,\"seed\":%llu}\n",
            (unsigned long long)o->executions, (unsigned long long)o->graphs,
            (unsigned long long)o->pruned, (unsigned long long)o->steps, (unsigned long long)o->cut,
            o->seconds, o->bounds, o->complete ? "true" : "false",
            o->interrupted ? "true" : "false", o->choices_found, o->choices_n, o->shrink_runs,
            (unsigned long long)seed_first);
    close_out(f, "result.json");
}

/* Runs the kept schedule once more, with a trace. */
static const char *run_traced(void) {
    struct sim_result r;
    struct sim_options o = outcome.options;
    o.source = SIM_REPLAY;
    o.choices = outcome.choices;
    o.choices_n = outcome.choices_n;
    o.trace = o.trace_plain = true;
    const char *finding = sim_run(&o, run_program, &program, &r);
    sim_posix_settle();
    size_t used = (size_t)snprintf(outcome.detail, sizeof outcome.detail, "%s", r.detail);
    if (used + 1 < sizeof outcome.detail && used && outcome.detail[used - 1] != '\n') {
        outcome.detail[used++] = '\n';
    }
    bool stuck = finding && (!strcmp(finding, "deadlock") || !strcmp(finding, "lost-wakeup") ||
                             !strcmp(finding, "leaked-thread") || !strcmp(finding, "livelock"));
    if (stuck) {
        sim_posix_describe(outcome.detail, sizeof outcome.detail);
    }
    return finding;
}

static void write_trace(void) {
    FILE *f = open_out("trace.json");
    sim_trace_json(f);
    close_out(f, "trace.json");
}

/* Shrinks the schedule, for about two seconds at most. */
static void shrink(void) {
    struct sim_options o = outcome.options;
    o.source = SIM_REPLAY;
    o.choices = outcome.choices;
    o.choices_n = outcome.choices_n;
    outcome.choices_found = outcome.choices_n;
    if (!strcmp(outcome.finding, "endless-loop")) {
        return; /* each run would take as long as the timer */
    }
    double before = now_s();
    sim_run(&o, run_program, &program, NULL);
    double each = now_s() - before;
    unsigned runs = each * shrink_runs < 2 ? shrink_runs : (unsigned)(2 / each);
    outcome.shrink_runs = sim_shrink(&o, run_program, &program, outcome.finding, outcome.choices,
                                     &outcome.choices_n, runs);
}

static void write_late(void) {
    snprintf(outcome.error, sizeof outcome.error,
             "time ran out before the schedule was shrunk and traced: raise TIME=");
    write_schedule();
    write_result();
}

/* ---- Findings that are reported only if there is no other ---------------------------------------
 *
 * A thread that was not joined (preferably one that spins for ever), and a call that is not
 * simulated. */

static struct leak {
    char name[24];
    char text[800];
    struct sim_options options;
    size_t choices_n;
    uint16_t choices[CHOICES_MAX];
} * leak; /* shared with the processes of a search */

static const char *leak_wanted; /* set by a replay */

static unsigned weight_of(const char *name) {
    static const char *const kept[] = {"", "unsupported-call", "leaked-thread", "livelock"};
    unsigned i = sizeof kept / sizeof kept[0] - 1;
    while (i && strcmp(name, kept[i]) != 0) {
        i--;
    }
    return i;
}

static bool keep_leak(const char *name, const char *text) {
    if (leak_wanted && !strcmp(leak_wanted, name)) {
        return false;
    }
    if (weight_of(name) <= weight_of(leak->name)) {
        return true;
    }
    snprintf(leak->name, sizeof leak->name, "%s", name);
    snprintf(leak->text, sizeof leak->text, "%s", text);
    leak->options = S.o;
    if (S.exploring) {
        leak->choices_n = explore_choices(leak->choices, CHOICES_MAX);
    } else {
        leak->choices_n = S.choices_n;
        memcpy(leak->choices, S.choices, S.choices_n * sizeof *S.choices);
    }
    return true;
}

static void keep_leaks(void) {
    leak = mmap(NULL, sizeof *leak, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (leak == MAP_FAILED) {
        die("%s", "not enough memory");
    }
    S.leak = keep_leak;
}

static void report_leak(void) {
    if (outcome.finding || !leak || !leak->name[0]) {
        return;
    }
    outcome.finding = leak->name;
    snprintf(outcome.detail, sizeof outcome.detail, "%s", leak->text);
    outcome.options = leak->options;
    outcome.choices_n = leak->choices_n;
    memcpy(outcome.choices, leak->choices, leak->choices_n * sizeof *leak->choices);
}

/* Nothing was found, but was too much cut for that to mean anything? */
static bool inconclusive(void) {
    if (!strcmp(sched, "exhaustive")) {
        return !outcome.complete;
    }
    bool limit = outcome.bounds & (SIM_BOUND_MEMORY | SIM_BOUND_THREADS);
    return limit || outcome.cut * 2 >= outcome.executions;
}

/* True if what is reported is a limit of the engine, not a finding. */
static bool is_limit(void) {
    return outcome.finding && !strcmp(outcome.finding, "unsupported-call");
}

static int conclude(void) {
    phase = CONCLUDING;
    S.leak = keep_leak; /* in case time ran out while they were ignored */
    outcome.seconds = now_s() - started;
    report_leak();
    if (outcome.finding) {
        leak_wanted = outcome.finding;
    }
    double left = seconds_max - outcome.seconds;
    alarm_in(2.5 + (left > 0 ? left : 0));
    if (outcome.finding) {
        if (!replay_file) {
            shrink();
        }
        const char *again = run_traced();
        if (!again || strcmp(again, outcome.finding) != 0) {
            snprintf(outcome.error, sizeof outcome.error,
                     "the schedule led to %s when it was run again: the program depends on "
                     "something that the engine does not control",
                     again ? again : "no finding");
        }
        write_schedule();
        write_trace();
    }
    write_result();
    if (sites_wanted) {
        FILE *f = open_out("sites.json");
        sim_sites_json(f);
        close_out(f, "sites.json");
    }
    alarm_in(0);
    if (outcome.finding) {
        return is_limit() ? 3 : 1;
    }
    return outcome.error[0] ? 2 : outcome.interrupted ? 130 : inconclusive() ? 3 : 0;
}

static void keep_finding(const struct sim_result *r, const struct sim_options *o) {
    outcome.finding = r->finding;
    snprintf(outcome.detail, sizeof outcome.detail, "%s", r->detail);
    outcome.options = *o;
    outcome.choices_n = r->choices_n;
    memcpy(outcome.choices, r->choices, r->choices_n * sizeof *r->choices);
}

static void count(const struct sim_result *r) {
    outcome.executions++;
    outcome.steps += r->steps;
    outcome.bounds |= r->bounds;
    outcome.cut += (r->bounds &
                    (SIM_BOUND_STEPS | SIM_BOUND_MEMORY | SIM_BOUND_THREADS | SIM_BOUND_CALL)) != 0;
}

/* ---- The ways to search ---------------------------------------------------------------------- */

/* The settings of random run i, which depend only on SEED and i. Sources take turns, PCT with
 * depths 2 to 5. Every other run has no spurious wake-ups, because they can hide a lost wake-up. A
 * few runs let a thread that sees nothing new go on for long, so that bounded loops can run out. */
static void schedule_of(uint64_t i, struct sim_options *o) {
    static const enum sim_source turns[] = {SIM_UNIFORM,  SIM_FEEDBACK, SIM_POS,
                                            SIM_FEEDBACK, SIM_PCT,      SIM_FEEDBACK};
    enum { TURNS = sizeof turns / sizeof turns[0] };
    o->source = !strcmp(sched, "uniform")    ? SIM_UNIFORM
                : !strcmp(sched, "pct")      ? SIM_PCT
                : !strcmp(sched, "pos")      ? SIM_POS
                : !strcmp(sched, "feedback") ? SIM_FEEDBACK
                                             : turns[i % TURNS];
    o->spurious_max = i / TURNS % 2 ? options.spurious_max : 0;
    o->pct_depth = 2 + (unsigned)(i / TURNS / 2 % 4);
    uint64_t turn = i / TURNS % 16;
    o->stale_max = turn == 15      ? 80 * options.stale_max
                   : turn % 4 == 3 ? 8 * options.stale_max
                                   : options.stale_max;
    o->seed = seed_first * UINT64_C(0x9E3779B97F4A7C15) + i;
}

static void progress(double *last) {
    double now = now_s();
    if (now - *last < 0.5) {
        return;
    }
    *last = now;
    if (!isatty(2)) {
        return;
    }
    fprintf(stderr, "\r  %.0f/%.0f s  %llu executions, %.0f a second ", now - started, seconds_max,
            (unsigned long long)outcome.executions, (double)outcome.executions / (now - started));
}

/* After so many runs that all reached a call that is not simulated, more runs would be useless. */
enum { HOPELESS = 1000 };

static bool nothing_ends(void) {
    return (outcome.bounds | SIM_BOUND_WIDE) == (SIM_BOUND_CALL | SIM_BOUND_WIDE) &&
           outcome.cut >= outcome.executions;
}

/* Runs until so many seconds after the start, or a finding; continues where it stopped. */
static void search_random(double seconds) {
    static uint64_t runs;
    struct sim_options o = options;
    struct sim_result r;
    double last = started;
    while (!stop_asked && now_s() - started < seconds) {
        if (executions_max && runs >= executions_max) {
            break;
        }
        schedule_of(runs++, &o);
        sim_run(&o, run_program, &program, &r);
        count(&r);
        if (r.finding) {
            keep_finding(&r, &o);
            break;
        }
        if (runs == HOPELESS && nothing_ends()) {
            break;
        }
        progress(&last);
    }
    if (isatty(2) && last > started) {
        fprintf(stderr, "\r%60s\r", "");
    }
    outcome.interrupted = stop_asked;
}

static struct sim_explored *explored(double seconds, struct sim_explore_options *used) {
    struct sim_explore_options e = sim_explore_options_default();
    static struct sim_explored d;
    e.run = options;
    if (!spurious_given) {
        e.run.spurious_max = 0;
    }
    e.processes = processes;
    e.stop = &stop_asked;
    e.seconds_max = seconds;
    e.executions_max = executions_max;
    e.progress = isatty(2);
    e.loop_max = loop_max;
    e.repeats_max = repeats_max;
    e.reduce = reduce;
    sim_explore(&e, run_program, &program, &d);
    outcome.executions += d.executions;
    outcome.steps += d.steps;
    outcome.graphs = d.graphs;
    outcome.blocked = d.blocked;
    outcome.pruned = d.dead_ends;
    outcome.reduced = d.reduced;
    outcome.complete = d.complete;
    outcome.interrupted = stop_asked && !d.complete;
    *used = e;
    return &d;
}

static void keep_explored(const struct sim_explored *d, const struct sim_explore_options *e) {
    outcome.finding = d->finding;
    snprintf(outcome.detail, sizeof outcome.detail, "%s", d->detail);
    outcome.options = e->run;
    outcome.choices_n = d->choices_n;
    memcpy(outcome.choices, d->choices, d->choices_n * sizeof d->choices[0]);
}

static void search_exhaustive(void) {
    struct sim_explore_options e;
    const struct sim_explored *d = explored(seconds_max, &e);
    outcome.cut = d->cut;
    sim_explored_cuts(d, outcome.cuts, sizeof outcome.cuts);
    sim_symbolise(outcome.cuts, sizeof outcome.cuts);
    outcome.bounds = d->bounds;
    snprintf(outcome.error, sizeof outcome.error, "%s", d->error);
    if (d->finding) {
        keep_explored(d, &e);
    }
}

static bool ignore_leak(const char *name, const char *text) {
    (void)name, (void)text;
    return true;
}

/* A third of the time at random; then exhaustively for a third, which completes small programs and
 * finds bugs that one schedule in a million shows; then at random again. Limits of the exhaustive
 * search are not reported here. */
static void search_all(void) {
    search_random(seconds_max / 3);
    if (outcome.finding || stop_asked || executions_max || nothing_ends()) {
        return;
    }
    struct sim_explore_options e;
    S.leak = ignore_leak;
    const struct sim_explored *d = explored(seconds_max / 3, &e);
    S.leak = keep_leak;
    if (d->finding) {
        keep_explored(d, &e);
    } else if (!d->complete) {
        search_random(seconds_max);
    }
}

/* libFuzzer chooses the bytes; its coverage is the pairs of write site and read site. It ends the
 * process. */
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*run)(const uint8_t *, size_t))
    __attribute__((weak));

static void at_end(void) {
    outcome.interrupted = stop_asked;
    _exit(conclude());
}

static int run_bytes(const uint8_t *data, size_t n) {
    struct sim_result r;
    options.bytes = data;
    options.bytes_n = n;
    sim_run(&options, run_program, &program, &r);
    count(&r);
    if (r.finding) {
        keep_finding(&r, &options);
        _exit(conclude());
    }
    if (stop_asked || (executions_max && outcome.executions >= executions_max)) {
        at_end();
    }
    return 0;
}

static _Noreturn void search_bytes(char **argv) {
    char seconds[40], seed[40], prefix[PATH_MAX + 24];
    char *arguments[] = {argv[0],
                         seconds,
                         seed,
                         prefix,
                         (char *)(uintptr_t) "-max_len=4096",
                         (char *)(uintptr_t) "-len_control=20",
                         (char *)(uintptr_t) "-verbosity=0",
                         (char *)(uintptr_t) "-handle_segv=0",
                         (char *)(uintptr_t) "-handle_bus=0",
                         (char *)(uintptr_t) "-handle_ill=0",
                         (char *)(uintptr_t) "-handle_fpe=0",
                         (char *)(uintptr_t) "-handle_int=0",
                         (char *)(uintptr_t) "-handle_term=0",
                         NULL};
    char **list = arguments;
    int n = (int)(sizeof arguments / sizeof arguments[0]) - 1;
    if (!LLVMFuzzerRunDriver) {
        die("%s", "--sched=bytes: libFuzzer was not linked; use `make explore SCHED=bytes`");
    }
    snprintf(seconds, sizeof seconds, "-max_total_time=%.0f", seconds_max);
    snprintf(seed, sizeof seed, "-seed=%u", (unsigned)seed_first);
    snprintf(prefix, sizeof prefix, "-artifact_prefix=%s/", out_folder);
    options.source = SIM_BYTES;
    options.coverage = true;
    atexit(at_end);
    LLVMFuzzerRunDriver(&n, &list, run_bytes);
    exit(0);
}

static void search_replay(void) {
    const char *wanted = read_schedule();
    leak_wanted = wanted;
    outcome.options = options;
    const char *finding = run_traced();
    outcome.executions = 1;
    outcome.finding = finding;
    if (!finding || strcmp(finding, wanted) != 0) {
        fprintf(stderr, "explore: the schedule was made for %s; it now leads to %s\n", wanted,
                finding ? finding : "no finding");
    }
}

/* ---- Set-up ---------------------------------------------------------------------------------- */

static unsigned long number_of(const char *argument, const char *text) {
    char *end;
    errno = 0;
    unsigned long n = strtoul(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || errno) {
        die("%s: the value must be a number", argument);
    }
    return n;
}

/* Parses PC:KIND:ORDER, numbers of enum site_kind and __ATOMIC_*. */
static void read_order(const char *text) {
    unsigned long pc;
    unsigned kind, order;
    if (sscanf(text, "%lu:%u:%u", &pc, &kind, &order) != 3 || kind > SITE_FENCE || order > 5) {
        die("--order=%s: the value must be PC:KIND:ORDER", text);
    }
    sim_site_set(pc, kind, (int)order);
}

static void read_argument(const char *argument) {
    char key[32];
    const char *value = strchr(argument, '=');
    if (strncmp(argument, "--", 2) != 0 || !value || (size_t)(value - argument) - 2 >= sizeof key) {
        die_of_option(argument);
    }
    size_t n = (size_t)(value - argument) - 2;
    memcpy(key, argument + 2, n);
    key[n] = 0;
    value++;
    if (!strcmp(key, "out")) {
        out_folder = value;
    } else if (!strcmp(key, "sched")) {
        sched = value;
    } else if (!strcmp(key, "argument")) {
        if (program.argc > ARGUMENTS_MAX) {
            die("%s: too many arguments for the program", value);
        }
        program_argv[program.argc++] = (char *)(uintptr_t)value;
    } else if (!strcmp(key, "sites")) {
        S.sites = sites_wanted = true;
    } else if (!strcmp(key, "order")) {
        read_order(value);
    } else if (!strcmp(key, "input")) {
        sim_posix_input();
    } else if (!strcmp(key, "polls")) {
        sim_posix_tell_polls();
    } else if (!strcmp(key, "tryjoin")) {
        sim_posix_tell_ends();
    } else if (!strcmp(key, "replay")) {
        replay_file = value;
    } else if (!strcmp(key, "seconds")) {
        seconds_max = (double)number_of(argument, value);
    } else if (!strcmp(key, "seed")) {
        seed_first = number_of(argument, value);
    } else if (!strcmp(key, "executions")) {
        executions_max = number_of(argument, value);
    } else if (!strcmp(key, "processes")) {
        processes = (unsigned)number_of(argument, value);
    } else if (!strcmp(key, "shrink")) {
        shrink_runs = (unsigned)number_of(argument, value);
    } else if (!set_option(key, number_of(argument, value))) {
        die_of_option(argument);
    }
}

/* Turns address randomisation off, so that a schedule leads to the same run in every process. */
static void fix_addresses(char **argv) {
    int old = personality(0xffffffff);
    if (old != -1 && !(old & ADDR_NO_RANDOMIZE) &&
        personality((unsigned long)old | ADDR_NO_RANDOMIZE) != -1) {
        execv("/proc/self/exe", argv); /* if that fails: continue without */
    }
}

static void setup(char **argv) {
    fix_addresses(argv);
    __libc_single_threaded = 0; /* otherwise libstdc++ would replace atomics by plain accesses */
    options = sim_options_default();
    options.spurious_max = 1;
    options.heap_bytes = (size_t)4 << 30;
    options.pages_bytes = (size_t)1 << 30;
    options.page_size = 4096;
    options.stack_bytes = (size_t)8 << 20; /* the default on Linux */
    options.refuse_allocations = true;
    for (char **a = argv + 1; *a; a++) {
        read_argument(*a);
    }
    if (!out_folder) {
        die("%s", "--out=FOLDER is missing");
    }
    outcome.choices = malloc(CHOICES_MAX * sizeof *outcome.choices);
    if (!outcome.choices) {
        die("%s", "not enough memory");
    }
    image_save(&images[0], __start_sim_data, __stop_sim_data);
    image_save(&images[1], __start_sim_bss, __stop_sim_bss);
    image_save(&images[2], sim_library_data_first, sim_library_data_last);
    image_save(&images[3], sim_library_bss_first, sim_library_bss_last);
    handlers_setup();
    started = now_s();
    alarm_in(seconds_max + 0.5);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        die("%s", "usage: explore --out=FOLDER ...; `make explore SRC=file.c` calls it");
    }
    setup(argv);
    keep_leaks();
    if (replay_file) {
        search_replay();
    } else if (!strcmp(sched, "exhaustive")) {
        search_exhaustive();
    } else if (!strcmp(sched, "bytes")) {
        search_bytes(argv);
    } else if (!strcmp(sched, "all")) {
        search_all();
    } else if (!strcmp(sched, "uniform") || !strcmp(sched, "pct") || !strcmp(sched, "pos") ||
               !strcmp(sched, "feedback")) {
        search_random(seconds_max);
    } else {
        die("--sched=%s: the value must be one of all, bytes, uniform, pct, pos, feedback, "
            "exhaustive",
            sched);
    }
    return conclude();
}
