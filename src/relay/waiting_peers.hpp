// Peers that have come to a LISTEN and wait for their ACCEPT, each under an ID that nobody can guess.
//
// They belong to the listener (listening.hpp), which hears when one of them has gone by itself; ACCEPT comes
// on a connection of its own, and finds them here.
#pragma once

#include "relay/limits.hpp"

#include <functional>
#include <unordered_map>

namespace socksify::relay {

/// Whose peers they are, and who may accept them.
struct PeerOwner {
    Host client;
    std::string user;
    friend bool operator==(const PeerOwner&, const PeerOwner&) = default;
};

class WaitingPeers {
public:
    struct Peer {
        Socket socket;
        Endpoint address;
        PeerOwner owner;
        Limits::Connection ticket;
        /// It waits no longer; `accepted`, or else it was reset.
        std::function<void(std::uint32_t id, bool accepted)> on_end;
    };

    /// Its ID, which is not 0.
    std::uint32_t add(Peer peer);
    /// For an ACCEPT by `who`. Nothing if there is no such peer of theirs.
    std::optional<Peer> take(std::uint32_t id, const PeerOwner& who);
    /// Resets it, and calls nobody.
    void drop(std::uint32_t id);

private:
    void watch(std::uint32_t id);

    std::unordered_map<std::uint32_t, Peer> all_;
};

/// Closes a connection that nobody wants as the kernel does: by a reset.
void reset(Socket& socket);

} // namespace socksify::relay
