#include "socksify/socks5.hpp"

namespace socksify {
namespace {

/// VER, one code, FLAG, then an endpoint: the shape that requests and replies share.
struct Headed {
    std::uint8_t code = 0;
    std::uint8_t flag = 0;
    Endpoint endpoint;
};

Parsed<Headed> parse_headed(Bytes in) noexcept {
    constexpr std::size_t header = 3;
    constexpr std::size_t shortest = header + 2; // ATYP and the octet after it are in every form
    if (!in.empty() && in[0] != socks_version) return malformed();
    if (in.size() <= header) return need_more(shortest - in.size());
    const auto endpoint = parse_endpoint(in.subspan(header));
    if (!endpoint) return Lacking{endpoint.outcome, endpoint.size};
    return complete(Headed{in[1], in[2], endpoint.value}, header + endpoint.size);
}

} // namespace

Parsed<Request> parse_request(Bytes in) noexcept {
    constexpr std::size_t ipv4_request = 10;
    if (in.size() >= 4 && in[0] == socks_version && static_cast<Command>(in[1]) == Command::enhanced_udp &&
        in[3] == 0) {
        if (in.size() < ipv4_request) return need_more(ipv4_request - in.size());
        return complete(Request{Command::enhanced_udp, in[2], {}}, ipv4_request);
    }
    const auto headed = parse_headed(in);
    if (!headed) return Lacking{headed.outcome, headed.size};
    return complete(
        Request{static_cast<Command>(headed.value.code), headed.value.flag, headed.value.endpoint},
        headed.size);
}

Parsed<ReplyMessage> parse_reply(Bytes in) noexcept {
    const auto headed = parse_headed(in);
    if (!headed) return Lacking{headed.outcome, headed.size};
    return complete(
        ReplyMessage{static_cast<Reply>(headed.value.code), headed.value.flag, headed.value.endpoint},
        headed.size);
}

} // namespace socksify
