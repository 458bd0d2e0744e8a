// LISTEN and ACCEPT: one listener of the server's for many peers, an extension of this project (doc/wire.md
// §8). After the reply to LISTEN the connection carries notes, both ways. Only after an FDL announced it:
// `FeatureList::supports(Command::listen)`.
#pragma once

#include "socksify/socks5.hpp"

namespace socksify {

/// FLAG of LISTEN: the port of the request or none. Without it the server may give another one.
constexpr std::uint8_t flag_this_port = 0x01;

// --- client → server: ACCEPT, a request whose IPv4 address is the ID of a peer, and whose port is 0 ---

constexpr Request accept_request(std::uint32_t id) noexcept {
    Message<4> octets;
    octets.put32(id);
    std::array<std::uint8_t, 4> address{};
    for (std::size_t i = 0; i < address.size(); ++i) address[i] = octets.bytes()[i];
    return {Command::accept, 0, {Host::ipv4(address), 0}};
}
/// The ID that an ACCEPT asks for. Nothing if its ATYP isn't 01.
constexpr std::optional<std::uint32_t> peer_id(const Request& request) noexcept {
    if (request.destination.host.type() != AddressType::ipv4) return {};
    return get32(request.destination.host.octets());
}

// --- both ways, behind LISTEN: TYPE, SIZE of the whole note (2), ID or BACKLOG (4), a peer's address ---

enum class NoteType : std::uint8_t {
    peer = 0x01,    ///< server → client: a peer waits to be accepted
    gone = 0x02,    ///< server → client: it does so no longer
    backlog = 0x03, ///< client → server: so many may wait
};

struct Note {
    NoteType type = NoteType::peer; ///< or any other octet: skip the note
    std::uint32_t value = 0;        ///< ID of the peer; of `backlog` the number
    Endpoint peer;                  ///< of `peer`: where it comes from

    friend bool operator==(const Note&, const Note&) noexcept = default;
};
constexpr std::size_t shortest_note = 1 + 2 + 4;
constexpr std::size_t longest_note = 512; ///< that is read; what is written is shorter
using NoteMessage = Message<shortest_note + longest_endpoint>;
NoteMessage encode(const Note& note) noexcept;
/// Octets behind the known fields are skipped with their note, and a TYPE that nobody knows is `complete`.
/// `malformed`: a SIZE that is too small for its TYPE or larger than `longest_note`, and an address that is
/// none.
Parsed<Note> parse_note(Bytes in) noexcept;

} // namespace socksify
