#include "socksify/handshake.hpp"

#include "support/join.hpp"

using namespace socksify;
using namespace socksify::test;
using What = ClientHandshake::Step::What;
using Then = Scripted::Then;

namespace {

const Endpoint destination{Host::name("example.com").value(), 443};

ClientPlan plan_for(Exchange exchange) {
    ClientPlan plan;
    plan.exchange = exchange;
    plan.destination = destination;
    return plan;
}

ClientPlan with_password(ClientPlan plan, std::string_view username = "me",
                         std::string_view password = "secret") {
    plan.methods = {Method::none, Method::password};
    plan.username = username;
    plan.password = password;
    return plan;
}

Proxy password_proxy() {
    Proxy proxy;
    proxy.methods = {Method::password};
    proxy.username = "me";
    proxy.password = "secret";
    return proxy;
}

Proxy listing_proxy() {
    Proxy proxy;
    proxy.features.add(Tag::socks, 5);
    proxy.features.add(Tag::command, 1);
    proxy.features.add(Tag::command, 0x10, octets("01"));
    return proxy;
}

bool is_done(const ClientHandshake& client) { return client.step().what == What::done; }

/// The client that is left when the proxy has given these answers.
ClientHandshake told(const ClientPlan& plan, std::initializer_list<std::string_view> answers,
                     Then then = Then::closes) {
    ClientHandshake client(plan);
    Scripted proxy(answers, then);
    const auto talk = join(client, proxy);
    CHECK(!talk.waits);
    return client;
}

constexpr std::string_view no_auth = "05 00";
constexpr std::string_view not_granted = "05 00 00 01 00 00 00 00 00 00";

} // namespace

TEST_CASE("without authentication: two round trips, and the next octet is the program's") {
    Proxy proxy;
    proxy.bound = Endpoint::parse("192.0.2.1:40000").value();
    proxy.first_data = octets("53 53 48 2d");
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{3}}) {
        INFO("octets per delivery: ", piece);
        ClientHandshake client(plan_for(Exchange::command));
        Served served(proxy);
        CHECK(join(client, served, piece).round_trips == 2);
        REQUIRE(is_done(client));
        CHECK(client.phase() == Phase::over);
        CHECK(client.failure() == Failure::none);
        CHECK(client.method() == Method::none);
        CHECK(client.reply() == Reply::succeeded);
        CHECK(client.bound() == proxy.bound);
        CHECK(!client.has_features());
        CHECK(served.outbox == proxy.first_data);
        REQUIRE(served.requests.size() == 1);
        CHECK(served.requests[0].command == Command::connect);
        CHECK(served.requests[0].flag == 0);
        CHECK(served.requests[0].destination == destination);
    }
}

TEST_CASE("with a password: three round trips") {
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{7}}) {
        ClientHandshake client(with_password(plan_for(Exchange::command)));
        Served served(password_proxy());
        CHECK(join(client, served, piece).round_trips == 3);
        REQUIRE(is_done(client));
        CHECK(client.method() == Method::password);
    }
}

TEST_CASE("the longest user name and password arrive whole") {
    const std::string username(255, 'u');
    const std::string password(255, 'p');
    auto proxy = password_proxy();
    proxy.username = username;
    proxy.password = password;
    ClientHandshake client(with_password(plan_for(Exchange::command), username, password));
    Served served(proxy);
    join(client, served, 100);
    CHECK(is_done(client));
}

TEST_CASE("a wrong password is the proxy's refusal, not the destination's") {
    for (const auto& [username, password] :
         {std::pair{"me", "wrong"}, std::pair{"other", "secret"}, std::pair{"", ""}, std::pair{"me", ""}}) {
        ClientHandshake client(with_password(plan_for(Exchange::command), username, password));
        Served served(password_proxy());
        join(client, served);
        check_not_let_in(client, served, Failure::authentication_refused);
    }
}

TEST_CASE("the cheapest method that both sides have is taken") {
    auto proxy = password_proxy();
    proxy.methods = {Method::none, Method::password};
    ClientHandshake client(with_password(plan_for(Exchange::command)));
    Served served(proxy);
    CHECK(join(client, served).round_trips == 2);
    CHECK(client.method() == Method::none);
    CHECK(served.machine().offered().contains(Method::password));
}

TEST_CASE("no method in common") {
    ClientHandshake client(plan_for(Exchange::command));
    Served served(password_proxy());
    join(client, served);
    CHECK(client.failure() == Failure::no_acceptable_method);
    CHECK(client.phase() == Phase::greeting);
    CHECK(client.method() == Method::no_acceptable);
    CHECK(served.closed);
}

TEST_CASE("a plan without a method sends nothing, for a greeting without one is no message") {
    auto plan = plan_for(Exchange::command);
    plan.methods = {};
    const ClientHandshake client(plan);
    CHECK(client.step().what == What::failed);
    CHECK(client.failure() == Failure::no_acceptable_method);
}

TEST_CASE("a server that chooses what was not offered gets no password and no request") {
    for (const std::string_view choice : {"05 02", "05 01", "05 80", "05 03"}) {
        INFO(choice);
        ClientHandshake client(plan_for(Exchange::command));
        Scripted proxy({choice}, Then::stays);
        join(client, proxy);
        CHECK(client.failure() == Failure::method_not_offered);
        CHECK(proxy.messages.size() == 1);
    }
}

TEST_CASE("a method that this client can't carry out is never taken for none") {
    auto plan = plan_for(Exchange::command);
    plan.methods = {Method::gssapi};
    const auto client = told(plan, {"05 01"});
    CHECK(client.failure() == Failure::method_not_offered);
}

TEST_CASE("LIST-FEATURES alone: a probe, for no specific host, without a hold") {
    const auto proxy = listing_proxy();
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{5}}) {
        ClientHandshake client(plan_for(Exchange::features));
        Served served(proxy);
        CHECK(join(client, served, piece).round_trips == 2);
        REQUIRE(is_done(client));
        REQUIRE(client.has_features());
        CHECK(client.take_features() == proxy.features);
        REQUIRE(served.requests.size() == 1);
        CHECK(served.requests[0].command == Command::list_features);
        CHECK(served.requests[0].flag == 0);
        CHECK(served.requests[0].destination == Endpoint{});
    }
}

TEST_CASE("LIST-FEATURES carries the host of interest") {
    auto plan = plan_for(Exchange::features);
    plan.host_of_interest = destination;
    ClientHandshake client(plan);
    Served served(listing_proxy());
    join(client, served);
    REQUIRE(served.requests.size() == 1);
    CHECK(served.requests[0].destination == destination);
}

TEST_CASE("a held connection carries the command after the list: three round trips") {
    auto proxy = listing_proxy();
    proxy.first_data = octets("01 02 03");
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{4}}) {
        ClientHandshake client(plan_for(Exchange::features_then_command));
        Served served(proxy);
        CHECK(join(client, served, piece).round_trips == 3);
        REQUIRE(is_done(client));
        CHECK(client.take_features() == proxy.features);
        CHECK(served.outbox == proxy.first_data);
        REQUIRE(served.requests.size() == 2);
        CHECK(served.requests[0].flag == flag_hold);
        CHECK(served.requests[1].command == Command::connect);
        CHECK(served.requests[1].destination == destination);
    }
}

TEST_CASE("to hold is done with the list, and the command alone follows: one round trip") {
    auto proxy = listing_proxy();
    proxy.first_data = octets("01 02 03");
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{4}}) {
        Served served(proxy);
        ClientHandshake hold(plan_for(Exchange::hold));
        CHECK(join(hold, served, piece).round_trips == 2);
        REQUIRE(is_done(hold));
        CHECK(hold.phase() == Phase::over);
        CHECK(hold.take_features() == proxy.features);

        ClientHandshake command(plan_for(Exchange::held_command));
        CHECK(command.phase() == Phase::command);
        CHECK(join(command, served, piece).round_trips == 1);
        REQUIRE(is_done(command));
        CHECK(served.outbox == proxy.first_data);
        REQUIRE(served.requests.size() == 2);
        CHECK(served.requests[0].flag == flag_hold);
        CHECK(served.requests[1].flag == 0);
        CHECK(served.requests[1].destination == destination);
    }
}

TEST_CASE("to hold takes one round trip where messages may be sent ahead") {
    auto plan = with_password(plan_for(Exchange::hold));
    plan.methods = {Method::password};
    plan.pipelined = true;
    auto proxy = listing_proxy();
    proxy.methods = {Method::password};
    proxy.username = "me";
    proxy.password = "secret";
    Served served(proxy);
    ClientHandshake hold(plan);
    CHECK(join(hold, served).round_trips == 1);
    CHECK(is_done(hold));
}

TEST_CASE("a connection that is not held can't be held ready, nor used, and still brings the list") {
    auto proxy = listing_proxy();
    proxy.holds = false;
    for (const auto exchange : {Exchange::hold, Exchange::features_then_command}) {
        ClientHandshake client(plan_for(exchange));
        Served served(proxy);
        join(client, served);
        CHECK(client.failure() == Failure::not_held);
        REQUIRE(client.has_features());
        CHECK(client.take_features() == proxy.features);
        CHECK(served.requests.size() == 1);
    }
}

TEST_CASE("a probe does not care whether it is held") {
    auto client =
        told(plan_for(Exchange::features), {no_auth, "05 00 01 01 00 00 00 00 00 00 01 05 00 ff 00 00"});
    CHECK(is_done(client));
}

TEST_CASE("the ways to say that there is no LIST-FEATURES") {
    struct Way {
        std::string_view answer;
        Failure failure;
        Reply reply = Reply::succeeded;
    };
    for (const auto& way : {
             Way{"05 07 00 01 00 00 00 00 00 00", Failure::features_refused, Reply::command_not_supported},
             Way{"05 01 00 01 00 00 00 00 00 00", Failure::features_refused, Reply::general_failure},
             Way{"05 07 00 01", Failure::features_refused, Reply::command_not_supported}, // shadowsocks-libev
             Way{"05 07 00 00 00 00 00 00 00 00", Failure::features_refused, Reply::command_not_supported},
             Way{"", Failure::closed}, // Dante, ssh -D
             Way{"05", Failure::closed},
             Way{"05 00 00 01 00 00 00 00 00 00", Failure::features_not_a_list}, // and then nothing
             Way{"05 00 00 01 00 00 00 00 00 00 48 54 54 50", Failure::features_not_a_list},
             Way{"48 54 54 50 2f 31 2e 31 20 34 30 30", Failure::malformed},
         }) {
        for (const auto exchange : {Exchange::features, Exchange::features_then_command, Exchange::hold}) {
            INFO("answer: ", way.answer);
            const auto client = told(plan_for(exchange), {no_auth, way.answer});
            CHECK(client.failure() == way.failure);
            CHECK(client.phase() == Phase::features);
            CHECK(!client.has_features());
            CHECK(client.reply() == way.reply);
        }
    }
}

TEST_CASE("silence is the caller's to end, and says where it happened") {
    struct Silence {
        std::vector<Octets> before;
        Phase phase;
    };
    for (const auto& [before, phase] :
         {Silence{{}, Phase::greeting}, Silence{{octets(no_auth)}, Phase::features}}) {
        ClientHandshake client(plan_for(Exchange::features));
        Scripted proxy(before, Then::stays);
        CHECK(join(client, proxy).waits);
        CHECK(client.phase() == phase);
        client.ended();
        CHECK(client.failure() == Failure::closed);
        CHECK(client.phase() == phase);
    }
}

TEST_CASE("a list without END ends with the connection, if that was not held") {
    auto client = told(plan_for(Exchange::features), {no_auth, "05 00 00 01 00 00 00 00 00 00 01 05 00"});
    CHECK(is_done(client));
    CHECK(client.take_features().supports_version(5) == Support::yes);
}

TEST_CASE("a list that a reset or the caller's timer ends between two entries may have been longer") {
    ClientHandshake client(plan_for(Exchange::features));
    Scripted proxy({no_auth, "05 00 00 01 00 00 00 00 00 00 02 01 00"}, Then::stays);
    CHECK(join(client, proxy).waits);
    client.broken_off();
    CHECK(client.failure() == Failure::features_not_a_list);
    CHECK(!client.has_features());
}

TEST_CASE("a bare FF is the list's end, whatever ends the wait for the rest of it") {
    ClientHandshake client(plan_for(Exchange::features));
    Scripted proxy({no_auth, "05 00 00 01 00 00 00 00 00 00 02 01 00 ff"}, Then::stays);
    CHECK(join(client, proxy).waits);
    client.broken_off();
    CHECK(is_done(client));
    CHECK(client.take_features().supports(AddressType::ipv4) == Support::yes);
}

TEST_CASE("a held connection that closes inside the list has cut it") {
    auto client =
        told(plan_for(Exchange::features_then_command), {no_auth, "05 00 01 01 00 00 00 00 00 00 01 05 00"});
    CHECK(client.failure() == Failure::features_not_a_list);
    CHECK(!client.has_features());
}

TEST_CASE("a bare FF on a held connection: the caller's timer ends the wait, and the list is good") {
    ClientHandshake client(plan_for(Exchange::features_then_command));
    Scripted proxy({no_auth, "05 00 01 01 00 00 00 00 00 00 01 05 00 ff"}, Then::stays);
    CHECK(join(client, proxy).waits);
    CHECK(client.phase() == Phase::features);
    client.ended();
    CHECK(client.failure() == Failure::not_held);
    REQUIRE(client.has_features());
    CHECK(client.take_features().supports_version(5) == Support::yes);
}

TEST_CASE("octets after END on a held connection are not what the draft describes") {
    auto client = told(plan_for(Exchange::features_then_command),
                       {no_auth, "05 00 01 01 00 00 00 00 00 00 01 05 00 ff 00 00 05"}, Then::stays);
    CHECK(client.failure() == Failure::features_not_a_list);
}

TEST_CASE("a hostile list without end fails at the limit, in bounded memory") {
    ClientHandshake client(plan_for(Exchange::features));
    Scripted proxy({octets(no_auth), octets(not_granted) + Octets(std::size_t{1} << 20, 0x55)}, Then::stays);
    CHECK(!join(client, proxy).waits);
    CHECK(client.failure() == Failure::features_not_a_list);
    CHECK(proxy.outbox.size() > (std::size_t{1} << 20) - 2 * FeatureReader::most_octets);
}

TEST_CASE("a refused command keeps its REP, and the list that came before it") {
    for (const auto reply :
         {Reply::connection_refused, Reply::host_unreachable, Reply::not_allowed_by_ruleset}) {
        auto proxy = listing_proxy();
        proxy.reply = reply;
        for (const auto exchange : {Exchange::command, Exchange::features_then_command}) {
            ClientHandshake client(plan_for(exchange));
            Served served(proxy);
            join(client, served);
            CHECK(client.failure() == Failure::command_refused);
            CHECK(client.phase() == Phase::command);
            CHECK(client.reply() == reply);
            CHECK(client.has_features() == (exchange == Exchange::features_then_command));
        }
    }
}

TEST_CASE("a refusal is final even when its address never comes, nor the end of the connection") {
    for (const std::string_view cut : {"05 05", "05 05 00", "05 05 00 01", "05 05 00 03 09 6e"})
        for (const auto then : {Then::closes, Then::stays}) {
            INFO(cut);
            const auto refused = told(plan_for(Exchange::command), {no_auth, cut}, then);
            CHECK(refused.failure() == Failure::command_refused);
            CHECK(refused.reply() == Reply::connection_refused);
        }
    const auto client = told(plan_for(Exchange::command), {no_auth, "05 05"});
    CHECK(client.failure() == Failure::command_refused);
    CHECK(client.reply() == Reply::connection_refused);
    CHECK(client.bound() == Endpoint{});
}

TEST_CASE("a success whose address never comes is none") {
    for (const std::string_view cut :
         {"", "05", "05 00", "05 00 00", "05 00 00 01", "05 00 00 01 00 00 00 00 00"}) {
        INFO(cut);
        const auto client = told(plan_for(Exchange::command), {no_auth, cut});
        CHECK(client.failure() == Failure::closed);
        CHECK(client.phase() == Phase::command);
    }
}

TEST_CASE("a server that closes early is told apart from one that refuses") {
    CHECK(told(plan_for(Exchange::command), {""}).failure() == Failure::closed);
    CHECK(told(plan_for(Exchange::command), {"05"}).failure() == Failure::closed);
    CHECK(told(with_password(plan_for(Exchange::command)), {"05 02", ""}).failure() == Failure::closed);
    CHECK(told(with_password(plan_for(Exchange::command)), {"05 02", "01"}).failure() == Failure::closed);
}

TEST_CASE("garbage is malformed at the first octet that is wrong") {
    CHECK(told(plan_for(Exchange::command), {"48 54 54 50"}, Then::stays).failure() == Failure::malformed);
    CHECK(told(plan_for(Exchange::command), {"04 00"}, Then::stays).failure() == Failure::malformed);
    CHECK(told(plan_for(Exchange::command), {no_auth, "04 00"}, Then::stays).failure() == Failure::malformed);
    CHECK(told(plan_for(Exchange::command), {no_auth, "05 00 00 07 00 00"}, Then::stays).failure() ==
          Failure::malformed);
}

TEST_CASE("the room that the client asks for is never more than the message") {
    ClientHandshake client(plan_for(Exchange::command));
    client.sent(client.step().out.size());
    CHECK(client.step().room == 2);
    client.received(octets("05"));
    CHECK(client.step().room == 1);
    client.received(octets("00"));
    client.sent(client.step().out.size());
    CHECK(client.step().room == 5);
    client.received(octets("05 00 00 03 02"));
    CHECK(client.step().room == 4);
    client.received(octets("6e 73 00 35"));
    CHECK(is_done(client));
    CHECK(client.bound().host.name() == "ns");
}

TEST_CASE("a message that goes out in parts is the same message") {
    ClientHandshake client(with_password(plan_for(Exchange::command)));
    CHECK(hex(client.step().out) == "05 02 00 02");
    client.sent(1);
    CHECK(hex(client.step().out) == "02 00 02");
    client.sent(3);
    CHECK(client.step().what == What::receive);
}

TEST_CASE("a finished handshake stays finished") {
    auto client = told(plan_for(Exchange::command), {no_auth, not_granted});
    REQUIRE(is_done(client));
    client.ended();
    CHECK(is_done(client));
    auto failed = told(plan_for(Exchange::command), {"05 ff"});
    failed.ended();
    CHECK(failed.failure() == Failure::no_acceptable_method);
}

// --- the server's side ---

TEST_CASE("greeting, password, request and early data in one segment are answered in order") {
    const auto burst = copy(encode(Greeting{{Method::password}})) + encode(PasswordRequest{"me", "secret"}) +
                       encode(Request{Command::connect, 0, destination}) + octets("47 45 54 20");
    for (const std::size_t piece : {burst.size(), std::size_t{1}, std::size_t{2}, std::size_t{11}}) {
        INFO("octets per delivery: ", piece);
        Served served(password_proxy());
        for (std::size_t at = 0; at < burst.size(); at += piece)
            served.arrive(Bytes(burst).subspan(at, std::min(piece, burst.size() - at)));
        CHECK(hex(served.outbox) == "05 02 01 00 05 00 00 01 00 00 00 00 00 00");
        REQUIRE(served.requests.size() == 1);
        CHECK(served.requests[0].destination == destination);
        CHECK(hex(served.unread()) == "47 45 54 20");
        CHECK(!served.closed);
    }
}

TEST_CASE("LIST-FEATURES with a hold and the command behind it may come in one segment") {
    Served served(listing_proxy());
    served.arrive(copy(encode(Greeting{{Method::none}})) +
                  encode(Request{Command::list_features, flag_hold, {}}) +
                  encode(Request{Command::connect, 0, destination}) + octets("01"));
    CHECK(served.outbox ==
          octets("05 00  05 00 01 01 00 00 00 00 00 00  01 05 00 04 01 00 04 10 01 01 ff 00 00"
                 "05 00 00 01 00 00 00 00 00 00"));
    CHECK(hex(served.unread()) == "01");
}

TEST_CASE("a held connection may be held again, and anything else ends it") {
    Served served(listing_proxy());
    served.arrive(encode(Greeting{{Method::none}}));
    const Request list{Command::list_features, flag_hold, {}};
    for (int i = 0; i < 3; ++i) {
        served.arrive(encode(list));
        CHECK(!served.closed);
    }
    served.arrive(encode(Request{Command::list_features, 0, {}}));
    CHECK(served.closed);
    CHECK(served.requests.size() == 4);
}

TEST_CASE("a hold is granted to nothing but a successful LIST-FEATURES") {
    const auto asked = [](Command command) {
        ServerHandshake server;
        server.take(encode(Greeting{{Method::none}}));
        static_cast<void>(server.choose({Method::none}));
        server.take(encode(Request{command, flag_hold, {}}));
        return server;
    };
    CHECK(hex(asked(Command::connect).reply(Reply::succeeded, {}, true)) == "05 00 00 01 00 00 00 00 00 00");
    CHECK(hex(asked(Command::list_features).reply(Reply::not_allowed_by_ruleset, {}, true)) ==
          "05 02 00 01 00 00 00 00 00 00");
    CHECK(hex(asked(Command::list_features).reply(Reply::succeeded, {}, true)) ==
          "05 00 01 01 00 00 00 00 00 00");
    CHECK(hex(asked(Command::list_features).reply(Reply::succeeded)) == "05 00 00 01 00 00 00 00 00 00");
}

TEST_CASE("what comes before the answer is due waits for it") {
    using Kind = ServerHandshake::Event::Kind;
    ServerHandshake server;
    const auto burst = copy(encode(Greeting{{Method::password}})) + encode(PasswordRequest{"a", "b"});
    const auto greeting = server.take(burst);
    REQUIRE(greeting.kind == Kind::greeting);
    const auto rest = Bytes(burst).subspan(greeting.size);
    CHECK(server.take(rest).kind == Kind::need_more);
    CHECK(server.take(rest).size == 0);
    static_cast<void>(server.choose({Method::password}));
    CHECK(server.take(rest).kind == Kind::password);
    CHECK(server.username() == "a");
    CHECK(server.password() == "b");
    static_cast<void>(server.authenticated(true));
    CHECK(server.username().empty());
    CHECK(server.password().empty());
}

TEST_CASE("the server's order of methods counts, not the client's") {
    ServerHandshake server;
    server.take(encode(Greeting{{Method::none, Method::password}}));
    CHECK(hex(server.choose({Method::password, Method::none})) == "05 02");
}

TEST_CASE("a request with an unknown address type gets its own REP, garbage gets none") {
    Served served(Proxy{});
    served.arrive(copy(encode(Greeting{{Method::none}})) + octets("05 01 00 02 00 00"));
    CHECK(hex(served.outbox) == "05 00 05 08 00 01 00 00 00 00 00 00");
    CHECK(served.closed);
    Served garbage(Proxy{});
    garbage.arrive(octets("47 45 54 20 2f"));
    CHECK(garbage.outbox.empty());
    CHECK(garbage.closed);
    Served late(Proxy{});
    late.arrive(copy(encode(Greeting{{Method::none}})) + octets("47 45 54 20"));
    CHECK(hex(late.outbox) == "05 00");
    CHECK(late.closed);
}

TEST_CASE("a client that skips its password gets no further") {
    Served served(password_proxy());
    served.arrive(copy(encode(Greeting{{Method::password}})) +
                  encode(Request{Command::connect, 0, destination}));
    CHECK(hex(served.outbox) == "05 02");
    CHECK(served.closed);
    CHECK(served.requests.empty());
}

namespace {

ClientPlan plan_to_bind() {
    auto plan = plan_for(Exchange::command);
    plan.command = Command::bind;
    plan.destination = Endpoint::parse("192.0.2.9:0").value();
    return plan;
}

constexpr std::string_view listens = "05 00 00 01 c6 33 64 01 1f 90";
constexpr std::string_view peer_came = "05 00 00 01 c0 00 02 09 9c 40";

/// The client of a proxy that answers all at once, after it was done for the first time.
ClientHandshake bound_client(Scripted& proxy, std::size_t piece = all_at_once) {
    ClientHandshake client(plan_to_bind());
    join(client, proxy, piece);
    REQUIRE(is_done(client));
    CHECK(client.phase() == Phase::over);
    CHECK(client.bound() == Endpoint::parse("198.51.100.1:8080").value());
    return client;
}

} // namespace

TEST_CASE("BIND is done twice: where the proxy listens, then who has come") {
    for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{3}}) {
        INFO("octets per delivery: ", piece);
        // The replies and the peer's first octets lie there all at once: each takes its own.
        Scripted proxy(std::vector<Octets>{}, Then::stays);
        proxy.outbox = octets(no_auth) + octets(listens) + octets(peer_came) + octets("68 69");
        ClientHandshake client(plan_to_bind());
        join(client, proxy, piece);
        REQUIRE(is_done(client));
        CHECK(client.bound() == Endpoint::parse("198.51.100.1:8080").value());
        client.await_peer();
        CHECK(client.step().what == What::receive);
        CHECK(client.phase() == Phase::command);
        join(client, proxy, piece);
        REQUIRE(is_done(client));
        CHECK(client.phase() == Phase::over);
        CHECK(client.bound() == Endpoint::parse("192.0.2.9:40000").value());
        CHECK(proxy.outbox == octets("68 69"));
        client.await_peer(); // there is no third
        CHECK(is_done(client));
    }
}

TEST_CASE("a peer that never comes: refused, or the proxy is gone") {
    Scripted refusing({no_auth, listens}, Then::stays);
    auto refused = bound_client(refusing);
    refused.await_peer();
    refused.received(octets("05 06"));
    CHECK(refused.failure() == Failure::command_refused);
    CHECK(refused.reply() == Reply::ttl_expired);
    Scripted closing({no_auth, listens}, Then::stays);
    auto left = bound_client(closing);
    left.await_peer();
    left.ended();
    CHECK(left.failure() == Failure::closed);
    CHECK(left.phase() == Phase::command);
}

TEST_CASE("only BIND has a second reply") {
    auto client = told(plan_for(Exchange::command), {no_auth, not_granted}, Then::stays);
    REQUIRE(is_done(client));
    client.await_peer();
    CHECK(is_done(client));
    ClientHandshake early(plan_to_bind());
    early.await_peer();
    CHECK(early.step().what == What::send);
}

namespace {

constexpr std::string_view granted_hold = "05 00 01 01 00 00 00 00 00 00";
constexpr std::string_view listens_as_wished = "05 00 01 01 c6 33 64 01 1f 90";
constexpr std::string_view lists_listen =
    "04 01 00  04 a1 01 01  04 a2 01 01  80 00 08 73 6f 63 6b 73 69 66 79  ff 00 00";

/// LISTEN for a port, or else BIND for another one, to tell them apart.
ClientPlan plan_to_listen() {
    auto plan = plan_for(Exchange::features_then_command);
    plan.command = Command::listen;
    plan.flag = 0x01;
    plan.destination = Endpoint::parse("0.0.0.0:8080").value();
    static const std::array otherwise{Request{Command::bind, 0, Endpoint::parse("[::]:8081").value()},
                                      Request{Command::bind, 0, Endpoint::parse("0.0.0.0:8081").value()}};
    plan.otherwise = otherwise;
    return plan;
}

} // namespace

TEST_CASE("of two ways to ask, the list that comes on the connection decides") {
    struct Listed {
        std::string_view list;
        std::string_view request;
        Command command;
    };
    for (const auto& listed : {
             Listed{lists_listen, "05 a1 01 01 00 00 00 00 1f 90", Command::listen},
             Listed{"04 02 00  02 01 00  ff 00 00", "05 02 00 01 00 00 00 00 1f 91",
                    Command::bind},       // no IPv6
             Listed{"01 05 00  ff 00 00", // of commands and addresses, nothing
                    "05 02 00 04 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 1f 91", Command::bind},
         }) {
        INFO(listed.list);
        ClientHandshake client(plan_to_listen());
        CHECK(client.command() == Command::listen);
        Scripted proxy({octets(no_auth), octets(granted_hold) + octets(listed.list), octets(listens)},
                       Then::stays);
        join(client, proxy);
        REQUIRE(is_done(client));
        CHECK(client.command() == listed.command);
        CHECK(hex(proxy.messages[2]) == listed.request);
    }
}

TEST_CASE("what the list rules out is not sent, in either way") {
    for (const bool has_another : {true, false}) {
        auto plan = plan_to_listen();
        if (!has_another) plan.otherwise = {};
        const auto client =
            told(plan, {no_auth, "05 00 01 01 00 00 00 00 00 00  04 01 00  ff 00 00"}, Then::stays);
        CHECK(client.failure() == Failure::not_announced);
        CHECK(client.phase() == Phase::features);
        CHECK(client.has_features());
    }
}

TEST_CASE("a command's flag goes out with it, and what was granted of it comes back") {
    auto plan = plan_for(Exchange::features_then_command);
    plan.command = Command::listen;
    plan.flag = 0x01;
    ClientHandshake client(plan);
    Scripted proxy({octets(no_auth), octets(granted_hold) + octets(lists_listen), octets(listens_as_wished)},
                   Then::stays);
    join(client, proxy);
    REQUIRE(is_done(client));
    CHECK(hex(Bytes(proxy.messages[1]).first(3)) == "05 10 01");
    CHECK(hex(Bytes(proxy.messages[2]).first(3)) == "05 a1 01");
    CHECK(client.granted() == 0x01);
}

TEST_CASE("the server answers BIND twice, and LISTEN with what it grants") {
    ServerHandshake server;
    REQUIRE(server.take(octets("05 01 00")).kind == ServerHandshake::Event::Kind::greeting);
    server.choose(MethodList{Method::none});
    REQUIRE(server.take(octets("05 02 00 01 c0 00 02 09 00 00")).kind ==
            ServerHandshake::Event::Kind::request);
    CHECK(hex(server.reply(Reply::succeeded, Endpoint::parse("198.51.100.1:8080").value())) == listens);
    CHECK(hex(server.reply(Reply::succeeded, Endpoint::parse("192.0.2.9:40000").value())) == peer_came);
    CHECK(hex(server.listening(Endpoint::parse("198.51.100.1:8080").value(), 1)) ==
          "05 00 01 01 c6 33 64 01 1f 90");
    // What follows belongs to the peer, or is a note.
    CHECK(server.take(octets("05 01 00")).kind == ServerHandshake::Event::Kind::need_more);
}

// --- pipelined ---

namespace {

ClientPlan pipelined(ClientPlan plan, Method method) {
    plan.methods = {method};
    plan.pipelined = true;
    return plan;
}

} // namespace

TEST_CASE("pipelined: one send and one round trip, with a password or without") {
    auto proxy = password_proxy();
    proxy.methods = {Method::none, Method::password};
    proxy.bound = Endpoint::parse("[2001:db8::1]:40000").value();
    proxy.first_data = octets("53 53 48 2d");
    for (const auto method : {Method::none, Method::password})
        for (const std::size_t piece : {all_at_once, std::size_t{1}, std::size_t{3}}) {
            INFO("octets per delivery: ", piece);
            ClientHandshake client(pipelined(with_password(plan_for(Exchange::command)), method));
            Served served(proxy);
            CHECK(join(client, served, piece).round_trips == 1);
            REQUIRE(is_done(client));
            CHECK(client.phase() == Phase::over);
            CHECK(client.method() == method);
            CHECK(client.bound() == proxy.bound);
            CHECK(served.outbox == proxy.first_data); // not one octet of it was taken
            REQUIRE(served.requests.size() == 1);
            CHECK(served.requests[0].destination == destination);
            CHECK(served.unread().empty());
        }
}

TEST_CASE("pipelined: the octets are those of the three messages, and the longest fit") {
    ClientHandshake client(pipelined(with_password(plan_for(Exchange::command)), Method::password));
    CHECK(copy(client.step().out) == octets("05 01 02"
                                            "01 02 6d 65 06 73 65 63 72 65 74"
                                            "05 01 00 03 0b 65 78 61 6d 70 6c 65 2e 63 6f 6d 01 bb"));
    const std::string longest(255, 'x');
    auto plan = with_password(plan_for(Exchange::command), longest, longest);
    plan.destination = {Host::name(longest).value(), 443};
    const ClientHandshake full(pipelined(plan, Method::password));
    CHECK(full.step().out.size() == 3 + 513 + 262);
}

TEST_CASE("pipelined: with two methods offered, one message after the other") {
    auto plan = with_password(plan_for(Exchange::command));
    plan.pipelined = true;
    ClientHandshake client(plan);
    CHECK(copy(client.step().out) == octets("05 02 00 02"));
    Served served(password_proxy());
    CHECK(join(client, served).round_trips == 3);
    CHECK(is_done(client));
}

TEST_CASE("pipelined: LIST-FEATURES comes with the greeting, the command after the list") {
    for (const std::size_t piece : {all_at_once, std::size_t{1}}) {
        ClientHandshake alone(pipelined(plan_for(Exchange::features), Method::none));
        Served once(listing_proxy());
        CHECK(join(alone, once, piece).round_trips == 1);
        CHECK(is_done(alone));
        CHECK(alone.has_features());

        ClientHandshake client(pipelined(plan_for(Exchange::features_then_command), Method::none));
        Served served(listing_proxy());
        CHECK(join(client, served, piece).round_trips == 2);
        REQUIRE(is_done(client));
        CHECK(served.requests.size() == 2);
        CHECK(client.take_features() == listing_proxy().features);
    }
}

TEST_CASE("pipelined: a server that loses what came behind the greeting leaves the client waiting") {
    ClientHandshake client(pipelined(plan_for(Exchange::command), Method::none));
    Scripted proxy({no_auth}, Then::stays);
    CHECK(join(client, proxy).waits);
    CHECK(client.phase() == Phase::command);
    client.broken_off();
    CHECK(client.failure() == Failure::closed);
}

TEST_CASE("pipelined: an answer that overwrites the one before it is not SOCKS5") {
    // Tor has one place for an answer: after a burst with a password there is only the second one.
    CHECK(
        told(pipelined(with_password(plan_for(Exchange::command)), Method::password), {"01 00"}).failure() ==
        Failure::malformed);
}

TEST_CASE("pipelined: each refusal is what it is one after the other") {
    const auto password = pipelined(with_password(plan_for(Exchange::command)), Method::password);
    CHECK(told(password, {"05 ff"}).failure() == Failure::no_acceptable_method);
    CHECK(told(password, {"05 00"}).failure() == Failure::method_not_offered);
    CHECK(told(password, {"05 02 01 01"}).failure() == Failure::authentication_refused);
    CHECK(told(password, {"05 02 01 00 05 05"}).failure() == Failure::command_refused);
    CHECK(told(password, {"05 02 01 00 05 05 00 01 00 00 00 00 00 00"}).reply() == Reply::connection_refused);
    CHECK(told(password, {"05 02 01 00"}).failure() == Failure::closed);
    CHECK(told(password, {"05 02 01 00 05 00 00 01 00"}).failure() == Failure::closed);
}
