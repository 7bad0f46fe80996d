/* verify.c: searches every schedule of the scenarios: `build/sim/verify [options] [name...]`; with
 * --speed it runs them with random bytes instead and says how many it does a second.
 *
 * Prints one JSON object a line for each scenario on standard output, progress on standard error.
 * Exit status: 0 all complete and clean, 1 a finding or an incomplete search, 2 usage,
 * 130 interrupted (the scenario under way is saved where --checkpoint says). */
#include "interleave.h"
#include "pairs.h"
#include "scenarios.h"

#include "sim.h"
#include "sites.h"

#include <cjson/cJSON.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;
static volatile int stop;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
    stop = 1;
}

static const char usage[] =
    "usage: verify [--list] [--pairs] [--processes N] [--seconds N] [--set KEY=1] [--checkpoint "
    "FOLDER]\n"
    "              [--quiet] [--speed SECONDS] [--sites FILE] [--order PC:KIND:ORDER]... "
    "[name...]\n"
    "Searches the named scenarios (default: all that --list prints) exhaustively, and the named\n"
    "pairs, which --pairs lists, up to 4,000 executions each. --seconds bounds each of them,\n"
    "--set locks=1 and --set barriers=1 make fewer graphs of the same program. --speed: "
    "executions\n"
    "a second of one core, choices from bytes as a fuzzer would give them, no trace, no search.\n"
    "--checkpoint keeps a search that was stopped; the same build goes on with it.\n"
    "--sites writes the places of atomic accesses that were seen, --order changes the order of "
    "one.\n";

struct arguments {
    unsigned processes;
    double seconds;
    unsigned reduce; /* enum sim_reduction bits */
    const char *checkpoint;
    const char *sites; /* where --sites writes */
    bool quiet;
    long speed_s; /* 0: search */
};

/* A whole number in a sane range, or the usage. */
static long number(const char *text, const char *option) {
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 0 || value > 1000000) {
        fprintf(stderr, "verify: %s takes a whole number from 0 to 1000000, not '%s'\n", option,
                text);
        exit(2);
    }
    return value;
}

/* KEY=1 or KEY=0 */
static void set_reduction(struct arguments *arguments, const char *text) {
    char key[32] = "";
    unsigned value = 2;
    unsigned bit = sscanf(text, "%31[a-z]=%u", key, &value) == 2 ? sim_reduction(key) : 0;
    if (bit == 0 || value > 1) {
        fprintf(stderr, "verify: --set takes locks=0|1 or barriers=0|1, not '%s'\n", text);
        exit(2);
    }
    arguments->reduce = value == 1 ? arguments->reduce | bit : arguments->reduce & ~bit;
}

static struct sim_options run_options(const struct scenario *scenario) {
    struct sim_options options = sim_options_default();
    options.timeouts_max = scenario->timeouts_max;
    options.spurious_max = scenario->spurious_max;
    options.faults_max = 0;
    options.coverage = false;
    return options;
}

/* The schedule of a finding, run once more with a trace. */
static void show_finding(const struct scenario *scenario, struct sim_explored *explored) {
    struct sim_options options = run_options(scenario);
    options.source = SIM_REPLAY;
    options.choices = explored->choices;
    options.choices_n = explored->choices_n;
    options.trace = true;
    struct sim_result result;
    (void)sim_run(&options, scenario->run, NULL, &result);
    sim_trace_print(stderr);
    sim_symbolise(explored->detail, sizeof explored->detail);
    fprintf(stderr, "finding: %s\n%s: %s\n", explored->finding, scenario->name, explored->detail);
}

/* A deadlock breaks the rule that the scenario says; what else the engine finds (a race, a page
 * fault) carries that rule's number: R37-data-race. */
static void name_by_rule(const struct scenario *scenario, struct sim_explored *explored) {
    static const char *const stuck[] = {"deadlock", "lost-wakeup", "leaked-thread"};
    static char name[96];
    for (size_t i = 0; i < sizeof stuck / sizeof stuck[0]; i++) {
        if (strcmp(explored->finding, stuck[i]) == 0) {
            explored->finding = scenario->stuck;
        }
    }
    if (explored->finding[0] != 'R') {
        int number = (int)strcspn(scenario->stuck, "-");
        snprintf(name, sizeof name, "%.*s-%s", number, scenario->stuck, explored->finding);
        explored->finding = name;
    }
}

/* One of the small programs that pairs.c makes, as a scenario of its own. */
struct pair {
    struct scenario row;
    struct program program;
    char name[PAIRS_NAME_BYTES];
};

static bool pair_nth(unsigned n, bool whole, struct pair *pair) {
    const bool there = pairs_nth(n, whole ? &pair->program : NULL, pair->name);
    pair->row = (struct scenario){.name = pair->name,
                                  .rules = "all of its calls",
                                  .bounds = "two threads, a call or two each; executions"};
    return there;
}

static void print_row(const struct scenario *scenario, const struct sim_explored *explored) {
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "name", scenario->name);
    cJSON_AddStringToObject(row, "rules", scenario->rules);
    cJSON_AddStringToObject(row, "bounds", scenario->bounds);
    cJSON_AddNumberToObject(row, "graphs", (double)explored->graphs);
    cJSON_AddNumberToObject(row, "executions", (double)explored->executions);
    cJSON_AddNumberToObject(row, "pruned", (double)explored->dead_ends);
    cJSON_AddNumberToObject(row, "seconds", explored->seconds);
    cJSON_AddNumberToObject(row, "peak_bytes", (double)explored->peak_bytes);
    cJSON_AddNumberToObject(row, "bounds_reached", explored->bounds);
    cJSON_AddStringToObject(row, "reduced", sim_reductions_text(explored->reduced));
    cJSON_AddNumberToObject(row, "mixed", (double)explored->mixed);
    cJSON_AddBoolToObject(row, "complete", explored->complete);
    cJSON_AddItemToObject(row, "finding",
                          explored->finding != NULL ? cJSON_CreateString(explored->finding)
                                                    : cJSON_CreateNull());
    cJSON_AddStringToObject(row, "detail",
                            explored->finding != NULL ? explored->detail : explored->error);
    char *text = cJSON_PrintUnformatted(row);
    puts(text);
    fflush(stdout);
    cJSON_free(text);
    cJSON_Delete(row);
}

/* True when the scenario is complete and clean. */
static bool search(const struct scenario *scenario, const struct arguments *arguments) {
    static struct sim_explored explored;
    char checkpoint[4096];
    struct sim_explore_options options = sim_explore_options_default();
    options.run = run_options(scenario);
    options.reduce = arguments->reduce;
    options.processes = arguments->processes;
    options.seconds_max = arguments->seconds;
    options.stop = &stop;
    options.progress = !arguments->quiet;
    if (arguments->checkpoint != NULL) {
        snprintf(checkpoint, sizeof checkpoint, "%s/%s.checkpoint", arguments->checkpoint,
                 scenario->name);
        options.checkpoint = checkpoint;
    }
    if (!arguments->quiet) {
        fprintf(stderr, "%s: %s\n", scenario->name, scenario->bounds);
    }
    sim_explore(&options, scenario->run, NULL, &explored);
    if (explored.error[0] != '\0') {
        fprintf(stderr, "verify: %s: %s\n", scenario->name, explored.error);
        exit(2);
    }
    if (explored.finding != NULL) {
        name_by_rule(scenario, &explored);
        show_finding(scenario, &explored);
    }
    print_row(scenario, &explored);
    return explored.complete && explored.finding == NULL;
}

/* Many runs, each with bytes from another place of a random pool; true when nothing was found. */
static bool measure(const struct scenario *scenario, const struct arguments *arguments) {
    enum { POOL = 1 << 20, INPUT = 256, BATCH = 1000 };
    static uint8_t pool[POOL + INPUT];
    struct sim_options options = run_options(scenario);
    struct sim_result result = {.finding = NULL};
    uint64_t random = 1, runs = 0, steps = 0;
    for (size_t i = 0; i < sizeof pool; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        pool[i] = (uint8_t)(random >> 56);
    }
    options.source = SIM_BYTES;
    options.bytes_n = INPUT;
    clock_t began = clock(), ends = began + arguments->speed_s * CLOCKS_PER_SEC;
    while (clock() < ends && result.finding == NULL && !interrupted) {
        for (unsigned i = 0; i < BATCH && result.finding == NULL; i++) {
            options.bytes = pool + runs * 7919 % POOL;
            sim_run(&options, scenario->run, NULL, &result);
            steps += result.steps;
            runs++;
        }
    }
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("%-24s %10.0f executions/s of one core, %5.1f steps each%s%s\n", scenario->name,
           (double)runs / seconds, (double)steps / (double)runs,
           result.finding != NULL ? ", finding: " : "",
           result.finding != NULL ? result.finding : "");
    return result.finding == NULL;
}

/* Every schedule of a pair, up to a bound of executions. What depends on more than what its threads
 * read cannot be searched: that is told in the row. */
static bool search_pair(struct pair *pair, const struct arguments *arguments) {
    enum { EXECUTIONS_MAX = 4000 };
    static struct sim_explored explored;
    struct sim_explore_options options = sim_explore_options_default();
    options.processes = arguments->processes;
    options.seconds_max = arguments->seconds;
    options.executions_max = EXECUTIONS_MAX;
    options.stop = &stop;
    explored.finding = interleave_search(&pair->program, &options, &explored);
    if (explored.finding != NULL) {
        sim_symbolise(explored.detail, sizeof explored.detail);
        fprintf(stderr, "finding: %s\n%s: %s\n", explored.finding, pair->name, explored.detail);
        op_print(stderr, &pair->program);
    }
    if (explored.error[0] != '\0') {
        explored.complete = false;
    }
    print_row(&pair->row, &explored);
    return explored.complete && explored.finding == NULL;
}

static struct pair *pair_by_name(const char *name) {
    enum { PAIRS_MOST = 8192 };
    static char names[PAIRS_MOST][PAIRS_NAME_BYTES];
    static unsigned count;
    static struct pair pair;
    for (unsigned n = 0; count == n && n < PAIRS_MOST && pair_nth(n, false, &pair); n++) {
        memcpy(names[count++], pair.name, sizeof names[0]);
    }
    for (unsigned n = 0; n < count; n++) {
        if (strcmp(names[n], name) == 0) {
            return pair_nth(n, true, &pair) ? &pair : NULL;
        }
    }
    return NULL;
}

static void list(void) {
    for (size_t i = 0; i < scenarios_count; i++) {
        printf("%-24s %-24s %s\n", scenarios[i].name, scenarios[i].rules, scenarios[i].bounds);
    }
}

static void list_pairs(void) {
    static struct pair pair;
    for (unsigned n = 0; pair_nth(n, false, &pair); n++) {
        printf("%-24s %-24s %s\n", pair.name, pair.row.rules, pair.row.bounds);
    }
}

static const struct scenario *scenario_by_name(const char *name) {
    for (size_t i = 0; i < scenarios_count; i++) {
        if (strcmp(scenarios[i].name, name) == 0) {
            return &scenarios[i];
        }
    }
    fprintf(stderr, "verify: there is no scenario '%s'; --list shows them\n", name);
    exit(2);
}

static bool verify(const struct scenario *scenario, const struct arguments *arguments) {
    return arguments->speed_s > 0 ? measure(scenario, arguments) : search(scenario, arguments);
}

/* PC:KIND:ORDER, for the advisor: an access's order while the program runs. */
static void set_order(const char *text) {
    unsigned long pc;
    unsigned kind, order;
    if (sscanf(text, "%lu:%u:%u", &pc, &kind, &order) != 3 || kind > SITE_FENCE || order > 5) {
        fprintf(stderr, "verify: --order %s: it is PC:KIND:ORDER\n", text);
        exit(2);
    }
    sim_site_set(pc, kind, (int)order);
}

/* The places of atomic accesses that were seen, for the advisor. */
static void write_sites(const struct arguments *arguments) {
    if (arguments->sites == NULL) {
        return;
    }
    FILE *file = fopen(arguments->sites, "w");
    if (file == NULL) {
        perror(arguments->sites);
        exit(2);
    }
    sim_sites_json(file);
    fclose(file);
}

/* Pointers are among the values of a search: one that is resumed needs the same addresses. */
static void fix_addresses(char **argv) {
    int old = personality(0xffffffff);
    if (old != -1 && !(old & ADDR_NO_RANDOMIZE) &&
        personality((unsigned long)old | ADDR_NO_RANDOMIZE) != -1) {
        execv("/proc/self/exe", argv);
    }
}

int main(int argc, char **argv) {
    fix_addresses(argv);
    static const struct option options[] = {
        {"list", no_argument, NULL, 'l'},
        {"pairs", no_argument, NULL, 'p'},
        {"processes", required_argument, NULL, 'j'},
        {"seconds", required_argument, NULL, 's'},
        {"set", required_argument, NULL, 'r'},
        {"quiet", no_argument, NULL, 'q'},
        {"checkpoint", required_argument, NULL, 'c'},
        {"sites", required_argument, NULL, 'w'},
        {"order", required_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},
        {"speed", required_argument, NULL, 'b'},
        {0},
    };
    struct arguments arguments = {.processes = 1};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'l':
            list();
            return 0;
        case 'p':
            list_pairs();
            return 0;
        case 'j':
            arguments.processes = (unsigned)number(optarg, "--processes");
            break;
        case 's':
            arguments.seconds = (double)number(optarg, "--seconds");
            break;
        case 'r':
            set_reduction(&arguments, optarg);
            break;
        case 'q':
            arguments.quiet = true;
            break;
        case 'b':
            arguments.speed_s = number(optarg, "--speed");
            break;
        case 'c':
            arguments.checkpoint = optarg;
            break;
        case 'w':
            arguments.sites = optarg;
            sim_sites_begin();
            break;
        case 'o':
            set_order(optarg);
            break;
        default:
            fputs(usage, option == 'h' ? stdout : stderr);
            return option == 'h' ? 0 : 2;
        }
    }
    for (int i = optind; i < argc; i++) {
        if (pair_by_name(argv[i]) == NULL) {
            (void)scenario_by_name(argv[i]);
        }
    }
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    bool clean = true;
    if (optind == argc) {
        for (size_t i = 0; i < scenarios_count && !interrupted; i++) {
            clean = verify(&scenarios[i], &arguments) && clean;
        }
    }
    for (int i = optind; i < argc && !interrupted; i++) {
        struct pair *pair = pair_by_name(argv[i]);
        clean = (pair != NULL ? search_pair(pair, &arguments)
                              : verify(scenario_by_name(argv[i]), &arguments)) &&
                clean;
    }
    write_sites(&arguments);
    return interrupted ? 130 : clean ? 0 : 1;
}
