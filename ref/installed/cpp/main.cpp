// main.cpp: a program outside of this tree, in C++17: a memory with an owner, tasks woken by a thread.
#include <pagebox/pagebox.h>

#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

namespace {
struct Release {
    void operator()(pb_memory *memory) const { pb_memory_release(memory); }
    void operator()(pb_mailbox *mailbox) const { pb_mailbox_release(mailbox); }
};

void run(void *context, std::uint32_t id) {
    static_cast<std::vector<std::uint32_t> *>(context)->push_back(id);
}
} // namespace

int main() {
    pb_memory_config config{};
    config.type = {1, 4, true};
    pb_memory *raw_memory = nullptr;
    if (pb_memory_create(&config, &raw_memory) != PB_OK) {
        return 1;
    }
    std::unique_ptr<pb_memory, Release> memory(raw_memory);
    pb_mailbox_config at{};
    at.memory = memory.get();
    pb_mailbox *raw_mailbox = nullptr;
    if (pb_mailbox_create(&at, &raw_mailbox) != PB_OK) {
        return 1;
    }
    std::unique_ptr<pb_mailbox, Release> mailbox(raw_mailbox);
    std::thread host([&] {
        for (std::uint32_t id = 1; id <= 3; id++) {
            (void)pb_mailbox_enqueue(mailbox.get(), id);
        }
    });
    std::vector<std::uint32_t> ids;
    auto *words = reinterpret_cast<pb_mailbox_words *>(pb_memory_definition(memory.get())->base.load());
    while (ids.size() < 3 && pb_mailbox_wait_for_signal(mailbox.get(), -1) == PB_OK) {
        pb_guest_drain(words, run, &ids);
    }
    host.join();
    std::printf("pagebox %s from C++: %zu tasks\n", PB_VERSION, ids.size());
    return ids == std::vector<std::uint32_t>{1, 2, 3} ? 0 : 1;
}
