// Each message that a client sends.
#include "fuzz.hpp"

#include "socksify/session.hpp"

using namespace socksify;
using namespace socksify::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes in(data, size);
    const auto write = [](const auto& message) { return encode(message); };
    check_codec(parse_greeting, write, in);
    check_codec(parse_password_request, write, in);
    check_codec(parse_token_request, write, in);
    check_codec(parse_request, write, in);
    if (const auto request = parse_request(in)) {
        const auto& host = request.value.destination.host;
        expect(host.is_name() ? !host.name().empty() : host.name().empty());
        expect(!host.text().empty());
    }
    return 0;
}
