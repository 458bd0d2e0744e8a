// Each message that a server sends, and the notes that both sides do.
#include "fuzz.hpp"

#include "socksify/datagram.hpp"
#include "socksify/listen.hpp"
#include "socksify/session.hpp"

using namespace socksify;
using namespace socksify::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const Bytes in(data, size);
    const auto write = [](const auto& message) { return encode(message); };
    check_codec(parse_method_reply, write, in);
    check_codec(parse_password_reply, write, in);
    check_codec(parse_reply, write, in);
    check_codec(parse_enhanced_udp_reply, write, in);
    check_codec(parse_note, write, in);
    check_codec(parse_session_grant, write, in);
    if (const auto code = early_reply_code(in)) {
        const auto reply = parse_reply(in);
        expect(!reply || reply.value.reply == *code);
        expect((to_errno(*code) == 0) == (*code == Reply::succeeded));
    }
    return 0;
}
