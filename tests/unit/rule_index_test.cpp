// Many rules are looked up in an index. It must find what a look at one rule after the other finds.
#include "policy/rules.hpp"

#include "doctest/doctest.h"

#include <random>

using namespace socksify;
using namespace socksify::policy;

namespace {

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }

template <class Values>
const auto& one_of(Random& random, const Values& values) {
    return values[below(random, std::size(values))];
}

/// Few words, so that rules and queries meet often.
std::string some_name(Random& random) {
    static const std::string labels[] = {"a", "b", "www", "example", "org", "x-1"};
    std::string name = one_of(random, labels);
    for (auto more = below(random, 4); more > 0; --more) name += "." + one_of(random, labels);
    return name;
}

std::string some_address(Random& random) {
    static const std::string octets[] = {"0", "1", "10", "127", "128", "255"};
    if (below(random, 3) == 0) {
        static const std::string words[] = {"0", "1", "8000", "ffff", "db8"};
        return "2001:" + one_of(random, words) + ":" + one_of(random, words) + "::" + one_of(random, words);
    }
    return "10." + one_of(random, octets) + "." + one_of(random, octets) + "." + one_of(random, octets);
}

std::string some_destination(Random& random) {
    switch (below(random, 6)) {
    case 0: return "*";
    case 1: return some_name(random);
    case 2: return "*." + some_name(random);
    case 3: return some_address(random);
    default: break;
    }
    // Parsed once, with bits behind the prefix, to learn which network it is in.
    const auto address = some_address(random);
    const auto prefix = below(random, address.find(':') == std::string::npos ? 33 : 129);
    const auto network = address + "/" + std::to_string(prefix);
    const auto parsed = Destination::parse(network);
    return parsed ? network : parsed.error().suggestion;
}

const std::string programs[] = {"curl", "/usr/bin/curl", "/usr/bin/ssh", "ssh", "s*", "/usr/*", "?url"};
const std::uint16_t ports[] = {1, 22, 80, 443, 8000, 8010, 65535};

Rule some_rule(Random& random, std::size_t number) {
    Rule rule;
    for (auto count = below(random, 3); count > 0; --count)
        rule.destinations.push_back(*Destination::parse(some_destination(random)));
    for (auto count = below(random, 3); count > 0; --count) {
        const auto first = one_of(random, ports);
        const std::size_t last = first + (below(random, 3) == 0 ? below(random, 40) : 0);
        rule.ports.push_back({first, static_cast<std::uint16_t>(std::min<std::size_t>(last, 65535))});
    }
    for (auto count = below(random, 3); count > 0; --count) rule.programs.push_back(one_of(random, programs));
    if (below(random, 4) == 0)
        rule.operations.add(below(random, 2) == 0 ? Operation::connect : Operation::bind);
    if (below(random, 4) == 0) rule.protocols.add(below(random, 2) == 0 ? Protocol::tcp : Protocol::udp);
    if (number % 3 == 0) rule.action = {Action::Kind::direct, {}};
    return rule;
}

} // namespace

TEST_CASE("an index of rules finds what a look at one after the other finds") {
    Random random(20261121);
    for (unsigned round = 0; round < 300; ++round) {
        Config plain;
        const auto count = 1 + below(random, round % 10 == 0 ? 300 : 40);
        for (std::size_t i = 0; i < count; ++i) plain.rules.push_back(some_rule(random, i));
        if (below(random, 2) == 0) plain.otherwise = {Action::Kind::direct, {}};
        auto indexed = plain;
        indexed.index = RuleIndex(indexed.rules);
        REQUIRE(plain.index.size() == 0);
        for (unsigned k = 0; k < 100; ++k) {
            const auto text = below(random, 2) == 0 ? some_name(random) : some_address(random);
            const auto host =
                *Host::parse(below(random, 8) == 0 ? text + (text.find(':') < text.size() ? "" : ".") : text);
            const auto program =
                below(random, 4) == 0 ? std::string() : "/usr/bin/" + one_of(random, programs).substr(0, 4);
            const Query query{host, one_of(random, ports),
                              below(random, 2) == 0 ? Operation::connect : Operation::bind,
                              below(random, 2) == 0 ? Protocol::tcp : Protocol::udp, program};
            CAPTURE(text);
            CAPTURE(program);
            CAPTURE(round);
            CHECK(route(indexed, query).rule == route(plain, query).rule);
            CHECK(answer_name(indexed, host, program) == answer_name(plain, host, program));
        }
    }
}

TEST_CASE("a rules file with many rules gets an index, one with few gets none") {
    const auto with = [](std::size_t count) {
        std::string text = R"({"upstreams": {"a": {"url": "socks5://a.example"}}, "rules": [)";
        for (std::size_t i = 0; i < count; ++i)
            text += (i > 0 ? "," : "") + (R"({"destination": "n)" + std::to_string(i)) +
                    R"(.example", "route": "block"})";
        return *parse_config(text + "]}");
    };
    CHECK(with(2).index.size() == 0);
    const auto many = with(2000);
    CHECK(many.index.size() == 2000);
    CHECK(route(many, {*Host::name("N1999.example."), 1, {}, {}, ""}).rule == 1999);
    CHECK(route(many, {*Host::name("n2000.example"), 1, {}, {}, ""}).rule == by_default);
}
