/* c11.c: C11 threads: mutexes, condition variables, once, thread-specific storage, results.
 * expect: pass sched=exhaustive set=spurious=0
 * expect: pass time=1
 */
#include <assert.h>
#include <threads.h>

static mtx_t mutex;
static cnd_t condition;
static once_flag flag = ONCE_FLAG_INIT;
static tss_t slot;
static int ready, calls;

static void call(void) {
    calls++;
}

static int work(void *arg) {
    call_once(&flag, call);
    tss_set(slot, arg);
    assert(tss_get(slot) == arg);
    mtx_lock(&mutex);
    ready = 1;
    cnd_signal(&condition);
    mtx_unlock(&mutex);
    thrd_yield();
    thrd_exit(42);
}

int main(void) {
    thrd_t thread;
    int result;
    mtx_init(&mutex, mtx_plain);
    cnd_init(&condition);
    tss_create(&slot, NULL);
    assert(thrd_create(&thread, work, &ready) == thrd_success);
    call_once(&flag, call);
    mtx_lock(&mutex);
    while (!ready) {
        cnd_wait(&condition, &mutex);
    }
    mtx_unlock(&mutex);
    assert(thrd_join(thread, &result) == thrd_success && result == 42);
    assert(calls == 1 && !tss_get(slot));
    cnd_destroy(&condition);
    mtx_destroy(&mutex);
    return 0;
}
