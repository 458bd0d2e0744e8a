#include "policy/config.hpp"

#include "support/source_files.hpp"

#include <set>

using namespace socksify;
using namespace socksify::policy;
using namespace socksify::test;
using namespace std::chrono_literals;

namespace {

Config must_parse(std::string_view text) {
    auto config = parse_config(text);
    REQUIRE_MESSAGE(config.has_value(), (config ? "" : config.error().front().text("rules")));
    return std::move(*config);
}

std::vector<ConfigError> errors_of(std::string_view text) {
    const auto config = parse_config(text);
    REQUIRE_MESSAGE(!config.has_value(), text);
    REQUIRE_FALSE(config.error().empty());
    return config.error();
}

/// The text's only error.
ConfigError error_of(std::string_view text) {
    const auto errors = errors_of(text);
    for (std::size_t i = 1; i < errors.size(); ++i) FAIL_CHECK(errors[i].text("and"));
    return errors.front();
}

/// "key": "text", the text as JSON spells it.
std::string member(std::string_view key, std::string_view text) {
    std::string out("\"");
    return out.append(key).append(R"(": ")").append(text).append("\"");
}

/// One upstream, "a", with these members beside its URL.
std::string with_upstream(const std::string& members, const std::string& url = "socks5://a.example") {
    return R"({"upstreams": {"a": {"url": ")" + url + "\"" + (members.empty() ? "" : ", ") + members + "}}}";
}

/// One rule with this member.
std::string with_rule(const std::string& member) {
    return R"({"rules": [{)" + member + R"(, "route": "direct"}], "default": "direct"})";
}

Upstream upstream_of(const std::string& members, const std::string& url = "socks5://a.example") {
    return must_parse(with_upstream(members, url)).upstreams.at(0);
}

/// The schema of the objects that `KeyInfo::object` speaks of.
nlohmann::json schema_of(const nlohmann::json& schema, std::string_view object) {
    if (object.empty()) return schema;
    if (object == "upstreams.*") return schema["$defs"]["upstream"];
    if (object == "rules[]") return schema["$defs"]["rule"];
    if (object == "log") return schema["$defs"]["log"];
    FAIL("no schema is known for ", object);
    return {};
}

} // namespace

TEST_CASE("an upstream that says nothing has the defaults") {
    const auto config = must_parse(with_upstream(""));
    REQUIRE(config.upstreams.size() == 1);
    const auto& a = config.upstreams[0];
    CHECK(a.name == "a");
    CHECK(a.host == *Host::name("a.example"));
    CHECK(a.port == 1080);
    CHECK(a.username.empty());
    CHECK(a.discover == Discover::background);
    CHECK(a.connect_timeout == 10s);
    CHECK(a.handshake_timeout == 30s);
    CHECK(a.discover_timeout == 3s);
    CHECK(a.feature_lifetime == 1h);
    CHECK(a.without_names == WithoutNames::fail);
    CHECK(a.hold.most == 4);
    CHECK_FALSE(a.hold.however_near);
    CHECK(config.otherwise.kind == Action::Kind::via);
    CHECK(config.otherwise.upstreams == std::vector<std::size_t>{0});
    CHECK(config.loopback == Loopback::direct);
    CHECK(config.dns == Dns::system);
    CHECK_FALSE(config.resolver.has_value());
    CHECK(config.log.level == LogLevel::error);
    CHECK(config.log.file.empty());
}

TEST_CASE("each key reaches its field") {
    const auto config = must_parse(R"({
        "$schema": "x",
        "upstreams": {"a": {"url": "socks5h://192.0.2.1:1081", "username": "u", "password_env": "PW_1", "discover": "inline",
            "connect_timeout": 0.25, "handshake_timeout": 3600, "discover_timeout": 1e-3, "feature_lifetime": 60,
            "without_names": "resolve", "hold": 2},
          "b": {"url": "socks5://[2001:db8::1]:1/", "username": "u", "password_file": "/p", "discover": "off",
            "hold": "off"}},
        "rules": [
          {"destination": "x.example", "port": 1, "operation": "bind", "protocol": "udp", "program": "p", "comment": "why",
           "optimistic": true, "route": ["b", "a"]}, {"optimistic": true, "route": "direct"}, {"route": "a"}],
        "default": "block", "loopback": "rules", "dns": "all",
        "resolver": "192.0.2.53", "log": {"level": "trace", "file": "/l"}})");
    const auto& a = config.upstreams.at(0);
    CHECK(a.host == Host::ipv4({192, 0, 2, 1}));
    CHECK(a.port == 1081);
    CHECK(a.username == "u");
    CHECK(a.password_source.environment == "PW_1");
    CHECK(a.discover == Discover::in_line);
    CHECK(a.connect_timeout == 250ms);
    CHECK(a.handshake_timeout == 1h);
    CHECK(a.discover_timeout == 1ms);
    CHECK(a.feature_lifetime == 60s);
    CHECK(a.without_names == WithoutNames::resolve);
    CHECK(a.hold.most == 2);
    CHECK(a.hold.however_near);
    CHECK(a.line == 3);
    const auto& b = config.upstreams.at(1);
    CHECK(b.host.text() == "2001:db8::1");
    CHECK(b.port == 1);
    CHECK(b.password_source.file == "/p");
    CHECK(b.discover == Discover::off);
    CHECK(b.hold.most == 0);
    const auto& rule = config.rules.at(0);
    CHECK(rule.destinations.size() == 1);
    CHECK(rule.ports.at(0).first == 1);
    CHECK_FALSE(rule.operations.allows(Operation::connect));
    CHECK_FALSE(rule.protocols.allows(Protocol::tcp));
    CHECK(rule.programs == std::vector<std::string>{"p"});
    CHECK(rule.comment == "why");
    CHECK(rule.action.upstreams == std::vector<std::size_t>{1, 0});
    CHECK(rule.line == 9);
    CHECK(rule.action.optimistic);
    CHECK_FALSE(config.rules.at(1).action.optimistic); // it goes directly
    CHECK_FALSE(config.rules.at(2).action.optimistic);
    CHECK(config.otherwise.kind == Action::Kind::block);
    CHECK(config.loopback == Loopback::rules);
    CHECK(config.dns == Dns::all);
    CHECK(config.resolver->text() == "192.0.2.53:53");
    CHECK(config.log.level == LogLevel::trace);
    CHECK(config.log.file == "/l");
}

TEST_CASE("routes may name upstreams that stand further down") {
    const auto config = must_parse(
        R"({"default": "a", "rules": [{"route": "a"}], "upstreams": {"a": {"url": "socks5://x"}}})");
    CHECK(config.rules[0].action.upstreams == std::vector<std::size_t>{0});
}

TEST_CASE("a misspelt key is named with its line and the right spelling") {
    const auto error = error_of(
        "{\n  \"rules\": [\n    {\"prot\": 1, \"route\": \"direct\"}\n  ],\n  \"default\": \"direct\"\n}");
    CHECK(error.line == 3);
    CHECK(error.column == 6);
    CHECK(error.key == "rules[0].prot");
    CHECK(error.suggestion == "port");
    CHECK(error.text("socksify.json") ==
          "socksify.json:3:6: rules[0].prot: found an unknown key; allowed: destination, port, "
          "operation, protocol, program, route, optimistic, comment; did you mean \"port\"?");
}

TEST_CASE("what is held ready is a word or a number within bounds") {
    for (const auto* const wrong : {"0", "9", "1.5", "-1", "true", "\"4\"", "\"on\"", "null"})
        CHECK_FALSE(parse_config("{" + std::string(R"("upstreams": {"a": {"url": "socks5://x", "hold": )") +
                                 wrong + "}}}"));
    for (const auto* const right : {"1", "8", "\"auto\"", "\"off\""})
        CHECK(parse_config("{" + std::string(R"("upstreams": {"a": {"url": "socks5://x", "hold": )") + right +
                           "}}}"));
}

TEST_CASE("guesses ignore case and hyphens, and stay silent when nothing is near") {
    CHECK(error_of(with_upstream(R"("connect-timeout": 1)")).suggestion == "connect_timeout");
    CHECK(error_of(with_upstream(R"("connectTimeout": 1)")).suggestion == "connect_timeout");
    CHECK(error_of(with_upstream(R"("user": "x")")).suggestion == "username");
    CHECK(error_of(with_upstream(R"("zzz": 1)")).suggestion.empty());
    CHECK(error_of(with_rule(R"("destinations": "x")")).suggestion == "destination");
    CHECK(error_of(with_upstream(R"("discover": "Inline")")).suggestion == "inline");
    CHECK(error_of(with_upstream("\"" + std::string(100'000, 'a') + "\": 1")).suggestion.empty());
}

TEST_CASE("every error of a file is told, in its order") {
    const auto errors = errors_of(R"({
  "rules": [{"port": 70000, "route": "bastoin"}, {"protocol": "sctp"}],
  "upstreams": {"bastion": {"url": "http://x", "discover": 7}},
  "loopback": "indirect"
})");
    REQUIRE(errors.size() == 7);
    CHECK(errors[0].key == "rules[0].port");
    CHECK(errors[0].found == "70000");
    CHECK(errors[1].key == "rules[0].route");
    CHECK(errors[1].suggestion == "bastion");
    CHECK(errors[2].key == "rules[1].route");
    CHECK(errors[2].found == "nothing");
    CHECK(errors[3].key == "rules[1].protocol");
    CHECK(errors[3].found == "\"sctp\"");
    CHECK(errors[4].key == "upstreams.bastion.url");
    CHECK(errors[5].key == "upstreams.bastion.discover");
    CHECK(errors[6].key == "loopback");
    CHECK(errors[6].suggestion == "direct");
}

TEST_CASE("a file full of errors stops at the hundredth") {
    std::string text = "{";
    for (int i = 0; i < 5000; ++i) text += "\"key" + std::to_string(i) + "\": 0,";
    CHECK(errors_of(text + R"("default": "direct"})").size() == 100);
}

TEST_CASE("a key that stands there twice is an error") {
    const auto error = error_of("{\"default\": \"direct\",\n \"default\": \"block\"}");
    CHECK(error.line == 2);
    CHECK(error.key == "default");
    CHECK(error.found == "the key a second time (first in line 1)");
    CHECK(
        error_of(R"({"upstreams": {"a": {"url": "socks5://x"}, "a": {"url": "socks5://y"}}, "default": "a"})")
            .key == "upstreams.a");
}

TEST_CASE("what is not JSON is one error with its place") {
    const auto error = error_of("{\n  \"default\": \"direct\",\n}");
    CHECK(error.line == 3);
    CHECK(error.column == 1);
    CHECK(error.text("f") == "f:3:1: found a separator with nothing after it; allowed: JSON (RFC 8259), and "
                             "// and /* */ comments");
    CHECK(error_of("").line == 1);
    CHECK(error_of("[]").found == "a list");
    CHECK(error_of("{\"default\": \"direct\"}\xef\xbb\xbf").column == 22);
}

TEST_CASE("the default may be left out only if it is clear") {
    CHECK(error_of("{}").key == "default");
    CHECK(error_of(R"({"upstreams": {"a": {"url": "socks5://x"}, "b": {"url": "socks5://y"}}})").key ==
          "default");
    CHECK(must_parse(R"({"default": "direct"})").otherwise.kind == Action::Kind::direct);
}

TEST_CASE("an upstream cannot take the name of a route") {
    for (const auto* name : {"direct", "Block", "", "a b", "a/b"})
        CHECK(error_of(R"({"upstreams": {")" + std::string(name) +
                       R"(": {"url": "socks5://x"}}, "default": "direct"})")
                  .found.starts_with("the name "));
}

TEST_CASE("a route is one word, or a list of different upstreams") {
    const auto found = [](const std::string& route) {
        return error_of(R"({"upstreams": {"a": {"url": "socks5://x"}}, "default": )" + route + "}").found;
    };
    CHECK(found("[]") == "an empty list");
    CHECK(found(R"(["a", "a"])") == "\"a\" a second time");
    CHECK(found(R"(["a", "direct"])").starts_with("\"direct\" in a list"));
    CHECK(found(R"([["a"]])") == "a list");
    CHECK(found("null") == "null");
    CHECK(found(R"("c")") == "\"c\", which is not among the upstreams");
}

TEST_CASE("an empty list is not taken for no constraint") {
    for (const auto* key : {"destination", "port", "operation", "protocol", "program"})
        CHECK(error_of(with_rule("\"" + std::string(key) + "\": []")).found == "an empty list");
}

TEST_CASE("a network with host bits is an error that names the right network") {
    CHECK(error_of(with_rule(R"("destination": "10.1.2.3/8")")).suggestion == "10.0.0.0/8");
    CHECK(error_of(with_rule(R"("destination": "2001:db8::1/47")")).suggestion == "2001:db8::/47");
    CHECK(error_of(with_rule(R"("destination": "192.0.2.1/0")")).suggestion == "0.0.0.0/0");
    CHECK(error_of(with_rule(R"("destination": ["x", "10.0.0.0/33"])")).key == "rules[0].destination[1]");
    for (const auto* text :
         {"10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/255.0.0.0", "example.org/24", "/8", "::/129"})
        error_of(with_rule(member("destination", text)));
}

TEST_CASE("a destination that could never match is an error") {
    for (const auto* text :
         {"", ".", "a..b", "*.", "a*.example", "*.*.example", "10.0.0", "10.1", "0x7f.1", "256.1.1.1", "a b",
          "fe80::1%eth0", "https://example.org/", "2001:db8::g", "-.5"})
        error_of(with_rule(member("destination", text)));
    CHECK(error_of(with_rule(R"("destination": ".example.org")")).suggestion == "*.example.org");
    CHECK(error_of(with_rule(R"("destination": "example.org:443")")).suggestion == "example.org");
    CHECK(error_of(with_rule(R"("destination": "bücher.example")")).found.ends_with("(xn--…)"));
    must_parse(with_rule(
        R"("destination": ["_sip._tcp.example", "a-b.0xg", "xn--bcher-kva.example", "1.example"])"));
}

TEST_CASE("ports are whole numbers from 0 to 65535, and ranges run upwards") {
    must_parse(with_rule(R"("port": [0, 65535, "0-65535", 443.0])"));
    for (const auto* port : {"65536", "-1", "1.5", "\"http\"", "\"1-\"", "\"-1\"", "\"1-2-3\"", "\"+1\"",
                             "\" 1\"", "\"65536\"", "true", "{}", "[[1]]"})
        error_of(with_rule("\"port\": " + std::string(port)));
    CHECK(error_of(with_rule(R"("port": "9000-8000")")).suggestion == "8000-9000");
}

TEST_CASE("a program is a bare name or an absolute path") {
    for (const auto* program : {"", "bin/curl", "./curl", "/usr/bin/", "curl\\u0000", "/usr/bin/curl\\u0000"})
        error_of(with_rule(member("program", program)));
}

TEST_CASE("timeouts are seconds within reason") {
    for (const auto* seconds : {"0", "-1", "0.0001", "3601", "\"10\"", "1e300"})
        CHECK(error_of(with_upstream("\"connect_timeout\": " + std::string(seconds))).key ==
              "upstreams.a.connect_timeout");
    for (const auto* seconds : {"0", "1.5", "31536001"})
        error_of(with_upstream("\"feature_lifetime\": " + std::string(seconds)));
    CHECK(error_of(with_upstream("\"connect_timeout\": " + std::string(1000, '9'))).found.size() < 40);
}

TEST_CASE("user and password in a URL are decoded") {
    const auto a = upstream_of("", "SOCKS5://al%69ce%40home:p%3Aa%2Fs:%25@proxy.example:1081");
    CHECK(a.username == "alice@home");
    CHECK(a.password_source.literal == "p:a/s:%");
    CHECK(a.host.text() == "proxy.example");
    CHECK(a.port == 1081);
    CHECK(upstream_of("", "socks5://u@v:p@x").username == "u@v");
    CHECK(upstream_of("", "socks5://u:@x").username == "u");
    CHECK(upstream_of(R"("password": "")", "socks5://u@x").username == "u");
    error_of(with_upstream("", "socks5://u:%4@x"));
    error_of(with_upstream("", "socks5://u:%@x"));
    error_of(with_upstream("", "socks5://u:%g0@x"));
}

TEST_CASE("a URL that is not SOCKS5 is told what is supported") {
    const auto error = error_of(with_upstream("", "socks4a://x"));
    CHECK(error.found == "the scheme \"socks4a://\"");
    CHECK(error.allowed.starts_with("socks5://[user"));
    CHECK(error_of(with_upstream("", "socks://x")).suggestion == "socks5://");
    for (const auto* url : {"",
                            "x",
                            "x:1080",
                            "http://x",
                            "socks5:/x",
                            "socks5://",
                            "socks5://:1080",
                            "socks5://x:",
                            "socks5://x:0",
                            "socks5://x:65536",
                            "socks5://x:1 ",
                            "socks5://2001:db8::1",
                            "socks5://[2001:db8::1",
                            "socks5://[x]",
                            "socks5://x/y",
                            "socks5://x?y",
                            "socks5://x#y",
                            "socks5://a b",
                            "socks5://10.1",
                            "socks5://u:p@",
                            "socks5://[::1]1080"})
        error_of(with_upstream("", url));
}

TEST_CASE("credentials come in pairs, each from one place") {
    CHECK(error_of(with_upstream("", "socks5://u@x")).found == "a username without a password");
    CHECK(error_of(with_upstream("", "socks5://:p@x")).found == "a password without a username");
    CHECK(error_of(with_upstream(R"("password_env": "P")")).found == "a password without a username");
    CHECK(error_of(with_upstream(R"("username": "v")", "socks5://u:p@x")).found ==
          "a username in the URL and another one");
    CHECK(error_of(with_upstream(R"("password_file": "/p")", "socks5://u:p@x")).found == "2 passwords");
    CHECK(error_of(with_upstream(R"("password_file": "/p", "password_env": "P")", "socks5://u@x")).found ==
          "2 passwords");
    CHECK(error_of(with_upstream(R"("password": "p", "username": "")")).key == "upstreams.a.username");
}

TEST_CASE("credentials longer than RFC 1929's one octet can tell are refused") {
    const std::string most(255, 'x');
    CHECK(upstream_of(member("username", most) + ", " + member("password", most)).username == most);
    error_of(with_upstream(member("password", "p") + ", " + member("username", most + "x")));
    error_of(with_upstream(member("username", "u") + ", " + member("password", most + "x")));
    error_of(with_upstream("", "socks5://u:" + most + "x@x"));
    error_of(with_upstream("", "socks5://u" + most + ":p@x"));
    // 128 characters, 256 octets
    std::string umlauts;
    for (int i = 0; i < 128; ++i) umlauts += "ü";
    error_of(with_upstream(member("username", "u") + ", " + member("password", umlauts)));
}

TEST_CASE("no error shows a password, wherever it was put") {
    const std::string texts[] = {
        with_upstream(R"("username": "u", "password": ["hunter2"])"),
        with_upstream(R"("username": "u", "password": {"hunter2": 1})"),
        with_upstream(R"("username": "u", "pasword": "hunter2")"),
        with_upstream(R"("username": "u", "password": "hunter2)" + std::string(300, 'x') + "\""),
        with_upstream(R"("username": "u", "password_env": "hunter2!")"),
        with_upstream(R"("username": "u", "password_file": "hunter2")"),
        with_upstream(R"("password": "hunter2")"),
        with_upstream(R"("username": "u", "password": "hunter2" "x")"),
        with_upstream(R"("username": "u", "password": "hunter2\x")"),
        with_upstream("", "http://u:hunter2@x"),
        with_upstream("", "u:hunter2@x:1080"),
        with_upstream("", "socks5://u:hunter2@x y"),
        with_upstream("", "socks5://u:hunter2@x:0"),
        with_upstream("", "socks5://u:hunter2/3@x"),
        with_upstream("", "socks5://u:hunter2%@x"),
        with_upstream("", "socks5://u:hunter2"),
        with_upstream("", "socks5://u:v:hunter2"),
        with_upstream("", "socks5://u:p@hunter2@"),
        with_upstream(R"("discover": "socks5://u:hunter2@x")"),
        R"({"default": "socks5://u:hunter2@x"})",
        R"({"upstreams": {"u:hunter2@x": {"url": "socks5://x"}}})",
        R"({"upstreams": {"a": "socks5://u:hunter2@x"}})",
    };
    for (const auto& text : texts)
        for (const auto& error : errors_of(text)) {
            const auto shown = error.text("f");
            CHECK_MESSAGE(shown.find("hunter") == std::string::npos, shown);
        }
}

TEST_CASE("an error cannot drive the terminal") {
    CHECK(error_of(R"({"default": "\u001b[2J\n\u0000\u007f\""})").found ==
          R"("\x1b[2J\x0a\x00\x7f\"", which is not among the upstreams)");
    CHECK(error_of(R"({"default": "direct", "\u001b": 1})").key == R"(["\x1b"])");
    CHECK(policy::quoted(std::string(61, 'x')) == "\"" + std::string(60, 'x') + "…\"");
    CHECK(policy::quoted(std::string(59, 'x') + "üü") == "\"" + std::string(59, 'x') + "…\"");
}

TEST_CASE("a URL alone sends everything but loopback to its proxy") {
    const auto config = config_from_url("socks5h://u:p@[::1]:9050");
    REQUIRE(config);
    REQUIRE(config->upstreams.size() == 1);
    CHECK(config->upstreams[0].name == "proxy");
    CHECK(config->upstreams[0].host.text() == "::1");
    CHECK(config->upstreams[0].port == 9050);
    CHECK(config->upstreams[0].password_source.literal == "p");
    CHECK(config->otherwise.kind == Action::Kind::via);
    CHECK(config->rules.empty());
    CHECK(config->loopback == Loopback::direct);
}

TEST_CASE("an error in a URL has no line to name") {
    const auto config = config_from_url("socks4://x");
    REQUIRE_FALSE(config);
    CHECK(config.error().text("-p").starts_with("-p: found the scheme \"socks4://\"; allowed: socks5://"));
    CHECK_FALSE(config_from_url("socks5://u@x"));
}

TEST_CASE("every known key is looked at") {
    for (const auto& key : known_keys()) {
        const auto member = R"(")" + std::string(key.key) + R"(": {"x": []})";
        const auto text = key.object.empty()            ? "{" + member + "}"
                          : key.object == "upstreams.*" ? R"({"upstreams": {"x": {)" + member + "}}}"
                          : key.object == "rules[]"
                              ? R"({"rules": [{)" + member + "}]}"
                              : "{\"" + std::string(key.object) + "\": {" + member + "}}";
        bool told = false;
        for (const auto& error : errors_of(text))
            told |= error.key.find(key.key) != std::string::npos && error.found != "nothing";
        CHECK_MESSAGE(told, key.object, " ", key.key);
    }
}

TEST_CASE("the schema knows the parser's keys and defaults, and no others") {
    const auto schema = read_json(root() / "conf/socksify.schema.json");
    std::set<std::pair<std::string, std::string>> parsers;
    std::set<std::pair<std::string, std::string>> schemas;
    std::set<std::string> objects;
    for (const auto& key : known_keys()) {
        parsers.emplace(key.object, key.key);
        objects.emplace(key.object);
        const auto object = schema_of(schema, key.object);
        const auto property = object["properties"].value(std::string(key.key), nlohmann::json());
        // A reference's target may hold the default.
        const auto target = property.value("$ref", "") == "#/$defs/log" ? schema["$defs"]["log"] : property;
        CHECK_MESSAGE((target.contains("default") ? target["default"].dump() : "") == key.fallback, key.key);
    }
    for (const auto& object : objects) {
        const auto part = schema_of(schema, object);
        CHECK(part["additionalProperties"] == false);
        for (const auto& [key, value] : part["properties"].items()) schemas.emplace(object, key);
    }
    CHECK(parsers == schemas);
}

TEST_CASE("the shipped file is right, shows every key and has each default") {
    const auto path = root() / "conf/socksify.json";
    const auto text = read_file(path);
    must_parse(text);
    const auto shipped = read_json(path);
    for (const auto& key : known_keys()) {
        CHECK_MESSAGE(text.find("\"" + std::string(key.key) + "\":") != std::string::npos, key.key);
        if (key.fallback.empty() || key.fallback == "{}" || key.object == "rules[]")
            continue; // it has no rules
        const auto& object = key.object == "upstreams.*" ? shipped["upstreams"]["proxy"]
                             : key.object == "log"       ? shipped["log"]
                                                         : shipped;
        CHECK_MESSAGE(object.value(std::string(key.key), nlohmann::json()).dump() == key.fallback, key.key);
    }
}

TEST_CASE("the stated defaults are the ones that apply") {
    std::string stated;
    for (const auto& key : known_keys())
        if (key.object == "upstreams.*" && !key.fallback.empty())
            stated +=
                (stated.empty() ? "\"" : ", \"") + std::string(key.key) + "\": " + std::string(key.fallback);
    const auto a = upstream_of(stated);
    const auto b = upstream_of("");
    CHECK(a.discover == b.discover);
    CHECK(a.connect_timeout == b.connect_timeout);
    CHECK(a.handshake_timeout == b.handshake_timeout);
    CHECK(a.discover_timeout == b.discover_timeout);
    CHECK(a.feature_lifetime == b.feature_lifetime);
    CHECK(a.without_names == b.without_names);
    CHECK(a.hold.most == b.hold.most);
    CHECK(a.hold.however_near == b.hold.however_near);
}

TEST_CASE("every example is right") {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(root() / "conf/examples")) {
        const auto config = parse_config(read_file(entry.path()));
        CHECK_MESSAGE(config.has_value(), (config ? "" : config.error().front().text(entry.path().string())));
        ++count;
    }
    CHECK(count >= 4);
}

TEST_CASE("the manual describes every key") {
    const auto manual = read_file(root() / "doc/socksify.json.5");
    for (const auto& key : known_keys())
        CHECK_MESSAGE(manual.find(".It Cm " + std::string(key.key)) != std::string::npos, key.key);
}

TEST_CASE("an AF_UNIX socket is a path behind localhost, as curl has it") {
    const auto url = parse_proxy_url("socks5h://u:p@LocalHost/run/proxy%20s/socks");
    REQUIRE(url);
    CHECK(url->socket_path == "/run/proxy s/socks");
    CHECK(url->username == "u");
    CHECK(parse_proxy_url("socks5://localhost/")->socket_path.empty());
    CHECK(parse_proxy_url("socks5://localhost/" + std::string(106, 'x')));
    for (const auto& wrong :
         {std::string("socks5://example.org/run/socks"), std::string("socks5://localhost:1080/run/socks"),
          std::string("socks5:///run/socks"), std::string("socks5://localhost/run/%0"),
          std::string("socks5://localhost/run/%00"), "socks5://localhost/" + std::string(107, 'x')})
        CHECK_FALSE_MESSAGE(parse_proxy_url(wrong), wrong);
    CHECK(config_from_url("socks5://localhost/run/socks")->upstreams.front().socket_path == "/run/socks");
}

TEST_CASE("a resolver is a host, with port 53 unless it says another") {
    const auto resolver = [](const std::string& text) {
        return parse_config(R"({"default": "direct", "resolver": ")" + text + R"("})");
    };
    CHECK(resolver("192.0.2.53")->resolver->text() == "192.0.2.53:53");
    CHECK(resolver("192.0.2.53:5353")->resolver->text() == "192.0.2.53:5353");
    CHECK(resolver("dns.example")->resolver->text() == "dns.example:53");
    CHECK(resolver("[2001:db8::53]")->resolver->text() == "[2001:db8::53]:53");
    CHECK(resolver("[2001:db8::53]:5353")->resolver->text() == "[2001:db8::53]:5353");
    for (const auto* wrong :
         {"", ":53", "192.0.2.53:", "192.0.2.53:0", "192.0.2.53:65536", "2001:db8::53", "a b"})
        CHECK_FALSE_MESSAGE(resolver(wrong), wrong);
}
