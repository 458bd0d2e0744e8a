// Descriptors that are handed to another process (SCM_RIGHTS). What the other process gets must be the
// program's socket, not the stand-in that has its number while a connect() is under way, nor a socket that a
// handshake is still read from.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <sys/socket.h>

namespace socksify::shim {

/// Whether `message` hands anything over: two loads, for each sendmsg() of the program.
inline bool passes_descriptors(const msghdr& message) noexcept {
    return message.msg_control != nullptr && message.msg_controllen >= CMSG_LEN(sizeof(int));
}

/// `message` has come: the numbers in it are new, whatever was known of them.
void begin_received(const msghdr& message) noexcept;

/// The control part of a message as it should be sent.
class PassedDescriptors {
public:
    /// Waits, as the kernel has nothing to wait for, until the connects under way among them are over.
    /// `error` is EINTR if a signal came first.
    explicit PassedDescriptors(const msghdr& message);

    [[nodiscard]] int error() const noexcept { return error_; }
    /// Puts the control part into `message`, whose original was given to the constructor.
    void put_into(msghdr& message) noexcept {
        if (changed_) message.msg_control = control_.data();
    }

private:
    // SCM_MAX_FD descriptors and credentials fit; the kernel takes no more of the former.
    alignas(cmsghdr) std::array<std::byte, 2048> control_;
    bool changed_ = false;
    int error_ = 0;
};

} // namespace socksify::shim
