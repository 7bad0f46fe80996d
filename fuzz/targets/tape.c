/* tape.c: a run of one thread written down as straight-line C. See tape.h. */
#include "tape.h"

#include "exec.h"
#include "fault.h"
#include "interleave.h"
#include "note.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { HANDLES = 64, TEXT_BYTES = 8192 };

static const struct subject *inner;
static struct subject_memory memory_table;
static struct subject_mailbox mailbox_table;
static FILE *out, *functions;
static bool unwritten;
/* Threads: the thread that calls now, -1 before and after them. The log has each call's begin and
 * end. */
static int (*who)(void);
static unsigned depth[OP_THREADS + 1], current[OP_THREADS + 1], calls_n;
static bool silent; /* a parked guest has the host flush, as the program's does by itself */
static unsigned parks, taken;

/* ---- Lines ------------------------------------------------------------------------------------
 */

__attribute__((format(printf, 1, 2))) static void line(const char *format, ...) {
    va_list arguments;
    if (silent || (who != NULL && depth[who() + 1] > 0)) {
        return;
    }
    va_start(arguments, format);
    if (who != NULL) {
        fprintf(out, "line %d ", who());
    }
    fputs("    ", out);
    vfprintf(out, format, arguments);
    fputs(";\n", out);
    fflush(out); /* written before the call, which may crash */
    va_end(arguments);
}

static const void *box_now; /* what b is */

/* The calls and checks that follow are of this mailbox. */
static void work_on(const void *mailbox) {
    unwritten |= who != NULL && box_now != mailbox; /* b would be each thread's */
    if (who == NULL && box_now != mailbox) {
        line("other_mailbox()");
        box_now = mailbox;
    }
}

/* One call, with the rule that a crash in it breaks. */
__attribute__((format(printf, 1, 2))) static void call(const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (who == NULL) {
        line("CALL(\"%s\", %s)", exec_crash_name(), text);
    } else if (depth[who() + 1]++ == 0) {
        const char *rule = interleave_crash_rule();
        current[who() + 1] = calls_n;
        fprintf(out, "begin %u %d %s-crash %s\n", calls_n++, who(), rule != NULL ? rule : "R1",
                text);
        fflush(out);
    }
}

/* The end of the thread's call, and what it answered. */
static void ended(unsigned status, uint64_t value) {
    if (who != NULL && --depth[who() + 1] == 0) {
        fprintf(out, "end %u %u %" PRIu64 "\n", current[who() + 1], status, value);
        fflush(out);
    }
}

#define ENDED(call, value)                                           \
    do {                                                             \
        const enum subject_status status = call;                     \
        ended(status, status == SUBJECT_OK ? (uint64_t)(value) : 0); \
        return status;                                               \
    } while (0)

static const char *number(uint64_t value) {
    static char text[8][32];
    static unsigned next;
    char *to = text[next++ % 8];
    snprintf(to, sizeof text[0], value > INT32_MAX ? "UINT64_C(%" PRIu64 ")" : "%" PRIu64, value);
    return to;
}

static const char *signed_number(int64_t value) {
    static char text[48];
    snprintf(text, sizeof text,
             value < INT32_MIN || value > INT32_MAX ? "(int64_t)UINT64_C(%" PRIu64 ")" : "%" PRIi64,
             (uint64_t)value);
    return text;
}

/* ---- Names of handles: m0, b0, w0, each once ---------------------------------------------------
 */

static struct {
    const void *handle;
    char kind;
    unsigned number;
} handles[HANDLES];
static unsigned handles_n, made[128];

static const char *name_of(const void *handle, char kind) {
    static char text[4][16];
    static unsigned next;
    char *to = text[next++ % 4];
    for (unsigned i = handles_n; i-- > 0;) {
        if (handles[i].handle == handle && handles[i].kind == kind) {
            snprintf(to, sizeof text[0], "%c%u", kind, handles[i].number);
            return to;
        }
    }
    return "unknown";
}

/* The next handle of that kind, before it is known; then what it is. */
static unsigned next_of(char kind) {
    return made[(unsigned)kind];
}

static void name(const void *handle, char kind) {
    unsigned at = 0;
    while (at < handles_n && handles[at].handle != handle) {
        at++;
    }
    if (at < HANDLES) {
        handles[at].handle = handle;
        handles[at].kind = kind;
        handles[at].number = made[(unsigned)kind];
        handles_n += at == handles_n;
    }
    made[(unsigned)kind]++;
}

static const char *m_(const void *memory) {
    return name_of(memory, 'm');
}

/* ---- Data -------------------------------------------------------------------------------------
 */

/* Bytes of the harness's pattern by their place in it, others as they are. */
static const char *data(const void *at, uint64_t count) {
    static char text[TEXT_BYTES];
    const uint8_t *bytes = at, *pattern = model_pattern();
    if (bytes >= pattern && bytes < pattern + MODEL_PATTERN_BYTES) {
        snprintf(text, sizeof text, "pattern() + %zu", (size_t)(bytes - pattern));
        return text;
    }
    size_t used = 0;
    for (uint64_t i = 0; i < count && used + 8 < sizeof text; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "\\x%02x", bytes[i]);
    }
    static char quoted[TEXT_BYTES + 2];
    snprintf(quoted, sizeof quoted, "\"%s\"", text);
    return quoted;
}

const char *tape_statuses(uint64_t statuses) {
    static const char *const names[SUBJECT_STATUS_COUNT] = {
        "OK",         "INVALID",       "LIMIT",      "NO_MEMORY",        "UNSUPPORTED",
        "NOT_SHARED", "OUT_OF_BOUNDS", "MISALIGNED", "TOO_MANY_WAITERS", "DISABLED",
        "FULL",       "CLOSED",        "TIMED_OUT",  "SYSTEM",           "REFUSED",
        "CANCELLED",  "PINNED",        "IN_USE"};
    static char text[256];
    size_t used = 0;
    text[0] = '\0';
    if ((statuses | 1) == (1u << SUBJECT_STATUS_COUNT) - 1) {
        return statuses & 1 ? "OK | ERRORS" : "ERRORS";
    }
    for (unsigned i = 0; i < SUBJECT_STATUS_COUNT; i++) {
        if (statuses >> i & 1) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " | " : "",
                                     names[i]);
        }
    }
    return text;
}

/* ---- What the judge compares ------------------------------------------------------------------
 */

static void write_note(const struct note *n) {
    const char *memory = m_(n->memory);
    switch (n->kind) {
    case NOTE_STATUS:
        line("expect(%s, \"%s\")", tape_statuses(n->must), n->rule);
        break;
    case NOTE_ANSWER:
        line("answers(%s, \"%s\")", number(n->must), n->rule);
        break;
    case NOTE_READ:
        for (uint64_t at = 0; at < n->count; at += 512) { /* not in one line of any length */
            uint64_t part = n->count - at < 512 ? n->count - at : 512;
            line("has_read(%" PRIu64 ", %s, %" PRIu64 ", \"%s\")", at,
                 data((const uint8_t *)n->bytes + at, part), part, n->rule);
        }
        break;
    case NOTE_TAKEN:
        line("took(%u, %s, \"%s\")", taken++, number(n->must), n->rule);
        break;
    case NOTE_AWAKE:
        line("must_not_sleep(\"%s\")", n->rule);
        break;
    case NOTE_PARKED:
        line("answers_not(%s, \"%s\")", number(n->must), n->rule);
        break;
    case NOTE_SIZE_PAGES:
        line("same(memory_size_pages(%s), %s, \"%s\")", memory, number(n->must), n->rule);
        break;
    case NOTE_SIZE_BYTES:
        line("same(memory_size_bytes(%s), %s, \"%s\")", memory, number(n->must), n->rule);
        break;
    case NOTE_RECORD:
        line("same(memory_length(%s), %s, \"%s\")", memory, number(n->must), n->rule);
        break;
    case NOTE_TYPE:
        line("same_type(memory_type(%s), %s, %s, %s, \"%s\")", memory, number(n->must),
             number(n->at), n->count ? "true" : "false", n->rule);
        break;
    case NOTE_WAITERS:
        line("same(memory_waiters(%s), %s, \"%s\")", memory, number(n->must), n->rule);
        break;
    case NOTE_BYTES:
        line("same_bytes(memory_at(%s, %s, %s), %s, %s, \"%s\")", memory, number(n->at),
             number(n->count), data(n->bytes, n->count), number(n->count), n->rule);
        break;
    case NOTE_ZERO:
        line("all_are(memory_at(%s, %s, %s), %s, 0, \"%s\")", memory, number(n->at),
             number(n->count), number(n->count), n->rule);
        break;
    case NOTE_BASE:
        line("same((uintptr_t)memory_at(%s, 0, 0), (uintptr_t)%s_base, \"%s\")", memory, memory,
             n->rule);
        break;
    case NOTE_CLOSED_PAGE:
        line("same(readable(memory_at(%s, %s, 0)), 0, \"%s\")", memory, number(n->at), n->rule);
        break;
    case NOTE_OPEN_PAGE:
        line("same(readable(memory_at(%s, %s, 0)), 1, \"%s\")", memory, number(n->at), n->rule);
        break;
    case NOTE_BUDGET:
        line("same(memory_budget_used(), %s, \"%s\")", number(n->must), n->rule);
        break;
    case NOTE_RING:
        line("same(mailbox_in_ring(b), %s, \"%s\")", number(n->must), n->rule);
        break;
    case NOTE_BOX:
        work_on(n->memory);
        break;
    case NOTE_OPEN:
        line("same(mailbox_region(b)->flag & 2, 0, \"%s\")", n->rule);
        break;
    case NOTE_IS_CLOSED:
        line("same(mailbox_is_closed(b), %s, \"%s\")", number(n->must), n->rule);
        break;
    case NOTE_FILL:
        line("memset(mailbox_memory(b) + %s, %s, %s)", number(n->at), number(n->must),
             number(n->count));
        break;
    case NOTE_FILLED:
        line("all_are(mailbox_memory(b) + %s, %s, %s, \"%s\")", number(n->at), number(n->count),
             number(n->must), n->rule);
        break;
    case NOTE_KEEP:
        line("keep(mailbox_region(b), mailbox_region_bytes(b))");
        break;
    case NOTE_KEPT:
        line("same_bytes(mailbox_region(b), kept, mailbox_region_bytes(b), \"%s\")", n->rule);
        break;
    case NOTE_UNMAPPED:
        line("same(is_mapped((const uint8_t *)%s_base + %s), 0, \"%s\")", memory, number(n->at),
             n->rule);
        break;
    case NOTE_POKE:
        if (n->memory == NULL) {
            line("poke((uint8_t *)mailbox_region(b) + %s, %s, %s)", number(n->at), number(n->must),
                 number(n->count));
        } else {
            line("poke(memory_at(%s, %s, 0), %s, %s)", memory, number(n->at), number(n->must),
                 number(n->count));
        }
        break;
    case NOTE_PEEK:
        line("answer = peek(memory_at(%s, %s, 0), %s)", memory, number(n->at), number(n->count));
        break;
    default:
        line("/* %s: what the harness looked at cannot be asked of the library */", n->rule);
        unwritten = true;
    }
}

/* ---- Memories ---------------------------------------------------------------------------------
 */

static const char *text_or_null(const char *text) {
    return text == NULL ? "NULL" : text;
}

static enum subject_status create(const struct subject_memory_config *c, void **memory) {
    static const char *const styles[] = {"TUNED", "STATIC", "DYNAMIC", "USUAL"};
    static unsigned wishes;
    const unsigned n = next_of('m'), wish = wishes++;
    char record[24];
    snprintf(record, sizeof record, "&r%u", n);
    line("struct wish wish%u = {\"%s\", %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
         "%s, %u}",
         wish, inner->memory->strategy[c->strategy].name, number(c->type.min_pages),
         number(c->type.max_pages), c->type.shared ? "true" : "false", styles[c->style],
         number(c->bound_pages), number(c->static_guard_bytes), number(c->dynamic_guard_bytes),
         text_or_null(c->record != NULL ? record : NULL),
         c->image != NULL ? data(c->image, c->image_bytes) : "NULL", number(c->image_bytes),
         c->huge_pages ? "true" : "false", c->populate ? "true" : "false", number(c->waiters_max),
         number(c->reserve_pages_max), c->budgeted ? "true" : "false", c->fall_back);
    call("memory_create(&m%u, &wish%u)", n, wish);
    enum subject_status got = inner->memory->create(c, memory);
    ended(got, 0);
    if (got == SUBJECT_OK) {
        name(*memory, 'm');
        line("m%u_base = memory_at(m%u, 0, 0)", n, n);
    }
    return got;
}

static void destroy(void *memory) {
    call("DONE(memory_destroy(%s))", m_(memory));
    inner->memory->destroy(memory);
    ended(SUBJECT_OK, 0);
}

static enum subject_status grow(void *m, uint32_t delta, uint32_t *old) {
    call("memory_grow(%s, %s, &answer)", m_(m), number(delta));
    ENDED(inner->memory->grow(m, delta, old), *old);
}

static enum subject_status to_shared(void *m) {
    call("memory_to_shared(%s)", m_(m));
    ENDED(inner->memory->to_shared(m), 0);
}

/* A handle that a call makes. */
static enum subject_status makes(void *m, const char *what, void **to,
                                 enum subject_status (*function)(void *, void **)) {
    const unsigned n = next_of('m');
    call("%s(%s, &m%u)", what, m_(m), n);
    enum subject_status got = function(m, to);
    ended(got, 0);
    if (got == SUBJECT_OK && *to != NULL) {
        name(*to, 'm');
        line("m%u_base = memory_at(m%u, 0, 0)", n, n);
    }
    return got;
}

static enum subject_status clone(void *m, void **to) {
    return makes(m, "memory_clone", to, inner->memory->clone);
}

static enum subject_status copy(void *m, void **to) {
    return makes(m, "memory_copy", to, inner->memory->copy);
}

static enum subject_status reset(void *m) {
    call("memory_reset(%s)", m_(m));
    ENDED(inner->memory->reset(m), 0);
}

static enum subject_status load(void *m, uint32_t index, uint32_t offset, unsigned width,
                                uint64_t *value) {
    call("memory_load(%s, %s, %s, %u, &answer)", m_(m), number(index), number(offset), width);
    ENDED(inner->memory->load(m, index, offset, width, value), *value);
}

static enum subject_status store(void *m, uint32_t index, uint32_t offset, unsigned width,
                                 uint64_t value) {
    call("memory_store(%s, %s, %s, %u, %s)", m_(m), number(index), number(offset), width,
         number(value));
    ENDED(inner->memory->store(m, index, offset, width, value), 0);
}

static enum subject_status load_word(void *m, uint32_t index, uint32_t offset, unsigned width,
                                     uint64_t *value) {
    call("memory_atomic_load(%s, %s, %s, %u, &answer)", m_(m), number(index), number(offset),
         width);
    ENDED((inner->memory->atomic_load)(m, index, offset, width, value), *value);
}

static enum subject_status store_word(void *m, uint32_t index, uint32_t offset, unsigned width,
                                      uint64_t value) {
    call("memory_atomic_store(%s, %s, %s, %u, %s)", m_(m), number(index), number(offset), width,
         number(value));
    ENDED((inner->memory->atomic_store)(m, index, offset, width, value), 0);
}

static enum subject_status rmw(void *m, enum subject_rmw kind, uint32_t index, uint32_t offset,
                               unsigned width, uint64_t operand, uint64_t *old) {
    static const char *const kinds[] = {"ADD", "SUB", "AND", "OR", "XOR", "XCHG"};
    call("memory_atomic_rmw(%s, %s, %s, %s, %u, %s, &answer)", m_(m), kinds[kind], number(index),
         number(offset), width, number(operand));
    ENDED(inner->memory->atomic_rmw(m, kind, index, offset, width, operand, old), *old);
}

static enum subject_status cmpxchg(void *m, uint32_t index, uint32_t offset, unsigned width,
                                   uint64_t expected, uint64_t replacement, uint64_t *old) {
    call("memory_atomic_cmpxchg(%s, %s, %s, %u, %s, %s, &answer)", m_(m), number(index),
         number(offset), width, number(expected), number(replacement));
    ENDED(inner->memory->atomic_cmpxchg(m, index, offset, width, expected, replacement, old), *old);
}

static enum subject_status bulk_copy(void *m, uint32_t to, uint32_t from, uint32_t count) {
    call("memory_bulk_copy(%s, %s, %s, %s)", m_(m), number(to), number(from), number(count));
    ENDED(inner->memory->bulk_copy(m, to, from, count), 0);
}

static enum subject_status bulk_fill(void *m, uint32_t at, uint8_t value, uint32_t count) {
    call("memory_bulk_fill(%s, %s, %u, %s)", m_(m), number(at), value, number(count));
    ENDED(inner->memory->bulk_fill(m, at, value, count), 0);
}

static enum subject_status bulk_init(void *m, const struct subject_segment *segment, uint32_t at,
                                     uint32_t from, uint32_t count) {
    call("memory_bulk_init(%s, %s, %s, %s, %s, %s)", m_(m),
         segment->data == NULL ? "NULL" : data(segment->data, segment->length_bytes),
         number(segment->length_bytes), number(at), number(from), number(count));
    ENDED(inner->memory->bulk_init(m, segment, at, from, count), 0);
}

static enum subject_status initialise(void *m, uint64_t start, const void *bytes, uint64_t count) {
    call("memory_initialise(%s, %s, %s, %s)", m_(m), number(start), data(bytes, count),
         number(count));
    ENDED(inner->memory->initialise(m, start, bytes, count), 0);
}

static enum subject_status segments(void *m, const struct subject_active_segment *segment,
                                    size_t count, size_t *applied) {
    fprintf(out, "    static struct active active%u[] = {", parks);
    for (size_t i = 0; i < count; i++) {
        fprintf(out, "%s{%s, %zu, %s}", i > 0 ? ", " : "", number(segment[i].start),
                (size_t)((const uint8_t *)segment[i].segment.data - model_pattern()),
                number(segment[i].segment.length_bytes));
    }
    fputs("};\n", out);
    call("memory_segments(%s, active%u, %zu, &answer)", m_(m), parks++, count);
    ENDED(inner->memory->initialise_segments(m, segment, count, applied), *applied);
}

static enum subject_status read_bytes(void *m, uint64_t start, void *to, uint64_t count) {
    call("memory_read(%s, %s, room, %s)", m_(m), number(start), number(count));
    ENDED(inner->memory->read(m, start, to, count), 0);
}

static enum subject_status wait32(void *m, uint64_t address, uint32_t expected, int64_t timeout_ns,
                                  unsigned *result) {
    call("memory_wait32(%s, %s, %s, %s, &answer)", m_(m), number(address), number(expected),
         signed_number(timeout_ns));
    ENDED(inner->memory->wait32(m, address, expected, timeout_ns, result), *result);
}

static enum subject_status wait64(void *m, uint64_t address, uint64_t expected, int64_t timeout_ns,
                                  unsigned *result) {
    call("memory_wait64(%s, %s, %s, %s, &answer)", m_(m), number(address), number(expected),
         signed_number(timeout_ns));
    ENDED(inner->memory->wait64(m, address, expected, timeout_ns, result), *result);
}

static enum subject_status notify(void *m, uint64_t address, uint32_t count, uint32_t *woken) {
    call("memory_notify(%s, %s, %s, &answer)", m_(m), number(address), number(count));
    ENDED(inner->memory->notify(m, address, count, woken), *woken);
}

static void budget(uint64_t max_bytes) {
    call("DONE(memory_budget(%s))", number(max_bytes));
    inner->memory->budget(max_bytes);
    ended(SUBJECT_OK, 0);
}

static enum subject_status pin(void *m, uint64_t start, uint64_t count, void **to,
                               const uint8_t **bytes) {
    const unsigned n = next_of('p');
    line("static void *p%u", n);
    call("memory_pin(&p%u, %s, %s, %s)", n, m_(m), number(start), number(count));
    enum subject_status got = inner->memory->pin(m, start, count, to, bytes);
    ended(got, 0);
    if (got == SUBJECT_OK) {
        name(*to, 'p');
    }
    return got;
}

static void unpin(void *pinned) {
    call("DONE(memory_unpin(%s))", name_of(pinned, 'p'));
    inner->memory->unpin(pinned);
    ended(SUBJECT_OK, 0);
}

static void disable_atomics(void *m) {
    call("DONE(memory_disable_atomics(%s))", m_(m));
    inner->memory->disable_atomics(m);
    ended(SUBJECT_OK, 0);
}

/* ---- Mailboxes: b, and another one in the same memory ------------------------------------------
 */

static enum subject_status attach(const struct subject_mailbox_config *c, void **mailbox) {
    static const char *const grounds[] = {"SHARED", "OWNED", "HEAP", "CUSTOM"};
    if (c->beside != NULL) {
        work_on(c->beside);
        call("mailbox_attach_beside(b, &b_other, %s, %s, %s, %s)", number(c->offset),
             number(c->capacity), c->spill ? "true" : "false", number(c->spill_max));
    } else {
        call("mailbox_attach(&b, %s, %s, %s, %s, %s, %s, %s)", grounds[c->ground], number(c->pages),
             number(c->offset), number(c->capacity), number(c->first_cursor),
             c->spill ? "true" : "false", number(c->spill_max));
    }
    enum subject_status got = inner->mailbox->attach(c, mailbox);
    ended(got, 0);
    if (got == SUBJECT_OK && c->beside == NULL) {
        name(*mailbox, 'b');
        box_now = *mailbox;
    }
    return got;
}

static void release(void *mailbox) {
    work_on(mailbox);
    call("DONE(mailbox_release(b))");
    inner->mailbox->release(mailbox);
    ended(SUBJECT_OK, 0);
}

static enum subject_status enqueue(void *mailbox, uint64_t id) {
    work_on(mailbox);
    call("mailbox_enqueue(b, %s)", number(id));
    ENDED(inner->mailbox->enqueue(mailbox, id), 0);
}

/* The guest has one thread, so one drain at a time. */
static void (*the_take)(void *, uint32_t);

static void take_and_tell(void *context, uint32_t id) {
    fprintf(out, "took %" PRIu32 "\n", id);
    fflush(out); /* the judge may end the run here */
    the_take(context, id);
}

static uint32_t drain(void *mailbox, void (*take)(void *, uint32_t), void *context) {
    taken = 0;
    work_on(mailbox);
    call("DONE(answer = mailbox_drain(b, take))");
    the_take = take;
    const uint32_t count =
        inner->mailbox->drain(mailbox, who != NULL ? take_and_tell : take, context);
    ended(SUBJECT_OK, count);
    return count;
}

static const struct subject_guest_host *parked_host;

static int wait_once(void *context, _Atomic uint32_t *flag, uint32_t expected, int64_t timeout_ns) {
    return parked_host->wait(context, flag, expected, timeout_ns);
}

static void flush_silently(void *context) {
    silent = true;
    parked_host->flush(context);
    silent = false;
}

static enum subject_park park(void *mailbox, const struct subject_guest_host *host,
                              int64_t timeout_ns) {
    const unsigned n = parks++;
    if (who != NULL) {
        call("DONE(answer = mailbox_park(b, NULL, %s))", signed_number(timeout_ns));
        enum subject_park parked = inner->mailbox->park(mailbox, host, timeout_ns);
        ended(SUBJECT_OK, parked);
        return parked;
    }
    FILE *before = out;
    char *text = NULL;
    size_t bytes = 0;
    work_on(mailbox);
    call("DONE(answer = mailbox_park(b, meanwhile%u, %s))", n, signed_number(timeout_ns));
    out = open_memstream(&text, &bytes);
    fprintf(out, "static void meanwhile%u(void) {\n", n);
    const struct subject_guest_host front = {wait_once, flush_silently, host->context};
    parked_host = host;
    enum subject_park got = inner->mailbox->park(mailbox, &front, timeout_ns);
    fputs("}\n\n", out);
    fclose(out);
    out = before;
    fwrite(text, 1, bytes, functions);
    fflush(functions);
    free(text);
    return got;
}

static enum subject_status flush(void *mailbox, uint32_t *left) {
    work_on(mailbox);
    call("mailbox_flush(b, &answer)");
    ENDED(inner->mailbox->flush(mailbox, left), left != NULL ? *left : 0);
}

static bool is_signalled(void *mailbox) {
    work_on(mailbox);
    call("DONE(answer = mailbox_is_signalled(b))");
    const bool is = inner->mailbox->is_signalled(mailbox);
    ended(SUBJECT_OK, is);
    return is;
}

static enum subject_status wait_for_signal(void *mailbox, int64_t timeout_ns) {
    work_on(mailbox);
    call("mailbox_wait_for_signal(b, %s)", signed_number(timeout_ns));
    ENDED(inner->mailbox->wait_for_signal(mailbox, timeout_ns), 0);
}

static void hold(void *mailbox) {
    work_on(mailbox);
    call("DONE(mailbox_hold(b))");
    inner->mailbox->hold(mailbox);
    ended(SUBJECT_OK, 0);
}

static enum subject_status move(void *mailbox, uint32_t pages, uint32_t *old) {
    work_on(mailbox);
    call("mailbox_move(b, %s, &answer)", number(pages));
    ENDED(inner->mailbox->move(mailbox, pages, old), *old);
}

static enum subject_status unhold(void *mailbox) {
    work_on(mailbox);
    call("mailbox_unhold(b)");
    ENDED(inner->mailbox->unhold(mailbox), 0);
}

static enum subject_status lose(void *mailbox) {
    work_on(mailbox);
    call("mailbox_lose(b)");
    ENDED(inner->mailbox->lose(mailbox), 0);
}

static enum subject_status grow_under(void *mailbox, uint32_t pages, uint32_t *old) {
    work_on(mailbox);
    call("mailbox_grow(b, %s, &answer)", number(pages));
    ENDED(inner->mailbox->grow(mailbox, pages, old), *old);
}

static void close_box(void *mailbox, uint32_t *dropped) {
    work_on(mailbox);
    call("DONE(answer = mailbox_close(b))");
    inner->mailbox->close(mailbox, dropped);
    ended(SUBJECT_OK, dropped != NULL ? *dropped : 0);
}

static enum subject_status waker_create(void *mailbox, uint64_t id, void **waker) {
    const unsigned n = next_of('w');
    work_on(mailbox);
    call("waker_create(b, %s, &w%u)", number(id), n);
    enum subject_status got = inner->mailbox->waker_create(mailbox, id, waker);
    ended(got, 0);
    if (got == SUBJECT_OK) {
        name(*waker, 'w');
    }
    return got;
}

/* The clone may be the same handle; then it keeps its name. */
static void *waker_clone(void *waker) {
    const char *from = name_of(waker, 'w');
    void *cloned = inner->mailbox->waker_clone(waker);
    if (cloned == waker) {
        call("DONE(%s = waker_clone(%s))", from, from);
        ended(SUBJECT_OK, 0);
        return cloned;
    }
    call("DONE(w%u = waker_clone(%s))", next_of('w'), from);
    ended(SUBJECT_OK, 0);
    name(cloned, 'w');
    return cloned;
}

static enum subject_status waker_wake(void *waker) {
    call("waker_wake(%s)", name_of(waker, 'w'));
    ENDED(inner->mailbox->waker_wake(waker), 0);
}

static void waker_drop(void *waker) {
    call("DONE(waker_drop(%s))", name_of(waker, 'w'));
    inner->mailbox->waker_drop(waker);
    ended(SUBJECT_OK, 0);
}

/* ---- Begin and end ----------------------------------------------------------------------------
 */

static void tape_fault(const char *what, uint64_t nth, const char *error) {
    line("fail_next(\"%s\", %s, \"%s\")", what, number(nth), error);
}

/* Puts the recording function in front of the subject's own, if it has one. */
#define FRONT(table, part, field, function) \
    if (inner->part->field != NULL) {       \
        table.field = function;             \
    }

static void memory_front(void) {
    memory_table = *inner->memory;
    FRONT(memory_table, memory, create, create)
    FRONT(memory_table, memory, destroy, destroy)
    FRONT(memory_table, memory, grow, grow)
    FRONT(memory_table, memory, to_shared, to_shared)
    FRONT(memory_table, memory, clone, clone)
    FRONT(memory_table, memory, copy, copy)
    FRONT(memory_table, memory, reset, reset)
    FRONT(memory_table, memory, load, load)
    FRONT(memory_table, memory, store, store)
    FRONT(memory_table, memory, atomic_load, load_word)
    FRONT(memory_table, memory, atomic_store, store_word)
    FRONT(memory_table, memory, atomic_rmw, rmw)
    FRONT(memory_table, memory, atomic_cmpxchg, cmpxchg)
    FRONT(memory_table, memory, bulk_copy, bulk_copy)
    FRONT(memory_table, memory, bulk_fill, bulk_fill)
    FRONT(memory_table, memory, bulk_init, bulk_init)
    FRONT(memory_table, memory, initialise, initialise)
    FRONT(memory_table, memory, initialise_segments, segments)
    FRONT(memory_table, memory, read, read_bytes)
    FRONT(memory_table, memory, wait32, wait32)
    FRONT(memory_table, memory, wait64, wait64)
    FRONT(memory_table, memory, notify, notify)
    FRONT(memory_table, memory, disable_atomics, disable_atomics)
    FRONT(memory_table, memory, budget, budget)
    FRONT(memory_table, memory, pin, pin)
    FRONT(memory_table, memory, unpin, unpin)
}

static void mailbox_front(void) {
    mailbox_table = *inner->mailbox;
    FRONT(mailbox_table, mailbox, attach, attach)
    FRONT(mailbox_table, mailbox, release, release)
    FRONT(mailbox_table, mailbox, enqueue, enqueue)
    FRONT(mailbox_table, mailbox, drain, drain)
    FRONT(mailbox_table, mailbox, park, park)
    FRONT(mailbox_table, mailbox, flush, flush)
    FRONT(mailbox_table, mailbox, is_signalled, is_signalled)
    FRONT(mailbox_table, mailbox, wait_for_signal, wait_for_signal)
    FRONT(mailbox_table, mailbox, hold, hold)
    FRONT(mailbox_table, mailbox, move, move)
    FRONT(mailbox_table, mailbox, unhold, unhold)
    FRONT(mailbox_table, mailbox, lose, lose)
    FRONT(mailbox_table, mailbox, grow, grow_under)
    FRONT(mailbox_table, mailbox, close, close_box)
    FRONT(mailbox_table, mailbox, waker_create, waker_create)
    FRONT(mailbox_table, mailbox, waker_clone, waker_clone)
    FRONT(mailbox_table, mailbox, waker_wake, waker_wake)
    FRONT(mailbox_table, mailbox, waker_drop, waker_drop)
}

/* The reference fills its strategies when it begins. */
static void begin(const struct subject_environment *environment) {
    if (inner->begin != NULL) {
        inner->begin(environment);
    }
}

static const struct subject *in_front(const struct subject *subject) {
    static struct subject front;
    inner = subject;
    front = *subject;
    front.begin = begin;
    if (subject->memory != NULL) {
        memory_front();
        front.memory = &memory_table;
    }
    if (subject->mailbox != NULL) {
        mailbox_front();
        front.mailbox = &mailbox_table;
    }
    return &front;
}

const struct subject *tape_begin(const struct subject *subject, FILE *to, FILE *meanwhile) {
    out = to;
    functions = meanwhile;
    note_to = write_note;
    fault_to = tape_fault;
    return in_front(subject);
}

/* Reads of a memory's size are part of the finding where no thread runs. */
static void looked(void *m, uint64_t bytes) {
    if (who() < 0) {
        call("DONE(answer = memory_size_bytes(%s))", m_(m));
        ended(SUBJECT_OK, bytes);
    }
}

static uint64_t size_bytes(void *m) {
    const uint64_t bytes = inner->memory->size_bytes(m);
    looked(m, bytes);
    return bytes;
}

static const struct subject_record *record(void *m) {
    const struct subject_record *found = inner->memory->record(m);
    looked(m, atomic_load(&found->length_bytes));
    return found;
}

static const struct subject *front_of_threads(const struct subject *subject) {
    const struct subject *front = in_front(subject);
    if (subject->memory != NULL && subject->memory->size_bytes != NULL) {
        memory_table.size_bytes = size_bytes;
    }
    if (subject->memory != NULL && subject->memory->record != NULL) {
        memory_table.record = record;
    }
    return front;
}

void tape_threads(FILE *to) {
    out = to;
    who = interleave_thread;
    fault_to = tape_fault;
    interleave_front = front_of_threads;
}

bool tape_end(void) {
    note_to = NULL;
    fault_to = NULL;
    return !unwritten;
}
