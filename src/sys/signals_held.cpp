#include "sys/signals_held.hpp"

#include "sys/keep_errno.hpp"
#include "sys/real.hpp"

#include <utility>

namespace socksify::sys {
namespace {

// initial-exec: a preloaded library has its place in the static block, and a first use must not allocate.
[[gnu::tls_model("initial-exec")]] constinit thread_local unsigned depth = 0;
[[gnu::tls_model("initial-exec")]] constinit thread_local sigset_t programs{};

/// All that can wait: a fault of ours is a fault at once.
sigset_t which_can_wait() noexcept {
    sigset_t set;
    sigfillset(&set);
    for (const int synchronous : {SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGABRT, SIGSYS})
        sigdelset(&set, synchronous);
    return set;
}

} // namespace

void signals::hold() noexcept {
    if (depth == 0) {
        const KeepErrno keep;
        const auto set = which_can_wait();
        sigset_t before;
        pthread_sigmask(SIG_BLOCK, &set, &before);
        programs = before; // a handler that ran until then may have been here, too
    }
    ++depth;
}

void signals::release() noexcept {
    if (--depth != 0) return;
    const KeepErrno keep;
    const auto before = programs;
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

int poll_with_signals(pollfd& interest, int timeout) {
    if (depth == 0) return real::poll(&interest, nfds_t{1}, timeout);
    const timespec duration{timeout / 1000, timeout % 1000 * 1'000'000L};
    const auto mask = programs;
    // Put back on every way out, cancellation among them, but for a siglongjmp(): that one leaves for good.
    struct Depth {
        unsigned kept = std::exchange(depth, 0);
        sigset_t its = programs;
        ~Depth() {
            programs = its;
            depth = kept;
        }
    } const outermost;
    return real::ppoll(&interest, nfds_t{1}, timeout < 0 ? nullptr : &duration, &mask);
}

SignalsOpen::SignalsOpen() noexcept : depth_(std::exchange(depth, 0)) {
    const auto before = programs;
    if (depth_ != 0) pthread_sigmask(SIG_SETMASK, &before, &held_);
}

SignalsOpen::~SignalsOpen() {
    if (depth_ == 0) return;
    const KeepErrno keep;
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, &held_, &before);
    programs = before;
    depth = depth_;
}

} // namespace socksify::sys
