/* pipe.c: the door to a runtime in a process of its own, over two pipes: a line of JSON to it, a
 * line of answers back (README.md). Several processes are several tiers of one engine, which must
 * agree.
 *
 * PAGEBOX_RUNTIME: a line for each process, "name<tab>repeat<tab>command for sh"; the first is
 * judged. PAGEBOX_REPEAT: how often each program is played in one process, instead of `repeat`.
 * PAGEBOX_ROTATE=1: each program is played by the first and one of the others, in turn.
 * PAGEBOX_HANG_MS: time limit per program. PAGEBOX_COSTLY_PAGES, PAGEBOX_COSTLY_SHARED_PAGES:
 * memories above so many pages take seconds, and are left out. */
#include "protocol.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* State of an engine that is shared by the forks which shrinking makes of this process: they use it
 * one after the other. A fork that ended in the middle of a line leaves it unusable. */
struct shared {
    _Atomic bool busy, gone;
};

enum { TIERS_MAX = 8, HANG_MS = 4000, START_MS = 55000, WORDS_MAX = 300 };

static struct tier {
    char name[48];
    char *command;
    uint32_t repeat;
    pid_t process, owner; /* owner: the process whose child it is */
    struct shared *shared;
    int to, from, errors;
    bool fresh; /* has not answered yet, and may still be starting */
    char *line; /* the answer */
    size_t count, room;
    struct answer *answer;
    uint8_t *bytes; /* of answers with bytes */
    unsigned requests;
} tier[TIERS_MAX];
static unsigned tiers;
static long hang_ms = HANG_MS, repeat; /* repeat: 0: as in each tier's line */
static bool rotates;

/* ---- Processes ------------------------------------------------------------------------------- */

/* Called by a fork that has finished with the engine, so that others can use it. */
static void forget(struct tier *t) {
    close(t->to);
    close(t->from);
    close(t->errors);
    munmap(t->shared, sizeof *t->shared);
    t->process = 0;
}

/* Asks it to end, so that it can end what it has started (such as a browser); then kills it. */
static void end_process(pid_t process) {
    enum { PATIENCE_MS = 2000 };
    kill(-process, SIGTERM);
    for (int ms = 0; ms < PATIENCE_MS; ms++) {
        if (waitpid(process, NULL, WNOHANG) != 0) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    kill(-process, SIGKILL);
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR) {
    }
}

static void close_tier(struct tier *t) {
    if (t->process == 0) {
        return;
    }
    t->shared->gone = true;
    if (t->owner == getpid()) {
        end_process(t->process);
    } else {
        kill(-t->process, SIGKILL);
    }
    forget(t);
}

static bool start(struct tier *t) {
    int in[2], out[2];
    if (pipe2(in, O_CLOEXEC) != 0) {
        return false;
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return false;
    }
    t->errors = memfd_create("errors", MFD_CLOEXEC);
    t->shared =
        mmap(NULL, sizeof *t->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t->shared == MAP_FAILED) {
        abort();
    }
    const pid_t parent = getpid();
    t->process = fork();
    if (t->process == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        for (int number = 1; number < 32; number++) { /* a fuzzer has its own handlers */
            signal(number, SIG_DFL);
        }
        dup2(in[0], 0);
        dup2(out[1], 1);
        dup2(t->errors, 2);
        unsetenv("LD_PRELOAD");
        unsetenv("SUBJECT");
        execl("/bin/sh", "sh", "-c", t->command, (char *)NULL);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    t->to = in[1];
    t->from = out[0];
    fcntl(t->to, F_SETFL, O_NONBLOCK);
    t->owner = parent;
    t->fresh = true;
    t->count = 0;
    if (t->process < 0) {
        forget(t);
        return false;
    }
    setpgid(t->process, t->process);
    return true;
}

static bool alive(struct tier *t) {
    if (t->process != 0 && t->owner != getpid() && (t->shared->busy || t->shared->gone)) {
        forget(t);
    }
    return t->process != 0 || start(t);
}

/* As one line of ASCII, ended by 0. */
static void printable(char *text, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (text[i] < 32 || text[i] >= 127) {
            text[i] = ' ';
        }
    }
    while (count > 0 && text[count - 1] == ' ') {
        count--;
    }
    text[count] = '\0';
}

/* The end of its standard error, on one line. */
static void last_words(struct tier *t, char *to, size_t room) {
    off_t end = lseek(t->errors, 0, SEEK_END);
    off_t from = end > WORDS_MAX ? end - WORDS_MAX : 0;
    ssize_t count = pread(t->errors, to, room - 1 < WORDS_MAX ? room - 1 : WORDS_MAX, from);
    printable(to, count < 0 ? 0 : (size_t)count);
}

/* Keeps only the end of a long output. */
static void forget_old_words(struct tier *t) {
    const off_t many = (off_t)16 << 20;
    if (t->process != 0 && lseek(t->errors, 0, SEEK_END) > many) {
        (void)ftruncate(t->errors, 0);
        (void)lseek(t->errors, 0, SEEK_SET);
    }
}

/* What arrived instead of an answer: the end of the output, nothing in time, or a line longer than
 * any answer. */
enum heard { HEARD, HEARD_END, HEARD_NOTHING, HEARD_TOO_MUCH };

/* Like waitpid with WNOHANG, but also for another process's child: it is in /proc until it is
 * waited for. */
static bool has_ended(pid_t process, int *status) {
    char path[40], about[512];
    const pid_t gone = waitpid(process, status, WNOHANG);
    if (gone >= 0) {
        return gone == process;
    }
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    const int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t count = 0;
    if (file >= 0) {
        count = read(file, about, sizeof about - 1);
        close(file);
    }
    about[count < 0 ? 0 : count] = '\0';
    const char *state = strrchr(about, ')'), *code = strrchr(about, ' ');
    *status = code != NULL ? atoi(code) : 0;
    return state == NULL || state[2] == 'Z' || state[2] == 'X';
}

/* Waits for the end of a process whose output has ended. */
static bool wait_for_end(pid_t process, int *status) {
    enum { PATIENCE_MS = 1000, STEP_MS = 5 };
    for (int ms = 0; ms < PATIENCE_MS; ms += STEP_MS) {
        if (has_ended(process, status)) {
            return true;
        }
        usleep(STEP_MS * 1000);
    }
    return false;
}

/* Its output has ended: reports how the process ended. */
static enum played end_words(struct tier *t, char *words, size_t room) {
    char last[WORDS_MAX + 1];
    int status = 0;
    const bool has_gone = wait_for_end(t->process, &status);
    last_words(t, last, sizeof last);
    if (!has_gone) {
        snprintf(words, room, "%s: closed its output and goes on running; its last words: %s",
                 t->name, last);
        return PLAYED_EXITED;
    }
    kill(-t->process, SIGKILL); /* kills what is left of its group */
    t->shared->gone = true;
    forget(t);
    const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (code < 128) {
        snprintf(words, room, "%s: ended with status %d; its last words: %s", t->name, code, last);
        return PLAYED_EXITED;
    }
    snprintf(words, room, "%s: ended by signal %d (%s); its last words: %s", t->name, code - 128,
             strsignal(code - 128), last);
    return PLAYED_DIED;
}

/* Its output is not an answer to the request. Such a process is not used again. */
static enum played nonsense(struct tier *t, const char *why, char *words, size_t room) {
    char said[WORDS_MAX + 1];
    const size_t count = t->count < WORDS_MAX / 2 ? t->count : WORDS_MAX / 2;
    if (count > 0) {
        assert(t->line != NULL);
        memcpy(said, t->line, count);
    }
    printable(said, count);
    snprintf(words, room, "%s: its answer is not of the protocol, %s: %s", t->name, why, said);
    close_tier(t);
    return PLAYED_NONSENSE;
}

/* Reports why no answer came, and ends the process. */
static enum played ended(struct tier *t, enum heard why, char *words, size_t room) {
    char last[WORDS_MAX + 1];
    if (t->process == 0) {
        snprintf(words, room, "%s: it could not be started", t->name);
        return PLAYED_EXITED;
    }
    enum played how = PLAYED_HUNG;
    if (why == HEARD_END) {
        how = end_words(t, words, room);
    } else if (why == HEARD_TOO_MUCH) {
        how = nonsense(t, "a line longer than any answer", words, room);
    } else {
        last_words(t, last, sizeof last);
        snprintf(words, room, "%s: no answer for %ld ms; its last words: %s", t->name, hang_ms,
                 last);
    }
    close_tier(t);
    return how;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A program may be larger than a pipe's buffer, but no driver answers before it has read all of
 * it. */
static bool send_line(struct tier *t, const struct guest_bytes *line, long until) {
    size_t sent = 0;
    while (sent < line->count) {
        ssize_t count = write(t->to, line->at + sent, line->count - sent);
        if (count >= 0) {
            sent += (size_t)count;
        } else if (errno == EAGAIN) {
            struct pollfd ready = {.fd = t->to, .events = POLLOUT};
            const long left = until - now_ms();
            if (left <= 0 || poll(&ready, 1, (int)left) == 0) {
                return false;
            }
        } else if (errno != EINTR) {
            return true; /* the process has gone; reading will show that */
        }
    }
    return true;
}

static void make_room(struct tier *t) {
    if (t->room - t->count < 65536) {
        t->room = 2 * t->room + 131072;
        t->line = realloc(t->line, t->room);
        if (t->line == NULL) {
            abort();
        }
    }
}

/* The next line, ended by 0, in t->line; more lines may follow it there: *next is the offset of the
 * rest. No line is longer than longest_bytes. */
static enum heard hear(struct tier *t, size_t from, size_t *next, size_t longest_bytes,
                       long until) {
    size_t searched = from;
    for (;;) {
        char *end =
            t->count > searched ? memchr(t->line + searched, '\n', t->count - searched) : NULL;
        if (end != NULL) {
            t->fresh = false;
            *end = '\0';
            *next = (size_t)(end - t->line) + 1;
            return HEARD;
        }
        searched = t->count > from ? t->count : from;
        if (searched - from > longest_bytes) {
            return HEARD_TOO_MUCH;
        }
        make_room(t);
        struct pollfd ready = {.fd = t->from, .events = POLLIN};
        long left = until - now_ms() + (t->fresh ? START_MS : 0);
        if (left <= 0 || poll(&ready, 1, (int)left) == 0) {
            return HEARD_NOTHING;
        }
        ssize_t count = read(t->from, t->line + t->count, t->room - t->count);
        if (count == 0 || (count < 0 && errno != EINTR)) {
            return HEARD_END;
        }
        t->count += count > 0 ? (size_t)count : 0;
    }
}

/* Whether it prints something before it is asked. */
static bool has_spoken(const struct tier *t) {
    struct pollfd ready = {.fd = t->from, .events = POLLIN};
    return t->process != 0 && poll(&ready, 1, 0) == 1 && (ready.revents & POLLIN) != 0;
}

/* Reads the answers to all requests; returns the rest of the line, or NULL if it is not an
 * answer. */
static const char *answers_parse(struct tier *t, const struct play *p) {
    const char *at = t->line;
    t->bytes = realloc(t->bytes, t->count + 1);
    t->answer = realloc(t->answer, (p->requests + 1) * sizeof *t->answer);
    if (t->bytes == NULL || t->answer == NULL) {
        abort();
    }
    uint8_t *store = t->bytes;
    for (unsigned i = 0; i < p->requests && at != NULL; i++) {
        at = protocol_answer(at, &p->request[i], &t->answer[i], &store);
    }
    return at;
}

/* ---- Playing --------------------------------------------------------------------------------- */

static bool is_same(const struct answer *a, const struct answer *b, uint32_t count) {
    bool bytes = (a->bytes == NULL) == (b->bytes == NULL) &&
                 (a->bytes == NULL || memcmp(a->bytes, b->bytes, count) == 0);
    return a->status == b->status && (a->status != SUBJECT_OK || (a->value == b->value && bytes));
}

/* A runtime may run out of memory at any time. */
static bool is_want(const struct request *r, const struct answer *a) {
    const bool grows = r->word[0] == REQUEST_GROW ||
                       (r->word[0] == REQUEST_CALL && r->function.what == GUEST_GROW);
    return r->word[0] == REQUEST_MAKE ? a->status == SUBJECT_NO_MEMORY
                                      : grows && a->value == UINT32_MAX;
}

static void compare(struct play *p, const struct tier *one, const struct tier *other) {
    for (unsigned i = 0; i < p->requests && p->differs < 0; i++) {
        const struct answer *a = &one->answer[i], *b = &other->answer[i];
        const unsigned traps = p->request[i].traps;
        const bool either = (traps >> a->status & traps >> b->status & 1) != 0;
        if (!either && !is_same(a, b, p->request[i].word[4])) {
            if (is_want(&p->request[i], a) != is_want(&p->request[i], b)) {
                return;
            }
            p->differs = (int)i;
            p->other = *b;
            p->other.bytes = NULL;
            snprintf(p->words, sizeof p->words, "tiers %s and %s", one->name, other->name);
        }
    }
}

/* "! 12 0:5 repetition 3": request 12 had this answer when the program was repeated. */
static bool repetition(struct play *p, struct tier *t, const char *rest) {
    struct answer other = {0};
    uint8_t *none = malloc(t->count + 1), *store = none;
    char *end;
    const long differs = strtol(rest + 1, &end, 10);
    const bool is_one = differs >= 0 && differs < (long)p->requests && none != NULL && *end == ' ';
    const char *more =
        is_one ? protocol_answer(end + 1, &p->request[differs], &other, &store) : NULL;
    if (more != NULL && p->differs < 0 &&
        is_want(&p->request[differs], &t->answer[differs]) ==
            is_want(&p->request[differs], &other)) {
        p->differs = (int)differs;
        p->other = other;
        p->other.bytes = NULL;
        snprintf(p->words, sizeof p->words, "tier %.47s, its first run and %.60s", t->name, more);
    }
    free(none);
    return more != NULL;
}

static enum played listen_whole(struct tier *t, struct play *p, long until) {
    size_t next = 0;
    enum heard heard =
        hear(t, 0, &next, protocol_answers_bytes_max(p->request, p->requests), until);
    if (heard != HEARD) {
        return ended(t, heard, p->words, sizeof p->words);
    }
    const char *rest = answers_parse(t, p);
    const char *why = rest == NULL                              ? "no answer to each request"
                      : *rest == '!' && !repetition(p, t, rest) ? "a repetition that is none"
                      : *rest != '!' && *rest != '\0'           ? "more answers than requests"
                      : t->count > next                         ? "more than one line"
                                                                : NULL;
    if (why != NULL) {
        return nonsense(t, why, p->words, sizeof p->words);
    }
    t->requests = p->requests;
    t->shared->busy = false;
    t->count = 0;
    return PLAYED;
}

/* Reads the answer to request n from the line at `from`; `.` if all have been answered. */
static bool step_parse(struct tier *t, struct play *p, size_t from, unsigned n) {
    if (n == p->requests) {
        return strcmp(t->line + from, ".") == 0;
    }
    uint8_t *bytes = malloc(t->count - from + 1), *store = bytes;
    const char *end = bytes == NULL
                          ? NULL
                          : protocol_answer(t->line + from, &p->request[n], &p->answer[n], &store);
    p->answer[n].bytes = NULL; /* only the request that ended it matters here */
    free(bytes);
    return end != NULL && *end == '\0';
}

static enum played listen_steps(struct tier *t, struct play *p) {
    size_t from = 0, next;
    for (unsigned n = 0; n <= p->requests; n++) {
        const size_t longest_bytes =
            protocol_answers_bytes_max(&p->request[n], n < p->requests ? 1 : 0);
        enum heard heard = hear(t, from, &next, longest_bytes, now_ms() + hang_ms);
        p->answered = n;
        if (heard != HEARD) {
            return ended(t, heard, p->words, sizeof p->words);
        }
        if (!step_parse(t, p, from, n)) {
            memmove(t->line, t->line + from, t->count -= from);
            return nonsense(t, "no answer to a single request", p->words, sizeof p->words);
        }
        from = next;
    }
    t->count = 0;
    t->shared->busy = false;
    return PLAYED;
}

static enum played play_one(struct tier *t, struct play *p, struct guest_bytes *line) {
    bool sent = alive(t);
    forget_old_words(t);
    if (has_spoken(t)) {
        make_room(t);
        const ssize_t count = read(t->from, t->line, t->room);
        t->count = count > 0 ? (size_t)count : 0;
        return nonsense(t, "nothing was asked", p->words, sizeof p->words);
    }
    protocol_repeat(line, p->stepwise ? 1 : t->repeat);
    if (sent) {
        t->shared->busy = true;
        sent = send_line(t, line, now_ms() + hang_ms);
    }
    if (!sent) {
        return ended(t, HEARD_NOTHING, p->words, sizeof p->words);
    }
    return p->stepwise ? listen_steps(t, p) : PLAYED;
}

/* Whether the tier plays this program. */
static bool takes_part(unsigned number, unsigned turn) {
    return number == 0 || !rotates || tiers < 2 || number == 1 + turn % (tiers - 1);
}

static enum played play(struct play *p) {
    static struct guest_bytes line;
    static unsigned who_died, turn;
    enum played how = PLAYED;
    protocol_program(&line, p);
    if (p->stepwise) { /* to find the request at which one died */
        return play_one(&tier[who_died], p, &line);
    }
    turn++;
    unsigned asked = 0;
    for (; asked < tiers && how == PLAYED; asked++) {
        who_died = asked;
        how = takes_part(asked, turn) ? play_one(&tier[asked], p, &line) : PLAYED;
    }
    const long until = now_ms() + hang_ms;
    for (unsigned i = 0; i < asked; i++) {
        if (!takes_part(i, turn)) {
            continue;
        }
        if (how != PLAYED) { /* one has died, so the others are in the middle of a line */
            if (i != who_died) {
                close_tier(&tier[i]);
            }
            continue;
        }
        who_died = i;
        how = listen_whole(&tier[i], p, until);
    }
    if (how != PLAYED) {
        return how;
    }
    for (unsigned i = 1; i < tiers; i++) {
        if (takes_part(i, turn)) {
            compare(p, &tier[0], &tier[i]);
        }
    }
    memcpy(p->answer, tier[0].answer, p->requests * sizeof *p->answer);
    return PLAYED;
}

/* ---- Opening --------------------------------------------------------------------------------- */

static long setting(const char *name, long usual) {
    const char *told = getenv(name);
    return told != NULL && atol(told) > 0 ? atol(told) : usual;
}

static bool has_word(const char *line, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = strstr(line, word); at != NULL; at = strstr(at + 1, word)) {
        if (at[-1] == ' ' && (at[length] == ' ' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

static bool meet(struct tier *t, struct door_features *f) {
    static const char hello[] = "{\"hello\":1}\n";
    struct guest_bytes line = {NULL, 0, 0};
    char words[WORDS_MAX + 200];
    size_t next;
    guest_bytes_add(&line, hello, sizeof hello - 1);
    const long until = now_ms() + START_MS;
    bool sent = alive(t) && send_line(t, &line, until);
    free(line.at);
    enum heard heard = sent ? hear(t, 0, &next, sizeof words, until) : HEARD_NOTHING;
    if (heard != HEARD) {
        ended(t, heard, words, sizeof words);
        fprintf(stderr, "runtime %s does not start: %s\n  its command: %s\n", t->name, words,
                t->command);
        return false;
    }
    char *about = strstr(t->line, " ; ");
    if (strncmp(t->line, "pagebox 1 ", 10) != 0 || about == NULL) {
        printable(t->line, strlen(t->line));
        fprintf(stderr,
                "runtime %s does not speak the protocol of fuzz/runtimes/README.md: %.200s\n",
                t->name, t->line);
        return false;
    }
    *about = '\0';
    snprintf(f->name, sizeof f->name, "%.90s", about + 3);
    f->threads = has_word(t->line, "threads");
    f->again = has_word(t->line, "again");
    f->imports = has_word(t->line, "imports");
    f->second = has_word(t->line, "second");
    f->wide = has_word(t->line, "memory64");
    f->simd = has_word(t->line, "simd");
    f->host_grow = has_word(t->line, "hostgrow");
    f->names = has_word(t->line, "names");
    t->count = 0;
    return true;
}

/* Features that all tiers have. */
static void meet_in(struct door_features *all, const struct door_features *one) {
    all->threads &= one->threads;
    all->again &= one->again;
    all->imports &= one->imports;
    all->second &= one->second;
    all->wide &= one->wide;
    all->simd &= one->simd;
    all->host_grow &= one->host_grow;
    all->names &= one->names;
}

static bool open_all(struct door_features *features) {
    const char *told = getenv("PAGEBOX_RUNTIME");
    char *lines = strdup(told != NULL ? told : ""), *rest = lines, *line;
    (void)signal(SIGPIPE, SIG_IGN);
    hang_ms = setting("PAGEBOX_HANG_MS", HANG_MS);
    repeat = setting("PAGEBOX_REPEAT", 0);
    rotates = setting("PAGEBOX_ROTATE", 0) == 1;
    while ((line = strsep(&rest, "\n")) != NULL && tiers < TIERS_MAX) {
        const char *name = strsep(&line, "\t"), *times = strsep(&line, "\t");
        if (line != NULL) {
            struct tier *t = &tier[tiers++];
            snprintf(t->name, sizeof t->name, "%s", name);
            t->repeat = (uint32_t)(repeat > 0 ? repeat : atol(times) > 0 ? atol(times) : 1);
            t->command = strdup(line);
        }
    }
    free(lines);
    if (tiers == 0) {
        fprintf(stderr, "PAGEBOX_RUNTIME is not set: make fuzz RUNTIME=node does it\n");
        return false;
    }
    for (unsigned i = 0; i < tiers; i++) { /* all start at once, because a browser takes seconds */
        (void)alive(&tier[i]);
    }
    for (unsigned i = 0; i < tiers; i++) {
        struct door_features f = {0};
        if (!meet(&tier[i], &f)) {
            return false;
        }
        if (i == 0) {
            *features = f;
        }
        meet_in(features, &f);
    }
    features->costly_pages = (uint32_t)setting("PAGEBOX_COSTLY_PAGES", 0);
    features->costly_shared_pages = (uint32_t)setting("PAGEBOX_COSTLY_SHARED_PAGES", 0);
    return true;
}

/* Each tier's command, with the file instead of our driver. */
static const char *commands(const char *file, unsigned *times) {
    static char all[4096];
    static const char driver[] = "/driver.js";
    size_t used = 0;
    *times = 1;
    for (unsigned i = 0; i < tiers; i++) {
        const char *command = tier[i].command, *at = strstr(command, driver), *from = at;
        const char *exec = strstr(command, "exec ");
        while (from != NULL && from > command && from[-1] != ' ') {
            from--;
        }
        *times = tier[i].repeat > *times ? tier[i].repeat : *times;
        int head = exec != NULL && from != NULL ? (int)(exec - command) : 0;
        const char *rest = head > 0 || exec == command ? exec + 5 : command;
        int length = from != NULL ? (int)(from - rest) : (int)strlen(rest);
        used += (size_t)snprintf(all + used, sizeof all - used, "%.*s%.*s%s%s\n", head, command,
                                 length, rest, from != NULL ? file : "",
                                 from != NULL ? at + sizeof driver - 1 : "");
        used = used < sizeof all ? used : sizeof all - 1;
    }
    return all;
}

const struct door door = {.open = open_all, .play = play, .commands = commands};
