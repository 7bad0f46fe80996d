/* threads.c: threads, once, keys, thread-locals, cleanup handlers, errno, time, exit: as without
 * the engine. Every run starts with the initial globals, thread-locals and libc state.
 * expect: pass time=1
 * expect: pass time=1 cflags=-O2
 * expect: pass time=1 sched=bytes
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int made, destroyed, cleaned, at_exit;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local int local = 5;
static __thread char big[100];
static char line[32];

static void destroy(void *value) {
    pthread_mutex_lock(&mutex);
    destroyed += *(int *)value;
    pthread_mutex_unlock(&mutex);
    free(value);
}

static void make(void) {
    made++;
    assert(!pthread_key_create(&key, destroy));
}

static void clean(void *arg) {
    pthread_mutex_lock(&mutex);
    cleaned += *(int *)arg;
    pthread_mutex_unlock(&mutex);
}

static void *work(void *arg) {
    int *value = malloc(sizeof *value), ten = 10;
    pthread_once(&once, make);
    *value = 7;
    assert(pthread_getspecific(key) == NULL && !pthread_setspecific(key, value));
    assert(pthread_getspecific(key) == value);
    assert(local == 5 && big[99] == 0);
    local++;
    big[99] = 1;
    assert(fopen("/does/not/exist", "r") == NULL && errno == ENOENT);
    pthread_cleanup_push(clean, &ten);
    pthread_exit(arg);
    pthread_cleanup_pop(0);
    return NULL;
}

static void last(void) {
    at_exit++;
}

static void sleeps(void) {
    struct timespec before, after, hour = {.tv_sec = 3600};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&hour, NULL);
    usleep(5);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert(after.tv_sec >= before.tv_sec + 3600);
    while (after.tv_sec < before.tv_sec + 3700) { /* a loop that polls the clock ends */
        clock_gettime(CLOCK_MONOTONIC, &after);
    }
}

int main(int argc, char **argv) {
    pthread_t thread[2];
    void *result;
    assert(argc == 1 && argv[0] && !argv[1]);
    assert(made == 0 && line[0] == 0 && at_exit == 0 && local == 5);
    local = 6;
    assert(rand() >= 0);
    for (int i = 0; i < 2; i++) {
        assert(!pthread_create(&thread[i], NULL, work, &thread[i]));
    }
    for (int i = 0; i < 2; i++) {
        assert(!pthread_join(thread[i], &result) && result == &thread[i]);
    }
    assert(made == 1 && destroyed == 14 && cleaned == 20 && local == 6);
    FILE *f = fmemopen(line, sizeof line, "w"); /* libc writes unseen by the engine */
    fprintf(f, "%d", made);
    fclose(f);
    assert(!strcmp(line, "1"));
    sleeps();
    atexit(last);
    printf("all is well\n");
    exit(0);
}
