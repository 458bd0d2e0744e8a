#include "shim/route.hpp"

#include "sys/log.hpp"
#include "sys/names.hpp"
#include "sys/upstreams.hpp"

#include <algorithm>
#include <cerrno>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

namespace socksify::shim {
namespace {

using policy::Action;
namespace log = sys::log;

const char* name_of(Action::Kind kind) noexcept {
    switch (kind) {
    case Action::Kind::direct: return "direct";
    case Action::Kind::block: return "block";
    case Action::Kind::via: return "via";
    }
    return "";
}

} // namespace

bool is_a_proxy(const Endpoint& endpoint) {
    const auto& all = sys::rules().config.upstreams;
    return std::any_of(all.begin(), all.end(), [&](const policy::Upstream& upstream) {
        return upstream.socket_path.empty() &&
               sys::upstreams::is_known_address(upstream.host, upstream.port, endpoint);
    });
}

bool all_is_direct() {
    const auto& config = sys::rules().config;
    return config.rules.empty() && config.otherwise.kind == Action::Kind::direct;
}

Verdict<> refuse_unless_all_direct(int error) {
    return all_is_direct() ? Verdict<>::pass() : Verdict<>::fail(error);
}

bool has_unix_proxy() {
    const auto& all = sys::rules().config.upstreams;
    return std::any_of(all.begin(), all.end(),
                       [](const auto& upstream) { return !upstream.socket_path.empty(); });
}

policy::Protocol protocol_of(int ip_protocol) noexcept {
    switch (ip_protocol) {
    case IPPROTO_TCP:
    case IPPROTO_MPTCP: return policy::Protocol::tcp;
    case IPPROTO_UDP:
    case IPPROTO_UDPLITE: return policy::Protocol::udp;
    default: return policy::Protocol::other;
    }
}

Route route_to(const Endpoint& given, policy::Protocol protocol) {
    const auto& rules = sys::rules();
    Route route;
    route.destination = given;

    const auto meaning = sys::names::meaning_of(given.host);
    route.from_pool = meaning.from_pool;
    if (meaning.name) route.destination.host = *meaning.name;
    if (meaning.from_pool && !meaning.name) {
        // An address that nobody was given: there is no such host, and it must not be looked for.
        log::line(log::Level::info, "%s: a pool address without a name", given.text().c_str());
        route.refusal = EHOSTUNREACH;
        return route;
    }
    // A program that speaks to one of the proxies itself needs no help.
    if (protocol == policy::Protocol::tcp && is_a_proxy(route.destination)) {
        route.direct = true;
        return route;
    }
    const auto& [host, port] = route.destination;
    const auto decision =
        policy::route(rules.config, {host, port, policy::Operation::connect, protocol, rules.program});
    const auto& action = *decision.action;
    if (log::enabled(log::Level::info))
        log::line(log::Level::info, "%s: %s, by %s", route.destination.text().c_str(), name_of(action.kind),
                  policy::reason(rules.config, decision).c_str());
    switch (action.kind) {
    case Action::Kind::direct: route.direct = true; break;
    case Action::Kind::block: route.refusal = rules.usable ? EACCES : ENETUNREACH; break;
    case Action::Kind::via:
        route.upstreams = action.upstreams;
        route.optimistic = action.optimistic;
        break;
    }
    return route;
}

} // namespace socksify::shim
