/* steps.c: the order in which the library touches guest memory, instruction by instruction: R20,
 * R31, R34, R38. The page is closed; each access faults, is noted, and is then made in a single
 * step. Shows in one thread what otherwise only a rare interleaving would. x86-64 only, and not
 * under sanitizers, which touch the page themselves. */
#include "test.h"

#if defined(__x86_64__) && !TEST_SANITIZED

#include "fixture.h"
#include "guest.h"
#include "mailbox.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { PAGE_BYTES = 4096, TRAP_FLAG = 0x100, STEPS_MAX = 64, OFFSET = 1024, CAPACITY = 4 };
enum {
    FLAG = PB_MAILBOX_FLAG_OFFSET,
    HEAD = PB_MAILBOX_HEAD_OFFSET,
    TAIL = PB_MAILBOX_TAIL_OFFSET
};
enum { RING = PB_MAILBOX_RING_OFFSET };

static uint8_t *watched; /* the page */
static unsigned step_count;
static uint32_t steps[STEPS_MAX]; /* offsets from the mailbox's start, in the order of access */

static void on_access(int number, siginfo_t *information, void *context) {
    ucontext_t *thread = context;
    uint64_t at = (uint64_t)((uint8_t *)information->si_addr - watched);
    if (at >= PAGE_BYTES || step_count == STEPS_MAX) {
        signal(number, SIG_DFL);
        return;
    }
    steps[step_count++] = (uint32_t)at - OFFSET;
    mprotect(watched, PAGE_BYTES, PROT_READ | PROT_WRITE);
    thread->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void after_access(int number, siginfo_t *information, void *context) {
    ucontext_t *thread = context;
    (void)number, (void)information;
    thread->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
    mprotect(watched, PAGE_BYTES, PROT_NONE);
}

static void watch(struct pb_memory *memory) {
    struct sigaction fault = {.sa_sigaction = on_access, .sa_flags = SA_SIGINFO};
    struct sigaction step = {.sa_sigaction = after_access, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
    watched = base_of(memory);
    step_count = 0;
    CHECK(mprotect(watched, PAGE_BYTES, PROT_NONE) == 0);
}

static void unwatch(void) {
    CHECK(mprotect(watched, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0);
    CHECK(step_count > 0); /* else nothing was seen, and nothing is shown */
}

/* Where an offset was first, and how often it was, touched. */
static unsigned first(uint32_t offset) {
    unsigned i = 0;
    while (i < step_count && steps[i] != offset) {
        i++;
    }
    return i;
}

static unsigned times(uint32_t offset) {
    unsigned count = 0;
    for (unsigned i = 0; i < step_count; i++) {
        count += steps[i] == offset;
    }
    return count;
}

static struct pb_mailbox *attach(struct pb_memory *memory) {
    struct pb_mailbox_config config = {.memory = memory, .offset = OFFSET, .capacity = CAPACITY};
    struct pb_mailbox *mailbox = NULL;
    CHECK_STATUS(pb_mailbox_create(&config, &mailbox), PB_OK);
    return mailbox;
}

static void ignore(void *context, uint32_t id) {
    (void)context, (void)id;
}

TEST(R31_S20_step_by_step_slot_then_tail_then_signal) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory);
    for (uint32_t i = 0; i < CAPACITY; i++) {
        watch(memory);
        enum pb_status status = pb_mailbox_enqueue(mailbox, 7 + i);
        unwatch();
        CHECK_STATUS(status, PB_OK);
        CHECK(first(RING + 4 * i) < first(TAIL));
        CHECK(first(TAIL) < first(FLAG));
        CHECK(first(FLAG) < step_count);
        CHECK_EQ(times(TAIL), 1);
        CHECK_EQ(times(RING + 4 * i), 1);
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R34_S21_step_by_step_signal_is_cleared_before_the_tail_is_read_and_not_after) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory);
    struct pb_mailbox_words *words = (void *)(base_of(memory) + OFFSET);
    for (unsigned round = 0; round < 3; round++) { /* the last one drains nothing */
        for (uint32_t i = 0; i < 3 && round < 2; i++) {
            CHECK_STATUS(pb_mailbox_enqueue(mailbox, 1 + i), PB_OK);
        }
        watch(memory);
        uint32_t count = pb_guest_drain(words, ignore, NULL);
        unwatch();
        CHECK_EQ(count, round < 2 ? 3 : 0);
        CHECK_EQ(times(FLAG), 1);
        CHECK_EQ(times(TAIL), 1);
        CHECK(first(FLAG) < first(TAIL));
        for (uint32_t i = 0; i < step_count; i++) { /* slots after the tail, head at the end */
            CHECK(steps[i] < RING || i > first(TAIL));
        }
        CHECK(count == 0 || steps[step_count - 1] == HEAD);
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R38_step_by_step_the_host_reads_each_word_once) {
    struct pb_memory *memory = owned_memory(1, 1);
    struct pb_mailbox *mailbox = attach(memory);
    for (uint32_t i = 0; i < 2 * CAPACITY; i++) { /* also when it is full */
        watch(memory);
        enum pb_status status = pb_mailbox_enqueue(mailbox, 1 + i);
        mprotect(watched, PAGE_BYTES, PROT_READ | PROT_WRITE);
        CHECK_STATUS(status, i < CAPACITY ? PB_OK : PB_FULL);
        for (uint32_t offset = 0; offset < PB_MAILBOX_BYTES(CAPACITY); offset += 4) {
            /* Of a read-modify-write compilers may make a loop that loads first. */
            CHECK(times(offset) <= (offset == FLAG ? 2 : 1));
        }
        CHECK_EQ(times(PB_MAILBOX_CAPACITY_OFFSET), 0); /* of no use to the host */
    }
    pb_mailbox_release(mailbox);
    pb_memory_release(memory);
}

TEST(R20_step_by_step_the_value_is_loaded_once) {
    struct pb_memory *memory = shared_memory(1, 1);
    for (uint32_t expected = 0; expected < 2; expected++) {
        enum pb_wait results[2];
        watch(memory);
        enum pb_status narrow = pb_memory_wait32(memory, OFFSET, expected, 0, &results[0]);
        enum pb_status wide = pb_memory_wait64(memory, OFFSET + 8, expected, 0, &results[1]);
        unwatch();
        CHECK(narrow == PB_OK && wide == PB_OK);
        CHECK_EQ(results[0], expected ? PB_WAIT_NOT_EQUAL : PB_WAIT_TIMED_OUT);
        CHECK_EQ(results[1], results[0]);
        CHECK_EQ(times(0), 1);
        CHECK_EQ(times(8), 1);
        CHECK_EQ(step_count, 2);
    }
    pb_memory_release(memory);
}

#endif
