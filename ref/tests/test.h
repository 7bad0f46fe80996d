/* test.h: what the C tests of ref/, fuzz/ and the concurrency engine are written with. A test
 * registers itself by being written:
 *
 *     TEST(R7_grow_zero_at_maximum)
 *     {
 *         CHECK_STATUS(pb_memory_grow(memory, 0, &old), PB_OK);
 *     }
 *
 *     TEST_ROWS(encodings, row < sizeof table / sizeof table[0] ? table[row].name : NULL)
 *     {
 *         CHECK(encodes(&table[row]));
 *     }
 *
 * TEST_ROWS is a test for each row of a table: its name is an expression of `row`, NULL behind the
 * last. In ref/tests/ a name starts with the rule (R1 to R45) that the test is about, and goes on
 * with the known defect (S1 to S28) where it shows one: R5_S1_grow_to_exactly_65536_pages. Each
 * test runs in a process of its own, so it may crash, block or change limits; nothing needs
 * undoing. */
#ifndef TEST_H
#define TEST_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct test {
    const char *name; /* NULL: rows */
    const char *(*row_name)(unsigned row);
    const char *file;
    int line;
    void (*run)(unsigned row);
};

/* The linker gathers the pointers in the section pb_tests; runner.c walks it. */
#define TEST_ENTRY(name_, ...)                                                                 \
    static const struct test name_##_test = {__VA_ARGS__, __FILE__, __LINE__, name_};          \
    __attribute__((used, section("pb_tests"))) static const struct test *const name_##_entry = \
        &name_##_test;
#define TEST(name_)                  \
    static void name_(unsigned row); \
    TEST_ENTRY(name_, #name_, NULL)  \
    static void name_(__attribute__((unused)) unsigned no_row)
#define TEST_ROWS(name_, row_name_)                \
    static const char *name_##_row(unsigned row) { \
        return (row_name_);                        \
    }                                              \
    static void name_(unsigned row);               \
    TEST_ENTRY(name_, NULL, name_##_row)           \
    static void name_(unsigned row)

/* printf into static memory, for the name of a row or a reason; four are kept. */
const char *test_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Each ends the test when it does not hold; from any thread. */
#define CHECK(condition_) \
    ((condition_) ? (void)0 : test_fail(__FILE__, __LINE__, "not so: %s", #condition_))
#define CHECK_EQ(actual_, expected_) \
    test_equal(__FILE__, __LINE__, #actual_, (uint64_t)(actual_), (uint64_t)(expected_))
/* The same with a reason in words, and for a function that returns its reason, or NULL. */
#define CHECK_OR(condition_, ...) \
    ((condition_) ? (void)0 : test_fail(__FILE__, __LINE__, __VA_ARGS__))
#define CHECK_NO_REASON(reason_) test_reason(__FILE__, __LINE__, (reason_))

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void test_equal(const char *file, int line, const char *what, uint64_t actual, uint64_t expected);
void test_reason(const char *file, int line, const char *reason);

/* Ends the test as skipped: this machine lacks something. */
_Noreturn void test_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the test is at ("strategy remap, shared"): a failure says it too. */
void test_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Threads whose start and end cannot fail unnoticed. */
pthread_t test_thread(void *(*run)(void *), void *argument);
void test_join(pthread_t thread);
/* From now on this thread is held up for a moment at arbitrary places, so that others meet it in
 * the middle of a step; until the end. (The thread sanitizer puts signals off: no effect there.) */
struct test_disturbance {
    timer_t timer;
};
struct test_disturbance test_disturb(void);
void test_disturb_end(struct test_disturbance disturbance);
/* Lets others run: for loops that wait until something has happened. */
void test_pause(void);

/* A small deterministic generator, so that stress tests differ by thread and not by run. */
uint32_t test_random(uint64_t *state);

#if defined(__SANITIZE_ADDRESS__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

/* How often a stress test repeats: fewer where every access costs more. */
#define TEST_ROUNDS(plain_) (TEST_SANITIZED ? (plain_) / 10 : (plain_))

#endif
