// close and dup: a number ends, or another begins to share its description. What we know of it follows.
#pragma once

#include "shim/optimistic.hpp"
#include "shim/verdict.hpp"
#include "sys/datagram.hpp"
#include "sys/fd_marks.hpp"
#include "sys/inherited_datagrams.hpp"
#include "sys/internal_fds.hpp"
#include "sys/parked.hpp"
#include "sys/real.hpp"

#include <pthread.h>

namespace socksify::shim {

/// The end of `fd`, by `close_it`.
template <class Close>
int close_number(int fd, Close close_it) {
    const auto marks = sys::fd_marks.of(fd);
    if (marks == 0) [[likely]]
        return close_it();
    if ((marks & sys::FdMarks::internal) != 0) {
        errno = EBADF; // for the program there is nothing
        return -1;
    }
    if ((marks & sys::FdMarks::stand_in) != 0)
        if (const auto socket = sys::find_socket(fd); socket && socket->is_stand_in()) {
            pthread_testcancel(); // within, nothing is
            sys::forget_datagram(fd);
            return socket->parked->close_number(fd, close_it);
        }
    sys::forget_datagram(fd);
    if ((marks & (sys::FdMarks::unanswered | sys::FdMarks::shared)) == sys::FdMarks::unanswered)
        sys::unwatch_number(fd);
    sys::fds::forget(fd);
    return close_it();
}

/// `fd` is new: what is still known of that number is of a description that ended behind our back.
inline int begun(int fd) noexcept {
    const auto marks = sys::fd_marks.of(fd);
    if (marks == 0 || fd < 0 || (marks & sys::FdMarks::internal) != 0) [[likely]]
        return fd;
    const sys::KeepErrno keep;
    sys::forget_datagram(fd);
    sys::fds::forget(fd);
    return fd;
}

/// The end of all numbers from `first` to `last`, but for the library's own. What is not marked goes in whole
/// ranges.
int close_range(unsigned first, unsigned last, int flags);

extern constinit sys::Mutex two_parked_mutex; ///< taken before the locks of two Parked at once

/// Whether two numbers refer to one socket whose connect() is under way or has failed.
inline bool share_a_parked(int fd, int other) {
    const auto one = sys::find_socket(fd);
    const auto two = one ? sys::find_socket(other) : sys::SocketRef();
    return two && one->is_stand_in() && one->parked == two->parked;
}

/// `make` duplicates `fd` and gives the new number or -1; `target` is the number that it ends first (dup2,
/// dup3), or -1.
template <class Make>
int duplicate(int fd, int target, Make make) {
    // For the program there is nothing at fd, and a number that high is out of its range.
    if (sys::is_internal(fd) || sys::is_internal(target)) {
        errno = EBADF;
        return -1;
    }
    // stdio reads and writes these by libc's own calls.
    const bool is_for_stdio = target >= 0 && target <= STDERR_FILENO;
    if (is_for_stdio && sys::fd_marks.has(fd, sys::FdMarks::unanswered)) await_reply(fd);
    const bool ends_another = target >= 0 && target != fd;
    const auto made = [&] {
        const auto socket = sys::find_socket(fd);
        if (socket && socket->is_stand_in()) {
            try {
                return socket->parked->add_number(fd, make);
            } catch (const std::bad_alloc&) {
                return errno = ENOMEM, -1;
            }
        }
        const int number = make();
        if (number < 0 || number == fd) return number;
        const sys::KeepErrno keep;
        sys::copy_datagram(fd, number);
        try {
            sys::fds::copy(fd, number);
            // A connect() by one of the two may have to park both.
            sys::fd_marks.share(fd);
            sys::fd_marks.share(number);
        } catch (const std::bad_alloc&) {
            // The duplicate works; only getpeername() on it will name the proxy.
        }
        sys::close_on_exec_changed(number);
        return number;
    };
    // The target's own description ends without a close() of its own.
    if (!ends_another || (sys::fd_marks.of(target) &
                          (sys::FdMarks::known | sys::FdMarks::watched | sys::FdMarks::datagram)) == 0)
        return made();
    if (real::fcntl(fd, F_GETFD) < 0) return make(); // it will fail, and end nothing
    if (share_a_parked(fd, target)) return made();   // no end: the number refers to the same before and after
    // Both may be parked, each with a lock: dup2(a, b) here and dup2(b, a) there must not wait for each
    // other.
    const std::lock_guard one_at_a_time(two_parked_mutex);
    return close_number(target, made);
}

} // namespace socksify::shim
