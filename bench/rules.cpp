// bench-rules: how long it takes to find the rule for a connection, among COUNT rules.
//
//     bench-rules COUNT
//
// The rules are of all kinds, and half of the connections match none. The mean goes to standard output, in
// nanoseconds: with the index that a rules file of that size gets, and looking at one rule after the other.

#include "policy/rules.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

using namespace socksify;
using namespace socksify::policy;

namespace {

std::string destination_of(std::size_t i) {
    const auto number = std::to_string(i);
    switch (i % 4) {
    case 0: return "host" + number + ".example.org";
    case 1: return "*.domain" + number + ".example";
    case 2: return "10." + std::to_string(i / 256 % 256) + "." + std::to_string(i % 256) + ".0/24";
    default: return "2001:db8:" + number.substr(0, 4) + "::/48";
    }
}

Config with_rules(std::size_t count) {
    std::string text = R"({"upstreams": {"a": {"url": "socks5://192.0.2.1"}}, "rules": [)";
    for (std::size_t i = 0; i < count; ++i)
        text += (i > 0 ? "," : "") + (R"({"destination": ")" + destination_of(i)) +
                (i % 5 == 0 ? R"(", "port": 443, "route": "block"})" : R"(", "route": "direct"})");
    return parse_config(text + "]}").value();
}

double nanoseconds_each(const Config& config, std::size_t rules) {
    std::vector<Host> hosts;
    for (std::size_t i = 0; i < 256; ++i) {
        const auto n = i * 7919 % (2 * rules);
        hosts.push_back(i % 2 == 0 ? *Host::name("www.domain" + std::to_string(n) + ".example")
                                   : Host::ipv4({10, static_cast<std::uint8_t>(n / 256),
                                                 static_cast<std::uint8_t>(n), 1}));
    }
    unsigned long sum = 0;
    const std::size_t rounds = config.index.size() != 0 || rules < 100 ? 2000 : 20;
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < rounds; ++i)
        for (const auto& host : hosts)
            sum += static_cast<unsigned long>(
                route(config, {host, 443, Operation::connect, Protocol::tcp, "/bin/true"}).rule);
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
    if (sum == 1) std::puts(""); // so that it is not thrown away
    return time.count() / static_cast<double>(rounds * hosts.size());
}

} // namespace

int main(int count, char** arguments) {
    if (count != 2) return 2;
    const auto rules = std::strtoul(arguments[1], nullptr, 10);
    auto config = with_rules(rules);
    const double with = nanoseconds_each(config, rules);
    config.index = {};
    std::printf("{\"with\": %.1f, \"without\": %.1f}\n", with, nanoseconds_each(config, rules));
    return 0;
}
