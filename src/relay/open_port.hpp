// A port of the relay's for a client's peers: which address, which port, and what the client is told.
//
// Listened on is `inbound.address`: by default every address of the host, so that the peer reaches it from
// whichever side it comes. Told is `inbound.advertise`; where that is zeros, the address that this host has
// on the way to the peer, or to the world if the peer is not known; where there is no such way, the address
// at which the client has reached the relay.
#pragma once

#include "relay/connect.hpp"

namespace socksify::relay {

/// What a client asks for.
struct PortWish {
    AddressType family = AddressType::ipv4; ///< of IPv6 without peers, IPv4 may come too
    std::vector<Host> peers;                ///< of that family; empty: anybody may come
    std::uint16_t port = 0;                 ///< 0: any
    bool exactly = true;                    ///< that port or none
};

struct OpenPort {
    Acceptor acceptor;
    Endpoint told;
};

/// Whom DST of a BIND lets come; a name's addresses are asked for.
Task<tl::expected<PortWish, NotConnected>> wish_of(Context& context, std::shared_ptr<const Config> config,
                                                   Endpoint destination);

/// `client` is the connection that asks. The REP of a failure is for clients that know of this project's
/// codes; see `plain`.
tl::expected<OpenPort, NotConnected> open_port(Context& context, const Config& config, const Caller& caller,
                                               const Socket& client, const PortWish& wish);

/// Whether `peer` may come to a listener at `port`.
bool may_come(const Config& config, const Caller& caller, const std::vector<Host>& peers, const Host& peer,
              std::uint16_t port);

/// The nearest code of RFC 1928's.
Reply plain(Reply reply) noexcept;

} // namespace socksify::relay
