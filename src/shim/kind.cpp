#include "shim/kind.hpp"

#include "shim/route.hpp"
#include "sys/real.hpp"
#include "sys/socket_options.hpp"

#include <cerrno>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace socksify::shim {
namespace {

/// TCP_INFO begins with the state. Only a stream of TCP's has it (and one of MPTCP's).
std::optional<std::uint8_t> tcp_state(int fd) noexcept {
    std::uint8_t state = 0;
    socklen_t size = sizeof state;
    if (real::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &size) != 0) return {};
    return state;
}

} // namespace

std::optional<Kind> kind_of(int fd) noexcept {
    const int domain = sys::domain_of(fd);
    if (domain == AF_INET || domain == AF_INET6) // in most cases that tells all
        if (const auto state = tcp_state(fd))
            return Kind{domain, policy::Protocol::tcp, false, *state == TCP_CLOSE};
    const int type = domain >= 0 ? sys::option(fd, SOL_SOCKET, SO_TYPE) : -1;
    const int ip_protocol = type >= 0 ? sys::option(fd, SOL_SOCKET, SO_PROTOCOL) : -1;
    if (ip_protocol < 0) return {};
    return Kind{domain, type == SOCK_RAW ? policy::Protocol::other : protocol_of(ip_protocol),
                type == SOCK_DGRAM && ip_protocol == IPPROTO_UDP};
}

bool is_no_socket() noexcept { return errno == EBADF || errno == ENOTSOCK; }

} // namespace socksify::shim
