// What the library knows of the program's descriptors.
//
// State belongs to the open file description, so every number that shares one shares one `Socket`. An entry
// is a belief: no set of hooks sees every close(), so `find` checks the description's cookie (SO_COOKIE)
// before it answers. A Socket never changes but in its atomics; a new state is a new Socket put in its place.
// Look up, let go, act: neither takes a lock (see slot_table.hpp).
#pragma once

#include "sys/address.hpp"
#include "sys/slot_table.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <sys/epoll.h>
#include <utility>
#include <vector>

namespace socksify::sys {

class ListenerUse;
class Parked;
class UnansweredUse;

struct Socket : SlotEntry<Socket> {
    enum class State : std::uint8_t {
        connected, ///< through a proxy, to `peer`
        parked,    ///< a non-blocking connect() is under way: see parked.hpp
        failed,    ///< it came to nothing: `error` waits to be asked for
        bound,     ///< by bind(), and a proxy will be asked should it listen; `local` is what it was bound to
        listening, ///< its peers come through a proxy: see listener.hpp
    };
    State state = State::connected;
    std::uint64_t cookie = 0;       ///< of the description that the numbers refer to in this state
    Address peer;                   ///< what the program gave to connect(), or who was accepted
    int domain = 0;                 ///< AF_INET or AF_INET6, as the program made the socket
    bool over_unix = false;         ///< of `connected`: the description is an AF_UNIX stream to the proxy
    std::shared_ptr<Parked> parked; ///< of `parked` and `failed`; set before the entry is put into the table
    /// What the other side of the proxy knows it by, where the proxy has told; of `listening`, what it is
    /// bound to, where the program has asked for that port; else of size 0.
    Address local{};
    std::size_t upstream = no_upstream; ///< of `connected`: which proxy, where that is known
    std::shared_ptr<const ListenerUse>
        listener{}; ///< of `listening`, and of `bound` if the proxy listens already
    /// Of `connected`, if connect() did not wait for the proxy: see unanswered.hpp. Set before the entry is
    /// put into the table.
    std::shared_ptr<const UnansweredUse> unanswered{};
    /// After a non-blocking connect(): the kernel lets the next connect() succeed once before it says
    /// EISCONN.
    mutable std::atomic<bool> second_connect_succeeds{false};
    /// Of `failed`: SO_ERROR, until somebody has read it.
    mutable std::atomic<int> error{0};

    static constexpr std::size_t no_upstream = SIZE_MAX;

    /// Whether the number refers to a stand-in of `parked`.
    [[nodiscard]] bool is_stand_in() const noexcept {
        return state == State::parked || state == State::failed;
    }
    /// For the table: lets go of what it shares.
    void empty() noexcept;
};

/// A Socket that does not go as long as this lives.
class SocketRef {
public:
    SocketRef() noexcept = default;
    explicit SocketRef(Socket* counted) noexcept : socket_(counted) {}
    /// A new one. Throws std::bad_alloc.
    SocketRef(Socket::State state, std::uint64_t cookie, const Address& peer, int domain,
              std::shared_ptr<Parked> parked = {});
    SocketRef(const SocketRef& other) noexcept : socket_(other.socket_) {
        if (socket_ != nullptr) socket_->share();
    }
    SocketRef(SocketRef&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}
    SocketRef& operator=(SocketRef other) noexcept {
        std::swap(socket_, other.socket_);
        return *this;
    }
    ~SocketRef() {
        if (socket_ != nullptr) let_go();
    }

    explicit operator bool() const noexcept { return socket_ != nullptr; }
    const Socket* operator->() const noexcept { return socket_; }
    const Socket& operator*() const noexcept { return *socket_; }
    /// For who has made it and knows that nobody looks at it yet.
    [[nodiscard]] Socket& unseen() const noexcept { return *socket_; }

private:
    void let_go() noexcept;

    Socket* socket_ = nullptr;
};

/// SO_COOKIE of `fd`: unique among all sockets of the network namespace, never reused; 0 if `fd` is no
/// socket.
std::uint64_t cookie_of(int fd) noexcept;

namespace fds {

/// The entry of `fd`, if it is there and still true. For an unknown fd: one relaxed load.
SocketRef find(int fd) noexcept;
void put(int fd, const SocketRef& socket) noexcept;
/// Forgets `fd` altogether, its epoll registrations too: the number is about to be closed or replaced.
void forget(int fd) noexcept;
/// Forgets what `fd` refers to, but not who polls it.
void forget_socket(int fd) noexcept;
/// `to` has become a duplicate of `from`.
void copy(int from, int to) noexcept;

/// The sockets for which `wanted` holds, with a number each. Throws std::bad_alloc.
std::vector<std::pair<int, SocketRef>> all(bool (*wanted)(const Socket&));

/// In the child of a fork, when it has one thread only: calls `visit(const Socket&)` for each number that has
/// one.
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
