#include "relay/features.hpp"

#include <cstdio>

namespace socksify::relay {
namespace {

template <class Enum>
constexpr std::uint8_t octet(Enum value) noexcept {
    return static_cast<std::uint8_t>(value);
}

constexpr std::array<std::uint8_t, 1> minor_version{0};
constexpr std::array<std::uint8_t, 1> persistent{1};
/// A session keeps what comes early, and a tunnel passes it on.
constexpr std::array<std::uint8_t, 1> early_data{octet(Ahead::data)};
constexpr std::array bind_features{octet(BindFeature::honours_port), octet(BindFeature::peer_filter)};
constexpr std::array<std::uint8_t, 1> listen_versions{listen_version};
constexpr std::array<std::uint8_t, 1> session_version{1};

void add_scope(FeatureList& list, const Config& config) {
    Message<3> scope;
    if (config.rules.depend_on_client()) scope.put8(octet(Scope::client_address));
    // A user is part of the method: without one, no rule for users applies.
    if (config.rules.depend_on_user()) scope.put8(octet(Scope::authentication_method));
    if (config.features.per_destination && config.rules.depend_on_destination())
        scope.put8(octet(Scope::destination));
    if (!scope.empty()) list.add(Tag::fdl, subtag_scope, scope);
}

bool may_reach_any(const Config& config, const Caller& caller, const Endpoint& host_of_interest) {
    if (!config.features.per_destination || host_of_interest.host.is_unspecified())
        return config.rules.judge(caller) != Verdict::deny;
    Wanted wanted{host_of_interest, {}, false};
    if (!host_of_interest.host.is_name()) wanted.address = host_of_interest.host.unmapped();
    return config.rules.judge(caller, wanted) != Verdict::deny;
}

void add_commands(FeatureList& list, const Config& config, const Caller& caller,
                  const Endpoint& host_of_interest) {
    const auto caller_for = [&](Operation operation) {
        return Caller{caller.client, caller.user, operation};
    };
    if (may_reach_any(config, caller_for(Operation::connect), host_of_interest))
        list.add(Tag::command, octet(Command::connect));
    // A host of interest is where something goes, with its port: peers come, and the port is the listener's.
    const bool inbound = config.rules.judge(caller_for(Operation::bind)) != Verdict::deny;
    if (config.features.bind && inbound) {
        list.add(Tag::command, octet(Command::bind), bind_features);
    }
    // Of pro-v5's flags (doc/wire.md) the relay understands none, so the value is empty.
    if (config.features.udp && may_reach_any(config, caller_for(Operation::udp), host_of_interest))
        list.add(Tag::command, octet(Command::udp_associate));
    if (config.features.listen && inbound) {
        list.add(Tag::command, octet(Command::listen), listen_versions);
        list.add(Tag::command, octet(Command::accept), listen_versions);
    }
    if (config.features.sessions) list.add(Tag::command, octet(Command::open_session), session_version);
}

void add_server(FeatureList& list, const ServerTexts& server, double load) {
    const auto add = [&](ServerInfo what, std::string_view text) {
        if (!text.empty()) list.add(Tag::server, octet(what), as_bytes(text));
    };
    add(ServerInfo::hostname, server.hostname);
    add(ServerInfo::url, server.url);
    add(ServerInfo::opaque_id, server.opaque_id);
    if (!server.load) return;
    char text[16];
    std::snprintf(text, sizeof text, "%.3f", load);
    add(ServerInfo::load, text);
}

} // namespace

FeatureList list_features(const Config& config, const Caller& caller, const Endpoint& host_of_interest,
                          double load) {
    FeatureList list;
    add_scope(list, config);
    list.add(Tag::socks, socks_version, minor_version);
    if (config.features.ipv4) list.add(Tag::address, octet(AddressType::ipv4));
    if (config.features.names) list.add(Tag::address, octet(AddressType::domain_name));
    if (config.features.ipv6) list.add(Tag::address, octet(AddressType::ipv6));
    for (std::size_t i = 0; i < config.auth.methods.size(); ++i)
        list.add(Tag::authentication, octet(config.auth.methods[i]));
    add_commands(list, config, caller, host_of_interest);
    list.add(Tag::command, octet(Command::list_features), config.features.hold ? Bytes(persistent) : Bytes());
    add_server(list, config.server, load);
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    list.add(Tag::extension, subtag_pipelining, early_data);
    if (config.features.sessions) {
        Message<8> terms;
        terms.put32(static_cast<std::uint32_t>(config.timeouts.session.count()));
        list.add(Tag::extension, subtag_sessions, terms.put32(config.limits.sessions_per_user));
    }
    if (config.features.fast_open) list.add(Tag::extension, subtag_fast_open);
    return list;
}

std::vector<std::uint8_t> encode_list(const FeatureList& list, const TestBehaviour& test) {
    if (!test.list_instead.empty()) return test.list_instead;
    const auto entries = list.octets();
    std::vector<std::uint8_t> out(entries.begin(), entries.end());
    out.insert(out.end(), test.list_also.begin(), test.list_also.end());
    switch (test.list_end) {
    case ListEnd::whole: out.insert(out.end(), {octet(Tag::end), 0, 0}); break;
    case ListEnd::tag_only: out.push_back(octet(Tag::end)); break;
    case ListEnd::none: break;
    }
    return out;
}

} // namespace socksify::relay
