#include "ctl/lint.hpp"

#include "doctest/doctest.h"

using namespace socksify;
using namespace socksify::ctl;

namespace {

std::vector<Warning> warnings(std::string_view text) {
    const auto config = policy::parse_config(text);
    const auto document = policy::json::parse(text);
    REQUIRE(config.has_value());
    REQUIRE(document.has_value());
    return lint(*config, *document);
}

/// What is said of the second rule, if the first one is less special.
std::vector<Warning> second_after(const std::string& first, const std::string& second) {
    return warnings(R"({"default": "direct", "rules": [)"
                    "\n{" +
                    first + R"("route": "block"},)" + "\n{" + second + R"("route": "direct"}]})");
}

} // namespace

TEST_CASE("a pattern covers another if it matches all that this one does") {
    CHECK(covers_program("ssh", "ssh"));
    CHECK(covers_program("s*", "ssh"));
    CHECK(covers_program("s*", "s?h"));
    CHECK(covers_program("s?h", "s?h"));
    CHECK(covers_program("ssh", "/usr/bin/ssh"));
    CHECK(covers_program("/usr/*", "/usr/bin/*/x?"));
    CHECK_FALSE(covers_program("/usr/bin/ssh", "ssh"));
    CHECK_FALSE(covers_program("s?", "s*")); // ? is one character, * may be many
    CHECK_FALSE(covers_program("?", "*"));
    CHECK_FALSE(covers_program("s*", "/usr/*/s*")); // whose last part may begin otherwise: /usr/a/sb/c
    CHECK_FALSE(covers_program("b?b", "/a/b?b"));   // ? may be a /
}

TEST_CASE("a rule that an earlier one covers is told with both places") {
    const auto all = second_after("", R"("destination": "a.example", )");
    REQUIRE(all.size() == 1);
    CHECK(all[0].position == policy::json::Position{3, 1});
    CHECK(all[0].key == "rules[1]");
    CHECK(all[0].line("f") ==
          "f:3:1: warning: rules[1]: it never decides anything: rule 1 (line 2) already covers "
          "all that it could match");
}

TEST_CASE("networks and wildcards are compared as sets") {
    const auto covers = [](const std::string& a, const std::string& b) {
        return !second_after(R"("destination": ")" + a + "\", ", R"("destination": ")" + b + "\", ").empty();
    };
    CHECK(covers("10.0.0.0/8", "10.0.0.0/8"));
    CHECK(covers("10.0.0.0/8", "10.255.255.255"));
    CHECK(covers("0.0.0.0/0", "8.0.0.0/5"));
    CHECK(covers("::/0", "2001:db8::/127"));
    CHECK(covers("10.0.0.0/8", "::ffff:10.0.0.0/120"));
    CHECK(covers("*.a.example", "*.b.a.example"));
    CHECK(covers("*", "*"));
    CHECK(covers("*", "::/0"));
    CHECK_FALSE(covers("10.0.0.0/9", "10.0.0.0/8"));
    CHECK_FALSE(covers("10.0.0.0/8", "9.0.0.0/8"));
    CHECK_FALSE(covers("*.a.example", "a.example"));
    CHECK_FALSE(covers("*.b.a.example", "*.a.example"));
    CHECK_FALSE(covers("*.example", "*"));
    CHECK_FALSE(covers("0.0.0.0/0", "*"));
    CHECK_FALSE(covers("::/0", "0.0.0.0/0"));
    CHECK_FALSE(covers("a.example", "*.example"));
}

TEST_CASE("optimism that comes to nothing is told") {
    const auto said = [](const std::string& of_upstream, const std::string& of_rule) {
        const auto all = warnings(
            R"({"upstreams": {"a": {"url": "socks5://192.0.2.1")" + of_upstream +
            R"(}}, "default": "a", "rules": [{"destination": "x", "optimistic": true, )" + of_rule + "}]}");
        CHECK(all.size() <= 1);
        return all.empty() ? "" : all[0].key + ": " + all[0].text;
    };
    CHECK(said("", R"("route": "a")").empty());
    CHECK(said("", R"("route": "direct")") == "rules[0].optimistic: without effect: the route is no proxy");
    CHECK(said("", R"("protocol": "udp", "route": "a")") ==
          "rules[0].optimistic: without effect: the rule is not for TCP connections");
    CHECK(said("", R"("operation": "bind", "route": "a")") ==
          "rules[0].optimistic: without effect: the rule is not for TCP connections");
    CHECK(said(R"(, "discover": "off")", R"("route": "a")") ==
          "rules[0].optimistic: without effect: a is never asked for its features (discover: off)");
    CHECK(said(R"(, "pipelining": "off")", R"("route": "a")") ==
          "rules[0].optimistic: without effect: a is not sent messages ahead (pipelining: off)");
}

TEST_CASE("without a document there is nothing to compare") {
    policy::Config config;
    config.rules.resize(2);
    CHECK(lint(config, {}).empty());
}
