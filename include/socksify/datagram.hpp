// Datagrams through a proxy: the UDP header of RFC 1928 §7, the packets of ENHANCED_UDP_MODE, and the frames
// of other people's UDP-in-TCP. Headers only: the payload stands behind them and is never copied.
#pragma once

#include "socksify/socks5.hpp"

namespace socksify {

// --- both ways, over UDP: RSV, FRAG, ATYP, DST.ADDR, DST.PORT, then the payload (RFC 1928 §7) ---

struct DatagramHeader {
    std::uint8_t fragment = 0; ///< FRAG. Other than 0: a fragment, which nobody puts together; drop it (§7)
    Endpoint endpoint;         ///< to the proxy, where the payload goes; from it, where it came from
};
using DatagramHeaderMessage = Message<3 + longest_endpoint>;
constexpr DatagramHeaderMessage encode(const DatagramHeader& header) noexcept {
    DatagramHeaderMessage out;
    put_endpoint(out.put16(0).put8(header.fragment), header.endpoint);
    return out;
}
/// `size` is the header's; what follows is the payload, maybe none. RSV is not looked at. Anything but
/// `complete` is a datagram to drop: the rest of it will not come.
Parsed<DatagramHeader> parse_datagram_header(Bytes in) noexcept;

// ENHANCED_UDP_MODE (draft-ietf-aft-mcast-fw-traversal-01; its gaps are closed as doc/wire.md says). Entered
// with `Request{Command::enhanced_udp}`, and only after an FDL announced it: CMD 04 is somebody else's too.

constexpr std::uint8_t enhanced_udp_version = 1;

// --- server → client: VER of the extension, REP, 00, ATYP, BND.ADDR, BND.PORT ---

struct EnhancedUdpReply {
    Reply reply = Reply::general_failure;
    Endpoint bound;
};
constexpr RequestMessage encode(const EnhancedUdpReply& reply) noexcept {
    RequestMessage out;
    put_endpoint(out.put8(enhanced_udp_version).put8(static_cast<std::uint8_t>(reply.reply)).put8(0),
                 reply.bound);
    return out;
}
/// A failure may also come with VER 05, from a server that does not know the command; a success with VER 05
/// is of some other command 04, and `malformed`. ATYP 00 counts as four octets of zeros.
Parsed<EnhancedUdpReply> parse_enhanced_udp_reply(Bytes in) noexcept;

// --- both ways, on the connection that has entered the mode: PKTTYPE, SIZE, then the packet's own fields ---

enum class UdpPacketType : std::uint8_t { control_request = 0x01, control_reply = 0x02, data = 0x03 };

struct UdpPacket {
    UdpPacketType type = UdpPacketType::data; ///< or any other octet: skip the packet
    std::uint16_t size = 0;                   ///< of the whole packet in octets, these three included
};
/// What comes next, so that the right reader gets it. A SIZE that is too small for its type is `malformed`.
Parsed<UdpPacket> parse_udp_packet(Bytes in) noexcept;

/// FLAGS.
namespace udp_flag {
constexpr std::uint16_t receive_from = 0x0001;
constexpr std::uint16_t send_to = 0x0002;
constexpr std::uint16_t data_over_udp = 0x0004; ///< UDP-UNICAST; not with `data_over_tcp`
constexpr std::uint16_t data_over_tcp = 0x0008; ///< TCP-ENCAPSULATED; not with `mm_mode`
constexpr std::uint16_t multicast = 0x0010;
constexpr std::uint16_t mu_mode = 0x0020; ///< multicast outside, unicast inside
constexpr std::uint16_t mm_mode = 0x0040; ///< multicast outside and inside
} // namespace udp_flag

/// UDPCMD.
enum class UdpCommand : std::uint8_t { bind = 0x05, release = 0x06, set_ttl = 0x07 };

/// REPLY, beyond those of RFC 1928. Only inside control replies.
namespace udp_reply {
constexpr auto bad_association = static_cast<Reply>(0x10);
constexpr auto multicast_receive_not_allowed = static_cast<Reply>(0x11);
constexpr auto multicast_send_not_allowed = static_cast<Reply>(0x12);
constexpr auto bad_context = static_cast<Reply>(0x13);
constexpr auto bad_group = static_cast<Reply>(0x14);
constexpr auto ttl_not_allowed = static_cast<Reply>(0x15);
} // namespace udp_reply

/// What requests and replies share: FLAGS, RSVD, TID, AID and the two endpoints.
struct UdpControl {
    std::uint16_t flags = 0;       ///< of `udp_flag`
    std::uint8_t ttl = 0;          ///< RSVD: 1..255 where a TTL is meant
    std::uint16_t transaction = 0; ///< TID, chosen by the client, repeated by the server
    std::uint32_t association = 0; ///< AID; 0 in the request for a new one
    Endpoint local;  ///< request: the client's own address. Reply: where the client sends to inside
    Endpoint remote; ///< request: the peer or the group. Reply: the address to publish outside
};
struct UdpControlRequest {
    UdpCommand command = UdpCommand::bind;
    UdpControl control;
};
struct UdpControlReply {
    Reply reply = Reply::general_failure;
    UdpControl control;
};
using UdpControlMessage = Message<13 + 2 * longest_endpoint>;
UdpControlMessage encode(const UdpControlRequest& request) noexcept;
UdpControlMessage encode(const UdpControlReply& reply) noexcept;
/// SIZE rules: both endpoints may be absent (SIZE 13), an endpoint may have ATYP 00 with four address octets
/// or none, and octets behind the endpoints are skipped; all read as 0.0.0.0:0 or not at all.
Parsed<UdpControlRequest> parse_udp_control_request(Bytes in) noexcept;
Parsed<UdpControlReply> parse_udp_control_reply(Bytes in) noexcept;

// --- both ways, on the connection: PKTTYPE 03, SIZE, AID, then the payload ---

struct UdpStreamHeader {
    static constexpr std::size_t size = 7;
    static constexpr std::size_t most_payload = 65535 - size;

    std::uint32_t association = 0;
    std::uint16_t payload = 0; ///< octets that follow; 0..most_payload
};
constexpr Message<UdpStreamHeader::size> encode(const UdpStreamHeader& header) noexcept {
    Message<UdpStreamHeader::size> out;
    return out.put8(static_cast<std::uint8_t>(UdpPacketType::data))
        .put16(static_cast<std::uint16_t>(header.payload + UdpStreamHeader::size))
        .put32(header.association);
}
/// `size` is the header's.
Parsed<UdpStreamHeader> parse_udp_stream_header(Bytes in) noexcept;

// --- both ways, over UDP: RSV 00, FRAG, DGID, AID, then the payload; no addresses ---

struct UdpDataHeader {
    static constexpr std::size_t size = 8;

    std::uint8_t fragment = 0;
    std::uint16_t datagram = 0; ///< DGID: the same in all fragments of one datagram
    std::uint32_t association = 0;
};
constexpr Message<UdpDataHeader::size> encode(const UdpDataHeader& header) noexcept {
    Message<UdpDataHeader::size> out;
    return out.put8(0).put8(header.fragment).put16(header.datagram).put32(header.association);
}
/// `size` is the header's. Another RSV is another form of header, which nobody has agreed on: `malformed`.
Parsed<UdpDataHeader> parse_udp_data_header(Bytes in) noexcept;

// Frames of other people's datagrams on a TCP stream: an endpoint, the payload's size, then the payload. For
// proxies that the rules say speak them; never probed for.

struct Frame {
    Endpoint endpoint;         ///< to the proxy the destination, from it the source
    std::uint16_t payload = 0; ///< octets that follow
};
using FrameMessage = Message<3 + longest_endpoint>;

// --- hev-socks5-server, after CMD 05: DATLEN, HDRLEN, ATYP, ADDR, PORT ---

/// The endpoint and the payload together; the server ends the association above it.
constexpr std::size_t hev_most_octets = 1500;
/// Nothing for a frame that the server would not take: too long, or a name above 248 octets (HDRLEN is one).
std::optional<FrameMessage> encode_hev(const Frame& frame) noexcept;
Parsed<Frame> parse_hev(Bytes in) noexcept;

// --- gost UDP-TUN, after CMD F3: RSV = the payload's size, FRAG = FF, ATYP, ADDR, PORT ---

/// Nothing for an empty payload: to gost a size of 0 is "whatever can be read now". Drop it.
std::optional<FrameMessage> encode_gost(const Frame& frame) noexcept;
Parsed<Frame> parse_gost(Bytes in) noexcept;

// --- sing-box UDP-over-TCP, version 1: ATYP of its own (00 IPv4, 01 IPv6, 02 name), ADDR, PORT, LEN ---

FrameMessage encode_uot(const Frame& frame) noexcept;
Parsed<Frame> parse_uot(Bytes in) noexcept;

} // namespace socksify
