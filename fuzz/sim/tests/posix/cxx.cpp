/* C++: threads, condition variables, waiting on atomics, call_once and futures, local statics, new.
 *
 * expect: pass time=4
 * expect: pass cflags=-DBARRIERS time=4
 * expect: pass sched=exhaustive cflags=-DLATCH
 * expect: pass cflags=-DEXCEPTIONS time=4
 * expect: pass sched=exhaustive cflags=-DSTREAMS time=20
 * expect: pass cflags=-DTRIED_AGAIN time=4
 * expect: pass cflags=-DSHARED_POINTER time=4
 * expect: pass cflags=-DCOROUTINE time=4
 * expect: pass cflags=-DTHREAD_EXIT time=4
 * expect: abort cflags=-DUNCAUGHT time=4
 * expect: data-race cflags=-DRACE time=10
 * expect: use-after-free cflags=-DAFTER_DELETE time=10
 */
#include <atomic>
#include <barrier>
#include <cassert>
#include <condition_variable>
#include <coroutine>
#include <exception>
#include <future>
#include <iostream>
#include <latch>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <semaphore>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <syncstream>
#include <thread>
#include <vector>

#ifdef BARRIERS
/* Each counts sleepers, and checks the count before it wakes, so the futex call must be a fence. */
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
/* Its exchange and its check for waiters happen in this order, as on every processor. */
static std::latch done(2);
static int data[2];
int main() {
    std::jthread first([] { data[0] = 1, done.count_down(); });
    std::jthread second([] { data[1] = 1, done.count_down(); });
    done.wait();
    assert(data[0] + data[1] == 2);
    return 0;
}
#elif defined EXCEPTIONS
/* The thread that drops the last reference frees the exception; threads wait inside their catch
 * blocks. */
static std::mutex m;
static int caught;
static std::string text_of(int n) {
    return "a text that is too long for the string itself: " + std::to_string(n);
}
static void throws(int n) {
    try {
        throw std::runtime_error(text_of(n));
    } catch (const std::exception &e) {
        std::lock_guard<std::mutex> held(m);
        std::this_thread::yield();
        assert(e.what() == text_of(n));
        caught++;
    }
    assert(!std::current_exception() && !std::uncaught_exceptions());
}
int main() {
    std::promise<int> p;
    std::future<int> f = p.get_future();
    std::thread first([p = std::move(p)]() mutable {
        p.set_exception(std::make_exception_ptr(std::runtime_error(text_of(3))));
        throws(1);
    });
    std::thread second(throws, 2);
    try {
        f.get();
        assert(false);
    } catch (const std::runtime_error &e) {
        assert(e.what() == text_of(3));
    }
    first.join();
    second.join();
    assert(caught == 2);
    return 0;
}
#elif defined STREAMS
/* What libstdc++ allocates when a stream is first used is allocated again in each run. */
int main() {
    std::jthread other([] {
        std::ostringstream s;
        s << std::hex << 255 << ' ' << 1.5;
        assert(s.str() == "ff 1.5");
        std::osyncstream(std::cout) << s.str() << std::endl;
    });
    std::cout << std::oct << 8 << '\n';
    return 0;
}
#elif defined TRIED_AGAIN
/* If a routine throws, the next call runs it again. */
static std::once_flag flag;
static int tries;
static void use() {
    for (bool done = false; !done;) {
        try {
            std::call_once(flag, [] {
                if (tries++ == 0)
                    throw 1;
            });
            done = true;
        } catch (int) {
        }
    }
    assert(tries == 2);
}
int main() {
    std::jthread first(use), second(use);
    return 0;
}
#elif defined SHARED_POINTER
static std::atomic<std::shared_ptr<std::string>> current;
int main() {
    current = std::make_shared<std::string>("first");
    std::jthread reader([] { assert(current.load()->size() >= 5); });
    std::jthread writer([] { current = std::make_shared<std::string>("second"); });
    return 0;
}
#elif defined COROUTINE
/* One half runs in main, the other in the thread that resumes it. */
static std::atomic<void *> handed_over;
static int data;
struct task {
    struct promise_type {
        task get_return_object() {
            return {};
        }
        std::suspend_never initial_suspend() noexcept {
            return {};
        }
        std::suspend_never final_suspend() noexcept {
            return {};
        }
        void return_void() {}
        void unhandled_exception() {
            std::terminate();
        }
    };
};
struct handing_over {
    bool await_ready() {
        return false;
    }
    void await_suspend(std::coroutine_handle<> rest) {
        handed_over = rest.address();
    }
    void await_resume() {}
};
static task work(int n) {
    data = n;
    co_await handing_over();
    assert(data == n);
}
int main() {
    std::jthread other([] {
        void *rest;
        while (!(rest = handed_over)) {
        }
        std::coroutine_handle<>::from_address(rest).resume();
    });
    work(3);
    return 0;
}
#elif defined THREAD_EXIT
/* Destructors run; shared locks accept both clocks. */
static std::shared_timed_mutex m;
static int ended;
static void *run(void *) {
    std::unique_lock<std::shared_timed_mutex> held(m);
    ended++;
    pthread_exit(nullptr);
}
int main() {
    pthread_t first, second;
    pthread_create(&first, nullptr, run, nullptr);
    pthread_create(&second, nullptr, run, nullptr);
    if (m.try_lock_shared_for(std::chrono::seconds(1)))
        m.unlock_shared();
    pthread_join(first, nullptr);
    pthread_join(second, nullptr);
    assert(ended == 2);
    return 0;
}
#elif defined UNCAUGHT
static void fails() {
    throw std::runtime_error("nobody catches it");
}
int main() {
    std::thread other(fails);
    other.join();
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
        flag.store(1); // with a weaker order, libstdc++ 12 can miss the sleeper: it checks for one
                       // without a fence
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
