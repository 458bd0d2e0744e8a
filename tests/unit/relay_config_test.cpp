#include "relay/config.hpp"

#include "support/source_files.hpp"

using namespace socksify;
using namespace socksify::relay;
using namespace socksify::test;

namespace {

constexpr std::string_view a_hash =
    "$5$rounds=1000$KGRgmsWlgFjIwIyf$p5nNSbeNUc1SL/5sA6v/0PGaCQGgKzBrtS0g3EXZ0.0";

std::filesystem::path conf() { return root() / "conf"; }

Config read(std::string_view text) {
    auto config = parse_config(text);
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().front().text("relay.json")));
    return std::move(*config);
}

/// The first error, as it is shown.
std::string complaint(std::string_view text) {
    const auto config = parse_config(text);
    return config ? "" : config.error().front().text("relay.json");
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// The schema of the objects that `KeyInfo::object` speaks of.
const nlohmann::json& properties_of(const nlohmann::json& schema, std::string_view object) {
    if (object.empty()) return schema.at("properties");
    if (object == "rules[]") return schema.at("$defs").at("rule").at("properties");
    return schema.at("properties").at(std::string(object)).at("properties");
}

} // namespace

TEST_CASE("an empty document and the shipped file both give the defaults") {
    const auto empty = read("{}");
    const auto shipped = read(read_file(conf() / "relay.json"));
    for (const auto* config : {&empty, &shipped}) {
        CHECK(config->listen == Config{}.listen);
        CHECK_FALSE(config->insecure_open);
        CHECK(config->auth.methods.size() == 1);
        CHECK(config->auth.methods.contains(Method::none));
        CHECK(config->auth.users.empty());
        CHECK(config->auth.remember == Authentication{}.remember);
        CHECK(config->features == Offered{});
        CHECK(config->server == ServerTexts{});
        CHECK(config->hosts.empty());
        CHECK(config->rules.empty());
        CHECK(config->guard_own_host);
        CHECK(config->limits == LimitValues{});
        CHECK(config->timeouts == Timeouts{});
        CHECK(config->log_level == LogLevel::info);
        CHECK(config->test == TestBehaviour{});
    }
}

TEST_CASE("the shipped file and the schema have every key, with the default that the parser's list tells") {
    const auto shipped = read_json(conf() / "relay.json");
    const auto schema = read_json(conf() / "relay.schema.json");
    for (const auto& info : known_keys()) {
        INFO(info.object, " ", info.key);
        const std::string key(info.key);
        const auto& properties = properties_of(schema, info.object);
        REQUIRE(properties.contains(key));
        if (info.fallback.empty()) continue; // nothing stands there unless somebody wants it
        const auto fallback = nlohmann::json::parse(info.fallback);
        CHECK(properties.at(key).at("default") == fallback);
        const auto& object = info.object.empty() ? shipped : shipped.at(std::string(info.object));
        REQUIRE(object.contains(key));
        // An object's default is that of its keys.
        if (object.at(key).is_object() && !object.at(key).empty()) CHECK(fallback.empty());
        else CHECK(object.at(key) == fallback);
    }
}

TEST_CASE("the schema has no key that the parser does not know") {
    const auto schema = read_json(conf() / "relay.schema.json");
    for (const auto& object : {"", "auth", "features", "server", "inbound", "limits", "timeouts", "log",
                               "test_behaviour", "rules[]"})
        for (const auto& property : properties_of(schema, object).items()) {
            INFO(object, " ", property.key());
            CHECK(std::any_of(known_keys().begin(), known_keys().end(), [&](const auto& info) {
                return info.object == object && info.key == property.key();
            }));
        }
}

TEST_CASE("every key of the list is read: a value that fits none is an error at its place") {
    for (const auto& info : known_keys()) {
        INFO(info.object, " ", info.key);
        const auto member = "\"" + std::string(info.key) + "\": null";
        const std::string object(info.object);
        const auto text = object.empty()        ? "{" + member + "}"
                          : object == "rules[]" ? R"({"rules": [{"action": "deny", )" + member + "}]}"
                                                : "{\"" + object + "\": {" + member + "}}";
        CHECK(contains(complaint(text), "found "));
    }
}

TEST_CASE("an unknown key is told with its line, and with what was meant") {
    const auto error = complaint("{\n  \"limits\": {\n    \"conections\": 3\n  }\n}");
    CHECK(contains(error, "relay.json:3:5"));
    CHECK(contains(error, "limits.conections"));
    CHECK(contains(error, "did you mean \"connections\"?"));
}

TEST_CASE("comments are allowed, anything else that is not JSON is told with its line") {
    CHECK(complaint("// one\n{ /* two */ }").empty());
    CHECK(contains(complaint("{\n \"listen\": }"), "relay.json:2:"));
}

TEST_CASE("listening beyond loopback takes authentication") {
    for (const auto* address : {"0.0.0.0:1080", "192.0.2.1:1080", "[::]:1080", "[2001:db8::1]:1080"}) {
        INFO(address);
        const auto listen = R"("listen": ")" + std::string(address) + "\"";
        const auto users = R"("users": {"alice": ")" + std::string(a_hash) + "\"}";
        CHECK(contains(complaint("{" + listen + "}"), "beyond loopback"));
        CHECK(contains(
            complaint("{" + listen + R"(, "auth": {"methods": ["password", "none"], )" + users + "}}"),
            "beyond loopback"));
        CHECK(complaint("{" + listen + R"(, "auth": {"methods": "password", )" + users + "}}").empty());
        CHECK(complaint("{" + listen + R"(, "insecure_open": true})").empty());
    }
    CHECK(complaint(R"({"listen": ["127.0.0.1:1080", "[::1]:1080", "127.9.9.9:0"]})").empty());
}

TEST_CASE("a listening address is an address with a port") {
    for (const auto* wrong : {"localhost:1080", "127.0.0.1", "1080", "127.0.0.1:65536", "::1:1080"})
        CHECK(contains(complaint("{\"listen\": \"" + std::string(wrong) + "\"}"), "found "));
}

TEST_CASE("a password in the place of its hash is refused, and not shown") {
    for (const auto* wrong : {"secret", "hunter2hunter", "$2", "$y$", "$6$salt$", "$nosuch$salt$hash"}) {
        INFO(wrong);
        const auto error = complaint(R"({"auth": {"methods": "password", "users": {"alice": ")" +
                                     std::string(wrong) + "\"}}}");
        CHECK(contains(error, "auth.users.alice"));
        CHECK(contains(error, "--hash-password"));
        CHECK_FALSE(contains(error, wrong));
    }
}

TEST_CASE("users and the method password belong together") {
    CHECK(contains(complaint(R"({"auth": {"methods": "password"}})"), "without any user"));
    CHECK(contains(complaint(R"({"auth": {"users": {"alice": ")" + std::string(a_hash) + "\"}}}"),
                   "not the method"));
}

TEST_CASE("methods are in the order of preference") {
    const auto config = read(R"({"auth": {"methods": ["password", "none"], "users": {"alice": ")" +
                             std::string(a_hash) + "\"}}}");
    REQUIRE(config.auth.methods.size() == 2);
    CHECK(config.auth.methods[0] == Method::password);
    CHECK(config.auth.methods[1] == Method::none);
}

TEST_CASE("without any address family there is nothing to connect with") {
    CHECK(contains(complaint(R"({"features": {"ipv4": false, "ipv6": false}})"), "neither"));
}

TEST_CASE("hosts take one address or several, and find their names in any case") {
    const auto config =
        read(R"({"hosts": {"WWW.Example": "192.0.2.1", "b.example": ["192.0.2.2", "2001:db8::1"]}})");
    REQUIRE(config.hosts.contains("www.example"));
    CHECK(config.hosts.at("b.example").size() == 2);
    CHECK(contains(complaint(R"({"hosts": {"a.example": "b.example"}})"), "hosts[\"a.example\"]"));
    CHECK(contains(complaint(R"({"hosts": {"192.0.2.1": "192.0.2.2"}})"), "found "));
}

TEST_CASE("timeouts are seconds, fractions allowed, and a tunnel may idle for ever") {
    const auto config = read(R"({"timeouts": {"handshake": 0.25, "idle": 0, "keepalive": 0}})");
    CHECK(config.timeouts.handshake == milliseconds(250));
    CHECK(config.timeouts.idle.count() == 0);
    CHECK(config.timeouts.keepalive.count() == 0);
    CHECK(contains(complaint(R"({"timeouts": {"handshake": 0}})"), "timeouts.handshake"));
    CHECK(contains(complaint(R"({"timeouts": {"close": 6}})"), "timeouts.close"));
}

TEST_CASE("datagrams have a switch, limits, and a time of their own") {
    CHECK_FALSE(read(R"({"features": {"udp": false}})").features.udp);
    const auto config =
        read(R"({"limits": {"associations": 7, "destinations": 8}, "timeouts": {"udp_idle": 0.5}})");
    CHECK(config.limits.associations == 7);
    CHECK(config.limits.destinations == 8);
    CHECK(config.timeouts.udp_idle == milliseconds(500));
    CHECK(config.timeouts.idle == Timeouts{}.idle);
    CHECK(read(R"({"timeouts": {"udp_idle": 0}})").timeouts.udp_idle.count() == 0);
    CHECK(contains(complaint(R"({"limits": {"associations": 0}})"), "limits.associations"));
    CHECK(contains(complaint(R"({"limits": {"destinations": 0}})"), "limits.destinations"));
    CHECK(contains(complaint(R"({"timeouts": {"udp_idle": -1}})"), "timeouts.udp_idle"));
}

TEST_CASE("looking again before sleeping has a bound, and may be switched off") {
    CHECK(read("{}").limits.busy_poll == std::chrono::microseconds(100));
    CHECK(read(R"({"limits": {"busy_poll_us": 0}})").limits.busy_poll.count() == 0);
    CHECK(read(R"({"limits": {"busy_poll_us": 1000}})").limits.busy_poll == std::chrono::milliseconds(1));
    CHECK(contains(complaint(R"({"limits": {"busy_poll_us": 1001}})"), "limits.busy_poll_us"));
    CHECK(contains(complaint(R"({"limits": {"busy_poll_us": -1}})"), "limits.busy_poll_us"));
}

TEST_CASE("sessions have a switch, limits and a time, and are nothing without passwords") {
    const std::string auth = R"("auth": {"methods": ["none", "password"], "users": {"alice": "$6$saltsalt$)" +
                             std::string(86, 'x') + "\"}}";
    const auto config = read("{" + auth + R"(, "features": {"sessions": true},
        "limits": {"sessions": 9, "sessions_per_user": 3}, "timeouts": {"session": 0}})");
    CHECK(config.features.sessions);
    CHECK(config.limits.sessions == 9);
    CHECK(config.limits.sessions_per_user == 3);
    CHECK(config.timeouts.session.count() == 0);
    REQUIRE(config.auth.methods.size() == 3);
    CHECK(config.auth.methods[0] == Method::session);
    CHECK(config.auth.methods[1] == Method::none);
    CHECK_FALSE(read("{" + auth + "}").auth.methods.contains(Method::session));
    CHECK(contains(complaint(R"({"features": {"sessions": true}})"), "nobody has a password"));
    CHECK(contains(complaint(R"({"limits": {"sessions": 0}})"), "limits.sessions"));
    CHECK(contains(complaint(R"({"timeouts": {"session": 0.5}})"), "timeouts.session"));
}

TEST_CASE("listeners for peers have switches, places, limits, and a time of their own") {
    const auto config = read(R"({
        "features": {"bind": true, "listen": true},
        "inbound": {"address": "192.0.2.1", "advertise": ["203.0.113.1", "2001:db8::1"], "ports": [80, "8000-8999"]},
        "limits": {"listeners": 3, "backlog": 5}, "timeouts": {"bind": 0}
    })");
    CHECK(config.features.bind);
    CHECK(config.features.listen);
    REQUIRE(config.inbound.address.size() == 1);
    CHECK(config.inbound.address[0] == *Host::parse("192.0.2.1"));
    REQUIRE(config.inbound.advertise.size() == 2);
    REQUIRE(config.inbound.ports.size() == 2);
    CHECK(config.inbound.ports[1].last == 8999);
    CHECK(config.limits.listeners == 3);
    CHECK(config.limits.backlog == 5);
    CHECK(config.timeouts.bind.count() == 0);
    CHECK(contains(complaint(R"({"inbound": {"address": ["192.0.2.1", "192.0.2.2"]}})"),
                   "a second one of its family"));
    CHECK(contains(complaint(R"({"inbound": {"address": "relay.example"}})"), "inbound.address"));
    CHECK(contains(complaint(R"({"inbound": {"ports": 0}})"), "port 0"));
    CHECK(contains(complaint(R"({"inbound": {"ports": "0-10"}})"), "port 0"));
    CHECK(contains(complaint(R"({"inbound": {"ports": []}})"), "inbound.ports"));
    CHECK(contains(complaint(R"({"limits": {"backlog": 65536}})"), "limits.backlog"));
    CHECK(contains(complaint(R"({"rules": [{"operation": "listen", "action": "deny"}]})"), "operation"));
}

TEST_CASE("ways to spoil associations are words") {
    const auto config =
        read(R"({"test_behaviour": {"associate_bound": "other_family", "datagram_source": "name"}})");
    CHECK(config.test.associate_bound == AssociateBound::other_family);
    CHECK(config.test.datagram_source == DatagramSource::name);
    CHECK(contains(complaint(R"({"test_behaviour": {"associate_bound": "unspecifed"}})"),
                   "did you mean \"unspecified\"?"));
}

TEST_CASE("a rule has an action, and its client is a network") {
    CHECK(contains(complaint(R"({"rules": [{"port": 1}]})"), "rules[0].action"));
    CHECK(contains(complaint(R"({"rules": [{"action": "allwo"}]})"), "did you mean \"allow\"?"));
    CHECK(contains(complaint(R"({"rules": [{"action": "deny", "client": "host.example"}]})"),
                   "rules[0].client"));
    CHECK(complaint(R"({"rules": [{"action": "deny", "client": ["10.0.0.0/8", "0.0.0.0/0", "::1"]}]})")
              .empty());
}

TEST_CASE("a rule for every destination depends on none") {
    CHECK_FALSE(
        read(R"({"rules": [{"action": "allow", "destination": "*"}]})").rules.depend_on_destination());
    CHECK(read(R"({"rules": [{"action": "allow", "destination": "a.example"}]})")
              .rules.depend_on_destination());
}

TEST_CASE("octets for tests are pairs of hexadecimal digits") {
    CHECK(read(R"({"test_behaviour": {"list_also": "04 02 01 0a"}})").test.list_also ==
          std::vector<std::uint8_t>{4, 2, 1, 10});
    for (const auto* wrong : {"0", "0g", "04 2"})
        CHECK(contains(complaint(R"({"test_behaviour": {"list_also": ")" + std::string(wrong) + "\"}}"),
                       "list_also"));
}

TEST_CASE("a file that is not there, or too large, is one clear line") {
    const auto config = load_config("/nonexistent/relay.json");
    REQUIRE_FALSE(config.has_value());
    CHECK(config.error() == std::vector<std::string>{"/nonexistent/relay.json: No such file or directory"});
    const auto directory = load_config("/");
    REQUIRE_FALSE(directory.has_value());
    CHECK(directory.error().front() == "/: Is a directory");
}
