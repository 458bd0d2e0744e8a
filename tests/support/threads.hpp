// Many threads at once.
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

namespace socksify::test {

/// Runs `work(number)` on `count` threads, and waits for all.
template <class Work>
void on_threads(std::size_t count, Work work) {
    std::vector<std::thread> running;
    for (std::size_t number = 0; number < count; ++number) running.emplace_back(work, number);
    for (auto& thread : running) thread.join();
}

} // namespace socksify::test
