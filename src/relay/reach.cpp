#include "relay/reach.hpp"

namespace socksify::relay {
namespace {

bool is_switched_on(AddressType type, const Offered& features) noexcept {
    switch (type) {
    case AddressType::ipv4: return features.ipv4;
    case AddressType::domain_name: return features.names;
    case AddressType::ipv6: return features.ipv6;
    }
    return false;
}

} // namespace

tl::expected<std::optional<Host>, Obstacle> look_at(const Config& config, const Caller& caller,
                                                    const Endpoint& destination) {
    const auto& host = destination.host;
    if (!is_switched_on(host.type(), config.features)) return tl::unexpected(Obstacle::switched_off);
    if (host.is_unspecified()) return tl::unexpected(Obstacle::no_address);
    const auto literal = (host.is_name() ? Host::parse(host.name()).value_or(host) : host).unmapped();
    if (!literal.is_name()) {
        if (!is_switched_on(literal.type(), config.features)) return tl::unexpected(Obstacle::switched_off);
        return literal;
    }
    if (config.rules.judge(caller, Wanted{destination, {}, false}) == Verdict::deny)
        return tl::unexpected(Obstacle::denied);
    return std::nullopt;
}

bool may_reach(Context& context, const Config& config, const Caller& caller, const Endpoint& destination,
               const Host& address) {
    if (address.is_unspecified()) return false;
    const bool guarded = config.guard_own_host && (is_own_by_nature(address) || is_group(address) ||
                                                   context.own_addresses.contains(address));
    return config.rules.judge(caller, Wanted{destination, address, guarded}) == Verdict::allow;
}

} // namespace socksify::relay
