// Whether a caller may reach a destination: what CONNECT and a datagram have in common. The rules, the
// switches and the guard of the relay's own host are asked here and nowhere else.
#pragma once

#include "relay/context.hpp"

namespace socksify::relay {

/// Why a destination can't be reached, as far as that is known before its name is resolved.
enum class Obstacle : std::uint8_t {
    switched_off, ///< its address type, or that of the address that its name is in text
    no_address, ///< 0.0.0.0 and the like, which the kernel takes for this host. An empty name is read as that
                ///< too
    denied,     ///< by a rule, whatever address the name has
};

/// The address that is meant: also that of a name that is an address in text. Nothing for a name that has to
/// be resolved. An address has not been judged yet.
tl::expected<std::optional<Host>, Obstacle> look_at(const Config& config, const Caller& caller,
                                                    const Endpoint& destination);

/// Whether rules and guard let `caller` reach `destination` at `address`, its own or one that it resolved to.
bool may_reach(Context& context, const Config& config, const Caller& caller, const Endpoint& destination,
               const Host& address);

} // namespace socksify::relay
