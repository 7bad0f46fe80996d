/* subject.c: users' memories and mailboxes, through the tables of fuzz/subject.h, beside the
 * reference through the same tables, so that both have the same call overhead. Run: make bench
 * FILTER=subject SUBJECT=./mine.so
 *
 * SUBJECT names one or more shared objects, separated by commas; "reference" alone gives only the
 * reference's rows. Without SUBJECT there are no rows, so that a plain `make bench` stays short.
 * Names: subject/OPERATION/of:NAME[/strategy:S]/... */
#include "fault.h"
#include "load.h"
#include "os_wrap.h"
#include "shim.h"
#include "strategies.h"
#include "threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 16, IDS = 1024, TRIP_LANE = 64 };

/* ---- The reference as linked here: its system calls are not wrapped -------------------------- */

bool os_wrap_keeps(void) {
    return true;
}

/* No coverage is counted here. */
void interleave_unseen(bool on) {
    (void)on;
}

/* No call is made to fail here. */
unsigned fault_count(void) {
    return 0;
}

uint64_t fault_fired(void) {
    return 0;
}

/* ---- Subjects -------------------------------------------------------------------------------- */

/* The subject of a row. */
struct made {
    const struct subject *subject;
    unsigned strategy;
};

static void *allocate_zeroed(size_t bytes) {
    return calloc(1, bytes);
}

static const struct subject_environment environment = {allocate_zeroed, realloc, free,
                                                       BENCH_HOST_PAGE};

static void begin(const struct subject *s) {
    if (s->begin != NULL) {
        s->begin(&environment);
    }
}

static void end(const struct subject *s) {
    if (s->end != NULL) {
        s->end();
    }
}

static const char *status_name(enum subject_status status) {
    static const char *const names[SUBJECT_STATUS_COUNT] = {
        [SUBJECT_OK] = "ok",
        [SUBJECT_INVALID] = "invalid",
        [SUBJECT_LIMIT] = "limit",
        [SUBJECT_NO_MEMORY] = "no memory",
        [SUBJECT_UNSUPPORTED] = "unsupported",
        [SUBJECT_FULL] = "full",
    };
    const char *name = (unsigned)status < SUBJECT_STATUS_COUNT ? names[status] : NULL;
    return name != NULL ? name : "another status";
}

static bool check(struct bench_state *state, const char *what, enum subject_status status) {
    char reason[96];
    if (status != SUBJECT_OK) {
        snprintf(reason, sizeof reason, "%s: %s", what, status_name(status));
        bench_skip(state, reason);
    }
    return status == SUBJECT_OK;
}

/* Memories alive at once: strategies with slots may have few. */
static int batch_of(const struct made *made, uint32_t pages) {
    return made->subject->memory->strategy[made->strategy].slot_pages != 0 ? 1 : bench_batch(pages);
}

/* ---- Memories -------------------------------------------------------------------------------- */

static enum subject_status create(const struct made *made, uint32_t pages, bool shared,
                                  void **memory) {
    const struct subject_memory *m = made->subject->memory;
    const struct subject_strategy *strategy = &m->strategy[made->strategy];
    const uint32_t slot = strategy->slot_pages, room = slot != 0 ? slot : BENCH_CAPACITY_PAGES;
    const bool tight =
        strategy->guard_bytes_max != 0 && strategy->guard_bytes_max < BENCH_GUARD_BYTES;
    const uint64_t guard = tight ? strategy->guard_bytes_max : BENCH_GUARD_BYTES;
    const struct subject_memory_config config = {
        .type = {.min_pages = pages, .max_pages = room, .shared = shared},
        .strategy = made->strategy,
        .style = strategy->stable_base ? SUBJECT_STYLE_STATIC : SUBJECT_STYLE_DYNAMIC,
        .bound_pages = room,
        .static_guard_bytes = guard,
        .dynamic_guard_bytes = guard,
    };
    return m->create(&config, memory);
}

static void touch(const struct made *made, void *memory) {
    const struct subject_record *record = made->subject->memory->record(memory);
    bench_touch(atomic_load_explicit(&record->base, memory_order_relaxed),
                atomic_load_explicit(&record->length_bytes, memory_order_relaxed));
}

/* Makes a batch of memories; returns how many. */
static int create_all(const struct made *made, uint32_t pages, int count, void **memories,
                      enum subject_status *status) {
    int alive = 0;
    *status = SUBJECT_OK;
    while (alive < count && *status == SUBJECT_OK) {
        *status = create(made, pages, false, &memories[alive]);
        alive += *status == SUBJECT_OK;
    }
    return alive;
}

static void destroy_all(const struct made *made, int count, void **memories) {
    while (count > 0) {
        made->subject->memory->destroy(memories[--count]);
    }
}

static void run_create_destroy(struct bench_state *state) {
    const struct made *made = bench_argument(state);
    const uint32_t pages = (uint32_t)bench_number(state, "pages");
    const int batch = batch_of(made, pages);
    void *memories[BATCH_MAX];
    enum subject_status status = SUBJECT_OK;
    begin(made->subject);
    while (status == SUBJECT_OK && bench_next(state, batch)) {
        bench_begin(state);
        destroy_all(made, create_all(made, pages, batch, memories, &status), memories);
        bench_end(state);
        end(made->subject); /* address space of a pool, or of a subject that leaks */
        begin(made->subject);
    }
    check(state, "create", status);
    end(made->subject);
}

/* What is measured on each memory of an existing batch. */
typedef enum subject_status (*measured)(const struct made *made, void *memory, void **second);

static void run_on_memories(struct bench_state *state, measured run, bool touched) {
    const struct made *made = bench_argument(state);
    const uint32_t pages = (uint32_t)bench_number(state, "pages");
    const int batch = batch_of(made, pages);
    void *memories[BATCH_MAX], *seconds[BATCH_MAX];
    enum subject_status status = SUBJECT_OK;
    while (status == SUBJECT_OK && bench_next(state, batch)) {
        begin(made->subject);
        const int count = create_all(made, pages, batch, memories, &status);
        memset(seconds, 0, sizeof seconds);
        for (int i = 0; i < count && touched; i++) {
            touch(made, memories[i]);
        }
        bench_begin(state);
        for (int i = 0; i < count && status == SUBJECT_OK; i++) {
            status = run(made, memories[i], &seconds[i]);
        }
        bench_end(state);
        for (int i = 0; i < count; i++) {
            if (seconds[i] != NULL) {
                made->subject->memory->destroy(seconds[i]);
            }
        }
        destroy_all(made, count, memories);
        end(made->subject);
    }
    check(state, "the operation", status);
}

static enum subject_status grow_one(const struct made *made, void *memory, void **second) {
    uint32_t old_pages;
    (void)second;
    return made->subject->memory->grow(memory, 1, &old_pages);
}

static enum subject_status copy_one(const struct made *made, void *memory, void **second) {
    return made->subject->memory->copy(memory, second);
}

static void run_grow(struct bench_state *state) {
    run_on_memories(state, grow_one, true);
}

static void run_copy(struct bench_state *state) {
    run_on_memories(state, copy_one, true);
}

/* ---- Wait and notify ------------------------------------------------------------------------- */

struct trip {
    const struct subject_memory *table;
    void *memory;
    _Atomic bool stop;
    cpu_set_t before;
    pthread_t partner;
};

static void send(const struct trip *t, uint32_t address, uint32_t number) {
    uint32_t woken;
    (t->table->atomic_store)(t->memory, address, 0, 4, number);
    t->table->notify(t->memory, address, 1, &woken);
}

static void await(const struct trip *t, uint32_t address, uint32_t number) {
    uint64_t seen = 0;
    unsigned result;
    while ((t->table->atomic_load)(t->memory, address, 0, 4, &seen) == SUBJECT_OK &&
           seen != number) {
        t->table->wait32(t->memory, address, number - 1, -1, &result);
    }
}

static void *partner_main(void *argument) {
    struct trip *t = argument;
    for (uint32_t number = 1;; number++) {
        await(t, 0, number);
        if (atomic_load(&t->stop)) {
            return NULL;
        }
        send(t, TRIP_LANE, number);
    }
}

static void trips(struct bench_state *state, struct trip *t) {
    uint32_t number = 0;
    while (bench_next(state, 1)) {
        bench_begin(state);
        const double sent_ns = bench_now_ns();
        send(t, 0, ++number);
        await(t, TRIP_LANE, number);
        const double back_ns = bench_now_ns();
        bench_end(state);
        bench_sample(state, back_ns - sent_ns);
    }
    atomic_store(&t->stop, true);
    send(t, 0, number + 1);
    pthread_join(t->partner, NULL);
}

static void run_round_trip(struct bench_state *state) {
    const struct made *made = bench_argument(state);
    struct trip t = {.table = made->subject->memory};
    begin(made->subject);
    if (check(state, "a shared memory", create(made, 1, true, &t.memory))) {
        const int core = (int)bench_number(state, "cores") - 1;
        if (bench_start(&t.partner, core, partner_main, &t)) {
            bench_pin(0, &t.before);
            trips(state, &t);
            bench_unpin(&t.before);
        } else {
            bench_skip(state, "there is only one core");
        }
        made->subject->memory->destroy(t.memory);
    }
    end(made->subject);
}

/* ---- Mailbox --------------------------------------------------------------------------------- */

static void take(void *context, uint32_t id) {
    *(uint64_t *)context += id;
}

static enum subject_status attach(const struct subject *s, void **mailbox) {
    static const enum subject_ground grounds[] = {SUBJECT_SHARED, SUBJECT_HEAP};
    enum subject_status status = SUBJECT_UNSUPPORTED;
    for (unsigned i = 0; i < 2 && status == SUBJECT_UNSUPPORTED; i++) {
        const struct subject_mailbox_config config = {.ground = grounds[i], .pages = 1};
        status = s->mailbox->attach(&config, mailbox);
    }
    return status;
}

/* Fills half of the ring and drains it, in turn; the row says which half is measured. */
static void run_mailbox(struct bench_state *state, bool enqueues, bool drains) {
    const struct made *made = bench_argument(state);
    const struct subject_mailbox *m = made->subject->mailbox;
    const uint32_t ids = m->capacity > 2 * IDS ? IDS : (m->capacity + 1) / 2;
    uint64_t sum = 0;
    void *mailbox;
    begin(made->subject);
    enum subject_status status = attach(made->subject, &mailbox);
    if (!check(state, "attach", status)) {
        end(made->subject);
        return;
    }
    while (status == SUBJECT_OK && bench_next(state, ids)) {
        if (enqueues) {
            bench_begin(state);
        }
        for (uint32_t id = 1; id <= ids && status == SUBJECT_OK; id++) {
            status = m->enqueue(mailbox, id);
        }
        if (enqueues != drains) {
            enqueues ? (void)bench_end(state) : bench_begin(state);
        }
        m->drain(mailbox, take, &sum);
        if (drains) {
            bench_end(state);
        }
    }
    check(state, "enqueue", status);
    if (status == SUBJECT_OK && sum == 0) {
        bench_skip(state, "nothing was delivered");
    }
    m->release(mailbox);
    end(made->subject);
}

static void run_enqueue(struct bench_state *state) {
    run_mailbox(state, true, false);
}

static void run_drain(struct bench_state *state) {
    run_mailbox(state, false, true);
}

/* ---- Registration ---------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*run)(struct bench_state *state);
} on_memories[] = {{"subject/create_destroy", run_create_destroy},
                   {"subject/grow", run_grow},
                   {"subject/copy", run_copy}},
  on_mailboxes[] = {{"subject/enqueue", run_enqueue}, {"subject/drain", run_drain}};

/* Including growth by one page. */
static bool has_room(const struct subject_memory *m, const struct made *made, uint32_t pages) {
    const uint32_t slot = m->strategy[made->strategy].slot_pages;
    return slot == 0 || pages < slot;
}

/* The reference's row to compare a subject's with; NULL for the reference itself. */
static const char *reference_row(const char *name, const char *row, const char *rest) {
    return strcmp(name, "reference") == 0 ? NULL : bench_kept_text("%s/of:reference%s", row, rest);
}

static void add_memory(const struct made *made, const char *name, const char *strategy) {
    const struct subject_memory *m = made->subject->memory;
    static const uint32_t sizes[] = {1, 16, 256};
    for (unsigned i = 0; i < 3; i++) {
        const bool offered = on_memories[i].run != run_copy || m->copy != NULL;
        for (unsigned n = 0; n < 3 && offered && has_room(m, made, sizes[n]); n++) {
            char rest[64];
            snprintf(rest, sizeof rest, "/strategy:reserve/pages:%u", sizes[n]);
            bench_register(&(struct bench_case){
                .name = on_memories[i].name,
                .bounds = reference_row(name, on_memories[i].name, rest),
                .run = on_memories[i].run,
                .argument = made,
                .clock = BENCH_CLOCK_SECTIONS,
                .parameters = {
                    {"of", name, 0}, {"strategy", strategy, 0}, {"pages", NULL, sizes[n]}}});
        }
    }
    if (m->strategy[made->strategy].shareable && m->wait32 != NULL && m->notify != NULL &&
        m->atomic_load != NULL && m->atomic_store != NULL) {
        bench_register(&(struct bench_case){
            .name = "subject/round_trip",
            .run = run_round_trip,
            .argument = made,
            .clock = BENCH_CLOCK_SAMPLES,
            .parties = true,
            .bounds = reference_row(name, "subject/round_trip", "/strategy:reserve/cores:2"),
            .parameters = {{"of", name, 0}, {"strategy", strategy, 0}, {"cores", NULL, 2}}});
    }
}

static const struct made *remember(const struct subject *s, unsigned strategy) {
    struct made *made = bench_kept(sizeof *made);
    *made = (struct made){s, strategy};
    return made;
}

static void add_subject(const struct subject *s, const char *name) {
    begin(s); /* fills in the reference's strategies */
    for (unsigned i = 0; s->memory != NULL && i < s->memory->strategies; i++) {
        const struct subject_strategy *strategy = &s->memory->strategy[i];
        const struct made *made = strategy->missing == NULL ? remember(s, i) : NULL;
        if (made != NULL) {
            add_memory(made, name, strategy->name);
        }
    }
    const struct made *made = s->mailbox != NULL ? remember(s, 0) : NULL;
    for (unsigned i = 0; made != NULL && i < 2; i++) {
        bench_register(&(struct bench_case){.name = on_mailboxes[i].name,
                                            .bounds = reference_row(name, on_mailboxes[i].name, ""),
                                            .run = on_mailboxes[i].run,
                                            .argument = made,
                                            .clock = BENCH_CLOCK_SECTIONS,
                                            .parameters = {{"of", name, 0}}});
    }
    end(s);
}

/* The name of "./build/mine.so" is mine. */
static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    const char *dot = strrchr(name, '.');
    return bench_kept_text("%.*s", (int)(dot == NULL ? strlen(name) : (size_t)(dot - name)), name);
}

BENCH_SUBJECT {
    const char *given = getenv("SUBJECT");
    char *paths = given == NULL || *given == '\0' ? NULL : strdup(given), *rest = paths;
    if (paths == NULL) {
        return;
    }
    add_subject(subject_ref(), "reference");
    for (const char *path; (path = strtok_r(rest, ",", &rest)) != NULL;) {
        if (strcmp(path, "reference") == 0) {
            continue;
        }
        const struct subject *s = subject_load(path);
        if (s == NULL) {
            exit(2);
        }
        add_subject(s, name_of(path));
    }
    free(paths);
}

#define SUBJECTS_SECTION(words, operation)                                       \
    {                                                                            \
        .inside = "Subjects", .title = words, .rows = "^subject/" operation "/", \
        .lines = "of strategy", .columns = "pages"                               \
    }

BENCH_SUBJECT {
    static const struct bench_section sections[] = {
        SUBJECTS_SECTION("Create and destroy", "create_destroy"),
        SUBJECTS_SECTION("Grow by one page, of a written memory", "grow"),
        SUBJECTS_SECTION("Copy a written memory", "copy"),
        {.inside = "Subjects",
         .title = "Wait and notify, there and back between two cores",
         .rows = "^subject/round_trip/",
         .lines = "of strategy"},
        {.inside = "Subjects",
         .title = "Mailboxes",
         .rows = "^subject/(enqueue|drain)/",
         .lines = "of",
         .columns = "operation",
         .unit = "an id"},
        {.title = NULL}};
    bench_words("of:reference", "reference");
    bench_sections_add(sections);
    bench_answer("**Subjects**, times the reference:[ create and destroy {ratios "
                 "^subject/create_destroy/.*/pages:16$};][ grow {ratios "
                 "^subject/grow/.*/pages:16$};][ copy {ratios ^subject/copy/.*/pages:16$};][ "
                 "enqueue {ratios ^subject/enqueue/};][ drain {ratios ^subject/drain/};].");
}
