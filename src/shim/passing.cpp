#include "shim/passing.hpp"

#include "shim/lifetime.hpp"
#include "shim/optimistic.hpp"
#include "sys/parked.hpp"
#include "sys/real.hpp"

#include <cstring>

namespace socksify::shim {
namespace {

using State = sys::Socket::State;

/// The number to hand over for `fd`; -1, with errno, if it can't be told.
int number_to_pass(int fd) {
    for (;;) {
        const auto socket = sys::find_socket(fd);
        if (socket && socket->unanswered) await_reply(fd);
        if (!socket || !socket->is_stand_in()) return fd;
        if (socket->state == State::failed) return socket->parked->hidden();
        pollfd stand_in{fd, POLLOUT, 0};
        if (real::poll(&stand_in, nfds_t{1}, -1) < 0) return -1;
    }
}

} // namespace

void begin_received(const msghdr& message) noexcept {
    auto copy = message; // CMSG_NXTHDR wants it so
    for (auto* part = CMSG_FIRSTHDR(&copy); part != nullptr; part = CMSG_NXTHDR(&copy, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= part->cmsg_len; at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
            begun(fd);
        }
    }
}

PassedDescriptors::PassedDescriptors(const msghdr& message) {
    if (message.msg_controllen > control_.size()) return; // the kernel will refuse that many
    auto copy = message;
    copy.msg_control = control_.data();
    std::memcpy(control_.data(), message.msg_control, message.msg_controllen);
    for (auto* part = CMSG_FIRSTHDR(&copy); part != nullptr; part = CMSG_NXTHDR(&copy, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS || part->cmsg_len < CMSG_LEN(0))
            continue;
        const auto* end = reinterpret_cast<std::byte*>(part) + part->cmsg_len;
        for (auto* at = reinterpret_cast<std::byte*>(CMSG_DATA(part)); at + sizeof(int) <= end;
             at += sizeof(int)) {
            int fd = -1;
            std::memcpy(&fd, at, sizeof fd);
            const int passed = number_to_pass(fd);
            if (passed == fd) continue;
            if (passed < 0) {
                error_ = errno;
                return;
            }
            std::memcpy(at, &passed, sizeof passed);
            changed_ = true;
        }
    }
}

} // namespace socksify::shim
