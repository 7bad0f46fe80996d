/* interleave.c: runs a program's threads under the engine, and names what goes wrong by its rule.
 */
#include "fault.h"
#include "load.h"
#include "model.h"
#include "os_sim_faults.h"
#include "os_wrap.h"
#include "rule.h"
#include "sim.h"
#include "trace_json.h"
#include "world.h"

#include <ctype.h>
#include <link.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct world world;
/* A program's budget is less than this many pages. */
enum { BUDGET_PAGES = 8 };
/* How often one input runs under a random source, each time with another seed. */
enum { RANDOM_RUNS = 16 };
/* Schedules of one program that is explored, at most. */
enum { EXPLORED_MAX = 100000 };
/* Waits of each thread that may time out where every schedule is searched. */
enum { SEARCHED_TIMEOUTS = 1 };

void world_check(const char *rule) {
    if (rule != NULL) {
        sim_finding(rule, "%s", concurrent_why());
    }
}

static void arm(const struct op *op) {
    fault_arm(sim_self(), (enum word_call)op->arg.fault_at.call, op->arg.fault_at.nth,
              (enum word_error)op->arg.fault_at.error);
}

/* ---- What the engine can run ------------------------------------------------------------------
 */

static bool is_set_up(uint8_t code) {
    return code == OP_memory_create || code == OP_memory_create_more || code == OP_mailbox_attach;
}

static bool is_ref(const struct subject *subject) {
    return subject == subject_ref();
}

static bool has_mailbox(const struct program *program) {
    if (program->target == TARGET_waiters_fuzzer) {
        return false;
    }
    for (unsigned i = 0; i < program->operations; i++) {
        uint8_t code = program->operation[i].code;
        if (is_of_mailbox(code) || code == OP_mailbox_attach) {
            return true;
        }
    }
    return false;
}

/* A memory that threads can share, each with a handle of its own. */
static bool can_share(const struct subject_memory *m) {
    bool shareable = false;
    for (unsigned i = 0; m != NULL && i < m->strategies; i++) {
        shareable |= m->strategy[i].shareable && m->strategy[i].missing == NULL;
    }
    return shareable && m->clone != NULL;
}

static bool wants_memory(const struct program *program) {
    return program->target != TARGET_mailbox_fuzzer;
}

const char *interleave_lacks(const struct subject *subject, const struct program *program) {
    const bool mailbox = has_mailbox(program) || !wants_memory(program);
    if (subject == NULL) {
        return NULL;
    }
    if (!(subject->abi & SUBJECT_SEEN)) {
        return "its threads need a subject that the engine sees: build it with build.sh -e";
    }
    if (wants_memory(program) && !can_share(subject->memory)) {
        return "its threads need a memory with a strategy that is shareable, and clone";
    }
    return mailbox && subject->mailbox == NULL ? "it needs a mailbox" : NULL;
}

/* The object that contains the address. Its data are restored after each run. */
static int restore_data(struct dl_phdr_info *object, size_t size, void *address) {
    bool inside = false;
    (void)size;
    for (unsigned i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const ElfW(Addr) start = object->dlpi_addr + part->p_vaddr;
        inside |= part->p_type == PT_LOAD && (uintptr_t)address - start < part->p_memsz;
    }
    for (unsigned i = 0; inside && i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type == PT_LOAD && (part->p_flags & PF_W)) {
            char *start = (char *)(object->dlpi_addr + part->p_vaddr);
            (void)sim_restore_range(start, start + part->p_memsz);
        }
    }
    return inside;
}

static const struct subject *chosen; /* whose program runs */

static void choose(const struct subject *subject) {
    static const struct subject *met;
    chosen = subject != NULL ? subject : subject_ref();
    if (!is_ref(chosen) && met != chosen) {
        met = chosen;
        dl_iterate_phdr(restore_data, (void *)(uintptr_t)chosen);
    }
}

/* ---- A run ------------------------------------------------------------------------------------
 */

/* How many operations of a program run before its threads begin. */
static unsigned prefix_of(const struct program *program) {
    unsigned leading = 0;
    for (unsigned i = 0; i < program->operations; i++) {
        if (is_set_up(program->operation[i].code)) {
            leading = i + 1;
        } else if (program->operation[i].code != OP_fault_at) {
            break;
        }
    }
    for (unsigned i = 0; i < program->operations; i++) {
        if (program->operation[i].code == OP_interleave) {
            return i;
        }
    }
    return leading;
}

/* Operations of the threads in the order in which they began. */
static struct {
    unsigned count;
    uint16_t number[OPS_MAX];
} order;

static bool operation(struct actor *a, const struct op *op) {
    enum { PAUSE_STEPS_MAX = 64 };
    if (op->code == OP_fault_at) {
        arm(op);
        return true;
    }
    if (op->code == OP_pause) {
        a->pauses_at = 1 + (uint32_t)(op->arg.pause.step % PAUSE_STEPS_MAX);
        return true;
    }
    if (world.threaded) {
        sim_pause_after(a->pauses_at);
        a->pauses_at = 0;
    }
    return memory_operation(a, op) || mailbox_operation(a, op);
}

static void run_operation(struct actor *a, const struct op *op) {
    a->op = op;
    const bool done = operation(a, op);
    sim_pause_after(0);
    if (done) {
        world.operations++;
        sim_progress();
    }
    a->op = NULL;
}

const struct subject *(*interleave_front)(const struct subject *subject);
bool interleave_newest;

int interleave_thread(void) {
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (world.threaded && world.actor[i].engine_thread == sim_self() &&
            world.actor[i].engine_thread != 0) {
            return (int)i;
        }
    }
    return -1;
}

/* One logical thread: its operations, in order. */
static void act(void *arg) {
    struct actor *a = arg;
    const struct program *program = world.program;
    a->engine_thread = sim_self();
    sim_note("T%u of the program", a->number);
    for (unsigned i = world.prefix; i < program->operations; i++) {
        if (program->operation[i].thread == a->number) {
            order.number[order.count++] = (uint16_t)i;
            run_operation(a, &program->operation[i]);
        }
    }
    memory_end_thread(a);
    mailbox_end_thread(a);
}

static bool is_guests(uint8_t code) {
    return code == OP_guest_drain || code == OP_guest_park || code == OP_mailbox_rounds;
}

/* Whether the operation may touch the bytes of the mailbox's region, by a thread that nothing
 * orders with others that may. */
static bool may_touch_region(const struct op *op) {
    switch (op->code) {
    case OP_mailbox_attach_beside:
        return op->arg.mailbox_attach_beside.place != WORD_place_far;
    case OP_mailbox_move:
    case OP_mailbox_grow:
    case OP_mailbox_lose:
    case OP_guest_scribble:
    case OP_memory_copy:
        return true;
    case OP_memory_grow: /* its answer is tried at the last byte, which may be the region's */
        return op->arg.memory_grow.pages == 0;
    case OP_memory_clone:
    case OP_memory_destroy:
    case OP_memory_disable_atomics:
    case OP_memory_tenant:
    case OP_memory_budget:
    case OP_memory_pin:
    case OP_memory_unpin:
    case OP_memory_cancel:
    case OP_explore:
    case OP_interleave:
    case OP_fault:
    case OP_fault_at:
    case OP_pause:
        return false;
    default:
        return op->code < OP_mailbox_attach && !is_set_up(op->code);
    }
}

/* Settings for the whole program. */
static void survey(const struct program *program, unsigned *threads) {
    world.places_mailbox = has_mailbox(program);
    for (unsigned i = 0; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        if (is_guests(op->code) && world.judge.guest < 0) {
            world.judge.guest = op->thread;
        }
        if (op->code == OP_guest_park_second && world.second_guest < 0) {
            world.second_guest = op->thread;
        }
        world.judge.faulty |= op->code == OP_fault || op->code == OP_fault_at;
        world.destroys |= op->code == OP_memory_destroy;
        world.grows |= op->code == OP_memory_grow;
        if (op->code == OP_memory_copy && i >= world.prefix) {
            world.copies_to[op->thread] |= 1u << op->arg.memory_copy.to;
        }
        world.releases |= op->code == OP_mailbox_release;
        world.attaches |= op->code == OP_mailbox_attach_beside && i >= world.prefix;
        world.touches_region |= may_touch_region(op);
        world.hears |=
            op->code == OP_memory_owner_of_tenant && op->arg.memory_owner_of_tenant.byte % 2 != 0;
        world.tenancies += op->code == OP_memory_tenant;
        world.wants_early |= memory_wants_early(op);
        world.wants_many |= memory_wants_many(op);
        world.scribbles |= op->code == OP_guest_scribble;
        world.awaits_signal |= op->code == OP_mailbox_wait_for_signal;
        world.cancels |= is_cancellable(op->code);
        if (op->code == OP_memory_budget && world.budget_bytes == 0) {
            world.budget_bytes = op->arg.memory_budget.pages % BUDGET_PAGES * SUBJECT_PAGE_BYTES;
        }
        if (i >= world.prefix) {
            *threads |= 1u << op->thread;
        }
    }
}

/* The first operation of the prefix with one of these codes, or NULL. */
static const struct op *first_of(const struct program *program, uint8_t code, uint8_t other) {
    for (unsigned i = 0; i < world.prefix; i++) {
        if (program->operation[i].code == code || program->operation[i].code == other) {
            return &program->operation[i];
        }
    }
    return NULL;
}

/* Arms the faults that stand before the operation and are not armed yet. */
static void arm_before(const struct program *program, const struct op *end) {
    for (; end != NULL && &program->operation[world.armed_until] < end; world.armed_until++) {
        const struct op *op = &program->operation[world.armed_until];
        if (op->code == OP_fault_at) {
            arm(op);
        }
    }
}

/* The first memory, the first mailbox: as the program says, or the usual ones. */
static void set_up(const struct program *program) {
    const struct op *memory = first_of(program, OP_memory_create, OP_memory_create_more);
    const struct op *mailbox = first_of(program, OP_mailbox_attach, OP_mailbox_attach);
    if (wants_memory(program)) {
        arm_before(program, memory);
        memory_create_first(memory);
    }
    if (mailbox != NULL || has_mailbox(program)) {
        arm_before(program, mailbox);
        mailbox_attach_first(mailbox);
    }
}

static void run_prefix(const struct program *program) {
    struct actor *first = &world.actor[world.judge.guest < 0 ? 0 : world.judge.guest];
    memory_share(first);
    for (unsigned i = 0; i < world.prefix; i++) {
        const struct op *op = &program->operation[i];
        bool blocks = op->code == OP_mailbox_hold || op->code == OP_mailbox_release;
        bool armed = op->code == OP_fault_at && i < world.armed_until;
        if (!is_set_up(op->code) && !blocks && !armed) {
            run_operation(first, op);
        }
    }
    memory_end_thread(first);
    mailbox_keep_wakers(first);
    mailbox_end_thread(first);
    first->beside_end = 0;
}

static bool searching; /* the runs are those of a search */

static void world_clear(void) {
    memset(world.crowd, 0, world.crowded * sizeof world.crowd[0]);
    concurrent_clear(&world.judge);
    concurrent_clear(&world.copy_judge);
    memset(&world, 0, offsetof(struct world, judge));
}

/* The first thread: sets up, starts the others, waits for them, and checks the end state. */
static void program_main(void *arg) {
    const struct program *program = arg;
    int running[OP_THREADS];
    unsigned threads = 0;
    world_clear();
    order.count = 0;
    world.program = program;
    world.bounds = bounds_of(program);
    world.untold = chosen->memory;
    world.subject = interleave_front != NULL ? interleave_front(chosen) : chosen;
    world.m = world.subject->memory;
    world.b = world.subject->mailbox;
    world.judge.guest = world.second_guest = -1;
    world.judge.searched = world.copy_judge.searched = searching;
    fault_begin(NULL, 0);
    world.prefix = prefix_of(program);
    for (unsigned i = 0; i < OP_THREADS; i++) {
        world.actor[i].number = (uint8_t)i;
        running[i] = -1;
    }
    survey(program, &threads);
    if (chosen->begin != NULL) {
        chosen->begin(os_sim_environment());
    }
    memory_budget_first();
    set_up(program);
    if (world.wants_early) {
        memory_early_first();
    }
    if (world.wants_many) {
        memory_many_first();
    }
    for (unsigned i = 0; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        if (op->code == OP_memory_tenant && memory_pool_first(op)) {
            break;
        }
    }
    if (world.cancels) {
        memory_make_cancellers();
    }
    const bool releases = world.releases && world.box != NULL && world.b->waker_create != NULL &&
                          (world.b->promises & SUBJECT_KEPT_BY_WAKERS);
    world.releases = false;
    run_prefix(program);
    if (releases && world.attaches) {
        mailbox_anchor();
    }
    world.releases = world.judge.released = releases;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (threads >> i & 1) {
            memory_share(&world.actor[i]);
            mailbox_share(&world.actor[i]);
        }
    }
    mailbox_drop_wakers();
    world.threaded = true;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (threads >> i & 1) {
            running[i] = sim_spawn(act, &world.actor[i]);
        }
    }
    if (world.releases) {
        world.b->release(world.box);
    }
    memory_give_up();
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (running[i] >= 0) {
            sim_join(running[i]);
        }
    }
    for (unsigned i = 0; i < OP_THREADS; i++) {
        if (world.actor[i].stopped) { /* the harness releases what it held */
            world.actor[i].op = NULL;
            memory_end_thread(&world.actor[i]);
            mailbox_end_thread(&world.actor[i]);
        }
    }
    memory_join_crowd();
    mailbox_end();
    memory_early_end();
    memory_many_end();
    memory_end();
    if (chosen->end != NULL) {
        chosen->end();
    }
    const char *complaint = chosen->complaint != NULL ? chosen->complaint() : NULL;
    if (complaint != NULL) {
        sim_finding(complaint, "the subject itself says so");
    }
    if (os_sim_blocks() != 0) {
        sim_finding(wants_memory(program) ? "R14-leak" : "R36-leak", "%u blocks are left",
                    os_sim_blocks());
    }
}

/* ---- What the engine found, by its rule -------------------------------------------------------
 */

static bool is_rule(const char *name) {
    return name[0] == 'R' && isdigit((unsigned char)name[1]);
}

/* Every thread is blocked, and one of them is a producer that stopped. Other threads may wait for
 * it, except those that only enqueue. */
static const char *at_rest_behind_stopped(void) {
    const char *rule = NULL;
    for (unsigned i = 0; i < OP_THREADS && rule == NULL; i++) {
        const struct actor *a = &world.actor[i];
        if (a->op != NULL && !a->stopped && !a->in_wait && !a->in_signal && !a->in_second) {
            rule = concurrent_blocked_by_stopped(&world.judge, a->op->code);
        }
    }
    return rule;
}

/* Every thread is blocked. That is correct if no rule promises the event that they wait for. */
static const char *at_rest(const char *finding) {
    if (world.stopped) {
        return at_rest_behind_stopped();
    }
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        if (a->op != NULL && !a->in_wait && !a->in_signal && !a->in_second) {
            return a->holds || !is_of_mailbox(a->op->code) ? "R21-deadlock"
                   : world.judge.close_end != NEVER        ? "R36-deadlock"
                                                           : "R34-deadlock";
        }
    }
    const char *rule = mailbox_at_rest();
    rule = rule != NULL ? rule : concurrent_memory_at_rest(&world.judge);
    rule = rule != NULL || world.copy == NULL ? rule : concurrent_memory_at_rest(&world.copy_judge);
    if (rule == NULL && strcmp(finding, "lost-wakeup") == 0 && !world.judge.wild) {
        rule = "R34-no-lost-wakeup";
        for (unsigned i = 0; i < OP_THREADS; i++) {
            rule = world.actor[i].in_wait || world.crowded > 0 ? "R22-lost-wakeup" : rule;
        }
    }
    return rule;
}

/* True if the address of the bad access lies within the memory's own size. */
static bool within_size(const char *detail) {
    const char *at = strstr(detail, " at 0x");
    if (at == NULL || world.root == NULL || world.m->record == NULL) {
        return false;
    }
    uint64_t length = atomic_load(&world.m->record(world.root)->length_bytes);
    uint64_t offset = strtoull(at + strlen(" at "), NULL, 16) - (uint64_t)(uintptr_t)world.base;
    return offset < length;
}

/* A thread is in such an operation. */
static bool now(uint8_t code) {
    bool any = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct op *op = world.actor[i].op;
        any |= op != NULL && op->code == code;
    }
    return any;
}

/* Bytes are moved for whoever asked: the rule of the operation that does. */
static const char *rule_of_bytes(const char *otherwise) {
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct op *op = world.actor[i].op;
        switch (op != NULL ? op->code : 0) {
        case OP_memory_copy:
        case OP_memory_read:
        case OP_memory_bulk_copy:
        case OP_memory_bulk_fill:
        case OP_memory_bulk_init:
        case OP_memory_segments:
        case OP_memory_initialise:
            return op_info(world.program->target, op->code)->rule;
        default:
            break;
        }
    }
    return otherwise;
}

/* A race or a bad access is named after the part of ref/ whose function it was in: the innermost
 * one that belongs to neither the lock nor the harness. */
static const char *access_rule(const char *finding, char *detail, size_t bytes) {
    static const struct {
        const char *file;
        const char *rule;
    } rules[] = {{"waiters.c", "R27"},      {"guest.c", "R31"},       {"mailbox.c", "R31"},
                 {"linear.c", "R14"},       {"region_pool.c", "R15"}, {"region_image.c", "R13"},
                 {"region_sweep.c", "R15"}, {"region.c", "R6"},       {"region_mapped.c", "R6"},
                 {"region_heap.c", "R6"},   {"memory.c", "R14"},      {"bulk.c", "R16"},
                 {"access.c", "R11"},       {"owner.c", "R39"},       {"limiter.c", "R40"}};
    static char name[96];
    const char *rule = world.judge.has_mailbox ? "R31" : "R27", *first = NULL;
    sim_symbolise(detail, bytes);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        const char *place = strstr(detail, rules[i].file);
        if (place != NULL && (first == NULL || place < first)) {
            first = place;
            rule = rules[i].rule;
        }
    }
    if (first == NULL && strstr(detail, "guest_bytes.") != NULL) {
        rule = rule_of_bytes(rule);
    }
    bool mailbox = strcmp(rule, "R31") == 0, race = strcmp(finding, "data-race") == 0;
    bool shared = world.judge.has_memory || world.ground == SUBJECT_SHARED;
    if (strstr(detail, "pb_memory_copy") != NULL) {
        snprintf(name, sizeof name, "R13-%s", finding);
        return name;
    }
    if (strstr(detail, "canceller_") != NULL ||
        ((strcmp(rule, "R27") == 0 || strcmp(rule, "R14") == 0) && now(OP_memory_cancel))) {
        snprintf(name, sizeof name, "R41-%s", finding);
        return name;
    }
    if (strstr(detail, "mailbox_free") != NULL &&
        (strstr(detail, "claim") != NULL || strstr(detail, "mailbox_attach") != NULL)) {
        snprintf(name, sizeof name, "R44-%s", finding); /* ... against the call that replaces it */
        return name;
    }
    if (world.neighbours && mailbox && now(OP_mailbox_grow)) {
        snprintf(name, sizeof name, "R44-%s",
                 finding); /* ... which holds one that goes meanwhile */
        return name;
    }
    if (strstr(detail, "mailbox_free") != NULL) {
        return race ? "R36-data-race" : "R36-freed"; /* the end of a mailbox against its use */
    }
    if (race && strcmp(rule, "R6") == 0 && (shared || world.judge.has_mailbox)) {
        /* two growths at once; bytes that move beside an enqueue */
        return shared ? "R11-data-race" : "R37-base-pin";
    }
    if (strcmp(finding, "page-fault") == 0 && within_size(detail)) {
        return "R11-shared-grow"; /* the length was published before the pages were usable */
    }
    if (mailbox && (world.judge.moved || !race)) {
        return world.judge.moved                  ? "R37-base-pin"
               : world.judge.close_start != NEVER ? "R36-write-after-close"
               : world.scribbles                  ? "R38-outside"
                                                  : "R36-freed"; /* no guest is to blame */
    }
    if (world.gone) {
        return "R29-destroy";
    }
    if (strcmp(rule, "R27") == 0 && !race) {
        return "R27-queue-life";
    }
    snprintf(name, sizeof name, "%s-%s", rule, finding);
    return name;
}

/* In a subject's code only the operation is known: a mailbox operation, a growth, or a wait. */
static const char *others_rule(void) {
    const char *rule = world.judge.has_mailbox ? "R31" : "R27";
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct op *op = world.actor[i].op;
        rule = op != NULL && op->code == OP_memory_grow ? "R11" : rule;
    }
    return rule;
}

static const char *rule_of(struct sim_result *result) {
    const char *finding = result->finding;
    if (is_rule(finding)) {
        return finding;
    }
    if (strcmp(finding, "deadlock") == 0 || strcmp(finding, "lost-wakeup") == 0) {
        return at_rest(finding);
    }
    if (answer_broken(result->detail, sizeof result->detail) != NULL) {
        return answer_broken(result->detail, sizeof result->detail);
    }
    if (strcmp(finding, "livelock") == 0) {
        return world.judge.has_mailbox ? "R34-livelock" : "R21-livelock";
    }
    if (!is_ref(chosen)) {
        static char name[96];
        snprintf(name, sizeof name, "%s-%s", others_rule(), finding);
        return name;
    }
    return access_rule(finding, result->detail, sizeof result->detail);
}

/* ---- The entry --------------------------------------------------------------------------------
 */

bool interleave_wants(const struct program *program) {
    if (program->target == TARGET_waiters_fuzzer || program->target == TARGET_system_fuzzer) {
        return !program_is_of_the_host(program);
    }
    for (unsigned i = 0; i < program->operations; i++) {
        if (program->operation[i].code == OP_interleave) {
            return true;
        }
    }
    return false;
}

static struct sim_options options_of(const struct program *program) {
    struct sim_options options = sim_options_default();
    unsigned faults = 0;
    for (unsigned i = 0; i < program->operations; i++) {
        faults += program->operation[i].code == OP_fault;
    }
    options.source = SIM_BYTES;
    options.bytes = program->choices;
    options.bytes_n = program->choices_bytes;
    options.timeouts_max = 4;
    options.spurious_max = 1;
    options.faults_max = faults;
    options.messages_max = interleave_newest ? 1 : 8;
    options.steps_max = bounds_of(program)->steps;
    options.unjoined_is_leak = false;
    options.pages_bytes = 4 << 20;
    options.coverage = true;
    return options;
}

/* SCHED=: where the choices come from; false if there is no such source. */
static bool source_chosen(enum sim_source *source) {
    static const struct {
        const char *name;
        enum sim_source source;
    } sources[] = {{"", SIM_BYTES},
                   {"bytes", SIM_BYTES},
                   {"uniform", SIM_UNIFORM},
                   {"pct", SIM_PCT},
                   {"pos", SIM_POS}};
    const char *name = getenv("SCHED");
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (strcmp(name != NULL ? name : "", sources[i].name) == 0) {
            *source = sources[i].source;
            return true;
        }
    }
    return false;
}

static uint64_t seed_of(const struct program *program) {
    const char *given = getenv("SEED");
    uint64_t hash = given != NULL ? strtoull(given, NULL, 10) : 1;
    for (unsigned i = 0; i < program->operations; i++) {
        const struct op *op = &program->operation[i];
        hash = (hash ^ op->code ^ (uint64_t)op->thread << 8) * UINT64_C(0x100000001B3);
        for (unsigned j = 0; j < OP_ARGS_MAX && j < op_info(program->target, op->code)->arguments;
             j++) {
            hash = (hash ^ op->arg.raw[j]) * UINT64_C(0x100000001B3);
        }
    }
    return hash;
}

/* True if the program's choices only name a random schedule; *seed is then its number. */
static bool is_numbered(const struct program *program, uint64_t *seed) {
    *seed = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 1; i < program->choices_bytes; i++) {
        *seed = (*seed ^ program->choices[i]) * UINT64_C(0x100000001B3);
    }
    return program->choices_bytes > 0 && program->choices[0] == OP_CHOICES_NUMBER;
}

/* The schedule of a finding as choices that an input can carry. */
static void print_choices(const struct sim_result *result) {
    size_t count = result->choices_n;
    while (count > 0 && result->choices[count - 1] == 0) {
        count--;
    }
    fprintf(stderr, "# by these choices: choices ");
    for (size_t i = 0; i < count && i < OP_CHOICES_MAX; i++) {
        fprintf(stderr, "%02x", (unsigned)result->choices[i] & 0xFF);
    }
    fputc('\n', stderr);
}

/* The schedule that broke the rule, from a second run of the same choices: as columns (TRACE=1), as
 * data for scripts/trace.py (TRACE_JSON=file). */
static void show(const struct program *program, struct sim_options options, const char *rule,
                 const struct sim_result *result) {
    const char *wanted = getenv("TRACE"), *data = getenv("TRACE_JSON");
    bool columns = wanted != NULL && strcmp(wanted, "1") == 0;
    if (!columns && data == NULL) {
        return;
    }
    static struct sim_result again;
    static uint16_t choices[1 << 16];
    size_t count = result->choices_n < 1 << 16 ? result->choices_n : 1 << 16;
    memcpy(choices, result->choices, count * sizeof choices[0]);
    options.source = SIM_REPLAY;
    options.choices = choices;
    options.choices_n = count;
    options.trace = true;
    sim_run(&options, program_main, (void *)(uintptr_t)program, &again);
    if (columns) {
        fprintf(stderr, "finding: %s\n", rule);
        sim_trace_print(stderr);
    }
    FILE *file = data != NULL ? fopen(data, "w") : NULL;
    if (file != NULL) {
        sim_trace_json(file);
        fclose(file);
    } else if (data != NULL) {
        fprintf(stderr, "TRACE_JSON=%s: cannot be written\n", data);
    }
}

/* AFL++ does not see the engine's coverage, so it is added to AFL++'s own map. */
extern uint8_t *__afl_area_ptr __attribute__((weak));
extern uint32_t __afl_map_size __attribute__((weak));

void interleave_unseen(bool on) {
    static uint8_t nowhere[1 << 16], *seen;
    if (&__afl_area_ptr == NULL || &__afl_map_size == NULL || __afl_map_size > sizeof nowhere) {
        return;
    }
    if (on && seen == NULL) {
        seen = __afl_area_ptr;
        __afl_area_ptr = nowhere;
    } else if (!on && seen != NULL) {
        __afl_area_ptr = seen;
        seen = NULL;
    }
}

static void coverage_to_afl(void) {
    if (&__afl_area_ptr == NULL || &__afl_map_size == NULL || __afl_map_size == 0) {
        return;
    }
    for (uint32_t i = 0; i < SIM_COVERAGE_N; i++) {
        if (sim_coverage[i] != 0) {
            __afl_area_ptr[i % __afl_map_size] += sim_coverage[i];
        }
    }
    memset(sim_coverage, 0, sizeof sim_coverage);
}

bool interleave_ready(void) {
    enum sim_source source;
    if (source_chosen(&source)) {
        return true;
    }
    fprintf(stderr,
            "SCHED=%s: a fuzz target takes its schedules from bytes, uniform, pct or pos; every\n"
            "schedule of a small program is what `make verify` searches\n",
            getenv("SCHED"));
    return false;
}

static struct sim_result result;

const struct interleave_told *interleave_told(void) {
    static struct interleave_told told;
    told.choices_bytes = result.choices_n < OP_CHOICES_MAX ? result.choices_n : OP_CHOICES_MAX;
    for (size_t i = 0; i < told.choices_bytes; i++) {
        told.choices[i] = (uint8_t)result.choices[i];
    }
    told.preemptions = result.preemptions;
    told.detail = result.detail;
    told.finding = result.finding;
    told.started = order.count;
    memcpy(told.order, order.number, sizeof told.order);
    return &told;
}

const char *interleave_detail(void) {
    sim_symbolise(result.detail, sizeof result.detail);
    return result.detail;
}

/* Ends soon after the last schedule that showed something new: see `is_news`. */
enum { EXPLORED_LEAST = 32, EXPLORED_TIMES = 2, EXPLORED_STEPS_MAX = 120000 };

/* How many schedules the program wants; 1: its own. */
static unsigned schedules_of(const struct program *program) {
    uint64_t schedules = 1;
    for (unsigned i = 0; i < program->operations; i++) {
        if (program->operation[i].code == OP_explore) {
            schedules = program->operation[i].arg.explore.schedules;
        }
    }
    return schedules < 1 ? 1 : schedules > EXPLORED_MAX ? EXPLORED_MAX : (unsigned)schedules;
}

/* What the schedules of one program have shown: which place reads from which write. */
static uint8_t shown[SIM_COVERAGE_N];

static bool is_news(void) {
    bool any = false;
    for (size_t i = 0; i < SIM_COVERAGE_N; i++) {
        any |= sim_coverage[i] != 0 && shown[i] == 0;
        shown[i] |= sim_coverage[i];
    }
    return any;
}

/* A run's source of choices: each kind of schedule finds what the others seldom do. */
static enum sim_source source_of(unsigned run) {
    static const enum sim_source sources[] = {SIM_POS, SIM_PCT, SIM_POS, SIM_UNIFORM};
    return sources[run % (sizeof sources / sizeof sources[0])];
}

static const char *run_once(const struct program *program, const struct sim_options *options,
                            uint64_t *operations) {
    const char *finding = sim_run(options, program_main, (void *)(uintptr_t)program, &result);
    if (operations != NULL) {
        *operations += world.operations;
    }
    return finding != NULL ? rule_of(&result) : NULL;
}

/* Many schedules of one program, until one breaks a rule. */
static const char *explore(const struct program *program, struct sim_options *options,
                           unsigned schedules, uint64_t *operations) {
    const uint64_t seed = options->seed;
    const char *rule = NULL;
    unsigned last = 0;
    uint64_t steps = 0;
    memset(sim_coverage, 0, sizeof sim_coverage);
    memset(shown, 0, sizeof shown);
    for (unsigned i = 0; i < schedules && rule == NULL; i++) {
        options->seed = seed + i;
        options->source = source_of(i);
        options->sticky = i / 4 % 2 != 0; /* all sources, with and without */
        options->pct_depth = 2 + i / 8 % 4;
        rule = run_once(program, options, operations);
        last = is_news() ? i : last;
        steps += result.steps;
        if (i >= EXPLORED_LEAST + EXPLORED_TIMES * last || steps > EXPLORED_STEPS_MAX) {
            break;
        }
    }
    return rule;
}

const char *interleave_run(const struct subject *subject, const struct program *program,
                           uint64_t *operations) {
    choose(subject);
    (void)model_pattern(); /* made once, outside of a run */
    struct sim_options options = options_of(program);
    (void)source_chosen(&options.source);
    const unsigned schedules = schedules_of(program);
    const bool numbered = is_numbered(program, &options.seed);
    const bool by_bytes = options.source == SIM_BYTES;
    const bool random = !by_bytes || numbered || (schedules > 1 && program->choices_bytes == 0);
    const char *rule = NULL;
    if (!numbered || !by_bytes) {
        options.seed = seed_of(program);
    }
    if (random && by_bytes && schedules > 1) {
        rule = explore(program, &options, schedules, operations);
    } else {
        options.source = by_bytes && numbered ? SIM_POS : options.source;
        for (unsigned i = 0; i < (by_bytes ? 1 : RANDOM_RUNS) && rule == NULL; i++) {
            rule = run_once(program, &options, operations);
            options.seed++;
        }
    }
    coverage_to_afl();
    if (rule != NULL && !rule_is_on(rule)) {
        return NULL;
    }
    if (rule != NULL && random) {
        print_choices(&result);
    }
    if (rule != NULL) {
        show(program, options, rule, &result);
    }
    return rule;
}

/* Nobody was promised what they wait for. */
static bool permits_stuck(void *context) {
    (void)context;
    return at_rest("deadlock") == NULL;
}

const char *interleave_search(const struct program *program, struct sim_explore_options *options,
                              struct sim_explored *explored) {
    choose(NULL);
    (void)model_pattern();
    options->run = options_of(program);
    options->run.coverage = false;
    options->run.timeouts_max = SEARCHED_TIMEOUTS;
    options->run.spurious_max = 0;
    options->permits_stuck = permits_stuck;
    searching = true;
    sim_explore(options, program_main, (void *)(uintptr_t)program, explored);
    if (explored->finding != NULL) { /* the run that found it may have been another process's */
        options->run.source = SIM_REPLAY;
        options->run.choices = explored->choices;
        options->run.choices_n = explored->choices_n;
        (void)sim_run(&options->run, program_main, (void *)(uintptr_t)program, &result);
    }
    searching = false;
    if (explored->finding == NULL) {
        return NULL;
    }
    return result.finding == NULL ? explored->finding : rule_of(&result);
}

unsigned interleave_left_out(void) {
    return world.left_out;
}

const char *interleave_crash_rule(void) {
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        if (a->op != NULL && sim_running() && a->engine_thread == sim_self()) {
            bool guest = world.judge.wild && is_of_mailbox(a->op->code);
            return guest ? "R38" : op_info(world.program->target, a->op->code)->rule;
        }
    }
    return NULL;
}
