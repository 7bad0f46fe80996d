/* rwlock.c: a reader-writer lock in one word, as many kernels have it: readers count up from 0, a
 * writer puts the whole bias on top. With -DBROKEN a reader gives the lock back with a relaxed
 * decrement, so that a writer may write while its last read is still to come.
 *
 *   make explore SRC=fuzz/sim/examples/rwlock.c CFLAGS_SRC=-DBROKEN
 *
 * expect: pass time=3
 * expect: data-race cflags=-DBROKEN
 * shows: word
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>

#define WRITER 0x10000
#ifdef BROKEN
#define GIVE_BACK memory_order_relaxed
#else
#define GIVE_BACK memory_order_release
#endif

static atomic_int word;
static int a, b;

static void read_lock(void) {
    while (atomic_fetch_add_explicit(&word, 1, memory_order_acquire) >= WRITER) {
        atomic_fetch_sub_explicit(&word, 1, memory_order_relaxed);
        while (atomic_load_explicit(&word, memory_order_relaxed) >= WRITER) {
        }
    }
}

static void read_unlock(void) {
    atomic_fetch_sub_explicit(&word, 1, GIVE_BACK);
}

static void write_lock(void) {
    for (;;) {
        int nobody = 0;
        if (atomic_compare_exchange_strong_explicit(&word, &nobody, WRITER, memory_order_acquire,
                                                    memory_order_relaxed)) {
            return;
        }
        while (atomic_load_explicit(&word, memory_order_relaxed)) {
        }
    }
}

static void write_unlock(void) {
    atomic_fetch_sub_explicit(&word, WRITER, memory_order_release);
}

static void *reader(void *arg) {
    read_lock();
    int first = a, second = b;
    read_unlock();
    assert(first == second);
    return arg;
}

static void *writer(void *arg) {
    write_lock();
    a++;
    b++;
    write_unlock();
    return arg;
}

int main(void) {
    void *(*const what[])(void *) = {reader, writer, reader, writer};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, what[i], NULL);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    assert(a == 2 && b == 2);
    return 0;
}
