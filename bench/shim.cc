// shim.cc: Google Benchmark behind shim.h. The only C++ in bench/, because the library has no C
// interface.
#include "shim.h"

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <regex.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr size_t samples_max = 65536;
constexpr double default_time_s = 0.05;
constexpr double budget_times = 10;

struct Options {
    bool list = false, describe = false, json = false, marks = false, quick = false;
    const char *filter = nullptr, *only = nullptr;
    double time_s = default_time_s;
    long iterations = 0;
} options;

struct Case {
    std::string key;
    bench_case bench;
};

// Subjects register before main, from constructors of C files, so the list is created at first
// use.
std::vector<Case> &cases() {
    static std::vector<Case> list;
    return list;
}

std::string key_of(const bench_case &bench) {
    std::string key = bench.name;
    for (const bench_parameter &parameter : bench.parameters) {
        if (!parameter.name) {
            break;
        }
        key += std::string("/") + parameter.name + ":";
        key += parameter.text ? parameter.text : std::to_string(parameter.number);
    }
    return bench.threads ? key + "/threads:" + std::to_string(bench.threads) : key;
}

rusage thread_usage() {
    rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage;
}

double seconds_now(clockid_t clock = CLOCK_MONOTONIC) {
    timespec now;
    clock_gettime(clock, &now);
    return double(now.tv_sec) + double(now.tv_nsec) * 1e-9;
}

void mark(const char *text) {
    if (options.marks) {
        ssize_t refused = write(-1, text, strlen(text));
        (void)refused;
    }
}

// A process's use of address space, from /proc.
struct Footprint {
    bool known = false;
    double vmas = 0, virtual_bytes = 0, peak_virtual_bytes = 0, resident_bytes = 0,
           peak_resident_bytes = 0;
};

// The contents of a small file; static, so that reading does not change what is being read about.
const char *text_of(const char *path) {
    static char text[1 << 18];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    for (ssize_t got = 1; file >= 0 && got > 0 && length < sizeof text - 1; length += size_t(got)) {
        if ((got = read(file, text + length, sizeof text - 1 - length)) < 0) {
            break;
        }
    }
    if (file >= 0) {
        close(file);
    }
    text[length] = 0;
    return text;
}

// A field of /proc/self/status, in KiB.
double status_bytes(const char *status, const char *field) {
    const char *at = strstr(status, field);
    return at ? strtod(at + strlen(field), nullptr) * 1024 : 0;
}

Footprint footprint_now() {
    Footprint now;
    const char *status = text_of("/proc/self/status");
    if (!*status) {
        return now;
    }
    now.virtual_bytes = status_bytes(status, "VmSize:");
    now.peak_virtual_bytes = status_bytes(status, "VmPeak:");
    now.resident_bytes = status_bytes(status, "VmRSS:");
    now.peak_resident_bytes = status_bytes(status, "VmHWM:");
    const char *maps = text_of("/proc/self/maps");
    now.known = *maps;
    now.vmas = double(std::count(maps, maps + strlen(maps), '\n'));
    return now;
}

// Resets the peak of resident bytes. The peak of virtual bytes cannot be reset: if it did not
// rise, it was no higher than the level at the end.
Footprint footprint_reset() {
    int file = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t refused = write(file, "5", 1);
        (void)refused;
        close(file);
    }
    return footprint_now();
}

// Case -> what the first measured part of this process added per iteration.
std::map<const bench_case *, Footprint> &footprints() {
    static std::map<const bench_case *, Footprint> first;
    return first;
}

} // namespace

struct bench_state {
    benchmark::State *gb; // null in a trial run
    const bench_case &bench;
    bool open = false; // within a measured part
    rusage at_open = {};
    double began_s = 0, processor_began_s = 0;
    long faults = 0;
    double measured_s = 0;
    int64_t parts = 0, interrupted_parts = 0;
    uint64_t samples_seen = 0;
    std::vector<double> samples;
    std::minstd_rand random{1};

    // Of a trial run: how long an iteration takes with its set-up, and how much of it is measured.
    double probe_began_s = 0; // when it first asked for work: earlier set-up happens once
    int64_t iterations = 0, batch = 1;
    bool skipped = false;

    Footprint footprint; // when the first part began
    bool footprint_wanted;
    double footprint_s = 0; // time spent on reading it, which a trial run does not count

    bench_state(benchmark::State *state, const bench_case &of) : gb(state), bench(of) {
        bool threads = of.threads > 1 || of.meets || of.clock == BENCH_CLOCK_SAMPLES;
        footprint_wanted = !threads && !footprints().count(&of);
    }

    // Keeps the shim's own work outside the clock.
    void open_part() {
        open = true;
        double reading_s = seconds_now();
        if (footprint_wanted) {
            footprint = footprint_reset();
            footprint_s += seconds_now() - reading_s;
        }
        at_open = thread_usage();
        processor_began_s = seconds_now(CLOCK_THREAD_CPUTIME_ID);
        mark("bench+");
        began_s = seconds_now();
    }
    // If the kernel ran something else on our core during a part, the part counts with its
    // processor time. Threads that meet wait for each other then, so their parts count unchanged.
    double close_part() {
        double part_s = seconds_now() - began_s;
        mark("bench-");
        double processor_s = seconds_now(CLOCK_THREAD_CPUTIME_ID) - processor_began_s;
        rusage usage = thread_usage();
        open = false;
        double reading_s = seconds_now();
        if (footprint_wanted) {
            keep_footprint();
            footprint_s += seconds_now() - reading_s;
        }
        faults += usage.ru_minflt - at_open.ru_minflt;
        parts++;
        if (usage.ru_nivcsw != at_open.ru_nivcsw) {
            interrupted_parts++;
            if (bench.threads < 2 && !bench.meets) {
                part_s = std::min(part_s, processor_s);
            }
        }
        if (bench.clock != BENCH_CLOCK_SAMPLES) {
            add_time(part_s);
        }
        return part_s;
    }
    void keep_footprint() {
        footprint_wanted = false;
        Footprint end = footprint_now(), &kept = footprints()[&bench];
        if (!end.known || !footprint.known) {
            return;
        }
        bool rose = end.peak_virtual_bytes > footprint.peak_virtual_bytes;
        double most = rose ? end.peak_virtual_bytes : end.virtual_bytes;
        double times = double(batch);
        kept.vmas = (end.vmas - footprint.vmas) / times;
        double resident = end.peak_resident_bytes - footprint.resident_bytes;
        kept.peak_virtual_bytes = std::max(0.0, most - footprint.virtual_bytes) / times;
        kept.peak_resident_bytes = std::max(0.0, resident) / times;
        kept.known = true;
    }
    void add_time(double part_s) {
        measured_s += part_s;
        if (gb) {
            gb->SetIterationTime(part_s);
        }
    }
};

namespace {

const bench_parameter *find_parameter(const bench_state *state, const char *name) {
    for (const bench_parameter &parameter : state->bench.parameters) {
        if (parameter.name && strcmp(parameter.name, name) == 0) {
            return &parameter;
        }
    }
    return nullptr;
}

const bench_parameter &parameter_of(const bench_state *state, const char *name) {
    if (const bench_parameter *found = find_parameter(state, name)) {
        return *found;
    }
    fprintf(stderr, "%s has no parameter %s\n", state->bench.name, name);
    abort();
}

void report_quantiles(bench_state &state) {
    static const int percents[] = {1, 5, 10, 25, 50, 75, 90, 95, 99};
    std::vector<double> &samples = state.samples;
    std::sort(samples.begin(), samples.end());
    for (int percent : percents) {
        char name[8];
        snprintf(name, sizeof name, "q%02d", percent);
        size_t rank = size_t(double(samples.size() - 1) * percent / 100 + 0.5);
        state.gb->counters[name] = samples[rank];
    }
    state.gb->counters["samples"] = double(state.samples_seen);
}

// Nanoseconds of a fixed piece of work. It takes longer if something else uses the core or its
// other hardware thread, or if the clock is slower. Eight independent chains keep the core's units
// busy, because a single chain would not notice another user of the core.
double yardstick_ns() {
    constexpr int steps = 100000, chains = 8;
    static uint64_t kept;
    uint64_t chain[chains] = {1, 2, 3, 4, 5, 6, 7, 8}, all = 0;
    double began_s = seconds_now();
    for (int step = 0; step < steps; step++) {
        for (uint64_t &x : chain) {
            x = ((x << 7) | (x >> 57)) + uint64_t(step);
        }
    }
    for (uint64_t x : chain) {
        all ^= x;
    }
    benchmark::DoNotOptimize(kept = all);
    return (seconds_now() - began_s) * 1e9;
}

void run_case(benchmark::State &gb, const bench_case &bench) {
    bool first = gb.thread_index() == 0;
    if (bench.bounds && first) {
        gb.SetLabel(bench.bounds);
    }
    if (bench.skip) {
        gb.SkipWithError(bench.skip);
        return;
    }
    if (first) {
        yardstick_ns(); // warms it up
    }
    double before_ns = first ? yardstick_ns() : 0;
    bench_state state(&gb, bench);
    bench.run(&state);
    if (first) {
        gb.counters["yardstick_ns"] = std::max(before_ns, yardstick_ns());
    }
    gb.counters["interrupted"] =
        benchmark::Counter(state.parts ? double(state.interrupted_parts) / double(state.parts) : 0,
                           benchmark::Counter::kAvgThreads);
    gb.counters["page_faults"] =
        benchmark::Counter(double(state.faults), benchmark::Counter::kAvgIterations);
    auto found = footprints().find(&bench);
    if (found != footprints().end() && found->second.known) {
        gb.counters["vmas"] = found->second.vmas;
        gb.counters["peak_resident_bytes"] = found->second.peak_resident_bytes;
        gb.counters["peak_virtual_bytes"] = found->second.peak_virtual_bytes;
    }
    if (!state.samples.empty()) {
        report_quantiles(state);
    }
}

// The library only sees what a case measures: with a long set-up it would run for minutes. So a
// trial run finds the number of iterations: `time` seconds of measuring, at most ten times that in
// all, at least three batches, or one batch if the row is so slow that a single one took that
// long.
int64_t iterations_for(const bench_case &bench) {
    bench_state probe(nullptr, bench);
    bench.run(&probe);
    double all_s = seconds_now() - probe.probe_began_s - probe.footprint_s,
           iterations = double(probe.iterations);
    if (probe.skipped || iterations == 0) {
        return 1;
    }
    double wanted = options.time_s * iterations / std::max(probe.measured_s, 1e-9);
    double possible = budget_times * options.time_s * iterations / all_s;
    int64_t least = all_s > budget_times * options.time_s ? 1 : 3; // batches
    return std::max(int64_t(std::min(wanted, possible)), least * probe.batch);
}

void register_with_library(const Case &chosen) {
    const bench_case *bench = &chosen.bench;
    auto *made = benchmark::RegisterBenchmark(
        chosen.key.c_str(), [bench](benchmark::State &gb) { run_case(gb, *bench); });
    made->UseManualTime();
    if (bench->threads) {
        made->Threads(bench->threads);
    }
    if (options.iterations) {
        made->Iterations(options.iterations);
    } else if (bench->iterations && !bench->skip) {
        made->Iterations(bench->iterations);
    } else if (bench->threads || bench->skip) {
        made->MinTime(options.time_s);
    } else {
        made->Iterations(iterations_for(*bench));
    }
}

bool more_work(bench_state *state, int64_t batch) {
    state->batch = batch;
    if (state->gb) {
        return state->gb->KeepRunningBatch(batch);
    }
    if (state->skipped) {
        return false;
    }
    double now_s = seconds_now();
    if (state->iterations == 0) {
        state->probe_began_s = now_s;
    } else if (now_s >= state->probe_began_s + state->footprint_s + options.time_s) {
        return false;
    }
    state->iterations += batch;
    return true;
}

// The library appends its settings (/manual_time/threads:2) to names; the key must stay unchanged.
template <class Reporter> struct KeyReporter : Reporter {
    void ReportRuns(const std::vector<benchmark::BenchmarkReporter::Run> &runs) override {
        std::vector<benchmark::BenchmarkReporter::Run> named = runs;
        for (auto &run : named) {
            benchmark::BenchmarkName name;
            name.function_name = run.run_name.function_name;
            run.run_name = name;
        }
        Reporter::ReportRuns(named);
    }
};

// ---- Words of the report

struct Section {
    struct bench_section said;
    regex_t pattern;
    explicit Section(const struct bench_section &from) : said(from) {
        if (said.rows && regcomp(&pattern, said.rows, REG_EXTENDED | REG_NOSUB) != 0) {
            fprintf(stderr, "section %s: not a regular expression: %s\n", said.title, said.rows);
            abort();
        }
    }
    bool has(const std::string &name) const {
        return said.rows && regexec(&pattern, name.c_str(), 0, nullptr, 0) == 0;
    }
};

std::deque<Section> &sections() {
    static std::deque<Section> list;
    return list;
}

struct Answer {
    const char *text;
    bool first; // on the first screen
};

std::vector<Answer> &answers() {
    static std::vector<Answer> list;
    return list;
}

std::map<std::string, std::string> &words_said() {
    static std::map<std::string, std::string> list;
    return list;
}

std::string said_of(const std::string &what, const std::string &otherwise) {
    auto found = words_said().find(what);
    return found == words_said().end() ? otherwise : found->second;
}

// The words of "written:0" itself, or else those of its key with the value in place of %s.
std::string words_of(const std::string &name, const std::string &value) {
    auto found = words_said().find(name + ":" + value);
    if (found != words_said().end()) {
        return found->second;
    }
    std::string pattern = said_of(name, "%s");
    size_t at = pattern.find("%s");
    return at == std::string::npos ? pattern : pattern.replace(at, 2, value);
}

// The parts of a row's name: family, operation, parameters.
struct Named {
    std::string family, operation;
    std::vector<std::pair<std::string, std::string>> parameters;
    explicit Named(const std::string &key) {
        for (size_t at = 0; at <= key.size();) {
            size_t end = std::min(key.find('/', at), key.size());
            std::string part = key.substr(at, end - at);
            size_t colon = part.find(':');
            if (colon != std::string::npos) {
                parameters.emplace_back(part.substr(0, colon), part.substr(colon + 1));
            } else {
                (at == 0 ? family : operation) = part;
            }
            at = end + 1;
        }
    }
    const std::string *value(const std::string &name) const {
        for (auto &parameter : parameters) {
            if (parameter.first == name) {
                return &parameter.second;
            }
        }
        return nullptr;
    }
    std::string row() const {
        return said_of(family + "/" + operation, "");
    }
    std::string word(const std::string &name) const {
        if (name == "family") {
            return said_of(family + "/", family);
        }
        if (name == "operation") {
            return said_of("/" + operation, operation);
        }
        if (name == "row") {
            return row();
        }
        return value(name) ? words_of(name, *value(name)) : "";
    }
    std::string words(const char *keys) const {
        std::istringstream names(keys ? keys : "");
        std::string name, made;
        while (names >> name) {
            std::string word = this->word(name);
            made += (made.empty() || word.empty() || word[0] == ',' ? "" : " ") + word;
        }
        made = made.compare(0, 2, ", ") == 0 ? made.substr(2) : made;
        return made.empty() ? "as it is" : made;
    }
};

std::string quoted(const std::string &text) {
    std::string made = "\"";
    for (char c : text) {
        if (c == '\n') {
            made += "\\n";
        } else {
            made += (c == '"' || c == '\\' ? std::string("\\") : "") + c;
        }
    }
    return made + "\"";
}

std::string quoted(const char *text) {
    return text ? quoted(std::string(text)) : "null";
}

const char *kind_of(const Case &one, const Named &named) {
    static const char *const ours[] = {"memory", "mailbox", "wait", "program"};
    if (named.family == "bound") {
        return "limit";
    }
    if (named.family == "peer") {
        return "peer";
    }
    for (const char *family : ours) {
        if (named.family == family) {
            return one.bench.variant ? "other" : "ours";
        }
    }
    return "other";
}

// The name of a row beside another row, as its limit or its peer.
std::string called(const Named &named) {
    static const char *const keys[] = {"via", "of", "stronger"};
    for (const char *key : keys) {
        if (named.value(key)) {
            return named.words(key);
        }
    }
    std::string row = named.row();
    return !row.empty() ? row : named.word(named.family == "bound" ? "operation" : "family");
}

void describe_section(const struct bench_section &said) {
    static const char *const plots[] = {"none", "bars", "to limit"};
    printf("{\"title\": %s, \"text\": %s, \"inside\": %s, ", quoted(said.title).c_str(),
           quoted(said.text ? said.text : "").c_str(), quoted(said.inside).c_str());
    printf("\"usual\": %s, \"axis\": %s, \"unit\": %s, \"plot\": \"%s\", \"spread\": %s}",
           quoted(said.usual).c_str(), quoted(said.axis).c_str(), quoted(said.unit).c_str(),
           plots[said.plot], said.spread ? "true" : "false");
}

void describe_places(const Case &one, const Named &named) {
    const char *comma = "";
    for (const Section &section : sections()) {
        if (!section.has(one.key)) {
            continue;
        }
        const char *columns = section.said.columns;
        const std::string *value = columns ? named.value(columns) : nullptr;
        bool number = value && value->find_first_not_of("0123456789") == std::string::npos;
        printf("%s{\"section\": %s, \"line\": %s, \"column\": %s, \"number\": %s}", comma,
               quoted(section.said.title).c_str(), quoted(named.words(section.said.lines)).c_str(),
               columns ? quoted(named.words(columns)).c_str() : "null",
               number ? value->c_str() : "null");
        comma = ", ";
    }
}

void describe_row(const Case &one) {
    const bench_case &bench = one.bench;
    Named named(one.key);
    printf("{\"name\": %s, \"kind\": \"%s\", \"words\": %s, \"parties\": %s, \"beside\": [",
           quoted(one.key).c_str(), kind_of(one, named), quoted(called(named)).c_str(),
           bench.threads > 1 || bench.meets || bench.parties ? "true" : "false");
    std::istringstream bounds(bench.bounds ? bench.bounds : "");
    std::string bound;
    for (const char *comma = ""; std::getline(bounds, bound, ','); comma = ", ") {
        printf("%s%s", comma, quoted(bound).c_str());
    }
    printf("], \"places\": [");
    describe_places(one, named);
    printf("]}");
}

// One JSON object, with its parts on a line each.
void describe(const std::vector<const Case *> &chosen) {
    const char *comma = "{\"sections\": [\n";
    for (const Section &section : sections()) {
        printf("%s", comma);
        describe_section(section.said);
        comma = ",\n";
    }
    printf("%s], \"answers\": [", sections().empty() ? comma : "");
    comma = "\n";
    for (const Answer &answer : answers()) {
        printf("%s{\"text\": %s, \"first\": %s}", comma, quoted(answer.text).c_str(),
               answer.first ? "true" : "false");
        comma = ",\n";
    }
    printf("], \"rows\": [");
    comma = "\n";
    for (const Case *one : chosen) {
        printf("%s", comma);
        describe_row(*one);
        comma = ",\n";
    }
    printf("]}\n");
}

const char help[] =
    "usage: bench [options]\n"
    "  --list            names of the rows, each with the rows that bound it, and stop\n"
    "  --describe        JSON of these rows, their words and the sections of a report, and stop\n"
    "  --filter=REGEX    rows whose name matches (extended regular expression)\n"
    "  --only=NAME       the one row of that name\n"
    "  --time=SECONDS    measure each row at least so long (default 0.05)\n"
    "  --iterations=N    exactly so many iterations of each row in place of a time\n"
    "  --quick           only rows that quick runs have\n"
    "  --json            the library's JSON on standard output in place of a table\n"
    "  --marks           a system call write(-1, \"bench+\" or \"bench-\") around what is "
    "measured\n"
    "  --benchmark_...   the library's own options: --benchmark_repetitions=5\n";

int usage(const char *what, const char *argument) {
    fprintf(stderr, "bench: %s%s\n%s", what, argument, help);
    return 2;
}

const char *value_of(const char *argument, const char *option) {
    size_t length = strlen(option);
    return strncmp(argument, option, length) == 0 ? argument + length : nullptr;
}

// 0, or the exit status for a wrong option. The library's own options stay in argv.
int parse(int *argc, char **argv) {
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        char *argument = argv[i], *end = nullptr;
        const char *value;
        if (strncmp(argument, "--benchmark_", 12) == 0) {
            argv[kept++] = argument;
        } else if (strcmp(argument, "--list") == 0) {
            options.list = true;
        } else if (strcmp(argument, "--describe") == 0) {
            options.describe = true;
        } else if (strcmp(argument, "--quick") == 0) {
            options.quick = true;
        } else if (strcmp(argument, "--json") == 0) {
            options.json = true;
        } else if (strcmp(argument, "--marks") == 0) {
            options.marks = true;
        } else if ((value = value_of(argument, "--filter="))) {
            options.filter = value;
        } else if ((value = value_of(argument, "--only="))) {
            options.only = value;
        } else if ((value = value_of(argument, "--time="))) {
            options.time_s = strtod(value, &end);
            if (end == value || *end || !(options.time_s > 0 && options.time_s <= 1000)) {
                return usage("--time wants seconds, more than 0, not ", value);
            }
        } else if ((value = value_of(argument, "--iterations="))) {
            options.iterations = strtol(value, &end, 10);
            if (end == value || *end || options.iterations < 1 || options.iterations > 1000000000) {
                return usage("--iterations wants a number from 1 to 1000000000, not ", value);
            }
        } else {
            return usage("unknown option ", argument);
        }
    }
    *argc = kept;
    argv[kept] = nullptr;
    return 0;
}

int select(std::vector<const Case *> *chosen) {
    regex_t pattern;
    if (options.filter && regcomp(&pattern, options.filter, REG_EXTENDED | REG_NOSUB) != 0) {
        return usage("not a regular expression: ", options.filter);
    }
    for (const Case &one : cases()) {
        if (options.quick && one.bench.full_only) {
            continue;
        }
        bool named = !options.only || one.key == options.only;
        bool matches = !options.filter || regexec(&pattern, one.key.c_str(), 0, nullptr, 0) == 0;
        if (named && matches) {
            chosen->push_back(&one);
        }
    }
    if (options.filter) {
        regfree(&pattern);
    }
    if (chosen->empty()) {
        fprintf(stderr, "bench: no row matches '%s'; --list shows all names\n",
                options.only     ? options.only
                : options.filter ? options.filter
                                 : "");
        return 2;
    }
    return 0;
}

} // namespace

void bench_words(const char *of, const char *words) {
    words_said().emplace(of, words);
}

void bench_words_add(const char *const words[][2]) {
    for (; words[0][0]; words++) {
        bench_words(words[0][0], words[0][1]);
    }
}

void bench_section_add(const struct bench_section *section) {
    for (const Section &other : sections()) {
        if (strcmp(other.said.title, section->title) == 0) {
            return;
        }
    }
    sections().emplace_back(*section);
}

void bench_sections_add(const struct bench_section *listed) {
    for (; listed->title; listed++) {
        bench_section_add(listed);
    }
}

static void add_answer(const char *text, bool first) {
    for (const Answer &other : answers()) {
        if (strcmp(other.text, text) == 0) {
            return;
        }
    }
    answers().push_back({text, first});
}

void bench_answer(const char *text) {
    add_answer(text, false);
}

void bench_headline(const char *text) {
    add_answer(text, true);
}

const char *bench_kept_text(const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char *made = static_cast<char *>(bench_kept(static_cast<size_t>(length) + 1));
    memcpy(made, text, std::min(static_cast<size_t>(length), sizeof text - 1));
    return made;
}

void *bench_kept(size_t bytes) {
    static std::deque<std::vector<unsigned char>> all; /* operator new aligns for any type */
    return all.emplace_back(bytes).data();
}

void bench_register(const bench_case *bench) {
    cases().push_back({key_of(*bench), *bench});
}

bool bench_next(bench_state *state, int64_t batch) {
    bool loop = state->bench.clock == BENCH_CLOCK_LOOP;
    if (loop && state->open) {
        state->close_part();
    }
    if (!more_work(state, batch)) {
        return false;
    }
    if (loop) {
        state->open_part();
    }
    return true;
}

void bench_begin(bench_state *state) {
    state->open_part();
}

double bench_end(bench_state *state) {
    return state->close_part() * 1e9;
}

void bench_sample(bench_state *state, double nanoseconds) {
    if (state->bench.clock == BENCH_CLOCK_SAMPLES) {
        state->add_time(nanoseconds * 1e-9);
    }
    if (!state->gb) {
        return;
    }
    state->samples_seen++;
    if (state->samples.size() < samples_max) {
        state->samples.push_back(nanoseconds);
    } else if (uint64_t at = state->random() % state->samples_seen; at < samples_max) {
        state->samples[at] = nanoseconds;
    }
}

void bench_skip(bench_state *state, const char *reason) {
    state->skipped = true;
    if (state->gb) {
        state->gb->SkipWithError(reason);
    }
}

void bench_count(bench_state *state, const char *name, double value) {
    if (state->gb) {
        state->gb->counters[name] = benchmark::Counter(value, benchmark::Counter::kAvgIterations);
    }
}

void bench_value(bench_state *state, const char *name, double value) {
    if (state->gb) {
        state->gb->counters[name] = value;
    }
}

const void *bench_argument(const bench_state *state) {
    return state->bench.argument;
}

bool bench_has(const bench_state *state, const char *name) {
    return find_parameter(state, name) != nullptr;
}

int64_t bench_number(const bench_state *state, const char *name) {
    return parameter_of(state, name).number;
}

const char *bench_text(const bench_state *state, const char *name) {
    return parameter_of(state, name).text;
}

int bench_thread(const bench_state *state) {
    return state->gb ? state->gb->thread_index() : 0;
}

int bench_threads(const bench_state *state) {
    return state->gb ? state->gb->threads() : 1;
}

void bench_environment(const char *key, const char *value) {
    benchmark::AddCustomContext(key, value);
}

int bench_main(int argc, char **argv) {
    if (int status = parse(&argc, argv)) {
        return status;
    }
    std::vector<const Case *> chosen;
    if (int status = select(&chosen)) {
        return status;
    }
    if (options.list) {
        for (const Case *one : chosen) {
            printf("%s\t%s\n", one->key.c_str(), one->bench.bounds ? one->bench.bounds : "");
        }
        return fflush(stdout) == 0 ? 0 : 2;
    }
    if (options.describe) {
        describe(chosen);
        return fflush(stdout) == 0 ? 0 : 2;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    for (const Case *one : chosen) {
        register_with_library(*one);
    }
    KeyReporter<benchmark::JSONReporter> json;
    KeyReporter<benchmark::ConsoleReporter> console;
    if (options.json) {
        benchmark::RunSpecifiedBenchmarks(&json);
    } else {
        benchmark::RunSpecifiedBenchmarks(&console);
    }
    benchmark::Shutdown();
    return fflush(stdout) == 0 ? 0 : 2;
}
