// connect, and the sends that name their peer.
#include "shim/connect.hpp"

#include "shim/hooks/hook.hpp"
#include "shim/passing.hpp"

#include <algorithm>

EXPORT int connect(int fd, const sockaddr* address, socklen_t size) {
    return shim::settle([&] { return shim::connect(fd, address, size); },
                        [&] { return real::connect(fd, address, size); });
}

namespace {

using shim::Send;

/// Sends with `as_it_is` or `to_connected`, as before_send() has it.
template <class AsItIs, class ToConnected>
ssize_t send_after(int fd, const sockaddr* address, socklen_t size, int flags, AsItIs as_it_is,
                   ToConnected to_connected) {
    auto how = Send::as_it_is;
    const auto judge = [&] {
        const auto verdict = shim::before_send(fd, address, size, flags);
        if (verdict.error != 0) return shim::Verdict<ssize_t>::fail(verdict.error);
        how = verdict.result;
        return shim::Verdict<ssize_t>::pass();
    };
    return shim::settle(judge,
                        [&]() -> ssize_t { return how == Send::as_it_is ? as_it_is() : to_connected(); });
}

} // namespace

EXPORT ssize_t sendto(int fd, const void* octets, size_t count, int flags, const sockaddr* address,
                      socklen_t size) {
    if (address == nullptr) return real::sendto(fd, octets, count, flags, address, size);
    return send_after(
        fd, address, size, flags, [&] { return real::sendto(fd, octets, count, flags, address, size); },
        [&] { return real::send(fd, octets, count, flags & ~MSG_FASTOPEN); });
}

namespace {

ssize_t send_message(int fd, const msghdr* message, int flags) {
    if (message->msg_name == nullptr) return real::sendmsg(fd, message, flags);
    return send_after(
        fd, static_cast<const sockaddr*>(message->msg_name), message->msg_namelen, flags,
        [&] { return real::sendmsg(fd, message, flags); },
        [&] {
            auto unaddressed = *message;
            unaddressed.msg_name = nullptr;
            unaddressed.msg_namelen = 0;
            return real::sendmsg(fd, &unaddressed, flags & ~MSG_FASTOPEN);
        });
}

} // namespace

EXPORT ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    if (message == nullptr) return real::sendmsg(fd, message, flags);
    if (shim::passes_descriptors(*message)) [[unlikely]] {
        shim::PassedDescriptors passed(*message);
        if (passed.error() != 0) return (errno = passed.error(), -1);
        auto with_them = *message;
        passed.put_into(with_them);
        return send_message(fd, &with_them, flags);
    }
    return send_message(fd, message, flags);
}

EXPORT int sendmmsg(int fd, mmsghdr* messages, unsigned count, int flags) {
    const bool judged = messages != nullptr && std::any_of(messages, messages + count, [](const mmsghdr& m) {
                            return m.msg_hdr.msg_name != nullptr || shim::passes_descriptors(m.msg_hdr);
                        });
    if (!judged) return real::sendmmsg(fd, messages, count, flags);
    // Each on its own, as the kernel sends them: those before a failure have gone, and are counted.
    for (unsigned i = 0; i < count; ++i) {
        const auto sent = sendmsg(fd, &messages[i].msg_hdr, flags);
        if (sent < 0) return i > 0 ? static_cast<int>(i) : -1;
        messages[i].msg_len = static_cast<unsigned>(sent);
    }
    return static_cast<int>(count);
}
