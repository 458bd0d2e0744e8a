// The client machine against a proxy that says anything. First octet: what the client wants and what it
// offers; second: how large the pieces are; then the proxy's octets, and the end of the connection.
#include "fuzz.hpp"

#include "socksify/handshake.hpp"

#include <utility>

using namespace socksify;
using namespace socksify::fuzz;
using What = ClientHandshake::Step::What;

namespace {

struct Result {
    Failure failure;
    Phase phase;
    Reply reply;
    Method method;
    bool has_features;
    Octets said; ///< by the client

    friend bool operator==(const Result&, const Result&) = default;
};

bool has_command(const ClientPlan& plan) {
    return plan.exchange != Exchange::features && plan.exchange != Exchange::hold;
}
bool is_held(const ClientPlan& plan) { return plan.exchange == Exchange::held_command; }

Result run(const ClientPlan& plan, Bytes from_proxy, std::size_t piece) {
    ClientHandshake client(plan);
    Octets said;
    bool second = false; // BIND is done twice
    for (;;) {
        const auto step = client.step();
        switch (step.what) {
        case What::send: {
            expect(!step.out.empty());
            const auto part = step.out.first(std::min(piece, step.out.size()));
            said.insert(said.end(), part.begin(), part.end());
            client.sent(part.size());
            break;
        }
        case What::receive: {
            expect(step.room > 0);
            const auto count = std::min({step.room, piece, from_proxy.size()});
            if (count == 0) {
                client.ended();
                expect(client.step().what != What::receive);
                break;
            }
            client.received(copy(from_proxy.first(count)));
            from_proxy = from_proxy.subspan(count);
            break;
        }
        case What::done:
            if (plan.command == Command::bind && has_command(plan) && !std::exchange(second, true)) {
                client.await_peer();
                expect(client.step().what == What::receive);
                break;
            }
            expect(client.failure() == Failure::none && client.phase() == Phase::over);
            expect(client.reply() == Reply::succeeded);
            expect(is_held(plan) || plan.methods.contains(client.method()));
            if (plan.command == Command::open_session && has_command(plan))
                expect(client.session().token.size() >= shortest_token);
            expect(client.has_features() == (plan.exchange != Exchange::command && !is_held(plan)));
            return {client.failure(), client.phase(),        client.reply(),
                    client.method(),  client.has_features(), said};
        case What::failed:
            expect(client.failure() != Failure::none && client.phase() != Phase::over);
            return {client.failure(), client.phase(),        client.reply(),
                    client.method(),  client.has_features(), said};
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Input input(data, size);
    const auto wanted = input.choice();
    const auto token = as_bytes("sixteen octets..");
    ClientPlan plan;
    plan.exchange = static_cast<Exchange>(wanted % 3);
    plan.destination = Endpoint{Host::name("example.com").value(), 443};
    plan.methods = {};
    if ((wanted & 4) != 0) plan.methods.add(Method::none);
    if ((wanted & 8) != 0) plan.methods.add(Method::password);
    if ((wanted & 16) != 0) plan.methods.add(Method::gssapi);
    if ((wanted & 128) != 0) plan.methods.add(Method::session);
    if ((wanted & 32) != 0) plan.command = (wanted & 128) != 0 ? Command::open_session : Command::bind;
    plan.pipelined = (wanted & 64) != 0;
    plan.username = "me";
    plan.password = "secret";
    plan.token = token;
    const std::size_t piece = 1U + input.choice();
    const auto compare = [&] {
        const auto whole = run(plan, input.rest(), std::max<std::size_t>(input.rest().size(), 1000));
        const auto pieces = run(plan, input.rest(), piece);
        // Octets behind an FDL on a held connection are seen only if they come together with it.
        const bool may_be_held =
            plan.exchange == Exchange::features_then_command || plan.exchange == Exchange::hold;
        if (!may_be_held) expect(whole == pieces);
    };
    compare();
    if (plan.exchange == Exchange::features) return 0;
    // The same octets where the command is not said yet, or is all that is said.
    plan.exchange = plan.exchange == Exchange::command ? Exchange::held_command : Exchange::hold;
    compare();
    return 0;
}
