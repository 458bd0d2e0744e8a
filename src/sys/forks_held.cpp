#include "sys/forks_held.hpp"

#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <chrono>
#include <climits>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>

namespace socksify::sys {

constinit std::atomic<int> ForksHeld::under_way{0};
constinit std::atomic<std::uint32_t> ForksHeld::forking{0};

void ForksHeld::let_it_fork() noexcept {
    const KeepErrno keep;
    do {
        under_way.fetch_sub(1);
        real::syscall(SYS_futex, &forking, FUTEX_WAIT_PRIVATE, 1U, nullptr);
        under_way.fetch_add(1);
    } while (forking.load() != 0);
}

void ForksHeld::hold_all_back() noexcept {
    using Clock = std::chrono::steady_clock;
    forking.store(1);
    if (under_way.load() == 0) return;
    const auto patience = Clock::now() + std::chrono::milliseconds(500);
    while (under_way.load() != 0 && Clock::now() < patience) sched_yield();
}

void ForksHeld::let_all_go() noexcept {
    const KeepErrno keep;
    forking.store(0);
    real::syscall(SYS_futex, &forking, FUTEX_WAKE_PRIVATE, INT_MAX);
}

} // namespace socksify::sys
