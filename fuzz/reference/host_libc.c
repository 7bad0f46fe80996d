/* host_libc.c: a small host that gives no allocator: all that the library needs is the C library's,
 * whose nth allocation fails. What failed changes nothing, keeps nothing and succeeds when it is
 * tried again; at the end every block has been released, once. */
#include "host_within.h"

#include "os_wrap.h"

#include "mailbox.h"
#include "op.h"

enum { SIZES = 4, PAGES_MAX = 16, SLOTS = 3, UNSET = 77 };

static struct {
    const char *broken;
    enum pb_status got;
    unsigned failures, blocks; /* before the call that runs */
    struct pb_memory_config config;
    struct pb_memory_style style;
    const uint8_t *pattern;
    uint32_t first_pages, image_pages;
} run;

/* One memory, and the size that it must have. All of it holds the pattern. */
struct tenant {
    struct pb_memory *memory;
    uint32_t pages;
};

/* Where a call of the system was made to fail as well, by an operation before, nothing is judged.
 */
static void hold_that(bool right, const char *rule) {
    if (!host_call_failed()) {
        run.broken = host_first(run.broken, host_holds(right, rule));
    }
}

/* Once something is wrong nothing else is done, not even a release, as it would only crash. */
static bool is_sound(void) {
    return run.broken == NULL;
}

/* After a failure of the system all is given back, and not used any more. */
static bool goes_on(const void *with) {
    return is_sound() && !host_call_failed() && with != NULL;
}

static void begins(void) {
    run.failures = libc_wrap_failures();
    run.blocks = libc_wrap_blocks();
}

/* The call has had all that it asked for, or says that it has not, and keeps nothing. (A copy that
 * fails may still have made its source a view of a new image, which is the source's then.) */
static bool ended(const char *rule) {
    hold_that(run.got == (libc_wrap_failures() != run.failures ? PB_NO_MEMORY : PB_OK), rule);
    if (run.got != PB_OK && run.config.strategy != PB_STRATEGY_IMAGE) {
        const unsigned blocks = libc_wrap_blocks();
        hold_that(blocks >= run.blocks, "R6-released");
        hold_that(blocks <= run.blocks, "R14-leak");
    }
    return run.got == PB_OK;
}

static bool has_made(const void *made, const char *rule) {
    hold_that((run.got == PB_OK) == (made != HOST_MARK), "R1-told");
    return ended(rule) && made != HOST_MARK;
}

/* What a call makes: at the second try if an allocation of the first has failed. NULL: it could
 * not. */
#define TRY(call, made, rule) \
    ((made) = HOST_MARK, begins(), run.got = (call), has_made((made), (rule)))
#define MAKE(call, made, rule)                                            \
    do {                                                                  \
        if (!TRY(call, made, rule)) {                                     \
            libc_wrap_fail(0, false);                                     \
            (made) = is_sound() && TRY(call, made, rule) ? (made) : NULL; \
        }                                                                 \
    } while (0)

/* ---- A memory's bytes -------------------------------------------------------------------------
 */

static bool is_zero(const uint8_t *at, uint64_t bytes) {
    return bytes == 0 || (at[0] == 0 && memcmp(at, at + 1, (size_t)bytes - 1) == 0);
}

/* Its size, and that what lies there is still its own: bytes must not be asked for before. */
static bool stands(const struct tenant *t, const char *rule) {
    const struct pb_memory_definition *definition = pb_memory_definition(t->memory);
    hold_that(atomic_load(&definition->length_bytes) == t->pages * PAGE, rule);
    if (run.config.strategy == PB_STRATEGY_HEAP) {
        hold_that(libc_wrap_is_block(host_base(t->memory), t->pages * PAGE), rule);
    }
    return goes_on(t->memory);
}

static void look(const struct tenant *t, const char *rule) {
    if (stands(t, rule) && t->pages > 0) {
        hold_that(memcmp(host_base(t->memory), run.pattern, t->pages * PAGE) == 0, rule);
    }
}

/* The pages from there on are fresh; now they hold the pattern, too. */
static void fill_from(const struct tenant *t, uint32_t page, const char *rule) {
    if (stands(t, rule) && page < t->pages) {
        uint8_t *at = host_base(t->memory) + page * PAGE;
        const uint64_t bytes = (t->pages - page) * PAGE;
        hold_that(is_zero(at, bytes), rule);
        memcpy(at, run.pattern + page * PAGE, (size_t)bytes);
    }
}

/* As a new one: the image's bytes, and zeros. */
static void move_in(const struct tenant *t, const char *rule) {
    const struct tenant of_image = {t->memory, run.image_pages};
    if (stands(t, rule) && run.image_pages > 0) {
        hold_that(memcmp(host_base(t->memory), run.pattern, of_image.pages * PAGE) == 0, rule);
    }
    fill_from(t, of_image.pages, rule);
}

/* ---- What the host does -----------------------------------------------------------------------
 */

static void grow(struct tenant *t, uint32_t delta) {
    for (unsigned tries = 0; tries < 2 && goes_on(t->memory); tries++) {
        const uint8_t *base = host_base(t->memory);
        uint32_t old = UNSET;
        begins();
        run.got = pb_memory_grow(t->memory, delta, &old);
        if (ended("R5-grow")) {
            hold_that(old == t->pages, "R5-grow-old");
            const struct tenant before = {t->memory, t->pages};
            t->pages += delta;
            if (stands(t, "R8-grow-bytes") && before.pages > 0) {
                hold_that(memcmp(host_base(t->memory), run.pattern, before.pages * PAGE) == 0,
                          "R8-grow-bytes");
            }
            fill_from(t, before.pages, "R8-grow-zero");
            return;
        }
        hold_that(old == UNSET, "R1-told");
        hold_that(host_base(t->memory) == base, "R6-base");
        look(t, "R6-unchanged");
        libc_wrap_fail(0, false);
    }
}

static void end(const struct tenant *t) {
    if (is_sound()) {
        pb_memory_release(t->memory);
    }
}

static void copy(struct tenant *t, uint32_t delta) {
    struct tenant other = {.pages = t->pages};
    MAKE(pb_memory_copy(t->memory, &other.memory), other.memory, "R13-copy");
    look(t, "R6-unchanged");
    if (goes_on(other.memory)) {
        look(&other, "R13-copy");
        grow(&other, delta);
        look(t, "R13-copy");
    }
    end(&other);
}

static void retain(const struct tenant *t) {
    struct tenant clone = {.pages = t->pages};
    MAKE(pb_memory_retain(t->memory, &clone.memory), clone.memory, "R14-clone");
    if (goes_on(clone.memory)) {
        look(&clone, "R14-clone");
    }
    end(&clone);
}

static void reset(struct tenant *t) {
    begins();
    run.got = pb_memory_reset(t->memory);
    if (ended("R15-reset")) {
        t->pages = run.first_pages;
        move_in(t, "R15-reuse");
    }
}

static void convert(const struct tenant *t) {
    for (unsigned tries = 0; tries < 2 && goes_on(t->memory); tries++) {
        begins();
        run.got = pb_memory_to_shared(t->memory);
        const bool shared = ended("R12-to-shared");
        look(t, "R12-to-shared");
        if (shared) {
            return;
        }
        libc_wrap_fail(0, false);
    }
}

static void cancel(void) {
    struct pb_canceller *canceller;
    MAKE(pb_canceller_create(NULL, &canceller), canceller, "R41-create");
    if (is_sound()) {
        pb_canceller_release(canceller);
    }
}

/* Two ids in the ring, and one that waits. */
static void wake(const struct tenant *t) {
    const struct pb_mailbox_config config = {
        .memory = t->memory, .capacity = 2, .full = PB_MAILBOX_SPILL, .spill_max = 2};
    struct pb_mailbox *box;
    struct pb_waker *waker = NULL;
    MAKE(pb_mailbox_create(&config, &box), box, "R38-attach");
    if (goes_on(box)) {
        MAKE(pb_waker_create(box, 1, &waker), waker, "R30-waker");
    }
    for (unsigned ids = 0; ids < 3 && goes_on(waker); ids++) {
        begins();
        run.got = pb_waker_wake(waker);
        (void)ended("R33-wake");
    }
    if (is_sound()) {
        pb_mailbox_release(box);
        pb_waker_release(waker);
    }
}

static void use(struct tenant *t, uint32_t delta) {
    move_in(t, "R2-fresh");
    grow(t, delta);
    grow(t, delta);
    if (goes_on(t->memory)) {
        copy(t, delta);
    }
    if (run.config.type.shared && goes_on(t->memory)) {
        retain(t);
    } else if (goes_on(t->memory)) {
        reset(t);
        grow(t, delta);
    }
    if (!run.config.type.shared && pb_strategy_info(run.config.strategy)->shareable) {
        convert(t);
    }
    if (t->pages > 0 && goes_on(t->memory)) {
        wake(t);
    }
}

static void live(uint32_t delta) {
    struct tenant t = {.pages = run.first_pages};
    MAKE(pb_memory_create(&run.config, &t.memory), t.memory, "R1-create");
    if (goes_on(t.memory)) {
        use(&t, delta);
    }
    end(&t);
}

static void live_in_pool(uint32_t delta, enum pb_pool_reset reset_by) {
    const struct pb_pool_config slots = {
        .slots = SLOTS,
        .slot_bytes = PAGES_MAX * PAGE,
        .guard_bytes = host_page_bytes(),
        .reset = reset_by,
    };
    MAKE(pb_pool_create(&slots, &run.config.pool), run.config.pool, "R15-pool");
    if (goes_on(run.config.pool)) {
        live(delta);
    }
    if (is_sound()) {
        pb_pool_release(run.config.pool);
    }
}

static void live_on_image(uint32_t delta) {
    run.image_pages = run.first_pages > 0;
    if (run.image_pages > 0) {
        MAKE(pb_image_create(run.pattern, PAGE, NULL, &run.config.image), run.config.image,
             "R2-image");
    }
    if (run.image_pages == 0 || goes_on(run.config.image)) {
        live(delta);
    }
    if (is_sound()) {
        pb_image_release(run.config.image);
    }
}

static enum pb_strategy strategy_of(enum word_strategy word) {
    enum pb_strategy strategy = PB_STRATEGY_HEAP;
    if (word == WORD_strategy_pool_renew || word == WORD_strategy_pool_scan) {
        strategy = PB_STRATEGY_POOL;
    } else { /* else it is none: the heap */
        (void)pb_strategy_by_name(op_word(KIND_strategy, word), &strategy);
    }
    return strategy;
}

const char *host_libc(const struct op *op) {
    const enum word_strategy word = (enum word_strategy)op->arg.host_libc.strategy;
    const enum pb_strategy strategy = strategy_of(word);
    const uint32_t pages = (uint32_t)op->arg.host_libc.pages % SIZES;
    const uint32_t delta = (uint32_t)op->arg.host_libc.delta % SIZES;
    const bool shared = op->arg.host_libc.shared == WORD_yesno_yes;
    const bool scans =
        word == WORD_strategy_pool_scan && pb_pool_reset_available(PB_POOL_SCAN, NULL) == PB_OK;
    memset(&run, 0, sizeof run);
    run.pattern = host_far_bytes();
    run.first_pages = pages;
    run.style =
        (struct pb_memory_style){.kind = PB_STYLE_DYNAMIC, .guard_bytes = host_page_bytes()};
    run.config = (struct pb_memory_config){
        .type = {pages, PAGES_MAX, shared && pb_strategy_info(strategy)->shareable},
        .style = &run.style,
        .strategy = strategy,
    };
    if (run.pattern == NULL || pb_strategy_available(strategy, NULL) != PB_OK) {
        return NULL;
    }
    libc_wrap_watch(true);
    libc_wrap_fail((unsigned)op->arg.host_libc.nth, op->arg.host_libc.lasting == WORD_yesno_yes);
    if (strategy == PB_STRATEGY_POOL) {
        live_in_pool(delta, scans                              ? PB_POOL_SCAN
                            : word == WORD_strategy_pool_renew ? PB_POOL_RENEW
                                                               : PB_POOL_DISCARD);
    } else if (strategy == PB_STRATEGY_IMAGE) {
        live_on_image(delta);
    } else {
        live(delta);
    }
    if (is_sound()) {
        cancel();
    }
    hold_that(libc_wrap_blocks() == 0, "R14-leak");
    hold_that(!libc_wrap_released_twice(), "R14-released-twice");
    libc_wrap_watch(false);
    return run.broken;
}
