// What a read or a write of the program's is judged by. Any descriptor that the library has nothing to do
// with costs one relaxed load.
#pragma once

#include "shim/datagrams.hpp"
#include "shim/optimistic.hpp"
#include "shim/socket_calls.hpp"
#include "sys/fd_marks.hpp"

namespace socksify::shim {

inline bool is_ours(int fd) noexcept {
    using sys::FdMarks;
    return (sys::fd_marks.of(fd) & (FdMarks::datagram | FdMarks::failed | FdMarks::unanswered)) != 0;
}

inline Verdict<ssize_t> judge_send(int fd, const msghdr& message, int flags) {
    using sys::FdMarks;
    if (sys::fd_marks.has(fd, FdMarks::failed)) return transfer_after_failure(fd);
    if (sys::fd_marks.has(fd, FdMarks::unanswered)) return write_unanswered(fd, message, flags);
    return send_datagram(fd, message, flags);
}

inline Verdict<ssize_t> judge_receive(int fd, msghdr& message, int flags) {
    using sys::FdMarks;
    if (sys::fd_marks.has(fd, FdMarks::failed)) return transfer_after_failure(fd);
    if (sys::fd_marks.has(fd, FdMarks::unanswered)) return before_read(fd, flags);
    return receive_datagram(fd, message, flags);
}

} // namespace socksify::shim
