// cxx.cc: uses every entry point that C++'s atomics and virtual tables need.
#include <atomic>
std::atomic<int> x;
std::atomic<void *> p;
std::atomic<bool> b;
std::atomic<long> l;
std::atomic_flag fl;
struct V {
    virtual ~V() {}
    virtual int g() {
        return 1;
    }
};
struct W : V {
    int g() override {
        return 2;
    }
};
int f(V *v) {
    x++;
    l.fetch_and(3);
    p = nullptr;
    b.exchange(true);
    void *e = nullptr;
    p.compare_exchange_weak(e, v);
    fl.test_and_set();
    std::atomic_thread_fence(std::memory_order_release);
    return x.load(std::memory_order_acquire) + v->g();
}
int main() {
    W w;
    return f(&w) * 0;
}
