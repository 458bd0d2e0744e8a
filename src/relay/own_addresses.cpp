#include "relay/own_addresses.hpp"

#include <algorithm>
#include <ifaddrs.h>
#include <memory>
#include <netinet/in.h>

namespace socksify::relay {
namespace {

constexpr std::chrono::seconds lifetime{2};

std::optional<Host> to_host(const sockaddr* address) {
    if (address == nullptr) return {};
    if (address->sa_family == AF_INET) {
        std::array<std::uint8_t, 4> octets{};
        std::memcpy(octets.data(), &reinterpret_cast<const sockaddr_in*>(address)->sin_addr, octets.size());
        return Host::ipv4(octets);
    }
    if (address->sa_family == AF_INET6) {
        std::array<std::uint8_t, 16> octets{};
        std::memcpy(octets.data(), &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr, octets.size());
        return Host::ipv6(octets);
    }
    return {};
}

} // namespace

bool OwnAddresses::contains(const Host& address) {
    if (!is_fresh()) return true;
    return std::find(addresses_.begin(), addresses_.end(), address.unmapped()) != addresses_.end();
}

unsigned OwnAddresses::generation() {
    if (!is_fresh()) ++generation_;
    return generation_;
}

bool OwnAddresses::is_fresh() { return std::chrono::steady_clock::now() < fresh_until_ || refresh(); }

bool OwnAddresses::refresh() {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return false;
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> guard(list, freeifaddrs);
    std::vector<Host> addresses;
    for (const auto* at = list; at != nullptr; at = at->ifa_next)
        if (const auto host = to_host(at->ifa_addr)) addresses.push_back(host->unmapped());
    if (addresses != addresses_) ++generation_;
    addresses_ = std::move(addresses);
    fresh_until_ = std::chrono::steady_clock::now() + lifetime;
    return true;
}

} // namespace socksify::relay
