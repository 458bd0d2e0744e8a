// A non-blocking connect() under way, without the program's pollers noticing anything but time.
//
// Goal: connect() returns EINPROGRESS at once; poll, select and epoll report the program's fd writable
// exactly when the handshake with the proxy is over; none of the three is hooked.
//
// How: `hidden` is a duplicate of the program's own open file description, on which the worker runs the
// handshake. A stand-in takes the program's fd number: one end of an AF_UNIX stream pair whose send buffer is
// full, so it is neither readable nor writable, and what the program writes gets EAGAIN from the kernel.
// `waker` is the other end. Meanwhile the stand-in has the program's SO_RCVLOWAT, because the proxy's replies
// need their own. epoll registrations move along, because they belong to the description, not to
// the number.
//
//   park()     number → stand-in, description → hidden            connect() says EINPROGRESS
//   unpark()   number → hidden's description again                POLLOUT: draining `waker` wakes whoever
//   polls the stand-in fail()     the stand-in stays, and `waker` closes unread
//   POLLIN|POLLOUT|POLLERR|POLLHUP, as for a failed TCP connect
//
// Ownership: the fd table's entries and the worker's task share one Parked. Its lock excludes the worker's
// swap and the program's close, dup and dup2 of the same numbers: a number that the program has just closed
// may be somebody else's. It is the one lock that is held over system calls, none of which can block; it is
// never held with another. fork(): parent and child share the stand-in, `hidden` and the outcome, which lies
// in memory that both map. The parent's worker carries the handshake on, also when the parent has closed its
// numbers; the child's copy is an orphan, which swaps the child's own numbers when it is next looked up
// (`find_socket`) after the outcome came.
#pragma once

#include "sys/fd_marks.hpp"
#include "sys/fd_table.hpp"
#include "sys/mutex.hpp"
#include "sys/real.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

namespace socksify::sys {

class Parked : public std::enable_shared_from_this<Parked> {
public:
    /// Parks `fd`, which is bound for `peer`; `domain` is the socket's. Returns nothing, with errno, if the
    /// descriptors for it can't be had; then nothing has changed. Throws std::bad_alloc, likewise without a
    /// change.
    static std::shared_ptr<Parked> park(int fd, const Address& peer, int domain);
    ~Parked();
    Parked(const Parked&) = delete;
    Parked& operator=(const Parked&) = delete;

    /// The program's open file description, for what must act on the real socket meanwhile.
    [[nodiscard]] int hidden() const noexcept { return hidden_; }
    /// The worker's: a socket of another family took the description's place (the proxy has no address of its
    /// own).
    void replace_hidden(int fd) noexcept;

    /// The handshake is over: each number refers to `hidden` again, with its peer remembered; `local` and
    /// `upstream` as in Socket.
    void unpark(const Address& local, std::size_t upstream) noexcept;
    /// The handshake came to nothing: `error` is kept for SO_ERROR.
    void fail(int error) noexcept;
    /// After `fail`, once the program has read the error or calls connect() again: the numbers get their own,
    /// now unconnected, description back.
    void restore() noexcept;
    /// The program ends the attempt by connect(AF_UNSPEC): the numbers get a fresh socket with the same
    /// options, because the worker may be at work on the old one until it notices. False, with errno, if
    /// there is none to be had: then it goes on.
    bool give_up() noexcept;

    /// Of an orphan: once the outcome is there, does for this process what the parent's worker did for that
    /// one.
    void follow() noexcept;

    /// The program ended one of the numbers: runs `close_it` under the lock, so that no swap is half-way.
    template <class Close>
    auto close_number(int fd, Close close_it) {
        const std::lock_guard lock(mutex_);
        std::erase(numbers_, fd);
        fds::forget(fd);
        if (numbers_.empty()) cancel();
        return close_it();
    }
    /// The program duplicated one of the numbers: `duplicate` returns the new one, or -1. Throws
    /// std::bad_alloc; then there is no new one.
    template <class Duplicate>
    int add_number(int fd, Duplicate duplicate) {
        const std::lock_guard lock(mutex_);
        numbers_.reserve(numbers_.size() + 1);
        const int added = duplicate();
        if (added < 0 || added == fd) return added;
        try {
            fds::copy(fd, added);
        } catch (...) {
            real::close(added);
            throw;
        }
        std::erase(numbers_, added);
        numbers_.push_back(added);
        return added;
    }

    /// Runs `call` while no swap is under way: what it does to a number holds for the description that is
    /// there then.
    template <class Call>
    auto between_swaps(Call call) {
        const std::lock_guard lock(mutex_);
        return call();
    }

    /// Nobody waits for the outcome any more.
    [[nodiscard]] bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

private:
    Parked() = default;
    void cancel() noexcept;
    void become_orphan() noexcept;
    void fail_locked(int error) noexcept;
    void unpark_locked() noexcept;
    [[nodiscard]] bool is_stand_in(int number) const noexcept;
    void carry_over(int description) const noexcept;
    void give_back_descriptions() noexcept;
    /// All of them; those that can't be replaced stay in numbers_. False, with errno, if there are such.
    bool replace_stand_ins(int description) noexcept;

    ObjectMutex mutex_;
    std::vector<int> numbers_; // of the program, that refer to the stand-in; under mutex_
    SocketRef connected_;      // the entries of either outcome, made while there was memory
    SocketRef failed_;
    int hidden_ = -1;
    int waker_ = -1;
    int status_flags_ = 0; // F_GETFL of the stand-in when it was made
    std::uint64_t stand_in_cookie_ = 0;
    std::atomic<bool> cancelled_{false};
    std::atomic<int>* outcome_ = nullptr; // shared with children: see Outcome in parked.cpp
    unsigned forks_before_ = fork_count();
    bool orphan_ = false;
};

namespace detail {
SocketRef find_known_socket(int fd) noexcept;
} // namespace detail

/// `fds::find`, with an orphan's outcome taken into account.
inline SocketRef find_socket(int fd) noexcept {
    return fd_marks.has(fd, FdMarks::known) ? detail::find_known_socket(fd) : SocketRef();
}

/// Puts the description of `from` under the number `to`, close-on-exec as `to` was, and moves `to`'s epoll
/// registrations along. False, with errno, if it can't be done.
bool replace_description(int from, int to) noexcept;
/// Ends the epoll registrations of `fd`, as its description's end would, if that is not to come at once.
void unwatch_number(int fd) noexcept;

} // namespace socksify::sys
