#include "policy/config.hpp"

#include "policy/document_reader.hpp"
#include "policy/host_name.hpp"
#include "policy/upstream_reader.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

using json::Kind;

// The words for each enum, in its order.
constexpr std::array<std::string_view, 2> operation_words{"connect", "bind"};
static_assert(operation_words[static_cast<std::size_t>(Operation::bind)] == "bind");
constexpr std::array<std::string_view, 2> protocol_words{"tcp", "udp"};
static_assert(protocol_words[static_cast<std::size_t>(Protocol::udp)] == "udp");
constexpr std::array<std::string_view, 3> loopback_words{"direct", "block", "rules"};
static_assert(loopback_words[static_cast<std::size_t>(Loopback::rules)] == "rules");
constexpr std::array<std::string_view, 3> dns_words{"system", "all", "off"};
static_assert(dns_words[static_cast<std::size_t>(Dns::off)] == "off");
constexpr std::array<std::string_view, 2> learnt_by_words{"user", "process"};
static_assert(learnt_by_words[static_cast<std::size_t>(LearntBy::process)] == "process");
constexpr std::array<std::string_view, 5> level_words{"off", "error", "info", "debug", "trace"};
static_assert(level_words[static_cast<std::size_t>(LogLevel::trace)] == "trace");

constexpr std::size_t fewest_indexed = 16; ///< rules; fewer are sooner looked at one by one

class ConfigReader {
public:
    explicit ConfigReader(DocumentReader& in) noexcept : in_(in) {}

    Config read(const Node& document) {
        // Routes name upstreams, wherever these stand: they are read when all upstreams are known.
        std::optional<Node> rules;
        std::optional<Node> otherwise;
        in_.each_member(document, "", [&](std::string_view key, const Node& value) {
            if (key == "$schema") in_.read_text(value);
            else if (key == "upstreams") read_upstreams(value);
            else if (key == "rules") rules.emplace(value);
            else if (key == "default") otherwise.emplace(value);
            else if (key == "loopback")
                assign(config_.loopback, in_.read_word<Loopback>(value, loopback_words));
            else if (key == "dns") assign(config_.dns, in_.read_word<Dns>(value, dns_words));
            else if (key == "learnt_by")
                assign(config_.learnt_by, in_.read_word<LearntBy>(value, learnt_by_words));
            else if (key == "resolver") read_resolver(value);
            else if (key == "log") read_log(value);
        });
        if (document.value.kind != Kind::object) return {};
        if (rules) in_.each_item(*rules, [&](const Node& node) { config_.rules.push_back(read_rule(node)); });
        if (otherwise) config_.otherwise = read_route(*otherwise);
        else if (config_.upstreams.size() == 1) config_.otherwise = {Action::Kind::via, {0}};
        else in_.fail_missing(document, "", "default");
        if (config_.rules.size() >= fewest_indexed) config_.index = RuleIndex(config_.rules);
        return std::move(config_);
    }

private:
    void read_upstreams(const Node& node) {
        in_.each_named(node, [&](const json::Member& member, const Node& value) {
            config_.upstreams.push_back(read_upstream(in_, member, value));
        });
    }

    Rule read_rule(const Node& node) {
        Rule out;
        out.line = node.value.position.line;
        bool has_route = false;
        bool optimistic = false;
        in_.each_member(node, "rules[]", [&](std::string_view key, const Node& value) {
            if (key == "destination")
                in_.each_of_one_or_many(value,
                                        [&](const Node& one) { read_destination(one, out.destinations); });
            else if (key == "port")
                in_.each_of_one_or_many(value, [&](const Node& one) { read_port(one, out.ports); });
            else if (key == "operation") read_constraint(value, operation_words, out.operations);
            else if (key == "protocol") read_constraint(value, protocol_words, out.protocols);
            else if (key == "program")
                in_.each_of_one_or_many(value, [&](const Node& one) { read_program(one, out.programs); });
            else if (key == "optimistic") assign(optimistic, in_.read_flag(value));
            else if (key == "comment") assign(out.comment, in_.read_text(value));
            else if (key == "route") {
                has_route = true;
                out.action = read_route(value);
            }
        });
        if (!has_route && node.value.kind == Kind::object) in_.fail_missing(node, "rules[]", "route");
        out.action.optimistic = optimistic && out.action.kind == Action::Kind::via;
        return out;
    }

    void read_destination(const Node& node, std::vector<Destination>& out) {
        const auto text = in_.read_text(node);
        if (!text) return;
        auto destination = Destination::parse(*text);
        if (!destination) return in_.fail(node, std::move(destination.error()));
        out.push_back(std::move(*destination));
    }

    void read_port(const Node& node, std::vector<PortRange>& out) {
        if (node.value.kind == Kind::string) {
            auto range = PortRange::parse(node.value.text);
            if (!range) return in_.fail(node, std::move(range.error()));
            out.push_back(*range);
        } else if (const auto port = in_.read_whole(node, 0, 65535)) {
            out.push_back({static_cast<std::uint16_t>(*port), static_cast<std::uint16_t>(*port)});
        }
    }

    template <class Enum, std::size_t Size>
    void read_constraint(const Node& node, const std::array<std::string_view, Size>& words,
                         Constraint<Enum>& out) {
        in_.each_of_one_or_many(node, [&](const Node& one) {
            if (const auto value = in_.read_word<Enum>(one, words)) out.add(*value);
        });
    }

    void read_program(const Node& node, std::vector<std::string>& out) {
        const auto text = in_.read_text(node);
        if (!text) return;
        const bool is_bare = text->find('/') == std::string_view::npos;
        const bool fits = !text->empty() && !text->ends_with('/') && (is_bare || text->starts_with('/')) &&
                          text->find('\0') == std::string_view::npos; // which no program's name holds
        if (!fits) return in_.fail(node);
        out.emplace_back(*text);
    }

    Action read_route(const Node& node) {
        if (node.value.kind == Kind::string && node.value.text == "direct") return {Action::Kind::direct, {}};
        if (node.value.kind == Kind::string && node.value.text == "block") return {Action::Kind::block, {}};
        Action out{Action::Kind::via, {}};
        in_.each_of_one_or_many(node, [&](const Node& one) { read_upstream_name(one, out.upstreams); });
        return out;
    }

    void read_upstream_name(const Node& node, std::vector<std::size_t>& out) {
        const auto name = in_.read_text(node);
        if (!name) return;
        if (*name == "direct" || *name == "block")
            return in_.fail(node, {quoted(*name) +
                                   " in a list: if proxies are down, what was meant for them goes nowhere"});
        const auto& all = config_.upstreams;
        const auto found =
            std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.name == *name; });
        if (found == all.end()) return fail_unknown_upstream(node, *name);
        const auto index = static_cast<std::size_t>(found - all.begin());
        if (std::find(out.begin(), out.end(), index) != out.end())
            return in_.fail(node, {quoted(*name) + " a second time"});
        out.push_back(index);
    }

    void fail_unknown_upstream(const Node& node, std::string_view name) {
        Guess guess(name);
        guess.consider("direct");
        guess.consider("block");
        for (const auto& upstream : config_.upstreams) guess.consider(upstream.name);
        in_.fail(node, {quoted(name) + ", which is not among the upstreams", guess.best()});
    }

    void read_resolver(const Node& node) {
        const auto text = in_.read_text(node);
        if (!text) return;
        const auto colons = std::count(text->begin(), text->end(), ':');
        const bool is_bracketed = text->starts_with('[');
        if (!is_bracketed && colons > 1) return in_.fail(node); // an IPv6 address, and where does it end?
        const bool has_port = is_bracketed ? text->find("]:") != text->npos : colons == 1;
        const auto server = Endpoint::parse(std::string(*text) + (has_port ? "" : ":53"));
        if (!server || server->port == 0 || (server->host.is_name() && !is_host_name(server->host.name())))
            return in_.fail(node);
        config_.resolver = *server;
    }

    void read_log(const Node& node) {
        in_.each_member(node, "log", [&](std::string_view key, const Node& value) {
            if (key == "level") assign(config_.log.level, in_.read_word<LogLevel>(value, level_words));
            else if (key == "file") read_log_file(value);
        });
    }

    void read_log_file(const Node& node) {
        const auto path = in_.read_text(node);
        if (!path) return;
        if (!is_absolute_path(*path)) return in_.fail(node);
        config_.log.file = *path;
    }

    DocumentReader& in_;
    Config config_;
};

} // namespace

tl::expected<Config, std::vector<ConfigError>> parse_config(std::string_view json_text) {
    const auto document = json::parse(json_text);
    if (!document) {
        const auto& [position, found] = document.error();
        return tl::unexpected(std::vector{ConfigError{
            position.line, position.column, {}, found, "JSON (RFC 8259), and // and /* */ comments", {}}});
    }
    DocumentReader in(known_keys());
    auto config = ConfigReader(in).read({*document, {}, "an object"});
    if (auto errors = in.take_errors(); !errors.empty()) return tl::unexpected(std::move(errors));
    return config;
}

tl::expected<Config, ConfigError> config_from_url(std::string_view url) {
    auto proxy = parse_proxy_url(url);
    auto misfit = proxy ? credential_gap(!proxy->username.empty(), proxy->password.has_value())
                        : std::optional(std::move(proxy.error()));
    if (misfit)
        return tl::unexpected(ConfigError{
            0, 0, {}, std::move(misfit->found), std::move(misfit->allowed), std::move(misfit->suggestion)});

    Upstream upstream;
    upstream.name = "proxy";
    upstream.host = proxy->host;
    upstream.port = proxy->port;
    upstream.socket_path = std::move(proxy->socket_path);
    upstream.username = std::move(proxy->username);
    upstream.password_source.literal = std::move(proxy->password).value_or("");
    Config config;
    config.upstreams.push_back(std::move(upstream));
    config.otherwise = {Action::Kind::via, {0}};
    return config;
}

} // namespace socksify::policy
