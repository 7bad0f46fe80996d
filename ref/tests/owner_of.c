/* owner_of.c: tests of pb_memory_owner_of, a trap handler's question: which memory is this in? */
#include "fixture.h"
#include "memory.h"
#include "owner.h"
#include "seam.h"
#include "test.h"

#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool owns(struct pb_memory *memory, uint64_t offset, struct pb_address_owner *owner) {
    memset(owner, 0xEE, sizeof *owner);
    return pb_memory_owner_of(base_of(memory) + offset, owner) &&
           owner->definition == pb_memory_definition(memory) && owner->offset_bytes == offset &&
           owner->length_bytes == pb_memory_size_bytes(memory);
}

TEST(R4_owner_of_knows_every_byte_of_the_reservation) {
    for (struct each e = each_kind(1, 4, EACH_KIND); each_next(&e);) {
        struct pb_memory *memory = each_create(&e), *copy = NULL;
        struct pb_address_owner owner;
        uint32_t old;
        for (unsigned i = 0; i < 3; i++) {
            uint64_t size = pb_memory_size_bytes(memory);
            CHECK(owns(memory, 0, &owner));
            CHECK(owns(memory, size - 1, &owner));
            if (e.info->traps) {
                CHECK(owns(memory, size, &owner));
                CHECK(owns(memory, size + e.guard_bytes - 1, &owner));
            }
            CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        }
        CHECK_STATUS(pb_memory_copy(memory, &copy), PB_OK);
        CHECK(owns(copy, 100, &owner));
        CHECK(owns(memory, 100, &owner));
        uint64_t end = reservation_end(memory);
        CHECK(!owns(memory, end, &owner));
        const uint8_t *base = base_of(memory);
        pb_memory_release(memory);
        CHECK(!pb_memory_owner_of(base, &owner) || owner.definition == pb_memory_definition(copy));
        CHECK(owns(copy, 100, &owner));
        pb_memory_release(copy);
    }
}

TEST(R10_owner_of_follows_a_memory_that_moves) {
    for (struct each e = each_kind(1, 64, EACH_OWNED | EACH_DYNAMIC); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        struct pb_address_owner owner;
        for (unsigned i = 0; i < 7; i++) {
            uint32_t old;
            const uint8_t *before = base_of(memory);
            CHECK_STATUS(pb_memory_grow(memory, 9, &old), PB_OK);
            CHECK(owns(memory, pb_memory_size_bytes(memory) - 1, &owner));
            if (base_of(memory) != before && pb_memory_owner_of(before, &owner)) {
                CHECK(owner.definition == pb_memory_definition(memory));
                CHECK(owner.offset_bytes == (uint64_t)(before - base_of(memory)));
            }
        }
        pb_memory_release(memory);
    }
}

/* What a memory gives back while it moves is not its own any more, as the next mapping may be
 * there: asked before each call that could give it back. */
static const uint8_t *moving_base;

static void check_nobody_owns(enum seam_call call) {
    struct pb_address_owner owner;
    (void)call;
    CHECK(!pb_memory_owner_of(moving_base, &owner));
}

TEST(R10_owner_of_a_memory_that_is_moving_is_nobody) {
    for (struct each e = each_kind(1, 64, EACH_OWNED | EACH_DYNAMIC | EACH_TRAPPING);
         each_next(&e);) {
        struct pb_address_owner owner;
        uint32_t old;
        if (e.info->stable_base) {
            continue;
        }
        struct pb_memory *memory = each_create(&e);
        moving_base = base_of(memory);
        seam_fail(SEAM_RESERVE, 1, true);
        CHECK_STATUS(pb_memory_grow(memory, 9, &old), PB_NO_MEMORY);
        seam_fail(0, 0, false);
        CHECK(owns(memory, 5, &owner)); /* it is still there */
        seam_before(SEAM_MOVE | SEAM_RELEASE, check_nobody_owns);
        CHECK_STATUS(pb_memory_grow(memory, 9, &old), PB_OK);
        seam_before(0, NULL);
        CHECK(base_of(memory) != moving_base);
        CHECK(owns(memory, 5, &owner));
        pb_memory_release(memory);
    }
}

TEST(R4_owner_of_knows_no_strangers) {
    struct pb_address_owner owner;
    int local = 0;
    CHECK(!pb_memory_owner_of(NULL, &owner));
    CHECK(!pb_memory_owner_of(&local, &owner));
    CHECK(!pb_memory_owner_of((void *)UINTPTR_MAX, &owner));
    struct pb_memory *memory = owned_memory(1, 1);
    CHECK(!pb_memory_owner_of(NULL, &owner));
    CHECK(!pb_memory_owner_of(&local, &owner));
    CHECK(!pb_memory_owner_of(base_of(memory) - 1, &owner) ||
          owner.definition != pb_memory_definition(memory));
    pb_memory_release(memory);
}

TEST(R14_owner_of_a_shared_memory_lasts_as_long_as_its_last_handle) {
    struct pb_memory *memory = shared_memory(1, 2);
    struct pb_memory *clone = clone_of(memory);
    struct pb_address_owner owner;
    const uint8_t *base = base_of(memory);
    pb_memory_release(memory);
    CHECK(pb_memory_owner_of(base + 70000, &owner));
    CHECK(owner.definition == pb_memory_definition(clone));
    CHECK_EQ(owner.offset_bytes, 70000);
    CHECK_EQ(owner.length_bytes, 65536);
    pb_memory_release(clone);
    CHECK(!pb_memory_owner_of(base + 70000, &owner));
}

TEST(R4_owner_of_one_among_many) {
    enum { MANY = 3000 };
    static struct pb_memory *memories[MANY];
    struct pb_address_owner owner;
    for (unsigned i = 0; i < MANY; i++) {
        memories[i] = owned_memory(1, 1);
    }
    for (unsigned i = 0; i < MANY; i++) {
        CHECK(owns(memories[i], i * 40UL, &owner));
    }
    for (unsigned i = 0; i < MANY; i += 2) {
        pb_memory_release(memories[i]);
    }
    for (unsigned i = 1; i < MANY; i += 2) {
        CHECK(owns(memories[i], 65535, &owner));
        pb_memory_release(memories[i]);
    }
}

/* ---- A real trap handler -------------------------------------------------------------------- */

static sigjmp_buf trap;
static struct pb_address_owner trapped;
static volatile sig_atomic_t trap_is_a_guests;

static void on_trap(int signal_number, siginfo_t *information, void *context) {
    (void)signal_number, (void)context;
    trap_is_a_guests = pb_memory_owner_of(information->si_addr, &trapped);
    siglongjmp(trap, 1);
}

__attribute__((no_sanitize("address", "thread"))) static void store_at(volatile uint8_t *at) {
    *at = 1;
}

TEST(R4_owner_of_in_a_real_trap_handler) {
    for (struct each e = each_kind(1, 4, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
        static struct pb_memory *memory; /* static: kept over the jump */
        static uint64_t offset, end;
        struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
        memory = each_create(&e);
        sigaction(SIGSEGV, &action, NULL);
        end = reservation_end(memory);
        for (offset = 65536; offset < end; offset += 12345) {
            if (sigsetjmp(trap, 1) == 0) {
                store_at(base_of(memory) + offset);
                test_fail(__FILE__, __LINE__, "no fault at offset %llu",
                          (unsigned long long)offset);
            }
            CHECK(trap_is_a_guests);
            CHECK_EQ(trapped.offset_bytes, offset);
            CHECK_EQ(trapped.length_bytes, 65536);
            CHECK(trapped.definition == pb_memory_definition(memory));
        }
        signal(SIGSEGV, SIG_DFL);
        pb_memory_release(memory);
    }
}

/* ---- Threads -------------------------------------------------------------------------------- */

static _Atomic bool stop;
static _Atomic(const uint8_t *) stray;

static void *come_and_go(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < TEST_ROUNDS(3000); i++) {
        struct pb_memory *memory = owned_memory(1, 2);
        struct pb_address_owner owner;
        uint32_t old;
        CHECK(owns(memory, 5, &owner));
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        CHECK(owns(memory, 131071, &owner));
        pb_memory_release(memory);
    }
    return NULL;
}

static void *ask(void *argument) {
    struct pb_memory *memory = argument;
    struct pb_address_owner owner;
    while (!stop) {
        CHECK(owns(memory, 70000, &owner));
        CHECK(!pb_memory_owner_of(&owner, &owner));
    }
    return NULL;
}

TEST(R39_owner_of_while_others_come_and_go) {
    struct pb_memory *memory = owned_memory(2, 2);
    pthread_t asker = test_thread(ask, memory);
    pthread_t threads[2] = {test_thread(come_and_go, NULL), test_thread(come_and_go, NULL)};
    test_join(threads[0]);
    test_join(threads[1]);
    stop = true;
    test_join(asker);
    pb_memory_release(memory);
}

/* Faults in a memory that another thread grows: each is either a trap, past the size, or over by
 * the time it is asked about, and then the access goes through (R39). */
static sigjmp_buf out_of_the_fault;
static atomic_int traps;

static void on_racing_fault(int number, siginfo_t *information, void *context) {
    struct pb_address_owner owner;
    (void)number, (void)context;
    switch (pb_memory_fault_at(information->si_addr, &owner)) {
    case PB_FAULT_INSIDE:
        return;
    case PB_FAULT_TRAP:
        traps++;
        siglongjmp(out_of_the_fault, 1);
    default:
        _exit(1); /* a fault outside all memories: the test cannot go on */
    }
}

/* Starts after a first trap: on a busy machine all growth may be over before the first access. */
static void *grow_to_the_end(void *argument) {
    uint32_t old;
    while (traps == 0) {
        test_pause();
    }
    while (pb_memory_grow(argument, 1, &old) == PB_OK) {
        test_pause();
    }
    return NULL;
}

TEST(R39_owner_of_a_fault_that_races_with_growth) {
    enum { PAGES = 16 };
    static struct pb_memory *memory; /* static: kept over the jump */
    static volatile uint32_t page, round;
    struct sigaction action = {.sa_sigaction = on_racing_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    for (round = 0; round < 10; round++) {
        memory = shared_memory(1, PAGES);
        traps = 0;
        pthread_t grower = test_thread(grow_to_the_end, memory);
        for (page = 1; page < PAGES;) {
            if (sigsetjmp(out_of_the_fault, 1) == 0) {
                store_at(base_of(memory) + page * PB_PAGE_BYTES);
                page++;
            }
        }
        test_join(grower);
        CHECK(traps > 0);
        pb_memory_release(memory);
    }
    signal(SIGSEGV, SIG_DFL);
}

TEST(R39_owner_of_tells_a_trap_from_an_access_inside) {
    struct pb_address_owner owner = {7, 7, NULL};
    int local = 0;
    CHECK_EQ(pb_memory_fault_at(&local, &owner), PB_FAULT_ELSEWHERE);
    CHECK_EQ(owner.offset_bytes, 7);
    for (struct each e = each_kind(1, 4, EACH_KIND | EACH_TRAPPING); each_next(&e);) {
        struct pb_memory *memory = each_create(&e);
        uint32_t old;
        CHECK_EQ(pb_memory_fault_at(base_of(memory) + 65535, &owner), PB_FAULT_INSIDE);
        CHECK_EQ(pb_memory_fault_at(base_of(memory) + 65536, &owner), PB_FAULT_TRAP);
        CHECK_STATUS(pb_memory_grow(memory, 1, &old), PB_OK);
        CHECK_EQ(pb_memory_fault_at(base_of(memory) + 131071, &owner), PB_FAULT_INSIDE);
        CHECK_EQ(pb_memory_fault_at(base_of(memory) + 131072, &owner), PB_FAULT_TRAP);
        if (!e.shared) {
            CHECK_STATUS(pb_memory_reset(memory), PB_OK);
            CHECK_EQ(pb_memory_fault_at(base_of(memory) + 65536, &owner), PB_FAULT_TRAP);
        }
        pb_memory_release(memory);
    }
}

/* The record may be freed as soon as its memory is destroyed: a look-up that another thread makes
 * of an address in it reads no record. A small reservation: emulators take 0.2 s for one of 6 GiB.
 */
static void *come_and_go_with_records(void *argument) {
    static const struct pb_memory_style small = {PB_STYLE_DYNAMIC, 0, PB_PAGE_BYTES};
    (void)argument;
    for (unsigned i = 0; i < TEST_ROUNDS(3000); i++) {
        struct pb_memory_definition *record = calloc(1, sizeof *record);
        const struct pb_memory_config config = {
            .type = {1, 1, false}, .style = &small, .definition = record};
        struct pb_memory *memory;
        CHECK_STATUS(pb_memory_create(&config, &memory), PB_OK);
        stray = base_of(memory);
        pb_memory_release(memory);
        free(record);
    }
    stop = true;
    return NULL;
}

TEST(R39_owner_of_a_stray_pointer_reads_no_record) {
    pthread_t other = test_thread(come_and_go_with_records, NULL);
    struct pb_address_owner owner;
    while (!stop) {
        if (pb_memory_owner_of(stray, &owner)) {
            /* 0: it is being made */
            CHECK(owner.length_bytes == 65536 || owner.length_bytes == 0);
        }
    }
    test_join(other);
}

/* ---- One instruction at a time -------------------------------------------------------------- */

#if defined(__x86_64__) && !TEST_SANITIZED

#include <ucontext.h>

enum { TRAP_FLAG = 0x100, AT = 5, STEPS_MAX = 1000 };

static volatile sig_atomic_t stepping;
static unsigned step;
static void (*on_each_step)(void);

/* From raise(SIGTRAP) on each instruction ends here, until stepping is over. */
static void on_step(int number, siginfo_t *information, void *context) {
    ucontext_t *thread = context;
    (void)number, (void)information;
    if (!stepping) {
        thread->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
        return;
    }
    thread->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
    step++;
    on_each_step();
}

static void step_through(void (*function)(void), void (*each_step)(void)) {
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGTRAP, &action, NULL) == 0);
    on_each_step = each_step;
    step = 0;
    stepping = 1;
    CHECK(raise(SIGTRAP) == 0);
    function();
    stepping = 0;
}

/* Three memories take turns in one entry of the register: the first and the third at one place, the
 * second elsewhere and longer. */
static uint8_t place[2 * AT], elsewhere[4 * AT];
static struct pb_memory_definition definitions[3];
static struct pb_owner_entry *entry;
static unsigned first_change, second_change;

static void enter(unsigned which) {
    uint8_t *base = which == 1 ? elsewhere : place;
    uint64_t bytes = which == 1 ? sizeof elsewhere : sizeof place;
    CHECK_STATUS(pb_owner_register(base, bytes, &definitions[which], &entry), PB_OK);
    pb_owner_resize(entry, 100 + which);
}

static void change(void) {
    if (step == first_change || step == second_change) {
        pb_owner_unregister(entry);
        enter(step == first_change ? 1 : 2);
    }
}

static void ask_for_the_place(void) {
    struct pb_address_owner owner;
    if (pb_memory_owner_of(place + AT, &owner)) {
        CHECK(owner.definition == &definitions[0] || owner.definition == &definitions[2]);
        CHECK_EQ(owner.offset_bytes, AT);
        CHECK_EQ(owner.length_bytes, owner.definition == &definitions[0] ? 100 : 102);
    }
}

TEST(R39_owner_of_step_by_step_is_not_pieced_together_from_two_memories) {
    unsigned steps = STEPS_MAX;
    for (first_change = 1; first_change < steps; first_change++) {
        for (second_change = first_change + 1; second_change <= steps; second_change++) {
            enter(0);
            step_through(ask_for_the_place, change);
            steps = step < steps ? step : steps;
            pb_owner_unregister(entry);
        }
    }
    CHECK(steps > 10 && steps < STEPS_MAX);
}

/* A handler that interrupts the register's own writer answers as well, and does not wait for it. */
static void move_elsewhere(void) {
    pb_owner_update(entry, elsewhere, sizeof elsewhere);
}

static unsigned answers[3]; /* nobody, there, elsewhere */

static void ask_for_both(void) {
    struct pb_address_owner owner;
    bool there = pb_memory_owner_of(place + AT, &owner);
    CHECK(!there || (owner.definition == &definitions[0] && owner.offset_bytes == AT));
    bool moved = pb_memory_owner_of(elsewhere + AT, &owner);
    CHECK(!moved || (owner.definition == &definitions[0] && owner.offset_bytes == AT));
    CHECK(!there || !moved);
    answers[there ? 1 : moved ? 2 : 0]++;
}

TEST(R39_owner_of_step_by_step_answers_in_the_middle_of_a_move) {
    enter(0);
    step_through(move_elsewhere, ask_for_both);
    CHECK(answers[0] > 0 && answers[1] > 0 && answers[2] > 0);
    pb_owner_unregister(entry);
}

#endif
