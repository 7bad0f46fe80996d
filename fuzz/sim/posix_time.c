/* posix_time.c: virtual time for programs under the engine, the same in every run. It moves when a
 * thread sleeps or times out, and a little with each reading, so that a loop that polls the clock
 * ends. */
#include "posix.h"

#include <errno.h>
#include <sched.h>
#include <sys/time.h>
#include <unistd.h>

TWIN(clock_gettime);
TWIN(clock_getres);
TWIN(gettimeofday);
TWIN(time);
TWIN(timespec_get);
TWIN(clock);
TWIN(nanosleep);
TWIN(clock_nanosleep);
TWIN(usleep);
TWIN(sleep);
TWIN(sched_yield);

#define SECOND UINT64_C(1000000000)
#define REALTIME_BASE UINT64_C(1767225600) /* 2026-01-01, in seconds */
#define MONOTONIC_BASE UINT64_C(1000)      /* not 0, so that uninitialised times stand out */

static uint64_t base_of(bool monotonic) {
    return monotonic ? MONOTONIC_BASE : REALTIME_BASE;
}

bool duration_of(const struct timespec *time, uint64_t *ns) {
    if (time->tv_sec < 0 || time->tv_nsec < 0 || time->tv_nsec >= (long)SECOND) {
        return false;
    }
    *ns = time->tv_sec > (time_t)1 << 32
              ? SIM_NEVER / 2
              : (uint64_t)time->tv_sec * SECOND + (uint64_t)time->tv_nsec;
    return true;
}

bool deadline_of(const struct timespec *at, bool monotonic, uint64_t *deadline_ns) {
    uint64_t ns, base = base_of(monotonic) * SECOND;
    if (at->tv_nsec < 0 || at->tv_nsec >= (long)SECOND) {
        return false;
    }
    bool past = !duration_of(at, &ns) || ns < base;
    *deadline_ns = past ? 0 : ns - base;
    return true;
}

uint64_t now_plus(uint64_t ns) {
    uint64_t now = S.exploring ? explore_time(S.now) : sim_clock_ns();
    return ns > SIM_NEVER / 2 ? SIM_NEVER : now + ns;
}

/* Each reading moves the clock, by increasing steps. */
static uint64_t read_clock(void) {
    struct self *me = self();
    unsigned doublings = me->clock_reads++ / 8;
    uint64_t step_ns = UINT64_C(1000) << (doublings < 30 ? doublings : 30);
    if (S.exploring) {
        return explore_clock(S.now, step_ns, me->pc);
    }
    S.clock += step_ns;
    return S.clock - step_ns;
}

static struct timespec clock_value(bool monotonic) {
    uint64_t now = read_clock();
    return (struct timespec){.tv_sec = (time_t)(base_of(monotonic) + now / SECOND),
                             .tv_nsec = (long)(now % SECOND)};
}

int sim_clock_gettime(clockid_t clock, struct timespec *out) {
    enter("clock_gettime", CALLER);
    *out = clock_value(clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE);
    return leave(0);
}

int sim_clock_getres(clockid_t clock, struct timespec *out) {
    (void)clock;
    if (out) {
        *out = (struct timespec){.tv_nsec = 1};
    }
    return 0;
}

int sim_timespec_get(struct timespec *out, int base) {
    enter("timespec_get", CALLER);
    if (base != TIME_UTC) {
        return leave(0);
    }
    *out = clock_value(false);
    return leave(base);
}

int sim_gettimeofday(struct timeval *restrict out, void *restrict zone) {
    (void)zone;
    enter("gettimeofday", CALLER);
    struct timespec now = clock_value(false);
    *out = (struct timeval){.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return leave(0);
}

time_t sim_time(time_t *out) {
    enter("time", CALLER);
    time_t now = clock_value(false).tv_sec;
    if (out) {
        *out = now;
    }
    leave(0);
    return now;
}

clock_t sim_clock(void) {
    enter("clock", CALLER);
    clock_t now = (clock_t)(read_clock() / 1000);
    leave(0);
    return now;
}

static int sleep_for(uint64_t ns) {
    say("sleeps %llu ns", (unsigned long long)ns);
    sim_sleep_until(now_plus(ns));
    return leave(0);
}

int sim_nanosleep(const struct timespec *duration, struct timespec *left) {
    uint64_t ns;
    (void)left;
    enter("nanosleep", CALLER);
    return duration_of(duration, &ns) ? sleep_for(ns) : fail(EINVAL);
}

int sim_clock_nanosleep(clockid_t clock, int flags, const struct timespec *time,
                        struct timespec *left) {
    uint64_t ns;
    (void)left;
    enter("clock_nanosleep", CALLER);
    bool valid = flags & TIMER_ABSTIME ? deadline_of(time, clock != CLOCK_REALTIME, &ns)
                                       : duration_of(time, &ns);
    if (!valid || clock == CLOCK_THREAD_CPUTIME_ID) {
        return leave(EINVAL);
    }
    if (flags & TIMER_ABSTIME) {
        sim_sleep_until(ns);
        return leave(0);
    }
    return sleep_for(ns);
}

int sim_usleep(useconds_t us) {
    enter("usleep", CALLER);
    return sleep_for((uint64_t)us * 1000);
}

unsigned sim_sleep(unsigned seconds) {
    enter("sleep", CALLER);
    sleep_for(seconds * SECOND);
    return 0;
}

int sim_sched_yield(void) {
    enter("sched_yield", CALLER);
    sim_yield();
    return leave(0);
}
