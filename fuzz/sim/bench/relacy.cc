// The programs of programs.c under Relacy's random scheduler: iterations a second.
//     build/bench-relacy [iterations]
#include <relacy/relacy.hpp>

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <sstream>

struct message_passing : rl::test_suite<message_passing, 3> {
    rl::atomic<int> flag, ready;
    rl::var<int> data;
    void before() {
        flag($) = 0;
        ready($) = 0;
        data($) = 0;
    }
    void thread(unsigned index) {
        if (index == 0) {
            data($) = 1;
            flag.store(1, rl::memory_order_release);
        } else if (index == 1) {
            if (flag.load(rl::memory_order_acquire) == 1) {
                ready.store(1, rl::memory_order_release);
            }
        } else if (ready.load(rl::memory_order_acquire)) {
            RL_ASSERT(data($) == 1);
        }
    }
};

struct mailbox : rl::test_suite<mailbox, 3> {
    rl::atomic<unsigned> tail;
    rl::atomic<int> slots[4], ready[4];
    void before() {
        tail($) = 0;
        for (int i = 0; i < 4; i++) {
            slots[i]($) = 0;
            ready[i]($) = 0;
        }
    }
    void thread(unsigned index) {
        if (index < 2) {
            unsigned at = tail.fetch_add(1, rl::memory_order_relaxed);
            slots[at].store(7 + (int)at, rl::memory_order_relaxed);
            ready[at].store(1, rl::memory_order_release);
            return;
        }
        for (unsigned i = 0; i < 2; i++) {
            if (!ready[i].load(rl::memory_order_acquire)) {
                return;
            }
            RL_ASSERT(slots[i].load(rl::memory_order_relaxed) == 7 + (int)i);
        }
    }
};

template <typename T> static void row(const char *name, unsigned long iterations) {
    std::ostringstream quiet;
    rl::test_params p;
    p.search_type = rl::random_scheduler_type;
    p.iteration_count = iterations;
    p.output_stream = &quiet;
    p.progress_stream = &quiet;
    timespec a, b;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    bool ok = rl::simulate<T>(p);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double s = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    if (!ok) {
        std::printf("%s: unexpected finding\n%s\n", name, quiet.str().c_str());
        std::exit(1);
    }
    std::printf("%-40s %10.0f executions/s\n", name, (double)iterations / s);
}

int main(int argc, char **argv) {
    unsigned long n = argc > 1 ? std::strtoul(argv[1], nullptr, 0) : 2000000;
    if (n == 0) {
        std::fprintf(stderr, "usage: bench-relacy [iterations]\n");
        return 2;
    }
    row<message_passing>("relacy/message-passing/threads:3/random", n);
    row<mailbox>("relacy/mailbox/producers:2/random", n);
}
