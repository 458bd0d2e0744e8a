// Connections that a proxy holds for one more command (LIST-FEATURES with FLAG 01; doc/wire.md §5), ready for
// the program's next connect(): all that is left is the request, and one round trip.
//
//   connected() ─ wanted? ─ the worker makes one ─→ ready ─ take() ─→ in the place of the program's socket
//                                                     └─ too old, ended by the proxy, fork → closed
//
// How many and for how long is policy/hold_policy.hpp's to say; whether one can take the place of the
// program's socket, sys/untouched_socket.hpp's. All that are ready are one upstream's by its number, and the
// rules never change, so none is used with other credentials than it was made with.
//
// Ownership: what is ready lies in one table, under its lock; who takes one has it alone. Nobody watches them
// in the meantime: whether one is still alive is asked when it is taken, and what dies in that instant the
// Dial notices, and goes on with a fresh connection. One task of the worker's closes those that nobody has
// taken.
//
// fork(): they are the parent's; the child's copies are closed, and the child begins with none.
//
// An upstream is given up when it does not keep what it grants, or is so near that nothing is saved: then a
// connect() costs one load more, until it lists its features anew.
#pragma once

#include "policy/plan.hpp"
#include "sys/rules.hpp"

#include <atomic>
#include <optional>

namespace socksify::shim::held {

namespace detail {
extern constinit std::atomic<unsigned> ready;
extern constinit std::atomic<std::uint64_t> given_up; ///< a bit for each of the first 64 upstreams
} // namespace detail

/// Whether it is worth to call `take`.
inline bool any() noexcept { return detail::ready.load(std::memory_order_relaxed) != 0; }
inline bool is_given_up(std::size_t upstream) noexcept {
    return upstream >= 64 || (detail::given_up.load(std::memory_order_relaxed) >> upstream & 1) != 0;
}

struct Connection {
    int fd;     ///< internal, and the caller's
    int domain; ///< of the socket: the proxy may be of another family than the program's
};
/// One to `upstream` that can stand for `socket`, an unconnected one of the program's of `domain` with
/// `flags` (F_GETFL). It has the program's options then. Keeps errno.
std::optional<Connection> take(std::size_t upstream, int domain, int socket, int flags) noexcept;

/// How a connect() has led through a proxy that may hold connections.
struct Success {
    std::size_t upstream;
    int fd;     ///< its socket
    int domain; ///< the socket's, as the program made it
    std::shared_ptr<const policy::Plan> plan;
    bool on_held;         ///< on one that `take` gave
    bool held_has_failed; ///< such a one was of no use before
};
/// Has as many made as may be needed soon. Keeps errno; fails silently.
void connected(const sys::Rules& rules, const Success& success) noexcept;

/// None is held any more.
void give_up(std::size_t upstream) noexcept;
/// The proxy has listed its features.
void begin_anew(std::size_t upstream) noexcept;

} // namespace socksify::shim::held
