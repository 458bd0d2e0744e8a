// What reads and writes. Only UDP sockets that have to do with a proxy are of interest, sockets whose
// connect() has failed, and those whose connect() did not wait for the proxy: for any other descriptor each
// of these costs one relaxed load.
#include "shim/passing.hpp"

#include "shim/hooks/hook.hpp"
#include "shim/hooks/transfers.hpp"
#include "sys/address.hpp"

#include <algorithm>
#include <climits>
#include <cstdarg>
#include <sys/ioctl.h>
#include <sys/uio.h>

namespace {

using socksify::sys::fd_marks;
using socksify::sys::FdMarks;

using shim::is_ours;

msghdr message_of(iovec* pieces, std::size_t count) noexcept {
    msghdr message{};
    message.msg_iov = pieces;
    message.msg_iovlen = count;
    return message;
}

template <class Real>
ssize_t send_pieces(int fd, const iovec* pieces, std::size_t count, int flags, Real real) {
    const auto message = message_of(const_cast<iovec*>(pieces), count);
    return shim::settle([&] { return shim::judge_send(fd, message, flags); }, real);
}

template <class Real>
ssize_t receive_pieces(int fd, const iovec* pieces, std::size_t count, int flags, Real real) {
    auto message = message_of(const_cast<iovec*>(pieces), count);
    return shim::settle([&] { return shim::judge_receive(fd, message, flags); }, real);
}

/// For the calls of files, unlike those of sockets, nothing to write or read is nothing to do.
bool is_nothing(const iovec* pieces, int count) noexcept {
    if (count < 0 || count > IOV_MAX || socksify::sys::is_nowhere(pieces))
        return true; // the kernel's to refuse
    return std::all_of(pieces, pieces + count, [](const iovec& piece) { return piece.iov_len == 0; });
}

/// libc's check of a buffer's size.
void check(std::size_t wanted, std::size_t room) {
    if (wanted > room) __builtin_trap();
}

} // namespace

EXPORT ssize_t send(int fd, const void* octets, size_t count, int flags) {
    auto* const libc = real::send.get();
    if (!is_ours(fd)) [[likely]]
        return libc(fd, octets, count, flags);
    const iovec piece{const_cast<void*>(octets), count};
    return send_pieces(fd, &piece, 1, flags, [&] { return libc(fd, octets, count, flags); });
}
EXPORT ssize_t __send(int fd, const void* octets, size_t count, int flags) {
    return ::send(fd, octets, count, flags);
}

EXPORT ssize_t write(int fd, const void* octets, size_t count) {
    auto* const libc = real::write.get();
    if (!is_ours(fd)) [[likely]]
        return libc(fd, octets, count);
    const iovec piece{const_cast<void*>(octets), count};
    return send_pieces(fd, &piece, 1, 0, [&] { return libc(fd, octets, count); });
}

EXPORT ssize_t writev(int fd, const iovec* pieces, int count) {
    auto* const libc = real::writev.get();
    if (!is_ours(fd) || is_nothing(pieces, count)) [[likely]]
        return libc(fd, pieces, count);
    return send_pieces(fd, pieces, static_cast<std::size_t>(count), 0,
                       [&] { return libc(fd, pieces, count); });
}

EXPORT ssize_t recv(int fd, void* octets, size_t count, int flags) {
    auto* const libc = real::recv.get();
    if (!is_ours(fd)) [[likely]]
        return libc(fd, octets, count, flags);
    const iovec piece{octets, count};
    return receive_pieces(fd, &piece, 1, flags, [&] { return libc(fd, octets, count, flags); });
}
EXPORT ssize_t __recv_chk(int fd, void* octets, size_t count, size_t room, int flags) {
    check(count, room);
    return ::recv(fd, octets, count, flags);
}

EXPORT ssize_t read(int fd, void* octets, size_t count) {
    auto* const libc = real::read.get();
    if (!is_ours(fd) || count == 0) [[likely]]
        return libc(fd, octets, count);
    const iovec piece{octets, count};
    return receive_pieces(fd, &piece, 1, 0, [&] { return libc(fd, octets, count); });
}
EXPORT ssize_t __read_chk(int fd, void* octets, size_t count, size_t room) {
    check(count, room);
    return ::read(fd, octets, count);
}

EXPORT ssize_t readv(int fd, const iovec* pieces, int count) {
    auto* const libc = real::readv.get();
    if (!is_ours(fd) || is_nothing(pieces, count)) [[likely]]
        return libc(fd, pieces, count);
    return receive_pieces(fd, pieces, static_cast<std::size_t>(count), 0,
                          [&] { return libc(fd, pieces, count); });
}

EXPORT ssize_t recvfrom(int fd, void* octets, size_t count, int flags, sockaddr* address, socklen_t* size) {
    auto* const libc = real::recvfrom.get();
    const auto call = [&] { return libc(fd, octets, count, flags, address, size); };
    if (!is_ours(fd)) [[likely]]
        return call();
    iovec piece{octets, count};
    auto message = message_of(&piece, 1);
    if (address != nullptr && size != nullptr) {
        message.msg_name = address;
        message.msg_namelen = *size;
    }
    const auto received = shim::settle([&] { return shim::judge_receive(fd, message, flags); }, call);
    if (received >= 0 && size != nullptr && message.msg_name != nullptr) *size = message.msg_namelen;
    return received;
}
EXPORT ssize_t __recvfrom_chk(int fd, void* octets, size_t count, size_t room, int flags, sockaddr* address,
                              socklen_t* size) {
    check(count, room);
    return ::recvfrom(fd, octets, count, flags, address, size);
}

EXPORT ssize_t recvmsg(int fd, msghdr* message, int flags) {
    auto* const libc = real::recvmsg.get();
    if (message == nullptr) return libc(fd, message, flags);
    if (!is_ours(fd)) [[likely]] {
        const auto received = libc(fd, message, flags);
        if (received >= 0 && shim::passes_descriptors(*message)) shim::begin_received(*message);
        return received;
    }
    return shim::settle([&] { return shim::judge_receive(fd, *message, flags); },
                        [&] { return libc(fd, message, flags); });
}

EXPORT int recvmmsg(int fd, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
    auto* const libc = real::recvmmsg.get();
    const auto call = [&] {
        const int received = libc(fd, messages, count, flags, timeout);
        for (int i = 0; i < received; ++i)
            if (shim::passes_descriptors(messages[i].msg_hdr)) shim::begin_received(messages[i].msg_hdr);
        return received;
    };
    if (!is_ours(fd)) [[likely]]
        return call();
    const auto judge = [&]() -> shim::Verdict<> {
        if ((fd_marks.of(fd) & (FdMarks::failed | FdMarks::unanswered)) == 0)
            return shim::receive_datagrams(fd, messages, count, flags, timeout);
        msghdr none{};
        const auto transfer = shim::judge_receive(fd, none, flags);
        return {transfer.passed, static_cast<int>(transfer.result), transfer.error};
    };
    return shim::settle(judge, call);
}

// What goes within the kernel from one descriptor to another has no place for a header.

namespace {

/// What programs get where these calls are of no use, and then do without: they read and write.
shim::Verdict<ssize_t> judge_transfer(int from, int to) {
    if (shim::is_carried(from) || shim::is_carried(to)) return shim::Verdict<ssize_t>::fail(EINVAL);
    const auto read = shim::before_read(from, 0);
    return read.passed ? shim::before_write(to) : read;
}

constexpr int no_socket = -1; ///< what sendfile() reads from is none

template <class Call>
ssize_t transfer(int from, int to, Call call) {
    if (!is_ours(from) && !is_ours(to)) [[likely]]
        return call();
    return shim::settle([&] { return judge_transfer(from, to); }, call);
}

/// readv() and writev() with flags, if there is no offset: a socket has none.
template <class Judge, class Call>
ssize_t at_no_offset(int fd, const iovec* pieces, int count, off64_t offset, int flags, Judge judge,
                     Call call) {
    if (!is_ours(fd) || offset != -1 || is_nothing(pieces, count)) [[likely]]
        return call();
    if ((flags & ~RWF_NOWAIT) != 0) return (errno = EOPNOTSUPP, -1);
    return judge(static_cast<std::size_t>(count), (flags & RWF_NOWAIT) != 0 ? MSG_DONTWAIT : 0, call);
}

template <class Call>
ssize_t read_at_no_offset(int fd, const iovec* pieces, int count, off64_t offset, int flags, Call real) {
    return at_no_offset(
        fd, pieces, count, offset, flags,
        [&](auto size, int how, auto call) { return receive_pieces(fd, pieces, size, how, call); }, real);
}
template <class Call>
ssize_t write_at_no_offset(int fd, const iovec* pieces, int count, off64_t offset, int flags, Call real) {
    return at_no_offset(
        fd, pieces, count, offset, flags,
        [&](auto size, int how, auto call) { return send_pieces(fd, pieces, size, how, call); }, real);
}

} // namespace

EXPORT ssize_t sendfile(int to, int from, off_t* offset, size_t count) noexcept {
    auto* const libc = real::sendfile.get();
    return transfer(no_socket, to, [&] { return libc(to, from, offset, count); });
}
EXPORT ssize_t sendfile64(int to, int from, off64_t* offset, size_t count) noexcept {
    auto* const libc = real::sendfile64.get();
    return transfer(no_socket, to, [&] { return libc(to, from, offset, count); });
}

EXPORT ssize_t splice(int from, off64_t* from_offset, int to, off64_t* to_offset, size_t count,
                      unsigned flags) {
    auto* const libc = real::splice.get();
    return transfer(from, to, [&] { return libc(from, from_offset, to, to_offset, count, flags); });
}

EXPORT ssize_t preadv2(int fd, const iovec* pieces, int count, off_t offset, int flags) {
    auto* const libc = real::preadv2.get();
    return read_at_no_offset(fd, pieces, count, offset, flags,
                             [&] { return libc(fd, pieces, count, offset, flags); });
}
EXPORT ssize_t preadv64v2(int fd, const iovec* pieces, int count, off64_t offset, int flags) {
    auto* const libc = real::preadv64v2.get();
    return read_at_no_offset(fd, pieces, count, offset, flags,
                             [&] { return libc(fd, pieces, count, offset, flags); });
}

EXPORT ssize_t pwritev2(int fd, const iovec* pieces, int count, off_t offset, int flags) {
    auto* const libc = real::pwritev2.get();
    return write_at_no_offset(fd, pieces, count, offset, flags,
                              [&] { return libc(fd, pieces, count, offset, flags); });
}
EXPORT ssize_t pwritev64v2(int fd, const iovec* pieces, int count, off64_t offset, int flags) {
    auto* const libc = real::pwritev64v2.get();
    return write_at_no_offset(fd, pieces, count, offset, flags,
                              [&] { return libc(fd, pieces, count, offset, flags); });
}

EXPORT int ioctl(int fd, unsigned long request, ...) noexcept {
    auto* const libc = real::ioctl.get();
    std::va_list arguments;
    va_start(arguments, request);
    void* argument = va_arg(arguments, void*);
    va_end(arguments);
    const auto call = [&] { return libc(fd, request, argument); };
    if (request != FIONREAD || !is_ours(fd)) [[likely]]
        return call();
    auto* const octets = static_cast<int*>(argument);
    return shim::settle(
        [&] {
            return fd_marks.has(fd, FdMarks::unanswered) ? shim::pending_after_reply(fd, octets)
                                                         : shim::pending_octets(fd, octets);
        },
        call);
}
