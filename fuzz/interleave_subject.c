/* interleave_subject.c: another's mailbox in interleaved runs, through the table of subject.h.
 *
 * The subject is a shared object whose accesses the engine sees (subjects/README.md). Operations
 * that it does not offer do nothing. The harness looks on, as everywhere: only the subject's own
 * code is seen. What is checked: R30 to R33 on the ids, R34 and R36 where it parks and closes,
 * races. */
#include "sim.h"
#include "world.h"

#include <link.h>
#include <string.h>

enum { ENQUEUES_MAX = 6, PAGE = 4096 };

/* ---- Its environment, its data ----------------------------------------------------------------
 */

static void *allocate_zeroed(size_t bytes) {
    void *at = sim_calloc(1, bytes);
    world.blocks += at != NULL;
    return at;
}

static void *resize(void *at, size_t bytes) {
    void *resized = sim_realloc(at, bytes);
    world.blocks += at == NULL && resized != NULL;
    return resized;
}

static void release(void *at) {
    world.blocks -= at != NULL;
    sim_free(at);
}

static const struct subject_environment environment = {allocate_zeroed, resize, release, PAGE};

/* The object that the address is in: what a run writes to its data is put back. */
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

void subject_meet(const struct subject *subject) {
    static const struct subject *met;
    if (met != subject) {
        met = subject;
        dl_iterate_phdr(restore_data, (void *)(uintptr_t)subject);
    }
}

/* ---- Set-up and end ---------------------------------------------------------------------------
 */

static const struct subject_mailbox *table(void) {
    return world.subject->mailbox;
}

static enum subject_status try_attach(const struct op *op, uint32_t capacity) {
    enum subject_status status = SUBJECT_UNSUPPORTED;
    for (unsigned ground = 0; ground < SUBJECT_GROUNDS && status == SUBJECT_UNSUPPORTED; ground++) {
        const struct subject_mailbox_config config = {
            .ground = (enum subject_ground)ground,
            .pages = 1,
            .capacity = capacity,
            .first_cursor = op == NULL ? 0 : (uint32_t)op->arg.mailbox_attach.cursor,
        };
        status = table()->attach(&config, &world.box);
    }
    world.capacity = capacity != 0 ? capacity : table()->capacity;
    return status;
}

void subject_set_up(const struct op *op) {
    const uint64_t asked = op == NULL ? 4 : op->arg.mailbox_attach.capacity;
    const bool sane = asked != 0 && (asked & (asked - 1)) == 0 && asked <= RING_MAX;
    if (world.subject->begin != NULL) {
        world.subject->begin(&environment);
    }
    if (try_attach(op, sane ? (uint32_t)asked : 4) != SUBJECT_OK &&
        try_attach(op, 0) != SUBJECT_OK) {
        world.box = NULL;
        if (world.faulty) {
            return;
        }
        broken("R38-attach", "no mailbox: neither of 4 slots nor of the usual number");
    }
    const uint32_t unusable = table()->slots_unusable;
    world.capacity = world.capacity > unusable ? world.capacity - unusable : 0;
}

static uint32_t undelivered(void) {
    uint32_t count = 0;
    for (unsigned i = 0; i < world.sends; i++) {
        count += world.sent[i].accepted && !world.sent[i].taken;
    }
    return count;
}

/* All threads have ended: the rest is delivered, nothing is left. */
void subject_end(void) {
    if (world.box != NULL) {
        (void)table()->drain(world.box, mailbox_take, NULL);
        if (undelivered() > world.dropped) {
            broken("R30-lost", "%u ids that were accepted are gone", undelivered());
        }
        table()->release(world.box);
        world.box = NULL;
    }
    if (world.subject->end != NULL) {
        world.subject->end();
    }
    const char *rule = world.subject->complaint != NULL ? world.subject->complaint() : NULL;
    if (rule != NULL) {
        broken(rule, "the subject itself says so");
    }
}

/* Everybody is blocked: no mistake unless the guest sleeps beside an id, or after close. */
const char *subject_at_rest(void) {
    bool parked = false;
    for (unsigned i = 0; i < OP_THREADS; i++) {
        const struct actor *a = &world.actor[i];
        if (a->op != NULL && !a->in_signal) {
            return "R34-deadlock";
        }
        parked |= a->in_signal;
    }
    if (parked && world.close_end != NEVER) {
        return "R36-close-unseen";
    }
    return parked && undelivered() > 0 ? "R34-no-lost-wakeup" : NULL;
}

/* ---- Operations -------------------------------------------------------------------------------
 */

static void enqueue(struct actor *a, uint64_t id) {
    struct sent *s = mailbox_send_begins(a, (uint32_t)id);
    if (s == NULL) {
        return;
    }
    const enum subject_status got = table()->enqueue(world.box, id);
    if (got == SUBJECT_FULL && !(table()->promises & SUBJECT_TELLS_FULL) && !s->taken) {
        s->end = moment();
        return;
    }
    mailbox_send_ended(s, got == SUBJECT_OK       ? PB_OK
                          : got == SUBJECT_FULL   ? PB_FULL
                          : got == SUBJECT_CLOSED ? PB_CLOSED
                                                  : PB_SYSTEM);
}

static void op_enqueue(struct actor *a, const struct op *op) {
    for (uint64_t i = 0; i < op->arg.mailbox_enqueue.count && i < ENQUEUES_MAX; i++) {
        enqueue(a, ((a->number + 1u) << 16) + ++a->ids);
    }
}

static void op_enqueue_id(struct actor *a, const struct op *op) {
    const uint64_t id = op->arg.mailbox_enqueue_id.id;
    if (id != 0 && id <= UINT32_MAX) {
        enqueue(a, id);
    }
}

static bool is_guest(const struct actor *a) {
    return a->number == world.guest;
}

static void op_drain(struct actor *a, const struct op *op) {
    (void)op;
    if (is_guest(a)) {
        (void)table()->drain(world.box, mailbox_take, NULL);
    }
}

static void op_flush(struct actor *a, const struct op *op) {
    uint32_t left = 0;
    (void)a;
    (void)op;
    if (table()->flush != NULL) {
        (void)table()->flush(world.box, &left);
    }
}

static int guest_wait(void *context, _Atomic uint32_t *flag, uint32_t expected,
                      int64_t timeout_ns) {
    struct actor *a = context;
    const uint64_t until = timeout_ns < 0 ? SIM_NEVER : sim_clock_ns() + (uint64_t)timeout_ns;
    a->in_signal = true;
    const enum sim_wait_result result = sim_wait((const volatile void *)flag, expected, until);
    a->in_signal = false;
    return result == SIM_TIMED_OUT ? 2 : 0;
}

static void guest_flush(void *context) {
    op_flush(context, NULL);
}

static void op_park(struct actor *a, const struct op *op) {
    const int64_t timeout_ns = (int64_t)op->arg.guest_park.timeout_ns;
    const struct subject_guest_host host = {guest_wait, guest_flush, a};
    if (!is_guest(a) || table()->park == NULL) {
        return;
    }
    const enum subject_park answer = table()->park(world.box, &host, timeout_ns);
    if (answer == SUBJECT_PARK_CLOSED && world.close_start == NEVER) {
        broken("R36-park", "the guest saw closed, and nobody closed");
    }
    if (answer == SUBJECT_PARK_TIMED_OUT && timeout_ns < 0) {
        broken("R34-park", "a park without a timeout timed out");
    }
}

static void op_close(struct actor *a, const struct op *op) {
    uint32_t dropped = 0;
    (void)a;
    (void)op;
    if (table()->close == NULL) {
        return;
    }
    world.close_start = world.close_start == NEVER ? moment() : world.close_start;
    table()->close(world.box, &dropped);
    world.dropped += dropped;
    world.close_end = world.close_end == NEVER ? moment() : world.close_end;
}

actor_operation *subject_operation(uint8_t code) {
    static actor_operation *const operations[256] = {
        [OP_mailbox_enqueue] = op_enqueue, [OP_mailbox_enqueue_id] = op_enqueue_id,
        [OP_mailbox_flush] = op_flush,     [OP_mailbox_close] = op_close,
        [OP_guest_drain] = op_drain,       [OP_guest_park] = op_park,
    };
    return world.box != NULL ? operations[code] : NULL;
}
