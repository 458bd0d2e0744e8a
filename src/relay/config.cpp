#include "relay/config.hpp"

#include "policy/document_reader.hpp"
#include "relay/password.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <limits>
#include <sstream>
#include <system_error>

namespace socksify::relay {
namespace {

using namespace std::chrono_literals;
using policy::assign;
using policy::ConfigError;
using policy::DocumentReader;
using policy::Misfit;
using policy::Node;
using policy::quoted;
using policy::json::Kind;

constexpr std::array<std::string_view, 2> method_words{"none", "password"};
constexpr std::array methods{Method::none, Method::password};
constexpr std::array<std::string_view, 2> action_words{"allow", "deny"};
static_assert(action_words[static_cast<std::size_t>(Verdict::deny)] == "deny");

constexpr std::size_t largest_file = 1024 * 1024;
constexpr std::chrono::milliseconds a_day = 24h;
constexpr std::chrono::milliseconds a_year = 365 * 24h;

std::optional<std::vector<std::uint8_t>> parse_hexadecimal(std::string_view text) {
    const auto value = [](char c) -> int {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    std::vector<std::uint8_t> out;
    int high = -1;
    for (const char c : text) {
        if (c == ' ' && high < 0) continue;
        const int digit = value(c);
        if (digit < 0) return {};
        if (high < 0) high = digit;
        else out.push_back(static_cast<std::uint8_t>(std::exchange(high, -1) << 4 | digit));
    }
    return high < 0 ? std::optional(std::move(out)) : std::nullopt;
}

class ConfigReader {
public:
    explicit ConfigReader(DocumentReader& in) noexcept : in_(in) {}

    Config read(const Node& document) {
        // What may be listened on and offered depends on the methods, and methods on users, wherever in the
        // document these stand.
        std::optional<Node> listen, features;
        in_.each_member(document, "", [&](std::string_view key, const Node& value) {
            if (key == "$schema") in_.read_text(value);
            else if (key == "listen") listen.emplace(value);
            else if (key == "insecure_open") assign(config_.insecure_open, in_.read_flag(value));
            else if (key == "auth") read_auth(value);
            else if (key == "features") features.emplace(value);
            else if (key == "server") read_server(value);
            else if (key == "hosts") read_hosts(value);
            else if (key == "rules") in_.each_item(value, [&](const Node& rule) { read_rule(rule); });
            else if (key == "inbound") read_inbound(value);
            else if (key == "guard_own_host") assign(config_.guard_own_host, in_.read_flag(value));
            else if (key == "limits") read_limits(value);
            else if (key == "timeouts") read_timeouts(value);
            else if (key == "log") read_log(value);
            else if (key == "test_behaviour") read_test(value);
        });
        if (features) read_features(*features);
        if (listen) read_listen(*listen);
        return std::move(config_);
    }

private:
    std::optional<unsigned> read_count(const Node& node, unsigned most = 1'000'000) {
        return in_.read_whole(node, 1, most);
    }
    /// 0 is no limit.
    std::optional<milliseconds> read_seconds_or_none(const Node& node) {
        if (node.value.kind == Kind::number && node.value.number == 0) return 0ms;
        return in_.read_seconds(node, 1ms, a_year);
    }
    std::optional<std::string_view> read_text255(const Node& node) {
        const auto text = in_.read_text(node);
        if (!text || text->size() <= 255) return text;
        in_.fail(node);
        return {};
    }

    void read_listen(const Node& node) {
        config_.listen.clear();
        in_.each_of_one_or_many(node, [&](const Node& one) {
            const auto text = in_.read_text(one);
            if (!text) return;
            const auto endpoint = Endpoint::parse(*text);
            if (!endpoint || endpoint->host.is_name()) return in_.fail(one);
            if (!endpoint->host.is_loopback() && config_.auth.methods.contains(Method::none) &&
                !config_.insecure_open)
                return in_.fail(
                    one,
                    Misfit{.found = quoted(*text) + ", beyond loopback, though nobody has to authenticate",
                           .allowed = R"("methods": "password" in "auth", or "insecure_open": true)"});
            config_.listen.push_back(*endpoint);
        });
    }

    void read_auth(const Node& node) {
        std::optional<Node> methods_node;
        bool has_users = false; // fit or not: an error of theirs is not one of the methods
        in_.each_member(node, "auth", [&](std::string_view key, const Node& value) {
            if (key == "methods") {
                methods_node.emplace(value);
                config_.auth.methods = {};
                in_.each_of_one_or_many(value, [&](const Node& one) {
                    if (const auto word = in_.read_word<unsigned>(one, method_words))
                        config_.auth.methods.add(methods[*word]);
                });
            } else if (key == "users") {
                has_users = !value.value.members.empty();
                read_users(value);
            } else if (key == "remember")
                if (const auto seconds = in_.read_whole(value, 0, 86'400))
                    config_.auth.remember = std::chrono::seconds(*seconds);
        });
        const bool with_password = config_.auth.methods.contains(Method::password);
        if (methods_node && with_password && !has_users)
            in_.fail(*methods_node, Misfit{.found = R"("password" without any user)",
                                           .allowed = R"("password" together with "users")"});
        if (!with_password && has_users)
            in_.fail(methods_node.value_or(node), Misfit{.found = R"(users, but not the method "password")",
                                                         .allowed = R"("methods": "password", or no users)"});
    }

    void read_users(const Node& node) {
        in_.each_named(node, [&](const policy::json::Member& member, const Node& value) {
            // What stands there may be a password that somebody wrote where its hash belongs: it is not
            // shown.
            if (member.key.empty() || member.key.size() > 255)
                return in_.fail(value, Misfit{.found = "the name " + quoted(member.key)});
            if (value.value.kind != Kind::string || !is_password_hash(value.value.text))
                return in_.fail(value, Misfit{.found = "something that is no password hash (not shown)",
                                              .allowed = R"(what "socksify-relay --hash-password" prints)"});
            config_.auth.users.insert_or_assign(member.key, value.value.text);
        });
    }

    void read_features(const Node& node) {
        auto& out = config_.features;
        in_.each_member(node, "features", [&](std::string_view key, const Node& value) {
            const auto flag = in_.read_flag(value);
            if (key == "list_features") assign(out.list_features, flag);
            else if (key == "hold") assign(out.hold, flag);
            else if (key == "names") assign(out.names, flag);
            else if (key == "ipv4") assign(out.ipv4, flag);
            else if (key == "ipv6") assign(out.ipv6, flag);
            else if (key == "udp") assign(out.udp, flag);
            else if (key == "bind") assign(out.bind, flag);
            else if (key == "listen") assign(out.listen, flag);
            else if (key == "sessions") {
                assign(out.sessions, flag);
                if (out.sessions) offer_sessions(value);
            } else if (key == "fast_open") assign(out.fast_open, flag);
            else if (key == "per_destination") assign(out.per_destination, flag);
        });
        if (!out.ipv4 && !out.ipv6)
            in_.fail(node, Misfit{.found = "neither ipv4 nor ipv6", .allowed = "at least one of them"});
    }

    void offer_sessions(const Node& node) {
        if (!config_.auth.methods.contains(Method::password))
            return in_.fail(node, Misfit{.found = "sessions, though nobody has a password",
                                         .allowed = R"("methods": "password" in "auth", or false)"});
        const auto of_file = config_.auth.methods;
        config_.auth.methods = {Method::session};
        for (std::size_t i = 0; i < of_file.size(); ++i) config_.auth.methods.add(of_file[i]);
    }

    void read_server(const Node& node) {
        auto& out = config_.server;
        in_.each_member(node, "server", [&](std::string_view key, const Node& value) {
            if (key == "hostname") assign(out.hostname, read_text255(value));
            else if (key == "url") assign(out.url, read_text255(value));
            else if (key == "opaque_id") assign(out.opaque_id, read_text255(value));
            else if (key == "load") assign(out.load, in_.read_flag(value));
        });
    }

    void read_hosts(const Node& node) {
        in_.each_named(node, [&](const policy::json::Member& member, const Node& value) {
            if (!policy::is_host_name(member.key))
                return in_.fail(value, Misfit{.found = "the name " + quoted(member.key)});
            in_.each_of_one_or_many(value, [&](const Node& one) {
                const auto text = in_.read_text(one);
                if (text && !add_host(config_.hosts, member.key + "=" + std::string(*text))) in_.fail(one);
            });
        });
    }

    void read_rule(const Node& node) {
        AccessRule out;
        bool has_action = false;
        in_.each_member(node, "rules[]", [&](std::string_view key, const Node& value) {
            if (key == "client")
                in_.each_of_one_or_many(value, [&](const Node& one) { read_client(one, out.clients); });
            else if (key == "user")
                in_.each_of_one_or_many(value, [&](const Node& one) { read_user(one, out.users); });
            else if (key == "destination") read_destinations(value, out.destinations);
            else if (key == "port")
                in_.each_of_one_or_many(value, [&](const Node& one) { read_port(one, out.ports); });
            else if (key == "operation")
                in_.each_of_one_or_many(value, [&](const Node& one) {
                    if (const auto word = in_.read_word<Operation>(one, operation_words))
                        out.operations.push_back(*word);
                });
            else if (key == "comment") in_.read_text(value);
            else if (key == "action") {
                has_action = true;
                assign(out.action, in_.read_word<Verdict>(value, action_words));
            }
        });
        if (!has_action && node.value.kind == Kind::object) in_.fail_missing(node, "rules[]", "action");
        config_.rules.add(std::move(out));
    }

    void read_client(const Node& node, std::vector<Place>& out) {
        if (const auto place = read_place(node)) {
            // 0.0.0.0/0 is a network too, though one that opens nothing.
            if (!place->is_network && node.value.text.find('/') == std::string::npos) return in_.fail(node);
            out.push_back(*place);
        }
    }
    void read_user(const Node& node, std::vector<std::string>& out) {
        const auto text = read_text255(node);
        if (!text) return;
        if (text->empty()) return in_.fail(node);
        out.emplace_back(*text);
    }
    void read_destinations(const Node& node, std::vector<Place>& out) {
        bool everything = false;
        in_.each_of_one_or_many(node, [&](const Node& one) {
            everything |= one.value.text == "*";
            if (const auto place = read_place(one)) out.push_back(*place);
        });
        // "*" is no constraint, and a rule with it depends on nothing. But a network beside it opens the own
        // host.
        const bool has_network =
            std::any_of(out.begin(), out.end(), [](const Place& one) { return one.is_network; });
        if (everything && !has_network) out.clear();
    }
    std::optional<Place> read_place(const Node& node) {
        const auto text = in_.read_text(node);
        if (!text) return {};
        auto place = parse_place(*text);
        if (place) return *place;
        in_.fail(node, std::move(place.error()));
        return {};
    }
    void read_port(const Node& node, std::vector<policy::PortRange>& out) {
        if (node.value.kind == Kind::string) {
            auto range = policy::PortRange::parse(node.value.text);
            if (!range) return in_.fail(node, std::move(range.error()));
            out.push_back(*range);
        } else if (const auto port = in_.read_whole(node, 0, 65535)) {
            out.push_back({static_cast<std::uint16_t>(*port), static_cast<std::uint16_t>(*port)});
        }
    }

    void read_inbound(const Node& node) {
        auto& out = config_.inbound;
        in_.each_member(node, "inbound", [&](std::string_view key, const Node& value) {
            if (key == "address") read_addresses(value, out.address);
            else if (key == "advertise") read_addresses(value, out.advertise);
            else if (key == "ports") {
                out.ports.clear();
                in_.each_of_one_or_many(value, [&](const Node& one) { read_port(one, out.ports); });
                for (const auto& range : out.ports)
                    if (range.contains(0)) in_.fail(value, Misfit{.found = "port 0, which is none"});
            }
        });
    }
    void read_addresses(const Node& node, std::vector<Host>& out) {
        out.clear();
        in_.each_of_one_or_many(node, [&](const Node& one) {
            const auto text = in_.read_text(one);
            if (!text) return;
            const auto host = Host::parse(*text);
            if (!host || host->is_name()) return in_.fail(one);
            const bool again = std::any_of(out.begin(), out.end(),
                                           [&](const Host& other) { return other.type() == host->type(); });
            if (again) return in_.fail(one, Misfit{.found = quoted(*text) + ", a second one of its family"});
            out.push_back(*host);
        });
    }

    void read_limits(const Node& node) {
        auto& out = config_.limits;
        in_.each_member(node, "limits", [&](std::string_view key, const Node& value) {
            if (key == "connections") assign(out.connections, read_count(value));
            else if (key == "per_client") assign(out.per_client, read_count(value));
            else if (key == "handshakes") assign(out.handshakes, read_count(value));
            else if (key == "lookups") assign(out.lookups, read_count(value, 256));
            else if (key == "associations") assign(out.associations, read_count(value));
            else if (key == "destinations") assign(out.destinations, read_count(value));
            else if (key == "listeners") assign(out.listeners, read_count(value));
            else if (key == "backlog") assign(out.backlog, read_count(value, 65'535));
            else if (key == "sessions") assign(out.sessions, read_count(value));
            else if (key == "sessions_per_user") assign(out.sessions_per_user, read_count(value));
            else if (key == "busy_poll_us")
                if (const auto count = in_.read_whole(value, 0, 1000))
                    out.busy_poll = std::chrono::microseconds(*count);
        });
    }

    void read_timeouts(const Node& node) {
        auto& out = config_.timeouts;
        in_.each_member(node, "timeouts", [&](std::string_view key, const Node& value) {
            if (key == "handshake") assign(out.handshake, in_.read_seconds(value, 1ms, a_day));
            else if (key == "held") assign(out.held, in_.read_seconds(value, 1ms, a_day));
            else if (key == "connect") assign(out.connect, in_.read_seconds(value, 1ms, a_day));
            else if (key == "idle") assign(out.idle, read_seconds_or_none(value));
            else if (key == "udp_idle") assign(out.udp_idle, read_seconds_or_none(value));
            else if (key == "bind") assign(out.bind, read_seconds_or_none(value));
            else if (key == "close") assign(out.close, in_.read_seconds(value, 1ms, 5s));
            else if (key == "drain") assign(out.drain, in_.read_seconds(value, 1ms, a_day));
            else if (key == "session") {
                if (const auto seconds = in_.read_whole(value, 0, 86'400))
                    out.session = std::chrono::seconds(*seconds);
            } else if (key == "keepalive")
                if (const auto seconds = in_.read_whole(value, 0, 32767)) // TCP_KEEPIDLE takes no more
                    out.keepalive = std::chrono::seconds(*seconds);
        });
    }

    void read_log(const Node& node) {
        in_.each_member(node, "log", [&](std::string_view key, const Node& value) {
            if (key == "level") assign(config_.log_level, in_.read_word<LogLevel>(value, log_level_words));
        });
    }

    void read_test(const Node& node) {
        auto& out = config_.test;
        in_.each_member(node, "test_behaviour", [&](std::string_view key, const Node& value) {
            if (key == "list_features")
                assign(out.list_features, in_.read_word<FeaturesAnswer>(value, features_answer_words));
            else if (key == "list_end") assign(out.list_end, in_.read_word<ListEnd>(value, list_end_words));
            else if (key == "list_instead") read_octets(value, out.list_instead);
            else if (key == "list_also") read_octets(value, out.list_also);
            else if (key == "break_hold") assign(out.break_hold, in_.read_flag(value));
            else if (key == "associate_bound")
                assign(out.associate_bound, in_.read_word<AssociateBound>(value, associate_bound_words));
            else if (key == "datagram_source")
                assign(out.datagram_source, in_.read_word<DatagramSource>(value, datagram_source_words));
            else if (key == "reply_delay_ms")
                if (const auto count = in_.read_whole(value, 0, 60'000))
                    out.reply_delay = milliseconds(*count);
        });
    }
    void read_octets(const Node& node, std::vector<std::uint8_t>& out) {
        const auto text = in_.read_text(node);
        if (!text) return;
        auto octets = parse_hexadecimal(*text);
        if (!octets) return in_.fail(node);
        out = std::move(*octets);
    }

    DocumentReader& in_;
    Config config_;
};

} // namespace

tl::expected<Config, std::vector<ConfigError>> parse_config(std::string_view json_text) {
    const auto document = policy::json::parse(json_text);
    if (!document) {
        ConfigError error;
        error.line = document.error().position.line;
        error.column = document.error().position.column;
        error.found = document.error().found;
        error.allowed = "JSON (RFC 8259), and // and /* */ comments";
        return tl::unexpected(std::vector{std::move(error)});
    }
    DocumentReader in(known_keys());
    auto config = ConfigReader(in).read({*document, {}, "an object"});
    if (auto errors = in.take_errors(); !errors.empty()) return tl::unexpected(std::move(errors));
    return config;
}

tl::expected<Config, std::vector<std::string>> load_config(const std::string& path) {
    const auto failure = [&](const std::string& why) {
        return tl::unexpected(std::vector{path + ": " + why});
    };
    std::ifstream file(path, std::ios::binary);
    if (!file) return failure(std::generic_category().message(errno));
    std::string text(largest_file + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) return failure(std::generic_category().message(errno));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (text.size() > largest_file) return failure("larger than 1 MiB");

    auto config = parse_config(text);
    if (config) return std::move(*config);
    std::vector<std::string> lines;
    for (const auto& error : config.error()) lines.push_back(error.text(path));
    return tl::unexpected(std::move(lines));
}

bool add_host(HostsTable& hosts, std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos || !policy::is_host_name(text.substr(0, equals))) return false;
    const auto address = Host::parse(text.substr(equals + 1));
    if (!address || address->is_name()) return false;
    hosts[std::string(policy::FoldedName(text.substr(0, equals)).text())].push_back(*address);
    return true;
}

} // namespace socksify::relay
