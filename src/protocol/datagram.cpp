#include "socksify/datagram.hpp"

namespace socksify {
namespace {

/// The zero ATYP of a message whose address fields are "unused and SHOULD be 0".
constexpr std::uint8_t no_address = 0;

/// An endpoint that comes behind `header` octets. Until its first two octets are there, they are what lacks:
/// every form has them.
Parsed<Endpoint> parse_endpoint_behind(std::size_t header, Bytes in) noexcept {
    if (in.size() <= header) return need_more(header + 2 - in.size());
    auto endpoint = parse_endpoint(in.subspan(header));
    if (endpoint) endpoint.size += header;
    return endpoint;
}

// --- control packets ---

constexpr std::size_t packet_header = 3;   // PKTTYPE, SIZE
constexpr std::size_t control_header = 13; // up to and with AID

UdpControlMessage encode_control(UdpPacketType type, std::uint8_t code, const UdpControl& control) noexcept {
    Message<2 * longest_endpoint> endpoints;
    put_endpoint(endpoints, control.local);
    put_endpoint(endpoints, control.remote);
    UdpControlMessage out;
    out.put8(static_cast<std::uint8_t>(type));
    out.put16(static_cast<std::uint16_t>(control_header + endpoints.size())).put8(code);
    out.put16(control.flags).put8(control.ttl).put16(control.transaction).put32(control.association);
    return out.put(endpoints);
}

/// The two endpoints in what SIZE leaves for them. `long_zeros`: how to take ATYP 00, with four address
/// octets or without any.
bool parse_endpoints(Bytes in, UdpControl& control, bool long_zeros) noexcept {
    for (auto* const endpoint : {&control.local, &control.remote}) {
        if (!in.empty() && in[0] == no_address) {
            const std::size_t size = long_zeros ? 7 : 3;
            if (in.size() < size) return false;
            *endpoint = {};
            in = in.subspan(size);
            continue;
        }
        const auto parsed = parse_endpoint(in);
        if (!parsed) return false;
        *endpoint = parsed.value;
        in = in.subspan(parsed.size);
    }
    return true;
}

struct Control {
    std::uint8_t code = 0;
    UdpControl control;
};

Parsed<Control> parse_control(UdpPacketType type, Bytes in) noexcept {
    const auto packet = parse_udp_packet(in);
    if (!packet) return Measured{packet.outcome, packet.size};
    if (packet.value.type != type) return malformed();
    const std::size_t size = packet.value.size;
    if (in.size() < size) return need_more(size - in.size());
    Control found{in[3], {}};
    found.control.flags = get16(in.subspan(4));
    found.control.ttl = in[6];
    found.control.transaction = get16(in.subspan(7));
    found.control.association = get32(in.subspan(9));
    const auto endpoints = in.subspan(control_header, size - control_header);
    if (!endpoints.empty() && !parse_endpoints(endpoints, found.control, true) &&
        !parse_endpoints(endpoints, found.control, false))
        return malformed();
    return complete(found, size);
}

} // namespace

Parsed<DatagramHeader> parse_datagram_header(Bytes in) noexcept {
    const auto endpoint = parse_endpoint_behind(3, in);
    if (!endpoint) return Measured{endpoint.outcome, endpoint.size};
    return complete(DatagramHeader{in[2], endpoint.value}, endpoint.size);
}

Parsed<EnhancedUdpReply> parse_enhanced_udp_reply(Bytes in) noexcept {
    if (!in.empty() && in[0] != enhanced_udp_version && in[0] != socks_version) return malformed();
    if (in.size() >= 2 && in[0] == socks_version && in[1] == 0) return malformed();
    if (in.size() >= 4 && in[3] == no_address) {
        if (in.size() < 10) return need_more(10 - in.size());
        return complete(EnhancedUdpReply{static_cast<Reply>(in[1]), {}}, 10);
    }
    const auto endpoint = parse_endpoint_behind(3, in);
    if (!endpoint) return Measured{endpoint.outcome, endpoint.size};
    return complete(EnhancedUdpReply{static_cast<Reply>(in[1]), endpoint.value}, endpoint.size);
}

Parsed<UdpPacket> parse_udp_packet(Bytes in) noexcept {
    if (in.size() < packet_header) return need_more(packet_header - in.size());
    const UdpPacket packet{static_cast<UdpPacketType>(in[0]), get16(in.subspan(1))};
    std::size_t least = packet_header;
    switch (packet.type) {
    case UdpPacketType::control_request:
    case UdpPacketType::control_reply: least = control_header; break;
    case UdpPacketType::data: least = UdpStreamHeader::size; break;
    }
    if (packet.size < least) return malformed();
    return complete(packet, packet_header);
}

UdpControlMessage encode(const UdpControlRequest& request) noexcept {
    return encode_control(UdpPacketType::control_request, static_cast<std::uint8_t>(request.command),
                          request.control);
}
UdpControlMessage encode(const UdpControlReply& reply) noexcept {
    return encode_control(UdpPacketType::control_reply, static_cast<std::uint8_t>(reply.reply),
                          reply.control);
}

Parsed<UdpControlRequest> parse_udp_control_request(Bytes in) noexcept {
    const auto found = parse_control(UdpPacketType::control_request, in);
    if (!found) return Measured{found.outcome, found.size};
    return complete(UdpControlRequest{static_cast<UdpCommand>(found.value.code), found.value.control},
                    found.size);
}
Parsed<UdpControlReply> parse_udp_control_reply(Bytes in) noexcept {
    const auto found = parse_control(UdpPacketType::control_reply, in);
    if (!found) return Measured{found.outcome, found.size};
    return complete(UdpControlReply{static_cast<Reply>(found.value.code), found.value.control}, found.size);
}

Parsed<UdpStreamHeader> parse_udp_stream_header(Bytes in) noexcept {
    const auto packet = parse_udp_packet(in);
    if (!packet) return Measured{packet.outcome, packet.size};
    if (packet.value.type != UdpPacketType::data) return malformed();
    if (in.size() < UdpStreamHeader::size) return need_more(UdpStreamHeader::size - in.size());
    const auto payload = static_cast<std::uint16_t>(packet.value.size - UdpStreamHeader::size);
    return complete(UdpStreamHeader{get32(in.subspan(packet_header)), payload}, UdpStreamHeader::size);
}

Parsed<UdpDataHeader> parse_udp_data_header(Bytes in) noexcept {
    if (!in.empty() && in[0] != 0) return malformed();
    if (in.size() < UdpDataHeader::size) return need_more(UdpDataHeader::size - in.size());
    return complete(UdpDataHeader{in[1], get16(in.subspan(2)), get32(in.subspan(4))}, UdpDataHeader::size);
}

// --- frames ---

std::optional<FrameMessage> encode_hev(const Frame& frame) noexcept {
    Message<longest_endpoint> endpoint;
    put_endpoint(endpoint, frame.endpoint);
    const auto header = 3 + endpoint.size();
    if (header > 255 || endpoint.size() + frame.payload > hev_most_octets) return {};
    FrameMessage out;
    return out.put16(frame.payload).put8(static_cast<std::uint8_t>(header)).put(endpoint);
}

Parsed<Frame> parse_hev(Bytes in) noexcept {
    if (in.size() < 3) return need_more(3 - in.size());
    const std::size_t header = in[2];
    if (header < 3 + 2) return malformed();
    if (in.size() < header) return need_more(header - in.size());
    const auto endpoint = parse_endpoint(in.subspan(3, header - 3));
    if (!endpoint || endpoint.size != header - 3) return malformed();
    return complete(Frame{endpoint.value, get16(in)}, header);
}

std::optional<FrameMessage> encode_gost(const Frame& frame) noexcept {
    if (frame.payload == 0) return {};
    FrameMessage out;
    put_endpoint(out.put16(frame.payload).put8(0xff), frame.endpoint);
    return out;
}

Parsed<Frame> parse_gost(Bytes in) noexcept {
    if (in.size() >= 2 && get16(in) == 0) return malformed();
    if (in.size() >= 3 && in[2] != 0xff) return malformed();
    const auto endpoint = parse_endpoint_behind(3, in);
    if (!endpoint) return Measured{endpoint.outcome, endpoint.size};
    return complete(Frame{endpoint.value, get16(in)}, endpoint.size);
}

namespace {

/// The address types of UDP-over-TCP, each in the place of its number there.
constexpr std::array<AddressType, 3> uot_types{AddressType::ipv4, AddressType::ipv6,
                                               AddressType::domain_name};

} // namespace

FrameMessage encode_uot(const Frame& frame) noexcept {
    Message<longest_endpoint> endpoint;
    put_endpoint(endpoint, frame.endpoint);
    const auto* const type = std::find(uot_types.begin(), uot_types.end(), frame.endpoint.host.type());
    FrameMessage out;
    out.put8(static_cast<std::uint8_t>(type - uot_types.begin())).put(endpoint.bytes().subspan(1));
    return out.put16(frame.payload);
}

Parsed<Frame> parse_uot(Bytes in) noexcept {
    if (in.empty()) return need_more(2);
    if (in[0] >= uot_types.size()) return malformed();
    Message<longest_endpoint> as_socks5;
    as_socks5.put8(static_cast<std::uint8_t>(uot_types[in[0]]));
    as_socks5.put(in.subspan(1, std::min(in.size(), longest_endpoint) - 1));
    const auto endpoint = parse_endpoint(as_socks5);
    if (!endpoint) return Measured{endpoint.outcome, endpoint.size};
    const auto size = endpoint.size + 2;
    if (in.size() < size) return need_more(size - in.size());
    return complete(Frame{endpoint.value, get16(in.subspan(endpoint.size))}, size);
}

} // namespace socksify
