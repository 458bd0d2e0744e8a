// Where a socket address leads by the rules: the pool's addresses turned back into names, and a proxy left
// alone.
#pragma once

#include "policy/rules.hpp"
#include "shim/verdict.hpp"
#include "sys/address.hpp"
#include "sys/rules.hpp"

#include <optional>
#include <span>

namespace socksify::shim {

struct Route {
    Endpoint destination; ///< a name, if the address was one of the pool's
    bool from_pool = false;
    int refusal = 0; ///< errno, if the rules (or the lack of any) let nothing pass
    bool direct = false;
    bool optimistic = false;                ///< "optimistic", of the rule
    std::span<const std::size_t> upstreams; ///< else; of the rules, and so for ever
};

/// `given` as the program gave it.
Route route_to(const Endpoint& given, policy::Protocol protocol);
/// Nothing for an address that is not IP: the library has no say in it.
inline std::optional<Route> route_to(const sockaddr* address, socklen_t size, policy::Protocol protocol) {
    const auto given = sys::to_endpoint(address, size);
    return given ? std::optional(route_to(*given, protocol)) : std::nullopt;
}

/// Whether the rules let everything go directly: then there is nothing to hide from anybody.
bool all_is_direct();
/// Passes if `all_is_direct`; else fails with `error`.
Verdict<> refuse_unless_all_direct(int error);

/// Whether the rules name a proxy that listens on an AF_UNIX socket.
bool has_unix_proxy();
/// Whether `endpoint` is the address of a proxy that the rules name.
bool is_a_proxy(const Endpoint& endpoint);

/// IPPROTO_TCP and its kin as the rules know them.
policy::Protocol protocol_of(int ip_protocol) noexcept;

} // namespace socksify::shim
