// connect, and the sends that name their peer.
#include "shim/connect.hpp"

#include "shim/datagrams.hpp"
#include "shim/hooks/hook.hpp"
#include "shim/hooks/transfers.hpp"
#include "shim/passing.hpp"
#include "sys/fd_marks.hpp"

#include <algorithm>
#include <pthread.h>

EXPORT int connect(int fd, const sockaddr* address, socklen_t size) {
    auto* const libc = real::connect.get();
    pthread_testcancel(); // from here on it is acted upon where the call waits, and nowhere else
    return shim::settle([&] { return shim::connect(fd, address, size); },
                        [&] { return libc(fd, address, size); });
}

namespace {

using shim::Send;
using socksify::sys::fd_marks;
using socksify::sys::FdMarks;

/// Sends as it is, without its address, or as a datagram, as before_send() has it.
template <class AsItIs>
ssize_t send_named(int fd, const msghdr& message, int flags, AsItIs as_it_is) {
    auto how = Send::as_it_is;
    const auto judge = [&]() -> shim::Verdict<ssize_t> {
        if (fd_marks.has(fd, FdMarks::datagram)) return shim::send_datagram(fd, message, flags);
        if (fd_marks.has(fd, FdMarks::unanswered)) return shim::write_unanswered(fd, message, flags);
        const auto verdict =
            shim::before_send(fd, static_cast<const sockaddr*>(message.msg_name), message.msg_namelen, flags);
        if (verdict.error != 0) return shim::Verdict<ssize_t>::fail(verdict.error);
        how = verdict.result;
        return how == Send::as_datagram ? shim::send_datagram(fd, message, flags)
                                        : shim::Verdict<ssize_t>::pass();
    };
    return shim::settle(judge, [&]() -> ssize_t {
        if (how != Send::to_connected) return as_it_is();
        auto unaddressed = message;
        unaddressed.msg_name = nullptr;
        unaddressed.msg_namelen = 0;
        return ::sendmsg(fd, &unaddressed, flags & ~MSG_FASTOPEN); // which may have to wait for its turn
    });
}

} // namespace

EXPORT ssize_t sendto(int fd, const void* octets, size_t count, int flags, const sockaddr* address,
                      socklen_t size) {
    auto* const libc = real::sendto.get();
    if (address == nullptr) return ::send(fd, octets, count, flags);
    iovec piece{const_cast<void*>(octets), count};
    msghdr message{};
    message.msg_name = const_cast<sockaddr*>(address);
    message.msg_namelen = size;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    return send_named(fd, message, flags, [&] { return libc(fd, octets, count, flags, address, size); });
}

namespace {

ssize_t send_message(int fd, const msghdr& message, int flags) {
    const auto as_it_is = [&] { return real::sendmsg(fd, &message, flags); };
    if (message.msg_name != nullptr && message.msg_namelen != 0)
        return send_named(fd, message, flags, as_it_is);
    auto unaddressed = message; // for the kernel, an address without octets is none
    unaddressed.msg_name = nullptr;
    const auto judge = [&] { return shim::judge_send(fd, unaddressed, flags); };
    return shim::settle(judge, as_it_is);
}

} // namespace

EXPORT ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    auto* const libc = real::sendmsg.get();
    if (message == nullptr) return libc(fd, message, flags);
    if (!shim::passes_descriptors(*message)) [[likely]]
        return send_message(fd, *message, flags);
    shim::PassedDescriptors passed(*message);
    if (passed.error() != 0) return (errno = passed.error(), -1);
    auto with_them = *message;
    passed.put_into(with_them);
    return send_message(fd, with_them, flags);
}

EXPORT int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
    auto* const libc = real::sendmmsg.get();
    const bool judged = messages != nullptr &&
                        ((fd_marks.of(fd) & (FdMarks::datagram | FdMarks::unanswered)) != 0 ||
                         std::any_of(messages, messages + count, [](const mmsghdr& m) {
                             return m.msg_hdr.msg_name != nullptr || shim::passes_descriptors(m.msg_hdr);
                         }));
    if (!judged) return libc(fd, messages, count, flags);
    // Each on its own, as the kernel sends them: those before a failure have gone, and are counted. The first
    // one to a proxy makes the socket one of ours, which sends all the others at once.
    for (unsigned i = 0; i < count; ++i) {
        if (fd_marks.has(fd, FdMarks::datagram)) {
            const auto sent =
                shim::settle([&] { return shim::send_datagrams(fd, messages + i, count - i, flags); },
                             [&] { return libc(fd, messages + i, count - i, flags); });
            return sent >= 0 ? static_cast<int>(i) + sent : i > 0 ? static_cast<int>(i) : -1;
        }
        const auto sent = sendmsg(fd, &messages[i].msg_hdr, flags);
        if (sent < 0) return i > 0 ? static_cast<int>(i) : -1;
        messages[i].msg_len = static_cast<unsigned>(sent);
    }
    return static_cast<int>(count);
}
