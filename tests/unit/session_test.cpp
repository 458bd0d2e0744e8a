#include "socksify/session.hpp"

#include "support/join.hpp"
#include "support/readers.hpp"

using namespace socksify;
using namespace socksify::test;
using What = ClientHandshake::Step::What;
using Then = Scripted::Then;

namespace {

const auto write = [](const auto& message) { return copy(encode(message)); };
constexpr std::string_view sixteen = "a0 a1 a2 a3 a4 a5 a6 a7 a8 a9 aa ab ac ad ae af";
const auto token = octets(sixteen);

SessionGrant grant_of(Bytes octets, std::uint32_t lifetime) {
    SessionGrant grant;
    grant.token.put(octets);
    grant.lifetime = lifetime;
    return grant;
}

ClientPlan by_token(bool pipelined) {
    ClientPlan plan;
    plan.destination = {Host::name("example.com").value(), 443};
    plan.methods = {Method::session};
    plan.token = token;
    plan.pipelined = pipelined;
    return plan;
}

ClientPlan opening() {
    ClientPlan plan;
    plan.command = Command::open_session;
    plan.methods = {Method::password};
    plan.username = "me";
    plan.password = "secret";
    return plan;
}

Proxy proxy_with_sessions() {
    Proxy proxy;
    proxy.methods = {Method::session, Method::password};
    proxy.username = "me";
    proxy.password = "secret";
    proxy.session = grant_of(token, 300);
    return proxy;
}

} // namespace

TEST_CASE("a session's token and how long it outlives its control connection") {
    const auto grant = octets("10") + token + octets("00 00 01 2c");
    check_codec(parse_session_grant, write, grant);
    CHECK(parse_session_grant(grant).value.lifetime == 300);
    CHECK(hex(parse_session_grant(grant).value.token) == sixteen);
    check_codec(parse_session_grant, write, octets("ff") + Octets(255, 7) + octets("ff ff ff ff"));
}

TEST_CASE("a token that could be guessed is none") {
    for (const auto* const length : {"00", "01", "0f"}) check_malformed(parse_session_grant, octets(length));
}

TEST_CASE("a token is shown as a password is, and one of any length is a token") {
    check_codec(parse_token_request, write, octets("01 10") + token);
    check_codec(parse_token_request, write, octets("01 00"));
    check_codec(parse_token_request, write, octets("01 ff") + Octets(255, 7));
    check_malformed(parse_token_request, octets("05"));
    check_malformed(parse_token_request, octets("00 10"));
    const Octets too_long(300, 7);
    CHECK(encode(TokenRequest{too_long}).size() == 2 + 255);
}

TEST_CASE(
    "a session is opened by a request to nowhere, and its token read to the last octet and no further") {
    auto plan = opening();
    plan.pipelined = true;
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{11}}) {
        ClientHandshake client(plan);
        CHECK(hex(client.step().out.last(10)) == "05 a0 00 01 00 00 00 00 00 00");
        Served served(proxy_with_sessions());
        CHECK(join(client, served, piece).round_trips <= 2);
        REQUIRE(client.step().what == What::done);
        CHECK(hex(client.session().token) == sixteen);
        CHECK(client.session().lifetime == 300);
        CHECK(served.outbox.empty());
        // The connection carries nothing more.
        CHECK(copy(served.machine().offered().octets()) == octets("02"));
    }
}

TEST_CASE("a session that is refused, or whose token never comes whole, is none") {
    const auto refused = [](std::string_view answer) {
        ClientHandshake client(opening());
        Scripted proxy({"05 02", "01 00", answer}, Then::closes);
        CHECK(!join(client, proxy).waits);
        CHECK(client.step().what == What::failed);
        CHECK(client.phase() == Phase::command);
        return client.failure();
    };
    CHECK(refused("05 a4 00 01 00 00 00 00 00 00") == Failure::command_refused);
    CHECK(refused("05 00 00 01 00 00 00 00 00 00") == Failure::closed);
    CHECK(refused("05 00 00 01 00 00 00 00 00 00 10 a0 a1") == Failure::closed);
    CHECK(refused("05 00 00 01 00 00 00 00 00 00 0f a0 a1") == Failure::malformed);
}

TEST_CASE("by token: greeting, token and request in one segment, and one round trip") {
    auto proxy = proxy_with_sessions();
    proxy.first_data = octets("53 53 48 2d");
    ClientHandshake first(by_token(true));
    CHECK(copy(first.step().out) == octets("05 01 a0  01 10") + token +
                                        octets("05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb"));
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{3}}) {
        ClientHandshake client(by_token(true));
        Served served(proxy);
        CHECK(join(client, served, piece).round_trips == 1);
        REQUIRE(client.step().what == What::done);
        CHECK(client.method() == Method::session);
        CHECK(served.outbox == proxy.first_data);
        CHECK(served.requests.size() == 1);
    }
    ClientHandshake in_turn(by_token(false));
    Served served(proxy);
    CHECK(join(in_turn, served).round_trips == 3);
    CHECK(in_turn.step().what == What::done);
}

TEST_CASE("the longest token and the longest name fit into one segment") {
    const Octets longest(255, 7);
    auto plan = by_token(true);
    plan.token = longest;
    plan.destination = {Host::name(std::string(255, 'n')).value(), 1};
    CHECK(ClientHandshake(plan).step().out.size() == 3 + 257 + 262);
}

TEST_CASE("a token that the proxy doesn't know: told from a wrong password, and the request goes nowhere") {
    for (const bool pipelined : {true, false}) {
        auto proxy = proxy_with_sessions();
        proxy.session.token.clear();
        proxy.session.token.put(Octets(16, 9));
        ClientHandshake client(by_token(pipelined));
        Served served(proxy);
        join(client, served);
        check_not_let_in(client, served, Failure::token_refused);
    }
}

TEST_CASE("a proxy that has no sessions any more chooses no method") {
    auto proxy = proxy_with_sessions();
    proxy.methods = {Method::password};
    ClientHandshake client(by_token(true));
    Served served(proxy);
    join(client, served);
    CHECK(client.failure() == Failure::no_acceptable_method);
    CHECK(client.phase() == Phase::greeting);
}
