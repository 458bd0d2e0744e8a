#include "policy/upstream_reader.hpp"

#include <algorithm>

namespace socksify::policy {
namespace {

using namespace std::chrono_literals;

// The words for each enum, in its order.
constexpr std::array<std::string_view, 3> discover_words{"background", "inline", "off"};
static_assert(discover_words[static_cast<std::size_t>(Discover::in_line)] == "inline");
constexpr std::array<std::string_view, 3> pipelining_words{"auto", "off", "always"};
static_assert(pipelining_words[static_cast<std::size_t>(Pipeline::always)] == "always");
constexpr std::array<std::string_view, 2> fast_open_words{"auto", "off"};
static_assert(fast_open_words[static_cast<std::size_t>(FastOpen::off)] == "off");
enum class HoldWord : std::uint8_t { automatic, off };
constexpr std::array<std::string_view, 2> hold_words{"auto", "off"};
static_assert(hold_words[static_cast<std::size_t>(HoldWord::off)] == "off");
constexpr std::array<std::string_view, 2> sessions_words{"auto", "off"};
static_assert(sessions_words[static_cast<std::size_t>(Sessions::off)] == "off");
constexpr std::array<std::string_view, 2> without_names_words{"fail", "resolve"};
static_assert(without_names_words[static_cast<std::size_t>(WithoutNames::resolve)] == "resolve");

constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view digits = "0123456789";

constexpr bool is_made_of(std::string_view text, std::initializer_list<std::string_view> sets) noexcept {
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return std::any_of(sets.begin(), sets.end(),
                           [c](auto set) { return set.find(c) != std::string_view::npos; });
    });
}

/// A name has to be told from the words for routes, and to be typed in a shell.
bool is_upstream_name(std::string_view name) {
    std::string lower(name);
    for (auto& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return !name.empty() && name.size() <= 64 && is_made_of(name, {letters, digits, "-_."}) &&
           lower != "direct" && lower != "block";
}
constexpr std::string_view upstream_name_allowed =
    R"(1 to 64 letters, digits, "-", "_" and ".", but not "direct" or "block")";

/// One object below "upstreams".
class UpstreamReader {
public:
    UpstreamReader(DocumentReader& in, const json::Member& member) : in_(in) {
        out_.name = member.key;
        out_.line = member.position.line;
    }

    Upstream read(const Node& node) {
        bool has_url = false;
        in_.each_member(node, "upstreams.*", [&](std::string_view key, const Node& value) {
            has_url |= key == "url";
            read_member(key, value);
        });
        if (node.value.kind != json::Kind::object) return std::move(out_);
        if (!is_upstream_name(out_.name))
            in_.fail(node, {"the name " + quoted(out_.name), {}, std::string(upstream_name_allowed)});
        if (!has_url) in_.fail_missing(node, "upstreams.*", "url");
        if (usernames_ > 1) in_.fail(node, {"a username in the URL and another one", {}, "one username"});
        if (passwords_ > 1)
            in_.fail(node, {std::to_string(passwords_) + " passwords",
                            {},
                            "one of password, password_file, password_env and the URL"});
        if (url_is_read_) // else the missing half may be in it
            if (auto gap = credential_gap(usernames_ > 0, passwords_ > 0)) in_.fail(node, std::move(*gap));
        return std::move(out_);
    }

private:
    /// Of a password, or of what stands where people put one by mistake: only kind and size are told.
    void fail_secretly(const Node& node) {
        in_.fail(node, {is_text(node)
                            ? "a text of " + std::to_string(node.value.text.size()) + " octets (not shown)"
                            : "something that is not a text"});
    }

    void read_member(std::string_view key, const Node& value) {
        if (key == "url") read_url(value);
        else if (key == "username") read_username(value);
        else if (key == "password") read_password(value);
        else if (key == "password_file") read_password_file(value);
        else if (key == "password_env") read_password_variable(value);
        else if (key == "discover") assign(out_.discover, in_.read_word<Discover>(value, discover_words));
        else if (key == "connect_timeout") assign(out_.connect_timeout, in_.read_seconds(value, 1ms, 1h));
        else if (key == "handshake_timeout") assign(out_.handshake_timeout, in_.read_seconds(value, 1ms, 1h));
        else if (key == "discover_timeout") assign(out_.discover_timeout, in_.read_seconds(value, 1ms, 1h));
        else if (key == "feature_lifetime") read_lifetime(value);
        else if (key == "pipelining")
            assign(out_.pipelining, in_.read_word<Pipeline>(value, pipelining_words));
        else if (key == "fast_open") assign(out_.fast_open, in_.read_word<FastOpen>(value, fast_open_words));
        else if (key == "hold") read_hold(value);
        else if (key == "sessions") assign(out_.sessions, in_.read_word<Sessions>(value, sessions_words));
        else if (key == "without_names")
            assign(out_.without_names, in_.read_word<WithoutNames>(value, without_names_words));
    }

    void read_url(const Node& node) {
        const auto text = in_.read_text(node);
        if (!text) return;
        auto url = parse_proxy_url(*text);
        if (!url) return in_.fail(node, std::move(url.error()));
        url_is_read_ = true;
        out_.host = url->host;
        out_.port = url->port;
        out_.socket_path = std::move(url->socket_path);
        if (!url->username.empty()) {
            ++usernames_;
            out_.username = std::move(url->username);
        }
        if (url->password) {
            ++passwords_;
            out_.password_source.literal = std::move(*url->password);
        }
    }
    void read_username(const Node& node) {
        ++usernames_;
        const auto text = in_.read_text(node);
        if (!text) return;
        if (text->empty() || text->size() > longest_credential) return in_.fail(node);
        out_.username = *text;
    }
    void read_password(const Node& node) {
        ++passwords_;
        if (!is_text(node) || node.value.text.size() > longest_credential) return fail_secretly(node);
        out_.password_source.literal = node.value.text;
    }
    void read_password_file(const Node& node) {
        ++passwords_;
        if (!is_text(node) || !is_absolute_path(node.value.text)) return fail_secretly(node);
        out_.password_source.file = node.value.text;
    }
    void read_password_variable(const Node& node) {
        ++passwords_;
        const std::string_view name = node.value.text;
        if (!is_text(node) || !is_made_of(name, {letters, digits, "_"}) ||
            is_made_of(name.substr(0, 1), {digits}))
            return fail_secretly(node);
        out_.password_source.environment = name;
    }
    void read_hold(const Node& node) {
        if (is_text(node)) {
            const auto word = in_.read_word<HoldWord>(node, hold_words);
            if (word) out_.hold = *word == HoldWord::off ? Hold{0} : Hold{};
        } else if (const auto most = in_.read_whole(node, 1, 8)) {
            out_.hold = {*most, true};
        }
    }
    void read_lifetime(const Node& node) {
        constexpr unsigned a_year = 365 * 24 * 60 * 60;
        if (const auto seconds = in_.read_whole(node, 1, a_year))
            out_.feature_lifetime = std::chrono::seconds(*seconds);
    }

    DocumentReader& in_;
    Upstream out_;
    bool url_is_read_ = false;
    unsigned usernames_ = 0; ///< how many stand there, fit or not
    unsigned passwords_ = 0;
};

} // namespace

Upstream read_upstream(DocumentReader& in, const json::Member& member, const Node& node) {
    return UpstreamReader(in, member).read(node);
}

std::optional<Misfit> credential_gap(bool has_username, bool has_password) {
    if (has_username == has_password) return {};
    return Misfit{has_username ? "a username without a password" : "a password without a username",
                  {},
                  R"(both or neither; an empty password is "user:@host" in the URL, or "password": "")"};
}

} // namespace socksify::policy
