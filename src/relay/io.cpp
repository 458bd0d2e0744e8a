#include "relay/io.hpp"

#include <algorithm>
#include <netinet/tcp.h>

namespace socksify::relay {

asio::ip::address to_asio(const Host& host) {
    const auto octets = host.octets();
    switch (host.type()) {
    case AddressType::ipv4: {
        asio::ip::address_v4::bytes_type v4{};
        std::copy(octets.begin(), octets.end(), v4.begin());
        return asio::ip::address_v4(v4);
    }
    case AddressType::ipv6: {
        asio::ip::address_v6::bytes_type v6{};
        std::copy(octets.begin(), octets.end(), v6.begin());
        return asio::ip::address_v6(v6);
    }
    case AddressType::domain_name: break;
    }
    return asio::ip::address_v4{};
}

Host from_asio(const asio::ip::address& address) {
    return address.is_v4() ? Host::ipv4(address.to_v4().to_bytes()) : Host::ipv6(address.to_v6().to_bytes());
}

Tcp::endpoint to_asio(const Endpoint& endpoint) { return {to_asio(endpoint.host), endpoint.port}; }
Endpoint from_asio(const Tcp::endpoint& endpoint) { return {from_asio(endpoint.address()), endpoint.port()}; }
Endpoint from_asio(const Udp::endpoint& endpoint) { return {from_asio(endpoint.address()), endpoint.port()}; }

void send_at_once(int fd) noexcept {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void look_after(int fd, std::chrono::seconds keepalive) noexcept {
    const int on = keepalive.count() != 0 ? 1 : 0;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    if (on == 0) return;
    const auto seconds = static_cast<int>(keepalive.count());
    const int between = std::max(1, seconds / 6);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
}

} // namespace socksify::relay
