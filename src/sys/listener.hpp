// A listening socket of the program's whose peers come through a proxy.
//
// Goal: poll, select and epoll report the program's fd readable exactly when accept() will succeed, in every
// process that shares it; none of the three is hooked, and nothing is copied.
//
// How: the description stays the program's own and really listens, on the address that the program bound, but
// takes connections from this machine alone (a filter drops all others). The worker has the agreement with
// the proxy. For each peer that comes it
//
//   1. puts the connection into `queue`, an AF_UNIX pair that all processes share which share the listener,
//   2. knocks: connects a socket of this machine to the program's.
//
// accept() takes the knock, knows it by its port, and puts the connection under the number that the kernel
// gave. So readiness and backlog are the kernel's own. Knocks and connections need not match one by one:
// there is a connection for each knock, and any knock may stand for any of them. A port is a knock's only
// while it is marked as one in memory that the processes share, and each mark counts once: as long as the
// knock waits, the kernel gives its port to nobody else.
//
// Ownership: the fd table's entries share one ListenerUse, the worker's tasks the Listener. When the last
// number is closed in the process that called listen(), the agreement ends, unless another process may have
// the socket still. fork(): children share queue, marks and socket, and may accept what the parent's worker
// brings. When the process that has the agreement ends, a child may take it over (shim/heir.hpp). exec():
// inherited_listeners.hpp.
#pragma once

#include "sys/address.hpp"
#include "sys/worker.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <unistd.h>

namespace socksify::sys {

/// A peer's connection, on its way to accept().
struct Arrival {
    int fd = -1; ///< the receiver's; -1: there is none
    Address peer;
};

class Listener {
public:
    /// `local` is where the proxy listens, as getsockname() shows it; `terms` what another process needs to
    /// make the agreement anew. Null, with errno, if descriptors or memory can't be had. Throws
    /// std::bad_alloc.
    static std::shared_ptr<Listener> make(const Address& local, std::string terms);
    ~Listener();
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

    /// What it has beside the program's socket.
    struct Descriptors {
        int memory, in, out;
        friend bool operator==(const Descriptors&, const Descriptors&) = default;
    };
    /// For the next program, by exec: they stay open there. In this process, too, they are inherited from now
    /// on, for another thread may be about to exec; who is not told of them has no use for them.
    [[nodiscard]] Descriptors hand_over() const noexcept;
    /// What `hand_over` has given to this program. Null if they are no longer that. Throws std::bad_alloc.
    static std::shared_ptr<Listener> adopt(const Descriptors& descriptors, const Address& local,
                                           std::string terms);
    [[nodiscard]] bool has(const Descriptors& descriptors) const noexcept {
        return descriptors == Descriptors{memory_, queue_[0], queue_[1]};
    }

    [[nodiscard]] const Address& local() const noexcept { return local_; }
    [[nodiscard]] const std::string& terms() const noexcept { return terms_; }
    /// From the program before, by exec.
    [[nodiscard]] bool is_inherited() const noexcept { return is_inherited_; }

    /// The process that has the agreement with the proxy.
    [[nodiscard]] pid_t owner() const noexcept { return shared_->owner.load(); }
    [[nodiscard]] bool is_own() const noexcept { return getpid() == owner(); }
    /// This process becomes the owner after `owner`, which has ended; false if another one has.
    bool inherit(pid_t owner) noexcept;
    /// Once for each process that shares it, but for the program that has made it.
    [[nodiscard]] bool begins_to_stand_by() noexcept;

    /// How many peers may be on their way to accept(). The worker hears of it.
    void set_backlog(int most) noexcept;
    [[nodiscard]] int backlog() const noexcept { return most_.load(); }
    [[nodiscard]] bool has_room() const noexcept { return coming_.load() < most_.load(); }

    /// What carries on the agreement with the proxy, until listen() gives it to the worker.
    std::unique_ptr<worker::Task> agreement;

    /// Where to knock: at `fd`, which listens now. False with errno.
    bool open_door(int fd) noexcept;
    [[nodiscard]] const Address& door() const noexcept { return door_; }

    // The worker's side.

    /// Puts a connection into the queue; `connection` stays the caller's. False with errno.
    bool put(int connection, Address peer) const noexcept;
    void expect_knock(std::uint16_t port) const noexcept { mark_of(port).fetch_or(bit_of(port)); }
    void forget_knock(std::uint16_t port) const noexcept { mark_of(port).fetch_and(~bit_of(port)); }
    /// Nobody can accept any more.
    [[nodiscard]] bool is_closed() const noexcept { return closed_.load(std::memory_order_acquire); }

    // accept()'s side.

    /// Whether what came from `from` is a knock. It isn't one the next time.
    [[nodiscard]] bool takes_for_knock(const Address& from) const noexcept;
    /// The next connection, close-on-exec.
    [[nodiscard]] Arrival take() const noexcept;

    /// The last number in this process is gone.
    void close() noexcept;

private:
    struct Shared {
        std::array<std::atomic<std::uint64_t>, 65536 / 64> marks;
        std::atomic<pid_t> owner;
        std::atomic<bool> is_handed_over; ///< programs may have it that were not made by fork() alone
        std::uint64_t in, out;            ///< the cookies of the queue's ends
    };
    Listener(const Address& local, std::string terms) : local_(local), terms_(std::move(terms)) {}
    bool map(int memory) noexcept;
    static std::uint64_t bit_of(std::uint16_t port) noexcept { return std::uint64_t{1} << (port % 64); }
    [[nodiscard]] std::atomic<std::uint64_t>& mark_of(std::uint16_t port) const noexcept {
        return shared_->marks[port / 64];
    }

    friend class Place;
    Address local_;
    std::string terms_;
    Address door_;
    std::atomic<int> coming_{0};
    std::atomic<int> most_{1};
    Shared* shared_ = nullptr; // with children
    int memory_ = -1;          // where that is
    bool is_inherited_ = false;
    int queue_[2] = {-1, -1};
    std::atomic<pid_t> stands_by_{-1}; // the process that does, for a child has a copy
    unsigned forks_before_ = 0;
    std::atomic<bool> closed_{false};
};

/// One peer's, on its way to accept(). The worker's alone, which hears when there is room again.
class Place {
public:
    explicit Place(std::shared_ptr<Listener> listener) noexcept;
    ~Place();
    Place(Place&&) noexcept = default;
    Place& operator=(Place&&) = delete;
    [[nodiscard]] Listener& listener() const noexcept { return *listener_; }

private:
    std::shared_ptr<Listener> listener_;
};

/// What the fd table has of a Listener: it goes with the last number.
class ListenerUse {
public:
    explicit ListenerUse(std::shared_ptr<Listener> listener) noexcept : listener_(std::move(listener)) {}
    ~ListenerUse() { listener_->close(); }
    ListenerUse(const ListenerUse&) = delete;
    ListenerUse& operator=(const ListenerUse&) = delete;
    [[nodiscard]] const std::shared_ptr<Listener>& listener() const noexcept { return listener_; }

private:
    std::shared_ptr<Listener> listener_;
};

/// From now on `fd` takes connections from this machine alone. False with errno.
bool close_to_others(int fd) noexcept;
/// Undoes it: nobody listens yet.
void open_to_others(int fd) noexcept;
/// Makes it final, whatever the program does with its socket's filters.
void stay_closed_to_others(int fd) noexcept;

} // namespace socksify::sys
