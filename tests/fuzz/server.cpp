// The server machine against a client that says anything. First octet: which methods the server takes;
// second: how large the pieces are; then the client's octets.
#include "fuzz.hpp"

#include "socksify/handshake.hpp"

using namespace socksify;
using namespace socksify::fuzz;
using Kind = ServerHandshake::Event::Kind;

namespace {

/// All that the server says, and then what it left to the destination.
Octets run(const MethodList& methods, Bytes from_client, std::size_t piece) {
    ServerHandshake server;
    Octets inbox;
    Octets outbox;
    const auto say = [&](Bytes octets) { outbox.insert(outbox.end(), octets.begin(), octets.end()); };
    while (!from_client.empty()) {
        const auto count = std::min(piece, from_client.size());
        inbox.insert(inbox.end(), from_client.begin(),
                     from_client.begin() + static_cast<std::ptrdiff_t>(count));
        from_client = from_client.subspan(count);
        for (;;) {
            const auto message = copy(inbox);
            const auto event = server.take(message);
            expect(event.size <= message.size());
            if (event.kind == Kind::need_more) break;
            switch (event.kind) {
            case Kind::greeting:
                say(server.choose(methods));
                expect(server.method() == Method::no_acceptable || methods.contains(server.method()));
                if (server.method() == Method::no_acceptable) return outbox;
                break;
            case Kind::password: {
                const bool right = server.username() == server.password();
                say(server.authenticated(right));
                if (!right) return outbox;
                break;
            }
            case Kind::token: {
                const bool right = server.token().size() >= shortest_token;
                say(server.authenticated(right));
                if (!right) return outbox;
                break;
            }
            case Kind::request: {
                const auto& request = server.request();
                const bool hold = (request.flag & flag_hold) != 0;
                if (request.command == Command::open_session) say(server.session_opened({}));
                else say(server.reply(Reply::succeeded, request.destination, hold));
                break;
            }
            case Kind::unknown_address_type:
                say(server.reply(Reply::address_type_not_supported));
                return outbox;
            case Kind::malformed: return outbox;
            case Kind::need_more: break;
            }
            expect(event.size > 0);
            inbox.erase(inbox.begin(), inbox.begin() + static_cast<std::ptrdiff_t>(event.size));
        }
    }
    say(inbox);
    return outbox;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto wanted = input.choice();
    MethodList methods;
    if ((wanted & 1) != 0) methods.add(Method::password);
    if ((wanted & 2) != 0) methods.add(Method::none);
    if ((wanted & 4) != 0) methods.add(Method::gssapi);
    if ((wanted & 8) != 0) methods.add(Method::session);
    const std::size_t piece = 1U + input.choice();
    expect(run(methods, input.rest(), input.rest().size()) == run(methods, input.rest(), piece));
    return 0;
}
