#include "policy/rules.hpp"

#include "doctest/doctest.h"

using namespace socksify;
using namespace socksify::policy;

namespace {

Config must_parse(std::string_view text) {
    auto config = parse_config(text);
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().front().text("rules")));
    return std::move(*config);
}

/// Rules with two proxies, a and b.
Config with_rules(const std::string& rules, const std::string& otherwise = R"("direct")",
                  const std::string& more = "") {
    return must_parse(
        R"({"upstreams": {"a": {"url": "socks5://a.example"}, "b": {"url": "socks5://b.example"}}, "rules": [)" +
        rules + R"(], "default": )" + otherwise + more + "}");
}

struct Call {
    std::string host;
    int port = 443;
    Operation operation = Operation::connect;
    Protocol protocol = Protocol::tcp;
    std::string program = "/usr/bin/curl";
};

/// The rule that decides, from 0; by_default or by_loopback.
int rule_for(const Config& config, const Call& call) {
    const auto host = Host::parse(call.host);
    REQUIRE_MESSAGE(host, call.host);
    return route(config,
                 {*host, static_cast<std::uint16_t>(call.port), call.operation, call.protocol, call.program})
        .rule;
}

/// Whether one rule with this destination matches.
bool matches(const std::string& destination, const std::string& host) {
    return rule_for(with_rules(R"({"destination": ")" + destination + R"(", "route": "a"})"), {host}) == 0;
}

bool runs(const std::string& program, const std::string& path) {
    return rule_for(with_rules(R"({"program": ")" + program + R"(", "route": "a"})"),
                    {"x.example", 80, {}, {}, path}) == 0;
}

NameAnswer answer(const Config& config, std::string_view name, std::string_view program = "/usr/bin/curl") {
    return answer_name(config, *Host::name(name), program);
}

} // namespace

TEST_CASE("a name matches whatever its case and with a dot at its end") {
    CHECK(matches("www.Example.org", "WWW.example.ORG"));
    CHECK(matches("www.example.org", "www.example.org."));
    CHECK(matches("www.example.org.", "www.example.org"));
    CHECK_FALSE(matches("www.example.org", "example.org"));
    CHECK_FALSE(matches("www.example.org", "www.example.org.net"));
}

TEST_CASE("a wildcard matches what lies below a domain, never the domain or its namesakes") {
    CHECK(matches("*.corp.example", "a.corp.example"));
    CHECK(matches("*.corp.example", "b.a.CORP.example."));
    CHECK_FALSE(matches("*.corp.example", "corp.example"));
    CHECK_FALSE(matches("*.corp.example", "notcorp.example"));
    CHECK_FALSE(matches("*.corp.example", ".corp.example"));
    CHECK_FALSE(matches("*.corp.example", "a.corp.example.net"));
}

TEST_CASE("a star alone matches names and addresses") {
    CHECK(matches("*", "www.example.org"));
    CHECK(matches("*", "192.0.2.1"));
    CHECK(matches("*", "2001:db8::1"));
    CHECK(matches("*", "."));
}

TEST_CASE("a network matches addresses up to its last bit, and never a name") {
    CHECK(matches("10.0.0.0/8", "10.255.255.255"));
    CHECK_FALSE(matches("10.0.0.0/8", "11.0.0.0"));
    CHECK(matches("10.0.0.128/25", "10.0.0.128"));
    CHECK_FALSE(matches("10.0.0.128/25", "10.0.0.127"));
    CHECK(matches("172.16.0.0/12", "172.31.255.255"));
    CHECK_FALSE(matches("172.16.0.0/12", "172.32.0.0"));
    CHECK(matches("0.0.0.0/0", "203.0.113.9"));
    CHECK_FALSE(matches("0.0.0.0/0", "2001:db8::1"));
    CHECK(matches("192.0.2.1", "192.0.2.1"));
    CHECK_FALSE(matches("192.0.2.1", "192.0.2.0"));
    CHECK(matches("2001:db8::/33", "2001:db8:7fff::1"));
    CHECK_FALSE(matches("2001:db8::/33", "2001:db8:8000::1"));
    CHECK(matches("[2001:db8::1]", "2001:db8::1"));
    CHECK_FALSE(matches("10.0.0.0/8", "10.example.org"));
}

TEST_CASE("an IPv4 address in IPv6's clothes is the IPv4 address") {
    CHECK(matches("10.0.0.0/8", "::ffff:10.1.2.3"));
    CHECK(matches("::ffff:10.0.0.0/104", "10.1.2.3"));
    CHECK(matches("::ffff:10.1.2.3", "10.1.2.3"));
    CHECK_FALSE(matches("::/0", "::ffff:10.1.2.3"));
    CHECK(matches("::/0", "2001:db8::1"));
}

TEST_CASE("both ends of a port range belong to it") {
    const auto config = with_rules(R"({"port": [22, "8000-8999", "443"], "route": "a"})");
    for (const int port : {22, 443, 8000, 8999}) CHECK(rule_for(config, {"x.example", port}) == 0);
    for (const int port : {0, 21, 23, 7999, 9000, 65535})
        CHECK(rule_for(config, {"x.example", port}) == by_default);
}

TEST_CASE("operation and protocol restrict, unless they are not there") {
    const auto config = with_rules(
        R"({"operation": "bind", "protocol": "udp", "route": "a"}, {"protocol": ["tcp", "udp"], "route": "b"})");
    CHECK(rule_for(config, {"x.example", 1, Operation::bind, Protocol::udp}) == 0);
    CHECK(rule_for(config, {"x.example", 1, Operation::bind, Protocol::tcp}) == 1);
    CHECK(rule_for(config, {"x.example", 1, Operation::connect, Protocol::udp}) == 1);
    CHECK(rule_for(config, {"x.example", 1, Operation::connect, Protocol::other}) == by_default);
    CHECK(rule_for(with_rules(R"({"route": "a"})"), {"x.example", 1, Operation::bind, Protocol::other}) == 0);
}

TEST_CASE("a program is known by its path or by the last part of it") {
    CHECK(runs("curl", "/usr/bin/curl"));
    CHECK_FALSE(runs("curl", "/usr/bin/curl-config"));
    CHECK_FALSE(runs("bin", "/usr/bin/curl"));
    CHECK(runs("/usr/bin/curl", "/usr/bin/curl"));
    CHECK_FALSE(runs("/usr/bin/curl", "/opt/usr/bin/curl"));
    CHECK(runs("python3*", "/usr/bin/python3.11"));
    CHECK(runs("/usr/*/java", "/usr/lib/jvm/17/bin/java"));
    CHECK(runs("git-remote-htt??", "/usr/lib/git-core/git-remote-https"));
    CHECK_FALSE(runs("CURL", "/usr/bin/curl"));
    CHECK(runs("*a*b*c", "/x/aabbabc"));
    CHECK_FALSE(runs("*a*b*c", "/x/aabbabcd"));
    CHECK(runs("[", "/usr/bin/["));
}

TEST_CASE("a program that is not known matches no name of one") {
    CHECK_FALSE(runs("curl", ""));
    CHECK(rule_for(with_rules(R"({"route": "a"})"), {"x.example", 80, {}, {}, ""}) == 0);
}

TEST_CASE("a hostile pattern does not take exponential time") {
    const std::string stars = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    CHECK_FALSE(matches_program(stars, "/" + std::string(4000, 'a')));
}

TEST_CASE("the first rule that matches decides, and all its constraints must hold") {
    const auto config = with_rules(R"(
        {"destination": "www.example.org", "port": 443, "program": "wget", "route": "block"},
        {"destination": "*.example.org", "port": 443, "route": ["b", "a"]},
        {"destination": "www.example.org", "route": "a"})");
    CHECK(rule_for(config, {"www.example.org", 443}) == 1);
    CHECK(rule_for(config, {"www.example.org", 443, {}, {}, "/usr/bin/wget"}) == 0);
    CHECK(rule_for(config, {"www.example.org", 80}) == 2);
    CHECK(rule_for(config, {"example.org", 443}) == by_default);

    const auto decision = route(config, {*Host::parse("x.example.org"), 443, {}, {}, ""});
    CHECK(decision.action->kind == Action::Kind::via);
    CHECK(decision.action->upstreams == std::vector<std::size_t>{1, 0});
}

TEST_CASE("loopback comes before all rules, under each of its names") {
    const auto all = R"({"destination": "*", "route": "a"})";
    for (const auto* host : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "a.LOCALHOST.",
                             "0.0.0.0", "::"}) {
        CHECK(rule_for(with_rules(all), {host}) == by_loopback);
        CHECK(rule_for(with_rules(all, R"("a")", R"(, "loopback": "rules")"), {host}) == 0);
        const auto blocked = with_rules(all, R"("a")", R"(, "loopback": "block")");
        CHECK(route(blocked, {*Host::parse(host), 80, {}, {}, ""}).action->kind == Action::Kind::block);
    }
    CHECK(rule_for(with_rules(all), {"128.0.0.1"}) == 0);
}

TEST_CASE("a listener obeys only rules that speak of listeners") {
    const auto config = with_rules(
        R"({"route": "a"}, {"operation": "bind", "port": "8000-8999", "route": "b"}, {"operation": ["connect", "bind"], "port": 21, "route": "direct"})");
    const auto listener = [&](const char* host, std::uint16_t port) {
        return route_listener(config, {*Host::parse(host), port, Operation::bind, Protocol::tcp, ""});
    };
    REQUIRE(listener("0.0.0.0", 8080));
    CHECK(listener("0.0.0.0", 8080)->rule == 1);
    CHECK(listener("::", 21)->rule == 2);
    CHECK(!listener("0.0.0.0", 0));
    CHECK(listener("127.0.0.1", 8080)->rule == by_loopback);
}

TEST_CASE("binding to every address is not loopback") {
    const auto config = with_rules(R"({"operation": "bind", "route": "a"})");
    CHECK(rule_for(config, {"0.0.0.0", 0, Operation::bind}) == 0);
    CHECK(rule_for(config, {"127.0.0.1", 0, Operation::bind}) == by_loopback);
}

TEST_CASE("nothing but loopback passes a config that nobody filled") {
    const Config config;
    const auto host = *Host::parse("192.0.2.1");
    CHECK(route(config, {host, 80, {}, {}, ""}).action->kind == Action::Kind::block);
    CHECK(rule_for(config, {"127.0.0.1"}) == by_loopback);
}

TEST_CASE("a name is resolved here only if no connection to it could need the proxy") {
    CHECK(answer(with_rules(""), "x.example") == NameAnswer::locally);
    CHECK(answer(with_rules("", R"("a")"), "x.example") == NameAnswer::from_pool);
    CHECK(answer(with_rules("", R"("block")"), "x.example") == NameAnswer::from_pool);

    const auto corp = with_rules(R"({"destination": "*.corp.example", "route": "a"})");
    CHECK(answer(corp, "x.corp.example") == NameAnswer::from_pool);
    CHECK(answer(corp, "x.example") == NameAnswer::locally);
}

TEST_CASE("one port that is proxied keeps the whole name from the resolver") {
    const auto config = with_rules(R"({"port": 443, "route": "a"})");
    CHECK(answer(config, "x.example") == NameAnswer::from_pool);
    CHECK(answer(with_rules(R"({"protocol": "udp", "route": "block"})"), "x.example") ==
          NameAnswer::from_pool);
}

TEST_CASE("a direct rule vouches for a name only if nothing gets past it") {
    const auto whole = with_rules(R"({"destination": "x.example", "route": "direct"})", R"("a")");
    CHECK(answer(whole, "x.example") == NameAnswer::locally);
    CHECK(answer(whole, "y.example") == NameAnswer::from_pool);
    const auto web =
        with_rules(R"({"destination": "x.example", "port": [80, 443], "route": "direct"})", R"("a")");
    CHECK(answer(web, "x.example") == NameAnswer::from_pool);
    const auto tcp =
        with_rules(R"({"destination": "x.example", "protocol": "tcp", "route": "direct"})", R"("a")");
    CHECK(answer(tcp, "x.example") == NameAnswer::from_pool);
    const auto connects =
        with_rules(R"({"destination": "x.example", "operation": "connect", "route": "direct"})", R"("a")");
    CHECK(answer(connects, "x.example") == NameAnswer::locally);
}

TEST_CASE("rules for addresses, other programs and listeners have no say in a name") {
    CHECK(answer(with_rules(R"({"destination": "10.0.0.0/8", "route": "a"})"), "x.example") ==
          NameAnswer::locally);
    CHECK(answer(with_rules(R"({"operation": "bind", "route": "a"})"), "x.example") == NameAnswer::locally);
    const auto ssh = with_rules(R"({"program": "ssh", "route": "a"})");
    CHECK(answer(ssh, "x.example", "/usr/bin/curl") == NameAnswer::locally);
    CHECK(answer(ssh, "x.example", "/usr/bin/ssh") == NameAnswer::from_pool);
}

TEST_CASE("loopback names follow the loopback key") {
    CHECK(answer(with_rules("", R"("a")"), "localhost") == NameAnswer::locally);
    CHECK(answer(with_rules("", R"("a")", R"(, "loopback": "block")"), "localhost") == NameAnswer::from_pool);
    CHECK(answer(with_rules("", R"("a")", R"(, "loopback": "rules")"), "localhost") == NameAnswer::from_pool);
    CHECK(answer_name(with_rules("", R"("a")"), *Host::parse("192.0.2.1"), "") == NameAnswer::locally);
}

TEST_CASE("an explanation names the rule as the file shows it") {
    const auto config = must_parse(R"({
  "upstreams": {"bastion": {"url": "socks5://bastion.example"}, "backup": {"url": "socks5://backup.example"}},
  "rules": [
    {"port": 25, "route": "block", "comment": "no mail"},
    {"port": 443, "route": ["bastion", "backup"]}
  ],
  "default": "direct"
})");
    const auto say = [&](const char* host, std::uint16_t port) {
        return explain(config, {*Host::parse(host), port, Operation::connect, Protocol::tcp, ""});
    };
    CHECK(say("x.example", 443) == "rule 2 (line 5) matches: via bastion, then backup");
    CHECK(say("x.example", 25) == "rule 1 (line 4, \"no mail\") matches: block");
    CHECK(say("x.example", 80) == "no rule matches, so the default applies: direct");
    CHECK(say("127.0.0.1", 80) == "this machine itself, so \"loopback\" applies: direct");
}

TEST_CASE("a program may run without the library only if no rule could send it anywhere but directly") {
    const auto lets = [](const std::string& rules, const std::string& otherwise = R"("a")",
                         const std::string& more = "") {
        return is_always_direct(with_rules(rules, otherwise, more), "/usr/bin/go-tool");
    };
    CHECK_FALSE(lets(""));
    CHECK(lets("", R"("direct")"));
    CHECK(lets(R"({"program": "go-tool", "route": "direct"})"));
    CHECK(lets(R"({"program": "/usr/bin/go-*", "route": "direct"})"));
    CHECK_FALSE(lets(R"({"program": "other", "route": "direct"})"));
    CHECK(lets(R"({"program": "other", "route": "b"}, {"program": "go-tool", "route": "direct"})"));
    CHECK_FALSE(lets(
        R"({"destination": "*.corp.example", "route": "b"}, {"program": "go-tool", "route": "direct"})"));
    CHECK_FALSE(lets(R"({"port": 22, "route": "block"})", R"("direct")"));
    for (const auto* narrower : {R"("destination": "10.0.0.0/8",)", R"("port": 443,)",
                                 R"("protocol": "tcp",)", R"("operation": "connect",)"})
        CHECK_FALSE_MESSAGE(lets(std::string("{") + narrower + R"("program": "go-tool", "route": "direct"})"),
                            narrower);
    CHECK_FALSE(lets(R"({"program": "go-tool", "route": "direct"})", R"("a")", R"(, "loopback": "block")"));
    CHECK_FALSE(is_always_direct(with_rules(R"({"program": "go-tool", "route": "direct"})", R"("a")"), ""));
}
