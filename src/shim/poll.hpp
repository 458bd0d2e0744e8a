// epoll_ctl: who polls what, so that a registration can follow a description to another number and back.
#pragma once

#include "shim/heir.hpp"
#include "sys/keep_errno.hpp"
#include "sys/parked.hpp"
#include "sys/real.hpp"

#include <new>

namespace socksify::shim {

/// The real call, and a note of it.
inline int register_and_note(int epoll, int operation, int fd, epoll_event* event) {
    const int result = real::epoll_ctl(epoll, operation, fd, event);
    if (result != 0) return result;
    if (operation == EPOLL_CTL_DEL) {
        sys::fds::unwatch(epoll, fd);
        return 0;
    }
    {
        const sys::KeepErrno keep;
        try {
            sys::fds::watch(epoll, fd, *event);
            return 0;
        } catch (const std::bad_alloc&) {
            // Registered, but it would not survive a parked connect(): better refused than lost without a
            // word.
            real::epoll_ctl(epoll, EPOLL_CTL_DEL, fd, nullptr);
        }
    }
    errno = ENOMEM;
    return -1;
}

inline int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
    const auto call = [&] { return register_and_note(epoll, operation, fd, event); };
    // A registration between the worker's look at the notes and its swap would be made with the stand-in, and
    // go with it.
    const auto socket = sys::fds::find(fd);
    if (socket && socket->parked) return socket->parked->between_swaps(call);
    if (socket && socket->state == sys::Socket::State::listening) stand_by(socket->listener->listener());
    return call();
}

} // namespace socksify::shim
