#include "relay/access.hpp"

#include <algorithm>

namespace socksify::relay {
namespace {

enum class Match : std::uint8_t { no, maybe, yes };

bool matches(const std::vector<Place>& places, const policy::Target& target) {
    return std::any_of(places.begin(), places.end(),
                       [&](const Place& place) { return place.destination.matches(target); });
}

bool has_network(const std::vector<Place>& places) {
    return std::any_of(places.begin(), places.end(), [](const Place& place) { return place.is_network; });
}

/// Of the places that an allowing rule must name for a guarded address: names and "everything" don't count.
bool names_network_of(const std::vector<Place>& places, const policy::Target& address) {
    return std::any_of(places.begin(), places.end(), [&](const Place& place) {
        return place.is_network && place.destination.matches(address);
    });
}

Match match_caller(const AccessRule& rule, const Caller& caller) {
    if (!rule.clients.empty() && !matches(rule.clients, policy::Target(caller.client))) return Match::no;
    if (!rule.users.empty() &&
        std::find(rule.users.begin(), rule.users.end(), caller.user) == rule.users.end())
        return Match::no;
    if (!rule.operations.empty() &&
        std::find(rule.operations.begin(), rule.operations.end(), caller.operation) == rule.operations.end())
        return Match::no;
    return Match::yes;
}

Match match_destination(const AccessRule& rule, const Wanted& wanted) {
    if (wanted.address && wanted.address_is_guarded && rule.action == Verdict::allow)
        return names_network_of(rule.destinations, policy::Target(*wanted.address)) ? Match::yes : Match::no;
    if (rule.destinations.empty() || matches(rule.destinations, policy::Target(wanted.destination.host)))
        return Match::yes;
    if (wanted.address)
        return matches(rule.destinations, policy::Target(*wanted.address)) ? Match::yes : Match::no;
    return has_network(rule.destinations) ? Match::maybe : Match::no;
}

Match match_port(const AccessRule& rule, std::uint16_t port) {
    const bool fits = rule.ports.empty() || std::any_of(rule.ports.begin(), rule.ports.end(),
                                                        [&](auto range) { return range.contains(port); });
    return fits ? Match::yes : Match::no;
}

Match match(const AccessRule& rule, const Caller& caller, const Wanted* wanted) {
    if (const auto by_caller = match_caller(rule, caller); by_caller != Match::yes) return by_caller;
    if (wanted == nullptr) return rule.destinations.empty() && rule.ports.empty() ? Match::yes : Match::maybe;
    return std::min(match_port(rule, wanted->destination.port), match_destination(rule, *wanted));
}

/// In 127.0.0.0/8 and the like.
bool starts_with(const Host& address, std::initializer_list<std::uint8_t> octets) {
    return std::equal(octets.begin(), octets.end(), address.octets().begin());
}

} // namespace

Verdict AccessRules::judge(const Caller& caller, const Wanted* wanted) const {
    // While some maybe stands before it, a match settles nothing but that both would say the same.
    std::optional<Verdict> maybe;
    const auto settle = [&](Verdict verdict) {
        return !maybe || *maybe == verdict ? verdict : Verdict::open;
    };
    for (const auto& rule : rules_) {
        switch (match(rule, caller, wanted)) {
        case Match::no: break;
        case Match::maybe:
            if (maybe && *maybe != rule.action) return Verdict::open;
            maybe = rule.action;
            break;
        case Match::yes: return settle(rule.action);
        }
    }
    const bool guarded = wanted != nullptr && wanted->address && wanted->address_is_guarded;
    return settle(guarded ? Verdict::deny : Verdict::allow);
}

Verdict AccessRules::judge(const Caller& caller, const Wanted& wanted) const {
    return judge(caller, &wanted);
}
Verdict AccessRules::judge(const Caller& caller) const { return judge(caller, nullptr); }

bool AccessRules::depend_on_client() const noexcept {
    return std::any_of(rules_.begin(), rules_.end(), [](const auto& rule) { return !rule.clients.empty(); });
}
bool AccessRules::depend_on_user() const noexcept {
    return std::any_of(rules_.begin(), rules_.end(), [](const auto& rule) { return !rule.users.empty(); });
}
bool AccessRules::depend_on_destination() const noexcept {
    return std::any_of(rules_.begin(), rules_.end(),
                       [](const auto& rule) { return !rule.destinations.empty() || !rule.ports.empty(); });
}

bool is_own_by_nature(const Host& address) noexcept {
    const auto host = address.unmapped();
    if (host.is_loopback() || host.is_unspecified()) return true;
    if (host.type() == AddressType::ipv4) return host.octets()[0] == 0 || starts_with(host, {169, 254});
    return host.type() == AddressType::ipv6 && host.octets()[0] == 0xfe && (host.octets()[1] & 0xc0) == 0x80;
}

bool is_group(const Host& address) noexcept {
    const auto host = address.unmapped();
    const auto first = host.octets()[0];
    if (host.type() == AddressType::ipv4) return (first & 0xf0) == 0xe0;
    return host.type() == AddressType::ipv6 && first == 0xff;
}

tl::expected<Place, policy::Misfit> parse_place(std::string_view text) {
    auto destination = policy::Destination::parse(text);
    if (!destination) return tl::unexpected(std::move(destination.error()));
    const auto host = Host::parse(text.substr(0, text.rfind('/')));
    return Place{*destination, host && !host->is_name() && !text.ends_with("/0")};
}

} // namespace socksify::relay
