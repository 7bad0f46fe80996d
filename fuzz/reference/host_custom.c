/* host_custom.c: memories by tables of functions, of which some are missing. */
#include "host_within.h"

#include "mailbox.h"
#include "one_page.h"

/* ---- Custom memories --------------------------------------------------------------------------
 */

/* A page, and what its functions were asked. */
static struct {
    struct one_page common;
    _Alignas(8) uint8_t bytes[65536];
    unsigned initialised, waited, notified, disabled, released, retained, copied;
    uint64_t start, count, address, expected;
    unsigned width;
    uint32_t woken; /* how many were to be woken last */
} page;

static void page_release(void *self) {
    page.released += self == &page;
}

static enum pb_status page_retain(void *self, void **handle) {
    page.retained++;
    *handle = self;
    return PB_OK;
}

static enum pb_status page_retain_fails(void *self, void **handle) {
    (void)self;
    (void)handle;
    return PB_NO_DESCRIPTORS;
}

/* One that fails, and one that makes another handle of the same page. */
static enum pb_status page_copy(void *self, void **copy) {
    (void)self;
    (void)copy;
    page.copied++;
    return PB_NO_DESCRIPTORS;
}

static enum pb_status page_copy_again(void *self, void **copy) {
    page.copied++;
    *copy = self;
    return PB_OK;
}

static enum pb_status page_initialise(void *self, uint64_t start, const void *data,
                                      uint64_t count) {
    (void)self;
    page.initialised++;
    page.start = start;
    page.count = count;
    if (count > 0) {
        memcpy(page.bytes + start, data, count);
    }
    return PB_OK;
}

/* One that refuses all but nothing. */
static enum pb_status page_initialise_fails(void *self, uint64_t start, const void *data,
                                            uint64_t count) {
    (void)self;
    (void)start;
    (void)data;
    return count == 0 ? PB_OK : PB_INTERRUPTED;
}

static enum pb_status page_wait(void *self, uint64_t address, unsigned width, uint64_t expected,
                                int64_t timeout_ns, enum pb_wait *result) {
    (void)self;
    (void)timeout_ns;
    page.waited++;
    page.address = address;
    page.width = width;
    page.expected = expected;
    *result = PB_WAIT_TIMED_OUT;
    return PB_OK;
}

static uint32_t page_notify(void *self, uint64_t address, uint32_t count) {
    (void)self;
    page.notified++;
    page.address = address;
    page.woken = count;
    return count;
}

static void page_disable(void *self) {
    (void)self;
    page.disabled++;
}

enum {
    TYPE,
    STYLE,
    GROW,
    DEFINITION,
    RELEASE,
    RETAIN,
    COPY,
    INITIALISE,
    WAIT,
    NOTIFY,
    DISABLE,
    COPIES,  /* its copy succeeds */
    RETAINS, /* its retain fails */
    FILLS,   /* its initialise fails */
    REQUIRED = 31
};

/* The table without some of its functions. */
static struct pb_memory_operations page_operations(unsigned lacks) {
#define HAS(bit, function) lacks >> (bit)&1 ? NULL : (function)
    return (struct pb_memory_operations){
        .type = HAS(TYPE, one_page_type),
        .style = HAS(STYLE, one_page_style),
        .grow = HAS(GROW, one_page_grow),
        .definition = HAS(DEFINITION, one_page_definition),
        .release = HAS(RELEASE, page_release),
        .retain = HAS(RETAIN, lacks >> RETAINS & 1 ? page_retain_fails : page_retain),
        .copy = HAS(COPY, lacks >> COPIES & 1 ? page_copy_again : page_copy),
        .initialise = HAS(INITIALISE, lacks >> FILLS & 1 ? page_initialise_fails : page_initialise),
        .wait = HAS(WAIT, page_wait),
        .notify = HAS(NOTIFY, page_notify),
        .disable_atomics = HAS(DISABLE, page_disable),
    };
#undef HAS
}

/* What is checked before the table's function is called. */
static const char *custom_words(struct pb_memory *memory, unsigned lacks, uint64_t at) {
    enum pb_wait result = (enum pb_wait)7;
    uint32_t woken = 99;
    const char *broken = NULL;
    for (unsigned width = 4; width <= 8; width += 4) {
        const unsigned waited = page.waited;
        const enum pb_status wrong = at % width != 0             ? PB_MISALIGNED
                                     : !host_in(at, width, PAGE) ? PB_OUT_OF_BOUNDS
                                     : !page.common.shared       ? PB_NOT_SHARED
                                     : lacks >> WAIT & 1         ? PB_UNSUPPORTED
                                                                 : PB_OK;
        const enum pb_status got = width == 4 ? pb_memory_wait32(memory, at, 5, 0, &result)
                                              : pb_memory_wait64(memory, at, 5, 0, &result);
        const bool called = page.waited == waited + 1 && page.address == at &&
                            page.width == width && page.expected == 5 &&
                            result == PB_WAIT_TIMED_OUT;
        broken = host_first(
            broken, host_holds(got == wrong && (got != PB_OK ? page.waited == waited : called),
                               "R19-custom"));
    }
    const enum pb_status wrong = at % 4 != 0             ? PB_MISALIGNED
                                 : !host_in(at, 4, PAGE) ? PB_OUT_OF_BOUNDS
                                                         : PB_OK;
    const bool can = wrong == PB_OK && page.common.shared && !(lacks >> NOTIFY & 1);
    const enum pb_status got = pb_memory_notify(memory, at, 3, &woken);
    broken = host_first(broken, host_holds(got == wrong && page.notified == (can ? 1u : 0u) &&
                                               (wrong != PB_OK || woken == (can ? 3u : 0u)),
                                           "R19-custom"));
    return broken;
}

/* What the table says is what comes back, and segments stop there. */
static const char *custom_bytes_refused(struct pb_memory *memory, uint64_t at, uint64_t count) {
    const unsigned set = !host_in(at, count, PAGE) ? S(OUT_OF_BOUNDS)
                         : count == 0              ? S(OK)
                                                   : S(INTERRUPTED);
    const struct pb_active_segment segments[] = {
        {0, {host_far_bytes(), 0}}, {8, {host_far_bytes(), 8}}, {16, {host_far_bytes(), 8}}};
    size_t applied = 9;
    const char *broken =
        host_answered(pb_memory_initialise(memory, at, host_far_bytes(), count), set, "R17-custom");
    broken = host_first(broken,
                        host_answered(pb_memory_initialise_segments(memory, segments, 3, &applied),
                                      S(INTERRUPTED), "R17-custom"));
    return host_first(broken, host_holds(applied == 1, "R17-custom"));
}

static const char *custom_bytes(struct pb_memory *memory, unsigned lacks, uint64_t at,
                                uint64_t count) {
    const bool fits = host_in(at, count, PAGE), own = !(lacks >> INITIALISE & 1);
    if (own && lacks >> FILLS & 1) {
        return custom_bytes_refused(memory, at, count);
    }
    memset(page.bytes, 0, sizeof page.bytes);
    const enum pb_status got = pb_memory_initialise(memory, at, host_far_bytes(), count);
    const char *broken = host_holds(got == (fits ? PB_OK : PB_OUT_OF_BOUNDS), "R17-custom");
    broken = host_first(
        broken, host_holds(page.initialised == (fits && own ? 1u : 0u) &&
                               (page.initialised == 0 || (page.start == at && page.count == count)),
                           "R17-custom"));
    return host_first(
        broken,
        host_holds(!fits || memcmp(page.bytes + at, host_far_bytes(), count) == 0, "R17-custom"));
}

/* The table grows it, and accesses go through its record. */
static const char *custom_growth(struct pb_memory *memory) {
    uint32_t old = 9;
    uint64_t value = 0;
    uint8_t read[4] = {0};
    const char *broken =
        host_holds(pb_memory_grow(memory, 0, &old) == PB_OK && old == 1, "R7-custom");
    old = 9;
    broken = host_first(
        broken, host_holds(pb_memory_grow(memory, 1, &old) == PB_LIMIT && old == 9, "R5-custom"));
    broken = host_first(broken, host_holds(pb_memory_store(memory, 12, 4, 4, 0x01020304) == PB_OK &&
                                               pb_memory_load(memory, 16, 0, 4, &value) == PB_OK &&
                                               value == 0x01020304,
                                           "R18-custom"));
    return host_first(broken, host_holds(pb_memory_read(memory, 16, read, 4) == PB_OK &&
                                             memcmp(read, page.bytes + 16, 4) == 0 && read[0] == 4,
                                         "R17-custom"));
}

/* What each handle answers, whichever way it was got. */
static const char *custom_questions(struct pb_memory *memory) {
    struct pb_pin pin = {HOST_MARK, 0, NULL};
    enum pb_wait result = (enum pb_wait)7;
    struct pb_canceller *canceller;
    const char *broken = host_answered(pb_memory_to_shared(memory),
                                       page.common.shared ? S(OK) : S(UNSUPPORTED), "R12-custom");
    broken =
        host_first(broken, host_answered(pb_memory_reset(memory), S(UNSUPPORTED), "R15-custom"));
    broken = host_first(
        broken, host_answered(pb_memory_pin(memory, 0, 1, &pin), S(UNSUPPORTED), "R42-custom"));
    broken = host_first(broken, host_told(PB_UNSUPPORTED, pin.bytes, "R42-told"));
    broken =
        host_first(broken, host_holds(pb_memory_strategy(memory) == PB_STRATEGY_COUNT &&
                                          pb_memory_rung(memory) == PB_RUNG_AS_ASKED &&
                                          pb_memory_waiters(memory) == 0 &&
                                          pb_memory_definition(memory) == &page.common.definition,
                                      "R3-custom"));
    const struct pb_memory_type type = pb_memory_type(memory);
    const struct pb_memory_style style = pb_memory_style(memory);
    broken = host_first(
        broken, host_holds(type.min_pages == 1 && type.max_pages == 1 &&
                               type.shared == page.common.shared && style.kind == PB_STYLE_STATIC &&
                               style.bound_pages == 1 && pb_memory_size_bytes(memory) == PAGE,
                           "R1-custom"));
    broken = host_first(broken, custom_growth(memory));
    if (pb_canceller_create(&host_allocator, &canceller) == PB_OK) {
        const enum pb_status got =
            pb_memory_cancellable_wait32(memory, 8, 0, 0, canceller, &result);
        broken = host_first(
            broken,
            host_answered(got, page.common.shared ? S(UNSUPPORTED) : S(NOT_SHARED), "R41-custom"));
        pb_canceller_release(canceller);
    }
    return broken;
}

static const char *custom_handle(struct pb_memory *made, enum pb_status got) {
    if (got != PB_OK || made == HOST_MARK) {
        return NULL;
    }
    const char *broken = custom_questions(made);
    pb_memory_release(made);
    return broken;
}

/* The table's notify wakes the guest of a mailbox that lies there: for the first id at least one,
 * all at the end, and nobody after that, as the memory may be gone then. */
static const char *custom_mailbox(struct pb_memory *memory, unsigned lacks, uint64_t at) {
    const bool can = page.common.shared && !(lacks >> NOTIFY & 1);
    const struct pb_mailbox_config config = {.memory = memory,
                                             .offset = (uint32_t)(at % PAGE / 2 / 4 * 4),
                                             .capacity = 4,
                                             .allocator = &host_allocator};
    struct pb_mailbox *box;
    const bool fails = page.common.shared && !(lacks >> RETAIN & 1) && lacks >> RETAINS & 1;
    const enum pb_status got = pb_mailbox_create(&config, &box);
    if (got != PB_OK || fails) {
        return host_holds(fails && got == PB_NO_DESCRIPTORS, "R38-custom");
    }
    const uint64_t flag = config.offset + (uint64_t)PB_MAILBOX_FLAG_OFFSET;
    page.notified = 0;
    page.address = page.woken = 0;
    const char *broken = host_answered(pb_mailbox_enqueue(box, 1), S(OK), "R30-custom");
    broken = host_first(broken,
                        host_holds(can ? page.notified > 0 && page.address == flag && page.woken > 0
                                       : page.notified == 0,
                                   "R34-custom"));
    broken = host_first(broken, host_answered(pb_mailbox_enqueue(box, 2), S(OK), "R30-custom"));
    page.woken = 0;
    pb_mailbox_close(box, NULL);
    broken = host_first(broken, host_holds(can ? page.address == flag && page.woken == UINT32_MAX
                                               : page.notified == 0,
                                           "R36-custom"));
    const unsigned notified = page.notified;
    broken = host_first(broken, host_answered(pb_mailbox_enqueue(box, 3), S(CLOSED), "R36-custom"));
    broken = host_first(broken, host_holds(page.notified == notified, "R36-custom"));
    pb_mailbox_release(box);
    return broken;
}

static const char *custom_handles(struct pb_memory *memory, unsigned lacks) {
    struct pb_memory *made = HOST_MARK;
    enum pb_status got = pb_memory_retain(memory, &made);
    const char *broken = host_answered(got,
                                       !page.common.shared    ? S(NOT_SHARED)
                                       : lacks >> RETAIN & 1  ? S(UNSUPPORTED)
                                       : lacks >> RETAINS & 1 ? S(NO_DESCRIPTORS)
                                                              : S(OK),
                                       "R14-custom");
    broken = host_first(broken, host_told(got, made, "R14-told"));
    broken = host_first(broken, custom_handle(made, got));
    made = HOST_MARK;
    got = pb_memory_copy(memory, &made);
    broken = host_first(broken, host_answered(got,
                                              lacks >> COPY & 1     ? S(UNSUPPORTED)
                                              : lacks >> COPIES & 1 ? S(OK)
                                                                    : S(NO_DESCRIPTORS),
                                              "R13-custom"));
    broken = host_first(broken, host_told(got, made, "R13-told"));
    broken = host_first(broken, custom_handle(made, got));
    broken = host_first(broken, custom_questions(memory));
    pb_memory_disable_atomics(memory);
    return host_first(
        broken,
        host_holds(page.disabled == (page.common.shared && !(lacks >> DISABLE & 1) ? 1u : 0u),
                   "R29-custom"));
}

const char *host_custom(const struct op *op) {
    const unsigned lacks = (unsigned)op->arg.host_custom.lacks;
    const struct pb_memory_operations operations = page_operations(lacks);
    struct pb_memory *memory = HOST_MARK;
    if (host_far_bytes() == NULL) {
        return NULL;
    }
    page.initialised = page.waited = page.notified = page.disabled = page.released = page.retained =
        page.copied = 0;
    page.common.shared = op->arg.host_custom.shared == WORD_yesno_yes;
    atomic_store(&page.common.definition.base, page.bytes);
    atomic_store(&page.common.definition.length_bytes, PAGE);
    const enum pb_status got =
        pb_memory_create_custom(&operations, &page, &host_allocator, &memory);
    const char *broken = host_answered(got, lacks & REQUIRED ? S(INVALID) : S(OK), "R3-custom");
    broken = host_first(broken, host_told(got, memory, "R1-told"));
    broken = host_first(broken, host_holds(page.released == 0, "R14-custom"));
    if (got != PB_OK || memory == HOST_MARK) {
        return broken;
    }
    if (broken == NULL) {
        broken = custom_words(memory, lacks, op->arg.host_custom.at);
        broken = host_first(
            broken, custom_bytes(memory, lacks, op->arg.host_custom.at, op->arg.host_custom.count));
        broken = host_first(broken, custom_mailbox(memory, lacks, op->arg.host_custom.at));
        broken = host_first(broken, custom_handles(memory, lacks));
    }
    const unsigned retained = page.retained + (lacks >> COPIES & 1 ? page.copied : 0);
    const unsigned before = page.released;
    if (!(lacks & REQUIRED)) {
        pb_memory_release(memory);
        broken = host_first(
            broken, host_holds(before == retained && page.released == retained + 1, "R14-custom"));
    }
    return broken;
}
