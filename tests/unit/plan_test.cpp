// What an FDL decides, each with both outcomes.
#include "policy/plan.hpp"

#include "doctest/doctest.h"

#include <array>
#include <cerrno>

using namespace socksify;
using namespace socksify::policy;

namespace {

Upstream upstream_with_password() {
    Upstream upstream;
    upstream.username = "ann";
    upstream.password = "secret";
    return upstream;
}

Knowledge listing(std::initializer_list<std::pair<Tag, std::uint8_t>> entries) {
    FeatureList list;
    for (const auto& [tag, subtag] : entries) list.add(tag, subtag);
    return {Known::listed, std::make_shared<const FeatureList>(std::move(list))};
}

Endpoint to(std::string_view text) { return *Endpoint::parse(text); }

Plan plan_for(std::string_view destination, const Knowledge& known, const Upstream& upstream = {}) {
    return make_plan(upstream, known, Command::connect, to(destination));
}

/// Runs a machine to the end of its phase with what the server sends.
ClientHandshake handshake(const ClientPlan& plan,
                          std::initializer_list<std::initializer_list<std::uint8_t>> messages) {
    ClientHandshake machine(plan);
    for (const auto& message : messages) {
        while (machine.step().what == ClientHandshake::Step::What::send)
            machine.sent(machine.step().out.size());
        for (const auto octet : message) machine.received(Bytes(&octet, 1));
    }
    while (machine.step().what == ClientHandshake::Step::What::send) machine.sent(machine.step().out.size());
    return machine;
}

constexpr std::initializer_list<std::uint8_t> no_authentication{5, 0};
constexpr auto name = static_cast<std::uint8_t>(AddressType::domain_name);
constexpr auto ipv4 = static_cast<std::uint8_t>(AddressType::ipv4);

} // namespace

TEST_CASE("a proxy that nothing is known of is sent the name, with every method that we have") {
    const auto plan = plan_for("www.example.org:443", {}, upstream_with_password());
    CHECK(plan.refusal == 0);
    CHECK_FALSE(plan.resolve_first);
    CHECK(plan.handshake.exchange == Exchange::command);
    CHECK(plan.handshake.destination == to("www.example.org:443"));
    CHECK(plan.handshake.methods.size() == 2);
    CHECK(plan.handshake.methods[0] == Method::none);
}

TEST_CASE("without credentials the password method is not offered") {
    const auto plan = plan_for("www.example.org:443", {});
    CHECK(plan.handshake.methods.size() == 1);
    CHECK(plan.handshake.methods.contains(Method::none));
}

TEST_CASE("of the listed methods only those that we have are offered, the cheapest alone") {
    const auto both = listing({{Tag::authentication, 0x00}, {Tag::authentication, 0x02}});
    CHECK(plan_for("a:1", both, upstream_with_password()).handshake.methods.octets().size() == 1);
    CHECK(plan_for("a:1", both, upstream_with_password()).handshake.methods.contains(Method::none));
    const auto password = listing({{Tag::authentication, 0x02}});
    CHECK(plan_for("a:1", password, upstream_with_password()).handshake.methods.octets()[0] == 0x02);
    CHECK(plan_for("a:1", password, upstream_with_password()).handshake.methods.size() == 1);
}

TEST_CASE("no listed method that we have is refused before a connection") {
    CHECK(plan_for("a:1", listing({{Tag::authentication, 0x02}})).refusal == EACCES);
    CHECK(plan_for("a:1", listing({{Tag::authentication, 0x00}})).refusal == 0);
}

TEST_CASE("a command that is not listed is refused before a connection") {
    CHECK(plan_for("a:1", listing({{Tag::command, 0x02}})).refusal == EOPNOTSUPP);
    CHECK(plan_for("a:1", listing({{Tag::command, 0x01}})).refusal == 0);
    CHECK(make_plan({}, listing({{Tag::command, 0x01}}), Command::udp_associate, to("a:1")).refusal ==
          EOPNOTSUPP);
}

TEST_CASE("a proxy of one family's addresses may carry datagrams: DST of UDP ASSOCIATE leads nowhere") {
    const auto only_ipv6 = listing({{Tag::command, 0x03}, {Tag::address, 0x04}});
    CHECK(make_plan({}, only_ipv6, Command::udp_associate, Endpoint{}).refusal == 0);
    CHECK(make_plan({}, only_ipv6, Command::connect, Endpoint{}).refusal != 0);
}

TEST_CASE("of two ways to ask, the first that the list has; without one, none that only a list announces") {
    const Request listen{Command::listen, 1, to("0.0.0.0:8080")};
    const Request bind{Command::bind, 0, to("0.0.0.0:8080")};
    const auto picked = [](const Request& first, const Request& otherwise, const Knowledge& known) {
        return pick(first, {&otherwise, 1}, known.features.get()).command;
    };
    CHECK(picked(listen, bind, {}) == Command::bind);
    CHECK(picked(bind, listen, {}) == Command::bind);
    const auto only_bind = listing({{Tag::command, 0x02}});
    CHECK(picked(listen, bind, only_bind) == Command::bind);
    const auto neither = listing({{Tag::command, 0x01}});
    CHECK(picked(listen, bind, neither) == Command::listen);
    CHECK(make_plan({}, neither, picked(listen, bind, neither), listen.destination).refusal == EOPNOTSUPP);
    FeatureList list;
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    list.add(Tag::command, 0xa1, Bytes(&listen_version, 1));
    list.add(Tag::command, 0xa2, Bytes(&listen_version, 1));
    const Request ways[] = {listen, {Command::listen, 1, to("[::]:8080")}, bind};
    CHECK(pick(bind, ways, &list).command == Command::listen);
    list.add(Tag::address, name);
    CHECK(pick(bind, ways, &list).command == Command::bind); // all are ruled out
    list.add(Tag::address, 0x04);
    CHECK(pick(bind, ways, &list).destination == to("[::]:8080"));
    list.add(Tag::address, ipv4);
    CHECK(pick(bind, ways, &list).destination == to("0.0.0.0:8080"));
    list.add(Tag::command, 0x02);
    CHECK(pick(bind, ways, &list).command == Command::bind);
}

TEST_CASE("what a list leaves nothing of to ask for ends the matter, and is no lack of lists") {
    CHECK_FALSE(says_no_features(Phase::features, Failure::not_announced));
    auto plan = ClientPlan{};
    plan.exchange = Exchange::features_then_command;
    plan.command = Command::bind;
    const auto machine =
        handshake(plan, {no_authentication, {5, 0, 1, 1, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0xff, 0, 0}});
    const auto consequence = consequence_of(machine, true);
    CHECK(consequence.next == Consequence::Next::give_up);
    CHECK(consequence.error == EOPNOTSUPP);
}

TEST_CASE("ACCEPT may come twice, and its address is no address") {
    auto fast = listing({{Tag::command, 0x01}, {Tag::address, 4}});
    CHECK(make_plan({}, fast, Command::accept, to("222.173.190.239:0")).refusal == EOPNOTSUPP);
    FeatureList list(*fast.features);
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    const std::uint8_t ahead = 2;
    list.add(Tag::extension, subtag_pipelining, Bytes(&ahead, 1));
    list.add(Tag::extension, subtag_fast_open);
    list.add(Tag::command, 0xa1, Bytes(&listen_version, 1));
    list.add(Tag::command, 0xa2, Bytes(&listen_version, 1));
    fast.features = std::make_shared<const FeatureList>(list);
    fast.method = Method::none;
    const auto plan = make_plan({}, fast, Command::accept, to("222.173.190.239:0"));
    CHECK(plan.refusal == 0);
    CHECK(plan.fast_open);
    CHECK_FALSE(make_plan({}, fast, Command::listen, to("[::]:0")).fast_open);
}

TEST_CASE("a list that says nothing of commands forbids none") {
    CHECK(plan_for("a:1", listing({{Tag::server, 0x01}})).refusal == 0);
}

TEST_CASE("a proxy that lists other SOCKS versions only is not spoken to") {
    CHECK(plan_for("a:1", listing({{Tag::socks, 4}})).refusal == EOPNOTSUPP);
    CHECK(plan_for("a:1", listing({{Tag::socks, 4}, {Tag::socks, 5}})).refusal == 0);
}

TEST_CASE("a name for a proxy without names fails, or is resolved here, as the rules say") {
    const auto addresses_only = listing({{Tag::address, ipv4}});
    Upstream upstream;
    CHECK(plan_for("www.example.org:443", addresses_only, upstream).refusal == EAFNOSUPPORT);
    upstream.without_names = WithoutNames::resolve;
    const auto plan = plan_for("www.example.org:443", addresses_only, upstream);
    CHECK(plan.refusal == 0);
    CHECK(plan.resolve_first);
    CHECK(plan.only_ipv4);
    CHECK_FALSE(
        plan_for("www.example.org:443", listing({{Tag::address, ipv4}, {Tag::address, name}}), upstream)
            .resolve_first);
}

TEST_CASE("an IPv6 address for a proxy without IPv6 leads nowhere") {
    CHECK(plan_for("[2001:db8::1]:443", listing({{Tag::address, ipv4}})).refusal == ENETUNREACH);
    CHECK(plan_for("[2001:db8::1]:443", listing({{Tag::address, 4}})).refusal == 0);
}

TEST_CASE("a list that holds for one method only has that one offered") {
    const auto plan = make_plan(upstream_with_password(), {}, Command::connect, to("a:1"), Method::password);
    CHECK(plan.handshake.methods.size() == 1);
    CHECK(plan.handshake.methods.contains(Method::password));
}

TEST_CASE("a held connection carries a CONNECT, if the list announces that and does not depend on where to") {
    const auto announcing = [](bool by_destination) {
        FeatureList list;
        list.add(Tag::command, 0x10, Bytes(std::array<std::uint8_t, 1>{1}));
        if (by_destination) list.add(Tag::fdl, subtag_scope, Bytes(std::array<std::uint8_t, 1>{3}));
        return Knowledge{Known::listed, std::make_shared<const FeatureList>(std::move(list))};
    };
    const auto holds = announcing(false);
    CHECK(plan_for("a:1", holds).may_be_held);
    CHECK_FALSE(plan_for("a:1", {}).may_be_held);
    CHECK_FALSE(plan_for("a:1", listing({{Tag::command, 0x10}})).may_be_held);
    CHECK_FALSE(plan_for("a:1", announcing(true)).may_be_held);
    CHECK_FALSE(make_plan({}, holds, Command::udp_associate, to("a:1")).may_be_held);
    CHECK_FALSE(make_plan({}, holds, Command::bind, to("a:1")).may_be_held);
    Upstream upstream;
    upstream.hold = {0, false};
    CHECK_FALSE(plan_for("a:1", holds, upstream).may_be_held);
    upstream.hold = {1, true};
    CHECK(plan_for("a:1", holds, upstream).may_be_held);
    upstream.socket_path = "/run/proxy";
    CHECK_FALSE(plan_for("a:1", holds, upstream).may_be_held);
}

TEST_CASE("a proxy that is known to hold connections is asked on the program's own") {
    CHECK(how_to_ask(Discover::background, true) == Ask::on_this_connection);
    CHECK(how_to_ask(Discover::background, false) == Ask::on_its_own);
    CHECK(how_to_ask(Discover::in_line, {}) == Ask::on_this_connection);
    CHECK(how_to_ask(Discover::off, true) == Ask::no);
}

TEST_CASE("a refusal of the destination is final and says nothing against the proxy") {
    const auto machine = handshake({}, {no_authentication, {5, 5, 0, 1, 0, 0, 0, 0, 0, 0}});
    const auto consequence = consequence_of(machine, false);
    CHECK(consequence.next == Consequence::Next::give_up);
    CHECK(consequence.error == ECONNREFUSED);
}

TEST_CASE("an address type refused against the list is tried again plainly, else it is final") {
    const auto machine = handshake({}, {no_authentication, {5, 8, 0, 1, 0, 0, 0, 0, 0, 0}});
    CHECK(consequence_of(machine, true).next == Consequence::Next::again_plainly);
    CHECK(consequence_of(machine, false).next == Consequence::Next::give_up);
    CHECK(consequence_of(machine, false).error == EAFNOSUPPORT);
}

TEST_CASE("a proxy that takes none of our methods is left for the next one") {
    const auto machine = handshake({}, {{5, 0xff}});
    CHECK(consequence_of(machine, false).next == Consequence::Next::next_upstream);
    CHECK(consequence_of(machine, false).error == EACCES);
    CHECK(consequence_of(machine, true).next == Consequence::Next::again_plainly);
}

TEST_CASE("a proxy that closes without a word on the request has refused the destination") {
    auto machine = handshake({}, {no_authentication});
    machine.ended();
    CHECK(consequence_of(machine, false).next == Consequence::Next::give_up);
    CHECK(consequence_of(machine, false).error == ECONNREFUSED);
}

TEST_CASE("a proxy that closes on the greeting is left for the next one") {
    auto machine = handshake({}, {});
    machine.ended();
    CHECK(consequence_of(machine, false).next == Consequence::Next::next_upstream);
}

TEST_CASE("whatever LIST-FEATURES meets, the program's request goes on without it") {
    ClientPlan asking;
    asking.exchange = Exchange::features_then_command;
    const auto says_no = [](const ClientHandshake& machine) {
        return says_no_features(machine.phase(), machine.failure()) &&
               consequence_of(machine, false).next == Consequence::Next::again_plainly;
    };
    CHECK(says_no(handshake(asking, {no_authentication, {5, 7, 0, 1, 0, 0, 0, 0, 0, 0}})));
    CHECK(says_no(handshake(asking, {no_authentication, {5, 1, 0, 1, 0, 0, 0, 0, 0, 0}})));
    auto closed = handshake(asking, {no_authentication});
    closed.ended();
    CHECK(says_no(closed));
    auto four_octets = handshake(asking, {no_authentication, {5, 7, 0, 1}});
    four_octets.ended();
    CHECK(says_no(four_octets));
    auto garbage = handshake(asking, {no_authentication, {'H', 'T', 'T', 'P'}});
    CHECK(says_no(garbage));
}

// --- pipelining ---

namespace {

Knowledge seen(Pipelining pipelining, std::optional<Method> method = {}, Ahead said = Ahead::unsaid) {
    FeatureList list;
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    const auto octet = static_cast<std::uint8_t>(said);
    list.add(Tag::extension, subtag_pipelining, Bytes(&octet, 1));
    Knowledge known;
    if (said != Ahead::unsaid) known = {Known::listed, std::make_shared<const FeatureList>(std::move(list))};
    known.pipelining = pipelining;
    known.method = method;
    return known;
}

bool is_pipelined(const Knowledge& known, Upstream upstream, Pipeline how = Pipeline::automatic) {
    upstream.pipelining = how;
    const auto plan = plan_for("a:1", known, upstream);
    CHECK((!plan.handshake.pipelined || plan.handshake.methods.size() == 1));
    return plan.handshake.pipelined;
}

} // namespace

TEST_CASE("pipelined where the proxy has said or shown that it takes that, and no sooner") {
    CHECK_FALSE(is_pipelined({}, {}));
    CHECK(is_pipelined(seen(Pipelining::tolerated), {}));
    CHECK(is_pipelined(seen(Pipelining::unknown, {}, Ahead::messages), {}));
    CHECK(is_pipelined(seen(Pipelining::unknown, {}, Ahead::data), {}));
    CHECK_FALSE(is_pipelined(seen(Pipelining::refused), {}));
    CHECK_FALSE(
        is_pipelined(seen(Pipelining::refused, {}, Ahead::data), {})); // seen counts for more than said
}

TEST_CASE("optimistic where the list announces early data, and nothing is left to be decided") {
    const auto is_optimistic = [](const Knowledge& known, const Upstream& upstream = {}) {
        return may_be_optimistic(plan_for("a.example:1", known, upstream));
    };
    CHECK(is_optimistic(seen(Pipelining::unknown, {}, Ahead::data)));
    CHECK(is_optimistic(seen(Pipelining::tolerated, {}, Ahead::data)));
    CHECK_FALSE(is_optimistic({}));
    CHECK_FALSE(is_optimistic(seen(Pipelining::tolerated)));
    CHECK_FALSE(is_optimistic(seen(Pipelining::tolerated, {}, Ahead::messages)));
    CHECK_FALSE(is_optimistic(seen(Pipelining::refused, {}, Ahead::data)));
    auto upstream = upstream_with_password();
    CHECK(is_optimistic(seen(Pipelining::unknown, Method::password, Ahead::data), upstream));
    upstream.pipelining = Pipeline::off;
    CHECK_FALSE(is_optimistic(seen(Pipelining::unknown, Method::password, Ahead::data), upstream));
    const auto known = seen(Pipelining::unknown, {}, Ahead::data);
    CHECK_FALSE(may_be_optimistic(make_plan({}, known, Command::bind, to("a.example:1"))));
}

TEST_CASE("the rules' word on pipelining") {
    CHECK_FALSE(is_pipelined(seen(Pipelining::tolerated, {}, Ahead::data), {}, Pipeline::off));
    CHECK(is_pipelined({}, {}, Pipeline::always));
    CHECK_FALSE(is_pipelined(seen(Pipelining::refused), {}, Pipeline::always));
}

TEST_CASE("a password is never sent ahead where the proxy could have chosen none") {
    const auto methods = [](const Knowledge& known) {
        const auto plan = plan_for("a:1", known, upstream_with_password()).handshake;
        CHECK(plan.pipelined);
        REQUIRE(plan.methods.size() == 1);
        return plan.methods[0];
    };
    CHECK(methods(seen(Pipelining::tolerated, Method::password)) == Method::password);
    CHECK(methods(seen(Pipelining::tolerated, Method::none)) == Method::none);
    auto always = upstream_with_password();
    always.pipelining = Pipeline::always;
    CHECK(plan_for("a:1", {}, always).handshake.methods[0] == Method::password);
    CHECK(plan_for("a:1", {}, always).handshake.methods.size() == 1);
}

TEST_CASE("what a pipelined exchange shows of the proxy") {
    ClientPlan burst;
    burst.exchange = Exchange::features;
    burst.pipelined = true;
    const auto shown = [&](std::initializer_list<std::uint8_t> answer) {
        auto machine = handshake(burst, {answer});
        machine.ended();
        return seen_of_pipelining(machine);
    };
    CHECK(shown({5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0}) == PipeliningSeen::tolerated);
    CHECK(shown({5, 0, 5, 7, 0, 1}) == PipeliningSeen::tolerated); // shadowsocks-libev
    CHECK(shown({5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0, 0}) == PipeliningSeen::tolerated);
    CHECK(shown({5, 0}) == PipeliningSeen::nothing); // danted, ssh -D: the end is their answer
    CHECK(shown({}) == PipeliningSeen::refused);
    CHECK(shown({5}) == PipeliningSeen::refused);
    CHECK(shown({1, 0}) == PipeliningSeen::refused); // Tor, if a password had come
    CHECK(shown({5, 0xff}) == PipeliningSeen::refused);
}

TEST_CASE("a pipelined exchange is done once more where pipelining may be to blame") {
    CHECK(may_be_for_pipelining(Failure::closed, false));
    CHECK(may_be_for_pipelining(Failure::malformed, true));
    CHECK(may_be_for_pipelining(Failure::no_acceptable_method, false));
    CHECK_FALSE(may_be_for_pipelining(Failure::no_acceptable_method, true));
    CHECK_FALSE(may_be_for_pipelining(Failure::command_refused, false)); // the destination's word
    CHECK_FALSE(may_be_for_pipelining(Failure::authentication_refused, false));
}

TEST_CASE("with the SYN goes what is pipelined, is a CONNECT, and may by list and rules") {
    FeatureList list;
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    const std::uint8_t data = 2;
    list.add(Tag::extension, subtag_pipelining, Bytes(&data, 1));
    const Knowledge slow{Known::listed, std::make_shared<const FeatureList>(list)};
    list.add(Tag::extension, subtag_fast_open);
    const Knowledge fast{Known::listed, std::make_shared<const FeatureList>(list)};
    CHECK(plan_for("a:1", fast).fast_open);
    CHECK_FALSE(plan_for("a:1", slow).fast_open);
    CHECK_FALSE(plan_for("a:1", {}).fast_open);
    CHECK_FALSE(make_plan({}, fast, Command::udp_associate, to("a:1")).fast_open);
    CHECK_FALSE(make_plan({}, fast, Command::bind, to("a:1")).fast_open);
    Upstream upstream;
    upstream.fast_open = FastOpen::off;
    CHECK_FALSE(plan_for("a:1", fast, upstream).fast_open);
    upstream = {};
    upstream.pipelining = Pipeline::off;
    CHECK_FALSE(plan_for("a:1", fast, upstream).fast_open);
    auto refused = fast;
    refused.pipelining = Pipelining::refused;
    CHECK_FALSE(plan_for("a:1", refused).fast_open);

    FeatureList nameless;
    nameless.add(Tag::extension, subtag_fast_open);
    CHECK_FALSE(nameless.fast_open());
}

TEST_CASE("a session's token may take the place of a password that would be sent, and of nothing else") {
    FeatureList list;
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    const std::uint8_t data = 2;
    list.add(Tag::extension, subtag_pipelining, Bytes(&data, 1));
    list.add(Tag::authentication, 2);
    const Knowledge none{Known::listed, std::make_shared<const FeatureList>(list)};
    list.add(Tag::authentication, 0xa0);
    list.add(Tag::command, 0xa0);
    list.add(Tag::command, 1);
    const Knowledge sessions{Known::listed, std::make_shared<const FeatureList>(list)};
    list.add(Tag::authentication, 0);
    const Knowledge open{Known::listed, std::make_shared<const FeatureList>(list)};
    auto ann = upstream_with_password();
    CHECK(plan_for("a:1", sessions, ann).may_use_session);
    CHECK_FALSE(plan_for("a:1", none, ann).may_use_session);
    CHECK_FALSE(plan_for("a:1", {}, ann).may_use_session);
    CHECK_FALSE(plan_for("a:1", open, ann).may_use_session);
    CHECK_FALSE(plan_for("a:1", sessions).may_use_session);
    ann.sessions = Sessions::off;
    CHECK_FALSE(plan_for("a:1", sessions, ann).may_use_session);
}

TEST_CASE("by a session, a plan is the same but for who says what to be let in") {
    auto plan = plan_for("a:1", {}, upstream_with_password()).handshake;
    const Session session(as_bytes("sixteen octets.."));
    const auto by = by_session(plan, session);
    REQUIRE(by.methods.size() == 1);
    CHECK(by.methods[0] == Method::session);
    CHECK(as_text(by.token) == "sixteen octets..");
    CHECK(by.destination == plan.destination);
    CHECK(as_who(Method::session) == Method::password);
    CHECK(as_who(Method::none) == Method::none);
    CHECK(may_be_for_session(Phase::authentication, Failure::token_refused));
    CHECK(may_be_for_session(Phase::greeting, Failure::no_acceptable_method));
    CHECK_FALSE(may_be_for_session(Phase::command, Failure::command_refused));
}

TEST_CASE("a session is asked of nobody that hasn't announced it") {
    const auto refusal = [](const Knowledge& known) {
        return make_plan(upstream_with_password(), known, Command::open_session, {}).refusal;
    };
    CHECK(refusal({}) == EOPNOTSUPP);
    CHECK(refusal(listing({{Tag::command, 1}, {Tag::command, 0xa0}})) == EOPNOTSUPP);
}

namespace {

using std::chrono::seconds;
constexpr FeatureCache::Time start{std::chrono::hours(1000)};

FeatureList announcing(Ahead ahead, std::optional<Scope> scope = {}) {
    FeatureList list;
    const auto octet = static_cast<std::uint8_t>(ahead);
    list.add(Tag::extension, subtag_extension_set, as_bytes(extension_set));
    list.add(Tag::extension, subtag_pipelining, Bytes(&octet, 1));
    if (scope) {
        const auto value = static_cast<std::uint8_t>(*scope);
        list.add(Tag::fdl, subtag_scope, Bytes(&value, 1));
    }
    return list;
}

/// As a connect() finds or makes its plan.
struct Planning {
    Upstream upstream = upstream_with_password();
    FeatureCache cache;
    ReadyPlans plans;

    [[nodiscard]] bool is_ready(std::string_view destination, FeatureCache::Time now = start) const {
        return plans.find(0, to(destination).host.type(), cache, now) != nullptr;
    }
    Plan plan(std::string_view text, FeatureCache::Time now = start) {
        const auto destination = to(text);
        if (const auto ready = plans.find(0, destination.host.type(), cache, now)) return *ready;
        Circumstances at;
        at.destination = destination.host;
        const auto found = look_up(cache, 0, upstream, at, now);
        const auto made = make_plan(upstream, found.known, Command::connect, destination, found.only_method);
        if (!leaves_a_question(upstream, found.known))
            plans.keep(0, destination.host.type(), found.known, std::make_shared<const Plan>(made));
        return made;
    }
    void learn(FeatureList list, const Circumstances& at = {}) {
        cache.remember(0, at, std::move(list), start, seconds(60));
    }
};

} // namespace

TEST_CASE("a plan is ready for the next destination of its type, and no other type's") {
    Planning planning;
    planning.learn(announcing(Ahead::data));
    CHECK_FALSE(planning.is_ready("192.0.2.1:80"));
    planning.plan("192.0.2.1:80");
    CHECK(planning.is_ready("192.0.2.2:443"));
    CHECK_FALSE(planning.is_ready("a.example:80"));
    CHECK_FALSE(planning.is_ready("[2001:db8::1]:80"));
    CHECK(planning.plan("192.0.2.2:443").handshake.pipelined);
}

TEST_CASE("a plan is ready only as long as what it rests on") {
    Planning planning;
    planning.learn(announcing(Ahead::data));
    planning.plan("192.0.2.1:80");
    CHECK(planning.is_ready("192.0.2.1:80", start + seconds(59)));
    CHECK_FALSE(planning.is_ready("192.0.2.1:80", start + seconds(60)));

    Planning shown;
    shown.cache.remember_none(0, start, seconds(60));
    shown.cache.remember_pipelining(0, Pipelining::tolerated, Method::none, start, seconds(30));
    CHECK(shown.plan("192.0.2.1:80").handshake.pipelined);
    CHECK(shown.is_ready("192.0.2.1:80", start + seconds(29)));
    CHECK_FALSE(shown.is_ready("192.0.2.1:80", start + seconds(30)));
}

TEST_CASE("what is learnt, contradicted or taken back makes another plan") {
    const auto spoils = [](auto what) {
        Planning planning;
        Learnt learnt;
        learnt.known = Known::listed;
        learnt.features = std::make_shared<const FeatureList>(announcing(Ahead::data));
        learnt.left = seconds(60);
        planning.cache.adopt(0, learnt, start);
        planning.plan("192.0.2.1:80");
        REQUIRE(planning.is_ready("192.0.2.1:80"));
        what(planning.cache);
        return !planning.is_ready("192.0.2.1:80");
    };
    CHECK(spoils([](auto& cache) { cache.forget(0, start); }));
    CHECK(spoils([](auto& cache) { cache.disown(0); }));
    CHECK(spoils([](auto& cache) { cache.remember_none(0, start, seconds(9)); }));
    CHECK(spoils([](auto& cache) { cache.remember(0, {}, {}, start, seconds(9)); }));
    CHECK(spoils([](auto& cache) {
        cache.remember_pipelining(0, Pipelining::refused, Method::none, start, seconds(9));
    }));
    CHECK_FALSE(spoils([](auto&) {}));
}

TEST_CASE("another method, another plan: a password is not offered where none was chosen since") {
    Planning planning;
    Circumstances by_password;
    by_password.method = Method::password;
    planning.learn(announcing(Ahead::data), by_password);
    CHECK(planning.plan("192.0.2.1:80").handshake.methods[0] == Method::password);
    planning.learn(announcing(Ahead::data));
    CHECK(planning.plan("192.0.2.1:80").handshake.methods[0] == Method::none);
}

TEST_CASE("no plan is kept ready that holds for one destination or one of our addresses") {
    for (const auto scope : {Scope::destination, Scope::client_address}) {
        Planning planning;
        Circumstances at;
        at.destination = to("192.0.2.1:80").host;
        planning.learn(announcing(Ahead::data, scope), at);
        CHECK(planning.plan("192.0.2.1:80").handshake.pipelined);
        CHECK_FALSE(planning.is_ready("192.0.2.1:80"));
    }
    // Nor while a list of that kind is there beside one that is not.
    Planning both;
    Circumstances one;
    one.method = Method::password;
    one.destination = to("192.0.2.1:80").host;
    both.learn(announcing(Ahead::data, Scope::destination), one);
    both.learn(announcing(Ahead::data, Scope::authentication_method));
    both.plan("192.0.2.9:80");
    CHECK_FALSE(both.is_ready("192.0.2.9:80"));
}

TEST_CASE("no plan is kept ready that refuses, looks up a name first, or leaves a question") {
    Planning planning;
    planning.plan("192.0.2.1:80");
    CHECK_FALSE(planning.is_ready("192.0.2.1:80")); // nobody has asked for a list
    planning.cache.remember_none(0, start, seconds(60));
    planning.plan("192.0.2.1:80");
    CHECK_FALSE(planning.is_ready("192.0.2.1:80")); // nor tried how it takes several messages

    FeatureList ipv4_alone;
    ipv4_alone.add(Tag::address, ipv4);
    planning.learn(ipv4_alone);
    CHECK(planning.plan("[2001:db8::1]:80").refusal != 0);
    CHECK_FALSE(planning.is_ready("[2001:db8::1]:80"));
    planning.upstream.without_names = WithoutNames::resolve;
    CHECK(planning.plan("a.example:80").resolve_first);
    CHECK_FALSE(planning.is_ready("a.example:80"));
}

TEST_CASE("a plan is ready, too, while a contradiction stands and nobody asks") {
    Planning planning;
    planning.learn(announcing(Ahead::data));
    CHECK(planning.plan("192.0.2.1:80").relies_on_features);
    planning.cache.forget(0, start);
    CHECK_FALSE(planning.plan("192.0.2.1:80").relies_on_features);
    CHECK(planning.is_ready("192.0.2.1:80", start + seconds(59)));
    CHECK_FALSE(planning.is_ready("192.0.2.1:80", start + seconds(60)));
}
