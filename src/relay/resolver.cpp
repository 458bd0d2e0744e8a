#include "relay/resolver.hpp"

#include <algorithm>
#include <netdb.h>

namespace socksify::relay {
namespace {

using Answer = Resolver::Answer;

bool is_enabled(const Host& address, const Offered& features) noexcept {
    return address.type() == AddressType::ipv4 ? features.ipv4 : features.ipv6;
}

int family_of(const Offered& features) noexcept {
    if (!features.ipv6) return AF_INET;
    return features.ipv4 ? AF_UNSPEC : AF_INET6;
}

std::optional<Host> to_host(const addrinfo& info) {
    if (info.ai_family != AF_INET && info.ai_family != AF_INET6) return {};
    Tcp::endpoint endpoint;
    endpoint.resize(info.ai_addrlen);
    std::memcpy(endpoint.data(), info.ai_addr, info.ai_addrlen);
    return from_asio(endpoint).host;
}

/// Blocks, for seconds if a name server is silent.
Answer look_up(const std::string& name, int family) {
    addrinfo hints{};
    hints.ai_family = family;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_ADDRCONFIG; // on a host without IPv6, don't wait for AAAA
    addrinfo* list = nullptr;
    if (const int error = getaddrinfo(name.c_str(), nullptr, &hints, &list); error != 0)
        return {{}, gai_strerror(error)};
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> guard(list, freeaddrinfo);
    std::vector<Host> addresses;
    for (const auto* at = list; at != nullptr; at = at->ai_next) {
        const auto host = to_host(*at);
        if (host && std::find(addresses.begin(), addresses.end(), *host) == addresses.end())
            addresses.push_back(*host);
    }
    return {alternate_families(addresses), addresses.empty() ? "no address" : ""};
}

} // namespace

std::vector<Host> alternate_families(const std::vector<Host>& addresses) {
    std::vector<Host> first;
    std::vector<Host> second;
    for (const auto& address : addresses)
        (address.type() == addresses.front().type() ? first : second).push_back(address);
    std::vector<Host> out;
    for (std::size_t i = 0; i < std::max(first.size(), second.size()); ++i) {
        if (i < first.size()) out.push_back(first[i]);
        if (i < second.size()) out.push_back(second[i]);
    }
    return out;
}

Task<Answer> Resolver::resolve(std::shared_ptr<const Config> config, std::string name,
                               Clock::time_point deadline) {
    Answer answer;
    const policy::FoldedName folded(name);
    if (const auto known = config->hosts.find(folded.text()); known != config->hosts.end()) {
        for (const auto family : {AddressType::ipv6, AddressType::ipv4})
            for (const auto& address : known->second)
                if (address.type() == family && is_enabled(address, config->features))
                    answer.addresses.push_back(address);
        answer.addresses = alternate_families(answer.addresses);
        answer.failure = "no address of a family that is switched on";
        co_return answer;
    }
    // A variable, not a temporary: gcc 12 destroys a lambda that stands within a co_await twice.
    auto work = [name, family = family_of(config->features)] { return look_up(name, family); };
    auto found = co_await pool_.run(std::move(work), deadline);
    if (found) answer = std::move(*found);
    else answer.failure = "timed out";
    co_return answer;
}

} // namespace socksify::relay
