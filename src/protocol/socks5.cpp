#include "socksify/socks5.hpp"

namespace socksify {
namespace {

/// VER, one code, FLAG, then an endpoint: the shape that requests and replies share.
template <class Value, class Code>
Parsed<Value> parse_headed(Bytes in, Code Value::*code, std::uint8_t Value::*flag,
                           Endpoint Value::*endpoint) noexcept {
    constexpr std::size_t header = 3;
    Parsed<Value> message; // malformed; filled in place, which spares copies
    if (!in.empty() && in[0] != socks_version) return message;
    if (in.size() <= header) {
        message.outcome = Outcome::need_more;
        message.size = shortest_reply - in.size();
        return message;
    }
    const auto endpoint_in = in.subspan(header);
    const auto measured = measure_endpoint(endpoint_in);
    message.outcome = measured.outcome;
    message.size = measured.size;
    if (!message) return message;
    message.size += header;
    message.value.*code = static_cast<Code>(in[1]);
    message.value.*flag = in[2];
    if (!read_endpoint(endpoint_in, message.value.*endpoint)) message.outcome = Outcome::malformed;
    return message;
}

} // namespace

Parsed<Request> parse_request(Bytes in) noexcept {
    constexpr std::size_t ipv4_request = 10;
    if (in.size() >= 4 && in[0] == socks_version && static_cast<Command>(in[1]) == Command::enhanced_udp &&
        in[3] == 0) {
        if (in.size() < ipv4_request) return need_more(ipv4_request - in.size());
        return complete(Request{Command::enhanced_udp, in[2], {}}, ipv4_request);
    }
    return parse_headed(in, &Request::command, &Request::flag, &Request::destination);
}

Parsed<ReplyMessage> parse_reply(Bytes in) noexcept {
    return parse_headed(in, &ReplyMessage::reply, &ReplyMessage::flag, &ReplyMessage::bound);
}

} // namespace socksify
