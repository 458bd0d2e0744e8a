#include "shim/kind.hpp"

#include "shim/route.hpp"
#include "sys/real.hpp"

#include <netinet/in.h>

namespace socksify::shim {
namespace {

int option(int fd, int name) noexcept {
    int value = -1;
    socklen_t size = sizeof value;
    return real::getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
}

} // namespace

std::optional<Kind> kind_of(int fd) noexcept {
    const int domain = option(fd, SO_DOMAIN);
    const int type = domain >= 0 ? option(fd, SO_TYPE) : -1;
    const int ip_protocol = type >= 0 ? option(fd, SO_PROTOCOL) : -1;
    if (ip_protocol < 0) return {};
    return Kind{domain, type == SOCK_RAW ? policy::Protocol::other : protocol_of(ip_protocol),
                type == SOCK_DGRAM && ip_protocol == IPPROTO_UDP};
}

} // namespace socksify::shim
