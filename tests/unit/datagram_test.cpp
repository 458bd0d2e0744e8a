#include "socksify/datagram.hpp"

#include "support/readers.hpp"

using namespace socksify;
using namespace socksify::test;

namespace {

const auto write = [](const auto& message) { return copy(encode(message)); };
const auto hi = octets("68 69");

Endpoint endpoint(std::string_view text) { return Endpoint::parse(text).value(); }
const auto target = endpoint("192.0.2.9:53");
const Endpoint longest_named{Host::name(std::string(255, 'n')).value(), 53};

} // namespace

TEST_CASE("a datagram's header: RFC 1928 §7, all address types") {
    CHECK(hex(encode(DatagramHeader{0, target})) == "00 00 00 01 c0 00 02 09 00 35");
    check_codec(parse_datagram_header, write, octets("00 00 00 01 c0 00 02 09 00 35"));
    check_codec(parse_datagram_header, write,
                octets("00 00 00 04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 35"));
    check_codec(parse_datagram_header, write, octets("00 00 00 03 02 6e 73 00 35"));
    check_codec(parse_datagram_header, write, copy(encode(DatagramHeader{0, longest_named})));
    CHECK(encode(DatagramHeader{0, endpoint("[2001:db8::1]:53")}).size() == 22); // the RFC's text says 20
}

TEST_CASE("a fragment can be told from a datagram that stands alone") {
    CHECK(parse_datagram_header(octets("00 00 81 01 c0 00 02 09 00 35 68 69")).value.fragment == 0x81);
    CHECK(parse_datagram_header(octets("00 00 00 01 c0 00 02 09 00 35 68 69")).value.fragment == 0);
    check_codec(parse_datagram_header, write, octets("00 00 7f 01 c0 00 02 09 00 35"));
}

TEST_CASE("a datagram may carry no payload") {
    const auto in = octets("00 00 00 01 c0 00 02 09 00 35");
    CHECK(parse_datagram_header(in).size == in.size());
}

TEST_CASE("RSV is not looked at") {
    check_reader(parse_datagram_header, octets("00 02 00 01 c0 00 02 09 00 35"));
    CHECK(parse_datagram_header(octets("ff ff 00 01 c0 00 02 09 00 35")).value.endpoint == target);
}

TEST_CASE("a datagram with an address type that nobody knows is dropped") {
    check_malformed(parse_datagram_header, octets("00 00 00 02"));
    check_malformed(parse_datagram_header, octets("00 00 00 00"));
}

TEST_CASE("ENHANCED_UDP_MODE is entered when the server answers with the extension's version") {
    CHECK(hex(encode(EnhancedUdpReply{Reply::succeeded, {}})) == "01 00 00 01 00 00 00 00 00 00");
    check_codec(parse_enhanced_udp_reply, write, octets("01 00 00 01 00 00 00 00 00 00"));
    check_codec(parse_enhanced_udp_reply, write, octets("01 02 00 03 01 61 00 35"));
    check_reader(parse_enhanced_udp_reply, octets("01 00 00 00 00 00 00 00 00 00"));
}

TEST_CASE("a server that has another command 04, or none, is not in ENHANCED_UDP_MODE") {
    check_malformed(parse_enhanced_udp_reply, octets("05 00")); // jargyle resolved the name ""
    check_reader(parse_enhanced_udp_reply, octets("05 07 00 01 00 00 00 00 00 00"));
    const auto refused = parse_enhanced_udp_reply(octets("05 07 00 01 00 00 00 00 00 00"));
    CHECK(refused.value.reply == Reply::command_not_supported);
    check_malformed(parse_enhanced_udp_reply, octets("02"));
    check_malformed(parse_enhanced_udp_reply, octets("48"));
}

TEST_CASE("UDP BIND to send and receive, data on this connection") {
    UdpControlRequest request;
    request.control.flags = udp_flag::receive_from | udp_flag::send_to | udp_flag::data_over_tcp;
    request.control.transaction = 1;
    request.control.local = endpoint("10.0.0.5:4000");
    request.control.remote = target;
    const auto* const vector =
        "01 00 1b 05 00 0b 00 00 01 00 00 00 00 01 0a 00 00 05 0f a0 01 c0 00 02 09 00 35";
    CHECK(hex(encode(request)) == vector);
    check_codec(parse_udp_control_request, write, octets(vector));
}

TEST_CASE("UDP BIND to join a group, multicast outside, unicast inside") {
    UdpControlRequest request;
    request.control.flags =
        udp_flag::receive_from | udp_flag::send_to | udp_flag::multicast | udp_flag::mu_mode;
    request.control.ttl = 4;
    request.control.transaction = 2;
    request.control.local = endpoint("10.0.0.5:5004");
    request.control.remote = endpoint("239.1.2.3:5004");
    const auto* const vector =
        "01 00 1b 05 00 33 04 00 02 00 00 00 00 01 0a 00 00 05 13 8c 01 ef 01 02 03 13 8c";
    CHECK(hex(encode(request)) == vector);
    check_codec(parse_udp_control_request, write, octets(vector));
}

TEST_CASE("control packets of all sizes are read by their SIZE") {
    UdpControlReply reply{
        Reply::succeeded,
        {0x000b, 0, 0xfffe, 0x80000001, endpoint("[2001:db8::1]:1"), endpoint("[2001:db8::2]:2")}};
    CHECK(encode(reply).size() == 51);
    check_codec(parse_udp_control_reply, write, copy(encode(reply)));
    reply.control.remote = longest_named;
    reply.control.local = longest_named;
    check_codec(parse_udp_control_reply, write, copy(encode(reply)));
    const UdpControlReply failure{udp_reply::bad_group, {0, 0, 7, 0, {}, {}}};
    CHECK(hex(encode(failure)) ==
          "02 00 1b 14 00 00 00 00 07 00 00 00 00 01 00 00 00 00 00 00 01 00 00 00 00 00 00");
    check_codec(parse_udp_control_reply, write, copy(encode(failure)));
}

TEST_CASE("a control packet whose addresses are absent or zero in any way is read by its SIZE") {
    const auto* const head = "02 00 %s 10 00 03 00 00 07 01 02 03 04";
    const auto with_size = [&](const char* size) { return octets(std::string(head).replace(6, 2, size)); };
    for (const auto& packet : {
             with_size("0d"), with_size("13") + octets("00 00 00  00 00 00"),
             with_size("1b") + octets("00 00 00 00 00 00 00  00 00 00 00 00 00 00"),
             with_size("17") + octets("00 00 00  01 00 00 00 00 00 00"),
             with_size("1b") + octets("01 00 00 00 00 00 00  00 00 00 00 00 00 00"),
             with_size("17") + octets("01 00 00 00 00 00 00  00 00 00"),
             with_size("1d") +
                 octets("01 00 00 00 00 00 00  01 00 00 00 00 00 00  07 00"), // an option behind
         }) {
        check_reader(parse_udp_control_reply, packet);
        const auto reply = parse_udp_control_reply(packet).value;
        CHECK(reply.reply == udp_reply::bad_association);
        CHECK(reply.control.transaction == 7);
        CHECK(reply.control.association == 0x01020304);
        CHECK(reply.control.local == Endpoint{});
        CHECK(reply.control.remote == Endpoint{});
    }
}

TEST_CASE("an IPv6 address behind an absent one is found") {
    const auto packet = octets("02 00 23 00 00 03 00 00 07 01 02 03 04  00 00 00"
                               "04 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 35");
    check_reader(parse_udp_control_reply, packet);
    CHECK(parse_udp_control_reply(packet).value.control.remote == endpoint("[2001:db8::1]:53"));
}

TEST_CASE("a control packet whose addresses do not fit its SIZE is malformed") {
    check_malformed(parse_udp_control_request, octets("01 00 0c")); // shorter than its fixed part
    check_malformed(parse_udp_control_request,
                    octets("01 00 14 05 00 0b 00 00 01 00 00 00 00 01 0a 00 00 05 0f a0")); // one of two
    check_malformed(parse_udp_control_request,
                    octets("01 00 0f 05 00 0b 00 00 01 00 00 00 00 03 ff")); // a name longer than the packet
    check_malformed(
        parse_udp_control_request,
        octets("01 00 1b 05 00 0b 00 00 01 00 00 00 00 09 0a 00 00 05 0f a0 01 c0 00 02 09 00 35"));
    check_malformed(parse_udp_control_request, octets("02 00 1b"));
    check_malformed(parse_udp_control_reply, octets("01 00 1b"));
}

TEST_CASE("the next packet's type and size are known from three octets") {
    CHECK(parse_udp_packet(octets("01 00")).size == 1);
    const auto packet = parse_udp_packet(octets("03 00 09 01 02 03 04 68 69"));
    CHECK(packet.size == 3);
    CHECK(packet.value.type == UdpPacketType::data);
    CHECK(packet.value.size == 9);
    CHECK(parse_udp_packet(octets("05 00 40")).value.size == 64); // nobody's yet: to be skipped
    check_malformed(parse_udp_packet, octets("03 00 06"));
    check_malformed(parse_udp_packet, octets("05 00 02"));
}

TEST_CASE("a datagram on the connection: association and payload") {
    CHECK(hex(copy(encode(UdpStreamHeader{0x01020304, 2})) + hi) == "03 00 09 01 02 03 04 68 69");
    check_codec(parse_udp_stream_header, write, octets("03 00 09 01 02 03 04"));
    check_codec(parse_udp_stream_header, write, octets("03 00 07 01 02 03 04"));
    check_codec(parse_udp_stream_header, write, octets("03 ff ff 01 02 03 04"));
    CHECK(parse_udp_stream_header(octets("03 ff ff 01 02 03 04")).value.payload ==
          UdpStreamHeader::most_payload);
    check_malformed(parse_udp_stream_header, octets("01 00 1b"));
    check_malformed(parse_udp_stream_header, octets("03 00 06"));
}

TEST_CASE("a datagram over UDP in ENHANCED_UDP_MODE has no addresses") {
    CHECK(hex(copy(encode(UdpDataHeader{0, 0, 0x01020304})) + hi) == "00 00 00 00 01 02 03 04 68 69");
    check_codec(parse_udp_data_header, write, octets("00 00 00 00 01 02 03 04"));
    check_codec(parse_udp_data_header, write, octets("00 82 12 34 ff ff ff ff"));
    check_malformed(parse_udp_data_header, octets("01 00 00 00 01 02 03 04")); // addressed: another form
}

TEST_CASE("hev's frame") {
    const auto hev = [](const Frame& frame) { return copy(encode_hev(frame).value()); };
    CHECK(hex(hev({target, 2}) + hi) == "00 02 0a 01 c0 00 02 09 00 35 68 69");
    check_codec(parse_hev, hev, octets("00 02 0a 01 c0 00 02 09 00 35"));
    check_codec(parse_hev, hev, octets("00 00 0a 01 c0 00 02 09 00 35"));
    check_codec(parse_hev, hev, hev({endpoint("[2001:db8::1]:53"), 1481}));
    check_codec(parse_hev, hev, hev({{Host::name(std::string(248, 'n')).value(), 53}, 1}));
}

TEST_CASE("hev's server is sent nothing that makes it end the association") {
    CHECK(!encode_hev({longest_named, 1}));
    CHECK(!encode_hev({{Host::name(std::string(249, 'n')).value(), 53}, 1}));
    CHECK(encode_hev({target, 1493}));
    CHECK(!encode_hev({target, 1494}));
    CHECK(!encode_hev({endpoint("[2001:db8::1]:53"), 1482}));
}

TEST_CASE("a hev frame whose HDRLEN and address disagree is out of step") {
    check_malformed(parse_hev, octets("00 02 04"));
    check_malformed(parse_hev, octets("00 02 09 01 c0 00 02 09 00"));
    check_malformed(parse_hev, octets("00 02 0b 01 c0 00 02 09 00 35 00"));
    check_malformed(parse_hev, octets("00 02 0a 03 ff 00 02 09 00 35"));
    check_malformed(parse_hev, octets("00 02 0a 07 c0 00 02 09 00 35"));
}

TEST_CASE("gost's frame") {
    const auto gost = [](const Frame& frame) { return copy(encode_gost(frame).value()); };
    CHECK(hex(gost({target, 2}) + hi) == "00 02 ff 01 c0 00 02 09 00 35 68 69");
    check_codec(parse_gost, gost, octets("00 02 ff 01 c0 00 02 09 00 35"));
    check_codec(parse_gost, gost, gost({longest_named, 65535}));
    check_malformed(parse_gost, octets("00 02 00"));
    check_malformed(parse_gost, octets("00 02 ff 02"));
}

TEST_CASE("gost is never sent an empty datagram, which it would take for endless") {
    CHECK(!encode_gost({target, 0}));
    check_malformed(parse_gost, octets("00 00"));
}

TEST_CASE("a frame of UDP-over-TCP numbers its address types in its own way") {
    const auto uot = [](const Frame& frame) { return copy(encode_uot(frame)); };
    CHECK(hex(uot({target, 2}) + hi) == "00 c0 00 02 09 00 35 00 02 68 69");
    check_codec(parse_uot, uot, octets("00 c0 00 02 09 00 35 00 02"));
    check_codec(parse_uot, uot, octets("01 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01 00 35 ff ff"));
    check_codec(parse_uot, uot, octets("02 02 6e 73 00 35 00 00"));
    check_codec(parse_uot, uot, uot({longest_named, 1}));
    check_malformed(parse_uot, octets("03"));
    check_malformed(parse_uot, octets("04"));
}
