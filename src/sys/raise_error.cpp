#include "sys/raise_error.hpp"

#include "sys/address.hpp"
#include "sys/internal_fds.hpp"
#include "sys/keep_errno.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"

namespace socksify::sys {
namespace {

/// A port on loopback that is taken, and where no datagram but its own is heard: everybody else gets "port
/// unreachable".
class DeafPort {
public:
    explicit DeafPort(int family) noexcept {
        fd_ = open_with_room([family] { return real::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0); });
        if (fd_ < 0) return;
        address_ = bind_to_loopback(fd_, family);
        if (address_ && real::connect(fd_, address_->get(), address_->size) != 0) address_.reset();
    }
    ~DeafPort() {
        if (fd_ >= 0) real::close(fd_);
    }
    DeafPort(const DeafPort&) = delete;
    DeafPort& operator=(const DeafPort&) = delete;

    /// As a socket of `domain` writes it.
    [[nodiscard]] std::optional<Address> address(int domain) const noexcept {
        const auto endpoint = address_ ? to_endpoint(address_->get(), address_->size) : std::nullopt;
        return endpoint ? to_address(*endpoint, domain) : std::nullopt;
    }

private:
    int fd_ = -1;
    std::optional<Address> address_;
};

/// Whether an error has come. On loopback it has, as a rule, before send() returns.
bool has_come(int fd) noexcept {
    constexpr int milliseconds = 20;
    pollfd interest{fd, 0, 0};
    return real::poll(&interest, nfds_t{1}, milliseconds) == 1;
}

constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

bool raise_on_connected(int fd, const Address& deaf) noexcept {
    return real::connect(fd, deaf.get(), deaf.size) == 0 && real::send(fd, "", 0, flags) == 0 && has_come(fd);
}

/// Of errors on the way a socket without a peer hears with IP_RECVERR alone; turned off again, it loses the
/// message, but not the error.
bool raise_on_unconnected(int fd, const Address& deaf, int level, int name) noexcept {
    const int on = 1, before = option(fd, level, name);
    if (before < 0 || (before == 0 && real::setsockopt(fd, level, name, &on, sizeof on) != 0)) return false;
    const bool raised = real::sendto(fd, "", 0, flags, deaf.get(), deaf.size) == 0 && has_come(fd);
    if (before == 0) real::setsockopt(fd, level, name, &before, sizeof before);
    return raised;
}

} // namespace

bool raise_error(int fd) noexcept {
    const KeepErrno keep;
    const int domain = domain_of(fd);
    const bool is_connected = peer_address(fd).has_value();
    // An AF_INET6 socket may be one of IPv4 addresses: then the first attempt gets no further than connect()
    // or sendto().
    for (const int family : {AF_INET6, AF_INET}) {
        if (family == AF_INET6 && domain != AF_INET6) continue;
        const DeafPort port(family);
        const auto deaf = port.address(domain);
        if (!deaf) continue;
        const bool is_v6 = family == AF_INET6;
        if (is_connected ? raise_on_connected(fd, *deaf)
                         : raise_on_unconnected(fd, *deaf, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP,
                                                is_v6 ? IPV6_RECVERR : IP_RECVERR))
            return true;
    }
    return false;
}

} // namespace socksify::sys
