// What the library knows of the program's descriptors.
//
// State belongs to the open file description, so every number that shares one shares one `Socket`. An entry
// is a belief: no set of hooks sees every close(), so `find` checks the description's cookie (SO_COOKIE)
// before it answers. A Socket never changes but in its atomics; a new state is a new Socket put in its place.
// Look up, let go, act.
#pragma once

#include "sys/address.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <sys/epoll.h>
#include <vector>

namespace socksify::sys {

class Parked;

struct Socket {
    enum class State : std::uint8_t {
        connected, ///< through a proxy, to `peer`
        parked,    ///< a non-blocking connect() is under way: see parked.hpp
        failed,    ///< it came to nothing: `error` waits to be asked for
    };
    State state;
    std::uint64_t cookie;           ///< of the description that the numbers refer to in this state
    Address peer;                   ///< what the program gave to connect()
    int domain;                     ///< AF_INET or AF_INET6, as the program made the socket
    bool over_unix = false;         ///< of `connected`: the description is an AF_UNIX stream to the proxy
    std::shared_ptr<Parked> parked; ///< of `parked` and `failed`; set before the entry is put into the table
    /// After a non-blocking connect(): the kernel lets the next connect() succeed once before it says
    /// EISCONN.
    mutable std::atomic<bool> second_connect_succeeds{false};
    /// Of `failed`: SO_ERROR, until somebody has read it.
    mutable std::atomic<int> error{0};

    Socket(State now, std::uint64_t its_cookie, const Address& to, int family,
           std::shared_ptr<Parked> with = {})
        : state(now), cookie(its_cookie), peer(to), domain(family), parked(std::move(with)) {}
};
using SocketRef = std::shared_ptr<const Socket>;

/// SO_COOKIE of `fd`: unique among all sockets of the network namespace, never reused; 0 if `fd` is no
/// socket.
std::uint64_t cookie_of(int fd) noexcept;

namespace fds {

/// The entry of `fd`, if it is there and still true. For an unknown fd: one relaxed load.
SocketRef find(int fd) noexcept;
/// Throws std::bad_alloc.
void put(int fd, SocketRef socket);
/// Forgets `fd` altogether, its epoll registrations too: the number is about to be closed or replaced.
void forget(int fd) noexcept;
/// Forgets what `fd` refers to, but not who polls it.
void forget_socket(int fd) noexcept;
/// `to` has become a duplicate of `from`. Throws std::bad_alloc.
void copy(int from, int to);

/// In the child of a fork, when it has one thread only: calls `visit(const Socket&)` for each entry.
void visit_in_child(void (*visit)(const Socket&));

/// A registration that epoll_ctl() made, as it must be made again when the description under the number
/// changes.
struct Watch {
    int epoll;
    epoll_event event;
};
/// Throws std::bad_alloc.
void watch(int epoll, int fd, const epoll_event& event);
void unwatch(int epoll, int fd) noexcept;
/// Up to `most_watches` registrations of `fd`, in place: this must work when there is no memory.
constexpr std::size_t most_watches = 16;
struct Watches {
    std::array<Watch, most_watches> all;
    std::size_t size = 0;
};
Watches watches(int fd) noexcept;

} // namespace fds
} // namespace socksify::sys
