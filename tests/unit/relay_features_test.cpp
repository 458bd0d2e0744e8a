#include "relay/features.hpp"
#include "support/octets.hpp"

#include <doctest/doctest.h>

using namespace socksify;
using namespace socksify::relay;
using test::hex;

namespace {

constexpr std::string_view a_hash =
    "$5$rounds=1000$KGRgmsWlgFjIwIyf$p5nNSbeNUc1SL/5sA6v/0PGaCQGgKzBrtS0g3EXZ0.0";

Config read(std::string_view text) {
    auto config = parse_config(text);
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().front().text("relay.json")));
    return std::move(*config);
}

const Caller anybody{*Host::parse("198.51.100.7"), {}};

FeatureList list_of(const Config& config, const Caller& caller = anybody,
                    std::string_view interest = "0.0.0.0:0", double load = 0.25) {
    return list_features(config, caller, *Endpoint::parse(interest), load);
}

} // namespace

TEST_CASE("the list of the default configuration, octet by octet") {
    CHECK(hex(list_of(read("{}")).encode()) == "01 05 01 00 " // SOCKS 5.0
                                               "02 01 00 02 03 00 02 04 00 "
                                               "03 00 00 "
                                               "04 01 00 04 03 00 04 10 01 01 "
                                               "80 00 08 73 6f 63 6b 73 69 66 79 " // "socksify"
                                               "80 01 01 02 "                      // early data
                                               "ff 00 00");
}

TEST_CASE("what is switched off is not in the list") {
    const auto list = list_of(read(R"({"features": {"names": false, "ipv6": false, "hold": false}})"));
    CHECK(list.supports(AddressType::ipv4) == Support::yes);
    CHECK(list.supports(AddressType::domain_name) == Support::no);
    CHECK(list.supports(AddressType::ipv6) == Support::no);
    CHECK(list.supports(Command::list_features) == Support::yes);
    CHECK_FALSE(list.persistent());
    CHECK(list.supports(Command::bind) == Support::no);
    CHECK(list.supports(Command::udp_associate) == Support::yes);
    CHECK(list_of(read(R"({"features": {"udp": false}})")).supports(Command::udp_associate) == Support::no);
}

TEST_CASE("sessions are told with their terms, when they are switched on") {
    const std::string auth =
        R"("auth": {"methods": "password", "users": {"alice": ")" + std::string(a_hash) + "\"}}";
    CHECK_FALSE(list_of(read("{" + auth + "}")).sessions());
    const auto list = list_of(read("{" + auth + R"(, "features": {"sessions": true},
        "limits": {"sessions_per_user": 7}, "timeouts": {"session": 60}})"));
    CHECK(list.sessions() == SessionTerms{60, 7});
    CHECK(list.supports(Method::password) == Support::yes);
    CHECK(list.supports(Method::none) == Support::no);
}

TEST_CASE("listening is told when it is switched on") {
    const auto off = list_of(read("{}"));
    CHECK(off.supports(Command::bind) == Support::no);
    CHECK(off.supports(Command::listen) == Support::no);
    const auto bind = list_of(read(R"({"features": {"bind": true}})"));
    CHECK(bind.supports(Command::bind) == Support::yes);
    CHECK(bind.has(BindFeature::honours_port));
    CHECK(bind.has(BindFeature::peer_filter));
    CHECK_FALSE(bind.has(BindFeature::listen_address));
    CHECK(bind.supports(Command::listen) == Support::no);
    const auto listen = list_of(read(R"({"features": {"listen": true}})"));
    CHECK(listen.supports(Command::bind) == Support::no);
    CHECK(listen.supports(Command::listen) == Support::yes);
    CHECK(listen.supports(Command::accept) == Support::yes);
    CHECK(listen.has(Tag::command, 0xa1, 1));
    CHECK(listen.has(Tag::command, 0xa2, 1));
}

TEST_CASE("rules for one operation leave the others in the list") {
    const auto config = [](std::string_view rules) {
        return read(R"({"features": {"bind": true, "listen": true}, "rules": )" + std::string(rules) + "}");
    };
    const auto no_peers = list_of(config(R"([{"operation": "bind", "action": "deny"}])"));
    CHECK(no_peers.supports(Command::connect) == Support::yes);
    CHECK(no_peers.supports(Command::udp_associate) == Support::yes);
    CHECK(no_peers.supports(Command::bind) == Support::no);
    CHECK(no_peers.supports(Command::listen) == Support::no);
    const auto peers_only = list_of(
        config(R"([{"operation": "bind", "port": "8000-8999", "action": "allow"}, {"action": "deny"}])"));
    CHECK(peers_only.supports(Command::connect) == Support::no);
    CHECK(peers_only.supports(Command::udp_associate) == Support::no);
    CHECK(peers_only.supports(Command::bind) == Support::yes);
    CHECK(peers_only.supports(Command::accept) == Support::yes);
}

TEST_CASE("TCP Fast Open is announced where it is switched on") {
    CHECK_FALSE(list_of(read("{}")).fast_open());
    CHECK(list_of(read(R"({"features": {"fast_open": true}})")).fast_open());
}

TEST_CASE("authentication methods are those of the configuration") {
    const auto users = R"("users": {"alice": ")" + std::string(a_hash) + "\"}";
    const auto both = list_of(read(R"({"auth": {"methods": ["none", "password"], )" + users + "}}"));
    CHECK(both.supports(Method::none) == Support::yes);
    CHECK(both.supports(Method::password) == Support::yes);
    const auto one = list_of(read(R"({"auth": {"methods": "password", )" + users + "}}"));
    CHECK(one.supports(Method::none) == Support::no);
}

TEST_CASE("server information is told when there is some") {
    const auto list = list_of(read(R"({"server": {"hostname": "h.example", "url": "https://h.example/",
                                                  "opaque_id": "x1", "load": true}})"));
    CHECK(list.text(Tag::server, 1) == "h.example");
    CHECK(list.text(Tag::server, 2) == "https://h.example/");
    CHECK(list.text(Tag::server, 3) == "x1");
    CHECK(list.text(Tag::server, 4) == "0.250");
    CHECK(list_of(read("{}")).text(Tag::server, 4) == std::nullopt);
}

TEST_CASE("SCOPE names what the answer depends on, and nothing else") {
    const auto scope = [](std::string_view rules, bool per_destination) {
        const auto config =
            read(R"({"features": {"per_destination": )" + std::string(per_destination ? "true" : "false") +
                 "}, \"rules\": " + std::string(rules) + "}");
        const auto list = list_of(config);
        const auto value = list.text(Tag::fdl, subtag_scope);
        return value ? hex(as_bytes(*value)) : "none";
    };
    CHECK(scope("[]", true) == "none");
    CHECK(scope(R"([{"action": "deny"}])", true) == "none");
    CHECK(scope(R"([{"client": "10.0.0.0/8", "action": "deny"}])", true) == "01");
    CHECK(scope(R"([{"user": "alice", "action": "deny"}])", true) == "02");
    CHECK(scope(R"([{"destination": "a.example", "action": "deny"}])", true) == "03");
    CHECK(scope(R"([{"port": 25, "action": "deny"}])", true) == "03");
    CHECK(scope(R"([{"client": "10.0.0.0/8", "user": "alice", "port": 25, "action": "deny"}])", true) ==
          "01 02 03");
    CHECK(scope(R"([{"client": "10.0.0.0/8", "user": "alice", "port": 25, "action": "deny"}])", false) ==
          "01 02");
}

TEST_CASE("CONNECT and UDP ASSOCIATE are listed for those who may reach something") {
    const auto config = read(R"({"rules": [{"client": "10.0.0.0/8", "action": "deny"},
                                           {"user": "alice", "port": 443, "action": "allow"}, {"action": "deny"}]})");
    CHECK(list_of(config).supports(Command::connect) == Support::no);
    CHECK(list_of(config).supports(Command::udp_associate) == Support::no);
    CHECK(list_of(config, {anybody.client, "alice"}).supports(Command::connect) == Support::yes);
    CHECK(list_of(config, {anybody.client, "alice"}).supports(Command::udp_associate) == Support::yes);
    CHECK(list_of(config, {*Host::parse("10.1.1.1"), "alice"}).supports(Command::connect) == Support::no);
    // Without per_destination the host of interest changes nothing.
    CHECK(list_of(config, {anybody.client, "alice"}, "192.0.2.1:80").supports(Command::connect) ==
          Support::yes);
}

TEST_CASE("per destination, CONNECT is listed if it may go to the host of interest") {
    const auto config = read(R"({"features": {"per_destination": true},
                                 "rules": [{"destination": ["*.bad.example", "192.0.2.0/24"], "action": "deny"}]})");
    CHECK(list_of(config, anybody, "x.bad.example:80").supports(Command::connect) == Support::no);
    CHECK(list_of(config, anybody, "192.0.2.9:80").supports(Command::connect) == Support::no);
    CHECK(list_of(config, anybody, "good.example:80").supports(Command::connect) == Support::yes);
    CHECK(list_of(config).supports(Command::connect) == Support::yes);
}

TEST_CASE("a spoilt list is spoilt as configured") {
    const auto encoded = [](std::string_view test) {
        const auto config =
            read(R"({"features": {"names": false}, "test_behaviour": )" + std::string(test) + "}");
        return hex(encode_list(list_of(config), config.test));
    };
    const std::string honest = "01 05 01 00 02 01 00 02 04 00 03 00 00 04 01 00 04 03 00 04 10 01 01 "
                               "80 00 08 73 6f 63 6b 73 69 66 79 80 01 01 02";
    CHECK(encoded("{}") == honest + " ff 00 00");
    CHECK(encoded(R"({"list_end": "tag_only"})") == honest + " ff");
    CHECK(encoded(R"({"list_end": "none"})") == honest);
    CHECK(encoded(R"({"list_also": "04 02 00"})") == honest + " 04 02 00 ff 00 00");
    CHECK(encoded(R"({"list_instead": "ff"})") == "ff");
}
