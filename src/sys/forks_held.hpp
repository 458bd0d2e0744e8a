// No fork() copies the process meanwhile: for changes of a few instructions to what has no lock.
//
// fork() copies page by page what other threads go on changing. A table that they change meanwhile would be
// half old and half new in the child. A lock would do, but then signals have to wait as well, which takes two
// system calls. These exclude nothing but forks: they nest, also in a signal handler that interrupts one, and
// none waits for another.
//
// fork() lets no more begin, and waits for those that have: for half a second at most. One that is still
// not over then is what a signal handler has interrupted, or the fork is in that handler. It makes no progress
// while pages are copied, and what it has left half done costs the child a little memory.
#pragma once

#include <atomic>
#include <cstdint>

namespace socksify::sys {

/// Within, nothing waits and no lock is taken. Who uses it has called `obey_forks()` once.
class ForksHeld {
public:
    ForksHeld() noexcept {
        under_way.fetch_add(1);
        if (forking.load() != 0) [[unlikely]]
            let_it_fork();
    }
    ~ForksHeld() { under_way.fetch_sub(1); }
    ForksHeld(const ForksHeld&) = delete;
    ForksHeld& operator=(const ForksHeld&) = delete;

    /// fork()'s own, around the copying; by one thread at a time.
    static void hold_all_back() noexcept;
    static void let_all_go() noexcept;

private:
    static void let_it_fork() noexcept;

    static constinit std::atomic<int> under_way;
    static constinit std::atomic<std::uint32_t> forking; // a futex: 1 or 0
};

} // namespace socksify::sys
