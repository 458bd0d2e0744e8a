// No signal handler runs in this thread meanwhile, and it is not cancelled.
//
// connect(), close() and most others that we take over are async-signal-safe (POSIX.1-2017, 2.4.3): a handler
// may call them, whatever it interrupts. What it must not interrupt is us, with a lock or half-done: so
// signals wait as long as a lock is held, and during a connect() except where that waits itself. A
// cancellation waits likewise: of our own many calls of libc, most are where nothing can be thrown.
#pragma once

#include <csignal>
#include <cstdint>
#include <poll.h>

namespace socksify::sys {

namespace signals {

namespace detail {
// initial-exec: a preloaded library has its place in the static block, and a first use must not allocate.
[[gnu::tls_model("initial-exec")]] extern constinit thread_local unsigned depth;
void block() noexcept;
void unblock() noexcept;
} // namespace detail

/// They nest: only the outermost pair makes system calls.
inline void hold() noexcept {
    if (detail::depth == 0) detail::block();
    ++detail::depth; // last: a handler that runs before that holds them itself
}
inline void release() noexcept {
    if (--detail::depth == 0) detail::unblock();
}

} // namespace signals

class SignalsHeld {
public:
    SignalsHeld() noexcept { signals::hold(); }
    ~SignalsHeld() { signals::release(); }
    SignalsHeld(const SignalsHeld&) = delete;
    SignalsHeld& operator=(const SignalsHeld&) = delete;
};

/// poll() of one descriptor, during which handlers run if they could before all this, and the thread may be
/// cancelled: handlers may use the library, or leave by siglongjmp(). A signal that has come since the
/// outermost `SignalsHeld` makes it end with EINTR, as it would have ended the kernel's connect(). `timeout`
/// in milliseconds; -1: none.
int poll_with_signals(pollfd& interest, int timeout);

/// A wait is no cancellation point, within `SignalsHeld` or not: for calls that are none as the kernel has them.
class CancellationHeld {
public:
    CancellationHeld() noexcept;
    ~CancellationHeld();
    CancellationHeld(const CancellationHeld&) = delete;
    CancellationHeld& operator=(const CancellationHeld&) = delete;

private:
    int before_ = 0;
};

/// Within `SignalsHeld`, for a call that may wait.
class SignalsOpen {
public:
    SignalsOpen() noexcept;
    ~SignalsOpen();
    SignalsOpen(const SignalsOpen&) = delete;
    SignalsOpen& operator=(const SignalsOpen&) = delete;

private:
    unsigned depth_;
    std::uint64_t held_ = 0; ///< as the kernel has it
};

} // namespace socksify::sys
