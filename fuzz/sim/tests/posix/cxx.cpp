/* C++: threads, condition variables, waiting on atomics, call_once and futures, local statics, new.
 *
 * expect: pass time=4
 * expect: pass cflags=-DBARRIERS time=4
 * expect: pass sched=exhaustive cflags=-DLATCH
 * expect: data-race cflags=-DRACE time=10
 * expect: use-after-free cflags=-DAFTER_DELETE time=10
 */
#include <atomic>
#include <barrier>
#include <cassert>
#include <condition_variable>
#include <future>
#include <latch>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#ifdef BARRIERS
/* They count who sleeps, and look at the count before they wake: the futex call has to be a fence.
 */
static std::latch both(2);
static std::counting_semaphore<2> tokens(0);
static std::barrier meeting(2);
static int data;
int main() {
    std::jthread other([] {
        data = 1;
        both.count_down();
        tokens.release();
        meeting.arrive_and_wait();
    });
    both.arrive_and_wait();
    assert(data == 1);
    tokens.acquire();
    meeting.arrive_and_wait();
    return 0;
}
#elif defined LATCH
/* Its exchange and its look for waiters happen in that order, as on every processor. */
static std::latch done(2);
static int data[2];
int main() {
    std::jthread first([] { data[0] = 1, done.count_down(); });
    std::jthread second([] { data[1] = 1, done.count_down(); });
    done.wait();
    assert(data[0] + data[1] == 2);
    return 0;
}
#else

static std::vector<int> global(3, 7);
static std::mutex m;
static std::condition_variable changed;
static bool ready;
static std::atomic<int> flag{0};
static int data;

struct Counted {
    int n = 3;
};
static Counted &single() {
    static Counted one;
    return one;
}

int main(int argc, char **) {
    std::promise<int> promise;
    auto future = promise.get_future();
    auto shared = std::make_shared<std::string>("a string that is longer than a small one");
    std::thread first([&, shared] {
        assert(single().n == 3 && shared->size() > 30);
        std::lock_guard<std::mutex> lock(m);
        ready = true;
        changed.notify_one();
    });
    std::thread second([&, shared] {
        assert(single().n == 3);
        data = 5;
#ifdef RACE
        flag.store(1, std::memory_order_relaxed);
#else
        flag.store(
            1); // weaker, libstdc++ 12 can miss the sleeper: it looks for one without a fence
#endif
        flag.notify_all();
        promise.set_value(9);
    });
    {
        std::unique_lock<std::mutex> lock(m);
        changed.wait(lock, [] { return ready; });
    }
    flag.wait(0);
    assert(data == 5 && future.get() == 9);
    global.push_back(argc);
    assert(global.size() == 4);
#ifdef AFTER_DELETE
    int *p = new int(1);
    std::thread third([p] { data = *p; });
    delete p;
    third.join();
#endif
    first.join();
    second.join();
    return 0;
}
#endif
