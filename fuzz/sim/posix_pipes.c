/* posix_pipes.c: pipes, socket pairs and event counters between the threads of a program under the
 * engine, and the calls that wait for them: poll, select and epoll. */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- Channels and their ends ----------------------------------------------------------------- */

enum { CAPACITY = 65536 };
struct channel {
    uint32_t word;          /* its address is that of the channel's object */
    bool counts, semaphore; /* counts: an eventfd, a number instead of bytes */
    unsigned readers, writers;
    uint32_t activity; /* number of writes and closes, for edge-triggered waiting */
    uint64_t count;
    size_t first, n; /* n bytes in data, a ring that begins at `first` */
    char data[];
};

static struct {
    uint32_t run;
    struct channel *from,
        *to; /* the channels that it reads and writes; one and the same for an eventfd */
    bool nonblocking;
} ends[FDS_MAX]; /* by descriptor */

/* The program waits for several channels at once, so all of them share one queue and one order. */
static bool polled;
static uint32_t poll_word;

void sim_posix_tell_polls(void) {
    polled = true;
}

bool is_end(int fd) {
    return S.active && file_is_open(fd) && ends[fd].run == S.generation &&
           (ends[fd].from || ends[fd].to);
}

static struct object *object_of(struct channel *c) {
    return object_at(&c->word, OBJECT_PIPE);
}

/* The object on which readers and writers of c wait. */
static struct object *queue_of(struct channel *c) {
    return object_at(polled ? &poll_word : &c->word, OBJECT_PIPE);
}

static struct channel *channel_new(size_t capacity) {
    struct channel *c = arena_alloc(sizeof *c + capacity);
    memset(c, 0, sizeof *c);
    object_new(&c->word, OBJECT_PIPE, sizeof c->word);
    return c;
}

/* fd is a real descriptor, so that its number is not used elsewhere. */
static int end_at(int fd, struct channel *from, struct channel *to, bool nonblocking) {
    if (fd < 0 || fd >= FDS_MAX) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    ends[fd].run = S.generation;
    ends[fd].from = from;
    ends[fd].to = to;
    ends[fd].nonblocking = nonblocking;
    if (from) {
        from->readers++;
    }
    if (to) {
        to->writers++;
    }
    return fd;
}

static int end_new(struct channel *from, struct channel *to, int flags) {
    int fd = file_opened(open("/dev/null", O_RDWR | O_CLOEXEC));
    return end_at(fd, from, to, flags & O_NONBLOCK);
}

static void changed(struct channel *c) {
    release(&object_of(c)->by[S.now->id]);
    c->activity++;
    wake_all(queue_of(c));
}

TWIN(pipe);
TWIN(pipe2);
TWIN(eventfd);
TWIN(socketpair);

int sim_pipe2(int fds[2], int flags) {
    enter("pipe", CALLER);
    struct channel *c = channel_new(CAPACITY);
    access_plain((uintptr_t)fds, 2 * sizeof *fds, true, CALLER);
    fds[0] = end_new(c, NULL, flags);
    fds[1] = end_new(NULL, c, flags);
    return leave(0);
}

int sim_pipe(int fds[2]) {
    return sim_pipe2(fds, 0);
}

int sim_eventfd(unsigned count, int flags) {
    enter("eventfd", CALLER);
    struct channel *c = channel_new(0);
    c->counts = true;
    c->semaphore = flags & EFD_SEMAPHORE;
    c->count = count;
    return leave(end_new(c, c, flags & EFD_NONBLOCK ? O_NONBLOCK : 0));
}

int sim_socketpair(int family, int type, int protocol, int fds[2]) {
    (void)protocol;
    if (family != AF_UNIX || (type & 0xf) != SOCK_STREAM) {
        refuse("socketpair", "only AF_UNIX and SOCK_STREAM are simulated", CALLER);
    }
    enter("socketpair", CALLER);
    struct channel *there = channel_new(CAPACITY), *back = channel_new(CAPACITY);
    int flags = type & SOCK_NONBLOCK ? O_NONBLOCK : 0;
    access_plain((uintptr_t)fds, 2 * sizeof *fds, true, CALLER);
    fds[0] = end_new(back, there, flags);
    fds[1] = end_new(there, back, flags);
    return leave(0);
}

/* ---- Reading and writing --------------------------------------------------------------------- */

static bool readable(const struct channel *c) {
    return c->counts ? c->count > 0 : c->n || !c->writers;
}

/* Room for n bytes at once, or for adding n to an eventfd. */
static bool has_room(const struct channel *c, uint64_t n) {
    return c->counts ? c->count <= UINT64_MAX - 1 - n : CAPACITY - c->n >= n || !c->readers;
}

struct wanted {
    struct channel *channel;
    bool writes;
    uint64_t n;
};

static bool is_met(const void *what) {
    const struct wanted *w = what;
    return w->writes ? has_room(w->channel, w->n) : readable(w->channel);
}

/* Waits, in steps on the channel, until w is met; false: it would block. */
static bool channel_await(int fd, const struct wanted *w, int flags) {
    struct object *o = queue_of(w->channel);
    if (ends[fd].nonblocking || flags & MSG_DONTWAIT) {
        step((const void *)o->at);
        return is_met(w);
    }
    return await_what(o, is_met, w, SIM_NEVER);
}

static ssize_t take(struct channel *c, char *to, size_t n) {
    if (c->counts) {
        uint64_t value = c->semaphore ? 1 : c->count;
        memcpy(to, &value, sizeof value);
        c->count -= value;
        say("reads %llu from an eventfd", (unsigned long long)value);
        return sizeof value;
    }
    n = n < c->n ? n : c->n;
    for (size_t i = 0; i < n; i++) {
        to[i] = c->data[(c->first + i) % CAPACITY];
    }
    c->first = (c->first + n) % CAPACITY;
    c->n -= n;
    say("reads %zu bytes from a pipe", n);
    return (ssize_t)n;
}

ssize_t end_read(int fd, char *to, size_t n, int flags, uintptr_t pc) {
    enter("read", pc);
    struct channel *c = ends[fd].from;
    if (!c) {
        return fail(EBADF);
    }
    if (c->counts && n < sizeof(uint64_t)) {
        return fail(EINVAL);
    }
    if (!channel_await(fd, &(struct wanted){.channel = c}, flags)) {
        return fail(EAGAIN);
    }
    n = c->counts ? sizeof(uint64_t) : n < c->n ? n : c->n;
    access_plain((uintptr_t)to, n, true, pc);
    acquire_all(object_of(c));
    ssize_t got = take(c, to, n);
    wake_all(queue_of(c));
    leave(0);
    return got;
}

static ssize_t count_up(int fd, const char *from, size_t n, int flags) {
    uint64_t value = 0;
    struct channel *c = ends[fd].to;
    memcpy(&value, from, n < sizeof value ? 0 : sizeof value);
    if (n < sizeof value || value == UINT64_MAX) {
        return fail(EINVAL);
    }
    if (!channel_await(fd, &(struct wanted){c, true, value}, flags)) {
        return fail(EAGAIN);
    }
    c->count += value;
    changed(c);
    say("adds %llu to an eventfd", (unsigned long long)value);
    leave(0);
    return sizeof value;
}

/* Up to PIPE_BUF bytes are written all at once or not at all. */
ssize_t end_write(int fd, const char *from, size_t n, int flags, uintptr_t pc) {
    enter("write", pc);
    struct channel *c = ends[fd].to;
    if (!c) {
        return fail(EBADF);
    }
    access_plain((uintptr_t)from, n, false, pc);
    if (c->counts) {
        return count_up(fd, from, n, flags);
    }
    size_t done = 0, at_once = n <= PIPE_BUF ? n : 1;
    while (done < n) {
        if (!channel_await(fd, &(struct wanted){c, true, at_once}, flags)) {
            break;
        }
        if (!c->readers) {
            return fail(EPIPE);
        }
        for (; done < n && c->n < CAPACITY; c->n++) {
            c->data[(c->first + c->n) % CAPACITY] = from[done++];
        }
        changed(c);
    }
    if (!done && n) {
        return fail(EAGAIN);
    }
    say("writes %zu bytes to a pipe", done);
    leave(0);
    return (ssize_t)done;
}

static void drop(struct channel *c, unsigned *holders) {
    step((const void *)queue_of(c)->at);
    *holders -= 1;
    changed(c);
}

static void epoll_forget(int fd);

void end_close(int fd, uintptr_t pc) {
    enter("close", pc);
    if (ends[fd].from) {
        drop(ends[fd].from, &ends[fd].from->readers);
    }
    if (ends[fd].to) {
        drop(ends[fd].to, &ends[fd].to->writers);
    }
    ends[fd].from = ends[fd].to = NULL;
    epoll_forget(fd);
    leave(0);
}

/* Makes fd another descriptor of the same end as `like`. */
int end_copy(int like, int fd) {
    return end_at(fd, ends[like].from, ends[like].to, ends[like].nonblocking);
}

TWIN(send);
TWIN(recv);
TWIN(fcntl);
TWIN(fcntl64) __attribute__((alias("sim_fcntl")));

ssize_t sim_send(int fd, const void *data, size_t n, int flags) {
    if (!is_end(fd)) {
        refuse("send", "only socket pairs are simulated", CALLER);
    }
    return end_write(fd, data, n, flags, CALLER);
}

ssize_t sim_recv(int fd, void *data, size_t n, int flags) {
    if (!is_end(fd) || flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL)) {
        refuse("recv", "only socket pairs without flags are simulated", CALLER);
    }
    return end_read(fd, data, n, flags, CALLER);
}

static int end_flags(int fd, int command, int flags, uintptr_t pc) {
    switch (command) {
    case F_GETFD:
    case F_SETFD:
        return 0;
    case F_GETFL:
        return (ends[fd].from ? ends[fd].to ? O_RDWR : O_RDONLY : O_WRONLY) |
               (ends[fd].nonblocking ? O_NONBLOCK : 0);
    case F_SETFL:
        ends[fd].nonblocking = flags & O_NONBLOCK;
        return 0;
    default:
        refuse("fcntl", "only the flags of a pipe are simulated", pc);
    }
}

int sim_fcntl(int fd, int command, ...) {
    va_list args;
    va_start(args, command);
    void *arg = va_arg(args, void *);
    va_end(args);
    if (S.active && fd >= 0 && fd <= 2 && command == F_SETFL) {
        return 0; /* the terminal's flags are left alone */
    }
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        int copy = file_opened(fcntl(fd, command, arg));
        return is_end(fd) ? end_copy(fd, copy) : copy;
    }
    return is_end(fd) ? end_flags(fd, command, (int)(intptr_t)arg, CALLER)
                      : fcntl(fd, command, arg);
}

/* ---- poll ------------------------------------------------------------------------------------ */

#define WAITS "a simulated thread waits for pipes, socket pairs and event counters only"

static int ready_events(const struct pollfd *p) {
    const struct channel *from = ends[p->fd].from, *to = ends[p->fd].to;
    int ready = 0;
    ready |= from && (from->counts ? from->count : from->n) ? POLLIN | POLLRDNORM : 0;
    ready |= to && has_room(to, 1) ? POLLOUT | POLLWRNORM : 0;
    ready &= p->events;
    ready |= from && !from->writers ? POLLHUP : 0;
    ready |= to && !to->readers ? POLLERR : 0;
    return ready;
}

struct polled {
    struct pollfd *fds;
    nfds_t n;
};

/* The events of one descriptor. Files are always ready; a closed descriptor is an error at once. */
static int look_at(const struct pollfd *p) {
    if (p->fd < 0) {
        return 0;
    }
    if (is_end(p->fd)) {
        return ready_events(p);
    }
    return fcntl(p->fd, F_GETFD) < 0 ? POLLNVAL : p->events & (POLLIN | POLLOUT);
}

static bool any_ready(const void *what) {
    const struct polled *p = what;
    for (nfds_t i = 0; i < p->n; i++) {
        if (look_at(&p->fds[i]) != 0) {
            return true;
        }
    }
    return false;
}

static int poll_ends(const char *name, struct pollfd *fds, nfds_t n, bool at_once,
                     uint64_t deadline, uintptr_t pc) {
    struct polled p = {fds, n};
    int ready = 0;
    enter(name, pc);
    if (!polled) {
        refuse(name, "waiting for files is simulated in `make explore` only", pc);
    }
    struct object *o = object_at(&poll_word, OBJECT_PIPE);
    if (at_once) {
        step(&poll_word);
    } else {
        await_what(o, any_ready, &p, deadline);
    }
    for (nfds_t i = 0; i < n; i++) {
        fds[i].revents = (short)look_at(&fds[i]);
        ready += fds[i].revents != 0;
        if (fds[i].revents && is_end(fds[i].fd) && ends[fds[i].fd].from) {
            acquire_all(object_of(ends[fds[i].fd].from));
        }
    }
    say("%s: %d ready", name, ready);
    return leave(ready);
}

/* Sleeps without waiting for any descriptor. */
static int sleep_in(const char *name, bool for_ever, uint64_t ns, uintptr_t pc) {
    static uint32_t never;
    enter(name, pc);
    if (for_ever) {
        sim_wait(&never, 0, SIM_NEVER);
        return fail(EINTR);
    }
    say("sleeps %llu ns", (unsigned long long)ns);
    sim_sleep_until(now_plus(ns));
    return leave(0);
}

static int poll_for(const char *name, struct pollfd *fds, nfds_t n, bool for_ever, uint64_t ns,
                    uintptr_t pc) {
    if (!n) {
        return sleep_in(name, for_ever, ns, pc);
    }
    access_plain((uintptr_t)fds, n * sizeof *fds, true, pc);
    return poll_ends(name, fds, n, !for_ever && !ns, for_ever ? SIM_NEVER : now_plus(ns), pc);
}

TWIN(poll);
TWIN(ppoll);
TWIN(select);
TWIN(pselect);

int sim_poll(struct pollfd *fds, nfds_t n, int timeout_ms) {
    return poll_for("poll", fds, n, timeout_ms < 0, (uint64_t)(unsigned)timeout_ms * 1000000,
                    CALLER);
}

int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask) {
    uint64_t ns = 0;
    (void)mask;
    if (timeout && !duration_of(timeout, &ns)) {
        errno = EINVAL;
        return -1;
    }
    return poll_for("ppoll", fds, n, !timeout, ns, CALLER);
}

/* ---- select, in terms of poll ---------------------------------------------------------------- */

static bool asks(const fd_set *set, int fd) {
    return set && FD_ISSET(fd, set);
}

static nfds_t polls_of(struct pollfd *fds, int n, const fd_set *in, const fd_set *out,
                       const fd_set *other) {
    nfds_t k = 0;
    for (int fd = 0; fd < n && fd < FD_SETSIZE; fd++) {
        short events = (short)((asks(in, fd) ? POLLIN : 0) | (asks(out, fd) ? POLLOUT : 0));
        if (events || asks(other, fd)) {
            fds[k++] = (struct pollfd){.fd = fd, .events = events};
        }
    }
    return k;
}

static int keep(fd_set *set, int fd, bool ready) {
    if (!asks(set, fd)) {
        return 0;
    }
    if (!ready) {
        FD_CLR(fd, set);
    }
    return ready;
}

static int select_for(const char *name, int n, fd_set *sets[3], bool for_ever, uint64_t ns,
                      uintptr_t pc) {
    struct pollfd fds[FD_SETSIZE];
    nfds_t k = polls_of(fds, n, sets[0], sets[1], sets[2]);
    if (!k) {
        return sleep_in(name, for_ever, ns, pc);
    }
    int found_ready =
            poll_ends(name, fds, k, !for_ever && !ns, for_ever ? SIM_NEVER : now_plus(ns), pc),
        ready = 0;
    if (found_ready < 0) {
        return -1;
    }
    for (nfds_t i = 0; i < k; i++) {
        if (fds[i].revents & POLLNVAL) {
            errno = EBADF;
            return -1;
        }
        ready += keep(sets[0], fds[i].fd, fds[i].revents & (POLLIN | POLLHUP | POLLERR));
        ready += keep(sets[1], fds[i].fd, fds[i].revents & (POLLOUT | POLLERR));
        ready += keep(sets[2], fds[i].fd, false);
    }
    return ready;
}

int sim_select(int n, fd_set *in, fd_set *out, fd_set *other, struct timeval *timeout) {
    struct timespec time = {0};
    uint64_t ns = 0;
    if (timeout) {
        time = (struct timespec){timeout->tv_sec, timeout->tv_usec * 1000};
    }
    if (n < 0 || n > FD_SETSIZE || !duration_of(&time, &ns)) {
        errno = EINVAL;
        return -1;
    }
    return select_for("select", n, (fd_set *[]){in, out, other}, !timeout, ns, CALLER);
}

int sim_pselect(int n, fd_set *in, fd_set *out, fd_set *other, const struct timespec *timeout,
                const sigset_t *mask) {
    uint64_t ns = 0;
    (void)mask;
    if (n < 0 || n > FD_SETSIZE || (timeout && !duration_of(timeout, &ns))) {
        errno = EINVAL;
        return -1;
    }
    return select_for("pselect", n, (fd_set *[]){in, out, other}, !timeout, ns, CALLER);
}

/* ---- epoll ----------------------------------------------------------------------------------- */

enum { EPOLLS_MAX = 16, WATCHED_MAX = 64 };
static struct epoll {
    uint32_t run;
    int fd;
    struct watched {
        int fd;             /* -1: free */
        uint32_t seen;      /* the channel's activity when it was last reported */
        bool reported, off; /* off: disabled after EPOLLONESHOT, until changed */
        struct epoll_event event;
    } watched[WATCHED_MAX];
} epolls[EPOLLS_MAX];

TWIN(epoll_create);
TWIN(epoll_create1);
TWIN(epoll_ctl);
TWIN(epoll_wait);
TWIN(epoll_pwait);

static struct epoll *epoll_of(int fd) {
    for (unsigned i = 0; i < EPOLLS_MAX; i++) {
        if (epolls[i].run == S.generation && epolls[i].fd == fd && file_is_open(fd)) {
            return &epolls[i];
        }
    }
    return NULL;
}

static void epoll_forget(int fd) {
    for (unsigned i = 0; i < EPOLLS_MAX; i++) {
        for (unsigned k = 0; k < WATCHED_MAX && epolls[i].run == S.generation; k++) {
            if (epolls[i].watched[k].fd == fd) {
                epolls[i].watched[k].fd = -1;
            }
        }
    }
}

int sim_epoll_create1(int flags) {
    (void)flags;
    for (unsigned i = 0; i < EPOLLS_MAX; i++) {
        struct epoll *e = &epolls[i];
        if (e->run != S.generation) {
            e->run = S.generation;
            e->fd = file_opened(open("/dev/null", O_RDWR | O_CLOEXEC));
            for (unsigned k = 0; k < WATCHED_MAX; k++) {
                e->watched[k].fd = -1;
            }
            return e->fd;
        }
    }
    stop_bound(SIM_BOUND_MEMORY);
}

int sim_epoll_create(int size) {
    (void)size;
    return sim_epoll_create1(0);
}

static struct watched *watched_of(struct epoll *e, int fd) {
    for (unsigned k = 0; k < WATCHED_MAX; k++) {
        if (e->watched[k].fd == fd) {
            return &e->watched[k];
        }
    }
    return NULL;
}

static int epoll_change(struct epoll *e, int what, int fd, const struct epoll_event *event) {
    struct watched *w = watched_of(e, fd);
    if (what == EPOLL_CTL_ADD ? w != NULL : !w) {
        return what == EPOLL_CTL_ADD ? EEXIST : ENOENT;
    }
    if (what == EPOLL_CTL_DEL) {
        w->fd = -1;
        return 0;
    }
    w = w ? w : watched_of(e, -1);
    if (!w) {
        stop_bound(SIM_BOUND_MEMORY);
    }
    *w = (struct watched){.fd = fd, .event = *event};
    return 0;
}

int sim_epoll_ctl(int epoll, int what, int fd, struct epoll_event *event) {
    struct epoll *e = epoll_of(epoll);
    if (!e || !file_is_open(fd)) {
        errno = EBADF;
        return -1;
    }
    if (!is_end(fd)) {
        refuse("epoll_ctl", WAITS, CALLER);
    }
    enter("epoll_ctl", CALLER);
    step(&poll_word);
    int error = epoll_change(e, what, fd, event);
    wake_all(object_at(&poll_word, OBJECT_PIPE));
    return error ? fail(error) : leave(0);
}

static uint32_t activity_of(int fd) {
    return (ends[fd].from ? ends[fd].from->activity : 0) +
           (ends[fd].to ? ends[fd].to->activity : 0);
}

/* The events to report. EPOLLIN and the others have the same values as POLLIN and so on. */
static uint32_t events_of(const struct watched *w) {
    if (w->fd < 0 || w->off) {
        return 0;
    }
    bool is_old = w->reported && w->seen == activity_of(w->fd);
    if (w->event.events & EPOLLET && is_old) {
        return 0;
    }
    struct pollfd p = {.fd = w->fd, .events = (short)w->event.events};
    return (uint32_t)ready_events(&p) & UINT16_MAX;
}

static bool epoll_ready(const void *what) {
    const struct epoll *e = what;
    for (unsigned k = 0; k < WATCHED_MAX; k++) {
        if (events_of(&e->watched[k])) {
            return true;
        }
    }
    return false;
}

static int epoll_report(struct epoll *e, struct epoll_event *out, int max) {
    int n = 0;
    for (unsigned k = 0; k < WATCHED_MAX && n < max; k++) {
        struct watched *w = &e->watched[k];
        uint32_t events = events_of(w);
        if (!events) {
            continue;
        }
        out[n++] = (struct epoll_event){.events = events, .data = w->event.data};
        w->reported = true;
        w->seen = activity_of(w->fd);
        w->off = w->event.events & EPOLLONESHOT;
        if (ends[w->fd].from) {
            acquire_all(object_of(ends[w->fd].from));
        }
    }
    return n;
}

static int epoll_wait_for(int epoll, struct epoll_event *out, int max, int timeout_ms,
                          uintptr_t pc) {
    struct epoll *e = epoll_of(epoll);
    if (!e || max <= 0) {
        errno = e ? EINVAL : EBADF;
        return -1;
    }
    enter("epoll_wait", pc);
    if (!timeout_ms) {
        step(&poll_word);
    } else {
        uint64_t deadline =
            timeout_ms < 0 ? SIM_NEVER : now_plus((uint64_t)(unsigned)timeout_ms * 1000000);
        await_what(object_at(&poll_word, OBJECT_PIPE), epoll_ready, e, deadline);
    }
    int n = epoll_report(e, out, max);
    access_plain((uintptr_t)out, (size_t)n * sizeof *out, true, pc);
    say("epoll_wait: %d ready", n);
    return leave(n);
}

int sim_epoll_wait(int epoll, struct epoll_event *out, int max, int timeout_ms) {
    return epoll_wait_for(epoll, out, max, timeout_ms, CALLER);
}

int sim_epoll_pwait(int epoll, struct epoll_event *out, int max, int timeout_ms,
                    const sigset_t *mask) {
    (void)mask;
    return epoll_wait_for(epoll, out, max, timeout_ms, CALLER);
}
