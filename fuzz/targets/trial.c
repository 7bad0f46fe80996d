/* trial.c: forked runs of candidates; results come back through shared memory. */
#include "trial.h"

#include "crash.h"
#include "exec.h"
#include "interleave.h"
#include "sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CLEAN = 0, FOUND = 1, OTHER = 2 };
enum { SPARSE_MAX = 8 }; /* choices that a drawn schedule makes other than 0 */

/* What the child leaves. */
static struct shared {
    unsigned index, runs;
    char place[TRIAL_PLACE_BYTES];
    struct trial trial;
} * shared;

static bool ready(void) {
    if (shared == NULL) {
        void *at =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        shared = at == MAP_FAILED ? NULL : at;
        char nothing[] = "";
        sim_symbolise(nothing, sizeof nothing); /* children share what they learn */
    }
    return shared != NULL;
}

/* ---- In the child -----------------------------------------------------------------------------
 */

static void timer_set(unsigned milliseconds) {
    const struct itimerval limit = {
        .it_value = {milliseconds / 1000, (suseconds_t)(milliseconds % 1000) * 1000}};
    setitimer(ITIMER_REAL, &limit, NULL);
}

static void keep_name(const char *rule) {
    struct trial *trial = &shared->trial;
    snprintf(trial->name, sizeof trial->name, "%s", rule);
    snprintf(trial->operation, sizeof trial->operation, "%s", exec_place());
    char *more = strstr(trial->operation, "_more");
    if (more != NULL) {
        *more = '\0'; /* the long form of the same */
    }
}

/* A crash ends the child at once, before the sanitizers describe it, which is slow. */
static void crashed(const char *rule) {
    keep_name(rule);
    _exit(FOUND);
}

static void silence(int to) {
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(to >= 0 ? to : null, STDERR_FILENO);
}

/* Runs shared->trial.program; its name, or NULL. */
static const char *run_one(const struct trial_settings *settings) {
    struct trial *trial = &shared->trial;
    trial->name[0] = trial->operation[0] = '\0';
    shared->runs++;
    timer_set(settings->milliseconds_max);
    const char *rule = exec_run(settings->subject, &trial->program, NULL);
    timer_set(0);
    if (rule == NULL) {
        return NULL;
    }
    keep_name(rule);
    if (interleave_wants(&trial->program)) {
        const struct interleave_told *told = interleave_told();
        trial->choices_drawn = told->choices_bytes;
        trial->preemptions = told->preemptions;
        trial->started = told->started;
        memcpy(trial->order, told->order, sizeof trial->order);
        size_t used = told->choices_bytes;
        while (used > 0 && told->choices[used - 1] == 0) {
            used--;
        }
        memcpy(trial->program.choices, told->choices, used);
        trial->program.choices_bytes = used;
    }
    return rule;
}

static bool told_to_stop(const struct trial_settings *settings) {
    return settings->stop != NULL && settings->stop();
}

static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

/* Schedule 0 is the program's own, 1 the plain one, the others are drawn: most choices are 0, which
 * runs on with the same thread and reads the newest value, so few of them make few switches. */
static void schedule(struct program *program, size_t length, unsigned index, unsigned number) {
    uint64_t state = (uint64_t)index << 32 | number;
    if (number == 0) {
        return;
    }
    program->choices_bytes = 0;
    if (number == 1) {
        return;
    }
    length = length < 16 ? 16 : length < OP_CHOICES_MAX ? length : OP_CHOICES_MAX;
    memset(program->choices, 0, length);
    program->choices_bytes = length;
    unsigned many = 1 + (unsigned)(draw(&state) % SPARSE_MAX);
    for (unsigned i = 0; i < many; i++) {
        program->choices[draw(&state) % length] = (uint8_t)(1 + draw(&state) % 3);
    }
}

struct search {
    trial_candidate *candidate;
    trial_accept *accept;
    const struct program *from;
    const char *name, *operation;
    size_t choices_length; /* of drawn schedules */
};

static bool is_wanted(const struct search *s, const struct trial *trial) {
    return strcmp(trial->name, s->name) == 0 &&
           (s->operation[0] == '\0' || strcmp(trial->operation, s->operation) == 0) &&
           (s->accept == NULL || s->accept(trial));
}

/* True when a schedule of the candidate in shared->trial breaks the name. */
static bool try_schedules(const struct trial_settings *settings, const struct search *s) {
    static struct program own;
    bool interleaved = interleave_wants(&shared->trial.program);
    if (!settings->same_too && op_equal(&shared->trial.program, s->from)) {
        return false;
    }
    if (!interleaved && s->accept != NULL) {
        shared->trial.preemptions = 0;
        if (!s->accept(&shared->trial)) {
            return false; /* no gain whatever it breaks */
        }
    }
    own = shared->trial.program;
    for (unsigned n = 0; n < (interleaved ? settings->schedules : 1); n++) {
        if (told_to_stop(settings)) {
            _exit(CLEAN);
        }
        if (n > 0) {
            shared->trial.program = own;
        }
        schedule(&shared->trial.program, s->choices_length, shared->index, n);
        const char *rule = run_one(settings);
        if (rule != NULL && is_wanted(s, &shared->trial)) {
            return true;
        }
        if (rule != NULL && !interleaved) {
            _exit(OTHER); /* the subject may be in any state now */
        }
    }
    return false;
}

static _Noreturn void search_in_child(const struct trial_settings *settings,
                                      const struct search *s) {
    silence(-1);
    crash_told = crashed;
    crash_watch();
    signal(SIGALRM, SIG_DFL);
    while (s->candidate(s->from, shared->index, &shared->trial.program)) {
        if (try_schedules(settings, s)) {
            _exit(FOUND);
        }
        shared->index++;
    }
    _exit(CLEAN);
}

/* ---- In the parent ----------------------------------------------------------------------------
 */

/* Waits for the child; its name for what ended it otherwise goes to shared->trial.name. -1: none
 * was started; or it was waited for no longer, since a signal came and `gives_up` is true. */
static int outcome(pid_t child, bool gives_up) {
    int status;
    bool killed = false;
    if (child < 0) {
        return -1;
    }
    while (waitpid(child, &status, 0) != child) {
        if (errno != EINTR) {
            return -1;
        }
        if (gives_up) { /* it must not write to shared->trial any more */
            kill(child, SIGKILL);
            killed = true;
        }
    }
    if (killed) {
        return -1;
    }
    char *name = shared->trial.name;
    if (WIFSIGNALED(status)) {
        if (WTERMSIG(status) == SIGALRM) {
            snprintf(name, TRIAL_NAME_BYTES, "timeout");
        } else {
            snprintf(name, TRIAL_NAME_BYTES, "signal-%d", WTERMSIG(status));
        }
        return FOUND;
    }
    if (WEXITSTATUS(status) > OTHER) {
        snprintf(name, TRIAL_NAME_BYTES, "exit-%d", WEXITSTATUS(status));
        return FOUND;
    }
    return WEXITSTATUS(status);
}

static bool only(const struct program *from, unsigned index, struct program *candidate) {
    if (index == 0) {
        *candidate = *from;
    }
    return index == 0;
}

bool trial_run(struct trial_settings *settings, const struct program *program,
               struct trial *result) {
    if (!ready()) {
        return false;
    }
    shared->runs = shared->index = 0;
    shared->trial.name[0] = '\0';
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct trial_settings once = *settings;
        once.schedules = 1;
        once.same_too = true;
        once.stop = NULL;
        /* A name that no finding has: the run counts whatever it breaks. */
        search_in_child(&once, &(struct search){only, NULL, program, "", "", 0});
    }
    int ended = outcome(child, false);
    settings->trials += shared->runs;
    if (result != NULL) {
        *result = shared->trial;
    }
    return ended >= 0;
}

bool trial_search(struct trial_settings *settings, trial_candidate *candidate, trial_accept *accept,
                  const struct program *from, const char *name, const char *operation,
                  unsigned *index, struct trial *found) {
    static struct trial alone;
    struct search s = {candidate, accept, from, name, operation, found->choices_drawn};
    if (!ready()) {
        return false;
    }
    for (shared->index = *index;; shared->index++) {
        shared->runs = 0;
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            search_in_child(settings, &s);
        }
        int ended = outcome(child, true);
        settings->trials += shared->runs;
        if (ended == CLEAN || ended < 0 || told_to_stop(settings)) {
            return false;
        }
        if (ended == FOUND && strcmp(shared->trial.name, name) == 0) {
            unsigned at = shared->index;
            struct program program = shared->trial.program;
            bool same = trial_run(settings, &program, &alone) && is_wanted(&s, &alone);
            shared->index = at;
            if (same) {
                *found = alone;
                *index = at;
                return true;
            }
        }
    }
}

/* ---- Places -----------------------------------------------------------------------------------
 */

/* The path from its last folder on: "ref/linear.c". */
static const char *short_path(const char *path) {
    const char *slash = strrchr(path, '/');
    while (slash != NULL && slash > path && slash[-1] != '/') {
        slash--;
    }
    return slash == NULL ? path : slash;
}

/* Frames that are never to blame: the harness, the sanitizers, the C library. */
static bool is_foreign(const char *path) {
    static const char *const parts[] = {"/fuzz/", "compiler-rt", "sysdeps",   "/csu/",
                                        "glibc",  "./nptl/",     "./stdlib/", "/assert/"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(path, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* One line of what was printed: a sanitizer's frame, its first line, or an assertion. */
static bool place_in_line(const char *line, char place[TRIAL_PLACE_BYTES]) {
    char path[512];
    unsigned number;
    const char *in = strstr(line, " in ");
    if (line[strspn(line, " ")] == '#' && in != NULL && strchr(in + 4, ' ') != NULL &&
        sscanf(strchr(in + 4, ' '), " %500[^: ]:%u", path, &number) == 2 && !is_foreign(path)) {
        snprintf(place, TRIAL_PLACE_BYTES, "%.100s:%u", short_path(path), number);
        return true;
    }
    const char *assertion = strstr(line, ": Assertion `");
    const char *error = strstr(line, ": runtime error: ");
    if (assertion != NULL) {
        const char *at = strstr(line, ".c:"); /* program: path:line: function: Assertion */
        const char *start = at;
        while (start != NULL && start > line && start[-1] != ' ') {
            start--;
        }
        if (start != NULL && sscanf(start, "%500[^: ]:%u", path, &number) == 2) {
            snprintf(place, TRIAL_PLACE_BYTES, "%.100s:%u", short_path(path), number);
            return true;
        }
    }
    if (error != NULL && sscanf(line, "%500[^: ]:%u", path, &number) == 2) {
        snprintf(place, TRIAL_PLACE_BYTES, "%.100s:%u", short_path(path), number);
        return true;
    }
    return false;
}

/* "... (mailbox.c:170)" or "f() mailbox.c:170" in what the engine says. */
static void place_in_detail(char *detail, char place[TRIAL_PLACE_BYTES]) {
    char *dot = strstr(detail, ".c:");
    char *start = dot;
    while (start != NULL && start > detail && strchr(" (@", start[-1]) == NULL) {
        start--;
    }
    if (start != NULL) {
        int length = (int)(dot - start) + 3;
        while (start[length] >= '0' && start[length] <= '9') {
            length++;
        }
        snprintf(place, TRIAL_PLACE_BYTES, "%.*s", length, start);
        char whole[TRIAL_PLACE_BYTES];
        snprintf(whole, sizeof whole, "%s", short_path(place));
        snprintf(place, TRIAL_PLACE_BYTES, "%s", whole);
    }
}

static _Noreturn void place_in_child(const struct trial_settings *settings, FILE *errors) {
    silence(fileno(errors));
    crash_watch();
    const char *rule = run_one(settings);
    if (rule != NULL && interleave_wants(&shared->trial.program)) {
        static char detail[2048];
        snprintf(detail, sizeof detail, "%s", interleave_detail());
        place_in_detail(detail, shared->place);
    } else if (rule != NULL) {
        snprintf(shared->place, sizeof shared->place, "%s", exec_place());
    }
    _exit(CLEAN);
}

void trial_place(struct trial_settings *settings, const struct program *program,
                 char place[TRIAL_PLACE_BYTES]) {
    place[0] = '\0';
    FILE *errors = tmpfile();
    if (errors == NULL || !ready()) {
        return;
    }
    shared->trial.program = *program;
    shared->place[0] = '\0';
    struct trial_settings slow = *settings;
    slow.milliseconds_max = 20000 + settings->milliseconds_max;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        place_in_child(&slow, errors);
    }
    (void)outcome(child, false);
    snprintf(place, TRIAL_PLACE_BYTES, "%s", shared->place);
    char line[2048];
    rewind(errors);
    while (place[0] == '\0' && fgets(line, sizeof line, errors) != NULL) {
        (void)place_in_line(line, place);
    }
    fclose(errors);
}
