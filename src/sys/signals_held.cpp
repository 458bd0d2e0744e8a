#include "sys/signals_held.hpp"

#include "sys/real.hpp"

#include <cstring>
#include <pthread.h>
#include <sys/syscall.h>
#include <utility>

namespace socksify::sys {
namespace {

/// As the kernel has it: bit n - 1 is signal n. libc's own functions copy sets of 1024 signals about.
using Signals = std::uint64_t;

constexpr Signals bit(int signal) noexcept { return Signals{1} << (signal - 1); }

/// All that can wait. A fault of ours is a fault at once; 32 and 33 are libc's, for cancellation and
/// setuid().
constexpr Signals can_wait = ~(bit(SIGBUS) | bit(SIGFPE) | bit(SIGILL) | bit(SIGSEGV) | bit(SIGTRAP) |
                               bit(SIGABRT) | bit(SIGSYS) | bit(32) | bit(33));

using signals::detail::depth;

/// What the program has, while we hold both back.
struct Programs {
    Signals mask = 0;
    int cancellation = PTHREAD_CANCEL_ENABLE;
};
[[gnu::tls_model("initial-exec")]] constinit thread_local Programs programs{};

/// rt_sigprocmask(2), which can't fail with these arguments. `before` may be null.
void change_mask(int how, Signals set, Signals* before) noexcept {
    real::syscall(SYS_rt_sigprocmask, how, &set, before, sizeof set);
}

} // namespace

constinit thread_local unsigned signals::detail::depth = 0;

void signals::detail::block() noexcept {
    Programs before;
    change_mask(SIG_BLOCK, can_wait, &before.mask);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before.cancellation);
    programs = before; // a handler that ran until then may have been here, too
}

void signals::detail::unblock() noexcept {
    pthread_setcancelstate(programs.cancellation, nullptr);
    change_mask(SIG_SETMASK, programs.mask, nullptr);
}

int poll_with_signals(pollfd& interest, int timeout) {
    if (depth == 0) return real::poll(&interest, nfds_t{1}, timeout);
    const timespec duration{timeout / 1000, timeout % 1000 * 1'000'000L};
    sigset_t mask;
    sigemptyset(&mask);
    std::memcpy(&mask, &programs.mask, sizeof programs.mask);
    // Put back on every way out, cancellation among them, but for a siglongjmp(): that one leaves for good.
    struct Depth {
        unsigned kept = std::exchange(depth, 0);
        Programs its = programs;
        Depth() noexcept { pthread_setcancelstate(its.cancellation, nullptr); }
        ~Depth() {
            pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, nullptr);
            programs = its;
            depth = kept;
        }
    } const outermost;
    return real::ppoll(&interest, nfds_t{1}, timeout < 0 ? nullptr : &duration, &mask);
}

// Within SignalsHeld the thread's own state is "not now" already, and a wait looks at the program's.
CancellationHeld::CancellationHeld() noexcept {
    if (depth == 0) pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_);
    else before_ = std::exchange(programs.cancellation, PTHREAD_CANCEL_DISABLE);
}

CancellationHeld::~CancellationHeld() {
    if (depth == 0) pthread_setcancelstate(before_, nullptr);
    else programs.cancellation = before_;
}

SignalsOpen::SignalsOpen() noexcept : depth_(std::exchange(depth, 0)) {
    if (depth_ == 0) return;
    change_mask(SIG_SETMASK, programs.mask, &held_);
    pthread_setcancelstate(programs.cancellation, nullptr);
}

SignalsOpen::~SignalsOpen() {
    if (depth_ == 0) return;
    Programs before;
    change_mask(SIG_SETMASK, held_, &before.mask);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before.cancellation);
    programs = before;
    depth = depth_;
}

} // namespace socksify::sys
