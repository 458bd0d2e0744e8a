#include "relay/access.hpp"
#include "relay/config.hpp"

#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::relay;

namespace {

AccessRules rules(std::string_view list) {
    auto config = parse_config("{\"rules\": " + std::string(list) + "}");
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().front().text("rules")));
    return std::move(config->rules);
}

const Caller anybody{*Host::parse("198.51.100.7"), {}};
Caller user(std::string_view name) { return {anybody.client, name}; }
Caller at(std::string_view address) { return {*Host::parse(address), {}}; }

Wanted address(std::string_view endpoint, bool guarded = false) {
    const auto parsed = *Endpoint::parse(endpoint);
    return {parsed, parsed.host, guarded};
}
/// A name before it is resolved, and after.
Wanted name(std::string_view endpoint) { return {*Endpoint::parse(endpoint), {}, false}; }
Wanted name(std::string_view endpoint, std::string_view resolved, bool guarded = false) {
    return {*Endpoint::parse(endpoint), *Host::parse(resolved), guarded};
}

} // namespace

TEST_CASE("without rules everything is allowed but the relay's own host") {
    const AccessRules none;
    CHECK(none.judge(anybody, address("192.0.2.1:80")) == Verdict::allow);
    CHECK(none.judge(anybody, name("a.example:80")) == Verdict::allow);
    CHECK(none.judge(anybody, address("127.0.0.1:80", true)) == Verdict::deny);
    CHECK(none.judge(anybody, name("a.example:80", "127.0.0.1", true)) == Verdict::deny);
    CHECK(none.judge(anybody) == Verdict::allow);
}

TEST_CASE("the first rule that matches decides") {
    const auto list = rules(R"([{"destination": "10.1.0.0/16", "action": "allow"},
                                {"destination": "10.0.0.0/8", "action": "deny"}])");
    CHECK(list.judge(anybody, address("10.1.2.3:80")) == Verdict::allow);
    CHECK(list.judge(anybody, address("10.2.2.3:80")) == Verdict::deny);
    CHECK(list.judge(anybody, address("192.0.2.1:80")) == Verdict::allow);
}

TEST_CASE("all constraints of a rule must hold") {
    const auto list =
        rules(R"([{"client": "198.51.100.0/24", "user": ["alice", "bob"], "destination": "a.example",
                                 "port": ["8000-8999", 443], "action": "deny"}])");
    const Caller bob{anybody.client, "bob"};
    CHECK(list.judge(bob, name("a.example:443", "192.0.2.1")) == Verdict::deny);
    CHECK(list.judge(bob, name("A.Example.:8999", "192.0.2.1")) == Verdict::deny);
    CHECK(list.judge(bob, name("a.example:442", "192.0.2.1")) == Verdict::allow);
    CHECK(list.judge(bob, name("b.example:443", "192.0.2.1")) == Verdict::allow);
    CHECK(list.judge(anybody, name("a.example:443", "192.0.2.1")) == Verdict::allow);
    CHECK(list.judge({*Host::parse("198.51.101.1"), "bob"}, name("a.example:443", "192.0.2.1")) ==
          Verdict::allow);
}

TEST_CASE("a name that resolves to a forbidden address is refused, whatever it is called") {
    const auto list = rules(R"([{"destination": "10.0.0.0/8", "action": "deny"}])");
    CHECK(list.judge(anybody, name("a.example:80", "10.0.0.1")) == Verdict::deny);
    CHECK(list.judge(anybody, name("a.example:80", "::ffff:10.0.0.1")) == Verdict::deny);
    CHECK(list.judge(anybody, name("a.example:80", "192.0.2.1")) == Verdict::allow);
}

TEST_CASE("a name is not resolved when no address could let it through") {
    CHECK(rules(R"([{"destination": "*.bad.example", "action": "deny"}])")
              .judge(anybody, name("x.bad.example:80")) == Verdict::deny);
    CHECK(rules(R"([{"action": "deny"}])").judge(anybody, name("a.example:80")) == Verdict::deny);
    // The network might be the name's.
    CHECK(rules(R"([{"destination": "10.0.0.0/8", "action": "allow"}, {"action": "deny"}])")
              .judge(anybody, name("a.example:80")) == Verdict::open);
    // Whether it is or not, the answer is the same.
    CHECK(rules(R"([{"destination": "10.0.0.0/8", "action": "deny"}, {"action": "deny"}])")
              .judge(anybody, name("a.example:80")) == Verdict::deny);
    CHECK(rules(R"([{"destination": "10.0.0.0/8", "port": 81, "action": "allow"}, {"action": "deny"}])")
              .judge(anybody, name("a.example:80")) == Verdict::deny);
}

TEST_CASE("only an address or a network opens the relay's own host") {
    for (const auto* too_little : {R"([{"action": "allow"}])", R"([{"destination": "*", "action": "allow"}])",
                                   R"([{"destination": "localhost", "action": "allow"}])",
                                   R"([{"destination": "0.0.0.0/0", "action": "allow"}])",
                                   R"([{"destination": "10.0.0.0/8", "action": "allow"}])"}) {
        INFO(too_little);
        CHECK(rules(too_little).judge(anybody, name("localhost:80", "127.0.0.1", true)) == Verdict::deny);
    }
    for (const auto* enough : {R"([{"destination": "127.0.0.1", "action": "allow"}])",
                               R"([{"destination": ["*", "127.0.0.0/8"], "action": "allow"}])"})
        CHECK(rules(enough).judge(anybody, name("localhost:80", "127.0.0.1", true)) == Verdict::allow);
    const auto one_port = rules(R"([{"destination": "127.0.0.1", "port": 8080, "action": "allow"}])");
    CHECK(one_port.judge(anybody, address("127.0.0.1:8080", true)) == Verdict::allow);
    CHECK(one_port.judge(anybody, address("127.0.0.1:8081", true)) == Verdict::deny);
}

TEST_CASE("a rule that denies everything goes before one that opens the own host") {
    const auto list = rules(R"([{"action": "deny"}, {"destination": "127.0.0.1", "action": "allow"}])");
    CHECK(list.judge(anybody, address("127.0.0.1:80", true)) == Verdict::deny);
}

TEST_CASE("for any destination: allowed, denied, or it depends") {
    CHECK(rules(R"([{"action": "deny"}])").judge(anybody) == Verdict::deny);
    CHECK(rules(R"([{"destination": "a.example", "action": "deny"}])").judge(anybody) == Verdict::open);
    CHECK(rules(R"([{"port": 443, "action": "allow"}, {"action": "deny"}])").judge(anybody) == Verdict::open);
    const auto by_user = rules(R"([{"user": "alice", "action": "allow"}, {"action": "deny"}])");
    CHECK(by_user.judge(user("alice")) == Verdict::allow);
    CHECK(by_user.judge(anybody) == Verdict::deny);
}

TEST_CASE("what the verdict depends on") {
    CHECK(rules(R"([{"client": "10.0.0.0/8", "action": "deny"}])").depend_on_client());
    CHECK(rules(R"([{"user": "alice", "action": "deny"}])").depend_on_user());
    CHECK(rules(R"([{"port": 80, "action": "deny"}])").depend_on_destination());
    const auto none = rules(R"([{"action": "deny"}])");
    CHECK_FALSE(none.depend_on_client());
    CHECK_FALSE(none.depend_on_user());
    CHECK_FALSE(none.depend_on_destination());
}

TEST_CASE("a client's IPv4 address counts, also when it comes mapped") {
    const auto list = rules(R"([{"client": "10.0.0.0/8", "action": "deny"}])");
    CHECK(list.judge(at("::ffff:10.0.0.1"), address("192.0.2.1:80")) == Verdict::deny);
    CHECK(list.judge(at("2001:db8::1"), address("192.0.2.1:80")) == Verdict::allow);
}

TEST_CASE("addresses that mean the host that uses them") {
    for (const auto* own : {"127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "0.1.2.3", "::",
                            "::ffff:0.0.0.0", "169.254.1.1", "::ffff:169.254.1.1", "fe80::1", "febf::1"})
        CHECK_MESSAGE(is_own_by_nature(*Host::parse(own)), own);
    for (const auto* other :
         {"126.255.255.255", "128.0.0.1", "169.253.0.1", "192.168.0.1", "fec0::1", "fd00::1", "::2"})
        CHECK_FALSE_MESSAGE(is_own_by_nature(*Host::parse(other)), other);
}

TEST_CASE("a rule for an operation holds for no other") {
    const auto list = rules(R"([{"operation": "bind", "user": "bob", "port": "8000-8999", "action": "allow"},
                                {"operation": ["bind", "udp"], "action": "deny"}])");
    const auto of = [](std::string_view name, Operation operation) {
        return Caller{anybody.client, name, operation};
    };
    CHECK(list.judge(of("bob", Operation::bind), address("192.0.2.1:8080")) == Verdict::allow);
    CHECK(list.judge(of("bob", Operation::bind), address("192.0.2.1:80")) == Verdict::deny);
    CHECK(list.judge(of("eve", Operation::bind), address("192.0.2.1:8080")) == Verdict::deny);
    CHECK(list.judge(of("bob", Operation::udp), address("192.0.2.1:8080")) == Verdict::deny);
    CHECK(list.judge(of("eve", Operation::connect), address("192.0.2.1:80")) == Verdict::allow);
    CHECK(list.judge(of("bob", Operation::bind)) == Verdict::open);
    CHECK(list.judge(of("eve", Operation::bind)) == Verdict::deny);
    CHECK(list.judge(of("eve", Operation::connect)) == Verdict::allow);
}
