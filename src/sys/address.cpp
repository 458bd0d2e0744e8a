#include "sys/address.hpp"

#include <algorithm>
#include <cstring>
#include <sys/un.h>

namespace socksify::sys {

Address copy_address(const sockaddr* address, socklen_t size) noexcept {
    Address copy;
    std::memcpy(&copy.storage, address, std::min(size, static_cast<socklen_t>(sizeof copy.storage)));
    switch (copy.family()) {
    case AF_INET: copy.size = sizeof(sockaddr_in); break;
    case AF_INET6: copy.size = sizeof(sockaddr_in6); break;
    default: copy.size = std::min(size, static_cast<socklen_t>(sizeof copy.storage));
    }
    return copy;
}

std::optional<Endpoint> to_endpoint(const sockaddr* address, socklen_t size) noexcept {
    if (address == nullptr || size < sizeof(sa_family_t)) return {};
    if (address->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
        sockaddr_in v4;
        std::memcpy(&v4, address, sizeof v4);
        std::array<std::uint8_t, 4> octets;
        std::memcpy(octets.data(), &v4.sin_addr, octets.size());
        return Endpoint{Host::ipv4(octets), ntohs(v4.sin_port)};
    }
    if (address->sa_family == AF_INET6 &&
        size >= 24) { // SIN6_LEN_RFC2133: the kernel takes one without a scope id
        sockaddr_in6 v6{};
        std::memcpy(&v6, address, std::min<std::size_t>(size, sizeof v6));
        std::array<std::uint8_t, 16> octets;
        std::memcpy(octets.data(), &v6.sin6_addr, octets.size());
        return Endpoint{Host::ipv6(octets).unmapped(), ntohs(v6.sin6_port)};
    }
    return {};
}

std::optional<Address> to_address(const Endpoint& endpoint, int domain) noexcept {
    std::optional<Address> address; // in place, which spares copies
    const auto octets = endpoint.host.octets();
    const bool is_v4 = endpoint.host.type() == AddressType::ipv4;
    if (endpoint.host.is_name() || (domain == AF_INET && !is_v4)) return address;
    address.emplace();
    if (domain == AF_INET) {
        auto* v4 = reinterpret_cast<sockaddr_in*>(&address->storage);
        v4->sin_family = AF_INET;
        v4->sin_port = htons(endpoint.port);
        std::memcpy(&v4->sin_addr, octets.data(), sizeof v4->sin_addr);
        address->size = sizeof *v4;
        return address;
    }
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address->storage);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(endpoint.port);
    if (is_v4) {
        v6->sin6_addr.s6_addr[10] = v6->sin6_addr.s6_addr[11] = 0xff;
        std::memcpy(v6->sin6_addr.s6_addr + 12, octets.data(), 4);
    } else {
        std::memcpy(v6->sin6_addr.s6_addr, octets.data(), 16);
    }
    address->size = sizeof *v6;
    return address;
}

Address unix_address(std::string_view path) noexcept {
    Address out;
    auto* address = reinterpret_cast<sockaddr_un*>(&out.storage);
    address->sun_family = AF_UNIX;
    path.copy(address->sun_path, sizeof address->sun_path - 1);
    out.size = sizeof *address;
    return out;
}

Host loopback(int family) noexcept {
    return family == AF_INET6 ? Host::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
                              : Host::ipv4({127, 0, 0, 1});
}

void put_address(const Address& from, sockaddr* to, socklen_t* size) noexcept {
    if (*size != 0) std::memcpy(to, &from.storage, std::min(*size, from.size));
    *size = from.size;
}

} // namespace socksify::sys
