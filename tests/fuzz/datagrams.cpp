// Each header that stands before a datagram, and the packets of ENHANCED_UDP_MODE.
#include "fuzz.hpp"

#include "socksify/datagram.hpp"

using namespace socksify;
using namespace socksify::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes in(data, size);
    const auto write = [](const auto& message) { return encode(message); };
    check_codec(parse_datagram_header, write, in);
    check_codec(parse_udp_control_request, write, in);
    check_codec(parse_udp_control_reply, write, in);
    check_codec(parse_udp_stream_header, write, in);
    check_codec(parse_udp_data_header, write, in);
    check_codec(
        parse_gost, [](const Frame& frame) { return encode_gost(frame).value(); }, in);
    check_codec(
        parse_uot, [](const Frame& frame) { return encode_uot(frame); }, in);
    // What hev's server would refuse to read can't be written: only the address can be checked then.
    const auto write_hev = [](Frame frame) {
        if (!encode_hev(frame)) frame.payload = 0;
        return encode_hev(frame).value();
    };
    check_codec(parse_hev, write_hev, in);
    return 0;
}
